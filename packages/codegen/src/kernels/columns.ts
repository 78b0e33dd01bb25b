/**
 * Cuts the N columns of a product into tiles: full ones first, then of 8, 4 and up to three single columns for the rest, so
 * that any N is right and nothing is read or written beyond it. Each left-over tile passes over all weights once more: a
 * planner that pads N to the full width saves that.
 */

import type { KernelPart } from '../program.ts';
import type { FunctionBuilder, FunctionRef, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { advance, type Family, vectorRegisters, WIDE_COLUMNS } from './family.ts';
import type { Columns, FullColumns } from './tile.ts';

/** Parameters that every column kernel has; addresses and steps in bytes. */
const COLUMN_PARAMETERS = {
  /** Columns to compute. */
  n: 'i32',
  /** Column 0 of the input and of the output. */
  x: 'i32',
  y: 'i32',
  /** From one full tile to the next: 4 · columns in a CHW layout, 4 · columns · K in column panels. */
  xStep: 'i32',
  yStep: 'i32',
  /** Column 0 of the residual, laid out as Y; not read by kernels without one. */
  residual: 'i32',
} as const;

/**
 * Exports `name(n, x, y, xStep, yStep, residual, ...more)`.
 *
 * @param width columns of a full tile
 * @param parts which widths are needed; without it all. The wide family has widths of its own, whatever `width` is, and takes
 *   them for columns that lie side by side
 * @param tile writes the loop body for tiles of `columns` columns at `x` and `y`; `residual` is the distance from Y to it
 */
export function addColumnKernel<const More extends Readonly<Record<string, 'i32'>>>(
  module: ModuleBuilder,
  name: string,
  width: FullColumns,
  more: More,
  { parts, ...family }: Family & { readonly parts?: ReadonlySet<KernelPart> | undefined },
  tile: (
    f: FunctionBuilder,
    columns: Columns,
    at: { readonly x: Local<'i32'>; readonly y: Local<'i32'>; readonly residual: Local<'i32'> },
    more: { readonly [K in keyof More]: Local<'i32'> },
  ) => void,
): FunctionRef {
  const { wide = false } = family;
  const widths: readonly Columns[] = wide ? [WIDE_COLUMNS, 8, 4, 1] : tileWidths(width);
  const registers = vectorRegisters(family);
  const keys = Object.keys(more);
  // One function per width: an engine compiles the wide one on its own, and a tail does not disturb its registers.
  const bodies = widths.map((columns) => {
    if (parts && !wide && !parts.has(`columns ${columns}`)) return undefined;
    return module.function({ parameters: { ...COLUMN_PARAMETERS, ...more }, registers }, (f, p) => {
      const at = p as unknown as Record<string, Local<'i32'>>;
      const { n: tiles, x, y, xStep, yStep, residual } = at as Record<keyof typeof COLUMN_PARAMETERS, Local<'i32'>>;
      f.loop((again) => {
        tile(f, columns, { x, y, residual }, p as { readonly [K in keyof More]: Local<'i32'> });
        advance(f, x, xStep);
        advance(f, y, yStep);
        f.get(tiles).i32(1).op('i32.sub').tee(tiles).brIf(again);
      });
    });
  });
  return module.function({ parameters: { ...COLUMN_PARAMETERS, ...more }, export: name }, (f, p) => {
    const at = p as unknown as Record<string, Local<'i32'>>;
    const { n, x, y, xStep, yStep, residual } = at as Record<keyof typeof COLUMN_PARAMETERS, Local<'i32'>>;
    const tiles = f.local('i32');
    f.get(residual).get(y).op('i32.sub').set(residual);
    widths.forEach((columns, index) => {
      const body = bodies[index];
      if (!body) return;
      // All that fit of this width; the next narrower one takes what is left.
      f.get(n).i32(columns).op('i32.div_u').tee(tiles);
      f.if(() => {
        const step = (full: Local<'i32'>) => (index === 0 && !wide ? f.get(full) : f.i32(4 * columns));
        f.get(tiles).get(x).get(y);
        step(xStep);
        step(yStep).get(residual);
        for (const key of keys) f.get(at[key] as Local<'i32'>);
        f.call(body);
        f.get(x).get(tiles);
        step(xStep).op('i32.mul').op('i32.add').set(x);
        f.get(y).get(tiles);
        step(yStep).op('i32.mul').op('i32.add').set(y);
        f.get(n).i32(columns).op('i32.rem_u').set(n);
      });
    });
  });
}

/** Widths of the tiles that columns are cut into, widest first. */
export function tileWidths(full: FullColumns): readonly Columns[] {
  return full === 8 ? [8, 4, 1] : [full, 8, 4, 1];
}

/**
 * Dense product C[M,N] = A[M,K] · B[K,N] + bias, then residual and activation.
 *
 * A is packed into panels of 6 rows (5 without relaxed SIMD; the last panel may be lower): the biases of the panel, then
 * for each k the weights of its rows, so that the kernel reads one linear stream. Row k of B begins at `x + offsets[k]`,
 * which makes a stride-1 convolution the same kernel. For every 8 columns the kernel walks down all panels; the tile of
 * 6×8 holds its sums in 12 registers for the whole of K: 6×8 reaches 36–47 GFLOP/s of a peak of 51 where 4×12, with 16
 * vectors alive, reaches 22 (design measurements on Zen 3).
 *
 * With 24 columns the panels have two rows and K comes in passes, a call for each, whose input stays in the first-level cache:
 * nine loads for twelve multiply-adds like 6×8, but loads of weights are a quarter of them and the input's come from nearby.
 *
 * Any M, N, K are right, zeros included; N as a multiple of 8 is fast. Y must not overlap its inputs, except that the
 * residual may be Y itself.
 */
import type { Matrix } from '@grim/bcr';
import { invariant } from '@grim/ir';
import type { KernelPart } from '../program.ts';
import type { FunctionRef, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { addColumnKernel } from './columns.ts';
import {
  advance,
  countDown,
  dispatch,
  type Epilogue,
  epilogueName,
  type Family,
  fitsRegisters,
  hasEpilogue,
  maxTileRows,
} from './family.ts';
import { GATHER_PARAMETERS, type GatherLocals, gatherColumns } from './gather.ts';
import {
  beginWithBias,
  beginWithOutput,
  type Columns,
  finishSums,
  multiplyColumns,
  storeSums,
  tileLocals,
  type Unroll,
} from './tile.ts';
import { FIRST_TOUCH, LAST_TOUCH } from './units.ts';

export interface GemmOptions extends Family {
  readonly epilogue: Epilogue;
  /** The name it is exported under. Default: the one that states what it is. */
  readonly exported?: string;
  /** Rows of the packed panels, at most 6. Default: what the family's tile has. */
  readonly panelRows?: number;
  /** Heights and widths of tiles that are needed. Default: all. */
  readonly parts?: ReadonlySet<KernelPart> | undefined;
  /** Copies each tile of X into a contiguous panel first; see {@link gatherColumns}. Default false. */
  readonly gather?: boolean;
  /** Default 2. */
  readonly unroll?: Unroll | undefined;
  /** Columns of a full tile. Those of 24 go with panels of 2 rows, which come in passes over K. Default 8. */
  readonly columns?: 24 | 8;
}

export function gemmName({ relaxed, epilogue, gather, columns, unroll = 2 }: GemmOptions): string {
  const target = relaxed ? 'relaxed' : 'simd';
  const tile = columns === 24 ? '2x24' : `${maxTileRows({ relaxed })}x8`;
  return `f32_dense_gemm${gather ? '_gather' : ''}${epilogueName(epilogue)}_${tile}${unroll === 2 ? '' : `_u${unroll}`}__${target}`;
}

const PARAMETERS = { a: 'i32', offsets: 'i32', m: 'i32', k: 'i32', yRow: 'i32' } as const;
/** Of a kernel with passes: {@link FIRST_TOUCH} begins the sums with the biases, {@link LAST_TOUCH} ends them. */
const PASS_PARAMETERS = { ...PARAMETERS, flags: 'i32' } as const;

/**
 * Adds and exports `gemm(n, x, y, xStep, yStep, residual, a, offsets, m, k, yRow)`, all i32; with `gather` three more
 * parameters follow ({@link GATHER_PARAMETERS}), and `offsets` are those of the rows of the panel: 32 · k.
 *
 * a: the panels of {@link packGemm}. offsets: k byte offsets from `x`, i32. yRow: bytes from one row of Y to the next.
 */
export function addGemm(module: ModuleBuilder, options: GemmOptions): FunctionRef {
  const full = options.columns ?? 8;
  const tallest = full === 24 ? 2 : (options.panelRows ?? maxTileRows(options));
  const own = full === 24 ? PASS_PARAMETERS : PARAMETERS;
  const more = options.gather ? { ...own, ...GATHER_PARAMETERS } : own;
  return addColumnKernel(
    module,
    options.exported ?? gemmName(options),
    full,
    more,
    options,
    (f, columns, { x, y, residual }, p) => {
      const panelOf = options.gather ? (p as typeof p & GatherLocals) : undefined;
      if (panelOf) gatherColumns(f, columns, 4 * full, x, panelOf);
      const flags = 'flags' in p ? (p as { readonly flags: Local<'i32'> }).flags : undefined;
      const when = (flag: number, then: () => void, otherwise?: () => void) => {
        if (!flags) then();
        else f.get(flags).i32(flag).op('i32.and').if(then, otherwise);
      };
      const source = panelOf?.panel ?? x;
      const t = tileLocals(f, residual, source);
      const left = f.local('i32');
      const row = f.local('i32');
      const needed = (rows: number) => options.parts?.has(`rows ${rows}`) ?? true;
      const saved = { weights: f.local('i32'), parts: f.local('i32') };
      const sumUp = (rows: number, width: Columns) => {
        when(
          FIRST_TOUCH,
          () => beginWithBias(f, t, rows, width),
          () => beginWithOutput(f, t, rows, width),
        );
        f.get(p.offsets).set(t.offsets).get(p.k).set(t.count);
        multiplyColumns(f, options, t, rows, width, options.unroll);
        if (hasEpilogue(options.epilogue)) when(LAST_TOUCH, () => finishSums(f, options.epilogue, t, rows, width));
        storeSums(f, t, rows, width);
      };
      /** A tile too large for the registers: the same weights again for each part of the columns. */
      const inParts = (rows: number, width: 12 | 4) => {
        f.get(t.weights)
          .set(saved.weights)
          .i32(columns / width)
          .set(saved.parts);
        countDown(f, saved.parts, () => {
          f.get(saved.weights).set(t.weights);
          sumUp(rows, width);
          advance(f, source, 4 * width);
          for (const local of t.rows.slice(0, rows)) advance(f, local, 4 * width);
        });
        advance(f, source, -4 * columns);
      };
      const panel = (rows: number) => () => {
        t.rows.slice(0, rows).forEach((local, i) => {
          if (i === 0) f.get(row).set(local);
          else
            f.get(t.rows[i - 1] ?? row)
              .get(p.yRow)
              .op('i32.add')
              .set(local);
        });
        f.get(t.rows[rows - 1] ?? row)
          .get(p.yRow)
          .op('i32.add')
          .set(row);
        if (fitsRegisters(options, rows, columns)) sumUp(rows, columns);
        else inParts(rows, columns === 24 ? 12 : 4);
      };
      f.get(p.a).set(t.weights).get(y).set(row);
      // Full panels in a loop of their own, so that the branch in it is always taken.
      f.get(p.m).set(left);
      f.block((done) => {
        f.loop((again) => {
          f.get(left).i32(tallest).op('i32.lt_u').brIf(done);
          if (needed(tallest)) panel(tallest)();
          advance(f, left, -tallest);
          f.br(again);
        });
      });
      dispatch(f, () => f.get(left), [
        () => {},
        ...Array.from({ length: tallest - 1 }, (_, i) => (needed(i + 1) ? panel(i + 1) : () => {})),
      ]);
    },
  );
}

/**
 * A in the order the kernel reads it.
 * @param bias one value per row; default zeros
 */
export function packGemm(a: Matrix, family: Family, bias?: Float32Array): Float32Array<ArrayBuffer> {
  const { rows, cols, data } = a;
  invariant(data.length === rows * cols, `a matrix of ${rows}×${cols} with ${data.length} elements`);
  invariant(!bias || bias.length === rows, `${bias?.length} biases for ${rows} rows`);
  const tallest = maxTileRows(family);
  const packed = new Float32Array(rows * (cols + 1));
  let at = 0;
  for (let top = 0; top < rows; top += tallest) {
    const height = Math.min(tallest, rows - top);
    for (let i = 0; i < height; i++) packed[at++] = bias?.[top + i] ?? 0;
    for (let k = 0; k < cols; k++) for (let i = 0; i < height; i++) packed[at++] = data[(top + i) * cols + k] ?? 0;
  }
  return packed;
}

/** One pass of {@link packPairs}. */
export interface PairPass {
  /** The columns of A in it. */
  readonly from: number;
  readonly to: number;
  /** Where its panels begin, in elements. */
  readonly start: number;
}

/** A in panels of two rows, pass after pass; the first begins each panel with its biases. */
export function packPairs(
  { rows, cols, data }: Matrix,
  passes: readonly (readonly [from: number, to: number])[],
  bias?: Float32Array,
): { readonly data: Float32Array<ArrayBuffer>; readonly passes: readonly PairPass[] } {
  const packed = new Float32Array(rows * (cols + 1));
  let at = 0;
  const found = passes.map(([from, to], pass): PairPass => {
    const start = at;
    for (let top = 0; top < rows; top += 2) {
      const height = Math.min(2, rows - top);
      if (pass === 0) for (let i = 0; i < height; i++) packed[at++] = bias?.[top + i] ?? 0;
      for (let k = from; k < to; k++) for (let i = 0; i < height; i++) packed[at++] = data[(top + i) * cols + k] ?? 0;
    }
    return { from, to, start };
  });
  return { data: packed, passes: found };
}

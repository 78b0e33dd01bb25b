/**
 * Sparse product C[M,N] = A[M,K] · B[K,N] + bias over a unit stream, then residual and activation.
 *
 * A unit is a tile of up to 6 rows of A that share a list of columns. Its descriptor says how many rows and columns there
 * are and where they lie, as byte offsets; the weights stand in a second stream in the order they are used. The kernel
 * holds one register-tiled loop per row count and jumps between them; Y keeps the sums between units. For every tile of
 * columns both streams are read once from the start.
 *
 * The tile is 24 columns wide. Units of two rows fill the registers with it (2×24: 12 sums, 2 weights, 1 input) and need
 * nine loads for twelve multiply-adds, where 2×16 needs seven for eight and 2×8 five for four; a taller unit passes twice
 * over 12 columns or three times over 8, its weights still in the first-level cache. Share of the multiply-add peak on 3×3
 * convolutions at density 1/8, tiles of 8 / 16 / 24 / 32 columns: 2×K 72 / 86 / 92 / 87 %, 4×K 83 / 88 / 89 / 89 %, 32×128
 * 80 / 83 / 85 / 85 %, single rows 44 / 58 / 60 / 61 %.
 *
 * @see kernels of GRIM (Niu et al., 2022): matrix reorder and load redundancy elimination; `units.ts` for the encoding
 */
import type { KernelPart } from '../program.ts';
import type { FunctionBuilder, FunctionRef, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { addColumnKernel } from './columns.ts';
import {
  advance,
  type Bounds,
  countDown,
  dispatch,
  type Epilogue,
  epilogueName,
  type Family,
  fitsRegisters,
  hasEpilogue,
  maxTileRows,
  TALLEST,
} from './family.ts';
import { GATHER_PARAMETERS, type GatherLocals, gatherColumns } from './gather.ts';
import {
  beginWithBias,
  beginWithOutput,
  type Columns,
  type FullColumns,
  finishSums,
  multiplyColumns,
  storeSums,
  tileLocals,
  type Unroll,
} from './tile.ts';
import { FIRST_TOUCH, LAST_TOUCH, ROWS_MASK } from './units.ts';

export interface SpmmOptions extends Family {
  readonly epilogue: Epilogue;
  /** The name it is exported under. Default: the one that states what it is. */
  readonly exported?: string;
  /** Heights and widths of tiles that are needed. Default: all. */
  readonly parts?: ReadonlySet<KernelPart> | undefined;
  readonly columns: FullColumns;
  /** Copies each tile of X into a contiguous panel first; see {@link gatherColumns}. Default false. */
  readonly gather?: boolean;
  /** Default 2. */
  readonly unroll?: Unroll | undefined;
}

export function spmmName({ relaxed, epilogue, columns, gather, unroll = 2 }: SpmmOptions): string {
  const target = relaxed ? 'relaxed' : 'simd';
  return `f32_units_spmm${gather ? '_gather' : ''}${epilogueName(epilogue)}_${maxTileRows({ relaxed })}x${columns}${unroll === 2 ? '' : `_u${unroll}`}__${target}`;
}

const STREAM_PARAMETERS = { words: 'i32', weights: 'i32' } as const;
/** The bits of the two float32 between which an epilogue with `bounds` clips. */
const BOUND_PARAMETERS = { low: 'i32', high: 'i32' } as const;

/**
 * Adds and exports `spmm(n, x, y, xStep, yStep, residual, words, weights)`, all i32; with `gather` three more parameters
 * follow ({@link GATHER_PARAMETERS}), and the offsets in the stream are those of rows of the panel; with the activation
 * `bounds` two more are the last ({@link BOUND_PARAMETERS}).
 *
 * words, weights: a stream of {@link encodeUnits}. Y must not overlap X or the streams; the residual may be Y only if no
 * row of A has more than one unit.
 */
export function addSpmm(module: ModuleBuilder, options: SpmmOptions): FunctionRef {
  const bounded = options.epilogue.activation === 'bounds';
  const more = {
    ...STREAM_PARAMETERS,
    ...(options.gather ? GATHER_PARAMETERS : {}),
    ...(bounded ? BOUND_PARAMETERS : {}),
  };
  return addColumnKernel(
    module,
    options.exported ?? spmmName(options),
    options.columns,
    more,
    options,
    (f, columns, at, streams) => {
      const panel = options.gather ? (streams as typeof streams & GatherLocals) : undefined;
      const xStart = panel?.panel ?? at.x;
      const xTile = f.local('i32');
      const t = tileLocals(f, at.residual, xTile);
      const flags = f.local('i32');
      /** One unit on `width` columns, with cursors behind its first word. */
      const unit = (rows: number, width: Columns, yTile: Local<'i32'>) => {
        f.get(t.offsets).memory('i32.load', 0).set(t.count);
        for (const [i, local] of t.rows.slice(0, rows).entries())
          f.get(yTile)
            .get(t.offsets)
            .memory('i32.load', 4 + 4 * i)
            .op('i32.add')
            .set(local);
        advance(f, t.offsets, 4 + 4 * rows);
        f.get(flags)
          .i32(FIRST_TOUCH)
          .op('i32.and')
          .if(
            () => beginWithBias(f, t, rows, width),
            () => beginWithOutput(f, t, rows, width),
          );
        multiplyColumns(f, options, t, rows, width, options.unroll);
        if (hasEpilogue(options.epilogue))
          f.get(flags)
            .i32(LAST_TOUCH)
            .op('i32.and')
            .if(() =>
              finishSums(
                f,
                options.epilogue,
                t,
                rows,
                width,
                bounded ? loadBounds(f, streams as BoundLocals) : undefined,
              ),
            );
        storeSums(f, t, rows, width);
      };
      // Tiles that do not fit the registers at this width: the same unit again for each part of the columns.
      const fits = (rows: number, width: Columns) => fitsRegisters(options, rows, width);
      const halves =
        columns > 4 && !fits(TALLEST, columns)
          ? { words: f.local('i32'), weights: f.local('i32'), left: f.local('i32') }
          : undefined;
      const yTile = f.local('i32');
      const inParts = (rows: number, width: 12 | 8 | 4, { words, weights, left }: NonNullable<typeof halves>) => {
        f.get(t.offsets)
          .set(words)
          .get(t.weights)
          .set(weights)
          .i32(columns / width)
          .set(left);
        countDown(f, left, () => {
          f.get(words).set(t.offsets).get(weights).set(t.weights);
          unit(rows, width, yTile);
          advance(f, xTile, 4 * width);
          advance(f, yTile, 4 * width);
        });
        f.get(xStart).set(xTile).get(at.y).set(yTile);
      };
      if (panel) gatherColumns(f, columns, 4 * options.columns, at.x, panel);
      f.get(xStart)
        .set(xTile)
        .get(at.y)
        .set(yTile)
        .get(streams.words)
        .set(t.offsets)
        .get(streams.weights)
        .set(t.weights);
      f.block((end) => {
        f.loop((next) => {
          const cases = Array.from({ length: TALLEST }, (_, i) => () => {
            const rows = i + 1;
            if (options.parts && !options.parts.has(`rows ${rows}`)) f.br(end);
            else if (!halves || fits(rows, columns)) unit(rows, columns, yTile);
            else
              inParts(
                rows,
                ([12, 8, 4] as const).find((width) => columns % width === 0 && fits(rows, width)) ?? 4,
                halves,
              );
          });
          readFlags(f, t.offsets, flags);
          dispatch(f, () => f.get(flags).i32(ROWS_MASK).op('i32.and'), [() => f.br(end), ...cases]);
          f.br(next);
        });
      });
    },
  );
}

function readFlags(f: FunctionBuilder, cursor: Local<'i32'>, flags: Local<'i32'>): void {
  f.get(cursor).memory('i32.load').set(flags);
  advance(f, cursor, 4);
}

type BoundLocals = { readonly [K in keyof typeof BOUND_PARAMETERS]: Local<'i32'> };

function loadBounds(f: FunctionBuilder, bits: BoundLocals): Bounds {
  const [low, high] = [f.local('v128'), f.local('v128')];
  f.get(bits.low).op('f32.reinterpret_i32').op('f32x4.splat').set(low);
  f.get(bits.high).op('f32.reinterpret_i32').op('f32x4.splat').set(high);
  return { low, high };
}

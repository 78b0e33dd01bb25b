/**
 * Which form a product takes: dense panels, panels of two rows, or one of the forms of a unit stream, from estimated cycles.
 * A sparse form is never chosen where the dense one is expected to be faster; a schedule decides instead where there is one.
 */
import { blockGrid, densePattern, density, type Matrix, nonZeros } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';
import { TALLEST } from '../kernels/family.ts';
import type { FullColumns } from '../kernels/tile.ts';
import { encodeUnits, passesOf, ROWS_MASK, type UnitStream, unitCycles } from '../kernels/units.ts';
import type { FusedEpilogue } from '../lower.ts';
import type { Schedule } from '../schedule.ts';

export type Activation = FusedEpilogue['activation'];

export interface Product {
  /** [M, K]; what the pattern prunes is not read. */
  readonly matrix: Matrix;
  readonly pattern: BcrPattern | undefined;
  readonly bias: Float32Array | undefined;
  /** Bytes from the address given as `x` to row k of B. */
  readonly xOffset: (k: number) => number;
  /** Bytes from one plane of B to the next, where its rows are places in planes; see `wgsl/strips.ts`. */
  readonly plane?: number | undefined;
  /** Bytes from one row of C to the next. */
  readonly yRow: number;
  readonly activation: Activation;
  /** Whether the calls have a residual. Default false. */
  readonly residual?: boolean;
}

/** Rows of the panels that 24 columns go with. */
export const PAIR = 2;

/**
 * Few columns: each thread takes rows, so that the weights are read once by one of them and not by all. Many: each takes
 * columns, which stay in its cache from layer to layer.
 */
export function sharesRows(columns: number): boolean {
  return columns < 400;
}

/** Weights of more bytes than this do not stay near the core while a tile passes over them. */
const LARGE_WEIGHTS = 2 ** 20;

/**
 * Whether tiles of 2×24 beat those of 6×8. They read the weights a third as often: 512×4608 at 7×7 takes 5.1 instead of
 * 5.6 ms alone and 5.1 instead of 12.7 ms beside others that want the same cache. They lose where many columns are left over,
 * where few rows share the input, and where the output is large and K short.
 */
function suitsPairs(matrix: Matrix, n: number): boolean {
  const { rows, cols } = matrix;
  if (n < 24 || rows < 32 || piecesOfOutput(matrix, n) > 1) return false;
  if (4 * rows * cols > LARGE_WEIGHTS) return true;
  const each =
    Math.floor(n / 24) * unitCycles(PAIR, cols, 24) + (Math.ceil((n % 24) / 8) / 3) * unitCycles(PAIR, cols, 8);
  return Math.ceil(rows / PAIR) * each < denseCycles(matrix, n);
}

/**
 * Where more than one: an output of more than the second-level cache, from an input that fits it: a tile of columns through all rows at once writes a
 * line on each of many pages. Rows are taken 16 at a time instead (16 → 96 channels at 112×112: 1.0 → 0.57 ms). Sparse units
 * have two rows then: higher ones are walked in parts of 12 or 8 columns, which fill no line.
 */
function piecesOfOutput({ rows, cols }: Matrix, n: number): number {
  const [output, input] = [4 * rows * n, 4 * cols * n];
  return output > 2 ** 20 && input < 0.8 * 2 ** 20 ? Math.ceil(rows / 16) : 1;
}

export type ScheduledStream = UnitStream & {
  /** Rows of B that are copied side by side first. */
  readonly gathered: readonly number[] | undefined;
};

export interface Chosen {
  readonly schedule: Schedule;
  /** Undefined: the dense form. */
  readonly stream: ScheduledStream | undefined;
  /** Estimates, where both forms were weighed; the sparse one is taken below `below` of the dense one. */
  readonly cycles?: { readonly sparse: number; readonly dense: number; readonly below: number };
}

export function cheapest(product: Product, n: number): Chosen {
  const { matrix, pattern, xOffset } = product;
  const passes = suitsPairs(matrix, n) ? passesOf(matrix.cols, matrix.cols, { columns: 24, xOffset }).length : 0;
  const dense: Chosen = {
    schedule:
      passes > 0
        ? { form: 'pairs', passes: Math.min(passes, 64) }
        : { form: 'dense', unroll: 2, gather: false, groups: 1 },
    stream: undefined,
  };
  if (!pattern || density(pattern) >= 1 || (nonZeros(pattern) === 0 && matrix.rows === 0)) return dense;
  // A tile of 24 only where there is a whole one: the rest is walked in tiles of 8.
  const columns: FullColumns = n < 24 ? 8 : 24;
  const groups = piecesOfOutput(matrix, n);
  const tallest = columns === 24 && groups > 1 ? PAIR : TALLEST;
  const stream = encode(product, { form: 'mixed', columns, tallest });
  const below = sureShare(matrix, n);
  const cycles = { sparse: streamCycles(stream.words, columns, n), dense: denseCycles(matrix, n), below };
  if (!(cycles.sparse < below * cycles.dense)) return { ...dense, cycles };
  const tiles = { columns, tallest, cut: 'balanced', merge: 'equal' } as const;
  return {
    schedule: {
      form: 'mixed',
      ...tiles,
      passes: stream.passes,
      unroll: 2,
      gather: false,
      groups: sharesRows(n) ? 1 : groups,
    },
    stream,
    cycles,
  };
}

export function asGiven(product: Product, schedule: Schedule, n: number): Chosen {
  if (schedule.form === 'dense' || schedule.form === 'pairs') return { schedule, stream: undefined };
  const whole = { ...schedule, columns: schedule.columns ?? (n < 24 ? 8 : 24) } as const;
  return { schedule: whole, stream: encode(product, whole) };
}

function encode({ matrix, pattern, bias, xOffset, yRow }: Product, schedule: Schedule): ScheduledStream {
  const { form, columns = 8, tallest = TALLEST, cut, merge, order, passes, gather = false } = schedule;
  const { rows, cols } = matrix;
  const kept = pattern ?? densePattern(blockGrid(rows, cols, Math.min(rows, 65536), Math.min(cols, 65536)));
  const gathered = gather ? columnsOf(kept) : undefined;
  const place = new Map(gathered?.map((col, i) => [col, 4 * columns * i]));
  const stream = encodeUnits(matrix, kept, {
    // Rows that keep nothing too: a GPU takes as many registers for every row as the highest unit needs.
    tallest: form === 'rows' ? 1 : tallest,
    columns,
    xOffset: gathered ? (k) => place.get(k) ?? 0 : xOffset,
    yOffset: (m) => m * yRow,
    bias,
    cut,
    merge,
    order,
    passes,
    form: form === 'units' || form === 'rows' ? form : 'auto',
  });
  return { ...stream, gathered };
}

/** Columns of which a block keeps weights. */
function columnsOf({ grid, keptRows, keptCols }: BcrPattern): readonly number[] {
  const across = Math.ceil(grid.cols / grid.blockCols);
  const found = new Set<number>();
  for (const [i, cols] of keptCols.entries())
    if (keptRows[i]?.length) for (const col of cols) found.add((i % across) * grid.blockCols + col);
  return [...found].sort((a, b) => a - b);
}

/**
 * What the sparse form may cost, as a share of the dense one, to be chosen: on layers of the standard networks (`crossover.ts`
 * of the bench) estimates from here to 1 were up to 10 % slower than dense.
 */
const SURE = 0.9;
/** K of fewer columns: beginning and ending units costs more beside the lists than the fitted cycles say. */
const SHORT_DEPTH = 128;
const SURE_OF_SHORT = 0.8;
/**
 * Where the output outgrows its cache, time goes into writing it, pruned or not, the more the shorter the sums: 24 → 144 channels at
 * 56×56 cross at a density of 0.8 in 2×K, 16 → 96 at 112×112 at 0.8 in 2×K and at 0.4 in 16×64.
 */
const SURE_OF_LARGE_OUTPUT = 0.55;
const SURE_OF_SHORT_SUMS = 0.4;
const SHORT_SUMS = 24;

function sureShare(matrix: Matrix, n: number): number {
  if (piecesOfOutput(matrix, n) > 1) return matrix.cols < SHORT_SUMS ? SURE_OF_SHORT_SUMS : SURE_OF_LARGE_OUTPUT;
  return matrix.cols < SHORT_DEPTH ? SURE_OF_SHORT : SURE;
}

/** Single rows wait for the cache more than the fitted cycles say: at density 0.5 some took as long as the dense form. */
const SINGLE_ROW = 1.3;

/** Estimated cycles of all units over `n` columns. */
function streamCycles(words: Int32Array, columns: FullColumns, n: number): number {
  const full = Math.floor(n / columns);
  const rest = Math.ceil((n % columns) / 8) / 3;
  let cycles = 0;
  forEachUnit(words, (rows, cols) => {
    const each = (full * columns * unitCycles(rows, cols, columns)) / 24 + rest * unitCycles(rows, cols, 8);
    cycles += rows === 1 ? SINGLE_ROW * each : each;
  });
  return cycles;
}

/** The same for panels of `TALLEST` rows over all columns of A. */
export function denseCycles({ rows, cols }: Pick<Matrix, 'rows' | 'cols'>, n: number): number {
  const rest = rows % TALLEST;
  const cycles = Math.floor(rows / TALLEST) * unitCycles(TALLEST, cols, 8) + (rest ? unitCycles(rest, cols, 8) : 0);
  return (Math.ceil(n / 8) / 3) * cycles;
}

export function forEachUnit(words: Int32Array, visit: (rows: number, cols: number) => void): void {
  for (let at = 0; words[at]; ) {
    const rows = (words[at] ?? 0) & ROWS_MASK;
    const cols = words[at + 1] ?? 0;
    visit(rows, cols);
    at += 2 + rows + cols;
  }
}

/**
 * Encodes a sparse matrix as a unit stream, the form in which `spmm.ts` walks it.
 *
 * In each row of blocks, blocks that keep the same rows become one (their column lists are joined); the kept rows are cut
 * into balanced tiles; a row of blocks whose tiles would be too small is written as single rows over all its columns
 * (CSR), which is also what an arbitrary mask becomes.
 *
 * words (i32), for each unit: `rows | flags`, number of columns, byte offset in Y of each row, byte offset in X of each
 * column. A word 0 ends the stream. weights (f32), for each unit: with {@link FIRST_TOUCH} the bias of each row; then for
 * each column the weight of each row. Every row of the matrix is first touched once, before anything else touches it, and
 * last touched once, after everything; rows without weights too.
 */
import { blockCounts, checkPattern, type Matrix } from '@grim/bcr';
import { type BcrPattern, type BlockGrid, GrimError, invariant } from '@grim/ir';
import type { FullColumns } from './tile.ts';

/** The unit begins the sums of its rows from their biases instead of from Y. */
export const FIRST_TOUCH = 8;
/** The unit ends the sums of its rows: residual and activation follow. */
export const LAST_TOUCH = 16;
/** The bits of a unit's first word that count its rows. */
export const ROWS_MASK = 7;

export interface UnitStream {
  readonly words: Int32Array<ArrayBuffer>;
  readonly weights: Float32Array<ArrayBuffer>;
  readonly units: number;
  /** How many {@link ranges} there are. */
  readonly passes: number;
  /** Columns of A, each range through all rows: no unit reaches beyond one. */
  readonly ranges: readonly Pass[];
  /** Estimated cycles for 24 columns; see {@link unitCycles}. */
  readonly cycles: number;
}

export interface UnitOptions {
  /** Rows of a tile: 6 with relaxed SIMD, 5 without. */
  readonly tallest: number;
  /** Columns of the kernel's tile: decides what a small tile costs. */
  readonly columns: FullColumns;
  /** Byte offset of row `k` of X; different for every row. */
  readonly xOffset: (k: number) => number;
  /** Byte offset of row `m` of Y. */
  readonly yOffset: (m: number) => number;
  readonly bias?: Float32Array | undefined;
  /**
   * Ranges of columns of A: all units of one come before those of the next, so that the rows of X which they share stay in
   * the first-level cache. Default: as many as that takes.
   */
  readonly passes?: number | undefined;
  /** Tiles of about equal height (default), or full ones and one lower tile. */
  readonly cut?: 'balanced' | 'full' | undefined;
  /**
   * Blocks of a row of blocks become one unit: `none`; `equal` (default), those that keep the same rows; `near`, also those
   * of unlike rows where that is estimated cheaper. Zeros stand for the weights that the joined block has no value for.
   */
  readonly merge?: 'none' | 'equal' | 'near' | undefined;
  /**
   * Of single rows: as the matrix has them (default), or those with equal columns one after the other, so that the rows of X
   * that they read are still in the cache (matrix reorder).
   */
  readonly order?: 'given' | 'signature' | undefined;
  /** 'units' and 'rows' force the form; the default takes the cheaper one for each row of blocks. */
  readonly form?: 'units' | 'rows' | 'auto' | undefined;
}

/** Rows that share columns. */
interface Unit {
  readonly rows: readonly number[];
  readonly cols: readonly number[];
  /** Which weights there are, when not all: the others count as zeros. */
  readonly has?: (row: number, col: number) => boolean;
}

/**
 * @param matrix values; those outside the pattern are never read
 * @throws {GrimError} GRIM_BCR_PATTERN_MISMATCH
 */
export function encodeUnits(matrix: Matrix, pattern: BcrPattern, options: UnitOptions): UnitStream {
  checkPattern(pattern, matrix);
  const { grid } = pattern;
  const { down, across } = blockCounts(grid);
  const passes = alongBlocks(passesOf(matrix.cols, patternEntries(pattern), options), grid, options.passes);
  const units: Unit[] = [];
  for (const [from, to] of passes) {
    const ofPass: Unit[] = [];
    for (let strip = 0; strip < down; strip++) {
      const top = strip * grid.blockRows;
      const byRows = new Map<string | number, { rows: number[]; cols: number[] }>();
      for (let i = Math.floor(from / grid.blockCols); i < across && i * grid.blockCols < to; i++) {
        const rows = Array.from(pattern.keptRows[strip * across + i] ?? [], (row) => top + row);
        const cols: number[] = [];
        for (const kept of pattern.keptCols[strip * across + i] ?? []) {
          const col = i * grid.blockCols + kept;
          if (col >= from && col < to) cols.push(col);
        }
        if (rows.length === 0 || cols.length === 0) continue;
        const key = options.merge === 'none' ? i : rows.join();
        const same = byRows.get(key);
        if (same) for (const col of cols) same.cols.push(col);
        else byRows.set(key, { rows, cols });
      }
      const blocks = options.merge === 'near' ? mergeNear([...byRows.values()], options) : [...byRows.values()];
      for (const unit of choose(blocks, options)) ofPass.push(unit);
    }
    for (const unit of ordered(sorted(ofPass), options)) units.push(unit);
  }
  return write(matrix, units, passes, options);
}

/** A range of columns of A. */
export type Pass = readonly [from: number, to: number];

/** Bytes of input that a tile reads in one pass: what the first-level cache holds (32 KiB) less a little of the output. */
const PASS_BYTES = 30 * 1024;
const LINE = 64;
/** Shorter column lists than this are not cut: beginning a unit anew would cost more than the cache saves. */
const SHORTEST = 12;

/** The mean number of columns of a strip that share a row. */
function patternEntries({ grid, keptRows, keptCols }: BcrPattern): number {
  let weights = 0;
  let rows = 0;
  for (const [i, kept] of keptRows.entries()) {
    weights += kept.length * (keptCols[i]?.length ?? 0);
    rows += kept.length;
  }
  return weights / Math.max(1, Math.min(rows, grid.rows));
}

/**
 * Ranges of columns of A such that the rows of X which a tile reads in one of them stay in the first-level cache while all
 * units pass over them: units of two rows at density 1/8 gain 10 to 18 %, single rows 25 %.
 * @param each  columns of a typical row
 */
export function passesOf(
  cols: number,
  each: number,
  options: Pick<UnitOptions, 'columns' | 'passes' | 'xOffset'>,
): readonly Pass[] {
  let count = options.passes ?? 1;
  if (options.passes === undefined) {
    // Neighbouring taps of a window share lines.
    const lines = new Set<number>();
    const width = 4 * options.columns;
    for (let col = 0; col < cols; col++) {
      const from = options.xOffset(col);
      for (let at = Math.floor(from / LINE); at * LINE < from + width; at++) lines.add(at);
    }
    count = Math.min(Math.ceil((lines.size * LINE) / PASS_BYTES), Math.floor(each / SHORTEST));
  }
  return evenRanges(cols, Math.max(1, Math.min(count, cols)));
}

/** The range of `length` in `count` parts as equal as can be. */
function evenRanges(length: number, count: number): readonly Pass[] {
  return Array.from({ length: count }, (_, i) => [
    Math.round((i * length) / count),
    Math.round(((i + 1) * length) / count),
  ]);
}

/**
 * About the same ranges with their ends between blocks, where those are narrow enough: a block cut in two is two short units.
 * 3072×1024 at density 0.1 in blocks of 64×256, 100 columns: 4 passes of a block instead of 5 gain 3 %.
 */
function alongBlocks(
  passes: readonly Pass[],
  { cols, blockCols }: BlockGrid,
  asked: number | undefined,
): readonly Pass[] {
  const [first] = passes;
  if (passes.length < 2 || !first || blockCols > 1.5 * first[1]) return passes;
  const blocks = Math.ceil(cols / blockCols);
  const count = asked === undefined ? Math.round(blocks / Math.round(first[1] / blockCols)) : passes.length;
  if (count > blocks) return passes;
  const cut = (i: number) => Math.min(cols, blockCols * Math.round((i * blocks) / count));
  return Array.from({ length: count }, (_, i) => [cut(i), cut(i + 1)]);
}

/** A stream for an arbitrary mask (row-major, 0 = pruned): every row on its own. */
export function encodeRows(matrix: Matrix, mask: Uint8Array, options: UnitOptions): UnitStream {
  const { rows, cols, data } = matrix;
  invariant(data.length === rows * cols && mask.length === data.length, 'a mask of the size of the matrix');
  const units: Unit[] = [];
  const each = mask.reduce((sum, bit) => sum + (bit ? 1 : 0), 0) / Math.max(rows, 1);
  const passes = passesOf(cols, each, options);
  for (const [from, to] of passes) {
    const ofPass: Unit[] = [];
    for (let row = 0; row < rows; row++) {
      const kept: number[] = [];
      for (let col = from; col < to; col++) if (mask[row * cols + col]) kept.push(col);
      if (kept.length > 0) ofPass.push({ rows: [row], cols: kept });
    }
    for (const unit of sorted(ofPass)) units.push(unit);
  }
  return write(matrix, units, passes, options);
}

function choose(blocks: readonly Unit[], options: UnitOptions): readonly Unit[] {
  const units = blocks.flatMap((block) => tiles(block.rows, options).map((rows) => ({ ...block, rows })));
  if (options.form === 'units') return sorted(units);
  const byRow = new Map<number, number[]>();
  for (const { rows, cols, has } of blocks)
    for (const row of rows) {
      const own = has ? cols.filter((col) => has(row, col)) : cols;
      const list = byRow.get(row);
      if (list) for (const col of own) list.push(col);
      else byRow.set(row, [...own]);
    }
  const single = Array.from(byRow, ([row, cols]) => ({ rows: [row], cols }));
  const cycles = (list: readonly Unit[]) =>
    list.reduce((sum, { rows, cols }) => sum + unitCycles(rows.length, cols.length, options.columns), 0);
  return options.form === 'rows' || cycles(single) < cycles(units) ? single : sorted(units);
}

/** Cycles of a block cut into tiles. */
function blockCycles(rows: number, cols: number, options: UnitOptions): number {
  const { tallest, columns, cut } = options;
  const count = Math.ceil(rows / tallest);
  if (cut === 'full') {
    const rest = rows % tallest;
    return (
      Math.floor(rows / tallest) * unitCycles(tallest, cols, columns) + (rest ? unitCycles(rest, cols, columns) : 0)
    );
  }
  const low = Math.floor(rows / count);
  const high = rows - low * count;
  return (count - high) * unitCycles(low, cols, columns) + (high ? high * unitCycles(low + 1, cols, columns) : 0);
}

/** Joins two blocks as long as the cheapest pair costs less as one: fewer units for some multiplications by zero. */
function mergeNear(blocks: readonly Unit[], options: UnitOptions): readonly Unit[] {
  const left = blocks.map((block) => ({
    ...block,
    cycles: blockCycles(block.rows.length, block.cols.length, options),
    parts: [block] as readonly Unit[],
  }));
  const gain = (a: (typeof left)[number], b: (typeof left)[number]) => {
    const rows = new Set([...a.rows, ...b.rows]);
    return a.cycles + b.cycles - blockCycles(rows.size, a.cols.length + b.cols.length, options);
  };
  // Each block joins the one before it that it suits best: linear in pairs, which a greedy search over all is not.
  const merged: typeof left = [];
  for (const block of left) {
    let best = 0;
    let partner = -1;
    for (const [i, other] of merged.entries()) {
      const found = gain(other, block);
      if (found > best) [best, partner] = [found, i];
    }
    const other = merged[partner];
    if (!other) merged.push(block);
    else {
      const rows = [...new Set([...other.rows, ...block.rows])].sort((a, b) => a - b);
      const cols = [...other.cols, ...block.cols];
      const cycles = blockCycles(rows.length, cols.length, options);
      merged[partner] = { rows, cols, cycles, parts: [...other.parts, ...block.parts] };
    }
  }
  return merged.map(({ rows, cols, parts }) => {
    if (parts.length === 1) return { rows, cols };
    const owners = new Map<number, ReadonlySet<number>>();
    for (const part of parts) {
      const own = new Set(part.rows);
      for (const col of part.cols) owners.set(col, own);
    }
    return { rows, cols, has: (row, col) => owners.get(col)?.has(row) === true };
  });
}

function tiles(rows: readonly number[], { tallest, cut = 'balanced' }: UnitOptions): readonly (readonly number[])[] {
  if (cut === 'balanced') return balanced(rows, tallest);
  return Array.from({ length: Math.ceil(rows.length / tallest) }, (_, i) => rows.slice(i * tallest, (i + 1) * tallest));
}

/** Rows cut into as few tiles as possible whose heights differ by at most one. */
function balanced(rows: readonly number[], tallest: number): readonly number[][] {
  const tiles = Math.ceil(rows.length / tallest);
  return Array.from({ length: tiles }, (_, i) =>
    rows.slice(Math.round((i * rows.length) / tiles), Math.round(((i + 1) * rows.length) / tiles)),
  );
}

/** Single rows of equal columns together, those with more columns first. */
function ordered(units: readonly Unit[], { form, order }: UnitOptions): readonly Unit[] {
  if (form !== 'rows' || order !== 'signature') return units;
  const signatures = new Map(units.map((unit) => [unit, unit.cols.join()]));
  const of = (unit: Unit) => signatures.get(unit) ?? '';
  return units.toSorted((a, b) => b.cols.length - a.cols.length || (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0));
}

/**
 * Equal heights together, so that the jump in the kernel is predicted; of these, equal counts of columns, so that the end of
 * its loop is: 3×3 over 512 channels at 7×7 gains 2 to 6 %.
 */
function sorted(units: readonly Unit[]): readonly Unit[] {
  return units.toSorted((a, b) => b.rows.length - a.rows.length || b.cols.length - a.cols.length);
}

/**
 * Cycles of a unit on 24 columns, by rows: what begins and ends it, and each column. Fitted to units of 2 to 128 columns
 * whose input lies in the first-level cache (Zen 3, relaxed SIMD); two multiply-adds a cycle would be 3 per row and column.
 */
const WIDE_CYCLES = [
  [9, 4.6],
  [13, 6.1],
  [18, 9.4],
  [30, 12.7],
  [32, 15.6],
  [50, 18.2],
] as const;

/** The same for each 8 of 24 columns. */
const NARROW_CYCLES = [
  [6, 2.1],
  [10, 2.5],
  [12, 3.5],
  [14, 4.4],
  [15, 5.2],
  [21, 6.1],
] as const;

/** The same for each 16 of 24 columns, from the shares of the peak in `spmm.ts`; higher tiles are walked twice over 8. */
const MIDDLE_CYCLES = [[8, 3.2], [12, 4.4], ...NARROW_CYCLES.slice(2).map(([fixed, each]) => [2 * fixed, 2 * each])];

const CYCLES = { 24: WIDE_CYCLES, 16: MIDDLE_CYCLES, 8: NARROW_CYCLES } as const;

/** Estimated cycles of a unit for 24 columns of Y in tiles of `columns`. */
export function unitCycles(rows: number, cols: number, columns: FullColumns): number {
  const [fixed = 0, each = 0] = CYCLES[columns][rows - 1] ?? [];
  return (24 / columns) * (fixed + cols * each);
}

function write(matrix: Matrix, units: readonly Unit[], ranges: readonly Pass[], options: UnitOptions): UnitStream {
  const { bias, tallest } = options;
  invariant(tallest >= 1 && tallest <= ROWS_MASK, `tiles of ${tallest} rows`);
  invariant(!bias || bias.length === matrix.rows, `${bias?.length} biases for ${matrix.rows} rows`);
  const words: number[] = [];
  const weights: number[] = [];
  let count = 0;
  let cycles = 0;
  const emit = ({ rows, cols: kept, has }: Unit, flags: number) => {
    // Ascending addresses suit the prefetcher, and let a checker see duplicates.
    const cols = kept.toSorted((a, b) => options.xOffset(a) - options.xOffset(b));
    words.push(rows.length | flags, cols.length);
    for (const row of rows) words.push(options.yOffset(row));
    for (const col of cols) words.push(options.xOffset(col));
    if (flags & FIRST_TOUCH) for (const row of rows) weights.push(bias?.[row] ?? 0);
    for (const col of cols)
      for (const row of rows) weights.push(has && !has(row, col) ? 0 : (matrix.data[row * matrix.cols + col] ?? 0));
    count++;
    cycles += unitCycles(rows.length, cols.length, options.columns);
  };
  const empty = (rows: readonly number[], flags: number) => {
    if (rows.length > 0) for (const tile of balanced(rows, tallest)) emit({ rows: tile, cols: [] }, flags);
  };
  const first = new Map<number, number>();
  const last = new Map<number, number>();
  for (const [index, unit] of units.entries())
    for (const row of unit.rows) {
      if (!first.has(row)) first.set(row, index);
      last.set(row, index);
    }
  empty(
    Array.from({ length: matrix.rows }, (_, row) => row).filter((row) => !first.has(row)),
    FIRST_TOUCH | LAST_TOUCH,
  );
  for (const [index, unit] of units.entries()) {
    // A unit can begin or end its rows only when it does so for all of them; the others get units without columns.
    const begun = unit.rows.filter((row) => first.get(row) === index);
    const ended = unit.rows.filter((row) => last.get(row) === index);
    const [begins, ends] = [begun.length === unit.rows.length, ended.length === unit.rows.length];
    if (!begins) empty(begun, FIRST_TOUCH);
    emit(unit, (begins ? FIRST_TOUCH : 0) | (ends ? LAST_TOUCH : 0));
    if (!ends) empty(ended, LAST_TOUCH);
  }
  words.push(0);
  return {
    words: Int32Array.from(words),
    weights: Float32Array.from(weights),
    units: count,
    passes: ranges.length,
    ranges,
    cycles,
  };
}

/** What a stream may address. Offsets are of the first byte of a row; both ranges are inclusive. */
export interface UnitBounds {
  readonly tallest: number;
  readonly xOffsets: readonly [lowest: number, highest: number];
  /** The offsets of all rows of Y, in any order. */
  readonly yOffsets: Iterable<number>;
}

/**
 * Throws unless a kernel may walk the stream: sizes agree, offsets are aligned and within bounds, and every row of Y is
 * begun once, first, and ended once, last. One pass over the words.
 * @throws {GrimError} GRIM_CODEGEN_BAD_STREAM
 */
export function checkUnits({ words, weights }: Pick<UnitStream, 'words' | 'weights'>, bounds: UnitBounds): void {
  const state = new Map<number, 'untouched' | 'begun' | 'ended'>();
  for (const offset of bounds.yOffsets) state.set(offset, 'untouched');
  const [lowest, highest] = bounds.xOffsets;
  let at = 0;
  let used = 0;
  for (;;) {
    const unit = at;
    const head = words[at++];
    if (head === undefined) bad(unit, 'the stream has no end');
    if (head === 0) break;
    const rows = head & ROWS_MASK;
    if (rows < 1 || rows > bounds.tallest || (head & ~(ROWS_MASK | FIRST_TOUCH | LAST_TOUCH)) !== 0)
      bad(unit, `word ${head} is no unit of 1 to ${bounds.tallest} rows`);
    const cols = words[at++] ?? -1;
    if (cols < 0 || at + rows + cols >= words.length)
      bad(unit, `${rows} rows and ${cols} columns do not fit the stream`);
    let previous = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < rows; i++) {
      const offset = words[at++] ?? -1;
      const before = state.get(offset);
      if (before === undefined) bad(unit, `offset ${offset} is no row of the output`);
      if (offset <= previous) bad(unit, `row offset ${offset} follows ${previous}`);
      if ((head & FIRST_TOUCH) !== 0 ? before !== 'untouched' : before !== 'begun')
        bad(unit, `the row at ${offset} is ${before}`);
      state.set(offset, (head & LAST_TOUCH) !== 0 ? 'ended' : 'begun');
      previous = offset;
    }
    previous = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < cols; i++) {
      const offset = words[at++] ?? 0;
      if (offset % 4 !== 0 || offset < lowest || offset > highest)
        bad(unit, `input offset ${offset} is not a multiple of 4 in [${lowest}, ${highest}]`);
      if (offset <= previous) bad(unit, `input offset ${offset} follows ${previous}`);
      previous = offset;
    }
    used += rows * cols + ((head & FIRST_TOUCH) !== 0 ? rows : 0);
  }
  if (at !== words.length) bad(at, `${words.length - at} words follow the end`);
  if (used !== weights.length) bad(at, `the units need ${used} weights, ${weights.length} are there`);
  for (const [offset, end] of state) if (end !== 'ended') bad(at, `the row at ${offset} is ${end} at the end`);
}

function bad(word: number, found: string): never {
  throw new GrimError('GRIM_CODEGEN_BAD_STREAM', `unit stream, word ${word}: ${found}. Compile the model again.`, {
    word,
  });
}

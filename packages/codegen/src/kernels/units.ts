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
import { type BcrPattern, GrimError, invariant } from '@grim/ir';

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
  /** Estimated cycles for 16 columns; see {@link unitCycles}. */
  readonly cycles: number;
}

export interface UnitOptions {
  /** Rows of a tile: 6 with relaxed SIMD, 5 without. */
  readonly tallest: number;
  /** Columns of the kernel's tile: decides what a small tile costs. */
  readonly columns: 16 | 8;
  /** Byte offset of row `k` of X; different for every row. */
  readonly xOffset: (k: number) => number;
  /** Byte offset of row `m` of Y. */
  readonly yOffset: (m: number) => number;
  readonly bias?: Float32Array | undefined;
  /** 'units' and 'rows' force the form; the default takes the cheaper one for each row of blocks. */
  readonly form?: 'units' | 'rows' | 'auto' | undefined;
}

/** Rows that share columns. */
interface Unit {
  readonly rows: readonly number[];
  readonly cols: readonly number[];
}

/**
 * @param matrix values; those outside the pattern are never read
 * @throws {GrimError} GRIM_BCR_PATTERN_MISMATCH
 */
export function encodeUnits(matrix: Matrix, pattern: BcrPattern, options: UnitOptions): UnitStream {
  checkPattern(pattern, matrix);
  const { grid } = pattern;
  const { down, across } = blockCounts(grid);
  const strips: Strip[] = [];
  for (let strip = 0; strip < down; strip++) {
    const top = strip * grid.blockRows;
    const height = Math.min(grid.blockRows, grid.rows - top);
    const blocks: { rows: number[]; cols: number[] }[] = [];
    const byRows = new Map<string, { rows: number[]; cols: number[] }>();
    for (let i = 0; i < across; i++) {
      const rows = Array.from(pattern.keptRows[strip * across + i] ?? [], (row) => top + row);
      const cols = Array.from(pattern.keptCols[strip * across + i] ?? [], (col) => i * grid.blockCols + col);
      if (rows.length === 0 || cols.length === 0) continue;
      const same = byRows.get(rows.join());
      if (same) for (const col of cols) same.cols.push(col);
      else {
        const block = { rows, cols };
        byRows.set(rows.join(), block);
        blocks.push(block);
      }
    }
    strips.push({ rows: Array.from({ length: height }, (_, i) => top + i), units: choose(blocks, options) });
  }
  return write(matrix, strips, options);
}

/** A stream for an arbitrary mask (row-major, 0 = pruned): every row on its own. */
export function encodeRows(matrix: Matrix, mask: Uint8Array, options: UnitOptions): UnitStream {
  const { rows, cols, data } = matrix;
  invariant(data.length === rows * cols && mask.length === data.length, 'a mask of the size of the matrix');
  const strips = Array.from({ length: rows }, (_, row) => {
    const kept: number[] = [];
    for (let col = 0; col < cols; col++) if (mask[row * cols + col]) kept.push(col);
    return { rows: [row], units: kept.length > 0 ? [{ rows: [row], cols: kept }] : [] };
  });
  return write(matrix, strips, options);
}

/** Rows of the matrix that no unit outside the strip touches. */
interface Strip {
  readonly rows: readonly number[];
  readonly units: readonly Unit[];
}

function choose(blocks: readonly Unit[], options: UnitOptions): readonly Unit[] {
  const units = blocks.flatMap(({ rows, cols }) =>
    balanced(rows, options.tallest).map((tile) => ({ rows: tile, cols })),
  );
  if (options.form === 'units') return sorted(units);
  const byRow = new Map<number, number[]>();
  for (const { rows, cols } of blocks)
    for (const row of rows) {
      const list = byRow.get(row);
      if (list) for (const col of cols) list.push(col);
      else byRow.set(row, [...cols]);
    }
  const single = Array.from(byRow, ([row, cols]) => ({ rows: [row], cols }));
  const cycles = (list: readonly Unit[]) =>
    list.reduce((sum, { rows, cols }) => sum + unitCycles(rows.length, cols.length, options.columns), 0);
  return options.form === 'rows' || cycles(single) < cycles(units) ? single : sorted(units);
}

/** Rows cut into as few tiles as possible whose heights differ by at most one. */
function balanced(rows: readonly number[], tallest: number): readonly number[][] {
  const tiles = Math.ceil(rows.length / tallest);
  return Array.from({ length: tiles }, (_, i) =>
    rows.slice(Math.round((i * rows.length) / tiles), Math.round(((i + 1) * rows.length) / tiles)),
  );
}

/** Equal heights together, so that the jump in the kernel is predicted. */
function sorted(units: readonly Unit[]): readonly Unit[] {
  return units.toSorted((a, b) => b.rows.length - a.rows.length);
}

/**
 * Estimated cycles of a unit for 16 columns of Y: what starts and ends it, then per column the larger of multiply-adds (two
 * a cycle) and loads (about 1.5 a cycle, measured).
 */
export function unitCycles(rows: number, cols: number, columns: 16 | 8): number {
  const passes = columns === 16 && rows <= 2 ? 1 : 2;
  const vectors = passes === 1 ? 4 : 2;
  const perColumn = Math.max((rows * vectors) / 2, (1 + rows + vectors) / 1.5);
  return passes * (20 + 2 * rows * vectors + cols * perColumn);
}

function write(matrix: Matrix, strips: readonly Strip[], options: UnitOptions): UnitStream {
  const { bias, tallest } = options;
  invariant(tallest >= 1 && tallest <= ROWS_MASK, `tiles of ${tallest} rows`);
  invariant(!bias || bias.length === matrix.rows, `${bias?.length} biases for ${matrix.rows} rows`);
  const words: number[] = [];
  const weights: number[] = [];
  let count = 0;
  let cycles = 0;
  const emit = ({ rows, cols: kept }: Unit, flags: number) => {
    // Ascending addresses suit the prefetcher, and let a checker see duplicates.
    const cols = kept.toSorted((a, b) => options.xOffset(a) - options.xOffset(b));
    words.push(rows.length | flags, cols.length);
    for (const row of rows) words.push(options.yOffset(row));
    for (const col of cols) words.push(options.xOffset(col));
    if (flags & FIRST_TOUCH) for (const row of rows) weights.push(bias?.[row] ?? 0);
    for (const col of cols) for (const row of rows) weights.push(matrix.data[row * matrix.cols + col] ?? 0);
    count++;
    cycles += unitCycles(rows.length, cols.length, options.columns);
  };
  const empty = (rows: readonly number[], flags: number) => {
    if (rows.length > 0) for (const tile of balanced(rows, tallest)) emit({ rows: tile, cols: [] }, flags);
  };
  for (const { rows, units } of strips) {
    const first = new Map<number, number>();
    const last = new Map<number, number>();
    for (const [index, unit] of units.entries())
      for (const row of unit.rows) {
        if (!first.has(row)) first.set(row, index);
        last.set(row, index);
      }
    // A unit can begin or end its rows only when it does so for all of them; the others get units without columns.
    const all = (touch: ReadonlyMap<number, number>, index: number) =>
      units[index]?.rows.every((row) => touch.get(row) === index) ?? false;
    empty(
      rows.filter((row) => !first.has(row)),
      FIRST_TOUCH | LAST_TOUCH,
    );
    empty(
      rows.filter((row) => first.has(row) && !all(first, first.get(row) ?? 0)),
      FIRST_TOUCH,
    );
    for (const [index, unit] of units.entries())
      emit(unit, (all(first, index) ? FIRST_TOUCH : 0) | (all(last, index) ? LAST_TOUCH : 0));
    empty(
      rows.filter((row) => last.has(row) && !all(last, last.get(row) ?? 0)),
      LAST_TOUCH,
    );
  }
  words.push(0);
  return { words: Int32Array.from(words), weights: Float32Array.from(weights), units: count, cycles };
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

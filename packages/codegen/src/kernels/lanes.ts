/**
 * Encodes a sparse matrix for one input vector (N = 1), the form in which `gemv.ts` walks it.
 *
 * Rows lie in vector lanes: a unit is up to 32 kept rows of a block, padded to a multiple of 4, with the columns the block
 * keeps. words (i32), for each unit: `vectors | lanes of the last vector << 8`, number of columns, byte offset in Y of each
 * row, byte offset in X of each column; 0 ends the stream. weights (f32): one bias for each row of the matrix, padded to a
 * multiple of 4, then for each column of each unit 4 · vectors weights, zeros in the padding.
 * Blocks lower than 32 rows waste lanes; blocks that keep the same rows are joined first.
 */
import { blockCounts, checkPattern, type Matrix } from '@grim/bcr';
import { type BcrPattern, GrimError, invariant } from '@grim/ir';

/** Vectors of rows in a unit: 8 sums, one input, one weight and, without relaxed SIMD, one product. */
export const LANE_VECTORS = 8;

export interface LaneStream {
  readonly words: Int32Array<ArrayBuffer>;
  readonly weights: Float32Array<ArrayBuffer>;
  readonly units: number;
}

export interface LaneOptions {
  /** Byte offset of element `k` of X; different for every element. */
  readonly xOffset: (k: number) => number;
  readonly bias?: Float32Array | undefined;
}

/**
 * @param matrix values; those outside the pattern are never read
 * @throws {GrimError} GRIM_BCR_PATTERN_MISMATCH
 */
export function encodeLanes(matrix: Matrix, pattern: BcrPattern, options: LaneOptions): LaneStream {
  checkPattern(pattern, matrix);
  const { bias } = options;
  invariant(!bias || bias.length === matrix.rows, `${bias?.length} biases for ${matrix.rows} rows`);
  const { grid } = pattern;
  const { down, across } = blockCounts(grid);
  const words: number[] = [];
  const weights: number[] = Array.from({ length: Math.ceil(grid.rows / 4) * 4 }, (_, row) => bias?.[row] ?? 0);
  let units = 0;
  for (let strip = 0; strip < down; strip++) {
    const groups = new Map<string, { rows: number[]; cols: number[] }>();
    for (let i = 0; i < across; i++) {
      const rows = Array.from(pattern.keptRows[strip * across + i] ?? [], (row) => strip * grid.blockRows + row);
      const cols = Array.from(pattern.keptCols[strip * across + i] ?? [], (col) => i * grid.blockCols + col);
      if (rows.length === 0 || cols.length === 0) continue;
      const group = groups.get(rows.join()) ?? { rows, cols: [] };
      for (const col of cols) group.cols.push(col);
      groups.set(rows.join(), group);
    }
    for (const { rows, cols } of groups.values()) {
      cols.sort((a, b) => options.xOffset(a) - options.xOffset(b));
      const vectors = Math.ceil(rows.length / 4);
      const parts = Math.ceil(vectors / LANE_VECTORS);
      for (let part = 0; part < parts; part++) {
        const from = 4 * Math.round((part * vectors) / parts);
        const tile = rows.slice(from, 4 * Math.round(((part + 1) * vectors) / parts));
        const height = Math.ceil(tile.length / 4);
        words.push(height | ((((tile.length - 1) % 4) + 1) << 8), cols.length);
        for (const row of tile) words.push(4 * row);
        for (const col of cols) words.push(options.xOffset(col));
        for (const col of cols)
          for (let i = 0; i < 4 * height; i++) {
            const row = tile[i];
            weights.push(row === undefined ? 0 : (matrix.data[row * matrix.cols + col] ?? 0));
          }
        units++;
      }
    }
  }
  words.push(0);
  return { words: Int32Array.from(words), weights: Float32Array.from(weights), units };
}

/** Calls `each` with the vectors of each unit, in order. */
export function forEachLaneUnit(words: Int32Array, each: (vectors: number) => void): void {
  for (let at = 0; words[at]; ) {
    const head = words[at] ?? 0;
    const vectors = head & 255;
    each(vectors);
    at += 2 + 4 * (vectors - 1) + (head >> 8) + (words[at + 1] ?? 0);
  }
}

/**
 * Throws unless a kernel may walk the stream for `rows` rows and input offsets in the inclusive range.
 * @throws {GrimError} GRIM_CODEGEN_BAD_STREAM
 */
export function checkLanes(
  { words, weights }: Pick<LaneStream, 'words' | 'weights'>,
  bounds: { readonly rows: number; readonly xOffsets: readonly [lowest: number, highest: number] },
): void {
  const [lowest, highest] = bounds.xOffsets;
  let at = 0;
  let used = Math.ceil(bounds.rows / 4) * 4;
  for (;;) {
    const unit = at;
    const head = words[at++];
    if (head === undefined) bad(unit, 'the stream has no end');
    if (head === 0) break;
    const vectors = head & 255;
    const lanes = head >> 8;
    if (vectors < 1 || vectors > LANE_VECTORS || lanes < 1 || lanes > 4) bad(unit, `word ${head} is no unit`);
    const rows = 4 * (vectors - 1) + lanes;
    const cols = words[at++] ?? -1;
    if (cols < 1 || at + rows + cols >= words.length)
      bad(unit, `${rows} rows and ${cols} columns do not fit the stream`);
    let previous = -1;
    for (let i = 0; i < rows; i++) {
      const offset = words[at++] ?? -1;
      if (offset % 4 !== 0 || offset <= previous || offset >= 4 * bounds.rows)
        bad(
          unit,
          `row offset ${offset} after ${previous}; ascending multiples of 4 below ${4 * bounds.rows} are needed`,
        );
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
    used += 4 * vectors * cols;
  }
  if (at !== words.length) bad(at, `${words.length - at} words follow the end`);
  if (used !== weights.length) bad(at, `the units need ${used} weights, ${weights.length} are there`);
}

function bad(word: number, found: string): never {
  throw new GrimError('GRIM_CODEGEN_BAD_STREAM', `lane stream, word ${word}: ${found}. Compile the model again.`, {
    word,
  });
}

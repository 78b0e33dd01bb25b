/** Which rows and columns one block keeps: the submatrix of most energy, for a size or for a price per survivor. */
import type { BlockGrid } from '@grim/ir';
import { type Frontier, frontierFinder } from './frontier.ts';
import type { Block } from './pattern.ts';

/** Blocks of up to this many rows are solved exactly: 2^8 subsets of rows. */
const EXACT_ROWS = 8;

/** Rows and columns within the block, ascending, and the sum of the scores where they meet. */
export interface Choice {
  readonly rows: Uint16Array;
  readonly cols: Uint16Array;
  readonly energy: number;
}

export interface Solver {
  readonly nothing: Choice;
  /** The most energy with rows · columns ≤ `survivors`. */
  within(block: Block, survivors: number): Choice;
  /** The most of energy − price · rows · columns. */
  priced(block: Block, price: number): Choice;
  /** All prices at once; undefined in blocks where sets of rows are not tried one by one. */
  readonly frontier: ((block: Block) => Frontier) | undefined;
  /** The most energy of exactly so many rows and columns; where there is a frontier. */
  sized(block: Block, rows: number, cols: number): Choice;
  /** The choice with more of its block, as long as that pays: at most `survivors` more. */
  grown(block: Block, from: Choice, survivors: number): Choice;
  /** Largest sum that one survivor can stand for: a price above it empties every block. */
  largest(blocks: readonly Block[]): number;
}

export interface SolverOptions {
  readonly keepRows: number | undefined;
  readonly restarts: number;
  readonly seed: number;
}

/** @param scores  row-major with `cols` columns, finite, at least 0 */
export function solver(scores: Float64Array, cols: number, grid: BlockGrid, options: SolverOptions): Solver {
  const nothing: Choice = { rows: new Uint16Array(), cols: new Uint16Array(), energy: 0 };
  const width = grid.blockCols;
  // Column sums of every subset of rows (exact), or of one (alternating).
  const subsets = grid.blockRows <= EXACT_ROWS && options.keepRows !== 1 ? 2 ** grid.blockRows : 1;
  const sums = new Float64Array(subsets * width);
  const scratch = new Float64Array(Math.max(width, grid.blockRows));

  /** Rows that a block must keep, or undefined when it is free. */
  const fixedRows = (block: Block): number | undefined =>
    options.keepRows === undefined ? undefined : Math.max(1, Math.round(options.keepRows * block.height));

  const fillSubsetSums = (block: Block): void => {
    for (let subset = 1; subset < 2 ** block.height; subset++) {
      const row = 31 - Math.clz32(subset);
      const rest = (subset ^ (1 << row)) * width;
      const from = (block.top + row) * cols + block.left;
      for (let c = 0; c < block.width; c++)
        sums[subset * width + c] = (rest === 0 ? 0 : (sums[rest + c] ?? 0)) + (scores[from + c] ?? 0);
    }
  };

  /** Sets of rows that may be kept, with the sums of the columns over them. */
  const forEachSet = (block: Block, visit: (sum: Float64Array, rows: number, set: number) => void): void => {
    const fixed = fixedRows(block);
    if (fixed === block.height) {
      const all = Uint16Array.from({ length: block.height }, (_, r) => r);
      visit(columnSums(block, all), block.height, 0);
      return;
    }
    fillSubsetSums(block);
    for (let set = 1; set < 2 ** block.height; set++) {
      const rows = bitCount(set);
      if (fixed === undefined || rows === fixed)
        visit(sums.subarray(set * width, set * width + block.width), rows, set);
    }
  };

  const exact = (block: Block, value: (sum: Float64Array, rows: number) => number, pick: Picker): Choice => {
    let best = 0;
    let chosen = -1;
    forEachSet(block, (sum, rows, set) => {
      const worth = value(sum, rows);
      if (worth > best) {
        best = worth;
        chosen = set;
      }
    });
    if (chosen < 0) return nothing;
    const rows = Uint16Array.from({ length: block.height }, (_, r) => r);
    if (chosen === 0) return pick(columnSums(block, rows), rows);
    const kept = rows.filter((r) => (chosen >> r) & 1);
    return pick(sums.subarray(chosen * width, chosen * width + block.width), kept);
  };

  const columnSums = (block: Block, rows: Uint16Array): Float64Array => {
    const out = sums.subarray(0, block.width).fill(0);
    for (const row of rows) {
      const from = (block.top + row) * cols + block.left;
      for (let c = 0; c < block.width; c++) out[c] = (out[c] ?? 0) + (scores[from + c] ?? 0);
    }
    return out;
  };
  const rowSums = (block: Block, columns: Uint16Array): Float64Array =>
    Float64Array.from({ length: block.height }, (_, row) => {
      const from = (block.top + row) * cols + block.left;
      let sum = 0;
      for (const c of columns) sum += scores[from + c] ?? 0;
      return sum;
    });

  /** Sets of rows are tried one by one. */
  const isExact = (block: Block): boolean =>
    (block.height <= EXACT_ROWS && subsets > 1) || fixedRows(block) === block.height;
  const frontier = frontierFinder(forEachSet, grid.blockRows, width);

  const startsOf = (block: Block) => starts(block, options);
  /** `count` rows: those with the most energy on the columns that the rows of a start favour. */
  const strongest = (block: Block, start: Uint16Array, count: number): Uint16Array => {
    const favoured = topIndices(columnSums(block, start), Math.max(1, Math.ceil(block.width / 4)));
    return topIndices(rowSums(block, favoured), count);
  };

  /** Rows → columns → rows … until nothing changes, from every start; the best end wins. */
  const alternate = (
    block: Block,
    from: readonly Uint16Array[],
    worth: (c: Choice) => number,
    nextRows: RowPicker,
    pick: Picker,
  ): Choice => {
    let best = nothing;
    for (const start of from) {
      let current: Choice = nothing;
      let rows = start;
      for (let round = 0; round < 10 && rows.length > 0; round++) {
        const next = pick(columnSums(block, rows), rows);
        if (round > 0 && !(worth(next) > worth(current))) break;
        current = next;
        if (next.cols.length === 0) break;
        rows = nextRows(rowSums(block, next.cols), next.cols.length);
      }
      if (worth(current) > worth(best)) best = current;
    }
    return best;
  };

  return {
    nothing,
    frontier: subsets > 1 || options.keepRows === 1 ? frontier : undefined,
    sized(block, rows, cols) {
      const pick: Picker = (sum, kept) => choiceOf(kept, topIndices(sum, cols), sum);
      return exact(block, (sum, count) => (count === rows ? sumOfLargest(sum, cols, scratch) : 0), pick);
    },
    grown(block, from, survivors) {
      let { rows, cols: columns } = from;
      let left = survivors;
      if (rows.length === 0 || columns.length === 0) {
        if (left < 1) return from;
        const all = Uint16Array.from({ length: block.height }, (_, r) => r);
        const one = topIndices(columnSums(block, all), 1);
        [rows, columns, left] = [topIndices(rowSums(block, one), 1), one, left - 1];
      }
      // A column or a row more, whichever brings more for each survivor, until neither fits.
      for (;;) {
        const column = columns.length < block.width ? bestOther(columnSums(block, rows), columns) : undefined;
        const row =
          options.keepRows === undefined && rows.length < block.height
            ? bestOther(rowSums(block, columns), rows)
            : undefined;
        const byColumn = column && rows.length <= left ? column.value / rows.length : 0;
        const byRow = row && columns.length <= left ? row.value / columns.length : 0;
        if (!(byColumn > 0 || byRow > 0)) break;
        if (column && byColumn >= byRow) {
          columns = Uint16Array.of(...columns, column.index).sort();
          left -= rows.length;
        } else if (row) {
          rows = Uint16Array.of(...rows, row.index).sort();
          left -= columns.length;
        }
      }
      return choiceOf(rows, columns, columnSums(block, rows));
    },
    largest(blocks) {
      let most = 0;
      for (const block of blocks)
        for (let row = 0; row < block.height; row++)
          for (let c = 0; c < block.width; c++)
            most = Math.max(most, scores[(block.top + row) * cols + block.left + c] ?? 0);
      return most;
    },
    within(block, survivors) {
      const fixed = fixedRows(block);
      const columnsFor = (rows: number) => Math.min(block.width, Math.floor(survivors / rows));
      const pick: Picker = (sum, rows) => choiceOf(rows, topIndices(sum, columnsFor(rows.length)), sum);
      if (survivors < (fixed ?? 1)) return nothing;
      if (isExact(block)) return exact(block, (sum, rows) => sumOfLargest(sum, columnsFor(rows), scratch), pick);
      // The number of rows is part of the question here: try a ladder of them.
      let best = nothing;
      for (const count of fixed === undefined ? ladder(block.height) : [fixed]) {
        if (columnsFor(count) === 0) continue;
        const found = alternate(
          block,
          startsOf(block).map((rows) => strongest(block, rows, count)),
          (c) => c.energy,
          (sum) => topIndices(sum, count),
          pick,
        );
        if (found.energy > best.energy) best = found;
      }
      return best;
    },
    priced(block, price) {
      const fixed = fixedRows(block);
      const worth = (c: Choice) => c.energy - price * c.rows.length * c.cols.length;
      const pick: Picker = (sum, rows) => choiceOf(rows, indicesAbove(sum, price * rows.length), sum);
      if (isExact(block)) return exact(block, (sum, rows) => sumAbove(sum, price * rows), pick);
      const from = startsOf(block);
      return alternate(
        block,
        fixed === undefined ? from : from.map((rows) => strongest(block, rows, fixed)),
        worth,
        (sum, columns) => (fixed === undefined ? indicesAbove(sum, price * columns) : topIndices(sum, fixed)),
        pick,
      );
    },
  };
}

/** From the column sums over `rows`, the columns to keep with them. */
type Picker = (columnSums: Float64Array, rows: Uint16Array) => Choice;
type RowPicker = (rowSums: Float64Array, columns: number) => Uint16Array;

function choiceOf(rows: Uint16Array, cols: Uint16Array, sum: Float64Array): Choice {
  let energy = 0;
  for (const c of cols) energy += sum[c] ?? 0;
  return cols.length === 0 ? { rows: new Uint16Array(), cols, energy: 0 } : { rows: rows.slice(), cols, energy };
}

/** All rows, every second one, and random halves: what a start has in common with the answer, it pulls in the rest of. */
function starts(block: Block, { restarts, seed }: SolverOptions): readonly Uint16Array[] {
  const all = Uint16Array.from({ length: block.height }, (_, r) => r);
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(block.index + 1, 0x85ebca6b)) >>> 0 || 1;
  const random = () => {
    // xorshift32 (Marsaglia, 2003): only the order of starts depends on it.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const list = [all, all.filter((r) => r % 2 === 0)];
  for (let i = 0; i < restarts; i++) list.push(all.filter(() => random() < 0.5));
  return list.filter((rows) => rows.length > 0);
}

/** Row counts worth trying: all of a low block, about sixteen of a tall one. */
function ladder(height: number): readonly number[] {
  const steps = Math.min(height, 16);
  return [...new Set(Array.from({ length: steps }, (_, i) => Math.max(1, Math.round(((i + 1) * height) / steps))))];
}

/** The largest of the values whose index is not in `taken`; of equal ones the first. */
function bestOther(values: Float64Array, taken: Uint16Array): { readonly index: number; readonly value: number } {
  let index = -1;
  let value = Number.NEGATIVE_INFINITY;
  let next = 0;
  for (let i = 0; i < values.length; i++) {
    if (taken[next] === i) next++;
    else if ((values[i] as number) > value) [index, value] = [i, values[i] as number];
  }
  return { index, value };
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}

function indicesAbove(values: Float64Array, bound: number): Uint16Array {
  const kept: number[] = [];
  values.forEach((value, i) => {
    if (value > bound) kept.push(i);
  });
  return Uint16Array.from(kept);
}

function sumAbove(values: Float64Array, bound: number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const rest = (values[i] ?? 0) - bound;
    if (rest > 0) sum += rest;
  }
  return sum;
}

/** Indices of the `count` largest values, ascending; of equal values the lower index goes in. */
function topIndices(values: Float64Array, count: number): Uint16Array {
  if (count >= values.length) return Uint16Array.from({ length: values.length }, (_, i) => i);
  const order = Array.from(values.keys()).sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0) || a - b);
  return Uint16Array.from(order.slice(0, count)).sort();
}

/** Sum of the `count` largest values, by quickselect on a copy in `scratch`. */
function sumOfLargest(values: Float64Array, count: number, scratch: Float64Array): number {
  const n = values.length;
  if (count <= 0) return 0;
  scratch.set(values);
  if (count < n) {
    let low = 0;
    let high = n - 1;
    while (low < high) {
      const pivot = scratch[(low + high) >> 1] ?? 0;
      let i = low;
      let j = high;
      while (i <= j) {
        while ((scratch[i] ?? 0) > pivot) i++;
        while ((scratch[j] ?? 0) < pivot) j--;
        if (i <= j) {
          const held = scratch[i] ?? 0;
          scratch[i++] = scratch[j] ?? 0;
          scratch[j--] = held;
        }
      }
      if (count - 1 <= j) high = j;
      else if (count - 1 >= i) low = i;
      else break;
    }
  }
  let sum = 0;
  for (let i = 0; i < Math.min(count, n); i++) sum += scratch[i] ?? 0;
  return sum;
}

/** Which rows and columns one block keeps: the submatrix of most energy, for a size or for a price per survivor. */
import type { BlockGrid } from '@grim/ir';
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
  const subsets = grid.blockRows <= EXACT_ROWS ? 2 ** grid.blockRows : 1;
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

  const exact = (block: Block, value: (sum: Float64Array, rows: number) => number, pick: Picker): Choice => {
    fillSubsetSums(block);
    const fixed = fixedRows(block);
    let best = 0;
    let chosen = 0;
    for (let subset = 1; subset < 2 ** block.height; subset++) {
      const rows = bitCount(subset);
      if (fixed !== undefined && rows !== fixed) continue;
      const worth = value(sums.subarray(subset * width, subset * width + block.width), rows);
      if (worth > best) {
        best = worth;
        chosen = subset;
      }
    }
    if (chosen === 0) return nothing;
    const rows = Uint16Array.from({ length: block.height }, (_, r) => r).filter((r) => (chosen >> r) & 1);
    return pick(sums.subarray(chosen * width, chosen * width + block.width), rows);
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
      if (block.height <= EXACT_ROWS && subsets > 1)
        return exact(block, (sum, rows) => sumOfLargest(sum, columnsFor(rows), scratch), pick);
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
      if (block.height <= EXACT_ROWS && subsets > 1)
        return exact(block, (sum, rows) => sumAbove(sum, price * rows), pick);
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

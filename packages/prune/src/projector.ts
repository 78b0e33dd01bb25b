/**
 * The projection onto BCR patterns, for use a hundred times in a row on scores that change little: blocks compete at one
 * price per survivor, as in `projectBcr` of `@grim/bcr`, but the search for the price begins at the last one, and sums over
 * sets of rows are made once per call. It spends the budget up to the last block; `projectBcr` makes the final pattern.
 *
 * Blocks of few rows try every set of rows; taller ones take the rows in order of their energy on the columns chosen in
 * the call before.
 */
import type { BcrPattern, BlockGrid } from '@grim/ir';
import type { Pulse } from './pulse.ts';

/** Every set of rows is tried in blocks of up to this many rows, and of up to 8 while the table of sums stays small. */
const EXACT_ROWS = 4;
const TABLE = 2 ** 20;

/** @returns 1 where an element survives, at most `survivors` of them */
export type Projector = (scores: Float64Array, survivors: number, pulse: Pulse) => Promise<Uint8Array>;

/** @param columnsOnly  blocks keep all their rows */
export function projector({ rows, cols, blockRows, blockCols }: BlockGrid, columnsOnly: boolean): Projector {
  const across = Math.ceil(cols / blockCols);
  const strips = Math.ceil(rows / blockRows);
  const subsets = 2 ** blockRows - 1;
  const exact = columnsOnly || blockRows <= EXACT_ROWS || (blockRows <= 8 && subsets * strips * cols <= TABLE);
  const heightOf = (strip: number) => Math.min(blockRows, rows - strip * blockRows);
  const optionsOf = (height: number) => (columnsOnly ? 1 : exact ? 2 ** height - 1 : Math.min(height, 9));
  /** Rows in option `o` of a block. */
  const counts = new Map<number, Uint16Array>();
  for (const height of new Set([heightOf(0), heightOf(strips - 1)]))
    counts.set(
      height,
      Uint16Array.from({ length: optionsOf(height) }, (_, o) => {
        if (columnsOnly) return height;
        if (exact) return bits(o + 1);
        return height <= 9 ? o + 1 : Math.round(1 + (o * (height - 1)) / 8);
      }),
    );

  const starts = new Float64Array(strips * across + 1);
  for (let block = 0; block < strips * across; block++) {
    const width = Math.min(blockCols, cols - (block % across) * blockCols);
    starts[block + 1] = (starts[block] as number) + optionsOf(heightOf(Math.floor(block / across))) * width;
  }
  const sums = new Float64Array(starts[strips * across] as number);
  const chosen = new Int32Array(strips * across).fill(-1);
  const tried = new Int32Array(strips * across);
  const mask = new Uint8Array(rows * cols);
  /** Rows of each block in order of energy (tall blocks). */
  const order = exact ? new Uint16Array() : new Uint16Array(strips * across * blockRows);
  let price = 0;

  const tabulate = (scores: Float64Array): void => {
    for (let block = 0; block < strips * across; block++) {
      const strip = Math.floor(block / across);
      const left = (block % across) * blockCols;
      const width = Math.min(blockCols, cols - left);
      const height = heightOf(strip);
      const base = starts[block] as number;
      const rowAt = (row: number) => (strip * blockRows + row) * cols + left;
      if (columnsOnly) {
        sums.fill(0, base, base + width);
        for (let row = 0; row < height; row++) addRow(sums, base, base, scores, rowAt(row), width);
      } else if (exact) {
        for (let set = 1; set < 2 ** height; set++) {
          const row = 31 - Math.clz32(set);
          const rest = set ^ (1 << row);
          const to = base + (set - 1) * width;
          if (rest === 0) sums.set(scores.subarray(rowAt(row), rowAt(row) + width), to);
          else addRow(sums, to, base + (rest - 1) * width, scores, rowAt(row), width);
        }
      } else tabulateTall(block, scores, rowAt, height, width);
    }
  };

  const tabulateTall = (
    block: number,
    scores: Float64Array,
    rowAt: (row: number) => number,
    height: number,
    width: number,
  ): void => {
    const base = starts[block] as number;
    const kept: number[] = [];
    // Any kept row shows which columns were chosen; without one, all columns count.
    for (let row = 0; row < height && kept.length === 0; row++)
      for (let c = 0; c < width; c++) if (mask[rowAt(row) + c]) kept.push(c);
    const energy = Array.from({ length: height }, (_, row) => {
      let sum = 0;
      if (kept.length > 0) for (const c of kept) sum += scores[rowAt(row) + c] as number;
      else for (let c = 0; c < width; c++) sum += scores[rowAt(row) + c] as number;
      return sum;
    });
    const sorted = energy.map((_, row) => row).sort((a, b) => (energy[b] as number) - (energy[a] as number) || a - b);
    order.set(sorted, block * blockRows);
    const running = new Float64Array(width);
    let option = 0;
    const sizes = counts.get(height) as Uint16Array;
    sorted.forEach((row, i) => {
      addRow(running, 0, 0, scores, rowAt(row), width);
      if (sizes[option] === i + 1) sums.set(running, base + option++ * width);
    });
  };

  /** Fills `tried` with the best option of each block at this price; returns the survivors. */
  const survivorsAt = (at: number): number => {
    let total = 0;
    for (let block = 0; block < strips * across; block++) {
      const height = heightOf(Math.floor(block / across));
      const width = Math.min(blockCols, cols - (block % across) * blockCols);
      const sizes = counts.get(height) as Uint16Array;
      let best = 0;
      let pick = -1;
      let kept = 0;
      let from = starts[block] as number;
      for (let o = 0; o < sizes.length; o++) {
        const bound = at * (sizes[o] as number);
        let worth = 0;
        let above = 0;
        for (const end = from + width; from < end; from++) {
          const rest = (sums[from] as number) - bound;
          if (rest > 0) {
            worth += rest;
            above++;
          }
        }
        if (worth > best) {
          best = worth;
          pick = o;
          kept = above * (sizes[o] as number);
        }
      }
      tried[block] = pick;
      total += kept;
    }
    return total;
  };

  return async (scores, survivors, pulse) => {
    tabulate(scores);
    const tooMany = async (at: number): Promise<boolean> => {
      await pulse.beat(0);
      return survivorsAt(at) > survivors;
    };
    let low = 0;
    let high = 0;
    if (price > 0) {
      // Near the last price, most of the time.
      [low, high] = [price / 1.3, price * 1.3];
      while (await tooMany(high)) [low, high] = [high, high * 2];
      while (low > 1e-300 && !(await tooMany(low))) [low, high] = [low / 2, low];
    } else {
      let largest = 0;
      for (const v of scores) if (v > largest) largest = v;
      [low, high] = [largest * 1e-12, largest * 2];
    }
    for (let step = price > 0 ? 12 : 40; step > 0 && low < high; step--) {
      const middle = Math.sqrt(low) * Math.sqrt(high);
      if (await tooMany(middle)) low = middle;
      else high = middle;
    }
    survivorsAt(high);
    chosen.set(tried);
    price = high;
    const result = new Uint8Array(rows * cols);
    for (let block = 0; block < strips * across; block++) {
      const option = chosen[block] as number;
      if (option < 0) continue;
      const strip = Math.floor(block / across);
      const left = (block % across) * blockCols;
      const width = Math.min(blockCols, cols - left);
      const height = heightOf(strip);
      const size = counts.get(height)?.[option] as number;
      const base = (starts[block] as number) + option * width;
      for (let i = 0; i < height; i++) {
        if (exact && !columnsOnly && !(((option + 1) >> i) & 1)) continue;
        if (!exact && i >= size) break;
        const row = exact ? i : (order[block * blockRows + i] as number);
        const to = (strip * blockRows + row) * cols + left;
        for (let c = 0; c < width; c++) if ((sums[base + c] as number) > high * size) result[to + c] = 1;
      }
    }
    mask.set(result);
    return result;
  };
}

function addRow(out: Float64Array, to: number, from: number, scores: Float64Array, at: number, width: number): void {
  for (let c = 0; c < width; c++) out[to + c] = (out[from + c] as number) + (scores[at + c] as number);
}

function bits(set: number): number {
  let count = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** The pattern of a mask that consists of one rectangle of rows and columns per block. */
export function patternOfMask(grid: BlockGrid, mask: Uint8Array): BcrPattern {
  const { rows, cols, blockRows, blockCols } = grid;
  const keptRows: Uint16Array[] = [];
  const keptCols: Uint16Array[] = [];
  for (let top = 0; top < rows; top += blockRows)
    for (let left = 0; left < cols; left += blockCols) {
      const height = Math.min(blockRows, rows - top);
      const width = Math.min(blockCols, cols - left);
      const at = (row: number, col: number) => mask[(top + row) * cols + left + col] === 1;
      const inRow: number[] = [];
      const inCol = new Set<number>();
      for (let row = 0; row < height; row++) {
        let any = false;
        for (let col = 0; col < width; col++)
          if (at(row, col)) {
            any = true;
            inCol.add(col);
          }
        if (any) inRow.push(row);
      }
      keptRows.push(Uint16Array.from(inRow));
      keptCols.push(Uint16Array.from(inCol).sort());
    }
  return { grid, keptRows, keptCols };
}

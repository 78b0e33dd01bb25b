/**
 * Why a product is computed as it is, and what would change that, for `explain`. Nothing here knows a threshold: the code that
 * chooses is asked again, with the same product at other densities, in other blocks or with more columns.
 */
import { blockGrid, density, type Matrix, nonZeros } from '@grim/bcr';
import type { BcrPattern, BlockGrid } from '@grim/ir';
import type { Schedule } from '../schedule.ts';
import { type Chosen, cheapest, forEachUnit, type Product } from './product-form.ts';

/** Blocks that are asked about where a matrix has none, or single rows: low and wide, as `prune` makes them. */
const ASKED_ROWS = 4;
/** Steps of halving until a density is known to two digits. */
const STEPS = 7;
/** A lower estimate than this share of the other is worth saying. */
const WORTH = 0.95;

/**
 * @param given  a schedule that decides instead
 * @param n  columns of a typical call
 * @returns sentences without a full stop: the choice and why, then what would change it
 */
export function reasonOf(product: Product, given: Schedule | undefined, n: number): readonly string[] {
  const found = cheapest(product, n);
  const { rows, cols } = product.matrix;
  const what = `${rows}×${cols}×${n}, ${share(densityOf(product))} kept`;
  if (given) return [`${what}: ${given.form}, as the schedule says; without it ${formText(found)}`];
  const { cycles } = found;
  if (!cycles) return [`${what}: ${formText(found)}, as nothing is pruned`, flipText(product, n)];
  const ratio = `${(cycles.sparse / cycles.dense).toFixed(2)} of the cycles of the dense form are estimated`;
  if (!found.stream)
    return [
      `${what}: ${formText(found)}, as ${ratio} for the sparse one, and less than ${cycles.below} is asked for`,
      flipText(product, n),
    ];
  return [
    `${what}: ${formText(found)}, as ${ratio}`,
    ...singleRows(product, found, n),
    `dense from ${share(lastSparse((kept) => scaled(product, kept), n, [densityOf(product), 1]))} kept up, in blocks like these`,
  ];
}

/**
 * The same for one vector.
 * @param walked  the pattern whose weights are multiplied
 */
export function reasonOfVector(
  product: Product,
  given: Schedule | undefined,
  walked: BcrPattern,
  blockRows: number,
): readonly string[] {
  const { rows, cols } = product.matrix;
  const kept = densityOf(product);
  const multiplied = nonZeros(walked) / Math.max(1, rows * cols);
  const own = product.pattern?.grid;
  const low = own !== undefined && blockRows > 0;
  const why = given ? 'as the schedule says' : 'as N = 1';
  const covers = low
    ? `, blocks of ${own.blockRows}×${width(own)} covered by ${blockRows} rows: ${share(multiplied)} is multiplied`
    : '';
  const next = cheapest(product, 2);
  return [
    `${rows}×${cols}×1, ${share(kept)} kept: rows in lanes, ${why}${covers}`,
    ...(low && multiplied > kept / WORTH
      ? [`in blocks of ${blockRows} rows ${share(kept)} would be multiplied, not ${share(multiplied)}`]
      : []),
    ...(product.pattern ? [] : ['nothing is pruned: what a pattern leaves out is left out here at any density']),
    `with 2 columns (a batch of 2): ${formText(next)}`,
  ];
}

function formText({ schedule, stream }: Chosen): string {
  if (schedule.form === 'pairs') return 'dense, panels of 2 rows against 24 columns';
  if (!stream) return 'dense, panels of 6 rows';
  const single = singleShare(stream.words);
  const { columns = 8 } = schedule;
  if (single === 1) return `sparse, row by row (CSR) over ${columns} columns, as no rows of a block share theirs`;
  let tallest = 1;
  forEachUnit(stream.words, (rows) => {
    tallest = Math.max(tallest, rows);
  });
  const part = single > 0 ? `, ${share(single)} of them row by row (CSR)` : '';
  return `sparse, units of up to ${tallest} rows against ${columns} columns${part}`;
}

/** Of the weights, in units of one row. */
function singleShare(words: Int32Array): number {
  let [single, all] = [0, 0];
  forEachUnit(words, (rows, cols) => {
    all += rows * cols;
    if (rows === 1) single += cols;
  });
  return single / Math.max(1, all);
}

/** What lower, wider blocks would gain where rows go one by one. */
function singleRows(product: Product, { stream, cycles }: Chosen, n: number): readonly string[] {
  if (!stream || !cycles || singleShare(stream.words) < 0.5) return [];
  const other = cheapest(inBlocks(product, ASKED_ROWS, densityOf(product)), n);
  if (!other.cycles || other.cycles.sparse > WORTH * cycles.sparse) return [];
  const ratio = (other.cycles.sparse / cycles.sparse).toFixed(2);
  return [`${ASKED_ROWS}×K blocks of the same density would run as units, in ${ratio} of these cycles`];
}

/** Where a dense product becomes a sparse one. */
function flipText(product: Product, n: number): string {
  const { pattern } = product;
  const most = densityOf(product);
  const from = (make: (kept: number) => Product) => {
    const kept = lastSparse(make, n, [0, most]);
    return kept > 0 ? `from ${share(kept)} kept down` : 'at no density';
  };
  if (pattern && most < 1) return `sparse ${from((kept) => scaled(product, kept))}, in blocks like these`;
  const low = from((kept) => inBlocks(product, ASKED_ROWS, kept));
  return `sparse ${low} in ${ASKED_ROWS}×K blocks, ${from((kept) => inBlocks(product, 1, kept))} row by row`;
}

/** The highest density of a range at which the sparse form is chosen, if it is at the lowest. */
function lastSparse(make: (kept: number) => Product, n: number, [from, to]: readonly [number, number]): number {
  let [low, high] = [from, to];
  for (let step = 0; step < STEPS; step++) {
    const middle = (low + high) / 2;
    if (cheapest(make(middle), n).stream) low = middle;
    else high = middle;
  }
  return low;
}

/** The product with a pattern of whole rows of blocks `height` high, each of which keeps that share of its columns. */
function inBlocks(product: Product, height: number, kept: number): Product {
  const { rows, cols } = product.matrix;
  const grid = blockGrid(rows, cols, Math.min(height, rows), Math.min(cols, 65536));
  return {
    ...product,
    pattern: patternOf(
      product.matrix,
      grid,
      () => 1,
      () => kept,
    ),
  };
}

/** The product with more or fewer columns kept in each of its blocks; rows where there are no more columns. */
function scaled(product: Product, kept: number): Product {
  const { pattern, matrix } = product;
  if (!pattern) return inBlocks(product, ASKED_ROWS, kept);
  const factor = kept / density(pattern);
  const parts = (list: readonly Uint16Array[], i: number, of: number) => (list[i]?.length ?? 0) / of;
  const across = (i: number) => factor * parts(pattern.keptCols, i, pattern.grid.blockCols);
  const down = (i: number) => parts(pattern.keptRows, i, pattern.grid.blockRows) * Math.max(1, across(i));
  return { ...product, pattern: patternOf(matrix, pattern.grid, down, (i) => Math.min(1, across(i))) };
}

/** Shares of rows and columns of each block, spread evenly; what is left of rounding goes to the next block. */
function patternOf(
  { rows, cols }: Matrix,
  grid: BlockGrid,
  down: (i: number) => number,
  across: (i: number) => number,
): BcrPattern {
  const wide = Math.ceil(cols / grid.blockCols);
  const count = Math.ceil(rows / grid.blockRows) * wide;
  const spread = (shareOf: (i: number) => number, length: (i: number) => number): Uint16Array[] => {
    let owed = 0;
    return Array.from({ length: count }, (_, i) => {
      const of = length(i);
      const wanted = owed + Math.min(1, shareOf(i)) * of;
      const kept = Math.min(of, Math.max(0, Math.round(wanted)));
      owed = wanted - kept;
      return Uint16Array.from({ length: kept }, (_entry, j) => Math.floor((j * of) / kept));
    });
  };
  const keptRows = spread(down, (i) => Math.min(grid.blockRows, rows - Math.floor(i / wide) * grid.blockRows));
  const keptCols = spread(across, (i) => Math.min(grid.blockCols, cols - (i % wide) * grid.blockCols));
  return { grid, keptRows, keptCols };
}

function densityOf({ pattern }: Product): number {
  return pattern ? density(pattern) : 1;
}

function width({ cols, blockCols }: BlockGrid): string {
  return blockCols >= cols ? 'K' : String(blockCols);
}

/** Two digits: the estimates are no better. */
function share(value: number): string {
  return value.toFixed(2);
}

/**
 * Products of a constant matrix with one vector: rows of the matrix in lanes (`gemv.ts`), low blocks covered by taller ones,
 * whole rows of blocks shared among threads.
 */
import { applyPattern, blockGrid, coverOn, densePattern, density, type Matrix, nonZeros } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';
import { addGemv, laneParts } from '../kernels/gemv.ts';
import { encodeLanes } from '../kernels/lanes.ts';
import type { Address, Kernel } from '../program.ts';
import { productKey } from '../schedule.ts';
import { gemvTwin, laneTable } from '../wgsl/gemv.ts';
import { kernelOfFamily } from './kernel-of-family.ts';
import { rowsOf } from './pattern-rows.ts';
import { after, offsetsOf, type Placer, roomFor } from './product.ts';
import type { Product } from './product-form.ts';
import { reasonOfVector } from './product-reason.ts';
import { piecesFor, type Range } from './share.ts';

/** Rows of a dense block in lanes. */
const LANE_ROWS = 32;
/** Multiply-adds of a vector product in a cycle: one load of four weights each. */
export const LANE_SPEED = 4;

/** y = A · x + bias for one vector x; y is contiguous. @param leastPieces  in which the rows are called, where no schedule says how many */
export function callVectorProduct(
  c: Placer,
  product: Pick<Product, 'matrix' | 'pattern' | 'bias' | 'xOffset' | 'activation'>,
  x: Address,
  y: Address,
  residual: Address | undefined,
  leastPieces = 1,
): void {
  const { bias, xOffset, activation } = product;
  // A cover reads zeros where a weight is pruned, whatever the file holds there.
  const matrix = product.pattern ? applyPattern(product.matrix, product.pattern) : product.matrix;
  const { rows, cols, data } = matrix;
  const epilogue = { activation, residual: residual !== undefined };
  const key = productKey({ ...product, rows, depth: cols, columns: 1, epilogue });
  const given = c.products.given(key, true);
  const { pattern, blockRows } = inLanes(matrix, product.pattern, given?.blockRows);
  const share = product.pattern ? density(product.pattern) : 1;
  const site = { key, node: c.node.name, rows, depth: cols, columns: 1, density: share, pattern: product.pattern };
  const onGpu = c.gpu
    ? { parts: 8, splitK: 1, ...c.products.givenGpu(key, ['lanes']), form: 'lanes' as const }
    : undefined;
  const reason = () => reasonOfVector({ ...product, yRow: 4 }, given, pattern, blockRows);
  c.products.place({ ...site, schedule: given ?? { form: 'lanes', blockRows }, gpu: onGpu, reason });
  const kernel: Kernel = kernelOfFamily(
    `f32_lanes_gemv`,
    activation,
    residual !== undefined,
    (module, family, exported, parts) =>
      addGemv(module, { ...family, epilogue: { activation, residual: residual !== undefined }, exported, parts }),
  );
  const pieces = given?.pieces ?? Math.max(leastPieces, piecesFor(c, nonZeros(pattern) / LANE_SPEED));
  c.products.within(key, () =>
    c.parallel(() => {
      for (const { first, count } of laneRanges(pattern, pieces)) {
        const part = { rows: count, cols, data: data.subarray(first * cols, (first + count) * cols) };
        const own = bias?.subarray(first, first + count);
        const stream = encodeLanes(part, rowsOf(pattern, first, count), { bias: own, xOffset });
        const at = residual ? after(residual, 4 * first) : 0;
        const words = c.stream(stream.words, { kind: 'lanes', offsets: offsetsOf(matrix, xOffset) });
        const weights = c.laneWeights(stream.weights, words, count);
        const table = c.gpu ? laneTable(stream.words, count) : undefined;
        const twin = table && { twin: gemvTwin(epilogue, table, onGpu), tables: [c.data(table.words)], halves: [5] };
        const room = roomFor(c, onGpu, count);
        c.call(
          { ...kernel, parts: laneParts(stream.words), ...twin },
          count,
          x,
          after(y, 4 * first),
          at,
          words,
          weights,
          ...(room ? [room] : []),
        );
      }
    }),
  );
}

/** Whole rows of blocks, in about `pieces` ranges of equally many non-zeros. */
function laneRanges(pattern: BcrPattern, pieces: number): readonly Range[] {
  const { grid } = pattern;
  const across = Math.ceil(grid.cols / grid.blockCols);
  const found: { first: number; count: number }[] = [];
  const each = nonZeros(pattern) / pieces;
  let sum = 0;
  for (let top = 0; top < grid.rows; top += grid.blockRows) {
    const count = Math.min(grid.blockRows, grid.rows - top);
    const strip = (top / grid.blockRows) * across;
    const last = found.at(-1);
    // A new piece begins where the non-zeros before it reach the next share.
    if (last && (pieces === 1 || sum < each * found.length)) last.count += count;
    else found.push({ first: top, count });
    for (let i = strip; i < strip + across; i++)
      sum += (pattern.keptRows[i]?.length ?? 0) * (pattern.keptCols[i]?.length ?? 0);
  }
  return found;
}

/**
 * What a product with a vector takes, in loads of four weights: each column of a unit also loads, spreads and finds its x, so
 * that blocks of 4 rows take 1.9 times as long for a weight as those of 32, blocks of 8 rows 1.3 times, those of 16 rows 1.1
 * times (512 → 1000, 1024 → 3072; larger ones wait for memory, and the ratios are less).
 */
function laneCost({ keptRows, keptCols }: BcrPattern): number {
  return keptRows.reduce((sum, rows, i) => {
    const cols = keptCols[i]?.length ?? 0;
    if (rows.length === 0 || cols === 0) return sum;
    const vectors = Math.ceil(rows.length / 4);
    const units = Math.ceil(rows.length / LANE_ROWS);
    return sum + units * UNIT_COST + cols * (vectors + units * COLUMN_COST);
  }, 0);
}

const COLUMN_COST = 1.1;
const UNIT_COST = 20;
/** A pattern that is estimated to take more than this share of the time of another is not sure to be faster. */
const SURE = 0.9;
/**
 * A cover that keeps more than this saves less than its own column lists may cost: 4096×4096 with 0.95 of its columns took 1.02 to
 * 1.14 times as long as all of it. The dense matrix is never slower than itself.
 */
const NEARLY_DENSE = 0.9;

/**
 * Lanes want tall blocks: low ones are covered by taller ones where that is faster, and where the dense matrix would be.
 * What `pattern` prunes is zero in `matrix`.
 */
function inLanes(
  matrix: Matrix,
  pattern: BcrPattern | undefined,
  wanted: number | undefined,
): { readonly pattern: BcrPattern; readonly blockRows: number } {
  const grid = (rows: number) => blockGrid(matrix.rows, matrix.cols, rows, 65536);
  // One tall column of blocks over everything is the dense matrix in lanes.
  if (!pattern) {
    const blockRows = wanted || LANE_ROWS;
    return { pattern: densePattern(grid(blockRows)), blockRows };
  }
  if (wanted === 0) return { pattern, blockRows: 0 };
  const cover = (rows: number) => ({ pattern: coverOn(matrix, grid(rows)).pattern, blockRows: rows });
  if (wanted !== undefined) return cover(wanted);
  const costOf = (one: ReturnType<typeof cover>) => laneCost(one.pattern);
  const lower = [16, 8].filter((rows) => rows > pattern.grid.blockRows).map(cover);
  const own = { pattern, blockRows: 0 };
  // A cover stores zeros: it has to be worth it, and what is not sure to be faster than the dense matrix nearly becomes it.
  const low = lower.reduce((best, next) => (costOf(next) < SURE * costOf(best) ? next : best), own);
  const dense = { pattern: densePattern(grid(LANE_ROWS)), blockRows: LANE_ROWS };
  if (costOf(low) < SURE * costOf(dense)) return low;
  const tall = cover(LANE_ROWS);
  return density(tall.pattern) > NEARLY_DENSE ? dense : tall;
}

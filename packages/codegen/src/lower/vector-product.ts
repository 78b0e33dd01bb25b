/**
 * Products of a constant matrix with one vector: rows of the matrix in lanes (`gemv.ts`), low blocks covered by taller ones,
 * whole rows of blocks shared among threads.
 */
import { applyPattern, blockGrid, coverOn, densePattern, density, type Matrix, nonZeros } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';
import { addGemv } from '../kernels/gemv.ts';
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

/** y = A · x + bias for one vector x; y is contiguous. */
export function callVectorProduct(
  c: Placer,
  product: Pick<Product, 'matrix' | 'pattern' | 'bias' | 'xOffset' | 'activation'>,
  x: Address,
  y: Address,
  residual: Address | undefined,
): void {
  const { matrix, bias, xOffset, activation } = product;
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
    (module, family, exported) =>
      addGemv(module, { ...family, epilogue: { activation, residual: residual !== undefined }, exported }),
  );
  const pieces = given?.pieces ?? piecesFor(c, nonZeros(pattern) / LANE_SPEED);
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
        c.call({ ...kernel, ...twin }, count, x, after(y, 4 * first), at, words, weights, ...(room ? [room] : []));
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

/** Lanes want blocks of 32 rows: low blocks are covered by taller ones when that multiplies less. */
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
  if (wanted === 0 || (wanted === undefined && pattern.grid.blockRows >= LANE_ROWS)) return { pattern, blockRows: 0 };
  const kept = applyPattern(matrix, pattern);
  const cover = (rows: number) => ({ pattern: coverOn(kept, grid(rows)).pattern, blockRows: rows });
  if (wanted !== undefined) return cover(wanted);
  const lanes = (p: BcrPattern) =>
    p.keptRows.reduce((sum, rows, i) => sum + 4 * Math.ceil(rows.length / 4) * (p.keptCols[i]?.length ?? 0), 0);
  const candidates = [{ pattern, blockRows: 0 }, ...[32, 16, 8].map(cover)];
  return candidates.reduce((best, next) => (lanes(next.pattern) < lanes(best.pattern) ? next : best));
}

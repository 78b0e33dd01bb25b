/** One layer: projection, mask and refit, against brute force and against each other. */
import { applyPattern, blockGrid, nonZeros, projectBcr } from '@grim/bcr';
import { type BcrPattern, patternMask } from '@grim/ir';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { multiplyNow, transposed, view } from '../src/linalg/gemm.ts';
import { type Problem, problemOf, refit, relativeError } from '../src/problem.ts';
import { patternOfMask, projector } from '../src/projector.ts';
import { SILENT } from '../src/pulse.ts';
import { randomStream } from '../src/random.ts';
import { type Criterion, select } from '../src/select.ts';

const normal = (random: () => number) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** A 64 × 128 layer with correlated inputs of very different sizes, as in the exploration. */
async function correlatedLayer(m = 64, k = 128, count = 2048, seed = 1) {
  const random = randomStream(seed);
  const factors = 24;
  const mix = Float64Array.from({ length: factors * k }, () => normal(random));
  const spread = Float64Array.from({ length: k }, () => Math.exp(normal(random)));
  const x = new Float64Array(count * k);
  for (let s = 0; s < count; s++) {
    const hidden = Array.from({ length: factors }, () => normal(random) ** 3 / 4);
    for (let i = 0; i < k; i++) {
      let sum = 0.6 * normal(random);
      for (let f = 0; f < factors; f++) sum += 0.35 * (hidden[f] as number) * (mix[f * k + i] as number);
      x[s * k + i] = sum * (spread[i] as number);
    }
  }
  const weight = Float64Array.from({ length: m * k }, () => normal(random) / Math.sqrt(k));
  const h = new Float64Array(k * k);
  const xs = view(x, k);
  multiplyNow({ m: k, n: k, k: count, a: transposed(xs), b: xs, c: { ...view(h, k), data: h } });
  for (let i = 0; i < h.length; i++) h[i] = (h[i] as number) / count;
  const g = new Float64Array(m * k);
  multiplyNow({ m, n: k, k, a: view(weight, k), b: view(h, k), c: { ...view(g, k), data: g } });
  const moments = { count, k, m, h, g, meanX: new Float64Array(k), meanY: new Float64Array(m) };
  return { weight, problem: await problemOf([moments], weight, 0.01, SILENT) };
}

const ones = (m: number) => new Float64Array(m).fill(1);

function rowsOf({ grid, keptRows, keptCols }: BcrPattern): Uint32Array[] {
  const across = Math.ceil(grid.cols / grid.blockCols);
  const lists: number[][] = Array.from({ length: grid.rows }, () => []);
  keptRows.forEach((rows, block) => {
    for (const row of rows)
      for (const col of keptCols[block] ?? [])
        lists[Math.floor(block / across) * grid.blockRows + row]?.push((block % across) * grid.blockCols + col);
  });
  return lists.map((list) => Uint32Array.from(list));
}

function masked(weight: Float64Array, pattern: BcrPattern): Float64Array {
  const out = new Float64Array(weight.length);
  rowsOf(pattern).forEach((list, row) => {
    for (const col of list) out[row * pattern.grid.cols + col] = weight[row * pattern.grid.cols + col] as number;
  });
  return out;
}

async function errorOf(
  { problem, weight }: { problem: Problem; weight: Float64Array },
  criterion: Criterion,
  block: readonly [number, number],
  solved: boolean,
  columnsOnly = false,
): Promise<number> {
  const grid = blockGrid(problem.m, problem.k, ...block);
  const selection = { criterion, grid, density: 0.25, columnsOnly, gain: ones(problem.m) };
  const pattern = await select(problem, weight, selection, SILENT);
  expect(nonZeros(pattern)).toBeLessThanOrEqual(0.25 * problem.m * problem.k);
  const v = solved ? await refit(problem, rowsOf(pattern), SILENT) : masked(weight, pattern);
  return relativeError(problem, v, ones(problem.m), SILENT);
}

describe('refit', () => {
  it('equals direct least squares on each row to 1e-10', async () => {
    const layer = await correlatedLayer(16, 40, 600);
    const { problem, weight } = layer;
    const grid = blockGrid(16, 40, 4, 8);
    const pattern = projectBcr({ rows: 16, cols: 40, data: Float32Array.from(weight) }, grid, { density: 0.3 });
    const rows = rowsOf(pattern);
    const v = await refit(problem, rows, SILENT);
    const { h, g, k } = problem;
    const whole = h[0] as Float64Array;
    rows.forEach((kept, row) => {
      // Gaussian elimination with pivoting on the normal equations of this row alone.
      const n = kept.length;
      const system = Array.from({ length: n }, (_, i) => [
        ...Array.from({ length: n }, (_, j) => whole[(kept[i] as number) * k + (kept[j] as number)] as number),
        g[row * k + (kept[i] as number)] as number,
      ]);
      for (let c = 0; c < n; c++) {
        const pivot = system.slice(c).reduce((best, r) => (Math.abs(r[c] ?? 0) > Math.abs(best[c] ?? 0) ? r : best));
        const at = system.indexOf(pivot);
        [system[c], system[at]] = [pivot, system[c] as number[]];
        for (const other of system)
          if (other !== pivot) {
            const f = (other[c] ?? 0) / (pivot[c] ?? 1);
            for (let j = c; j <= n; j++) other[j] = (other[j] ?? 0) - f * (pivot[j] ?? 0);
          }
      }
      const found = Array.from(kept, (col) => v[row * k + col] as number);
      found.forEach((value, i) => {
        const direct = (system[i]?.[n] ?? 0) / (system[i]?.[i] ?? 1);
        expect(Math.abs(value - direct)).toBeLessThanOrEqual(1e-10 * Math.max(1, Math.abs(direct)));
      });
    });
    // Nothing outside the pattern.
    expect(masked(v, pattern)).toEqual(v);
  });

  it('is worth a factor of two and more, and the size of the input as much again', async () => {
    const layer = await correlatedLayer();
    const cell = (criterion: Criterion, solved: boolean) => errorOf(layer, criterion, [4, 16], solved);
    const magnitude = await cell('magnitude', false);
    const magnitudeRefit = await cell('magnitude', true);
    const wanda = await cell('wanda', false);
    const wandaRefit = await cell('wanda', true);
    const admm = await cell('admm', true);
    expect(magnitudeRefit).toBeLessThan(magnitude / 2);
    expect(wandaRefit).toBeLessThan(wanda / 2);
    expect(wandaRefit).toBeLessThan(magnitudeRefit / 2);
    expect(wandaRefit).toBeLessThan(magnitude / 6);
    expect(admm).toBeLessThan(wandaRefit);
  });

  it('loses more the larger the blocks are, from single weights to the whole matrix', async () => {
    const layer = await correlatedLayer();
    const shapes = [
      [1, 128],
      [2, 128],
      [4, 16],
      [8, 32],
      [64, 128],
    ] as const;
    const errors: number[] = [];
    for (const shape of shapes) errors.push(await errorOf(layer, 'admm', shape, true));
    for (let i = 1; i < errors.length; i++) expect(errors[i]).toBeGreaterThan(errors[i - 1] as number);
    // Free rows and columns are never worse than columns alone by more than the search's own noise.
    expect(errors[2]).toBeLessThan(1.02 * (await errorOf(layer, 'admm', [4, 16], true, true)));
  });
});

describe('the projection inside ADMM', () => {
  it('M1: stays within the count and near the best pattern, for remainder blocks, ties and single rows too', async () => {
    const side = fc.integer({ min: 1, max: 13 });
    await fc.assert(
      fc.asyncProperty(
        ...[side, side, side, side, fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(), fc.boolean()],
        async (rows, cols, blockRows, blockCols, density, seed, ties) => {
          const random = randomStream(seed);
          const scores = Float64Array.from({ length: rows * cols }, () => (ties ? 1 : random() ** 2));
          const grid = blockGrid(rows, cols, blockRows, blockCols);
          const budget = Math.floor(density * rows * cols);
          const project = projector(grid, false);
          const best = projectBcr({ rows, cols, data: new Float32Array(rows * cols) }, grid, { density, scores });
          const data = Float32Array.from(scores);
          const most = applyPattern({ rows, cols, data }, best).data.reduce((sum, v) => sum + v, 0);
          const block = Math.min(blockRows, rows) * Math.min(blockCols, cols);
          for (let call = 0; call < 3; call++) {
            const mask = await project(scores, budget, SILENT);
            // One rectangle per block: the mask of its pattern is the mask.
            expect(patternMask(patternOfMask(grid, mask))).toEqual(mask);
            const kept = mask.reduce((sum, v) => sum + v, 0);
            expect(kept).toBeLessThanOrEqual(budget);
            // Ties empty or fill a block at once; else at most the last block is left out.
            const energy = mask.reduce((sum, v, i) => sum + v * (scores[i] as number), 0);
            if (!ties && blockRows <= 8) expect(energy).toBeGreaterThanOrEqual(most - block - 1e-3);
          }
        },
      ),
      { seed: 11, numRuns: 200 },
    );
  });
});

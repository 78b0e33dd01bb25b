/** Pruning for crossbars while training, on a trainer that solves its problem exactly; and the sets it trains to. */
import { blockGrid, projectBcr } from '@grim/bcr';
import { patternMask } from '@grim/ir';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AdmmTrainer,
  admmTrain,
  columnNonZeros,
  crossbarMask,
  mapMatrix,
  type Projection,
  projectColumnProportional,
  projectQuantised,
  quantise,
  type RealMatrix,
} from '../src/index.ts';
import { crossbar, randomIntegers } from './arrays.ts';

const [F, K] = [6, 24];

/**
 * ½‖X·Wᵀ − Y‖² over correlated inputs, minimised by coordinates until nothing moves; `steps` is not looked at.
 * W is [filters, inputs], one row after the other.
 */
function leastSquares(seed: number): AdmmTrainer & { readonly loss: (w: ArrayLike<number>) => number } {
  const x = randomIntegers(60, K, seed, 100, 1).data.map((v, i) => v + (i % 3 === 0 ? 60 : 0));
  const truth = randomIntegers(F, K, seed + 1, 100, 1).data;
  const noise = randomIntegers(60, F, seed + 2, 2000, 1).data;
  const y = Float64Array.from({ length: 60 * F }, (_, at) => {
    let sum = noise[at] ?? 0;
    for (let i = 0; i < K; i++) sum += (x[Math.floor(at / F) * K + i] ?? 0) * (truth[(at % F) * K + i] ?? 0);
    return sum / 1e4;
  });
  const gram = Float64Array.from({ length: K * K }, (_, at) => {
    let sum = 0;
    for (let n = 0; n < 60; n++) sum += (x[n * K + Math.floor(at / K)] ?? 0) * (x[n * K + (at % K)] ?? 0);
    return sum / 1e4;
  });
  const right = Float64Array.from({ length: F * K }, (_, at) => {
    let sum = 0;
    for (let n = 0; n < 60; n++) sum += (y[n * F + Math.floor(at / K)] ?? 0) * (x[n * K + (at % K)] ?? 0);
    return sum / 100;
  });
  const loss = (w: ArrayLike<number>): number => {
    let sum = 0;
    for (let n = 0; n < 60; n++)
      for (let f = 0; f < F; f++) {
        let error = -(y[n * F + f] ?? 0);
        for (let i = 0; i < K; i++) error += ((w[f * K + i] ?? 0) * (x[n * K + i] ?? 0)) / 100;
        sum += error * error;
      }
    return sum / 2;
  };
  let w = new Float64Array(F * K);
  return {
    loss,
    weights: async () => new Map([['w', Float32Array.from(w)]]),
    train: async ({ penalties }) => {
      const { strength = 0, target } = penalties.get('w') ?? {};
      w = Float64Array.from(w);
      for (let sweep = 0; sweep < 400; sweep++)
        for (let f = 0; f < F; f++)
          for (let i = 0; i < K; i++) {
            let sum = (right[f * K + i] ?? 0) + strength * (target?.[f * K + i] ?? 0);
            for (let j = 0; j < K; j++) if (j !== i) sum -= (gram[i * K + j] ?? 0) * (w[f * K + j] ?? 0);
            w[f * K + i] = sum / ((gram[i * K + i] ?? 0) + strength);
          }
      return { loss: loss(w) };
    },
  };
}

const matrix = (data: Float64Array): RealMatrix<Float64Array> => ({ rows: F, cols: K, data });
const few: Projection = (w) => projectColumnProportional(matrix(w), 8, 2).data;
const levels: Projection = (w) => projectQuantised(matrix(w), 8).data;
const gentle = Array.from({ length: 40 }, (_, i) => 0.5 * 1.25 ** i);

describe('ADMM in training', () => {
  it('brings weights to columns of few non-zeros at 8 bits, at less loss than cutting the dense solution', async () => {
    let [ours, cut] = [0, 0];
    for (const seed of [11, 21, 31, 41]) {
      const trainer = leastSquares(seed);
      const { loss } = await trainer.train({ steps: 1, rate: 1, penalties: new Map() });
      const dense = Float64Array.from((await trainer.weights()).get('w') ?? []);
      expect(trainer.loss(dense)).toBeCloseTo(loss, 4);
      const { weights, history } = await admmTrain(trainer, new Map([['w', [few, levels]]]), {
        ...{ rho: gentle, steps: 1, rate: 1 },
      });
      expect(history).toHaveLength(40);
      expect(history.at(-1)?.primal).toBeLessThan(0.2 * (history[0]?.primal ?? 0));
      const found = Float64Array.from(weights.get('w') ?? []);
      expect(columnNonZeros(matrix(found), 8)).toBeLessThanOrEqual(2);
      const { integers, scales } = quantise(matrix(found), 8);
      found.forEach((value, i) => {
        expect(Math.abs(value - (integers.data[i] ?? 0) * (scales[Math.floor(i / K)] ?? 1))).toBeLessThan(1e-6);
      });
      ours += trainer.loss(found);
      cut += trainer.loss(levels(few(dense)));
    }
    expect(ours).toBeLessThan(0.8 * cut);
  });

  it('M1: refuses penalties that are none, stops with the reason of the signal', async () => {
    const sets = new Map([['w', [few]]]);
    const options = { steps: 1, rate: 1 };
    for (const rho of [[], [0], [Number.NaN]])
      await expect(admmTrain(leastSquares(1), sets, { ...options, rho })).rejects.toMatchObject({
        code: 'GRIM_RERAM_BAD_TARGET',
      });
    await expect(admmTrain(leastSquares(1), new Map(), { ...options, rho: [1] })).rejects.toMatchObject({
      code: 'GRIM_RERAM_BAD_TARGET',
    });
    const reason = new Error('enough');
    await expect(
      admmTrain(leastSquares(1), sets, { ...options, rho: [1], signal: { aborted: true, reason } }),
    ).rejects.toBe(reason);
  });
});

const random = (rows: number, cols: number, seed: number): RealMatrix<Float64Array> => ({
  rows,
  cols,
  data: Float64Array.from(randomIntegers(rows, cols, seed, 1000, 1).data),
});

describe('polarised columns', () => {
  it('M1: are the nearest with one sign a column and few non-zeros: every other choice is further', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 5, maxLength: 5 }),
        fc.integer({ min: 0, max: 5 }),
        (values, most) => {
          const w = { rows: 1, cols: 5, data: Float64Array.from(values) };
          const z = projectColumnProportional(w, 5, most, { polarised: true }).data;
          const distance = (other: ArrayLike<number>) =>
            values.reduce((sum, value, i) => sum + (value - (other[i] ?? 0)) ** 2, 0);
          expect(z.every((v) => v >= 0) || z.every((v) => v <= 0)).toBe(true);
          expect(z.filter((v) => v !== 0).length).toBeLessThanOrEqual(most);
          for (let mask = 0; mask < 32; mask++)
            for (const sign of [1, -1]) {
              const other = values.map((value, i) => ((mask >> i) & 1 && value * sign > 0 ? value : 0));
              if (other.filter((v) => v !== 0).length > most) continue;
              expect(distance(z)).toBeLessThanOrEqual(distance(other));
            }
        },
      ),
      { seed: 2, numRuns: 300 },
    );
  });

  it('need half the columns under sign-separated storage', () => {
    const w = random(32, 256, 4);
    const { integers } = quantise(projectColumnProportional(w, 16, 8, { polarised: true }), 8);
    const columnsOf = (m: typeof integers) =>
      mapMatrix(m, crossbar({ rows: 16, storage: 'sign-separated' })).present.reduce((sum, one) => sum + one, 0);
    expect(columnsOf(integers)).toBe(32 * 16);
    expect(columnsOf(quantise(w, 8).integers)).toBe(2 * 32 * 16);
  });
});

describe('kinds of pruning together', () => {
  it('M1: structured, BCR and column-proportional hold on one weight, and whole arrays disappear', () => {
    const w = random(64, 288, 9);
    const grid = blockGrid(64, 288, 4, 32);
    const pattern = projectBcr({ ...w, data: Float32Array.from(w.data) }, grid, { density: 0.6 });
    const slices = { crossbarCols: 128, slices: 4, filters: 0.5, inputs: 0.4, inputRun: 9 };
    const mask = crossbarMask(w, { crossbarRows: 128, maxNonZeros: 10, perSign: true, pattern, structured: slices });
    const inside = patternMask(pattern);
    const used = { rows: new Set<number>(), cols: new Set<number>() };
    mask.forEach((one, i) => {
      if (!one) return;
      expect(inside[i]).toBe(1);
      used.rows.add(Math.floor(i / 288));
      used.cols.add(i % 288);
    });
    expect(used.rows.size).toBe(32);
    expect(used.cols.size).toBeLessThanOrEqual(126);
    const kept = { ...w, data: w.data.map((value, i) => (mask[i] ? value : 0)) };
    for (const sign of [1, -1])
      expect(columnNonZeros({ ...w, data: kept.data.map((v) => Math.max(0, sign * v)) }, 288)).toBeLessThanOrEqual(10);
    // One block of lines and one of columns are left of three and two.
    const lines = { filters: [...used.rows].sort((a, b) => a - b), wordLines: [...used.cols].sort((a, b) => a - b) };
    const whole = mapMatrix(quantise(w, 8).integers, crossbar());
    const left = mapMatrix(quantise(kept, 8).integers, crossbar(), lines);
    expect([whole.rowBlocks.length - 1, whole.outputBlocks.length - 1]).toEqual([3, 2]);
    expect([left.rowBlocks.length - 1, left.outputBlocks.length - 1]).toEqual([1, 1]);
    // Without either constraint the same call is plain column-proportional pruning.
    const plain = crossbarMask(w, { crossbarRows: 128, maxNonZeros: 10 });
    expect(plain).toEqual(Uint8Array.from(projectColumnProportional(w, 128, 10).data, (v) => (v === 0 ? 0 : 1)));
  });
});

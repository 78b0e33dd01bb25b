/** Random numbers, and what devices do to conductances: moments, independence, laws of time. */
import { describe, expect, it } from 'vitest';
import { calibrate, type Device, mapMatrix, mapSingleCell, multiply, program, randomStream } from '../src/index.ts';
import { philox } from '../src/random.ts';
import { crossbar, exactProduct, randomIntegers } from './arrays.ts';
import { cases } from './vectors.ts';

interface NoiseCase {
  readonly id: string;
  readonly sigma: number;
  readonly gpos: readonly (readonly number[])[];
  readonly gneg: readonly (readonly number[])[];
  readonly x: readonly number[];
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** P(normal ≤ z), by its complementary error function (Abramowitz and Stegun 7.1.26 is too coarse: Simpson instead). */
function normalCdf(z: number): number {
  const steps = 400;
  const width = Math.abs(z) / steps;
  let sum = 0;
  for (let i = 0; i < steps; i++) {
    const density = (t: number) => Math.exp((-t * t) / 2);
    const a = i * width;
    sum += (width / 6) * (density(a) + 4 * density(a + width / 2) + density(a + width));
  }
  return 0.5 + (Math.sign(z) * sum) / Math.sqrt(2 * Math.PI);
}

/** Kolmogorov's limiting distribution: probability of a larger distance. */
function ksProbability(distance: number, count: number): number {
  const scaled = Math.sqrt(count) * distance;
  let sum = 0;
  for (let j = 1; j <= 100; j++) sum += (j % 2 === 1 ? 2 : -2) * Math.exp(-2 * j * j * scaled * scaled);
  return Math.min(1, Math.max(0, sum));
}

describe('random numbers', () => {
  it('M4: Philox gives the known answers of its authors', () => {
    expect(philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    const ones = 0xffffffff;
    expect(philox([ones, ones, ones, ones], [ones, ones])).toEqual([0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    expect(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])).toEqual([
      0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1,
    ]);
  });

  it('M4: a number depends on seed, stream, layer and index alone, in any order', () => {
    const draw = (indices: readonly number[], seed = 1, stream = 2, layer = 3) => {
      const s = randomStream(seed, stream, layer);
      return new Map(indices.map((i) => [i, i % 3 === 0 ? s.uniform(i) : s.normal(i)]));
    };
    const forward = [...Array(999).keys()];
    const expected = draw(forward);
    expect([...draw([...forward].reverse())].sort((a, b) => a[0] - b[0])).toEqual([...expected]);
    for (const other of [draw(forward, 2), draw(forward, 1, 3), draw(forward, 1, 2, 4)])
      for (const [i, value] of other) expect(value).not.toBe(expected.get(i));
    expect(draw([1], 2 ** 40).get(1)).not.toBe(draw([1], 2 ** 41).get(1));
  });

  for (const seed of [1, 2, 3])
    it(`M5: 10⁷ normals of seed ${seed} have the mean, variance, shape and independence of normals`, () => {
      const n = 1e7;
      const stream = randomStream(seed, 7);
      const values = new Float64Array(n);
      let sum = 0;
      let squares = 0;
      for (let i = 0; i < n; i++) {
        const value = stream.normal(i);
        values[i] = value;
        sum += value;
        squares += value * value;
      }
      const mean = sum / n;
      const variance = squares / n - mean * mean;
      expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(n));
      expect(Math.abs(variance - 1)).toBeLessThan(0.005);
      for (let lag = 1; lag <= 10; lag++) {
        let product = 0;
        for (let i = lag; i < n; i++) product += (values[i] ?? 0) * (values[i - lag] ?? 0);
        expect(Math.abs(product / n), `lag ${lag}`).toBeLessThan(5 / Math.sqrt(n));
      }
      values.sort();
      let distance = 0;
      // Every 500th order statistic: between them the empirical curve moves by 500/n at most, which is added.
      const stride = 500;
      for (let i = 0; i < n; i += stride) distance = Math.max(distance, Math.abs(normalCdf(values[i] ?? 0) - i / n));
      expect(ksProbability(distance + stride / n, n)).toBeGreaterThan(1e-4);
    });
});

describe('devices', () => {
  it('M5: Monte-Carlo of programming errors meets the moments of every reference case', (ctx) => {
    const all = cases<NoiseCase>('noise_statistics', ctx);
    const trials = 4000;
    for (const c of all) {
      const [m, k] = [c.gpos.length, c.x.length];
      const kind = c.id.includes('prop') ? 'proportional' : 'constant';
      const run = (cells: readonly (readonly number[])[], first: number) => {
        // One continuous cell per weight with Gmin = 0: a conductance g is the weight g of a one-sided pair.
        const mapping = mapSingleCell(
          { rows: m, cols: k, data: Float64Array.from(cells.flat()) },
          crossbar({ cellBits: 0, device: { onOffRatio: Infinity, programming: { kind, sigma: c.sigma } } }),
        );
        return Array.from({ length: trials }, (_, t) => {
          const { cells: drawn } = program(mapping, { seed: first + t });
          return Array.from({ length: m }, (_o, o) => c.x.reduce((sum, x, i) => sum + x * (drawn[o * k + i] ?? 0), 0));
        });
      };
      const positive = run(c.gpos, 1);
      const negative = run(c.gneg, 1 + trials);
      for (let o = 0; o < m; o++) {
        const currents = positive.map((row, t) => (row[o] ?? 0) - (negative[t]?.[o] ?? 0));
        const mean = currents.reduce((a, b) => a + b, 0) / trials;
        const variance = currents.reduce((a, b) => a + (b - mean) ** 2, 0) / (trials - 1);
        const wanted = c.std[o] ?? 0;
        expect(Math.abs(mean - (c.mean[o] ?? 0)), c.id).toBeLessThan((5 * wanted) / Math.sqrt(trials));
        expect(Math.abs(Math.sqrt(variance) - wanted), c.id).toBeLessThan((5 * wanted) / Math.sqrt(2 * trials));
      }
    }
    expect(all.length).toBeGreaterThan(0);
  });

  const programmed = (device: Device, seconds = 0, seed = 1) => {
    const levels = Int32Array.from({ length: 40000 }, (_, i) => i % 4);
    const mapping = mapMatrix({ rows: 200, cols: 200, data: levels }, crossbar({ weightBits: 3, device }));
    const { cells, offset, ...rest } = program(mapping, { seed, seconds });
    // Back to conductances, by level; the first half are the positive cells.
    const scale = 3 / (1 - 1 / device.onOffRatio);
    const byLevel: number[][] = [[], [], [], []];
    for (const [i, level] of levels.entries()) byLevel[level]?.push((cells[i] ?? 0) / scale);
    return { byLevel, ...rest };
  };
  const moments = (values: readonly number[]) => {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const std = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1));
    return { mean, std, error: std / Math.sqrt(values.length), count: values.length };
  };

  it('M5: each programming model spreads conductances by its law, around the wanted one', () => {
    const onOffRatio = 10;
    const gmin = 1 / onOffRatio;
    const wanted = [0, 1, 2, 3].map((level) => gmin + ((1 - gmin) * level) / 3);
    for (const [programming, sigma] of [
      [{ kind: 'constant', sigma: 0.03 }, () => 0.03],
      [{ kind: 'proportional', sigma: 0.05 }, (g: number) => 0.05 * g],
      [
        { kind: 'state-dependent', sigmas: [0.01, 0.05, 0.02] },
        (g: number) => (g < 0.5 ? 0.01 + 0.08 * g : 0.08 - 0.06 * g),
      ],
    ] as const) {
      const { byLevel } = programmed({ onOffRatio, programming });
      byLevel.forEach((values, level) => {
        const g = wanted[level] ?? 0;
        const found = moments(values);
        expect(Math.abs(found.mean - g)).toBeLessThan(5 * found.error);
        expect(Math.abs(found.std / sigma(g) - 1)).toBeLessThan(5 / Math.sqrt(2 * found.count));
      });
    }
    const { byLevel } = programmed({ onOffRatio, programming: { kind: 'lognormal', sigma: 0.1 } });
    byLevel.forEach((values, level) => {
      const found = moments(values.map((v) => Math.log(v / (wanted[level] ?? 1))));
      expect(Math.abs(found.mean)).toBeLessThan(5 * found.error);
      expect(Math.abs(found.std / 0.1 - 1)).toBeLessThan(5 / Math.sqrt(2 * found.count));
    });
  });

  it('M7: stuck cells come at their rates, at HRS and at LRS, whatever the programming error', () => {
    const device: Device = {
      onOffRatio: 10,
      programming: { kind: 'constant', sigma: 0.01 },
      stuckHrs: 0.02,
      stuckLrs: 0.1,
    };
    const { byLevel, stuckCells } = programmed(device);
    const middle = [...(byLevel[1] ?? []), ...(byLevel[2] ?? [])];
    const share = (g: number) => middle.filter((value) => Math.abs(value - g) < 1e-12).length / middle.length;
    const within = (rate: number) => 5 * Math.sqrt((rate * (1 - rate)) / middle.length);
    expect(Math.abs(share(0.1) - 0.02)).toBeLessThan(within(0.02));
    expect(Math.abs(share(1) - 0.1)).toBeLessThan(within(0.1));
    expect(Math.abs(stuckCells / 80000 - 0.12)).toBeLessThan(5 * Math.sqrt((0.12 * 0.88) / 80000));
  });

  it('drift follows its power of time, retention its Arrhenius factor', () => {
    const drift = { exponent: 0.05, referenceSeconds: 1 } as const;
    const { byLevel } = programmed({ onOffRatio: 10, drift }, 1e4);
    for (const value of byLevel[3] ?? []) expect(value).toBeCloseTo(1e4 ** -0.05, 12);
    const retention = { activationEnergyEv: 1.1, temperatureK: 398, referenceK: 358 } as const;
    const factor = Math.exp((1.1 / 8.617333262e-5) * (1 / 358 - 1 / 398));
    const hot = programmed({ onOffRatio: 10, drift, retention }, 1e4).byLevel;
    for (const value of hot[3] ?? []) expect(value).toBeCloseTo((1e4 * factor) ** -0.05, 12);
    const fresh = programmed({ onOffRatio: 10, drift, retention }, 0).byLevel;
    for (const value of fresh[3] ?? []) expect(value).toBeCloseTo(1, 14);
    const spread = moments(
      programmed({ onOffRatio: 10, retention: { activationEnergyEv: 0, temperatureK: 300, sigmaPerDecade: 0.01 } }, 999)
        .byLevel[2] ?? [],
    );
    expect(Math.abs(spread.std / 0.03 - 1)).toBeLessThan(5 / Math.sqrt(2 * spread.count));
  });

  it('M5: read noise of a column is that of its cells, and differs from read to read', () => {
    const w = randomIntegers(1, 64, 3, 7, 1);
    const positive = { ...w, data: w.data.map(Math.abs) };
    const device: Device = { onOffRatio: Infinity, readNoise: { kind: 'constant', sigma: 0.02 } };
    // One cell per weight, one input bit: the result is the current itself.
    const bar = crossbar({ cellBits: 3, weightBits: 4, inputBits: 1, storage: 'sign-separated', device });
    const reads = 20000;
    const x = Int32Array.from({ length: reads * 64 }, (_, i) => (i % 64 < 40 ? 1 : 0));
    const mapping = mapMatrix(positive, bar);
    const y = multiply(mapping, x, { seed: 5 });
    const { mean, std, error } = moments(Array.from(y));
    expect(Math.abs(mean - (exactProduct(positive, x.subarray(0, 64))[0] ?? 0))).toBeLessThan(5 * error);
    expect(Math.abs(std / (0.02 * 7 * Math.sqrt(40)) - 1)).toBeLessThan(5 / Math.sqrt(2 * reads));
    // M4: in two parts the same.
    const later = multiply(mapping, x.subarray(64 * 7000), { seed: 5, firstVector: 7000 });
    expect(Array.from(later)).toEqual(Array.from(y.subarray(7000)));
  });

  it('M4: programming in any order gives the same cells; a seed or a layer gives others', () => {
    const device: Device = { onOffRatio: 20, programming: { kind: 'constant', sigma: 0.05 } };
    const mapping = mapMatrix(randomIntegers(9, 31, 2, 127, 1), crossbar({ device }));
    const cells = (seed: number, layer: number) => Array.from(program(mapping, { seed, layer }).cells);
    expect(cells(4, 1)).toEqual(cells(4, 1));
    expect(cells(4, 1)).not.toEqual(cells(5, 1));
    expect(cells(4, 1)).not.toEqual(cells(4, 2));
  });

  it('M6: calibrated ranges clip nothing of the samples, and the error stays within half a step per conversion', () => {
    const w = randomIntegers(6, 60, 8, 127, 1);
    const bits = 6;
    const bar = crossbar({ rows: 30, adc: { model: 'uniform', bits, range: 'max' } });
    const x = randomIntegers(5, 60, 9, 255, 1).data.map(Math.abs);
    const limits = calibrate(mapMatrix(w, bar), x);
    expect(limits.length).toBe(4);
    const y = multiply(mapMatrix(w, { ...bar, adc: { model: 'uniform', bits, range: { slices: limits } } }), x);
    // Two blocks, two signs; each conversion errs by half a step at most.
    const bound = limits.reduce((sum, [, high], slice) => {
      const step = (high * 3) / (2 ** bits - 1);
      return sum + 255 * 4 ** slice * 2 * 2 * (step / 2);
    }, 0);
    exactProduct(w, x).forEach((value, i) => {
      expect(Math.abs((y[i] ?? 0) - value)).toBeLessThanOrEqual(bound);
    });
    const tight = calibrate(mapMatrix(w, bar), x, { coverage: 0.9 });
    tight.forEach(([, high], slice) => {
      expect(high).toBeLessThanOrEqual(limits[slice]?.[1] ?? 0);
    });
  });
});

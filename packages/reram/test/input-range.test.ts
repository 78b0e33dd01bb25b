/** Ranges of inputs: which integers stand for what calibration data hold. */

import { graph } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quantise, quantiseNetwork, simulateDigital } from '../src/index.ts';
import { countValues, driveWith, histogram, inputRange, type RangeRule } from '../src/input-range.ts';

const ofValues = (values: readonly number[], rule: RangeRule = 'least-squares') => {
  const seen = histogram();
  countValues(seen, values);
  return inputRange(seen, 8, rule);
};
const error = (values: readonly number[], rule: RangeRule): number => {
  const range = ofValues(values, rule);
  const q = driveWith(range, 8, Float64Array.from(values));
  return values.reduce((sum, value, i) => sum + (value - range.inputScale * ((q[i] ?? 0) - range.inputZero)) ** 2, 0);
};

describe('input ranges', () => {
  it('are unsigned without negative values, about zero where values are, and have a zero of their own where they are not', () => {
    expect(ofValues([0, 1, 2, 255])).toEqual({ inputScale: 1, inputZero: 0, signed: false });
    expect(ofValues([-127, -3, 0, 64, 127])).toMatchObject({ inputZero: 0, signed: true });
    // Integers with an offset, in steps of 0.585: nothing is lost.
    const features = Array.from({ length: 256 }, (_, i) => (i - 211) * 0.585);
    const lopsided = ofValues(features);
    expect(lopsided).toMatchObject({ inputZero: 211, signed: false });
    expect(error(features, 'least-squares')).toBeLessThan(1e-20);
    expect(error(features, 'extremes')).toBeGreaterThan(1);
  });

  it('cut one far value off where that brings all others nearer, unless extremes are asked for', () => {
    const values = [...Array.from({ length: 400_000 }, (_, i) => (i % 1000) / 1000), 1.5];
    expect(ofValues(values).inputScale).toBeLessThan(1.3 / 255);
    expect(ofValues(values, 'extremes').inputScale).toBe(1.5 / 255);
  });

  it('are never further from the values than ranges over their extremes, up to the width of a bin', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -7000, max: 7000 }), { minLength: 1, maxLength: 200 }), (integers) => {
        const values = integers.map((value) => value / 7);
        const most = Math.max(...values.map(Math.abs));
        expect(error(values, 'least-squares')).toBeLessThanOrEqual(
          error(values, 'extremes') * 1.3 + values.length * (most / 2048) ** 2,
        );
      }),
      { seed: 5, numRuns: 200 },
    );
  });

  it('map 0 to the integer of 0, drop what is no number, and stay inside their integers', () => {
    fc.assert(
      fc.property(fc.array(fc.double(), { maxLength: 20 }), (values) => {
        const range = ofValues(values);
        expect(range.inputScale).toBeGreaterThan(0);
        const integers = driveWith(range, 8, Float64Array.from([0, Number.NaN, ...values]));
        expect([integers[0], integers[1]]).toEqual([range.inputZero, range.inputZero]);
        for (const q of integers) {
          expect(q).toBeGreaterThanOrEqual(range.signed ? -127 : 0);
          expect(q).toBeLessThanOrEqual(range.signed ? 127 : 255);
        }
      }),
      { seed: 9, numRuns: 200 },
    );
  });

  it('a padded convolution of lopsided inputs reads zeros at its borders', () => {
    const network = graph('padded', (b) => {
      const x = b.input('x', 'float32', [1, 1, 4, 4]);
      const w = b.weight('w', { dtype: 'float32', shape: [1, 1, 3, 3], data: new Float32Array(9).fill(127) });
      b.output('y', b.add('Conv', [x, w], { pads: [1, 1, 1, 1], kernel_shape: [3, 3] }));
    });
    const data = Float32Array.from({ length: 16 }, (_, i) => (i === 3 ? 10 : -20 - i * 15));
    const feed = { x: { dtype: 'float32' as const, shape: [1, 1, 4, 4], data } };
    const quantised = quantiseNetwork(network, [feed]);
    const [part] = [...quantised.layers.values()].flat();
    expect(part?.inputZero).toBeGreaterThan(200);
    const expected = evaluate(network, feed)['y']?.data as Float32Array;
    const [found] = simulateDigital(quantised, [feed]);
    expected.forEach((value, i) => {
      expect(Math.abs(value - Number(found?.['y']?.data[i]))).toBeLessThan(9 * 127);
    });
  });
});

describe('Gram matrices', () => {
  it('are the sum of x xᵀ over calibration vectors and a ridge, of each group of a convolution its own', () => {
    const stream = (seed: number, length: number) =>
      Float32Array.from({ length }, (_, i) => ((i * 7 + seed * 13) % 11) / 4 - 1);
    const network = graph('grouped', (b) => {
      const x = b.input('x', 'float32', [1, 2, 3, 3]);
      const w = b.weight('w', { dtype: 'float32', shape: [2, 1, 2, 2], data: stream(1, 8) });
      b.output('y', b.add('Conv', [x, w], { group: 2, kernel_shape: [2, 2] }));
    });
    const data = stream(2, 18);
    // A run with a NaN in it adds nothing where it is met.
    const feeds = [data, new Float32Array(18).fill(Number.NaN)].map((values) => ({
      x: { dtype: 'float32' as const, shape: [1, 2, 3, 3], data: values },
    }));
    const found: Float64Array[] = [];
    quantiseNetwork(network, feeds, {
      integersOf: (w, _layer, gram) => {
        found.push(gram());
        return quantise(w, 8);
      },
    });
    expect(found).toHaveLength(2);
    found.forEach((gram, group) => {
      const patches = [0, 1, 3, 4].map((corner) => [0, 1, 3, 4].map((tap) => data[group * 9 + corner + tap] ?? 0));
      const plain = Array.from({ length: 16 }, (_, at) =>
        patches.reduce((sum, x) => sum + (x[at >> 2] ?? 0) * (x[at & 3] ?? 0), 0),
      );
      const trace = [0, 5, 10, 15].reduce((sum, at) => sum + (plain[at] ?? 0), 0);
      plain.forEach((value, at) => {
        // Eight vectors, those with a NaN counted, of four inputs.
        const ridge = at % 5 === 0 ? ((0.01 + 4 / 8) * trace) / 4 : 0;
        expect(gram[at]).toBeCloseTo(value + ridge, 9);
      });
    });
  });
});

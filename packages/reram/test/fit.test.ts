/** Integers fitted to a converter: they pass its certificate, lie near the weights, and stay where nothing has to move. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Crossbar,
  certify,
  checkCertificate,
  fitColumns,
  mapMatrix,
  type Quantised,
  quantise,
  randomStream,
} from '../src/index.ts';
import { crossbar } from './arrays.ts';

function weights(rows: number, cols: number, seed: number) {
  const stream = randomStream(seed, 5);
  return { rows, cols, data: Float64Array.from({ length: rows * cols }, (_, i) => stream.normal(i)) };
}

const energy = (w: { readonly data: Float64Array; readonly cols: number }, { integers, scales }: Quantised) =>
  w.data.reduce((sum, v, i) => sum + (v - (integers.data[i] ?? 0) * (scales[Math.floor(i / w.cols)] ?? 0)) ** 2, 0);

describe('integers fitted to a converter', () => {
  it('pass the certificate of that converter, whatever the shape, cells and storage', () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.nat(1e6),
          rows: fc.integer({ min: 1, max: 6 }),
          cols: fc.integer({ min: 1, max: 150 }),
          lines: fc.constantFrom(8, 64, 128),
          cellBits: fc.constantFrom(1, 2, 4),
          bits: fc.integer({ min: 2, max: 9 }),
          storage: fc.constantFrom('differential', 'sign-separated', 'analog'),
        }),
        ({ seed, rows, cols, lines, cellBits, bits, storage }) => {
          const bar: Crossbar = crossbar({
            ...{ rows: lines, cellBits, storage: storage === 'sign-separated' ? storage : 'differential' },
            ...(storage === 'analog' && { subtract: 'analog' }),
          });
          const { integers } = fitColumns(weights(rows, cols, seed), bar, bits);
          const certificate = certify(mapMatrix(integers, bar), { adcBits: bits });
          expect(certificate.lossless).toBe(true);
          expect(checkCertificate(integers, certificate)).toEqual([]);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('pass it without the lines that hold no weight, with the blocks that are counted then, those that fitting empties too', () => {
    fc.assert(
      fc.property(fc.nat(1e6), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 90 }), (seed, rows, cols) => {
        const w = weights(rows, cols, seed);
        const stream = randomStream(seed, 6);
        // Some inputs are gone, and some are so small that no integer is left of them.
        const scale = Array.from({ length: cols }, (_, i) => [0, 1e-3, 1][Math.floor(stream.uniform(i) * 3)] ?? 1);
        const sparse = { ...w, data: w.data.map((v, i) => v * (scale[i % cols] ?? 1)) };
        const bar = crossbar({ rows: 16, storage: 'differential', subtract: 'analog' });
        const { integers } = fitColumns(sparse, bar, 5, { compact: true });
        const used = Array.from({ length: cols }, (_, i) => i).filter((i) =>
          integers.data.some((v, at) => at % cols === i && v !== 0),
        );
        const wordLines = used.length > 0 ? used : [0];
        const certificate = certify(mapMatrix(integers, bar, { wordLines }), { adcBits: 5 });
        expect(certificate.lossless).toBe(true);
        expect(checkCertificate(integers, certificate)).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  it('are the nearest integers when the converter already counts every column', () => {
    const w = weights(4, 128, 3);
    expect(fitColumns(w, crossbar(), 9)).toEqual(quantise(w, 8));
  });

  it('move further from the weights with every bit less, and much less far than cutting weights to a count', () => {
    const w = weights(8, 128, 7);
    const errors = [8, 7, 6, 5, 4].map((bits) => energy(w, fitColumns(w, crossbar(), bits)));
    for (let i = 1; i < errors.length; i++) expect(errors[i] ?? 0).toBeGreaterThanOrEqual(errors[i - 1] ?? 0);
    // Five cells of 2 bits are what 4 bits count in any case: all other weights of a column would be lost.
    const kept = w.data.map((v, i) => {
      const row = w.data.subarray(Math.floor(i / 128) * 128, (Math.floor(i / 128) + 1) * 128);
      const rank = row.filter((other) => Math.sign(other) === Math.sign(v) && Math.abs(other) > Math.abs(v)).length;
      return rank < 5 ? v : 0;
    });
    const lost = w.data.reduce((sum, v, i) => sum + (v - (kept[i] ?? 0)) ** 2, 0);
    expect(errors.at(-1) ?? Infinity).toBeLessThan(lost / 2);
  });

  it('are within a few steps of the best of all integers for a column small enough to try them all', () => {
    const bar = crossbar({ weightBits: 4, cellBits: 1, rows: 4 });
    for (let seed = 0; seed < 20; seed++) {
      const w = weights(1, 4, seed);
      const data = w.data.map(Math.abs);
      const positive = { ...w, data };
      const step = quantise(positive, 4).scales[0] ?? 0;
      let best = Infinity;
      for (let code = 0; code < 8 ** 4; code++) {
        const values = [code & 7, (code >> 3) & 7, (code >> 6) & 7, code >> 9];
        const sums = [0, 1, 2].map((bit) => values.reduce((sum, v) => sum + ((v >> bit) & 1), 0));
        if (sums.some((sum) => sum > 1)) continue;
        best = Math.min(
          best,
          values.reduce((sum, v, i) => sum + (v * step - (data[i] ?? 0)) ** 2, 0),
        );
      }
      const found = energy(positive, fitColumns(positive, bar, 1, { scales: [1] }));
      expect(found).toBeGreaterThanOrEqual(best - 1e-12);
      expect(found).toBeLessThanOrEqual(2.5 * best + 1e-12);
    }
  });

  /** Σ x xᵀ of inputs that are alike from line to line, as those of a convolution are. */
  function gramOf(cols: number, seed: number): Float64Array {
    const [stream, common] = [randomStream(seed, 9), randomStream(seed, 10)];
    const gram = new Float64Array(cols * cols);
    for (let v = 0; v < 2 * cols; v++) {
      const x = Float64Array.from({ length: cols }, (_, i) => stream.normal(v * cols + i) + 2 * common.normal(v));
      for (let i = 0; i < cols; i++)
        for (let j = 0; j < cols; j++) gram[i * cols + j] = (gram[i * cols + j] ?? 0) + (x[i] ?? 0) * (x[j] ?? 0);
    }
    return gram;
  }
  /** eᵀGe of all filters, the plain way. */
  const outputEnergy = (w: ReturnType<typeof weights>, { integers, scales }: Quantised, gram: Float64Array): number => {
    let sum = 0;
    for (let row = 0; row < w.rows; row++) {
      const e = Array.from({ length: w.cols }, (_, i) => {
        const at = row * w.cols + i;
        return (w.data[at] ?? 0) - (integers.data[at] ?? 0) * (scales[row] ?? 0);
      });
      e.forEach((a, i) => {
        e.forEach((b, j) => {
          sum += a * b * (gram[i * w.cols + j] ?? 0);
        });
      });
    }
    return sum;
  };

  it('told what the inputs are, keep the outputs nearer, pass the same certificate, and leave pruned weights pruned', () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.nat(1e6),
          cols: fc.integer({ min: 1, max: 70 }),
          lines: fc.constantFrom(8, 32, 128),
          cellBits: fc.constantFrom(1, 2, 4),
          bits: fc.integer({ min: 2, max: 7 }),
          subtract: fc.constantFrom('analog' as const, 'digital' as const),
        }),
        ({ seed, cols, lines, cellBits, bits, subtract }) => {
          const bar = crossbar({ rows: lines, cellBits, storage: 'differential', subtract });
          const dense = weights(3, cols, seed);
          const w = { ...dense, data: dense.data.map((v, i) => (i % 3 === 0 ? 0 : v)) };
          const gram = gramOf(cols, seed);
          const plain = fitColumns(w, bar, bits);
          const told = fitColumns(w, bar, bits, { gram });
          const certificate = certify(mapMatrix(told.integers, bar), { adcBits: bits });
          expect(certificate.lossless).toBe(true);
          expect(checkCertificate(told.integers, certificate)).toEqual([]);
          expect(told.integers.data.every((q, i) => q === 0 || w.data[i] !== 0)).toBe(true);
          const [before, after] = [plain, told].map((one) => outputEnergy(w, one, gram));
          expect(after ?? 0).toBeLessThanOrEqual((before ?? 0) * (1 + 1e-9) + 1e-9);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('told what the inputs are, lose much less than a half of what they lost in the outputs', () => {
    const w = weights(4, 128, 11);
    const gram = gramOf(128, 11);
    const [plain, told] = [fitColumns(w, crossbar(), 4), fitColumns(w, crossbar(), 4, { gram })];
    expect(outputEnergy(w, told, gram)).toBeLessThan(outputEnergy(w, plain, gram) / 2);
  });

  it('refuses a Gram matrix of another size, or with an element that is not finite', () => {
    const w = weights(2, 8, 1);
    expect(() => fitColumns(w, crossbar(), 4, { gram: new Float64Array(63) })).toThrow(/63 elements; 8×8/);
    expect(() => fitColumns(w, crossbar(), 4, { gram: new Float64Array(64).fill(Number.NaN) })).toThrow(/finite/);
  });

  it('refuses biased storage and bits that are none', () => {
    const w = weights(2, 8, 1);
    expect(() => fitColumns(w, crossbar({ storage: 'offset' }), 4)).toThrow(/offset storage/);
    for (const bits of [0, 33, 2.5, Number.NaN]) expect(() => fitColumns(w, crossbar(), bits)).toThrow(/adcBits is/);
    expect(() => fitColumns({ ...w, data: w.data.fill(Number.NaN, 0, 1) }, crossbar(), 4)).toThrow(/NaN/);
  });
});

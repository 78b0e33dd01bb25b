/** Bits of converters: the laws on the reference table, and certificates that hold, are tight, and can be refuted. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  adcBits,
  adcBitsForExact,
  adversarialInput,
  type Certificate,
  type Crossbar,
  certify,
  checkCertificate,
  isaacAdcBits,
  largestColumnSum,
  mapMatrix,
  multiply,
  nonZerosForBits,
  projectColumnProportional,
  type Storage,
} from '../src/index.ts';
import { crossbar, exactProduct, randomIntegers } from './arrays.ts';
import { cases } from './vectors.ts';

interface BitsCase {
  readonly active_rows: number;
  readonly dac_bits: number;
  readonly cell_bits: number;
  readonly max_column_sum: number;
  readonly exact_bits: number;
  readonly isaac_formula_bits: number;
  readonly isaac_formula_with_encoding: number;
}

describe('laws', () => {
  it('reproduce every row of the reference table', (ctx) => {
    const all = cases<BitsCase>('adc_bits', ctx);
    for (const c of all) {
      const args = [c.active_rows, c.cell_bits, c.dac_bits] as const;
      expect(largestColumnSum(...args)).toBe(c.max_column_sum);
      expect(adcBitsForExact(...args)).toBe(c.exact_bits);
      expect(isaacAdcBits(...args)).toBe(c.isaac_formula_bits);
      expect(isaacAdcBits(...args, true)).toBe(c.isaac_formula_with_encoding);
    }
    expect(all.length).toBeGreaterThan(0);
  });

  it('the largest free number of non-zeros is the one before the bits grow', () => {
    expect([3, 4, 5, 6, 7, 8].map((bits) => nonZerosForBits(bits, 2, 1))).toEqual([2, 5, 10, 21, 42, 85]);
    for (const bits of [3, 6, 9])
      for (const cell of [1, 2, 4])
        for (const dac of [1, 2]) {
          const l = nonZerosForBits(bits, cell, dac);
          if (l > 0) expect(adcBitsForExact(l, cell, dac)).toBeLessThanOrEqual(bits);
          expect(adcBitsForExact(l + 1, cell, dac)).toBeGreaterThan(bits);
        }
    expect(adcBitsForExact(128, 2, 1)).toBe(9);
    expect(isaacAdcBits(128, 2, 1, true)).toBe(8 - 0);
  });
});

const STORAGES: readonly (Storage | 'analog' | 'flip')[] = [
  'differential',
  'sign-separated',
  'offset',
  'analog',
  'flip',
];

function stored(kind: (typeof STORAGES)[number]): Partial<Crossbar> {
  if (kind === 'analog') return { storage: 'differential', subtract: 'analog' };
  if (kind === 'flip') return { storage: 'offset', flip: true };
  return { storage: kind };
}

describe('certificates', () => {
  const setting = fc.record({
    kind: fc.constantFrom(...STORAGES),
    rows: fc.integer({ min: 1, max: 20 }),
    cellBits: fc.constantFrom(1, 2, 4),
    dacBits: fc.constantFrom(1, 2, 3),
    m: fc.integer({ min: 1, max: 5 }),
    k: fc.integer({ min: 1, max: 40 }),
    density: fc.constantFrom(0, 0.2, 1),
    seed: fc.nat({ max: 1e6 }),
    encoding: fc.constantFrom('unsigned', 'twos-complement', 'sign-magnitude'),
  });

  it('M6: converters of the certified bits are exact for random inputs and for the adversary of every column', () => {
    fc.assert(
      fc.property(setting, ({ kind, m, k, density, seed, encoding, ...sizes }) => {
        const signed = encoding !== 'unsigned';
        const w = randomIntegers(m, k, seed, 127, density);
        const bar = {
          ...crossbar({ ...sizes, ...stored(kind) }),
          ...(signed ? { signedInputs: encoding as 'sign-magnitude' } : {}),
        };
        const mapping = mapMatrix(w, bar);
        const certificate = certify(mapping, { signed });
        expect(checkCertificate(w, certificate)).toEqual([]);
        expect(certificate.adcBits).toBe(adcBits(mapping, 'data-aware', signed));
        expect(certificate.adcBits).toBeLessThanOrEqual(adcBits(mapping, 'exact', signed));
        const bits = Math.max(2, certificate.adcBits);
        const exact = mapMatrix(w, { ...bar, adc: { model: 'uniform', bits, range: 'unit-step' } });
        const random = randomIntegers(3, k, seed + 1, signed ? 127 : 255, 1).data.map((v) =>
          signed ? v : Math.abs(v),
        );
        expect(Array.from(multiply(exact, random, { signed, everyConversion: true }))).toEqual(exactProduct(w, random));
        for (const column of certificate.columns.slice(0, 20)) {
          const x = adversarialInput(certificate, column);
          expect(Array.from(multiply(exact, x, { signed, everyConversion: true }))).toEqual(exactProduct(w, x));
        }
      }),
      { seed: 11, numRuns: 150 },
    );
  });

  it('the bound is reached: each column meets its largest sum under its own adversary', () => {
    fc.assert(
      fc.property(setting, ({ kind, m, k, density, seed, encoding, ...sizes }) => {
        const signed = encoding !== 'unsigned';
        const w = randomIntegers(m, k, seed, 127, density);
        const mapping = mapMatrix(w, {
          ...crossbar({ ...sizes, ...stored(kind) }),
          ...(signed ? { signedInputs: encoding as 'sign-magnitude' } : {}),
        });
        const certificate = certify(mapping, { signed });
        for (const column of certificate.columns.slice(0, 12)) {
          let most = 0;
          multiply(mapping, adversarialInput(certificate, column), {
            signed,
            observe: (c) => {
              if (c.polarity === column.polarity && c.rowBlock === column.rowBlock && c.slice === column.slice)
                if (mapping.filters[c.filter] === column.output) most = Math.max(most, Math.abs(c.value));
            },
          });
          expect(most).toBe(Math.max(column.high, -column.low));
        }
      }),
      { seed: 12, numRuns: 100 },
    );
  });

  it('one bit less is refuted by the counter-example', () => {
    const w = projectColumnProportional(
      { rows: 8, cols: 96, data: Float64Array.from(randomIntegers(8, 96, 3, 127, 1).data) },
      32,
      5,
    );
    const integers = { rows: 8, cols: 96, data: Int32Array.from(w.data) };
    const bar = crossbar({ rows: 32 });
    const certificate = certify(mapMatrix(integers, bar));
    expect(certificate.adcBits).toBe(4);
    const worst = certificate.columns.find((column) => column.bits === 4);
    if (!worst) throw new Error('no column needs 4 bits');
    const x = adversarialInput(certificate, worst);
    const less = mapMatrix(integers, { ...bar, adc: { model: 'uniform', bits: 3, range: 'unit-step' } });
    expect(worst.clippedByOneBitLess).toBe(worst.high - 7);
    expect(worst.clippedByOneBitLess).toBeGreaterThan(0);
    expect(Array.from(multiply(less, x))).not.toEqual(exactProduct(integers, x));
  });

  it('biased storage gains nothing from pruning, differential storage does', () => {
    const dense = randomIntegers(16, 128, 5, 127, 1);
    const pruned = {
      ...dense,
      data: Int32Array.from(projectColumnProportional({ ...dense, data: Float64Array.from(dense.data) }, 128, 5).data),
    };
    const bits = (w: typeof dense, storage: Storage) => certify(mapMatrix(w, crossbar({ storage }))).adcBits;
    expect(bits(pruned, 'differential')).toBeLessThanOrEqual(4);
    expect(bits(dense, 'differential')).toBeGreaterThanOrEqual(7);
    expect(bits(pruned, 'offset')).toBeGreaterThanOrEqual(9);
  });

  it('the second checker finds every changed claim', () => {
    const w = randomIntegers(4, 50, 9, 127, 0.5);
    const certificate = certify(mapMatrix(w, crossbar({ rows: 16 })));
    const written = JSON.parse(JSON.stringify(certificate)) as Certificate;
    expect(checkCertificate(w, written)).toEqual([]);
    const [first, ...rest] = written.columns;
    if (!first) throw new Error('no columns');
    const changed = (column: Partial<typeof first>) => ({ ...written, columns: [{ ...first, ...column }, ...rest] });
    for (const wrong of [
      changed({ high: first.high + 1 }),
      changed({ high: first.high - 1 }),
      changed({ bits: first.bits + 1 }),
      changed({ bits: first.bits - 1 }),
      changed({ low: -1 }),
      changed({ reachesHigh: '0000' }),
      changed({ clippedByOneBitLess: first.clippedByOneBitLess + 1 }),
      { ...written, adcBits: written.adcBits - 1 },
      { ...written, columns: rest },
      { ...written, columns: [...written.columns, first] },
    ])
      expect(checkCertificate(w, wrong)).not.toEqual([]);
    const other = { ...w, data: w.data.map((v, i) => (i === 7 ? (v === 3 ? 4 : 3) : v)) };
    expect(checkCertificate(other, written)).not.toEqual([]);
    for (const broken of [
      null,
      {},
      { ...written, version: 2 },
      { ...written, rowBlocks: [0] },
      { ...written, columns: 3 },
      changed({ output: 99 }),
      changed({ rowBlock: -1 }),
      { ...written, crossbar: { ...written.crossbar, storage: 'other' } },
    ])
      expect(() => checkCertificate(w, broken as Certificate)).toThrow(
        expect.objectContaining({ code: 'GRIM_RERAM_BAD_CERTIFICATE' }),
      );
  });

  it('a finite on/off ratio is certified with an HRS column only', () => {
    const w = randomIntegers(4, 30, 2, 127, 1);
    const device = { onOffRatio: 20 };
    expect(() => certify(mapMatrix(w, crossbar({ device })))).toThrow(
      expect.objectContaining({ code: 'GRIM_RERAM_UNSUPPORTED' }),
    );
    const bar = crossbar({ device, hrsColumn: true });
    const { adcBits: bits } = certify(mapMatrix(w, bar));
    const x = randomIntegers(4, 30, 8, 255, 1).data.map(Math.abs);
    const y = multiply(mapMatrix(w, { ...bar, adc: { model: 'uniform', bits, range: 'unit-step' } }), x, {
      everyConversion: true,
    });
    expect(Array.from(y)).toEqual(exactProduct(w, x));
  });
});

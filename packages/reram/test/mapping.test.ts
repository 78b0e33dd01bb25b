/** Mapping: convolutions of the reference vectors, partitions, storage, and everything that cannot be mapped. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  adcBits,
  adcBitsForExact,
  bitsPerSlice,
  type Crossbar,
  columnBounds,
  columnNonZeros,
  footprint,
  type IntMatrix,
  mapMatrix,
  multiply,
  partition,
  program,
  projectColumnProportional,
} from '../src/index.ts';
import { crossbar, exactProduct, randomIntegers } from './arrays.ts';
import { cases } from './vectors.ts';

interface ConvCase {
  readonly id: string;
  readonly settings: {
    readonly in_channels: number;
    readonly height: number;
    readonly width: number;
    readonly filters: number;
    readonly kernel: number;
    readonly stride: number;
    readonly pad: number;
    readonly crossbar_rows: number;
    readonly crossbar_cols: number;
    readonly cell_bits: number;
    readonly slices: number;
    readonly input_bits: number;
    readonly nonzeros_per_crossbar_column: number;
  };
  /** [K][F] */
  readonly weights_dense_int: readonly (readonly number[])[];
  readonly weights_pruned_int: readonly (readonly number[])[];
  readonly input_uint8: readonly (readonly (readonly number[])[])[];
  readonly expected_output_int: readonly (readonly (readonly number[])[])[];
  readonly row_blocks: number;
  readonly column_blocks: number;
  readonly crossbars: number;
  readonly worst_case_bits: number;
  readonly per_block: readonly {
    readonly row_block: number;
    readonly max_column_sum_per_slice: readonly number[];
    readonly data_aware_bits_per_slice: readonly number[];
    readonly max_nonzeros_in_a_column: number;
    readonly max_same_sign_nonzeros: number;
  }[];
  readonly largest_observed_column_sum: number;
  readonly adc_conversions: number;
}

function byFilter(rows: readonly (readonly number[])[]): IntMatrix {
  const filters = rows[0]?.length ?? 0;
  const data = Int32Array.from({ length: filters * rows.length }, (_, i) => {
    return rows[i % rows.length]?.[Math.floor(i / rows.length)] ?? 0;
  });
  return { rows: filters, cols: rows.length, data };
}

describe('convolutions', () => {
  it('reproduce every reference case: outputs, arrays, bounds, bits, conversions', (ctx) => {
    const all = cases<ConvCase>('conv_mapping', ctx);
    for (const c of all) {
      const s = c.settings;
      const dense = byFilter(c.weights_dense_int);
      const projected = projectColumnProportional(
        { ...dense, data: Float64Array.from(dense.data) },
        s.crossbar_rows,
        s.nonzeros_per_crossbar_column,
      );
      const w = { ...dense, data: Int32Array.from(projected.data) };
      expect(w.data, c.id).toEqual(byFilter(c.weights_pruned_int).data);
      const bar = crossbar({
        rows: s.crossbar_rows,
        cols: s.crossbar_cols,
        cellBits: s.cell_bits,
        weightSlices: s.slices,
        inputBits: s.input_bits,
      });
      const mapping = mapMatrix(w, bar);
      const blocks = mapping.rowBlocks.length - 1;
      expect(blocks).toBe(c.row_blocks);
      const size = footprint(mapping);
      expect(size.arrays).toBe(c.crossbars);
      expect(adcBitsForExact(s.nonzeros_per_crossbar_column, s.cell_bits, 1)).toBe(c.worst_case_bits);
      const bounds = columnBounds(mapping);
      for (const block of c.per_block) {
        const own = bounds.filter(({ rowBlock }) => rowBlock === block.row_block);
        block.max_column_sum_per_slice.forEach((sum, slice) => {
          const columns = own.filter((column) => column.slice === slice);
          expect(Math.max(...columns.map(({ high }) => high))).toBe(sum);
          expect(Math.max(...columns.map(({ bits }) => bits))).toBe(block.data_aware_bits_per_slice[slice]);
        });
      }
      expect(Math.max(...c.per_block.map((block) => block.max_nonzeros_in_a_column))).toBe(
        columnNonZeros(w, s.crossbar_rows),
      );
      expect(Math.max(...bitsPerSlice(mapping))).toBe(adcBits(mapping, 'data-aware'));

      // im2col by its definition: rows are channel, kernel row, kernel column.
      const out = Math.floor((s.height + 2 * s.pad - s.kernel) / s.stride) + 1;
      const wide = Math.floor((s.width + 2 * s.pad - s.kernel) / s.stride) + 1;
      const x: number[] = [];
      for (let oy = 0; oy < out; oy++)
        for (let ox = 0; ox < wide; ox++)
          for (let channel = 0; channel < s.in_channels; channel++)
            for (let ky = 0; ky < s.kernel; ky++)
              for (let kx = 0; kx < s.kernel; kx++)
                x.push(c.input_uint8[channel]?.[oy * s.stride + ky - s.pad]?.[ox * s.stride + kx - s.pad] ?? 0);
      let largest = 0;
      const bits = adcBits(mapping, 'data-aware');
      const exact = mapMatrix(w, { ...bar, adc: { model: 'uniform', bits, range: 'unit-step' } });
      const y = multiply(exact, x, {
        observe: ({ value }) => {
          largest = Math.max(largest, value);
        },
      });
      const positions = out * wide;
      c.expected_output_int.forEach((plane, f) => {
        plane.flat().forEach((value, p) => {
          expect(y[p * w.rows + f], c.id).toBe(value);
        });
      });
      expect(largest).toBe(c.largest_observed_column_sum);
      expect(positions * size.conversionsPerVector).toBe(c.adc_conversions);
    }
    expect(all.length).toBeGreaterThan(0);
  });
});

describe('arrays', () => {
  it('M6: every storage, slicing and partition computes the integer product, bit for bit', () => {
    fc.assert(
      fc.property(
        fc.record({
          storage: fc.constantFrom('differential', 'sign-separated', 'offset'),
          rows: fc.integer({ min: 1, max: 40 }),
          cellBits: fc.integer({ min: 1, max: 8 }),
          weightBits: fc.constantFrom(8, 11, 16),
          inputBits: fc.integer({ min: 2, max: 12 }),
          dacBits: fc.integer({ min: 1, max: 5 }),
          signedInputs: fc.constantFrom('twos-complement', 'sign-magnitude'),
          partition: fc.constantFrom('max', 'equal'),
          adcPerInputSlice: fc.boolean(),
        }),
        fc.record({
          flip: fc.boolean(),
          unit: fc.boolean(),
          m: fc.integer({ min: 1, max: 6 }),
          k: fc.integer({ min: 1, max: 50 }),
          seed: fc.nat(1e6),
          signed: fc.boolean(),
        }),
        (settings, { flip, unit, m, k, seed, signed }) => {
          const offset = settings.storage === 'offset';
          const bar = crossbar({
            ...(settings as Partial<Crossbar>),
            ...(offset ? { flip, inputSum: unit ? 'unit-column' : 'digital' } : {}),
          });
          const w = randomIntegers(m, k, seed, 2 ** (settings.weightBits - 1) - 1, 0.7);
          const magnitude = signed ? settings.inputBits - 1 : settings.inputBits;
          const x = randomIntegers(2, k, seed + 1, 2 ** magnitude - 1, 0.8).data.map((v) => (signed ? v : Math.abs(v)));
          const mapping = mapMatrix(w, bar);
          expect(Array.from(multiply(mapping, x, { signed }))).toEqual(exactProduct(w, x));
          expect(Array.from(multiply(mapping, x, { signed, everyConversion: true }))).toEqual(exactProduct(w, x));
          // An observer takes the general path.
          expect(Array.from(multiply(mapping, x, { signed, observe: () => {} }))).toEqual(exactProduct(w, x));
        },
      ),
      { seed: 21, numRuns: 300 },
    );
  });

  it('the packed bit-serial path and the general path agree to the last bit, whatever the converters and faults', () => {
    fc.assert(
      fc.property(
        fc.record({
          storage: fc.constantFrom('differential', 'sign-separated', 'offset'),
          rows: fc.integer({ min: 1, max: 70 }),
          cellBits: fc.integer({ min: 1, max: 4 }),
          bits: fc.integer({ min: 2, max: 9 }),
          model: fc.constantFrom('uniform', 'sar', 'ramp', 'pipeline'),
          range: fc.constantFrom('unit-step', 'max'),
          sigmaComparator: fc.constantFrom(0, 0.01),
          stuckLrs: fc.constantFrom(0, 0.1),
        }),
        fc.record({ flip: fc.boolean(), analog: fc.boolean(), signed: fc.boolean(), seed: fc.nat(1e6) }),
        ({ bits, model, range, sigmaComparator, stuckLrs, ...settings }, { flip, analog, signed, seed }) => {
          const bar = crossbar({
            ...settings,
            ...(settings.storage === 'offset' ? { flip, inputSum: 'unit-column' } : {}),
            ...(settings.storage === 'differential' && analog ? { subtract: 'analog' } : {}),
            adc: { model, bits, range, ...(model === 'uniform' ? {} : { sigmaComparator }) } as Crossbar['adc'],
            device: { onOffRatio: Infinity, stuckLrs },
          });
          const w = randomIntegers(3, 90, seed, 127, 0.7);
          const x = randomIntegers(2, 90, seed + 1, signed ? 127 : 255, 0.8).data.map((v) =>
            signed ? v : Math.abs(v),
          );
          const programmed = program(mapMatrix(w, bar), { seed: 7 });
          const general = multiply(programmed, x, { signed, observe: () => {} });
          expect(multiply(programmed, x, { signed, everyConversion: true })).toEqual(general);
          expect(multiply(programmed, x, { signed })).toEqual(general);
        },
      ),
      { seed: 23, numRuns: 80 },
    );
  });

  it('a partition covers everything once and no part is too large', () => {
    expect(Array.from(partition(50, 16, 'equal'))).toEqual([0, 12, 24, 36, 50]);
    expect(Array.from(partition(20, 8, 'equal'))).toEqual([0, 7, 14, 20]);
    expect(Array.from(partition(50, 16))).toEqual([0, 16, 32, 48, 50]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 99 }), (total, most) => {
        for (const rule of ['max', 'equal'] as const) {
          const parts = partition(total, most, rule);
          expect([parts[0], parts.at(-1), parts.length - 1]).toEqual([0, total, Math.ceil(total / most)]);
          for (let i = 1; i < parts.length; i++) {
            const length = (parts[i] ?? 0) - (parts[i - 1] ?? 0);
            expect(length).toBeGreaterThan(0);
            expect(length).toBeLessThanOrEqual(most);
          }
        }
      }),
      { seed: 22, numRuns: 500 },
    );
  });

  it('lines that are left out take no array, and must be empty', () => {
    const w = randomIntegers(8, 40, 4, 127, 1);
    const wordLines = [...Array(40).keys()].filter((i) => i % 2 === 1);
    const filters = [0, 2, 5];
    const pruned = {
      ...w,
      data: w.data.map((v, i) => (wordLines.includes(i % 40) && filters.includes(Math.floor(i / 40)) ? v : 0)),
    };
    const bar = crossbar({ rows: 10, cols: 8 });
    const mapping = mapMatrix(pruned, bar, { wordLines, filters });
    expect(footprint(mapping).arrays).toBe(2 * 2 * 2);
    expect(footprint(mapMatrix(pruned, bar)).arrays).toBe(2 * 4 * 4);
    const x = randomIntegers(3, 40, 5, 255, 1).data.map(Math.abs);
    expect(Array.from(multiply(mapping, x))).toEqual(exactProduct(pruned, x));
    expect(() => mapMatrix(w, bar, { wordLines })).toThrow(expect.objectContaining({ code: 'GRIM_RERAM_BAD_MATRIX' }));
  });

  it('sign-separated storage needs no second column where a block holds one sign', () => {
    const w = { rows: 2, cols: 4, data: Int32Array.from([1, 2, -3, -4, 5, -6, 7, 8]) };
    const columns = (storage: Crossbar['storage']) => footprint(mapMatrix(w, crossbar({ rows: 2, storage }))).columns;
    expect(columns('differential')).toBe(2 * 2 * 2 * 4);
    // Blocks of 2: [1 2] [−3 −4], [5 −6] [7 8]: one sign each but for one.
    expect(columns('sign-separated')).toBe((1 + 1 + 2 + 1) * 4);
  });

  it('M7: what cannot be mapped is refused with the two values, its neighbour is not', () => {
    const w = randomIntegers(2, 3, 1, 127, 1);
    const refused = (changes: Partial<Crossbar>, code: string) =>
      expect(() => mapMatrix(w, crossbar(changes)), JSON.stringify(changes)).toThrow(expect.objectContaining({ code }));
    mapMatrix(w, crossbar({ rows: 1, cols: 4 }));
    refused({ rows: 0 }, 'GRIM_RERAM_BAD_CROSSBAR');
    refused({ rows: Number.NaN }, 'GRIM_RERAM_BAD_CROSSBAR');
    refused({ cols: 3 }, 'GRIM_RERAM_BAD_CROSSBAR');
    refused({ cellBits: 0 }, 'GRIM_RERAM_BAD_CROSSBAR');
    refused({ cellBits: 8, weightBits: 7 }, 'GRIM_RERAM_BAD_CROSSBAR');
    refused({ inputBits: 1.5 }, 'GRIM_RERAM_BAD_CROSSBAR');
    refused({ flip: true }, 'GRIM_RERAM_BAD_CROSSBAR');
    refused({ storage: 'offset', subtract: 'analog' }, 'GRIM_RERAM_BAD_CROSSBAR');
    refused({ device: { onOffRatio: 1 } }, 'GRIM_RERAM_BAD_DEVICE');
    refused({ device: { onOffRatio: -3 } }, 'GRIM_RERAM_BAD_DEVICE');
    refused({ device: { onOffRatio: Number.NaN } }, 'GRIM_RERAM_BAD_DEVICE');
    refused({ device: { onOffRatio: 2, stuckHrs: 0.7, stuckLrs: 0.7 } }, 'GRIM_RERAM_BAD_DEVICE');
    refused({ adc: { model: 'uniform', bits: 0, range: 'max' } }, 'GRIM_RERAM_BAD_ADC');
    refused({ adc: { model: 'uniform', bits: 33, range: 'max' } }, 'GRIM_RERAM_BAD_ADC');
    const weight =
      (value: number, changes: Partial<Crossbar> = {}) =>
      () =>
        mapMatrix({ rows: 1, cols: 1, data: [value] as unknown as Int32Array }, crossbar(changes));
    weight(127)();
    weight(-128, { storage: 'offset' })();
    for (const value of [128, -128, 0.5, Number.NaN, Infinity])
      expect(weight(value)).toThrow(expect.objectContaining({ code: 'GRIM_RERAM_WEIGHT_RANGE' }));
    expect(() => mapMatrix({ rows: 0, cols: 3, data: new Int32Array() }, crossbar())).toThrow(
      expect.objectContaining({ code: 'GRIM_RERAM_BAD_MATRIX' }),
    );
    // The estimate comes before any allocation.
    expect(() => mapMatrix({ rows: 1e5, cols: 1e5, data: new Int32Array() }, crossbar())).toThrow(
      expect.objectContaining({ code: 'GRIM_RERAM_TOO_LARGE' }),
    );
  });

  it('inputs outside the range, or of another length, are refused', () => {
    const mapping = mapMatrix(randomIntegers(2, 3, 1, 127, 1), crossbar());
    expect(Array.from(multiply(mapping, [255, 0, 1])).length).toBe(2);
    expect(Array.from(multiply(mapping, [])).length).toBe(0);
    for (const x of [
      [256, 0, 0],
      [1.5, 0, 0],
      [Number.NaN, 0, 0],
      [-129, 0, 0],
      [1, 2],
    ])
      expect(() => multiply(mapping, x)).toThrow(expect.objectContaining({ code: 'GRIM_RERAM_BAD_INPUT' }));
  });
});

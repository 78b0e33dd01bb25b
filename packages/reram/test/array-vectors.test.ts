/** The functional simulator against the reference vectors: sliced weights, single cells, partitions, explicit faults. */
import { describe, expect, it } from 'vitest';
import type { Adc, Limits } from '../src/adc.ts';
import { multiply } from '../src/array.ts';
import { type Crossbar, mapMatrix, mapSingleCell } from '../src/mapping.ts';
import { program } from '../src/noise.ts';
import { cases } from './vectors.ts';

interface MvmCase {
  readonly id: string;
  readonly weights_int: readonly (readonly number[])[];
  readonly inputs_int: readonly (readonly number[])[];
  readonly weight_scale: number;
  readonly input_scale: number;
  readonly expected: readonly (readonly number[])[];
  readonly exact: readonly (readonly number[])[];
  readonly tolerance_abs: number;
}

interface SlicedCase extends MvmCase {
  readonly settings: {
    readonly style: 'offset' | 'differential';
    readonly cell_bits: number;
    readonly slices: number;
    readonly onoff: number | null;
    readonly input: 'unsigned' | 'signed';
    readonly input_bits: number;
    readonly subtract: 'analog' | 'digital';
    readonly adc_model: string;
    readonly adc_bits: number;
    readonly adc_limits: readonly Limits[];
  };
}

interface SingleCellCase extends MvmCase {
  readonly settings: {
    readonly style: 'offset' | 'balanced';
    readonly balanced_style: 'ONE_SIDED' | 'TWO_SIDED';
    readonly adc_model: string;
    readonly adc_bits: number;
    readonly adc_per_input_slice: boolean;
    readonly adc_limits_per_array: readonly Limits[] | null;
    readonly onoff: number | null;
    readonly input: 'unsigned' | 'signed';
    readonly bit_serial: boolean;
    readonly input_slice_bits: number;
    readonly cell_bits: number;
    readonly partition: { readonly outputs_per_array: number[]; readonly inputs_per_array: number[] } | null;
  };
}

interface StuckCase extends MvmCase {
  readonly settings: {
    readonly cell_bits: number;
    readonly slices: number;
    readonly onoff: number | null;
    readonly adc_model: string;
    readonly adc_bits: number;
    readonly adc_limits: readonly Limits[] | null;
  };
  /** [slice][polarity][output][input] */
  readonly stuck: readonly (readonly (readonly (readonly number[])[])[])[];
}

function adcOf(model: string, bits: number, range: Adc extends { range: infer R } ? R : never): Adc;
function adcOf(model: string, bits: number, range: { slices: readonly Limits[] } | { arrays: readonly Limits[] }): Adc {
  if (model === 'IdealADC' || bits === 0) return { model: 'ideal' };
  return { model: model === 'SignMagnitudeADC' ? 'sign-magnitude' : 'uniform', bits, range };
}

const integers = (rows: readonly (readonly number[])[]) => ({
  rows: rows.length,
  cols: rows[0]?.length ?? 0,
  data: Int32Array.from(rows.flat()),
});

const base = {
  rows: 4096,
  cols: 4096,
  weightBits: 8,
  inputBits: 8,
  dacBits: 1,
  signedInputs: 'sign-magnitude',
} as const;

/** Largest difference from what the case expects, in its unit. */
function worst(c: MvmCase, y: Float64Array, scale: number): number {
  return c.expected
    .flat()
    .reduce((most, value, i) => Math.max(most, Math.abs((y[i] ?? Number.NaN) * scale - value)), 0);
}

describe('sliced weights', () => {
  it('M6: reproduce every reference case', (ctx) => {
    const all = cases<SlicedCase>('crosssim_bitsliced', ctx);
    for (const c of all) {
      const s = c.settings;
      const crossbar: Crossbar = {
        ...base,
        cellBits: s.cell_bits,
        weightSlices: s.slices,
        inputBits: s.input_bits,
        storage: s.style,
        ...(s.style === 'differential' ? { subtract: s.subtract } : {}),
        device: { onOffRatio: s.onoff ?? Infinity },
        adc: adcOf(s.adc_model, s.adc_bits, { slices: s.adc_limits } as never),
      };
      const mapping = mapMatrix(integers(c.weights_int), crossbar);
      const y = multiply(mapping, Int32Array.from(c.inputs_int.flat()), { signed: s.input === 'signed' });
      expect(worst(c, y, c.weight_scale * c.input_scale), c.id).toBeLessThanOrEqual(c.tolerance_abs);
    }
    expect(all.length).toBeGreaterThan(0);
  });
});

describe('single cells', () => {
  it('reproduce every reference case, the gain error of the peer under compat alone', (ctx) => {
    const all = cases<SingleCellCase>('crosssim_single_cell', ctx);
    let gainErrors = 0;
    for (const c of all) {
      const s = c.settings;
      const inputBits = 8;
      const magnitude = s.input === 'signed' ? inputBits - 1 : inputBits;
      const crossbar: Crossbar = {
        ...base,
        cellBits: s.cell_bits,
        dacBits: s.bit_serial ? s.input_slice_bits : magnitude,
        adcPerInputSlice: s.bit_serial ? s.adc_per_input_slice : true,
        storage: s.style === 'offset' ? 'offset' : 'differential',
        ...(s.style === 'offset' ? {} : { subtract: 'analog' as const }),
        device: { onOffRatio: s.onoff ?? Infinity },
        adc: adcOf(s.adc_model, s.adc_bits, { arrays: s.adc_limits_per_array ?? [] } as never),
      };
      const w = integers(c.weights_int);
      const weights = { ...w, data: Float64Array.from(w.data, (value) => value * c.weight_scale) };
      const options = {
        pair: s.balanced_style === 'TWO_SIDED' ? ('two-sided' as const) : ('one-sided' as const),
        ...(s.partition
          ? { inputsPerArray: s.partition.inputs_per_array, outputsPerArray: s.partition.outputs_per_array }
          : {}),
      };
      const x = Int32Array.from(c.inputs_int.flat());
      const signed = s.input === 'signed';
      const error = (compat: Partial<Crossbar>) =>
        worst(c, multiply(mapSingleCell(weights, { ...crossbar, ...compat }, options), x, { signed }), c.input_scale);
      expect(error({ compat: 'crosssim-3.2' }), c.id).toBeLessThanOrEqual(c.tolerance_abs);
      if (s.style === 'offset' && s.cell_bits > 0) {
        expect(error({}), c.id).toBeGreaterThan(c.tolerance_abs);
        gainErrors++;
      } else expect(error({}), c.id).toBeLessThanOrEqual(c.tolerance_abs);
    }
    expect(gainErrors).toBeGreaterThan(0);
  });

  it('an ideal offset cell of 2 bits returns what the weights say, and two thirds of it under compat', () => {
    const crossbar: Crossbar = {
      ...base,
      cellBits: 2,
      storage: 'offset',
      device: { onOffRatio: Infinity },
      adc: { model: 'ideal' },
    };
    const w = { rows: 1, cols: 20, data: new Float64Array(20).fill(1) };
    const x = new Int32Array(20).fill(1);
    expect(multiply(mapSingleCell(w, crossbar), x)[0]).toBeCloseTo(20, 12);
    expect(multiply(mapSingleCell(w, { ...crossbar, compat: 'crosssim-3.2' }), x)[0]).toBeCloseTo(40 / 3, 12);
  });
});

describe('the largest range', () => {
  it('covers every input, for any number of rows; under compat it clips as the peer does', () => {
    const all = (rows: number, cellBits: number, bits: number, compat: Partial<Crossbar>) => {
      const crossbar: Crossbar = {
        ...base,
        cellBits,
        storage: 'offset',
        device: { onOffRatio: Infinity },
        adc: { model: 'uniform', bits, range: 'max' },
        ...compat,
      };
      const w = { rows: 1, cols: rows, data: new Int32Array(rows).fill(127) };
      const [y = 0] = multiply(mapMatrix(w, crossbar), new Int32Array(rows).fill(255));
      return y / (127 * 255);
    };
    for (const [rows, cellBits] of [
      [90, 2],
      [80, 4],
      [64, 2],
    ] as const)
      expect(all(rows, cellBits, 10, {})).toBeCloseTo(rows, 9);
    expect(all(90, 2, 10, { compat: 'crosssim-3.2' })).toBeCloseTo(81.1, 1);
    expect(all(80, 4, 10, { compat: 'crosssim-3.2' })).toBeLessThan(57);
  });
});

describe('stuck cells', () => {
  it('M7: explicit fault maps reproduce every reference case', (ctx) => {
    const all = cases<StuckCase>('crosssim_stuck_at', ctx);
    for (const c of all) {
      const s = c.settings;
      const crossbar: Crossbar = {
        ...base,
        cellBits: s.cell_bits,
        weightSlices: s.slices,
        storage: 'differential',
        subtract: 'analog',
        device: { onOffRatio: s.onoff ?? Infinity },
        adc: adcOf(s.adc_model, s.adc_bits, { slices: s.adc_limits ?? [] } as never),
      };
      const mapping = mapMatrix(integers(c.weights_int), crossbar);
      const stuck = Int8Array.from(
        [0, 1].flatMap((polarity) => c.stuck.flatMap((slice) => slice[polarity]?.flat() ?? [])),
      );
      const y = multiply(program(mapping, { stuck }), Int32Array.from(c.inputs_int.flat()), { signed: false });
      expect(worst(c, y, c.weight_scale * c.input_scale), c.id).toBeLessThanOrEqual(c.tolerance_abs);
    }
    expect(all.length).toBeGreaterThan(0);
  });
});

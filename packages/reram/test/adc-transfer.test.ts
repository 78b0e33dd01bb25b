/** Converters against the transfer curves of the reference vectors, and their properties. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Adc, checkAdc, converter } from '../src/adc.ts';
import { cases } from './vectors.ts';

interface TransferCase {
  readonly id: string;
  readonly settings: {
    readonly model: string;
    readonly bits: number;
    readonly min: number;
    readonly max: number;
    readonly gain_db: number | null;
    readonly split_cdac?: boolean;
  };
  readonly inputs: readonly number[];
  readonly expected: readonly number[];
  readonly tolerance_abs: number;
}

const MODELS: Readonly<Record<string, Adc['model']>> = {
  QuantizerADC: 'uniform',
  SignMagnitudeADC: 'sign-magnitude',
  SarADC: 'sar',
  RampADC: 'ramp',
  PipelineADC: 'pipeline',
  CyclicADC: 'cyclic',
};

function adcOf({ model, bits, gain_db, split_cdac }: TransferCase['settings']): Adc {
  return {
    model: MODELS[model] ?? 'ideal',
    bits,
    range: 'max',
    ...(gain_db === null ? {} : { gainDb: gain_db }),
    ...(split_cdac === undefined ? {} : { splitCdac: split_cdac }),
  } as Adc;
}

describe('transfer curves', () => {
  it('reproduce every reference sweep', (ctx) => {
    const all = cases<TransferCase>('crosssim_adc_transfer', ctx);
    for (const c of all) {
      const convert = converter(adcOf(c.settings), [c.settings.min, c.settings.max]);
      const step = (2 * c.settings.max) / 2 ** c.settings.bits;
      let onThreshold = 0;
      c.inputs.forEach((input, i) => {
        const error = Math.abs(convert(input, 0) - (c.expected[i] ?? 0));
        if (error <= c.tolerance_abs) return;
        // A sample on a threshold may fall to either side.
        expect(error, `${c.id} at ${input}`).toBeLessThanOrEqual(step + c.tolerance_abs);
        onThreshold++;
      });
      expect(onThreshold, c.id).toBe(0);
    }
    expect(all.length).toBeGreaterThan(0);
  });
});

describe('converters', () => {
  it('M6: a uniform converter errs by half a step at most inside its range, and clips outside', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.double({ min: -4, max: 4, noNaN: true }),
        fc.double({ min: 0.1, max: 5, noNaN: true }),
        fc.double({ min: -12, max: 12, noNaN: true }),
        (bits, low, width, value) => {
          const convert = converter({ model: 'uniform', bits, range: 'max' }, [low, low + width]);
          const step = width / (2 ** bits - 1);
          const inside = Math.min(Math.max(value, low), low + width);
          expect(Math.abs(convert(value, 0) - inside)).toBeLessThanOrEqual(step / 2 + 1e-9);
        },
      ),
      { seed: 1, numRuns: 300 },
    );
  });

  it('rounds ties to the even level, and keeps zero a level of the sign-magnitude converter', () => {
    const convert = converter({ model: 'uniform', bits: 3, range: 'unit-step' }, [0, 7]);
    expect([0.5, 1.5, 2.5, 6.5].map((v) => convert(v, 0))).toEqual([0, 2, 2, 6]);
    const signed = converter({ model: 'sign-magnitude', bits: 4, range: 'max' }, [-3, 3]);
    expect(signed(0, 0)).toBe(0);
    expect(new Set(Array.from({ length: 1001 }, (_, i) => signed(-3.5 + i * 0.007, 0))).size).toBe(15);
  });

  it('M4: errors of a converter depend on the seed and on the converter alone, and groups share them', () => {
    const adc: Adc = { model: 'sar', bits: 6, range: 'max', sigmaCapacitor: 0.1, sigmaComparator: 0.02, groupSize: 4 };
    const sweep = (order: readonly number[], seed: number) => {
      const convert = converter(adc, [-1, 1], seed);
      const out: number[] = [];
      for (const column of order) for (let i = 0; i < 200; i++) out[column * 200 + i] = convert(-1 + i / 100, column);
      return out;
    };
    const forward = sweep([0, 1, 2, 3, 4, 5, 6, 7], 5);
    expect(sweep([7, 3, 5, 1, 0, 2, 6, 4], 5)).toEqual(forward);
    expect(forward.slice(0, 200)).toEqual(forward.slice(600, 800));
    expect(forward.slice(0, 200)).not.toEqual(forward.slice(800, 1000));
    expect(sweep([0, 1, 2, 3, 4, 5, 6, 7], 6)).not.toEqual(forward);
  });

  it('every circuit without errors has 2^bits codes and errs by half a step at most', () => {
    for (const model of ['sar', 'ramp', 'pipeline', 'cyclic'] as const)
      for (const bits of [2, 4, 7]) {
        const convert = converter({ model, bits, range: 'max' } as Adc, [-2, 6]);
        const seen = new Set<number>();
        for (let i = 0; i <= 5000; i++) {
          const value = -2 + (8 * (i + 0.37)) / 5001;
          const out = convert(value, 0);
          seen.add(out);
          expect(Math.abs(out - value)).toBeLessThanOrEqual(4 / 2 ** bits + 1e-9);
        }
        expect(seen.size).toBe(2 ** bits);
      }
  });

  it('a converter that cannot be built is refused, its neighbour is not', () => {
    checkAdc({ model: 'uniform', bits: 32, range: 'max' });
    for (const adc of [
      { model: 'uniform', bits: 0, range: 'max' },
      { model: 'uniform', bits: 33, range: 'max' },
      { model: 'uniform', bits: Number.NaN, range: 'max' },
      { model: 'sign-magnitude', bits: 1, range: 'max' },
      { model: 'sar', bits: 17, range: 'max' },
      { model: 'uniform', bits: 4, range: { slices: [[1, 1]] } },
      { model: 'sar', bits: 4, range: 'max', sigmaCapacitor: -1 },
    ] as const)
      expect(() => checkAdc(adc as Adc)).toThrow(expect.objectContaining({ code: 'GRIM_RERAM_BAD_ADC' }));
  });
});

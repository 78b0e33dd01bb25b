/** `grim reram check`: real files pass, what is wrong with a file is a failed case or one sentence, never a crash. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEMO, grim, temporaryFolder } from './grim.ts';
import { type Case, FORMATS, randomCases, randomChip } from './random-vectors.ts';
import {
  type Matrix,
  type SingleSettings,
  type SlicedSettings,
  singleCellMvm,
  slicedMvm,
} from './vector-definitions.ts';

const data = join(process.env['GRIM_DATA'] ?? '', 'reram');
const VECTORS = join(DEMO, 'reram');

interface Report {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly cases: readonly { readonly id: string; readonly status: string; readonly reason?: string }[];
}

async function check(value: unknown): Promise<{ readonly code: number | null; readonly report: Report; err: string }> {
  const file = join(temporaryFolder(), 'vectors.json');
  writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value));
  const { code, out, err } = await grim(['reram', 'check', file, '--json']);
  return { code, report: out === '' ? { passed: 0, failed: 0, skipped: 0, cases: [] } : JSON.parse(out), err };
}

const casesOf = (path: string): readonly Case[] => JSON.parse(readFileSync(path, 'utf8')).cases;

describe('grim reram check', () => {
  it('passes every case of the reference vectors and skips none', async (ctx) => {
    if (!existsSync(data)) return ctx.skip('GRIM_DATA is not there: reram');
    const { code, out, err } = await grim(['reram', 'check', data, '--json']);
    const report: Report = JSON.parse(out);
    expect([code, err, report.failed, report.skipped]).toEqual([0, '', 0, 0]);
    expect(report.passed).toBeGreaterThan(200);
  });

  it('holds the order of another tools converters, and skips what it knows no law of', async (ctx) => {
    if (!existsSync(data)) return ctx.skip('GRIM_DATA is not there: reram');
    const file = JSON.parse(readFileSync(join(data, 'neurosim_small_net.json'), 'utf8')) as {
      readonly runs: Readonly<Record<string, Readonly<Record<string, number>>>>;
    };
    const { mlsa5, sar5, sar7 } = file.runs;
    const { report } = await check({ runs: { mlsa5, sar5: sar7, sar7: sar5 } });
    // The two with each other, in all six quantities; nothing changes beside the third.
    expect(report.cases.map(({ status }) => status)).toEqual(['passed', 'failed', 'failed']);
    const { report: alone } = await check({ runs: { sar5, flash9: mlsa5 } });
    expect(alone.cases.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('one run alone'),
      expect.stringContaining('no law is known'),
    ]);
  });

  it('finds the error in a file whose expectation is off by more than its tolerance, in every format', async (ctx) => {
    if (!existsSync(data)) return ctx.skip('GRIM_DATA is not there: reram');
    const wrong: Readonly<Record<string, (one: Case) => Case>> = {
      crosssim_bitsliced: bent('expected'),
      crosssim_single_cell: bent('expected'),
      crosssim_stuck_at: bent('expected'),
      crosssim_adc_transfer: bent('expected'),
      ir_drop: bent('expected_currents_A_nodal'),
      cp_projection: bent('expected'),
      admm_quadratic: bent('final_Z'),
      conv_mapping: bent('expected_output_int'),
      // Five standard errors of the first mean are less than 0.01.
      noise_statistics: (one) => ({ ...one, mean: (one['mean'] as number[]).map((v, i) => (i === 0 ? v + 0.05 : v)) }),
      adc_bits: (one) => ({ ...one, exact_bits: Number(one['exact_bits']) + 1 }),
    };
    for (const [name, bend] of Object.entries(wrong)) {
      const [first = {}, ...rest] = casesOf(join(data, `${name}.json`)).slice(0, 2);
      const { code, report } = await check({ cases: [bend(first), ...rest] });
      expect([name, code, report.failed, report.passed]).toEqual([name, 1, 1, rest.length]);
    }
  });

  it('the definitions that other vectors are drawn from give what the stored ones expect', (ctx) => {
    if (!existsSync(data)) return ctx.skip('GRIM_DATA is not there: reram');
    const furthest = (file: string, found: (one: Case) => Matrix) =>
      Math.max(
        ...casesOf(join(data, file)).map((one) => {
          const wanted = (one['expected'] as Matrix).flat();
          return Math.max(
            ...found(one).flatMap((row, i) =>
              row.map((v, o) => Math.abs(v - (wanted[i * row.length + o] ?? Number.NaN))),
            ),
          );
        }),
      );
    const [weights, inputs] = [(one: Case) => one['weights_int'] as Matrix, (one: Case) => one['inputs_int'] as Matrix];
    const sliced = furthest('crosssim_bitsliced.json', (one) =>
      slicedMvm(one['settings'] as SlicedSettings, weights(one), inputs(one)),
    );
    const single = furthest('crosssim_single_cell.json', (one) =>
      singleCellMvm(one['settings'] as SingleSettings, weights(one), inputs(one)),
    );
    const stuck = furthest('crosssim_stuck_at.json', (one) => {
      const settings = {
        style: 'differential',
        subtract: 'analog',
        input_bits: 8,
        ...(one['settings'] as object),
      } as SlicedSettings;
      return slicedMvm(settings, weights(one), inputs(one), one['stuck'] as Parameters<typeof slicedMvm>[3]);
    });
    // The peer holds the conductances of single cells in 32 bits.
    expect([sliced < 1e-12, single < 4e-7, stuck < 1e-12]).toEqual([true, true, true]);
  });

  it.for([11, 12, 13])(
    'M6: takes any file of these formats: other seeds, sizes and settings (seed %d)',
    async (seed) => {
      const cases = FORMATS.flatMap((format) => randomCases(format, seed, format === 'noise' ? 4 : 40));
      const { code, report } = await check({ cases });
      expect(report.cases.filter(({ status }) => status !== 'passed')).toEqual([]);
      expect([code, report.passed]).toEqual([0, cases.length]);
      const { report: chip } = await check(randomChip(seed));
      expect(chip.cases.filter(({ status }) => status !== 'passed')).toEqual([]);
      expect(chip.passed).toBeGreaterThan(50);
    },
  );

  it.for<readonly [what: string, value: unknown, says: RegExp]>([
    ['no JSON', '{"cases": [', /no JSON.*GRIM_RERAM_BAD_VECTORS/],
    ['a list', [], /no file of reference vectors/],
    ['another object', { weights: [] }, /no file of reference vectors/],
  ])('%s: one sentence', async ([, value, says]) => {
    const { code, err } = await check(value);
    expect(code).toBe(1);
    expect(err).toMatch(says);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });

  it('a damaged case fails with what was found, and the others go on', async () => {
    const [sliced = {}, wires = {}] = casesOf(join(VECTORS, 'arrays.json'));
    const settings = sliced['settings'] as Case;
    const damaged: readonly (readonly [Case, RegExp])[] = [
      [{ ...sliced, kind: 'bitsliced_mvn' }, /no such format/],
      [{ ...sliced, weights_int: [[1], [2, 3]] }, /equal length/],
      [{ ...sliced, weights_int: 'none' }, /list of lists/],
      [{ ...sliced, settings: { ...settings, cell_bits: 40 } }, /cellBits is 40/],
      [{ ...sliced, settings: { ...settings, onoff: 0.5 } }, /onOffRatio is 0.5/],
      [{ ...sliced, settings: { ...settings, adc_bits: 33 } }, /bits is 33/],
      [{ ...sliced, weights_int: [[300, 0]] }, /GRIM_RERAM_WEIGHT_RANGE/],
      [{ ...sliced, inputs_int: [[256, 0]] }, /GRIM_RERAM_BAD_INPUT/],
      [{ ...sliced, tolerance_abs: undefined }, /tolerance_abs is missing/],
      [{ ...wires, conductance_S: [[-1]] }, /GRIM_RERAM_BAD_CIRCUIT/],
      [{ ...wires, conductance_S: [[null]] }, /list of numbers/],
    ];
    const { code, report } = await check({ cases: [...damaged.map(([one]) => one), wires, null, 7] });
    expect([code, report.passed, report.failed]).toEqual([1, 1, damaged.length + 2]);
    damaged.forEach(([, says], i) => {
      expect(report.cases[i]?.reason).toMatch(says);
    });
    const { report: none } = await check({ cases: [{ ...sliced, expected: [[Number.NaN]] }] });
    expect(none.failed).toBe(1);
  });
});

/** The first number in a field moved by 1 %, and a little. */
function bent(field: string): (one: Case) => Case {
  const bend = (value: unknown, state: { done: boolean }): unknown => {
    if (Array.isArray(value)) return value.map((one) => bend(one, state));
    if (state.done || typeof value !== 'number') return value;
    state.done = true;
    return value * 1.01 + (Number.isInteger(value) ? 1 : 1e-3);
  };
  return (one) => ({ ...one, [field]: bend(one[field], { done: false }) });
}

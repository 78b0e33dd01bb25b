/** The tuner, on devices that are made up: their times follow from the schedule alone. One small model runs for real. */
import { applyPattern } from '@grim/bcr';
import { type Graph, graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile, type Measure, type Measurement, type Schedule, type Timed, type Tuned, tune } from '../src/index.ts';
import { genesOf } from '../src/tune/space.ts';
import { execute } from './execute.ts';
import { integers, random, randomPattern } from './matrices.ts';

const next = random(20261123);

/** Three convolutions of one shape and pattern, one of another, and a dense one. */
const NETWORK: Graph = graph('network', (b) => {
  let x = b.input('x', 'float32', [1, 16, 24, 24]);
  const conv = (name: string, outputs: number, inputs: number, pruned: boolean) => {
    const [rows, cols] = [outputs, 9 * inputs];
    const pattern = pruned ? randomPattern(rows, cols, 4, cols, 0.2, random(rows)) : undefined;
    const data = integers(rows * cols, 3, next);
    const kept = pattern ? applyPattern({ rows, cols, data }, pattern).data : data;
    const w = { dtype: 'float32', shape: [outputs, inputs, 3, 3], data: kept, ...(pattern && { pattern }) } as const;
    x = b.add('Relu', [b.add('Conv', [x, b.weight(name, w)], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })]);
  };
  for (const name of ['a', 'b', 'c']) conv(name, 16, 16, true);
  conv('d', 48, 16, true);
  conv('e', 32, 48, false);
  b.output('y', x);
});

function noise(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3ce3);
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32;
}

/** Every knob has its own effect on every device and product, and so has every pair of neighbouring ones. */
function timeOf(device: number, key: string, schedule: Schedule): number {
  const genes = genesOf(schedule.form, false).map((knob) => `${knob}=${schedule[knob]}`);
  let time = 100 * (0.7 + 0.9 * noise(`${device} ${key} ${schedule.form}`));
  for (const gene of genes) time *= 0.85 + 0.3 * noise(`${device} ${key} ${gene}`);
  for (let i = 1; i < genes.length; i++) time *= 0.95 + 0.1 * noise(`${device} ${key} ${genes[i - 1]} ${genes[i]}`);
  return time;
}

interface Simulation {
  readonly measure: Measure;
  /** Candidates that were timed. */
  runs(): number;
}

/** @param defaults  of each product, from a first look */
function simulate(device: number, spread = 0): Simulation {
  let runs = 0;
  const noiseOf = random(device + 1);
  return {
    runs: () => runs,
    measure: async (candidates, { rounds, signal }) => {
      signal?.throwIfAborted();
      return candidates.map(({ schedules }): Timed => {
        runs++;
        const jitter = () => 1 + spread * (noiseOf() - 0.5);
        const times = Array.from(DEFAULTS, ([key, { schedule, count }]) => {
          const time = count * timeOf(device, key, schedules[key] ?? schedule);
          return [key, Array.from({ length: rounds }, () => time * jitter())] as const;
        });
        const run = Array.from({ length: rounds }, (_, round) =>
          times.reduce((sum, [, list]) => sum + (list[round] ?? 0), 0),
        );
        return { run, products: new Map(times) };
      });
    },
  };
}

/** By key: the default schedule, and how many layers have it. */
const DEFAULTS = new Map<string, { readonly schedule: Schedule; readonly count: number }>();
const blank = await tune(NETWORK, async (list) => list.map(() => ({ run: [], products: new Map() })), { trials: 0 });
for (const { key, before, nodes } of blank.products) DEFAULTS.set(key, { schedule: before, count: nodes.length });

function totalOf(device: number, { schedules }: Pick<Tuned, 'schedules'>): number {
  return Array.from(DEFAULTS).reduce(
    (sum, [key, { schedule, count }]) => sum + count * timeOf(device, key, schedules[key] ?? schedule),
    0,
  );
}

describe('tune', () => {
  it('measures layers of equal shape and pattern once', () => {
    expect(blank.products.map(({ nodes }) => nodes.length).sort()).toEqual([1, 1, 3]);
  });

  it('C13: ends after its trials, and is never slower than the default, whatever the device, the noise and the number of trials', async () => {
    for (let device = 0; device < 20; device++)
      for (const trials of [1, 6, 24]) {
        const tuned = await tune(NETWORK, simulate(device, 0.02).measure, { trials, seed: device });
        expect(totalOf(device, tuned)).toBeLessThanOrEqual(totalOf(device, { schedules: {} }));
      }
  });

  it('stays with the default on a device where nothing else is faster', async () => {
    const measure: Measure = async (candidates, { rounds }) =>
      candidates.map(({ schedules }) => {
        const slow = (key: string) => (schedules[key] ? 120 : 100);
        const products = new Map(Array.from(DEFAULTS.keys(), (key) => [key, Array(rounds).fill(slow(key))] as const));
        return { run: Array(rounds).fill(Object.keys(schedules).length > 0 ? 360 : 300), products };
      });
    const tuned = await tune(NETWORK, measure, { trials: 20 });
    expect(tuned).toMatchObject({ schedules: {}, ratio: 1 });
    expect(tuned.products.every(({ before, after }) => before === after)).toBe(true);
  });

  it('drops what wins alone and loses in the whole', async () => {
    const { measure } = simulate(3);
    const deceived: Measure = async (candidates, options) =>
      (await measure(candidates, options)).map((timed, i) => ({
        ...timed,
        run: timed.run.map((time) => time * (1 + i)),
      }));
    expect(await tune(NETWORK, deceived, { trials: 20 })).toMatchObject({ schedules: {}, ratio: 1 });
  });

  it('finds the same with the same seed, something else with another', async () => {
    const [a, b, c] = await Promise.all(
      [1, 1, 2].map((seed) => tune(NETWORK, simulate(4).measure, { trials: 16, seed })),
    );
    expect(a).toEqual(b);
    expect(a?.schedules).not.toEqual(c?.schedules);
  });

  it.each([0, 1, 2, 3, 4])('beats random search at 40 trials each, seed %i', async (seed) => {
    const [genetic, drawn] = await Promise.all(
      (['genetic', 'random'] as const).map((strategy) =>
        tune(NETWORK, simulate(100 + seed).measure, { trials: 40, seed, strategy }),
      ),
    );
    expect(totalOf(100 + seed, genetic as Tuned)).toBeLessThan(totalOf(100 + seed, drawn as Tuned));
  });

  it('beats it on a noisy device too: what wins by luck is timed again', async () => {
    const seeds = [0, 1, 2, 3, 4];
    const shares = seeds.map(async (seed) => {
      const [genetic, drawn] = await Promise.all(
        (['genetic', 'random'] as const).map((strategy) =>
          tune(NETWORK, simulate(200 + seed, 0.5).measure, { trials: 40, seed, strategy }),
        ),
      );
      return Math.log(totalOf(200 + seed, genetic as Tuned) / totalOf(200 + seed, drawn as Tuned));
    });
    expect((await Promise.all(shares)).reduce((sum, share) => sum + share, 0) / seeds.length).toBeLessThan(0);
  });

  it('C13: a signal stops it; it goes on after an abort as if there had been none, and measures nothing twice', async () => {
    const whole = await tune(NETWORK, simulate(8).measure, { trials: 32, seed: 5 });
    const kept: Measurement[] = [];
    const controller = new AbortController();
    const first = tune(NETWORK, simulate(8).measure, {
      trials: 32,
      seed: 5,
      signal: controller.signal,
      onMeasurement: (measurement) => kept.push(measurement),
      onProgress: ({ trial }) => trial >= 12 && controller.abort(new Error('enough')),
    });
    await expect(first).rejects.toThrow('enough');
    expect(kept.filter(({ again }) => again === undefined)).toHaveLength(3 * 12);
    expect(kept.length).toBeGreaterThan(3 * 12);
    const stored: Measurement[] = JSON.parse(JSON.stringify(kept));
    const second = await tune(NETWORK, simulate(8).measure, { trials: 32, seed: 5, known: stored });
    expect(second.schedules).toEqual(whole.schedules);
    expect(second.known).toBe(kept.length);
    expect(second.measured).toBe(whole.measured - kept.length);
  });

  it('runs only the last comparisons when all is known', async () => {
    const kept: Measurement[] = [];
    const options = { trials: 20, seed: 1, onMeasurement: (measurement: Measurement) => kept.push(measurement) };
    const once = await tune(NETWORK, simulate(9).measure, options);
    const again = simulate(9);
    const twice = await tune(NETWORK, again.measure, { ...options, known: kept });
    expect(twice).toMatchObject({ schedules: once.schedules, measured: 0, known: once.measured });
    expect(again.runs()).toBeLessThanOrEqual(5 + 4 * 10);
  });

  it('leaves aside known measurements that are none', async () => {
    const [key = ''] = DEFAULTS.keys();
    const broken = [
      { key, schedule: { form: 'units', tallest: 99 }, ratio: 0.1 },
      { key, schedule: { form: 'dense' }, ratio: Number.NaN },
      { key, schedule: { form: 'dense' }, ratio: -1 },
      { key, schedule: null, ratio: 0.5 },
      { key: '__proto__', schedule: { form: 'dense' }, ratio: 0.5 },
    ] as unknown as Measurement[];
    const plain = await tune(NETWORK, simulate(2).measure, { trials: 8 });
    expect(await tune(NETWORK, simulate(2).measure, { trials: 8, known: broken })).toEqual(plain);
  });

  it('tells how far it is, and loses no ground on a device without noise', async () => {
    const seen: (readonly [number, number])[] = [];
    await tune(NETWORK, simulate(6).measure, {
      trials: 10,
      onProgress: ({ trial, best, products }) => {
        expect(products).toBe(3);
        seen.push([trial, best]);
      },
    });
    expect(seen.map(([trial]) => trial)).toEqual([4, 8, 10]);
    expect(seen.map(([, best]) => best)).toEqual(seen.map(([, best]) => best).sort((a, b) => b - a));
  });

  it('of a real model: candidates compile and compute what the default computes', async () => {
    const x = { dtype: 'float32', shape: [1, 16, 24, 24], data: integers(16 * 24 * 24, 3, random(1)) } as const;
    const wanted = execute(compile(NETWORK), { x })['y']?.data;
    let compared = 0;
    const measure: Measure = async (candidates, { rounds }) =>
      candidates.map((candidate) => {
        const model = candidate.compile();
        expect(execute(model, { x }, { poison: 255 })['y']?.data).toEqual(wanted);
        compared++;
        const keys = new Set(model.calls?.flatMap(({ product }) => product ?? []));
        expect(keys).toEqual(new Set(DEFAULTS.keys()));
        const times = Array.from({ length: rounds }, () => 1 / (1 + Object.keys(candidate.schedules).length));
        return { run: times, products: new Map(Array.from(keys, (key) => [key, times])) };
      });
    const { schedules } = await tune(NETWORK, measure, { trials: 8, seed: 3, rounds: 1 });
    expect(compared).toBeGreaterThanOrEqual(11);
    expect(Object.keys(schedules)).toHaveLength(3);
  });
});

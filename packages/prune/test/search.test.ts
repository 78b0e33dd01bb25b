/** The search for densities: no plan that another one beats, against trying everything, and budgets that cannot be met. */
import { describe, expect, it } from 'vitest';
import { fastestWithin, type LayerChoices, type Plan, planFor, tradeOffs } from '../src/index.ts';
import { randomStream } from '../src/random.ts';

const LEVELS = [1, 0.5, 0.25, 0.1];

function layers(count: number, seed: number): LayerChoices[] {
  const random = randomStream(seed);
  return Array.from({ length: count }, (_, i) => {
    const [size, hard] = [1 + 10 * random(), random() ** 3];
    return {
      name: `l${i}`,
      // Noisy, so that some choices are beaten by others of the same layer.
      choices: LEVELS.map((density) => ({
        density,
        loss: density === 1 ? 0 : (hard / density) * (0.5 + random()),
        ms: size * density * (0.7 + 0.6 * random()),
        bytes: Math.round(1000 * size * density),
      })),
    };
  });
}

/** Every plan there is. */
function everything(all: readonly LayerChoices[]): { loss: number; ms: number; bytes: number }[] {
  return all.reduce(
    (plans, { choices }) =>
      plans.flatMap((plan) =>
        choices.map((choice) => ({
          loss: plan.loss + choice.loss,
          ms: plan.ms + choice.ms,
          bytes: plan.bytes + choice.bytes,
        })),
      ),
    [{ loss: 0, ms: 0, bytes: 0 }],
  );
}

const beats = (a: Pick<Plan, 'loss' | 'ms'>, b: Pick<Plan, 'loss' | 'ms'>) =>
  a.loss <= b.loss && a.ms <= b.ms && (a.loss < b.loss || a.ms < b.ms);

describe('search for densities', () => {
  it('never picks a plan that another of its own candidates beats on loss and time', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const all = layers(6 + (seed % 5), seed);
      const plans = tradeOffs(all, { steps: 64 });
      const [fastest, slowest] = [plans[0]?.ms ?? 0, Math.max(...plans.map(({ ms }) => ms))];
      for (const share of [0.05, 0.2, 0.5, 0.9]) {
        const maxMs = fastest + share * (slowest - fastest);
        const picked = planFor(plans, { maxMs }, all);
        expect(picked.ms).toBeLessThanOrEqual(maxMs);
        expect(plans.filter((plan) => beats(plan, picked))).toEqual([]);
        const maxBytes = picked.bytes * 1.1;
        const both = planFor(plans, { maxMs, maxBytes }, all);
        const allowed = plans.filter(({ ms, bytes }) => ms <= maxMs && bytes <= maxBytes);
        expect(allowed.filter((plan) => beats(plan, both))).toEqual([]);
      }
    }
  });

  it('comes as near to the best of all plans as its steps are fine, and sums are exact', () => {
    for (let seed = 1; seed <= 6; seed++) {
      const all = layers(6, seed);
      const plans = tradeOffs(all, { steps: 4096 });
      const every = everything(all);
      for (const { density, loss, ms } of plans) {
        const own = all.map(({ name, choices }) => choices.find((choice) => choice.density === density[name]));
        expect(own.reduce((sum, choice) => sum + (choice?.loss ?? Number.NaN), 0)).toBeCloseTo(loss, 9);
        expect(own.reduce((sum, choice) => sum + (choice?.ms ?? Number.NaN), 0)).toBeCloseTo(ms, 9);
      }
      const slowest = Math.max(...every.map(({ ms }) => ms));
      for (const share of [0.2, 0.4, 0.7]) {
        const maxMs = share * slowest;
        const best = Math.min(...every.filter(({ ms }) => ms <= maxMs).map(({ loss }) => loss));
        if (best < Number.POSITIVE_INFINITY)
          expect(planFor(plans, { maxMs }, all).loss).toBeLessThanOrEqual(best * 1.02 + 1e-9);
      }
    }
  });

  it('leaves a layer dense that nothing is worth pruning', () => {
    const all = layers(4, 3).map((layer, i) =>
      i === 2 ? { ...layer, choices: layer.choices.map((choice) => ({ ...choice, ms: 1, bytes: 10 })) } : layer,
    );
    for (const { density } of tradeOffs(all)) expect(density['l2']).toBe(1);
  });

  it('says the best that can be had, and which layer binds, when a budget cannot be met', () => {
    const all: LayerChoices[] = [
      { name: 'small', choices: [{ density: 1, loss: 0, ms: 1, bytes: 100 }] },
      {
        name: 'wide',
        choices: [
          { density: 1, loss: 0, ms: 10, bytes: 1000 },
          { density: 0.1, loss: 1, ms: 4, bytes: 200 },
          { density: 0.2, loss: 2, ms: 9, bytes: 50 },
        ],
      },
    ];
    const plans = tradeOffs(all, { fixed: { ms: 0.5, bytes: 10 } });
    expect(() => planFor(plans, { maxMs: 5 }, all)).toThrow(/5\.00 ms are asked for.*5\.50 ms.*4\.00 ms, takes wide/);
    expect(() => planFor(plans, { maxBytes: 100 }, all)).toThrow(/100 bytes are asked for.*160.*takes small/);
    expect(() => planFor(plans, { maxMs: 6, maxBytes: 200 }, all)).toThrow(/not both/);
    expect(planFor(plans, { maxMs: 5.5 }, all).density).toEqual({ small: 1, wide: 0.1 });
    expect(() => tradeOffs([{ name: 'none', choices: [] }])).toThrow(/none has no choices/);
  });

  it.for([1, 2, 5])('finds the fastest plan that drops little enough, %i at once', async (width) => {
    const all = layers(7, 11);
    const plans = tradeOffs(all, { steps: 64 });
    const line = plans.filter((plan) => !plans.some((other) => beats(other, plan)));
    for (const maxDrop of [0, 0.3, 1, 3, 1e9]) {
      let [running, most, runs] = [0, 0, 0];
      const found = await fastestWithin(plans, maxDrop, {
        width,
        async run({ loss }) {
          running++;
          runs++;
          most = Math.max(most, running);
          await Promise.resolve();
          running--;
          return { drop: loss };
        },
      });
      const wanted = line.find(({ loss }) => loss <= maxDrop);
      expect(found?.plan.ms).toBe(wanted?.ms);
      expect(most).toBeLessThanOrEqual(width);
      expect(runs).toBeLessThanOrEqual(width * (Math.ceil(Math.log2(line.length)) + 1));
    }
    expect(await fastestWithin(plans, -1, { width, run: async () => ({ drop: 0 }) })).toBeUndefined();
  });
});

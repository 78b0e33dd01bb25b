/** Plans worth trying: each keeps to its goal, one density for all among them; and the measured costs behind them. */
import { graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import {
  type BlockShape,
  candidatePlans,
  type LayerCurves,
  outputLoss,
  pruneOneShot,
  sensitivities,
  uniformPlan,
} from '../src/index.ts';
import { randomStream } from '../src/random.ts';
import { referenceCalibrator } from '../src/reference.ts';
import { batches, residualNetwork, tensor } from './networks.ts';

const BLOCKS: readonly BlockShape[] = [
  { rows: 2, cols: Number.POSITIVE_INFINITY },
  { rows: 4, cols: 16 },
];
const LEVELS = [0.05, 0.1, 0.2, 0.4];

function layers(count: number, seed: number): LayerCurves[] {
  const random = randomStream(seed);
  return Array.from({ length: count }, (_, i) => {
    const [size, hard] = [1 + 10 * random(), 0.1 + random() ** 3];
    return {
      name: `l${i}`,
      dense: { ms: size, bytes: 1000 * size },
      curves: BLOCKS.map((block, b) => ({
        block,
        points: LEVELS.map((density) => ({
          density,
          loss: (hard * (1 + b)) / density,
          ms: size * density * (1.2 - 0.1 * b),
          bytes: 1000 * size * density * (1.1 + 0.1 * b),
        })),
      })),
    };
  });
}

describe('candidates', () => {
  it('keep to every goal, one density for all of each block among them, and the optimum loses the least in sum', () => {
    for (let seed = 1; seed <= 3; seed++) {
      const all = layers(3 + seed, seed);
      const fixed = { ms: 0.5, bytes: 200 };
      const dense = all.reduce((sum, { dense: { ms } }) => sum + ms, fixed.ms);
      const bytes = all.reduce((sum, { dense: { bytes: own } }) => sum + own, fixed.bytes);
      for (const goal of [{ maxMs: dense / 3 }, { maxBytes: bytes / 4 }, { maxMs: dense / 2, maxBytes: bytes / 5 }]) {
        const found = candidatePlans(all, goal, { fixed, steps: 2048 });
        expect(found.map(({ kind }) => kind)).toEqual(['uniform', 'uniform', 'half way', 'optimum']);
        for (const { plan, kind, block } of found) {
          expect(plan.ms).toBeLessThanOrEqual((goal.maxMs ?? Infinity) + 1e-9);
          expect(plan.bytes).toBeLessThanOrEqual((goal.maxBytes ?? Infinity) + 1e-6);
          if (kind !== 'uniform' || !block) continue;
          const [density = 0, ...others] = new Set(Object.values(plan.density));
          expect(others).toEqual([]);
          expect(uniformPlan(all, block, density, fixed)).toEqual(plan);
          // As dense as the goal allows.
          const more = uniformPlan(all, block, Math.min(1, density * 1.01), fixed);
          expect(more.ms > (goal.maxMs ?? Infinity) || more.bytes > (goal.maxBytes ?? Infinity)).toBe(true);
        }
        const optimum = found.at(-1)?.plan.loss ?? 0;
        // Choices of the search are steps of 13 %.
        for (const { plan } of found) expect(optimum).toBeLessThanOrEqual(plan.loss * 1.05);
      }
    }
  });

  it('say what binds when none keeps to the goal, and refuse layers without costs', () => {
    const all = layers(4, 5);
    expect(() => candidatePlans(all, { maxMs: 0.01 })).toThrow(/the best that can be had are .* ms.*takes l\d/);
    expect(() => candidatePlans([{ name: 'a', dense: { ms: 1, bytes: 1 }, curves: [] }], { maxMs: 1 })).toThrow(
      /a has no curves/,
    );
  });

  it('leave a layer dense that gains nothing, in the optimum', () => {
    const all = layers(4, 3).map((layer, i) =>
      i === 2
        ? {
            ...layer,
            curves: layer.curves.map(({ block, points }) => ({
              block,
              points: points.map((point) => ({ ...point, ...layer.dense })),
            })),
          }
        : layer,
    );
    const found = candidatePlans(all, { maxMs: all.reduce((sum, { dense: { ms } }) => sum + ms, 0) / 1.5 });
    expect(found.find(({ kind }) => kind === 'optimum')?.plan.density['l2']).toBe(1);
  });
});

describe('sensitivities', () => {
  const inputs = batches(4, [8, 3, 8, 8]);
  const block = { rows: 2, cols: 9 };

  it('are the loss of the network with the layer alone pruned, more as less is kept', async () => {
    const found = await sensitivities(residualNetwork(), referenceCalibrator(inputs), {
      choices: () => [1, 0.6, 0.3, 0.1].map((density) => ({ block, density, probe: true })),
    });
    expect(found.map(({ name }) => name)).toEqual(['a1', 'a2', 'b1', 'mix']);
    for (const { costs, macs, weights } of found) {
      expect(costs[0]).toEqual({ error: 0, loss: 0 });
      for (const what of ['error', 'loss'] as const) {
        const values = costs.map((cost) => cost[what]);
        expect(values).toEqual([...values].sort((a, b) => a - b));
      }
      expect(macs).toBeGreaterThan(0);
      expect(weights).toBeGreaterThan(0);
    }
  });

  it('follow from the error of the layer where the network was not looked at', async () => {
    const dense = residualNetwork();
    const levels = [0.6, 0.4, 0.2];
    const all = (probe: (density: number) => boolean) =>
      sensitivities(dense, referenceCalibrator(inputs), {
        choices: (name) => (name === 'a2' ? levels.map((density) => ({ block, density, probe: probe(density) })) : []),
      });
    const [[looked], [said]] = [await all(() => true), await all((density) => density !== 0.4)];
    expect(said?.costs.map(({ error }) => error)).toEqual(looked?.costs.map(({ error }) => error));
    expect(said?.costs[0]).toEqual(looked?.costs[0]);
    const [truth, guess] = [looked?.costs[1]?.loss ?? 0, said?.costs[1]?.loss ?? 0];
    expect(guess).toBeGreaterThan(looked?.costs[0]?.loss ?? 0);
    expect(guess).toBeLessThan(looked?.costs[2]?.loss ?? 0);
    expect(guess / truth).toBeGreaterThan(0.5);
    expect(guess / truth).toBeLessThan(2);
  });

  it('know recurrent layers: the loss is that of the network pruned so', async () => {
    const [hidden, size] = [16, 4];
    const network = graph('gru', (b) => {
      const x = b.input('x', 'float32', [6, 'N', size]);
      const w = b.weight('w', tensor([1, 3 * hidden, size], 1));
      const r = b.weight('r', tensor([1, 3 * hidden, hidden], 2));
      const node = b.add('GRU', [x, w, r], { hidden_size: hidden }, { name: 'gru' });
      b.output('y', node);
    });
    const steps = batches(2, [6, 12, size]);
    const [found, ...more] = await sensitivities(network, referenceCalibrator(steps), {
      choices: (name) => (name === 'gru/R' ? [{ block, density: 0.3, probe: true }] : []),
    });
    expect(more).toEqual([]);
    const { loss } = await pruneOneShot(network, referenceCalibrator(steps), {
      ...{ density: { 'gru/R': 0.3 }, block, criterion: 'wanda', activationAware: 'never' },
    });
    expect(found).toMatchObject({ name: 'gru/R', weights: 3 * hidden * hidden, costs: [{ loss }] });
    expect(found?.macs).toBeGreaterThan(0);
  });
});

describe('the loss of outputs', () => {
  it('is 0 for the same outputs and grows with what is added to them', () => {
    const outputs = [{ y: tensor([4, 5], 1) }];
    const off = (by: number) => [
      { y: { ...tensor([4, 5], 1), data: tensor([4, 5], 1).data.map((v, i) => v + by * (i % 3)) } },
    ];
    expect(outputLoss(outputs, outputs)).toBe(0);
    expect(outputLoss(outputs, off(0.5))).toBeGreaterThan(outputLoss(outputs, off(0.1)));
  });
});

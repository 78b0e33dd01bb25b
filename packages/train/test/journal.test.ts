/** Loops over a trainer that are killed anywhere and started again, and the engine's own layout for convolutions. */
import { type Graph, graph, type Tensor } from '@grim/ir';
import type { Trainer } from '@grim/prune';
import { describe, expect, it } from 'vitest';
import { createTrainer, type Examples, type JournalStore, journaled } from '../src/index.ts';
import { randomStream } from '../src/random.ts';

const random = randomStream(3);
const numbers = (shape: number[], by = 1): Tensor => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from({ length: shape.reduce((a, n) => a * n, 1) }, () => (random() - 0.5) * by),
});
const examples: Examples = {
  count: 48,
  shape: [6],
  data: Float32Array.from({ length: 48 * 6 }, () => random()),
  labels: Uint8Array.from({ length: 48 }, (_, k) => k % 3),
};
const first = numbers([6, 10]);
const second = numbers([10, 3]);
const net = (): Graph =>
  graph('two', (b) => {
    const hidden = b.add('Tanh', [b.add('MatMul', [b.input('x', 'float32', ['N', 6]), b.weight('w1', first)])]);
    b.output('y', b.add('MatMul', [hidden, b.weight('w2', second)]));
  });
const make = () =>
  createTrainer(net(), { examples, validation: examples, batch: 8, threads: 1, augment: { noise: 0.1 } });

/** What pruning loops do: read, train under penalties, change weights, train under masks, read. */
async function loop(trainer: Trainer): Promise<readonly unknown[]> {
  const seen: unknown[] = [await trainer.evaluate()];
  for (const strength of [0.1, 0.2]) {
    const w = (await trainer.weights(['w1'])).get('w1') as Float32Array;
    const { loss, steps } = await trainer.train({
      ...{ steps: 5, rate: (step: number) => 0.1 / (1 + step) },
      penalties: new Map([['w1', { strength, target: w.map((value) => value / 2) }]]),
    });
    seen.push(loss, steps);
  }
  const mask = Uint8Array.from({ length: 60 }, (_, i) => (i % 2 ? 1 : 0));
  const before = (await trainer.weights(['w1'])).get('w1') as Float32Array;
  await trainer.setWeights(new Map([['w1', before.map((value, i) => (mask[i] ? value : 0))]]));
  await trainer.resetOptimizer();
  const { accuracy } = await trainer.train({ steps: 7, rate: 0.05, masks: new Map([['w1', mask]]) });
  seen.push(accuracy, await trainer.evaluate(), (await trainer.graph()).weights.get('w1')?.data);
  return seen;
}

/** Files in memory; the write with this number is cut off by the end of the process. */
function storeOf(files: Map<string, Uint8Array>, last = Number.POSITIVE_INFINITY): JournalStore {
  let writes = 0;
  return {
    read: (name) => files.get(name),
    write(name, content) {
      if (++writes === last) throw new Error('killed');
      files.set(name, content.slice());
    },
  };
}

describe('a journal', () => {
  it('L5, L7: a loop that is killed at any write goes on to the same bits', async () => {
    const plain = make();
    const wanted = await loop(plain);
    await plain.dispose();
    const files = new Map<string, Uint8Array>();
    let kills = 0;
    // Each life gets a few writes further than the last; a checkpoint after every step.
    for (let life = 0; ; life++) {
      const inner = make();
      const run = loop(journaled(inner, storeOf(files, 3 + (life % 4)), { everyMs: 0 }));
      const ended = await run.then(
        (seen) => seen,
        (error: Error) => {
          expect(error.message).toBe('killed');
          return undefined;
        },
      );
      await inner.dispose();
      if (ended) {
        expect(ended).toEqual(wanted);
        break;
      }
      kills++;
    }
    expect(kills).toBeGreaterThan(5);
  });

  it('cancelled, it has kept the steps that were done', async () => {
    const files = new Map<string, Uint8Array>();
    const stop = new AbortController();
    const reason = new Error('enough');
    const inner = make();
    const trainer = journaled(inner, storeOf(files));
    const onStep = ({ step }: { step: number }) => step === 4 && stop.abort(reason);
    await expect(trainer.train({ steps: 9, rate: 0.1, signal: stop.signal, onStep })).rejects.toBe(reason);
    await inner.dispose();
    const again = make();
    const steps: number[] = [];
    await journaled(again, storeOf(files)).train({ steps: 9, rate: 0.1, onStep: ({ step }) => steps.push(step) });
    expect(steps).toEqual([5, 6, 7, 8, 9]);
    expect(again.steps()).toBe(9);
    await again.dispose();
  });

  it('L6: refuses another loop, and damaged files', async () => {
    const files = new Map<string, Uint8Array>();
    const inner = make();
    await journaled(inner, storeOf(files)).train({ steps: 2, rate: 0.1 });
    const code = { code: 'GRIM_TRAIN_BAD_CHECKPOINT' };
    await expect(journaled(inner, storeOf(files)).train({ steps: 3, rate: 0.1 })).rejects.toMatchObject(code);
    await expect(journaled(inner, storeOf(files)).evaluate()).rejects.toMatchObject(code);
    for (const name of ['journal.json', 'state-1']) {
      const damaged = new Map(files).set(name, (files.get(name) as Uint8Array).subarray(1));
      const run = async () => {
        const trainer = journaled(inner, storeOf(damaged));
        await trainer.train({ steps: 2, rate: 0.1 });
        return trainer.weights();
      };
      await expect(run()).rejects.toMatchObject(code);
    }
    await inner.dispose();
  });
});

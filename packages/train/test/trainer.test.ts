/** The trainer as a whole, on networks and data small enough for seconds. */
import { type Graph, graph, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { createTrainer, type Examples, schedule, type TrainerOptions } from '../src/index.ts';
import { randomStream } from '../src/random.ts';

const float = (shape: number[], make: (i: number) => number): Tensor => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from({ length: shape.reduce((a, n) => a * n, 1) }, (_, i) => make(i)),
});

/** Two classes: a bright spot in the left or in the right half, in noise. */
function spots(count: number, seed: number): Examples {
  const random = randomStream(seed);
  const data = new Uint8Array(count * 64);
  const labels = new Uint8Array(count);
  for (let k = 0; k < count; k++) {
    for (let i = 0; i < 64; i++) data[k * 64 + i] = random() * 60;
    labels[k] = random() < 0.5 ? 0 : 1;
    const [y, x] = [1 + Math.floor(random() * 5), (labels[k] as number) * 4 + Math.floor(random() * 3)];
    for (const at of [0, 1, 8, 9]) data[k * 64 + y * 8 + x + at] = 200 + random() * 55;
  }
  return { count, shape: [1, 8, 8], data, labels, classes: ['left', 'right'] };
}

function convnet(seed = 1): Graph {
  const random = randomStream(seed);
  const normal = (shape: number[], fan: number): Tensor => float(shape, () => (random() * 2 - 1) * Math.sqrt(6 / fan));
  return graph('spots', (b) => {
    const x = b.input('image', 'float32', ['N', 1, 8, 8]);
    const w1 = b.weight('w1', normal([4, 1, 3, 3], 9));
    const statistic = (name: string, value: number) =>
      b.weight(
        name,
        float([4], () => value),
      );
    const scale = statistic('scale', 1);
    const [shift, mean, variance] = [statistic('shift', 0), statistic('mean', 0), statistic('variance', 1)];
    const c = b.add('Conv', [x, w1], { pads: [1, 1, 1, 1] });
    const n = b.add('Relu', [b.add('BatchNormalization', [c, scale, shift, mean, variance])]);
    const p = b.add('MaxPool', [n], { kernel_shape: [2, 2], strides: [2, 2] });
    const w2 = b.weight('w2', normal([64, 2], 64));
    const bias = b.weight(
      'b2',
      float([2], () => 0),
    );
    b.output('scores', b.add('Softmax', [b.add('Gemm', [b.add('Flatten', [p]), w2, bias])]));
  });
}

const options: TrainerOptions = {
  examples: spots(256, 1),
  validation: spots(100, 2),
  batch: 32,
  threads: 1,
  augment: { crop: 1 },
};

describe('training', () => {
  it('learns: loss falls, validation accuracy rises', async () => {
    const trainer = createTrainer(convnet(), options);
    const before = await trainer.evaluate();
    const seen: number[] = [];
    const rate = schedule({ kind: 'cosine', rate: 0.1, steps: 40, warmup: 2 });
    const report = await trainer.train({ steps: 40, rate, onStep: ({ loss }) => seen.push(loss) });
    const after = await trainer.evaluate();
    expect(seen).toHaveLength(40);
    expect(report.examples).toBe(40 * 32);
    expect(after.loss).toBeLessThan(before.loss / 2);
    expect(after.accuracy).toBeGreaterThan(0.95);
    await trainer.dispose();
  });

  it.each([
    ['adam', { optimizer: { kind: 'adam', decay: 0.01 } }, 0.01],
    [
      'nesterov, smoothed labels, mixed pairs, clipped',
      { optimizer: { kind: 'sgd', nesterov: true }, labelSmoothing: 0.1, mix: 0.2, clipNorm: 1 },
      0.1,
    ],
    ['stored statistics', { statistics: 'stored' }, 0.05],
    ['distillation', { distill: { teacher: convnet(9), weight: 0.2 } }, 0.1],
  ] as const)('learns with %s', async (_, more, rate) => {
    const trainer = createTrainer(convnet(), { ...options, ...more });
    await trainer.train({ steps: 48, rate });
    expect((await trainer.evaluate()).accuracy).toBeGreaterThan(0.9);
    await trainer.dispose();
  });

  it('L7: a run that is saved and continued elsewhere gives the same bits as one that was not', async () => {
    const whole = createTrainer(convnet(), { ...options, mix: 0.3, optimizer: { kind: 'adam' } });
    await whole.train({ steps: 20, rate: 0.01 });
    const first = createTrainer(convnet(), { ...options, mix: 0.3, optimizer: { kind: 'adam' } });
    await first.train({ steps: 7, rate: 0.01 });
    const state = await first.save();
    const second = createTrainer(convnet(5), { ...options, mix: 0.3, optimizer: { kind: 'adam' } });
    // As read from a file.
    await second.restore(Buffer.from(state));
    await second.train({ steps: 13, rate: 0.01 });
    const names = [...whole.parameters, 'mean', 'variance'];
    expect(await second.weights(names)).toEqual(await whole.weights(names));
    expect(await second.save()).toEqual(await whole.save());
    for (const trainer of [whole, first, second]) await trainer.dispose();
  });

  it('keeps every masked weight at zero, momentum and all', async () => {
    const trainer = createTrainer(convnet(), options);
    await trainer.train({ steps: 3, rate: 0.1 });
    const mask = Uint8Array.from({ length: 36 }, (_, i) => (i % 3 === 0 ? 0 : 1));
    let violations = 0;
    for (let i = 0; i < 5; i++) {
      await trainer.train({ steps: 1, rate: 0.1, masks: new Map([['w1', mask]]) });
      const w = (await trainer.weights(['w1'])).get('w1') as Float32Array;
      w.forEach((value, k) => {
        if (mask[k] === 0 && value !== 0) violations++;
      });
      expect(w.filter((value) => value !== 0).length).toBe(24);
    }
    expect(violations).toBe(0);
    await trainer.dispose();
  });

  it('a strong penalty pulls weights to its target, per tensor and per element', async () => {
    const trainer = createTrainer(convnet(), options);
    const target = Float32Array.from({ length: 36 }, (_, i) => (i - 18) / 40);
    await trainer.train({ steps: 60, rate: 0.005, penalties: new Map([['w1', { strength: 20, target }]]) });
    const w1 = (await trainer.weights(['w1'])).get('w1') as Float32Array;
    expect(Math.max(...w1.map((value, i) => Math.abs(value - (target[i] as number))))).toBeLessThan(0.1);
    const strength = Float32Array.from({ length: 128 }, (_, i) => (i < 64 ? 20 : 0));
    await trainer.train({ steps: 60, rate: 0.005, penalties: new Map([['w2', { strength }]]) });
    const w2 = (await trainer.weights(['w2'])).get('w2') as Float32Array;
    const size = (part: Float32Array) => Math.sqrt(part.reduce((sum, value) => sum + value * value, 0));
    expect(size(w2.subarray(0, 64))).toBeLessThan(0.2 * size(w2.subarray(64)));
    await trainer.dispose();
  });

  it('recalibration gives the statistics of the data without moving a weight', async () => {
    const trainer = createTrainer(convnet(), { ...options, augment: {} });
    const before = await trainer.weights();
    await trainer.setWeights(new Map([['mean', Float32Array.of(9, 9, 9, 9)]]));
    await trainer.recalibrate(8);
    expect(await trainer.weights()).toEqual(before);
    const first = (await trainer.weights(['mean', 'variance'])) as Map<string, Float32Array>;
    expect(first.get('mean')?.every((value) => Math.abs(value) < 2)).toBe(true);
    expect(first.get('variance')?.every((value) => value > 0)).toBe(true);
    await trainer.dispose();
  });

  it('trains a GRU on sequences by mean squared error', async () => {
    const random = randomStream(4);
    const count = 64;
    const data = Float32Array.from({ length: count * 6 }, () => random() * 2 - 1);
    // The sum of the sequence.
    const targets = Float32Array.from(
      { length: count },
      (_, k) => data.subarray(k * 6, k * 6 + 6).reduce((a, v) => a + v, 0) / 4,
    );
    const weights = randomStream(6);
    const near = (shape: number[]): Tensor => float(shape, () => (weights() - 0.5) * 0.8);
    const net = graph('sum', (b) => {
      const x = b.add('Transpose', [b.input('x', 'float32', ['N', 6, 1])], { perm: [1, 0, 2] });
      const inputs = [
        x,
        b.weight('w', near([1, 24, 1])),
        b.weight('r', near([1, 24, 8])),
        b.weight('bias', near([1, 48])),
      ];
      const [, last = ''] = b.addMany('GRU', inputs, ['', 'state'], { hidden_size: 8, linear_before_reset: 1 });
      const axes = b.weight('axes', { dtype: 'int64', shape: [1], data: BigInt64Array.of(0n) });
      b.output('y', b.add('MatMul', [b.add('Squeeze', [last, axes]), b.weight('head', near([8, 1]))]));
    });
    const trainer = createTrainer(net, {
      examples: { count, shape: [6, 1], data, targets },
      batch: 32,
      threads: 1,
      optimizer: { kind: 'adam' },
    });
    const before = await trainer.evaluate({ on: 'train' });
    await trainer.train({ steps: 150, rate: 0.02 });
    const after = await trainer.evaluate({ on: 'train' });
    expect(after.loss).toBeLessThan(before.loss / 10);
    expect(after.accuracy).toBeUndefined();
    await trainer.dispose();
  });

  it('keeps nothing of a step behind: memory does not grow with their number', async () => {
    const random = randomStream(11);
    const count = 16;
    const data = Float32Array.from({ length: count * 512 }, () => random());
    const net = graph('wide', (b) => {
      const w = b.weight(
        'w',
        float([512, 512], () => (random() - 0.5) / 16),
      );
      b.output('y', b.add('MatMul', [b.input('x', 'float32', ['N', 512]), w]));
    });
    const labels = new Uint8Array(count).map((_, i) => i);
    const trainer = createTrainer(net, { examples: { count, shape: [512], data, labels }, batch: 8, threads: 1 });
    await trainer.train({ steps: 60, rate: 0.01 });
    const before = process.memoryUsage().rss;
    await trainer.train({ steps: 140, rate: 0.01 });
    // Weights and momentum of a step are 2 MB: kept, they would be 280.
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
    await trainer.dispose();
  });

  it('stops after a whole step when cancelled, and says the reason', async () => {
    const trainer = createTrainer(convnet(), options);
    const stop = new AbortController();
    const reason = new Error('enough');
    const run = trainer.train({
      steps: 100,
      rate: 0.1,
      signal: stop.signal,
      onStep: ({ step }) => step === 3 && stop.abort(reason),
    });
    await expect(run).rejects.toBe(reason);
    const undisturbed = createTrainer(convnet(), options);
    await undisturbed.train({ steps: 3, rate: 0.1 });
    expect(await trainer.save()).toEqual(await undisturbed.save());
    await trainer.dispose();
    await undisturbed.dispose();
  });

  it('M3: says that it diverged at which step, and keeps the last state that was finite', async () => {
    const trainer = createTrainer(convnet(), { ...options, statistics: 'stored' });
    const rate = (step: number): number => (step < 5 ? 0.01 : 1e30);
    const run = trainer.train({ steps: 50, rate });
    await expect(run).rejects.toMatchObject({ code: 'GRIM_TRAIN_DIVERGED', details: { step: trainer.steps() + 7 } });
    expect(trainer.steps()).toBe(6);
    await trainer.dispose();
  });
});

describe('what does not fit is refused with a sentence', () => {
  const code = (make: () => unknown): string | undefined => {
    try {
      make();
    } catch (error) {
      return (error as { code?: string }).code;
    }
    return undefined;
  };
  const examples = spots(64, 1);

  it.each([
    ['a batch larger than the data', { batch: 65 }, 'GRIM_TRAIN_BAD_DATA'],
    ['no example', { examples: { ...examples, count: 0, data: new Uint8Array() } }, 'GRIM_TRAIN_BAD_DATA'],
    [
      'a number that is none',
      { examples: { ...examples, data: new Float32Array(64 * 64).fill(Number.NaN, 700, 701) } },
      'GRIM_TRAIN_BAD_DATA',
    ],
    ['a label below 0', { examples: { ...examples, labels: new Int32Array(64).fill(-1) } }, 'GRIM_TRAIN_BAD_DATA'],
    [
      'a label beyond the outputs',
      { examples: { ...examples, labels: new Uint8Array(64).fill(2) } },
      'GRIM_TRAIN_BAD_DATA',
    ],
    ['examples of another size', { examples: { ...examples, shape: [1, 4, 8] } }, 'GRIM_TRAIN_BAD_DATA'],
    ['an unknown weight', { parameters: ['w3'] }, 'GRIM_TRAIN_BAD_OPTION'],
    ['momentum of 1', { optimizer: { kind: 'sgd', momentum: 1 } }, 'GRIM_TRAIN_BAD_OPTION'],
  ] as const)('M11: %s', (_, more, wanted) => {
    expect(code(() => createTrainer(convnet(), { examples, batch: 32, ...(more as Partial<TrainerOptions>) }))).toBe(
      wanted,
    );
  });

  it('L6: a checkpoint of other data, cut short, or with a flipped bit', async () => {
    const trainer = createTrainer(convnet(), options);
    const state = await trainer.save();
    const other = createTrainer(convnet(), { ...options, seed: 2 });
    const refused = { code: 'GRIM_TRAIN_BAD_CHECKPOINT' };
    await expect(other.restore(state)).rejects.toMatchObject(refused);
    for (const length of [0, 7, 11, 40, state.length - 1])
      await expect(trainer.restore(state.subarray(0, length))).rejects.toMatchObject(refused);
    for (let at = 8; at < state.length; at += 97) {
      const flipped = state.slice();
      flipped[at] = (flipped[at] as number) ^ 4;
      await expect(trainer.restore(flipped)).rejects.toMatchObject(refused);
    }
    await trainer.dispose();
    await other.dispose();
  });

  it('an operator without a gradient, by name', async () => {
    const net = graph('quantised', (b) => {
      const x = b.input('x', 'float32', ['N', 1, 8, 8]);
      const w = b.weight(
        'w',
        float([2, 1, 8, 8], () => 0.1),
      );
      const y = b.add('Flatten', [b.add('Conv', [x, w])]);
      const scale = b.weight(
        'scale',
        float([], () => 0.1),
      );
      const q = b.add('QuantizeLinear', [y, scale], {}, { name: 'q' });
      b.output('y', b.add('DequantizeLinear', [q, scale], {}, { name: 'dq' }));
    });
    const trainer = createTrainer(net, { examples, batch: 32 });
    await expect(trainer.train({ steps: 1, rate: 0.1 })).rejects.toMatchObject({
      code: 'GRIM_TRAIN_NO_GRADIENT',
      message: expect.stringContaining('q (QuantizeLinear)'),
    });
    await trainer.dispose();
  });
});

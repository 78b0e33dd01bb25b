/** Whole networks on crossbars, against the same integers in plain arithmetic and against the float reference. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Graph, graph } from '@grim/ir';
import { fromOnnx, readTensorFile } from '@grim/ir/onnx';
import { evaluate } from '@grim/ir/reference';
import { describe, expect, it } from 'vitest';
import {
  attribute,
  type Feed,
  PRESETS,
  quantiseNetwork,
  simulate,
  simulateDigital,
  simulateQuantised,
} from '../src/index.ts';
import { crossbar, randomIntegers } from './arrays.ts';

interface Skippable {
  skip(note: string): never;
}

/** A model of the data and the input that comes with it. */
function model(name: string, ctx: Skippable): { readonly graph: Graph; readonly feed: Feed } {
  const folder = join(process.env['GRIM_DATA'] ?? '', 'models', name);
  if (!existsSync(folder)) ctx.skip(`GRIM_DATA is not there: models/${name}`);
  const network = fromOnnx(readFileSync(join(folder, 'model.onnx')));
  const { tensor } = readTensorFile(readFileSync(join(folder, 'test_data_set_0', 'input_0.pb')));
  const [input = ''] = network.inputs.keys();
  // One record of the batch is enough here.
  const shape = [1, ...tensor.shape.slice(1)];
  const data = (tensor.data as Float32Array).slice(
    0,
    shape.reduce((a, b) => a * b, 1),
  );
  return { graph: network, feed: { [input]: { dtype: 'float32', shape, data } } };
}

const weights = (shape: readonly number[], seed: number) => ({
  dtype: 'float32' as const,
  shape: [...shape],
  data: Float32Array.from(
    randomIntegers(
      1,
      shape.reduce((a, b) => a * b, 1),
      seed,
      1000,
      1,
    ).data,
    (v) => v / 700,
  ),
});

/** Every lowering: padded strided grouped convolution, MatMul, Gemm with all its attributes, GRU both ways, LSTM. */
const small = graph('small', (b) => {
  const x = b.input('x', 'float32', [2, 4, 7, 6]);
  const w = b.weight('w', weights([6, 2, 3, 2], 1));
  const bias = b.weight('bias', weights([6], 2));
  const conv = b.add('Conv', [x, w, bias], {
    group: 2,
    strides: [2, 1],
    dilations: [1, 2],
    pads: [1, 0, 2, 1],
    kernel_shape: [3, 2],
  });
  const same = b.add('Conv', [b.add('Relu', [conv]), b.weight('w2', weights([5, 6, 2, 3], 3))], {
    auto_pad: 'SAME_LOWER',
    strides: [2, 2],
  });
  b.output('conv', same);
  const flat = b.add('Flatten', [x]);
  const gemm = b.add('Gemm', [flat, b.weight('g', weights([9, 168], 4)), b.weight('c', weights([1, 9], 5))], {
    transB: 1,
    alpha: 0.5,
    beta: 2,
  });
  b.output('gemm', b.add('MatMul', [gemm, b.weight('m', weights([9, 4], 6))]));
  const steps = b.input('steps', 'float32', [5, 2, 3]);
  const gru = (linear: 0 | 1, seed: number) =>
    b.addMany(
      'GRU',
      [
        steps,
        b.weight(`gw${seed}`, weights([2, 12, 3], seed)),
        b.weight(`gr${seed}`, weights([2, 12, 4], seed + 1)),
        b.weight(`gb${seed}`, weights([2, 24], seed + 2)),
      ],
      2,
      { hidden_size: 4, direction: 'bidirectional', linear_before_reset: linear },
    );
  b.output('gru0', gru(0, 10)[0]);
  b.output('gru1', gru(1, 20)[1]);
  const lstm = b.addMany(
    'LSTM',
    [
      steps,
      b.weight('lw', weights([1, 16, 3], 30)),
      b.weight('lr', weights([1, 16, 4], 31)),
      b.weight('lb', weights([1, 32], 32)),
    ],
    3,
    { hidden_size: 4, direction: 'reverse' },
  );
  for (const [i, name] of lstm.entries()) b.output(`lstm${i}`, name);
});

const smallFeed = (seed: number): Feed => ({
  x: weights([2, 4, 7, 6], seed),
  steps: weights([5, 2, 3], seed + 1),
});

describe('lowering', () => {
  it('agrees with the reference: 16-bit weights and inputs leave only their rounding', async () => {
    const feed = smallFeed(40);
    const bar = crossbar({ weightBits: 16, inputBits: 16, cellBits: 4 });
    const { outputs, digital, layers } = await simulate(small, feed, bar);
    const expected = evaluate(small, feed);
    expect(digital).toEqual([]);
    // Two groups, one, one, one; W, R and Rh of two directions of two GRUs; W and R of the LSTM.
    expect(layers.length).toBe(2 + 1 + 1 + 1 + 12 + 2);
    for (const [name, { shape, data }] of Object.entries(expected)) {
      const got = outputs[0]?.[0]?.[name];
      expect(got?.shape, name).toEqual(shape);
      const most = Math.max(...Array.from(data as Float32Array, Math.abs));
      Array.from(data as Float32Array).forEach((value, i) => {
        expect(Math.abs(Number(got?.data[i]) - value), `${name}[${i}]`).toBeLessThanOrEqual(2e-3 * most);
      });
    }
  });

  it('names what stays digital, and why', () => {
    const g = graph('g', (b) => {
      const x = b.input('x', 'float32', [2, 2]);
      b.output('y', b.add('MatMul', [x, x], {}, { name: 'square' }));
    });
    const { digital } = quantiseNetwork(g, [{ x: Float32Array.from([1, 2, 3, 4]) }]);
    expect(digital).toEqual([{ node: 'square', op: 'MatMul', reason: 'its right matrix is no constant' }]);
  });
});

describe('networks', () => {
  it('M6: perfect cells and certified converters reproduce the integer network bit for bit, in every storage', async () => {
    const feeds = [smallFeed(50), smallFeed(60)];
    for (const changes of [
      {},
      { rows: 16, partition: 'equal' },
      { storage: 'offset' },
      { storage: 'offset', flip: true, inputSum: 'unit-column' },
      { storage: 'sign-separated', cellBits: 1 },
      { subtract: 'analog', signedInputs: 'sign-magnitude' },
      { dacBits: 2, cellBits: 4 },
      { device: { onOffRatio: 15 }, hrsColumn: true },
    ] as const) {
      const bar = crossbar(changes);
      const network = quantiseNetwork(small, feeds, bar);
      const digital = simulateDigital(network, feeds);
      const { outputs, layers } = await simulateQuantised(network, feeds, bar, { certified: true, statistics: true });
      expect(outputs[0], JSON.stringify(changes)).toEqual(digital);
      for (const layer of layers) expect(layer.adcBits).toBeGreaterThan(0);
      if (bar.device.onOffRatio === Infinity) for (const layer of layers) expect(layer.inexact).toBe(0);
    }
  });

  it('M6: DS-CNN and ResNet-8 on certified arrays equal their integer networks, on far smaller converters they do not', async (ctx) => {
    for (const name of ['dscnn_kws', 'resnet8_cifar10']) {
      const { graph: network, feed } = model(name, ctx);
      const bar = crossbar();
      const quantised = quantiseNetwork(network, [feed], bar);
      const digital = simulateDigital(quantised, [feed]);
      const { outputs, layers } = await simulateQuantised(quantised, [feed], bar, { certified: true });
      expect(outputs[0], name).toEqual(digital);
      const slow = await simulateQuantised(quantised, [feed], bar, { certified: true, everyConversion: true });
      expect(slow.outputs[0], name).toEqual(digital);
      // The integer network itself is close to the float one.
      const float = evaluate(network, feed);
      for (const [output, { data }] of Object.entries(float)) {
        const most = Math.max(...Array.from(data as Float32Array, Math.abs));
        Array.from(data as Float32Array).forEach((value, i) => {
          expect(Math.abs(value - Number(digital[0]?.[output]?.data[i])), `${name} ${output}`).toBeLessThan(0.1 * most);
        });
      }
      if (name !== 'dscnn_kws') continue;
      const largest = Math.max(...layers.map((layer) => layer.adcBits));
      const fewer = crossbar({ adc: { model: 'uniform', bits: Math.max(2, largest - 4), range: 'unit-step' } });
      const clipped = await simulateQuantised(quantised, [feed], fewer, { statistics: true });
      expect(clipped.outputs[0], name).not.toEqual(digital);
      expect(clipped.layers.some((layer) => (layer.inexact ?? 0) > 0)).toBe(true);
    }
  });

  it.for(['dscnn_kws', 'resnet20_cifar10', 'kws_gru_l'])(
    'M6: %s on ideal crossbars gives its integer network bit for bit, with every conversion made',
    { timeout: 120_000 },
    async (name, ctx) => {
      const { graph: network, feed } = model(name, ctx);
      // Biased 8-bit arrays as ISAAC has them; pairs of columns with converters of the certified bits.
      for (const [bar, certified] of [
        [PRESETS['isaac-8bit'], false],
        [PRESETS.tinyadc, true],
      ] as const) {
        const quantised = quantiseNetwork(network, [feed], bar);
        expect(quantised.digital).toEqual([]);
        const digital = simulateDigital(quantised, [feed]);
        const { outputs, layers } = await simulateQuantised(quantised, [feed], bar, {
          certified,
          everyConversion: true,
        });
        expect(outputs[0]).toEqual(digital);
        expect(layers.every(({ conversions }) => conversions > 0)).toBe(true);
        if (!certified) expect(layers.every(({ adcBits }) => adcBits === 8)).toBe(true);
        const short = await simulateQuantised(quantised, [feed], bar, { certified });
        expect(short.outputs[0]).toEqual(digital);
      }
    },
  );

  it('M4: results depend on the seed and not on how feeds are shared out', async () => {
    const feeds = [smallFeed(70), smallFeed(80), smallFeed(90)];
    const bar = crossbar({
      device: {
        onOffRatio: 40,
        programming: { kind: 'constant', sigma: 0.02 },
        readNoise: { kind: 'proportional', sigma: 0.01 },
        stuckHrs: 0.01,
        stuckLrs: 0.01,
      },
      adc: { model: 'uniform', bits: 9, range: 'unit-step' },
    });
    const network = quantiseNetwork(small, feeds, bar);
    const whole = await simulateQuantised(network, feeds, bar, { seed: 3 });
    const first = await simulateQuantised(network, feeds.slice(0, 1), bar, { seed: 3 });
    const rest = await simulateQuantised(network, feeds.slice(1), bar, { seed: 3, firstFeed: 1 });
    expect([...(first.outputs[0] ?? []), ...(rest.outputs[0] ?? [])]).toEqual(whole.outputs[0]);
    const trials = await simulateQuantised(network, feeds, bar, { seed: 2, trials: 2 });
    expect(trials.outputs[1]).toEqual(whole.outputs[0]);
    expect(trials.outputs[0]).not.toEqual(whole.outputs[0]);
    expect(whole.layers.some((layer) => layer.stuckCells > 0)).toBe(true);
  });

  it('attribution turns each non-ideality off in turn', async () => {
    const feeds = [smallFeed(100)];
    const expected = evaluate(small, smallFeed(100));
    // Minus the mean error: higher is better, as of an accuracy.
    const score = (outputs: readonly Readonly<Record<string, { readonly data: unknown }>>[]) => {
      const got = outputs[0]?.['conv']?.data as Float32Array;
      const wanted = expected['conv']?.data as Float32Array;
      return -got.reduce((sum, value, i) => sum + Math.abs(value - (wanted[i] ?? 0)), 0) / got.length;
    };
    const bar = crossbar({
      device: { onOffRatio: Infinity, stuckLrs: 0.2, readNoise: { kind: 'constant', sigma: 0.001 } },
      adc: { model: 'uniform', bits: 9, range: 'unit-step' },
    });
    const result = await attribute(small, feeds, bar, score);
    expect(result.without.map(({ name }) => name)).toEqual(['adc', 'readNoise', 'stuckLrs']);
    const best = result.without.reduce((a, b) => (b.score > a.score ? b : a));
    expect(best.name).toBe('stuckLrs');
    expect(result.ideal).toBeGreaterThan(result.score);
  });

  it('cancels between feeds with the reason of the signal', async () => {
    const reason = new Error('enough');
    await expect(simulate(small, [smallFeed(1)], crossbar(), { signal: { aborted: true, reason } })).rejects.toBe(
      reason,
    );
  });
});

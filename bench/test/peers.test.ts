/** Every engine computes the same network: what is timed against each other is equal first, and equally well written. */
import { type Browser, findChromium, launchChromium, NO_CHROMIUM } from '@grim/browser';
import { type Graph, graph, type Weight } from '@grim/ir';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { contest } from '../peers/contest.ts';
import { flattened, planOf, restored } from '../peers/plan.ts';
import { writeTflite } from '../peers/tflite.ts';

/** All layers there are: strides and windows with padding, depthwise, sums with and without activation. @param kept  of 1×1 convolutions */
function net(kept: number): Graph {
  let state = 7;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  };
  return graph('net', (b) => {
    let count = 0;
    const weight = (shape: readonly number[], share = 1): string => {
      const length = shape.reduce((all, dim) => all * dim, 1);
      const scale = 2 / Math.sqrt((length / (shape[0] ?? 1)) * share);
      const data = Float32Array.from({ length }, () => (Math.abs(next()) < share ? scale * next() : 0));
      return b.weight(`w${count++}`, { dtype: 'float32', shape, data } satisfies Weight);
    };
    const conv = (x: string, inputs: number, outputs: number, kernel: number, strides: number, group = 1) => {
      const pad = (kernel - 1) >> 1;
      const share = kernel === 1 ? kept : 1;
      return b.add('Conv', [x, weight([outputs, inputs / group, kernel, kernel], share), weight([outputs])], {
        ...{ kernel_shape: [kernel, kernel], strides: [strides, strides], pads: [pad, pad, pad, pad], group },
      });
    };
    const [low, high] = [0, 6].map((bound) =>
      b.weight(`bound${bound}`, { dtype: 'float32', shape: [], data: Float32Array.of(bound) }),
    ) as [string, string];
    const relu6 = (x: string) => b.add('Clip', [x, low, high]);
    const image = b.input('image', 'float32', [1, 3, 33, 31]);
    const first = relu6(conv(image, 3, 16, 3, 2));
    const wide = relu6(conv(first, 16, 48, 1, 1));
    const narrow = conv(relu6(conv(wide, 48, 48, 3, 1, 48)), 48, 16, 1, 1);
    const sum = b.add('Add', [first, narrow]);
    const strided = b.add('Relu', [conv(relu6(conv(relu6(conv(sum, 16, 64, 1, 1)), 64, 64, 3, 2, 64)), 64, 24, 1, 1)]);
    const again = b.add('Relu', [b.add('Add', [strided, conv(strided, 24, 24, 3, 1)])]);
    const pooled = b.add('MaxPool', [again], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
    const flat = b.add('Flatten', [b.add('GlobalAveragePool', [pooled])]);
    b.output('y', b.add('Gemm', [flat, weight([10, 24]), weight([10])], { transB: 1 }));
  });
}

describe('a plan', () => {
  it('survives the way to the page', () => {
    const plan = planOf(net(1));
    const { json, numbers } = flattened(plan);
    expect(restored(json, numbers)).toEqual(plan);
  });
  it('has layers with their activations, and no other node', () => {
    const { layers, shapes } = planOf(net(1));
    expect(layers.map(({ op }) => op).join(' ')).toBe(
      'conv conv depthwise conv add conv depthwise conv conv add maxPool mean dense',
    );
    expect(shapes.at(-1)).toEqual([1, 10]);
  });
  it('refuses what it would translate wrongly', () => {
    const odd = graph('odd', (b) => b.output('y', b.add('Sigmoid', [b.input('x', 'float32', [1, 3, 4, 4])])));
    expect(() => planOf(odd)).toThrow(/Sigmoid is no part of the networks/);
  });
});

describe('a .tflite file', () => {
  it('stores what is not zero of 1×1 convolutions, where that is a third or less', () => {
    const bytes = (kept: number, sparse: boolean) => writeTflite(planOf(net(kept)), { sparse }).length;
    expect(bytes(0.1, false)).toBe(bytes(1, false));
    expect(bytes(0.1, true)).toBeLessThan(bytes(0.1, false));
    expect(bytes(0.6, true)).toBe(bytes(0.6, false));
  });
});

describe('in Chromium', () => {
  const program = findChromium();
  let browser: Browser;
  beforeAll(async () => {
    if (program) browser = await launchChromium(program);
  });
  afterAll(() => browser?.close());
  beforeEach((ctx) => {
    if (!program) ctx.skip(NO_CHROMIUM);
  });
  it('all engines compute the same, dense and unstructured', { timeout: 120_000 }, async () => {
    const sparse = { graph: net(0.1), weights: '0.1', unstructured: true };
    const { contenders, peakGflops } = await contest(browser, net(1), [sparse], 2);
    // It throws where one differs from onnxruntime by more than 1e-3 of the largest value.
    expect(contenders.map(({ name }) => name)).toEqual([
      ...['grim, dense', 'onnxruntime-web, dense', 'tfjs, dense', 'litert, dense', 'grim, 0.1', 'litert, 0.1'],
    ]);
    for (const { difference, samplesMs } of contenders) {
      expect(difference).toBeLessThan(1e-3);
      expect(samplesMs).toHaveLength(2);
    }
    expect(peakGflops).toBeGreaterThan(1);
  });
});

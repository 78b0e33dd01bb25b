/** Convolutions in the engine's blocked layout give what the standard operator gives. */
import { type Graph, graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { type Blocked, blockedConvs, blockSize, type Probe } from '../src/blocked.ts';
import { randomStream } from '../src/random.ts';

const run: Probe = async (net, options, feeds) => {
  const session = await InferenceSession.create(toOnnx(net, options), { intraOpNumThreads: 1, logSeverityLevel: 4 });
  const given = Object.entries(feeds).map(([name, { data, shape }]) => [name, new Tensor('float32', data, shape)]);
  const { y } = await session.run(Object.fromEntries(given));
  await session.release();
  return Float32Array.from((y?.data ?? []) as Float32Array);
};
const size = await blockSize(run);

const random = randomStream(9);
const numbers = (shape: readonly number[]) => ({
  shape,
  data: Float32Array.from({ length: shape.reduce((all, n) => all * n, 1) }, () => random() - 0.5),
});
const foreign = (net: Graph, options: Blocked) => net.nodes.filter((node) => options.replace?.(node)).length;

it.skipIf(size === undefined).each([
  ['3×3', [2, 16, 9, 7], [32, 16, 3, 3], { pads: [1, 1, 1, 1] }],
  ['stride 2, uneven padding', [1, 32, 8, 8], [16, 32, 3, 3], { pads: [0, 1, 1, 0], strides: [2, 2] }],
  ['1×1', [3, 16, 5, 5], [16, 16, 1, 1], {}],
  ['dilated, a kernel of 5×3', [1, 16, 12, 12], [16, 16, 5, 3], { dilations: [2, 1] }],
] as const)('a convolution in blocks: %s', async (_, x, w, attributes) => {
  const feeds = { x: numbers(x), w: numbers(w) };
  const net = graph('conv', (b) => {
    b.output('y', b.add('Conv', [b.input('x', 'float32', x), b.input('w', 'float32', w)], attributes));
  });
  const blocked = blockedConvs(net, size ?? 8);
  expect(foreign(net, blocked)).toBe(1);
  const [wanted, found] = [await run(net, {}, feeds), await run(net, blocked, feeds)];
  expect(found).toHaveLength(wanted.length);
  wanted.forEach((value, i) => {
    expect(found[i]).toBeCloseTo(value, 4);
  });
});

it('other convolutions stay as they are: uneven channels, groups, constant weights', () => {
  const of = (w: readonly number[], group: number, constant = false): number => {
    const net = graph('conv', (b) => {
      const data = new Float32Array(w.reduce((all, n) => all * n, 1));
      const weight = constant
        ? b.weight('w', { dtype: 'float32', shape: [...w], data })
        : b.input('w', 'float32', [...w]);
      b.output('y', b.add('Conv', [b.input('x', 'float32', [1, (w[1] ?? 0) * group, 8, 8]), weight], { group }));
    });
    return foreign(net, blockedConvs(net, 8));
  };
  expect(of([16, 8, 3, 3], 1)).toBe(1);
  expect(of([16, 3, 3, 3], 1)).toBe(0);
  expect(of([12, 8, 3, 3], 1)).toBe(0);
  expect(of([16, 8, 3, 3], 2)).toBe(0);
  expect(of([16, 8, 3, 3], 1, true)).toBe(0);
});

it('a size that gives wrong numbers is not used', async () => {
  const { blockSize: fresh } = (await import(`../src/blocked.ts?${'again'}`)) as typeof import('../src/blocked.ts');
  const wrong: Probe = async (net, options, feeds) =>
    (await run(net, {}, feeds)).map((value, i) => value + (options.replace && i === 5 ? 0.01 : 0));
  expect(await fresh(wrong)).toBeUndefined();
});

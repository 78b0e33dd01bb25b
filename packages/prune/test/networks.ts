/** Small networks with seeded weights, for tests. */
import { type Graph, type GraphBuilder, graph, type Tensor } from '@grim/ir';
import type { Feeds } from '../src/index.ts';
import { randomStream } from '../src/random.ts';

/** Uniform numbers about zero. */
export function tensor(shape: readonly number[], seed: number): Tensor & { readonly data: Float32Array } {
  const random = randomStream(seed);
  const length = shape.reduce((all, n) => all * n, 1);
  return { dtype: 'float32', shape, data: Float32Array.from({ length }, () => 2 * random() - 1) };
}

const positive = (shape: readonly number[], seed: number): Tensor => {
  const values = tensor(shape, seed);
  return { ...values, data: values.data.map((v) => 1 + v / 2) };
};

/** Batches of input `x`, all numbers uniform. */
export function batches(count: number, shape: readonly number[], seed = 100): Feeds[] {
  return Array.from({ length: count }, (_, i) => ({ x: tensor(shape, seed + i) }));
}

/** Two residual blocks with normalisation, one without, a classifier: all that one-shot pruning knows how to use. */
export function residualNetwork(): Graph {
  return graph('residual', (b: GraphBuilder) => {
    let seed = 1;
    const weight = (name: string, shape: readonly number[]) => b.weight(name, tensor(shape, seed++));
    const norm = (name: string, from: string, channels: number) =>
      b.add('BatchNormalization', [
        from,
        b.weight(`${name}.scale`, positive([channels], seed++)),
        weight(`${name}.bias`, [channels]),
        weight(`${name}.mean`, [channels]),
        b.weight(`${name}.var`, positive([channels], seed++)),
      ]);
    const x = b.input('x', 'float32', ['N', 3, 8, 8]);
    const conv = (name: string, from: string, out: number, inner: number, more = {}) =>
      b.add('Conv', [from, weight(`${name}.weight`, [out, inner, 3, 3])], { pads: [1, 1, 1, 1], ...more }, { name });
    let h = b.add('Relu', [norm('n0', conv('first', x, 8, 3), 8)]);
    const inner = b.add('Relu', [norm('n1', conv('a1', h, 8, 8), 8)]);
    h = b.add('Relu', [b.add('Add', [norm('n2', conv('a2', inner, 8, 8), 8), h])]);
    const strided = conv('b1', h, 12, 4, { strides: [2, 2], group: 2 });
    h = b.add('Clip', [strided, b.weight('low', scalar(0)), b.weight('high', scalar(6))]);
    h = b.add('Flatten', [b.add('GlobalAveragePool', [h])]);
    h = b.add('Add', [b.add('MatMul', [h, weight('mix', [12, 16])], {}, { name: 'mix' }), weight('mix.bias', [16])]);
    h = b.add('Relu', [h]);
    b.output(
      'scores',
      b.add('Gemm', [h, weight('out', [5, 16]), weight('out.bias', [5])], { transB: 1 }, { name: 'last' }),
    );
  });
}

function scalar(value: number): Tensor {
  return { dtype: 'float32', shape: [], data: Float32Array.of(value) };
}

/** The matrix of a weight and the multiply-accumulates of a graph, against numbers worked out by hand and by the reference. */
import { describe, expect, it } from 'vitest';
import { gemmView, macs, weightIndex } from '../src/gemm.ts';
import { type Graph, type GraphBuilder, graph, type Node } from '../src/graph.ts';
import { inferTypes } from '../src/infer.ts';
import { fromReals, toReals } from '../src/numeric.ts';
import { evaluate } from '../src/reference/index.ts';
import type { Shape, Tensor } from '../src/types.ts';
import { random } from './random-graph.ts';

const count = (shape: readonly number[]) => shape.reduce((all, d) => all * d, 1);
const next = random(3);
const floats = (shape: readonly number[]): Tensor<'float32'> => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from({ length: count(shape) }, () => Math.floor(next() * 9) - 4),
});

/** A graph of one node whose input `at` is the weight "w" and whose others are inputs. */
function one(make: (b: GraphBuilder, x: string, w: string) => void, x: Shape, w: readonly number[]): Graph {
  return graph('g', (b) => {
    make(b, b.input('x', 'float32', x), b.weight('w', floats(w)));
    b.output('y', 'y');
  });
}

function viewOf(g: Graph) {
  const node = g.nodes[0];
  if (!node) throw new Error('no node');
  return gemmView(node, node.inputs.indexOf('w'), inferTypes(g));
}

const output = { output: 'y' };

describe('gemmView', () => {
  it('Conv: M = O, K = I/g·kH·kW as the weight lies, N = batch·oH·oW', () => {
    const g = one(
      (b, x, w) => b.add('Conv', [x, w], { group: 2, pads: [1, 1, 1, 1] }, output),
      [2, 4, 5, 6],
      [6, 2, 3, 3],
    );
    expect(viewOf(g)).toEqual({ m: 6, k: 18, n: 60, groups: 2, groupStride: 54, rowStride: 18, colStride: 1 });
    expect(macs(g).total).toBe(6 * 18 * 60);
  });

  it('ConvTranspose: M = O·kH·kW, K = I/g, transposed; N = batch·iH·iW', () => {
    const g = one((b, x, w) => b.add('ConvTranspose', [x, w], { group: 2 }, output), [2, 4, 5, 5], [4, 3, 2, 2]);
    expect(viewOf(g)).toEqual({ m: 24, k: 2, n: 50, groups: 2, groupStride: 24, rowStride: 1, colStride: 12 });
    expect(macs(g).total).toBe(24 * 2 * 50);
  });

  it.each([
    ['right, [K, N]', { transB: 0 }, false, [5, 3], [3, 7], { m: 7, k: 3, n: 5, rowStride: 1, colStride: 7 }],
    ['right, [N, K]', { transB: 1 }, false, [5, 3], [7, 3], { m: 7, k: 3, n: 5, rowStride: 3, colStride: 1 }],
    ['right, A transposed', { transA: 1 }, false, [3, 5], [3, 7], { m: 7, k: 3, n: 5, rowStride: 1, colStride: 7 }],
    ['left, [M, K]', { transA: 0 }, true, [3, 5], [7, 3], { m: 7, k: 3, n: 5, rowStride: 3, colStride: 1 }],
    ['left, [K, M]', { transA: 1 }, true, [3, 5], [3, 7], { m: 7, k: 3, n: 5, rowStride: 1, colStride: 7 }],
  ] as const)('Gemm, weight %s', (_, attributes, left, x, w, expected) => {
    const g = one((b, a, c) => b.add('Gemm', left ? [c, a] : [a, c], attributes, output), x, w);
    expect(viewOf(g)).toMatchObject({ ...expected, groups: 1 });
    expect(macs(g).total).toBe(expected.m * expected.k * expected.n);
  });

  it.each([
    ['right', false, [2, 5, 3], [3, 7], { m: 7, k: 3, n: 10, groups: 1, rowStride: 1, colStride: 7 }],
    [
      'right, batched',
      false,
      [2, 5, 3],
      [2, 3, 7],
      { m: 14, k: 3, n: 5, groups: 2, groupStride: 21, rowStride: 1, colStride: 7 },
    ],
    ['right, batched and broadcast', false, [6, 2, 5, 3], [2, 3, 7], { m: 14, k: 3, n: 30, groups: 2 }],
    ['left', true, [2, 3, 5], [7, 3], { m: 7, k: 3, n: 10, groups: 1, rowStride: 3, colStride: 1 }],
    ['left, batched', true, [2, 3, 5], [2, 7, 3], { m: 14, k: 3, n: 5, groups: 2, groupStride: 21, rowStride: 3 }],
    ['right, one column', false, [5, 3], [3], { m: 1, k: 3, n: 5 }],
    ['left, one row', true, [3, 5], [3], { m: 1, k: 3, n: 5 }],
  ] as const)('MatMul, weight %s', (_, left, x, w, expected) => {
    const g = one((b, a, c) => b.add('MatMul', left ? [c, a] : [a, c], {}, output), x, w);
    expect(viewOf(g)).toMatchObject(expected);
    expect(macs(g).total).toBe(expected.m * expected.k * expected.n);
  });

  it.each([
    ['GRU', 3],
    ['LSTM', 4],
    ['RNN', 1],
  ] as const)('%s: M = directions·gates·hidden, K = input or hidden, N = steps·batch', (op, gates) => {
    const [steps, batch, size, hidden] = [7, 2, 5, 4];
    const attributes = { hidden_size: hidden, direction: 'bidirectional' } as const;
    const g = graph('g', (b) => {
      const x = b.input('x', 'float32', [steps, batch, size]);
      const w = b.weight('w', floats([2, gates * hidden, size]));
      const r = b.weight('r', floats([2, gates * hidden, hidden]));
      b.output('y', b.add(op, [x, w, r], attributes, output));
    });
    const [node] = g.nodes;
    if (!node) throw new Error('no node');
    const types = inferTypes(g);
    const m = 2 * gates * hidden;
    expect(gemmView(node, 1, types)).toMatchObject({ m, k: size, n: 14, groups: 2, rowStride: size });
    expect(gemmView(node, 2, types)).toMatchObject({ m, k: hidden, n: 14, groups: 2, rowStride: hidden });
    expect(gemmView(node, 0, types)).toBeUndefined();
    expect(macs(g).total).toBe(m * (size + hidden) * 14);
  });

  it('is known without N while a length is open, and unknown for what is no matrix', () => {
    const open = one((b, x, w) => b.add('MatMul', [x, w], {}, output), ['N', 3], [3, 7]);
    expect(viewOf(open)).toMatchObject({ m: 7, k: 3, n: undefined });
    const bias = one((b, x, w) => b.add('Gemm', [x, x, w], {}, output), [3, 3], [3, 3]);
    expect(viewOf(bias)).toBeUndefined();
    const add = one((b, x, w) => b.add('Add', [x, w], {}, output), [3, 3], [3, 3]);
    expect(viewOf(add)).toBeUndefined();
  });

  it('covers each element of the weight exactly once', () => {
    const graphs = [
      one((b, x, w) => b.add('Conv', [x, w], { group: 2 }, output), [1, 4, 5, 5], [6, 2, 3, 3]),
      one((b, x, w) => b.add('ConvTranspose', [x, w], { group: 2 }, output), [1, 4, 5, 5], [4, 3, 2, 2]),
      one((b, x, w) => b.add('Gemm', [x, w], {}, output), [5, 3], [3, 7]),
      one((b, x, w) => b.add('MatMul', [x, w], {}, output), [2, 5, 3], [2, 3, 7]),
    ];
    for (const g of graphs) {
      const view = viewOf(g);
      const length = g.weights.get('w')?.data.length ?? 0;
      const seen = new Set<number>();
      for (let row = 0; view && row < view.m; row++)
        for (let col = 0; col < view.k; col++) seen.add(weightIndex(view, row, col));
      expect(seen.size).toBe(length);
      expect(Math.max(...seen)).toBe(length - 1);
      expect((view?.m ?? 0) * (view?.k ?? 0)).toBe(length);
    }
  });

  /** A[M, K] of a weight by the view. */
  function matrixOf(g: Graph): number[][] {
    const view = viewOf(g);
    const w = toReals(g.weights.get('w') as Tensor);
    if (!view) throw new Error('no view');
    return Array.from({ length: view.m }, (_, r) =>
      Array.from({ length: view.k }, (_unused, c) => w[weightIndex(view, r, c)] ?? 0),
    );
  }

  it('C = A·B by the view is what the reference computes, for MatMul with batches', () => {
    const g = one((b, x, w) => b.add('MatMul', [x, w], {}, output), [2, 5, 3], [2, 3, 7]);
    const x = floats([2, 5, 3]);
    const y = toReals(evaluate(g, { x })['y'] as Tensor);
    matrixOf(g).forEach((row, m) => {
      const [batch, column] = [Math.floor(m / 7), m % 7];
      for (let n = 0; n < 5; n++) {
        const dot = row.reduce((sum, a, k) => sum + a * (x.data[(batch * 5 + n) * 3 + k] ?? 0), 0);
        expect(y[(batch * 5 + n) * 7 + column]).toBe(dot);
      }
    });
  });

  it('C = A·B followed by col2im is what the reference computes, for ConvTranspose with groups', () => {
    const g = one(
      (b, x, w) => b.add('ConvTranspose', [x, w], { group: 2, strides: [2, 2] }, output),
      [1, 4, 3, 3],
      [4, 3, 2, 2],
    );
    const x = floats([1, 4, 3, 3]);
    // Stride = kernel: the patches do not overlap, so every element of C is one element of the output [1, 6, 6, 6].
    const y = toReals(evaluate(g, { x })['y'] as Tensor);
    matrixOf(g).forEach((row, m) => {
      const [channel, ky, kx] = [Math.floor(m / 4), Math.floor(m / 2) % 2, m % 2];
      const group = Math.floor(m / 12);
      for (let n = 0; n < 9; n++) {
        const dot = row.reduce((sum, a, k) => sum + a * (x.data[(group * 2 + k) * 9 + n] ?? 0), 0);
        expect(y[channel * 36 + (2 * Math.floor(n / 3) + ky) * 6 + 2 * (n % 3) + kx]).toBe(dot);
      }
    });
  });
});

describe('macs', () => {
  const product = (b: GraphBuilder, n: number, x: string) =>
    b.add('MatMul', [x, b.weight(`w${n}`, fromReals('float32', [3, n], Array(3 * n).fill(1)))]);

  it('sums the nodes, counts what multiplies nothing as 0 and the larger branch of an If', () => {
    const g = graph('g', (b) => {
      const x = b.input('x', 'float32', [5, 3]);
      const c = b.input('c', 'bool', []);
      const branch = (n: number) => graph('branch', (i) => i.output('o', product(i, n, x)));
      b.output('a', b.add('Relu', [product(b, 2, x)]));
      b.output('b', b.add('If', [c], { then_branch: branch(4), else_branch: branch(7) }));
    });
    const { total, nodes } = macs(g);
    expect([...nodes.values()]).toEqual([30, 0, 105]);
    expect(total).toBe(135);
  });

  it('a Loop is unknown, unless its body multiplies nothing', () => {
    const loop = (multiplies: boolean) =>
      graph('g', (b) => {
        const x = b.input('x', 'float32', [5, 3]);
        const n = b.input('n', 'int64', []);
        const body = graph('body', (i) => {
          i.input('i', 'int64', []);
          const on = i.input('on', 'bool', []);
          i.output('on_out', on);
          i.output('o', multiplies ? product(i, 3, x) : i.add('Relu', [x]));
        });
        b.output('y', b.add('Loop', [n], { body }));
      });
    expect([...macs(loop(true)).nodes.values()]).toEqual([undefined]);
    expect([...macs(loop(false)).nodes.values()]).toEqual([0]);
  });

  it('a node with an open length or a mistake is unknown and the others are counted', () => {
    const g = graph('g', (b) => {
      const x = b.input('x', 'float32', [5, 3]);
      const open = b.input('open', 'float32', ['N', 3]);
      b.output('a', product(b, 2, x));
      b.output('b', product(b, 4, open));
      b.output('c', b.add('Relu', [x], {}, { name: 'bessel' }));
      b.output('d', b.add('MatMul', [x, x]));
    });
    const renamed = g.nodes.map((node) =>
      node.name === 'bessel' ? ({ ...node, op: 'Bessel' } as unknown as Node) : node,
    );
    const { total, nodes } = macs({ ...g, nodes: renamed });
    expect(total).toBe(30);
    expect([...nodes.values()]).toEqual([30, undefined, undefined, undefined]);
  });
});

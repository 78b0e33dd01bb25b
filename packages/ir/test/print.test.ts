/** The text of a small network, as a file that a reviewer reads; and what print() refuses. */
import { expect, it } from 'vitest';
import { type Graph, graph } from '../src/graph.ts';
import { parse } from '../src/parse.ts';
import { print } from '../src/print.ts';
import { refusal } from './run.ts';

/** Elements that grow by a step, so that the text tells them apart. */
const steps = (length: number, step: number) => Float32Array.from({ length }, (_, i) => i * step);

/** Convolution with a pattern, normalisation, a branch that the input decides, a classifier. */
export const smallNet = (): Graph =>
  graph('small net', (b) => {
    const x = b.input('image', 'float32', ['N', 1, 6, 6]);
    const bright = b.input('is bright', 'bool', []);
    const pruned = steps(36, 0.25).map((value, i) => (i < 18 && i % 9 < 3 ? value : 0));
    const w1 = b.weight('conv1.weight', {
      dtype: 'float32',
      shape: [4, 1, 3, 3],
      data: pruned,
      pattern: {
        grid: { rows: 4, cols: 9, blockRows: 2, blockCols: 9 },
        keptRows: [Uint16Array.of(0, 1), Uint16Array.of()],
        keptCols: [Uint16Array.of(0, 1, 2), Uint16Array.of(4, 8)],
      },
    });
    const b1 = b.weight('conv1.bias', {
      dtype: 'float32',
      shape: [4],
      data: Float32Array.of(0.1, -0, Infinity, 1e-45),
    });
    const conv = b.add(
      'Conv',
      [x, w1, b1],
      { kernel_shape: [3, 3], pads: [1, 1, 1, 1] },
      { name: '/conv1/Conv', output: 'c1' },
    );
    const branch = (op: 'Relu' | 'Sigmoid') =>
      graph(op, (i) => i.output('out', i.add(op, [conv], {}, { output: `by ${op}`, name: op })));
    const active = b.add(
      'If',
      [bright],
      { then_branch: branch('Relu'), else_branch: branch('Sigmoid') },
      { output: 'a1', name: 'a1' },
    );
    const [pooled = ''] = b.addMany(
      'MaxPool',
      [active],
      ['p1'],
      { kernel_shape: [2, 2], strides: [2, 2] },
      { name: 'p1' },
    );
    const shape = b.weight('shape', { dtype: 'int64', shape: [2], data: BigInt64Array.of(0n, -1n) });
    const flat = b.add('Reshape', [pooled, shape], {}, { output: 'flat', name: 'flat' });
    const w2 = b.weight('fc.weight', { dtype: 'float32', shape: [3, 36], data: steps(108, 1) });
    b.output('logits', b.add('Gemm', [flat, w2], { transB: 1 }, { output: 'logits', name: 'fc' }));
    b.output('features', flat);
  });

it('a small network by reference is this text', async () => {
  const text = print(smallNet(), { weights: 'reference' });
  await expect(text).toMatchFileSnapshot('__snapshots__/small-net.ir');
  expect(parse(text, { weights: smallNet().weights })).toEqual(smallNet());
});

it('and inline, it is this', async () => {
  const text = print(smallNet());
  await expect(text).toMatchFileSnapshot('__snapshots__/small-net-inline.ir');
  expect(parse(text)).toEqual(smallNet());
});

it('bodies deeper than the limit are refused, without deep recursion', () => {
  const nested = (depth: number): Graph => {
    let inner = graph('leaf', (b) => b.output('o', 'c'));
    for (let i = 0; i < depth; i++) {
      const branch = inner;
      inner = graph('body', (b) => b.output('o', b.add('If', ['c'], { then_branch: branch, else_branch: branch })));
    }
    return inner;
  };
  expect(refusal(() => print(nested(100_000), { limits: { subgraphDepth: 8 } })).code).toBe('GRIM_IR_LIMIT');
  expect(() => print(nested(8), { limits: { subgraphDepth: 8 } })).not.toThrow();
});

it('a graph with a mistake still prints; what has no type has no comment', () => {
  const g = graph('wrong', (b) => {
    const sum = b.add(
      'Add',
      [b.input('x', 'float32', [2]), b.input('y', 'float32', [3])],
      {},
      { output: 'sum', name: 'sum' },
    );
    b.output('z', b.add('Relu', [sum], {}, { output: 'z', name: 'z' }));
  });
  expect(print(g)).toContain('  sum = Add(x, y)\n  z = Relu(sum)\n');
});

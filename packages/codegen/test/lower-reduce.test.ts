import { type DType, type Graph, graph, OPS, type OpName } from '@grim/ir';
import { describe, it } from 'vitest';
import { check, randomInputs } from './check.ts';

const AXES: readonly (readonly number[] | undefined)[] = [undefined, [0], [1], [-1], [0, 2], [1, 2], [0, 1, 2]];

function reduced(
  op: OpName,
  dtype: DType,
  shape: readonly number[],
  axes: readonly number[] | undefined,
  attributes: object = {},
): Graph {
  return graph(`${op} ${dtype} [${shape}] ${axes}`, (b) => {
    const x = b.input('x', dtype, shape);
    const list =
      axes && b.weight('a', { dtype: 'int64', shape: [axes.length], data: BigInt64Array.from(axes.map(BigInt)) });
    b.output('y', b.add(op, list ? [x, list] : [x], attributes as never));
  });
}

const tolerance = (dtype: DType) =>
  dtype === 'float16'
    ? { relative: 2 ** -8, absolute: 1e-3 }
    : dtype === 'bfloat16'
      ? { relative: 2 ** -6, absolute: 1e-2 }
      : dtype === 'float32'
        ? { relative: 3e-6, absolute: 3e-6 }
        : dtype === 'float64'
          ? { relative: 1e-13, absolute: 1e-13 }
          : {};

const LOGS: readonly OpName[] = ['ReduceLogSum', 'ReduceLogSumExp'];

describe('reductions', () => {
  for (const op of [
    'ReduceL1',
    'ReduceL2',
    'ReduceLogSum',
    'ReduceLogSumExp',
    'ReduceMax',
    'ReduceMean',
    'ReduceMin',
    'ReduceProd',
    'ReduceSum',
    'ReduceSumSquare',
  ] as const) {
    it(`${op} folds any axes`, () => {
      for (const shape of [
        [2, 3, 5],
        [3, 7, 33],
        [1, 4, 1],
        [1, 1, 1],
      ])
        for (const axes of AXES)
          for (const keepdims of [0, 1]) {
            const g = reduced(op, 'float32', shape, axes, { keepdims });
            check(g, { ...tolerance('float32'), relative: 1e-5, inputs: randomInputs(g, 2, false) });
          }
    });
    it(`${op} knows its element types`, () => {
      const types = (OPS[op].types as { T: readonly DType[] }).T.filter(
        (dtype) =>
          !(LOGS.includes(op) && (dtype === 'float64' || !dtype.includes('float'))) &&
          (op !== 'ReduceL2' || dtype.includes('float')),
      );
      for (const dtype of types) {
        const g = reduced(op, dtype, [4, 6], [1]);
        // Products and squares of the 16-bit floats may leave their range.
        check(g, { ...tolerance(dtype), inputs: randomInputs(g, 2, false) });
      }
    });
  }
  it('without axes nothing is folded where that is asked for', () => {
    check(reduced('ReduceSumSquare', 'float32', [3, 4], undefined, { noop_with_empty_axes: 1 }), { relative: 1e-6 });
  });
  it('no elements give the identity', () => {
    for (const op of ['ReduceSum', 'ReduceProd', 'ReduceMax', 'ReduceMin', 'ReduceMean'] as const)
      check(reduced(op, 'float32', [2, 0, 3], [1]));
  });
  it('special values go through', () => {
    for (const op of ['ReduceMax', 'ReduceMin', 'ReduceSum', 'ReduceLogSumExp'] as const)
      for (const axes of [[0], [1]]) check(reduced(op, 'float32', [6, 9], axes), { relative: 1e-5, absolute: 1e-5 });
  });
  it('what is folded is computed in the same kernel', () => {
    const g = graph('fused', (b) => {
      const x = b.input('x', 'float32', [5, 37]);
      const y = b.input('y', 'float32', [37]);
      b.output('z', b.add('ReduceSum', [b.add('Tanh', [b.add('Mul', [x, y])])], { keepdims: 0 }));
    });
    check(g, { relative: 1e-5, absolute: 1e-5, inputs: randomInputs(g, 2, false) });
  });
});

describe('softmax', () => {
  for (const op of ['Softmax', 'LogSoftmax'] as const)
    it(`${op} goes along any axis`, () => {
      for (const shape of [[7], [3, 33], [2, 5, 4, 6]])
        for (let axis = -1; axis < shape.length; axis++) {
          const g = graph(`${op} ${axis}`, (b) => b.output('y', b.add(op, [b.input('x', 'float32', shape)], { axis })));
          check(g, { relative: 3e-6, absolute: 2e-6, inputs: randomInputs(g, 4, false) });
        }
      for (const dtype of ['float16', 'bfloat16'] as const) {
        const g = graph(op, (b) => b.output('y', b.add(op, [b.input('x', dtype, [3, 9])])));
        check(g, { ...tolerance(dtype), inputs: randomInputs(g, 4, false) });
      }
    });
  it('large arguments do not overflow', () => {
    const g = graph('large', (b) => b.output('y', b.add('Softmax', [b.input('x', 'float32', [2, 4])])));
    const data = Float32Array.of(3e38, 3e38, -3e38, 0, 1000, 1001, 1002, -3e38);
    check(g, { relative: 1e-6, absolute: 1e-7, inputs: { x: { dtype: 'float32', shape: [2, 4], data } } });
  });
});

describe('ArgMax and ArgMin', () => {
  for (const op of ['ArgMax', 'ArgMin'] as const)
    it(`${op} finds the first or the last of equal elements, of any type`, () => {
      for (const dtype of (OPS[op].types as { T: readonly DType[] }).T)
        for (const axis of [0, 1, -1])
          for (const select_last_index of [0, 1])
            check(
              graph(`${op} ${dtype}`, (b) =>
                b.output(
                  'y',
                  b.add(op, [b.input('x', dtype, [4, 5, 6])], {
                    axis,
                    select_last_index,
                    keepdims: axis === 1 ? 0 : 1,
                  }),
                ),
              ),
            );
    });
});

describe('running sums and products', () => {
  for (const op of ['CumSum', 'CumProd'] as const)
    it(`${op} goes either way, with the element itself or without`, () => {
      for (const dtype of ['float32', 'int32', 'int64', 'float64'] as const)
        for (const axis of [0, -1])
          for (const [exclusive, reverse] of [
            [0, 0],
            [0, 1],
            [1, 0],
            [1, 1],
          ]) {
            const g = graph(`${op} ${dtype} ${axis} ${exclusive} ${reverse}`, (b) => {
              const at = b.weight('a', { dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(axis)) });
              const attributes = { exclusive: exclusive ?? 0, reverse: reverse ?? 0 };
              b.output('y', b.add(op, [b.input('x', dtype, [5, 6]), at], attributes));
            });
            check(g, { ...tolerance(dtype), inputs: randomInputs(g, 2, false) });
          }
    });
});

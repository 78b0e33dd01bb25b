import { describe, expect, it } from 'vitest';
import type { OpName } from '../../src/ops.ts';
import { type DType, FLOAT_DTYPES, type Tensor, type TensorType } from '../../src/types.ts';
import { elements, inferOp, reals, refusal, runOp, t } from '../run.ts';

const REDUCTIONS = [
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
] as const;
const axes = (...list: number[]): Tensor => t('int64', [list.length], list);
const { NaN: nan } = Number;
/** [[1, 2], [3, 4], [5, 6]] */
const X = t('float64', [3, 2], [1, 2, 3, 4, 5, 6]);

describe('reductions', () => {
  it('have the values of their formulas', () => {
    // Along axis 1: (1, 2), (3, 4), (5, 6).
    const along = (op: (typeof REDUCTIONS)[number]) => reals(runOp(op, [X, axes(1)], { keepdims: 0 })[0]);
    expect(along('ReduceSum')).toEqual([3, 7, 11]);
    expect(along('ReduceMean')).toEqual([1.5, 3.5, 5.5]);
    expect(along('ReduceProd')).toEqual([2, 12, 30]);
    expect(along('ReduceMax')).toEqual([2, 4, 6]);
    expect(along('ReduceMin')).toEqual([1, 3, 5]);
    expect(along('ReduceSumSquare')).toEqual([5, 25, 61]);
    expect(along('ReduceL2')).toEqual([Math.sqrt(5), 5, Math.sqrt(61)]);
    expect(along('ReduceLogSum')).toEqual([Math.log(3), Math.log(7), Math.log(11)]);
    expect(reals(runOp('ReduceL1', [t('float32', [2], [-1, 2])])[0])).toEqual([3]);
  });

  it('keep the axes or drop them, count negative axes from the end, and take several', () => {
    const shape = (list: Tensor | undefined, keepdims: 0 | 1) =>
      runOp('ReduceSum', [t('float32', [2, 3, 4], new Array(24).fill(1)), list], { keepdims })[0]?.shape;
    expect(shape(axes(1), 1)).toEqual([2, 1, 4]);
    expect(shape(axes(-1), 0)).toEqual([2, 3]);
    expect(shape(axes(2, 0), 0)).toEqual([3]);
    expect(shape(axes(-3, 1), 1)).toEqual([1, 1, 4]);
    expect(shape(undefined, 1)).toEqual([1, 1, 1]);
    expect(shape(axes(), 0)).toEqual([]);
    expect(reals(runOp('ReduceSum', [X, axes(0)])[0])).toEqual([9, 12]);
    expect(reals(runOp('ReduceSum', [X, axes(1, 0)])[0])).toEqual([21]);
  });

  it('of a scalar leave its rank', () => {
    const [result] = runOp('ReduceSumSquare', [t('float32', [], [3])]);
    expect([result?.shape, elements(result)]).toEqual([[], [9]]);
  });

  it('over no axes still do the rest of their formula', () => {
    const noop = { noop_with_empty_axes: 1 };
    expect(runOp('ReduceSum', [X, axes()], noop)[0]).toEqual(X);
    expect(runOp('ReduceSum', [X], noop)[0]).toEqual(X);
    expect(reals(runOp('ReduceSumSquare', [X], noop)[0])).toEqual([1, 4, 9, 16, 25, 36]);
    expect(reals(runOp('ReduceLogSum', [t('float64', [2], [1, Math.E])], noop)[0])).toEqual([0, 1]);
    expect(reals(runOp('ReduceSum', [X, axes(0)], noop)[0])).toEqual([9, 12]);
  });

  it('of nothing give the identity of their operation', () => {
    const empty = t('float32', [2, 0, 4], []);
    const expected = [0, 0, -Infinity, -Infinity, -Infinity, nan, Infinity, 1, 0, 0];
    REDUCTIONS.forEach((op, i) => {
      const [result] = runOp(op, [empty, axes(1)]);
      expect([op, result?.shape, elements(result)]).toEqual([op, [2, 1, 4], new Array(8).fill(expected[i])]);
    });
    expect(runOp('ReduceSum', [empty, axes(2)])[0]?.shape).toEqual([2, 0, 1]);
  });

  it('of nothing give the ends of the range for integers and bools', () => {
    const of = (op: 'ReduceMax' | 'ReduceMin' | 'ReduceMean', dtype: DType) =>
      elements(runOp(op, [t(dtype, [0], [])])[0]);
    expect([of('ReduceMax', 'int8'), of('ReduceMin', 'int8')]).toEqual([[-128], [127]]);
    expect([of('ReduceMax', 'uint32'), of('ReduceMin', 'uint32')]).toEqual([[0], [4294967295]]);
    expect([of('ReduceMax', 'int64'), of('ReduceMin', 'uint64')]).toEqual([[-(2n ** 63n)], [2n ** 64n - 1n]]);
    expect([of('ReduceMax', 'bool'), of('ReduceMin', 'bool')]).toEqual([[0], [1]]);
    expect(of('ReduceMean', 'int32')).toEqual([0]);
  });

  it('of integers are exact and wrap once, at the end', () => {
    const big = [2n ** 62n, 2n ** 62n, 2n ** 62n, 5n];
    expect(elements(runOp('ReduceSum', [t('int64', [4], big)])[0])).toEqual([BigInt.asIntN(64, 3n * 2n ** 62n + 5n)]);
    expect(elements(runOp('ReduceMean', [t('int64', [4], big)])[0])).toEqual([(3n * 2n ** 62n + 5n) / 4n]);
    expect(elements(runOp('ReduceMean', [t('int32', [2], [-3, 0])])[0])).toEqual([-1]);
    expect(elements(runOp('ReduceProd', [t('int32', [3], [65537, 65537, 65537])])[0])).toEqual([196609]);
    expect(elements(runOp('ReduceL1', [t('int32', [3], [-3, 4, -5])])[0])).toEqual([12]);
    expect(elements(runOp('ReduceL2', [t('int32', [2], [3, -4])])[0])).toEqual([5]);
    const root = 2n ** 31n + 1n;
    expect(elements(runOp('ReduceL2', [t('int64', [1], [root])])[0])).toEqual([root]);
    expect(elements(runOp('ReduceMax', [t('int64', [2], [2n ** 60n, 2n ** 60n + 1n])])[0])).toEqual([2n ** 60n + 1n]);
  });

  it('of bools are or and and', () => {
    const x = t('bool', [2, 2], [1, 1, 1, 0]);
    expect(runOp('ReduceMax', [x, axes(1)], { keepdims: 0 })[0]).toEqual(t('bool', [2], [1, 1]));
    expect(runOp('ReduceMin', [x, axes(1)], { keepdims: 0 })[0]).toEqual(t('bool', [2], [1, 0]));
  });

  it('NaN wins over every number', () => {
    const x = t('float32', [3], [1, nan, 3]);
    for (const op of ['ReduceMax', 'ReduceMin', 'ReduceSum', 'ReduceLogSumExp'] as const)
      expect(elements(runOp(op, [x])[0])).toEqual([nan]);
  });

  it('LogSumExp neither overflows nor loses infinities', () => {
    const of = (...x: number[]) => reals(runOp('ReduceLogSumExp', [t('float64', [x.length], x)])[0])[0];
    expect(of(1000, 1000)).toBe(1000 + Math.LN2);
    expect(of(-1000, -1000)).toBe(-1000 + Math.LN2);
    expect(of(-Infinity, -Infinity)).toBe(-Infinity);
    expect(of(Infinity, 0)).toBe(Infinity);
  });

  it('of 16-bit floats sum in double', () => {
    const ones = t('float16', [4096], new Array(4096).fill(1));
    expect(reals(runOp('ReduceSum', [ones])[0])).toEqual([4096]);
    expect(reals(runOp('ReduceMean', [t('float16', [2], [65504, 65504])])[0])).toEqual([65504]);
  });

  it('G9: an axis outside the rank, or named twice, is refused', () => {
    for (const op of REDUCTIONS)
      for (const list of [[2], [-3], [2 ** 31], [0, 0], [1, -1]]) {
        const { code, message } = refusal(() => runOp(op, [X, axes(...list)]));
        expect(code).toBe('GRIM_IR_SHAPE_MISMATCH');
        expect(message).toMatch(/axes/);
      }
    expect(reals(runOp('ReduceSum', [X, axes(-2)])[0])).toEqual([9, 12]);
  });

  it('G13: a result too large for any tensor is refused although there is nothing to reduce', () => {
    const x = t('float32', [2 ** 30, 0, 2 ** 30], []);
    expect(refusal(() => runOp('ReduceSum', [x, axes(1)])).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });
});

describe('the shape of a reduction', () => {
  const open = (shape: TensorType['shape']): TensorType => ({ dtype: 'float32', shape });
  const list = (length: number | string): TensorType => ({ dtype: 'int64', shape: [length] });
  const shapeOf = (inputs: (TensorType | Tensor)[], attributes = {}) =>
    inferOp('ReduceSum', inputs, attributes)[0]?.shape;

  it('follows from constant axes also where lengths are open', () => {
    expect(shapeOf([open(['N', 3, 'W']), axes(1)])).toEqual(['N', 1, 'W']);
    expect(shapeOf([open(['N', 3, 'W']), axes(0, 1)], { keepdims: 0 })).toEqual(['W']);
    expect(shapeOf([open(null)], { keepdims: 0 })).toEqual([]);
    expect(shapeOf([open(null), axes(0)])).toBeNull();
  });

  it('keeps the rank while the axes are unknown, or knows how many go, or says nothing', () => {
    const kept = shapeOf([open([4, 1, 3]), list('k')]);
    expect(kept).toHaveLength(3);
    expect(kept?.map((dim) => typeof dim)).toEqual(['string', 'number', 'string']);
    expect(shapeOf([open([4, 1, 3]), list(2)], { keepdims: 0 })).toHaveLength(1);
    expect(shapeOf([open([4, 1, 3]), list('k')], { keepdims: 0 })).toBeNull();
    expect(shapeOf([open([4, 1, 3]), list(0)])).toEqual([1, 1, 1]);
    expect(shapeOf([open([4, 1, 3]), list(0)], { noop_with_empty_axes: 1 })).toEqual([4, 1, 3]);
  });

  it('G9: more axes than the rank, and axes that are a matrix, are refused', () => {
    expect(refusal(() => shapeOf([open([4]), list(2)])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => shapeOf([open([4]), { dtype: 'int64', shape: [1, 1] }])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('ArgMax and ArgMin', () => {
  const x = t('float32', [2, 3], [2, 5, 5, 4, 1, 1]);

  it('give the first of equals, or the last', () => {
    expect(runOp('ArgMax', [x], { axis: 1 })[0]).toEqual(t('int64', [2, 1], [1, 0]));
    expect(runOp('ArgMax', [x], { axis: -1, keepdims: 0, select_last_index: 1 })[0]).toEqual(t('int64', [2], [2, 0]));
    expect(runOp('ArgMin', [x], { axis: 1, keepdims: 0 })[0]).toEqual(t('int64', [2], [0, 1]));
    expect(runOp('ArgMin', [x], { keepdims: 0 })[0]).toEqual(t('int64', [3], [0, 1, 1]));
  });

  it('give the first NaN where there is one', () => {
    const y = t('float32', [4], [1, nan, 9, nan]);
    expect(elements(runOp('ArgMax', [y])[0])).toEqual([1n]);
    expect(elements(runOp('ArgMin', [y])[0])).toEqual([1n]);
    expect(elements(runOp('ArgMin', [y], { select_last_index: 1 })[0])).toEqual([3n]);
  });

  it('compare 64-bit integers exactly', () => {
    expect(elements(runOp('ArgMax', [t('int64', [2], [2n ** 60n, 2n ** 60n + 1n])])[0])).toEqual([1n]);
  });

  it('G9: an axis outside the rank or of length 0 is refused', () => {
    for (const axis of [2, -3, 2 ** 31])
      expect(refusal(() => runOp('ArgMax', [x], { axis })).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    const { message } = refusal(() => runOp('ArgMax', [t('float32', [0, 2], [])]));
    expect(message).toContain('length 0');
    expect(runOp('ArgMax', [t('float32', [0, 2], [])], { axis: 1 })[0]?.shape).toEqual([0, 1]);
  });
});

describe('CumSum and CumProd', () => {
  const x = t('float64', [3], [2, 3, 4]);
  const axis = t('int32', [], [0]);

  it('run forward and backward, with the element itself or without', () => {
    const sum = (exclusive: 0 | 1, reverse: 0 | 1) => elements(runOp('CumSum', [x, axis], { exclusive, reverse })[0]);
    expect([sum(0, 0), sum(1, 0), sum(0, 1), sum(1, 1)]).toEqual([
      [2, 5, 9],
      [0, 2, 5],
      [9, 7, 4],
      [7, 4, 0],
    ]);
    const product = (exclusive: 0 | 1, reverse: 0 | 1) =>
      elements(runOp('CumProd', [x, axis], { exclusive, reverse })[0]);
    expect([product(0, 0), product(1, 0), product(0, 1), product(1, 1)]).toEqual([
      [2, 6, 24],
      [1, 2, 6],
      [24, 12, 4],
      [12, 4, 1],
    ]);
  });

  it('run along the given axis, round once per element, and wrap integers', () => {
    expect(elements(runOp('CumSum', [X, t('int64', [], [1])])[0])).toEqual([1, 3, 3, 7, 5, 11]);
    expect(elements(runOp('CumSum', [X, t('int64', [1], [-2])])[0])).toEqual([1, 2, 4, 6, 9, 12]);
    expect(reals(runOp('CumSum', [t('float16', [3], [2048, 1, 1]), axis])[0])).toEqual([2048, 2048, 2050]);
    expect(elements(runOp('CumProd', [t('int32', [2], [2 ** 30, 4]), axis])[0])).toEqual([2 ** 30, 0]);
    expect(elements(runOp('CumSum', [t('uint64', [2], [2n ** 64n - 1n, 2n]), axis])[0])).toEqual([2n ** 64n - 1n, 1n]);
    expect(runOp('CumSum', [t('float32', [0, 2], []), axis])[0]?.shape).toEqual([0, 2]);
  });

  it('G9: an axis outside the rank, and a list of two, are refused', () => {
    for (const bad of [t('int64', [], [1]), t('int64', [], [-2]), t('int64', [2], [0, 0])])
      expect(refusal(() => runOp('CumSum', [x, bad])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => runOp('CumSum', [t('float32', [], [1]), axis])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('Softmax, LogSoftmax and Hardmax', () => {
  const near = (found: readonly number[], expected: readonly number[]) => {
    expected.forEach((value, i) => {
      expect(Math.abs((found[i] ?? 9) - value)).toBeLessThanOrEqual(1e-15);
    });
  };

  it('go along one axis', () => {
    // e^0 : e^(ln 3) = 1 : 3.
    const x = t('float64', [2, 2], [0, Math.log(3), 5, 5]);
    near(reals(runOp('Softmax', [x])[0]), [0.25, 0.75, 0.5, 0.5]);
    near(reals(runOp('LogSoftmax', [x])[0]), [Math.log(0.25), Math.log(0.75), -Math.LN2, -Math.LN2]);
    expect(reals(runOp('Hardmax', [x])[0])).toEqual([0, 1, 1, 0]);
    expect(reals(runOp('Hardmax', [x], { axis: 0 })[0])).toEqual([0, 0, 1, 1]);
    near(reals(runOp('Softmax', [t('float64', [2, 1], [0, Math.log(3)])], { axis: -2 })[0]), [0.25, 0.75]);
  });

  it('neither overflow nor give 0 / 0 for large values', () => {
    const x = t('float64', [3], [10000, 10000, -10000]);
    expect(reals(runOp('Softmax', [x])[0])).toEqual([0.5, 0.5, 0]);
    near(reals(runOp('LogSoftmax', [x])[0]), [-Math.LN2, -Math.LN2, -20000 - Math.LN2]);
  });

  it('of -∞ give 0, and of nothing nothing', () => {
    expect(reals(runOp('Softmax', [t('float32', [2], [-Infinity, 0])])[0])).toEqual([0, 1]);
    for (const op of ['Softmax', 'LogSoftmax', 'Hardmax'] as const) {
      expect(runOp(op, [t('float32', [2, 0], [])])[0]?.shape).toEqual([2, 0]);
      expect(runOp(op, [t('float32', [0, 2], [])])[0]?.shape).toEqual([0, 2]);
    }
  });

  it('take all float types', () => {
    for (const dtype of FLOAT_DTYPES) expect(reals(runOp('Softmax', [t(dtype, [2], [1, 1])])[0])).toEqual([0.5, 0.5]);
  });

  it('G9: an axis outside the rank is refused, and any axis of a scalar', () => {
    for (const op of ['Softmax', 'LogSoftmax', 'Hardmax'] as const) {
      for (const axis of [1, -2])
        expect(refusal(() => runOp(op, [t('float32', [1], [1])], { axis })).code).toMatch(/SHAPE/);
      expect(refusal(() => runOp(op, [t('float32', [], [1])])).message).toContain('scalar');
    }
  });
});

describe('TopK', () => {
  const k = (value: number) => t('int64', [1], [value]);
  const top = (x: Tensor, count: number, attributes = {}) => runOp('TopK', [x, k(count)], attributes, 2);

  it('gives the largest or the smallest in order, with their places', () => {
    const x = t('float32', [2, 4], [0, 3, 1, 2, 7, 4, 6, 5]);
    expect(top(x, 3)).toEqual([t('float32', [2, 3], [3, 2, 1, 7, 6, 5]), t('int64', [2, 3], [1, 3, 2, 0, 2, 3])]);
    expect(top(x, 1, { largest: 0 })).toEqual([t('float32', [2, 1], [0, 4]), t('int64', [2, 1], [0, 1])]);
    expect(top(x, 1, { axis: 0 })).toEqual([t('float32', [1, 4], [7, 4, 6, 5]), t('int64', [1, 4], [1, 1, 1, 1])]);
  });

  it('gives of equals the one with the lower place first', () => {
    const x = t('int64', [4], [5n, 7n, 5n, 7n]);
    expect(top(x, 3).map(elements)).toEqual([
      [7n, 7n, 5n],
      [1n, 3n, 0n],
    ]);
    expect(top(t('float32', [2], [-0, 0]), 2).map(elements)[1]).toEqual([0n, 1n]);
  });

  it('puts NaN above all numbers', () => {
    const x = t('float32', [4], [1, nan, Infinity, nan]);
    expect(top(x, 3).map(elements)).toEqual([
      [nan, nan, Infinity],
      [1n, 3n, 2n],
    ]);
    expect(top(x, 3, { largest: 0 }).map(elements)[1]).toEqual([0n, 2n, 1n]);
  });

  it('takes all of an axis, or none', () => {
    expect(elements(top(t('uint8', [3], [1, 3, 2]), 3, { sorted: 0 })[0])).toEqual([3, 2, 1]);
    expect(top(t('float16', [3], [1, 3, 2]), 0).map((y) => y.shape)).toEqual([[0], [0]]);
  });

  it('G12: a K below 0, beyond the axis, or of two elements is refused', () => {
    const x = t('float32', [3], [1, 2, 3]);
    for (const bad of [k(4), k(-1), t('int64', [2], [1, 1]), t('int64', [1], [2n ** 63n - 1n])])
      expect(refusal(() => runOp('TopK', [x, bad], {}, 2)).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    for (const axis of [1, -2]) expect(refusal(() => top(x, 1, { axis })).code).toBe('GRIM_IR_SHAPE_MISMATCH');
  });

  it('with K unknown knows the other lengths', () => {
    const [values, indices] = inferOp(
      'TopK',
      [
        { dtype: 'float32', shape: ['N', 9] },
        { dtype: 'int64', shape: [1] },
      ],
      {},
      2,
    );
    expect([values?.dtype, indices?.dtype]).toEqual(['float32', 'int64']);
    expect([values?.shape?.[0], typeof values?.shape?.[1]]).toEqual(['N', 'string']);
    expect(values?.shape).toEqual(indices?.shape);
  });
});

it('integers that are too narrow for a reduction are refused, as ONNX has it', () => {
  const narrow: [OpName, DType][] = [
    ['ReduceSum', 'int8'],
    ['ReduceMax', 'int16'],
    ['Softmax', 'int32'],
  ];
  for (const [op, dtype] of narrow)
    expect(refusal(() => runOp(op, [t(dtype, [1], [1])])).code).toBe('GRIM_IR_DTYPE_MISMATCH');
});

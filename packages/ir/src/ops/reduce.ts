/** Operators that go along axes: reductions, arg-extrema, running sums, softmax, top-k. */
import { flag, type Inferred, int, op } from '../op.ts';
import { type Dim, FLOAT_DTYPES, NUMERIC_DTYPES, type Shape } from '../types.ts';
import { integerList, needSingle, normalAxes, normalAxis, openDims, type Rule } from './axes.ts';

function without(shape: Shape, axes: readonly number[], keepdims: number): Shape {
  if (keepdims) return shape.map((dim, d) => (axes.includes(d) ? 1 : dim));
  return shape.filter((_, d) => !axes.includes(d));
}

/** The rule of all `Reduce…`: axes are input 1, and an absent or empty list means all axes, or with `noop` none. */
function reducedShape(c: Rule, keepdims: number, noop: number): Shape | null {
  const shape = c.shape(0);
  const { values, length: count } = c.has(1) ? integerList(c, 1, 'axes') : { values: [], length: 0 };
  const axes = count === 0 ? [] : values;
  if (axes?.length === 0 && !noop && !keepdims) return [];
  if (!shape) return null;
  if (!axes) {
    if (count !== undefined && count > shape.length)
      c.fail(`axes holds ${count} axes and data has rank ${shape.length}; each axis may be named once.`);
    // Which axes go is not known yet. Where the lengths stay in place, a 1 stays a 1.
    if (keepdims) return shape.map((dim): Dim => (dim === 1 ? 1 : c.unknown()));
    return count === undefined ? null : openDims(c, shape.length - count);
  }
  if (axes.length === 0) return noop ? shape : shape.map(() => 1);
  return without(shape, normalAxes(c, axes, shape.length), keepdims);
}

const reduction = {
  inputs: ['data: T', 'axes?: int64'],
  outputs: ['reduced: T'],
  types: { T: [...FLOAT_DTYPES, 'int32', 'int64', 'uint32', 'uint64'] },
  attributes: { keepdims: flag(1), noop_with_empty_axes: flag(0) },
  infer: (c: Rule & { attributes: { keepdims: number; noop_with_empty_axes: number } }): readonly Inferred[] => [
    reducedShape(c, c.attributes.keepdims, c.attributes.noop_with_empty_axes),
  ],
} as const;

const extremum = {
  ...reduction,
  types: { T: [...FLOAT_DTYPES, 'int8', 'int32', 'int64', 'uint8', 'uint32', 'uint64', 'bool'] },
} as const;

const argument = {
  inputs: ['data: T'],
  outputs: ['reduced: int64'],
  types: { T: NUMERIC_DTYPES },
  attributes: { axis: int(0), keepdims: flag(1), select_last_index: flag(0) },
  infer: (c: Rule & { attributes: { axis: number; keepdims: number } }): readonly Inferred[] => {
    const shape = c.shape(0);
    if (!shape) return [null];
    const axis = normalAxis(c, c.attributes.axis, shape.length);
    if (shape[axis] === 0) c.fail(`axis ${c.attributes.axis} has length 0; there is no element to point at.`);
    return [without(shape, [axis], c.attributes.keepdims)];
  },
} as const;

const running = {
  inputs: ['x: T', 'axis: T2'],
  outputs: ['y: T'],
  types: { T: [...FLOAT_DTYPES, 'int32', 'int64', 'uint32', 'uint64'], T2: ['int32', 'int64'] },
  attributes: { exclusive: flag(0), reverse: flag(0) },
  infer: (c: Rule): readonly Inferred[] => {
    const [shape, axis] = [c.shape(0), c.integers(1)];
    needSingle(c, c.shape(1), 'axis');
    if (shape && axis) normalAxis(c, axis[0] ?? 0, shape.length);
    return [shape];
  },
} as const;

const softmax = {
  inputs: ['input: T'],
  outputs: ['output: T'],
  types: { T: FLOAT_DTYPES },
  attributes: { axis: int(-1) },
  infer: (c: Rule & { attributes: { axis: number } }): readonly Inferred[] => {
    const shape = c.shape(0);
    if (shape) normalAxis(c, c.attributes.axis, shape.length);
    return [shape];
  },
} as const;

export const reduceOps = {
  ArgMax: op({ since: 13, ...argument }),
  ArgMin: op({ since: 13, ...argument }),
  CumProd: op({ since: 26, ...running }),
  CumSum: op({ since: 14, ...running }),
  Hardmax: op({ since: 13, ...softmax }),
  LogSoftmax: op({ since: 13, ...softmax }),
  ReduceL1: op({ since: 18, ...reduction }),
  ReduceL2: op({ since: 18, ...reduction }),
  ReduceLogSum: op({ since: 18, ...reduction }),
  ReduceLogSumExp: op({ since: 18, ...reduction }),
  ReduceMax: op({ since: 20, ...extremum }),
  ReduceMean: op({ since: 18, ...reduction }),
  ReduceMin: op({ since: 20, ...extremum }),
  ReduceProd: op({ since: 18, ...reduction }),
  ReduceSum: op({ since: 13, ...reduction }),
  ReduceSumSquare: op({ since: 18, ...reduction }),
  Softmax: op({ since: 13, ...softmax }),

  TopK: op({
    since: 24,
    inputs: ['X: T', 'K: int64'],
    outputs: ['Values: T', 'Indices: int64'],
    types: { T: NUMERIC_DTYPES },
    attributes: { axis: int(-1), largest: flag(1), sorted: flag(1) },
    infer: (c) => {
      const [shape, k] = [c.shape(0), c.integers(1)?.[0]];
      needSingle(c, c.shape(1), 'K');
      if (k !== undefined && k < 0) c.fail(`K is ${k}; at least 0 is needed.`);
      if (!shape) return [null, null];
      const axis = normalAxis(c, c.attributes.axis, shape.length);
      const length = shape[axis];
      if (k !== undefined && typeof length === 'number' && k > length)
        c.fail(`K is ${k} and axis ${c.attributes.axis} has length ${length}; K must be at most the length.`);
      const kept: Dim = k ?? c.unknown();
      const result = shape.map((dim, d) => (d === axis ? kept : dim));
      return [result, result];
    },
  }),
};

/** Normalizations: subtract a mean, divide by a deviation or norm, over the axes that each operator names. */
import { flag, float, type InferContext, int, ints, op } from '../op.ts';
import { type Dim, type DType, FLOAT_DTYPES, formatShape, type Shape, type TensorType } from '../types.ts';
import { differ } from './scales.ts';

type Context = Pick<InferContext<never>, 'has' | 'shape' | 'fail'>;

const FLOATS = { T: FLOAT_DTYPES } as const;

/** ONNX codes of the element types that a `stash_type` may name. */
const STASH_TYPES: ReadonlyMap<number, DType> = new Map([
  [1, 'float32'],
  [10, 'float16'],
  [11, 'float64'],
  [16, 'bfloat16'],
]);

function stashType(c: Pick<InferContext, 'fail'>, code: number, allowed: readonly number[]): DType {
  const found = allowed.includes(code) ? STASH_TYPES.get(code) : undefined;
  return (
    found ??
    c.fail(
      `stash_type is ${code}; ${allowed.map((a) => `${a} (${STASH_TYPES.get(a)})`).join(' or ')} is needed.`,
      'GRIM_IR_BAD_ATTRIBUTE',
    )
  );
}

/** An axis counted from the front; the bounds are half-open, [−rank, rank). */
function normalAxis(c: Pick<InferContext, 'fail'>, axis: number, shape: Shape): number {
  if (axis < -shape.length || axis >= shape.length)
    c.fail(
      `axis is ${axis}; from ${-shape.length} up to, not including, ${shape.length} is needed for shape ${formatShape(shape)}.`,
      'GRIM_IR_BAD_ATTRIBUTE',
    );
  return axis < 0 ? axis + shape.length : axis;
}

/** Channels of [N, C, D1, …]; a batch of single numbers, [N], has one. */
function channelsOf(c: Context, leastRank: number): Dim | undefined {
  const shape = c.shape(0);
  if (shape && shape.length < leastRank)
    c.fail(`the data has shape ${formatShape(shape)}; at least ${leastRank} axes are needed.`);
  return shape ? (shape[1] ?? 1) : undefined;
}

/** One number per channel. */
function checkVector(c: Context, input: number, name: string, channels: Dim | undefined): void {
  const shape = c.shape(input);
  if (shape && (shape.length !== 1 || differ(shape[0], channels)))
    c.fail(
      `${name} has shape ${formatShape(shape)}; [${channels ?? 'C'}] is needed, one per channel of ${formatShape(c.shape(0))}.`,
    );
}

/** A value that is repeated to the shape of the data, never the other way round. */
function checkBroadcast(c: Context, input: number, name: string): void {
  const data = c.shape(0);
  const shape = c.has(input) ? c.shape(input) : null;
  if (!data || !shape) return;
  const offset = data.length - shape.length;
  if (offset < 0 || shape.some((dim, i) => dim !== 1 && differ(dim, data[i + offset])))
    c.fail(`${name} has shape ${formatShape(shape)}; one that broadcasts to ${formatShape(data)} is needed.`);
}

export const normOps = {
  BatchNormalization: op({
    since: 15,
    inputs: ['X: T', 'scale: T1', 'B: T1', 'input_mean: T2', 'input_var: T2'],
    outputs: ['Y: T', 'running_mean?: T2', 'running_var?: T2'],
    types: { T: FLOAT_DTYPES, T1: FLOAT_DTYPES, T2: FLOAT_DTYPES },
    attributes: { epsilon: float(1e-5), momentum: float(0.9), training_mode: flag(0) },
    infer: (c) => {
      const channels = channelsOf(c, 1);
      ['scale', 'B', 'input_mean', 'input_var'].forEach((name, i) => {
        checkVector(c, i + 1, name, channels);
      });
      if (!c.attributes.training_mode && c.outputCount > 1)
        c.fail(
          `has ${c.outputCount} outputs; running_mean and running_var are given only when training_mode is 1.`,
          'GRIM_IR_ARITY',
        );
      const statistics = c.shape(3);
      return [c.shape(0), statistics, statistics];
    },
  }),

  InstanceNormalization: op({
    since: 22,
    inputs: ['input: T', 'scale: T', 'B: T'],
    outputs: ['output: T'],
    types: FLOATS,
    attributes: { epsilon: float(1e-5) },
    infer: (c) => {
      const channels = channelsOf(c, 2);
      checkVector(c, 1, 'scale', channels);
      checkVector(c, 2, 'B', channels);
      return [c.shape(0)];
    },
  }),

  LayerNormalization: op({
    since: 17,
    inputs: ['X: T', 'Scale: T', 'B?: T'],
    outputs: ['Y: T', 'Mean?: U', 'InvStdDev?: U'],
    types: { T: FLOAT_DTYPES, U: ['float32', 'bfloat16'] },
    attributes: { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) },
    infer: (c) => {
      const dtype = stashType(c, c.attributes.stash_type, [1, 16]);
      const shape = c.shape(0);
      checkBroadcast(c, 1, 'Scale');
      checkBroadcast(c, 2, 'B');
      if (!shape) return [null, { dtype, shape: null }, { dtype, shape: null }];
      const axis = normalAxis(c, c.attributes.axis, shape);
      if (shape.slice(axis).includes(0))
        c.fail(`X has shape ${formatShape(shape)}; from axis ${axis} on there is no element to take a mean of.`);
      const statistics: TensorType = { dtype, shape: shape.map((dim, i) => (i < axis ? dim : 1)) };
      return [shape, statistics, statistics];
    },
  }),

  GroupNormalization: op({
    since: 21,
    inputs: ['X: T', 'scale: T', 'bias: T'],
    outputs: ['Y: T'],
    types: FLOATS,
    attributes: { epsilon: float(1e-5), num_groups: int(undefined, { min: 1 }), stash_type: int(1) },
    infer: (c) => {
      const { num_groups: groups, stash_type } = c.attributes;
      stashType(c, stash_type, [1, 10, 11, 16]);
      const channels = channelsOf(c, 2);
      if (typeof channels === 'number' && channels % groups !== 0)
        c.fail(
          `the data has ${channels} channels (shape ${formatShape(c.shape(0))}); num_groups ${groups} does not divide them.`,
        );
      checkVector(c, 1, 'scale', channels);
      checkVector(c, 2, 'bias', channels);
      return [c.shape(0)];
    },
  }),

  RMSNormalization: op({
    since: 23,
    inputs: ['X: T', 'scale: V'],
    outputs: ['Y: V'],
    types: { T: FLOAT_DTYPES, V: FLOAT_DTYPES },
    attributes: { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) },
    infer: (c) => {
      stashType(c, c.attributes.stash_type, [1, 10, 11, 16]);
      const shape = c.shape(0);
      if (shape) normalAxis(c, c.attributes.axis, shape);
      checkBroadcast(c, 1, 'scale');
      return [shape];
    },
  }),

  LpNormalization: op({
    since: 22,
    inputs: ['input: T'],
    outputs: ['output: T'],
    types: FLOATS,
    attributes: { axis: int(-1), p: int(2, { min: 1, max: 2 }) },
    infer: (c) => {
      const shape = c.shape(0);
      if (shape) normalAxis(c, c.attributes.axis, shape);
      return [shape];
    },
  }),

  MeanVarianceNormalization: op({
    since: 13,
    inputs: ['X: T'],
    outputs: ['Y: T'],
    types: FLOATS,
    attributes: { axes: ints([0, 2, 3]) },
    infer: (c) => {
      const shape = c.shape(0);
      const { axes } = c.attributes;
      const found = shape ? axes.map((axis) => normalAxis(c, axis, shape)) : axes;
      if (new Set(found).size !== found.length)
        c.fail(`axes are [${axes.join(', ')}]; each may stand once.`, 'GRIM_IR_BAD_ATTRIBUTE');
      return [shape];
    },
  }),

  LRN: op({
    since: 13,
    inputs: ['X: T'],
    outputs: ['Y: T'],
    types: FLOATS,
    attributes: { alpha: float(1e-4), beta: float(0.75), bias: float(1), size: int(undefined, { min: 1 }) },
    infer: (c) => {
      channelsOf(c, 2);
      return [c.shape(0)];
    },
  }),
};

/** Pools: windows over the spatial axes of [N, C, D1, …] that keep a maximum, a mean or an Lp norm. */
import { flag, type InferContext, int, ints, op, optional } from '../op.ts';
import { type Dim, type DType, elementCount, FLOAT_DTYPES, formatShape, isStatic, type Shape } from '../types.ts';
import { differ } from './scales.ts';
import { perAxis, slidingWindow, type WindowAttributes, windowAttributes, windowOutput } from './window.ts';

const poolAttributes = { ...windowAttributes, ceil_mode: flag(0), kernel_shape: ints() };

interface PoolAttributes extends WindowAttributes {
  readonly ceil_mode: number;
  readonly kernel_shape: readonly number[];
}

function inferPool(c: InferContext<PoolAttributes>): Shape | null {
  const { kernel_shape: given, ceil_mode } = c.attributes;
  const shape = c.shape(0);
  if (shape && shape.length < 3)
    c.fail(`X has shape ${formatShape(shape)}; at least 3 axes are needed (N, C and the pooled ones).`);
  const kernel = perAxis(c.fail, 'kernel_shape', given, shape ? shape.length - 2 : given.length, 1, 1);
  if (!shape) return null;
  const mode = { ceil: ceil_mode === 1, touching: true };
  const windows = slidingWindow(c.fail, c.attributes, kernel, shape.slice(2), c.unknown, mode);
  return [...shape.slice(0, 2), ...windowOutput(windows)];
}

function inferGlobalPool(c: Pick<InferContext, 'shape' | 'fail'>): Shape | null {
  const shape = c.shape(0);
  if (!shape) return null;
  if (shape.length < 2) c.fail(`X has shape ${formatShape(shape)}; at least 2 axes are needed (N and C).`);
  if (shape.slice(2).includes(0))
    c.fail(`X has shape ${formatShape(shape)}; there is nothing to pool in a length of 0.`);
  return shape.map((dim, axis) => (axis < 2 ? dim : 1));
}

const globalPool = {
  since: 22,
  inputs: ['X: T'],
  outputs: ['Y: T'],
  types: { T: FLOAT_DTYPES },
  infer: (c: Pick<InferContext, 'shape' | 'fail'>) => [inferGlobalPool(c)],
} as const;

interface UnpoolAttributes {
  readonly kernel_shape: readonly number[];
  readonly pads?: readonly number[] | undefined;
  readonly strides?: readonly number[] | undefined;
}

/** Lengths that pooling with these attributes came from: what the indices of MaxUnpool count in. */
export function unpooledShape(
  c: Pick<InferContext, 'fail'>,
  a: UnpoolAttributes,
  shape: Shape,
  unknown: () => string,
): Dim[] {
  const axes = shape.length - 2;
  const kernel = perAxis(c.fail, 'kernel_shape', a.kernel_shape, axes, 1, 1);
  const strides = perAxis(c.fail, 'strides', a.strides, axes, 1, 1);
  const pads = perAxis(c.fail, 'pads', a.pads, 2 * axes, 0, 0);
  return shape.map((dim, i) => {
    if (i < 2) return dim;
    if (typeof dim === 'string') return unknown();
    const axis = i - 2;
    const [k = 1, s = 1, before = 0, after = 0] = [kernel[axis], strides[axis], pads[axis], pads[axis + axes]];
    const length = (dim - 1) * s + k - before - after;
    if (dim < 1 || length < 1)
      c.fail(
        `spatial axis ${axis}: (length ${dim} − 1)·stride ${s} + kernel ${k} − pads ${before} − ${after} = ${length}; at least 1 is needed.`,
      );
    return length;
  });
}

export const poolOps = {
  AveragePool: op({
    since: 22,
    inputs: ['X: T'],
    outputs: ['Y: T'],
    types: { T: FLOAT_DTYPES },
    attributes: { ...poolAttributes, count_include_pad: flag(0) },
    infer: (c) => [inferPool(c)],
  }),

  MaxPool: op({
    since: 22,
    inputs: ['X: T'],
    outputs: ['Y: T', 'Indices?: int64'],
    types: { T: [...FLOAT_DTYPES, 'int8', 'uint8'] satisfies readonly DType[] },
    attributes: { ...poolAttributes, storage_order: flag(0) },
    infer: (c) => {
      const shape = inferPool(c);
      return [shape, shape];
    },
  }),

  LpPool: op({
    since: 22,
    inputs: ['X: T'],
    outputs: ['Y: T'],
    types: { T: FLOAT_DTYPES },
    attributes: { ...poolAttributes, p: int(2, { min: 1 }) },
    infer: (c) => [inferPool(c)],
  }),

  GlobalAveragePool: op({ ...globalPool, attributes: {} }),
  GlobalMaxPool: op({ ...globalPool, attributes: {} }),
  GlobalLpPool: op({ ...globalPool, attributes: { p: int(2, { min: 1 }) } }),

  MaxUnpool: op({
    since: 22,
    inputs: ['X: T', 'I: int64', 'output_shape?: int64'],
    outputs: ['output: T'],
    types: { T: FLOAT_DTYPES },
    attributes: { kernel_shape: ints(), pads: optional(ints()), strides: optional(ints()) },
    infer: (c) => {
      const shape = c.shape(0);
      const indices = c.shape(1);
      if (shape && shape.length < 3)
        c.fail(`X has shape ${formatShape(shape)}; at least 3 axes are needed (N, C and the pooled ones).`);
      if (
        shape &&
        indices &&
        (indices.length !== shape.length || shape.some((dim, axis) => differ(dim, indices[axis])))
      )
        c.fail(`X has shape ${formatShape(shape)}, I ${formatShape(indices)}. Both must be equal.`);
      const natural = shape && unpooledShape(c, c.attributes, shape, c.unknown);
      if (natural && isStatic(natural)) elementCount(natural, c.dtype(0), 'MaxUnpool', c.limits);
      if (!c.has(2)) return [natural];
      const wanted = c.integers(2);
      const list = c.shape(2);
      if (list && (list.length !== 1 || differ(list[0], shape?.length)))
        c.fail(`output_shape has shape ${formatShape(list)}; [${shape?.length ?? 'rank of X'}] is needed.`);
      if (!wanted) return [shape?.map(c.unknown) ?? null];
      natural?.forEach((dim, axis) => {
        const given = wanted[axis] ?? 0;
        if (given < 0 || (typeof dim === 'number' && (axis < 2 ? given !== dim : given < dim)))
          c.fail(
            `output_shape is [${wanted.join(', ')}]; ${formatShape(natural)} is needed, or more in the spatial axes.`,
          );
      });
      return [wanted];
    },
  }),
};

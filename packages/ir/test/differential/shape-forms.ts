/** Operators that move, select and reduce, in the opsets where their forms changed. */
import { toReals } from '../../src/numeric.ts';
import type { DType, Tensor } from '../../src/types.ts';
import { float, tensorValue } from '../onnx/model-file.ts';
import type { Form, Parts } from './case.ts';
import type { Generator } from './generator.ts';

const ANY = ['float32', 'float32', 'int32', 'int64', 'uint8', 'float64', 'bool', 'float16'] as const;

const any = (g: Generator, shape: readonly number[]): Tensor => {
  const dtype = g.one(...ANY);
  return g.tensor(dtype, shape, dtype === 'bool' ? 0 : -9, dtype === 'bool' ? 1 : 9);
};

/** Reductions: axes as an attribute, then as an input. */
const reduction = (
  kind: string,
  since: number,
  opsets: readonly number[],
  dtypes: readonly DType[],
  low = -3,
): Form => ({
  op: `Reduce${kind}`,
  opsets,
  make: (g, opset) => {
    const x = g.tensor(g.one(...dtypes), g.shape(1, 4), low, 3);
    const rank = x.shape.length;
    const attributes: Record<string, number | number[]> = g.oneIn(3) ? {} : { keepdims: g.below(2) };
    if (opset >= since && g.oneIn(5)) attributes['noop_with_empty_axes'] = g.below(2);
    const axes = opset < 11 ? g.axes(rank).map((axis) => (axis < 0 ? axis + rank : axis)) : g.axes(rank);
    if (g.oneIn(4)) return { inputs: [x], attributes };
    if (opset < since) return { inputs: [x], attributes: { ...attributes, axes } };
    return { inputs: [x, g.int64(g.oneIn(6) ? [] : axes)], attributes };
  },
});

const softmax = (op: string): Form => ({
  op,
  opsets: [1, 11, 13],
  make: (g, opset) => {
    const shape = g.shape(2, 4);
    const x = g.tensor('float32', g.oneIn(6) ? shape.with(g.below(shape.length), 0) : shape);
    const axis = opset < 11 ? g.below(x.shape.length) : g.axis(x.shape.length);
    return { inputs: [op === 'Hardmax' ? g.distinct('float32', x.shape) : x], attributes: g.oneIn(4) ? {} : { axis } };
  },
});

const argument = (op: string): Form => ({
  op,
  opsets: [1, 11, 12, 13],
  make: (g, opset) => {
    const shape = g.shape(1, 4);
    const axis = opset < 11 ? g.below(shape.length) : g.axis(shape.length);
    return {
      // Few values, so that there are ties.
      inputs: [
        g.whole(
          'float32',
          shape,
          g.list(
            shape.reduce((a, b) => a * b, 1),
            -1,
            1,
          ),
        ),
      ],
      attributes: {
        ...(g.oneIn(4) ? {} : { axis }),
        ...(g.oneIn(2) ? { keepdims: g.below(2) } : {}),
        ...(opset >= 12 ? { select_last_index: g.below(2) } : {}),
      },
    };
  },
});

function indices(g: Generator, shape: readonly number[], length: number): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return g.whole(g.one('int64', 'int32'), shape, g.list(count, -length, length - 1));
}

/** Indices that differ along `axis`, so that the order of writing does not count. */
function places(g: Generator, shape: readonly number[], axis: number, length: number): Tensor {
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const count = shape.reduce((a, b) => a * b, 1);
  const order = g.order(length);
  const values = Array.from({ length: count }, (_, i) => order[Math.floor(i / inner) % (shape[axis] ?? 1)] ?? 0);
  return g.int64(values).shape.length ? { ...g.int64(values), shape } : g.int64(values);
}

const scatter = (op: string, opsets: readonly number[]): Form => ({
  op,
  opsets,
  make: (g, opset) => {
    const data = any(g, g.shape(1, 3));
    const axis = g.below(data.shape.length);
    const shape = data.shape.map((dim) => g.between(1, dim));
    const at = places(g, shape, axis, data.shape[axis] ?? 1);
    const updates = g.tensor(data.dtype, shape, 0, 1);
    const reduction =
      data.dtype === 'bool' ? 'none' : g.one('none', 'add', 'mul', ...(opset >= 18 ? ['max', 'min'] : []));
    return {
      inputs: [data, at, updates],
      attributes: {
        ...(axis === 0 && g.oneIn(2) ? {} : { axis }),
        ...(opset >= 16 && op !== 'Scatter' ? { reduction } : {}),
      },
    };
  },
});

export const shapeForms: readonly Form[] = [
  ...['L1', 'L2', 'SumSquare'].map((kind) => reduction(kind, 18, [1, 11, 13, 18], ['float32', 'int32', 'float64'])),
  reduction('LogSum', 18, [1, 11, 13, 18], ['float32'], 0.1),
  reduction('LogSumExp', 18, [1, 11, 13, 18], ['float32', 'float64']),
  reduction('Max', 18, [1, 11, 12, 13, 18, 20], ['float32', 'int32', 'int64']),
  reduction('Max', 18, [20], ['int8', 'uint8', 'float64', 'bool'], 0),
  reduction('Mean', 18, [1, 11, 13, 18], ['float32', 'int32', 'float64']),
  reduction('Min', 18, [1, 11, 12, 13, 18, 20], ['float32', 'int32', 'int64']),
  reduction('Prod', 18, [1, 11, 13, 18], ['float32', 'int32']),
  reduction('Sum', 13, [1, 11, 13], ['float32', 'int32', 'float64', 'int64']),
  softmax('Softmax'),
  softmax('LogSoftmax'),
  softmax('Hardmax'),
  argument('ArgMax'),
  argument('ArgMin'),
  {
    op: 'CumSum',
    opsets: [11, 14],
    make: (g) => {
      const x = g.tensor(g.one('float32', 'int32', 'int64', 'float64'), g.shape(1, 3));
      return {
        inputs: [x, g.int64(g.axis(x.shape.length))],
        attributes: { exclusive: g.below(2), reverse: g.below(2) },
      };
    },
  },
  {
    op: 'TopK',
    opsets: [1, 10, 11, 24],
    make: (g, opset) => {
      const x = g.distinct(
        g.one('float32', ...(opset >= 11 ? (['int64', 'int32', 'float64'] as const) : [])),
        g.shape(1, 3),
      );
      const axis = opset < 11 ? g.below(x.shape.length) : g.axis(x.shape.length);
      const k = g.between(opset < 11 ? 1 : 0, x.shape.at(axis) ?? 1);
      if (opset < 10) return { inputs: [x], attributes: { axis, k }, outputs: 2 };
      return {
        inputs: [x, g.int64([k])],
        attributes: { axis, ...(opset >= 11 ? { largest: g.below(2), sorted: 1 } : {}) },
        outputs: 2,
      };
    },
  },
  {
    op: 'Shape',
    opsets: [1, 13, 15, 19, 21],
    make: (g, opset) => ({
      inputs: [any(g, g.shape(0, 4))],
      attributes:
        opset < 15
          ? {}
          : g.one(
              {},
              { start: g.between(-5, 5) },
              { end: g.between(-5, 5) },
              { start: g.between(-5, 5), end: g.between(-5, 5) },
            ),
    }),
  },
  { op: 'Size', opsets: [1, 13, 19], make: (g) => ({ inputs: [any(g, g.shape(0, 4))] }) },
  {
    op: 'Reshape',
    opsets: [1, 5, 13, 14, 19],
    make: (g, opset) => {
      const shape = g.shape(1, 4);
      const x = opset < 5 ? g.tensor('float32', shape) : any(g, shape);
      const total = shape.reduce((a, b) => a * b, 1);
      const target = g.one(
        [-1],
        [total],
        [0, -1],
        [...shape].reverse(),
        [1, -1, 1],
        [-1, shape.at(-1) ?? 1],
        [...shape.slice(0, -1), -1],
      );
      if (opset < 5) return { inputs: [x], attributes: { shape: target } };
      return {
        inputs: [x, g.int64(target)],
        weights: g.one([], [1]),
        attributes: opset >= 14 && !target.includes(0) ? g.one({}, { allowzero: 1 }) : {},
      };
    },
  },
  {
    op: 'Squeeze',
    opsets: [1, 11, 13, 21],
    make: (g, opset) => {
      const shape = g.shape(1, 4, 2);
      const ones = shape.flatMap((dim, i) => (dim === 1 ? [opset >= 11 && g.oneIn(2) ? i - shape.length : i] : []));
      const axes = ones.slice(0, g.between(0, ones.length));
      const x = any(g, shape);
      if (axes.length === 0) return { inputs: [x] };
      return opset < 13
        ? { inputs: [x], attributes: { axes } }
        : { inputs: [x, g.int64(axes)], weights: g.one([], [1]) };
    },
  },
  {
    op: 'Unsqueeze',
    opsets: [1, 11, 13, 21],
    make: (g, opset) => {
      const x = any(g, g.shape(0, 3));
      const rank = x.shape.length + g.between(1, 2);
      const axes = g
        .order(rank)
        .slice(0, rank - x.shape.length)
        .map((axis) => (opset >= 11 && g.oneIn(2) ? axis - rank : axis));
      return opset < 13
        ? { inputs: [x], attributes: { axes } }
        : { inputs: [x, g.int64(axes)], weights: g.one([], [1]) };
    },
  },
  {
    op: 'Flatten',
    opsets: [1, 9, 11, 13, 21],
    make: (g, opset) => {
      const x = opset < 9 ? g.tensor('float32', g.shape(1, 4)) : any(g, g.shape(1, 4));
      return {
        inputs: [x],
        attributes: g.oneIn(4) ? {} : { axis: g.between(opset < 11 ? 0 : -x.shape.length, x.shape.length) },
      };
    },
  },
  {
    op: 'Transpose',
    opsets: [1, 13, 21],
    make: (g) => {
      const x = any(g, g.shape(1, 5));
      return { inputs: [x], attributes: g.oneIn(4) ? {} : { perm: g.order(x.shape.length) } };
    },
  },
  {
    op: 'Concat',
    opsets: [4, 11, 13],
    make: (g, opset) => {
      const shape = g.shape(1, 4);
      const axis = g.below(shape.length);
      const dtype = g.one(...ANY.filter((d) => d !== 'bool'));
      const inputs = Array.from({ length: g.between(1, 3) }, () => g.tensor(dtype, shape.with(axis, g.between(0, 3))));
      return { inputs, attributes: { axis: opset >= 11 && g.oneIn(2) ? axis - shape.length : axis } };
    },
  },
  {
    op: 'Split',
    opsets: [2, 11, 13, 18],
    make: (g, opset) => {
      const parts = g.list(g.between(1, 3), 0, 3);
      const shape = g.shape(1, 3);
      const axis = g.below(shape.length);
      const equal = g.oneIn(2);
      if (equal) parts.fill(g.between(1, 3));
      const x = any(
        g,
        shape.with(
          axis,
          parts.reduce((a, b) => a + b, 0),
        ),
      );
      const attributes = { axis: opset >= 11 && g.oneIn(2) ? axis - shape.length : axis };
      const outputs = parts.length;
      if (equal && g.oneIn(2))
        return { inputs: [x], attributes: opset >= 18 ? { ...attributes, num_outputs: outputs } : attributes, outputs };
      return opset < 13
        ? { inputs: [x], attributes: { ...attributes, split: parts }, outputs }
        : { inputs: [x, g.int64(parts)], attributes, outputs };
    },
  },
  {
    op: 'Slice',
    opsets: [1, 10, 11, 13],
    make: (g, opset) => {
      const x = any(g, g.shape(1, 4, 6));
      const rank = x.shape.length;
      const axes = g.axes(rank).map((axis) => (opset < 11 && axis < 0 ? axis + rank : axis));
      const [starts, ends] = [g.list(axes.length, -7, 7), g.list(axes.length, -8, 8)];
      if (opset < 10) return { inputs: [x], attributes: { starts, ends, axes } };
      const steps = g.list(axes.length, 1, 3).map((step) => (g.oneIn(2) ? step : -step));
      const dtype = g.one('int64', 'int32');
      const list = (values: number[]) => g.whole(dtype, [values.length], values);
      return {
        inputs: [x, list(starts), list(ends), list(axes), ...(g.oneIn(3) ? [] : [list(steps)])],
        weights: g.one([], [1, 2, 3, 4]),
      };
    },
  },
  {
    op: 'Pad',
    opsets: [2, 11, 13, 18, 19, 21],
    make: (g, opset) => {
      const dtype = opset < 11 ? 'float32' : g.one('float32', 'int32', 'int64', 'float64', 'uint8');
      const x = g.tensor(
        dtype,
        g.shape(1, 4).map((dim) => dim + 2),
        -9,
        9,
      );
      const rank = x.shape.length;
      const mode = g.one('constant', 'reflect', 'edge', ...(opset >= 19 ? ['wrap'] : []));
      const axes = opset >= 18 && g.oneIn(2) ? g.axes(rank) : undefined;
      const pads = g.list(2 * (axes?.length ?? rank), mode === 'constant' ? -1 : 0, 2);
      if (opset < 11) return { inputs: [x], attributes: { pads, mode, ...(g.oneIn(2) ? { value: float(1.5) } : {}) } };
      const fill = g.oneIn(2) ? g.whole(dtype, [], [3]) : undefined;
      return {
        inputs: [x, g.int64(pads), ...(axes ? [fill, g.int64(axes)] : fill ? [fill] : [])],
        attributes: g.oneIn(8) && mode === 'constant' ? {} : { mode },
      };
    },
  },
  {
    op: 'Expand',
    opsets: [8, 13],
    make: (g) => {
      const shape = g.shape(1, 4);
      const small = g.narrower(shape);
      return {
        inputs: [
          any(g, small),
          g.int64(
            g.oneIn(2)
              ? shape
              : shape.map((dim, i) => ((small[i - shape.length + small.length] ?? 1) === dim && g.oneIn(2) ? 1 : dim)),
          ),
        ],
      };
    },
  },
  {
    op: 'Tile',
    opsets: [6, 13],
    make: (g) => {
      const x = any(g, g.shape(1, 3));
      return { inputs: [x, g.int64(g.list(x.shape.length, 0, 3))] };
    },
  },
  {
    op: 'DepthToSpace',
    opsets: [1, 11, 13],
    make: (g, opset) => {
      const b = g.between(1, 3);
      return {
        inputs: [g.tensor('float32', [g.between(1, 2), g.between(1, 2) * b * b, g.between(1, 3), g.between(1, 3)])],
        attributes: { blocksize: b, ...(opset >= 11 && g.oneIn(2) ? { mode: g.one('DCR', 'CRD') } : {}) },
      };
    },
  },
  {
    op: 'SpaceToDepth',
    opsets: [1, 13],
    make: (g) => {
      const b = g.between(1, 3);
      return {
        inputs: [g.tensor('float32', [g.between(1, 2), g.between(1, 3), g.between(1, 3) * b, g.between(1, 3) * b])],
        attributes: { blocksize: b },
      };
    },
  },
  {
    op: 'ReverseSequence',
    opsets: [10],
    make: (g) => {
      const x = any(g, g.shape(2, 4));
      const time = g.below(2);
      return {
        inputs: [x, g.int64(g.list(x.shape[1 - time] ?? 1, 1, x.shape[time] ?? 1))],
        attributes: { time_axis: time, batch_axis: 1 - time },
      };
    },
  },
  {
    op: 'CenterCropPad',
    opsets: [18],
    make: (g) => {
      const x = g.tensor('float32', g.shape(1, 3, 6));
      const axes = g.axes(x.shape.length);
      return g.oneIn(2)
        ? { inputs: [x, g.int64(g.list(x.shape.length, 1, 7))] }
        : { inputs: [x, g.int64(g.list(axes.length, 1, 7))], attributes: { axes } };
    },
  },
  {
    op: 'Range',
    opsets: [11],
    make: (g) => {
      const dtype = g.one('float32', 'int32', 'int64', 'float64', 'int16');
      const step = g.between(1, 3) * g.one(1, -1);
      return {
        inputs: [g.between(-5, 5), g.between(-9, 9), step].map((x) =>
          g.whole(dtype, [], [dtype.startsWith('f') ? x + 0.25 : x]),
        ),
      };
    },
  },
  {
    op: 'ConstantOfShape',
    opsets: [9, 20, 21],
    make: (g) => ({
      inputs: [g.int64(g.list(g.between(0, 3), 0, 3))],
      attributes: g.oneIn(3)
        ? {}
        : {
            value: tensorValue(g.tensor(g.one('float32', 'int32', 'int64', 'uint8', 'float64', 'float16'), [1], 0, 5)),
          },
    }),
  },
  {
    op: 'EyeLike',
    opsets: [9],
    make: (g) => ({
      inputs: [g.tensor(g.one('float32', 'int32', 'int64'), g.shape(2, 2))],
      attributes: {
        ...(g.oneIn(2) ? { k: g.between(-3, 3) } : {}),
        ...(g.oneIn(2) ? { dtype: g.one(1, 6, 7, 11) } : {}),
      },
    }),
  },
  {
    op: 'Trilu',
    opsets: [14],
    make: (g) => ({
      inputs: [
        g.tensor(g.one('float32', 'int64', 'float64'), g.shape(2, 4)),
        ...(g.oneIn(2) ? [g.int64(g.between(-3, 3))] : []),
      ],
      attributes: g.one({}, { upper: 0 }, { upper: 1 }),
    }),
  },
  {
    op: 'OneHot',
    opsets: [9, 11],
    make: (g) => {
      const [type, depth] = [g.one('int64', 'float32', 'int32'), g.between(1, 5)];
      const x = g.tensor(type, g.shape(1, 3), 0, 1);
      return {
        inputs: [
          g.whole(type, x.shape, g.list(x.data.length, -depth - 1, depth + 1)),
          g.whole(g.one('int64', 'float32'), g.one([], [1]), [depth]),
          g.tensor(g.one('float32', 'int64', 'int32'), [2]),
        ],
        attributes: g.oneIn(3) ? {} : { axis: g.axis(x.shape.length + 1) },
      };
    },
  },
  {
    op: 'NonZero',
    opsets: [9, 13],
    make: (g) => ({ inputs: [g.tensor(g.one('int32', 'int64', 'bool', 'uint8'), g.shape(1, 3), 0, 1)] }),
  },
  {
    op: 'Compress',
    opsets: [9, 11],
    make: (g, opset) => {
      const x = any(g, g.shape(1, 3));
      const axis = g.below(x.shape.length);
      if (g.oneIn(3)) return { inputs: [x, g.tensor('bool', [g.between(1, x.data.length)], 0, 1)] };
      return {
        inputs: [x, g.tensor('bool', [g.between(1, x.shape[axis] ?? 1)], 0, 1)],
        attributes: { axis: opset >= 11 && g.oneIn(2) ? axis - x.shape.length : axis },
      };
    },
  },
  {
    op: 'Unique',
    opsets: [11],
    make: (g) => {
      const x = g.tensor(g.one('float32', 'int64', 'int8', 'float64'), g.shape(1, 3), 0, 2);
      const values = g.whole(x.dtype, x.shape, g.list(x.data.length, 0, 2));
      return {
        inputs: [values],
        attributes: {
          ...(g.oneIn(2) ? { axis: g.axis(x.shape.length) } : {}),
          ...(g.oneIn(2) ? { sorted: g.below(2) } : {}),
        },
        outputs: 4,
      };
    },
  },
  {
    op: 'Gather',
    opsets: [1, 11, 13],
    make: (g, opset) => {
      const x = any(g, g.shape(1, 4));
      const axis = g.below(x.shape.length);
      const at = indices(g, g.shape(0, 2), x.shape[axis] ?? 1);
      const inside = g.whole(
        at.dtype,
        at.shape,
        Array.from(toReals(at), (v) => (opset < 11 && v < 0 ? v + (x.shape[axis] ?? 1) : v)),
      );
      return {
        inputs: [x, inside],
        attributes: g.oneIn(4) && axis === 0 ? {} : { axis: g.oneIn(2) ? axis - x.shape.length : axis },
      };
    },
  },
  {
    op: 'GatherElements',
    opsets: [11, 13],
    make: (g) => {
      const x = any(g, g.shape(1, 3));
      const axis = g.below(x.shape.length);
      const at = indices(
        g,
        x.shape.map((dim, i) => (i === axis ? g.between(1, 5) : g.between(1, dim))),
        x.shape[axis] ?? 1,
      );
      return { inputs: [x, at], attributes: { axis: g.oneIn(2) ? axis - x.shape.length : axis } };
    },
  },
  {
    op: 'GatherND',
    opsets: [11, 12, 13],
    make: (g, opset) => {
      const x = any(g, g.shape(2, 4));
      const batch = opset < 12 ? 0 : g.below(x.shape.length - 1);
      const length = g.between(1, x.shape.length - batch);
      const outer = [...x.shape.slice(0, batch), ...g.shape(0, 2)];
      const count = outer.reduce((a, b) => a * b, 1);
      const values = Array.from({ length: count }, () =>
        x.shape.slice(batch, batch + length).map((dim) => g.between(-dim, dim - 1)),
      ).flat();
      return {
        inputs: [x, { ...g.int64(values), shape: [...outer, length] }],
        attributes: batch ? { batch_dims: batch } : {},
      };
    },
  },
  scatter('Scatter', [9]),
  scatter('ScatterElements', [11, 13, 16, 18]),
  {
    op: 'ScatterND',
    opsets: [11, 13, 16, 18],
    make: (g, opset) => {
      const x = g.tensor(g.one('float32', 'int64'), g.shape(1, 3));
      const first = x.shape[0] ?? 1;
      const rows = g.order(first).slice(0, g.between(1, first));
      const updates = g.tensor(x.dtype, [rows.length, ...x.shape.slice(1)]);
      return {
        inputs: [x, { ...g.int64(rows), shape: [rows.length, 1] }, updates],
        attributes:
          opset >= 16 ? { reduction: g.one('none', 'add', 'mul', ...(opset >= 18 ? ['max', 'min'] : [])) } : {},
      };
    },
  },
  {
    op: 'TensorScatter',
    opsets: [24],
    make: (g): Parts => {
      const [batch, heads, length, size] = [g.between(1, 2), g.between(1, 2), g.between(3, 5), g.between(1, 3)];
      const steps = g.between(1, 2);
      const mode = g.one('linear', 'circular');
      return {
        inputs: [
          g.tensor('float32', [batch, heads, length, size]),
          g.tensor('float32', [batch, heads, steps, size]),
          g.int64(g.list(batch, 0, mode === 'linear' ? length - steps : length - 1)),
        ],
        attributes: { mode },
      };
    },
  },
];

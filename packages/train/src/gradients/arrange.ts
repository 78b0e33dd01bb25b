/** Gradients of operators that only move elements: reshape, reorder, cut, join, pad, repeat, pick. */
import { type Shape, sizeOf } from '../emit.ts';
import { axisOf, type Rule, type RuleContext, type Rules, range, single } from '../rule.ts';

type Reshaping = 'Reshape' | 'Flatten' | 'Squeeze' | 'Unsqueeze';
type Arranging =
  | 'CenterCropPad'
  | 'Concat'
  | 'DepthToSpace'
  | 'Expand'
  | 'Gather'
  | 'GatherElements'
  | 'GatherND'
  | 'Pad'
  | 'ReverseSequence'
  | 'ScatterElements'
  | 'ScatterND'
  | 'Slice'
  | 'SpaceToDepth'
  | 'Split'
  | 'Tile'
  | 'Transpose'
  | 'Trilu';

function reshaping<O extends Reshaping>(): Rule<O> {
  return single((c, dy) => [c.reshape(dy, c.shape(0))]);
}

/** First index, step and count of what a Slice takes of one axis. */
interface Cut {
  readonly first: number;
  readonly step: number;
  readonly count: number;
}

function cutsOf(c: RuleContext<'Slice'>): readonly Cut[] {
  const [shape, out] = [c.shape(0), c.outShape()];
  const [starts, given, steps] = [c.integers(1), c.has(3) ? c.integers(3) : undefined, c.has(4) ? c.integers(4) : []];
  if (!starts || !steps || (c.has(3) && !given)) return c.refuse('where it cuts is not constant');
  const axes = (given ?? range(starts.length)).map((axis) => axisOf(axis, shape.length));
  return shape.map((length, axis): Cut => {
    const i = axes.indexOf(axis);
    const [start, step] = i < 0 ? [0, 1] : [starts[i] ?? 0, steps[i] ?? 1];
    const index = start < 0 ? start + length : start;
    const first = step > 0 ? Math.min(Math.max(index, 0), length) : Math.min(Math.max(index, 0), length - 1);
    return { first, step, count: out[axis] ?? 0 };
  });
}

/** Puts dy back to the places it was cut from: reversed, spread with zeros between, padded. */
function uncut(c: RuleContext, dy: string, cuts: readonly Cut[], shape: Shape): string {
  if (cuts.some(({ count }) => count === 0)) return c.zeros(shape);
  let value = dy;
  cuts.forEach(({ step }, axis) => {
    if (step < 0) value = c.reverse(value, axis);
  });
  // Each axis that was strided becomes two, the second of which is filled up to the stride: one Pad for all.
  const spread = cuts.map(({ step, count }) => (count > 1 ? Math.abs(step) : 1));
  if (spread.some((stride) => stride > 1)) {
    const split = cuts.flatMap(({ count }, axis) => (spread[axis] === 1 ? [count] : [count, 1]));
    const gaps = spread.flatMap((stride) => (stride === 1 ? [0] : [0, stride - 1]));
    const padded = c.pad(c.reshape(value, split), new Array<number>(split.length).fill(0), gaps);
    value = c.reshape(
      padded,
      cuts.map(({ count }, axis) => count * (spread[axis] ?? 1)),
    );
  }
  const before = cuts.map(({ first, step, count }) => (step < 0 ? first + (count - 1) * step : first));
  const after = cuts.map(({ count }, axis) => (shape[axis] ?? 0) - (before[axis] ?? 0) - count * (spread[axis] ?? 1));
  return c.pad(value, before, after);
}

/**
 * For operators that only pick elements, in whatever order: the places that their output came from are found by running
 * them on numbered elements, in the graph itself (its constants fold away), and gradients are added up there.
 */
function byPlaces<O extends 'Pad' | 'ReverseSequence' | 'CenterCropPad' | 'Trilu'>(): Rule<O> {
  return single((c, dy) => {
    const shape = c.shape(0);
    const size = sizeOf(shape);
    // 0 is for what is filled in: it falls on an element in front, which is cut off again.
    const numbers = c.floats(
      shape,
      Float64Array.from({ length: size }, (_, i) => i + 1),
    );
    const rest = c.node.inputs.slice(1);
    // A fill other than 0 would look like a place.
    const inputs = c.node.op === 'Pad' ? [rest[0] ?? '', '', ...rest.slice(2)] : rest;
    const places = c.add('Cast', [c.add(c.node.op, [numbers, ...inputs], c.a as never)], { to: 'int64' });
    const length = sizeOf(c.outShape());
    const flat = c.add('ScatterElements', [c.zeros([size + 1]), c.reshape(places, [length]), c.reshape(dy, [length])], {
      axis: 0,
      reduction: 'add',
    });
    return [c.reshape(c.slice(flat, 0, 1, size + 1), shape)];
  });
}

const scatterAdd = (c: RuleContext, shape: Shape, indices: string, dy: string): string =>
  c.add('ScatterND', [c.zeros(shape), indices, dy], { reduction: 'add' });

export const arrangeRules: Rules<Reshaping | Arranging> = {
  Reshape: reshaping(),
  Flatten: reshaping(),
  Squeeze: reshaping(),
  Unsqueeze: reshaping(),
  CenterCropPad: byPlaces(),
  ReverseSequence: byPlaces(),
  Concat: single((c, dy) => {
    const axis = axisOf(c.a.axis, c.outShape().length);
    let start = 0;
    return c.node.inputs.map((_, i) => {
      const end = start + (c.shape(i)[axis] ?? 0);
      const part = c.wanted(i) ? c.slice(dy, axis, start, end) : undefined;
      start = end;
      return part;
    });
  }),
  DepthToSpace: single((c, dy) => {
    const b = c.a.blocksize;
    if (c.a.mode === 'DCR') return [c.add('SpaceToDepth', [dy], { blocksize: b })];
    const [n = 0, channels = 0, h = 0, w = 0] = c.shape(0);
    const split = c.transpose(c.reshape(dy, [n, channels / (b * b), h, b, w, b]), [0, 1, 3, 5, 2, 4]);
    return [c.reshape(split, [n, channels, h, w])];
  }),
  SpaceToDepth: single((c, dy) => [c.add('DepthToSpace', [dy], { blocksize: c.a.blocksize, mode: 'DCR' })]),
  Expand: single((c, dy) => [c.unbroadcast(dy, c.outShape(), c.shape(0))]),
  Gather: single((c, dy) => {
    const shape = c.shape(0);
    const indices = c.shape(1);
    const axis = axisOf(c.a.axis, shape.length);
    const [rank, many] = [shape.length, indices.length];
    // Index axes first, then the axis as the first of data.
    const order = [...range(many, axis), ...range(axis), ...range(rank - axis - 1, axis + many)];
    const moved = [shape[axis] ?? 0, ...shape.slice(0, axis), ...shape.slice(axis + 1)];
    const sums = scatterAdd(c, moved, c.reshape(c.input(1), [...indices, 1]), axis === 0 ? dy : c.transpose(dy, order));
    return [axis === 0 ? sums : c.transpose(sums, [...range(axis, 1), 0, ...range(rank - axis - 1, axis + 1)])];
  }),
  GatherElements: single((c, dy) => [
    c.add('ScatterElements', [c.zeros(c.shape(0)), c.input(1), dy], { axis: c.a.axis, reduction: 'add' }),
  ]),
  GatherND: single((c, dy) => {
    if (c.a.batch_dims !== 0) c.refuse('batch_dims is not 0');
    return [scatterAdd(c, c.shape(0), c.input(1), dy)];
  }),
  ScatterElements: single((c, dy) => {
    const { axis, reduction } = c.a;
    if (reduction !== 'none' && reduction !== 'add') c.refuse(`reduction is ${reduction}`);
    const kept = (): string =>
      reduction === 'add' ? dy : c.add('ScatterElements', [dy, c.input(1), c.zeros(c.shape(2))], { axis });
    const updates = (): string => c.add('GatherElements', [dy, c.input(1)], { axis });
    return [c.wanted(0) ? kept() : undefined, undefined, c.wanted(2) ? updates() : undefined];
  }),
  ScatterND: single((c, dy) => {
    const { reduction } = c.a;
    if (reduction !== 'none' && reduction !== 'add') c.refuse(`reduction is ${reduction}`);
    const kept = (): string => (reduction === 'add' ? dy : c.add('ScatterND', [dy, c.input(1), c.zeros(c.shape(2))]));
    return [c.wanted(0) ? kept() : undefined, undefined, c.wanted(2) ? c.add('GatherND', [dy, c.input(1)]) : undefined];
  }),
  Pad: (c) => {
    const shape = c.shape(0);
    const pads = c.integers(1);
    const axes = c.has(3) ? c.integers(3) : range(shape.length);
    if (c.wanted(2)) c.refuse('what it fills in depends on weights');
    if (c.a.mode !== 'constant' || !pads || !axes) return byPlaces<'Pad'>()(c);
    c.copy();
    return ([dy]) => {
      if (dy === undefined) return [];
      const amount = (from: number): number[] =>
        shape.map((_, axis) => {
          const i = axes.findIndex((given) => axisOf(given, shape.length) === axis);
          return i < 0 ? 0 : -(pads[i + from] ?? 0);
        });
      return [c.pad(dy, amount(0), amount(axes.length))];
    };
  },
  Slice: single((c, dy) => [uncut(c, dy, cutsOf(c), c.shape(0))]),
  Split: (c) => {
    c.copy();
    return (dys) => {
      if (dys.every((dy) => dy === undefined)) return [];
      const parts = c.node.outputs.map((_, i) => dys[i] ?? c.zeros(c.outShape(i)));
      return [c.concat(parts, axisOf(c.a.axis, c.shape(0).length))];
    };
  },
  Tile: single((c, dy) => {
    const [shape, out] = [c.shape(0), c.outShape()];
    // [r0, n0, r1, n1, …]: each pair is one axis.
    const split = shape.flatMap((length, i) => [length === 0 ? 0 : (out[i] ?? 0) / length, length]);
    return [
      c.reshape(
        c.reduce(
          'ReduceSum',
          c.reshape(dy, split),
          range(shape.length).map((i) => 2 * i),
        ),
        shape,
      ),
    ];
  }),
  Transpose: single((c, dy) => {
    const rank = c.shape(0).length;
    const perm = c.a.perm ?? range(rank).reverse();
    return [
      c.transpose(
        dy,
        range(rank).map((axis) => perm.indexOf(axis)),
      ),
    ];
  }),
  Trilu: single((c, dy) => [c.add('Trilu', [dy, ...c.node.inputs.slice(1)], c.a)]),
};

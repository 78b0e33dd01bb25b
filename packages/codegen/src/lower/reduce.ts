/** Operators that go along axes: reductions and what is made of them. */
import { type DType, fromReals, type Node } from '@grim/ir';
import type { AnyLowering, LowerContext, Lowerings } from '../lower.ts';
import {
  binary,
  compare,
  type Expression,
  isFloatRep,
  isUnsigned,
  literal,
  load,
  math,
  repOf,
  select,
  unary,
  wrap,
} from '../map/expression.ts';
import { type Combine, foldCall } from '../map/fold.ts';
import { functionTable } from '../map/functions.ts';
import { dense, sizeOf, slice, view } from '../map/placement.ts';
import type { Placement } from '../program.ts';
import { add, mul, zero } from './pointwise.ts';
import { axisOf, integersOf } from './rearrange.ts';

/** Narrow floats are folded and kept in float32. */
function foldedType(dtype: DType): DType {
  return dtype === 'float16' || dtype === 'bfloat16' ? 'float32' : dtype;
}

/** What a fold of no elements gives. */
const EMPTY: Readonly<Record<Combine, number>> = {
  add: 0,
  mul: 1,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
};

/** Folds an expression over `shape` along `axes` into `target`, or into memory of its own. Folded axes keep length 1. */
export function fold(
  c: LowerContext,
  root: Expression,
  shape: readonly number[],
  axes: readonly number[],
  combine: Combine,
  dtype: DType,
  target?: Placement,
): Placement {
  const lengths = shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  const bytes = 8 * sizeOf(lengths);
  const to = target ?? dense(c.scratch(bytes), dtype, lengths);
  if (sizeOf(lengths) === 0) return to;
  if (sizeOf(shape) === 0) {
    const extreme = combine === 'min' || combine === 'max';
    if (extreme && !isFloatRep(root.rep)) c.unsupported(`the extremum of no ${dtype}`, 'at least one element');
    c.fill(to, fromReals(dtype, [], [EMPTY[combine]]));
    return to;
  }
  const { kernel, args } = foldCall(root, shape, combine, to, () => c.data(functionTable()));
  c.call(kernel, ...args);
  return to;
}

/** The placement with folded axes of length 1, seen in the output's shape. */
function without(of: Placement, shape: readonly number[], axes: readonly number[]): Placement {
  if (shape.length === of.shape.length) return of;
  return view(of, { shape, strides: of.strides.filter((_, axis) => !axes.includes(axis)) });
}

/** The opposite: the output's placement with folded axes put back. */
function withAxes(of: Placement, rank: number, axes: readonly number[]): Placement {
  if (of.shape.length === rank) return of;
  const kept = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => !axes.includes(axis));
  const put = (list: readonly number[], missing: number) =>
    Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? missing : (list[kept.indexOf(axis)] ?? missing)));
  return view(of, { shape: put(of.shape, 1), strides: put(of.strides, 0) });
}

function axesOf(node: Node, c: LowerContext, rank: number, noop: number): readonly number[] {
  const given = integersOf(c, node.inputs[1]) ?? [];
  if (given.length > 0) return given.map((axis) => axisOf(axis, rank));
  return noop ? [] : Array.from({ length: rank }, (_, axis) => axis);
}

interface Recipe {
  readonly combine: Combine;
  readonly before?: (x: Expression, dtype: DType) => Expression;
  readonly after?: (total: Expression, count: number, dtype: DType) => Expression;
  /** Default: those of the node. */
  readonly axes?: (rank: number) => readonly number[];
  /** Element types beyond float32 and the 16-bit floats. */
  readonly only?: (dtype: DType) => boolean;
}

function reduction({ combine, before, after, axes: fixed, only }: Recipe): AnyLowering {
  return {
    lower: (node, c) => {
      const [input = ''] = node.inputs;
      const [output = ''] = node.outputs;
      const { dtype, shape } = c.type(input);
      if (only && !only(dtype)) c.unsupported(dtype, 'float32, float16, bfloat16');
      const { noop_with_empty_axes: noop = 0 } = node.attributes as { noop_with_empty_axes?: number };
      const axes = fixed ? fixed(shape.length) : axesOf(node, c, shape.length, noop);
      const x = c.operand(input, shape);
      const root = before ? before(x, dtype) : x;
      const type = foldedType(dtype);
      const { shape: result } = c.type(output);
      if (!after && type === dtype) {
        fold(c, root, shape, axes, combine, dtype, withAxes(c.write(output), shape.length, axes));
        return;
      }
      const total = load(without(fold(c, root, shape, axes, combine, type), result, axes));
      const count = axes.reduce((all, axis) => all * (shape[axis] ?? 1), 1);
      c.define(output, after ? after(total, count, dtype) : total);
    },
  };
}

const square = (x: Expression): Expression => mul(x, x);
const narrow = (dtype: DType): boolean => repOf(dtype) === 'f32';
const anyFloat = (dtype: DType): boolean => isFloatRep(repOf(dtype));

function magnitude(x: Expression, dtype: DType): Expression {
  if (isFloatRep(x.rep)) return unary('abs', x);
  return isUnsigned(dtype) ? x : select(compare('lt_s', x, zero(x)), binary('sub', zero(x), x), x);
}

function mean(total: Expression, count: number, dtype: DType): Expression {
  if (isFloatRep(total.rep)) return binary('div', total, literal(total.rep, Math.fround(count)));
  return wrap(dtype, binary(isUnsigned(dtype) ? 'div_u' : 'div_s', total, literal(total.rep, count)));
}

/** The maximum along axes, and 0 where it is infinite: subtracting it must not make NaN of infinities. */
function finite(of: Placement): Expression {
  const x = load(of);
  return select(compare('eq', unary('abs', x), literal('f32', Number.POSITIVE_INFINITY)), zero(x), x);
}

function logSumExp(node: Node, c: LowerContext): void {
  const [input = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { dtype, shape } = c.type(input);
  if (!narrow(dtype)) c.unsupported(dtype, 'float32, float16, bfloat16');
  const { noop_with_empty_axes: noop = 0 } = node.attributes as { noop_with_empty_axes?: number };
  const axes = axesOf(node, c, shape.length, noop);
  const x = load(c.read(input));
  const most = fold(c, x, shape, axes, 'max', 'float32');
  const total = fold(c, math('exp', binary('sub', x, finite(most))), shape, axes, 'add', 'float32');
  const { shape: result } = c.type(output);
  c.define(output, add(math('log', load(without(total, result, axes))), finite(without(most, result, axes))));
}

/** e^(x − m) / Σ e^(x − m), or its logarithm (x − m) − ln Σ e^(x − m), m the maximum along the axis. */
function softmax(logarithm: boolean): AnyLowering {
  return {
    lower: (node, c) => {
      const [input = ''] = node.inputs;
      const [output = ''] = node.outputs;
      const { dtype, shape } = c.type(input);
      if (!narrow(dtype)) c.unsupported(dtype, 'float32, float16, bfloat16');
      const to = c.write(output);
      if (sizeOf(shape) === 0) return;
      const axis = axisOf((node.attributes as { axis: number }).axis, shape.length);
      const x = load(c.read(input));
      const most = load(fold(c, x, shape, [axis], 'max', 'float32'));
      const shifted = binary('sub', x, most);
      if (logarithm) {
        const total = load(fold(c, math('exp', shifted), shape, [axis], 'add', 'float32'));
        c.store(binary('sub', shifted, math('log', total)), to);
        return;
      }
      // Powers are rounded to the output's type before they are added up, unless it is float32 anyway.
      const powers = dtype === 'float32' ? to : dense(c.scratch(4 * sizeOf(shape)), 'float32', shape);
      c.store(math('exp', shifted), powers);
      const total = load(fold(c, load(powers), shape, [axis], 'add', 'float32'));
      c.store(binary('div', load(powers), total), to);
    },
  };
}

/** All axes of a plane: of the batch and the channels there are two. */
const spatialAxes = (rank: number): readonly number[] => Array.from({ length: rank - 2 }, (_, i) => i + 2);

/** Along an axis one slice after the other, each made of the one before it. */
function running(combine: 'add' | 'mul'): AnyLowering {
  return {
    lower: (node, c) => {
      const [input = '', axisName] = node.inputs;
      const from = c.read(input);
      const to = c.write(node.outputs[0] ?? '');
      const { exclusive, reverse } = node.attributes as { exclusive: number; reverse: number };
      const axis = axisOf(integersOf(c, axisName)?.[0] ?? 0, from.shape.length);
      const length = from.shape[axis] ?? 0;
      const { dtype } = from;
      const at = (of: Placement, i: number) => {
        const starts = from.shape.map(() => 0).with(axis, reverse ? length - 1 - i : i);
        return slice(of, starts, from.shape.with(axis, 1));
      };
      for (let i = 0; i < length; i++) {
        const x = load(at(from, exclusive ? i - 1 : i));
        if (i === 0 && exclusive) c.fill(at(to, i), fromReals(dtype, [], [combine === 'add' ? 0 : 1]));
        else c.store(i === 0 ? x : wrap(dtype, binary(combine, load(at(to, i - 1)), x)), at(to, i));
      }
    },
  };
}

export const reduceLowerings: Lowerings = {
  CumProd: running('mul'),
  CumSum: running('add'),
  GlobalAveragePool: reduction({ combine: 'add', after: mean, axes: spatialAxes }),
  GlobalMaxPool: reduction({ combine: 'max', axes: spatialAxes }),
  LogSoftmax: softmax(true),
  ReduceL1: reduction({ combine: 'add', before: magnitude }),
  ReduceL2: reduction({ combine: 'add', before: square, after: (total) => unary('sqrt', total), only: anyFloat }),
  ReduceLogSum: reduction({ combine: 'add', after: (total) => math('log', total), only: narrow }),
  ReduceLogSumExp: { lower: logSumExp },
  ReduceMax: reduction({ combine: 'max' }),
  ReduceMean: reduction({ combine: 'add', after: mean }),
  ReduceMin: reduction({ combine: 'min' }),
  ReduceProd: reduction({ combine: 'mul' }),
  ReduceSum: reduction({ combine: 'add' }),
  ReduceSumSquare: reduction({ combine: 'add', before: square }),
  Softmax: softmax(false),
};

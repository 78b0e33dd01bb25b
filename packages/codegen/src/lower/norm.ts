/**
 * Normalizations: statistics by the folds of `reduce.ts`, in two passes (the mean first, then what deviates from it), then
 * one expression per element, which what follows may join. Formulas as in the reference's `reference/norm.ts`, computed in
 * float32, of float64 in float64.
 */
import { type DType, invariant, type NodeOf } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import {
  binary,
  compare,
  convert,
  type Expression,
  load,
  math,
  type Rep,
  real,
  repOf,
  select,
  unary,
} from '../map/expression.ts';
import { dense, rowMajor, sizeOf, slice, view } from '../map/placement.ts';
import type { Placement } from '../program.ts';
import { add, mul, one, zero } from './pointwise.ts';
import { axisOf } from './rearrange.ts';
import { fold } from './reduce.ts';

type Work = 'float32' | 'float64';

/** The type that is computed in. */
function workOf(dtype: DType): Work {
  return dtype === 'float64' ? 'float64' : 'float32';
}

const square = (x: Expression): Expression => mul(x, x);
const sub = (a: Expression, b: Expression): Expression => binary('sub', a, b);
const div = (a: Expression, b: Expression): Expression => binary('div', a, b);
const count = (shape: readonly number[], axes: readonly number[]) =>
  axes.reduce((all, axis) => all * (shape[axis] ?? 1), 1);
const from = (axis: number, rank: number) => Array.from({ length: rank - axis }, (_, i) => axis + i);

/** 1 / √(v + ε) */
function inverseRoot(v: Expression, epsilon: number): Expression {
  return div(one(v), unary('sqrt', add(v, real(v.rep, epsilon))));
}

/** Room for a value of its own. */
function room(c: LowerContext, dtype: Work, shape: readonly number[]): Placement {
  return dense(c.scratch((dtype === 'float64' ? 8 : 4) * sizeOf(shape)), dtype, shape);
}

function stored(c: LowerContext, value: Expression, dtype: Work, shape: readonly number[]): Placement {
  const to = room(c, dtype, shape);
  c.store(value, to);
  return to;
}

/** The mean of an expression along axes, which keep length 1. */
function meanOf(
  c: LowerContext,
  x: Expression,
  shape: readonly number[],
  axes: readonly number[],
  dtype: Work,
): Placement {
  const total = fold(c, x, shape, axes, 'add', dtype);
  c.store(div(load(total), real(x.rep, count(shape, axes))), total);
  return total;
}

interface Moments {
  readonly mean: Placement;
  readonly variance: Placement;
}

function momentsOf(
  c: LowerContext,
  x: Expression,
  shape: readonly number[],
  axes: readonly number[],
  dtype: Work,
): Moments {
  const mean = meanOf(c, x, shape, axes, dtype);
  return { mean, variance: meanOf(c, square(sub(x, load(mean))), shape, axes, dtype) };
}

/** One value per channel (axis 1) of a value of this rank; of rank 1 there is one channel. */
function perChannel(of: Placement, rank: number): Placement {
  const strides = rank === 1 ? [0] : [of.strides[0] ?? 1, ...new Array<number>(rank - 2).fill(0)];
  const shape = rank === 1 ? [1] : [of.shape[0] ?? 1, ...new Array<number>(rank - 2).fill(1)];
  return view(of, { shape, strides });
}

function channelOperand(c: LowerContext, name: string, rank: number, rep: Rep): Expression {
  return convert(load(perChannel(c.read(name), rank)), rep, true);
}

function lowerBatchNormalization(node: NodeOf<'BatchNormalization'>, c: LowerContext): void {
  const [xName = '', scaleName = '', biasName = '', meanName = '', varianceName = ''] = node.inputs;
  const [output = '', runningMean = '', runningVariance = ''] = node.outputs;
  const { epsilon, momentum, training_mode: training } = node.attributes;
  const { dtype, shape } = c.type(xName);
  const work = workOf(dtype);
  const rep = repOf(dtype);
  const rank = shape.length;
  const [scale, bias] = [channelOperand(c, scaleName, rank, rep), channelOperand(c, biasName, rank, rep)];
  let [mean, variance] = [channelOperand(c, meanName, rank, rep), channelOperand(c, varianceName, rank, rep)];
  const channels = rank === 1 ? 1 : (shape[1] ?? 1);
  if (training) {
    if (sizeOf(shape) === 0) c.unsupported('statistics of no elements', 'at least one');
    const x = load(c.read(xName));
    const axes = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1);
    const own = momentsOf(c, x, shape, axes, work);
    const list = (of: Placement) => view(of, { shape: [channels], strides: [1] });
    const running = (name: string, before: string, now: Placement) => {
      if (name === '') return;
      const old = convert(load(c.read(before)), rep, true);
      const next = add(mul(old, real(rep, momentum)), mul(load(list(now)), real(rep, 1 - momentum)));
      c.define(name, convert(next, repOf(c.type(name).dtype), true));
    };
    running(runningMean, meanName, own.mean);
    running(runningVariance, varianceName, own.variance);
    [mean, variance] = [load(perChannel(list(own.mean), rank)), load(perChannel(list(own.variance), rank))];
  }
  const factors = rank === 1 ? [1] : [channels, ...new Array<number>(rank - 2).fill(1)];
  const factor = stored(c, mul(scale, inverseRoot(variance, epsilon)), work, factors);
  const centred = sub(training ? load(c.read(xName)) : c.operand(xName), mean);
  c.define(output, add(mul(centred, load(factor)), bias));
}

/** Groups of neighbouring channels of each batch element have their own mean and deviation, each channel its own scale. */
function grouped(c: LowerContext, names: readonly string[], output: string, groups: number, epsilon: number): void {
  const [xName = '', scaleName = '', biasName = ''] = names;
  const { dtype, shape } = c.type(xName);
  if (sizeOf(shape) === 0) {
    c.write(output);
    return;
  }
  const work = workOf(dtype);
  const rep = repOf(dtype);
  const [batch = 1, channels = 1] = shape;
  const rank = shape.length;
  const x = c.contiguous(xName);
  const split = [batch, groups, channels / groups, ...shape.slice(2)];
  const inGroups = view(x, { shape: split, strides: rowMajor(split) });
  const { mean, variance } = momentsOf(c, load(inGroups), split, from(2, split.length), work);
  c.store(inverseRoot(load(variance), epsilon), variance);
  // Back to one value per batch element and channel.
  const ones = new Array<number>(rank - 2).fill(1);
  const spread = (of: Placement) => {
    const to = room(c, work, split.slice(0, 3));
    c.copy(view(of, { shape: [batch, groups, 1], strides: [groups, 1, 0] }), to);
    return view(to, { shape: [batch, channels, ...ones], strides: [channels, 1, ...ones.map(() => 0)] });
  };
  const factor = spread(variance);
  c.store(mul(load(factor), channelOperand(c, scaleName, rank, rep)), factor);
  const centred = sub(load(x), load(spread(mean)));
  c.define(output, add(mul(centred, load(factor)), channelOperand(c, biasName, rank, rep)));
}

function lowerLayerNormalization(node: NodeOf<'LayerNormalization'>, c: LowerContext): void {
  const [xName = '', scaleName = '', biasName = ''] = node.inputs;
  const [output = '', meanName = '', deviationName = ''] = node.outputs;
  const { dtype, shape } = c.type(xName);
  if (sizeOf(shape) === 0) {
    for (const name of node.outputs) if (name !== '') c.write(name);
    return;
  }
  const rep = repOf(dtype);
  const axes = from(axisOf(node.attributes.axis, shape.length), shape.length);
  const x = load(c.read(xName));
  const { mean, variance } = momentsOf(c, x, shape, axes, workOf(dtype));
  const inverse = stored(c, inverseRoot(load(variance), node.attributes.epsilon), workOf(dtype), variance.shape);
  const statistics = (name: string, of: Placement) => {
    if (name !== '') c.define(name, convert(load(of), repOf(c.type(name).dtype), true));
  };
  statistics(meanName, mean);
  statistics(deviationName, inverse);
  const scaled = mul(mul(sub(x, load(mean)), load(inverse)), convert(load(c.read(scaleName)), rep, true));
  c.define(output, biasName === '' ? scaled : add(scaled, convert(load(c.read(biasName)), rep, true)));
}

function lowerRmsNormalization(node: NodeOf<'RMSNormalization'>, c: LowerContext): void {
  const [xName = '', scaleName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { dtype, shape } = c.type(xName);
  if (sizeOf(shape) === 0) {
    c.write(output);
    return;
  }
  const axes = from(axisOf(node.attributes.axis, shape.length), shape.length);
  const x = load(c.read(xName));
  const inverse = meanOf(c, square(x), shape, axes, workOf(dtype));
  c.store(inverseRoot(load(inverse), node.attributes.epsilon), inverse);
  const y = mul(mul(x, load(inverse)), convert(load(c.read(scaleName)), x.rep, true));
  c.define(output, convert(y, repOf(c.type(output).dtype), true));
}

function lowerLpNormalization(node: NodeOf<'LpNormalization'>, c: LowerContext): void {
  const [xName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { axis, p } = node.attributes;
  const { dtype, shape } = c.type(xName);
  if (sizeOf(shape) === 0) {
    c.write(output);
    return;
  }
  const x = load(c.read(xName));
  const axes = [axisOf(axis, shape.length)];
  const norm = fold(c, p === 1 ? unary('abs', x) : square(x), shape, axes, 'add', workOf(dtype));
  if (p === 2) c.store(unary('sqrt', load(norm)), norm);
  // A vector of zeros has no direction: it stays zero.
  c.define(output, select(compare('eq', load(norm), zero(x)), zero(x), div(x, load(norm))));
}

function lowerMeanVarianceNormalization(node: NodeOf<'MeanVarianceNormalization'>, c: LowerContext): void {
  const [xName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { dtype, shape } = c.type(xName);
  if (sizeOf(shape) === 0) {
    c.write(output);
    return;
  }
  const x = load(c.read(xName));
  const axes = node.attributes.axes.map((axis) => axisOf(axis, shape.length));
  const { mean, variance } = momentsOf(c, x, shape, axes, workOf(dtype));
  // The function body that defines the operator adds to the deviation, not to the variance.
  c.store(add(unary('sqrt', load(variance)), real(x.rep, 1e-9)), variance);
  c.define(output, div(sub(x, load(mean)), load(variance)));
}

/** Neighbouring channels that are added up in one kernel. */
const MOST_NEIGHBOURS = 5;

function lowerLrn(node: NodeOf<'LRN'>, c: LowerContext): void {
  const [xName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { alpha, beta, bias, size } = node.attributes;
  const { dtype, shape } = c.type(xName);
  if (dtype === 'float64') c.unsupported(dtype, 'float32, float16, bfloat16');
  if (sizeOf(shape) === 0) {
    c.write(output);
    return;
  }
  const channels = shape[1] ?? 1;
  // Further away there is no channel.
  const below = Math.min(Math.floor((size - 1) / 2), channels - 1);
  const above = Math.min(Math.ceil((size - 1) / 2), channels - 1);
  const x = load(c.read(xName));
  // Squares, between channels of zeros.
  const squares = room(c, 'float32', shape.with(1, below + channels + above));
  const starts = (channel: number) => shape.map((_, axis) => (axis === 1 ? channel : 0));
  const nothing = { dtype: 'float32', shape: [], data: Float32Array.of(0) } as const;
  if (below > 0) c.fill(slice(squares, starts(0), shape.with(1, below)), nothing);
  if (above > 0) c.fill(slice(squares, starts(below + channels), shape.with(1, above)), nothing);
  c.store(square(x), slice(squares, starts(below), shape));
  const neighbours = Array.from({ length: below + 1 + above }, (_, i) => load(slice(squares, starts(i), shape)));
  let total: Expression | undefined;
  for (let i = 0; i < neighbours.length; i += MOST_NEIGHBOURS) {
    const part = neighbours
      .slice(i, i + MOST_NEIGHBOURS)
      .reduce<Expression | undefined>((sum, next) => (sum ? add(sum, next) : next), total);
    invariant(part, 'a channel is its own neighbour');
    const last = i + MOST_NEIGHBOURS >= neighbours.length;
    total = last ? part : load(stored(c, part, 'float32', shape));
  }
  invariant(total, 'a channel is its own neighbour');
  const base = stored(c, add(real('f32', bias), mul(real('f32', alpha / size), total)), 'float32', shape);
  c.define(output, div(x, powerOf(load(base), beta)));
}

/** Powers of what is near 1 and above. */
function powerOf(x: Expression, exponent: number): Expression {
  const root = unary('sqrt', x);
  if (exponent === 1) return x;
  if (exponent === 0.5) return root;
  if (exponent === 0.75) return mul(root, unary('sqrt', root));
  return math('exp', mul(real('f32', exponent), math('log', x)));
}

export const normLowerings: Lowerings = {
  BatchNormalization: { lower: lowerBatchNormalization },
  GroupNormalization: {
    lower: (node, c) =>
      grouped(c, node.inputs, node.outputs[0] ?? '', node.attributes.num_groups, node.attributes.epsilon),
  },
  InstanceNormalization: {
    lower: (node, c) => {
      const channels = c.type(node.inputs[0] ?? '').shape[1] ?? 1;
      grouped(c, node.inputs, node.outputs[0] ?? '', channels, node.attributes.epsilon);
    },
  },
  LRN: { lower: lowerLrn },
  LayerNormalization: { lower: lowerLayerNormalization },
  LpNormalization: { lower: lowerLpNormalization },
  MeanVarianceNormalization: { lower: lowerMeanVarianceNormalization },
  RMSNormalization: { lower: lowerRmsNormalization },
};

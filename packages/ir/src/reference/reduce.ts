/**
 * Kernels of the operators in `ops/reduce.ts`.
 *
 * Floats are folded in double, integers exactly, both rounded or wrapped once at the end. Of no elements at all a sum is
 * 0, a product 1, a maximum the lowest value of the type (−∞ of floats), a minimum the highest, a mean NaN (0 of
 * integers). NaN wins every maximum and minimum, and so `ArgMax`, `ArgMin` and `Hardmax`.
 */
import { fromBigs, fromReals, toBigs, toReals } from '../numeric.ts';
import type { reduceOps } from '../ops/reduce.ts';
import { allocate, bytesPerElement, type DType, isBig, isFloat, SIGNED_DTYPES, type Tensor } from '../types.ts';
import { bitsOf, blank, sizeOf } from './indexing.ts';
import type { KernelContext, Kernels } from './kernel.ts';
import { fromFront, linesAlong } from './lines.ts';
import { larger, smaller } from './pointwise.ts';

type Reduction = Pick<KernelContext, 'input' | 'inputs' | 'outputs'> & {
  readonly attributes: { readonly noop_with_empty_axes: number };
};

function axesOf(c: Reduction): readonly number[] {
  const { shape } = c.input(0);
  const given = c.inputs[1] ? Array.from(toReals(c.inputs[1])) : [];
  if (given.length > 0) return given.map((axis) => fromFront(axis, shape.length));
  return c.attributes.noop_with_empty_axes ? [] : shape.map((_, axis) => axis);
}

/** Folds each line of `values`, copied into one array that is used again for the next. */
function foldLines<V extends Float64Array | bigint[], T extends number | bigint>(
  c: Reduction,
  values: ArrayLike<T>,
  line: (length: number) => V,
  fold: (line: V) => T,
  tensor: (dtype: DType, shape: readonly number[], values: ArrayLike<T>) => Tensor,
): readonly Tensor[] {
  const { dtype, shape } = c.outputs[0] as Tensor;
  if (values.length === 0) {
    // All lines are empty and give the same; there may be very many.
    const [same] = tensor(dtype, [], [fold(line(0))]).data;
    return [{ dtype, shape, data: allocate(dtype, sizeOf(shape)).fill(same as never) } as Tensor];
  }
  const { starts, steps } = linesAlong(c.input(0).shape, axesOf(c));
  const buffer = line(steps.length);
  const results = Array.from(starts, (start) => {
    for (let e = 0; e < steps.length; e++) buffer[e] = values[start + (steps[e] ?? 0)] as never;
    return fold(buffer);
  });
  return [tensor(dtype, shape, results)];
}

function reduceReal(c: Reduction, fold: (line: Float64Array) => number): readonly Tensor[] {
  return foldLines(c, toReals(c.input(0)), (length) => new Float64Array(length), fold, fromReals);
}

function reduceInteger(c: Reduction, fold: (line: bigint[]) => bigint): readonly Tensor[] {
  return foldLines(c, toBigs(c.input(0)), (length) => new Array<bigint>(length).fill(0n), fold, fromBigs);
}

/** Floats by `real`, integers and bools by `integer`. */
function reduction(
  real: (line: Float64Array) => number,
  integer: (line: bigint[], dtype: DType) => bigint,
): (c: Reduction) => readonly Tensor[] {
  return (c) => {
    const { dtype } = c.input(0);
    return isFloat(dtype) ? reduceReal(c, real) : reduceInteger(c, (line) => integer(line, dtype));
  };
}

function sum(line: Float64Array): number {
  let total = 0;
  for (let e = 0; e < line.length; e++) total += line[e] ?? 0;
  return total;
}

function sumSquare(line: Float64Array): number {
  let total = 0;
  for (let e = 0; e < line.length; e++) total += (line[e] ?? 0) ** 2;
  return total;
}

function sumAbs(line: Float64Array): number {
  let total = 0;
  for (let e = 0; e < line.length; e++) total += Math.abs(line[e] ?? 0);
  return total;
}

const product = (line: Float64Array): number => line.reduce((a, b) => a * b, 1);
const maximum = (line: Float64Array): number => line.reduce((a, b) => Math.max(a, b), -Infinity);
const minimum = (line: Float64Array): number => line.reduce((a, b) => Math.min(a, b), Infinity);

const sumBig = (line: bigint[]): bigint => line.reduce((a, b) => a + b, 0n);
const sumSquareBig = (line: bigint[]): bigint => line.reduce((a, b) => a + b * b, 0n);

/** ln Σ eˣ = m + ln Σ e^(x − m), m the maximum: no exponential overflows. */
function logSumExp(line: Float64Array): number {
  const max = maximum(line);
  if (!Number.isFinite(max)) return max;
  let total = 0;
  for (let e = 0; e < line.length; e++) total += Math.exp((line[e] ?? 0) - max);
  return max + Math.log(total);
}

/** The square root, rounded down: the double's, made better by one step of Newton and at most a few of 1. */
function rootOf(square: bigint): bigint {
  if (square === 0n) return 0n;
  let root = BigInt(Math.ceil(Math.sqrt(Number(square))));
  root = (root + square / root) / 2n;
  while (root * root > square) root--;
  while ((root + 1n) * (root + 1n) <= square) root++;
  return root;
}

/** Lowest and highest value of an integer dtype or bool. */
function rangeOf(dtype: DType): readonly [bigint, bigint] {
  if (dtype === 'bool') return [0n, 1n];
  const bits = BigInt(8 * bytesPerElement(dtype));
  return SIGNED_DTYPES.includes(dtype) ? [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n] : [0n, (1n << bits) - 1n];
}

/** The elements as the machine compares them: bigints stay exact. */
const comparable = (t: Tensor): ArrayLike<number | bigint> => (isBig(t.dtype) ? t.data : toReals(t));
const isNaNValue = (value: number | bigint): boolean => typeof value === 'number' && Number.isNaN(value);

/** Position of the greatest (or least) of `length` elements; of several the first, or the last. NaN beats all numbers. */
function extremeAt(at: (e: number) => number | bigint, length: number, greatest: boolean, last: boolean): number {
  let found = 0;
  for (let e = 1; e < length; e++) {
    const [best, next] = [at(found), at(e)];
    const beats = isNaNValue(next) ? !isNaNValue(best) : greatest ? next > best : next < best;
    const ties = next === best || (isNaNValue(next) && isNaNValue(best));
    if (beats || (ties && last)) found = e;
  }
  return found;
}

function argument(greatest: boolean) {
  return (c: KernelContext<'ArgMax' | 'ArgMin'>): readonly Tensor[] => {
    const data = c.input(0);
    const { shape } = c.outputs[0] as Tensor;
    const values = comparable(data);
    const { starts, steps } = linesAlong(data.shape, [fromFront(c.attributes.axis, data.shape.length)]);
    const last = c.attributes.select_last_index === 1;
    const found = Array.from(starts, (start) =>
      extremeAt((e) => values[start + (steps[e] ?? 0)] ?? 0, steps.length, greatest, last),
    );
    return [fromReals('int64', shape, found)];
  };
}

/** Runs along each line from the start or, reversed, from the end; exclusive stops before the element itself. */
function accumulate<T extends number | bigint>(
  values: ArrayLike<T>,
  results: { [e: number]: T },
  c: KernelContext<'CumSum' | 'CumProd'>,
  identity: T,
  combine: (a: T, b: T) => T,
): void {
  const { shape } = c.input(0);
  const { exclusive, reverse } = c.attributes;
  const { starts, steps } = linesAlong(shape, [fromFront(toReals(c.input(1))[0] ?? 0, shape.length)]);
  for (const start of starts) {
    let total = identity;
    for (let e = 0; e < steps.length; e++) {
      const place = start + (steps[reverse ? steps.length - 1 - e : e] ?? 0);
      const before = total;
      total = combine(total, values[place] as T);
      results[place] = exclusive ? before : total;
    }
  }
}

function running(identity: number, real: (a: number, b: number) => number, integer: (a: bigint, b: bigint) => bigint) {
  return (c: KernelContext<'CumSum' | 'CumProd'>): readonly Tensor[] => {
    const x = c.input(0);
    if (isFloat(x.dtype)) {
      const results = new Float64Array(x.data.length);
      accumulate(toReals(x), results, c, identity, real);
      return [fromReals(x.dtype, x.shape, results)];
    }
    // Wrapped at 2^64 on the way, which is what keeps the bigints of a long product short.
    const results = new BigInt64Array(x.data.length);
    accumulate(toBigs(x), results, c, BigInt(identity), (a, b) => BigInt.asIntN(64, integer(a, b)));
    return [fromBigs(x.dtype, x.shape, results)];
  };
}

/** Replaces each line along the axis by what `rewrite` makes of it, in place. */
function rewriteLines(
  c: Pick<KernelContext, 'input'> & { readonly attributes: { readonly axis: number } },
  rewrite: (line: Float64Array) => void,
): readonly Tensor[] {
  const x = c.input(0);
  const values = toReals(x);
  const { starts, steps } = linesAlong(x.shape, [fromFront(c.attributes.axis, x.shape.length)]);
  const results = new Float64Array(values.length);
  const line = new Float64Array(steps.length);
  if (values.length === 0) return [fromReals(x.dtype, x.shape, results)];
  for (const start of starts) {
    for (let e = 0; e < line.length; e++) line[e] = values[start + (steps[e] ?? 0)] ?? 0;
    rewrite(line);
    for (let e = 0; e < line.length; e++) results[start + (steps[e] ?? 0)] = line[e] ?? 0;
  }
  return [fromReals(x.dtype, x.shape, results)];
}

export const reduceKernels: Kernels<keyof typeof reduceOps> = {
  ArgMax: argument(true),
  ArgMin: argument(false),
  CumProd: running(
    1,
    (a, b) => a * b,
    (a, b) => a * b,
  ),
  CumSum: running(
    0,
    (a, b) => a + b,
    (a, b) => a + b,
  ),
  Hardmax: (c) =>
    rewriteLines(c, (line) => {
      const found = extremeAt((e) => line[e] ?? 0, line.length, true, false);
      line.fill(0)[found] = 1;
    }),
  LogSoftmax: (c) =>
    rewriteLines(c, (line) => {
      const max = maximum(line);
      // x − m first: the difference is exact near the maximum, where the result is near 0.
      for (let e = 0; e < line.length; e++) line[e] = (line[e] ?? 0) - max;
      const log = Math.log(line.reduce((total, x) => total + Math.exp(x), 0));
      for (let e = 0; e < line.length; e++) line[e] = (line[e] ?? 0) - log;
    }),
  ReduceL1: reduction(sumAbs, (line) => sumBig(line.map((x) => (x < 0n ? -x : x)))),
  ReduceL2: reduction(
    (line) => Math.sqrt(sumSquare(line)),
    (line) => rootOf(sumSquareBig(line)),
  ),
  ReduceLogSum: (c) => reduceReal(c, (line) => Math.log(sum(line))),
  ReduceLogSumExp: (c) => reduceReal(c, logSumExp),
  ReduceMax: reduction(maximum, (line, dtype) => line.reduce(larger, rangeOf(dtype)[0])),
  ReduceMean: reduction(
    (line) => sum(line) / line.length,
    (line) => (line.length === 0 ? 0n : sumBig(line) / BigInt(line.length)),
  ),
  ReduceMin: reduction(minimum, (line, dtype) => line.reduce(smaller, rangeOf(dtype)[1])),
  ReduceProd: reduction(product, (line) => line.reduce((a, b) => BigInt.asIntN(64, a * b), 1n)),
  ReduceSum: reduction(sum, sumBig),
  ReduceSumSquare: reduction(sumSquare, sumSquareBig),
  Softmax: (c) =>
    rewriteLines(c, (line) => {
      const max = maximum(line);
      for (let e = 0; e < line.length; e++) line[e] = Math.exp((line[e] ?? 0) - max);
      const total = sum(line);
      for (let e = 0; e < line.length; e++) line[e] = (line[e] ?? 0) / total;
    }),

  /** In order, NaN above all numbers; what is equal keeps its order. `sorted` = 0 leaves the order open, so it is this one. */
  TopK: (c) => {
    const x = c.input(0);
    const { dtype, shape } = c.outputs[0] as Tensor;
    const axis = fromFront(c.attributes.axis, shape.length);
    const source = linesAlong(x.shape, [axis]);
    const target = linesAlong(shape, [axis]);
    const values = comparable(x);
    const sign = c.attributes.largest ? -1 : 1;
    const order = (a: number | bigint, b: number | bigint): number => {
      if (isNaNValue(a) || isNaNValue(b)) return sign * (Number(isNaNValue(a)) - Number(isNaNValue(b)));
      return a === b ? 0 : a < b ? -sign : sign;
    };
    const from = bitsOf(x.data);
    const { tensor: kept, bits } = blank(dtype, shape);
    const indices = new BigInt64Array(bits.length);
    target.starts.forEach((to, l) => {
      const start = source.starts[l] ?? 0;
      const at = (e: number) => start + (source.steps[e] ?? 0);
      const sorted = Array.from(source.steps, (_, e) => e).sort(
        (a, b) => order(values[at(a)] ?? 0, values[at(b)] ?? 0) || a - b,
      );
      target.steps.forEach((step, rank) => {
        const chosen = sorted[rank] ?? 0;
        bits[to + step] = from[at(chosen)] as number;
        indices[to + step] = BigInt(chosen);
      });
    });
    return [kept, { dtype: 'int64', shape, data: indices }];
  },
};

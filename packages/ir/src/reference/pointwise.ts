/**
 * The loops of the element-wise kernels. Floats, and integers where a double is exact, are computed in double and rounded
 * once at the end; integers where it is not are computed as bigints and wrapped once at the end.
 */
import { fromBigs, fromReals, toBigs, toReals } from '../numeric.ts';
import { isBig, isFloat, type Tensor } from '../types.ts';
import { broadcastIndices, sizeOf } from './indexing.ts';
import type { KernelContext } from './kernel.ts';

/** What the loops need of a kernel's context: the same for every operator. */
export type Values = Pick<KernelContext, 'input' | 'inputs' | 'outputs'>;

/** Of each element of the broadcast shape, the index into a tensor of shape `from`; undefined when it is the same index. */
export function placesIn(from: readonly number[], to: readonly number[]): Float64Array | undefined {
  // Equal sizes differ in axes of length 1 at most, which do not move an element.
  return sizeOf(from) === sizeOf(to) ? undefined : broadcastIndices(from, to);
}

/** `real` of every element, in double. */
export function mapReal(c: Values, real: (x: number) => number): readonly Tensor[] {
  const x = toReals(c.input(0));
  const { dtype, shape } = c.outputs[0] as Tensor;
  const y = new Float64Array(x.length);
  for (let e = 0; e < y.length; e++) y[e] = real(x[e] ?? 0);
  return [fromReals(dtype, shape, y)];
}

/** `real` of every element, or of 64-bit integers `integer`. */
export function map(c: Values, real: (x: number) => number, integer: (x: bigint) => bigint): readonly Tensor[] {
  if (!isBig(c.input(0).dtype)) return mapReal(c, real);
  const { dtype, shape } = c.outputs[0] as Tensor;
  return [fromBigs(dtype, shape, Array.from(toBigs(c.input(0)) as BigInt64Array, integer))];
}

/** `real` of every pair of elements of inputs 0 and 1, in double. */
export function zipReal(c: Values, real: (a: number, b: number) => number): readonly Tensor[] {
  const [a, b] = [c.input(0), c.input(1)];
  const { dtype, shape } = c.outputs[0] as Tensor;
  const [atA, atB] = [placesIn(a.shape, shape), placesIn(b.shape, shape)];
  const [x, y] = [toReals(a), toReals(b)];
  const z = new Float64Array(sizeOf(shape));
  for (let e = 0; e < z.length; e++) z[e] = real(x[atA ? (atA[e] ?? 0) : e] ?? 0, y[atB ? (atB[e] ?? 0) : e] ?? 0);
  return [fromReals(dtype, shape, z)];
}

/** `integer` of every pair of elements of inputs 0 and 1, exactly. */
export function zipInteger(c: Values, integer: (a: bigint, b: bigint) => bigint): readonly Tensor[] {
  const [a, b] = [c.input(0), c.input(1)];
  const { dtype, shape } = c.outputs[0] as Tensor;
  const [atA, atB] = [placesIn(a.shape, shape), placesIn(b.shape, shape)];
  const [x, y] = [toBigs(a), toBigs(b)];
  // Stored modulo 2^64, which loses nothing that the output's own wrapping would keep.
  const z = new BigInt64Array(sizeOf(shape));
  for (let e = 0; e < z.length; e++) z[e] = integer(x[atA ? (atA[e] ?? 0) : e] ?? 0n, y[atB ? (atB[e] ?? 0) : e] ?? 0n);
  return [fromBigs(dtype, shape, z)];
}

/** Pairs of floats by `real`, pairs of integers by `integer`. */
export function zip(
  c: Values,
  real: (a: number, b: number) => number,
  integer: (a: bigint, b: bigint) => bigint,
): readonly Tensor[] {
  return isFloat(c.input(0).dtype) ? zipReal(c, real) : zipInteger(c, integer);
}

/** The predicate of every pair, for any dtype: JavaScript compares bigints and numbers with the same operators. */
export function compare(c: Values, predicate: (a: number | bigint, b: number | bigint) => boolean): readonly Tensor[] {
  const [a, b] = [c.input(0), c.input(1)];
  const { shape } = c.outputs[0] as Tensor;
  const [atA, atB] = [placesIn(a.shape, shape), placesIn(b.shape, shape)];
  const elements = (t: Tensor): ArrayLike<number | bigint> => (isBig(t.dtype) ? t.data : toReals(t));
  const [x, y] = [elements(a), elements(b)];
  const data = new Uint8Array(sizeOf(shape));
  for (let e = 0; e < data.length; e++)
    data[e] = predicate(x[atA ? (atA[e] ?? 0) : e] ?? 0, y[atB ? (atB[e] ?? 0) : e] ?? 0) ? 1 : 0;
  return [{ dtype: 'bool', shape, data }];
}

/** Folds all inputs, broadcast, element by element; `finish` is given the number of inputs. */
export function foldReal(
  c: Values,
  real: (a: number, b: number) => number,
  finish: (value: number, count: number) => number = (value) => value,
): readonly Tensor[] {
  const { dtype, shape } = c.outputs[0] as Tensor;
  const total = new Float64Array(sizeOf(shape));
  c.inputs.forEach((_, i) => {
    const input = c.input(i);
    const [x, at] = [toReals(input), placesIn(input.shape, shape)];
    for (let e = 0; e < total.length; e++) {
      const element = x[at ? (at[e] ?? 0) : e] ?? 0;
      total[e] = i === 0 ? element : real(total[e] ?? 0, element);
    }
  });
  for (let e = 0; e < total.length; e++) total[e] = finish(total[e] ?? 0, c.inputs.length);
  return [fromReals(dtype, shape, total)];
}

/** {@link foldReal} for a choice among the inputs, which is exact for 64-bit integers too. */
export function foldChoice(
  c: Values,
  real: (a: number, b: number) => number,
  integer: (a: bigint, b: bigint) => bigint,
): readonly Tensor[] {
  const { dtype, shape } = c.outputs[0] as Tensor;
  if (!isBig(dtype)) return foldReal(c, real);
  const chosen = new Array<bigint>(sizeOf(shape)).fill(0n);
  c.inputs.forEach((_, i) => {
    const input = c.input(i);
    const [x, at] = [toBigs(input), placesIn(input.shape, shape)];
    for (let e = 0; e < chosen.length; e++) {
      const element = x[at ? (at[e] ?? 0) : e] ?? 0n;
      chosen[e] = i === 0 ? element : integer(chosen[e] ?? 0n, element);
    }
  });
  return [fromBigs(dtype, shape, chosen)];
}

/** `Math.max` and `Math.min` for bigints. */
export function larger(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}

export function smaller(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

/** The same elements, bit for bit, in memory of their own. */
export function copyOf(value: Tensor): Tensor {
  return { dtype: value.dtype, shape: value.shape, data: value.data.slice() } as Tensor;
}

/**
 * Multiply-accumulate in the three arithmetics that tensors need: floats in doubles, integers of up to 32 bits modulo
 * 2^32, 64-bit integers modulo 2^64. Wrapping to fewer bits commutes with sums and products, so storing wraps rightly.
 */
import { fromReals, toReals } from '../numeric.ts';
import { type DType, isBig, isFloat, type Tensor } from '../types.ts';

export interface Arithmetic<A> {
  zeros(length: number): A;
  load(tensor: Tensor): A;
  store(dtype: DType, shape: readonly number[], values: A): Tensor;
  /** y[yi + i·ys] += a[ai + i·as] · b[bi + i·bs] for i < count. */
  accumulate(
    y: A,
    yi: number,
    ys: number,
    a: A,
    ai: number,
    as: number,
    b: A,
    bi: number,
    bs: number,
    count: number,
  ): void;
  /** The values times a factor, a whole number for integers. */
  scale(values: A, factor: number): A;
}

/** What inner loops read floats from: few kinds of array, so that they compile to fast code. */
export type Reals = Float64Array | Float32Array;

/** The elements as floats, to be read only: float32 weights may be large and are not copied. */
export function readReals(tensor: Tensor): Reals {
  return tensor.dtype === 'float32' ? (tensor.data as Float32Array) : toDoubles(tensor);
}

/** A copy in doubles, to be written to. */
export function toDoubles(tensor: Tensor): Float64Array {
  return new Float64Array(toReals(tensor));
}

export const real: Arithmetic<Reals> = {
  zeros: (length) => new Float64Array(length),
  load: readReals,
  store: fromReals,
  accumulate(y, yi, ys, a, ai, as, b, bi, bs, count) {
    if (as === 0 && ys === 1 && bs === 1) {
      const factor = a[ai] as number;
      for (let i = 0; i < count; i++) y[yi + i] = (y[yi + i] as number) + factor * (b[bi + i] as number);
      return;
    }
    if (ys === 0) {
      let sum = y[yi] as number;
      for (let i = 0; i < count; i++, ai += as, bi += bs) sum += (a[ai] as number) * (b[bi] as number);
      y[yi] = sum;
      return;
    }
    for (let i = 0; i < count; i++, yi += ys, ai += as, bi += bs)
      y[yi] = (y[yi] as number) + (a[ai] as number) * (b[bi] as number);
  },
  scale: (values, factor) => Float64Array.from(values, (value) => value * factor),
};

const word: Arithmetic<Int32Array> = {
  zeros: (length) => new Int32Array(length),
  load: (tensor) => new Int32Array(tensor.data as Int32Array),
  store: fromReals,
  accumulate(y, yi, ys, a, ai, as, b, bi, bs, count) {
    for (let i = 0; i < count; i++, yi += ys, ai += as, bi += bs)
      y[yi] = (y[yi] as number) + Math.imul(a[ai] as number, b[bi] as number);
  },
  scale(values, factor) {
    const whole = Number(BigInt.asIntN(32, BigInt(factor)));
    return values.map((value) => Math.imul(value, whole));
  },
};

const long: Arithmetic<BigInt64Array> = {
  zeros: (length) => new BigInt64Array(length),
  load: (tensor) => new BigInt64Array(tensor.data as BigInt64Array),
  store(dtype, shape, values) {
    const data = dtype === 'uint64' ? new BigUint64Array(values.buffer) : values;
    return { dtype, shape, data } as Tensor;
  },
  accumulate(y, yi, ys, a, ai, as, b, bi, bs, count) {
    for (let i = 0; i < count; i++, yi += ys, ai += as, bi += bs)
      y[yi] = (y[yi] as bigint) + (a[ai] as bigint) * (b[bi] as bigint);
  },
  scale(values, factor) {
    const whole = BigInt(factor);
    return values.map((value) => value * whole);
  },
};

/** Calls `compute` with the arithmetic of `dtype`. */
export function withArithmetic(dtype: DType, compute: <A>(arithmetic: Arithmetic<A>) => Tensor): Tensor {
  if (isFloat(dtype)) return compute(real);
  return isBig(dtype) ? compute(long) : compute(word);
}

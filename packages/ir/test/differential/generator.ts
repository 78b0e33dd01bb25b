/** Random tensors, shapes and attributes for the differential test, all from one seed. */
import { fromBigs, fromReals } from '../../src/numeric.ts';
import { type DType, isBig, isFloat, type Tensor } from '../../src/types.ts';
import { Random } from '../fuzz/random.ts';

export class Generator extends Random {
  /** `low` … `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  one<const T>(...items: readonly T[]): T {
    return this.pick(items) as T;
  }

  /** A list of `count` integers from `low` to `high`. */
  list(count: number, low: number, high: number): number[] {
    return Array.from({ length: count }, () => this.between(low, high));
  }

  shape(minRank: number, maxRank: number, longest = 4): number[] {
    return this.list(this.between(minRank, maxRank), 1, longest);
  }

  /** 0 … count − 1 in random order. */
  order(count: number): number[] {
    const result = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [result[i], result[j]] = [result[j] as number, result[i] as number];
    }
    return result;
  }

  /** An axis of `rank`, counted from either end. */
  axis(rank: number): number {
    return this.between(-rank, rank - 1);
  }

  /** At least one axis, none twice, some counted from the end. */
  axes(rank: number, least = 1): number[] {
    return this.order(rank)
      .slice(0, this.between(least, rank))
      .map((axis) => (this.oneIn(3) ? axis - rank : axis));
  }

  /** Elements from `low` to `high`: floats with a fraction, integers whole. */
  tensor(dtype: DType, shape: readonly number[], low = -4, high = 4): Tensor {
    const count = shape.reduce((product, dim) => product * dim, 1);
    if (isFloat(dtype))
      return fromReals(
        dtype,
        shape,
        Array.from({ length: count }, () => low + (this.bits() / 2 ** 32) * (high - low)),
      );
    const least = dtype.startsWith('u') ? Math.max(low, 0) : low;
    return this.whole(dtype, shape, this.list(count, least, Math.max(high, least)));
  }

  /** Elements that differ from one another: what decides ties is tested by hand. */
  distinct(dtype: DType, shape: readonly number[]): Tensor {
    const count = shape.reduce((product, dim) => product * dim, 1);
    return this.whole(
      dtype,
      shape,
      this.order(count).map((i) => (dtype.startsWith('u') ? i : i - (count >> 1))),
    );
  }

  whole(dtype: DType, shape: readonly number[], values: readonly number[]): Tensor {
    return isBig(dtype) ? fromBigs(dtype, shape, values.map(BigInt)) : fromReals(dtype, shape, values);
  }

  /** An int64 vector, or a scalar from a number. */
  int64(values: readonly number[] | number): Tensor {
    return typeof values === 'number'
      ? this.whole('int64', [], [values])
      : this.whole('int64', [values.length], values);
  }

  /** Some of the axes of a shape made 1, and some leading ones left out: what broadcasts to it. */
  narrower(shape: readonly number[]): number[] {
    return shape.slice(this.oneIn(3) ? this.below(shape.length + 1) : 0).map((dim) => (this.oneIn(3) ? 1 : dim));
  }
}

import { type DType, fromReals, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compareTensors, describeDifference, dotTolerance, toleranceOf } from '../src/index.ts';

const make = (dtype: DType, values: readonly number[], shape: readonly number[] = [values.length]): Tensor =>
  fromReals(dtype, shape, values);
const bigs = (...values: bigint[]): Tensor => ({
  dtype: 'int64',
  shape: [values.length],
  data: BigInt64Array.from(values),
});

describe('compareTensors', () => {
  it('accepts what is within the tolerance and refuses what is just outside', () => {
    const { rtol, atol } = toleranceOf('float64');
    const bound = atol + rtol * 100;
    expect(compareTensors(make('float64', [100 + 0.99 * bound]), make('float64', [100])).equal).toBe(true);
    expect(compareTensors(make('float64', [100 + 1.01 * bound]), make('float64', [100])).equal).toBe(false);
  });

  it('takes NaN as equal to NaN, an infinity to itself alone, and a zero to its negative', () => {
    const pairs: [number, number, boolean][] = [
      [NaN, NaN, true],
      [NaN, 1, false],
      [1, NaN, false],
      [Infinity, Infinity, true],
      [Infinity, -Infinity, false],
      [3e38, Infinity, false],
      [Infinity, 3e38, false],
      [-0, 0, true],
    ];
    for (const [found, expected, equal] of pairs)
      expect(
        compareTensors(make('float32', [found]), make('float32', [expected])).equal,
        `${found} for ${expected}`,
      ).toBe(equal);
  });

  it('is exact for integers and bools, also beyond 2^53', () => {
    expect(compareTensors(make('int32', [1_000_001]), make('int32', [1_000_000])).equal).toBe(false);
    expect(compareTensors(make('bool', [1]), make('bool', [0])).equal).toBe(false);
    expect(compareTensors(bigs(2n ** 53n), bigs(2n ** 53n)).equal).toBe(true);
    const close = compareTensors(bigs(2n ** 53n + 1n), bigs(2n ** 53n));
    expect(close).toMatchObject({ equal: false, mismatches: 1, maxAbsolute: 1 });
    expect(describeDifference(close)).toContain('9007199254740993, expected 9007199254740992');
  });

  it('says where the largest difference is and how large', () => {
    const found = make('float32', [1, 2, 3, 4, 5, 60], [2, 3]);
    const expected = make('float32', [1, 2, 3, 4, 5, 6], [2, 3]);
    expect(describeDifference(compareTensors(found, expected))).toBe(
      'differs in 1 of 6: [1, 2] is 60, expected 6, off by 54',
    );
  });

  it('names another type or shape', () => {
    expect(describeDifference(compareTensors(make('float32', [1, 2]), make('float64', [1, 2])))).toBe(
      'is float32 [2], expected float64 [2]',
    );
    expect(compareTensors(make('int8', [1, 2], [2, 1]), make('int8', [1, 2], [1, 2])).equal).toBe(false);
  });

  it('accepts empty tensors of the same shape', () => {
    expect(compareTensors(make('float32', [], [0, 3]), make('float32', [], [0, 3])).equal).toBe(true);
    expect(compareTensors(make('float32', [], [0, 3]), make('float32', [], [0, 4])).equal).toBe(false);
  });
});

describe('dotTolerance', () => {
  /** A sum of K products in float32, one rounding per step, and what it should be. */
  function dot(a: readonly number[], b: readonly number[], round: (x: number) => number) {
    let rounded = 0;
    let exact = 0;
    let magnitude = 0;
    a.forEach((x, i) => {
      const y = b[i] ?? 0;
      rounded = round(rounded + round(x * y));
      exact += x * y;
      magnitude += Math.abs(x * y);
    });
    return { error: Math.abs(rounded - exact), magnitude };
  }
  function operands(k: number, seed: number): [number[], number[]] {
    let state = seed;
    const next = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.fround(state / 2 ** 31 - 1);
    };
    return [Array.from({ length: k }, next), Array.from({ length: k }, next)];
  }

  it('holds for float32 sums of every length, also where they cancel', () => {
    for (const k of [1, 2, 7, 64, 1000, 4608]) {
      const [a, b] = operands(k, k);
      const { error, magnitude } = dot(a, b, Math.fround);
      expect(error).toBeLessThanOrEqual(dotTolerance('float32', k, magnitude));
      const cancelling = dot([...a, ...a], [...b, ...b.map((x) => -x)], Math.fround);
      expect(cancelling.error).toBeLessThanOrEqual(dotTolerance('float32', 2 * k, cancelling.magnitude));
    }
  });

  it('finds weights that were rounded to 16 bits by mistake', () => {
    let found = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const [a, b] = operands(256, seed);
      const { magnitude } = dot(a, b, Math.fround);
      const exact = a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
      const short = a.reduce((sum, x, i) => sum + Math.f16round(x) * (b[i] ?? 0), 0);
      if (Math.abs(short - exact) > dotTolerance('float32', 256, magnitude)) found++;
    }
    expect(found).toBeGreaterThan(75);
  });

  it('is zero for integers', () => {
    expect(dotTolerance('int32', 4608, 1e9)).toBe(0);
  });
});

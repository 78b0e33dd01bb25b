import { describe, expect, it } from 'vitest';
import {
  fromBfloat16,
  fromBigs,
  fromFloat16,
  fromReals,
  roundTiesToEven,
  toBfloat16,
  toBigs,
  toFloat16,
  toReal,
  toReals,
} from './numeric.ts';
import { INTEGER_DTYPES, type Tensor } from './types.ts';

const elements = (tensor: Tensor): (number | bigint)[] => Array.from(tensor.data as ArrayLike<number | bigint>);

interface Format {
  readonly name: string;
  readonly exponentBits: number;
  readonly fractionBits: number;
  readonly from: (bits: number) => number;
  readonly to: (value: number) => number;
}

const FORMATS: readonly Format[] = [
  { name: 'float16', exponentBits: 5, fractionBits: 10, from: fromFloat16, to: toFloat16 },
  { name: 'bfloat16', exponentBits: 8, fractionBits: 7, from: fromBfloat16, to: toBfloat16 },
];

/** The value of a pattern by the IEEE 754 definition: (-1)^s · 2^(e - bias) · 1.f, or 2^(1 - bias) · 0.f when e is 0. */
function defined({ exponentBits, fractionBits }: Format, bits: number): number {
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = Math.floor((bits % 0x8000) / 2 ** fractionBits);
  const fraction = (bits % 2 ** fractionBits) / 2 ** fractionBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

const PATTERNS = Array.from({ length: 65536 }, (_, bits) => bits);

/** The doubles next to a positive finite one. */
function neighbour(value: number, direction: 1 | -1): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  view.setBigInt64(0, view.getBigInt64(0) + BigInt(direction));
  return view.getFloat64(0);
}

describe.each(FORMATS)('$name', (format) => {
  const { exponentBits, fractionBits, from, to } = format;
  const infinity = (2 ** exponentBits - 1) * 2 ** fractionBits;
  const quiet = infinity + 2 ** (fractionBits - 1);

  it('T6: all 65,536 patterns have the value that IEEE 754 defines', () => {
    const wrong = PATTERNS.filter((bits) => !Object.is(from(bits), defined(format, bits)));
    expect(wrong).toEqual([]);
  });

  it('T6: every pattern comes back from its value, and every NaN as the quiet one', () => {
    const expected = (bits: number) => (Number.isNaN(defined(format, bits)) ? quiet : bits);
    expect(PATTERNS.filter((bits) => to(defined(format, bits)) !== expected(bits))).toEqual([]);
  });

  it('T6: between two neighbours the nearer is taken, and half-way the one with the even pattern', () => {
    const wrong: number[] = [];
    // The last pair is the largest finite value and the power of two that stands in infinity's place.
    for (let bits = 0; bits < infinity; bits++) {
      const low = defined(format, bits);
      const high =
        bits + 1 === infinity ? 2 * defined(format, infinity - 2 ** fractionBits) : defined(format, bits + 1);
      const middle = (low + high) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const right =
        to(middle) === even &&
        to(neighbour(middle, -1)) === bits &&
        to(neighbour(middle, 1)) === bits + 1 &&
        to(-middle) === even + 0x8000 &&
        to(-neighbour(middle, -1)) === bits + 0x8000 &&
        to(-neighbour(middle, 1)) === bits + 1 + 0x8000;
      if (!right) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });

  it('T6: what is too large becomes infinity, what is too small zero of the same sign', () => {
    expect([Infinity, -Infinity, Number.MAX_VALUE, -1e300].map(to)).toEqual([
      infinity,
      infinity + 0x8000,
      infinity,
      infinity + 0x8000,
    ]);
    expect([0, -0, Number.MIN_VALUE, -Number.MIN_VALUE].map(to)).toEqual([0, 0x8000, 0, 0x8000]);
  });
});

it('T6: a double is rounded to float16 once, not through float32', () => {
  // 1 + 2^-11 is half-way between two float16; the 2^-40 more is lost in a float32, and with it the direction.
  const value = 1 + 2 ** -11 + 2 ** -40;
  expect(fromFloat16(toFloat16(value))).toBe(1 + 2 ** -10);
  expect(fromFloat16(toFloat16(Math.fround(value)))).toBe(1);
});

describe('roundTiesToEven', () => {
  it.each([
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [-0.5, -0],
    [-1.5, -2],
    [-2.5, -2],
    [-0.2, -0],
    [-0, -0],
    [0.49999999999999994, 0],
    [-0.49999999999999994, -0],
    [2.4999999999999996, 2],
    [4503599627370495.5, 4503599627370496],
    [4503599627370497, 4503599627370497],
    [Infinity, Infinity],
    [-Infinity, -Infinity],
    [Number.NaN, Number.NaN],
  ])('gives of %d %d', (value, expected) => {
    expect(roundTiesToEven(value)).toBe(expected);
  });
});

describe('tensors of doubles', () => {
  it('cut floats toward zero, wrap what integers cannot hold, and make 0 of NaN and infinity', () => {
    const values = [-1.9, 1.9, 300.5, -129, 2 ** 32 + 7, Number.NaN, Infinity, -Infinity];
    const of = (dtype: Tensor['dtype']) => elements(fromReals(dtype, [8], values));
    expect(of('int8')).toEqual([-1, 1, 44, 127, 7, 0, 0, 0]);
    expect(of('uint8')).toEqual([255, 1, 44, 127, 7, 0, 0, 0]);
    expect(of('int32')).toEqual([-1, 1, 300, -129, 7, 0, 0, 0]);
    expect(of('uint32')).toEqual([4294967295, 1, 300, 4294967167, 7, 0, 0, 0]);
    expect(of('int64')).toEqual([-1n, 1n, 300n, -129n, 4294967303n, 0n, 0n, 0n]);
    expect(of('uint64').slice(0, 2)).toEqual([2n ** 64n - 1n, 1n]);
    expect(of('bool')).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
    expect(elements(fromReals('bool', [2], [0, -0]))).toEqual([0, 0]);
  });

  it('wrap 64-bit integers far outside 64 bits', () => {
    expect(elements(fromReals('int64', [3], [2 ** 63, -(2 ** 64), 2 ** 65 + 2 ** 20]))).toEqual([
      -(2n ** 63n),
      0n,
      2n ** 20n,
    ]);
  });

  it('are read back as they were stored', () => {
    for (const dtype of ['float16', 'bfloat16', 'float32', 'float64'] as const)
      expect(Array.from(toReals(fromReals(dtype, [4], [0, -0, 1.5, Infinity])))).toEqual([0, -0, 1.5, Infinity]);
    const tensor = fromReals('bfloat16', [2], [3, -7]);
    expect([toReal(tensor, 0), toReal(tensor, 1)]).toEqual([3, -7]);
    expect(toReal(fromReals('int64', [1], [5]), 0)).toBe(5);
  });

  it('of integers come from bigints modulo 2^bits', () => {
    for (const dtype of INTEGER_DTYPES) {
      const tensor = fromBigs(dtype, [3], [2n ** 64n + 3n, -1n, 2n ** 80n]);
      const bits = BigInt(8 * tensor.data.BYTES_PER_ELEMENT);
      const wrap = dtype.startsWith('u') ? BigInt.asUintN : BigInt.asIntN;
      expect(Array.from(toBigs(tensor))).toEqual([3n, wrap(Number(bits), -1n), 0n]);
    }
  });
});

import { describe, expect, it } from 'vitest';
import { type DType, FLOAT_DTYPES, type Tensor } from '../../src/types.ts';
import { elements, inferOp, reals, refusal, runOp, t } from '../run.ts';

const f = (...values: number[]): Tensor => t('float64', [values.length], values);
const { NaN: nan } = Number;

describe('broadcasting', () => {
  it('stretches axes of length 1 and adds axes on the left', () => {
    const [sum] = runOp('Add', [t('float32', [2, 1], [10, 20]), t('float32', [3], [1, 2, 3])]);
    expect(sum?.shape).toEqual([2, 3]);
    expect(elements(sum)).toEqual([11, 12, 13, 21, 22, 23]);
  });

  it('stretches a scalar, and the left input as well as the right', () => {
    expect(elements(runOp('Sub', [t('int32', [], [1]), t('int32', [2, 2], [1, 2, 3, 4])])[0])).toEqual([0, -1, -2, -3]);
    expect(elements(runOp('Sub', [t('int64', [1, 2], [1, 2]), t('int64', [2, 1], [1, 2])])[0])).toEqual([
      0n,
      1n,
      -1n,
      0n,
    ]);
  });

  it('gives an empty result for an empty input', () => {
    const [product] = runOp('Mul', [t('float32', [0, 3], []), t('float32', [3], [1, 2, 3])]);
    expect(product?.shape).toEqual([0, 3]);
    expect(runOp('Max', [t('float32', [1, 0], []), t('float32', [4, 1], [1, 2, 3, 4])])[0]?.shape).toEqual([4, 0]);
  });

  it('is refused when two lengths differ and none is 1', () => {
    const { code, message } = refusal(() => runOp('Add', [t('float32', [2], [1, 2]), t('float32', [3], [1, 2, 3])]));
    expect(code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(message).toContain('2 meets 3');
  });

  it('G13: a result larger than any tensor may be is refused before it is made', () => {
    const column = t('float32', [65536, 1], new Array(65536).fill(0));
    const row = t('float32', [65536], new Array(65536).fill(0));
    expect(refusal(() => runOp('Add', [column, row])).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });

  it('goes over all inputs of a variadic operator', () => {
    const inputs = [t('float32', [2, 1], [3, 6]), t('float32', [2], [6, 0]), t('float32', [], [3])];
    expect(elements(runOp('Sum', inputs)[0])).toEqual([12, 6, 15, 9]);
    expect(elements(runOp('Mean', inputs)[0])).toEqual([4, 2, 5, 3]);
    expect(elements(runOp('Max', inputs)[0])).toEqual([6, 3, 6, 6]);
    expect(elements(runOp('Min', inputs)[0])).toEqual([3, 0, 3, 0]);
    expect(elements(runOp('Max', [t('float32', [1], [5])])[0])).toEqual([5]);
  });

  it('of names for lengths keeps what is certain', () => {
    const float = (shape: readonly (string | number)[]) => ({ dtype: 'float32' as const, shape });
    expect(inferOp('Add', [float(['N', 3]), float(['N', 1])])[0]?.shape).toEqual(['N', 3]);
    expect(inferOp('Add', [float(['N', 3]), float([5, 1])])[0]?.shape).toEqual([5, 3]);
    expect(inferOp('Add', [{ dtype: 'float32', shape: null }, float([5, 1])])[0]?.shape).toBeNull();
  });
});

describe('integers', () => {
  it('wrap at their width, and 64 bits are exact', () => {
    expect(elements(runOp('Add', [t('int8', [1], [127]), t('int8', [1], [1])])[0])).toEqual([-128]);
    expect(elements(runOp('Sub', [t('uint16', [1], [0]), t('uint16', [1], [1])])[0])).toEqual([65535]);
    const big = 2n ** 53n + 1n;
    expect(elements(runOp('Add', [t('int64', [1], [big]), t('int64', [1], [1n])])[0])).toEqual([big + 1n]);
    expect(elements(runOp('Mul', [t('uint64', [1], [2n ** 63n]), t('uint64', [1], [2n])])[0])).toEqual([0n]);
    // 65535 · 65537 + … : the product of two 32-bit integers needs 64 bits before it wraps.
    expect(elements(runOp('Mul', [t('int32', [1], [2147483647]), t('int32', [1], [2147483647])])[0])).toEqual([1]);
    expect(elements(runOp('Neg', [t('int8', [2], [-128, 5])])[0])).toEqual([-128, -5]);
    expect(elements(runOp('Abs', [t('int64', [2], [-(2n ** 63n), -5n])])[0])).toEqual([-(2n ** 63n), 5n]);
  });

  it('are divided toward zero, and by zero give 0', () => {
    const [a, b] = [t('int32', [5], [7, -7, 7, -7, 7]), t('int32', [5], [2, 2, -2, -2, 0])];
    expect(elements(runOp('Div', [a, b])[0])).toEqual([3, -3, -3, 3, 0]);
    expect(elements(runOp('Div', [t('int64', [2], [-7n, 1n]), t('int64', [2], [2n, 0n])])[0])).toEqual([-3n, 0n]);
    expect(elements(runOp('Div', [t('int32', [1], [-(2 ** 31)]), t('int32', [1], [-1])])[0])).toEqual([-(2 ** 31)]);
    expect(elements(runOp('Mod', [a, b])[0])).toEqual([1, 1, -1, -1, 0]);
    expect(elements(runOp('Mod', [a, b], { fmod: 1 })[0])).toEqual([1, -1, 1, -1, 0]);
    expect(elements(runOp('Mod', [t('int64', [1], [-7n]), t('int64', [1], [3n])])[0])).toEqual([2n]);
  });

  it('are shifted and combined bit by bit', () => {
    const [x, by] = [t('uint8', [4], [16, 4, 255, 1]), t('uint8', [4], [1, 2, 4, 8])];
    expect(elements(runOp('BitShift', [x, by], { direction: 'LEFT' })[0])).toEqual([32, 16, 240, 0]);
    expect(elements(runOp('BitShift', [x, by], { direction: 'RIGHT' })[0])).toEqual([8, 1, 15, 0]);
    const far = [t('uint64', [2], [1n, 1n]), t('uint64', [2], [63n, 2n ** 63n])];
    expect(elements(runOp('BitShift', far, { direction: 'LEFT' })[0])).toEqual([2n ** 63n, 0n]);
    const [a, b] = [t('int16', [2], [6, -1]), t('int16', [2], [3, 5])];
    expect(elements(runOp('BitwiseAnd', [a, b])[0])).toEqual([2, 5]);
    expect(elements(runOp('BitwiseOr', [a, b])[0])).toEqual([7, -1]);
    expect(elements(runOp('BitwiseXor', [a, b])[0])).toEqual([5, -6]);
    expect(elements(runOp('BitwiseNot', [t('uint32', [2], [0, 5])])[0])).toEqual([4294967295, 4294967290]);
    expect(elements(runOp('BitwiseNot', [t('int64', [1], [5n])])[0])).toEqual([-6n]);
  });

  it('G14: a shift without a direction is refused', () => {
    const x = t('uint8', [1], [1]);
    expect(refusal(() => runOp('BitShift', [x, x])).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });
});

describe('Pow', () => {
  it('takes a base and an exponent of different types and gives the base', () => {
    const cases: [DType, number[], DType, number[], (number | bigint)[]][] = [
      ['float32', [1, 2, 3], 'int64', [4, 5, 6], [1, 32, 729]],
      ['int64', [1, 2, 3], 'float32', [4, 5, 6], [1n, 32n, 729n]],
      ['int32', [2, -3, 4], 'int32', [10, 3, 0], [1024, -27, 1]],
      ['float64', [4, 2, 8], 'float16', [0.5, -1, 1], [2, 0.5, 8]],
      ['int32', [9], 'float32', [0.5], [3]],
    ];
    for (const [base, x, exponent, y, expected] of cases)
      expect(elements(runOp('Pow', [t(base, [x.length], x), t(exponent, [y.length], y)])[0])).toEqual(expected);
  });

  it('of integers is exact, wraps, and divides for a negative exponent', () => {
    const pow = (a: bigint, b: bigint) => elements(runOp('Pow', [t('int64', [], [a]), t('int64', [], [b])])[0])[0];
    expect(pow(3n, 39n)).toBe(4052555153018976267n);
    expect(pow(2n, 64n)).toBe(0n);
    expect(pow(-1n, 2n ** 62n + 1n)).toBe(-1n);
    expect([pow(2n, -1n), pow(1n, -5n), pow(-1n, -3n), pow(-1n, -4n), pow(0n, -1n)]).toEqual([0n, 1n, -1n, 1n, 0n]);
  });

  it('of 1, and of -1 to infinity, is 1 as in C', () => {
    const [result] = runOp('Pow', [f(1, 1, -1, -1, 0, nan), f(nan, Infinity, Infinity, -Infinity, 0, 0)]);
    expect(elements(result)).toEqual([1, 1, 1, 1, 1, 1]);
  });
});

describe('floats', () => {
  it('Mod follows fmod of C, and without fmod = 1 is refused', () => {
    const [a, b] = [f(-4.3, 7.2, 5, 1, Infinity), f(2.1, -3.4, 8, 0, 1)];
    const [result] = runOp('Mod', [a, b], { fmod: 1 });
    expect(reals(result).map((x) => Math.round(x * 1e9) / 1e9)).toEqual([-0.1, 0.4, 5, nan, nan]);
    expect(refusal(() => runOp('Mod', [a, b])).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });

  it('Round goes to the even neighbour and keeps the sign of zero', () => {
    const [result] = runOp('Round', [f(0.9, 2.5, 2.3, 1.5, -4.5, -0.3, nan, -Infinity)]);
    expect(elements(result)).toEqual([1, 2, 2, 2, -4, -0, nan, -Infinity]);
  });

  it('Max and Min give NaN where any input is NaN', () => {
    expect(elements(runOp('Max', [f(1, nan, 3), f(nan, 2, 4)])[0])).toEqual([nan, nan, 4]);
    expect(elements(runOp('Min', [f(1, nan, 3), f(nan, 2, 4)])[0])).toEqual([nan, nan, 3]);
    const big = [t('int64', [1], [2n ** 60n]), t('int64', [1], [2n ** 60n + 1n])];
    expect(elements(runOp('Max', big)[0])).toEqual([2n ** 60n + 1n]);
    expect(elements(runOp('Min', big)[0])).toEqual([2n ** 60n]);
  });

  it('Sign of both zeros is +0, and of NaN NaN', () => {
    expect(elements(runOp('Sign', [f(-3, -0, 0, 2, nan)])[0])).toEqual([-1, 0, 0, 1, nan]);
    expect(elements(runOp('Sign', [t('int64', [3], [-9n, 0n, 9n])])[0])).toEqual([-1n, 0n, 1n]);
  });

  it('division and logarithm at zero give infinities', () => {
    expect(elements(runOp('Div', [f(1, -1, 0), f(0, 0, 0)])[0])).toEqual([Infinity, -Infinity, nan]);
    expect(elements(runOp('Reciprocal', [f(0, -0, 4)])[0])).toEqual([Infinity, -Infinity, 0.25]);
    expect(elements(runOp('Log', [f(0, 1, -1)])[0])).toEqual([-Infinity, 0, nan]);
    expect(elements(runOp('Sqrt', [f(4, -1, 0)])[0])).toEqual([2, nan, 0]);
  });

  it('of 16 bits are computed in double and rounded once', () => {
    // 2048 + 1 + 1: each addend alone is lost in float16 (spacing 2), both together are not.
    const parts = [2048, 1, 1].map((value) => t('float16', [1], [value]));
    expect(reals(runOp('Sum', parts)[0])).toEqual([2050]);
    // 256 · 257 = 65792 passes the largest float16, 65504.
    expect(reals(runOp('Mul', [t('float16', [1], [256]), t('float16', [1], [257])])[0])).toEqual([Infinity]);
    expect(reals(runOp('Exp', [t('bfloat16', [1], [1])])[0])).toEqual([2.71875]);
  });

  it('Erf is within 1e-15 of the tabulated values', () => {
    // The first ten digits are in Abramowitz and Stegun, table 7.1; the rest from an evaluation with 40 digits.
    const [result] = runOp('Erf', [f(0, 0.5, 1, 2, 3, -1, 7, -Infinity, nan)]);
    const table = [0, 0.5204998778130465, 0.8427007929497149, 0.9953222650189527, 0.9999779095030014];
    const expected = [...table, -0.8427007929497149, 1, -1];
    expected.forEach((value, i) => {
      expect(Math.abs((reals(result)[i] ?? 9) - value)).toBeLessThanOrEqual(1e-15);
    });
    expect(reals(result)[8]).toBeNaN();
    expect(Object.is(reals(runOp('Erf', [f(-0)])[0])[0], -0)).toBe(true);
  });

  it.each([
    ['Acos', -1, Math.PI],
    ['Acosh', 1, 0],
    ['Asin', 1, Math.PI / 2],
    ['Asinh', 0, 0],
    ['Atan', 1, Math.PI / 4],
    ['Atanh', 0, 0],
    ['Ceil', -0.5, -0],
    ['Cos', 0, 1],
    ['Cosh', 0, 1],
    ['Exp', 0, 1],
    ['Floor', -0.5, -1],
    ['Sin', Math.PI / 2, 1],
    ['Sinh', 0, 0],
    ['Tan', 0, 0],
    ['Tanh', Infinity, 1],
    ['Neg', 0, -0],
  ] as const)('%s of %d is %d', (op, x, expected) => {
    expect(elements(runOp(op, [f(x)])[0])).toEqual([expected]);
  });
});

describe('Clip', () => {
  const x = t('float32', [4], [-2, 0, 2, nan]);
  const at = (value: number) => t('float32', [], [value]);

  it('has either bound, both, or none', () => {
    expect(elements(runOp('Clip', [x, at(-1), at(1)])[0])).toEqual([-1, 0, 1, nan]);
    expect(elements(runOp('Clip', [x, undefined, at(1)])[0])).toEqual([-2, 0, 1, nan]);
    expect(elements(runOp('Clip', [x, at(-1)])[0])).toEqual([-1, 0, 2, nan]);
    expect(elements(runOp('Clip', [x])[0])).toEqual([-2, 0, 2, nan]);
  });

  it('gives max everywhere when min is above it', () => {
    expect(elements(runOp('Clip', [x, at(2), at(1)])[0]).slice(0, 3)).toEqual([1, 1, 1]);
    const big = (value: bigint) => t('int64', [], [value]);
    expect(elements(runOp('Clip', [t('int64', [2], [0n, 9n]), big(5n), big(3n)])[0])).toEqual([3n, 3n]);
  });

  it('is exact for 64-bit integers', () => {
    const [low, high] = [t('int64', [], [-(2n ** 60n) - 1n]), t('int64', [], [2n ** 60n + 1n])];
    const [result] = runOp('Clip', [t('int64', [2], [-(2n ** 62n), 2n ** 62n]), low, high]);
    expect(elements(result)).toEqual([-(2n ** 60n) - 1n, 2n ** 60n + 1n]);
  });

  it('is refused when a bound is a list', () => {
    expect(refusal(() => runOp('Clip', [x, t('float32', [2], [0, 1])])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => runOp('Clip', [x, t('float32', [0], [])])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('Shrink', () => {
  it('pulls toward zero by bias outside lambd', () => {
    const attributes = { lambd: 1.5, bias: 1.5 };
    expect(elements(runOp('Shrink', [f(-2, -1, 0, 1, 2)], attributes)[0])).toEqual([-0.5, 0, 0, 0, 0.5]);
    expect(elements(runOp('Shrink', [t('int8', [3], [-5, 1, 5])], attributes)[0])).toEqual([-3, 0, 3]);
  });

  it('is exact for 64-bit integers, cut toward zero', () => {
    const x = t('int64', [4], [-5n, 1n, 5n, 2n ** 60n + 1n]);
    expect(elements(runOp('Shrink', [x], { lambd: 1.5, bias: 1.5 })[0])).toEqual([-3n, 0n, 3n, 2n ** 60n - 1n]);
    expect(elements(runOp('Shrink', [x], { lambd: 1.5, bias: 2 })[0])).toEqual([-3n, 0n, 3n, 2n ** 60n - 1n]);
  });
});

describe('Dropout', () => {
  const x = t('float32', [2], [1, -0]);
  const ratio = t('float32', [], [0.25]);
  const training = (on: 0 | 1) => t('bool', [], [on]);

  it('is the identity for inference, with a mask that is true everywhere', () => {
    for (const inputs of [[x], [x, ratio], [x, ratio, training(0)], [x, t('float32', [], [0]), training(1)]]) {
      const [output, mask] = runOp('Dropout', inputs, {}, 2);
      expect(elements(output)).toEqual([1, -0]);
      expect(mask).toEqual(t('bool', [2], [1, 1]));
    }
  });

  it('is refused in training mode, which draws random numbers', () => {
    expect(refusal(() => runOp('Dropout', [x, ratio, training(1)], {}, 2))).toMatchObject({
      code: 'GRIM_IR_UNSUPPORTED_OP',
      message: expect.stringContaining('random'),
    });
    expect(refusal(() => runOp('Dropout', [x, undefined, training(1)])).code).toBe('GRIM_IR_UNSUPPORTED_OP');
  });

  it('is refused with a ratio outside [0, 1)', () => {
    for (const bad of [-0.1, 1, nan])
      expect(refusal(() => runOp('Dropout', [x, t('float32', [], [bad])])).code).toBe('GRIM_IR_BAD_VALUE');
  });
});

describe('Identity', () => {
  it('keeps every bit, in memory of its own', () => {
    const x: Tensor = { dtype: 'float16', shape: [2], data: Uint16Array.of(0x7d01, 0x8000) };
    const [y] = runOp('Identity', [x]);
    expect(y).toEqual(x);
    expect(y?.data.buffer).not.toBe(x.data.buffer);
  });
});

it('an element type that an operator does not take is refused', () => {
  const types: [Parameters<typeof runOp>[0], DType][] = [
    ['Add', 'bool'],
    ['Exp', 'int32'],
    ['BitwiseAnd', 'float32'],
    ['BitShift', 'int8'],
    ['Neg', 'uint8'],
    ['Celu', 'float64'],
    ['And', 'int32'],
  ];
  for (const [op, dtype] of types) {
    const x = t(dtype, [1], [0]);
    const inputs = ['Exp', 'Neg', 'Celu'].includes(op) ? [x] : [x, x];
    const attributes = op === 'BitShift' ? { direction: 'LEFT' as const } : {};
    expect(refusal(() => runOp(op, inputs, attributes)).code).toBe('GRIM_IR_DTYPE_MISMATCH');
  }
});

it('functions of floats take all four float types', () => {
  for (const dtype of FLOAT_DTYPES) {
    const [y] = runOp('Sqrt', [t(dtype, [2], [4, 0.25])]);
    expect(y?.dtype).toBe(dtype);
    expect(reals(y)).toEqual([2, 0.5]);
  }
});

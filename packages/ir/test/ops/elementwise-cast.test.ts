import { describe, expect, it } from 'vitest';
import { DTYPES, type DType, type Tensor } from '../../src/types.ts';
import { elements, reals, refusal, runOp, t } from '../run.ts';

const cast = (value: Tensor, to: DType) => runOp('Cast', [value], { to })[0];
const { NaN: nan } = Number;

describe('Cast', () => {
  it('goes between all types and keeps 0, 1 and 100', () => {
    for (const from of DTYPES)
      for (const to of DTYPES) {
        const many = from === 'bool' || to === 'bool' ? 1 : 100;
        const result = cast(t(from, [3], [0, 1, many]), to);
        expect([result?.dtype, reals(result)]).toEqual([to, [0, 1, many]]);
      }
  });

  it('cuts floats toward zero, wraps what does not fit, and makes 0 of NaN', () => {
    expect(elements(cast(t('float32', [4], [-1.9, 1.9, 300, nan]), 'int8'))).toEqual([-1, 1, 44, 0]);
    expect(elements(cast(t('float64', [3], [-1, 2 ** 63, 1e30]), 'uint64'))).toEqual([
      2n ** 64n - 1n,
      2n ** 63n,
      BigInt.asUintN(64, BigInt(1e30)),
    ]);
    expect(elements(cast(t('int64', [2], [2n ** 40n + 5n, -1n]), 'uint8'))).toEqual([5, 255]);
    expect(elements(cast(t('int64', [1], [-1n]), 'uint64'))).toEqual([2n ** 64n - 1n]);
    expect(elements(cast(t('uint64', [1], [2n ** 64n - 1n]), 'int32'))).toEqual([-1]);
    expect(elements(cast(t('uint64', [1], [2n ** 32n - 2n]), 'uint32'))).toEqual([4294967294]);
  });

  it('to bool asks whether the value is zero', () => {
    expect(elements(cast(t('float32', [5], [0, -0, 0.1, nan, -Infinity]), 'bool'))).toEqual([0, 0, 1, 1, 1]);
    expect(elements(cast(t('int64', [2], [0n, 2n ** 40n]), 'bool'))).toEqual([0, 1]);
  });

  it('rounds to every float once', () => {
    const tie = 1 + 2 ** -11 + 2 ** -40;
    expect(reals(cast(t('float64', [1], [tie]), 'float16'))).toEqual([1 + 2 ** -10]);
    expect(reals(cast(t('float32', [2], [65519, 65520]), 'float16'))).toEqual([65504, Infinity]);
    expect(reals(cast(t('float64', [1], [1e39]), 'float32'))).toEqual([Infinity]);
    expect(reals(cast(t('float16', [1], [2 ** -24]), 'float32'))).toEqual([2 ** -24]);
  });

  it('rounds 64-bit integers to float32 and to 16 bits once', () => {
    // Half-way between two float32, plus 1: a double would drop the 1 and then round to even, downward.
    const above = 2n ** 60n + 2n ** 36n + 1n;
    expect(reals(cast(t('int64', [2], [above, -above]), 'float32'))).toEqual([2 ** 60 + 2 ** 37, -(2 ** 60 + 2 ** 37)]);
    expect(reals(cast(t('int64', [1], [2n ** 60n + 2n ** 36n]), 'float32'))).toEqual([2 ** 60]);
    expect(reals(cast(t('uint64', [1], [2n ** 63n + 2n ** 55n + 1n]), 'bfloat16'))).toEqual([2 ** 63 + 2 ** 56]);
    expect(reals(cast(t('int64', [1], [2n ** 53n + 1n]), 'float64'))).toEqual([2 ** 53]);
    expect(reals(cast(t('int64', [2], [0n, -7n]), 'float16'))).toEqual([0, -7]);
  });

  it('keeps every bit when the type stays', () => {
    const x: Tensor = { dtype: 'float16', shape: [1], data: Uint16Array.of(0x7d01) };
    expect(cast(x, 'float16')).toEqual(x);
  });

  it('G14: an element type that does not exist is refused', () => {
    const bad = { to: 'float8' as DType };
    expect(refusal(() => runOp('Cast', [t('float32', [1], [1])], bad)).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(refusal(() => runOp('Cast', [t('float32', [1], [1])])).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });
});

it('CastLike takes the type of its second input and the shape of its first', () => {
  const [result] = runOp('CastLike', [t('float32', [2], [1.7, -1.7]), t('int64', [], [9n])]);
  expect(result).toEqual(t('int64', [2], [1n, -1n]));
});

describe('BitCast', () => {
  it('reads the same bytes as another type', () => {
    expect(elements(runOp('BitCast', [t('float32', [2], [1, -0])], { to: 'uint32' })[0])).toEqual([
      0x3f800000, 0x80000000,
    ]);
    expect(elements(runOp('BitCast', [t('uint64', [1], [2n ** 64n - 1n])], { to: 'int64' })[0])).toEqual([-1n]);
    expect(reals(runOp('BitCast', [t('uint16', [1], [0x3c00])], { to: 'float16' })[0])).toEqual([1]);
    expect(elements(runOp('BitCast', [t('uint8', [3], [0, 1, 128])], { to: 'bool' })[0])).toEqual([0, 1, 1]);
  });

  it('reads a view that begins in the middle of its bytes', () => {
    const whole = Float32Array.of(9, 1, 2);
    const x: Tensor = { dtype: 'float32', shape: [2], data: whole.subarray(1) };
    expect(elements(runOp('BitCast', [x], { to: 'int32' })[0])).toEqual([0x3f800000, 0x40000000]);
  });

  it('is refused between types of different width', () => {
    const { code, message } = refusal(() => runOp('BitCast', [t('float32', [1], [1])], { to: 'int64' }));
    expect(code).toBe('GRIM_IR_DTYPE_MISMATCH');
    expect(message).toContain('32 bits');
  });
});

describe('comparisons', () => {
  const [a, b] = [t('float32', [4], [1, 2, nan, 0]), t('float32', [4], [2, 2, nan, -0])];

  it('are false with NaN, and the two zeros are equal', () => {
    expect(elements(runOp('Equal', [a, b])[0])).toEqual([0, 1, 0, 1]);
    expect(elements(runOp('Less', [a, b])[0])).toEqual([1, 0, 0, 0]);
    expect(elements(runOp('LessOrEqual', [a, b])[0])).toEqual([1, 1, 0, 1]);
    expect(elements(runOp('Greater', [b, a])[0])).toEqual([1, 0, 0, 0]);
    expect(elements(runOp('GreaterOrEqual', [b, a])[0])).toEqual([1, 1, 0, 1]);
  });

  it('are exact for 64-bit integers', () => {
    const [x, y] = [t('int64', [1], [2n ** 60n]), t('int64', [1], [2n ** 60n + 1n])];
    expect([runOp('Equal', [x, y])[0], runOp('Less', [x, y])[0]].map(elements)).toEqual([[0], [1]]);
  });

  it('of 16-bit floats compare values, not bits', () => {
    const [x, y] = [t('float16', [2], [-1, -0]), t('float16', [2], [1, 0])];
    expect([runOp('Less', [x, y])[0], runOp('Equal', [x, y])[0]].map(elements)).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });

  it('IsNaN and IsInf tell the signs apart when asked', () => {
    const x = t('float16', [4], [nan, Infinity, -Infinity, 1]);
    expect(runOp('IsNaN', [x])[0]).toEqual(t('bool', [4], [1, 0, 0, 0]));
    expect(elements(runOp('IsInf', [x])[0])).toEqual([0, 1, 1, 0]);
    expect(elements(runOp('IsInf', [x], { detect_negative: 0 })[0])).toEqual([0, 1, 0, 0]);
    expect(elements(runOp('IsInf', [x], { detect_positive: 0 })[0])).toEqual([0, 0, 1, 0]);
  });

  it('And, Or, Xor, Not follow their truth tables, and Equal takes bools', () => {
    const [p, q] = [t('bool', [2, 1], [0, 1]), t('bool', [2], [0, 1])];
    expect(elements(runOp('And', [p, q])[0])).toEqual([0, 0, 0, 1]);
    expect(elements(runOp('Or', [p, q])[0])).toEqual([0, 1, 1, 1]);
    expect(elements(runOp('Xor', [p, q])[0])).toEqual([0, 1, 1, 0]);
    expect(elements(runOp('Equal', [p, q])[0])).toEqual([1, 0, 0, 1]);
    expect(elements(runOp('Not', [q])[0])).toEqual([1, 0]);
  });

  it('Where broadcasts three ways and moves elements bit for bit', () => {
    const condition = t('bool', [2, 1], [1, 0]);
    const [result] = runOp('Where', [condition, t('int64', [2], [1n, 2n]), t('int64', [], [9n])]);
    expect(result).toEqual(t('int64', [2, 2], [1n, 2n, 9n, 9n]));
    const signalling: Tensor = {
      dtype: 'float32',
      shape: [1],
      data: new Float32Array(Uint32Array.of(0x7fa00001).buffer),
    };
    const [kept] = runOp('Where', [t('bool', [1], [1]), signalling, t('float32', [1], [0])]);
    expect(new Uint32Array((kept as Tensor).data.buffer)[0]).toBe(0x7fa00001);
  });
});

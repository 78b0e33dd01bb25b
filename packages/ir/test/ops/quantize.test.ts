/** Quantization: rounding and saturation by hand, the three granularities, and what is refused. */
import { describe, expect, it } from 'vitest';
import type { DType } from '../../src/types.ts';
import { inferOp, refusal, runOp, t } from '../run.ts';

const f = (shape: number[], values: number[]) => t('float32', shape, values);
const numbers = (tensor: { data: ArrayLike<number | bigint> } | undefined) => Array.from(tensor?.data ?? [], Number);
const type = (shape: (number | string)[], dtype: DType = 'float32') => ({ dtype, shape });

describe('QuantizeLinear', () => {
  it('rounds half to even, adds the zero point, then saturates, for every type', () => {
    const x = f([6], [0.5, 1.5, 2.5, -0.5, 1e9, -1e9]);
    const one = f([], [1]);
    const of = (dtype: DType, zero: number) => numbers(runOp('QuantizeLinear', [x, one, t(dtype, [], [zero])])[0]);
    expect(of('uint8', 3)).toEqual([3, 5, 5, 3, 255, 0]);
    expect(of('int8', -3)).toEqual([-3, -1, -1, -3, 127, -128]);
    expect(of('uint16', 0)).toEqual([0, 2, 2, 0, 65535, 0]);
    expect(of('int16', 1)).toEqual([1, 3, 3, 1, 32767, -32768]);
  });

  it('divides in the precision of the scale, or in the one asked for', () => {
    // The float32 numbers nearest 0.35 and 0.1 have the quotient 3.49999989, nearest float32 3.5, and so 4.
    expect(numbers(runOp('QuantizeLinear', [f([1], [0.35]), f([], [0.1])])[0])).toEqual([4]);
    expect(numbers(runOp('QuantizeLinear', [f([1], [0.35]), f([], [0.1])], { precision: 'float64' })[0])).toEqual([3]);
    // bfloat16 has 8 bits: 1.0001 is 1 there.
    const y = f([1], [3.5]);
    const tie = f([], [1.0001]);
    expect(numbers(runOp('QuantizeLinear', [y, tie])[0])).toEqual([3]);
    expect(numbers(runOp('QuantizeLinear', [y, tie], { precision: 'bfloat16' })[0])).toEqual([4]);
  });

  it('takes a scale for all, per index of an axis, and per block', () => {
    const x = f([2, 3], [2, 4, 6, 8, 10, 12]);
    expect(numbers(runOp('QuantizeLinear', [x, f([1], [2])])[0])).toEqual([1, 2, 3, 4, 5, 6]);
    expect(numbers(runOp('QuantizeLinear', [x, f([2], [1, 2])], { axis: 0 })[0])).toEqual([2, 4, 6, 4, 5, 6]);
    expect(numbers(runOp('QuantizeLinear', [x, f([3], [1, 2, 3])], { axis: -1 })[0])).toEqual([2, 2, 2, 8, 5, 4]);
    const blocks = f([2, 2], [1, 2, 4, 6]);
    const zeros = t('int8', [2, 2], [0, 1, 2, 3]);
    expect(numbers(runOp('QuantizeLinear', [x, blocks, zeros], { block_size: 2 })[0])).toEqual([2, 4, 4, 4, 4, 5]);
    expect(numbers(runOp('QuantizeLinear', [x, f([1, 3], [1, 2, 3])], { axis: 0, block_size: 2 })[0])).toEqual([
      2, 2, 2, 8, 5, 4,
    ]);
  });

  it('chooses the type: zero point, output_dtype, else uint8', () => {
    expect(inferOp('QuantizeLinear', [type([2]), type([])])[0]?.dtype).toBe('uint8');
    expect(inferOp('QuantizeLinear', [type([2]), type([])], { output_dtype: 'int16' })[0]?.dtype).toBe('int16');
    expect(inferOp('QuantizeLinear', [type(['N']), type([]), type([], 'int8')])[0]).toEqual(type(['N'], 'int8'));
    const both = () => inferOp('QuantizeLinear', [type([2]), type([]), type([], 'int8')], { output_dtype: 'uint8' });
    expect(refusal(both).code).toBe('GRIM_IR_DTYPE_MISMATCH');
    for (const output_dtype of ['int32', 'float32'] as const)
      expect(refusal(() => inferOp('QuantizeLinear', [type([2]), type([])], { output_dtype })).code).toBe(
        'GRIM_IR_BAD_ATTRIBUTE',
      );
  });
});

describe('DequantizeLinear', () => {
  it('subtracts the zero point exactly and rounds once', () => {
    const of = (dtype: DType, x: number[], zero: number) =>
      numbers(runOp('DequantizeLinear', [t(dtype, [x.length], x), f([], [0.5]), t(dtype, [], [zero])])[0]);
    expect(of('uint8', [0, 255], 128)).toEqual([-64, 63.5]);
    expect(of('int8', [-128, 127], 127)).toEqual([-127.5, 0]);
    expect(of('uint16', [65535], 0)).toEqual([32767.5]);
    expect(of('int16', [-32768], 32767)).toEqual([-32767.5]);
    expect(of('int32', [2 ** 31 - 1], 0)).toEqual([Math.fround((2 ** 31 - 1) / 2)]);
  });

  it('takes a scale per index of an axis and per block, and gives the type of the scale or the one asked for', () => {
    const x = t('int8', [2, 3], [1, 2, 3, 4, 5, 6]);
    expect(numbers(runOp('DequantizeLinear', [x, f([3], [1, 10, 100])])[0])).toEqual([1, 20, 300, 4, 50, 600]);
    const blocked = runOp('DequantizeLinear', [x, f([2, 2], [1, 10, 100, 1000]), t('int8', [2, 2], [0, 1, 2, 3])], {
      block_size: 2,
    });
    expect(numbers(blocked[0])).toEqual([1, 2, 20, 200, 300, 3000]);
    expect(inferOp('DequantizeLinear', [type([2], 'int8'), type([], 'float16')])[0]?.dtype).toBe('float16');
    expect(inferOp('DequantizeLinear', [type([2], 'int8'), type([])], { output_dtype: 'bfloat16' })[0]?.dtype).toBe(
      'bfloat16',
    );
  });
});

describe('DynamicQuantizeLinear', () => {
  it('spreads the range, widened to hold 0, over 0…255', () => {
    const of = (...values: number[]) =>
      runOp('DynamicQuantizeLinear', [f([values.length], values)], {}, 3).map(numbers);
    expect(of(-1, 0, 254)).toEqual([[0, 1, 255], [1], [1]]);
    expect(of(0, 255)).toEqual([[0, 255], [1], [0]]);
    expect(of(-255, -51)).toEqual([[0, 204], [1], [255]]);
  });

  it('T5: all zeros, or nothing at all, has scale 1', () => {
    expect(runOp('DynamicQuantizeLinear', [f([2], [0, 0])], {}, 3).map(numbers)).toEqual([[0, 0], [1], [0]]);
    expect(runOp('DynamicQuantizeLinear', [f([0], [])], {}, 3).map(numbers)).toEqual([[], [1], [0]]);
  });

  it('refuses numbers that no scale takes in', () => {
    for (const values of [[Number.NaN], [Infinity], [3e38, -3e38]])
      expect(refusal(() => runOp('DynamicQuantizeLinear', [f([values.length], values)], {}, 3)).code).toBe(
        'GRIM_IR_BAD_VALUE',
      );
  });
});

describe('bad quantization parameters', () => {
  it('G17: NaN, infinite and negative scales are refused; zero and subnormal ones are defined, for every type', () => {
    for (const dtype of ['int8', 'uint8', 'int16', 'uint16'] as const) {
      const zero = t(dtype, [], [7]);
      const quantize = (scale: number, x = [-1, 0, 1]) =>
        numbers(runOp('QuantizeLinear', [f([x.length], x), f([], [scale]), zero])[0]);
      const dequantize = (scale: number) =>
        numbers(runOp('DequantizeLinear', [t(dtype, [1], [9]), f([], [scale]), zero])[0]);
      for (const bad of [Number.NaN, Infinity, -Infinity, -1]) {
        expect(refusal(() => quantize(bad)).code).toBe('GRIM_IR_BAD_VALUE');
        expect(refusal(() => dequantize(bad)).code).toBe('GRIM_IR_BAD_VALUE');
      }
      const [low, middle, high] = quantize(0);
      expect([quantize(2 ** -149), middle]).toEqual([[low, 7, high], 7]);
      expect([low, high]).toEqual(
        { int8: [-128, 127], uint8: [0, 255], int16: [-32768, 32767], uint16: [0, 65535] }[dtype],
      );
      expect(dequantize(0)).toEqual([0]);
      expect(dequantize(2 ** -149)).toEqual([2 ** -148]);
      expect(quantize(1, [Number.NaN])).toEqual([7]);
    }
  });

  it('G17: lengths, dtypes and axes that do not fit are refused, each beside a good one', () => {
    const infer =
      (scale: number[], zero?: number[], attributes = {}, dtype: DType = 'int8') =>
      () =>
        inferOp('DequantizeLinear', [type([2, 5], 'int8'), type(scale), zero && type(zero, dtype)], attributes)[0]
          ?.shape;
    expect(infer([5], [5])()).toEqual([2, 5]);
    expect(infer([2], [2], { axis: -2 })()).toEqual([2, 5]);
    expect(infer([2, 2], [2, 2], { block_size: 3 })()).toEqual([2, 5]);
    expect(infer([], [1], { axis: 9 })()).toEqual([2, 5]);
    for (const bad of [
      infer([2]),
      infer([5], [2]),
      infer([5], []),
      infer([2, 2]),
      infer([2, 3], undefined, { block_size: 3 }),
      infer([2], undefined, { block_size: 3 }),
      infer([2, 2], undefined, { block_size: 5 }),
    ])
      expect(refusal(bad).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(infer([5], [5], {}, 'uint8')).code).toBe('GRIM_IR_DTYPE_MISMATCH');
    for (const axis of [2, -3, 2 ** 31])
      expect(refusal(infer([5], undefined, { axis })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(refusal(infer([5], undefined, { block_size: -1 })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });
});

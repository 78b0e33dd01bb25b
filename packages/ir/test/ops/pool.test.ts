/** Pools: numbers worked out by hand, the windows of ceil_mode, and what is refused. */
import { describe, expect, it } from 'vitest';
import type { DType } from '../../src/types.ts';
import { inferOp, refusal, runOp, t } from '../run.ts';

const f = (shape: number[], values: number[]) => t('float32', shape, values);
const numbers = (tensor: { data: ArrayLike<number | bigint> } | undefined) => Array.from(tensor?.data ?? [], Number);
const type = (shape: (number | string)[], dtype: DType = 'float32') => ({ dtype, shape });
const line = (...values: number[]) => f([1, 1, values.length], values);
const grid = f([1, 1, 3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]);

describe('ceil_mode', () => {
  it('has the windows that enumeration finds: each begins before the input ends, and no earlier one reached the end', () => {
    let cases = 0;
    let extra = 0;
    for (const kernel of [1, 2, 3, 4])
      for (const stride of [1, 2, 3, 5])
        for (const dilation of [1, 2])
          for (const before of [0, 1, 2])
            for (const after of [0, 1, 3])
              for (let length = 1; length <= 9; length++) {
                const span = kernel + (kernel - 1) * (dilation - 1);
                const padded = before + length + after;
                if (before >= span || after >= span || span > padded) continue;
                cases++;
                let windows = 0;
                for (let start = 0; start < before + length; start += stride) {
                  windows++;
                  if (start + span >= padded) break;
                }
                const attributes = {
                  kernel_shape: [kernel],
                  strides: [stride],
                  dilations: [dilation],
                  pads: [before, after],
                };
                const count = (ceil_mode: 0 | 1) =>
                  Number(inferOp('MaxPool', [type([1, 1, length])], { ...attributes, ceil_mode })[0]?.shape?.[2]);
                expect(count(1), JSON.stringify({ ...attributes, length })).toBe(windows);
                if (count(1) > count(0)) extra++;
              }
    expect(cases).toBeGreaterThan(1000);
    expect(extra).toBeGreaterThan(200);
  });

  it('leaves out a window that would begin in the padding behind', () => {
    // Length 2, pads 1 and 1, kernel 2, stride 3: ceil((4 − 2) / 3) + 1 = 2 and the second begins at 3 = 1 + 2.
    expect(
      inferOp('MaxPool', [type([1, 1, 2])], { kernel_shape: [2], strides: [3], pads: [1, 1], ceil_mode: 1 })[0]?.shape,
    ).toEqual([1, 1, 1]);
  });

  it('does not count what lies past the padded input, not even with count_include_pad', () => {
    const attributes = { kernel_shape: [3], strides: [2], pads: [1, 0], ceil_mode: 1, count_include_pad: 1 } as const;
    // 0 1 2 3 4: (0+1+2)/3, (2+3+4)/3; one more element, and the last window holds two of its three taps.
    expect(numbers(runOp('AveragePool', [line(1, 2, 3, 4)], attributes)[0])).toEqual([1, 3]);
    expect(numbers(runOp('AveragePool', [line(1, 2, 3, 4, 8)], attributes)[0])).toEqual([1, 3, 6]);
  });
});

describe('AveragePool', () => {
  it('divides by the taps on the input, or by those on the padding too', () => {
    const attributes = { kernel_shape: [3], pads: [1, 1] };
    expect(numbers(runOp('AveragePool', [line(3, 6, 9)], attributes)[0])).toEqual([4.5, 6, 7.5]);
    expect(numbers(runOp('AveragePool', [line(3, 6, 9)], { ...attributes, count_include_pad: 1 })[0])).toEqual([
      3, 6, 5,
    ]);
  });

  it('dilates, strides and pads automatically', () => {
    expect(numbers(runOp('AveragePool', [grid], { kernel_shape: [2, 2], dilations: [2, 1] })[0])).toEqual([4.5, 5.5]);
    expect(
      numbers(runOp('AveragePool', [grid], { kernel_shape: [2, 2], auto_pad: 'SAME_UPPER', strides: [2, 2] })[0]),
    ).toEqual([3, 4.5, 7.5, 9]);
    expect(
      numbers(runOp('AveragePool', [grid], { kernel_shape: [2, 2], auto_pad: 'SAME_LOWER', strides: [2, 2] })[0]),
    ).toEqual([1, 2.5, 5.5, 7]);
    expect(
      numbers(
        runOp('AveragePool', [line(1, 2, 3, 4)], { kernel_shape: [2], auto_pad: 'SAME_UPPER', dilations: [3] })[0],
      ),
    ).toEqual([3, 2.5, 2, 3]);
  });

  it('gives an empty result for an empty batch, however long the axes', () => {
    expect(runOp('AveragePool', [f([0, 2, 2 ** 31 - 1], [])], { kernel_shape: [1] })[0]?.shape).toEqual([
      0,
      2,
      2 ** 31 - 1,
    ]);
  });
});

describe('MaxPool', () => {
  it('gives the first largest element and where it stands in the whole tensor', () => {
    const x = f([1, 2, 2, 3], [1, 5, 2, 5, 3, 0, -1, -2, -3, -4, -5, -6]);
    const [y, rows] = runOp('MaxPool', [x], { kernel_shape: [2, 2] }, 2);
    expect(numbers(y)).toEqual([5, 5, -1, -2]);
    expect(numbers(rows)).toEqual([1, 1, 6, 7]);
    const [, columns] = runOp('MaxPool', [x], { kernel_shape: [2, 2], storage_order: 1 }, 2);
    // Column-major in each 2×3 plane: row + 2·column.
    expect(numbers(columns)).toEqual([2, 2, 6, 8]);
  });

  it('never takes the padding', () => {
    expect(numbers(runOp('MaxPool', [line(-3, -1)], { kernel_shape: [2], pads: [1, 1] })[0])).toEqual([-3, -1, -1]);
    expect(
      numbers(runOp('MaxPool', [t('int8', [1, 1, 2], [-128, -5])], { kernel_shape: [2], pads: [1, 1] })[0]),
    ).toEqual([-128, -5, -5]);
    expect(
      numbers(runOp('MaxPool', [t('uint8', [1, 1, 3], [7, 200, 3])], { kernel_shape: [3], dilations: [1] })[0]),
    ).toEqual([200]);
  });

  it('keeps NaN, and takes what no tap reaches as the least value at no place', () => {
    expect(numbers(runOp('MaxPool', [line(1, Number.NaN, 3)], { kernel_shape: [3] })[0])).toEqual([Number.NaN]);
    // Taps at −1 and 1 of a single element.
    const [y, where] = runOp('MaxPool', [line(4)], { kernel_shape: [2], dilations: [2], pads: [1, 1] }, 2);
    expect([numbers(y), numbers(where)]).toEqual([[-Infinity], [-1]]);
  });

  it('G10: bad windows are refused, each beside a good one', () => {
    const infer = (attributes: object, shape: (number | string)[] = [1, 1, 6]) =>
      inferOp('MaxPool', [type(shape)], { kernel_shape: [3], ...attributes })[0]?.shape;
    expect(infer({ pads: [2, 2] })).toEqual([1, 1, 8]);
    for (const bad of [
      { pads: [3, 0] },
      { pads: [0, 3] },
      { kernel_shape: [0] },
      { kernel_shape: [3, 3] },
      { strides: [0] },
      { dilations: [0] },
      { ceil_mode: 2 },
      { storage_order: 2 },
    ])
      expect(refusal(() => infer(bad)).code, JSON.stringify(bad)).toBe('GRIM_IR_BAD_ATTRIBUTE');
    for (const shape of [
      [1, 1, 2],
      [1, 6],
      [1, 1, 0],
    ])
      expect(refusal(() => infer({}, shape)).code, JSON.stringify(shape)).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => inferOp('MaxPool', [type([1, 1, 6])], {})).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(infer({}, ['N', 'C', 6])).toEqual(['N', 'C', 4]);
  });
});

describe('Lp and global pools', () => {
  it('takes roots of sums of powers', () => {
    expect(numbers(runOp('LpPool', [line(3, -4, 0)], { kernel_shape: [2] })[0])).toEqual([5, 4]);
    expect(numbers(runOp('LpPool', [line(3, -4, 0)], { kernel_shape: [2], p: 1, pads: [1, 0] })[0])).toEqual([3, 7, 4]);
    expect(numbers(runOp('GlobalLpPool', [f([1, 2, 2], [3, 4, 0, 0])])[0])).toEqual([5, 0]);
  });

  it('T5: does not overflow on the way to a norm that a float32 holds', () => {
    const [y] = runOp('GlobalLpPool', [t('float64', [1, 1, 2], [3e200, 4e200])]);
    expect(numbers(y)[0]).toBeCloseTo(5e200, -195);
  });

  it('pools all spatial axes to length 1', () => {
    const x = f([1, 2, 2, 2], [1, 2, 3, 4, -1, -2, -3, -4]);
    expect(runOp('GlobalAveragePool', [x])[0]?.shape).toEqual([1, 2, 1, 1]);
    expect(numbers(runOp('GlobalAveragePool', [x])[0])).toEqual([2.5, -2.5]);
    expect(numbers(runOp('GlobalMaxPool', [x])[0])).toEqual([4, -1]);
    expect(refusal(() => runOp('GlobalMaxPool', [f([1, 2, 0], [])])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(inferOp('GlobalAveragePool', [type(['N', 3, 'H', 'W'])])[0]?.shape).toEqual(['N', 3, 1, 1]);
  });
});

describe('MaxUnpool', () => {
  const pooled = f([1, 1, 2, 2], [5, 6, 7, 8]);
  const places = t('int64', [1, 1, 2, 2], [5, 7, 13, 15]);
  const attributes = { kernel_shape: [2, 2], strides: [2, 2] };

  it('puts each element back in its place', () => {
    expect(numbers(runOp('MaxUnpool', [pooled, places], attributes)[0])).toEqual([
      0, 0, 0, 0, 0, 5, 0, 6, 0, 0, 0, 0, 0, 7, 0, 8,
    ]);
  });

  it('adds zeros behind for a larger output_shape; the indices still count in the pooled shape', () => {
    const [y] = runOp('MaxUnpool', [pooled, places, t('int64', [4], [1, 1, 5, 5])], attributes);
    expect(y?.shape).toEqual([1, 1, 5, 5]);
    expect(numbers(y).flatMap((v, i) => (v ? [[i, v]] : []))).toEqual([
      [6, 5],
      [8, 6],
      [16, 7],
      [18, 8],
    ]);
  });

  it('undoes MaxPool where the maxima are', () => {
    const x = f([1, 1, 2, 4], [1, 9, 2, 3, 4, 5, 8, 6]);
    const [y, where] = runOp('MaxPool', [x], attributes, 2);
    expect(numbers(runOp('MaxUnpool', [y, where], attributes)[0])).toEqual([0, 9, 0, 0, 0, 0, 8, 0]);
  });

  it('G12: an index out of range is refused at run time, a bad output_shape by the rule', () => {
    for (const bad of [-1, 16])
      expect(
        refusal(() => runOp('MaxUnpool', [pooled, t('int64', [1, 1, 2, 2], [0, 1, 2, bad])], attributes)).code,
      ).toBe('GRIM_IR_BAD_VALUE');
    for (const shape of [
      [1, 1, 3, 4],
      [2, 1, 4, 4],
      [1, 1, 4],
    ])
      expect(
        refusal(() => runOp('MaxUnpool', [pooled, places, t('int64', [shape.length], shape)], attributes)).code,
      ).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => runOp('MaxUnpool', [pooled, t('int64', [4], [0, 1, 2, 3])], attributes)).code).toBe(
      'GRIM_IR_SHAPE_MISMATCH',
    );
  });

  it('G13: an output_shape past the limits is refused before anything is allocated', () => {
    const huge = t('int64', [4], [1, 1, 1e6, 1e6]);
    expect(refusal(() => runOp('MaxUnpool', [pooled, places, huge], attributes)).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });
});

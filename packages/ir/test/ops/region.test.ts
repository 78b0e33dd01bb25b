/** Operators of object detection: small cases by hand and boxes that are no boxes. */
import { describe, expect, it } from 'vitest';
import { opSpec } from '../../src/ops.ts';
import { inferOp, refusal, runOp, t } from '../run.ts';

const ints = (...values: number[]) => t('int64', [values.length], values);
const list = (value: { data: ArrayLike<unknown> } | undefined) => Array.from(value?.data ?? [], Number);
const code = (run: () => unknown) => refusal(run).code;
/** 4 × 4 elements, 0 to 15. */
const plane = t(
  'float32',
  [1, 1, 4, 4],
  Array.from({ length: 16 }, (_, i) => i),
);

describe('RoiAlign', () => {
  it('averages samples between elements', () => {
    const roi = (...box: number[]) => t('float32', [1, 4], box);
    // The box [0, 2) in both axes, one bin, 2 × 2 samples: at 0 and 1 after the half pixel.
    const [half] = runOp('RoiAlign', [plane, roi(0, 0, 2, 2), ints(0)]);
    expect(list(half)).toEqual([2.5]);
    const [older] = runOp('RoiAlign', [plane, roi(0, 0, 2, 2), ints(0)], {
      coordinate_transformation_mode: 'output_half_pixel',
    });
    expect(list(older)).toEqual([5]);
    const [fine] = runOp('RoiAlign', [plane, roi(0, 0, 4, 4), ints(0)], {
      output_height: 2,
      output_width: 2,
      spatial_scale: 0.5,
    });
    expect(list(fine)).toEqual([0, 1, 4, 5]);
    const [most] = runOp('RoiAlign', [plane, roi(0, 0, 2, 2), ints(0)], { mode: 'max' });
    expect(list(most)).toEqual([5]);
  });

  it('ends on boxes of any size, and gives zero where nothing is', () => {
    const boxes = t('float32', [3, 4], [-1e9, -1e9, 1e9, 1e9, 100, 100, 101, 101, 3, 3, 1, 1]);
    const [y] = runOp('RoiAlign', [plane, boxes, ints(0, 0, 0)]);
    expect(y?.shape).toEqual([3, 1, 1, 1]);
    expect(list(y).slice(1)).toEqual([0, 0]);
    for (const end of [Infinity, Number.NaN, 1e30]) {
      const endless = t('float32', [1, 4], [-end, 0, end, 1]);
      expect(code(() => runOp('RoiAlign', [plane, endless, ints(0)]))).toBe('GRIM_IR_BAD_VALUE');
    }
  });

  it('G12: batches out of range, wrong box lengths and endless sampling are refused', () => {
    const roi = t('float32', [1, 4], [0, 0, 1, 1]);
    expect(code(() => runOp('RoiAlign', [plane, roi, ints(1)]))).toBe('GRIM_IR_BAD_VALUE');
    expect(code(() => runOp('RoiAlign', [plane, roi, ints(-1)]))).toBe('GRIM_IR_BAD_VALUE');
    expect(code(() => runOp('RoiAlign', [plane, roi, ints(0, 0)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('RoiAlign', [plane, roi, ints(0)], { sampling_ratio: 1e6 }))).toBe('GRIM_IR_LIMIT');
    expect(code(() => runOp('RoiAlign', [plane, roi, ints(0)], { output_height: 1e6, output_width: 1e6 }))).toBe(
      'GRIM_IR_SHAPE_OVERFLOW',
    );
  });
});

describe('MaxRoiPool', () => {
  it('takes the largest element of each bin, both ends of the box included', () => {
    const rois = t('float32', [2, 5], [0, 0, 0, 3, 3, 0, 1, 1, 2, 2]);
    const [y] = runOp('MaxRoiPool', [plane, rois], { pooled_shape: [2, 2] });
    expect(list(y)).toEqual([5, 7, 13, 15, 5, 6, 9, 10]);
    const [outside] = runOp('MaxRoiPool', [plane, t('float32', [1, 5], [0, 9, 9, 12, 12])], { pooled_shape: [1, 1] });
    expect(list(outside)).toEqual([0]);
    expect(code(() => runOp('MaxRoiPool', [plane, rois], { pooled_shape: [2] }))).toBe('GRIM_IR_BAD_ATTRIBUTE');
    for (const batch of [1, -1, 0.5, Number.NaN])
      expect(
        code(() => runOp('MaxRoiPool', [plane, t('float32', [1, 5], [batch, 0, 0, 1, 1])], { pooled_shape: [1, 1] })),
      ).toBe('GRIM_IR_BAD_VALUE');
  });
});

describe('NonMaxSuppression', () => {
  // Boxes 0 and 1 share 0.9 of 1.1, box 2 is elsewhere; corners in either order.
  const boxes = t('float32', [1, 3, 4], [0, 0, 1, 1, 1.1, 1, 0.1, 0, 5, 5, 6, 6]);
  const scores = t('float32', [1, 1, 3], [0.5, 0.9, 0.7]);
  const run = (most: number, iou: number, least?: number) =>
    list(
      runOp('NonMaxSuppression', [
        boxes,
        scores,
        ints(most),
        t('float32', [], [iou]),
        least === undefined ? undefined : t('float32', [], [least]),
      ])[0],
    ).filter((_, i) => i % 3 === 2);

  it('keeps the best boxes that do not overlap too much', () => {
    expect(run(3, 0.5)).toEqual([1, 2]);
    expect(run(3, 0.85)).toEqual([1, 2, 0]);
    expect(run(1, 0.85)).toEqual([1]);
    expect(run(3, 0.85, 0.6)).toEqual([1, 2]);
    expect(run(0, 0.5)).toEqual([]);
    expect(runOp('NonMaxSuppression', [boxes, scores])[0]?.shape).toEqual([0, 3]);
  });

  it('reads centre and size when told, and keeps the first of equal scores', () => {
    const centred = t('float32', [1, 2, 4], [0.5, 0.5, 1, 1, 0.5, 0.6, 1, 1]);
    const equal = t('float32', [1, 1, 2], [0.5, 0.5]);
    const inputs = [centred, equal, ints(9), t('float32', [], [0.5])];
    expect(list(runOp('NonMaxSuppression', inputs, { center_point_box: 1 })[0])).toEqual([0, 0, 0]);
  });

  it('G12: thresholds outside 0 to 1 and numbers that disagree are refused', () => {
    expect(code(() => run(1, 1.5))).toBe('GRIM_IR_BAD_VALUE');
    expect(code(() => run(1, Number.NaN))).toBe('GRIM_IR_BAD_VALUE');
    expect(code(() => runOp('NonMaxSuppression', [boxes, t('float32', [1, 1, 2], [1, 1])]))).toBe(
      'GRIM_IR_SHAPE_MISMATCH',
    );
  });
});

describe('DeformConv', () => {
  const w = t('float32', [1, 1, 2, 2], [1, 1, 1, 1]);
  const zeros = (...shape: number[]) => t('float32', shape, new Array(shape.reduce((a, b) => a * b, 1)).fill(0));

  it('without offsets is a convolution', () => {
    const [y] = runOp('DeformConv', [plane, w, zeros(1, 8, 3, 3), t('float32', [1], [100])]);
    expect(list(y)).toEqual([110, 114, 118, 126, 130, 134, 142, 146, 150]);
  });

  it('moves each kernel element by its own offset, rows first, and weighs it by the mask', () => {
    const offset = zeros(1, 8, 1, 1);
    offset.data[0] = 0.5;
    offset.data[7] = -1;
    const mask = t('float32', [1, 4, 1, 1], [1, 0, 0, 2]);
    // Strides of 9 leave one position. Element 0 at (0.5, 0) reads 2; element 3 at (1, 1 - 1) reads 4, twice.
    const [y] = runOp('DeformConv', [plane, w, offset, undefined, mask], { strides: [9, 9] });
    expect(list(y)).toEqual([10]);
    offset.data[0] = 100;
    expect(list(runOp('DeformConv', [plane, w, offset, undefined, mask], { strides: [9, 9] })[0])).toEqual([8]);
    offset.data[0] = Number.NaN;
    expect(list(runOp('DeformConv', [plane, w, offset, undefined, mask], { strides: [9, 9] })[0])).toEqual([8]);
  });

  it('works in groups and counts its multiply-accumulates', () => {
    const x = t('float32', [1, 2, 1, 1], [3, 5]);
    const weights = t('float32', [2, 1, 1, 1], [10, 100]);
    const [y] = runOp('DeformConv', [x, weights, zeros(1, 4, 1, 1)], { group: 2, offset_group: 2 });
    expect(list(y)).toEqual([30, 500]);
    const types = [plane, w, zeros(1, 8, 3, 3)];
    expect(opSpec('DeformConv').macs?.(types, inferOp('DeformConv', types), {})).toBe(36);
  });

  it('G10: windows, groups and offsets that do not fit are refused', () => {
    const offset = zeros(1, 8, 3, 3);
    for (const bad of [
      { strides: [0, 1] },
      { dilations: [1, 0] },
      { pads: [0, 0, 0, -1] },
      { pads: [0, 0] },
      { group: 0 },
    ])
      expect(code(() => runOp('DeformConv', [plane, w, offset], bad))).toBe('GRIM_IR_BAD_ATTRIBUTE');
    for (const bad of [{ dilations: [4, 1] }, { group: 2 }, { offset_group: 2 }, { kernel_shape: [3, 2] }])
      expect(code(() => runOp('DeformConv', [plane, w, offset], bad))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('DeformConv', [plane, w, zeros(1, 8, 2, 3)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('DeformConv', [plane, w, zeros(1, 4, 3, 3)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

/** Operators that read between elements: small cases by hand, every coordinate mode, and hostile parameters. */
import { describe, expect, it } from 'vitest';
import { inferOp, refusal, runOp, t } from '../run.ts';

const ints = (...values: number[]) => t('int64', [values.length], values);
const floats = (...values: number[]) => t('float32', [values.length], values);
const list = (value: { data: ArrayLike<unknown> } | undefined) => Array.from(value?.data ?? [], Number);
const code = (run: () => unknown) => refusal(run).code;
const close = (found: number[], wanted: number[]) => {
  expect(found).toHaveLength(wanted.length);
  for (const [i, value] of wanted.entries()) expect(found[i]).toBeCloseTo(value, 5);
};

type ResizeMode = 'half_pixel' | 'half_pixel_symmetric' | 'pytorch_half_pixel' | 'align_corners' | 'asymmetric';

describe('Resize', () => {
  const x = floats(0, 1, 2, 3);
  const linear = (mode: ResizeMode, size: number) =>
    list(
      runOp('Resize', [x, undefined, undefined, ints(size)], {
        mode: 'linear',
        coordinate_transformation_mode: mode,
      })[0],
    );

  it('places output elements as each coordinate mode says', () => {
    close(linear('half_pixel', 8), [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]);
    close(linear('asymmetric', 8), [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]);
    close(linear('align_corners', 7), [0, 0.5, 1, 1.5, 2, 2.5, 3]);
    close(linear('pytorch_half_pixel', 1), [0]);
    close(linear('half_pixel', 1), [1.5]);
    close(linear('align_corners', 1), [0]);
    close(linear('half_pixel_symmetric', 2), [0.5, 2.5]);
  });

  it('keeps the middle in the middle when half_pixel_symmetric rounds a length', () => {
    // 4 · 0.6 = 2.4, so 2 elements: they stand at (x + 0.5) / 0.6 - 0.5 + 2 · (1 - 2 / 2.4), symmetric about 1.5.
    const [y] = runOp('Resize', [x, undefined, floats(0.6)], {
      mode: 'linear',
      coordinate_transformation_mode: 'half_pixel_symmetric',
    });
    close(list(y), [2 / 3, 7 / 3]);
  });

  it('rounds a tie as nearest_mode says', () => {
    const nearest = (mode: 'round_prefer_floor' | 'round_prefer_ceil' | 'floor' | 'ceil') =>
      list(
        runOp('Resize', [x, undefined, floats(2)], {
          nearest_mode: mode,
          coordinate_transformation_mode: 'asymmetric',
        })[0],
      );
    expect(nearest('round_prefer_floor')).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
    expect(nearest('round_prefer_ceil')).toEqual([0, 1, 1, 2, 2, 3, 3, 3]);
    expect(nearest('floor')).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
    expect(nearest('ceil')).toEqual([0, 1, 1, 2, 2, 3, 3, 3]);
  });

  it('crops to the roi, and extrapolates outside the input', () => {
    const crop = (roi: number[]) =>
      list(
        runOp('Resize', [x, floats(...roi), undefined, ints(3)], {
          mode: 'linear',
          coordinate_transformation_mode: 'tf_crop_and_resize',
          extrapolation_value: 9,
        })[0],
      );
    close(crop([0, 1]), [0, 1.5, 3]);
    close(crop([0.5, 1.5]), [1.5, 3, 9]);
    close(crop([1, 0]), [3, 1.5, 0]);
    expect(crop([-3e38, 3e38])).toEqual([9, 0, 9]);
  });

  it('is Keys’ cubic, with weights that leave the edge out when asked', () => {
    const cubic = (exclude_outside: 0 | 1) =>
      list(runOp('Resize', [x, undefined, floats(2)], { mode: 'cubic', cubic_coeff_a: -0.5, exclude_outside })[0]);
    // At 0.75 between 0 and 1, a = -0.5: weights -0.0234375, 0.2265625, 0.8671875, -0.0703125 of 0, 0, 1, 2.
    expect(cubic(0)[2]).toBeCloseTo(0.7265625, 6);
    // Element -1 left out: divided by 1.0234375.
    expect(cubic(1)[2]).toBeCloseTo(0.7265625 / 1.0234375, 6);
  });

  it('widens the kernel when antialiasing', () => {
    const [y] = runOp('Resize', [x, undefined, floats(0.5)], { mode: 'linear', antialias: 1 });
    // Around 0.5 with reach 2: weights 0.25, 0.75, 0.75, 0.25 of elements -1 (the edge), 0, 1, 2, over 2.
    close(list(y), [0.625, 2.375]);
  });

  it('keeps the aspect ratio, moves any dtype exactly, and saturates integers', () => {
    const image = t('float32', [2, 4], [0, 1, 2, 3, 4, 5, 6, 7]);
    const shape = (policy: 'not_larger' | 'not_smaller') =>
      runOp('Resize', [image, undefined, undefined, ints(3, 4)], { keep_aspect_ratio_policy: policy })[0]?.shape;
    expect(shape('not_larger')).toEqual([2, 4]);
    expect(shape('not_smaller')).toEqual([3, 6]);
    const big = t('int64', [1], [2n ** 60n + 1n]);
    expect(runOp('Resize', [big, undefined, floats(2)])[0]?.data).toEqual(
      BigInt64Array.of(2n ** 60n + 1n, 2n ** 60n + 1n),
    );
    const step = t('uint8', [4], [0, 0, 255, 255]);
    const bytes = list(runOp('Resize', [step, undefined, floats(2)], { mode: 'cubic' })[0]);
    expect(bytes.slice(0, 3)).toEqual([0, 0, 0]);
    expect(bytes.slice(5)).toEqual([255, 255, 255]);
    const [y] = runOp('Resize', [image, undefined, undefined, ints(8)], { axes: [-1] });
    expect(y?.shape).toEqual([2, 8]);
  });

  it('takes an empty list as absent, and knows what it can of open lengths', () => {
    expect(runOp('Resize', [x, floats(), floats(), ints(2)])[0]?.shape).toEqual([2]);
    const open = { dtype: 'float32', shape: ['N', 3] } as const;
    expect(inferOp('Resize', [open, undefined, floats(1, 2)])[0]?.shape).toEqual(['N', 6]);
  });

  it('G12: scales of 0, NaN and wrong number, both or neither list, and empty inputs are refused', () => {
    for (const scales of [[0], [-1], [Number.NaN], [Infinity], [1, 1]])
      expect(code(() => runOp('Resize', [x, undefined, floats(...scales)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('Resize', [x, undefined, undefined, ints(-1)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('Resize', [x, undefined, floats(1), ints(4)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('Resize', [x]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('Resize', [t('float32', [0], []), undefined, undefined, ints(2)]))).toBe(
      'GRIM_IR_SHAPE_MISMATCH',
    );
    expect(code(() => runOp('Resize', [x, undefined, floats(1)], { axes: [1] }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    const crop = { coordinate_transformation_mode: 'tf_crop_and_resize' } as const;
    expect(code(() => runOp('Resize', [x, undefined, floats(1)], crop))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('Resize', [x, floats(0, Number.NaN), floats(1)], crop))).toBe('GRIM_IR_BAD_VALUE');
  });
});

describe('GridSample', () => {
  const x = t('float32', [1, 1, 2, 2], [1, 2, 3, 4]);
  const at = (points: [number, number][]) => t('float32', [1, 1, points.length, 2], points.flat());
  type Attributes = Parameters<typeof runOp<'GridSample'>>[2];
  const sample = (points: [number, number][], attributes: Attributes) =>
    list(runOp('GridSample', [x, at(points)], attributes)[0]);

  it('reads x first, at -1 and 1 the ends or the corners', () => {
    close(
      sample(
        [
          [1, -1],
          [0, 0],
        ],
        { align_corners: 1 },
      ),
      [2, 2.5],
    );
    // The outer edge of the corner element: a quarter of it, and zeros.
    close(
      sample(
        [
          [-1, -1],
          [-0.5, -0.5],
        ],
        {},
      ),
      [0.25, 1],
    );
    close(
      sample(
        [
          [-1, -1],
          [5, 5],
        ],
        { padding_mode: 'border' },
      ),
      [1, 4],
    );
    close(sample([[-2, -1]], { padding_mode: 'reflection', align_corners: 1 }), [1.5]);
    expect(
      sample(
        [
          [0.6, -0.4],
          [9, 0],
        ],
        { mode: 'nearest' },
      ),
    ).toEqual([2, 0]);
    // Halfway between two rows of equal weight: -0.09375, 0.59375, 0.59375, -0.09375 with the edge repeated.
    close(sample([[-1, 0]], { mode: 'cubic', align_corners: 1, padding_mode: 'border' }), [2]);
    // Half an element outside, in both axes: weights 1.09375 of the edge and -0.09375 of the next one.
    close(sample([[-1, -1]], { mode: 'cubic', padding_mode: 'border' }), [0.71875]);
  });

  it('samples volumes, z last in the grid', () => {
    const volume = t('float32', [1, 1, 2, 1, 1], [1, 5]);
    const grid = t('float32', [1, 1, 1, 1, 3], [0, 0, 0.5]);
    close(list(runOp('GridSample', [volume, grid], { align_corners: 1 })[0]), [4]);
  });

  it('gives zero or the edge at coordinates that are no numbers', () => {
    for (const bad of [Number.NaN, Infinity, -3e38]) {
      expect(sample([[bad, 0]], {})).toEqual([0]);
      for (const padding_mode of ['border', 'reflection'] as const)
        for (const mode of ['nearest', 'linear', 'cubic'] as const)
          for (const value of sample([[bad, 0]], { mode, padding_mode })) expect(value).toBeGreaterThan(0);
    }
  });

  it('G12: grids of another batch, rank or width are refused', () => {
    for (const shape of [
      [2, 1, 1, 2],
      [1, 1, 2],
      [1, 1, 1, 3],
    ])
      expect(code(() => inferOp('GridSample', [x, { dtype: 'float32', shape }]))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('AffineGrid', () => {
  it('maps the centres, or the corners, of the elements', () => {
    const identity = t('float32', [1, 2, 3], [1, 0, 0, 0, 1, 0]);
    close(list(runOp('AffineGrid', [identity, ints(1, 1, 1, 2)])[0]), [-0.5, 0, 0.5, 0]);
    close(
      list(runOp('AffineGrid', [identity, ints(1, 1, 2, 2)], { align_corners: 1 })[0]),
      [-1, -1, 1, -1, -1, 1, 1, 1],
    );
    const moved = t('float32', [1, 2, 3], [0, 1, 10, 1, 0, 20]);
    close(list(runOp('AffineGrid', [moved, ints(1, 1, 1, 2)])[0]), [10, 19.5, 10, 20.5]);
    const volume = t('float32', [1, 3, 4], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 7]);
    close(list(runOp('AffineGrid', [volume, ints(1, 1, 2, 1, 1)])[0]), [0, 0, 6.5, 0, 0, 7.5]);
    expect(code(() => runOp('AffineGrid', [identity, ints(1, 1, 2)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('AffineGrid', [identity, ints(2, 1, 2, 2)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('Col2Im', () => {
  it('adds blocks up where they overlap, with strides, pads and dilations', () => {
    // One axis, blocks [0, 1] and [1, 2] of an image of 3.
    const x = t('float32', [1, 2, 2], [1, 2, 10, 20]);
    expect(list(runOp('Col2Im', [x, ints(3), ints(2)])[0])).toEqual([1, 12, 20]);
    expect(list(runOp('Col2Im', [x, ints(4), ints(2)], { strides: [2] })[0])).toEqual([1, 10, 2, 20]);
    expect(list(runOp('Col2Im', [x, ints(4), ints(2)], { dilations: [2] })[0])).toEqual([1, 2, 10, 20]);
    // Pad 1 and 0: blocks at -1 and 0 of an image of 2; what falls into the padding is dropped.
    expect(list(runOp('Col2Im', [x, ints(2), ints(2)], { pads: [1, 0] })[0])).toEqual([12, 20]);
    const big = t('int64', [1, 2, 2], [0, 2n ** 60n, 1, 0]);
    expect(runOp('Col2Im', [big, ints(3), ints(2)])[0]?.data[1]).toBe(2n ** 60n + 1n);
  });

  it('G10: windows that do not fit and wrong numbers of rows or blocks are refused', () => {
    const x = t('float32', [1, 2, 2], [1, 2, 10, 20]);
    expect(code(() => runOp('Col2Im', [x, ints(4), ints(2)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('Col2Im', [x, ints(3), ints(3)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('Col2Im', [x, ints(1), ints(2)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('Col2Im', [x, ints(3), ints(0)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    for (const bad of [{ strides: [0] }, { dilations: [0] }, { pads: [-1, 0] }, { strides: [1, 1] }])
      expect(code(() => runOp('Col2Im', [x, ints(3), ints(2)], bad))).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });
});

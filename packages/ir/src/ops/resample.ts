/** Operators that read an input between its elements, or put windows of it back together. */
import { flag, float, ints, op, optional, string } from '../op.ts';
import { type Dim, DTYPES, FLOAT_DTYPES, formatShape, isStatic, type Shape } from '../types.ts';
import { integerList, needEqual, needRank, normalAxes, openDims, type Rule, shapeFrom } from './axes.ts';

/** Whether an optional list is there: before opset 13 an empty tensor stood for an absent one, and files still do that. */
function given(c: Pick<Rule, 'has' | 'shape'>, input: number): boolean {
  return c.has(input) && c.shape(input)?.[0] !== 0;
}

interface ResizePlan {
  readonly lengths: readonly number[];
  /** What coordinates are divided by; not always the quotient of the lengths, which are rounded. */
  readonly scales: readonly number[];
}

/**
 * Lengths and scales of a resize, of all axes; `scales` or `sizes` has an entry for each of `axes`.
 * @see ONNX Resize-19. The length is floor(length · scale) in float32, as in onnx's own shape inference.
 */
export function resizePlan(
  shape: readonly number[],
  axes: readonly number[],
  list: { readonly scales: readonly number[] } | { readonly sizes: readonly number[] },
  policy: string,
): ResizePlan {
  const lengths = [...shape];
  const scales = shape.map(() => 1);
  if ('scales' in list) {
    axes.forEach((axis, i) => {
      scales[axis] = list.scales[i] ?? 1;
      lengths[axis] = Math.floor(Math.fround((shape[axis] ?? 0) * (list.scales[i] ?? 1)));
    });
    return { lengths, scales };
  }
  const ratio = (axis: number, i: number) => (shape[axis] === 0 ? 1 : (list.sizes[i] ?? 0) / (shape[axis] ?? 1));
  const ratios = axes.map(ratio);
  const common = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
  axes.forEach((axis, i) => {
    scales[axis] = policy === 'stretch' ? (ratios[i] ?? 1) : common;
    lengths[axis] = policy === 'stretch' ? (list.sizes[i] ?? 0) : Math.floor(common * (shape[axis] ?? 0) + 0.5);
  });
  return { lengths, scales };
}

interface ResizeAttributes {
  readonly axes?: readonly number[] | undefined;
  readonly coordinate_transformation_mode: string;
  readonly keep_aspect_ratio_policy: string;
}

function resized(c: Rule, attributes: ResizeAttributes): Shape | null {
  const shape = c.shape(0);
  const { keep_aspect_ratio_policy: policy } = attributes;
  const [byScales, bySizes] = [given(c, 2), given(c, 3)];
  if (byScales === bySizes)
    c.fail(`has ${byScales ? 'both scales and sizes' : 'neither scales nor sizes'}; exactly one of the two is needed.`);
  if (attributes.coordinate_transformation_mode === 'tf_crop_and_resize' && !given(c, 1))
    c.fail('coordinate_transformation_mode is tf_crop_and_resize; an roi is needed for it.');
  if (!shape) return null;
  const axes = attributes.axes ? normalAxes(c, attributes.axes, shape.length) : Array.from(shape.keys());
  const name = byScales ? 'scales' : 'sizes';
  const input = byScales ? 2 : 3;
  needRank(c, c.shape(input), name, 1, 1);
  needEqual(c, c.shape(input)?.[0], axes.length, `number of ${name} and of axes`);
  if (given(c, 1)) {
    needRank(c, c.shape(1), 'roi', 1, 1);
    needEqual(c, c.shape(1)?.[0], 2 * axes.length, 'number of entries of roi and of starts and ends');
    for (const value of c.reals(1) ?? [])
      if (!Number.isFinite(value)) c.fail(`roi has ${value}; finite numbers are needed.`, 'GRIM_IR_BAD_VALUE');
  }
  const values = byScales ? c.reals(2) : c.integers(3);
  values?.forEach((value, i) => {
    if (byScales ? !(value > 0 && value < Infinity) : value < 0)
      c.fail(`${name} has ${value} in place ${i}; ${byScales ? 'finite numbers above 0' : '0 or more'} are needed.`);
    if (shape[axes[i] ?? 0] === 0 && bySizes && value > 0)
      c.fail(`sizes has ${value} for axis ${axes[i]}, which is empty: there is nothing to resize.`);
  });
  const list = values && (byScales ? { scales: values } : { sizes: values });
  if (list && isStatic(shape)) return resizePlan(shape, axes, list, policy).lengths;
  // Axis by axis, unless one scale for all needs all lengths.
  return shape.map((dim, axis): Dim => {
    const i = axes.indexOf(axis);
    if (i < 0 || (byScales && values?.[i] === 1)) return dim;
    if (!values || (bySizes && policy !== 'stretch')) return c.unknown();
    if (bySizes) return values[i] ?? 0;
    return typeof dim === 'number' ? Math.floor(Math.fround(dim * (values[i] ?? 1))) : c.unknown();
  });
}

/** Positions of a window of `kernel` over `length` padded elements. */
export function windowCount(length: number, pad: number, kernel: number, dilation: number, stride: number): number {
  return Math.floor((length + pad - dilation * (kernel - 1) - 1) / stride) + 1;
}

interface WindowAttributes {
  readonly dilations?: readonly number[] | undefined;
  readonly pads?: readonly number[] | undefined;
  readonly strides?: readonly number[] | undefined;
}

/** Dilations, pads and strides of `rank` axes, defaults filled in. */
export function windowOf(
  a: WindowAttributes,
  rank: number,
): { readonly dilations: readonly number[]; readonly pads: readonly number[]; readonly strides: readonly number[] } {
  const ones = new Array<number>(rank).fill(1);
  return {
    dilations: a.dilations ?? ones,
    pads: a.pads ?? new Array<number>(2 * rank).fill(0),
    strides: a.strides ?? ones,
  };
}

/** Fails the rule unless there is one dilation and stride per axis, at least 1, and two pads, at least 0. */
export function checkWindow(c: Pick<Rule, 'fail'>, a: WindowAttributes, rank: number): void {
  for (const [name, list, count, least] of [
    ['dilations', a.dilations, rank, 1],
    ['strides', a.strides, rank, 1],
    ['pads', a.pads, 2 * rank, 0],
  ] as const) {
    if (!list) continue;
    if (list.length !== count || list.some((value) => value < least))
      c.fail(
        `${name} is [${list.join(', ')}]; ${count} integers of at least ${least} are needed.`,
        'GRIM_IR_BAD_ATTRIBUTE',
      );
  }
}

export const resampleOps = {
  Resize: op({
    since: 19,
    inputs: ['X: T1', 'roi?: T2', 'scales?: float32', 'sizes?: int64'],
    outputs: ['Y: T1'],
    types: { T1: DTYPES, T2: ['float16', 'float32', 'float64'] },
    attributes: {
      antialias: flag(0),
      axes: optional(ints()),
      coordinate_transformation_mode: string(
        [
          'half_pixel',
          'half_pixel_symmetric',
          'pytorch_half_pixel',
          'align_corners',
          'asymmetric',
          'tf_crop_and_resize',
          // Of Resize-11 alone; no later mode says the same, so the graph keeps it.
          'tf_half_pixel_for_nn',
        ],
        'half_pixel',
      ),
      cubic_coeff_a: float(-0.75),
      exclude_outside: flag(0),
      extrapolation_value: float(0),
      keep_aspect_ratio_policy: string(['stretch', 'not_larger', 'not_smaller'], 'stretch'),
      mode: string(['nearest', 'linear', 'cubic'], 'nearest'),
      nearest_mode: string(['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'], 'round_prefer_floor'),
    },
    infer: (c) => [resized(c, c.attributes)],
  }),

  GridSample: op({
    since: 22,
    inputs: ['X: T1', 'grid: T2'],
    outputs: ['Y: T1'],
    types: { T1: DTYPES, T2: FLOAT_DTYPES },
    attributes: {
      align_corners: flag(0),
      mode: string(['linear', 'nearest', 'cubic'], 'linear'),
      padding_mode: string(['zeros', 'border', 'reflection'], 'zeros'),
    },
    infer: (c) => {
      const [x, grid] = [c.shape(0), c.shape(1)];
      needRank(c, x, 'X', 3);
      needRank(c, grid, 'grid', 3);
      if (!x || !grid) return [x ? openDims(c, x.length) : null];
      needEqual(c, x.length, grid.length, `ranks of X ${formatShape(x)} and grid ${formatShape(grid)}`);
      needEqual(c, x[0], grid[0], 'batches of X and grid');
      needEqual(c, grid.at(-1), x.length - 2, 'last axis of grid and number of spatial axes of X');
      const space = grid.slice(1, -1);
      // Border and reflection have nothing to repeat.
      if (x.slice(2).includes(0) && !space.includes(0))
        c.fail(`X ${formatShape(x)} is empty: there is nothing to sample at ${formatShape(space)} places.`);
      return [[typeof x[0] === 'number' ? x[0] : (grid[0] as Dim), x[1] as Dim, ...space]];
    },
  }),

  AffineGrid: op({
    since: 20,
    inputs: ['theta: T1', 'size: int64'],
    outputs: ['grid: T1'],
    types: { T1: FLOAT_DTYPES },
    attributes: { align_corners: flag(0) },
    infer: (c) => {
      const theta = c.shape(0);
      const size = shapeFrom(c, 1, 'size');
      if (size && size.length !== 4 && size.length !== 5)
        c.fail(`size ${formatShape(size)} has ${size.length} entries; N, C, H, W or N, C, D, H, W are needed.`);
      needRank(c, theta, 'theta', 3, 3);
      if (!size) return [null];
      const space = size.slice(2);
      needEqual(c, theta?.[0], size[0], 'batches of theta and size');
      needEqual(c, theta?.[1], space.length, 'rows of theta and spatial axes');
      needEqual(c, theta?.[2], space.length + 1, 'columns of theta and spatial axes plus one');
      return [[size[0] as Dim, ...space, space.length]];
    },
  }),

  Col2Im: op({
    since: 18,
    inputs: ['input: T', 'image_shape: int64', 'block_shape: int64'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: { dilations: optional(ints()), pads: optional(ints()), strides: optional(ints()) },
    infer: (c) => {
      const input = c.shape(0);
      const image = integerList(c, 1, 'image_shape');
      const block = integerList(c, 2, 'block_shape');
      needRank(c, input, 'input', 3, 3);
      needEqual(c, image.length, block.length, 'number of entries of image_shape and of block_shape');
      const rank = image.length ?? block.length;
      if (rank === undefined) return [null];
      checkWindow(c, c.attributes, rank);
      const open = openDims(c, rank + 2);
      const { values: lengths } = image;
      const { values: kernel } = block;
      for (const [name, list] of Object.entries({ image_shape: lengths, block_shape: kernel }))
        if (list?.some((value) => value < 1)) c.fail(`${name} [${list.join(', ')}]: lengths of at least 1 are needed.`);
      const elements = kernel?.reduce((product, k) => product * k, 1);
      const columns = input?.[1];
      let channels: Dim = open[1] as Dim;
      if (elements !== undefined && typeof columns === 'number') {
        if (columns % elements !== 0)
          c.fail(`input has ${columns} rows; a multiple of ${elements}, the elements of a block, is needed.`);
        channels = columns / elements;
      }
      if (lengths && kernel) {
        const { dilations, pads, strides } = windowOf(c.attributes, rank);
        const counts = lengths.map((length, i) => {
          const pad = (pads[i] ?? 0) + (pads[i + rank] ?? 0);
          return windowCount(length, pad, kernel[i] ?? 1, dilations[i] ?? 1, strides[i] ?? 1);
        });
        if (counts.some((count) => count < 1))
          c.fail(
            `block_shape [${kernel.join(', ')}] with its dilations does not fit image_shape [${lengths.join(', ')}] with its pads.`,
          );
        const blocks = counts.reduce((product, count) => product * count, 1);
        needEqual(c, input?.[2], blocks, `columns of input and blocks of the image (${counts.join(' × ')})`);
      }
      return [[input?.[0] ?? (open[0] as Dim), channels, ...open.slice(2).map((dim, i) => lengths?.[i] ?? dim)]];
    },
  }),
};

/**
 * `Resize`: every axis on its own, as a table of which input elements make each output element, and how much of each.
 * @see ONNX Resize-19; cubic: Keys, "Cubic convolution interpolation for digital image processing" (1981)
 */
import type { Attributes } from '../graph.ts';
import { fromReals, toReals } from '../numeric.ts';
import { resizePlan } from '../ops/resample.ts';
import { type DType, INTEGER_DTYPES, isBig, type Tensor } from '../types.ts';
import { bitsOf, sizeOf, takeGrid } from './indexing.ts';
import type { Kernel } from './kernel.ts';

type ResizeAttributes = Attributes<'Resize'>;

/** One axis of the resize. */
interface Axis {
  readonly from: number;
  readonly to: number;
  readonly scale: number;
  readonly roi: readonly [start: number, end: number];
}

/** Where output element `x` lies in the input. */
function coordinate(
  x: number,
  { from, to, scale, roi }: Axis,
  mode: ResizeAttributes['coordinate_transformation_mode'],
): number {
  switch (mode) {
    case 'half_pixel':
      return (x + 0.5) / scale - 0.5;
    case 'half_pixel_symmetric': {
      // Keeps the middle in the middle when the output was rounded to a whole length.
      const adjustment = to / (scale * from);
      return (from / 2) * (1 - adjustment) + (x + 0.5) / scale - 0.5;
    }
    case 'pytorch_half_pixel':
      return to > 1 ? (x + 0.5) / scale - 0.5 : 0;
    case 'align_corners':
      return to > 1 ? (x * (from - 1)) / (to - 1) : 0;
    case 'asymmetric':
      return x / scale;
    case 'tf_half_pixel_for_nn':
      return (x + 0.5) / scale;
    case 'tf_crop_and_resize': {
      const [start, end] = roi;
      return to > 1
        ? start * (from - 1) + (x * (end - start) * (from - 1)) / (to - 1)
        : 0.5 * (start + end) * (from - 1);
    }
  }
}

/** Keys' kernel with the given slope; 0 beyond 2. */
function cubic(distance: number, a: number): number {
  const x = Math.abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

function nearest(x: number, mode: ResizeAttributes['nearest_mode']): number {
  switch (mode) {
    case 'floor':
      return Math.floor(x);
    case 'ceil':
      return Math.ceil(x);
    case 'round_prefer_floor':
      return Math.ceil(x - 0.5);
    case 'round_prefer_ceil':
      return Math.floor(x + 0.5);
  }
}

/** The input elements that make one output element, each with its share; places outside count for the edge. */
type Taps = ReadonlyMap<number, number>;

function taps(x: number, axis: Axis, a: ResizeAttributes): Taps {
  // Antialiasing stretches the kernel over the elements that fall on one output element.
  const shrink = a.antialias ? Math.min(axis.scale, 1) : 1;
  const reach = (a.mode === 'cubic' ? 2 : 1) / shrink;
  // Farther out than this nothing but the edge counts.
  const centre = Math.min(Math.max(x, -reach), axis.from - 1 + reach);
  const shares = new Map<number, number>();
  let total = 0;
  for (let place = Math.ceil(centre - reach); place <= centre + reach; place++) {
    if (a.exclude_outside && (place < 0 || place >= axis.from)) continue;
    const distance = (place - centre) * shrink;
    const share = a.mode === 'cubic' ? cubic(distance, a.cubic_coeff_a) : Math.max(1 - Math.abs(distance), 0);
    // What counts nothing is left out, so that 0 · Infinity does not become NaN.
    if (share === 0) continue;
    const index = Math.min(Math.max(place, 0), axis.from - 1);
    shares.set(index, (shares.get(index) ?? 0) + share);
    total += share;
  }
  for (const [index, share] of shares) shares.set(index, share / total);
  return shares;
}

/** Replaces axis `d` of the values, of the given shape, by weighted sums along it. */
function along(values: ArrayLike<number>, shape: readonly number[], d: number, table: readonly Taps[]): Float64Array {
  const [outer, inner] = [sizeOf(shape.slice(0, d)), sizeOf(shape.slice(d + 1))];
  const [from, to] = [shape[d] ?? 0, table.length];
  const result = new Float64Array(outer * to * inner);
  table.forEach((shares, x) => {
    for (const [index, share] of shares)
      for (let o = 0; o < outer; o++) {
        const [read, write] = [(o * from + index) * inner, (o * to + x) * inner];
        for (let i = 0; i < inner; i++) result[write + i] = (result[write + i] ?? 0) + share * (values[read + i] ?? 0);
      }
  });
  return result;
}

/** Integers keep to their range: the cubic kernel overshoots, and a byte that wraps from 256 to 0 helps nobody. */
function saturate(values: Float64Array, dtype: DType): Float64Array {
  if (!INTEGER_DTYPES.includes(dtype) || isBig(dtype)) return values;
  const bits = Number(dtype.replace(/\D/g, ''));
  const [low, high] = dtype.startsWith('u') ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  return values.map((value) => Math.min(Math.max(value, low), high));
}

export const resize: Kernel<'Resize'> = (c) => {
  const { attributes: a } = c;
  const input = c.input(0);
  const { dtype, shape } = c.outputs[0] as Tensor;
  const rank = shape.length;
  const chosen = a.axes?.map((axis) => (axis < 0 ? axis + rank : axis)) ?? Array.from(shape.keys());
  const [roi, scales, sizes] = [c.inputs[1], c.inputs[2], c.inputs[3]].map((list) =>
    list ? Array.from(toReals(list)) : [],
  );
  const plan = resizePlan(
    input.shape,
    chosen,
    scales?.length ? { scales } : { sizes: sizes ?? [] },
    a.keep_aspect_ratio_policy,
  );
  const axes = shape.map((to, d): Axis => {
    const i = chosen.indexOf(d);
    const start = i < 0 ? 0 : (roi?.[i] ?? 0);
    const end = i < 0 ? 1 : (roi?.[i + chosen.length] ?? 1);
    return { from: input.shape[d] ?? 0, to, scale: plan.scales[d] ?? 1, roi: [start, end] };
  });
  const coordinates = axes.map((axis) =>
    Float64Array.from({ length: axis.to }, (_, x) => {
      const found = coordinate(x, axis, a.coordinate_transformation_mode);
      // An roi near the end of the float range overflows: outside, like everything that far away.
      return Number.isNaN(found) ? -Infinity : found;
    }),
  );
  const result =
    a.mode === 'nearest'
      ? takeGrid(
          input,
          coordinates.map((list, d) => {
            const last = (axes[d]?.from ?? 1) - 1;
            return list.map((x) => Math.min(Math.max(nearest(x, a.nearest_mode), 0), last));
          }),
        )
      : interpolate(input, axes, coordinates, a);
  if (a.coordinate_transformation_mode === 'tf_crop_and_resize') extrapolate(result, axes, coordinates, a);
  return [{ ...result, dtype, shape } as Tensor];
};

function interpolate(
  input: Tensor,
  axes: readonly Axis[],
  coordinates: readonly Float64Array[],
  a: ResizeAttributes,
): Tensor {
  let values: ArrayLike<number> = toReals(input);
  const shape = [...input.shape];
  // Axes that shrink come first: what lies between is then never larger than the input and the output.
  const order = Array.from(shape.keys()).sort((p, q) => growth(axes[p]) - growth(axes[q]));
  for (const d of order) {
    const axis = axes[d] as Axis;
    const table = Array.from(coordinates[d] ?? [], (x) => taps(x, axis, a));
    const unchanged = axis.from === axis.to && table.every((shares, x) => shares.size === 1 && shares.get(x) === 1);
    if (unchanged) continue;
    values = along(values, shape, d, table);
    shape[d] = axis.to;
  }
  return fromReals(input.dtype, shape, saturate(Float64Array.from(values), input.dtype));
}

function growth(axis: Axis | undefined): number {
  return axis ? axis.to / Math.max(axis.from, 1) : 1;
}

/** Puts `extrapolation_value` wherever a coordinate lies outside the input. */
function extrapolate(
  result: Tensor,
  axes: readonly Axis[],
  coordinates: readonly Float64Array[],
  a: ResizeAttributes,
): void {
  const bits = bitsOf(result.data);
  const value = bitsOf(saturated(result.dtype, a.extrapolation_value).data)[0] as number;
  let inner = bits.length;
  coordinates.forEach((list, d) => {
    const length = list.length;
    inner /= length;
    const outside = Array.from(list, (x) => x < 0 || x > (axes[d]?.from ?? 1) - 1);
    if (outside.includes(true))
      for (let e = 0; e < bits.length; e++) if (outside[Math.floor(e / inner) % length]) bits[e] = value;
  });
}

function saturated(dtype: DType, value: number): Tensor {
  return fromReals(dtype, [], saturate(Float64Array.of(value), dtype));
}

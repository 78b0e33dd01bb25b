/**
 * Which input elements make each output element along one axis of a resize, and how much of each: all of it is known
 * when the model is compiled.
 * @see ONNX Resize-19; cubic: Keys, "Cubic convolution interpolation for digital image processing" (1981)
 */
import type { NodeOf } from '@grim/ir';

export type ResizeAttributes = NodeOf<'Resize'>['attributes'];

export interface ResizeAxis {
  readonly from: number;
  readonly to: number;
  /** What coordinates are divided by. */
  readonly scale: number;
  readonly roi: readonly [start: number, end: number];
}

/** Index in the input and its share. */
type Tap = readonly [index: number, share: number];

/** Where the elements of the output lie in the input, not yet held within it. */
export function coordinatesOf(axis: ResizeAxis, a: ResizeAttributes): readonly number[] {
  const { from, to, scale, roi } = axis;
  const place = (x: number): number => {
    switch (a.coordinate_transformation_mode) {
      case 'align_corners':
        return to > 1 ? (x * (from - 1)) / (to - 1) : 0;
      case 'asymmetric':
        return x / scale;
      case 'tf_half_pixel_for_nn':
        return (x + 0.5) / scale;
      case 'pytorch_half_pixel':
        return to > 1 ? (x + 0.5) / scale - 0.5 : 0;
      case 'half_pixel_symmetric':
        // The middle stays in the middle when the output was rounded to a whole length. In ONNX's order of operations:
        // a neighbour may hang on the last bit.
        return (from / 2) * (1 - to / (scale * from)) + (x + 0.5) / scale - 0.5;
      case 'tf_crop_and_resize': {
        const [start, end] = roi;
        const last = from - 1;
        return to > 1 ? start * last + (x * (end - start) * last) / (to - 1) : ((start + end) / 2) * last;
      }
      default:
        return (x + 0.5) / scale - 0.5;
    }
  };
  return Array.from({ length: to }, (_, x) => {
    const found = place(x);
    // Bounds of a region near the end of the float range overflow: as far outside as can be.
    return Number.isNaN(found) ? Number.NEGATIVE_INFINITY : found;
  });
}

/** The element next to a coordinate, as `nearest_mode` rounds. */
export function nearestIndex(x: number, { from }: ResizeAxis, mode: ResizeAttributes['nearest_mode']): number {
  const rounded =
    mode === 'floor'
      ? Math.floor(x)
      : mode === 'ceil'
        ? Math.ceil(x)
        : mode === 'round_prefer_ceil'
          ? Math.floor(x + 0.5)
          : Math.ceil(x - 0.5);
  return Math.min(Math.max(rounded, 0), from - 1);
}

/** Linear or cubic interpolation at a coordinate; what lies outside counts for the edge, or not at all. */
export function tapsOf(x: number, { from, scale }: ResizeAxis, a: ResizeAttributes): readonly Tap[] {
  // Antialiasing stretches the kernel over all that falls on one element.
  const shrink = a.antialias ? Math.min(scale, 1) : 1;
  const reach = (a.mode === 'cubic' ? 2 : 1) / shrink;
  // Farther out only the edge counts.
  const centre = Math.min(Math.max(x, -reach), from - 1 + reach);
  const shares = new Map<number, number>();
  let total = 0;
  for (let place = Math.ceil(centre - reach); place <= centre + reach; place++) {
    if (a.exclude_outside && (place < 0 || place >= from)) continue;
    const distance = Math.abs(place - centre) * shrink;
    const share = a.mode === 'cubic' ? keys(distance, a.cubic_coeff_a) : Math.max(1 - distance, 0);
    // A share of 0 is left out: 0 · ∞ would be NaN.
    if (share === 0) continue;
    const index = Math.min(Math.max(place, 0), from - 1);
    shares.set(index, (shares.get(index) ?? 0) + share);
    total += share;
  }
  return Array.from(shares, ([index, share]): Tap => [index, share / total]);
}

/** Keys' kernel of slope `a`, at a distance that is not negative. */
function keys(x: number, a: number): number {
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

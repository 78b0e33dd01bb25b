/** Kernels of the operators in `ops/resample.ts`, but for `Resize`. */
import { fromReals, roundTiesToEven, toBigs, toReals } from '../numeric.ts';
import { type resampleOps, windowCount, windowOf } from '../ops/resample.ts';
import { isBig, type Tensor } from '../types.ts';
import { bitsOf, blank, sizeOf, stridesOf } from './indexing.ts';
import type { Kernels } from './kernel.ts';
import { resize } from './resize.ts';

/** Mirrors `x` at `low` and `high` until it lies between them. */
function reflect(x: number, low: number, high: number): number {
  const span = high - low;
  if (span <= 0) return low;
  const distance = Math.abs(x - low) % (2 * span);
  return low + (distance <= span ? distance : 2 * span - distance);
}

/** Neighbours along one axis: index, -1 where padding is zero, and weight. */
type Neighbours = readonly (readonly [index: number, weight: number])[];

interface Sampling {
  readonly mode: 'linear' | 'nearest' | 'cubic';
  readonly padding_mode: 'zeros' | 'border' | 'reflection';
  readonly align_corners: number;
}

/** What an axis of `length` elements gives at the normalised coordinate: -1 and 1 are its ends. */
function neighbours(normalised: number, length: number, s: Sampling): Neighbours {
  const [low, high] = s.align_corners ? [0, length - 1] : [-0.5, length - 0.5];
  let x = s.align_corners ? ((normalised + 1) / 2) * (length - 1) : ((normalised + 1) * length - 1) / 2;
  if (s.mode === 'nearest') x = roundTiesToEven(x);
  if (x < low || x > high) {
    // The cubic kernel stays where it is and only its elements are moved, as in PyTorch, where the operator comes from.
    if (s.padding_mode === 'border' && s.mode !== 'cubic') x = Math.min(Math.max(x, 0), length - 1);
    if (s.padding_mode === 'reflection') x = reflect(x, low, high);
  }
  // NaN and infinities lie nowhere: zero, or the first element where there is no zero outside.
  if (!Number.isFinite(x)) return [[s.padding_mode === 'zeros' ? -1 : 0, 1]];
  const inside = (place: number): number => {
    if (place >= 0 && place < length) return place;
    if (s.padding_mode === 'zeros') return -1;
    const moved = s.padding_mode === 'border' ? place : Math.trunc(reflect(place, low, high));
    return Math.min(Math.max(moved, 0), length - 1);
  };
  if (s.mode === 'nearest') return [[inside(roundTiesToEven(x)), 1]];
  const floor = Math.floor(x);
  const t = x - floor;
  if (s.mode === 'linear')
    return [
      [inside(floor), 1 - t],
      [inside(floor + 1), t],
    ];
  const a = -0.75;
  const near = (d: number) => ((a + 2) * d - (a + 3)) * d * d + 1;
  const far = (d: number) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return [
    [inside(floor - 1), far(1 + t)],
    [inside(floor), near(t)],
    [inside(floor + 1), near(1 - t)],
    [inside(floor + 2), far(2 - t)],
  ];
}

export const resampleKernels: Kernels<keyof typeof resampleOps> = {
  Resize: resize,

  GridSample: (c) => {
    const [x, grid] = [c.input(0), toReals(c.input(1))];
    const { dtype, shape } = c.outputs[0] as Tensor;
    const space = x.shape.slice(2);
    const strides = stridesOf(space);
    const [batches = 0, channels = 0] = shape;
    const [points, size] = [sizeOf(shape.slice(2)), sizeOf(space)];
    const moving = c.attributes.mode === 'nearest';
    const { tensor, bits } = blank(dtype, shape);
    const fromBits = bitsOf(x.data);
    const from = moving ? [] : toReals(x);
    const values = new Float64Array(moving ? 0 : bits.length);
    for (let n = 0; n < batches; n++)
      for (let p = 0; p < points; p++) {
        // All combinations of neighbours along the axes. The grid names them innermost first: x, y, z.
        let taps: readonly (readonly [offset: number, weight: number])[] = [[0, 1]];
        space.forEach((length, axis) => {
          const normalised = grid[(n * points + p) * space.length + (space.length - 1 - axis)] ?? 0;
          const found = neighbours(normalised, length, c.attributes);
          taps = taps.flatMap(([offset, weight]) =>
            found
              .filter(([index, share]) => index >= 0 && share !== 0)
              .map(([index, share]) => [offset + index * (strides[axis] ?? 1), weight * share] as const),
          );
        });
        for (let channel = 0; channel < channels; channel++) {
          const [read, write] = [(n * channels + channel) * size, (n * channels + channel) * points + p];
          if (moving) {
            const [tap] = taps;
            if (tap) bits[write] = fromBits[read + tap[0]] as number;
          } else
            for (const [offset, weight] of taps)
              values[write] = (values[write] ?? 0) + weight * (from[read + offset] ?? 0);
        }
      }
    return [moving ? tensor : fromReals(dtype, shape, values)];
  },

  AffineGrid: (c) => {
    const theta = toReals(c.input(0));
    const { dtype, shape } = c.outputs[0] as Tensor;
    const space = shape.slice(1, -1);
    const rank = space.length;
    const points = sizeOf(space);
    const strides = stridesOf(space);
    const values = new Float64Array(sizeOf(shape));
    const at = (index: number, length: number): number => {
      if (!c.attributes.align_corners) return (2 * index + 1) / length - 1;
      // The only element of an axis lies in the middle.
      return length > 1 ? (2 * index) / (length - 1) - 1 : 0;
    };
    for (let n = 0; n < (shape[0] ?? 0); n++)
      for (let p = 0; p < points; p++) {
        // Innermost axis first: x, y, z, and 1 for the translation.
        const position = space
          .map((length, axis) => at(Math.floor(p / (strides[axis] ?? 1)) % length, length))
          .reverse();
        position.push(1);
        for (let row = 0; row < rank; row++)
          values[(n * points + p) * rank + row] = position.reduce(
            (sum, x, col) => sum + x * (theta[(n * rank + row) * (rank + 1) + col] ?? 0),
            0,
          );
      }
    return [fromReals(dtype, shape, values)];
  },

  Col2Im: (c) => {
    const input = c.input(0);
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [batches = 0, channels = 0, ...image] = shape;
    const kernel = Array.from(c.input(2).data as BigInt64Array, Number);
    const rank = image.length;
    const { dilations, pads, strides } = windowOf(c.attributes, rank);
    const counts = image.map((length, i) =>
      windowCount(length, (pads[i] ?? 0) + (pads[i + rank] ?? 0), kernel[i] ?? 1, dilations[i] ?? 1, strides[i] ?? 1),
    );
    const [elements, blocks, size] = [sizeOf(kernel), sizeOf(counts), sizeOf(image)];
    const [kernelStrides, countStrides, imageStrides] = [stridesOf(kernel), stridesOf(counts), stridesOf(image)];
    /** Element of the image that element `k` of block `b` covers, or -1 in the padding. */
    const covered = (k: number, b: number): number => {
      let place = 0;
      for (let i = 0; i < rank; i++) {
        const within = Math.floor(k / (kernelStrides[i] ?? 1)) % (kernel[i] ?? 1);
        const block = Math.floor(b / (countStrides[i] ?? 1)) % (counts[i] ?? 1);
        const x = block * (strides[i] ?? 1) - (pads[i] ?? 0) + within * (dilations[i] ?? 1);
        if (x < 0 || x >= (image[i] ?? 0)) return -1;
        place += x * (imageStrides[i] ?? 1);
      }
      return place;
    };
    const big = isBig(dtype);
    const from = (big ? toBigs(input) : toReals(input)) as ArrayLike<number>;
    const { tensor } = blank(dtype, shape);
    // Numbers or bigints: one addition serves both. Floats are summed in float64 and rounded once.
    const sums = (big ? tensor.data : new Float64Array(sizeOf(shape))) as Float64Array;
    for (let k = 0; k < elements; k++)
      for (let b = 0; b < blocks; b++) {
        const place = covered(k, b);
        if (place < 0) continue;
        for (let plane = 0; plane < batches * channels; plane++)
          sums[plane * size + place] =
            (sums[plane * size + place] as number) + (from[(plane * elements + k) * blocks + b] as number);
      }
    return [big ? tensor : fromReals(dtype, shape, sums)];
  },
};

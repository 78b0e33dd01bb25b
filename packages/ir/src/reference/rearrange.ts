/** Kernels of the operators in `ops/rearrange.ts`: elements are moved as bits and never converted. */
import { padAmounts, type rearrangeOps, sliceRange, transposeOrder } from '../ops/rearrange.ts';
import type { Tensor } from '../types.ts';
import { bitsOf, blank, copyBox, stridesOf, take, takeGrid, transpose } from './indexing.ts';
import type { Kernels } from './kernel.ts';

const numbers = (value: Tensor): number[] => Array.from(value.data as BigInt64Array, Number);
const fromFront = (axes: readonly number[], rank: number): number[] =>
  axes.map((axis) => (axis < 0 ? axis + rank : axis));
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);

/** The source index of each place of an axis of length `kept` that gets `before` and `after` more. */
function paddedPlaces(mode: string, kept: number, before: number, after: number): number[] {
  // Reflection does not repeat the edge: 0 1 2 3 2 1 | 0 1 2 …, and over a single element it stays there.
  const period = Math.max(2 * (kept - 1), 1);
  return Array.from({ length: before + kept + after }, (_, place) => {
    const index = place - before;
    if (mode === 'edge') return Math.min(Math.max(index, 0), kept - 1);
    if (mode === 'wrap') return ((index % kept) + kept) % kept;
    const phase = ((index % period) + period) % period;
    return phase < kept ? phase : period - phase;
  });
}

/** Copies the middle of `value` into the middle of zeros or of `fill`; each axis starts at `source` and `target`. */
function place(
  value: Tensor,
  output: Pick<Tensor, 'dtype' | 'shape'>,
  lengths: readonly number[],
  source: readonly number[],
  target: readonly number[],
  fill?: Tensor,
): Tensor {
  const { tensor, bits } = blank(output.dtype, output.shape);
  if (fill) bits.fill(bitsOf(fill.data)[0] as number);
  const [read, write] = [stridesOf(value.shape), stridesOf(output.shape)];
  copyBox(lengths, bitsOf(value.data), { start: dot(source, read), strides: read }, bits, {
    start: dot(target, write),
    strides: write,
  });
  return tensor;
}

export const rearrangeKernels: Kernels<keyof typeof rearrangeOps> = {
  Transpose: (c) => [transpose(c.input(0), transposeOrder(c.attributes.perm, c.input(0).shape.length))],

  Concat: (c) => {
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [axis = 0] = fromFront([c.attributes.axis], shape.length);
    const { tensor, bits } = blank(dtype, shape);
    const strides = stridesOf(shape);
    let at = 0;
    for (const value of c.inputs as readonly Tensor[]) {
      const target = { start: at * (strides[axis] ?? 1), strides };
      copyBox(value.shape, bitsOf(value.data), { start: 0, strides: stridesOf(value.shape) }, bits, target);
      at += value.shape[axis] ?? 0;
    }
    return [tensor];
  },

  Split: (c) => {
    const value = c.input(0);
    const [axis = 0] = fromFront([c.attributes.axis], value.shape.length);
    const strides = stridesOf(value.shape);
    let at = 0;
    return c.outputs.map(({ shape }) => {
      const part = take(value, shape, { start: at * (strides[axis] ?? 1), strides });
      at += shape[axis] ?? 0;
      return part;
    });
  },

  Slice: (c) => {
    const value = c.input(0);
    const [starts, ends] = [numbers(c.input(1)), numbers(c.input(2))];
    const axes = c.inputs[3] ? fromFront(numbers(c.inputs[3]), value.shape.length) : Array.from(starts.keys());
    const steps = c.inputs[4] ? numbers(c.inputs[4]) : [];
    const strides = stridesOf(value.shape);
    let start = 0;
    const walked = [...strides];
    axes.forEach((axis, i) => {
      const [step, stride] = [steps[i] ?? 1, strides[axis] ?? 1];
      const [first] = sliceRange(value.shape[axis] ?? 0, starts[i] ?? 0, ends[i] ?? 0, step);
      start += first * stride;
      walked[axis] = step * stride;
    });
    return [take(value, (c.outputs[0] as Tensor).shape, { start, strides: walked })];
  },

  Pad: (c) => {
    const value = c.input(0);
    const rank = value.shape.length;
    const axes = c.inputs[3] ? fromFront(numbers(c.inputs[3]), rank) : Array.from(value.shape.keys());
    const { before, after } = padAmounts(rank, numbers(c.input(1)), axes);
    // Negative amounts first cut the input; the positive ones then pad what is left.
    const source = before.map((amount) => Math.max(-amount, 0));
    const lengths = value.shape.map((dim, i) => dim + Math.min(before[i] ?? 0, 0) + Math.min(after[i] ?? 0, 0));
    const target = before.map((amount) => Math.max(amount, 0));
    if (c.attributes.mode === 'constant')
      return [place(value, c.outputs[0] as Tensor, lengths, source, target, c.inputs[2])];
    const places = lengths.map((kept, i) =>
      paddedPlaces(c.attributes.mode, kept, target[i] ?? 0, Math.max(after[i] ?? 0, 0)).map(
        (p) => p + (source[i] ?? 0),
      ),
    );
    return [takeGrid(value, places)];
  },

  Expand: (c) => {
    const value = c.input(0);
    const { shape } = c.outputs[0] as Tensor;
    const strides = stridesOf(value.shape);
    const offset = shape.length - value.shape.length;
    const repeated = shape.map((_, i) => ((value.shape[i - offset] ?? 1) === 1 ? 0 : (strides[i - offset] ?? 0)));
    return [take(value, shape, { start: 0, strides: repeated })];
  },

  Tile: (c) => {
    const value = c.input(0);
    const strides = stridesOf(value.shape);
    // Each axis becomes two, the repeats and the axis itself: the walk stands still along the first.
    const shape = numbers(c.input(1)).flatMap((repeat, axis) => [repeat, value.shape[axis] ?? 1]);
    const walk = { start: 0, strides: strides.flatMap((stride) => [0, stride]) };
    return [take(value, shape, walk, (c.outputs[0] as Tensor).shape)];
  },

  DepthToSpace: (c) => {
    const value = c.input(0);
    const [n = 0, channels = 0, h = 0, w = 0] = value.shape;
    const b = c.attributes.blocksize;
    const depth = channels / (b * b);
    // DCR: channels are [b, b, depth]; CRD: [depth, b, b]. Either way the result is [n, depth, h, b, w, b].
    const [split, order] =
      c.attributes.mode === 'DCR'
        ? [
            [n, b, b, depth, h, w],
            [0, 3, 4, 1, 5, 2],
          ]
        : [
            [n, depth, b, b, h, w],
            [0, 1, 4, 2, 5, 3],
          ];
    return [{ ...transpose({ ...value, shape: split }, order), shape: (c.outputs[0] as Tensor).shape }];
  },

  SpaceToDepth: (c) => {
    const value = c.input(0);
    const [n = 0, channels = 0, h = 0, w = 0] = value.shape;
    const b = c.attributes.blocksize;
    const split = [n, channels, h / b, b, w / b, b];
    return [{ ...transpose({ ...value, shape: split }, [0, 3, 5, 1, 2, 4]), shape: (c.outputs[0] as Tensor).shape }];
  },

  ReverseSequence: (c) => {
    const value = c.input(0);
    const { time_axis: time, batch_axis: batch } = c.attributes;
    const strides = stridesOf(value.shape);
    const result = take(value, value.shape, { start: 0, strides });
    numbers(c.input(1)).forEach((length, b) => {
      const shape = value.shape.map((dim, axis) => (axis === time ? length : axis === batch ? 1 : dim));
      const [start, stride] = [b * (strides[batch] ?? 1), strides[time] ?? 1];
      const backward = strides.map((s, axis) => (axis === time ? -s : s));
      const source = { start: start + (length - 1) * stride, strides: backward };
      copyBox(shape, bitsOf(value.data), source, bitsOf(result.data), { start, strides });
    });
    return [result];
  },

  CenterCropPad: (c) => {
    const value = c.input(0);
    const output = c.outputs[0] as Tensor;
    // The odd element goes to the end: one more is cut there, or one more zero added.
    const surplus = value.shape.map((dim, axis) => dim - (output.shape[axis] ?? 0));
    const source = surplus.map((extra) => Math.floor(Math.max(extra, 0) / 2));
    const target = surplus.map((extra) => Math.floor(Math.max(-extra, 0) / 2));
    const lengths = value.shape.map((dim, axis) => Math.min(dim, output.shape[axis] ?? 0));
    return [place(value, output, lengths, source, target)];
  },
};

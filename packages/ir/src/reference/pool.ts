/** Kernels of the operators in `ops/pool.ts`. */
import { fromReals, toReals } from '../numeric.ts';
import { type poolOps, unpooledShape } from '../ops/pool.ts';
import { slidingWindow } from '../ops/window.ts';
import { allocate, type DType, type Tensor } from '../types.ts';
import { gatherIndices, sizeOf, stridesOf } from './indexing.ts';
import type { KernelContext, Kernels } from './kernel.ts';

/** Of every window along one axis, the part that lies on the input. */
interface Reach {
  readonly windows: number;
  readonly dilation: number;
  /** First input position that each window reads. */
  readonly first: Int32Array;
  /** How many taps from there on lie inside. */
  readonly count: Int32Array;
  /** Taps that lie inside the padded input; a window of ceil_mode may pass its end. */
  readonly padded: Int32Array;
}

type PoolContext = KernelContext<'AveragePool'> | KernelContext<'MaxPool'> | KernelContext<'LpPool'>;

const unknown = (): never => {
  throw new Error('internal: a length is not known while a kernel runs');
};

/** The reach of the windows along each spatial axis. */
function reaches(c: PoolContext): readonly Reach[] {
  const { kernel_shape, ceil_mode } = c.attributes;
  const input = c.input(0).shape.slice(2);
  return slidingWindow(c.fail, c.attributes, kernel_shape, input, unknown, { ceil: ceil_mode === 1 }).map((axis, i) => {
    const length = input[i] ?? 0;
    const { kernel, stride, dilation, before, after } = axis;
    const windows = Number(axis.output);
    const [first, count, padded] = [new Int32Array(windows), new Int32Array(windows), new Int32Array(windows)];
    const tapsBelow = (start: number, end: number) =>
      Math.min(Math.max(Math.ceil((end - start) / dilation), 0), kernel);
    for (let o = 0; o < windows; o++) {
      const start = o * stride - before;
      const skipped = tapsBelow(start, 0);
      first[o] = start + skipped * dilation;
      count[o] = tapsBelow(start, length) - skipped;
      padded[o] = tapsBelow(start, length + after);
    }
    return { windows, dilation, first, count, padded };
  });
}

/** The offsets in a plane that the window at `position` reads, in row-major order, written to `offsets`. */
function tapsOf(
  axes: readonly Reach[],
  position: readonly number[],
  strides: readonly number[],
  offsets: Int32Array,
): number {
  let count = 1;
  offsets[0] = 0;
  for (let axis = 0; axis < axes.length; axis++) {
    const { first, count: counts, dilation } = axes[axis] as Reach;
    const start = first[position[axis] ?? 0] ?? 0;
    const inside = counts[position[axis] ?? 0] ?? 0;
    const stride = strides[axis] ?? 1;
    // From the back, so that an entry is read before it is written over.
    for (let i = count - 1; i >= 0; i--) {
      const base = offsets[i] ?? 0;
      for (let k = inside - 1; k >= 0; k--) offsets[i * inside + k] = base + (start + k * dilation) * stride;
    }
    count *= inside;
  }
  return count;
}

/**
 * Calls `visit` for every window: its place in the output, the plane it is in, the offsets it reads there (`count` of
 * them), and its position along each axis. The windows of a plane are worked out once and used for every plane.
 */
function eachWindow(
  c: PoolContext,
  axes: readonly Reach[],
  visit: (output: number, base: number, offsets: Int32Array, count: number, position: readonly number[]) => void,
): void {
  const { shape } = c.input(0);
  const spatial = shape.slice(2);
  const planes = (shape[0] ?? 0) * (shape[1] ?? 0);
  const windows = axes.map((axis) => axis.windows);
  const perPlane = sizeOf(windows);
  const planeSize = sizeOf(spatial);
  const strides = stridesOf(spatial);
  const offsets = new Int32Array(
    axes.reduce((all, { count }) => all * count.reduce((most, inside) => Math.max(most, inside), 1), 1),
  );
  const position = new Array<number>(axes.length).fill(0);
  for (let window = 0; window < perPlane; window++) {
    const count = tapsOf(axes, position, strides, offsets);
    for (let plane = 0; plane < planes; plane++)
      visit(plane * perPlane + window, plane * planeSize, offsets, count, position);
    for (let axis = axes.length - 1; axis >= 0; axis--) {
      position[axis] = (position[axis] ?? 0) + 1;
      if ((position[axis] ?? 0) < (windows[axis] ?? 1)) break;
      position[axis] = 0;
    }
  }
}

/** What a maximum over nothing is. */
const LEAST: Partial<Record<DType, number>> = { int8: -128, uint8: 0 };

/** Sum of |x|^p over a run of elements, then its p-th root; scaled by the largest so that no power overflows. */
function norm(x: ArrayLike<number>, p: number, count: number, at: (i: number) => number): number {
  let largest = 0;
  for (let i = 0; i < count; i++) {
    const magnitude = Math.abs(x[at(i)] as number);
    if (Number.isNaN(magnitude)) return Number.NaN;
    if (magnitude > largest) largest = magnitude;
  }
  if (largest === 0 || largest === Infinity) return largest;
  let sum = 0;
  for (let i = 0; i < count; i++) sum += (Math.abs(x[at(i)] as number) / largest) ** p;
  return largest * sum ** (1 / p);
}

/** One value for each channel of each batch element, from all its spatial positions. */
function poolGlobally(
  c: KernelContext<'GlobalAveragePool'> | KernelContext<'GlobalMaxPool'> | KernelContext<'GlobalLpPool'>,
  reduce: (x: ArrayLike<number>, start: number, count: number) => number,
): readonly Tensor[] {
  const x = c.input(0);
  const { dtype, shape } = c.outputs[0] as Tensor;
  const values = toReals(x);
  const size = sizeOf(x.shape.slice(2));
  return [
    fromReals(
      dtype,
      shape,
      Float64Array.from({ length: sizeOf(shape) }, (_, i) => reduce(values, i * size, size)),
    ),
  ];
}

export const poolKernels: Kernels<keyof typeof poolOps> = {
  AveragePool: (c) => {
    const { dtype, shape } = c.outputs[0] as Tensor;
    const x = toReals(c.input(0));
    const y = new Float64Array(sizeOf(shape));
    if (y.length === 0) return [fromReals(dtype, shape, y)];
    const axes = reaches(c);
    const withPadding = c.attributes.count_include_pad === 1;
    eachWindow(c, axes, (output, base, offsets, count, position) => {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += x[base + (offsets[i] as number)] as number;
      let divisor = count;
      if (withPadding) {
        divisor = 1;
        for (let axis = 0; axis < axes.length; axis++) divisor *= axes[axis]?.padded[position[axis] ?? 0] ?? 1;
      }
      y[output] = sum / divisor;
    });
    return [fromReals(dtype, shape, y)];
  },

  MaxPool: (c) => {
    const { dtype, shape } = c.outputs[0] as Tensor;
    const spatial = c.input(0).shape.slice(2);
    const x = toReals(c.input(0));
    const y = new Float64Array(sizeOf(shape));
    const indices = new BigInt64Array(y.length);
    if (y.length === 0) return [fromReals(dtype, shape, y), { dtype: 'int64', shape, data: indices }];
    // Where each element of a plane is counted: row-major, or with the first axis fastest.
    const backwards = stridesOf([...spatial].reverse()).reverse();
    const numbering = c.attributes.storage_order === 1 ? gatherIndices(spatial, backwards) : undefined;
    eachWindow(c, reaches(c), (output, base, offsets, count) => {
      let best = LEAST[dtype] ?? -Infinity;
      let where = -1;
      for (let i = 0; i < count; i++) {
        const offset = offsets[i] as number;
        const value = x[base + offset] as number;
        // NaN wins and stays, as in every other maximum; among equals the first.
        if (where < 0 || value > best || (Number.isNaN(value) && !Number.isNaN(best))) {
          best = value;
          where = offset;
        }
      }
      y[output] = best;
      indices[output] = where < 0 ? -1n : BigInt(base + (numbering ? (numbering[where] as number) : where));
    });
    return [fromReals(dtype, shape, y), { dtype: 'int64', shape, data: indices }];
  },

  LpPool: (c) => {
    const { dtype, shape } = c.outputs[0] as Tensor;
    const x = toReals(c.input(0));
    const y = new Float64Array(sizeOf(shape));
    if (y.length === 0) return [fromReals(dtype, shape, y)];
    eachWindow(c, reaches(c), (output, base, offsets, count) => {
      y[output] = norm(x, c.attributes.p, count, (i) => base + (offsets[i] as number));
    });
    return [fromReals(dtype, shape, y)];
  },

  GlobalAveragePool: (c) =>
    poolGlobally(c, (x, start, count) => {
      let sum = 0;
      for (let i = start; i < start + count; i++) sum += x[i] as number;
      return sum / count;
    }),

  GlobalMaxPool: (c) =>
    poolGlobally(c, (x, start, count) => {
      let best = -Infinity;
      for (let i = start; i < start + count; i++) best = Math.max(best, x[i] as number);
      return best;
    }),

  GlobalLpPool: (c) => {
    const { p } = c.attributes;
    return poolGlobally(c, (x, start, count) => norm(x, p, count, (i) => start + i));
  },

  MaxUnpool: (c) => {
    const [x, places] = [c.input(0), c.input(1)];
    const { dtype, shape } = c.outputs[0] as Tensor;
    // The indices count in the shape that was pooled; a larger output_shape adds zeros behind it.
    const natural = unpooledShape(c, c.attributes, x.shape, unknown).map(Number);
    const size = sizeOf(natural);
    const to = gatherIndices(natural, stridesOf(shape));
    const data = allocate(dtype, sizeOf(shape));
    for (let i = 0; i < x.data.length; i++) {
      const place = Number(places.data[i]);
      if (place < 0 || place >= size)
        c.fail(`I holds ${places.data[i]}; indices from 0 to ${size - 1} are needed, into [${natural.join(', ')}].`);
      data[to[place] ?? 0] = x.data[i] as never;
    }
    return [{ dtype, shape, data } as Tensor];
  },
};

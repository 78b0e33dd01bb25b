/**
 * Kernels of the operators in `ops/conv.ts`: direct convolution, one tap of one filter at a time over whole rows, so that
 * the inner loop is a multiply-accumulate over neighbouring doubles. Padding is never read: a tap only visits the output
 * positions whose input exists.
 */
import { fromReals } from '../numeric.ts';
import type { convOps } from '../ops/conv.ts';
import { slidingWindow, transposedWindow } from '../ops/window.ts';
import type { Tensor } from '../types.ts';
import { type Reals, readReals, toDoubles } from './arithmetic.ts';
import { sizeOf, stridesOf } from './indexing.ts';
import type { KernelContext, Kernels } from './kernel.ts';
import { requantize } from './saturate.ts';

/** Where a tap joins positions of the two sides: `wide = narrow·stride + tap·dilation − before`. */
interface JoinAxis {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  /** Length of the side that windows slide over (Conv: input; ConvTranspose: output). */
  readonly wide: number;
  /** Number of windows (Conv: output; ConvTranspose: input). */
  readonly narrow: number;
}

/** Rows (all spatial axes but the last) that one tap of the leading kernel axes joins, as pairs of row numbers. */
interface RowPairs {
  readonly narrow: Int32Array;
  readonly wide: Int32Array;
}

/** The pairs of one tap after the other, row-major over the leading kernel axes: all at once would fill memory. */
function* rowPairs(axes: readonly JoinAxis[], outer: RowPairs = TOP): Generator<RowPairs> {
  const [axis, ...rest] = axes;
  if (!axis) {
    yield outer;
    return;
  }
  for (let tap = 0; tap < axis.kernel; tap++) {
    const { first, end, offset } = reach(axis, tap);
    const count = Math.max(end - first, 0);
    const narrow = new Int32Array(outer.narrow.length * count);
    const wide = new Int32Array(outer.wide.length * count);
    let at = 0;
    for (let i = 0; i < outer.narrow.length; i++)
      for (let o = first; o < end; o++, at++) {
        narrow[at] = (outer.narrow[i] ?? 0) * axis.narrow + o;
        wide[at] = (outer.wide[i] ?? 0) * axis.wide + o * axis.stride + offset;
      }
    yield* rowPairs(rest, { narrow, wide });
  }
}

const TOP: RowPairs = { narrow: Int32Array.of(0), wide: Int32Array.of(0) };

/** The windows [first, end) whose tap falls inside, and what to add to window·stride. */
function reach(axis: JoinAxis, tap: number): { first: number; end: number; offset: number } {
  const offset = tap * axis.dilation - axis.before;
  const first = Math.max(Math.ceil(-offset / axis.stride), 0);
  const end = Math.min(Math.floor((axis.wide - 1 - offset) / axis.stride) + 1, axis.narrow);
  return { first, end, offset };
}

/** A convolution of 1×1 windows side by side is one long row: fewer, longer inner loops. */
function merge(axes: readonly JoinAxis[]): readonly JoinAxis[] {
  const plain = axes.every((a) => a.kernel === 1 && a.stride === 1 && a.before === 0 && a.wide === a.narrow);
  if (!plain) return axes;
  const length = axes.reduce((all, { wide }) => all * wide, 1);
  return [{ kernel: 1, stride: 1, dilation: 1, before: 0, wide: length, narrow: length }];
}

interface Problem {
  readonly batch: number;
  readonly group: number;
  /** Channels of one group on each side. */
  readonly inputs: number;
  readonly outputs: number;
  readonly axes: readonly JoinAxis[];
}

/** Sizes of a channel's plane on both sides, and of a filter's. */
function layoutOf(axes: readonly JoinAxis[]) {
  const last = axes.at(-1) as JoinAxis;
  const size = (length: (axis: JoinAxis) => number) => axes.reduce((all, axis) => all * length(axis), 1);
  return { last, narrowPlane: size((a) => a.narrow), widePlane: size((a) => a.wide), taps: size((a) => a.kernel) };
}

function biased(bias: ArrayLike<number> | undefined, p: Problem, plane: number): Float64Array {
  const filters = p.outputs * p.group;
  const y = new Float64Array(p.batch * filters * plane);
  if (bias) for (let i = 0; i * plane < y.length; i++) y.fill(bias[i % filters] ?? 0, i * plane, (i + 1) * plane);
  return y;
}

/** Y[n, m] = bias[m] + Σ over channels c of m's group and taps t of W[m, c, t] · X[n, c, where t reads]. */
function convolve(x: Float64Array, w: Reals, bias: ArrayLike<number> | undefined, p: Problem): Float64Array {
  const axes = merge(p.axes);
  const { last, narrowPlane, widePlane, taps } = layoutOf(axes);
  const { stride } = last;
  const filters = p.outputs * p.group;
  const channels = p.inputs * p.group;
  const y = biased(bias, p, narrowPlane);
  if (y.length === 0 || w.length === 0) return y;
  const columns = Array.from({ length: last.kernel }, (_, tap) => reach(last, tap));
  let lead = 0;
  for (const { narrow, wide } of rowPairs(axes.slice(0, -1))) {
    for (let n = 0; n < p.batch; n++)
      for (let m = 0; m < filters; m++) {
        const base = (n * filters + m) * narrowPlane;
        const firstChannel = Math.floor(m / p.outputs) * p.inputs;
        for (let c = 0; c < p.inputs; c++) {
          const plane = (n * channels + firstChannel + c) * widePlane;
          let tap = (m * p.inputs + c) * taps + lead;
          for (const { first, end, offset } of columns) {
            const weight = w[tap++] as number;
            for (let r = 0; r < narrow.length; r++) {
              const to = base + (narrow[r] as number) * last.narrow;
              let from = plane + (wide[r] as number) * last.wide + first * stride + offset;
              for (let i = to + first; i < to + end; i++, from += stride)
                y[i] = (y[i] as number) + weight * (x[from] as number);
            }
          }
        }
      }
    lead += last.kernel;
  }
  return y;
}

/** The transpose of {@link convolve}: every input element adds its filters to the output, around where it stands. */
function scatter(x: Float64Array, w: Reals, bias: ArrayLike<number> | undefined, p: Problem): Float64Array {
  const axes = merge(p.axes);
  const { last, narrowPlane, widePlane, taps } = layoutOf(axes);
  const { stride } = last;
  const filters = p.outputs * p.group;
  const channels = p.inputs * p.group;
  const y = biased(bias, p, widePlane);
  if (y.length === 0 || w.length === 0) return y;
  const columns = Array.from({ length: last.kernel }, (_, tap) => reach(last, tap));
  let lead = 0;
  for (const { narrow, wide } of rowPairs(axes.slice(0, -1))) {
    for (let n = 0; n < p.batch; n++)
      for (let m = 0; m < filters; m++) {
        const base = (n * filters + m) * widePlane;
        const firstChannel = Math.floor(m / p.outputs) * p.inputs;
        for (let c = firstChannel; c < firstChannel + p.inputs; c++) {
          const plane = (n * channels + c) * narrowPlane;
          let tap = (c * p.outputs + (m % p.outputs)) * taps + lead;
          for (const { first, end, offset } of columns) {
            const weight = w[tap++] as number;
            for (let r = 0; r < narrow.length; r++) {
              const from = plane + (narrow[r] as number) * last.narrow;
              let to = base + (wide[r] as number) * last.wide + first * stride + offset;
              for (let i = from + first; i < from + end; i++, to += stride)
                y[to] = (y[to] as number) + weight * (x[i] as number);
            }
          }
        }
      }
    lead += last.kernel;
  }
  return y;
}

const unknown = (): never => {
  throw new Error('internal: a length is not known while a kernel runs');
};

type ConvContext = KernelContext<'Conv'> | KernelContext<'ConvInteger'> | KernelContext<'QLinearConv'>;

function problemOf(c: ConvContext, x: Tensor, w: Tensor): Problem {
  const { group } = c.attributes;
  const input = x.shape.slice(2);
  const windows = slidingWindow(c.fail, c.attributes, w.shape.slice(2), input, unknown);
  const axes = windows.map((axis, i) => ({ ...axis, wide: input[i] ?? 1, narrow: Number(axis.output) }));
  return { batch: x.shape[0] ?? 1, group, inputs: w.shape[1] ?? 1, outputs: (w.shape[0] ?? 0) / group, axes };
}

/** Element i of a value that is one for all or one per channel. */
const perChannel = (value: Tensor | undefined, i: number): number =>
  value ? Number(value.data[value.data.length === 1 ? 0 : i]) : 0;

/** The elements with their zero point taken away; `size` neighbours share one. */
function centred(value: Tensor, zero: Tensor | undefined, size: number): Float64Array {
  const values = toDoubles(value);
  if (zero)
    for (let i = 0; i < values.length; i++) values[i] = (values[i] ?? 0) - perChannel(zero, Math.floor(i / size));
  return values;
}

/** Integer convolution, exact: sums stay far below 2^53. Padding holds the zero point, that is, adds nothing. */
function convolveIntegers(
  c: ConvContext,
  x: Tensor,
  xZero: Tensor | undefined,
  w: Tensor,
  wZero: Tensor | undefined,
  bias?: Tensor,
) {
  const filterSize = sizeOf(w.shape.slice(1));
  const shared = Math.max(x.data.length, 1);
  return convolve(
    centred(x, xZero, shared),
    centred(w, wZero, filterSize),
    bias?.data as Int32Array,
    problemOf(c, x, w),
  );
}

export const convKernels: Kernels<keyof typeof convOps> = {
  Conv: (c) => {
    const [x, w, bias] = [c.input(0), c.input(1), c.inputs[2]];
    const y = convolve(toDoubles(x), readReals(w), bias && readReals(bias), problemOf(c, x, w));
    return [fromReals(x.dtype, c.outputs[0]?.shape ?? [], y)];
  },

  ConvTranspose: (c) => {
    const [x, w, bias] = [c.input(0), c.input(1), c.inputs[2]];
    const { group } = c.attributes;
    const input = x.shape.slice(2);
    const windows = transposedWindow(c.fail, c.attributes, w.shape.slice(2), input, unknown);
    const axes = windows.map((axis, i) => ({ ...axis, wide: Number(axis.output), narrow: input[i] ?? 1 }));
    const inputs = (x.shape[1] ?? 0) / group;
    const problem = { batch: x.shape[0] ?? 1, group, inputs, outputs: w.shape[1] ?? 1, axes };
    const y = scatter(toDoubles(x), readReals(w), bias && readReals(bias), problem);
    return [fromReals(x.dtype, c.outputs[0]?.shape ?? [], y)];
  },

  ConvInteger: (c) => {
    const y = convolveIntegers(c, c.input(0), c.inputs[2], c.input(1), c.inputs[3]);
    return [fromReals('int32', c.outputs[0]?.shape ?? [], y)];
  },

  QLinearConv: (c) => {
    const y = convolveIntegers(c, c.input(0), c.input(2), c.input(3), c.input(5), c.inputs[8]);
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [plane = 1, filters = 1] = [stridesOf(shape)[1], shape[1]];
    const common = perChannel(c.input(1), 0) / perChannel(c.input(6), 0);
    const zero = perChannel(c.input(7), 0);
    const factor = (i: number) => common * perChannel(c.input(4), Math.floor(i / plane) % filters);
    return [requantize(dtype, shape, y, factor, zero)];
  },
};

/**
 * The arithmetic of sliding windows, shared by convolutions and pools: how many windows fit along each spatial axis, and
 * how much padding goes before and after. Follows the formulas in the ONNX texts of Conv, ConvTranspose and AveragePool.
 */
import type { GrimErrorCode } from '../errors.ts';
import { ints, optional, string } from '../op.ts';
import type { Dim } from '../types.ts';

type Fail = (message: string, code?: GrimErrorCode) => never;

/** Attributes that every operator with a window has; all lists have one entry per spatial axis, `pads` two. */
export const windowAttributes = {
  auto_pad: string(['NOTSET', 'SAME_UPPER', 'SAME_LOWER', 'VALID'], 'NOTSET'),
  dilations: optional(ints()),
  pads: optional(ints()),
  strides: optional(ints()),
};

export interface WindowAttributes {
  readonly auto_pad?: string;
  readonly dilations?: readonly number[] | undefined;
  readonly pads?: readonly number[] | undefined;
  readonly strides?: readonly number[] | undefined;
}

/** One spatial axis. Tap `k` of window `o` reads input position `o·stride − before + k·dilation`. */
interface WindowAxis {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** Padding in front of the first element; 0 when it depends on a length that is not known. */
  readonly before: number;
  readonly after: number;
  /** Number of windows. */
  readonly output: Dim;
}

/** Length of a window from its first tap to its last. */
const extent = (kernel: number, dilation: number): number => (kernel - 1) * dilation + 1;

const LARGEST = 2 ** 31 - 1;

/** One entry per axis, `otherwise` when the attribute is absent, each from `least` to 2^31 − 1. */
export function perAxis(
  fail: Fail,
  name: string,
  given: readonly number[] | undefined,
  axes: number,
  least: number,
  otherwise: number,
): readonly number[] {
  if (given === undefined) return new Array<number>(axes).fill(otherwise);
  if (given.length !== axes) fail(`${name} has ${given.length} entries; ${axes} are needed.`, 'GRIM_IR_BAD_ATTRIBUTE');
  for (const value of given)
    if (value < least || value > LARGEST)
      fail(`${name} holds ${value}; entries from ${least} to ${LARGEST} are needed.`, 'GRIM_IR_BAD_ATTRIBUTE');
  return given;
}

/** `pads` apart from `auto_pad`; a mode that computes the padding leaves no room for other padding. */
function explicitPads(fail: Fail, a: WindowAttributes, axes: number): readonly number[] {
  const pads = perAxis(fail, 'pads', a.pads, 2 * axes, 0, 0);
  if (a.auto_pad !== undefined && a.auto_pad !== 'NOTSET' && pads.some((pad) => pad !== 0))
    fail(`pads are [${pads.join(', ')}] beside auto_pad ${a.auto_pad}. Give one of the two.`, 'GRIM_IR_BAD_ATTRIBUTE');
  return pads;
}

/** How a window mode bounds what it accepts. */
interface WindowMode {
  /** Rounds the number of windows up; a window that would begin in the padding behind the input is left out. */
  readonly ceil?: boolean;
  /** Every window must be able to touch the input: padding is shorter than the window. */
  readonly touching?: boolean;
}

/**
 * The windows of a convolution or pool over `input`, whose lengths may be names.
 *
 * @throws by `fail`: a list of the wrong length, an entry out of range, or a window longer than the padded input
 */
export function slidingWindow(
  fail: Fail,
  a: WindowAttributes,
  kernels: readonly number[],
  input: readonly Dim[],
  unknown: () => string,
  mode: WindowMode = {},
): readonly WindowAxis[] {
  const axes = input.length;
  const strides = perAxis(fail, 'strides', a.strides, axes, 1, 1);
  const dilations = perAxis(fail, 'dilations', a.dilations, axes, 1, 1);
  const pads = explicitPads(fail, a, axes);
  return input.map((length, axis): WindowAxis => {
    const kernel = kernels[axis] ?? 1;
    const stride = strides[axis] ?? 1;
    const dilation = dilations[axis] ?? 1;
    const span = extent(kernel, dilation);
    if (a.auto_pad === 'SAME_UPPER' || a.auto_pad === 'SAME_LOWER') {
      const shape = { kernel, stride, dilation };
      if (typeof length === 'string')
        return { ...shape, before: 0, after: 0, output: stride === 1 ? length : unknown() };
      const output = Math.ceil(length / stride);
      if (output < 1) fail(`spatial axis ${axis} has length 0; ${a.auto_pad} gives ceil(0 / ${stride}) = 0 windows.`);
      const total = Math.max((output - 1) * stride + span - length, 0);
      const less = Math.floor(total / 2);
      const before = a.auto_pad === 'SAME_UPPER' ? less : total - less;
      return { ...shape, before, after: total - before, output };
    }
    const before = pads[axis] ?? 0;
    const after = pads[axis + axes] ?? 0;
    if (mode.touching && (before >= span || after >= span))
      fail(
        `pads of spatial axis ${axis} are ${before} and ${after}, the window spans ${span}: a window would lie in ` +
          'padding alone. Each must be less than (kernel − 1)·dilation + 1.',
        'GRIM_IR_BAD_ATTRIBUTE',
      );
    const shape = { kernel, stride, dilation, before, after };
    if (typeof length === 'string')
      return { ...shape, output: stride === 1 && before + after === span - 1 ? length : unknown() };
    const room = length + before + after - span;
    if (room < 0)
      fail(
        `spatial axis ${axis}: length ${length} + pads ${before} + ${after} is less than the window, ` +
          `(kernel ${kernel} − 1)·dilation ${dilation} + 1 = ${span}: no output is left.`,
      );
    // VALID rounds down in either mode: ceil((n − span + 1) / stride) = floor((n − span) / stride) + 1.
    if (!mode.ceil || a.auto_pad === 'VALID') return { ...shape, output: Math.floor(room / stride) + 1 };
    // The last window must begin before the input's end, in the input or in the padding in front of it.
    const startable = Math.ceil((length + before) / stride);
    return { ...shape, output: Math.min(Math.ceil(room / stride) + 1, startable) };
  });
}

/** Output lengths only. */
export const windowOutput = (axes: readonly WindowAxis[]): Dim[] => axes.map(({ output }) => output);

/** One spatial axis of a transposed convolution: input `i` adds to output `i·stride − before + k·dilation`. */
interface TransposedAxis {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  readonly output: Dim;
}

interface TransposedAttributes extends WindowAttributes {
  readonly output_padding?: readonly number[] | undefined;
  readonly output_shape?: readonly number[] | undefined;
}

/**
 * The windows of ConvTranspose. With `output_shape`, or SAME_* (output = input · stride), the padding follows from the
 * output; an output longer than the windows reach is not padded backwards, its tail holds the bias alone.
 */
export function transposedWindow(
  fail: Fail,
  a: TransposedAttributes,
  kernels: readonly number[],
  input: readonly Dim[],
  unknown: () => string,
): readonly TransposedAxis[] {
  const axes = input.length;
  const strides = perAxis(fail, 'strides', a.strides, axes, 1, 1);
  const dilations = perAxis(fail, 'dilations', a.dilations, axes, 1, 1);
  const paddings = perAxis(fail, 'output_padding', a.output_padding, axes, 0, 0);
  const pads = explicitPads(fail, a, axes);
  const given = a.output_shape && perAxis(fail, 'output_shape', a.output_shape, axes, 1, 1);
  const same = a.auto_pad === 'SAME_UPPER' || a.auto_pad === 'SAME_LOWER';
  return input.map((length, axis): TransposedAxis => {
    const kernel = kernels[axis] ?? 1;
    const stride = strides[axis] ?? 1;
    const dilation = dilations[axis] ?? 1;
    const padding = paddings[axis] ?? 0;
    if (padding > 0 && padding >= Math.max(stride, dilation))
      fail(
        `output_padding of spatial axis ${axis} is ${padding}; less than stride ${stride} or dilation ${dilation} is needed.`,
        'GRIM_IR_BAD_ATTRIBUTE',
      );
    const shape = { kernel, stride, dilation };
    const wanted = given?.[axis];
    if (typeof length === 'string') {
      const output = wanted ?? (same && stride === 1 ? length : unknown());
      return { ...shape, before: pads[axis] ?? 0, output };
    }
    if (length < 1) fail(`spatial axis ${axis} has length 0; at least 1 is needed.`);
    const full = stride * (length - 1) + padding + extent(kernel, dilation);
    if (wanted !== undefined || same) {
      const output = wanted ?? length * stride;
      const total = Math.max(full - output, 0);
      const less = Math.floor(total / 2);
      return { ...shape, before: a.auto_pad === 'SAME_UPPER' ? less : total - less, output };
    }
    const before = pads[axis] ?? 0;
    const after = pads[axis + axes] ?? 0;
    const output = full - before - after;
    if (output < 1)
      fail(
        `spatial axis ${axis}: stride ${stride}·(length ${length} − 1) + output_padding ${padding} + (kernel ${kernel} − 1)` +
          `·dilation ${dilation} + 1 − pads ${before} − ${after} = ${output}; at least 1 is needed.`,
      );
    return { ...shape, before, output };
  });
}

/**
 * Gradients of convolutions of any number of axes, stride, padding, dilation and group.
 *
 * To the input: with stride 1 the same convolution with mirrored, transposed weights, else a transposed convolution. To
 * the weights: a matrix product of the gradient with the input's shifted copies, one for each tap; for the commonest form
 * (3×3, stride 1, padding 1) three copies each of both factors give all nine taps in one product.
 */
import { type Shape, sizeOf } from '../emit.ts';
import { type RuleContext, type Rules, range, single } from '../rule.ts';

export interface Window {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  /** May be negative: input behind the last window. */
  readonly after: number;
}

interface WindowAttributes {
  readonly auto_pad?: string | undefined;
  readonly dilations?: readonly number[] | undefined;
  readonly pads?: readonly number[] | undefined;
  readonly strides?: readonly number[] | undefined;
}

const spanOf = (kernel: number, dilation: number): number => (kernel - 1) * dilation + 1;

/** The windows over `input` that give `output`, padding made explicit. */
export function windowsOf(a: WindowAttributes, kernels: Shape, input: Shape, output: Shape): readonly Window[] {
  return kernels.map((kernel, i) => {
    const [stride, dilation] = [a.strides?.[i] ?? 1, a.dilations?.[i] ?? 1];
    const [length, count] = [input[i] ?? 0, output[i] ?? 0];
    const reach = (count - 1) * stride + spanOf(kernel, dilation);
    const total = Math.max(reach - length, 0);
    const before =
      a.auto_pad === 'SAME_UPPER'
        ? Math.floor(total / 2)
        : a.auto_pad === 'SAME_LOWER'
          ? total - Math.floor(total / 2)
          : a.auto_pad === 'VALID'
            ? 0
            : (a.pads?.[i] ?? 0);
    return { kernel, stride, dilation, before, after: reach - length - before };
  });
}

const strides = (windows: readonly Window[]): number[] => windows.map(({ stride }) => stride);
const dilations = (windows: readonly Window[]): number[] => windows.map(({ dilation }) => dilation);

/** Scatters each element of dy over its window, weighted: [N, M, out…] with weight [M, C / group, k…] → [N, C, in…]. */
export function scatter(c: RuleContext, dy: string, weight: string, windows: readonly Window[], group: number): string {
  return c.add('ConvTranspose', [dy, weight], {
    strides: strides(windows),
    dilations: dilations(windows),
    group,
    kernel_shape: windows.map(({ kernel }) => kernel),
    pads: [...windows.map(({ before }) => before), ...windows.map(({ after }) => Math.max(after, 0))],
    output_padding: windows.map(({ after }) => Math.max(-after, 0)),
  });
}

/** Input behind the last window gets no gradient: convolutions are asked for the part in front, and zeros are put behind. */
function inReach(windows: readonly Window[]): {
  readonly windows: readonly Window[];
  readonly rest: readonly number[];
} {
  const rest = windows.map(({ after, stride, dilation }) => {
    const most = Math.max(stride, dilation) - 1;
    return Math.max(-after - most, 0);
  });
  return { windows: windows.map((w, i) => ({ ...w, after: w.after + (rest[i] ?? 0) })), rest };
}

/** [M, C / group, k…] → [C, M / group, k…], taps mirrored. */
function mirrored(c: RuleContext, w: string, shape: Shape, group: number): string {
  const [m = 0, depth = 0, ...kernel] = shape;
  const spatial = range(kernel.length, 3);
  let value = w;
  if (group === 1) value = c.transpose(w, [1, 0, ...range(kernel.length, 2)]);
  else if (depth === 1 && m === group) value = w;
  else {
    value = c.transpose(c.reshape(w, [group, m / group, depth, ...kernel]), [0, 2, 1, ...spatial]);
    value = c.reshape(value, [group * depth, m / group, ...kernel]);
  }
  const axes = range(kernel.length).filter((i) => (kernel[i] ?? 1) > 1);
  if (axes.length === 0) return value;
  const ends = axes.map(() => -(2 ** 31 - 1));
  const back = axes.map(() => -1);
  return c.add('Slice', [value, c.ints(back), c.ints(ends), c.ints(axes.map((i) => i + 2)), c.ints(back)]);
}

function toInput(
  c: RuleContext,
  dy: string,
  w: string,
  wShape: Shape,
  given: readonly Window[],
  group: number,
): string {
  const { windows, rest } = inReach(given);
  const plain = windows.every(
    ({ stride, kernel, dilation, before, after }) =>
      stride === 1 && Math.max(before, after) < spanOf(kernel, dilation) && after >= 0,
  );
  const spread = plain
    ? c.add('Conv', [dy, mirrored(c, w, wShape, group)], {
        dilations: dilations(windows),
        group,
        kernel_shape: windows.map(({ kernel }) => kernel),
        pads: [
          ...windows.map(({ kernel, dilation, before }) => spanOf(kernel, dilation) - 1 - before),
          ...windows.map(({ kernel, dilation, after }) => spanOf(kernel, dilation) - 1 - after),
        ],
        strides: strides(windows),
      })
    : scatter(c, dy, w, windows, group);
  return c.pad(spread, [0, 0, ...rest.map(() => 0)], [0, 0, ...rest]);
}

/** Gradient of the weight [M, C / group, k…], x [N, C, in…] and dy [N, M, out…] given. */
function toWeight(
  c: RuleContext,
  x: string,
  xShape: Shape,
  dy: string,
  dyShape: Shape,
  wShape: Shape,
  windows: readonly Window[],
  group: number,
): string {
  if (group === 1 && isCommon(windows)) return nineTaps(c, x, xShape, dy, dyShape);
  const [n = 0, channels = 0, ...input] = xShape;
  const [, m = 0, ...output] = dyShape;
  const [, depth = 0, ...kernel] = wShape;
  const places = sizeOf(output);
  const taps = sizeOf(kernel);
  const padded = c.pad(
    x,
    [0, 0, ...windows.map(({ before }) => before)],
    // Input behind the last window stays; slices end before it.
    [0, 0, ...windows.map(({ after }) => Math.max(after, 0))],
  );
  const whole = taps === 1 && input.every((length, i) => length === output[i]) && windows.every(isUnit);
  const copies = range(taps).map((tap) => {
    if (whole) return c.reshape(padded, [n, group, 1, channels / group, places]);
    const starts: number[] = [];
    let rest = tap;
    for (let i = kernel.length - 1; i >= 0; i--) {
      const length = kernel[i] ?? 1;
      starts.unshift((rest % length) * (windows[i]?.dilation ?? 1));
      rest = Math.floor(rest / length);
    }
    const steps = strides(windows);
    const ends = starts.map((start, i) => start + ((output[i] ?? 1) - 1) * (steps[i] ?? 1) + 1);
    const axes = range(kernel.length, 2);
    const shifted = c.add('Slice', [padded, c.ints(starts), c.ints(ends), c.ints(axes), c.ints(steps)]);
    return c.reshape(shifted, [n, group, 1, channels / group, places]);
  });
  const columns = c.reshape(c.concat(copies, 2), [n * group, taps * (channels / group), places]);
  const product = c.add('MatMul', [c.reshape(dy, [n * group, m / group, places]), c.transpose(columns, [0, 2, 1])]);
  const summed = c.reduce('ReduceSum', c.reshape(product, [n, group, m / group, taps, depth]), [0], false);
  return c.reshape(taps === 1 ? summed : c.transpose(summed, [0, 1, 3, 2]), wShape);
}

const isUnit = ({ stride, before, after }: Window): boolean => stride === 1 && before === 0 && after === 0;

const isCommon = (windows: readonly Window[]): boolean =>
  windows.length === 2 &&
  windows.every(
    ({ kernel, stride, dilation, before, after }) =>
      kernel === 3 && stride === 1 && dilation === 1 && before === 1 && after === 1,
  );

/**
 * Three column-shifted copies of x (the column that falls off set to zero) and three row-shifted ones of dy, each stack
 * written by one Concat with rows of zeros between: (3M × Q)·(Q × 3C), Q = (H + 2)·W, holds all taps.
 */
function nineTaps(c: RuleContext, x: string, xShape: Shape, dy: string, dyShape: Shape): string {
  const [n = 0, channels = 0, h = 0, w = 0] = xShape;
  const m = dyShape[1] ?? 0;
  const [q, length] = [(h + 2) * w, h * w];
  const gap = (depth: number, columns: number): string => c.zeros([n, depth, columns]);
  const without = (column: number): string => {
    const mask = Float64Array.from({ length }, (_, i) => (i % w === column ? 0 : 1));
    return flat(c.mul(x, c.floats([1, 1, h, w], mask)));
  };
  const flat = (value: string): string => c.reshape(value, [n, channels, length]);
  const columns = c.concat(
    [
      gap(channels, w + 1),
      without(w - 1),
      gap(channels, 2 * w - 1),
      flat(x),
      gap(channels, 2 * w - 1),
      without(0),
      gap(channels, w + 1),
    ],
    2,
  );
  const d = c.reshape(dy, [n, m, length]);
  const rows = c.concat([d, gap(m, 3 * w), d, gap(m, 3 * w), d], 2);
  const product = c.add('MatMul', [
    c.reshape(rows, [n, 3 * m, q]),
    c.transpose(c.reshape(columns, [n, 3 * channels, q]), [0, 2, 1]),
  ]);
  const summed = c.reshape(c.reduce('ReduceSum', product, [0], false), [m, 3, channels, 3]);
  return c.transpose(summed, [0, 2, 1, 3]);
}

const toBias = (c: RuleContext, dy: string, dyShape: Shape): string =>
  c.reduce('ReduceSum', dy, [0, ...range(dyShape.length - 2, 2)], false);

export const convRules: Rules<'Conv' | 'ConvTranspose'> = {
  Conv: single((c, dy) => {
    const [x, w, y] = [c.shape(0), c.shape(1), c.outShape()];
    const windows = windowsOf(c.a, w.slice(2), x.slice(2), y.slice(2));
    return [
      c.wanted(0) ? toInput(c, dy, c.input(1), w, windows, c.a.group) : undefined,
      c.wanted(1) ? toWeight(c, c.input(0), x, dy, y, w, windows, c.a.group) : undefined,
      c.wanted(2) ? toBias(c, dy, y) : undefined,
    ];
  }),

  // The transposed convolution is the way back of a convolution from its output's shape to its input's.
  ConvTranspose: single((c, dy) => {
    const [x, w, y] = [c.shape(0), c.shape(1), c.outShape()];
    if (c.a.output_shape || (c.a.auto_pad !== 'NOTSET' && c.a.auto_pad !== 'VALID'))
      c.refuse('its padding is not explicit');
    const windows = windowsOf(c.a, w.slice(2), y.slice(2), x.slice(2));
    const back = (): string =>
      c.add('Conv', [trimmed(c, dy, windows), c.input(1)], {
        dilations: dilations(windows),
        group: c.a.group,
        pads: [...windows.map(({ before }) => before), ...windows.map(({ after }) => Math.max(after, 0))],
        strides: strides(windows),
      });
    return [
      c.wanted(0) ? back() : undefined,
      c.wanted(1) ? toWeight(c, dy, y, c.input(0), x, w, windows, c.a.group) : undefined,
      c.wanted(2) ? toBias(c, dy, y) : undefined,
    ];
  }),
};

/** Output padding is behind the last window, where no input reaches. */
function trimmed(c: RuleContext, dy: string, windows: readonly Window[]): string {
  const less = windows.map(({ after }) => Math.min(after, 0));
  return c.pad(dy, [0, 0, ...less.map(() => 0)], [0, 0, ...less]);
}

/** Gradients of pools: a mean gives each element of its window a share, a maximum all to the element it was. */
import type { Attributes } from '@grim/ir';
import { type Shape, sizeOf } from '../emit.ts';
import { type RuleContext, type Rules, range, single } from '../rule.ts';
import { scatter, type Window, windowsOf } from './conv.ts';

type Pool = 'AveragePool' | 'LpPool';

/** dy added to every element of its window. */
function spread(c: RuleContext, dy: string, windows: readonly Window[], shape: Shape): string {
  const [, channels = 0] = shape;
  const kernel = windows.map((w) => w.kernel);
  // Behind the last window an output padding may not be as long as a stride.
  const rest = windows.map(({ after, stride, dilation }) => Math.max(-after - (Math.max(stride, dilation) - 1), 0));
  const near = windows.map((w, i) => ({ ...w, after: w.after + (rest[i] ?? 0) }));
  const ones = c.expand(c.scalar(1), [channels, 1, ...kernel]);
  const sums = scatter(c, dy, ones, near, channels);
  return c.pad(sums, [0, 0, ...rest.map(() => 0)], [0, 0, ...rest]);
}

/** How many elements each mean is of: those in the input, or in the padded input. */
function counts(a: Attributes<'AveragePool'>, windows: readonly Window[], input: Shape, output: Shape): Float64Array {
  const perAxis = windows.map(({ kernel, stride, dilation, before }, i) =>
    range(output[i] ?? 0).map((place) => {
      const length = input[i] ?? 0;
      const behind = a.auto_pad === 'NOTSET' ? (a.pads?.[i + windows.length] ?? 0) : Number.POSITIVE_INFINITY;
      const [low, high] = a.count_include_pad === 1 ? [-before, length + behind] : [0, length];
      const taps = range(kernel).map((tap) => place * stride - before + tap * dilation);
      return taps.filter((at) => at >= low && at < high).length;
    }),
  );
  let all = [1];
  for (const axis of perAxis) all = all.flatMap((count) => axis.map((own) => count * own));
  return Float64Array.from(all);
}

function windowsOfPool(c: RuleContext<Pool>): readonly Window[] {
  return windowsOf(c.a, c.a.kernel_shape, c.shape(0).slice(2), c.outShape().slice(2));
}

const spatial = (shape: Shape): number[] => range(shape.length - 2, 2);

/** |x|^(p − 1)·sign(x): the slope of |x|^p / p. */
const powerSlope = (c: RuleContext, x: string, p: number): string =>
  p === 2
    ? x
    : p === 1
      ? c.add('Sign', [x])
      : c.mul(c.add('Pow', [c.add('Abs', [x]), c.scalar(p - 1)]), c.add('Sign', [x]));

/** dy · y^(1 − p) */
const perNorm = (c: RuleContext, dy: string, y: string, p: number): string =>
  p === 1 ? dy : c.mul(dy, c.add('Pow', [y, c.scalar(1 - p)]));

export const poolRules: Rules<Pool | 'MaxPool' | 'GlobalAveragePool' | 'GlobalMaxPool' | 'GlobalLpPool'> = {
  AveragePool: single((c, dy) => {
    const windows = windowsOfPool(c);
    const [input, output] = [c.shape(0).slice(2), c.outShape().slice(2)];
    const per = counts(c.a, windows, input, output);
    const share = per.every((count) => count === per[0])
      ? c.scale(dy, 1 / (per[0] ?? 1))
      : c.div(dy, c.floats([1, 1, ...output], per));
    return [spread(c, share, windows, c.shape(0))];
  }),

  LpPool: single((c, dy) => {
    const { p } = c.a;
    const sums = spread(c, perNorm(c, dy, c.output(), p), windowsOfPool(c), c.shape(0));
    return [c.mul(sums, powerSlope(c, c.input(0), p))];
  }),

  MaxPool: (c) => {
    if (c.a.storage_order !== 0) c.refuse('storage_order is not 0');
    const indices = c.node.outputs[1] || `${c.output()}/indices`;
    c.addMany('MaxPool', c.node.inputs, [c.output(), indices], c.a);
    return ([dy]) => {
      if (dy === undefined) return [];
      const [size, length] = [sizeOf(c.shape(0)), sizeOf(c.outShape())];
      const sums = c.add('ScatterElements', [c.zeros([size]), c.reshape(indices, [length]), c.reshape(dy, [length])], {
        axis: 0,
        reduction: 'add',
      });
      return [c.reshape(sums, c.shape(0))];
    };
  },

  GlobalAveragePool: single((c, dy) => [c.expand(c.scale(dy, 1 / sizeOf(c.shape(0).slice(2))), c.shape(0))]),
  GlobalMaxPool: single((c, dy) => {
    const wins = c.add('Cast', [c.add('Equal', [c.input(0), c.output()])], { to: c.dtype });
    return [c.mul(c.div(dy, c.reduce('ReduceSum', wins, spatial(c.shape(0)))), wins)];
  }),
  GlobalLpPool: single((c, dy) => [c.mul(perNorm(c, dy, c.output(), c.a.p), powerSlope(c, c.input(0), c.a.p))]),
};

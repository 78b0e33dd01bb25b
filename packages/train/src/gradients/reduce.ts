/** Gradients of sums, means, extrema and norms along axes, of softmax and of running sums. */
import type { OpName } from '@grim/ir';
import { sizeOf } from '../emit.ts';
import { axisOf, type Rule, type RuleContext, type Rules, range, single } from '../rule.ts';

type Reduction =
  | 'ReduceL1'
  | 'ReduceL2'
  | 'ReduceLogSum'
  | 'ReduceLogSumExp'
  | 'ReduceMax'
  | 'ReduceMean'
  | 'ReduceMin'
  | 'ReduceProd'
  | 'ReduceSum'
  | 'ReduceSumSquare';

type ReductionAttributes = { readonly keepdims: number; readonly noop_with_empty_axes: number };

interface Kept {
  readonly x: string;
  /** Result and its gradient with the reduced axes kept at length 1, so that both broadcast to x. */
  readonly y: string;
  readonly dy: string;
  /** Elements that went into one. */
  readonly count: number;
}

function reduction<O extends Reduction>(of: (c: RuleContext<O>, k: Kept) => string): Rule<O> {
  return single((c, dy) => {
    const shape = c.shape(0);
    const { keepdims, noop_with_empty_axes: noop } = c.a as unknown as ReductionAttributes;
    const given = c.has(1) ? c.integers(1) : [];
    if (!given) return c.refuse('its axes are not constant');
    const all = given.length === 0;
    if (all && noop === 1) return [dy];
    const axes = all ? range(shape.length) : given.map((axis) => axisOf(axis, shape.length));
    const kept = shape.map((length, i) => (axes.includes(i) ? 1 : length));
    const keep = (value: string): string => (keepdims === 1 ? value : c.reshape(value, kept));
    const count = sizeOf(axes.map((axis) => shape[axis] ?? 1));
    return [of(c, { x: c.input(0), y: keep(c.output()), dy: keep(dy), count })];
  });
}

/** Equal elements share the gradient. */
function extremum<O extends 'ReduceMax' | 'ReduceMin'>(): Rule<O> {
  return reduction((c, { x, y, dy }) => {
    const wins = c.add('Cast', [c.add('Equal', [x, y])], { to: c.dtype });
    const axes = c.has(1) ? (c.integers(1) ?? []) : [];
    const rank = c.shape(0).length;
    const all = axes.length === 0 ? range(rank) : axes.map((axis) => axisOf(axis, rank));
    return c.mul(c.div(dy, c.reduce('ReduceSum', wins, all)), wins);
  });
}

const alongAxis = <O extends 'Softmax' | 'LogSoftmax'>(c: RuleContext<O>): number[] => [
  axisOf((c.a as unknown as { readonly axis: number }).axis, c.shape(0).length),
];

function running(c: RuleContext<'CumSum'>): void {
  if (!c.has(1) || !c.integers(1)) c.refuse('its axis is not constant');
}

export const reduceRules: Rules<Reduction | 'Softmax' | 'LogSoftmax' | 'CumSum' | 'TopK'> = {
  ReduceL1: reduction((c, { x, dy }) => c.mul(dy, c.add('Sign', [x]))),
  ReduceL2: reduction((c, { x, y, dy }) => c.mul(c.div(dy, y), x)),
  // log of the sum
  ReduceLogSum: reduction((c, { y, dy }) => c.expand(c.div(dy, c.add('Exp', [y])), c.shape(0))),
  ReduceLogSumExp: reduction((c, { x, y, dy }) => c.mul(dy, c.add('Exp', [c.sub(x, y)]))),
  ReduceMax: extremum(),
  ReduceMean: reduction((c, { dy, count }) => c.expand(c.scale(dy, 1 / count), c.shape(0))),
  ReduceMin: extremum(),
  ReduceProd: reduction((c, { x, y, dy }) => c.div(c.mul(dy, y), x)),
  ReduceSum: reduction((c, { dy }) => c.expand(dy, c.shape(0))),
  ReduceSumSquare: reduction((c, { x, dy }) => c.mul(c.scale(dy, 2), x)),
  Softmax: single((c, dy) => {
    const y = c.output();
    return [c.mul(c.sub(dy, c.reduce('ReduceSum', c.mul(dy, y), alongAxis(c))), y)];
  }),
  LogSoftmax: single((c, dy) => [
    c.sub(dy, c.mul(c.add('Exp', [c.output()]), c.reduce('ReduceSum', dy, alongAxis(c)))),
  ]),
  CumSum: single((c, dy) => {
    running(c);
    return [c.add('CumSum', [dy, c.input(1)], { ...c.a, reverse: c.a.reverse === 1 ? 0 : 1 })];
  }),
  TopK: (c) => {
    // The indices may have been left out.
    const indices = c.node.outputs[1] || undefined;
    const [, at = ''] = c.addMany(
      'TopK',
      c.node.inputs,
      indices === undefined ? [c.output(), `${c.output()}/indices`] : [c.output(), indices],
      c.a,
    );
    return ([dy]) => [
      dy && c.add('ScatterElements', [c.zeros(c.shape(0)), at, dy], { axis: c.a.axis, reduction: 'add' }),
    ];
  },
};

/** Outputs that do not change while inputs change a little: their gradient is zero wherever it exists. */
export const FLAT: readonly OpName[] = [
  'ArgMax',
  'ArgMin',
  'BitShift',
  'BitwiseAnd',
  'BitwiseNot',
  'BitwiseOr',
  'BitwiseXor',
  'Ceil',
  'ConstantOfShape',
  'Equal',
  'EyeLike',
  'Floor',
  'Greater',
  'GreaterOrEqual',
  'Hardmax',
  'IsInf',
  'IsNaN',
  'Less',
  'LessOrEqual',
  'And',
  'NonZero',
  'Not',
  'OneHot',
  'Or',
  'Range',
  'Round',
  'Shape',
  'Sign',
  'Size',
  'Xor',
];

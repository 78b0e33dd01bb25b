/** Gradients of arithmetic, functions of one number and activations. */
import type { OpName } from '@grim/ir';
import { type Rule, type RuleContext, type Rules, single } from '../rule.ts';

/** d y / d x at each place, from x and y; the rule multiplies it by the gradient of y. */
type Slope<O extends OpName> = (c: RuleContext<O>, x: string, y: string) => string;

function slope<O extends OpName>(of: Slope<O>): Rule<O> {
  return single((c, dy) => [c.mul(dy, of(c, c.input(0), c.output()))]);
}

const square = (c: RuleContext, x: string): string => c.mul(x, x);
const oneMinus = (c: RuleContext, x: string): string => c.sub(c.scalar(1), x);
const onePlus = (c: RuleContext, x: string): string => c.sum(x, c.scalar(1));
const inverse = (c: RuleContext, x: string): string => c.add('Reciprocal', [x]);
const inverseRoot = (c: RuleContext, x: string): string => inverse(c, c.add('Sqrt', [x]));

/** Only the operands whose gradient is asked for are computed, each summed to its own shape. */
function broadcast<O extends OpName>(of: readonly ((c: RuleContext<O>, dy: string) => string)[]): Rule<O> {
  return single((c, dy) =>
    of.map((one, i) => (c.wanted(i) ? c.unbroadcast(one(c, dy), c.outShape(), c.shape(i)) : undefined)),
  );
}

/** Of several inputs, the largest or smallest: equal ones share the gradient. */
function extremum<O extends 'Max' | 'Min'>(): Rule<O> {
  return single((c, dy) => {
    const wins = c.node.inputs.map((input) => c.add('Cast', [c.add('Equal', [input, c.output()])], { to: c.dtype }));
    const share = c.div(dy, c.sum(...wins));
    return wins.map((win, i) => (c.wanted(i) ? c.unbroadcast(c.mul(share, win), c.outShape(), c.shape(i)) : undefined));
  });
}

const sigmoidSlope = (c: RuleContext, y: string): string => c.mul(y, oneMinus(c, y));

/** 1 strictly between two bounds. */
function inside(c: RuleContext, x: string, low: string | undefined, high: string | undefined): string | undefined {
  const sides = [low && c.positive(c.sub(x, low)), high && c.positive(c.sub(high, x))].filter(
    (side) => side !== undefined,
  );
  return sides.length === 0 ? undefined : c.mul(...(sides as string[]));
}

const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);
const GELU_CUBE = 0.044715;

type Elementwise =
  | 'Abs'
  | 'Acos'
  | 'Acosh'
  | 'Add'
  | 'Asin'
  | 'Asinh'
  | 'Atan'
  | 'Atanh'
  | 'Celu'
  | 'Clip'
  | 'Cos'
  | 'Cosh'
  | 'Div'
  | 'Dropout'
  | 'Elu'
  | 'Erf'
  | 'Exp'
  | 'Gelu'
  | 'HardSigmoid'
  | 'HardSwish'
  | 'Identity'
  | 'LeakyRelu'
  | 'Log'
  | 'Max'
  | 'Mean'
  | 'Min'
  | 'Mish'
  | 'Mod'
  | 'Mul'
  | 'Neg'
  | 'PRelu'
  | 'Pow'
  | 'Reciprocal'
  | 'Relu'
  | 'Selu'
  | 'Shrink'
  | 'Sigmoid'
  | 'Sin'
  | 'Sinh'
  | 'Softplus'
  | 'Softsign'
  | 'Sqrt'
  | 'Sub'
  | 'Sum'
  | 'Swish'
  | 'Tan'
  | 'Tanh'
  | 'ThresholdedRelu'
  | 'Where'
  | 'Cast';

export const elementwiseRules: Rules<Elementwise> = {
  Abs: slope((c, x) => c.add('Sign', [x])),
  Acos: slope((c, x) => c.neg(inverseRoot(c, oneMinus(c, square(c, x))))),
  Acosh: slope((c, x) => inverseRoot(c, c.sub(square(c, x), c.scalar(1)))),
  Add: broadcast([(_, dy) => dy, (_, dy) => dy]),
  Asin: slope((c, x) => inverseRoot(c, oneMinus(c, square(c, x)))),
  Asinh: slope((c, x) => inverseRoot(c, onePlus(c, square(c, x)))),
  Atan: slope((c, x) => inverse(c, onePlus(c, square(c, x)))),
  Atanh: slope((c, x) => inverse(c, oneMinus(c, square(c, x)))),
  // max(0, x) + min(0, α(exp(x/α) − 1))
  Celu: slope((c, x) => c.add('Exp', [c.add('Min', [c.scale(x, 1 / c.a.alpha), c.scalar(0)])])),
  Clip: single((c, dy) => {
    const mask = inside(c, c.input(0), c.has(1) ? c.input(1) : undefined, c.has(2) ? c.input(2) : undefined);
    return [mask === undefined ? dy : c.mul(dy, mask)];
  }),
  Cos: slope((c, x) => c.neg(c.add('Sin', [x]))),
  Cosh: slope((c, x) => c.add('Sinh', [x])),
  Div: broadcast([(c, dy) => c.div(dy, c.input(1)), (c, dy) => c.neg(c.div(c.mul(dy, c.output()), c.input(1)))]),
  Dropout: single((_, dy) => [dy]),
  Elu: slope((c, x) => {
    const positive = c.positive(x);
    const falling = c.scale(c.add('Exp', [c.add('Min', [x, c.scalar(0)])]), c.a.alpha);
    return c.sum(positive, c.mul(oneMinus(c, positive), falling));
  }),
  Erf: slope((c, x) => c.scale(c.add('Exp', [c.neg(square(c, x))]), 2 / Math.sqrt(Math.PI))),
  Exp: slope((_c, _x, y) => y),
  Gelu: slope((c, x) => {
    if (c.a.approximate === 'none') {
      const density = c.scale(c.add('Exp', [c.scale(square(c, x), -0.5)]), 1 / Math.sqrt(2 * Math.PI));
      const cumulative = c.scale(onePlus(c, c.add('Erf', [c.scale(x, Math.SQRT1_2)])), 0.5);
      return c.sum(cumulative, c.mul(x, density));
    }
    const inner = c.scale(c.sum(x, c.scale(c.mul(x, x, x), GELU_CUBE)), SQRT_2_OVER_PI);
    const t = c.add('Tanh', [inner]);
    const rise = c.scale(onePlus(c, c.scale(square(c, x), 3 * GELU_CUBE)), SQRT_2_OVER_PI);
    return c.sum(c.scale(onePlus(c, t), 0.5), c.scale(c.mul(x, oneMinus(c, square(c, t)), rise), 0.5));
  }),
  HardSigmoid: slope((c, _x, y) => c.scale(inside(c, y, c.scalar(0), c.scalar(1)) as string, c.a.alpha)),
  // x · clip(x/6 + 1/2, 0, 1)
  HardSwish: slope((c, x) => {
    const gate = c.add('HardSigmoid', [x], { alpha: 1 / 6, beta: 0.5 });
    return c.sum(gate, c.scale(c.mul(x, inside(c, gate, c.scalar(0), c.scalar(1)) as string), 1 / 6));
  }),
  Identity: single((_, dy) => [dy]),
  LeakyRelu: slope((c, x) => c.sum(c.scale(c.positive(x), 1 - c.a.alpha), c.scalar(c.a.alpha))),
  Log: single((c, dy) => [c.div(dy, c.input(0))]),
  Max: extremum(),
  Mean: single((c, dy) => {
    const share = c.scale(dy, 1 / c.node.inputs.length);
    return c.node.inputs.map((_, i) => (c.wanted(i) ? c.unbroadcast(share, c.outShape(), c.shape(i)) : undefined));
  }),
  Min: extremum(),
  // x · tanh(softplus(x))
  Mish: slope((c, x) => {
    const t = c.add('Tanh', [c.add('Softplus', [x])]);
    return c.sum(t, c.mul(x, oneMinus(c, square(c, t)), c.add('Sigmoid', [x])));
  }),
  Mod: (c) => {
    c.copy();
    if (c.wanted(1)) c.refuse('the divisor depends on weights');
    return ([dy]) => [dy && c.unbroadcast(dy, c.outShape(), c.shape(0))];
  },
  Mul: broadcast([(c, dy) => c.mul(dy, c.input(1)), (c, dy) => c.mul(dy, c.input(0))]),
  Neg: single((c, dy) => [c.neg(dy)]),
  PRelu: single((c, dy) => {
    const positive = c.positive(c.input(0));
    const below = oneMinus(c, positive);
    const rise = c.sum(positive, c.mul(below, c.input(1)));
    const toSlope = c.wanted(1) ? c.unbroadcast(c.mul(dy, c.input(0), below), c.outShape(), c.shape(1)) : undefined;
    return [c.mul(dy, rise), toSlope];
  }),
  Pow: single((c, dy) => {
    const [x, y] = [c.input(0), c.input(1)];
    const dx = (): string => {
      const constant = c.reals(1);
      const [only] = constant ?? [];
      const steep =
        constant?.length === 1 && only === 2 ? c.scale(x, 2) : c.mul(y, c.add('Pow', [x, c.sub(y, c.scalar(1))]));
      return c.unbroadcast(c.mul(dy, steep), c.outShape(), c.shape(0));
    };
    const dExponent = (): string => c.unbroadcast(c.mul(dy, c.output(), c.add('Log', [x])), c.outShape(), c.shape(1));
    return [c.wanted(0) ? dx() : undefined, c.wanted(1) ? dExponent() : undefined];
  }),
  Reciprocal: slope((c, _x, y) => c.neg(square(c, y))),
  Relu: slope((c, _x, y) => c.positive(y)),
  Selu: slope((c, x) => {
    const positive = c.positive(x);
    const falling = c.scale(c.add('Exp', [c.add('Min', [x, c.scalar(0)])]), c.a.alpha);
    return c.scale(c.sum(positive, c.mul(oneMinus(c, positive), falling)), c.a.gamma);
  }),
  // 1 outside ±lambd.
  Shrink: slope((c, x) => c.positive(c.sub(c.add('Abs', [x]), c.scalar(c.a.lambd)))),
  Sigmoid: slope((c, _x, y) => sigmoidSlope(c, y)),
  Sin: slope((c, x) => c.add('Cos', [x])),
  Sinh: slope((c, x) => c.add('Cosh', [x])),
  Softplus: slope((c, x) => c.add('Sigmoid', [x])),
  // x / (1 + |x|)
  Softsign: slope((c, x) => inverse(c, square(c, onePlus(c, c.add('Abs', [x]))))),
  Sqrt: single((c, dy) => [c.scale(c.div(dy, c.output()), 0.5)]),
  Sub: broadcast([(_, dy) => dy, (c, dy) => c.neg(dy)]),
  Sum: single((c, dy) =>
    c.node.inputs.map((_, i) => (c.wanted(i) ? c.unbroadcast(dy, c.outShape(), c.shape(i)) : undefined)),
  ),
  // x · σ(αx). Written out: not every engine has the operator.
  Swish: (c) => {
    const gate = c.add('Sigmoid', [c.scale(c.input(0), c.a.alpha)]);
    c.add('Mul', [c.input(0), gate], {}, c.output());
    return ([dy]) => [dy && c.mul(dy, c.sum(gate, c.scale(c.mul(c.input(0), sigmoidSlope(c, gate)), c.a.alpha)))];
  },
  Tan: slope((c, _x, y) => onePlus(c, square(c, y))),
  Tanh: slope((c, _x, y) => oneMinus(c, square(c, y))),
  ThresholdedRelu: slope((c, x) => c.positive(c.sub(x, c.scalar(c.a.alpha)))),
  Where: single((c, dy) => {
    const none = c.scalar(0);
    const [chosen, other] = [
      c.wanted(1) ? c.add('Where', [c.input(0), dy, none]) : undefined,
      c.wanted(2) ? c.add('Where', [c.input(0), none, dy]) : undefined,
    ];
    return [
      undefined,
      chosen && c.unbroadcast(chosen, c.outShape(), c.shape(1)),
      other && c.unbroadcast(other, c.outShape(), c.shape(2)),
    ];
  }),
  // Wanted only between floats; the engine trains in one of them.
  Cast: single((c, dy) => [c.a.to === c.type(0).dtype ? dy : c.add('Cast', [dy], { to: c.dtype })]),
};

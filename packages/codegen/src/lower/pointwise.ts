/** What element-wise lowerings are written with. */
import type { DType, Node } from '@grim/ir';
import type { AnyLowering, LowerContext } from '../lower.ts';
import {
  binary,
  compare,
  type Expression,
  literal,
  type MathName,
  math,
  real,
  select,
  unary,
} from '../map/expression.ts';

/** An expression with the element type it stands for. */
export interface Typed {
  readonly x: Expression;
  readonly dtype: DType;
}

/** A lowering of a node with one output whose elements follow from its inputs' elements. */
export function pointwise(compute: (args: readonly Typed[], node: Node, c: LowerContext) => Expression): AnyLowering {
  return {
    lower: (node: Node, c: LowerContext) => {
      const args = node.inputs.map((name) => ({ x: c.operand(name), dtype: c.type(name).dtype }));
      c.define(node.outputs[0] ?? '', compute(args, node, c));
    },
  };
}

export const first = (args: readonly Typed[]): Typed => args[0] as Typed;

export const zero = (x: Expression): Expression => literal(x.rep, 0);
export const one = (x: Expression): Expression => literal(x.rep, 1);
export const add = (a: Expression, b: Expression): Expression => binary('add', a, b);
export const mul = (a: Expression, b: Expression): Expression => binary('mul', a, b);
export const clamp01 = (x: Expression): Expression => binary('pmin', binary('pmax', x, zero(x)), one(x));

/** Formulas on float32 alone: the functions of `math/` know no other type. */
export function float32(formula: (x: Expression, node: Node) => Expression): AnyLowering {
  return pointwise((args, node, c) => {
    const { x, dtype } = first(args);
    if (dtype === 'float64' || x.rep !== 'f32') c.unsupported(dtype, 'float32, float16, bfloat16');
    return formula(x, node);
  });
}

export function called(name: MathName): AnyLowering {
  return float32((x) => math(name, x));
}

/** eˣ − 1 for x ≤ 0, by 2t / (1 − t) with t = tanh(x/2): nothing cancels. */
export function expm1(x: Expression): Expression {
  const t = math('tanh', mul(x, real(x.rep, 0.5)));
  return binary('div', add(t, t), binary('sub', one(x), t));
}

/** ln(1 + x) with what 1 + x rounds off made good (Kahan). Infinity is not among the arguments. */
export function log1p(x: Expression): Expression {
  const u = add(one(x), x);
  const mended = mul(math('log', u), binary('div', x, binary('sub', u, one(x))));
  return select(compare('eq', u, one(x)), x, mended);
}

/** ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|). */
export function softplus(x: Expression): Expression {
  return add(binary('max', x, zero(x)), log1p(math('exp', unary('neg', unary('abs', x)))));
}

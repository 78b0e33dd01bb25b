/** `Pow`: the exponents that networks write are a few multiplications, all others exp(y · log |x|) with C's special cases. */
import { type DType, type Node, toReals } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import {
  binary,
  compare,
  convert,
  type Expression,
  isFloatRep,
  isUnsigned,
  literal,
  logic,
  math,
  select,
  unary,
} from '../map/expression.ts';
import { add, mul, one, zero } from './pointwise.ts';

/** Exponents up to this are multiplied out. */
const MOST_FACTORS = 64;

/** x to a constant power, where that is exact arithmetic; undefined where it is not. */
function constantPower(x: Expression, exponent: number): Expression | undefined {
  const float = isFloatRep(x.rep);
  if (exponent === 0.5 && float) {
    // √ keeps the sign of −0 and has no value at −∞.
    const infinite = compare('eq', x, literal(x.rep, Number.NEGATIVE_INFINITY));
    return select(infinite, literal(x.rep, Number.POSITIVE_INFINITY), unary('sqrt', add(x, zero(x))));
  }
  if (!Number.isInteger(exponent) || Math.abs(exponent) > MOST_FACTORS || (exponent < 0 && !float)) return undefined;
  let result: Expression | undefined;
  let square = x;
  for (let rest = Math.abs(exponent); rest > 0; rest >>= 1) {
    if (rest & 1) result = result ? mul(result, square) : square;
    if (rest > 1) square = mul(square, square);
  }
  const power = result ?? one(x);
  return exponent < 0 ? binary('div', one(x), power) : power;
}

/** C's pow on float32, to about |y · ln x| units of the last place. */
function power(x: Expression, y: Expression): Expression {
  const is = (a: Expression, value: number) => compare('eq', a, literal(a.rep, value));
  const magnitude = unary('abs', x);
  const always = logic('mask_or', is(magnitude, 1), is(y, 0));
  const value = select(always, one(x), math('exp', mul(y, math('log', magnitude))));
  const whole = compare('eq', unary('floor', y), y);
  const half = mul(y, literal(y.rep, 0.5));
  const odd = logic('mask_and', whole, compare('ne', unary('floor', half), half));
  const signed = select(odd, unary('neg', value), value);
  const root = logic('mask_or', whole, is(magnitude, Number.POSITIVE_INFINITY));
  const negative = select(root, signed, literal(x.rep, Number.NaN));
  // −0 is negative too, but its powers are never NaN.
  const below = compare('lt', x, zero(x));
  const minusZero = logic('mask_and', is(x, 0), compare('lt', binary('div', one(x), x), zero(x)));
  const result = select(below, negative, select(minusZero, signed, value));
  // 1 to any power, NaN included, is 1, and so is anything to the power 0.
  return select(logic('mask_or', is(x, 1), is(y, 0)), one(x), result);
}

/** |x|^p, a term of a p-norm. */
export function normTerm(x: Expression, p: number): Expression {
  const magnitude = unary('abs', x);
  return constantPower(magnitude, p) ?? power(magnitude, literal(x.rep, Math.fround(p)));
}

/** The p-norm of the sum of its terms. */
export function normOf(sum: Expression, p: number): Expression {
  if (p === 1) return sum;
  return p === 2 ? unary('sqrt', sum) : power(sum, literal(sum.rep, Math.fround(1 / p)));
}

function lower(node: Node, c: LowerContext): void {
  const [base = '', exponent = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { dtype } = c.type(base);
  const type = c.type(exponent);
  const x = c.operand(base);
  const known = c.constant(exponent);
  const single = known && known.data.length === 1 ? toReals(known)[0] : undefined;
  const spread = c.type(output).shape.length === c.type(base).shape.length;
  const exact = single !== undefined && spread ? constantPower(x, single) : undefined;
  if (exact) {
    c.define(output, exact);
    return;
  }
  const floats: readonly DType[] = ['float32', 'float16', 'bfloat16'];
  if (!floats.includes(dtype)) c.unsupported(dtype, 'float32, or a constant whole exponent of 0 to 64');
  if (type.dtype === 'float64') c.unsupported('a float64 exponent', 'float32 and integers');
  c.define(output, power(x, convert(c.operand(exponent), 'f32', !isUnsigned(type.dtype))));
}

export const powerLowerings: Lowerings = { Pow: { lower } };

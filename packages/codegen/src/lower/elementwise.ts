/**
 * Operators that compute element by element: they become expressions. Formulas as in the reference's
 * `reference/elementwise.ts`, in the arithmetic of the element type.
 */
import { type DType, invariant, type Node } from '@grim/ir';
import type { AnyLowering, LowerContext, Lowerings } from '../lower.ts';
import {
  binary,
  compare,
  convert,
  type Expression,
  type FloatBinary,
  type FloatComparison,
  type FloatUnary,
  fmod,
  type IntegerBinary,
  type IntegerComparison,
  isFloatRep,
  isUnsigned,
  literal,
  logic,
  math,
  real,
  reinterpret,
  repOf,
  select,
  unary,
  wrap,
} from '../map/expression.ts';
import {
  add,
  called,
  clamp01,
  expm1,
  first,
  float32,
  mul,
  one,
  pointwise,
  softplus,
  type Typed,
  zero,
} from './pointwise.ts';
import { powerLowerings } from './power.ts';
import { trigonometryLowerings } from './trigonometry.ts';

function integerName(name: string, dtype: DType): IntegerComparison & IntegerBinary {
  return `${name}_${isUnsigned(dtype) ? 'u' : 's'}` as IntegerComparison & IntegerBinary;
}

function less(dtype: DType, a: Expression, b: Expression): Expression {
  return compare(isFloatRep(a.rep) ? 'lt' : integerName('lt', dtype), a, b);
}

function smaller(dtype: DType, a: Expression, b: Expression): Expression {
  return isFloatRep(a.rep) ? binary('min', a, b) : select(less(dtype, a, b), a, b);
}

function larger(dtype: DType, a: Expression, b: Expression): Expression {
  return isFloatRep(a.rep) ? binary('max', a, b) : select(less(dtype, a, b), b, a);
}

function arithmetic(float: FloatBinary, integer: (a: Expression, b: Expression, dtype: DType) => Expression) {
  return pointwise(([a, b]) => {
    invariant(a && b, 'two operands');
    return isFloatRep(a.x.rep) ? binary(float, a.x, b.x) : wrap(a.dtype, integer(a.x, b.x, a.dtype));
  });
}

function comparison(name: FloatComparison): AnyLowering {
  return pointwise(([a, b]) => {
    invariant(a && b, 'two operands');
    if (a.x.rep === 'mask') return logic('mask_not', logic('mask_xor', a.x, b.x));
    if (isFloatRep(a.x.rep) || name === 'eq') return compare(name, a.x, b.x);
    return compare(integerName(name, a.dtype), a.x, b.x);
  });
}

function bitwise(name: 'and' | 'or' | 'xor'): AnyLowering {
  return pointwise(([a, b]) => binary(name, (a as Typed).x, (b as Typed).x));
}

function logical(name: 'mask_and' | 'mask_or' | 'mask_xor'): AnyLowering {
  return pointwise(([a, b]) => logic(name, (a as Typed).x, (b as Typed).x));
}

function rounding(name: FloatUnary): AnyLowering {
  return pointwise((args) => unary(name, first(args).x));
}

/** Folds any number of inputs from the left. */
function folded(step: (dtype: DType, a: Expression, b: Expression) => Expression): AnyLowering {
  return pointwise((args) => args.slice(1).reduce((sum, { x, dtype }) => step(dtype, sum, x), first(args).x));
}

/** @throws through `c` for element types that conversions do not know */
function castTo(from: Typed, dtype: DType): Expression {
  const { x } = from;
  const rep = repOf(dtype);
  if (from.dtype === dtype) return x;
  const signed = isFloatRep(x.rep) ? !isUnsigned(dtype) : !isUnsigned(from.dtype);
  return wrap(dtype, convert(x, rep, signed));
}

export const elementwiseLowerings: Lowerings = {
  ...powerLowerings,
  ...trigonometryLowerings,

  Abs: pointwise((args) => {
    const { x, dtype } = first(args);
    if (isFloatRep(x.rep)) return unary('abs', x);
    if (isUnsigned(dtype)) return x;
    return wrap(dtype, select(less(dtype, x, zero(x)), binary('sub', zero(x), x), x));
  }),
  Add: arithmetic('add', add),
  And: logical('mask_and'),
  BitCast: pointwise((args, node, c) => {
    const { x, dtype } = first(args);
    const to = node.op === 'BitCast' ? node.attributes.to : dtype;
    const narrow: readonly DType[] = ['float16', 'bfloat16'];
    if (narrow.includes(dtype) !== narrow.includes(to) && dtype !== to)
      c.unsupported(`${dtype} to ${to}`, 'types whose bits are computed with as they are');
    return wrap(to, castBits(x, dtype, to));
  }),
  BitShift: pointwise(([a, b], node) => {
    const { x, dtype } = a as Typed;
    const by = (b as Typed).x;
    const left = node.op === 'BitShift' && node.attributes.direction === 'LEFT';
    const shifted = wrap(dtype, binary(left ? 'shl' : 'shr_u', x, by));
    // The machine shifts modulo the width it computes in.
    return select(compare('lt_u', by, literal(x.rep, x.rep === 'i64' ? 64 : 32)), shifted, zero(x));
  }),
  BitwiseAnd: bitwise('and'),
  BitwiseNot: pointwise((args) => {
    const { x, dtype } = first(args);
    return wrap(dtype, binary('xor', x, literal(x.rep, -1)));
  }),
  BitwiseOr: bitwise('or'),
  BitwiseXor: bitwise('xor'),
  Cast: pointwise((args, node) => castTo(first(args), node.op === 'Cast' ? node.attributes.to : first(args).dtype)),
  CastLike: {
    lower: (node: Node, c: LowerContext) => {
      const [x = '', like = ''] = node.inputs;
      c.define(node.outputs[0] ?? '', castTo({ x: c.operand(x), dtype: c.type(x).dtype }, c.type(like).dtype));
    },
  },
  Ceil: rounding('ceil'),
  Celu: float32((x, node) => {
    const alpha = node.op === 'Celu' ? node.attributes.alpha : 1;
    const low = mul(real(x.rep, alpha), expm1(binary('min', binary('div', x, real(x.rep, alpha)), zero(x))));
    return alpha > 0
      ? select(compare('gt', x, zero(x)), x, low)
      : add(binary('max', x, zero(x)), binary('min', low, zero(x)));
  }),
  Clip: {
    lower: (node: Node, c: LowerContext) => {
      const [name = '', low = '', high = ''] = node.inputs;
      const { dtype } = c.type(name);
      let x = c.operand(name);
      if (low !== '') x = larger(dtype, c.bound(low), x);
      if (high !== '') x = smaller(dtype, c.bound(high), x);
      c.define(node.outputs[0] ?? '', x);
    },
  },
  Div: arithmetic('div', (a, b, dtype) => binary(integerName('div', dtype), a, b)),
  Elu: float32((x, node) => {
    const alpha = node.op === 'Elu' ? node.attributes.alpha : 1;
    return select(compare('ge', x, zero(x)), x, mul(real(x.rep, alpha), expm1(binary('min', x, zero(x)))));
  }),
  Equal: comparison('eq'),
  Erf: called('erf'),
  Exp: called('exp'),
  Floor: rounding('floor'),
  Gelu: float32((x, node) => {
    if (node.op === 'Gelu' && node.attributes.approximate === 'tanh') {
      const cube = mul(real(x.rep, 0.044715), mul(x, mul(x, x)));
      return mul(x, math('sigmoid', mul(real(x.rep, 2 * Math.sqrt(2 / Math.PI)), add(x, cube))));
    }
    return mul(mul(real(x.rep, 0.5), x), add(one(x), math('erf', mul(x, real(x.rep, Math.SQRT1_2)))));
  }),
  Greater: comparison('gt'),
  GreaterOrEqual: comparison('ge'),
  HardSigmoid: pointwise((args, node) => {
    const { x } = first(args);
    const { alpha, beta } = node.op === 'HardSigmoid' ? node.attributes : { alpha: 1, beta: 0 };
    return clamp01(add(mul(real(x.rep, alpha), x), real(x.rep, beta)));
  }),
  HardSwish: pointwise((args) => {
    const { x } = first(args);
    return mul(x, clamp01(add(mul(x, real(x.rep, 1 / 6)), real(x.rep, 0.5))));
  }),
  IsInf: pointwise((args, node) => {
    const { x } = first(args);
    const { detect_negative: negative, detect_positive: positive } =
      node.op === 'IsInf' ? node.attributes : { detect_negative: 1, detect_positive: 1 };
    const infinity = literal(x.rep, Number.POSITIVE_INFINITY);
    const minus = literal(x.rep, Number.NEGATIVE_INFINITY);
    if (negative && positive) return compare('eq', unary('abs', x), infinity);
    if (!negative && !positive) return logic('mask_not', compare('eq', zero(x), zero(x)));
    return compare('eq', x, positive ? infinity : minus);
  }),
  IsNaN: pointwise((args) => compare('ne', first(args).x, first(args).x)),
  LeakyRelu: pointwise((args, node) => {
    const { x } = first(args);
    const alpha = node.op === 'LeakyRelu' ? node.attributes.alpha : 0;
    return select(compare('lt', x, zero(x)), mul(real(x.rep, alpha), x), x);
  }),
  Less: comparison('lt'),
  LessOrEqual: comparison('le'),
  Log: called('log'),
  Max: folded(larger),
  Mean: pointwise((args) => {
    const sum = args.slice(1).reduce((total, { x }) => add(total, x), first(args).x);
    return binary('div', sum, literal(sum.rep, args.length));
  }),
  Min: folded(smaller),
  // x · tanh(ln(1 + eˣ)) = x · n / (n + 2), n = eˣ (eˣ + 2); from 20 on it is x.
  Mish: float32((x) => {
    const e = math('exp', binary('min', x, literal(x.rep, 20)));
    const n = mul(e, add(e, literal(x.rep, 2)));
    return mul(x, binary('div', n, add(n, literal(x.rep, 2))));
  }),
  Mod: pointwise(([a, b], node) => {
    const { x, dtype } = a as Typed;
    const y = (b as Typed).x;
    if (isFloatRep(x.rep)) return fmod(x, y);
    const rest = binary(integerName('rem', dtype), x, y);
    if (isUnsigned(dtype) || (node.op === 'Mod' && node.attributes.fmod === 1)) return wrap(dtype, rest);
    const negative = (of: Expression) => compare('lt_s', of, zero(of));
    const wrongSign = logic(
      'mask_and',
      compare('ne', rest, zero(rest)),
      logic('mask_xor', negative(rest), negative(y)),
    );
    // A remainder by 0 is 0, whatever the sign.
    return wrap(dtype, select(wrongSign, add(rest, y), rest));
  }),
  Mul: arithmetic('mul', mul),
  Neg: pointwise((args) => {
    const { x, dtype } = first(args);
    return isFloatRep(x.rep) ? unary('neg', x) : wrap(dtype, binary('sub', zero(x), x));
  }),
  Not: pointwise((args) => logic('mask_not', first(args).x)),
  Or: logical('mask_or'),
  PRelu: pointwise(([a, b]) => {
    const { x, dtype } = a as Typed;
    return select(less(dtype, x, zero(x)), mul((b as Typed).x, x), x);
  }),
  Reciprocal: pointwise((args) => binary('div', one(first(args).x), first(args).x)),
  Relu: pointwise((args) => {
    const { x, dtype } = first(args);
    return isFloatRep(x.rep) ? binary('pmax', x, zero(x)) : larger(dtype, x, zero(x));
  }),
  Round: rounding('nearest'),
  Selu: float32((x, node) => {
    const { alpha, gamma } = node.op === 'Selu' ? node.attributes : { alpha: 1, gamma: 1 };
    const low = mul(real(x.rep, alpha * gamma), expm1(binary('min', x, zero(x))));
    return select(compare('gt', x, zero(x)), mul(real(x.rep, gamma), x), low);
  }),
  Shrink: pointwise((args, node, c) => {
    const { x, dtype } = first(args);
    const { bias, lambd } = node.op === 'Shrink' ? node.attributes : { bias: 0, lambd: 0.5 };
    if (!isFloatRep(x.rep)) c.unsupported(dtype, 'floating-point types');
    const [b, l] = [real(x.rep, bias), real(x.rep, lambd)];
    const above = select(compare('gt', x, l), binary('sub', x, b), zero(x));
    return select(compare('lt', x, unary('neg', l)), add(x, b), above);
  }),
  Sigmoid: called('sigmoid'),
  Sign: pointwise((args) => {
    const { x, dtype } = first(args);
    if (isUnsigned(dtype)) return select(compare('ne', x, zero(x)), one(x), zero(x));
    const negative = select(less(dtype, x, zero(x)), literal(x.rep, -1), isFloatRep(x.rep) ? add(x, zero(x)) : x);
    return select(less(dtype, zero(x), x), one(x), negative);
  }),
  Softplus: float32(softplus),
  Softsign: pointwise((args) => {
    const { x } = first(args);
    return binary('div', x, add(one(x), unary('abs', x)));
  }),
  Sqrt: rounding('sqrt'),
  Sub: arithmetic('sub', (a, b) => binary('sub', a, b)),
  Sum: folded((_, a, b) => add(a, b)),
  Swish: float32((x, node) => {
    const alpha = node.op === 'Swish' ? node.attributes.alpha : 1;
    return mul(x, math('sigmoid', alpha === 1 ? x : mul(real(x.rep, alpha), x)));
  }),
  Tanh: called('tanh'),
  ThresholdedRelu: pointwise((args, node) => {
    const { x } = first(args);
    const alpha = node.op === 'ThresholdedRelu' ? node.attributes.alpha : 0;
    return select(compare('gt', x, real(x.rep, alpha)), x, zero(x));
  }),
  Where: pointwise(([condition, x, y]) => select((condition as Typed).x, (x as Typed).x, (y as Typed).x)),
  Xor: logical('mask_xor'),
};

/** The same bits under another type of the same width. */
function castBits(x: Expression, from: DType, to: DType): Expression {
  if (to === 'bool') return convert(x, 'mask', false);
  if (from === 'bool') return convert(x, repOf(to), false);
  return reinterpret(x, repOf(to));
}

/**
 * Trigonometric and hyperbolic functions. They are rare in networks: circular ones are computed in float64, element by
 * element, by polynomials that err by less than 10^-10; hyperbolic ones in float32 from the functions of `math/`.
 */
import type { AnyLowering, Lowerings } from '../lower.ts';
import {
  binary,
  type CircularName,
  compare,
  convert,
  type Expression,
  literal,
  logic,
  math,
  circular as onGpu,
  real,
  select,
  unary,
} from '../map/expression.ts';
import { add, expm1, float32, log1p, mul, one, zero } from './pointwise.ts';

const sub = (a: Expression, b: Expression): Expression => binary('sub', a, b);
const div = (a: Expression, b: Expression): Expression => binary('div', a, b);

/** Computes in float64 what is defined on float32; a GPU has functions of its own. */
function circular(name: CircularName, formula: (x: Expression) => Expression): AnyLowering {
  const [wide, narrow] = [
    float32((x) => convert(formula(convert(x, 'f64', true)), 'f32', true)),
    float32((x) => onGpu(name, x)),
  ];
  return { ...wide, lower: (node, c) => (c.gpu ? narrow : wide).lower(node, c) };
}

/** c0 + c1·x + c2·x² + …, by Horner. */
function polynomial(x: Expression, coefficients: readonly number[]): Expression {
  return coefficients
    .slice(0, -1)
    .reduceRight<Expression>((sum, c) => add(mul(sum, x), real(x.rep, c)), real(x.rep, coefficients.at(-1) ?? 0));
}

const FACTORIALS = Array.from({ length: 16 }, (_, n) =>
  Array.from({ length: n }, (__, i) => i + 1).reduce((a, b) => a * b, 1),
);
/** Taylor coefficients in x²; on |x| ≤ π/4 the first one left out is below 2·10^-14. */
const SINE = [1, 3, 5, 7, 9, 11, 13].map((n, i) => (i % 2 ? -1 : 1) / (FACTORIALS[n] ?? 1));
const COSINE = [0, 2, 4, 6, 8, 10, 12, 14].map((n, i) => (i % 2 ? -1 : 1) / (FACTORIALS[n] ?? 1));
/** π/2 in two parts, the first of 33 bits: its multiples are exact up to 2^20. */
const HALF_PI_HIGH = 1.5707963267341256;
const HALF_PI_LOW = 6.077100506506192e-11;

/** Sine and cosine of x − n·π/2, and n modulo 4. */
function reduced(x: Expression): {
  readonly sine: Expression;
  readonly cosine: Expression;
  readonly quadrant: Expression;
} {
  const n = unary('nearest', mul(x, real('f64', 2 / Math.PI)));
  const r = sub(sub(x, mul(n, real('f64', HALF_PI_HIGH))), mul(n, real('f64', HALF_PI_LOW)));
  const square = mul(r, r);
  const quadrant = sub(n, mul(real('f64', 4), unary('floor', mul(n, real('f64', 0.25)))));
  return { sine: mul(r, polynomial(square, SINE)), cosine: polynomial(square, COSINE), quadrant };
}

/** What the quadrant makes of sine and cosine: s, c, −s, −c. */
function turned(sine: Expression, cosine: Expression, quadrant: Expression): Expression {
  const is = (n: number) => compare('eq', quadrant, real('f64', n));
  const value = select(logic('mask_or', is(1), is(3)), cosine, sine);
  return select(compare('ge', quadrant, real('f64', 2)), unary('neg', value), value);
}

/** Taylor coefficients of atan in x²; on |x| ≤ tan(π/8) the first one left out is below 10^-13. */
const ARC = Array.from({ length: 16 }, (_, i) => (i % 2 ? -1 : 1) / (2 * i + 1));

function arcTangent(x: Expression): Expression {
  const magnitude = unary('abs', x);
  const steep = compare('gt', magnitude, one(x));
  const flat = select(steep, div(one(x), magnitude), magnitude);
  const upper = compare('gt', flat, real('f64', Math.SQRT2 - 1));
  const near = select(upper, div(sub(flat, one(x)), add(flat, one(x))), flat);
  const small = mul(near, polynomial(mul(near, near), ARC));
  const angle = add(small, select(upper, real('f64', Math.PI / 4), zero(x)));
  return binary('copysign', select(steep, sub(real('f64', Math.PI / 2), angle), angle), x);
}

function arcSine(x: Expression): Expression {
  return arcTangent(div(x, unary('sqrt', mul(sub(one(x), x), add(one(x), x)))));
}

/** Takes the sign from x; what is computed may lose that of zero. */
function odd(x: Expression, ofMagnitude: (a: Expression) => Expression): Expression {
  const value = ofMagnitude(unary('abs', x));
  return select(compare('lt', x, zero(x)), unary('neg', value), value);
}

/** From here on x² + 1 is x², and ln 2x may be taken. */
const LARGE = 2 ** 30;
const largeLog = (x: Expression): Expression => add(math('log', x), real(x.rep, Math.LN2));

export const trigonometryLowerings: Lowerings = {
  Acos: circular('acos', (x) => sub(real('f64', Math.PI / 2), arcSine(x))),
  Acosh: float32((x) => {
    const t = sub(binary('min', x, literal(x.rep, LARGE)), one(x));
    const near = log1p(add(t, unary('sqrt', mul(t, add(t, literal(x.rep, 2))))));
    const value = select(compare('lt', x, literal(x.rep, LARGE)), near, largeLog(x));
    return select(compare('lt', x, one(x)), literal(x.rep, Number.NaN), value);
  }),
  Asin: circular('asin', arcSine),
  Asinh: float32((x) =>
    odd(x, (a) => {
      const b = binary('min', a, literal(x.rep, LARGE));
      const square = mul(b, b);
      const near = log1p(add(b, div(square, add(one(x), unary('sqrt', add(square, one(x)))))));
      return select(compare('lt', a, literal(x.rep, LARGE)), near, largeLog(a));
    }),
  ),
  Atan: circular('atan', arcTangent),
  Atanh: float32((x) =>
    odd(x, (a) => {
      const value = mul(literal(x.rep, 0.5), log1p(div(add(a, a), sub(one(x), a))));
      return select(compare('eq', a, one(x)), literal(x.rep, Number.POSITIVE_INFINITY), value);
    }),
  ),
  Cos: circular('cos', (x) => {
    const { sine, cosine, quadrant } = reduced(x);
    const next = add(quadrant, one(x));
    return turned(sine, cosine, select(compare('eq', next, real('f64', 4)), zero(x), next));
  }),
  Cosh: float32((x) => {
    // e^|x| may be too large where half of it is not.
    const half = math('exp', mul(unary('abs', x), literal(x.rep, 0.5)));
    return add(mul(mul(half, literal(x.rep, 0.5)), half), div(literal(x.rep, 0.5), mul(half, half)));
  }),
  Sin: circular('sin', (x) => {
    const { sine, cosine, quadrant } = reduced(x);
    return turned(sine, cosine, quadrant);
  }),
  Sinh: float32((x) =>
    odd(x, (a) => {
      const half = math('exp', mul(a, literal(x.rep, 0.5)));
      const far = sub(mul(mul(half, literal(x.rep, 0.5)), half), div(literal(x.rep, 0.5), mul(half, half)));
      // (eᵃ − e⁻ᵃ) / 2 without cancellation, from e⁻ᵃ − 1.
      const m = expm1(unary('neg', a));
      const near = mul(literal(x.rep, -0.5), add(m, div(m, add(m, one(x)))));
      return select(compare('lt', a, one(x)), near, far);
    }),
  ),
  Tan: circular('tan', (x) => {
    const { sine, cosine, quadrant } = reduced(x);
    const is = (n: number) => compare('eq', quadrant, real('f64', n));
    return select(logic('mask_or', is(1), is(3)), unary('neg', div(cosine, sine)), div(sine, cosine));
  }),
};

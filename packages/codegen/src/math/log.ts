/**
 * The natural logarithm in float32, at most 2 ULP: -∞ at ±0, NaN below, +∞ at +∞, subnormal arguments included.
 *
 * x = m·2^e with m in [√½, √2): subtracting the bits of √½ carries into the exponent exactly when m would be too large.
 * log(1 + g) = g - g²/2 + g³·P(g), P minimax of degree 8 (relative error 0.02·2^-24); e·ln 2 is added in two parts, the
 * small one first (Cody and Waite).
 */
import type { VectorMath } from './vector.ts';

const COEFFICIENTS = [
  0.333333135, -0.250000089, 0.200020716, -0.166679889, 0.142203599, -0.124062397, 0.118835375, -0.116700247,
  0.0674918965,
];
const SQRT_HALF_BITS = 0x3f3504f3;
const MANTISSA = 0x7fffff;
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.1219444e-4;
const SMALLEST_NORMAL = 2 ** -126;

export function log(m: VectorMath): void {
  const { f } = m;
  const x = m.keep();
  f.get(x);
  m.constant(SMALLEST_NORMAL).f.op('f32x4.lt');
  const tiny = m.keep();
  f.get(x);
  m.constant(2 ** 23)
    .f.op('f32x4.mul')
    .get(x)
    .get(tiny)
    .op('v128.bitselect');
  m.bits(SQRT_HALF_BITS).f.op('i32x4.sub');
  const carried = m.keep();
  // e, less 23 where x had been scaled.
  f.get(carried).i32(23).op('i32x4.shr_s').op('f32x4.convert_i32x4_s').get(tiny);
  m.constant(-23).f.op('v128.and').op('f32x4.add');
  const e = m.keep();
  f.get(carried);
  m.bits(MANTISSA).f.op('v128.and');
  m.bits(SQRT_HALF_BITS).f.op('i32x4.add');
  m.constant(1).f.op('f32x4.sub');
  const g = m.keep();
  f.get(g).get(g).op('f32x4.mul');
  const square = m.keep();
  f.get(e);
  m.constant(LN2_HIGH);
  // g + (((P·g)·g² + e·low) - g²/2)
  m.polynomial(g, COEFFICIENTS).f.get(g).op('f32x4.mul').get(square);
  m.multiplyAdd(() => m.constant(LN2_LOW).f.get(e).op('f32x4.mul'));
  f.get(square);
  m.constant(0.5).f.op('f32x4.mul').op('f32x4.sub').get(g).op('f32x4.add');
  const tail = m.keep();
  m.multiplyAdd(() => f.get(tail));
  // Outside (0, ∞): the square root has the right NaN and +∞, and zero becomes -∞.
  m.constant(Number.NEGATIVE_INFINITY).f.get(x).op('f32x4.sqrt').get(x).zero().op('f32x4.eq').op('v128.bitselect');
  f.get(x).zero().op('f32x4.gt').get(x);
  m.constant(Number.POSITIVE_INFINITY).f.op('f32x4.lt').op('v128.and').op('v128.bitselect');
}

/**
 * tanh x in float32, at most 3 ULP; odd, -0 included.
 *
 * |x| < 0.625: x + x·x²·P(x²), P minimax of degree 4 (relative error 0.08·2^-24). Above: 1 - 2 / (e^2|x| + 1), where the
 * subtrahend is below one half, so its error is halved. Both are computed and one is selected.
 */
import { expOfNormal } from './exp.ts';
import type { VectorMath } from './vector.ts';

const COEFFICIENTS = [-0.333332807, 0.133314058, -0.0537365153, 0.0206281673, -0.0056922962];
const SMALL = 0.625;
const FAR = 40;
export const SIGN = 0x80000000;

export function tanh(m: VectorMath): void {
  const { f } = m;
  const x = m.keep();
  f.get(x);
  m.bits(SIGN).f.op('v128.and');
  const sign = m.keep();
  f.get(x).get(sign).op('v128.xor');
  const t = m.keep();
  f.get(t).get(t).op('f32x4.add');
  // Far beyond where the result is 1; a NaN stays.
  m.constant(FAR).f.op('f32x4.pmin');
  expOfNormal(m);
  const e = m.keep();
  m.constant(1).constant(2).f.get(e);
  m.constant(1).f.op('f32x4.add').op('f32x4.div').op('f32x4.sub');
  const large = m.keep();
  f.get(t).get(t).op('f32x4.mul');
  const square = m.keep();
  m.polynomial(square, COEFFICIENTS);
  f.get(square).get(t).op('f32x4.mul');
  m.multiplyAdd(() => f.get(t));
  f.get(large).get(t);
  m.constant(SMALL).f.op('f32x4.lt').op('v128.bitselect').get(sign).op('v128.or');
}

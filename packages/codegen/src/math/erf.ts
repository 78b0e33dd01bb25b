/**
 * The error function in float32, at most 4 ULP; odd, -0 included.
 *
 * |x| < 0.9: x + x·P(x²), P minimax of degree 5 (relative error 0.24·2^-24). Above: 1 - e^(-t·Q(t)) with t = min(|x|, 4),
 * where t·Q(t) fits -log erfc t (weighted error 0.02·2^-24); from 3.92 on the result rounds to 1.
 */
import { expOfNormal } from './exp.ts';
import { SIGN } from './tanh.ts';
import type { VectorMath } from './vector.ts';

const NEAR = [0.128379151, -0.376125067, 0.112819761, -0.0267730337, 0.00500342017, -0.000604711764];
const FAR = [1.12863708, 0.635198057, 0.106158964, -0.0236944444, 0.00361025869, -0.000314830831, 0.0000104296942];
const SMALL = 0.9;
const SATURATED = 4;

export function erf(m: VectorMath): void {
  const { f } = m;
  const x = m.keep();
  f.get(x);
  m.bits(SIGN).f.op('v128.and');
  const sign = m.keep();
  f.get(x).get(sign).op('v128.xor');
  m.constant(SATURATED).f.op('f32x4.pmin');
  const t = m.keep();
  m.constant(1).polynomial(t, FAR).f.get(t).op('f32x4.mul').op('f32x4.neg');
  expOfNormal(m);
  f.op('f32x4.sub');
  const large = m.keep();
  f.get(t).get(t).op('f32x4.mul');
  const square = m.keep();
  m.polynomial(square, NEAR).f.get(t);
  m.multiplyAdd(() => f.get(t));
  f.get(large).get(t);
  m.constant(SMALL).f.op('f32x4.lt').op('v128.bitselect').get(sign).op('v128.or');
}

/**
 * 1 / (1 + e^-x) in float32, at most 3 ULP.
 *
 * With e = e^-|x| it is 1 / (1 + e) for x ≥ 0 and e / (1 + e) below: nothing overflows and the far left stays accurate
 * down to subnormals.
 */
import { expBelowInfinity } from './exp.ts';
import { SIGN } from './tanh.ts';
import type { VectorMath } from './vector.ts';

export function sigmoid(m: VectorMath): void {
  const { f } = m;
  const x = m.keep();
  f.get(x);
  m.bits(SIGN).f.op('v128.or');
  expBelowInfinity(m);
  const e = m.keep();
  // e is at most 1.
  f.get(e).get(x).zero().op('f32x4.ge');
  m.constant(1).f.op('v128.and').op('f32x4.pmax').get(e);
  m.constant(1).f.op('f32x4.add').op('f32x4.div');
}

/**
 * 1 / (1 + e^-x) in float32, at most 3 ULP.
 *
 * With e = e^-|x| it is 1 / (1 + e) for x ≥ 0 and e / (1 + e) below: nothing overflows and the far left stays accurate
 * down to subnormals.
 */
import { exp } from './exp.ts';
import type { VectorMath } from './vector.ts';

export function sigmoid(m: VectorMath): void {
  const { f } = m;
  const x = m.keep();
  f.get(x).op('f32x4.abs').op('f32x4.neg');
  exp(m);
  const e = m.keep();
  m.constant(1).f.get(e).get(x).zero().op('f32x4.ge').op('v128.bitselect').get(e);
  m.constant(1).f.op('f32x4.add').op('f32x4.div');
}

/** Rule parts that the element-wise families share: the output has the input's shape, or the broadcast of all inputs'. */
import type { InferContext, Inferred } from '../op.ts';
import { FLOAT_DTYPES } from '../types.ts';
import { broadcastShapes } from './broadcast.ts';

export function sameShape(c: Pick<InferContext, 'shape'>): readonly Inferred[] {
  return [c.shape(0)];
}

export function broadcastAll(c: Pick<InferContext, 'shape' | 'inputCount' | 'fail' | 'unknown'>): readonly Inferred[] {
  return [
    broadcastShapes(
      c,
      Array.from({ length: c.inputCount }, (_, i) => c.shape(i)),
    ),
  ];
}

/** What every function of one float has in common. */
export const floatFunction = {
  inputs: ['X: T'],
  outputs: ['Y: T'],
  types: { T: FLOAT_DTYPES },
  attributes: {},
  infer: sameShape,
} as const;

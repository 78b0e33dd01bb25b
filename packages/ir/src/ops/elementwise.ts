/** Operators that compute every element of the output from the elements at the same place, after broadcasting. */
import { op, type InferContext, type Inferred } from '../op.ts';
import { NUMERIC_DTYPES } from '../types.ts';
import { broadcastShapes } from './broadcast.ts';

function broadcast(c: InferContext): readonly Inferred[] {
  return [broadcastShapes(c, Array.from({ length: c.inputCount }, (_, i) => c.shape(i)))];
}

const arithmetic = {
  inputs: ['A: T', 'B: T'],
  outputs: ['C: T'],
  types: { T: NUMERIC_DTYPES },
  attributes: {},
  infer: broadcast,
} as const;

export const elementwiseOps = {
  Add: op({ since: 14, ...arithmetic }),
};

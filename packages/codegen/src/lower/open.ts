/** Operators that find as many results as there are in the data: no memory can be set aside for them. */
import type { LowerContext, Lowerings } from '../lower.ts';

function refuse(constant: string) {
  return {
    lower: (_: unknown, c: LowerContext): never =>
      c.unsupported(
        'as many results as a run finds',
        `${constant}; or end the model before this operator and do its work outside`,
      ),
    anyShape: true,
  };
}

export const openLowerings: Lowerings = {
  Compress: refuse('a constant condition'),
  NonMaxSuppression: refuse('constant boxes and scores'),
  NonZero: refuse('a constant input'),
  Unique: refuse('a constant input'),
};

/** Multidirectional (numpy) broadcasting of shapes that may hold names of unknown lengths. */
import type { InferContext } from '../op.ts';
import type { Dim, Shape } from '../types.ts';
import { formatShape } from '../types.ts';

/** The broadcast of the shapes, or null when one is not known. Fails the rule when two lengths cannot meet. */
export function broadcastShapes(
  c: Pick<InferContext, 'fail' | 'unknown'>,
  shapes: readonly (Shape | null)[],
): Shape | null {
  let result: readonly Dim[] = [];
  for (const shape of shapes) {
    if (shape === null) return null;
    const rank = Math.max(result.length, shape.length);
    const merged: Dim[] = [];
    for (let i = 0; i < rank; i++) {
      const a = result[i - (rank - result.length)] ?? 1;
      const b = shape[i - (rank - shape.length)] ?? 1;
      if (a === b || b === 1) merged.push(a);
      else if (a === 1) merged.push(b);
      else if (typeof a === 'number' && typeof b === 'number')
        c.fail(
          `shapes ${shapes.map(formatShape).join(' and ')} do not broadcast: ${a} meets ${b}. ` +
            'Lengths must be equal or 1, counted from the right.',
        );
      // A name against a length other than 1 can only be that length (or 1, which gives it too).
      else if (typeof a === 'number') merged.push(a);
      else if (typeof b === 'number') merged.push(b);
      else merged.push(c.unknown());
    }
    result = merged;
  }
  return result;
}

/** Lengths that several inputs of one node share, under the names that the ONNX text gives them. */
import type { InferContext } from '../op.ts';
import { type Dim, formatShape } from '../types.ts';

export interface Lengths {
  /** States a length that does not come from an input's shape, or of which only a product is seen. */
  set(name: string, length: Dim, from: string): void;
  /**
   * Checks the rank and the lengths of an input, and takes from it what was not known. An absent input, or one whose
   * shape is not known, is passed over.
   * @throws {GrimError} GRIM_IR_SHAPE_MISMATCH
   */
  match(input: number, parameter: string, names: readonly string[]): void;
  /** The length of that name; a new unknown one when nothing has told it. */
  get(name: string): Dim;
}

export function sharedLengths(c: Pick<InferContext, 'has' | 'shape' | 'unknown' | 'fail'>): Lengths {
  const found = new Map<string, { readonly length: Dim; readonly from: string }>();
  const set = (name: string, length: Dim, from: string): void => {
    const earlier = found.get(name);
    // A number is better than a name for it.
    if (!earlier || typeof earlier.length === 'string') found.set(name, { length, from });
    else if (typeof length === 'number' && length !== earlier.length)
      c.fail(`${name} is ${length} by ${from} and ${earlier.length} by ${earlier.from}. Both must be the same.`);
  };
  return {
    set,
    match(input, parameter, names) {
      const shape = c.has(input) ? c.shape(input) : null;
      if (!shape) return;
      if (shape.length !== names.length)
        c.fail(`${parameter} has shape ${formatShape(shape)}; [${names.join(', ')}] is needed.`);
      names.forEach((name, axis) => {
        set(name, shape[axis] ?? 0, `axis ${axis} of ${parameter} ${formatShape(shape)}`);
      });
    },
    get(name) {
      const known = found.get(name);
      if (known) return known.length;
      const length = c.unknown();
      found.set(name, { length, from: 'nothing' });
      return length;
    },
  };
}

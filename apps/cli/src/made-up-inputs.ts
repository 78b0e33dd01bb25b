/** Inputs for a model that has no test data: seeded, in a range where no operator overflows. */
import { elementCount, fromReals, isStatic, type Tensor, type TensorType } from '@grim/ir';

/** One tensor per input: floats uniform in [−1, 1), integers and bools 0 or 1. All shapes must be known. */
export function madeUpInputs(types: ReadonlyMap<string, TensorType>): Readonly<Record<string, Tensor>> {
  let state = 1;
  // Numerical Recipes' linear congruential generator; the upper bits are random enough for this.
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const inputs: [string, Tensor][] = [];
  for (const [name, { dtype, shape }] of types) {
    if (!isStatic(shape)) continue;
    const float = dtype.includes('float');
    const values = Float64Array.from({ length: elementCount(shape, dtype) }, () =>
      float ? 2 * next() - 1 : Math.floor(2 * next()),
    );
    inputs.push([name, fromReals(dtype, shape, values)]);
  }
  return Object.fromEntries(inputs);
}

/** Kernels of the operators in `ops/reshape.ts`. The elements are shared with the input: no kernel writes to its inputs. */
import { type reshapeOps, shapeRange } from '../ops/reshape.ts';
import type { Tensor } from '../types.ts';
import type { KernelContext, Kernels } from './kernel.ts';

/** The first input's elements under the shape that the rule found. */
function relabel(c: Pick<KernelContext, 'input' | 'outputs'>): readonly Tensor[] {
  return [{ ...c.input(0), shape: (c.outputs[0] as Tensor).shape }];
}

export const reshapeKernels: Kernels<keyof typeof reshapeOps> = {
  Shape: (c) => {
    const { shape } = c.input(0);
    const [first, end] = shapeRange(shape.length, c.attributes.start, c.attributes.end);
    const data = BigInt64Array.from(shape.slice(first, end), BigInt);
    return [{ dtype: 'int64', shape: [data.length], data }];
  },
  Size: (c) => [{ dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(c.input(0).data.length)) }],
  Reshape: relabel,
  Squeeze: relabel,
  Unsqueeze: relabel,
  Flatten: relabel,
};

/** Kernels of the operators in `ops/elementwise.ts`. */
import { fromBigs, fromReals, toBigs, toReals } from '../numeric.ts';
import type { elementwiseOps } from '../ops/elementwise.ts';
import { isBig, type Tensor } from '../types.ts';
import { broadcastIndices } from './indexing.ts';
import type { Kernel, Kernels } from './kernel.ts';

/** Element-wise on two broadcast inputs; 64-bit integers are computed exactly and wrap. */
function binary<O extends keyof typeof elementwiseOps>(
  real: (a: number, b: number) => number,
  integer: (a: bigint, b: bigint) => bigint,
): Kernel<O> {
  return (c) => {
    const [a, b] = [c.input(0), c.input(1)];
    const { dtype, shape } = c.outputs[0] as Tensor;
    const ia = broadcastIndices(a.shape, shape);
    const ib = broadcastIndices(b.shape, shape);
    if (isBig(dtype)) {
      const [x, y] = [toBigs(a), toBigs(b)];
      return [fromBigs(dtype, shape, Array.from(ia, (i, e) => integer(x[i] ?? 0n, y[ib[e] ?? 0] ?? 0n)))];
    }
    const [x, y] = [toReals(a), toReals(b)];
    return [fromReals(dtype, shape, Float64Array.from(ia, (i, e) => real(x[i] ?? 0, y[ib[e] ?? 0] ?? 0)))];
  };
}

export const elementwiseKernels: Kernels<keyof typeof elementwiseOps> = {
  Add: binary(
    (a, b) => a + b,
    (a, b) => a + b,
  ),
};

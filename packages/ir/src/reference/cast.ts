/**
 * Kernels of the operators in `ops/cast.ts`.
 *
 * Every conversion rounds once: to a float to nearest, ties to even, overflow to infinity; to an integer toward zero.
 * What ONNX leaves open, a float that its integer type cannot hold, wraps modulo 2^bits; NaN and the infinities give 0.
 */
import { fromBigs, fromReals, toBigs, toReals } from '../numeric.ts';
import type { castOps } from '../ops/cast.ts';
import { type DType, INTEGER_DTYPES, isBig, type Tensor, viewAs } from '../types.ts';
import type { Kernels } from './kernel.ts';
import { copyOf } from './pointwise.ts';

function cast(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return copyOf(x);
  if (!isBig(x.dtype)) return fromReals(dtype, x.shape, toReals(x));
  if (INTEGER_DTYPES.includes(dtype)) return fromBigs(dtype, x.shape, toBigs(x));
  if (dtype === 'float64' || dtype === 'bool') return fromReals(dtype, x.shape, toReals(x));
  return fromReals(dtype, x.shape, Float64Array.from(toBigs(x) as BigInt64Array, toOdd));
}

/**
 * A 64-bit integer as a double that rounds to every narrower float as the integer itself does: what 53 bits cannot hold
 * is cut off and the last bit set ("round to odd"), so that no false tie appears.
 */
function toOdd(value: bigint): number {
  const magnitude = value < 0n ? -value : value;
  const excess = BigInt(Math.max(magnitude.toString(2).length - 53, 0));
  let kept = magnitude >> excess;
  if (kept << excess !== magnitude) kept |= 1n;
  const real = Number(kept) * 2 ** Number(excess);
  return value < 0n ? -real : real;
}

export const castKernels: Kernels<keyof typeof castOps> = {
  BitCast: (c) => {
    const { dtype, shape } = c.outputs[0] as Tensor;
    const { buffer } = c.input(0).data.slice();
    const { data } = c.input(0);
    if (dtype !== 'bool') return [{ dtype, shape, data: viewAs(dtype, buffer, 0, data.length) } as Tensor];
    // A bool is held as 0 or 1 only: any other byte is true.
    return [{ dtype, shape, data: Uint8Array.from(new Uint8Array(buffer), (byte) => (byte === 0 ? 0 : 1)) }];
  },
  Cast: (c) => [cast(c.input(0), c.attributes.to)],
  CastLike: (c) => [cast(c.input(0), c.input(1).dtype)],
};

/** The seeded inputs of the self-test, and the comparison of what comes out. Fixed by the format's version. */
import type { DType, FileManifest, TensorArray } from '@grim/ir';

/**
 * Xorshift numbers, one per element, from one state through all inputs in order (docs/formats.md): reals of [-1, 1) in
 * float32 and float64, the bits 0 or 1 in everything else.
 * @see Marsaglia, "Xorshift RNGs" (2003)
 */
export function fillSeeded(
  arrays: readonly { readonly dtype: DType; readonly data: TensorArray }[],
  seed: number,
): void {
  let x = seed;
  for (const { dtype, data } of arrays) {
    const real = /^float[36]/.test(dtype);
    for (let i = 0; i < data.length; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      const bit = x >>> 31;
      if (real) data[i] = (x >>> 8) / 2 ** 23 - 1;
      else data[i] = typeof data[i] === 'bigint' ? BigInt(bit) : bit;
    }
  }
}

/** The first value that is wrong, or undefined. */
export function findMismatch(
  { expected, absoluteTolerance, relativeTolerance }: FileManifest['selfTest'],
  outputs: ReadonlyMap<string, TensorArray>,
): { output: string; index: number; expected: number; found: number } | undefined {
  for (const { output, indices, values } of expected)
    for (const [i, index] of indices.entries()) {
      const value = values[i] as number;
      const found = Number(outputs.get(output)?.[index]);
      // Written so that NaN fails.
      if (!(Math.abs(found - value) <= absoluteTolerance + relativeTolerance * Math.abs(value)))
        return { output, index, expected: value, found };
    }
  return undefined;
}

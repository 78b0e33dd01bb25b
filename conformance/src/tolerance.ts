/**
 * Every tolerance of the repository, in one place: how far a result may be from what was expected, and why.
 *
 * Two questions, two answers.
 *
 * 1. *Stored expectations* ({@link toleranceOf}): the outputs in a conformance folder were computed by somebody else, in
 *    the element type of the test, by sums in an order that nobody recorded. Their own error is in the difference, so the
 *    bound is that of the standard's runner in its relative part (1e-3). Its absolute part (1e-7) assumes the same order
 *    of summation and fails where a sum cancels to almost nothing; 1e-5 is the figure under which the shared data were
 *    checked with onnxruntime. The 16-bit floats carry 11 and 8 bits: one rounding errs by up to 2^-11 and 2^-8
 *    relative. 5e-3 leaves a float16 result ten roundings; a bfloat16 result may be one unit (2^-7) off, no more.
 *    Integers and booleans have no rounding: exact, always.
 *
 * 2. *Our own kernels* ({@link dotTolerance}): the exact operands are known, so the bound can be the real one. A sum of K
 *    products errs in proportion to D = Σ|aᵢ·bᵢ|, never to the result, because sums cancel. With u the unit roundoff and
 *    n the longest chain of roundings, |error| ≤ γₙ·D always (γₙ = n·u / (1 − n·u)); rounding errors behave like a random
 *    walk, so (8 + 2·√n)·u·D holds for every healthy kernel that was measured (none of 12,000 sums passed it) and finds
 *    operands that were rounded to 16 bits by mistake, which `rtol 1e-3` does not.
 */
import type { DType } from '@grim/ir';

/** `|found − expected| ≤ atol + rtol·|expected|`; both zero: exact. */
export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

const EXACT: Tolerance = { rtol: 0, atol: 0 };
const STORED: Readonly<Partial<Record<DType, Tolerance>>> = {
  float64: { rtol: 1e-3, atol: 1e-5 },
  float32: { rtol: 1e-3, atol: 1e-5 },
  float16: { rtol: 5e-3, atol: 1e-5 },
  // One unit in the last of 8 bits.
  bfloat16: { rtol: 2 ** -7, atol: 1e-5 },
};

/** For an output of this element type against an expectation that came in a file. */
export function toleranceOf(dtype: DType): Tolerance {
  return STORED[dtype] ?? EXACT;
}

const UNIT_ROUNDOFF: Readonly<Partial<Record<DType, number>>> = {
  float64: 2 ** -53,
  float32: 2 ** -24,
  float16: 2 ** -11,
  bfloat16: 2 ** -8,
};

/**
 * Largest allowed |error| of one sum of products accumulated in `dtype`; integer types are exact: 0.
 *
 * @param chain  n, the longest chain of roundings: K for a plain loop, ⌈K/L⌉ + log₂L + 1 for L accumulators
 * @param magnitude  D = Σ|aᵢ·bᵢ| (+ |c|), in float64
 */
export function dotTolerance(dtype: DType, chain: number, magnitude: number): number {
  const u = UNIT_ROUNDOFF[dtype] ?? 0;
  const theorem = chain * u < 1 ? (chain * u) / (1 - chain * u) : Infinity;
  return Math.min(theorem, (8 + 2 * Math.sqrt(chain)) * u) * magnitude;
}

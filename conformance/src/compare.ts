/**
 * What differs between two tensors, where, and by how much.
 */
import { formatType, type Tensor, toReals } from '@grim/ir';
import { type Tolerance, toleranceOf } from './tolerance.ts';

export interface Comparison {
  readonly equal: boolean;
  /** Set when the tensors cannot be compared element by element: other dtype or shape. */
  readonly typeDiffers?: string;
  readonly elements: number;
  /** Elements outside the tolerance. */
  readonly mismatches: number;
  /** Largest |found − expected| over all elements; Infinity where one of them is not finite and the other not the same. */
  readonly maxAbsolute: number;
  /** Largest |found − expected| / |expected| over the elements that are not expected to be 0. */
  readonly maxRelative: number;
  /** The element outside the tolerance that is farthest from its expectation. */
  readonly worst?: { readonly index: readonly number[]; readonly expected: string; readonly found: string };
}

/** NaN equals NaN and an infinity equals itself; +0 equals −0. 64-bit integers are compared as integers. */
export function compareTensors(
  found: Tensor,
  expected: Tensor,
  tolerance: Tolerance = toleranceOf(expected.dtype),
): Comparison {
  const none = { elements: expected.data.length, mismatches: 0, maxAbsolute: 0, maxRelative: 0 };
  const sameShape =
    found.shape.length === expected.shape.length && found.shape.every((dim, i) => dim === expected.shape[i]);
  if (found.dtype !== expected.dtype || !sameShape || found.data.length !== expected.data.length)
    return { ...none, equal: false, typeDiffers: `is ${formatType(found)}, expected ${formatType(expected)}` };

  const exact = tolerance.rtol === 0 && tolerance.atol === 0;
  const a = toReals(found);
  const b = toReals(expected);
  let mismatches = 0;
  let maxAbsolute = 0;
  let maxRelative = 0;
  let worst = -1;
  let worstError = -1;
  for (let i = 0; i < b.length; i++) {
    // Doubles are equal where 64-bit integers beyond 2^53 are not: those are looked at themselves.
    if (exact && found.data[i] === expected.data[i]) continue;
    const x = a[i] ?? Number.NaN;
    const y = b[i] ?? Number.NaN;
    if (!exact && (x === y || (Number.isNaN(x) && Number.isNaN(y)))) continue;
    const difference = Math.abs(x - y);
    // Integers that differ by less than a double shows differ by at least 1.
    const error = Number.isNaN(difference) ? Infinity : exact ? Math.max(difference, 1) : difference;
    maxAbsolute = Math.max(maxAbsolute, error);
    if (y !== 0) maxRelative = Math.max(maxRelative, Number.isFinite(y) ? error / Math.abs(y) : Infinity);
    if (Number.isFinite(error) && error <= tolerance.atol + tolerance.rtol * Math.abs(y)) continue;
    mismatches++;
    if (error > worstError) {
      worstError = error;
      worst = i;
    }
  }
  const result = { elements: b.length, mismatches, maxAbsolute, maxRelative, equal: mismatches === 0 };
  if (worst < 0) return result;
  const shown = (tensor: Tensor, reals: ArrayLike<number>): string =>
    typeof tensor.data[worst] === 'bigint' ? String(tensor.data[worst]) : String(reals[worst]);
  return {
    ...result,
    worst: { index: unravel(worst, expected.shape), expected: shown(expected, b), found: shown(found, a) },
  };
}

/** One line: what differs, where, by how much. Empty when nothing does. */
export function describeDifference(comparison: Comparison): string {
  const { equal, typeDiffers, worst, mismatches, elements, maxAbsolute } = comparison;
  if (equal) return '';
  if (typeDiffers !== undefined) return typeDiffers;
  const where = worst && worst.index.length > 0 ? `[${worst.index.join(', ')}]` : 'the value';
  const by = Number.isFinite(maxAbsolute) ? `, off by ${shorten(maxAbsolute)}` : '';
  return `differs in ${mismatches} of ${elements}: ${where} is ${worst?.found}, expected ${worst?.expected}${by}`;
}

function shorten(value: number): string {
  return Number.isInteger(value) && value < 1e6 ? String(value) : value.toPrecision(3);
}

function unravel(position: number, shape: readonly number[]): number[] {
  const index = new Array<number>(shape.length).fill(0);
  let rest = position;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const dim = shape[axis] ?? 1;
    index[axis] = rest % dim;
    rest = Math.floor(rest / dim);
  }
  return index;
}

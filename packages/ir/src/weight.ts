/** Whether a weight holds what its type says, numbers that can be computed with, and zeros where its pattern says so. */
import { GrimError } from './errors.ts';
import { type GemmView, weightIndex } from './gemm.ts';
import type { Weight } from './graph.ts';
import type { Limits } from './limits.ts';
import { patternMask, patternProblem } from './pattern.ts';
import { type DType, elementCount, isArrayOf, isDType } from './types.ts';

/** What keeps the weight from being used, as the rest of a sentence, or undefined. */
export function weightProblem(weight: Weight, limits: Limits): string | undefined {
  const { dtype, shape, data } = weight;
  if (!isDType(dtype)) return `has the element type ${JSON.stringify(dtype)}, which is none.`;
  const count = countOf(weight, limits);
  if (typeof count === 'string') return count;
  const type = `${dtype} [${shape.join(', ')}]`;
  if (!isArrayOf(dtype, data)) return `is ${type}, but its data is no array of that type.`;
  if (data.length !== count) return `is ${type}, ${count} elements; its data has ${data.length}.`;
  if (dtype === 'bool') {
    const odd = data.findIndex((element: number | bigint) => element !== 0 && element !== 1);
    if (odd >= 0) return `is bool; element ${odd} is ${data[odd]}, 0 or 1 is needed.`;
  }
  return undefined;
}

function countOf({ shape, dtype }: Weight, limits: Limits): number | string {
  try {
    return elementCount(shape, dtype, 'it', limits);
  } catch (error) {
    if (error instanceof GrimError) return `has a shape that cannot be: ${error.message}`;
    throw error;
  }
}

interface NonFinite {
  readonly nan: number;
  readonly infinite: number;
}

/** How many elements are not finite; zeros for integers. */
export function nonFinite({ dtype, data }: Weight): NonFinite {
  let nan = 0;
  let infinite = 0;
  if (dtype === 'float32' || dtype === 'float64') {
    const numbers = data as Float32Array | Float64Array;
    for (let i = 0; i < numbers.length; i++) {
      const value = numbers[i] ?? 0;
      if (Number.isFinite(value)) continue;
      if (Number.isNaN(value)) nan++;
      else infinite++;
    }
  } else if (dtype === 'float16' || dtype === 'bfloat16') {
    const infinity = INFINITY_BITS[dtype];
    const bits = data as Uint16Array;
    for (let i = 0; i < bits.length; i++) {
      const magnitude = (bits[i] ?? 0) & 0x7fff;
      if (magnitude > infinity) nan++;
      else if (magnitude === infinity) infinite++;
    }
  }
  return { nan, infinite };
}

const INFINITY_BITS = { float16: 0x7c00, bfloat16: 0x7f80 } as const;

/** What is wrong between the weight's pattern and its matrix, as the rest of a sentence, or undefined. */
export function patternMismatch(weight: Weight, view: GemmView): string | undefined {
  const { pattern, data, dtype } = weight;
  if (!pattern) return undefined;
  const problem = patternProblem(pattern, view.m, view.k);
  if (problem) return `${problem}.`;
  const mask = patternMask(pattern);
  for (let row = 0; row < view.m; row++)
    for (let col = 0; col < view.k; col++)
      if (!mask[row * view.k + col] && !isZero(data[weightIndex(view, row, col)] ?? 0, dtype))
        return `row ${row}, column ${col} of its matrix is not zero, although the pattern prunes it.`;
  return undefined;
}

/** Both zeros of a float type count. */
function isZero(element: number | bigint, dtype: DType): boolean {
  if (dtype === 'float16' || dtype === 'bfloat16') return ((element as number) & 0x7fff) === 0;
  return element === 0 || element === 0n;
}

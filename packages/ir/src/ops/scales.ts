/** Checks of scales and zero points, shared by every quantized operator. */
import type { InferContext } from '../op.ts';
import { type Dim, formatShape } from '../types.ts';

type Context = Pick<InferContext<never>, 'has' | 'shape' | 'reals' | 'fail'>;

/** Two lengths that must agree; a name may turn out to be either. */
export const differ = (a: Dim | undefined, b: Dim | undefined): boolean =>
  typeof a === 'number' && typeof b === 'number' && a !== b;

/**
 * Refuses known scales that no calibration gives: NaN, infinite or negative. Zero stays: a scale computed at run time
 * from an all-zero tensor is zero, and saturation gives every quotient by it a value.
 */
export function checkScales(c: Context, input: number, name: string): void {
  const bad = c.has(input) ? c.reals(input)?.find((scale) => !(scale >= 0 && scale < Infinity)) : undefined;
  if (bad !== undefined) c.fail(`${name} holds ${bad}; a scale is a finite number of at least 0.`, 'GRIM_IR_BAD_VALUE');
}

/** One element, of rank 0 or 1. */
export function checkScalar(c: Context, input: number, name: string): void {
  const shape = c.has(input) ? c.shape(input) : null;
  if (!shape || shape.length === 0) return;
  if (shape.length > 1 || differ(shape[0], 1))
    c.fail(`${name} has shape ${formatShape(shape)}; one element is needed.`);
}

/** One element, or a vector of `length`. */
export function checkPerAxis(c: Context, input: number, name: string, length: Dim | undefined): void {
  const shape = c.has(input) ? c.shape(input) : null;
  if (!shape || shape.length === 0) return;
  if (shape.length > 1 || (shape[0] !== 1 && differ(shape[0], length)))
    c.fail(
      `${name} has shape ${formatShape(shape)}; one element, or a vector of ${length ?? 'one per channel'}, is needed.`,
    );
}

/** Rounding to a quantized type: half to even, then the zero point, then saturation; NaN counts as 0. */
import { fromReals, roundTiesToEven } from '../numeric.ts';
import type { DType, Tensor } from '../types.ts';

const RANGES: Partial<Record<DType, readonly [low: number, high: number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
};

/** round(quotient) + zero, held within the range of `dtype`. */
export function saturate(dtype: DType, quotient: number, zero: number): number {
  const [low, high] = RANGES[dtype] ?? [-Infinity, Infinity];
  const rounded = Number.isNaN(quotient) ? 0 : roundTiesToEven(quotient);
  return Math.min(Math.max(rounded + zero, low), high);
}

/** Every sum times its factor, rounded and saturated. */
export function requantize(
  dtype: DType,
  shape: readonly number[],
  sums: Float64Array | Float32Array,
  factor: (index: number) => number,
  zero: number,
): Tensor {
  const values = Float64Array.from(sums, (sum, i) => saturate(dtype, sum * factor(i), zero));
  return fromReals(dtype, shape, values);
}

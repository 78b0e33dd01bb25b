/** Element types and the arrays that hold them. float16 and bfloat16 travel as their 16 bits. */
import type { DType, TensorArray } from '@grim/ir';

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;

export const DTYPES: readonly string[] = Object.keys(ARRAYS);

export function bytesPerElement(dtype: DType): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

/** `Float32Array` and so on. */
export function arrayName(dtype: DType): string {
  return ARRAYS[dtype].name;
}

export function viewAs(dtype: DType, buffer: ArrayBuffer, offset: number, elements: number): TensorArray {
  return new ARRAYS[dtype](buffer, offset, elements);
}

/** Product of a checked shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** The built-in tag, the same for objects of other windows and polyfills. */
export function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

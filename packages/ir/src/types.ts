/**
 * Element types, shapes and tensors.
 *
 * float16 and bfloat16 are held as their 16 bits in a `Uint16Array`, bool as 0 or 1 in a `Uint8Array`: every tensor is
 * then a view on bytes, in the layout that ONNX files use (little-endian, row-major).
 */
import { GrimError, show } from './errors.ts';
import { LIMITS, type Limits } from './limits.ts';

/** The array that holds each element type. */
export interface DTypeArrays {
  float32: Float32Array;
  float64: Float64Array;
  /** IEEE binary16 bit patterns. */
  float16: Uint16Array;
  /** The upper 16 bits of a binary32. */
  bfloat16: Uint16Array;
  int8: Int8Array;
  int16: Int16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  uint8: Uint8Array;
  uint16: Uint16Array;
  uint32: Uint32Array;
  uint64: BigUint64Array;
  /** 0 or 1. */
  bool: Uint8Array;
}

/** Element type, named as in numpy. */
export type DType = keyof DTypeArrays;
export type TensorArray = DTypeArrays[DType];

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

export const DTYPES: readonly DType[] = Object.keys(ARRAYS) as DType[];
export const FLOAT_DTYPES: readonly DType[] = ['float16', 'bfloat16', 'float32', 'float64'];
export const SIGNED_DTYPES: readonly DType[] = ['int8', 'int16', 'int32', 'int64'];
export const UNSIGNED_DTYPES: readonly DType[] = ['uint8', 'uint16', 'uint32', 'uint64'];
export const INTEGER_DTYPES: readonly DType[] = [...SIGNED_DTYPES, ...UNSIGNED_DTYPES];
export const NUMERIC_DTYPES: readonly DType[] = [...FLOAT_DTYPES, ...INTEGER_DTYPES];

export function isDType(text: string): text is DType {
  return Object.hasOwn(ARRAYS, text);
}

export function isFloat(dtype: DType): boolean {
  return FLOAT_DTYPES.includes(dtype);
}

/** True for int64 and uint64, whose elements are `bigint`. */
export function isBig(dtype: DType): dtype is 'int64' | 'uint64' {
  return dtype === 'int64' || dtype === 'uint64';
}

/** Bytes of one element. */
export function bytesPerElement(dtype: DType): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

/** A dimension: a length, or the name of one that is not known before the graph is bound or run. */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** What is known of a value before it is computed. `shape` is null when not even the rank is known. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape | null;
}

/** A value: row-major, `data.length` equals the product of `shape`. A scalar has shape `[]` and one element. */
export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: DTypeArrays[D];
}

/** Zeros of the given type. The length is not checked: call {@link elementCount} on untrusted shapes first. */
export function allocate<D extends DType>(dtype: D, length: number): DTypeArrays[D] {
  return new ARRAYS[dtype](length) as DTypeArrays[D];
}

/** A view of `bytes` as elements; the offset must be a multiple of the element size. */
export function viewAs<D extends DType>(
  dtype: D,
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number,
): DTypeArrays[D] {
  return new ARRAYS[dtype](buffer as ArrayBuffer, byteOffset, length) as DTypeArrays[D];
}

/** True when `data` is the kind of array that holds `dtype`. */
export function isArrayOf(dtype: DType, data: unknown): data is TensorArray {
  return data instanceof ARRAYS[dtype];
}

export function isStatic(shape: Shape | null): shape is readonly number[] {
  return shape?.every((dim) => typeof dim === 'number') ?? false;
}

/**
 * Number of elements of a static shape.
 * @throws {GrimError} GRIM_IR_SHAPE_OVERFLOW when a dimension, the rank, the count or the bytes pass the limits
 */
export function elementCount(
  shape: readonly number[],
  dtype: DType = 'bool',
  where = 'tensor',
  limits: Limits = LIMITS,
): number {
  if (shape.length > limits.rank)
    throw new GrimError(
      'GRIM_IR_SHAPE_OVERFLOW',
      `${where}: rank ${shape.length} is more than ${limits.rank}, the highest supported.`,
      { rank: shape.length },
    );
  let count = 1;
  // A later 0 makes an earlier overflow harmless, but order must not decide: zero is looked for first.
  const empty = shape.includes(0);
  for (const dim of shape) {
    if (!Number.isInteger(dim) || dim < 0 || dim > limits.dim)
      throw new GrimError(
        'GRIM_IR_SHAPE_OVERFLOW',
        `${where}: dimension ${dim} in [${shape.join(', ')}] is not an integer from 0 to ${limits.dim}.`,
        { shape: [...shape] },
      );
    // Factors are at most 2^31 and the running product at most 2^31 when it passes: below 2^62, then checked. A double
    // is exact up to 2^53 and monotone beyond, so the comparison is right.
    if (!empty) count *= dim;
    if (count > limits.tensorElements || count * bytesPerElement(dtype) > limits.tensorBytes)
      throw new GrimError(
        'GRIM_IR_SHAPE_OVERFLOW',
        `${where}: ${dtype} [${shape.join(', ')}] is larger than ${limits.tensorElements} elements or ${limits.tensorBytes} bytes.`,
        { shape: [...shape], dtype },
      );
  }
  return empty ? 0 : count;
}

/** `float32 [1, 3, 224, 224]`, as people read it. */
export function formatType(type: TensorType): string {
  return `${type.dtype} ${formatShape(type.shape)}`;
}

export function formatShape(shape: Shape | null): string {
  return shape === null ? '[?]' : `[${shape.map((dim) => (typeof dim === 'string' ? show(dim) : dim)).join(', ')}]`;
}

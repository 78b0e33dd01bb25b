/**
 * Elements as doubles, and doubles as elements: the 16-bit float formats, and rounding to every dtype.
 *
 * A double holds every element type but the 64-bit integers exactly; those are read with {@link toBig} where exactness
 * matters.
 */
import { allocate, type DType, isBig, type Tensor } from './types.ts';

const scratch = new DataView(new ArrayBuffer(8));

/** The value of an IEEE binary16 bit pattern. Exact. */
export function fromFloat16(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest IEEE binary16, ties to even, from a double in one rounding; 65520 and more become infinity. */
export function toFloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  // The spacing of binary16 around the value: 2^-24 below 2^-14, else 2^(e - 10).
  const exponent = magnitude < 2 ** -14 ? -14 : exponentOf(magnitude);
  const steps = roundTiesToEven(magnitude / 2 ** (exponent - 10));
  // `steps` is 0…1024 for subnormals (1024 is the first normal number) and 1024…2048 for the rest; adding works for both.
  return sign | (exponent === -14 && steps < 1024 ? steps : ((exponent + 15) << 10) + (steps - 1024));
}

/** The value of a bfloat16 bit pattern. Exact. */
export function fromBfloat16(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** The nearest bfloat16, ties to even, from a double in one rounding. */
export function toBfloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude === 0) return sign;
  const exponent = magnitude < 2 ** -126 ? -126 : exponentOf(magnitude);
  if (exponent > 127) return sign | 0x7f80;
  const steps = roundTiesToEven(magnitude / 2 ** (exponent - 7));
  // As above; from the largest exponent, 256 steps carry into the pattern of infinity.
  return sign | (exponent === -126 && steps < 128 ? steps : ((exponent + 127) << 7) + (steps - 128));
}

/** floor(log2(value)) of a positive normal double. */
function exponentOf(value: number): number {
  scratch.setFloat64(0, value);
  return ((scratch.getUint16(0) >> 4) & 0x7ff) - 1023;
}

/** Nearest integer, ties to even (IEEE roundTiesToEven). Keeps the sign of zero. */
export function roundTiesToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest < 0.5) return rest === 0 ? value : floor === 0 ? 0 * value : floor;
  if (rest > 0.5) return floor === -1 ? -0 : floor + 1;
  return floor % 2 === 0 ? (floor === 0 ? 0 * value : floor) : floor === -1 ? -0 : floor + 1;
}

/** Element `index` as a double; 64-bit integers beyond 2^53 are rounded. */
export function toReal(tensor: Tensor, index: number): number {
  const element = tensor.data[index];
  switch (tensor.dtype) {
    case 'float16':
      return fromFloat16(element as number);
    case 'bfloat16':
      return fromBfloat16(element as number);
    default:
      return Number(element);
  }
}

/** All elements as doubles. The tensor's own array when that already holds plain numbers: do not write to it. */
export function toReals(tensor: Tensor): ArrayLike<number> {
  const { dtype, data } = tensor;
  if (isBig(dtype)) return Float64Array.from(data as BigInt64Array, Number);
  if (dtype === 'float16') return Float64Array.from(data as Uint16Array, fromFloat16);
  if (dtype === 'bfloat16') return Float64Array.from(data as Uint16Array, fromBfloat16);
  return data as Float64Array;
}

/** All elements as bigints, exactly. Only for integer dtypes and bool. */
export function toBigs(tensor: Tensor): ArrayLike<bigint> {
  return isBig(tensor.dtype) ? (tensor.data as BigInt64Array) : Array.from(tensor.data as Int32Array, BigInt);
}

/**
 * A tensor of the given doubles, each rounded once to `dtype`. Integers: truncated toward zero, then wrapped modulo 2^bits
 * (NaN becomes 0), as a C cast does on the machines people have. bool: zero or not.
 */
export function fromReals(dtype: DType, shape: readonly number[], values: ArrayLike<number>): Tensor {
  const data = allocate(dtype, values.length);
  switch (dtype) {
    case 'float16':
      for (let i = 0; i < values.length; i++) (data as Uint16Array)[i] = toFloat16(values[i] ?? 0);
      break;
    case 'bfloat16':
      for (let i = 0; i < values.length; i++) (data as Uint16Array)[i] = toBfloat16(values[i] ?? 0);
      break;
    case 'bool':
      for (let i = 0; i < values.length; i++) (data as Uint8Array)[i] = values[i] === 0 ? 0 : 1;
      break;
    case 'int64':
    case 'uint64':
      for (let i = 0; i < values.length; i++) {
        const whole = Math.trunc(values[i] ?? 0);
        (data as BigInt64Array)[i] = Number.isFinite(whole) ? BigInt(whole) : 0n;
      }
      break;
    default:
      // Typed arrays round floats to nearest and wrap integers themselves.
      (data as Float64Array).set(values);
  }
  return { dtype, shape, data } as Tensor;
}

/** A tensor of integers given as bigints, each wrapped modulo 2^bits. Only for integer dtypes. */
export function fromBigs(dtype: DType, shape: readonly number[], values: ArrayLike<bigint>): Tensor {
  if (isBig(dtype)) {
    const data = allocate(dtype, values.length) as BigInt64Array;
    for (let i = 0; i < values.length; i++) data[i] = values[i] ?? 0n;
    return { dtype, shape, data } as Tensor;
  }
  return fromReals(
    dtype,
    shape,
    Array.from(values, (v) => Number(BigInt.asIntN(32, v))),
  );
}

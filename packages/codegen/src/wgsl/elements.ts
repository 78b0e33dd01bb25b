/** Elements in the words of a buffer: how each type is read, and how those of less than a word are written. */
import { bytesPerElement, type DType } from '@grim/ir';
import { isSigned } from './expression.ts';
import type { Operand } from './shader.ts';

/** Elements of 1 and 2 bytes are counted in bytes, all others in words. */
function isNarrow(dtype: DType): boolean {
  return bytesPerElement(dtype) < 4;
}

/** What an address or a stride, given in bytes, is for elements of the type. */
export function inUnits(dtype: DType, bytes: number): number {
  return isNarrow(dtype) ? bytes : bytes / 4;
}

/** The bits of the element at `at` (in units), u32, those above the element zero. */
export function bitsText(space: Operand['space'], bytes: number, at: string): string {
  if (bytes >= 4) return `${space}[${at}]`;
  return `((${space}[(${at}) >> 2u] >> (u32((${at}) & 3) * 8u)) & 0x${bytes === 1 ? 'ff' : 'ffff'}u)`;
}

/** The element as its rep says. */
export function loadText(space: Operand['space'], dtype: DType, at: string): string {
  const bytes = bytesPerElement(dtype);
  const bits = bitsText(space, bytes, at);
  if (dtype === 'float32') return `bitcast<f32>(${bits})`;
  if (dtype === 'float16') return `unpack2x16float(${bits}).x`;
  if (dtype === 'bfloat16') return `bitcast<f32>(${bits} << 16u)`;
  if (dtype === 'bool') return `${bits} != 0u`;
  const value = `bitcast<i32>(${bits})`;
  if (bytes === 4 || !isSigned(dtype)) return value;
  const shift = 32 - 8 * bytes;
  return `(${value} << ${shift}u) >> ${shift}u`;
}

/** The bits that an element is stored as, u32; those above a narrow element are zero. */
export function storedText(dtype: DType, value: string): string {
  if (dtype === 'float32') return `bitcast<u32>(${value})`;
  if (dtype === 'float16') return `(pack2x16float(vec2<f32>(${value}, 0.0)) & 0xffffu)`;
  if (dtype === 'bfloat16') {
    const bits = `bitcast<u32>(${value})`;
    const nearest = `((${bits} + 0x7fffu + ((${bits} >> 16u) & 1u)) >> 16u)`;
    return `select(${nearest}, 0x7fc0u, (${bits} & 0x7fffffffu) > 0x7f800000u)`;
  }
  if (dtype === 'bool') return `select(0u, 1u, ${value})`;
  const bytes = bytesPerElement(dtype);
  return bytes === 4 ? `bitcast<u32>(${value})` : `(bitcast<u32>(${value}) & 0x${bytes === 1 ? 'ff' : 'ffff'}u)`;
}

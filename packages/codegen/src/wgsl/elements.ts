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

/**
 * The bits of the element at `at` (in units), u32, those above the element zero.
 * @param shared  the arena is an array of atomic words
 */
export function bitsText(space: Operand['space'], bytes: number, at: string, shared = false): string {
  const word = (index: string) => (shared && space === 'arena' ? `atomicLoad(&arena[${index}])` : `${space}[${index}]`);
  if (bytes >= 4) return word(at);
  return `((${word(`(${at}) >> 2u`)} >> (u32((${at}) & 3) * 8u)) & 0x${bytes === 1 ? 'ff' : 'ffff'}u)`;
}

/** The element as its rep says. */
export function loadText(space: Operand['space'], dtype: DType, at: string, shared = false): string {
  const bytes = bytesPerElement(dtype);
  const bits = bitsText(space, bytes, at, shared);
  if (bytes === 8) return `vec2<u32>(${bits}, ${bitsText(space, bytes, `${at} + 1`, shared)})`;
  if (dtype === 'float32') return `bitcast<f32>(${bits})`;
  if (dtype === 'float16') return `unpack2x16float(${bits}).x`;
  if (dtype === 'bfloat16') return `bitcast<f32>(${bits} << 16u)`;
  if (dtype === 'bool') return `${bits} != 0u`;
  const value = `bitcast<i32>(${bits})`;
  if (bytes === 4 || !isSigned(dtype)) return value;
  const shift = 32 - 8 * bytes;
  return `(${value} << ${shift}u) >> ${shift}u`;
}

/**
 * Lines that store `bits`, of an element of `bytes`, at `at` (in units), whoever else writes to the same word: the arena is
 * an array of atomic words where elements are narrow.
 */
export function storeBits(bytes: number, at: string, bits: string): string[] {
  if (bytes >= 4) return [`arena[${at}] = ${bits};`];
  const mask = bytes === 1 ? '0xffu' : '0xffffu';
  return [
    `{ let to = ${at}; let shift = u32(to & 3) * 8u;`,
    `  atomicAnd(&arena[to >> 2u], ~(${mask} << shift));`,
    `  atomicOr(&arena[to >> 2u], (${bits}) << shift); }`,
  ];
}

/** The bits that an element is stored as, u32, of 8 bytes two of them; those above a narrow element are zero. */
export function storedText(dtype: DType, value: string): string {
  if (dtype === 'float32') return `bitcast<u32>(${value})`;
  if (dtype === 'float16') {
    const bits = `bitcast<u32>(${value})`;
    const magnitude = `(${bits} & 0x7fffffffu)`;
    // What is packed may be no infinity and no NaN.
    const finite = `pack2x16float(vec2<f32>(select(${value}, 0.0, ${magnitude} >= 0x477ff000u), 0.0)) & 0xffffu`;
    const beyond = `(((${bits} >> 16u) & 0x8000u) | select(0x7c00u, 0x7e00u, ${magnitude} > 0x7f800000u))`;
    return `select(${finite}, ${beyond}, ${magnitude} >= 0x477ff000u)`;
  }
  if (dtype === 'bfloat16') {
    const bits = `bitcast<u32>(${value})`;
    const nearest = `((${bits} + 0x7fffu + ((${bits} >> 16u) & 1u)) >> 16u)`;
    return `select(${nearest}, 0x7fc0u, (${bits} & 0x7fffffffu) > 0x7f800000u)`;
  }
  if (dtype === 'bool') return `select(0u, 1u, ${value})`;
  if (bytesPerElement(dtype) === 8) return value;
  const bytes = bytesPerElement(dtype);
  return bytes === 4 ? `bitcast<u32>(${value})` : `(bitcast<u32>(${value}) & 0x${bytes === 1 ? 'ff' : 'ffff'}u)`;
}

/** Weights stored narrower than float32 become float32 when they are loaded. */
import type { WeightsSection } from '@grim/ir';

/**
 * @param stored  the bytes of the section, at a multiple of 4 of its buffer
 * @param target  `section.elements` values, written all
 */
export function expandWeights(
  { encoding, elements, group = 1 }: WeightsSection,
  stored: Uint8Array,
  target: Float32Array,
): void {
  const { buffer, byteOffset } = stored;
  if (encoding === 'int8') {
    const scales = new Float32Array(buffer, byteOffset, Math.ceil(elements / group));
    const values = new Int8Array(buffer, byteOffset + scales.byteLength, elements);
    for (let i = 0; i < elements; i++) target[i] = (scales[Math.floor(i / group)] as number) * (values[i] as number);
    return;
  }
  // As bit patterns: numbers would lose the payload of a NaN.
  const bits = new Uint32Array(target.buffer, target.byteOffset, elements);
  const halves = new Uint16Array(buffer, byteOffset, elements);
  for (let i = 0; i < elements; i++) {
    const half = halves[i] as number;
    if (encoding === 'bf16') bits[i] = half << 16;
    else {
      const sign = (half & 0x8000) << 16;
      const exponent = (half >> 10) & 31;
      const mantissa = half & 1023;
      if (exponent === 0) target[i] = (sign ? -1 : 1) * mantissa * 2 ** -24;
      else bits[i] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (mantissa << 13);
    }
  }
}

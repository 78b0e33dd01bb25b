/**
 * Inputs as the word lines see them: integers cut into slices of `dacBits`, one slice per cycle, least significant first.
 *
 * Signed inputs go as two's complement (the sign bit is a cycle of its own, shifted and subtracted: ISAAC, Shafiee et
 * al., ISCA 2016) or as sign and magnitude (every slice carries the sign, so lines are driven both ways).
 */
import { checkInteger, fail } from './errors.ts';

export type InputEncoding = 'unsigned' | 'twos-complement' | 'sign-magnitude';

/** How integers become slices. */
export interface InputSlices {
  readonly encoding: InputEncoding;
  /** Range of the integers. */
  readonly low: number;
  readonly high: number;
  /** What each slice counts for; of two's complement, the last is negative. */
  readonly weights: readonly number[];
  /** Bits of each slice. */
  readonly bits: readonly number[];
  /** Bits of the magnitude. */
  readonly magnitudeBits: number;
}

/**
 * @param inputBits  of the integers, the sign included
 * @throws {GrimError} GRIM_RERAM_BAD_CROSSBAR
 */
export function inputSlices(inputBits: number, dacBits: number, encoding: InputEncoding): InputSlices {
  const code = 'GRIM_RERAM_BAD_CROSSBAR';
  checkInteger(code, 'crossbar: inputBits', inputBits, encoding === 'unsigned' ? 1 : 2, 24);
  checkInteger(code, 'crossbar: dacBits', dacBits, 1, 24);
  const magnitudeBits = encoding === 'unsigned' ? inputBits : inputBits - 1;
  const weights: number[] = [];
  const bits: number[] = [];
  for (let bit = 0; bit < magnitudeBits; bit += dacBits) {
    weights.push(2 ** bit);
    bits.push(Math.min(dacBits, magnitudeBits - bit));
  }
  if (encoding === 'twos-complement') {
    weights.push(-(2 ** magnitudeBits));
    bits.push(1);
  }
  const high = 2 ** magnitudeBits - 1;
  const low = { unsigned: 0, 'twos-complement': -high - 1, 'sign-magnitude': -high }[encoding];
  return { encoding, low, high, weights, bits, magnitudeBits };
}

/** What slice `index` of the integer `x` drives its line with: 0 to 2^bits − 1, negative under sign-magnitude only. */
export function digit(slices: InputSlices, x: number, index: number): number {
  const weight = slices.weights[index] ?? 1;
  if (weight < 0) return x < 0 ? 1 : 0;
  const count = 2 ** (slices.bits[index] ?? 1);
  if (slices.encoding === 'sign-magnitude') return Math.sign(x) * (Math.floor(Math.abs(x) / weight) % count) + 0;
  const pattern = x < 0 ? x + 2 ** slices.magnitudeBits : x;
  return Math.floor(pattern / weight) % count;
}

/** @throws {GrimError} GRIM_RERAM_BAD_INPUT when an element is no integer of the range */
export function checkInputs(slices: InputSlices, x: ArrayLike<number>): void {
  for (let i = 0; i < x.length; i++) {
    const value = x[i] ?? 0;
    if (!Number.isInteger(value) || value < slices.low || value > slices.high)
      fail(
        'GRIM_RERAM_BAD_INPUT',
        `input element ${i} is ${value}; an integer from ${slices.low} to ${slices.high} is needed.`,
        { index: i, value, low: slices.low, high: slices.high },
      );
  }
}

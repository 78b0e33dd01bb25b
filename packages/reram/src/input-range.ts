/**
 * Which integers stand for a layer's real inputs. Values that calibration data make are counted in a histogram; of a number of
 * ranges, cut at either end or not, the one whose integers are nearest to those values in the squared mean is taken.
 *
 * Integers are unsigned where no input is negative, and of both signs where inputs are about as large on either side. A range
 * far off centre (features with an offset) is unsigned with a zero of its own: x = scale · (q − zero). What the zero adds
 * to a product is a constant of the filter, and is subtracted after the arrays, like a bias.
 */
import { roundHalfEven } from './project.ts';

/** x ≈ inputScale · (q − inputZero). */
export interface InputRange {
  readonly inputScale: number;
  /** The integer that stands for 0. */
  readonly inputZero: number;
  /** q may be negative. */
  readonly signed: boolean;
}

/** Values counted in bins of one width, as many as it takes. */
export interface Histogram {
  low: number;
  high: number;
  /** Of a bin; a power of two. Bin i holds what is nearest to (i − MIDDLE) · width. */
  width: number;
  readonly counts: Float64Array;
}

/** Bins on either side of zero: sixteen to a step of 8 bits and more. */
const MIDDLE = 4096;

export function histogram(): Histogram {
  return { low: 0, high: 0, width: 2 ** -40, counts: new Float64Array(2 * MIDDLE + 1) };
}

/** Counts values; what is not finite is left out. */
export function countValues(to: Histogram, values: ArrayLike<number>): void {
  const { counts } = to;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!Number.isFinite(value)) continue;
    if (value < to.low) to.low = value;
    else if (value > to.high) to.high = value;
    if (Math.abs(value) > MIDDLE * to.width) widen(to, Math.abs(value));
    const bin = Math.round(value / to.width) + MIDDLE;
    counts[bin] = (counts[bin] as number) + 1;
  }
}

/** Bins so many times as wide that `value` has one; the middle one stays the middle one. */
function widen(to: Histogram, value: number): void {
  const before = to.counts.slice();
  let factor = 2;
  while (value > MIDDLE * to.width * factor) factor *= 2;
  to.counts.fill(0);
  before.forEach((count, i) => {
    const bin = Math.round((i - MIDDLE) / factor) + MIDDLE;
    to.counts[bin] = (to.counts[bin] as number) + count;
  });
  to.width *= factor;
}

/** Shares of the largest values that ranges are tried with. */
const CUTS = [1, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5];

/** A zero of its own is worth its constant where it lowers the error so far. */
const WORTH = 0.7;

/** How a range is found: nearest to the values seen, or over all of them and about zero. */
export type RangeRule = 'least-squares' | 'extremes';

export function inputRange(of: Histogram, inputBits: number, rule: RangeRule): InputRange {
  const { low, high } = of;
  const bins = filled(of);
  const best = (tried: readonly InputRange[]) =>
    tried
      .map((range) => ({ range, error: squaredError(bins, range, inputBits) }))
      .reduce((a, b) => (b.error < a.error ? b : a));
  const signed = low < 0;
  const most = Math.max(-low, high);
  const steps = 2 ** (signed ? inputBits - 1 : inputBits) - 1;
  const about = (share: number): InputRange => {
    const scale = (share * most) / steps;
    return { inputScale: scale > 0 && Number.isFinite(scale) ? scale : 1, inputZero: 0, signed };
  };
  if (rule === 'extremes' || most === 0) return about(1);
  const centred = best(CUTS.map(about));
  if (!signed) return centred.range;
  const shifted = best(CUTS.flatMap((below) => CUTS.map((above) => between(below * low, above * high, inputBits))));
  return shifted.error < WORTH * centred.error ? shifted.range : centred.range;
}

/** Integers from 0 for `low` to the largest for `high`, the zero on an integer. */
function between(low: number, high: number, inputBits: number): InputRange {
  const steps = 2 ** inputBits - 1;
  const scale = (high - low) / steps;
  if (!(scale > 0 && Number.isFinite(scale))) return { inputScale: 1, inputZero: 0, signed: low < 0 };
  const inputZero = Math.min(steps, Math.max(0, Math.round(-low / scale)));
  return { inputScale: scale, inputZero, signed: false };
}

interface Bins {
  readonly values: Float64Array;
  readonly counts: Float64Array;
}

function filled({ counts, width }: Histogram): Bins {
  const at = Array.from(counts.keys()).filter((i) => counts[i] !== 0);
  return {
    values: Float64Array.from(at, (i) => (i - MIDDLE) * width),
    counts: Float64Array.from(at, (i) => counts[i] as number),
  };
}

function squaredError({ values, counts }: Bins, range: InputRange, inputBits: number): number {
  const { inputScale, inputZero } = range;
  const integers = driveWith(range, inputBits, values);
  let sum = 0;
  for (let i = 0; i < values.length; i++)
    sum += (counts[i] as number) * ((values[i] as number) - inputScale * ((integers[i] as number) - inputZero)) ** 2;
  return sum;
}

/** Integers of real inputs: rounded half to even, cut at the ends of the range; NaN becomes the integer of 0. */
export function driveWith(range: InputRange, inputBits: number, x: Float64Array): Int32Array {
  const { inputScale, inputZero, signed } = range;
  const high = 2 ** (signed ? inputBits - 1 : inputBits) - 1;
  const low = signed ? -high : 0;
  const integers = new Int32Array(x.length);
  for (let i = 0; i < x.length; i++) {
    const value = roundHalfEven((x[i] as number) / inputScale) || 0;
    integers[i] = Math.max(low, Math.min(high, value + inputZero));
  }
  return integers;
}

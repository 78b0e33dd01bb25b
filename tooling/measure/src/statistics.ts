/**
 * Statistics of times that were taken in turn on a noisy machine. A ratio is the median of the ratios of neighbouring
 * samples: what slows both down at once cancels. Its interval comes from bootstrap resampling of blocks of rounds, because
 * the load of a machine lasts longer than a round.
 * @see Kalibera and Jones, "Rigorous benchmarking in reasonable time" (2013); Künsch, "The jackknife and the bootstrap for
 *   general stationary observations" (1989): the moving-block bootstrap
 */

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** By linear interpolation; NaN of nothing. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (at - Math.floor(at)) * (high - low);
}

/** Median absolute deviation from the median: a spread that outliers do not move. */
export function medianAbsoluteDeviation(values: readonly number[]): number {
  const middle = median(values);
  return median(values.map((value) => Math.abs(value - middle)));
}

/** `same`: they differ by less than 2 %, surely. `unclear`: the noise hides which one is faster. */
type Verdict = 'faster' | 'slower' | 'same' | 'unclear';

export interface Comparison {
  /** How many times faster ours is: their time / our time. */
  readonly ratio: number;
  /** Bounds that hold the true ratio with 99 % confidence. */
  readonly low: number;
  readonly high: number;
  readonly verdict: Verdict;
}

const SAME = 0.02;
const CONFIDENCE = 0.99;
const RESAMPLES = 1000;
/** With fewer rounds there is no verdict. */
const LEAST_ROUNDS = 10;

/** @param ours, theirs  times of the same rounds, in the order of time */
export function compare(ours: readonly number[], theirs: readonly number[]): Comparison {
  const ratios = ours.map((time, round) => (theirs[round] ?? Number.NaN) / time);
  const ratio = median(ratios);
  const [low, high] = bootstrapInterval(ratios);
  return { ratio, low, high, verdict: ratios.length < LEAST_ROUNDS ? 'unclear' : verdictOf(low, high) };
}

function verdictOf(low: number, high: number): Verdict {
  if (low > 1 - SAME && high < 1 + SAME) return 'same';
  if (low > 1) return 'faster';
  return high < 1 ? 'slower' : 'unclear';
}

/** Of the median. Blocks of n^(1/3) neighbours are drawn with replacement; the same values give the same interval. */
function bootstrapInterval(values: readonly number[]): readonly [low: number, high: number] {
  const { length } = values;
  const block = Math.max(1, Math.round(Math.cbrt(length)));
  let state = 0x2545f491;
  const below = (n: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
  const medians = Array.from({ length: RESAMPLES }, () => {
    const drawn: number[] = [];
    while (drawn.length < length) {
      const start = below(Math.max(1, length - block + 1));
      drawn.push(...values.slice(start, start + Math.min(block, length - drawn.length)));
    }
    return median(drawn);
  });
  const tail = (1 - CONFIDENCE) / 2;
  return [quantile(medians, tail), quantile(medians, 1 - tail)];
}

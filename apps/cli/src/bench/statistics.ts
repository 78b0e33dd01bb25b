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

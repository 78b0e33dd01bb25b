/** Times of two candidates in the same rounds, compared. */

/** In every pair. */
export function isFaster(ratios: readonly number[]): boolean {
  return ratios.length > 0 && Math.max(...ratios) < 1;
}

/** Median over rounds of one's time over the other's. */
export function ratioOf(times: readonly number[] | undefined, base: readonly number[] | undefined): number | undefined {
  if (!times || !base || times.length === 0) return undefined;
  const ratio = median(times.map((time, round) => time / (base[round] ?? Number.NaN)));
  return ratio > 0 && Number.isFinite(ratio) ? ratio : undefined;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

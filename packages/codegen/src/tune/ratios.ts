/** Times of two candidates in the same rounds, compared. */

/** In every pair, and by so much in most of them. */
export function isFaster(ratios: readonly number[], worth = 1): boolean {
  return ratios.length > 0 && Math.max(...ratios) < 1 && median(ratios) < worth;
}

/**
 * One's lower quartile over the other's: whatever else runs on a machine only ever adds to a time, and to some rounds more than
 * to others. Beside four other programs medians of equal candidates differed by up to 10 %.
 */
export function ratioOf(times: readonly number[] | undefined, base: readonly number[] | undefined): number | undefined {
  if (!times || !base || times.length === 0) return undefined;
  const ratio = lowerQuartile(times) / lowerQuartile(base);
  return ratio > 0 && Number.isFinite(ratio) ? ratio : undefined;
}

function lowerQuartile(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 2] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/**
 * What two values of one kind say: whether one is surely better. Values of runs at different times see different weather, so
 * an interval that touches the other one, or a difference within what a quiet machine shows, is no difference.
 */
import type { Value } from './run.ts';

export type Verdict = 'better' | 'worse' | 'same';

/** Of measured values, in shares: what repeated runs of one build on one machine differ by. */
const MEASURED_SAME = 0.03;

/** @param tolerance  share that counts as no difference; default 0.03 of measured values, 0 of others */
export function judge(
  before: Value,
  after: Value,
  tolerance?: number,
): { readonly ratio: number; readonly verdict: Verdict } {
  const ratio = before.value === after.value ? 1 : after.value / before.value;
  const measured = before.low !== undefined && after.low !== undefined;
  const apart = !measured || end(after, 'low') > end(before, 'high') || end(after, 'high') < end(before, 'low');
  const far = Math.abs(ratio - 1) > (tolerance ?? (measured ? MEASURED_SAME : 0));
  if (!apart || !far || !Number.isFinite(ratio)) return { ratio, verdict: 'same' };
  return { ratio, verdict: ratio < 1 === (after.better === 'less') ? 'better' : 'worse' };
}

const end = (value: Value, side: 'low' | 'high'): number => value[side] ?? value.value;

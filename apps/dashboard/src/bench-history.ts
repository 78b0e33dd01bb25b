/**
 * What was measured in this browser before: medians alone, kept in its own storage where that is allowed. Storage may be
 * full, forbidden or written by somebody else: what does not look right is as good as not there.
 */
import type { BenchRow } from './engine/bench.ts';

export interface Measured {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly model: string;
  readonly contender: string;
  readonly ms: number;
}

const KEY = 'grim.bench';
const MOST = 300;

/** @param text  what the storage holds */
export function readMeasured(text: string | null): readonly Measured[] {
  try {
    const list: unknown = JSON.parse(text ?? '[]');
    if (!Array.isArray(list)) return [];
    return list.slice(-MOST).flatMap((given: unknown): Measured[] => {
      const { at, model, contender, ms } = (given ?? {}) as Partial<Record<keyof Measured, unknown>>;
      const known =
        typeof at === 'number' && typeof ms === 'number' && typeof model === 'string' && typeof contender === 'string';
      return known && ms > 0 && Number.isFinite(at) ? [{ at, model, contender, ms }] : [];
    });
  } catch {
    return [];
  }
}

export function measuredBefore(): readonly Measured[] {
  try {
    return readMeasured(localStorage.getItem(KEY));
  } catch {
    return [];
  }
}

export function keepMeasured(model: string, rows: readonly BenchRow[]): void {
  const at = Date.now();
  const fresh = rows
    .filter(({ refused }) => refused === undefined)
    .map(({ name, medianMs }): Measured => ({ at, model, contender: name, ms: medianMs }));
  try {
    localStorage.setItem(KEY, JSON.stringify([...measuredBefore(), ...fresh].slice(-MOST)));
  } catch {
    // Full or forbidden: the figures are on the page all the same.
  }
}

/** The end of a search: what is left of luck is taken out, and what is not faster for sure is dropped. */
import { isFaster, median, ratioOf } from './ratios.ts';
import type { Timed } from './tune.ts';

/** A product must be at least so much faster, or the default stays. */
export const WORTH = 0.98;
export const FINALISTS = 4;
/**
 * The last comparison is of so many instances of the tuned model with as many of the default. Where memory and code come to lie
 * makes a few per cent, the same in all rounds of an instance: each pair must say that tuning pays.
 */
const PAIRS = 5;
/** Comparisons: of all winners, then of those that won in their company too. */
const ATTEMPTS = 4;

export interface Finals<S> {
  /** By key of a product; empty where the default stays. */
  readonly schedules: Readonly<Record<string, S>>;
  readonly ratios: ReadonlyMap<string, number>;
  /** Of the whole. */
  readonly ratio: number;
}

/**
 * Times the best of each product again, keeps what is faster for sure, and the whole only if it is faster.
 * @param finalists  of each product, at most {@link FINALISTS}
 * @param time  the model with each of these schedules; `fresh`: in instances of their own
 */
export async function finals<S>(
  finalists: readonly { readonly key: string; readonly best: readonly S[] }[],
  time: (all: readonly Readonly<Record<string, S>>[], fresh: boolean) => Promise<readonly Timed[]>,
): Promise<Finals<S>> {
  const none: Finals<S> = { schedules: {}, ratios: new Map(), ratio: 1 };
  const heats = Array.from({ length: FINALISTS }, (_, i) =>
    Object.fromEntries(
      finalists.flatMap(({ key, best }) => {
        const schedule = best[i];
        return schedule === undefined ? [] : [[key, schedule] as const];
      }),
    ),
  ).filter((schedules) => Object.keys(schedules).length > 0);
  if (heats.length === 0) return none;
  const [base, ...others] = await time([{}, ...heats], false);
  const winners = finalists.flatMap(({ key }) => {
    const timed = heats.flatMap((schedules, i) => {
      const schedule = schedules[key];
      const ratio = schedule && ratioOf(others[i]?.products.get(key), base?.products.get(key));
      return schedule === undefined || ratio === undefined ? [] : [[schedule, ratio] as const];
    });
    const [best] = timed.sort(([, a], [, b]) => a - b);
    return best && best[1] < WORTH ? [[key, best[0]] as const] : [];
  });
  let schedules: Readonly<Record<string, S>> = Object.fromEntries(winners);
  for (let attempt = 0; attempt < ATTEMPTS && Object.keys(schedules).length > 0; attempt++) {
    const pairs: (readonly Timed[])[] = [];
    for (let i = 0; i < PAIRS; i++) pairs.push(await time([{}, schedules], true));
    const ratios = (of: (timed: Timed | undefined) => readonly number[] | undefined) =>
      pairs.map(([before, after]) => ratioOf(of(after), of(before)) ?? Number.POSITIVE_INFINITY);
    const byKey = new Map(Object.keys(schedules).map((key) => [key, ratios((timed) => timed?.products.get(key))]));
    const whole = ratios((timed) => timed?.run);
    const kept = Object.fromEntries(Object.entries(schedules).filter(([key]) => isFaster(byKey.get(key) ?? [], WORTH)));
    if (Object.keys(kept).length === Object.keys(schedules).length) {
      if (!isFaster(whole)) return none;
      const medians = new Map(Array.from(byKey, ([key, list]) => [key, median(list)]));
      return { schedules, ratios: medians, ratio: median(whole) };
    }
    schedules = kept;
  }
  return none;
}

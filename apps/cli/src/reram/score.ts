/** What a run of a network on many examples comes to, and how far it is. */
import type { Io } from '../output.ts';
import type { Results } from './pool.ts';

export interface Score {
  readonly mean: number;
  readonly least: number;
  readonly most: number;
}

/** Share of the examples with the right class; without classes, with the class that exact integers give. */
export function scorer(exact: Results, labels: readonly number[] | undefined): (results: Results) => Score {
  const wanted = labels ?? (exact.values[0] ?? []).map(largest);
  return ({ values }) => {
    const shares = values.map((trial) => {
      const right = trial.filter((row, i) => largest(row) === wanted[i]).length;
      return trial.length === 0 ? 0 : right / trial.length;
    });
    return {
      mean: shares.reduce((sum, share) => sum + share, 0) / shares.length,
      least: Math.min(...shares),
      most: Math.max(...shares),
    };
  };
}

/** Index of the largest value; the first of equals. */
export function largest(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}

const EVERY_MS = 2000;

/** A line for each step that begins, once the first have taken long enough to be waited for. */
export function elapsed(io: Io): (what: string) => void {
  const start = performance.now();
  return (what) => {
    if (performance.now() - start >= EVERY_MS) io.err(`grim: ${what}\n`);
  };
}

/** A line now and then: how far a long run is. */
export function ticker(io: Io): (what: string, done: number, total: number) => void {
  let last = performance.now();
  return (what, done, total) => {
    if (done === total || performance.now() - last < EVERY_MS) return;
    last = performance.now();
    io.err(`grim: ${what}: ${done} of ${total}\n`);
  };
}

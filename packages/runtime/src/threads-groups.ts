/** The groups of a list of steps: calls that threads may share. */
import type { FileManifest } from '@grim/ir';

/**
 * Steps in which each group is one call of a kernel behind the last, with the group's number as its argument; and the calls
 * of the groups.
 */
export function takeGroups({ steps, kernels }: Pick<FileManifest, 'steps' | 'kernels'>): {
  readonly steps: readonly number[];
  readonly groups: readonly (readonly (readonly number[])[])[];
} {
  const groups: number[][][] = [];
  const copy = (from: number, end: number): number[] => {
    const out: number[] = [];
    for (let at = from; at < end; ) {
      const index = steps[at] as number;
      if (index === -2) {
        const stop = at + 2 + (steps[at + 1] as number);
        const calls: number[][] = [];
        for (at += 2; at < stop; ) {
          const next = at + 1 + (kernels[steps[at] as number]?.parameters ?? 0);
          calls.push(steps.slice(at, next));
          at = next;
        }
        out.push(kernels.length, groups.push(calls) - 1);
      } else if (index === -1) {
        const [condition = 0, then = 0, otherwise = 0] = steps.slice(at + 1, at + 4);
        const middle = at + 4 + then;
        const arms = [copy(at + 4, middle), copy(middle, middle + otherwise)] as const;
        out.push(-1, condition, arms[0].length, arms[1].length, ...arms[0], ...arms[1]);
        at = middle + otherwise;
      } else {
        const next = at + 1 + (kernels[index]?.parameters ?? 0);
        out.push(...steps.slice(at, next));
        at = next;
      }
    }
    return out;
  };
  return { steps: copy(0, steps.length), groups };
}

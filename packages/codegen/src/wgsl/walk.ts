/** Places in a strided index space: its lengths and strides are arguments, so that one text serves all shapes of a rank. */
import type { DType } from '@grim/ir';
import { inUnits } from './elements.ts';

/** An index space and, for each operand, its strides in bytes. */
export interface Walk {
  readonly lengths: readonly number[];
  readonly strides: readonly (readonly number[])[];
}

/** Names of the arguments `n0, …` and `s0_0, …` that the texts below speak of. */
export function walkNames({ lengths, strides }: Walk): string[] {
  return [
    ...lengths.map((_, level) => `n${level}`),
    ...strides.flatMap((_, operand) => lengths.map((__, level) => `s${operand}_${level}`)),
  ];
}

/** Their values; strides in the units of each operand's element type. */
export function walkNumbers({ lengths, strides }: Walk, dtypes: readonly DType[]): number[] {
  return [...lengths, ...strides.flatMap((list, i) => list.map((stride) => inUnits(dtypes[i] ?? 'int32', stride)))];
}

/** Lines that define `i0, …` from the row-major number `from`, the innermost first. */
export function placeLines({ lengths }: Walk, from: string): string[] {
  const lines = [`var rest = ${from};`];
  for (let level = lengths.length - 1; level >= 0; level--)
    lines.push(level === 0 ? 'let i0 = rest;' : `let i${level} = rest % args.n${level}; rest /= args.n${level};`);
  return lengths.length === 0 ? [] : lines;
}

/** What is added to where an operand begins. */
export function offsetText({ lengths }: Walk, operand: number): string {
  return lengths.map((_, level) => ` + i${level} * args.s${operand}_${level}`).join('');
}

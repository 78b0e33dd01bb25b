/**
 * Matrix reorder: rows that need the same inputs become neighbours, so that a kernel loads each input once for all of
 * them (load redundancy elimination), and rows of equal length stand together, so that threads finish together.
 * @see GRIM (Niu et al., 2022), matrix reordering
 */
import type { BcrPattern } from '@grim/ir';
import { checkPattern, rowColumns } from './pattern.ts';

/** A set of surviving columns, and the rows that have exactly it. */
export interface Signature {
  /** Ascending. */
  readonly columns: Uint32Array;
  /** Ascending. */
  readonly rows: readonly number[];
}

/** The distinct signatures, in the order in which their first rows stand in the matrix. */
export function signatures(pattern: BcrPattern): readonly Signature[] {
  checkPattern(pattern);
  const found = new Map<string, { columns: Uint32Array; rows: number[] }>();
  rowColumns(pattern).forEach((columns, row) => {
    const key = columns.join();
    const signature = found.get(key);
    if (signature) signature.rows.push(row);
    else found.set(key, { columns, rows: [row] });
  });
  return [...found.values()];
}

/** The signatures as a packed matrix holds them: longest column lists first, equal lengths in matrix order. */
export function orderedRuns(pattern: BcrPattern): readonly Signature[] {
  return [...signatures(pattern)].sort((a, b) => b.columns.length - a.columns.length);
}

/**
 * Orders rows so that those with equal signature are neighbours and a kernel loads each input once per run (LRE).
 *
 * @returns permutation of [0, rows): `order[i]` is the original row stored at position i. Long rows come first; otherwise
 *   rows keep their order.
 * @throws {GrimError} GRIM_BCR_PATTERN_MISMATCH when the pattern is not well formed
 */
export function reorderRows(pattern: BcrPattern): Uint32Array {
  return Uint32Array.from(orderedRuns(pattern).flatMap((run) => run.rows));
}

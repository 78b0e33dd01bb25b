/** Parts of one node as one row of a table: a depthwise convolution has a matrix for each of its groups. */
import { show } from '@grim/ir';

export interface Group<R> {
  /** As it is printed, with the number of parts where there are several. */
  readonly title: string;
  readonly rows: readonly R[];
}

/** Neighbours whose names differ in the number at the end alone (`node/0`, `node/1`, …), in one group each. */
export function byNode<R extends { readonly name: string }>(rows: readonly R[]): readonly Group<R>[] {
  const nodeOf = (name: string) => /^(.+)\/\d+$/.exec(name)?.[1] ?? name;
  const groups: { readonly node: string; readonly rows: R[] }[] = [];
  for (const row of rows) {
    const node = nodeOf(row.name);
    const last = groups.at(-1);
    if (last && last.node === node && node !== row.name) last.rows.push(row);
    else groups.push({ node, rows: [row] });
  }
  return groups.map(({ node, rows: own }) => ({
    title: own.length === 1 ? show(own[0]?.name ?? node) : `${show(node)} (${own.length})`,
    rows: own,
  }));
}

export function sumOf<R>(rows: readonly R[], of: (row: R) => number): number {
  return rows.reduce((sum, row) => sum + of(row), 0);
}

export function mostOf<R>(rows: readonly R[], of: (row: R) => number): number {
  return rows.reduce((most, row) => Math.max(most, of(row)), 0);
}

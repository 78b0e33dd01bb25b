/** A pattern row by row. */
import type { BcrPattern } from '@grim/ir';

/** Surviving columns of each row, ascending. */
export function columnsOf({ grid, keptRows, keptCols }: BcrPattern): readonly Uint32Array[] {
  const across = Math.ceil(grid.cols / grid.blockCols);
  const lists: number[][] = Array.from({ length: grid.rows }, () => []);
  keptRows.forEach((rows, block) => {
    const top = Math.floor(block / across) * grid.blockRows;
    const left = (block % across) * grid.blockCols;
    for (const row of rows) for (const col of keptCols[block] ?? []) lists[top + row]?.push(left + col);
  });
  return lists.map((list) => Uint32Array.from(list));
}

/** The part of a BCR pattern that lies in a run of rows: one gate, one direction. */
import { blockGrid } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';

/** Rows [first, first + rows). Blocks that straddle the ends are cut into lower ones that do not. */
export function rowsOf(pattern: BcrPattern, first: number, rows: number): BcrPattern {
  const { grid } = pattern;
  if (first === 0 && rows === grid.rows) return pattern;
  const height = divisor(grid.blockRows, first);
  const across = Math.ceil(grid.cols / grid.blockCols);
  const keptRows: Uint16Array[] = [];
  const keptCols: Uint16Array[] = [];
  for (let top = first; top < first + rows; top += height) {
    const bottom = Math.min(top + height, first + rows);
    const strip = Math.floor(top / grid.blockRows);
    const start = strip * grid.blockRows;
    for (let i = 0; i < across; i++) {
      const kept = pattern.keptRows[strip * across + i] ?? new Uint16Array();
      keptRows.push(kept.filter((row) => start + row >= top && start + row < bottom).map((row) => start + row - top));
      keptCols.push(pattern.keptCols[strip * across + i] ?? new Uint16Array());
    }
  }
  return { grid: blockGrid(rows, grid.cols, height, grid.blockCols), keptRows, keptCols };
}

/** The greatest that divides both. */
function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

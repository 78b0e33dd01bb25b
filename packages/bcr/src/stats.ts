/** What a pattern costs and saves: survivors, signatures, bytes of indices in every format, balance. */
import type { BcrPattern } from '@grim/ir';
import { blockCounts, density, nonZeros } from './pattern.ts';
import { signatures } from './reorder.ts';

export interface PatternStats {
  readonly nonZeros: number;
  /** Survivors / (rows · cols). */
  readonly density: number;
  /** Blocks that keep anything. */
  readonly blocks: number;
  /** Distinct column sets among the rows; as many as rows when rows are pruned in every block on its own. */
  readonly signatures: number;
  /** Bytes of the survivors in float32. */
  readonly weightBytes: number;
  /** Bytes of everything but the weights, as each format's bytes on the wire have it (headers left out). */
  readonly indexBytes: { readonly csr: number; readonly bcrc: number; readonly 'block-local': number };
  /** Survivors of the heaviest row of blocks over the mean: 1 when all are equal, and when nothing survives. */
  readonly imbalance: number;
}

/** Bytes of one index below `count`, as the wire formats write it. */
export function indexWidth(count: number): 1 | 2 | 4 {
  return count <= 256 ? 1 : count <= 65536 ? 2 : 4;
}

export function stats(pattern: BcrPattern): PatternStats {
  const { grid } = pattern;
  const { down, across } = blockCounts(grid);
  const kept = nonZeros(pattern);
  const found = signatures(pattern);
  const colBytes = indexWidth(grid.cols);
  const perBlock = pattern.keptRows.map((rows, i) => rows.length * (pattern.keptCols[i]?.length ?? 0));
  const perStrip = Array.from({ length: down }, (_, s) =>
    perBlock.slice(s * across, (s + 1) * across).reduce((a, b) => a + b, 0),
  );
  return {
    nonZeros: kept,
    density: density(pattern),
    blocks: perBlock.filter((n) => n > 0).length,
    signatures: found.length,
    weightBytes: 4 * kept,
    indexBytes: {
      csr: 4 * (grid.rows + 1) + colBytes * kept,
      bcrc:
        indexWidth(grid.rows) * grid.rows +
        2 * 4 * (found.length + 1) +
        colBytes * found.reduce((sum, { columns }) => sum + columns.length, 0),
      'block-local': blockLocalIndexBytes(pattern),
    },
    imbalance: kept === 0 ? 1 : Math.max(...perStrip) / (kept / down),
  };
}

/** Record: block column, row mask, column count (u16, less one), column ids; and u32 per strip for its records. */
export function blockLocalIndexBytes({ grid, keptRows, keptCols }: BcrPattern): number {
  const { down, across } = blockCounts(grid);
  let bytes = 4 * down;
  keptCols.forEach((cols, i) => {
    if (cols.length === 0 || keptRows[i]?.length === 0) return;
    bytes += indexWidth(across) + Math.ceil(grid.blockRows / 8) + 2 + indexWidth(grid.blockCols) * cols.length;
  });
  return bytes;
}

/**
 * The best BCR pattern for zeros that are already there, so that models pruned elsewhere profit.
 *
 * On a given grid the smallest pattern that keeps every non-zero is unique: each block keeps the rows and the columns
 * that hold one. Between grids the cost decides: survivors to store and multiply (true zeros among them), plus indices.
 */
import type { BcrPattern, BlockGrid } from '@grim/ir';
import { checkMatrix, type Matrix } from './matrix.ts';
import { blockGrid, blocksOf, nonZeros } from './pattern.ts';
import { blockLocalIndexBytes } from './stats.ts';

/** A grid, its smallest pattern, and what it costs. */
export interface Cover {
  readonly pattern: BcrPattern;
  /** Share of the matrix that the pattern keeps, 0 to 1; at least the share of non-zeros. */
  readonly density: number;
  /** Of the zeros of the matrix, the share that the pattern leaves out: 1 when the zeros are exactly its own. */
  readonly explained: number;
  /** Bytes of the survivors in float32 and of their block-local indices. */
  readonly bytes: number;
}

/** Heights and widths that the kernels have tiles for; Infinity is the whole side. */
const HEIGHTS = [1, 2, 3, 4, 6, 8, 12, 16, 32, 64, Infinity];
const WIDTHS = [16, 32, 64, 128, 256, Infinity];

/** The smallest pattern of `grid` that keeps every non-zero of `w`. NaN is not zero. */
export function coverOn(w: Matrix, grid: BlockGrid): Cover {
  checkMatrix(w);
  const keptRows: Uint16Array[] = [];
  const keptCols: Uint16Array[] = [];
  for (const block of blocksOf(grid)) {
    const rows = new Uint8Array(block.height);
    const cols = new Uint8Array(block.width);
    for (let r = 0; r < block.height; r++)
      for (let c = 0; c < block.width; c++)
        if (w.data[(block.top + r) * w.cols + block.left + c] !== 0) rows[r] = cols[c] = 1;
    keptRows.push(indicesOf(rows));
    keptCols.push(indicesOf(cols));
  }
  const pattern: BcrPattern = { grid, keptRows, keptCols };
  const kept = nonZeros(pattern);
  const zeros = w.data.reduce((sum, value) => sum + (value === 0 ? 1 : 0), 0);
  return {
    pattern,
    density: kept / w.data.length,
    explained: zeros === 0 ? 1 : (w.data.length - kept) / zeros,
    bytes: 4 * kept + blockLocalIndexBytes(pattern),
  };
}

/**
 * Covers of `w`, cheapest first.
 * @param grids  default: every height of 1, 2, 3, 4, 6, 8, 12, 16, 32, 64, M with every width of 16, 32, 64, 128, 256, K
 */
export function cover(w: Matrix, grids: readonly BlockGrid[] = candidateGrids(w)): readonly Cover[] {
  return grids.map((grid) => coverOn(w, grid)).sort((a, b) => a.bytes - b.bytes);
}

function candidateGrids(w: Matrix): readonly BlockGrid[] {
  const found = new Map<string, BlockGrid>();
  for (const height of HEIGHTS)
    for (const width of WIDTHS) {
      const grid = blockGrid(w.rows, w.cols, Math.min(height, 65536), Math.min(width, 65536));
      found.set(`${grid.blockRows}×${grid.blockCols}`, grid);
    }
  return [...found.values()];
}

function indicesOf(present: Uint8Array): Uint16Array {
  return Uint16Array.from(present.keys()).filter((i) => present[i] === 1);
}

/**
 * Geometry of a BCR pattern: which block covers what, remainder blocks included.
 * The pattern itself is a type of `@grim/ir`, since it belongs to a weight of a graph.
 */
import { type BcrPattern, type BlockGrid, patternProblem } from '@grim/ir';
import { fail, type Matrix } from './matrix.ts';

/** Where a block lies. The last block of a row or column of blocks is smaller when the sizes do not divide. */
export interface Block {
  readonly index: number;
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/**
 * A grid over a rows × cols matrix. A block side larger than the matrix is cut to it, so `blockCols: Infinity` means
 * whole rows.
 * @throws {GrimError} GRIM_BCR_BAD_GRID when a size is not a positive integer or a block side passes 65536
 */
export function blockGrid(rows: number, cols: number, blockRows: number, blockCols: number): BlockGrid {
  const grid = { rows, cols, blockRows: Math.min(blockRows, rows), blockCols: Math.min(blockCols, cols) };
  for (const [name, value] of Object.entries(grid))
    if (!Number.isInteger(value) || value < 1)
      fail('GRIM_BCR_BAD_GRID', `grid: ${name} is ${value}; a positive integer is needed.`, { [name]: value });
  if (grid.blockRows > 65536 || grid.blockCols > 65536)
    fail('GRIM_BCR_BAD_GRID', `grid: a block of ${grid.blockRows}×${grid.blockCols} has a side of more than 65536.`);
  return grid;
}

/** Blocks per column and per row of the matrix. */
export function blockCounts(grid: BlockGrid): { readonly down: number; readonly across: number } {
  return { down: Math.ceil(grid.rows / grid.blockRows), across: Math.ceil(grid.cols / grid.blockCols) };
}

/** Block `index`, row-major over blocks. */
export function blockAt(grid: BlockGrid, index: number): Block {
  const { across } = blockCounts(grid);
  const top = Math.floor(index / across) * grid.blockRows;
  const left = (index % across) * grid.blockCols;
  return {
    index,
    top,
    left,
    height: Math.min(grid.blockRows, grid.rows - top),
    width: Math.min(grid.blockCols, grid.cols - left),
  };
}

/** All blocks, row-major. */
export function blocksOf(grid: BlockGrid): readonly Block[] {
  const { down, across } = blockCounts(grid);
  return Array.from({ length: down * across }, (_, index) => blockAt(grid, index));
}

/** The pattern that keeps everything. */
export function densePattern(grid: BlockGrid): BcrPattern {
  const all = (length: number) => Uint16Array.from({ length }, (_, i) => i);
  const blocks = blocksOf(grid);
  return { grid, keptRows: blocks.map((b) => all(b.height)), keptCols: blocks.map((b) => all(b.width)) };
}

/**
 * Throws unless `pattern` is well formed, and fits the matrix where one is given.
 * @throws {GrimError} GRIM_BCR_PATTERN_MISMATCH
 */
export function checkPattern(
  pattern: BcrPattern,
  matrix: { readonly rows: number; readonly cols: number } = pattern.grid,
): void {
  const problem = patternProblem(pattern, matrix.rows, matrix.cols);
  if (problem) fail('GRIM_BCR_PATTERN_MISMATCH', `pattern: ${problem}.`);
}

/** Weights that survive: the sum over blocks of kept rows × kept columns. */
export function nonZeros(pattern: BcrPattern): number {
  return pattern.keptRows.reduce((sum, rows, block) => sum + rows.length * (pattern.keptCols[block]?.length ?? 0), 0);
}

/** Surviving share of the matrix, 0 to 1. */
export function density(pattern: BcrPattern): number {
  return nonZeros(pattern) / (pattern.grid.rows * pattern.grid.cols);
}

/** `matrix` with everything outside the pattern set to zero; what stood there, NaN included, does not matter. */
export function applyPattern(matrix: Matrix, pattern: BcrPattern): Matrix {
  checkPattern(pattern, matrix);
  const data = new Float32Array(matrix.data.length);
  forEachKept(pattern, (row, col) => {
    const at = row * matrix.cols + col;
    data[at] = matrix.data[at] ?? 0;
  });
  return { rows: matrix.rows, cols: matrix.cols, data };
}

/** Calls `visit` for every surviving position: block by block, then row by row, columns ascending. */
function forEachKept(pattern: BcrPattern, visit: (row: number, col: number) => void): void {
  for (const { index, top, left } of blocksOf(pattern.grid)) {
    const cols = pattern.keptCols[index] ?? new Uint16Array();
    for (const row of pattern.keptRows[index] ?? []) for (const col of cols) visit(top + row, left + col);
  }
}

/** Surviving columns of each row of the matrix, ascending: the row's signature. */
export function rowColumns(pattern: BcrPattern): readonly Uint32Array[] {
  const { grid } = pattern;
  const { down, across } = blockCounts(grid);
  const rows: Uint32Array[] = [];
  for (let strip = 0; strip < down; strip++) {
    const height = Math.min(grid.blockRows, grid.rows - strip * grid.blockRows);
    const lists: number[][] = Array.from({ length: height }, () => []);
    for (let i = 0; i < across; i++) {
      const left = i * grid.blockCols;
      const cols = pattern.keptCols[strip * across + i] ?? new Uint16Array();
      for (const row of pattern.keptRows[strip * across + i] ?? [])
        for (const col of cols) lists[row]?.push(left + col);
    }
    for (const list of lists) rows.push(Uint32Array.from(list));
  }
  return rows;
}

/**
 * Which weights of a GEMM matrix are zero: block-based column-row (BCR) sparsity.
 *
 * The matrix [rows = M, cols = K] is cut into blocks of blockRows × blockCols (the last block of a row or column may be
 * smaller). Each block on its own keeps some of its rows and some of its columns; a weight survives when both its row
 * and its column do.
 * @see GRIM (Niu et al., TPAMI 2022)
 */

/** How a matrix is cut into blocks. All four are positive integers; a block may be larger than the matrix. */
export interface BlockGrid {
  readonly rows: number;
  readonly cols: number;
  readonly blockRows: number;
  readonly blockCols: number;
}

/** Row-major over blocks; indices are within the block, strictly ascending. */
export interface BcrPattern {
  readonly grid: BlockGrid;
  readonly keptRows: readonly Uint16Array[];
  readonly keptCols: readonly Uint16Array[];
}

/** What is wrong with `pattern`, or undefined. `rows` × `cols` is the GEMM view of the weight it belongs to. */
export function patternProblem(pattern: BcrPattern, rows: number, cols: number): string | undefined {
  const { grid, keptRows, keptCols } = pattern;
  for (const key of ['rows', 'cols', 'blockRows', 'blockCols'] as const)
    if (!Number.isInteger(grid[key]) || grid[key] < 1) return `${key} is ${grid[key]}, a positive integer is needed`;
  if (grid.rows !== rows || grid.cols !== cols)
    return `its grid is ${grid.rows}×${grid.cols}, the weight's GEMM view is ${rows}×${cols}`;
  if (grid.blockRows > 65536 || grid.blockCols > 65536) return 'a block side is more than 65536';
  const down = Math.ceil(rows / grid.blockRows);
  const across = Math.ceil(cols / grid.blockCols);
  for (const [name, lists] of [
    ['keptRows', keptRows],
    ['keptCols', keptCols],
  ] as const)
    if (lists.length !== down * across)
      return `${name} has ${lists.length} entries, the grid has ${down}×${across} = ${down * across} blocks`;
  for (let block = 0; block < down * across; block++) {
    const height = Math.min(grid.blockRows, rows - Math.floor(block / across) * grid.blockRows);
    const width = Math.min(grid.blockCols, cols - (block % across) * grid.blockCols);
    const problem =
      indexProblem('row', keptRows[block] ?? new Uint16Array(), height) ??
      indexProblem('column', keptCols[block] ?? new Uint16Array(), width);
    if (problem) return `block ${block}: ${problem}`;
  }
  return undefined;
}

function indexProblem(kind: string, indices: Uint16Array, length: number): string | undefined {
  let previous = -1;
  for (const index of indices) {
    if (index >= length) return `${kind} ${index} is outside the block (${length} ${kind}s)`;
    if (index <= previous) return `${kind} ${index} follows ${previous}; indices must be ascending and distinct`;
    previous = index;
  }
  return undefined;
}

/** 1 where the pattern keeps the weight, 0 elsewhere; row-major [rows, cols]. */
export function patternMask(pattern: BcrPattern): Uint8Array {
  const { rows, cols, blockRows, blockCols } = pattern.grid;
  const across = Math.ceil(cols / blockCols);
  const mask = new Uint8Array(rows * cols);
  pattern.keptRows.forEach((kept, block) => {
    const top = Math.floor(block / across) * blockRows;
    const left = (block % across) * blockCols;
    for (const row of kept) for (const col of pattern.keptCols[block] ?? []) mask[(top + row) * cols + left + col] = 1;
  });
  return mask;
}

/**
 * Block-local storage: one record per non-empty block, with its kept rows and kept columns written once and its weights
 * column by column, as a kernel with the block's rows in registers consumes them. Row pruning costs it nothing.
 */
import type { BcrPattern, BlockGrid } from '@grim/ir';
import { offsets } from './bcrc.ts';
import type { Matrix } from './matrix.ts';
import { blockCounts, blocksOf } from './pattern.ts';

export interface BlockLocal {
  readonly format: 'block-local';
  readonly rows: number;
  readonly cols: number;
  readonly grid: BlockGrid;
  /** [strips + 1]: first record of each row of blocks. */
  readonly stripOffset: Uint32Array;
  /** [records]: position of the block in its strip, ascending within a strip. */
  readonly blockColumn: Uint32Array;
  /** [records + 1] and their ids within the block, ascending. */
  readonly rowOffset: Uint32Array;
  readonly rowIds: Uint16Array;
  /** [records + 1] and their ids within the block, ascending. */
  readonly colOffset: Uint32Array;
  readonly colIds: Uint16Array;
  /** [nnz]: record by record; within one, for each kept column the weights of all kept rows. */
  readonly weights: Float32Array;
}

export function encodeBlockLocal(w: Matrix, pattern: BcrPattern): BlockLocal {
  const { grid, keptRows, keptCols } = pattern;
  const { down, across } = blockCounts(grid);
  const rowsOf = (block: number) => keptRows[block] ?? new Uint16Array();
  const colsOf = (block: number) => keptCols[block] ?? new Uint16Array();
  const records = blocksOf(grid).filter(({ index }) => rowsOf(index).length > 0 && colsOf(index).length > 0);
  const perStrip = new Array<number>(down).fill(0);
  for (const { index } of records) {
    const strip = Math.floor(index / across);
    perStrip[strip] = (perStrip[strip] ?? 0) + 1;
  }
  const rowOffset = offsets(records.map(({ index }) => rowsOf(index).length));
  const colOffset = offsets(records.map(({ index }) => colsOf(index).length));
  const rowIds = new Uint16Array(rowOffset.at(-1) ?? 0);
  const colIds = new Uint16Array(colOffset.at(-1) ?? 0);
  const weights = new Float32Array(
    records.reduce((sum, { index }) => sum + rowsOf(index).length * colsOf(index).length, 0),
  );
  let at = 0;
  records.forEach(({ index, top, left }, record) => {
    rowIds.set(rowsOf(index), rowOffset[record]);
    colIds.set(colsOf(index), colOffset[record]);
    for (const col of colsOf(index))
      for (const row of rowsOf(index)) weights[at++] = w.data[(top + row) * w.cols + left + col] ?? 0;
  });
  return {
    format: 'block-local',
    rows: w.rows,
    cols: w.cols,
    grid,
    stripOffset: offsets(perStrip),
    blockColumn: Uint32Array.from(records, ({ index }) => index % across),
    rowOffset,
    rowIds,
    colOffset,
    colIds,
    weights,
  };
}

export function decodeBlockLocal(p: BlockLocal): Matrix {
  const data = new Float32Array(p.rows * p.cols);
  forEachRecord(p, (top, left, rows, cols, start) => {
    let at = start;
    for (const col of cols) for (const row of rows) data[(top + row) * p.cols + left + col] = p.weights[at++] ?? 0;
  });
  return { rows: p.rows, cols: p.cols, data };
}

/** out += matrix · x; `out` and `x` are row-major with `n` columns. */
export function multiplyBlockLocal(p: BlockLocal, x: Float32Array, n: number, out: Float64Array): void {
  forEachRecord(p, (top, left, rows, cols, start) => {
    let at = start;
    for (const col of cols) {
      const from = (left + col) * n;
      for (const row of rows) {
        const weight = p.weights[at++] ?? 0;
        const to = (top + row) * n;
        for (let j = 0; j < n; j++) out[to + j] = (out[to + j] ?? 0) + weight * (x[from + j] ?? 0);
      }
    }
  });
}

/** The pattern that the records spell out. Blocks without a record keep nothing. */
export function patternOf(p: BlockLocal): BcrPattern {
  const { down, across } = blockCounts(p.grid);
  const keptRows = Array.from({ length: down * across }, () => new Uint16Array());
  const keptCols = Array.from({ length: down * across }, () => new Uint16Array());
  for (let strip = 0; strip < down; strip++)
    for (let r = p.stripOffset[strip] ?? 0; r < (p.stripOffset[strip + 1] ?? 0); r++) {
      const block = strip * across + (p.blockColumn[r] ?? 0);
      keptRows[block] = p.rowIds.slice(p.rowOffset[r], p.rowOffset[r + 1]);
      keptCols[block] = p.colIds.slice(p.colOffset[r], p.colOffset[r + 1]);
    }
  return { grid: p.grid, keptRows, keptCols };
}

function forEachRecord(
  p: BlockLocal,
  visit: (top: number, left: number, rows: Uint16Array, cols: Uint16Array, start: number) => void,
): void {
  let start = 0;
  for (let strip = 0; strip + 1 < p.stripOffset.length; strip++)
    for (let r = p.stripOffset[strip] ?? 0; r < (p.stripOffset[strip + 1] ?? 0); r++) {
      const rows = p.rowIds.subarray(p.rowOffset[r], p.rowOffset[r + 1]);
      const cols = p.colIds.subarray(p.colOffset[r], p.colOffset[r + 1]);
      visit(strip * p.grid.blockRows, (p.blockColumn[r] ?? 0) * p.grid.blockCols, rows, cols, start);
      start += rows.length * cols.length;
    }
}

/**
 * BCRC, GRIM's compact storage: rows reordered so that those with one signature are neighbours, each column list stored
 * once per run. Kept to compare with: when rows are pruned in every block on its own, almost every row has a signature
 * of its own, and the saving over CSR is gone.
 */
import type { BcrPattern } from '@grim/ir';
import type { Matrix } from './matrix.ts';
import { orderedRuns } from './reorder.ts';

export interface Bcrc {
  readonly format: 'bcrc';
  readonly rows: number;
  readonly cols: number;
  /** [rows]: `reorder[i]` is the original row of packed row i. */
  readonly reorder: Uint32Array;
  /** [rows + 1]: where packed row i begins in `weights`. Follows from the rest: left out of the bytes. */
  readonly rowOffset: Uint32Array;
  /** [runs + 1]: first packed row of each run of rows with one column list. */
  readonly occurrence: Uint32Array;
  /** [runs + 1]: where each run's list begins in `compactColumn`. */
  readonly columnStride: Uint32Array;
  /** Column ids, once per run, ascending within a run. */
  readonly compactColumn: Uint32Array;
  /** [nnz], row by packed row. */
  readonly weights: Float32Array;
}

export function encodeBcrc(w: Matrix, pattern: BcrPattern): Bcrc {
  const runs = orderedRuns(pattern);
  const reorder = Uint32Array.from(runs.flatMap((run) => run.rows));
  const occurrence = offsets(runs.map((run) => run.rows.length));
  const columnStride = offsets(runs.map((run) => run.columns.length));
  const compactColumn = new Uint32Array(columnStride.at(-1) ?? 0);
  const rowOffset = offsets(runs.flatMap((run) => run.rows.map(() => run.columns.length)));
  const weights = new Float32Array(rowOffset.at(-1) ?? 0);
  let at = 0;
  runs.forEach((run, i) => {
    compactColumn.set(run.columns, columnStride[i]);
    for (const row of run.rows) for (const col of run.columns) weights[at++] = w.data[row * w.cols + col] ?? 0;
  });
  return {
    format: 'bcrc',
    rows: w.rows,
    cols: w.cols,
    reorder,
    rowOffset,
    occurrence,
    columnStride,
    compactColumn,
    weights,
  };
}

/** Running sums, beginning with 0. */
export function offsets(lengths: readonly number[]): Uint32Array {
  const sums = new Uint32Array(lengths.length + 1);
  lengths.forEach((length, i) => {
    sums[i + 1] = (sums[i] ?? 0) + length;
  });
  return sums;
}

export function decodeBcrc(p: Bcrc): Matrix {
  const data = new Float32Array(p.rows * p.cols);
  forEachRow(p, (row, columns, start) => {
    columns.forEach((col, i) => {
      data[row * p.cols + col] = p.weights[start + i] ?? 0;
    });
  });
  return { rows: p.rows, cols: p.cols, data };
}

/** out[row, :] += weights of the row · x; `out` and `x` are row-major with `n` columns. */
export function multiplyBcrc(p: Bcrc, x: Float32Array, n: number, out: Float64Array): void {
  forEachRow(p, (row, columns, start) => {
    for (let i = 0; i < columns.length; i++) {
      const weight = p.weights[start + i] ?? 0;
      const from = (columns[i] ?? 0) * n;
      for (let j = 0; j < n; j++) out[row * n + j] = (out[row * n + j] ?? 0) + weight * (x[from + j] ?? 0);
    }
  });
}

function forEachRow(p: Bcrc, visit: (row: number, columns: Uint32Array, start: number) => void): void {
  for (let run = 0; run + 1 < p.occurrence.length; run++) {
    const columns = p.compactColumn.subarray(p.columnStride[run], p.columnStride[run + 1]);
    for (let i = p.occurrence[run] ?? 0; i < (p.occurrence[run + 1] ?? 0); i++)
      visit(p.reorder[i] ?? 0, columns, p.rowOffset[i] ?? 0);
  }
}

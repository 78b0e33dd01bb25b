/** Compressed sparse rows: the format that everything else is compared with. */
import type { BcrPattern } from '@grim/ir';
import type { Matrix } from './matrix.ts';
import { rowColumns } from './pattern.ts';

export interface Csr {
  readonly format: 'csr';
  readonly rows: number;
  readonly cols: number;
  /** [rows + 1]: where each row begins in `columns` and `weights`. */
  readonly rowOffset: Uint32Array;
  /** [nnz], ascending within a row. */
  readonly columns: Uint32Array;
  /** [nnz] */
  readonly weights: Float32Array;
}

export function encodeCsr(w: Matrix, pattern: BcrPattern): Csr {
  const lists = rowColumns(pattern);
  const rowOffset = new Uint32Array(w.rows + 1);
  lists.forEach((list, row) => {
    rowOffset[row + 1] = (rowOffset[row] ?? 0) + list.length;
  });
  const columns = new Uint32Array(rowOffset[w.rows] ?? 0);
  const weights = new Float32Array(columns.length);
  lists.forEach((list, row) => {
    const start = rowOffset[row] ?? 0;
    columns.set(list, start);
    list.forEach((col, i) => {
      weights[start + i] = w.data[row * w.cols + col] ?? 0;
    });
  });
  return { format: 'csr', rows: w.rows, cols: w.cols, rowOffset, columns, weights };
}

export function decodeCsr(p: Csr): Matrix {
  const data = new Float32Array(p.rows * p.cols);
  for (let row = 0; row < p.rows; row++)
    for (let i = p.rowOffset[row] ?? 0; i < (p.rowOffset[row + 1] ?? 0); i++)
      data[row * p.cols + (p.columns[i] ?? 0)] = p.weights[i] ?? 0;
  return { rows: p.rows, cols: p.cols, data };
}

/** out[row, :] += weights of the row · x; `out` and `x` are row-major with `n` columns. */
export function multiplyCsr(p: Csr, x: Float32Array, n: number, out: Float64Array): void {
  for (let row = 0; row < p.rows; row++)
    for (let i = p.rowOffset[row] ?? 0; i < (p.rowOffset[row + 1] ?? 0); i++) {
      const weight = p.weights[i] ?? 0;
      const from = (p.columns[i] ?? 0) * n;
      for (let j = 0; j < n; j++) out[row * n + j] = (out[row * n + j] ?? 0) + weight * (x[from + j] ?? 0);
    }
}

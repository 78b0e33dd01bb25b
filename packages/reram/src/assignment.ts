/**
 * The cheapest assignment of rows to columns of a cost matrix: shortest augmenting paths with potentials, O(rows² · cols).
 * @see Jonker, Volgenant: "A shortest augmenting path algorithm for dense and sparse linear assignment problems", Computing
 *   38 (1987)
 */
import { fail } from './errors.ts';

/**
 * @param cost  [rows, cols], rows ≤ cols, finite
 * @returns the column of each row, all different, of least total cost
 * @throws {GrimError} GRIM_RERAM_BAD_TARGET
 */
export function assign(cost: Float64Array, rows: number, cols: number): Uint32Array {
  if (rows > cols || cost.length !== rows * cols)
    fail('GRIM_RERAM_BAD_TARGET', `assign: ${rows} rows, ${cols} columns and ${cost.length} costs do not fit.`);
  // One extra row and column, numbered 0, hold the root of the path; all else is numbered from 1.
  const rowPotential = new Float64Array(rows + 1);
  const colPotential = new Float64Array(cols + 1);
  const rowOf = new Uint32Array(cols + 1);
  const before = new Uint32Array(cols + 1);
  for (let row = 1; row <= rows; row++) {
    rowOf[0] = row;
    let col = 0;
    const least = new Float64Array(cols + 1).fill(Infinity);
    const used = new Uint8Array(cols + 1);
    do {
      used[col] = 1;
      const from = rowOf[col] as number;
      let delta = Infinity;
      let next = 0;
      for (let j = 1; j <= cols; j++) {
        if (used[j]) continue;
        const reduced =
          (cost[(from - 1) * cols + j - 1] as number) - (rowPotential[from] as number) - (colPotential[j] as number);
        if (reduced < (least[j] as number)) {
          least[j] = reduced;
          before[j] = col;
        }
        if ((least[j] as number) < delta) {
          delta = least[j] as number;
          next = j;
        }
      }
      for (let j = 0; j <= cols; j++) {
        if (used[j]) {
          const owner = rowOf[j] as number;
          rowPotential[owner] = (rowPotential[owner] as number) + delta;
          colPotential[j] = (colPotential[j] as number) - delta;
        } else least[j] = (least[j] as number) - delta;
      }
      col = next;
    } while (rowOf[col] !== 0);
    while (col !== 0) {
      const previous = before[col] as number;
      rowOf[col] = rowOf[previous] as number;
      col = previous;
    }
  }
  const result = new Uint32Array(rows);
  for (let j = 1; j <= cols; j++) if (rowOf[j] !== 0) result[(rowOf[j] as number) - 1] = j - 1;
  return result;
}

/**
 * Cholesky factors of symmetric positive definite matrices, and the solves that go with them, in blocks of 64 so that
 * nearly all the work is matrix products. The diagonal blocks of the factor are also kept inverted: a triangular solve
 * is then products too.
 * @see Golub & Van Loan, Matrix Computations, 4.2
 */
import { fail } from '../errors.ts';
import type { Pulse } from '../pulse.ts';
import { multiply, multiplyNow, transposed, view } from './gemm.ts';

const BLOCK = 64;

/** A = L · Lᵀ. */
export interface Factor {
  readonly size: number;
  /** Row-major [size, size]; the upper triangle is not to be read. */
  readonly l: Float64Array;
  /** Inverses of the diagonal blocks, 64 × 64 each, one after the other. */
  readonly inverses: Float64Array;
}

/**
 * @param a  row-major [size, size], of which the lower triangle is read; left as it is
 * @param shift  added to the diagonal
 * @throws {GrimError} GRIM_PRUNE_SINGULAR when the matrix is not positive definite
 */
export async function cholesky(a: Float64Array, size: number, pulse: Pulse, shift = 0): Promise<Factor> {
  const l = a.slice();
  for (let i = 0; i < size; i++) l[i * size + i] = (l[i * size + i] as number) + shift;
  const inverses = new Float64Array(Math.ceil(size / BLOCK) * BLOCK * BLOCK);
  for (let j = 0; j < size; j += BLOCK) {
    const width = Math.min(BLOCK, size - j);
    const below = size - j;
    // Left-looking: everything to the left is final, and is taken off this column of blocks at once.
    if (j > 0) {
      const product = {
        m: below,
        n: width,
        k: j,
        a: view(l, size, j, 0),
        b: transposed(view(l, size, j, 0)),
        c: { ...view(l, size, j, j), data: l },
        alpha: -1,
      };
      if (below * width * j < 4e6) multiplyNow(product);
      else await multiply(product, { beat: () => pulse.beat(j / size) });
    }
    factorBlock(l, size, j, width);
    const inverse = inverses.subarray((j / BLOCK) * BLOCK * BLOCK);
    invertBlock(l, size, j, width, inverse);
    const rows = below - width;
    if (rows > 0) {
      // L21 = A21 · L11⁻ᵀ
      const panel = new Float64Array(rows * width);
      multiplyNow({
        m: rows,
        n: width,
        k: width,
        a: view(l, size, j + width, j),
        b: transposed(view(inverse, BLOCK)),
        c: { ...view(panel, width), data: panel },
      });
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < width; c++) l[(j + width + r) * size + j + c] = panel[r * width + c] as number;
    }
    await pulse.beat((j + width) / size);
  }
  return { size, l, inverses };
}

function factorBlock(l: Float64Array, size: number, at: number, width: number): void {
  for (let j = 0; j < width; j++) {
    const row = (at + j) * size + at;
    let diagonal = l[row + j] as number;
    for (let p = 0; p < j; p++) diagonal -= (l[row + p] as number) ** 2;
    if (!(diagonal > 0))
      fail(
        'GRIM_PRUNE_SINGULAR',
        `cholesky: pivot ${at + j} of ${size} is ${diagonal}; a positive definite matrix is needed. Raise the damping or give more calibration inputs.`,
        { pivot: at + j, size },
      );
    const root = Math.sqrt(diagonal);
    l[row + j] = root;
    for (let i = j + 1; i < width; i++) {
      const other = (at + i) * size + at;
      let sum = l[other + j] as number;
      for (let p = 0; p < j; p++) sum -= (l[other + p] as number) * (l[row + p] as number);
      l[other + j] = sum / root;
    }
  }
}

function invertBlock(l: Float64Array, size: number, at: number, width: number, out: Float64Array): void {
  for (let col = 0; col < width; col++)
    for (let row = col; row < width; row++) {
      let sum = row === col ? 1 : 0;
      for (let p = col; p < row; p++)
        sum -= (l[(at + row) * size + at + p] as number) * (out[p * BLOCK + col] as number);
      out[row * BLOCK + col] = sum / (l[(at + row) * size + at + row] as number);
    }
}

/**
 * Solves X · A = B for the rows of B.
 * @param b  row-major [rows, size]; becomes X
 */
export async function solve(factor: Factor, b: Float64Array, rows: number, pulse: Pulse): Promise<void> {
  const { size } = factor;
  const count = Math.ceil(size / BLOCK);
  for (let block = 0; block < count; block++) {
    solveBlock(factor, b, rows, block, true);
    await pulse.beat((block + 1) / count / 2);
  }
  for (let block = count - 1; block >= 0; block--) {
    solveBlock(factor, b, rows, block, false);
    await pulse.beat(1 - block / count / 2);
  }
}

/** One block of columns of Y · Lᵀ = B (forward) or X · L = Y (backward). */
function solveBlock(
  { size, l, inverses }: Factor,
  b: Float64Array,
  rows: number,
  block: number,
  forward: boolean,
): void {
  const at = block * BLOCK;
  const width = Math.min(BLOCK, size - at);
  const from = forward ? 0 : at + width;
  const depth = forward ? at : size - from;
  if (depth > 0)
    multiplyNow({
      m: rows,
      n: width,
      k: depth,
      a: view(b, size, 0, from),
      b: forward ? transposed(view(l, size, at, 0)) : view(l, size, from, at),
      c: { ...view(b, size, 0, at), data: b },
      alpha: -1,
    });
  const inverse = view(inverses.subarray(block * BLOCK * BLOCK), BLOCK);
  const panel = new Float64Array(rows * width);
  multiplyNow({
    m: rows,
    n: width,
    k: width,
    a: view(b, size, 0, at),
    b: forward ? transposed(inverse) : inverse,
    c: { ...view(panel, width), data: panel },
  });
  for (let r = 0; r < rows; r++) for (let c = 0; c < width; c++) b[r * size + at + c] = panel[r * width + c] as number;
}

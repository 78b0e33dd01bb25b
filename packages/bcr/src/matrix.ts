/** A dense matrix, and the checks that every entry of this package begins with. */
import { GrimError } from '@grim/ir';

/** Row-major; `data.length` is `rows · cols`. The GEMM view of a weight: M = rows, K = cols. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float32Array;
}

/** What the functions of this package throw. */
export type BcrErrorCode =
  | 'GRIM_BCR_BAD_GRID'
  | 'GRIM_BCR_BAD_MATRIX'
  | 'GRIM_BCR_BAD_TARGET'
  | 'GRIM_BCR_PATTERN_MISMATCH'
  | 'GRIM_BCR_BAD_MAGIC'
  | 'GRIM_BCR_BAD_VERSION'
  | 'GRIM_BCR_CORRUPT';

export function fail(code: BcrErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}): never {
  throw new GrimError(code, message, details);
}

/** @throws {GrimError} GRIM_BCR_BAD_MATRIX when the sizes and the array disagree */
export function checkMatrix(matrix: Matrix): void {
  const { rows, cols, data } = matrix;
  if (!Number.isSafeInteger(rows) || !Number.isSafeInteger(cols) || rows < 1 || cols < 1 || rows * cols !== data.length)
    fail(
      'GRIM_BCR_BAD_MATRIX',
      `matrix: ${rows}×${cols} with ${data.length} elements; rows · cols positive ones are needed.`,
    );
}

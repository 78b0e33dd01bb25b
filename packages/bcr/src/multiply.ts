/** One interface over the storage formats: encode, decode, multiply. Sums in float64: these are oracles, not kernels. */
import type { BcrPattern } from '@grim/ir';
import { type Bcrc, decodeBcrc, encodeBcrc, multiplyBcrc } from './bcrc.ts';
import { type BlockLocal, decodeBlockLocal, encodeBlockLocal, multiplyBlockLocal } from './block-local.ts';
import { type Csr, decodeCsr, encodeCsr, multiplyCsr } from './csr.ts';
import { checkMatrix, fail, type Matrix } from './matrix.ts';
import { checkPattern } from './pattern.ts';

/** A sparse matrix as stored; discriminated by `format`. */
export type PackedMatrix = Bcrc | BlockLocal | Csr;
export type Format = PackedMatrix['format'];

/**
 * Stores what `pattern` keeps of `w`; what it prunes is not read for its value, so NaN there does not matter.
 * @throws {GrimError} GRIM_BCR_BAD_MATRIX, GRIM_BCR_PATTERN_MISMATCH
 */
export function encode<F extends Format>(
  w: Matrix,
  pattern: BcrPattern,
  format: F,
): Extract<PackedMatrix, { format: F }> {
  checkMatrix(w);
  checkPattern(pattern, w);
  const encoders = { bcrc: encodeBcrc, 'block-local': encodeBlockLocal, csr: encodeCsr } as const;
  return encoders[format](w, pattern) as Extract<PackedMatrix, { format: F }>;
}

/** The dense matrix, zeros restored. */
export function decode(p: PackedMatrix): Matrix {
  switch (p.format) {
    case 'bcrc':
      return decodeBcrc(p);
    case 'block-local':
      return decodeBlockLocal(p);
    case 'csr':
      return decodeCsr(p);
  }
}

/**
 * p · x, rounded to float32 once per element.
 * @param x  [p.cols, N]
 * @returns [p.rows, N]
 * @throws {GrimError} GRIM_BCR_BAD_MATRIX when `x` has not p.cols rows
 */
export function multiply(p: PackedMatrix, x: Matrix): Matrix {
  checkMatrix(x);
  if (x.rows !== p.cols)
    fail('GRIM_BCR_BAD_MATRIX', `multiply: the sparse matrix has ${p.cols} columns, the dense one ${x.rows} rows.`);
  const out = new Float64Array(p.rows * x.cols);
  if (p.format === 'bcrc') multiplyBcrc(p, x.data, x.cols, out);
  else if (p.format === 'csr') multiplyCsr(p, x.data, x.cols, out);
  else multiplyBlockLocal(p, x.data, x.cols, out);
  return { rows: p.rows, cols: x.cols, data: Float32Array.from(out) };
}

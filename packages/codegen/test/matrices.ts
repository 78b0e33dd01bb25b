/** Seeded matrices, patterns and the float64 product that every kernel is compared with. */
import { blockGrid, blocksOf, type Matrix } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';

export type Random = () => number;

/** Uniform in (0, 1). */
export function random(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 8) + 0.5) / 2 ** 24;
  };
}

/** Integers in [-limit, limit], for sums that are exact in any order. */
export function integers(length: number, limit: number, next: Random): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length }, () => Math.floor(next() * (2 * limit + 1)) - limit);
}

export function matrixOf(rows: number, cols: number, data: Float32Array): Matrix {
  return { rows, cols, data };
}

/** Each block keeps each of its rows and columns with probability `keep`; now and then it keeps all or none. */
export function randomPattern(
  rows: number,
  cols: number,
  blockRows: number,
  blockCols: number,
  keep: number,
  next: Random,
): BcrPattern {
  const grid = blockGrid(rows, cols, blockRows, blockCols);
  const keptRows: Uint16Array[] = [];
  const keptCols: Uint16Array[] = [];
  for (const { height, width } of blocksOf(grid)) {
    const mood = next();
    const share = mood < 0.05 ? 0 : mood < 0.15 ? 1 : keep;
    const some = (length: number) => Uint16Array.from({ length }, (_, i) => i).filter(() => next() < share);
    keptRows.push(some(height));
    keptCols.push(some(width));
  }
  return { grid, keptRows, keptCols };
}

/** The matrix with NaN wherever the mask is 0: whoever reads a pruned weight shows it. */
export function poisoned({ rows, cols, data }: Matrix, mask: Uint8Array): Matrix {
  return { rows, cols, data: data.map((value, i) => (mask[i] ? value : Number.NaN)) };
}

export interface Expected {
  /** A·B + bias in float64, row-major [M, N]. */
  readonly value: Float64Array;
  /** Σ|a·b| + |bias|: what rounding errors are measured against. */
  readonly scale: Float64Array;
}

/** Plain loops over a row-major A and B, weights with mask 0 left out. */
export function product(a: Matrix, mask: Uint8Array | undefined, b: Matrix, bias?: Float32Array): Expected {
  const n = b.cols;
  const value = new Float64Array(a.rows * n);
  const scale = new Float64Array(a.rows * n);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < n; j++) {
      value[i * n + j] = bias?.[i] ?? 0;
      scale[i * n + j] = Math.abs(bias?.[i] ?? 0);
    }
    for (let k = 0; k < a.cols; k++) {
      if (mask && !mask[i * a.cols + k]) continue;
      const weight = a.data[i * a.cols + k] as number;
      for (let j = 0; j < n; j++) {
        const p = weight * (b.data[k * n + j] as number);
        value[i * n + j] = (value[i * n + j] as number) + p;
        scale[i * n + j] = (scale[i * n + j] as number) + Math.abs(p);
      }
    }
  }
  return { value, scale };
}

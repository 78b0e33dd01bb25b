/** Matrices and crossbars for the tests. */
import type { Crossbar, IntMatrix } from '../src/index.ts';
import { randomStream } from '../src/index.ts';

/** 8-bit weights in 2-bit cells, bit-serial 8-bit inputs, 128×128, differential, nothing but integers. */
export function crossbar(changes: Partial<Crossbar> = {}): Crossbar {
  return {
    rows: 128,
    cols: 128,
    cellBits: 2,
    weightBits: 8,
    inputBits: 8,
    dacBits: 1,
    storage: 'differential',
    adc: { model: 'ideal' },
    device: { onOffRatio: Infinity },
    ...changes,
  };
}

/** Integers from −most to most; a share of 1 − density of them is zero. */
export function randomIntegers(rows: number, cols: number, seed: number, most: number, density: number): IntMatrix {
  const stream = randomStream(seed, 99);
  const data = Int32Array.from({ length: rows * cols }, (_, i) => {
    if (stream.uniform(2 * i) >= density) return 0;
    return Math.floor(stream.uniform(2 * i + 1) * (2 * most + 1)) - most;
  });
  return { rows, cols, data };
}

/** The integer product, straight from its definition: [vectors, outputs]. */
export function exactProduct(w: IntMatrix, x: ArrayLike<number>): number[] {
  const vectors = x.length / w.cols;
  return Array.from({ length: vectors * w.rows }, (_, at) => {
    const vector = Math.floor(at / w.rows);
    const output = at % w.rows;
    let sum = 0;
    for (let i = 0; i < w.cols; i++) sum += (w.data[output * w.cols + i] ?? 0) * (x[vector * w.cols + i] ?? 0);
    return sum;
  });
}

/**
 * Second moments of a layer: inputs x with themselves and outputs y with inputs, summed over samples as they come, in
 * float64. A Gram matrix is only as good as its sums: float32 would lose the small eigenvalues that decide the refit.
 */
import type { Pulse } from '../pulse.ts';
import { multiply, transposed, view } from './gemm.ts';

/** Means and covariances of `count` samples. */
export interface Moments {
  readonly count: number;
  readonly k: number;
  readonly m: number;
  readonly meanX: Float64Array;
  readonly meanY: Float64Array;
  /** E[(x − x̄)(x − x̄)ᵀ], [k, k], both triangles. */
  readonly h: Float64Array;
  /** E[(y − ȳ)(x − x̄)ᵀ], [m, k]. */
  readonly g: Float64Array;
}

/** Sums, to which samples are added. */
export interface Sums {
  add(x: Float32Array, y: Float32Array, count: number, pulse: Pulse): Promise<void>;
  /** @param centred  false: moments about zero, for a layer without a bias to take up the means */
  moments(centred: boolean): Moments;
}

export function sums(k: number, m: number): Sums {
  const h = new Float64Array(k * k);
  const g = new Float64Array(m * k);
  const sumX = new Float64Array(k);
  const sumY = new Float64Array(m);
  let count = 0;
  return {
    /** @param x  [count, k] @param y  [count, m] */
    async add(x, y, n, pulse) {
      const b = view(x, k);
      await multiply({ m: k, n: k, k: n, a: transposed(b), b, c: { ...view(h, k), data: h }, lower: true }, pulse);
      await multiply({ m, n: k, k: n, a: transposed(view(y, m)), b, c: { ...view(g, k), data: g } }, pulse);
      addRows(sumX, x, n);
      addRows(sumY, y, n);
      count += n;
    },
    moments(centred) {
      const meanX = sumX.map((v) => v / count);
      const meanY = sumY.map((v) => v / count);
      const about = centred ? 1 : 0;
      const hc = new Float64Array(k * k);
      for (let i = 0; i < k; i++)
        for (let j = 0; j <= i; j++) {
          const value = (h[i * k + j] as number) / count - about * (meanX[i] as number) * (meanX[j] as number);
          hc[i * k + j] = value;
          hc[j * k + i] = value;
        }
      const gc = g.map((v, at) => {
        const row = Math.floor(at / k);
        return v / count - about * (meanY[row] as number) * (meanX[at - row * k] as number);
      });
      return { count, k, m, meanX, meanY, h: hc, g: gc };
    },
  };
}

function addRows(into: Float64Array, rows: Float32Array, count: number): void {
  const width = into.length;
  for (let r = 0, at = 0; r < count; r++)
    for (let c = 0; c < width; c++, at++) into[c] = (into[c] as number) + (rows[at] as number);
}

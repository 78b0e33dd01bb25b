/** A trainer whose loss is a sum of least squares problems, minimised exactly: what ADMM does can then be told by hand. */
import { type Graph, graph, type Tensor } from '@grim/ir';
import type { Trainer, TrainOptions } from '../src/index.ts';

/** ½ ‖A W − B‖², W [k, m] as a MatMul stores it. */
export interface Quadratic {
  readonly k: number;
  readonly m: number;
  readonly a: readonly (readonly number[])[];
  readonly b: readonly (readonly number[])[];
}

export interface LeastSquares extends Trainer {
  /** What each call of `train` was asked. */
  readonly calls: readonly TrainOptions[];
  values(): Float32Array;
}

export function leastSquares({ k, m, a, b }: Quadratic, start: Float32Array = new Float32Array(k * m)): LeastSquares {
  let w = start.slice();
  const calls: TrainOptions[] = [];
  const net = (): Graph =>
    graph('least-squares', (g) => {
      const weight: Tensor = { dtype: 'float32', shape: [k, m], data: w.slice() };
      g.output('y', g.add('MatMul', [g.input('x', 'float32', ['N', k]), g.weight('w', weight)], {}, { name: 'fc' }));
    });
  const loss = (): number => {
    let sum = 0;
    a.forEach((row, n) => {
      for (let col = 0; col < m; col++) {
        let y = -(b[n]?.[col] ?? 0);
        for (let i = 0; i < k; i++) y += (row[i] as number) * (w[i * m + col] as number);
        sum += (y * y) / 2;
      }
    });
    return sum;
  };
  return {
    parameters: ['w'],
    stepsPerEpoch: 1,
    calls,
    values: () => w,
    graph: async () => net(),
    weights: async () => new Map([['w', w.slice()]]),
    async setWeights(values) {
      w = values.get('w')?.slice() ?? w;
    },
    resetOptimizer: async () => {},
    async train(options) {
      calls.push(options);
      const { strength = 0, target } = options.penalties?.get('w') ?? {};
      const mask = options.masks?.get('w');
      const before = loss();
      for (let col = 0; col < m; col++) {
        const live = Array.from({ length: k }, (_, i) => i).filter((i) => !mask || mask[i * m + col] === 1);
        const of = (i: number) => (typeof strength === 'number' ? strength : (strength[i * m + col] as number));
        const h = live.map((i) =>
          live.map((j) => a.reduce((sum, row) => sum + (row[i] as number) * (row[j] as number), i === j ? of(i) : 0)),
        );
        const g = live.map((i) =>
          a.reduce(
            (sum, row, n) => sum + (row[i] as number) * (b[n]?.[col] as number),
            of(i) * (target?.[i * m + col] ?? 0),
          ),
        );
        const solution = solved(h, g);
        for (let i = 0; i < k; i++) w[i * m + col] = 0;
        live.forEach((i, at) => {
          w[i * m + col] = solution[at] as number;
        });
      }
      return { steps: options.steps, examples: a.length, loss: before, seconds: 0 };
    },
    evaluate: async () => ({ examples: a.length, loss: loss() }),
    recalibrate: async () => {},
    save: async () => new Uint8Array(),
    restore: async () => {},
    dispose: async () => {},
  };
}

/** Gauss with pivots. */
function solved(h: number[][], g: number[]): number[] {
  const n = g.length;
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let r = i + 1; r < n; r++) if (Math.abs(h[r]?.[i] ?? 0) > Math.abs(h[pivot]?.[i] ?? 0)) pivot = r;
    [h[i], h[pivot]] = [h[pivot] as number[], h[i] as number[]];
    [g[i], g[pivot]] = [g[pivot] as number, g[i] as number];
    for (let r = i + 1; r < n; r++) {
      const factor = (h[r]?.[i] as number) / (h[i]?.[i] as number);
      for (let c = i; c < n; c++) (h[r] as number[])[c] = (h[r]?.[c] as number) - factor * (h[i]?.[c] as number);
      g[r] = (g[r] as number) - factor * (g[i] as number);
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    let sum = g[i] as number;
    for (let c = i + 1; c < n; c++) sum -= (h[i]?.[c] as number) * (x[c] as number);
    x[i] = sum / (h[i]?.[i] as number);
  }
  return x;
}

/**
 * What one-shot pruning of a network will take, before it is started: multiply-adds in float64 and bytes of each layer, from
 * sizes alone. The counts follow the algorithm: a Gram matrix of the samples, its factors, an iteration of the mask search
 * as two triangular solves, one factor for each distinct row of survivors.
 */
import { type Graph, isStatic } from '@grim/ir';
import type { Feeds } from './calibrator.ts';
import { sitesOf } from './layers.ts';
import { multiplyNow, view } from './linalg/gemm.ts';
import { type OneShotOptions, settingsOf, tasksOf } from './options.ts';
import { now } from './pulse.ts';
import { boundTypes } from './stream.ts';

export interface LayerEstimate {
  readonly name: string;
  readonly m: number;
  readonly k: number;
  readonly block: { readonly rows: number; readonly cols: number };
  readonly density: number;
  /** Multiply-adds in float64. */
  readonly macs: number;
  /** Held while the layer is worked on. */
  readonly bytes: number;
}

export interface Estimate {
  readonly layers: readonly LayerEstimate[];
  /** Runs of the network over all calibration inputs, the dense and the pruned one together. */
  readonly runs: number;
  /** Of the layers that are pruned, one after the other, and of activations that are held twice. */
  readonly peakBytes: number;
}

/** Iterations of the mask search that are usual, and factors that it makes as ρ grows. */
const [ITERATIONS, FACTORS] = [60, 12];

/**
 * @param batches  the calibration inputs; only shapes are looked at
 * @throws {GrimError} as `pruneOneShot` does of its options
 */
export function estimateOneShot(graph: Graph, batches: readonly Feeds[], options: OneShotOptions): Estimate {
  const settings = settingsOf(options);
  const types = boundTypes(graph, batches[0] ?? {});
  const elements = (name: string): number => {
    const shape = types.get(name)?.shape ?? null;
    return isStatic(shape) ? shape.reduce((all, length) => all * length, 1) : 0;
  };
  const aware = settings.activationAware !== 'never' && settings.refit;
  const layers = tasksOf(sitesOf(graph), options).flatMap((task): LayerEstimate[] => {
    const parts =
      'cell' in task
        ? [
            { layer: task.cell.w, own: task.w },
            { layer: task.cell.r, own: task.r },
          ]
        : [{ layer: task.site, own: task }];
    return parts.flatMap(({ layer, own }): LayerEstimate[] => {
      if (!own) return [];
      const { m, k, groups } = layer;
      const samples = options.samples ?? Math.max(24576, 20 * k);
      const kept = Math.max(1, own.density * k);
      const signatures = Math.min(
        m,
        Math.ceil(m / own.grid.blockRows) * (own.grid.blockCols < k ? own.grid.blockRows : 2),
      );
      const solves = m * k * k;
      const factor = (groups * k ** 3) / 3;
      const refits = signatures * (kept ** 3 / 3) + m * kept * kept;
      const solved = settings.refit || settings.criterion !== 'magnitude' || settings.correctMean;
      const measured = solved ? samples * (k * k * groups * 0.5 + k * m) + factor + solves : 0;
      const searched = settings.criterion === 'admm' ? FACTORS * factor + ITERATIONS * solves : 0;
      const macs = measured + searched * (aware ? 2 : 1) + (settings.refit ? refits * (aware ? 5 : 1) : 0);
      // H, its scaled copy, a factor; matrices of the layer; samples of one batch or, for the activation, of all.
      const bytes = 8 * (3 * groups * k * k + 12 * m * k) + 4 * samples * (k * groups + m);
      return [
        {
          name: layer.name,
          m,
          k,
          block: { rows: own.grid.blockRows, cols: own.grid.blockCols },
          density: own.density,
          macs,
          bytes,
        },
      ];
    });
  });
  // The widest place of the network: what a layer reads and writes, of all batches, dense and pruned.
  let widest = 0;
  for (const node of graph.nodes)
    widest = Math.max(
      widest,
      [...node.inputs.filter((name) => !graph.weights.has(name)), ...node.outputs].reduce(
        (sum, name) => sum + elements(name),
        0,
      ),
    );
  const largest = layers.reduce((most, { bytes }) => Math.max(most, bytes), 0);
  return {
    layers,
    runs: 3 + (aware ? layers.length / 2 : 0),
    peakBytes: largest + 8 * widest * batches.length,
  };
}

/** Multiply-adds in float64 a second that this machine does for pruning, now. Takes some 50 ms. */
export function macsPerSecond(): number {
  const n = 192;
  const product = () => {
    const [a, b, c] = [0, 1, 2].map(() => new Float64Array(n * n).fill(0.5)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    multiplyNow({ m: n, n, k: n, a: view(a, n), b: view(b, n), c: { ...view(c, n), data: c } });
  };
  product();
  const start = now();
  let count = 0;
  do {
    product();
    count++;
  } while (now() - start < 40);
  return (count * n ** 3) / ((now() - start) / 1000);
}

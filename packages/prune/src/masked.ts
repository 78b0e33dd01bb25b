/**
 * What pruning with training has in common: the weights that are pruned as matrices, patterns chosen for them, and training
 * under masks that are then fixed.
 *
 * Weights always follow from the pattern, never the pattern from the weights: a weight that is zero by chance is alive, and
 * one that ties with the last to go is zero all the same.
 */
import { projectBcrInSteps } from '@grim/bcr';
import {
  type BcrPattern,
  type BlockGrid,
  type Graph,
  invariant,
  patternMask,
  type Weight,
  weightIndex,
} from '@grim/ir';
import { type Layer, type Site, sitesOf } from './layers.ts';
import { type OneShotOptions, tasksOf } from './options.ts';
import { type CancelSignal, type Pulse, pulse } from './pulse.ts';
import type { Evaluation, Trainer } from './trainer.ts';

/** What is pruned, and in which blocks; as for `pruneOneShot`. */
export type Target = Pick<OneShotOptions, 'density' | 'block' | 'columnsOnly' | 'choose'>;

/** A weight of the graph as a matrix A[m, k]. */
export interface PrunedMatrix {
  /** Of the layer, and of the weight. */
  readonly name: string;
  readonly weight: string;
  readonly grid: BlockGrid;
  readonly density: number;
  /** Place in the weight of each element of the matrix, row-major. */
  readonly places: Uint32Array;
  /** Chooses the survivors in place of the blocks. */
  readonly choose?: (values: Float64Array) => Uint8Array;
}

/** @throws {GrimError} as `pruneOneShot` does of these options */
export function prunedMatrices(graph: Graph, target: Target): readonly PrunedMatrix[] {
  const { choose } = target;
  return tasksOf(sitesOf(graph), target).flatMap((task): PrunedMatrix[] => {
    const parts =
      'cell' in task
        ? [
            { layer: task.cell.w, own: task.w },
            { layer: task.cell.r, own: task.r },
          ]
        : [{ layer: task.site, own: task }];
    return parts.flatMap(({ layer, own }) =>
      own
        ? [
            {
              ...{ name: layer.name, weight: layer.weight, places: placesOf(layer) },
              ...{ grid: own.grid, density: own.density },
              ...(choose && { choose: (values: Float64Array) => choose(layer, values) }),
            },
          ]
        : [],
    );
  });
}

/** The weights that carry a pattern, and it. */
export function patternedMatrices(graph: Graph): Chosen {
  const { sites, cells } = sitesOf(graph);
  const layers: readonly (Layer | Site)[] = [...sites, ...cells.flatMap(({ w, r }) => [w, r])];
  return layers.flatMap((layer) => {
    const pattern = graph.weights.get(layer.weight)?.pattern;
    if (!pattern) return [];
    const mask = patternMask(pattern);
    const density = mask.reduce((sum, one) => sum + one, 0) / Math.max(mask.length, 1);
    const { name, weight } = layer;
    return [
      {
        matrix: { ...{ name, weight, density }, grid: pattern.grid, places: placesOf(layer) },
        survivors: { mask, pattern },
      },
    ];
  });
}

function placesOf(layer: Layer | Site): Uint32Array {
  const places = new Uint32Array(layer.m * layer.k);
  for (let row = 0, at = 0; row < layer.m; row++)
    for (let col = 0; col < layer.k; col++, at++)
      // Directions and gates of recurrent layers one below the other: as stored.
      places[at] = 'view' in layer ? weightIndex(layer.view, row, col) : at;
  return places;
}

/** The matrix in a weight's values. */
export function matrixIn(values: Float32Array, { places }: PrunedMatrix): Float64Array {
  return Float64Array.from(places, (place) => values[place] as number);
}

/** Values of a matrix in the layout of its weight. */
export function asWeight(matrix: Float64Array | Uint8Array, { places }: PrunedMatrix): Float32Array {
  const values = new Float32Array(matrix.length);
  places.forEach((place, at) => {
    values[place] = matrix[at] as number;
  });
  return values;
}

/** The survivors of most energy. */
export interface Survivors {
  /** Row-major over the matrix. */
  readonly mask: Uint8Array;
  /** Undefined where a caller's own rule chose. */
  readonly pattern: BcrPattern | undefined;
}

export async function survivorsOf(
  values: Float64Array,
  { grid, density, choose }: PrunedMatrix,
  columnsOnly: boolean,
  beat: Pulse,
): Promise<Survivors> {
  if (choose) return { mask: choose(values), pattern: undefined };
  const { rows, cols } = grid;
  const steps = projectBcrInSteps({ rows, cols, data: new Float32Array(rows * cols) }, grid, {
    density,
    scores: values.map((v) => v * v),
    ...(columnsOnly && { keepRows: 1 }),
  });
  for (;;) {
    const { done, value } = steps.next();
    if (done) return { mask: patternMask(value), pattern: value };
    await beat.beat(value);
  }
}

export interface RetrainOptions {
  /** Optimiser steps under the masks; 0: none. */
  readonly steps: number;
  /** Learning rate, or a function of the share that is done, 0 to 1. A number falls to 0 as a cosine. */
  readonly rate: number | ((done: number) => number);
  /** Batches from which running statistics are estimated afresh after the cut. Default 10. */
  readonly recalibrate?: number;
}

export interface TrainedLayer {
  readonly name: string;
  readonly grid: BlockGrid;
  readonly density: number;
}

export interface TrainedResult {
  /** Zeros in place; pruned weights carry their pattern. */
  readonly graph: Graph;
  readonly layers: readonly TrainedLayer[];
  /** Right after the cut, with statistics estimated afresh, and at the end. */
  readonly cut: Evaluation;
  readonly final: Evaluation;
}

export type Chosen = readonly { readonly matrix: PrunedMatrix; readonly survivors: Survivors }[];

/** Cuts everything else off, and trains what is left under the masks. */
export async function cutAndRetrain(
  trainer: Trainer,
  chosen: Chosen,
  { steps, rate, recalibrate = 10 }: RetrainOptions,
  signal: CancelSignal | undefined,
): Promise<TrainedResult> {
  const masks = new Map<string, Uint8Array>();
  for (const { matrix, survivors } of chosen)
    masks.set(matrix.weight, Uint8Array.from(asWeight(survivors.mask, matrix)));
  const before = await trainer.weights([...masks.keys()]);
  await trainer.setWeights(new Map([...before].map(([name, values]) => [name, masked(values, masks.get(name))])));
  await trainer.resetOptimizer();
  if (recalibrate > 0) await trainer.recalibrate(recalibrate);
  const cut = await trainer.evaluate(signal ? { signal } : {});
  const rateAt = typeof rate === 'function' ? rate : (done: number) => (rate * (1 + Math.cos(Math.PI * done))) / 2;
  if (steps > 0) await trainer.train({ steps, rate: (step) => rateAt(step / steps), masks, ...(signal && { signal }) });
  const final = steps > 0 ? await trainer.evaluate(signal ? { signal } : {}) : cut;
  const graph = await trainer.graph();
  const weights = new Map(graph.weights);
  for (const { matrix, survivors } of chosen) {
    const weight = weights.get(matrix.weight) as Weight;
    const mask = masks.get(matrix.weight) as Uint8Array;
    invariant(
      (weight.data as Float32Array).every((value, i) => mask[i] === 1 || value === 0),
      `${matrix.name}: a weight outside the mask is not zero after training`,
    );
    weights.set(matrix.weight, { ...weight, ...(survivors.pattern && { pattern: survivors.pattern }) } as Weight);
  }
  const layers = chosen.map(({ matrix: { name, grid }, survivors: { mask } }) => ({
    ...{ name, grid },
    density: mask.reduce((sum, one) => sum + one, 0) / mask.length,
  }));
  return { graph: { ...graph, weights }, layers, cut, final };
}

function masked(values: Float32Array, mask: Uint8Array | undefined): Float32Array {
  return values.map((value, i) => (mask?.[i] ? value : 0));
}

/** A pulse that only gives way and stops. */
export function quiet(signal: CancelSignal | undefined): Pulse {
  return pulse(signal);
}

/**
 * Training on what pruning has left: the patterns of a pruned network become masks, which stay as they are.
 * @see Han et al., "Learning both weights and connections for efficient neural networks", 2015
 */
import type { Graph } from '@grim/ir';
import { fail } from './errors.ts';
import { sitesOf } from './layers.ts';
import { asWeight, cutAndRetrain, patternedMatrices, type RetrainOptions, type TrainedResult } from './masked.ts';
import type { CancelSignal } from './pulse.ts';
import type { Trainer } from './trainer.ts';

export interface FinetuneOptions extends RetrainOptions {
  readonly signal?: CancelSignal;
}

/**
 * Trains a network that `pruneOneShot` (or any of the others) made; weights without a pattern train freely.
 *
 * @throws {GrimError} GRIM_PRUNE_NO_LAYER when no weight carries a pattern; what the trainer throws; the signal's reason
 * @example
 * const { graph } = await pruneOneShot(dense, calibrator, { density: 0.25 });
 * const { final } = await finetune(createTrainer(graph, { examples, validation }), { steps: 700, rate: 0.01 });
 */
export async function finetune(trainer: Trainer, options: FinetuneOptions): Promise<TrainedResult> {
  const chosen = patternedMatrices(await trainer.graph());
  if (chosen.length === 0)
    fail('GRIM_PRUNE_NO_LAYER', 'finetune: no weight of the network carries a pattern. Prune it first.');
  return cutAndRetrain(trainer, chosen, options, options.signal);
}

/** So many zeros are no accident. */
const PRUNED = 0.05;

/**
 * What is alive of each pruned weight, as {@link Trainer.train} takes it: where a pattern says so; without one (ONNX files
 * carry none), what is not zero, of layers where at least a twentieth is. To be asked once, before training: a weight that
 * is zero by chance later on stays alive.
 */
export function masksOf(graph: Graph): ReadonlyMap<string, Uint8Array> {
  const masks = new Map<string, Uint8Array>();
  for (const { matrix, survivors } of patternedMatrices(graph))
    masks.set(matrix.weight, Uint8Array.from(asWeight(survivors.mask, matrix)));
  const { sites, cells } = sitesOf(graph);
  for (const { weight } of [...sites, ...cells.flatMap(({ w, r }) => [w, r])]) {
    const values = graph.weights.get(weight)?.data as Float32Array | undefined;
    if (!values || masks.has(weight)) continue;
    const mask = Uint8Array.from(values, (value) => (value === 0 ? 0 : 1));
    const alive = mask.reduce((sum, one) => sum + one, 0);
    if (alive > 0 && alive <= (1 - PRUNED) * mask.length) masks.set(weight, mask);
  }
  return masks;
}

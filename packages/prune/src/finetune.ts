/**
 * Training on what pruning has left: the patterns of a pruned network become masks, which stay as they are.
 * @see Han et al., "Learning both weights and connections for efficient neural networks", 2015
 */
import { fail } from './errors.ts';
import { cutAndRetrain, patternedMatrices, type RetrainOptions, type TrainedResult } from './masked.ts';
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

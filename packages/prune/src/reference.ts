/** Entry `@grim/prune/reference`: activations from the reference evaluator. Always right, and slow: for small networks. */
import type { Graph } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import type { Calibrator, Feeds } from './calibrator.ts';

/**
 * @param batches  inputs of the graph, without labels
 * @example
 * await pruneOneShot(graph, referenceCalibrator(batches), { density: 0.25 });
 */
export function referenceCalibrator(batches: readonly Feeds[]): Calibrator {
  return { batches, prepare: (graph: Graph) => ({ run: (feeds: Feeds) => evaluate(graph, feeds) }) };
}

/** The graph passes, in order. Each takes a graph and returns one that computes the same. */
import type { Graph } from '@grim/ir';
import { dropUnused } from './drop-unused.ts';
import { foldBatchNormalization } from './fold-batch-normalization.ts';

export function simplify(graph: Graph): Graph {
  return dropUnused(foldBatchNormalization(graph));
}

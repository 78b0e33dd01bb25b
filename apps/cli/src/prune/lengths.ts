/** Lengths that a network leaves open, for timing it. */
import { bind, type Graph, isStatic, requireStatic } from '@grim/ir';

/** Lengths that are still open are 1: one example. */
export function withLengths(graph: Graph): Graph {
  const dims = new Set<string>();
  for (const { shape } of graph.inputs.values())
    if (!isStatic(shape)) for (const dim of shape ?? []) if (typeof dim === 'string') dims.add(dim);
  const bound = dims.size > 0 ? bind(graph, { dims: Object.fromEntries([...dims].map((name) => [name, 1])) }) : graph;
  requireStatic(bound);
  return bound;
}

/** Removes nodes whose outputs nobody needs, and weights that are left without a reader. */
import { bodiesOf, type Graph, type Node } from '@grim/ir';

export function dropUnused(graph: Graph): Graph {
  const needed = new Set(graph.outputs.values());
  const kept: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((name) => needed.has(name))) continue;
    for (const name of namesUsed(node)) needed.add(name);
    kept.push(node);
  }
  const weights = new Map(Array.from(graph.weights).filter(([name]) => needed.has(name)));
  if (kept.length === graph.nodes.length && weights.size === graph.weights.size) return graph;
  return { ...graph, nodes: kept.reverse(), weights };
}

/** Every value that a node reads, those that its bodies take from around them included. */
export function namesUsed(node: Node): readonly string[] {
  const names = node.inputs.filter((name) => name !== '');
  for (const [, body] of bodiesOf(node)) names.push(...body.nodes.flatMap(namesUsed), ...body.outputs.values());
  return names;
}

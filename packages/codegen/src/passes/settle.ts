/** Gives shapes to what has none before a run, where constants decide them: loops are written out, selections become reads. */
import { fold, fromReals, type Graph, type Node, type NodeOf, type OpName, type Weight, withDefaults } from '@grim/ir';
import { freshNames } from '../lower/scope.ts';
import { unroll } from './unroll.ts';

/** Operators whose shapes depend on elements. */
const OPEN: ReadonlySet<OpName> = new Set(['Compress', 'If', 'Loop', 'NonMaxSuppression', 'NonZero', 'Scan', 'Unique']);

/** @param graph  verified, its inputs static */
export function settle(graph: Graph): Graph {
  if (!graph.nodes.some(({ op }) => OPEN.has(op))) return graph;
  return readCompressed(unroll(fold(graph)));
}

/** `Compress` with a constant condition reads at known places. */
function readCompressed(graph: Graph): Graph {
  const isKnown = (node: Node): node is NodeOf<'Compress'> =>
    node.op === 'Compress' && graph.weights.has(node.inputs[1] ?? '');
  if (!graph.nodes.some(isKnown)) return graph;
  const fresh = freshNames(graph);
  const weights = new Map(graph.weights);
  const integers = (values: readonly number[]): string => {
    const name = fresh();
    weights.set(name, fromReals('int64', [values.length], values) as Weight);
    return name;
  };
  const nodes = graph.nodes.flatMap((node): readonly Node[] => {
    if (!isKnown(node)) return [node];
    const { axis } = node.attributes;
    const [input = '', condition = ''] = node.inputs;
    const kept = (graph.weights.get(condition)?.data ?? []) as Uint8Array;
    const places = Array.from(kept, (one, i) => (one ? i : -1)).filter((i) => i >= 0);
    const flat = fresh();
    const flatten = {
      op: 'Reshape',
      name: `${node.name}/flat`,
      inputs: [input, integers([-1])],
      outputs: [flat],
      attributes: withDefaults('Reshape', {}),
    } as Node;
    const gather = {
      op: 'Gather',
      name: node.name,
      inputs: [axis === undefined ? flat : input, integers(places)],
      outputs: node.outputs,
      attributes: withDefaults('Gather', { axis: axis ?? 0 }),
    } as Node;
    return axis === undefined ? [flatten, gather] : [gather];
  });
  return { ...graph, nodes, weights };
}

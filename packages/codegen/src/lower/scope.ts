/** What is known of a graph, or of a body inside one, while its nodes are lowered. */
import { bodiesOf, type Graph, type Node, type TensorType } from '@grim/ir';
import type { Padding } from '../program.ts';

/** Inner scopes see the outer ones. */
export interface Scope {
  readonly graph: Graph;
  readonly outer: Scope | undefined;
  readonly types: ReadonlyMap<string, TensorType>;
  readonly uses: ReadonlyMap<string, number>;
  readonly consumers: ReadonlyMap<string, Node>;
  readonly results: ReadonlySet<string>;
  readonly wanted: Map<string, Padding>;
  /** Elements between the rows of a value that wants no zeros there; see `pitch.ts`. */
  readonly gaps: Map<string, number>;
  /** Nodes that an earlier one took over. */
  readonly absorbed: Set<Node>;
}

export function scopeOf(graph: Graph, outer: Scope | undefined, types: ReadonlyMap<string, TensorType>): Scope {
  const uses = new Map<string, number>();
  const consumers = new Map<string, Node>();
  const count = (name: string) => uses.set(name, (uses.get(name) ?? 0) + 1);
  const visit = (inner: Graph, top: boolean): void => {
    for (const node of inner.nodes) {
      for (const name of node.inputs) {
        if (name === '') continue;
        count(name);
        if (top) consumers.set(name, node);
      }
      for (const [, body] of bodiesOf(node)) visit(body, false);
    }
    for (const name of inner.outputs.values()) count(name);
  };
  visit(graph, true);
  const results = new Set(graph.outputs.values());
  return { graph, outer, types, uses, consumers, results, wanted: new Map(), gaps: new Map(), absorbed: new Set() };
}

/** Gives names of no value of the graph, whatever its author calls them. */
export function freshNames(graph: Graph): () => string {
  const names = Array.from(valueNames(graph));
  let prefix = '~';
  while (names.some((name) => name.startsWith(prefix))) prefix += '~';
  let count = 0;
  return () => `${prefix}${count++}`;
}

function valueNames(graph: Graph, found: Set<string> = new Set()): ReadonlySet<string> {
  for (const name of [...graph.inputs.keys(), ...graph.weights.keys()]) found.add(name);
  for (const node of graph.nodes) {
    for (const name of node.outputs) found.add(name);
    for (const [, body] of bodiesOf(node)) valueNames(body, found);
  }
  return found;
}

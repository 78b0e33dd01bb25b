/**
 * Nodes in an order in which every value is made before it is used, captures of bodies included. An order that is right
 * already stays as it is.
 */
import { GrimError, quote } from '../errors.ts';
import { bodiesIn, type PlacedNode } from './functions.ts';
import type { GraphProto, NodeProto } from './model.ts';

const freeNamesOf = new WeakMap<GraphProto, ReadonlySet<string>>();

/** Names that a body uses and does not define. */
function freeNames(graph: GraphProto): ReadonlySet<string> {
  const known = freeNamesOf.get(graph);
  if (known) return known;
  const free = new Set<string>();
  for (const node of graph.nodes) for (const name of usedNames(node)) free.add(name);
  for (const output of graph.outputs) free.add(output.name);
  for (const name of definedNames(graph)) free.delete(name);
  freeNamesOf.set(graph, free);
  return free;
}

/** Names that a graph itself defines; a name may come more than once. */
export function* definedNames(graph: GraphProto): Generator<string> {
  for (const { name } of graph.inputs) yield name;
  for (const { name } of graph.initializers) yield name;
  for (const { values } of graph.sparseInitializers) yield values.name;
  for (const { outputs } of graph.nodes) for (const name of outputs) if (name !== '') yield name;
}

/** Names that a node needs: its inputs, and what its bodies capture. */
export function* usedNames(node: NodeProto): Generator<string> {
  for (const name of node.inputs) if (name !== '') yield name;
  for (const attribute of node.attributes) for (const body of bodiesIn(attribute)) yield* freeNames(body);
}

/** How nodes are shown in messages. */
export function placed(node: NodeProto): string {
  return `${quote(node.name)} (${quote(node.opType).slice(1, -1)})`;
}

/**
 * Depth first along the inputs with a stack of its own, from each node in file order: linear, and it finds the cycle
 * itself where there is one.
 * @param claimed  whether a name is this node's to define: of a name defined twice only the first definition counts
 * @throws {GrimError} GRIM_IR_CYCLE, naming up to 8 of the nodes
 */
export function orderNodes(
  nodes: readonly PlacedNode[],
  claimed: (name: string, node: NodeProto) => boolean,
): readonly PlacedNode[] {
  const producer = new Map<string, PlacedNode>();
  for (const item of nodes)
    for (const name of item.node.outputs) if (name !== '' && claimed(name, item.node)) producer.set(name, item);
  const ordered: PlacedNode[] = [];
  const state = new Map<PlacedNode, 'open' | 'done'>();
  for (const start of nodes) {
    if (state.has(start)) continue;
    const stack: { readonly item: PlacedNode; readonly needs: Iterator<string> }[] = [];
    const enter = (item: PlacedNode) => {
      state.set(item, 'open');
      stack.push({ item, needs: usedNames(item.node) });
    };
    enter(start);
    for (let frame = stack.at(-1); frame; frame = stack.at(-1)) {
      const next = frame.needs.next();
      if (next.done) {
        state.set(frame.item, 'done');
        ordered.push(frame.item);
        stack.pop();
        continue;
      }
      const needed = producer.get(next.value);
      if (!needed) continue;
      if (state.get(needed) === 'open')
        refuseCycle(
          stack.map(({ item }) => item.node),
          needed.node,
        );
      if (!state.has(needed)) enter(needed);
    }
  }
  return ordered;
}

function refuseCycle(path: readonly NodeProto[], first: NodeProto): never {
  // Each of the path needs the one after it: backwards is the way that values flow.
  const cycle = path.slice(path.indexOf(first)).reverse();
  const shown = cycle.slice(0, 8).map(placed);
  const rest = cycle.length > 8 ? ` (${cycle.length} nodes in all)` : '';
  throw new GrimError(
    'GRIM_IR_CYCLE',
    `Nodes need each other's results: ${[...shown, cycle.length > 8 ? '…' : shown[0]].join(' → ')}${rest}.`,
    { nodes: cycle.slice(0, 8).map(({ name }) => name), length: cycle.length },
  );
}

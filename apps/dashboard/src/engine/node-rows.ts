/**
 * The nodes of a graph as a list with its wires beside it, as a history of commits is drawn: one node a row, one lane for
 * each value that waits for a reader. A list shows a hundred thousand nodes as easily as ten, and fits a phone.
 */
import { formatShape, type Graph, inferTypes, macs, show } from '@grim/ir';
import { sitesOf } from './open.ts';
import { theSession } from './session.ts';

export interface NodesAsk {
  readonly from: number;
  readonly to: number;
}

export interface NodeRow {
  readonly name: string;
  readonly op: string;
  /** Of the first output. */
  readonly shape: string;
  readonly parameters: number;
  readonly macs: number | undefined;
  /** The layer of its first weight, in the list of layers; -1 without one. */
  readonly layer: number;
  /** Lane of the node; lanes of values that pass by, that are read here, and that begin here. */
  readonly lane: number;
  readonly passing: readonly number[];
  readonly reads: readonly number[];
  readonly writes: readonly number[];
}

export interface NodeRows {
  readonly total: number;
  /** Of all rows, so that the width does not jump. */
  readonly lanes: number;
  readonly rows: readonly NodeRow[];
}

/** More than these are drawn as one. */
const MOST_LANES = 8;

const known = new WeakMap<Graph, { readonly rows: readonly NodeRow[]; readonly lanes: number }>();

export function nodes({ from, to }: NodesAsk): NodeRows {
  const { graph } = theSession().dense;
  if (!graph) return { total: 0, lanes: 0, rows: [] };
  let found = known.get(graph);
  if (!found) {
    found = rowsOf(graph);
    known.set(graph, found);
  }
  return { total: found.rows.length, lanes: found.lanes, rows: found.rows.slice(from, to) };
}

function rowsOf(graph: Graph): { readonly rows: readonly NodeRow[]; readonly lanes: number } {
  const types = inferTypes(graph);
  const work = macs(graph).nodes;
  const layer = new Map<number, number>();
  sitesOf(graph).forEach((site, index) => {
    if (!layer.has(site.node)) layer.set(site.node, index);
  });
  const readers = new Map<string, number>();
  const values = (names: readonly string[]) => [...new Set(names.filter((name) => name && !graph.weights.has(name)))];
  for (const node of graph.nodes)
    for (const name of values(node.inputs)) readers.set(name, (readers.get(name) ?? 0) + 1);
  /** What waits in each lane. */
  const lanes: (string | undefined)[] = [];
  const take = (name: string, wanted = -1): number => {
    const free = wanted >= 0 && lanes[wanted] === undefined ? wanted : lanes.indexOf(undefined);
    const lane = free < 0 ? lanes.length : free;
    lanes[lane] = name;
    return lane;
  };
  for (const name of graph.inputs.keys()) if (readers.has(name)) take(name);
  let widest = lanes.length;
  const cut = (list: readonly number[]) => [...new Set(list.map((lane) => Math.min(lane, MOST_LANES - 1)))];
  const rows = graph.nodes.map((node, index): NodeRow => {
    const inputs = values(node.inputs);
    const reads = inputs.map((name) => lanes.indexOf(name)).filter((lane) => lane >= 0);
    for (const name of inputs) {
      const left = (readers.get(name) ?? 1) - 1;
      readers.set(name, left);
      if (left === 0 && lanes.includes(name)) lanes[lanes.indexOf(name)] = undefined;
    }
    const passing = [...lanes.keys()].filter((lane) => lanes[lane] !== undefined);
    const writes: number[] = [];
    for (const name of node.outputs)
      if (readers.has(name)) writes.push(take(name, writes.length === 0 ? (reads[0] ?? -1) : -1));
    while (lanes.length > 0 && lanes.at(-1) === undefined) lanes.pop();
    widest = Math.max(widest, lanes.length);
    const type = types.get(node.outputs.find(Boolean) ?? '');
    return {
      ...{ name: show(node.name), op: node.op, shape: type ? formatShape(type.shape) : '', macs: work.get(node) },
      parameters: node.inputs.reduce((sum, name) => sum + (graph.weights.get(name)?.data.length ?? 0), 0),
      layer: layer.get(index) ?? -1,
      lane: Math.min(writes[0] ?? reads[0] ?? 0, MOST_LANES - 1),
      ...{ passing: cut(passing), reads: cut(reads), writes: cut(writes) },
    };
  });
  return { rows, lanes: Math.min(widest, MOST_LANES) };
}

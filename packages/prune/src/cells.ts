/** Recurrent layers that can be pruned: GRU, LSTM and RNN with the standard activations. */
import { type GemmView, type Graph, gemmView, type Node, type NodeOf, type TypeLookup } from '@grim/ir';
import type { Layer } from './layers.ts';

const GATES = { RNN: 1, GRU: 3, LSTM: 4 } as const;
const STANDARD = { RNN: ['Tanh'], GRU: ['Sigmoid', 'Tanh'], LSTM: ['Sigmoid', 'Tanh', 'Tanh'] } as const;
/** Fewer inputs than this are not worth a block. */
const THIN = 32;

/** A recurrent node. Rows of its matrices: direction, gate, unit. */
export interface Cell {
  readonly index: number;
  readonly node: NodeOf<'GRU'> | NodeOf<'LSTM'> | NodeOf<'RNN'>;
  readonly gates: number;
  readonly directions: number;
  readonly hidden: number;
  readonly inputs: number;
  /** Over the inputs, named `node/W`, and over the state, named `node/R`. */
  readonly w: Layer;
  readonly r: Layer;
}

/** @param readers  of every value */
export function cellOf(
  graph: Graph,
  node: Node,
  index: number,
  types: TypeLookup,
  readers: ReadonlyMap<string, readonly Node[]>,
): Cell | undefined {
  if (node.op !== 'GRU' && node.op !== 'LSTM' && node.op !== 'RNN') return undefined;
  const { activations, clip, direction, hidden_size } = node.attributes;
  const standard = Array.from({ length: direction === 'bidirectional' ? 2 : 1 }, () => STANDARD[node.op]).flat();
  const usual = activations?.every((name, i) => String(name).toLowerCase() === standard[i]?.toLowerCase()) ?? true;
  if (!usual || clip !== undefined || (node.op === 'LSTM' && (node.attributes.input_forget || node.inputs[7])))
    return undefined;
  if (node.inputs[4] || graph.weights.has(node.inputs[0] ?? '')) return undefined;
  const usable = (input: number) => {
    const name = node.inputs[input] ?? '';
    return graph.weights.get(name)?.dtype === 'float32' && readers.get(name)?.length === 1;
  };
  if (!usable(1) || !usable(2) || (node.inputs[3] && !usable(3))) return undefined;
  const [w, r] = [gemmView(node, 1, types), gemmView(node, 2, types)];
  if (!w || !r || (hidden_size !== undefined && hidden_size !== r.k)) return undefined;
  const layer = (part: 'W' | 'R', view: GemmView): Layer => ({
    name: `${node.name}/${part}`,
    op: node.op,
    weight: node.inputs[part === 'W' ? 1 : 2] ?? '',
    m: view.m,
    k: view.k,
    groups: view.groups,
    ...(part === 'W' && view.k < THIN && { exempt: 'thin' as const }),
  });
  return {
    ...{ index, node, gates: GATES[node.op], directions: r.groups, hidden: r.k, inputs: w.k },
    ...{ w: layer('W', w), r: layer('R', r) },
  };
}

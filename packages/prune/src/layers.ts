/**
 * The layers that can be pruned, and what stands around each of them: the batch normalisation or bias that takes up a
 * change of the mean, the skip connection, the activation.
 */
import { type GemmView, type Graph, gemmView, type Node, type NodeOf, type TypeLookup } from '@grim/ir';
import { type Cell, cellOf } from './cells.ts';
import { namesUsed } from './stream.ts';

/** A layer as a matrix A[m, k]. */
export interface Layer {
  /** Of the node; of the two matrices of a recurrent one, with `/W` (inputs) or `/R` (state) behind it. */
  readonly name: string;
  readonly op: 'Conv' | 'Gemm' | 'MatMul' | 'GRU' | 'LSTM' | 'RNN';
  readonly weight: string;
  readonly m: number;
  readonly k: number;
  readonly groups: number;
  /**
   * Why it stays dense unless it is named: the first and the last layer (recurrent ones aside), depthwise convolutions,
   * inputs of a recurrent layer that are fewer than 32.
   */
  readonly exempt?: 'first' | 'last' | 'depthwise' | 'thin';
}

/** A layer with its neighbours. */
export interface Site extends Layer {
  readonly op: 'Conv' | 'Gemm' | 'MatMul';
  readonly index: number;
  readonly node: NodeOf<'Conv'> | NodeOf<'Gemm'> | NodeOf<'MatMul'>;
  readonly view: GemmView;
  /** Sizes of a convolution's kernel; empty for a matrix. */
  readonly kernel: readonly number[];
  /** Which input the weight is, and the value that meets it. */
  readonly input: 0 | 1;
  readonly x: string;
  readonly y: string;
  /** Name of the BatchNormalization that alone reads y. */
  readonly norm?: string;
  /** Of an Add after it: the other side. */
  readonly skip?: string;
  /** Range of the activation that follows. */
  readonly clamp?: { readonly low: number; readonly high: number };
  /** Value that holds what is added to y per row: the bias input, or the constant side of an Add behind a MatMul. */
  readonly bias?: string;
}

/**
 * Layers of `graph` that can be pruned, in the order in which they run. Left out: weights that several nodes share or that
 * are an output, weights that are not float32, batched MatMul weights, bodies of control flow.
 * @example
 * for (const layer of prunableLayers(graph)) console.log(layer.name, layer.m, layer.k, layer.exempt ?? '');
 */
export function prunableLayers(graph: Graph): readonly Layer[] {
  const { sites, cells } = sitesOf(graph);
  return [
    ...sites.map(({ name, op, weight, m, k, groups, exempt, index }) => ({
      index,
      layer: { ...{ name, op, weight, m, k, groups }, ...(exempt && { exempt }) },
    })),
    ...cells.flatMap(({ index, w, r }) => [w, r].map((layer) => ({ index, layer }))),
  ]
    .sort((a, b) => a.index - b.index)
    .map(({ layer }) => layer);
}

export interface Sites {
  readonly sites: readonly Site[];
  readonly cells: readonly Cell[];
}

export function sitesOf(graph: Graph): Sites {
  const types = weightTypes(graph);
  const readers = new Map<string, Node[]>();
  for (const node of graph.nodes)
    for (const name of namesUsed(node)) {
      const list = readers.get(name);
      if (list) list.push(node);
      else readers.set(name, [node]);
    }
  const outputs = new Set(graph.outputs.values());
  const sites: Site[] = [];
  const cells: Cell[] = [];
  graph.nodes.forEach((node, index) => {
    const cell = cellOf(graph, node, index, types, readers);
    if (cell) cells.push(cell);
    const site = siteOf(graph, node, index, types, readers, outputs);
    if (site) sites.push(site);
  });
  const ends = sites.map((site, i) => {
    const end = i === 0 ? 'first' : i === sites.length - 1 ? 'last' : undefined;
    return end && !site.exempt ? { ...site, exempt: end } : site;
  });
  return { sites: ends as readonly Site[], cells };
}

function siteOf(
  graph: Graph,
  node: Node,
  index: number,
  types: TypeLookup,
  readers: ReadonlyMap<string, readonly Node[]>,
  outputs: ReadonlySet<string>,
): Site | undefined {
  if (node.op !== 'Conv' && node.op !== 'Gemm' && node.op !== 'MatMul') return undefined;
  for (const input of [1, 0] as const) {
    const weight = node.inputs[input] ?? '';
    const x = node.inputs[1 - input] ?? '';
    const tensor = graph.weights.get(weight);
    const view = gemmView(node, input, types);
    if (!tensor || !view || graph.weights.has(x) || outputs.has(weight)) continue;
    if (tensor.dtype !== 'float32' || readers.get(weight)?.length !== 1) continue;
    if (node.op !== 'Conv' && view.groups > 1) continue;
    if (node.op === 'MatMul' && tensor.shape.length !== 2) continue;
    if (node.op !== 'MatMul' && !plainBias(graph, node, input, view.m)) continue;
    const rows = view.m / view.groups;
    const depthwise = node.op === 'Conv' && view.groups > 1 && (rows === 1 || tensor.shape[1] === 1);
    return {
      ...{ name: node.name, op: node.op, weight, m: view.m, k: view.k, groups: view.groups },
      ...{ index, node, view, input, x, y: node.outputs[0] ?? '', kernel: tensor.shape.slice(2) },
      ...(depthwise && { exempt: 'depthwise' as const }),
      ...around(graph, node, readers, outputs, input),
    };
  }
  return undefined;
}

/** Whether what a Conv or Gemm adds to its product is nothing, or one constant per row. */
function plainBias(graph: Graph, node: NodeOf<'Conv'> | NodeOf<'Gemm'>, input: number, m: number): boolean {
  const bias = node.inputs[2] ?? '';
  if (node.op === 'Gemm' && (node.attributes.alpha === 0 || (bias !== '' && node.attributes.beta === 0))) return false;
  if (bias === '') return true;
  const tensor = graph.weights.get(bias);
  return input === 1 && tensor?.dtype === 'float32' && tensor.data.length === m && tensor.shape.at(-1) === m;
}

function around(
  graph: Graph,
  node: Node,
  readers: ReadonlyMap<string, readonly Node[]>,
  outputs: ReadonlySet<string>,
  input: number,
): Partial<Pick<Site, 'norm' | 'skip' | 'clamp' | 'bias'>> {
  /** The only reader of a value that is no output. */
  const only = (name: string): Node | undefined => {
    const list = outputs.has(name) ? [] : (readers.get(name) ?? []);
    return list.length === 1 ? list[0] : undefined;
  };
  const found: { norm?: string; skip?: string; clamp?: { low: number; high: number }; bias?: string } = {};
  const constant = (name: string | undefined) => name !== undefined && graph.weights.has(name);
  let tail = node.outputs[0] ?? '';
  let next = only(tail);
  if (node.op !== 'MatMul' && constant(node.inputs[2])) found.bias = node.inputs[2] as string;
  if (node.op === 'MatMul' && input === 1 && next?.op === 'Add') {
    const other = next.inputs.find((name) => name !== tail) ?? '';
    const shape = graph.weights.get(other)?.shape;
    const rows = graph.weights.get(node.inputs[1] ?? '')?.shape[1];
    if (shape?.length === 1 && shape[0] === rows && readers.get(other)?.length === 1) {
      found.bias = other;
      tail = next.outputs[0] ?? '';
      next = only(tail);
    }
  }
  if (next?.op === 'BatchNormalization' && next.inputs[0] === tail && next.inputs.slice(1).every(constant)) {
    found.norm = next.name;
    tail = next.outputs[0] ?? '';
    next = only(tail);
  }
  if (next?.op === 'Add') {
    const other = next.inputs.find((name) => name !== tail);
    if (other !== undefined && !constant(other)) {
      found.skip = other;
      tail = next.outputs[0] ?? '';
      next = only(tail);
    }
  }
  if (next?.op === 'Relu') found.clamp = { low: 0, high: Number.POSITIVE_INFINITY };
  if (next?.op === 'Clip' && next.inputs[0] === tail) {
    const bound = (i: number, fallback: number) => {
      const name = next.inputs[i] ?? '';
      return name === '' ? fallback : Number(graph.weights.get(name)?.data[0] ?? Number.NaN);
    };
    const clamp = { low: bound(1, Number.NEGATIVE_INFINITY), high: bound(2, Number.POSITIVE_INFINITY) };
    if (clamp.low < clamp.high) found.clamp = clamp;
  }
  return found;
}

/** Enough for the shape of a weight; how often it is used stays open. */
function weightTypes(graph: Graph): TypeLookup {
  return { get: (name) => graph.weights.get(name) ?? graph.inputs.get(name) };
}

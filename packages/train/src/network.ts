/** A network as training sees it: bound to a batch, its one input, its scores, and the weights that learn. */
import { bind, type Graph, inferTypes, isStatic, type Node, quote } from '@grim/ir';
import type { Shape } from './emit.ts';
import { fail } from './errors.ts';

export type Loss = 'cross-entropy' | 'mse';

export interface Network {
  /** All lengths known, the batch first. */
  readonly graph: Graph;
  readonly input: string;
  /** Of one example. */
  readonly inputShape: Shape;
  /** The value that the loss is taken of: with cross-entropy, what stands before a last softmax. */
  readonly scores: string;
  /** [batch, …] */
  readonly scoresShape: Shape;
}

/**
 * @throws {GrimError} GRIM_TRAIN_BAD_NETWORK unless the graph has one input, batch first, and an output with a batch;
 *   what `bind` and `inferTypes` throw when the batch cannot be changed
 */
export function networkOf(given: Graph, batch: number, loss: Loss): Network {
  const [first, ...more] = given.inputs;
  if (!first || more.length > 0)
    fail(
      'GRIM_TRAIN_BAD_NETWORK',
      `network ${quote(given.name)}: it has ${given.inputs.size} inputs (${Array.from(given.inputs.keys(), quote).join(', ')}); one is needed. Bind the others to constants.`,
    );
  const [input, type] = first;
  const [dim, ...rest] = type.shape ?? [];
  if (dim === undefined || rest.length === 0)
    fail(
      'GRIM_TRAIN_BAD_NETWORK',
      `network ${quote(given.name)}: input ${quote(input)} has no batch; its first axis must be one.`,
    );
  const renamed = typeof dim === 'string' ? given : withBatch(given, input, [batch, ...rest]);
  const graph = bind(renamed, typeof dim === 'string' ? { dims: { [dim]: batch } } : {});
  const shape = graph.inputs.get(input)?.shape ?? null;
  if (!isStatic(shape))
    fail(
      'GRIM_TRAIN_BAD_NETWORK',
      `network ${quote(given.name)}: input ${quote(input)} is [${type.shape?.join(', ')}]; only the first length may be open. Bind the others.`,
    );
  const [output = ''] = graph.outputs.values();
  const scores = loss === 'cross-entropy' ? beforeSoftmax(graph, output) : output;
  const found = inferTypes(graph).get(scores) ?? graph.inputs.get(scores);
  if (found?.dtype !== 'float32' || !isStatic(found.shape) || found.shape[0] !== batch)
    fail(
      'GRIM_TRAIN_BAD_NETWORK',
      `network ${quote(given.name)}: its first output is ${found?.dtype} [${found?.shape?.join(', ')}]; float32 [${batch}, …], one row for each example, is needed. Export it with an open batch.`,
    );
  // Nothing but what the scores need is trained, or differentiated.
  const needed = bind({ ...graph, outputs: new Map([['scores', scores]]) }, {});
  return { graph: needed, input, inputShape: shape.slice(1), scores, scoresShape: found.shape };
}

function withBatch(graph: Graph, input: string, shape: readonly (number | string)[]): Graph {
  const type = graph.inputs.get(input);
  return type ? { ...graph, inputs: new Map([[input, { ...type, shape }]]) } : graph;
}

function beforeSoftmax(graph: Graph, output: string): string {
  const node = graph.nodes.find(({ outputs }) => outputs[0] === output);
  return (node?.op === 'Softmax' || node?.op === 'LogSoftmax') && node.inputs[0] ? node.inputs[0] : output;
}

/**
 * Float weights that a layer learns: kernels, matrices, biases, scales and shifts, slopes, tables that rows are gathered
 * from; not the stored statistics of a normalisation, nor constants of arithmetic.
 */
export function learnable(graph: Graph): string[] {
  const found = new Set<string>();
  const producers = new Map<string, Node>();
  for (const node of graph.nodes) for (const name of node.outputs) producers.set(name, node);
  for (const node of graph.nodes)
    for (const name of learnedInputs(node, producers)) {
      const weight = graph.weights.get(name);
      if (weight?.dtype === 'float32' && weight.data.length > 0) found.add(name);
    }
  return Array.from(graph.weights.keys()).filter((name) => found.has(name));
}

const LEARNED: ReadonlyMap<string, readonly number[]> = new Map([
  ['Conv', [1, 2]],
  ['ConvTranspose', [1, 2]],
  ['Gemm', [0, 1, 2]],
  ['MatMul', [0, 1]],
  ['Einsum', [0, 1]],
  ['BatchNormalization', [1, 2]],
  ['InstanceNormalization', [1, 2]],
  ['LayerNormalization', [1, 2]],
  ['GroupNormalization', [1, 2]],
  ['RMSNormalization', [1]],
  ['PRelu', [1]],
  ['Gather', [0]],
  ['RNN', [1, 2, 3]],
  ['GRU', [1, 2, 3]],
  ['LSTM', [1, 2, 3]],
]);
/** A weight added behind one of these is its bias. */
const BIASED = ['MatMul', 'Conv', 'ConvTranspose', 'Einsum'];

function learnedInputs(node: Node, producers: ReadonlyMap<string, Node>): readonly string[] {
  const places = LEARNED.get(node.op);
  if (places) return places.map((i) => node.inputs[i] ?? '');
  if (node.op !== 'Add') return [];
  return node.inputs.some((name) => BIASED.includes(producers.get(name)?.op ?? '')) ? node.inputs : [];
}

/**
 * Where a `.grim` file leaves the reference. A file has no outputs of layers, so its network is compiled again as the file was, ever
 * less of it: up to the middle node, up to the middle of the half in which the fault lies, and so on; a node is at fault
 * when the network up to it is off and up to each of the nodes that it reads is not. Kernels stay as they are in the file but at the end of each part.
 */
import { type Graph, type Node, type Tensor, type TensorArray, toReals, type WeightEncoding } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { loadModel } from '@grim/runtime';
import { readArtifact } from '@grim/runtime/artifact';
import { compileGraph } from './compile-model.ts';

export interface Bisection {
  /** Of the whole file, as a share of the norm of the reference. */
  readonly error: number;
  readonly tolerance: number;
  readonly weights: WeightEncoding;
  /** How many parts were compiled. */
  readonly compiled: number;
  /** The first node that is off, and how far. Absent: the file is well, or the fault is in the file alone. */
  readonly first?: { readonly node: string; readonly op: string; readonly error: number };
}

/** Beyond what narrower storage and another order of sums explain, of the norm. */
const TOLERANCE: Readonly<Record<WeightEncoding, number>> = { f32: 1e-4, f16: 1e-2, bf16: 5e-2, int8: 5e-2 };

/**
 * @param file  a whole `.grim` file
 * @param graph  what it was compiled from, all lengths bound
 * @throws {GrimError | RuntimeError} what reading, compiling and running say
 */
export async function bisect(
  file: Uint8Array,
  graph: Graph,
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Bisection> {
  const { sections, layers } = readArtifact(file).manifest;
  const encodings = sections.flatMap((section) => (section.kind === 'weights' ? [section.encoding] : []));
  const weights: WeightEncoding = encodings.find((one) => one !== 'f32') ?? 'f32';
  const sparse = layers.some(({ grid }) => grid !== undefined);
  const tolerance = TOLERANCE[weights];
  const wanted = new Map<string, Tensor>();
  evaluate(graph, inputs, { onValue: (name, value) => wanted.set(name, value) });
  const data = Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, tensor.data]));
  const errorOf = async (bytes: Uint8Array, outputs: ReadonlyMap<string, string>): Promise<number> => {
    using model = await loadModel(Uint8Array.from(bytes));
    const found = await model.run(data);
    const errors = Array.from(outputs, ([output, value]) => off(wanted.get(value), found[output]));
    return Math.max(0, ...errors);
  };
  const error = await errorOf(file, graph.outputs);
  const whole = { error, tolerance, weights };
  if (error <= tolerance) return { ...whole, compiled: 0 };

  const seen = new Map<Node, number>();
  /** Of the network up to a node. */
  const errorAt = async (node: Node): Promise<number> => {
    const known = seen.get(node);
    if (known !== undefined) return known;
    const outputs = new Map(outputsOf(node).map((name) => [name, name]));
    const found = await errorOf(compileGraph({ ...graph, outputs }, { sparse, weights }).bytes, outputs);
    seen.set(node, found);
    return found;
  };
  // What is computed in floats; the rest follows from it.
  const nodes = graph.nodes.filter((node) => outputsOf(node).some((name) => wanted.get(name)?.dtype === 'float32'));
  let [low, high] = [-1, nodes.length - 1];
  if (high < 0 || (await errorAt(nodes[high] as Node)) <= tolerance) return { ...whole, compiled: seen.size };
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if ((await errorAt(nodes[middle] as Node)) <= tolerance) low = middle;
    else high = middle;
  }
  // The order of nodes goes through all branches: the fault may come from further up this one.
  let first = nodes[high] as Node;
  for (let above: Node | undefined = first; above; ) {
    first = above;
    above = undefined;
    for (const node of nodes)
      if (node.outputs.some((name) => first.inputs.includes(name)) && (await errorAt(node)) > tolerance) above = node;
  }
  return {
    ...whole,
    compiled: seen.size,
    first: { node: first.name, op: first.op, error: await errorAt(first) },
  };
}

const outputsOf = ({ outputs }: Node): readonly string[] => outputs.filter((name) => name !== '');

/** |found − wanted| / |wanted|, Euclidean; infinite where they cannot be compared, or a number came that is none. */
function off(wanted: Tensor | undefined, found: TensorArray | undefined): number {
  if (!wanted) return 0;
  if (found?.length !== wanted.data.length) return Number.POSITIVE_INFINITY;
  const reals = toReals(wanted);
  let [error, norm] = [0, 0];
  for (let i = 0; i < reals.length; i++) {
    error += (Number(found[i]) - (reals[i] as number)) ** 2;
    norm += (reals[i] as number) ** 2;
  }
  const share = norm > 0 ? Math.sqrt(error / norm) : Math.sqrt(error);
  return Number.isNaN(share) ? Number.POSITIVE_INFINITY : share;
}

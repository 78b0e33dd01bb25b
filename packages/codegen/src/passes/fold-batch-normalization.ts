/**
 * Moves a batch normalization into the convolution or product before it: y = s · (W x + b − mean) + beta with
 * s = scale / √(var + epsilon) is a convolution with weights s · W and bias s · (b − mean) + beta.
 *
 * Computed in float64, rounded once. Zeros stay zeros, so a pattern stays true.
 */
import type { Graph, Node, NodeOf, Weight } from '@grim/ir';
import { namesUsed } from './drop-unused.ts';

type Product = NodeOf<'Conv'> | NodeOf<'ConvTranspose'> | NodeOf<'Gemm'>;

export function foldBatchNormalization(graph: Graph): Graph {
  const makers = new Map<string, Node>();
  const uses = new Map<string, number>();
  const use = (name: string) => uses.set(name, (uses.get(name) ?? 0) + 1);
  for (const node of graph.nodes) {
    for (const name of node.outputs) makers.set(name, node);
    for (const name of namesUsed(node)) use(name);
  }
  for (const name of graph.outputs.values()) use(name);

  const weights = new Map(graph.weights);
  const replaced = new Map<Node, Node | undefined>();
  for (const node of graph.nodes) {
    if (node.op !== 'BatchNormalization' || node.outputs.length !== 1) continue;
    const maker = makers.get(node.inputs[0] ?? '');
    const product = maker && (replaced.get(maker) ?? maker);
    if (!maker || !product || !isProduct(product) || uses.get(node.inputs[0] ?? '') !== 1) continue;
    const folded = foldInto(product, node, weights);
    if (!folded) continue;
    const name = (stem: string) => freshName(stem, weights, makers, graph);
    const weightName = name(`${product.inputs[1]}_folded`);
    weights.set(weightName, folded.weight);
    const biasName = name(`${product.inputs[1]}_bias_folded`);
    weights.set(biasName, folded.bias);
    replaced.set(maker, {
      ...product,
      inputs: [product.inputs[0] ?? '', weightName, biasName],
      outputs: node.outputs,
    } as Node);
    replaced.set(node, undefined);
  }
  if (replaced.size === 0) return graph;
  const nodes = graph.nodes.flatMap((node) => {
    if (!replaced.has(node)) return [node];
    const other = replaced.get(node);
    return other ? [other] : [];
  });
  return { ...graph, nodes, weights };
}

function isProduct(node: Node): node is Product {
  return node.op === 'Conv' || node.op === 'ConvTranspose' || (node.op === 'Gemm' && node.attributes.alpha === 1);
}

interface Folded {
  readonly weight: Weight;
  readonly bias: Weight;
}

function foldInto(
  product: Product,
  node: NodeOf<'BatchNormalization'>,
  weights: ReadonlyMap<string, Weight>,
): Folded | undefined {
  const of = (name: string | undefined) => {
    const weight = weights.get(name ?? '');
    return weight?.dtype === 'float32' ? (weight as Weight & { readonly data: Float32Array }) : undefined;
  };
  const weight = of(product.inputs[1]);
  const hasBias = (product.inputs[2] ?? '') !== '';
  const bias = of(product.inputs[2]);
  const [scale, beta, mean, variance] = node.inputs.slice(1).map(of);
  if (!weight || (hasBias && !bias) || !scale || !beta || !mean || !variance) return undefined;
  const channels = scale.data.length;
  // A bias of Gemm may be broadcast, or scaled; the plain vector is what exporters write.
  if (bias && bias.data.length !== channels) return undefined;
  if (product.op === 'Gemm' && product.attributes.beta !== 1) return undefined;
  const channelOf = channelIndex(product, weight.shape, channels);
  if (!channelOf) return undefined;
  const factors = Float64Array.from(
    { length: channels },
    (_, i) => (scale.data[i] ?? 0) / Math.sqrt((variance.data[i] ?? 0) + node.attributes.epsilon),
  );
  return {
    weight: { ...weight, data: weight.data.map((w, i) => w * (factors[channelOf(i)] ?? 0)) },
    bias: {
      dtype: 'float32',
      shape: [channels],
      data: Float32Array.from(
        { length: channels },
        (_, i) => ((bias?.data[i] ?? 0) - (mean.data[i] ?? 0)) * (factors[i] ?? 0) + (beta.data[i] ?? 0),
      ),
    },
  };
}

/** The output channel that each element of the weight belongs to. */
function channelIndex(
  product: Product,
  shape: readonly number[],
  channels: number,
): ((element: number) => number) | undefined {
  const size = shape.reduce((all, dim) => all * dim, 1);
  const [first = 1, second = 1] = shape;
  if (product.op === 'Conv') return first === channels ? (i) => Math.floor(i / (size / first)) : undefined;
  if (product.op === 'Gemm') {
    if (product.attributes.transB === 1) return first === channels ? (i) => Math.floor(i / second) : undefined;
    return second === channels ? (i) => i % second : undefined;
  }
  // [I, O/g, k…]: the rows of a group give the group's own outputs.
  const { group } = product.attributes;
  if (second * group !== channels) return undefined;
  const kernel = size / (first * second);
  return (i) => Math.floor(i / (second * kernel * (first / group))) * second + (Math.floor(i / kernel) % second);
}

function freshName(
  stem: string,
  weights: ReadonlyMap<string, Weight>,
  makers: ReadonlyMap<string, Node>,
  graph: Graph,
): string {
  let name = stem;
  for (let i = 1; weights.has(name) || makers.has(name) || graph.inputs.has(name); i++) name = `${stem}_${i}`;
  return name;
}

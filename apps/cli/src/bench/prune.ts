/**
 * Prunes by magnitude, for speed alone: nobody looks at the answers. The first layer and the last stay as they are, and so
 * do layers in groups, as pruning for accuracy leaves them too.
 */
import { applyPattern, blockGrid, projectBcr } from '@grim/bcr';
import { type Graph, gemmView, inferTypes, type Weight, weightIndex } from '@grim/ir';

export function pruneByMagnitude(
  graph: Graph,
  { density, rows, cols }: { readonly density: number; readonly rows: number; readonly cols: number },
): Graph {
  const types = inferTypes(graph);
  const layers = graph.nodes.flatMap((node) =>
    node.inputs.flatMap((name, input) => {
      const weight = graph.weights.get(name);
      const view = weight?.dtype === 'float32' ? gemmView(node, input, types) : undefined;
      return weight && view ? [{ node, name, weight, view }] : [];
    }),
  );
  const [first, last] = [layers[0]?.node, layers.at(-1)?.node];
  const weights = new Map(graph.weights);
  for (const { node, name, weight, view } of layers) {
    if (node === first || node === last || view.groups > 1) continue;
    const { m, k } = view;
    const grid = blockGrid(m, k, Math.min(rows, m), Math.min(cols, k));
    const data = new Float32Array(m * k);
    for (let i = 0; i < data.length; i++)
      data[i] = (weight.data as Float32Array)[weightIndex(view, Math.floor(i / k), i % k)] ?? 0;
    const matrix = { rows: m, cols: k, data };
    const kept = applyPattern(matrix, projectBcr(matrix, grid, { density })).data;
    const values = new Float32Array(data.length);
    for (let i = 0; i < data.length; i++) values[weightIndex(view, Math.floor(i / k), i % k)] = kept[i] ?? 0;
    weights.set(name, { dtype: 'float32', shape: weight.shape, data: values } satisfies Weight);
  }
  return { ...graph, weights };
}

/**
 * Networks as sparse as asked for, with masks of no meaning: for speed alone, before anybody has pruned anything. Masks are
 * the projection of random scores whose rows and columns differ in size, as those of real layers do, so that blocks keep
 * rows and columns in about the same shares as after pruning.
 */
import { applyPattern, blockGrid, projectBcr } from '@grim/bcr';
import { type BlockGrid, type Graph, gemmView, inferTypes, type Weight, weightIndex } from '@grim/ir';
import { type BlockShape, prunableLayers } from '@grim/prune';

export interface Synthetic {
  readonly block: BlockShape;
  readonly density: number;
}

/** Of the logarithm of the size of a row and of a column. */
const SPREAD = 0.5;

/** @param wanted  of each layer by its name; undefined: it stays dense */
export function withSyntheticMasks(
  graph: Graph,
  wanted: (layer: string) => Synthetic | undefined,
  seed: number,
): Graph {
  const types = inferTypes(graph);
  const weights = new Map(graph.weights);
  for (const [index, layer] of prunableLayers(graph).entries()) {
    const own = wanted(layer.name);
    if (!own || own.density >= 1) continue;
    const { m, k } = layer;
    const grid = blockGrid(m, k, own.block.rows, own.block.cols);
    const data = randomScores(grid, seed * 1009 + index);
    const matrix = { rows: m, cols: k, data };
    const pattern = projectBcr(matrix, grid, { density: own.density });
    const kept = applyPattern(matrix, pattern).data;
    const { dtype, shape } = graph.weights.get(layer.weight) as Weight;
    if (dtype !== 'float32') continue;
    const values = new Float32Array(kept.length);
    const node = graph.nodes.find(({ inputs }) => inputs.includes(layer.weight));
    const view = node && gemmView(node, node.inputs.indexOf(layer.weight), types);
    for (let at = 0; at < kept.length; at++)
      values[view ? weightIndex(view, Math.floor(at / k), at % k) : at] = (kept[at] as number) / Math.sqrt(k);
    weights.set(layer.weight, { dtype, shape, data: values, pattern });
  }
  return { ...graph, weights };
}

function randomScores({ rows, cols }: BlockGrid, seed: number): Float32Array {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b) >>> 0 || 1;
  const uniform = () => {
    // xorshift32 (Marsaglia, 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const normal = () => 2 * (uniform() + uniform() + uniform()) - 3;
  const size = (count: number) => Float64Array.from({ length: count }, () => Math.exp(SPREAD * normal()));
  const [down, across] = [size(rows), size(cols)];
  return Float32Array.from({ length: rows * cols }, (_, at) => {
    const row = Math.floor(at / cols);
    return normal() * (down[row] as number) * (across[at - row * cols] as number);
  });
}

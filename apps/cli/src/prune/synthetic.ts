/**
 * Networks as sparse as asked for, with masks of no meaning: for speed alone, before anybody has pruned anything. Masks are
 * the projection of random scores whose rows and columns differ in size, as those of real layers do, so that blocks keep
 * rows and columns in about the same shares as after pruning. Projecting is what takes time: tall matrices repeat a mask of fewer rows,
 * and layers of one shape have the same one (ResNet-18: a second instead of nine).
 */
import { applyPattern, blockGrid, projectBcr } from '@grim/bcr';
import { type BcrPattern, type BlockGrid, type Graph, gemmView, inferTypes, type Weight, weightIndex } from '@grim/ir';
import { type BlockShape, prunableLayers } from '@grim/prune';

export interface Synthetic {
  readonly block: BlockShape;
  readonly density: number;
}

/** Of the logarithm of the size of a row and of a column. */
const SPREAD = 0.5;
/** Of a mask before it repeats, at least; whole blocks. */
const TILE_ROWS = 128;

/** @param wanted  of each layer by its name; undefined: it stays dense */
export function withSyntheticMasks(
  graph: Graph,
  wanted: (layer: string) => Synthetic | undefined,
  seed: number,
): Graph {
  const types = inferTypes(graph);
  const weights = new Map(graph.weights);
  const masks = new Map<string, Mask>();
  for (const [index, layer] of prunableLayers(graph).entries()) {
    const own = wanted(layer.name);
    if (!own || own.density >= 1) continue;
    const { m, k } = layer;
    const key = [m, k, own.block.rows, own.block.cols, own.density].join();
    const mask = masks.get(key) ?? maskOf(m, k, own, seed * 1009 + index);
    masks.set(key, mask);
    const { pattern, kept } = mask;
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

interface Mask {
  readonly pattern: BcrPattern;
  /** Scores of what is kept, zeros elsewhere. */
  readonly kept: Float32Array;
}

function maskOf(m: number, k: number, { block, density }: Synthetic, seed: number): Mask {
  const grid = blockGrid(m, k, block.rows, block.cols);
  const rows = Math.min(m, grid.blockRows * Math.ceil(TILE_ROWS / grid.blockRows));
  const own = blockGrid(rows, k, grid.blockRows, grid.blockCols);
  const matrix = { rows, cols: k, data: randomScores(own, seed) };
  const tile = projectBcr(matrix, own, { density });
  const { data } = applyPattern(matrix, tile);
  if (rows === m) return { pattern: tile, kept: data };
  const across = Math.ceil(k / grid.blockCols);
  const blocks = across * Math.ceil(m / grid.blockRows);
  const repeated = (list: BcrPattern['keptRows']) =>
    Array.from({ length: blocks }, (_, i) => list[i % list.length] as Uint16Array);
  /** The last blocks may be lower. */
  const heightOf = (i: number) => Math.min(grid.blockRows, m - Math.floor(i / across) * grid.blockRows);
  const keptRows = repeated(tile.keptRows).map((list, i) => list.filter((row) => row < heightOf(i)));
  const keptCols = repeated(tile.keptCols).map((list, i) => (keptRows[i]?.length ? list : list.slice(0, 0)));
  const kept = new Float32Array(m * k);
  for (let at = 0; at < kept.length; at += data.length) kept.set(data.subarray(0, kept.length - at), at);
  return { pattern: { grid, keptRows, keptCols }, kept };
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

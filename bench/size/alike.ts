/**
 * Masks as pruning of trained networks leaves them, on made-up weights: the rows of a block want the same columns, more or less.
 * The recipe of `grim prune` leaves 8 % of the columns of ResNet-20 in blocks of which one row is left at density 0.25, and 25 % at
 * 0.1, in 2×K; of independent random weights it is 62 %, and each such column costs a code of its own for one weight.
 */
import { applyPattern, blockGrid, projectBcr } from '@grim/bcr';
import type { Graph, Weight } from '@grim/ir';
import { prunableLayers } from '@grim/prune';

interface Alike {
  readonly blockRows: number;
  readonly density: number;
  /** Of the logarithm of what the rows of a block have in common in a column; 0: nothing. */
  readonly spread: number;
}

/** All prunable layers but the first, the classifier too. */
export function prunedAlike(graph: Graph, { blockRows, density, spread }: Alike): Graph {
  const weights = new Map(graph.weights);
  let state = 7;
  const uniform = () => {
    // xorshift32 (Marsaglia, 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const normal = () => 2 * (uniform() + uniform() + uniform()) - 3;
  for (const { weight: name, m, k } of prunableLayers(graph).slice(1)) {
    const { dtype, shape, data } = graph.weights.get(name) as Weight;
    if (dtype !== 'float32') throw new Error(`${name} is ${dtype}`);
    const scores = new Float32Array(m * k);
    for (let top = 0; top < m; top += blockRows)
      for (let col = 0; col < k; col++) {
        const common = Math.exp(spread * normal());
        for (let row = top; row < Math.min(m, top + blockRows); row++) scores[row * k + col] = common * normal();
      }
    const grid = blockGrid(m, k, blockRows, k);
    const pattern = projectBcr({ rows: m, cols: k, data: scores }, grid, { density });
    const kept = applyPattern({ rows: m, cols: k, data: data as Float32Array }, pattern).data;
    weights.set(name, { dtype, shape, data: kept, pattern });
  }
  return { ...graph, weights };
}

/** Of all weights those that are kept; and of the columns of all blocks those of which one row is left. */
export function sharesOf(graph: Graph): { readonly density: number; readonly oneRow: number } {
  let [kept, all, columns, single] = [0, 0, 0, 0];
  for (const { data, pattern } of graph.weights.values()) {
    all += data.length;
    if (!pattern) kept += data.length;
    for (const [i, rows] of (pattern?.keptRows ?? []).entries()) {
      const cols = rows.length > 0 ? (pattern?.keptCols[i]?.length ?? 0) : 0;
      kept += rows.length * cols;
      columns += cols;
      if (rows.length === 1) single += cols;
    }
  }
  return { density: kept / all, oneRow: columns > 0 ? single / columns : 0 };
}

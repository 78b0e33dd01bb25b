/**
 * BCR patterns for weights that were pruned elsewhere: an ONNX file has zeros, not their form. A pattern is attached where
 * what it keeps, indices included, is clearly less than the whole matrix.
 */

import { type GemmView, type Graph, gemmView, inferTypes, type Node, type Weight, weightIndex } from '@grim/ir';
import { type Cover, cover, coverOn } from './cover.ts';
import { blockGrid } from './pattern.ts';
import { findZeroBlocks } from './zero-blocks.ts';

/** Of the bytes of the dense matrix: above, the gain is not worth the indirection. */
const MOST_BYTES = 0.8;
/** Of the bytes of the smallest pattern: within this, the tallest blocks win, whose rows share what a kernel loads. */
const TIE = 1.1;
/** Fewer zeros cannot bring the bytes below that. */
const LEAST_ZEROS = 0.15;

export interface FoundPattern {
  readonly layer: string;
  readonly op: string;
  readonly weight: string;
  /** GEMM view A[m, k]. */
  readonly m: number;
  readonly k: number;
  readonly block: { readonly rows: number; readonly cols: number };
  /** Share of the matrix that the pattern keeps. */
  readonly density: number;
}

/** The graph with a pattern at every weight where one pays, and what was found, in the graph's order. */
export function attachPatterns(graph: Graph): { readonly graph: Graph; readonly found: readonly FoundPattern[] } {
  const types = inferTypes(graph);
  const uses = new Map<string, number>();
  for (const { inputs } of graph.nodes) for (const name of inputs) uses.set(name, (uses.get(name) ?? 0) + 1);
  const weights = new Map(graph.weights);
  const found: FoundPattern[] = [];
  for (const node of graph.nodes)
    node.inputs.forEach((name, i) => {
      const weight = graph.weights.get(name);
      if (!weight || weight.pattern || weight.dtype !== 'float32' || uses.get(name) !== 1) return;
      const view = gemmView(node, i, types);
      const unit = node.op === 'Conv' ? weight.shape.slice(2).reduce((a, b) => a * b, 1) : 1;
      const best = view && bestCover(weight, view, unit);
      if (!view || !best) return;
      weights.set(name, { ...weight, pattern: best.pattern });
      found.push(describe(node, name, view, best));
    });
  return { graph: { ...graph, weights }, found };
}

/** @param unit  a width that blocks may be multiples of */
function bestCover(weight: Weight, view: GemmView, unit: number): Cover | undefined {
  const { m, k, groups } = view;
  // The rows of each group meet columns of their own: no kernel takes blocks of them.
  if (groups !== 1) return undefined;
  const data = weight.data as Float32Array;
  if (data.reduce((sum, value) => sum + (value === 0 ? 1 : 0), 0) < LEAST_ZEROS * m * k) return undefined;
  const matrix = new Float32Array(m * k);
  for (let row = 0, at = 0; row < m; row++)
    for (let col = 0; col < k; col++, at++) matrix[at] = data[weightIndex(view, row, col)] ?? 0;
  const w = { rows: m, cols: k, data: matrix };
  const { block } = findZeroBlocks(
    Uint8Array.from(matrix, (value) => (value === 0 ? 1 : 0)),
    m,
    k,
    unit,
  );
  // The very blocks that were pruned, where they can be told, besides those that kernels have tiles for.
  const pruned = block ? [coverOn(w, blockGrid(m, k, block.rows, block.cols))] : [];
  const covers = [...pruned, ...cover(w)].filter(({ bytes }) => bytes < MOST_BYTES * 4 * m * k);
  const least = Math.min(...covers.map(({ bytes }) => bytes));
  const height = ({ pattern }: Cover): number => pattern.grid.blockRows;
  return covers
    .filter(({ bytes }) => bytes <= TIE * least)
    .sort((a, b) => height(b) - height(a) || a.bytes - b.bytes)[0];
}

function describe({ name: layer, op }: Node, weight: string, { m, k }: GemmView, best: Cover): FoundPattern {
  const { blockRows: rows, blockCols: cols } = best.pattern.grid;
  return { layer, op, weight, m, k, block: { rows, cols }, density: best.density };
}

/**
 * A weight as a picture: the part of its matrix A[m, k] that is looked at, in at most as many cells as fit; each says how
 * large its weights are and how many of them survived.
 */
import { type Graph, GrimError, gemmView, inferTypes, patternMask, toReals, weightIndex } from '@grim/ir';
import type { Which } from './messages.ts';
import { sitesOf } from './open.ts';
import { graphOf, networkOf, theSession } from './session.ts';

/** Rows and columns, ends excluded. */
export interface Region {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

export interface HeatAsk {
  /** Position in the list of layers. */
  readonly layer: number;
  readonly which: Which;
  /** Undefined: all of it. */
  readonly region: Region | undefined;
  /** Most cells along each side. */
  readonly cells: number;
}

export interface HeatAnswer {
  readonly m: number;
  readonly k: number;
  readonly region: Region;
  /** Cells, row-major: mean magnitude as a share of the largest (0 to 255), share of weights that are kept (0 to 255). */
  readonly rows: number;
  readonly cols: number;
  readonly magnitude: Uint8Array<ArrayBuffer>;
  readonly kept: Uint8Array<ArrayBuffer>;
  /** What 255 stands for. */
  readonly most: number;
  readonly block: readonly [number, number] | undefined;
  readonly density: number;
}

interface Matrix {
  readonly m: number;
  readonly k: number;
  readonly values: Float32Array;
  readonly mask: Uint8Array | undefined;
  readonly block: readonly [number, number] | undefined;
}

/** The last one, as the same is asked for again while it is zoomed. */
let last: { readonly graph: Graph; readonly layer: number; readonly matrix: Matrix } | undefined;

/** @throws {GrimError} GRIM_DASHBOARD_NO_LAYER, NO_GRAPH, NOT_PRUNED */
export function heat({ layer, which, region, cells }: HeatAsk): HeatAnswer {
  const graph = graphOf(networkOf(theSession(), which));
  if (last?.graph !== graph || last.layer !== layer) last = { graph, layer, matrix: matrixOf(graph, layer) };
  const { m, k, values, mask, block } = last.matrix;
  const view = clip(region ?? { top: 0, left: 0, bottom: m, right: k }, m, k);
  const rows = Math.min(cells, view.bottom - view.top);
  const cols = Math.min(cells, view.right - view.left);
  const sums = new Float64Array(rows * cols);
  const alive = new Float64Array(rows * cols);
  const counts = new Float64Array(rows * cols);
  const column = Int32Array.from({ length: view.right - view.left }, (_, i) =>
    Math.floor((i * cols) / (view.right - view.left)),
  );
  for (let row = view.top; row < view.bottom; row++) {
    const at = Math.floor(((row - view.top) * rows) / (view.bottom - view.top)) * cols;
    for (let col = view.left; col < view.right; col++) {
      const cell = at + (column[col - view.left] as number);
      const value = Math.abs(values[row * k + col] as number);
      (sums[cell] as number) += value;
      (counts[cell] as number)++;
      if (mask ? mask[row * k + col] : value !== 0) (alive[cell] as number)++;
    }
  }
  let most = 0;
  // Of the weights that are left: what was pruned must not darken the rest.
  const means = sums.map((sum, cell) => {
    const mean = sum / Math.max(1, alive[cell] as number);
    most = Math.max(most, mean);
    return mean;
  });
  let nonZero = 0;
  for (const value of values) if (value !== 0) nonZero++;
  return {
    ...{ m, k, region: view, rows, cols, most, block, density: nonZero / (m * k) },
    magnitude: Uint8Array.from(means, (mean) => (most > 0 ? Math.round((255 * mean) / most) : 0)),
    kept: Uint8Array.from(alive, (count, cell) => Math.round((255 * count) / Math.max(1, counts[cell] as number))),
  };
}

function clip({ top, left, bottom, right }: Region, m: number, k: number): Region {
  const between = (value: number, low: number, high: number) => Math.max(low, Math.min(high, Math.round(value) || 0));
  const [t, l] = [between(top, 0, m - 1), between(left, 0, k - 1)];
  return { top: t, left: l, bottom: between(bottom, t + 1, m), right: between(right, l + 1, k) };
}

export function matrixOf(graph: Graph, layer: number): Matrix {
  const site = sitesOf(graph)[layer];
  const node = site && graph.nodes[site.node];
  const weight = node && graph.weights.get(node.inputs[site.input] ?? '');
  const view = node && gemmView(node, site.input, inferTypes(graph));
  if (!weight || !view) throw new GrimError('GRIM_DASHBOARD_NO_LAYER', `There is no layer ${layer}.`);
  const { m, k } = view;
  const reals = toReals(weight);
  const values = new Float32Array(m * k);
  for (let row = 0; row < m; row++)
    for (let col = 0; col < k; col++) values[row * k + col] = reals[weightIndex(view, row, col)] as number;
  const { pattern } = weight;
  return {
    ...{ m, k, values },
    mask: pattern && patternMask(pattern),
    block: pattern && [Math.min(pattern.grid.blockRows, m), Math.min(pattern.grid.blockCols, k)],
  };
}

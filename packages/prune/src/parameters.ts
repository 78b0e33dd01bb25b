/**
 * Parameters of a recurrent layer: read from the graph as one matrix [W, R] with its biases, and put back, either to run
 * the layer or as the update that a state stores.
 */
import { type BcrPattern, type BlockGrid, type Graph, type Node, patternMask, type Weight } from '@grim/ir';
import type { Cell } from './cells.ts';
import { fail } from './errors.ts';
import { freshName, fromBase64, toBase64 } from './update.ts';

/** What to keep of a recurrent layer; a part that is left out stays dense. */
export interface CellTask {
  readonly cell: Cell;
  readonly w?: { readonly density: number; readonly grid: BlockGrid };
  readonly r?: { readonly density: number; readonly grid: BlockGrid };
}

/** JSON: all elements as base64 float32, and the patterns. */
export interface CellUpdate {
  readonly w: Part;
  readonly r: Part;
  readonly b: string;
}

interface Part {
  readonly values: string;
  readonly grid: BlockGrid;
  readonly keptRows: readonly (readonly number[])[];
  readonly keptCols: readonly (readonly number[])[];
}

/** Weights of a cell: W and R side by side, [directions · gates · hidden, inputs + hidden], and what is added. */
export interface Parameters {
  readonly v: Float64Array;
  /** [directions · gates · hidden] each. */
  readonly wb: Float64Array;
  readonly rb: Float64Array;
}

export function parametersOf(graph: Graph, cell: Cell): Parameters {
  const { inputs, hidden, directions, gates, node } = cell;
  const rows = directions * gates * hidden;
  const k = inputs + hidden;
  const [w, r, b] = [1, 2, 3].map((i) => graph.weights.get(node.inputs[i] ?? '')?.data as Float32Array | undefined);
  const v = new Float64Array(rows * k);
  for (let row = 0; row < rows; row++) {
    v.set(w?.subarray(row * inputs, (row + 1) * inputs) ?? [], row * k);
    v.set(r?.subarray(row * hidden, (row + 1) * hidden) ?? [], row * k + inputs);
  }
  const own = gates * hidden;
  const bias = (second: number) =>
    Float64Array.from({ length: rows }, (_, row) => {
      const direction = Math.floor(row / own);
      return b?.[direction * 2 * own + second * own + (row - direction * own)] ?? 0;
    });
  return { v, wb: bias(0), rb: bias(1) };
}

interface Arrays {
  readonly w: Float32Array;
  readonly r: Float32Array;
  readonly b: Float32Array;
}

function arraysOf({ inputs, hidden, directions, gates }: Cell, { v, wb, rb }: Parameters): Arrays {
  const k = inputs + hidden;
  const own = gates * hidden;
  const b = new Float32Array(directions * 2 * own);
  for (let direction = 0; direction < directions; direction++) {
    b.set(wb.subarray(direction * own, (direction + 1) * own), direction * 2 * own);
    b.set(rb.subarray(direction * own, (direction + 1) * own), direction * 2 * own + own);
  }
  return { w: Float32Array.from(slice(v, k, 0, inputs)), r: Float32Array.from(slice(v, k, inputs, hidden)), b };
}

export function withParameters(graph: Graph, cell: Cell, parameters: Parameters): Graph {
  return withArrays(graph, cell, arraysOf(cell, parameters), undefined, undefined);
}

function withArrays(
  graph: Graph,
  cell: Cell,
  { w, r, b }: Arrays,
  wPattern: BcrPattern | undefined,
  rPattern: BcrPattern | undefined,
): Graph {
  const { directions, gates, hidden, node } = cell;
  const weights = new Map(graph.weights);
  const put = (name: string, data: Float32Array, pattern: BcrPattern | undefined) => {
    const { shape } = weights.get(name) as Weight;
    weights.set(name, { dtype: 'float32', shape, data, ...(pattern && { pattern }) });
  };
  put(cell.w.weight, w, wPattern);
  put(cell.r.weight, r, rPattern);
  const name = node.inputs[3] || freshName(graph, `${node.name}_bias`);
  weights.set(name, { dtype: 'float32', shape: [directions, 2 * gates * hidden], data: b });
  const nodes = graph.nodes.map((other, i) =>
    i === cell.index
      ? ({
          ...other,
          inputs: Array.from({ length: Math.max(4, other.inputs.length) }, (_, j) =>
            j === 3 ? name : (other.inputs[j] ?? ''),
          ),
        } as Node)
      : other,
  );
  return { ...graph, weights, nodes };
}

export function updateOf(
  cell: Cell,
  now: Parameters,
  patterns: { readonly w: BcrPattern; readonly r: BcrPattern },
): CellUpdate {
  const { w, r, b } = arraysOf(cell, now);
  const part = (data: Float32Array, { grid, keptRows, keptCols }: BcrPattern): Part => {
    const mask = patternMask({ grid, keptRows, keptCols });
    return {
      values: toBase64(data.map((value, i) => (mask[i] ? value : 0))),
      grid,
      keptRows: keptRows.map((list) => Array.from(list)),
      keptCols: keptCols.map((list) => Array.from(list)),
    };
  };
  return { w: part(w, patterns.w), r: part(r, patterns.r), b: toBase64(b) };
}

/** The graph with the layer's new weights. */
export function applyCell(graph: Graph, task: CellTask, update: CellUpdate): Graph {
  const pattern = ({ grid, keptRows, keptCols }: Part, used: unknown): BcrPattern | undefined =>
    used
      ? {
          grid,
          keptRows: keptRows.map((list) => Uint16Array.from(list)),
          keptCols: keptCols.map((list) => Uint16Array.from(list)),
        }
      : undefined;
  const arrays = { w: fromBase64(update.w.values), r: fromBase64(update.r.values), b: fromBase64(update.b) };
  const { cell } = task;
  if (
    arrays.w.length !== cell.w.m * cell.w.k ||
    arrays.r.length !== cell.r.m * cell.r.k ||
    arrays.b.length !== 2 * cell.r.m
  )
    fail('GRIM_PRUNE_BAD_STATE', `${cell.node.name}: the state's weights have other sizes.`);
  return withArrays(graph, cell, arrays, pattern(update.w, task.w), pattern(update.r, task.r));
}

export function slice(matrix: Float64Array, k: number, first: number, width: number): Float64Array {
  const rows = matrix.length / k;
  const out = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) out.set(matrix.subarray(row * k + first, row * k + first + width), row * width);
  return out;
}

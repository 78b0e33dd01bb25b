/**
 * What folding a node costs, in elements visited, told from types before anything is computed.
 *
 * A small file can ask for any amount of work: a thousand sums over one weight, a detector over its own boxes. So what is
 * folded in a model is bounded by what its weights hold, and an operator whose work grows faster than its inputs and
 * outputs has a row here. An upper bound that is too high only leaves a node in the graph.
 */
import type { Node } from './graph.ts';
import { opSpec } from './ops.ts';
import { isStatic, type TensorType } from './types.ts';

/** Elements that folding a model without weights may visit. */
export const WORK_FLOOR = 4e6;
/** And for each byte of a weight: what a few operators on every weight take, from int8 to float32. */
export const WORK_PER_BYTE = 4;
/** A node that visits no more is always folded: shape arithmetic must vanish, however large the model. */
export const WORK_ALWAYS = 256;

/** Times the elements of inputs and outputs: sorting, interpolation over neighbours. */
const FACTORS: Readonly<Record<string, number>> = { GridSample: 64, Resize: 16, TopK: 32, Unique: 32 };
/** At most all of the input for each element of input or output. */
const QUADRATIC = new Set([
  'AveragePool',
  'DFT',
  'Det',
  'LRN',
  'LpPool',
  'MaxPool',
  'MaxRoiPool',
  'NonMaxSuppression',
  'STFT',
]);
/** Not bounded by their types. */
const UNBOUNDED = new Set(['RoiAlign', 'If', 'Loop', 'Scan']);

/** Infinite when it cannot be told. */
export function foldWork(
  node: Node,
  inputs: readonly (TensorType | undefined)[],
  outputs: readonly TensorType[],
): number {
  if (UNBOUNDED.has(node.op)) return Number.POSITIVE_INFINITY;
  const { dataDependent, macs } = opSpec(node.op);
  const read = inputs.reduce((sum, type) => sum + (type ? elements(type) : 0), 0);
  const written = dataDependent ? read : outputs.reduce((sum, type) => sum + elements(type), 0);
  const multiplied = dataDependent ? 0 : (macs?.(inputs, outputs, node.attributes as never) ?? 0);
  const visited = QUADRATIC.has(node.op) ? read * Math.max(read, written) : read + written;
  return visited * (FACTORS[node.op] ?? 1) + multiplied;
}

function elements({ shape }: TensorType): number {
  return isStatic(shape) ? shape.reduce((product, dim) => product * dim, 1) : Number.POSITIVE_INFINITY;
}

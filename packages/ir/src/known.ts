/**
 * What is known of small integer vectors before a graph runs: the lengths that `Shape` reads, carried through the
 * operators that exporters put between a `Shape` and the `Reshape` it feeds. An entry is a number or a symbolic length.
 */
import type { Node } from './graph.ts';
import { toReal } from './numeric.ts';
import type { Dim, Tensor, TensorType } from './types.ts';

/** Longer vectors are data, not shapes. */
const LONGEST = 64;

/** The elements of a node's input where they are known. */
type KnownLengths = (input: number) => readonly Dim[] | undefined;

/** The elements of a constant integer vector or scalar. */
export function lengthsOfConstant(tensor: Tensor): readonly Dim[] | undefined {
  if (tensor.dtype !== 'int64' && tensor.dtype !== 'int32') return undefined;
  const [length = 1] = tensor.shape;
  if (tensor.shape.length > 1 || length > LONGEST) return undefined;
  return Array.from({ length }, (_, i) => toReal(tensor, i));
}

/** The elements of a node's first output where its inputs tell them, flattened. */
export function knownLengths(
  node: Node,
  types: readonly (TensorType | undefined)[],
  lengths: KnownLengths,
  constant: (input: number) => readonly number[] | undefined,
): readonly Dim[] | undefined {
  const shape = types[0]?.shape;
  switch (node.op) {
    case 'Shape': {
      const { start, end } = node.attributes;
      return shape?.slice(clamp(start, shape.length), end === undefined ? undefined : clamp(end, shape.length));
    }
    case 'Size':
      return shape?.every((dim) => typeof dim === 'number') ? [shape.reduce((n, dim) => n * dim, 1)] : undefined;
    case 'Gather': {
      const data = lengths(0);
      const indices = constant(1);
      if (!data || !indices || shape?.length !== 1 || (types[1]?.shape?.length ?? 2) > 1) return undefined;
      return all(indices.map((index) => data[index < 0 ? index + data.length : index]));
    }
    case 'Slice':
      return shape?.length === 1 ? slice(node.inputs.length, lengths(0), constant) : undefined;
    case 'Concat':
      if (types.some((type) => type?.shape?.length !== 1)) return undefined;
      return all(types.map((_, i) => lengths(i)))?.flat();
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Reshape':
      return lengths(0);
    case 'Cast':
      return node.attributes.to === 'int64' ? lengths(0) : undefined;
    default:
      return undefined;
  }
}

function all<T>(items: readonly (T | undefined)[]): readonly T[] | undefined {
  return items.includes(undefined) || items.length > LONGEST ? undefined : (items as T[]);
}

function clamp(position: number, length: number): number {
  return Math.min(Math.max(position < 0 ? position + length : position, 0), length);
}

function slice(
  inputCount: number,
  data: readonly Dim[] | undefined,
  constant: (input: number) => readonly number[] | undefined,
): readonly Dim[] | undefined {
  const [start] = constant(1) ?? [];
  const [end] = constant(2) ?? [];
  const [step] = inputCount > 4 ? (constant(4) ?? []) : [1];
  if (!data || start === undefined || end === undefined || step !== 1) return undefined;
  return data.slice(clamp(start, data.length), clamp(end, data.length));
}

/**
 * The constant that a `Reshape` to `wanted` can take instead: 0 copies a length that is the input's own at that place,
 * −1 stands for one other that is not known yet. Undefined when these two are not enough.
 */
export function reshapeTarget(wanted: readonly Dim[], input: TensorType | undefined): readonly number[] | undefined {
  const target = wanted.map((dim, axis) => {
    if (typeof dim === 'number') return dim === 0 ? undefined : dim;
    return dim === input?.shape?.[axis] ? 0 : -1;
  });
  if (target.filter((dim) => dim === -1).length > 1) return undefined;
  return all(target);
}

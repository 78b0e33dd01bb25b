/** Operators that put elements in other places: reorder, join, cut, pad, repeat. */
import { int, ints, op, optional, string } from '../op.ts';
import { type Dim, DTYPES, formatShape, type Shape } from '../types.ts';
import {
  integerList,
  needEqual,
  needRank,
  needSingle,
  normalAxes,
  normalAxis,
  openDims,
  type Rule,
  shapeFrom,
} from './axes.ts';
import { broadcastShapes } from './broadcast.ts';

const INDICES = ['int32', 'int64'] as const;

/** Order of axes of `Transpose`: the attribute, or reversed. */
export function transposeOrder(perm: readonly number[] | undefined, rank: number): readonly number[] {
  return perm ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
}

/** Lengths of `count` parts: all ceil(length / count), the last one what is left. */
function equalParts(c: Pick<Rule, 'fail'>, length: number, count: number): readonly number[] {
  const part = Math.ceil(length / count);
  const last = length - part * (count - 1);
  if (last < 0)
    c.fail(`length ${length} in ${count} parts of ${part} leaves ${last} for the last; give fewer parts, or split.`);
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? last : part));
}

/** First index and number of indices that `start:end:step` means on an axis of the given length. */
export function sliceRange(
  length: number,
  start: number,
  end: number,
  step: number,
): readonly [first: number, count: number] {
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const cut = (index: number, least: number) => Math.min(Math.max(index < 0 ? index + length : index, least), high);
  // Backward, an end before the first element is -1, which no index can say.
  const [first, last] = [cut(start, Math.max(low, 0)), cut(end, low)];
  return [first, Math.max(Math.ceil((last - first) / step), 0)];
}

/** Elements to add before and after each axis; negative ones are taken away. */
export function padAmounts(
  rank: number,
  pads: readonly number[],
  axes: readonly number[],
): { readonly before: readonly number[]; readonly after: readonly number[] } {
  const before = new Array<number>(rank).fill(0);
  const after = new Array<number>(rank).fill(0);
  axes.forEach((axis, i) => {
    before[axis] = pads[i] ?? 0;
    after[axis] = pads[i + axes.length] ?? 0;
  });
  return { before, after };
}

function padded(c: Rule, mode: string): Shape | null {
  const shape = c.shape(0);
  const pads = integerList(c, 1, 'pads');
  if (c.has(2)) needSingle(c, c.shape(2), 'constant_value');
  const given = c.has(3) ? integerList(c, 3, 'axes').values : undefined;
  if (!shape) return null;
  const rank = shape.length;
  const axes = given ? normalAxes(c, given, rank) : c.has(3) ? undefined : Array.from(shape.keys());
  if (axes && pads.length !== undefined && pads.length !== 2 * axes.length)
    c.fail(`pads has ${pads.length} entries; 2 × ${axes.length}, a begin and an end for each axis, are needed.`);
  if (!axes || !pads.values) return openDims(c, rank);
  const { before, after } = padAmounts(rank, pads.values, axes);
  return shape.map((dim, axis): Dim => {
    const [first = 0, last = 0] = [before[axis], after[axis]];
    if (first === 0 && last === 0) return dim;
    if (typeof dim === 'string') return c.unknown();
    const kept = dim + Math.min(first, 0) + Math.min(last, 0);
    if (kept < 0) c.fail(`pads ${first} and ${last} take more than the ${dim} elements of axis ${axis} away.`);
    if (kept === 0 && mode !== 'constant' && (first > 0 || last > 0))
      c.fail(
        `axis ${axis} has nothing left that mode ${mode} could repeat (length ${dim}, pads ${first} and ${last}).`,
      );
    return dim + first + last;
  });
}

function sliced(c: Rule): Shape | null {
  const shape = c.shape(0);
  const names = ['data', 'starts', 'ends', 'axes', 'steps'];
  const lists = names.map((name, i) => (i > 0 && c.has(i) ? integerList(c, i, name) : undefined));
  const [, starts, ends, axesList, steps] = lists;
  lists.forEach((list, i) => {
    needEqual(c, starts?.length, list?.length, `starts and ${names[i]} have different numbers of entries`);
  });
  const stepValues = steps ? steps.values : [];
  if (stepValues?.includes(0)) c.fail('steps has a 0; a step must be positive or negative.');
  if (!shape) return null;
  const count = starts?.values?.length ?? starts?.length;
  if (!axesList && count !== undefined && count > shape.length)
    c.fail(`starts has ${count} entries; the input ${formatShape(shape)} has ${shape.length} axes.`);
  const given = axesList
    ? axesList.values
    : count === undefined
      ? undefined
      : Array.from({ length: count }, (_, i) => i);
  if (!given) return openDims(c, shape.length);
  const axes = normalAxes(c, given, shape.length);
  return shape.map((dim, axis): Dim => {
    const i = axes.indexOf(axis);
    if (i < 0) return dim;
    if (!starts?.values || !ends?.values || !stepValues) return c.unknown();
    const [start = 0, end = 0, step = 1] = [starts.values[i], ends.values[i], stepValues[i]];
    if (typeof dim === 'number') return sliceRange(dim, start, end, step)[1];
    // Everything of an axis, as exporters write it: no length reaches 2^31 - 1.
    return start === 0 && step === 1 && end >= c.limits.dim ? dim : c.unknown();
  });
}

function divided(c: Pick<Rule, 'fail' | 'unknown'>, dim: Dim, by: number, what: string): Dim {
  if (by === 1) return dim;
  if (typeof dim === 'string') return c.unknown();
  if (dim % by !== 0) c.fail(`${what} is ${dim}; a multiple of ${by} is needed.`);
  return dim / by;
}

function times(c: Pick<Rule, 'unknown'>, dim: Dim, by: number): Dim {
  if (by === 1) return dim;
  return by === 0 ? 0 : typeof dim === 'string' ? c.unknown() : dim * by;
}

export const rearrangeOps = {
  Transpose: op({
    since: 25,
    inputs: ['data: T'],
    outputs: ['transposed: T'],
    types: { T: DTYPES },
    attributes: { perm: optional(ints()) },
    infer: (c) => {
      const shape = c.shape(0);
      const { perm } = c.attributes;
      const isOrder = (rank: number) =>
        perm?.length === rank && new Set(perm).size === rank && perm.every((axis) => axis >= 0 && axis < rank);
      if (perm && !isOrder(shape?.length ?? perm.length))
        c.fail(
          `perm [${perm.join(', ')}] does not name every axis of ${formatShape(shape)} once.`,
          'GRIM_IR_BAD_ATTRIBUTE',
        );
      if (!shape) return [perm ? openDims(c, perm.length) : null];
      return [transposeOrder(perm, shape.length).map((axis) => shape[axis] as Dim)];
    },
  }),

  Concat: op({
    since: 13,
    inputs: ['inputs...: T'],
    outputs: ['concat_result: T'],
    types: { T: DTYPES },
    attributes: { axis: int() },
    infer: (c) => {
      const shapes = Array.from({ length: c.inputCount }, (_, i) => c.shape(i));
      const ranked = shapes.find((shape) => shape !== null);
      if (!ranked) return [null];
      const axis = normalAxis(c, c.attributes.axis, ranked.length);
      const result: Dim[] = [...ranked];
      let total: Dim = 0;
      shapes.forEach((shape, i) => {
        if (!shape) {
          total = c.unknown();
          return;
        }
        if (shape.length !== ranked.length)
          c.fail(`input ${i} is ${formatShape(shape)}, another ${formatShape(ranked)}; ranks must be equal.`);
        shape.forEach((dim, d) => {
          if (d === axis) return;
          needEqual(c, dim, result[d], `input ${i} is ${formatShape(shape)}, axis ${d} of another`);
          if (typeof dim === 'number') result[d] = dim;
        });
        const length = shape[axis] as Dim;
        if (shapes.length === 1) total = length;
        else total = typeof total === 'number' && typeof length === 'number' ? total + length : c.unknown();
      });
      result[axis] = total;
      return [result];
    },
  }),

  Split: op({
    since: 18,
    inputs: ['input: T', 'split?: int64'],
    outputs: ['outputs...: T'],
    types: { T: DTYPES },
    attributes: { axis: int(0), num_outputs: optional(int(undefined, { min: 1 })) },
    infer: (c) => {
      const shape = c.shape(0);
      const { num_outputs: wanted } = c.attributes;
      const list = c.has(1) ? integerList(c, 1, 'split') : undefined;
      if (list && wanted !== undefined)
        c.fail('has both split and num_outputs; one of the two is needed.', 'GRIM_IR_BAD_ATTRIBUTE');
      // With neither, as many equal parts as there are outputs: what opset 13 says.
      const count = list ? (list.values?.length ?? list.length ?? c.outputCount) : (wanted ?? c.outputCount);
      if (count < c.outputCount || count > c.limits.valuesPerNode)
        c.fail(`gives ${count} parts and has ${c.outputCount} outputs; as many parts as outputs are needed.`);
      if (!shape) return Array.from({ length: count }, () => null);
      const axis = normalAxis(c, c.attributes.axis, shape.length);
      const length = shape[axis] as Dim;
      const parts = list ? list.values : typeof length === 'number' ? equalParts(c, length, count) : undefined;
      if (list && parts) {
        const total = parts.reduce((sum, part) => sum + part, 0);
        if (parts.some((part) => part < 0) || (typeof length === 'number' && total !== length))
          c.fail(
            `split [${parts.join(', ')}] adds up to ${total}; lengths of 0 or more that add up to ${length} are needed.`,
          );
      }
      return Array.from({ length: count }, (_, i) =>
        shape.map((dim, d) => (d === axis ? (parts?.[i] ?? c.unknown()) : dim)),
      );
    },
  }),

  Slice: op({
    since: 13,
    inputs: ['data: T', 'starts: Tind', 'ends: Tind', 'axes?: Tind', 'steps?: Tind'],
    outputs: ['output: T'],
    types: { T: DTYPES, Tind: INDICES },
    attributes: {},
    infer: (c) => [sliced(c)],
  }),

  Pad: op({
    since: 25,
    inputs: ['data: T', 'pads: int64', 'constant_value?: T', 'axes?: Tind'],
    outputs: ['output: T'],
    types: { T: DTYPES, Tind: INDICES },
    attributes: { mode: string(['constant', 'reflect', 'edge', 'wrap'], 'constant') },
    infer: (c) => [padded(c, c.attributes.mode)],
  }),

  Expand: op({
    since: 13,
    inputs: ['input: T', 'shape: int64'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: {},
    infer: (c) => [broadcastShapes(c, [c.shape(0), shapeFrom(c, 1, 'shape')])],
  }),

  Tile: op({
    since: 13,
    inputs: ['input: T', 'repeats: int64'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: {},
    infer: (c) => {
      const shape = c.shape(0);
      const { values, length } = integerList(c, 1, 'repeats');
      if (!shape) return [length === undefined ? null : openDims(c, length)];
      needEqual(c, length, shape.length, 'number of repeats and rank of input');
      if (values?.some((value) => value < 0)) c.fail(`repeats [${values.join(', ')}]: 0 or more are needed.`);
      return [shape.map((dim, axis) => (values ? times(c, dim, values[axis] ?? 1) : c.unknown()))];
    },
  }),

  DepthToSpace: op({
    since: 13,
    inputs: ['input: T'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: { blocksize: int(undefined, { min: 1, max: 2 ** 31 - 1 }), mode: string(['DCR', 'CRD'], 'DCR') },
    infer: (c) => {
      const shape = c.shape(0);
      needRank(c, shape, 'input', 4, 4);
      const { blocksize: b } = c.attributes;
      if (!shape) return [openDims(c, 4)];
      const [n, channels, h, w] = shape as [Dim, Dim, Dim, Dim];
      return [[n, divided(c, channels, b * b, 'the number of channels'), times(c, h, b), times(c, w, b)]];
    },
  }),

  SpaceToDepth: op({
    since: 13,
    inputs: ['input: T'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: { blocksize: int(undefined, { min: 1, max: 2 ** 31 - 1 }) },
    infer: (c) => {
      const shape = c.shape(0);
      needRank(c, shape, 'input', 4, 4);
      const { blocksize: b } = c.attributes;
      if (!shape) return [openDims(c, 4)];
      const [n, channels, h, w] = shape as [Dim, Dim, Dim, Dim];
      return [[n, times(c, channels, b * b), divided(c, h, b, 'the height'), divided(c, w, b, 'the width')]];
    },
  }),

  ReverseSequence: op({
    since: 10,
    inputs: ['input: T', 'sequence_lens: int64'],
    outputs: ['Y: T'],
    types: { T: DTYPES },
    attributes: { time_axis: int(0, { min: 0, max: 1 }), batch_axis: int(1, { min: 0, max: 1 }) },
    infer: (c) => {
      const shape = c.shape(0);
      const { time_axis: time, batch_axis: batch } = c.attributes;
      if (time === batch)
        c.fail(`time_axis and batch_axis are both ${time}; one is 0, the other 1.`, 'GRIM_IR_BAD_ATTRIBUTE');
      needRank(c, shape, 'input', 2);
      needRank(c, c.shape(1), 'sequence_lens', 1, 1);
      needEqual(c, c.shape(1)?.[0], shape?.[batch], 'number of sequence_lens and of batches');
      const longest = shape?.[time];
      for (const length of c.integers(1) ?? [])
        if (length < 0 || (typeof longest === 'number' && length > longest))
          c.fail(`sequence_lens has ${length}; the time axis has length ${longest}.`, 'GRIM_IR_BAD_VALUE');
      return [shape];
    },
  }),

  CenterCropPad: op({
    since: 18,
    inputs: ['input_data: T', 'shape: Tind'],
    outputs: ['output_data: T'],
    types: { T: DTYPES, Tind: INDICES },
    attributes: { axes: optional(ints()) },
    infer: (c) => {
      const shape = c.shape(0);
      const target = shapeFrom(c, 1, 'shape');
      if (!shape) return [c.attributes.axes ? null : target];
      const axes = normalAxes(c, c.attributes.axes ?? Array.from(shape.keys()), shape.length);
      needEqual(c, target?.length, axes.length, 'number of entries of shape and of axes');
      return [
        shape.map((dim, axis) => {
          const i = axes.indexOf(axis);
          return i < 0 ? dim : (target?.[i] ?? c.unknown());
        }),
      ];
    },
  }),
};

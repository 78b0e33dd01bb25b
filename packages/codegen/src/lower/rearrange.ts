/** Operators that put elements in other places. Each is a few strided copies; parts of a value are views. */
import { invariant, type Tensor } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import { reshape, sizeOf, slice, transpose, view } from '../map/placement.ts';
import type { Placement } from '../program.ts';

/** Indices along an axis as pieces of constant step: 0 1 2 5 5 5 → 0‥2 by 1, 5 three times. */
export interface Run {
  readonly first: number;
  readonly step: number;
  readonly count: number;
}

export function runsOf(indices: readonly number[]): readonly Run[] {
  const runs: { first: number; step: number; count: number }[] = [];
  for (const index of indices) {
    const last = runs.at(-1);
    if (last?.count === 1) {
      // The second of a run fixes the step.
      last.step = index - last.first;
      last.count = 2;
    } else if (last && index === last.first + last.step * last.count) last.count++;
    else runs.push({ first: index, step: 1, count: 1 });
  }
  return runs;
}

/** Copies into `to` the elements of `from` that the runs of every axis name. */
export function copyRuns(c: LowerContext, from: Placement, to: Placement, runs: readonly (readonly Run[])[]): void {
  const walk = (axis: number, source: Placement, target: Placement): void => {
    const own = runs[axis];
    if (!own) {
      c.copy(source, target);
      return;
    }
    let at = 0;
    for (const { first, step, count } of own) {
      const zeros = source.shape.map(() => 0);
      const part = slice(
        source,
        zeros.with(axis, first),
        source.shape.with(axis, count),
        source.shape.map(() => 1).with(axis, step),
      );
      walk(axis + 1, part, slice(target, zeros.with(axis, at), target.shape.with(axis, count)));
      at += count;
    }
  };
  walk(0, from, to);
}

/** An axis negative ones of which count from the end. */
export function axisOf(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** A constant list of integers; an absent input gives undefined. */
export function integersOf(c: LowerContext, name: string | undefined): readonly number[] | undefined {
  if (!name) return undefined;
  const tensor = c.constant(name);
  if (!tensor) return c.unsupported(`${name} is computed when the model runs`, 'a constant');
  // Past 2^53 only "everything" is meant.
  return Array.from(tensor.data as BigInt64Array, Number);
}

/** Copies the middle of `from` into the middle of `to` and fills the rest of `to`. */
function place(
  c: LowerContext,
  from: Placement,
  to: Placement,
  source: readonly number[],
  target: readonly number[],
  lengths: readonly number[],
  fill: Tensor,
): void {
  const starts = to.shape.map(() => 0);
  let shape = [...to.shape];
  to.shape.forEach((dim, axis) => {
    const [first, length] = [target[axis] ?? 0, lengths[axis] ?? 0];
    c.fill(slice(to, starts, shape.with(axis, first)), fill);
    const behind = slice(to, starts.with(axis, first + length), shape.with(axis, dim - first - length));
    c.fill(behind, fill);
    starts[axis] = first;
    shape = shape.with(axis, length);
  });
  c.copy(slice(from, source, lengths), slice(to, target, lengths));
}

function zero(dtype: Tensor['dtype']): Tensor {
  // All bits 0, in as many bytes as the widest element has.
  return { dtype, shape: [], data: new Uint8Array(8) } as unknown as Tensor;
}

/** The index that each place of a padded axis shows. Reflection does not repeat the edge; over one element it stays. */
function paddedIndices(mode: string, kept: number, before: number, after: number): readonly number[] {
  const period = Math.max(2 * (kept - 1), 1);
  const modulo = (a: number, b: number) => ((a % b) + b) % b;
  return Array.from({ length: before + kept + after }, (_, i) => {
    const index = i - before;
    if (mode === 'edge') return Math.min(Math.max(index, 0), kept - 1);
    if (mode === 'wrap') return modulo(index, kept);
    const phase = modulo(index, period);
    return phase < kept ? phase : period - phase;
  });
}

/** First index of a slice: see the operator's definition on clamping. */
function sliceStart(length: number, start: number, step: number): number {
  const index = start < 0 ? start + length : start;
  return Math.min(Math.max(index, 0), step > 0 ? length : length - 1);
}

/** Reads `from` as `split`, in the order of `axes`, and writes that to the output. */
function regroup(
  c: LowerContext,
  input: string,
  output: string,
  split: readonly number[],
  axes: readonly number[],
): void {
  const source = reshape(c.read(input), split) ?? reshape(c.contiguous(input), split);
  invariant(source, 'row-major elements take any shape');
  const moved = transpose(source, axes);
  const to = c.write(output);
  const target = reshape(to, moved.shape);
  invariant(target, 'an axis of any spacing can be split');
  c.copy(moved, target);
}

export const rearrangeLowerings: Lowerings = {
  CenterCropPad: {
    lower: (node, c) => {
      const from = c.read(node.inputs[0] ?? '');
      const to = c.write(node.outputs[0] ?? '');
      const surplus = from.shape.map((dim, axis) => dim - (to.shape[axis] ?? 0));
      const source = surplus.map((extra) => Math.floor(Math.max(extra, 0) / 2));
      const target = surplus.map((extra) => Math.floor(Math.max(-extra, 0) / 2));
      const lengths = from.shape.map((dim, axis) => Math.min(dim, to.shape[axis] ?? 0));
      place(c, from, to, source, target, lengths, zero(from.dtype));
    },
  },
  Concat: {
    lower: (node, c) => {
      const [output = ''] = node.outputs;
      const to = c.write(output);
      const axis = axisOf(node.attributes.axis, to.shape.length);
      let at = 0;
      for (const input of node.inputs) {
        const { shape } = c.type(input);
        c.store(c.operand(input, shape), slice(to, to.shape.map(() => 0).with(axis, at), shape));
        at += shape[axis] ?? 0;
      }
    },
  },
  DepthToSpace: {
    lower: (node, c) => {
      const [input = ''] = node.inputs;
      const { blocksize: b, mode } = node.attributes;
      const [n = 0, channels = 0, h = 0, w = 0] = c.type(input).shape;
      const depth = channels / (b * b);
      const [split, axes] =
        mode === 'DCR'
          ? [
              [n, b, b, depth, h, w],
              [0, 3, 4, 1, 5, 2],
            ]
          : [
              [n, depth, b, b, h, w],
              [0, 1, 4, 2, 5, 3],
            ];
      regroup(c, input, node.outputs[0] ?? '', split, axes);
    },
  },
  Pad: {
    lower: (node, c) => {
      const [input = '', , value] = node.inputs;
      const pads = integersOf(c, node.inputs[1]) ?? [];
      const from = c.read(input);
      const rank = from.shape.length;
      const axes = integersOf(c, node.inputs[3])?.map((axis) => axisOf(axis, rank)) ?? Array.from(from.shape.keys());
      const before = new Array<number>(rank).fill(0);
      const after = new Array<number>(rank).fill(0);
      axes.forEach((axis, i) => {
        before[axis] = pads[i] ?? 0;
        after[axis] = pads[i + axes.length] ?? 0;
      });
      // Negative amounts cut first.
      const source = before.map((amount) => Math.max(-amount, 0));
      const lengths = from.shape.map((dim, i) => dim + Math.min(before[i] ?? 0, 0) + Math.min(after[i] ?? 0, 0));
      const target = before.map((amount) => Math.max(amount, 0));
      const { mode } = node.attributes;
      const to = c.write(node.outputs[0] ?? '');
      if (mode !== 'constant') {
        const cut = slice(from, source, lengths);
        const runs = lengths.map((kept, i) =>
          runsOf(paddedIndices(mode, kept, target[i] ?? 0, Math.max(after[i] ?? 0, 0))),
        );
        copyRuns(c, cut, to, runs);
        return;
      }
      const fill = value ? c.constant(value) : zero(from.dtype);
      if (fill) place(c, from, to, source, target, lengths, fill);
      else {
        // Filled throughout, then written over: the value is known only when the model runs.
        c.copy(view(c.read(value ?? ''), { shape: [], strides: [] }), to);
        c.copy(slice(from, source, lengths), slice(to, target, lengths));
      }
    },
  },
  ReverseSequence: {
    lower: (node, c) => {
      const from = c.read(node.inputs[0] ?? '');
      const lengths = integersOf(c, node.inputs[1]) ?? [];
      const { time_axis: time, batch_axis: batch } = node.attributes;
      const to = c.write(node.outputs[0] ?? '');
      const total = from.shape[time] ?? 0;
      lengths.forEach((length, b) => {
        const zeros = from.shape.map(() => 0);
        const ones = from.shape.map(() => 1);
        const one = (of: Placement) => slice(of, zeros.with(batch, b), from.shape.with(batch, 1));
        const reversed = slice(
          one(from),
          zeros.with(time, length - 1),
          one(from).shape.with(time, length),
          ones.with(time, -1),
        );
        c.copy(reversed, slice(one(to), zeros, one(to).shape.with(time, length)));
        const rest = one(from).shape.with(time, total - length);
        c.copy(slice(one(from), zeros.with(time, length), rest), slice(one(to), zeros.with(time, length), rest));
      });
    },
  },
  Slice: {
    lower: (node, c) => {
      const from = c.read(node.inputs[0] ?? '');
      const rank = from.shape.length;
      const starts = integersOf(c, node.inputs[1]) ?? [];
      const axes = integersOf(c, node.inputs[3])?.map((axis) => axisOf(axis, rank)) ?? Array.from(starts.keys());
      const steps = integersOf(c, node.inputs[4]) ?? [];
      const [output = ''] = node.outputs;
      const { shape } = c.type(output);
      const first = from.shape.map(() => 0);
      const by = from.shape.map(() => 1);
      axes.forEach((axis, i) => {
        by[axis] = steps[i] ?? 1;
        first[axis] = sliceStart(from.shape[axis] ?? 0, starts[i] ?? 0, by[axis] ?? 1);
      });
      c.view(
        output,
        sizeOf(shape) === 0
          ? slice(
              from,
              first.map(() => 0),
              shape,
            )
          : slice(from, first, shape, by),
      );
    },
  },
  SpaceToDepth: {
    lower: (node, c) => {
      const [input = ''] = node.inputs;
      const { blocksize: b } = node.attributes;
      const [n = 0, channels = 0, h = 0, w = 0] = c.type(input).shape;
      regroup(c, input, node.outputs[0] ?? '', [n, channels, h / b, b, w / b, b], [0, 3, 5, 1, 2, 4]);
    },
  },
  Split: {
    lower: (node, c) => {
      const from = c.read(node.inputs[0] ?? '');
      const axis = axisOf(node.attributes.axis, from.shape.length);
      const parts = integersOf(c, node.inputs[1]);
      const count = parts?.length ?? node.attributes.num_outputs ?? node.outputs.length;
      const equal = Math.ceil((from.shape[axis] ?? 0) / count);
      let at = 0;
      node.outputs.forEach((output, i) => {
        if (output !== '') c.view(output, slice(from, from.shape.map(() => 0).with(axis, at), c.type(output).shape));
        at += parts?.[i] ?? equal;
      });
    },
  },
  Tile: {
    lower: (node, c) => {
      const [input = ''] = node.inputs;
      const [output = ''] = node.outputs;
      const from = c.read(input);
      const to = c.write(output);
      // Every axis becomes two, the repeats and the axis itself.
      const shape = from.shape.flatMap((dim, axis) => [dim === 0 ? 0 : (to.shape[axis] ?? 0) / dim, dim]);
      if (sizeOf(to.shape) === 0) return;
      const target = reshape(to, shape);
      invariant(target, 'an axis of any spacing can be split');
      c.copy(view(from, { shape, strides: from.strides.flatMap((stride) => [0, stride]) }), target);
    },
  },
};

/**
 * `Resize`: one pass for each axis that changes. Nearest neighbours are copies — of repeated elements where the factor is
 * a whole number — and interpolation is a table of weighted sums per axis.
 */
import { bytesPerElement, invariant, type NodeOf, toReals } from '@grim/ir';
import { addResample } from '../kernels/resample.ts';
import type { LowerContext, Lowerings } from '../lower.ts';
import { dense, reshape, sizeOf, slice, view } from '../map/placement.ts';
import type { Kernel, Placement } from '../program.ts';
import { resampleTwin } from '../wgsl/resample.ts';
import { gatherKernel } from './gather.ts';
import { axisOf, copyRuns, type Run, runsOf } from './rearrange.ts';
import { coordinatesOf, nearestIndex, type ResizeAxis, tapsOf } from './resize-axis.ts';

/** More pieces than this are one kernel with a table. */
const MOST_PIECES = 16;

/** A list that must be known; undefined when it is absent or empty, which mean the same. */
function listOf(c: LowerContext, name: string | undefined, what: string): readonly number[] | undefined {
  if (!name || c.type(name).shape[0] === 0) return undefined;
  const tensor = c.constant(name);
  if (!tensor) return c.unsupported(`${what} that are computed when the model runs`, 'constants');
  return Array.from(toReals(tensor));
}

function axesOf(node: NodeOf<'Resize'>, c: LowerContext): readonly ResizeAxis[] {
  const [x = '', roiName, scalesName, sizesName] = node.inputs;
  const [y = ''] = node.outputs;
  const { attributes: a } = node;
  const { shape } = c.type(x);
  const lengths = c.type(y).shape;
  const chosen = a.axes?.map((axis) => axisOf(axis, shape.length)) ?? Array.from(shape.keys());
  const crops = a.coordinate_transformation_mode === 'tf_crop_and_resize';
  const roi = crops ? listOf(c, roiName, 'regions') : undefined;
  const scales = listOf(c, scalesName, 'scales');
  const sizes = scales ? undefined : (listOf(c, sizesName, 'sizes') ?? []);
  const ratios = chosen.map((axis, i) => (shape[axis] === 0 ? 1 : (sizes?.[i] ?? 0) / (shape[axis] ?? 1)));
  const { keep_aspect_ratio_policy: policy } = a;
  const common = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
  return shape.map((from, axis) => {
    const i = chosen.indexOf(axis);
    const ratio = scales?.[i] ?? (policy === 'stretch' ? (ratios[i] ?? 1) : common);
    const region = [roi?.[i] ?? 0, roi?.[i + chosen.length] ?? 1] as const;
    return { from, to: lengths[axis] ?? 0, scale: i < 0 ? 1 : ratio, roi: i < 0 ? [0, 1] : region };
  });
}

/** Passes over single axes, the shrinking ones first; each is given the axis, its input and where its output goes. */
function eachAxis(
  c: LowerContext,
  from: Placement,
  to: Placement,
  changes: readonly number[],
  pass: (axis: number, source: Placement, target: Placement) => void,
): void {
  const growth = (axis: number) => (to.shape[axis] ?? 1) / (from.shape[axis] ?? 1);
  const order = changes.toSorted((a, b) => growth(a) - growth(b));
  let source = from;
  order.forEach((axis, i) => {
    const shape = source.shape.with(axis, to.shape[axis] ?? 0);
    const last = i === order.length - 1;
    const bytes = sizeOf(shape) * bytesPerElement(from.dtype);
    const target = last ? to : dense(c.scratch(bytes), from.dtype, shape);
    pass(axis, source, target);
    source = target;
  });
  if (order.length === 0) c.copy(from, to);
}

function nearest(c: LowerContext, x: string, to: Placement, indices: readonly (readonly number[])[]): void {
  const from = c.read(x);
  const factors = indices.map((list, axis) => {
    const factor = list.length / (from.shape[axis] ?? 1);
    return list.every((index, i) => index === Math.floor(i / factor)) ? factor : 0;
  });
  if (factors.every((factor) => Number.isInteger(factor) && factor > 0)) {
    // Every axis becomes one over the input and one that repeats its elements.
    const split = from.shape.flatMap((dim, axis) => [dim, factors[axis] ?? 1]);
    const target = reshape(to, split);
    invariant(target, 'an axis of any spacing can be split');
    c.copy(view(from, { shape: split, strides: from.strides.flatMap((stride) => [stride, 0]) }), target);
    return;
  }
  const runs: readonly (readonly Run[])[] = indices.map(runsOf);
  if (runs.reduce((pieces, list) => pieces * list.length, 1) <= MOST_PIECES) {
    copyRuns(c, from, to, runs);
    return;
  }
  const changes = Array.from(indices.keys()).filter(
    (axis) => indices[axis]?.length !== from.shape[axis] || indices[axis]?.some((index, i) => index !== i),
  );
  eachAxis(c, c.contiguous(x), to, changes, (axis, source, target) => {
    const table = c.data(Int32Array.from(indices[axis] ?? []));
    const [length = 1, bytes] = [source.shape[axis], bytesPerElement(source.dtype)];
    const outer = sizeOf(source.shape.slice(0, axis));
    const count = target.shape[axis] ?? 0;
    c.call(
      gatherKernel(false),
      target,
      source,
      table,
      outer,
      length,
      count,
      bytes * sizeOf(source.shape.slice(axis + 1)),
    );
  });
}

function interpolate(
  node: NodeOf<'Resize'>,
  c: LowerContext,
  to: Placement,
  axes: readonly ResizeAxis[],
  coordinates: readonly (readonly number[])[],
): void {
  const from = c.contiguous(node.inputs[0] ?? '');
  const taps = axes.map((axis, i) => (coordinates[i] ?? []).map((x) => tapsOf(x, axis, node.attributes)));
  const changes = Array.from(axes.keys()).filter((i) => {
    const same = taps[i]?.every((list, x) => list.length === 1 && list[0]?.[0] === x && list[0][1] === 1);
    return axes[i]?.from !== axes[i]?.to || !same;
  });
  const kernel: Kernel = {
    name: 'f32_resample',
    emit: (module, _family, exported) => addResample(module, exported),
  };
  eachAxis(c, from, to, changes, (axis, source, target) => {
    const inner = sizeOf(source.shape.slice(axis + 1));
    const lists = taps[axis] ?? [];
    const words = new DataView(new ArrayBuffer(lists.reduce((bytes, list) => bytes + 4 + 8 * list.length, 0)));
    let at = 0;
    const starts: number[] = [];
    for (const list of lists) {
      starts.push(at / 4);
      words.setInt32(at, list.length, true);
      at += 4;
      for (const [index, share] of list) {
        words.setInt32(at, 4 * index * inner, true);
        words.setFloat32(at + 4, share, true);
        at += 8;
      }
    }
    const table = c.data(new Uint8Array(words.buffer));
    const outer = sizeOf(source.shape.slice(0, axis));
    const onGpu = c.gpu ? { twin: resampleTwin, tables: [c.data(Int32Array.from(starts))] } : undefined;
    c.call(
      { ...kernel, ...onGpu },
      target,
      source,
      table,
      outer,
      4 * (source.shape[axis] ?? 1) * inner,
      lists.length,
      inner,
    );
  });
}

function lowerResize(node: NodeOf<'Resize'>, c: LowerContext): void {
  const [x = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const { attributes: a } = node;
  const { dtype, shape } = c.type(x);
  const crops = a.coordinate_transformation_mode === 'tf_crop_and_resize';
  if (dtype !== 'float32' && (a.mode !== 'nearest' || crops)) c.unsupported(`${a.mode} of ${dtype}`, 'float32');
  const axes = axesOf(node, c);
  const to = c.writeContiguous(y);
  if (sizeOf(to.shape) === 0 || sizeOf(shape) === 0) return;
  const coordinates = axes.map((axis) => coordinatesOf(axis, a));
  if (a.mode === 'nearest') {
    const indices = axes.map((axis, i) => (coordinates[i] ?? []).map((at) => nearestIndex(at, axis, a.nearest_mode)));
    nearest(c, x, to, indices);
  } else interpolate(node, c, to, axes, coordinates);
  if (!crops) return;
  const value = { dtype: 'float32', shape: [], data: Float32Array.of(a.extrapolation_value) } as const;
  const zeros = to.shape.map(() => 0);
  axes.forEach(({ from }, axis) => {
    const outside = Array.from((coordinates[axis] ?? []).entries()).filter(([, at]) => at < 0 || at > from - 1);
    for (const { first, step, count } of runsOf(outside.map(([i]) => i)))
      c.fill(
        slice(to, zeros.with(axis, first), to.shape.with(axis, count), to.shape.map(() => 1).with(axis, step)),
        value,
      );
  });
}

export const resizeLowerings: Lowerings = { Resize: { lower: lowerResize } };

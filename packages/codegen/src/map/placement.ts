/** Arithmetic of placements: strides, views, broadcasting, zero borders. */
import { bytesPerElement, type DType, invariant } from '@grim/ir';
import type { Address, Buffer, Padding, Placement } from '../program.ts';

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Row-major: of [2, 3, 4] it is [12, 4, 1]. */
export function rowMajor(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--)
    strides[axis] = (strides[axis + 1] ?? 1) * (shape[axis + 1] ?? 1);
  return strides;
}

/** True when the elements lie one after the other, in order. Strides of axes of length 1 do not matter. */
export function isRowMajor({ shape, strides }: Pick<Placement, 'shape' | 'strides'>): boolean {
  if (sizeOf(shape) <= 1) return true;
  const wanted = rowMajor(shape);
  return shape.every((dim, axis) => dim === 1 || strides[axis] === wanted[axis]);
}

/** A row-major placement at the start of `at`. */
export function dense(at: Address, dtype: DType, shape: readonly number[]): Placement {
  return { buffer: at.buffer, offset: at.offset, dtype, shape, strides: rowMajor(shape) };
}

/** Strides of `from` as seen from the longer or equal shape `to`: 0 where it repeats. */
export function broadcastStrides(from: Pick<Placement, 'shape' | 'strides'>, to: readonly number[]): number[] {
  const missing = to.length - from.shape.length;
  invariant(missing >= 0, `rank ${from.shape.length} does not broadcast to rank ${to.length}`);
  return to.map((dim, axis) => {
    const own = from.shape[axis - missing] ?? 1;
    invariant(
      axis < missing || own === 1 || own === dim,
      `[${from.shape.join()}] does not broadcast to [${to.join()}]`,
    );
    return axis < missing || own === 1 ? 0 : (from.strides[axis - missing] ?? 0);
  });
}

export function broadcastTo(from: Placement, shape: readonly number[]): Placement {
  return view(from, { shape, strides: broadcastStrides(from, shape) });
}

/** The part of each axis that begins at `starts`, with `shape` elements, `steps` apart. */
export function slice(
  from: Placement,
  starts: readonly number[],
  shape: readonly number[],
  steps: readonly number[] = shape.map(() => 1),
): Placement {
  const first = starts.reduce((sum, start, axis) => sum + start * (from.strides[axis] ?? 0), 0);
  return view(from, {
    offset: from.offset + first * bytesPerElement(from.dtype),
    shape,
    strides: from.strides.map((stride, axis) => stride * (steps[axis] ?? 1)),
  });
}

export function transpose(from: Placement, order: readonly number[]): Placement {
  return view(from, {
    shape: order.map((axis) => from.shape[axis] ?? 1),
    strides: order.map((axis) => from.strides[axis] ?? 0),
  });
}

/** Other strides over the same bytes; what was known of zeros around the value is forgotten. */
export function view(
  from: Placement,
  change: { readonly offset?: number; readonly shape: readonly number[]; readonly strides: readonly number[] },
): Placement {
  const { buffer, offset, dtype } = from;
  return { buffer, offset: change.offset ?? offset, dtype, shape: change.shape, strides: change.strides };
}

/**
 * The same elements in the same order under another shape, if strides can say so.
 * @returns undefined when a copy is needed
 */
export function reshape(from: Placement, shape: readonly number[]): Placement | undefined {
  invariant(sizeOf(shape) === sizeOf(from.shape), `[${from.shape.join()}] reshaped to [${shape.join()}]`);
  if (isRowMajor(from)) return view(from, { shape, strides: rowMajor(shape) });
  // Both shapes are cut into the shortest groups of axes of equal size; each group must be evenly spaced in `from`.
  const strides = new Array<number>(shape.length).fill(0);
  const old = from.shape.map((dim, axis) => ({ dim, stride: from.strides[axis] ?? 0 })).filter(({ dim }) => dim !== 1);
  let source = 0;
  let target = 0;
  while (target < shape.length) {
    if (shape[target] === 1) {
      target++;
      continue;
    }
    const begin = target;
    const group = [old[source++]];
    let have = group[0]?.dim ?? 1;
    let want = shape[target++] ?? 1;
    while (have !== want) {
      if (have < want) {
        const next = old[source++];
        const last = group.at(-1);
        if (!next || !last || last.stride !== next.stride * next.dim) return undefined;
        group.push(next);
        have *= next.dim;
      } else {
        if (target >= shape.length) return undefined;
        want *= shape[target++] ?? 1;
      }
    }
    let stride = group.at(-1)?.stride ?? 0;
    for (let axis = target - 1; axis >= begin; axis--) {
      strides[axis] = stride;
      stride *= shape[axis] ?? 1;
    }
  }
  return view(from, { shape, strides });
}

/** True when a plane can be walked as one run of elements, whatever stands between its rows: innermost stride 1, rows apart. */
export function isInRows({ shape, strides }: Pick<Placement, 'shape' | 'strides'>): boolean {
  if (isRowMajor({ shape, strides })) return true;
  let least = 1;
  for (let axis = shape.length - 1; axis >= 2; axis--) {
    const stride = strides[axis] ?? 0;
    if (axis === shape.length - 1 ? stride !== 1 : stride < least) return false;
    least = stride * (shape[axis] ?? 1);
  }
  return shape.length > 2;
}

/** Rows with a gap behind each, planes rounded up to whole tiles of 8. */
export function gappedStrides(shape: readonly number[], gap: number): readonly number[] {
  const strides = rowMajor(shape.map((dim, axis) => (axis === shape.length - 1 ? dim + gap : dim)));
  const plane = 8 * Math.ceil((strides[1] ?? 1) / 8);
  return [plane * (shape[1] ?? 1), plane, ...strides.slice(2)];
}

/** Vector loads may run over the end of a value by this many bytes. */
export const SLACK = 64;

/** How a value with zeros around it lies in a buffer of its own. */
export interface PaddedLayout {
  readonly strides: readonly number[];
  /** Element [0, 0, …], in elements from the start. */
  readonly origin: number;
  readonly elements: number;
}

/**
 * Planes with zero rows before and after, and between neighbouring rows one run of zeros that ends the one and begins
 * the other (`kernels.md`, implicit convolution).
 */
export function paddedLayout(shape: readonly number[], { before, after }: Padding): PaddedLayout {
  const rank = shape.length;
  const spatial = rank - 2;
  invariant(spatial > 0 && before.length === spatial, `padding of ${before.length} axes for rank ${rank}`);
  const strides = new Array<number>(rank).fill(1);
  let extent = 1;
  // A row that nothing precedes still needs its zeros in front.
  const lead = 16 * Math.ceil((before.at(-1) ?? 0) / 16);
  let origin = lead;
  for (let i = spatial - 1; i >= 0; i--) {
    const [first, last] = [before[i] ?? 0, after[i] ?? 0];
    const inner = i === spatial - 1;
    strides[2 + i] = extent;
    if (!inner) origin += first * extent;
    extent *= (shape[2 + i] ?? 1) + (inner ? Math.max(first, last) : first + last);
  }
  strides[1] = extent;
  strides[0] = extent * (shape[1] ?? 1);
  return { strides, origin, elements: lead + extent * (shape[0] ?? 1) * (shape[1] ?? 1) };
}

export function paddedIn(buffer: Buffer, dtype: DType, shape: readonly number[], padding: Padding): Placement {
  const { strides, origin } = paddedLayout(shape, padding);
  return { buffer, offset: origin * bytesPerElement(dtype), dtype, shape, strides, padding };
}

/** The boxes of zeros of a padded placement: they cover all that `padding` promises, and no element of the value. */
export function borders(of: Placement): readonly Placement[] {
  const { shape, strides, padding } = of;
  if (!padding) return [];
  const { before, after } = padding;
  const spatial = shape.length - 2;
  const bytes = bytesPerElement(of.dtype);
  const boxes: Placement[] = [];
  const gap = Math.max(before.at(-1) ?? 0, after.at(-1) ?? 0);
  const lead = before.at(-1) ?? 0;
  // All axes with their own borders, the innermost with the gap behind it: the whole of a plane.
  const starts = shape.map((_, axis) => (axis < 2 || axis === shape.length - 1 ? 0 : -(before[axis - 2] ?? 0)));
  const lengths = shape.map((dim, axis) => {
    if (axis < 2) return dim;
    return axis === shape.length - 1 ? dim + gap : dim + (before[axis - 2] ?? 0) + (after[axis - 2] ?? 0);
  });
  const box = (from: readonly number[], to: readonly number[]) => {
    if (to.every((length) => length > 0)) boxes.push(slice(of, from, to));
  };
  for (let i = 0; i < spatial; i++) {
    const axis = 2 + i;
    const inner = i === spatial - 1;
    const length = shape[axis] ?? 1;
    if (!inner) box(starts, lengths.with(axis, before[i] ?? 0));
    box(starts.with(axis, length), lengths.with(axis, inner ? gap : (after[i] ?? 0)));
    // The next axes need not repeat what this one covered.
    starts[axis] = 0;
    lengths[axis] = length;
  }
  if (lead > 0) {
    const first = starts.map((_, axis) => (axis < 2 || axis === shape.length - 1 ? 0 : -(before[axis - 2] ?? 0)));
    const origin = first.reduce((sum, start, axis) => sum + start * (strides[axis] ?? 0), 0);
    boxes.push(view(of, { offset: of.offset + (origin - lead) * bytes, shape: [lead], strides: [1] }));
  }
  return boxes;
}

/** True when `have` promises all the zeros that `want` asks for. */
export function covers(have: Padding | undefined, want: Padding): boolean {
  const none = (list: readonly number[]) => list.every((n) => n === 0);
  if (!have) return none(want.before) && none(want.after);
  return (
    want.before.every((n, i) => n <= (have.before[i] ?? 0)) && want.after.every((n, i) => n <= (have.after[i] ?? 0))
  );
}

/** Enough for both. */
export function unionOf(a: Padding, b: Padding): Padding {
  return {
    before: a.before.map((n, i) => Math.max(n, b.before[i] ?? 0)),
    after: a.after.map((n, i) => Math.max(n, b.after[i] ?? 0)),
  };
}

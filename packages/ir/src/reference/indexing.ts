/** Row-major index arithmetic shared by the kernels, and moving elements without changing a bit of them. */
import { allocate, type DType, type Tensor, type TensorArray } from '../types.ts';

/** Elements between neighbours along each axis, row-major: of [2, 3, 4] it is [12, 4, 1]. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides: number[] = new Array(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--)
    strides[axis] = (strides[axis + 1] ?? 1) * (shape[axis + 1] ?? 1);
  return strides;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/**
 * For each element of `shape`, row-major, the index that `strides` (one per axis, 0 to repeat) and `start` give.
 * The one loop behind transposes, slices and broadcasts.
 */
export function gatherIndices(shape: readonly number[], strides: readonly number[], start = 0): Float64Array {
  const size = sizeOf(shape);
  const indices = new Float64Array(size);
  const position = new Array<number>(shape.length).fill(0);
  let index = start;
  for (let e = 0; e < size; e++) {
    indices[e] = index;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const next = (position[axis] ?? 0) + 1;
      index += strides[axis] ?? 0;
      if (next < (shape[axis] ?? 1)) {
        position[axis] = next;
        break;
      }
      index -= next * (strides[axis] ?? 0);
      position[axis] = 0;
    }
  }
  return indices;
}

/** For each element of the broadcast shape `to`, the index into a row-major tensor of shape `from`. */
export function broadcastIndices(from: readonly number[], to: readonly number[]): Float64Array {
  const own = stridesOf(from);
  const offset = to.length - from.length;
  const strides = to.map((_, axis) => (axis < offset || from[axis - offset] === 1 ? 0 : (own[axis - offset] ?? 0)));
  return gatherIndices(to, strides);
}

/**
 * The elements as unsigned integers of their width, to be moved: reading a float32 as a number may change a NaN's bits.
 * 64-bit elements are bigints behind this type, which moving does not notice; nothing may compute with them.
 */
export function bitsOf(data: TensorArray): Uint32Array {
  const { buffer, byteOffset, length } = data;
  const Bits = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array }[data.BYTES_PER_ELEMENT as 1];
  return new Bits(buffer as ArrayBuffer, byteOffset, length) as unknown as Uint32Array;
}

/** A tensor of the given type with all bits zero, and its elements as {@link bitsOf}. */
export function blank(dtype: DType, shape: readonly number[]): { readonly tensor: Tensor; readonly bits: Uint32Array } {
  const data = allocate(dtype, sizeOf(shape));
  return { tensor: { dtype, shape, data } as Tensor, bits: bitsOf(data) };
}

/** Where a walk over elements begins, and how far apart the neighbours along each axis are (0 repeats, negative reverses). */
interface Walk {
  readonly start: number;
  readonly strides: readonly number[];
}

/** Copies a box of elements: for every position in `shape`, from where `source` says to where `target` says. */
export function copyBox(
  shape: readonly number[],
  from: Uint32Array,
  source: Walk,
  to: Uint32Array,
  target: Walk,
): void {
  if (sizeOf(shape) === 0) return;
  const last = shape.length - 1;
  const inner = shape[last] ?? 1;
  const [step, stride] = [source.strides[last] ?? 0, target.strides[last] ?? 0];
  const position = new Array<number>(shape.length).fill(0);
  let [read, write] = [source.start, target.start];
  for (;;) {
    for (let i = 0; i < inner; i++) to[write + i * stride] = from[read + i * step] as number;
    let axis = last - 1;
    for (; axis >= 0; axis--) {
      const next = (position[axis] ?? 0) + 1;
      read += source.strides[axis] ?? 0;
      write += target.strides[axis] ?? 0;
      if (next < (shape[axis] ?? 1)) {
        position[axis] = next;
        break;
      }
      read -= next * (source.strides[axis] ?? 0);
      write -= next * (target.strides[axis] ?? 0);
      position[axis] = 0;
    }
    if (axis < 0) return;
  }
}

/** The elements that a walk over `shape` meets, row-major, as a tensor of shape `as`. */
export function take(value: Tensor, shape: readonly number[], walk: Walk, as: readonly number[] = shape): Tensor {
  const { tensor, bits } = blank(value.dtype, as);
  copyBox(shape, bitsOf(value.data), walk, bits, { start: 0, strides: stridesOf(shape) });
  return tensor;
}

/** The value with axis `i` of the result being axis `order[i]` of the value. */
export function transpose(value: Tensor, order: readonly number[]): Tensor {
  const strides = stridesOf(value.shape);
  const shape = order.map((axis) => value.shape[axis] ?? 1);
  return take(value, shape, { start: 0, strides: order.map((axis) => strides[axis] ?? 1) });
}

/** The tensor whose element at [i, j, …] is the value's at [places[0][i], places[1][j], …]. */
export function takeGrid(value: Tensor, places: readonly ArrayLike<number>[]): Tensor {
  const shape = places.map((list) => list.length);
  const { tensor, bits } = blank(value.dtype, shape);
  const from = bitsOf(value.data);
  const strides = stridesOf(value.shape);
  let write = 0;
  const walk = (axis: number, start: number): void => {
    const list = places[axis];
    if (!list) {
      bits[write++] = from[start] as number;
      return;
    }
    const stride = strides[axis] ?? 1;
    for (let i = 0; i < list.length; i++) walk(axis + 1, start + (list[i] ?? 0) * stride);
  };
  if (bits.length > 0) walk(0, 0);
  return tensor;
}

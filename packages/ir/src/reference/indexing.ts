/** Row-major index arithmetic shared by the kernels. */

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

/** Kernels of the operators in `ops/gather.ts`. The rules have checked every index. */
import { fromReals, toReals } from '../numeric.ts';
import type { gatherOps } from '../ops/gather.ts';
import { INTEGER_DTYPES, isBig, type Tensor } from '../types.ts';
import { bitsOf, blank, copyBox, gatherIndices, sizeOf, stridesOf, take } from './indexing.ts';
import type { Kernels } from './kernel.ts';
import { selectKernels } from './select.ts';

const fromFront = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** The values of an index tensor, negative ones counted from the end of an axis of the given length. */
function places(indices: Tensor, length: number): Float64Array {
  return Float64Array.from(indices.data as ArrayLike<unknown> as ArrayLike<number>, (index) =>
    fromFront(Number(index), length),
  );
}

/** Where in `data` each entry of `indices` points, the axis by its value and the others by its own position. */
function elementPlaces(data: Tensor, indices: Tensor, axis: number): Float64Array {
  const strides = stridesOf(data.shape);
  const stride = strides[axis] ?? 1;
  const at = gatherIndices(indices.shape, strides.with(axis, 0));
  places(indices, data.shape[axis] ?? 0).forEach((index, e) => {
    at[e] = (at[e] ?? 0) + index * stride;
  });
  return at;
}

/** Where in `data` the slice of each index tuple begins, counted after the batch axes, and how many elements it has. */
function tuplePlaces(
  data: Tensor,
  indices: Tensor,
  batch: number,
): { readonly starts: Float64Array; readonly size: number } {
  const length = indices.shape.at(-1) ?? 0;
  const strides = stridesOf(data.shape);
  const starts = new Float64Array(sizeOf(indices.shape.slice(0, -1)));
  for (let tuple = 0; tuple < starts.length; tuple++) {
    let start = 0;
    for (let i = 0; i < length; i++) {
      const index = fromFront(Number(indices.data[tuple * length + i]), data.shape[batch + i] ?? 0);
      start += index * (strides[batch + i] ?? 1);
    }
    starts[tuple] = start;
  }
  return { starts, size: sizeOf(data.shape.slice(batch + length)) };
}

type Reduction = 'none' | 'add' | 'mul' | 'max' | 'min';

const REAL: Record<Exclude<Reduction, 'none'>, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  max: Math.max,
  min: Math.min,
};
const BIG: Record<Exclude<Reduction, 'none'>, (a: bigint, b: bigint) => bigint> = {
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  // biome-ignore lint/complexity/useMathMinMax: Math.max takes no bigint.
  max: (a, b) => (a > b ? a : b),
  // biome-ignore lint/complexity/useMathMinMax: Math.min takes no bigint.
  min: (a, b) => (a < b ? a : b),
};

/**
 * A copy of `data` with update e combined into element `at(e)`, in order. Floats are combined in float64 and rounded
 * once; elements that no update goes to keep their bits.
 */
function scatter(data: Tensor, updates: Tensor, reduction: Reduction, at: (e: number) => number): Tensor {
  const { dtype, shape } = data;
  const { tensor, bits } = blank(dtype, shape);
  bits.set(bitsOf(data.data));
  const count = updates.data.length;
  if (reduction === 'none') {
    const from = bitsOf(updates.data);
    for (let e = 0; e < count; e++) bits[at(e)] = from[e] as number;
  } else if (INTEGER_DTYPES.includes(dtype)) {
    const [to, from, combine] = [tensor.data, updates.data, BIG[reduction]];
    for (let e = 0; e < count; e++) {
      const combined = combine(BigInt(to[at(e)] ?? 0), BigInt(from[e] ?? 0));
      // The store wraps modulo 2^bits.
      to[at(e)] = isBig(dtype) ? combined : Number(BigInt.asIntN(32, combined));
    }
  } else {
    const [sums, from, combine] = [Float64Array.from(toReals(data)), toReals(updates), REAL[reduction]];
    for (let e = 0; e < count; e++) sums[at(e)] = combine(sums[at(e)] ?? 0, from[e] ?? 0);
    const rounded = bitsOf(fromReals(dtype, shape, sums).data);
    for (let e = 0; e < count; e++) bits[at(e)] = rounded[at(e)] as number;
  }
  return tensor;
}

export const gatherKernels: Kernels<keyof typeof gatherOps> = {
  ...selectKernels,

  Gather: (c) => {
    const [data, indices] = [c.input(0), c.input(1)];
    const axis = fromFront(c.attributes.axis, data.shape.length);
    const length = data.shape[axis] ?? 0;
    const inner = sizeOf(data.shape.slice(axis + 1));
    const outer = sizeOf(data.shape.slice(0, axis));
    const { dtype, shape } = c.outputs[0] as Tensor;
    const { tensor, bits } = blank(dtype, shape);
    const from = bitsOf(data.data);
    const at = places(indices, length);
    let write = 0;
    for (let block = 0; block < outer && bits.length > 0; block++)
      for (let e = 0; e < at.length; e++) {
        const start = (block * length + (at[e] ?? 0)) * inner;
        for (let i = 0; i < inner; i++) bits[write++] = from[start + i] as number;
      }
    return [tensor];
  },

  GatherElements: (c) => {
    const [data, indices] = [c.input(0), c.input(1)];
    const at = elementPlaces(data, indices, fromFront(c.attributes.axis, data.shape.length));
    const { tensor, bits } = blank(data.dtype, indices.shape);
    const from = bitsOf(data.data);
    for (let e = 0; e < bits.length; e++) bits[e] = from[at[e] ?? 0] as number;
    return [tensor];
  },

  GatherND: (c) => {
    const [data, indices] = [c.input(0), c.input(1)];
    const batch = c.attributes.batch_dims;
    const { starts, size } = tuplePlaces(data, indices, batch);
    const { tensor, bits } = blank(data.dtype, (c.outputs[0] as Tensor).shape);
    const from = bitsOf(data.data);
    const tuplesPerBatch = sizeOf(indices.shape.slice(batch, -1));
    const batchSize = sizeOf(data.shape.slice(batch));
    for (let tuple = 0; tuple < starts.length && bits.length > 0; tuple++) {
      const start = Math.floor(tuple / tuplesPerBatch) * batchSize + (starts[tuple] ?? 0);
      for (let i = 0; i < size; i++) bits[tuple * size + i] = from[start + i] as number;
    }
    return [tensor];
  },

  ScatterElements: (c) => {
    const [data, indices] = [c.input(0), c.input(1)];
    const at = elementPlaces(data, indices, fromFront(c.attributes.axis, data.shape.length));
    return [scatter(data, c.input(2), c.attributes.reduction, (e) => at[e] ?? 0)];
  },

  ScatterND: (c) => {
    const data = c.input(0);
    const { starts, size } = tuplePlaces(data, c.input(1), 0);
    const at = (e: number) => (starts[Math.floor(e / size)] ?? 0) + (e % size);
    return [scatter(data, c.input(2), c.attributes.reduction, at)];
  },

  TensorScatter: (c) => {
    const [cache, update] = [c.input(0), c.input(1)];
    const axis = fromFront(c.attributes.axis, cache.shape.length);
    const [most, count] = [cache.shape[axis] ?? 0, update.shape[axis] ?? 0];
    const [to, from] = [stridesOf(cache.shape), stridesOf(update.shape)];
    const result = take(cache, cache.shape, { start: 0, strides: to });
    const row = update.shape.with(0, 1).with(axis, 1);
    for (let batch = 0; batch < (cache.shape[0] ?? 0); batch++) {
      const first = c.inputs[2] ? Number(c.inputs[2].data[batch]) : 0;
      for (let i = 0; i < count; i++) {
        // Linear writes stay below the length, so the remainder changes nothing there.
        const target = (first + i) % most;
        const source = { start: batch * (from[0] ?? 1) + i * (from[axis] ?? 1), strides: from };
        const start = batch * (to[0] ?? 1) + target * (to[axis] ?? 1);
        copyBox(row, bitsOf(update.data), source, bitsOf(result.data), { start, strides: to });
      }
    }
    return [result];
  },
};

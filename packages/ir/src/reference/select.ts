/** Kernels of the operators in `ops/select.ts`. */
import { toReal, toReals } from '../numeric.ts';
import type { selectOps } from '../ops/select.ts';
import { isBig, type Tensor } from '../types.ts';
import { bitsOf, blank, sizeOf, takeGrid, transpose } from './indexing.ts';
import type { Kernels } from './kernel.ts';

const int64List = (values: readonly number[]): Tensor => ({
  dtype: 'int64',
  shape: [values.length],
  data: BigInt64Array.from(values, BigInt),
});

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** Order of two runs of `size` elements, by the first pair that differs; NaN comes last and equals NaN. */
function comparison(value: Tensor, size: number): (a: number, b: number) => number {
  // Numbers and bigints compare alike; 64-bit integers must not be rounded.
  const data = (isBig(value.dtype) ? value.data : toReals(value)) as ArrayLike<number>;
  return (a, b) => {
    for (let i = 0; i < size; i++) {
      const [x, y] = [data[a * size + i] as number, data[b * size + i] as number];
      if (x < y) return -1;
      if (x > y) return 1;
      const [xIsNaN, yIsNaN] = [Number.isNaN(x), Number.isNaN(y)];
      if (xIsNaN !== yIsNaN) return xIsNaN ? 1 : -1;
    }
    return 0;
  };
}

export const selectKernels: Kernels<keyof typeof selectOps> = {
  OneHot: (c) => {
    const [indices, values] = [c.input(0), c.input(2)];
    const { dtype, shape } = c.outputs[0] as Tensor;
    const depth = Math.trunc(toReal(c.input(1), 0));
    const [off, on] = bitsOf(values.data) as ArrayLike<number> as [number, number];
    const { tensor, bits } = blank(dtype, shape);
    bits.fill(off);
    const axis = c.attributes.axis < 0 ? c.attributes.axis + shape.length : c.attributes.axis;
    const inner = sizeOf(shape.slice(axis + 1));
    for (let e = 0; e < indices.data.length; e++) {
      const index = Math.trunc(toReal(indices, e));
      // Outside -depth … depth - 1, and NaN: off everywhere.
      if (!(index >= -depth && index < depth)) continue;
      const hot = index < 0 ? index + depth : index;
      bits[(Math.floor(e / inner) * depth + hot) * inner + (e % inner)] = on;
    }
    return [tensor];
  },

  NonZero: (c) => {
    const value = c.input(0);
    const found: number[] = [];
    for (let e = 0; e < value.data.length; e++) if (toReal(value, e) !== 0) found.push(e);
    const { shape } = value;
    const data = new BigInt64Array(shape.length * found.length);
    let inner = value.data.length;
    shape.forEach((length, axis) => {
      inner /= length;
      found.forEach((e, i) => {
        data[axis * found.length + i] = BigInt(Math.floor(e / inner) % length);
      });
    });
    return [{ dtype: 'int64', shape: [shape.length, found.length], data }];
  },

  Compress: (c) => {
    const input = c.input(0);
    const flat = c.attributes.axis === undefined;
    const value = flat ? { ...input, shape: [input.data.length] } : input;
    const axis = ((c.attributes.axis ?? 0) + value.shape.length) % value.shape.length;
    const kept = Array.from(c.input(1).data.keys()).filter((i) => c.input(1).data[i] === 1);
    return [
      takeGrid(
        value,
        value.shape.map((length, d) => (d === axis ? kept : range(length))),
      ),
    ];
  },

  Unique: (c) => {
    const input = c.input(0);
    const flat = c.attributes.axis === undefined;
    const value = flat ? { ...input, shape: [input.data.length] } : input;
    const rank = value.shape.length;
    const axis = ((c.attributes.axis ?? 0) + rank) % rank;
    const others = range(rank).filter((d) => d !== axis);
    const compare = comparison(transpose(value, [axis, ...others]), sizeOf(others.map((d) => value.shape[d] ?? 1)));
    // The sort is stable: of equal slices the first one stands first.
    const order = range(value.shape[axis] ?? 0).sort(compare);
    const groups: number[][] = [];
    for (const slice of order) {
      const group = groups.at(-1);
      if (group && compare(group[0] ?? 0, slice) === 0) group.push(slice);
      else groups.push([slice]);
    }
    if (!c.attributes.sorted) groups.sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0));
    const first = groups.map((group) => group[0] ?? 0);
    const inverse = new Array<number>(order.length).fill(0);
    groups.forEach((group, g) => {
      for (const slice of group) inverse[slice] = g;
    });
    return [
      takeGrid(
        value,
        value.shape.map((length, d) => (d === axis ? first : range(length))),
      ),
      int64List(first),
      int64List(inverse),
      int64List(groups.map((group) => group.length)),
    ];
  },
};

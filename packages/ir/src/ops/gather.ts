/** Operators that read or write at places that another input names. */
import { int, op, string } from '../op.ts';
import { type Dim, DTYPES, formatShape, type Shape } from '../types.ts';
import { checkIndices, needEqual, needRank, normalAxis, type Rule } from './axes.ts';
import { selectOps } from './select.ts';

const INDICES = ['int32', 'int64'] as const;
const REDUCTIONS = ['none', 'add', 'mul', 'max', 'min'] as const;

/** Indices of the same rank as data, none of its other axes longer: of `GatherElements` and `ScatterElements`. */
function elementIndices(c: Rule, axis: number): void {
  const [data, indices] = [c.shape(0), c.shape(1)];
  needRank(c, data, 'data', 1);
  if (!data) return;
  const along = normalAxis(c, axis, data.length);
  checkIndices(c, c.constant(1), data[along]);
  if (!indices) return;
  const longer = (dim: Dim, i: number) => {
    const whole = data[i];
    return i !== along && typeof dim === 'number' && typeof whole === 'number' && dim > whole;
  };
  if (indices.length !== data.length || indices.some(longer))
    c.fail(
      `indices has shape ${formatShape(indices)}, data ${formatShape(data)}; equal ranks are needed, and no axis but ${along} longer than in data.`,
    );
}

/** Index tuples into data after its first `batch` axes: how long a tuple is. Values are checked where they are known. */
function tupleLength(c: Rule, batch: number): number | undefined {
  const [data, indices] = [c.shape(0), c.shape(1)];
  needRank(c, data, 'data', 1);
  needRank(c, indices, 'indices', 1);
  const length = indices?.at(-1);
  if (!data || typeof length !== 'number') return undefined;
  if (length < 1 || length > data.length - batch)
    c.fail(
      `the last axis of indices ${formatShape(indices)} has length ${length}; 1 to ${data.length - batch}, the axes of data ${formatShape(data)} after ${batch} batch axes, are needed.`,
    );
  const values = c.constant(1)?.data;
  for (let i = 0; values && i < values.length; i++) {
    const dim = data[batch + (i % length)];
    const index = Number(values[i]);
    if (typeof dim === 'number' && (index < -dim || index >= dim))
      c.fail(
        `indices has ${values[i]} in place ${i} for axis ${batch + (i % length)} of length ${dim}; ${-dim} to ${dim - 1} are needed.`,
        'GRIM_IR_BAD_VALUE',
      );
  }
  return length;
}

function sameShape(c: Rule, a: Shape | null, b: Shape | null, what: string): void {
  if (!a || !b) return;
  needEqual(c, a.length, b.length, `rank of ${what}`);
  a.forEach((dim, i) => {
    needEqual(c, dim, b[i], `axis ${i} of ${what}, ${formatShape(a)} and ${formatShape(b)}`);
  });
}

export const gatherOps = {
  ...selectOps,

  Gather: op({
    since: 13,
    inputs: ['data: T', 'indices: Tind'],
    outputs: ['output: T'],
    types: { T: DTYPES, Tind: INDICES },
    attributes: { axis: int(0) },
    infer: (c) => {
      const [data, indices] = [c.shape(0), c.shape(1)];
      needRank(c, data, 'data', 1);
      if (!data) return [null];
      const axis = normalAxis(c, c.attributes.axis, data.length);
      checkIndices(c, c.constant(1), data[axis]);
      return [indices && [...data.slice(0, axis), ...indices, ...data.slice(axis + 1)]];
    },
  }),

  GatherElements: op({
    since: 13,
    inputs: ['data: T', 'indices: Tind'],
    outputs: ['output: T'],
    types: { T: DTYPES, Tind: INDICES },
    attributes: { axis: int(0) },
    infer: (c) => {
      elementIndices(c, c.attributes.axis);
      return [c.shape(1)];
    },
  }),

  GatherND: op({
    since: 13,
    inputs: ['data: T', 'indices: int64'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: { batch_dims: int(0, { min: 0 }) },
    infer: (c) => {
      const [data, indices] = [c.shape(0), c.shape(1)];
      const { batch_dims: batch } = c.attributes;
      for (const [name, shape] of Object.entries({ data, indices }))
        if (shape && batch >= shape.length)
          c.fail(`batch_dims is ${batch}; ${name} ${formatShape(shape)} needs more axes than that.`);
      const length = tupleLength(c, batch);
      if (!data || !indices || length === undefined) return [null];
      sameShape(c, data.slice(0, batch), indices.slice(0, batch), 'the batches of data and indices');
      return [[...indices.slice(0, -1), ...data.slice(batch + length)]];
    },
  }),

  ScatterElements: op({
    since: 18,
    inputs: ['data: T', 'indices: Tind', 'updates: T'],
    outputs: ['output: T'],
    types: { T: DTYPES, Tind: INDICES },
    attributes: { axis: int(0), reduction: string(REDUCTIONS, 'none') },
    infer: (c) => {
      elementIndices(c, c.attributes.axis);
      sameShape(c, c.shape(1), c.shape(2), 'indices and updates');
      return [c.shape(0)];
    },
  }),

  ScatterND: op({
    since: 18,
    inputs: ['data: T', 'indices: int64', 'updates: T'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: { reduction: string(REDUCTIONS, 'none') },
    infer: (c) => {
      const [data, indices] = [c.shape(0), c.shape(1)];
      const length = tupleLength(c, 0);
      if (data && indices && length !== undefined)
        sameShape(c, c.shape(2), [...indices.slice(0, -1), ...data.slice(length)], 'updates and the places it goes to');
      return [data];
    },
  }),

  TensorScatter: op({
    since: 24,
    inputs: ['past_cache: T', 'update: T', 'write_indices?: int64'],
    outputs: ['present_cache: T'],
    types: { T: DTYPES },
    attributes: { axis: int(-2), mode: string(['linear', 'circular'], 'linear') },
    infer: (c) => {
      const [cache, update] = [c.shape(0), c.shape(1)];
      if (!cache) return [null];
      const axis = normalAxis(c, c.attributes.axis, cache.length);
      if (axis === 0) c.fail('axis is 0, the batch axis; another one is needed.', 'GRIM_IR_BAD_ATTRIBUTE');
      if (update) {
        needEqual(c, cache.length, update.length, 'ranks of past_cache and update');
        sameShape(c, cache.with(axis, 0), update.with(axis, 0), 'past_cache and update');
      }
      const [most, count] = [cache[axis], update?.[axis]];
      if (typeof most !== 'number' || typeof count !== 'number') return [cache];
      if (count > most) c.fail(`update has length ${count} along axis ${axis}; past_cache only has ${most}.`);
      if (!c.has(2)) return [cache];
      needRank(c, c.shape(2), 'write_indices', 1, 1);
      needEqual(c, c.shape(2)?.[0], cache[0], 'number of write_indices and of batches');
      const last = c.attributes.mode === 'linear' ? most - count : Infinity;
      for (const index of c.integers(2) ?? [])
        if (index < 0 || index > last)
          c.fail(
            `write_indices has ${index}; 0 to ${last} are needed (past_cache ${most}, update ${count}).`,
            'GRIM_IR_BAD_VALUE',
          );
      return [cache];
    },
  }),
};

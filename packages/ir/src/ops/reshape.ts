/** Operators that read a shape, or keep the elements where they are and only change it. */
import { flag, int, op, optional } from '../op.ts';
import { type Dim, DTYPES, formatShape, type Shape } from '../types.ts';
import { integerList, knownSize, normalAxes, normalAxis, openDims, productOf, type Rule } from './axes.ts';

/** The axes that `Shape` gives: `start` to `end`, negative from the back, then cut to the rank. */
export function shapeRange(
  rank: number,
  start: number,
  end: number | undefined,
): readonly [first: number, end: number] {
  const cut = (axis: number) => Math.min(Math.max(axis < 0 ? axis + rank : axis, 0), rank);
  const first = cut(start);
  return [first, Math.max(cut(end ?? rank), first)];
}

/** The length that -1 stands for, `to` being the other lengths; names that stand on both sides cancel. */
function inferredLength(c: Rule, from: Shape, to: readonly Dim[]): Dim {
  const left: Dim[] = [...from];
  const known: Dim[] = [];
  for (const dim of to) {
    const same = typeof dim === 'string' ? left.indexOf(dim) : -1;
    if (same >= 0) left.splice(same, 1);
    else known.push(dim);
  }
  const size = knownSize(known);
  if (size === undefined) return c.unknown();
  if (size === 0)
    return c.fail(`shape [${to.join(', ')}, -1]: the length of -1 is not determined, the other lengths multiply to 0.`);
  const names = left.filter((dim) => typeof dim === 'string');
  const total = left.reduce<number>((product, dim) => (typeof dim === 'number' ? product * dim : product), 1);
  // N · 12 elements in rows of 12 are N rows; N · 12 in rows of 6 have no name yet.
  if (names.length > 0) return names.length === 1 && total === size ? (names[0] as string) : c.unknown();
  if (total % size !== 0)
    c.fail(
      `${formatShape(from)} has ${total} elements; that is no multiple of ${size}, the product of the other lengths.`,
    );
  return total / size;
}

function reshaped(c: Rule, allowzero: boolean): Shape | null {
  const from = c.shape(0);
  const { values, length } = integerList(c, 1, 'shape');
  if (!values) return length === undefined ? null : openDims(c, length);
  openDims(c, values.length);
  const text = `shape [${values.join(', ')}]`;
  if (values.filter((value) => value === -1).length > 1)
    c.fail(`${text} has more than one -1; at most one is inferred.`);
  if (allowzero && values.includes(0) && values.includes(-1))
    c.fail(`${text} has both 0 and -1; with allowzero = 1 the length of -1 is not determined.`);
  const dims = values.map((value, i): Dim => {
    if (value < -1) return c.fail(`${text} has ${value} in place ${i}; -1 or more is needed.`);
    if (value !== 0 || allowzero) return value;
    if (!from) return c.unknown();
    return (
      from[i] ??
      c.fail(`${text} has 0 in place ${i} (copy that length); the input ${formatShape(from)} has none there.`)
    );
  });
  const inferred = values.indexOf(-1);
  if (inferred >= 0) {
    const others = dims.filter((_, i) => i !== inferred);
    dims[inferred] = from ? inferredLength(c, from, others) : c.unknown();
    return dims;
  }
  const [before, after] = [knownSize(from), knownSize(dims)];
  if (before !== undefined && after !== undefined && before !== after)
    c.fail(`${text} has ${after} elements; the input ${formatShape(from)} has ${before}. Both must be equal.`);
  return dims;
}

export const reshapeOps = {
  Shape: op({
    since: 25,
    inputs: ['data: T'],
    outputs: ['shape: int64'],
    types: { T: DTYPES },
    attributes: { start: int(0), end: optional(int()) },
    infer: (c) => {
      const rank = c.shape(0)?.length;
      if (rank === undefined) return [[c.unknown()]];
      const [first, end] = shapeRange(rank, c.attributes.start, c.attributes.end);
      return [[end - first]];
    },
  }),

  Size: op({
    since: 25,
    inputs: ['data: T'],
    outputs: ['size: int64'],
    types: { T: DTYPES },
    attributes: {},
    infer: () => [[]],
  }),

  Reshape: op({
    since: 25,
    inputs: ['data: T', 'shape: int64'],
    outputs: ['reshaped: T'],
    types: { T: DTYPES },
    attributes: { allowzero: flag(0) },
    infer: (c) => [reshaped(c, c.attributes.allowzero === 1)],
  }),

  Squeeze: op({
    since: 25,
    inputs: ['data: T', 'axes?: int64'],
    outputs: ['squeezed: T'],
    types: { T: DTYPES },
    attributes: {},
    infer: (c) => {
      const shape = c.shape(0);
      if (!shape) return [null];
      if (!c.has(1)) {
        // A length that is not known may turn out to be 1: then not even the rank is known.
        return [shape.every((dim) => typeof dim === 'number') ? shape.filter((dim) => dim !== 1) : null];
      }
      const { values, length } = integerList(c, 1, 'axes');
      if (!values) {
        if (length === undefined) return [null];
        if (length > shape.length)
          c.fail(`axes has ${length} entries; the input ${formatShape(shape)} has fewer axes.`);
        return [openDims(c, shape.length - length)];
      }
      const axes = normalAxes(c, values, shape.length);
      for (const axis of axes)
        if (typeof shape[axis] === 'number' && shape[axis] !== 1)
          c.fail(`axis ${axis} of ${formatShape(shape)} has length ${shape[axis]}; only length 1 can be removed.`);
      return [shape.filter((_, axis) => !axes.includes(axis))];
    },
  }),

  Unsqueeze: op({
    since: 25,
    inputs: ['data: T', 'axes: int64'],
    outputs: ['expanded: T'],
    types: { T: DTYPES },
    attributes: {},
    infer: (c) => {
      const shape = c.shape(0);
      const { values, length } = integerList(c, 1, 'axes');
      const count = values?.length ?? length;
      if (!shape || count === undefined) return [null];
      const open = openDims(c, shape.length + count);
      if (!values) return [open];
      const axes = normalAxes(c, values, open.length);
      const rest = [...shape];
      return [open.map((_, axis): Dim => (axes.includes(axis) ? 1 : (rest.shift() as Dim)))];
    },
  }),

  Flatten: op({
    since: 25,
    inputs: ['input: T'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: { axis: int(1) },
    infer: (c) => {
      const shape = c.shape(0);
      if (!shape) return [[c.unknown(), c.unknown()]];
      const { axis } = c.attributes;
      // Unlike elsewhere the rank itself is allowed: everything goes to the first length.
      const split = axis === shape.length ? axis : normalAxis(c, axis, shape.length);
      return [[productOf(c, shape.slice(0, split)), productOf(c, shape.slice(split))]];
    },
  }),
};

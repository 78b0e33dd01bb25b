/**
 * `MaxPool` with its output Indices, or of other types than float32: one pass over the output for each tap of the window.
 *
 * Each pass goes over the part of the output where its tap lies on the input, so that padding is never read. Passes go from
 * the last tap to the first: the first of equal elements wins. Its index is the sum of one table per axis.
 */
import { type DType, fromReals, type NodeOf } from '@grim/ir';
import type { LowerContext } from '../lower.ts';
import { compare, type Expression, isFloatRep, isUnsigned, load, logic, select } from '../map/expression.ts';
import { dense, rowMajor, sizeOf, slice, view } from '../map/placement.ts';
import type { Placement } from '../program.ts';
import { spatial } from './phases.ts';
import { add } from './pointwise.ts';
import { windowOf } from './window.ts';

function lowest(dtype: DType): number {
  return dtype === 'int8' ? -128 : dtype === 'uint8' ? 0 : Number.NEGATIVE_INFINITY;
}

/** Whether `a` wins over `b`, which comes later in the window. NaN wins over all numbers. */
function wins(dtype: DType, a: Expression, b: Expression): Expression {
  if (!isFloatRep(a.rep)) return compare(isUnsigned(dtype) ? 'ge_u' : 'ge_s', a, b);
  return logic('mask_or', compare('ge', a, b), compare('ne', a, a));
}

export function maxByTaps(node: NodeOf<'MaxPool'>, c: LowerContext): void {
  const x = c.read(node.inputs[0] ?? '');
  const [valuesName = '', indicesName = ''] = node.outputs as readonly string[];
  const { dtype } = x;
  const { shape } = c.type(valuesName === '' ? indicesName : valuesName);
  const { taps, strides, before } = windowOf(node, c);
  const lengths = spatial(x.shape);
  const place = (name: string, type: DType): Placement =>
    name === '' ? dense(c.scratch(8 * sizeOf(shape)), type, shape) : c.writeContiguous(name);
  const values = place(valuesName, dtype);
  const indices = indicesName === '' ? undefined : place(indicesName, 'int64');
  c.fill(values, fromReals(dtype, [], [lowest(dtype)]));
  if (indices) c.fill(indices, { dtype: 'int64', shape: [], data: BigInt64Array.of(-1n) });
  // Per axis: what each position adds to the index, numbered row-major or with the first axis fastest.
  const weights = node.attributes.storage_order === 1 ? rowMajor(lengths.toReversed()).reverse() : rowMajor(lengths);
  const plane = sizeOf(lengths);
  const planes = shape.slice(0, 2);
  const bases = c.data(BigInt64Array.from({ length: sizeOf(planes) }, (_, i) => BigInt(i * plane)));
  const flat = lengths.map(() => 0);
  const base = view(dense(bases, 'int64', planes), { shape, strides: [planes[1] ?? 1, 1, ...flat] });
  for (const tap of taps.toReversed()) {
    // Only where the tap lies on the input along all axes.
    const first = tap.map((t, i) => Math.max(0, Math.ceil(((before[i] ?? 0) - t) / (strides[i] ?? 1))));
    const end = tap.map((t, i) => {
      const last = Math.floor(((lengths[i] ?? 0) - 1 + (before[i] ?? 0) - t) / (strides[i] ?? 1));
      return Math.min(shape[2 + i] ?? 0, last + 1);
    });
    const counts = end.map((stop, i) => Math.max(0, stop - (first[i] ?? 0)));
    if (counts.includes(0)) continue;
    const box = [...planes, ...counts];
    const part = (of: Placement) => slice(of, [0, 0, ...first], box);
    const starts = first.map((o, i) => o * (strides[i] ?? 1) + (tap[i] ?? 0) - (before[i] ?? 0));
    const from = load(slice(x, [0, 0, ...starts], box, [1, 1, ...strides]));
    const better = wins(dtype, from, load(part(values)));
    if (indices) {
      const tables = counts.map((count, i) => {
        const positions = Array.from({ length: count }, (_, o) => (starts[i] ?? 0) + o * (strides[i] ?? 1));
        const table = c.data(BigInt64Array.from(positions, (position) => BigInt(position * (weights[i] ?? 1))));
        return load(
          view(dense(table, 'int64', [count]), { shape: box, strides: box.map((_, axis) => (axis === 2 + i ? 1 : 0)) }),
        );
      });
      const index = tables.reduce<Expression>(add, load(part(base)));
      c.store(select(better, index, load(part(indices))), part(indices));
    }
    c.store(select(better, from, load(part(values))), part(values));
  }
}

/** Operators that put a value where indices agree, and tensors that are made from a rule: comparisons with counted indices. */
import { bytesPerElement, type DType, fromReals, type NodeOf, type Tensor, type TensorArray, toReals } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import {
  binary,
  compare,
  type Expression,
  isFloatRep,
  isUnsigned,
  literal,
  load,
  logic,
  select,
  unary,
} from '../map/expression.ts';
import { dense, sizeOf, view } from '../map/placement.ts';
import type { Placement } from '../program.ts';
import { storeArgument } from './argument.ts';
import { zero } from './pointwise.ts';
import { axisOf } from './rearrange.ts';

/** The index along an axis of `shape`, as an operand. */
function counted(c: LowerContext, dtype: DType, shape: readonly number[], axis: number): Expression {
  const length = shape[axis] ?? 1;
  const table = fromReals(
    dtype,
    [length],
    Array.from({ length }, (_, i) => i),
  );
  return load(
    view(dense(c.data(table.data), dtype, [length]), { shape, strides: shape.map((_, i) => (i === axis ? 1 : 0)) }),
  );
}

function hardmax(node: NodeOf<'Hardmax'>, c: LowerContext): void {
  const from = c.read(node.inputs[0] ?? '');
  const { shape } = from;
  const to = c.write(node.outputs[0] ?? '');
  if (sizeOf(shape) === 0) return;
  const axis = axisOf(node.attributes.axis, shape.length);
  const lines = shape.with(axis, 1);
  const found = dense(c.scratch(8 * sizeOf(lines)), 'int64', lines);
  storeArgument(c, from, axis, { greatest: true, last: false }, found);
  const one = (value: number): Placement => ({
    ...c.data(fromReals(to.dtype, [], [value]).data),
    dtype: to.dtype,
    shape: [],
    strides: [],
  });
  const hot = compare('eq', load(found), counted(c, 'int64', shape, axis));
  c.store(select(hot, load(one(1)), load(one(0))), to);
}

/** Which integer type counts exactly what an index can be compared with. */
function countingType({ rep }: Expression): DType {
  if (rep === 'i64') return 'int64';
  return rep === 'f64' ? 'float64' : rep === 'f32' ? 'float32' : 'int32';
}

function oneHot(node: NodeOf<'OneHot'>, c: LowerContext): void {
  const [indicesName = '', depthName = '', valuesName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { shape, dtype } = c.type(output);
  const axis = axisOf(node.attributes.axis, shape.length);
  const known = c.constant(depthName);
  if (!known) c.unsupported('a depth that is computed when the model runs', 'a constant');
  if (sizeOf(shape) === 0) {
    c.write(output);
    return;
  }
  const depth = Math.trunc(toReals(known as Tensor)[0] ?? 0);
  const at = c.read(indicesName);
  const indices = view(at, {
    shape: [...at.shape.slice(0, axis), 1, ...at.shape.slice(axis)],
    strides: [...at.strides.slice(0, axis), 0, ...at.strides.slice(axis)],
  });
  let index: Expression = load(indices);
  if (isFloatRep(index.rep)) index = unary('trunc', index);
  const count = counted(c, countingType(index), shape, axis);
  let hot = compare('eq', index, count);
  // What counts from the end meets index − depth.
  if (!isUnsigned(at.dtype))
    hot = logic('mask_or', hot, compare('eq', index, binary('sub', count, literal(index.rep, depth))));
  const values = c.contiguous(valuesName);
  const bytes = bytesPerElement(dtype);
  const value = (i: number) => load(view(values, { offset: values.offset + i * bytes, shape: [], strides: [] }));
  c.define(output, select(hot, value(1), value(0)));
}

function trilu(node: NodeOf<'Trilu'>, c: LowerContext): void {
  const [input = '', kName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { shape } = c.type(output);
  const x = c.operand(input);
  const [row, column] = [counted(c, 'int64', shape, shape.length - 2), counted(c, 'int64', shape, shape.length - 1)];
  const diagonal = kName === '' ? row : binary('add', row, c.bound(kName));
  const kept = compare(node.attributes.upper ? 'ge_s' : 'le_s', column, diagonal);
  c.define(output, x.rep === 'mask' ? logic('mask_and', kept, x) : select(kept, x, zero(x)));
}

function eyeLike(node: NodeOf<'EyeLike'>, c: LowerContext): void {
  const to = c.writeContiguous(node.outputs[0] ?? '');
  const { dtype } = to;
  const [rows = 0, columns = 0] = to.shape;
  const { k } = node.attributes;
  c.fill(to, fromReals(dtype, [], [0]));
  const [row, column] = [Math.max(-k, 0), Math.max(k, 0)];
  const length = Math.min(rows - row, columns - column);
  if (length <= 0) return;
  const offset = to.offset + (row * columns + column) * bytesPerElement(dtype);
  c.fill(view(to, { offset, shape: [length], strides: [columns + 1] }), fromReals(dtype, [], [1]));
}

/** Its length is only known where start and step are constants too. */
function range(node: NodeOf<'Range'>, c: LowerContext): void {
  const [startName = '', , deltaName = ''] = node.inputs;
  const to = c.writeContiguous(node.outputs[0] ?? '');
  const { dtype, shape } = to;
  const [start, delta] = [c.constant(startName), c.constant(deltaName)];
  if (!start || !delta) c.unsupported('bounds that are computed when the model runs', 'constants');
  const length = shape[0] ?? 0;
  let data: TensorArray;
  if (dtype === 'int64') {
    const [first, step] = [start?.data[0] as bigint, delta?.data[0] as bigint];
    data = BigInt64Array.from({ length }, (_, i) => first + BigInt(i) * step);
  } else if (dtype === 'uint64') {
    const [first, step] = [start?.data[0] as bigint, delta?.data[0] as bigint];
    data = BigUint64Array.from({ length }, (_, i) => first + BigInt(i) * step);
  } else {
    const [first = 0, step = 0] = [toReals(start as Tensor)[0], toReals(delta as Tensor)[0]];
    data = fromReals(
      dtype,
      shape,
      Array.from({ length }, (_, i) => first + i * step),
    ).data;
  }
  c.copy(dense(c.data(data), dtype, shape), to);
}

export const selectLowerings: Lowerings = {
  ConstantOfShape: {
    lower: (node, c) => {
      const to = c.write(node.outputs[0] ?? '');
      c.fill(to, node.attributes.value ?? fromReals('float32', [], [0]));
    },
  },
  EyeLike: { lower: eyeLike },
  Hardmax: { lower: hardmax },
  OneHot: { lower: oneHot },
  Range: { lower: range },
  Trilu: { lower: trilu },
};

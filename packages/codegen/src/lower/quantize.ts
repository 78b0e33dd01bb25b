/**
 * Between real numbers and integers with a scale and a zero point, as expressions: one pair for all elements, one for each
 * index of an axis, or one for each block along an axis, whose repeated elements are written out first.
 */
import { bytesPerElement, type DType, invariant, type NodeOf } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import { binary, compare, convert, type Expression, literal, load, select, unary } from '../map/expression.ts';
import { foldCall } from '../map/fold.ts';
import { functionTable } from '../map/functions.ts';
import { dense, reshape, sizeOf, slice, view } from '../map/placement.ts';
import type { Placement } from '../program.ts';
import { add, mul, zero } from './pointwise.ts';
import { axisOf } from './rearrange.ts';

const RANGES: { readonly [D in DType]?: readonly [low: number, high: number] } = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
};

/** round(quotient) + zero, ties to even, within the range of `dtype`; NaN counts as 0. The result is an i32. */
export function saturated(dtype: DType, quotient: Expression, zeroPoint: Expression | undefined): Expression {
  const { rep } = quotient;
  const [low, high] = RANGES[dtype] ?? [];
  invariant(low !== undefined && high !== undefined, `${dtype} is a quantized type`);
  const rounded = select(compare('eq', quotient, quotient), unary('nearest', quotient), zero(quotient));
  const moved = zeroPoint ? add(rounded, convert(zeroPoint, rep, true)) : rounded;
  return convert(binary('min', binary('max', moved, literal(rep, low)), literal(rep, high)), 'i32', true);
}

/** A scale or zero point as an operand of every element of `shape`. */
function spread(
  c: LowerContext,
  name: string,
  shape: readonly number[],
  attributes: { readonly axis: number; readonly block_size: number },
): Expression {
  const from = c.read(name);
  const none = shape.map(() => 0);
  if (sizeOf(from.shape) === 1) return load(view(from, { shape, strides: none }));
  const axis = axisOf(attributes.axis, shape.length);
  const block = attributes.block_size;
  if (block === 0) return load(view(from, { shape, strides: none.with(axis, from.strides[0] ?? 1) }));
  const length = shape[axis] ?? 1;
  const whole = Math.floor(length / block);
  const to = dense(c.scratch(sizeOf(shape) * bytesPerElement(from.dtype)), from.dtype, shape);
  const put = (first: number, blocks: number, size: number) => {
    if (blocks === 0 || size === 0) return;
    const part = slice(from, none.with(axis, first), from.shape.with(axis, blocks));
    const repeated = view(part, {
      shape: part.shape.toSpliced(axis, 1, blocks, size),
      strides: part.strides.toSpliced(axis, 1, part.strides[axis] ?? 1, 0),
    });
    const target = reshape(slice(to, none.with(axis, first * block), shape.with(axis, blocks * size)), repeated.shape);
    invariant(target, 'an axis of any spacing can be split');
    c.copy(repeated, target);
  };
  put(0, whole, block);
  put(whole, 1, length % block);
  return load(to);
}

function quantizeLinear(node: NodeOf<'QuantizeLinear'>, c: LowerContext): void {
  const [x = '', scale = '', zeroName = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const { dtype, shape } = c.type(y);
  const type = c.type(scale).dtype;
  const precision = node.attributes.precision ?? type;
  if (type !== 'float32' || (precision !== 'float32' && precision !== 'float64'))
    c.unsupported(`a scale of ${type} with precision ${precision}`, 'a float32 scale, in float32 or float64');
  const rep = precision === 'float64' ? 'f64' : 'f32';
  const quotient = binary(
    'div',
    convert(c.operand(x), rep, true),
    convert(spread(c, scale, shape, node.attributes), rep, true),
  );
  c.define(y, saturated(dtype, quotient, zeroName === '' ? undefined : spread(c, zeroName, shape, node.attributes)));
}

function dequantizeLinear(node: NodeOf<'DequantizeLinear'>, c: LowerContext): void {
  const [x = '', scale = '', zeroName = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const { dtype, shape } = c.type(x);
  // Differences of 16-bit integers are exact in float32, others are not.
  const rep = dtype === 'int32' ? 'f64' : 'f32';
  const value = convert(c.operand(x), rep, true);
  const centred =
    zeroName === '' ? value : binary('sub', value, convert(spread(c, zeroName, shape, node.attributes), rep, true));
  const product = mul(centred, convert(spread(c, scale, shape, node.attributes), rep, true));
  c.define(y, convert(product, 'f32', true));
}

/** The scale takes in all of x and 0; all steps in float32, as in the function that defines the operator. */
function dynamicQuantizeLinear(node: NodeOf<'DynamicQuantizeLinear'>, c: LowerContext): void {
  const [input = ''] = node.inputs;
  const [y = '', scaleName = '', zeroName = ''] = node.outputs as readonly string[];
  const x = c.read(input);
  const none = literal('f32', 0);
  const extreme = (combine: 'min' | 'max'): Expression => {
    const lengths = x.shape.map(() => 1);
    const to = dense(c.scratch(8), 'float32', lengths);
    if (sizeOf(x.shape) === 0) return none;
    const { kernel, args } = foldCall(load(x), x.shape, combine, to, () => c.data(functionTable()));
    c.call(kernel, ...args);
    return binary(combine, load(view(to, { shape: [], strides: [] })), none);
  };
  const [low, high] = [extreme('min'), extreme('max')];
  const place = (name: string, dtype: DType): Placement =>
    name === '' ? dense(c.scratch(8), dtype, []) : c.writeContiguous(name);
  const scaleAt = place(scaleName, 'float32');
  const step = binary('div', binary('sub', high, low), literal('f32', 255));
  const usable = compare('ne', step, none);
  // Without elements there is nothing to fold, and any scale will do.
  if (sizeOf(x.shape) === 0) c.fill(scaleAt, { dtype: 'float32', shape: [], data: Float32Array.of(1) });
  else c.store(select(usable, step, literal('f32', 1)), scaleAt);
  const zeroAt = place(zeroName, 'uint8');
  if (sizeOf(x.shape) === 0) c.fill(zeroAt, { dtype: 'uint8', shape: [], data: Uint8Array.of(0) });
  else c.store(saturated('uint8', unary('neg', binary('div', low, load(scaleAt))), undefined), zeroAt);
  if (y !== '') c.define(y, saturated('uint8', binary('div', load(x), load(scaleAt)), load(zeroAt)));
}

export const quantizeLowerings: Lowerings = {
  DequantizeLinear: { lower: dequantizeLinear },
  DynamicQuantizeLinear: { lower: dynamicQuantizeLinear },
  QuantizeLinear: { lower: quantizeLinear },
};

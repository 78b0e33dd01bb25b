/**
 * Products and convolutions of 8-bit integers, exact: both sides are written out as 32-bit integers less their zero points,
 * multiplied and added up as such, and scaled in float64 where the operator asks for it.
 */
import { fromReals, type NodeOf } from '@grim/ir';
import { addIntegerProduct } from '../kernels/integer-product.ts';
import type { LowerContext, Lowerings } from '../lower.ts';
import { binary, convert, type Expression, load } from '../map/expression.ts';
import { broadcastTo, dense, paddedIn, paddedLayout, rowMajor, sizeOf, view } from '../map/placement.ts';
import type { Address, Kernel, Placement } from '../program.ts';
import { integerProductTwin } from '../wgsl/integer-product.ts';
import { flatLength, scratchLike } from './conv.ts';
import { dot, phases } from './phases.ts';
import { add, mul } from './pointwise.ts';
import { saturated } from './quantize.ts';
import { type Window, windowOf } from './window.ts';

const integerProduct: Kernel = {
  name: 'i32_product',
  twin: integerProductTwin,
  emit: (module, _family, exported) => addIntegerProduct(module, exported),
};

const at = (of: Address, elements: number): Address => ({ buffer: of.buffer, offset: of.offset + 4 * elements });

/** A matrix of rank 2 at least: a vector is a row on the left and a column on the right. */
function asMatrix(shape: readonly number[], side: 'left' | 'right'): readonly number[] {
  if (shape.length > 1) return shape;
  const [length = 1] = shape;
  return side === 'left' ? [1, length] : [length, 1];
}

/** A scale or zero point beside a matrix: one, one per row (left) or column (right), or of the matrix's own rank. */
function factor(c: LowerContext, name: string, side: 'left' | 'right', shape: readonly number[]): Expression {
  const from = c.read(name);
  if (sizeOf(from.shape) === 1) return load(view(from, { shape, strides: shape.map(() => 0) }));
  if (side === 'right' || from.shape.length > 1) return load(broadcastTo(from, shape));
  const [stride = 1] = from.strides;
  return load(view(from, { shape, strides: shape.map((_, axis) => (axis === shape.length - 2 ? stride : 0)) }));
}

function less(x: Expression, zeroPoint: Expression | undefined): Expression {
  return zeroPoint ? binary('sub', x, zeroPoint) : x;
}

/** A matrix less its zero points, row-major. */
function centred(c: LowerContext, name: string, zeroName: string, side: 'left' | 'right'): Placement {
  const from = c.contiguous(name);
  const shape = asMatrix(from.shape, side);
  const to = dense(c.scratch(4 * sizeOf(shape)), 'int32', shape);
  const zeroPoint = zeroName === '' ? undefined : factor(c, zeroName, side, shape);
  c.store(less(load(dense(from, from.dtype, shape)), zeroPoint), to);
  return to;
}

/** Sums of products, of the shape that batches broadcast to. */
function matrixSums(
  c: LowerContext,
  [a, aZero]: readonly [string, string],
  [b, bZero]: readonly [string, string],
): Placement {
  const [left, right] = [centred(c, a, aZero, 'left'), centred(c, b, bZero, 'right')];
  const [rows = 0, cols = 0] = left.shape.slice(-2);
  const n = right.shape.at(-1) ?? 0;
  const rank = Math.max(left.shape.length, right.shape.length);
  const batchOf = ({ shape }: Placement) => [...new Array<number>(rank - shape.length).fill(1), ...shape.slice(0, -2)];
  const [leftBatch, rightBatch] = [batchOf(left), batchOf(right)];
  const batches = leftBatch.map((dim, axis) => (dim === 1 ? (rightBatch[axis] ?? 1) : dim));
  const sums = dense(c.scratch(4 * sizeOf([...batches, rows, n])), 'int32', [...batches, rows, n]);
  if (sizeOf(sums.shape) === 0) return sums;
  const offsets = c.data(Int32Array.from({ length: Math.max(cols, 1) }, (_, k) => 4 * k * n));
  const walks = [leftBatch, rightBatch].map((batch) => {
    const strides = rowMajor(batch);
    return batch.map((dim, axis) => (dim === 1 ? 0 : (strides[axis] ?? 0)));
  });
  const places = rowMajor(batches);
  for (let batch = 0; batch < sizeOf(batches); batch++) {
    const index = batches.map((dim, axis) => Math.floor(batch / (places[axis] ?? 1)) % dim);
    const [l, r] = walks.map((strides) => dot(index, strides));
    const x = at(right, (r ?? 0) * cols * n);
    c.call(
      integerProduct,
      n,
      x,
      at(sums, batch * rows * n),
      at(left, (l ?? 0) * rows * cols),
      offsets,
      rows,
      cols,
      4 * n,
    );
  }
  return sums;
}

function lowerMatMulInteger(node: NodeOf<'MatMulInteger'>, c: LowerContext): void {
  const [a = '', b = '', aZero = '', bZero = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const sums = matrixSums(c, [a, aZero], [b, bZero]);
  c.define(y, load(dense(sums, 'int32', c.type(y).shape)));
}

const double = (x: Expression): Expression => convert(x, 'f64', true);

function lowerQLinearMatMul(node: NodeOf<'QLinearMatMul'>, c: LowerContext): void {
  const [a = '', aScale = '', aZero = '', b = '', bScale = '', bZero = '', yScale = '', yZero = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const sums = matrixSums(c, [a, aZero], [b, bZero]);
  const { shape } = sums;
  const scales = mul(double(factor(c, aScale, 'left', shape)), double(factor(c, bScale, 'right', shape)));
  const scale = binary('div', scales, double(c.bound(yScale)));
  const { dtype } = c.type(y);
  const to = c.writeContiguous(y);
  c.store(saturated(dtype, mul(double(load(sums)), scale), c.bound(yZero)), dense(to, dtype, shape));
}

/** Sums of the windows' products, without bias. Padding holds the zero point: it adds nothing. */
function windowSums(
  c: LowerContext,
  window: Window,
  [xName, xZero]: readonly [string, string],
  [wName, wZero]: readonly [string, string],
  shape: readonly number[],
): Placement {
  const from = c.read(xName);
  const { elements } = paddedLayout(from.shape, window);
  const room = c.scratch(4 * elements);
  c.fill(dense(room, 'int32', [elements]), fromReals('int32', [], [0]));
  const x = paddedIn(room.buffer, 'int32', from.shape, window);
  c.store(less(load(from), xZero === '' ? undefined : c.bound(xZero)), x);
  const weight = c.contiguous(wName);
  const [outputs = 0] = weight.shape;
  const w = dense(c.scratch(4 * sizeOf(weight.shape)), 'int32', weight.shape);
  const zeroAt = wZero === '' ? undefined : c.read(wZero);
  const zeroStride = zeroAt && sizeOf(zeroAt.shape) > 1 ? (zeroAt.strides[0] ?? 1) : 0;
  const zeroStrides = weight.shape.map((_, axis) => (axis === 0 ? zeroStride : 0));
  const zeroPoint = zeroAt && load(view(zeroAt, { shape: weight.shape, strides: zeroStrides }));
  c.store(less(load(weight), zeroPoint), w);
  // Phases are copies, which move bits whatever they mean.
  const source = phases(c, { ...x, dtype: 'float32' }, window, { shape, strides: rowMajor(shape) });
  const target: Placement = { ...scratchLike(c, { shape }, source.strides), dtype: 'int32' };
  const rows = outputs / window.group;
  const cols = sizeOf(weight.shape) / Math.max(outputs, 1);
  const taps = window.taps.length;
  const offsets = c.data(
    Int32Array.from(
      { length: Math.max(cols, 1) },
      (_, k) => 4 * (Math.floor(k / taps) * source.channelStride + (source.tapOffsets[k % taps] ?? 0)),
    ),
  );
  const n = flatLength(shape, source.strides);
  const [batchStride = 0, row = 0] = target.strides;
  for (let batch = 0; batch < (shape[0] ?? 1); batch++)
    for (let g = 0; g < window.group; g++) {
      const input = at(source, batch * source.batchStride + (g * cols * source.channelStride) / taps);
      const output = at(target, batch * batchStride + g * rows * row);
      c.call(integerProduct, n, input, output, at(w, g * rows * cols), offsets, rows, cols, 4 * row);
    }
  return view(target, { shape, strides: target.strides });
}

function lowerConvInteger(node: NodeOf<'ConvInteger'>, c: LowerContext): void {
  const [x = '', w = '', xZero = '', wZero = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const { shape } = c.type(y);
  if (sizeOf(shape) === 0) c.write(y);
  else c.define(y, load(windowSums(c, windowOf(node, c), [x, xZero], [w, wZero], shape)));
}

function lowerQLinearConv(node: NodeOf<'QLinearConv'>, c: LowerContext): void {
  const [x = '', xScale = '', xZero = '', w = '', wScale = '', wZero = '', yScale = '', yZero = '', bias = ''] =
    node.inputs;
  const [y = ''] = node.outputs;
  const { dtype, shape } = c.type(y);
  if (sizeOf(shape) === 0) {
    c.write(y);
    return;
  }
  const perOutput = (name: string): Expression => {
    const from = c.read(name);
    const stride = sizeOf(from.shape) > 1 ? (from.strides[0] ?? 1) : 0;
    return load(view(from, { shape, strides: shape.map((_, axis) => (axis === 1 ? stride : 0)) }));
  };
  const products = load(windowSums(c, windowOf(node, c), [x, xZero], [w, wZero], shape));
  const sums = bias === '' ? products : add(products, perOutput(bias));
  const common = binary('div', double(c.bound(xScale)), double(c.bound(yScale)));
  const scaled = mul(double(sums), mul(common, double(perOutput(wScale))));
  c.define(y, saturated(dtype, scaled, c.bound(yZero)));
}

export const integerProductLowerings: Lowerings = {
  ConvInteger: { lower: lowerConvInteger },
  MatMulInteger: { lower: lowerMatMulInteger },
  QLinearConv: { lower: lowerQLinearConv },
  QLinearMatMul: { lower: lowerQLinearMatMul },
};

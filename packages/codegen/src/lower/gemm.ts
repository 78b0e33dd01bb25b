/**
 * Matrix products: `Gemm` and `MatMul`.
 *
 * A constant operand is packed once. One vector times it takes the kernel with rows in lanes; more vectors stand side by
 * side as columns, so the value and the result are turned. Two values are multiplied as they stand.
 */
import type { Matrix } from '@grim/bcr';
import type { BcrPattern, NodeOf, Weight } from '@grim/ir';
import { TALLEST } from '../kernels/family.ts';
import { addMatMul } from '../kernels/matmul.ts';
import type { LowerContext, Lowerings } from '../lower.ts';
import { binary, type Expression, isFloatRep, load, real, repOf, wrap } from '../map/expression.ts';
import { broadcastTo, dense, sizeOf, slice, transpose, view } from '../map/placement.ts';
import type { Address, Kernel, Placement } from '../program.ts';
import { matmulTwin } from '../wgsl/gemm.ts';
import { contract } from './einsum.ts';
import { placeProduct } from './product.ts';
import { piecesOf, ranges, together } from './share.ts';
import { callVectorProduct } from './vector-product.ts';

/** Multiply-adds of a product of two values in a cycle. */
const MATMUL_SPEED = 6;

/** Y[rows, M] = X[rows, K] · Wᵀ for W[M, K] given row-major or, with `across`, as its transpose. */
interface ConstantProduct {
  readonly matrix: Matrix;
  readonly pattern: BcrPattern | undefined;
  readonly bias: Float32Array | undefined;
}

function matrixOf(weight: Weight, rows: number, cols: number, transposed: boolean, scale: number): ConstantProduct {
  const from = weight.data as Float32Array;
  if (!transposed && scale === 1)
    return { matrix: { rows, cols, data: from }, pattern: weight.pattern, bias: undefined };
  const data = new Float32Array(rows * cols);
  for (let r = 0; r < rows; r++)
    for (let k = 0; k < cols; k++) data[r * cols + k] = scale * (from[transposed ? k * rows + r : r * cols + k] ?? 0);
  // A pattern is over the GEMM view [M, K] of the weight, however its elements lie.
  return { matrix: { rows, cols, data }, pattern: weight.pattern, bias: undefined };
}

/** @param x  [rows, K] with any strides */
function multiplyConstant(c: LowerContext, product: ConstantProduct, x: Placement, outputName: string): void {
  const epilogue = c.epilogue(outputName);
  const { matrix } = product;
  const rows = sizeOf(x.shape) / matrix.cols;
  const y = c.writeContiguous(epilogue.output);
  const flat = { ...y, shape: [rows, matrix.rows], strides: [matrix.rows, 1] };
  const residual = epilogue.residual === undefined ? undefined : c.contiguous(epilogue.residual);
  if (rows === 0 || matrix.rows === 0) return;
  if (rows === 1) {
    const [, step = 1] = x.strides.slice(-2);
    callVectorProduct(c, { ...product, xOffset: (k) => 4 * k * step, activation: epilogue.activation }, x, y, residual);
    return;
  }
  // Columns of B are the rows of X.
  const turned = dense(c.scratch(4 * rows * matrix.cols), 'float32', [matrix.cols, rows]);
  c.copy(transpose(x, [1, 0]), turned);
  const sums = dense(c.scratch(4 * rows * matrix.rows), 'float32', [matrix.rows, rows]);
  const activation = residual ? 'none' : epilogue.activation;
  const placed = placeProduct(
    c,
    { ...product, activation, xOffset: (k) => 4 * k * rows, plane: 4 * rows, yRow: 4 * rows },
    rows,
  );
  placed.call(c, rows, turned, sums, undefined);
  const result = transpose(sums, [1, 0]);
  if (!residual) {
    c.copy(result, flat);
    return;
  }
  const added = binary('add', load(result), load({ ...residual, shape: flat.shape, strides: flat.strides }));
  c.store(activated(added, epilogue.activation), flat);
}

function activated(
  x: Expression,
  activation: 'none' | 'relu' | { readonly min: number; readonly max: number },
): Expression {
  if (activation === 'none') return x;
  if (activation === 'relu') return binary('max', x, real('f32', 0));
  return binary('min', binary('max', x, real('f32', activation.min)), real('f32', activation.max));
}

function lowerGemm(node: NodeOf<'Gemm'>, c: LowerContext): void {
  const [aName = '', bName = '', cName = ''] = node.inputs;
  const [outputName = ''] = node.outputs;
  const { alpha, beta, transA, transB } = node.attributes;
  if (c.type(aName).dtype !== 'float32') {
    gemmOfType(node, c);
    return;
  }
  const [rows = 0, outputs = 0] = c.type(outputName).shape;
  const weight = c.constant(bName);
  const added = cName === '' ? undefined : c.constant(cName);
  const bias = cName === '' ? undefined : biasOf(added, outputs, beta);
  if (weight && (cName === '' || bias)) {
    const depth = weight.data.length / outputs;
    const product = matrixOf(weight, outputs, depth, transB === 0, alpha);
    const x = c.read(aName);
    multiplyConstant(c, { ...product, bias }, transA ? transpose(x, [1, 0]) : x, outputName);
    return;
  }
  const a = turnedIf(c, aName, transA === 1);
  const b = turnedIf(c, bName, transB === 1);
  const product = dense(c.scratch(4 * rows * outputs), 'float32', [rows, outputs]);
  callMatMuls(c, [[a, b, product]]);
  const scaled = alpha === 1 ? load(product) : binary('mul', load(product), real('f32', alpha));
  const term = () => {
    const addend = load(broadcastTo(c.read(cName), [rows, outputs]));
    return beta === 1 ? addend : binary('mul', addend, real('f32', beta));
  };
  c.define(outputName, cName === '' ? scaled : binary('add', scaled, term()));
}

/** C of a Gemm as one value per output, when it is constant over the rows. */
function biasOf(weight: Weight | undefined, outputs: number, beta: number): Float32Array | undefined {
  if (!weight || weight.data.length === 0) return undefined;
  const perOutput = weight.data.length === outputs && (weight.shape.at(-1) ?? 1) === outputs;
  if (weight.data.length !== 1 && !perOutput) return undefined;
  return Float32Array.from({ length: outputs }, (_, i) => beta * Number(weight.data[perOutput ? i : 0]));
}

function turnedIf(c: LowerContext, name: string, turn: boolean): Placement {
  const placement = c.read(name);
  if (!turn) return c.contiguous(name);
  const [rows = 0, cols = 0] = placement.shape;
  const to = dense(c.scratch(4 * rows * cols), 'float32', [cols, rows]);
  c.copy(transpose(placement, [1, 0]), to);
  return to;
}

function lowerMatMul(node: NodeOf<'MatMul'>, c: LowerContext): void {
  const [aName = '', bName = ''] = node.inputs;
  const [outputName = ''] = node.outputs;
  if (c.type(aName).dtype !== 'float32') {
    multiplyOfType(c, aName, bName, outputName);
    return;
  }
  const [a, b] = [c.type(aName).shape, c.type(bName).shape];
  const weight = c.constant(bName);
  if (weight && b.length === 2) {
    const [depth = 0, outputs = 0] = b;
    const product = matrixOf(weight, outputs, depth, true, 1);
    const x = c.contiguous(aName);
    multiplyConstant(
      c,
      product,
      view(x, { shape: [sizeOf(a) / Math.max(depth, 1), depth], strides: [depth, 1] }),
      outputName,
    );
    return;
  }
  // Missing axes of vectors, then the stack of matrices broadcast.
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  const y = c.writeContiguous(outputName);
  const [m = 0, n = 0] = [left.at(-2), right.at(-1)];
  const stack = y.shape.slice(0, y.shape.length - (a.length === 1 ? 0 : 1) - (b.length === 1 ? 0 : 1));
  const spread = (name: string, shape: readonly number[]) => {
    const placement = c.contiguous(name);
    const matrix = view(placement, { shape, strides: dense(placement, 'float32', shape).strides });
    return broadcastTo(matrix, [...stack, ...shape.slice(-2)]);
  };
  const [x, w] = [spread(aName, left), spread(bName, right)];
  const target = dense(y, 'float32', [...stack, m, n]);
  callMatMuls(
    c,
    Array.from({ length: sizeOf(stack) }, (_, i) => [matrixAt(x, i), matrixAt(w, i), matrixAt(target, i)] as const),
  );
}

/** A product of other element types than float32: one fold over the index space. */
function multiplyOfType(c: LowerContext, aName: string, bName: string, outputName: string): void {
  const [a, b] = [c.read(aName), c.read(bName)];
  const rank = Math.max(a.shape.length, b.shape.length);
  const stack = ({ shape }: Placement) =>
    Array.from({ length: Math.max(shape.length - 2, 0) }, (_, axis) => `${rank - shape.length + axis}`);
  const left = [...stack(a), ...(a.shape.length > 1 ? ['m'] : []), 'k'];
  const right = [...stack(b), 'k', ...(b.shape.length > 1 ? ['n'] : [])];
  const longer = a.shape.length >= b.shape.length ? a : b;
  const kept = [...stack(longer), ...[left, right].flat().filter((index) => index === 'm' || index === 'n')];
  contract(c, [a, b], [left, right], kept, c.writeContiguous(outputName));
}

function gemmOfType(node: NodeOf<'Gemm'>, c: LowerContext): void {
  const [aName = '', bName = '', cName = ''] = node.inputs;
  const [outputName = ''] = node.outputs;
  const { alpha, beta, transA, transB } = node.attributes;
  const { dtype, shape } = c.type(outputName);
  const rep = repOf(dtype);
  const whole = Number.isInteger(alpha) && Number.isInteger(beta);
  if (!isFloatRep(rep) && !whole) c.unsupported(`alpha ${alpha} and beta ${beta} of ${dtype}`, 'whole factors');
  // Narrow floats are rounded once.
  const type = rep === 'f32' ? 'float32' : dtype;
  const product = dense(c.scratch(8 * sizeOf(shape)), type, shape);
  const terms = [transA ? ['k', 'm'] : ['m', 'k'], transB ? ['n', 'k'] : ['k', 'n']];
  contract(c, [c.read(aName), c.read(bName)], terms, ['m', 'n'], product);
  const times = (x: Expression, factor: number) => (factor === 1 ? x : binary('mul', x, real(rep, factor)));
  const sum = times(load(product), alpha);
  const addend = () => times(load(broadcastTo(c.read(cName), shape)), beta);
  c.define(outputName, wrap(dtype, cName === '' ? sum : binary('add', sum, addend())));
}

/** The i-th matrix of a stack, row-major over the leading axes. */
function matrixAt(of: Placement, i: number): Placement {
  const starts = of.shape.map(() => 0);
  let rest = i;
  for (let axis = of.shape.length - 3; axis >= 0; axis--) {
    const length = of.shape[axis] ?? 1;
    starts[axis] = rest % length;
    rest = Math.floor(rest / length);
  }
  const one = slice(
    of,
    starts,
    of.shape.map((length, axis) => (axis < of.shape.length - 2 ? 1 : length)),
  );
  return view(one, { shape: one.shape.slice(-2), strides: one.strides.slice(-2) });
}

/** y = a · b for each triple of one shape, all apart. */
function callMatMuls(
  c: LowerContext,
  products: readonly (readonly [a: Placement, b: Placement, y: Placement])[],
): void {
  const work = products.reduce((sum, [a, , y]) => sum + sizeOf(y.shape) * (a.shape[1] ?? 0), 0);
  const pieces = piecesOf(c, work / MATMUL_SPEED);
  together(c, pieces, () => {
    for (const [a, b, y] of products) callMatMul(c, a, b, y, Math.ceil(pieces / products.length));
  });
}

/** y = a · b, all row-major matrices; rows in `pieces` calls. */
function callMatMul(c: LowerContext, a: Placement, b: Placement, y: Placement, pieces: number): void {
  const [m = 0, k = 0] = a.shape;
  const n = b.shape[1] ?? 0;
  if (m === 0 || n === 0) return;
  const kernel: Kernel = {
    name: 'f32_matmul',
    emit: (module, family, exported) => addMatMul(module, { ...family, exported }),
    twin: matmulTwin,
  };
  const row = (of: Placement, index: number, length: number): Address => ({
    buffer: of.buffer,
    offset: of.offset + 4 * index * length,
  });
  for (const { first, count } of ranges(m, TALLEST, pieces))
    c.call(kernel, n, row(b, 0, n), row(y, first, n), 32, 32, 0, row(a, first, k), count, k, 4 * n, 4 * k, 4 * n);
}

export const gemmLowerings: Lowerings = { Gemm: { lower: lowerGemm }, MatMul: { lower: lowerMatMul } };

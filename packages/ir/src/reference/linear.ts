/** Kernels of the operators in `ops/linear.ts`. */
import { fromReals } from '../numeric.ts';
import { readEquation } from '../ops/einsum.ts';
import type { linearOps } from '../ops/linear.ts';
import type { Tensor } from '../types.ts';
import { type Arithmetic, readReals, real, toDoubles, withArithmetic } from './arithmetic.ts';
import { convKernels } from './conv.ts';
import { einsum } from './einsum.ts';
import { broadcastIndices, sizeOf } from './indexing.ts';
import type { Kernels } from './kernel.ts';
import { requantize } from './saturate.ts';

/** A matrix product taken apart: which matrix of each factor meets which, and their sizes. */
interface Product {
  /** Shape of the result with the axes that a vector leaves out put in as 1. */
  readonly full: readonly number[];
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly left: ArrayLike<number>;
  readonly right: ArrayLike<number>;
}

const asRows = (shape: readonly number[]): readonly number[] => (shape.length === 1 ? [1, ...shape] : shape);
const asColumns = (shape: readonly number[]): readonly number[] => (shape.length === 1 ? [...shape, 1] : shape);

function productOf(left: readonly number[], right: readonly number[], result: readonly number[]): Product {
  const a = asRows(left);
  const b = asColumns(right);
  const [m = 1, k = 1] = a.slice(-2);
  const n = b.at(-1) ?? 1;
  const kept = (left.length > 1 ? 1 : 0) + (right.length > 1 ? 1 : 0);
  const batch = result.slice(0, result.length - kept);
  // An empty result multiplies nothing, however long its other axes are.
  const pairs = result.includes(0) ? [0] : batch;
  return {
    full: [...batch, m, n],
    m,
    k,
    n,
    left: broadcastIndices(result.includes(0) ? [] : a.slice(0, -2), pairs),
    right: broadcastIndices(result.includes(0) ? [] : b.slice(0, -2), pairs),
  };
}

/** Row by row: y[i] += a[i, k] · b[k], whole rows at a time. */
function multiply<A>(arithmetic: Arithmetic<A>, a: A, b: A, { m, k, n, left, right }: Product): A {
  const y = arithmetic.zeros(left.length * m * n);
  for (let p = 0; p < left.length; p++) {
    const aBase = (left[p] ?? 0) * m * k;
    const bBase = (right[p] ?? 0) * k * n;
    for (let i = 0; i < m; i++)
      for (let s = 0; s < k; s++)
        arithmetic.accumulate(y, (p * m + i) * n, 1, a, aBase + i * k + s, 0, b, bBase + s * n, 1, n);
  }
  return y;
}

/** Shape of a scale or zero point of a factor, ready to broadcast: a vector is one entry per row, or per column. */
function factorShape(value: Tensor, axis: 'row' | 'column'): readonly number[] {
  if (value.data.length === 1) return [];
  return axis === 'row' ? asColumns(value.shape) : value.shape;
}

/** Integers with their zero point taken away, in doubles. */
function centred(value: Tensor, zero: Tensor | undefined, axis: 'row' | 'column'): Float64Array {
  const values = toDoubles(value);
  if (!zero) return values;
  const from = broadcastIndices(factorShape(zero, axis), axis === 'row' ? asRows(value.shape) : asColumns(value.shape));
  for (let i = 0; i < values.length; i++) values[i] = (values[i] ?? 0) - Number(zero.data[from[i] ?? 0]);
  return values;
}

/** Determinant of the n×n matrix at `base`, by elimination with the largest pivot; the matrix is used up. */
function determinant(a: Float64Array, base: number, n: number): number {
  let result = 1;
  const at = (row: number, column: number) => base + row * n + column;
  for (let c = 0; c < n; c++) {
    let pivot = c;
    for (let r = c + 1; r < n; r++) if (Math.abs(a[at(r, c)] ?? 0) > Math.abs(a[at(pivot, c)] ?? 0)) pivot = r;
    if (pivot !== c) {
      result = -result;
      for (let j = c; j < n; j++) {
        const swapped = a[at(c, j)] ?? 0;
        a[at(c, j)] = a[at(pivot, j)] ?? 0;
        a[at(pivot, j)] = swapped;
      }
    }
    const head = a[at(c, c)] ?? 0;
    result *= head;
    // Singular: zero without a sign, or NaN from earlier pivots.
    if (head === 0) return Math.abs(result);
    for (let r = c + 1; r < n; r++) {
      const factor = (a[at(r, c)] ?? 0) / head;
      for (let j = c + 1; j < n; j++) a[at(r, j)] = (a[at(r, j)] ?? 0) - factor * (a[at(c, j)] ?? 0);
    }
  }
  return result;
}

export const linearKernels: Kernels<keyof typeof linearOps> = {
  ...convKernels,

  MatMul: (c) => {
    const [a, b, { shape }] = [c.input(0), c.input(1), c.outputs[0] as Tensor];
    const product = productOf(a.shape, b.shape, shape);
    return [
      withArithmetic(a.dtype, (arithmetic) =>
        arithmetic.store(a.dtype, shape, multiply(arithmetic, arithmetic.load(a), arithmetic.load(b), product)),
      ),
    ];
  },

  Gemm: (c) => {
    const { alpha, beta, transA, transB } = c.attributes;
    const [a, b, bias, { shape }] = [c.input(0), c.input(1), c.inputs[2], c.outputs[0] as Tensor];
    const [m = 0, n = 0] = shape;
    const k = a.shape[transA ? 0 : 1] ?? 0;
    const [aRow, aColumn] = transA ? [1, m] : [k, 1];
    return [
      withArithmetic(a.dtype, (arithmetic) => {
        const [left, right, sums] = [arithmetic.load(a), arithmetic.load(b), arithmetic.zeros(m * n)];
        for (let i = 0; i < m; i++)
          if (transB)
            // Rows of B lie along the sum: inner products read memory in order.
            for (let j = 0; j < n; j++)
              arithmetic.accumulate(sums, i * n + j, 0, left, i * aRow, aColumn, right, j * k, 1, k);
          else
            for (let s = 0; s < k; s++)
              arithmetic.accumulate(sums, i * n, 1, left, i * aRow + s * aColumn, 0, right, s * n, 1, n);
        const y = alpha === 1 ? sums : arithmetic.scale(sums, alpha);
        if (bias && beta !== 0) {
          const added = arithmetic.scale(arithmetic.load(bias), beta);
          const one = arithmetic.load(fromReals(a.dtype, [1], [1]));
          const [rows, columns] = [1, 1, ...bias.shape].slice(-2);
          const rowStep = rows === 1 ? 0 : (columns ?? 1);
          for (let i = 0; i < m; i++)
            arithmetic.accumulate(y, i * n, 1, one, 0, 0, added, i * rowStep, columns === 1 ? 0 : 1, n);
        }
        return arithmetic.store(a.dtype, shape, y);
      }),
    ];
  },

  Einsum: (c) => {
    const inputs = c.inputs.map((_, i) => c.input(i));
    const { dtype, shape } = c.outputs[0] as Tensor;
    const read = readEquation(
      c.fail,
      c.attributes.equation,
      inputs.map((input) => input.shape),
    );
    if (!read) return c.fail('the shapes of the inputs are not known.');
    return [
      withArithmetic(dtype, (arithmetic) => {
        const operands = inputs.map((input) => ({ values: arithmetic.load(input), shape: input.shape }));
        const one = arithmetic.load(fromReals(dtype, [1], [1]));
        return arithmetic.store(dtype, shape, einsum(arithmetic, one, operands, read));
      }),
    ];
  },

  MatMulInteger: (c) => {
    const [a, b, { shape }] = [c.input(0), c.input(1), c.outputs[0] as Tensor];
    // Exact: a product of two 9-bit differences summed over any length that fits in memory stays below 2^53.
    const y = multiply(
      real,
      centred(a, c.inputs[2], 'row'),
      centred(b, c.inputs[3], 'column'),
      productOf(a.shape, b.shape, shape),
    );
    return [fromReals('int32', shape, y)];
  },

  QLinearMatMul: (c) => {
    const [a, aScale, b, bScale] = [c.input(0), c.input(1), c.input(3), c.input(4)];
    const { dtype, shape } = c.outputs[0] as Tensor;
    const product = productOf(a.shape, b.shape, shape);
    const sums = multiply(real, centred(a, c.input(2), 'row'), centred(b, c.input(5), 'column'), product);
    const [rowScales, columnScales] = [readReals(aScale), readReals(bScale)];
    const rows = broadcastIndices(factorShape(aScale, 'row'), product.full);
    const columns = broadcastIndices(factorShape(bScale, 'column'), product.full);
    const yScale = readReals(c.input(6))[0] ?? 1;
    const factor = (i: number) => ((rowScales[rows[i] ?? 0] ?? 1) * (columnScales[columns[i] ?? 0] ?? 1)) / yScale;
    return [requantize(dtype, shape, sums, factor, Number(c.input(7).data[0]))];
  },

  Det: (c) => {
    const x = c.input(0);
    const { shape } = c.outputs[0] as Tensor;
    const n = x.shape.at(-1) ?? 0;
    const matrices = toDoubles(x);
    const results = Float64Array.from({ length: sizeOf(shape) }, (_, i) => determinant(matrices, i * n * n, n));
    return [fromReals(x.dtype, shape, results)];
  },
};

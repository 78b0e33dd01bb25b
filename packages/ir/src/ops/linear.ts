/** Matrix products, and what is made of them; convolutions are in `conv.ts`. */
import { flag, float, type InferContext, op, text } from '../op.ts';
import {
  type Dim,
  type DType,
  FLOAT_DTYPES,
  formatShape,
  isFloat,
  NUMERIC_DTYPES,
  type Shape,
  type TensorType,
} from '../types.ts';
import { broadcastShapes } from './broadcast.ts';
import { convOps } from './conv.ts';
import { readEquation } from './einsum.ts';
import { checkScalar, checkScales, differ } from './scales.ts';

const INT8: readonly DType[] = ['int8', 'uint8'];
const PRODUCT_DTYPES: readonly DType[] = [...FLOAT_DTYPES, 'int32', 'int64', 'uint32', 'uint64'];

type Context = Pick<InferContext<never>, 'has' | 'shape' | 'reals' | 'fail' | 'unknown'>;

const product = (dims: Shape | null | undefined): number =>
  (dims ?? []).reduce<number>((all, dim) => all * Number(dim), 1);

/** Shape of the product of inputs `left` and `right` as numpy's matmul defines it. */
function inferMatMul(c: Context, left: number, right: number): Shape | null {
  const a = c.shape(left);
  const b = c.shape(right);
  for (const shape of [a, b]) if (shape?.length === 0) c.fail('a scalar cannot be multiplied as a matrix; use Mul.');
  if (!a || !b) return null;
  const inner = a.at(-1);
  const other = b.at(-2) ?? b[0];
  if (differ(inner, other))
    c.fail(
      `A has shape ${formatShape(a)}, B ${formatShape(b)}: ${inner} columns meet ${other} rows. Both must be equal.`,
    );
  const batch = broadcastShapes(c, [a.slice(0, -2), b.slice(0, -2)]) ?? [];
  const rows = a.length > 1 ? [a.at(-2) as Dim] : [];
  const columns = b.length > 1 ? [b.at(-1) as Dim] : [];
  return [...batch, ...rows, ...columns];
}

const matMulMacs = (a: TensorType | undefined, y: TensorType | undefined): number =>
  product(y?.shape) * Number(a?.shape?.at(-1) ?? 1);

/**
 * A scale or zero point of one factor: one element; a vector, one per row of A or column of B; or of the factor's own
 * rank with 1 in place of the axis that is summed.
 */
function checkFactor(c: Context, input: number, name: string, factor: number, summed: -1 | -2): void {
  const shape = c.has(input) ? c.shape(input) : null;
  const whole = c.shape(factor);
  if (!shape || shape.every((dim) => dim === 1) || !whole) return;
  const kept = whole.length > 1 ? whole.at(summed === -1 ? -2 : -1) : 1;
  const wanted = whole.map((dim, axis) => (axis === whole.length + summed ? 1 : dim));
  const fits =
    shape.length === 1
      ? !differ(shape[0], kept)
      : shape.length === wanted.length && wanted.every((dim, axis) => !differ(dim, shape[axis]));
  if (!fits)
    c.fail(
      `${name} has shape ${formatShape(shape)}; [], [${kept}] or ${formatShape(wanted)} is needed beside ${formatShape(whole)}.`,
    );
}

export const linearOps = {
  ...convOps,

  MatMul: op({
    since: 13,
    inputs: ['A: T', 'B: T'],
    outputs: ['Y: T'],
    types: { T: PRODUCT_DTYPES },
    attributes: {},
    infer: (c) => [inferMatMul(c, 0, 1)],
    macs: (inputs, outputs) => matMulMacs(inputs[0], outputs[0]),
  }),

  Gemm: op({
    since: 13,
    inputs: ['A: T', 'B: T', 'C?: T'],
    outputs: ['Y: T'],
    types: { T: PRODUCT_DTYPES },
    attributes: { alpha: float(1), beta: float(1), transA: flag(0), transB: flag(0) },
    infer: (c) => {
      const { alpha, beta, transA, transB } = c.attributes;
      if (!isFloat(c.dtype(0)) && !(Number.isSafeInteger(alpha) && Number.isSafeInteger(beta)))
        c.fail(
          `alpha is ${alpha} and beta ${beta}; for ${c.dtype(0)} matrices whole numbers are needed.`,
          'GRIM_IR_BAD_ATTRIBUTE',
        );
      const a = c.shape(0);
      const b = c.shape(1);
      for (const [name, shape] of [
        ['A', a],
        ['B', b],
      ] as const)
        if (shape && shape.length !== 2) c.fail(`${name} has shape ${formatShape(shape)}; a matrix is needed.`);
      const m = a?.[transA ? 1 : 0] ?? c.unknown();
      const n = b?.[transB ? 0 : 1] ?? c.unknown();
      const k = a?.[transA ? 0 : 1];
      const rows = b?.[transB ? 1 : 0];
      if (differ(k, rows))
        c.fail(
          `A ${formatShape(a)}${transA ? ' transposed' : ''} has ${k} columns, B ${formatShape(b)}${transB ? ' transposed' : ''} ${rows} rows. Both must be equal.`,
        );
      const bias = c.has(2) ? c.shape(2) : null;
      if (bias) {
        const aligned = bias.length > 2 ? undefined : [1, 1, ...bias].slice(-2);
        if (!aligned || [m, n].some((dim, axis) => aligned[axis] !== 1 && differ(dim, aligned[axis])))
          c.fail(`C has shape ${formatShape(bias)}; one that broadcasts to [${m}, ${n}] is needed.`);
      }
      return [[m, n]];
    },
    macs: (inputs, outputs, { transA }) => product(outputs[0]?.shape) * Number(inputs[0]?.shape?.[transA ? 0 : 1] ?? 1),
  }),

  Einsum: op({
    since: 12,
    inputs: ['Inputs...: T'],
    outputs: ['Output: T'],
    types: { T: NUMERIC_DTYPES },
    attributes: { equation: text() },
    infer: (c) => {
      const shapes = Array.from({ length: c.inputCount }, (_, i) => c.shape(i));
      const read = readEquation(c.fail, c.attributes.equation, shapes);
      return [read?.output.map((label) => read.lengths.get(label) ?? 1) ?? null];
    },
    macs: (inputs, _, { equation }) => {
      const fail = (): never => {
        throw new Error('internal: macs of an equation that inference refused');
      };
      const read = readEquation(
        fail,
        equation,
        inputs.map((input) => input?.shape ?? null),
      );
      return product(Array.from(read?.lengths.values() ?? []));
    },
  }),

  MatMulInteger: op({
    since: 10,
    inputs: ['A: T1', 'B: T2', 'a_zero_point?: T1', 'b_zero_point?: T2'],
    outputs: ['Y: int32'],
    types: { T1: INT8, T2: INT8 },
    attributes: {},
    infer: (c) => {
      checkFactor(c, 2, 'a_zero_point', 0, -1);
      checkFactor(c, 3, 'b_zero_point', 1, -2);
      return [inferMatMul(c, 0, 1)];
    },
    macs: (inputs, outputs) => matMulMacs(inputs[0], outputs[0]),
  }),

  QLinearMatMul: op({
    since: 21,
    inputs: [
      'a: T1',
      'a_scale: TS',
      'a_zero_point: T1',
      'b: T2',
      'b_scale: TS',
      'b_zero_point: T2',
      'y_scale: TS',
      'y_zero_point: T3',
    ],
    outputs: ['y: T3'],
    types: { T1: INT8, T2: INT8, T3: INT8, TS: ['float32', 'float16', 'bfloat16'] },
    attributes: {},
    infer: (c) => {
      checkFactor(c, 1, 'a_scale', 0, -1);
      checkFactor(c, 2, 'a_zero_point', 0, -1);
      checkFactor(c, 4, 'b_scale', 3, -2);
      checkFactor(c, 5, 'b_zero_point', 3, -2);
      checkScalar(c, 6, 'y_scale');
      checkScalar(c, 7, 'y_zero_point');
      checkScales(c, 1, 'a_scale');
      checkScales(c, 4, 'b_scale');
      checkScales(c, 6, 'y_scale');
      return [inferMatMul(c, 0, 3)];
    },
    macs: (inputs, outputs) => matMulMacs(inputs[0], outputs[0]),
  }),

  Det: op({
    since: 22,
    inputs: ['X: T'],
    outputs: ['Y: T'],
    types: { T: FLOAT_DTYPES },
    attributes: {},
    infer: (c) => {
      const shape = c.shape(0);
      if (!shape) return [null];
      if (shape.length < 2 || differ(shape.at(-1), shape.at(-2)))
        c.fail(`X has shape ${formatShape(shape)}; square matrices in the last two axes are needed.`);
      return [shape.slice(0, -2)];
    },
  }),
};

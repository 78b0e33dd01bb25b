/**
 * Kernels of the operators in `ops/recurrent.ts`.
 *
 * All three share the walk over directions, batch and time; a cell is one step of one sequence. Weights are row-major
 * [gates * hidden, …], so that the pre-activation of gate g, unit j is row g * hidden + j.
 */
import { fromReals, toReals } from '../numeric.ts';
import { type Activation, activationsOf, directionsOf, RECURRENT, type recurrentOps } from '../ops/recurrent.ts';
import type { Tensor } from '../types.ts';
import { sizeOf } from './indexing.ts';
import type { KernelContext, Kernels } from './kernel.ts';

type Kind = keyof typeof recurrentOps;
type Scalar = (x: number) => number;

function scalarOf({ name, alpha, beta }: Activation): Scalar {
  switch (name) {
    case 'relu':
      return (x) => Math.max(x, 0);
    case 'tanh':
      return Math.tanh;
    case 'sigmoid':
      return (x) => 1 / (1 + Math.exp(-x));
    case 'affine':
      return (x) => alpha * x + beta;
    case 'leakyrelu':
      return (x) => (x < 0 ? alpha * x : x);
    case 'thresholdedrelu':
      return (x) => (x > alpha || Number.isNaN(x) ? x : 0);
    case 'scaledtanh':
      return (x) => alpha * Math.tanh(beta * x);
    case 'hardsigmoid':
      return (x) => Math.min(1, Math.max(0, alpha * x + beta));
    case 'elu':
      return (x) => (x < 0 ? alpha * Math.expm1(x) : x);
    case 'softsign':
      return (x) => x / (1 + Math.abs(x));
    default:
      // Softplus, as max(x, 0) + log(1 + exp(-|x|)): exp(x) itself overflows.
      return (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  }
}

/** Everything that one step of one sequence needs. `fromX` and `fromH` hold W·x + Wb and R·h + Rb, one row per unit. */
interface Step {
  readonly hidden: number;
  readonly fromX: Float64Array;
  readonly fromH: Float64Array;
  /** The state, replaced in place. */
  readonly h: Float64Array;
  readonly cell: Float64Array;
  /** R and its bias of this direction, for what a cell multiplies itself. */
  readonly r: Float64Array;
  readonly rBias: Float64Array;
  readonly peepholes: Float64Array;
  readonly functions: readonly Scalar[];
}

/** Applies one step to `s.h` (and `s.cell`). */
type Cell = (s: Step) => void;

/** y = matrix · x + bias; the matrix is [rows, x.length] row-major from `row` on. */
function multiply(
  matrix: Float64Array,
  x: Float64Array,
  bias: Float64Array,
  y: Float64Array,
  row = 0,
  rows = y.length,
): void {
  const columns = x.length;
  for (let i = 0; i < rows; i++) {
    let sum = bias[row + i] ?? 0;
    const start = (row + i) * columns;
    for (let k = 0; k < columns; k++) sum += (matrix[start + k] as number) * (x[k] as number);
    y[i] = sum;
  }
}

const identity: Scalar = (x) => x;

const rnnCell: Cell = ({ hidden, fromX, fromH, h, functions: [f = identity] }) => {
  for (let j = 0; j < hidden; j++) h[j] = f((fromX[j] as number) + (fromH[j] as number));
};

/** Gates z (update), r (reset), h (hidden). `linear` is linear_before_reset. */
function gruCell(linear: boolean): Cell {
  return ({ hidden, fromX, fromH, h, r, rBias, functions: [f = identity, g = identity] }) => {
    const z = new Float64Array(hidden);
    const reset = new Float64Array(hidden);
    for (let j = 0; j < hidden; j++) {
      z[j] = f((fromX[j] as number) + (fromH[j] as number));
      reset[j] = f((fromX[hidden + j] as number) + (fromH[hidden + j] as number));
    }
    const recurrent = new Float64Array(hidden);
    if (linear) {
      for (let j = 0; j < hidden; j++) recurrent[j] = (reset[j] as number) * (fromH[2 * hidden + j] as number);
    } else {
      multiply(
        r,
        h.map((value, j) => (reset[j] as number) * value),
        rBias,
        recurrent,
        2 * hidden,
      );
    }
    for (let j = 0; j < hidden; j++) {
      const candidate = g((fromX[2 * hidden + j] as number) + (recurrent[j] as number));
      h[j] = (1 - (z[j] as number)) * candidate + (z[j] as number) * (h[j] as number);
    }
  };
}

/** Gates i, o, f, c; peepholes i, o, f. `coupled` is input_forget: f = 1 - i. */
function lstmCell(coupled: boolean): Cell {
  return ({ hidden, fromX, fromH, h, cell, peepholes, functions: [f = identity, g = identity, last = identity] }) => {
    const gate = (index: number, j: number) =>
      (fromX[index * hidden + j] as number) + (fromH[index * hidden + j] as number);
    const peephole = (index: number, j: number) => peepholes[index * hidden + j] as number;
    for (let j = 0; j < hidden; j++) {
      const before = cell[j] as number;
      const input = f(gate(0, j) + peephole(0, j) * before);
      const forget = coupled ? 1 - input : f(gate(2, j) + peephole(2, j) * before);
      const after = forget * before + input * g(gate(3, j));
      const output = f(gate(1, j) + peephole(1, j) * after);
      cell[j] = after;
      h[j] = output * last(after);
    }
  };
}

/** GRU and LSTM have the attributes of RNN, and more. */
function run(c: KernelContext<'RNN'>, kind: Kind, cell: Cell): readonly Tensor[] {
  const { direction, layout, clip = Infinity } = c.attributes;
  const { gates, activations } = RECURRENT[kind];
  const directions = directionsOf(direction);
  const bound = (f: Scalar): Scalar => (clip === Infinity ? f : (x) => f(Math.min(clip, Math.max(-clip, x))));
  // The rule has refused attributes for which this is no list.
  const functions = (activationsOf(c.attributes, activations, directions) as readonly Activation[]).map((activation) =>
    bound(scalarOf(activation)),
  );
  const [x, w, r] = [c.input(0), c.input(1), c.input(2)];
  const [steps = 0, batch = 0] = layout === 0 ? x.shape : [x.shape[1], x.shape[0]];
  const inputSize = x.shape[2] ?? 0;
  const hidden = r.shape[2] ?? 0;
  const rows = gates * hidden;
  const reals = (value: Tensor | undefined, length: number) =>
    value ? Float64Array.from(toReals(value)) : new Float64Array(length);
  const [xs, ws, rs] = [reals(x, 0), reals(w, 0), reals(r, 0)];
  const biases = reals(c.inputs[3], directions * 2 * rows);
  const lengths = c.inputs[4] ? Array.from(toReals(c.inputs[4])) : [];
  const stateLength = directions * batch * hidden;
  // [num_directions, batch_size, hidden_size], or with batch first when layout is 1.
  const stateAt = (d: number, b: number) => (layout === 0 ? d * batch + b : b * directions + d) * hidden;
  const lastH = reals(c.inputs[5], stateLength);
  const lastC = reals(c.inputs[6], stateLength);
  const peepholes = reals(c.inputs[7], directions * 3 * hidden);
  const all = new Float64Array(sizeOf(c.outputs[0]?.shape ?? []));

  for (let d = 0; d < directions; d++) {
    const backward = direction === 'reverse' || d === 1;
    const wOf = ws.subarray(d * rows * inputSize, (d + 1) * rows * inputSize);
    const rOf = rs.subarray(d * rows * hidden, (d + 1) * rows * hidden);
    const wBias = biases.subarray(d * 2 * rows, d * 2 * rows + rows);
    const rBias = biases.subarray(d * 2 * rows + rows, (d + 1) * 2 * rows);
    for (let b = 0; b < batch; b++) {
      const at = stateAt(d, b);
      const step: Step = {
        hidden,
        fromX: new Float64Array(rows),
        fromH: new Float64Array(rows),
        h: lastH.subarray(at, at + hidden),
        cell: lastC.subarray(at, at + hidden),
        r: rOf,
        rBias,
        peepholes: peepholes.subarray(d * 3 * hidden, (d + 1) * 3 * hidden),
        functions: functions.slice(d * activations.length, (d + 1) * activations.length),
      };
      // Steps past a sequence's own length leave its state alone, and its part of Y zero.
      const length = lengths[b] ?? steps;
      for (let s = 0; s < length; s++) {
        const t = backward ? length - 1 - s : s;
        const xAt = (layout === 0 ? t * batch + b : b * steps + t) * inputSize;
        multiply(wOf, xs.subarray(xAt, xAt + inputSize), wBias, step.fromX);
        multiply(rOf, step.h, rBias, step.fromH);
        cell(step);
        // [seq_length, num_directions, batch_size, hidden_size], or batch, sequence, direction, hidden.
        const yAt = layout === 0 ? (t * directions + d) * batch + b : (b * steps + t) * directions + d;
        all.set(step.h, yAt * hidden);
      }
    }
  }
  const values = [all, lastH, lastC];
  return c.outputs.map(({ dtype, shape }, i) => fromReals(dtype, shape, values[i] ?? []));
}

export const recurrentKernels: Kernels<Kind> = {
  RNN: (c) => run(c, 'RNN', rnnCell),
  GRU: (c) => run(c, 'GRU', gruCell(c.attributes.linear_before_reset === 1)),
  LSTM: (c) => run(c, 'LSTM', lstmCell(c.attributes.input_forget === 1)),
};

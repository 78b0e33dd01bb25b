/**
 * How an operator with weights becomes products of its matrices with vectors: convolutions position by position, recurrent
 * layers step by step. What the vectors are, integers for crossbars or real numbers, and who multiplies, is the caller's.
 */
import { type Node, type NodeOf, type Tensor, toReals } from '@grim/ir';
import type { LinearPart } from './network.ts';

type Vector = Int32Array | Float64Array;

/** How a layer's real numbers meet its products. */
export interface Arithmetic<V extends Vector> {
  /** What the lines are driven with, element by element. */
  drive(part: LinearPart, x: Float64Array): V;
  /** So many lines driven with a zero. */
  zeros(part: LinearPart, length: number): V;
  /** [vectors, cols] → [vectors, rows] real numbers. */
  multiply(part: LinearPart, x: V): Float64Array;
}

/** @returns the node's outputs, of `shapes`; undefined for an operator that is not lowered */
export function lower<V extends Vector>(
  node: Node,
  parts: readonly LinearPart[],
  inputs: readonly (Tensor | undefined)[],
  shapes: readonly (readonly number[])[],
  how: Arithmetic<V>,
): readonly Tensor[] | undefined {
  const dtype = inputs[0]?.dtype ?? 'float32';
  // Layers of other element types have been left digital.
  const tensor = (shape: readonly number[], data: Float64Array): Tensor =>
    dtype === 'float64' ? { dtype, shape, data } : { dtype: 'float32', shape, data: Float32Array.from(data) };
  const reals = inputs.map((input) => (input ? Float64Array.from(toReals(input)) : undefined));
  switch (node.op) {
    case 'Conv':
      return [tensor(shapes[0] ?? [], convolve(node, parts, inputs, reals, shapes[0] ?? [], how))];
    case 'Gemm':
      return [tensor(shapes[0] ?? [], gemm(node, parts, inputs, reals, shapes[0] ?? [], how))];
    case 'MatMul': {
      const [part] = parts;
      return part && reals[0] && [tensor(shapes[0] ?? [], how.multiply(part, how.drive(part, reals[0])))];
    }
    case 'GRU':
    case 'LSTM': {
      const values = recur(node, parts, inputs, reals, how);
      return shapes.map((shape, i) => tensor(shape, values[i] ?? new Float64Array()));
    }
    default:
      return undefined;
  }
}

type Reals = readonly (Float64Array | undefined)[];

function convolve<V extends Vector>(
  node: NodeOf<'Conv'>,
  parts: readonly LinearPart[],
  inputs: readonly (Tensor | undefined)[],
  reals: Reals,
  shape: readonly number[],
  { drive, zeros, multiply }: Arithmetic<V>,
): Float64Array {
  const [any] = parts;
  // Groups share their input's scale.
  const x = any && drive(any, reals[0] ?? new Float64Array());
  const [batch = 0, channels = 0, ...wide] = inputs[0]?.shape ?? [];
  const kernel = inputs[1]?.shape.slice(2) ?? [];
  const [, filters = 0, ...narrow] = shape;
  const spatial = size(wide);
  const positions = size(narrow);
  const taps = size(kernel);
  const table = tapTable(node, wide, narrow, kernel);
  const groupChannels = channels / parts.length;
  const out = new Float64Array(size(shape));
  const cols = groupChannels * taps;
  for (let image = 0; image < batch; image++)
    parts.forEach((part, group) => {
      const vectors = zeros(part, positions * cols);
      for (let p = 0; p < positions; p++)
        for (let c = 0; c < groupChannels; c++) {
          const plane = (image * channels + group * groupChannels + c) * spatial;
          for (let tap = 0; tap < taps; tap++) {
            const at = table[p * taps + tap] ?? -1;
            if (at >= 0) vectors[p * cols + c * taps + tap] = x?.[plane + at] ?? 0;
          }
        }
      const y = multiply(part, vectors);
      const { rows } = part.matrix;
      for (let f = 0; f < rows; f++) {
        const filter = group * rows + f;
        const bias = reals[2]?.[filter] ?? 0;
        for (let p = 0; p < positions; p++)
          out[(image * filters + filter) * positions + p] = (y[p * rows + f] ?? 0) + bias;
      }
    });
  return out;
}

/** For every output position and tap, the input position, or −1 where padding is read. */
function tapTable(
  node: NodeOf<'Conv'>,
  wide: readonly number[],
  narrow: readonly number[],
  kernel: readonly number[],
): Int32Array {
  const { auto_pad, pads = [], strides = [], dilations = [] } = node.attributes;
  const before = wide.map((length, axis) => {
    if (auto_pad === 'VALID') return 0;
    if (auto_pad === 'NOTSET') return pads[axis] ?? 0;
    const reach = ((kernel[axis] ?? 1) - 1) * (dilations[axis] ?? 1) + 1;
    const total = Math.max(((narrow[axis] ?? 1) - 1) * (strides[axis] ?? 1) + reach - length, 0);
    return auto_pad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
  });
  const taps = size(kernel);
  return Int32Array.from({ length: size(narrow) * taps }, (_, i) => {
    let position = Math.floor(i / taps);
    let tap = i % taps;
    let at = 0;
    let stride = 1;
    for (let axis = wide.length - 1; axis >= 0; axis--) {
      const o = position % (narrow[axis] ?? 1);
      const k = tap % (kernel[axis] ?? 1);
      position = (position - o) / (narrow[axis] ?? 1);
      tap = (tap - k) / (kernel[axis] ?? 1);
      const w = o * (strides[axis] ?? 1) + k * (dilations[axis] ?? 1) - (before[axis] ?? 0);
      if (w < 0 || w >= (wide[axis] ?? 0)) return -1;
      at += w * stride;
      stride *= wide[axis] ?? 1;
    }
    return at;
  });
}

function gemm<V extends Vector>(
  node: NodeOf<'Gemm'>,
  [part]: readonly LinearPart[],
  inputs: readonly (Tensor | undefined)[],
  reals: Reals,
  shape: readonly number[],
  { drive, multiply }: Arithmetic<V>,
): Float64Array {
  const { alpha, beta, transA } = node.attributes;
  const [m = 0, n = 0] = shape;
  const a = reals[0] ?? new Float64Array();
  const k = m === 0 ? 0 : a.length / m;
  const rows = transA === 0 ? a : Float64Array.from(a, (_, i) => a[(i % k) * m + Math.floor(i / k)] ?? 0);
  const y = part ? multiply(part, drive(part, rows)) : new Float64Array(m * n);
  const c = reals[2];
  const [cRows = 1, cCols = 1] = [1, 1, ...(inputs[2]?.shape ?? [])].slice(-2);
  return y.map((value, i) => {
    const row = cRows === 1 ? 0 : Math.floor(i / n);
    const col = cCols === 1 ? 0 : i % n;
    return alpha * value + (c ? beta * (c[row * cCols + col] ?? 0) : 0);
  });
}

/** GRU and LSTM step by step: all sequences of a batch, with their products in one call. */
function recur<V extends Vector>(
  node: NodeOf<'GRU'> | NodeOf<'LSTM'>,
  parts: readonly LinearPart[],
  inputs: readonly (Tensor | undefined)[],
  reals: Reals,
  { drive, multiply }: Arithmetic<V>,
): readonly Float64Array[] {
  const { direction, layout } = node.attributes;
  const [first = 0, second = 0, inputSize = 0] = inputs[0]?.shape ?? [];
  const [steps, batch] = layout === 0 ? [first, second] : [second, first];
  const [directions = 1, , hidden = 0] = inputs[2]?.shape ?? [];
  const gates = node.op === 'GRU' ? 3 : 4;
  const rows = gates * hidden;
  const each = parts.length / directions;
  const x = reals[0] ?? new Float64Array();
  const stateLength = directions * batch * hidden;
  const lastH = Float64Array.from(reals[5] ?? new Float64Array(stateLength));
  const lastC = Float64Array.from(reals[6] ?? new Float64Array(stateLength));
  const all = new Float64Array(steps * stateLength);
  const sigmoid = (value: number) => 1 / (1 + Math.exp(-value));

  for (let d = 0; d < directions; d++) {
    const [w, r, rh] = parts.slice(d * each, (d + 1) * each);
    if (!w || !r) continue;
    const bias = (row: number) => reals[3]?.[d * 2 * rows + row] ?? 0;
    const stateAt = (b: number) => (layout === 0 ? d * batch + b : b * directions + d) * hidden;
    const gather = (source: Float64Array) => {
      const out = new Float64Array(batch * hidden);
      for (let b = 0; b < batch; b++) out.set(source.subarray(stateAt(b), stateAt(b) + hidden), b * hidden);
      return out;
    };
    const h = gather(lastH);
    const cell = gather(lastC);
    for (let s = 0; s < steps; s++) {
      const t = direction === 'reverse' || d === 1 ? steps - 1 - s : s;
      const now = new Float64Array(batch * inputSize);
      for (let b = 0; b < batch; b++) {
        const at = (layout === 0 ? t * batch + b : b * steps + t) * inputSize;
        now.set(x.subarray(at, at + inputSize), b * inputSize);
      }
      const fromX = multiply(w, drive(w, now));
      const fromH = multiply(r, drive(r, h));
      if (node.op === 'GRU' && rh) {
        const linear = node.attributes.linear_before_reset === 1;
        const gate = (b: number, g: number, j: number) =>
          sigmoid(
            (fromX[b * rows + g * hidden + j] ?? 0) +
              (fromH[b * 2 * hidden + g * hidden + j] ?? 0) +
              bias(g * hidden + j) +
              bias(rows + g * hidden + j),
          );
        const reset = h.map((_, i) => gate(Math.floor(i / hidden), 1, i % hidden));
        const kept = linear ? h : h.map((value, i) => value * (reset[i] ?? 0));
        const candidate = multiply(rh, drive(rh, kept));
        for (let i = 0; i < h.length; i++) {
          const [b, j] = [Math.floor(i / hidden), i % hidden];
          const recurrent = (candidate[i] ?? 0) + bias(rows + 2 * hidden + j);
          const inner = (fromX[b * rows + 2 * hidden + j] ?? 0) + bias(2 * hidden + j);
          const fresh = Math.tanh(inner + (linear ? (reset[i] ?? 0) : 1) * recurrent);
          const z = gate(b, 0, j);
          h[i] = (1 - z) * fresh + z * (h[i] ?? 0);
        }
      } else if (node.op === 'LSTM') {
        for (let i = 0; i < h.length; i++) {
          const [b, j] = [Math.floor(i / hidden), i % hidden];
          const gate = (g: number) =>
            (fromX[b * rows + g * hidden + j] ?? 0) +
            (fromH[b * rows + g * hidden + j] ?? 0) +
            bias(g * hidden + j) +
            bias(rows + g * hidden + j);
          const input = sigmoid(gate(0));
          const forget = node.attributes.input_forget === 1 ? 1 - input : sigmoid(gate(2));
          cell[i] = forget * (cell[i] ?? 0) + input * Math.tanh(gate(3));
          h[i] = sigmoid(gate(1)) * Math.tanh(cell[i] ?? 0);
        }
      }
      for (let b = 0; b < batch; b++) {
        const at = layout === 0 ? (t * directions + d) * batch + b : (b * steps + t) * directions + d;
        all.set(h.subarray(b * hidden, (b + 1) * hidden), at * hidden);
      }
    }
    for (let b = 0; b < batch; b++) {
      lastH.set(h.subarray(b * hidden, (b + 1) * hidden), stateAt(b));
      lastC.set(cell.subarray(b * hidden, (b + 1) * hidden), stateAt(b));
    }
  }
  return [all, lastH, lastC];
}

function size(shape: readonly number[]): number {
  return shape.reduce((all, length) => all * length, 1);
}

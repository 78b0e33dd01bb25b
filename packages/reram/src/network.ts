/**
 * A network whose linear layers compute with integers: which matrices it has, with what scales, and how an operator is
 * lowered to products of a matrix with integer vectors. Who multiplies, crossbars or plain arithmetic, is the caller's.
 *
 * Weights are symmetric, one scale per filter; inputs have one scale per layer, from the largest value met on calibration
 * data, unsigned when none of them is negative. Bias, activations and all other operators stay in floating point.
 */
import {
  type Graph,
  gemmView,
  inferTypes,
  type Node,
  type NodeOf,
  type Tensor,
  toReals,
  type Weight,
  weightIndex,
} from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { type IntMatrix, type Quantised, quantise, type RealMatrix, roundHalfEven } from './project.ts';

/** The inputs of one run of the graph. */
export type Feed = Parameters<typeof evaluate>[1];

/** One integer matrix of a layer: a group of a convolution, a direction of a recurrent layer, or all of it. */
export interface LinearPart {
  /** The node's name, with what part it is. */
  readonly name: string;
  /** Position among the parts of the network: what random numbers are drawn by. */
  readonly index: number;
  /** [outputs, inputs] */
  readonly matrix: IntMatrix;
  /** Of the weights, one per output. */
  readonly scales: Float64Array;
  readonly inputScale: number;
  readonly signed: boolean;
}

export interface QuantisedNetwork {
  readonly graph: Graph;
  readonly weightBits: number;
  readonly inputBits: number;
  readonly layers: ReadonlyMap<Node, readonly LinearPart[]>;
  /** Nodes that multiply and yet stay in floating point, with the reason. */
  readonly digital: readonly { readonly node: string; readonly op: string; readonly reason: string }[];
}

export interface QuantiseOptions {
  /** Default 8. */
  readonly weightBits?: number;
  /** Sign included. Default 8. */
  readonly inputBits?: number;
  /** Integers of a layer, from its real weights; default: {@link quantise}. `fitColumns` makes them fit a converter. */
  readonly integersOf?: (weights: RealMatrix<Float64Array>, layer: string) => Quantised;
}

/** Integer products: [vectors, part.matrix.cols] → [vectors, part.matrix.rows], row-major. */
export type Product = (part: LinearPart, x: Int32Array) => Float64Array;

/**
 * Finds the linear layers of a graph and their integers.
 * @param calibration  runs whose values fix the input scales
 * @throws {GrimError} what `evaluate` throws on the calibration data; GRIM_RERAM_BAD_MATRIX for a weight that is not finite
 */
export function quantiseNetwork(
  graph: Graph,
  calibration: readonly Feed[],
  options: QuantiseOptions = {},
): QuantisedNetwork {
  const { weightBits = 8, inputBits = 8, integersOf = (weights) => quantise(weights, weightBits) } = options;
  const ranges = valueRanges(graph, calibration);
  const types = inferTypes(graph);
  const layers = new Map<Node, readonly LinearPart[]>();
  const digital: { node: string; op: string; reason: string }[] = [];
  let index = 0;
  for (const node of graph.nodes) {
    const reason = unsupported(node, graph);
    if (reason === undefined) continue;
    if (reason !== '') {
      digital.push({ node: node.name, op: node.op, reason });
      continue;
    }
    const parts: LinearPart[] = [];
    const add = (suffix: string, rows: number, cols: number, data: Float64Array, range: Range) => {
      const name = node.name + suffix;
      const { integers, scales } = integersOf({ rows, cols, data }, name);
      parts.push({
        name,
        index: index++,
        matrix: integers,
        scales,
        ...inputScale(range, inputBits),
      });
    };
    const range = ranges.get(node.inputs[0] ?? '') ?? UNIT;
    for (const { suffix, rows, cols, data, hidden } of matricesOf(node, graph, types))
      add(suffix, rows, cols, data, hidden ? UNIT : range);
    layers.set(node, parts);
  }
  return { graph, weightBits, inputBits, layers, digital };
}

/** Runs the network with every linear layer's products made by `product`. */
export function evaluateQuantised(network: QuantisedNetwork, feed: Feed, product: Product): Record<string, Tensor> {
  return evaluate(network.graph, feed, {
    override(node, inputs, outputs) {
      const parts = network.layers.get(node);
      if (!parts) return undefined;
      const shapes = outputs.map(({ shape }) => shape as readonly number[]);
      return lower(node, parts, inputs, shapes, arithmetic(network.inputBits, product));
    },
  });
}

/** The integer product itself, in plain arithmetic: what perfect crossbars reproduce. */
export const integerProduct: Product = ({ matrix }, x) => {
  const { rows, cols, data } = matrix;
  const vectors = x.length / cols;
  const out = new Float64Array(vectors * rows);
  for (let v = 0; v < vectors; v++)
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let i = 0; i < cols; i++) sum += (data[row * cols + i] ?? 0) * (x[v * cols + i] ?? 0);
      out[v * rows + row] = sum;
    }
  return out;
};

interface Range {
  readonly low: number;
  readonly high: number;
}

/** Of a hidden state: outputs of tanh, or of sigmoid times tanh. */
const UNIT: Range = { low: -1, high: 1 };

function inputScale(
  { low, high }: Range,
  inputBits: number,
): { readonly inputScale: number; readonly signed: boolean } {
  const signed = low < 0;
  const most = Math.max(-low, high);
  const scale = most / (2 ** (signed ? inputBits - 1 : inputBits) - 1);
  return { inputScale: scale > 0 && Number.isFinite(scale) ? scale : 1, signed };
}

function valueRanges(graph: Graph, calibration: readonly Feed[]): ReadonlyMap<string, Range> {
  const ranges = new Map<string, Range>();
  const widen = (name: string, data: ArrayLike<number>) => {
    let { low, high } = ranges.get(name) ?? { low: 0, high: 0 };
    for (let i = 0; i < data.length; i++) {
      const value = data[i] ?? 0;
      if (value < low) low = value;
      else if (value > high) high = value;
    }
    ranges.set(name, { low, high });
  };
  const wanted = new Set(graph.nodes.map((node) => node.inputs[0] ?? ''));
  for (const feed of calibration) {
    evaluate(graph, feed, {
      onValue: (name, value) => {
        if (wanted.has(name) && /^b?float/.test(value.dtype)) widen(name, toReals(value));
      },
    });
    for (const [name, type] of graph.inputs) {
      const given = Object.hasOwn(feed, name) ? feed[name] : undefined;
      if (!given || !wanted.has(name) || !/^b?float/.test(type.dtype)) continue;
      const data = ArrayBuffer.isView(given) ? given : given.data;
      widen(name, toReals({ dtype: type.dtype, shape: [data.length], data } as Tensor));
    }
  }
  return ranges;
}

/** Why a node stays digital; '' when it does not, undefined when it multiplies no weight at all. */
function unsupported(node: Node, graph: Graph): string | undefined {
  const constant = (input: number) => graph.weights.get(node.inputs[input] ?? '');
  const linear = ['Conv', 'Gemm', 'MatMul', 'GRU', 'LSTM'].includes(node.op);
  const dtype = constant(1)?.dtype;
  if (linear && dtype && dtype !== 'float32' && dtype !== 'float64') return `its weight is ${dtype}`;
  switch (node.op) {
    case 'Conv':
      return constant(1) ? '' : 'its weight is no constant';
    case 'Gemm':
      return constant(1) ? '' : 'its second matrix is no constant';
    case 'MatMul':
      if (!constant(1)) return 'its right matrix is no constant';
      return constant(1)?.shape.length === 2 ? '' : 'its right matrix has batches';
    case 'GRU':
    case 'LSTM': {
      if (!constant(1) || !constant(2)) return 'its weights are no constants';
      const { activations, clip } = node.attributes;
      if (activations !== undefined || clip !== undefined) return 'it has activations or a clip of its own';
      return [4, 7].some((input) => (node.inputs[input] ?? '') !== '') ? 'it has sequence lengths or peepholes' : '';
    }
    case 'ConvTranspose':
    case 'DeformConv':
    case 'ConvInteger':
    case 'QLinearConv':
    case 'MatMulInteger':
    case 'QLinearMatMul':
    case 'RNN':
    case 'Einsum':
      return `${node.op} is not lowered to crossbars`;
    default:
      return undefined;
  }
}

interface RealPart {
  readonly suffix: string;
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
  /** It multiplies the hidden state. */
  readonly hidden?: boolean;
}

/** The matrices of a node by its GEMM views, cut where parts meet different inputs. */
function matricesOf(node: Node, graph: Graph, types: ReturnType<typeof inferTypes>): readonly RealPart[] {
  const rowsOf = (input: number, first: number, rows: number, suffix: string, hidden = false): RealPart => {
    const weight = graph.weights.get(node.inputs[input] ?? '') as Weight;
    const view = gemmView(node, input, types);
    if (!view) return { suffix, rows: 0, cols: 0, data: new Float64Array() };
    const reals = toReals(weight);
    const data = Float64Array.from({ length: rows * view.k }, (_, i) => {
      return reals[weightIndex(view, first + Math.floor(i / view.k), i % view.k)] ?? 0;
    });
    return { suffix, rows, cols: view.k, data, hidden };
  };
  const m = (input: number) => gemmView(node, input, types)?.m ?? 0;
  switch (node.op) {
    case 'Conv': {
      const { group } = node.attributes;
      const rows = m(1) / group;
      return Array.from({ length: group }, (_, g) => rowsOf(1, g * rows, rows, group > 1 ? `/${g}` : ''));
    }
    case 'GRU':
    case 'LSTM': {
      const directions = graph.weights.get(node.inputs[1] ?? '')?.shape[0] ?? 1;
      const rows = m(1) / directions;
      const split = node.op === 'GRU' ? (rows / 3) * 2 : rows;
      return Array.from({ length: directions }, (_, d) => [
        rowsOf(1, d * rows, rows, `/W${d}`),
        rowsOf(2, d * rows, split, `/R${d}`, true),
        // The candidate of a GRU multiplies the state after its reset.
        ...(split < rows ? [rowsOf(2, d * rows + split, rows - split, `/Rh${d}`, true)] : []),
      ]).flat();
    }
    default:
      return [rowsOf(1, 0, m(1), '')];
  }
}

/** How a layer's real numbers meet the integer products. */
interface Arithmetic {
  /** Integers of the layer's input scale; NaN becomes 0, as no line can be driven by it. */
  quantise(part: LinearPart, x: Float64Array): Int32Array;
  /** [vectors, cols] integers → [vectors, rows] real numbers. */
  multiply(part: LinearPart, x: Int32Array): Float64Array;
}

function arithmetic(inputBits: number, product: Product): Arithmetic {
  return {
    quantise(part, x) {
      const high = 2 ** (part.signed ? inputBits - 1 : inputBits) - 1;
      const low = part.signed ? -high : 0;
      const integers = new Int32Array(x.length);
      for (let i = 0; i < x.length; i++)
        integers[i] = Math.max(low, Math.min(high, roundHalfEven((x[i] as number) / part.inputScale) || 0));
      return integers;
    },
    multiply(part, x) {
      const out = product(part, x);
      const { rows } = part.matrix;
      for (let i = 0; i < out.length; i++) out[i] = (out[i] ?? 0) * part.inputScale * (part.scales[i % rows] ?? 1);
      return out;
    },
  };
}

function lower(
  node: Node,
  parts: readonly LinearPart[],
  inputs: readonly (Tensor | undefined)[],
  shapes: readonly (readonly number[])[],
  how: Arithmetic,
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
      return part && reals[0] && [tensor(shapes[0] ?? [], how.multiply(part, how.quantise(part, reals[0])))];
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

function convolve(
  node: NodeOf<'Conv'>,
  parts: readonly LinearPart[],
  inputs: readonly (Tensor | undefined)[],
  reals: Reals,
  shape: readonly number[],
  { quantise, multiply }: Arithmetic,
): Float64Array {
  const [any] = parts;
  // Groups share their input's scale.
  const x = any ? quantise(any, reals[0] ?? new Float64Array()) : new Int32Array();
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
      const vectors = new Int32Array(positions * cols);
      for (let p = 0; p < positions; p++)
        for (let c = 0; c < groupChannels; c++) {
          const plane = (image * channels + group * groupChannels + c) * spatial;
          for (let tap = 0; tap < taps; tap++) {
            const at = table[p * taps + tap] ?? -1;
            if (at >= 0) vectors[p * cols + c * taps + tap] = x[plane + at] ?? 0;
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

function gemm(
  node: NodeOf<'Gemm'>,
  [part]: readonly LinearPart[],
  inputs: readonly (Tensor | undefined)[],
  reals: Reals,
  shape: readonly number[],
  { quantise, multiply }: Arithmetic,
): Float64Array {
  const { alpha, beta, transA } = node.attributes;
  const [m = 0, n = 0] = shape;
  const a = reals[0] ?? new Float64Array();
  const k = m === 0 ? 0 : a.length / m;
  const rows = transA === 0 ? a : Float64Array.from(a, (_, i) => a[(i % k) * m + Math.floor(i / k)] ?? 0);
  const y = part ? multiply(part, quantise(part, rows)) : new Float64Array(m * n);
  const c = reals[2];
  const [cRows = 1, cCols = 1] = [1, 1, ...(inputs[2]?.shape ?? [])].slice(-2);
  return y.map((value, i) => {
    const row = cRows === 1 ? 0 : Math.floor(i / n);
    const col = cCols === 1 ? 0 : i % n;
    return alpha * value + (c ? beta * (c[row * cCols + col] ?? 0) : 0);
  });
}

/** GRU and LSTM step by step: all sequences of a batch, with their products in one call. */
function recur(
  node: NodeOf<'GRU'> | NodeOf<'LSTM'>,
  parts: readonly LinearPart[],
  inputs: readonly (Tensor | undefined)[],
  reals: Reals,
  { quantise, multiply }: Arithmetic,
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
      const fromX = multiply(w, quantise(w, now));
      const fromH = multiply(r, quantise(r, h));
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
        const candidate = multiply(rh, quantise(rh, kept));
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

/**
 * A network whose linear layers compute with integers: which matrices it has, and with what scales. Who multiplies, crossbars
 * or plain arithmetic, is the caller's.
 *
 * Weights are symmetric, one scale per filter; inputs have one range per layer, from calibration data (`input-range.ts`).
 * Bias, activations and all other operators stay in floating point.
 */
import { type Graph, gemmView, inferTypes, type Node, type Tensor, toReals, type Weight, weightIndex } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { checkInteger } from './errors.ts';
import {
  countValues,
  driveWith,
  type Histogram,
  histogram,
  type InputRange,
  inputRange,
  type RangeRule,
} from './input-range.ts';
import { type Arithmetic, lower } from './lower.ts';
import { type IntMatrix, type Quantised, quantise, type RealMatrix } from './project.ts';

/** The inputs of one run of the graph. */
export type Feed = Parameters<typeof evaluate>[1];

/** One integer matrix of a layer: a group of a convolution, a direction of a recurrent layer, or all of it. */
export interface LinearPart extends InputRange {
  /** The node's name, with what part it is. */
  readonly name: string;
  /** Position among the parts of the network: what random numbers are drawn by. */
  readonly index: number;
  /** [outputs, inputs] */
  readonly matrix: IntMatrix;
  /** Of the weights, one per output. */
  readonly scales: Float64Array;
  /** What the zero of the inputs adds to each output, an integer: inputZero · Σ weights. Subtracted after the product. */
  readonly constants: Float64Array;
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
  /**
   * Integers of a layer, from its real weights; default: {@link quantise}. `fitColumns` makes them fit a converter. `gram()` is
   * Σ x xᵀ over the layer's calibration vectors and a ridge, [inputs, inputs], made for all layers when it is first asked for.
   */
  readonly integersOf?: (weights: RealMatrix<Float64Array>, layer: string, gram: () => Float64Array) => Quantised;
  /**
   * Input ranges: `least-squares` (default) may cut rare large values off and give lopsided inputs a zero of their own, where
   * that is nearer to the calibration data; `extremes` covers all of them, about zero.
   */
  readonly ranges?: RangeRule;
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
  const { ranges = 'least-squares' } = options;
  checkInteger('GRIM_RERAM_BAD_TARGET', 'quantiseNetwork: weightBits', weightBits, 2, 16);
  checkInteger('GRIM_RERAM_BAD_TARGET', 'quantiseNetwork: inputBits', inputBits, 2, 24);
  const types = inferTypes(graph);
  const drafts = new Map<Node, readonly LinearPart[]>();
  const reals = new Map<LinearPart, Float64Array>();
  const digital: { node: string; op: string; reason: string }[] = [];
  let index = 0;
  for (const node of graph.nodes) {
    const reason = unsupported(node, graph);
    if (reason === undefined) continue;
    if (reason !== '') {
      digital.push({ node: node.name, op: node.op, reason });
      continue;
    }
    const parts = matricesOf(node, graph, types).map(({ suffix, rows, cols, data }): LinearPart => {
      const name = node.name + suffix;
      const none = new Float64Array(rows);
      const range = { inputScale: 1, inputZero: 0, signed: true };
      const matrix = { rows, cols, data: new Int32Array() };
      const part = { name, index: index++, matrix, scales: none, constants: none, ...range };
      reals.set(part, data);
      return part;
    });
    drafts.set(node, parts);
  }
  let known: ReadonlyMap<LinearPart, Float64Array> | undefined;
  const gramOf = (part: LinearPart): Float64Array => {
    known ??= gramMatrices(graph, calibration, drafts, reals);
    const { cols } = part.matrix;
    return known.get(part) ?? new Float64Array(cols * cols);
  };
  const seen = countInputs(graph, calibration, drafts, reals);
  const layers = new Map<Node, readonly LinearPart[]>();
  for (const [node, parts] of drafts)
    layers.set(
      node,
      parts.map((part) => {
        // Groups of a convolution share the input that their first part has seen.
        const values = seen.get(part) ?? seen.get(parts[0] as LinearPart) ?? histogram();
        const range = inputRange(values, inputBits, ranges);
        const { rows, cols } = part.matrix;
        const data = reals.get(part) as Float64Array;
        const { integers, scales } = integersOf({ rows, cols, data }, part.name, () => gramOf(part));
        const constants = constantsOf(integers, range.inputZero);
        return { ...part, ...range, matrix: integers, scales, constants };
      }),
    );
  return { graph, weightBits, inputBits, layers, digital };
}

/** What each part's inputs are on calibration data, before they are integers. */
function countInputs(
  graph: Graph,
  calibration: readonly Feed[],
  layers: ReadonlyMap<Node, readonly LinearPart[]>,
  reals: ReadonlyMap<LinearPart, Float64Array>,
): ReadonlyMap<LinearPart, Histogram> {
  const seen = new Map<LinearPart, Histogram>();
  const how: Arithmetic<Float64Array> = {
    drive(part, x) {
      const own = seen.get(part) ?? histogram();
      seen.set(part, own);
      countValues(own, x);
      return x;
    },
    zeros: (_part, length) => new Float64Array(length),
    multiply: (part, x) => realProduct(part, reals.get(part) as Float64Array, x),
  };
  for (const feed of calibration) runWith(graph, layers, feed, how);
  return seen;
}

/** Vectors of one run that a Gram matrix takes up, evenly spread: neighbouring positions of an image tell much the same. */
const GRAM_VECTORS = 256;

/** Added to the diagonal of a Gram matrix, of its mean: where vectors are fewer than inputs, the weights themselves count too. */
const ridge = (inputs: number, vectors: number) => 0.01 + Math.min(1, inputs / vectors);

/** Σ x xᵀ of each part's inputs on calibration data, and a ridge. */
function gramMatrices(
  graph: Graph,
  calibration: readonly Feed[],
  layers: ReadonlyMap<Node, readonly LinearPart[]>,
  reals: ReadonlyMap<LinearPart, Float64Array>,
): ReadonlyMap<LinearPart, Float64Array> {
  const grams = new Map<LinearPart, Float64Array>();
  const taken = new Map<LinearPart, number>();
  const how: Arithmetic<Float64Array> = {
    drive: (_part, x) => x,
    zeros: (_part, length) => new Float64Array(length),
    multiply(part, x) {
      const { cols } = part.matrix;
      const gram = grams.get(part) ?? new Float64Array(cols * cols);
      grams.set(part, gram);
      const vectors = cols === 0 ? 0 : x.length / cols;
      const stride = Math.max(1, Math.floor(vectors / GRAM_VECTORS));
      taken.set(part, (taken.get(part) ?? 0) + Math.ceil(vectors / stride));
      for (let v = 0; v < vectors; v += stride) {
        const vector = x.subarray(v * cols, (v + 1) * cols);
        if (!vector.every(Number.isFinite)) continue;
        for (let i = 0; i < cols; i++) {
          const own = vector[i] as number;
          if (own === 0) continue;
          for (let j = 0; j <= i; j++)
            gram[i * cols + j] = (gram[i * cols + j] as number) + own * (vector[j] as number);
        }
      }
      return realProduct(part, reals.get(part) as Float64Array, x);
    },
  };
  for (const feed of calibration) runWith(graph, layers, feed, how);
  for (const [part, gram] of grams) {
    const { cols } = part.matrix;
    let trace = 0;
    for (let i = 0; i < cols; i++) {
      trace += gram[i * cols + i] as number;
      for (let j = 0; j < i; j++) gram[j * cols + i] = gram[i * cols + j] as number;
    }
    const added = (ridge(cols, taken.get(part) ?? 1) * trace) / cols;
    for (let i = 0; i < cols; i++) gram[i * cols + i] = (gram[i * cols + i] as number) + added;
  }
  return grams;
}

function constantsOf({ rows, cols, data }: IntMatrix, zero: number): Float64Array {
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let col = 0; col < cols; col++) sum += data[row * cols + col] as number;
    return zero * sum;
  });
}

function realProduct({ matrix: { rows, cols } }: LinearPart, weights: Float64Array, x: Float64Array): Float64Array {
  const vectors = cols === 0 ? 0 : x.length / cols;
  const out = new Float64Array(vectors * rows);
  for (let v = 0; v < vectors; v++)
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let i = 0; i < cols; i++) sum += (weights[row * cols + i] as number) * (x[v * cols + i] as number);
      out[v * rows + row] = sum;
    }
  return out;
}

/** Runs the network with every linear layer's products made by `product`. */
export function evaluateQuantised(network: QuantisedNetwork, feed: Feed, product: Product): Record<string, Tensor> {
  return runWith(network.graph, network.layers, feed, integerArithmetic(network.inputBits, product));
}

function runWith<V extends Int32Array | Float64Array>(
  graph: Graph,
  layers: ReadonlyMap<Node, readonly LinearPart[]>,
  feed: Feed,
  how: Arithmetic<V>,
): Record<string, Tensor> {
  return evaluate(graph, feed, {
    override(node, inputs, outputs) {
      const parts = layers.get(node);
      if (!parts) return undefined;
      const shapes = outputs.map(({ shape }) => shape as readonly number[]);
      return lower(node, parts, inputs, shapes, how);
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
      for (let i = 0; i < cols; i++) sum += (data[row * cols + i] as number) * (x[v * cols + i] as number);
      out[v * rows + row] = sum;
    }
  return out;
};

/** Lines driven with integers of the layer's input scale; NaN becomes 0, as no line can be driven by it. */
function integerArithmetic(inputBits: number, product: Product): Arithmetic<Int32Array> {
  return {
    drive: (part, x) => driveWith(part, inputBits, x),
    zeros: (part, length) => new Int32Array(length).fill(part.inputZero),
    multiply(part, x) {
      const out = product(part, x);
      const { inputScale, scales, constants } = part;
      const { rows } = part.matrix;
      for (let i = 0; i < out.length; i++) {
        const row = i % rows;
        out[i] = ((out[i] as number) - (constants[row] as number)) * inputScale * (scales[row] as number);
      }
      return out;
    },
  };
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
}

/** The matrices of a node by its GEMM views, cut where parts meet different inputs. */
function matricesOf(node: Node, graph: Graph, types: ReturnType<typeof inferTypes>): readonly RealPart[] {
  const rowsOf = (input: number, first: number, rows: number, suffix: string): RealPart => {
    const weight = graph.weights.get(node.inputs[input] ?? '') as Weight;
    const view = gemmView(node, input, types);
    if (!view) return { suffix, rows: 0, cols: 0, data: new Float64Array() };
    const reals = toReals(weight);
    const data = Float64Array.from({ length: rows * view.k }, (_, i) => {
      return reals[weightIndex(view, first + Math.floor(i / view.k), i % view.k)] ?? 0;
    });
    return { suffix, rows, cols: view.k, data };
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
        rowsOf(2, d * rows, split, `/R${d}`),
        // The candidate of a GRU multiplies the state after its reset.
        ...(split < rows ? [rowsOf(2, d * rows + split, rows - split, `/Rh${d}`)] : []),
      ]).flat();
    }
    default:
      return [rowsOf(1, 0, m(1), '')];
  }
}

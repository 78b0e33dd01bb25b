/**
 * Which matrix a weight is, and how many multiply-accumulates a graph makes: the one definition that pruning, code
 * generation, crossbar mapping and `inspect` share.
 *
 * The weight is always the left matrix: C[M, N] = A[M, K] · B[K, N], A the weight, B the activations. Nothing is copied;
 * a view says where in the tensor each element of A stands.
 */
import { bodiesOf, type Graph, type Node } from './graph.ts';
import { inferScope, lookUpType, type Scope } from './infer.ts';
import { LIMITS, type Limits } from './limits.ts';
import { isOpName, opSpec } from './ops.ts';
import { isStatic, type TensorType } from './types.ts';

/**
 * A weight as a matrix A[M, K]. M·K is the number of the weight's elements.
 *
 * The rows fall into `groups` runs of M / groups; each run meets its own columns of B (groups of a convolution, directions
 * of a recurrent layer, batches of a MatMul), so that M·K·N is the number of multiply-accumulates in every case.
 */
export interface GemmView {
  readonly m: number;
  readonly k: number;
  /** Columns of B that each row meets in one run; undefined while a length is open. */
  readonly n: number | undefined;
  readonly groups: number;
  /** Steps in the tensor's row-major elements; see {@link weightIndex}. */
  readonly groupStride: number;
  readonly rowStride: number;
  readonly colStride: number;
}

/** Where A[row, col] stands in the elements of the weight. With `rowStride` = K and `colStride` = 1 the tensor is A as it is. */
export function weightIndex(view: GemmView, row: number, col: number): number {
  const rows = view.m / view.groups;
  const group = Math.floor(row / rows);
  return group * view.groupStride + (row - group * rows) * view.rowStride + col * view.colStride;
}

/** What {@link gemmView} needs to know of the values around a node; a Map from `inferTypes()` will do. */
export interface TypeLookup {
  get(name: string): TensorType | undefined;
}

/**
 * The matrix that input `input` of `node` is, if the node multiplies it as a whole with its activations.
 *
 * | operator (input) | weight | A | N |
 * |---|---|---|---|
 * | Conv, ConvInteger, DeformConv (1), QLinearConv (3) | [O, I/g, kH, kW] | O × I/g·kH·kW, as it lies | batch·oH·oW |
 * | ConvTranspose (1) | [I, O/g, kH, kW] | O·kH·kW × I/g, transposed per group; col2im follows | batch·iH·iW |
 * | Gemm (0: A, 1: B) | [M, K], [K, N] or transposed | the weight's free side × K | the other free side |
 * | MatMul, MatMulInteger (0, 1), QLinearMatMul (0, 3) | […, K, N] or […, M, K] | free side, batches stacked × K | all else |
 * | GRU, LSTM, RNN (1: W, 2: R) | [D, gates·H, I or H] | D·gates·H × I or H, as it lies | batch·steps |
 *
 * @returns undefined for every other input, and while the weight's shape is open or does not fit the operator
 */
export function gemmView(node: Node, input: number, types: TypeLookup): GemmView | undefined {
  const shapeOf = (i: number): readonly number[] | undefined => {
    const shape = types.get(node.inputs[i] ?? '')?.shape;
    return shape && isStatic(shape) ? shape : undefined;
  };
  const shape = shapeOf(input);
  if (!shape || shape.includes(0)) return undefined;
  const outputs = types.get(node.outputs[0] ?? '')?.shape;
  const outputElements = outputs && isStatic(outputs) ? product(outputs) : undefined;
  switch (node.op) {
    case 'Conv':
    case 'ConvInteger':
    case 'DeformConv':
    case 'QLinearConv': {
      if (input !== (node.op === 'QLinearConv' ? 3 : 1) || shape.length < 3) return undefined;
      const { group } = node.attributes;
      const [m = 1] = shape;
      const n = outputElements === undefined ? undefined : outputElements / m;
      return m % group === 0 ? asItLies(m, product(shape) / m, n, group) : undefined;
    }
    case 'ConvTranspose': {
      if (input !== 1 || shape.length < 3) return undefined;
      const { group } = node.attributes;
      const [channels = 1] = shape;
      if (channels % group !== 0) return undefined;
      const rows = product(shape) / channels;
      const k = channels / group;
      const x = shapeOf(0);
      const n = x && product(x) / (x[1] ?? 1);
      return { m: rows * group, k, n, groups: group, groupStride: rows * k, rowStride: 1, colStride: rows };
    }
    case 'Gemm': {
      if (input > 1 || shape.length !== 2) return undefined;
      const [first = 1, second = 1] = shape;
      const { transA, transB } = node.attributes;
      // A is [M, K] and B is [K, N] as written; B as the left matrix is Bᵀ.
      const byRows = input === 0 ? transA === 0 : transB === 1;
      return plainOrTransposed(byRows, first, second, outputElements);
    }
    case 'MatMul':
    case 'MatMulInteger':
    case 'QLinearMatMul': {
      const right = input === (node.op === 'QLinearMatMul' ? 3 : 1);
      if ((input !== 0 && !right) || shape.length === 0) return undefined;
      if (shape.length === 1) return asItLies(1, shape[0] ?? 1, outputElements, 1);
      const [first = 1, second = 1] = shape.slice(-2);
      const batches = product(shape.slice(0, -2));
      return plainOrTransposed(!right, first, second, outputElements, batches);
    }
    case 'GRU':
    case 'LSTM':
    case 'RNN': {
      if ((input !== 1 && input !== 2) || shape.length !== 3) return undefined;
      const [directions = 1, rows = 1, k = 1] = shape;
      const x = shapeOf(0);
      return asItLies(directions * rows, k, x && product(x.slice(0, 2)), directions);
    }
    default:
      return undefined;
  }
}

function asItLies(m: number, k: number, n: number | undefined, groups: number): GemmView {
  return { m, k, n, groups, groupStride: (m / groups) * k, rowStride: k, colStride: 1 };
}

/** `first` × `second` as it lies, or its transpose; `batches` of them stacked. */
function plainOrTransposed(
  byRows: boolean,
  first: number,
  second: number,
  outputElements: number | undefined,
  batches = 1,
): GemmView {
  const [rows, k] = byRows ? [first, second] : [second, first];
  const m = rows * batches;
  const n = outputElements === undefined ? undefined : outputElements / m;
  if (byRows) return asItLies(m, k, n, batches);
  return { m, k, n, groups: batches, groupStride: first * second, rowStride: 1, colStride: second };
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, length) => all * length, 1);
}

/** Multiply-accumulates of one run. */
export interface Macs {
  /** Of all nodes for which the number is known. */
  readonly total: number;
  /** Node → its own; undefined where an open length or the number of iterations of a loop hides it. In the graph's order. */
  readonly nodes: ReadonlyMap<Node, number | undefined>;
}

/**
 * Multiply-accumulates of each node of `graph`, by the rows of the operator table. An `If` counts as the larger of its
 * branches; a `Loop` or `Scan` is unknown, unless its body multiplies nothing. A node with a mistake is unknown.
 */
export function macs(graph: Graph, limits: Limits = LIMITS): Macs {
  const scopes = new Map<Graph, Scope>();
  const scope = inferScope(
    graph,
    undefined,
    [],
    limits,
    () => undefined,
    (body, inner) => scopes.set(body, inner),
  );
  return macsIn(graph, scope, scopes);
}

function macsIn(graph: Graph, scope: Scope, scopes: ReadonlyMap<Graph, Scope>): Macs {
  let total = 0;
  const nodes = new Map<Node, number | undefined>();
  for (const node of graph.nodes) {
    const own = macsOf(node, scope, scopes);
    nodes.set(node, own);
    total += own ?? 0;
  }
  return { total, nodes };
}

function macsOf(node: Node, scope: Scope, scopes: ReadonlyMap<Graph, Scope>): number | undefined {
  const bodies = bodiesOf(node);
  if (bodies.length > 0) {
    const each = bodies.map(([, body]) => {
      const inner = scopes.get(body);
      if (!inner) return undefined;
      const { total, nodes } = macsIn(body, inner, scopes);
      return [...nodes.values()].includes(undefined) ? undefined : total;
    });
    if (each.includes(undefined)) return undefined;
    const most = Math.max(...(each as number[]));
    return node.op === 'If' || most === 0 ? most : undefined;
  }
  if (!isOpName(node.op)) return undefined;
  const { macs: count } = opSpec(node.op);
  if (!count) return 0;
  const inputs = node.inputs.map((name) => (name === '' ? undefined : lookUpType(scope, name)));
  const outputs = node.outputs.map((name) => lookUpType(scope, name));
  const known = (type: TensorType | undefined) => type !== undefined && isStatic(type.shape);
  const complete =
    node.inputs.every((name, i) => name === '' || known(inputs[i])) &&
    node.outputs.every((name, i) => name === '' || known(outputs[i]));
  if (!complete) return undefined;
  return count(inputs, outputs as TensorType[], node.attributes as Readonly<Record<string, unknown>>);
}

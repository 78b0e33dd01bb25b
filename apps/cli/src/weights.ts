/**
 * The weights of a graph as `inspect` reports them: the matrix that each is in its product, its zeros, and their form.
 */

import { findZeroBlocks } from '@grim/bcr';
import {
  bodiesOf,
  type DType,
  elementCount,
  type GemmView,
  type Graph,
  gemmView,
  inferTypes,
  macs,
  type Node,
  type Tensor,
  type TensorType,
} from '@grim/ir';

export interface WeightReport {
  /** Name of the node. */
  readonly layer: string;
  readonly op: string;
  /** Name of the weight. */
  readonly weight: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** GEMM view A[M, K] · B[K, N]; N is absent while a length is open. */
  readonly m: number;
  readonly k: number;
  readonly n?: number;
  /** Of the GEMM view: runs of rows that meet different columns of B (groups, directions, batches). */
  readonly groups: number;
  readonly macs?: number;
  readonly zeros: number;
  readonly form: 'none' | 'all' | 'scattered' | 'blocks';
  /** With form `blocks`: the coarsest blocks whose whole rows and columns are the zeros. */
  readonly block?: { readonly rows: number; readonly cols: number };
  /** Share of the zeros that lie in whole zero rows and columns of the blocks. */
  readonly explained?: number;
}

export interface Parameters {
  /** Elements of all weights, but for those that only shape or index (int64, bool). */
  readonly count: number;
  readonly bytes: number;
  readonly zeros: number;
  readonly weights: number;
}

const NOT_PARAMETERS: readonly DType[] = ['int64', 'uint64', 'bool'];

/** Sums over the weights of a graph and its bodies. */
export function parametersOf(graph: Graph): Parameters {
  let count = 0;
  let bytes = 0;
  let zeros = 0;
  let weights = 0;
  const pending = [graph];
  for (let one = pending.pop(); one; one = pending.pop()) {
    for (const weight of one.weights.values()) {
      if (NOT_PARAMETERS.includes(weight.dtype)) continue;
      count += elementCount(weight.shape, weight.dtype);
      bytes += weight.data.byteLength;
      zeros += countZeros(weight);
      weights++;
    }
    for (const node of one.nodes) for (const [, body] of bodiesOf(node)) pending.push(body);
  }
  return { count, bytes, zeros, weights };
}

/**
 * Every weight that a node multiplies with its activations, in the graph's order, bodies after the node that holds them.
 * @param graph  with as many lengths bound as are known; where all are, N and MACs are too
 */
export function weightsOf(graph: Graph): readonly WeightReport[] {
  const reports: WeightReport[] = [];
  const counted = macs(graph);
  collect(graph, inferTypes(graph), (node) => counted.nodes.get(node), [], reports);
  return reports;
}

function collect(
  graph: Graph,
  types: ReadonlyMap<string, TensorType>,
  macsOf: (node: Node) => number | undefined,
  outer: readonly Graph[],
  reports: WeightReport[],
): void {
  const scopes = [graph, ...outer];
  const weightNamed = (name: string): Tensor | undefined =>
    scopes.find((scope) => scope.weights.has(name))?.weights.get(name);
  const lookUp = {
    get(name: string): TensorType | undefined {
      const known = types.get(name);
      const weight = known ? undefined : weightNamed(name);
      return known ?? (weight && { dtype: weight.dtype, shape: weight.shape });
    },
  };
  for (const node of graph.nodes) {
    const found = node.inputs.flatMap((name, i) => {
      const weight = name === '' ? undefined : weightNamed(name);
      const view = weight && gemmView(node, i, lookUp);
      return weight && view ? [{ name, weight, view }] : [];
    });
    const total = macsOf(node);
    const area = found.reduce((sum, { view }) => sum + view.m * view.k, 0);
    for (const { name, weight, view } of found) {
      // A recurrent layer has two matrices; its MACs fall to them by their size.
      const own = total === undefined ? undefined : (total * view.m * view.k) / area;
      reports.push(report(node, name, weight, view, own));
    }
    for (const [, body] of bodiesOf(node)) collect(body, new Map(), () => undefined, scopes, reports);
  }
}

function report(node: Node, name: string, weight: Tensor, view: GemmView, own: number | undefined): WeightReport {
  const { m, k, n, groups } = view;
  const base = {
    layer: node.name,
    op: node.op,
    weight: name,
    dtype: weight.dtype,
    shape: weight.shape,
    m,
    k,
    ...(n === undefined ? {} : { n }),
    groups,
    ...(own === undefined ? {} : { macs: own }),
  };
  const zeros = countZeros(weight);
  if (zeros === 0) return { ...base, zeros, form: 'none' };
  if (zeros === m * k) return { ...base, zeros, form: 'all' };
  const unit = node.op.includes('Conv') ? weight.shape.slice(2).reduce((a, b) => a * b, 1) : 1;
  const { block, explained } = findZeroBlocks(zeroMask(weight, view), m, k, unit);
  return { ...base, zeros, form: block ? 'blocks' : 'scattered', ...(block ? { block } : {}), explained };
}

/** What an element is compared with, and after which mask: the 16-bit floats have two zeros. */
function countZeros({ dtype, data }: Tensor): number {
  let zeros = 0;
  if (dtype === 'float16' || dtype === 'bfloat16') {
    for (const bits of data as Uint16Array) if ((bits & 0x7fff) === 0) zeros++;
  } else if (dtype === 'int64' || dtype === 'uint64') {
    for (const value of data as BigInt64Array) if (value === 0n) zeros++;
  } else {
    const values = data as Float64Array;
    for (let i = 0; i < values.length; i++) if (values[i] === 0) zeros++;
  }
  return zeros;
}

/** Row-major [M, K], 1 where the weight is 0. */
function zeroMask({ dtype, data }: Tensor, view: GemmView): Uint8Array {
  const { m, k, groups, groupStride, rowStride, colStride } = view;
  const mask = new Uint8Array(m * k);
  const big = dtype === 'int64' || dtype === 'uint64';
  const short = dtype === 'float16' || dtype === 'bfloat16';
  const values = data as Float64Array;
  const zero = (big ? 0n : 0) as number;
  const rows = m / groups;
  for (let r = 0, to = 0; r < m; r++) {
    const group = Math.floor(r / rows);
    let from = group * groupStride + (r - group * rows) * rowStride;
    for (let c = 0; c < k; c++, to++, from += colStride) {
      const value = values[from] as number;
      mask[to] = (short ? value & 0x7fff : value) === zero ? 1 : 0;
    }
  }
  return mask;
}

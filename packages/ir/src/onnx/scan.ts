/** A first look at a file: everything a person wants to know, also when it cannot be imported. */
import type { GrimError } from '../errors.ts';
import { macs } from '../gemm.ts';
import type { Graph } from '../graph.ts';
import { withLimits } from '../limits.ts';
import { decodeModel } from './decode.ts';
import { bodiesIn, domainOf } from './functions.ts';
import { type ImportOptions, readModel } from './import.ts';
import {
  DATA_TYPE_NAMES,
  type GraphProto,
  type ModelProto,
  type OperatorSetId,
  type StringPair,
  type ValueInfoProto,
} from './model.ts';
import { Problems, type UnsupportedOp } from './problems.ts';

/** An input or output as the file declares it. */
export interface DeclaredValue {
  readonly name: string;
  /** Element type by its ONNX name, or the kind of value that is no tensor. */
  readonly dtype: string;
  /** Undefined: a length left open. Null: nothing is said about the shape. */
  readonly dims: readonly (number | string | undefined)[] | null;
}

export interface OperatorCount {
  readonly op: string;
  readonly domain: string;
  readonly count: number;
}

export interface OnnxSummary {
  readonly producer: string;
  readonly producerVersion: string;
  readonly irVersion: number;
  readonly opsets: readonly OperatorSetId[];
  readonly graphName: string;
  readonly docString: string;
  readonly metadata: readonly StringPair[];
  /** Without those that are initializers, too. */
  readonly inputs: readonly DeclaredValue[];
  readonly outputs: readonly DeclaredValue[];
  /** Of nodes as written, bodies and functions included; most frequent first. */
  readonly operators: readonly OperatorCount[];
  readonly unsupported: readonly UnsupportedOp[];
  /** All that is wrong, the unsupported operators as one error first. Empty: the model can be imported. */
  readonly problems: readonly GrimError[];
  readonly graph?: Graph;
  /** Multiply-accumulates of a model with problems, where every node's can be told in spite of them. */
  readonly macs?: number;
}

/**
 * @throws {GrimError} GRIM_ONNX_* only when the bytes are no ONNX model at all; what is wrong with the model is in `problems`
 */
export function scanOnnx(bytes: Uint8Array, options: ImportOptions = {}): OnnxSummary {
  const limits = withLimits(options.limits);
  const model = decodeModel(bytes, limits, { lenient: options.lenient ?? false });
  const found = new Problems();
  const graph = found.attemptAll(() => readModel(model, options, limits, found));
  const { unsupportedError, errors, unsupported } = found;
  const problems = unsupportedError ? [unsupportedError, ...errors] : [...errors];
  if (graph && problems.length === 0) return { ...describe(model), unsupported, problems, graph };
  const total = graph && macsInSpiteOf(graph, found);
  return { ...describe(model), unsupported, problems, ...(total === undefined ? {} : { macs: total }) };
}

/** Of the nodes that were read, the unsupported ones and those lost behind them; undefined when one of them cannot be told. */
function macsInSpiteOf(graph: Graph, { unsupported, lostMacs }: Problems): number | undefined {
  const { total, nodes } = macs(graph);
  const parts = [...nodes.values(), ...unsupported.map((one) => one.macs), lostMacs];
  if (parts.includes(undefined)) return undefined;
  return unsupported.reduce((sum, one) => sum + (one.macs ?? 0), total + (lostMacs ?? 0));
}

function describe(model: ModelProto): Omit<OnnxSummary, 'unsupported' | 'problems' | 'graph' | 'macs'> {
  const { graph } = model;
  const initializers = new Set(graph.initializers.map(({ name }) => name));
  return {
    producer: model.producerName,
    producerVersion: model.producerVersion,
    irVersion: model.irVersion,
    opsets: model.opsetImport,
    graphName: graph.name,
    docString: model.docString || graph.docString,
    metadata: model.metadataProps,
    inputs: graph.inputs.filter(({ name }) => !initializers.has(name)).map(declared),
    outputs: graph.outputs.map(declared),
    operators: countOperators(model),
  };
}

function declared({ name, elemType, dims, otherType }: ValueInfoProto): DeclaredValue {
  return { name, dtype: otherType ?? DATA_TYPE_NAMES[elemType] ?? `type ${elemType}`, dims };
}

function countOperators(model: ModelProto): readonly OperatorCount[] {
  const counts = new Map<string, { op: string; domain: string; count: number }>();
  const graphs: Pick<GraphProto, 'nodes'>[] = [model.graph, ...model.functions];
  for (let graph = graphs.pop(); graph; graph = graphs.pop())
    for (const node of graph.nodes) {
      const domain = domainOf(node.domain);
      const key = JSON.stringify([domain, node.opType]);
      const entry = counts.get(key) ?? { op: node.opType, domain, count: 0 };
      entry.count++;
      counts.set(key, entry);
      for (const attribute of node.attributes) for (const body of bodiesIn(attribute)) graphs.push(body);
    }
  return Array.from(counts.values()).sort((a, b) => b.count - a.count || (a.op < b.op ? -1 : 1));
}

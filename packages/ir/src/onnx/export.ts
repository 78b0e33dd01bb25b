/**
 * A graph → an ONNX file, at the oldest opset from 21 on that has everything the graph uses: the newer a file says it is,
 * the fewer programs read it.
 *
 * ONNX has one name space where a graph has two: the public name of an output is the name of its value. So values take
 * the public names, and where a value cannot (an input, a weight, a second output of the same value) an Identity gives
 * one. A body may also end in a value of the graph around it; ONNX wants it made inside: Identity again.
 * @see https://github.com/onnx/onnx/blob/main/docs/Versioning.md for IR versions
 */
import { GrimError, quote } from '../errors.ts';
import { bodiesOf, type Graph, type Node, type Weight } from '../graph.ts';
import { inferTypes } from '../infer.ts';
import type { AttributeSpec } from '../op.ts';
import { opSpec } from '../ops.ts';
import type { Tensor, TensorType } from '../types.ts';
import { encodeModel } from './encode.ts';
import type {
  AttributeProto,
  AttributeValue,
  GraphProto,
  NodeProto,
  SparseTensorProto,
  TensorProto,
  ValueInfoProto,
} from './model.ts';
import { dataTypeOf, writeSparseTensor, writeTensor } from './tensor.ts';

export interface ExportOptions {
  /**
   * Write weights as sparse initializers: those of which less than this share is not zero. `true`: less than half.
   * Default: false. onnxruntime reads sparse initializers of two dimensions at most.
   */
  readonly sparse?: boolean | number;
  /** From 21 to 27. Default: the oldest that will do. */
  readonly opset?: number;
  /** Default: `grim`. */
  readonly producer?: string;
  /**
   * For one engine: what stands for a node of the main graph in operators that ONNX does not have; undefined: the node
   * itself. Their values need names that are new. Bodies are written as they are.
   */
  readonly replace?: (node: Node) => readonly ForeignNode[] | undefined;
  /** Operator sets of {@link replace} and their versions. */
  readonly domains?: Readonly<Record<string, number>>;
}

/** A node of an operator set that is not ONNX's, or of ONNX's where `domain` is `''`. */
export interface ForeignNode {
  readonly domain: string;
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Integers and lists of them. */
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
}

const OLDEST_OPSET = 21;
const NEWEST_OPSET = 27;
/** IR version of the release that brought each opset, from 21 on. */
const IR_VERSIONS = [10, 10, 11, 12, 13, 13, 13];

/** Operators that are newer than opset 21. */
const OP_SINCE: ReadonlyMap<string, number> = new Map([
  ['Attention', 23],
  ['RMSNormalization', 23],
  ['RotaryEmbedding', 23],
  ['Swish', 24],
  ['TensorScatter', 24],
  ['BitCast', 26],
  ['CumProd', 26],
]);

/** Attributes that are newer than opset 21; with their default they need not be written. */
const ATTRIBUTE_SINCE: ReadonlyMap<string, number> = new Map([
  ['QuantizeLinear.precision', 23],
  ['DequantizeLinear.output_dtype', 23],
  ['Cast.round_mode', 24],
  ['CastLike.round_mode', 24],
  ['Attention.left_window_size', 25],
  ['Attention.right_window_size', 25],
  ['Range.stash_type', 27],
]);

/**
 * The bytes of an `.onnx` file.
 *
 * @throws {GrimError} GRIM_ONNX_EXPORT when the opset asked for lacks something, or a public output has the name of an
 *   input that it is not; what typing the graph throws (`inferTypes`)
 */
export function toOnnx(graph: Graph, options: ExportOptions = {}): Uint8Array {
  const types = inferTypes(graph);
  const writer: Writer = {
    sparseBelow: sparseBelow(options.sparse),
    replace: options.replace,
    taken: new Set(),
    fresh: 0,
  };
  collectNames(graph, writer.taken);
  for (const name of graph.outputs.keys()) writer.taken.add(name);
  const needed = Math.max(OLDEST_OPSET, opsetFor(graph, [...types.values()]));
  const opset = options.opset ?? needed;
  if (!Number.isInteger(opset) || opset < needed || opset > NEWEST_OPSET)
    throw new GrimError(
      'GRIM_ONNX_EXPORT',
      `Opset ${String(opset)} was asked for; this graph can be written in ${needed} to ${NEWEST_OPSET}.`,
      { opset, needed },
    );
  return encodeModel({
    irVersion: IR_VERSIONS[opset - OLDEST_OPSET] ?? 13,
    producerName: options.producer ?? 'grim',
    producerVersion: '',
    domain: '',
    modelVersion: 0,
    docString: '',
    graph: writeMain(graph, types, writer),
    opsetImport: [
      { domain: '', version: opset },
      ...Object.entries(options.domains ?? {}).map(([domain, version]) => ({ domain, version })),
    ],
    metadataProps: [],
    functions: [],
  });
}

function sparseBelow(sparse: boolean | number | undefined): number {
  return typeof sparse === 'number' ? sparse : sparse ? 0.5 : 0;
}

function opsetFor(graph: Graph, types: readonly TensorType[]): number {
  const bfloat16 = types.some(({ dtype }) => dtype === 'bfloat16');
  let needed = bfloat16 ? 22 : 0;
  for (const node of graph.nodes) {
    needed = Math.max(needed, OP_SINCE.get(node.op) ?? 0);
    // Only their element types grew.
    if (node.op === 'TopK' && bfloat16) needed = Math.max(needed, 24);
    if (node.op === 'Range' && types.some(({ dtype }) => dtype === 'float16' || dtype === 'bfloat16'))
      needed = Math.max(needed, 27);
    if (node.op === 'Attention' && node.inputs.length > 6) needed = Math.max(needed, 24);
    for (const [key] of writtenAttributes(node))
      needed = Math.max(needed, ATTRIBUTE_SINCE.get(`${node.op}.${key}`) ?? 0);
    for (const [, body] of bodiesOf(node)) needed = Math.max(needed, opsetFor(body, [...body.inputs.values()]));
  }
  return needed;
}

interface Writer {
  readonly sparseBelow: number;
  readonly replace: ExportOptions['replace'];
  /** All names of values, outer and inner, so that new ones are new. */
  readonly taken: Set<string>;
  fresh: number;
}

function collectNames(graph: Graph, names: Set<string>): void {
  // Public names of a body's outputs are not written: only their order counts.
  for (const name of [...graph.inputs.keys(), ...graph.weights.keys()]) names.add(name);
  for (const node of graph.nodes) {
    for (const name of node.outputs) names.add(name);
    for (const [, body] of bodiesOf(node)) collectNames(body, names);
  }
}

function freshName(writer: Writer, stem: string): string {
  for (;;) {
    const name = `${stem}_${writer.fresh++}`;
    if (writer.taken.has(name)) continue;
    writer.taken.add(name);
    return name;
  }
}

type Rename = (name: string) => string;

function writeMain(graph: Graph, types: ReadonlyMap<string, TensorType>, writer: Writer): GraphProto {
  const made = new Set(graph.nodes.flatMap(({ outputs }) => outputs));
  const renamed = new Map<string, string>();
  const identities: NodeProto[] = [];
  // Whatever else has a public name, in bodies too, makes way.
  const values = new Set([...made, ...graph.weights.keys()]);
  for (const body of graph.nodes.flatMap(bodiesOf)) collectNames(body[1], values);
  for (const [name, value] of graph.outputs) {
    if (graph.inputs.has(name) && name !== value)
      throw new GrimError(
        'GRIM_ONNX_EXPORT',
        `${quote(name)} is an input, and an output with another value. Rename one.`,
        {
          name,
        },
      );
    if (made.has(value) && !renamed.has(value)) renamed.set(value, name);
  }
  for (const name of graph.outputs.keys())
    if (values.has(name) && !renamed.has(name)) renamed.set(name, freshName(writer, name));
  const rename: Rename = (name) => renamed.get(name) ?? name;
  for (const [name, value] of graph.outputs) if (rename(value) !== name) identities.push(identity(rename(value), name));
  const outputs = Array.from(graph.outputs, ([name, value]) => {
    const type = types.get(value);
    if (!type)
      throw new GrimError('GRIM_IR_UNKNOWN_VALUE', `output ${quote(name)}: its value ${quote(value)} is not defined.`, {
        name,
      });
    return valueInfo(name, type);
  });
  const { replace } = writer;
  const own = writeGraph(graph, rename, identities, writer);
  const nodes = replace
    ? [
        ...graph.nodes.flatMap((node) => replace(node)?.map(foreign(rename)) ?? [writeNode(node, rename, writer)]),
        ...identities,
      ]
    : own.nodes;
  return { ...own, nodes, outputs };
}

const foreign =
  (rename: Rename) =>
  ({ domain, op, inputs, outputs, attributes = {} }: ForeignNode): NodeProto => ({
    ...{ name: `${outputs[0]}_${op}`, opType: op, domain, overload: '' },
    ...{ inputs: inputs.map(rename), outputs: outputs.map(rename) },
    attributes: Object.entries(attributes).map(([name, value]) =>
      typeof value === 'number' ? { name, kind: 'int', value } : { name, kind: 'ints', value },
    ),
  });

function writeBody(body: Graph, rename: Rename, writer: Writer): GraphProto {
  const made = new Set(body.nodes.flatMap(({ outputs }) => outputs));
  const identities: NodeProto[] = [];
  const names = new Set<string>();
  for (const value of body.outputs.values()) {
    const name = rename(value);
    const direct = made.has(value) && !names.has(name);
    const written = direct ? name : freshName(writer, value);
    if (!direct) identities.push(identity(name, written));
    names.add(written);
  }
  const outputs = Array.from(names, (name): ValueInfoProto => ({ name, elemType: 0, dims: null }));
  return { ...writeGraph(body, rename, identities, writer), outputs };
}

function writeGraph(graph: Graph, rename: Rename, identities: readonly NodeProto[], writer: Writer): GraphProto {
  const initializers: TensorProto[] = [];
  const sparseInitializers: SparseTensorProto[] = [];
  for (const [name, weight] of graph.weights)
    if (isSparse(weight, writer.sparseBelow)) sparseInitializers.push(writeSparseTensor(weight, rename(name)));
    else initializers.push(writeTensor(weight, rename(name)));
  return {
    name: graph.name || 'graph',
    docString: '',
    nodes: [...graph.nodes.map((node) => writeNode(node, rename, writer)), ...identities],
    initializers,
    sparseInitializers,
    inputs: Array.from(graph.inputs, ([name, type]) => valueInfo(rename(name), type)),
    outputs: [],
    valueInfo: [],
  };
}

function isSparse(weight: Weight, below: number): boolean {
  const { data } = weight;
  if (below <= 0 || data.length === 0 || weight.shape.length === 0) return false;
  let stored = 0;
  for (let i = 0; i < data.length; i++) if (Number(data[i]) !== 0) stored++;
  return stored < below * data.length;
}

/** A length that only a run can tell is left open. */
function valueInfo(name: string, { dtype, shape }: TensorType): ValueInfoProto {
  const dims = shape?.map((dim) => (typeof dim === 'string' && dim.startsWith('?') ? undefined : dim)) ?? null;
  return { name, elemType: dataTypeOf(dtype), dims };
}

function identity(input: string, output: string): NodeProto {
  return {
    name: `${output}_identity`,
    opType: 'Identity',
    domain: '',
    overload: '',
    inputs: [input],
    outputs: [output],
    attributes: [],
  };
}

function writeNode(node: Node, rename: Rename, writer: Writer): NodeProto {
  return {
    name: node.name,
    opType: node.op,
    domain: '',
    overload: '',
    inputs: node.inputs.map(rename),
    outputs: node.outputs.map(rename),
    attributes: writtenAttributes(node).map(([name, row, value]) => ({
      name,
      ...writeValue(row, value, rename, writer),
    })),
  };
}

/** The attributes of a node that are not their default. */
function writtenAttributes(node: Node): readonly (readonly [string, AttributeSpec<unknown>, unknown])[] {
  const given = node.attributes as Readonly<Record<string, unknown>>;
  return Object.entries(opSpec(node.op).attributes).flatMap(([name, row]) => {
    const value = given[name];
    return value === undefined || isDefault(row, value) ? [] : [[name, row, value] as const];
  });
}

function isDefault({ kind, fallback }: AttributeSpec<unknown>, value: unknown): boolean {
  if (fallback === undefined) return false;
  if (kind === 'float') return Math.fround(value as number) === Math.fround(fallback as number);
  if (kind === 'tensor') {
    const [a, b] = [value as Tensor, fallback as Tensor];
    return a.dtype === b.dtype && a.shape.join() === b.shape.join() && a.data.join() === b.data.join();
  }
  if (!Array.isArray(value)) return value === fallback;
  const list = fallback as readonly unknown[];
  return value.length === list.length && value.every((item, i) => item === list[i]);
}

function writeValue(row: AttributeSpec<unknown>, value: unknown, rename: Rename, writer: Writer): AttributeValue {
  switch (row.kind) {
    case 'dtype':
      return { kind: 'int', value: dataTypeOf(value as Tensor['dtype']) };
    case 'tensor':
      return { kind: 'tensor', value: writeTensor(value as Tensor, '') };
    case 'graph':
      return { kind: 'graph', value: writeBody(value as Graph, rename, writer) };
    default:
      // The other kinds hold the same values here and there.
      return { kind: row.kind, value } as AttributeProto;
  }
}

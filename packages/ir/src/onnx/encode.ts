/**
 * The messages of `model.ts` → bytes of an ONNX file: the reverse of `decode.ts`.
 *
 * Each message is gathered as a list of pieces: small fields in one growing buffer, tensor data by reference. The pieces
 * are copied once, into a result of the exact size, so that at most the weights and the file are in memory together.
 * Fields are written in a fixed order, so equal models give equal bytes.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { GrimError, quote } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type {
  AttributeProto,
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  OperatorSetId,
  SparseTensorProto,
  StringPair,
  TensorProto,
  ValueInfoProto,
} from './model.ts';
import { ATTRIBUTE_TYPES, type MessageName, SCHEMA } from './schema.ts';
import { FIXED32, LENGTH, VARINT } from './wire.ts';

/** Readers in other languages stop here. */
const FILE_BYTES = 2 ** 31 - 1;

/**
 * The bytes of a model file.
 * @throws {GrimError} GRIM_ONNX_EXPORT when a value has no place in an ONNX file: a lone surrogate, a float beyond
 *   float32, text elements, more than 2 GiB
 */
export function encodeModel(model: ModelProto): Uint8Array {
  return writeModel(model).finish();
}

/**
 * The bytes of a `.pb` file that holds one tensor.
 * @throws {GrimError} GRIM_ONNX_EXPORT, as {@link encodeModel}
 */
export function encodeTensorFile(tensor: TensorProto): Uint8Array {
  return writeTensorProto(tensor, 1).finish();
}

/** A message up to this size is copied into the one around it; a larger one is kept as a piece of its own. */
const SMALL = 4096;

/** One message under construction. Field numbers come from the schema, by name. */
class MessageWriter<M extends MessageName> {
  private readonly message: M;
  private readonly pieces: (Uint8Array | MessageWriter<MessageName>)[] = [];
  private small = new BinaryWriter();
  /** Bytes in `pieces`. */
  private size = 0;
  readonly depth: number;

  constructor(message: M, depth: number) {
    if (depth > LIMITS.wireDepth)
      throw new GrimError('GRIM_ONNX_EXPORT', `The model is nested more than ${LIMITS.wireDepth} messages deep.`, {});
    this.message = message;
    this.depth = depth;
  }

  text(field: keyof (typeof SCHEMA)[M], value: string, always = false): void {
    if (value === '' && !always) return;
    if (/\p{Cs}/u.test(value))
      throw new GrimError(
        'GRIM_ONNX_EXPORT',
        `The text ${quote(value)} holds half a surrogate pair; it is not Unicode.`,
        {},
      );
    this.tag(field, LENGTH).string(value);
  }

  int(field: keyof (typeof SCHEMA)[M], value: number | bigint): void {
    this.tag(field, VARINT).int64(toInt64(value));
  }

  float(field: keyof (typeof SCHEMA)[M], value: number): void {
    this.tag(field, FIXED32).float(toFloat(value));
  }

  ints(field: keyof (typeof SCHEMA)[M], values: readonly (number | bigint)[]): void {
    if (values.length === 0) return;
    const writer = this.tag(field, LENGTH).fork();
    for (const value of values) writer.int64(toInt64(value));
    writer.join();
  }

  floats(field: keyof (typeof SCHEMA)[M], values: readonly number[]): void {
    if (values.length === 0) return;
    const writer = this.tag(field, LENGTH).fork();
    for (const value of values) writer.float(toFloat(value));
    writer.join();
  }

  /** Bytes by reference. */
  bytes(field: keyof (typeof SCHEMA)[M], value: Uint8Array): void {
    this.tag(field, LENGTH).uint32(fileLength(value.length));
    if (value.length <= SMALL) this.small.raw(value);
    else this.add(value, value.length);
  }

  child(field: keyof (typeof SCHEMA)[M], child: MessageWriter<MessageName>): void {
    const rest = child.small.finish();
    const length = child.size + rest.length;
    this.tag(field, LENGTH).uint32(fileLength(length));
    if (child.size === 0 && length <= SMALL) this.small.raw(rest);
    else {
      child.pieces.push(rest);
      child.size = length;
      this.add(child, length);
    }
  }

  finish(): Uint8Array {
    this.flush();
    const out = new Uint8Array(fileLength(this.size));
    this.copyTo(out, 0);
    return out;
  }

  private add(piece: Uint8Array | MessageWriter<MessageName>, length: number): void {
    this.flush();
    this.pieces.push(piece);
    this.size += length;
  }

  private flush(): void {
    const bytes = this.small.finish();
    // finish() keeps its buffer, of twice the largest message so far.
    this.small = new BinaryWriter();
    this.pieces.push(bytes);
    this.size += bytes.length;
  }

  /** As deep as messages nest, which the constructor bounds. */
  private copyTo(out: Uint8Array, start: number): void {
    let at = start;
    for (const piece of this.pieces) {
      if (piece instanceof Uint8Array) out.set(piece, at);
      else piece.copyTo(out, at);
      at += piece instanceof Uint8Array ? piece.length : piece.size;
    }
  }

  private tag(field: keyof (typeof SCHEMA)[M], wireType: number): BinaryWriter {
    const [number] = SCHEMA[this.message][field] as readonly [number];
    return this.small.tag(number, wireType);
  }
}

function fileLength(length: number): number {
  if (length > FILE_BYTES)
    throw new GrimError('GRIM_ONNX_EXPORT', `The file would have ${length} bytes; ONNX files end at 2 GiB.`, {
      length,
    });
  return length;
}

function toInt64(value: number | bigint): bigint {
  if (typeof value === 'number' && !Number.isInteger(value))
    throw new GrimError('GRIM_ONNX_EXPORT', `${value} is not an integer.`, { value });
  const wide = BigInt(value);
  if (wide !== BigInt.asIntN(64, wide))
    throw new GrimError('GRIM_ONNX_EXPORT', `${wide} does not fit 64 bits.`, { value: String(wide) });
  return wide;
}

function toFloat(value: number): number {
  const rounded = Math.fround(value);
  if (Number.isFinite(value) && !Number.isFinite(rounded))
    throw new GrimError('GRIM_ONNX_EXPORT', `${value} does not fit a float32, which ONNX attributes are.`, { value });
  return rounded;
}

function writeModel(model: ModelProto): MessageWriter<'ModelProto'> {
  const out = new MessageWriter('ModelProto', 1);
  out.int('ir_version', model.irVersion);
  out.text('producer_name', model.producerName);
  out.text('producer_version', model.producerVersion);
  out.text('domain', model.domain);
  if (model.modelVersion !== 0) out.int('model_version', model.modelVersion);
  out.text('doc_string', model.docString);
  out.child('graph', writeGraph(model.graph, 2));
  for (const opset of model.opsetImport) out.child('opset_import', writeOpset(opset, 2));
  for (const pair of model.metadataProps) out.child('metadata_props', writePair(pair, 2));
  for (const called of model.functions) out.child('functions', writeFunction(called, 2));
  return out;
}

function writeGraph(graph: GraphProto, depth: number): MessageWriter<'GraphProto'> {
  const out = new MessageWriter('GraphProto', depth);
  for (const node of graph.nodes) out.child('node', writeNode(node, depth + 1));
  out.text('name', graph.name);
  for (const tensor of graph.initializers) out.child('initializer', writeTensorProto(tensor, depth + 1));
  out.text('doc_string', graph.docString);
  for (const value of graph.inputs) out.child('input', writeValueInfo(value, depth + 1));
  for (const value of graph.outputs) out.child('output', writeValueInfo(value, depth + 1));
  for (const value of graph.valueInfo) out.child('value_info', writeValueInfo(value, depth + 1));
  for (const tensor of graph.sparseInitializers) out.child('sparse_initializer', writeSparse(tensor, depth + 1));
  return out;
}

function writeNode(node: NodeProto, depth: number): MessageWriter<'NodeProto'> {
  const out = new MessageWriter('NodeProto', depth);
  // An empty name means that an optional input is left out: its place counts.
  for (const name of node.inputs) out.text('input', name, true);
  for (const name of node.outputs) out.text('output', name, true);
  out.text('name', node.name);
  out.text('op_type', node.opType);
  for (const attribute of node.attributes) out.child('attribute', writeAttribute(attribute, depth + 1));
  out.text('domain', node.domain);
  out.text('overload', node.overload);
  return out;
}

function writeFunction(called: FunctionProto, depth: number): MessageWriter<'FunctionProto'> {
  const out = new MessageWriter('FunctionProto', depth);
  out.text('name', called.name);
  for (const name of called.inputs) out.text('input', name, true);
  for (const name of called.outputs) out.text('output', name, true);
  for (const name of called.attributes) out.text('attribute', name, true);
  for (const node of called.nodes) out.child('node', writeNode(node, depth + 1));
  for (const opset of called.opsetImport) out.child('opset_import', writeOpset(opset, depth + 1));
  out.text('domain', called.domain);
  for (const attribute of called.attributeProtos) out.child('attribute_proto', writeAttribute(attribute, depth + 1));
  out.text('overload', called.overload);
  return out;
}

function writeAttribute(attribute: AttributeProto, depth: number): MessageWriter<'AttributeProto'> {
  const out = new MessageWriter('AttributeProto', depth);
  out.text('name', attribute.name);
  const type = (field: NonNullable<(typeof ATTRIBUTE_TYPES)[number]>) =>
    out.int('type', ATTRIBUTE_TYPES.indexOf(field));
  switch (attribute.kind) {
    case 'float':
      out.float('f', attribute.value);
      type('f');
      break;
    case 'int':
      out.int('i', attribute.value);
      type('i');
      break;
    case 'string':
      out.text('s', attribute.value, true);
      type('s');
      break;
    case 'tensor':
      out.child('t', writeTensorProto(attribute.value, depth + 1));
      type('t');
      break;
    case 'graph':
      out.child('g', writeGraph(attribute.value, depth + 1));
      type('g');
      break;
    case 'sparse_tensor':
      type('sparse_tensor');
      out.child('sparse_tensor', writeSparse(attribute.value, depth + 1));
      break;
    case 'floats':
      out.floats('floats', attribute.value);
      type('floats');
      break;
    case 'ints':
      out.ints('ints', attribute.value);
      type('ints');
      break;
    case 'strings':
      for (const text of attribute.value) out.text('strings', text, true);
      type('strings');
      break;
    case 'tensors':
      for (const tensor of attribute.value) out.child('tensors', writeTensorProto(tensor, depth + 1));
      type('tensors');
      break;
    case 'graphs':
      for (const graph of attribute.value) out.child('graphs', writeGraph(graph, depth + 1));
      type('graphs');
      break;
    case 'reference':
      out.int('type', attribute.type);
      out.text('ref_attr_name', attribute.value);
      break;
    case 'other':
      throw new GrimError(
        'GRIM_ONNX_EXPORT',
        `The attribute ${quote(attribute.name)} has a type that GRIM does not keep (${attribute.value}).`,
        { attribute: attribute.name },
      );
  }
  return out;
}

function writeTensorProto(tensor: TensorProto, depth: number): MessageWriter<'TensorProto'> {
  const out = new MessageWriter('TensorProto', depth);
  const { payload } = tensor;
  out.ints('dims', tensor.dims);
  out.int('data_type', tensor.dataType);
  switch (payload.form) {
    case 'raw':
      out.bytes('raw_data', payload.bytes);
      break;
    case 'float_data':
    case 'double_data':
      out.bytes(payload.form, payload.bytes ?? bytesOf(payload.values));
      break;
    case 'int32_data':
    case 'int64_data':
    case 'uint64_data':
      out.bytes(payload.form, varints(payload.values));
      break;
    case 'external':
      for (const pair of payload.entries) out.child('external_data', writePair(pair, depth + 1));
      out.int('data_location', 1);
      break;
    case 'string_data':
      throw new GrimError(
        'GRIM_ONNX_EXPORT',
        `The tensor ${quote(tensor.name)} has text elements, which GRIM does not keep.`,
        {
          tensor: tensor.name,
        },
      );
  }
  out.text('name', tensor.name);
  return out;
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function varints(values: Int32Array | BigInt64Array | BigUint64Array): Uint8Array {
  const writer = new BinaryWriter();
  if (values instanceof Int32Array) for (const value of values) writer.int32(value);
  else if (values instanceof BigInt64Array) for (const value of values) writer.int64(value);
  else for (const value of values) writer.uint64(value);
  return writer.finish();
}

function writeSparse(tensor: SparseTensorProto, depth: number): MessageWriter<'SparseTensorProto'> {
  const out = new MessageWriter('SparseTensorProto', depth);
  out.child('values', writeTensorProto(tensor.values, depth + 1));
  out.child('indices', writeTensorProto(tensor.indices, depth + 1));
  out.ints('dims', tensor.dims);
  return out;
}

function writeValueInfo(value: ValueInfoProto, depth: number): MessageWriter<'ValueInfoProto'> {
  if (value.otherType !== undefined)
    throw new GrimError('GRIM_ONNX_EXPORT', `The value ${quote(value.name)} is a ${value.otherType}, not a tensor.`, {
      value: value.name,
    });
  const out = new MessageWriter('ValueInfoProto', depth);
  out.text('name', value.name);
  if (value.elemType === 0 && value.dims === null) return out;
  const tensor = new MessageWriter('TensorType', depth + 2);
  tensor.int('elem_type', value.elemType);
  if (value.dims) {
    const shape = new MessageWriter('TensorShapeProto', depth + 3);
    for (const dim of value.dims) {
      const entry = new MessageWriter('Dimension', depth + 4);
      if (typeof dim === 'number') entry.int('dim_value', dim);
      else entry.text('dim_param', dim ?? '');
      shape.child('dim', entry);
    }
    tensor.child('shape', shape);
  }
  const type = new MessageWriter('TypeProto', depth + 1);
  type.child('tensor_type', tensor);
  out.child('type', type);
  return out;
}

function writePair(pair: StringPair, depth: number): MessageWriter<'StringStringEntryProto'> {
  const out = new MessageWriter('StringStringEntryProto', depth);
  out.text('key', pair.key);
  out.text('value', pair.value);
  return out;
}

function writeOpset(opset: OperatorSetId, depth: number): MessageWriter<'OperatorSetIdProto'> {
  const out = new MessageWriter('OperatorSetIdProto', depth);
  out.text('domain', opset.domain);
  out.int('version', opset.version);
  return out;
}

/**
 * Decoded fields → the values of `model.ts`, one function per message that GRIM keeps. Each is called when its message
 * ends, so what it holds is built already.
 *
 * Only what onnx.proto itself demands is checked here: one form of data per tensor, one value per attribute. What the
 * values mean is for the importer.
 */
import { show } from '../errors.ts';
import type { DataList } from './data-list.ts';
import type {
  AttributeProto,
  AttributeValue,
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  OperatorSetId,
  SparseTensorProto,
  StringPair,
  TensorPayload,
  TensorProto,
  ValueInfoProto,
} from './model.ts';
import { ATTRIBUTE_TYPES, type MessageName, type SCHEMA } from './schema.ts';
import type { Fail } from './wire.ts';

type DimValue = number | string | undefined;
type TypeInfo = Pick<ValueInfoProto, 'elemType' | 'dims' | 'otherType'>;

/** What each kept message becomes. The others become undefined. */
interface Built {
  ModelProto: ModelProto;
  GraphProto: GraphProto;
  NodeProto: NodeProto;
  AttributeProto: AttributeProto;
  TensorProto: TensorProto;
  SparseTensorProto: SparseTensorProto;
  ValueInfoProto: ValueInfoProto;
  TypeProto: TypeInfo;
  TensorType: TypeInfo;
  TensorShapeProto: readonly DimValue[];
  Dimension: DimValue;
  StringStringEntryProto: StringPair;
  OperatorSetIdProto: OperatorSetId;
  FunctionProto: FunctionProto;
  Segment: true;
  ElementType: true;
  MapType: true;
  OpaqueType: true;
}

type ValueOf<K> = K extends keyof Built
  ? Built[K]
  : K extends 'int32' | 'float'
    ? number
    : K extends 'int64'
      ? number | bigint
      : K extends 'name' | 'text'
        ? string
        : K extends 'bytes'
          ? Uint8Array
          : K extends `data:${string}`
            ? DataList
            : undefined;

type FieldsOf<M extends MessageName> = {
  readonly [F in keyof (typeof SCHEMA)[M]]?: (typeof SCHEMA)[M][F] extends readonly [number, infer K, ...infer Rest]
    ? Rest extends readonly []
      ? ValueOf<K>
      : readonly ValueOf<K>[]
    : never;
};

/** Where a shape is refused for its size, and where 2^53 is as good as 2^63: saturates. */
function saturate(value: number | bigint): number {
  return typeof value === 'number' ? value : value > 0n ? 2 ** 53 : -(2 ** 53);
}

const BUILDERS: { readonly [M in keyof Built]: (fields: FieldsOf<M>, fail: Fail) => Built[M] } = {
  ModelProto: (fields, fail) => ({
    irVersion: saturate(fields.ir_version ?? 0),
    producerName: fields.producer_name ?? '',
    producerVersion: fields.producer_version ?? '',
    domain: fields.domain ?? '',
    modelVersion: saturate(fields.model_version ?? 0),
    docString: fields.doc_string ?? '',
    graph:
      fields.graph ??
      fail('GRIM_ONNX_MISSING_FIELD', 'the model has no graph; the file is cut off or not an ONNX model'),
    opsetImport: fields.opset_import ?? [],
    metadataProps: fields.metadata_props ?? [],
    functions: fields.functions ?? [],
  }),
  GraphProto: (fields) => ({
    name: fields.name ?? '',
    docString: fields.doc_string ?? '',
    nodes: fields.node ?? [],
    initializers: fields.initializer ?? [],
    sparseInitializers: fields.sparse_initializer ?? [],
    inputs: fields.input ?? [],
    outputs: fields.output ?? [],
    valueInfo: fields.value_info ?? [],
  }),
  NodeProto: (fields) => ({
    name: fields.name ?? '',
    opType: fields.op_type ?? '',
    domain: fields.domain ?? '',
    overload: fields.overload ?? '',
    inputs: fields.input ?? [],
    outputs: fields.output ?? [],
    attributes: fields.attribute ?? [],
  }),
  AttributeProto: buildAttribute,
  TensorProto: (fields, fail) => {
    if (fields.segment)
      fail('GRIM_ONNX_BAD_TENSOR', 'a tensor in segments is not supported; save the model with whole tensors');
    return {
      name: fields.name ?? '',
      dims: (fields.dims ?? []).map(saturate),
      dataType: fields.data_type ?? 0,
      payload: buildPayload(fields, fail),
    };
  },
  Segment: () => true,
  SparseTensorProto: (fields, fail) => ({
    values: fields.values ?? fail('GRIM_ONNX_MISSING_FIELD', 'a sparse tensor has no values'),
    indices: fields.indices ?? fail('GRIM_ONNX_MISSING_FIELD', 'a sparse tensor has no indices'),
    dims: (fields.dims ?? []).map(saturate),
  }),
  ValueInfoProto: (fields) => ({ name: fields.name ?? '', elemType: 0, dims: null, ...fields.type }),
  TypeProto: (fields) => {
    if (fields.tensor_type) return fields.tensor_type;
    const otherType = fields.sparse_tensor_type
      ? 'sparse tensor'
      : fields.sequence_type
        ? 'sequence'
        : fields.map_type
          ? 'map'
          : fields.optional_type
            ? 'optional'
            : fields.opaque_type
              ? 'opaque'
              : undefined;
    return { elemType: 0, dims: null, ...(otherType && { otherType }) };
  },
  TensorType: (fields) => ({ elemType: fields.elem_type ?? 0, dims: fields.shape ?? null }),
  ElementType: () => true,
  MapType: () => true,
  OpaqueType: () => true,
  TensorShapeProto: (fields) => fields.dim ?? [],
  Dimension: (fields) => (fields.dim_value === undefined ? fields.dim_param || undefined : saturate(fields.dim_value)),
  StringStringEntryProto: (fields) => ({ key: fields.key ?? '', value: fields.value ?? '' }),
  OperatorSetIdProto: (fields) => ({ domain: fields.domain ?? '', version: saturate(fields.version ?? 0) }),
  FunctionProto: (fields) => ({
    name: fields.name ?? '',
    domain: fields.domain ?? '',
    overload: fields.overload ?? '',
    inputs: fields.input ?? [],
    outputs: fields.output ?? [],
    attributes: fields.attribute ?? [],
    attributeProtos: fields.attribute_proto ?? [],
    nodes: fields.node ?? [],
    opsetImport: fields.opset_import ?? [],
  }),
};

/** The value of a message whose fields have all been read; undefined for messages that GRIM does not keep. */
export function build(message: MessageName, fields: Readonly<Record<string, unknown>>, fail: Fail): unknown {
  if (!Object.hasOwn(BUILDERS, message)) return undefined;
  const builder = BUILDERS[message as keyof Built] as (fields: unknown, fail: Fail) => unknown;
  return builder(fields, fail);
}

function buildAttribute(fields: FieldsOf<'AttributeProto'>, fail: Fail): AttributeProto {
  const name = fields.name ?? '';
  const present = ATTRIBUTE_TYPES.filter((field) => field !== undefined && fields[field] !== undefined);
  if (present.length > 1)
    fail(
      'GRIM_IR_BAD_ATTRIBUTE',
      `attribute "${show(name)}" holds both ${present[0]} and ${present[1]}; one value is allowed`,
    );
  const [field] = present;
  // A file of IR version 1 has no type: the field that is there tells. Zero is a value that proto3 writers leave out.
  const type = fields.type || ATTRIBUTE_TYPES.indexOf(field);
  if (fields.ref_attr_name) {
    if (field)
      fail(
        'GRIM_IR_BAD_ATTRIBUTE',
        `attribute "${show(name)}" refers to "${show(fields.ref_attr_name)}" and also holds ${field}`,
      );
    return { name, kind: 'reference', value: fields.ref_attr_name, type: fields.type ?? 0 };
  }
  const expected = ATTRIBUTE_TYPES[type];
  if (expected === undefined)
    fail(
      'GRIM_IR_BAD_ATTRIBUTE',
      `attribute "${show(name)}" has type ${type}; the types are 1 to ${ATTRIBUTE_TYPES.length - 1}`,
    );
  if (field !== undefined && field !== expected)
    fail('GRIM_IR_BAD_ATTRIBUTE', `attribute "${show(name)}" says it holds ${expected} and holds ${field}`);
  return { name, ...attributeValue(fields, name, type, fail) };
}

function attributeValue(fields: FieldsOf<'AttributeProto'>, name: string, type: number, fail: Fail): AttributeValue {
  const missing = (): never => fail('GRIM_ONNX_MISSING_FIELD', `attribute "${show(name)}" has no value`);
  switch (ATTRIBUTE_TYPES[type]) {
    case 'f':
      return { kind: 'float', value: fields.f ?? 0 };
    case 'i':
      return { kind: 'int', value: fields.i ?? 0 };
    case 's':
      return { kind: 'string', value: fields.s ?? '' };
    case 't':
      return { kind: 'tensor', value: fields.t ?? missing() };
    case 'g':
      return { kind: 'graph', value: fields.g ?? missing() };
    case 'sparse_tensor':
      return { kind: 'sparse_tensor', value: fields.sparse_tensor ?? missing() };
    case 'floats':
      return { kind: 'floats', value: fields.floats ?? [] };
    case 'ints':
      return { kind: 'ints', value: fields.ints ?? [] };
    case 'strings':
      return { kind: 'strings', value: fields.strings ?? [] };
    case 'tensors':
      return { kind: 'tensors', value: fields.tensors ?? [] };
    case 'graphs':
      return { kind: 'graphs', value: fields.graphs ?? [] };
    default:
      return { kind: 'other', value: type };
  }
}

const EXTERNAL = 1;

function buildPayload(fields: FieldsOf<'TensorProto'>, fail: Fail): TensorPayload {
  const forms = [...inlineForms(fields)];
  const location = fields.data_location ?? 0;
  if (location !== 0 && location !== EXTERNAL)
    fail('GRIM_ONNX_BAD_TENSOR', `data_location ${location} is neither 0 (in this file) nor 1 (external)`);
  if (forms.length > 1)
    fail('GRIM_ONNX_BAD_TENSOR', `the elements are given twice, as ${forms[0]?.form} and as ${forms[1]?.form}`);
  const [payload] = forms;
  const entries = fields.external_data ?? [];
  if (location === EXTERNAL) {
    if (payload) fail('GRIM_ONNX_BAD_TENSOR', `the elements are given twice, in external data and as ${payload.form}`);
    return { form: 'external', entries };
  }
  if (entries.length > 0)
    fail('GRIM_ONNX_EXTERNAL_DATA', 'external_data is given and data_location does not say EXTERNAL');
  return payload ?? { form: 'raw', bytes: new Uint8Array(0) };
}

function* inlineForms(fields: FieldsOf<'TensorProto'>): Generator<TensorPayload> {
  const { raw_data, float_data, int32_data, int64_data, double_data, uint64_data, string_data } = fields;
  if (raw_data) yield { form: 'raw', bytes: raw_data };
  if (float_data?.byteLength) yield lazyFloats('float_data', float_data.bytes(), Float32Array);
  if (double_data?.byteLength) yield lazyFloats('double_data', double_data.bytes(), Float64Array);
  if (int32_data?.byteLength) yield { form: 'int32_data', values: view(int32_data.bytes(), Int32Array) };
  if (int64_data?.byteLength) yield { form: 'int64_data', values: view(int64_data.bytes(), BigInt64Array) };
  if (uint64_data?.byteLength) yield { form: 'uint64_data', values: view(uint64_data.bytes(), BigUint64Array) };
  if (string_data) yield { form: 'string_data', count: string_data.length };
}

interface ArrayOf<T> {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): T;
  readonly BYTES_PER_ELEMENT: number;
}

/** The bytes as elements: in place where they are aligned, else a copy. */
function view<T>(bytes: Uint8Array, Elements: ArrayOf<T>): T {
  const size = Elements.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new Elements(aligned.buffer, aligned.byteOffset, aligned.length / size);
}

/** A float payload whose typed array is made when somebody asks: its bytes are in the file and seldom aligned. */
function lazyFloats<F extends 'float_data' | 'double_data', T extends Float32Array | Float64Array>(
  form: F,
  bytes: Uint8Array,
  Elements: ArrayOf<T>,
) {
  let values: T | undefined;
  return {
    form,
    bytes,
    get values() {
      values ??= view(bytes, Elements);
      return values;
    },
  };
}

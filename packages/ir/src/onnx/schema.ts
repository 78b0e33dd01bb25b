/**
 * The messages of onnx.proto as a table: which field has which number, what it holds, and which limit bounds its count.
 *
 * The decoder is driven by this table alone, so every field of it gets the same strict treatment. Fields that GRIM has no
 * use for (training, device placement, annotations) are in the table too: they are checked like the rest, then dropped. A
 * number that is not here is an unknown field.
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
import type { Limits } from '../limits.ts';

/**
 * What one field holds. `name`: text of at most `nameBytes`; `text`: of at most `stringBytes`; `count`: bytes whose
 * number matters and nothing else. Repeated numbers named `data:…` may be many and are gathered in a typed array.
 */
type ScalarKind = 'int32' | 'int64' | 'float' | 'name' | 'text' | 'bytes' | 'count';
type DataKind = 'data:float' | 'data:double' | 'data:int32' | 'data:int64' | 'data:uint64';

/** `[number, kind]`, then for repeated fields `'repeated'` and perhaps the limit of its count. */
type Row =
  | readonly [number: number, kind: ScalarKind | DataKind | MessageName]
  | readonly [number: number, kind: ScalarKind | MessageName, repeated: 'repeated', limit?: keyof Limits];

export const SCHEMA = {
  ModelProto: {
    ir_version: [1, 'int64'],
    producer_name: [2, 'text'],
    producer_version: [3, 'text'],
    domain: [4, 'name'],
    model_version: [5, 'int64'],
    doc_string: [6, 'text'],
    graph: [7, 'GraphProto'],
    opset_import: [8, 'OperatorSetIdProto', 'repeated'],
    metadata_props: [14, 'StringStringEntryProto', 'repeated'],
    training_info: [20, 'TrainingInfoProto', 'repeated'],
    functions: [25, 'FunctionProto', 'repeated'],
    configuration: [26, 'DeviceConfigurationProto', 'repeated'],
  },
  GraphProto: {
    node: [1, 'NodeProto', 'repeated', 'nodes'],
    name: [2, 'name'],
    initializer: [5, 'TensorProto', 'repeated', 'initializers'],
    doc_string: [10, 'text'],
    input: [11, 'ValueInfoProto', 'repeated'],
    output: [12, 'ValueInfoProto', 'repeated'],
    value_info: [13, 'ValueInfoProto', 'repeated'],
    quantization_annotation: [14, 'TensorAnnotation', 'repeated'],
    sparse_initializer: [15, 'SparseTensorProto', 'repeated', 'initializers'],
    metadata_props: [16, 'StringStringEntryProto', 'repeated'],
  },
  NodeProto: {
    input: [1, 'name', 'repeated', 'valuesPerNode'],
    output: [2, 'name', 'repeated', 'valuesPerNode'],
    name: [3, 'name'],
    op_type: [4, 'name'],
    attribute: [5, 'AttributeProto', 'repeated', 'attributesPerNode'],
    doc_string: [6, 'text'],
    domain: [7, 'name'],
    overload: [8, 'name'],
    metadata_props: [9, 'StringStringEntryProto', 'repeated'],
    device_configurations: [10, 'NodeDeviceConfigurationProto', 'repeated'],
  },
  AttributeProto: {
    name: [1, 'name'],
    f: [2, 'float'],
    i: [3, 'int64'],
    s: [4, 'text'],
    t: [5, 'TensorProto'],
    g: [6, 'GraphProto'],
    floats: [7, 'float', 'repeated'],
    ints: [8, 'int64', 'repeated'],
    strings: [9, 'text', 'repeated'],
    tensors: [10, 'TensorProto', 'repeated'],
    graphs: [11, 'GraphProto', 'repeated'],
    doc_string: [13, 'text'],
    tp: [14, 'TypeProto'],
    type_protos: [15, 'TypeProto', 'repeated'],
    type: [20, 'int32'],
    ref_attr_name: [21, 'name'],
    sparse_tensor: [22, 'SparseTensorProto'],
    sparse_tensors: [23, 'SparseTensorProto', 'repeated'],
  },
  TensorProto: {
    dims: [1, 'int64', 'repeated'],
    data_type: [2, 'int32'],
    segment: [3, 'Segment'],
    float_data: [4, 'data:float'],
    int32_data: [5, 'data:int32'],
    string_data: [6, 'count', 'repeated'],
    int64_data: [7, 'data:int64'],
    name: [8, 'name'],
    raw_data: [9, 'bytes'],
    double_data: [10, 'data:double'],
    uint64_data: [11, 'data:uint64'],
    doc_string: [12, 'text'],
    external_data: [13, 'StringStringEntryProto', 'repeated'],
    data_location: [14, 'int32'],
    metadata_props: [16, 'StringStringEntryProto', 'repeated'],
  },
  Segment: { begin: [1, 'int64'], end: [2, 'int64'] },
  SparseTensorProto: {
    values: [1, 'TensorProto'],
    indices: [2, 'TensorProto'],
    dims: [3, 'int64', 'repeated'],
  },
  ValueInfoProto: {
    name: [1, 'name'],
    type: [2, 'TypeProto'],
    doc_string: [3, 'text'],
    metadata_props: [4, 'StringStringEntryProto', 'repeated'],
  },
  TypeProto: {
    tensor_type: [1, 'TensorType'],
    sequence_type: [4, 'ElementType'],
    map_type: [5, 'MapType'],
    denotation: [6, 'name'],
    opaque_type: [7, 'OpaqueType'],
    sparse_tensor_type: [8, 'TensorType'],
    optional_type: [9, 'ElementType'],
  },
  TensorType: { elem_type: [1, 'int32'], shape: [2, 'TensorShapeProto'] },
  ElementType: { elem_type: [1, 'TypeProto'] },
  MapType: { key_type: [1, 'int32'], value_type: [2, 'TypeProto'] },
  OpaqueType: { domain: [1, 'name'], name: [2, 'name'] },
  TensorShapeProto: { dim: [1, 'Dimension', 'repeated'] },
  Dimension: { dim_value: [1, 'int64'], dim_param: [2, 'name'], denotation: [3, 'name'] },
  StringStringEntryProto: { key: [1, 'name'], value: [2, 'text'] },
  OperatorSetIdProto: { domain: [1, 'name'], version: [2, 'int64'] },
  FunctionProto: {
    name: [1, 'name'],
    input: [4, 'name', 'repeated', 'valuesPerNode'],
    output: [5, 'name', 'repeated', 'valuesPerNode'],
    attribute: [6, 'name', 'repeated', 'attributesPerNode'],
    node: [7, 'NodeProto', 'repeated', 'nodes'],
    doc_string: [8, 'text'],
    opset_import: [9, 'OperatorSetIdProto', 'repeated'],
    domain: [10, 'name'],
    attribute_proto: [11, 'AttributeProto', 'repeated', 'attributesPerNode'],
    value_info: [12, 'ValueInfoProto', 'repeated'],
    overload: [13, 'name'],
    metadata_props: [14, 'StringStringEntryProto', 'repeated'],
  },
  TrainingInfoProto: {
    initialization: [1, 'GraphProto'],
    algorithm: [2, 'GraphProto'],
    initialization_binding: [3, 'StringStringEntryProto', 'repeated'],
    update_binding: [4, 'StringStringEntryProto', 'repeated'],
  },
  TensorAnnotation: {
    tensor_name: [1, 'name'],
    quant_parameter_tensor_names: [2, 'StringStringEntryProto', 'repeated'],
  },
  DeviceConfigurationProto: { name: [1, 'name'], num_devices: [2, 'int32'], device: [3, 'name', 'repeated'] },
  NodeDeviceConfigurationProto: {
    configuration_id: [1, 'name'],
    sharding_spec: [2, 'ShardingSpecProto', 'repeated'],
    pipeline_stage: [3, 'int32'],
  },
  ShardingSpecProto: {
    tensor_name: [1, 'name'],
    device: [2, 'int64', 'repeated'],
    index_to_device_group_map: [3, 'IntIntListEntryProto', 'repeated'],
    sharded_dim: [4, 'ShardedDimProto', 'repeated'],
  },
  IntIntListEntryProto: { key: [1, 'int64'], value: [2, 'int64', 'repeated'] },
  ShardedDimProto: { axis: [1, 'int64'], simple_sharding: [2, 'SimpleShardedDimProto', 'repeated'] },
  SimpleShardedDimProto: { dim_value: [1, 'int64'], dim_param: [2, 'name'], num_shards: [3, 'int64'] },
} as const;

export type MessageName = keyof typeof SCHEMA;

/** Fields of which at most one may be set: protobuf calls them a oneof. */
export const ONE_OF: { readonly [M in MessageName]?: readonly string[] } = {
  TypeProto: ['tensor_type', 'sequence_type', 'map_type', 'opaque_type', 'sparse_tensor_type', 'optional_type'],
  Dimension: ['dim_value', 'dim_param'],
  SimpleShardedDimProto: ['dim_value', 'dim_param'],
};

/** One field, as the decoder looks it up by number. */
export interface Field {
  readonly name: string;
  readonly number: number;
  readonly kind: ScalarKind | DataKind | MessageName;
  /** The message that the field holds, if it holds one. */
  readonly message: MessageName | undefined;
  readonly repeated: boolean;
  readonly limit: keyof Limits | undefined;
  /** True when another field of the same message may not be set beside it. */
  readonly oneOf: boolean;
}

function fieldsOf(message: MessageName): ReadonlyMap<number, Field> {
  const rows: Readonly<Record<string, Row>> = SCHEMA[message];
  const fields = new Map<number, Field>();
  for (const [name, [number, kind, repeated, limit]] of Object.entries(rows))
    fields.set(number, {
      name,
      number,
      kind,
      message: Object.hasOwn(SCHEMA, kind) ? (kind as MessageName) : undefined,
      repeated: repeated !== undefined || kind.startsWith('data:'),
      limit,
      oneOf: ONE_OF[message]?.includes(name) ?? false,
    });
  return fields;
}

/** Field number → field, per message. */
export const FIELDS: ReadonlyMap<MessageName, ReadonlyMap<number, Field>> = new Map(
  (Object.keys(SCHEMA) as MessageName[]).map((message) => [message, fieldsOf(message)]),
);

/** AttributeProto.AttributeType → the field that holds its value. Index = number. */
export const ATTRIBUTE_TYPES = [
  undefined,
  'f',
  'i',
  's',
  't',
  'g',
  'floats',
  'ints',
  'strings',
  'tensors',
  'graphs',
  'sparse_tensor',
  'sparse_tensors',
  'tp',
  'type_protos',
] as const;

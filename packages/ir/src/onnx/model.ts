/**
 * An ONNX file as plain values: the messages of onnx.proto that GRIM reads, decoded (`decode.ts`) and before any meaning
 * is given to them (`import.ts`). Writing goes through the same types (`encode.ts`).
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, field by field in `schema.ts`
 */
import type { DType } from '../types.ts';

export interface ModelProto {
  readonly irVersion: number;
  readonly producerName: string;
  readonly producerVersion: string;
  readonly domain: string;
  readonly modelVersion: number;
  readonly docString: string;
  readonly graph: GraphProto;
  /** In file order; duplicates are for the importer to refuse. The default domain is `''`. */
  readonly opsetImport: readonly OperatorSetId[];
  readonly metadataProps: readonly StringPair[];
  readonly functions: readonly FunctionProto[];
}

export interface OperatorSetId {
  readonly domain: string;
  readonly version: number;
}

export interface StringPair {
  readonly key: string;
  readonly value: string;
}

export interface GraphProto {
  readonly name: string;
  readonly docString: string;
  readonly nodes: readonly NodeProto[];
  readonly initializers: readonly TensorProto[];
  readonly sparseInitializers: readonly SparseTensorProto[];
  readonly inputs: readonly ValueInfoProto[];
  readonly outputs: readonly ValueInfoProto[];
  readonly valueInfo: readonly ValueInfoProto[];
}

export interface NodeProto {
  readonly name: string;
  readonly opType: string;
  readonly domain: string;
  readonly overload: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: readonly AttributeProto[];
}

export interface FunctionProto {
  readonly name: string;
  readonly domain: string;
  readonly overload: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Names of attributes without a default. */
  readonly attributes: readonly string[];
  /** Attributes with a default. */
  readonly attributeProtos: readonly AttributeProto[];
  readonly nodes: readonly NodeProto[];
  readonly opsetImport: readonly OperatorSetId[];
}

/** `int`s are numbers when they fit ±2^53 exactly, else bigints (an old Slice writes 2^63 − 1). */
export type AttributeValue =
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'int'; readonly value: number | bigint }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'tensor'; readonly value: TensorProto }
  | { readonly kind: 'graph'; readonly value: GraphProto }
  | { readonly kind: 'sparse_tensor'; readonly value: SparseTensorProto }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'ints'; readonly value: readonly (number | bigint)[] }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensors'; readonly value: readonly TensorProto[] }
  | { readonly kind: 'graphs'; readonly value: readonly GraphProto[] }
  /** An attribute of the function around it, filled in when the function is expanded. `type` is the AttributeType number. */
  | { readonly kind: 'reference'; readonly value: string; readonly type: number }
  /** type_proto, type_protos: nothing that GRIM supports has one. */
  | { readonly kind: 'other'; readonly value: number };

export type AttributeProto = AttributeValue & { readonly name: string };

/**
 * Where the elements of a tensor are. Exactly one form; the length has not been compared with `dims` yet.
 * `raw` is a view on the file's bytes, little-endian. The typed forms follow onnx.proto: `int32_data` also carries int8,
 * int16, uint8, uint16, bool, and the bits of float16 and bfloat16; `uint64_data` also uint32.
 */
export type TensorPayload =
  | { readonly form: 'raw'; readonly bytes: Uint8Array }
  /** `bytes`, when present: the same elements where they lie in the file; then `values` is made on first access. */
  | { readonly form: 'float_data'; readonly values: Float32Array; readonly bytes?: Uint8Array }
  | { readonly form: 'int32_data'; readonly values: Int32Array }
  | { readonly form: 'int64_data'; readonly values: BigInt64Array }
  | { readonly form: 'double_data'; readonly values: Float64Array; readonly bytes?: Uint8Array }
  | { readonly form: 'uint64_data'; readonly values: BigUint64Array }
  | { readonly form: 'string_data'; readonly count: number }
  | { readonly form: 'external'; readonly entries: readonly StringPair[] };

export interface TensorProto {
  readonly name: string;
  /** As in the file: may be negative or huge. Beyond ±2^53 saturated. */
  readonly dims: readonly number[];
  /** TensorProto.DataType number; see {@link DATA_TYPES}. */
  readonly dataType: number;
  readonly payload: TensorPayload;
}

export interface SparseTensorProto {
  /** The non-zero values, [NNZ]; carries the name. */
  readonly values: TensorProto;
  /** int64 [NNZ] linear, or [NNZ, rank]. */
  readonly indices: TensorProto;
  readonly dims: readonly number[];
}

/** `dims` null: the file says nothing about the shape. A dim is a length, a name, or undefined when left open. */
export interface ValueInfoProto {
  readonly name: string;
  /** TensorProto.DataType number; 0 when the type is missing. */
  readonly elemType: number;
  readonly dims: readonly (number | string | undefined)[] | null;
  /** Set when the type is no dense tensor: sequence, map, optional, sparse tensor. */
  readonly otherType?: string;
}

/** TensorProto.DataType → dtype, for those that GRIM holds. */
export const DATA_TYPES: ReadonlyMap<number, DType> = new Map([
  [1, 'float32'],
  [2, 'uint8'],
  [3, 'int8'],
  [4, 'uint16'],
  [5, 'int16'],
  [6, 'int32'],
  [7, 'int64'],
  [9, 'bool'],
  [10, 'float16'],
  [11, 'float64'],
  [12, 'uint32'],
  [13, 'uint64'],
  [16, 'bfloat16'],
]);

/** Names of all values of TensorProto.DataType, for messages. Index = number. */
export const DATA_TYPE_NAMES: readonly string[] = [
  'undefined',
  'float32',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'int32',
  'int64',
  'string',
  'bool',
  'float16',
  'float64',
  'uint32',
  'uint64',
  'complex64',
  'complex128',
  'bfloat16',
  'float8e4m3fn',
  'float8e4m3fnuz',
  'float8e5m2',
  'float8e5m2fnuz',
  'uint4',
  'int4',
  'float4e2m1',
  'float8e8m0',
  'uint2',
  'int2',
];

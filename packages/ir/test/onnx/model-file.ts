/** ONNX files written in a few words, for tests of the importer. */
import { encodeModel } from '../../src/onnx/encode.ts';
import type {
  AttributeProto,
  AttributeValue,
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  ValueInfoProto,
} from '../../src/onnx/model.ts';
import { dataTypeOf, writeTensor } from '../../src/onnx/tensor.ts';
import type { DType, Tensor } from '../../src/types.ts';

type Attributes = Readonly<Record<string, AttributeValue | number | string | readonly number[]>>;

function attribute(name: string, value: Attributes[string]): AttributeProto {
  if (typeof value === 'number') return { name, kind: 'int', value };
  if (typeof value === 'string') return { name, kind: 'string', value };
  return Array.isArray(value) ? { name, kind: 'ints', value } : { name, ...(value as AttributeValue) };
}

export const float = (value: number): AttributeValue => ({ kind: 'float', value });
export const floats = (...value: number[]): AttributeValue => ({ kind: 'floats', value });
export const body = (value: GraphProto): AttributeValue => ({ kind: 'graph', value });
export const reference = (value: string, type: number): AttributeValue => ({ kind: 'reference', value, type });
export const tensorValue = (tensor: Tensor): AttributeValue => ({ kind: 'tensor', value: writeTensor(tensor, '') });

/** `node('Concat', ['a', 'b'], ['c'], { axis: 0 })`; a list of numbers is `ints`, a number an `int`. */
export function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Attributes = {},
  more: Partial<NodeProto> = {},
): NodeProto {
  const list = Object.entries(attributes).map(([name, value]) => attribute(name, value));
  return {
    name: `n_${outputs[0] ?? opType}`,
    opType,
    domain: '',
    overload: '',
    inputs,
    outputs,
    attributes: list,
    ...more,
  };
}

export type Dims = readonly (number | string | undefined)[] | null;

export function value(name: string, dims: Dims = null, dtype: DType = 'float32'): ValueInfoProto {
  return { name, elemType: dataTypeOf(dtype), dims };
}

export interface GraphParts {
  readonly nodes: readonly NodeProto[];
  readonly inputs?: readonly ValueInfoProto[];
  readonly outputs?: readonly (ValueInfoProto | string)[];
  readonly weights?: Readonly<Record<string, Tensor>>;
  readonly valueInfo?: readonly ValueInfoProto[];
  readonly more?: Partial<GraphProto>;
}

/** A graph; an output that is a bare name declares nothing else. */
export function graphProto({
  nodes,
  inputs = [],
  outputs = [],
  weights = {},
  valueInfo = [],
  more,
}: GraphParts): GraphProto {
  return {
    name: 'g',
    docString: '',
    nodes,
    initializers: Object.entries(weights).map(([name, tensor]) => writeTensor(tensor, name)),
    sparseInitializers: [],
    inputs,
    outputs: outputs.map((output) => (typeof output === 'string' ? { name: output, elemType: 0, dims: null } : output)),
    valueInfo,
    ...more,
  };
}

export interface ModelParts extends GraphParts {
  readonly opset?: number;
  readonly functions?: readonly FunctionProto[];
  readonly model?: Partial<ModelProto>;
}

/** The bytes of a model; opset 21 unless said otherwise. */
export function modelFile({ opset = 21, functions = [], model = {}, ...parts }: ModelParts): Uint8Array {
  return encodeModel({
    irVersion: 10,
    producerName: 'test',
    producerVersion: '',
    domain: '',
    modelVersion: 0,
    docString: '',
    graph: graphProto(parts),
    opsetImport: [{ domain: '', version: opset }],
    metadataProps: [],
    functions,
    ...model,
  });
}

export function functionProto(name: string, parts: Partial<FunctionProto>): FunctionProto {
  return {
    name,
    domain: 'local',
    overload: '',
    inputs: ['a'],
    outputs: ['b'],
    attributes: [],
    attributeProtos: [],
    nodes: [],
    opsetImport: [{ domain: '', version: 21 }],
    ...parts,
  };
}

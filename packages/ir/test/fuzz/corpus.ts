/** What the fuzzers start from: small models made here, and those of the data folder when it is there. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { decodeModel } from '../../src/onnx/decode.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import type { GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto } from '../../src/onnx/model.ts';
import { BYTE_MUTATORS } from './byte-mutators.ts';
import { MODEL_MUTATORS, type Mutable } from './model-mutators.ts';
import type { Random } from './random.ts';

const MAX_BYTES = 4096;
const MAX_MODELS = 200;

/** The node-test models that are small, evenly picked; none when `data` is not there. */
function realModels(data: string | undefined): Uint8Array[] {
  const folder = join(data ?? '', 'onnx-node-tests', 'node');
  if (data === undefined || !existsSync(folder)) return [];
  const files = readdirSync(folder)
    .toSorted()
    .map((name) => join(folder, name, 'model.onnx'))
    .filter((file) => existsSync(file) && statSync(file).size <= MAX_BYTES);
  const every = Math.max(1, Math.floor(files.length / MAX_MODELS));
  return files
    .filter((_, index) => index % every === 0)
    .map((file) => new Uint8Array(readFileSync(file)))
    .filter(canBeWritten);
}

/** False for models with text elements or values that are no tensors, of which GRIM keeps too little. */
function canBeWritten(bytes: Uint8Array): boolean {
  try {
    encodeModel(decodeModel(bytes));
    return true;
  } catch {
    return false;
  }
}

export function value(name: string, dims: ValueInfoProto['dims'] = [2, 3], elemType = 1): ValueInfoProto {
  return { name, elemType, dims };
}

export function node(opType: string, inputs: readonly string[], outputs: readonly string[]): NodeProto {
  return { name: '', opType, domain: '', overload: '', inputs, outputs, attributes: [] };
}

export function graphProto(parts: Partial<GraphProto> = {}): GraphProto {
  return {
    name: 'g',
    docString: '',
    nodes: [],
    initializers: [],
    sparseInitializers: [],
    inputs: [],
    outputs: [],
    valueInfo: [],
    ...parts,
  };
}

export function modelProto(graph: Partial<GraphProto> = {}, parts: Partial<ModelProto> = {}): ModelProto {
  return {
    irVersion: 8,
    producerName: 'test',
    producerVersion: '1',
    domain: '',
    modelVersion: 0,
    docString: '',
    graph: graphProto(graph),
    opsetImport: [{ domain: '', version: 17 }],
    metadataProps: [],
    functions: [],
    ...parts,
  };
}

const weight: TensorProto = {
  name: 'w',
  dims: [2, 3],
  dataType: 1,
  payload: { form: 'float_data', values: Float32Array.of(1, 2, 3, 4, 5, 6) },
};

/** A model with one of everything that the decoder keeps. */
export const KITCHEN_SINK: ModelProto = modelProto(
  {
    docString: 'one of everything',
    inputs: [value('x', ['N', 3]), value('c', [], 9)],
    outputs: [value('y', [undefined, 3])],
    valueInfo: [value('h', null)],
    initializers: [
      weight,
      { name: 'r', dims: [2], dataType: 6, payload: { form: 'raw', bytes: Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0) } },
      { name: 'i', dims: [2], dataType: 3, payload: { form: 'int32_data', values: Int32Array.of(-1, 2) } },
      { name: 'l', dims: [2], dataType: 7, payload: { form: 'int64_data', values: BigInt64Array.of(-1n, 2n) } },
      { name: 'd', dims: [1], dataType: 11, payload: { form: 'double_data', values: Float64Array.of(0.5) } },
      {
        name: 'u',
        dims: [1],
        dataType: 13,
        payload: { form: 'uint64_data', values: BigUint64Array.of(2n ** 64n - 1n) },
      },
    ],
    sparseInitializers: [
      {
        values: { name: 's', dims: [1], dataType: 1, payload: { form: 'float_data', values: Float32Array.of(7) } },
        indices: { name: '', dims: [1], dataType: 7, payload: { form: 'int64_data', values: BigInt64Array.of(4n) } },
        dims: [2, 3],
      },
    ],
    nodes: [
      node('Add', ['x', 'w'], ['h']),
      {
        ...node('Everything', ['h', '', 'r'], ['y', '']),
        name: 'n',
        domain: 'test',
        overload: 'o',
        attributes: [
          { name: 'f', kind: 'float', value: 0.5 },
          { name: 'i', kind: 'int', value: -1 },
          { name: 's', kind: 'string', value: 'é' },
          { name: 't', kind: 'tensor', value: weight },
          {
            name: 'g',
            kind: 'graph',
            value: graphProto({ nodes: [node('Relu', ['h'], ['z'])], outputs: [value('z')] }),
          },
          { name: 'floats', kind: 'floats', value: [1, 2] },
          { name: 'ints', kind: 'ints', value: [1, 2n ** 63n - 1n] },
          { name: 'strings', kind: 'strings', value: ['a', ''] },
          { name: 'tensors', kind: 'tensors', value: [weight] },
          { name: 'graphs', kind: 'graphs', value: [graphProto()] },
        ],
      },
    ],
  },
  {
    metadataProps: [{ key: 'k', value: 'v' }],
    functions: [
      {
        name: 'F',
        domain: 'test',
        overload: '',
        inputs: ['a'],
        outputs: ['b'],
        attributes: ['alpha'],
        attributeProtos: [{ name: 'beta', kind: 'int', value: 1 }],
        nodes: [
          {
            ...node('LeakyRelu', ['a'], ['b']),
            attributes: [{ name: 'alpha', kind: 'reference', value: 'alpha', type: 1 }],
          },
        ],
        opsetImport: [{ domain: '', version: 17 }],
      },
    ],
  },
);

export function corpus(data: string | undefined): Uint8Array[] {
  return [encodeModel(KITCHEN_SINK), ...realModels(data)];
}

interface Case {
  readonly bytes: Uint8Array;
  readonly how: readonly string[];
}

/** One to four byte mutators, one after another, on a file of the corpus. */
export function byteCase(files: readonly Uint8Array[], random: Random): Case {
  let bytes = random.pick(files) ?? new Uint8Array(0);
  const how: string[] = [];
  for (let steps = 1 + random.below(4); steps > 0 && bytes.length > 0; steps--) {
    const mutator = random.pick(BYTE_MUTATORS);
    if (mutator === undefined) break;
    bytes = mutator.mutate(bytes, random, files);
    how.push(mutator.name);
  }
  return { bytes, how };
}

/** One to four model mutators, one after another, on a model of the corpus. */
export function modelCase(files: readonly Uint8Array[], random: Random): Case {
  const model = decodeModel(random.pick(files) ?? new Uint8Array(0)) as Mutable<ModelProto>;
  const how: string[] = [];
  for (let steps = 1 + random.below(4); steps > 0; steps--) {
    const mutator = random.pick(MODEL_MUTATORS);
    if (mutator === undefined) break;
    mutator.mutate(model, random);
    how.push(mutator.name);
  }
  return { bytes: encodeModel(model as ModelProto), how };
}

/** What the fuzzers attack. Each returns or throws a GrimError, whatever the bytes. */
import { decodeModel } from '../../src/onnx/decode.ts';
import { externalReader } from '../../src/onnx/external.ts';
import { fromOnnx } from '../../src/onnx/import.ts';
import type { GraphProto } from '../../src/onnx/model.ts';
import { readSparseTensor, readTensor } from '../../src/onnx/tensor.ts';

const externalData = new Map([['w.bin', new Uint8Array(64)]]);
const external = externalReader(externalData);

/** The wire and the tensors: every element is read. */
function decodeAll(bytes: Uint8Array): void {
  const model = decodeModel(bytes);
  const graphs: GraphProto[] = [model.graph];
  for (const graph of graphs) {
    for (const proto of graph.initializers) readTensor(proto, 'initializer', undefined, external).data.at(-1);
    for (const proto of graph.sparseInitializers) readSparseTensor(proto, 'sparse initializer').data.at(-1);
    for (const { attributes } of graph.nodes)
      for (const attribute of attributes) {
        if (attribute.kind === 'graph') graphs.push(attribute.value);
        if (attribute.kind === 'graphs') graphs.push(...attribute.value);
        if (attribute.kind === 'tensor') readTensor(attribute.value, 'attribute').data.at(-1);
      }
  }
}

/** The whole way from a file to a graph. */
function importAll(bytes: Uint8Array): void {
  fromOnnx(bytes, { externalData });
}

export const TARGETS: Readonly<Record<string, (bytes: Uint8Array) => void>> = { decode: decodeAll, import: importAll };

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeModel, decodeTensorFile } from '../../src/onnx/decode.ts';
import { encodeModel, encodeTensorFile } from '../../src/onnx/encode.ts';
import type { AttributeProto, GraphProto, ModelProto, TensorProto } from '../../src/onnx/model.ts';
import { graphProto, KITCHEN_SINK, modelProto, node, value } from '../fuzz/corpus.ts';
import { codeOf } from './wire-bytes.ts';

const data = process.env['GRIM_DATA'] ?? '';

function filesBelow(folder: string, ending: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => joinPath(entry.parentPath, entry.name));
}

const withAttribute = (attribute: AttributeProto) =>
  modelProto({ nodes: [{ ...node('Op', [], []), attributes: [attribute] }] });
const withTensor = (tensor: TensorProto) => modelProto({ initializers: [tensor] });

describe('writing', () => {
  it('decodes to the same values for every model and tensor file of the data', (ctx) => {
    const models = [
      ...filesBelow(joinPath(data, 'onnx-node-tests'), '.onnx'),
      ...filesBelow(joinPath(data, 'models'), '.onnx'),
    ];
    const tensors = filesBelow(joinPath(data, 'onnx-node-tests/simple'), '.pb');
    if (models.length === 0) return ctx.skip(`GRIM_DATA is not there: ${data}`);
    for (const path of models) {
      const model = decodeModel(new Uint8Array(readFileSync(path)));
      const bytes = encodeModel(model);
      // Buffer.compare over deep equality of the bytes: a thousand times faster.
      expect(Buffer.compare(encodeModel(decodeModel(bytes)), bytes), path).toBe(0);
      if (bytes.length < 2 ** 16) expect(decodeModel(bytes), path).toEqual(model);
    }
    for (const path of tensors) {
      const tensor = decodeTensorFile(new Uint8Array(readFileSync(path)));
      expect(decodeTensorFile(encodeTensorFile(tensor)), path).toEqual(tensor);
    }
  });

  it('decodes to the same values for a model with one of everything', () => {
    const decoded = decodeModel(encodeModel(KITCHEN_SINK));
    expect(decodeModel(encodeModel(decoded))).toEqual(decoded);
    expect(
      decoded.graph.nodes[1]?.attributes.map(({ kind, value: held }) => [
        kind,
        kind === 'tensor' || kind === 'tensors' ? 0 : held,
      ]),
    ).toEqual(
      KITCHEN_SINK.graph.nodes[1]?.attributes.map(({ kind, value: held }) => [
        kind,
        kind === 'tensor' || kind === 'tensors' ? 0 : held,
      ]),
    );
  });

  it('gives the same bytes twice', () => {
    expect(encodeModel(structuredClone(KITCHEN_SINK))).toEqual(encodeModel(KITCHEN_SINK));
  });

  it('keeps data, large and small, bit by bit, at any nesting', () => {
    for (const length of [0, 1, 100, 4095, 4096, 4097, 70_000]) {
      const bytes = Uint8Array.from({ length }, (_, at) => at * 31);
      const tensor: TensorProto = { name: 't', dims: [length], dataType: 2, payload: { form: 'raw', bytes } };
      const inner = graphProto({ initializers: [tensor, tensor], name: 'inner' });
      const model = modelProto({
        initializers: [tensor],
        nodes: [{ ...node('If', [], []), attributes: [{ name: 'g', kind: 'graph', value: inner }] }],
      });
      expect(decodeModel(encodeModel(model))).toEqual(model);
    }
  });

  it('holds no more than the file beside the weights', () => {
    const bytes = new Uint8Array(64 * 2 ** 20);
    const model = withTensor({ name: 't', dims: [bytes.length], dataType: 2, payload: { form: 'raw', bytes } });
    const before = process.memoryUsage().arrayBuffers;
    const file = encodeModel(model);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1.1 * file.length);
  });

  it('writes integers and floats at their bounds', () => {
    for (const held of [0, -1, 2 ** 53 - 1, 2n ** 63n - 1n, -(2n ** 63n)])
      expect(
        decodeModel(encodeModel(withAttribute({ name: 'a', kind: 'int', value: held }))).graph.nodes[0]?.attributes[0]
          ?.value,
      ).toBe(held);
    for (const held of [0, -0, Infinity, -Infinity, Number.NaN, 2 ** -149, 3.4028234663852886e38])
      expect(
        decodeModel(encodeModel(withAttribute({ name: 'a', kind: 'float', value: held }))).graph.nodes[0]?.attributes[0]
          ?.value,
      ).toBe(held);
  });

  const nested = (depth: number): GraphProto =>
    depth === 0
      ? graphProto()
      : graphProto({
          nodes: [{ ...node('If', [], []), attributes: [{ name: 'g', kind: 'graph', value: nested(depth - 1) }] }],
        });
  const impossible: readonly (readonly [string, ModelProto])[] = [
    ['an integer beyond 64 bits', withAttribute({ name: 'a', kind: 'int', value: 2n ** 63n })],
    ['a fraction for an integer', withAttribute({ name: 'a', kind: 'ints', value: [0.5] })],
    ['NaN for an integer', withAttribute({ name: 'a', kind: 'int', value: Number.NaN })],
    ['a float beyond float32', withAttribute({ name: 'a', kind: 'float', value: 1e39 })],
    ['a float beyond float32 in a list', withAttribute({ name: 'a', kind: 'floats', value: [-1e300] })],
    ['half a surrogate pair', withAttribute({ name: '\ud800', kind: 'int', value: 1 })],
    ['an attribute type that is not kept', withAttribute({ name: 'a', kind: 'other', value: 13 })],
    ['text elements', withTensor({ name: 't', dims: [1], dataType: 8, payload: { form: 'string_data', count: 1 } })],
    ['a sequence', modelProto({ inputs: [{ ...value('x'), otherType: 'sequence' }] })],
    ['nesting that no reader takes', modelProto(nested(30))],
    ['nesting without end', modelProto(nested(1000))],
  ];
  it.each(impossible)('refuses %s', (_, model) => {
    expect(codeOf(() => encodeModel(model))).toBe('GRIM_ONNX_EXPORT');
  });
});

/** The pretrained models of the data: imported, they give their stored outputs; exported, onnxruntime gives the same. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bind } from '../src/bind.ts';
import type { Graph } from '../src/graph.ts';
import { fromOnnx, readTensorFile, toOnnx } from '../src/onnx/index.ts';
import { evaluate } from '../src/reference/index.ts';
import type { Tensor } from '../src/types.ts';
import { runtime } from './onnx/runtime.ts';

const data = process.env['GRIM_DATA'] ?? '';
const root = join(data, 'models');
const noData = `GRIM_DATA is not there: ${data}`;
const models = existsSync(root) ? readdirSync(root).filter((name) => existsSync(join(root, name, 'model.onnx'))) : [];

function bytesOf(...path: string[]): Uint8Array {
  return new Uint8Array(readFileSync(join(root, ...path)));
}

function tensors(model: string, kind: 'input' | 'output', names: readonly string[]): Record<string, Tensor> {
  const set = 'test_data_set_0';
  const files = readdirSync(join(root, model, set)).filter((file) => file.startsWith(`${kind}_`));
  const all: Record<string, Tensor> = {};
  for (const file of files) {
    const { name, tensor } = readTensorFile(bytesOf(model, set, file));
    const position = Number.parseInt(file.slice(kind.length + 1), 10);
    all[names.includes(name) ? name : (names[position] ?? '')] = tensor;
  }
  return all;
}

/** The largest difference, in units of what is tolerated: absolute 1e-4 and relative 1e-3. */
function worst(found: Tensor | undefined, expected: Tensor): number {
  expect(found?.shape).toEqual(expected.shape);
  expect(found?.dtype).toBe(expected.dtype);
  let most = 0;
  for (let i = 0; i < expected.data.length; i++) {
    const [a, b] = [Number(found?.data[i]), Number(expected.data[i])];
    const difference = Math.abs(a - b) / (1e-4 + 1e-3 * Math.abs(b));
    if (!(difference <= most)) most = difference;
  }
  return most;
}

describe('the models of the data', () => {
  it('are there', (ctx) => {
    if (models.length === 0) ctx.skip(noData);
    expect(models.length).toBeGreaterThanOrEqual(12);
  });

  for (const model of models) {
    it(`${model}: stored outputs, and the same from its export in onnxruntime`, { timeout: 120_000 }, async () => {
      const graph: Graph = fromOnnx(bytesOf(model, 'model.onnx'));
      const inputs = tensors(model, 'input', [...graph.inputs.keys()]);
      const outputs = tensors(model, 'output', [...graph.outputs.keys()]);
      const here = evaluate(graph, inputs);
      for (const [name, expected] of Object.entries(outputs)) expect(worst(here[name], expected)).toBeLessThan(1);
      const exported = toOnnx(graph);
      const [before, after] = [await runtime(bytesOf(model, 'model.onnx'), inputs), await runtime(exported, inputs)];
      for (const [name, expected] of before) expect(worst(after.get(name), expected)).toBeLessThan(1);
      // Written and read again it is the same file.
      expect(toOnnx(fromOnnx(exported))).toEqual(exported);
    });
  }

  it('silero_vad_16k: with its lengths bound no condition is left, and the result is the same', (ctx) => {
    if (models.length === 0) ctx.skip(noData);
    const graph = fromOnnx(bytesOf('silero_vad_16k', 'model.onnx'));
    const inputs = tensors('silero_vad_16k', 'input', [...graph.inputs.keys()]);
    const outputs = tensors('silero_vad_16k', 'output', [...graph.outputs.keys()]);
    const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, shape]));
    const bound = bind(graph, { shapes });
    expect(graph.nodes.some(({ op }) => op === 'If')).toBe(true);
    expect(bound.nodes.some(({ op }) => op === 'If')).toBe(false);
    const here = evaluate(bound, inputs);
    for (const [name, expected] of Object.entries(outputs)) expect(worst(here[name], expected)).toBeLessThan(1);
  });
});

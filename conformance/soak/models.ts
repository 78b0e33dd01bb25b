/** Four networks of different kinds from the data folder, one of them pruned, each with inputs of its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { applyPattern, blockGrid, projectBcr } from '@grim/bcr';
import { type CompileOptions, compile, pack } from '@grim/codegen';
import type { Graph, TensorArray } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';

export interface SoakModel {
  readonly name: string;
  readonly grim: Uint8Array;
  readonly inputs: Readonly<Record<string, TensorArray>>;
}

/** One weight in so many stays, in blocks of two whole rows. */
const KEPT = 0.1;
const LEAST_ROWS = 16;

/** @param data  the folder with models/ */
export function soakModels(data: string, options: CompileOptions = {}): readonly SoakModel[] {
  const read = (name: string) => fromOnnx(readFileSync(join(data, 'models', name, 'model.onnx')), { dims: { N: 1 } });
  const resnet = read('resnet20_cifar10');
  const graphs: Readonly<Record<string, Graph>> = {
    'ResNet-20, dense': resnet,
    'ResNet-20, 2×K at density 0.1': pruned(resnet),
    'keywords, GRU of 400 units': read('kws_gru_l'),
    'keywords, DS-CNN': read('dscnn_kws'),
  };
  return Object.entries(graphs).map(([name, graph], i) => ({
    name,
    grim: pack(compile(graph, options)),
    inputs: inputsOf(graph, i + 1),
  }));
}

/** Every convolution with enough rows loses all but a tenth of its weights. */
function pruned(graph: Graph): Graph {
  const weights = new Map(graph.weights);
  for (const { op, inputs } of graph.nodes) {
    const name = inputs[1];
    const weight = name === undefined ? undefined : weights.get(name);
    if (op !== 'Conv' || name === undefined || weight?.dtype !== 'float32') continue;
    const [rows = 0, ...rest] = weight.shape;
    if (rows < LEAST_ROWS) continue;
    const cols = rest.reduce((a, b) => a * b, 1);
    const matrix = { rows, cols, data: weight.data as Float32Array<ArrayBuffer> };
    const pattern = projectBcr(matrix, blockGrid(rows, cols, 2, cols), { density: KEPT });
    weights.set(name, { ...weight, data: applyPattern(matrix, pattern).data as Float32Array<ArrayBuffer>, pattern });
  }
  return { ...graph, weights };
}

function inputsOf({ inputs }: Graph, seed: number): Readonly<Record<string, TensorArray>> {
  let state = seed;
  const draw = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return Object.fromEntries(
    Array.from(inputs, ([name, { shape }]) => {
      const length = (shape as readonly number[]).reduce((a, b) => a * b, 1);
      return [name, Float32Array.from({ length }, draw)];
    }),
  );
}

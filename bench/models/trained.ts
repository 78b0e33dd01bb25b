/** The trained models of the data folder, their open lengths bound, each with made-up inputs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Graph, Tensor } from '@grim/ir';
import { fromOnnx, type ImportOptions, toOnnx } from '@grim/ir/onnx';
import { madeUpInputs } from '../../apps/cli/src/made-up-inputs.ts';

export interface BenchModel {
  readonly graph: Graph;
  /** For other engines. */
  readonly onnx: Uint8Array;
  readonly inputs: Readonly<Record<string, Tensor>>;
}

const RATE: Tensor = { dtype: 'int64', shape: [], data: BigInt64Array.of(16000n) };
const ONE: ImportOptions = { dims: { N: 1 } };
const MODELS: Readonly<Record<string, ImportOptions>> = {
  resnet8_cifar10: ONE,
  resnet20_cifar10: ONE,
  resnet56_cifar10: ONE,
  'mobilenet_v1_0.25_128_imagenet': ONE,
  mobilenet_v2_imagenet: ONE,
  squeezenet_v1_0_pruned_imagenet: ONE,
  face_slim_320: {},
  dscnn_kws: ONE,
  dtln_model_1: {},
  dtln_model_2: {},
  kws_gru_l: ONE,
  silero_vad_16k: { shapes: { input: [1, 576], state: [2, 1, 128] }, constants: { sr: RATE } },
};

/** By name; read when it is asked for. @param folder  the data folder */
export function trainedModels(folder: string): Readonly<Record<string, () => BenchModel>> {
  return Object.fromEntries(
    Object.entries(MODELS).map(([name, options]) => [
      name,
      () => {
        const original = readFileSync(join(folder, 'models', name, 'model.onnx'));
        const graph = fromOnnx(original, options);
        const inputs = madeUpInputs(graph.inputs);
        // The very file, unless something was fixed for us: then the same graph, so that both know the same.
        return { graph, onnx: options.constants ? toOnnx(graph) : original, inputs };
      },
    ]),
  );
}

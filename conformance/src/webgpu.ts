/** The backend `webgpu`: as `wasm`, on a device. What has no shader fails and names its kernels. */
import { compile, pack } from '@grim/codegen';
import { bind } from '@grim/ir';
import { loadModel } from '@grim/runtime/webgpu';
import type { Backend } from './run.ts';
import { wasmBackendOf } from './wasm.ts';

/** What is waited for a result: a software adapter takes minutes for the longest models. */
const PATIENCE = 900_000;

export function webgpuBackend(gpu: GPUDevice): Backend {
  return wasmBackendOf((graph, binding) => {
    const grim = pack(compile(bind(graph, binding), { targets: ['wasm', 'webgpu'] }));
    return loadModel(grim, { device: 'webgpu', gpu, patience: PATIENCE });
  }, 'webgpu');
}

/** Conformance cases and tasks inside a page or a worker: import, compilation, packing, loading and running happen there. */
import { stage } from '@grim/browser/stage';
import { loadModel } from '@grim/runtime/webgpu';
import type { Case } from '../../src/cases.ts';
import { type Backend, type CaseResult, runCase } from '../../src/run.ts';
import { answerTask, compileTask, TASKS } from '../../src/tasks.ts';
import { wasmBackend } from '../../src/wasm.ts';
import { webgpuBackend } from '../../src/webgpu.ts';
import { PATIENCE, type PatternResult, runPattern } from '../webgpu/patterns.ts';

/** All files of some cases in one answer: the length of a list, the list of paths and lengths, the bytes. */
async function fetchFiles(paths: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
  const response = await fetch('/files', { method: 'POST', body: JSON.stringify(paths) });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const listBytes = new DataView(bytes.buffer).getUint32(0, true);
  const list = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + listBytes))) as [string, number][];
  const files = new Map<string, Uint8Array>();
  let at = 4 + listBytes;
  for (const [path, length] of list) {
    files.set(path, bytes.slice(at, at + length));
    at += length;
  }
  return files;
}

let opened: Promise<GPUDevice> | undefined;

/** One for all cases. */
function device(): Promise<GPUDevice> {
  opened ??= (async () => {
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter) throw new Error('no WebGPU adapter');
    return adapter.requestDevice();
  })();
  return opened;
}

const present = (paths: readonly (string | null | undefined)[]): string[] => paths.filter((path) => path != null);

stage(
  {
    async where() {
      return { isolated: crossOriginIsolated, scope: globalThis.constructor.name };
    },

    async cases([cases, name]: [readonly Case[], 'wasm' | 'webgpu']): Promise<readonly CaseResult[]> {
      const paths = cases.flatMap(({ path, dataSets }) => [
        path,
        ...dataSets.flatMap(({ inputs, outputs }) => present([...inputs, ...outputs])),
      ]);
      const files = await fetchFiles(paths);
      const read = (path: string): Uint8Array => files.get(path) ?? new Uint8Array();
      const results: CaseResult[] = [];
      const backend: Backend = name === 'wasm' ? wasmBackend : webgpuBackend(await device());
      for (const one of cases) results.push(await runCase(one, backend, { read }));
      return results;
    },

    /** Layers with random patterns on the GPU, by number. */
    async patterns([first, count]: [number, number]): Promise<readonly PatternResult[]> {
      const gpu = await device();
      const results: PatternResult[] = [];
      for (let seed = first; seed < first + count; seed++)
        results.push(await runPattern(seed, (file) => loadModel(file, { device: 'webgpu', gpu, patience: PATIENCE })));
      return results;
    },

    /** The bits of all answers of a task, and what the compiled file is. */
    async task([name, model, inputs, count]: [string, string, string, number]) {
      const task = TASKS.find((other) => other.name === name);
      if (!task) throw new Error(`no task ${name}`);
      const files = await fetchFiles([model, inputs]);
      const grim = compileTask(task, files.get(model) ?? new Uint8Array());
      const data = new Float32Array((files.get(inputs) ?? new Uint8Array()).buffer as ArrayBuffer);
      const answers = await answerTask(task, grim, { count, inputs: data });
      const digest = await crypto.subtle.digest('SHA-256', new Uint8Array(grim));
      return {
        bits: Array.from(new Uint32Array(answers.buffer)),
        file: Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join(''),
      };
    },
  },
  { module: '/page.js' },
);

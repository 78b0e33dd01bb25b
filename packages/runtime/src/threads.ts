/**
 * The entry `@grim/runtime/threads`: the same `loadModel`, the same `Model`, and the calls that a file marks as independent
 * are shared among threads over one memory. Whatever stands in the way of threads (a page that is not isolated, one core, a
 * worker that does not start, results that differ) leaves one thread, and `model.reasons` says which it was. The number of
 * threads changes no bit of a result: a call is the same whoever runs it.
 */
import type { LoadOptions } from './load.ts';
import type { Model, Tensors } from './model.ts';
import type { ModelSource } from './source.ts';
import { loadWithThreads } from './threads-crew.ts';
import type { ModelWorker } from './worker.ts';

export type { DType, FileManifest, InputInfo, OutputInfo, TensorArray, WasmFamily } from '@grim/ir';
export { RuntimeError, type RuntimeErrorCode } from './errors.ts';
export type { LoadOptions, LoadProgress } from './load.ts';
export type { Model, RunOptions, Tensors } from './model.ts';
export type { ModelSource } from './source.ts';
export type { ModelWorker } from './worker.ts';

export interface ThreadsOptions extends LoadOptions {
  /**
   * Threads, the calling one included: at most so many, and no more than the file has work for. 0, the default: as many as
   * the machine has cores, at most 4.
   */
  readonly threads?: number | undefined;
  /**
   * Starts a worker that runs `@grim/runtime/threads-worker` and nothing else; it belongs to this model. By default the one
   * beside this file, which bundlers find by themselves.
   */
  readonly worker?: (() => ModelWorker) | undefined;
}

/**
 * Loads a compiled model and starts its threads. `run` works on the calling thread too, which does not return to its event
 * loop before the run is over; in a page, put the model behind a worker to keep the page alive.
 * @throws {RuntimeError} what `loadModel` of `@grim/runtime` throws. Of `model.run`: WORKER_LOST when a thread does not answer
 *   for 1.5 s; the next run works
 * @example
 * using model = await loadModel('/models/vgg16.grim', { threads: 2 });
 * console.log(model.threads, model.reasons);
 */
export function loadModel<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors>(
  source: ModelSource,
  options: ThreadsOptions = {},
): Promise<Model<I, O>> {
  return loadWithThreads<I, O>(source, { ...options, worker: options.worker ?? startWorker });
}

interface WorkerThreads {
  readonly Worker: new (file: URL) => ModelWorker;
}

function startWorker(): ModelWorker {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): WorkerThreads } };
  const threads = process?.getBuiltinModule?.('node:worker_threads');
  if (threads) return new threads.Worker(new URL('./threads-worker.js', import.meta.url));
  // In this very form bundlers see that there is a second file.
  return new Worker(new URL('./threads-worker.js', import.meta.url), { type: 'module' }) as unknown as ModelWorker;
}

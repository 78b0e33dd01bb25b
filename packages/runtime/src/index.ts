/** Public names of `@grim/runtime`, and nothing else. */
import { type LoadOptions, load } from './load.ts';
import type { Model, Tensors } from './model.ts';
import type { ModelSource } from './source.ts';
import { SYSTEM } from './system.ts';

export type { DType, FileManifest, InputInfo, OutputInfo, TensorArray, WasmFamily } from '@grim/ir';
export { RuntimeError, type RuntimeErrorCode } from './errors.ts';
export type { LoadOptions, LoadProgress } from './load.ts';
export type { Model, RunOptions, Sized, Tensors } from './model.ts';
export type { ModelSource } from './source.ts';

/**
 * Loads a compiled model. The file is checked as a whole, then run once on a test vector of its own, before it is given
 * out.
 * @param source  a URL, a path (in Node), a Request, Response, ReadableStream, Blob, bytes, or a promise of one of these
 * @throws {RuntimeError} see the README for the codes; the signal's own reason when it is aborted
 * @example
 * using model = await loadModel('/models/keywords.grim');
 * const { logits } = await model.run({ audio });
 */
export function loadModel<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors>(
  source: ModelSource,
  options: LoadOptions = {},
): Promise<Model<I, O>> {
  return load<I, O>(source, options, SYSTEM);
}

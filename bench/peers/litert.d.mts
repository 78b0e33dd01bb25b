/** What is used of @litertjs/core. */
export class Tensor {
  constructor(data: Float32Array, shape: readonly number[]);
  toTypedArray(): Float32Array;
  delete(): void;
}
interface CompiledModel {
  run(input: Tensor): Promise<readonly Tensor[]>;
}
export function loadLiteRt(folder: string): Promise<unknown>;
export function loadAndCompile(model: Uint8Array, options: { readonly accelerator: 'wasm' }): Promise<CompiledModel>;

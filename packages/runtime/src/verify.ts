/**
 * The entry `@grim/runtime/verify`: a model that can say whether its weights and tables still are what its file said. They
 * lie in the memory that its kernels write to: a bit may flip there, and code of a stranger's file may write where it
 * should not.
 */
import type { FileManifest } from '@grim/ir';
import { crc32 } from './crc32.ts';
import { fail } from './errors.ts';
import { type LoadOptions, load } from './load.ts';
import type { Model, Tensors } from './model.ts';
import type { ModelSource } from './source.ts';
import { SYSTEM } from './system.ts';

export { RuntimeError, type RuntimeErrorCode } from './errors.ts';
export type { LoadOptions, LoadProgress } from './load.ts';
export type { Model, RunOptions, Tensors } from './model.ts';
export type { ModelSource } from './source.ts';

/** A run of constants that changed, in bytes from the start of the model's memory. */
export interface Damage {
  readonly offset: number;
  readonly bytes: number;
}

export interface VerifiableModel<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors>
  extends Model<I, O> {
  /**
   * Looks at all weights and tables again.
   * @returns the blocks of up to 64 KiB that changed since they were loaded; empty when all is well
   * @throws {RuntimeError} GRIM_RUNTIME_DISPOSED
   */
  verify(): readonly Damage[];
}

const BLOCK_BYTES = 65536;

/**
 * `loadModel` of `@grim/runtime`, and `verify()` on the model.
 * @example
 * using model = await loadModel('/models/keywords.grim');
 * if (model.verify().length > 0) throw new Error('load it again');
 */
export async function loadModel<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors>(
  source: ModelSource,
  options: LoadOptions = {},
): Promise<VerifiableModel<I, O>> {
  let manifest: Uint8Array | undefined;
  let memory: WebAssembly.Memory | undefined;
  let constants: readonly Damage[] = [];
  let sums: readonly number[] | undefined;
  const sumsNow = (): number[] =>
    constants.map(({ offset, bytes }) => crc32(new Uint8Array((memory as WebAssembly.Memory).buffer, offset, bytes)));
  const model = await load<I, O>(source, options, {
    ...SYSTEM,
    allocate(bytes) {
      const buffer = SYSTEM.allocate(bytes);
      // The first buffer that loading asks for is the one of the manifest.
      manifest ??= buffer;
      return buffer;
    },
    memory(pages) {
      memory = SYSTEM.memory(pages);
      return memory;
    },
    instantiate(module, imports) {
      // Now the constants are in memory and nothing of the file has run yet, not even the self-test.
      const { constantBytes } = JSON.parse(new TextDecoder().decode(manifest)) as FileManifest;
      constants = blocks(constantBytes);
      sums ??= sumsNow();
      return SYSTEM.instantiate(module, imports);
    },
  });
  const dispose = () => {
    memory = undefined;
    model.dispose();
  };
  return {
    ...model,
    verify() {
      if (!memory) fail('DISPOSED', 'model: it was disposed.');
      const now = sumsNow();
      return constants.filter((_, i) => now[i] !== sums?.[i]);
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

function blocks(length: number): Damage[] {
  return Array.from({ length: Math.ceil(length / BLOCK_BYTES) }, (_, i) => ({
    offset: i * BLOCK_BYTES,
    bytes: Math.min(BLOCK_BYTES, length - i * BLOCK_BYTES),
  }));
}

/**
 * A memory that notices stray accesses (rows C4 and C7 of the fault table): 4 KiB of canaries before each buffer and
 * behind each but the last, which ends where the memory ends, so that reading or writing past it traps.
 */
import { ModuleBuilder } from '../src/index.ts';

const GUARD = 4096;
const CANARY = 0xaa;

export type Buffers = Readonly<Record<string, Float32Array | Int32Array>>;
export type Kernel = (...parameters: readonly number[]) => void;

export interface Arena<B extends Buffers> {
  readonly at: { readonly [K in keyof B]: number };
  /** Runs an export of the module on this memory. */
  call(name: string, ...parameters: readonly number[]): void;
  /** What a buffer holds now. */
  read<K extends keyof B>(name: K): B[K];
  /** Names of guards with a changed byte, and of the buffers in `constant` that changed. */
  damage(constant: readonly (keyof B)[]): string[];
}

/** @param last the buffer that ends with the memory */
export function arena<B extends Buffers>(module: WebAssembly.Module, buffers: B, last: keyof B): Arena<B> {
  const names = [...Object.keys(buffers).filter((name) => name !== last), last as string];
  const bytes = names.reduce((sum, name) => sum + GUARD + (buffers[name]?.byteLength ?? 0), 0);
  const memory = new WebAssembly.Memory({ initial: Math.max(1, Math.ceil(bytes / 65536)) });
  const all = new Uint8Array(memory.buffer).fill(CANARY);
  const at: Record<string, number> = {};
  let end = all.length;
  for (const name of names.toReversed()) {
    const data = buffers[name] as Float32Array;
    at[name] = end - data.byteLength;
    all.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at[name]);
    end = at[name] - GUARD;
  }
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const bytesOf = (name: string) => all.slice(at[name], (at[name] ?? 0) + (buffers[name]?.byteLength ?? 0));
  return {
    at: at as { readonly [K in keyof B]: number },
    call: (name, ...parameters) => (instance.exports[name] as Kernel)(...parameters),
    read: <K extends keyof B>(name: K) => {
      const { buffer } = bytesOf(name as string);
      return (buffers[name] instanceof Float32Array
        ? new Float32Array(buffer)
        : new Int32Array(buffer)) as unknown as B[K];
    },
    damage: (constant) => {
      const found: string[] = [];
      for (const name of names) {
        const start = at[name] ?? 0;
        if (all.subarray(start - GUARD, start).some((byte) => byte !== CANARY)) found.push(`before ${name}`);
        const data = buffers[name] as Float32Array;
        const before = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
        if (constant.includes(name) && bytesOf(name).some((byte, i) => byte !== before[i])) found.push(name);
      }
      return found;
    },
  };
}

/** Both instruction families. */
export const FAMILIES = [{ relaxed: true }, { relaxed: false }] as const;
export const familyName = ({ relaxed }: { readonly relaxed: boolean }): string => (relaxed ? 'relaxed' : 'simd');

/** Compiles what `build` adds. */
export function compile(build: (module: ModuleBuilder) => void): WebAssembly.Module {
  const module = new ModuleBuilder();
  build(module);
  return new WebAssembly.Module(module.build());
}

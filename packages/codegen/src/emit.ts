/** One WebAssembly module per instruction family: all kernels of a program, exported as `k0`, `k1`, … */
import type { Family } from './kernels/family.ts';
import type { Kernel } from './program.ts';
import { ModuleBuilder } from './wasm/assembler.ts';

/** The name of the n-th function: nothing of a model's text gets into a module. */
export function exportName(index: number): string {
  return `k${index}`;
}

/** The memory is imported with exactly `pages` pages. */
export function emitModule(kernels: Iterable<Kernel>, family: Family, pages: number): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder({ minPages: pages, maxPages: pages });
  let number = 0;
  for (const { emit, parts } of kernels) emit(module, family, exportName(number++), parts && new Set(parts));
  return module.build();
}

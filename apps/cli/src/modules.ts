/** The WebAssembly modules that `compile --split` keeps beside a `.grim` file. */
import type { FileManifest, WasmFamily } from '@grim/ir';
import { about } from './errors.ts';
import { readRegularFile } from './files.ts';

/** `net.relaxed.wasm` for `net.grim`. */
export function modulePath(grim: string, family: WasmFamily): string {
  return `${grim.replace(/\.grim$/, '')}.${family}.wasm`;
}

/** The first module that this engine takes; undefined when the file has its modules inside. */
export function modulesBeside(path: string, { modules }: FileManifest): WebAssembly.Module | undefined {
  for (const { family } of modules ?? []) {
    // Slow unless Node is told to join its instructions, which this program does not do.
    if (family === 'wide') continue;
    const file = modulePath(path, family);
    const bytes = new Uint8Array(about(file, () => readRegularFile(file)));
    if (WebAssembly.validate(bytes)) return new WebAssembly.Module(bytes);
  }
  return undefined;
}

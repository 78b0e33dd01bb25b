/**
 * onnxruntime-web, for the page to measure beside: its files where it is installed for the folder the command runs in, or for this
 * program. Nothing of it is read before the page asks, which it does when a person wants it; nothing is ever downloaded.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { readRegularFile } from '../files.ts';
import { type Assets, lazyAsset } from './assets.ts';

/** What runs on the processor: the module, and what it loads. */
const FILES = ['ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'];

/** @param places  files from which it is looked for */
export function rivalAssets(
  places: readonly string[] = [join(process.cwd(), 'package.json'), import.meta.filename],
): Assets {
  for (const from of places) {
    const folder = folderOf(from);
    if (folder === undefined) continue;
    const files = FILES.filter((name) => existsSync(join(folder, name)));
    return new Map(files.map((name) => [`/ort/${name}`, lazyAsset(name, () => readRegularFile(join(folder, name)))]));
  }
  return new Map();
}

function folderOf(from: string): string | undefined {
  try {
    return dirname(createRequire(from).resolve('onnxruntime-web'));
  } catch {
    // Not installed there.
    return undefined;
  }
}

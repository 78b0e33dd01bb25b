/** Throw-away projects with models of their own, below this package so that they find its dependencies. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { compile, pack } from '@grim/codegen';
import { graph } from '@grim/ir';
import type { InlineConfig } from 'vite';
import { onTestFinished } from 'vitest';
import grim, { type GrimOptions } from '../src/index.ts';

/** y = factor · x, of four elements. */
export function scale(factor: number, name = 'x'): Uint8Array {
  const g = graph('scale', (b) => {
    const x = b.input(name, 'float32', [1, 4]);
    const w = b.weight('w', { dtype: 'float32', shape: [1, 4], data: new Float32Array(4).fill(factor) });
    b.output('y', b.add('Mul', [x, w], {}, { output: 'y' }));
  });
  return pack(compile(g));
}

/** @returns the folder; it is gone after the test */
export function project(files: Readonly<Record<string, string | Uint8Array>>): string {
  const home = resolve(import.meta.dirname, '../.results');
  mkdirSync(home, { recursive: true });
  const folder = mkdtempSync(join(home, 'project-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** What a `vite.config.ts` with the plugin alone says, and where. */
export function config(root: string, options?: GrimOptions): InlineConfig {
  return { root, configFile: false, logLevel: 'silent', plugins: [grim(options)], cacheDir: join(root, '.vite') };
}

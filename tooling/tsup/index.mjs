// The one place that decides how every package is built.
import { defineConfig } from 'tsup';

/** @param {import('tsup').Options} [overrides] */
export const library = (overrides = {}) =>
  defineConfig({
    entry: ['src/index.ts'],
    format: ['esm'],
    target: 'es2023',
    platform: 'neutral',
    dts: true,
    sourcemap: false,
    clean: true,
    splitting: true,
    loader: { '.wasm': 'binary', '.wgsl': 'text', '.txt': 'text' },
    ...overrides,
  });

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

const root = resolve(import.meta.dirname, '../..');
const conditions = ['@grim/source', 'module', 'import', 'node', 'default'];

/** Lets vitest read what tsup's loaders inline: .wgsl/.txt as text, .wasm as bytes. */
const assets = {
  name: 'grim:assets',
  enforce: 'pre',
  load(id) {
    const file = id.split('?')[0];
    if (/\.(wgsl|txt)$/.test(file)) return `export default ${JSON.stringify(readFileSync(file, 'utf8'))}`;
    if (/\.wasm$/.test(file)) {
      const b64 = readFileSync(file).toString('base64');
      return `export default Uint8Array.from(atob(${JSON.stringify(b64)}), (c) => c.charCodeAt(0))`;
    }
    return undefined;
  },
};

/** Puts the reason given to `ctx.skip(reason)` into the JSON report, which leaves it out by itself. */
const skipReasons = {
  onTestCaseResult(test) {
    const { state, note } = test.result();
    if (state === 'skipped' && note) test.meta().note = note;
  },
};

/** The vitest configuration of every package; `test` overrides single keys of the `test` section. */
export const unit = (test = {}) =>
  defineConfig({
    plugins: [assets],
    resolve: { conditions },
    ssr: { resolve: { conditions } },
    test: {
      reporters: ['default', skipReasons, 'json'],
      outputFile: { json: '.results/vitest.json' },
      include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
      // Generous, as machines are slow: no test has a time limit as its point.
      testTimeout: 120_000,
      hookTimeout: 120_000,
      // Where tests find models and data sets: always set, always absolute.
      // Runs of tests are not kept among those of whoever runs them.
      env: { GRIM_DATA: resolve(root, process.env.GRIM_DATA || '../shared/data'), GRIM_RESULTS: 'off' },
      coverage: {
        provider: 'v8',
        include: ['src/**/*.ts'],
        exclude: ['src/**/*.test.ts'],
        reporter: ['text-summary', 'json-summary'],
      },
      ...test,
    },
  });

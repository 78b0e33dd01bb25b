/** The code of the README of the runtime, unmodified, from the packed packages: in Node, and bundled without configuration. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, findChromium, HEADERS, launchChromium, NO_CHROMIUM, serve } from '@grim/browser';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import { build as esbuild } from 'esbuild';
import { rollup } from 'rollup';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import webpack from 'webpack';
import { viteBuild } from './consumer.ts';

const consumer = inject('consumer');

/** As long as the test itself may take: a policy forbids to wait inside the page. */
const PATIENT = { timeout: 100_000 };

let browser: Browser | undefined;
beforeAll(async () => {
  const path = findChromium();
  if (path) browser = await launchChromium(path);
});
afterAll(() => browser?.close());

/** The program of a README. */
function programOf(name: string): string {
  const text = readFileSync(join(consumer, 'node_modules', name, 'README.md'), 'utf8');
  const [, code] = /^```ts\n([\s\S]*?)^```/m.exec(text) ?? [];
  if (!code) throw new Error(`the README of ${name} has no program`);
  return code;
}

function folderOf(name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(consumer, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return folder;
}

/** All that is written to the console, numbers of arrays included, in any engine alike. */
const LISTEN = `globalThis.said = [];
const log = console.log;
console.log = (...values) => { said.push(JSON.stringify(values, (_, v) => ArrayBuffer.isView(v) ? [...v] : v)); log(...values); };
`;

describe('the program of the README of @grim/runtime', () => {
  const file = { 'readme.ts': programOf('@grim/runtime') };

  it('runs in Node from the packed packages', () => {
    const folder = folderOf('readme-node', file);
    const said = execFileSync(process.execPath, ['readme.ts'], { cwd: folder, encoding: 'utf8' });
    expect(said).toMatch(/^wasm (relaxed|plain) /m);
    expect(said).toContain('Float32Array(4) [ 0, 2, 0, 4 ]');
  });

  it('runs in Chromium through Vite without configuration', async (context) => {
    const one = browser ?? context.skip(NO_CHROMIUM);
    const main = `import './listen.js';\nimport './readme.ts';\n`;
    const html = '<!doctype html><script type="module" src="./main.js"></script>';
    const folder = folderOf('readme-vite', { ...file, 'listen.js': LISTEN, 'main.js': main, 'index.html': html });
    viteBuild(consumer, folder);
    await using server = await serve({ '/': { folder: join(folder, 'dist') } }, HEADERS.strict);
    const page = await one.newPage();
    await page.goto(`${server.origin}/index.html`);
    await page.waitForFunction('globalThis.said?.some((line) => line.startsWith(\'["wasm"\'))');
    expect(await page.evaluate('said.at(-1)')).toMatch(/\[0,2,0,4\]\]$/);
  });
});

describe('a model loaded by its address, bundled without configuration', () => {
  const entry = (from: string) => `import { loadModel } from '${from}';
loadModel('./digits.grim').then(async (model) => {
  const { probabilities } = await model.run({ image: new Float32Array(400) });
  document.title = probabilities.length + ' ' + model.device;
  model.dispose();
}, (error) => { document.title = String(error); });
`;
  type Bundle = (folder: string, entry: string) => Promise<unknown>;
  const bundlers: Readonly<Record<string, Bundle>> = {
    vite: async (folder) => viteBuild(consumer, folder),
    esbuild: (folder, entry) =>
      esbuild({
        entryPoints: [entry],
        bundle: true,
        minify: true,
        format: 'esm',
        outfile: join(folder, 'dist/main.js'),
        logLevel: 'silent',
      }),
    rollup: async (folder, input) => {
      const bundle = await rollup({ input, plugins: [nodeResolve()] });
      await bundle.write({ file: join(folder, 'dist/main.js') });
      await bundle.close();
    },
    webpack: (folder, entry) =>
      new Promise((resolve, reject) => {
        webpack(
          { mode: 'production', entry, output: { path: join(folder, 'dist'), filename: 'main.js' } },
          (error, stats) => {
            if (error || stats?.hasErrors() || stats?.hasWarnings()) reject(error ?? new Error(stats?.toString()));
            else resolve(stats);
          },
        );
      }),
  };
  const WORKER = '@grim/runtime/worker';
  const cases = [
    ...Object.keys(bundlers).map((name) => [name, '@grim/runtime'] as const),
    // Bundlers that know `new Worker(new URL(…, import.meta.url))`.
    ...['vite', 'webpack'].map((name) => [name, WORKER] as const),
  ];

  it.each(cases)('by %s: %s', async (name, from) => {
    const folder = folderOf(`bundle-${name}-${from.split('/').at(-1)}`, {
      'main.js': entry(from),
      'index.html': '<!doctype html><script type="module" src="./main.js"></script>',
    });
    await bundlers[name]?.(folder, join(folder, 'main.js'));
    const files = readdirSync(join(folder, 'dist'), { recursive: true, withFileTypes: true }).filter((one) =>
      one.isFile(),
    );
    const scripts = files.filter(({ name }) => name.endsWith('.js'));
    expect(files.filter(({ name }) => !/\.(js|html)$/.test(name)).map(({ name }) => name)).toEqual([]);
    // One script; with a worker that of the worker, and what both share.
    expect(scripts.length).toBeLessThanOrEqual(from === WORKER ? 3 : 1);
    for (const { parentPath, name } of scripts) expect(statSync(join(parentPath, name)).size).toBeLessThan(60_000);
    if (!browser) return;
    const page = await browser.newPage();
    const dist = { folder: join(folder, 'dist') };
    const html = '<!doctype html><script type="module" src="./main.js"></script>';
    const index = name === 'vite' ? readFileSync(join(folder, 'dist/index.html')) : html;
    const model = readFileSync(join(consumer, 'digits.grim'));
    await using server = await serve({ '/digits.grim': model, '/index.html': index, '/': dist }, HEADERS.strict);
    await page.goto(`${server.origin}/index.html`);
    await expect.poll(() => page.title(), PATIENT).not.toBe('');
    expect(await page.title()).toBe('10 wasm');
    await page.close();
  });
});

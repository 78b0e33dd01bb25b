/** Models imported in Vite: what a build and a server make of them, in Chromium where there is one. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, findChromium, HEADERS, launchChromium, NO_CHROMIUM, serve, watch } from '@grim/browser';
import { declarations } from '@grim/codegen';
import { readArtifact } from '@grim/runtime/artifact';
import { build, createServer } from 'vite';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { config, project, scale } from './project.ts';

const PAGE = '<!doctype html><script type="module" src="./main.js"></script>';
const MAIN = `import model, { load } from './models/scale.grim';
using scale = await load();
const x = model.inputs.x.create().map((_, i) => i + 1);
const { y } = await scale.run({ x });
document.title = [...y].join();
`;
const WORKER_MAIN = `const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
worker.onmessage = ({ data }) => { document.title = data; };
`;
const WORKER = `import model from './models/scale.grim';
model.load().then(async (scale) => {
  const { y } = await scale.run({ x: model.inputs.x.create().fill(1) });
  postMessage([...y].join());
});
`;

function app(more: Readonly<Record<string, string | Uint8Array>> = {}): string {
  return project({ 'index.html': PAGE, 'main.js': MAIN, 'models/scale.grim': scale(2), ...more });
}

let browser: Browser | undefined;
beforeAll(async () => {
  const path = findChromium();
  if (path) browser = await launchChromium(path);
});
afterAll(() => browser?.close());

/** Opens a page that says what it computed in its title. */
async function open(context: TestContext, url: string) {
  const page = await (browser ?? context.skip(NO_CHROMIUM)).newPage();
  const { troubles } = watch(page);
  await page.goto(url);
  const shows = async (wanted: string) => {
    // A policy forbids to wait inside the page.
    await expect.poll(() => page.title(), { timeout: 100_000 }).toBe(wanted);
    expect(troubles).toEqual([]);
  };
  return { shows };
}

describe('a build', () => {
  it('puts the file beside the script under a hashed name, and never into it', async () => {
    const root = app();
    await build(config(root));
    const files = readdirSync(join(root, 'dist/assets'));
    const [model = '', ...more] = files.filter((name) => name.endsWith('.grim'));
    expect(more).toEqual([]);
    expect(model).toMatch(/^scale-[\w-]{8}\.grim$/);
    expect(readFileSync(join(root, 'dist/assets', model))).toEqual(Buffer.from(scale(2)));
    expect(files.filter((name) => name.endsWith('.js'))).toHaveLength(1);
  });

  it('writes types beside the model once, the ones of `grim types`', async () => {
    const root = app();
    await build(config(root));
    const path = join(root, 'models/scale.grim.d.ts');
    expect(readFileSync(path, 'utf8')).toBe(declarations(readArtifact(scale(2)).manifest));
    writeFileSync(path, 'export const mine = 1;');
    await build(config(root));
    expect(readFileSync(path, 'utf8')).toBe('export const mine = 1;');
  });

  it('writes no types when it shall not', async () => {
    const root = app();
    await build(config(root, { types: false }));
    expect(existsSync(join(root, 'models/scale.grim.d.ts'))).toBe(false);
  });

  it('ends with the name of a damaged file', async () => {
    const damaged = scale(2);
    damaged[200] = 1 + (damaged[200] ?? 0);
    const root = app({ 'models/scale.grim': damaged });
    await expect(build(config(root))).rejects.toThrow(/models\/scale\.grim: model file:/);
    expect(existsSync(join(root, 'models/scale.grim.d.ts'))).toBe(false);
  });

  it('runs in a page below any path, under a policy without data: and inline scripts', async (context) => {
    const root = app();
    await build({ ...config(root), base: '/deep/path/' });
    await using server = await serve({ '/deep/path/': { folder: join(root, 'dist') } }, HEADERS.strict);
    const { shows } = await open(context, `${server.origin}/deep/path/index.html`);
    await shows('2,4,6,8');
  });

  it('is what the README says', async (context) => {
    const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
    const [settings = '', main = ''] = [...readme.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code]) => code ?? '');
    const root = project({ 'index.html': PAGE, 'vite.config.js': settings, 'main.js': main, 'scale.grim': scale(2) });
    await build({ root, logLevel: 'silent' });
    await using server = await serve({ '/': { folder: join(root, 'dist') } }, HEADERS.strict);
    const { shows } = await open(context, `${server.origin}/index.html`);
    await shows('2,4,6,8');
  });

  it('runs in a worker, which is built apart', async (context) => {
    const root = app({ 'main.js': WORKER_MAIN, 'worker.js': WORKER });
    await build(config(root));
    await using server = await serve({ '/': { folder: join(root, 'dist') } }, HEADERS.strict);
    const { shows } = await open(context, `${server.origin}/index.html`);
    await shows('2,2,2,2');
  });
});

describe('a server', () => {
  it('shows the model of now: a page reloads when the file changes', async (context) => {
    if (!browser) context.skip(NO_CHROMIUM);
    const root = app();
    await using server = await listen(root);
    const { shows } = await open(context, server.url);
    await shows('2,4,6,8');
    writeFileSync(join(root, 'models/scale.grim'), scale(3));
    await shows('3,6,9,12');
  });

  it('serves models to workers, and the worker entry of the runtime', async (context) => {
    if (!browser) context.skip(NO_CHROMIUM);
    const main = MAIN.replace('using scale = await load();', 'const scale = await loadModel(model.url);');
    const root = app({ 'main.js': `import { loadModel } from '@grim/runtime/worker';\n${main}` });
    await using server = await listen(root);
    const { shows } = await open(context, server.url);
    await shows('2,4,6,8');
  });
});

async function listen(root: string): Promise<AsyncDisposable & { readonly url: string }> {
  const server = await createServer({ ...config(root), server: { host: '127.0.0.1', port: 0, fs: { strict: false } } });
  await server.listen();
  const [url = ''] = server.resolvedUrls?.local ?? [];
  return { url, [Symbol.asyncDispose]: () => server.close() };
}

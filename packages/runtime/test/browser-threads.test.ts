/**
 * Threads in Chromium: pages that are isolated and pages that are not, under a content security policy, in a page and in a
 * worker; threads that are blocked, silent, lost; a page that stands still. Real models give the bits of one thread.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Browser,
  bundle,
  findChromium,
  launchChromium,
  type Mode,
  NO_CHROMIUM,
  type Opened,
  openPage,
  type Place,
  type Route,
} from '@grim/browser';
import { compile, pack } from '@grim/codegen';
import { fromOnnx } from '@grim/ir/onnx';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { affine, grouped } from './models.ts';

const program = findChromium();
const models = join(process.env['GRIM_DATA'] ?? '', 'models');

/** Before the script of a thread: it goes on as `what` says in its n-th call of a kernel. */
const failing = (n: number, what: string) => `
  const { Instance } = WebAssembly;
  let calls = 0;
  WebAssembly.Instance = function (...args) {
    const wrap = (kernel) => (...parameters) => {
      if (++calls === ${n}) { ${what} }
      return kernel(...parameters);
    };
    const { exports } = new Instance(...args);
    return { exports: Object.fromEntries(Object.entries(exports).map(([name, kernel]) => [name, wrap(kernel)])) };
  };`;
const behind = (first: string) => `import '${first}'; import '/runtime/threads-worker.js';`;

let browser: Browser;
let common: Record<string, Route>;
beforeAll(async () => {
  if (!program) return;
  const external = Object.fromEntries(
    [
      ['@grim/runtime', 'index'],
      ['@grim/runtime/threads', 'threads'],
      ['@grim/runtime/worker', 'worker'],
    ].map(([name, file]) => [name, `/runtime/${file}.js`]),
  );
  const script = await bundle(fileURLToPath(new URL('./browser/threads.ts', import.meta.url)), { external });
  browser = await launchChromium(program);
  common = {
    '/': '<!doctype html><script type="module" src="/threads.js"></script>',
    '/threads.js': script,
    '/runtime/': { folder: join(import.meta.dirname, '../dist') },
    '/grouped.grim': Buffer.from(pack(grouped(6, 40))),
    '/affine.grim': Buffer.from(pack(affine())),
    '/throws.js': 'throw new Error("broken")',
    '/silent.js': 'setInterval(() => {}, 1000)',
    '/for-ever.js': failing(100, 'for (;;);'),
    '/endless.js': behind('/for-ever.js'),
    '/trap.js': failing(100, 'throw new Error("stopped")'),
    '/stops.js': behind('/trap.js'),
  };
});
afterAll(() => browser?.close());
beforeEach((ctx) => {
  if (!program) ctx.skip(NO_CHROMIUM);
});

const open = (mode: Mode, place: Place = 'page', routes: Record<string, Route> = {}): Promise<Opened> =>
  openPage(browser, { mode, place, routes: { ...common, ...routes } });
const shared = { threads: 2, reasons: [], isolated: true, after: 2 };
const alone = { threads: 1, isolated: false, after: 1 };

describe('two threads', () => {
  it.each<[Mode, Place]>([
    ['isolated', 'page'],
    ['isolated', 'module'],
    ['sealed', 'page'],
    ['sealed', 'module'],
  ])('W6: headers %s, in a %s: the bits of one', async (mode, place) => {
    await using opened = await open(mode, place);
    expect(await opened.call('compared', ['/grouped.grim', 20, 2])).toEqual({ ...shared, equal: 20 });
    expect(await opened.troubles()).toEqual([]);
  });
  it.for(['resnet20_cifar10', 'kws_gru_l'])('W6: %s gives the bits of one', async (name, ctx) => {
    const path = join(models, name, 'model.onnx');
    if (!existsSync(path)) ctx.skip(`GRIM_DATA is not there: no ${name}`);
    const grim = pack(compile(fromOnnx(readFileSync(path), { dims: { N: 1 } }), { threads: 2, pieceCycles: 1000 }));
    await using opened = await open('isolated', 'page', { '/model.grim': Buffer.from(grim) });
    expect(await opened.call('compared', ['/model.grim', 5, 2])).toEqual({ ...shared, equal: 5 });
    expect(await opened.troubles()).toEqual([]);
  });
  it('R10: start and end with twenty models', async () => {
    await using opened = await open('isolated');
    expect(await opened.call('many', '/grouped.grim')).toEqual([...Array(20).fill(3), 'GRIM_RUNTIME_DISPOSED']);
    expect(await opened.troubles()).toEqual([]);
  });
  it('are not started for a model without work to share', async () => {
    await using opened = await open('isolated');
    const reasons = ['threads: 1, the model has no work to share: it is small, or was compiled so'];
    expect(await opened.call('compared', ['/affine.grim', 2, 2])).toMatchObject({ threads: 1, reasons, equal: 2 });
  });
});

describe('one thread and a reason', () => {
  it.each<[Mode, Place]>([
    ['open', 'page'],
    ['open', 'module'],
    ['strict', 'page'],
  ])('W1: headers %s, in a %s that is not isolated: the same bits', async (mode, place) => {
    await using opened = await open(mode, place);
    const reasons = ['threads: 1, the page is not cross-origin isolated: add the headers COOP and COEP'];
    expect(await opened.call('compared', ['/grouped.grim', 5, 2])).toEqual({ ...alone, reasons, equal: 5 });
    expect(await opened.troubles()).toEqual([]);
  });
  it.each([
    ['is not there', '/missing.js', /^threads: 1, a thread did not start/],
    ['throws', '/throws.js', /^threads: 1, a thread did not start \(.*broken/],
    ['is silent', '/silent.js', /^threads: 1, a thread did not start \(no answer for 5 s/],
    ['a policy forbids', 'https://elsewhere.example/worker.js', /^threads: 1, /],
  ])('W2: where the script of a thread %s', async (_, script, reason) => {
    await using opened = await open('sealed');
    const found = await opened.call('broken', ['/grouped.grim', 5, script]);
    expect(found).toMatchObject({ threads: 1, after: 1, equal: 5, reasons: [expect.stringMatching(reason)] });
  });
});

describe('a thread that is lost', () => {
  it('W3: because it computes for ever: the run rejects, the next ones are right on two threads again', async () => {
    await using opened = await open('isolated');
    const found = await opened.call('lost', ['/grouped.grim', '/endless.js']);
    expect(found).toMatchObject({ before: 2, error: 'GRIM_RUNTIME_WORKER_LOST', equal: true, after: 2, reasons: [] });
  });
  it('W3: because a kernel stops: the run rejects, the next ones are right', async () => {
    await using opened = await open('isolated');
    const found = await opened.call('lost', ['/grouped.grim', '/stops.js']);
    expect(found).toMatchObject({ before: 2, error: 'GRIM_RUNTIME_TRAP', equal: true, after: 2, reasons: [] });
  });
});

describe('a page', () => {
  it('W8: that stands still for a while goes on as if nothing had been, and no thread counts as lost', async (ctx) => {
    if (process.platform === 'win32') ctx.skip('Windows has no signal that stops a process for a while');
    await using opened = await open('isolated');
    const work = opened.call('steady', '/grouped.grim');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await opened.standStill(3000);
    expect(await work).toEqual({ wrong: [], stood: true, threads: 2, reasons: [] });
    expect(await opened.troubles()).toEqual([]);
  });
  it('W9: whose other scripts post messages like ours is not misled', async () => {
    await using opened = await open('isolated');
    expect(await opened.call('alike', '/grouped.grim')).toEqual({ ...shared, equal: 5, apart: true });
    expect(await opened.troubles()).toEqual([]);
  });
});

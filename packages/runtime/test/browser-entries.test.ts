/** The entries beside the core in Chromium: Cache Storage, locks, workers that load their own script. */
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
import { graph } from '@grim/ir';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadModel } from '../src/index.ts';
import { soundInput } from '../src/sound.ts';
import { affine, counter, endless } from './models.ts';

const program = findChromium();
const body = Buffer.from(pack(affine(20_000)));
const Y = [3, 5, 7, 9, 11, 13];

/** Gives its input back, and says how a sound becomes it. */
function soundModel(): ReturnType<typeof compile> {
  const compiled = compile(
    graph('sound', (b) => b.output('y', b.add('Identity', [b.input('x', 'float32', [1, 49, 10])]))),
  );
  const sound = {
    ...{ rate: 16000, window: 640, step: 320, fft: 1024, bands: 40, lowest: 20, highest: 4000, coefficients: 10 },
    ...{ mean: [0], std: [1] },
  };
  const inputs = compiled.manifest.inputs.map((one) => ({ ...one, sound }));
  return { ...compiled, manifest: { ...compiled.manifest, inputs } };
}

let browser: Browser;
let common: Record<string, Route>;
beforeAll(async () => {
  if (!program) return;
  const external = Object.fromEntries(
    [
      ['@grim/runtime', 'index'],
      ['@grim/runtime/cache', 'cache'],
      ['@grim/runtime/sound', 'sound'],
      ['@grim/runtime/verify', 'verify'],
      ['@grim/runtime/worker', 'worker'],
    ].map(([name, file]) => [name, `/runtime/${file}.js`]),
  );
  const script = await bundle(fileURLToPath(new URL('./browser/entries.ts', import.meta.url)), { external });
  browser = await launchChromium(program);
  common = {
    '/': '<!doctype html><script type="module" src="/entries.js"></script>',
    '/entries.js': script,
    '/runtime/': { folder: join(import.meta.dirname, '../dist') },
    '/affine.grim': body,
    '/sound.grim': Buffer.from(pack(soundModel())),
    '/counter.grim': Buffer.from(pack(counter())),
    '/endless.grim': Buffer.from(pack(endless())),
  };
});
afterAll(() => browser?.close());
beforeEach((ctx) => {
  if (!program) ctx.skip(NO_CHROMIUM);
});

const open = (mode: Mode, place: Place = 'page', routes: Record<string, Route> = {}): Promise<Opened> =>
  openPage(browser, { mode, place, routes: { ...common, ...routes } });

/** Answers ranges and questions for a newer file; `cut` bytes are given, once, before the connection breaks. */
function fileServer(cut?: number): { readonly route: Route; readonly asked: string[] } {
  const asked: string[] = [];
  let whole = cut === undefined;
  const route: Route = ({ headers }, response) => {
    asked.push(headers['if-none-match'] ? 'newer?' : (headers.range ?? 'all'));
    response.setHeader('etag', '"one"');
    if (headers['if-none-match'] === '"one"') return void response.writeHead(304).end();
    if (!whole) {
      whole = true;
      response.writeHead(200, { 'content-length': body.length });
      return void response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 100));
    }
    const [, from] = /^bytes=(\d+)-$/.exec(headers.range ?? '') ?? [];
    if (from === undefined || headers['if-range'] !== '"one"') return void response.end(body);
    const range = `bytes ${from}-${body.length - 1}/${body.length}`;
    response.writeHead(206, { 'content-range': range }).end(body.subarray(Number(from)));
  };
  return { route, asked };
}

describe('sounds', () => {
  it('become in Chromium the numbers of Node', async () => {
    const samples = Array.from({ length: 8000 }, (_, i) => Math.fround(0.5 * Math.sin(i * i * 1e-4)));
    using model = await loadModel(pack(soundModel()));
    const wanted = soundInput(model, Float32Array.from(samples), { sampleRate: 8000 })['x'] as Float32Array;
    await using opened = await open('strict');
    const found = (await opened.call('sound', samples)) as readonly number[];
    expect(found).toHaveLength(490);
    for (const [i, value] of wanted.entries()) expect(Math.abs((found[i] ?? 1e9) - value)).toBeLessThan(1e-5);
    expect(await opened.troubles()).toEqual([]);
  });
});

describe('the cache', () => {
  it.each<[Mode, Place]>([
    ['open', 'page'],
    ['isolated', 'module'],
    ['strict', 'page'],
    ['strict', 'service'],
  ])(
    'R3: headers %s, in a %s: a file is fetched once, asked for, and used without a connection',
    async (mode, place) => {
      const { route, asked } = fileServer();
      await using opened = await open(mode, place, { '/kept.grim': route });
      expect(await opened.call('kept', '/kept.grim')).toEqual({ y: Y, fromCache: [false], reasons: [] });
      expect(await opened.call('kept', '/kept.grim')).toEqual({ y: Y, fromCache: [true], reasons: [] });
      expect(asked).toEqual(['all', 'newer?']);
      expect(await opened.troubles()).toEqual([]);
      if (place !== 'page') return;
      await opened.setOffline(true);
      expect(await opened.call('kept', '/kept.grim')).toEqual({ y: Y, fromCache: [true], reasons: [] });
    },
  );

  it.each(['change', 'remove'])('R3: a damaged entry (%s) is dropped and the network used', async (how) => {
    const { route, asked } = fileServer();
    await using opened = await open('open', 'page', { '/kept.grim': route });
    await opened.call('kept', '/kept.grim');
    const entries = await opened.call('damage', how);
    expect(entries).toBeGreaterThan(1);
    expect(await opened.call('kept', '/kept.grim')).toMatchObject({ y: Y, reasons: [expect.any(String)] });
    expect(await opened.call('kept', '/kept.grim')).toEqual({ y: Y, fromCache: [true], reasons: [] });
    expect(asked).toEqual(['all', 'newer?', 'all', 'newer?']);
    expect(await opened.troubles()).toEqual([]);
  });

  it('R2: a download that broke off goes on where it stopped', async () => {
    const { route, asked } = fileServer(50_000);
    await using opened = await open('open', 'page', { '/kept.grim': route });
    expect(await opened.call('kept', '/kept.grim')).toMatchObject({ code: 'GRIM_RUNTIME_NETWORK' });
    expect(await opened.call('kept', '/kept.grim')).toMatchObject({ y: Y, reasons: [] });
    expect(asked).toHaveLength(2);
    expect(asked[1]).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('R3: two pages that load at once both get it, and one of them keeps it', async () => {
    const { route } = fileServer();
    await using opened = await open('open', 'page', { '/kept.grim': route });
    const both = 'Promise.all([1, 2].map(() => call("page", "kept", "/kept.grim")))';
    expect(await opened.evaluate(both)).toEqual([
      { y: Y, fromCache: [false], reasons: [] },
      { y: Y, fromCache: [false], reasons: [] },
    ]);
    expect(await opened.call('kept', '/kept.grim')).toEqual({ y: Y, fromCache: [true], reasons: [] });
  });
});

describe('the worker', () => {
  it.each<[Mode, Place]>([
    ['open', 'page'],
    ['isolated', 'page'],
    ['strict', 'page'],
    ['open', 'module'],
  ])('R8: headers %s, in a %s: the same models as without one', async (mode, place) => {
    await using opened = await open(mode, place);
    expect(await opened.call('inWorker', '/counter.grim')).toEqual({
      found: [1, 2, 3].map((n) => [n, 2 * n, 3 * n, 4 * n]),
      last: [4, 8, 12, 16],
      given: 0,
      first: [1, 2, 3, 4],
      after: expect.objectContaining({ code: 'GRIM_RUNTIME_DISPOSED' }),
    });
    expect(await opened.call('verified', '/affine.grim')).toEqual([]);
    expect(await opened.troubles()).toEqual([]);
  });

  it('W3: code that never ends is ended, and the page stays alive meanwhile', async () => {
    await using opened = await open('open');
    expect(await opened.call('endless', '/endless.grim')).toEqual({
      error: expect.objectContaining({ code: 'GRIM_RUNTIME_TIMEOUT' }),
      alive: true,
    });
    expect(await opened.troubles()).toEqual([]);
  });

  it('W2: where workers or compiling are not allowed, loading fails with a code', async () => {
    await using forbidden = await open('forbidden');
    const found = await forbidden.call('workerFails', '/affine.grim');
    expect(found).toMatchObject({
      code: 'GRIM_RUNTIME_MISSING_FEATURE',
      message: expect.stringContaining('wasm-unsafe'),
    });
    await using service = await open('open', 'service');
    expect(await service.call('workerFails', '/affine.grim')).toMatchObject({ code: 'GRIM_RUNTIME_WORKER_LOST' });
  });
});

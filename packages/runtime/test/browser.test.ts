/**
 * The built runtime in Chromium, unbundled: in pages with and without cross-origin isolation and under content security
 * policies, in workers of every kind, from a server that misbehaves. What happens in the page is in browser/scenes.ts.
 */
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import {
  type Browser,
  bundle,
  findChromium,
  HEADERS,
  launchChromium,
  type Mode,
  NO_CHROMIUM,
  type Opened,
  openPage,
  type Place,
  type Route,
  serve,
} from '@grim/browser';
import { compile, pack } from '@grim/codegen';
import { type Graph, type GraphBuilder, graph } from '@grim/ir';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadModel } from '../src/index.ts';
import { affine, counter } from './models.ts';

const program = findChromium();
const dist = join(import.meta.dirname, '../dist');

const body = Buffer.from(pack(affine(20_000)));
const Y = [3, 5, 7, 9, 11, 13];
const { grim: split, modules } = pack(affine(), { split: true });

/** A small network with the usual layers; its weights are of no importance. */
const network: Graph = graph('net', (b) => {
  const weight = (name: string, shape: readonly number[]) => {
    const length = shape.reduce((product, dim) => product * dim, 1);
    const data = Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9 + name.length) / 4);
    return b.weight(name, { dtype: 'float32', shape, data });
  };
  const x = b.input('x', 'float32', [1, 3, 16, 16]);
  const conv = b.add('Conv', [x, weight('w', [8, 3, 3, 3]), weight('bias', [8])], {
    kernel_shape: [3, 3],
    pads: [1, 1, 1, 1],
  });
  const pooled = b.add('MaxPool', [b.add('Relu', [conv])], { kernel_shape: [2, 2], strides: [2, 2] });
  const flat = b.add('Flatten', [pooled]);
  const logits = b.add('Gemm', [flat, weight('dense', [10, 512]), weight('dense_bias', [10])], { transB: 1 });
  b.output('y', b.add('Softmax', [b.add('Tanh', [logits])]));
});
const net = Buffer.from(pack(compile(network)));

const pixels = Buffer.from(
  pack(
    compile(
      graph('pixels', (b: GraphBuilder) =>
        b.output('y', b.add('Cast', [b.input('pixels', 'uint8', [8])], { to: 'float32' })),
      ),
    ),
  ),
);

const page = '<!doctype html><script type="module" src="/scenes.js"></script>';
let browser: Browser;
let common: Record<string, Route>;

beforeAll(async () => {
  if (!program) return;
  const entry = fileURLToPath(new URL('./browser/scenes.ts', import.meta.url));
  const [module, classic, started] = await Promise.all([
    bundle(entry, { external: { '@grim/runtime': '/runtime/index.js' } }),
    bundle(entry, { format: 'iife' }),
    launchChromium(program),
  ]);
  browser = started;
  common = {
    '/': page,
    '/scenes.js': module,
    '/classic.js': classic,
    '/runtime/': { folder: dist },
    '/affine.grim': body,
    '/small.grim': Buffer.from(pack(affine())),
    '/counter.grim': Buffer.from(pack(counter())),
    '/net.grim': net,
    '/pixels.grim': pixels,
    '/split.grim': Buffer.from(split),
    '/relaxed.wasm': wasm(modules.relaxed),
    '/plain.wasm': wasm(modules.plain),
  };
});
afterAll(() => browser?.close());
beforeEach((ctx) => {
  if (!program) ctx.skip(NO_CHROMIUM);
});

const wasm =
  (bytes: Uint8Array): RequestListener =>
  (_, response) =>
    response.writeHead(200, { 'content-type': 'application/wasm' }).end(bytes);

/** A page on a server with the files above, and more. */
const open = (
  mode: Mode,
  place: Place = 'page',
  routes: Record<string, Route> = {},
  before?: string,
): Promise<Opened> => openPage(browser, { mode, place, routes: { ...common, ...routes }, before });

const SCOPES: Readonly<Record<Place, string>> = {
  page: 'Window',
  module: 'DedicatedWorkerGlobalScope',
  classic: 'DedicatedWorkerGlobalScope',
  service: 'ServiceWorkerGlobalScope',
};
const settings = (['open', 'isolated', 'strict'] as const).flatMap((mode) =>
  (Object.keys(SCOPES) as Place[]).map((where) => [mode, where] as const),
);

describe.each(settings)('headers %s, in a %s', (mode, where) => {
  it('W1: loads from everything, keeps states, and computes the bits that Node computes', async () => {
    await using opened = await open(mode, where);
    const { call } = opened;
    const isolated = mode === 'isolated';
    expect(await call('where')).toEqual({ isolated, scope: SCOPES[where], sharedMemory: isolated });

    const found = (await call('sources', '/affine.grim')) as Record<string, unknown>;
    expect(Object.keys(found)).toHaveLength(11);
    for (const [kind, y] of Object.entries(found)) expect(y, kind).toEqual(Y);
    if (mode !== 'strict' && where !== 'service') expect(await call('inlineSources', '/small.grim')).toEqual([Y, Y]);
    expect(await call('keptSources', '/affine.grim')).toEqual([Y, Y]);
    expect(await call('pixels', '/pixels.grim')).toEqual([10, 20, 30, 255, 10, 20, 30, 255]);

    expect(await call('states', '/counter.grim')).toEqual({
      before: [1, 2, 3, 4],
      second: [2, 4, 6, 8],
      third: [3, 6, 9, 12],
      paced: [4, 8, 12, 16],
      after: [1, 2, 3, 4],
      disposed: expect.objectContaining({ code: 'GRIM_RUNTIME_DISPOSED' }),
    });

    expect(await call('bits', ['/net.grim', 768])).toEqual(await bitsHere());

    for (const simd of ['relaxed', 'plain'])
      expect(await call('split', ['/split.grim', `/${simd}.wasm`])).toEqual({
        simd,
        y: Y,
        without: expect.objectContaining({ code: 'GRIM_RUNTIME_MISSING_FEATURE' }),
      });
    expect(await opened.troubles()).toEqual([]);
  });
});

/** What the same file gives in this process. */
async function bitsHere(): Promise<Record<string, number[]>> {
  const x = Float32Array.from({ length: 768 }, (_, i) => ((i * 37) % 101) / 50 - 1);
  const found: Record<string, number[]> = {};
  for (const simd of ['relaxed', 'plain'] as const) {
    using model = await loadModel(net, { simd });
    found[simd] = Array.from(new Uint32Array(((await model.run({ x }))['y'] as Float32Array).buffer));
  }
  return found;
}

describe('a policy without wasm-unsafe-eval', () => {
  it.each<Place>(['page', 'module', 'classic', 'service'])(
    'R13: in a %s loading fails and says what to do',
    async (where) => {
      await using opened = await open('forbidden', where);
      expect(await opened.call('fails', '/affine.grim')).toEqual({
        name: 'RuntimeError',
        code: 'GRIM_RUNTIME_MISSING_FEATURE',
        message: expect.stringMatching(/'wasm-unsafe-eval'.*grim compile --split/),
      });
    },
  );

  it('R13: a module that was compiled elsewhere runs, and nothing is compiled', async () => {
    const allowed: RequestListener = (_, response) =>
      response
        .writeHead(200, { 'content-type': 'text/javascript', ...HEADERS.strict })
        .end(
          "addEventListener('message', async ({ data }) => postMessage(await WebAssembly.compileStreaming(fetch(data))));",
        );
    await using opened = await open('forbidden', 'page', { '/compiler.js': allowed });
    for (const simd of ['relaxed', 'plain'])
      expect(await opened.call('split', ['/split.grim', `/${simd}.wasm`, '/compiler.js'])).toEqual({
        simd,
        y: Y,
        without: expect.objectContaining({ code: 'GRIM_RUNTIME_MISSING_FEATURE' }),
      });
    expect(await opened.troubles()).toEqual([]);
  });
});

it('R13: without WebAssembly loading fails and says so', async () => {
  await using opened = await open('open', 'page', {}, 'delete globalThis.WebAssembly');
  expect(await opened.call('fails', '/affine.grim')).toEqual({
    name: 'RuntimeError',
    code: 'GRIM_RUNTIME_MISSING_FEATURE',
    message: expect.stringContaining('SIMD'),
  });
});

it('R16: two copies of the runtime on one page know nothing of each other', async () => {
  await using opened = await open('strict', 'page', {
    '/': `${page}<script src="/classic.js"></script>`,
  });
  const both = 'Promise.all([call, callSecond].map((one) => one("page", "sources", "/affine.grim")))';
  const [first, second] = (await opened.evaluate(both)) as Record<string, unknown>[];
  expect(Object.values(first ?? {})).toEqual(Array(11).fill(Y));
  expect(second).toEqual(first);
  expect(await opened.troubles()).toEqual([]);
});

it('R10: hundreds of models one after another, and twenty at once', async () => {
  await using opened = await open('open');
  expect(await opened.call('many', ['/affine.grim', 300])).toEqual(Array(20).fill(Y));
  expect(await opened.troubles()).toEqual([]);
});

describe('a server', () => {
  const zipped = gzipSync(body);
  const good: [string, RequestListener][] = [
    ['a length', (_, r) => r.writeHead(200, { 'content-length': body.length }).end(body)],
    [
      'no length, in chunks',
      (_, r) => {
        for (const [from, to] of [
          [0, 5],
          [5, 70],
          [70, body.length],
        ])
          r.write(body.subarray(from, to));
        r.end();
      },
    ],
    [
      'gzip in transit, whose length is another',
      (_, r) => r.writeHead(200, { 'content-encoding': 'gzip', 'content-length': zipped.length }).end(zipped),
    ],
    ['a wrong media type', (_, r) => r.writeHead(200, { 'content-type': 'text/html' }).end(body)],
    [
      'a slow drip',
      (_, r) => {
        let at = 0;
        const drip = () => {
          if (at >= body.length) return void r.end();
          r.write(body.subarray(at, at + 9000));
          at += 9000;
          setTimeout(drip, 1);
        };
        drip();
      },
    ],
    ['a redirect', (_, r) => r.writeHead(302, { location: '/affine.grim' }).end()],
  ];
  it.each(good)('R2: loads from one with %s, and progress is of the file', async (_, route) => {
    await using opened = await open('open', 'page', { '/m.grim': route });
    const { y, events } = (await opened.call('progress', '/m.grim')) as {
      y: unknown;
      events: { stage: string; loaded: number; total: number }[];
    };
    expect(y).toEqual(Y);
    expect(events[0]).toMatchObject({ stage: 'download', total: body.length });
    expect(events.at(-1)).toMatchObject({ stage: 'warmup', loaded: body.length, total: body.length });
    events.forEach(({ loaded, total }, i) => {
      expect(loaded).toBeGreaterThanOrEqual(events[i - 1]?.loaded ?? 0);
      expect(loaded === total).toBe(i === events.length - 1);
    });
    expect(await opened.troubles()).toEqual([]);
  });

  const bad: [string, string[], RequestListener][] = [
    ['404 with a page', ['BAD_SOURCE'], (_, r) => r.writeHead(404).end('<html>not here</html>')],
    ['500', ['BAD_SOURCE'], (_, r) => r.writeHead(500).end()],
    ['206 to no range', ['BAD_SOURCE'], (_, r) => r.writeHead(206).end(body)],
    ['204', ['BAD_SOURCE'], (_, r) => r.writeHead(204).end()],
    ['200 with a page', ['BAD_SOURCE'], (_, r) => r.end('<!doctype html><title>app</title>')],
    ['a redirect to a page', ['BAD_SOURCE'], (_, r) => r.writeHead(302, { location: '/' }).end()],
    ['a redirect to itself', ['NETWORK'], (q, r) => r.writeHead(302, { location: `${q.url}` }).end()],
    ['an empty body', ['BAD_SOURCE'], (_, r) => r.end()],
    ['a short body in chunks', ['BAD_ARTIFACT'], (_, r) => r.end(body.subarray(0, -7))],
    [
      'a short body under a right length',
      ['NETWORK'],
      (_, r) => {
        r.writeHead(200, { 'content-length': body.length });
        r.write(body.subarray(0, 4000), () => r.destroy());
      },
    ],
    [
      'chunks that are cut',
      ['NETWORK'],
      (_, r) => {
        r.writeHead(200);
        r.write(body.subarray(0, 4000), () => r.destroy());
      },
    ],
    [
      'gzip that is cut',
      // Browsers may take what can be unpacked.
      ['NETWORK', 'BAD_ARTIFACT'],
      (_, r) => r.writeHead(200, { 'content-encoding': 'gzip' }).end(zipped.subarray(0, zipped.length / 2)),
    ],
    ['gzip that is none', ['NETWORK'], (_, r) => r.writeHead(200, { 'content-encoding': 'gzip' }).end(body)],
    ['gzip that is not declared', ['BAD_SOURCE'], (_, r) => r.end(zipped)],
    ['a longer body', ['BAD_ARTIFACT'], (_, r) => r.end(Buffer.concat([body, Buffer.from('x')]))],
    ['a stale start before the body', ['BAD_SOURCE'], (_, r) => r.end(Buffer.concat([body.subarray(1, 30), body]))],
    ['a connection that is cut at once', ['NETWORK'], (_, r) => void r.destroy()],
  ];
  it('R2: refuses what one sends that misbehaves, with nothing left unhandled, and the next load works', async () => {
    const routes = Object.fromEntries(bad.map(([, , route], i) => [`/bad-${i}.grim`, route]));
    await using opened = await open('open', 'page', routes);
    for (const [i, [what, codes]] of bad.entries()) {
      const { name, code } = (await opened.call('fails', `/bad-${i}.grim`)) as { name: string; code: string };
      expect(name, what).toBe('RuntimeError');
      expect(
        codes.map((word) => `GRIM_RUNTIME_${word}`),
        what,
      ).toContain(code);
      expect(await opened.call('load', '/affine.grim'), what).toEqual(Y);
    }
    expect(onlyResources(await opened.troubles())).toEqual([]);
  });

  it('R2: names an HTML page, and a server of another origin that does not allow it', async () => {
    await using other = await serve({ '/affine.grim': body }, {});
    await using opened = await open('open');
    expect(await opened.call('fails', '/')).toMatchObject({ message: expect.stringContaining('HTML page') });
    expect(await opened.call('fails', `${other.origin}/affine.grim`)).toMatchObject({ code: 'GRIM_RUNTIME_NETWORK' });
    await using strict = await open('strict');
    expect(await strict.call('fails', `${other.origin}/affine.grim`)).toMatchObject({ code: 'GRIM_RUNTIME_NETWORK' });
  });

  it('R2: without a connection it fails, and works again with one', async () => {
    await using opened = await open('open');
    await opened.setOffline(true);
    expect(await opened.call('fails', '/affine.grim')).toMatchObject({ code: 'GRIM_RUNTIME_NETWORK' });
    await opened.setOffline(false);
    expect(await opened.call('load', '/affine.grim')).toEqual(Y);
  });

  it.each<Place>(['page', 'module', 'service'])(
    'R1: aborted in a %s when 0, 1, 50, 99 percent have come, it lets go, and a retry works',
    async (where) => {
      const parts = [0, 1, 50, 99].map((percent) => Math.ceil((body.length * percent) / 100));
      const closed = parts.map(() => Promise.withResolvers<void>());
      const held = parts.map((part, i): [string, RequestListener] => [
        `/held-${i}.grim`,
        (_, response) => {
          response.on('close', () => closed[i]?.resolve());
          response.writeHead(200);
          response.flushHeaders();
          if (part > 0) response.write(body.subarray(0, part));
        },
      ]);
      await using opened = await open('open', where, Object.fromEntries(held));
      for (const [i, part] of parts.entries()) {
        const asked = Math.floor(part * 0.9);
        const found = await opened.call('abort', [`/held-${i}.grim`, asked, '/affine.grim']);
        expect(found).toEqual({ same: true, name: asked % 2 === 0 ? 'Error' : 'AbortError', y: Y });
        await closed[i]?.promise;
      }
      expect(await opened.troubles()).toEqual([]);
    },
  );
});

/** Chromium itself writes to the console when a response fails. */
const onlyResources = (troubles: readonly string[]): string[] =>
  troubles.filter((text) => !text.startsWith('console: Failed to load resource'));

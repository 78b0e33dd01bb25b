import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { pack } from '@grim/codegen';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { type LoadProgress, loadModel, type Model, type ModelSource, RuntimeError } from '../src/index.ts';
import { affine, branching, counter } from './models.ts';

const bytes = pack(affine(20_000));
const small = pack(affine());
const X = Float32Array.of(1, 2, 3, 4, 5, 6);
const Y = Float32Array.of(3, 5, 7, 9, 11, 13);
const code = (code: string) => expect.objectContaining({ name: 'RuntimeError', code: `GRIM_RUNTIME_${code}` });

async function works(model: Model): Promise<void> {
  const { y } = await model.run({ x: X });
  expect(y).toEqual(Y);
  model.dispose();
}

const folder = mkdtempSync(join(tmpdir(), 'grim-runtime-'));
afterAll(() => rmSync(folder, { recursive: true }));

function streamOf(all: Uint8Array, chunk: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= all.length) return controller.close();
      controller.enqueue(all.slice(at, at + chunk));
      at += chunk;
    },
  });
}

describe('sources', () => {
  const file = join(folder, 'a model #1 ü.grim');
  writeFileSync(file, bytes);
  const odd = new Uint8Array(bytes.length + 3);
  odd.set(bytes, 3);
  const shared = new SharedArrayBuffer(bytes.length);
  new Uint8Array(shared).set(bytes);
  const sources: [string, () => ModelSource][] = [
    ['bytes', () => bytes],
    ['a view at an odd place', () => odd.subarray(3)],
    ['a DataView', () => new DataView(odd.buffer, 3)],
    ['an ArrayBuffer', () => bytes.slice().buffer],
    ['shared memory', () => shared],
    ['a Node buffer', () => Buffer.from(bytes)],
    ['a Blob', () => new Blob([bytes.slice()])],
    ['a File', () => new File([bytes.slice()], 'x.grim')],
    ['a Response', () => new Response(bytes.slice())],
    ['a stream of single bytes', () => streamOf(small, 1)],
    ['a stream of odd pieces', () => streamOf(bytes, 977)],
    ['a promise of a Response', () => Promise.resolve(new Response(bytes.slice()))],
    ['a path', () => file],
    ['a file URL', () => pathToFileURL(file)],
    ['the text of a file URL', () => pathToFileURL(file).href],
    ['a data URL', () => `data:application/octet-stream;base64,${Buffer.from(small).toString('base64')}`],
  ];
  it.each(sources)('loads from %s', async (_, source) => works(await loadModel(source())));

  it.each<[string, string, () => unknown]>([
    ['nothing', 'BAD_SOURCE', () => undefined],
    ['null', 'BAD_SOURCE', () => null],
    ['a number', 'BAD_SOURCE', () => 7],
    ['an empty buffer', 'BAD_SOURCE', () => new ArrayBuffer(0)],
    ['a missing file', 'BAD_SOURCE', () => join(folder, 'missing.grim')],
    ['a folder', 'BAD_SOURCE', () => folder],
    ['an HTML page', 'BAD_SOURCE', () => new TextEncoder().encode('<!DOCTYPE html><html></html>')],
    ['an LFS pointer', 'BAD_SOURCE', () => new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\n')],
    ['a response of status 404', 'BAD_SOURCE', () => new Response('no', { status: 404 })],
    ['a response without a body', 'BAD_SOURCE', () => new Response(null)],
    ['a stream of text', 'BAD_SOURCE', () => new ReadableStream({ start: (c) => c.enqueue('GRIM') })],
    ['a stream that fails', 'NETWORK', () => new ReadableStream({ start: (c) => c.error(new TypeError('gone')) })],
  ])('R2: refuses %s', async (_, expected, source) => {
    await expect(loadModel(source() as ModelSource)).rejects.toEqual(code(expected));
  });

  it('R2: names what came instead of a model, and no absolute path', async () => {
    await expect(loadModel(new TextEncoder().encode('\n <html>'))).rejects.toThrow('HTML page');
    await expect(loadModel(new TextEncoder().encode('version https://git-lfs'))).rejects.toThrow('git lfs pull');
    await expect(loadModel(Uint8Array.of(8, 7, 18))).rejects.toThrow('ONNX');
    const missing = join(folder, 'missing.grim');
    const error: Error = await loadModel(missing).catch((reason) => reason);
    expect(error.message).toContain('"missing.grim"');
    expect(error.message).not.toContain(folder);
  });

  it('R2: a body that was read before, or is being read, is refused', async () => {
    const response = new Response(bytes.slice());
    await response.arrayBuffer();
    await expect(loadModel(response)).rejects.toEqual(code('BAD_SOURCE'));
    const stream = streamOf(bytes, 100);
    stream.getReader();
    await expect(loadModel(stream)).rejects.toEqual(code('BAD_SOURCE'));
  });
});

describe('a server', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });
  const serve = async (listener: RequestListener): Promise<string> => {
    server = createServer(listener);
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/m.grim`;
  };
  const body = Buffer.from(bytes);

  it.each<[string, RequestListener]>([
    ['a length', (_, r) => r.writeHead(200, { 'content-length': body.length }).end(body)],
    [
      'no length, in chunks',
      (_, r) => {
        r.write(body.subarray(0, 5));
        r.write(body.subarray(5, 70));
        r.end(body.subarray(70));
      },
    ],
    [
      'gzip in transit, whose length is another',
      (_, r) => {
        const zipped = gzipSync(body);
        r.writeHead(200, { 'content-encoding': 'gzip', 'content-length': zipped.length }).end(zipped);
      },
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
    ['a redirect', (q, r) => (q.url === '/b' ? r.end(body) : r.writeHead(302, { location: '/b' }).end())],
  ])('R2: loads from a server with %s', async (_, listener) => {
    await works(await loadModel(await serve(listener)));
  });

  it.each<[string, string, RequestListener]>([
    ['404 with a page', 'BAD_SOURCE', (_, r) => r.writeHead(404).end('<html>not here</html>')],
    ['500', 'BAD_SOURCE', (_, r) => r.writeHead(500).end()],
    ['206 to no range', 'BAD_SOURCE', (_, r) => r.writeHead(206).end(body)],
    ['200 with a page', 'BAD_SOURCE', (_, r) => r.end('<!doctype html><title>app</title>')],
    [
      'a redirect to a page',
      'BAD_SOURCE',
      (q, r) => (q.url === '/b' ? r.end('<p>') : r.writeHead(302, { location: '/b' }).end()),
    ],
    ['an empty body', 'BAD_SOURCE', (_, r) => r.end()],
    ['a short body in chunks', 'BAD_ARTIFACT', (_, r) => r.end(body.subarray(0, -7))],
    [
      'a short body under a right length',
      'NETWORK',
      (_, r) => {
        r.writeHead(200, { 'content-length': body.length });
        r.write(body.subarray(0, 4000), () => r.destroy());
      },
    ],
    ['a longer body', 'BAD_ARTIFACT', (_, r) => r.end(Buffer.concat([body, Buffer.from('x')]))],
    [
      'a length that cuts the body',
      'BAD_ARTIFACT',
      (_, r) => r.writeHead(200, { 'content-length': 5000 }).end(body.subarray(0, 5000)),
    ],
    ['a stale start before the body', 'BAD_SOURCE', (_, r) => r.end(Buffer.concat([body.subarray(1, 30), body]))],
    ['a connection that is cut at once', 'NETWORK', (_, r) => void r.destroy()],
  ])('R2: refuses what a server sends: %s', async (_, expected, listener) => {
    const url = await serve(listener);
    const error = await loadModel(url).catch((reason) => reason);
    expect(error).toEqual(expect.objectContaining({ name: 'RuntimeError' }));
    // A cut connection may be seen as a short body, by the time at which it is cut.
    expect([code(expected), code(expected === 'NETWORK' ? 'BAD_SOURCE' : expected)]).toContainEqual(error);
    await works(await loadModel(bytes));
  });

  it('F13: a request that names a digest binds the file to it', async () => {
    const url = await serve((_, r) => r.end(body));
    const integrity = `sha256-${createHash('sha256').update(body).digest('base64')}`;
    await works(await loadModel(new Request(url, { integrity })));
    const other = `sha256-${createHash('sha256').update('x').digest('base64')}`;
    await expect(loadModel(new Request(url, { integrity: other }))).rejects.toEqual(code('NETWORK'));
  });

  it('R2: nobody listens', async () => {
    const url = await serve(() => {});
    await new Promise((resolve) => server?.close(resolve));
    await expect(loadModel(url)).rejects.toEqual(code('NETWORK'));
  });

  it.each([0, 1, 50, 99])(
    'R1: aborted at %i %% it rejects with the reason, lets go of the connection, and a retry works',
    async (percent) => {
      const part = Math.ceil((body.length * percent) / 100);
      const closed = Promise.withResolvers<void>();
      const asked = Promise.withResolvers<void>();
      let serveAll = false;
      const url = await serve((_, r) => {
        if (serveAll) return void r.end(body);
        asked.resolve();
        r.on('close', closed.resolve);
        r.writeHead(200);
        r.flushHeaders();
        if (part > 0) r.write(body.subarray(0, part));
      });
      const controller = new AbortController();
      const reason = new Error('enough');
      let seen = 0;
      const loading = loadModel(url, {
        signal: controller.signal,
        onProgress: ({ loaded }) => {
          seen = loaded;
        },
      });
      const settled = loading.then(
        () => 'loaded',
        (error) => error,
      );
      await asked.promise;
      for (let i = 0; i < 200 && seen < part * 0.9; i++) await new Promise((resolve) => setTimeout(resolve, 2));
      controller.abort(reason);
      expect(await settled).toBe(reason);
      await closed.promise;
      serveAll = true;
      await works(await loadModel(url));
    },
  );

  it('uses the fetch it is given, with the signal', async () => {
    const { signal } = new AbortController();
    const calls: unknown[] = [];
    const model = await loadModel('https://models.test/m.grim', {
      signal,
      fetch: async (input, init) => {
        calls.push(input, init?.signal);
        return new Response(bytes.slice());
      },
    });
    expect(calls).toEqual(['https://models.test/m.grim', signal]);
    await works(model);
  });
});

describe('progress', () => {
  const events = async (source: ModelSource): Promise<LoadProgress[]> => {
    const found: LoadProgress[] = [];
    using model = await loadModel(source, { onProgress: (event) => found.push(event) });
    expect(model.device).toBe('wasm');
    return found;
  };
  it.each<[string, () => ModelSource]>([
    ['one piece', () => bytes],
    ['many pieces', () => streamOf(bytes, 500)],
    ['single bytes', () => streamOf(small, 1)],
    ['a response', () => new Response(streamOf(bytes, 9000))],
  ])('R2: from %s it never falls and is full once, at the end', async (_, source) => {
    const found = await events(source());
    const total = found[0]?.total ?? 0;
    found.forEach(({ loaded, total: all, fromCache }, i) => {
      expect(loaded).toBeGreaterThanOrEqual(found[i - 1]?.loaded ?? 0);
      expect([all, fromCache]).toEqual([total, false]);
      expect(loaded === total).toBe(i === found.length - 1);
    });
    expect(found.at(-1)?.stage).toBe('warmup');
    expect(found.at(-2)?.stage).toBe('compile');
  });

  it('R15: what onProgress throws is what loading rejects with, and the stream is let go', async () => {
    let cancelled: unknown;
    const source = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(bytes.slice(0, 20_000)),
      cancel: (reason) => {
        cancelled = reason;
      },
    });
    const mine = new Error('mine');
    const loading = loadModel(source, {
      onProgress: () => {
        throw mine;
      },
    });
    await expect(loading).rejects.toBe(mine);
    await new Promise((resolve) => setTimeout(resolve));
    expect(cancelled).toBe(mine);
  });
});

describe('options', () => {
  it.each<[string, object, string]>([
    ['a misspelt name', { onprogress: () => {} }, 'BAD_OPTION'],
    ['a device that is not there', { device: 'webgpu' }, 'NO_DEVICE'],
    ['an unknown family', { simd: 'avx' }, 'BAD_OPTION'],
    ['a module that is none', { module: {} }, 'BAD_OPTION'],
    ['a memory that is too small', { maxBytes: 65535 }, 'OUT_OF_MEMORY'],
  ])('refuses %s', async (_, options, expected) => {
    await expect(loadModel(small, options)).rejects.toEqual(code(expected));
  });
  it('suggests what was meant', async () => {
    await expect(loadModel(small, { onprogress: 1 } as object)).rejects.toThrow('Did you mean "onProgress"?');
  });
  it('R5: a memory of exactly the limit is allowed', async () => works(await loadModel(small, { maxBytes: 65536 })));
  it('an aborted signal rejects before anything is read', async () => {
    const source = new ReadableStream({ pull: () => expect.unreachable() }, { highWaterMark: 0 });
    await expect(loadModel(source, { signal: AbortSignal.abort('why') })).rejects.toBe('why');
  });
});

it('O5: loading leaves no listener on the signal and no global behind', async () => {
  const controller = new AbortController();
  const listeners = new Set<unknown>();
  const { signal } = controller;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (type: string, listener: EventListener) => {
    listeners.add(listener);
    add(type, listener);
  };
  signal.removeEventListener = (type: string, listener: EventListener) => {
    listeners.delete(listener);
    remove(type, listener);
  };
  const before = Reflect.ownKeys(globalThis).length;
  await works(await loadModel(streamOf(bytes, 999), { signal }));
  await expect(loadModel(streamOf(bytes.slice(0, 99), 9), { signal })).rejects.toEqual(code('BAD_ARTIFACT'));
  await new Promise((resolve) => setTimeout(resolve));
  expect(listeners.size).toBe(0);
  expect(Reflect.ownKeys(globalThis).length).toBe(before);
});

describe('modules beside the file', () => {
  const { grim, modules } = pack(affine(), { split: true });
  it('runs with the module that belongs to it', async () => {
    for (const simd of ['relaxed', 'plain'] as const) {
      const module = await WebAssembly.compile(new Uint8Array(modules[simd]));
      const model = await loadModel(grim, { module });
      expect(model.simd).toBe(simd);
      await works(model);
    }
  });
  it('F6: refuses a file without its module, and the module of another file', async () => {
    await expect(loadModel(grim)).rejects.toEqual(code('MISSING_FEATURE'));
    const bare = await WebAssembly.compile(new Uint8Array(affine().wasm.plain));
    await expect(loadModel(grim, { module: bare })).rejects.toEqual(code('BAD_OPTION'));
    const other = pack(counter(1, 40_000), { split: true });
    const foreign = await WebAssembly.compile(new Uint8Array(other.modules.plain));
    await expect(loadModel(grim, { module: foreign })).rejects.toEqual(code('BAD_OPTION'));
  });
});

it('R16: two copies of the runtime work side by side', async () => {
  vi.resetModules();
  const copy = await import('../src/index.ts');
  expect(copy.RuntimeError).not.toBe(RuntimeError);
  const [a, b] = await Promise.all([loadModel(small), copy.loadModel(pack(branching()))]);
  await works(a);
  const { y } = await b.run({ x: Float32Array.of(1, 2), flag: Uint8Array.of(0) });
  expect(y).toEqual(Float32Array.of(2, 4));
});

/** Kept files and resumed downloads, over a real server and stores that fail in every way. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { pack } from '@grim/codegen';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type CacheOptions, cached, cacheStore, type ModelStore } from '../src/cache.ts';
import { loadModel, type Model } from '../src/index.ts';
import { affine } from './models.ts';

const X = Float32Array.of(1, 2, 3, 4, 5, 6);
const Y = Float32Array.of(3, 5, 7, 9, 11, 13);
const code = (name: string) => expect.objectContaining({ name: 'RuntimeError', code: `GRIM_RUNTIME_${name}` });
/** Two parts and a half. */
const file = Buffer.from(pack(affine(40_000)));
const other = Buffer.from(pack(affine(40_001)));

function memoryStore(): ModelStore & { readonly content: Map<string, Blob> } {
  const content = new Map<string, Blob>();
  return {
    content,
    get: async (key) => content.get(key),
    set: async (key, blob) => void content.set(key, blob),
    delete: async (key) => void content.delete(key),
  };
}

interface Asked {
  readonly headers: IncomingHttpHeaders;
}
type Answer = (asked: Asked, response: ServerResponse) => void;

let server: Server;
let url: string;
let asked: Asked[];
let answer: Answer;
/** As a good server does: validators, ranges, 304. */
const good =
  (body: Buffer, etag = '"1"', cut = body.length): Answer =>
  ({ headers }, response) => {
    if (headers['if-none-match'] === etag) return void response.writeHead(304, { etag }).end();
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    const whole = !headers.range || headers['if-range'] !== etag;
    const start = whole ? 0 : from;
    const range = `bytes ${start}-${body.length - 1}/${body.length}`;
    response.writeHead(whole ? 200 : 206, {
      etag,
      'content-length': body.length - start,
      ...(whole ? {} : { 'content-range': range }),
    });
    if (cut >= body.length) response.end(body.subarray(start));
    else response.write(body.subarray(start, cut), () => setTimeout(() => response.destroy(), 100));
  };

beforeEach(async () => {
  asked = [];
  answer = good(file);
  server = createServer(({ headers }, response) => {
    asked.push({ headers });
    answer({ headers }, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/m.grim`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
  vi.unstubAllGlobals();
});

const works = async (model: Model) => {
  expect((await model.run({ x: X }))['y']).toEqual(Y);
  model.dispose();
};
/** The index and the parts that it names are there, and nothing else. */
const tidy = async ({ content }: ReturnType<typeof memoryStore>) => {
  const { id, parts, whole } = JSON.parse((await content.get(url)?.text()) ?? '{}');
  expect(whole).toBe(true);
  expect(parts.length).toBeGreaterThan(1);
  const named = [url, ...parts.map((_: number, i: number) => `${url}#${id}/${i}`)];
  expect([...content.keys()].sort()).toEqual(named.sort());
};
const loader = (options: CacheOptions) => cached<object, Model>(loadModel, { partBytes: 65536, ...options });

describe('a kept file', () => {
  it('R3: is loaded without the network, or after asking whether it is the newest; a newer one takes its place', async () => {
    const store = memoryStore();
    const stages = new Set<string>();
    const onProgress = ({ fromCache, stage }: { fromCache: boolean; stage: string }) =>
      stages.add(`${stage} ${fromCache}`);
    await works(await cached(loadModel, { partBytes: 65536, store })(url, { onProgress }));
    await tidy(store);
    expect([...stages].some((stage) => stage.endsWith('true'))).toBe(false);
    await works(await loader({ store })(url));
    expect(asked.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"1"']);
    stages.clear();
    await works(await cached(loadModel, { partBytes: 65536, store, revalidate: false })(url, { onProgress }));
    expect([...stages].every((stage) => stage.endsWith('true'))).toBe(true);
    expect(asked).toHaveLength(2);
    answer = good(other, '"2"');
    await works(await loader({ store })(url));
    await tidy(store);
    answer = ({ headers }, response) => {
      expect(headers['if-none-match']).toBe('"2"');
      response.destroy();
    };
    await works(await loader({ store })(url));
  });
  it('R3: a newer one that breaks off does not take it away', async () => {
    const store = memoryStore();
    await works(await loader({ store })(url));
    const before = [...store.content.keys()];
    answer = good(other, '"2"', 90_000);
    await expect(loader({ store })(url)).rejects.toEqual(code('NETWORK'));
    expect([...store.content.keys()]).toEqual(before);
    await works(await loader({ store, revalidate: false })(url));
  });
  it.each<[string, (content: Map<string, Blob>) => void]>([
    ['a part is gone', (c) => c.delete([...c.keys()].find((key) => key.endsWith('/1')) as string)],
    ['a part is empty', (c) => c.set([...c.keys()].find((key) => key.endsWith('/1')) as string, new Blob([]))],
    [
      'a bit of a part flipped',
      (c) =>
        c.set([...c.keys()].find((key) => key.endsWith('/0')) as string, new Blob([flipped(file.subarray(0, 65536))])),
    ],
    ['the index is no JSON', (c) => c.set(url, new Blob(['{']))],
    ['the index is something else', (c) => c.set(url, new Blob(['{"id":5,"parts":"x"}']))],
    ['the index is null', (c) => c.set(url, new Blob(['null']))],
    ['the index is of another file', (c) => c.set(url, new Blob(['{"id":"a","parts":[5],"whole":true}']))],
  ])('R3: when %s, the network is used and the file kept again', async (_, damage) => {
    const store = memoryStore();
    await works(await loader({ store, revalidate: false })(url));
    damage(store.content);
    await works(await loader({ store, revalidate: false })(url));
    expect(asked).toHaveLength(2);
    await works(await loader({ store, revalidate: false })(url));
    expect(asked).toHaveLength(2);
  });
  it('R3: whichever call of the store fails, once or from then on, the model loads, and the next load is right', async () => {
    let faults = 0;
    for (const sticky of [false, true])
      for (let n = 1; ; n++) {
        const good_ = memoryStore();
        let calls = 0;
        const check = () => {
          if (++calls === n || (sticky && calls > n)) throw new DOMException('quota', 'QuotaExceededError');
        };
        const store: ModelStore = {
          get: async (key) => {
            check();
            return good_.get(key);
          },
          set: async (key, blob) => {
            check();
            return good_.set(key, blob);
          },
          delete: async (key) => {
            check();
            return good_.delete(key);
          },
        };
        const why: unknown[] = [];
        for (let i = 0; i < 2; i++) await works(await loader({ store, onUncached: (reason) => why.push(reason) })(url));
        if (calls < n) break;
        faults++;
        expect(why.length, `call ${n}`).toBeGreaterThan(0);
        await works(await loader({ store: good_ })(url));
        await works(await loader({ store: good_, revalidate: false })(url));
      }
    expect(faults).toBeGreaterThan(10);
  });
  it('R3: of two pages at once one writes; both load', async () => {
    const store = memoryStore();
    await Promise.all((await Promise.all([1, 2, 3].map(() => loader({ store })(url)))).map(works));
    await works(await loader({ store, revalidate: false })(url));
    // Without locks too: each writes parts of its own, and the index names those of one.
    vi.stubGlobal('navigator', {});
    const free = memoryStore();
    await Promise.all((await Promise.all([1, 2].map(() => loader({ store: free })(url)))).map(works));
    await works(await loader({ store: free, revalidate: false })(url));
  });
  it('R3: without Cache Storage nothing is kept, and it says why; with one, parts have places of their own', async () => {
    const why: unknown[] = [];
    await works(await loader({ onUncached: (reason) => why.push(reason) })(url));
    expect(String(why[0])).toContain('no Cache Storage');
    const kept = new Map<string, Response>();
    const cache = {
      match: async (key: string) => kept.get(key)?.clone(),
      put: async (key: string, response: Response) => void kept.set(key.split('#')[0] as string, response),
      delete: async (key: string) => kept.delete(key),
    };
    vi.stubGlobal('caches', { open: async () => cache });
    for (let i = 0; i < 2; i++) await works(await loader({ store: cacheStore('mine'), revalidate: false })(url));
    expect(asked).toHaveLength(2);
    expect(kept.size).toBeGreaterThan(2);
  });
  it('nothing that is no model is kept, and other sources are left alone', async () => {
    const store = memoryStore();
    answer = (_, response) => void response.writeHead(200, { etag: '"1"' }).end('<!doctype html>');
    await expect(loader({ store })(url)).rejects.toEqual(code('BAD_SOURCE'));
    answer = (_, response) => void response.writeHead(404).end();
    await expect(loader({ store })(url)).rejects.toThrow('404 for "m.grim"');
    await works(await loader({ store })(file));
    await expect(loader({ store })('http://127.0.0.1:1/m.grim')).rejects.toEqual(code('NETWORK'));
    expect(store.content.size).toBe(0);
  });
});

function flipped(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  copy[5000] = (copy[5000] ?? 0) ^ 4;
  return copy;
}

describe('a download that breaks off', () => {
  const broken = async (store: ModelStore, cut = 140_000) => {
    answer = good(file, '"1"', cut);
    await expect(loader({ store })(url)).rejects.toEqual(code('NETWORK'));
    asked.length = 0;
  };
  it('R1, R2: goes on where it stopped, also twice, and is kept', async () => {
    const store = memoryStore();
    await broken(store, 80_000);
    answer = good(file, '"1"', 140_000);
    await expect(loader({ store })(url)).rejects.toEqual(code('NETWORK'));
    answer = good(file);
    await works(await loader({ store })(url));
    const starts = asked.map(({ headers }) => Number(/\d+/.exec(headers.range ?? '')?.[0]));
    expect(starts[0]).toBeGreaterThan(65_000);
    expect(starts[1]).toBeGreaterThan(starts[0] as number);
    expect(asked.map(({ headers }) => headers['if-range'])).toEqual(['"1"', '"1"']);
    await works(await loader({ store, revalidate: false })(url));
    expect(asked).toHaveLength(2);
  });
  it('R1: an aborted one goes on as well', async () => {
    const store = memoryStore();
    const controller = new AbortController();
    const onProgress = ({ loaded }: { loaded: number }) => void (loaded > 90_000 && controller.abort('enough'));
    await expect(
      cached(loadModel, { partBytes: 65536, store })(url, { onProgress, signal: controller.signal }),
    ).rejects.toBe('enough');
    await works(await loader({ store })(url));
    expect(Number(/\d+/.exec(asked[1]?.headers.range ?? '')?.[0])).toBeGreaterThan(80_000);
  });
  const part = (from: number, headers: object, body = file.subarray(from)) =>
    [{ 'content-range': `bytes ${from}-${file.length - 1}/${file.length}`, etag: '"1"', ...headers }, body] as const;
  it.each<[string, (from: number, response: ServerResponse) => void]>([
    ['a 200 with all of it', (_, r) => r.writeHead(200, { etag: '"1"' }).end(file)],
    ['another file', (_, r) => r.writeHead(200, { etag: '"2"' }).end(other)],
    ['a 206 at another place', (from, r) => r.writeHead(206, part(from - 5, {})[0]).end(part(from - 5, {})[1])],
    ['a 206 of another file', (from, r) => r.writeHead(206, part(from, { etag: '"2"' })[0]).end(other.subarray(from))],
    ['a 206 without a range', (from, r) => r.writeHead(206, { etag: '"1"' }).end(file.subarray(from))],
    [
      'a 206 of a piece',
      (from, r) =>
        r
          .writeHead(206, { etag: '"1"', 'content-range': `bytes ${from}-${from + 9}/${file.length}` })
          .end(file.subarray(from, from + 10)),
    ],
    ['a 206 with wrong bytes', (from, r) => r.writeHead(206, part(from, {})[0]).end(flipped(file.subarray(from)))],
    [
      'a compressed 206',
      (from, r) => r.writeHead(206, part(from, { 'content-encoding': 'gzip' })[0]).end(gzipSync(file.subarray(from))),
    ],
    ['a 416', (_, r) => r.writeHead(416).end()],
    ['a 500', (_, r) => r.writeHead(500).end()],
  ])('R2: the server answers with %s: the model is right in the end', async (_, first) => {
    const store = memoryStore();
    await broken(store);
    answer = ({ headers }, response) => {
      const from = /^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1];
      if (from === undefined) good(file)({ headers }, response);
      else first(Number(from), response);
    };
    await works(await loader({ store })(url));
    await works(await loader({ store, revalidate: false })(url));
    await tidy(store);
  });
  it('R2: a begun file that rotted in the store is loaded anew', async () => {
    const store = memoryStore();
    await broken(store);
    const [key] = [...store.content.keys()].filter((each) => each.endsWith('/0'));
    store.content.set(key as string, new Blob([flipped(file.subarray(0, 65536))]));
    answer = good(file);
    await works(await loader({ store })(url));
    expect(asked).toHaveLength(2);
  });
  it('R2: without a strong validator, or compressed in transit, nothing is begun', async () => {
    for (const headers of [{}, { etag: 'W/"1"' }, { etag: '"1"', 'content-encoding': 'gzip' }]) {
      const store = memoryStore();
      answer = (_, response) => {
        response.writeHead(200, headers);
        const body = 'content-encoding' in headers ? gzipSync(file, { level: 0 }) : file;
        response.write(body.subarray(0, 140_000), () => setTimeout(() => response.destroy(), 100));
      };
      await expect(loader({ store })(url)).rejects.toEqual(code('NETWORK'));
      expect(store.content.size).toBe(0);
    }
  });
  it('R2: a stalled one ends with an error, and goes on later; a slow one does not', async () => {
    const store = memoryStore();
    answer = (_, response) => {
      response.writeHead(200, { etag: '"1"' });
      response.write(file.subarray(0, 80_000));
    };
    await expect(loader({ store, stallMs: 200 })(url)).rejects.toThrow('nothing arrived for 200 ms');
    answer = good(file);
    await works(await loader({ store, stallMs: 200 })(url));
    expect(asked[1]?.headers.range).toMatch(/^bytes=\d{5,}-$/);
  });
});

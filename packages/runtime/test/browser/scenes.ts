/**
 * The browser's side of browser.test.ts: one script for a page, a module worker, a classic worker and a service worker. A
 * scene loads and runs models there and says what came of it, as plain data.
 */
import { stage } from '@grim/browser/stage';
import { loadModel, type ModelSource, type Tensors } from '@grim/runtime';

const X = Float32Array.of(1, 2, 3, 4, 5, 6);

const url = (path: string): string => new URL(path, location.origin).href;
const bytesOf = async (path: string): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await (await fetch(path)).arrayBuffer());

/** y of x = 1 … 6. */
async function affine(source: ModelSource, options = {}): Promise<readonly number[]> {
  using model = await loadModel(source, options);
  return Array.from((await model.run({ x: X }))['y'] as Float32Array);
}

/** What `work` is rejected with. */
async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return 'it did not fail';
  } catch (error) {
    const { name, code, message } = error as { name: string; code?: string; message: string };
    return { name, message, ...(typeof code === 'string' && { code }) };
  }
}

const scenes = {
  where: async () => ({
    isolated: crossOriginIsolated,
    scope: globalThis.constructor.name,
    sharedMemory: typeof SharedArrayBuffer === 'function',
  }),

  /** y from every kind of source. */
  async sources(path: string) {
    const bytes = await bytesOf(path);
    const odd = new Uint8Array(bytes.length + 3);
    odd.set(bytes, 3);
    const sources: Record<string, () => ModelSource> = {
      'a path': () => path,
      'an absolute URL': () => url(path),
      'a URL object': () => new URL(path, location.origin),
      'a Request': () => new Request(path),
      'a Response': () => fetch(path),
      'a stream': () => new Response(bytes).body as ReadableStream<Uint8Array<ArrayBuffer>>,
      bytes: () => bytes,
      'a view at an odd place': () => odd.subarray(3),
      'an ArrayBuffer': () => bytes.slice().buffer,
      'a Blob': () => new Blob([bytes]),
      'a File': () => new File([bytes], 'dropped.grim'),
    };
    const found: Record<string, unknown> = {};
    for (const [kind, source] of Object.entries(sources)) found[kind] = await affine(source());
    return found;
  },

  /** Sources that a content security policy of `connect-src 'self'` forbids. */
  async inlineSources(path: string) {
    const bytes = await bytesOf(path);
    const object = URL.createObjectURL(new Blob([bytes]));
    const data = `data:application/octet-stream;base64,${btoa(String.fromCharCode(...bytes))}`;
    return [await affine(object), await affine(data)];
  },

  /** From the cache of the platform, and from its private files. */
  async keptSources(path: string) {
    const cache = await caches.open('models');
    await cache.put(path, await fetch(path));
    const fromCache = await affine((await cache.match(path)) as Response);
    await caches.delete('models');
    const folder = await navigator.storage.getDirectory();
    const handle = await folder.getFileHandle('m.grim', { create: true });
    const writer = await handle.createWritable();
    await writer.write(await bytesOf(path));
    await writer.close();
    const fromFile = await affine(await handle.getFile());
    await folder.removeEntry('m.grim');
    return [fromCache, fromFile];
  },

  /** Pixels of an image as they come from a canvas. */
  async pixels(path: string) {
    using model = await loadModel(path);
    const canvas = new OffscreenCanvas(2, 1).getContext('2d') as OffscreenCanvasRenderingContext2D;
    canvas.fillStyle = 'rgb(10, 20, 30)';
    canvas.fillRect(0, 0, 2, 1);
    const { y } = await model.run({ pixels: canvas.getImageData(0, 0, 2, 1).data as unknown as Uint8Array });
    return Array.from(y as Float32Array);
  },

  /** Progress of one load. */
  async progress(path: string) {
    const events: unknown[] = [];
    const y = await affine(path, { onProgress: (event: object) => events.push({ ...event }) });
    return { y, events };
  },

  load: (path: string) => affine(path),
  fails: (path: string) => failure(loadModel(path)),

  /** Aborts when progress says that `bytes` are there, or before it says anything; then loads `retry`. */
  async abort([path, bytes, retry]: [string, number, string]) {
    const controller = new AbortController();
    const reason = bytes % 2 === 0 ? new Error('enough') : undefined;
    const timer = setTimeout(() => controller.abort(reason), bytes > 2000 ? 2 ** 30 : 50);
    const work = loadModel(path, {
      signal: controller.signal,
      onProgress: ({ loaded }) => {
        if (bytes > 2000 && loaded >= bytes) controller.abort(reason);
      },
    });
    const error: unknown = await work.then(
      () => 'it loaded',
      (found: unknown) => found,
    );
    clearTimeout(timer);
    return { same: error === controller.signal.reason, name: (error as Error).name, y: await affine(retry) };
  },

  /** States, reset, dispose; runs asked for at once. */
  async states(path: string) {
    const model = await loadModel(path);
    const x = Float32Array.of(1, 2, 3, 4);
    const sum = async () => Array.from((await model.run({ x }))['sum'] as Float32Array);
    const before = await sum();
    const [second, third] = await Promise.all([sum(), sum()]);
    const { signal } = new AbortController();
    const paced = Array.from((await model.run({ x }, { signal }))['sum'] as Float32Array);
    model.reset();
    const after = await sum();
    model.dispose();
    model.dispose();
    return { before, second, third, paced, after, disposed: await failure(sum()) };
  },

  /** The bits of all outputs, by family. */
  async bits([path, length]: [string, number]) {
    const x = Float32Array.from({ length }, (_, i) => ((i * 37) % 101) / 50 - 1);
    const found: Record<string, number[]> = {};
    for (const simd of ['relaxed', 'plain'] as const) {
      using model = await loadModel(path, { simd });
      const { y } = await model.run({ x });
      found[simd] = Array.from(new Uint32Array((y as Float32Array).buffer));
    }
    return found;
  },

  /** A model whose code is beside it; the module is compiled here, or by a worker that may. */
  async split([path, code, worker]: [string, string, string?]) {
    let module: WebAssembly.Module;
    if (worker) {
      const compiler = new Worker(worker, { type: 'module' });
      module = await new Promise((resolve, reject) => {
        compiler.onmessage = ({ data }) => resolve(data);
        compiler.onerror = ({ message }) => reject(new Error(message));
        compiler.postMessage(code);
      });
      compiler.terminate();
    } else module = await WebAssembly.compileStreaming(fetch(code));
    using model = await loadModel(path, { module });
    const { y } = await model.run({ x: X });
    return { simd: model.simd, y: Array.from(y as Float32Array), without: await failure(loadModel(path)) };
  },

  /** Many models, one after another, then at once: pages have room for few memories. */
  async many([path, count]: [string, number]) {
    const bytes = await bytesOf(path);
    for (let i = 0; i < count; i++) await affine(bytes);
    const models = await Promise.all(Array.from({ length: 20 }, () => loadModel(bytes)));
    const ys = await Promise.all(models.map((model) => model.run({ x: X })));
    for (const model of models) model.dispose();
    return ys.map((found: Tensors) => Array.from(found['y'] as Float32Array));
  },
};

stage(scenes, { module: '/scenes.js', classic: '/classic.js' });

/** The model behind a worker: the same as without one, and the page outlives whatever the worker does. */
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { ModuleBuilder, pack, writeArtifact } from '@grim/codegen';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { loadModel as here } from '../src/index.ts';
import { readArtifact } from '../src/read.ts';
import { loadModel, type ModelWorker, type WorkerModel } from '../src/worker.ts';
import { affine, branching, counter, endless } from './models.ts';
import { Random } from './random.ts';

const X = Float32Array.of(1, 2, 3, 4, 5, 6);
const Y = Float32Array.of(3, 5, 7, 9, 11, 13);
const code = (name: string) => expect.objectContaining({ name: 'RuntimeError', code: `GRIM_RUNTIME_${name}` });

const started: Worker[] = [];
const worker = (): ModelWorker => {
  const one = new Worker(new URL('../src/worker-thread.ts', import.meta.url));
  started.push(one);
  return one;
};
const script = (source: string) => (): ModelWorker => {
  const one = new Worker(source, { eval: true });
  started.push(one);
  return one;
};
afterEach(async () => {
  for (const one of started.splice(0)) await one.terminate();
});

/** The same, but it never comes back from the self-test either. */
function endlessAtOnce(): Uint8Array {
  const { manifest, sections } = readArtifact(pack(endless()));
  const spin = new ModuleBuilder({ minPages: 1, maxPages: 1 });
  spin.function({ parameters: { x: 'i32' }, export: 'spin' }, (f) => {
    f.loop((again) => {
      f.i32(1).brIf(again);
    });
  });
  const bytes = sections.map((section, i) => (manifest.sections[i]?.kind === 'wasm' ? spin.build() : section));
  return writeArtifact(
    manifest,
    bytes.map((part, i) => ({ head: manifest.sections[i] as never, bytes: part })),
  );
}

describe('a model in a worker', () => {
  it('is what the same file is without one', async () => {
    for (const file of [pack(affine()), pack(counter()), pack(branching())]) {
      using near = await here(file);
      using far = await loadModel(file, { worker });
      const plain = ({ device, simd, threads, reasons, bytes, inputs, outputs, manifest }: typeof near) => ({
        ...{ device, simd, threads, reasons, bytes, inputs, outputs, manifest },
      });
      expect(plain(far)).toEqual(plain(near));
      expect(Object.keys(far).sort()).toEqual(Object.keys(near).sort());
    }
  });
  it('R7: refuses what it would refuse, in the same words', async () => {
    using near = await here(pack(affine()));
    using far = await loadModel(pack(affine()), { worker });
    const detached = new Float32Array(6);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const inputs: unknown[] = [undefined, null, X, {}, { x: null }, { x: [1] }, { x: new Float64Array(6) }];
    inputs.push({ x: new Float32Array(7) }, { x: detached }, { x: X, z: X }, { x: () => 1 }, { y: X });
    for (const bad of inputs) {
      const [a, b] = await Promise.all([near, far].map((m) => m.run(bad as never).catch((error: unknown) => error)));
      expect(b).toEqual(a);
      expect(b).toEqual(code('BAD_INPUT'));
    }
    const shared = new Float32Array(new SharedArrayBuffer(24));
    shared.set(X);
    for (const x of [X, shared, new Float32Array([9, ...X]).subarray(1), new (class Mine extends Float32Array {})(X)])
      expect((await far.run({ x }))['y']).toEqual(Y);
  });
  it('R8, R11: copies in, copies out, into the arrays of the caller, or takes arrays away when told to', async () => {
    using m = await loadModel(pack(affine()), { worker });
    const x = X.slice();
    const running = m.run({ x });
    x.fill(0);
    expect((await running)['y']).toEqual(Y);
    const outputs = { y: new Float32Array(6) };
    expect(await m.run({ x: X }, { outputs })).toBe(outputs);
    expect(outputs.y).toEqual(Y);
    const given = X.slice();
    expect((await m.run({ x: given }, { transfer: true }))['y']).toEqual(Y);
    expect(given.length).toBe(0);
    await expect(m.run({ x: given })).rejects.toEqual(code('BAD_INPUT'));
  });
  it('keeps states, and resets them', async () => {
    using m = await loadModel(pack(counter()), { worker });
    const x = Float32Array.of(1, 2, 3, 4);
    const sum = async () => Array.from((await m.run({ x }))['sum'] as Float32Array);
    expect([await sum(), await sum()]).toEqual([
      [1, 2, 3, 4],
      [2, 4, 6, 8],
    ]);
    m.reset();
    await m.warmup();
    expect(await sum()).toEqual([1, 2, 3, 4]);
  });
  it('R8: 12 seeded mixtures of runs, aborts, resets and disposal end each in a right result or a reason', async () => {
    const file = pack(counter(40));
    for (let seed = 1; seed <= 12; seed++) {
      const random = new Random(seed * 7919);
      const m = await loadModel(file, { worker });
      const work: Promise<string>[] = [];
      for (let i = 0; i < 8; i++) {
        const value = random.int(50);
        const controller = new AbortController();
        const [x, state] = [value, i].map((each) => new Float32Array(4).fill(each));
        const run = m.run({ x, state } as never, random.int(2) ? { signal: controller.signal } : {});
        work.push(
          run.then(
            (r) => ((r['doubled'] as Float32Array)[3] === 2 * (value + i) + 1 ? 'right' : `wrong at seed ${seed}`),
            (error) => (error === 'stop' || error.code === 'GRIM_RUNTIME_DISPOSED' ? 'refused' : String(error)),
          ),
        );
        if (random.int(4) === 0) controller.abort('stop');
        if (random.int(6) === 0) m.reset();
        if (random.int(3) === 0) await new Promise((resolve) => setTimeout(resolve));
        if (random.int(30) === 0) break;
      }
      m.dispose();
      for (const result of await Promise.all(work)) expect(['right', 'refused']).toContain(result);
      await expect(m.run({})).rejects.toEqual(code('DISPOSED'));
      expect(() => m.reset()).toThrow('disposed');
    }
  });
});

describe('loading into a worker', () => {
  const file = pack(affine(200_000));
  it('takes every source, and reports progress as without one', async () => {
    const events = async (load: typeof here) => {
      const seen: string[] = [];
      using m = await load(new Response(file.slice()), {
        onProgress: ({ stage, loaded, total }) => seen.push(`${stage} ${loaded === total}`),
      });
      expect((await m.run({ x: X }))['y']).toEqual(Y);
      return new Set(seen);
    };
    expect(await events((source, options) => loadModel(source, { ...options, worker }))).toEqual(await events(here));
    for (const source of [file, new Blob([file.slice()]), new Blob([file.slice()]).stream(), Promise.resolve(file)])
      (await loadModel(source, { worker })).dispose();
  });
  it('refuses what it would refuse', async () => {
    const broken = file.slice();
    broken[5000] = (broken[5000] ?? 0) ^ 1;
    const bad: [unknown, object][] = [
      [broken, {}],
      [file.subarray(0, 5000), {}],
      [new Uint8Array(), {}],
      [5, {}],
      ['<none>', {}],
      [new Response('no', { status: 404 }), {}],
      [file, { simd: 'fast' }],
      [file, { devise: 'wasm' }],
      [file, { maxBytes: 5 }],
      [file, { fetch: 5, signal: AbortSignal.abort('early') }],
    ];
    for (const [source, options] of bad) {
      const a = await here(source as never, options).catch((error: unknown) => error);
      const again = source instanceof Response ? new Response('no', { status: 404 }) : source;
      expect(await loadModel(again as never, { ...options, worker }).catch((error: unknown) => error)).toEqual(a);
    }
    await expect(loadModel(file, { worker, timeoutMs: 0 })).rejects.toEqual(code('BAD_OPTION'));
  });
  it('R1, R15: aborted, or with a callback that throws, it rejects with the reason and lets go of source and worker', async () => {
    for (const how of ['abort', 'throw'] as const) {
      const controller = new AbortController();
      let cancelled = false;
      let at = 0;
      const source = new ReadableStream({
        pull(c) {
          if (at > 500_000 && how === 'abort') controller.abort('enough');
          c.enqueue(file.slice(at, at + 50_000));
          at += 50_000;
        },
        cancel: () => {
          cancelled = true;
        },
      });
      const onProgress = ({ loaded }: { loaded: number }) => {
        if (how === 'throw' && loaded > 300_000) throw 'enough';
      };
      await expect(loadModel(source, { worker, signal: controller.signal, onProgress })).rejects.toBe('enough');
      await vi.waitFor(() => expect(cancelled || at > file.length).toBe(true));
      const [one] = started.splice(0);
      await vi.waitFor(() => expect(one?.threadId).toBe(-1));
    }
  });
});

describe('the watchdog', () => {
  const alive = async (m: WorkerModel) => expect((await m.run({ x: X }))['y']).toEqual(Y);
  it('F8: code that never ends is stopped, in a run and while loading; this thread stays alive, the next model works', async () => {
    // A busy machine takes a while to start a worker.
    const m = await loadModel(pack(endless()), { worker, timeoutMs: 3000 });
    expect((await m.run({ x: Float32Array.of(2) }))['y']).toEqual(Float32Array.of(2));
    const runs = [1, 2].map((x) => m.run({ x: Float32Array.of(x) }));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    for (const run of await Promise.allSettled(runs)) expect(run).toMatchObject({ reason: code('TIMEOUT') });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(3);
    await expect(m.run({ x: Float32Array.of(2) })).rejects.toEqual(code('TIMEOUT'));
    await vi.waitFor(() => expect(started[0]?.threadId).toBe(-1));
    m.dispose();
    await expect(loadModel(endlessAtOnce(), { worker, timeoutMs: 300 })).rejects.toEqual(code('TIMEOUT'));
    using next = await loadModel(pack(affine()), { worker });
    await alive(next);
  });
  it('F8: what takes long but answers is left alone: a slow download', async () => {
    const file = pack(affine(200_000));
    let at = 0;
    const slow = new ReadableStream({
      async pull(c) {
        await new Promise((resolve) => setTimeout(resolve, 600));
        if (at >= file.length) return c.close();
        c.enqueue(file.slice(at, at + 2e5));
        at += 2e5;
      },
    });
    using m = await loadModel(slow, { worker, timeoutMs: 2500 });
    await alive(m);
  });
  it('a worker that ends, cannot be started, fails or is silent is an error with a code', async () => {
    const m = await loadModel(pack(affine()), { worker });
    const run = m.run({ x: X });
    await started[0]?.terminate();
    await expect(run.then(() => m.run({ x: X }))).rejects.toEqual(code('WORKER_LOST'));
    const file = pack(affine());
    const start = () => {
      throw new Error('no workers here');
    };
    await expect(loadModel(file, { worker: start })).rejects.toEqual(code('WORKER_LOST'));
    await expect(loadModel(file, { worker: script('throw new Error("broken")') })).rejects.toEqual(code('WORKER_LOST'));
    await expect(loadModel(file, { worker: script('process.exit(3)') })).rejects.toEqual(code('WORKER_LOST'));
    const silent = script('setInterval(() => {}, 1000)');
    await expect(loadModel(file, { worker: silent, timeoutMs: 200 })).rejects.toEqual(code('TIMEOUT'));
  });
  it('messages of others are not listened to', async () => {
    using m = await loadModel(pack(affine()), { worker });
    started[0]?.postMessage({ kind: 'dispose' });
    started[0]?.postMessage({ port: undefined });
    await alive(m);
  });
});

it('starts the worker beside it when it is built', async (ctx) => {
  const built = new URL('../dist/worker.js', import.meta.url);
  if (!existsSync(built)) ctx.skip('packages/runtime is not built');
  const { loadModel } = (await import(built.href)) as typeof import('../src/worker.ts');
  using m = await loadModel(pack(affine()));
  expect((await m.run({ x: X }))['y']).toEqual(Y);
});

/** Threads: the same bits as one thread, the truth in `threads` and `reasons`, and no way to hang. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { compile, pack } from '@grim/codegen';
import { type Graph, graph } from '@grim/ir';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { loadModel as here } from '../src/index.ts';
import type { Model, Tensors } from '../src/model.ts';
import { loadModel, type ModelWorker } from '../src/threads.ts';
import { loadWithThreads } from '../src/threads-crew.ts';
import { affine, counter, grouped } from './models.ts';

const SCRIPT = new URL('../src/threads-worker.ts', import.meta.url);
const started: Worker[] = [];
const keep = (one: Worker): ModelWorker => {
  started.push(one);
  return one;
};
const worker = (): ModelWorker => keep(new Worker(SCRIPT));
const script = (source: string, workerData?: unknown) => () => keep(new Worker(source, { eval: true, workerData }));
afterEach(async () => {
  vi.unstubAllGlobals();
  for (const one of started.splice(0)) await one.terminate();
});

/** Enough work for eight pieces in most layers. */
const network: Graph = graph('net', (b) => {
  const weight = (name: string, shape: readonly number[]) => {
    const length = shape.reduce((product, dim) => product * dim, 1);
    const data = Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9 + name.length) / 20);
    return b.weight(name, { dtype: 'float32', shape, data });
  };
  let x = b.input('x', 'float32', [1, 16, 40, 40]);
  const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] } as const;
  for (let i = 0; i < 3; i++)
    x = b.add('Relu', [b.add('Conv', [x, weight(`w${i}`, [16 << i, 8 << Math.max(1, i), 3, 3])], attributes)]);
  const flat = b.add('Flatten', [b.add('MaxPool', [x], { kernel_shape: [4, 4], strides: [4, 4] })]);
  b.output('y', b.add('Softmax', [b.add('Gemm', [flat, weight('v', [100, 6400])], { transB: 1 })]));
});
const file = pack(compile(network));
const X = Float32Array.from({ length: 16 * 1600 }, (_, i) => Math.cos(i));
const expected = (await (await here(file)).run({ x: X }))['y'] as Float32Array;

const small = pack(grouped(6, 8));
const SMALL = Float32Array.from({ length: 384 }, (_, i) => i);
const DOUBLED = SMALL.map((value) => 2 * value + 1);

describe('the number of threads', () => {
  it.each([0, 1, 2, 3, 7, 100])(
    'W6: %i gives the same bits, and the model says how many there are',
    async (threads) => {
      using model = await loadModel(file, { threads, worker });
      for (let i = 0; i < 3; i++) expect((await model.run({ x: X }))['y']).toEqual(expected);
      expect(model.threads).toBe(threads === 0 ? Math.min(4, navigator.hardwareConcurrency) : Math.min(threads, 8));
      expect(model.reasons).toEqual([]);
    },
  );
  it('R7: no number, and no number of threads, are refused', async () => {
    for (const threads of [-1, 1.5, 1000, Number.NaN, '2' as unknown as number])
      await expect(loadModel(file, { threads, worker })).rejects.toMatchObject({ code: 'GRIM_RUNTIME_BAD_OPTION' });
  });
  it('without work to share there is one, and the model says so', async () => {
    using model = await loadModel(pack(affine()), { threads: 2, worker });
    expect(model.threads).toBe(1);
    expect(model.reasons).toEqual(['threads: 1, the model has no work to share: it is small, or was compiled so']);
    expect(started).toHaveLength(0);
  });
  it('on a machine with one core there is one, and the model says so', async () => {
    vi.stubGlobal('navigator', { hardwareConcurrency: 1 });
    using model = await loadModel(file, { worker });
    expect(model).toMatchObject({ threads: 1, reasons: ['threads: 1, this machine has one core'] });
    expect((await model.run({ x: X }))['y']).toEqual(expected);
  });
  it('W1: a page that is not isolated has one, the same bits, and a reason that names the headers', async () => {
    vi.stubGlobal('crossOriginIsolated', false);
    using model = await loadModel(file, { threads: 2, worker });
    expect(model.threads).toBe(1);
    expect(model.reasons).toEqual(['threads: 1, the page is not cross-origin isolated: add the headers COOP and COEP']);
    expect((await model.run({ x: X }))['y']).toEqual(expected);
    expect(started).toHaveLength(0);
  });
  it('a module that was compiled elsewhere has one', async () => {
    const { grim, modules } = pack(compile(network), { split: true });
    const module = await WebAssembly.compile(new Uint8Array(modules.relaxed));
    using model = await loadModel(grim, { threads: 2, worker, module });
    expect(model.threads).toBe(1);
    expect(model.reasons).toEqual(['threads: 1, a module that was compiled elsewhere cannot share its memory']);
    expect((await model.run({ x: X }))['y']).toEqual(expected);
  });
});

describe('a worker that does not start', () => {
  // Only silence is waited for: on a busy machine a worker takes its time to fail.
  const patient = 20_000;
  it.each<[string, () => ModelWorker, RegExp, number]>([
    [
      'cannot be made',
      () => {
        throw new Error('blocked');
      },
      /^threads: 1, .*blocked/,
      patient,
    ],
    ['throws at once', script('throw new Error("broken")'), /^threads: 1, a thread did not start \(.*broken/, patient],
    ['ends at once', script('process.exit(3)'), /^threads: 1, a thread did not start \(status 3/, patient],
    [
      'is silent',
      script('setInterval(() => {}, 1000)'),
      /^threads: 1, a thread did not start \(no answer for 0.4 s/,
      400,
    ],
  ])('W2: one that %s leaves one thread and a reason', async (_, broken, reason, startMs) => {
    const limits = { lostMs: 1500, startMs };
    using model = await loadWithThreads<Tensors, Tensors>(file, { threads: 3, worker: broken }, limits);
    expect(model.threads).toBe(1);
    expect(model.reasons).toHaveLength(1);
    expect(model.reasons[0]).toMatch(reason);
    expect((await model.run({ x: X }))['y']).toEqual(expected);
  });
});

/** A thread whose n-th call of a kernel does what is said instead; it counts from 1. */
const failing = (n: number, what: string) =>
  script(
    `const { workerData } = require('node:worker_threads');
    const { Instance } = WebAssembly;
    let calls = 0;
    WebAssembly.Instance = function (...args) {
      const wrap = (kernel) => (...parameters) => {
        if (++calls === workerData.n) { ${what} }
        return kernel(...parameters);
      };
      const instance = new Instance(...args);
      // Node itself has modules.
      if (!args[1]?.env?.memory) return instance;
      const { exports } = instance;
      return { exports: Object.fromEntries(Object.entries(exports).map(([name, kernel]) => [name, wrap(kernel)])) };
    };
    import(workerData.script);`,
    { n, script: SCRIPT.href },
  );

describe('a thread that is lost', () => {
  const limits = { lostMs: 250, startMs: 5000 };
  const first = (broken: () => ModelWorker) => {
    let count = 0;
    return () => (count++ === 0 ? broken() : worker());
  };
  /** Runs until the broken thread has had its call; threads may be slow to wake. */
  const lose = async (model: Model) => {
    for (let i = 0; i < 2000; i++) {
      try {
        expect((await model.run({ x: SMALL }))['y']).toEqual(DOUBLED);
      } catch (error) {
        return error;
      }
    }
    return undefined;
  };
  /** On a busy machine a thread may be late, and counts as lost as well: a wrong value is never right. */
  const answer = async (model: Model, times: number) => {
    for (let right = 0; right < times; ) {
      const result = await model.run({ x: SMALL }).catch((error: unknown) => error);
      if (result instanceof Error) {
        expect(result).toMatchObject({ code: 'GRIM_RUNTIME_WORKER_LOST' });
        continue;
      }
      expect(result).toEqual({ y: DOUBLED });
      right++;
    }
  };
  it('W3: the run rejects with a code, and the next ones are right, at fifty points where it dies', async () => {
    let lost = 0;
    // Starting is most of the work, so the thread in place of a lost one is the next that dies.
    for (let point = 50; point < 100; point += 2) {
      const points = [point, point + 1];
      const dying = () => {
        const n = points.shift();
        return n === undefined ? worker() : failing(n, 'process.exit()')();
      };
      const patience = { lostMs: 150, startMs: 5000 };
      using model = await loadWithThreads<Tensors, Tensors>(small, { threads: 2, worker: dying }, patience);
      for (let i = 0; i < 2; i++) {
        const error = await lose(model);
        if (error === undefined) continue;
        expect(error).toMatchObject({ code: 'GRIM_RUNTIME_WORKER_LOST' });
        lost++;
      }
      await answer(model, 3);
      expect(model).toMatchObject({ threads: 2, reasons: [] });
      for (const one of started.splice(0)) await one.terminate();
    }
    expect(lost).toBeGreaterThan(25);
  });
  it('W3: ended from outside while a run pauses: that run is right or rejects, and the next ones are right', async () => {
    using model = await loadWithThreads<Tensors, Tensors>(pack(grouped(6, 1500)), { threads: 2, worker }, limits);
    const { signal } = new AbortController();
    for (let round = 0; round < 3; round++) {
      const run = model.run({ x: SMALL }, { signal });
      const ended = new Promise((resolve) => setTimeout(() => resolve(started.at(-1)?.terminate()), round));
      await run.then(
        ({ y }) => expect(y).toEqual(DOUBLED),
        (error) => expect(error).toMatchObject({ code: 'GRIM_RUNTIME_WORKER_LOST' }),
      );
      await ended;
      expect((await model.run({ x: SMALL }))['y']).toEqual(DOUBLED);
    }
    await vi.waitFor(() => expect(model).toMatchObject({ threads: 2, reasons: [] }), { timeout: 20_000 });
  });
  it('W3: one that computes for ever is ended before the next run', async () => {
    using model = await loadWithThreads<Tensors, Tensors>(
      small,
      { threads: 2, worker: first(failing(40, 'for (;;);')) },
      limits,
    );
    const error = await lose(model);
    if (error !== undefined) expect(error).toMatchObject({ code: 'GRIM_RUNTIME_WORKER_LOST' });
    expect((await model.run({ x: SMALL }))['y']).toEqual(DOUBLED);
    expect(model.threads).toBe(2);
  });
  it('too often leaves one thread and a reason', async () => {
    const dying = () => failing(40, 'process.exit()')();
    using model = await loadWithThreads<Tensors, Tensors>(small, { threads: 2, worker: dying }, limits);
    // Four losses are one too many; a thread may also be lost while it starts.
    await vi.waitFor(
      async () => {
        await lose(model);
        expect(model.reasons[0]).toMatch(/^threads: 1, /);
      },
      { timeout: 60_000, interval: 100 },
    );
    expect(model.threads).toBe(1);
    expect((await model.run({ x: SMALL }))['y']).toEqual(DOUBLED);
  });
  it('between two runs costs no run', async () => {
    using model = await loadModel(small, { threads: 3, worker });
    expect((await model.run({ x: SMALL }))['y']).toEqual(DOUBLED);
    const [one] = started;
    await one?.terminate();
    for (let i = 0; i < 20; i++) expect((await model.run({ x: SMALL }))['y']).toEqual(DOUBLED);
    await vi.waitFor(() => expect(model.threads).toBe(3), { timeout: 20_000 });
    expect(started.length).toBeGreaterThan(2);
  });
  it('by a kernel that stops says so, and the next run works', async () => {
    using model = await loadWithThreads<Tensors, Tensors>(
      small,
      { threads: 2, worker: failing(60, 'throw new WebAssembly.RuntimeError("unreachable")') },
      { lostMs: 1500, startMs: 5000 },
    );
    const error = await lose(model);
    if (error !== undefined) expect(error).toMatchObject({ code: 'GRIM_RUNTIME_TRAP' });
    expect((await model.run({ x: SMALL }))['y']).toEqual(DOUBLED);
    expect(model.threads).toBe(2);
  });
  it('W6: one that computes something else is found out before the model is given away', async () => {
    const wrong = failing(1, 'calls = 0; return;');
    using model = await loadWithThreads<Tensors, Tensors>(
      file,
      { threads: 2, worker: wrong },
      { lostMs: 1500, startMs: 5000 },
    );
    if (model.threads === 1) expect(model.reasons).toEqual(['threads: 1, more of them gave other results']);
    expect((await model.run({ x: X }))['y']).toHaveLength(expected.length);
  });
});

describe('messages of others', () => {
  const noisy = script(
    `const { parentPort, workerData } = require('node:worker_threads');
    for (const answer of ['ready', 'ready 0.5', null, { session: 1 }]) parentPort.postMessage(answer);
    import(workerData);`,
    SCRIPT.href,
  );
  it('W9: are no answers of a thread, and no model for it', async () => {
    const asked = () => {
      const one = noisy() as Worker & ModelWorker;
      for (const message of ['ready', null, undefined, 7, { port: 1 }, { control: [], groups: [] }])
        one.postMessage(message);
      return one;
    };
    using model = await loadModel(small, { threads: 2, worker: asked });
    for (let i = 0; i < 3; i++) expect((await model.run({ x: SMALL }))['y']).toEqual(DOUBLED);
    expect(model).toMatchObject({ threads: 2, reasons: [] });
  });
  it('W9: alone start nothing', async () => {
    const mute = script(`require('node:worker_threads').parentPort.on('message', () => {
      for (const answer of ['ready', 'ready 0', { control: 1 }]) require('node:worker_threads').parentPort.postMessage(answer);
    })`);
    const limits = { lostMs: 1500, startMs: 600 };
    using model = await loadWithThreads<Tensors, Tensors>(small, { threads: 2, worker: mute }, limits);
    expect(model).toMatchObject({
      threads: 1,
      reasons: ['threads: 1, a thread did not start (no answer for 0.6 s).'],
    });
    expect((await model.run({ x: SMALL }))['y']).toEqual(DOUBLED);
  });
});

describe('a model with threads', () => {
  it('ends them when it is disposed', async () => {
    const model = await loadModel(small, { threads: 3, worker });
    const ends = started.map((one) => new Promise((resolve) => one.once('exit', resolve)));
    model.dispose();
    await Promise.all(ends);
    await expect(model.run({ x: SMALL })).rejects.toMatchObject({ code: 'GRIM_RUNTIME_DISPOSED' });
  });
  it('pauses runs that have a signal, and keeps states', async () => {
    using model = await loadModel(small, { threads: 2, worker });
    const { signal } = new AbortController();
    const runs = Array.from({ length: 5 }, () => model.run({ x: SMALL }, { signal }));
    for (const { y } of await Promise.all(runs)) expect(y).toEqual(DOUBLED);
    await expect(model.run({ x: SMALL }, { signal: AbortSignal.abort() })).rejects.toThrow();
    using states = await loadModel(pack(counter()), { threads: 2, worker });
    const x = Float32Array.of(1, 2, 3, 4);
    for (let i = 1; i < 4; i++) expect((await states.run({ x }))['sum']).toEqual(x.map((value) => value * i));
  });
  it('W5: gives the same bits over many short groups', async () => {
    using model = await loadModel(pack(grouped(5, 400)), { threads: 3, worker });
    const x = Float32Array.from({ length: 320 }, (_, i) => Math.sin(i));
    const y = x.map((value) => Math.fround(Math.fround(2 * value) + 1));
    const outputs = { y: new Float32Array(320) };
    for (let i = 0; i < 50; i++) {
      await model.run({ x }, { outputs });
      expect(outputs.y).toEqual(y);
    }
  });
  it('W4: no thread waits without a limit, and the one that runs the model never sleeps', () => {
    const folder = join(import.meta.dirname, '../src');
    for (const name of readdirSync(folder)) {
      const waits = readFileSync(join(folder, name), 'utf8').match(/Atomics\.wait(Async)?\([^)]*\)/g) ?? [];
      if (name === 'threads-worker.ts') expect(waits).toEqual(['Atomics.wait(control, CONTROL.left, 0, NAP_MS)']);
      else expect(waits).toEqual([]);
    }
  });
});

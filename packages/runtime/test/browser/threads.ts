/** The browser's side of browser-threads.test.ts: models whose calls threads share, in a page or a worker. */
import { stage } from '@grim/browser/stage';
import { loadModel as loadAlone, type Model, type Tensors } from '@grim/runtime';
import { loadModel, type ThreadsOptions } from '@grim/runtime/threads';
import { loadModel as loadInWorker } from '@grim/runtime/worker';

/** Of a script of threads. */
const SCRIPT = '/runtime/threads-worker.js';
const scriptOf = (url: string) => () =>
  new Worker(url, { type: 'module' }) as unknown as ReturnType<NonNullable<ThreadsOptions['worker']>>;

function inputsOf({ inputs }: Model, seed: number): Tensors {
  let state = seed;
  const draw = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { shape }]) => [
      name,
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, draw),
    ]),
  );
}

/** Of all outputs, as text. */
async function bitsOf(model: Model, seed: number): Promise<string> {
  const outputs = Object.values(await model.run(inputsOf(model, seed)));
  return outputs.map((tensor) => new Uint32Array((tensor as Float32Array).buffer).join()).join(';');
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'it did not fail',
    ({ code }: { code?: string }) => code ?? 'no code',
  );
}

/** What a model says of itself, and in how many of `runs` runs its bits are those of one thread without this entry. */
async function compared(path: string, runs: number, options: ThreadsOptions) {
  using alone = await loadAlone(path);
  using model = await loadModel(path, options);
  const found = { threads: model.threads, reasons: model.reasons, isolated: crossOriginIsolated, equal: 0 };
  for (let seed = 1; seed <= runs; seed++)
    if ((await bitsOf(model, seed)) === (await bitsOf(alone, seed))) found.equal++;
  return { ...found, after: model.threads };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

stage(
  {
    compared: ([path, runs, threads]: [string, number, number]) => compared(path, runs, { threads }),
    /** With the scripts of `first` for the first threads, then the right ones. */
    broken: ([path, runs, ...first]: [string, number, ...string[]]) =>
      compared(path, runs, { threads: 2, worker: () => scriptOf(first.shift() ?? SCRIPT)() }),

    /** Runs until a thread is lost; then what the next runs give. */
    async lost([path, script]: [string, string]) {
      const scripts = [script];
      using alone = await loadAlone(path);
      using model = await loadModel(path, { threads: 2, worker: () => scriptOf(scripts.shift() ?? SCRIPT)() });
      const before = model.threads;
      let error: unknown;
      const start = performance.now();
      for (let i = 0; i < 2000 && error === undefined; i++)
        error = await bitsOf(model, 1).then(
          () => undefined,
          ({ code }: { code: string }) => code,
        );
      const lostAfterMs = performance.now() - start;
      const equal = (await bitsOf(model, 2)) === (await bitsOf(alone, 2));
      return { before, error, equal, after: model.threads, reasons: model.reasons, lostAfterMs };
    },

    /** Runs on and on, with threads and in a worker of its own, until the page once stood still for a second or more. */
    async steady(path: string) {
      using alone = await loadAlone(path);
      const expected = await bitsOf(alone, 1);
      using shared = await loadModel(path, { threads: 2 });
      using apart = await loadInWorker(path, { timeoutMs: 700 });
      const wrong: string[] = [];
      let longest = 0;
      const start = performance.now();
      for (let last = start; longest < 1000 && last < start + 20_000; ) {
        for (const [name, model] of Object.entries({ shared, apart })) {
          const bits = await bitsOf(model, 1).catch(({ message }: Error) => message);
          if (bits !== expected) wrong.push(`${name}: ${bits.slice(0, 100)}`);
        }
        await pause(1);
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }
      return { wrong, stood: longest >= 1000, threads: shared.threads, reasons: shared.reasons };
    },

    /** Loads and runs while other scripts post messages that look like ours, to the page and to the threads. */
    async alike(path: string) {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
      const messages = [
        'ready',
        'ready 0.5',
        { memory, control: [], session: 'ready', kernels: [], groups: [] },
        { kind: 'loaded', id: 0 },
        { kind: 'done', id: 1, outputs: { y: new Float32Array(9) } },
        { kind: 'failed', id: 1, error: { code: 'GRIM_RUNTIME_TRAP' } },
        { port: null },
        null,
      ];
      const channel = new BroadcastChannel('grim');
      const noise = setInterval(() => {
        for (const message of messages) postMessage(message, '*');
        channel.postMessage('ready');
      }, 1);
      const worker = () => {
        const one = new Worker(SCRIPT, { type: 'module' });
        for (const message of messages) one.postMessage(message);
        return one as unknown as ReturnType<NonNullable<ThreadsOptions['worker']>>;
      };
      try {
        using apart = await loadInWorker(path);
        using alone = await loadAlone(path);
        return {
          ...(await compared(path, 5, { threads: 2, worker })),
          apart: (await bitsOf(apart, 9)) === (await bitsOf(alone, 9)),
        };
      } finally {
        clearInterval(noise);
        channel.close();
      }
    },

    /** Twenty models with threads one after another, and what a disposed one says. */
    async many(path: string) {
      const found: unknown[] = [];
      for (let i = 0; i < 20; i++) {
        const model = await loadModel(path, { threads: 3 });
        await bitsOf(model, i);
        found.push(model.threads);
        model.dispose();
        if (i === 19) found.push(await failure(bitsOf(model, 1)));
      }
      return found;
    },
  },
  { module: '/threads.js' },
);

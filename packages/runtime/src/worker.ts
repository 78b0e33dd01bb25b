/**
 * The entry `@grim/runtime/worker`: the same `loadModel`, the same `Model`, but the work is done in a worker. The page stays
 * alive whatever a file's code does: code that never ends is stopped by ending its worker.
 *
 * The page opens the source and hands its bytes on when the worker asks for them, so a source may be all that it may be
 * without a worker. While work is under way the page pings; a worker that computes for longer than `timeoutMs` in one piece
 * does not answer. What only takes long (a slow download, runs that pause) does.
 */
import type { FileManifest, InputInfo, TensorArray } from '@grim/ir';
import { elementCount, tagOf } from './dtypes.ts';
import { fail, RuntimeError } from './errors.ts';
import { checkOptions, type LoadOptions, type LoadProgress } from './load.ts';
import { type Model, type RunOptions, type Port as TensorPort, type Tensors, take } from './model.ts';
import { abortable, type ByteReader, type ModelSource, openSource } from './source.ts';
import { SYSTEM } from './system.ts';
import { type FromWorker, type Port, received, sent, type ToWorker } from './worker-messages.ts';

export type { DType, FileManifest, InputInfo, OutputInfo, TensorArray, WasmFamily } from '@grim/ir';
export { RuntimeError, type RuntimeErrorCode } from './errors.ts';
export type { LoadOptions, LoadProgress } from './load.ts';
export type { Model, RunOptions, Tensors } from './model.ts';
export type { ModelSource } from './source.ts';

/** A `Worker` of the browser, or one of `node:worker_threads`. */
export interface ModelWorker {
  // The ports of Node and of browsers are two types; `never` fits both.
  postMessage(message: unknown, transfer: never[]): void;
  terminate(): unknown;
}

export interface WorkerRunOptions<O = Tensors> extends RunOptions<O> {
  /** Gives the arrays of the inputs away where that saves a copy: they are empty afterwards. Default false. */
  readonly transfer?: boolean | undefined;
}

/** A model in a worker of its own; `dispose()` ends it. */
export interface WorkerModel<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors>
  extends Model<I, O> {
  run(inputs: I, options?: WorkerRunOptions<O>): Promise<O>;
}

export interface WorkerOptions extends LoadOptions {
  /**
   * Starts a worker that runs `@grim/runtime/worker-thread` and nothing else; it belongs to this model. By default the one
   * beside this file, which bundlers find by themselves.
   */
  readonly worker?: (() => ModelWorker) | undefined;
  /** How long the worker may compute in one piece, in milliseconds. Default 30,000; `Infinity` waits for ever. */
  readonly timeoutMs?: number | undefined;
}

/** Of the file, in one message. */
const PIECE_BYTES = 2 ** 18;
/** Between an answer and the next ping. */
const REST_MS = 1000;

type OwnPort = Port<ToWorker, FromWorker>;
type Listening = ModelWorker & {
  addEventListener?(type: string, listener: (event: { message?: string }) => void): void;
  on?(type: string, listener: (reason: unknown) => void): void;
  unref?(): void;
};

/**
 * Loads a compiled model into a worker of its own. Takes what `loadModel` of `@grim/runtime` takes, and gives a model with
 * the same methods, types and error codes.
 * @throws {RuntimeError} GRIM_RUNTIME_TIMEOUT when code of the file computes longer than `timeoutMs`; WORKER_LOST when the
 *   worker ends or does not start; and all that `loadModel` throws
 * @example
 * using model = await loadModel('/models/keywords.grim', { timeoutMs: 2000 });
 * const { logits } = await model.run({ audio });
 */
export async function loadModel<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors>(
  source: ModelSource,
  options: WorkerOptions = {},
): Promise<WorkerModel<I, O>> {
  const { worker: start = startWorker, timeoutMs = 30_000, ...rest } = options;
  const { signal, fetch, onProgress, ...plain } = rest;
  checkOptions(rest);
  if (!(timeoutMs > 0)) fail('BAD_OPTION', `loadModel: timeoutMs is ${timeoutMs}, more than 0 is needed.`);
  signal?.throwIfAborted();
  const reader = await openSource(source, { signal, fetch }, SYSTEM);
  let link: Link | undefined;
  try {
    link = connect(start, timeoutMs);
    const loaded = await abortable(link.load(reader, plain, onProgress), signal);
    return modelOf<I, O>(loaded, link);
  } catch (error) {
    reader.cancel(error);
    link?.end();
    throw error;
  }
}

type Loaded = Extract<FromWorker, { kind: 'loaded' }>;

interface Link {
  load(reader: ByteReader, options: LoadOptions, onProgress: LoadOptions['onProgress']): Promise<Loaded>;
  /** @param work  is given its number, and posts */
  ask(work: (id: number) => void): Promise<Tensors | undefined>;
  say(message: ToWorker, transfer?: Transferable[]): void;
  /** Ends the worker when nothing is under way any more. */
  dispose(): void;
  /** Ends the worker. */
  end(): void;
}

interface Waiting {
  readonly resolve: (message: never) => void;
  readonly reject: (error: unknown) => void;
}

function connect(start: () => ModelWorker, timeoutMs: number): Link {
  const { port1, port2 } = new MessageChannel();
  const port = port1 as unknown as OwnPort;
  /** Loading has the number 0. */
  const waiting = new Map<number, Waiting>();
  let next = 1;
  let dead: RuntimeError | undefined;
  let closing = false;
  let onMore = () => {};
  let onStage: (progress: LoadProgress) => void = () => {};

  const end = (error: RuntimeError) => {
    if (dead) return;
    dead = error;
    clearTimeout(timer);
    port.close();
    worker?.terminate();
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const lost = (why: unknown) =>
    end(
      new RuntimeError('GRIM_RUNTIME_WORKER_LOST', `model: its worker ended (${String(why)}).`, { why: String(why) }),
    );

  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked: number | undefined;
  const watch = () => {
    if (timeoutMs === Infinity || asked !== undefined || waiting.size === 0) return;
    clearTimeout(timer);
    asked = performance.now();
    port.postMessage({ kind: 'ping' }, []);
    timer = setTimeout(late, Math.min(timeoutMs, 2 ** 31 - 1));
  };
  const late = () => {
    // A page that slept wakes with all its timers run out: the answer may be there, unread.
    if (performance.now() - (asked as number) > 2 * timeoutMs) {
      asked = performance.now();
      timer = setTimeout(late, timeoutMs);
    } else
      end(
        new RuntimeError('GRIM_RUNTIME_TIMEOUT', `model: no answer for ${timeoutMs} ms; its worker was ended.`, {
          timeoutMs,
        }),
      );
  };
  const idle = () => {
    if (waiting.size > 0) return;
    clearTimeout(timer);
    asked = undefined;
    port.unref?.();
    if (closing) end(disposed());
  };
  const settle = (id: number, how: (one: Waiting) => void) => {
    const one = waiting.get(id);
    waiting.delete(id);
    if (one) how(one);
    idle();
  };
  const wait = <T>(id: number) =>
    new Promise<T>((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      port.ref?.();
    });

  port.onmessage = ({ data }) => {
    switch (data.kind) {
      case 'more':
        onMore();
        break;
      case 'progress':
        onStage(data.progress);
        break;
      case 'pong':
        asked = undefined;
        clearTimeout(timer);
        if (waiting.size > 0) timer = setTimeout(watch, REST_MS);
        break;
      case 'loaded':
        settle(0, ({ resolve }) => resolve(data as never));
        break;
      case 'done':
        settle(data.id, ({ resolve }) => resolve(data.outputs as never));
        break;
      case 'failed':
        settle(data.id ?? 0, ({ reject }) => reject(received(data.error)));
    }
  };

  let worker: Listening | undefined;
  try {
    worker = start();
    worker.addEventListener?.('error', ({ message = 'an error' }) => lost(message));
    worker.on?.('error', lost);
    worker.on?.('exit', (status) => lost(`status ${status}`));
    worker.unref?.();
    worker.postMessage({ port: port2 }, [port2 as never]);
  } catch (error) {
    lost(error);
  }

  const say: Link['say'] = (message, transfer = []) => {
    if (!dead) port.postMessage(message, transfer);
  };
  const ask: Link['ask'] = async (work) => {
    if (dead) throw dead;
    const result = wait<Tensors | undefined>(next);
    work(next++);
    watch();
    return result;
  };
  return {
    say,
    ask,
    async load(reader, options, onProgress) {
      if (dead) throw dead;
      onMore = () => {
        // As many bytes as one message takes; the last piece is shorter, and none come after it.
        const piece = new Uint8Array(PIECE_BYTES);
        reader.fill(piece).then(
          (length) => {
            const bytes = length > 0 ? piece.slice(0, length) : undefined;
            say({ kind: 'bytes', bytes }, bytes ? [bytes.buffer] : []);
          },
          (error: unknown) => say({ kind: 'bytes', error: sent(error) }),
        );
      };
      onStage = (progress) => {
        try {
          if (waiting.has(0)) onProgress?.(progress);
        } catch (error) {
          settle(0, ({ reject }) => reject(error));
        }
      };
      const result = wait<Loaded>(0);
      say({ kind: 'load', options, stage: reader.stage });
      watch();
      return result;
    },
    dispose() {
      closing = true;
      say({ kind: 'dispose' });
      idle();
    },
    end: () => end(disposed()),
  };
}

const disposed = () => new RuntimeError('GRIM_RUNTIME_DISPOSED', 'model: it was disposed.');

function modelOf<I extends Partial<Tensors>, O extends Partial<Tensors>>(
  loaded: Loaded,
  link: Link,
): WorkerModel<I, O> {
  const { device, simd, threads, reasons, bytes, manifest } = loaded;
  let alive = true;
  const check = () => {
    if (!alive) throw disposed();
  };
  const [ins, outs] = [portsOf(manifest, 'inputs'), portsOf(manifest, 'outputs')];
  const byName = (values: readonly InputInfo[]) => Object.fromEntries(values.map((value) => [value.name, value]));
  const ask = async (work: (id: number) => void, signal: AbortSignal | undefined) => {
    let number = 0;
    const stop = () => link.say({ kind: 'abort', id: number });
    signal?.addEventListener('abort', stop);
    try {
      return await link.ask((id) => {
        number = id;
        work(id);
      });
    } catch (error) {
      // What the worker's own signal threw stands for the reason of this one.
      if (signal?.aborted && !(error instanceof RuntimeError)) throw signal.reason;
      throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  };
  const dispose = () => {
    if (alive) link.dispose();
    alive = false;
  };
  return {
    device,
    simd,
    threads,
    reasons,
    bytes,
    manifest,
    inputs: byName(manifest.inputs) as Model<I, O>['inputs'],
    outputs: byName(manifest.outputs) as Model<I, O>['outputs'],
    async run(inputs: I, { signal, outputs, transfer }: WorkerRunOptions<O> = {}): Promise<O> {
      check();
      const given = take(inputs, ins, 'input');
      const into = outputs && take(outputs, outs, 'output');
      signal?.throwIfAborted();
      const arrays: Record<string, TensorArray> = Object.create(null);
      for (const [i, { name }] of ins.entries()) if (given[i]) arrays[name] = toSend(given[i], transfer);
      const buffers = Array.from(new Set(Object.values(arrays).map(({ buffer }) => buffer as ArrayBuffer)));
      const results = await ask(
        (id) => link.say({ kind: 'run', id, inputs: arrays, paced: signal !== undefined }, buffers),
        signal,
      );
      for (const [i, { name }] of outs.entries()) into?.[i]?.set(results?.[name] as never);
      return (outputs ?? results) as O;
    },
    async warmup({ signal } = {}) {
      check();
      signal?.throwIfAborted();
      await ask((id) => link.say({ kind: 'warmup', id, paced: signal !== undefined }), signal);
    },
    reset() {
      check();
      link.say({ kind: 'reset' });
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** A copy of the elements alone, or the array itself: cloning a view would send the whole buffer under it, or share it. */
function toSend(array: TensorArray, transfer: boolean | undefined): TensorArray {
  const { buffer, byteLength } = array;
  if (transfer && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) return array;
  // Of a subclass or another window's array, the kind that can be sent.
  const tag = tagOf(array);
  const Kind = (globalThis as unknown as Record<string, new (elements: TensorArray) => TensorArray>)[tag];
  return Kind ? new Kind(array) : array;
}

/** What the checks of inputs look at. */
function portsOf(manifest: FileManifest, which: 'inputs' | 'outputs'): TensorPort[] {
  const fed = new Set(manifest.states.map(({ input }) => input));
  return manifest[which].map((info) => {
    const data = { length: elementCount(info.shape) } as TensorArray;
    return { ...info, data, state: which === 'inputs' && fed.has(info.name) ? data : false };
  });
}

interface Threads {
  readonly Worker: new (file: URL) => ModelWorker;
}

function startWorker(): ModelWorker {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): Threads } };
  const threads = process?.getBuiltinModule?.('node:worker_threads');
  if (threads) return new threads.Worker(new URL('./worker-thread.js', import.meta.url));
  // In this very form bundlers see that there is a second file.
  return new Worker(new URL('./worker-thread.js', import.meta.url), { type: 'module' }) as unknown as ModelWorker;
}

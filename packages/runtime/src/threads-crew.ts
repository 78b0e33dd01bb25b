/**
 * A model whose groups of calls are shared among threads: its shared memory, the one thread that always works, the pool that
 * comes and goes, and what `model.threads` and `model.reasons` say of it.
 */
import { fail, quote, RuntimeError } from './errors.ts';
import { type LoadOptions, load } from './load.ts';
import { createEngine, type Engine, type Kernel, type Model, type Tensors } from './model.ts';
import type { ModelSource } from './source.ts';
import { SYSTEM, type System } from './system.ts';
import { takeGroups } from './threads-groups.ts';
import { withSharedMemory } from './threads-memory.ts';
import { type Pool, type PoolLimits, startPool } from './threads-pool.ts';
import type { Call, Setting } from './threads-share.ts';
import type { ModelWorker } from './worker.ts';

const DEFAULT_THREADS = 4;
const MOST_THREADS = 256;
/** How often threads that were lost are started anew. */
const MOST_RESTARTS = 3;

/** What `loadModel` of `@grim/runtime/threads` is, with limits that a test may lower. */
export async function loadWithThreads<I extends Partial<Tensors>, O extends Partial<Tensors>>(
  source: ModelSource,
  options: LoadOptions & { readonly threads?: number | undefined; readonly worker: () => ModelWorker },
  limits?: PoolLimits,
): Promise<Model<I, O>> {
  const { threads = 0, worker, ...rest } = options;
  if (!Number.isInteger(threads) || threads < 0 || threads > MOST_THREADS)
    fail('BAD_OPTION', `loadModel: threads is ${quote(threads)}, a whole number up to ${MOST_THREADS} is needed.`);
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  const asked = threads || Math.min(cores, DEFAULT_THREADS);
  const why = obstacle(asked, threads, rest);
  if (asked === 1 || why) {
    const model = await load<I, O>(source, rest, SYSTEM);
    return why ? { ...model, reasons: [...model.reasons, `threads: 1, ${why}`] } : model;
  }
  const crew = new Crew(asked, worker, limits);
  const model = await load<I, O>(source, rest, crew.system, crew.createEngine);
  await crew.start();
  return crew.modelOf(model);
}

function obstacle(asked: number, threads: number, { module }: LoadOptions): string | undefined {
  if (asked === 1) return threads === 0 ? 'this machine has one core' : undefined;
  if (module) return 'a module that was compiled elsewhere cannot share its memory';
  const { crossOriginIsolated } = globalThis as { crossOriginIsolated?: boolean };
  if (typeof SharedArrayBuffer === 'undefined' || crossOriginIsolated === false)
    return 'the page is not cross-origin isolated: add the headers COOP and COEP';
  return undefined;
}

/** A model's memory, groups and threads. */
class Crew {
  readonly #asked: number;
  readonly #worker: () => ModelWorker;
  readonly #limits: PoolLimits | undefined;
  readonly #reasons: string[] = [];
  #groups: readonly (readonly Call[])[] = [];
  #start: Setting | undefined;
  #module: WebAssembly.Module | undefined;
  #engine: Engine | undefined;
  #memory: WebAssembly.Memory | undefined;
  #constantBytes = 0;
  #pool: Pool | undefined;
  /** A pool that lost a thread, until it is stopped. */
  #lost: Pool | undefined;
  #restarts = 0;
  #disposed = false;
  /** While threads end and others start. */
  #mending: Promise<void> | undefined;
  /** Runs that began and are not over. */
  #running = 0;
  /** Why the threads must be started anew as soon as no run is under way. */
  #broken: string | undefined;

  constructor(asked: number, worker: () => ModelWorker, limits: PoolLimits | undefined) {
    this.#limits = limits;
    this.#asked = asked;
    this.#worker = worker;
  }

  /** Memory that threads share, and modules that take it. */
  readonly system: System = {
    ...SYSTEM,
    memory: (pages) => new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
    validate: (bytes) => SYSTEM.validate(withSharedMemory(bytes)),
    compile: (bytes) => SYSTEM.compile(withSharedMemory(bytes)),
    instantiate: (module, imports) => {
      this.#module = module;
      return SYSTEM.instantiate(module, imports);
    },
  };

  readonly createEngine: typeof createEngine = (manifest, memory, kernels, family) => {
    const { steps, groups } = takeGroups(manifest);
    const call = ([kernel = 0, ...args]: readonly number[]): Call => ({ kernel: kernels[kernel] as Kernel, args });
    this.#groups = groups.map((group) => group.map(call));
    this.#start = {
      module: this.#module as WebAssembly.Module,
      memory,
      kernels: manifest.kernels.map(({ name }) => name),
      groups,
    };
    this.#memory = memory;
    this.#constantBytes = manifest.constantBytes;
    const engine = createEngine(
      { ...manifest, steps, kernels: [...manifest.kernels, { name: '', parameters: 1 }] },
      memory,
      [...kernels, (group = 0) => this.#run(group)],
      family,
    );
    this.#engine = {
      ...engine,
      walk: (at, pause) => {
        // A run that was asked for before a thread was lost: that thread may still write.
        if (this.#broken && !this.#pool)
          throw new RuntimeError('GRIM_RUNTIME_WORKER_LOST', `model.run: ${this.#broken}`);
        this.#pool?.begin();
        try {
          return engine.walk(at, pause);
        } catch (error) {
          // What a group throws comes wrapped as a kernel that stopped.
          const { cause } = error as Error;
          if (cause instanceof RuntimeError) throw cause;
          throw error;
        } finally {
          this.#pool?.end();
        }
      },
    };
    return this.#engine;
  };

  /** Starts the threads and lets them prove themselves; whatever fails leaves one thread and a reason. */
  async start(): Promise<void> {
    this.#reasons.length = 0;
    const widest = Math.max(1, ...this.#groups.map(({ length }) => length));
    const threads = Math.min(this.#asked, widest);
    if (threads === 1) {
      this.#reasons.push('threads: 1, the model has no work to share: it is small, or was compiled so');
      return;
    }
    try {
      const expected = this.#outputs();
      const pool = await startPool({
        start: this.#start as Setting,
        groups: this.#groups,
        threads,
        worker: this.#worker,
        limits: this.#limits,
        onExit: (why) => this.#mend(why),
      });
      if (this.#disposed) await pool.stop();
      else this.#pool = pool;
      if (this.#pool && !equal(expected, this.#outputs())) {
        await this.#stop();
        this.#reasons.push('threads: 1, more of them gave other results');
      }
    } catch (error) {
      await this.#stop();
      this.#reasons.push(`threads: 1, ${(error as Error).message}`);
    }
  }

  modelOf<I extends Partial<Tensors>, O extends Partial<Tensors>>(model: Model<I, O>): Model<I, O> {
    const crew = this;
    const { reasons } = model;
    const dispose = () => {
      crew.#disposed = true;
      void crew.#stop();
      model.dispose();
    };
    /** After a loss nothing begins before the lost thread can no longer write. */
    const settled = async <T>(work: () => Promise<T>): Promise<T> => {
      if (crew.#mending) await crew.#mending;
      crew.#running++;
      try {
        return await work();
      } finally {
        crew.#running--;
        if (crew.#broken !== undefined) crew.#mend(crew.#broken);
      }
    };
    return {
      ...model,
      get threads() {
        return crew.#pool?.threads ?? 1;
      },
      get reasons() {
        return [...reasons, ...crew.#reasons];
      },
      run: (inputs, options) => settled(() => model.run(inputs, options)),
      warmup: (options) => settled(() => model.warmup(options)),
      dispose,
      [Symbol.dispose]: dispose,
    };
  }

  #run(group: number): void {
    const pool = this.#pool;
    if (pool)
      try {
        pool.run(group);
      } catch (error) {
        if ((error as RuntimeError).code === 'GRIM_RUNTIME_WORKER_LOST') {
          this.#broken = 'a thread was lost. Run again.';
          this.#lost = pool;
          this.#pool = undefined;
        }
        throw error;
      }
    else for (const { kernel, args } of this.#groups[group] ?? []) kernel.apply(undefined, args as number[]);
  }

  async #stop(): Promise<void> {
    const pool = this.#pool ?? this.#lost;
    this.#pool = undefined;
    this.#lost = undefined;
    await pool?.stop();
  }

  /** Starts all threads anew, when no run is under way. */
  #mend(why: string): void {
    if (this.#mending || this.#disposed) return;
    this.#broken = why;
    if (this.#running > 0) return;
    this.#mending = this.#stop().then(async () => {
      this.#broken = undefined;
      if (this.#restarts++ < MOST_RESTARTS) await this.start();
      else this.#reasons.push(`threads: 1, threads were lost too often (${why})`);
      this.#mending = undefined;
    });
  }

  /** Copies of what one seeded run gives; the arena is zeros before and after. */
  #outputs(): readonly Uint8Array[] {
    const { seed, walk, outputs } = this.#engine as Engine;
    const bytes = new Uint8Array((this.#memory as WebAssembly.Memory).buffer);
    seed();
    walk(0);
    const copies = outputs.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice());
    bytes.fill(0, this.#constantBytes);
    return copies;
  }
}

function equal(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.every((bytes, i) => bytes.every((byte, at) => byte === b[i]?.[at]));
}

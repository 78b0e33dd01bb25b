/**
 * The further threads of one model, seen from the thread that runs it: start, groups, watch, loss, end.
 *
 * The caller's thread works like all others and waits for the rest in the end; it never sleeps on anything, as a page's own
 * thread must not. What it waits for is bounded by a watch that counts time only while this thread itself is awake.
 */
import { RuntimeError } from './errors.ts';
import { type Call, CONTROL, CONTROL_BYTES, type Setting, STATE, work } from './threads-share.ts';
import type { ModelWorker } from './worker.ts';

/** Longer gaps between two looks at the clock are no time that a thread could have used: all of the page stood still. */
const GAP_MS = 50;
/** Browsers do not say when a worker has ended; kernels look for it at each round of their loops. */
const GRACE_MS = 100;

export interface PoolLimits {
  /** A call that is not finished after this, and after 20 times what this thread's own calls took, is lost. */
  readonly lostMs: number;
  /** For a script to load and say that it is there. */
  readonly startMs: number;
}

const LIMITS: PoolLimits = { lostMs: 1500, startMs: 5000 };

export interface Pool {
  /** Threads, this one included. */
  readonly threads: number;
  /** Wakes the threads: an inference begins. */
  begin(): void;
  end(): void;
  /** @throws {RuntimeError} GRIM_RUNTIME_WORKER_LOST, then the pool is of no use any more; TRAP */
  run(group: number): void;
  /** Ends all threads. @returns when none of them can touch the memory any more */
  stop(): Promise<void>;
}

type Listening = ModelWorker & {
  addEventListener?(type: string, listener: (event: { data?: unknown; message?: string }) => void): void;
  on?(type: string, listener: (data: unknown) => void): void;
  unref?(): void;
};

export interface PoolOptions {
  readonly start: Setting;
  /** As this thread calls them. */
  readonly groups: readonly (readonly Call[])[];
  readonly threads: number;
  readonly worker: () => ModelWorker;
  /** Called when a thread ended by itself. */
  readonly onExit: (why: string) => void;
  readonly limits?: PoolLimits | undefined;
}

/**
 * @returns when all threads are ready
 * @throws {RuntimeError} GRIM_RUNTIME_WORKER_LOST when one does not start in time
 */
export async function startPool(options: PoolOptions): Promise<Pool> {
  const { start, groups, threads, worker, onExit, limits: { lostMs, startMs } = LIMITS } = options;
  const control = new Int32Array(new SharedArrayBuffer(CONTROL_BYTES));
  // No other message of a worker counts as its answer.
  const session = `ready ${Math.random()}`;
  const workers: Listening[] = [];
  let stopped = false;
  let whole = false;
  let fallen: RuntimeError | undefined;
  const stop = async () => {
    stopped = true;
    Atomics.store(control, CONTROL.state, STATE.quit);
    Atomics.notify(control, CONTROL.left);
    const ends = workers.map((one) => one.terminate());
    const known = ends.every((end) => end instanceof Promise);
    await (known ? Promise.all(ends) : new Promise((resolve) => setTimeout(resolve, GRACE_MS)));
  };
  const begun = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const lost = (why: unknown) => {
        clearTimeout(timer);
        if (whole) {
          if (!stopped) onExit(String(why));
          return;
        }
        // Even behind its own answer: the others may not have given theirs.
        fallen ??= new RuntimeError('GRIM_RUNTIME_WORKER_LOST', `a thread did not start (${String(why)}).`, {
          why: String(why),
        });
        reject(fallen);
      };
      const timer = setTimeout(lost, startMs, `no answer for ${startMs / 1000} s`);
      const ready = (answer: unknown) => {
        if (answer !== session) return;
        clearTimeout(timer);
        resolve();
      };
      const one: Listening = worker();
      workers.push(one);
      one.addEventListener?.('error', ({ message = 'an error' }) => lost(message));
      one.addEventListener?.('message', ({ data }) => ready(data));
      one.on?.('error', lost);
      one.on?.('exit', (status) => lost(`status ${status}`));
      one.on?.('message', ready);
      one.postMessage({ ...start, control, session }, []);
    });
  try {
    await Promise.all(Array.from({ length: threads - 1 }, begun));
    if (fallen) throw fallen;
    whole = true;
  } catch (error) {
    await stop();
    throw error;
  }
  // From here on they keep no process alive.
  for (const one of workers) one.unref?.();

  let slowest = 0;
  const report = (ms: number) => {
    if (ms > slowest) slowest = ms;
  };
  const wake = () => {
    if (Atomics.load(control, CONTROL.parked) > 0) Atomics.notify(control, CONTROL.left);
  };
  return {
    threads,
    begin() {
      Atomics.store(control, CONTROL.state, STATE.run);
      wake();
    },
    end() {
      Atomics.store(control, CONTROL.state, STATE.rest);
    },
    run(group) {
      const calls = groups[group] as readonly Call[];
      if (calls.length === 0) return;
      Atomics.store(control, CONTROL.done, 0);
      Atomics.store(control, CONTROL.group, group);
      Atomics.store(control, CONTROL.left, calls.length);
      wake();
      slowest = 0;
      work(control, groups, report);
      let last = performance.now();
      let seen = -1;
      for (let waited = 0; ; ) {
        const done = Atomics.load(control, CONTROL.done);
        if (done === calls.length) break;
        const now = performance.now();
        waited = done === seen ? waited + Math.min(GAP_MS, now - last) : 0;
        seen = done;
        last = now;
        if (waited > Math.max(lostMs, 20 * slowest))
          throw new RuntimeError(
            'GRIM_RUNTIME_WORKER_LOST',
            `model.run: a thread did not answer for ${Math.round(waited)} ms. Run again: the threads are started anew.`,
            { waited, group },
          );
      }
      if (Atomics.exchange(control, CONTROL.trapped, 0) !== 0)
        throw new RuntimeError('GRIM_RUNTIME_TRAP', 'model.run: a kernel stopped.', { group });
    },
    stop,
  };
}

/**
 * The heartbeat of long computations: reports progress, gives way to the event loop (so that a page stays alive and a
 * Ctrl-C is heard) and stops when the caller cancels. It changes when something is computed, never what.
 */

/** The part of an `AbortSignal` that is needed; any `AbortSignal` fits. */
export interface CancelSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
}

export interface Pulse {
  /**
   * To be awaited at least every second or so of work.
   * @param done  share of the current step, 0 to 1
   * @throws the reason of the signal, once cancelled
   */
  beat(done: number): Promise<void>;
}

/** Milliseconds of work between two turns of the event loop. */
const TURN_MS = 40;

interface Host {
  setTimeout(run: () => void, ms: number): unknown;
  readonly performance: { now(): number };
}
// Node and browsers both have them; the language's own library does not declare them.
const host = globalThis as unknown as Host;

/** Milliseconds of a clock that never goes back. */
export function now(): number {
  return host.performance.now();
}

/** A pulse that tells `report`, at most about 25 times a second. */
export function pulse(signal?: CancelSignal, report?: (done: number) => void): Pulse {
  let last = now();
  return {
    async beat(done) {
      if (signal?.aborted) throw signal.reason;
      const time = now();
      if (time - last < TURN_MS) return;
      report?.(done);
      await new Promise<void>((resolve) => host.setTimeout(resolve, 0));
      last = now();
      if (signal?.aborted) throw signal.reason;
    },
  };
}

/** Never reports, never waits. */
export const SILENT: Pulse = { beat: () => Promise.resolve() };

/**
 * What all threads of a model do alike: take calls of the group that is open, and run them.
 *
 * One word holds how many calls of the open group nobody has taken yet. Whoever lowers it from n to n - 1 owns call number
 * `size - n`; the group cannot end, and the next cannot open, before that call is finished. So what a thread reads after it
 * took a call (which group is open) is the truth however long it had slept before, and no generation has to be counted.
 * A thread that takes nothing holds up nobody: nobody waits for it.
 */
import type { Kernel } from './model.ts';

export interface Call {
  readonly kernel: Kernel;
  readonly args: readonly number[];
}

/** Words of the control block, each in a cache line of its own. */
export const CONTROL = {
  /** Calls of the open group that nobody has taken. */
  left: 0,
  /** The open group. Written only while `left` is 0 and all calls taken are finished. */
  group: 16,
  /** Calls of the open group that are finished. */
  done: 32,
  /** Threads that sleep, or are about to. */
  parked: 48,
  /** One of {@link STATE}. */
  state: 64,
  /** Not 0: a kernel stopped. */
  trapped: 80,
} as const;

export const CONTROL_BYTES = 384;

export const STATE = {
  /** Nobody infers; threads go to sleep soon. */
  rest: 0,
  /** An inference is under way. */
  run: 1,
  /** Threads end. */
  quit: 2,
} as const;

/**
 * Takes and runs calls until none is left.
 * @param report  is told of each call, in milliseconds; only the thread that watches the others wants to know
 */
export function work(
  control: Int32Array,
  groups: readonly (readonly Call[])[],
  report?: (milliseconds: number) => void,
): boolean {
  let some = false;
  for (;;) {
    const left = Atomics.load(control, CONTROL.left);
    if (left === 0) return some;
    if (Atomics.compareExchange(control, CONTROL.left, left, left - 1) !== left) continue;
    const calls = groups[Atomics.load(control, CONTROL.group)] as readonly Call[];
    const { kernel, args } = calls[calls.length - left] as Call;
    some = true;
    const start = report && performance.now();
    try {
      kernel.apply(undefined, args as number[]);
    } catch {
      Atomics.store(control, CONTROL.trapped, 1);
    }
    Atomics.add(control, CONTROL.done, 1);
    if (start !== undefined) report?.(performance.now() - start);
  }
}

/** What a thread needs of the model. */
export interface Setting {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Exported functions, by number. */
  readonly kernels: readonly string[];
  /** For each group its calls: number of the kernel, then the arguments. */
  readonly groups: readonly (readonly (readonly number[])[])[];
}

/** The first message to a thread. */
export interface Start extends Setting {
  readonly control: Int32Array;
  /** What the thread answers when it is ready. */
  readonly session: string;
}

/**
 * What runs inside each further thread of a model: `@grim/runtime/threads` starts it. It never returns to its event loop:
 * it spins while an inference is under way and sleeps between two, until it is told to end or is terminated.
 */
import type { Kernel } from './model.ts';
import { CONTROL, STATE, type Start, work } from './threads-share.ts';

/** How long a thread without work spins before it sleeps: to wake costs about as much. */
const SPIN_MS = { run: 1, rest: 0.1 } as const;
/** A sleeper looks around this often, so that nothing can make it sleep for ever. */
const NAP_MS = 1000;
/** Looks at the clock once in so many rounds. */
const ROUNDS = 64;

function serve(start: Start, ready: () => void): void {
  const { module, memory, control, kernels, groups } = start;
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const functions = kernels.map((name) => exports[name] as Kernel);
  const calls = groups.map((group) =>
    group.map(([kernel = 0, ...args]) => ({ kernel: functions[kernel] as Kernel, args })),
  );
  ready();
  for (let last = performance.now(); ; ) {
    for (let i = 0; i < ROUNDS; i++) if (work(control, calls)) last = performance.now();
    const state = Atomics.load(control, CONTROL.state);
    if (state === STATE.quit) return;
    if (performance.now() - last < (state === STATE.run ? SPIN_MS.run : SPIN_MS.rest)) continue;
    // Whoever opens a group looks at `parked` after that, so one of the two sees the other.
    Atomics.add(control, CONTROL.parked, 1);
    Atomics.wait(control, CONTROL.left, 0, NAP_MS);
    Atomics.sub(control, CONTROL.parked, 1);
    last = performance.now();
  }
}

interface Parent {
  once(event: 'message', listener: (data: unknown) => void): void;
  postMessage(data: unknown): void;
}
/** Node hands over the message itself, a browser an event around it. */
const { process } = globalThis as {
  process?: { getBuiltinModule?(name: string): { readonly parentPort: Parent | null } };
};
const parent = process?.getBuiltinModule?.('node:worker_threads')?.parentPort;
const listen = () => {
  if (parent) parent.once('message', begin);
  else globalThis.addEventListener('message', ({ data }: MessageEvent) => begin(data), { once: true });
};
/** Whatever else is posted to workers (by tools that find all of them) is not for this one. */
const begin = (data: unknown) => {
  const start = data as Start | null | undefined;
  if (!(start?.control instanceof Int32Array)) return listen();
  serve(start, () => (parent ?? (globalThis as unknown as Parent)).postMessage(start.session));
};
listen();

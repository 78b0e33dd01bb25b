/**
 * The third entry, `@grim/runtime/profile`: runs a model call by call and takes the time of each. The very engine that
 * `loadModel` gives out does the work, so what is timed is what a run does.
 */
import type { FileManifest, WasmFamily, WeightsSection } from '@grim/ir';
import { pagesOf } from './artifact.ts';
import { fail } from './errors.ts';
import { supports } from './features.ts';
import { createEngine, type Kernel } from './model.ts';
import { readArtifact } from './read.ts';
import { SYSTEM } from './system.ts';
import { takeGroups } from './threads-groups.ts';
import { withSharedMemory } from './threads-memory.ts';
import { type Pool, startPool } from './threads-pool.ts';
import { expandWeights } from './weights.ts';
import type { ModelWorker } from './worker.ts';

/** A model that can be run call by call. */
export interface Profiler {
  readonly manifest: FileManifest;
  readonly simd: WasmFamily;
  /** Threads, this one included. */
  readonly threads: number;
  /** How many calls stand in `manifest.steps`, branches counted one after the other. */
  readonly calls: number;
  /**
   * Runs the model once on the inputs of its self-test, as a whole.
   * @param now  a clock; default `performance.now`
   * @returns the time it took, in the clock's unit
   */
  run(now?: () => number): number;
  /**
   * The same call by call: the time of each; 0 for those that a branch leaves out. Where threads share a group of calls, the
   * first has the time of all and the others 0.
   */
  runByCall(now?: () => number): Float64Array;
  /** Ends the threads. */
  dispose(): void;
}

export interface ProfilerOptions {
  readonly simd?: WasmFamily | undefined;
  /** Calls of a group are shared by so many threads, and no more than the file has work for. Default 1. */
  readonly threads?: number | undefined;
  /** Starts a worker that runs `@grim/runtime/threads-worker`; needed for more than one thread. */
  readonly worker?: (() => ModelWorker) | undefined;
}

/**
 * @param bytes  of a whole `.grim` file with its code in it
 * @throws {RuntimeError} GRIM_RUNTIME_BAD_ARTIFACT and what else `readArtifact` throws; GRIM_RUNTIME_MISSING_FEATURE;
 *   GRIM_RUNTIME_SELF_TEST when the results are wrong; GRIM_RUNTIME_WORKER_LOST when a thread does not start
 */
export async function openProfiler(bytes: Uint8Array, options: ProfilerOptions = {}): Promise<Profiler> {
  const { manifest, sections } = readArtifact(bytes);
  const { worker, threads = 1 } = options;
  const pages = pagesOf(manifest);
  const shared = worker && threads > 1 && takeGroups(manifest);
  const memory = shared
    ? new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    : SYSTEM.memory(pages);
  let address = 0;
  let code: { readonly family: WasmFamily; readonly bytes: Uint8Array } | undefined;
  for (const [i, section] of manifest.sections.entries()) {
    const content = sections[i] as Uint8Array;
    if (section.kind === 'wasm') {
      const { family } = section;
      if ((options.simd ? options.simd === family : family !== 'wide') && supports(family, SYSTEM.validate))
        code ??= { family, bytes: content };
    } else if (section.kind === 'weights') {
      // A copy: its place in the file fits no array of wider elements.
      expand(section, content.slice(), new Float32Array(memory.buffer, address, section.elements));
      address += 4 * section.elements;
    } else {
      new Uint8Array(memory.buffer, address).set(content);
      address += content.length;
    }
  }
  if (!code) fail('MISSING_FEATURE', 'openProfiler: no code in the file that this engine could run.');
  const content = new Uint8Array(code.bytes);
  const module = await SYSTEM.compile(shared ? withSharedMemory(content) : content);
  const { exports } = await SYSTEM.instantiate(module, { env: { memory } });
  const kernels = manifest.kernels.map(({ name }) => exports[name] as Kernel);
  const pool = shared ? await poolOf(shared.groups, { manifest, module, memory, kernels, threads, worker }) : undefined;
  const engine =
    shared && pool
      ? createEngine(
          { ...manifest, steps: shared.steps, kernels: [...manifest.kernels, { name: '', parameters: 1 }] },
          memory,
          [...kernels, (group = 0) => pool.run(group)],
          code.family,
        )
      : createEngine(manifest, memory, kernels, code.family);
  const within = <T>(work: () => T): T => {
    pool?.begin();
    try {
      return work();
    } finally {
      pool?.end();
    }
  };
  const failure = within(() => engine.selfTest());
  if (failure) {
    await pool?.stop();
    fail('SELF_TEST', 'openProfiler: this engine computes wrong results (self-test).', { failure });
  }
  const { ordinals, calls } = ordinalsOf(manifest, pool !== undefined);
  const oneStep = () => true;
  return {
    manifest,
    simd: code.family,
    threads: pool?.threads ?? 1,
    calls,
    run(now = SYSTEM.now) {
      engine.seed();
      return within(() => {
        const start = now();
        engine.walk(0);
        return now() - start;
      });
    },
    runByCall(now = SYSTEM.now) {
      engine.seed();
      const times = new Float64Array(calls);
      within(() => {
        for (let at = 0; at >= 0 && at < ordinals.length; ) {
          const ordinal = ordinals[at] as number;
          const start = now();
          at = engine.walk(at, oneStep);
          const end = now();
          if (ordinal >= 0) times[ordinal] = end - start;
        }
      });
      return times;
    },
    dispose() {
      void pool?.stop();
    },
  };
}

interface Shared {
  readonly manifest: FileManifest;
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly kernels: readonly Kernel[];
  readonly threads: number;
  readonly worker: () => ModelWorker;
}

function poolOf(
  groups: readonly (readonly (readonly number[])[])[],
  { manifest, module, memory, kernels, threads, worker }: Shared,
): Promise<Pool> {
  const widest = Math.max(1, ...groups.map(({ length }) => length));
  return startPool({
    start: { module, memory, kernels: manifest.kernels.map(({ name }) => name), groups },
    groups: groups.map((group) => group.map(([kernel = 0, ...args]) => ({ kernel: kernels[kernel] as Kernel, args }))),
    threads: Math.min(threads, widest),
    worker,
    // A loss shows in the next group.
    onExit: () => {},
  });
}

function expand(section: WeightsSection, stored: Uint8Array, target: Float32Array): void {
  if (section.encoding === 'f32') new Uint8Array(target.buffer, target.byteOffset, stored.length).set(stored);
  else expandWeights(section, stored, target);
}

/**
 * For each instruction of the engine's list: which call it is, -1 for a jump; and how many calls there are.
 * @param together  a group is one instruction, and has the number of its first call
 */
function ordinalsOf({ steps, kernels }: FileManifest, together: boolean): { ordinals: number[]; calls: number } {
  const ordinals: number[] = [];
  let calls = 0;
  const walk = (from: number, end: number) => {
    for (let at = from; at < end; ) {
      const kernel = steps[at] as number;
      if (kernel >= 0) {
        ordinals.push(calls++);
        at += 1 + (kernels[kernel]?.parameters ?? 0);
      } else if (kernel === -2) {
        const group = ordinals.length;
        const stop = at + 2 + (steps[at + 1] as number);
        walk(at + 2, stop);
        if (together) ordinals.length = group + 1;
        at = stop;
      } else {
        const [then = 0, otherwise = 0] = steps.slice(at + 2, at + 4);
        at += 4;
        ordinals.push(-1);
        walk(at, at + then);
        ordinals.push(-1);
        walk(at + then, at + then + otherwise);
        at += then + otherwise;
      }
    }
  };
  walk(0, steps.length);
  return { ordinals, calls };
}

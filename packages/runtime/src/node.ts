/**
 * The entry `@grim/runtime/node`: threads, and on request `wide`: V8's experimental flag that joins pairs of 128-bit
 * instructions to AVX2 ones, for which the compiler writes a module of its own. Whether an engine really does so, and does it
 * right, cannot be asked; so the wide module is compared with the normal one, results and time, before it is used.
 */
import type { TensorArray } from '@grim/ir';
import { elementCount, viewAs } from './dtypes.ts';
import type { LoadOptions } from './load.ts';
import type { Model, Tensors } from './model.ts';
import { fillSeeded } from './self-test.ts';
import { type ModelSource, openSource } from './source.ts';
import { SYSTEM } from './system.ts';
import { loadModel as loadThreads, type ThreadsOptions } from './threads.ts';

export type { DType, FileManifest, InputInfo, OutputInfo, TensorArray, WasmFamily } from '@grim/ir';
export { RuntimeError, type RuntimeErrorCode } from './errors.ts';
export type { LoadOptions, LoadProgress } from './load.ts';
export type { Model, RunOptions, Tensors } from './model.ts';
export type { ModelSource } from './source.ts';
export type { ModelWorker, ThreadsOptions } from './threads.ts';

export interface NodeOptions extends ThreadsOptions {
  /**
   * Uses 256-bit instructions where the file has a module for them (`compile(graph, { wide: true })`), the engine can, the
   * results agree with those of the normal module and it is faster. Sets V8's `--experimental-wasm-revectorize` for the whole
   * process: WebAssembly that is compiled later is joined too. Loading takes some runs more. Default false.
   */
  readonly wide?: boolean | undefined;
}

const FLAG = 'experimental-wasm-revectorize';
/** Seeds of the inputs on which both modules must agree. */
const SEEDS = [11, 12, 13];
/** An engine optimises code after some runs, in the background. */
const WARM_UP = { runs: 12, restMs: 15, atMostMs: 2000 } as const;
const ROUNDS = 7;
/** Less is noise. */
const LEAST_GAIN = 1.05;

/**
 * `loadModel` of `@grim/runtime/threads`, for Node, with `wide`. `model.simd` says whether wide instructions run, and
 * `model.reasons` why not.
 * @throws {RuntimeError} what `loadModel` of `@grim/runtime/threads` throws
 * @example
 * using model = await loadModel('resnet18.grim', { wide: true, threads: 2 });
 * console.log(model.simd, model.threads, model.reasons);
 */
export async function loadModel<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors>(
  source: ModelSource,
  { wide = false, ...options }: NodeOptions = {},
): Promise<Model<I, O>> {
  if (!wide || options.simd) return loadThreads<I, O>(source, options);
  const bytes = await readAll(source, options);
  // Progress counts once, for the model that is given out.
  const { onProgress: _, ...quiet } = options;
  const why = await obstacle(bytes, { ...quiet, threads: 1 });
  const model = await loadThreads<I, O>(bytes, why === undefined ? { ...options, simd: 'wide' } : options);
  if (why === undefined) return model;
  // `threads` of the model may change: a copy of its value would not.
  return Object.defineProperty(model, 'reasons', { value: [...model.reasons, `simd: ${why}`], enumerable: true });
}

/** Why wide instructions are not used; undefined when they are. */
async function obstacle(bytes: Uint8Array, options: ThreadsOptions): Promise<string | undefined> {
  // First and without the flag, so that the engine does not join the instructions of the normal module.
  using normal = await loadThreads(bytes, options);
  if (!normal.manifest.sections.some((section) => section.kind === 'wasm' && section.family === 'wide'))
    return 'the file has no wide module: compile it with wide';
  if (normal.simd !== 'relaxed') return 'wide instructions need relaxed SIMD';
  const runs = SEEDS.map((seed) => seededInputs(normal, seed));
  const expected: Tensors[] = [];
  for (const inputs of runs) {
    expected.push(await normal.run(inputs));
    normal.reset();
  }
  await warmUp(normal, runs[0] as Tensors);
  if (!setFlag(true)) return 'this engine has no such flag';
  let why: string | undefined;
  try {
    using wide = await loadThreads(bytes, { ...options, simd: 'wide' });
    await warmUp(wide, runs[0] as Tensors);
    for (const [i, inputs] of runs.entries()) {
      wide.reset();
      const found = await wide.run(inputs);
      if (!agree(normal, expected[i] as Tensors, found)) why ??= 'wide instructions gave other results';
    }
    why ??= await slower(normal, wide, runs[0] as Tensors);
  } catch (error) {
    why = `wide instructions failed (${String(error)})`;
  }
  if (why !== undefined) setFlag(false);
  return why;
}

async function slower(normal: Model, wide: Model, inputs: Tensors): Promise<string | undefined> {
  const best = [Infinity, Infinity];
  for (let round = 0; round < ROUNDS; round++)
    for (const [i, model] of [normal, wide].entries()) {
      const start = clock();
      await model.run(inputs);
      best[i] = Math.min(best[i] as number, clock() - start);
    }
  const [before = 0, after = 0] = best;
  return before >= LEAST_GAIN * after
    ? undefined
    : `wide instructions are not faster here (${after.toFixed(2)} ms, ${before.toFixed(2)} ms without)`;
}

/** Milliseconds that this thread has computed, where Node tells: other work of the machine does not count. */
function clock(): number {
  const { process } = globalThis as { process?: { threadCpuUsage?(): { user: number; system: number } } };
  const used = process?.threadCpuUsage?.();
  return used ? (used.user + used.system) / 1000 : SYSTEM.now();
}

async function warmUp(model: Model, inputs: Tensors): Promise<void> {
  const end = SYSTEM.now() + WARM_UP.atMostMs;
  for (let i = 0; i < WARM_UP.runs && SYSTEM.now() < end; i++) {
    await model.run(inputs);
    await new Promise((resolve) => setTimeout(resolve, WARM_UP.restMs));
  }
}

/** Outputs of reals within the tolerance of the file's self-test; those of other types where there are no reals, exactly. */
function agree({ manifest: { outputs, selfTest } }: Model, expected: Tensors, found: Tensors): boolean {
  const reals = outputs.filter(({ dtype }) => dtype === 'float32' || dtype === 'float64');
  const { absoluteTolerance, relativeTolerance } = selfTest;
  const close = (a: number, b: number) =>
    Object.is(a, b) || Math.abs(a - b) <= absoluteTolerance + relativeTolerance * Math.abs(a);
  return (reals.length > 0 ? reals : outputs).every(({ name, dtype }) => {
    const [a, b] = [expected[name], found[name]] as [TensorArray, TensorArray];
    for (let i = 0; i < a.length; i++) {
      if (dtype === 'float32' || dtype === 'float64' ? close(a[i] as number, b[i] as number) : a[i] === b[i]) continue;
      return false;
    }
    return true;
  });
}

function seededInputs({ manifest: { inputs, states } }: Model, seed: number): Tensors {
  const given = inputs
    .filter(({ name }) => !states.some(({ input }) => input === name))
    .map(({ name, dtype, shape }) => {
      const elements = elementCount(shape);
      return { name, dtype, data: viewAs(dtype, new ArrayBuffer(8 * elements), 0, elements) };
    });
  fillSeeded(given, seed);
  return Object.fromEntries(given.map(({ name, data }) => [name, data]));
}

async function readAll(source: ModelSource, options: LoadOptions): Promise<Uint8Array> {
  const reader = await openSource(source, options, SYSTEM);
  const pieces: Uint8Array[] = [];
  for (let more = true; more && reader.taken <= (options.maxBytes ?? 2 ** 31); ) {
    const piece = new Uint8Array(2 ** 20);
    const length = await reader.fill(piece);
    pieces.push(piece.subarray(0, length));
    more = length === piece.length;
  }
  const bytes = new Uint8Array(reader.taken);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

interface V8 {
  setFlagsFromString(flags: string): void;
}

/** @returns false where there is no V8 */
function setFlag(on: boolean): boolean {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): V8 | undefined } };
  const v8 = process?.getBuiltinModule?.('node:v8');
  v8?.setFlagsFromString(`--${on ? '' : 'no-'}${FLAG}`);
  return v8 !== undefined;
}

/**
 * A model that is ready: its memory, its kernels, the walk through its steps.
 *
 * A run without a signal is synchronous inside its promise: nothing can come between. A run with a signal lets the event
 * loop turn now and then; runs that are asked for meanwhile wait, in order, with copies of their inputs.
 */
import type { FileManifest, InputInfo, OutputInfo, TensorArray, WasmFamily } from '@grim/ir';
import { arrayName, elementCount, tagOf, viewAs } from './dtypes.ts';
import { didYouMean, fail, quote } from './errors.ts';
import { fillSeeded, findMismatch } from './self-test.ts';
import type { System } from './system.ts';

/** A run with a signal lets the event loop turn after this many milliseconds. */
const SLICE_MS = 12;

export type Tensors = Record<string, TensorArray>;

declare const ELEMENTS: unique symbol;

/**
 * An array of which the compiler may know how many elements it has; types that are made from a model use it. One of another
 * known length does not compile; one of unknown length (`new Float32Array(n)`) does, and `run` looks.
 */
export type Sized<A extends TensorArray, N extends number> = A & { readonly [ELEMENTS]?: N };

export interface RunOptions<O = Tensors> {
  /** Arrays to write to; then these outputs alone are written, and this very object is what `run` gives. */
  readonly outputs?: Partial<O> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type Kernel = (...args: readonly number[]) => void;

/** A call; or a jump to `next`, always or when the byte at `condition` is 0. */
interface Instruction {
  readonly kernel?: Kernel;
  readonly args?: readonly number[];
  readonly condition?: number;
  next?: number;
}

export interface Port extends InputInfo {
  /** The place in the model's memory. */
  readonly data: TensorArray;
  /** Inputs that are states: what the next run gets. Kept outside of the memory, whose bytes a run may use again. */
  readonly state?: TensorArray | false;
}

export interface Engine {
  readonly family: WasmFamily;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Runs steps from `at` on until the end, or until `pause` says so. @returns where to go on; -1 at the end */
  walk(at: number, pause?: () => boolean): number;
  /** Writes the inputs of the self-test, and zeros as states. */
  seed(): void;
  /** Sets up, and runs once. What is wrong, or undefined; or a promise of it. The arena is zeros afterwards, as in a fresh memory. */
  selfTest(): unknown;
}

export function createEngine(
  manifest: FileManifest,
  { buffer }: WebAssembly.Memory,
  kernels: readonly Kernel[],
  family: WasmFamily,
): Engine {
  const bytes = new Uint8Array(buffer);
  const setup = flatten(manifest, kernels, manifest.setup?.steps);
  const main = flatten(manifest, kernels, manifest.steps);
  const port = (info: InputInfo): Port => {
    const data = viewAs(info.dtype, buffer, info.offset, elementCount(info.shape));
    return { ...info, data, state: manifest.states.some(({ input }) => input === info.name) && data.slice() };
  };
  const inputs = manifest.inputs.map(port);
  const outputs = manifest.outputs.map(port);
  const walk = (at: number, pause?: () => boolean, code = main): number => {
    for (let i = at; i < code.length; ) {
      const { kernel, args, condition, next = 0 } = code[i] as Instruction;
      if (kernel)
        try {
          kernel.apply(undefined, args as number[]);
          i++;
        } catch (error) {
          fail('TRAP', `model.run: a kernel stopped (${String(error)}).`, { step: i }, error);
        }
      else i = condition !== undefined && bytes[condition] ? i + 1 : next;
      if (pause?.()) return i;
    }
    return -1;
  };
  const seed = () => {
    for (const { data, state } of inputs) if (state) data.fill(0 as never);
    fillSeeded(
      inputs.filter(({ state }) => !state),
      manifest.selfTest.seed,
    );
  };
  return {
    family,
    inputs,
    outputs,
    walk,
    seed,
    selfTest() {
      try {
        walk(0, undefined, setup);
        seed();
        walk(0);
        return findMismatch(manifest.selfTest, new Map(outputs.map(({ name, data }) => [name, data])));
      } catch (error) {
        return { trap: String(error) };
      } finally {
        bytes.fill(0, manifest.constantBytes);
      }
    },
  };
}

function flatten(
  { kernels }: FileManifest,
  functions: readonly Kernel[],
  steps: readonly number[] = [],
): Instruction[] {
  const code: Instruction[] = [];
  const push = (instruction: Instruction) => {
    code.push(instruction);
    return instruction;
  };
  const walk = (from: number, end: number) => {
    for (let at = from; at < end; ) {
      const index = steps[at++] as number;
      if (index === -2) {
        // A group: its calls in order.
        at++;
        continue;
      }
      const next = at + (kernels[index]?.parameters ?? 3);
      const args = steps.slice(at, next);
      at = next;
      if (index >= 0) push({ kernel: functions[index] as Kernel, args });
      else {
        const [condition, then, otherwise] = args as [number, number, number];
        const test = push({ condition });
        walk(at, at + then);
        const over = push({});
        test.next = code.length;
        walk(at + then, at + then + otherwise);
        over.next = code.length;
        at += then + otherwise;
      }
    }
  };
  walk(0, steps.length);
  return code;
}

/**
 * A loaded model. One memory of fixed size holds all it needs; `dispose()` (or `using`) lets go of it.
 * @typeParam I  arrays by input name
 * @typeParam O  arrays by output name
 */
export interface Model<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors> extends Disposable {
  /** What runs it. */
  readonly device: 'wasm';
  readonly simd: WasmFamily;
  readonly threads: number;
  /** Why the device, the instructions or the threads are not the best there are; empty when they are. */
  readonly reasons: readonly string[];
  /** By name: element type, shape, and how images become numbers. */
  readonly inputs: { readonly [K in keyof I]-?: InputInfo };
  readonly outputs: { readonly [K in keyof O]-?: OutputInfo };
  /** What it takes: weights and tables, activations, and the whole memory in pages of 64 KiB. */
  readonly bytes: { readonly constants: number; readonly arena: number; readonly memory: number };
  /** What the compiler said of the model: layers, kernels, producer. */
  readonly manifest: FileManifest;

  /**
   * Runs the model once. Inputs are copied, outputs are fresh copies, or go into the arrays of `options.outputs`; then
   * nothing of the size of a tensor is allocated. Inputs that are states may be left out: they hold what the last run
   * left, zeros at first. NaN and infinities pass as arithmetic says.
   * @throws {RuntimeError} GRIM_RUNTIME_BAD_INPUT, DISPOSED, TRAP; the signal's reason, at most one step late
   */
  run(inputs: I, options?: RunOptions<O>): Promise<O>;
  /** Runs the model once on made-up inputs, so that the engine has optimised its code. States are left alone. */
  warmup(options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
  /** Sets all states to zeros; at once, also for runs that still wait. */
  reset(): void;
  /** Lets go of the memory. Runs that wait are rejected. A second call does nothing. */
  dispose(): void;
}

export function createModel<I extends Partial<Tensors>, O extends Partial<Tensors>>(
  manifest: FileManifest,
  reasons: readonly string[],
  loaded: Engine,
  memory: number,
  system: System,
): Model<I, O> {
  let engine: Engine | undefined = loaded;
  /** The last of the runs that wait or pause; none when `pending` is 0. */
  let last: Promise<unknown> | undefined;
  let pending = 0;
  /** Counts resets: a run that began before one must not write its states after it. */
  let resets = 0;
  const alive = () => engine ?? fail('DISPOSED', 'model: it was disposed.');
  const byName = (values: readonly InputInfo[]) => Object.fromEntries(values.map((value) => [value.name, value]));

  const keepStates = ({ inputs, outputs }: Engine, before: number) => {
    for (const { input, output } of before === resets ? manifest.states : []) {
      const from = outputs.find(({ name }) => name === output) as Port;
      const into = inputs.find(({ name }) => name === input) as Port;
      (into.state as TensorArray).set(from.data as never);
    }
  };
  const enqueue = <T>(work: () => Promise<T>): Promise<T> => {
    const result = pending++ ? (last as Promise<unknown>).then(work) : work();
    const done = () => {
      pending--;
    };
    last = result.then(done, done);
    return result;
  };
  /** One run that pauses when there is a signal, which only the event loop can abort. */
  const paced = async (begin: (engine: Engine) => void, signal: AbortSignal | undefined, keep?: boolean) => {
    const now = alive();
    signal?.throwIfAborted();
    const before = resets;
    begin(now);
    let start = system.now();
    const pause = () => Math.abs(system.now() - start) > SLICE_MS;
    for (let at = 0; ; ) {
      at = now.walk(at, signal && pause);
      if (at < 0) break;
      await system.pause();
      signal?.throwIfAborted();
      alive();
      start = system.now();
    }
    if (keep) keepStates(now, before);
  };

  const dispose = () => {
    engine = undefined;
  };

  return {
    device: 'wasm',
    simd: loaded.family,
    threads: 1,
    reasons,
    inputs: byName(manifest.inputs) as Model<I, O>['inputs'],
    outputs: byName(manifest.outputs) as Model<I, O>['outputs'],
    bytes: { constants: manifest.constantBytes, arena: manifest.arenaBytes, memory },
    manifest,
    async run(inputs, { signal, outputs } = {}) {
      const now = alive();
      // Getters of the caller run here, before anything is touched.
      let given = take(inputs, now.inputs, 'input');
      const into = outputs && take(outputs, now.outputs, 'output');
      signal?.throwIfAborted();
      const begin = (to: Engine) => {
        for (const [i, { data, state }] of to.inputs.entries()) data.set((given[i] ?? state) as never);
      };
      const finish = () => {
        for (const [i, { data }] of now.outputs.entries()) into?.[i]?.set(data as never);
        return (outputs ?? Object.fromEntries(now.outputs.map(({ name, data }) => [name, data.slice()]))) as O;
      };
      if (!pending && !signal) {
        const before = resets;
        begin(now);
        now.walk(0);
        keepStates(now, before);
        return finish();
      }
      if (pending) given = given.map((array) => array?.slice());
      return enqueue(() => paced(begin, signal, true).then(finish));
    },
    async warmup({ signal } = {}) {
      alive();
      await enqueue(() => paced(({ seed }) => seed(), signal));
    },
    reset() {
      resets++;
      for (const { state } of alive().inputs) if (state) state.fill(0 as never);
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** The arrays for `ports`, each checked: known names, the right kind of array, the right length. */
export function take(tensors: unknown, ports: readonly Port[], what: 'input' | 'output'): (TensorArray | undefined)[] {
  if (typeof tensors !== 'object' || tensors === null || ArrayBuffer.isView(tensors))
    fail('BAD_INPUT', `model.run: ${what}s are an object of arrays by name.`);
  const names = ports.map(({ name }) => name);
  for (const key of Object.keys(tensors))
    if (!names.includes(key))
      fail(
        'BAD_INPUT',
        `model.run: no ${what} ${quote(key)} among ${names.map(quote).join(', ')}.${didYouMean(key, names)}`,
        { [what]: key },
      );
  return ports.map(({ name, dtype, shape, data, state }) => {
    const array = Object.hasOwn(tensors, name) ? (tensors as Record<string, unknown>)[name] : undefined;
    const bad = (found: string, needed: string | number): never =>
      fail('BAD_INPUT', `model.run: ${what} ${quote(name)} ${found}, ${dtype} [${shape.join(', ')}] needs ${needed}.`, {
        [what]: name,
        needed,
      });
    const wanted = arrayName(dtype);
    if (array === undefined) return what === 'output' || state ? undefined : bad('is missing', wanted);
    // By the built-in tag: arrays of other windows count, and pixels of a canvas are bytes.
    const tag = tagOf(array).replace('Clamped', '');
    if (tag !== wanted || !ArrayBuffer.isView(array)) bad(`is ${tag}`, wanted);
    const { length, buffer } = array as TensorArray;
    if ((buffer as { detached?: boolean }).detached) bad('is detached', wanted);
    if (length !== data.length) bad(`has ${length} elements`, data.length);
    return array as TensorArray;
  });
}

/**
 * The entry `@grim/runtime/webgpu`: the same `loadModel`, for files that hold shaders beside their modules.
 *
 * A model is always loaded for WebAssembly first: that checks the file, unpacks its constants and leaves them on the CPU, so
 * that a device that is lost costs a run and no download. `device: 'auto'` then takes a GPU where one computes the file's
 * self-test, and WebAssembly anywhere else; `model.reasons` says why.
 */
import type { FileManifest, TensorArray } from '@grim/ir';
import { fail, quote, RuntimeError } from './errors.ts';
import { type LoadOptions, load } from './load.ts';
import { createEngine, type Engine, type Model, type Port, type RunOptions, type Tensors, take } from './model.ts';
import type { ModelSource } from './source.ts';
import { SYSTEM } from './system.ts';
import { type GpuSession, type GpuTensor, openSession, type Timing } from './webgpu-device.ts';
import { selfTestInSlices } from './webgpu-pace.ts';

export type { DType, FileManifest, InputInfo, OutputInfo, TensorArray, WasmFamily } from '@grim/ir';
export { RuntimeError, type RuntimeErrorCode } from './errors.ts';
export type { LoadOptions, LoadProgress } from './load.ts';
export type { Model, RunOptions, Tensors } from './model.ts';
export type { ModelSource } from './source.ts';
export type { GpuTensor, Timing } from './webgpu-device.ts';

export interface WebGpuOptions extends Omit<LoadOptions, 'device'> {
  /** `auto`, the default: a GPU where it can be, else WebAssembly. `webgpu` fails where there is none. */
  readonly device?: 'auto' | 'webgpu' | 'wasm' | undefined;
  /** A device of yours: inputs and outputs may be buffers of it, and it stays yours. Without it the model has one of its own. */
  readonly gpu?: GPUDevice | undefined;
  /** Asks the adapter for timestamps, for `model.profile`. */
  readonly profile?: boolean | undefined;
  /** Milliseconds without an answer of the device after which it counts as lost. Default 60,000. */
  readonly patience?: number | undefined;
}

export interface WebGpuRunOptions<O = Tensors> extends Omit<RunOptions<O>, 'outputs'> {
  /** Arrays or buffers to write to; then these outputs alone are written, and this very object is what `run` gives. */
  readonly outputs?: { readonly [K in keyof O]?: O[K] | GPUBuffer } | undefined;
}

export interface WebGpuModel<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors>
  extends Omit<Model<I, O>, 'device' | 'run' | 'warmup'> {
  /** What the next run runs on. */
  readonly device: 'webgpu' | 'wasm';
  /** Of all buffers on the device. */
  readonly gpuBytes: number;
  /**
   * As `Model.run`. On a GPU inputs and outputs may be buffers of the device (of at least as many bytes, rounded up to 4; with
   * the usages COPY_SRC, COPY_DST).
   * @throws {RuntimeError} also GRIM_RUNTIME_DEVICE_LOST, OUT_OF_MEMORY, SHADER; with `auto` such a run is done again on
   *   WebAssembly, as are all later ones
   */
  run(inputs: { readonly [K in keyof I]?: I[K] | GPUBuffer }, options?: WebGpuRunOptions<O>): Promise<O>;
  warmup(): Promise<void>;
  /**
   * A run whose outputs are dropped: what every dispatch took on the device, in order; of the first 2,048.
   * @throws {RuntimeError} GRIM_RUNTIME_MISSING_FEATURE on WebAssembly, and where the device has no timestamps
   */
  profile(inputs: { readonly [K in keyof I]?: I[K] | GPUBuffer }): Promise<readonly Timing[]>;
}

/** How often a device that was lost is asked for again. */
const MOST_TRIES = 3;

/**
 * Loads a compiled model and puts it on a GPU.
 * @throws {RuntimeError} what `loadModel` of `@grim/runtime` throws; with `device: 'webgpu'` also NO_DEVICE, MISSING_FEATURE,
 *   DEVICE_LOST, OUT_OF_MEMORY, SHADER, SELF_TEST of the device
 * @example
 * using model = await loadModel('/models/mobilenet.grim');
 * console.log(model.device, model.reasons);
 */
export async function loadModel<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors>(
  source: ModelSource,
  options: WebGpuOptions = {},
): Promise<WebGpuModel<I, O>> {
  const { device = 'auto', gpu, patience, profile, ...rest } = options;
  if (!['auto', 'webgpu', 'wasm'].includes(device))
    fail('NO_DEVICE', `loadModel: no device ${quote(device)}, only "auto", "webgpu" and "wasm".`);
  let taken: Taken | undefined;
  const start: typeof createEngine = (manifest, memory, kernels, family) => {
    const engine = createEngine(manifest, memory, kernels, family);
    taken = { engine, constants: new Uint8Array(memory.buffer, 0, manifest.constantBytes) };
    if (device === 'wasm') return engine;
    const setup = createEngine({ ...manifest, steps: manifest.setup?.steps ?? [] }, memory, kernels, family);
    return { ...engine, selfTest: () => selfTestInSlices(engine, setup, manifest, memory) };
  };
  const model = await load<I, O>(source, rest, SYSTEM, start);
  const runner = new Runner(model as unknown as Model, taken as Taken, device === 'auto', () =>
    openSession(model.manifest, (taken as Taken).engine, (taken as Taken).constants, {
      gpu,
      patience,
      profile,
      signal: rest.signal,
    }),
  );
  try {
    if (device !== 'wasm') await runner.start();
  } catch (error) {
    model.dispose();
    throw error;
  }
  return runner.model() as unknown as WebGpuModel<I, O>;
}

/** What the loader had in its hands. */
interface Taken {
  readonly engine: Engine;
  readonly constants: Uint8Array;
}

class Runner {
  readonly #wasm: Model;
  readonly #engine: Engine;
  readonly #auto: boolean;
  readonly #open: () => Promise<GpuSession>;
  readonly #reasons: string[];
  readonly #manifest: FileManifest;
  /** What the next run gets as states, by input. */
  readonly #states = new Map<string, TensorArray>();
  #session: GpuSession | undefined;
  /** The session that has the states of the next run. */
  #fresh: GpuSession | undefined;
  #wantsGpu = false;
  #disposed = false;
  #tries = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(wasm: Model, { engine }: Taken, auto: boolean, open: () => Promise<GpuSession>) {
    this.#wasm = wasm;
    this.#engine = engine;
    this.#auto = auto;
    this.#open = open;
    this.#reasons = [...wasm.reasons];
    this.#manifest = wasm.manifest;
    this.#clear();
  }

  async start(): Promise<void> {
    this.#wantsGpu = true;
    try {
      this.#session = await this.#open();
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /** With `auto` WebAssembly takes over, once and for all; otherwise the error is the caller's. */
  #giveUp(error: unknown): void {
    this.#session?.close();
    this.#session = undefined;
    if (!this.#auto || !(error instanceof RuntimeError) || error.code === 'GRIM_RUNTIME_BAD_ARTIFACT') throw error;
    this.#wantsGpu = false;
    this.#reasons.push(`device: wasm, ${error.message}`);
  }

  #clear(): void {
    this.#fresh = undefined;
    for (const { name, data, state } of this.#engine.inputs)
      if (state) this.#states.set(name, data.slice().fill(0 as never) as TensorArray);
  }

  model(): WebGpuModel {
    const { inputs, outputs, bytes, manifest, simd, threads } = this.#wasm;
    const runner = this;
    const dispose = () => {
      this.#disposed = true;
      this.#session?.close();
      this.#session = undefined;
      this.#wasm.dispose();
    };
    return {
      get device() {
        return runner.#wantsGpu ? 'webgpu' : 'wasm';
      },
      get gpuBytes() {
        return runner.#session?.bytes ?? 0;
      },
      get reasons() {
        return [...runner.#reasons];
      },
      ...{ inputs, outputs, bytes, manifest, simd, threads, dispose },
      run: (given, options) => this.#run(given, options),
      warmup: () => this.#enqueue(() => this.#warmup()),
      profile: (given) => this.#profile(given),
      reset: () => {
        this.#alive();
        this.#clear();
      },
      [Symbol.dispose]: dispose,
    };
  }

  #alive(): void {
    if (this.#disposed) fail('DISPOSED', 'model: it was disposed.');
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(() => {
      this.#alive();
      return work();
    });
    this.#last = result.catch(() => {});
    return result;
  }

  async #run(given: Readonly<Record<string, unknown>>, { outputs, signal }: WebGpuRunOptions = {}): Promise<Tensors> {
    this.#alive();
    const inputs = arranged(given, this.#engine.inputs, 'input').map((value) =>
      isArray(value) ? value.slice() : value,
    );
    const into = outputs && arranged(outputs, this.#engine.outputs, 'output');
    signal?.throwIfAborted();
    return this.#enqueue(async () => {
      signal?.throwIfAborted();
      const complete = inputs.map((value, i) => value ?? this.#states.get(this.#engine.inputs[i]?.name ?? ''));
      const buffers = (into ?? []).map((value) => (value && !isArray(value) ? value : undefined));
      const kept = inputs.map((value, i) => value === undefined && Boolean(this.#engine.inputs[i]?.state));
      const found = await this.#compute(complete as GpuTensor[], buffers, kept);
      for (const { input, output } of this.#manifest.states) {
        const state = found[this.#manifest.outputs.findIndex(({ name }) => name === output)];
        if (state) this.#states.get(input)?.set(state as never);
      }
      if (into && outputs) {
        for (const [i, target] of into.entries()) if (isArray(target)) target.set(found[i] as never);
        return outputs as Tensors;
      }
      return Object.fromEntries(this.#manifest.outputs.map(({ name }, i) => [name, found[i]])) as Tensors;
    });
  }

  async #profile(given: Readonly<Record<string, unknown>>): Promise<readonly Timing[]> {
    this.#alive();
    const inputs = arranged(given, this.#engine.inputs, 'input');
    return this.#enqueue(async () => {
      const session = this.#session;
      if (!session) fail('MISSING_FEATURE', 'model.profile: the model does not run on WebGPU.');
      const timings: Timing[] = [];
      const complete = inputs.map((value, i) => value ?? this.#states.get(this.#engine.inputs[i]?.name ?? ''));
      // What it leaves as states is not for the next run.
      this.#fresh = undefined;
      await session.run(complete, [], timings);
      return timings;
    });
  }

  /** @param kept  inputs that are states of the run before */
  async #compute(
    inputs: readonly GpuTensor[],
    outputs: readonly (GPUBuffer | undefined)[],
    kept: readonly boolean[] = [],
  ) {
    if (this.#wantsGpu)
      try {
        if (!this.#session) {
          if (this.#tries++ >= MOST_TRIES) fail('DEVICE_LOST', `webgpu: the device was lost ${MOST_TRIES} times.`);
          this.#session = await this.#open();
        }
        const session = this.#session;
        const resident = this.#fresh === session;
        this.#fresh = undefined;
        const given = inputs.map((value, i) => (resident && kept[i] ? undefined : value));
        const found = await session.run(given, outputs);
        this.#fresh = session;
        return found;
      } catch (error) {
        this.#alive();
        this.#giveUp(error);
      }
    if ([...inputs, ...outputs].some((value) => value && !isArray(value)))
      fail('BAD_INPUT', 'model.run: a GPUBuffer, but the model runs on WebAssembly. Pass arrays.');
    const names = this.#engine.inputs.map(({ name }) => name);
    const found = await this.#wasm.run(Object.fromEntries(names.map((name, i) => [name, inputs[i] as TensorArray])));
    return this.#manifest.outputs.map(({ name }) => found[name]);
  }

  async #warmup(): Promise<void> {
    const arrays = this.#engine.inputs.map(({ data }) => data.slice().fill(0 as never) as TensorArray);
    await this.#compute(arrays, []);
    // Its states are not those of a run.
    this.#fresh = undefined;
  }
}

function isArray(value: unknown): value is TensorArray {
  return ArrayBuffer.isView(value);
}

/** As `take`, buffers of the device besides arrays. */
function arranged(given: unknown, ports: readonly Port[], what: 'input' | 'output'): (GpuTensor | undefined)[] {
  const buffers = new Map<string, GPUBuffer>();
  const arrays: Record<string, unknown> = Object.create(null);
  const plain = typeof given === 'object' && given !== null && !ArrayBuffer.isView(given);
  for (const [name, value] of plain ? Object.entries(given) : []) {
    const port = ports.find((one) => one.name === name);
    const isBuffer = typeof value === 'object' && value !== null && 'mapAsync' in value && 'usage' in value;
    if (!port || !isBuffer) arrays[name] = value;
    else {
      const { size } = value as GPUBuffer;
      const needed = 4 * Math.ceil(port.data.byteLength / 4);
      if (size < needed)
        fail('BAD_INPUT', `model.run: ${what} ${quote(name)} is a buffer of ${size} bytes, ${needed} are needed.`, {
          [what]: name,
          needed,
        });
      buffers.set(name, value as GPUBuffer);
    }
  }
  const rest = ports.filter(({ name }) => !buffers.has(name));
  const taken = take(plain ? arrays : given, rest, what);
  return ports.map((port) => buffers.get(port.name) ?? taken[rest.indexOf(port)]);
}

/**
 * A program on a device: its buffers, planned once, its pipelines, built at the same time, and one command encoder for each run.
 *
 * Whatever goes wrong on the way ends in one error: the device lost, memory refused, a shader that does not compile, or an
 * answer that does not come. After it the session is of no use; constants stay on the CPU, so that another can be opened.
 */
import type { FileManifest, TensorArray } from '@grim/ir';
import { fail, RuntimeError } from './errors.ts';
import type { Port } from './model.ts';
import { fillSeeded, findMismatch } from './self-test.ts';
import { requestDevice, TIMESTAMPS } from './webgpu-adapter.ts';
import { pieces } from './webgpu-pace.ts';
import { shared } from './webgpu-pipelines.ts';
import { type CheckedProgram, type Ports, padded, readProgram } from './webgpu-program.ts';

/** What is waited for pipelines or results, in milliseconds. */
const PATIENCE = 60_000;

/**
 * Work-groups of a submit: a device that is busy for long counts as hung, and takes other pages with it. A group of a product
 * is some 10⁶ multiply-adds, so that a slow GPU of 300 · 10⁹ a second is done with them in 50 ms.
 */
const MOST_WORK = 16_384;

/** A value, or where it is on the device. */
export type GpuTensor = TensorArray | GPUBuffer;

export interface GpuSession {
  readonly device: GPUDevice;
  /** Bytes of all buffers; 0 once it is closed. */
  readonly bytes: number;
  /**
   * @param inputs  one for each of the manifest; undefined: the state that the run before has left on the device
   * @param timings  takes the time of every dispatch; slower
   * @param outputs  buffers that outputs are copied to on the device, in place of being read
   * @returns those that are read, copied out
   */
  run(
    inputs: readonly (GpuTensor | undefined)[],
    outputs: readonly (GPUBuffer | undefined)[],
    timings?: Timing[],
  ): Promise<(TensorArray | undefined)[]>;
  /** Lets go of the buffers, and of the device unless it is the caller's. */
  close(): void;
}

/** What a dispatch took on the device. */
export interface Timing {
  /** The first line of its text. */
  readonly shader: string;
  readonly ms: number;
}

export interface DeviceOptions {
  /** Asks for timestamps. */
  readonly profile?: boolean | undefined;
  /** A device of the caller's, who looks after it. */
  readonly gpu?: GPUDevice | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without an answer after which the device counts as lost. */
  readonly patience?: number | undefined;
}

/** @param constants  as the setup of the model leaves them */
export async function openSession(
  manifest: FileManifest,
  ports: Ports,
  constants: Uint8Array,
  { gpu, signal, profile = false, patience = PATIENCE }: DeviceOptions,
): Promise<GpuSession> {
  const program = readProgram(manifest, ports, constants);
  const { constantBytes, segmentBytes } = program;
  const arenaBytes = Math.max(64, program.arenaBytes);
  const device = gpu ?? (await requestDevice(Math.max(constantBytes, arenaBytes), profile));
  const { limits } = device;
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  // Constants in segments, where one binding does not hold them all; the arena is one binding more.
  const split = constantBytes > most ? Math.ceil(constantBytes / segmentBytes) : 1;
  const held = split < limits.maxStorageBuffersPerShaderStage ? segmentBytes : constantBytes;
  const large = [split > 1 ? held : constantBytes, arenaBytes].find((size) => size > most);
  const session = new Session(manifest, ports, program, device, gpu === undefined, patience);
  try {
    if (large !== undefined)
      fail(
        'MISSING_FEATURE',
        `webgpu: a storage buffer of ${large} bytes, this device allows ${most}. Use device: "wasm".`,
        { bytes: large, most },
      );
    await session.open(constants, split, arenaBytes);
    signal?.throwIfAborted();
    await session.selfTest();
    signal?.throwIfAborted();
    return session;
  } catch (error) {
    session.close();
    throw error;
  }
}

// By value, as the objects that hold them are not everywhere global.
const USAGE = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128 } as const;
const READ = 1;
const QUERY = 512;
/** Of a set; each dispatch takes two. */
const MOST_QUERIES = 4096;

/** A buffer, where an output begins in it, and where it stands among those that are read. */
type Place = readonly [source: GPUBuffer, start: number, place: number];

class Session implements GpuSession {
  readonly device: GPUDevice;
  readonly #manifest: FileManifest;
  readonly #ports: Ports;
  readonly #program: CheckedProgram;
  readonly #own: boolean;
  readonly #patience: number;
  readonly #buffers: GPUBuffer[] = [];
  /** Rejects when the device is lost. */
  readonly #lost: Promise<never>;
  #bytes = 0;
  #closed = false;
  /** One, or as many segments of it. */
  #constants: readonly GPUBuffer[] = [];
  #arena: GPUBuffer | undefined;
  #staging: GPUBuffer | undefined;
  /** Of states, what the last run has left, one behind the other. */
  #states: GPUBuffer | undefined;
  #group: GPUBindGroup | undefined;
  #pipelines: readonly GPUComputePipeline[] = [];
  /** Distance of the arguments of two dispatches. */
  #slot = 256;

  constructor(
    manifest: FileManifest,
    ports: Ports,
    program: CheckedProgram,
    device: GPUDevice,
    own: boolean,
    patience: number,
  ) {
    this.device = device;
    this.#manifest = manifest;
    this.#ports = ports;
    this.#program = program;
    this.#own = own;
    this.#patience = patience;
    this.#lost = device.lost.then(({ reason, message }) =>
      fail('DEVICE_LOST', `webgpu: the device was lost (${reason}). ${message}`.trim(), { reason }),
    );
    // Nobody may be waiting when it happens.
    this.#lost.catch(() => {});
  }

  get bytes(): number {
    return this.#bytes;
  }

  async open(constants: Uint8Array, segments: number, arenaBytes: number): Promise<void> {
    const { device } = this;
    const { dispatches, constantBytes, segmentBytes } = this.#program;
    const each = segments > 1 ? segmentBytes : Math.max(64, constantBytes);
    const longest = Math.max(4, ...dispatches.map(({ args }) => args.length));
    const step = device.limits.minUniformBufferOffsetAlignment;
    this.#slot = step * Math.ceil((4 * longest) / step);
    const outputs = this.#ports.outputs.reduce((sum, output) => sum + bytesOf(output), 0);
    await this.#scoped('out-of-memory', async () => {
      this.#constants = Array.from({ length: segments }, (_, i) =>
        this.#buffer(
          Math.min(each, constantBytes - i * each) || each,
          USAGE.storage | USAGE.copyTarget | USAGE.copySource,
        ),
      );
      this.#arena = this.#buffer(arenaBytes, USAGE.storage | USAGE.copyTarget | USAGE.copySource);
      const states = this.#pairs().reduce((sum, { bytes }) => sum + bytes, 0);
      if (states > 0) this.#states = this.#buffer(states, USAGE.copyTarget | USAGE.copySource);
      this.#staging = this.#buffer(Math.max(16, outputs), USAGE.mapRead | USAGE.copyTarget);
      const args = new Int32Array((this.#slot / 4) * Math.max(1, dispatches.length));
      for (const [i, dispatch] of dispatches.entries()) args.set(dispatch.args, (i * this.#slot) / 4);
      const uniforms = this.#buffer(args.byteLength, USAGE.uniform | USAGE.copyTarget);
      for await (const [at, piece] of pieces(constants, this.#program))
        device.queue.writeBuffer(this.#constants[Math.floor(at / each)] as GPUBuffer, at % each, piece);
      device.queue.writeBuffer(uniforms, 0, args);
      await this.#scoped('validation', async () => {
        const { layout, pipelineOf } = shared(device, segments);
        const [first, ...further] = this.#constants;
        const bound = [first, this.#arena, uniforms, ...further] as GPUBuffer[];
        this.#group = device.createBindGroup({
          layout,
          entries: bound.map((buffer, binding) => ({
            binding,
            resource: binding === 2 ? { buffer, size: this.#slot } : { buffer },
          })),
        });
        this.#pipelines = await this.#within(Promise.all(this.#shaders(segments > 1).map(pipelineOf)));
      });
    });
  }

  /** The texts that suit the device. */
  #shaders(split: boolean): readonly string[] {
    const { shaders, variants } = this.#program;
    const meets = (need: string) => (split ? need === 'segments' : this.device.features.has(need));
    return shaders.map((code, i) => variants.find(({ shader, needs }) => shader === i && meets(needs))?.code ?? code);
  }

  /** States: which input and output they are, and where they stand in their buffer. */
  #pairs() {
    let end = 0;
    return this.#manifest.states.map(({ input, output }) => {
      const into = this.#manifest.inputs.findIndex(({ name }) => name === input);
      const from = this.#manifest.outputs.findIndex(({ name }) => name === output);
      const bytes = bytesOf(this.#ports.inputs[into] as Port);
      const at = end;
      end += bytes;
      return { into, from, at, bytes };
    });
  }

  async run(
    inputs: readonly (GpuTensor | undefined)[],
    outputs: readonly (GPUBuffer | undefined)[],
    timings?: Timing[],
  ) {
    const [arena, staging] = [this.#arena, this.#staging];
    if (!arena || !staging || this.#closed) fail('DISPOSED', 'model: it was disposed.');
    const { device } = this;
    const { constantBytes } = this.#program;
    return this.#scoped('out-of-memory', () =>
      this.#scoped('validation', async () => {
        let encoder = device.createCommandEncoder();
        const pairs = this.#pairs();
        const timer = timings && this.#timer(timings);
        for (const [i, input] of inputs.entries()) {
          const at = (this.#program.inputs[i] as number) - constantBytes;
          const state = input ? undefined : pairs.find(({ into }) => into === i);
          if (state) encoder.copyBufferToBuffer(this.#states as GPUBuffer, state.at, arena, at, state.bytes);
          if (!input) continue;
          if (!ArrayBuffer.isView(input))
            encoder.copyBufferToBuffer(input, 0, arena, at, bytesOf(this.#ports.inputs[i] as Port));
          else if (input.byteLength > 0) device.queue.writeBuffer(arena, at, wholeWords(input));
        }
        let pass = encoder.beginComputePass(timer?.pass(0));
        let work = 0;
        for (const [i, { shader, groups }] of this.#program.dispatches.entries()) {
          const more = groups[0] * groups[1] * groups[2];
          if (timer && i > 0) {
            pass.end();
            pass = encoder.beginComputePass(timer.pass(i));
          } else if (work > 0 && work + more > MOST_WORK) {
            pass.end();
            device.queue.submit([encoder.finish()]);
            encoder = device.createCommandEncoder();
            pass = encoder.beginComputePass();
            work = 0;
          }
          work += more;
          pass.setPipeline(this.#pipelines[shader] as GPUComputePipeline);
          pass.setBindGroup(0, this.#group as GPUBindGroup, [i * this.#slot]);
          pass.dispatchWorkgroups(...groups);
        }
        pass.end();
        timer?.resolve(encoder);
        let end = 0;
        const places = this.#ports.outputs.map((output, i) => {
          const at = this.#program.outputs[i] as number;
          const [source, start] = at < constantBytes ? [this.#constants[0], at] : [arena, at - constantBytes];
          const target = outputs[i];
          const bytes = bytesOf(output);
          if (bytes > 0)
            encoder.copyBufferToBuffer(source as GPUBuffer, start, target ?? staging, target ? 0 : end, bytes);
          const place: Place = [source as GPUBuffer, start, end];
          if (!target) end += bytes;
          return place;
        });
        for (const { from, at, bytes } of pairs) {
          const [source, start] = places[from] as Place;
          if (bytes > 0) encoder.copyBufferToBuffer(source, start, this.#states as GPUBuffer, at, bytes);
        }
        device.queue.submit([encoder.finish()]);
        if (timer) await this.#within(timer.read());
        if (end === 0) {
          await this.#within(device.queue.onSubmittedWorkDone());
          return places.map((_, i) => (outputs[i] ? undefined : this.#read(new ArrayBuffer(0), 0, i)));
        }
        await this.#within(staging.mapAsync(READ, 0, end));
        const all = staging.getMappedRange(0, end).slice(0);
        staging.unmap();
        return places.map(([, , place], i) => (outputs[i] ? undefined : this.#read(all, place, i)));
      }),
    );
  }

  /** Timestamps before and after every dispatch. @throws {RuntimeError} GRIM_RUNTIME_MISSING_FEATURE */
  #timer(timings: Timing[]) {
    const { device } = this;
    const { dispatches, shaders } = this.#program;
    if (!device.features.has(TIMESTAMPS))
      fail(
        'MISSING_FEATURE',
        'webgpu: the device has no timestamps. Load with { profile: true }, where the adapter has them.',
      );
    const count = Math.min(MOST_QUERIES, 2 * dispatches.length);
    const querySet = device.createQuerySet({ type: 'timestamp', count });
    const [resolved, read] = [USAGE.copySource | QUERY, USAGE.copyTarget | USAGE.mapRead].map((usage) =>
      device.createBuffer({ size: 8 * count, usage }),
    ) as [GPUBuffer, GPUBuffer];
    return {
      pass: (i: number): GPUComputePassDescriptor =>
        2 * i + 1 < count
          ? { timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 } }
          : {},
      resolve: (encoder: GPUCommandEncoder) => {
        encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
        encoder.copyBufferToBuffer(resolved, 0, read, 0, 8 * count);
      },
      read: async () => {
        await read.mapAsync(READ);
        const times = new BigUint64Array(read.getMappedRange());
        for (let i = 0; 2 * i < times.length; i++) {
          const [shader = ''] = (shaders[dispatches[i]?.shader ?? 0] ?? '').slice(3).split('\n');
          timings.push({ shader, ms: Number((times[2 * i + 1] as bigint) - (times[2 * i] as bigint)) / 1e6 });
        }
        for (const one of [resolved, read, querySet]) one.destroy();
      },
    };
  }

  #read(all: ArrayBuffer, at: number, output: number): TensorArray {
    const { data } = this.#ports.outputs[output] as Port;
    return viewLike(data, all.slice(at, at + data.byteLength));
  }

  /** @throws {RuntimeError} GRIM_RUNTIME_SELF_TEST: this device computes something else */
  async selfTest(): Promise<void> {
    const { inputs, outputs } = this.#ports;
    const { selfTest } = this.#manifest;
    const made = inputs.map(({ dtype, data, state }) => ({
      dtype,
      data: viewLike(data, new ArrayBuffer(data.byteLength)),
      state,
    }));
    fillSeeded(
      made.filter(({ state }) => !state),
      selfTest.seed,
    );
    const found = await this.run(
      made.map(({ data }) => data),
      outputs.map(() => undefined),
    );
    const failure = findMismatch(selfTest, new Map(outputs.map(({ name }, i) => [name, found[i] as TensorArray])));
    if (failure) fail('SELF_TEST', 'webgpu: this device computes wrong results (self-test).', { failure });
  }

  close(): void {
    this.#closed = true;
    for (const buffer of this.#buffers.splice(0)) buffer.destroy();
    this.#bytes = 0;
    if (this.#own) this.device.destroy();
  }

  #buffer(size: number, usage: number): GPUBuffer {
    const buffer = this.device.createBuffer({ size, usage });
    this.#buffers.push(buffer);
    this.#bytes += size;
    return buffer;
  }

  /** What comes first: the work, the loss of the device, or the end of patience. */
  async #within<T>(work: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const message = `webgpu: no answer from the device for ${this.#patience / 1000} s.`;
        reject(new RuntimeError('GRIM_RUNTIME_DEVICE_LOST', message, { reason: 'timeout' }));
      }, this.#patience);
    });
    try {
      return await Promise.race([work, this.#lost, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs `work`, then looks at what the device complained of meanwhile. Every failure has a code. */
  async #scoped<T>(filter: GPUErrorFilter, work: () => Promise<T>): Promise<T> {
    let complaint: Promise<GPUError | null> | undefined;
    try {
      this.device.pushErrorScope(filter);
      let result: T;
      try {
        result = await work();
      } finally {
        complaint = this.device.popErrorScope();
        complaint.catch(() => {});
      }
      const error = await this.#within(complaint);
      if (error) refuse(filter, error.message, error);
      return result;
    } catch (error) {
      if (error instanceof RuntimeError && error.code !== 'GRIM_RUNTIME_SHADER') throw error;
      // The loss of a device shows in many ways before it is announced.
      await this.#within(Promise.race([this.#lost, new Promise((resolve) => setTimeout(resolve, 20))]));
      if (error instanceof RuntimeError) throw error;
      const found = await Promise.resolve(complaint).catch(() => undefined);
      return refuse(found ? filter : 'internal', found?.message ?? String(error), error);
    }
  }
}

function refuse(filter: GPUErrorFilter, message: string, cause: unknown): never {
  const short = message.slice(0, 300);
  if (filter === 'out-of-memory') fail('OUT_OF_MEMORY', `webgpu: the device has no memory for it. ${short}`, {}, cause);
  fail('SHADER', `webgpu: the device refuses the program. ${short}`, {}, cause);
}

function bytesOf({ data }: Port): number {
  return padded(data.byteLength);
}

/** An array of the same kind over other bytes. */
function viewLike(data: TensorArray, buffer: ArrayBuffer): TensorArray {
  return new (data.constructor as new (buffer: ArrayBuffer) => TensorArray)(buffer);
}

/** Bytes of the array, with zeros up to a whole word. */
function wholeWords(array: TensorArray): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
  if (bytes.length % 4 === 0) return bytes;
  const all = new Uint8Array(padded(bytes.length));
  all.set(bytes);
  return all;
}

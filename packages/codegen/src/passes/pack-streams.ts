/**
 * Keeps sparse streams in less room, and makes them once when the model is loaded: their words in few bits, the weights of
 * lanes without the zeros that fill vectors. Each where that saves more than the kernel for it takes.
 */
import { addLanePadding, biasesOf, withoutPadding } from '../kernels/lane-padding.ts';
import { addUnpack, packStream } from '../kernels/packed-streams.ts';
import type { Address, Buffer, Call, Kernel, Program, Step } from '../program.ts';

/** Code of a kernel in both families, and its step and name in the manifest. */
const UNPACK_BYTES = 1200;
const PADDING_BYTES = 700;
/** Of weights: stored without their zeros where they are so many of them, as they then take memory twice. */
const ENOUGH_ZEROS = 1 / 16;
/** Bytes of a weight in a file, at least about. */
const WEIGHT_BYTES = 2;

const UNPACK: Kernel = {
  name: 'unpack_streams',
  emit: (module, _family, exported) => addUnpack(module, exported),
};
const PADDING: Kernel = {
  name: 'fill_lanes',
  emit: (module, _family, exported) => addLanePadding(module, exported),
};

export function packStreams(program: Program): Program {
  return packLanes(packWords(program), program.buffers);
}

function packWords(program: Program): Program {
  const made = new Making(program);
  let saved = 0;
  for (const buffer of program.buffers) {
    const { bytes, constant, stream } = buffer;
    if (!constant || !stream) continue;
    const packed = packStream(asWords(constant), stream);
    if (packed.bytes.length >= bytes) continue;
    saved += bytes - packed.bytes.length;
    const from = made.allocate(packed.bytes.length, { constant: packed.bytes });
    const scratch = made.allocate(Math.max(packed.scratchBytes, 4), {});
    made.make(buffer, UNPACK, [at(from), at(scratch)]);
  }
  return saved > UNPACK_BYTES ? made.program() : program;
}

/** @param unpacked  the buffers with the words as they were, under the same numbers */
function packLanes(program: Program, unpacked: readonly Buffer[]): Program {
  const made = new Making(program);
  let saved = 0;
  for (const buffer of program.buffers) {
    const { constant, lanes } = buffer;
    const words = unpacked[lanes?.words.id ?? -1]?.constant;
    if (!constant || !lanes || !words) continue;
    const weights = new Float32Array(constant.buffer, constant.byteOffset, constant.length / 4);
    const biases = biasesOf(lanes.rows);
    const kept = withoutPadding(weights, asWords(words), biases);
    if (weights.length - kept.length <= ENOUGH_ZEROS * weights.length) continue;
    saved += WEIGHT_BYTES * (weights.length - kept.length);
    const from = made.allocate(kept.byteLength, { constant: new Uint8Array(kept.buffer), weights: true });
    made.make(buffer, PADDING, [at(from), at(program.buffers[lanes.words.id] ?? lanes.words), biases]);
  }
  return saved > PADDING_BYTES ? made.program() : program;
}

/** A program some of whose constants are made when it is loaded. */
class Making {
  readonly #program: Program;
  readonly #buffers: Buffer[];
  readonly #made = new Map<Buffer, Buffer>();
  readonly #setup: Call[];

  constructor(program: Program) {
    this.#program = program;
    this.#buffers = [...program.buffers];
    this.#setup = [...program.setup];
  }

  allocate(bytes: number, more: Partial<Buffer>): Buffer {
    const buffer = { id: this.#buffers.length, bytes, ...more };
    this.#buffers.push(buffer);
    return buffer;
  }

  make(constant: Buffer, kernel: Kernel, args: readonly (number | Address)[]): void {
    // In its place, so that the order of the constants stays.
    const { id, bytes, weights } = constant;
    const target: Buffer = { id, bytes, made: true, ...(weights && { weights }) };
    this.#buffers[constant.id] = target;
    this.#made.set(constant, target);
    this.#setup.push({ kind: 'call', kernel, args: [at(target), ...args], nodes: [] });
  }

  program(): Program {
    const steps = this.#program.steps.map((step) => withBuffers(step, this.#made));
    return { ...this.#program, buffers: this.#buffers, setup: this.#setup, steps };
  }
}

function at(buffer: Buffer): Address {
  return { buffer, offset: 0 };
}

function asWords({ buffer, byteOffset, length }: Uint8Array): Int32Array {
  return new Int32Array(buffer, byteOffset, length / 4);
}

function withBuffers(step: Step, made: ReadonlyMap<Buffer, Buffer>): Step {
  if (step.kind === 'if')
    return {
      ...step,
      whenTrue: step.whenTrue.map((inner) => withBuffers(inner, made)),
      whenFalse: step.whenFalse.map((inner) => withBuffers(inner, made)),
    };
  if (step.kind === 'group') return { ...step, calls: step.calls.map((call) => callWithBuffers(call, made)) };
  return callWithBuffers(step, made);
}

function callWithBuffers(call: Call, made: ReadonlyMap<Buffer, Buffer>): Call {
  const args = call.args.map((arg) =>
    typeof arg === 'number' ? arg : { ...arg, buffer: made.get(arg.buffer) ?? arg.buffer },
  );
  return { ...call, args };
}

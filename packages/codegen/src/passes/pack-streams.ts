/**
 * Keeps the words of sparse streams in few bits, and makes them once when the model is loaded: where that saves more than
 * the kernel for it takes.
 */
import { addUnpack, packStream } from '../kernels/packed-streams.ts';
import type { Buffer, Call, Kernel, Program, Step } from '../program.ts';

/** Code of the kernel in both families, and its step and name in the manifest. */
const KERNEL_BYTES = 1200;

const UNPACK: Kernel = {
  name: 'unpack_streams',
  emit: (module, _family, exported) => addUnpack(module, exported),
};

export function packStreams(program: Program): Program {
  const buffers = [...program.buffers];
  const allocate = (bytes: number, more: Partial<Buffer>): Buffer => {
    const buffer = { id: buffers.length, bytes, ...more };
    buffers.push(buffer);
    return buffer;
  };
  const made = new Map<Buffer, Buffer>();
  const setup: Call[] = [...program.setup];
  let saved = 0;
  for (const { id, bytes, constant, stream } of program.buffers) {
    if (!constant || !stream) continue;
    const words = new Int32Array(constant.buffer, constant.byteOffset, bytes / 4);
    const packed = packStream(words, stream);
    if (packed.bytes.length >= bytes) continue;
    saved += bytes - packed.bytes.length;
    // In place of the stream, so that the order of the constants stays.
    const target: Buffer = { id, bytes, made: true };
    buffers[id] = target;
    made.set(program.buffers[id] as Buffer, target);
    const from = allocate(packed.bytes.length, { constant: packed.bytes });
    const scratch = allocate(Math.max(packed.scratchBytes, 4), {});
    const at = (buffer: Buffer) => ({ buffer, offset: 0 });
    setup.push({ kind: 'call', kernel: UNPACK, args: [at(target), at(from), at(scratch)], nodes: [] });
  }
  if (saved <= KERNEL_BYTES) return program;
  return { ...program, buffers, setup, steps: program.steps.map((step) => withBuffers(step, made)) };
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

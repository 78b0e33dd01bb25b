/**
 * The constants of a program for a GPU: found again among those of the WebAssembly program, and laid out anew, so that a device
 * holds what its shaders read and nothing else, and weights that are float16 in a file stay float16.
 */

import type { MemoryPlan } from '../plan-memory.ts';
import { type Address, type Buffer, callsOf, type Program } from '../program.ts';
import type { Operand } from './shader.ts';

/** Constants begin at multiples of this in both memories. */
const ALIGNMENT = 64;

export interface Placed {
  /** Address among the constants of the GPU. */
  readonly byte: number;
  /** Its float32 are float16 there. */
  readonly half: boolean;
}

interface Layout {
  readonly places: ReadonlyMap<Buffer, Placed>;
  readonly constantBytes: number;
  /** As `WebGpuProgram.copies`. */
  readonly copies: readonly number[];
}

/** @param shared  which constant of the WebAssembly program each is */
export function layOutConstants(
  gpu: Program,
  shared: ReadonlyMap<Buffer, Buffer>,
  plan: MemoryPlan,
  halves: boolean,
): Layout {
  const narrow = halves ? halvesOf(gpu) : new Set<Buffer>();
  const outputs = new Set(Array.from(gpu.outputs.values(), ({ buffer }) => buffer));
  // What is copied out comes first: a copy reads one binding. The others stand as in the file, so that few copies make them.
  const wanted = Array.from(shared, ([buffer, source]) => ({
    buffer,
    half: narrow.has(buffer) && source.weights === true,
    from: plan.addressOf(source),
    bytes: ALIGNMENT * Math.ceil(source.bytes / ALIGNMENT),
    rank: outputs.has(buffer) ? 0 : 1,
  })).sort((a, b) => a.rank - b.rank || a.from - b.from);
  const places = new Map<Buffer, Placed>();
  const known = new Map<string, number>();
  const copies: [from: number, to: number, bytes: number, half: 0 | 1][] = [];
  let end = 0;
  for (const { buffer, half, from, bytes } of wanted) {
    const key = `${from} ${half}`;
    const byte = known.get(key) ?? end;
    places.set(buffer, { byte, half });
    if (known.has(key)) continue;
    known.set(key, byte);
    const last = copies.at(-1);
    const follows = last && last[0] + last[2] === from && Boolean(last[3]) === half;
    if (follows && last[1] + (half ? last[2] / 2 : last[2]) === byte) last[2] += bytes;
    else copies.push([from, byte, bytes, half ? 1 : 0]);
    end = ALIGNMENT * Math.ceil((byte + (half ? bytes / 2 : bytes)) / ALIGNMENT);
  }
  return { places, constantBytes: end, copies: copies.flat() };
}

/** A byte of a constant, float16 or not. */
export function operandAt({ byte, half }: Pick<Placed, 'byte' | 'half'>, offset: number): Operand {
  return half ? { space: 'constants', byte: byte + offset / 2, half } : { space: 'constants', byte: byte + offset };
}

/** Constants that every call reads as weights of either width. */
export function halvesOf(gpu: Program): ReadonlySet<Buffer> {
  const found = new Set<Buffer>();
  const others = new Set(Array.from(gpu.outputs.values(), ({ buffer }) => buffer));
  for (const { args, kernel } of callsOf(gpu.steps)) {
    args.forEach((argument, i) => {
      const buffer = bufferOf(argument);
      if (buffer?.weights) (kernel.halves?.includes(i) ? found : others).add(buffer);
    });
    for (const { buffer } of kernel.tables ?? []) others.add(buffer);
  }
  for (const buffer of others) found.delete(buffer);
  return found;
}

/** Constants of the GPU's program: which of the other program's each is, and those that it has not, with numbers of theirs. */
export function matchConstants(
  gpu: Program,
  lowered: Program,
  program: Program,
): { readonly shared: ReadonlyMap<Buffer, Buffer>; readonly own: readonly Buffer[] } {
  const calls = callsOf(lowered.steps);
  const placed = new Set([...calls.flatMap(({ args }) => args), ...lowered.outputs.values()].map(bufferOf));
  const known = new Map<string, Buffer[]>();
  for (const buffer of placed) {
    if (!buffer?.constant) continue;
    const key = keyOf(buffer.constant);
    known.set(key, [...(known.get(key) ?? []), buffer]);
  }
  const shared = new Map<Buffer, Buffer>();
  const own: Buffer[] = [];
  const wanted = callsOf(gpu.steps).flatMap(({ args, kernel }) => [...args, ...(kernel.tables ?? [])]);
  for (const buffer of new Set([...wanted, ...gpu.outputs.values()].map(bufferOf))) {
    const { constant } = buffer ?? {};
    if (!buffer || !constant) continue;
    const same = known.get(keyOf(constant))?.find((other) => equal(other.constant, constant));
    // What is packed in a file is another buffer of the same number by now.
    if (same) shared.set(buffer, program.buffers[same.id] ?? same);
    else {
      const copy: Buffer = { ...buffer, id: program.buffers.length + own.length };
      own.push(copy);
      shared.set(buffer, copy);
    }
  }
  return { shared, own };
}

function bufferOf(argument: number | Address): Buffer | undefined {
  return typeof argument === 'number' ? undefined : argument.buffer;
}

/** FNV-1a of the length and of at most 4096 bytes: equality is looked at anyway. */
function keyOf(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  const step = Math.max(1, Math.floor(bytes.length / 4096));
  for (let i = 0; i < bytes.length; i += step) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x01000193);
  return `${bytes.length} ${hash}`;
}

function equal(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a?.length === b.length && a.every((byte, i) => byte === b[i]);
}

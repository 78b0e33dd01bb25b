/**
 * Puts all buffers of a program into one memory: constants first, then what the setup makes of them, then an arena whose
 * bytes are used again as soon as nobody needs what they hold.
 *
 * A buffer lives from the first call that names it to the last; branches count one after the other, calls that may run at
 * the same time as one. Largest first, each
 * goes to the lowest place where no buffer that lives at the same time is (Pisarchyk and Lee, "Efficient memory
 * management for deep neural net inference", 2020: greedy by size). The same program gives the same plan.
 */
import { GrimError, invariant } from '@grim/ir';
import { type Address, type Buffer, type Call, momentsOf, type Program, type Step } from './program.ts';

/** First and last time at which a buffer is needed, both included. */
export interface Lifetime {
  readonly first: number;
  readonly last: number;
  readonly bytes: number;
}

export interface Arena {
  /** Byte offset of each lifetime, in the order given. */
  readonly offsets: readonly number[];
  readonly bytes: number;
}

/** Every buffer begins at a multiple of this: a cache line, and the strictest alignment of a vector. */
const ALIGNMENT = 64;

const align = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/**
 * @param guard  bytes left free around every buffer
 */
export function packArena(lifetimes: readonly Lifetime[], guard = 0): Arena {
  const order = lifetimes
    .map((_, i) => i)
    .sort((a, b) => (lifetimes[b]?.bytes ?? 0) - (lifetimes[a]?.bytes ?? 0) || a - b);
  const offsets = new Array<number>(lifetimes.length).fill(0);
  // Kept in order of offset, so that one sweep finds the first gap.
  const placed: { first: number; last: number; from: number; to: number }[] = [];
  let bytes = 0;
  for (const index of order) {
    const { first, last, bytes: own } = lifetimes[index] as Lifetime;
    const size = align(own) + guard;
    let at = guard;
    for (const other of placed) {
      if (other.last < first || other.first > last) continue;
      if (other.from >= at + size) break;
      at = Math.max(at, other.to);
    }
    offsets[index] = at;
    const entry = { first, last, from: at, to: at + size };
    let low = 0;
    let high = placed.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((placed[middle]?.from ?? 0) < at) low = middle + 1;
      else high = middle;
    }
    placed.splice(low, 0, entry);
    bytes = Math.max(bytes, at + size);
  }
  return { offsets, bytes };
}

/** Where everything stands: constants from address 0, then the arena. Together they are whole pages of 64 KiB. */
export interface MemoryPlan {
  readonly pages: number;
  /** Those that the setup makes included; they are the last. */
  readonly constantBytes: number;
  readonly madeBytes: number;
  /** What is too much for the buffers stands before them: the last one ends with the last page, and running over it traps. */
  readonly arenaBytes: number;
  addressOf(buffer: Buffer): number;
  /** False for a constant that no call reads. */
  isPlaced(buffer: Buffer): boolean;
}

export interface PlanOptions {
  /** Bytes left free around each arena buffer; for tests. */
  readonly guard?: number;
  /** False: every buffer has bytes of its own; for tests. */
  readonly reuse?: boolean;
  /** Of a binding of constants on a GPU that takes no larger one, a multiple of 64; for tests. Default 2^27, what each takes. */
  readonly segmentBytes?: number;
}

const PAGE = 65536;

/**
 * @param also  constants that no call names, placed behind the others
 * @throws {GrimError} GRIM_CODEGEN_DEVICE_LIMIT when it does not fit into the 4 GiB that 32 bits can address
 */
export function planMemory(
  program: Program,
  { guard = 0, reuse = true }: PlanOptions = {},
  also: readonly Buffer[] = [],
): MemoryPlan {
  const moments = [...program.setup.map((call) => [call]), ...momentsOf(program.steps)];
  const calls = moments.flat();
  const lifetimes = reuse ? lifetimesOf(program, moments) : new Map<Buffer, Lifetime>();
  if (!reuse)
    for (const buffer of usedBuffers(program, calls))
      if (!buffer.constant && !buffer.made) lifetimes.set(buffer, { first: 0, last: 0, bytes: buffer.bytes });
  const shared = reuse ? mergeInPlace(moments, lifetimes) : new Map<Buffer, Buffer>();
  const owners = Array.from(lifetimes.keys()).filter((buffer) => !shared.has(buffer));
  const arena = packArena(
    owners.map((buffer) => lifetimes.get(buffer) as Lifetime),
    guard,
  );
  const places = new Map<Buffer, number>();
  let constantBytes = 0;
  const place = (buffer: Buffer) => {
    places.set(buffer, constantBytes);
    constantBytes += align(buffer.bytes);
  };
  const used = usedBuffers(program, calls);
  for (const buffer of used) if (buffer.constant) place(buffer);
  for (const buffer of also) place(buffer);
  const storedBytes = constantBytes;
  for (const buffer of used) if (buffer.made) place(buffer);
  const total = constantBytes + arena.bytes;
  // The whole address space is one page less, so that no end of a buffer is 2^32.
  if (total > 2 ** 32 - PAGE)
    throw new GrimError(
      'GRIM_CODEGEN_DEVICE_LIMIT',
      `The model needs ${constantBytes} bytes of constants and ${arena.bytes} of activations, more than the ${2 ** 32 - PAGE} that ` +
        'WebAssembly can address. Bind smaller shapes.',
      { constantBytes, arenaBytes: arena.bytes },
    );
  const pages = Math.ceil(total / PAGE);
  const base = pages * PAGE - arena.bytes;
  owners.forEach((buffer, i) => {
    places.set(buffer, base + (arena.offsets[i] ?? 0));
  });
  const ownerOf = (buffer: Buffer): Buffer => {
    const next = shared.get(buffer);
    return next ? ownerOf(next) : buffer;
  };
  return {
    pages,
    constantBytes,
    madeBytes: constantBytes - storedBytes,
    arenaBytes: pages * PAGE - constantBytes,
    addressOf(buffer) {
      const place = places.get(ownerOf(buffer));
      invariant(place !== undefined, `buffer ${buffer.id} has no place`);
      return place;
    },
    isPlaced: (buffer) => places.has(ownerOf(buffer)),
  };
}

function buffersOf(call: Call): readonly Buffer[] {
  return call.args.filter((arg): arg is Address => typeof arg !== 'number').map(({ buffer }) => buffer);
}

/** In the order of their numbers, so that the plan depends on nothing else. */
function usedBuffers(program: Program, calls: readonly Call[]): readonly Buffer[] {
  const used = new Set<Buffer>();
  for (const { buffer } of [...program.inputs.values(), ...program.outputs.values()]) used.add(buffer);
  for (const call of calls) for (const buffer of buffersOf(call)) used.add(buffer);
  for (const condition of conditionsOf(program.steps)) used.add(condition.buffer);
  return Array.from(used).sort((a, b) => a.id - b.id);
}

function conditionsOf(steps: readonly Step[]): readonly Address[] {
  return steps.flatMap((step) =>
    step.kind === 'if' ? [step.condition, ...conditionsOf(step.whenTrue), ...conditionsOf(step.whenFalse)] : [],
  );
}

/** Inputs live from before the first call, outputs past the last. Constants are no part of the arena. */
function lifetimesOf(program: Program, moments: readonly (readonly Call[])[]): Map<Buffer, Lifetime> {
  const lifetimes = new Map<Buffer, Lifetime>();
  const touch = (buffer: Buffer, time: number) => {
    if (buffer.constant || buffer.made) return;
    const { first = time, last = time } = lifetimes.get(buffer) ?? {};
    lifetimes.set(buffer, { first: Math.min(first, time), last: Math.max(last, time), bytes: buffer.bytes });
  };
  for (const { buffer } of program.inputs.values()) touch(buffer, -1);
  moments.forEach((calls, time) => {
    for (const call of calls) for (const buffer of buffersOf(call)) touch(buffer, time);
  });
  const conditions = (steps: readonly Step[], start: number): number => {
    let time = start;
    for (const step of steps) {
      if (step.kind === 'if') {
        touch(step.condition.buffer, time);
        time = conditions(step.whenFalse, conditions(step.whenTrue, time));
      } else time++;
    }
    return time;
  };
  conditions(program.steps, program.setup.length);
  for (const { buffer } of program.outputs.values()) touch(buffer, moments.length);
  return new Map(Array.from(lifetimes).sort(([a], [b]) => a.id - b.id));
}

/**
 * Lets a call write over an operand that dies with it.
 * @returns buffer → the buffer whose bytes it takes; that one's lifetime in `lifetimes` is prolonged
 */
function mergeInPlace(moments: readonly (readonly Call[])[], lifetimes: Map<Buffer, Lifetime>): Map<Buffer, Buffer> {
  const shared = new Map<Buffer, Buffer>();
  const ownerOf = (buffer: Buffer): Buffer => {
    const next = shared.get(buffer);
    return next ? ownerOf(next) : buffer;
  };
  moments.forEach(([call, ...others], time) => {
    const inPlace = call?.inPlace;
    // Pieces of one call: each writes over what it has read itself.
    if (!inPlace || others.some((other) => other.inPlace?.target !== inPlace.target)) return;
    const { target } = inPlace;
    const life = lifetimes.get(target);
    if (!life || life.first !== time || shared.has(target)) return;
    for (const source of inPlace.sources) {
      const owner = ownerOf(source);
      const own = lifetimes.get(owner);
      if (!own || own.last !== time || own.bytes < target.bytes || owner === target) continue;
      shared.set(target, owner);
      lifetimes.set(owner, { ...own, last: life.last });
      return;
    }
  });
  return shared;
}

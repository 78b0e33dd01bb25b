/**
 * From a lowered program to what a GPU needs of it: shaders, a flat list of dispatches, and constants that the WebAssembly
 * program has not.
 *
 * The graph is lowered a second time, because a GPU wants whole calls where threads want pieces. What both lowerings place is
 * the same bytes, so constants are found again by their content and stand in a file once; those of the GPU alone, and the
 * program itself, stand behind them. The arena is planned anew.
 */
import { GrimError, quote, type WebGpuProgram } from '@grim/ir';
import { type MemoryPlan, type PlanOptions, planMemory } from '../plan-memory.ts';
import { type Address, type Buffer, type Call, callsOf, type Program, type Step } from '../program.ts';
import { type Condition, conditional } from './condition.ts';
import type { Argument, Dispatch, Operand } from './shader.ts';

const MOST_GROUPS = 65535;
/** Room for the text is made in steps of this, as its length depends on addresses behind it. */
const ROOM = 256;

/** A program for WebAssembly, before and after its streams were packed, and the same graph lowered for a GPU. */
export interface Both {
  readonly lowered: Program;
  /** Buffers have the same numbers. */
  readonly program: Program;
  readonly gpu: Program;
}

export interface Linked {
  readonly plan: MemoryPlan;
  /** Constants that are there for the GPU alone; the last one holds the text. */
  readonly buffers: readonly Buffer[];
  /** Where the text stands. */
  readonly webgpu: { readonly offset: number; readonly bytes: number };
  /** Of each dispatch: the key of the product that it computes. */
  readonly dispatches: readonly (string | undefined)[];
}

/** A kernel that keeps a model from a GPU, and why. */
interface Missing {
  readonly kernel: string;
  readonly nodes: readonly string[];
  readonly why: string;
}

/**
 * The memory of both programs, and the text of the one for the GPU in it.
 * @throws {GrimError} GRIM_CODEGEN_NO_SHADER with every kernel that has no twin
 */
export function linkWgsl({ lowered, program, gpu }: Both, options: PlanOptions | undefined): Linked {
  const { shared, own } = matchConstants(gpu, lowered, program);
  const arena = planMemory({ ...gpu, steps: lasting(gpu.steps), setup: [] });
  for (let room = ROOM; ; ) {
    const text: Buffer = { id: program.buffers.length + own.length, bytes: room, constant: new Uint8Array(room) };
    const plan = planMemory(program, options, [...own, text]);
    const operand = ({ buffer, offset }: Address): Operand =>
      buffer.constant
        ? { space: 'constants', byte: plan.addressOf(shared.get(buffer) ?? buffer) + offset }
        : { space: 'arena', byte: arena.addressOf(buffer) - arena.constantBytes + offset };
    const { program: found, products } = programOf(gpu, operand, arena.arenaBytes, plan.constantBytes);
    const bytes = new TextEncoder().encode(JSON.stringify(found));
    if (bytes.length <= room) {
      text.constant?.set(bytes);
      return {
        plan,
        buffers: [...own, text],
        webgpu: { offset: plan.addressOf(text), bytes: bytes.length },
        dispatches: products,
      };
    }
    room = ROOM * Math.ceil(bytes.length / ROOM + 1);
  }
}

/** Steps in which a condition lasts as long as its branches, all of whose calls look at it. */
function lasting(steps: readonly Step[]): Step[] {
  return steps.flatMap((step): Step[] => {
    if (step.kind !== 'if') return [step];
    const { condition, nodes } = step;
    const read: Call = { kind: 'call', kernel: { name: 'condition', emit: () => {} }, args: [condition], nodes };
    return [{ ...step, whenTrue: lasting(step.whenTrue), whenFalse: lasting(step.whenFalse) }, read];
  });
}

function programOf(
  gpu: Program,
  operand: (address: Address) => Operand,
  arenaBytes: number,
  constantBytes: number,
): { readonly program: WebGpuProgram; readonly products: readonly (string | undefined)[] } {
  const missing: Missing[] = [];
  const dispatches: Dispatch[] = [];
  const products: (string | undefined)[] = [];
  const add = (steps: readonly Step[], conditions: readonly Condition[]): void => {
    for (const step of steps)
      if (step.kind === 'if') {
        const at = operand(step.condition);
        add(step.whenTrue, [...conditions, { at, wanted: 1 }]);
        add(step.whenFalse, [...conditions, { at, wanted: 0 }]);
      } else
        for (const call of callsOf([step]))
          for (const one of dispatchesOf(call, operand, missing)) {
            dispatches.push(conditional(one, conditions));
            products.push(call.product);
          }
  };
  add(gpu.steps, []);
  if (missing.length > 0) refuse(missing);
  const shaders = new Map<string, { readonly index: number; readonly text: string }>();
  const steps: number[] = [];
  for (const { shader, groups, args } of dispatches) {
    let known = shaders.get(shader.name);
    if (!known) {
      known = { index: shaders.size, text: shader.code() };
      shaders.set(shader.name, known);
    }
    // One by one: a list may be longer than the arguments a call takes.
    for (const word of [known.index, ...groups, args.length, ...args]) steps.push(word);
  }
  const flat = (value: Address) => {
    const { space, byte } = operand(value);
    return space === 'constants' ? byte : constantBytes + byte;
  };
  const program = {
    arenaBytes,
    inputs: Array.from(gpu.inputs.values(), flat),
    outputs: Array.from(gpu.outputs.values(), flat),
    shaders: Array.from(shaders.values(), ({ text }) => text),
    steps,
  };
  return { program, products };
}

function dispatchesOf(
  { kernel, args, nodes }: Call,
  operand: (address: Address) => Operand,
  missing: Missing[],
): readonly Dispatch[] {
  const absent = (why: string): readonly Dispatch[] => {
    missing.push({ kernel: kernel.name, nodes, why });
    return [];
  };
  if (!kernel.twin) return absent('it has no shader yet');
  const resolved = [...args, ...(kernel.tables ?? [])].map(
    (argument): Argument => (typeof argument === 'number' ? argument : operand(argument)),
  );
  const found = kernel.twin(resolved);
  if (typeof found === 'string') return absent(found);
  const wide = found.find(({ groups }) => groups.some((count) => count > MOST_GROUPS));
  return wide ? absent(`${wide.groups.join(' × ')} work-groups`) : found;
}

function refuse(missing: readonly Missing[]): never {
  const kernels = new Map<string, Missing>();
  for (const one of missing) if (!kernels.has(one.kernel)) kernels.set(one.kernel, one);
  const lines = Array.from(kernels.values(), ({ kernel, nodes, why }) => {
    const where = nodes[0] === undefined ? '' : ` of ${quote(nodes[0])}`;
    return `${kernel.slice(0, 120)}${where}: ${why}`;
  });
  throw new GrimError(
    'GRIM_CODEGEN_NO_SHADER',
    `webgpu: ${lines.slice(0, 10).join('; ')}${lines.length > 10 ? `; and ${lines.length - 10} more` : ''}. Compile for wasm alone.`,
    { kernels: [...kernels.values()] },
  );
}

/** Constants of the GPU's program: which of the other program's each is, and those that it has not, with numbers of theirs. */
function matchConstants(
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

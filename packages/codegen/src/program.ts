/**
 * What lowering makes of a graph: buffers, and a list of kernel calls over them. Addresses are symbolic until the memory
 * plan gives every buffer its place; then a call is a function and a row of 32-bit integers.
 */
import type { DType, LayerInfo } from '@grim/ir';
import { invariant } from '@grim/ir';
import type { Family } from './kernels/family.ts';
import type { Stream } from './kernels/packed-streams.ts';
import type { ProductSite } from './schedule.ts';
import type { ModuleBuilder } from './wasm/assembler.ts';
import type { Twin } from './wgsl/shader.ts';

/** A run of bytes of the one memory. Arena buffers share bytes when their lifetimes do not meet. */
export interface Buffer {
  readonly id: number;
  readonly bytes: number;
  /** What it holds from the start; such a buffer is never written. */
  readonly constant?: Uint8Array;
  /** The constant is float32 that a file may hold in a narrower type. */
  readonly weights?: boolean;
  /** The constant is the words of a stream, which a file may hold in fewer bits. */
  readonly stream?: Stream;
  /** The constant is the weights of a stream of lanes, which a file may hold without the zeros that fill its vectors. */
  readonly lanes?: LaneWeights;
  /** Written by the setup, when a model is loaded, and never again. */
  readonly made?: true;
}

interface LaneWeights {
  /** Where the words of the stream are. */
  readonly words: Buffer;
  readonly rows: number;
}

/** A byte of a buffer. */
export interface Address {
  readonly buffer: Buffer;
  readonly offset: number;
}

/** Zeros around the last axes of a value; `before[i]` and `after[i]` count elements of spatial axis i (axis 2 + i). */
export interface Padding {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Where the elements of a value stand: element [i, j, …] at `offset` + (i · strides[0] + j · strides[1] + …) · element size. */
export interface Placement extends Address {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** In elements; 0 repeats an element, negative ones run backwards. */
  readonly strides: readonly number[];
  /**
   * Zeros that surely stand around the value, reachable with the value's own strides. Along the innermost axis the run
   * behind one row is the run before the next: `strides.at(-2)` = length + max(before, after).
   */
  readonly padding?: Padding;
}

/** A height of tiles, or a width: code for one that no call meets is left out. */
export type KernelPart = `${'rows' | 'columns'} ${number}`;

/**
 * A generated function. Its parameters are all i32, it returns nothing. The name states the whole identity: two kernels
 * of one name are the same code, and `emit` is called for the first alone. No text of a model may be in it.
 */
export interface Kernel {
  readonly name: string;
  /** Parts of its code that the call at hand runs; without it, all. Only the union over all calls is emitted. */
  readonly parts?: readonly KernelPart[];
  /** Adds the function to the module, exported as `exported`; of its parts those in `parts`, without it all. */
  emit(module: ModuleBuilder, family: Family, exported: string, parts?: ReadonlySet<KernelPart>): void;
  /** The same computation on a GPU; without one, models that use the kernel are for WebAssembly alone. */
  readonly twin?: Twin | undefined;
  /** Constants that the twin reads besides: they follow its arguments. */
  readonly tables?: readonly Address[] | undefined;
  /** Arguments, by their place, that the twin reads as float32 or as float16, as it is told. */
  readonly halves?: readonly number[] | undefined;
}

/** A call. Whatever it reads and writes must be among its arguments: lifetimes are read off them. */
export interface Call {
  readonly kind: 'call';
  readonly kernel: Kernel;
  readonly args: readonly (number | Address)[];
  /** Nodes of the graph that it computes, or helps to. */
  readonly nodes: readonly string[];
  /** The key of the product of a constant matrix that it computes; see `schedule.ts`. */
  readonly product?: string;
  /** The first of `sources` that nobody needs after this call may give its bytes to `target`, which the call fills. */
  readonly inPlace?: { readonly target: Buffer; readonly sources: readonly Buffer[] };
}

/** Runs `whenTrue` when the byte at `condition` is not 0. */
interface Branch {
  readonly kind: 'if';
  readonly condition: Address;
  readonly whenTrue: readonly Step[];
  readonly whenFalse: readonly Step[];
  readonly nodes: readonly string[];
}

/**
 * Calls that depend on nothing of one another: no byte that one writes is read or written by another. They may run at the
 * same time, in any order.
 */
interface Group {
  readonly kind: 'group';
  /** At least two. */
  readonly calls: readonly Call[];
  readonly nodes: readonly string[];
}

export type Step = Call | Branch | Group;

/** A lowered graph. */
export interface Program {
  readonly buffers: readonly Buffer[];
  readonly steps: readonly Step[];
  /** Runs once, before the first run: makes the buffers that say so. */
  readonly setup: readonly Call[];
  /** By public name; row-major. */
  readonly inputs: ReadonlyMap<string, Placement>;
  readonly outputs: ReadonlyMap<string, Placement>;
  readonly layers: readonly LayerInfo[];
  /** Products of constant matrices and how each is computed, in order. */
  readonly products: readonly ProductSite[];
  /** By node: what was chosen and why. */
  readonly notes: ReadonlyMap<string, readonly string[]>;
}

/** The kernel with what both calls need of it. */
function joined(a: Kernel, b: Kernel): Kernel {
  const { name, emit } = a;
  return a.parts && b.parts ? { name, emit, parts: [...new Set([...a.parts, ...b.parts])] } : { name, emit };
}

/** Kernels in order of first use, each once. */
export function kernelsOf(steps: readonly Step[], found: Map<string, Kernel> = new Map()): ReadonlyMap<string, Kernel> {
  for (const step of steps) {
    if (step.kind === 'if') {
      kernelsOf(step.whenTrue, found);
      kernelsOf(step.whenFalse, found);
    } else
      for (const { kernel } of step.kind === 'group' ? step.calls : [step]) {
        const known = found.get(kernel.name);
        found.set(kernel.name, known ? joined(known, kernel) : kernel);
      }
  }
  return found;
}

/** Calls of all steps, each branch after the other; those of one inner list may run at the same time. */
export function momentsOf(steps: readonly Step[]): readonly (readonly Call[])[] {
  return steps.flatMap((step) => {
    if (step.kind === 'if') return [...momentsOf(step.whenTrue), ...momentsOf(step.whenFalse)];
    return step.kind === 'group' ? [step.calls] : [[step]];
  });
}

/** Calls of all steps, each branch after the other. */
export function callsOf(steps: readonly Step[]): readonly Call[] {
  return momentsOf(steps).flat();
}

/**
 * The flat form that a runtime walks: `kernel, ...args` for a call, `-1, condition, length of then, length of else` and
 * both lists for a branch, `-2, length` and the calls for a group. Kernels are numbered as in {@link kernelsOf}.
 * @param addressOf  where the memory plan puts a buffer
 */
export function encodeSteps(
  steps: readonly Step[],
  kernels: ReadonlyMap<string, number>,
  addressOf: (buffer: Buffer) => number,
): number[] {
  const code: number[] = [];
  const resolve = (arg: number | Address) => (typeof arg === 'number' ? arg : addressOf(arg.buffer) + arg.offset);
  for (const step of steps) {
    if (step.kind === 'if') {
      const then = encodeSteps(step.whenTrue, kernels, addressOf);
      const otherwise = encodeSteps(step.whenFalse, kernels, addressOf);
      code.push(-1, resolve(step.condition), then.length, otherwise.length);
      // One by one: a list of steps may be longer than the arguments a call takes.
      for (const word of then) code.push(word);
      for (const word of otherwise) code.push(word);
    } else if (step.kind === 'group') {
      const calls = encodeSteps(step.calls, kernels, addressOf);
      code.push(-2, calls.length);
      for (const word of calls) code.push(word);
    } else {
      const kernel = kernels.get(step.kernel.name);
      invariant(kernel !== undefined, `kernel ${step.kernel.name} is not in the module`);
      code.push(kernel);
      for (const arg of step.args) {
        const value = resolve(arg);
        invariant(Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 32, `argument ${value}`);
        code.push(value);
      }
    }
  }
  return code;
}

/**
 * From a lowered program to what a GPU needs of it: shaders, a flat list of dispatches, and constants that the WebAssembly
 * program has not.
 *
 * The graph is lowered a second time, because a GPU wants whole calls where threads want pieces. What both lowerings place is
 * the same bytes, so a file has them once (`constants.ts`); those of the GPU alone, and the program itself, stand behind them.
 * The arena is planned anew.
 */
import { GrimError, invariant, quote, type ShaderVariant, type WebGpuProgram } from '@grim/ir';
import { type MemoryPlan, type PlanOptions, planMemory } from '../plan-memory.ts';
import { type Address, type Buffer, type Call, callsOf, type Program, type Step } from '../program.ts';
import { type Condition, conditional } from './condition.ts';
import { layOutConstants, matchConstants, operandAt } from './constants.ts';
import { inSegments, readsConstants } from './segments.ts';
import type { Argument, Dispatch, Operand, Shader } from './shader.ts';

const MOST_GROUPS = 65535;
/** Room for the text is made in steps of this, as its length depends on addresses behind it. */
const ROOM = 256;
/** What every device allows a binding to have. */
const SEGMENT_BYTES = 2 ** 27;

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

export interface LinkOptions extends PlanOptions {
  /** Weights are float16 wherever the program reads them. Default false. */
  readonly halves?: boolean | undefined;
}

/**
 * The memory of both programs, and the text of the one for the GPU in it.
 * @throws {GrimError} GRIM_CODEGEN_NO_SHADER with every kernel that has no twin
 */
export function linkWgsl({ lowered, program, gpu }: Both, options: LinkOptions = {}): Linked {
  const { halves = false, segmentBytes = SEGMENT_BYTES } = options;
  const { shared, own } = matchConstants(gpu, lowered, program);
  const arena = planMemory({ ...gpu, steps: lasting(gpu.steps), setup: [] });
  for (let room = ROOM; ; ) {
    const text: Buffer = { id: program.buffers.length + own.length, bytes: room, constant: new Uint8Array(room) };
    const plan = planMemory(program, options, [...own, text]);
    const constants = layOutConstants(gpu, shared, plan, halves);
    const operand = ({ buffer, offset }: Address): Operand => {
      if (!buffer.constant) return { space: 'arena', byte: arena.addressOf(buffer) - arena.constantBytes + offset };
      const place = constants.places.get(buffer);
      invariant(place, `constant ${buffer.id} has no place on a GPU`);
      return operandAt(place, offset);
    };
    const { constantBytes, copies } = constants;
    const memory = { constantBytes, copies, arenaBytes: arena.arenaBytes, segmentBytes };
    const { program: found, products } = programOf(gpu, operand, memory);
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
  memory: Pick<WebGpuProgram, 'constantBytes' | 'copies' | 'arenaBytes' | 'segmentBytes'>,
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
  const shaders = new Map<string, { readonly index: number; readonly shader: Shader }>();
  const steps: number[] = [];
  for (const { shader, groups, args } of dispatches) {
    let known = shaders.get(shader.name);
    if (!known) {
      known = { index: shaders.size, shader };
      shaders.set(shader.name, known);
    }
    // One by one: a list may be longer than the arguments a call takes.
    for (const word of [known.index, ...groups, args.length, ...args]) steps.push(word);
  }
  const { constantBytes, segmentBytes } = memory;
  const flat = (value: Address) => {
    const { space, byte } = operand(value);
    return space === 'constants' ? byte : constantBytes + byte;
  };
  const segments = Math.ceil(constantBytes / segmentBytes);
  const program: WebGpuProgram = {
    ...memory,
    inputs: Array.from(gpu.inputs.values(), flat),
    outputs: Array.from(gpu.outputs.values(), flat),
    shaders: Array.from(shaders.values(), ({ shader }) => shader.code()),
    variants: Array.from(shaders.values()).flatMap(({ index, shader }): ShaderVariant[] => {
      const code = shader.code();
      const split = segments > 1 && readsConstants(code);
      return [
        ...(split
          ? [{ shader: index, needs: 'segments' as const, code: inSegments(code, segments, segmentBytes) }]
          : []),
        ...(shader.variants ?? []).map((variant) => ({ shader: index, needs: variant.needs, code: variant.code() })),
      ];
    }),
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

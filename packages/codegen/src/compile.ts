/**
 * From a graph to a compiled model: verify, settle shapes, simplify, lower, place in memory, emit.
 *
 * Every step takes plain data and returns plain data; the same graph and options give the same bytes.
 */
import {
  type CallInfo,
  type CompiledModel,
  type Graph,
  GrimError,
  type KernelInfo,
  type Producer,
  quote,
  requireStatic,
  type StatePair,
  type ValueInfo,
  verify,
  type WeightEncoding,
} from '@grim/ir';
import { emitModule, exportName } from './emit.ts';
import type { GpuSchedules } from './gpu-schedule.ts';
import { isRepeated } from './kernels/repeat.ts';
import { lowerGraph } from './lower/session.ts';
import { packStreams } from './passes/pack-streams.ts';
import { settle } from './passes/settle.ts';
import { simplify } from './passes/simplify.ts';
import { type MemoryPlan, type PlanOptions, planMemory } from './plan-memory.ts';
import { type Buffer, type Call, callsOf, encodeSteps, kernelsOf, type Placement, type Program } from './program.ts';
import type { ProductSite, Schedules } from './schedule.ts';
import { linkWgsl } from './wgsl/link.ts';

/** Of the manifest's producer. */
const VERSION = '0.1.0';

export type Target = 'wasm' | 'webgpu';

export interface CompileOptions {
  /** Graph passes; false leaves the graph as it is. Default true. */
  readonly simplify?: boolean;
  /**
   * Threads that a runtime may have: calls of more than about 0.1 ms are cut into up to twice as many pieces. Fewer threads, or
   * one, run the same pieces and give the same bits. 1 cuts nothing. Default 4.
   */
  readonly threads?: number;
  /**
   * Estimated cycles that a piece must have to be worth its fork and join, at least 1. With a small number small calls are shared
   * too, to no gain: tests of threads do so. Default 100,000.
   */
  readonly pieceCycles?: number;
  /**
   * Adds a module for engines that join pairs of 128-bit instructions to 256-bit ones, as Node does when it is asked to
   * (`wide` of `@grim/runtime/node`). Default false.
   */
  readonly wide?: boolean;
  /**
   * Outputs that are inputs of the next run, by public names: what a recurrent network remembers. The runtime keeps them; they
   * start as zeros. Default none.
   */
  readonly states?: readonly StatePair[];
  /**
   * What the model shall run on. `wasm` is always there, and is what a model falls back to; with `webgpu` shaders come beside
   * it. Default `['wasm']`.
   */
  readonly targets?: readonly Target[];
  /** How memory is shared. */
  readonly memory?: PlanOptions;
  /**
   * How `pack` is to store the weights. With `f16` they are float16 on a GPU too, half the bytes for products to read; sums stay
   * float32. Default: what `pack` is told, and float32 on a GPU.
   */
  readonly weights?: WeightEncoding;
  /** How products are computed, as `tune` finds it; what is not there is decided as without. */
  readonly schedules?: Schedules;
  /** The same for a GPU; weights are then in the file once more where the two want them in another order. */
  readonly gpuSchedules?: GpuSchedules;
}

/**
 * @param graph  with static shapes: `bind()` first
 * @throws {GrimError} the first error of `verify()`, with all of them in `details.diagnostics`; GRIM_IR_UNBOUND_DIM;
 *   GRIM_CODEGEN_BAD_STATE; GRIM_CODEGEN_UNSUPPORTED_OP with every node that has no kernels; GRIM_CODEGEN_BAD_SCHEDULE;
 *   GRIM_CODEGEN_NO_SHADER with every kernel that a GPU cannot run yet; GRIM_CODEGEN_DEVICE_LIMIT beyond 4 GiB
 */
export function compile(graph: Graph, options: CompileOptions = {}): CompiledModel {
  const targets = targetsOf(options);
  requireValid(graph);
  requireStatic(graph);
  const gpu = targets.includes('webgpu') ? lower(graph, options, true) : undefined;
  const model = link(lower(graph, options), graph.name, options, gpu);
  const producer = { ...model.manifest.producer, options: producerOptions(options) };
  const { weights } = options;
  return { ...model, manifest: { ...model.manifest, producer }, ...(weights && { weights }) };
}

/** The products of a graph whose schedules can be given, in order. @param gpu  as a GPU computes them */
export function productsOf(graph: Graph, options: CompileOptions, gpu = false): readonly ProductSite[] {
  requireValid(graph);
  requireStatic(graph);
  const { steps, products } = lower(graph, options, gpu);
  const called = new Set(callsOf(steps).map(({ product }) => product));
  return products.filter(({ key }) => called.has(key));
}

function targetsOf({ targets = ['wasm'] }: CompileOptions): readonly Target[] {
  const unknown = targets.find((target) => target !== 'wasm' && target !== 'webgpu');
  if (unknown !== undefined)
    throw new GrimError('GRIM_CODEGEN_BAD_OPTION', `compile: no target ${quote(unknown)}, only wasm and webgpu.`, {
      target: unknown,
    });
  return targets;
}

function lower(
  graph: Graph,
  { simplify: asked = true, threads = 4, pieceCycles, schedules, gpuSchedules }: CompileOptions = {},
  gpu = false,
): Program {
  const settled = settle(graph);
  return lowerGraph(asked ? simplify(settled) : settled, undefined, {
    threads,
    pieceCycles,
    schedules,
    gpuSchedules,
    gpu,
  });
}

/**
 * Gives a lowered program its memory, its modules and its manifest.
 * @param gpu  the same graph lowered for a GPU
 */
export function link(
  lowered: Program,
  name: string,
  { memory, states = [], wide = false, weights }: Pick<CompileOptions, 'memory' | 'states' | 'wide' | 'weights'> = {},
  gpu?: Program,
): CompiledModel {
  const packed = packStreams(lowered);
  const linked = gpu && linkWgsl({ lowered, program: packed, gpu }, { ...memory, halves: weights === 'f16' });
  const program = linked ? { ...packed, buffers: [...packed.buffers, ...linked.buffers] } : packed;
  const plan = linked?.plan ?? planMemory(program, memory);
  const kernels = kernelsOf([...program.setup, ...program.steps]);
  const numbers = numbered(kernels.keys());
  return {
    manifest: {
      name,
      producer: { name: '@grim/codegen', version: VERSION, options: {} },
      inputs: valuesOf(program.inputs, plan),
      outputs: valuesOf(program.outputs, plan),
      states: states.map((pair, i) => checkedState(pair, program, states.slice(0, i))),
      constantBytes: plan.constantBytes,
      arenaBytes: plan.arenaBytes,
      kernels: kernelInfos(program),
      ...(program.setup.length > 0 && {
        setup: { bytes: plan.madeBytes, steps: encodeSteps(program.setup, numbers, plan.addressOf) },
      }),
      steps: encodeSteps(program.steps, numbers, plan.addressOf),
      layers: program.layers,
      ...(linked && { webgpu: linked.webgpu }),
    },
    wasm: {
      ...(wide && { wide: emitModule(kernels.values(), { relaxed: true, wide }, plan.pages) }),
      relaxed: emitModule(kernels.values(), { relaxed: true }, plan.pages),
      plain: emitModule(kernels.values(), { relaxed: false }, plan.pages),
    },
    ...constantsOf(program, plan),
    calls: callInfos(callsOf(program.steps)),
    ...(linked && { dispatches: linked.dispatches }),
  };
}

/** @throws {GrimError} GRIM_CODEGEN_BAD_STATE unless both are there, of one type, and the input is fed once */
function checkedState(
  { input, output }: StatePair,
  { inputs, outputs }: Program,
  before: readonly StatePair[],
): StatePair {
  if (before.some((other) => other.input === input))
    throw new GrimError('GRIM_CODEGEN_BAD_STATE', `state ${quote(input)}: the input is named twice. Name it once.`, {
      input,
    });
  const [into, from] = [inputs.get(input), outputs.get(output)];
  const said = (of: Placement | undefined) => (of ? `${of.dtype} [${of.shape.join(', ')}]` : 'not there');
  if (!into || !from || said(into) !== said(from))
    throw new GrimError(
      'GRIM_CODEGEN_BAD_STATE',
      `state ${quote(input)}: the input is ${said(into)}, the output ${quote(output)} is ${said(from)}. Both must be there and of one type.`,
      { input, output },
    );
  return { input, output };
}

/** What was asked, defaults spelled out. */
function producerOptions({
  simplify: asked = true,
  threads = 4,
  pieceCycles,
  wide,
  targets = [],
  memory = {},
  weights,
}: CompileOptions): Producer['options'] {
  const plan = Object.entries(memory).filter(([, value]) => value !== undefined);
  const webgpu = targets.includes('webgpu') && { webgpu: true };
  return {
    simplify: asked,
    threads,
    ...(pieceCycles && { pieceCycles }),
    ...(wide && { wide }),
    ...webgpu,
    ...(weights && { weights }),
    ...Object.fromEntries(plan),
  };
}

/** Bytes count at the first call of a node that touches them. */
function callInfos(calls: readonly Call[]): readonly CallInfo[] {
  let node: string | undefined;
  let touched = new Set<Buffer>();
  return calls.map(({ kernel, args, nodes, product }) => {
    if (nodes[0] !== node || node === undefined) touched = new Set();
    [node] = nodes;
    const [rounds] = args;
    const again = isRepeated(kernel) && typeof rounds === 'number' ? rounds : 1;
    let bytes = 0;
    for (const arg of args) {
      if (typeof arg === 'number' || touched.has(arg.buffer)) continue;
      touched.add(arg.buffer);
      bytes += (arg.buffer.constant || arg.buffer.made ? again : 1) * arg.buffer.bytes;
    }
    return { nodes, kernel: kernel.name, bytes, ...(product !== undefined && { product }) };
  });
}

function requireValid(graph: Graph): void {
  const errors = verify(graph).filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (first) throw new GrimError(first.code, first.message, { diagnostics: errors });
}

function numbered(names: Iterable<string>): ReadonlyMap<string, number> {
  return new Map(Array.from(names, (name, i) => [name, i]));
}

function valuesOf(placements: ReadonlyMap<string, Placement>, plan: MemoryPlan): ValueInfo[] {
  return Array.from(placements, ([name, { buffer, offset, dtype, shape }]) => ({
    name,
    dtype,
    shape,
    offset: plan.addressOf(buffer) + offset,
  }));
}

function kernelInfos({ setup, steps }: Program): KernelInfo[] {
  const parameters = new Map<string, number>();
  for (const { kernel, args } of [...setup, ...callsOf(steps)]) parameters.set(kernel.name, args.length);
  return Array.from(parameters.values(), (count, i) => ({ name: exportName(i), parameters: count }));
}

/** All constants as the memory holds them, and which of them are weights. */
function constantsOf({ buffers }: Program, plan: MemoryPlan): Pick<CompiledModel, 'constants' | 'segments'> {
  const constants = new Uint8Array(plan.constantBytes - plan.madeBytes);
  const segments: { kind: 'weights' | 'tables'; bytes: number }[] = [];
  const extend = (kind: 'weights' | 'tables', bytes: number) => {
    const last = segments.at(-1);
    if (bytes === 0) return;
    if (last?.kind === kind) last.bytes += bytes;
    else segments.push({ kind, bytes });
  };
  let end = 0;
  for (const buffer of buffers) {
    if (!buffer.constant || !plan.isPlaced(buffer)) continue;
    const address = plan.addressOf(buffer);
    constants.set(buffer.constant, address);
    extend('tables', address - end);
    extend(buffer.weights ? 'weights' : 'tables', buffer.bytes);
    end = address + buffer.bytes;
  }
  extend('tables', constants.length - end);
  return { constants, segments };
}

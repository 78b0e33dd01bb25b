/**
 * Lowers a graph node by node: keeps where every value is or how it would be computed, hands out buffers, collects calls.
 * The interface of lowerings, with its rules, is `lower.ts`.
 */
import {
  bytesPerElement,
  type DType,
  type Graph,
  inferTypes,
  invariant,
  isStatic,
  type LayerInfo,
  type Node,
  quote,
  type Tensor,
  type TensorArray,
  type TensorType,
  type Weight,
} from '@grim/ir';
import type { GpuSchedules } from '../gpu-schedule.ts';
import type { Stream } from '../kernels/packed-streams.ts';
import type { FusedEpilogue, LowerContext, Lowering, Lowerings, StaticType } from '../lower.ts';
import { type Expression, load, shapeOf } from '../map/expression.ts';
import { functionTable } from '../map/functions.ts';
import { mapCall } from '../map/kernel.ts';
import { borders, broadcastTo, covers, isInRows, isRowMajor, SLACK, sizeOf, unionOf } from '../map/placement.ts';
import {
  type Address,
  type Call,
  callsOf,
  type Kernel,
  type Padding,
  type Placement,
  type Program,
  type Step,
} from '../program.ts';
import { ProductRecords, type Schedules } from '../schedule.ts';
import { Composition } from './composition.ts';
import { epilogueOf } from './epilogue.ts';
import { layersOf, withCalls } from './layer-facts.ts';
import { gapsOf } from './pitch.ts';
import { freshNames, type Scope, scopeOf } from './scope.ts';
import { PIECE_CYCLES, piecesOf, ranges } from './share.ts';
import { Storage } from './storage.ts';
import { LOWERINGS } from './table.ts';
import { callTranspose } from './transpose.ts';
import { type Problem, reportProblems, Unsupported } from './unsupported.ts';

/** A value on its way: computed, or to be computed when its elements are needed. */
type Value =
  | { readonly kind: 'placed'; readonly placement: Placement }
  | { readonly kind: 'pending'; readonly expression: Expression };

/** Longer chains are cut: one kernel would need more registers than there are. */
const MOST_OPERATIONS = 16;
const MOST_OPERANDS = 6;

interface LowerOptions {
  /** Of {@link LowerContext}. Default 1. */
  readonly threads?: number | undefined;
  /** Of {@link LowerContext}. Default {@link PIECE_CYCLES}. */
  readonly pieceCycles?: number | undefined;
  readonly schedules?: Schedules | undefined;
  readonly gpuSchedules?: GpuSchedules | undefined;
  /** Of {@link LowerContext}. Default false. */
  readonly gpu?: boolean | undefined;
}

/**
 * @param graph  verified, its shapes static
 * @param table  the operators there are
 * @throws {GrimError} GRIM_CODEGEN_UNSUPPORTED_OP with every node that cannot be lowered
 */
export function lowerGraph(graph: Graph, table: Lowerings = LOWERINGS, options: LowerOptions = {}): Program {
  return new Session(graph, table, options).run();
}

class Session implements LowerContext {
  readonly threads: number;
  readonly pieceCycles: number;
  readonly gpu: boolean;
  readonly products: ProductRecords;
  readonly #graph: Graph;
  readonly #table: Lowerings;
  readonly #storage = new Storage();
  readonly #problems: Problem[] = [];
  readonly #layers: LayerInfo[] = [];
  readonly #notes = new Map<string, string[]>();
  #steps: Step[] = [];
  #values = new Map<string, Value>();
  /** Copies of values in another layout. */
  #copies = new Map<string, Placement>();
  #scope: Scope;
  #node: Node | undefined;
  #nodeNames: string[] = [];
  /** The node of the graph that is composed of those being lowered, and the names it answers for. */
  #composed: { readonly node: Node; readonly names: readonly string[] } | undefined;
  #freshName: (() => string) | undefined;

  constructor(
    graph: Graph,
    table: Lowerings,
    { threads = 1, pieceCycles = PIECE_CYCLES, schedules, gpuSchedules, gpu = false }: LowerOptions,
  ) {
    this.threads = threads;
    this.pieceCycles = pieceCycles;
    this.gpu = gpu;
    this.products = new ProductRecords(schedules, gpuSchedules);
    this.#graph = graph;
    this.#table = table;
    this.#scope = scopeOf(graph, undefined, inferTypes(graph));
  }

  run(): Program {
    const inputs = new Map<string, Placement>();
    for (const name of this.#graph.inputs.keys()) {
      const placement = this.#storage.dense(this.type(name));
      inputs.set(name, placement);
      this.#values.set(name, { kind: 'placed', placement });
    }
    this.#lowerNodes();
    const outputs = new Map<string, Placement>();
    this.#nodeNames = [];
    if (this.#problems.length === 0)
      for (const [name, value] of this.#graph.outputs) outputs.set(name, this.contiguous(value));
    reportProblems(this.#problems);
    const layers = withCalls(this.#layers, this.#steps);
    return {
      buffers: this.#storage.buffers,
      steps: this.#steps,
      setup: [],
      inputs,
      outputs,
      layers,
      products: this.products.sites,
      notes: this.#notes,
    };
  }

  get node(): Node {
    invariant(this.#node, 'a node is being lowered');
    return this.#node;
  }

  type(name: string): StaticType {
    for (let scope: Scope | undefined = this.#scope; scope; scope = scope.outer) {
      const type = scope.types.get(name);
      if (!type) continue;
      if (!isStatic(type.shape)) throw new Unsupported('a shape that only a run can tell', 'shapes known beforehand');
      return { dtype: type.dtype, shape: type.shape };
    }
    throw new Error(`internal: no value ${quote(name)}`);
  }

  constant(name: string): Weight | undefined {
    for (let scope: Scope | undefined = this.#scope; scope; scope = scope.outer) {
      const weight = scope.graph.weights.get(name);
      if (weight) return weight;
    }
    return undefined;
  }

  note(text: string): void {
    const { name } = this.#composed?.node ?? this.node;
    this.#notes.set(name, [...(this.#notes.get(name) ?? []), text]);
  }

  layer(info: LayerInfo): void {
    this.#layers.push(info);
  }

  uses(name: string): number {
    return this.#scope.uses.get(name) ?? 0;
  }

  operand(name: string, shape?: readonly number[]): Expression {
    const value = this.#values.get(name);
    if (value?.kind === 'pending') {
      const [output = ''] = this.node.outputs;
      // Repeated elements are computed once.
      const target = shape ?? (output === '' ? this.type(name).shape : this.type(output).shape);
      if (sizeOf(target) === sizeOf(this.type(name).shape)) return value.expression;
    }
    return load(this.read(name));
  }

  bound(name: string): Expression {
    const placement = this.read(name);
    invariant(sizeOf(placement.shape) === 1, `${quote(name)} has one element`);
    return load({ ...placement, shape: [], strides: [] });
  }

  define(name: string, expression: Expression): void {
    if (name === '') return;
    this.#values.set(name, { kind: 'pending', expression });
    const { operations, loads } = shapeOf(expression);
    const large = operations.length > MOST_OPERATIONS || loads.length > MOST_OPERANDS;
    if (large || this.uses(name) > 1 || this.#isResult(name)) this.read(name);
  }

  read(name: string): Placement {
    const value = this.#values.get(name);
    if (value?.kind === 'placed') return value.placement;
    if (value) {
      const placement = this.write(name);
      this.store(value.expression, placement);
      return placement;
    }
    const weight = this.constant(name);
    invariant(weight, `${quote(name)} is neither computed nor a weight`);
    return this.#storage.weight(weight);
  }

  contiguous(name: string): Placement {
    const placement = this.read(name);
    if (isRowMajor(placement)) return placement;
    const key = `contiguous ${name}`;
    const known = this.#copies.get(key);
    if (known) return known;
    const copy = this.#storage.dense(placement);
    this.copy(placement, copy);
    this.#copies.set(key, copy);
    return copy;
  }

  padded(name: string, padding: Padding): Placement {
    const wanted = this.#scope.wanted.get(name);
    if (this.#values.get(name)?.kind === 'pending' && !this.#isResult(name))
      this.#scope.wanted.set(name, wanted ? unionOf(wanted, padding) : padding);
    const placement = this.read(name);
    if (covers(placement.padding, padding) && (placement.padding || isInRows(placement))) return placement;
    const key = `padded ${padding.before.join()} ${padding.after.join()} ${name}`;
    const known = this.#copies.get(key);
    if (known) return known;
    const copy = this.#allocatePadded(placement, padding);
    this.copy(placement, copy);
    this.#copies.set(key, copy);
    return copy;
  }

  write(name: string): Placement {
    const type = this.type(name);
    const plain = this.#isResult(name) || sizeOf(type.shape) === 0;
    const wanted = plain ? undefined : this.#scope.wanted.get(name);
    const gap = plain ? 0 : (this.#scope.gaps.get(name) ?? 0);
    const placement =
      wanted && !covers(undefined, wanted)
        ? this.#allocatePadded(type, wanted)
        : gap > 0
          ? this.#storage.gapped(type, gap)
          : this.#storage.dense(type);
    this.#values.set(name, { kind: 'placed', placement });
    return placement;
  }

  writeContiguous(name: string): Placement {
    const placement = this.#storage.dense(this.type(name));
    this.#values.set(name, { kind: 'placed', placement });
    return placement;
  }

  zeroBorders(of: Placement): void {
    const zero = { dtype: of.dtype, shape: [], data: zeroOf(of.dtype) } as Tensor;
    for (const box of borders(of)) this.fill(box, zero);
  }

  view(name: string, placement: Placement): void {
    if (name === '') return;
    const { dtype, shape } = this.type(name);
    invariant(placement.dtype === dtype && placement.shape.join() === shape.join(), `a view of another type`);
    this.#values.set(name, { kind: 'placed', placement });
  }

  store(expression: Expression, to: Placement): void {
    const call = mapCall(expression, to, () => this.data(functionTable()));
    if (!call) return;
    const inPlace = { target: to.buffer, sources: call.inPlaceSources };
    this.parallel(() => {
      for (const { first, count } of ranges(call.rounds, call.unit, piecesOf(this, call.cycles)))
        this.#push(call.kernel, call.part(first, count), inPlace);
    });
  }

  copy(from: Placement, to: Placement): void {
    if (!callTranspose(this, from, to)) this.store(load(broadcastTo(from, to.shape)), to);
  }

  fill(to: Placement, value: Tensor): void {
    const { buffer, offset } = this.data(value.data);
    this.copy({ buffer, offset, dtype: to.dtype, shape: [], strides: [] }, to);
  }

  scratch(bytes: number): Address {
    return { buffer: this.#storage.allocate(bytes + SLACK), offset: 0 };
  }

  data(values: TensorArray, kind: 'weights' | 'tables' = 'tables'): Address {
    return this.#storage.constant(values, { weights: kind === 'weights' });
  }

  stream(words: Int32Array, stream: Stream): Address {
    return this.#storage.constant(words, { stream });
  }

  laneWeights(values: Float32Array, { buffer: words }: Address, rows: number): Address {
    return this.#storage.constant(values, { weights: true, lanes: { words, rows } });
  }

  call(kernel: Kernel, ...args: readonly (number | Address)[]): void {
    this.#push(kernel, args);
  }

  parallel(body: () => void): void {
    const before = this.#steps;
    this.#steps = [];
    body();
    invariant(
      this.#steps.every(({ kind }) => kind !== 'if'),
      'calls alone may run at the same time',
    );
    const calls = callsOf(this.#steps);
    this.#steps = before;
    if (calls.length > 1) this.#steps.push({ kind: 'group', calls, nodes: [...this.#nodeNames] });
    else this.#steps.push(...calls);
  }

  epilogue(output: string): FusedEpilogue {
    const { epilogue, absorbed } = epilogueOf(output, {
      scope: this.#scope,
      type: (name) => this.type(name),
      constant: (name) => this.constant(name),
      isAvailable: (name) => name !== '' && (this.#values.has(name) || this.constant(name) !== undefined),
    });
    for (const node of absorbed) {
      this.#scope.absorbed.add(node);
      if (!this.#composed) this.#nodeNames.push(node.name);
    }
    return epilogue;
  }

  branch(condition: Address, then: () => void, otherwise: () => void): void {
    // What is computed inside a branch is not there outside.
    for (const [name, value] of this.#values) if (value.kind === 'pending') this.read(name);
    const [steps, values, copies] = [this.#steps, this.#values, this.#copies];
    const arm = (body: () => void): Step[] => {
      this.#steps = [];
      this.#values = new Map(values);
      this.#copies = new Map(copies);
      body();
      return this.#steps;
    };
    const [first, second] = [arm(then), arm(otherwise)];
    this.#steps = steps;
    this.#values = values;
    this.#copies = copies;
    this.#steps.push({ kind: 'if', condition, whenTrue: first, whenFalse: second, nodes: [...this.#nodeNames] });
  }

  inline(body: Graph, use: (outputs: readonly string[]) => void): void {
    const outer = this.#scope;
    const [node, names] = [this.#node, this.#nodeNames];
    const visible = new Map<string, TensorType>();
    const weights = new Map<string, Weight>();
    for (let scope: Scope | undefined = outer; scope; scope = scope.outer) {
      for (const [name, type] of scope.types) if (!visible.has(name)) visible.set(name, type);
      for (const [name, weight] of scope.graph.weights) if (!weights.has(name)) weights.set(name, weight);
    }
    const own = new Set([...body.weights.keys(), ...body.inputs.keys()]);
    const inputs = Array.from(visible).filter(([name]) => !own.has(name) && !weights.has(name));
    for (const [name, weight] of body.weights) weights.set(name, weight);
    const types = inferTypes({ ...body, inputs: new Map([...inputs, ...body.inputs]), weights });
    this.#scope = scopeOf(body, outer, types);
    this.#lowerNodes();
    this.#node = node;
    this.#nodeNames = names;
    use([...body.outputs.values()]);
    this.#scope = outer;
  }

  compose(build: (g: Composition) => readonly string[]): void {
    const { node } = this;
    const outer = this.#composed;
    this.#freshName ??= freshNames(this.#graph);
    const composition = new Composition(outer?.node.name ?? node.name, this.#freshName);
    const results = build(composition);
    const wanted = node.outputs.flatMap((name, i) => (name === '' ? [] : [[name, results[i] ?? ''] as const]));
    for (const [name, placement] of composition.placed) this.#values.set(name, { kind: 'placed', placement });
    const problems = this.#problems.length;
    this.#composed = outer ?? { node, names: [...this.#nodeNames] };
    this.inline(composition.graph(wanted.map(([, value]) => value)), () => {
      if (this.#problems.length > problems) return;
      for (const [name, value] of wanted) this.view(name, this.read(value));
    });
    this.#composed = outer;
    if (this.#problems.length > problems) this.#standIn(node);
  }

  unsupported(found: string, supported: string): never {
    throw new Unsupported(found, supported);
  }

  #lowerNodes(): void {
    const { graph, absorbed, wanted, gaps } = this.#scope;
    for (const node of graph.nodes) {
      const { wants } = this.#lowering(node) ?? {};
      try {
        for (const { value, padding } of wants?.(node as never, this) ?? []) {
          const known = wanted.get(value);
          wanted.set(value, known ? unionOf(known, padding) : padding);
        }
      } catch (error) {
        // The lowering of the same node says it again.
        if (!(error instanceof Unsupported)) throw error;
      }
    }
    for (const [name, gap] of gapsOf(graph, this, wanted)) gaps.set(name, gap);
    for (const node of graph.nodes) {
      if (absorbed.has(node)) continue;
      this.#node = node;
      this.#nodeNames = this.#composed ? [...this.#composed.names] : [node.name];
      try {
        const found = this.#lowering(node);
        if (!found)
          throw new Unsupported('this operator', `the operators ${Object.keys(this.#table).sort().join(', ')}`);
        if (!found.anyShape) for (const name of node.outputs) if (name !== '') this.type(name);
        const [steps, layers] = [this.#steps.length, this.#layers.length];
        found.lower(node as never, this);
        // A lowering that says more of its layers itself is left alone.
        if (this.#layers.length === layers) this.#describe(node, this.#steps.slice(steps));
      } catch (error) {
        if (!(error instanceof Unsupported)) throw error;
        const { supported } = error;
        const { name, op } = this.#composed?.node ?? node;
        const found = this.#composed ? `${node.op} of ${error.found}` : error.found;
        this.#problems.push({ node: name, op, found, supported });
        this.#standIn(node);
      }
    }
    this.#node = undefined;
  }

  #describe(node: Node, steps: readonly Step[]): void {
    // The tables of a composed operator are no layers of the model.
    if (this.#composed) return;
    const types = { get: (name: string) => (name === '' ? undefined : this.type(name)) };
    this.#layers.push(...layersOf(node, (name) => this.constant(name), types, steps));
  }

  /** Places for the outputs of a node that was not lowered, so that all others are still looked at. */
  #standIn(node: Node): void {
    for (const name of node.outputs) {
      const shape = this.#scope.types.get(name)?.shape ?? null;
      const dtype = this.#scope.types.get(name)?.dtype ?? 'float32';
      const placement = this.#storage.dense({ dtype, shape: isStatic(shape) ? shape : [] });
      if (name !== '' && !this.#values.has(name)) this.#values.set(name, { kind: 'placed', placement });
    }
  }

  #push(kernel: Kernel, args: readonly (number | Address)[], inPlace?: Call['inPlace']): void {
    // Placements carry more than an address.
    const plain = args.map((arg) => (typeof arg === 'number' ? arg : { buffer: arg.buffer, offset: arg.offset }));
    const product = this.products.current;
    const call = {
      kind: 'call',
      kernel,
      args: plain,
      nodes: [...this.#nodeNames],
      ...(product !== undefined && { product }),
    } as const;
    this.#steps.push(inPlace && inPlace.sources.length > 0 ? { ...call, inPlace } : call);
  }

  #allocatePadded(type: StaticType, padding: Padding): Placement {
    const placement = this.#storage.padded(type, padding);
    this.zeroBorders(placement);
    return placement;
  }

  #lowering(node: Node): Lowering<never> | undefined {
    return Object.hasOwn(this.#table, node.op) ? (this.#table[node.op] as Lowering<never> | undefined) : undefined;
  }

  #isResult(name: string): boolean {
    return this.#scope.results.has(name);
  }
}

function zeroOf(dtype: DType): Uint8Array {
  return new Uint8Array(bytesPerElement(dtype));
}

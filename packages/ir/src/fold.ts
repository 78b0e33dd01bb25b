/**
 * Constant folding: what can be computed before the graph runs is computed, with the reference kernels.
 *
 * A graph is folded in one walk over its nodes, typing each as it goes: `Shape` of a known shape becomes a constant, and
 * with it the chain of Gather, Concat and Reshape behind it; `Identity` and `Dropout` vanish; an `If` whose condition
 * is known becomes its branch. Then what nobody needs is dropped. The importer feeds its nodes through the same walk, so
 * that rewriting an old operator can ask for types and constants.
 */
import { GrimError, type GrimErrorCode, quote } from './errors.ts';
import { foldWork, WORK_ALWAYS, WORK_FLOOR, WORK_PER_BYTE } from './fold-work.ts';
import { bodiesOf, type Graph, type Node, type Weight } from './graph.ts';
import {
  at,
  firstUnknown,
  inferNode,
  lookUpConstant,
  lookUpType,
  readConstant,
  type Scope,
  signatureOf,
} from './infer.ts';
import { knownLengths, lengthsOfConstant, reshapeTarget } from './known.ts';
import { LIMITS, type Limits } from './limits.ts';
import { fromReals, toReal } from './numeric.ts';
import { opSpec } from './ops.ts';
import { evaluate } from './reference/evaluate.ts';
import { bytesPerElement, type Dim, isStatic, type Tensor, type TensorType } from './types.ts';

/** What one folding of a whole model shares. */
export interface FoldRun {
  readonly limits: Limits;
  /** How often each value name is defined in the model, bodies included: an inlined body must not clash. */
  readonly defined: Map<string, number>;
  readonly counters: Map<string, number>;
  /** Bytes that folded results may still take. */
  bytesLeft: number;
  /** Elements that folding and the shape rules may still visit: grows with the weights read (`fold-work.ts`). */
  readonly work: { left: number };
}

/** A (sub)graph under construction, and what is known of its values. */
export interface FoldScope extends Scope {
  readonly unknowns: { count: number };
  readonly types: Map<string, TensorType>;
  readonly constants: Map<string, Weight>;
  readonly outer: FoldScope | undefined;
  readonly run: FoldRun;
  readonly name: string;
  readonly inputs: ReadonlyMap<string, TensorType>;
  readonly nodes: Node[];
  /** Names of the nodes, and how often each has been asked for again. */
  readonly nodeNames: Map<string, number>;
  /** Values that are another value under a second name. */
  readonly aliases: Map<string, string>;
  readonly lengths: Map<string, readonly Dim[]>;
}

/**
 * The graph with everything constant computed. Means the same: `evaluate(fold(g))` equals `evaluate(g)`.
 *
 * @param limits  a result above `foldBytes`, or more than `foldGrowth` times its inputs (64 KiB are always allowed),
 *   stays a node; so does what takes more work than the weights allow for (`fold-work.ts`)
 * @throws {GrimError} what the operators' rules find wrong (`inferNode`), and GRIM_IR_BAD_VALUE for a constant that no
 *   run could use
 */
export function fold(graph: Graph, limits: Limits = LIMITS): Graph {
  const run = startFolding(limits);
  countDefinitions(graph, run);
  return foldGraph(graph, undefined, [], run);
}

export function startFolding(limits: Limits): FoldRun {
  return {
    limits,
    defined: new Map(),
    counters: new Map(),
    bytesLeft: 16 * limits.foldBytes,
    work: { left: WORK_FLOOR },
  };
}

export function countDefinition(run: FoldRun, name: string): void {
  run.defined.set(name, (run.defined.get(name) ?? 0) + 1);
}

function countDefinitions(graph: Graph, run: FoldRun): void {
  for (const name of [...graph.inputs.keys(), ...graph.weights.keys()]) countDefinition(run, name);
  for (const node of graph.nodes) {
    for (const name of node.outputs) countDefinition(run, name);
    for (const [, body] of bodiesOf(node)) countDefinitions(body, run);
  }
}

/** Names made from names of the file stay well below the limit on their bytes, however often one is made from another. */
export const STEM_CHARACTERS = 256;

/** A value name that the model does not have yet: `wanted`, or that with a number. */
export function freshName(run: FoldRun, wanted: string): string {
  const stem = wanted.length > STEM_CHARACTERS ? 'value' : wanted;
  for (let i = run.counters.get(stem) ?? 0; ; i++) {
    const name = i === 0 ? stem : `${stem}_${i}`;
    if (run.defined.has(name) || name === '') continue;
    run.counters.set(stem, i + 1);
    countDefinition(run, name);
    return name;
  }
}

function foldGraph(
  graph: Graph,
  outer: FoldScope | undefined,
  given: readonly (TensorType | undefined)[],
  run: FoldRun,
): Graph {
  const scope = openScope(graph.name, graph.inputs, given, outer, run);
  for (const [name, weight] of graph.weights) readWeight(scope, name, weight);
  for (const node of graph.nodes) addNode(scope, node);
  return closeScope(scope, graph.outputs);
}

/** @param given  better known types of the inputs, by position */
export function openScope(
  name: string,
  inputs: ReadonlyMap<string, TensorType>,
  given: readonly (TensorType | undefined)[],
  outer: FoldScope | undefined,
  run: FoldRun,
): FoldScope {
  const types = new Map<string, TensorType>();
  let position = 0;
  for (const [input, declared] of inputs) {
    const better = given[position++];
    types.set(input, better ? { dtype: better.dtype, shape: better.shape ?? declared.shape } : declared);
  }
  return {
    name,
    inputs,
    types,
    outer,
    run,
    work: run.work,
    depth: outer ? outer.depth + 1 : 0,
    constants: new Map(),
    unknowns: outer?.unknowns ?? { count: firstUnknown({ inputs }) },
    nodes: [],
    nodeNames: new Map(),
    aliases: new Map(),
    lengths: new Map(),
  };
}

export function addWeight(scope: FoldScope, name: string, weight: Weight): void {
  scope.types.set(name, { dtype: weight.dtype, shape: weight.shape });
  scope.constants.set(name, weight);
}

/** Adds a weight of the model itself, not one made from others: it pays for what is folded. */
export function readWeight(scope: FoldScope, name: string, weight: Weight): void {
  addWeight(scope, name, weight);
  scope.run.work.left += WORK_PER_BYTE * knownBytes(weight);
}

/** The value that a name stands for. */
export function resolve(scope: FoldScope, name: string): string {
  for (let s: FoldScope | undefined = scope; s; s = s.outer) {
    const target = s.aliases.get(name);
    if (target !== undefined) return target;
    if (s.types.has(name)) return name;
  }
  return name;
}

/** Makes `name` another name of `value`, which must be resolved. */
function addAlias(scope: FoldScope, name: string, value: string): void {
  scope.aliases.set(name, value);
}

/**
 * Types a node and appends it, or what it folds to.
 *
 * @param bodiesFolded  true when its bodies have been through `closeScope` already
 * @throws {GrimError} see {@link fold}
 */
export function addNode(scope: FoldScope, given: Node, bodiesFolded = false): void {
  const inputs = given.inputs.map((name) => (name === '' ? '' : resolve(scope, name)));
  while (inputs.at(-1) === '') inputs.pop();
  const types = inputs.map((name) => (name === '' ? undefined : lookUpType(scope, name)));
  const missing = inputs.findIndex((name, i) => name !== '' && !types[i]);
  if (missing !== -1)
    throw new GrimError(
      'GRIM_IR_UNKNOWN_VALUE',
      `${at(given)}: input ${quote(inputs[missing] ?? '')} is not defined before it.`,
      { node: given.name, value: inputs[missing] },
    );
  let node = { ...given, inputs } as Node;
  if (inlineIf(scope, node) || passThrough(scope, node, types)) return;
  if (bodiesOf(node).length > 0 && !bodiesFolded) node = foldBodies(scope, node, types);
  node = settleReshape(scope, node, types);
  // A settled Reshape has another second input.
  const settled = node.inputs.map((name) => (name === '' ? undefined : lookUpType(scope, name)));
  const constant = (i: number) => readConstant(scope, node.inputs[i] ?? '');
  const results = inferNode(node, settled, constant, scope, scope.run.limits);
  if (foldLengths(scope, node, settled, results) || foldConstant(scope, node, settled, results)) return;
  node.outputs.forEach((name, i) => {
    const type = results[i];
    if (name !== '' && type) scope.types.set(name, type);
  });
  append(scope, node);
}

function append(scope: FoldScope, node: Node): void {
  const stem = node.name.length > STEM_CHARACTERS ? node.op : node.name;
  let { name } = node;
  while (scope.nodeNames.has(name)) {
    const count = (scope.nodeNames.get(stem) ?? 0) + 1;
    scope.nodeNames.set(stem, count);
    name = `${stem}_${count}`;
  }
  scope.nodeNames.set(name, 0);
  scope.nodes.push(name === node.name ? node : ({ ...node, name } as Node));
}

/** Identity, and Dropout outside training: the output is the input. */
function passThrough(scope: FoldScope, node: Node, types: readonly (TensorType | undefined)[]): boolean {
  if (node.op !== 'Identity' && node.op !== 'Dropout') return false;
  const [input = '', , mode = ''] = node.inputs;
  const [output = '', mask = ''] = node.outputs;
  const training = node.op === 'Dropout' && mode !== '';
  // Wrong arity or element types, a mask that is wanted, or training: an ordinary node.
  if (!types[0] || mask !== '' || node.outputs.length === 0) return false;
  if (node.op === 'Identity' && node.inputs.length !== 1) return false;
  if (training && lookUpConstant(scope, mode)?.data[0] !== 0) return false;
  if (output !== '') addAlias(scope, output, input);
  return true;
}

function inlineIf(scope: FoldScope, node: Node): boolean {
  if (node.op !== 'If') return false;
  const condition = lookUpConstant(scope, node.inputs[0] ?? '');
  if (condition?.dtype !== 'bool' || condition.data.length !== 1) return false;
  const branch = condition.data[0] ? node.attributes.then_branch : node.attributes.else_branch;
  const fail = (message: string, code: GrimErrorCode): never => {
    throw new GrimError(code, `${at(node)}: ${message}`, { node: node.name, op: node.op });
  };
  if (scope.depth >= scope.run.limits.subgraphDepth) fail(tooDeep(scope), 'GRIM_IR_LIMIT');
  if (branch.outputs.size < node.outputs.length)
    fail(`has ${node.outputs.length} outputs, the branch taken ${branch.outputs.size}.`, 'GRIM_IR_ARITY');
  const renamed = new Map<string, string>();
  const define = (name: string) => {
    if (name !== '' && (scope.run.defined.get(name) ?? 0) > 1) renamed.set(name, freshName(scope.run, name));
  };
  for (const name of branch.weights.keys()) define(name);
  for (const inner of branch.nodes) inner.outputs.forEach(define);
  const rename = (name: string) => renamed.get(name) ?? name;
  for (const [name, weight] of branch.weights) addWeight(scope, rename(name), weight);
  for (const inner of branch.nodes) addNode(scope, renameNode(inner, rename));
  const values = Array.from(branch.outputs.values(), (value) => resolve(scope, rename(value)));
  node.outputs.forEach((name, i) => {
    const value = values[i] ?? '';
    if (!lookUpType(scope, value)) fail(`branch output ${quote(value)} is not defined.`, 'GRIM_IR_UNKNOWN_VALUE');
    if (name !== '') addAlias(scope, name, value);
  });
  return true;
}

function tooDeep(scope: FoldScope): string {
  return `bodies are nested more than ${scope.run.limits.subgraphDepth} deep (limit subgraphDepth).`;
}

/** A node with every name mapped, in its bodies too: only names of the graph around a body may be in the mapping. */
function renameNode(node: Node, rename: (name: string) => string): Node {
  const bodies = bodiesOf(node).map(([key, body]) => [key, renameGraph(body, rename)] as const);
  return {
    ...node,
    inputs: node.inputs.map(rename),
    outputs: node.outputs.map(rename),
    attributes: bodies.length > 0 ? { ...node.attributes, ...Object.fromEntries(bodies) } : node.attributes,
  } as Node;
}

function renameGraph(graph: Graph, rename: (name: string) => string): Graph {
  return {
    ...graph,
    nodes: graph.nodes.map((node) => renameNode(node, rename)),
    outputs: new Map(Array.from(graph.outputs, ([name, value]) => [name, rename(value)])),
  };
}

/** What decides the types that an operator passes to its body. */
interface BodyCall {
  readonly op: string;
  readonly types: readonly (TensorType | undefined)[];
  /** Of a Scan. */
  readonly scans: number;
  readonly axes: readonly number[] | undefined;
}

/** The types of a body's parameters, as far as they are the same for every iteration. */
export function bodyInputTypes(scope: FoldScope, call: BodyCall): readonly (TensorType | undefined)[] {
  const { types } = call;
  const open = (): Dim => `?${scope.unknowns.count++}`;
  if (call.op === 'Loop') {
    // A carried value may change its lengths from one iteration to the next.
    const carried = types.slice(2).map((type) => type && { dtype: type.dtype, shape: type.shape?.map(open) ?? null });
    // Count and condition are scalars that a body may declare as [1].
    return [{ dtype: 'int64', shape: null }, { dtype: 'bool', shape: null }, ...carried];
  }
  if (call.op !== 'Scan') return [];
  const states = types.length - call.scans;
  return types.map((type, i) => {
    if (i < states || !type?.shape) return type;
    const { dtype, shape } = type;
    const axis = call.axes?.[i - states] ?? 0;
    return { dtype, shape: shape.filter((_, d) => d !== (axis < 0 ? axis + shape.length : axis)) };
  });
}

function foldBodies(scope: FoldScope, node: Node, types: readonly (TensorType | undefined)[]): Node {
  if (scope.depth >= scope.run.limits.subgraphDepth)
    throw new GrimError('GRIM_IR_LIMIT', `${at(node)}: ${tooDeep(scope)}`, { node: node.name });
  const scan = node.op === 'Scan' ? node.attributes : undefined;
  const scans = scan?.num_scan_inputs ?? 0;
  const given = bodyInputTypes(scope, { op: node.op, types, scans, axes: scan?.scan_input_axes });
  const folded = bodiesOf(node).map(([key, body]) => [key, foldGraph(body, scope, given, scope.run)] as const);
  return { ...node, attributes: { ...node.attributes, ...Object.fromEntries(folded) } } as Node;
}

function lookUpLengths(scope: FoldScope, name: string): readonly Dim[] | undefined {
  for (let s: FoldScope | undefined = scope; s; s = s.outer) {
    const found = s.lengths.get(name);
    if (found) return found;
    const constant = s.constants.get(name);
    if (constant) return lengthsOfConstant(constant);
    if (s.types.has(name)) return undefined;
  }
  return undefined;
}

/** Reshape to lengths that are known but for symbolic ones: a constant says the same. */
function settleReshape(scope: FoldScope, node: Node, types: readonly (TensorType | undefined)[]): Node {
  if (node.op !== 'Reshape' || node.attributes.allowzero === 1) return node;
  const [data = '', shape = ''] = node.inputs;
  if (lookUpConstant(scope, shape)) return node;
  const wanted = lookUpLengths(scope, shape);
  const target = wanted && reshapeTarget(wanted, types[0]);
  if (!target) return node;
  const name = freshName(scope.run, `${shape}_settled`);
  addWeight(scope, name, fromReals('int64', [target.length], target));
  return { ...node, inputs: [data, name] } as Node;
}

function foldLengths(
  scope: FoldScope,
  node: Node,
  types: readonly (TensorType | undefined)[],
  results: readonly TensorType[],
): boolean {
  const [output = ''] = node.outputs;
  const [type] = results;
  if (output === '' || type?.dtype !== 'int64' || (type.shape?.length ?? 2) > 1) return false;
  const known = knownLengths(
    node,
    types,
    (i) => lookUpLengths(scope, node.inputs[i] ?? ''),
    (i) => {
      const value = lookUpConstant(scope, node.inputs[i] ?? '');
      return value && value.data.length <= 64
        ? Array.from({ length: value.data.length }, (_, e) => toReal(value, e))
        : undefined;
    },
  );
  if (!known) return false;
  const numbers = known.filter((dim) => typeof dim === 'number');
  if (numbers.length < known.length) {
    scope.lengths.set(output, known);
    return false;
  }
  addWeight(scope, output, fromReals('int64', type.shape?.length === 0 ? [] : [known.length], numbers));
  return true;
}

function foldConstant(
  scope: FoldScope,
  node: Node,
  types: readonly (TensorType | undefined)[],
  results: readonly TensorType[],
): boolean {
  if (node.op === 'Dropout' || bodiesOf(node).length > 0 || node.inputs.length === 0) return false;
  const values = node.inputs.map((name) => (name === '' ? undefined : lookUpConstant(scope, name)));
  if (node.inputs.some((name, i) => name !== '' && !values[i])) return false;
  const { limits } = scope.run;
  const spec = opSpec(node.op);
  // Bytes are counted from types: asking for `data` would load a lazy weight.
  const inputBytes = types.reduce((sum, type) => sum + (type ? knownBytes(type) : 0), 0);
  const outputBytes = results.reduce(
    (sum, type) => sum + (spec.dataDependent ? mostBytes(types) : knownBytes(type)),
    0,
  );
  const most = Math.min(limits.foldBytes, scope.run.bytesLeft, Math.max(limits.foldGrowth * inputBytes, 65536));
  if (!(outputBytes <= most)) return false;
  const work = foldWork(node, types, results);
  if (work > Math.max(scope.run.work.left, WORK_ALWAYS)) return false;
  if (work > WORK_ALWAYS) scope.run.work.left -= work;
  const computed = compute(scope, node, values);
  if (!computed) return false;
  node.outputs.forEach((name) => {
    const value = computed[name];
    if (name === '' || !value) return;
    scope.run.bytesLeft -= value.data.byteLength;
    addWeight(scope, name, value);
  });
  return true;
}

/** Infinite when a length is open. */
function knownBytes(type: TensorType): number {
  if (!isStatic(type.shape)) return Number.POSITIVE_INFINITY;
  return type.shape.reduce((product, dim) => product * dim, bytesPerElement(type.dtype));
}

/** What an operator whose output depends on elements can give at most: an index tuple for each element of its inputs. */
function mostBytes(types: readonly (TensorType | undefined)[]): number {
  return types.reduce((sum, type) => {
    if (!isStatic(type?.shape ?? null)) return type ? Number.POSITIVE_INFINITY : sum;
    const shape = (type?.shape ?? []) as readonly number[];
    return sum + shape.reduce((product, dim) => product * dim, 8 * Math.max(shape.length, 1));
  }, 0);
}

function compute(
  scope: FoldScope,
  node: Node,
  values: readonly (Tensor | undefined)[],
): Record<string, Tensor> | undefined {
  const weights = new Map<string, Weight>();
  values.forEach((value, i) => {
    if (value) weights.set(node.inputs[i] ?? '', value);
  });
  const outputs = new Map(node.outputs.filter((name) => name !== '').map((name) => [name, name]));
  const alone: Graph = { name: scope.name, inputs: new Map(), outputs, nodes: [node], weights };
  try {
    return evaluate(alone, {}, { limits: scope.run.limits });
  } catch (error) {
    // In a body the node may never run: its mistake is one only when it does.
    if (error instanceof GrimError && scope.depth > 0) return undefined;
    throw error;
  }
}

/** Ends a scope: the nodes and weights that the outputs need, in a graph. */
export function closeScope(scope: FoldScope, outputs: ReadonlyMap<string, string>): Graph {
  const resolved = new Map(Array.from(outputs, ([name, value]) => [name, resolve(scope, value)]));
  const needed = new Set(resolved.values());
  const kept: Node[] = [];
  for (let i = scope.nodes.length - 1; i >= 0; i--) {
    const node = scope.nodes[i] as Node;
    if (!node.outputs.some((name) => needed.has(name))) continue;
    for (const name of node.inputs) if (name !== '') needed.add(name);
    for (const [, body] of bodiesOf(node)) for (const name of captures(body)) needed.add(name);
    kept.push(withoutUnneeded(node, needed));
  }
  const weights = new Map<string, Weight>();
  for (const [name, weight] of scope.constants) if (needed.has(name)) weights.set(name, weight);
  return { name: scope.name, inputs: scope.inputs, outputs: resolved, nodes: kept.reverse(), weights };
}

/** Outputs that nobody wants lose their name, optional ones at the end their place. */
function withoutUnneeded(node: Node, needed: ReadonlySet<string>): Node {
  if (node.outputs.every((name) => needed.has(name))) return node;
  const outputs = node.outputs.map((name) => (needed.has(name) ? name : ''));
  const parameters = signatureOf(node.op).outputs;
  while (outputs.at(-1) === '') {
    const parameter = parameters[outputs.length - 1];
    if (!parameter?.optional || parameter.variadic || parameters.at(-1)?.variadic) break;
    outputs.pop();
  }
  return { ...node, outputs } as Node;
}

const capturesOf = new WeakMap<Graph, ReadonlySet<string>>();

/** Names of the graphs around it that a body uses. */
function captures(body: Graph): ReadonlySet<string> {
  const known = capturesOf.get(body);
  if (known) return known;
  const own = new Set<string>([...body.inputs.keys(), ...body.weights.keys()]);
  const free = new Set<string>();
  for (const node of body.nodes) {
    for (const name of node.inputs) if (name !== '' && !own.has(name)) free.add(name);
    for (const [, inner] of bodiesOf(node)) for (const name of captures(inner)) if (!own.has(name)) free.add(name);
    for (const name of node.outputs) own.add(name);
  }
  for (const value of body.outputs.values()) if (!own.has(value)) free.add(value);
  capturesOf.set(body, free);
  return free;
}

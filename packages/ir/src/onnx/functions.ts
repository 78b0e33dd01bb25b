/**
 * Model-local functions: calls replaced by the nodes of their bodies.
 *
 * A body is copied with every name replaced: formal inputs and outputs by the call's, the rest by fresh ones. The work is
 * bounded by the number of nodes and calls made, not by the file: forty functions that each call the next one twice
 * would give 2^40 nodes.
 * @see https://github.com/onnx/onnx/blob/main/docs/IR.md#model-local-functions
 */
import { GrimError, quote } from '../errors.ts';
import { STEM_CHARACTERS } from '../fold.ts';
import type { Limits } from '../limits.ts';
import type {
  AttributeProto,
  FunctionProto,
  GraphProto,
  NodeProto,
  SparseTensorProto,
  ValueInfoProto,
} from './model.ts';

/** Version of each operator set, the default domain being `''`. */
export type Opsets = ReadonlyMap<string, number>;

/** A node and the operator sets of the text it stands in: a function has its own. */
export interface PlacedNode {
  readonly node: NodeProto;
  readonly opsets: Opsets;
}

/** The functions of a model, and how much expanding them may still make. */
export interface Functions {
  readonly byKey: ReadonlyMap<string, FunctionProto>;
  /** Calls, and nodes of their bodies at any depth. */
  nodesLeft: number;
  /** Inputs, outputs and attributes of those nodes, and what else is copied: one node may have 100,000. */
  entriesLeft: number;
}

/** The default domain has two names. */
export function domainOf(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}

function keyOf(domain: string, name: string, overload: string): string {
  return JSON.stringify([domainOf(domain), name, overload]);
}

function bad(fn: FunctionProto, message: string): never {
  throw new GrimError('GRIM_ONNX_BAD_FUNCTION', `function ${quote(fn.name)}: ${message}`, {
    name: fn.name,
    domain: fn.domain,
  });
}

/**
 * @throws {GrimError} GRIM_ONNX_BAD_FUNCTION when two functions are the same, or one calls itself, over others too
 */
export function collectFunctions(functions: readonly FunctionProto[], limits: Limits): Functions {
  const byKey = new Map<string, FunctionProto>();
  for (const fn of functions) {
    const key = keyOf(fn.domain, fn.name, fn.overload);
    if (fn.name === '') bad(fn, 'has no name.');
    if (byKey.has(key)) bad(fn, 'is defined twice with the same domain and overload.');
    for (const names of [fn.inputs, fn.outputs])
      if (new Set(names).size < names.length || names.includes(''))
        bad(fn, 'has an input or output name twice, or empty.');
    byKey.set(key, fn);
  }
  refuseRecursion(byKey);
  return { byKey, nodesLeft: limits.functionNodes, entriesLeft: limits.entries };
}

function calleesOf(fn: FunctionProto, byKey: ReadonlyMap<string, FunctionProto>): readonly string[] {
  const found = new Set<string>();
  const lists: (readonly NodeProto[])[] = [fn.nodes];
  for (let nodes = lists.pop(); nodes; nodes = lists.pop())
    for (const node of nodes) {
      const key = keyOf(node.domain, node.opType, node.overload);
      if (byKey.has(key)) found.add(key);
      for (const attribute of node.attributes) for (const body of bodiesIn(attribute)) lists.push(body.nodes);
    }
  return [...found];
}

/** The graphs that an attribute holds. */
export function bodiesIn(attribute: AttributeProto): readonly GraphProto[] {
  if (attribute.kind === 'graph') return [attribute.value];
  return attribute.kind === 'graphs' ? attribute.value : [];
}

/** Depth first over who calls whom, with a stack of its own: a chain of functions may be long. */
function refuseRecursion(byKey: ReadonlyMap<string, FunctionProto>): void {
  const done = new Set<string>();
  const open = new Set<string>();
  for (const start of byKey.keys()) {
    const stack: { readonly key: string; readonly callees: readonly string[]; next: number }[] = [];
    const enter = (key: string) => {
      const fn = byKey.get(key);
      if (!fn || done.has(key)) return;
      if (open.has(key)) {
        const path = stack.map((frame) => byKey.get(frame.key)?.name ?? '').slice(-8);
        bad(fn, `calls itself: ${[...path, fn.name].map(quote).join(' → ')}. Recursion is not supported.`);
      }
      open.add(key);
      stack.push({ key, callees: calleesOf(fn, byKey), next: 0 });
    };
    enter(start);
    for (let frame = stack.at(-1); frame; frame = stack.at(-1)) {
      const callee = frame.callees[frame.next++];
      if (callee !== undefined) {
        enter(callee);
        continue;
      }
      open.delete(frame.key);
      done.add(frame.key);
      stack.pop();
    }
  }
}

/**
 * The nodes with calls of functions replaced, in order; calls inside bodies of `If` and the like stay for when those are
 * read.
 * @param fresh  gives a value name that the model does not have yet
 * @throws {GrimError} GRIM_ONNX_LIMIT past `functionNodes`; GRIM_ONNX_BAD_FUNCTION when a call does not fit
 */
export function expandCalls(
  nodes: readonly NodeProto[],
  opsets: Opsets,
  functions: Functions,
  limits: Limits,
  fresh: (stem: string) => string,
): readonly PlacedNode[] {
  const placed: PlacedNode[] = [];
  const stack: { readonly nodes: readonly NodeProto[]; readonly opsets: Opsets; next: number }[] = [
    { nodes, opsets, next: 0 },
  ];
  for (let frame = stack.at(-1); frame; frame = stack.at(-1)) {
    const node = frame.nodes[frame.next++];
    if (!node) {
      stack.pop();
      continue;
    }
    const fn = functions.byKey.get(keyOf(node.domain, node.opType, node.overload));
    if (!fn) {
      placed.push({ node, opsets: frame.opsets });
      continue;
    }
    // A nested call was paid for as a node of the body that it stands in.
    if (stack.length === 1) functions.nodesLeft--;
    functions.entriesLeft -= frame.opsets.size + fn.opsetImport.length + fn.attributeProtos.length;
    spend(functions, limits, node, fn.nodes);
    const own = new Map(frame.opsets);
    for (const { domain, version } of fn.opsetImport) own.set(domainOf(domain), version);
    stack.push({ nodes: instantiate(fn, node, fresh), opsets: own, next: 0 });
  }
  return placed;
}

/**
 * Pays for what a call copies, before it is copied.
 * @throws {GrimError} GRIM_ONNX_LIMIT
 */
function spend(functions: Functions, limits: Limits, call: NodeProto, body: readonly NodeProto[]): void {
  const refuse = (limit: 'functionNodes' | 'entries', what: string): never => {
    throw new GrimError(
      'GRIM_ONNX_LIMIT',
      `node ${quote(call.name)}: expanding functions makes more than ${limits[limit]} ${what} (limit ${limit}).`,
      { limit, allowed: limits[limit] },
    );
  };
  const lists: (readonly NodeProto[])[] = [body];
  for (let nodes = lists.pop(); nodes; nodes = lists.pop()) {
    functions.nodesLeft -= nodes.length;
    if (functions.nodesLeft < 0) refuse('functionNodes', 'nodes');
    for (const node of nodes) {
      functions.entriesLeft -= node.inputs.length + node.outputs.length + node.attributes.length;
      for (const attribute of node.attributes)
        for (const graph of bodiesIn(attribute)) {
          functions.entriesLeft -= graph.initializers.length + graph.sparseInitializers.length;
          functions.entriesLeft -= graph.inputs.length + graph.outputs.length + graph.valueInfo.length;
          lists.push(graph.nodes);
        }
      if (functions.entriesLeft < 0) refuse('entries', 'names');
    }
  }
}

/** What a copy of a function's body replaces. */
interface Substitution {
  readonly rename: (name: string) => string;
  readonly attributes: ReadonlyMap<string, AttributeProto>;
}

function instantiate(fn: FunctionProto, call: NodeProto, fresh: (stem: string) => string): readonly NodeProto[] {
  if (call.inputs.length > fn.inputs.length || call.outputs.length > fn.outputs.length)
    bad(
      fn,
      `takes ${fn.inputs.length} inputs and gives ${fn.outputs.length} outputs; node ${quote(call.name)} has ${call.inputs.length} and ${call.outputs.length}.`,
    );
  // Names of nested calls would grow with every level.
  const within = call.name || fn.name;
  const stem = within.length > STEM_CHARACTERS ? 'call' : within;
  const names = new Map<string, string>([['', '']]);
  fn.inputs.forEach((name, i) => {
    names.set(name, call.inputs[i] ?? '');
  });
  const copies: NodeProto[] = [];
  fn.outputs.forEach((name, i) => {
    const wanted = call.outputs[i] ?? '';
    // An output that is an input, too.
    if (names.has(name) && wanted !== '') copies.push(identity(names.get(name) ?? '', wanted));
    else if (!names.has(name)) names.set(name, wanted === '' ? fresh(`${stem}_${name}`) : wanted);
  });
  const attributes = new Map(fn.attributeProtos.map((attribute) => [attribute.name, attribute]));
  for (const attribute of call.attributes) attributes.set(attribute.name, attribute);
  const rename = (name: string) => {
    const known = names.get(name);
    if (known !== undefined) return known;
    const made = fresh(`${stem}_${name}`);
    names.set(name, made);
    return made;
  };
  const substitution = { rename, attributes };
  fn.nodes.forEach((node, i) => {
    const own = node.name || `${node.opType}_${i}`;
    const name = `${stem}/${own.length > STEM_CHARACTERS ? i : own}`;
    copies.push({ ...copyNode(node, substitution), name });
  });
  return copies;
}

function identity(input: string, output: string): NodeProto {
  return { name: '', opType: 'Identity', domain: '', overload: '', inputs: [input], outputs: [output], attributes: [] };
}

function copyNode(node: NodeProto, substitution: Substitution): NodeProto {
  const attributes = node.attributes.flatMap((attribute): readonly AttributeProto[] => {
    if (attribute.kind === 'graph') return [{ ...attribute, value: copyGraph(attribute.value, substitution) }];
    if (attribute.kind !== 'reference') return [attribute];
    // Not given and without a default: as if it were not written here.
    const given = substitution.attributes.get(attribute.value);
    return given ? [{ ...given, name: attribute.name }] : [];
  });
  return {
    ...node,
    inputs: node.inputs.map(substitution.rename),
    outputs: node.outputs.map(substitution.rename),
    attributes,
  };
}

function copyGraph(graph: GraphProto, substitution: Substitution): GraphProto {
  const { rename } = substitution;
  const infos = (list: readonly ValueInfoProto[]) => list.map((info) => ({ ...info, name: rename(info.name) }));
  return {
    ...graph,
    nodes: graph.nodes.map((node) => copyNode(node, substitution)),
    initializers: graph.initializers.map((tensor) => ({ ...tensor, name: rename(tensor.name) })),
    sparseInitializers: graph.sparseInitializers.map(
      (sparse): SparseTensorProto => ({ ...sparse, values: { ...sparse.values, name: rename(sparse.values.name) } }),
    ),
    inputs: infos(graph.inputs),
    outputs: infos(graph.outputs),
    valueInfo: infos(graph.valueInfo),
  };
}

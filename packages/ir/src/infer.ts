/**
 * The type of every value: dtypes by the operators' signatures, shapes by their rules.
 */
import { attributeProblem } from './attributes.ts';
import { GrimError, type GrimErrorCode, invariant, quote } from './errors.ts';
import { bodiesOf, type Graph, type Node } from './graph.ts';
import { LIMITS, type Limits } from './limits.ts';
import { toReal } from './numeric.ts';
import { type InferContext, type OpSpec, type Parameter, parseParameter } from './op.ts';
import { isOpName, type OpName, opSpec } from './ops.ts';
import { elementCount, formatType, isDType, isStatic, type Tensor, type TensorType } from './types.ts';

/** Types and known values of the names that a (sub)graph can see. */
export interface Scope {
  readonly types: { get(name: string): TensorType | undefined };
  readonly constants: { get(name: string): Tensor | undefined };
  readonly outer: Scope | undefined;
  /** Of bodies around, the main graph being 0. */
  readonly depth: number;
  /** Lengths named so far, over all bodies: the n-th is `?n`. */
  readonly unknowns?: { count: number };
  /** Elements of constants that the shape rules may still read; without it, any number. */
  readonly work?: { left: number } | undefined;
}

/** The scope of a graph whose nodes have been typed. */
export interface TypedScope extends Scope {
  readonly types: Map<string, TensorType>;
  /** Values of graphs around that it names, bodies of its nodes included. */
  readonly captured: Set<string>;
}

/** What a body came out as, and all that this followed from. */
interface TypedBody {
  readonly depth: number;
  readonly limits: Limits;
  readonly given: readonly (TensorType | undefined)[];
  readonly captured: readonly {
    readonly name: string;
    readonly type: TensorType | undefined;
    readonly constant: Tensor | undefined;
  }[];
  readonly outputs: readonly TensorType[];
}

/** So that a body is typed once and not again for each body around it. */
const typedBodies = new WeakMap<Graph, TypedBody>();

function sameType(a: TensorType | undefined, b: TensorType | undefined): boolean {
  if (a === b) return true;
  if (!a || !b || a.dtype !== b.dtype || a.shape?.length !== b.shape?.length) return false;
  return a.shape?.every((dim, i) => dim === b.shape?.[i]) ?? true;
}

function stillHolds(
  { depth, limits, given, captured }: TypedBody,
  outer: Scope,
  now: readonly (TensorType | undefined)[],
  nowLimits: Limits,
): boolean {
  return (
    depth === outer.depth &&
    limits === nowLimits &&
    given.length === now.length &&
    given.every((type, i) => sameType(type, now[i])) &&
    captured.every(
      ({ name, type, constant }) => constant === lookUpConstant(outer, name) && sameType(type, lookUpType(outer, name)),
    )
  );
}

/** What a body captures and its surroundings do not define either, they capture. */
function passOn(names: Iterable<string>, outer: Scope | undefined): void {
  const { captured } = (outer ?? {}) as Partial<TypedScope>;
  for (const name of captured ? names : []) if (!outer?.types.get(name)) captured?.add(name);
}

export function lookUpType(scope: Scope | undefined, name: string): TensorType | undefined {
  for (let s = scope; s; s = s.outer) {
    const found = s.types.get(name);
    if (found) return found;
  }
  return undefined;
}

export function lookUpConstant(scope: Scope | undefined, name: string): Tensor | undefined {
  for (let s = scope; s; s = s.outer) {
    const found = s.constants.get(name);
    if (found || s.types.get(name)) return found;
  }
  return undefined;
}

/** Longer constants are read only while there is work left. */
const SHORT = 256;
/** What the rules of one graph may read: each weight a few times. */
const READ_FLOOR = 4e6;
const READS_PER_ELEMENT = 16;
/** An element that becomes a number in a list takes this many times the work of one that an operator computes with. */
const READ_WORK = 4;

/**
 * {@link lookUpConstant} for a shape rule, which may read all of its elements: a million nodes may name one large weight.
 * When the work is used up a large constant counts as a value that is not known before the graph runs.
 */
export function readConstant(scope: Scope, name: string): Tensor | undefined {
  const found = lookUpConstant(scope, name);
  if (!found || !scope.work) return found;
  const length = found.shape.reduce((product, dim) => product * dim, 1);
  if (length <= SHORT) return found;
  if (READ_WORK * length > scope.work.left) return undefined;
  scope.work.left -= READ_WORK * length;
  return found;
}

/**
 * Types of all values of `graph`, its bodies' not included. Lengths that only a run can tell get names that begin with `?`.
 * @throws {GrimError} the first problem met; `verify()` gives all of them
 */
export function inferTypes(graph: Graph, limits: Limits = LIMITS): ReadonlyMap<string, TensorType> {
  return inferScope(graph, undefined, [], limits, (error) => {
    throw error;
  }).types;
}

/**
 * The scope of `graph` after typing its nodes in order. A node that fails is given to `report`; its outputs stay without
 * a type and what depends on them is passed over, so that one mistake is reported once. With `onBody`, the problems
 * inside bodies are reported one by one too, and the scope of each body is handed over.
 */
export function inferScope(
  graph: Graph,
  outer: Scope | undefined,
  inputs: readonly (TensorType | undefined)[],
  limits: Limits,
  report: (error: GrimError, node: Node) => void,
  onBody?: (body: Graph, scope: Scope) => void,
): TypedScope {
  const depth = outer ? outer.depth + 1 : 0;
  const unknowns = outer?.unknowns ?? { count: firstUnknown(graph) };
  // A run knows every value and reads what it needs.
  const work = outer ? outer.work : { left: READ_FLOOR };
  const captured = new Set<string>();
  const scope: TypedScope = { types: new Map(), constants: graph.weights, outer, depth, unknowns, work, captured };
  for (const [name, weight] of graph.weights) {
    scope.types.set(name, { dtype: weight.dtype, shape: weight.shape });
    if (work) work.left += READS_PER_ELEMENT * weight.shape.reduce((product, dim) => product * dim, 1);
  }
  let position = 0;
  for (const [name, declared] of graph.inputs)
    scope.types.set(name, mergeInput(graph, name, declared, inputs[position++]));
  for (const node of graph.nodes) {
    const types = node.inputs.map((name) => {
      if (name === '') return undefined;
      const own = scope.types.get(name);
      if (!own) captured.add(name);
      return own ?? lookUpType(outer, name);
    });
    if (node.inputs.some((name, i) => name !== '' && !types[i])) continue;
    try {
      const results = inferNode(
        node,
        types,
        (i) => readConstant(scope, node.inputs[i] ?? ''),
        scope,
        limits,
        onBody && { report, onBody },
      );
      node.outputs.forEach((name, i) => {
        const type = results[i];
        if (name !== '' && type) scope.types.set(name, type);
      });
    } catch (error) {
      if (!(error instanceof GrimError)) throw error;
      report(error, node);
    }
  }
  return scope;
}

/** A body's parameter: what its operator passes in is known better than what the file declares. */
function mergeInput(graph: Graph, name: string, declared: TensorType, given: TensorType | undefined): TensorType {
  if (!given) return declared;
  if (given.dtype !== declared.dtype)
    throw new GrimError(
      'GRIM_IR_DTYPE_MISMATCH',
      `body ${quote(graph.name)}: input ${quote(name)} is declared ${declared.dtype} and is given ${given.dtype}.`,
      { body: graph.name, input: name },
    );
  return { dtype: given.dtype, shape: given.shape ?? declared.shape };
}

/** Lengths that the graph itself names `?n` keep their meaning: counting starts past them. */
export function firstUnknown(graph: Pick<Graph, 'inputs'>): number {
  let first = 0;
  for (const { shape } of graph.inputs.values())
    for (const dim of shape ?? []) {
      const [, digits] = /^\?(\d{1,15})$/.exec(String(dim)) ?? [];
      if (digits !== undefined) first = Math.max(first, Number(digits) + 1);
    }
  return first;
}

/** `conv1 (Conv)`, for the front of messages. */
export function at(node: { readonly name: string; readonly op: string }): string {
  return `${quote(node.name)} (${node.op})`;
}

interface Signature {
  readonly inputs: readonly Parameter[];
  readonly outputs: readonly Parameter[];
}
const signatures = new Map<OpName, Signature>();

/** The signature of an operator, taken apart. */
export function signatureOf(name: OpName): Signature {
  let signature = signatures.get(name);
  if (!signature) {
    const { inputs, outputs } = opSpec(name);
    signature = { inputs: inputs.map(parseParameter), outputs: outputs.map(parseParameter) };
    signatures.set(name, signature);
  }
  return signature;
}

/** The parameter that the i-th value of a node belongs to; a variadic one takes all that follow. */
function parameterAt(parameters: readonly Parameter[], index: number): Parameter | undefined {
  const last = parameters.at(-1);
  return parameters[index] ?? (last?.variadic ? last : undefined);
}

/**
 * Types of the outputs of one node.
 *
 * @param types  of its inputs, undefined where one is left out
 * @param constant  the value of an input where it is known
 * @throws {GrimError} GRIM_IR_ARITY, GRIM_IR_BAD_ATTRIBUTE, GRIM_IR_DTYPE_MISMATCH, GRIM_IR_SHAPE_MISMATCH, GRIM_IR_SHAPE_OVERFLOW
 */
export function inferNode(
  node: Node,
  types: readonly (TensorType | undefined)[],
  constant: (input: number) => Tensor | undefined,
  outer: Scope | undefined,
  limits: Limits,
  bodies?: {
    readonly report: (error: GrimError, node: Node) => void;
    readonly onBody: (body: Graph, scope: Scope) => void;
  },
): readonly TensorType[] {
  if (!isOpName(node.op))
    throw new GrimError('GRIM_IR_UNSUPPORTED_OP', `${at(node)}: operator ${quote(node.op)} is not supported.`, {
      node: (node as Node).name,
    });
  const depth = outer?.depth ?? 0;
  if (depth >= limits.subgraphDepth && bodiesOf(node).length > 0)
    throw new GrimError('GRIM_IR_LIMIT', `${at(node)}: bodies are nested more than ${limits.subgraphDepth} deep.`, {
      limit: 'subgraphDepth',
    });
  const unknowns = outer?.unknowns ?? { count: 0 };
  const spec: OpSpec = opSpec(node.op);
  const signature = signatureOf(node.op);
  const fail = (message: string, code: GrimErrorCode = 'GRIM_IR_SHAPE_MISMATCH'): never => {
    throw new GrimError(code, `${at(node)}: ${message}`, { node: node.name, op: node.op });
  };
  for (const problem of arityProblems(node, types, signature)) fail(problem, 'GRIM_IR_ARITY');
  const problem = attributeProblem(spec, node.attributes as Readonly<Record<string, unknown>>);
  if (problem) fail(problem, 'GRIM_IR_BAD_ATTRIBUTE');
  const bound = checkDTypes(types, signature, spec, fail);

  const type = (i: number): TensorType => {
    const found = types[i];
    invariant(found, `${node.op}: input ${i} asked for and absent`);
    return found;
  };
  const reals = (i: number): readonly number[] | undefined => {
    const value = i < types.length && types[i] ? constant(i) : undefined;
    return value && Array.from({ length: value.data.length }, (_, e) => toReal(value, e));
  };
  const context: InferContext = {
    attributes: node.attributes as Readonly<Record<string, unknown>>,
    limits,
    inputCount: types.length,
    outputCount: node.outputs.length,
    has: (i) => types[i] !== undefined,
    type,
    shape: (i) => type(i).shape,
    dtype: (i) => type(i).dtype,
    constant: (i) => (types[i] ? constant(i) : undefined),
    integers: (i) => reals(i)?.map((v) => Math.min(Math.max(v, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)),
    reals,
    unknown: () => `?${unknowns.count++}`,
    inferGraph: (body, given) => {
      const rethrow = (error: GrimError) => {
        throw error;
      };
      const known = bodies || !outer?.work ? undefined : typedBodies.get(body);
      if (known && outer && stillHolds(known, outer, given, limits)) {
        passOn(
          known.captured.map(({ name }) => name),
          outer,
        );
        return known.outputs;
      }
      const { count } = unknowns;
      const scope = inferScope(body, outer, given, limits, bodies?.report ?? rethrow, bodies?.onBody);
      bodies?.onBody(body, scope);
      const outputs = Array.from(body.outputs.values(), (name) => {
        const found = lookUpType(scope, name);
        if (!found) return fail(`body output ${quote(name)} is not defined`, 'GRIM_IR_UNKNOWN_VALUE');
        if (!scope.types.get(name)) scope.captured.add(name);
        return found;
      });
      passOn(scope.captured, outer);
      // With lengths that only a run can tell it would name them anew. A run has no budget of work, and keeps no values.
      if (outer?.work && !bodies && unknowns.count === count)
        typedBodies.set(body, {
          depth: outer.depth,
          limits,
          given,
          outputs,
          captured: Array.from(scope.captured, (name) => ({
            name,
            type: lookUpType(outer, name),
            constant: lookUpConstant(outer, name),
          })),
        });
      return outputs;
    },
    fail,
  };
  const results = spec.infer(context);
  if (node.outputs.length > results.length)
    fail(`has ${node.outputs.length} outputs; its inputs and attributes give ${results.length}.`, 'GRIM_IR_ARITY');
  return results.map((result, i) => {
    const full = isTensorType(result) ? result : { dtype: outputDType(i, signature, bound, node), shape: result };
    if (full.shape && full.shape.length > limits.rank)
      fail(`output has rank ${full.shape.length}; the highest supported is ${limits.rank}.`, 'GRIM_IR_SHAPE_OVERFLOW');
    if (isStatic(full.shape)) elementCount(full.shape, full.dtype, at(node), limits);
    return full;
  });
}

function isTensorType(result: unknown): result is TensorType {
  return result !== null && typeof result === 'object' && 'dtype' in result;
}

type Fail = (message: string, code?: GrimErrorCode) => never;

/** Everything wrong with the number of a node's inputs and outputs; an absent input is undefined. */
export function* arityProblems(
  node: Node,
  inputs: readonly unknown[],
  signature: Signature = signatureOf(node.op),
): Generator<string, void, undefined> {
  for (const [kind, list, found] of [
    ['input', signature.inputs, inputs],
    ['output', signature.outputs, node.outputs],
  ] as const) {
    const variadic = list.at(-1)?.variadic ?? false;
    if (found.length > list.length && !variadic)
      yield `has ${found.length} ${kind}s; ${node.op} takes at most ${list.length}.`;
    for (const [i, parameter] of list.entries()) {
      const present = kind === 'input' ? found[i] !== undefined : i < found.length;
      if (!present && !parameter.optional) yield `${kind} ${i} (${parameter.name}) is missing; ${node.op} needs it.`;
    }
    // One of many cannot be left out: it has no place of its own.
    if (kind === 'input' && variadic)
      for (let i = list.length - 1; i < found.length; i++)
        if (found[i] === undefined && !(i < list.length && !list[i]?.optional))
          yield `input ${i} is left out; ${node.op} takes a list there, without gaps.`;
  }
}

function checkDTypes(
  types: readonly (TensorType | undefined)[],
  signature: Signature,
  spec: OpSpec,
  fail: Fail,
): ReadonlyMap<string, TensorType['dtype']> {
  const bound = new Map<string, TensorType['dtype']>();
  types.forEach((type, i) => {
    const parameter = parameterAt(signature.inputs, i);
    if (!type || !parameter || parameter.type === '*') return;
    const key = parameter.type;
    const allowed = isDType(key) ? [key] : (spec.types[key] ?? []);
    if (!allowed.includes(type.dtype))
      fail(
        `input ${i} (${parameter.name}) is ${formatType(type)}; ${allowed.join(', ')} ${allowed.length > 1 ? 'are' : 'is'} taken.`,
        'GRIM_IR_DTYPE_MISMATCH',
      );
    const earlier = bound.get(key);
    if (earlier && earlier !== type.dtype)
      fail(
        `input ${i} (${parameter.name}) is ${type.dtype}, an earlier one of the same type is ${earlier}. Cast one of them.`,
        'GRIM_IR_DTYPE_MISMATCH',
      );
    bound.set(key, type.dtype);
  });
  return bound;
}

function outputDType(
  index: number,
  signature: Signature,
  bound: ReadonlyMap<string, TensorType['dtype']>,
  node: Node,
): TensorType['dtype'] {
  const key = parameterAt(signature.outputs, index)?.type ?? '*';
  const found = bound.get(key) ?? (isDType(key) ? key : undefined);
  invariant(found, `${node.op}: the rule left the dtype of output ${index} open`);
  return found;
}

/** Same dtype, and no two known lengths differ. */
export function compatible(a: TensorType, b: TensorType): boolean {
  if (a.dtype !== b.dtype) return false;
  if (!a.shape || !b.shape) return true;
  const other = b.shape;
  return (
    a.shape.length === other.length &&
    a.shape.every((dim, i) => typeof dim === 'string' || typeof other[i] === 'string' || dim === other[i])
  );
}

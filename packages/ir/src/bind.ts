/**
 * Giving open lengths their values: a name (`N` = 1) everywhere it stands, the whole shape of an input, or the value of
 * an input that is always the same. What follows from it is folded.
 */
import { GrimError, quote } from './errors.ts';
import { fold } from './fold.ts';
import { bodiesOf, type Graph, type Node, type Weight } from './graph.ts';
import { LIMITS, type Limits } from './limits.ts';
import { fromReals, toReal } from './numeric.ts';
import { suggest } from './suggest.ts';
import {
  type Dim,
  elementCount,
  formatShape,
  formatType,
  isArrayOf,
  isFloat,
  isStatic,
  type Shape,
  type Tensor,
  type TensorType,
} from './types.ts';

export interface Binding {
  /** Length of each named dimension, 1 or more. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Whole shapes, by input. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Values of inputs that never change: those inputs become weights. A bare number or boolean is a scalar. */
  readonly constants?: Readonly<Record<string, Tensor | number | boolean>>;
}

/** Inputs after binding. */
interface Bound {
  readonly inputs: ReadonlyMap<string, TensorType>;
  readonly constants: ReadonlyMap<string, Weight>;
  readonly dims: ReadonlyMap<string, number>;
}

/**
 * The graph with lengths and inputs bound, folded. Names that the binding leaves out stay open.
 *
 * @throws {GrimError} GRIM_IR_BAD_BINDING for a name, a rank, a length or a value that does not fit the inputs, or two
 *   that contradict each other; what `fold` throws
 * @example bind(graph, { dims: { N: 1 }, constants: { sr: 16000 } })
 */
export function bind(graph: Graph, binding: Binding, limits: Limits = LIMITS): Graph {
  const bound = bindInputs(graph.inputs, binding, limits);
  const weights = new Map([...graph.weights, ...bound.constants]);
  const nodes = graph.nodes.map((node) => bindBodies(node, bound.dims));
  return fold({ ...graph, inputs: bound.inputs, weights, nodes }, limits);
}

/**
 * @throws {GrimError} GRIM_IR_UNBOUND_DIM, listing every input with an open length
 */
export function requireStatic(graph: Graph): void {
  const open = Array.from(graph.inputs).filter(([, type]) => !isStatic(type.shape));
  if (open.length === 0) return;
  const names = new Set(open.flatMap(([, type]) => (type.shape ?? []).filter((dim) => typeof dim === 'string')));
  const inputs = open.map(([name, type]) => `${quote(name)}: ${formatType(type)}`).join('; ');
  const how = names.size > 0 ? `lengths for ${Array.from(names, quote).join(', ')}, or ` : '';
  throw new GrimError(
    'GRIM_IR_UNBOUND_DIM',
    `Not all lengths are known: ${inputs}. Bind ${how}whole shapes by input.`,
    {
      dims: [...names],
      inputs: open.map(([name]) => name),
    },
  );
}

function bindBodies(node: Node, dims: ReadonlyMap<string, number>): Node {
  const bodies = bodiesOf(node).map(([key, body]) => {
    const inputs = new Map(Array.from(body.inputs, ([name, type]) => [name, substitute(type, dims)]));
    return [key, { ...body, inputs, nodes: body.nodes.map((inner) => bindBodies(inner, dims)) }] as const;
  });
  if (bodies.length === 0) return node;
  return { ...node, attributes: { ...node.attributes, ...Object.fromEntries(bodies) } } as Node;
}

/** The type with named lengths replaced by those that are known. */
export function substitute(type: TensorType, dims: ReadonlyMap<string, number>): TensorType {
  if (isStatic(type.shape) || dims.size === 0) return type;
  const replaced = type.shape?.map((dim) => (typeof dim === 'string' ? (dims.get(dim) ?? dim) : dim)) ?? null;
  return { dtype: type.dtype, shape: replaced };
}

/**
 * Applies a binding to declared inputs.
 * @throws {GrimError} see {@link bind}
 */
export function bindInputs(
  inputs: ReadonlyMap<string, TensorType>,
  { dims = {}, shapes = {}, constants = {} }: Binding,
  limits: Limits,
): Bound {
  const list = Array.from(inputs, ([name, type]) => `${quote(name)}: ${formatType(type)}`).join('; ') || 'none';
  const bad = (message: string, details: Record<string, unknown>): never => {
    throw new GrimError('GRIM_IR_BAD_BINDING', `${message} Inputs: ${list}.`, details);
  };
  const didYouMean = (name: string, candidates: Iterable<string>) => {
    const near = suggest(name, candidates);
    return near === undefined ? '' : ` Did you mean ${quote(near)}?`;
  };
  const names = new Set<string>();
  for (const { shape } of inputs.values()) for (const dim of shape ?? []) if (typeof dim === 'string') names.add(dim);

  const lengths = new Map<string, readonly [length: number, source: string]>();
  const setLength = (name: string, length: number, source: string) => {
    const earlier = lengths.get(name);
    if (earlier && earlier[0] !== length)
      bad(`${quote(name)} is ${length} by ${source} and ${earlier[0]} by ${earlier[1]}.`, { dim: name });
    lengths.set(name, [length, source]);
  };
  for (const [name, length] of Object.entries(dims)) {
    if (!names.has(name)) {
      const known = names.size > 0 ? `The open ones are ${Array.from(names, quote).join(', ')}.` : 'No length is open.';
      bad(`${quote(name)} is no named length of this graph.${didYouMean(name, names)} ${known}`, { dim: name });
    }
    if (!Number.isInteger(length) || length < 1 || length > limits.dim)
      bad(`${quote(name)} is bound to ${String(length)}; an integer from 1 to ${limits.dim} is needed.`, { dim: name });
    setLength(name, length, `dims.${name}`);
  }

  const own = new Map<string, TensorType>();
  const setShape = (name: string, shape: readonly number[], source: string, least: number) => {
    const type = inputs.get(name);
    if (!type)
      return bad(`${quote(name)} is no input of this graph.${didYouMean(name, inputs.keys())}`, { input: name });
    const refuse = (why: string) =>
      bad(`${source} = ${formatShape(shape)}: ${why}`, { input: name, shape: [...shape] });
    if (type.shape && type.shape.length !== shape.length) refuse(`${formatType(type)} has rank ${type.shape.length}.`);
    if (!type.shape && shape.length > limits.rank) refuse(`rank ${limits.rank} is the highest supported.`);
    shape.forEach((length, axis) => {
      const declared: Dim | undefined = type.shape?.[axis];
      if (declared === length) return;
      if (!Number.isInteger(length) || length < least || length > limits.dim)
        refuse(`${String(length)} is not an integer from ${least} to ${limits.dim}.`);
      if (typeof declared === 'number') refuse(`axis ${axis} of ${formatType(type)} is ${declared}.`);
      if (typeof declared === 'string') setLength(declared, length, source);
    });
    own.set(name, { dtype: type.dtype, shape });
    return type;
  };
  for (const [name, shape] of Object.entries(shapes)) {
    if (!Array.isArray(shape)) bad(`The shape for ${quote(name)} is no list of lengths.`, { input: name });
    setShape(name, shape, `shapes.${name}`, 1);
  }
  const values = new Map<string, Weight>();
  for (const [name, given] of Object.entries(constants)) {
    const type = inputs.get(name);
    const value = typeof given === 'object' ? given : scalar(type, Number(given));
    if (!Array.isArray(value?.shape))
      bad(`constants.${name} is neither a number, nor a boolean, nor a tensor { dtype, shape, data }.`, {
        input: name,
      });
    if (typeof given !== 'object' && !isFloat(value.dtype) && toReal(value, 0) !== Number(given))
      bad(`constants.${name} is ${String(given)}, which ${value.dtype} cannot hold.`, { input: name });
    setShape(name, value.shape, `constants.${name}`, 0);
    const count = elementCount(value.shape, value.dtype, `constants.${name}`, limits);
    if (value.dtype !== type?.dtype || !isArrayOf(value.dtype, value.data) || value.data.length !== count)
      bad(`constants.${name} is ${formatType(value)} with ${value.data?.length} elements.`, { input: name });
    values.set(name, value);
  }

  const known = new Map(Array.from(lengths, ([name, [length]]) => [name, length]));
  const bound = new Map<string, TensorType>();
  for (const [name, declared] of inputs) {
    if (values.has(name)) continue;
    const type = own.get(name) ?? substitute(declared, known);
    if (isStatic(type.shape)) elementCount(type.shape, type.dtype, `input ${quote(name)}`, limits);
    bound.set(name, type);
  }
  return { inputs: bound, constants: values, dims: known };
}

/** The one element of an input: of shape [] unless the input is declared with ones. */
function scalar(type: TensorType | undefined, value: number): Tensor {
  const shape: Shape = type?.shape?.map(() => 1) ?? [];
  return fromReals(type?.dtype ?? 'float32', shape as readonly number[], [value]);
}

/**
 * The graph: a plain, readonly, serialisable value. Every pass takes one and returns one.
 *
 * Values are named by strings. A name is an input, a weight, or an output of exactly one node; the nodes stand in an
 * order in which every value is made before it is used. Bodies of `If`, `Loop` and `Scan` are graphs too: they may use
 * the names of the graph around them, and never reuse one.
 */
import { GrimError, quote } from './errors.ts';
import type { AttributesOf } from './op.ts';
import { type OPS, type OpName, opSpec } from './ops.ts';
import type { BcrPattern } from './pattern.ts';
import type { DType, Shape, Tensor, TensorType } from './types.ts';

/** Attributes of operator `O`, defaults filled in. */
export type Attributes<O extends OpName> = AttributesOf<(typeof OPS)[O]['attributes']>;

/** One operator applied to values. */
export interface NodeOf<O extends OpName> {
  readonly op: O;
  /** Unique in the graph, never empty; the name in the ONNX file where it has one. */
  readonly name: string;
  /** Names of values; an empty string is an optional input left out. Trailing absences are cut off. */
  readonly inputs: readonly string[];
  /** An empty string is an output that nobody wants. */
  readonly outputs: readonly string[];
  readonly attributes: Attributes<O>;
}

/** Narrow on `node.op`; the attributes follow. */
export type Node = { [O in OpName]: NodeOf<O> }[OpName];

/**
 * A constant. Its `data` may be a view on the bytes of the file it came from, made when first asked for.
 * With a pattern, its zeros are structural: see {@link BcrPattern}; the matrix is the GEMM view of `gemmView()`.
 */
export interface Weight extends Tensor {
  readonly pattern?: BcrPattern;
}

export interface Graph {
  readonly name: string;
  /** In the order of the ONNX file. Of a body: the parameters its operator passes in. */
  readonly inputs: ReadonlyMap<string, TensorType>;
  /** Public name → name of the value. Two outputs may share a value, and a value may be an input or a weight. */
  readonly outputs: ReadonlyMap<string, string>;
  readonly nodes: readonly Node[];
  readonly weights: ReadonlyMap<string, Weight>;
}

/** What a caller writes for the attributes: those with a default may be left out. */
export type AttributeInput<O extends OpName> = Partial<Attributes<O>>;

export interface GraphBuilder {
  /** @returns the name, for use as an input of nodes */
  input(name: string, dtype: DType, shape: Shape | null): string;
  weight(name: string, weight: Weight): string;
  /** Adds a node with one output. An absent optional input is `''`. */
  add<O extends OpName>(
    op: O,
    inputs: readonly string[],
    attributes?: AttributeInput<O>,
    options?: { readonly name?: string; readonly output?: string },
  ): string;
  /** Adds a node with several outputs: their number (names are made), or their names. */
  addMany<O extends OpName>(
    op: O,
    inputs: readonly string[],
    outputs: number | readonly string[],
    attributes?: AttributeInput<O>,
    options?: { readonly name?: string },
  ): string[];
  output(name: string, value?: string): void;
}

/**
 * Builds a graph. Only names are checked here, as they are made; `verify()` checks the rest.
 * @throws {GrimError} GRIM_IR_DUPLICATE_NAME
 * @example
 * const g = graph('scale', (b) => {
 *   const x = b.input('x', 'float32', [1, 3]);
 *   const w = b.weight('w', { dtype: 'float32', shape: [3], data: new Float32Array([1, 2, 3]) });
 *   b.output('y', b.add('Mul', [x, w]));
 * });
 */
export function graph(name: string, build: (g: GraphBuilder) => void): Graph {
  const inputs = new Map<string, TensorType>();
  const outputs = new Map<string, string>();
  const weights = new Map<string, Weight>();
  const nodes: Node[] = [];
  const values = new Set<string>();
  const nodeNames = new Set<string>();

  const claim = (set: Set<string>, kind: string, wanted: string): string => {
    if (set.has(wanted))
      throw new GrimError('GRIM_IR_DUPLICATE_NAME', `graph ${quote(name)}: ${kind} ${quote(wanted)} exists already.`, {
        name: wanted,
      });
    set.add(wanted);
    return wanted;
  };
  const fresh = (set: Set<string>, stem: string): string => {
    for (let i = set.size; ; i++) if (!set.has(`${stem}_${i}`)) return `${stem}_${i}`;
  };
  const addMany: GraphBuilder['addMany'] = (op, from, to, attributes = {}, options = {}) => {
    const nodeName = claim(nodeNames, 'node', options.name ?? fresh(nodeNames, op));
    const made: string[] = [];
    const wanted = typeof to === 'number' ? Array.from({ length: to }, () => undefined) : to;
    for (const output of wanted)
      made.push(output === '' ? '' : claim(values, 'value', output ?? fresh(values, nodeName)));
    nodes.push({ op, name: nodeName, inputs: from, outputs: made, attributes: withDefaults(op, attributes) } as Node);
    return made;
  };
  build({
    input(input, dtype, shape) {
      inputs.set(claim(values, 'value', input), { dtype, shape });
      return input;
    },
    weight(weight, value) {
      weights.set(claim(values, 'value', weight), value);
      return weight;
    },
    add(op, from, attributes, options = {}) {
      return addMany(op, from, options.output === undefined ? 1 : [options.output], attributes, options)[0] ?? '';
    },
    addMany,
    output(output, value = output) {
      if (outputs.has(output))
        throw new GrimError('GRIM_IR_DUPLICATE_NAME', `graph ${quote(name)}: output ${quote(output)} exists already.`, {
          name: output,
        });
      outputs.set(output, value);
    },
  });
  return { name, inputs, outputs, nodes, weights };
}

/** Fills in the defaults of the operator table. Nothing is checked. */
export function withDefaults<O extends OpName>(op: O, given: AttributeInput<O>): Attributes<O> {
  const all: Record<string, unknown> = {};
  for (const [key, row] of Object.entries(opSpec(op).attributes)) {
    const value = (given as Record<string, unknown>)[key] ?? row.fallback;
    if (value !== undefined) all[key] = value;
  }
  // What the operator does not have is kept, so that verify() can name it.
  for (const [key, value] of Object.entries(given))
    if (!Object.hasOwn(all, key) && value !== undefined) all[key] = value;
  return all as Attributes<O>;
}

/** The bodies of a node, by attribute; empty for all but `If`, `Loop` and `Scan`. */
export function bodiesOf(node: Node): readonly (readonly [attribute: string, body: Graph])[] {
  switch (node.op) {
    case 'If':
      return [
        ['then_branch', node.attributes.then_branch],
        ['else_branch', node.attributes.else_branch],
      ];
    case 'Loop':
    case 'Scan':
      return [['body', node.attributes.body]];
    default:
      return [];
  }
}

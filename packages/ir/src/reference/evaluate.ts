/**
 * The oracle: runs a graph node by node, straight from the operators' definitions, sums in float64. Slow on purpose.
 */
import { GrimError, type GrimErrorCode, invariant, quote, show } from '../errors.ts';
import { bodiesOf, type Graph, type Node } from '../graph.ts';
import { at, inferNode, type Scope } from '../infer.ts';
import { type Limits, withLimits } from '../limits.ts';
import { opSpec } from '../ops.ts';
import {
  allocate,
  bytesPerElement,
  elementCount,
  formatType,
  isArrayOf,
  isStatic,
  type Tensor,
  type TensorArray,
  type TensorType,
} from '../types.ts';
import { sizeOf } from './indexing.ts';
import type { KernelContext } from './kernel.ts';
import { kernelOf } from './kernels.ts';

export interface EvaluateOptions {
  readonly limits?: Partial<Limits>;
  /** Called with every computed value, before values that nobody needs any more are dropped. */
  readonly onValue?: (name: string, value: Tensor, node: Node) => void;
  /**
   * Computes a node in another way: on simulated hardware, say. Undefined leaves the node to the reference. `outputs` are
   * the inferred types, which the results must have.
   */
  readonly override?: (
    node: Node,
    inputs: readonly (Tensor | undefined)[],
    outputs: readonly TensorType[],
  ) => readonly Tensor[] | undefined;
}

/**
 * Runs `graph` on the given inputs.
 *
 * @param inputs  one entry per graph input: a tensor, or its bare array when the declared shape is static
 * @returns the outputs by their public names, in an object without a prototype
 * @throws {GrimError} GRIM_IR_BAD_INPUT when an input is missing, unknown or of another type; what the operators' rules
 *   throw (`inferNode`); GRIM_IR_BAD_VALUE when a run-time value cannot be used; GRIM_IR_LIMIT past
 *   `evaluateBytes`, `loopSteps` or `subgraphDepth`
 */
export function evaluate(
  graph: Graph,
  inputs: Readonly<Record<string, Tensor | TensorArray>>,
  options: EvaluateOptions = {},
): Record<string, Tensor> {
  const limits = withLimits(options.limits);
  const given = checkInputs(graph, inputs, limits);
  const { onValue, override } = options;
  const run: Run = { limits, onValue, override, heldBytes: 0, loopSteps: 0, lastUses: new Map() };
  const results = runGraph(graph, given, undefined, run);
  const named: Record<string, Tensor> = Object.create(null);
  Array.from(graph.outputs.keys()).forEach((name, i) => {
    named[name] = results[i] as Tensor;
  });
  return named;
}

interface Run {
  readonly limits: Limits;
  readonly onValue: EvaluateOptions['onValue'];
  readonly override: EvaluateOptions['override'];
  /** Bytes of the computed values that are still needed. */
  heldBytes: number;
  /** Steps of all loops so far: nested loops multiply, so each alone would bound nothing. */
  loopSteps: number;
  /** By graph, as a loop runs its body many times. */
  readonly lastUses: Map<Graph, LastUses>;
}

/** Values that a (sub)graph can see. */
interface Values {
  readonly own: Map<string, Tensor>;
  readonly graph: Graph;
  readonly outer: Values | undefined;
  readonly depth: number;
}

function lookUp(values: Values | undefined, name: string): Tensor | undefined {
  for (let v = values; v; v = v.outer) {
    const found = v.own.get(name) ?? v.graph.weights.get(name);
    if (found) return found;
  }
  return undefined;
}

function runGraph(graph: Graph, inputs: readonly Tensor[], outer: Values | undefined, run: Run): readonly Tensor[] {
  const own = new Map<string, Tensor>();
  const values: Values = { own, graph, outer, depth: outer ? outer.depth + 1 : 0 };
  let position = 0;
  for (const name of graph.inputs.keys()) {
    const value = inputs[position++];
    if (value) own.set(name, value);
  }
  const heldBefore = run.heldBytes;
  let lastUse = run.lastUses.get(graph);
  if (!lastUse) {
    lastUse = lastUses(graph);
    run.lastUses.set(graph, lastUse);
  }
  for (const [index, node] of graph.nodes.entries()) {
    const results = runNode(node, values, run);
    node.outputs.forEach((name, i) => {
      const value = results[i];
      if (name === '' || !value) return;
      own.set(name, value);
      run.heldBytes += value.data.byteLength;
      run.onValue?.(name, value, node);
    });
    checkHeld(node, run.heldBytes, run);
    for (const name of lastUse.get(index) ?? []) {
      const value = own.get(name);
      if (!value || graph.inputs.has(name)) continue;
      run.heldBytes -= value.data.byteLength;
      own.delete(name);
    }
  }
  run.heldBytes = heldBefore;
  return Array.from(graph.outputs.values(), (name) => {
    const value = lookUp(values, name);
    if (!value)
      throw new GrimError(
        'GRIM_IR_UNKNOWN_VALUE',
        `graph ${quote(graph.name)}: output value ${quote(name)} is not defined.`,
        { graph: graph.name, value: name },
      );
    return value;
  });
}

function checkHeld(node: Node, bytes: number, { limits }: Run): void {
  if (bytes > limits.evaluateBytes)
    throw new GrimError(
      'GRIM_IR_LIMIT',
      `${at(node)}: values needed at once take ${bytes} bytes, more than ${limits.evaluateBytes} (limit evaluateBytes).`,
      { node: node.name, limit: 'evaluateBytes', bytes },
    );
}

/** The values that nobody needs after the node at each position. */
type LastUses = ReadonlyMap<number, readonly string[]>;

/** Outputs of the graph are needed to the end; what a body captures is needed by the node that holds the body. */
function lastUses(graph: Graph): LastUses {
  const last = new Map<string, number>();
  graph.nodes.forEach((node, position) => {
    for (const name of node.outputs) last.set(name, position);
    for (const name of node.inputs) last.set(name, position);
    for (const name of namesInBodies(node)) if (last.has(name)) last.set(name, position);
  });
  for (const name of graph.outputs.values()) last.delete(name);
  const dropped = new Map<number, string[]>();
  for (const [name, position] of last) {
    const names = dropped.get(position);
    if (names) names.push(name);
    else dropped.set(position, [name]);
  }
  return dropped;
}

/** Every name that a node's bodies use, at any depth: those they capture are among them. */
function namesInBodies(node: Node): ReadonlySet<string> {
  const names = new Set<string>();
  // Graphs made in memory may hold one body many times.
  const bodies = new Set(bodiesOf(node).map(([, body]) => body));
  // A set goes on to what is added to it meanwhile.
  for (const body of bodies) {
    for (const name of body.outputs.values()) names.add(name);
    for (const inner of body.nodes) {
      for (const name of inner.inputs) names.add(name);
      for (const [, nested] of bodiesOf(inner)) bodies.add(nested);
    }
  }
  return names;
}

function runNode(node: Node, values: Values, run: Run): readonly Tensor[] {
  const inputs = node.inputs.map((name) => {
    if (name === '') return undefined;
    const value = lookUp(values, name);
    if (!value)
      throw new GrimError('GRIM_IR_UNKNOWN_VALUE', `${at(node)}: input ${quote(name)} is not defined before it.`, {
        node: node.name,
        value: name,
      });
    return value;
  });
  const types = inputs.map((value) => value && { dtype: value.dtype, shape: value.shape });
  const outputs = inferNode(node, types, (i) => inputs[i], scopeOf(values), run.limits);
  const context: KernelContext = {
    attributes: node.attributes as KernelContext['attributes'],
    inputs,
    input(i) {
      const value = inputs[i];
      invariant(value, `${node.op}: input ${i} asked for and absent`);
      return value;
    },
    outputs: outputs as KernelContext['outputs'],
    limits: run.limits,
    run(body, given) {
      if (node.op !== 'If') countStep(node, run);
      return runGraph(body, given, values, run);
    },
    fail(message) {
      throw new GrimError('GRIM_IR_BAD_VALUE', `${at(node)}: ${message}`, { node: node.name, op: node.op });
    },
  };
  if (!opSpec(node.op).dataDependent) {
    let bytes = run.heldBytes;
    for (const { dtype, shape } of outputs) {
      invariant(isStatic(shape), `${node.op}: the rule left a shape open although all inputs are known`);
      bytes += sizeOf(shape) * bytesPerElement(dtype);
    }
    checkHeld(node, bytes, run);
    // Nothing to compute; a kernel would walk the other lengths, which a 0 beside them lets be of any size.
    if (outputs.length > 0 && outputs.every(({ shape }) => shape?.includes(0)))
      return outputs.map(({ dtype, shape }) => ({ dtype, shape, data: allocate(dtype, 0) }) as Tensor);
  }
  return run.override?.(node, inputs, outputs) ?? kernelOf(node.op)(context);
}

function countStep(node: Node, run: Run): void {
  if (++run.loopSteps > run.limits.loopSteps)
    throw new GrimError(
      'GRIM_IR_LIMIT',
      `${at(node)}: the loops of this run take more than ${run.limits.loopSteps} steps (limit loopSteps).`,
      { node: node.name, limit: 'loopSteps' },
    );
}

/** What the rules of operators with bodies look names up in: here every visible value is a constant. */
function scopeOf(values: Values): Scope {
  const get = (name: string) => values.own.get(name) ?? values.graph.weights.get(name);
  return {
    types: { get },
    constants: { get },
    outer: values.outer && scopeOf(values.outer),
    depth: values.depth,
    unknowns: { count: 0 },
  };
}

/** The graph's inputs in order, checked against what it declares. */
function checkInputs(
  graph: Graph,
  inputs: Readonly<Record<string, Tensor | TensorArray>>,
  limits: Limits,
): readonly Tensor[] {
  const bad = (name: string, message: string, code: GrimErrorCode = 'GRIM_IR_BAD_INPUT'): never => {
    throw new GrimError(code, `input ${quote(name)} ${message}`, { input: name });
  };
  const list = Array.from(graph.inputs, ([name, type]) => `${quote(name)}: ${formatType(type)}`).join('; ');
  for (const name of Object.keys(inputs))
    if (!graph.inputs.has(name)) bad(name, `is not one of this graph's. It takes ${list || 'none'}.`);
  const lengths = new Map<string, readonly [number, string]>();
  return Array.from(graph.inputs, ([name, type]) => {
    const given = Object.hasOwn(inputs, name) ? inputs[name] : undefined;
    if (given === undefined) return bad(name, `is missing. This graph takes ${list}.`);
    const value = ArrayBuffer.isView(given) ? fromArray(name, type, given, bad) : given;
    if (value?.dtype !== type.dtype || !isArrayOf(type.dtype, value.data) || !Array.isArray(value.shape))
      bad(name, `is ${show(String(value?.dtype))}; ${formatType(type)} is needed, as { dtype, shape, data }.`);
    if (type.dtype === 'bool' && (value.data as Uint8Array).some((element) => element > 1))
      bad(name, 'is bool and has an element other than 0 and 1.');
    if (elementCount(value.shape, value.dtype, `input ${quote(name)}`, limits) !== value.data.length)
      bad(name, `has ${value.data.length} elements; its shape [${value.shape.join(', ')}] says otherwise.`);
    const { shape } = type;
    if (shape && shape.length !== value.shape.length)
      bad(name, `has shape [${value.shape.join(', ')}]; ${formatType(type)} is needed.`);
    shape?.forEach((dim, axis) => {
      const length = value.shape[axis] ?? 0;
      if (typeof dim === 'number') {
        if (dim !== length) bad(name, `has shape [${value.shape.join(', ')}]; ${formatType(type)} is needed.`);
        return;
      }
      const [earlier, whose] = lengths.get(dim) ?? [length, name];
      if (earlier !== length)
        bad(name, `has ${quote(dim)} = ${length} in axis ${axis}; input ${quote(whose)} has ${earlier}.`);
      lengths.set(dim, [length, name]);
    });
    return value;
  });
}

function fromArray(
  name: string,
  type: TensorType,
  data: TensorArray,
  bad: (name: string, message: string) => never,
): Tensor {
  if (!isStatic(type.shape))
    return bad(name, `is a bare array, but ${formatType(type)} has open lengths. Give { dtype, shape, data }.`);
  if (!isArrayOf(type.dtype, data)) return bad(name, `is not the kind of array that holds ${formatType(type)}.`);
  if (data.length !== elementCount(type.shape, type.dtype))
    return bad(name, `has ${data.length} elements; ${formatType(type)} needs ${elementCount(type.shape, type.dtype)}.`);
  return { dtype: type.dtype, shape: type.shape, data } as Tensor;
}

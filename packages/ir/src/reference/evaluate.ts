/**
 * The oracle: runs a graph node by node, straight from the operators' definitions, sums in float64. Slow on purpose.
 */
import { GrimError, type GrimErrorCode, invariant, quote } from '../errors.ts';
import type { Graph, Node } from '../graph.ts';
import { at, inferNode, type Scope } from '../infer.ts';
import { type Limits, withLimits } from '../limits.ts';
import { opSpec } from '../ops.ts';
import {
  bytesPerElement,
  elementCount,
  formatType,
  isArrayOf,
  isStatic,
  type Tensor,
  type TensorArray,
  type TensorType,
} from '../types.ts';
import type { KernelContext } from './kernel.ts';
import { kernelOf } from './kernels.ts';

export interface EvaluateOptions {
  readonly limits?: Partial<Limits>;
  /** Called with every computed value, before values that nobody needs any more are dropped. */
  readonly onValue?: (name: string, value: Tensor, node: Node) => void;
}

/**
 * Runs `graph` on the given inputs.
 *
 * @param inputs  one entry per graph input: a tensor, or its bare array when the declared shape is static
 * @returns the outputs by their public names, in an object without a prototype
 * @throws {GrimError} GRIM_IR_BAD_INPUT when an input is missing, unknown or of another type; what the operators' rules
 *   throw (`inferNode`); GRIM_IR_BAD_VALUE when a run-time value cannot be used; GRIM_IR_LIMIT past `evaluateBytes`
 */
export function evaluate(
  graph: Graph,
  inputs: Readonly<Record<string, Tensor | TensorArray>>,
  options: EvaluateOptions = {},
): Record<string, Tensor> {
  const limits = withLimits(options.limits);
  const given = checkInputs(graph, inputs);
  const run: Run = { limits, onValue: options.onValue, heldBytes: 0 };
  const results = runGraph(graph, given, undefined, 0, run);
  const named: Record<string, Tensor> = Object.create(null);
  Array.from(graph.outputs.keys()).forEach((name, i) => {
    named[name] = results[i] as Tensor;
  });
  return named;
}

interface Run {
  readonly limits: Limits;
  readonly onValue: EvaluateOptions['onValue'];
  heldBytes: number;
}

/** Values that a (sub)graph can see. */
interface Values {
  readonly own: Map<string, Tensor>;
  readonly graph: Graph;
  readonly outer: Values | undefined;
}

function lookUp(values: Values | undefined, name: string): Tensor | undefined {
  for (let v = values; v; v = v.outer) {
    const found = v.own.get(name) ?? v.graph.weights.get(name);
    if (found) return found;
  }
  return undefined;
}

function runGraph(
  graph: Graph,
  inputs: readonly Tensor[],
  outer: Values | undefined,
  depth: number,
  run: Run,
): readonly Tensor[] {
  const own = new Map<string, Tensor>();
  const values: Values = { own, graph, outer };
  Array.from(graph.inputs.keys()).forEach((name, i) => {
    const value = inputs[i];
    if (value) own.set(name, value);
  });
  const heldBefore = run.heldBytes;
  const lastUse = lastUses(graph);
  graph.nodes.forEach((node, position) => {
    const results = runNode(node, values, depth, run);
    node.outputs.forEach((name, i) => {
      const value = results[i];
      if (name === '' || !value) return;
      own.set(name, value);
      run.heldBytes += value.data.byteLength;
      run.onValue?.(name, value, node);
    });
    if (run.heldBytes > run.limits.evaluateBytes)
      throw new GrimError(
        'GRIM_IR_LIMIT',
        `${at(node)}: values alive at once pass ${run.limits.evaluateBytes} bytes (limit evaluateBytes).`,
      );
    for (const name of [...node.inputs, ...node.outputs])
      if (lastUse.get(name) === position && own.has(name) && !graph.inputs.has(name)) {
        run.heldBytes -= own.get(name)?.data.byteLength ?? 0;
        own.delete(name);
      }
  });
  run.heldBytes = heldBefore;
  return Array.from(graph.outputs.values(), (name) => {
    const value = lookUp(values, name);
    if (!value)
      throw new GrimError('GRIM_IR_UNKNOWN_VALUE', `graph ${quote(graph.name)}: output value ${quote(name)} is not defined.`);
    return value;
  });
}

/** Position of the last node that needs each value; outputs, and what a body may use, are never dropped. */
function lastUses(graph: Graph): ReadonlyMap<string, number> {
  const last = new Map<string, number>();
  let hasBodies = false;
  graph.nodes.forEach((node, position) => {
    hasBodies ||= node.op === 'If' || node.op === 'Loop' || node.op === 'Scan';
    for (const name of node.inputs) last.set(name, position);
    for (const name of node.outputs) if (!last.has(name)) last.set(name, position);
  });
  if (hasBodies) return new Map();
  for (const name of graph.outputs.values()) last.delete(name);
  return last;
}

function runNode(node: Node, values: Values, depth: number, run: Run): readonly Tensor[] {
  const inputs = node.inputs.map((name) => {
    if (name === '') return undefined;
    const value = lookUp(values, name);
    if (!value)
      throw new GrimError('GRIM_IR_UNKNOWN_VALUE', `${at(node)}: input ${quote(name)} is not defined before it.`);
    return value;
  });
  const types = inputs.map((value) => value && { dtype: value.dtype, shape: value.shape });
  const outputs = inferNode(node, types, (i) => inputs[i], scopeOf(values, depth), run.limits);
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
    run: (body, given) => runGraph(body, given, values, depth + 1, run),
    fail(message) {
      throw new GrimError('GRIM_IR_BAD_VALUE', `${at(node)}: ${message}`, { node: node.name, op: node.op });
    },
  };
  if (!opSpec(node.op).dataDependent)
    for (const output of outputs)
      invariant(isStatic(output.shape), `${node.op}: the rule left a shape open although all inputs are known`);
  return kernelOf(node.op)(context);
}

/** What the rules of operators with bodies look names up in: here every visible value is a constant. */
function scopeOf(values: Values, depth: number): Scope {
  const outer = values.outer && scopeOf(values.outer, depth - 1);
  const constants = new Map<string, Tensor>([...values.graph.weights, ...values.own]);
  const types = new Map<string, TensorType>();
  for (const [name, value] of constants) types.set(name, { dtype: value.dtype, shape: value.shape });
  return { types, constants, outer, depth };
}

/** The graph's inputs in order, checked against what it declares. */
export function checkInputs(
  graph: Graph,
  inputs: Readonly<Record<string, Tensor | TensorArray>>,
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
    if (value.dtype !== type.dtype || !isArrayOf(type.dtype, value.data))
      bad(name, `is ${value.dtype}; ${formatType(type)} is needed.`);
    if (elementCount(value.shape, value.dtype, `input ${quote(name)}`) !== value.data.length)
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

/** Bytes of a value of this type. */
export function bytesOf(type: { readonly dtype: Tensor['dtype']; readonly shape: readonly number[] }): number {
  return elementCount(type.shape, type.dtype) * bytesPerElement(type.dtype);
}


/**
 * Reverse-mode differentiation of a graph: its nodes are written into a new graph, then, from the last to the first, the
 * nodes of their gradients. The result is an ordinary graph, for any engine; on float64 the reference evaluates it too.
 * @see Griewank & Walther, "Evaluating Derivatives", 2nd ed. 2008, chapter 3
 */
import {
  type Graph,
  type GraphBuilder,
  inferTypes,
  isStatic,
  type Node,
  type OpName,
  quote,
  type TensorType,
  toReals,
} from '@grim/ir';
import { type Emitter, emitter, type Shape } from './emit.ts';
import { fail } from './errors.ts';
import { ruleOf } from './gradients.ts';
import type { Back, RuleContext, Running } from './rule.ts';

export interface Differentiation {
  readonly emit: Emitter;
  readonly types: ReadonlyMap<string, TensorType>;
  /** Statistics of this batch, in the order of the nodes. */
  readonly running: readonly Running[];
  /** @returns the gradient of each value asked for, by name; absent where the seeds do not depend on it */
  backward(seeds: ReadonlyMap<string, string>): ReadonlyMap<string, string>;
}

export interface DifferentiateOptions {
  /** Weights and inputs whose gradients are wanted. */
  readonly wanted: readonly string[];
  /** Batch normalisation takes the statistics of the batch. Default false. */
  readonly training?: boolean;
  readonly dtype?: 'float32' | 'float64';
}

/**
 * Writes the forward nodes of `graph`, whose lengths are known; its inputs and weights must be in `b` by their names.
 *
 * @throws {GrimError} GRIM_TRAIN_NO_GRADIENT, naming the node, when a wanted gradient passes an operator without a rule
 */
export function differentiate(b: GraphBuilder, graph: Graph, options: DifferentiateOptions): Differentiation {
  const types = inferTypes(graph);
  const emit = emitter(b, options.dtype ?? 'float32');
  const active = activeValues(graph, options.wanted, types);
  const running: Running[] = [];
  const tape: { readonly node: Node; readonly back: Back }[] = [];
  for (const node of graph.nodes) {
    const isActive = node.outputs.some((name) => active.has(name));
    const hasStatistics = options.training === true && node.op === 'BatchNormalization';
    const rule = isActive || hasStatistics ? ruleOf(node.op) : 'flat';
    const context = contextOf(node, { b, emit, graph, types, active, training: options.training ?? false, running });
    if (rule === 'flat') context.copy();
    else if (rule === undefined) context.refuse('its gradient is not known');
    else {
      const back = rule(context);
      if (isActive) tape.push({ node, back });
    }
  }
  return {
    emit,
    types,
    running,
    backward(seeds) {
      const gradients = new Map<string, string>();
      const add = (name: string, gradient: string): void => {
        const known = gradients.get(name);
        gradients.set(name, known === undefined ? gradient : emit.sum(known, gradient));
      };
      for (const [name, gradient] of seeds) if (active.has(name)) add(name, gradient);
      for (const { node, back } of tape.reverse()) {
        const outputs = node.outputs.map((name) => gradients.get(name));
        if (outputs.every((gradient) => gradient === undefined)) continue;
        back(outputs).forEach((gradient, i) => {
          const name = node.inputs[i] ?? '';
          if (gradient !== undefined && active.has(name)) add(name, gradient);
        });
      }
      const wanted = options.wanted.flatMap((name) => {
        const gradient = gradients.get(name);
        return gradient === undefined ? [] : [[name, gradient] as const];
      });
      return new Map(wanted);
    },
  };
}

const isFloat = (type: TensorType | undefined): boolean => type?.dtype === 'float32' || type?.dtype === 'float64';

/** Float values that depend on what is wanted, the wanted ones included. */
function activeValues(graph: Graph, wanted: readonly string[], types: ReadonlyMap<string, TensorType>): Set<string> {
  const active = new Set(wanted);
  for (const node of graph.nodes) {
    if (ruleOf(node.op) === 'flat' || !node.inputs.some((name) => active.has(name))) continue;
    // What no rule is known of passes on activity of any type: better refused than taken for constant.
    const passes = ruleOf(node.op) === undefined;
    for (const name of node.outputs) if (name !== '' && (passes || isFloat(types.get(name)))) active.add(name);
  }
  return active;
}

interface Around {
  readonly b: GraphBuilder;
  readonly emit: Emitter;
  readonly graph: Graph;
  readonly types: ReadonlyMap<string, TensorType>;
  readonly active: ReadonlySet<string>;
  readonly training: boolean;
  readonly running: Running[];
}

function contextOf(node: Node, around: Around): RuleContext<OpName> {
  const { b, emit, graph, types, active } = around;
  const typeOf = (name: string): TensorType => {
    const type = types.get(name) ?? graph.inputs.get(name) ?? graph.weights.get(name);
    if (!type) throw new Error(`internal: value ${name} has no type`);
    return type;
  };
  const shapeOf = (name: string): Shape => {
    const { shape } = typeOf(name);
    if (!isStatic(shape))
      return fail(
        'GRIM_TRAIN_BAD_NETWORK',
        `${node.name} (${node.op}): the shape of ${quote(name)} depends on values; all lengths must be known before training.`,
        { node: node.name, value: name },
      );
    return shape;
  };
  const input = (i: number): string => node.inputs[i] ?? '';
  const reals = (i: number): readonly number[] | undefined => {
    const weight = graph.weights.get(input(i));
    return weight && Array.from(toReals(weight));
  };
  return {
    ...emit,
    node: node as never,
    a: node.attributes as never,
    training: around.training,
    copy: () => {
      b.addMany(node.op, node.inputs, node.outputs, node.attributes, { name: node.name });
    },
    has: (i) => input(i) !== '',
    input,
    output: (i = 0) => node.outputs[i] ?? '',
    type: (i) => typeOf(input(i)),
    shape: (i) => shapeOf(input(i)),
    outShape: (i = 0) => shapeOf(node.outputs[i] ?? ''),
    wanted: (i) => active.has(input(i)),
    integers: reals,
    reals,
    running: (r) => around.running.push(r),
    refuse: (why) =>
      fail(
        'GRIM_TRAIN_NO_GRADIENT',
        `${node.name} (${node.op}): ${why}; a gradient through it is needed. Train only the weights behind it, or export the network without it.`,
        {
          node: node.name,
          op: node.op,
        },
      ),
  };
}

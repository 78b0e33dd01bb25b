/**
 * Everything that is wrong with a graph, all at once: names, order, arity, attributes, types, weights, patterns, limits.
 *
 * First the structure is walked, bodies within the graph around them; then the shape rules run once over the nodes that
 * the structure leaves standing. Time is linear in the size of the graph and its weights.
 */
import { attributeProblems } from './attributes.ts';
import { GrimError, type GrimErrorCode, quote } from './errors.ts';
import { gemmView } from './gemm.ts';
import { bodiesOf, type Graph, type Node, type Weight } from './graph.ts';
import { arityProblems, at, inferScope, type Scope } from './infer.ts';
import { type Limits, withLimits } from './limits.ts';
import { utf8Length } from './literal.ts';
import { toReal } from './numeric.ts';
import { isOpName, opSpec } from './ops.ts';
import { orderOf } from './order.ts';
import { elementCount, isDType, type TensorType } from './types.ts';
import { nonFinite, patternMismatch, weightProblem } from './weight.ts';

/** One finding. `error`: the graph cannot be run or compiled as it is. `warning`: it can, but is hardly what was meant. */
export interface Diagnostic {
  /** Stable; compare this. */
  readonly code: GrimErrorCode | (string & {});
  /** Where, what was found, what was needed. For a body, the way to it stands in front. */
  readonly message: string;
  readonly node?: string;
  /** The input, weight, output or other value that is meant. */
  readonly value?: string;
  readonly severity: 'error' | 'warning';
}

/** All problems of `graph`, errors and warnings. Empty when nothing is wrong. */
export function verify(graph: Graph, limits: Partial<Limits> = {}): readonly Diagnostic[] {
  const run: Run = {
    limits: withLimits(limits),
    diagnostics: [],
    flagged: new Set(),
    places: new Map(),
    uninferable: false,
    nodes: 0,
    initializers: 0,
  };
  const level = checkGraph(graph, undefined, undefined, '', run);
  if (run.nodes > run.limits.nodes)
    error(run, '', 'GRIM_IR_LIMIT', `the graph has ${run.nodes} nodes; at most ${run.limits.nodes} are read.`);
  if (run.initializers > run.limits.initializers)
    error(
      run,
      '',
      'GRIM_IR_LIMIT',
      `the graph has ${run.initializers} weights; at most ${run.limits.initializers} are read.`,
    );
  if (!run.uninferable) checkTypes(graph, level, run);
  return run.diagnostics;
}

interface Run {
  readonly limits: Limits;
  readonly diagnostics: Diagnostic[];
  /** Nodes with an error of structure: what the shape rules say of them adds nothing. */
  readonly flagged: Set<Node>;
  /** Where the nodes of bodies stand. */
  readonly places: Map<Node, { readonly path: string; readonly owner: Node; readonly graph: Graph }>;
  /** A body holds what the rules cannot look at. */
  uninferable: boolean;
  nodes: number;
  initializers: number;
}

/** A name of a graph and who uses it. */
interface Definition {
  /** Of the node that makes it; -1 for inputs and weights. */
  readonly position: number;
  readonly weight: Weight | undefined;
  uses: number;
  /** Inputs that take a weight with a pattern. */
  readonly consumers: { readonly node: Node; readonly input: number; readonly path: string }[];
}

/** A graph being walked. */
interface Level {
  readonly graph: Graph;
  readonly outer: Level | undefined;
  readonly path: string;
  readonly depth: number;
  readonly names: Map<string, Definition>;
  /** For each node, what it needs of this graph: by its own inputs, or by what its bodies capture. */
  readonly needs: { readonly position: number; readonly value: string }[][];
  /** The node being walked. */
  current: number;
  /** Order in which the nodes can run, when the given one is wrong and another is right. */
  order: readonly number[] | undefined;
  /** Names whose type or data is unusable. */
  readonly bad: Set<string>;
}

interface Subject {
  readonly node?: string;
  readonly value?: string;
}

function error(run: Run, path: string, code: Diagnostic['code'], message: string, subject: Subject = {}): void {
  run.diagnostics.push({ code, message: path + message, ...subject, severity: 'error' });
}

function warn(run: Run, path: string, code: GrimErrorCode, message: string, subject: Subject = {}): void {
  run.diagnostics.push({ code, message: path + message, ...subject, severity: 'warning' });
}

function checkGraph(graph: Graph, outer: Level | undefined, owner: Node | undefined, path: string, run: Run): Level {
  const level: Level = {
    graph,
    outer,
    path,
    depth: outer ? outer.depth + 1 : 0,
    names: new Map(),
    needs: graph.nodes.map(() => []),
    current: -1,
    order: undefined,
    bad: new Set(),
  };
  for (const [name, type] of graph.inputs) {
    define(name, 'input', -1, undefined, level, run);
    checkInput(name, type, level, run);
  }
  for (const [name, weight] of graph.weights) {
    define(name, 'weight', -1, weight, level, run);
    checkWeight(name, weight, level, run);
  }
  run.initializers += graph.weights.size;
  run.nodes += graph.nodes.length;
  graph.nodes.forEach((node, position) => {
    for (const name of node.outputs)
      if (name !== '') define(name, `output of ${at(node)}`, position, undefined, level, run);
  });

  const nodeNames = new Set<string>();
  graph.nodes.forEach((node, position) => {
    if (owner) run.places.set(node, { path, owner, graph });
    level.current = position;
    if (nodeNames.has(node.name))
      error(run, path, 'GRIM_IR_DUPLICATE_NAME', `${at(node)}: another node has this name.`, { node: node.name });
    nodeNames.add(node.name);
    checkName(node.name, 'node', level, run);
    checkNode(node, level, run);
  });
  level.current = graph.nodes.length;
  for (const [name, value] of graph.outputs) {
    checkName(name, 'output', level, run);
    if (!use(value, level))
      error(
        run,
        path,
        'GRIM_IR_UNKNOWN_VALUE',
        `output ${quote(name)} is the value ${quote(value)}, which nothing makes.`,
        {
          value,
        },
      );
  }
  checkOrder(level, run);
  for (const [name, definition] of level.names) checkUse(name, definition, level, run);
  graph.nodes.forEach((node) => {
    const idle = node.outputs.every((name) => name === '' || level.names.get(name)?.uses === 0);
    if (idle) warn(run, path, 'GRIM_IR_UNUSED', `${at(node)}: nothing uses what it computes.`, { node: node.name });
  });
  return level;
}

function define(
  name: string,
  what: string,
  position: number,
  weight: Weight | undefined,
  level: Level,
  run: Run,
): void {
  checkName(name, what, level, run);
  if (level.names.has(name)) {
    error(run, level.path, 'GRIM_IR_DUPLICATE_NAME', `${what}: the value ${quote(name)} is defined twice.`, {
      value: name,
    });
    return;
  }
  for (let outer = level.outer; outer; outer = outer.outer)
    if (outer.names.has(name)) {
      error(
        run,
        level.path,
        'GRIM_IR_DUPLICATE_NAME',
        `${what}: the value ${quote(name)} is defined around the body already; a body reuses no name.`,
        { value: name },
      );
      break;
    }
  level.names.set(name, { position, weight, uses: 0, consumers: [] });
}

function checkName(name: string, what: string, level: Level, run: Run): void {
  if (name === '') error(run, level.path, 'GRIM_IR_BAD_NAME', `${what}: the name is empty.`);
  const { nameBytes } = run.limits;
  if (name.length * 3 > nameBytes && utf8Length(name) > nameBytes)
    error(run, level.path, 'GRIM_IR_LIMIT', `${what} ${quote(name)}: the name has more than ${nameBytes} bytes.`);
}

function checkInput(name: string, { dtype, shape }: TensorType, level: Level, run: Run): void {
  if (!isDType(dtype)) {
    unusable(name, level, run);
    error(
      run,
      level.path,
      'GRIM_IR_UNSUPPORTED_DTYPE',
      `input ${quote(name)} has the element type ${quote(String(dtype))}.`,
      {
        value: name,
      },
    );
    return;
  }
  try {
    // A length that is open counts as one: rank, each length and the rest of the product are still checked.
    elementCount(
      shape?.map((dim) => (typeof dim === 'number' ? dim : 1)) ?? [],
      dtype,
      `input ${quote(name)}`,
      run.limits,
    );
  } catch (problem) {
    if (!(problem instanceof GrimError)) throw problem;
    unusable(name, level, run);
    error(run, level.path, problem.code, problem.message, { value: name });
  }
}

function checkWeight(name: string, weight: Weight, level: Level, run: Run): void {
  const problem = weightProblem(weight, run.limits);
  if (problem) {
    unusable(name, level, run);
    error(run, level.path, 'GRIM_IR_BAD_WEIGHT', `weight ${quote(name)} ${problem}`, { value: name });
    return;
  }
  const { nan, infinite } = nonFinite(weight);
  if (nan + infinite > 0)
    warn(
      run,
      level.path,
      'GRIM_IR_NONFINITE',
      `weight ${quote(name)}: ${nan} NaN and ${infinite} infinite among ${weight.data.length} elements.`,
      { value: name },
    );
}

/** Keeps a name from the shape rules. Bodies are handed to them whole, so one of those stops inference altogether. */
function unusable(name: string, level: Level, run: Run): void {
  level.bad.add(name);
  if (level.outer) run.uninferable = true;
}

/** Notes that the node being walked uses `name`. @returns what it names, or undefined */
function use(name: string, level: Level): Definition | undefined {
  for (let at: Level | undefined = level; at; at = at.outer) {
    const found = at.names.get(name);
    if (!found) continue;
    found.uses++;
    if (found.position >= 0) at.needs[at.current]?.push({ position: found.position, value: name });
    return found;
  }
  return undefined;
}

function checkNode(node: Node, level: Level, run: Run): void {
  const flag = (code: GrimErrorCode, message: string, subject: Subject = {}) => {
    run.flagged.add(node);
    error(run, level.path, code, `${at(node)}: ${message}`, { node: node.name, ...subject });
  };
  node.inputs.forEach((name, input) => {
    if (name === '') return;
    const found = use(name, level);
    if (!found)
      flag('GRIM_IR_UNKNOWN_VALUE', `input ${input} is the value ${quote(name)}, which nothing makes.`, {
        value: name,
      });
    else if (found.weight?.pattern) found.consumers.push({ node, input, path: level.path });
  });
  if (!isOpName(node.op)) {
    flag('GRIM_IR_UNSUPPORTED_OP', 'the operator is not supported.');
    return;
  }
  const { valuesPerNode, attributesPerNode, stringBytes, subgraphDepth } = run.limits;
  const attributes = node.attributes as Readonly<Record<string, unknown>>;
  if (Math.max(node.inputs.length, node.outputs.length) > valuesPerNode)
    flag('GRIM_IR_LIMIT', `has more than ${valuesPerNode} inputs or outputs.`);
  if (Object.keys(attributes).length > attributesPerNode)
    flag('GRIM_IR_LIMIT', `has more than ${attributesPerNode} attributes.`);
  for (const [key, value] of Object.entries(attributes))
    if (typeof value === 'string' && value.length * 3 > stringBytes && utf8Length(value) > stringBytes)
      flag('GRIM_IR_LIMIT', `attribute ${quote(key)} has more than ${stringBytes} bytes.`);
  const present = node.inputs.map((name) => (name === '' ? undefined : name));
  for (const problem of arityProblems(node, present)) flag('GRIM_IR_ARITY', problem);
  let wellFormed = true;
  for (const problem of attributeProblems(opSpec(node.op), attributes)) {
    wellFormed = false;
    flag('GRIM_IR_BAD_ATTRIBUTE', problem);
  }
  if (!wellFormed) return;
  checkEpsilon(node, level, run);
  const bodies = bodiesOf(node);
  if (bodies.length > 0 && level.depth >= subgraphDepth) {
    flag('GRIM_IR_LIMIT', `bodies are nested more than ${subgraphDepth} deep.`);
    return;
  }
  for (const [attribute, body] of bodies)
    checkGraph(body, level, node, `${level.path}${attribute} of ${at(node)} › `, run);
}

/** A normalisation divides by the root of variance + epsilon: where that cannot be positive the result is not finite. */
function checkEpsilon(node: Node, level: Level, run: Run): void {
  const { epsilon } = node.attributes as Readonly<Record<string, unknown>>;
  if (typeof epsilon !== 'number') return;
  const complain = (message: string) =>
    warn(run, level.path, 'GRIM_IR_NONFINITE', `${at(node)}: ${message}`, { node: node.name });
  if (node.op !== 'BatchNormalization') {
    if (!(epsilon > 0))
      complain(`epsilon is ${epsilon}; over equal elements, whose variance is 0, the result is not finite.`);
    return;
  }
  const name = node.inputs[4] ?? '';
  let variances: Weight | undefined;
  for (let scope: Level | undefined = level; scope && !variances; scope = scope.outer)
    if (!scope.bad.has(name)) variances = scope.graph.weights.get(name);
  for (let i = 0; variances && i < variances.data.length; i++) {
    const variance = toReal(variances, i);
    if (variance >= 0 && variance + epsilon > 0) continue;
    complain(`the variance of channel ${i} is ${variance}, epsilon ${epsilon}; their sum must be positive.`);
    break;
  }
}

const CYCLE_NODES = 8;

function checkOrder(level: Level, run: Run): void {
  const { graph, path, needs } = level;
  const { order, cycles } = orderOf(needs.map((list) => list.map(({ position }) => position)));
  for (const cycle of cycles) {
    const names = cycle.slice(0, CYCLE_NODES).map((position) => at(graph.nodes[position] as Node));
    if (cycle.length > CYCLE_NODES) names.push(`${cycle.length - CYCLE_NODES} more`);
    const node = graph.nodes[cycle[0] ?? 0];
    error(run, path, 'GRIM_IR_CYCLE', `nodes wait for each other in a circle: ${names.join(' → ')} → the first.`, {
      ...(node && { node: node.name }),
    });
  }
  const runnable = new Set(order);
  graph.nodes.forEach((node, position) => {
    if (!runnable.has(position)) return;
    for (const needed of needs[position] ?? [])
      if (needed.position > position) {
        const maker = graph.nodes[needed.position] as Node;
        error(
          run,
          path,
          'GRIM_IR_ORDER',
          `${at(node)}: uses ${quote(needed.value)}, which ${at(maker)} makes only later.`,
          {
            node: node.name,
            value: needed.value,
          },
        );
        if (cycles.length === 0) level.order = order;
        break;
      }
  });
}

function checkUse(name: string, { weight, uses, consumers }: Definition, level: Level, run: Run): void {
  if (!weight) return;
  const { path } = level;
  if (uses === 0) warn(run, path, 'GRIM_IR_UNUSED', `weight ${quote(name)}: nothing uses it.`, { value: name });
  if (!weight.pattern || level.bad.has(name)) return;
  const types = new Map([[name, { dtype: weight.dtype, shape: weight.shape }]]);
  for (const { node, input } of consumers) {
    // Without a well-formed operator there is no view; that error stands already.
    if (run.flagged.has(node)) continue;
    const view = gemmView(node, input, types);
    const problem = view
      ? patternMismatch(weight, view)
      : `has a pattern, but as input ${input} of ${at(node)} it is no matrix.`;
    if (problem)
      error(run, path, 'GRIM_IR_PATTERN_MISMATCH', `weight ${quote(name)}, input ${input} of ${at(node)}: ${problem}`, {
        node: node.name,
        value: name,
      });
  }
}

/** Runs the shape rules and takes over what they report, except what follows from a problem reported before. */
function checkTypes(graph: Graph, level: Level, run: Run): void {
  const without = <T>(map: ReadonlyMap<string, T>): ReadonlyMap<string, T> =>
    level.bad.size === 0 ? map : new Map([...map].filter(([name]) => !level.bad.has(name)));
  const nodes = level.order?.map((position) => graph.nodes[position] as Node) ?? graph.nodes;
  const usable: Graph = { ...graph, inputs: without(graph.inputs), weights: without(graph.weights), nodes };
  const told = new Set(run.flagged);
  for (const node of run.flagged) tell(node, told, run);
  const failed: Node[] = [];
  const report = (problem: GrimError, node: Node) => {
    // An unknown value is known by now, and a node whose body has a problem only repeats it.
    if (!told.has(node) && problem.code !== 'GRIM_IR_UNKNOWN_VALUE')
      error(run, run.places.get(node)?.path ?? '', problem.code, problem.message, { node: node.name });
    tell(node, told, run);
    failed.push(node);
  };
  const scopes = new Map<Graph, Scope>();
  const onBody = (body: Graph, scope: Scope) => scopes.set(body, scope);
  scopes.set(usable, inferScope(usable, undefined, [], run.limits, report, onBody));
  // The rule of an `If` ends at the first branch that fails; the other is looked at on its own, as it takes no inputs.
  for (const node of failed) {
    const scope = scopes.get(run.places.get(node)?.graph ?? usable);
    if (node.op !== 'If' || !scope || scope.depth >= run.limits.subgraphDepth || run.flagged.has(node)) continue;
    for (const [, body] of bodiesOf(node))
      if (!scopes.has(body)) onBody(body, inferScope(body, scope, [], run.limits, report, onBody));
  }
}

/** Adds `node` and the nodes whose bodies it stands in. */
function tell(node: Node, told: Set<Node>, run: Run): void {
  for (let at: Node | undefined = node; at; at = run.places.get(at)?.owner) told.add(at);
}

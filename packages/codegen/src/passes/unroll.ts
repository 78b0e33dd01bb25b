/**
 * Writes out `Loop` and `Scan`: their bodies one after the other, as often as they run. What follows from the number of
 * an iteration is folded, and values that grow from one to the next get the shapes they have.
 *
 * A loop stays as it is where that is not possible; {@link obstacle} says why. The steps of a model are a plain list, so a
 * loop costs a few words of it for each call of each iteration, and no code.
 */
import {
  bodiesOf,
  fold,
  fromReals,
  type Graph,
  inferTypes,
  type Node,
  type NodeOf,
  type Tensor,
  type TensorType,
  type Weight,
  withDefaults,
} from '@grim/ir';
import { freshNames } from '../lower/scope.ts';

/** Nodes that the loops of a model may become. */
const MOST_NODES = 20_000;

type Looping = NodeOf<'Loop'> | NodeOf<'Scan'>;

/** What is known around a loop. */
interface Known {
  constant(name: string): Weight | undefined;
  type(name: string): TensorType | undefined;
}

/** How a loop runs. */
interface Course {
  readonly trips: number;
  /** After the first iteration, each asks the one before it whether it runs. */
  readonly asks: boolean;
}

/** @param given  verified, folded, its inputs static */
export function unroll(given: Graph): Graph {
  let graph = given;
  const fresh = freshNames(given);
  const budget = { left: MOST_NODES };
  // Loops within loops come to light one level at a time.
  for (;;) {
    const next = unrollIn(graph, new Map(), new Map(), fresh, budget);
    if (next === graph) return graph;
    graph = fold(next);
  }
}

/** Why a loop cannot be written out: what was found and what is needed. */
export function obstacle(
  node: Looping,
  known: Known,
): { readonly found: string; readonly supported: string } | undefined {
  const course = courseOf(node, known);
  return 'found' in course ? course : undefined;
}

function courseOf(node: Looping, known: Known): Course | { readonly found: string; readonly supported: string } {
  const course = node.op === 'Scan' ? scanCourse(node, known) : loopCourse(node, known);
  if ('found' in course) return course;
  const nodes = course.trips * Math.max(nodeCount(node.attributes.body), 1);
  if (nodes > MOST_NODES)
    return {
      found: `${course.trips} iterations, ${nodes} nodes when written out`,
      supported: `loops of up to ${MOST_NODES} nodes in all, or a recurrent operator (LSTM, GRU, RNN)`,
    };
  return course;
}

function scanCourse(
  node: NodeOf<'Scan'>,
  known: Known,
): Course | { readonly found: string; readonly supported: string } {
  const { num_scan_inputs: scans, scan_input_axes: axes } = node.attributes;
  const shape = known.type(node.inputs[node.inputs.length - scans] ?? '')?.shape;
  const axis = axes?.[0] ?? 0;
  const trips = shape?.[axis < 0 ? axis + shape.length : axis];
  if (typeof trips === 'number') return { trips, asks: false };
  return { found: 'a length that only a run can tell', supported: 'lengths known beforehand' };
}

function loopCourse(
  node: NodeOf<'Loop'>,
  known: Known,
): Course | { readonly found: string; readonly supported: string } {
  const [most = '', first = ''] = node.inputs;
  const { body } = node.attributes;
  const [condition = ''] = body.outputs.values();
  const [, given] = body.inputs.keys();
  const start = first === '' ? true : known.constant(first)?.data[0];
  if (start === 0) return { trips: 0, asks: false };
  const count = Math.max(
    most === '' ? Number.POSITIVE_INFINITY : Number(known.constant(most)?.data[0] ?? Number.NaN),
    0,
  );
  const again = body.weights.get(condition)?.data[0] ?? (condition === given ? 1 : known.constant(condition)?.data[0]);
  const asks = again === undefined || start === undefined;
  // A condition that is false after the first iteration ends the loop.
  const trips = again === 0 ? Math.min(count, 1) : count;
  if (!Number.isFinite(trips))
    return { found: 'a number of iterations that only a run can tell', supported: 'a constant trip count' };
  const carried = Math.max(node.inputs.length - 2, 0);
  if (asks && body.outputs.size > 1 + carried)
    return {
      found: 'scan outputs of a loop that a run may end early',
      supported: 'scan outputs of a loop with a constant trip count and no condition',
    };
  return { trips, asks };
}

function nodeCount(graph: Graph): number {
  return graph.nodes.reduce(
    (sum, node) => sum + 1 + bodiesOf(node).reduce((all, [, body]) => all + nodeCount(body), 0),
    0,
  );
}

function unrollIn(
  graph: Graph,
  outerTypes: ReadonlyMap<string, TensorType>,
  outerWeights: ReadonlyMap<string, Weight>,
  fresh: () => string,
  budget: { left: number },
): Graph {
  if (!graph.nodes.some((node) => bodiesOf(node).length > 0)) return graph;
  const weights = new Map([...outerWeights, ...graph.weights]);
  const inputs = new Map([...outerTypes, ...graph.inputs]);
  const types = inferTypes({ ...graph, inputs, weights });
  const known: Known = { constant: (name) => weights.get(name), type: (name) => types.get(name) };
  const writer = new Writer(graph, fresh);
  let changed = false;
  for (const node of graph.nodes) {
    if (node.op === 'Loop' || node.op === 'Scan') {
      const course = courseOf(node, known);
      const nodes = 'found' in course ? 0 : course.trips * nodeCount(node.attributes.body);
      if (!('found' in course) && nodes <= budget.left) {
        budget.left -= nodes;
        changed = true;
        if (node.op === 'Scan') writeScan(writer, node, course.trips, known);
        else writeLoop(writer, node, course, known);
        continue;
      }
    } else if (node.op === 'If') {
      const visible = new Map(Array.from(types).filter(([name]) => !weights.has(name)));
      const branch = (body: Graph) => unrollIn(body, visible, weights, fresh, budget);
      const { then_branch: then, else_branch: otherwise } = node.attributes;
      const [newThen, newOtherwise] = [branch(then), branch(otherwise)];
      if (newThen !== then || newOtherwise !== otherwise) {
        changed = true;
        writer.nodes.push({ ...node, attributes: { then_branch: newThen, else_branch: newOtherwise } });
        continue;
      }
    }
    writer.nodes.push(node);
  }
  return changed ? { ...graph, nodes: writer.nodes, weights: writer.weights } : graph;
}

/** A graph under construction. */
class Writer {
  readonly nodes: Node[] = [];
  readonly weights: Map<string, Weight>;
  readonly fresh: () => string;

  constructor(graph: Graph, fresh: () => string) {
    this.weights = new Map(graph.weights);
    this.fresh = fresh;
  }

  weight(value: Tensor): string {
    const name = this.fresh();
    this.weights.set(name, value);
    return name;
  }

  add(
    op: 'Concat' | 'Gather' | 'Identity' | 'Unsqueeze',
    name: string,
    inputs: readonly string[],
    attributes: object,
    output = this.fresh(),
  ): string {
    this.nodes.push({ op, name, inputs, outputs: [output], attributes: withDefaults(op, attributes) } as Node);
    return output;
  }

  /** What a loop gives under the names that its node has. */
  finish(node: Looping, values: readonly (string | undefined)[]): void {
    node.outputs.forEach((output, i) => {
      if (output !== '') this.add('Identity', `${node.name}/output_${i}`, [values[i] ?? ''], {}, output);
    });
  }

  /** The values of one scan output, joined along a new axis. */
  stack(node: Looping, values: readonly string[], axis: number, empty: TensorType | undefined): string {
    if (values.length === 0) {
      const shape = (empty?.shape ?? [0]).map((dim) => (typeof dim === 'number' ? dim : 0));
      return this.weight(fromReals(empty?.dtype ?? 'float32', shape.with(axis, 0), []));
    }
    const axes = this.weight(fromReals('int64', [1], [axis]));
    const slices = values.map((value, i) => this.add('Unsqueeze', `${node.name}/${i}/stack`, [value, axes], {}));
    return this.add('Concat', `${node.name}/stack`, slices, { axis });
  }
}

/** A body with names of its own. @returns the values of its outputs */
function writeBody(writer: Writer, body: Graph, given: ReadonlyMap<string, string>, where: string): readonly string[] {
  const names = new Map(given);
  for (const [name, weight] of body.weights) names.set(name, writer.weight(weight));
  for (const node of body.nodes) writer.nodes.push(renamed(node, names, writer.fresh, where));
  return Array.from(body.outputs.values(), (name) => names.get(name) ?? name);
}

function renamed(node: Node, names: Map<string, string>, fresh: () => string, where: string): Node {
  const inputs = node.inputs.map((name) => names.get(name) ?? name);
  const bodies = bodiesOf(node).map(([key, body]) => [key, renamedGraph(body, new Map(names), fresh, where)] as const);
  const outputs = node.outputs.map((name) => {
    if (name !== '') names.set(name, fresh());
    return names.get(name) ?? '';
  });
  const attributes = { ...node.attributes, ...Object.fromEntries(bodies) };
  return { ...node, name: `${where}/${node.name}`, inputs, outputs, attributes } as Node;
}

function renamedGraph(body: Graph, names: Map<string, string>, fresh: () => string, where: string): Graph {
  const own = <T>(of: ReadonlyMap<string, T>) =>
    new Map(
      Array.from(of, ([name, value]) => {
        const other = fresh();
        names.set(name, other);
        return [other, value] as const;
      }),
    );
  const [inputs, weights] = [own(body.inputs), own(body.weights)];
  const nodes = body.nodes.map((node) => renamed(node, names, fresh, where));
  const outputs = new Map(Array.from(body.outputs, ([name, value]) => [name, names.get(value) ?? value]));
  return { name: body.name, inputs, outputs, nodes, weights };
}

function writeScan(writer: Writer, node: NodeOf<'Scan'>, trips: number, known: Known): void {
  const { body, num_scan_inputs: scans, ...attributes } = node.attributes;
  const states = node.inputs.length - scans;
  const parameters = [...body.inputs.keys()];
  let state: readonly string[] = node.inputs.slice(0, states);
  const sources = node.inputs.slice(states);
  const stacked: string[][] = Array.from({ length: body.outputs.size - states }, () => []);
  for (let i = 0; i < trips; i++) {
    const slices = sources.map((source, s) => {
      const place = attributes.scan_input_directions?.[s] === 1 ? trips - 1 - i : i;
      const at = writer.weight(fromReals('int64', [], [place]));
      return writer.add('Gather', `${node.name}/${i}/slice_${s}`, [source, at], {
        axis: attributes.scan_input_axes?.[s] ?? 0,
      });
    });
    const given = new Map([...state, ...slices].map((value, p) => [parameters[p] ?? '', value]));
    const results = writeBody(writer, body, given, `${node.name}/${i}`);
    state = results.slice(0, states);
    stacked.forEach((list, s) => {
      list.push(results[states + s] ?? '');
    });
  }
  const outputs = stacked.map((list, s) => {
    const output = node.outputs[states + s] ?? '';
    if (output === '') return undefined;
    if (attributes.scan_output_directions?.[s] === 1) list.reverse();
    const type = known.type(output);
    const axis = attributes.scan_output_axes?.[s] ?? 0;
    return writer.stack(node, list, axis < 0 ? axis + (type?.shape?.length ?? 1) : axis, type);
  });
  writer.finish(node, [...state, ...outputs]);
}

function writeLoop(writer: Writer, node: NodeOf<'Loop'>, { trips, asks }: Course, known: Known): void {
  const { body } = node.attributes;
  const parameters = [...body.inputs.keys()];
  const [iterationType, conditionType] = [...body.inputs.values()];
  const one = (type: TensorType | undefined) => (type?.shape?.length === 1 ? [1] : []);
  let carried: readonly string[] = node.inputs.slice(2);
  const stacked: string[][] = Array.from({ length: body.outputs.size - 1 - carried.length }, () => []);
  const yes = writer.weight(fromReals('bool', one(conditionType), [1]));
  let condition = asks && (node.inputs[1] ?? '') !== '' ? (node.inputs[1] ?? '') : yes;
  for (let i = 0; i < trips; i++) {
    const iteration = writer.weight(fromReals('int64', one(iterationType), [i]));
    const given = new Map([iteration, yes, ...carried].map((value, p) => [parameters[p] ?? '', value]));
    const where = `${node.name}/${i}`;
    if (asks && condition !== yes) {
      [condition = '', ...carried] = writeQuestion(writer, body, given, { where, condition, carried });
      continue;
    }
    const results = writeBody(writer, body, given, where);
    condition = results[0] ?? '';
    carried = results.slice(1, 1 + carried.length);
    stacked.forEach((list, s) => {
      list.push(results[1 + carried.length + s] ?? '');
    });
  }
  const outputs = stacked.map((list, s) => {
    const output = node.outputs[carried.length + s] ?? '';
    return output === '' ? undefined : writer.stack(node, list, 0, known.type(output));
  });
  writer.finish(node, [...carried, ...outputs]);
}

/** An iteration that may not happen: then the condition and the carried values stay. */
function writeQuestion(
  writer: Writer,
  body: Graph,
  given: ReadonlyMap<string, string>,
  at: { readonly where: string; readonly condition: string; readonly carried: readonly string[] },
): readonly string[] {
  const { where, condition, carried } = at;
  const count = 1 + carried.length;
  const names = new Map(given);
  const own = renamedGraph({ ...body, inputs: new Map() }, names, writer.fresh, where);
  const then = { ...own, outputs: new Map(Array.from(own.outputs).slice(0, count)) };
  // A branch gives values of its own.
  const kept = [condition, ...carried].map((value) => ({ value, output: writer.fresh() }));
  const otherwise: Graph = {
    name: body.name,
    inputs: new Map(),
    weights: new Map(),
    outputs: new Map(kept.map(({ output }, i) => [String(i), output])),
    nodes: kept.map(
      ({ value, output }, i) =>
        ({ op: 'Identity', name: `${where}/keep_${i}`, inputs: [value], outputs: [output], attributes: {} }) as Node,
    ),
  };
  const outputs = Array.from({ length: count }, () => writer.fresh());
  writer.nodes.push({
    op: 'If',
    name: `${where}/if`,
    inputs: [condition],
    outputs,
    attributes: { then_branch: then, else_branch: otherwise },
  });
  return outputs;
}

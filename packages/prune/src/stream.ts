/**
 * A network run in pieces: from one layer to the next, for all calibration batches, keeping only the values that are
 * still needed. Each node runs once, however many layers follow it, and weights may change ahead of the cut.
 */
import { bodiesOf, type Graph, inferTypes, type Node, type Tensor, type TensorType, type Weight } from '@grim/ir';
import type { Calibrator, Feeds } from './calibrator.ts';
import type { Pulse } from './pulse.ts';

export interface Stream {
  /** Nodes that have run. */
  readonly position: number;
  /** A value of every batch, if it is still needed. */
  get(name: string): readonly Tensor[] | undefined;
  /** Runs the nodes up to `until` (exclusive), and keeps `keep` although nobody may need it any more. */
  advance(graph: Graph, until: number, pulse: Pulse, keep?: readonly string[]): Promise<void>;
  /** Runs some nodes on what is there, on all batches, and returns one value; nothing is remembered. */
  probe(graph: Graph, nodes: readonly Node[], name: string, pulse: Pulse): Promise<readonly Tensor[]>;
  /** Runs the rest on some of the batches and returns the values of the graph's outputs; nothing is remembered. */
  finish(graph: Graph, batches: readonly number[], pulse: Pulse): Promise<readonly Feeds[]>;
}

export function stream(calibrator: Calibrator, graph: Graph): Stream {
  let position = 0;
  let live = new Map<string, readonly Tensor[]>();
  for (const name of graph.inputs.keys())
    live.set(
      name,
      calibrator.batches.map((batch) => batch[name] as Tensor),
    );

  const run = async (
    from: Graph,
    nodes: readonly Node[],
    wanted: readonly string[],
    batches: readonly number[],
    pulse: Pulse,
  ): Promise<readonly Feeds[]> => {
    const first = (name: string) => live.get(name)?.[0];
    const used = [...new Set(nodes.flatMap(namesUsed))];
    const fed = used.filter((name) => live.has(name));
    const inputs = new Map<string, TensorType>();
    for (const name of fed) {
      const { dtype, shape } = first(name) as Tensor;
      inputs.set(name, { dtype, shape });
    }
    const weights = new Map<string, Weight>();
    for (const name of used) {
      const weight = from.weights.get(name);
      if (weight) weights.set(name, weight);
    }
    const piece: Graph = {
      name: from.name,
      inputs,
      outputs: new Map(wanted.map((name) => [name, name])),
      nodes,
      weights,
    };
    const runner = await calibrator.prepare(piece);
    const results: Feeds[] = [];
    try {
      for (const batch of batches) {
        const feeds = Object.create(null) as Record<string, Tensor>;
        for (const name of fed) feeds[name] = live.get(name)?.[batch] as Tensor;
        results.push(await runner.run(feeds));
        await pulse.beat(results.length / batches.length);
      }
    } finally {
      await runner.dispose?.();
    }
    return results;
  };

  return {
    get position() {
      return position;
    },
    get: (name) => live.get(name),
    async advance(from, until, pulse, keep = []) {
      const later = new Set([...from.nodes.slice(until).flatMap(namesUsed), ...from.outputs.values(), ...keep]);
      const nodes = from.nodes.slice(position, until);
      const wanted = nodes.flatMap((node) => node.outputs).filter((name) => name !== '' && later.has(name));
      const all = calibrator.batches.map((_, i) => i);
      const results = wanted.length > 0 ? await run(from, nodes, wanted, all, pulse) : [];
      live = new Map([...live].filter(([name]) => later.has(name)));
      for (const name of wanted)
        live.set(
          name,
          results.map((result) => result[name] as Tensor),
        );
      position = until;
    },
    async probe(from, nodes, name, pulse) {
      const all = calibrator.batches.map((_, i) => i);
      return (await run(from, nodes, [name], all, pulse)).map((result) => result[name] as Tensor);
    },
    async finish(from, batches, pulse) {
      const rest = from.nodes.slice(position);
      const made = new Set(rest.flatMap((node) => node.outputs));
      const wanted = [...new Set(from.outputs.values())].filter((name) => made.has(name));
      return wanted.length > 0 ? run(from, rest, wanted, batches, pulse) : batches.map(() => ({}));
    },
  };
}

/** Names that a node reads, those its bodies read from outside included. */
export function namesUsed(node: Node): readonly string[] {
  const names = node.inputs.filter((name) => name !== '');
  for (const [, body] of bodiesOf(node)) names.push(...body.nodes.flatMap(namesUsed), ...body.outputs.values());
  return names;
}

/** Types of all values, with the sizes of a batch filled in. */
export function boundTypes(graph: Graph, batch: Feeds): ReadonlyMap<string, TensorType> {
  const inputs = new Map<string, TensorType>();
  for (const [name, type] of graph.inputs)
    inputs.set(name, { dtype: type.dtype, shape: batch[name]?.shape ?? type.shape });
  return inferTypes({ ...graph, inputs });
}

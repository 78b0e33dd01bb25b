/** What a plan loses in fact: the network is pruned so, and its outputs on examples held out are set against the dense one's. */
import type { Graph } from '@grim/ir';
import { type BlockShape, type Feeds, type OneShotOptions, outputLoss, pruneOneShot } from '@grim/prune';
import { compiledCalibrator } from './calibrator.ts';

/** Can be sent to a worker. */
export interface Trial {
  readonly density: Readonly<Record<string, number>>;
  readonly block: Readonly<Record<string, BlockShape>>;
}

/** The same for all trials of a search. */
export interface TrialContext {
  readonly graph: Graph;
  /** Examples that the weights are fitted to, and others on which outputs are compared. */
  readonly fitted: readonly Feeds[];
  readonly held: readonly Feeds[];
  readonly oneShot: Omit<
    OneShotOptions,
    'density' | 'block' | 'choose' | 'signal' | 'onProgress' | 'onLayer' | 'resume'
  >;
}

export interface TrialResult {
  /** Of the outputs on examples held out. */
  readonly loss: number;
  /** Share of those examples whose top answer is another one, in points. */
  readonly drop: number;
}

/** Runs a network of open lengths on batches of one shape. */
async function outputsOf(graph: Graph, batches: readonly Feeds[]): Promise<readonly Feeds[]> {
  const inputs = new Map(graph.inputs);
  for (const [name, { dtype, shape }] of Object.entries(batches[0] ?? {})) inputs.set(name, { dtype, shape });
  const runner = await compiledCalibrator(batches).prepare({ ...graph, inputs });
  const results: Feeds[] = [];
  try {
    for (const feeds of batches) results.push(await runner.run(feeds));
  } finally {
    await runner.dispose?.();
  }
  return results;
}

/** The top class of each example. */
function answersOf(outputs: readonly Feeds[]): readonly number[] {
  return outputs.flatMap((batch) => {
    const [scores] = Object.values(batch);
    const classes = scores?.shape.at(-1) ?? 1;
    const values = scores?.data ?? [];
    return Array.from({ length: values.length / classes }, (_, example) => {
      let best = 0;
      for (let c = 1; c < classes; c++)
        if (Number(values[example * classes + c]) > Number(values[example * classes + best])) best = c;
      return best;
    });
  });
}

/** On how many examples two networks give the same top answer; undefined where their outputs are no scores of classes. */
export async function agreementOf(
  dense: Graph,
  pruned: Graph,
  batches: readonly Feeds[],
): Promise<{ readonly same: number; readonly of: number } | undefined> {
  const wanted = await outputsOf(dense, batches);
  const shape = Object.values(wanted[0] ?? {})[0]?.shape ?? [];
  if (shape.length !== 2 || (shape[1] ?? 0) < 2) return undefined;
  const [before, after] = [answersOf(wanted), answersOf(await outputsOf(pruned, batches))];
  return { same: after.filter((answer, i) => answer === before[i]).length, of: after.length };
}

/** Whoever evaluates trials of one search; the dense network runs once. */
export function evaluator({ graph, fitted, held, oneShot }: TrialContext): (trial: Trial) => Promise<TrialResult> {
  let dense: Promise<readonly Feeds[]> | undefined;
  return async ({ density, block }) => {
    dense ??= outputsOf(graph, held);
    const { graph: pruned } = await pruneOneShot(graph, compiledCalibrator(fitted), {
      ...oneShot,
      density: Object.fromEntries(Object.entries(density).filter(([, share]) => share < 1)),
      block,
    });
    const [wanted, found] = [await dense, await outputsOf(pruned, held)];
    const [before, after] = [answersOf(wanted), answersOf(found)];
    const changed = after.filter((answer, i) => answer !== before[i]).length;
    return { loss: outputLoss(wanted, found), drop: (100 * changed) / Math.max(1, after.length) };
  };
}

/**
 * One-shot pruning in the page, then the three figures that matter: bytes, time on this device, and how often the pruned
 * network still answers as the dense one does, on inputs that it was not pruned on.
 */
import { compile, pack } from '@grim/codegen';
import { type Graph, GrimError, type Tensor } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { type Comparison, compare, median } from '@grim/measure';
import { BASELINES, type Calibrator, type Feeds, type OneShotOptions, pruneOneShot, type Runner } from '@grim/prune';
import { loadModel, type Model } from '@grim/runtime';
import type { Context } from './messages.ts';
import { type LayerRow, layersOf } from './open.ts';
import { dataOf, largest, type Outputs } from './run.ts';
import { drawSamples, type Feed, type SampleSet } from './samples.ts';
import { compileNetwork, graphOf, type Network, type Session, theSession } from './session.ts';

/** `admm`: masks by layerwise ADMM, weights solved for; the others keep the largest weights, or weights times inputs. */
type Method = 'admm' | 'wanda' | 'magnitude';

export interface PruneAsk {
  readonly density: number;
  /** Rows and columns of a block; 0: the whole side. */
  readonly block: readonly [number, number];
  readonly method: Method;
  readonly seed: number;
  /** Inputs to prune on; as many again are kept for judging. */
  readonly samples: number;
}

export interface PruneAnswer {
  readonly layers: readonly LayerRow[];
  readonly weightDensity: number;
  readonly macDensity: number;
  readonly denseBytes: number;
  readonly prunedBytes: number;
  readonly denseMs: number;
  readonly prunedMs: number;
  readonly speed: Comparison;
  readonly quality: Quality;
  readonly seconds: number;
}

interface Quality {
  readonly examples: number;
  readonly kind: SampleSet['kind'];
  /** Share of inputs on which both networks have the largest value of the first output at the same place. */
  readonly agreement: number;
  /** Mean over inputs of |pruned − dense| / |dense|, Euclidean, first output. */
  readonly difference: number;
  /** Share of right answers, where classes are known. */
  readonly denseRight: number | undefined;
  readonly prunedRight: number | undefined;
}

/** @throws {GrimError} what pruning throws; the signal's reason when cancelled */
export async function prune(ask: PruneAsk, context: Context): Promise<PruneAnswer> {
  const session = theSession();
  const graph = withoutPatterns(graphOf(session.dense));
  const start = performance.now();
  const { calibration, judging } = split(session, graph, ask);
  const calibrator = compiledCalibrator(calibration);
  let last = 0;
  const result = await pruneOneShot(graph, calibrator, {
    ...optionsOf(ask),
    signal: context.signal,
    onProgress: ({ index, layers, step, done }) => {
      const now = performance.now();
      if (now - last < 60) return;
      last = now;
      // Pruning hears of a cancellation by its own signal.
      context
        .stage(`Layer ${Math.min(index + 1, layers)} of ${layers}: ${STEPS[step]}`, (index + done) / layers)
        .catch(() => {});
    },
  });
  await context.stage('Compiling the pruned network');
  const pruned: Network = { graph: result.graph, compiled: compileNetwork(result.graph) };
  const times = await timesOf(session.dense, pruned, judging.feeds, context);
  const quality = await qualityOf(session.dense, pruned, judging, context);
  // Another network may have been opened meanwhile.
  if (theSession() === session) session.pruned = pruned;
  const { weightDensity, macDensity } = result;
  return {
    ...{ weightDensity, macDensity, quality, layers: layersOf(pruned) },
    ...{ denseBytes: session.dense.compiled.file.length, prunedBytes: pruned.compiled.file.length },
    ...times,
    seconds: (performance.now() - start) / 1000,
  };
}

/** Blocks that a file came with are no bound for new ones. */
function withoutPatterns(graph: Graph): Graph {
  const weights = Array.from(graph.weights, ([name, { pattern: _, ...weight }]) => [name, weight] as const);
  return { ...graph, weights: new Map(weights) };
}

const STEPS = {
  run: 'running the network',
  measure: 'measuring its inputs',
  select: 'choosing what stays',
  refit: 'solving for the weights',
  compare: 'comparing outputs',
} as const;

function optionsOf({ density, block: [rows, cols], method, seed }: PruneAsk): OneShotOptions {
  const side = (length: number) => (length === 0 ? Number.POSITIVE_INFINITY : length);
  return {
    ...{ density, seed, block: { rows: side(rows), cols: side(cols) } },
    ...(method !== 'admm' && BASELINES[method]),
    // Twice as slow, for what a few samples cannot tell.
    ...(method === 'admm' && { activationAware: 'never' as const, damping: 0.05 }),
  };
}

/** Drawn samples: fresh ones from the seed for each part. Dropped ones: every second is judged on. */
function split(
  { samples }: Session,
  graph: Graph,
  { samples: count, seed }: PruneAsk,
): { readonly calibration: readonly Feed[]; readonly judging: SampleSet } {
  if (samples.kind !== 'dropped')
    return {
      calibration: drawSamples(graph, samples.kind, count, seed).feeds,
      judging: drawSamples(graph, samples.kind, count, seed + 1_000_003),
    };
  const { feeds } = samples;
  if (feeds.length === 1) return { calibration: feeds, judging: samples };
  const odd = (wanted: number) => feeds.filter((_, i) => i % 2 === wanted);
  return { calibration: odd(0), judging: { kind: 'dropped', feeds: odd(1), labels: undefined } };
}

/** Activations from our own compiled network, a piece at a time; what has no kernels goes to the slow reference. */
function compiledCalibrator(feeds: readonly Feed[]): Calibrator {
  return {
    batches: feeds as readonly Feeds[],
    async prepare(graph) {
      try {
        return await compiledRunner(graph);
      } catch (error) {
        if (!(error instanceof GrimError) || error.code !== 'GRIM_CODEGEN_UNSUPPORTED_OP') throw error;
        return { run: (given: Feeds) => evaluate(graph, given) };
      }
    },
  };
}

async function compiledRunner(graph: Graph): Promise<Runner> {
  // One thread runs it: nothing is cut into pieces.
  const compiled = compile(graph, { threads: 1 });
  const model = await loadModel(pack(compiled));
  return {
    async run(feeds) {
      const found = await model.run(dataOf(feeds));
      return Object.fromEntries(
        compiled.manifest.outputs.map(({ name, dtype, shape }) => [
          name,
          { dtype, shape, data: found[name] } as Tensor,
        ]),
      );
    },
    dispose: () => model.dispose(),
  };
}

const ROUNDS = 20;
/**
 * Short runs are repeated until a sample lasts so long, as clocks in browsers go in steps, of 5 µs in isolated pages; no longer, so
 * that most samples end before another program takes the core.
 */
const SAMPLE_MS = globalThis.crossOriginIsolated ? 1 : 5;
const BUDGET_MS = 4000;

async function timesOf(
  dense: Network,
  pruned: Network,
  feeds: readonly Feed[],
  { signal, stage }: Context,
): Promise<Pick<PruneAnswer, 'denseMs' | 'prunedMs' | 'speed'>> {
  using ours = await loadModel(pruned.compiled.file, { signal });
  using theirs = await loadModel(dense.compiled.file, { signal });
  const data = dataOf(feeds[0] as Feed);
  const repeats = await repeatsFor(theirs, data);
  const times: readonly [number[], number[]] = [[], []];
  const end = performance.now() + BUDGET_MS;
  for (let round = 0; round < ROUNDS || (round < 10 * ROUNDS && performance.now() < end / 4); round++) {
    await stage('Measuring the time of both', round / ROUNDS);
    for (const [model, list] of round % 2
      ? ([
          [ours, times[0]],
          [theirs, times[1]],
        ] as const)
      : ([
          [theirs, times[1]],
          [ours, times[0]],
        ] as const)) {
      const start = performance.now();
      for (let i = 0; i < repeats; i++) await model.run(data);
      list.push((performance.now() - start) / repeats);
    }
  }
  return { prunedMs: median(times[0]), denseMs: median(times[1]), speed: compare(times[0], times[1]) };
}

/** After a warm-up, so that optimised code is there. */
export async function repeatsFor(model: Pick<Model, 'run'>, data: Outputs): Promise<number> {
  let fastest = Number.POSITIVE_INFINITY;
  for (const end = performance.now() + 150; performance.now() < end; ) {
    const start = performance.now();
    await model.run(data as never);
    fastest = Math.min(fastest, performance.now() - start);
  }
  return Math.max(1, Math.min(1000, Math.ceil(SAMPLE_MS / Math.max(fastest, 0.005))));
}

async function qualityOf(
  dense: Network,
  pruned: Network,
  { feeds, labels, kind }: SampleSet,
  { signal, stage }: Context,
): Promise<Quality> {
  using ours = await loadModel(pruned.compiled.file, { signal });
  using theirs = await loadModel(dense.compiled.file, { signal });
  const [output = ''] = dense.compiled.manifest.outputs.map(({ name }) => name);
  let [same, difference, denseRight, prunedRight] = [0, 0, 0, 0];
  for (const [i, feed] of feeds.entries()) {
    await stage('Comparing the answers', i / feeds.length);
    const data = dataOf(feed);
    for (const model of [ours, theirs]) model.reset();
    const [a, b] = [(await ours.run(data))[output], (await theirs.run(data))[output]];
    if (!a || !b) continue;
    const [mine, other] = [largest(a, 1)[0], largest(b, 1)[0]];
    if (mine === other) same++;
    if (labels && labels[i] === mine) prunedRight++;
    if (labels && labels[i] === other) denseRight++;
    let [error, norm] = [0, 0];
    for (let at = 0; at < b.length; at++) {
      error += (Number(a[at]) - Number(b[at])) ** 2;
      norm += Number(b[at]) ** 2;
    }
    difference += norm > 0 ? Math.sqrt(error / norm) : 0;
  }
  const examples = feeds.length;
  return {
    ...{ examples, kind, agreement: same / examples, difference: difference / examples },
    denseRight: labels && denseRight / examples,
    prunedRight: labels && prunedRight / examples,
  };
}

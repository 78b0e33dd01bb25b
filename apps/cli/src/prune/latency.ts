/**
 * How long a network takes, layer by layer, when it is as sparse as asked for: synthetic masks, the kernels that the compiler
 * really chooses, time on a core. The dense network is timed again and again between them: ratios are to its neighbours.
 */
import { type Graph, GrimError } from '@grim/ir';
import { median } from '@grim/measure';
import { type Layer, prunableLayers } from '@grim/prune';
import { openProfiler, type Profiler } from '@grim/runtime/profile';
import { processClock } from '../bench/clock.ts';
import { compileGraph } from '../compile-model.ts';
import { type Synthetic, withSyntheticMasks } from './synthetic.ts';

export interface Timed {
  /** Milliseconds of a run on one thread. */
  readonly ms: number;
  /** Of the dense network at the same time, over that. */
  readonly speedup: number;
  readonly bytes: number;
  /** By layer: milliseconds, the dense one's beside it, and the kernel. */
  readonly layers: readonly LayerTime[];
}

interface LayerTime {
  readonly name: string;
  readonly ms: number;
  readonly denseMs: number;
  readonly kernel: string;
}

export interface Stopwatch {
  /** Of the dense network. */
  readonly dense: Timed;
  /** With synthetic masks. */
  time(wanted: (layer: string) => Synthetic | undefined): Promise<Timed>;
  /** Of this very graph. */
  timeGraph(graph: Graph): Promise<Timed>;
}

export interface StopwatchOptions {
  /** Seconds for each network. Default 2. */
  readonly seconds?: number;
  readonly seed?: number;
}

const LEAST_RUNS = 7;
const WARM_UP = 4;

interface Subject {
  readonly profiler: Profiler;
  readonly bytes: number;
  /** Calls of each layer, its share of them where several layers are computed together, and its kernel. */
  readonly layers: ReadonlyMap<
    string,
    { readonly calls: readonly number[]; readonly share: number; readonly kernel: string }
  >;
}

/** @param graph  with static shapes */
export async function stopwatch(graph: Graph, { seconds = 2, seed = 1 }: StopwatchOptions = {}): Promise<Stopwatch> {
  const names = prunableLayers(graph);
  const reference = await subjectOf(graph, names);
  // Optimised code comes after whole runs: of the reference once, of each other network.
  const warm = (subject: Subject) => {
    if (warmed.has(subject)) return;
    warmed.add(subject);
    for (let i = 0; i < WARM_UP; i++) sample(subject);
  };
  const warmed = new WeakSet<Subject>();
  const timeGraph = async (other: Graph): Promise<Timed> => {
    const subject = other === graph ? reference : await subjectOf(other, names);
    return timed(subject, reference, names, seconds, warm);
  };
  return {
    dense: await timeGraph(graph),
    timeGraph,
    time: (wanted) => timeGraph(withSyntheticMasks(graph, wanted, seed)),
  };
}

async function subjectOf(graph: Graph, prunable: readonly Layer[]): Promise<Subject> {
  const { bytes, model } = compileGraph(graph, { sparse: false, options: { threads: 1 } });
  const profiler = await openProfiler(bytes);
  const layers = new Map<string, { calls: number[]; share: number; kernel: string }>();
  for (const { name, m, k } of prunable) {
    const node = nodeOf(name);
    // The two matrices of a recurrent layer are computed by one node: the larger takes longer.
    const together = prunable.filter((one) => nodeOf(one.name) === node).reduce((sum, one) => sum + one.m * one.k, 0);
    const calls = (model.calls ?? []).flatMap(({ nodes }, call) => (nodes.includes(node) ? [call] : []));
    const kernel = model.manifest.layers.find((layer) => layer.node === node)?.kernel ?? '';
    layers.set(name, { calls, share: (m * k) / together, kernel });
  }
  return { profiler, bytes: bytes.length, layers };
}

function nodeOf(layer: string): string {
  return layer.replace(/\/[WR]$/, '');
}

function timed(
  subject: Subject,
  reference: Subject,
  prunable: readonly Layer[],
  seconds: number,
  warm: (one: Subject) => void,
): Timed {
  const ours: Sample[] = [];
  const theirs: Sample[] = [];
  for (const one of [subject, reference]) warm(one);
  const end = performance.now() + 1000 * seconds;
  for (let round = 0; round < LEAST_RUNS || (performance.now() < end && round < 200); round++) {
    ours.push(sample(subject));
    theirs.push(sample(reference));
  }
  const whole = (samples: readonly Sample[]) => median(samples.map(({ ms }) => ms));
  const of = (subject: Subject, samples: readonly Sample[], name: string) => {
    const usual = usualCalls(samples);
    const sum = usual.reduce((total, one) => total + one, 0);
    const { calls = [], share = 1 } = subject.layers.get(name) ?? {};
    const own = calls.reduce((total, call) => total + (usual[call] ?? 0), 0);
    return sum > 0 ? (share * own * whole(samples)) / sum : 0;
  };
  const ratio = median(ours.map(({ ms }, i) => (theirs[i] as Sample).ms / ms));
  if (!Number.isFinite(ratio))
    throw new GrimError(
      'GRIM_CLI_CLOCK',
      'one run takes less than the clock can tell. Give a larger batch, as --dim N=64.',
    );
  return {
    ms: whole(ours),
    speedup: ratio,
    bytes: subject.bytes,
    layers: prunable.map(({ name }) => ({
      name,
      ms: of(subject, ours, name),
      denseMs: of(reference, theirs, name),
      kernel: subject.layers.get(name)?.kernel ?? '',
    })),
  };
}

interface Sample {
  readonly ms: number;
  readonly calls: Float64Array;
}

/** Whole runs by the time on a core, which others cannot take away; calls are too short for that clock. */
function sample({ profiler }: Subject): Sample {
  return { ms: profiler.run(processClock), calls: profiler.runByCall() };
}

/**
 * The lower quartile of each call: on a busy machine now and then a call waits for its turn, many times its own length, and
 * only ever longer. Their shares of the whole are what counts.
 */
function usualCalls(samples: readonly Sample[]): Float64Array {
  const count = samples[0]?.calls.length ?? 0;
  return Float64Array.from({ length: count }, (_, call) => {
    const times = samples.map(({ calls }) => calls[call] ?? 0).sort((a, b) => a - b);
    return times[Math.floor((times.length - 1) / 4)] ?? 0;
  });
}

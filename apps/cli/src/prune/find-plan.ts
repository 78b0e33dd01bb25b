/**
 * Which blocks and which density each layer gets, for a goal of speed, size or answers. Costs of layers alone make a list of
 * candidates, one density for all in each block among them; each is timed as a whole with synthetic masks and corrected
 * until it keeps to the goal, then tried: pruned in fact, its outputs on examples held out set against the dense network's.
 * The one that loses least is taken, so that no other candidate beats it.
 */
import { type Graph, GrimError, show } from '@grim/ir';
import {
  type BlockShape,
  type Candidate,
  candidatePlans,
  type Executor,
  type Feeds,
  fastestWithin,
  type Goal,
  type OneShotOptions,
  type Plan,
  prunableLayers,
  uniformPlan,
} from '@grim/prune';
import type { Io } from '../output.ts';
import { blockText } from '../shares.ts';
import type { Aim } from './args.ts';
import { compiledCalibrator } from './calibrator.ts';
import { type Curves, measureCurves, timedCount } from './curves.ts';
import type { TrialResult } from './evaluate.ts';
import type { Calibration } from './examples.ts';
import { openExecutor } from './executor.ts';
import { type Stopwatch, stopwatch, type Timed } from './latency.ts';

/** Plain JSON. */
export interface FoundPlan {
  /** By layer; those that are not named stay dense. */
  readonly density: Readonly<Record<string, number>>;
  readonly block: Readonly<Record<string, string>>;
  readonly denseMs: number;
  readonly denseBytes: number;
  /** Of the plan, measured as a whole with synthetic masks. */
  readonly speedup: number;
  readonly bytes: number;
  /** Difference of the outputs on examples held out. */
  readonly loss: number;
  /** Share of those examples whose top answer changed, in points. */
  readonly drop: number;
  /** Examples held out. */
  readonly held: number;
  /** All that were tried; the one of least loss is the plan. */
  readonly candidates: readonly TriedCandidate[];
  /** One density for all, by kind of block: speed by the times of layers, loss added up over layers. */
  readonly curve: readonly CurveSeries[];
}

interface TriedCandidate {
  readonly kind: Candidate['kind'];
  readonly block?: string;
  readonly speedup: number;
  readonly bytes: number;
  readonly loss: number;
  readonly drop: number;
}

interface CurveSeries {
  readonly series: string;
  readonly points: readonly {
    readonly density: number;
    readonly speedup: number;
    readonly ms: number;
    readonly bytes: number;
    readonly loss: number;
  }[];
}

export interface FindOptions {
  readonly aim: Aim;
  readonly blocks: readonly BlockShape[];
  readonly seed: number;
  /** For all the timing. */
  readonly seconds: number;
  /** Candidates tried at once; default: one for each core. */
  readonly threads: number | undefined;
  /** Measures unstructured and structured pruning too, for the curve alone. */
  readonly compare: boolean;
}

/** Costs of layers, kept from an earlier run that was broken off. */
export interface CurveStore {
  load(): Curves | undefined;
  save(curves: Curves): void;
}

/** A plan, as a whole. */
interface Timing extends Candidate {
  readonly timed: Timed;
}

/** A candidate that is this much faster or smaller than it has to be is made denser. */
const SLACK = 1.03;
const ROUNDS = 4;
/** Unstructured and structured pruning, on the curve beside the blocks. */
const COMPARED: readonly BlockShape[] = [
  { rows: 1, cols: Number.POSITIVE_INFINITY },
  { rows: Number.POSITIVE_INFINITY, cols: Number.POSITIVE_INFINITY },
];
/** Uniform candidates whose added loss is more than this many times that of the best one are not tried. */
const HOPELESS = 2;

/**
 * @param timed  the graph with static shapes, for timing
 * @throws {GrimError} GRIM_PRUNE_BAD_TARGET when the goal cannot be met, with the best that can be had
 */
export async function findPlan(
  graph: Graph,
  timed: Graph,
  { batches }: Calibration,
  { aim, blocks, seed, seconds, threads, compare }: FindOptions,
  oneShot: Omit<OneShotOptions, 'density' | 'block'>,
  kept: CurveStore | undefined,
  io: Io,
): Promise<FoundPlan> {
  const layers = prunableLayers(graph).filter(({ exempt }) => !exempt);
  const shapes = compare
    ? [...blocks, ...COMPARED.filter((shape) => !blocks.some((own) => sameBlock(own, shape)))]
    : blocks;
  const watch = await stopwatch(timed, { seconds: seconds / (6 + timedCount(shapes)), seed });
  const { fitted, held } = split(batches);
  const earlier = kept?.load();
  const curves = earlier ?? (await curvesOf(graph, fitted, watch, { layers, blocks: shapes, seed }, io));
  if (!earlier) kept?.save(curves);
  const own = {
    ...curves,
    layers: curves.layers.map((layer) => ({ ...layer, curves: layer.curves.slice(0, blocks.length) })),
  };
  // The step that knows of the activation doubles the time and helps all candidates alike.
  const recipe = { ...oneShot, activationAware: 'never' as const };
  const executor = openExecutor({ graph, fitted, held, oneShot: recipe }, threads);
  try {
    const goal: Goal & { speedup?: number } = {
      ...(aim.speedup !== undefined && { speedup: aim.speedup, maxMs: denseMs(own) / aim.speedup }),
      ...(aim.maxBytes !== undefined && { maxBytes: aim.maxBytes }),
    };
    const search = { watch, curves: own, executor: executor as Executor<TrialResult>, io };
    const tried = aim.maxDrop === undefined ? await tryAll(goal, search) : await tryDrop(aim.maxDrop, search);
    return report(tried, watch, curves, examplesOf(held));
  } finally {
    await executor.close();
  }
}

/** The last quarter is held out; of a single batch nothing can be. */
function split(batches: readonly Feeds[]): { readonly fitted: readonly Feeds[]; readonly held: readonly Feeds[] } {
  if (batches.length < 2) return { fitted: batches, held: batches };
  const count = Math.ceil(batches.length / 4);
  return { fitted: batches.slice(0, batches.length - count), held: batches.slice(batches.length - count) };
}

function examplesOf(batches: readonly Feeds[]): number {
  return batches.reduce((sum, batch) => sum + (Object.values(batch)[0]?.shape[0] ?? 1), 0);
}

async function curvesOf(
  graph: Graph,
  fitted: readonly Feeds[],
  watch: Stopwatch,
  options: {
    readonly layers: ReturnType<typeof prunableLayers>;
    readonly blocks: readonly BlockShape[];
    readonly seed: number;
  },
  io: Io,
): Promise<Curves> {
  let last = performance.now();
  // A quarter of an hour of single layers buys nothing that half the examples do not.
  const some = fitted.slice(0, Math.max(1, Math.ceil(fitted.length / 2)));
  return measureCurves(graph, compiledCalibrator(some), watch, {
    ...options,
    onTimed: (block, density, { speedup }) => {
      io.err(`  ${blockText(block)} at ${density}: ${speedup.toFixed(2)} times as fast\n`);
      last = performance.now();
    },
    onProgress: ({ index, layers, layer }) => {
      if (performance.now() - last < 8000) return;
      last = performance.now();
      io.err(`  loss of each layer: ${index + 1}/${layers} ${show(layer)}\n`);
    },
  });
}

/** As the curves have it: they may be of an earlier run, when the machine was slower. */
function denseMs({ layers, fixed }: Curves): number {
  return layers.reduce((sum, { dense }) => sum + dense.ms, fixed.ms);
}

interface Search {
  readonly watch: Stopwatch;
  readonly curves: Curves;
  readonly executor: Executor<TrialResult>;
  readonly io: Io;
}

interface Tried extends Timing {
  readonly result: TrialResult;
}

/** Each candidate corrected until it keeps to the goal as a whole, then pruned and compared. */
async function tryAll(goal: Goal & { readonly speedup?: number }, search: Search): Promise<readonly Tried[]> {
  const { watch, curves, executor, io } = search;
  const first = candidatePlans(curves.layers, goal, { fixed: curves.fixed });
  const least = Math.min(...first.filter(({ kind }) => kind === 'uniform').map(({ plan }) => plan.loss));
  const worth = first.filter(({ kind, plan }) => kind !== 'uniform' || plan.loss <= HOPELESS * least);
  const timings: Timing[] = [];
  let nearest: Timing | undefined;
  for (const candidate of worth) {
    const { met, near } = await corrected(candidate, goal, search);
    if (met && !timings.some(({ plan }) => same(plan, met.plan))) timings.push(met);
    if (!nearest || near.timed.speedup > nearest.timed.speedup) nearest = near;
  }
  if (timings.length === 0)
    throw new GrimError(
      'GRIM_PRUNE_BAD_TARGET',
      `search: ${asked(goal)}, and the best that was measured is ${(nearest?.timed.speedup ?? 1).toFixed(2)} times as fast and ${nearest?.timed.bytes ?? watch.dense.bytes} bytes; ${slowest(nearest)} takes longest. Ask for less, or give lower blocks.`,
    );
  io.err(`  ${timings.length} candidates are tried on the network\n`);
  return Promise.all(
    timings.map(async (timing) => {
      const result = await executor.run(timing.plan);
      const { kind, block, timed } = timing;
      io.err(
        `  ${kind}${block ? ` ${blockText(block)}` : ''}: ${timed.speedup.toFixed(2)} times as fast, loss ${result.loss.toPrecision(3)}, ${result.drop.toFixed(1)} points of the answers change\n`,
      );
      return { ...timing, result };
    }),
  );
}

/** The fastest whose answers change little enough; at its speed, the candidate that loses least. */
async function tryDrop(maxDrop: number, search: Search): Promise<readonly Tried[]> {
  const { watch, curves, executor, io } = search;
  const ms = denseMs(curves);
  const line: Plan[] = [];
  for (let speedup = 1.1; speedup < 64; speedup *= 1.12) {
    const plan = planWithin(curves, { maxMs: ms / speedup });
    if (!plan) break;
    line.push(plan);
  }
  const found = await fastestWithin(line, maxDrop, {
    width: executor.width,
    run: async (plan) => {
      const result = await executor.run(plan);
      io.err(
        `  about ${(ms / plan.ms).toFixed(2)} times as fast: ${result.drop.toFixed(2)} points of the answers change\n`,
      );
      return result;
    },
  });
  if (!found) {
    const plan = uniformPlan(
      curves.layers,
      curves.layers[0]?.curves[0]?.block ?? { rows: 1, cols: 1 },
      1,
      curves.fixed,
    );
    return [{ kind: 'optimum', plan, timed: watch.dense, result: { loss: 0, drop: 0 } }];
  }
  const half: Tried = {
    kind: 'half way',
    plan: found.plan,
    timed: await timeOf(found.plan, watch),
    result: found.result,
  };
  const others = await tryAll({ speedup: half.timed.speedup, maxMs: found.plan.ms }, search);
  return [half, ...others].filter(({ result }) => result.drop <= maxDrop);
}

function planWithin(curves: Curves, goal: Goal): Plan | undefined {
  try {
    const all = candidatePlans(curves.layers, goal, { fixed: curves.fixed });
    return (all.find(({ kind }) => kind === 'half way') ?? all[0])?.plan;
  } catch (error) {
    if (error instanceof GrimError && error.code === 'GRIM_PRUNE_BAD_TARGET') return undefined;
    throw error;
  }
}

const timeOf = (plan: Plan, watch: Stopwatch): Promise<Timed> =>
  watch.time((name) => {
    const [block, density = 1] = [plan.block[name], plan.density[name]];
    return block && density < 1 ? { block, density } : undefined;
  });

/**
 * Times of single layers do not add up exactly: the whole is timed, and the goal of the sum moved by what it was off.
 * `met` keeps to the goal; `near` is the fastest seen.
 */
async function corrected(
  candidate: Candidate,
  goal: Goal & { readonly speedup?: number },
  { watch, curves }: Search,
): Promise<{ readonly met: Timing | undefined; readonly near: Timing }> {
  let met: Timing | undefined;
  let near: Timing | undefined;
  let current: Candidate | undefined = candidate;
  let { maxMs, maxBytes } = goal;
  for (let round = 0; round < ROUNDS && current; round++) {
    const timed = await timeOf(current.plan, watch);
    const timing: Timing = { ...current, timed };
    if (!near || timed.speedup > near.timed.speedup) near = timing;
    const faster = goal.speedup === undefined ? 1 : timed.speedup / goal.speedup;
    const smaller = goal.maxBytes === undefined ? 1 : goal.maxBytes / timed.bytes;
    const least = Math.min(
      goal.speedup === undefined ? Infinity : faster,
      goal.maxBytes === undefined ? Infinity : smaller,
    );
    // Of those that keep to the goal, the one that leaves the least of it unused.
    if (least >= 1 && (!met || current.plan.loss < met.plan.loss)) met = timing;
    if (least >= 1 && least <= SLACK) break;
    if (maxMs !== undefined) maxMs *= faster / 1.005;
    if (maxBytes !== undefined) maxBytes *= smaller / 1.005;
    current = again(
      candidate,
      { ...(maxMs !== undefined && { maxMs }), ...(maxBytes !== undefined && { maxBytes }) },
      curves,
    );
  }
  return { met, near: near as Timing };
}

/** The same kind of candidate for another goal. */
function again({ kind, block }: Candidate, goal: Goal, { layers, fixed }: Curves): Candidate | undefined {
  try {
    return candidatePlans(layers, goal, { fixed }).find((one) => one.kind === kind && one.block === block);
  } catch (error) {
    if (error instanceof GrimError && error.code === 'GRIM_PRUNE_BAD_TARGET') return undefined;
    throw error;
  }
}

function sameBlock(a: BlockShape, b: BlockShape): boolean {
  return a.rows === b.rows && a.cols === b.cols;
}

function same(a: Plan, b: Plan): boolean {
  return JSON.stringify([a.density, a.block]) === JSON.stringify([b.density, b.block]);
}

function asked({ speedup, maxBytes }: Goal & { readonly speedup?: number }): string {
  return [
    ...(speedup === undefined ? [] : [`${speedup} times as fast`]),
    ...(maxBytes === undefined ? [] : [`${maxBytes} bytes`]),
  ].join(' and ');
}

function slowest(timing: Timing | undefined): string {
  const layers = timing?.timed.layers ?? [];
  return show(layers.reduce((most, one) => (one.ms > (most?.ms ?? 0) ? one : most), layers[0])?.name ?? '');
}

function report(tried: readonly Tried[], { dense }: Stopwatch, curves: Curves, held: number): FoundPlan {
  const [taken] = tried.toSorted((a, b) => a.result.loss - b.result.loss || b.timed.speedup - a.timed.speedup) as [
    Tried,
  ];
  const texts = (block: Plan['block']) =>
    Object.fromEntries(Object.entries(block).map(([name, shape]) => [name, blockText(shape)]));
  return {
    ...{ density: taken.plan.density, block: texts(taken.plan.block) },
    ...{ denseMs: dense.ms, denseBytes: dense.bytes, speedup: taken.timed.speedup, bytes: taken.timed.bytes },
    ...taken.result,
    held,
    candidates: tried.map(({ kind, block, timed, result }) => ({
      kind,
      ...(block && { block: blockText(block) }),
      ...{ speedup: timed.speedup, bytes: timed.bytes, ...result },
    })),
    curve: (curves.layers[0]?.curves ?? []).map(({ block, points }) => ({
      series: blockText(block),
      points: points.map(({ density }) => {
        const { ms, bytes, loss } = uniformPlan(curves.layers, block, density, curves.fixed);
        return { density, speedup: denseMs(curves) / ms, ms, bytes, loss };
      }),
    })),
  };
}

/**
 * Which blocks and which density each layer gets, for a goal of speed, size or answers: blocks first, by measured time alone,
 * as that does not depend on the values of weights; then densities, from the loss of each layer pruned alone and the
 * measured time of each. The lowest blocks that are nearly as fast as the fastest win: height is what costs accuracy.
 */
import type { Graph } from '@grim/ir';
import {
  allocateDensity,
  type BlockShape,
  fastestWithin,
  type LayerChoices,
  type OneShotOptions,
  type Plan,
  planFor,
  prunableLayers,
  pruneOneShot,
  tradeOffs,
} from '@grim/prune';
import type { Io } from '../output.ts';
import { type Aim, blockText } from './args.ts';
import { compiledCalibrator } from './calibrator.ts';
import type { Calibration } from './examples.ts';
import { type Stopwatch, stopwatch, type Timed } from './latency.ts';

/** Plain JSON. */
export interface FoundPlan {
  /** By layer; those that are not named stay dense. */
  readonly density: Readonly<Record<string, number>>;
  readonly block: Readonly<Record<string, string>>;
  readonly denseMs: number;
  readonly denseBytes: number;
  /** Of the plan, by what was measured of layers alone. */
  readonly speedup: number;
  readonly bytes: number;
  readonly loss: number;
  /** Share of the held-out examples whose top answer changed, in points; with `maxDrop`. */
  readonly drop?: number;
  /** Plans that no other one beats on time and loss. */
  readonly curve: readonly { readonly speedup: number; readonly bytes: number; readonly loss: number }[];
}

const LEVELS = [0.5, 0.35, 0.25, 0.18, 0.125, 0.09, 0.06];
/** Where blocks are compared. */
const REFERENCE = 0.25;
/**
 * Of the fastest block's time: within this, the lowest one is taken. Twice the height costs about as much accuracy as a
 * third fewer weights (ResNet-20 at a quarter of its weights: 892 right in 2×K, 847 in 4×K), so it must buy as much time.
 */
const TIE = 1.3;

export interface FindOptions {
  readonly aim: Aim;
  readonly blocks: readonly BlockShape[];
  readonly seed: number;
  /** For all the timing. */
  readonly seconds: number;
}

/**
 * @param timed  the graph with static shapes, for timing
 * @throws {GrimError} GRIM_PRUNE_BAD_TARGET when the goal cannot be met, with the best that can be had
 */
export async function findPlan(
  graph: Graph,
  timed: Graph,
  { batches }: Calibration,
  { aim, blocks, seed, seconds }: FindOptions,
  oneShot: Omit<OneShotOptions, 'density' | 'block'>,
  io: Io,
): Promise<FoundPlan> {
  const layers = prunableLayers(graph).filter(({ exempt }) => !exempt);
  const names = new Set(layers.map(({ name }) => name));
  const watch = await stopwatch(timed, { seconds: seconds / (1 + blocks.length + LEVELS.length), seed });
  const block = await fastBlocks(watch, layers, blocks, io);
  const blockOf = (name: string) => block.get(name) as BlockShape;
  const levels: { readonly density: number; readonly timed: Timed }[] = [];
  for (const density of LEVELS) {
    const own = await watch.time((name) => (names.has(name) ? { block: blockOf(name), density } : undefined));
    io.err(`  all layers at ${density}: ${own.speedup.toFixed(2)} times as fast\n`);
    levels.push({ density, timed: own });
  }
  // The last quarter is held out where answers are counted.
  const held = aim.maxDrop === undefined ? 0 : Math.max(1, Math.floor(batches.length / 4));
  const [fitted, counted] = [batches.slice(0, batches.length - held), batches.slice(batches.length - held)];
  const shapes = Object.fromEntries(block);
  let last = performance.now();
  const { table } = await allocateDensity(graph, compiledCalibrator(fitted), {
    ...{ density: 1, block: shapes, levels: LEVELS, seed },
    onProgress({ index, layers: all, layer }) {
      if (performance.now() - last < 8000) return;
      last = performance.now();
      io.err(`  loss of each layer: ${index + 1}/${all} ${layer}\n`);
    },
  });
  const { choices, fixed } = choicesOf(watch.dense, levels, layers, table);
  const plans = tradeOffs(choices, { fixed });
  const { ms: denseMs, bytes: denseBytes } = watch.dense;
  let plan: Plan;
  let drop: number | undefined;
  if (aim.maxDrop === undefined)
    plan = planFor(
      plans,
      {
        ...(aim.speedup !== undefined && { maxMs: denseMs / aim.speedup }),
        ...(aim.maxBytes !== undefined && { maxBytes: aim.maxBytes }),
      },
      choices,
    );
  else {
    const wanted = await answersOf(graph, counted);
    const found = await fastestWithin(plans, aim.maxDrop, {
      // Each run has both cores of its own kernels: in process, one at a time.
      width: 1,
      async run(candidate) {
        const { graph: pruned } = await pruneOneShot(graph, compiledCalibrator(fitted), {
          ...oneShot,
          ...{ density: candidate.density, block: shapes },
        });
        const answers = await answersOf(pruned, counted);
        const changed = answers.filter((answer, i) => answer !== wanted[i]).length;
        const points = (100 * changed) / answers.length;
        io.err(
          `  ${(denseMs / candidate.ms).toFixed(2)} times as fast: ${points.toFixed(2)} points of the answers change\n`,
        );
        return { drop: points };
      },
    });
    plan = found?.plan ?? planFor(plans, {}, choices);
    drop = found?.result.drop ?? 0;
  }
  const front: { speedup: number; bytes: number; loss: number }[] = [];
  for (const { ms, bytes, loss } of plans)
    if (loss < (front.at(-1)?.loss ?? Number.POSITIVE_INFINITY)) front.push({ speedup: denseMs / ms, bytes, loss });
  return {
    density: plan.density,
    block: Object.fromEntries([...block].map(([name, shape]) => [name, blockText(shape)])),
    ...{ denseMs, denseBytes, speedup: denseMs / plan.ms, bytes: plan.bytes, loss: plan.loss },
    ...(drop !== undefined && { drop }),
    curve: front,
  };
}

type Layers = readonly { readonly name: string; readonly m: number; readonly k: number }[];

async function fastBlocks(
  watch: Stopwatch,
  layers: Layers,
  blocks: readonly BlockShape[],
  io: Io,
): Promise<ReadonlyMap<string, BlockShape>> {
  const [only, ...more] = blocks;
  if (only && more.length === 0) return new Map(layers.map(({ name }) => [name, only]));
  const names = new Set(layers.map(({ name }) => name));
  const times = new Map<BlockShape, ReadonlyMap<string, number>>();
  for (const block of blocks) {
    const own = await watch.time((name) => (names.has(name) ? { block, density: REFERENCE } : undefined));
    io.err(`  ${blockText(block)} at ${REFERENCE}: ${own.speedup.toFixed(2)} times as fast\n`);
    times.set(block, new Map(own.layers.map(({ name, ms, denseMs }) => [name, ms / denseMs])));
  }
  const lowestFirst = [...blocks].sort((a, b) => a.rows - b.rows || a.cols - b.cols);
  return new Map(
    layers.map(({ name }) => {
      const ratio = (block: BlockShape) => times.get(block)?.get(name) ?? Number.POSITIVE_INFINITY;
      const fastest = Math.min(...blocks.map(ratio));
      return [name, lowestFirst.find((block) => ratio(block) <= TIE * fastest) ?? (only as BlockShape)];
    }),
  );
}

/** Costs of each layer at each level, set against the dense layer timed in the same seconds. */
function choicesOf(
  dense: Timed,
  levels: readonly { readonly density: number; readonly timed: Timed }[],
  layers: Layers,
  table: readonly { readonly name: string; readonly losses: readonly number[] }[],
): { readonly choices: readonly LayerChoices[]; readonly fixed: { readonly ms: number; readonly bytes: number } } {
  const weights = layers.filter(({ name }) => table.some((row) => row.name === name));
  const sizeOf = ({ m, k }: { readonly m: number; readonly k: number }) => 4 * m * k;
  const all = layers.reduce((sum, layer) => sum + sizeOf(layer), 0);
  const denseOf = (name: string) => dense.layers.find((layer) => layer.name === name)?.ms ?? 0;
  const choices = weights.map((layer) => {
    const losses = table.find(({ name }) => name === layer.name)?.losses ?? [];
    return {
      name: layer.name,
      choices: [
        { density: 1, loss: 0, ms: denseOf(layer.name), bytes: sizeOf(layer) },
        ...levels.map(({ density, timed }, i) => {
          const own = timed.layers.find(({ name }) => name === layer.name);
          const ratio = own && own.denseMs > 0 ? own.ms / own.denseMs : 1;
          // What the file grew or shrank by in fact, indices included, shared out by size.
          const perByte = (timed.bytes - (dense.bytes - all)) / all;
          return {
            ...{ density, loss: losses[i + 1] ?? 0 },
            ...{ ms: denseOf(layer.name) * ratio, bytes: sizeOf(layer) * perByte },
          };
        }),
      ],
    };
  });
  const used = (of: (choice: { readonly ms: number; readonly bytes: number }) => number) =>
    choices.reduce((sum, { choices: [first] }) => sum + (first ? of(first) : 0), 0);
  return {
    choices,
    fixed: { ms: Math.max(0, dense.ms - used(({ ms }) => ms)), bytes: dense.bytes - used(({ bytes }) => bytes) },
  };
}

/** The top class of each example. */
async function answersOf(graph: Graph, batches: Calibration['batches']): Promise<readonly number[]> {
  const [batch] = batches;
  const inputs = new Map(graph.inputs);
  for (const [name, { dtype, shape }] of Object.entries(batch ?? {})) inputs.set(name, { dtype, shape });
  const runner = await compiledCalibrator(batches).prepare({ ...graph, inputs });
  const answers: number[] = [];
  try {
    for (const feeds of batches) {
      const [scores] = Object.values(await runner.run(feeds));
      const classes = scores?.shape.at(-1) ?? 1;
      const values = scores?.data ?? [];
      for (let first = 0; first < values.length; first += classes) {
        let best = 0;
        for (let c = 1; c < classes; c++) if (Number(values[first + c]) > Number(values[first + best])) best = c;
        answers.push(best);
      }
    }
  } finally {
    await runner.dispose?.();
  }
  return answers;
}

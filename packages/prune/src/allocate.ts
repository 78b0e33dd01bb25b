/**
 * How dense each layer should be: the same budget over all, spent where it buys the most.
 *
 * Each layer alone is pruned to some levels (scores of inputs and weights, exact refit, mean made up for) and the
 * difference of the network's outputs is measured; one price per unit of the budget (a Lagrange multiplier) then picks a
 * level for each, which is optimal for a sum of independent losses up to the step between levels. What the steps leave
 * over is shared out in proportion.
 */
import { type Graph, isStatic } from '@grim/ir';
import { type Calibrator, checkBatches } from './calibrator.ts';
import { columnsOf } from './columns.ts';
import { fail } from './errors.ts';
import { sitesOf } from './layers.ts';
import { multiply, view } from './linalg/gemm.ts';
import type { Moments } from './linalg/gram.ts';
import { outputLoss } from './loss.ts';
import { lossBatchesOf, macsOf, matrixOf, measureInputs, shiftOf, tailOf } from './measure.ts';
import { type OneShotOptions, tasksOf } from './options.ts';
import { problemOf, refit } from './problem.ts';
import { type Pulse, pulse } from './pulse.ts';
import { select } from './select.ts';
import { boundTypes, stream } from './stream.ts';
import { applyUpdate, canShift, makeUpdate } from './update.ts';

export interface AllocateOptions
  extends Pick<
    OneShotOptions,
    'block' | 'columnsOnly' | 'damping' | 'samples' | 'lossBatches' | 'seed' | 'signal' | 'onProgress'
  > {
  /** Of all layers together, 0 to 1: what uniform pruning would keep. */
  readonly density: number;
  /** What the density counts. Default `macs`. */
  readonly budget?: 'macs' | 'weights';
  /** Densities to try, 1 among them or not. */
  readonly levels?: readonly number[];
}

export interface Allocation {
  /** By layer; for `density` of {@link OneShotOptions}. */
  readonly density: Readonly<Record<string, number>>;
  /** What was measured: the loss of each layer pruned alone, at each level. */
  readonly table: readonly { readonly name: string; readonly cost: number; readonly losses: readonly number[] }[];
  /** Descending; the first is 1. */
  readonly levels: readonly number[];
}

/**
 * Recurrent layers are left out.
 * @throws {GrimError} as `pruneOneShot`; GRIM_PRUNE_BAD_TARGET also when the budget is below the lowest level everywhere
 * @example
 * const { density } = await allocateDensity(dense, calibrator, { density: 0.25, budget: 'macs' });
 * await pruneOneShot(dense, calibrator, { density });
 */
export async function allocateDensity(
  graph: Graph,
  calibrator: Calibrator,
  options: AllocateOptions,
): Promise<Allocation> {
  const { density, budget = 'macs', damping = 0.01, columnsOnly = false, seed = 1 } = options;
  const levels = [...new Set([1, ...(options.levels ?? [0.7, 0.5, 0.4, 0.3, 0.22, 0.16, 0.11, 0.07, 0.045])])].sort(
    (a, b) => b - a,
  );
  const lowest = levels.at(-1) ?? 1;
  if (levels.some((level) => !(level > 0 && level <= 1)))
    fail('GRIM_PRUNE_BAD_TARGET', `allocate: levels are ${levels.join(', ')}; numbers above 0, up to 1, are needed.`);
  if (!(density > 0 && density <= 1) || density < lowest)
    fail(
      'GRIM_PRUNE_BAD_TARGET',
      `allocate: density is ${density}; from ${lowest}, the lowest level, to 1 is needed. Give lower levels.`,
      { density, lowest },
    );
  checkBatches(graph, calibrator.batches);
  // A density below 1 makes a task of every layer that is not exempt; the number itself is set per level.
  const tasks = tasksOf(
    { ...sitesOf(graph), cells: [] },
    { density: 0.5, ...(options.block && { block: options.block }) },
  );
  const lossBatches = lossBatchesOf(calibrator.batches, options.lossBatches);
  let where = { layer: '', index: 0, layers: tasks.length };
  const beat = pulse(options.signal, (done) => options.onProgress?.({ ...where, step: 'compare', done }));
  const types = boundTypes(graph, calibrator.batches[0] ?? {});
  const dense = stream(calibrator, graph);
  const wanted = await dense.finish(graph, lossBatches, beat);
  const table: { name: string; cost: number; losses: number[] }[] = [];
  for (const [index, task] of tasks.entries()) {
    if ('cell' in task) continue;
    const { site } = task;
    where = { ...where, layer: site.name, index };
    options.onProgress?.({ ...where, step: 'measure', done: 0 });
    await dense.advance(graph, site.index, beat);
    const samples = Math.ceil((options.samples ?? Math.max(8192, 8 * site.k)) / calibrator.batches.length);
    const shape = types.get(site.y)?.shape;
    const output = shape && isStatic(shape) ? shape : [];
    const moments = await measureInputs(site, dense.get(site.x) ?? [], output, samples, seed, index, beat);
    const weight = matrixOf(graph, site);
    const tail = tailOf(graph, site);
    const problem = await problemOf(await withOutputs(moments, weight, site.groups, beat), weight, damping, beat);
    const meanX = moments.map((own) => own.meanX);
    const losses: number[] = [];
    for (const level of levels) {
      if (level === 1) {
        losses.push(0);
        continue;
      }
      const selection = {
        criterion: 'wanda' as const,
        grid: task.grid,
        density: level,
        columnsOnly,
        gain: tail.importance,
      };
      const pattern = await select(problem, weight, selection, beat);
      const v = await refit(problem, columnsOf(pattern), beat);
      const meanY = shiftOf(graph, site, weight, meanX, new Float64Array(site.m)).map((mean) => -mean);
      const shift = canShift(site) ? shiftOf(graph, site, v, meanX, meanY) : undefined;
      const changed = applyUpdate(graph, site, makeUpdate(graph, site, pattern, v, shift));
      const loss = outputLoss(wanted, await dense.finish(changed, lossBatches, beat));
      losses.push(Math.max(loss, losses.at(-1) ?? 0));
      await beat.beat(losses.length / levels.length);
    }
    const cost =
      budget === 'macs'
        ? macsOf(
            site,
            output.reduce((all, n) => all * n, 1),
            calibrator.batches,
          )
        : site.m * site.k;
    table.push({ name: site.name, cost, losses });
  }
  return { density: share(table, levels, density), table, levels };
}

/** Outputs of the dense layer are known without looking: G = W H. */
async function withOutputs(
  moments: readonly Moments[],
  weight: Float64Array,
  groups: number,
  pulse: Pulse,
): Promise<readonly Moments[]> {
  const all: Moments[] = [];
  for (const [group, own] of moments.entries()) {
    const { k, h } = own;
    const m = weight.length / k / groups;
    const g = new Float64Array(m * k);
    await multiply(
      {
        ...{ m, n: k, k },
        a: view(weight, k, group * m),
        b: view(h, k),
        c: { ...view(g, k), data: g },
      },
      pulse,
    );
    all.push({ ...own, m, g });
  }
  return all;
}

function share(
  table: readonly { readonly name: string; readonly cost: number; readonly losses: readonly number[] }[],
  levels: readonly number[],
  density: number,
): Record<string, number> {
  const total = table.reduce((sum, { cost }) => sum + cost, 0);
  const pick = (price: number): number[] =>
    table.map(({ cost, losses }) => {
      let best = 0;
      let least = Number.POSITIVE_INFINITY;
      losses.forEach((loss, i) => {
        const value = loss + (price * (levels[i] as number) * cost) / total;
        if (value < least) [best, least] = [i, value];
      });
      return levels[best] as number;
    });
  const spent = (chosen: readonly number[]) =>
    table.reduce((sum, { cost }, i) => sum + cost * (chosen[i] as number), 0) / total;
  let low = 1e-12;
  let high = 1e12;
  for (let step = 0; step < 100; step++) {
    const price = Math.sqrt(low * high);
    if (spent(pick(price)) > density) low = price;
    else high = price;
  }
  let chosen = pick(high);
  // Twice, as a layer that reaches 1 passes on what it cannot use.
  for (let round = 0; round < 4; round++) {
    const free =
      table.reduce((sum, { cost }, i) => sum + ((chosen[i] as number) < 1 ? cost * (chosen[i] as number) : 0), 0) /
      total;
    const left = density - spent(chosen);
    if (free <= 0 || left <= 0) break;
    chosen = chosen.map((level) => (level < 1 ? Math.min(1, level * (1 + left / free)) : 1));
  }
  return Object.fromEntries(table.map(({ name }, i) => [name, chosen[i] as number]));
}

/**
 * What it costs to prune each layer in each way: the layer alone is pruned (scores of inputs and weights, exact refit, mean
 * made up for) and two things are measured: how much of the layer's own output is lost, and how far the outputs of the
 * network move.
 */
import { type Graph, isStatic } from '@grim/ir';
import { type Calibrator, checkBatches } from './calibrator.ts';
import { columnsOf } from './columns.ts';
import { type Layer, sitesOf } from './layers.ts';
import { multiply, view } from './linalg/gemm.ts';
import type { Moments } from './linalg/gram.ts';
import { outputLoss } from './loss.ts';
import { lossBatchesOf, macsOf, matrixOf, measureInputs, shiftOf, tailOf } from './measure.ts';
import { pruneOneShot } from './oneshot.ts';
import { type OneShotOptions, tasksOf } from './options.ts';
import { problemOf, refit, relativeError } from './problem.ts';
import { type Pulse, pulse } from './pulse.ts';
import { select } from './select.ts';
import { boundTypes, stream } from './stream.ts';
import { applyUpdate, canShift, makeUpdate } from './update.ts';

export interface SensitivityOptions
  extends Pick<
    OneShotOptions,
    'columnsOnly' | 'damping' | 'samples' | 'lossBatches' | 'seed' | 'signal' | 'onProgress'
  > {
  /** Ways to prune a layer. */
  readonly choices: (layer: string) => readonly PruneChoice[];
}

interface PruneChoice {
  /** As in {@link OneShotOptions}. */
  readonly block: NonNullable<OneShotOptions['block']>;
  readonly density: number;
  /** Whether the outputs of the network are looked at too; else the layer's own alone. */
  readonly probe: boolean;
}

export interface Sensitivity {
  readonly name: string;
  /** Multiply-adds of one example, dense. */
  readonly macs: number;
  readonly weights: number;
  /** As the choices. */
  readonly costs: readonly {
    /** Share of the layer's own output that is lost. */
    readonly error: number;
    /** Of the network; where it was not looked at: as the other choices of the layer say for that error. */
    readonly loss: number;
  }[];
}

interface Cost {
  readonly error: number;
  readonly loss: number | undefined;
}

/**
 * Of all layers that are not exempt and have choices, in the order in which they run. Recurrent layers are walked through
 * from end to end for each choice, which takes its time.
 * @throws {GrimError} as `pruneOneShot`
 */
export async function sensitivities(
  graph: Graph,
  calibrator: Calibrator,
  options: SensitivityOptions,
): Promise<readonly Sensitivity[]> {
  const { damping = 0.01, columnsOnly = false, seed = 1 } = options;
  checkBatches(graph, calibrator.batches);
  const all = sitesOf(graph);
  const open = ({ name, exempt }: Layer) => !exempt && options.choices(name).length > 0;
  const sites = all.sites.filter(open);
  const cells = all.cells.flatMap(({ index, w, r }) => [w, r].filter(open).map((layer) => ({ index, layer })));
  const lossBatches = lossBatchesOf(calibrator.batches, options.lossBatches);
  let where = { layer: '', index: 0, layers: sites.length + cells.length };
  const beat = pulse(options.signal, (done) => options.onProgress?.({ ...where, step: 'compare', done }));
  const types = boundTypes(graph, calibrator.batches[0] ?? {});
  const dense = stream(calibrator, graph);
  const wanted = await dense.finish(graph, lossBatches, beat);
  const found: (Sensitivity & { readonly at: number })[] = [];
  for (const [index, site] of sites.entries()) {
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
    const meanY = shiftOf(graph, site, weight, meanX, new Float64Array(site.m)).map((mean) => -mean);
    const choices = options.choices(site.name);
    const costs: Cost[] = [];
    for (const { block, density, probe } of choices) {
      const [task] = tasksOf({ sites: [site], cells: [] }, { density: { [site.name]: density }, block });
      if (!task || 'cell' in task) {
        costs.push({ error: 0, loss: 0 });
        continue;
      }
      const selection = {
        ...{ criterion: 'wanda' as const, grid: task.grid, density, columnsOnly, gain: tail.importance },
      };
      const pattern = await select(problem, weight, selection, beat);
      const v = await refit(problem, columnsOf(pattern), beat);
      const error = await relativeError(problem, v, tail.importance, beat);
      let loss: number | undefined;
      if (probe) {
        const shift = canShift(site) ? shiftOf(graph, site, v, meanX, meanY) : undefined;
        const changed = applyUpdate(graph, site, makeUpdate(graph, site, pattern, v, shift));
        loss = outputLoss(wanted, await dense.finish(changed, lossBatches, beat));
      }
      costs.push({ error, loss });
      await beat.beat(costs.length / choices.length);
    }
    const macs = macsOf(
      site,
      output.reduce((all, n) => all * n, 1),
      calibrator.batches,
    );
    found.push({ at: site.index, name: site.name, macs, weights: site.m * site.k, costs: filled(costs) });
  }
  for (const [i, { index, layer }] of cells.entries()) {
    where = { ...where, layer: layer.name, index: sites.length + i };
    const costs: Cost[] = [];
    let macs = 0;
    for (const { block, density } of options.choices(layer.name)) {
      if (density === 1) {
        costs.push({ error: 0, loss: 0 });
        continue;
      }
      const { loss, layers } = await pruneOneShot(graph, calibrator, {
        ...{ density: { [layer.name]: density }, block, criterion: 'wanda', activationAware: 'never' },
        ...{ damping, columnsOnly, seed, lossBatches: lossBatches.length },
        ...(options.samples !== undefined && { samples: options.samples }),
        ...(options.signal && { signal: options.signal }),
        onProgress: ({ done }) => options.onProgress?.({ ...where, step: 'compare', done }),
      });
      macs = layers[0]?.macs ?? 0;
      costs.push({ error: layers[0]?.error ?? 0, loss });
    }
    found.push({ at: index, name: layer.name, macs, weights: layer.m * layer.k, costs: filled(costs) });
  }
  return found.sort((a, b) => a.at - b.at).map(({ at: _, ...one }) => one);
}

/** Losses that were not measured, from the error that goes with them: on a line over the logarithms of both. */
function filled(costs: readonly Cost[]): Sensitivity['costs'] {
  const known = costs
    .flatMap(({ error, loss }) => (loss !== undefined && error > 0 && loss > 0 ? [{ error, loss }] : []))
    .sort((a, b) => a.error - b.error);
  const between = (error: number): number => {
    if (error <= 0 || known.length === 0) return 0;
    const above = known.findIndex((one) => one.error >= error);
    const high = known[above] ?? known.at(-1);
    const low = above > 0 ? known[above - 1] : high;
    if (!high || !low) return 0;
    // Beyond what is known, in proportion.
    if (low === high || low.error === high.error || above < 0) return (high.loss * error) / high.error;
    const share = Math.log(error / low.error) / Math.log(high.error / low.error);
    return low.loss ** (1 - share) * high.loss ** share;
  };
  return costs.map(({ error, loss }) => ({ error, loss: loss ?? between(error) }));
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

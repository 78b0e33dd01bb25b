/**
 * One-shot pruning to BCR patterns from calibration inputs: no labels, no training.
 *
 * Layers in order. Each sees the inputs that the network pruned so far gives it, and is asked for the outputs of the
 * dense network: what earlier layers lost, later ones partly repair. The mask comes from layerwise ADMM, the surviving
 * weights from exact least squares, and the mean that is still off goes into the batch normalisation or the bias.
 */
import { density as densityOf } from '@grim/bcr';
import type { BcrPattern, Graph } from '@grim/ir';
import { type Calibrator, checkBatches } from './calibrator.ts';
import { columnsOf } from './columns.ts';
import { fail } from './errors.ts';
import { fingerprint } from './fingerprint.ts';
import { sitesOf } from './layers.ts';
import type { Moments } from './linalg/gram.ts';
import { outputLoss } from './loss.ts';
import { cellMacs, lossBatchesOf, type MeasureWork, macsOf, matrixOf, measure, shiftOf, tailOf } from './measure.ts';
import {
  type LayerReport,
  type OneShotOptions,
  type OneShotState,
  type Progress,
  settingsOf,
  type Task,
  tasksOf,
} from './options.ts';
import { applyCell, type CellTask, type CellUpdate } from './parameters.ts';
import { factorsOf, type Problem, problemOf, refit, relativeError, retarget } from './problem.ts';
import { now, pulse } from './pulse.ts';
import { pruneCell } from './recurrent.ts';
import { clampedTargets } from './relu.ts';
import { type MaskSearch, select } from './select.ts';
import { stream } from './stream.ts';
import { applyUpdate, canShift, type LayerUpdate, makeUpdate } from './update.ts';

export interface OneShotResult {
  /** Zeros in place; pruned weights carry their pattern. */
  readonly graph: Graph;
  readonly layers: readonly LayerReport[];
  /** Of the weights and of the multiply-accumulates of the layers that were pruned. */
  readonly weightDensity: number;
  readonly macDensity: number;
  /** Difference of the outputs of the pruned and the dense network on calibration inputs. */
  readonly loss: number;
  readonly state: OneShotState;
}

const ROUNDS = 4;

/**
 * Prunes `graph`.
 *
 * @throws {GrimError} GRIM_PRUNE_BAD_TARGET, GRIM_PRUNE_BAD_OPTION, GRIM_PRUNE_NO_LAYER, GRIM_PRUNE_BAD_CALIBRATION (empty,
 *   uneven or not finite), GRIM_PRUNE_BAD_STATE (resume of another run), GRIM_PRUNE_SINGULAR, GRIM_PRUNE_DIVERGED; the
 *   signal's reason when cancelled
 * @example
 * const { graph, layers } = await pruneOneShot(dense, calibrator, { density: 0.25, block: { rows: 2, cols: Infinity } });
 */
export async function pruneOneShot(
  graph: Graph,
  calibrator: Calibrator,
  options: OneShotOptions,
): Promise<OneShotResult> {
  const settings = settingsOf(options);
  checkBatches(graph, calibrator.batches);
  const tasks = tasksOf(sitesOf(graph), options);
  const lossBatches = lossBatchesOf(calibrator.batches, options.lossBatches);
  const id = fingerprint(graph, calibrator.batches, { ...options, ...settings, lossBatches });
  const resume = typeof options.resume === 'function' ? options.resume(id) : options.resume;
  if (resume && (resume.version !== 1 || resume.fingerprint !== id))
    fail(
      'GRIM_PRUNE_BAD_STATE',
      `resume: the state belongs to another graph, other calibration inputs or other options (${resume.fingerprint}, here ${id}).`,
    );

  let where: Omit<Progress, 'done'> = { layer: '', index: 0, layers: tasks.length, step: 'run' };
  const beat = pulse(options.signal, (done) => options.onProgress?.({ ...where, done }));
  const enter = (step: Progress['step']) => {
    where = { ...where, step };
    options.onProgress?.({ ...where, done: 0 });
  };

  const dense = stream(calibrator, graph);
  const pruned = stream(calibrator, graph);
  const wanted = await dense.finish(graph, lossBatches, beat);
  let current = graph;
  const done: OneShotState['layers'][number][] = [];
  for (const [index, task] of tasks.entries()) {
    const name = 'cell' in task ? task.cell.node.name : task.site.name;
    where = { layer: name, index, layers: tasks.length, step: 'run' };
    enter('run');
    const started = now();
    // The same pieces are run on resume too: an engine may fuse, and so round, a longer piece differently.
    if ('cell' in task) await dense.advance(graph, task.cell.index, beat);
    else await dense.advance(graph, task.site.index + 1, beat, [task.site.x, task.site.y]);
    await pruned.advance(current, ('cell' in task ? task.cell : task.site).index, beat);
    const earlier = resume?.layers[index];
    if (earlier) {
      current = applyEither(current, task, earlier.update);
      done.push(earlier);
      continue;
    }
    const seconds = () => (now() - started) / 1000;
    const work = { graph, current, index, settings, dense, pruned, options, beat, enter };
    if ('cell' in task) {
      const { update, reports } = await pruneCell({ ...work, task });
      current = applyCell(current, task, update);
      const macs = cellMacs(task.cell, dense.get(task.cell.node.inputs[0] ?? '')?.[0], calibrator.batches);
      const all = reports.map((own) => ({
        ...own,
        macs: macs * own.grid.rows * own.grid.cols,
        activationAware: false,
        seconds: seconds(),
      }));
      done.push({ reports: all, update });
    } else {
      const { site } = task;
      const layer = await pruneLayer({ ...work, task });
      let [update, rest] = layer.plain;
      let activationAware = false;
      if (layer.aware) {
        enter('compare');
        const loss = async ([candidate]: Candidate) =>
          outputLoss(wanted, await pruned.finish(applyUpdate(current, site, candidate), lossBatches, beat));
        activationAware =
          settings.activationAware === 'always' || (await loss(layer.aware)) < (await loss(layer.plain));
        if (activationAware) [update, rest] = layer.aware;
      }
      current = applyUpdate(current, site, update);
      const macs = macsOf(site, dense.get(site.y)?.[0]?.data.length ?? 0, calibrator.batches);
      const report: LayerReport = {
        ...rest,
        ...{ name, grid: task.grid, target: task.density, macs, activationAware, seconds: seconds() },
      };
      done.push({ reports: [report], update });
    }
    options.onLayer?.({ version: 1, fingerprint: id, layers: [...done] });
  }
  where = { layer: '', index: tasks.length, layers: tasks.length, step: 'compare' };
  const found = await stream(calibrator, current).finish(current, lossBatches, beat);
  const layers = done.flatMap(({ reports }) => reports);
  const share = (weigh: (layer: LayerReport) => number) => {
    const total = layers.reduce((sum, layer) => sum + weigh(layer), 0);
    return total > 0 ? layers.reduce((sum, layer) => sum + weigh(layer) * layer.density, 0) / total : 1;
  };
  return {
    graph: current,
    layers,
    weightDensity: share((layer) => layer.grid.rows * layer.grid.cols),
    macDensity: share((layer) => layer.macs),
    loss: outputLoss(wanted, found),
    state: { version: 1, fingerprint: id, layers: done },
  };
}

/** @throws {GrimError} GRIM_PRUNE_BAD_STATE when the state has another kind of layer here */
function applyEither(graph: Graph, task: Task | CellTask, update: LayerUpdate | CellUpdate): Graph {
  if ('cell' in task) {
    if ('b' in update) return applyCell(graph, task, update);
  } else if (!('b' in update)) return applyUpdate(graph, task.site, update);
  fail('GRIM_PRUNE_BAD_STATE', 'resume: the state is of another kind of layer. It is damaged.');
}

type Rest = Pick<LayerReport, 'density' | 'error' | 'samples' | 'warning' | 'search'>;
type Candidate = readonly [LayerUpdate, Rest];

interface LayerWork extends MeasureWork {
  readonly current: Graph;
  readonly enter: (step: Progress['step']) => void;
}

async function pruneLayer(work: LayerWork): Promise<{ readonly plain: Candidate; readonly aware?: Candidate }> {
  const { current, task, settings, beat, enter } = work;
  const { site, grid, density } = task;
  const { criterion, columnsOnly, damping, choose } = settings;
  const weight = matrixOf(current, site);
  const tail = tailOf(current, site);
  let search: MaskSearch | undefined;
  const selection = {
    ...{ criterion, grid, density, columnsOnly, gain: tail.importance },
    onSearch: (found: MaskSearch) => {
      search = found;
    },
    ...(choose && { choose: (values: Float64Array) => choose(site, values) }),
  };

  const solved = settings.refit || criterion !== 'magnitude' || settings.correctMean;
  if (!solved) {
    enter('select');
    const pattern = await select(undefined, weight, selection, beat);
    const rest: Rest = { density: densityOf(pattern), samples: 0 };
    return { plain: [makeUpdate(current, site, pattern, weight, undefined), rest] };
  }

  enter('measure');
  const shifts = settings.correctMean && canShift(site);
  const { moments, held } = await measure(work, tail, shifts);
  const rows = site.m / site.groups;
  const { count } = moments[0] as Moments;
  const traces = moments.map(({ h, k }) => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += h[i * k + i] as number;
    return sum;
  });
  const meanX = moments.map((own) => own.meanX);
  const meanY = concat(moments.map((own) => own.meanY));
  const problem = await problemOf(moments, weight, damping, beat);
  const warning = traces.every((t) => !(t > 0)) ? 'constant inputs' : count < site.k ? 'few samples' : undefined;

  const finish = async (
    target: Problem,
    pattern: BcrPattern,
    mean: Float64Array,
  ): Promise<[Float64Array, Candidate]> => {
    enter('refit');
    const v = settings.refit ? await refit(target, columnsOf(pattern), beat) : keep(weight, pattern);
    const shift = shifts ? shiftOf(current, site, v, meanX, mean) : undefined;
    const rest: Rest = {
      density: densityOf(pattern),
      error: await relativeError(target, v, tail.importance, beat),
      samples: count,
      ...(warning && { warning }),
      ...(search && { search }),
    };
    return [v, [makeUpdate(current, site, pattern, v, shift), rest]];
  };

  enter('select');
  let pattern = await select(problem, weight, selection, beat);
  let [v, plain] = await finish(problem, pattern, meanY);
  if (!held) return { plain };

  // The step that knows of the activation; the mask is chosen again once the new targets have taken shape.
  const factors = await factorsOf(problem, beat);
  let aware = plain;
  let mean = meanY;
  for (let round = 0; round < ROUNDS; round++) {
    enter('refit');
    const next = await clampedTargets(held, tail, v, site.k, meanX, mean, meanY, beat);
    mean = next.meanY;
    const target = await retarget(problem, factors, next.cross, beat);
    if (round === 1) {
      enter('select');
      pattern = await select(target, weight, selection, beat);
    }
    [v, aware] = await finish(target, pattern, mean);
  }
  return { plain, aware };

  function keep(from: Float64Array, kept: BcrPattern): Float64Array {
    const out = new Float64Array(from.length);
    columnsOf(kept).forEach((list, row) => {
      for (const col of list) out[row * site.k + col] = from[row * site.k + col] as number;
    });
    return out;
  }
  function concat(parts: readonly Float64Array[]): Float64Array {
    const out = new Float64Array(parts.length * rows);
    parts.forEach((part, i) => {
      out.set(part, i * rows);
    });
    return out;
  }
}

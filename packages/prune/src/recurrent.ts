/**
 * One-shot pruning of a recurrent layer: all gates compete for the survivors, and their input and state weights are
 * solved for together, so that inputs make up for what the state lost.
 *
 * The pruned layer walks through other states than the dense one. So after a first fit on the dense states, the layer is
 * run as pruned and fitted again with the same mask: from the states it really sees to the sums the dense one makes.
 */
import { blockGrid, densePattern, density as densityOf } from '@grim/bcr';
import type { BcrPattern, Graph, Node, Tensor } from '@grim/ir';
import type { Cell } from './cells.ts';
import { columnsOf } from './columns.ts';
import { fail } from './errors.ts';
import { gateSums, gatherStates, importance, initialOf, placesOf } from './gates.ts';
import type { Layer } from './layers.ts';
import { cholesky, solve } from './linalg/cholesky.ts';
import { multiply, transposed, view } from './linalg/gemm.ts';
import { type Moments, type Sums, sums } from './linalg/gram.ts';
import type { LayerReport, OneShotOptions, Progress, Settings } from './options.ts';
import {
  type CellTask,
  type CellUpdate,
  type Parameters,
  parametersOf,
  slice,
  updateOf,
  withParameters,
} from './parameters.ts';
import { type Problem, problemOf, refit, relativeError } from './problem.ts';
import type { Pulse } from './pulse.ts';
import { choose, randomStream } from './random.ts';
import { select } from './select.ts';
import type { Stream } from './stream.ts';
import { freshName } from './update.ts';

export interface CellWork {
  readonly graph: Graph;
  readonly current: Graph;
  readonly task: CellTask;
  readonly index: number;
  readonly settings: Settings;
  readonly dense: Stream;
  readonly pruned: Stream;
  readonly options: OneShotOptions;
  readonly beat: Pulse;
  readonly enter: (step: Progress['step']) => void;
}

export type CellReport = Omit<LayerReport, 'seconds' | 'macs' | 'activationAware'>;

const PASSES = 3;

export async function pruneCell(work: CellWork): Promise<{ update: CellUpdate; reports: readonly CellReport[] }> {
  const { graph, current, task, settings, dense, pruned, beat, enter } = work;
  const { cell } = task;
  const { directions, gates, hidden, inputs } = cell;
  const groups = directions * gates;
  const k = inputs + hidden;
  const original = parametersOf(graph, cell);
  const source = settings.sequential ? pruned : dense;
  const wanted = await statesOf(dense, graph, cell, beat);
  let states = wanted;
  let now = original;
  let patterns: { readonly w: BcrPattern; readonly r: BcrPattern } | undefined;
  let problem: Problem | undefined;
  let gain: Float64Array = new Float64Array(groups * hidden).fill(1);
  let count = 0;
  for (let pass = 0; pass < (settings.refit ? PASSES : 1); pass++) {
    enter('measure');
    if (pass > 0) states = await statesOf(source, withParameters(current, cell, now), cell, beat);
    const measured = await measure(work, original, now, wanted, states, pass);
    // Inputs and states differ in scale; without this, damping would be made for one of them only.
    const scale = columnScale(measured.moments, inputs, k);
    const scaled = measured.moments.map((own) => rescale(own, scale));
    const start = original.v.map((value, at) => value / (scale[at % k] as number));
    problem = await problemOf(scaled, start, settings.damping, beat);
    count = scaled[0]?.count ?? 0;
    if (!patterns) {
      gain = measured.gain;
      enter('select');
      patterns = await selectParts(work, problem, original.v, gain);
    }
    enter('refit');
    const columns = sideBySide(patterns, inputs);
    const v = settings.refit ? await refit(problem, columns, beat) : keep(start, columns, k);
    for (let at = 0; at < v.length; at++) v[at] = (v[at] as number) * (scale[at % k] as number);
    now = settings.correctMean ? withMeans(cell, v, original, measured.moments) : { ...original, v };
    if (!now.v.every(Number.isFinite) || !now.wb.every(Number.isFinite))
      fail('GRIM_PRUNE_DIVERGED', `${cell.node.name}: the new weights are not finite. Raise the damping.`, {
        layer: cell.node.name,
      });
    const lost = v.map((value, at) => value / (scale[at % k] as number));
    if (pass === (settings.refit ? PASSES : 1) - 1) return result(lost);
  }
  throw new Error('internal: no pass');

  async function result(v: Float64Array): Promise<{ update: CellUpdate; reports: readonly CellReport[] }> {
    const error = await relativeError(problem as Problem, v, gain, beat);
    const kept = patterns as { readonly w: BcrPattern; readonly r: BcrPattern };
    const report = (layer: Layer, part: CellTask['w'], pattern: BcrPattern): readonly CellReport[] =>
      part
        ? [
            {
              ...{ name: layer.name, grid: part.grid, target: part.density, density: densityOf(pattern), error },
              samples: count,
              ...(count < k && { warning: 'few samples' as const }),
            },
          ]
        : [];
    return {
      update: updateOf(cell, now, kept),
      reports: [...report(cell.w, task.w, kept.w), ...report(cell.r, task.r, kept.r)],
    };
  }
}

/** Outputs of every step, [steps, directions, batch, hidden] in the layout of the node, of every batch. */
async function statesOf(from: Stream, graph: Graph, cell: Cell, beat: Pulse): Promise<readonly Tensor[]> {
  const node = graph.nodes[cell.index] as Node;
  const name = node.outputs[0] || freshName(graph, `${node.name}_states`);
  const probe = { ...node, outputs: [name] } as Node;
  return from.probe(graph, [probe], name, beat);
}

interface Measured {
  /** One per direction and gate. */
  readonly moments: readonly Moments[];
  readonly gain: Float64Array;
}

/** Moments of [x, state] with the sums that the dense cell makes, on samples of all batches. */
async function measure(
  { task, settings, dense, pruned, options, index, beat }: CellWork,
  original: Parameters,
  now: Parameters,
  wanted: readonly Tensor[],
  states: readonly Tensor[],
  pass: number,
): Promise<Measured> {
  const { cell } = task;
  const { directions, gates, hidden, inputs, node } = cell;
  const k = inputs + hidden;
  const rows = gates * hidden;
  const x = dense.get(node.inputs[0] ?? '') ?? [];
  const xNow = settings.sequential ? (pruned.get(node.inputs[0] ?? '') ?? x) : x;
  const share = Math.ceil((options.samples ?? Math.max(12288, 20 * k)) / Math.max(1, x.length));
  const gain = new Float64Array(directions * rows);
  const moments: Moments[] = [];
  for (let direction = 0; direction < directions; direction++) {
    const offset = direction * rows;
    // Gates that see the same inputs share a Gram matrix; the candidate of a GRU sees others.
    const candidate = node.op === 'GRU' ? 1 : 0;
    const common = gates - candidate;
    const plain: Sums = sums(k, common * hidden);
    const special: Sums | undefined = candidate ? sums(k, hidden) : undefined;
    let count = 0;
    for (const [batch, tensor] of x.entries()) {
      const order = placesOf(cell, tensor, direction);
      const chosen = choose(
        order.steps * order.batch,
        share,
        randomStream(settings.seed, index, batch, direction, pass),
      );
      const target = gatherStates(cell, tensor, wanted[batch] as Tensor, initialOf(dense, cell, batch), order, chosen);
      const seen = gatherStates(
        ...([
          cell,
          xNow[batch] as Tensor,
          states[batch] as Tensor,
          initialOf(pruned, cell, batch),
          order,
          chosen,
        ] as const),
      );
      const was = await gateSums(cell, original, direction, target, chosen.length, beat);
      const is = candidate ? await gateSums(cell, now, direction, seen, chosen.length, beat) : undefined;
      const n = chosen.length;
      await plain.add(seen.z, columns(was.sums, rows, 0, common * hidden), n, beat);
      if (special && is) {
        const beforeReset = node.op === 'GRU' && node.attributes.linear_before_reset !== 0;
        const z = seen.z.slice();
        for (let s = 0; s < n; s++) {
          if (beforeReset) z.fill(0, s * k, s * k + inputs);
          else
            for (let i = 0; i < hidden; i++)
              z[s * k + inputs + i] = (z[s * k + inputs + i] as number) * (is.reset[s * hidden + i] as number);
        }
        await special.add(z, beforeReset ? was.stateSums : columns(was.sums, rows, 2 * hidden, hidden), n, beat);
      }
      importance(cell, was, target.z, n, gain.subarray(offset, offset + rows));
      count += n;
    }
    for (let i = 0; i < rows; i++) gain[offset + i] = Math.sqrt((gain[offset + i] as number) / Math.max(1, count));
    const [shared, own] = [plain.moments(settings.correctMean), special?.moments(settings.correctMean)];
    for (let gate = 0; gate < gates; gate++) {
      const from = own && gate === 2 ? own : shared;
      const first = own && gate === 2 ? 0 : gate * hidden;
      moments.push({
        ...from,
        m: hidden,
        meanY: from.meanY.slice(first, first + hidden),
        g: from.g.slice(first * k, (first + hidden) * k),
      });
    }
  }
  const mean = gain.reduce((sum, v) => sum + v, 0) / gain.length;
  return { moments, gain: mean > 0 ? gain.map((v) => v / mean) : gain.fill(1) };
}

/** Factor of each column so that inputs and states have the same mean variance; 1 for states. */
function columnScale(moments: readonly Moments[], inputs: number, k: number): Float64Array {
  const { h } = moments[0] as Moments;
  let [x, state] = [0, 0];
  for (let i = 0; i < k; i++) {
    const variance = h[i * k + i] as number;
    if (i < inputs) x += variance / inputs;
    else state += variance / (k - inputs);
  }
  const factor = x > 0 && state > 0 ? Math.sqrt(state / x) : 1;
  return Float64Array.from({ length: k }, (_, i) => (i < inputs ? factor : 1));
}

function rescale(own: Moments, scale: Float64Array): Moments {
  const { k } = own;
  const of = (i: number) => scale[i] as number;
  return {
    ...own,
    meanX: own.meanX.map((v, i) => v * of(i)),
    h: own.h.map((v, at) => v * of(Math.floor(at / k)) * of(at % k)),
    g: own.g.map((v, at) => v * of(at % k)),
  };
}

/** Masks of W and R, each chosen as if the other stayed dense and could make up for what is lost. */
async function selectParts(
  { task, settings, beat }: CellWork,
  problem: Problem,
  dense: Float64Array,
  gain: Float64Array,
): Promise<{ readonly w: BcrPattern; readonly r: BcrPattern }> {
  const { cell, w, r } = task;
  const { inputs, hidden } = cell;
  const one = async (part: CellTask['w'], layer: Layer, first: number, width: number): Promise<BcrPattern> => {
    if (!part) return densePattern(blockGrid(layer.m, layer.k, 1, Number.POSITIVE_INFINITY));
    const own = await marginal(problem, first, width, beat);
    const { criterion, columnsOnly, choose } = settings;
    return select(
      own,
      slice(dense, problem.k, first, width),
      {
        ...{ criterion, grid: part.grid, density: part.density, columnsOnly, gain },
        ...(choose && { choose: (values: Float64Array) => choose(layer, values) }),
      },
      beat,
    );
  };
  return { w: await one(w, cell.w, 0, inputs), r: await one(r, cell.r, inputs, hidden) };
}

/** The problem of some columns when all others are free to follow: the Schur complement of the Gram matrix. */
async function marginal(problem: Problem, first: number, width: number, beat: Pulse): Promise<Problem> {
  const { m, k, groups, h, optimum } = problem;
  const rest = Array.from({ length: k }, (_, i) => i).filter((i) => i < first || i >= first + width);
  const own = slice(optimum, k, first, width);
  const complements: Float64Array[] = [];
  const g = new Float64Array(m * width);
  const made = new Map<Float64Array, Float64Array>();
  for (const [group, whole] of h.entries()) {
    let complement = made.get(whole);
    if (!complement) {
      const n = rest.length;
      const other = Float64Array.from(
        { length: n * n },
        (_, at) => whole[(rest[Math.floor(at / n)] as number) * k + (rest[at % n] as number)] as number,
      );
      const cross = Float64Array.from(
        { length: width * n },
        (_, at) => whole[(first + Math.floor(at / n)) * k + (rest[at % n] as number)] as number,
      );
      const solved = cross.slice();
      if (n > 0) await solve(await cholesky(other, n, beat), solved, width, beat);
      complement = Float64Array.from(
        { length: width * width },
        (_, at) => whole[(first + Math.floor(at / width)) * k + first + (at % width)] as number,
      );
      await multiply(
        {
          ...{ m: width, n: width, k: n, alpha: -1 },
          a: view(solved, n),
          b: transposed(view(cross, n)),
          c: { ...view(complement, width), data: complement },
        },
        beat,
      );
      made.set(whole, complement);
    }
    complements.push(complement);
    const rows = m / groups;
    await multiply(
      {
        ...{ m: rows, n: width, k: width },
        a: view(own, width, group * rows),
        b: view(complement, width),
        c: { ...view(g, width, group * rows), data: g },
      },
      beat,
    );
  }
  return { m, k: width, groups, h: complements, g, optimum: own };
}

function columns(data: Float32Array, width: number, first: number, count: number): Float32Array {
  const rows = data.length / width;
  const out = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++)
    out.set(data.subarray(row * width + first, row * width + first + count), row * count);
  return out;
}

/** Surviving columns of [W, R]. */
function sideBySide(
  { w, r }: { readonly w: BcrPattern; readonly r: BcrPattern },
  inputs: number,
): readonly Uint32Array[] {
  const state = columnsOf(r);
  return columnsOf(w).map((list, row) =>
    Uint32Array.from([...list, ...Array.from(state[row] ?? [], (c) => c + inputs)]),
  );
}

function keep(from: Float64Array, kept: readonly Uint32Array[], k: number): Float64Array {
  const out = new Float64Array(from.length);
  kept.forEach((list, row) => {
    for (const col of list) out[row * k + col] = from[row * k + col] as number;
  });
  return out;
}

function withMeans(cell: Cell, v: Float64Array, original: Parameters, moments: readonly Moments[]): Parameters {
  const { hidden, inputs, node, gates } = cell;
  const k = inputs + hidden;
  const wb = original.wb.slice();
  const rb = original.rb.slice();
  for (let row = 0; row < wb.length; row++) {
    const group = Math.floor(row / hidden);
    const { meanX, meanY } = moments[group] as Moments;
    let mean = 0;
    for (let i = 0; i < k; i++) mean += (v[row * k + i] as number) * (meanX[i] as number);
    const constant = (meanY[row - group * hidden] as number) - mean;
    // Before a reset, only the state's own bias is in the sum.
    if (node.op === 'GRU' && node.attributes.linear_before_reset !== 0 && group % gates === 2) rb[row] = constant;
    else wb[row] = constant - (rb[row] as number);
  }
  return { v, wb, rb };
}

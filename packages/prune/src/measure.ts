/** What calibration inputs say about a layer: moments of its inputs and wanted outputs, and what stands behind it. */

import { type Graph, type Tensor, weightIndex } from '@grim/ir';
import { checkFinite, type Feeds } from './calibrator.ts';
import type { Cell } from './cells.ts';
import { fail } from './errors.ts';
import type { Site } from './layers.ts';
import { type Moments, type Sums, sums } from './linalg/gram.ts';
import type { OneShotOptions, Settings, Task } from './options.ts';
import type { Pulse } from './pulse.ts';
import { randomStream } from './random.ts';
import type { Held, Tail } from './relu.ts';
import { gather } from './samples.ts';
import type { Stream } from './stream.ts';
import { canShift, normOf } from './update.ts';

/** Samples are held for the step that knows of the activation up to this many numbers. */
const HELD = 2 ** 27;

export interface MeasureWork {
  readonly task: Task;
  /** Of the task: part of the key of its random numbers. */
  readonly index: number;
  readonly settings: Settings;
  readonly dense: Stream;
  readonly pruned: Stream;
  readonly options: OneShotOptions;
  readonly beat: Pulse;
}

/**
 * Moments of the inputs alone.
 * @param shape  of the layer's output
 */
export async function measureInputs(
  site: Site,
  inputs: readonly Tensor[],
  shape: readonly number[],
  wanted: number,
  seed: number,
  index: number,
  beat: Pulse,
): Promise<readonly Moments[]> {
  const all: Sums[] = Array.from({ length: site.groups }, () => sums(site.k, 0));
  for (const [batch, x] of inputs.entries()) {
    checkFinite(site.x, batch, x);
    const samples = gather(site, x, shape, [], wanted, randomStream(seed, index, batch));
    for (let group = 0; group < site.groups; group++)
      await (all[group] as Sums).add(samples.x[group] as Float32Array, new Float32Array(), samples.count, beat);
  }
  return all.map((own) => own.moments(canShift(site)));
}

/** Sums over the samples of all batches, and the samples themselves where a later step needs them. */
export async function measure(
  { task, index, settings, dense, pruned, options, beat }: MeasureWork,
  tail: Tail & { readonly clamped: boolean },
  shifts: boolean,
): Promise<{ readonly moments: readonly Moments[]; readonly held: readonly Held[] | undefined }> {
  const { site } = task;
  const inputs = (settings.sequential ? pruned : dense).get(site.x);
  const outputs = dense.get(site.y);
  if (!inputs || !outputs)
    fail('GRIM_PRUNE_BAD_CALIBRATION', `${site.name}: the calibrator gave no ${site.x} or ${site.y}.`);
  const skips =
    site.skip !== undefined && settings.sequential
      ? [dense.get(site.skip), pruned.get(site.skip)]
      : [undefined, undefined];
  const [denseSkip, prunedSkip] = skips[0] && skips[1] ? skips : [undefined, undefined];
  const wanted = Math.ceil((options.samples ?? Math.max(24576, 20 * site.k)) / inputs.length);
  const rows = site.m / site.groups;
  const all: Sums[] = Array.from({ length: site.groups }, () => sums(site.k, rows));
  const aware = settings.activationAware !== 'never' && settings.refit && shifts && tail.clamped && settings.sequential;
  const complete = site.skip === undefined || prunedSkip !== undefined;
  const fits = wanted * inputs.length * (site.k * site.groups + 2 * site.m) <= HELD;
  const held: Held[] | undefined = aware && complete && fits ? [] : undefined;
  for (const [batch, x] of inputs.entries()) {
    const y = outputs[batch] as Tensor;
    checkFinite(site.x, batch, x);
    checkFinite(site.y, batch, y);
    const extra = denseSkip && prunedSkip ? [denseSkip[batch] as Tensor, prunedSkip[batch] as Tensor] : [];
    const usable = extra.every((t) => t.shape.join() === y.shape.join()) ? extra : [];
    const samples = gather(site, x, y.shape, [y, ...usable], wanted, randomStream(settings.seed, index, batch));
    const [target, was, is] = samples.y as [Float32Array, Float32Array?, Float32Array?];
    if (was && is && settings.correctSkip)
      for (let at = 0; at < target.length; at++) {
        const gain = tail.gain[at % site.m] as number;
        if (gain !== 0) target[at] = (target[at] as number) + ((was[at] as number) - (is[at] as number)) / gain;
      }
    for (let group = 0; group < site.groups; group++)
      await (all[group] as Sums).add(
        samples.x[group] as Float32Array,
        site.groups === 1 ? target : columnsFrom(target, site.m, group * rows, rows),
        samples.count,
        beat,
      );
    if (held && (usable.length > 0 || site.skip === undefined))
      held.push({ count: samples.count, x: samples.x, y: target, ...(is && { skip: is }) });
    await beat.beat((batch + 1) / inputs.length);
  }
  return {
    moments: all.map((own) => own.moments(shifts)),
    held: held?.length === inputs.length ? held : undefined,
  };
}

function columnsFrom(data: Float32Array, width: number, first: number, count: number): Float32Array {
  const rows = data.length / width;
  const out = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++)
    out.set(data.subarray(row * width + first, row * width + first + count), row * count);
  return out;
}

/** The weight as a matrix [m, k], as its product with the inputs adds to the output. */
export function matrixOf(graph: Graph, site: Site): Float64Array {
  const data = graph.weights.get(site.weight)?.data as Float32Array;
  const alpha = site.node.op === 'Gemm' ? site.node.attributes.alpha : 1;
  return Float64Array.from({ length: site.m * site.k }, (_, at) => {
    const row = Math.floor(at / site.k);
    return alpha * (data[weightIndex(site.view, row, at - row * site.k)] as number);
  });
}

/** What becomes of the layer's output: the normalisation's gain and offset, and the activation's range. */
export function tailOf(
  graph: Graph,
  site: Site,
): Tail & { readonly importance: Float64Array; readonly clamped: boolean } {
  const { m, clamp } = site;
  const gain = new Float64Array(m).fill(1);
  const offset = new Float64Array(m);
  const norm = normOf(graph, site);
  if (norm?.op === 'BatchNormalization') {
    const [scale, bias, mean, variance] = norm.inputs.slice(1).map((name) => graph.weights.get(name)?.data ?? []);
    for (let row = 0; row < m; row++) {
      const g = Number(scale?.[row]) / Math.sqrt(Number(variance?.[row]) + norm.attributes.epsilon);
      gain[row] = g;
      offset[row] = Number(bias?.[row]) - g * Number(mean?.[row]);
    }
  }
  if (site.node.op === 'MatMul' && site.bias !== undefined && !norm)
    offset.set(Float64Array.from(graph.weights.get(site.bias)?.data as Float32Array));
  const sizes = gain.map(Math.abs);
  const largest = sizes.reduce((most, g) => Math.max(most, g), 0);
  const mean = sizes.reduce((sum, g) => sum + g, 0) / m;
  return {
    // A channel that is nearly switched off would turn a small error behind it into a huge target before it.
    gain: gain.map((g) => (Math.abs(g) < 1e-2 * largest ? 0 : g)),
    offset,
    low: clamp?.low ?? Number.NEGATIVE_INFINITY,
    high: clamp?.high ?? Number.POSITIVE_INFINITY,
    clamped: clamp !== undefined,
    importance: mean > 0 ? sizes.map((g) => g / mean) : sizes.fill(1),
  };
}

/** What must be added to the layer's output so that its mean is `meanY`. */
export function shiftOf(
  graph: Graph,
  site: Site,
  v: Float64Array,
  meanX: readonly Float64Array[],
  meanY: Float64Array,
): Float64Array {
  const rows = site.m / site.groups;
  const beta = site.node.op === 'Gemm' ? site.node.attributes.beta : 1;
  // Conv and Gemm outputs hold their bias already; a MatMul's is added behind it.
  const bias = site.node.op === 'MatMul' || site.bias === undefined ? undefined : graph.weights.get(site.bias)?.data;
  return meanY.map((wanted, row) => {
    const x = meanX[Math.floor(row / rows)] as Float64Array;
    let mean = beta * Number(bias?.[row] ?? 0);
    for (let i = 0; i < site.k; i++) mean += (v[row * site.k + i] as number) * (x[i] as number);
    return wanted - mean;
  });
}

/** Of one example, dense. @param elements  of the layer's output for one batch */
export function macsOf(site: Site, elements: number, batches: readonly Feeds[]): number {
  const examples = Object.values(batches[0] ?? {})[0]?.shape[0] ?? 1;
  return (elements * site.k) / Math.max(1, examples);
}

/**
 * Every second batch, up to 256 examples: those of which the step that knows of the activation sees nothing, so that it is
 * not judged by what it was fitted to.
 */
export function lossBatchesOf(batches: readonly Feeds[], wanted: number | undefined): readonly number[] {
  const examples = Object.values(batches[0] ?? {})[0]?.shape[0] ?? 1;
  const unseen = batches.map((_, i) => i).filter((i) => i % 2 === 1);
  const order = [...unseen, ...batches.map((_, i) => i).filter((i) => i % 2 === 0)];
  const most = Math.min(Math.max(1, unseen.length), Math.max(1, Math.ceil(256 / Math.max(1, examples))));
  return order.slice(0, wanted ?? most).sort((a, b) => a - b);
}

/** Steps of one example: how often it meets each weight of a recurrent layer. */
export function cellMacs({ inputs }: Cell, x: Tensor | undefined, batches: readonly Feeds[]): number {
  const examples = Object.values(batches[0] ?? {})[0]?.shape[0] ?? 1;
  return (x?.data.length ?? 0) / inputs / Math.max(1, examples);
}

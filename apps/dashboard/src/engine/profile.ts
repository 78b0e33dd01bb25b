/**
 * Where the time goes: the calls of a network timed one by one, added up by layer, and set against the roofs of this very
 * browser, which are measured between the runs.
 * @see Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (2009)
 */
import { type FileManifest, show } from '@grim/ir';
import { RoofSampler, type Roofs } from '@grim/measure';
import { openProfiler } from '@grim/runtime/profile';
import type { Context, Which } from './messages.ts';
import type { Network } from './session.ts';

interface LayerTime {
  /** Of the node; `rest` for all that belongs to no layer. */
  readonly name: string;
  readonly op: string;
  readonly which: Which;
  readonly us: number;
  /** Of multiply-adds on weights that are not zero; 0 for the rest. */
  readonly gflops: number;
  /** Operations for each byte that is read or written; undefined where only the file is there. */
  readonly intensity: number | undefined;
  readonly kernel: string;
}

export interface LayerProfile {
  readonly layers: readonly LayerTime[];
  readonly roofs: Roofs;
  readonly simd: string;
}

/** At least so many, and more of short ones: the clock of a browser goes in steps, which only means look through. */
const RUNS = 15;
const MOST_RUNS = 400;
const LEAST_MS = 500;
const WARM_UP_MS = 150;

export async function profileLayers(
  dense: Network,
  pruned: Network | undefined,
  { stage }: Context,
): Promise<LayerProfile> {
  await stage('Timing each layer');
  const subjects = [];
  for (const [which, network] of [
    ['dense', dense],
    ['pruned', pruned],
  ] as const)
    if (network)
      subjects.push({
        which,
        network,
        profiler: await openProfiler(network.compiled.file),
        times: [] as Float64Array[],
      });
  const [first] = subjects;
  const sampler = new RoofSampler({ relaxed: first?.profiler.simd === 'relaxed' });
  for (const { profiler } of subjects)
    for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) profiler.run();
  const end = performance.now() + LEAST_MS;
  for (let run = 0; run < RUNS || (run < MOST_RUNS && performance.now() < end); run++) {
    await stage('Timing each layer', Math.min(1, run / RUNS));
    if (run % 3 === 0 && run < 3 * RUNS) sampler.sample();
    for (const { profiler, times } of run % 2 ? subjects : subjects.toReversed()) {
      // The samples have taken the caches.
      profiler.run();
      times.push(profiler.runByCall());
    }
  }
  return {
    simd: first?.profiler.simd ?? '',
    roofs: sampler.roofs(),
    layers: subjects.flatMap(({ which, network, times }) => layerTimes(which, network, times)),
  };
}

/**
 * Mean of all but the slowest twentieth: those were interrupted. Not the median: a call shorter than a step of the clock takes
 * no time at all in most runs, and a whole step in some.
 */
function trimmedMean(values: readonly number[]): number {
  const kept = values.toSorted((a, b) => a - b).slice(0, Math.max(1, Math.ceil(0.95 * values.length)));
  return kept.reduce((sum, value) => sum + value, 0) / Math.max(1, kept.length);
}

function layerTimes(which: Which, { compiled }: Network, times: readonly Float64Array[]): readonly LayerTime[] {
  const { manifest, calls } = compiled;
  const count = times[0]?.length ?? 0;
  const us = Array.from({ length: count }, (_, call) => 1000 * trimmedMean(times.map((one) => one[call] ?? 0)));
  const nodes = [...new Set(manifest.layers.map(({ node }) => node))];
  const taken = new Set<number>();
  const rows = nodes.map((node): LayerTime => {
    const own = callsOf(compiled, manifest, node, count).filter((call) => !taken.has(call));
    for (const call of own) taken.add(call);
    const layers = manifest.layers.filter((layer) => layer.node === node);
    const time = own.reduce((sum, call) => sum + (us[call] ?? 0), 0);
    const flops = 2 * layers.reduce((sum, layer) => sum + layer.macs * layer.density, 0);
    const bytes = calls && own.reduce((sum, call) => sum + (calls[call]?.bytes ?? 0), 0);
    return {
      ...{ name: show(node), op: show(layers[0]?.op ?? ''), which, us: time, kernel: show(layers[0]?.kernel ?? '') },
      gflops: time > 0 ? flops / time / 1000 : 0,
      intensity: bytes ? flops / bytes : undefined,
    };
  });
  const rest = us.reduce((sum, one, call) => sum + (taken.has(call) ? 0 : one), 0);
  return [...rows, { name: 'rest', op: '', which, us: rest, gflops: 0, intensity: undefined, kernel: '' }];
}

function callsOf({ calls }: Network['compiled'], { layers }: FileManifest, node: string, count: number): number[] {
  if (calls) return calls.flatMap(({ nodes }, call) => (nodes.includes(node) && call < count ? [call] : []));
  return layers
    .filter((layer) => layer.node === node)
    .flatMap(({ calls: [first, end] = [0, 0] }) => Array.from({ length: end - first }, (_, i) => first + i));
}

/**
 * Where the time of a model goes: its calls timed one by one, grouped by the node of the graph that they compute, each set
 * against the roofs of this machine (multiply-adds a second, bytes a second) that were measured between the runs.
 * @see Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (2009)
 */
import type { CallInfo, FileManifest, LayerInfo, WasmFamily } from '@grim/ir';
import { median, RoofSampler, type Roofs } from '@grim/measure';
import { openProfiler } from '@grim/runtime/profile';
import { processClock, wallClock } from './clock.ts';

/** One call as it was timed. */
interface CallTime {
  /** The kernel's whole identity; its number where a file is all there is. */
  readonly kernel: string;
  readonly nodes: readonly string[];
  readonly us: number;
}

/** What keeps a group from being faster. */
export type Limit =
  /** More than 60 % of the multiply-adds that the machine can do. */
  | 'arithmetic'
  /** More than 50 % of the bytes that it can move. */
  | 'memory'
  /** A few microseconds: calling costs more than computing. */
  | 'calls'
  /** Most of the time goes into bringing values into the layout that the product reads, or out of it. */
  | 'layout'
  /** One vector: each multiply-add waits for a load of its weight. */
  | 'weight loads'
  /** Few products for each element that is read. */
  | 'few products'
  /** Few columns, or few rows: tiles are not full. */
  | 'small tiles'
  /** Too few weights in a row that share their inputs. */
  | 'short units'
  /** No products: copies, functions, element by element. */
  | 'no products'
  /** None of the roofs is near. */
  | 'kernel';

export interface ProfileRow {
  /** The node; `…` for what belongs to none. */
  readonly name: string;
  readonly op: string;
  readonly kernel: string;
  readonly calls: readonly [first: number, end: number];
  readonly us: number;
  /** Of the calls that multiply weights. */
  readonly productUs: number;
  /** Share of the sum of all rows. */
  readonly share: number;
  readonly layers: readonly LayerInfo[];
  readonly density: number;
  /** Of multiply-adds on non-zeros, over the time of the whole row; 0 without weights. */
  readonly gflops: number;
  /** Of the peak of the same minutes. */
  readonly ofPeak: number;
  /** That are read or written, each once; undefined where only the file is there. */
  readonly bytes: number | undefined;
  readonly limit: Limit;
}

export interface Profile {
  readonly simd: WasmFamily;
  readonly runs: number;
  readonly roofs: Roofs;
  /** Median of whole runs, without a clock between the calls. */
  readonly runUs: number;
  /** Sum over all calls. */
  readonly sumUs: number;
  readonly rows: readonly ProfileRow[];
  readonly calls: readonly CallTime[];
}

export interface ProfileOptions {
  /** Times that each call is timed. Default 20. */
  readonly runs?: number;
  /** What the compiler said of each call; without it names come from the file's layers. */
  readonly calls?: readonly CallInfo[] | undefined;
  readonly simd?: WasmFamily;
}

const WARM_UP_MS = 400;
/** Calls that take longer are timed by the time on a core: others may take the core from them. */
const SHORT_US = 100;

/** @param file  the bytes of a `.grim` file */
export async function profile(file: Uint8Array, options: ProfileOptions = {}): Promise<Profile> {
  const { runs = 20, calls: infos, simd } = options;
  const profiler = await openProfiler(file, simd ? { simd } : {});
  const { manifest, calls: count } = profiler;
  const sampler = new RoofSampler({ relaxed: profiler.simd === 'relaxed' }, processClock);
  const end = performance.now() + WARM_UP_MS;
  for (let i = 0; i < 5 || performance.now() < end; i++) profiler.run();
  const wall: Float64Array[] = [];
  const core: Float64Array[] = [];
  const whole: number[] = [];
  for (let run = 0; run < runs; run++) {
    if (run % Math.ceil(runs / 20) === 0) {
      sampler.sample();
      // The samples have taken the caches.
      profiler.run();
    }
    whole.push(profiler.run(processClock));
    wall.push(profiler.runByCall(wallClock));
    core.push(profiler.runByCall(processClock));
  }
  const roofs = sampler.roofs();
  const times = Array.from({ length: count }, (_, call): CallTime => {
    const by = (samples: readonly Float64Array[]) => 1000 * median(samples.map((times) => times[call] ?? 0));
    const short = by(wall);
    const us = short < SHORT_US ? short : by(core);
    const { kernel = kernelNumber(manifest, call), nodes = [] } = infos?.[call] ?? {};
    return { kernel, nodes, us };
  });
  const sumUs = times.reduce((sum, { us }) => sum + us, 0);
  const rows = groupsOf(manifest, times, infos).map((group) => rowOf(group, times, infos, sumUs, roofs));
  return { simd: profiler.simd, runs, roofs, runUs: 1000 * median(whole), sumUs, rows, calls: times };
}

function kernelNumber({ steps, kernels }: FileManifest, wanted: number): string {
  let call = 0;
  for (let at = 0; at < steps.length; ) {
    const kernel = steps[at] ?? 0;
    if (kernel >= 0 && call++ === wanted) return kernels[kernel]?.name ?? '';
    // A branch and a group have words of their own; the calls in them follow.
    at += kernel === -1 ? 4 : kernel === -2 ? 2 : 1 + (kernels[kernel]?.parameters ?? 0);
  }
  return '';
}

interface Group {
  readonly name: string;
  readonly first: number;
  end: number;
  readonly layers: readonly LayerInfo[];
}

/** Runs of calls of one node, in order. */
function groupsOf(
  { layers }: FileManifest,
  times: readonly CallTime[],
  infos: readonly CallInfo[] | undefined,
): readonly Group[] {
  const nodeOf = (call: number): string => {
    if (infos) return infos[call]?.nodes[0] ?? '…';
    return layers.find(({ calls: [first, end] = [0, 0] }) => call >= first && call < end)?.node ?? '…';
  };
  const groups: Group[] = [];
  for (let call = 0; call < times.length; call++) {
    const name = nodeOf(call);
    const last = groups.at(-1);
    if (last?.name === name) last.end = call + 1;
    else {
      const own = layers.filter(
        ({ node, calls: [first, end] = [-1, -1] }) => node === name && call >= first && call < end,
      );
      groups.push({ name, first: call, end: call + 1, layers: own });
    }
  }
  return groups;
}

function rowOf(
  { name, first, end, layers }: Group,
  times: readonly CallTime[],
  infos: readonly CallInfo[] | undefined,
  sumUs: number,
  roofs: Roofs,
): ProfileRow {
  const own = times.slice(first, end);
  const us = own.reduce((sum, call) => sum + call.us, 0);
  const kernels = layers.flatMap(({ kernel }) => kernel.split(' + '));
  const isProduct = ({ kernel }: CallTime) => kernels.some((one) => kernel.includes(one));
  const productUs = infos ? own.filter(isProduct).reduce((sum, call) => sum + call.us, 0) : us;
  const dense = layers.reduce((sum, { macs }) => sum + macs, 0);
  const nonZero = layers.reduce((sum, { macs, density }) => sum + macs * density, 0);
  const gflops = us > 0 ? (2 * nonZero) / us / 1000 : 0;
  const bytes = infos?.slice(first, end).reduce((sum, call) => sum + call.bytes, 0);
  const slowest = own.reduce((a, b) => (b.us > a.us ? b : a), own[0] as CallTime);
  const facts = { us, productUs, gflops, bytes, layers, roofs };
  return {
    name,
    op: layers[0]?.op ?? '',
    kernel: layers[0]?.kernel ?? slowest.kernel,
    calls: [first, end],
    us,
    productUs,
    share: sumUs > 0 ? us / sumUs : 0,
    layers,
    density: dense > 0 ? nonZero / dense : 1,
    gflops,
    ofPeak: gflops / roofs.gflops,
    bytes,
    limit: limitOf(facts),
  };
}

/** GB/s for so many bytes. */
function bandwidthFor(bytes: number, { bandwidth }: Roofs): number {
  return (bandwidth.find(([size]) => bytes <= size) ?? bandwidth.at(-1))?.[1] ?? Number.POSITIVE_INFINITY;
}

const FEW_US = 4;

function limitOf({
  us,
  productUs,
  gflops,
  bytes = 0,
  layers,
  roofs,
}: Pick<ProfileRow, 'us' | 'productUs' | 'gflops' | 'bytes' | 'layers'> & { readonly roofs: Roofs }): Limit {
  const largest = layers.toSorted((a, b) => b.macs * b.density - a.macs * a.density)[0];
  if (gflops > 0.6 * roofs.gflops) return 'arithmetic';
  if (us > 0 && bytes / us / 1000 > 0.5 * bandwidthFor(bytes, roofs)) return 'memory';
  if (us < FEW_US) return 'calls';
  if (!largest) return 'no products';
  if (productUs < 0.6 * us) return 'layout';
  const { m, k, n, density, grid, kernel } = largest;
  if (kernel.includes('gemv')) return 'weight loads';
  if (kernel.includes('depthwise')) return 'few products';
  if (n < 32 || m < 6) return 'small tiles';
  // Non-zeros that a tile of at most six rows reads in one go.
  if (grid && density * Math.min(grid.blockCols, k) * Math.min(6, grid.blockRows) < 60) return 'short units';
  return k < 40 ? 'few products' : 'kernel';
}

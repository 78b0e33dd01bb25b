/**
 * Finds schedules for a GPU by measurement: work-group shape, register tile, split of K and where rows of X wait, for each
 * product of a graph.
 *
 * As in `tune.ts` all products are searched at once, and equal ones are one. What a product can have is a few hundred schedules at most,
 * which are listed: a new one is drawn from those not tried, half of the time near one of the fastest so far. The end is the same: what
 * is not faster than the default in every last comparison is dropped, so the result is never slower.
 */
import type { CompiledModel, Graph } from '@grim/ir';
import { type CompileOptions, compile, productsOf } from '../compile.ts';
import {
  checkGpuSchedule,
  type GpuLimits,
  type GpuSchedule,
  type GpuSchedules,
  gpuCandidates,
  gpuFormsOf,
} from '../gpu-schedule.ts';
import type { ProductSite } from '../schedule.ts';
import { FINALISTS, finals, WORTH } from './finals.ts';
import { ratioOf } from './ratios.ts';
import { type Random, randomOf } from './space.ts';
import type { Timed, TuneProgress } from './tune.ts';

/** A model to be timed. */
export interface GpuCandidate {
  readonly gpuSchedules: GpuSchedules;
  /** Anew at every call. */
  compile(): CompiledModel;
}

/** Times candidates in turn; the default is always the first. Rejects with the signal's reason when that is aborted. */
export type GpuMeasure = (
  candidates: readonly GpuCandidate[],
  options: { readonly rounds: number; readonly signal: AbortSignal | undefined },
) => Promise<readonly Timed[]>;

/** What one trial says of one product: plain data, to be kept and given back as `known`. */
export interface GpuMeasurement {
  readonly key: string;
  readonly schedule: GpuSchedule;
  /** Time over that of the default in the same rounds, median. */
  readonly ratio: number;
}

export interface GpuTuneOptions extends Pick<CompileOptions, 'simplify' | 'threads' | 'schedules'> {
  /** Candidates of each product. Default 32. */
  readonly trials?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Rounds of a trial. Default 5; what is chosen is timed in three times as many. */
  readonly rounds?: number;
  /** Candidates that are timed in turn. Default 4. */
  readonly batch?: number;
  /** False where `measure` knows no times of products: a trial then changes one product alone. Default true. */
  readonly together?: boolean;
  /** Default: those that every device has. */
  readonly limits?: GpuLimits;
  /** Measurements of earlier searches on this device: not repeated. Those of a schedule that cannot be are left aside. */
  readonly known?: Iterable<GpuMeasurement>;
  readonly onMeasurement?: (measurement: GpuMeasurement) => void;
  readonly onProgress?: (progress: TuneProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface TunedGpuProduct {
  readonly key: string;
  /** That share the schedule. */
  readonly nodes: readonly string[];
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  readonly density: number;
  readonly before: GpuSchedule;
  /** The same as `before` where nothing faster was found. */
  readonly after: GpuSchedule;
  /** Time over that of the default, in the last comparison. */
  readonly ratio: number;
}

export interface GpuTuned {
  /** For `compile`. */
  readonly gpuSchedules: GpuSchedules;
  readonly products: readonly TunedGpuProduct[];
  /** Time of the whole model over that with default schedules, in the last comparison; 1 where nothing is changed. */
  readonly ratio: number;
  /** Schedules that were measured, and that were known. */
  readonly measured: number;
  readonly known: number;
}

/** The search in one product. */
interface Search {
  readonly site: ProductSite & { readonly gpu: GpuSchedule };
  readonly nodes: readonly string[];
  /** Not tried yet. */
  readonly left: GpuSchedule[];
  readonly tried: { readonly schedule: GpuSchedule; readonly ratio: number }[];
  readonly next: Random;
}

/**
 * @throws {GrimError} what `compile` throws; the reason of the signal
 */
export async function tuneGpu(graph: Graph, measure: GpuMeasure, options: GpuTuneOptions = {}): Promise<GpuTuned> {
  const { trials = 32, seed = 0, rounds = 5, batch = 4, together = true, limits, signal } = options;
  const { simplify, threads, schedules } = options;
  const how: CompileOptions = {
    ...(simplify !== undefined && { simplify }),
    ...(threads !== undefined && { threads }),
    ...(schedules !== undefined && { schedules }),
    targets: ['wasm', 'webgpu'],
  };
  const candidate = (gpuSchedules: GpuSchedules): GpuCandidate => ({
    gpuSchedules,
    compile: () => compile(graph, { ...how, gpuSchedules }),
  });
  const initial = candidate({});
  const searches = searchesOf(productsOf(graph, how, true), seed, limits);
  const known = knownOf(options.known ?? [], searches);
  const counts = { measured: 0, known: 0 };
  for (let trial = 0, turn = 0; trial < trials; turn++) {
    signal?.throwIfAborted();
    const size = Math.min(batch, trials - trial);
    const moving = together ? searches : searches.slice(turn % searches.length, (turn % searches.length) + 1);
    // All proposals come before any result, so that a search that knows them makes the same ones.
    const proposals = moving.flatMap((search) => {
      const schedules = Array.from({ length: size }, () => propose(search));
      return schedules.flatMap((schedule, i) => (schedule ? [{ search, schedule, i }] : []));
    });
    const fresh = Array.from({ length: size }, (): Record<string, GpuSchedule> => ({}));
    for (const { search, schedule, i } of proposals)
      if (!known.has(keyOf(search.site.key, schedule)))
        Object.assign(fresh[i] as object, { [search.site.key]: schedule });
    const asked = fresh.filter((of) => Object.keys(of).length > 0);
    const [base, ...others] =
      asked.length > 0 ? await measure([initial, ...asked.map(candidate)], { rounds, signal }) : [];
    for (const { search, schedule, i } of proposals) {
      const { key } = search.site;
      const old = known.get(keyOf(key, schedule));
      const at = asked.indexOf(fresh[i] as Record<string, GpuSchedule>);
      const ratio = old ?? ratioOf(others[at]?.products.get(key), base?.products.get(key));
      if (ratio === undefined) continue;
      search.tried.push({ schedule, ratio });
      if (old === undefined) options.onMeasurement?.({ key, schedule, ratio });
      counts[old === undefined ? 'measured' : 'known']++;
    }
    // Where one product is changed at a time, all of them have had a trial after as many turns.
    if (together || (turn + 1) % searches.length === 0) trial += size;
    options.onProgress?.({ trial, trials, products: searches.length, best: bestOf(searches) });
    if (proposals.length === 0 && searches.every(({ left }) => left.length === 0)) break;
  }
  const finalists = searches.map(({ site: { key }, tried }) => {
    const faster = tried.filter(({ ratio }) => ratio < WORTH).sort((a, b) => a.ratio - b.ratio);
    return { key, best: faster.slice(0, FINALISTS).map(({ schedule }) => schedule) };
  });
  const last = { rounds: 3 * rounds, signal };
  const chosen = await finals<GpuSchedule>(finalists, (all, anew) =>
    measure(
      all.map((one, i) => (i === 0 && !anew ? initial : candidate(one))),
      last,
    ),
  );
  const products = searches.map(({ site: { key, rows: m, depth, columns, density, gpu }, nodes }): TunedGpuProduct => {
    const after = chosen.schedules[key] ?? gpu;
    const ratio = chosen.ratios.get(key) ?? 1;
    return { key, nodes, rows: m, depth, columns, density, before: gpu, after, ratio };
  });
  return { gpuSchedules: chosen.schedules, products, ratio: chosen.ratio, ...counts };
}

/** One search for all products of a key. */
function searchesOf(sites: readonly ProductSite[], seed: number, limits: GpuLimits | undefined): readonly Search[] {
  const found = new Map<string, Search & { readonly nodes: string[] }>();
  for (const site of sites) {
    const { key, node, gpu } = site;
    if (!gpu) continue;
    const same = found.get(key);
    if (same) {
      if (!same.nodes.includes(node)) same.nodes.push(node);
      continue;
    }
    const left = gpuCandidates(site, gpu.form === 'lanes', limits).filter((one) => textOf(one) !== textOf(gpu));
    const next = randomOf(seed, key);
    found.set(key, { site: { ...site, gpu }, nodes: [node], left: [...left], tried: [], next });
  }
  return [...found.values()];
}

/** Takes one that was not tried: any, or half of the time one that differs in little from one of the fastest. */
function propose({ left, tried, next }: Search): GpuSchedule | undefined {
  if (left.length === 0) return undefined;
  const best = tried.toSorted((a, b) => a.ratio - b.ratio).slice(0, 4);
  const parent = best[Math.floor(Math.min(next(), next()) * best.length)];
  const start = Math.floor(next() * left.length);
  let at = start;
  if (parent && next() < 0.5) {
    const distances = left.map((one) => distance(one, parent.schedule));
    const least = Math.min(...distances);
    // The first of the nearest from a place that is drawn.
    while (distances[at] !== least) at = (at + 1) % left.length;
  }
  return left.splice(at, 1)[0];
}

/** Knobs that differ; another form is farther than any. */
function distance(a: GpuSchedule, b: GpuSchedule): number {
  if (a.form !== b.form) return 9;
  const knobs = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof GpuSchedule>;
  return [...knobs].filter((knob) => a[knob] !== b[knob]).length;
}

/** Equal for schedules that say the same. */
function textOf(schedule: GpuSchedule): string {
  const said = Object.entries(schedule).filter(([, value]) => value !== undefined);
  return said
    .map(([knob, value]) => `${knob}=${value}`)
    .sort()
    .join(' ');
}

function keyOf(key: string, schedule: GpuSchedule): string {
  return `${key} ${textOf(schedule)}`;
}

/** From whatever stood in a file: what is no measurement of a possible schedule is no measurement. */
function knownOf(measurements: Iterable<GpuMeasurement>, searches: readonly Search[]): ReadonlyMap<string, number> {
  const sites = new Map(searches.map(({ site }) => [site.key, site]));
  const found = new Map<string, number>();
  for (const { key, schedule, ratio } of measurements) {
    const site = sites.get(key);
    if (!site || !(ratio > 0 && Number.isFinite(ratio))) continue;
    try {
      checkGpuSchedule(key, schedule, gpuFormsOf(site, site.gpu.form === 'lanes'));
    } catch {
      continue;
    }
    found.set(keyOf(key, schedule), ratio);
  }
  return found;
}

/** The mean of the best ratios, products that occur often counting as often. */
function bestOf(searches: readonly Search[]): number {
  let [sum, count] = [0, 0];
  for (const { nodes, tried } of searches) {
    sum += nodes.length * Math.min(1, ...tried.map(({ ratio }) => ratio));
    count += nodes.length;
  }
  return count > 0 ? sum / count : 1;
}

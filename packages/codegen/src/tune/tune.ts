/**
 * Finds schedules by measurement: a genetic search over the products of a graph, guided by a cost model.
 *
 * All products are searched at once: one trial is the whole model with another candidate for each of its products, timed in
 * turn with the default, so that candidates meet the caches as they will later and one run measures them all. Equal products
 * are one. What is proposed depends on the seed, the product and what was measured of it, so a search that is given the
 * measurements of an earlier one repeats them without running anything and goes on where that ended.
 *
 * A trial is part luck, and the best of many trials is the luckiest: so with each batch the best of each product is timed once
 * more, up to a few times, and counts with the median of all its times.
 *
 * What luck is left is taken out at the end: the best few of each product are timed again, then the chosen ones together, and what is
 * not faster than the default there is dropped. Where nothing is left, the result is empty: the default.
 * @see GRIM (Niu et al., 2022), parameter auto-tuning by a genetic algorithm
 */
import type { CompiledModel, Graph } from '@grim/ir';
import { type CompileOptions, compile, productsOf } from '../compile.ts';
import { checkSchedule, type ProductSite, type Schedule, type Schedules } from '../schedule.ts';
import { FINALISTS, finals, WORTH } from './finals.ts';
import { estimate, fit, type Predict, type Sample, type Shape, shapeOf } from './predict.ts';
import { median, ratioOf } from './ratios.ts';
import { crossed, mutated, type Random, randomOf, randomSchedule, type Space, scheduleText, spaceOf } from './space.ts';

/** A model to be timed. */
export interface Candidate {
  readonly schedules: Schedules;
  /** Anew at every call. */
  compile(): CompiledModel;
}

/** Times of one candidate, in any unit, by round; round i of all candidates is taken at about the same time. */
export interface Timed {
  /** Of the whole model. */
  readonly run: readonly number[];
  /** By key of a product: of all calls whose `product` it is. */
  readonly products: ReadonlyMap<string, readonly number[]>;
}

/** Times candidates in turn. Rejects with the signal's reason when that is aborted. */
export type Measure = (
  candidates: readonly Candidate[],
  options: { readonly rounds: number; readonly signal: AbortSignal | undefined },
) => Promise<readonly Timed[]>;

/** What one trial says of one product: plain data, to be kept and given back as `known`. */
export interface Measurement {
  readonly key: string;
  readonly schedule: Schedule;
  /** Time over that of the default in the same rounds, lower quartiles. */
  readonly ratio: number;
  /** The n-th time that it is timed again, from 1; absent: the first time of all. */
  readonly again?: number;
}

export interface TuneProgress {
  readonly trial: number;
  readonly trials: number;
  /** Products that differ. */
  readonly products: number;
  /** Estimated time of all products with the best schedules so far, over that with the default ones. */
  readonly best: number;
}

export interface TuneOptions extends Pick<CompileOptions, 'simplify' | 'threads'> {
  /** Candidates of each product. Default 64. */
  readonly trials?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Rounds of a trial. Default 7; what is chosen is timed in three times as many, at least 21. */
  readonly rounds?: number;
  /** Candidates that are timed in turn. Default 4. */
  readonly batch?: number;
  /** Default genetic. Random search is there to compare with. */
  readonly strategy?: 'genetic' | 'random';
  /** Also searches how threads share a product: only where `measure` runs them. Default false. */
  readonly threaded?: boolean;
  /** Measurements of earlier searches on this device: not repeated. Those of a schedule that cannot be are left aside. */
  readonly known?: Iterable<Measurement>;
  readonly onMeasurement?: (measurement: Measurement) => void;
  readonly onProgress?: (progress: TuneProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface TunedProduct {
  readonly key: string;
  /** That share the schedule. */
  readonly nodes: readonly string[];
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  readonly density: number;
  readonly before: Schedule;
  /** The same as `before` where nothing faster was found. */
  readonly after: Schedule;
  /** Time over that of the default, in the last comparison. */
  readonly ratio: number;
}

export interface Tuned {
  /** For `compile`. */
  readonly schedules: Schedules;
  readonly products: readonly TunedProduct[];
  /** Time of the whole model over that with default schedules, in the last comparison; 1 where nothing is changed. */
  readonly ratio: number;
  /** Schedules that were measured, and that were known. */
  readonly measured: number;
  readonly known: number;
}

/** The search in one product. */
interface Search {
  readonly shape: Shape;
  readonly site: ProductSite;
  readonly nodes: readonly string[];
  readonly space: Space;
  readonly next: Random;
  readonly samples: Map<string, Sample>;
  /** All ratios of a sample, by the text of its schedule. */
  readonly ratios: Map<string, number[]>;
}

/** The best of a product is timed again so often, once with each batch. */
const CHECKS = 3;
/**
 * @throws {GrimError} what `compile` throws; the reason of the signal
 */
export async function tune(graph: Graph, measure: Measure, options: TuneOptions = {}): Promise<Tuned> {
  const { trials = 64, seed = 0, rounds = 7, batch = 4, strategy = 'genetic', threaded = false, signal } = options;
  const { simplify, threads } = options;
  const how = { ...(simplify !== undefined && { simplify }), ...(threads !== undefined && { threads }) };
  const candidate = (schedules: Schedules): Candidate => ({
    schedules,
    compile: () => compile(graph, { ...how, schedules }),
  });
  const initial = candidate({});
  const searches = searchesOf(productsOf(graph, how), seed, threaded);
  const known = knownOf(options.known ?? []);
  const counts = { measured: 0, known: 0 };
  /** Measured here and now. */
  const mine = new Set<string>();
  const report = (trial: number) =>
    options.onProgress?.({ trial, trials, products: searches.length, best: bestOf(searches) });
  for (let trial = 0; trial < trials; ) {
    signal?.throwIfAborted();
    const size = Math.min(batch, trials - trial);
    const predict = fit(searches.flatMap(({ samples }) => [...samples.values()]));
    const proposals = searches.map((search) => propose(search, size, strategy, predict));
    const checks = searches.map(checkOf);
    // In a batch: a candidate for each trial, and one of those that are timed again.
    const fresh = Array.from({ length: size + 1 }, (): Record<string, Schedule> => ({}));
    for (const [s, { site }] of searches.entries()) {
      for (const [i, schedule] of (proposals[s] ?? []).entries())
        if (!known.has(measurementKey({ key: site.key, schedule }))) assign(fresh[i], site.key, schedule);
      const check = checks[s];
      if (check && !known.has(measurementKey(check))) assign(fresh[size], site.key, check.schedule);
    }
    const needed = fresh.map((schedules, i) => [i, schedules] as const).filter(([, of]) => Object.keys(of).length > 0);
    // What is only timed again is not worth a batch.
    const alone = needed.length === 1 && needed[0]?.[0] === size;
    const asked = alone ? [] : needed;
    const times =
      asked.length > 0 ? await measure([initial, ...asked.map(([, of]) => candidate(of))], { rounds, signal }) : [];
    const [base, ...others] = times;
    for (const [at, [i, schedules]] of asked.entries())
      for (const [key, schedule] of Object.entries(schedules)) {
        const ratio = ratioOf(others[at]?.products.get(key), base?.products.get(key));
        if (ratio === undefined) continue;
        const again = i === size ? checks.find((check) => check?.key === key)?.again : undefined;
        const measurement = { key, schedule, ratio, ...(again !== undefined && { again }) };
        counts.measured++;
        known.set(measurementKey(measurement), ratio);
        mine.add(measurementKey(measurement));
        options.onMeasurement?.(measurement);
      }
    for (const [s, search] of searches.entries()) {
      const { site } = search;
      const check = checks[s];
      const all = (proposals[s] ?? []).map((schedule): Omit<Measurement, 'ratio'> => ({ key: site.key, schedule }));
      for (const one of check ? [...all, check] : all) {
        const key = measurementKey(one);
        const ratio = known.get(key);
        if (ratio === undefined) continue;
        if (!mine.has(key)) counts.known++;
        addSample(search, one.schedule, ratio);
      }
    }
    trial += size;
    report(trial);
    if (proposals.every((list) => list.length === 0)) break;
  }
  const last = { rounds: Math.max(21, 3 * rounds), signal };
  const chosen = await finals<Schedule>(finalistsOf(searches), (all, anew) =>
    measure(
      all.map((one, i) => (i === 0 && !anew ? initial : candidate(one))),
      last,
    ),
  );
  const products = searches.map(({ site, nodes }): TunedProduct => {
    const { key, rows: m, depth, columns, density, schedule } = site;
    const after = chosen.schedules[key] ?? schedule;
    const ratio = chosen.schedules[key] ? (chosen.ratios.get(key) ?? 1) : 1;
    return { key, nodes, rows: m, depth, columns, density, before: schedule, after, ratio };
  });
  return { schedules: chosen.schedules, products, ratio: chosen.ratio, ...counts };
}

/** One search for all products of a key. */
function searchesOf(sites: readonly ProductSite[], seed: number, threaded: boolean): readonly Search[] {
  const byKey = new Map<string, { site: ProductSite; nodes: string[] }>();
  for (const site of sites) {
    const same = byKey.get(site.key);
    if (same) same.nodes.push(site.node);
    else byKey.set(site.key, { site, nodes: [site.node] });
  }
  return Array.from(byKey.values(), ({ site, nodes }) => {
    const shape = shapeOf(site);
    const samples = new Map([[scheduleText(site.schedule), { shape, schedule: site.schedule, ratio: 1 }]]);
    const space = spaceOf(site, threaded);
    return {
      shape,
      site,
      nodes: [...new Set(nodes)],
      space,
      next: randomOf(seed, site.key),
      samples,
      ratios: new Map(),
    };
  });
}

function assign(schedules: Record<string, Schedule> | undefined, key: string, schedule: Schedule): void {
  if (schedules) schedules[key] = schedule;
}

function addSample({ shape, samples, ratios }: Search, schedule: Schedule, ratio: number): void {
  const text = scheduleText(schedule);
  const all = [...(ratios.get(text) ?? []), ratio];
  ratios.set(text, all);
  samples.set(text, { shape, schedule, ratio: median(all) });
}

/** The best so far, where it has not been timed often enough to believe it. */
function checkOf({
  site,
  samples,
  ratios,
}: Search): (Omit<Measurement, 'ratio'> & { readonly again: number }) | undefined {
  const [best] = [...samples.values()].sort((a, b) => a.ratio - b.ratio);
  if (!best || best.schedule === site.schedule) return undefined;
  const again = ratios.get(scheduleText(best.schedule))?.length ?? 0;
  return again >= 1 && again <= CHECKS ? { key: site.key, schedule: best.schedule, again } : undefined;
}

/** From whatever stood in a file: what is no measurement of a possible schedule is no measurement. */
function knownOf(measurements: Iterable<Measurement>): Map<string, number> {
  const found = new Map<string, number>();
  for (const { key, schedule, ratio, again } of measurements) {
    if (again !== undefined && !(Number.isInteger(again) && again >= 1)) continue;
    try {
      checkSchedule(key, schedule, schedule?.form === 'lanes');
    } catch {
      continue;
    }
    if (ratio > 0 && Number.isFinite(ratio))
      found.set(measurementKey({ key, schedule, ...(again !== undefined && { again }) }), ratio);
  }
  return found;
}

function measurementKey({ key, schedule, again = 0 }: Omit<Measurement, 'ratio'>): string {
  return `${key} ${scheduleText(schedule)} ${again}`;
}

/** Children that are thought of for each that is measured. */
const BROOD = 24;
/** Of the measured ones: drawn from the brood without looking at predictions. */
const CURIOSITY = 0.15;
/** Schedules drawn of the forms that nothing is known of. */
const FIRST_DRAW = 96;
const PARENTS = 8;

/** New schedules, at most `count`; fewer where the space is used up. */
function propose(search: Search, count: number, strategy: 'genetic' | 'random', predict: Predict): readonly Schedule[] {
  const { space, next, samples, shape } = search;
  const found = new Map<string, Schedule>();
  const isNew = (schedule: Schedule) => !samples.has(scheduleText(schedule)) && !found.has(scheduleText(schedule));
  const parents = [...samples.values()].sort((a, b) => a.ratio - b.ratio).slice(0, PARENTS);
  // The better of two, by rank.
  const parent = () => (parents[Math.floor(Math.min(next(), next()) * parents.length)] as Sample).schedule;
  // At first every form has its turn: the cost model may be wrong about one of them by more than about all knobs.
  const untried = () => space.forms.filter((form) => !tried(form));
  const tried = (form: Schedule['form']) =>
    [...samples.values()].some(({ schedule }) => schedule.form === form) ||
    [...found.values()].some((schedule) => schedule.form === form);
  const child = () => {
    const forms = untried();
    if (forms.length > 0) return randomSchedule({ ...space, forms }, next);
    const one = next() < 0.5 ? crossed(parent(), parent(), space, next) : parent();
    return next() < 0.85 ? mutated(one, space, next) : one;
  };
  while (found.size < count) {
    let best: { readonly schedule: Schedule; readonly predicted: number } | undefined;
    const curious = strategy === 'random' || (untried().length === 0 && next() < CURIOSITY);
    const draws = untried().length > 0 ? FIRST_DRAW : BROOD;
    for (let tries = 0, seen = 0; tries < 4 * draws && seen < (curious ? 1 : draws); tries++) {
      const schedule = strategy === 'random' ? randomSchedule(space, next) : child();
      if (!isNew(schedule)) continue;
      seen++;
      const predicted = curious ? 0 : predict(shape, schedule);
      if (!best || predicted < best.predicted) best = { schedule, predicted };
    }
    if (!best) break;
    found.set(scheduleText(best.schedule), best.schedule);
  }
  return [...found.values()];
}

/** A measurement is part luck: halfway between it and what similar schedules say. */
function scoreOf({ shape, schedule, ratio }: Sample, predict: Predict): number {
  return Math.sqrt(ratio * predict(shape, schedule));
}

/** Those of each product that are timed again. */
function finalistsOf(searches: readonly Search[]) {
  const predict = fit(searches.flatMap(({ samples }) => [...samples.values()]));
  return searches.map(({ site, samples }) => {
    const faster = [...samples.values()].filter(({ ratio, schedule }) => ratio < WORTH && schedule !== site.schedule);
    const measured = faster.toSorted((a, b) => a.ratio - b.ratio);
    const expected = faster.toSorted((a, b) => scoreOf(a, predict) - scoreOf(b, predict));
    // In turn, each once: the luckiest, and those that are as fast as schedules like them.
    const best = [...new Set(measured.flatMap((sample, i) => [sample, expected[i] as Sample]))];
    return { key: site.key, best: best.slice(0, FINALISTS).map(({ schedule }) => schedule) };
  });
}

/** The time of all products with the best schedule of each, over that with the default ones; shares are estimated. */
function bestOf(searches: readonly Search[]): number {
  let [before, after] = [0, 0];
  for (const { site, samples, shape, nodes } of searches) {
    const weight = nodes.length * estimate(shape, site.schedule);
    before += weight;
    after += weight * Math.min(...Array.from(samples.values(), ({ ratio }) => ratio));
  }
  return before > 0 ? after / before : 1;
}

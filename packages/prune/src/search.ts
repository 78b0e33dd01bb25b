/**
 * How dense each layer should be, from what every choice costs: the loss of the network when the layer alone is pruned so,
 * measured milliseconds, bytes. Losses are added up, which is what a table of single layers can say; costs add up truly.
 *
 * Layer after layer the best plans so far are joined with the choices of the next one. Plans that another one beats on loss,
 * time and size are dropped; of those that are left, one stays for each small step of time (and of size), the one of
 * least loss. Sums are exact: steps decide which plans are kept, never what they cost.
 * @see Frantar & Alistarh, "SPDY: accurate pruning with speedup guarantees", 2022 (dynamic programming over discretised time)
 */
import { fail } from './errors.ts';
import type { BlockShape } from './options.ts';

/** One way to prune a layer; density 1 leaves it dense. */
export interface LayerChoice {
  readonly density: number;
  /** In which blocks; left out where all choices have the same. */
  readonly block?: BlockShape;
  readonly loss: number;
  readonly ms: number;
  readonly bytes: number;
}

export interface LayerChoices {
  readonly name: string;
  readonly choices: readonly LayerChoice[];
}

/** What all the rest of the network costs, whatever is chosen. */
export interface FixedCost {
  readonly ms: number;
  readonly bytes: number;
}

/** One choice for each layer. */
export interface Plan {
  /** By name of the layer. */
  readonly density: Readonly<Record<string, number>>;
  /** By name of the layer, of those whose choice has one. */
  readonly block: Readonly<Record<string, BlockShape>>;
  /** Sum over the layers. */
  readonly loss: number;
  /** With what is fixed. */
  readonly ms: number;
  readonly bytes: number;
}

/** What a plan must keep to. Without any: the plan of least loss. */
export interface Goal {
  readonly maxMs?: number;
  readonly maxBytes?: number;
}

export interface SearchOptions {
  readonly fixed?: FixedCost;
  /** Steps of time (of size: a sixteenth of them) from the smallest to the largest sum. Default 1024. */
  readonly steps?: number;
}

/**
 * Plans of which none is beaten by another on loss, time and size, by time ascending.
 * @throws {GrimError} GRIM_PRUNE_BAD_OPTION for a layer without choices, or numbers that are not finite
 */
export function tradeOffs(layers: readonly LayerChoices[], options: SearchOptions = {}): readonly Plan[] {
  const { fixed = { ms: 0, bytes: 0 }, steps = 1024 } = options;
  for (const { name, choices } of layers) {
    if (choices.length === 0) fail('GRIM_PRUNE_BAD_OPTION', `search: ${name} has no choices.`, { layer: name });
    for (const { loss, ms, bytes, density } of choices)
      if (![loss, ms, bytes, density].every(Number.isFinite))
        fail('GRIM_PRUNE_BAD_OPTION', `search: ${name} has a choice with a loss, time or size that is no number.`);
  }
  const range = (of: (choice: LayerChoice) => number) =>
    layers.reduce((sum, { choices }) => sum + Math.max(...choices.map(of)) - Math.min(...choices.map(of)), 0);
  const stepMs = range(({ ms }) => ms) / steps;
  const stepBytes = range(({ bytes }) => bytes) / Math.max(1, steps / 16);
  let states: readonly State[] = [{ loss: 0, ms: fixed.ms, bytes: fixed.bytes, choice: 0, before: undefined }];
  for (const { choices } of layers) {
    const kept = new Map<string, State>();
    const useful = undominated(choices.map((choice, index) => ({ ...choice, index })));
    for (const before of states)
      for (const choice of useful) {
        const state = {
          loss: before.loss + choice.loss,
          ms: before.ms + choice.ms,
          bytes: before.bytes + choice.bytes,
          choice: choice.index,
          before,
        };
        const key = `${stepOf(state.ms, stepMs)}:${stepOf(state.bytes, stepBytes)}`;
        const other = kept.get(key);
        if (!other || better(state, other)) kept.set(key, state);
      }
    states = undominated([...kept.values()]);
  }
  return states.map((state) => planOf(state, layers)).sort((a, b) => a.ms - b.ms || a.loss - b.loss);
}

/**
 * Of all plans that keep to the goal, the one of least loss; of equal ones the faster, then the smaller.
 * @param plans  of `tradeOffs`
 * @throws {GrimError} GRIM_PRUNE_BAD_TARGET when none does: says the best that can be had, and which layer costs most there
 */
export function planFor(plans: readonly Plan[], goal: Goal, layers: readonly LayerChoices[]): Plan {
  const { maxMs = Number.POSITIVE_INFINITY, maxBytes = Number.POSITIVE_INFINITY } = goal;
  let best: Plan | undefined;
  for (const plan of plans)
    if (plan.ms <= maxMs && plan.bytes <= maxBytes && (!best || better(plan, best))) best = plan;
  if (best) return best;
  const fits = (own: Goal) =>
    plans.some(({ ms, bytes }) => ms <= (own.maxMs ?? Infinity) && bytes <= (own.maxBytes ?? Infinity));
  const least = (of: (plan: Plan) => number) =>
    plans.reduce((low, plan) => (of(plan) < of(low) ? plan : low), plans[0] as Plan);
  const [fastest, smallest] = [least(({ ms }) => ms), least(({ bytes }) => bytes)];
  const binding = (of: (choice: LayerChoice) => number) =>
    layers
      .map(({ name, choices }) => ({ name, cost: Math.min(...choices.map(of)) }))
      .reduce((most, one) => (one.cost > most.cost ? one : most), { name: '', cost: Number.NEGATIVE_INFINITY });
  const what: string[] = [];
  const details: Record<string, unknown> = {};
  if (goal.maxMs !== undefined && !fits({ maxMs })) {
    const { name, cost } = binding(({ ms }) => ms);
    what.push(
      `${maxMs.toPrecision(3)} ms are asked for, and the best that can be had are ${fastest.ms.toPrecision(3)} ms; most of that, ${cost.toPrecision(3)} ms, takes ${name}`,
    );
    Object.assign(details, { ms: fastest.ms, msLayer: name });
  }
  if (goal.maxBytes !== undefined && !fits({ maxBytes })) {
    const { name, cost } = binding(({ bytes }) => bytes);
    what.push(
      `${maxBytes} bytes are asked for, and the best that can be had are ${Math.ceil(smallest.bytes)}; most of that, ${Math.ceil(cost)}, takes ${name}`,
    );
    Object.assign(details, { bytes: smallest.bytes, bytesLayer: name });
  }
  if (what.length === 0)
    what.push(
      `${maxMs.toPrecision(3)} ms can be had, and ${maxBytes} bytes can be had, but not both: within the bytes, ${least((plan) => (plan.bytes <= maxBytes ? plan.ms : Infinity)).ms.toPrecision(3)} ms`,
    );
  fail('GRIM_PRUNE_BAD_TARGET', `search: ${what.join('; ')}. Ask for less, or give lower densities.`, details);
}

/** Measures a plan: prunes the network so and says what it lost. */
export interface Executor<R> {
  /** How many may run at once: as many as there are workers, or one in process. */
  readonly width: number;
  run(plan: Plan): Promise<R>;
}

/**
 * The fastest plan whose measured drop is small enough, by halving the range of the plans; with several workers, by cutting
 * it into more parts at once. Takes for granted that faster plans do not drop less.
 * @param plans  by time ascending, as of `tradeOffs`
 * @returns the plan and its result; undefined when not even the slowest one is good enough
 */
export async function fastestWithin<R extends { readonly drop: number }>(
  plans: readonly Plan[],
  maxDrop: number,
  { width, run }: Executor<R>,
): Promise<{ readonly plan: Plan; readonly result: R } | undefined> {
  // On time and loss alone: a plan that is only smaller is no step on the way.
  const line = undominated(plans.map((plan) => ({ ...plan, bytes: 0, plan })))
    .map(({ plan }) => plan)
    .sort((a, b) => a.ms - b.ms);
  // Invariant: plans before `low` drop too much, `found` is at `high`.
  let [low, high] = [0, line.length];
  let found: { plan: Plan; result: R } | undefined;
  while (low < high) {
    const count = Math.min(Math.max(1, width), high - low);
    const tried = Array.from({ length: count }, (_, i) => low + Math.floor(((i + 1) * (high - low)) / (count + 1)));
    const places = [...new Set(tried)];
    const results = await Promise.all(places.map((at) => run(line[at] as Plan)));
    const good = results.findIndex(({ drop }) => drop <= maxDrop);
    if (good >= 0) {
      high = places[good] as number;
      found = { plan: line[high] as Plan, result: results[good] as R };
    }
    const bad = good < 0 ? places.length - 1 : good - 1;
    if (bad >= 0) low = (places[bad] as number) + 1;
  }
  return found;
}

interface Costs {
  readonly loss: number;
  readonly ms: number;
  readonly bytes: number;
}

interface State extends Costs {
  readonly choice: number;
  readonly before: State | undefined;
}

function stepOf(value: number, step: number): number {
  return step > 0 ? Math.floor(value / step) : 0;
}

function better(a: Costs, b: Costs): boolean {
  return a.loss !== b.loss ? a.loss < b.loss : a.ms !== b.ms ? a.ms < b.ms : a.bytes < b.bytes;
}

/** Those that no other one beats or equals in all three. */
function undominated<T extends Costs>(all: readonly T[]): readonly T[] {
  const sorted = [...all].sort((a, b) => a.ms - b.ms || a.loss - b.loss || a.bytes - b.bytes);
  const kept: T[] = [];
  // All before are as fast or faster: what counts is the least loss among those that are as small. Steps of a staircase.
  const stairs: T[] = [];
  for (const one of sorted) {
    if (stairs.some(({ loss, bytes }) => loss <= one.loss && bytes <= one.bytes)) continue;
    kept.push(one);
    for (let i = stairs.length - 1; i >= 0; i--)
      if ((stairs[i] as T).loss >= one.loss && (stairs[i] as T).bytes >= one.bytes) stairs.splice(i, 1);
    stairs.push(one);
  }
  return kept;
}

/** Densities and blocks of a plan. */
export function sharesOf(chosen: readonly (readonly [string, LayerChoice])[]): Pick<Plan, 'density' | 'block'> {
  return {
    density: Object.fromEntries(chosen.map(([name, { density }]) => [name, density])),
    block: Object.fromEntries(chosen.flatMap(([name, { block }]) => (block ? [[name, block]] : []))),
  };
}

function planOf(state: State, layers: readonly LayerChoices[]): Plan {
  const chosen: (readonly [string, LayerChoice])[] = [];
  let at: State = state;
  for (const { name, choices } of layers.toReversed()) {
    chosen.unshift([name, choices[at.choice] as LayerChoice]);
    at = at.before as State;
  }
  const { loss, ms, bytes } = state;
  return { ...sharesOf(chosen), loss, ms, bytes };
}

/**
 * Plans worth trying for a goal. What single layers lose does not add up exactly in a network that is pruned layer after
 * layer, each making up for those before it: the plan of least added loss may be worse than the same density everywhere.
 * So each block shape at one density for all stands among the candidates, and a plan half way between the best of those and
 * the optimum of the sum, which in measurements was nearly always the best of all; whoever asks tries them on the network.
 */
import { fail } from './errors.ts';
import type { BlockShape } from './options.ts';
import {
  type FixedCost,
  type Goal,
  type LayerChoice,
  type LayerChoices,
  type Plan,
  planFor,
  sharesOf,
  tradeOffs,
} from './search.ts';

/** What a layer costs in blocks of one shape, by density. */
export interface BlockCurve {
  readonly block: BlockShape;
  /** By density ascending, below 1. Between them: time and bytes on a line, loss on a line over logarithms. */
  readonly points: readonly CurvePoint[];
}

export interface CurvePoint {
  readonly density: number;
  readonly loss: number;
  readonly ms: number;
  readonly bytes: number;
}

export interface LayerCurves {
  readonly name: string;
  readonly dense: { readonly ms: number; readonly bytes: number };
  /** Of every layer in the same order of blocks. */
  readonly curves: readonly BlockCurve[];
}

export interface Candidate {
  readonly kind: 'uniform' | 'optimum' | 'half way';
  /** Of a uniform one. */
  readonly block?: BlockShape;
  readonly plan: Plan;
}

export interface CandidateOptions {
  readonly fixed?: FixedCost;
  /** Steps of the search. Default 512. */
  readonly steps?: number;
}

/** Densities of neighbouring choices. */
const RATIO = 0.87;

/**
 * All keep to the goal, by what the curves say: one density for all in each block shape that can, by loss ascending, the
 * plan of least added loss, and one half way to it.
 * @throws {GrimError} GRIM_PRUNE_BAD_TARGET when none does: says the best that can be had, and which layer costs most there;
 *   GRIM_PRUNE_BAD_OPTION for layers without curves
 */
export function candidatePlans(
  layers: readonly LayerCurves[],
  goal: Goal,
  { fixed = { ms: 0, bytes: 0 }, steps = 512 }: CandidateOptions = {},
): readonly Candidate[] {
  const choices = choicesOf(layers);
  // Without a goal of its own, a plan that is only smaller or only faster is no step on the way.
  const seen = choices.map((layer) => ({
    ...layer,
    choices: layer.choices.map((choice) => ({
      ...choice,
      ms: goal.maxMs === undefined ? 0 : choice.ms,
      bytes: goal.maxBytes === undefined ? 0 : choice.bytes,
    })),
  }));
  const plans = tradeOffs(seen, {
    fixed: { ms: goal.maxMs === undefined ? 0 : fixed.ms, bytes: goal.maxBytes === undefined ? 0 : fixed.bytes },
    steps,
  });
  const best = planFor(plans, goal, seen);
  const optimum = planAt(layers, (name) => [best.block[name], best.density[name] ?? 1], fixed);
  const keeps = ({ ms, bytes }: Plan) =>
    ms <= (goal.maxMs ?? Number.POSITIVE_INFINITY) && bytes <= (goal.maxBytes ?? Number.POSITIVE_INFINITY);
  const uniform: Candidate[] = [];
  for (const { block } of layers[0]?.curves ?? []) {
    const plan = densest((density) => uniformPlan(layers, block, density, fixed), keeps, lowestOf(layers));
    if (plan) uniform.push({ kind: 'uniform', block, plan });
  }
  uniform.sort((a, b) => a.plan.loss - b.plan.loss);
  const [even] = uniform;
  const half =
    even &&
    densest(
      (share) =>
        planAt(
          layers,
          (name) => [
            best.block[name] ?? even.block,
            share * Math.sqrt((even.plan.density[name] ?? 1) * (best.density[name] ?? 1)),
          ],
          fixed,
        ),
      keeps,
      0.01,
      4,
    );
  return [...uniform, ...(half ? [{ kind: 'half way' as const, plan: half }] : []), { kind: 'optimum', plan: optimum }];
}

/** The same blocks at the same density in every layer. */
export function uniformPlan(
  layers: readonly LayerCurves[],
  block: BlockShape,
  density: number,
  fixed: FixedCost = { ms: 0, bytes: 0 },
): Plan {
  return planAt(layers, () => [block, density], fixed);
}

/** The plan of the largest number that keeps to the goal, by bisection; undefined where not even `lowest` does. */
function densest(
  of: (value: number) => Plan,
  keeps: (plan: Plan) => boolean,
  lowest: number,
  highest = 1,
): Plan | undefined {
  if (keeps(of(highest))) return of(highest);
  let found = of(lowest);
  if (!keeps(found)) return undefined;
  let [low, high] = [lowest, highest];
  for (let step = 0; step < 40; step++) {
    const middle = Math.sqrt(low * high);
    const plan = of(middle);
    if (keeps(plan)) [low, found] = [middle, plan];
    else high = middle;
  }
  return found;
}

function lowestOf(layers: readonly LayerCurves[]): number {
  return Math.max(...layers.flatMap(({ curves }) => curves.map(({ points }) => points[0]?.density ?? 1)));
}

function planAt(
  layers: readonly LayerCurves[],
  of: (name: string) => readonly [BlockShape | undefined, number],
  fixed: FixedCost,
): Plan {
  const chosen = layers.map((layer): readonly [string, LayerChoice] => {
    const [block, density] = of(layer.name);
    const curve = block && layer.curves.find((one) => one.block.rows === block.rows && one.block.cols === block.cols);
    return [layer.name, curve ? choiceAt(layer, curve, density) : denseChoice(layer)];
  });
  const sum = (cost: (choice: LayerChoice) => number) => chosen.reduce((total, [, choice]) => total + cost(choice), 0);
  return {
    ...sharesOf(chosen),
    loss: sum(({ loss }) => loss),
    ms: fixed.ms + sum(({ ms }) => ms),
    bytes: fixed.bytes + sum(({ bytes }) => bytes),
  };
}

function denseChoice({ dense }: LayerCurves): LayerChoice {
  return { density: 1, loss: 0, ...dense };
}

/** Never below the lowest density that was measured. */
function choiceAt(layer: LayerCurves, { block, points }: BlockCurve, wanted: number): LayerChoice {
  const density = Math.min(1, Math.max(points[0]?.density ?? 1, wanted));
  const above = points.findIndex((point) => point.density >= density);
  const high = above < 0 ? undefined : points[above];
  const low = above === 0 ? high : points[(above < 0 ? points.length : above) - 1];
  if (density >= 1 || !low) return denseChoice(layer);
  const line = (a: number, b: number, from: number, to: number) =>
    to > from ? a + ((density - from) * (b - a)) / (to - from) : a;
  if (!high) {
    // Up to the dense layer; no loss there.
    const { ms, bytes } = layer.dense;
    return {
      ...{ density, block },
      loss: low.loss * ((1 - density) / (1 - low.density)) ** 2,
      ms: line(low.ms, ms, low.density, 1),
      bytes: line(low.bytes, bytes, low.density, 1),
    };
  }
  const share = high.density > low.density ? Math.log(density / low.density) / Math.log(high.density / low.density) : 0;
  const loss =
    low.loss > 0 && high.loss > 0
      ? low.loss ** (1 - share) * high.loss ** share
      : low.loss + share * (high.loss - low.loss);
  return {
    ...{ density, block, loss },
    ms: line(low.ms, high.ms, low.density, high.density),
    bytes: line(low.bytes, high.bytes, low.density, high.density),
  };
}

function choicesOf(layers: readonly LayerCurves[]): readonly LayerChoices[] {
  return layers.map((layer) => {
    const [curve] = layer.curves;
    if (!curve || layer.curves.some(({ points }) => points.length === 0))
      fail('GRIM_PRUNE_BAD_OPTION', `search: ${layer.name} has no curves.`, { layer: layer.name });
    const choices = [denseChoice(layer)];
    for (const one of layer.curves) {
      const lowest = one.points[0]?.density ?? 1;
      for (let density = RATIO; density > lowest; density *= RATIO) choices.push(choiceAt(layer, one, density));
      choices.push(choiceAt(layer, one, lowest));
    }
    return { name: layer.name, choices };
  });
}

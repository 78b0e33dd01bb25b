/**
 * Which weights stay: by magnitude, by magnitude times the size of the input (Wanda), or by layerwise ADMM, which looks
 * for the pattern whose best weights lose the least output.
 * @see Sun et al., "A simple and effective pruning approach for large language models" (Wanda), 2024
 * @see Boža, "Fast and effective weight update for pruned large language models" (ADMM on a layer), 2024
 * @see Boyd et al., "Distributed optimization … via ADMM", 2011, 3.1 and 3.4.1 (scaled form, varying ρ)
 */
import { type Matrix, projectBcrInSteps } from '@grim/bcr';
import type { BcrPattern, BlockGrid } from '@grim/ir';
import { cholesky, type Factor, solve } from './linalg/cholesky.ts';
import type { Problem } from './problem.ts';
import { patternOfMask, projector } from './projector.ts';
import type { Pulse } from './pulse.ts';

export type Criterion = 'magnitude' | 'wanda' | 'admm';

/** How ADMM came to the mask of a layer, iteration by iteration. */
export interface MaskSearch {
  /** ‖V − D‖ / ‖V‖: how far the weights are from their projection. */
  readonly primal: readonly number[];
  /** ρ ‖D − D before‖ / ‖V‖. */
  readonly dual: readonly number[];
  /** Share of the mask that moved. */
  readonly moved: readonly number[];
}

export interface Selection {
  readonly criterion: Criterion;
  readonly grid: BlockGrid;
  readonly density: number;
  /** Blocks keep all their rows. */
  readonly columnsOnly: boolean;
  /** What an error in each row is worth, [m]: the gain of the normalisation behind it. */
  readonly gain: Float64Array;
  readonly iterations?: number;
  /** Chooses the survivors in place of the blocks; see `OneShotOptions.choose`. */
  readonly choose?: (values: Float64Array) => Uint8Array;
  /** Told at the end of ADMM. */
  readonly onSearch?: (search: MaskSearch) => void;
}

/** @param dense  the weights as they are, [m, k]: what magnitude looks at */
export async function select(
  problem: Problem | undefined,
  dense: Float64Array,
  selection: Selection,
  pulse: Pulse,
): Promise<BcrPattern> {
  const { criterion, gain } = selection;
  const { rows: m, cols: k } = selection.grid;
  if (criterion === 'magnitude' || !problem) return pattern(dense, selection, pulse);
  const scale = inputScale(problem);
  const perGroup = m / problem.groups;
  const scaled = problem.optimum.map((v, at) => {
    const row = Math.floor(at / k);
    const d = (scale[Math.floor(row / perGroup)] as Float64Array)[at - row * k] as number;
    return v * d * (gain[row] as number);
  });
  if (criterion === 'wanda') return pattern(scaled, selection, pulse);
  return pattern(await admm(problem, scaled, scale, selection, pulse), selection, pulse);
}

/** Spreads of the inputs: the square roots of the diagonal of H. */
function inputScale({ h, k }: Problem): readonly Float64Array[] {
  return h.map((own) => Float64Array.from({ length: k }, (_, i) => Math.sqrt(own[i * k + i] as number)));
}

/** The pattern of most energy. */
async function pattern(
  values: Float64Array,
  { grid, density, columnsOnly, choose }: Selection,
  pulse: Pulse,
): Promise<BcrPattern> {
  if (choose) return patternOfMask(grid, choose(values));
  const { rows, cols } = grid;
  const matrix: Matrix = { rows, cols, data: new Float32Array(rows * cols) };
  const steps = projectBcrInSteps(matrix, grid, {
    ...{ density, scores: squares(values) },
    ...(columnsOnly && { keepRows: 1 }),
  });
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await pulse.beat(value);
  }
}

/**
 * ADMM in the scaled form: V fits the outputs, D lies on the pattern, U adds up their differences; ρ grows as the mask
 * settles, so that V and D meet. Inputs are scaled to unit variance first.
 * @param start  the optimum, scaled, [m, k]
 * @returns what the last projection saw
 */
async function admm(
  { m, k, groups, h, g }: Problem,
  start: Float64Array,
  scale: readonly Float64Array[],
  { grid, density, columnsOnly, gain, iterations = 100, choose, onSearch }: Selection,
  pulse: Pulse,
): Promise<Float64Array> {
  const perGroup = m / groups;
  const unit = h.map((own, group) => {
    const d = scale[group] as Float64Array;
    return own.map((v, at) => {
      const i = Math.floor(at / k);
      return v / ((d[i] as number) * (d[at - i * k] as number));
    });
  });
  // A · H in scaled space: what V is pulled towards.
  const target = g.map((v, at) => {
    const row = Math.floor(at / k);
    const d = (scale[Math.floor(row / perGroup)] as Float64Array)[at - row * k] as number;
    return (v / d) * (gain[row] as number);
  });
  const onBlocks = projector(grid, columnsOnly);
  const project = async (values: Float64Array, beat: Pulse): Promise<Uint8Array> =>
    choose ? choose(values) : onBlocks(squares(values), Math.floor(density * m * k), beat);

  let rho = 0.1;
  let factors: Factor[] | undefined;
  let mask = await project(start, pulse);
  const budget = choose ? mask.reduce((sum, one) => sum + one, 0) : Math.floor(density * m * k);
  let last = mask;
  const d = start.map((v, i) => (mask[i] ? v : 0));
  const u = new Float64Array(m * k);
  let seen = start;
  const v = new Float64Array(m * k);
  const [primal, dual, flips]: [number[], number[], number[]] = [[], [], []];
  let previous = mask;
  for (let step = 0; step < iterations; step++) {
    if (!factors) {
      factors = [];
      for (const own of unit) factors.push(await cholesky(own, k, { beat: () => pulse.beat(step / iterations) }, rho));
    }
    for (let i = 0; i < v.length; i++) v[i] = (target[i] as number) + rho * (d[i] as number) - (u[i] as number);
    for (let group = 0; group < groups; group++) {
      const part = v.subarray(group * perGroup * k, (group + 1) * perGroup * k);
      await solve(factors[group] as Factor, part, perGroup, { beat: () => pulse.beat(step / iterations) });
    }
    seen = v.map((value, i) => value + (u[i] as number) / rho);
    mask = await project(seen, { beat: () => pulse.beat(step / iterations) });
    let [size, apart, changed, flipped] = [0, 0, 0, 0];
    for (let i = 0; i < v.length; i++) {
      const value = v[i] as number;
      const next = mask[i] ? (seen[i] as number) : 0;
      changed += (next - (d[i] as number)) ** 2;
      apart += (value - next) ** 2;
      size += value ** 2;
      if (mask[i] !== previous[i]) flipped++;
      d[i] = next;
      u[i] = (u[i] as number) + rho * (value - next);
    }
    previous = mask;
    const norm = Math.sqrt(size) || 1;
    primal.push(rounded(Math.sqrt(apart) / norm));
    dual.push(rounded((rho * Math.sqrt(changed)) / norm));
    flips.push(rounded(flipped / Math.max(1, mask.length)));
    if (step % 3 === 2) {
      let moved = 0;
      for (let i = 0; i < mask.length; i++) if (mask[i] !== last[i]) moved++;
      last = mask;
      // Faster while the mask moves a lot, as in the exploration this schedule was measured in.
      rho *= moved > 0.1 * budget ? 1.3 : moved > 0.005 * budget ? 1.2 : 1.1;
      factors = undefined;
      if (moved === 0 && step > 6) break;
    }
    await pulse.beat((step + 1) / iterations);
  }
  onSearch?.({ primal, dual, moved: flips });
  return seen;
}

/** Three digits: it is kept with each layer. */
function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

function squares(values: Float64Array): Float64Array {
  return values.map((v) => v * v);
}

/**
 * How dense each layer should be: the same budget over all, spent where it buys the most.
 *
 * Each layer alone is pruned to some levels (scores of inputs and weights, exact refit, mean made up for) and the
 * difference of the network's outputs is measured; one price per unit of the budget (a Lagrange multiplier) then picks a
 * level for each, which is optimal for a sum of independent losses up to the step between levels. What the steps leave
 * over is shared out in proportion.
 */
import type { Graph } from '@grim/ir';
import type { Calibrator } from './calibrator.ts';
import { fail } from './errors.ts';
import type { OneShotOptions } from './options.ts';
import { sensitivities } from './sensitivity.ts';

export interface AllocateOptions
  extends Pick<
    OneShotOptions,
    'block' | 'columnsOnly' | 'damping' | 'samples' | 'lossBatches' | 'seed' | 'signal' | 'onProgress'
  > {
  /** Of all layers together, 0 to 1: what uniform pruning would keep. */
  readonly density: number;
  /** What the density counts. Default `macs`. */
  readonly budget?: 'macs' | 'weights';
  /** Densities to try, 1 among them or not. */
  readonly levels?: readonly number[];
}

export interface Allocation {
  /** By layer; for `density` of {@link OneShotOptions}. */
  readonly density: Readonly<Record<string, number>>;
  /** What was measured: the loss of each layer pruned alone, at each level. */
  readonly table: readonly { readonly name: string; readonly cost: number; readonly losses: readonly number[] }[];
  /** Descending; the first is 1. */
  readonly levels: readonly number[];
}

/**
 * @throws {GrimError} as `pruneOneShot`; GRIM_PRUNE_BAD_TARGET also when the budget is below the lowest level everywhere
 * @example
 * const { density } = await allocateDensity(dense, calibrator, { density: 0.25, budget: 'macs' });
 * await pruneOneShot(dense, calibrator, { density });
 */
export async function allocateDensity(
  graph: Graph,
  calibrator: Calibrator,
  options: AllocateOptions,
): Promise<Allocation> {
  const {
    density,
    budget = 'macs',
    block = { rows: 2, cols: Number.POSITIVE_INFINITY },
    levels: own,
    ...rest
  } = options;
  const levels = [...new Set([1, ...(own ?? [0.7, 0.5, 0.4, 0.3, 0.22, 0.16, 0.11, 0.07, 0.045])])].sort(
    (a, b) => b - a,
  );
  const lowest = levels.at(-1) ?? 1;
  if (levels.some((level) => !(level > 0 && level <= 1)))
    fail('GRIM_PRUNE_BAD_TARGET', `allocate: levels are ${levels.join(', ')}; numbers above 0, up to 1, are needed.`);
  if (!(density > 0 && density <= 1) || density < lowest)
    fail(
      'GRIM_PRUNE_BAD_TARGET',
      `allocate: density is ${density}; from ${lowest}, the lowest level, to 1 is needed. Give lower levels.`,
      { density, lowest },
    );
  const found = await sensitivities(graph, calibrator, {
    ...rest,
    choices: () => levels.map((level) => ({ block, density: level, probe: true })),
  });
  const table = found.map(({ name, macs, weights, costs }) => {
    let most = 0;
    const losses = costs.map(({ loss }) => {
      most = Math.max(most, loss);
      return most;
    });
    return { name, cost: budget === 'macs' ? macs : weights, losses };
  });
  return { density: share(table, levels, density), table, levels };
}

function share(
  table: readonly { readonly name: string; readonly cost: number; readonly losses: readonly number[] }[],
  levels: readonly number[],
  density: number,
): Record<string, number> {
  const total = table.reduce((sum, { cost }) => sum + cost, 0);
  const pick = (price: number): number[] =>
    table.map(({ cost, losses }) => {
      let best = 0;
      let least = Number.POSITIVE_INFINITY;
      losses.forEach((loss, i) => {
        const value = loss + (price * (levels[i] as number) * cost) / total;
        if (value < least) [best, least] = [i, value];
      });
      return levels[best] as number;
    });
  const spent = (chosen: readonly number[]) =>
    table.reduce((sum, { cost }, i) => sum + cost * (chosen[i] as number), 0) / total;
  let low = 1e-12;
  let high = 1e12;
  for (let step = 0; step < 100; step++) {
    const price = Math.sqrt(low * high);
    if (spent(pick(price)) > density) low = price;
    else high = price;
  }
  let chosen = pick(high);
  // Twice, as a layer that reaches 1 passes on what it cannot use.
  for (let round = 0; round < 4; round++) {
    const free =
      table.reduce((sum, { cost }, i) => sum + ((chosen[i] as number) < 1 ? cost * (chosen[i] as number) : 0), 0) /
      total;
    const left = density - spent(chosen);
    if (free <= 0 || left <= 0) break;
    chosen = chosen.map((level) => (level < 1 ? Math.min(1, level * (1 + left / free)) : 1));
  }
  return Object.fromEntries(table.map(({ name }, i) => [name, chosen[i] as number]));
}

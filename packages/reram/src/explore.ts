/**
 * Co-design: every combination of pruning, array, cells, converters and storage, with the accuracy it is measured at and
 * what it costs, and those that no other combination beats.
 *
 * Accuracy is the caller's to measure, on the integers that a design would really store; everything else is computed here.
 */

import type { Graph } from '@grim/ir';
import { type HardwareDesign, type NetworkCost, networkCost } from './cost.ts';
import { checkInteger, checkReal, fail } from './errors.ts';
import { fitColumns } from './fit.ts';
import type { Crossbar, Storage } from './mapping.ts';
import { type Feed, type LinearPart, type QuantisedNetwork, quantiseNetwork } from './network.ts';
import { mapNetwork, vectorCounts } from './summary.ts';

/** How signs are stored: as `Storage` has it, `analog` for differential pairs side by side whose currents are subtracted. */
export type StorageChoice = Storage | 'analog';

export interface DesignPoint {
  /** Most non-zeros of either sign in a column that the network was pruned to; undefined: not pruned. */
  readonly nonZeros: number | undefined;
  readonly rows: number;
  readonly cols: number;
  readonly cellBits: number;
  readonly adcBits: number;
  readonly storage: StorageChoice;
  /** Sign included; undefined: those of the crossbar that points change. */
  readonly weightBits?: number;
  /** Share of the inputs that structured pruning left, whole arrays of them; undefined: none are gone. */
  readonly inputsKept?: number;
}

export interface DesignSpace {
  readonly nonZeros: readonly (number | undefined)[];
  /** Default: no structured pruning. */
  readonly inputsKept?: readonly (number | undefined)[];
  /** Default: the crossbar's. */
  readonly weightBits?: readonly number[];
  readonly rows: readonly number[];
  readonly cols?: readonly number[];
  readonly cellBits: readonly number[];
  readonly adcBits: readonly number[];
  readonly storage: readonly StorageChoice[];
}

export interface DesignResult extends DesignPoint {
  /** Every column is certified for these converters. */
  readonly lossless: boolean;
  /** Bits that would be. */
  readonly exactBits: number;
  readonly accuracy: number;
  readonly energyUj: number;
  readonly areaMm2: number;
  readonly powerMw: number;
  readonly inferencesPerS: number;
  readonly gopsPerW: number;
  readonly gopsPerMm2: number;
  readonly arrays: number;
  readonly cost: NetworkCost;
}

export interface ExploreOptions {
  /** The crossbar that points change. */
  readonly crossbar: Crossbar;
  readonly design: HardwareDesign;
  readonly calibration: readonly Feed[];
  /** The network pruned for a point; called once for each (nonZeros, rows, inputsKept). */
  readonly graphOf: (
    nonZeros: number | undefined,
    rows: number,
    inputsKept: number | undefined,
  ) => Promise<Graph> | Graph;
  /**
   * Accuracy of a network on a crossbar, 0 to 1. Where the point is lossless, plain integer arithmetic has the same
   * accuracy; where it is not, converters clip. `compact`: lines without weights are left out of the arrays.
   */
  readonly accuracyOf: (
    network: QuantisedNetwork,
    crossbar: Crossbar,
    lossless: boolean,
    compact: boolean,
  ) => Promise<number> | number;
  /** Copies of slow layers, as `duplicateLayers` of the summary; default: none. */
  readonly onResult?: (result: DesignResult, done: number, total: number) => void;
  readonly signal?: { readonly aborted: boolean; readonly reason?: unknown };
}

/** The crossbar of a point. */
export function crossbarAt(point: DesignPoint, base: Crossbar): Crossbar {
  const { rows, cols, cellBits, adcBits, storage, weightBits = base.weightBits } = point;
  const { flip, inputSum, subtract, interleaved, zeroPair, ...plain } = base;
  return {
    ...plain,
    ...{ rows, cols, cellBits, weightBits, storage: storage === 'analog' ? 'differential' : storage },
    ...(storage === 'analog' && { subtract: 'analog', interleaved: true }),
    // Biased storage at its best: ISAAC's encodings.
    ...(storage === 'offset' && { flip: true, inputSum: 'unit-column' }),
    adc: { model: 'uniform', bits: adcBits, range: 'unit-step' },
  };
}

/** Every point of a space, those that share a pruned network together. */
export function designPoints(space: DesignSpace): readonly DesignPoint[] {
  const { cols = [128], inputsKept = [undefined], weightBits = [undefined] } = space;
  const points: DesignPoint[] = [];
  for (const kept of inputsKept)
    for (const nonZeros of space.nonZeros)
      for (const rows of space.rows)
        for (const columns of cols)
          for (const width of weightBits)
            for (const cellBits of space.cellBits)
              for (const storage of space.storage)
                for (const adcBits of space.adcBits)
                  points.push({
                    ...{ nonZeros, rows, cols: columns, cellBits, adcBits, storage },
                    ...(width !== undefined && { weightBits: width }),
                    ...(kept !== undefined && { inputsKept: kept }),
                  });
  for (const { nonZeros, rows, inputsKept: kept } of points) {
    if (kept !== undefined) checkReal('GRIM_RERAM_BAD_TARGET', 'explore: inputsKept', kept, 0.001, 1);
    checkInteger('GRIM_RERAM_BAD_TARGET', 'explore: rows', rows, 1, 2 ** 16);
    if (nonZeros !== undefined) checkInteger('GRIM_RERAM_BAD_TARGET', 'explore: nonZeros', nonZeros, 1, 2 ** 16);
  }
  if (points.length === 0)
    fail('GRIM_RERAM_BAD_TARGET', 'explore: the space has no points; each list needs one value.');
  return points;
}

/**
 * Measures every point of a space. Integers of storage with a column for each sign are fitted to the point's converters, so
 * that these points lose nothing in conversion; what fitting costs shows in the accuracy.
 * @throws {GrimError} what mapping, fitting and costs throw; the signal's reason when cancelled
 */
export async function explore(space: DesignSpace, options: ExploreOptions): Promise<readonly DesignResult[]> {
  const { design, calibration, graphOf, accuracyOf, onResult, signal } = options;
  const points = designPoints(space);
  const results: DesignResult[] = [];
  const graphs = new Map<string, Promise<Graph>>();
  // What a pruned network's layers meet does not depend on the arrays.
  const grams = new Map<string, Float64Array[]>();
  // Positions do not depend on the integers.
  let counts: ReadonlyMap<string, number> | undefined;
  const biased = new Map<string, Promise<QuantisedNetwork>>();
  for (const point of points) {
    if (signal?.aborted) throw signal.reason;
    const { nonZeros, rows, inputsKept } = point;
    const key = `${nonZeros}/${rows}/${inputsKept}`;
    const compact = inputsKept !== undefined;
    const pruned = graphs.get(key) ?? Promise.resolve(graphOf(nonZeros, rows, inputsKept));
    graphs.set(key, pruned);
    const graph = await pruned;
    const crossbar = crossbarAt(point, options.crossbar);
    const { weightBits, inputBits } = crossbar;
    const fits = point.storage !== 'offset';
    const known = grams.get(key) ?? [];
    grams.set(key, known);
    let layer = 0;
    const make = () =>
      quantiseNetwork(graph, calibration, {
        ...{ weightBits, inputBits },
        ...(fits && {
          integersOf: (w, _name, gram) => {
            const own = known[layer] ?? gram();
            known[layer++] = own;
            return fitColumns(w, crossbar, point.adcBits, { compact, gram: own });
          },
        }),
      });
    // Integers of biased storage are the same for all converters.
    const width = `${key}/${weightBits}`;
    const shared = fits ? undefined : (biased.get(width) ?? Promise.resolve().then(make));
    if (shared) biased.set(width, shared);
    const network = shared ? await shared : make();
    const own = counts ?? byName(vectorCounts(network, calibration[0] ?? {}));
    counts = own;
    const parts = [...network.layers.values()].flat();
    const positions = new Map<LinearPart, number>(parts.map((part) => [part, own.get(part.name) ?? 0]));
    const mapped = mapNetwork(network, crossbar, positions, point.adcBits, { compact });
    const exactBits = mapped.layers.reduce((most, layer) => Math.max(most, layer.exactBits), 0);
    const lossless = exactBits <= point.adcBits;
    const accuracy = await accuracyOf(network, crossbar, lossless, compact);
    const cost = networkCost(mapped.summary, design);
    const result: DesignResult = {
      ...point,
      ...{ lossless, exactBits, accuracy, cost },
      energyUj: cost.energyPj * 1e-6,
      areaMm2: cost.areaUm2 * 1e-6,
      powerMw: cost.powerMw,
      inferencesPerS: cost.inferencesPerS,
      gopsPerW: cost.gopsPerW,
      gopsPerMm2: cost.gopsPerMm2,
      arrays: cost.arrays,
    };
    results.push(result);
    onResult?.(result, results.length, points.length);
  }
  return results;
}

function byName(counts: ReadonlyMap<LinearPart, number>): ReadonlyMap<string, number> {
  return new Map(Array.from(counts, ([part, count]) => [part.name, count]));
}

/**
 * Results that no other beats: higher or equal accuracy at lower or equal energy and area, one of them strictly.
 * @returns in the order given
 */
export function paretoFront<R extends Pick<DesignResult, 'accuracy' | 'energyUj' | 'areaMm2'>>(
  results: readonly R[],
): readonly R[] {
  const beats = (a: R, b: R) =>
    a.accuracy >= b.accuracy &&
    a.energyUj <= b.energyUj &&
    a.areaMm2 <= b.areaMm2 &&
    (a.accuracy > b.accuracy || a.energyUj < b.energyUj || a.areaMm2 < b.areaMm2);
  return results.filter((one) => !results.some((other) => beats(other, one)));
}

/**
 * Pruning while training, by a reweighted group lasso: every row and every column of every block is pulled towards zero, the
 * harder the smaller it already is, so that each either goes or is left nearly alone. No share is set per layer: one bar for
 * all groups of all layers decides what is cut in the end.
 *
 * Σ log(‖W_g‖² + ε) is majorised where the weights stand by Σ ‖W_g‖² / (‖W_g now‖² + ε): a weight decay of its own for each
 * element, renewed now and then. Energies are taken relative to the mean group of the layer, so that the strength is that
 * of an ordinary weight decay, whatever the layer's scale.
 * @see Candès, Wakin & Boyd, "Enhancing sparsity by reweighted ℓ1 minimization", 2008
 * @see Ma et al., "BLK-REW: a unified block-based DNN pruning framework using reweighted regularization", 2020
 */
import { blockAt } from '@grim/bcr';
import { type BcrPattern, type Graph, patternMask } from '@grim/ir';
import { fail } from './errors.ts';
import {
  asWeight,
  type Chosen,
  cutAndRetrain,
  matrixIn,
  type PrunedMatrix,
  prunedMatrices,
  quiet,
  type RetrainOptions,
  survivorsOf,
  type Target,
  type TrainedResult,
} from './masked.ts';
import type { CancelSignal } from './pulse.ts';
import type { Penalty, Trainer } from './trainer.ts';

export interface ReweightedOptions extends Pick<Target, 'block'> {
  /** Share of all weights of the pruned layers that survives; layers get more or less of it as the training finds. */
  readonly density: number;
  /** Layers that are pruned, by name; default: all but the exempt ones. */
  readonly layers?: readonly string[];
  /** Weight decay of a group of average energy. Default 1e-4. */
  readonly strength?: number;
  /** Added to a group's energy, as a share of the mean group's. Default 1e-3. */
  readonly epsilon?: number;
  /** How often the penalties are made anew, and the steps after each time (default: an epoch). Default 4. */
  readonly refreshes?: number;
  readonly steps?: number;
  readonly rate: number | ((done: number) => number);
  /** A graph that was pruned in one shot: the first penalties are those of its weights, hardest where it has zeros. */
  readonly start?: Graph;
  readonly retrain: RetrainOptions;
  readonly signal?: CancelSignal;
  readonly onRefresh?: (report: ReweightedRound) => void;
}

/** After the steps that follow a refresh. */
export interface ReweightedRound {
  /** From 0. */
  readonly refresh: number;
  readonly loss: number;
  /** Share of the groups with less than a hundredth of the mean energy of their layer's groups: on their way out. */
  readonly vanishing: number;
}

export interface ReweightedResult extends TrainedResult {
  readonly history: readonly ReweightedRound[];
}

/**
 * @throws {GrimError} GRIM_PRUNE_BAD_TARGET, GRIM_PRUNE_BAD_OPTION, GRIM_PRUNE_NO_LAYER; what the trainer throws; the
 *   signal's reason
 */
export async function pruneReweighted(trainer: Trainer, options: ReweightedOptions): Promise<ReweightedResult> {
  const { density, strength = 1e-4, epsilon = 1e-3, refreshes = 4, steps = trainer.stepsPerEpoch, rate } = options;
  const { signal } = options;
  for (const [name, value] of Object.entries({ strength, epsilon }))
    if (!(value > 0 && value < Number.POSITIVE_INFINITY))
      fail('GRIM_PRUNE_BAD_OPTION', `reweighted: ${name} is ${value}; a positive number is needed.`);
  for (const [name, value] of Object.entries({ refreshes, steps }))
    if (!(Number.isInteger(value) && value > 0))
      fail('GRIM_PRUNE_BAD_OPTION', `reweighted: ${name} is ${value}; a positive integer is needed.`);
  const matrices = prunedMatrices(await trainer.graph(), {
    density: options.layers ? Object.fromEntries(options.layers.map((name) => [name, density])) : density,
    ...(options.block && { block: options.block }),
  });
  const names = matrices.map(({ weight }) => weight);
  for (const { weight, places } of options.start ? matrices : [])
    if (options.start?.weights.get(weight)?.data.length !== places.length)
      fail('GRIM_PRUNE_BAD_OPTION', `reweighted: the start has no weight ${weight} of ${places.length} elements.`);
  const read = async () => {
    const values = await trainer.weights(names);
    return matrices.map((matrix) => energiesOf(matrixIn(values.get(matrix.weight) as Float32Array, matrix), matrix));
  };
  const { start } = options;
  let groups = start
    ? matrices.map((matrix) =>
        energiesOf(matrixIn(start.weights.get(matrix.weight)?.data as Float32Array, matrix), matrix),
      )
    : await read();
  const history: ReweightedRound[] = [];
  for (let refresh = 0; refresh < refreshes; refresh++) {
    const penalties = new Map<string, Penalty>();
    matrices.forEach((matrix, i) => {
      const decay = decayOf(groups[i] as Groups, matrix, strength, epsilon);
      penalties.set(matrix.weight, { strength: asWeight(decay, matrix) });
    });
    const report = await trainer.train({
      steps,
      rate: typeof rate === 'function' ? (step) => rate(step / steps) : rate,
      penalties,
      ...(signal && { signal }),
    });
    groups = await read();
    const all = groups.flatMap(({ rows, cols, meanRow, meanCol }) => [
      ...Array.from(rows, (energy) => energy < 0.01 * meanRow),
      ...Array.from(cols, (energy) => energy < 0.01 * meanCol),
    ]);
    const round = { refresh, loss: report.loss, vanishing: all.filter(Boolean).length / Math.max(1, all.length) };
    history.push(round);
    options.onRefresh?.(round);
  }
  // The bar says how much each layer keeps; which of its weights, the projection, as rows and columns are told apart by it.
  const values = await trainer.weights(names);
  const beat = quiet(signal);
  const chosen = [];
  for (const { matrix, survivors } of cutAt(matrices, groups, density)) {
    const kept = survivors.mask.reduce((sum, one) => sum + one, 0) / survivors.mask.length;
    const own = matrixIn(values.get(matrix.weight) as Float32Array, matrix);
    chosen.push({
      matrix,
      survivors: kept > 0 ? await survivorsOf(own, { ...matrix, density: kept }, false, beat) : survivors,
    });
  }
  return { ...(await cutAndRetrain(trainer, chosen, options.retrain, signal)), history };
}

/** Energies of the rows and of the columns of each block, blocks one after the other. */
interface Groups {
  readonly rows: Float64Array;
  readonly cols: Float64Array;
  /** Where the rows and the columns of each block begin. */
  readonly rowStart: Uint32Array;
  readonly colStart: Uint32Array;
  readonly meanRow: number;
  readonly meanCol: number;
}

function energiesOf(values: Float64Array, { grid }: PrunedMatrix): Groups {
  const count = Math.ceil(grid.rows / grid.blockRows) * Math.ceil(grid.cols / grid.blockCols);
  const rowStart = new Uint32Array(count + 1);
  const colStart = new Uint32Array(count + 1);
  for (let b = 0; b < count; b++) {
    const { height, width } = blockAt(grid, b);
    rowStart[b + 1] = (rowStart[b] as number) + height;
    colStart[b + 1] = (colStart[b] as number) + width;
  }
  const rows = new Float64Array(rowStart[count] as number);
  const cols = new Float64Array(colStart[count] as number);
  for (let b = 0; b < count; b++) {
    const { top, left, height, width } = blockAt(grid, b);
    for (let row = 0; row < height; row++)
      for (let col = 0; col < width; col++) {
        const energy = (values[(top + row) * grid.cols + left + col] as number) ** 2;
        const [r, c] = [(rowStart[b] as number) + row, (colStart[b] as number) + col];
        rows[r] = (rows[r] as number) + energy;
        cols[c] = (cols[c] as number) + energy;
      }
  }
  const total = rows.reduce((sum, energy) => sum + energy, 0);
  return { rows, cols, rowStart, colStart, meanRow: total / rows.length || 1, meanCol: total / cols.length || 1 };
}

/** The weight decay of each element: of its row and of its column. */
function decayOf(groups: Groups, { grid }: PrunedMatrix, strength: number, epsilon: number): Float64Array {
  const { rows, cols, rowStart, colStart, meanRow, meanCol } = groups;
  const decay = new Float64Array(grid.rows * grid.cols);
  for (let b = 0; b + 1 < rowStart.length; b++) {
    const { top, left, height, width } = blockAt(grid, b);
    for (let row = 0; row < height; row++)
      for (let col = 0; col < width; col++) {
        const ofRow = 1 / ((rows[(rowStart[b] as number) + row] as number) / meanRow + epsilon);
        const ofCol = 1 / ((cols[(colStart[b] as number) + col] as number) / meanCol + epsilon);
        decay[(top + row) * grid.cols + left + col] = strength * (ofRow + ofCol);
      }
  }
  return decay;
}

/** Groups above one bar, relative to the means of their layers, set so high that few enough weights survive. */
function cutAt(matrices: readonly PrunedMatrix[], groups: readonly Groups[], density: number): Chosen {
  const patternAt = (i: number, bar: number): BcrPattern => {
    const { rows, cols, rowStart, colStart, meanRow, meanCol } = groups[i] as Groups;
    const above = (energies: Float64Array, from: number, to: number, mean: number) =>
      Uint16Array.from({ length: to - from }, (_, at) => at).filter(
        (at) => (energies[from + at] as number) > bar * mean,
      );
    const keptRows: Uint16Array[] = [];
    const keptCols: Uint16Array[] = [];
    for (let b = 0; b + 1 < rowStart.length; b++) {
      const r = above(rows, rowStart[b] as number, rowStart[b + 1] as number, meanRow);
      const c = above(cols, colStart[b] as number, colStart[b + 1] as number, meanCol);
      const empty = r.length === 0 || c.length === 0;
      keptRows.push(empty ? new Uint16Array() : r);
      keptCols.push(empty ? new Uint16Array() : c);
    }
    return { grid: (matrices[i] as PrunedMatrix).grid, keptRows, keptCols };
  };
  const total = matrices.reduce((sum, { places }) => sum + places.length, 0);
  const survivors = (bar: number) =>
    matrices.reduce((sum, _, i) => {
      const { keptRows, keptCols } = patternAt(i, bar);
      return sum + keptRows.reduce((own, rows, b) => own + rows.length * (keptCols[b]?.length ?? 0), 0);
    }, 0);
  let [low, high] = [1e-12, 1e6];
  for (let step = 0; step < 60; step++) {
    const bar = Math.sqrt(low * high);
    if (survivors(bar) > density * total) low = bar;
    else high = bar;
  }
  return matrices.map((matrix, i) => {
    const pattern = patternAt(i, high);
    return { matrix, survivors: { mask: patternMask(pattern), pattern } };
  });
}

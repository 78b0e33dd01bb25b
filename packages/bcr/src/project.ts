/**
 * Projection onto BCR patterns: of all patterns of a grid with at most so many survivors, the one that keeps the most
 * energy (the Euclidean projection, when the scores are squared weights).
 *
 * Inside a block this is the maximum-energy submatrix, NP-hard in general. Up to 8 rows every subset of rows is tried and
 * the columns follow from it, so the answer is exact; taller blocks alternate between rows and columns from several
 * starts. Between blocks the survivors are shared out by one price per survivor (a Lagrange multiplier), which is optimal
 * up to the last block it touches; that one, and whatever is left over, is filled by the per-block solution.
 */
import type { BcrPattern, BlockGrid } from '@grim/ir';
import { type Choice, type Solver, solver } from './choose.ts';
import { checkMatrix, fail, type Matrix } from './matrix.ts';
import { type Block, blockCounts, blocksOf, checkPattern, densePattern } from './pattern.ts';

export interface ProjectOptions {
  /** Share of the matrix that may survive, 0 to 1. The result has at most ⌊density · rows · cols⌋ survivors. */
  readonly density: number;
  /** Where survivors compete: within each block, each row of blocks, or the whole matrix (default). */
  readonly budget?: 'block' | 'block-row' | 'global';
  /** Share of its rows that every non-empty block keeps; without it the optimiser picks the split of each block. */
  readonly keepRows?: number;
  /** Row-major, as the matrix, each at least 0: what keeping an element is worth. Default: its square. NaN counts as 0. */
  readonly scores?: ArrayLike<number>;
  /** Random starts of the alternation in blocks of more than 8 rows, beside the two fixed ones. Default 2. */
  readonly restarts?: number;
  /** Of the random starts. Default 1. */
  readonly seed?: number;
}

/**
 * The pattern of `grid` that keeps the most of `w`.
 *
 * @param w  [rows, cols], the GEMM view of the weight
 * @throws {GrimError} GRIM_BCR_BAD_TARGET for a density or share outside 0 to 1, GRIM_BCR_BAD_MATRIX,
 *   GRIM_BCR_PATTERN_MISMATCH when the grid is not over `w`
 * @see GRIM (Niu et al., 2022), BCR pruning. Ties go to the lower index.
 */
export function projectBcr(w: Matrix, grid: BlockGrid, options: ProjectOptions): BcrPattern {
  checkMatrix(w);
  checkPattern(densePattern(grid), w);
  const { density, budget = 'global', keepRows, restarts = 2, seed = 1 } = options;
  if (!(density >= 0 && density <= 1))
    fail('GRIM_BCR_BAD_TARGET', `projectBcr: density is ${density}; a number from 0 to 1 is needed.`, { density });
  if (keepRows !== undefined && !(keepRows > 0 && keepRows <= 1))
    fail('GRIM_BCR_BAD_TARGET', `projectBcr: keepRows is ${keepRows}; a number above 0, up to 1, is needed.`, {
      keepRows,
    });
  const scores = energies(w, options.scores);
  const blocks = blocksOf(grid);
  const solve = solver(scores, w.cols, grid, { keepRows, restarts, seed });
  const { across } = blockCounts(grid);

  const choices: Choice[] = [];
  if (budget === 'block') {
    for (const block of blocks) choices.push(solve.within(block, Math.floor(density * block.height * block.width)));
  } else {
    const group = budget === 'global' ? blocks.length : across;
    for (let first = 0; first < blocks.length; first += group)
      choices.push(...share(blocks.slice(first, first + group), density, solve));
  }
  return { grid, keptRows: choices.map((c) => c.rows), keptCols: choices.map((c) => c.cols) };
}

/** Energy of every element: finite and at least 0, whatever the matrix holds. */
function energies(w: Matrix, scores: ArrayLike<number> | undefined): Float64Array {
  if (scores && scores.length !== w.data.length)
    fail('GRIM_BCR_BAD_MATRIX', `projectBcr: ${scores.length} scores for ${w.data.length} elements.`);
  const HUGE = 1e200; // Stands for infinity: sums of it stay finite and ordered.
  return Float64Array.from(w.data, (value, i) => {
    const energy = scores ? (scores[i] ?? 0) : value * value;
    return energy > 0 ? Math.min(energy, HUGE) : 0;
  });
}

/** Shares ⌊density · area⌋ survivors among blocks that compete. */
function share(blocks: readonly Block[], density: number, solve: Solver): readonly Choice[] {
  const area = blocks.reduce((sum, b) => sum + b.height * b.width, 0);
  const target = Math.floor(density * area);
  const count = (list: readonly Choice[]) => list.reduce((sum, c) => sum + c.rows.length * c.cols.length, 0);

  // Invariant: at price `low` too many survive (or all that are worth anything), at price `high` few enough.
  let low = 0;
  let high = solve.largest(blocks) * 2 + Number.MIN_VALUE;
  let many: readonly Choice[] = blocks.map((block) => solve.priced(block, low));
  let few: readonly Choice[] = blocks.map(() => solve.nothing);
  if (count(many) <= target) few = many;
  else
    for (let step = 0; step < 60 && low < high; step++) {
      const price = high > 4 * low ? (low === 0 ? high / 1024 : Math.sqrt(low) * Math.sqrt(high)) : (low + high) / 2;
      if (price <= low || price >= high) break;
      // A block that chooses alike at both ends chooses alike between them.
      const tried = blocks.map((block, i) =>
        sameSize(many[i], few[i]) ? (few[i] as Choice) : solve.priced(block, price),
      );
      if (count(tried) > target) [low, many] = [price, tried];
      else [high, few] = [price, tried];
      if (many.every((choice, i) => sameSize(choice, few[i]))) break;
    }
  return fill(blocks, few, target - count(few), solve);
}

function sameSize(a: Choice | undefined, b: Choice | undefined): boolean {
  return a?.rows.length === b?.rows.length && a?.cols.length === b?.cols.length;
}

/** Spends what is left, block after block, where it buys the most per survivor. */
function fill(blocks: readonly Block[], choices: readonly Choice[], left: number, solve: Solver): readonly Choice[] {
  const result = [...choices];
  let remaining = left;
  const size = (c: Choice) => c.rows.length * c.cols.length;
  const better = blocks
    .map((block, i) => {
      const now = result[i] as Choice;
      const then = remaining > 0 ? solve.within(block, size(now) + remaining) : now;
      return { block, i, gain: then.energy - now.energy, cost: size(then) - size(now) };
    })
    .filter(({ gain }) => gain > 0)
    .sort((a, b) => b.gain / Math.max(b.cost, 0.5) - a.gain / Math.max(a.cost, 0.5) || a.i - b.i);
  for (const { block, i } of better) {
    if (remaining <= 0) break;
    const now = result[i] as Choice;
    const then = solve.within(block, size(now) + remaining);
    if (then.energy <= now.energy) continue;
    remaining -= size(then) - size(now);
    result[i] = then;
  }
  return result;
}

/**
 * Projection onto BCR patterns: of all patterns of a grid with at most so many survivors, the one that keeps the most
 * energy (the Euclidean projection, when the scores are squared weights).
 *
 * Inside a block this is the maximum-energy submatrix, NP-hard in general. Up to 8 rows every subset of rows is tried and
 * the columns follow from it, so the answer is exact; taller blocks alternate between rows and columns from several
 * starts. What a block of the first kind keeps at any price is found in one pass (`frontier.ts`). Between blocks the survivors are shared out by one price per survivor (a Lagrange multiplier), which is optimal
 * up to the last block it touches; that one, and whatever is left over, is filled by the per-block solution.
 */
import type { BcrPattern, BlockGrid } from '@grim/ir';
import { type Choice, type Solver, solver } from './choose.ts';
import { type Frontier, verticesAt } from './frontier.ts';
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
  const steps = projectBcrInSteps(w, grid, options);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/**
 * {@link projectBcr} in steps of some ten milliseconds, so that a caller can show progress, give way or stop between them.
 * Yields the share that is done, 0 to 1.
 * @example
 * const steps = projectBcrInSteps(w, grid, { density: 0.1 });
 * for (let step = steps.next(); !step.done; step = steps.next()) await breathe(step.value);
 */
export function* projectBcrInSteps(
  w: Matrix,
  grid: BlockGrid,
  options: ProjectOptions,
): Generator<number, BcrPattern, void> {
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
  const work = paced(grid);

  const choices: Choice[] = [];
  if (budget === 'block') {
    for (const block of blocks) {
      choices.push(solve.within(block, Math.floor(density * block.height * block.width)));
      if (work(block)) yield choices.length / blocks.length;
    }
  } else {
    const group = budget === 'global' ? blocks.length : across;
    for (let first = 0; first < blocks.length; first += group) {
      const parts = share(blocks.slice(first, first + group), density, solve, work);
      for (;;) {
        const { done, value } = parts.next();
        if (done) {
          for (const choice of value) choices.push(choice);
          break;
        }
        yield (first + value * group) / blocks.length;
      }
    }
  }
  return { grid, keptRows: choices.map((c) => c.rows), keptCols: choices.map((c) => c.cols) };
}

/** Adds up the work on blocks; true when there is enough of it for a step. */
type Paced = (block: Block) => boolean;
const STEP = 2 ** 20;

function paced({ blockRows }: BlockGrid): Paced {
  // Additions for each element: over all sets of rows, or a few starts and rounds.
  const each = blockRows <= 8 ? 2 ** blockRows / blockRows : 64;
  let sum = 0;
  return ({ height, width }) => {
    sum += height * width * each;
    if (sum < STEP) return false;
    sum = 0;
    return true;
  };
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

type Sharing = Generator<number, readonly Choice[], void>;

/** Shares ⌊density · area⌋ survivors among blocks that compete. Yields the share of the work that is done. */
function* share(blocks: readonly Block[], density: number, solve: Solver, work: Paced): Sharing {
  const area = blocks.reduce((sum, b) => sum + b.height * b.width, 0);
  const target = Math.floor(density * area);
  const few = solve.frontier
    ? yield* byFrontier(blocks, target, solve, solve.frontier, work)
    : yield* byPrice(blocks, target, solve, work);
  return yield* fill(blocks, few, target - count(few), solve, work);
}

function count(list: readonly Choice[]): number {
  return list.reduce((sum, c) => sum + c.rows.length * c.cols.length, 0);
}

/** Where a pass over all blocks ends, as a share of the whole. */
const PASSES = [0.4, 0.7, 1] as const;

function* byFrontier(
  blocks: readonly Block[],
  target: number,
  solve: Solver,
  frontier: NonNullable<Solver['frontier']>,
  work: Paced,
): Sharing {
  const curves: Frontier[] = [];
  for (const block of blocks) {
    curves.push(frontier(block));
    if (work(block)) yield (PASSES[0] * curves.length) / blocks.length;
  }
  const survivors = (price: number): number => {
    let sum = 0;
    for (const curve of curves) {
      const vertices = verticesAt(curve, price);
      if (vertices > 0) sum += (curve.rows[vertices - 1] as number) * (curve.cols[vertices - 1] as number);
    }
    return sum;
  };
  // Invariant: at price `low` too many survive, at price `high` few enough.
  let low = 0;
  let high = survivors(0) <= target ? 0 : solve.largest(blocks) * 2 + Number.MIN_VALUE;
  for (let step = 0; step < 200 && low < high; step++) {
    const price = between(low, high);
    if (price <= low || price >= high) break;
    if (survivors(price) > target) low = price;
    else high = price;
    if (work(blocks[0] as Block)) yield PASSES[0];
  }
  const few: Choice[] = [];
  for (const [i, block] of blocks.entries()) {
    const curve = curves[i] as Frontier;
    const last = verticesAt(curve, high) - 1;
    few.push(last < 0 ? solve.nothing : solve.sized(block, curve.rows[last] as number, curve.cols[last] as number));
    if (work(block)) yield PASSES[0] + ((PASSES[1] - PASSES[0]) * i) / blocks.length;
  }
  return few;
}

function between(low: number, high: number): number {
  if (high <= 4 * low) return (low + high) / 2;
  return low === 0 ? high / 1024 : Math.sqrt(low) * Math.sqrt(high);
}

/** Each step may halve the range of the price; blocks that choose alike at both ends are done. */
function* byPrice(blocks: readonly Block[], target: number, solve: Solver, work: Paced): Sharing {
  // Invariant: at price `low` too many survive (or all that are worth anything), at price `high` few enough.
  let low = 0;
  let high = solve.largest(blocks) * 2 + Number.MIN_VALUE;
  let few: readonly Choice[] = blocks.map(() => solve.nothing);
  let many: Choice[] = [];
  for (const block of blocks) {
    many.push(solve.priced(block, low));
    if (work(block)) yield 0;
  }
  if (count(many) <= target) return many;
  for (let step = 0; step < 60 && low < high; step++) {
    const price = between(low, high);
    if (price <= low || price >= high) break;
    const tried: Choice[] = [];
    for (const [i, block] of blocks.entries()) {
      const settled = sameSize(many[i], few[i]);
      tried.push(settled ? (few[i] as Choice) : solve.priced(block, price));
      if (!settled && work(block)) yield PASSES[1] * (step / 60);
    }
    if (count(tried) > target) [low, many] = [price, tried];
    else [high, few] = [price, tried];
    if (many.every((choice, i) => sameSize(choice, few[i]))) break;
    // What is left is spent block by block: no need to share out the last thousandth by price.
    if (count(few) >= target * (1 - 1e-3)) break;
  }
  return few;
}

function sameSize(a: Choice | undefined, b: Choice | undefined): boolean {
  return a?.rows.length === b?.rows.length && a?.cols.length === b?.cols.length;
}

/** Spends what is left, block after block, where it buys the most per survivor. */
function* fill(
  blocks: readonly Block[],
  choices: readonly Choice[],
  left: number,
  solve: Solver,
  work: Paced,
): Sharing {
  const result = [...choices];
  let remaining = left;
  if (remaining <= 0) return result;
  const size = (c: Choice) => c.rows.length * c.cols.length;
  const more = (block: Block, now: Choice): Choice =>
    solve.frontier ? solve.within(block, size(now) + remaining) : solve.grown(block, now, remaining);
  const better = [];
  for (const [i, block] of blocks.entries()) {
    const now = result[i] as Choice;
    const then = more(block, now);
    if (then.energy > now.energy)
      better.push({ block, i, gain: then.energy - now.energy, cost: size(then) - size(now) });
    if (work(block)) yield PASSES[1] + ((PASSES[2] - PASSES[1]) * i) / blocks.length;
  }
  better.sort((a, b) => b.gain / Math.max(b.cost, 0.5) - a.gain / Math.max(a.cost, 0.5) || a.i - b.i);
  for (const { block, i } of better) {
    if (remaining <= 0) break;
    const now = result[i] as Choice;
    const then = more(block, now);
    if (then.energy <= now.energy) continue;
    remaining -= size(then) - size(now);
    result[i] = then;
    if (work(block)) yield PASSES[2];
  }
  return result;
}

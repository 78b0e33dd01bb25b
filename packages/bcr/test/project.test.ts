import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  applyPattern,
  blockGrid,
  blocksOf,
  cover,
  coverOn,
  density,
  type Matrix,
  nonZeros,
  projectBcr,
  projectBcrInSteps,
} from '../src/index.ts';
import { matrix, matrixWithPattern, randomMatrix } from './arbitrary.ts';

const energy = (w: Matrix) => w.data.reduce((sum, v) => sum + v * v, 0);
const subsets = (n: number) =>
  Array.from({ length: 2 ** n }, (_, bits) => Array.from({ length: n }, (_, i) => i).filter((i) => (bits >> i) & 1));

/** The most energy that a single block of `w` can keep with at most `survivors`, by trying everything. */
function bruteForce(w: Matrix, survivors: number): number {
  let best = 0;
  for (const rows of subsets(w.rows))
    for (const cols of subsets(w.cols)) {
      if (rows.length * cols.length > survivors) continue;
      let sum = 0;
      for (const r of rows) for (const c of cols) sum += (w.data[r * w.cols + c] ?? 0) ** 2;
      best = Math.max(best, sum);
    }
  return best;
}

describe('projection onto BCR patterns', () => {
  it('is the best submatrix of a block, compared with trying every one', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const w = randomMatrix(1 + (seed % 5), 2 + (seed % 4), seed);
      for (const share of [0.1, 0.3, 0.5, 0.8]) {
        const pattern = projectBcr(w, blockGrid(w.rows, w.cols, w.rows, w.cols), { density: share, budget: 'block' });
        const survivors = Math.floor(share * w.data.length);
        expect(nonZeros(pattern)).toBeLessThanOrEqual(survivors);
        expect(energy(applyPattern(w, pattern))).toBeCloseTo(bruteForce(w, survivors), 5);
      }
    }
  });

  it('comes within 3 % of the exact answer in blocks taller than 8 rows, where it alternates', () => {
    let ratio = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const w = randomMatrix(9, 8, seed);
      const pattern = projectBcr(w, blockGrid(9, 8, 9, 8), { density: 0.3, budget: 'block', restarts: 4 });
      expect(nonZeros(pattern)).toBeLessThanOrEqual(21);
      ratio += energy(applyPattern(w, pattern)) / bruteForce(w, 21) / 10;
    }
    expect(ratio).toBeGreaterThan(0.97);
    expect(ratio).toBeLessThanOrEqual(1 + 1e-9);
  });

  it('never keeps more than asked, for any budget, and comes close to it', () => {
    fc.assert(
      fc.property(
        matrix,
        fc.record({
          blockRows: fc.integer({ min: 1, max: 12 }),
          blockCols: fc.integer({ min: 1, max: 16 }),
          share: fc.double({ min: 0, max: 1, noNaN: true }),
          budget: fc.constantFrom('block' as const, 'block-row' as const, 'global' as const),
        }),
        (w, { blockRows, blockCols, share, budget }) => {
          const grid = blockGrid(w.rows, w.cols, blockRows, blockCols);
          const pattern = projectBcr(w, grid, { density: share, budget });
          expect(nonZeros(pattern)).toBeLessThanOrEqual(share * w.data.length);
          if (budget === 'block')
            for (const b of blocksOf(grid))
              expect(
                (pattern.keptRows[b.index]?.length ?? 0) * (pattern.keptCols[b.index]?.length ?? 0),
              ).toBeLessThanOrEqual(share * b.height * b.width);
        },
      ),
      { seed: 5, numRuns: 300 },
    );
  });

  it('keeps everything at density 1 and nothing at density 0', () => {
    const w = randomMatrix(13, 29, 3);
    for (const [blockRows, blockCols] of [
      [4, 8],
      [13, 29],
      [1, 1],
      [11, 7],
    ] as const) {
      const grid = blockGrid(13, 29, blockRows, blockCols);
      expect(density(projectBcr(w, grid, { density: 1 }))).toBe(1);
      expect(density(projectBcr(w, grid, { density: 0 }))).toBe(0);
    }
  });

  it('is idempotent: projecting what was projected keeps its energy', () => {
    const w = randomMatrix(31, 47, 11);
    for (const blockRows of [2, 4, 16]) {
      const grid = blockGrid(31, 47, blockRows, 16);
      const once = applyPattern(w, projectBcr(w, grid, { density: 0.25 }));
      const twice = applyPattern(once, projectBcr(once, grid, { density: 0.25 }));
      expect(energy(twice)).toBeGreaterThan(0.999 * energy(once));
    }
  });

  it('keeps more when survivors compete in a wider scope, and most with blocks of one element', () => {
    const w = randomMatrix(48, 96, 17);
    const kept = (blockRows: number, blockCols: number, budget: 'block' | 'block-row' | 'global') =>
      energy(applyPattern(w, projectBcr(w, blockGrid(48, 96, blockRows, blockCols), { density: 0.25, budget })));
    expect(kept(4, 16, 'block-row')).toBeGreaterThan(kept(4, 16, 'block') * 0.999);
    expect(kept(4, 16, 'global')).toBeGreaterThan(kept(4, 16, 'block-row') * 0.999);
    const magnitudes = Array.from(w.data, (v) => v * v).sort((a, b) => b - a);
    const best = magnitudes.slice(0, Math.floor(0.25 * w.data.length)).reduce((a, b) => a + b, 0);
    expect(kept(1, 1, 'global')).toBeCloseTo(best, 3);
  });

  it('keeps the asked share of rows in every block when the split is fixed', () => {
    const w = randomMatrix(24, 64, 23);
    const pattern = projectBcr(w, blockGrid(24, 64, 8, 16), { density: 0.25, keepRows: 0.5, budget: 'block' });
    expect(pattern.keptRows.every((rows) => rows.length === 4)).toBe(true);
    expect(pattern.keptCols.every((cols) => cols.length === 8)).toBe(true);
  });

  it('M1: ties go to the lower index, so a constant matrix keeps its first rows and columns', () => {
    const w = { rows: 4, cols: 6, data: new Float32Array(24).fill(1) };
    const pattern = projectBcr(w, blockGrid(4, 6, 4, 6), { density: 0.5, budget: 'block' });
    expect(nonZeros(pattern)).toBe(12);
    expect(pattern.keptCols[0]?.[0]).toBe(0);
    expect(projectBcr(w, blockGrid(4, 6, 4, 6), { density: 0.5, budget: 'block' })).toEqual(pattern);
  });

  it('M1: refuses a density outside 0 to 1, NaN, and a grid over another matrix', () => {
    const w = randomMatrix(4, 4, 1);
    for (const share of [-0.1, 1.1, Number.NaN])
      expect(() => projectBcr(w, blockGrid(4, 4, 2, 2), { density: share })).toThrow(/density/);
    expect(() => projectBcr(w, blockGrid(4, 8, 2, 2), { density: 0.5 })).toThrow(/grid is 4×8/);
    expect(() => blockGrid(4, 4, 0, 2)).toThrow(/blockRows is 0/);
  });

  it('T4: never ranks NaN, and infinities do not break the sums', () => {
    const w = randomMatrix(4, 8, 2);
    w.data[3] = Number.NaN;
    w.data[9] = Number.POSITIVE_INFINITY;
    const pattern = projectBcr(w, blockGrid(4, 8, 1, 1), { density: 0.5 });
    const kept = applyPattern({ ...w, data: new Float32Array(32).fill(1) }, pattern);
    expect(kept.data[3]).toBe(0);
    expect(kept.data[9]).toBe(1);
  });

  it('shares survivors among blocks as well as trying every price would', () => {
    // By hand: two blocks of one row; at most three survivors, the three largest of both.
    const w = { rows: 2, cols: 4, data: Float32Array.of(1, 5, 2, 0, 4, 3, 0.5, 0.25) };
    const pattern = projectBcr(w, blockGrid(2, 4, 1, 4), { density: 3 / 8 });
    expect(pattern.keptCols.map((cols) => Array.from(cols))).toEqual([[1], [0, 1]]);
    // Against the hull's own definition: no other price gives more energy for as many survivors.
    const large = randomMatrix(24, 40, 77);
    const grid = blockGrid(24, 40, 6, 8);
    const best = energy(applyPattern(large, projectBcr(large, grid, { density: 0.2 })));
    const even = energy(applyPattern(large, projectBcr(large, grid, { density: 0.2, budget: 'block' })));
    expect(best).toBeGreaterThan(even);
  });

  it('gives way between steps, and the steps end in what the whole gives', () => {
    const w = randomMatrix(96, 512, 5);
    for (const [blockRows, blockCols] of [
      [8, 32],
      [16, 64],
    ] as const) {
      const grid = blockGrid(96, 512, blockRows, blockCols);
      const steps = projectBcrInSteps(w, grid, { density: 0.2 });
      const shares: number[] = [];
      let step = steps.next();
      for (; !step.done; step = steps.next()) shares.push(step.value);
      expect(step.value).toEqual(projectBcr(w, grid, { density: 0.2 }));
      expect(shares.length).toBeGreaterThan(2);
      expect(shares.every((share) => share >= 0 && share <= 1)).toBe(true);
    }
  });

  it('takes scores in place of squares', () => {
    const w = randomMatrix(2, 4, 9);
    const pattern = projectBcr(w, blockGrid(2, 4, 2, 4), {
      density: 0.25,
      budget: 'block',
      scores: [0, 9, 0, 0, 0, 9, 0, 0],
    });
    expect(Array.from(pattern.keptCols[0] ?? [])).toEqual([1]);
    expect(Array.from(pattern.keptRows[0] ?? [])).toEqual([0, 1]);
  });
});

describe('covering zeros that are already there', () => {
  it('finds, on the grid that made them, exactly the survivors', () => {
    fc.assert(
      fc.property(matrixWithPattern, ([w, pattern]) => {
        const masked = applyPattern(w, pattern);
        const found = coverOn(masked, pattern.grid);
        expect(applyPattern(w, found.pattern)).toEqual(masked);
        expect(nonZeros(found.pattern)).toBe(nonZeros(pattern));
      }),
      { seed: 6, numRuns: 300 },
    );
  });

  it('prefers the grid that made the zeros to the others', () => {
    const w = randomMatrix(64, 128, 31);
    const masked = applyPattern(w, projectBcr(w, blockGrid(64, 128, 4, 32), { density: 0.2 }));
    const [best] = cover(masked);
    expect(best?.pattern.grid).toMatchObject({ blockRows: 4, blockCols: 32 });
    expect(best?.explained).toBe(1);
  });

  it('keeps every non-zero of any matrix, NaN among them', () => {
    const w = randomMatrix(7, 11, 4);
    for (let i = 0; i < 77; i += 2) w.data[i] = 0;
    w.data[1] = Number.NaN;
    for (const { pattern } of cover(w)) expect(applyPattern(w, pattern)).toEqual(w);
  });
});

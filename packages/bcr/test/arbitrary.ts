/** Random matrices, grids and patterns for the property tests: prime sizes, remainders, empty blocks, both extremes. */
import type { BcrPattern } from '@grim/ir';
import fc from 'fast-check';
import { blockGrid, blocksOf, type Matrix } from '../src/index.ts';

export const matrix: fc.Arbitrary<Matrix> = fc
  .record({ rows: fc.integer({ min: 1, max: 23 }), cols: fc.integer({ min: 1, max: 37 }), seed: fc.nat() })
  .map(({ rows, cols, seed }) => randomMatrix(rows, cols, seed));

export function randomMatrix(rows: number, cols: number, seed: number): Matrix {
  let state = seed >>> 0 || 1;
  const data = Float32Array.from({ length: rows * cols }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * 2 || 0.5;
  });
  return { rows, cols, data };
}

/** A pattern over `w`: every block keeps a random subset of its rows and of its columns, sometimes none, sometimes all. */
function patternOver(w: Matrix): fc.Arbitrary<BcrPattern> {
  return fc
    .record({
      blockRows: fc.integer({ min: 1, max: 9 }),
      blockCols: fc.integer({ min: 1, max: 17 }),
      keep: fc.constantFrom(0, 0.3, 0.7, 1),
      seed: fc.nat(),
    })
    .map(({ blockRows, blockCols, keep, seed }) => {
      const grid = blockGrid(w.rows, w.cols, blockRows, blockCols);
      const random = randomMatrix(1, 2 * (w.rows + 1) * (w.cols + 1) + 64, seed).data;
      let at = 0;
      const pick = (length: number) =>
        Uint16Array.from({ length }, (_, i) => i).filter(() => ((random[at++ % random.length] ?? 0) + 2) / 4 < keep);
      const blocks = blocksOf(grid);
      return { grid, keptRows: blocks.map((b) => pick(b.height)), keptCols: blocks.map((b) => pick(b.width)) };
    });
}

export const matrixWithPattern: fc.Arbitrary<readonly [Matrix, BcrPattern]> = matrix.chain((w) =>
  patternOver(w).map((pattern) => [w, pattern] as const),
);

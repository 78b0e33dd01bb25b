/** Patterns: which are well formed, and which positions they keep. */
import { expect, it } from 'vitest';
import { type BcrPattern, patternMask, patternProblem } from './pattern.ts';

const lists = (...all: number[][]) => all.map((list) => Uint16Array.from(list));

/** 3×5 in blocks of 2×3: the last block of a row is 2 wide, the last of a column 1 high. */
const pattern: BcrPattern = {
  grid: { rows: 3, cols: 5, blockRows: 2, blockCols: 3 },
  keptRows: lists([0, 1], [1], [0], []),
  keptCols: lists([0, 2], [0, 1], [1], [0]),
};

it('a well-formed pattern has no problem, smaller blocks at the edges included', () => {
  expect(patternProblem(pattern, 3, 5)).toBeUndefined();
});

it('keeps a position when its block keeps both its row and its column', () => {
  expect(Array.from(patternMask(pattern))).toEqual([1, 0, 1, 0, 0, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0]);
});

it('a block may be larger than the matrix', () => {
  const one: BcrPattern = {
    grid: { rows: 2, cols: 2, blockRows: 8, blockCols: 64 },
    keptRows: lists([1]),
    keptCols: lists([0]),
  };
  expect(patternProblem(one, 2, 2)).toBeUndefined();
  expect(Array.from(patternMask(one))).toEqual([0, 0, 1, 0]);
});

it.each([
  ['another matrix', pattern, [3, 6], 'is 3×5'],
  ['no rows', { ...pattern, grid: { ...pattern.grid, rows: 0 } }, [0, 5], 'rows is 0'],
  ['a fraction', { ...pattern, grid: { ...pattern.grid, blockCols: 1.5 } }, [3, 5], 'blockCols is 1.5'],
  ['C6: too many lists', { ...pattern, keptCols: lists([], [], [], [], []) }, [3, 5], 'keptCols has 5 entries'],
  [
    'C6: a row outside the lower blocks',
    { ...pattern, keptRows: lists([0], [0], [1], [0]) },
    [3, 5],
    'block 2: row 1 is outside',
  ],
  [
    'C6: a column outside the right blocks',
    { ...pattern, keptCols: lists([0], [2], [0], [0]) },
    [3, 5],
    'block 1: column 2 is outside',
  ],
  ['C6: an index twice', { ...pattern, keptRows: lists([1, 1], [], [], []) }, [3, 5], 'row 1 follows 1'],
  ['C6: indices that fall', { ...pattern, keptCols: lists([2, 0], [], [], []) }, [3, 5], 'column 0 follows 2'],
] as const)('%s is a problem', (_, wrong, [rows, cols], part) => {
  expect(patternProblem(wrong, rows, cols)).toContain(part);
});

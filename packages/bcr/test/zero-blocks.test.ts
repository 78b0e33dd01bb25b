import { patternMask } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { findZeroBlocks } from '../src/zero-blocks.ts';

/** Uniform in [0, 1), seeded. */
function source(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Zeros of a matrix whose blocks keep `keepRows` and `keepCols` random rows and columns. */
function pruned(
  rows: number,
  cols: number,
  h: number,
  w: number,
  keepRows: number,
  keepCols: number,
  seed = 1,
): Uint8Array {
  const random = source(seed);
  const choose = (length: number, keep: number): Uint16Array =>
    Uint16Array.from(
      Array.from({ length }, (_, i) => [random(), i] as const)
        .sort(([a], [b]) => a - b)
        .slice(0, keep)
        .map(([, i]) => i)
        .sort((a, b) => a - b),
    );
  const blocks = Math.ceil(rows / h) * Math.ceil(cols / w);
  const across = Math.ceil(cols / w);
  const each = <T>(make: (height: number, width: number) => T): T[] =>
    Array.from({ length: blocks }, (_, b) =>
      make(Math.min(h, rows - Math.floor(b / across) * h), Math.min(w, cols - (b % across) * w)),
    );
  const mask = patternMask({
    grid: { rows, cols, blockRows: h, blockCols: w },
    keptRows: each((height) => choose(height, keepRows)),
    keptCols: each((_, width) => choose(width, keepCols)),
  });
  return mask.map((kept) => 1 - kept);
}

/** The definition, element by element. */
function explainedBySlowCount(zero: Uint8Array, rows: number, cols: number, h: number, w: number): number {
  let zeros = 0;
  let explained = 0;
  const at = (r: number, c: number): number => zero[r * cols + c] ?? 0;
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) {
      if (!at(r, c)) continue;
      zeros++;
      const left = c - (c % w);
      const top = r - (r % h);
      let row = true;
      let column = true;
      for (let i = left; i < Math.min(cols, left + w); i++) row &&= at(r, i) === 1;
      for (let i = top; i < Math.min(rows, top + h); i++) column &&= at(i, c) === 1;
      if (row || column) explained++;
    }
  return explained / zeros;
}

describe('findZeroBlocks', () => {
  it.for([
    [32, 128, 4, 16, 2, 6],
    [64, 256, 8, 32, 4, 12],
    [64, 576, 16, 64, 8, 20],
    [30, 90, 6, 18, 3, 8],
    [10, 400, 5, 40, 3, 15],
    [37, 101, 8, 16, 4, 6],
  ] as const)('finds the blocks of a %i × %i matrix pruned in %i × %i', ([rows, cols, h, w, keepRows, keepCols]) => {
    const zero = pruned(rows, cols, h, w, keepRows, keepCols);
    const found = findZeroBlocks(zero, rows, cols);
    expect(found).toMatchObject({ block: { rows: h, cols: w }, explained: 1 });
    expect(explainedBySlowCount(zero, rows, cols, h, w)).toBe(1);
  });

  it('finds blocks that are multiples of a convolution kernel', () => {
    expect(findZeroBlocks(pruned(16, 72, 4, 18, 2, 9), 16, 72, 9).block).toEqual({ rows: 4, cols: 18 });
    expect(findZeroBlocks(pruned(256, 1152, 8, 36, 4, 18), 256, 1152, 9).block).toEqual({ rows: 8, cols: 36 });
  });

  it('calls whole rows and columns of the matrix one block', () => {
    expect(findZeroBlocks(pruned(64, 256, 64, 256, 32, 256), 64, 256).block).toEqual({ rows: 64, cols: 256 });
    expect(findZeroBlocks(pruned(64, 256, 64, 256, 64, 100), 64, 256).block).toMatchObject({ rows: 64 });
  });

  it.for([0.3, 0.5, 0.7, 0.9, 0.95, 0.99])('calls %f of scattered zeros scattered', (share) => {
    const random = source(7);
    const zero = Uint8Array.from({ length: 128 * 256 }, () => (random() < share ? 1 : 0));
    expect(findZeroBlocks(zero, 128, 256).block).toBeUndefined();
  });

  it('still sees the blocks when a few zeros lie elsewhere, and says how many do not', () => {
    const zero = pruned(64, 256, 8, 32, 4, 12);
    const random = source(3);
    for (let i = 0; i < 300; i++) zero[Math.floor(random() * zero.length)] = 1;
    const found = findZeroBlocks(zero, 64, 256);
    expect(found.block).toEqual({ rows: 8, cols: 32 });
    expect(found.explained).toBeCloseTo(explainedBySlowCount(zero, 64, 256, 8, 32), 12);
    expect(found.explained).toBeLessThan(1);
  });

  it('has nothing to say about a matrix without zeros, or without anything else', () => {
    expect(findZeroBlocks(new Uint8Array(64), 8, 8)).toEqual({ zeros: 0, explained: 0, zeroRows: 0, zeroCols: 0 });
    expect(findZeroBlocks(new Uint8Array(64).fill(1), 8, 8).block).toBeUndefined();
  });

  it('works on a single row, a single column and a single element', () => {
    const one = Uint8Array.from([1, 0, 1, 1, 0, 0, 1, 1]);
    for (const [rows, cols] of [
      [1, 8],
      [8, 1],
    ] as const)
      expect(findZeroBlocks(one, rows, cols).zeros).toBe(5);
    expect(findZeroBlocks(Uint8Array.of(0), 1, 1).zeros).toBe(0);
  });
});

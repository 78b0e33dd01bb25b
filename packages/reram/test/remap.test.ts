/** Remapping around broken cells: exact assignments, errors that only fall, and results that the arrays really give. */
import { describe, expect, it } from 'vitest';
import { assign } from '../src/assignment.ts';
import { type Crossbar, drawFaults, mapMatrix, multiply, program, randomStream, remap } from '../src/index.ts';
import { crossbar, exactProduct, randomIntegers } from './arrays.ts';

describe('assignment', () => {
  it('is the cheapest of all, on matrices small enough to try them', () => {
    const stream = randomStream(3, 1);
    for (let trial = 0; trial < 60; trial++) {
      const rows = 1 + (trial % 5);
      const cols = rows + (trial % 3);
      const cost = Float64Array.from({ length: rows * cols }, (_, i) =>
        Math.floor(stream.uniform(trial * 64 + i) * 20),
      );
      const total = (columns: ArrayLike<number>) =>
        Array.from(columns).reduce((sum, col, row) => sum + (cost[row * cols + col] ?? 0), 0);
      let best = Infinity;
      const visit = (chosen: readonly number[]): void => {
        if (chosen.length === rows) best = Math.min(best, total(chosen));
        else for (let col = 0; col < cols; col++) if (!chosen.includes(col)) visit([...chosen, col]);
      };
      visit([]);
      const found = assign(cost, rows, cols);
      expect(new Set(found).size).toBe(rows);
      expect(total(found)).toBe(best);
    }
  });

  it('refuses more rows than columns', () => {
    expect(() => assign(new Float64Array(6), 3, 2)).toThrow(/do not fit/);
  });
});

describe('remapping', () => {
  const layer = (changes: Partial<Crossbar> = {}) => {
    const w = randomIntegers(12, 96, 5, 127, 0.3);
    return { w, mapping: mapMatrix(w, crossbar({ rows: 48, ...changes })) };
  };

  it('M7: lowers the error with every freedom it gets, and never raises it', () => {
    const { mapping } = layer();
    const faults = (spareSlots: number) => drawFaults(mapping, { stuckHrs: 0.02, stuckLrs: 0.05 }, { spareSlots });
    const none = remap(mapping, faults(0), { move: 'none' });
    const filters = remap(mapping, faults(0), { move: 'filters' });
    const both = remap(mapping, faults(0));
    const spare = remap(mapping, faults(6));
    expect(none.error).toBe(none.errorBefore);
    expect(filters.error).toBeLessThan(none.error);
    expect(both.error).toBeLessThan(filters.error);
    expect(spare.error).toBeLessThan(spare.errorBefore);
    expect(new Set(both.lineOf.subarray(0, 48))).toEqual(new Set(Array.from({ length: 48 }, (_, i) => i)));
  });

  it('M6: the error it states is that of the arrays it programs', () => {
    const { w, mapping } = layer();
    const { stuck, error } = remap(mapping, drawFaults(mapping, { stuckHrs: 0.02, stuckLrs: 0.05 }));
    const broken = program(mapping, { stuck });
    // Unit vectors read the weights back, one input at a time.
    let sum = 0;
    for (let i = 0; i < w.cols; i++) {
      const x = Int32Array.from({ length: w.cols }, (_, j) => (j === i ? 1 : 0));
      const wanted = exactProduct(w, x);
      multiply(broken, x).forEach((value, o) => {
        sum += (value - (wanted[o] ?? 0)) ** 2;
      });
    }
    expect(sum).toBe(error);
  });

  it('pairs of full cells absorb cells stuck at LRS, pairs of empty ones cells stuck at HRS', () => {
    const error = (zeroPair: 'low' | 'high', rates: { stuckHrs: number; stuckLrs: number }) => {
      const { mapping } = layer({ zeroPair });
      return remap(mapping, drawFaults(mapping, rates, { seed: 4 }), { move: 'none' }).error;
    };
    const on = { stuckHrs: 0, stuckLrs: 0.05 };
    const off = { stuckHrs: 0.05, stuckLrs: 0 };
    expect(error('high', on)).toBeLessThan(0.5 * error('low', on));
    expect(error('low', off)).toBeLessThan(0.5 * error('high', off));
  });

  it('refuses faults of another layer', () => {
    const { mapping } = layer();
    const faults = drawFaults(layer({ cellBits: 4 }).mapping, { stuckHrs: 0.1, stuckLrs: 0 });
    expect(() => remap(mapping, faults)).toThrow(expect.objectContaining({ code: 'GRIM_RERAM_BAD_DEVICE' }));
    expect(() => drawFaults(mapping, { stuckHrs: 0.9, stuckLrs: 0.2 })).toThrow(/no shares of one/);
  });
});

/** Sums of columns, counted bit by bit in vectors and in plain code, against the sum itself. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GROUP, loadColumns, loadPlain, packColumns } from '../src/column-sums.ts';
import { randomIntegers } from './arrays.ts';

describe('column sums', () => {
  it('M6: are those of the levels whose line is driven, in vectors and in plain code, for any sizes', () => {
    // The engine of the tests has vectors: otherwise nothing is compared here.
    expect(loadColumns()).not.toBe(loadPlain);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 240, max: 260 }), fc.constant(600)),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(1e6),
        (columns, lines, cellBits, cycles, seed) => {
          const levels = randomIntegers(columns, lines, seed, 2 ** cellBits - 1, 0.9).data.map(Math.abs);
          const driven = randomIntegers(cycles, lines, seed + 1, 1, 0.9).data.map(Math.abs);
          const planes = packColumns(columns, lines, cellBits, (c, i) => levels[c * lines + i] ?? 0);
          for (const load of [loadColumns(), loadPlain]) {
            const { input, sums, sum } = load(planes, cycles);
            input.fill(0);
            driven.forEach((one, at) => {
              const [cycle, line] = [Math.floor(at / lines), at % lines];
              const byte = cycle * planes.bytes + (line >> 3);
              input[byte] = (input[byte] ?? 0) | (one << (line & 7));
            });
            sum();
            for (let cycle = 0; cycle < cycles; cycle++)
              for (let column = 0; column < columns; column++) {
                let expected = 0;
                for (let i = 0; i < lines; i++)
                  expected += (levels[column * lines + i] ?? 0) * (driven[cycle * lines + i] ?? 0);
                expect(sums[cycle * planes.groups * GROUP + column]).toBe(expected);
              }
          }
        },
      ),
      { seed: 3, numRuns: 60 },
    );
  });

  it('hold the largest sum that two bytes hold', () => {
    const lines = 21_845;
    const planes = packColumns(1, lines, 2, () => 3);
    for (const load of [loadColumns(), loadPlain]) {
      const { input, sums, sum } = load(planes, 1);
      input.fill(255);
      sum();
      expect(sums[0]).toBe(65_535);
    }
  });
});

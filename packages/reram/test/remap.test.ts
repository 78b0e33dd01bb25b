/** Remapping around broken cells: exact assignments, errors that only fall, and results that the arrays really give. */
import { graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { assign } from '../src/assignment.ts';
import {
  type Crossbar,
  drawFaults,
  mapMatrix,
  multiply,
  program,
  quantiseNetwork,
  randomStream,
  remap,
  type SimulateOptions,
  simulateDigital,
  simulateQuantised,
} from '../src/index.ts';
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

  it.for<[string, Partial<Crossbar>]>([
    ['differential', {}],
    ['biased, flipped', { storage: 'offset', flip: true, inputSum: 'unit-column' }],
  ])('M6: the error it states is that of the arrays it programs: %s', ([, changes]) => {
    const { w, mapping } = layer(changes);
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

  it('M6: a simulation moves around the cells that break without it, in each trial', async () => {
    const stream = randomStream(2, 3);
    const network = graph('gemm', (b) => {
      const data = Float32Array.from({ length: 12 * 96 }, (_, i) => stream.normal(i));
      const w = b.weight('w', { dtype: 'float32', shape: [12, 96], data });
      b.output('y', b.add('Gemm', [b.input('x', 'float32', [8, 96]), w], { transB: 1 }));
    });
    const feed = { x: Float32Array.from({ length: 8 * 96 }, (_, i) => Math.abs(stream.normal(1e6 + i))) };
    const bar = crossbar({ rows: 48, device: { onOffRatio: Infinity, stuckHrs: 0.02, stuckLrs: 0.02 } });
    const quantised = quantiseNetwork(network, [feed]);
    const [exact] = simulateDigital(quantised, [feed]);
    const error = async (options: SimulateOptions) => {
      const { outputs, layers } = await simulateQuantised(quantised, [feed], bar, { trials: 3, seed: 5, ...options });
      const wanted = (exact?.['y']?.data ?? []) as ArrayLike<number>;
      const squares = outputs.map(([one]) =>
        ((one?.['y']?.data ?? []) as Float32Array).reduce((sum, v, i) => sum + (v - (wanted[i] ?? 0)) ** 2, 0),
      );
      return { squares, layers };
    };
    const plain = await error({});
    expect((await error({ remap: { move: 'none' } })).squares).toEqual(plain.squares);
    const moved = await error({ remap: {} });
    const spare = await error({ remap: { spareSlots: 8 } });
    for (const [i, before] of plain.squares.entries()) expect(moved.squares[i]).toBeLessThan(before);
    const total = (all: readonly number[]) => all.reduce((a, b) => a + b);
    expect(total(spare.squares)).toBeLessThan(total(moved.squares));
    const [layer] = moved.layers;
    expect(layer?.remapping?.error).toBeLessThan(layer?.remapping?.errorBefore ?? 0);
    expect(plain.layers[0]?.remapping).toBeUndefined();
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

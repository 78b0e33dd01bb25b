import { GrimError } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { networkCost } from '../src/cost.ts';
import { layerMapping } from '../src/cost-mapping.ts';
import { IDEAL_DEVICE } from '../src/device.ts';
import { type Crossbar, footprint, mapMatrix } from '../src/mapping.ts';
import { crossbar, randomIntegers } from './arrays.ts';
import { cases } from './vectors.ts';

interface ConvCase {
  id: string;
  settings: Record<'crossbar_rows' | 'crossbar_cols' | 'cell_bits' | 'input_bits', number>;
  weights_pruned_int: number[][];
  expected_output_int: number[][][];
  crossbars: number;
  worst_case_bits: number;
  adc_conversions: number;
}

const base: Crossbar = {
  rows: 16,
  cols: 16,
  cellBits: 2,
  weightBits: 8,
  inputBits: 8,
  dacBits: 1,
  storage: 'differential',
  adc: { model: 'ideal' },
  device: IDEAL_DEVICE,
};

const matrix = (rows: number, cols: number) => ({
  rows,
  cols,
  data: Int32Array.from({ length: rows * cols }, (_, k) => ((k * 37) % 255) - 127 || 1),
});

describe('counts of a mapped matrix', () => {
  it('the reference convolutions need the arrays and conversions stored with them', (ctx) => {
    for (const one of cases<ConvCase>('conv_mapping', ctx)) {
      const { crossbar_rows: rows, crossbar_cols: cols, cell_bits: cellBits, input_bits: inputBits } = one.settings;
      const [first] = one.weights_pruned_int;
      const filters = first?.length ?? 0;
      const w = {
        rows: filters,
        cols: one.weights_pruned_int.length,
        data: Int32Array.from(
          Array.from({ length: filters }, (_, f) => one.weights_pruned_int.map((r) => r[f] ?? 0)).flat(),
        ),
      };
      const mapping = mapMatrix(w, { ...base, rows, cols, cellBits, inputBits });
      const positions = one.expected_output_int[0]?.flat().length ?? 0;
      const layer = layerMapping(mapping, { name: one.id, positions, adcBits: one.worst_case_bits });
      const cost = networkCost({ rows, cols, layers: [layer] });
      expect(cost.arrays, one.id).toBe(one.crossbars);
      expect(cost.conversions, one.id).toBe(one.adc_conversions);
    }
  });

  it.each([
    ['differential', {}],
    ['subtraction before conversion', { subtract: 'analog' as const }],
    ['offset', { storage: 'offset' as const }],
    ['offset with a unit column', { storage: 'offset' as const, inputSum: 'unit-column' as const }],
    ['sign-separated', { storage: 'sign-separated' as const }],
    ['a column at HRS', { hrsColumn: true }],
    ['charge added before conversion', { adcPerInputSlice: false }],
  ])('%s: arrays and conversions are those of the footprint', (_, over) => {
    for (const [outputs, inputs] of [
      [3, 5],
      [9, 40],
      [4, 16],
    ] as const) {
      const mapping = mapMatrix(matrix(outputs, inputs), { ...base, ...over });
      const counted = footprint(mapping);
      const layer = layerMapping(mapping, { name: 'fc', positions: 7, adcBits: 6 });
      const cost = networkCost({ rows: 16, cols: 16, layers: [layer] });
      expect(cost.conversions).toBe(7 * counted.conversionsPerVector);
      expect(cost.arrays).toBe(counted.arrays);
    }
  });

  it('converters get the bits of their row block, and an ideal converter or a wrong count is refused', () => {
    const mapping = mapMatrix(matrix(4, 40), base);
    const layer = layerMapping(mapping, { name: 'fc', positions: 1, adcBits: [3, 4, 5] });
    expect(new Set(layer.groups.map(({ rowsUsed, adcBits }) => `${rowsUsed}:${adcBits}`))).toEqual(
      new Set(['16:3', '16:4', '8:5']),
    );
    expect(() => layerMapping(mapping, { name: 'fc', positions: 1 })).toThrow(GrimError);
    expect(() => layerMapping(mapping, { name: 'fc', positions: 1, adcBits: [3, 4] })).toThrow(/3 row blocks/);
  });

  it('pairs side by side take the arrays of both signs together, and half the arrays where these were half empty', () => {
    const w = randomIntegers(16, 128, 3, 127, 1);
    const count = (changes: Partial<Crossbar>) => {
      const mapping = mapMatrix(
        w,
        crossbar({ subtract: 'analog', adc: { model: 'uniform', bits: 6, range: 'unit-step' }, ...changes }),
      );
      const cost = networkCost({
        ...{ rows: 128, cols: 128 },
        layers: [layerMapping(mapping, { name: 'one', positions: 4 })],
      });
      expect(cost.arrays).toBe(footprint(mapping).arrays);
      expect(cost.conversions).toBe(4 * footprint(mapping).conversionsPerVector);
      return cost;
    };
    const [twins, side] = [count({}), count({ interleaved: true })];
    expect([twins.arrays, side.arrays]).toEqual([2, 1]);
    expect(side.conversions).toBe(twins.conversions);
    const dac = (cost: typeof side) => cost.parts.find(({ name }) => name === 'DAC')?.energyPj ?? 0;
    expect(dac(side)).toBeCloseTo(dac(twins) / 2, 9);
    expect(() => mapMatrix(w, crossbar({ storage: 'offset', interleaved: true }))).toThrow(/interleaved/);
  });
});

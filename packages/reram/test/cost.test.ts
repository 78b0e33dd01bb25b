import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GrimError } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compareCosts, HARDWARE, type HardwareDesign, type MappingSummary, networkCost } from '../src/cost.ts';
import { ADC_LAWS, type AdcLawName, adcCost } from '../src/cost-adc.ts';

function data(name: string): unknown {
  const path = join(process.env['GRIM_DATA'] ?? '', 'reram', name);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

function hardware(name: string): HardwareDesign {
  const found = HARDWARE.get(name);
  if (found === undefined) throw new Error(`no hardware ${name}`);
  return found;
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof GrimError) return error.code;
    throw error;
  }
  return 'nothing was thrown';
}

/** One product of 128 sixteen-bit inputs with 16 sixteen-bit weights each: one array for 16 cycles. */
const oneArray: MappingSummary = {
  rows: 128,
  cols: 128,
  layers: [
    {
      name: 'fc',
      groups: [{ arrays: 1, rowsUsed: 128, colsUsed: 128, adcBits: 8 }],
      positions: 1,
      inputSlices: 16,
      macs: 128 * 16,
      inputBytes: 256,
      outputBytes: 32,
    },
  ],
};

describe('laws of converter cost', () => {
  it.each([
    // powerMw and areaUm2 at 4 bits, and energy at 4 bits over that at 8: each law's own arithmetic, by hand.
    ['isaac-split', 0.9461, 361.0, 0.473],
    ['forms', 0.475, 284.4, 0.473],
    ['linear', 1.3778, 1500, 0.5],
    ['puma', 1, 1200, 0.25],
    ['exponential', 0.125, 75, 0.0625],
    ['survey', 0.4803, 183.0, 0.4623],
  ] as const)('%s gives its figures at 4 bits', (name, powerMw, areaUm2, overEight) => {
    const four = adcCost(name, 4);
    expect(four.powerMw / powerMw).toBeCloseTo(1, 3);
    expect(four.areaUm2 / areaUm2).toBeCloseTo(1, 3);
    expect(four.energyPj / adcCost(name, 8).energyPj).toBeCloseTo(overEight, 3);
  });

  it('every law rises with bits in energy, never falls in area, and names its source and formula', () => {
    expect(ADC_LAWS.size).toBe(8);
    for (const [name, law] of ADC_LAWS) {
      expect(law.source.length, name).toBeGreaterThan(60);
      expect(law.formula, name).toMatch(/E = .*A = /);
      for (let bits = 2; bits <= 12; bits++) {
        expect(adcCost(name, bits).energyPj).toBeGreaterThan(adcCost(name, bits - 1).energyPj);
        expect(adcCost(name, bits).areaUm2).toBeGreaterThanOrEqual(adcCost(name, bits - 1).areaUm2);
      }
    }
  });

  it('bits of 0 and 33, a column of 0 ohm and an unknown law are refused', () => {
    expect(codeOf(() => adcCost('isaac-split', 0))).toBe('GRIM_RERAM_BAD_ADC');
    expect(codeOf(() => adcCost('isaac-split', 33))).toBe('GRIM_RERAM_BAD_ADC');
    expect(codeOf(() => adcCost('isaac-split', 4.5))).toBe('GRIM_RERAM_BAD_ADC');
    expect(codeOf(() => adcCost('neurosim-sar', 5, 0))).toBe('GRIM_RERAM_BAD_ADC');
    expect(codeOf(() => adcCost('moore' as AdcLawName, 5))).toBe('GRIM_RERAM_BAD_ADC');
  });
});

describe('cost of a mapped network', () => {
  it('M9: the energy of one array for one product, by hand', () => {
    const cost = networkCost(oneArray);
    const energyPj = (name: string) => cost.parts.find((part) => part.name === name)?.energyPj;
    // 16 cycles x 128 columns; 2 mW for 128 conversions in 100 ns are 1.5625 pJ each.
    expect(cost.conversions).toBe(2048);
    expect(energyPj('ADC')).toBeCloseTo(2048 * 1.5625, 9);
    // 0.3 mW an array: 30 pJ a cycle. 4 mW for 1024 DACs: 0.390625 pJ each, 128 of them.
    expect(energyPj('crossbar')).toBeCloseTo(16 * 30, 9);
    expect(energyPj('DAC')).toBeCloseTo(16 * 128 * 0.390625, 9);
    // 20.7 mW and 7 mW at 1024 bytes in 100 ns: 2.02 and 0.68 pJ a byte.
    expect(energyPj('eDRAM buffer')).toBeCloseTo(288 * 2.021484375, 6);
    expect(energyPj('eDRAM bus')).toBeCloseTo(288 * 0.68359375, 6);
    // 16 cycles of 100 ns and 6 more in the pipeline.
    expect(cost.latencyNs).toBeCloseTo(2200, 9);
    expect(cost.intervalNs).toBeCloseTo(1600, 9);
    expect(cost.gops).toBeCloseTo(2.56, 9);
    expect(cost.energyPj).toBeCloseTo(
      cost.parts.reduce((sum, part) => sum + part.energyPj, 0),
      6,
    );
  });

  it('M9: a tile at full load takes the power and area of Table I', () => {
    const [layer] = oneArray.layers;
    if (layer === undefined) throw new Error('no layer');
    const full: MappingSummary = {
      ...oneArray,
      layers: [
        {
          ...layer,
          groups: [{ arrays: 96, rowsUsed: 128, colsUsed: 128, adcBits: 8 }],
          // 1024 bytes a cycle.
          inputBytes: 16 * 1024,
          outputBytes: 0,
          macs: 96 * 2048,
        },
      ],
    };
    const cost = networkCost(full);
    expect(cost.powerMw).toBeCloseTo(329.81, 6);
    expect(cost.areaUm2 * 1e-6).toBeCloseTo(0.37229, 8);
    expect(cost.gops).toBeCloseTo(245.76, 8);
    expect(cost.tiles).toBe(1);
    expect(cost.adcEnergyShare).toBeCloseTo(0.5822, 4);
    expect(cost.adcAreaShare).toBeCloseTo(0.3094, 4);
  });

  it('duplication divides the interval, multiplies the area, and leaves the energy alone', () => {
    const [layer] = oneArray.layers;
    if (layer === undefined) throw new Error('no layer');
    const one = networkCost({ ...oneArray, layers: [{ ...layer, positions: 64 }] });
    const four = networkCost({ ...oneArray, layers: [{ ...layer, positions: 64, duplication: 4 }] });
    expect(one.intervalNs / four.intervalNs).toBeCloseTo(4, 12);
    expect(four.areaUm2 / one.areaUm2).toBeCloseTo(4, 12);
    expect(four.energyPj / one.energyPj).toBeCloseTo(1, 12);
  });

  it('every price has a source, in every design', () => {
    expect([...HARDWARE.keys()]).toEqual(['isaac-ce', 'tinyadc', 'forms-like', 'puma-like', 'neurosim-like']);
    for (const design of HARDWARE.values()) {
      expect(design.source.length).toBeGreaterThan(40);
      for (const { source } of design.parts) expect(source).toMatch(/ISAAC|NeuroSim/);
      expect(networkCost(oneArray, design).parts.every(({ source }) => source !== '')).toBe(true);
    }
  });

  it.each([
    ['no layers', { layers: [] }],
    ['an array of no rows', { rows: 0 }],
    ['a fraction of a column', { cols: 12.5 }],
    ['negative spare arrays', { spareArrays: -1 }],
  ])('%s: refused', (_, change) => {
    expect(codeOf(() => networkCost({ ...oneArray, ...change }))).toBe('GRIM_RERAM_BAD_COST');
  });

  it('more rows used than an array has, and positions that are not a number, are refused', () => {
    const [layer] = oneArray.layers;
    if (layer === undefined) throw new Error('no layer');
    const groups = [{ arrays: 1, rowsUsed: 129, colsUsed: 1, adcBits: 8 }];
    expect(codeOf(() => networkCost({ ...oneArray, layers: [{ ...layer, groups }] }))).toBe('GRIM_RERAM_BAD_COST');
    expect(codeOf(() => networkCost({ ...oneArray, layers: [{ ...layer, positions: Number.NaN }] }))).toBe(
      'GRIM_RERAM_BAD_COST',
    );
  });
});

interface ConvCase {
  id: string;
  settings: Record<'in_channels' | 'height' | 'width' | 'filters' | 'kernel' | 'stride' | 'pad', number> &
    Record<'crossbar_rows' | 'crossbar_cols' | 'slices' | 'input_bits', number>;
  row_blocks: number;
  crossbars: number;
  worst_case_bits: number;
  adc_conversions: number;
  column_blocks: number;
}

/** Both polarities of a lowered convolution, every array of a row block used alike. */
function summaryOf({ settings: s, column_blocks }: ConvCase, adcBits: number): MappingSummary {
  const rowsTotal = s.in_channels * s.kernel ** 2;
  const out = (size: number) => Math.floor((size + 2 * s.pad - s.kernel) / s.stride) + 1;
  const positions = out(s.height) * out(s.width);
  const colsTotal = s.slices * s.filters;
  const groups = [];
  for (let row = 0; row < rowsTotal; row += s.crossbar_rows) {
    for (let block = 0; block < column_blocks; block++) {
      groups.push({
        arrays: 2,
        rowsUsed: Math.min(s.crossbar_rows, rowsTotal - row),
        colsUsed: Math.min(s.crossbar_cols, colsTotal - block * s.crossbar_cols),
        adcBits,
      });
    }
  }
  const layer = {
    name: 'conv',
    groups,
    positions,
    inputSlices: s.input_bits,
    macs: positions * rowsTotal * s.filters,
    inputBytes: positions * rowsTotal,
    outputBytes: positions * s.filters,
  };
  return { rows: s.crossbar_rows, cols: s.crossbar_cols, layers: [layer] };
}

describe('dense against column-proportional pruning', () => {
  it('the mapped convolutions have the conversions and arrays of the reference, and cost less with the bits that pruning leaves', (ctx) => {
    const found = data('conv_mapping.json') as { cases: ConvCase[] } | undefined;
    if (found === undefined) return ctx.skip('GRIM_DATA is not there: reram/conv_mapping.json');
    for (const one of found.cases) {
      // Dense differential columns of 2-bit cells, all rows on: ceil(log2(3 rows + 1)).
      const denseBits = Math.ceil(Math.log2(3 * one.settings.crossbar_rows + 1));
      expect(denseBits).toBeGreaterThan(one.worst_case_bits);
      const dense = networkCost(summaryOf(one, denseBits), hardware('isaac-ce'));
      const pruned = networkCost(summaryOf(one, one.worst_case_bits), hardware('tinyadc'));
      for (const cost of [dense, pruned]) {
        expect(cost.conversions, one.id).toBe(one.adc_conversions);
        expect(cost.arrays, one.id).toBe(one.crossbars);
      }
      const gain = compareCosts(dense, pruned);
      // Only the converters differ: the gains follow from their energy, area and share.
      const [was, is] = [adcCost('isaac-split', denseBits), adcCost('isaac-split', one.worst_case_bits)];
      const expected = (share: number, ratio: number) => 1 / (1 - share * (1 - ratio));
      expect(gain.power).toBeCloseTo(expected(dense.adcEnergyShare, is.energyPj / was.energyPj), 9);
      expect(gain.area).toBeCloseTo(expected(dense.adcAreaShare, is.areaUm2 / was.areaUm2), 9);
      expect(gain.power).toBeGreaterThan(1.1);
      expect(gain.latency).toBe(1);
      expect(gain.gopsPerW).toBeCloseTo(gain.energy, 9);
    }
  });

  it('fewer arrays cost in proportion: structured pruning cuts their number, not their converters', () => {
    const [layer] = oneArray.layers;
    if (layer === undefined) throw new Error('no layer');
    const arrays = (count: number) =>
      networkCost({
        ...oneArray,
        layers: [
          {
            ...layer,
            groups: [{ arrays: count, rowsUsed: 128, colsUsed: 128, adcBits: 8 }],
            inputBytes: 0,
            outputBytes: 0,
          },
        ],
      });
    const gain = compareCosts(arrays(12), arrays(3));
    expect(gain.area).toBeCloseTo(4, 12);
    expect(gain.energy).toBeCloseTo(4, 12);
  });
});

interface Run {
  chip_area_um2: number;
  adc_area_um2: number;
  latency_ns: number;
  dynamic_energy_pJ: number;
  adc_energy_pJ: number;
  tops_per_W: number;
  tops_per_mm2: number;
}

/** The four layers of the reference network: no padding, one array row of 64 or 128 per kernel position and input block. */
function neurosimSummary(adcBits: number): MappingSummary {
  // Cells of 6 to 900 kilo-ohm, levels uniform, each behind an access transistor of a quarter of 6 kilo-ohm.
  const cellS = (level: number) => 1 / 900_000 + ((1 / 6000 - 1 / 900_000) * level) / 3;
  const meanS = [0, 1, 2, 3].reduce((sum, level) => sum + 1 / (1 / cellS(level) + 1500), 0) / 4;
  // 7 of 8 input bits are random, half of them on.
  const columnOhm = (rows: number) => 1 / (rows * (7 / 16) * meanS);
  const layer = (
    name: string,
    positions: number,
    arrays: number,
    rowsUsed: number,
    colsUsed: number,
    macs: number,
  ) => ({
    name,
    positions,
    inputSlices: 8,
    macs: positions * macs,
    inputBytes: 0,
    outputBytes: 0,
    groups: [{ arrays, rowsUsed, colsUsed, adcBits, columnOhm: columnOhm(rowsUsed) }],
  });
  const layers = [
    layer('conv1', 14 * 14, 9 * 4, 64, 128, 576 * 128),
    layer('conv2', 6 * 6, 9 * 4, 128, 128, 1152 * 128),
    layer('fc1', 1, 16 * 8, 128, 128, 2048 * 256),
    layer('fc2', 1, 2, 128, 40, 256 * 10),
  ];
  const used = 36 + 36 + 128 + 2;
  return { rows: 128, cols: 128, layers, spareArrays: 576 - used };
}

const trend = (kind: string, bits: number) => {
  const adcLaw: AdcLawName = kind === 'sar' ? 'neurosim-sar' : 'neurosim-mlsa';
  return networkCost(neurosimSummary(bits), { ...hardware('neurosim-like'), adcLaw });
};

describe('trends of NeuroSim', () => {
  it.each([
    // Runs of the same program that no constant was taken from: chip mm2, latency us, energy uJ; all over the 5-bit SAR run.
    ['mlsa', 6, 11.773, 82.7, 4.22],
    ['sar', 4, 5.218, 270.5, 9.02],
    ['sar', 6, 5.68, 376.8, 12.09],
    ['sar', 8, 6.09, 485.7, 15.19],
  ] as const)(
    '%s with %i bits: area, latency and energy over those of the 5-bit SAR within 20 %%',
    (kind, bits, mm2, us, uj) => {
      const [cost, base] = [trend(kind, bits), trend('sar', 5)];
      expect(Math.abs(cost.areaUm2 / base.areaUm2 / (mm2 / 5.45) - 1)).toBeLessThan(0.2);
      expect(Math.abs(cost.latencyNs / base.latencyNs / (us / 323.3) - 1)).toBeLessThan(0.2);
      expect(Math.abs(cost.energyPj / base.energyPj / (uj / 10.55) - 1)).toBeLessThan(0.2);
    },
  );

  it('orders the converters as the reference runs do, with ADC shares within 0.05 and ratios within 20 %', (ctx) => {
    const found = data('neurosim_small_net.json') as { runs: Record<string, Run> } | undefined;
    if (found === undefined) return ctx.skip('GRIM_DATA is not there: reram/neurosim_small_net.json');
    const rows = Object.entries(found.runs).map(([name, run]) => {
      const match = /^(sar|mlsa)(\d+)$/.exec(name);
      if (match === null) throw new Error(`unknown run ${name}`);
      return { name, run, cost: trend(match[1] ?? '', Number(match[2])) };
    });
    expect(rows.length).toBeGreaterThan(2);
    for (const { name, run, cost } of rows) {
      expect(Math.abs(cost.adcEnergyShare - run.adc_energy_pJ / run.dynamic_energy_pJ), name).toBeLessThan(0.05);
      expect(Math.abs(cost.adcAreaShare - run.adc_area_um2 / run.chip_area_um2), name).toBeLessThan(0.05);
    }
    const figures = [
      [(run: Run) => run.dynamic_energy_pJ, (cost: (typeof rows)[0]['cost']) => cost.energyPj],
      [(run: Run) => run.chip_area_um2, (cost: (typeof rows)[0]['cost']) => cost.areaUm2],
      [(run: Run) => run.latency_ns, (cost: (typeof rows)[0]['cost']) => cost.latencyNs],
      [(run: Run) => run.tops_per_W, (cost: (typeof rows)[0]['cost']) => cost.gopsPerW],
      [(run: Run) => run.tops_per_mm2, (cost: (typeof rows)[0]['cost']) => 1 / (cost.latencyNs * cost.areaUm2)],
    ] as const;
    for (const [reference, ours] of figures) {
      for (const a of rows) {
        for (const b of rows) {
          const wanted = reference(a.run) / reference(b.run);
          const got = ours(a.cost) / ours(b.cost);
          expect(Math.sign(got - 1), `${a.name} against ${b.name}`).toBe(Math.sign(wanted - 1));
          if (wanted >= 1) expect(Math.abs(got / wanted - 1), `${a.name} against ${b.name}`).toBeLessThan(0.2);
        }
      }
    }
  });
});

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GrimError } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { type ChipTable, chipCost, ISAAC_CE, isaacSelfTest } from '../src/isaac.ts';

interface Named {
  name: string;
  power_mW: number;
  area_mm2: number;
  share?: number;
}

interface IsaacData {
  parameters: Record<'imas_per_tile' | 'tiles' | 'cycle_ns' | 'rows' | 'cols' | 'crossbars_per_ima', number> &
    Record<'input_bits' | 'weight_bits' | 'cell_bits', number> & {
      tile_components: Named[];
      ima_components: Named[];
      hypertransport: { power_W: number; area_mm2: number };
    };
  reconstructed: Record<string, number>;
  adc_bit_sweep: Record<string, number>[];
}

function data(): IsaacData | undefined {
  const path = join(process.env['GRIM_DATA'] ?? '', 'reram', 'isaac_cost.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

const withBits = (bits: number): ChipTable => ({ ...ISAAC_CE, adc: { ...ISAAC_CE.adc, bits } });

describe('the chip of ISAAC, added up', () => {
  it('the component table is the one of the reference', (ctx) => {
    const parameters = data()?.parameters;
    if (parameters === undefined) return ctx.skip('GRIM_DATA is not there: reram/isaac_cost.json');
    const sum = (rows: readonly { powerMw: number; areaMm2: number }[]) =>
      rows.map(({ powerMw, areaMm2 }) => [powerMw, areaMm2]);
    expect(sum(ISAAC_CE.tile)).toEqual(
      parameters.tile_components.map(({ power_mW, area_mm2, share = 1 }) => [power_mW * share, area_mm2 * share]),
    );
    const noAdc = parameters.ima_components.filter(({ name }) => !name.startsWith('ADC'));
    expect(sum(ISAAC_CE.ima)).toEqual(noAdc.map(({ power_mW, area_mm2 }) => [power_mW, area_mm2]));
    expect(sum(ISAAC_CE.chip)).toEqual([[parameters.hypertransport.power_W * 1e3, parameters.hypertransport.area_mm2]]);
    expect([ISAAC_CE.imasPerTile, ISAAC_CE.tiles, ISAAC_CE.cycleNs, ISAAC_CE.arraysPerIma]).toEqual([
      parameters.imas_per_tile,
      parameters.tiles,
      parameters.cycle_ns,
      parameters.crossbars_per_ima,
    ]);
  });

  it('every reconstructed total is reached', (ctx) => {
    const wanted = data()?.reconstructed;
    if (wanted === undefined) return ctx.skip('GRIM_DATA is not there: reram/isaac_cost.json');
    const cost = chipCost(ISAAC_CE);
    const found: Record<string, number> = {
      tile_overhead_mW: cost.tileOverhead.powerMw,
      tile_overhead_mm2: cost.tileOverhead.areaMm2,
      ima_mW: cost.ima.powerMw,
      ima_mm2: cost.ima.areaMm2,
      imas_mW: cost.imas.powerMw,
      imas_mm2: cost.imas.areaMm2,
      tile_mW: cost.tile.powerMw,
      tile_mm2: cost.tile.areaMm2,
      chip_W: cost.chip.powerMw / 1e3,
      chip_mm2: cost.chip.areaMm2,
      crossbar_GOPS: cost.arrayGops,
      tile_GOPS: cost.tileGops,
      chip_GOPS: cost.chipGops,
      CE_GOPS_per_mm2: cost.gopsPerMm2,
      PE_GOPS_per_W: cost.gopsPerW,
      adc_share_tile_power: cost.adcShareOfTilePower,
      adc_share_tile_area: cost.adcShareOfTileArea,
      storage_MB: cost.storageMb,
    };
    expect(Object.keys(found).sort()).toEqual(Object.keys(wanted).sort());
    for (const [name, value] of Object.entries(wanted)) expect((found[name] ?? 0) / value, name).toBeCloseTo(1, 12);
  });

  it('the sweep of ADC bits is reached, row by row', (ctx) => {
    const sweep = data()?.adc_bit_sweep;
    if (sweep === undefined) return ctx.skip('GRIM_DATA is not there: reram/isaac_cost.json');
    const base = chipCost(ISAAC_CE);
    for (const wanted of sweep) {
      const cost = chipCost(withBits(wanted['adc_bits'] ?? 0));
      const found: Record<string, number> = {
        adc_bits: wanted['adc_bits'] ?? 0,
        adc_mW: cost.adc.powerMw,
        adc_um2: cost.adc.areaMm2 * 1e6,
        tile_mW: cost.tile.powerMw,
        tile_mm2: cost.tile.areaMm2,
        chip_W: cost.chip.powerMw / 1e3,
        chip_mm2: cost.chip.areaMm2,
        gain_GOPS_per_W_tile: cost.tileGopsPerW / base.tileGopsPerW,
        gain_GOPS_per_mm2_tile: cost.tileGopsPerMm2 / base.tileGopsPerMm2,
        gain_GOPS_per_W_chip: cost.gopsPerW / base.gopsPerW,
        gain_GOPS_per_mm2_chip: cost.gopsPerMm2 / base.gopsPerMm2,
      };
      expect(Object.keys(found).sort()).toEqual(Object.keys(wanted).sort());
      for (const [name, value] of Object.entries(wanted)) expect((found[name] ?? 0) / value, name).toBeCloseTo(1, 12);
    }
  });

  it('M9: the tile by hand: 12 x (8 x 2 + 8.08) + 40.85 mW', () => {
    const cost = chipCost(ISAAC_CE);
    expect(cost.tile.powerMw).toBeCloseTo(12 * (16 + 4 + 0.01 + 2.4 + 0.2 + 1.24 + 0.23) + 40.85, 9);
    expect(cost.tile.areaMm2).toBeCloseTo(0.37229, 12);
    expect(cost.chip.powerMw).toBeCloseTo(168 * 329.81 + 10_400, 6);
    // 128 rows x 16 weights x 2 operations in 16 cycles of 100 ns.
    expect(cost.arrayGops).toBeCloseTo(2.56, 12);
  });

  it('the self-test reaches every published figure but the two it explains', () => {
    const rows = isaacSelfTest();
    const missed = rows.filter(({ reached }) => !reached);
    expect(missed.map(({ quantity }) => quantity)).toEqual(['PE, GOPS/W', 'CE, GOPS/mm2']);
    expect(missed.every(({ note }) => note !== undefined)).toBe(true);
    expect(missed.map(({ difference }) => Math.round(difference * 1e4) / 1e4)).toEqual([-0.0002, 0.0091]);
  });

  it('a converter as it was measured replaces the one of the law, which scales it', () => {
    const base = chipCost(ISAAC_CE);
    const measured = { bits: 6, powerMw: 5, areaMm2: 0.004 };
    const at = (bits: number) => chipCost({ ...ISAAC_CE, adc: { ...ISAAC_CE.adc, bits, measured } }).adc;
    expect(at(6)).toEqual({ powerMw: 5, areaMm2: 0.004 });
    const four = chipCost({ ...ISAAC_CE, adc: { ...ISAAC_CE.adc, bits: 4 } }).adc;
    expect(at(8).powerMw / at(4).powerMw).toBeCloseTo(base.adc.powerMw / four.powerMw, 12);
    expect(at(8).areaMm2 / at(4).areaMm2).toBeCloseTo(base.adc.areaMm2 / four.areaMm2, 12);
    for (const bad of [
      { ...measured, powerMw: -1 },
      { ...measured, areaMm2: Number.NaN },
    ])
      expect(() => chipCost({ ...ISAAC_CE, adc: { ...ISAAC_CE.adc, measured: bad } })).toThrow(/adc.measured/);
    expect(() => chipCost({ ...ISAAC_CE, adc: { ...ISAAC_CE.adc, measured: { ...measured, bits: 0 } } })).toThrow(
      /adcBits is 0/,
    );
  });

  it('tables with no tiles, fractions of arrays or negative power are refused', () => {
    const [first] = ISAAC_CE.ima;
    for (const wrong of [
      { ...ISAAC_CE, tiles: 0 },
      { ...ISAAC_CE, arraysPerIma: 1.5 },
      { ...ISAAC_CE, cycleNs: Number.NaN },
      { ...ISAAC_CE, ima: first ? [{ ...first, powerMw: -1 }] : [] },
    ]) {
      expect(() => chipCost(wrong)).toThrow(GrimError);
    }
    expect(() => chipCost(withBits(33))).toThrow(GrimError);
  });
});

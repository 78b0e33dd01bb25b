/** Reference vectors of costs: the totals of a component table, and runs of another tool over several converters. */
import { type AdcCost, adcCost, type ChipTable, type Component, chipCost, ISAAC_CE } from '@grim/reram';
import type { Fields, Measured } from './vectors-fields.ts';

const TOLERANCE = 1e-9;

/** The component table of the file is added up, not the one of the library. */
export function* chipTotals(fields: Fields): Generator<Measured> {
  const p = fields.part('parameters');
  const rows = (list: readonly Fields[]): readonly Component[] =>
    list.map((row) => {
      const share = row.number('share', 1);
      return {
        name: row.text('name'),
        count: share,
        powerMw: row.number('power_mW') * share,
        areaMm2: row.number('area_mm2') * share,
        source: 'the file',
      };
    });
  const ima = rows(p.parts('ima_components'));
  const converters = ima.filter(({ name }) => name.startsWith('ADC'));
  const count = p.number('crossbars_per_ima');
  const link = p.part('hypertransport');
  const total = (of: (one: Component) => number) => converters.reduce((sum, one) => sum + of(one), 0);
  const bits = Number(/\b(\d{1,2}) ?b/.exec(converters[0]?.name ?? '')?.[1] ?? 8);
  const measured = {
    bits,
    powerMw: total(({ powerMw }) => powerMw) / count,
    areaMm2: total(({ areaMm2 }) => areaMm2) / count,
  };
  const adc = { count, bits, law: 'isaac-split', measured } as const;
  const table: ChipTable = {
    ...ISAAC_CE,
    name: 'the file',
    adc,
    ima: ima.filter((one) => !converters.includes(one)),
    tile: rows(p.parts('tile_components')),
    chip: [
      {
        ...{ name: 'HyperTransport', count: 1, source: 'the file' },
        ...{ powerMw: link.number('power_W') * 1e3, areaMm2: link.number('area_mm2') },
      },
    ],
    ...{
      rows: p.number('rows'),
      cols: p.number('cols'),
      cellBits: p.number('cell_bits'),
      cycleNs: p.number('cycle_ns'),
    },
    ...{ weightBits: p.number('weight_bits'), inputBits: p.number('input_bits'), arraysPerIma: count },
    ...{ imasPerTile: p.number('imas_per_tile'), tiles: p.number('tiles') },
  };
  const base = chipCost(table);
  const totals: Readonly<Record<string, number>> = {
    tile_overhead_mW: base.tileOverhead.powerMw,
    tile_overhead_mm2: base.tileOverhead.areaMm2,
    ima_mW: base.ima.powerMw,
    ima_mm2: base.ima.areaMm2,
    imas_mW: base.imas.powerMw,
    imas_mm2: base.imas.areaMm2,
    tile_mW: base.tile.powerMw,
    tile_mm2: base.tile.areaMm2,
    chip_W: base.chip.powerMw / 1e3,
    chip_mm2: base.chip.areaMm2,
    crossbar_GOPS: base.arrayGops,
    tile_GOPS: base.tileGops,
    chip_GOPS: base.chipGops,
    CE_GOPS_per_mm2: base.gopsPerMm2,
    PE_GOPS_per_W: base.gopsPerW,
    adc_share_tile_power: base.adcShareOfTilePower,
    adc_share_tile_area: base.adcShareOfTileArea,
    storage_MB: base.storageMb,
  };
  yield* compared('total ', totals, fields.part('reconstructed'));
  if (!fields.has('adc_bit_sweep')) return;
  for (const row of fields.parts('adc_bit_sweep')) {
    const swept = row.number('adc_bits');
    const cost = chipCost({ ...table, adc: { ...adc, bits: swept } });
    const found: Readonly<Record<string, number>> = {
      adc_bits: swept,
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
    yield* compared(`${swept} bits, `, found, row);
  }
}

function* compared(prefix: string, found: Readonly<Record<string, number>>, wanted: Fields): Generator<Measured> {
  for (const name of wanted.names()) {
    const id = prefix + name;
    const value = Object.hasOwn(found, name) ? found[name] : undefined;
    if (value === undefined) yield { id, error: 0, tolerance: TOLERANCE, skipped: 'no such total is computed' };
    else {
      const goal = wanted.number(name);
      yield { id, error: Math.abs(value / goal - 1), tolerance: Math.max(TOLERANCE, printedRounding(goal)) };
    }
  }
}

/** Half a unit of the last digit that is printed, relative; what has fewer than two decimals is not taken for rounded. */
function printedRounding(value: number): number {
  const decimals = /\.(\d+)$/.exec(String(value))?.[1]?.length ?? 0;
  return decimals < 2 || decimals > 6 ? 0 : (0.51 * 10 ** -decimals) / Math.abs(value);
}

/**
 * Another tool's runs of one network with several converters. The figures are for trends and shares, not to the digit, so what is
 * held is the order: of every two runs, the laws of the two converters must say which has the larger area, energy and clock, and
 * of the whole chip too. The error of a run is the number of comparisons with other runs that come out the other way.
 */
export function* converterRuns(fields: Fields): Generator<Measured> {
  const runs = fields.part('runs');
  const known = runs.names().flatMap((id) => {
    const [, kind, bits] = /^(mlsa|sar)([1-9]|1[0-6])$/.exec(id) ?? [];
    if (kind === undefined) return [];
    const law = adcCost(kind === 'sar' ? 'neurosim-sar' : 'neurosim-mlsa', Number(bits));
    return [{ id, law, run: runs.part(id) }];
  });
  const held: readonly (readonly [field: string, of: (law: AdcCost) => number])[] = [
    ['adc_area_um2', ({ areaUm2 }) => areaUm2],
    ['chip_area_um2', ({ areaUm2 }) => areaUm2],
    ['adc_energy_pJ', ({ energyPj }) => energyPj],
    ['dynamic_energy_pJ', ({ energyPj }) => energyPj],
    ['clock_ns', ({ conversionNs }) => conversionNs],
    ['latency_ns', ({ conversionNs }) => conversionNs],
  ];
  for (const id of runs.names()) {
    const own = known.find((one) => one.id === id);
    const others = known.filter((one) => one !== own);
    if (!own || others.length === 0) {
      const skipped = own
        ? 'one run alone has no order'
        : 'no law is known for this converter; there are those of mlsa1 to 16 and sar1 to 16';
      yield { id, error: 0, tolerance: 0, skipped };
      continue;
    }
    let turned = 0;
    for (const other of others)
      for (const [field, of] of held) {
        const [a, b] = [own.run.number(field), other.run.number(field)];
        // Two flash-like converters have one clock by their law, whatever the bits.
        if (of(own.law) === of(other.law)) continue;
        if (Math.sign(a - b) !== Math.sign(of(own.law) - of(other.law))) turned++;
      }
    yield { id, error: turned, tolerance: 0 };
  }
}

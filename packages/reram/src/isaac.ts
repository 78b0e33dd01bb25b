/**
 * ISAAC's chip, part by part, and what it adds up to: the self-test of the cost model.
 *
 * Every figure is from Table I of Shafiee et al., "ISAAC: A Convolutional Neural Network Accelerator with In-Situ Analog
 * Arithmetic in Crossbars", ISCA 2016, corrected version of October 2016; 32 nm, 1.2 GHz.
 */
import { type AdcLawName, adcCost } from './cost-adc.ts';
import { checkInteger, checkReal } from './errors.ts';

/** A row of a component table: all units of that kind together. */
export interface Component {
  readonly name: string;
  readonly count: number;
  readonly powerMw: number;
  readonly areaMm2: number;
  readonly source: string;
}

/** A chip of equal tiles of equal in-situ multiply-accumulate units (IMA), each with some arrays and converters. */
export interface ChipTable {
  readonly name: string;
  readonly technologyNm: number;
  readonly cycleNs: number;
  readonly rows: number;
  readonly cols: number;
  readonly cellBits: number;
  readonly dacBits: number;
  readonly weightBits: number;
  readonly inputBits: number;
  readonly arraysPerIma: number;
  readonly imasPerTile: number;
  readonly tiles: number;
  /** The converters of one IMA, costed by a law and a number of bits instead of a row of the table. */
  readonly adc: {
    readonly count: number;
    readonly bits: number;
    readonly law: AdcLawName;
    /** One converter as it was measured: the law then says only how other bits compare with it. Default: the law's own. */
    readonly measured?: PowerArea & { readonly bits: number };
  };
  readonly ima: readonly Component[];
  readonly tile: readonly Component[];
  readonly chip: readonly Component[];
  readonly source: string;
}

const TABLE = 'ISAAC (ISCA 2016, corrected October 2016), Table I, 32 nm, 1.2 GHz';

const row = (name: string, count: number, powerMw: number, areaMm2: number, note = ''): Component => ({
  name,
  count,
  powerMw,
  areaMm2,
  source: note === '' ? TABLE : `${TABLE}; ${note}`,
});

/** ISAAC-CE, the configuration with the best throughput per area. */
export const ISAAC_CE: ChipTable = {
  name: 'isaac-ce',
  technologyNm: 32,
  cycleNs: 100,
  rows: 128,
  cols: 128,
  cellBits: 2,
  dacBits: 1,
  weightBits: 16,
  inputBits: 16,
  arraysPerIma: 8,
  imasPerTile: 12,
  tiles: 168,
  adc: { count: 8, bits: 8, law: 'isaac-split' },
  ima: [
    row('DAC', 1024, 4, 0.00017, '1 bit each'),
    row('sample and hold', 1024, 0.01, 0.00004),
    row('crossbar', 8, 2.4, 0.0002, '128 x 128 cells of 2 bits'),
    row('shift and add', 4, 0.2, 0.00024),
    row('input register', 1, 1.24, 0.0021, '2 KB'),
    row('output register', 1, 0.23, 0.00077, '256 B'),
  ],
  tile: [
    row('eDRAM buffer', 1, 20.7, 0.083, '64 KB, 4 banks, 256 bits wide'),
    row('eDRAM bus', 1, 7, 0.09, '384 wires'),
    row('router', 0.25, 10.5, 0.03775, 'one of 42 mW and 0.151 mm2 for four tiles'),
    row('sigmoid', 2, 0.52, 0.0006),
    row('tile shift and add', 1, 0.05, 0.00006),
    row('max-pool', 1, 0.4, 0.00024),
    row('tile output register', 1, 1.68, 0.0032, '3 KB'),
  ],
  chip: [row('HyperTransport', 4, 10_400, 22.88, '4 links of 1.6 GHz, 6.4 GB/s')],
  source: TABLE,
};

export interface PowerArea {
  readonly powerMw: number;
  readonly areaMm2: number;
}

export interface ChipCost {
  readonly adc: PowerArea;
  readonly ima: PowerArea;
  readonly imas: PowerArea;
  readonly tileOverhead: PowerArea;
  readonly tile: PowerArea;
  readonly allTiles: PowerArea;
  readonly chip: PowerArea;
  /** One multiply-accumulate at full weight and input width is two operations. */
  readonly arrayGops: number;
  readonly tileGops: number;
  readonly chipGops: number;
  readonly tileGopsPerW: number;
  readonly tileGopsPerMm2: number;
  /** ISAAC's PE and CE. */
  readonly gopsPerW: number;
  readonly gopsPerMm2: number;
  readonly storageMb: number;
  /** ISAAC's SE. */
  readonly storageMbPerMm2: number;
  readonly adcShareOfTilePower: number;
  readonly adcShareOfTileArea: number;
}

/**
 * Adds up a component table.
 *
 * @throws {GrimError} GRIM_RERAM_BAD_COST for counts, powers or areas out of range, GRIM_RERAM_BAD_ADC
 * @example
 * ```ts
 * chipCost(ISAAC_CE).gopsPerW; // 627.4; published 627.5
 * chipCost({ ...ISAAC_CE, adc: { ...ISAAC_CE.adc, bits: 4 } }).chip.powerMw; // 48810
 * ```
 */
export function chipCost(table: ChipTable): ChipCost {
  checkTable(table);
  const { rows, cols, cellBits, weightBits, inputBits, dacBits, cycleNs, arraysPerIma, imasPerTile, tiles } = table;
  const { law, bits, measured } = table.adc;
  const one = adcCost(law, bits);
  const base = measured && adcCost(law, measured.bits);
  const adc = {
    powerMw: one.powerMw * (base ? measured.powerMw / base.powerMw : 1),
    areaMm2: one.areaUm2 * (base ? measured.areaMm2 / base.areaUm2 : 1e-6),
  };
  const ima = plus(total(table.ima), times(table.adc.count, adc));
  const imas = times(imasPerTile, ima);
  const tileOverhead = total(table.tile);
  const tile = plus(imas, tileOverhead);
  const allTiles = times(tiles, tile);
  const chip = plus(allTiles, total(table.chip));
  const weightsPerRow = Math.floor(cols / Math.ceil(weightBits / cellBits));
  const arrayGops = (2 * rows * weightsPerRow) / (Math.ceil(inputBits / dacBits) * cycleNs);
  const tileGops = arrayGops * arraysPerIma * imasPerTile;
  const chipGops = tileGops * tiles;
  const storageMb = (tiles * imasPerTile * arraysPerIma * rows * cols * cellBits) / 8 / 2 ** 20;
  const adcs = times(table.adc.count * imasPerTile, adc);
  return {
    adc,
    ima,
    imas,
    tileOverhead,
    tile,
    allTiles,
    chip,
    arrayGops,
    tileGops,
    chipGops,
    tileGopsPerW: (tileGops / tile.powerMw) * 1e3,
    tileGopsPerMm2: tileGops / tile.areaMm2,
    gopsPerW: (chipGops / chip.powerMw) * 1e3,
    gopsPerMm2: chipGops / chip.areaMm2,
    storageMb,
    storageMbPerMm2: storageMb / chip.areaMm2,
    adcShareOfTilePower: adcs.powerMw / tile.powerMw,
    adcShareOfTileArea: adcs.areaMm2 / tile.areaMm2,
  };
}

export function checkTable(table: ChipTable): void {
  const whole = { rows: table.rows, cols: table.cols, cellBits: table.cellBits, dacBits: table.dacBits };
  const counts = { arraysPerIma: table.arraysPerIma, imasPerTile: table.imasPerTile, tiles: table.tiles };
  const widths = { weightBits: table.weightBits, inputBits: table.inputBits, 'adc.count': table.adc.count };
  for (const [name, value] of Object.entries({ ...whole, ...counts, ...widths })) {
    checkInteger('GRIM_RERAM_BAD_COST', `${table.name}: ${name}`, value, 1, 1e9);
  }
  checkReal('GRIM_RERAM_BAD_COST', `${table.name}: cycleNs`, table.cycleNs, 1e-6, 1e9);
  const { measured } = table.adc;
  const converters = measured ? [{ name: 'adc.measured', ...measured }] : [];
  for (const { name, powerMw, areaMm2 } of [...table.ima, ...table.tile, ...table.chip, ...converters]) {
    checkReal('GRIM_RERAM_BAD_COST', `${table.name}: powerMw of ${name}`, powerMw, 0, 1e9);
    checkReal('GRIM_RERAM_BAD_COST', `${table.name}: areaMm2 of ${name}`, areaMm2, 0, 1e9);
  }
}

function total(components: readonly Component[]): PowerArea {
  return components.reduce(plus, { powerMw: 0, areaMm2: 0 });
}

function plus(a: PowerArea, b: PowerArea): PowerArea {
  return { powerMw: a.powerMw + b.powerMw, areaMm2: a.areaMm2 + b.areaMm2 };
}

function times(count: number, { powerMw, areaMm2 }: PowerArea): PowerArea {
  return { powerMw: count * powerMw, areaMm2: count * areaMm2 };
}

/** Peak figures as published, for comparison; their parts are not all published, so nothing is computed from them. */
export const PUBLISHED_PEAKS: readonly {
  readonly name: string;
  readonly gopsPerMm2: number;
  readonly gopsPerW: number;
  readonly storageMbPerMm2?: number;
  readonly source: string;
}[] = [
  {
    name: 'ISAAC-CE',
    gopsPerMm2: 478.95,
    gopsPerW: 627.5,
    storageMbPerMm2: 0.74,
    source: 'ISAAC, corrected October 2016',
  },
  { name: 'ISAAC-PE', gopsPerMm2: 409.67, gopsPerW: 644.2, source: 'ISAAC, corrected October 2016' },
  {
    name: 'ISAAC-SE',
    gopsPerMm2: 103.35,
    gopsPerW: 312.5,
    storageMbPerMm2: 20.25,
    source: 'ISAAC, corrected October 2016',
  },
  {
    name: 'DaDianNao',
    gopsPerMm2: 63.46,
    gopsPerW: 286.4,
    storageMbPerMm2: 0.41,
    source: 'ISAAC, corrected October 2016',
  },
  { name: 'PUMA', gopsPerMm2: 577, gopsPerW: 837, source: 'Ankit et al., PUMA, ASPLOS 2019; counts ISAAC another way' },
];

export interface SelfTestRow {
  readonly quantity: string;
  readonly computed: number;
  readonly published: number;
  /** Share of the published figure. */
  readonly difference: number;
  /** The computed figure, rounded to the digits printed, is the published one. */
  readonly reached: boolean;
  readonly note?: string;
}

/** The reconstruction of ISAAC-CE beside its published totals. One row is known not to reconcile, and says so. */
export function isaacSelfTest(): readonly SelfTestRow[] {
  const cost = chipCost(ISAAC_CE);
  const line = (quantity: string, computed: number, published: number, digits: number, note?: string): SelfTestRow => ({
    quantity,
    computed,
    published,
    difference: computed / published - 1,
    // Half a unit of the last digit printed; published sums were made from rounded parts, hence the margin above a half.
    reached: Math.abs(computed - published) <= 0.51 * 10 ** -digits,
    ...(note === undefined ? {} : { note }),
  });
  return [
    line('tile overhead, mW', cost.tileOverhead.powerMw, 40.9, 1),
    line('tile overhead, mm2', cost.tileOverhead.areaMm2, 0.215, 3),
    line('12 IMAs, mW', cost.imas.powerMw, 289, 0),
    line('12 IMAs, mm2', cost.imas.areaMm2, 0.157, 3),
    line('tile, mW', cost.tile.powerMw, 330, 0),
    line('tile, mm2', cost.tile.areaMm2, 0.372, 3),
    line('168 tiles, W', cost.allTiles.powerMw / 1e3, 55.4, 1),
    line('168 tiles, mm2', cost.allTiles.areaMm2, 62.5, 1),
    line('chip, W', cost.chip.powerMw / 1e3, 65.8, 1),
    line('chip, mm2', cost.chip.areaMm2, 85.4, 1),
    line('PE, GOPS/W', cost.gopsPerW, 627.5, 1, 'the published figure divides by the rounded 65.8 W'),
    line('CE, GOPS/mm2', cost.gopsPerMm2, 478.95, 2, 'published 0.9 % lower than its own parts give; no known cause'),
    line('SE, MB/mm2', cost.storageMbPerMm2, 0.74, 2),
    line('ADC share of tile power', cost.adcShareOfTilePower, 0.58, 2),
    line('ADC share of tile area', cost.adcShareOfTileArea, 0.31, 2),
  ];
}

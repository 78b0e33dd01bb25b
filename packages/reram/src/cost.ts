/**
 * Energy, area and time of a network on crossbars, from plain counts of what its mapping uses.
 *
 * The counting rules are ISAAC's: in every cycle each array drives its word lines with one slice of the inputs, and each of
 * its used columns is converted once. conversions = positions x input slices x columns. Every price is a {@link Part} with
 * its source; converters are priced by an ADC law. Static power is not modelled apart: a part costs what it costs while used.
 */
import { ADC_LAWS, type AdcLawName, adcCost } from './cost-adc.ts';
import { checkInteger, checkReal, fail } from './errors.ts';
import { type ChipTable, checkTable, ISAAC_CE } from './isaac.ts';

/** Arrays of one layer that are used alike. */
export interface ArrayGroup {
  /** How many, of one copy of the layer; both polarities count. */
  readonly arrays: number;
  /** Word lines driven in each. */
  readonly rowsUsed: number;
  /** Columns whose cells carry current, a unit column included. */
  readonly colsUsed: number;
  /** Columns converted in each cycle, where not all are; default: `colsUsed`. */
  readonly colsConverted?: number;
  /** Arrays that share their converters column by column: 2 where currents of both signs are subtracted before; default 1. */
  readonly arraysPerConverterSet?: 1 | 2;
  /** Resolution of the converters of these arrays. */
  readonly adcBits: number;
  /** Of a bit line with its active cells in parallel; only some ADC laws ask. */
  readonly columnOhm?: number;
}

export interface LayerMapping {
  readonly name: string;
  readonly groups: readonly ArrayGroup[];
  /** Matrix-vector products for one inference: output pixels of a Conv, time steps of a GRU, 1 for a Gemm. */
  readonly positions: number;
  /** Cycles for one product: input bits over DAC bits. */
  readonly inputSlices: number;
  /** Conversions of a column for one product: 1 where the slices are added as charge; default: `inputSlices`. */
  readonly conversionsPerProduct?: number;
  /** Multiply-accumulates of the dense layer for one inference; throughput counts two operations each. */
  readonly macs: number;
  /** Bytes read from and written to the tile's buffer for one inference. */
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** Copies of the layer that share the positions; default 1. */
  readonly duplication?: number;
}

/** What the cost model needs to know of a mapped network: counts only. */
export interface MappingSummary {
  /** Size of every array. */
  readonly rows: number;
  readonly cols: number;
  readonly layers: readonly LayerMapping[];
  /** Arrays that are placed but hold nothing: they take area. Default 0. */
  readonly spareArrays?: number;
  /** Resolution of the spare arrays' converters; default: the highest that any layer uses. */
  readonly spareAdcBits?: number;
}

/** A price: an area for each unit placed, an energy for each event. */
export interface Part {
  readonly name: string;
  readonly areaUm2: number;
  readonly areaPer: 'cell' | 'row' | 'column' | 'array';
  readonly energyPj: number;
  readonly energyPer: 'cell-mac' | 'row-activation' | 'conversion' | 'byte';
  readonly source: string;
}

export interface HardwareDesign {
  readonly name: string;
  readonly technologyNm: number;
  readonly adcLaw: AdcLawName;
  readonly columnsPerAdc: number;
  /** An array's cycle is not shorter than this. */
  readonly arrayReadNs: number;
  /** Time of one conversion step: offset + factor x the time of the ADC law. */
  readonly conversionOffsetNs: number;
  readonly conversionFactor: number;
  /** Cycles that a layer needs beside those of its arrays: read, convert, shift and add, activation, write. */
  readonly pipelineCycles: number;
  /** For the number of tiles that is reported. */
  readonly arraysPerTile: number;
  readonly parts: readonly Part[];
  readonly source: string;
}

export interface PartCost {
  readonly name: string;
  readonly energyPj: number;
  readonly areaUm2: number;
  readonly source: string;
}

export interface Cost {
  /** Of one inference. */
  readonly energyPj: number;
  readonly areaUm2: number;
  /** Layer after layer, one inference. */
  readonly latencyNs: number;
  /** Between inferences when all layers work at once: the slowest layer. */
  readonly intervalNs: number;
  readonly arrays: number;
  readonly adcs: number;
  readonly conversions: number;
  readonly parts: readonly PartCost[];
}

export interface LayerCost extends Cost {
  readonly name: string;
}

export interface NetworkCost extends Cost {
  readonly design: string;
  readonly adcLaw: AdcLawName;
  /** Energy over interval. */
  readonly powerMw: number;
  /** Two operations for each multiply-accumulate of the dense network, at the interval. */
  readonly gops: number;
  readonly gopsPerW: number;
  readonly gopsPerMm2: number;
  readonly inferencesPerS: number;
  readonly tiles: number;
  readonly adcEnergyShare: number;
  readonly adcAreaShare: number;
  readonly layers: readonly LayerCost[];
}

/**
 * Prices for single events, from a table of powers at full load: power x cycle / events in a cycle. A tile's buffer, bus
 * and router move one byte for each array row in a cycle, which makes 2.02 and 0.68 pJ a byte of ISAAC's.
 */
export function designOf(table: ChipTable, adcLaw: AdcLawName = table.adc.law): HardwareDesign {
  checkTable(table);
  const { rows, cols, cycleNs, arraysPerIma, imasPerTile } = table;
  const arraysPerTile = arraysPerIma * imasPerTile;
  const perIma = { cell: arraysPerIma * rows * cols, row: arraysPerIma * rows, column: arraysPerIma * cols };
  const bytesPerCycle = arraysPerIma * rows;
  const kinds: Readonly<Record<string, readonly [Part['areaPer'], Part['energyPer']]>> = {
    DAC: ['row', 'row-activation'],
    'input register': ['row', 'row-activation'],
    crossbar: ['cell', 'cell-mac'],
  };
  const imaParts = table.ima.map(({ name, powerMw, areaMm2, source }): Part => {
    const [areaPer, energyPer] = kinds[name] ?? (['column', 'conversion'] as const);
    const units = areaPer === 'cell' ? perIma.cell : areaPer === 'row' ? perIma.row : perIma.column;
    return {
      name,
      areaPer,
      areaUm2: (areaMm2 * 1e6) / units,
      energyPer,
      energyPj: (powerMw * cycleNs) / units,
      source,
    };
  });
  const moving = new Set(['eDRAM buffer', 'eDRAM bus', 'router']);
  const tileParts = table.tile.map(({ name, powerMw, areaMm2, source }): Part => {
    const energyPer = moving.has(name) ? 'byte' : 'conversion';
    const events = energyPer === 'byte' ? bytesPerCycle : perIma.column * imasPerTile;
    return {
      name,
      areaPer: 'array',
      areaUm2: (areaMm2 * 1e6) / arraysPerTile,
      energyPer,
      energyPj: (powerMw * cycleNs) / events,
      source,
    };
  });
  return {
    name: table.name,
    technologyNm: table.technologyNm,
    adcLaw,
    columnsPerAdc: (arraysPerIma * cols) / table.adc.count,
    arrayReadNs: cycleNs,
    conversionOffsetNs: 0,
    conversionFactor: 1,
    pipelineCycles: 6,
    arraysPerTile,
    parts: [...imaParts, ...tileParts],
    source: `${table.source}; prices of single events derived from its powers at full load; 22 cycles deep, 16 of them in the array`,
  };
}

const ISAAC_DESIGN = designOf(ISAAC_CE);

const NEUROSIM_RUN =
  'DNN+NeuroSim V1.3, commit 388f421, 22 nm LSTP, 128 x 128, 8 columns for each ADC, 5-bit SAR run of a four-layer network: ' +
  '576 arrays, 9216 converters, 8.69 million conversions';

/** Prices as one 5-bit NeuroSim run has them: for trends over converters and bits, not for absolute figures. */
const NEUROSIM_DESIGN: HardwareDesign = {
  name: 'neurosim-like',
  technologyNm: 22,
  adcLaw: 'neurosim-sar',
  columnsPerAdc: 8,
  arrayReadNs: 0,
  conversionOffsetNs: 0.45,
  conversionFactor: 1.4,
  pipelineCycles: 6,
  arraysPerTile: 64,
  parts: [
    part('crossbar', 317.2, 'array', 0, 'cell-mac', 'area of the arrays; their energy is in "other"'),
    part('accumulation', 1115.1, 'array', 0.0428, 'conversion', '642302 um2, 371805 pJ'),
    part(
      'other',
      4290.1,
      'array',
      0.0916,
      'conversion',
      'drivers, decoders, multiplexers, buffers, wires: 2471110 um2, 796219 pJ',
    ),
    part(
      'ADC',
      0,
      'array',
      0.03,
      'conversion',
      'what its converters take beyond the law at 5 and 7 bits (9384640 and 12349300 pJ), multiplexing included',
    ),
    part('interconnect', 2082.6, 'array', 0, 'conversion', '1199570 um2; its energy is in "other"'),
  ],
  source: `${NEUROSIM_RUN}. Clock: 0.45 ns + 1.4 x the time of the converter, read off its 4- to 8-bit runs.`,
};

function part(
  name: string,
  areaUm2: number,
  areaPer: Part['areaPer'],
  energyPj: number,
  energyPer: Part['energyPer'],
  note: string,
): Part {
  return { name, areaUm2, areaPer, energyPj, energyPer, source: `${NEUROSIM_RUN}; ${note}` };
}

/**
 * Designs by name. `tinyadc` is ISAAC's hardware: what differs is the bits that the mapping asks for. `forms-like` and
 * `puma-like` exchange ISAAC's converter for theirs and keep the rest, of which they publish too little.
 */
export const HARDWARE: ReadonlyMap<string, HardwareDesign> = new Map(
  [
    ISAAC_DESIGN,
    { ...ISAAC_DESIGN, name: 'tinyadc' },
    { ...designOf(ISAAC_CE, 'forms'), name: 'forms-like' },
    { ...designOf(ISAAC_CE, 'puma'), name: 'puma-like' },
    NEUROSIM_DESIGN,
  ].map((design) => [design.name, design]),
);

/**
 * Costs a mapped network.
 *
 * @throws {GrimError} GRIM_RERAM_BAD_COST for counts that are negative, fractional or do not fit the arrays,
 *   GRIM_RERAM_BAD_ADC for bits out of range
 * @example
 * ```ts
 * const { energyPj, areaUm2, gopsPerW } = networkCost(summary);
 * ```
 */
export function networkCost(summary: MappingSummary, design: HardwareDesign = ISAAC_DESIGN): NetworkCost {
  checkSummary(summary);
  const layers = summary.layers.map((layer) => layerCost(summary, layer, design));
  const bits = summary.layers.flatMap(({ groups }) => groups.map(({ adcBits }) => adcBits));
  const spares = sparePart(summary, design, summary.spareAdcBits ?? Math.max(1, ...bits));
  const parts = [...layers.flatMap((layer) => layer.parts), ...spares.parts];
  const sum = (of: (layer: LayerCost) => number) => layers.reduce((total, layer) => total + of(layer), 0);
  const energyPj = sum((layer) => layer.energyPj);
  const areaUm2 = sum((layer) => layer.areaUm2) + spares.areaUm2;
  const intervalNs = Math.max(0, ...layers.map((layer) => layer.intervalNs));
  const operations = 2 * summary.layers.reduce((total, { macs }) => total + macs, 0);
  const arrays = sum((layer) => layer.arrays) + (summary.spareArrays ?? 0);
  const merged = mergeParts(parts);
  const adc = merged.find(({ name }) => name === 'ADC');
  const per = (value: number, unit: number) => (unit > 0 ? value / unit : 0);
  return {
    design: design.name,
    adcLaw: design.adcLaw,
    energyPj,
    areaUm2,
    latencyNs: sum((layer) => layer.latencyNs),
    intervalNs,
    powerMw: per(energyPj, intervalNs),
    gops: per(operations, intervalNs),
    // Operations per picojoule are tera-operations per second and watt.
    gopsPerW: per(operations, energyPj) * 1e3,
    gopsPerMm2: per(operations, intervalNs) / (areaUm2 * 1e-6 || 1),
    inferencesPerS: per(1e9, intervalNs),
    arrays,
    adcs: sum((layer) => layer.adcs) + spares.adcs,
    conversions: sum((layer) => layer.conversions),
    tiles: Math.ceil(arrays / design.arraysPerTile),
    adcEnergyShare: per(adc?.energyPj ?? 0, energyPj),
    adcAreaShare: per(adc?.areaUm2 ?? 0, areaUm2),
    parts: merged,
    layers,
  };
}

function layerCost(summary: MappingSummary, layer: LayerMapping, design: HardwareDesign): LayerCost {
  const { positions, inputSlices, duplication = 1, conversionsPerProduct = inputSlices } = layer;
  const steps = positions * inputSlices;
  const parts: PartCost[] = [];
  const law = ADC_LAWS.get(design.adcLaw);
  let conversions = 0;
  let arrays = 0;
  let adcs = 0;
  let cycleNs = 0;
  for (const group of layer.groups) {
    const { arrays: count, rowsUsed, colsUsed, adcBits, columnOhm } = group;
    const { colsConverted = colsUsed, arraysPerConverterSet: sharing = 1 } = group;
    const converter = adcCost(design.adcLaw, adcBits, columnOhm);
    const placed = count * duplication;
    const events = {
      'cell-mac': steps * count * rowsUsed * colsUsed,
      'row-activation': steps * count * rowsUsed,
      conversion: (positions * conversionsPerProduct * count * colsConverted) / sharing,
      byte: 0,
    };
    for (const piece of design.parts) {
      parts.push({
        name: piece.name,
        energyPj: piece.energyPj * events[piece.energyPer],
        areaUm2: piece.areaUm2 * placed * unitsPerArray(piece.areaPer, summary),
        source: piece.source,
      });
    }
    const converters = Math.ceil(placed / sharing) * Math.ceil(summary.cols / design.columnsPerAdc);
    parts.push({
      name: 'ADC',
      energyPj: converter.energyPj * events.conversion,
      areaUm2: converter.areaUm2 * converters,
      source: law?.source ?? '',
    });
    const turns = Math.min(colsConverted, design.columnsPerAdc);
    const step = design.conversionOffsetNs + design.conversionFactor * converter.conversionNs;
    cycleNs = Math.max(cycleNs, design.arrayReadNs, turns * step);
    conversions += events.conversion;
    arrays += placed;
    adcs += converters;
  }
  const bytes = layer.inputBytes + layer.outputBytes;
  for (const piece of design.parts) {
    if (piece.energyPer !== 'byte') continue;
    parts.push({ name: piece.name, energyPj: piece.energyPj * bytes, areaUm2: 0, source: piece.source });
  }
  const merged = mergeParts(parts);
  const cycles = Math.ceil(positions / duplication) * inputSlices;
  return {
    name: layer.name,
    energyPj: merged.reduce((total, one) => total + one.energyPj, 0),
    areaUm2: merged.reduce((total, one) => total + one.areaUm2, 0),
    latencyNs: (cycles + design.pipelineCycles) * cycleNs,
    intervalNs: cycles * cycleNs,
    arrays,
    adcs,
    conversions,
    parts: merged,
  };
}

function sparePart(
  summary: MappingSummary,
  design: HardwareDesign,
  adcBits: number,
): { areaUm2: number; adcs: number; parts: readonly PartCost[] } {
  const arrays = summary.spareArrays ?? 0;
  const adcs = arrays * Math.ceil(summary.cols / design.columnsPerAdc);
  const parts = design.parts.map(
    ({ name, areaUm2, areaPer, source }): PartCost => ({
      name,
      energyPj: 0,
      areaUm2: areaUm2 * arrays * unitsPerArray(areaPer, summary),
      source,
    }),
  );
  const source = ADC_LAWS.get(design.adcLaw)?.source ?? '';
  parts.push({ name: 'ADC', energyPj: 0, areaUm2: adcs * adcCost(design.adcLaw, adcBits).areaUm2, source });
  return { adcs, parts, areaUm2: parts.reduce((total, { areaUm2 }) => total + areaUm2, 0) };
}

function unitsPerArray(per: Part['areaPer'], { rows, cols }: MappingSummary): number {
  return per === 'cell' ? rows * cols : per === 'row' ? rows : per === 'column' ? cols : 1;
}

function mergeParts(parts: readonly PartCost[]): readonly PartCost[] {
  const merged = new Map<string, PartCost>();
  for (const one of parts) {
    const before = merged.get(one.name);
    merged.set(one.name, {
      ...one,
      energyPj: (before?.energyPj ?? 0) + one.energyPj,
      areaUm2: (before?.areaUm2 ?? 0) + one.areaUm2,
    });
  }
  return [...merged.values()];
}

function checkSummary(summary: MappingSummary): void {
  const code = 'GRIM_RERAM_BAD_COST';
  checkInteger(code, 'cost: rows', summary.rows, 1, 1e6);
  checkInteger(code, 'cost: cols', summary.cols, 1, 1e6);
  checkInteger(code, 'cost: spareArrays', summary.spareArrays ?? 0, 0, 1e12);
  if (summary.layers.length === 0) fail(code, 'cost: no layers; at least one is needed.', { layers: 0 });
  summary.layers.forEach((layer, at) => {
    const where = `cost: layers[${at}].`;
    checkInteger(code, `${where}positions`, layer.positions, 0, 1e12);
    checkInteger(code, `${where}inputSlices`, layer.inputSlices, 1, 64);
    checkInteger(code, `${where}conversionsPerProduct`, layer.conversionsPerProduct ?? 1, 1, 64);
    checkInteger(code, `${where}duplication`, layer.duplication ?? 1, 1, 1e9);
    checkReal(code, `${where}macs`, layer.macs, 0, 1e18);
    checkReal(code, `${where}inputBytes`, layer.inputBytes, 0, 1e18);
    checkReal(code, `${where}outputBytes`, layer.outputBytes, 0, 1e18);
    layer.groups.forEach((group, g) => {
      checkInteger(code, `${where}groups[${g}].arrays`, group.arrays, 0, 1e12);
      checkInteger(code, `${where}groups[${g}].rowsUsed`, group.rowsUsed, 0, summary.rows);
      // Unit and HRS columns stand beside the columns of the weights.
      checkInteger(code, `${where}groups[${g}].colsUsed`, group.colsUsed, 0, summary.cols + 2);
      checkInteger(code, `${where}groups[${g}].colsConverted`, group.colsConverted ?? 0, 0, group.colsUsed);
      checkInteger(code, `${where}groups[${g}].arraysPerConverterSet`, group.arraysPerConverterSet ?? 1, 1, 2);
    });
  });
}

export interface CostRatios {
  /** Energy of one inference, area, and so on: of the first over the second, so above 1 where the second is smaller. */
  readonly energy: number;
  readonly power: number;
  readonly area: number;
  readonly latency: number;
  /** Of the second over the first, so above 1 where the second is better. */
  readonly gopsPerW: number;
  readonly gopsPerMm2: number;
}

/** How much better `after` is than `before`: every figure above 1 is a gain. */
export function compareCosts(before: NetworkCost, after: NetworkCost): CostRatios {
  return {
    energy: before.energyPj / after.energyPj,
    power: before.powerMw / after.powerMw,
    area: before.areaUm2 / after.areaUm2,
    latency: before.latencyNs / after.latencyNs,
    gopsPerW: after.gopsPerW / before.gopsPerW,
    gopsPerMm2: after.gopsPerMm2 / before.gopsPerMm2,
  };
}

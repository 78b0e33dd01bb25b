/** A quantised network as the cost model sees it, and as certificates see it: every matrix mapped, its converters chosen. */
import { certify, columnBounds } from './certificate.ts';
import type { LayerMapping, MappingSummary } from './cost.ts';
import { layerMapping } from './cost-mapping.ts';
import { checkInteger, fail } from './errors.ts';
import { type Crossbar, type Footprint, footprint, linesInUse, type Mapping, mapMatrix } from './mapping.ts';
import { evaluateQuantised, type Feed, integerProduct, type LinearPart, type QuantisedNetwork } from './network.ts';

/** Input vectors that each matrix meets in one run of the graph: positions of a Conv, steps of a GRU. */
export function vectorCounts(network: QuantisedNetwork, feed: Feed): ReadonlyMap<LinearPart, number> {
  const counts = new Map<LinearPart, number>();
  evaluateQuantised(network, feed, (part, x) => {
    counts.set(part, (counts.get(part) ?? 0) + x.length / part.matrix.cols);
    return integerProduct(part, x);
  });
  return counts;
}

/**
 * Which resolution the converters of a layer have: one number, what its certificate asks for in each block of word lines
 * (`certified`), or a number of your own for each layer.
 */
export type BitsChoice = number | 'certified' | ((part: LinearPart, mapping: Mapping) => number | readonly number[]);

export interface MappedLayer {
  readonly part: LinearPart;
  readonly mapping: Mapping;
  readonly footprint: Footprint;
  /** Bits that are exact for every column. */
  readonly exactBits: number;
  readonly cost: LayerMapping;
}

export interface MappedNetwork {
  readonly layers: readonly MappedLayer[];
  /** For `networkCost`. */
  readonly summary: MappingSummary;
}

/**
 * Maps every matrix of a network on one kind of crossbar.
 * @param counts  what {@link vectorCounts} found for one inference
 * @param bits  default: the crossbar's own converter, `certified` where that is ideal
 * @param options  `compact`: inputs and outputs whose weights are all zero get no lines, as structured pruning wants it
 * @throws {GrimError} as `mapMatrix` and `layerMapping`
 */
export function mapNetwork(
  network: QuantisedNetwork,
  crossbar: Crossbar,
  counts: ReadonlyMap<LinearPart, number>,
  bits: BitsChoice = crossbar.adc.model === 'ideal' ? 'certified' : crossbar.adc.bits,
  options: { readonly compact?: boolean } = {},
): MappedNetwork {
  const layers: MappedLayer[] = [];
  for (const parts of network.layers.values())
    for (const part of parts) {
      const mapping = mapMatrix(part.matrix, crossbar, options.compact ? linesInUse(part.matrix) : {});
      const { signed, name } = part;
      const blocks = blockBits(mapping, signed);
      const exactBits = Math.max(...blocks);
      const chosen = bits === 'certified' ? blocks : typeof bits === 'number' ? bits : bits(part, mapping);
      layers.push({
        part,
        mapping,
        exactBits,
        footprint: footprint(mapping, signed),
        cost: layerMapping(mapping, { name, signed, positions: counts.get(part) ?? 0, adcBits: chosen }),
      });
    }
  if (layers.length === 0)
    fail('GRIM_RERAM_BAD_MATRIX', 'network: no layer multiplies a constant matrix; there is nothing to map.');
  const summary = { rows: crossbar.rows, cols: crossbar.cols, layers: layers.map(({ cost }) => cost) };
  return { layers, summary };
}

/** Bits that are exact for every column of a row block, 1 at least. */
export function blockBits(mapping: Mapping, signed: boolean): readonly number[] {
  const blocks = new Array<number>(mapping.rowBlocks.length - 1).fill(1);
  for (const { rowBlock, bits } of columnBounds(mapping, signed))
    blocks[rowBlock] = Math.max(blocks[rowBlock] ?? 1, bits);
  return blocks;
}

/**
 * Copies of the slowest layers, so that all keep pace in a pipeline: as ISAAC gives its first layers more arrays, which
 * meet many positions, than its last. One copy at a time, where it shortens the interval most, while spare arrays are left.
 * @param spareArrays  arrays that copies may take in all
 */
export function duplicateLayers(summary: MappingSummary, spareArrays: number): MappingSummary {
  checkInteger('GRIM_RERAM_BAD_COST', 'duplicateLayers: spareArrays', spareArrays, 0, 1e9);
  const copies = summary.layers.map(({ duplication = 1 }) => duplication);
  const arrays = summary.layers.map(({ groups }) => groups.reduce((sum, group) => sum + group.arrays, 0));
  const time = (i: number) => {
    const { positions = 0, inputSlices = 1 } = summary.layers[i] ?? {};
    return Math.ceil(positions / (copies[i] ?? 1)) * inputSlices;
  };
  let left = spareArrays;
  for (;;) {
    let slowest = 0;
    for (let i = 1; i < copies.length; i++) if (time(i) > time(slowest)) slowest = i;
    const own = arrays[slowest] ?? 0;
    // A copy for each position is all that can be used.
    if (own === 0 || own > left || (copies[slowest] ?? 1) >= (summary.layers[slowest]?.positions ?? 0)) break;
    copies[slowest] = (copies[slowest] ?? 1) + 1;
    left -= own;
  }
  return { ...summary, layers: summary.layers.map((layer, i) => ({ ...layer, duplication: copies[i] ?? 1 })) };
}

/** Certificates of a whole network, with the integers they are about; plain data. */
export interface NetworkCertificate {
  readonly format: 'grim-network-certificate';
  readonly version: 1;
  /** Largest of all layers'. */
  readonly adcBits: number;
  /** Every column of every layer is read without loss by converters of `adcBits`. */
  readonly lossless: boolean;
  readonly columns: number;
  readonly layers: readonly {
    readonly name: string;
    readonly rows: number;
    readonly cols: number;
    /** The integers, row by row, and what one of them is worth. */
    readonly weights: readonly number[];
    readonly scales: readonly number[];
    readonly certificate: ReturnType<typeof certify>;
  }[];
}

/**
 * @param adcBits  of the converters; default: what the worst column needs
 * @param options  `compact`: the arrays are those of `mapNetwork` with that option
 * @throws {GrimError} as `certify`
 */
export function certifyNetwork(
  network: QuantisedNetwork,
  crossbar: Crossbar,
  adcBits?: number,
  { compact = false }: { readonly compact?: boolean } = {},
): NetworkCertificate {
  const layers = [...network.layers.values()].flat().map((part) => {
    const { name, signed, matrix, scales } = part;
    const options = { name, signed, ...(adcBits !== undefined && { adcBits }) };
    const certificate = certify(mapMatrix(matrix, crossbar, compact ? linesInUse(matrix) : {}), options);
    const { rows, cols, data } = matrix;
    return { name, rows, cols, weights: Array.from(data), scales: Array.from(scales), certificate };
  });
  return {
    format: 'grim-network-certificate',
    version: 1,
    adcBits: layers.reduce((most, { certificate }) => Math.max(most, certificate.adcBits), 0),
    lossless: layers.every(({ certificate }) => certificate.lossless),
    columns: layers.reduce((sum, { certificate }) => sum + certificate.columns.length, 0),
    layers,
  };
}

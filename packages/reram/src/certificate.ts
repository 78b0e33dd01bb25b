/**
 * How many bits make a converter exact, and the proof of it column by column.
 *
 * A column's current is a sum of cell levels times input digits, so it is an integer between bounds that the stored
 * levels alone fix. A converter with one code per integer of that range returns the sum itself: nothing is lost, whatever
 * the input. A certificate writes down, for every column, the bound, the bits that cover it, and the input that reaches
 * it; with one bit less that same input is clipped.
 */
import { type InputSlices, inputSlices } from './dac.ts';
import { checkInteger, fail } from './errors.ts';
import { type Crossbar, type Mapping, slicesOf } from './mapping.ts';

/** Bits of a non-negative integer; 0 for 0. */
function bitLength(value: number): number {
  let bits = 0;
  // Doubling is exact, a logarithm is not.
  for (let power = 1; power <= value; power *= 2) bits++;
  return bits;
}

/** Largest sum of a column of `activeRows` cells: all at their top level, all inputs at their top digit. */
export function largestColumnSum(activeRows: number, cellBits: number, dacBits: number): number {
  const code = 'GRIM_RERAM_BAD_CROSSBAR';
  checkInteger(code, 'activeRows', activeRows, 0, 2 ** 20);
  checkInteger(code, 'cellBits', cellBits, 1, 16);
  checkInteger(code, 'dacBits', dacBits, 1, 16);
  return activeRows * (2 ** dacBits - 1) * (2 ** cellBits - 1);
}

/** Bits that are exact for every column with at most `activeRows` non-zero cells: ⌈log2(l·(2^v−1)·(2^w−1) + 1)⌉. */
export function adcBitsForExact(activeRows: number, cellBits: number, dacBits: number): number {
  return bitLength(largestColumnSum(activeRows, cellBits, dacBits));
}

/**
 * ISAAC's rule: ⌈log2 l⌉ + v + w, one less when v or w is 1, one less again with the flip encoding.
 * @see Shafiee et al., "ISAAC", ISCA 2016, equation 1
 */
export function isaacAdcBits(activeRows: number, cellBits: number, dacBits: number, flip = false): number {
  largestColumnSum(activeRows, cellBits, dacBits);
  checkInteger('GRIM_RERAM_BAD_CROSSBAR', 'activeRows', activeRows, 1, 2 ** 20);
  return bitLength(activeRows - 1) + dacBits + cellBits - (dacBits === 1 || cellBits === 1 ? 1 : 0) - (flip ? 1 : 0);
}

/** Most non-zeros of a column for which `bits` are exact: ⌊(2^bits − 1) / ((2^v−1)·(2^w−1))⌋. */
export function nonZerosForBits(bits: number, cellBits: number, dacBits: number): number {
  checkInteger('GRIM_RERAM_BAD_CROSSBAR', 'bits', bits, 0, 32);
  return Math.floor((2 ** bits - 1) / largestColumnSum(1, cellBits, dacBits));
}

/** How the bits of a mapping's converters are chosen. All but `isaac` are lossless. */
export type BitsLaw =
  /** ISAAC's rule for full arrays, its flip encoding included where the mapping uses it. */
  | 'isaac'
  /** From the largest number of non-zero cells of any column, as if each were at its top level. */
  | 'exact'
  /** From the levels that are really stored, in the worst column. */
  | 'data-aware';

const LAWS: readonly BitsLaw[] = ['isaac', 'exact', 'data-aware'];

/** One number of bits for all converters of a mapping. Signed sums take one more, for the sign. */
export function adcBits(mapping: Mapping, law: BitsLaw, signed = false): number {
  const { crossbar } = mapping;
  if (!(LAWS as readonly string[]).includes(law))
    fail('GRIM_RERAM_BAD_ADC', `adcBits: law is ${JSON.stringify(law)}; one of ${LAWS.join(', ')} is needed.`, { law });
  if (law === 'isaac') return isaacAdcBits(crossbar.rows, crossbar.cellBits, crossbar.dacBits, crossbar.flip ?? false);
  if (law === 'data-aware') return columnBounds(mapping, signed).reduce((most, { bits }) => Math.max(most, bits), 0);
  const drive = driveOf(mapping, signed);
  // Signed digits drive both cells of a pair the same way.
  const both = drive.slices.encoding === 'sign-magnitude';
  let nonZeros = 0;
  for (const { positive, negative } of columnsOf(mapping))
    nonZeros = Math.max(nonZeros, both ? positive + negative : Math.max(positive, negative));
  const sum = nonZeros * mapping.topLevel * drive.digit;
  return sum === 0 ? 0 : bitLength(sum) + (isBipolar(mapping, drive.slices) ? 1 : 0);
}

/** A column and the range of its sum, level units; `bits` converters of unit step cover the range, `bits` − 1 do not. */
export interface ColumnBound {
  readonly polarity: number;
  readonly rowBlock: number;
  readonly slice: number;
  /** Output of the matrix. */
  readonly output: number;
  readonly low: number;
  readonly high: number;
  readonly bits: number;
}

/** The bounds of every column that exists, by row block, polarity, slice, output. */
export function columnBounds(mapping: Mapping, signed = false): readonly ColumnBound[] {
  const { digit, slices } = driveOf(mapping, signed);
  const bipolar = isBipolar(mapping, slices);
  const both = slices.encoding === 'sign-magnitude';
  return columnsOf(mapping).map(({ polarity, rowBlock, slice, filter, positiveSum, negativeSum }) => {
    const high = digit * (both ? positiveSum + negativeSum : positiveSum);
    const low = both ? -high : -digit * negativeSum;
    const most = Math.max(high, -low);
    return {
      polarity,
      rowBlock,
      slice,
      output: mapping.filters[filter] ?? 0,
      low: low + 0,
      high,
      bits: most === 0 ? 0 : bitLength(most) + (bipolar ? 1 : 0),
    };
  });
}

/** Bits that each weight slice needs in its worst column, least significant first. */
export function bitsPerSlice(mapping: Mapping, signed = false): readonly number[] {
  const bits = new Array<number>(mapping.slices).fill(0);
  for (const column of columnBounds(mapping, signed))
    bits[column.slice] = Math.max(bits[column.slice] ?? 0, column.bits);
  return bits;
}

export interface CertifiedColumn extends ColumnBound {
  /**
   * Word lines of the block that carry the largest input, hexadecimal, four lines a digit, line 0 the lowest bit of the
   * first digit; all others carry 0. The column's sum is then `high`.
   */
  readonly reachesHigh: string;
  /** The same for `low`, where that is below zero; under sign-magnitude, lines of `reachesHigh` carry the negative. */
  readonly reachesLow?: string;
  /** By how much a converter of one bit less clips that input. */
  readonly clippedByOneBitLess: number;
}

/** Plain data: what `JSON.stringify` writes and `checkCertificate` reads. */
export interface Certificate {
  readonly format: 'grim-adc-certificate';
  readonly version: 1;
  readonly name: string;
  readonly outputs: number;
  readonly inputs: number;
  readonly wordLines: readonly number[];
  readonly filters: readonly number[];
  /** First word line of each block, and the end. */
  readonly rowBlocks: readonly number[];
  readonly crossbar: Pick<Crossbar, 'cellBits' | 'weightBits' | 'inputBits' | 'dacBits' | 'storage'> & {
    readonly subtract: 'analog' | 'digital';
    readonly slices: number;
    readonly encoding: InputSlices['encoding'];
    readonly adcPerInputSlice: boolean;
    /** Weights of zero are pairs of cells at the top level. */
    readonly zeroPair?: 'high';
  };
  /** Bits of the converters that are certified; every column needs at most these. */
  readonly adcBits: number;
  /** False when some column needs more than `adcBits`; those columns are still listed with their own bits. */
  readonly lossless: boolean;
  readonly columns: readonly (CertifiedColumn & { readonly flipped?: true })[];
}

export interface CertifyOptions {
  readonly name?: string;
  readonly signed?: boolean;
  /** Bits of the converters. Default: the largest that any column needs. */
  readonly adcBits?: number;
}

/**
 * The certificate of a mapping.
 * @throws {GrimError} GRIM_RERAM_UNSUPPORTED when column sums are no integers: a finite on/off ratio without an HRS column
 *   or analog subtraction, or cells that hold continuous weights
 */
export function certify(mapping: Mapping, options: CertifyOptions = {}): Certificate {
  const { crossbar, rowBlocks, flipped, filters } = mapping;
  const { device, subtract = 'digital', hrsColumn = false, adcPerInputSlice = true } = crossbar;
  if (device.onOffRatio !== Infinity && !hrsColumn && subtract !== 'analog')
    fail(
      'GRIM_RERAM_UNSUPPORTED',
      `certify: an on/off ratio of ${device.onOffRatio} adds a current to every column that no step of a converter matches. Use hrsColumn: true or subtract: "analog".`,
      { onOffRatio: device.onOffRatio },
    );
  if (!(mapping.levels instanceof Uint8Array))
    fail('GRIM_RERAM_UNSUPPORTED', 'certify: cells that hold a whole weight have no integer sums; map with mapMatrix.');
  const { name = '', signed = false } = options;
  const { slices } = driveOf(mapping, signed);
  const bounds = columnBounds(mapping, signed);
  const needed = bounds.reduce((most, { bits }) => Math.max(most, bits), 0);
  const bits = options.adcBits ?? needed;
  checkInteger('GRIM_RERAM_BAD_ADC', 'certify: adcBits', bits, 0, 32);
  const bipolar = isBipolar(mapping, slices);
  const positions = new Map(Array.from(filters, (output, i) => [output, i]));
  const m = filters.length;
  const columns = bounds.map((bound) => {
    const filter = positions.get(bound.output) ?? 0;
    const levels = convertedLevels(mapping, bound.polarity, bound.slice, filter, bound.rowBlock);
    const analog = subtract === 'analog' && mapping.polarities === 2;
    const lessMost = bound.bits === 0 ? 0 : 2 ** (bound.bits - 1 - (bipolar ? 1 : 0)) - 1;
    const isFlipped = flipped[(bound.rowBlock * mapping.slices + bound.slice) * m + filter] === 1;
    return {
      ...bound,
      reachesHigh: mask(levels, 1),
      ...(analog && bound.low < 0 ? { reachesLow: mask(levels, -1) } : {}),
      clippedByOneBitLess: Math.max(bound.high, -bound.low) - Math.max(0, Math.floor(lessMost)),
      ...(isFlipped ? { flipped: true as const } : {}),
    };
  });
  return {
    format: 'grim-adc-certificate',
    version: 1,
    name,
    outputs: mapping.outputs,
    inputs: mapping.inputs,
    wordLines: Array.from(mapping.wordLines),
    filters: Array.from(filters),
    rowBlocks: Array.from(rowBlocks),
    crossbar: {
      cellBits: crossbar.cellBits,
      weightBits: crossbar.weightBits,
      inputBits: crossbar.inputBits,
      dacBits: crossbar.dacBits,
      storage: crossbar.storage,
      subtract,
      slices: mapping.slices,
      encoding: slices.encoding,
      adcPerInputSlice,
      ...(crossbar.zeroPair === 'high' && { zeroPair: 'high' as const }),
    },
    adcBits: bits,
    lossless: needed <= bits,
    columns,
  };
}

/** The input vector that drives a certified column to its bound: the adversary of a converter of one bit less. */
export function adversarialInput(certificate: Certificate, column: CertifiedColumn): Int32Array {
  const { crossbar, inputs, rowBlocks, wordLines } = certificate;
  checkInteger(
    'GRIM_RERAM_BAD_CERTIFICATE',
    'adversarialInput: column.rowBlock',
    column.rowBlock,
    0,
    rowBlocks.length - 2,
  );
  const { high } = inputSlices(crossbar.inputBits, crossbar.dacBits, crossbar.encoding);
  const x = new Int32Array(inputs);
  const first = rowBlocks[column.rowBlock] ?? 0;
  const lower = column.reachesLow !== undefined && -column.low > column.high;
  const lines = lower ? (column.reachesLow ?? '') : column.reachesHigh;
  for (let i = 0; i < lines.length * 4; i++)
    if (Math.floor(Number.parseInt(lines[i >> 2] ?? '0', 16) / 2 ** (i & 3)) % 2 === 1)
      x[wordLines[first + i] ?? 0] = high;
  // Signed digits also drive the negative cells of a pair, the other way.
  if (crossbar.encoding === 'sign-magnitude' && column.reachesLow !== undefined) {
    const other = lower ? column.reachesHigh : column.reachesLow;
    for (let i = 0; i < other.length * 4; i++)
      if (Math.floor(Number.parseInt(other[i >> 2] ?? '0', 16) / 2 ** (i & 3)) % 2 === 1)
        x[wordLines[first + i] ?? 0] = -high;
  }
  return x;
}

/** The lines whose level has this sign. */
function mask(levels: ArrayLike<number>, sign: 1 | -1): string {
  let text = '';
  for (let i = 0; i < levels.length; i += 4) {
    let nibble = 0;
    for (let j = 0; j < 4; j++) if (sign * (levels[i + j] ?? 0) > 0) nibble += 2 ** j;
    text += nibble.toString(16);
  }
  return text;
}

function levelsOf(mapping: Mapping, polarity: number, slice: number, filter: number, block: number): ArrayLike<number> {
  const { levels, rowBlocks, slices, wordLines, filters } = mapping;
  const at = ((polarity * slices + slice) * filters.length + filter) * wordLines.length;
  return levels.subarray(at + (rowBlocks[block] ?? 0), at + (rowBlocks[block + 1] ?? 0));
}

/** What one converter sees of each line: the levels of a column, or the differences of a pair that is subtracted before. */
function convertedLevels(
  mapping: Mapping,
  polarity: number,
  slice: number,
  filter: number,
  block: number,
): ArrayLike<number> {
  const own = levelsOf(mapping, polarity, slice, filter, block);
  if (mapping.crossbar.subtract !== 'analog' || mapping.polarities === 1) return own;
  const other = levelsOf(mapping, 1, slice, filter, block);
  return Array.from(own, (level, i) => level - (other[i] ?? 0));
}

interface Column {
  readonly polarity: number;
  readonly rowBlock: number;
  readonly slice: number;
  readonly filter: number;
  readonly positive: number;
  readonly negative: number;
  readonly positiveSum: number;
  readonly negativeSum: number;
}

/** What each converted column holds; with analog subtraction the pair is one column, positive and negative. */
function columnsOf(mapping: Mapping): readonly Column[] {
  const { crossbar, rowBlocks, slices, filters, polarities, present } = mapping;
  const analog = crossbar.subtract === 'analog' && polarities === 2;
  const blocks = rowBlocks.length - 1;
  const m = filters.length;
  const out: Column[] = [];
  const count = (levels: ArrayLike<number>, sign: 1 | -1) => {
    let nonZeros = 0;
    let sum = 0;
    for (let i = 0; i < levels.length; i++) {
      const level = sign * (levels[i] ?? 0);
      if (level <= 0) continue;
      nonZeros++;
      sum += level;
    }
    return { nonZeros, sum };
  };
  for (let rowBlock = 0; rowBlock < blocks; rowBlock++)
    for (let polarity = 0; polarity < (analog ? 1 : polarities); polarity++)
      for (let slice = 0; slice < slices; slice++)
        for (let filter = 0; filter < m; filter++) {
          if (!present[(polarity * blocks + rowBlock) * m + filter]) continue;
          const levels = convertedLevels(mapping, polarity, slice, filter, rowBlock);
          const own = count(levels, 1);
          const other = analog ? count(levels, -1) : { nonZeros: 0, sum: 0 };
          out.push({
            polarity,
            rowBlock,
            slice,
            filter,
            positive: own.nonZeros,
            negative: other.nonZeros,
            positiveSum: own.sum,
            negativeSum: other.sum,
          });
        }
  return out;
}

/** Largest digit that one conversion sees. */
function driveOf(mapping: Mapping, signed: boolean): { readonly digit: number; readonly slices: InputSlices } {
  const { crossbar } = mapping;
  const slices = slicesOf(crossbar, signed);
  const bits = (crossbar.adcPerInputSlice ?? true) ? Math.max(...slices.bits) : slices.magnitudeBits;
  return { digit: 2 ** bits - 1, slices };
}

function isBipolar({ crossbar, polarities }: Mapping, slices: InputSlices): boolean {
  return slices.encoding === 'sign-magnitude' || (crossbar.subtract === 'analog' && polarities === 2);
}

/**
 * The long way, fast: with one input bit a cycle and cells that stand at levels, a column's current is a count of ones.
 * Lines are packed 32 to a word; a column sum is Σ 2^bit · popcount(input AND cell bit). Every conversion is still made,
 * array by array and cycle by cycle, in the same order and with the same values as the general path.
 */
import type { InputSlices } from './dac.ts';
import { digit } from './dac.ts';
import type { Mapping } from './mapping.ts';
import type { Programmed } from './noise.ts';

/** Converts what a column holds; `filter` says which column of its block, sign and slice. */
export type ConvertColumn = (value: number, block: number, polarity: number, slice: number, filter: number) => number;

/** Whether {@link bitSerial} computes what the general path does. */
export function isBitSerial({ mapping, exactLevels, offset, hrs, unit }: Programmed, slices: InputSlices): boolean {
  const { device, adcPerInputSlice = true } = mapping.crossbar;
  return (
    exactLevels !== undefined &&
    offset === 0 &&
    !device.readNoise &&
    adcPerInputSlice &&
    slices.encoding !== 'sign-magnitude' &&
    slices.bits.every((bits) => bits === 1) &&
    !hrs?.some((v) => v !== 0) &&
    !unit?.some((v) => v !== 1)
  );
}

/** Ones of a 32-bit word. */
function popcount(word: number): number {
  let w = word - ((word >>> 1) & 0x55555555);
  w = (w & 0x33333333) + ((w >>> 2) & 0x33333333);
  return Math.imul((w + (w >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/**
 * @param convert  the converters
 * @param tables  whether all converters of an array are alike
 * @returns a function that adds the results of one vector of word-line inputs to `out`, as the general path does
 */
export function bitSerial(
  programmed: Programmed,
  slices: InputSlices,
  convert: ConvertColumn,
  tables: boolean,
): (x: Int32Array, out: Float64Array) => void {
  const { mapping, exactLevels = new Uint8Array(), unit } = programmed;
  const { crossbar, rowBlocks, polarities, topLevel, sliceWeights, zero, gain, flipped, present, filters } = mapping;
  const k = mapping.wordLines.length;
  const m = filters.length;
  const blocks = rowBlocks.length - 1;
  const cellBits = Math.max(1, Math.ceil(Math.log2(topLevel + 1)));
  const analog = crossbar.subtract === 'analog' && polarities === 2;
  const { starts, words, planes } = pack(mapping, exactLevels, cellBits);
  const cycles = slices.weights.length;
  const input = new Int32Array(Math.ceil(k / 32) + 1);
  const { most, partOf, tableOf } = tabulated(mapping, convert);

  const columnSum = (base: number, wordCount: number): number => {
    let sum = 0;
    let at = base;
    for (let bit = 0; bit < cellBits; bit++) {
      let ones = 0;
      for (let word = 0; word < wordCount; word++) ones += popcount((input[word] as number) & (planes[at++] as number));
      sum += ones << bit;
    }
    return sum;
  };

  return (x, out) => {
    let sumOfInputs = 0;
    for (let i = 0; i < k; i++) sumOfInputs += x[i] ?? 0;
    let measuredSum = 0;
    for (let block = 0; block < blocks; block++) {
      const [first, end] = [rowBlocks[block] ?? 0, rowBlocks[block + 1] ?? 0];
      const wordCount = words[block] ?? 0;
      const stride = cellBits * wordCount;
      for (let cycle = 0; cycle < cycles; cycle++) {
        let active = 0;
        input.fill(0, 0, wordCount);
        for (let i = first; i < end; i++)
          if (digit(slices, x[i] ?? 0, cycle) !== 0) {
            const word = (i - first) >> 5;
            input[word] = (input[word] ?? 0) | (1 << ((i - first) & 31));
            active++;
          }
        const shift = slices.weights[cycle] ?? 1;
        if (unit) measuredSum += shift * convert(active, block, 0, 0, m);
        for (let slice = 0; slice < mapping.slices; slice++) {
          const significance = shift * (sliceWeights[slice] ?? 1);
          let part = -1;
          let table: Float64Array | undefined;
          for (let f = 0; f < m; f++) {
            if (tables && partOf[f] !== part) {
              part = partOf[f] as number;
              table = tableOf(block, slice, part, f);
            }
            const base = (starts[block] as number) + (slice * m + f) * stride;
            const twin = base + mapping.slices * m * stride;
            let result = 0;
            if (analog) {
              const value = active === 0 ? 0 : columnSum(base, wordCount) - columnSum(twin, wordCount);
              result = table ? (table[value + most] as number) : convert(value, block, 0, slice, f);
            } else {
              if (present[block * m + f]) {
                const value = active === 0 ? 0 : columnSum(base, wordCount);
                const sum = table ? (table[value + most] as number) : convert(value, block, 0, slice, f);
                result += flipped[(block * mapping.slices + slice) * m + f] ? topLevel * active - sum : sum;
              }
              if (polarities === 2 && present[(blocks + block) * m + f]) {
                const value = active === 0 ? 0 : columnSum(twin, wordCount);
                result -= table ? (table[value + most] as number) : convert(value, block, 1, slice, f);
              }
            }
            const o = filters[f] as number;
            out[o] = (out[o] as number) + significance * result;
          }
        }
      }
    }
    const total = unit ? measuredSum : sumOfInputs;
    for (let f = 0; f < m; f++) {
      const o = filters[f] ?? 0;
      out[o] = gain * ((out[o] ?? 0) - zero * total);
    }
  };
}

/** Bits of the cells: per block [polarity, slice, filter, bit, word]. */
function pack(
  mapping: Mapping,
  levels: Uint8Array,
  cellBits: number,
): { readonly starts: readonly number[]; readonly words: readonly number[]; readonly planes: Int32Array } {
  const { rowBlocks, polarities, slices } = mapping;
  const k = mapping.wordLines.length;
  const columns = polarities * slices * mapping.filters.length;
  const starts: number[] = [];
  const words: number[] = [];
  let length = 0;
  for (let block = 0; block + 1 < rowBlocks.length; block++) {
    const wordCount = Math.ceil(((rowBlocks[block + 1] ?? 0) - (rowBlocks[block] ?? 0)) / 32);
    starts.push(length);
    words.push(wordCount);
    length += columns * cellBits * wordCount;
  }
  const planes = new Int32Array(length);
  for (let block = 0; block + 1 < rowBlocks.length; block++) {
    const first = rowBlocks[block] ?? 0;
    const wordCount = words[block] ?? 0;
    for (let column = 0; column < columns; column++)
      for (let i = first; i < (rowBlocks[block + 1] ?? 0); i++) {
        const level = levels[column * k + i] ?? 0;
        for (let bit = 0; bit < cellBits; bit++) {
          if (((level >> bit) & 1) === 0) continue;
          const at = (starts[block] ?? 0) + (column * cellBits + bit) * wordCount + ((i - first) >> 5);
          planes[at] = (planes[at] ?? 0) | (1 << ((i - first) & 31));
        }
      }
  }
  return { starts, words, planes };
}

/** The converters as tables over the integers −most to most: one per block, slice and output block. */
function tabulated(mapping: Mapping, convert: ConvertColumn) {
  const { rowBlocks, outputBlocks, topLevel, slices } = mapping;
  const parts = Math.max(1, outputBlocks.length - 1);
  const partOf = new Uint32Array(mapping.filters.length);
  for (let part = 0; part + 1 < outputBlocks.length; part++)
    partOf.fill(part, outputBlocks[part], outputBlocks[part + 1]);
  const lines = rowBlocks.reduce((longest, end, i) => Math.max(longest, end - (rowBlocks[i - 1] ?? 0)), 0);
  const most = topLevel * lines;
  const made: Float64Array[] = [];
  const tableOf = (block: number, slice: number, part: number, filter: number): Float64Array => {
    const key = (block * slices + slice) * parts + part;
    const table =
      made[key] ?? Float64Array.from({ length: 2 * most + 1 }, (_, i) => convert(i - most, block, 0, slice, filter));
    made[key] = table;
    return table;
  };
  return { most, partOf, tableOf };
}

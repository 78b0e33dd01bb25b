/**
 * The long way, fast: with one input bit a cycle and cells that stand at levels, a column's current is a count of ones.
 * A column sum is Σ 2^bit · popcount(input AND cell bit), by `column-sums.ts`. Every conversion is still made, array by
 * array and cycle by cycle, in the same order and with the same values as the general path.
 */
import { type ColumnPlanes, GROUP, type LoadColumns, packColumns } from './column-sums.ts';
import type { InputSlices } from './dac.ts';
import type { Mapping } from './mapping.ts';
import type { Programmed } from './noise.ts';

/** Converts what a column holds; `filter` says which column of its block, sign and slice. */
export type ConvertColumn = (value: number, block: number, polarity: number, slice: number, filter: number) => number;

/** Whether {@link bitSerial} computes what the general path does. */
export function isBitSerial({ mapping, exactLevels, offset, hrs, unit }: Programmed, slices: InputSlices): boolean {
  const { device, adcPerInputSlice = true } = mapping.crossbar;
  return (
    exactLevels !== undefined &&
    mapping.topLevel * longestBlock(mapping) < 2 ** 16 &&
    offset === 0 &&
    !device.readNoise &&
    adcPerInputSlice &&
    slices.encoding !== 'sign-magnitude' &&
    slices.bits.every((bits) => bits === 1) &&
    !hrs?.some((v) => v !== 0) &&
    !unit?.some((v) => v !== 1)
  );
}

/**
 * @param convert  the converters
 * @param tables  whether all converters of an array are alike
 * @param load  who adds up columns
 * @returns a function that adds the results of [vectors, word lines] to `out`, [vectors, outputs], as the general path does
 */
export function bitSerial(
  programmed: Programmed,
  slices: InputSlices,
  convert: ConvertColumn,
  tables: boolean,
  load: LoadColumns,
): (x: Int32Array, out: Float64Array) => void {
  const { mapping, exactLevels = new Uint8Array(), unit } = programmed;
  const { crossbar, rowBlocks, polarities, topLevel, sliceWeights, zero, gain, filters, outputs } = mapping;
  const k = mapping.wordLines.length;
  const m = filters.length;
  const blocks = rowBlocks.length - 1;
  const cellBits = Math.max(1, Math.ceil(Math.log2(topLevel + 1)));
  const analog = crossbar.subtract === 'analog' && polarities === 2;
  const columns = polarities * mapping.slices * m;
  const planes = Array.from({ length: blocks }, (_, block): ColumnPlanes => {
    const first = rowBlocks[block] ?? 0;
    const lines = (rowBlocks[block + 1] ?? 0) - first;
    return packColumns(columns, lines, cellBits, (column, line) => exactLevels[column * k + first + line] ?? 0);
  });
  const cycles = slices.weights.length;
  const mask = 2 ** cycles - 1;
  const { most, parts, tableOf } = tabulated(mapping, convert);
  const active = new Int32Array(cycles);

  return (x, out) => {
    const vectors = k === 0 ? 0 : x.length / k;
    const measured = new Float64Array(vectors);
    const own = new Float64Array(vectors * m);
    for (let block = 0; block < blocks; block++) {
      const [first, end] = [rowBlocks[block] ?? 0, rowBlocks[block + 1] ?? 0];
      const { bytes, groups } = planes[block] as ColumnPlanes;
      const { input, sums, sum } = load(planes[block] as ColumnPlanes, cycles);
      const collect = collector(block, sums, groups * GROUP);
      for (let v = 0; v < vectors; v++) {
        input.fill(0);
        active.fill(0);
        for (let i = first; i < end; i++) {
          // Of two's complement the last cycle is the sign, and of either encoding the bits below it are the cycles.
          let rest = (x[v * k + i] as number) & mask;
          const byte = (i - first) >> 3;
          const line = 1 << ((i - first) & 7);
          while (rest !== 0) {
            const cycle = 31 - Math.clz32(rest);
            rest ^= 1 << cycle;
            const at = cycle * bytes + byte;
            input[at] = (input[at] as number) | line;
            active[cycle] = (active[cycle] as number) + 1;
          }
        }
        sum();
        for (let cycle = 0; cycle < cycles; cycle++) {
          const driven = active[cycle] as number;
          if (unit)
            measured[v] = (measured[v] as number) + (slices.weights[cycle] as number) * convert(driven, block, 0, 0, m);
          collect(cycle, driven, own, v * m);
        }
      }
    }
    for (let v = 0; v < vectors; v++) {
      let total = measured[v] as number;
      if (!unit) for (let i = 0; i < k; i++) total += x[v * k + i] as number;
      for (let f = 0; f < m; f++)
        out[v * outputs + (filters[f] as number)] = gain * ((own[v * m + f] as number) - zero * total);
    }
  };

  /**
   * Converts what the columns of a block hold in one cycle and adds it to the filters of one vector, from `to` on.
   * A pair's results are subtracted before they are shifted; a flipped column is what its lines could hold, less its result.
   */
  function collector(block: number, sums: Uint16Array, width: number) {
    const { flipped, present } = mapping;
    const twin = mapping.slices * m;
    /** Of the result of a column, by column: +1, −1 flipped or of negative weights, 0 where there is none. */
    const sign = new Int8Array(columns);
    const turned = new Float64Array(columns);
    for (let column = 0; column < columns; column++) {
      const [f, polarity] = [column % m, column < twin ? 0 : 1];
      const flip = polarity === 0 && flipped[block * twin + column] === 1;
      sign[column] = present[(polarity * blocks + block) * m + f] === 0 ? 0 : flip || polarity === 1 ? -1 : 1;
      turned[column] = flip ? topLevel : 0;
    }
    return (cycle: number, driven: number, to: Float64Array, at: number): void => {
      for (let slice = 0; slice < mapping.slices; slice++) {
        const significance = (slices.weights[cycle] as number) * (sliceWeights[slice] as number);
        const column = slice * m;
        const from = cycle * width + column;
        for (let part = 0; part + 1 < parts.length; part++) {
          const table = tables ? tableOf(block, slice, part) : undefined;
          const [begin, end] = [parts[part] as number, parts[part + 1] as number];
          if (table && polarities === 1) {
            addSingles(table, begin, end, { sums, from, sign, turned, column, driven, significance, to, at });
            continue;
          }
          const read = (value: number, polarity: number, f: number) =>
            table ? (table[value + most] as number) : convert(value, block, polarity, slice, f);
          for (let f = begin; f < end; f++) {
            const value = sums[from + f] as number;
            const other = sums[from + f + twin] as number;
            let result = 0;
            if (analog) result = read(value - other, 0, f);
            else {
              const positive = sign[column + f] as number;
              if (positive !== 0) result = (turned[column + f] as number) * driven + positive * read(value, 0, f);
              if (polarities === 2 && sign[column + f + twin] !== 0) result -= read(other, 1, f);
            }
            to[at + f] = (to[at + f] as number) + significance * result;
          }
        }
      }
    };
  }

  /** The loop that most conversions are made in. */
  function addSingles(table: Float64Array, begin: number, end: number, of: Singles): void {
    const { sums, from, sign, turned, column, driven, significance, to, at } = of;
    for (let f = begin; f < end; f++) {
      const found = table[(sums[from + f] as number) + most] as number;
      const result = (turned[column + f] as number) * driven + (sign[column + f] as number) * found;
      to[at + f] = (to[at + f] as number) + significance * result;
    }
  }
}

/** Columns of one slice in one cycle: their sums from `from` on, how each counts from `column` on, where results go. */
interface Singles {
  readonly sums: Uint16Array;
  readonly from: number;
  readonly sign: Int8Array;
  readonly turned: Float64Array;
  readonly column: number;
  readonly driven: number;
  readonly significance: number;
  readonly to: Float64Array;
  readonly at: number;
}

function longestBlock({ rowBlocks }: Mapping): number {
  return rowBlocks.reduce((longest, end, i) => Math.max(longest, end - (rowBlocks[i - 1] ?? 0)), 0);
}

/** The converters as tables over the integers −most to most: one per block, slice and output block. */
function tabulated(mapping: Mapping, convert: ConvertColumn) {
  const { outputBlocks: parts, topLevel, slices } = mapping;
  const count = parts.length - 1;
  const most = topLevel * longestBlock(mapping);
  const made: Float64Array[] = [];
  const tableOf = (block: number, slice: number, part: number): Float64Array => {
    const key = (block * slices + slice) * count + part;
    const filter = parts[part] as number;
    const table =
      made[key] ?? Float64Array.from({ length: 2 * most + 1 }, (_, i) => convert(i - most, block, 0, slice, filter));
    made[key] = table;
    return table;
  };
  return { most, parts, tableOf };
}

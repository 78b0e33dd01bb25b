/**
 * The short cut that is proved, not assumed: where cells stand exactly at levels and the levels bound every column sum to
 * what its converter has a code for, each conversion returns its input, and the shifts and adds collapse to one matrix of
 * integers. Anything noisy, clipped or between levels goes the long way.
 */
import { unitStep } from './adc.ts';
import type { InputSlices } from './dac.ts';
import type { Mapping } from './mapping.ts';
import type { Programmed } from './noise.ts';

/** The matrix [filters, word lines] that the arrays multiply with, or undefined when that is not proved. */
export function linearWeights(programmed: Programmed, slices: InputSlices): Float64Array | undefined {
  const { mapping, exactLevels, offset, hrs, unit } = programmed;
  const { crossbar, polarities, topLevel, sliceWeights, zero, gain, rowBlocks, flipped, present } = mapping;
  if (!exactLevels || crossbar.device.readNoise) return undefined;
  // Currents with a part of HRS are no integers; a column of it takes that part away, unless faults are in it.
  if (offset !== 0 && !(hrs?.every((v) => v === offset) && crossbar.adc.model === 'uniform')) return undefined;
  const unitLevels = unit?.map((v) => v - offset);
  if (!allExact(mapping, exactLevels, unitLevels, slices)) return undefined;
  const k = mapping.wordLines.length;
  const m = mapping.filters.length;
  const blocks = rowBlocks.length - 1;
  const out = new Float64Array(m * k);
  for (let polarity = 0; polarity < polarities; polarity++)
    for (let slice = 0; slice < mapping.slices; slice++) {
      const weight = (polarity === 0 ? gain : -gain) * (sliceWeights[slice] ?? 1);
      for (let f = 0; f < m; f++) {
        const from = ((polarity * mapping.slices + slice) * m + f) * k;
        for (let block = 0; block < blocks; block++) {
          if (!present[(polarity * blocks + block) * m + f]) continue;
          const turned = flipped[(block * mapping.slices + slice) * m + f] === 1;
          for (let i = rowBlocks[block] ?? 0; i < (rowBlocks[block + 1] ?? 0); i++) {
            const level = exactLevels[from + i] ?? 0;
            out[f * k + i] = (out[f * k + i] ?? 0) + weight * (turned ? topLevel - level : level);
          }
        }
      }
    }
  if (zero !== 0)
    for (let at = 0; at < out.length; at++) out[at] = (out[at] ?? 0) - gain * zero * (unitLevels?.[at % k] ?? 1);
  return out;
}

/** Whether every sum that any input can make is a code of its converter. */
function allExact(
  mapping: Mapping,
  levels: Uint8Array,
  unitLevels: Float64Array | undefined,
  slices: InputSlices,
): boolean {
  const { crossbar, polarities, rowBlocks } = mapping;
  const { adc, subtract, adcPerInputSlice = true } = crossbar;
  if (adc.model === 'ideal') return true;
  if ((adc.model !== 'uniform' && adc.model !== 'sign-magnitude') || adc.range !== 'unit-step') return false;
  if (!adcPerInputSlice) return false;
  const analog = subtract === 'analog' && polarities === 2;
  const both = slices.encoding === 'sign-magnitude';
  const [low, high] = unitStep(adc.model, adc.bits, analog || both || adc.model === 'sign-magnitude');
  const drive = 2 ** Math.max(...slices.bits) - 1;
  const k = mapping.wordLines.length;
  const m = mapping.filters.length;
  const sum = (from: number, block: number) => {
    let total = 0;
    for (let i = rowBlocks[block] ?? 0; i < (rowBlocks[block + 1] ?? 0); i++) total += levels[from + i] ?? 0;
    return total * drive;
  };
  for (let block = 0; block + 1 < rowBlocks.length; block++) {
    if (unitLevels) {
      let total = 0;
      for (let i = rowBlocks[block] ?? 0; i < (rowBlocks[block + 1] ?? 0); i++) total += unitLevels[i] ?? 0;
      if (total * drive > high || (both && -total * drive < low)) return false;
    }
    for (let column = 0; column < mapping.slices * m; column++) {
      const positive = sum(column * k, block);
      const negative = polarities === 2 ? sum((mapping.slices * m + column) * k, block) : 0;
      // Currents of a pair meet in one converter under analog subtraction, and in two otherwise.
      const top = analog ? (both ? positive + negative : positive) : Math.max(positive, negative);
      const bottom = both ? -top : analog ? -negative : 0;
      if (top > high || bottom < low) return false;
    }
  }
  return true;
}

/** Multiplies all vectors: [vectors, inputs] → [vectors, outputs], sums exact up to 2^53. */
export function multiplyLinear(
  weights: Float64Array,
  { inputs, outputs, wordLines, filters }: Mapping,
  x: ArrayLike<number>,
  out: Float64Array,
): Float64Array {
  const [k, m] = [wordLines.length, filters.length];
  const own = new Float64Array(k);
  const lines = new Int32Array(k);
  const vectors = x.length / inputs;
  for (let v = 0; v < vectors; v++) {
    // Inputs of zero drive no line.
    let count = 0;
    for (let i = 0; i < k; i++) {
      const value = x[v * inputs + (wordLines[i] as number)] as number;
      if (value === 0) continue;
      own[count] = value;
      lines[count++] = i;
    }
    let f = 0;
    // Four filters at a time: a line's input and place are read once for them.
    for (; f + 4 <= m; f += 4) {
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let j = 0; j < count; j++) {
        const value = own[j] as number;
        const at = f * k + (lines[j] as number);
        a += (weights[at] as number) * value;
        b += (weights[at + k] as number) * value;
        c += (weights[at + 2 * k] as number) * value;
        d += (weights[at + 3 * k] as number) * value;
      }
      const to = v * outputs;
      out[to + (filters[f] as number)] = a;
      out[to + (filters[f + 1] as number)] = b;
      out[to + (filters[f + 2] as number)] = c;
      out[to + (filters[f + 3] as number)] = d;
    }
    for (; f < m; f++) {
      let sum = 0;
      for (let j = 0; j < count; j++) sum += (weights[f * k + (lines[j] as number)] as number) * (own[j] as number);
      out[v * outputs + (filters[f] as number)] = sum;
    }
  }
  return out;
}

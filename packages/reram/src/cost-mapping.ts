/** From a mapped matrix to the counts that the cost model prices; the only place where the two meet. */
import { adcBitsOf } from './adc.ts';
import type { ArrayGroup, LayerMapping } from './cost.ts';
import { checkInteger, fail } from './errors.ts';
import { type Mapping, slicesOf } from './mapping.ts';

export interface LayerUse {
  readonly name: string;
  /** Matrix-vector products for one inference. */
  readonly positions: number;
  /** Whether inputs are signed: two's complement then sends one slice more. Default false. */
  readonly signed?: boolean;
  /** Resolution of the converters: one figure, or one for each row block. Default: the mapping's converter. */
  readonly adcBits?: number | readonly number[];
  /** Default: those of the dense matrix at every position. */
  readonly macs?: number;
  /** Defaults: every position reads and writes each of its values once, at the width of an input. */
  readonly inputBytes?: number;
  readonly outputBytes?: number;
  readonly duplication?: number;
}

/**
 * Counts what one mapped matrix uses. Arrays of a row block are filled in order, the last one partly.
 *
 * @throws {GrimError} GRIM_RERAM_BAD_ADC when the converter is ideal and no bits are given,
 *   GRIM_RERAM_BAD_COST when there is not one number of bits for each row block
 */
export function layerMapping(mapping: Mapping, use: LayerUse): LayerMapping {
  const { crossbar, slices, polarities, rowBlocks, filters, present, inputs, outputs } = mapping;
  const { cols, storage, subtract, inputBits, adcPerInputSlice = true } = crossbar;
  const { name, positions, signed = false } = use;
  const blocks = rowBlocks.length - 1;
  const bits = bitsOf(mapping, use);
  const unit = storage === 'offset' && crossbar.inputSum === 'unit-column' ? 1 : 0;
  const hrs = crossbar.hrsColumn ? 1 : 0;
  const sharing = subtract === 'analog' && polarities === 2 ? 2 : 1;
  const groups: ArrayGroup[] = [];
  for (let block = 0; block < blocks; block++) {
    const rowsUsed = (rowBlocks[block + 1] ?? 0) - (rowBlocks[block] ?? 0);
    const columns: number[] = [];
    for (let polarity = 0; polarity < polarities; polarity++) {
      const start = (polarity * blocks + block) * filters.length;
      const own = present.subarray(start, start + filters.length).reduce((sum, one) => sum + one, 0);
      columns.push(own * slices);
    }
    const together = storage === 'sign-separated' || crossbar.interleaved === true;
    const chains = together ? [columns.reduce((sum, count) => sum + count, 0)] : columns;
    const add = (arrays: number, used: number) => {
      if (arrays === 0 || used === 0) return;
      groups.push({
        arrays,
        rowsUsed,
        colsUsed: used + unit + hrs,
        colsConverted: used + unit,
        arraysPerConverterSet: sharing,
        adcBits: bits[block] ?? 1,
      });
    };
    // Twins that share their converters go into one group, so that the pair is counted once.
    const twins = chains.length === 2 && chains[0] === chains[1] ? 2 : 1;
    for (const count of twins === 2 ? chains.slice(0, 1) : chains) {
      add(twins * Math.floor(count / cols), cols);
      add(twins, count % cols);
    }
  }
  const inputSlices = slicesOf(crossbar, signed).weights.length;
  return {
    name,
    groups,
    positions,
    inputSlices,
    conversionsPerProduct: adcPerInputSlice ? inputSlices : 1,
    macs: use.macs ?? positions * inputs * outputs,
    inputBytes: use.inputBytes ?? (positions * inputs * inputBits) / 8,
    outputBytes: use.outputBytes ?? (positions * outputs * inputBits) / 8,
    ...(use.duplication === undefined ? {} : { duplication: use.duplication }),
  };
}

function bitsOf({ crossbar, rowBlocks }: Mapping, { name, adcBits }: LayerUse): readonly number[] {
  const blocks = rowBlocks.length - 1;
  const given = adcBits ?? adcBitsOf(crossbar.adc);
  if (typeof given === 'number') {
    checkInteger('GRIM_RERAM_BAD_ADC', `cost: ${name}: adcBits (an ideal converter has no cost)`, given, 1, 16);
    return new Array<number>(blocks).fill(given);
  }
  if (given.length !== blocks) {
    fail('GRIM_RERAM_BAD_COST', `cost: ${name}: ${given.length} numbers of ADC bits for ${blocks} row blocks.`, {
      found: given.length,
      needed: blocks,
    });
  }
  return given;
}

/**
 * Integer weights on arrays of cells: slices, signs, partition. Everything here is exact.
 *
 * A matrix [outputs, inputs] stands with its inputs on word lines and its outputs on bit lines; `inputs` is cut into
 * blocks of array rows, and the slices of one weight take neighbouring bit lines.
 *
 * - `differential`: |w| in one array or its twin, by sign.
 * - `sign-separated`: the same, but a column without weights of that sign in its block does not exist, so a block whose
 *   columns hold one sign each (FORMS, Yuan et al., ISCA 2021) needs half the columns.
 * - `offset`: w + 2^(B−1), one column per slice (ISAAC, Shafiee et al., ISCA 2016); the sum of the inputs is subtracted
 *   afterwards. A column whose levels add up to more than half can be stored flipped, which saves the ADC a bit.
 */
import { type Adc, adcBitsOf, checkAdc } from './adc.ts';
import { type InputEncoding, type InputSlices, inputSlices } from './dac.ts';
import { checkDevice, type Device } from './device.ts';
import { checkInteger, checkReal, fail } from './errors.ts';
import { type IntMatrix, type RealMatrix, roundHalfEven } from './project.ts';

export type Storage = 'differential' | 'sign-separated' | 'offset';

export interface Crossbar {
  /** Word lines and bit lines of an array that hold weights. */
  readonly rows: number;
  readonly cols: number;
  readonly cellBits: number;
  /** Of a signed weight, the sign included: |w| ≤ 2^(weightBits−1) − 1. */
  readonly weightBits: number;
  /** Of an input, the sign included where it has one. */
  readonly inputBits: number;
  readonly dacBits: number;
  /** How signed inputs are sent; unsigned ones need no choice. Default: two's complement. */
  readonly signedInputs?: 'twos-complement' | 'sign-magnitude';
  readonly storage: Storage;
  /** Cells per weight and sign. Default: as many as the bits need. */
  readonly weightSlices?: number;
  /** Of `differential`: currents are subtracted before one conversion, or two conversions are (default). */
  readonly subtract?: 'analog' | 'digital';
  /**
   * Of `differential`: both columns of a pair stand side by side in one array and share its word lines and DACs, instead of
   * in twin arrays. Default false.
   */
  readonly interleaved?: boolean;
  /**
   * Of `differential`: the pair that a weight of zero is. `low` (default): both cells at level 0, so that columns of few
   * weights have small sums. `high`: both at the top, a weight lowers one of them; cells stuck at LRS then cost zeros
   * nothing, and every column's sum is near its largest (ISQED 2021 fault study, see docs).
   */
  readonly zeroPair?: 'low' | 'high';
  /** Of `offset`: ISAAC's flip encoding. Default false. */
  readonly flip?: boolean;
  /** Where the sum of the inputs comes from that `offset` subtracts: digital logic (default), or a column of unit cells. */
  readonly inputSum?: 'digital' | 'unit-column';
  /** A column of cells in their lowest state whose current is subtracted before conversion. Default false. */
  readonly hrsColumn?: boolean;
  /** `max` fills arrays first (default); `equal` makes blocks as equal as they can be. */
  readonly partition?: 'max' | 'equal';
  readonly adc: Adc;
  /** False: the slices of an input are added as charge, and converted once. Default true. */
  readonly adcPerInputSlice?: boolean;
  readonly device: Device;
  /** Repeats defects of a peer, for comparison with its results. */
  readonly compat?: 'crosssim-3.2';
  readonly source?: string;
}

export interface Mapping {
  readonly crossbar: Crossbar;
  readonly outputs: number;
  readonly inputs: number;
  /** Inputs that have a word line, in order; outputs that have bit lines. The others' weights are all zero. */
  readonly wordLines: Uint32Array;
  readonly filters: Uint32Array;
  readonly slices: number;
  /** 2 where positive and negative weights stand apart. */
  readonly polarities: 1 | 2;
  /** Cell levels, 0 to `topLevel`: [polarity, slice, filter, word line], row-major. */
  readonly levels: Uint8Array | Float64Array;
  readonly topLevel: number;
  /** What the level sum of each slice counts for. */
  readonly sliceWeights: readonly number[];
  /** What weight 0 is stored as, in units of the weight: subtracted, times the sum of the inputs. */
  readonly zero: number;
  /** What a unit of the result is worth, in units of weight × input; 1 but for a peer's gain error. */
  readonly gain: number;
  /** First word line of each block, and the end. */
  readonly rowBlocks: Uint32Array;
  /** First filter of each block of arrays, and the end. */
  readonly outputBlocks: Uint32Array;
  /** 1: the column is stored flipped. [row block, slice, filter]. */
  readonly flipped: Uint8Array;
  /** 1: the column exists. [polarity, row block, filter]. */
  readonly present: Uint8Array;
}

/** Cells that one mapping may have; each takes a byte, and eight more once it is programmed. */
const MOST_CELLS = 2 ** 28;

export interface MapOptions {
  /**
   * The inputs that get a word line, in order; all others must have weights of zero. Default: all. It must be the list
   * that column-proportional pruning counted its blocks by: with other lines its counts do not hold.
   */
  readonly wordLines?: ArrayLike<number>;
  /** The outputs that get bit lines, in order; all others must have weights of zero. Default: all. */
  readonly filters?: ArrayLike<number>;
}

/** Inputs and outputs with a weight that is not zero, one of each at least: what structured pruning leaves. */
export function linesInUse({ rows, cols, data }: IntMatrix | RealMatrix): Required<MapOptions> {
  const row = new Uint8Array(rows);
  const col = new Uint8Array(cols);
  for (let at = 0; at < data.length; at++) {
    if (data[at] === 0) continue;
    row[Math.floor(at / cols)] = 1;
    col[at % cols] = 1;
  }
  const used = (marks: Uint8Array) => {
    const list = Array.from(marks.keys()).filter((i) => marks[i] === 1);
    return list.length > 0 ? list : [0];
  };
  return { filters: used(row), wordLines: used(col) };
}

/**
 * @param w  integers, [outputs, inputs]
 * @throws {GrimError} GRIM_RERAM_BAD_CROSSBAR, GRIM_RERAM_BAD_DEVICE, GRIM_RERAM_BAD_ADC, GRIM_RERAM_BAD_MATRIX,
 *   GRIM_RERAM_WEIGHT_RANGE when a weight does not fit, GRIM_RERAM_TOO_LARGE with the bytes it would take
 */
export function mapMatrix(w: IntMatrix, crossbar: Crossbar, options: MapOptions = {}): Mapping {
  checkCrossbar(crossbar);
  const { rows: outputs, cols: inputs, data } = w;
  if (!isCount(outputs) || !isCount(inputs))
    fail('GRIM_RERAM_BAD_MATRIX', `matrix: ${outputs}×${inputs}; two positive integers are needed.`);
  const { cellBits, weightBits, storage } = crossbar;
  const slices = weightSlices(crossbar);
  const polarities = storage === 'offset' ? 1 : 2;
  checkSize(outputs * inputs, slices * polarities);
  if (data.length !== outputs * inputs)
    fail('GRIM_RERAM_BAD_MATRIX', `matrix: ${outputs}×${inputs} with ${data.length} elements.`);
  const most = 2 ** (weightBits - 1) - 1;
  const bias = storage === 'offset' ? most + 1 : 0;
  data.forEach((value, i) => {
    if (!Number.isInteger(value) || value > most || value < -most - (bias ? 1 : 0))
      fail(
        'GRIM_RERAM_WEIGHT_RANGE',
        `weight [${Math.floor(i / inputs)}, ${i % inputs}] is ${value}; ${storage} storage of ${weightBits} bits holds ${bias ? -most - 1 : -most} to ${most}.`,
        { value, weightBits },
      );
  });
  const wordLines = selected('wordLines', options.wordLines, inputs);
  const filters = selected('filters', options.filters, outputs);
  checkLeftOut(w, wordLines, filters);
  const [k, m] = [wordLines.length, filters.length];
  const topLevel = 2 ** cellBits - 1;
  const levels = new Uint8Array(polarities * slices * m * k);
  for (let f = 0; f < m; f++)
    for (let i = 0; i < k; i++) {
      const value = data[(filters[f] ?? 0) * inputs + (wordLines[i] ?? 0)] ?? 0;
      const polarity = bias === 0 && value < 0 ? 1 : 0;
      let rest = bias ? value + bias : Math.abs(value);
      for (let slice = 0; rest > 0; slice++) {
        levels[((polarity * slices + slice) * m + f) * k + i] = rest & topLevel;
        rest >>>= cellBits;
      }
    }
  if (storage === 'differential' && crossbar.zeroPair === 'high') raisePairs(levels, topLevel);
  const rowBlocks = partition(k, crossbar.rows, crossbar.partition);
  const mapping: Mapping = {
    crossbar,
    outputs,
    inputs,
    wordLines,
    filters,
    slices,
    polarities,
    levels,
    topLevel,
    sliceWeights: Array.from({ length: slices }, (_, i) => 2 ** (cellBits * i)),
    zero: bias,
    gain: 1,
    rowBlocks,
    outputBlocks: partition(
      m,
      Math.max(1, Math.floor(crossbar.cols / columnsOf(crossbar, slices))),
      crossbar.partition,
    ),
    flipped: new Uint8Array((rowBlocks.length - 1) * slices * m),
    present: presentColumns(storage, polarities, slices, m, k, levels, rowBlocks),
  };
  return storage === 'offset' && crossbar.flip ? flipColumns(mapping) : mapping;
}

export interface SingleCellOptions {
  /** `one-sided`: one cell of the pair rests at its lowest level; `two-sided`: both move around the middle. */
  readonly pair?: 'one-sided' | 'two-sided';
  /** Word lines and bit lines of each array, when they are given. */
  readonly inputsPerArray?: readonly number[];
  readonly outputsPerArray?: readonly number[];
}

/**
 * One cell (offset storage) or one pair of cells (differential) per weight, no slicing: weights from −1 to 1 on
 * `cellBits` bits of conductance, 0 for continuous ones. Results are in units of weight × input.
 * @throws {GrimError} as {@link mapMatrix}
 */
export function mapSingleCell(w: RealMatrix, crossbar: Crossbar, options: SingleCellOptions = {}): Mapping {
  checkCrossbar({ ...crossbar, cellBits: Math.max(1, crossbar.cellBits), weightBits: 16 });
  const { rows: m, cols: k, data } = w;
  if (!isCount(m) || !isCount(k)) fail('GRIM_RERAM_BAD_MATRIX', `matrix: ${m}×${k}; two positive integers are needed.`);
  const { cellBits, storage, compat } = crossbar;
  checkInteger('GRIM_RERAM_BAD_CROSSBAR', 'crossbar: cellBits', cellBits, 0, 16);
  const polarities = storage === 'offset' ? 1 : 2;
  checkSize(m * k, polarities);
  if (data.length !== m * k) fail('GRIM_RERAM_BAD_MATRIX', `matrix: ${m}×${k} with ${data.length} elements.`);
  const topLevel = cellBits === 0 ? 1 : 2 ** cellBits - 1;
  const store = (level: number) => (cellBits === 0 ? level : roundHalfEven(level));
  const levels = new Float64Array(polarities * m * k);
  // Offset storage with steps leaves the lowest level out, so that weight 0 has a level of its own.
  const lowest = storage === 'offset' && cellBits > 0 ? 1 : 0;
  const span = topLevel - lowest;
  if (span === 0)
    fail('GRIM_RERAM_BAD_CROSSBAR', 'crossbar: offset storage in one cell needs 2 bits or more, cellBits is 1.');
  const threshold = cellBits === 0 ? 0 : 2 ** -(cellBits + 1);
  data.forEach((value, i) => {
    if (!(Math.abs(value) <= 1))
      fail('GRIM_RERAM_WEIGHT_RANGE', `weight ${i} is ${value}; −1 to 1 is needed.`, { value });
    if (storage === 'offset') levels[i] = store(lowest + (span * (value + 1)) / 2);
    else if (options.pair === 'two-sided') {
      levels[i] = store((topLevel * (1 + value)) / 2);
      levels[m * k + i] = store((topLevel * (1 - value)) / 2);
    } else {
      levels[i] = value >= threshold ? store(topLevel * value) : 0;
      levels[m * k + i] = -value > threshold ? store(topLevel * -value) : 0;
    }
  });
  const rowBlocks = options.inputsPerArray
    ? starts(options.inputsPerArray, k)
    : partition(k, crossbar.rows, crossbar.partition);
  return {
    crossbar,
    outputs: m,
    inputs: k,
    wordLines: ascending(k),
    filters: ascending(m),
    slices: 1,
    polarities,
    levels,
    topLevel,
    sliceWeights: [storage === 'offset' ? 2 / span : 1 / topLevel],
    zero: storage === 'offset' ? (lowest + topLevel) / span : 0,
    gain: storage === 'offset' && compat === 'crosssim-3.2' ? span / topLevel : 1,
    rowBlocks,
    outputBlocks: options.outputsPerArray
      ? starts(options.outputsPerArray, m)
      : partition(m, crossbar.cols, crossbar.partition),
    flipped: new Uint8Array((rowBlocks.length - 1) * m),
    present: new Uint8Array(polarities * (rowBlocks.length - 1) * m).fill(1),
  };
}

/** Cells per weight and sign. */
function weightSlices({ cellBits, weightBits, storage, weightSlices: given }: Crossbar): number {
  const needed = Math.ceil((storage === 'offset' ? weightBits : weightBits - 1) / cellBits);
  if (given === undefined) return needed;
  checkInteger('GRIM_RERAM_BAD_CROSSBAR', 'crossbar: weightSlices', given, needed, 16);
  return given;
}

/** Bit lines that one weight takes in an array. */
function columnsOf({ interleaved = false }: Crossbar, slices: number): number {
  return interleaved ? 2 * slices : slices;
}

/** How inputs of this crossbar are sent. */
export function slicesOf(crossbar: Crossbar, signed: boolean): InputSlices {
  const encoding: InputEncoding = signed ? (crossbar.signedInputs ?? 'twos-complement') : 'unsigned';
  return inputSlices(crossbar.inputBits, crossbar.dacBits, encoding);
}

/** First index of each part, and the end. */
export function partition(total: number, most: number, rule: 'max' | 'equal' = 'max'): Uint32Array {
  checkInteger('GRIM_RERAM_BAD_CROSSBAR', 'partition: lines', total, 0, 2 ** 32 - 1);
  checkInteger('GRIM_RERAM_BAD_CROSSBAR', 'partition: lines of a part', most, 1, 2 ** 32 - 1);
  const parts = Math.ceil(total / most);
  const even = roundHalfEven(total / parts);
  const last = total - (parts - 1) * even;
  if (rule === 'max') return Uint32Array.from({ length: parts + 1 }, (_, i) => Math.min(total, i * most));
  // Rounded parts and a last one that takes the rest; where the rest is too much or nothing, parts differ by one.
  if (last >= 1 && last <= most)
    return Uint32Array.from({ length: parts + 1 }, (_, i) => (i < parts ? i * even : total));
  return Uint32Array.from({ length: parts + 1 }, (_, i) => Math.floor((i * total) / parts));
}

function starts(lengths: readonly number[], total: number): Uint32Array {
  const out = new Uint32Array(lengths.length + 1);
  lengths.forEach((length, i) => {
    checkInteger('GRIM_RERAM_BAD_CROSSBAR', 'partition: a length', length, 1, total);
    out[i + 1] = (out[i] ?? 0) + length;
  });
  if (out[lengths.length] !== total)
    fail('GRIM_RERAM_BAD_CROSSBAR', `partition: lengths add up to ${out[lengths.length]}; ${total} is needed.`);
  return out;
}

/** (p, n) becomes (top − n, top − p): the same difference, with zeros at the top. */
function raisePairs(levels: Uint8Array, topLevel: number): void {
  const half = levels.length / 2;
  for (let i = 0; i < half; i++) {
    const positive = levels[i] ?? 0;
    levels[i] = topLevel - (levels[half + i] ?? 0);
    levels[half + i] = topLevel - positive;
  }
}

/** Turns columns over whose levels add up to more than half of what they could. */
function flipColumns(mapping: Mapping): Mapping {
  const { levels, slices, topLevel, rowBlocks, wordLines, filters } = mapping;
  const [k, m] = [wordLines.length, filters.length];
  const flipped = new Uint8Array(mapping.flipped.length);
  const turned = Uint8Array.from(levels);
  for (let block = 0; block + 1 < rowBlocks.length; block++) {
    const [first, end] = [rowBlocks[block] ?? 0, rowBlocks[block + 1] ?? 0];
    for (let slice = 0; slice < slices; slice++)
      for (let f = 0; f < m; f++) {
        const at = (slice * m + f) * k;
        let sum = 0;
        for (let i = first; i < end; i++) sum += levels[at + i] ?? 0;
        if (2 * sum <= topLevel * (end - first)) continue;
        flipped[(block * slices + slice) * m + f] = 1;
        for (let i = first; i < end; i++) turned[at + i] = topLevel - (levels[at + i] ?? 0);
      }
  }
  return { ...mapping, levels: turned, flipped };
}

function presentColumns(
  storage: Storage,
  polarities: number,
  slices: number,
  m: number,
  k: number,
  levels: Uint8Array,
  rowBlocks: Uint32Array,
): Uint8Array {
  const blocks = rowBlocks.length - 1;
  const present = new Uint8Array(polarities * blocks * m);
  if (storage !== 'sign-separated') return present.fill(1);
  for (let polarity = 0; polarity < polarities; polarity++)
    for (let slice = 0; slice < slices; slice++)
      for (let f = 0; f < m; f++)
        for (let block = 0; block < blocks; block++) {
          const at = ((polarity * slices + slice) * m + f) * k;
          const column = levels.subarray(at + (rowBlocks[block] ?? 0), at + (rowBlocks[block + 1] ?? 0));
          if (column.some((level) => level > 0)) present[(polarity * blocks + block) * m + f] = 1;
        }
  return present;
}

/** What a mapping occupies and asks of its converters. */
export interface Footprint {
  /** Arrays of one copy, all polarities. */
  readonly arrays: number;
  /** Bit lines in use, unit and HRS columns included. */
  readonly columns: number;
  /** Cells in use over cells of all arrays. */
  readonly utilisation: number;
  /** Cells at another than the lowest level. */
  readonly nonZeroCells: number;
  /** Analog-to-digital conversions for one input vector. */
  readonly conversionsPerVector: number;
}

/**
 * Counts arrays and conversions.
 * @param signed  whether inputs are signed: two's complement then sends one slice more
 */
export function footprint(mapping: Mapping, signed = false): Footprint {
  const { crossbar, slices, polarities, rowBlocks, filters, levels, present } = mapping;
  const { cols, rows, storage, subtract, adcPerInputSlice = true } = crossbar;
  const blocks = rowBlocks.length - 1;
  const m = filters.length;
  const cycles = adcPerInputSlice ? slicesOf(crossbar, signed).weights.length : 1;
  // Extra columns stand beside the nominal ones, as ISAAC's 129th does.
  const extra = (storage === 'offset' && crossbar.inputSum === 'unit-column' ? 1 : 0) + (crossbar.hrsColumn ? 1 : 0);
  const together = storage === 'sign-separated' || crossbar.interleaved === true;
  let arrays = 0;
  let columns = 0;
  let converted = 0;
  let cells = 0;
  for (let block = 0; block < blocks; block++) {
    const length = (rowBlocks[block + 1] ?? 0) - (rowBlocks[block] ?? 0);
    let here = 0;
    let arraysHere = 0;
    for (let polarity = 0; polarity < polarities; polarity++) {
      let own = 0;
      for (let f = 0; f < m; f++) own += present[(polarity * blocks + block) * m + f] ?? 0;
      here += own * slices;
      if (!together) arraysHere += Math.ceil((own * slices) / cols);
    }
    if (together) arraysHere = Math.ceil(here / cols);
    arrays += arraysHere;
    const beside = arraysHere * extra;
    columns += here + beside;
    cells += (here + beside) * length;
    converted +=
      (subtract === 'analog' && polarities === 2 ? here / 2 : here) +
      (crossbar.inputSum === 'unit-column' ? arraysHere : 0);
  }
  let nonZeroCells = 0;
  for (const level of levels) if (level !== 0) nonZeroCells++;
  return {
    arrays,
    columns,
    utilisation: arrays === 0 ? 0 : cells / (arrays * rows * (cols + extra)),
    nonZeroCells,
    conversionsPerVector: converted * cycles,
  };
}

/** @throws {GrimError} GRIM_RERAM_BAD_CROSSBAR, GRIM_RERAM_BAD_DEVICE, GRIM_RERAM_BAD_ADC */
function checkCrossbar(crossbar: Crossbar): void {
  const code = 'GRIM_RERAM_BAD_CROSSBAR';
  const { rows, cols, cellBits, weightBits, storage, subtract = 'digital', flip = false } = crossbar;
  checkInteger(code, 'crossbar: rows', rows, 1, 2 ** 16);
  checkInteger(code, 'crossbar: cols', cols, 1, 2 ** 16);
  checkInteger(code, 'crossbar: cellBits', cellBits, 1, 8);
  checkInteger(code, 'crossbar: weightBits', weightBits, 2, 16);
  if (cellBits > weightBits)
    fail(code, `crossbar: cellBits is ${cellBits}, weightBits is ${weightBits}; a cell holds a part of a weight.`, {
      cellBits,
      weightBits,
    });
  const lines = columnsOf(crossbar, weightSlices(crossbar));
  if (lines > cols) fail(code, `crossbar: a weight takes ${lines} columns, an array has ${cols}.`, { cols });
  if (crossbar.interleaved && storage !== 'differential')
    fail(code, `crossbar: interleaved columns are a way of differential storage, not of ${storage}.`, { storage });
  slicesOf(crossbar, false);
  if (subtract === 'analog' && storage !== 'differential')
    fail(code, `crossbar: subtract is "analog", which needs differential storage, not ${storage}.`, { storage });
  if (crossbar.zeroPair === 'high' && storage !== 'differential')
    fail(code, `crossbar: zeroPair "high" is a way of differential storage, not of ${storage}.`, { storage });
  if (flip && storage !== 'offset')
    fail(code, `crossbar: flip is an encoding of offset storage, not of ${storage}.`, { storage });
  checkDevice(crossbar.device);
  checkAdc(crossbar.adc);
  checkReal(code, 'crossbar: bits of the ADC', adcBitsOf(crossbar.adc), 0, 32);
}

function checkSize(weights: number, cellsPerWeight: number): void {
  const cells = weights * cellsPerWeight;
  if (cells > MOST_CELLS)
    fail(
      'GRIM_RERAM_TOO_LARGE',
      `mapping: ${weights} weights of ${cellsPerWeight} cells each take about ${Math.ceil((cells * 9) / 2 ** 20)} MiB; at most ${MOST_CELLS} cells are supported. Map the matrix in parts.`,
      { cells, bytes: cells * 9, limit: MOST_CELLS },
    );
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}

function ascending(length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, i) => i);
}

function selected(name: string, list: ArrayLike<number> | undefined, length: number): Uint32Array {
  if (!list) return ascending(length);
  const seen = new Uint8Array(length);
  return Uint32Array.from(list, (index) => {
    if (!Number.isInteger(index) || index < 0 || index >= length || seen[index])
      fail('GRIM_RERAM_BAD_MATRIX', `${name}: ${index} is repeated or outside 0 to ${length - 1}.`, { index });
    seen[index] = 1;
    return index;
  });
}

function checkLeftOut({ rows, cols, data }: IntMatrix, wordLines: Uint32Array, filters: Uint32Array): void {
  if (wordLines.length === cols && filters.length === rows) return;
  const lines = new Set(wordLines);
  const kept = new Set(filters);
  data.forEach((value, i) => {
    const [row, col] = [Math.floor(i / cols), i % cols];
    if (value !== 0 && !(lines.has(col) && kept.has(row)))
      fail('GRIM_RERAM_BAD_MATRIX', `weight [${row}, ${col}] is ${value}, but its line or column is left out.`, {
        row,
        col,
      });
  });
}

/**
 * Pruning for crossbars.
 *
 * Column-proportional (CP) pruning holds the number of non-zero weights in each column of each array to a fixed count and
 * leaves their positions free: the largest bit-line sum shrinks, and with it the ADC that is exact. Structured pruning
 * before it removes filters and rows in such numbers that whole arrays disappear. Both work on the GEMM view of a weight:
 * rows are filters (bit lines), columns are inputs (word lines).
 * @see TinyADC (Yuan et al., DATE 2021); Ma et al., "Tiny but accurate" (ASP-DAC 2020) for the rounding to arrays
 */
import { type BcrPattern, patternMask } from '@grim/ir';
import { checkInteger, checkReal, fail } from './errors.ts';

/** Row-major [rows = filters, cols = inputs]; `data.length` is rows · cols. */
export interface RealMatrix<D extends Float32Array | Float64Array = Float32Array | Float64Array> {
  readonly rows: number;
  readonly cols: number;
  readonly data: D;
}

/** Row-major integers. */
export interface IntMatrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Int32Array;
}

export interface ColumnProportionalOptions {
  /**
   * The inputs that have a word line, in the order in which they fill the arrays; default: all, ascending. What stands
   * elsewhere becomes zero.
   */
  readonly wordLines?: ArrayLike<number>;
  /** A pattern that the result must keep too. */
  readonly pattern?: BcrPattern;
  /**
   * Counts positive and negative weights apart, as storage with a column for each sign does: at most `maxNonZeros` of
   * either. Default false: of both together.
   */
  readonly perSign?: boolean;
  /**
   * Every column of a block holds one sign, the one whose weights have more energy (positive where both have the same): what
   * `sign-separated` storage needs half the columns for. Small blocks keep more. Default false.
   * @see FORMS (Yuan et al., ISCA 2021), polarisation
   */
  readonly polarised?: boolean;
}

/**
 * The nearest matrix with at most `maxNonZeros` non-zeros per filter in each block of `crossbarRows` word lines: the
 * largest magnitudes stay, ties go to the lower word line. With a pattern it is the nearest one inside that pattern.
 * NaN counts as 0 when magnitudes are compared, and is never kept.
 *
 * @throws {GrimError} GRIM_RERAM_BAD_TARGET, GRIM_RERAM_BAD_MATRIX
 */
export function projectColumnProportional<D extends Float32Array | Float64Array>(
  w: RealMatrix<D>,
  crossbarRows: number,
  maxNonZeros: number,
  options: ColumnProportionalOptions = {},
): RealMatrix<D> {
  checkRealMatrix(w);
  checkInteger('GRIM_RERAM_BAD_TARGET', 'projectColumnProportional: crossbarRows', crossbarRows, 1, 2 ** 20);
  checkInteger('GRIM_RERAM_BAD_TARGET', 'projectColumnProportional: maxNonZeros', maxNonZeros, 0, 2 ** 20);
  const { rows, cols, data } = w;
  const mask = options.pattern && maskOf(options.pattern, w);
  const lines = checkedLines(options.wordLines, cols);
  const out = (data instanceof Float64Array ? new Float64Array(data.length) : new Float32Array(data.length)) as D;
  const magnitudes = new Float64Array(Math.min(crossbarRows, lines.length));
  for (let row = 0; row < rows; row++)
    for (let first = 0; first < lines.length; first += crossbarRows) {
      const length = Math.min(crossbarRows, lines.length - first);
      for (let i = 0; i < length; i++) {
        const at = row * cols + (lines[first + i] ?? 0);
        const magnitude = Math.abs(data[at] ?? 0);
        magnitudes[i] = magnitude > 0 && (!mask || mask[at]) ? magnitude : 0;
      }
      const order = Uint32Array.from({ length }, (_, i) => i).sort(
        (a, b) => (magnitudes[b] ?? 0) - (magnitudes[a] ?? 0) || a - b,
      );
      /** How many of a sign are still kept. */
      const left = { positive: maxNonZeros, negative: maxNonZeros };
      if (options.polarised) {
        const energy = { positive: 0, negative: 0 };
        const counted = { ...left };
        for (const i of order) {
          const magnitude = magnitudes[i] ?? 0;
          const sign = (data[row * cols + (lines[first + i] ?? 0)] ?? 0) < 0 ? 'negative' : 'positive';
          if (counted[sign]-- > 0) energy[sign] += magnitude * magnitude;
        }
        left[energy.negative > energy.positive ? 'positive' : 'negative'] = 0;
      }
      for (const i of order) {
        if (!((magnitudes[i] ?? 0) > 0)) break;
        const at = row * cols + (lines[first + i] ?? 0);
        const value = data[at] ?? 0;
        const column = (options.perSign || options.polarised) && value < 0 ? 'negative' : 'positive';
        if (left[column] === 0) continue;
        left[column]--;
        out[at] = value;
      }
    }
  return { rows, cols, data: out };
}

export interface CrossbarTarget extends Omit<ColumnProportionalOptions, 'wordLines'> {
  readonly crossbarRows: number;
  readonly maxNonZeros: number;
  /** Before it, filters and inputs that take up whole arrays go; blocks are then counted over the inputs that are left. */
  readonly structured?: Omit<StructuredTarget, 'crossbarRows'>;
}

/**
 * Which weights stay: structured pruning, then column-proportional pruning of what is left, all of it inside a BCR pattern if
 * one is given. As the `choose` of one-shot pruning and of ADMM, which reconstruct or train the weights that stay:
 * `choose: ({ m, k }, data) => crossbarMask({ rows: m, cols: k, data }, target)`.
 * @returns row-major, 1 where a weight stays
 * @throws {GrimError} GRIM_RERAM_BAD_TARGET, GRIM_RERAM_BAD_MATRIX
 */
export function crossbarMask(w: RealMatrix, target: CrossbarTarget): Uint8Array {
  const { crossbarRows, maxNonZeros, structured, ...options } = target;
  const inside = options.pattern ? maskOf(options.pattern, w) : undefined;
  const data = inside ? w.data.map((value, i) => (inside[i] ? value : 0)) : w.data;
  const choice = structured && structuredChoice({ ...w, data }, { ...structured, crossbarRows });
  const left = choice ? applyStructured({ ...w, data }, choice) : { ...w, data };
  const kept = projectColumnProportional(left, crossbarRows, maxNonZeros, {
    ...options,
    ...(choice && { wordLines: choice.inputs }),
  });
  return Uint8Array.from(kept.data, (value) => (value === 0 ? 0 : 1));
}

/** Largest number of non-zeros of any filter in any block of `crossbarRows` word lines: the l that a matrix fulfils. */
export function columnNonZeros(w: RealMatrix | IntMatrix, crossbarRows: number): number {
  checkRealMatrix(w);
  checkInteger('GRIM_RERAM_BAD_TARGET', 'columnNonZeros: crossbarRows', crossbarRows, 1, 2 ** 20);
  let most = 0;
  for (let row = 0; row < w.rows; row++)
    for (let first = 0; first < w.cols; first += crossbarRows) {
      let count = 0;
      for (let col = first; col < Math.min(first + crossbarRows, w.cols); col++)
        if (w.data[row * w.cols + col] !== 0) count++;
      most = Math.max(most, count);
    }
  return most;
}

export interface StructuredTarget {
  /** Shares to keep, above 0, up to 1. */
  readonly filters?: number;
  readonly inputs?: number;
  /** Word lines and bit lines of an array. */
  readonly crossbarRows: number;
  readonly crossbarCols: number;
  /** Bit lines that one filter takes: its weight slices. */
  readonly slices: number;
  /** Inputs are removed in runs of this many: kH·kW removes channels, 1 (default) single rows of the filter shape. */
  readonly inputRun?: number;
}

export interface StructuredChoice {
  /** Ascending. */
  readonly filters: Uint32Array;
  readonly inputs: Uint32Array;
  /** Arrays (of one polarity) before and after. */
  readonly arraysBefore: number;
  readonly arraysAfter: number;
}

/**
 * Which filters and inputs to keep: those of largest L2 norm, ties to the lower index. Counts are rounded up to what
 * fills whole arrays: removing five columns of 128 saves nothing, so they stay and keep their accuracy.
 * Filters are chosen first; inputs by what is left in them.
 * @throws {GrimError} GRIM_RERAM_BAD_TARGET
 */
export function structuredChoice(w: RealMatrix, target: StructuredTarget): StructuredChoice {
  checkRealMatrix(w);
  const { filters = 1, inputs = 1, crossbarRows, crossbarCols, slices, inputRun = 1 } = target;
  const code = 'GRIM_RERAM_BAD_TARGET';
  checkInteger(code, 'structuredChoice: crossbarRows', crossbarRows, 1, 2 ** 20);
  checkInteger(code, 'structuredChoice: crossbarCols', crossbarCols, 1, 2 ** 20);
  checkInteger(code, 'structuredChoice: slices', slices, 1, crossbarCols);
  checkInteger(code, 'structuredChoice: inputRun', inputRun, 1, w.cols);
  checkReal(code, 'structuredChoice: filters', filters, Number.MIN_VALUE, 1);
  checkReal(code, 'structuredChoice: inputs', inputs, Number.MIN_VALUE, 1);
  if (w.cols % inputRun !== 0)
    fail(code, `structuredChoice: ${w.cols} inputs do not fall into runs of ${inputRun}.`, { cols: w.cols, inputRun });

  const { rows, cols, data } = w;
  const arrays = (f: number, k: number) => Math.ceil((f * slices) / crossbarCols) * Math.ceil(k / crossbarRows);
  const columnsWanted = Math.ceil((Math.ceil(filters * rows) * slices) / crossbarCols) * crossbarCols;
  const keptFilters = Math.min(rows, Math.max(1, Math.floor(columnsWanted / slices)));
  const filterEnergy = Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let col = 0; col < cols; col++) sum += (data[row * cols + col] ?? 0) ** 2;
    return sum;
  });
  const chosen = largest(filterEnergy, keptFilters);

  const runs = cols / inputRun;
  const rowsWanted = Math.ceil(Math.ceil(inputs * cols) / crossbarRows) * crossbarRows;
  const keptRuns = Math.min(runs, Math.max(1, Math.floor(rowsWanted / inputRun)));
  const runEnergy = new Float64Array(runs);
  for (const row of chosen)
    for (let col = 0; col < cols; col++) {
      const run = Math.floor(col / inputRun);
      runEnergy[run] = (runEnergy[run] ?? 0) + (data[row * cols + col] ?? 0) ** 2;
    }
  const kept = largest(runEnergy, keptRuns);
  const keptInputs = Uint32Array.from({ length: keptRuns * inputRun }, (_, i) => {
    const run = kept[Math.floor(i / inputRun)] ?? 0;
    return run * inputRun + (i % inputRun);
  });
  return {
    filters: chosen,
    inputs: keptInputs,
    arraysBefore: arrays(rows, cols),
    arraysAfter: arrays(chosen.length, keptInputs.length),
  };
}

/** `w` with everything zero outside the kept filters and inputs. */
export function applyStructured<D extends Float32Array | Float64Array>(
  w: RealMatrix<D>,
  choice: { readonly filters: Uint32Array; readonly inputs: Uint32Array },
): RealMatrix<D> {
  checkRealMatrix(w);
  for (const [what, list, end] of [
    ['filter', choice.filters, w.rows],
    ['input', choice.inputs, w.cols],
  ] as const)
    for (const index of list) checkInteger('GRIM_RERAM_BAD_TARGET', `applyStructured: ${what}`, index, 0, end - 1);
  const out = (w.data instanceof Float64Array ? new Float64Array(w.data.length) : new Float32Array(w.data.length)) as D;
  for (const row of choice.filters)
    for (const col of choice.inputs) out[row * w.cols + col] = w.data[row * w.cols + col] ?? 0;
  return { rows: w.rows, cols: w.cols, data: out };
}

/** Indices of the `count` largest, ascending; ties to the lower index. */
function largest(values: Float64Array, count: number): Uint32Array {
  const order = Uint32Array.from(values, (_, i) => i).sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0) || a - b);
  return order.slice(0, count).sort();
}

/** Integers and what one of them is worth: row i of the real matrix is `scales[i]` · row i of `integers`. */
export interface Quantised {
  readonly integers: IntMatrix;
  /** One per row. */
  readonly scales: Float64Array;
}

/**
 * Symmetric integers of `bits` bits, |q| ≤ 2^(bits−1) − 1, rounded half to even: what the cells of a crossbar hold.
 * One scale per filter (default) or one for the matrix; a row of zeros has scale 1.
 * @throws {GrimError} GRIM_RERAM_BAD_MATRIX when an element is not finite; GRIM_RERAM_BAD_TARGET for bits outside 2 to 16
 */
export function quantise(w: RealMatrix, bits: number, scale: 'filter' | 'matrix' = 'filter'): Quantised {
  checkRealMatrix(w);
  checkInteger('GRIM_RERAM_BAD_TARGET', 'quantise: bits', bits, 2, 16);
  const { rows, cols, data } = w;
  const most = 2 ** (bits - 1) - 1;
  const peaks = new Float64Array(rows);
  for (let i = 0; i < data.length; i++) {
    const value = Math.abs(data[i] ?? 0);
    if (!Number.isFinite(value))
      fail('GRIM_RERAM_BAD_MATRIX', `matrix: element [${Math.floor(i / cols)}, ${i % cols}] is ${data[i]}.`);
    const row = Math.floor(i / cols);
    peaks[row] = Math.max(peaks[row] ?? 0, value);
  }
  if (scale === 'matrix') peaks.fill(peaks.reduce((a, b) => Math.max(a, b), 0));
  // A peak so small that its scale underflows counts as zero.
  const scales = peaks.map((peak) => (peak / most > 0 ? peak / most : 1));
  const integers = Int32Array.from(data, (value, i) => {
    const q = roundHalfEven(value / (scales[Math.floor(i / cols)] ?? 1));
    return Math.max(-most, Math.min(most, q));
  });
  return { integers: { rows, cols, data: integers }, scales };
}

/** The nearest matrix whose elements are `bits`-bit integers times a scale: the set of a quantising ADMM. */
export function projectQuantised<D extends Float32Array | Float64Array>(
  w: RealMatrix<D>,
  bits: number,
  scale: 'filter' | 'matrix' = 'filter',
): RealMatrix<D> {
  const { integers, scales } = quantise(w, bits, scale);
  const data = w.data.map((_, i) => (integers.data[i] ?? 0) * (scales[Math.floor(i / w.cols)] ?? 1)) as D;
  return { rows: w.rows, cols: w.cols, data };
}

/** Nearest integer, halves to the even one; never −0. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return (rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor) + 0;
}

/** Results are copies of the matrix, up to eight bytes an element. */
const MOST_WEIGHTS = 2 ** 28;

function checkRealMatrix({ rows, cols, data }: RealMatrix | IntMatrix): void {
  if (!Number.isSafeInteger(rows) || !Number.isSafeInteger(cols) || rows < 1 || cols < 1 || rows * cols !== data.length)
    fail('GRIM_RERAM_BAD_MATRIX', `matrix: ${rows}×${cols} with ${data.length} elements; rows · cols are needed.`);
  if (data.length > MOST_WEIGHTS)
    fail(
      'GRIM_RERAM_TOO_LARGE',
      `matrix: ${rows}×${cols} weights take about ${Math.ceil((8 * data.length) / 2 ** 20)} MiB; at most ${MOST_WEIGHTS} are supported. Work on it in parts.`,
      { bytes: 8 * data.length, limit: MOST_WEIGHTS },
    );
}

function maskOf(pattern: BcrPattern, w: RealMatrix): Uint8Array {
  const { rows, cols } = pattern.grid;
  if (rows !== w.rows || cols !== w.cols)
    fail('GRIM_RERAM_BAD_MATRIX', `pattern: its grid is ${rows}×${cols}, the matrix is ${w.rows}×${w.cols}.`);
  return patternMask(pattern);
}

function checkedLines(lines: ArrayLike<number> | undefined, cols: number): Uint32Array {
  if (!lines) return Uint32Array.from({ length: cols }, (_, i) => i);
  const seen = new Uint8Array(cols);
  return Uint32Array.from(lines, (line) => {
    if (!Number.isInteger(line) || line < 0 || line >= cols || seen[line])
      fail('GRIM_RERAM_BAD_TARGET', `wordLines: ${line} is repeated or outside 0 to ${cols - 1}.`, { line });
    seen[line] = 1;
    return line;
  });
}

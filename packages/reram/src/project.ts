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
      const left = { positive: maxNonZeros, negative: maxNonZeros };
      for (const i of order) {
        if (!((magnitudes[i] ?? 0) > 0)) break;
        const at = row * cols + (lines[first + i] ?? 0);
        const value = data[at] ?? 0;
        const column = options.perSign && value < 0 ? 'negative' : 'positive';
        if (left[column] === 0) continue;
        left[column]--;
        out[at] = value;
      }
    }
  return { rows, cols, data: out };
}

/** Largest number of non-zeros of any filter in any block of `crossbarRows` word lines: the l that a matrix fulfils. */
export function columnNonZeros(w: RealMatrix | IntMatrix, crossbarRows: number): number {
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

/** One set of the constraint W ∈ S₁ ∩ S₂ …, by its Euclidean projection. */
export type Projection = (values: Float64Array) => Float64Array;

export interface AdmmState {
  readonly w: Float64Array;
  /** Per set: the projected copy and the scaled dual. */
  readonly z: readonly Float64Array[];
  readonly u: readonly Float64Array[];
  readonly iteration: number;
  /** Penalty that `u` is scaled by; 0 before the first step. */
  readonly rho: number;
}

/** All zeros. */
export function admmStart(length: number, sets: number): AdmmState {
  const zeros = () => Array.from({ length: sets }, () => new Float64Array(length));
  return { w: new Float64Array(length), z: zeros(), u: zeros(), iteration: 0, rho: 0 };
}

/**
 * One iteration of scaled ADMM for min f(W) with W in every set: W ← argmin f + Σ ρ/2·‖W − (Zᵢ − Uᵢ)‖², Zᵢ ← Πᵢ(W + Uᵢ),
 * Uᵢ ← Uᵢ + W − Zᵢ. When ρ is another than in the step before, U is rescaled first: ρ·U is the dual and stays.
 *
 * @param minimise  argmin of f(W) + rho/2·‖W − target‖²; called with the mean of all Zᵢ − Uᵢ and (number of sets)·ρ, which
 *   has the same minimiser as the sum; `from` is the present W
 * @see Boyd et al., "Distributed optimization and statistical learning via ADMM" (2011), sections 3.1.1 and 7.1
 */
export function admmStep(
  state: AdmmState,
  rho: number,
  minimise: (target: Float64Array, rho: number, from: Float64Array) => Float64Array,
  sets: readonly Projection[],
): AdmmState {
  checkReal('GRIM_RERAM_BAD_TARGET', 'admmStep: rho', rho, Number.MIN_VALUE, Number.MAX_VALUE);
  const count = sets.length;
  const scale = state.rho === 0 ? 1 : state.rho / rho;
  const before = scale === 1 ? state.u : state.u.map((values) => values.map((value) => value * scale));
  const target = Float64Array.from(state.w, (_, i) => {
    let sum = 0;
    for (let s = 0; s < count; s++) sum += (state.z[s]?.[i] ?? 0) - (before[s]?.[i] ?? 0);
    return sum / count;
  });
  const w = minimise(target, rho * count, state.w);
  const z = sets.map((project, s) => project(w.map((value, i) => value + (before[s]?.[i] ?? 0))));
  const u = z.map((projected, s) => w.map((value, i) => (before[s]?.[i] ?? 0) + value - (projected[i] ?? 0)));
  return { w, z, u, iteration: state.iteration + 1, rho };
}

/** ‖W − Z‖₂ over all sets. */
export function admmResidual(state: AdmmState): number {
  let sum = 0;
  for (const z of state.z) for (let i = 0; i < z.length; i++) sum += ((state.w[i] ?? 0) - (z[i] ?? 0)) ** 2;
  return Math.sqrt(sum);
}

function checkRealMatrix({ rows, cols, data }: RealMatrix): void {
  if (!Number.isSafeInteger(rows) || !Number.isSafeInteger(cols) || rows < 1 || cols < 1 || rows * cols !== data.length)
    fail('GRIM_RERAM_BAD_MATRIX', `matrix: ${rows}×${cols} with ${data.length} elements; rows · cols are needed.`);
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

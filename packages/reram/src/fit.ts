/**
 * Integers whose columns a given converter reads exactly: the largest sum of levels of any column, slice by slice and sign
 * by sign, stays within what the bits can count.
 *
 * Column-proportional pruning bounds the number of cells and takes each at its top level. The bound that counts is the sum
 * of the levels that are stored, and levels can be moved: lowering a cell of the least slice costs one step of the weight.
 * So a column is fitted from its top slice down, each time by the move that changes its weight least, a weight's move down
 * to the next lower level, or up to where the slice is empty. Greedy, deterministic, and checked: what it returns passes the
 * certificate, or it throws. Where it is told what the inputs are, the result is moved on until the layer's outputs, not its
 * weights, change least (`fit-outputs.ts`).
 */
import { checkInteger, checkReal, fail } from './errors.ts';
import { bestStep, descend, type FilterColumns, type Gram, outputError } from './fit-outputs.ts';
import { type Crossbar, linesInUse, partition } from './mapping.ts';
import { type IntMatrix, type Quantised, quantise, type RealMatrix } from './project.ts';

export interface FitOptions {
  /** Shares of the largest weight's step that are tried as steps of a filter; the least error wins. */
  readonly scales?: readonly number[];
  /** The matrix will be mapped without the inputs whose weights are all zero (`compact`): blocks are counted so. */
  readonly compact?: boolean;
  /**
   * Of the layer's inputs, [inputs, inputs]: Σ x xᵀ over calibration vectors, as `quantiseNetwork` hands it to `integersOf`.
   * With it the error of the outputs decides, without it that of the weights.
   */
  readonly gram?: Float64Array;
}

const SCALES = [1, 1.15, 1.35, 1.6, 2, 2.6];

/**
 * The integers nearest to `w`, by a greedy search, for which converters of `adcBits` bits are exact.
 *
 * @param w  real weights, [outputs, inputs]
 * @param crossbar  with `differential` or `sign-separated` storage
 * @throws {GrimError} GRIM_RERAM_UNSUPPORTED for `offset` storage, where a weight of zero is stored as half the range;
 *   GRIM_RERAM_BAD_ADC, GRIM_RERAM_BAD_MATRIX (a `gram` of another size or with an element that is not finite, too)
 */
export function fitColumns(w: RealMatrix, crossbar: Crossbar, adcBits: number, options: FitOptions = {}): Quantised {
  const { weightBits, cellBits, dacBits, storage } = crossbar;
  if (storage === 'offset' || crossbar.zeroPair === 'high')
    fail(
      'GRIM_RERAM_UNSUPPORTED',
      `fitColumns: ${storage} storage${storage === 'offset' ? ' keeps a zero weight as half the range' : ' with pairs of full cells for zero'}, so that columns cannot be made small. Use differential or sign-separated storage.`,
      { storage },
    );
  checkInteger('GRIM_RERAM_BAD_ADC', 'fitColumns: adcBits', adcBits, 1, 32);
  // Where currents of both signs meet in one converter, one bit is the sign.
  const bits = adcBits - (crossbar.subtract === 'analog' ? 1 : 0);
  const limit = Math.floor((2 ** bits - 1) / (2 ** dacBits - 1));
  const base = 2 ** cellBits;
  const slices = Math.ceil((weightBits - 1) / cellBits);
  const most = 2 ** (weightBits - 1) - 1;
  const { integers: plain, scales: steps } = quantise(w, weightBits);
  const { rows, cols, data } = w;
  const { gram, scales: factors = SCALES } = options;
  if (factors.length === 0) fail('GRIM_RERAM_BAD_TARGET', 'fitColumns: scales is empty; at least one is needed.');
  for (const factor of factors) checkReal('GRIM_RERAM_BAD_TARGET', 'fitColumns: a scale', factor, 1e-6, 1e6);
  if (gram) checkGram(gram, cols);
  const lines = options.compact ? linesInUse(w).wordLines : Uint32Array.from({ length: cols }, (_, i) => i);
  const blocks = partition(lines.length, crossbar.rows, crossbar.partition);
  const columns: FilterColumns = { cellBits, slices, limit, most, lines, blocks };
  const integers = new Int32Array(rows * cols);
  const scales = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const real = Float64Array.from(data.subarray(row * cols, (row + 1) * cols));
    let least = Infinity;
    let settled = false;
    for (const factor of factors) {
      const step = (steps[row] ?? 1) * factor;
      const wanted = real.map((value) => Math.min(most, Math.abs(value) / step));
      const levels = Int32Array.from(wanted, Math.round);
      for (let b = 0; b + 1 < blocks.length; b++)
        for (const sign of [1, -1]) {
          const members: number[] = [];
          for (let at = blocks[b] ?? 0; at < (blocks[b + 1] ?? 0); at++) {
            const i = lines[at] as number;
            if ((real[i] ?? 0) * sign > 0 && levels[i] !== 0) members.push(i);
          }
          fitColumn(levels, wanted, members, { base, slices, limit, most });
        }
      const nothingMoved =
        factor === 1 && levels.every((level, i) => level === Math.abs(plain.data[row * cols + i] ?? 0));
      const signed = levels.map((level, i) => level * Math.sign(real[i] ?? 0));
      const own = gram && !nothingMoved ? descended(real, signed, step, gram, columns, false) : step;
      const error = gram ? outputError(real, signed, own, gram) : weightError(real, signed, step);
      if (error < least) {
        least = error;
        scales[row] = own;
        integers.set(signed, row * cols);
      }
      // A coarser step can only be worse.
      if (nothingMoved) {
        settled = true;
        break;
      }
    }
    if (!gram || settled) continue;
    const own = integers.subarray(row * cols, (row + 1) * cols);
    scales[row] = descended(real, own, scales[row] ?? 1, gram, columns, true);
  }
  const fitted: IntMatrix = { rows, cols, data: integers };
  // An input that lost its last weight moves the blocks of those behind it.
  if (options.compact && linesInUse(fitted).wordLines.length < lines.length) {
    const left = new Uint8Array(cols);
    for (const i of Array.from(linesInUse(fitted).wordLines)) left[i] = 1;
    return fitColumns(
      { rows, cols, data: data.map((value, at) => (left[at % cols] ? value : 0)) },
      crossbar,
      adcBits,
      options,
    );
  }
  return { integers: fitted, scales };
}

/** Rounds of moves of the integers, then of the step. */
const ROUNDS = 2;

/** Moves `levels` towards the filter's outputs, and the step with them. @returns the step */
function descended(
  real: Float64Array,
  levels: Int32Array,
  first: number,
  gram: Gram,
  columns: FilterColumns,
  pairs: boolean,
): number {
  let step = first;
  for (let round = 0; round < ROUNDS; round++) {
    descend(real, levels, step, gram, columns, { sweeps: pairs ? 8 : 4, pairs });
    step = bestStep(real, levels, step, gram);
  }
  return step;
}

function weightError(real: Float64Array, levels: Int32Array, step: number): number {
  return real.reduce((sum, w, i) => sum + ((levels[i] as number) * step - w) ** 2, 0);
}

function checkGram(gram: Gram, cols: number): void {
  if (gram.length !== cols * cols || !gram.every(Number.isFinite))
    fail(
      'GRIM_RERAM_BAD_MATRIX',
      `fitColumns: gram has ${gram.length} elements; ${cols}×${cols} finite ones are needed, one for each pair of inputs.`,
      { elements: gram.length, inputs: cols },
    );
}

interface Cells {
  readonly base: number;
  readonly slices: number;
  readonly limit: number;
  readonly most: number;
}

/** Moves the levels of one column of one sign until every slice adds up to no more than the limit. */
function fitColumn(levels: Int32Array, wanted: Float64Array, members: readonly number[], cells: Cells): void {
  const { base, slices, limit, most } = cells;
  const digit = (value: number, slice: number) => Math.floor(value / base ** slice) % base;
  const sums = new Array<number>(slices).fill(0);
  for (const i of members) for (let s = 0; s < slices; s++) sums[s] = (sums[s] ?? 0) + digit(levels[i] ?? 0, s);
  const move = (i: number, to: number) => {
    for (let s = 0; s < slices; s++) sums[s] = (sums[s] ?? 0) + digit(to, s) - digit(levels[i] ?? 0, s);
    levels[i] = to;
  };
  for (let slice = slices - 1; slice >= 0; slice--) {
    const unit = base ** slice;
    while ((sums[slice] ?? 0) > limit) {
      let best = -1;
      let target = 0;
      let least = Infinity;
      for (const i of members) {
        const level = levels[i] ?? 0;
        const here = digit(level, slice);
        if (here === 0) continue;
        const goal = wanted[i] ?? 0;
        const before = (level - goal) ** 2;
        // Down to just below this level, then up to where this slice becomes zero by a carry.
        const down = Math.floor(level / unit) * unit - 1;
        const up = (Math.floor(level / (unit * base)) + 1) * unit * base;
        const downCost = (down - goal) ** 2 - before;
        if (downCost < least) [least, best, target] = [downCost, i, down];
        if (up > most || !carryFits(sums, level, up)) continue;
        // A carry frees the whole digit: what counts is the price of one level.
        const upCost = ((up - goal) ** 2 - before) / here;
        if (upCost < least) [least, best, target] = [upCost, i, up];
      }
      if (best < 0) break;
      move(best, target);
    }
  }

  /** Whether no higher slice goes over the limit when a weight moves. */
  function carryFits(now: readonly number[], from: number, to: number): boolean {
    for (let s = 0; s < slices; s++) {
      const change = digit(to, s) - digit(from, s);
      if (change > 0 && (now[s] ?? 0) + change > limit) return false;
    }
    return true;
  }
}

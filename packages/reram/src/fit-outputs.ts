/**
 * Integers of one filter, moved so that its outputs change least while every column stays within what its converter counts.
 *
 * What counts is eᵀGe: e the error of the filter's weights, G the sum of x xᵀ over calibration inputs (the squared error of
 * the layer's outputs on them). Coordinate descent on integers, as in layerwise quantisation (Frantar et al., OPTQ, ICLR 2023,
 * state the same objective): each weight goes to the integer nearest to its best value that its column has room for, and
 * where there is none, together with another weight of the column that makes room.
 */
export interface FilterColumns {
  readonly cellBits: number;
  readonly slices: number;
  /** Most that the levels of a column may add up to. */
  readonly limit: number;
  /** Largest magnitude of a weight. */
  readonly most: number;
  /** Inputs of the word lines, in order. */
  readonly lines: ArrayLike<number>;
  /** Borders of blocks of word lines. */
  readonly blocks: ArrayLike<number>;
}

/** [inputs, inputs], symmetric: Σ x xᵀ over calibration vectors. */
export type Gram = Float64Array;

/** eᵀGe of a filter. */
export function outputError(real: Float64Array, levels: Int32Array, step: number, gram: Gram): number {
  const error = real.map((w, i) => (levels[i] as number) * step - w);
  const slope = slopeOf(error, gram);
  return error.reduce((sum, e, i) => sum + e * (slope[i] as number), 0);
}

/** The step for which `levels` are nearest to the filter in its outputs; `step` where that is none. */
export function bestStep(real: Float64Array, levels: Int32Array, step: number, gram: Gram): number {
  const slope = slopeOf(Float64Array.from(levels), gram);
  let [along, own] = [0, 0];
  for (let i = 0; i < real.length; i++) {
    along += (real[i] as number) * (slope[i] as number);
    own += (levels[i] as number) * (slope[i] as number);
  }
  const best = along / own;
  return best > 0 && Number.isFinite(best) ? best : step;
}

function slopeOf(error: Float64Array, gram: Gram): Float64Array {
  const size = error.length;
  const slope = new Float64Array(size);
  for (let j = 0; j < size; j++) {
    const e = error[j] as number;
    if (e === 0) continue;
    for (let i = 0; i < size; i++) slope[i] = (slope[i] as number) + e * (gram[j * size + i] as number);
  }
  return slope;
}

/**
 * Moves `levels` (signed integers, in place) until no move, or no pair of moves where `pairs`, lowers the error, or `sweeps`
 * are over. Columns that were within the limit stay within it; weights of zero stay zero.
 */
export function descend(
  real: Float64Array,
  levels: Int32Array,
  step: number,
  gram: Gram,
  { cellBits, slices, limit, most, lines, blocks }: FilterColumns,
  { sweeps, pairs }: { readonly sweeps: number; readonly pairs: boolean },
): void {
  const size = real.length;
  const mask = 2 ** cellBits - 1;
  const digit = (level: number, slice: number) => (Math.abs(level) >> (cellBits * slice)) & mask;
  const slope = slopeOf(
    real.map((w, i) => (levels[i] as number) * step - w),
    gram,
  );
  const blockCount = blocks.length - 1;
  // Of a block, a sign and a slice.
  const sums = new Int32Array(blockCount * 2 * slices);
  const blockOf = new Int32Array(size).fill(-1);
  const members: number[][] = [];
  for (let b = 0; b < blockCount; b++) {
    const inBlock: number[] = [];
    for (let at = blocks[b] as number; at < (blocks[b + 1] as number); at++) {
      const i = lines[at] as number;
      if (real[i] === 0 || !((gram[i * size + i] as number) > 0)) continue;
      blockOf[i] = b;
      inBlock.push(i);
    }
    members.push(inBlock);
    for (let at = blocks[b] as number; at < (blocks[b + 1] as number); at++)
      count(b, levels[lines[at] as number] as number, 1);
  }

  function count(block: number, level: number, by: number): void {
    const column = (block * 2 + (level < 0 ? 1 : 0)) * slices;
    for (let s = 0; s < slices; s++) sums[column + s] = (sums[column + s] as number) + by * digit(level, s);
  }
  /** Whether the column that a level stands in has no slice over the limit. */
  function within(block: number, level: number): boolean {
    const column = (block * 2 + (level < 0 ? 1 : 0)) * slices;
    for (let s = 0; s < slices; s++) if ((sums[column + s] as number) > limit) return false;
    return true;
  }
  function shift(i: number, to: number): void {
    const block = blockOf[i] as number;
    count(block, levels[i] as number, -1);
    levels[i] = to;
    count(block, to, 1);
  }
  function move(i: number, to: number): void {
    const change = (to - (levels[i] as number)) * step;
    shift(i, to);
    for (let j = 0; j < size; j++) slope[j] = (slope[j] as number) + change * (gram[i * size + j] as number);
  }
  /** Change of the error when two weights move. */
  function gain(i: number, di: number, j: number, dj: number): number {
    const [a, b] = [di * step, dj * step];
    return (
      2 * (a * (slope[i] as number) + b * (slope[j] as number)) +
      a * a * (gram[i * size + i] as number) +
      b * b * (gram[j * size + j] as number) +
      2 * a * b * (gram[i * size + j] as number)
    );
  }

  for (let sweep = 0; sweep < sweeps; sweep++) {
    let moved = false;
    for (let b = 0; b < blockCount; b++)
      for (const i of members[b] as number[]) {
        const now = levels[i] as number;
        const best = now - (slope[i] as number) / (step * (gram[i * size + i] as number));
        const reach = Math.abs(now - best) - 1e-9;
        if (!(reach > 0.5)) continue;
        // Integers from the best value outwards, as long as they are nearer to it than the one that stands there.
        let done = false;
        let first: number | undefined;
        for (let n = 0, low = Math.floor(best), high = low + 1; n < 2 * most && !done; n++) {
          const v = best - low <= high - best ? low-- : high++;
          if (Math.abs(v - best) >= reach) break;
          if (Math.abs(v) > most) continue;
          first ??= v;
          shift(i, v);
          const fits = within(b, v);
          shift(i, now);
          if (fits) {
            move(i, v);
            moved = done = true;
          }
        }
        if (done || !pairs || first === undefined) continue;
        if (exchange(b, i, now, first)) moved = true;
      }
    if (!moved) return;
  }

  /** Weight i goes where its column has no room, and another weight of that column makes it. */
  function exchange(block: number, i: number, from: number, to: number): boolean {
    const sign = Math.sign(to);
    let [least, partner, target] = [-1e-12, -1, 0];
    shift(i, to);
    for (const j of members[block] as number[]) {
      const now = levels[j] as number;
      if (j === i || Math.sign(now) !== sign) continue;
      const magnitude = Math.abs(now);
      for (let s = 0; s < slices; s++) {
        if (((magnitude >> (cellBits * s)) & mask) === 0) continue;
        const unit = 2 ** (cellBits * s);
        const floor = Math.floor(magnitude / unit) * unit;
        for (const v of [
          floor - 1,
          floor - unit,
          magnitude - unit,
          (Math.floor(magnitude / (unit * (mask + 1))) + 1) * unit * (mask + 1),
        ]) {
          if (v < 0 || v > most) continue;
          const change = gain(i, to - from, j, sign * v - now);
          if (change >= least) continue;
          shift(j, sign * v);
          const fits = within(block, to);
          shift(j, now);
          if (fits) [least, partner, target] = [change, j, sign * v];
        }
      }
    }
    shift(i, from);
    if (partner < 0) return false;
    move(i, to);
    move(partner, target);
    return true;
  }
}

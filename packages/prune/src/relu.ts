/**
 * Targets that know of the activation behind a layer. Where the dense unit was clipped, its exact value does not matter:
 * the pruned one only has to be clipped too. So the target is the dense output where the unit was active, and the pruned
 * output, moved no further than to the edge, where it was not; refit, and again.
 */
import { multiply, transposed, view } from './linalg/gemm.ts';
import type { Pulse } from './pulse.ts';

/** Per batch; x per group. */
export interface Held {
  readonly count: number;
  readonly x: readonly Float32Array[];
  /** Wanted outputs, [count, m]. */
  readonly y: Float32Array;
  /** The pruned side of the skip connection, [count, m]. */
  readonly skip?: Float32Array;
}

/** What follows the layer: clamp(gain · y + offset + skip). A gain of 0 marks a row that is left alone. */
export interface Tail {
  readonly gain: Float64Array;
  readonly offset: Float64Array;
  readonly low: number;
  readonly high: number;
}

export interface NewTargets {
  readonly meanY: Float64Array;
  /** What is added to the moments of the targets with the centred inputs, per group [m / groups, k]. */
  readonly cross: readonly Float64Array[];
}

/**
 * @param v  the layer's matrix, [m, k]
 * @param meanX  of the inputs, per group
 * @param meanY  what the layer's bias makes of the mean of its outputs
 * @param wantedMean  of y, over all samples: those held may be fewer
 */
export async function clampedTargets(
  held: readonly Held[],
  { gain, offset, low, high }: Tail,
  v: Float64Array,
  k: number,
  meanX: readonly Float64Array[],
  meanY: Float64Array,
  wantedMean: Float64Array,
  pulse: Pulse,
): Promise<NewTargets> {
  const m = meanY.length;
  const groups = meanX.length;
  const rows = m / groups;
  const cross = Array.from({ length: groups }, () => new Float64Array(rows * k));
  const mean = new Float64Array(m);
  let total = 0;
  // Output of the pruned layer for an input x: V x + constant.
  const constant = meanY.map((y, row) => {
    const x = meanX[Math.floor(row / rows)] as Float64Array;
    let sum = y;
    for (let i = 0; i < k; i++) sum -= (v[row * k + i] as number) * (x[i] as number);
    return sum;
  });
  let done = 0;
  for (const { count, x, y, skip } of held) {
    const product = new Float64Array(count * m);
    for (let group = 0; group < groups; group++)
      await multiply(
        {
          ...{ m: count, n: rows, k },
          a: view(x[group] as Float32Array, k),
          b: transposed(view(v, k, group * rows)),
          c: { ...view(product, m, 0, group * rows), data: product },
        },
        pulse,
      );
    const target = new Float32Array(count * m);
    for (let at = 0; at < target.length; at++) {
      const row = at % m;
      const g = gain[row] as number;
      const wanted = y[at] as number;
      if (g === 0) {
        target[at] = 0;
      } else {
        const rest = (offset[row] as number) + (skip ? (skip[at] as number) : 0);
        const now = g * ((product[at] as number) + (constant[row] as number)) + rest;
        const was = g * wanted + rest;
        const z = was <= low ? Math.min(now, low) : was >= high ? Math.max(now, high) : was;
        target[at] = (z - rest) / g - wanted;
      }
      mean[row] = (mean[row] as number) + (target[at] as number);
    }
    for (let group = 0; group < groups; group++)
      await multiply(
        {
          ...{ m: rows, n: k, k: count },
          a: transposed(view(target, m, 0, group * rows)),
          b: view(x[group] as Float32Array, k),
          c: { ...view(cross[group] as Float64Array, k), data: cross[group] as Float64Array },
        },
        pulse,
      );
    total += count;
    await pulse.beat(++done / held.length);
  }
  const change = mean.map((sum) => sum / total);
  return {
    meanY: wantedMean.map((y, row) => y + (change[row] as number)),
    cross: cross.map((sum, group) =>
      sum.map((value, at) => {
        const row = Math.floor(at / k);
        const x = meanX[group] as Float64Array;
        return value / total - (change[group * rows + row] as number) * (x[at - row * k] as number);
      }),
    ),
  };
}

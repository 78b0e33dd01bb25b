/**
 * The layerwise problem: of all matrices V on a pattern, the one whose outputs are nearest to the wanted ones,
 * min tr((W* − V) H (W* − V)ᵀ) with W* = G H⁻¹, H the second moments of the inputs, G of outputs with inputs.
 * Rows are independent once the pattern is known, and rows with the same surviving columns share one factor.
 * @see Frantar & Alistarh, "Optimal Brain Compression", 2022, for the setting
 */
import { cholesky, type Factor, solve } from './linalg/cholesky.ts';
import { multiply, view } from './linalg/gemm.ts';
import type { Moments } from './linalg/gram.ts';
import type { Pulse } from './pulse.ts';

export interface Problem {
  readonly m: number;
  readonly k: number;
  readonly groups: number;
  /** Damped, one [k, k] per group. */
  readonly h: readonly Float64Array[];
  /** Damped, [m, k]: rows of group i are i · m / groups …. */
  readonly g: Float64Array;
  /** The best dense matrix, [m, k]. */
  readonly optimum: Float64Array;
}

/**
 * Damping pulls the solution towards the weights that are there: H + dI, G + dW, d = `damping` · mean diagonal.
 * Inputs that never vary have nothing to say (d would be 0): then d is 1 and the old weights stay.
 * @param moments  of each group; `m` rows each
 */
export async function problemOf(
  moments: readonly Moments[],
  weight: Float64Array,
  damping: number,
  pulse: Pulse,
): Promise<Problem> {
  const groups = moments.length;
  const { k, m: rows } = moments[0] as Moments;
  const h: Float64Array[] = [];
  const g = new Float64Array(groups * rows * k);
  const optimum = new Float64Array(groups * rows * k);
  for (let group = 0; group < groups; group++) {
    const { h: raw, g: cross } = moments[group] as Moments;
    let trace = 0;
    for (let i = 0; i < k; i++) trace += raw[i * k + i] as number;
    const d = trace > 0 ? (damping * trace) / k : 1;
    const damped = raw.slice();
    for (let i = 0; i < k; i++) damped[i * k + i] = (damped[i * k + i] as number) + d;
    h.push(damped);
    const base = group * rows * k;
    for (let i = 0; i < rows * k; i++) g[base + i] = (cross[i] as number) + d * (weight[base + i] as number);
    const part = g.slice(base, base + rows * k);
    const factor = await cholesky(damped, k, pulse);
    await solve(factor, part, rows, pulse);
    optimum.set(part, base);
  }
  return { m: groups * rows, k, groups, h, g, optimum };
}

/** Of the Gram matrix of each group. */
export async function factorsOf({ h, k }: Problem, pulse: Pulse): Promise<readonly Factor[]> {
  const factors: Factor[] = [];
  for (const own of h) factors.push(await cholesky(own, k, pulse));
  return factors;
}

/** The same inputs with other wanted outputs: `change`, per group, is added to their moments with the inputs. */
export async function retarget(
  problem: Problem,
  factors: readonly Factor[],
  change: readonly Float64Array[],
  pulse: Pulse,
): Promise<Problem> {
  const { m, k, groups } = problem;
  const rows = m / groups;
  const g = problem.g.slice();
  const optimum = new Float64Array(m * k);
  for (let group = 0; group < groups; group++) {
    const base = group * rows * k;
    const own = change[group] as Float64Array;
    for (let i = 0; i < rows * k; i++) g[base + i] = (g[base + i] as number) + (own[i] as number);
    const part = g.slice(base, base + rows * k);
    await solve(factors[group] as Factor, part, rows, pulse);
    optimum.set(part, base);
  }
  return { ...problem, g, optimum };
}

/**
 * Exact least squares on the survivors.
 * @param columns  surviving columns of each row, ascending
 * @returns [m, k], zero elsewhere
 */
export async function refit(problem: Problem, columns: readonly Uint32Array[], pulse: Pulse): Promise<Float64Array> {
  const { m, k, groups, h, g } = problem;
  const perGroup = m / groups;
  const out = new Float64Array(m * k);
  const bySignature = new Map<string, number[]>();
  columns.forEach((list, row) => {
    if (list.length === 0) return;
    const key = `${Math.floor(row / perGroup)}:${list.join()}`;
    const rows = bySignature.get(key);
    if (rows) rows.push(row);
    else bySignature.set(key, [row]);
  });
  let done = 0;
  for (const rows of bySignature.values()) {
    const [first = 0] = rows;
    const kept = columns[first] as Uint32Array;
    const size = kept.length;
    const whole = h[Math.floor(first / perGroup)] as Float64Array;
    const sub = new Float64Array(size * size);
    for (let i = 0; i < size; i++) {
      const from = (kept[i] as number) * k;
      for (let j = 0; j <= i; j++) sub[i * size + j] = whole[from + (kept[j] as number)] as number;
    }
    const right = new Float64Array(rows.length * size);
    rows.forEach((row, r) => {
      for (let j = 0; j < size; j++) right[r * size + j] = g[row * k + (kept[j] as number)] as number;
    });
    const share = { beat: () => pulse.beat(done / columns.length) };
    const factor = await cholesky(sub, size, share);
    await solve(factor, right, rows.length, share);
    rows.forEach((row, r) => {
      for (let j = 0; j < size; j++) out[row * k + (kept[j] as number)] = right[r * size + j] as number;
    });
    done += rows.length;
    await pulse.beat(done / columns.length);
  }
  return out;
}

/** E = tr((W* − V) H (W* − V)ᵀ) / tr(W* H W*ᵀ), each row weighted by the square of its gain. */
export async function relativeError(
  problem: Problem,
  v: Float64Array,
  gain: Float64Array,
  pulse: Pulse,
): Promise<number> {
  const { m, k, optimum } = problem;
  const difference = optimum.map((w, i) => w - (v[i] as number));
  let error = 0;
  let all = 0;
  const lost = await quadratic(problem, difference, pulse);
  const whole = await quadratic(problem, optimum, pulse);
  for (let row = 0; row < m; row++) {
    const square = (gain[row] as number) ** 2;
    error += square * (lost[row] as number);
    all += square * (whole[row] as number);
  }
  return k > 0 && all > 0 ? error / all : 0;
}

/** w H wᵀ of each row. */
async function quadratic({ m, k, groups, h }: Problem, w: Float64Array, pulse: Pulse): Promise<Float64Array> {
  const rows = m / groups;
  const product = new Float64Array(m * k);
  for (let group = 0; group < groups; group++)
    await multiply(
      {
        ...{ m: rows, n: k, k },
        a: view(w, k, group * rows),
        b: view(h[group] as Float64Array, k),
        c: { ...view(product, k, group * rows), data: product },
      },
      pulse,
    );
  return Float64Array.from({ length: m }, (_, row) => {
    let sum = 0;
    for (let i = row * k; i < (row + 1) * k; i++) sum += (product[i] as number) * (w[i] as number);
    return sum;
  });
}

/**
 * ADMM: a weight that must lie in several sets is pulled towards its projection on each. The arithmetic alone; who
 * minimises is the caller's (`admm-train.ts` for networks).
 * @see Boyd et al., "Distributed optimization and statistical learning via ADMM" (2011), sections 3.1.1 and 7.1
 */
import { checkInteger, checkReal, fail } from './errors.ts';

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
  checkInteger('GRIM_RERAM_BAD_TARGET', 'admmStart: length', length, 1, 2 ** 31);
  checkInteger('GRIM_RERAM_BAD_TARGET', 'admmStart: sets', sets, 1, 1024);
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
  return admmProject(state, rho, minimise(admmTarget(state, rho), rho * sets.length, state.w), sets);
}

/** U for a new ρ: ρ·U is the dual and stays. */
function duals(state: AdmmState, rho: number): readonly Float64Array[] {
  checkReal('GRIM_RERAM_BAD_TARGET', 'ADMM: rho', rho, Number.MIN_VALUE, Number.MAX_VALUE);
  const scale = state.rho === 0 ? 1 : state.rho / rho;
  return scale === 1 ? state.u : state.u.map((values) => values.map((value) => value * scale));
}

/** What W is pulled to: the mean of all Zᵢ − Uᵢ. */
export function admmTarget(state: AdmmState, rho: number): Float64Array {
  const before = duals(state, rho);
  const count = state.z.length;
  return Float64Array.from(state.w, (_, i) => {
    let sum = 0;
    for (let s = 0; s < count; s++) sum += (state.z[s]?.[i] ?? 0) - (before[s]?.[i] ?? 0);
    return sum / count;
  });
}

/** The second half of a step: Zᵢ and Uᵢ that follow from the new W. */
export function admmProject(state: AdmmState, rho: number, w: Float64Array, sets: readonly Projection[]): AdmmState {
  if (sets.length !== state.z.length || w.length !== state.w.length)
    fail(
      'GRIM_RERAM_BAD_TARGET',
      `ADMM: ${sets.length} sets and ${w.length} weights; the state has ${state.z.length} sets and ${state.w.length} weights.`,
      { sets: sets.length, weights: w.length },
    );
  const before = duals(state, rho);
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

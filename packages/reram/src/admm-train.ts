/**
 * ADMM on a network in training: every weight is pulled towards its projections, several sets at once (few non-zeros per
 * column, 8-bit levels), while whoever trains minimises the loss. No engine is named here: a trainer is two calls, those of
 * the `Trainer` of `@grim/prune`.
 *
 * With sets Sᵢ of a weight: W ← argmin f(W) + Σ ρ/2·‖W − (Zᵢ − Uᵢ)‖² (some optimiser steps), Zᵢ ← Πᵢ(W + Uᵢ), Uᵢ ← Uᵢ + W − Zᵢ.
 * The pulls of n sets are one pull of strength n·ρ towards the mean of the Zᵢ − Uᵢ.
 * @see Boyd et al., "Distributed optimization and statistical learning via ADMM" (2011), sections 3.1.1, 3.4.1 and 7.1
 */
import { type AdmmState, admmProject, admmResidual, admmStart, admmTarget, type Projection } from './admm.ts';
import { fail } from './errors.ts';

/** What is asked of a trainer; that of `@grim/train` has these calls. */
export interface AdmmTrainer {
  weights(names?: readonly string[]): Promise<ReadonlyMap<string, Float32Array>>;
  train(options: {
    readonly steps: number;
    readonly rate: number;
    readonly penalties: ReadonlyMap<string, { readonly strength: number; readonly target: Float32Array }>;
  }): Promise<{ readonly loss: number }>;
}

export interface AdmmTrainOptions {
  /** Penalty before each projection; raised gently, so that the places of non-zeros have time to move. */
  readonly rho: readonly number[];
  /** Optimiser steps before each projection, and their rate. */
  readonly steps: number;
  readonly rate: number;
  readonly onPeriod?: (period: AdmmTrainPeriod) => void;
  readonly signal?: { readonly aborted: boolean; readonly reason?: unknown };
}

export interface AdmmTrainPeriod {
  readonly rho: number;
  /** Of the steps before the projection, without penalties. */
  readonly loss: number;
  /** ‖W − Z‖ / ‖W‖ over all weights and sets. */
  readonly primal: number;
}

/**
 * @param sets  of each weight by its name, on values in the weight's own layout; in the order in which the result is projected
 * @returns the weights after all projections, one after the other: on the sets, where later ones do not leave earlier ones
 *   (a zero has a level). The trainer's own weights are left where training brought them.
 * @throws {GrimError} GRIM_RERAM_BAD_TARGET; what the trainer throws; the signal's reason
 */
export async function admmTrain(
  trainer: AdmmTrainer,
  sets: ReadonlyMap<string, readonly Projection[]>,
  options: AdmmTrainOptions,
): Promise<{ readonly weights: ReadonlyMap<string, Float32Array>; readonly history: readonly AdmmTrainPeriod[] }> {
  const { rho: penalty, steps, rate, onPeriod, signal } = options;
  const names = [...sets.keys()];
  if (names.length === 0 || penalty.length === 0 || penalty.some((rho) => !(rho > 0 && Number.isFinite(rho))))
    fail(
      'GRIM_RERAM_BAD_TARGET',
      `admmTrain: ${names.length} weights and penalties ${penalty.join(', ') || 'none'}; a weight, and numbers above 0, are needed.`,
    );
  const read = async (): Promise<Map<string, Float64Array>> => {
    const found = await trainer.weights(names);
    return new Map(names.map((name) => [name, Float64Array.from(found.get(name) ?? [])]));
  };
  let now = await read();
  const states = new Map<string, AdmmState>();
  for (const [name, projections] of sets) {
    const w = now.get(name) as Float64Array;
    states.set(name, { ...admmStart(w.length, projections.length), w, z: projections.map((project) => project(w)) });
  }
  const history: AdmmTrainPeriod[] = [];
  for (const rho of penalty) {
    if (signal?.aborted) throw signal.reason;
    const penalties = new Map<string, { readonly strength: number; readonly target: Float32Array }>();
    for (const [name, state] of states) {
      const target = Float32Array.from(admmTarget(state, rho));
      penalties.set(name, { strength: rho * state.z.length, target });
    }
    const { loss } = await trainer.train({ steps, rate, penalties });
    now = await read();
    let [apart, size] = [0, 0];
    for (const [name, state] of states) {
      const w = now.get(name) as Float64Array;
      const next = admmProject(state, rho, w, sets.get(name) ?? []);
      states.set(name, next);
      apart += admmResidual(next) ** 2;
      size += next.z.length * w.reduce((sum, value) => sum + value * value, 0);
    }
    const period = { rho, loss, primal: Math.sqrt(apart / size) };
    history.push(period);
    onPeriod?.(period);
  }
  const weights = new Map(
    Array.from(sets, ([name, projections]) => [
      name,
      Float32Array.from(projections.reduce((w, project) => project(w), now.get(name) as Float64Array)),
    ]),
  );
  return { weights, history };
}

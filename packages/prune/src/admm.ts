/**
 * Pruning while training, by ADMM: the loss is minimised with weights pulled towards their projection onto the patterns,
 * until they lie on it; then everything else is cut off and the rest is trained on.
 *
 * Scaled form: W ← argmin f(W) + ρ/2 ‖W − Z + U‖² (some optimiser steps), Z ← P(W + U), U ← U + W − Z. A falling ‖W − Z‖
 * alone proves little (with a large ρ it falls while the mask stays what magnitude says): the share of the mask that each
 * projection changes is reported beside it.
 * @see Boyd et al., "Distributed optimization and statistical learning via the alternating direction method of
 *   multipliers", 2011, 3.1.1 (scaled form), 3.3 (residuals), 3.4.1 (when ρ changes, U is scaled)
 * @see Zhang et al., "A systematic DNN weight pruning framework using ADMM", 2018; stages of ρ as in YOLObile's code
 */
import { type Graph, patternMask } from '@grim/ir';
import { fail } from './errors.ts';
import {
  asWeight,
  cutAndRetrain,
  matrixIn,
  prunedMatrices,
  quiet,
  type RetrainOptions,
  type Survivors,
  survivorsOf,
  type Target,
  type TrainedResult,
} from './masked.ts';
import type { CancelSignal } from './pulse.ts';
import type { Penalty, Trainer } from './trainer.ts';

export interface AdmmOptions extends Target {
  /**
   * Penalty of each stage. Default: 1e-4 to 0.12 in 16 stages, each 1.6 times the one before. Gentle steps leave the mask
   * time to move: on least squares with correlated inputs (six seeds, 60 projections), steps of 1.6 ended with 26 % less loss
   * than masking the dense solution, steps of 10 with 21 % less.
   */
  readonly rho?: readonly number[];
  /** Projections in a stage. Default 1. */
  readonly periods?: number;
  /** Optimiser steps before each projection. Default: an epoch. */
  readonly steps?: number;
  /** Learning rate before the cut, or a function of the share of a period that is done, 0 to 1. */
  readonly rate: number | ((done: number) => number);
  /**
   * What a new stage does with U: `scale` (default) keeps ρ · U, as the method asks for; `reset` begins again with U = 0 and
   * Z the projection of W.
   */
  readonly dual?: 'scale' | 'reset';
  /** A graph that was pruned in one shot: its patterns and weights are where Z begins. */
  readonly start?: Graph;
  /**
   * The share that survives falls from stage to stage, each time by the same factor, and reaches the density in the last
   * one. Default false: the density from the beginning.
   */
  readonly progressive?: boolean;
  readonly retrain: RetrainOptions;
  readonly signal?: CancelSignal;
  readonly onPeriod?: (report: AdmmPeriod) => void;
}

/** After each projection. */
export interface AdmmPeriod {
  /** From 0. */
  readonly stage: number;
  readonly period: number;
  readonly rho: number;
  /** Share that the projection leaves, of all pruned weights. */
  readonly density: number;
  /** Mean of the steps before, without penalties. */
  readonly loss: number;
  /** Primal residual: ‖W − Z‖ / ‖W‖ over all pruned layers. */
  readonly primal: number;
  /** Dual residual: ρ ‖Z − Z of before‖ / ‖ρ U‖; infinite while U is 0. */
  readonly dual: number;
  /** Share of all mask entries that the projection changed. */
  readonly flipped: number;
}

export interface AdmmResult extends TrainedResult {
  readonly history: readonly AdmmPeriod[];
}

const STAGES = Array.from({ length: 16 }, (_, i) => 1e-4 * 1.6 ** i);

/**
 * @throws {GrimError} as `pruneOneShot` of its targets; GRIM_PRUNE_BAD_OPTION; GRIM_PRUNE_DIVERGED when weights are not
 *   finite; what the trainer throws; the signal's reason
 * @example
 * const { graph, history } = await pruneAdmm(trainer, { density: 0.125, rate: 0.01, retrain: { steps: 700, rate: 0.03 } });
 */
export async function pruneAdmm(trainer: Trainer, options: AdmmOptions): Promise<AdmmResult> {
  const {
    rho: stages = STAGES,
    periods = 1,
    steps = trainer.stepsPerEpoch,
    rate,
    dual = 'scale',
    signal,
    progressive,
  } = options;
  if (stages.length === 0 || stages.some((rho) => !(rho > 0 && rho < Number.POSITIVE_INFINITY)))
    fail('GRIM_PRUNE_BAD_OPTION', `admm: rho is ${stages.join(', ') || 'empty'}; positive numbers are needed.`);
  for (const [name, value] of Object.entries({ periods, steps }))
    if (!(Number.isInteger(value) && value > 0))
      fail('GRIM_PRUNE_BAD_OPTION', `admm: ${name} is ${value}; a positive integer is needed.`);
  const matrices = prunedMatrices(await trainer.graph(), options);
  const names = matrices.map(({ weight }) => weight);
  const beat = quiet(signal);
  /** Share of the way to the density, in logarithms. */
  const shareIn = (stage: number): number => (progressive ? (stage + 1) / stages.length : 1);
  const project = (values: Float64Array, i: number, share = 1): Promise<Survivors> => {
    const matrix = matrices[i] as (typeof matrices)[number];
    const density = matrix.density ** share;
    return survivorsOf(values, { ...matrix, density }, options.columnsOnly ?? false, beat);
  };
  const read = async (): Promise<Float64Array[]> => {
    const values = await trainer.weights(names);
    return matrices.map((matrix) => {
      const own = matrixIn(values.get(matrix.weight) as Float32Array, matrix);
      if (!own.every(Number.isFinite))
        fail('GRIM_PRUNE_DIVERGED', `admm: ${matrix.name} has weights that are not finite. Lower the rate or rho.`, {
          layer: matrix.name,
        });
      return own;
    });
  };

  let w = await read();
  const found = await Promise.all(w.map((own, i) => project(own, i, shareIn(0))));
  let masks = found.map(({ mask }) => mask);
  let z = w.map((own, i) => keep(own, masks[i] as Uint8Array));
  const { start } = options;
  if (start && progressive)
    fail('GRIM_PRUNE_BAD_OPTION', 'admm: a mask to start from is at the density already; progressive rates are not.');
  if (start) {
    for (const [i, matrix] of matrices.entries()) {
      const weight = start.weights.get(matrix.weight);
      if (weight?.data.length !== matrix.places.length || !weight.pattern) continue;
      masks[i] = patternMask(weight.pattern);
      z[i] = matrixIn(weight.data as Float32Array, matrix);
    }
  }
  let u = w.map((own) => new Float64Array(own.length));
  const history: AdmmPeriod[] = [];
  for (const [stage, rho] of stages.entries()) {
    if (stage > 0 && dual === 'scale') {
      const factor = (stages[stage - 1] as number) / rho;
      u = u.map((own) => own.map((value) => value * factor));
    } else if (stage > 0) {
      const again = await Promise.all(w.map((own, i) => project(own, i, shareIn(stage))));
      z = w.map((own, i) => keep(own, (again[i] as Survivors).mask));
      u = u.map((own) => own.fill(0));
    }
    for (let period = 0; period < periods; period++) {
      const penalties = new Map<string, Penalty>();
      matrices.forEach((matrix, i) => {
        const target = (z[i] as Float64Array).map((value, at) => value - ((u[i] as Float64Array)[at] as number));
        penalties.set(matrix.weight, { strength: rho, target: asWeight(target, matrix) });
      });
      const report = await trainer.train({
        steps,
        rate: typeof rate === 'function' ? (step) => rate(step / steps) : rate,
        penalties,
        ...(signal && { signal }),
      });
      w = await read();
      const before = { z, masks };
      const pulled = w.map((own, i) => own.map((value, at) => value + ((u[i] as Float64Array)[at] as number)));
      masks = [];
      z = [];
      for (const [i, own] of pulled.entries()) {
        const { mask } = await project(own, i, shareIn(stage));
        masks.push(mask);
        z.push(keep(own, mask));
      }
      u = pulled.map((own, i) => own.map((value, at) => value - ((z[i] as Float64Array)[at] as number)));
      const changed = masks.reduce((sum, mask, i) => sum + differing(mask, before.masks[i] as Uint8Array), 0);
      const all = masks.reduce((sum, mask) => sum + mask.length, 0);
      const entry: AdmmPeriod = {
        ...{ stage, period, rho, loss: report.loss },
        density: masks.reduce((sum, mask) => sum + mask.reduce((own, one) => own + one, 0), 0) / all,
        primal: distance(w, z) / norm(w),
        dual: distance(z, before.z) / norm(u),
        flipped: changed / all,
      };
      history.push(entry);
      options.onPeriod?.(entry);
    }
  }
  const chosen = [];
  for (const [i, matrix] of matrices.entries())
    chosen.push({ matrix, survivors: await project(w[i] as Float64Array, i) });
  return { ...(await cutAndRetrain(trainer, chosen, options.retrain, signal)), history };
}

function keep(values: Float64Array, mask: Uint8Array): Float64Array {
  return values.map((value, i) => (mask[i] ? value : 0));
}

function differing(a: Uint8Array, b: Uint8Array): number {
  return a.reduce((sum, value, i) => sum + (value === b[i] ? 0 : 1), 0);
}

function norm(parts: readonly Float64Array[]): number {
  return Math.sqrt(parts.reduce((sum, part) => sum + part.reduce((own, value) => own + value * value, 0), 0));
}

function distance(a: readonly Float64Array[], b: readonly Float64Array[]): number {
  return norm(a.map((part, i) => part.map((value, at) => value - ((b[i] as Float64Array)[at] as number))));
}

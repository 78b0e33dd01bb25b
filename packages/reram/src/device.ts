/**
 * The memory cell: its range of conductance, and how far a programmed, aged or read conductance is from the wanted one.
 *
 * All conductances are in units of the largest one (LRS). Noise acts on conductances, never on weights.
 */
import { checkReal, fail } from './errors.ts';

/** Spread of the programmed conductance G (all in units of the LRS conductance). */
export type ProgrammingError =
  /** G + N(0, sigma). */
  | { readonly kind: 'constant'; readonly sigma: number }
  /** G · (1 + N(0, sigma)). */
  | { readonly kind: 'proportional'; readonly sigma: number }
  /** G · exp(N(0, sigma)): the model of FORMS (Yuan et al., ISCA 2021). */
  | { readonly kind: 'lognormal'; readonly sigma: number }
  /** G + N(0, s(G)), s piecewise linear through `sigmas` at equal steps of G from 0 to 1 (measured devices). */
  | { readonly kind: 'state-dependent'; readonly sigmas: readonly number[] };

export interface Device {
  /** R_HRS / R_LRS, above 1; Infinity for a cell that conducts nothing in its lowest state. */
  readonly onOffRatio: number;
  readonly programming?: ProgrammingError;
  /** Fluctuation at each read: of every cell, independent; `constant` or `proportional` to its conductance. */
  readonly readNoise?: { readonly kind: 'constant' | 'proportional'; readonly sigma: number };
  /** G(t) = G · (t / t0)^−ν, ν ~ N(exponent, sigma) per cell, fixed for its life. */
  readonly drift?: { readonly exponent: number; readonly sigma?: number; readonly referenceSeconds?: number };
  /**
   * Loss of state at temperature: time is multiplied by the Arrhenius factor exp(Ea/k · (1/Tref − 1/T)) before drift, and
   * G spreads by N(0, sigmaPerDecade · log10(1 + t/t0)).
   */
  readonly retention?: {
    readonly activationEnergyEv: number;
    readonly temperatureK: number;
    readonly referenceK?: number;
    readonly sigmaPerDecade?: number;
  };
  /** Shares of cells that cannot be programmed: fixed at the lowest (HRS) or at the highest (LRS) conductance. */
  readonly stuckHrs?: number;
  readonly stuckLrs?: number;
  /** Where the numbers were measured. */
  readonly source?: string;
}

/** Infinite on/off ratio, no noise: the cell that computes integers. */
export const IDEAL_DEVICE: Device = { onOffRatio: Infinity };

/** Smallest conductance, in units of the largest. */
export function lowestConductance(device: Device): number {
  return 1 / device.onOffRatio;
}

/** Boltzmann's constant, eV/K (CODATA 2018, exact). */
const BOLTZMANN_EV = 8.617333262e-5;

/** Time after the Arrhenius factor, seconds. */
export function effectiveSeconds(device: Device, seconds: number): number {
  const { retention } = device;
  if (!retention) return seconds;
  const { activationEnergyEv, temperatureK, referenceK = 300 } = retention;
  return seconds * Math.exp((activationEnergyEv / BOLTZMANN_EV) * (1 / referenceK - 1 / temperatureK));
}

/** Standard deviation that programming leaves on conductance `g`; for lognormal, of the logarithm. */
export function programmingSigma(error: ProgrammingError, g: number): number {
  switch (error.kind) {
    case 'constant':
    case 'lognormal':
      return error.sigma;
    case 'proportional':
      return error.sigma * g;
    case 'state-dependent': {
      const { sigmas } = error;
      const position = Math.min(Math.max(g, 0), 1) * (sigmas.length - 1);
      const left = Math.min(Math.floor(position), sigmas.length - 2);
      const from = sigmas[Math.max(left, 0)] ?? 0;
      const to = sigmas[left + 1] ?? from;
      return from + (to - from) * (position - Math.max(left, 0));
    }
  }
}

/** Whether every cell is and stays what it was programmed to. */
export function isNoiseless(device: Device): boolean {
  return !(
    device.programming ||
    device.readNoise ||
    device.drift ||
    device.retention ||
    device.stuckHrs ||
    device.stuckLrs
  );
}

/** @throws {GrimError} GRIM_RERAM_BAD_DEVICE */
export function checkDevice(device: Device): void {
  const code = 'GRIM_RERAM_BAD_DEVICE';
  if (!(device.onOffRatio > 1))
    fail(code, `device: onOffRatio is ${device.onOffRatio}; R_HRS must be larger than R_LRS, a number above 1.`, {
      onOffRatio: device.onOffRatio,
    });
  const { programming, readNoise, drift, retention, stuckHrs = 0, stuckLrs = 0 } = device;
  if (programming?.kind === 'state-dependent') {
    if (programming.sigmas.length === 0)
      fail(code, 'device: programming.sigmas is empty; one number or more is needed.');
    for (const sigma of programming.sigmas) checkReal(code, 'device: programming.sigmas', sigma, 0, 10);
  } else if (programming) checkReal(code, 'device: programming.sigma', programming.sigma, 0, 10);
  if (readNoise) checkReal(code, 'device: readNoise.sigma', readNoise.sigma, 0, 10);
  if (drift) {
    checkReal(code, 'device: drift.exponent', drift.exponent, -1, 1);
    checkReal(code, 'device: drift.sigma', drift.sigma ?? 0, 0, 1);
    checkReal(code, 'device: drift.referenceSeconds', drift.referenceSeconds ?? 1, Number.MIN_VALUE, 1e12);
  }
  if (retention) {
    checkReal(code, 'device: retention.activationEnergyEv', retention.activationEnergyEv, 0, 10);
    checkReal(code, 'device: retention.temperatureK', retention.temperatureK, 1, 2000);
    checkReal(code, 'device: retention.referenceK', retention.referenceK ?? 300, 1, 2000);
    checkReal(code, 'device: retention.sigmaPerDecade', retention.sigmaPerDecade ?? 0, 0, 10);
  }
  checkReal(code, 'device: stuckHrs', stuckHrs, 0, 1);
  checkReal(code, 'device: stuckLrs', stuckLrs, 0, 1);
  if (stuckHrs + stuckLrs > 1)
    fail(code, `device: stuckHrs ${stuckHrs} and stuckLrs ${stuckLrs} add up to more than 1.`, { stuckHrs, stuckLrs });
}

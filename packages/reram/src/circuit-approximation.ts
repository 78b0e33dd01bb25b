/**
 * A fast stand-in for the circuit: every cell is weakened by the factor that one exact solution shows for it.
 *
 * The factors (cell voltage over driver voltage) hold exactly for the calibration vector and, since the circuit is linear,
 * for its multiples; for other vectors the load on the output wires differs. How much that costs is measured against the
 * exact solution on vectors the caller names, and travels with the result. Where that is too much, `transferS()` of the
 * solver is exact at the same cost per vector.
 */
import { GrimError } from '@grim/ir';
import { type CircuitOptions, circuitSolver } from './circuit.ts';
import type { CrossbarCircuit } from './circuit-check.ts';

export interface CircuitApproximation {
  /** Weakened conductance of each cell, siemens; [outputs, inputs]. Current of output o: the sum of this times voltage. */
  readonly effectiveS: Float64Array;
  /** Largest difference from the exact currents over all check vectors, as a share of the largest exact current. */
  readonly maxError: number;
  /** Root of the mean square of the same. */
  readonly rmsError: number;
  /** The same two figures for a crossbar without any correction, for comparison. */
  readonly uncorrectedMaxError: number;
  readonly uncorrectedRmsError: number;
}

/**
 * Calibrates {@link CircuitApproximation.effectiveS} on one vector and states its error on others.
 *
 * @param calibrationV  driver voltages of the calibration, all above 0: the mean of what will be applied is a good choice
 * @param checkV  vectors on which the error is measured; at least one
 * @throws {GrimError} GRIM_RERAM_BAD_CIRCUIT, and whatever {@link circuitSolver} throws
 */
export function approximateCircuit(
  circuit: CrossbarCircuit,
  calibrationV: ArrayLike<number>,
  checkV: readonly ArrayLike<number>[],
  options: CircuitOptions = {},
): CircuitApproximation {
  const least = Array.from(calibrationV).reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  if (!(least > 0) || checkV.length === 0) {
    throw new GrimError(
      'GRIM_RERAM_BAD_CIRCUIT',
      `circuit: the smallest calibration voltage is ${least}, above 0 is needed; ${checkV.length} check vectors, at least 1 is needed.`,
      { least, checks: checkV.length },
    );
  }
  const { inputs, conductanceS } = circuit;
  const solver = circuitSolver(circuit, options);
  const effectiveS = solver
    .solve(calibrationV)
    .cellVoltageV.map((volts, at) => ((conductanceS[at] as number) * volts) / (calibrationV[at % inputs] as number));
  const corrected = { largest: 0, squares: 0 };
  const uncorrected = { largest: 0, squares: 0 };
  let peak = 0;
  let count = 0;
  for (const volts of checkV) {
    const { currentsA, idealCurrentsA } = solver.solve(volts);
    currentsA.forEach((exact, o) => {
      let current = 0;
      for (let i = 0; i < inputs; i++) current += (effectiveS[o * inputs + i] as number) * (volts[i] as number);
      collect(corrected, current - exact);
      collect(uncorrected, (idealCurrentsA[o] as number) - exact);
      peak = Math.max(peak, Math.abs(exact));
      count++;
    });
  }
  const unit = peak || 1;
  return {
    effectiveS,
    maxError: corrected.largest / unit,
    rmsError: Math.sqrt(corrected.squares / count) / unit,
    uncorrectedMaxError: uncorrected.largest / unit,
    uncorrectedRmsError: Math.sqrt(uncorrected.squares / count) / unit,
  };
}

function collect(sum: { largest: number; squares: number }, error: number): void {
  sum.largest = Math.max(sum.largest, Math.abs(error));
  sum.squares += error * error;
}

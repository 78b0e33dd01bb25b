/**
 * Conjugate gradients on the input wires, preconditioned by whole wires.
 *
 * With the output wires eliminated exactly (`Q`, one ladder each), the input voltages `d` obey S d = c with
 * S = T + G - G Q G. Preconditioner: P = (T + G)^-1, the input ladders. The iterate is kept both as a voltage and as the
 * current that P turns into it (d = P f), so T, infinite where a wire has no resistance, is never formed:
 * S P f = f - G Q G P f. The eigenvalues lie in (0, 1], and close to 1 unless the wires swallow most of the voltage.
 * @see Axelsson, Iterative Solution Methods (1994), chapter 7: block-reduced systems; the P inner product is the usual PCG.
 */
import { type Ladder, solveLadder } from './circuit-ladder.ts';

/** Work vectors, made once per circuit. */
export interface IterationSpace {
  readonly residual: Float64Array;
  readonly preconditioned: Float64Array;
  readonly directionA: Float64Array;
  readonly directionV: Float64Array;
  readonly product: Float64Array;
}

export function iterationSpace(cells: number): IterationSpace {
  return {
    residual: new Float64Array(cells),
    preconditioned: new Float64Array(cells),
    directionA: new Float64Array(cells),
    directionV: new Float64Array(cells),
    product: new Float64Array(cells),
  };
}

/**
 * Solves S d = `current` into `volts`, until the preconditioned residual, a voltage, has a 2-norm of at most `goalV`.
 * Stops before that after `maxIterations`, or when rounding has eaten the search direction: the caller checks.
 * @returns steps taken
 */
export function solveByIteration(
  shuntS: Float64Array,
  input: Ladder,
  output: Ladder,
  current: Float64Array,
  volts: Float64Array,
  space: IterationSpace,
  goalV: number,
  maxIterations: number,
): number {
  const { residual, preconditioned, directionA, directionV, product } = space;
  const cells = shuntS.length;
  volts.fill(0);
  residual.set(current);
  directionA.fill(0);
  directionV.fill(0);
  let previous = 0;
  for (let iterations = 0; ; iterations++) {
    solveLadder(input, residual, preconditioned);
    const now = dot(residual, preconditioned);
    if (Math.sqrt(dot(preconditioned, preconditioned)) <= goalV) return iterations;
    if (!(now > 0)) return iterations;
    if (iterations >= maxIterations) return iterations;
    const beta = previous === 0 ? 0 : now / previous;
    previous = now;
    for (let k = 0; k < cells; k++) {
      directionA[k] = (residual[k] as number) + beta * (directionA[k] as number);
      const v = (preconditioned[k] as number) + beta * (directionV[k] as number);
      directionV[k] = v;
      product[k] = (shuntS[k] as number) * v;
    }
    solveLadder(output, product, product);
    let curvature = 0;
    for (let k = 0; k < cells; k++) {
      const q = (directionA[k] as number) - (shuntS[k] as number) * (product[k] as number);
      product[k] = q;
      curvature += q * (directionV[k] as number);
    }
    if (!(curvature > 0)) return iterations;
    const alpha = now / curvature;
    for (let k = 0; k < cells; k++) {
      volts[k] = (volts[k] as number) + alpha * (directionV[k] as number);
      residual[k] = (residual[k] as number) - alpha * (product[k] as number);
    }
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += (a[k] as number) * (b[k] as number);
  return sum;
}

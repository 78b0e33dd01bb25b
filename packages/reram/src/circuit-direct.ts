/**
 * Direct solution of a crossbar: the ladder recurrence of one wire, carried out for all wires of a direction at once,
 * with matrices in place of numbers.
 *
 * The crossing wires are eliminated exactly; what is left at step s is an admittance matrix C = G - G Q G between the
 * wires of the bundle. From the free end inward, with R the diagonal of link resistances and K = R^(1/2):
 *
 *     Y[s] = C[s] + Y' [s+1]     B = I + K Y K = L L^T     Y'[s] = Y - (L^-1 K Y)^T (L^-1 K Y)
 *     J[s] = c[s] + J' [s+1]     J'[s] = J - Y K B^-1 K J
 *     v[s] = v[s-1] + K B^-1 K (J[s] - Y[s] v[s-1])
 *
 * B has no eigenvalue below 1, so the factorisation needs no pivoting whatever the wires are. This is block Cholesky in
 * the natural order; with the wires eliminated beforehand the blocks are half as wide as the band.
 * Work: 1.2 width^3 multiply-adds a step to factor, 4 width^2 a step for each right-hand side; width^2 + width numbers
 * of memory a step.
 */
import { type Ladder, solveLadder } from './circuit-ladder.ts';

export interface DirectFactor {
  readonly width: number;
  readonly steps: number;
  /** Lower triangles of Y and of L, row-packed, one after the other per step. */
  readonly admittance: readonly Float64Array[];
  readonly lower: readonly Float64Array[];
  /** K: square roots of the link resistances, wire-minor per step. */
  readonly rootOhm: Float64Array;
}

/** Bytes of a {@link DirectFactor} and of the work space to make it. */
export function directBytes(steps: number, width: number): number {
  return 8 * (steps * (width * (width + 1) + width) + 3 * width * width);
}

/**
 * Factors the bundle `along` with the wires `across` eliminated.
 * @param along  wires of the blocks; `along.wires` is the block width
 */
export function factorDirect(shuntS: Float64Array, along: Ladder, across: Ladder): DirectFactor {
  const { steps, wires: width } = along;
  const admittance: Float64Array[] = new Array(steps);
  const lower: Float64Array[] = new Array(steps);
  const rootOhm = new Float64Array(steps * width);
  const y = new Float64Array(width * width);
  const solved = new Float64Array(width * width);
  const crossing = new Float64Array(width);
  const places = new Float64Array(width);
  for (let s = steps - 1; s >= 0; s--) {
    const start = along.origin + s * along.stepStride;
    addEliminated(y, shuntS, along, across, s, crossing);
    for (let w = 0; w < width; w++) {
      const root = Math.sqrt(along.linkOhm[start + w * along.wireStride] as number);
      rootOhm[s * width + w] = root;
      places[w] = root;
    }
    const l = choleskyOfShifted(y, places, width);
    lower[s] = l;
    admittance[s] = packLower(y, width);
    if (s > 0) reduceAdmittance(y, l, places, solved, width);
  }
  return { width, steps, admittance, lower, rootOhm };
}

/** y += G - G Q G of the crossing wire that meets step `s`. */
function addEliminated(
  y: Float64Array,
  shuntS: Float64Array,
  along: Ladder,
  across: Ladder,
  s: number,
  column: Float64Array,
): void {
  const width = along.wires;
  const start = along.origin + s * along.stepStride;
  const { transmission, localOhm } = across;
  // Nodes of the crossing wire in the order of its own steps, as places along `along.wires`.
  const reversed = across.stepStride !== along.wireStride;
  for (let unit = 0; unit < width; unit++) {
    // The ladder with 1 A at `unit`: the current decays toward the terminal, voltages follow from there.
    column.fill(0);
    let current = 1;
    for (let step = unit; step >= 0; step--) {
      column[step] = current;
      current *= transmission[start + placeOf(step, width, reversed) * along.wireStride] as number;
    }
    let volt = 0;
    const place = placeOf(unit, width, reversed);
    const g = shuntS[start + place * along.wireStride] as number;
    for (let step = 0; step < width; step++) {
      const other = placeOf(step, width, reversed);
      const at = start + other * along.wireStride;
      volt = (transmission[at] as number) * volt + (localOhm[at] as number) * (column[step] as number);
      const mutual = g * volt * (shuntS[at] as number);
      y[place * width + other] = (y[place * width + other] as number) + (step === unit ? g - mutual : -mutual);
    }
  }
}

function placeOf(step: number, width: number, reversed: boolean): number {
  return reversed ? width - 1 - step : step;
}

/** Lower Cholesky factor of I + K Y K, packed by rows. */
function choleskyOfShifted(y: Float64Array, root: Float64Array, width: number): Float64Array {
  const l = new Float64Array((width * (width + 1)) / 2);
  for (let i = 0, rowI = 0; i < width; rowI += ++i) {
    const ki = root[i] as number;
    for (let j = 0, rowJ = 0; j <= i; rowJ += ++j) {
      let sum = ki * (root[j] as number) * (y[i * width + j] as number);
      for (let k = 0; k < j; k++) sum -= (l[rowI + k] as number) * (l[rowJ + k] as number);
      l[rowI + j] = j < i ? sum / (l[rowJ + j] as number) : Math.sqrt(1 + Math.max(sum, 0));
    }
  }
  return l;
}

function packLower(y: Float64Array, width: number): Float64Array {
  const packed = new Float64Array((width * (width + 1)) / 2);
  for (let i = 0, row = 0; i < width; row += ++i) {
    for (let j = 0; j <= i; j++) packed[row + j] = y[i * width + j] as number;
  }
  return packed;
}

/** Y <- Y - (L^-1 K Y)^T (L^-1 K Y), in place; `solved` holds L^-1 K Y. */
function reduceAdmittance(
  y: Float64Array,
  l: Float64Array,
  root: Float64Array,
  solved: Float64Array,
  width: number,
): void {
  for (let i = 0, row = 0; i < width; row += ++i) {
    const target = solved.subarray(i * width, (i + 1) * width);
    const ki = root[i] as number;
    for (let c = 0; c < width; c++) target[c] = ki * (y[i * width + c] as number);
    let k = 0;
    for (; k + 1 < i; k += 2) subtractTwo(target, solved, k * width, l[row + k] as number, l[row + k + 1] as number);
    if (k < i) subtractOne(target, solved, k * width, l[row + k] as number);
    const scale = 1 / (l[row + i] as number);
    for (let c = 0; c < width; c++) target[c] = (target[c] as number) * scale;
  }
  for (let k = 0; k < width; k++) {
    const factor = solved.subarray(k * width, (k + 1) * width);
    for (let i = 0; i < width; i++) {
      const f = factor[i] as number;
      if (f === 0) continue;
      const row = i * width;
      for (let c = 0; c <= i; c++) y[row + c] = (y[row + c] as number) - f * (factor[c] as number);
    }
  }
  for (let i = 0; i < width; i++) for (let c = 0; c < i; c++) y[c * width + i] = y[i * width + c] as number;
}

function subtractOne(target: Float64Array, rows: Float64Array, first: number, a: number): void {
  for (let c = 0; c < target.length; c++) target[c] = (target[c] as number) - a * (rows[first + c] as number);
}

function subtractTwo(target: Float64Array, rows: Float64Array, first: number, a: number, b: number): void {
  const second = first + target.length;
  for (let c = 0; c < target.length; c++) {
    target[c] = (target[c] as number) - a * (rows[first + c] as number) - b * (rows[second + c] as number);
  }
}

/** Solves for the voltages of the bundle, given the currents with the crossing wires eliminated (overwritten). */
export function solveDirect(factor: DirectFactor, along: Ladder, current: Float64Array, volts: Float64Array): void {
  const { width, steps, admittance, lower, rootOhm } = factor;
  const v = new Float64Array(width);
  const work = new Float64Array(width);
  const carried = new Float64Array(width);
  for (let s = steps - 1; s >= 0; s--) {
    const start = along.origin + s * along.stepStride;
    for (let w = 0; w < width; w++) {
      const at = start + w * along.wireStride;
      const total = (current[at] as number) + (carried[w] as number);
      current[at] = total;
      carried[w] = total;
      work[w] = total * (rootOhm[s * width + w] as number);
    }
    if (s === 0) break;
    substitute(lower[s] as Float64Array, work);
    for (let w = 0; w < width; w++) work[w] = (work[w] as number) * (rootOhm[s * width + w] as number);
    subtractProduct(admittance[s] as Float64Array, work, carried);
  }
  for (let s = 0; s < steps; s++) {
    const start = along.origin + s * along.stepStride;
    for (let w = 0; w < width; w++) work[w] = current[start + w * along.wireStride] as number;
    if (s > 0) subtractProduct(admittance[s] as Float64Array, v, work);
    for (let w = 0; w < width; w++) work[w] = (work[w] as number) * (rootOhm[s * width + w] as number);
    substitute(lower[s] as Float64Array, work);
    for (let w = 0; w < width; w++) {
      v[w] = (v[w] as number) + (work[w] as number) * (rootOhm[s * width + w] as number);
      volts[start + w * along.wireStride] = v[w] as number;
    }
  }
}

/** x <- (L L^T)^-1 x. */
function substitute(l: Float64Array, x: Float64Array): void {
  const width = x.length;
  for (let i = 0, row = 0; i < width; row += ++i) {
    let sum = x[i] as number;
    for (let k = 0; k < i; k++) sum -= (l[row + k] as number) * (x[k] as number);
    x[i] = sum / (l[row + i] as number);
  }
  for (let i = width - 1, row = (width * (width - 1)) / 2; i >= 0; row -= i--) {
    const value = (x[i] as number) / (l[row + i] as number);
    x[i] = value;
    for (let k = 0; k < i; k++) x[k] = (x[k] as number) - value * (l[row + k] as number);
  }
}

/** target <- target - Y x, with Y symmetric and its lower triangle packed. */
function subtractProduct(y: Float64Array, x: Float64Array, target: Float64Array): void {
  const width = x.length;
  for (let i = 0, row = 0; i < width; row += ++i) {
    let sum = (y[row + i] as number) * (x[i] as number);
    const xi = x[i] as number;
    for (let k = 0; k < i; k++) {
      const value = y[row + k] as number;
      sum += value * (x[k] as number);
      target[k] = (target[k] as number) - value * xi;
    }
    target[i] = (target[i] as number) - sum;
  }
}

/** c = s_along + G Q s_across: the currents of the bundle once the crossing wires are gone. `scratch` is overwritten. */
export function eliminateAcross(
  shuntS: Float64Array,
  across: Ladder,
  alongA: Float64Array,
  acrossA: Float64Array,
  out: Float64Array,
  scratch: Float64Array,
): void {
  solveLadder(across, acrossA, scratch);
  for (let k = 0; k < out.length; k++) out[k] = (alongA[k] as number) + (shuntS[k] as number) * (scratch[k] as number);
}

/** v_across = Q (G v_along + s_across): the crossing wires, given the bundle. */
export function recoverAcross(
  shuntS: Float64Array,
  across: Ladder,
  alongV: Float64Array,
  acrossA: Float64Array,
  out: Float64Array,
): void {
  for (let k = 0; k < out.length; k++) out[k] = (acrossA[k] as number) + (shuntS[k] as number) * (alongV[k] as number);
  solveLadder(across, out, out);
}

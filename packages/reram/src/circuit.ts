/**
 * IR drop: the direct-current solution of a whole crossbar with the resistance of its wires.
 *
 * Input wire i is driven at the end of output 0, through its terminal and one segment; each further cell adds a segment.
 * Output wire o is sensed at 0 V behind input n-1, through one segment and its terminal. Cells are linear. What is solved
 * for is the *drop*, the difference from the state of ideal wires: it is of the size of the error itself, so resistances of
 * micro-ohms keep all their digits and 0 ohm is exact.
 *
 * Wires are eliminated exactly (`circuit-ladder.ts`); what remains goes to conjugate gradients (`circuit-iterative.ts`)
 * or to block elimination (`circuit-direct.ts`). Whichever it was, Kirchhoff's current law is then checked at every node
 * from the node voltages alone, and a solution that misses the tolerance is never returned.
 */
import { GrimError } from '@grim/ir';
import { type CircuitGrid, type CrossbarCircuit, circuitGrid, largestVoltage, needFinite } from './circuit-check.ts';
import {
  type DirectFactor,
  directBytes,
  eliminateAcross,
  factorDirect,
  recoverAcross,
  solveDirect,
} from './circuit-direct.ts';
import { iterationSpace, solveByIteration } from './circuit-iterative.ts';
import { factorLadder, type Ladder, solveLadder, subtractLinkCurrents } from './circuit-ladder.ts';

export interface CircuitOptions {
  /**
   * `'iterative'`: conjugate gradients; memory and time proportional to the cells when wires take a moderate share of
   * the voltage. `'direct'`: block elimination; the same time for any resistances. `'auto'` (default): iterative, and
   * direct once {@link CircuitOptions.maxIterations} are used up.
   */
  readonly method?: 'auto' | 'iterative' | 'direct';
  /** Largest {@link CircuitSolution.relativeResidual} to accept; default 1e-11, at most 1e-3. */
  readonly relativeResidual?: number;
  /** Conjugate-gradient steps for one input vector; default 400 for `'auto'`, 20000 for `'iterative'`. */
  readonly maxIterations?: number;
  /** Memory the solver may take; default 2 GiB. Estimated and refused before anything is allocated. */
  readonly maxBytes?: number;
}

export interface CircuitSolution {
  /** Current into each sense terminal, A; [outputs]. */
  readonly currentsA: Float64Array;
  /** The same with ideal wires: the sum of conductance times voltage. */
  readonly idealCurrentsA: Float64Array;
  /** Voltage across each cell, input side minus output side; [outputs, inputs]. */
  readonly cellVoltageV: Float64Array;
  /** Voltage of each cell's node on its input wire, and on its output wire; [outputs, inputs]. */
  readonly inputNodeV: Float64Array;
  readonly outputNodeV: Float64Array;
  /**
   * What is left of Kirchhoff's current law: the 2-norm of the voltages by which one more exact solution of every wire,
   * the crossing ones held, would move the nodes, over the 2-norm of the voltages applied to the cells.
   */
  readonly relativeResidual: number;
  readonly method: 'iterative' | 'direct';
  /** Conjugate-gradient steps, all refinements included; 0 for a direct solve. */
  readonly iterations: number;
}

/** A crossbar whose factors are kept, for any number of input vectors. */
export interface CircuitSolver {
  /**
   * @param inputVoltagesV  voltage of each driver, volt; [inputs]
   * @throws {GrimError} GRIM_RERAM_BAD_CIRCUIT for a wrong length or a value that is not finite,
   *   GRIM_RERAM_NO_CONVERGENCE with the residual that was reached
   */
  solve(inputVoltagesV: ArrayLike<number>): CircuitSolution;
  /**
   * The crossbar as one matrix: current of output o per volt at driver i, siemens; [outputs, inputs]. A linear circuit
   * is described by it completely, so that each further input vector costs one matrix-vector product.
   * Takes min(inputs, outputs) solves, by reciprocity.
   */
  transferS(): Float64Array;
}

/** Refinements after the first pass; each gains several digits or the method has stalled. */
const MAX_PASSES = 8;
const DEFAULT_RESIDUAL = 1e-11;

interface State {
  readonly grid: CircuitGrid;
  readonly input: Ladder;
  readonly output: Ladder;
  readonly tolerance: number;
  readonly method: 'auto' | 'iterative' | 'direct';
  readonly maxIterations: number;
  readonly maxBytes: number;
  readonly work: ReturnType<typeof workSpace>;
  factor: DirectFactor | undefined;
}

/**
 * Checks a circuit and factors its wires.
 *
 * @throws {GrimError} GRIM_RERAM_BAD_CIRCUIT for conductances or resistances out of range,
 *   GRIM_RERAM_TOO_LARGE when the memory estimate exceeds `maxBytes`
 * @example
 * ```ts
 * const solver = circuitSolver({ inputs: 128, outputs: 128, conductanceS, inputSegmentOhm: 1, outputSegmentOhm: 1 });
 * const { currentsA, idealCurrentsA } = solver.solve(new Float64Array(128).fill(0.2));
 * ```
 */
export function circuitSolver(circuit: CrossbarCircuit, options: CircuitOptions = {}): CircuitSolver {
  const { method = 'auto', relativeResidual = DEFAULT_RESIDUAL, maxBytes = 2 ** 31 } = options;
  const maxIterations = options.maxIterations ?? (method === 'auto' ? 400 : 20_000);
  needFinite('relativeResidual', relativeResidual, Number.MIN_VALUE, 1e-3);
  needFinite('maxIterations', maxIterations, 1, 1e9);
  const grid = circuitGrid(circuit, maxBytes);
  if (method === 'direct') needDirectMemory(grid, maxBytes);
  const state: State = {
    grid,
    input: factorLadder(grid.inputLayout, grid.inputOhm, grid.conductanceS),
    output: factorLadder(grid.outputLayout, grid.outputOhm, grid.conductanceS),
    tolerance: relativeResidual,
    method,
    maxIterations,
    maxBytes,
    work: workSpace(grid.conductanceS.length),
    factor: undefined,
  };
  return {
    solve: (inputVoltagesV) => solveOne(state, inputVoltagesV),
    transferS: () => transfer(state),
  };
}

/** {@link circuitSolver} for a single input vector. */
export function solveCircuit(
  circuit: CrossbarCircuit,
  inputVoltagesV: ArrayLike<number>,
  options: CircuitOptions = {},
): CircuitSolution {
  return circuitSolver(circuit, options).solve(inputVoltagesV);
}

function workSpace(cells: number) {
  return {
    inputDrop: new Float64Array(cells),
    outputRise: new Float64Array(cells),
    inputA: new Float64Array(cells),
    outputA: new Float64Array(cells),
    reduced: new Float64Array(cells),
    correction: new Float64Array(cells),
    scratch: new Float64Array(cells),
    iteration: iterationSpace(cells),
  };
}

function solveOne(state: State, inputVoltagesV: ArrayLike<number>): CircuitSolution {
  const { grid } = state;
  const { inputs, outputs, conductanceS } = grid;
  // Solved for a largest voltage near 1, as squares of very small ones would vanish; a power of two, so nothing is rounded.
  const peakV = 2 ** Math.floor(Math.log2(largestVoltage(inputVoltagesV, inputs) || 1));
  // The cell voltages of ideal wires: every driver's own voltage.
  const cellVoltageV = new Float64Array(inputs * outputs);
  for (let at = 0; at < cellVoltageV.length; at++) cellVoltageV[at] = (inputVoltagesV[at % inputs] as number) / peakV;
  const idealCurrentsA = sumOverInputs(circuitCurrents(grid.given, cellVoltageV), inputs).map((a) => a * peakV);
  const outcome = relax(state, cellVoltageV);
  const { inputDrop, outputRise } = state.work;
  const inputNodeV = new Float64Array(inputs * outputs);
  const outputNodeV = outputRise.map((volts) => volts * peakV);
  for (let at = 0; at < cellVoltageV.length; at++) {
    const inputV = (cellVoltageV[at] as number) + (inputDrop[at] as number);
    inputNodeV[at] = inputV * peakV;
    cellVoltageV[at] = grid.floating?.[at] ? 0 : (inputV - (outputRise[at] as number)) * peakV;
  }
  const currentsA = sumOverInputs(circuitCurrents(conductanceS, cellVoltageV), inputs);
  return { currentsA, idealCurrentsA, cellVoltageV, inputNodeV, outputNodeV, ...outcome };
}

function circuitCurrents(conductanceS: Float64Array, volts: Float64Array): Float64Array {
  return conductanceS.map((g, at) => g * (volts[at] as number));
}

function sumOverInputs(currents: Float64Array, inputs: number): Float64Array {
  const sums = new Float64Array(currents.length / inputs);
  for (let o = 0; o < sums.length; o++) {
    let sum = 0;
    for (let at = o * inputs; at < (o + 1) * inputs; at++) sum += currents[at] as number;
    sums[o] = sum;
  }
  return sums;
}

/**
 * Finds the drops that belong to the cell voltages `idealV` of ideal wires, into `state.work`; refines until the residual
 * meets the tolerance.
 */
function relax(
  state: State,
  idealV: Float64Array,
): Pick<CircuitSolution, 'relativeResidual' | 'method' | 'iterations'> {
  const { grid, input, output, tolerance, work } = state;
  const g = grid.conductanceS;
  const { inputDrop, outputRise, inputA, outputA, reduced, correction, scratch } = work;
  inputDrop.fill(0);
  outputRise.fill(0);
  const scale = Math.sqrt(idealV.reduce((sum, v) => sum + v * v, 0));
  let method: 'iterative' | 'direct' = state.method === 'direct' || state.factor !== undefined ? 'direct' : 'iterative';
  let iterations = 0;
  let before = Number.POSITIVE_INFINITY;
  for (let pass = 0; ; pass++) {
    const found = sweepResidual(state, idealV) / (scale || 1);
    if (found <= tolerance) return { relativeResidual: found, method, iterations };
    const stalled = pass > 0 && !(found < before / 2);
    const exhausted = method === 'iterative' && iterations >= state.maxIterations;
    if (!Number.isFinite(found) || stalled || exhausted || pass === MAX_PASSES) {
      if (method === 'direct' || state.method === 'iterative' || !directFits(grid, state.maxBytes)) {
        throw notConverged(state, method, found, iterations);
      }
      method = 'direct';
      pass = 0;
      before = Number.POSITIVE_INFINITY;
      if (!Number.isFinite(found)) {
        inputDrop.fill(0);
        outputRise.fill(0);
        continue;
      }
    }
    before = found;
    if (method === 'iterative') {
      eliminateAcross(g, output, inputA, outputA, reduced, scratch);
      const left = state.maxIterations - iterations;
      const goalV = 0.3 * tolerance * scale;
      iterations += solveByIteration(g, input, output, reduced, correction, work.iteration, goalV, left);
      addTo(inputDrop, correction);
      recoverAcross(g, output, correction, outputA, scratch);
      addTo(outputRise, scratch);
    } else {
      // The narrower bundle forms the blocks.
      const inputBlocks = grid.inputs <= grid.outputs;
      const [along, across] = inputBlocks ? [input, output] : [output, input];
      const [alongA, acrossA] = inputBlocks ? [inputA, outputA] : [outputA, inputA];
      state.factor ??= factorDirect(g, along, across);
      eliminateAcross(g, across, alongA, acrossA, reduced, scratch);
      solveDirect(state.factor, along, reduced, correction);
      addTo(inputBlocks ? inputDrop : outputRise, correction);
      recoverAcross(g, across, correction, acrossA, scratch);
      addTo(inputBlocks ? outputRise : inputDrop, scratch);
    }
  }
}

/**
 * Leaves the current that every node receives too much in `inputA` and `outputA`, ampere, and returns the 2-norm of the
 * voltages by which solving each wire for it would move the nodes. In volts, since currents found from voltage differences
 * over micro-ohms are mostly rounding, while those voltages are not.
 */
function sweepResidual({ grid, input, output, work }: State, idealV: Float64Array): number {
  const { inputDrop, outputRise, inputA, outputA, scratch } = work;
  const g = grid.conductanceS;
  for (let at = 0; at < g.length; at++) {
    const volts = (idealV[at] as number) + (inputDrop[at] as number) - (outputRise[at] as number);
    const current = (g[at] as number) * volts;
    inputA[at] = -current;
    outputA[at] = current;
  }
  subtractLinkCurrents(input, inputDrop, inputA);
  subtractLinkCurrents(output, outputRise, outputA);
  solveLadder(input, inputA, scratch);
  const fromInputs = scratch.reduce((sum, v) => sum + v * v, 0);
  solveLadder(output, outputA, scratch);
  return Math.sqrt(scratch.reduce((sum, v) => sum + v * v, fromInputs));
}

/** Y[o, i]: unit voltage at each driver, or, where those are more, at each sense terminal (reciprocity). */
function transfer(state: State): Float64Array {
  const { inputs, outputs, conductanceS } = state.grid;
  const { inputDrop, outputRise } = state.work;
  const result = new Float64Array(inputs * outputs);
  const ideal = new Float64Array(inputs * outputs);
  const fromInputs = inputs <= outputs;
  for (let line = 0; line < Math.min(inputs, outputs); line++) {
    ideal.fill(0);
    if (fromInputs) for (let at = line; at < ideal.length; at += inputs) ideal[at] = 1;
    // With 1 V at a sense terminal the cells see -1 V; the sign turns the currents into those of the reciprocal drive.
    else ideal.fill(1, line * inputs, (line + 1) * inputs);
    relax(state, ideal);
    for (let at = 0; at < ideal.length; at++) {
      const volts = (ideal[at] as number) + (inputDrop[at] as number) - (outputRise[at] as number);
      const current = (conductanceS[at] as number) * volts;
      const place = fromInputs ? at - (at % inputs) + line : line * inputs + (at % inputs);
      result[place] = (result[place] as number) + current;
    }
  }
  return result;
}

function addTo(target: Float64Array, addend: Float64Array): void {
  for (let at = 0; at < target.length; at++) target[at] = (target[at] as number) + (addend[at] as number);
}

function directFits({ inputs, outputs, bytes }: CircuitGrid, maxBytes: number): boolean {
  return bytes + directBytes(Math.max(inputs, outputs), Math.min(inputs, outputs)) <= maxBytes;
}

function needDirectMemory(grid: CircuitGrid, maxBytes: number): void {
  if (directFits(grid, maxBytes)) return;
  const { inputs, outputs, bytes } = grid;
  const needed = bytes + directBytes(Math.max(inputs, outputs), Math.min(inputs, outputs));
  throw new GrimError(
    'GRIM_RERAM_TOO_LARGE',
    `circuit: a direct solution of ${inputs} inputs x ${outputs} outputs needs ${needed} bytes, ${maxBytes} are allowed. ` +
      'Use method: "iterative", or raise maxBytes.',
    { inputs, outputs, needed, maxBytes },
  );
}

function notConverged(state: State, method: string, residual: number, iterations: number): GrimError {
  const { inputs, outputs } = state.grid;
  return new GrimError(
    'GRIM_RERAM_NO_CONVERGENCE',
    `circuit: the ${method} solution of ${inputs} inputs x ${outputs} outputs reached a relative residual of ` +
      `${residual.toExponential(3)} after ${iterations} iterations, ${state.tolerance} was asked for. ` +
      'Raise maxIterations, use method: "direct", or check the resistances for a wrong unit.',
    { inputs, outputs, residual, relativeResidual: state.tolerance, iterations, method },
  );
}

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GrimError } from '@grim/ir';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CircuitSolution, circuitSolver, solveCircuit } from '../src/circuit.ts';
import { approximateCircuit } from '../src/circuit-approximation.ts';
import type { CrossbarCircuit } from '../src/circuit-check.ts';
import { nodalCurrents } from './circuit-nodal.ts';

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

function randomCircuit(
  inputs: number,
  outputs: number,
  seed: number,
  over: Partial<CrossbarCircuit> = {},
): CrossbarCircuit {
  const next = random(seed);
  const conductanceS = Float64Array.from({ length: inputs * outputs }, () => 1e-6 + 1e-4 * next());
  return { inputs, outputs, conductanceS, inputSegmentOhm: 2, outputSegmentOhm: 3, ...over };
}

function randomVoltages(inputs: number, seed: number): Float64Array {
  const next = random(seed ^ 0x5555);
  return Float64Array.from({ length: inputs }, () => 0.4 * next() - 0.1);
}

function largestRelative(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  const scale = Math.max(...Array.from(wanted, Math.abs));
  return Math.max(...Array.from(wanted, (w, k) => Math.abs((found[k] ?? Number.NaN) - w))) / scale;
}

/** Largest sum of currents into a node, from the published node voltages, over the largest current of any cell. */
function kirchhoff(circuit: CrossbarCircuit, volts: ArrayLike<number>, solution: CircuitSolution): number {
  const { inputs: n, outputs: m, conductanceS, inputSegmentOhm, outputSegmentOhm } = circuit;
  const { inputTerminalOhm = 0, outputTerminalOhm = 0 } = circuit;
  const u = (o: number, i: number) => solution.inputNodeV[o * n + i] ?? 0;
  const v = (o: number, i: number) => solution.outputNodeV[o * n + i] ?? 0;
  let worst = 0;
  let largest = 0;
  for (let o = 0; o < m; o++) {
    for (let i = 0; i < n; i++) {
      const cell = (conductanceS[o * n + i] ?? 0) * (u(o, i) - v(o, i));
      const arriving =
        o === 0
          ? ((volts[i] ?? 0) - u(0, i)) / (inputSegmentOhm + inputTerminalOhm)
          : (u(o - 1, i) - u(o, i)) / inputSegmentOhm;
      const onward = o === m - 1 ? 0 : (u(o, i) - u(o + 1, i)) / inputSegmentOhm;
      const leaving =
        i === n - 1 ? v(o, i) / (outputSegmentOhm + outputTerminalOhm) : (v(o, i) - v(o, i + 1)) / outputSegmentOhm;
      const before = i === 0 ? 0 : (v(o, i - 1) - v(o, i)) / outputSegmentOhm;
      worst = Math.max(worst, Math.abs(arriving - onward - cell), Math.abs(before + cell - leaving));
      largest = Math.max(largest, Math.abs(cell));
    }
  }
  return worst / largest;
}

function codeOf(run: () => unknown): { code: string; details: Readonly<Record<string, unknown>> } {
  try {
    run();
  } catch (error) {
    if (error instanceof GrimError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

interface IrDropCase {
  id: string;
  settings: Record<string, number>;
  conductance_S?: number[][];
  cell_levels: number[][];
  input_voltages_V: number[][];
  expected_currents_A_nodal: number[][];
  cell_voltage_V_nodal?: number[][][];
  mean_rel_loss_vs_ideal?: number;
  tolerance_rel: number;
}

function irDropCases(): IrDropCase[] | undefined {
  const path = join(process.env['GRIM_DATA'] ?? '', 'reram', 'ir_drop.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).cases : undefined;
}

function circuitOf({ settings: s, conductance_S, cell_levels }: IrDropCase): CrossbarCircuit {
  const { Rmin_ohm = 0, Rmax_ohm = 0 } = s;
  const low = Rmin_ohm / Rmax_ohm;
  const cells =
    conductance_S ?? cell_levels.map((row) => row.map((level) => (low + ((1 - low) * level) / 3) / Rmin_ohm));
  return {
    inputs: cells[0]?.length ?? 0,
    outputs: cells.length,
    conductanceS: cells.flat(),
    inputSegmentOhm: s['R_input_segment_ohm'] ?? 0,
    outputSegmentOhm: s['R_output_segment_ohm'] ?? 0,
    inputTerminalOhm: s['R_input_terminal_ohm'] ?? 0,
    outputTerminalOhm: s['R_output_terminal_ohm'] ?? 0,
  };
}

describe('crossbar circuits of the reference vectors', () => {
  for (const method of ['iterative', 'direct'] as const) {
    it(`the ${method} solver reaches every nodal current and cell voltage`, (ctx) => {
      const cases = irDropCases();
      if (cases === undefined) return ctx.skip('GRIM_DATA is not there: reram/ir_drop.json');
      expect(cases.length).toBeGreaterThan(0);
      for (const one of cases) {
        const solver = circuitSolver(circuitOf(one), { method });
        const losses: number[] = [];
        one.input_voltages_V.forEach((volts, k) => {
          const solution = solver.solve(volts);
          const expected = one.expected_currents_A_nodal[k] ?? [];
          expected.forEach((amps, o) => {
            expect(Math.abs((solution.currentsA[o] ?? 0) / amps - 1), one.id).toBeLessThan(one.tolerance_rel);
            if (k === 0) losses.push(1 - (solution.currentsA[o] ?? 0) / (solution.idealCurrentsA[o] ?? 0));
          });
          const wanted = one.cell_voltage_V_nodal?.[k]?.flat();
          if (wanted) expect(largestRelative(solution.cellVoltageV, wanted)).toBeLessThan(1e-10);
          expect(solution.relativeResidual).toBeLessThan(1e-9);
          expect(kirchhoff(circuitOf(one), volts, solution)).toBeLessThan(1e-9);
        });
        const meanLoss = losses.reduce((a, b) => a + b, 0) / losses.length;
        if (one.mean_rel_loss_vs_ideal) expect(meanLoss).toBeCloseTo(one.mean_rel_loss_vs_ideal, 6);
      }
    });
  }
});

describe('crossbar circuits beside a dense nodal matrix', () => {
  it('M7: random arrays of any shape agree with Gaussian elimination of the node equations', () => {
    fc.assert(
      fc.property(
        fc.record({
          inputs: fc.integer({ min: 1, max: 9 }),
          outputs: fc.integer({ min: 1, max: 9 }),
          seed: fc.nat(),
          inputSegmentOhm: fc.constantFrom(1e-3, 1, 100, 1e4),
          outputSegmentOhm: fc.constantFrom(1e-3, 2, 50, 1e4),
          inputTerminalOhm: fc.constantFrom(0, 30, 1e4),
          outputTerminalOhm: fc.constantFrom(0, 70),
          method: fc.constantFrom('iterative' as const, 'direct' as const),
        }),
        ({ inputs, outputs, seed, method, ...ohms }) => {
          const circuit = randomCircuit(inputs, outputs, seed, ohms);
          const volts = randomVoltages(inputs, seed);
          const { currentsA, relativeResidual } = solveCircuit(circuit, volts, { method });
          expect(relativeResidual).toBeLessThan(1e-9);
          expect(largestRelative(currentsA, nodalCurrents(circuit, volts))).toBeLessThan(1e-8);
        },
      ),
      { seed: 20260, numRuns: 150 },
    );
  });

  it('M7: a 64 x 64 array agrees with elimination within the band', () => {
    const circuit = randomCircuit(64, 64, 5, { inputSegmentOhm: 5, outputSegmentOhm: 5, outputTerminalOhm: 10 });
    const volts = randomVoltages(64, 5);
    const wanted = nodalCurrents(circuit, volts);
    for (const method of ['iterative', 'direct'] as const) {
      expect(largestRelative(solveCircuit(circuit, volts, { method }).currentsA, wanted)).toBeLessThan(1e-9);
    }
  });

  it('M7: a worked example of one cell is a voltage divider', () => {
    const circuit = { inputs: 1, outputs: 1, conductanceS: [1e-3], inputSegmentOhm: 10, outputSegmentOhm: 20 };
    const { currentsA, cellVoltageV } = solveCircuit(
      { ...circuit, inputTerminalOhm: 30, outputTerminalOhm: 40 },
      [0.55],
    );
    expect(currentsA[0]).toBeCloseTo(0.55 / 1100, 15);
    expect(cellVoltageV[0]).toBeCloseTo(0.5, 14);
  });
});

describe('crossbar circuits at the edges', () => {
  it('M7: wires without resistance give the ideal currents exactly', () => {
    const circuit = randomCircuit(17, 11, 3, { inputSegmentOhm: 0, outputSegmentOhm: 0 });
    for (const method of ['iterative', 'direct'] as const) {
      const { currentsA, idealCurrentsA } = solveCircuit(circuit, randomVoltages(17, 3), { method });
      expect(Array.from(currentsA)).toEqual(Array.from(idealCurrentsA));
    }
  });

  it('M7: one direction without resistance, and segments of 0 behind a terminal, agree with vanishing resistances', () => {
    const volts = randomVoltages(8, 4);
    for (const zero of [
      { inputSegmentOhm: 0 },
      { outputSegmentOhm: 0 },
      { inputSegmentOhm: 0, inputTerminalOhm: 500, outputTerminalOhm: 90 },
      { inputSegmentOhm: 0, outputSegmentOhm: 0, inputTerminalOhm: 500, outputTerminalOhm: 90 },
    ]) {
      const circuit = randomCircuit(8, 6, 4, zero);
      const nearly = {
        ...circuit,
        inputSegmentOhm: circuit.inputSegmentOhm || 1e-4,
        outputSegmentOhm: circuit.outputSegmentOhm || 1e-4,
      };
      for (const method of ['iterative', 'direct'] as const) {
        const { currentsA } = solveCircuit(circuit, volts, { method });
        expect(largestRelative(currentsA, nodalCurrents(nearly, volts))).toBeLessThan(1e-6);
      }
    }
  });

  it('M7: micro-ohms lose the drop that is proportional to them', () => {
    const loss = (ohm: number) => {
      const circuit = randomCircuit(32, 32, 9, { inputSegmentOhm: ohm, outputSegmentOhm: ohm });
      const { currentsA, idealCurrentsA, cellVoltageV } = solveCircuit(circuit, new Float64Array(32).fill(0.2));
      expect(cellVoltageV.every((v) => v > 0)).toBe(true);
      return 1 - (currentsA[0] ?? 0) / (idealCurrentsA[0] ?? 0);
    };
    expect(loss(1e-4) / loss(1e-5)).toBeCloseTo(10, 3);
  });

  it('M7: equal conductances (on/off of 1) are an ordinary array', () => {
    const circuit = randomCircuit(6, 5, 1, { conductanceS: new Float64Array(30).fill(1e-4) });
    const volts = randomVoltages(6, 1);
    expect(largestRelative(solveCircuit(circuit, volts).currentsA, nodalCurrents(circuit, volts))).toBeLessThan(1e-10);
  });

  it('M7: cells stuck open and stuck at a short are cells of that conductance', () => {
    const circuit = randomCircuit(7, 7, 2);
    const conductanceS = Float64Array.from(circuit.conductanceS);
    conductanceS[3] = 0;
    conductanceS[17] = 0;
    conductanceS[24] = 0.5;
    const stuck = { ...circuit, conductanceS };
    const volts = randomVoltages(7, 2);
    const wanted = nodalCurrents(stuck, volts);
    for (const method of ['iterative', 'direct'] as const) {
      const solution = solveCircuit(stuck, volts, { method });
      expect(largestRelative(solution.currentsA, wanted)).toBeLessThan(1e-9);
    }
  });

  it('M7: an array of cells that conduct nothing carries no current', () => {
    const { currentsA, relativeResidual } = solveCircuit(
      { inputs: 3, outputs: 2, conductanceS: new Float64Array(6), inputSegmentOhm: 1, outputSegmentOhm: 1 },
      [1, 1, 1],
    );
    expect(Array.from(currentsA)).toEqual([0, 0]);
    expect(relativeResidual).toBe(0);
  });

  it('M7: an open input terminal leaves its wire to float, as a very large terminal resistance does', () => {
    const circuit = randomCircuit(6, 4, 8);
    const volts = randomVoltages(6, 8);
    const cut = { ...circuit, openInputs: [{ line: 2, segment: 0 }], openOutputs: [{ line: 1, segment: 3 }] };
    const wanted = nodalCurrents(cut, volts);
    for (const method of ['iterative', 'direct'] as const) {
      expect(largestRelative(solveCircuit(cut, volts, { method }).currentsA, wanted)).toBeLessThan(1e-8);
    }
  });

  it('M7: cells beyond two breaks reach no terminal, carry nothing, and leave the rest as if they were absent', () => {
    const circuit = randomCircuit(4, 3, 12);
    const openInputs = [0, 1, 2, 3].map((line) => ({ line, segment: 2 }));
    const openOutputs = [{ line: 2, segment: 3 }];
    const volts = randomVoltages(4, 12);
    const absent = Float64Array.from(circuit.conductanceS, (g, at) => (at >= 8 ? 0 : g));
    const wanted = solveCircuit({ ...circuit, conductanceS: absent }, volts);
    for (const method of ['iterative', 'direct'] as const) {
      const found = solveCircuit({ ...circuit, openInputs, openOutputs }, volts, { method });
      expect(found.currentsA[2]).toBe(0);
      expect(largestRelative(found.currentsA, wanted.currentsA)).toBeLessThan(1e-10);
      expect(Array.from(found.cellVoltageV.slice(8))).toEqual([0, 0, 0, 0]);
    }
  });

  it('M7: all wires open, or all voltages zero, give zero currents', () => {
    const circuit = randomCircuit(5, 5, 6, { inputTerminalOhm: Number.POSITIVE_INFINITY });
    for (const amps of solveCircuit(circuit, new Float64Array(5).fill(0.2)).currentsA)
      expect(Math.abs(amps)).toBeLessThan(1e-18);
    expect(Array.from(solveCircuit(randomCircuit(5, 5, 6), new Float64Array(5)).currentsA)).toEqual([0, 0, 0, 0, 0]);
  });

  it('M7: currents scale with voltages down to 1e-200 V', () => {
    const circuit = randomCircuit(9, 9, 10);
    const volts = randomVoltages(9, 10);
    const one = solveCircuit(circuit, volts).currentsA;
    const small = solveCircuit(
      circuit,
      volts.map((v) => v * 2 ** -660),
    ).currentsA;
    expect(
      largestRelative(
        small.map((a) => a * 2 ** 660),
        one,
      ),
    ).toBeLessThan(1e-12);
  });
});

describe('many input vectors', () => {
  it('the transfer matrix reproduces every solution, wide and tall', () => {
    for (const [inputs, outputs] of [
      [12, 7],
      [7, 12],
    ] as const) {
      const circuit = randomCircuit(inputs, outputs, 21, { inputSegmentOhm: 40, outputTerminalOhm: 30 });
      const solver = circuitSolver(circuit);
      const transferS = solver.transferS();
      for (let seed = 0; seed < 5; seed++) {
        const volts = randomVoltages(inputs, seed);
        const product = Float64Array.from({ length: outputs }, (_, o) =>
          volts.reduce((sum, v, i) => sum + v * (transferS[o * inputs + i] ?? 0), 0),
        );
        expect(largestRelative(product, solver.solve(volts).currentsA)).toBeLessThan(1e-9);
      }
    }
  });

  it('one solver gives the same bits for a vector whatever was solved before', () => {
    const circuit = randomCircuit(20, 20, 31);
    const solver = circuitSolver(circuit);
    const volts = randomVoltages(20, 31);
    const first = solver.solve(volts);
    solver.solve(randomVoltages(20, 32));
    expect(Array.from(solver.solve(volts).currentsA)).toEqual(Array.from(first.currentsA));
  });

  it('the calibrated approximation is exact on its calibration vector and states a smaller error than none elsewhere', () => {
    const circuit = randomCircuit(32, 32, 41);
    const calibration = new Float64Array(32).fill(0.1);
    expect(approximateCircuit(circuit, calibration, [calibration]).maxError).toBeLessThan(1e-9);
    const next = random(7);
    const checks = Array.from({ length: 8 }, () => Float64Array.from({ length: 32 }, () => (next() < 0.5 ? 0 : 0.2)));
    const { maxError, uncorrectedMaxError, rmsError, uncorrectedRmsError } = approximateCircuit(
      circuit,
      calibration,
      checks,
    );
    expect(maxError).toBeGreaterThan(0);
    expect(maxError).toBeLessThan(uncorrectedMaxError / 2);
    expect(rmsError).toBeLessThan(uncorrectedRmsError / 5);
    expect(codeOf(() => approximateCircuit(circuit, new Float64Array(32), checks)).code).toBe('GRIM_RERAM_BAD_CIRCUIT');
  });

  it('a 256 x 256 array meets the same residual', () => {
    const circuit = randomCircuit(256, 256, 51, { inputSegmentOhm: 1, outputSegmentOhm: 1 });
    expect(solveCircuit(circuit, randomVoltages(256, 51)).relativeResidual).toBeLessThan(1e-9);
  });
});

describe('circuits that cannot be solved', () => {
  const hard = randomCircuit(24, 24, 61, { inputSegmentOhm: 1e7, outputSegmentOhm: 1e7 });

  it('M8: too few iterations throw with the residual that was reached', () => {
    const { code, details } = codeOf(() =>
      solveCircuit(hard, randomVoltages(24, 61), { method: 'iterative', maxIterations: 3 }),
    );
    expect(code).toBe('GRIM_RERAM_NO_CONVERGENCE');
    expect(details['iterations']).toBe(3);
    expect(details['residual']).toBeGreaterThan(1e-9);
  });

  it('M8: automatic choice solves the same array directly, and says so', () => {
    const solution = solveCircuit(hard, randomVoltages(24, 61), { maxIterations: 3 });
    expect(solution.method).toBe('direct');
    expect(solution.relativeResidual).toBeLessThan(1e-9);
  });

  it('M8: without memory for the direct solution the same array is an error, not the last iterate', () => {
    const options = { maxIterations: 3, maxBytes: 24 * 8 * 24 * 24 + 100 };
    expect(codeOf(() => solveCircuit(hard, randomVoltages(24, 61), options)).code).toBe('GRIM_RERAM_NO_CONVERGENCE');
    expect(codeOf(() => solveCircuit(hard, randomVoltages(24, 61), { ...options, method: 'direct' })).code).toBe(
      'GRIM_RERAM_TOO_LARGE',
    );
  });

  it('a residual that double precision cannot reach is an error', () => {
    const circuit = randomCircuit(12, 12, 71);
    for (const method of ['auto', 'iterative', 'direct'] as const) {
      const { code } = codeOf(() => solveCircuit(circuit, randomVoltages(12, 71), { method, relativeResidual: 1e-25 }));
      expect(code).toBe('GRIM_RERAM_NO_CONVERGENCE');
    }
  });

  it.each([
    ['inputs', { inputs: 0 }],
    ['a negative segment', { inputSegmentOhm: -1 }],
    ['a segment that is not a number', { outputSegmentOhm: Number.NaN }],
    ['a negative terminal', { outputTerminalOhm: -0.5 }],
    ['a negative conductance', { conductanceS: [1e-4, -1e-4, 1e-4, 1e-4] }],
    ['a conductance that is not a number', { conductanceS: [1e-4, Number.NaN, 1e-4, 1e-4] }],
    ['an infinite conductance', { conductanceS: [1e-4, Number.POSITIVE_INFINITY, 1e-4, 1e-4] }],
    ['M9: microsiemens given as siemens', { conductanceS: [100, 20, 5, 100] }],
    ['too few conductances', { conductanceS: [1e-4, 1e-4, 1e-4] }],
    ['a break on a wire that is not there', { openInputs: [{ line: 2, segment: 0 }] }],
    ['a break at a segment that is not there', { openOutputs: [{ line: 0, segment: -1 }] }],
  ] as const)('M7: %s: refused', (_, change) => {
    const good = {
      inputs: 2,
      outputs: 2,
      conductanceS: [1e-4, 1e-5, 1e-4, 1e-4],
      inputSegmentOhm: 1,
      outputSegmentOhm: 1,
    };
    expect(solveCircuit(good, [0.1, 0.2]).currentsA).toHaveLength(2);
    expect(codeOf(() => circuitSolver({ ...good, ...change })).code).toBe('GRIM_RERAM_BAD_CIRCUIT');
  });

  it('voltages of the wrong length or that are not finite are refused', () => {
    const circuit = randomCircuit(3, 2, 1);
    for (const volts of [
      [0.1, 0.2],
      [0.1, 0.2, Number.NaN],
      [0.1, 0.2, Number.POSITIVE_INFINITY],
    ]) {
      expect(codeOf(() => solveCircuit(circuit, volts)).code).toBe('GRIM_RERAM_BAD_CIRCUIT');
    }
  });

  it('an array of 100 000 x 100 000 is refused by its estimate, before anything is allocated', () => {
    const circuit = { inputs: 1e5, outputs: 1e5, conductanceS: [], inputSegmentOhm: 1, outputSegmentOhm: 1 };
    const { code, details } = codeOf(() => circuitSolver(circuit));
    expect(code).toBe('GRIM_RERAM_TOO_LARGE');
    expect(details['needed']).toBeGreaterThan(1e12);
  });
});

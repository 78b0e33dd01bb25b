/**
 * The textbook way: one equation per node, conductances of every branch added up in a matrix, Gaussian elimination.
 * Written without the ladders, for comparison; a break is a branch left out, wires of 0 ohm are not possible here.
 */
import type { CrossbarCircuit } from '../src/circuit-check.ts';

/** Currents into the sense terminals, A. Time grows with cells times the square of twice the number of outputs. */
export function nodalCurrents(circuit: CrossbarCircuit, volts: ArrayLike<number>): Float64Array {
  const { inputs: n, outputs: m, conductanceS, inputSegmentOhm, outputSegmentOhm } = circuit;
  const { inputTerminalOhm = 0, outputTerminalOhm = 0, openInputs = [], openOutputs = [] } = circuit;
  const size = 2 * n * m;
  const band = 2 * m;
  // Node order: input index, then output index, then input wire before output wire: neighbours lie within 2 m.
  const node = (i: number, o: number, side: 0 | 1) => 2 * (i * m + o) + side;
  const matrix = Array.from({ length: size }, () => new Float64Array(2 * band + 1));
  const right = new Float64Array(size);
  const add = (a: number, b: number, value: number) => {
    const row = matrix[a];
    if (row) row[b - a + band] = (row[b - a + band] ?? 0) + value;
  };
  const branch = (a: number, b: number | undefined, siemens: number, sourceV = 0) => {
    add(a, a, siemens);
    if (b === undefined) {
      right[a] = (right[a] ?? 0) + siemens * sourceV;
      return;
    }
    add(b, b, siemens);
    add(a, b, -siemens);
    add(b, a, -siemens);
  };
  for (let i = 0; i < n; i++) {
    for (let o = 0; o < m; o++) {
      branch(node(i, o, 0), node(i, o, 1), conductanceS[o * n + i] ?? 0);
      if (!openInputs.some(({ line, segment }) => line === i && segment === o)) {
        if (o === 0) branch(node(i, 0, 0), undefined, 1 / (inputSegmentOhm + inputTerminalOhm), volts[i] ?? 0);
        else branch(node(i, o, 0), node(i, o - 1, 0), 1 / inputSegmentOhm);
      }
      if (!openOutputs.some(({ line, segment }) => line === o && segment === i)) {
        if (i === n - 1) branch(node(i, o, 1), undefined, 1 / (outputSegmentOhm + outputTerminalOhm));
        else branch(node(i, o, 1), node(i + 1, o, 1), 1 / outputSegmentOhm);
      }
    }
  }
  for (let k = 0; k < size; k++) {
    const pivotRow = matrix[k] ?? new Float64Array(0);
    const pivot = pivotRow[band] ?? 0;
    for (let r = k + 1; r <= Math.min(size - 1, k + band); r++) {
      const row = matrix[r] ?? new Float64Array(0);
      const factor = (row[k - r + band] ?? 0) / pivot;
      if (factor === 0) continue;
      for (let c = k; c <= Math.min(size - 1, k + band); c++) {
        row[c - r + band] = (row[c - r + band] ?? 0) - factor * (pivotRow[c - k + band] ?? 0);
      }
      right[r] = (right[r] ?? 0) - factor * (right[k] ?? 0);
    }
  }
  const solution = new Float64Array(size);
  for (let k = size - 1; k >= 0; k--) {
    const row = matrix[k] ?? new Float64Array(0);
    let sum = right[k] ?? 0;
    for (let c = k + 1; c <= Math.min(size - 1, k + band); c++) sum -= (row[c - k + band] ?? 0) * (solution[c] ?? 0);
    solution[k] = sum / (row[band] ?? 0);
  }
  return Float64Array.from({ length: m }, (_, o) => {
    if (openOutputs.some(({ line, segment }) => line === o && segment === n - 1)) return 0;
    return (solution[node(n - 1, o, 1)] ?? 0) / (outputSegmentOhm + outputTerminalOhm);
  });
}

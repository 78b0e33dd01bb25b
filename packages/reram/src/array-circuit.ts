/** The cells of a mapping as a circuit: conductances by level, in the place where they stand. */

import type { CrossbarCircuit } from './circuit-check.ts';
import { checkReal } from './errors.ts';
import type { Mapping } from './mapping.ts';

/** Of the wires and cells of an array. */
export interface ArrayWires {
  /** Of the piece of wire from one cell to the next, along word lines and bit lines. */
  readonly wireOhm: number;
  /** Of a cell at its top level; the lowest level follows from the device's on/off ratio. */
  readonly cellOhm: number;
}

/**
 * The first array of a mapping (positive weights, first block of word lines) for {@link circuitSolver}; slices of one weight
 * are neighbours.
 * @returns conductances are [columns, word lines]
 */
export function arrayCircuit(mapping: Mapping, { wireOhm, cellOhm }: ArrayWires): CrossbarCircuit {
  const { crossbar, levels, rowBlocks, outputBlocks, slices, filters, wordLines, topLevel } = mapping;
  checkReal('GRIM_RERAM_BAD_CIRCUIT', 'arrayCircuit: wireOhm', wireOhm, 0, 1e12);
  checkReal('GRIM_RERAM_BAD_CIRCUIT', 'arrayCircuit: cellOhm', cellOhm, 1e-12, 1e15);
  const inputs = rowBlocks[1] ?? 0;
  const columns = (outputBlocks[1] ?? 0) * slices;
  const lowest = 1 / crossbar.device.onOffRatio;
  const conductanceS = new Float64Array(inputs * columns);
  for (let column = 0; column < columns; column++) {
    const [filter, slice] = [Math.floor(column / slices), column % slices];
    for (let i = 0; i < inputs; i++) {
      const level = (levels[(slice * filters.length + filter) * wordLines.length + i] ?? 0) / topLevel;
      conductanceS[column * inputs + i] = (lowest + (1 - lowest) * level) / cellOhm;
    }
  }
  return { inputs, outputs: columns, conductanceS, inputSegmentOhm: wireOhm, outputSegmentOhm: wireOhm };
}

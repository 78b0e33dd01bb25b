/**
 * From wanted levels to the conductances that stand in the array: programming error, spread and drift over time, cells
 * that are stuck. Every number is drawn by (seed, layer, stream, cell), so one cell's fate depends on no other's.
 *
 * Conductances leave here in level units: v = G·L / (1 − Gmin), L the top level. A perfect cell of level n has
 * v = n + offset, offset = Gmin·L / (1 − Gmin), so that sums of an infinite on/off ratio are integers, exactly.
 */
import { effectiveSeconds, isNoiseless, lowestConductance, programmingSigma } from './device.ts';
import { checkInteger, checkReal, fail } from './errors.ts';
import type { Mapping } from './mapping.ts';
import { type RandomStream, randomStream, STREAMS } from './random.ts';

export interface ProgramOptions {
  /** Default 1. */
  readonly seed?: number;
  /** Keeps the draws of several layers apart. Default 0. */
  readonly layer?: number;
  /** Age of the array. Default: as programmed, without drift or retention. */
  readonly seconds?: number;
  /** Explicit faults, laid out as `Mapping.levels`: −1 stuck at HRS, +1 stuck at LRS, 0 healthy. Beside the device's rates. */
  readonly stuck?: Int8Array;
}

/** A mapping with the conductances that its cells really have. */
export interface Programmed {
  readonly mapping: Mapping;
  /** Level units, laid out as `Mapping.levels`. */
  readonly cells: Float64Array;
  /** The levels that cells stand at, faults included, when nothing else moved them: then currents are known integers. */
  readonly exactLevels: Uint8Array | undefined;
  /** What a cell of level 0 conducts, level units. */
  readonly offset: number;
  /** Cells of the unit column and of the HRS column by word line, where the crossbar has one. */
  readonly unit: Float64Array | undefined;
  readonly hrs: Float64Array | undefined;
  /** Cells whose drawn conductance is below zero. They are not clipped, as that would bias the mean: lower the sigma. */
  readonly negative: number;
  readonly stuckCells: number;
  readonly seed: number;
  readonly layer: number;
}

/** @throws {GrimError} GRIM_RERAM_BAD_DEVICE for a fault map of another size or an age that is no time */
export function program(mapping: Mapping, options: ProgramOptions = {}): Programmed {
  const { seed = 1, layer = 0, seconds = 0, stuck } = options;
  const { crossbar, levels, topLevel } = mapping;
  const { device } = crossbar;
  checkInteger('GRIM_RERAM_BAD_DEVICE', 'program: seed', seed, 0, Number.MAX_SAFE_INTEGER);
  checkReal('GRIM_RERAM_BAD_DEVICE', 'program: seconds', seconds, 0, 1e12);
  if (stuck && stuck.length !== levels.length)
    fail(
      'GRIM_RERAM_BAD_DEVICE',
      `program: the fault map has ${stuck.length} codes, the mapping ${levels.length} cells.`,
    );
  const gmin = lowestConductance(device);
  const unitsPerG = topLevel / (1 - gmin);
  const offset = gmin * unitsPerG;
  const lines = mapping.wordLines.length;
  const beside = (level: number, first: number, wanted: boolean | undefined) =>
    wanted ? settle(new Uint8Array(lines).fill(level), STREAMS.auxiliary, first, undefined).cells : undefined;

  const main = settle(levels, 0, 0, stuck);
  const moved = device.programming || (seconds > 0 && (device.drift || device.retention));
  const exactLevels = moved || !(levels instanceof Uint8Array) ? undefined : levels;
  return {
    mapping,
    ...main,
    exactLevels:
      exactLevels && main.stuckCells > 0 ? Uint8Array.from(main.cells, (v) => Math.round(v - offset)) : exactLevels,
    offset,
    unit: beside(1, 0, crossbar.storage === 'offset' && crossbar.inputSum === 'unit-column'),
    hrs: beside(0, lines, crossbar.hrsColumn),
    seed,
    layer,
  };

  /** `shift` moves the streams of the extra columns away from those of the weights. */
  function settle(wanted: ArrayLike<number>, shift: number, first: number, faults: Int8Array | undefined) {
    const cells = Float64Array.from(wanted, (level) => level + offset);
    if (isNoiseless(device) && !faults) return { cells, negative: 0, stuckCells: 0 };
    const stream = (id: number): RandomStream => randomStream(seed, id + 16 * shift, layer);
    const draws = {
      programming: stream(STREAMS.programming),
      drift: stream(STREAMS.drift),
      retention: stream(STREAMS.retention),
      stuck: stream(STREAMS.stuck),
    };
    const { programming, drift, retention, stuckHrs = 0, stuckLrs = 0 } = device;
    const age = effectiveSeconds(device, seconds);
    const reference = drift?.referenceSeconds ?? 1;
    const decades = Math.log10(1 + age / reference);
    let negative = 0;
    let stuckCells = 0;
    for (let i = 0; i < cells.length; i++) {
      const index = first + i;
      let g = (cells[i] ?? 0) / unitsPerG;
      if (programming) {
        const sigma = programmingSigma(programming, g);
        const error = sigma === 0 ? 0 : sigma * draws.programming.normal(index);
        g = programming.kind === 'lognormal' ? g * Math.exp(error) : g + error;
      }
      if (retention?.sigmaPerDecade && age > 0) g += retention.sigmaPerDecade * decades * draws.retention.normal(index);
      if (drift && age > 0) {
        const exponent = drift.exponent + (drift.sigma ? drift.sigma * draws.drift.normal(index) : 0);
        g *= Math.max(age / reference, Number.MIN_VALUE) ** -exponent;
      }
      let fault = faults?.[i] ?? 0;
      if (fault === 0 && stuckHrs + stuckLrs > 0) {
        const uniform = draws.stuck.uniform(index);
        fault = uniform < stuckHrs ? -1 : uniform < stuckHrs + stuckLrs ? 1 : 0;
      }
      if (fault !== 0) {
        g = fault < 0 ? gmin : 1;
        stuckCells++;
      }
      if (g < 0) negative++;
      // A cell that nothing changed keeps its exact value.
      const value = fault < 0 ? offset : fault > 0 ? topLevel + offset : g * unitsPerG;
      if (fault !== 0 || programming || (age > 0 && (drift || retention))) cells[i] = value;
    }
    return { cells, negative, stuckCells };
  }
}

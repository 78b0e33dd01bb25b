/** What a crossbar circuit may be: the description, its limits, and the parts of it that no current can reach. */
import { GrimError } from '@grim/ir';
import { type LadderLayout, OPEN_OHM } from './circuit-ladder.ts';

/** A break in a wire: the segment on the terminal side of cell `segment` of wire `line` conducts nothing. */
export interface OpenSegment {
  readonly line: number;
  readonly segment: number;
}

/**
 * A crossbar of linear cells. Resistances in ohm: 0 is an ideal wire, `Infinity` an open one. A short between two wires
 * is a cell of that conductance, a stuck cell one of its stuck conductance; faults act on `conductanceS`.
 */
export interface CrossbarCircuit {
  readonly inputs: number;
  readonly outputs: number;
  /** Conductance of each cell, siemens, 0 or 1e-30 to 1 (100 microsiemens is 1e-4); [outputs, inputs]. */
  readonly conductanceS: ArrayLike<number>;
  /** Resistance of an input wire from one cell to the next, and from the terminal to the first. */
  readonly inputSegmentOhm: number;
  readonly outputSegmentOhm: number;
  /** In series with the first segment of every input wire: driver and contact; default 0. */
  readonly inputTerminalOhm?: number;
  /** In series with the last segment of every output wire; default 0. */
  readonly outputTerminalOhm?: number;
  readonly openInputs?: readonly OpenSegment[];
  readonly openOutputs?: readonly OpenSegment[];
}

/** A checked circuit, laid out for the ladders; cells without a path to any terminal conduct nothing. */
export interface CircuitGrid {
  readonly inputs: number;
  readonly outputs: number;
  /** As given. */
  readonly given: Float64Array;
  /** As given, 0 where the cell floats. */
  readonly conductanceS: Float64Array;
  /** 1 where neither end of a cell reaches a terminal, if there is any such cell. */
  readonly floating: Uint8Array | undefined;
  readonly inputLayout: LadderLayout;
  readonly outputLayout: LadderLayout;
  readonly inputOhm: Float64Array;
  readonly outputOhm: Float64Array;
  /** Estimate of the memory that grid and iterative solver take. */
  readonly bytes: number;
}

/** A cell or short of less than 1 ohm does not occur; a conductance above is one given in micro- or millisiemens. */
const MAX_CELL_S = 1;
const MIN_CELL_S = 1e-30;
const MIN_WIRE_OHM = 1e-30;
const MAX_WIRE_OHM = 1e15;
/** Arrays of one number per cell in the grid, both ladders, the work space and a solution. */
const ARRAYS_PER_CELL = 24;

export function circuitGrid(circuit: CrossbarCircuit, maxBytes: number): CircuitGrid {
  const { inputs, outputs, conductanceS } = circuit;
  needCount('inputs', inputs);
  needCount('outputs', outputs);
  needFinite('maxBytes', maxBytes, 0, Number.MAX_SAFE_INTEGER);
  const cells = inputs * outputs;
  const bytes = 8 * ARRAYS_PER_CELL * cells;
  if (bytes > maxBytes) {
    throw new GrimError(
      'GRIM_RERAM_TOO_LARGE',
      `circuit: ${inputs} inputs x ${outputs} outputs need about ${bytes} bytes, ${maxBytes} are allowed. ` +
        'Cut the matrix into arrays, or raise maxBytes.',
      { inputs, outputs, needed: bytes, maxBytes },
    );
  }
  if (conductanceS.length !== cells) {
    throw bad(`conductanceS has ${conductanceS.length} values, ${inputs} inputs x ${outputs} outputs need ${cells}`, {
      found: conductanceS.length,
      needed: cells,
    });
  }
  const given = new Float64Array(cells);
  for (let at = 0; at < cells; at++) {
    const g = conductanceS[at] as number;
    if (!(g === 0 || (g >= MIN_CELL_S && g <= MAX_CELL_S))) {
      const place = `conductanceS[${Math.floor(at / inputs)}, ${at % inputs}]`;
      throw bad(
        `${place} is ${g}, a cell has 0, or ${MIN_CELL_S} to ${MAX_CELL_S} siemens (100 microsiemens is 1e-4)`,
        {
          output: Math.floor(at / inputs),
          input: at % inputs,
          found: g,
          needed: MAX_CELL_S,
        },
      );
    }
    given[at] = g;
  }
  const inputLayout = { steps: outputs, wires: inputs, stepStride: inputs, wireStride: 1, origin: 0 };
  const outputLayout = { steps: inputs, wires: outputs, stepStride: -1, wireStride: inputs, origin: inputs - 1 };
  const segment = {
    input: needOhm('inputSegmentOhm', circuit.inputSegmentOhm),
    output: needOhm('outputSegmentOhm', circuit.outputSegmentOhm),
  };
  const terminal = {
    input: needOhm('inputTerminalOhm', circuit.inputTerminalOhm ?? 0),
    output: needOhm('outputTerminalOhm', circuit.outputTerminalOhm ?? 0),
  };
  const inputOhm = links(inputLayout, segment.input, terminal.input);
  const outputOhm = links(outputLayout, segment.output, terminal.output);
  for (const { line, segment: s } of circuit.openInputs ?? []) {
    needIndex('openInputs: line', line, inputs);
    needIndex('openInputs: segment', s, outputs);
    inputOhm[s * inputs + line] = OPEN_OHM;
  }
  for (const { line, segment: s } of circuit.openOutputs ?? []) {
    needIndex('openOutputs: line', line, outputs);
    needIndex('openOutputs: segment', s, inputs);
    outputOhm[line * inputs + s] = OPEN_OHM;
  }
  const floating = floatingCells(given, inputLayout, inputOhm, outputLayout, outputOhm);
  const reached = floating === undefined ? given : given.map((g, at) => (floating[at] ? 0 : g));
  return {
    inputs,
    outputs,
    given,
    conductanceS: reached,
    floating,
    inputLayout,
    outputLayout,
    inputOhm,
    outputOhm,
    bytes,
  };
}

function links(layout: LadderLayout, segmentOhm: number, terminalOhm: number): Float64Array {
  const ohm = new Float64Array(layout.steps * layout.wires).fill(Math.min(segmentOhm, OPEN_OHM));
  const first = Math.min(segmentOhm + terminalOhm, OPEN_OHM);
  for (let w = 0; w < layout.wires; w++) ohm[layout.origin + w * layout.wireStride] = first;
  return ohm;
}

/** Breadth first from the terminals over closed links and conducting cells; `undefined` when nothing is open. */
function floatingCells(
  conductanceS: Float64Array,
  inputLayout: LadderLayout,
  inputOhm: Float64Array,
  outputLayout: LadderLayout,
  outputOhm: Float64Array,
): Uint8Array | undefined {
  const cells = conductanceS.length;
  if (!inputOhm.includes(OPEN_OHM) && !outputOhm.includes(OPEN_OHM)) return undefined;
  // Node at < cells lies on an input wire, at + cells on the output wire of the same cell.
  const seen = new Uint8Array(2 * cells);
  const queue = new Uint32Array(2 * cells);
  let filled = 0;
  const reach = (node: number) => {
    if (seen[node]) return;
    seen[node] = 1;
    queue[filled++] = node;
  };
  const sides = [
    { layout: inputLayout, ohm: inputOhm, offset: 0 },
    { layout: outputLayout, ohm: outputOhm, offset: cells },
  ] as const;
  for (const { layout, ohm, offset } of sides) {
    for (let w = 0; w < layout.wires; w++) {
      const first = layout.origin + w * layout.wireStride;
      if (ohm[first] !== OPEN_OHM) reach(first + offset);
    }
  }
  for (let done = 0; done < filled; done++) {
    const node = queue[done] as number;
    const { layout, ohm, offset } = node < cells ? sides[0] : sides[1];
    const at = node - offset;
    if (conductanceS[at] !== 0) reach(node < cells ? node + cells : at);
    const step =
      layout.stepStride < 0 ? layout.origin - (at % layout.wireStride) : Math.floor(at / Math.abs(layout.stepStride));
    if (step > 0 && ohm[at] !== OPEN_OHM) reach(at - layout.stepStride + offset);
    if (step + 1 < layout.steps && ohm[at + layout.stepStride] !== OPEN_OHM) reach(at + layout.stepStride + offset);
  }
  const floating = new Uint8Array(cells);
  let any = false;
  for (let at = 0; at < cells; at++) {
    // A cell that conducts has both ends in one component; one that does not carries no current either way.
    if (seen[at] || seen[at + cells]) continue;
    floating[at] = 1;
    any = true;
  }
  return any ? floating : undefined;
}

/** Checks the voltages; returns the largest magnitude. */
export function largestVoltage(voltages: ArrayLike<number>, inputs: number): number {
  if (voltages.length !== inputs) {
    throw bad(`${voltages.length} input voltages, the crossbar has ${inputs} inputs`, {
      found: voltages.length,
      needed: inputs,
    });
  }
  let peak = 0;
  for (let i = 0; i < inputs; i++) {
    const volts = voltages[i] as number;
    needFinite(`inputVoltagesV[${i}]`, volts, -1e6, 1e6);
    peak = Math.max(peak, Math.abs(volts));
  }
  return peak;
}

/** @throws {GrimError} GRIM_RERAM_BAD_CIRCUIT */
export function needFinite(name: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most))
    throw bad(`${name} is ${value}, needed is ${least} to ${most}`, { name, found: value, least, most });
}

function needCount(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw bad(`${name} is ${value}, needed is a whole number of at least 1`, { name, found: value, needed: 1 });
  }
}

function needIndex(name: string, value: number, count: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value >= count) {
    throw bad(`${name} is ${value}, needed is 0 to ${count - 1}`, { name, found: value, needed: count - 1 });
  }
}

function needOhm(name: string, value: number): number {
  if (value === 0 || value === Number.POSITIVE_INFINITY || (value >= MIN_WIRE_OHM && value <= MAX_WIRE_OHM))
    return value;
  throw bad(`${name} is ${value} ohm, needed is 0, ${MIN_WIRE_OHM} to ${MAX_WIRE_OHM}, or Infinity for an open wire`, {
    name,
    found: value,
    needed: [0, MIN_WIRE_OHM, MAX_WIRE_OHM],
  });
}

function bad(what: string, details: Readonly<Record<string, unknown>>): GrimError {
  return new GrimError('GRIM_RERAM_BAD_CIRCUIT', `circuit: ${what}.`, details);
}

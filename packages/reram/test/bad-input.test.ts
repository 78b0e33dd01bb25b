/** Every exported function, given what it cannot take: one GrimError with a code of this package that names what was found. */
import { GrimError, graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import * as reram from '../src/index.ts';
import { crossbar } from './arrays.ts';

const { NaN: nan } = Number;
const real = (rows: number, cols: number, data = new Float64Array(rows * cols).fill(1)) => ({ rows, cols, data });
const whole = (rows: number, cols: number, data = new Int32Array(rows * cols).fill(1)) => ({ rows, cols, data });
const bar = crossbar();
const mapping = reram.mapMatrix(whole(2, 3), bar);
const certificate = reram.certify(mapping);
const hardware = reram.HARDWARE.get('isaac-ce') as reram.HardwareDesign;
const circuit: reram.CrossbarCircuit = {
  ...{ inputs: 2, outputs: 2, conductanceS: [1e-4, 1e-4, 1e-4, 1e-4] },
  ...{ inputSegmentOhm: 1, outputSegmentOhm: 1 },
} as reram.CrossbarCircuit;
const small = graph('small', (b) => {
  const x = b.input('x', 'float32', [1, 3]);
  const w = b.weight('w', { dtype: 'float32', shape: [3, 2], data: new Float32Array(6).fill(1) });
  b.output('y', b.add('MatMul', [x, w]));
});
const broken = graph('broken', (b) => {
  const x = b.input('x', 'float32', [1, 3]);
  const w = b.weight('w', { dtype: 'float32', shape: [3, 2], data: new Float32Array(6).fill(nan) });
  b.output('y', b.add('MatMul', [x, w]));
});
const feed = { x: { dtype: 'float32' as const, shape: [1, 3], data: new Float32Array(3).fill(1) } };
const network = reram.quantiseNetwork(small, [feed]);
const summary: reram.MappingSummary = reram.mapNetwork(network, bar, reram.vectorCounts(network, feed), 8).summary;
const space: reram.DesignSpace = {
  ...{ nonZeros: [undefined], rows: [128], cols: [128], cellBits: [2], adcBits: [8], storage: ['offset'] },
} as unknown as reram.DesignSpace;
const exploreOptions = {
  ...{ crossbar: bar, design: hardware, calibration: [feed], graphOf: () => small, accuracyOf: async () => 1 },
} as unknown as reram.ExploreOptions;
const state = reram.admmStart(4, 1);
const as = <T>(value: unknown): T => value as T;

const calls: readonly (readonly [name: string, call: () => unknown])[] = [
  ['adcBits of no law', () => reram.adcBits(mapping, as('none'))],
  ['adcBitsForExact(NaN)', () => reram.adcBitsForExact(nan, 2, 1)],
  ['adcBitsForExact(-1)', () => reram.adcBitsForExact(-1, 2, 1)],
  ['adcCost of 0 bits', () => reram.adcCost('isaac-split', 0)],
  ['adcCost of 33 bits', () => reram.adcCost('isaac-split', 33)],
  ['adcCost of no law', () => reram.adcCost(as('none'), 8)],
  ['admmStart(NaN)', () => reram.admmStart(nan, 1)],
  ['admmStart without sets', () => reram.admmStart(4, 0)],
  ['admmStep with rho 0', () => reram.admmStep(state, 0, (t) => t, [(w) => w])],
  ['admmStep with rho NaN', () => reram.admmStep(state, nan, (t) => t, [(w) => w])],
  ['admmStep with other sets', () => reram.admmStep(state, 1, (t) => t, [])],
  [
    'admmStep whose minimiser returns another length',
    () => reram.admmStep(state, 1, () => new Float64Array(3), [(w) => w]),
  ],
  [
    'adversarialInput of another column',
    () => reram.adversarialInput(certificate, { ...as<reram.CertifiedColumn>(certificate.columns[0]), rowBlock: 9 }),
  ],
  ['allocateAdcBits with a budget of NaN', () => reram.allocateAdcBits([[{ bits: 4, loss: 1, price: 1 }]], nan)],
  ['allocateAdcBits without choices', () => reram.allocateAdcBits([[]], 1)],
  [
    'applyStructured beyond the matrix',
    () => reram.applyStructured(real(2, 2), { filters: Uint32Array.of(5), inputs: Uint32Array.of(0) }),
  ],
  ['approximateCircuit of another length', () => reram.approximateCircuit(circuit, [0.1], [[0.1, 0.1]])],
  [
    'arrayCircuit of wires of NaN',
    () => reram.solveCircuit(reram.arrayCircuit(mapping, as({ wireOhm: nan, cellOhm: 1e4 })), [1, 1, 1]),
  ],
  ['arrayCircuit of cells of 0 ohm', () => reram.arrayCircuit(mapping, as({ wireOhm: 1, cellOhm: 0 }))],
  ['calibrate without samples', () => reram.calibrate(mapping, [])],
  ['calibrate with samples of another length', () => reram.calibrate(mapping, [1, 2])],
  ['calibrate with a coverage of NaN', () => reram.calibrate(mapping, [1, 2, 3], { coverage: nan })],
  ['certify with 33 bits', () => reram.certify(mapping, { adcBits: 33 })],
  ['certify with NaN bits', () => reram.certify(mapping, { adcBits: nan })],
  ['certifyNetwork with NaN bits', () => reram.certifyNetwork(network, bar, nan)],
  ['checkCertificate of null', () => reram.checkCertificate(whole(2, 3), as(null))],
  ['checkNetworkCertificate of a list', () => reram.checkNetworkCertificate([])],
  ['chipCost of a table of NaN', () => reram.chipCost({ ...reram.ISAAC_CE, tiles: nan })],
  ['circuitSolver of 0 inputs', () => reram.circuitSolver(as({ ...circuit, inputs: 0, conductanceS: [] }))],
  ['circuitSolver of a negative conductance', () => reram.circuitSolver({ ...circuit, conductanceS: [1, -1, 1, 1] })],
  ['solveCircuit with a voltage of NaN', () => reram.solveCircuit(circuit, [nan, 1])],
  ['solveCircuit with one voltage too few', () => reram.solveCircuit(circuit, [1])],
  ['columnNonZeros of blocks of 0', () => reram.columnNonZeros(real(2, 2), 0)],
  ['columnNonZeros of another length', () => reram.columnNonZeros(real(2, 2, new Float64Array(3)), 2)],
  ['converter of 0 bits', () => reram.converter(as({ model: 'uniform', bits: 0, range: 'max' }), [0, 1])],
  ['converter of 33 bits', () => reram.converter(as({ model: 'uniform', bits: 33, range: 'max' }), [0, 1])],
  [
    'converter of limits that are no range',
    () => reram.converter(as({ model: 'uniform', bits: 8, range: 'max' }), [1, 1]),
  ],
  ['converter of limits of NaN', () => reram.converter(as({ model: 'uniform', bits: 8, range: 'max' }), [nan, 1])],
  ['converter of no model', () => reram.converter(as({ model: 'none', bits: 8, range: 'max' }), [0, 1])],
  ['crossbarMask of blocks of 0', () => reram.crossbarMask(real(2, 2), { crossbarRows: 0, maxNonZeros: 1 })],
  ['crossbarMask of NaN non-zeros', () => reram.crossbarMask(real(2, 2), { crossbarRows: 2, maxNonZeros: nan })],
  ['designOf of a table of NaN', () => reram.designOf({ ...reram.ISAAC_CE, cycleNs: nan })],
  ['designPoints of an empty list', () => reram.designPoints({ ...space, adcBits: [] })],
  ['drawFaults with a share of NaN', () => reram.drawFaults(mapping, { stuckHrs: nan, stuckLrs: 0 })],
  ['duplicateLayers with NaN arrays', () => reram.duplicateLayers(summary, nan)],
  ['explore of an empty space', () => reram.explore({ ...space, adcBits: [] }, exploreOptions)],
  ['explore with 33 bits', () => reram.explore({ ...space, adcBits: [33] }, exploreOptions)],
  ['fitColumns of biased storage', () => reram.fitColumns(real(2, 3), { ...bar, storage: 'offset' }, 4)],
  ['fitColumns of another length', () => reram.fitColumns(real(2, 3, new Float64Array(5)), bar, 4)],
  ['fitColumns with a scale of NaN', () => reram.fitColumns(real(2, 3), bar, 4, { scales: [nan] })],
  ['fitColumns without scales', () => reram.fitColumns(real(2, 3), bar, 4, { scales: [] })],
  ['inputSlices of 0 bits', () => reram.inputSlices(0, 1, 'unsigned')],
  ['inputSlices of DACs of NaN bits', () => reram.inputSlices(8, nan, 'unsigned')],
  ['isaacAdcBits of 0 rows', () => reram.isaacAdcBits(0, 2, 1)],
  ['largestColumnSum of cells of 0 bits', () => reram.largestColumnSum(1, 0, 1)],
  [
    'layerMapping with NaN positions',
    () => reram.networkCost({ ...summary, layers: [reram.layerMapping(mapping, { name: 'a', positions: nan })] }),
  ],
  ['mapMatrix of 0 rows', () => reram.mapMatrix(whole(0, 3), bar)],
  ['mapMatrix of another length', () => reram.mapMatrix(whole(2, 3, new Int32Array(5)), bar)],
  ['mapMatrix of an array of 0 rows', () => reram.mapMatrix(whole(2, 3), { ...bar, rows: 0 })],
  ['mapMatrix of weights out of range', () => reram.mapMatrix(whole(1, 1, Int32Array.of(300)), bar)],
  ['mapMatrix of more cell bits than weight bits', () => reram.mapMatrix(whole(1, 1), { ...bar, cellBits: 9 })],
  [
    'mapMatrix of 100k×100k',
    () => reram.mapMatrix({ rows: 100_000, cols: 100_000, data: as<Int32Array>({ length: 1e10 }) }, bar),
  ],
  ['mapSingleCell of NaN', () => reram.mapSingleCell(as(real(1, 1, Float64Array.of(nan))), as({}))],
  [
    'mapNetwork of converters of NaN bits',
    () => reram.networkCost(reram.mapNetwork(network, bar, reram.vectorCounts(network, feed), nan).summary),
  ],
  [
    'mixConverters without bits',
    () =>
      reram.mixConverters(network, reram.PRESETS['isaac-8bit'], [feed], { bits: [], budget: 0.9, design: hardware }),
  ],
  [
    'mixConverters with a budget of NaN',
    () =>
      reram.mixConverters(network, reram.PRESETS['isaac-8bit'], [feed], { bits: [8], budget: nan, design: hardware }),
  ],
  [
    'mixConverters without examples',
    () => reram.mixConverters(network, reram.PRESETS['isaac-8bit'], [], { bits: [8], budget: 1, design: hardware }),
  ],
  ['multiply of another length', () => reram.multiply(mapping, [1, 2])],
  ['multiply of inputs out of range', () => reram.multiply(mapping, [256, 0, 0])],
  ['multiply of NaN', () => reram.multiply(mapping, [nan, 0, 0])],
  ['networkCost of no layers', () => reram.networkCost({ ...summary, layers: [] })],
  ['nonZerosForBits of 33', () => reram.nonZerosForBits(33, 2, 1)],
  ['partition of lines into blocks of 0', () => reram.partition(5, 0)],
  ['partition of NaN lines', () => reram.partition(nan, 4)],
  ['program with an age of NaN', () => reram.program(mapping, { seconds: nan })],
  [
    'program of a device of NaN',
    () => reram.program(reram.mapMatrix(whole(2, 3), { ...bar, device: { onOffRatio: nan } })),
  ],
  ['projectColumnProportional of blocks of 0', () => reram.projectColumnProportional(real(2, 2), 0, 1)],
  [
    'projectColumnProportional of another length',
    () => reram.projectColumnProportional(real(2, 2, new Float64Array(3)), 2, 1),
  ],
  ['projectQuantised of 1 bit', () => reram.projectQuantised(real(2, 2), 1)],
  ['quantise of NaN', () => reram.quantise(real(1, 1, Float64Array.of(nan)), 8)],
  ['quantise of 17 bits', () => reram.quantise(real(1, 1), 17)],
  ['quantiseNetwork of weights of NaN', () => reram.quantiseNetwork(broken, [feed])],
  ['quantiseNetwork of 0 bits', () => reram.quantiseNetwork(small, [feed], { weightBits: 0 })],
  ['quantiseNetwork of inputs of NaN bits', () => reram.quantiseNetwork(small, [feed], { inputBits: nan })],
  ['randomStream of a seed of NaN', () => reram.randomStream(nan, 0)],
  ['remap of another fault map', () => reram.remap(mapping, as({}))],
  ['simulate of an array of 0 rows', () => reram.simulate(small, feed, { ...bar, rows: 0 })],
  [
    'simulate with 33 bits',
    () => reram.simulate(small, feed, { ...bar, adc: { model: 'uniform', bits: 33, range: 'max' } }),
  ],
  [
    'simulateQuantised of a network of NaN',
    () => reram.simulateQuantised(network, [{ x: { ...feed.x, shape: [1, 4], data: new Float32Array(4) } }], bar),
  ],
  [
    'structuredChoice of shares of 0',
    () => reram.structuredChoice(real(2, 2), { inputs: 0, crossbarRows: 2, crossbarCols: 2, slices: 1 }),
  ],
  [
    'structuredChoice of slices of NaN',
    () => reram.structuredChoice(real(2, 2), { crossbarRows: 2, crossbarCols: 2, slices: nan }),
  ],
  [
    'vectorCounts of a feed of another shape',
    () => reram.vectorCounts(network, { x: { ...feed.x, shape: [1, 4], data: new Float32Array(4) } }),
  ],
];

describe('bad input', () => {
  it.for(calls)('%s is one sentence with a code', async ([, call]) => {
    let thrown: unknown;
    try {
      await call();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(GrimError);
    const { code, message } = thrown as GrimError;
    expect(code).toMatch(/^GRIM_[A-Z]+_[A-Z_]+$/);
    expect(message.length).toBeGreaterThan(15);
    expect(message.endsWith('.')).toBe(true);
  });
});

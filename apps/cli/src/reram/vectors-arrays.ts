/** Reference vectors of arrays: sliced weights, single cells, converters, explicit faults, wires. */
import {
  type Adc,
  type AdcRange,
  type Crossbar,
  circuitSolver,
  converter,
  type IntMatrix,
  type Limits,
  mapMatrix,
  mapSingleCell,
  multiply,
  program,
} from '@grim/reram';
import { type Fields, type Measured, type Table, worst } from './vectors-fields.ts';

/** One array, as large as it may be: the vectors know partitions only where they name them. */
const WHOLE = { rows: 2 ** 16, cols: 2 ** 16, dacBits: 1, signedInputs: 'sign-magnitude' } as const;

/** Bits of the magnitudes that a scale of 1 / (2^bits − 1) stands for; `fallback` for any other scale. */
function magnitudeBits(scale: number, fallback: number): number {
  const bits = Math.log2(1 / scale + 1);
  const whole = Math.round(bits);
  return Math.abs(bits - whole) < 1e-9 && whole >= 1 ? whole : fallback;
}

const weightBits = (fields: Fields): number => magnitudeBits(fields.number('weight_scale'), 7) + 1;
/** As the settings have it, or as the scale of the inputs says. */
function inputBits(fields: Fields, signed: boolean): number {
  const settings = fields.part('settings');
  if (settings.has('input_bits')) return settings.number('input_bits');
  return magnitudeBits(fields.number('input_scale'), signed ? 7 : 8) + (signed ? 1 : 0);
}

const integers = ({ rows, cols, data }: Table): IntMatrix => ({ rows, cols, data: Int32Array.from(data) });
const inputs = (fields: Fields) => Int32Array.from(fields.table('inputs_int').data);
const deviceOf = (settings: Fields) => ({ onOffRatio: settings.has('onoff') ? settings.number('onoff') : Infinity });

const CONVERTERS: Readonly<Record<string, Adc['model']>> = {
  QuantizerADC: 'uniform',
  SignMagnitudeADC: 'sign-magnitude',
  SarADC: 'sar',
  RampADC: 'ramp',
  PipelineADC: 'pipeline',
  CyclicADC: 'cyclic',
};

/** @throws {GrimError} GRIM_RERAM_BAD_VECTORS for a converter of another name */
function adcOf(settings: Fields, range: AdcRange): Adc {
  const name = settings.text('adc_model');
  const bits = settings.number('adc_bits', 0);
  if (name === 'IdealADC' || bits === 0) return { model: 'ideal' };
  const model = Object.hasOwn(CONVERTERS, name) ? CONVERTERS[name] : undefined;
  if (model === undefined) settings.refuse('adc_model', `IdealADC or one of ${Object.keys(CONVERTERS).join(', ')}`);
  return { model, bits, range } as Adc;
}

const perSlice = (settings: Fields): AdcRange =>
  settings.has('adc_limits') ? { slices: settings.limits('adc_limits') as readonly Limits[] } : 'max';

export function bitSliced(fields: Fields): Measured {
  const s = fields.part('settings');
  const differential = s.text('style') === 'differential';
  const crossbar: Crossbar = {
    ...WHOLE,
    cellBits: s.number('cell_bits'),
    weightSlices: s.number('slices'),
    ...{ weightBits: weightBits(fields), inputBits: inputBits(fields, s.text('input') === 'signed') },
    storage: differential ? 'differential' : 'offset',
    ...(differential && { subtract: s.text('subtract') === 'analog' ? 'analog' : 'digital' }),
    device: deviceOf(s),
    adc: adcOf(s, perSlice(s)),
  };
  const mapping = mapMatrix(integers(fields.table('weights_int')), crossbar);
  const y = multiply(mapping, inputs(fields), { signed: s.text('input') === 'signed' });
  const scale = fields.number('weight_scale') * fields.number('input_scale');
  return { error: worst(y, fields.table('expected').data, scale), tolerance: fields.number('tolerance_abs') };
}

export function singleCell(fields: Fields): Measured {
  const s = fields.part('settings');
  const offset = s.text('style') === 'offset';
  const signed = s.text('input') === 'signed';
  const serial = s.flag('bit_serial', false);
  const driven = converted(fields, signed);
  const cellBits = s.number('cell_bits');
  // The peer divides offset cells with steps by the wrong range: what its files expect needs its defect.
  const peer = offset && cellBits > 0;
  const crossbar: Crossbar = {
    ...WHOLE,
    ...{ weightBits: weightBits(fields), inputBits: driven.bits, cellBits },
    dacBits: serial ? s.number('input_slice_bits') : driven.bits - (signed ? 1 : 0),
    adcPerInputSlice: serial ? s.flag('adc_per_input_slice', true) : true,
    storage: offset ? 'offset' : 'differential',
    ...(!offset && { subtract: 'analog' }),
    device: deviceOf(s),
    adc: adcOf(
      s,
      s.has('adc_limits_per_array') ? { arrays: s.limits('adc_limits_per_array') as readonly Limits[] } : 'max',
    ),
    ...(peer && { compat: 'crosssim-3.2' }),
  };
  const partition = s.has('partition') ? s.part('partition') : undefined;
  const w = fields.table('weights_int');
  const scale = fields.number('weight_scale');
  const mapping = mapSingleCell({ ...w, data: w.data.map((value) => value * scale) }, crossbar, {
    pair: s.text('balanced_style', 'ONE_SIDED') === 'TWO_SIDED' ? 'two-sided' : 'one-sided',
    ...(partition && {
      inputsPerArray: Array.from(partition.list('inputs_per_array')),
      outputsPerArray: Array.from(partition.list('outputs_per_array')),
    }),
  });
  const y = multiply(mapping, driven.x, { signed });
  return {
    error: worst(y, fields.table('expected').data, driven.scale),
    tolerance: fields.number('tolerance_abs'),
    ...(peer && { note: "with compat: 'crosssim-3.2', whose gain error these files hold" }),
  };
}

function halfEven(value: number): number {
  const near = Math.round(value);
  return near - value === 0.5 && near % 2 !== 0 ? near - 1 : near;
}

/** What the DACs make of the inputs: fewer bits than these have round them, half to even. */
function converted(
  fields: Fields,
  signed: boolean,
): { readonly bits: number; readonly scale: number; readonly x: Int32Array } {
  const dac = fields.part('settings').number('dac_bits', 0);
  const bits = inputBits(fields, signed);
  const x = inputs(fields);
  const scale = fields.number('input_scale');
  if (dac === 0 || dac === bits) return { bits, scale, x };
  const high = 2 ** (dac - (signed ? 1 : 0)) - 1;
  return { bits: dac, scale: 1 / high, x: x.map((value) => halfEven(value * scale * high)) };
}

export function stuckCells(fields: Fields): Measured {
  const s = fields.part('settings');
  const signed = s.text('input', 'unsigned') === 'signed';
  const crossbar: Crossbar = {
    ...WHOLE,
    ...{ weightBits: weightBits(fields), inputBits: inputBits(fields, signed) },
    cellBits: s.number('cell_bits'),
    weightSlices: s.number('slices'),
    storage: 'differential',
    subtract: s.text('subtract', 'analog') === 'digital' ? 'digital' : 'analog',
    device: deviceOf(s),
    adc: adcOf(s, perSlice(s)),
  };
  const mapping = mapMatrix(integers(fields.table('weights_int')), crossbar);
  const slices = fields.part('stuck');
  // Files go by slice, then sign; levels by sign, then slice.
  const maps = [0, 1].flatMap((sign) =>
    slices.names().map((slice) => slices.tables(slice)[sign]?.data ?? new Float64Array()),
  );
  const stuck = Int8Array.from(maps.flatMap((map) => Array.from(map)));
  const y = multiply(program(mapping, { stuck }), inputs(fields), { signed });
  const scale = fields.number('weight_scale') * fields.number('input_scale');
  return { error: worst(y, fields.table('expected').data, scale), tolerance: fields.number('tolerance_abs') };
}

export function adcTransfer(fields: Fields): Measured {
  const s = fields.part('settings');
  const name = s.text('model');
  const model = Object.hasOwn(CONVERTERS, name) ? CONVERTERS[name] : undefined;
  const tolerance = fields.number('tolerance_abs');
  if (model === undefined) return { error: 0, tolerance, skipped: `no converter is called ${name}` };
  const [low, high] = [s.number('min'), s.number('max')];
  const adc = {
    model,
    bits: s.number('bits'),
    range: 'max',
    ...(s.has('gain_db') && { gainDb: s.number('gain_db') }),
    ...(s.has('split_cdac') && { splitCdac: s.flag('split_cdac') }),
    ...(s.has('symmetric_cdac') && { symmetricCdac: s.flag('symmetric_cdac') }),
  } as Adc;
  const convert = converter(adc, [low, high]);
  const wanted = fields.list('expected');
  const near = (high - low) * 1e-9;
  let error = 0;
  fields.list('inputs').forEach((input, i) => {
    const goal = wanted[i] ?? Number.NaN;
    // A sample that lies on a threshold may fall to either side of it.
    const own = [input, input - near, input + near].map((at) => Math.abs(convert(at, 0) - goal));
    error = Math.max(error, own.some(Number.isNaN) ? Infinity : Math.min(...own));
  });
  return { error, tolerance };
}

export function irDrop(fields: Fields): Measured {
  const s = fields.part('settings');
  const rMin = s.number('Rmin_ohm');
  const low = rMin / s.number('Rmax_ohm');
  const given = fields.has('conductance_S') ? fields.table('conductance_S') : undefined;
  const levels = given ?? fields.table('cell_levels');
  const solver = circuitSolver({
    inputs: levels.cols,
    outputs: levels.rows,
    conductanceS: given?.data ?? levels.data.map((level) => (low + ((1 - low) * level) / 3) / rMin),
    inputSegmentOhm: s.number('R_input_segment_ohm'),
    outputSegmentOhm: s.number('R_output_segment_ohm'),
    inputTerminalOhm: s.number('R_input_terminal_ohm', 0),
    outputTerminalOhm: s.number('R_output_terminal_ohm', 0),
  });
  const expected = fields.lists('expected_currents_A_nodal');
  const voltages = fields.has('cell_voltage_V_nodal') ? fields.tables('cell_voltage_V_nodal') : [];
  let error = 0;
  fields.lists('input_voltages_V').forEach((volts, k) => {
    const { currentsA, cellVoltageV } = solver.solve(volts);
    // Cells may stand at next to nothing: their errors are shares of the largest voltage driven.
    const drive = volts.reduce((most, volt) => Math.max(most, Math.abs(volt)), 0) || 1;
    const cells = voltages[k];
    if (cells) error = Math.max(error, worst(cellVoltageV, cells.data) / drive);
    const wanted = expected[k] ?? new Float64Array();
    if (wanted.length !== currentsA.length) error = Infinity;
    currentsA.forEach((amps, o) => {
      const goal = wanted[o] ?? Number.NaN;
      const relative = goal === 0 ? Math.abs(amps) : Math.abs(amps / goal - 1);
      error = Math.max(error, Number.isNaN(relative) ? Infinity : relative);
    });
  });
  return { error, tolerance: fields.number('tolerance_rel') };
}

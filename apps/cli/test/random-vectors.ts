/**
 * Reference vectors of other seeds, sizes and settings than the stored ones: arrays of one cell, sizes that no block divides,
 * uncommon bits. What they expect comes from the written definitions (`vector-definitions.ts`), not from the packages.
 */
import {
  convert,
  dot,
  type Limits,
  type Matrix,
  nodal,
  part,
  projected,
  singleCellMvm,
  slicedMvm,
  sum,
} from './vector-definitions.ts';

export type Case = Readonly<Record<string, unknown>>;

/** Numbers drawn by a small generator of its own (mulberry32). */
function drawing(seed: number): { readonly unit: () => number; readonly upTo: (low: number, high: number) => number } {
  let state = seed >>> 0;
  const unit = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { unit, upTo: (low, high) => low + Math.floor(unit() * (high - low + 1)) };
}

type Draw = ReturnType<typeof drawing>;
const pick = <T>(draw: Draw, list: readonly T[]): T => list[draw.upTo(0, list.length - 1)] as T;
const grid = (rows: number, cols: number, value: () => number): Matrix =>
  Array.from({ length: rows }, () => Array.from({ length: cols }, value));
const smallSize = (draw: Draw, most: number): number => (draw.unit() < 0.15 ? 1 : draw.upTo(1, most));
const bitsFor = (high: number): number => Math.ceil(Math.log2(high + 1));

/** As `attempt`, again until no conversion hangs on the last digits. */
function settled<T>(attempt: () => T): T {
  for (let tries = 0; tries < 1000; tries++)
    try {
      return attempt();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  throw new Error('1000 cases in a row have a conversion on a threshold');
}

const MAKERS: Readonly<Record<string, (draw: Draw) => Case>> = {
  ...{ sliced, single, stuck, transfer, wires, projection, admm, convolution, bits, noise },
};
export const FORMATS: readonly string[] = Object.keys(MAKERS);

/** `count` cases of one format, of `seed`. */
export function randomCases(format: string, seed: number, count: number): readonly Case[] {
  const draw = drawing(seed);
  return Array.from({ length: count }, (_, i) => {
    const made = settled(() => MAKERS[format]?.(draw) ?? {});
    return { id: `${format}-${seed}-${i}`, ...made };
  });
}

/** Weights, inputs and the scales that go with them. */
function operands(draw: Draw, signed: boolean, most: number, { inputBits = 8, weightBits = 8 } = {}) {
  const top = 2 ** (weightBits - 1) - 1;
  const [m, n, vectors] = [smallSize(draw, 7), smallSize(draw, most), draw.upTo(1, 3)];
  const high = 2 ** (inputBits - (signed ? 1 : 0)) - 1;
  return {
    weights_int: grid(m, n, () => (draw.unit() < 0.2 ? 0 : draw.upTo(-top, top))),
    inputs_int: grid(vectors, n, () => draw.upTo(signed ? -high : 0, high)),
    weight_scale: 1 / top,
    input_scale: 1 / high,
  };
}

function converterOf(draw: Draw, bipolar: boolean, inputs: number) {
  const adc_bits = pick(draw, [0, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13]);
  const adc_model = adc_bits === 0 ? 'IdealADC' : bipolar ? 'SignMagnitudeADC' : 'QuantizerADC';
  const limits = (): Limits => {
    const high = inputs * (0.13 + 0.9 * draw.unit());
    return [bipolar ? -high : 0, high];
  };
  return { adc_bits, adc_model, adc_range_option: 'CALIBRATED', limits };
}

function sliced(draw: Draw): Case {
  const differential = draw.unit() < 0.6;
  const subtract = differential ? pick(draw, ['analog', 'digital']) : null;
  const input = pick(draw, ['signed', 'unsigned']);
  const input_bits = pick(draw, [8, 8, 8, 4, 6, 2]);
  const weightBits = pick(draw, [8, 8, 8, 4, 11]);
  const cell_bits = pick(draw, [1, 2, 3, 4, ...(weightBits < 8 ? [] : [7, 8])]);
  const all = operands(draw, input === 'signed', 70, { inputBits: input_bits, weightBits });
  const { limits, ...adc } = converterOf(
    draw,
    subtract === 'analog' || input === 'signed',
    all.inputs_int[0]?.length ?? 1,
  );
  const slices = Math.ceil((weightBits - (differential ? 1 : 0)) / cell_bits) + (draw.unit() < 0.2 ? 1 : 0);
  const settings = {
    ...{ style: differential ? 'differential' : 'offset', cell_bits, slices, input, input_bits, ...adc },
    ...(differential && { subtract }),
    onoff: pick(draw, [null, 1.9, 5.3, 17.3, 211.7]),
    adc_limits: Array.from({ length: slices }, limits),
  };
  const expected = slicedMvm(settings, all.weights_int, all.inputs_int, undefined, 2 ** (weightBits - 1) - 1);
  return { kind: 'bitsliced_mvm', settings, ...all, expected, tolerance_abs: 2e-6 };
}

function single(draw: Draw): Case {
  const style = pick(draw, ['balanced', 'balanced', 'offset']);
  const input = pick(draw, ['signed', 'unsigned']);
  const all = operands(draw, input === 'signed', 45);
  const [m, n] = [all.weights_int.length, all.weights_int[0]?.length ?? 1];
  const parts = (length: number) => {
    const cut = draw.upTo(0, length - 1);
    return cut === 0 ? [length] : [cut, length - cut];
  };
  const partition =
    draw.unit() < 0.5
      ? { outputs_per_array: parts(m), inputs_per_array: parts(n) }
      : { outputs_per_array: [m], inputs_per_array: [n] };
  const arrays = partition.outputs_per_array.length * partition.inputs_per_array.length;
  const { limits, ...adc } = converterOf(draw, style === 'balanced' || input === 'signed', n);
  const bit_serial = draw.unit() < 0.6;
  const dac_bits = pick(draw, [0, 8, 8, 6]);
  const settings = {
    ...{ style, input, ...adc, bit_serial, input_slice_bits: bit_serial ? draw.upTo(1, 4) : 1 },
    ...(style === 'balanced' && { balanced_style: pick(draw, ['ONE_SIDED', 'TWO_SIDED']) }),
    adc_per_input_slice: bit_serial ? draw.unit() < 0.6 : true,
    adc_limits_per_array: adc.adc_bits === 0 ? null : Array.from({ length: arrays }, limits),
    onoff: pick(draw, [null, 2.3, 9.7, 120.1]),
    dac_bits,
    cell_bits: pick(draw, [0, 2, 3, 4, 5, 7]),
    ...{ rows_max: 0, cols_max: 0, partition: arrays > 1 || draw.unit() < 0.5 ? partition : null },
  };
  const expected = singleCellMvm(settings, all.weights_int, all.inputs_int);
  return { kind: 'single_cell_mvm', settings, ...all, expected, tolerance_abs: 2e-5 };
}

function stuck(draw: Draw): Case {
  const all = operands(draw, false, 40);
  const [m, n] = [all.weights_int.length, all.weights_int[0]?.length ?? 1];
  const cell_bits = pick(draw, [1, 2, 4, 3]);
  const slices = Math.ceil(7 / cell_bits) + (cell_bits === 2 ? 0 : draw.upTo(0, 1));
  const { limits, ...adc } = converterOf(draw, true, n);
  const settings = {
    ...{ cell_bits, slices, ...adc, onoff: pick(draw, [null, 3.1, 47.3]) },
    adc_limits: adc.adc_bits === 0 ? null : Array.from({ length: slices }, limits),
  };
  const faults = Array.from({ length: slices }, () =>
    [0, 1].map(() => grid(m, n, () => pick(draw, [0, 0, 0, 0, 1, -1]))),
  );
  const full = { ...settings, style: 'differential', subtract: 'analog', input: 'unsigned', input_bits: 8 };
  const expected = slicedMvm(full, all.weights_int, all.inputs_int, faults);
  return { kind: 'stuck_at_bitsliced_differential', settings, ...all, stuck: faults, expected, tolerance_abs: 2e-6 };
}

/** The converters whose curve is a closed form: the rounding ones, and at their ends 2^bits ideal mid-rise codes. */
function transfer(draw: Draw): Case {
  const model = pick(draw, ['QuantizerADC', 'SignMagnitudeADC', 'SarADC', 'RampADC', 'PipelineADC', 'CyclicADC']);
  const midRise = !['QuantizerADC', 'SignMagnitudeADC'].includes(model);
  const [bits, max] = [draw.upTo(2, 9), pick(draw, [0.7, 1, 3, 12.5])];
  const min = model === 'QuantizerADC' ? pick(draw, [0, 0, -max, max / 3]) : -max;
  const samples = draw.upTo(1, 60);
  const inputs = Array.from(
    { length: samples },
    (_, i) => min + ((max - min) * ((i + draw.unit()) / samples - 0.1)) / 0.8,
  );
  const codes = 2 ** bits;
  const expected = inputs.map((value) => {
    if (!midRise) return convert(value, model, bits, [min, max]);
    const position = ((value - min) / (max - min)) * codes;
    if (Math.abs(position - Math.round(position)) < 1e-6) throw new RangeError('on a threshold');
    const code = Math.min(Math.max(Math.floor(position), 0), codes - 1);
    return (2 * max * code) / codes - (max * (codes - 1)) / codes;
  });
  // Without a gain the amplifier is ideal.
  const settings = { model, bits, min, max, gain_db: null, ...(model === 'SarADC' && { split_cdac: false }) };
  return { kind: 'adc_transfer', settings, inputs, expected, tolerance_abs: 1e-9 };
}

function wires(draw: Draw): Case {
  const [m, n] = [smallSize(draw, 9), smallSize(draw, 9)];
  const Rmin_ohm = pick(draw, [1e3, 2e3, 1.3e4, 1e5]);
  const settings = {
    ...{ Rmin_ohm, Rmax_ohm: Rmin_ohm * pick(draw, [2, 37, 100]), Vread_volt: 0.2 },
    ...{ R_input_segment_ohm: pick(draw, [0.3, 1, 4.4]), R_output_segment_ohm: pick(draw, [0.7, 2, 11]) },
    ...{ R_input_terminal_ohm: pick(draw, [0, 7, 100]), R_output_terminal_ohm: pick(draw, [0, 3, 55]) },
  };
  const low = settings.Rmin_ohm / settings.Rmax_ohm;
  const levels = grid(m, n, () => draw.upTo(0, 3));
  const g = levels.map((row) => row.map((level) => (low + ((1 - low) * level) / 3) / Rmin_ohm));
  const input_voltages_V = grid(draw.upTo(1, 2), n, () => (draw.unit() < 0.1 ? 0 : 0.2 * (draw.unit() + 0.05)));
  const solved = input_voltages_V.map((volts) => nodal(g, volts, settings));
  return {
    ...{ kind: 'ir_drop', settings, input_voltages_V, tolerance_rel: 1e-7 },
    ...(draw.unit() < 0.5 ? { conductance_S: g } : { cell_levels: levels }),
    expected_currents_A_nodal: solved.map(({ amps }) => amps),
    ...(draw.unit() < 0.5 && { cell_voltage_V_nodal: solved.map(({ cells }) => cells) }),
  };
}

function projection(draw: Draw): Case {
  const [k, f] = [smallSize(draw, 50), smallSize(draw, 6)];
  const [crossbar_rows, nonzeros_per_crossbar_column] = [draw.upTo(1, 60), draw.upTo(1, 12)];
  // Few magnitudes, so that ties are common.
  const w = grid(k, f, () => (draw.unit() < 0.5 ? draw.upTo(-3, 3) : 2 * draw.unit() - 1));
  const expected = projected(w, crossbar_rows, nonzeros_per_crossbar_column);
  return {
    settings: { rows_total: k, filters: f, crossbar_rows, nonzeros_per_crossbar_column },
    ...{ matrix_rows_by_filters: w, expected, nonzeros: expected.flat().filter((value) => value !== 0).length },
  };
}

function admm(draw: Draw): Case {
  const [rows, k, f] = [draw.upTo(1, 30), smallSize(draw, 12), smallSize(draw, 3)];
  const [crossbar_rows, most] = [draw.upTo(1, 8), draw.upTo(1, 3)];
  const [rho, iterations] = [pick(draw, [0.5, 3, 20]), draw.upTo(1, 25)];
  const [A, B] = [grid(rows, k, () => 2 * draw.unit() - 1), grid(rows, f, () => 2 * draw.unit() - 1)];
  let z: Matrix = grid(k, f, () => 0);
  let [w, u] = [z, z];
  const loss = (x: Matrix) =>
    0.5 *
    sum(
      A.flatMap((row, r) =>
        Array.from(
          { length: f },
          (_, c) =>
            (dot(
              row,
              x.map((line) => line[c] ?? 0),
            ) -
              (B[r]?.[c] ?? 0)) **
            2,
        ),
      ),
    );
  const history = Array.from({ length: iterations }, (_, iteration) => {
    // (AᵀA + ρI) W = AᵀB + ρ (Z − U), by Gauss-Jordan.
    const system = Array.from({ length: k }, (_, i) => [
      ...Array.from({ length: k }, (_, j) => sum(A.map((row) => (row[i] ?? 0) * (row[j] ?? 0))) + (i === j ? rho : 0)),
      ...Array.from(
        { length: f },
        (_, c) =>
          sum(A.map((row, r) => (row[i] ?? 0) * (B[r]?.[c] ?? 0))) + rho * ((z[i]?.[c] ?? 0) - (u[i]?.[c] ?? 0)),
      ),
    ]);
    for (let p = 0; p < k; p++) {
      const pivot = system[p] as number[];
      const own = pivot[p] ?? 1;
      for (let c = 0; c < pivot.length; c++) pivot[c] = (pivot[c] ?? 0) / own;
      system.forEach((row, q) => {
        const factor = row[p] ?? 0;
        if (q !== p) for (let c = 0; c < row.length; c++) row[c] = (row[c] ?? 0) - factor * (pivot[c] ?? 0);
      });
    }
    w = system.map((row) => row.slice(k));
    z = projected(
      w.map((row, i) => row.map((value, c) => value + (u[i]?.[c] ?? 0))),
      crossbar_rows,
      most,
    );
    u = u.map((row, i) => row.map((value, c) => value + (w[i]?.[c] ?? 0) - (z[i]?.[c] ?? 0)));
    const primal_residual = Math.sqrt(
      sum(w.flatMap((row, i) => row.map((value, c) => (value - (z[i]?.[c] ?? 0)) ** 2))),
    );
    return { iteration: iteration + 1, primal_residual, loss_W: loss(w), loss_Z: loss(z) };
  });
  const settings = { rho, iterations, crossbar_rows, nonzeros_per_crossbar_column: most };
  return { settings, A, B, history, final_W: w, final_Z: z, tolerance_abs: 1e-8 };
}

function convolution(draw: Draw): Case {
  const [channels, filters, kernel] = [draw.upTo(1, 5), draw.upTo(1, 9), draw.upTo(1, 3)];
  const [height, width] = [kernel + draw.upTo(0, 3), kernel + draw.upTo(0, 4)];
  const [stride, pad] = [draw.upTo(1, 3), draw.upTo(0, 2)];
  const [cell_bits, slices] = pick(draw, [
    [2, 4],
    [1, 7],
    [4, 2],
    [3, 3],
    [1, 8],
  ] as const);
  const [crossbar_rows, most, input_bits] = [draw.upTo(1, 20), draw.upTo(1, 6), pick(draw, [8, 8, 4])];
  const crossbar_cols = slices * draw.upTo(1, 4);
  const k = channels * kernel * kernel;
  const dense = grid(k, filters, () => draw.upTo(-127, 127));
  const pruned = projected(dense, crossbar_rows, most);
  const image = Array.from({ length: channels }, () => grid(height, width, () => draw.upTo(0, 2 ** input_bits - 1)));
  const blocks = Math.ceil(k / crossbar_rows);
  const level = (w: number, sign: number, slice: number) => part(Math.max(0, sign * w), slice * cell_bits, cell_bits);
  const columns = (of: (rows: readonly number[], f: number) => number, block: number) =>
    Array.from({ length: filters }, (_, f) =>
      of(
        pruned.slice(block * crossbar_rows, (block + 1) * crossbar_rows).map((row) => row[f] ?? 0),
        f,
      ),
    );
  const per_block = Array.from({ length: blocks }, (_, row_block) => {
    const sums = Array.from({ length: slices }, (_, slice) =>
      Math.max(...[1, -1].flatMap((sign) => columns((rows) => sum(rows.map((w) => level(w, sign, slice))), row_block))),
    );
    const count = (keep: (w: number) => boolean) => Math.max(...columns((rows) => rows.filter(keep).length, row_block));
    return {
      ...{ row_block, max_column_sum_per_slice: sums, data_aware_bits_per_slice: sums.map(bitsFor) },
      max_nonzeros_in_a_column: count((w) => w !== 0),
      max_same_sign_nonzeros: Math.max(
        count((w) => w > 0),
        count((w) => w < 0),
      ),
    };
  });
  const patches: number[][] = [];
  for (let y = -pad; y + kernel <= height + pad; y += stride)
    for (let x = -pad; x + kernel <= width + pad; x += stride)
      patches.push(
        Array.from({ length: k }, (_, row) => {
          const [c, rest] = [Math.floor(row / kernel ** 2), row % kernel ** 2];
          return image[c]?.[y + Math.floor(rest / kernel)]?.[x + (rest % kernel)] ?? 0;
        }),
      );
  const across = Math.floor((width + 2 * pad - kernel) / stride) + 1;
  const planes = Array.from({ length: filters }, (_, f) => {
    const values = patches.map((patch) =>
      dot(
        patch,
        pruned.map((row) => row[f] ?? 0),
      ),
    );
    return Array.from({ length: values.length / across }, (_, y) => values.slice(y * across, (y + 1) * across));
  });
  let observed = 0;
  for (const patch of patches)
    for (let bit = 0; bit < input_bits; bit++)
      for (let block = 0; block < blocks; block++) {
        const on = patch.slice(block * crossbar_rows, (block + 1) * crossbar_rows).map((value) => part(value, bit, 1));
        for (const sign of [1, -1])
          for (let slice = 0; slice < slices; slice++)
            observed = Math.max(
              observed,
              ...columns((rows) => sum(rows.map((w, i) => level(w, sign, slice) * (on[i] ?? 0))), block),
            );
      }
  return {
    settings: {
      ...{ in_channels: channels, height, width, filters, kernel, stride, pad, crossbar_rows, crossbar_cols },
      ...{ cell_bits, slices, input_bits, nonzeros_per_crossbar_column: most },
    },
    ...{ weights_dense_int: dense, weights_pruned_int: pruned, input_uint8: image, expected_output_int: planes },
    ...{ row_blocks: blocks, column_blocks: Math.ceil((slices * filters) / crossbar_cols) },
    crossbars: 2 * blocks * Math.ceil((slices * filters) / crossbar_cols),
    ...{ worst_case_bits: bitsFor(most * (2 ** cell_bits - 1)), per_block, largest_observed_column_sum: observed },
    adc_conversions: patches.length * input_bits * 2 * blocks * slices * filters,
  };
}

function bits(draw: Draw): Case {
  const [rows, cell, dac] = [draw.upTo(1, 700), draw.upTo(1, 8), draw.upTo(1, 8)];
  const most = rows * (2 ** cell - 1) * (2 ** dac - 1);
  const isaac = Math.ceil(Math.log2(rows)) + cell + dac - (cell === 1 || dac === 1 ? 1 : 0);
  return {
    ...{ active_rows: rows, cell_bits: cell, dac_bits: dac, max_column_sum: most, exact_bits: bitsFor(most) },
    ...{ isaac_formula_bits: isaac, isaac_formula_with_encoding: isaac - 1 },
  };
}

function noise(draw: Draw): Case {
  const [m, n, sigma] = [smallSize(draw, 5), smallSize(draw, 20), pick(draw, [0.001, 0.03, 0.2])];
  const additive = draw.unit() < 0.5;
  const [gpos, gneg] = [grid(m, n, draw.unit), grid(m, n, draw.unit)];
  const x = Array.from({ length: n }, draw.unit() < 0.1 ? () => 0 : draw.unit);
  return {
    model: additive
      ? 'additive Gaussian per cell, sigma in units of Gmax, no clipping; I = (Gpos-Gneg) x'
      : 'multiplicative Gaussian per cell: G*(1+N(0,sigma)), no clipping; I = (Gpos-Gneg) x',
    ...{ sigma, gpos, gneg, x },
    mean: gpos.map((row, o) => sum(row.map((g, i) => (g - (gneg[o]?.[i] ?? 0)) * (x[i] ?? 0)))),
    std: gpos.map((row, o) =>
      Math.sqrt(sum(row.map((g, i) => (additive ? 2 : g * g + (gneg[o]?.[i] ?? 0) ** 2) * (sigma * (x[i] ?? 0)) ** 2))),
    ),
  };
}

/** A chip's component table with other counts, and everything it adds up to. */
export function randomChip(seed: number): Case {
  const draw = drawing(seed);
  const part = (name: string) => ({ name, power_mW: 40 * draw.unit(), area_mm2: 0.2 * draw.unit() });
  const size = { rows: pick(draw, [64, 128, 256]), cols: pick(draw, [64, 128]), cell_bits: pick(draw, [1, 2, 4]) };
  const p = {
    tile_components: [part('buffer'), { ...part('router'), share: 0.25 }, part('bus')],
    ima_components: [part('ADC 8b x5'), part('DAC'), part('crossbar')],
    ...{ imas_per_tile: draw.upTo(1, 16), tiles: draw.upTo(1, 300), crossbars_per_ima: draw.upTo(1, 12) },
    ...{ hypertransport: { power_W: 10 * draw.unit(), area_mm2: 20 * draw.unit() } },
    ...{ cycle_ns: pick(draw, [50, 100]), input_bits: pick(draw, [8, 16]), weight_bits: pick(draw, [8, 16]), ...size },
  };
  const scale = (bits: number, linear: number, power: number) =>
    (linear * bits + power * 2 ** bits) / (linear * 8 + power * 256);
  const at = (bits: number) => {
    const all = (
      list: readonly { power_mW: number; area_mm2: number; share?: number }[],
      of: 'power_mW' | 'area_mm2',
    ) => sum(list.map((one) => one[of] * (one.share ?? 1)));
    const [adc, ...rest] = p.ima_components;
    const adcMw = (adc?.power_mW ?? 0) * scale(bits, 0.19589, 0.000402);
    const adcMm2 = (adc?.area_mm2 ?? 0) * scale(bits, 81.726, 2.1336);
    const [imaMw, imaMm2] = [adcMw + all(rest, 'power_mW'), adcMm2 + all(rest, 'area_mm2')];
    const [overMw, overMm2] = [all(p.tile_components, 'power_mW'), all(p.tile_components, 'area_mm2')];
    const [tileMw, tileMm2] = [p.imas_per_tile * imaMw + overMw, p.imas_per_tile * imaMm2 + overMm2];
    const chipW = (p.tiles * tileMw) / 1e3 + p.hypertransport.power_W;
    const chipMm2 = p.tiles * tileMm2 + p.hypertransport.area_mm2;
    const weights = Math.floor(p.cols / Math.ceil(p.weight_bits / p.cell_bits));
    const array = (2 * p.rows * weights) / (p.input_bits * p.cycle_ns);
    const tile = array * p.crossbars_per_ima * p.imas_per_tile;
    return {
      ...{ adcMw, adcMm2, imaMw, imaMm2, overMw, overMm2, tileMw, tileMm2, chipW, chipMm2, array, tile },
      chip: tile * p.tiles,
    };
  };
  const base = at(8);
  const n = p.imas_per_tile;
  return {
    parameters: p,
    published: {},
    reconstructed: {
      ...{ tile_overhead_mW: base.overMw, tile_overhead_mm2: base.overMm2, ima_mW: base.imaMw, ima_mm2: base.imaMm2 },
      ...{ imas_mW: n * base.imaMw, imas_mm2: n * base.imaMm2, tile_mW: base.tileMw, tile_mm2: base.tileMm2 },
      ...{ chip_W: base.chipW, chip_mm2: base.chipMm2, crossbar_GOPS: base.array, tile_GOPS: base.tile },
      ...{ chip_GOPS: base.chip, CE_GOPS_per_mm2: base.chip / base.chipMm2, PE_GOPS_per_W: base.chip / base.chipW },
      adc_share_tile_power: (n * base.adcMw) / base.tileMw,
      adc_share_tile_area: (n * base.adcMm2) / base.tileMm2,
      storage_MB: (p.tiles * n * p.crossbars_per_ima * p.rows * p.cols * p.cell_bits) / 8 / 2 ** 20,
    },
    adc_bit_sweep: [3, 5, 8, 11].map((bits) => {
      const one = at(bits);
      return {
        ...{
          adc_bits: bits,
          adc_mW: one.adcMw / p.crossbars_per_ima,
          adc_um2: (one.adcMm2 * 1e6) / p.crossbars_per_ima,
        },
        ...{ tile_mW: one.tileMw, tile_mm2: one.tileMm2, chip_W: one.chipW, chip_mm2: one.chipMm2 },
        gain_GOPS_per_W_tile: base.tileMw / one.tileMw,
        gain_GOPS_per_mm2_tile: base.tileMm2 / one.tileMm2,
        gain_GOPS_per_W_chip: base.chipW / one.chipW,
        gain_GOPS_per_mm2_chip: base.chipMm2 / one.chipMm2,
      };
    }),
  };
}

/**
 * What the arrays compute: for every input slice, array, weight slice and sign, the current of each bit line is summed
 * and converted; digital logic shifts and adds. Nothing is quantised at the end: the converters are where they are.
 */
import { type Adc, type Converter, converter, type Limits, unitStep } from './adc.ts';
import { bitSerial, type ConvertColumn, isBitSerial } from './bit-serial.ts';
import { loadColumns } from './column-sums.ts';
import { checkInputs, digit, type InputSlices } from './dac.ts';
import { lowestConductance } from './device.ts';
import { fail } from './errors.ts';
import { linearWeights, multiplyLinear } from './linear.ts';
import { type Mapping, slicesOf } from './mapping.ts';
import { type Programmed, program } from './noise.ts';
import { randomStream, STREAMS } from './random.ts';

export interface MultiplyOptions {
  /** Inputs may be negative. Default: whether any of these is. */
  readonly signed?: boolean;
  /** Position of the first vector in the whole job: read noise is drawn by it, whatever the chunks. Default 0. */
  readonly firstVector?: number;
  /** Of read noise and converters. Default: the seed of `program()`. */
  readonly seed?: number;
  /**
   * Makes every conversion even where the levels prove that all of them return what they are given. The result is the same
   * to the last bit; without it such columns are multiplied at once. Default false.
   */
  readonly everyConversion?: boolean;
  /** Sees every conversion, in level units before the converter: for calibration and statistics. */
  readonly observe?: (conversion: Conversion) => void;
}

export interface Conversion {
  readonly polarity: number;
  readonly slice: number;
  readonly rowBlock: number;
  readonly filter: number;
  readonly inputSlice: number;
  readonly value: number;
  readonly converted: number;
}

/**
 * Products of integer input vectors with a mapped matrix.
 *
 * @param x  [vectors, inputs], row-major integers of the crossbar's input bits
 * @returns [vectors, outputs], in units of weight step × input step: the integer product itself when cells are perfect and
 *   no converter errs
 * @throws {GrimError} GRIM_RERAM_BAD_INPUT, GRIM_RERAM_BAD_ADC when a range does not fit the mapping
 */
export function multiply(
  target: Mapping | Programmed,
  x: Int32Array | readonly number[],
  options: MultiplyOptions = {},
): Float64Array {
  const programmed = 'mapping' in target ? target : program(target);
  const { mapping } = programmed;
  const { inputs, outputs, wordLines } = mapping;
  if (x.length % inputs !== 0)
    fail('GRIM_RERAM_BAD_INPUT', `multiply: ${x.length} input elements are no multiple of ${inputs}.`);
  const vectors = x.length / inputs;
  const signed = options.signed ?? x.some((value) => value < 0);
  const slices = slicesOf(mapping.crossbar, signed);
  checkInputs(slices, x);
  const out = new Float64Array(vectors * outputs);
  const linear = options.observe || options.everyConversion ? undefined : cached('linear', linearWeights);
  if (linear) return multiplyLinear(linear, mapping, x, out);
  const { seed = programmed.seed } = options;
  const run = options.observe
    ? prepare(programmed, slices, options)
    : cached(`run ${seed}`, () => prepare(programmed, slices, options));
  const k = wordLines.length;
  const driven = new Int32Array(vectors * k);
  for (let v = 0; v < vectors; v++)
    for (let i = 0; i < k; i++) driven[v * k + i] = x[v * inputs + (wordLines[i] as number)] as number;
  run(driven, options.firstVector ?? 0, out);
  return out;

  /** What has been made for these arrays and this encoding, and is kept as long as the arrays are. */
  function cached<T>(what: string, make: (of: Programmed, how: InputSlices) => T): T {
    const own = PREPARED.get(programmed) ?? new Map<string, unknown>();
    PREPARED.set(programmed, own);
    const key = `${what} ${slices.encoding}`;
    if (!own.has(key)) own.set(key, make(programmed, slices));
    return own.get(key) as T;
  }
}

const PREPARED = new WeakMap<Programmed, Map<string, unknown>>();

/** Largest digit that one conversion stands for: of one slice, or of the whole magnitude when charge is added first. */
function fullScaleDigit(mapping: Mapping, slices: InputSlices): number {
  const { adcPerInputSlice = true } = mapping.crossbar;
  return 2 ** (adcPerInputSlice ? Math.max(...slices.bits) : slices.magnitudeBits) - 1;
}

/** Adds the products of [vectors, word lines] to [vectors, outputs]. */
type Run = (x: Int32Array, firstVector: number, out: Float64Array) => void;

function prepare(programmed: Programmed, slices: InputSlices, options: MultiplyOptions): Run {
  const { mapping, cells, offset, unit, hrs } = programmed;
  const { crossbar, rowBlocks, flipped, present, polarities, topLevel, sliceWeights, zero, gain } = mapping;
  const { subtract = 'digital', adcPerInputSlice = true, device } = crossbar;
  const k = mapping.wordLines.length;
  const m = mapping.filters.length;
  const blocks = rowBlocks.length - 1;
  const analog = subtract === 'analog' && polarities === 2;
  const { seed = programmed.seed, observe } = options;
  const convert = converters(mapping, slices, offset, analog, seed, programmed.layer);
  if (!observe && isBitSerial(programmed, slices)) {
    const all = bitSerial(programmed, slices, convert, !variesByColumn(crossbar.adc), loadColumns());
    return (x, _first, out) => all(x, out);
  }
  const { readNoise } = device;
  const read = readNoise && randomStream(seed, STREAMS.read, programmed.layer);
  // In level units: sigma is a share of the LRS conductance, which is topLevel + offset.
  const readSigma = (readNoise?.sigma ?? 0) * (topLevel + offset);
  const cycles = slices.weights.length;
  const planes = polarities * mapping.slices;

  const digits = new Float64Array(k);
  const active = new Int32Array(k);
  const charge = new Float64Array(planes * m);
  const squares = new Float64Array(planes * m);

  const { outputs } = mapping;
  return (x, firstVector, out) => {
    for (let v = 0; v * k < x.length; v++)
      one(x.subarray(v * k, (v + 1) * k), firstVector + v, out.subarray(v * outputs, (v + 1) * outputs));
  };

  function one(x: Int32Array, vector: number, out: Float64Array): void {
    let sumOfInputs = 0;
    for (let i = 0; i < k; i++) sumOfInputs += x[i] ?? 0;
    let measuredSum = 0;
    for (let block = 0; block < blocks; block++) {
      const [first, end] = [rowBlocks[block] ?? 0, rowBlocks[block + 1] ?? 0];
      let hrsCharge = 0;
      let unitCharge = 0;
      let digitCharge = 0;
      for (let cycle = 0; cycle < cycles; cycle++) {
        let lines = 0;
        let digitSum = 0;
        let digitSquares = 0;
        for (let i = first; i < end; i++) {
          const value = digit(slices, x[i] ?? 0, cycle);
          if (value === 0) continue;
          digits[lines] = value;
          active[lines++] = i;
          digitSum += value;
          digitSquares += value * value;
        }
        const weight = slices.weights[cycle] ?? 1;
        // With analog accumulation slices add up as charge; otherwise each is converted on its own.
        const factor = adcPerInputSlice ? 1 : weight;
        const fresh = adcPerInputSlice || cycle === 0;
        for (let plane = 0; plane < planes; plane++) {
          const polarity = Math.floor(plane / mapping.slices);
          for (let f = 0; f < m; f++) {
            const at = plane * m + f;
            if (!present[(polarity * blocks + block) * m + f]) continue;
            const row = at * k;
            let sum = 0;
            for (let j = 0; j < lines; j++) sum += (cells[row + (active[j] ?? 0)] ?? 0) * (digits[j] ?? 0);
            if (read && lines > 0) {
              // The sum of independent normals is one normal, with the sum of their variances.
              let variance = digitSquares * readSigma * readSigma;
              if (readNoise?.kind === 'proportional') {
                let energy = 0;
                for (let j = 0; j < lines; j++)
                  energy += ((cells[row + (active[j] ?? 0)] ?? 0) * (digits[j] ?? 0)) ** 2;
                variance = energy * readNoise.sigma ** 2;
              }
              const index = ((vector * blocks + block) * cycles + cycle) * planes * m + at;
              sum += Math.sqrt(variance) * read.normal(index);
            }
            charge[at] = (fresh ? 0 : (charge[at] ?? 0)) + factor * sum;
            squares[at] = 0;
          }
        }
        const add = (source: Float64Array | undefined, before: number) => {
          let sum = 0;
          if (source) for (let j = 0; j < lines; j++) sum += (source[active[j] ?? 0] ?? 0) * (digits[j] ?? 0);
          return (fresh ? 0 : before) + factor * sum;
        };
        hrsCharge = add(hrs, hrsCharge);
        unitCharge = add(unit, unitCharge);
        digitCharge = (fresh ? 0 : digitCharge) + factor * digitSum;
        if (!adcPerInputSlice && cycle + 1 < cycles) continue;
        const shift = adcPerInputSlice ? weight : 1;
        if (unit) {
          const measured = convert(unitCharge - hrsCharge, block, 0, 0, m);
          measuredSum += shift * (measured - (hrs ? 0 : offset * digitCharge));
        }
        collect(block, cycle, shift, hrsCharge, digitCharge, out);
      }
    }
    const total = unit ? measuredSum : sumOfInputs;
    for (let f = 0; f < m; f++) {
      const o = mapping.filters[f] ?? 0;
      out[o] = gain * ((out[o] ?? 0) - zero * total);
    }
  }

  /** Converts what every column of a block holds and adds it, shifted, to the outputs. */
  function collect(
    block: number,
    cycle: number,
    shift: number,
    hrsCharge: number,
    digitCharge: number,
    out: Float64Array,
  ): void {
    for (let slice = 0; slice < mapping.slices; slice++) {
      const significance = shift * (sliceWeights[slice] ?? 1);
      for (let f = 0; f < m; f++) {
        const o = mapping.filters[f] ?? 0;
        let result = 0;
        if (analog) {
          const value = (charge[slice * m + f] ?? 0) - (charge[(mapping.slices + slice) * m + f] ?? 0);
          result = convert(value, block, 0, slice, f);
          observe?.({ polarity: 0, slice, rowBlock: block, filter: f, inputSlice: cycle, value, converted: result });
        } else
          for (let polarity = 0; polarity < polarities; polarity++) {
            if (!present[(polarity * blocks + block) * m + f]) continue;
            const value = (charge[(polarity * mapping.slices + slice) * m + f] ?? 0) - hrsCharge;
            const converted = convert(value, block, polarity, slice, f);
            observe?.({ polarity, slice, rowBlock: block, filter: f, inputSlice: cycle, value, converted });
            let levelSum = converted - (hrs ? 0 : offset * digitCharge);
            if (flipped[(block * mapping.slices + slice) * m + f]) levelSum = topLevel * digitCharge - levelSum;
            result += polarity === 0 ? levelSum : -levelSum;
          }
        out[o] = (out[o] ?? 0) + significance * result;
      }
    }
  }
}

/** Whether converters of one kind differ from each other. */
function variesByColumn(adc: Adc): boolean {
  return Object.entries(adc).some(([key, value]) => key.startsWith('sigma') && value !== 0);
}

/** The converters of a mapping, with limits turned from conductance × voltage into level units. */
function converters(
  mapping: Mapping,
  slices: InputSlices,
  offset: number,
  analog: boolean,
  seed: number,
  layer: number,
): ConvertColumn {
  const { crossbar, rowBlocks, outputBlocks, topLevel, polarities } = mapping;
  const { adc } = crossbar;
  if (adc.model === 'ideal') return (value) => value;
  const { range } = adc;
  const blocks = rowBlocks.length - 1;
  const m = mapping.filters.length;
  const outputParts = Math.max(1, outputBlocks.length - 1);
  const unit = (topLevel + offset) * fullScaleDigit(mapping, slices);
  const bipolar =
    analog ||
    adc.model === 'sign-magnitude' ||
    slices.encoding === 'sign-magnitude' ||
    (slices.encoding === 'twos-complement' && crossbar.adcPerInputSlice === false);
  const perArray = typeof range === 'object' && 'arrays' in range ? range.arrays : undefined;
  const perSlice = typeof range === 'object' && 'slices' in range ? range.slices : undefined;
  if (perArray && perArray.length !== blocks * outputParts)
    fail(
      'GRIM_RERAM_BAD_ADC',
      `adc: limits for ${perArray.length} arrays; the mapping has ${outputParts}×${blocks} of them.`,
    );
  if (perSlice && perSlice.length !== mapping.slices)
    fail('GRIM_RERAM_BAD_ADC', `adc: limits for ${perSlice.length} slices; a weight has ${mapping.slices}.`);

  const limitsOf = (block: number, part: number, slice: number): Limits => {
    const given = perArray?.[part * blocks + block] ?? perSlice?.[slice];
    if (given) return [given[0] * unit, given[1] * unit];
    if (range === 'unit-step') return unitStep(adc.model, adc.bits, bipolar);
    const rows = (rowBlocks[block + 1] ?? 0) - (rowBlocks[block] ?? 0);
    const high = (crossbar.compat === 'crosssim-3.2' ? crossSimRows(mapping, slices, rows) : rows) * unit;
    return [bipolar ? -high : 0, high];
  };
  const made = new Map<number, Converter>();
  const partOf = new Uint32Array(m + 1);
  for (let part = 0; part + 1 < outputBlocks.length; part++)
    partOf.fill(part, outputBlocks[part], outputBlocks[part + 1]);
  return (value, block, polarity, slice, filter) => {
    const part = partOf[filter] ?? 0;
    const key = (block * mapping.slices + slice) * outputParts + part;
    let own = made.get(key);
    if (!own) {
      own = converter(adc, limitsOf(block, part, slice), seed, layer);
      made.set(key, own);
    }
    return own(value, ((block * polarities + polarity) * mapping.slices + slice) * (m + 1) + filter);
  };
}

/**
 * The rows that CrossSim 3.2 takes an array to have when it sets its largest range: rounded to the nearest power of two,
 * so that it may clip, in steps of whole powers of two of the smallest current.
 */
function crossSimRows(mapping: Mapping, slices: InputSlices, rows: number): number {
  const { storage, adc, cellBits } = mapping.crossbar;
  const power = 2 ** Math.round(Math.log2(rows));
  if (storage !== 'offset' || adc.model === 'ideal') return power;
  const levels = 2 ** cellBits;
  const exactBits = Math.log2(power) + cellBits;
  const input = 2 ** slices.magnitudeBits;
  const step = (2 ** (exactBits - adc.bits) * input) / ((input - 1) * (levels - 1));
  return step * (2 ** adc.bits - 1);
}

export interface CalibrationOptions extends MultiplyOptions {
  /** Share of conversions that a range covers, symmetric tails cut. Default 1: none is clipped. */
  readonly coverage?: number;
}

/**
 * Limits per weight slice that cover the currents which sample inputs really make; for `range: { slices }`.
 * @param samples  [vectors, inputs]
 */
export function calibrate(
  target: Mapping | Programmed,
  samples: Int32Array | readonly number[],
  options: CalibrationOptions = {},
): readonly Limits[] {
  const programmed = 'mapping' in target ? target : program(target);
  const { coverage = 1 } = options;
  if (!(coverage > 0 && coverage <= 1))
    fail('GRIM_RERAM_BAD_TARGET', `calibrate: coverage is ${coverage}; a number above 0, up to 1, is needed.`);
  const { mapping } = programmed;
  if (samples.length === 0)
    fail('GRIM_RERAM_BAD_INPUT', `calibrate: no samples; at least one vector of ${mapping.inputs} inputs is needed.`);
  const seen: number[][] = Array.from({ length: mapping.slices }, () => []);
  const ideal = { ...mapping, crossbar: { ...mapping.crossbar, adc: { model: 'ideal' } as const } };
  multiply({ ...programmed, mapping: ideal }, samples, {
    ...options,
    observe: ({ slice, value }) => seen[slice]?.push(value),
  });
  const signed = options.signed ?? samples.some((value) => value < 0);
  const gmin = lowestConductance(mapping.crossbar.device);
  const unit = (mapping.topLevel / (1 - gmin)) * fullScaleDigit(mapping, slicesOf(mapping.crossbar, signed));
  const { adc } = mapping.crossbar;
  return seen.map((values) => {
    const sorted = Float64Array.from(values).sort();
    const cut = Math.floor(((1 - coverage) / 2) * sorted.length);
    const low = sorted[cut] ?? 0;
    const high = sorted[sorted.length - 1 - cut] ?? 0;
    const bipolar = low < 0 || adc.model === 'sign-magnitude';
    const most = Math.max(Math.abs(low), Math.abs(high), 1) / unit;
    return [bipolar ? -most : 0, most];
  });
}

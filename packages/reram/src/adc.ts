/**
 * Analog-to-digital converters at the bit lines: from a column's current to the number that digital logic sees.
 *
 * `uniform` and `sign-magnitude` clip to their range and round half to even to equally spaced levels that include both
 * ends: 2^bits, or 2^bits − 1 so that zero is a level. SAR, ramp, pipeline and cyclic converters are built from
 * capacitors, comparators and an amplifier, each with its own error, and are mid-rise: their codes stand in the middle
 * of 2^bits equal steps over the range.
 * @see Spear et al., "The impact of analog-to-digital converter architecture and variability on analog neural network
 *   accuracy", IEEE JXCDC 2023
 */
import { checkInteger, checkReal, fail } from './errors.ts';
import { roundHalfEven } from './project.ts';
import { randomStream, STREAMS } from './random.ts';

/** Lowest and highest input, in units of (LRS conductance × full-scale input voltage): one full cell fully driven is 1. */
export type Limits = readonly [low: number, high: number];

/**
 * What a converter covers.
 * - `unit-step`: one code per cell level, from zero up; exact while no sum passes the last code.
 * - `max`: the largest current that the array's rows can make.
 * - `slices`: limits per weight slice, least significant first; as `calibrate()` finds them.
 * - `arrays`: limits per array, row-major over output blocks, then input blocks.
 */
export type AdcRange =
  | 'unit-step'
  | 'max'
  | { readonly slices: readonly Limits[] }
  | { readonly arrays: readonly Limits[] };

/** What SAR, ramp, pipeline and cyclic converters share. */
interface Circuit {
  readonly bits: number;
  readonly range: AdcRange;
  /** Open-loop gain of the amplifier, 20·log10; default: infinite. */
  readonly gainDb?: number;
  /** Comparator offset, standard deviation as a share of half the range. Default 0. */
  readonly sigmaComparator?: number;
  /** Neighbouring columns that share a converter and its errors. Default 1. */
  readonly groupSize?: number;
}

export type Adc =
  | { readonly model: 'ideal' }
  | { readonly model: 'uniform' | 'sign-magnitude'; readonly bits: number; readonly range: AdcRange }
  | (Circuit & {
      readonly model: 'sar';
      /** A split capacitor array: two small ones joined by a bridge. */
      readonly splitCdac?: boolean;
      /** Mismatch of a unit capacitor, relative; it falls with the square root of the size. Default 0. */
      readonly sigmaCapacitor?: number;
    })
  | (Circuit & {
      readonly model: 'ramp';
      /** Default true: one array of capacitors used for both signs. */
      readonly symmetricCdac?: boolean;
      readonly sigmaCapacitor?: number;
    })
  | (Circuit & {
      readonly model: 'pipeline' | 'cyclic';
      /** Relative spread of the two capacitors of a stage, and of the parasitic one. Default 0. */
      readonly sigmaC1?: number;
      readonly sigmaC2?: number;
      readonly sigmaParasitic?: number;
    });

/** Converts currents; `column` says which physical converter, for those that differ. */
export type Converter = (value: number, column: number) => number;

/** Bits of the converter; 0 stands for no conversion. */
export function adcBitsOf(adc: Adc): number {
  return adc.model === 'ideal' ? 0 : adc.bits;
}

const MODELS: readonly Adc['model'][] = ['uniform', 'sign-magnitude', 'sar', 'ramp', 'pipeline', 'cyclic'];

/** @throws {GrimError} GRIM_RERAM_BAD_ADC */
export function checkAdc(adc: Adc): void {
  if (adc.model === 'ideal') return;
  const code = 'GRIM_RERAM_BAD_ADC';
  if (!(MODELS as readonly string[]).includes(adc.model))
    fail(code, `adc: model is ${JSON.stringify(adc.model)}; one of ideal, ${MODELS.join(', ')} is needed.`);
  const circuit = adc.model !== 'uniform' && adc.model !== 'sign-magnitude';
  // Tables of 2^bits levels, and two codes at least where zero is one of them.
  checkInteger(code, `adc ${adc.model}: bits`, adc.bits, adc.model === 'uniform' ? 1 : 2, circuit ? 16 : 32);
  if (typeof adc.range === 'object') {
    const all = 'slices' in adc.range ? adc.range.slices : adc.range.arrays;
    for (const [low, high] of all)
      if (!(Number.isFinite(low) && Number.isFinite(high) && low < high))
        fail(code, `adc ${adc.model}: the range [${low}, ${high}] is empty or not finite.`, { low, high });
  }
  if (!('groupSize' in adc || circuit)) return;
  const { gainDb = 100, sigmaComparator = 0, groupSize = 1 } = adc as Circuit;
  checkReal(code, `adc ${adc.model}: gainDb`, gainDb, 0, 400);
  checkReal(code, `adc ${adc.model}: sigmaComparator`, sigmaComparator, 0, 10);
  checkInteger(code, `adc ${adc.model}: groupSize`, groupSize, 1, 2 ** 20);
  for (const key of ['sigmaCapacitor', 'sigmaC1', 'sigmaC2', 'sigmaParasitic'] as const)
    checkReal(code, `adc ${adc.model}: ${key}`, (adc as Partial<Record<typeof key, number>>)[key] ?? 0, 0, 0.3);
}

/**
 * A converter over [low, high]. Values in and out are in the unit of the limits.
 * @throws {GrimError} GRIM_RERAM_BAD_ADC
 * @param seed  of the converter's own errors
 * @param layer  keeps converters of different layers apart
 */
export function converter(adc: Adc, [low, high]: Limits, seed = 0, layer = 0): Converter {
  checkAdc(adc);
  if (adc.model !== 'ideal' && !(low < high && Number.isFinite(high - low)))
    fail('GRIM_RERAM_BAD_ADC', `adc ${adc.model}: the range [${low}, ${high}] is empty or not finite.`, { low, high });
  switch (adc.model) {
    case 'ideal':
      return (value) => value;
    case 'uniform': {
      const step = (high - low) / (2 ** adc.bits - 1);
      return (value) => low + roundHalfEven((clip(value, low, high) - low) / step) * step;
    }
    case 'sign-magnitude': {
      const most = 2 ** (adc.bits - 1) - 1;
      const middle = (low + high) / 2;
      const step = (high - low) / (2 * most);
      return (value) => middle + roundHalfEven((clip(value, low, high) - middle) / step) * step;
    }
    case 'sar':
      return midRise(adc, low, high, seed, layer, sarCode);
    case 'ramp':
      return midRise(adc, low, high, seed, layer, rampCode);
    case 'pipeline':
    case 'cyclic':
      return midRise(adc, low, high, seed, layer, stagedCode);
  }
}

/** Codes that are whole numbers of levels: mid-rise converters stand half a step off their ends. */
export function unitStep(model: string, bits: number, bipolar: boolean): Limits {
  if (model === 'uniform') {
    const low = bipolar ? -(2 ** (bits - 1)) : 0;
    return [low, low + 2 ** bits - 1];
  }
  if (model === 'sign-magnitude') return [1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1];
  const low = bipolar ? -(2 ** (bits - 1)) : 0;
  return [low - 0.5, low + 2 ** bits - 0.5];
}

function clip(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(value, high));
}

type CircuitAdc = Exclude<Adc, { model: 'ideal' | 'uniform' | 'sign-magnitude' }>;
/** Finds the code of an input between −1 and 1. */
type Coder = (value: number) => number;
/** Draws component `index` of one converter, N(0, 1). */
type Draw = (index: number) => number;

/** Components of one converter never need more numbers than this. */
const COMPONENTS = 128;

function midRise<A extends CircuitAdc>(
  adc: A,
  low: number,
  high: number,
  seed: number,
  layer: number,
  make: (adc: A, draw: Draw) => Coder,
): Converter {
  const middle = (low + high) / 2;
  const half = (high - low) / 2;
  const codes = 2 ** adc.bits;
  const { groupSize = 1 } = adc;
  const stream = randomStream(seed, STREAMS.converter, layer);
  const exact = !(adc.sigmaComparator || sigmas(adc));
  const coders = new Map<number, Coder>();
  return (value, column) => {
    const group = exact ? 0 : Math.floor(column / groupSize);
    let coder = coders.get(group);
    if (!coder) {
      coder = make(adc, (index) => stream.normal(group * COMPONENTS + index));
      coders.set(group, coder);
    }
    const code = coder((clip(value, low, high) - middle) / half);
    return middle + half * ((2 * code - codes + 1) / codes);
  };
}

function sigmas(adc: CircuitAdc): number {
  if (adc.model === 'sar' || adc.model === 'ramp') return adc.sigmaCapacitor ?? 0;
  return (adc.sigmaC1 ?? 0) + (adc.sigmaC2 ?? 0) + (adc.sigmaParasitic ?? 0);
}

/** 1/gain; 0 for an ideal amplifier. */
function inverseGain({ gainDb }: Circuit): number {
  return gainDb === undefined ? 0 : 10 ** (-gainDb / 20);
}

/** Capacitor of nominal size c units: mismatch grows with the square root of the size. */
function capacitor(size: number, sigma: number, mismatch: number): number {
  return size + sigma * mismatch * Math.sqrt(size);
}

/** Sum of the capacitors whose bit is set in `count`. */
function connected(count: number, capacitors: readonly number[]): number {
  let sum = 0;
  capacitors.forEach((c, bit) => {
    if (Math.floor(count / 2 ** bit) % 2 === 1) sum += c;
  });
  return sum;
}

/**
 * Output of a capacitive DAC for every code, −1 to 1, each raised by half a step: the amplifier's finite gain acts on
 * that sum. Codes below the middle connect as many capacitors to the negative reference.
 */
function symmetricLevels(bits: number, sigma: number, gain: number, draw: Draw): Float64Array {
  const capacitors = Array.from({ length: bits }, (_, i) => capacitor(2 ** i, sigma, draw(i)));
  const feedback = capacitor(2 ** (bits - 1), sigma, draw(bits));
  const half = 2 ** (bits - 1);
  return Float64Array.from({ length: 2 ** bits }, (_, code) => {
    const sum = connected(Math.abs(code - half), capacitors);
    const beta = feedback / (feedback + sum);
    const level = (Math.sign(code - half) * sum) / (capacitors[bits - 1] ?? 1) + 1 / 2 ** bits;
    return level / (1 + gain / beta);
  });
}

/** The same for two arrays joined by a bridge capacitor: charge divides between them. */
function splitLevels(bits: number, sigma: number, gain: number, draw: Draw): Float64Array {
  const lowBits = Math.floor(bits / 2);
  const lower = Array.from({ length: lowBits }, (_, i) => capacitor(2 ** i, sigma, draw(i)));
  const upper = Array.from({ length: bits - 1 - lowBits }, (_, i) => capacitor(2 ** i, sigma, draw(lowBits + i)));
  const dummy = capacitor(1, sigma, draw(bits - 1));
  const bridge = capacitor(2 ** lowBits / (2 ** lowBits - 1), sigma, draw(bits));
  const allLower = dummy + lower.reduce((a, b) => a + b, 0);
  const allUpper = upper.reduce((a, b) => a + b, 0);
  const determinant = (allLower + bridge) * (allUpper + bridge) - bridge ** 2;
  const half = 2 ** (bits - 1);
  return Float64Array.from({ length: 2 ** bits }, (_, code) => {
    const count = Math.abs(code - half);
    const low = connected(count % 2 ** lowBits, lower);
    const high = connected(Math.floor(count / 2 ** lowBits), upper);
    // Code 0 would need one more bit than there is: the whole reference.
    const sum = code === 0 ? 1 : (low * bridge + high * (allLower + bridge)) / determinant;
    return (Math.sign(code - half) * sum + 1 / 2 ** bits) / (1 + gain);
  });
}

/** Binary search against the capacitive DAC: one comparison per bit. */
function sarCode(adc: Extract<CircuitAdc, { model: 'sar' }>, draw: Draw): Coder {
  const { bits, splitCdac = false, sigmaCapacitor = 0, sigmaComparator = 0 } = adc;
  const make = splitCdac ? splitLevels : symmetricLevels;
  const levels = make(bits, sigmaCapacitor, inverseGain(adc), draw);
  const offset = sigmaComparator * draw(COMPONENTS - 1) + 1 / 2 ** bits;
  return (value) => {
    let code = 0;
    for (let step = 2 ** (bits - 1); step >= 1; step /= 2)
      if (value > (levels[code + step] ?? 0) - offset) code += step;
    return code;
  };
}

/** The code whose level of the ramp is nearest. */
function rampCode(adc: Extract<CircuitAdc, { model: 'ramp' }>, draw: Draw): Coder {
  const { bits, symmetricCdac = true, sigmaCapacitor = 0, sigmaComparator = 0 } = adc;
  const gain = inverseGain(adc);
  const levels = symmetricCdac
    ? symmetricLevels(bits, sigmaCapacitor, gain, draw)
    : oneSidedLevels(bits, sigmaCapacitor, gain, draw);
  const offset = sigmaComparator * draw(COMPONENTS - 1);
  // Mismatch may put levels out of order.
  const order = Uint32Array.from(levels, (_, i) => i).sort((a, b) => (levels[a] ?? 0) - (levels[b] ?? 0) || a - b);
  return (value) => {
    const wanted = value + offset;
    let low = 0;
    let high = order.length - 1;
    while (low < high) {
      const mid = (low + high) >> 1;
      if ((levels[order[mid] ?? 0] ?? 0) < wanted) low = mid + 1;
      else high = mid;
    }
    const right = order[low] ?? 0;
    const left = order[Math.max(low - 1, 0)] ?? 0;
    const difference = Math.abs((levels[left] ?? 0) - wanted) - Math.abs((levels[right] ?? 0) - wanted);
    return difference < 0 || (difference === 0 && left < right) ? left : right;
  };
}

function oneSidedLevels(bits: number, sigma: number, gain: number, draw: Draw): Float64Array {
  const capacitors = Array.from({ length: bits }, (_, i) => capacitor(2 ** i, sigma, draw(i)));
  const feedback = capacitor(2 ** bits, sigma, draw(bits));
  return Float64Array.from({ length: 2 ** bits }, (_, code) => {
    const sum = connected(code, capacitors);
    const level = (2 * sum) / feedback - (2 ** bits - 1) / 2 ** bits;
    return level / (1 + gain * ((feedback + sum) / feedback));
  });
}

/**
 * Stages of one and a half bits: each compares with ±1/4, adds −1, 0 or +1 times the reference and doubles what is left;
 * the last compares with 0. A cyclic converter sends the residue through the same stage again.
 */
function stagedCode(adc: Extract<CircuitAdc, { model: 'pipeline' | 'cyclic' }>, draw: Draw): Coder {
  const { bits, sigmaComparator = 0, sigmaC1 = 0, sigmaC2 = 0, sigmaParasitic = 0 } = adc;
  const gain = inverseGain(adc);
  const stages = Array.from({ length: bits }, (_, n) => {
    const own = adc.model === 'cyclic' ? (n === bits - 1 ? 1 : 0) : n;
    const at = (i: number) => draw(own * 5 + i);
    const c1 = 1 + sigmaC1 * at(0);
    const c2 = 1 + sigmaC2 * at(1);
    const beta = c1 / (c1 + c2 + sigmaParasitic * at(2));
    return {
      ratio: c2 / c1,
      shrink: 1 + gain / beta,
      upper: sigmaComparator * at(3),
      lower: sigmaComparator * at(4),
    };
  });
  return (input) => {
    let value = input;
    let code = 0;
    for (let n = 0; n < bits; n++) {
      const stage = stages[n];
      if (!stage) break;
      const weight = 2 ** (bits - 1 - n);
      if (n === bits - 1) {
        if (value > stage.upper) code += weight;
        break;
      }
      let added = 0;
      if (value > 0.25 + stage.upper) {
        code += weight;
        added = -1;
      } else if (value > -0.25 + stage.lower) code += weight / 2;
      else added = 1;
      value = ((1 + stage.ratio) * value + added * stage.ratio) / stage.shrink;
    }
    return code;
  };
}

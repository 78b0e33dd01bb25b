/**
 * What a converter costs as a function of its bits: several published laws, by name, as the choice decides the headline.
 * From 8 to 4 bits the ISAAC split saves half the power, a power-of-two law more than nine tenths.
 */
import { checkInteger, checkReal, fail } from './errors.ts';

export type AdcLawName =
  | 'isaac-split'
  | 'forms'
  | 'linear'
  | 'puma'
  | 'neurosim-sar'
  | 'neurosim-mlsa'
  | 'survey'
  | 'exponential';

export interface AdcCost {
  readonly energyPj: number;
  readonly areaUm2: number;
  /** Time between two conversions. */
  readonly conversionNs: number;
  /** While converting without pause: energy over time. */
  readonly powerMw: number;
}

export interface AdcLaw {
  readonly name: AdcLawName;
  readonly technologyNm: number;
  /** Paper, table and conditions of every constant, and what is derived rather than printed there. */
  readonly source: string;
  /** The formulas, as text. */
  readonly formula: string;
  readonly energyPj: (bits: number, columnOhm: number) => number;
  readonly areaUm2: (bits: number) => number;
  readonly conversionNs: (bits: number) => number;
}

/** Closed form of the linear + exponential SAR split; anchored by its users, so only ratios count. */
const splitEnergy = (bits: number) => 0.19589 * bits + 0.000402 * 2 ** bits;
const splitArea = (bits: number) => 81.726 * bits + 2.1336 * 2 ** bits;

/** Table I charges 2 mW for the 128 columns of an array in 100 ns: 1.28 GS/s, though it prints 1.2. */
const ISAAC_ADC = { bits: 8, powerMw: 2, areaUm2: 1200, conversionNs: 100 / 128 };
const isaacEnergyPj = ISAAC_ADC.powerMw * ISAAC_ADC.conversionNs;

const FORMS_ADC = { bits: 4, powerMw: 15.2 / 32, areaUm2: 9100 / 32, conversionNs: 1 / 2.1 };

/** Area of one inverter transistor of minimum size with its share of the layout, from the two SAR runs of the reference. */
const NEUROSIM_GATE_UM2 = 0.0859;
/** One comparator of the flash-like sense amplifier with its reference, from the 5-bit run of the reference. */
const NEUROSIM_COMPARATOR_UM2 = 10.18;

const SPLIT_SOURCE =
  'Shafiee et al., ISAAC, ISCA 2016, section 6: reference, memory and clock of a SAR ADC linear in the bits, its capacitive ' +
  'DAC doubling with each (Saberi 2011), scaled from Kull 2013, 8 bits in 32 nm. Closed form fitted to the 4- to 10-bit ' +
  'points, residual below 0.1 %.';

const laws: readonly AdcLaw[] = [
  {
    name: 'isaac-split',
    technologyNm: 32,
    source: `${SPLIT_SOURCE} Anchor: Table I, 8 ADCs of 8 bits 16 mW and 0.0096 mm2, at the 1.28 GS/s that 128 columns in 100 ns need (printed: 1.2 GS/s, which gives 1.667 pJ).`,
    formula:
      'E = 1.5625 pJ e(b) / e(8), e = 0.19589 b + 0.000402 2^b; A = 1200 um2 a(b) / a(8), a = 81.726 b + 2.1336 2^b',
    energyPj: (bits) => (isaacEnergyPj * splitEnergy(bits)) / splitEnergy(ISAAC_ADC.bits),
    areaUm2: (bits) => (ISAAC_ADC.areaUm2 * splitArea(bits)) / splitArea(ISAAC_ADC.bits),
    conversionNs: () => ISAAC_ADC.conversionNs,
  },
  {
    name: 'forms',
    technologyNm: 32,
    source: `Yuan et al., FORMS, ISCA 2021: 32 ADCs of 4 bits at 2.1 GS/s take 15.2 mW and 0.0091 mm2. Other bits are derived, by the split of: ${SPLIT_SOURCE}`,
    formula: 'E = 0.2262 pJ e(b) / e(4), A = 284.4 um2 a(b) / a(4), with e and a of isaac-split',
    energyPj: (bits) => (FORMS_ADC.powerMw * FORMS_ADC.conversionNs * splitEnergy(bits)) / splitEnergy(FORMS_ADC.bits),
    areaUm2: (bits) => (FORMS_ADC.areaUm2 * splitArea(bits)) / splitArea(FORMS_ADC.bits),
    conversionNs: () => FORMS_ADC.conversionNs,
  },
  {
    name: 'linear',
    technologyNm: 32,
    source:
      'Nag et al., Newton, IEEE Micro 2018: 3.1 mW at 9 bits and 1.2 GS/s, X/9 of it at X bits; 1500 um2 whatever the bits.',
    formula: 'E = 3.1 mW b / 9 / 1.2 GS/s; A = 1500 um2',
    energyPj: (bits) => (3.1 * bits) / 9 / 1.2,
    areaUm2: () => 1500,
    conversionNs: () => 1 / 1.2,
  },
  {
    name: 'puma',
    technologyNm: 32,
    source:
      'PUMA simulator (Ankit et al., ASPLOS 2019), commit a206f75: 0.25 mW and 12.5 ns for each bit, 0.0012 mm2 whatever the ' +
      'bits. The time is read as that of one pass over 128 columns: at 8 bits 100 ns, the cycle of ISAAC.',
    formula: 'E = 0.25 mW b x 12.5 ns b / 128; A = 1200 um2; t = 12.5 ns b / 128',
    energyPj: (bits) => (0.25 * bits * 12.5 * bits) / 128,
    areaUm2: () => 1200,
    conversionNs: (bits) => (12.5 * bits) / 128,
  },
  {
    name: 'neurosim-sar',
    technologyNm: 22,
    source:
      'DNN+NeuroSim V1.3 (Peng et al., IEDM 2019), SarADC, 22 nm LSTP at 0.5 V and 300 K; the term exp(-2.303 log10 R) is 1 / R. ' +
      'Area of one gate from its reference runs at 5 and 7 bits (9216 converters).',
    formula:
      'E = (0.538 b + 4.3753 uW + 72341 uW ohm / Rcol) (b + 1) ns; A = 0.0859 um2 (478 + 182 (b - 1)); t = (b + 1) ns',
    energyPj: (bits, columnOhm) => (0.538 * bits + 4.3753 + 72341 / columnOhm) * 1e-3 * (bits + 1),
    areaUm2: (bits) => NEUROSIM_GATE_UM2 * (269 + 209 + (109 + 73) * (bits - 1)),
    conversionNs: (bits) => bits + 1,
  },
  {
    name: 'neurosim-mlsa',
    technologyNm: 22,
    source:
      'DNN+NeuroSim V1.3, MultilevelSenseAmp in current mode, 22 nm LSTP at 0.5 V and 300 K: one comparator for each level. ' +
      'Area of one comparator from its reference run at 5 bits (9216 converters).',
    formula: 'E = (1.7 uW (2^b - 1) + 63100 uW ohm / Rcol) 1 ns; A = 10.18 um2 (2^b - 1); t = 1 ns',
    energyPj: (bits, columnOhm) => (1.7 * (2 ** bits - 1) + 63100 / columnOhm) * 1e-3,
    areaUm2: (bits) => NEUROSIM_COMPARATOR_UM2 * (2 ** bits - 1),
    conversionNs: () => 1,
  },
  {
    name: 'survey',
    technologyNm: 28,
    source:
      'ZigZag-IMC (Sun et al., 2023), after the survey of Murmann: 100 fF a bit and 1 aF 4^b (recalled, not checked against a ' +
      'print), taken at 1 V; area from its repository. It gives no rate: 1.2 GS/s is assumed.',
    formula: 'E = (100 fF b + 1 aF 4^b) 1 V2; A = 10^(1.206 - 0.0369 b) 2^b um2',
    energyPj: (bits) => 0.1 * bits + 1e-6 * 4 ** bits,
    areaUm2: (bits) => 10 ** (1.206 - 0.0369 * bits) * 2 ** bits,
    conversionNs: () => 1 / 1.2,
  },
  {
    name: 'exponential',
    technologyNm: 32,
    source:
      'No converter: power and area of ISAAC Table I doubling with every bit. The upper end of what fewer bits can save.',
    formula: 'E = 1.5625 pJ 2^(b - 8); A = 1200 um2 2^(b - 8)',
    energyPj: (bits) => isaacEnergyPj * 2 ** (bits - ISAAC_ADC.bits),
    areaUm2: (bits) => ISAAC_ADC.areaUm2 * 2 ** (bits - ISAAC_ADC.bits),
    conversionNs: () => ISAAC_ADC.conversionNs,
  },
];

/** Every law by name, with its formula and its source. */
export const ADC_LAWS: ReadonlyMap<AdcLawName, AdcLaw> = new Map(laws.map((law) => [law.name, law]));

/**
 * Bit-line resistance where a law asks for it and the mapping does not say: 64 rows of 6 kilo-ohm cells with 1.5 kilo-ohm of
 * access each, levels uniform, half of the rows on.
 */
const DEFAULT_COLUMN_OHM = 440;

/**
 * Energy of one conversion, area and rate of one converter.
 *
 * @param bits  1 to 16
 * @param columnOhm  resistance of the bit line with its active cells in parallel; only the NeuroSim laws depend on it
 * @throws {GrimError} GRIM_RERAM_BAD_ADC for a law that does not exist or bits out of range
 */
export function adcCost(name: AdcLawName, bits: number, columnOhm: number = DEFAULT_COLUMN_OHM): AdcCost {
  const law = ADC_LAWS.get(name);
  if (law === undefined) {
    const names = [...ADC_LAWS.keys()];
    fail('GRIM_RERAM_BAD_ADC', `cost: no ADC law of this name; there are ${names.join(', ')}.`, { name, names });
  }
  checkInteger('GRIM_RERAM_BAD_ADC', 'cost: adcBits', bits, 1, 16);
  checkReal('GRIM_RERAM_BAD_ADC', 'cost: columnOhm', columnOhm, 1e-3, 1e12);
  const energyPj = law.energyPj(bits, columnOhm);
  const conversionNs = law.conversionNs(bits);
  return { energyPj, conversionNs, areaUm2: law.areaUm2(bits), powerMw: energyPj / conversionNs };
}

/**
 * Crossbars by name, each with where its numbers come from. They say what is computed; what it costs is another table.
 * A preset is a starting point: spread it and change what differs.
 */
import { IDEAL_DEVICE } from './device.ts';
import type { Crossbar } from './mapping.ts';

const ISAAC_ARRAY = {
  rows: 128,
  cols: 128,
  cellBits: 2,
  dacBits: 1,
  device: IDEAL_DEVICE,
} as const;

export type PresetName =
  | 'ideal'
  | 'isaac-ce'
  | 'isaac-pe'
  | 'isaac-se'
  | 'isaac-8bit'
  | 'puma-like'
  | 'forms-like'
  | 'tinyadc';

const ISAAC_16 = {
  ...ISAAC_ARRAY,
  weightBits: 16,
  inputBits: 16,
  storage: 'offset',
  flip: true,
  inputSum: 'unit-column',
  adc: { model: 'uniform', bits: 8, range: 'unit-step' },
} as const;

export const PRESETS: Readonly<Record<PresetName, Crossbar>> = {
  /** Integers in, integers out: differential 8-bit weights, no conversion. */
  ideal: {
    ...ISAAC_ARRAY,
    weightBits: 8,
    inputBits: 8,
    storage: 'differential',
    adc: { model: 'ideal' },
    source: 'No device: perfect cells, no converter.',
  },
  'isaac-ce': {
    ...ISAAC_16,
    source:
      'Shafiee et al., "ISAAC", ISCA 2016, table I and section V: 128×128 cells of 2 bits, 1-bit DACs, 8-bit ADCs, biased weights, flip encoding, unit column.',
  },
  /** Computes what `isaac-ce` does: the two differ in how many arrays and converters share a tile. */
  'isaac-pe': {
    ...ISAAC_16,
    source:
      'ISAAC-PE (Shafiee et al., ISCA 2016, corrected October 2016), the design of most operations per watt: published peak 644.2 GOPS/W and 409.67 GOPS/mm2. Its array is taken to be that of ISAAC-CE; its tile is not published part by part, so no total of it is computed here.',
  },
  'isaac-se': {
    ...ISAAC_16,
    source:
      'ISAAC-SE (as above), the design of most weights per area: published peak 20.25 MB/mm2, 103.35 GOPS/mm2, 312.5 GOPS/W. Its array is taken to be that of ISAAC-CE; no total of it is computed here.',
  },
  'puma-like': {
    ...ISAAC_16,
    flip: false,
    source:
      'Ankit et al., "PUMA", ASPLOS 2019, and its simulator (commit a206f75): 128×128 cells of 2 bits, 16-bit weights and inputs, 1-bit DACs, 8-bit ADCs, biased weights. Without a flip encoding 8 bits clip full columns.',
  },
  'isaac-8bit': {
    ...ISAAC_ARRAY,
    weightBits: 8,
    inputBits: 8,
    storage: 'offset',
    flip: true,
    inputSum: 'unit-column',
    adc: { model: 'uniform', bits: 8, range: 'unit-step' },
    source: 'The array of "isaac-ce" with 8-bit weights and inputs; not a published configuration.',
  },
  'forms-like': {
    ...ISAAC_ARRAY,
    rows: 8,
    weightBits: 8,
    inputBits: 16,
    storage: 'sign-separated',
    adc: { model: 'uniform', bits: 4, range: 'unit-step' },
    source:
      'Yuan et al., "FORMS", ISCA 2021: fragments of 8 rows of one sign, 2-bit cells, 4-bit ADCs. Exact where the certificate says so.',
  },
  tinyadc: {
    ...ISAAC_ARRAY,
    weightBits: 8,
    inputBits: 8,
    storage: 'differential',
    adc: { model: 'uniform', bits: 4, range: 'unit-step' },
    source:
      'Yuan et al., "TinyADC", DATE 2021, by its abstract: columns of few non-zeros, small ADCs. 4 bits are exact for 5 non-zeros of 2-bit cells.',
  },
};

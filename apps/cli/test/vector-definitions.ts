/**
 * What a case of reference vectors must expect, by the written definitions alone: nothing of the packages is used here, so
 * that what they compute is held against something else than themselves.
 */

export type Matrix = readonly (readonly number[])[];
export type Limits = readonly [number, number];

interface MvmSettings {
  readonly style: string;
  readonly cell_bits: number;
  readonly onoff: number | null;
  readonly input?: string;
  readonly adc_model: string;
  readonly adc_bits: number;
}

export interface SlicedSettings extends MvmSettings {
  readonly slices: number;
  readonly input_bits: number;
  readonly subtract?: string | null;
  readonly adc_limits: readonly Limits[] | null;
}

export interface SingleSettings extends MvmSettings {
  readonly balanced_style?: string | null;
  readonly adc_per_input_slice: boolean;
  readonly adc_limits_per_array: readonly Limits[] | null;
  readonly dac_bits: number;
  readonly bit_serial: boolean;
  readonly input_slice_bits: number;
  readonly partition?: {
    readonly outputs_per_array: readonly number[];
    readonly inputs_per_array: readonly number[];
  } | null;
}

function halfEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

/** Clips, then rounds to one of L levels that include both ends; throws where rounding hangs on the last digits. */
export function convert(value: number, model: string, bits: number, limits: Limits | undefined): number {
  if (model === 'IdealADC' || bits === 0 || !limits) return value;
  const [low, high] = limits;
  const last = 2 ** bits - (model === 'SignMagnitudeADC' ? 2 : 1);
  const step = (high - low) / last;
  const position = (Math.min(Math.max(value, low), high) - low) / step;
  if (Math.abs(position - Math.floor(position) - 0.5) < 1e-6) throw new RangeError('on a rounding threshold');
  return low + halfEven(position) * step;
}

const cellOf = (level: number, cellBits: number, gmin: number): number =>
  gmin + ((1 - gmin) * level) / (2 ** cellBits - 1);
export const part = (value: number, first: number, bits: number): number => Math.floor(value / 2 ** first) % 2 ** bits;
export const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
export const dot = (a: readonly number[], b: readonly number[]): number =>
  sum(a.map((value, i) => value * (b[i] ?? 0)));

/**
 * One conversion per input bit and slice; `stuck[slice][sign][output][input]` fixes cells after programming.
 * @param high  the largest weight: 127 of 8 bits
 */
export function slicedMvm(
  s: SlicedSettings,
  w: Matrix,
  x: Matrix,
  stuck?: readonly (readonly Matrix[])[],
  high = 127,
): Matrix {
  const gmin = s.onoff === null ? 0 : 1 / s.onoff;
  const magnitude = s.input_bits - (s.input === 'signed' ? 1 : 0);
  const offset = s.style === 'offset';
  const read = (current: number, slice: number) => convert(current, s.adc_model, s.adc_bits, s.adc_limits?.[slice]);
  const cells = (row: readonly number[], o: number, slice: number, sign: number) =>
    row.map((value, i) => {
      const fault = stuck?.[slice]?.[sign]?.[o]?.[i] ?? 0;
      if (fault !== 0) return fault < 0 ? gmin : 1;
      const stored = offset ? value + high + 1 : Math.max(0, sign === 0 ? value : -value);
      return cellOf(part(stored, slice * s.cell_bits, s.cell_bits), s.cell_bits, gmin);
    });
  return x.map((vector) => {
    const total = sum(vector) / (2 ** magnitude - 1);
    return w.map((row, o) => {
      let result = 0;
      for (let slice = 0; slice < s.slices; slice++) {
        const [plus, minus] = [cells(row, o, slice, 0), offset ? [] : cells(row, o, slice, 1)];
        let collected = 0;
        for (let k = 0; k < magnitude; k++) {
          const bits = vector.map((value) => Math.sign(value) * part(Math.abs(value), k, 1));
          const [a, b] = [dot(plus, bits), dot(minus, bits)];
          const value = offset || s.subtract === 'digital' ? read(a, slice) : read(a - b, slice);
          collected += 2 ** k * (value - (!offset && s.subtract === 'digital' ? read(b, slice) : 0));
        }
        const scaled = (collected / (2 ** magnitude - 1) - (offset ? gmin * total : 0)) / (1 - gmin);
        result += scaled * (2 ** s.cell_bits - 1) * 2 ** (s.cell_bits * slice);
      }
      return (result - (offset ? (high + 1) * total : 0)) / high;
    });
  });
}

/** One cell or one balanced pair per weight, arrays with their own converters. */
export function singleCellMvm(s: SingleSettings, w: Matrix, x: Matrix): Matrix {
  const gmin = s.onoff === null ? 0 : 1 / s.onoff;
  const signed = s.input === 'signed';
  const wide = 8 - (signed ? 1 : 0);
  // Converters of fewer bits round the inputs.
  const magnitude = s.dac_bits === 0 ? wide : s.dac_bits - (signed ? 1 : 0);
  const steps = 2 ** s.cell_bits - 1;
  const toGrid = (g: number) => {
    if (s.cell_bits === 0) return g;
    const position = ((g - gmin) / (1 - gmin)) * steps;
    if (Math.abs(position - Math.floor(position) - 0.5) < 1e-6) throw new RangeError('a level on a threshold');
    return gmin + ((1 - gmin) * halfEven(position)) / steps;
  };
  const offset = s.style === 'offset';
  const range = (1 - gmin) * (offset && s.cell_bits > 0 ? (2 ** s.cell_bits - 2) / steps : 1);
  const base = 1 - range;
  const threshold = s.cell_bits === 0 ? 0 : 2 ** -(s.cell_bits + 1);
  const pair = (value: number): readonly [number, number] => {
    // Both cells of an empty two-sided pair are alike, whichever way their tie goes.
    if (!offset && s.balanced_style === 'TWO_SIDED' && value === 0) return [0.5, 0.5];
    if (offset) return [toGrid(base + range * (value / 2 + 0.5)), 0];
    if (s.balanced_style === 'TWO_SIDED')
      return [toGrid(gmin + ((1 - gmin) * (1 + value)) / 2), toGrid(gmin + ((1 - gmin) * (1 - value)) / 2)];
    return [
      toGrid(value >= threshold ? gmin + (1 - gmin) * value : gmin),
      toGrid(value < -threshold ? gmin - (1 - gmin) * value : gmin),
    ];
  };
  const outputs = s.partition?.outputs_per_array ?? [w.length];
  const inputs = s.partition?.inputs_per_array ?? [w[0]?.length ?? 0];
  const width = s.bit_serial ? s.input_slice_bits : magnitude;
  return x.map((given) => {
    const vector = given.map((value) => halfEven((value / (2 ** wide - 1)) * (2 ** magnitude - 1)));
    const y: number[] = [];
    let array = 0;
    let top = 0;
    for (const rows of outputs) {
      const partial = new Array<number>(rows).fill(0);
      let left = 0;
      for (const cols of inputs) {
        const limits = s.adc_limits_per_array?.[array++];
        const read = (current: number) => convert(current, s.adc_model, s.adc_bits, limits);
        const own = vector.slice(left, left + cols);
        for (let o = 0; o < rows; o++) {
          const weights = (w[top + o] ?? []).slice(left, left + cols).map((value) => value / 127);
          const plus = weights.map((value) => pair(value)[0]);
          const minus = weights.map((value) => pair(value)[1]);
          let value = 0;
          for (let k = 0; k * width < magnitude; k++) {
            const digits = own.map((v) => (Math.sign(v) * part(Math.abs(v), k * width, width)) / (2 ** width - 1));
            const current = dot(plus, digits) - dot(minus, digits);
            value += (s.adc_per_input_slice ? read(current) : current) * (2 ** width - 1) * 2 ** (width * k);
          }
          value /= 2 ** magnitude - 1;
          if (!s.adc_per_input_slice) value = read(value);
          const total = sum(own) / (2 ** magnitude - 1);
          partial[o] =
            (partial[o] ?? 0) + (offset ? (2 * (value - (base + range / 2) * total)) / (1 - gmin) : value / (1 - gmin));
        }
        left += cols;
      }
      y.push(...partial);
      top += rows;
    }
    return y;
  });
}

/** Currents and cell voltages of one array by elimination of its whole nodal matrix. */
export function nodal(
  g: Matrix,
  volts: readonly number[],
  s: Readonly<Record<string, number>>,
): { readonly amps: readonly number[]; readonly cells: Matrix } {
  const [m, n] = [g.length, volts.length];
  const size = 2 * m * n;
  const top = (i: number, o: number) => i * m + o;
  const low = (i: number, o: number) => m * n + i * m + o;
  const a = Array.from({ length: size }, () => new Float64Array(size + 1));
  const joined = (p: number, q: number, ohm: number) => {
    for (const [from, to] of [
      [p, q],
      [q, p],
    ] as const) {
      (a[from] as Float64Array)[from] = ((a[from] as Float64Array)[from] ?? 0) + ohm;
      (a[from] as Float64Array)[to] = ((a[from] as Float64Array)[to] ?? 0) - ohm;
    }
  };
  const driven = (p: number, siemens: number, volt: number) => {
    const row = a[p] as Float64Array;
    row[p] = (row[p] ?? 0) + siemens;
    row[size] = (row[size] ?? 0) + siemens * volt;
  };
  const first = 1 / ((s['R_input_segment_ohm'] ?? 0) + (s['R_input_terminal_ohm'] ?? 0));
  const last = 1 / ((s['R_output_segment_ohm'] ?? 0) + (s['R_output_terminal_ohm'] ?? 0));
  for (let i = 0; i < n; i++)
    for (let o = 0; o < m; o++) {
      joined(top(i, o), low(i, o), g[o]?.[i] ?? 0);
      if (o === 0) driven(top(i, o), first, volts[i] ?? 0);
      else joined(top(i, o), top(i, o - 1), 1 / (s['R_input_segment_ohm'] ?? 1));
      if (i === n - 1) driven(low(i, o), last, 0);
      else joined(low(i, o), low(i + 1, o), 1 / (s['R_output_segment_ohm'] ?? 1));
    }
  for (let p = 0; p < size; p++)
    for (let q = 0; q < size; q++) {
      if (q === p) continue;
      const [from, to] = [a[p] as Float64Array, a[q] as Float64Array];
      const factor = (to[p] ?? 0) / (from[p] ?? 1);
      if (factor !== 0) for (let c = p; c <= size; c++) to[c] = (to[c] ?? 0) - factor * (from[c] ?? 0);
    }
  const v = (p: number) => (a[p]?.[size] ?? 0) / (a[p]?.[p] ?? 1);
  return {
    amps: Array.from({ length: m }, (_, o) => v(low(n - 1, o)) * last),
    cells: Array.from({ length: m }, (_, o) => Array.from({ length: n }, (_, i) => v(top(i, o)) - v(low(i, o)))),
  };
}

/** [rows][filters] with the `most` largest magnitudes of each filter and block; ties to the lower row. */
export function projected(w: Matrix, blockRows: number, most: number): Matrix {
  const kept = w.map((row) => row.map(() => 0));
  for (let f = 0; f < (w[0]?.length ?? 0); f++)
    for (let first = 0; first < w.length; first += blockRows) {
      const rows = Array.from({ length: Math.min(blockRows, w.length - first) }, (_, i) => first + i);
      rows.sort((p, q) => Math.abs(w[q]?.[f] ?? 0) - Math.abs(w[p]?.[f] ?? 0) || p - q);
      for (const row of rows.slice(0, most)) (kept[row] as number[])[f] = w[row]?.[f] ?? 0;
    }
  return kept;
}

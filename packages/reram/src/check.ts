/**
 * Verifies a certificate against integer weights. On purpose it shares no code with what writes certificates: it cuts the
 * weights itself, bit by bit, and drives every column with the input that is said to reach its bound.
 */
import { GrimError } from '@grim/ir';
import type { Certificate } from './certificate.ts';

/** What is wrong with one column, or with the whole certificate (column −1). */
export interface CertificateProblem {
  readonly column: number;
  readonly problem: string;
}

/** At most this many problems are listed. */
const MOST_PROBLEMS = 100;

/**
 * @param weights  [outputs, inputs], row-major, the integers that were mapped
 * @returns nothing when every column of every array is listed once, its bound is right and reached, and the bits suffice
 * @throws {GrimError} GRIM_RERAM_BAD_CERTIFICATE when it is no certificate, or of another matrix
 */
export function checkCertificate(
  weights: { readonly rows: number; readonly cols: number; readonly data: ArrayLike<number> },
  certificate: Certificate,
): readonly CertificateProblem[] {
  const problems: CertificateProblem[] = [];
  const report = (column: number, problem: string) => {
    if (problems.length < MOST_PROBLEMS) problems.push({ column, problem });
  };
  const { crossbar: c, filters, wordLines, rowBlocks, columns } = wellFormed(certificate);
  if (certificate.outputs !== weights.rows || certificate.inputs !== weights.cols)
    refuse(
      `it is of a ${certificate.outputs}×${certificate.inputs} matrix, this one is ${weights.rows}×${weights.cols}`,
    );

  const biased = c.storage === 'offset';
  const bias = biased ? 2 ** (c.weightBits - 1) : 0;
  // The part of a weight that a cell holds, by plain division.
  const cell = (output: number, input: number, negative: boolean, slice: number): number => {
    const w = weights.data[output * weights.cols + input] ?? 0;
    if (c.zeroPair === 'high') {
      // A pair of full cells, of which a weight lowers the one of the other sign.
      const lowered = negative ? Math.max(0, w) : Math.max(0, -w);
      return 2 ** c.cellBits - 1 - (Math.floor(lowered / 2 ** (c.cellBits * slice)) % 2 ** c.cellBits);
    }
    const stored = biased ? w + bias : negative ? Math.max(0, -w) : Math.max(0, w);
    return Math.floor(stored / 2 ** (c.cellBits * slice)) % 2 ** c.cellBits;
  };
  const kept = new Set(filters);
  const lines = new Set(wordLines);
  if (kept.size !== filters.length || lines.size !== wordLines.length)
    refuse('a filter or a word line is listed twice');
  if (!biased)
    for (let output = 0; output < weights.rows; output++)
      for (let input = 0; input < weights.cols; input++)
        if ((weights.data[output * weights.cols + input] ?? 0) !== 0 && !(kept.has(output) && lines.has(input)))
          report(-1, `weight [${output}, ${input}] is not zero and stands in no array`);

  const paired = c.subtract === 'analog' && !biased;
  const signedDrive = c.encoding === 'sign-magnitude';
  const magnitudeBits = c.encoding === 'unsigned' ? c.inputBits : c.inputBits - 1;
  const drive = 2 ** (c.adcPerInputSlice ? Math.min(c.dacBits, magnitudeBits) : magnitudeBits) - 1;
  const bipolar = paired || signedDrive;
  const seen = new Set<string>();
  columns.forEach((column, index) => {
    const { polarity, rowBlock, slice, output, low, high, bits } = column;
    const first = rowBlocks[rowBlock];
    const end = rowBlocks[rowBlock + 1];
    if (first === undefined || end === undefined || !kept.has(output) || slice < 0 || slice >= c.slices)
      refuse(`column ${index} names a block, slice or output that does not exist`);
    const key = `${polarity},${rowBlock},${slice},${output}`;
    if (seen.has(key)) report(index, 'it is listed twice');
    seen.add(key);
    let up = 0;
    let down = 0;
    let reached = 0;
    let reachedLow = 0;
    for (let i = first; i < end; i++) {
      const input = wordLines[i] ?? 0;
      const stored = cell(output, input, polarity === 1, slice);
      const level = column.flipped ? 2 ** c.cellBits - 1 - stored : stored;
      const other = paired ? cell(output, input, true, slice) : 0;
      // What a pair makes of one line together; of a single column, its level.
      up += Math.max(0, level - other) * drive;
      down += Math.max(0, other - level) * drive;
      if (driven(column.reachesHigh, i - first)) reached += (level - other) * drive;
      if (driven(column.reachesLow ?? '', i - first)) reachedLow += (level - other) * drive;
    }
    const top = signedDrive ? up + down : up;
    const bottom = signedDrive ? -top : -down;
    if (high !== top || low !== bottom + 0)
      report(index, `its sums go from ${bottom} to ${top}, not from ${low} to ${high}`);
    if ((signedDrive && paired ? reached - reachedLow : reached) !== top)
      report(index, `the input that should reach ${top} gives ${reached}`);
    if (paired && !signedDrive && reachedLow !== bottom)
      report(index, `the input that should reach ${bottom} gives ${reachedLow}`);
    const most = Math.max(top, -bottom);
    const covers = (b: number) => (b <= 0 ? most === 0 : most < 2 ** (bipolar ? b - 1 : b));
    if (!covers(bits)) report(index, `${bits} bits do not cover ${most}`);
    else if (bits > 0 && covers(bits - 1)) report(index, `${bits - 1} bits would do`);
    const codes = bits === 0 ? 0 : Math.max(0, Math.floor(2 ** (bits - 1 - (bipolar ? 1 : 0))) - 1);
    if (column.clippedByOneBitLess !== most - codes)
      report(index, `one bit less clips ${most - codes}, not ${column.clippedByOneBitLess}`);
    if (certificate.lossless && bits > certificate.adcBits)
      report(index, `it needs ${bits} bits; the certificate promises ${certificate.adcBits}`);
  });
  // What is missing may be missing only where no cell of the column holds anything.
  const polarities = biased || paired ? 1 : 2;
  for (let rowBlock = 0; rowBlock + 1 < rowBlocks.length; rowBlock++)
    for (let polarity = 0; polarity < polarities; polarity++)
      for (let slice = 0; slice < c.slices; slice++)
        for (const output of filters) {
          if (seen.has(`${polarity},${rowBlock},${slice},${output}`)) continue;
          let stored = 0;
          for (let i = rowBlocks[rowBlock] ?? 0; i < (rowBlocks[rowBlock + 1] ?? 0); i++)
            stored += cell(output, wordLines[i] ?? 0, polarity === 1, slice);
          if (stored > 0 || c.storage !== 'sign-separated')
            report(-1, `block ${rowBlock}, slice ${slice}, output ${output}, sign ${polarity} is missing`);
        }
  return problems;
}

/** A problem of one layer of a network. */
export interface NetworkProblem extends CertificateProblem {
  readonly layer: string;
}

/**
 * Verifies the certificates of a whole network, from the integers that stand in the file and, when the real weights of
 * each layer are given, that those integers are theirs.
 *
 * @param value  the file, parsed
 * @param weightsOf  the real weights of a layer, row-major; a layer without any is a problem
 * @param tolerance  steps that an integer may lie from its real weight: half a step is rounding
 * @throws {GrimError} GRIM_RERAM_BAD_CERTIFICATE when it is no such file
 */
export function checkNetworkCertificate(
  value: unknown,
  weightsOf?: (layer: string) => ArrayLike<number> | undefined,
  tolerance = 0.5,
): readonly NetworkProblem[] {
  const file = value as {
    readonly format?: unknown;
    readonly version?: unknown;
    readonly lossless?: unknown;
    readonly adcBits?: unknown;
    readonly layers?: unknown;
  };
  if (typeof value !== 'object' || value === null || file.format !== 'grim-network-certificate' || file.version !== 1)
    refuse('format and version are not those of "grim-network-certificate", version 1');
  if (!Array.isArray(file.layers) || file.layers.length === 0) refuse('it has no layers');
  const problems: NetworkProblem[] = [];
  let every = true;
  let most = 0;
  for (const layer of file.layers as readonly Record<string, unknown>[]) {
    const { name, rows, cols, weights, scales, certificate } = layer ?? {};
    const count = Number(rows) * Number(cols);
    const numbers = (list: unknown, length: number): list is number[] =>
      Array.isArray(list) && list.length === length && list.every((v) => Number.isFinite(v));
    if (typeof name !== 'string' || !numbers(weights, count) || !numbers(scales, Number(rows)))
      refuse('a layer is not well formed: name, rows · cols integers and one scale for each row are needed');
    const add = (column: number, problem: string) => {
      if (problems.length < MOST_PROBLEMS) problems.push({ layer: name, column, problem });
    };
    const off = weights.findIndex((v) => !Number.isInteger(v));
    if (off >= 0) add(-1, `weight ${off} is ${weights[off]}, no integer`);
    const own = certificate as Certificate;
    const found = checkCertificate({ rows: Number(rows), cols: Number(cols), data: weights }, own);
    for (const { column, problem } of found) add(column, problem);
    every = every && own.lossless;
    most = Math.max(most, own.adcBits);
    const limit = 2 ** (own.crossbar.weightBits - 1);
    const wide = weights.findIndex((v) => v >= limit || v < -limit);
    if (wide >= 0) add(-1, `weight ${wide} is ${weights[wide]}; ${own.crossbar.weightBits} bits do not hold it`);
    if (!weightsOf) continue;
    const real = weightsOf(name);
    if (real?.length !== count) {
      add(-1, `the model has no such layer with ${count} weights`);
      continue;
    }
    const moved = weights.findIndex((v, i) => {
      const step = scales[Math.floor(i / Number(cols))] as number;
      return !(Math.abs((real[i] as number) / step - v) <= tolerance * (1 + 1e-6));
    });
    if (moved >= 0) add(-1, `weight ${moved} of the model is ${real[moved]}; the integer that is certified is another`);
  }
  if (file.lossless !== every) problems.push({ layer: '', column: -1, problem: 'lossless is not what its layers say' });
  if (file.adcBits !== most) problems.push({ layer: '', column: -1, problem: `its layers have ${most} bits at most` });
  return problems;
}

function driven(mask: string, line: number): boolean {
  const digit = Number.parseInt(mask.charAt(Math.floor(line / 4)) || '0', 16);
  return Math.floor(digit / 2 ** (line % 4)) % 2 === 1;
}

function refuse(problem: string): never {
  throw new GrimError('GRIM_RERAM_BAD_CERTIFICATE', `certificate: ${problem}.`);
}

/** The fields that the checks rely on: a certificate is a file. */
function wellFormed(value: unknown): Certificate {
  const record = value as Certificate;
  if (typeof value !== 'object' || value === null || record.format !== 'grim-adc-certificate' || record.version !== 1)
    refuse('format and version are not those of "grim-adc-certificate", version 1');
  const { crossbar, columns, rowBlocks, filters, wordLines, outputs, inputs } = record;
  const indices = (list: unknown, end: number) =>
    Array.isArray(list) && list.every((i) => Number.isInteger(i) && i >= 0 && i < end);
  if (typeof crossbar !== 'object' || crossbar === null) refuse('crossbar is missing');
  for (const key of ['cellBits', 'weightBits', 'inputBits', 'dacBits', 'slices'] as const)
    if (!Number.isInteger(crossbar[key]) || crossbar[key] < 1 || crossbar[key] > 24)
      refuse(`crossbar.${key} is no integer from 1 to 24`);
  for (const [key, known] of [
    ['storage', ['differential', 'sign-separated', 'offset']],
    ['subtract', ['analog', 'digital']],
    ['encoding', ['unsigned', 'twos-complement', 'sign-magnitude']],
    ['adcPerInputSlice', [true, false]],
  ] as const)
    if (!(known as readonly unknown[]).includes(crossbar[key]))
      refuse(`crossbar.${key} is none of ${known.join(', ')}`);
  if (!Number.isInteger(record.adcBits) || typeof record.lossless !== 'boolean')
    refuse('adcBits or lossless are not what they should be');
  if (!indices(filters, outputs) || !indices(wordLines, inputs)) refuse('filters or wordLines are not indices');
  const ascending = Array.isArray(rowBlocks) && rowBlocks.every((b, i) => i === 0 || b > (rowBlocks[i - 1] ?? 0));
  if (!ascending || rowBlocks[0] !== 0 || rowBlocks.at(-1) !== wordLines.length)
    refuse('rowBlocks do not go from 0 to the number of word lines');
  if (!Array.isArray(columns)) refuse('columns are missing');
  for (const column of columns)
    if (
      typeof column !== 'object' ||
      column === null ||
      typeof column.reachesHigh !== 'string' ||
      !Number.isInteger(column.bits)
    )
      refuse('a column is not well formed');
  return record;
}

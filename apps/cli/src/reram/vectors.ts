/**
 * Reference vectors of crossbars: which format a case has, and what running it means. A case is told by its fields, so any
 * file of these formats will do, whatever its seed, sizes and settings.
 */
import { GrimError } from '@grim/ir';
import { adcTransfer, bitSliced, irDrop, singleCell, stuckCells } from './vectors-arrays.ts';
import { chipTotals, converterRuns } from './vectors-cost.ts';
import { Fields, type Measured } from './vectors-fields.ts';
import { admmIterates, bitLaws, columnProportional, convolution, noiseMoments } from './vectors-methods.ts';

export interface VectorResult {
  readonly id: string;
  readonly format: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  /** Largest error met, in the unit of the tolerance. */
  readonly error?: number;
  readonly tolerance?: number;
  readonly reason?: string;
}

type Run = (fields: Fields) => Measured;

const BY_KIND: Readonly<Record<string, Run>> = {
  bitsliced_mvm: bitSliced,
  single_cell_mvm: singleCell,
  adc_transfer: adcTransfer,
  stuck_at_bitsliced_differential: stuckCells,
  ir_drop: irDrop,
};

/** By a field that no other format has. */
const BY_FIELD: readonly (readonly [field: string, format: string, run: Run])[] = [
  ['active_rows', 'adc_bits', bitLaws],
  ['matrix_rows_by_filters', 'cp_projection', columnProportional],
  ['final_Z', 'admm_quadratic', admmIterates],
  ['weights_pruned_int', 'conv_mapping', convolution],
  ['gpos', 'noise_statistics', noiseMoments],
];

/**
 * Runs every case of a file.
 * @param value  the file, parsed
 * @throws {GrimError} GRIM_RERAM_BAD_VECTORS when it is no file of any of the formats
 */
export function* runVectors(value: unknown): Generator<VectorResult> {
  const file = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  if (Array.isArray(file['cases'])) {
    for (const [i, one] of (file['cases'] as readonly unknown[]).entries()) yield runCase(one, i);
    return;
  }
  const whole: readonly (readonly [format: string, run: (fields: Fields) => Iterable<Measured>])[] = [
    ...('reconstructed' in file ? [['isaac_cost', chipTotals] as const] : []),
    ...('runs' in file ? [['neurosim_small_net', converterRuns] as const] : []),
  ];
  if (whole.length === 0)
    throw new GrimError(
      'GRIM_RERAM_BAD_VECTORS',
      'this is no file of reference vectors: it has neither "cases", nor "reconstructed", nor "runs".',
    );
  for (const [format, run] of whole) {
    try {
      for (const measured of run(new Fields(file, format))) yield judge(measured.id ?? format, format, measured);
    } catch (error) {
      yield failed(format, format, error);
    }
  }
}

function runCase(value: unknown, index: number): VectorResult {
  const record = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  const { kind } = record;
  const byField = BY_FIELD.find(([field]) => field in record);
  const format = typeof kind === 'string' && Object.hasOwn(BY_KIND, kind) ? kind : (byField?.[1] ?? 'unknown');
  const run = BY_KIND[format] ?? byField?.[2];
  const id = typeof record['id'] === 'string' ? record['id'] : `${format} ${index + 1}`;
  if (!run)
    return { id, format, status: 'failed', reason: `its kind is ${JSON.stringify(kind)}; no such format is known` };
  try {
    return judge(id, format, run(new Fields(record, '')));
  } catch (error) {
    return failed(id, format, error);
  }
}

function judge(id: string, format: string, { error, tolerance, skipped, note }: Measured): VectorResult {
  if (skipped !== undefined) return { id, format, status: 'skipped', reason: skipped };
  const status = error <= tolerance ? 'passed' : 'failed';
  return { id, format, status, error, tolerance, ...(note !== undefined && { reason: note }) };
}

function failed(id: string, format: string, error: unknown): VectorResult {
  if (!(error instanceof GrimError)) throw error;
  return { id, format, status: 'failed', reason: `${error.message} [${error.code}]` };
}

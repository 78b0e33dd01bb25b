/**
 * How a GPU computes a product of a constant matrix: the template, the shape of a work-group, the tile that an invocation holds
 * in registers, how often K is split, and where rows of X wait. Plain data that a tuner writes and `compile` reads; what is
 * left out is decided as without one. Keys are those of `schedule.ts`.
 *
 * Every schedule here runs on every device: ranges follow from the limits that WebGPU guarantees.
 */
import { GrimError } from '@grim/ir';
import { TALLEST } from './kernels/family.ts';

/**
 * `dense`: panels of 6 rows, register tiles. `units`: what hangs together by a row, sums in registers. `blocks`: rows that share
 * columns, sums in work-group memory. `strips`: many low bands over one tile of X. `lanes`: rows side by side, for one column.
 */
export type GpuForm = 'dense' | 'units' | 'blocks' | 'strips' | 'lanes';

/** Only the fields that `GPU_KNOBS` names for the form may be there. */
export interface GpuSchedule {
  readonly form: GpuForm;
  /** Work-group shape: invocations along the columns of C. */
  readonly lanes?: number;
  /** Work-group shape: invocations along the rows of C (`dense`: a panel of 6 rows each; `lanes`: that deal K among them). */
  readonly parts?: number;
  /** Register tile: columns of C of each invocation. */
  readonly width?: number;
  /** Ranges of K that work-groups of their own multiply; a second pass adds them up. */
  readonly splitK?: number;
  /** Where rows of X wait for their weights. */
  readonly x?: 'workgroup' | 'registers' | 'global';
}

/** By key of a product. */
export type GpuSchedules = Readonly<Record<string, GpuSchedule>>;

type Knob = Exclude<keyof GpuSchedule, 'form'>;

/** What can be chosen for a form, and the values; those that a device cannot have together are left out by {@link gpuCandidates}. */
const GPU_KNOBS: Readonly<Record<GpuForm, Readonly<Partial<Record<Knob, readonly unknown[]>>>>> = {
  dense: {
    lanes: [16, 32, 64],
    parts: [1, 2, 4, 8],
    width: [1, 2, 4],
    splitK: [1, 2, 4, 8, 16],
    x: ['workgroup', 'registers', 'global'],
  },
  units: { lanes: [32, 64, 128, 256], width: [1, 2, 4] },
  blocks: {},
  strips: { lanes: [32, 64, 128], parts: [1, 2, 4], width: [1, 2, 4], splitK: [1, 2, 4, 8, 16] },
  lanes: { parts: [1, 2, 4, 8], splitK: [1, 2, 4, 8, 16] },
};

/** Of a device; those that every one has are the default everywhere. */
export interface GpuLimits {
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupStorageSize: number;
}

export const LEAST_LIMITS: GpuLimits = {
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16_384,
};

/** Bytes of work-group memory that are left to a branch, `wgsl/condition.ts`. */
const BRANCH = 16;

/** Columns of A that are in work-group memory at once, of dense products. */
export const DENSE_DEPTH = 8;
/** Float32 of an invocation's tile: with inputs, weights and indices about 100 registers. */
const MOST_SUMS = 32;

/** What a GPU would be asked for. */
export interface GpuDemand {
  /** Of a work-group. */
  readonly invocations: number;
  /** Bytes of work-group memory. */
  readonly memory: number;
  /** Float32 that an invocation keeps from the first column of A to the last. */
  readonly sums: number;
}

export function gpuDemand({
  form,
  lanes = 64,
  parts = form === 'lanes' ? 8 : 1,
  width = 1,
  x = 'workgroup',
}: GpuSchedule): GpuDemand {
  const invocations = lanes * parts;
  if (form === 'dense') {
    const inputs = x === 'workgroup' ? lanes * width : 0;
    return { invocations, memory: 4 * DENSE_DEPTH * (inputs + parts * TALLEST), sums: TALLEST * width };
  }
  if (form === 'units') return { invocations: lanes, memory: 0, sums: TALLEST * width };
  if (form === 'lanes') return { invocations: 32 * parts, memory: 4 * 32 * parts, sums: 1 };
  if (form === 'strips') return { invocations, memory: 0, sums: TALLEST * width };
  return { invocations: 64, memory: 0, sums: 32 };
}

/** A product, as far as it decides what can be chosen. */
interface GpuProduct {
  readonly rows: number;
  /** K. */
  readonly depth: number;
  /** N; 1 where rows lie in lanes. */
  readonly columns: number;
  readonly pattern: unknown;
  /** Forms that it can have on a GPU, where it was lowered for one. */
  readonly gpuForms?: readonly GpuForm[] | undefined;
}

/** Forms that the product can have on a GPU. */
export function gpuFormsOf({ columns, pattern, gpuForms }: GpuProduct, vector: boolean): readonly GpuForm[] {
  if (gpuForms) return gpuForms;
  if (vector) return ['lanes'];
  if (!pattern) return ['dense'];
  return columns < 32 ? ['units', 'strips', 'dense'] : ['units', 'blocks', 'strips', 'dense'];
}

/** All schedules that the product can have within the limits, every knob spelled out. @param vector  rows lie in lanes */
export function gpuCandidates(
  product: GpuProduct,
  vector: boolean,
  limits: GpuLimits = LEAST_LIMITS,
): readonly GpuSchedule[] {
  return gpuFormsOf(product, vector).flatMap((form) => {
    let found: GpuSchedule[] = [{ form }];
    for (const [knob, values] of Object.entries(GPU_KNOBS[form]))
      found = found.flatMap((schedule) => (values ?? []).map((value) => ({ ...schedule, [knob]: value })));
    return found.filter((schedule) => within(schedule, limits) && fits(schedule, product));
  });
}

function within(schedule: GpuSchedule, limits: GpuLimits): boolean {
  const { invocations, memory, sums } = gpuDemand(schedule);
  return (
    invocations >= 32 &&
    invocations <= limits.maxComputeInvocationsPerWorkgroup &&
    memory <= limits.maxComputeWorkgroupStorageSize - BRANCH &&
    sums <= MOST_SUMS
  );
}

/** Not more of anything than the product has: tiles at most twice as wide, ranges of K of 32 columns at least. */
function fits({ form, lanes = 1, width = 1, splitK = 1 }: GpuSchedule, { depth, columns }: GpuProduct): boolean {
  if (form !== 'lanes' && lanes * width > 32 && lanes * width >= 2 * Math.max(32, columns)) return false;
  return splitK === 1 || depth >= 32 * splitK;
}

/**
 * Throws unless the product can be computed that way on every device.
 * @param given  from a caller or a file, of any type
 * @throws {GrimError} GRIM_CODEGEN_BAD_SCHEDULE
 */
export function checkGpuSchedule(key: string, given: unknown, forms: readonly GpuForm[]): asserts given is GpuSchedule {
  const bad = (found: string, needed: string): never => {
    throw new GrimError(
      'GRIM_CODEGEN_BAD_SCHEDULE',
      `GPU schedule of ${key}: ${found}, ${needed}. Leave it out, or tune again.`,
      { key },
    );
  };
  if (typeof given !== 'object' || given === null) bad('it is no object', 'an object is needed');
  const { form, ...knobs } = given as Record<string, unknown>;
  if (!(forms as readonly unknown[]).includes(form)) bad(`form ${String(form)}`, `${forms.join(', ')} can be had`);
  const known = GPU_KNOBS[form as GpuForm];
  for (const [name, value] of Object.entries(knobs)) {
    if (value === undefined) continue;
    const values = Object.hasOwn(known, name) ? known[name as Knob] : undefined;
    if (!values) bad(`${name} is given`, `form ${String(form)} has ${Object.keys(known).join(', ') || 'none'}`);
    if (!values?.includes(value)) bad(`${name} is ${String(value)}`, `${values?.join(', ')} can be had`);
  }
  const schedule = given as GpuSchedule;
  if (!within(schedule, LEAST_LIMITS)) {
    const { invocations, memory, sums } = gpuDemand(schedule);
    bad(
      `${invocations} invocations, ${memory} bytes of work-group memory, ${sums} sums each`,
      `32 to ${LEAST_LIMITS.maxComputeInvocationsPerWorkgroup}, ${LEAST_LIMITS.maxComputeWorkgroupStorageSize} and ${MOST_SUMS} are the most`,
    );
  }
}

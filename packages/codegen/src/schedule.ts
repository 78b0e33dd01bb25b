/**
 * How a product of a constant matrix is computed: its form, its tiles and its loops, as plain data that a tuner writes and
 * `compile` reads. What a schedule leaves out, the compiler decides as it would without one.
 *
 * Schedules are found by the key of a product: its sizes, where its inputs lie, what follows it, and how its pattern looks.
 * Products that agree in these take the same time whatever their weights are, so they share one schedule.
 */
import { density } from '@grim/bcr';
import { type BcrPattern, GrimError } from '@grim/ir';
import { checkGpuSchedule, type GpuForm, type GpuSchedule, type GpuSchedules } from './gpu-schedule.ts';
import { type Epilogue, epilogueName, TALLEST } from './kernels/family.ts';
import type { FullColumns } from './kernels/tile.ts';

/**
 * `dense`: panels of 6 rows. `pairs`: panels of 2 rows against 24 columns, in passes over K. `units`: tiles of the rows that a
 * block keeps. `rows`: every row on its own (CSR). `mixed`: for each row of blocks the cheaper of these two. `lanes`: rows in vector lanes, for one column, where no other form is known.
 */
export type ScheduleForm = 'dense' | 'pairs' | 'units' | 'mixed' | 'rows' | 'lanes';

/** Only the fields that {@link knobsOf} names for the form may be there. */
export interface Schedule {
  readonly form: ScheduleForm;
  /** Columns of C in a tile. */
  readonly columns?: FullColumns;
  /** Most rows in a tile, 1 to 6. */
  readonly tallest?: number;
  /** Kept rows of a block in tiles of about equal height, or in full tiles and one lower tile. */
  readonly cut?: 'balanced' | 'full';
  /** Blocks side by side become one: never, where they keep the same rows, or where that is cheaper, zeros filled in. */
  readonly merge?: 'none' | 'equal' | 'near';
  /** Ranges of K, 1 to 64: all units of one come before those of the next. */
  readonly passes?: number;
  /** Columns of A in one step of the innermost loop; more where a low tile needs the chains. */
  readonly unroll?: 2 | 4 | 8;
  /** `rows`: as they stand, or those with equal columns one after the other. */
  readonly order?: 'given' | 'signature';
  /** Copies the rows of B that a tile reads side by side first. */
  readonly gather?: boolean;
  /** Groups of rows, 1 to 64: all columns of one come before those of the next. */
  readonly groups?: number;
  /** `lanes`: rows of a block; lower blocks are covered by blocks of that height. 0: as the pattern has them. */
  readonly blockRows?: number;
  /** What threads share, and in how many pieces, 1 to 64. Default: by the threads given to `compile`. */
  readonly split?: 'rows' | 'columns';
  readonly pieces?: number;
}

/** By key of a product; see {@link ProductSite}. */
export type Schedules = Readonly<Record<string, Schedule>>;

type Knob = Exclude<keyof Schedule, 'form'>;

const STREAM = ['columns', 'tallest', 'cut', 'merge', 'passes', 'unroll', 'gather', 'groups'] as const;
const KNOBS: Readonly<Record<ScheduleForm, readonly Knob[]>> = {
  dense: ['unroll', 'gather', 'groups'],
  pairs: ['passes'],
  units: STREAM,
  mixed: STREAM,
  rows: ['columns', 'order', 'passes', 'unroll', 'gather', 'groups'],
  lanes: ['blockRows'],
};
const SHARING = ['split', 'pieces'] as const;

/** What can be chosen for a form, besides how threads share it. */
export function knobsOf(form: ScheduleForm): readonly Knob[] {
  return KNOBS[form];
}

const whole = (least: number, most: number) => (value: unknown) =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
const oneOf =
  (...values: readonly unknown[]) =>
  (value: unknown) =>
    values.includes(value);

const RULES: Readonly<Record<Knob, readonly [test: (value: unknown) => boolean, needed: string]>> = {
  columns: [oneOf(8, 16, 24), '8, 16 or 24'],
  tallest: [whole(1, TALLEST), `1 to ${TALLEST}`],
  cut: [oneOf('balanced', 'full'), 'balanced or full'],
  merge: [oneOf('none', 'equal', 'near'), 'none, equal or near'],
  passes: [whole(1, 64), '1 to 64'],
  unroll: [oneOf(2, 4, 8), '2, 4 or 8'],
  order: [oneOf('given', 'signature'), 'given or signature'],
  gather: [oneOf(true, false), 'true or false'],
  groups: [whole(1, 64), '1 to 64'],
  blockRows: [oneOf(0, 8, 16, 32, 64), '0, 8, 16, 32 or 64'],
  split: [oneOf('rows', 'columns'), 'rows or columns'],
  pieces: [whole(1, 64), '1 to 64'],
};

/** A product as it stands in a graph. */
export interface ProductSite {
  readonly key: string;
  /** The node that it belongs to. */
  readonly node: string;
  readonly rows: number;
  /** K: columns of the constant matrix. */
  readonly depth: number;
  /** N; 1 where rows lie in lanes. */
  readonly columns: number;
  readonly density: number;
  readonly pattern: BcrPattern | undefined;
  /** What was chosen, every knob of its form spelled out. */
  readonly schedule: Schedule;
  /** The same on a GPU, where the graph was lowered for one. */
  readonly gpu?: GpuSchedule | undefined;
  readonly gpuForms?: readonly GpuForm[] | undefined;
  /** Why it was chosen and what would change it, a sentence each; chooses again at other densities. */
  readonly reason: () => readonly string[];
}

/**
 * Throws unless the product can be computed that way.
 * @param given  from a caller or a file, of any type
 * @throws {GrimError} GRIM_CODEGEN_BAD_SCHEDULE
 */
export function checkSchedule(key: string, given: unknown, vector: boolean): asserts given is Schedule {
  const bad = (found: string, needed: string): never => {
    throw new GrimError(
      'GRIM_CODEGEN_BAD_SCHEDULE',
      `schedule of ${key}: ${found}, ${needed}. Leave it out, or tune again.`,
      { key },
    );
  };
  if (typeof given !== 'object' || given === null) bad('it is no object', 'an object is needed');
  const { form, ...knobs } = given as Record<string, unknown>;
  const forms: readonly unknown[] = vector ? ['lanes'] : ['dense', 'pairs', 'units', 'mixed', 'rows'];
  if (!forms.includes(form)) bad(`form ${String(form)}`, `${forms.join(', ')} can be had`);
  const known: readonly string[] = [...KNOBS[form as ScheduleForm], ...SHARING];
  for (const [name, value] of Object.entries(knobs)) {
    if (value === undefined) continue;
    if (!known.includes(name)) bad(`${name} is given`, `form ${String(form)} has ${known.join(', ')}`);
    const [test, needed] = RULES[name as Knob];
    if (!test(value)) bad(`${name} is ${String(value)}`, `${needed} is needed`);
  }
}

/** What decides how long a product takes. */
interface ProductFacts {
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  readonly pattern: BcrPattern | undefined;
  readonly epilogue: Epilogue;
  readonly xOffset: (k: number) => number;
}

export function productKey({ rows, depth, columns, pattern, epilogue, xOffset }: ProductFacts): string {
  // FNV-1a over where the rows of B lie: windows, strides and pitches differ in it.
  let layout = 0x811c9dc5;
  for (let k = 0; k < depth; k++) layout = Math.imul(layout ^ xOffset(k), 0x01000193);
  const parts = [`${rows}x${depth}x${columns}`, `at${(layout >>> 0).toString(16)}`, patternKey(pattern)];
  return parts.join('-') + epilogueName(epilogue);
}

/** Blocks, share of weights and rows kept in a block: two patterns that agree have as many units of the same size. */
function patternKey(pattern: BcrPattern | undefined): string {
  const share = pattern ? density(pattern) : 1;
  if (!pattern || share === 1) return 'dense';
  const kept = pattern.keptRows.filter((rows, i) => rows.length > 0 && (pattern.keptCols[i]?.length ?? 0) > 0);
  const rows = kept.reduce((sum, list) => sum + list.length, 0) / Math.max(1, kept.length);
  return `${pattern.grid.blockRows}x${pattern.grid.blockCols}at${share.toPrecision(2)}of${rows.toPrecision(2)}`;
}

/** What lowerings ask about schedules, and what they leave for the tuner. */
export class ProductRecords {
  readonly #given: Schedules;
  readonly #gpu: GpuSchedules;
  readonly #sites: ProductSite[] = [];
  #current: string | undefined;
  /** That the steps of recurrent layers take so far, where they are spelled out. */
  spelledWords = 0;

  constructor(given: Schedules = {}, gpu: GpuSchedules = {}) {
    this.#given = given;
    this.#gpu = gpu;
  }

  /** Of the calls that are being appended. */
  get current(): string | undefined {
    return this.#current;
  }

  get sites(): readonly ProductSite[] {
    return this.#sites;
  }

  /** @throws {GrimError} GRIM_CODEGEN_BAD_SCHEDULE */
  given(key: string, vector: boolean): Schedule | undefined {
    if (!Object.hasOwn(this.#given, key)) return undefined;
    const schedule: unknown = this.#given[key];
    checkSchedule(key, schedule, vector);
    return schedule;
  }

  /** @throws {GrimError} GRIM_CODEGEN_BAD_SCHEDULE */
  givenGpu(key: string, forms: readonly GpuForm[]): GpuSchedule | undefined {
    if (!Object.hasOwn(this.#gpu, key)) return undefined;
    const schedule: unknown = this.#gpu[key];
    checkGpuSchedule(key, schedule, forms);
    return schedule;
  }

  /** With the same schedules, and no products yet: for calls that are only recorded. */
  apart(): ProductRecords {
    return new ProductRecords(this.#given, this.#gpu);
  }

  place(site: ProductSite): void {
    this.#sites.push(site);
  }

  /** Calls that `body` appends compute the product of that key. */
  within(key: string, body: () => void): void {
    this.#current = key;
    body();
    this.#current = undefined;
  }
}

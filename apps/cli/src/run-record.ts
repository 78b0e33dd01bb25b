/**
 * The record beside an output, `FILE.run.json`: command line, hashes of all that was read, versions and machine. `grim
 * reproduce` repeats it. Where a run found something by measuring times, which no second run finds again, the record keeps
 * what was found.
 */
import { availableParallelism, cpus } from 'node:os';
import { GrimError } from '@grim/ir';
import { sha256 } from './prune/examples.ts';
import { version } from './version.ts';

const RECORDED_COMMANDS = ['prune', 'train', 'tune', 'compile'] as const;
type RecordedCommand = (typeof RECORDED_COMMANDS)[number];

/** A file by its bytes, or labelled examples by what was read of them, wherever it lies. */
export interface RecordedInput {
  readonly path: string;
  readonly sha256: string;
  /** How many; absent: a file. */
  readonly examples?: number;
}

export interface RunRecord {
  readonly command: RecordedCommand;
  readonly argv: readonly string[];
  /** What a search of `prune` found. */
  readonly plan?: {
    readonly density: Readonly<Record<string, number>>;
    readonly block: Readonly<Record<string, string>>;
  };
  /** What the recipe of `prune` said: a module of that name is not run. */
  readonly recipe?: unknown;
  /** What `tune` found. */
  readonly schedules?: Readonly<Record<string, unknown>>;
  readonly inputs: readonly RecordedInput[];
  readonly output: { readonly path: string; readonly sha256: string };
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Readonly<Record<string, string | number>>;
}

export const recordPath = (output: string): string => `${output}.run.json`;

export const versions = (): Readonly<Record<string, string>> => ({
  grim: version(),
  node: process.version,
  v8: process.versions.v8,
});

export const processor = (): string => cpus()[0]?.model ?? '';

interface Made {
  readonly inputs: readonly RecordedInput[];
  readonly output: { readonly path: string; readonly content: Uint8Array };
  readonly report: object;
  /** Besides those of the program and of Node. */
  readonly versions?: Readonly<Record<string, string>>;
  readonly found?: Pick<RunRecord, 'plan' | 'recipe' | 'schedules'>;
  readonly seed?: number;
}

/** All that the result depends on, and its hash. */
export function recordOf(command: RecordedCommand, argv: readonly string[], made: Made): object {
  const { inputs, output, report, found, seed } = made;
  return {
    schema: `grim.${command}-run/1`,
    argv,
    ...found,
    inputs,
    output: { path: output.path, sha256: sha256(output.content), bytes: output.content.length },
    ...(seed !== undefined && { seed }),
    versions: { ...versions(), ...made.versions },
    machine: { platform: process.platform, arch: process.arch, cpu: processor(), cores: availableParallelism() },
    date: new Date().toISOString(),
    report,
  };
}

/** @throws {GrimError} GRIM_CLI_BAD_RECORD for anything that {@link recordOf} does not write */
export function readRecord(content: Uint8Array): RunRecord {
  const bad = (): never => {
    throw new GrimError(
      'GRIM_CLI_BAD_RECORD',
      'this is no record of a run. grim prune, train and tune write one beside each output, and grim compile --run-json: x.onnx.run.json.',
    );
  };
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch {
    return bad();
  }
  if (!isObject(value)) return bad();
  const { schema, argv, inputs, output, versions: made, machine, plan, schedules } = value;
  const command = RECORDED_COMMANDS.find((name) => schema === `grim.${name}-run/1`);
  const isFile = (one: unknown): boolean =>
    isObject(one) && typeof one['path'] === 'string' && typeof one['sha256'] === 'string';
  const isInput = (one: unknown): boolean =>
    isFile(one) && ['undefined', 'number'].includes(typeof (one as RecordedInput).examples);
  if (command === undefined || !Array.isArray(argv) || !argv.every((word) => typeof word === 'string')) return bad();
  if (argv[0] !== command || !Array.isArray(inputs) || !inputs.every(isInput) || !isFile(output)) return bad();
  if (!isObject(made) || !isObject(machine)) return bad();
  if (plan !== undefined) {
    const { density, block } = isObject(plan) ? plan : {};
    const isBlock = (one: unknown): boolean => typeof one === 'string' && /^(\d{1,5}|K)x(\d{1,5}|K)$/.test(one);
    if (!isObject(density) || !Object.values(density).every((one) => typeof one === 'number')) return bad();
    if (!isObject(block) || !Object.values(block).every(isBlock)) return bad();
  }
  // What a schedule says is checked when it is used.
  if ((command === 'tune') !== isObject(schedules)) return bad();
  return { ...value, command } as unknown as RunRecord;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

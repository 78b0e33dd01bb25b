/**
 * What is kept of a run of `bench`, `tune`, `prune` or `train`: its report as a whole, and the few numbers of it that runs are compared
 * by. A number that was measured carries the interval that holds its median with 95 % confidence.
 */
import { createHash } from 'node:crypto';
import { availableParallelism, cpus } from 'node:os';
import { basename } from 'node:path';
import { median } from '@grim/measure';

export const RUN_KINDS = ['bench', 'tune', 'prune', 'train'] as const;
export type RunKind = (typeof RUN_KINDS)[number];

export interface Value {
  /** As `ms of grim`, `speed over ort-web`, `bytes`. */
  readonly what: string;
  readonly value: number;
  readonly better: 'less' | 'more';
  /** Both, where it was measured. */
  readonly low?: number;
  readonly high?: number;
}

/** What a run depends on besides its options and its versions. */
export interface RunDevice {
  readonly cpu: string;
  readonly arch: string;
  readonly platform: string;
  readonly cores: number;
}

/** What a command hands over when it has ended well. */
export interface Finished {
  readonly kind: RunKind;
  /** The file. */
  readonly model: string;
  readonly modelSha256: string;
  /** What decides, besides the file, what was measured; of runs that are to be compared it is the same. */
  readonly setting: object;
  readonly report: object;
  readonly values: readonly Value[];
  /** Where it was measured. Default: here. */
  readonly device?: RunDevice;
}

/** A run as the database has it. */
export interface Run {
  readonly id: number;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly kind: RunKind;
  readonly model: string;
  readonly modelSha256: string;
  /** Twelve hexadecimal digits: runs with the same ones, on one device, make a line over time. */
  readonly subject: string;
  readonly device: RunDevice;
  readonly deviceKey: string;
  /** Of what the model's folder is under version control; null where it is not. */
  readonly commit: string | null;
  readonly versions: { readonly grim: string; readonly node: string; readonly v8: string };
  /** The words of the command line. */
  readonly argv: readonly string[];
  readonly setting: object;
  readonly values: readonly Value[];
}

/** Twelve hexadecimal digits of anything that JSON can say. */
export function fingerprint(value: object): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 12);
}

/** The file's own name, not its folder and not its bytes: a model that was made anew goes on with its line. */
export function subjectOf({ kind, model, setting }: Pick<Finished, 'kind' | 'model' | 'setting'>): string {
  return fingerprint({ kind, model: basename(model), setting });
}

export function thisMachine(): RunDevice {
  const { arch, platform } = process;
  return { cpu: cpus()[0]?.model.trim() ?? '', arch, platform, cores: availableParallelism() };
}

/**
 * A measured number: the median of samples, with the order statistics that enclose the true median in 95 of 100 cases
 * (binomial, in its normal approximation).
 */
export function measured(what: string, samples: readonly number[], better: Value['better']): Value {
  const sorted = samples.toSorted((a, b) => a - b);
  const n = sorted.length;
  const half = 0.98 * Math.sqrt(n);
  const at = (rank: number) => sorted[Math.min(n - 1, Math.max(0, rank))] ?? Number.NaN;
  return { what, value: median(samples), better, low: at(Math.floor(n / 2 - half)), high: at(Math.ceil(n / 2 + half)) };
}

/** Names and values of one kind, in an order that does not depend on that of the command line. */
export function lengthsOf(options: {
  readonly dims: ReadonlyMap<string, number>;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly constants: ReadonlyMap<string, number>;
}): object {
  const sorted = <T>(map: ReadonlyMap<string, T>) => [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { dims: sorted(options.dims), shapes: sorted(options.shapes), constants: sorted(options.constants) };
}

/** What devices send: checked field by field, as anybody who reads the address may send anything. */
import { GrimError } from '@grim/ir';
import { printable } from '../output.ts';

/** What a device says of itself. */
export interface Facts {
  readonly agent: string;
  readonly cores: number;
  /** Step of its clock. */
  readonly clockMs: number;
  /** A secure context: https, or this machine itself. */
  readonly secure: boolean;
  /** Cross-origin isolated: a fine clock, and shared memory. */
  readonly isolated: boolean;
  readonly webgpu: boolean;
}

/** What it measured of a model. */
export interface Measurement {
  /** Milliseconds of a run, sample by sample, and of a small reference model that was run in turn with it. */
  readonly ms: readonly number[];
  readonly referenceMs: readonly number[];
  /** Until the file was there, until it could run, and of the first run. */
  readonly stages: { readonly downloadMs: number; readonly loadMs: number; readonly firstMs: number };
  /** Samples that were thrown away because the page was hidden. */
  readonly interrupted: number;
  /** How much longer the reference took at the end than at the beginning: a device that gets hot. */
  readonly drift: number;
  readonly simd: 'wide' | 'relaxed' | 'plain';
}

const LEAST_SAMPLES = 5;
const MOST_SAMPLES = 500;
const MOST_MS = 1e7;
const MOST_TEXT = 400;

/** @throws {GrimError} GRIM_CLI_BAD_REQUEST */
export function factsOf(body: unknown): Facts {
  const o = record(body, 'body');
  return {
    agent: text(o, 'agent'),
    cores: number(o, 'cores', 1, 1024),
    clockMs: number(o, 'clockMs', 0, 1000),
    ...{ secure: flag(o, 'secure'), isolated: flag(o, 'isolated'), webgpu: flag(o, 'webgpu') },
  };
}

/** @throws {GrimError} GRIM_CLI_BAD_REQUEST */
export function measurementOf(body: unknown): Measurement {
  const o = record(body, 'result');
  const stages = record(o['stages'], 'stages');
  const simd = o['simd'];
  if (simd !== 'wide' && simd !== 'relaxed' && simd !== 'plain') return bad('simd', 'wide, relaxed or plain');
  const [ms, referenceMs] = [samples(o, 'ms'), samples(o, 'referenceMs')];
  const [downloadMs, loadMs, firstMs] = ['downloadMs', 'loadMs', 'firstMs'].map((key) =>
    number(stages, key, 0, MOST_MS),
  ) as [number, number, number];
  return {
    ...{ ms, referenceMs, simd, stages: { downloadMs, loadMs, firstMs } },
    interrupted: number(o, 'interrupted', 0, 1e6),
    drift: number(o, 'drift', 0, 1000),
  };
}

/** A name that this server gave. @throws {GrimError} GRIM_CLI_BAD_REQUEST */
export function nameOf(body: unknown, key: string): string {
  const name = text(record(body, 'body'), key);
  return /^[\w-]{1,64}$/.test(name) ? name : bad(key, 'a name that was given');
}

/** `Chrome 156 on Android`, as far as a browser says; nothing of it is believed to be more than a name. */
export function deviceName(agent: string): string {
  const version = (name: string) => {
    const at = agent.indexOf(`${name}/`);
    return at < 0 ? '' : String(Number.parseInt(agent.slice(at + name.length + 1, at + name.length + 6), 10));
  };
  const browser = [
    ...(['Edg', 'Firefox', 'Chrome'] as const).map((name) => [name === 'Edg' ? 'Edge' : name, version(name)] as const),
    ['Safari', version('Version')] as const,
  ].find(([, number]) => number !== '' && number !== 'NaN');
  const system = ['Android', 'iPhone', 'iPad', 'Windows', 'Mac OS X', 'CrOS', 'Linux'].find((name) =>
    agent.includes(name),
  );
  return `${browser ? browser.join(' ') : 'a browser'} on ${system ?? 'an unknown system'}`;
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return bad(what, 'an object');
  return value as Readonly<Record<string, unknown>>;
}

function text(of: Readonly<Record<string, unknown>>, key: string): string {
  const value = of[key];
  if (typeof value !== 'string' || value.length > MOST_TEXT)
    return bad(key, `a text of at most ${MOST_TEXT} characters`);
  return printable(value);
}

function flag(of: Readonly<Record<string, unknown>>, key: string): boolean {
  const value = of[key];
  return typeof value === 'boolean' ? value : bad(key, 'true or false');
}

function number(of: Readonly<Record<string, unknown>>, key: string, least: number, most: number): number {
  const value = of[key];
  if (typeof value !== 'number' || !(value >= least && value <= most))
    return bad(key, `a number from ${least} to ${most}`);
  return value;
}

function samples(of: Readonly<Record<string, unknown>>, key: string): readonly number[] {
  const list = of[key];
  const needed = `${LEAST_SAMPLES} to ${MOST_SAMPLES} numbers above 0`;
  if (!Array.isArray(list) || list.length < LEAST_SAMPLES || list.length > MOST_SAMPLES) return bad(key, needed);
  return list.every((ms) => typeof ms === 'number' && ms > 0 && ms <= MOST_MS) ? list : bad(key, needed);
}

/** Nothing of what came is repeated. */
function bad(key: string, needed: string): never {
  throw new GrimError('GRIM_CLI_BAD_REQUEST', `${key}: ${needed} is needed.`, { key });
}

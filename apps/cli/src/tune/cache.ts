/**
 * Measurements of this device, kept for later searches: one file for each device, engine and version of the compiler, a line
 * of JSON for each measurement. Lines are appended whole, as soon as they are there; a line that an abort cut off is skipped,
 * and so is whatever is no measurement.
 */
import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { cpus, homedir } from 'node:os';
import { join } from 'node:path';
import type { GpuMeasurement, Measurement } from '@grim/codegen';
import { GrimError, type WasmFamily } from '@grim/ir';
import { readRegularFile } from '../files.ts';
import { fingerprint } from '../results/run.ts';
import { version } from '../version.ts';

/** What measurements depend on besides the product. */
export interface Device {
  readonly cpu: string;
  readonly arch: string;
  readonly platform: string;
  readonly engine: string;
  readonly simd: WasmFamily;
  /** Not there: one. */
  readonly threads?: number;
  /** What is measured is this adapter, with its driver; not there: the CPU. */
  readonly adapter?: string;
  /** Of GRIM. */
  readonly version: string;
}

export function thisDevice(simd: WasmFamily, threads = 1, adapter?: string): Device {
  const cpu = cpus()[0]?.model.trim() ?? '';
  const { arch, platform, versions } = process;
  return {
    cpu,
    arch,
    platform,
    engine: `V8 ${versions.v8}`,
    simd,
    ...(threads > 1 && { threads }),
    ...(adapter !== undefined && { adapter }),
    version: version(),
  };
}

const MOST_BYTES = 64 * 2 ** 20;

/** Measurements in a file, which is made when the first one comes. */
export interface Cache<M> {
  readonly path: string;
  /** As they stand in the file: whoever searches looks whether such a schedule can be. */
  readonly known: readonly M[];
  add(measurement: M): void;
}

type Kept = Measurement | GpuMeasurement;

/**
 * @param folder  undefined: `grim/tune` in the user's cache
 * @throws {GrimError} GRIM_CLI_READ where the file cannot be read, GRIM_CLI_WRITE where nothing can be added
 */
export function openCache<M extends Kept = Measurement>(folder: string | undefined, device: Device): Cache<M> {
  const home = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  const place = folder ?? join(home, 'grim', 'tune');
  const path = join(place, `${fingerprint(device)}.jsonl`);
  const known = existsSync(path) ? (measurementsOf(readRegularFile(path, MOST_BYTES)) as readonly M[]) : [];
  let begun = false;
  return {
    path,
    known,
    add(measurement) {
      try {
        if (!begun) {
          mkdirSync(place, { recursive: true });
          // Behind a line that was cut off, a new one begins.
          appendFileSync(
            path,
            existsSync(path) ? '\n' : `${JSON.stringify({ schema: 'grim.tune-cache/1', device })}\n`,
          );
          begun = true;
        }
        appendFileSync(path, `${JSON.stringify(measurement)}\n`);
      } catch (error) {
        const { code = 'failed' } = error as NodeJS.ErrnoException;
        throw new GrimError(
          'GRIM_CLI_WRITE',
          `${path}: measurements cannot be kept (${code}). Choose another folder with --cache.`,
        );
      }
    },
  };
}

/** Later lines go before earlier ones. */
function measurementsOf(content: Uint8Array): readonly Kept[] {
  return new TextDecoder()
    .decode(content)
    .split('\n')
    .flatMap((line): Kept[] => {
      try {
        const value: unknown = JSON.parse(line);
        if (typeof value !== 'object' || value === null) return [];
        const { key, schedule, ratio, again } = value as Partial<Measurement>;
        if (typeof key !== 'string' || typeof ratio !== 'number' || !schedule) return [];
        return [{ key, schedule, ratio, ...(again !== undefined && { again }) }];
      } catch {
        return [];
      }
    });
}

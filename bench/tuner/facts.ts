/** What a result file says of the machine and of the moment. */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';

export const ROOT: string = join(import.meta.dirname, '../..');

export interface Facts {
  readonly date: string;
  readonly commit: string;
  readonly cpu: string | undefined;
  readonly cores: number;
  readonly loadAverage: readonly number[];
  readonly engine: { readonly node: string; readonly v8: string };
  readonly flags: readonly string[];
}

export function facts(): Facts {
  const git = (...words: string[]) => execFileSync('git', words, { cwd: ROOT, encoding: 'utf8' }).trim();
  return {
    date: new Date().toISOString(),
    commit: git('rev-parse', 'HEAD'),
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    loadAverage: loadavg(),
    engine: { node: process.version, v8: process.versions.v8 },
    flags: process.execArgv,
  };
}

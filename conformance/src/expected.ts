/**
 * The expected failures: one `path: reason` per line, `#` begins a comment. The list can only shrink: an entry whose case
 * passes is reported and fails the run.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GrimError, quote } from '@grim/ir';

/** Name of a case → why it fails. */
export type ExpectedFailures = ReadonlyMap<string, string>;

/** Name of the committed list of a backend. */
function fileOf(backend: string): string {
  return backend === 'reference' ? 'expected-failures.txt' : `expected-failures-${backend}.txt`;
}

/** The committed list of a backend: beside this folder in the repository, beside the program where it is bundled. */
export function defaultExpectedFailures(backend: string = 'reference'): ExpectedFailures {
  const name = fileOf(backend);
  const path = [join(import.meta.dirname, '..', name), join(import.meta.dirname, name)].find((file) =>
    existsSync(file),
  );
  return path === undefined ? new Map() : parseExpectedFailures(readFileSync(path, 'utf8'), name);
}

/** @throws {GrimError} GRIM_CONFORMANCE_BAD_LIST when a line has no reason or a name stands twice */
export function parseExpectedFailures(text: string, where: string): ExpectedFailures {
  const list = new Map<string, string>();
  text.split('\n').forEach((raw, i) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return;
    const colon = line.indexOf(': ');
    const name = colon < 0 ? '' : line.slice(0, colon).trim();
    const bad = (what: string): never => {
      throw new GrimError('GRIM_CONFORMANCE_BAD_LIST', `${where}:${i + 1}: ${what} One "path: reason" per line.`);
    };
    if (name === '') bad(`${quote(line)} names no case with a reason.`);
    if (list.has(name)) bad(`${quote(name)} stands here twice.`);
    list.set(name, line.slice(colon + 2).trim());
  });
  return list;
}

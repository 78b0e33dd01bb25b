/** The file of types beside a model: written when it is another one, and never over a file that somebody else wrote. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/** @param warn  is told why the file could not be written; a build goes on without it */
export function writeTypes(path: string, text: string, warn: (sentence: string) => void): void {
  const before = textOf(path);
  if (before === text) return;
  const [first = ''] = text.split('\n');
  if (before !== undefined && !before.startsWith(first)) {
    warn(`${path}: it exists and is no file of types of grim; it stays as it is. Rename it, or set { types: false }.`);
    return;
  }
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    warn(`${path}: it cannot be written (${String(error)}). Types are those of an older file, or none.`);
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

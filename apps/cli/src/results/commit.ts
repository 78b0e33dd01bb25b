/**
 * The commit that a folder stands at, read from git's own files: no program is started in a folder that may be anybody's, and
 * its configuration is not read (gitrepository-layout(5)). Changes that were not committed are not known of.
 */
import { statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { readRegularFile } from '../files.ts';

const HASH = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;
/** References that hold references: git itself stops at 5. */
const DEEPEST = 5;
const MOST_BYTES = 16 * 2 ** 20;

/** Of the folder or the nearest above it; null where none is under version control, or it cannot be found out. */
export function commitOf(folder: string): string | null {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const git = join(at, '.git');
    const kind = statSync(git, { throwIfNoEntry: false });
    if (kind?.isDirectory()) return headOf(git, git);
    if (kind?.isFile()) return linked(at, git);
    if (dirname(at) === at) return null;
  }
}

/** A worktree or a submodule: `.git` is a file that names the folder. */
function linked(at: string, file: string): string | null {
  const [, where] = /^gitdir: (\S.*)$/m.exec(text(file) ?? '') ?? [];
  if (where === undefined) return null;
  const git = resolve(at, where.trim());
  const common = text(join(git, 'commondir'))?.trim();
  return headOf(git, common === undefined ? git : resolve(git, common));
}

function headOf(git: string, common: string): string | null {
  let value = text(join(git, 'HEAD'))?.trim();
  for (let depth = 0; depth < DEEPEST; depth++) {
    if (value === undefined) return null;
    if (HASH.test(value)) return value;
    const [, name] = /^ref: (refs\/[\w./-]+)$/.exec(value) ?? [];
    if (name === undefined || name.includes('..')) return null;
    value = (text(join(git, name)) ?? text(join(common, name)) ?? packed(common, name))?.trim();
  }
  return null;
}

function packed(common: string, name: string): string | undefined {
  const lines = text(join(common, 'packed-refs'))?.split('\n') ?? [];
  return lines.find((line) => line.endsWith(` ${name}`))?.split(' ')[0];
}

function text(path: string): string | undefined {
  try {
    return new TextDecoder().decode(readRegularFile(path, MOST_BYTES));
  } catch {
    return undefined;
  }
}

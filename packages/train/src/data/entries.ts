/**
 * The files of a data set by name, whether it is a folder, a tar archive (gzipped or not) or one file. Archives are
 * untrusted: sizes are bounded, names are only ever looked at, nothing is unpacked to disk.
 * @see POSIX.1-1988, ustar
 */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { quote } from '@grim/ir';
import { fail } from '../errors.ts';

export interface Entry {
  /** Parts joined by /. */
  readonly path: string;
  /** Of gzipped files (.gz), what is inside. */
  read(): Uint8Array;
}

/** Of one file, packed or not, and of all files of an archive together. */
const MAX_BYTES = 2 ** 31 - 1;
const MAX_FILES = 2e6;

/** All regular files, sorted by name. @throws {GrimError} GRIM_TRAIN_BAD_DATA */
export function entriesOf(path: string): readonly Entry[] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return fail('GRIM_TRAIN_BAD_DATA', `${quote(path)}: there is no such file or folder.`, { path });
  if (stats.isFile()) {
    if (/\.(tar|tgz|tar\.gz)$/i.test(path)) return tarEntries(path, readFile(path));
    return [{ path: basename(path), read: () => readFile(path) }];
  }
  const found: Entry[] = [];
  const walk = (folder: string, prefix: string): void => {
    for (const item of readdirSync(folder, { withFileTypes: true })) {
      const own = join(folder, item.name);
      if (item.isDirectory()) walk(own, `${prefix}${item.name}/`);
      else if (item.isFile()) found.push({ path: prefix + item.name, read: () => readFile(own) });
      if (found.length > MAX_FILES) fail('GRIM_TRAIN_BAD_DATA', `${quote(path)}: it has more than ${MAX_FILES} files.`);
    }
  };
  walk(path, '');
  return sorted(found);
}

/** By name, numbers within names by their value: batch_2 before batch_10. */
const sorted = (entries: readonly Entry[]): readonly Entry[] =>
  entries.toSorted(
    (a, b) => new Intl.Collator('en', { numeric: true }).compare(a.path, b.path) || (a.path < b.path ? -1 : 1),
  );

function readFile(path: string): Uint8Array {
  const handle = openSync(path, 'r');
  try {
    const { size } = fstatSync(handle);
    if (size > MAX_BYTES)
      fail('GRIM_TRAIN_BAD_DATA', `${quote(path)}: it has ${size} bytes; at most ${MAX_BYTES} are read.`);
    return unpacked(path, readFileSync(handle));
  } finally {
    closeSync(handle);
  }
}

function unpacked(path: string, bytes: Uint8Array): Uint8Array {
  if (!/\.t?gz$/i.test(path)) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_BYTES });
  } catch (error) {
    return fail(
      'GRIM_TRAIN_BAD_DATA',
      `${quote(path)}: it cannot be unpacked (${error instanceof Error ? error.message : String(error)}). Get it again.`,
      { path },
    );
  }
}

const BLOCK = 512;

function tarEntries(path: string, bytes: Uint8Array): readonly Entry[] {
  const bad = (why: string): never => fail('GRIM_TRAIN_BAD_DATA', `${quote(path)}: ${why}. Get it again.`, { path });
  const text = (from: number, length: number): string => {
    const field = bytes.subarray(from, from + length);
    const end = field.indexOf(0);
    return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString('utf8');
  };
  const found: Entry[] = [];
  for (let at = 0; at + BLOCK <= bytes.length; ) {
    const header = bytes.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) break;
    const size = Number.parseInt(text(at + 124, 12).trim() || '0', 8);
    if (!Number.isInteger(size) || size < 0) bad('its tar header is damaged');
    const sum = header.reduce((all, byte, i) => all + (i >= 148 && i < 156 ? 32 : byte), 0);
    if (Number.parseInt(text(at + 148, 8).trim(), 8) !== sum) bad('the checksum of a tar header is wrong');
    const start = at + BLOCK;
    if (start + size > bytes.length) bad('its last file is cut short');
    const prefix = text(at + 345, 155);
    const name = text(at, 100);
    const kind = String.fromCharCode(header[156] ?? 0);
    if (kind === '0' || kind === '\0')
      found.push({
        path: prefix === '' ? name : `${prefix}/${name}`,
        read: () => unpacked(name, bytes.subarray(start, start + size)),
      });
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return sorted(found);
}

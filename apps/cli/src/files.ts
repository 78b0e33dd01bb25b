/**
 * Reading what others made and writing what we made, with the care that untrusted folders need.
 *
 * Reading: regular files only, opened without waiting (a FIFO would wait for ever), their size taken from the handle that is
 * then read, within the limit, and looked at again at the end. External data: only inside the model's own folder, through no
 * link of any kind. Writing: whole or not at all, by way of a temporary file beside the target.
 */
import nodeFs from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Files } from '@grim/conformance';
import { GrimError, LIMITS, quote, suggest } from '@grim/ir';
import type { FileKind } from './output.ts';

/** How commands read models and test data. */
export const modelFiles: Files = {
  read: (path) => readRegularFile(path),
  externalData: (path) => (location) => readExternalData(path, location),
};

/** The calls of node:fs that this file makes; tests put failing ones in their place. */
export type FileSystem = Pick<
  typeof nodeFs,
  | 'closeSync'
  | 'fchmodSync'
  | 'fstatSync'
  | 'fsyncSync'
  | 'lstatSync'
  | 'openSync'
  | 'readdirSync'
  | 'readSync'
  | 'renameSync'
  | 'statSync'
  | 'unlinkSync'
  | 'writeSync'
>;

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = nodeFs.constants;

/**
 * The bytes of a regular file.
 * @throws {GrimError} GRIM_CLI_NOT_FOUND, GRIM_CLI_NOT_A_FILE, GRIM_CLI_UNREADABLE, GRIM_CLI_TOO_LARGE, GRIM_CLI_CHANGED,
 *   GRIM_CLI_OUT_OF_MEMORY
 */
export function readRegularFile(path: string, limit: number = LIMITS.fileBytes, fs: FileSystem = nodeFs): Uint8Array {
  const handle = openForReading(path, O_RDONLY | O_NONBLOCK, fs);
  try {
    return readHandle(handle, limit, fs);
  } finally {
    closeRead(handle, fs);
  }
}

function openForReading(path: string, flags: number, fs: FileSystem): number {
  try {
    return fs.openSync(path, flags);
  } catch (error) {
    throw readError(error, path, fs);
  }
}

function readHandle(handle: number, limit: number, fs: FileSystem): Uint8Array {
  const before = fs.fstatSync(handle);
  if (!before.isFile())
    throw new GrimError('GRIM_CLI_NOT_A_FILE', `it is ${kindOf(before)}; a regular file is needed.`);
  if (before.size > limit)
    throw new GrimError('GRIM_CLI_TOO_LARGE', `it has ${before.size} bytes; at most ${limit} are read.`, {
      size: before.size,
    });
  let content: Uint8Array;
  try {
    content = new Uint8Array(before.size);
  } catch {
    throw new GrimError('GRIM_CLI_OUT_OF_MEMORY', `there is no memory for its ${before.size} bytes.`);
  }
  try {
    let filled = 0;
    while (filled < content.length) {
      const got = fs.readSync(handle, content, filled, content.length - filled, filled);
      if (got === 0) break;
      filled += got;
    }
    const more = fs.readSync(handle, new Uint8Array(1), 0, 1, filled);
    const after = fs.fstatSync(handle);
    if (filled < content.length || more > 0 || after.size !== before.size || after.mtimeMs !== before.mtimeMs)
      throw new GrimError('GRIM_CLI_CHANGED', 'it changed while it was read. Try again when nothing writes to it.');
  } catch (error) {
    throw readError(error);
  }
  return content;
}

const READ_ERRORS: Readonly<Record<string, readonly [code: string, sentence: string]>> = {
  ENOENT: ['GRIM_CLI_NOT_FOUND', 'there is no such file.'],
  ENOTDIR: ['GRIM_CLI_NOT_FOUND', 'there is no such file: a part of the path is not a folder.'],
  ENAMETOOLONG: ['GRIM_CLI_NOT_FOUND', 'there is no such file: the path is too long.'],
  ELOOP: ['GRIM_CLI_UNREADABLE', 'its path goes through links in a circle.'],
  EACCES: ['GRIM_CLI_UNREADABLE', 'you may not read it.'],
  EPERM: ['GRIM_CLI_UNREADABLE', 'you may not read it.'],
  EISDIR: ['GRIM_CLI_NOT_A_FILE', 'it is a folder; a regular file is needed.'],
  ENXIO: ['GRIM_CLI_NOT_A_FILE', 'it is a socket or a device; a regular file is needed.'],
  EMFILE: ['GRIM_CLI_UNREADABLE', 'too many files are open.'],
};

/** An error of the file system as a sentence; others as they are. With `path`, what is missing there is looked for. */
function readError(error: unknown, path?: string, fs: FileSystem = nodeFs): unknown {
  const code = errnoOf(error);
  if (code === undefined) return error;
  const [ours, sentence] = READ_ERRORS[code] ?? ['GRIM_CLI_UNREADABLE', `reading failed (${code}).`];
  const near = code === 'ENOENT' && path !== undefined ? nearby(path, fs) : '';
  return new GrimError(ours, sentence + near, { errno: code });
}

/** Names of a folder that are looked through for one that was meant. */
const MAX_NAMES = 1e4;

/** What was probably meant by a path that leads nowhere: the first part that is missing, and its nearest neighbour. */
function nearby(path: string, fs: FileSystem): string {
  let [folder, name] = [dirname(path), basename(path)];
  try {
    while (!nodeFs.existsSync(folder) && dirname(folder) !== folder)
      [folder, name] = [dirname(folder), basename(folder)];
    const names = fs.readdirSync(folder).slice(0, MAX_NAMES);
    const near = suggest(name, names);
    if (near !== undefined) return ` Did you mean ${quote(join(folder, near))}?`;
    return folder === dirname(path) ? '' : ` Its folder ${quote(join(folder, name))} does not exist.`;
  } catch {
    return '';
  }
}

/** Runs what walks through folders; an error of the file system becomes a sentence. */
export function readingFolders<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw readError(error);
  }
}

function errnoOf(error: unknown): string | undefined {
  if (error instanceof GrimError || !(error instanceof Error) || !('code' in error)) return undefined;
  return /^E[A-Z0-9]+$/.test(String(error.code)) ? String(error.code) : undefined;
}

function kindOf(stats: nodeFs.Stats): string {
  if (stats.isDirectory()) return 'a folder';
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isSocket()) return 'a socket';
  if (stats.isSymbolicLink()) return 'a symbolic link';
  return stats.isCharacterDevice() || stats.isBlockDevice() ? 'a device' : 'of an unknown kind';
}

/**
 * Whether `path` is a file or a folder.
 * @throws {GrimError} GRIM_CLI_NOT_FOUND, GRIM_CLI_UNREADABLE, GRIM_CLI_NOT_A_FILE for anything else
 */
export function kindOfPath(path: string, fs: FileSystem = nodeFs): 'file' | 'folder' {
  let stats: nodeFs.Stats;
  try {
    stats = fs.statSync(path);
  } catch (error) {
    throw readError(error, path, fs);
  }
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  throw new GrimError('GRIM_CLI_NOT_A_FILE', `it is ${kindOf(stats)}; a model file or a folder is needed.`);
}

/** Whether outputs can be put into it by names of our own: a folder, or what is written like one. */
export function isFolder(path: string): boolean {
  return /[/\\]$/.test(path) || (nodeFs.statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false);
}

/**
 * Reads the external data of the model at `modelPath`: `location` names a file in or below the model's folder, and no part
 * of the way there is a link. Every part is looked at, the file is opened without following a link, and the handle must be
 * the very file that the way leads to, before and after: what is swapped in between is noticed.
 * @throws {GrimError} GRIM_ONNX_EXTERNAL_DATA, and the codes of {@link readRegularFile}
 */
export function readExternalData(
  modelPath: string,
  location: string,
  limit: number = LIMITS.fileBytes,
  fs: FileSystem = nodeFs,
): Uint8Array {
  const refuse = (why: string): never => {
    throw new GrimError('GRIM_ONNX_EXTERNAL_DATA', `external data ${quote(location)}: ${why}`, { location });
  };
  const parts = location.split('/');
  if (location === '' || location.includes('\0')) refuse('this is not the name of a file.');
  if (location.startsWith('/') || location.includes('\\') || /^[A-Za-z]:/.test(location))
    refuse("a path relative to the model's folder is needed, with / between its parts.");
  if (parts.some((part) => part === '..' || part === '.' || part === ''))
    refuse('"..", "." and empty parts are not allowed.');
  const folder = dirname(modelPath);
  const paths = parts.map((_, i) => join(folder, ...parts.slice(0, i + 1)));
  const target = paths.at(-1) ?? folder;

  const walk = (): nodeFs.Stats => {
    let last: nodeFs.Stats | undefined;
    paths.forEach((path, i) => {
      try {
        last = fs.lstatSync(path);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw readError(error);
        refuse(`there is no such file beside the model. Put it there: its name is ${quote(parts[i] ?? '')}.`);
      }
      if (last?.isSymbolicLink()) refuse(`${quote(parts.slice(0, i + 1).join('/'))} is a symbolic link.`);
      if (i < paths.length - 1 && !last?.isDirectory()) refuse(`${quote(parts[i] ?? '')} is not a folder.`);
    });
    return last as nodeFs.Stats;
  };

  walk();
  const handle = openForReading(target, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, fs);
  try {
    const opened = fs.fstatSync(handle);
    const now = walk();
    if (opened.dev !== now.dev || opened.ino !== now.ino) refuse('it was replaced while it was opened.');
    if (!opened.isFile()) refuse(`it is ${kindOf(opened)}; a regular file is needed.`);
    if (opened.nlink > 1) refuse('it has a second name (hard link). Copy it.');
    return readHandle(handle, limit, fs);
  } catch (error) {
    if (!(error instanceof GrimError) || error.code === 'GRIM_ONNX_EXTERNAL_DATA') throw error;
    throw new GrimError(error.code, `external data ${quote(location)}: ${error.message}`, error.details);
  } finally {
    closeRead(handle, fs);
  }
}

export interface WriteOptions {
  /** Of the new file; default `report`. */
  readonly kind?: FileKind;
  /** Replaces a file of another kind. */
  readonly force: boolean;
  /** Files that must not be written to: what the command read. */
  readonly inputs: readonly string[];
}

/** What stands at the beginning of a file of each kind, a character per byte; a file that begins so may be replaced by a newer one. */
const KINDS: Readonly<Record<FileKind, readonly [beginning: RegExp, name: string]>> = {
  report: [/^\{\s*"schema": "grim\./, 'report of grim'],
  model: [/^GRIM/, 'compiled model'],
  array: [/^\x93NUMPY/, '.npy file'],
  module: [/^\0asm/, 'WebAssembly module'],
  types: [/^\/\/ Types of a compiled model, written by GRIM/, 'file of types of grim'],
  // As `toOnnx` begins: the version of the format, then who made it.
  onnx: [/^.{4}grim/s, 'ONNX model of grim'],
  ir: [/^grim-ir /, 'graph of grim'],
  checkpoint: [/^GRIMCKPT/, 'checkpoint of grim'],
  other: [/^$/, 'empty file'],
};

/**
 * Refuses a target that must not be written to.
 * @throws {GrimError} GRIM_CLI_OUTPUT
 */
export function checkTarget(path: string, options: WriteOptions, fs: FileSystem = nodeFs): void {
  const refuse = (why: string): never => {
    throw new GrimError('GRIM_CLI_OUTPUT', why);
  };
  if (/[/\\]$/.test(path)) refuse('this is the name of a folder; a file is needed.');
  let stats: nodeFs.Stats | undefined;
  try {
    stats = fs.lstatSync(path);
    fs.statSync(dirname(resolve(path)));
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    if (code !== 'ENOENT') refuse(writeSentence(code));
    if (!nodeFs.existsSync(dirname(resolve(path)))) refuse('its folder does not exist.');
    return;
  }
  if (!stats.isFile()) refuse(`it is ${kindOf(stats)}; nothing is written there.`);
  for (const input of options.inputs) {
    let other: nodeFs.Stats | undefined;
    try {
      other = fs.statSync(input, { throwIfNoEntry: false });
    } catch (error) {
      // Whether it is the same file cannot be told: then it may be.
      throw readError(error);
    }
    if (other && other.ino === stats.ino && other.dev === stats.dev) refuse('it is the file that is read.');
  }
  if (options.force || stats.size === 0) return;
  const handle = openForReading(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, fs);
  try {
    const start = new Uint8Array(64);
    const length = fs.readSync(handle, start, 0, start.length, 0);
    const text = String.fromCharCode(...start.subarray(0, length));
    const [beginning, name] = KINDS[options.kind ?? 'report'];
    if (!beginning.test(text)) refuse(`it exists, and is no ${name}. Choose another name, or add --force.`);
  } catch (error) {
    throw readError(error);
  } finally {
    closeRead(handle, fs);
  }
}

/**
 * Writes a file whole or not at all: a temporary file beside it, flushed to the disk, renamed over it, and the folder
 * flushed. A reader sees the old content or the new; after a failure the old one is there and the temporary file is not.
 * @throws {GrimError} GRIM_CLI_OUTPUT when the target must not be written to, GRIM_CLI_WRITE when writing fails
 */
export function writeWhole(
  path: string,
  content: string | Uint8Array,
  options: WriteOptions,
  fs: FileSystem = nodeFs,
): void {
  checkTarget(path, options, fs);
  const folder = dirname(resolve(path));
  removeLeftovers(folder, fs);
  const temporary = join(folder, `.grim-${process.pid}-${randomName()}.tmp`);
  let handle: number | undefined;
  let created = false;
  try {
    handle = fs.openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    created = true;
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    for (let done = 0; done < bytes.length; ) {
      const wrote = fs.writeSync(handle, bytes, done, bytes.length - done);
      if (wrote === 0) throw Object.assign(new Error('nothing was written'), { code: 'EIO' });
      done += wrote;
    }
    fs.fchmodSync(handle, 0o666 & ~process.umask());
    fs.fsyncSync(handle);
    fs.closeSync(handle);
    handle = undefined;
    fs.renameSync(temporary, path);
    created = false;
    flushFolder(folder, fs);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    throw new GrimError('GRIM_CLI_WRITE', writeSentence(code), { errno: code });
  } finally {
    if (handle !== undefined) ignoreErrors(() => fs.closeSync(handle as number));
    if (created) ignoreErrors(() => fs.unlinkSync(temporary));
  }
}

function writeSentence(code: string): string {
  const sentences: Readonly<Record<string, string>> = {
    ENOSPC: 'the disk is full; nothing was written.',
    EDQUOT: 'your share of the disk is used up; nothing was written.',
    EACCES: 'you may not write there.',
    EPERM: 'you may not write there.',
    EROFS: 'the file system is read-only.',
    ENOTDIR: 'a part of its path is not a folder.',
    ENAMETOOLONG: 'its name is too long.',
    EMFILE: 'too many files are open; nothing was written.',
  };
  return sentences[code] ?? `writing failed (${code}); what was there before is unchanged.`;
}

/** So that the new name survives a power cut. Where folders cannot be opened (Windows) or flushed, the rename must do. */
function flushFolder(folder: string, fs: FileSystem): void {
  ignoreErrors(() => {
    const handle = fs.openSync(folder, O_RDONLY);
    try {
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
  });
}

const LEFTOVER = /^\.grim-(\d{1,10})-[0-9a-z]+\.tmp$/;
const LEFTOVER_AGE_MS = 60_000;

/** Removes what a killed run left behind: temporary files older than a minute of processes that are gone. */
function removeLeftovers(folder: string, fs: FileSystem): void {
  ignoreErrors(() => {
    for (const name of fs.readdirSync(folder)) {
      const pid = Number(LEFTOVER.exec(name)?.[1]);
      if (!pid || isRunning(pid)) continue;
      const path = join(folder, name);
      const stats = fs.lstatSync(path);
      if (stats.isFile() && Date.now() - stats.mtimeMs > LEFTOVER_AGE_MS) fs.unlinkSync(path);
    }
  });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
}

function randomName(): string {
  return Math.floor(Math.random() * 2 ** 52).toString(36);
}

/** What was read is read: a failing close changes nothing. */
function closeRead(handle: number, fs: FileSystem): void {
  ignoreErrors(() => fs.closeSync(handle));
}

/** For steps whose failure changes nothing for the caller. */
function ignoreErrors(work: () => void): void {
  try {
    work();
  } catch {
    // Deliberate: see above.
  }
}

/**
 * NumPy's .npz files: a zip of .npy files, one per array, unpacked by fflate. The list of contents is looked at first, so
 * that nothing is unpacked that was not asked for or that cannot be what it says.
 * @see NEP 1; PKWARE, APPNOTE 6.3
 */
import { GrimError, LIMITS, quote } from '@grim/ir';
import { type UnzipFileInfo, unzipSync } from 'fflate';

/** Deflate makes nothing more than 1032 times smaller, and nothing larger by more than a few bytes per block. */
const DEFLATE_RATIO = 1032;
const SLACK = 64;
const [STORED, DEFLATED] = [0, 8];
const MAX_ENTRIES = 1e4;
const MAX_BYTES = 2 ** 30;

/** Name of each array → the bytes of its .npy file, unpacked when they are asked for. */
export type Npz = ReadonlyMap<string, () => Uint8Array>;

/** @throws {GrimError} GRIM_CLI_BAD_TENSOR */
export function readNpz(bytes: Uint8Array): Npz {
  const entries = new Map<string, () => Uint8Array>();
  const infos: UnzipFileInfo[] = [];
  unpacked(bytes, (info) => {
    if (infos.push(info) > MAX_ENTRIES) bad(`it has more than ${MAX_ENTRIES} entries`);
    return false;
  });
  for (const info of infos) {
    if (!info.name.endsWith('.npy')) continue;
    const name = info.name.slice(0, -'.npy'.length);
    if (entries.has(name)) bad(`it holds ${quote(name)} twice`);
    entries.set(name, () => one(bytes, info));
  }
  if (entries.size === 0) bad('it holds no array');
  return entries;
}

function one(bytes: Uint8Array, { name, size, originalSize, compression }: UnzipFileInfo): Uint8Array {
  const wrong =
    compression !== STORED && compression !== DEFLATED
      ? `is packed by method ${compression}; 0 (stored) and 8 (deflated) are read`
      : originalSize > Math.min(MAX_BYTES, LIMITS.tensorBytes)
        ? `has ${originalSize} bytes; at most ${MAX_BYTES} are unpacked`
        : originalSize > size * DEFLATE_RATIO + SLACK || size > originalSize * 1.01 + SLACK
          ? `has ${originalSize} bytes from ${size}, which cannot be`
          : undefined;
  if (wrong !== undefined) bad(`${quote(name)} ${wrong}`);
  const found = unpacked(bytes, (info) => info.name === name)[name];
  if (found?.length !== originalSize) return bad(`${quote(name)} is damaged or cut short`);
  return found;
}

function unpacked(bytes: Uint8Array, filter: (info: UnzipFileInfo) => boolean): Record<string, Uint8Array> {
  try {
    return unzipSync(bytes, { filter });
  } catch (error) {
    if (error instanceof GrimError) throw error;
    return bad(error instanceof Error ? error.message : String(error));
  }
}

function bad(what: string): never {
  throw new GrimError('GRIM_CLI_BAD_TENSOR', `this is no .npz file that can be read: ${what}.`);
}

/**
 * Tensor data in other files: the `external_data` entries, checked and resolved.
 *
 * A location is attacker text. Here it is only ever a key that somebody else's resolver looks up; the rules on its
 * spelling are a second fence, for resolvers that go on to a file system. Containment there is theirs to prove.
 * @see https://github.com/onnx/onnx/blob/main/docs/ExternalData.md
 */
import { GrimError, quote } from '../errors.ts';
import type { StringPair } from './model.ts';
import { sha1 } from './sha1.ts';
import type { ReadExternal } from './tensor.ts';

/** The files beside a model: by location as written in the model, or a function that finds them. */
export type ExternalData = ReadonlyMap<string, Uint8Array> | ((location: string) => Uint8Array | undefined);

interface Entry {
  readonly location: string;
  readonly offset: number;
  readonly length: number | undefined;
  readonly checksum: string | undefined;
}

const KEYS = ['location', 'offset', 'length', 'checksum'];

/**
 * A reader over the given files, for all tensors of one model: each file is fetched once and hashed at most once.
 * @throws {GrimError} GRIM_ONNX_EXTERNAL_DATA from the reader, when entries, location or range are wrong
 */
export function externalReader(source: ExternalData): ReadExternal {
  const files = new Map<string, { readonly bytes: Uint8Array; digest?: string }>();
  const open = (location: string, where: string) => {
    const known = files.get(location);
    if (known) return known;
    const bytes = typeof source === 'function' ? source(location) : source.get(location);
    if (bytes === undefined)
      refuse(where, `its data is in ${quote(location)}, which was not given. Give that file along with the model`, {
        location,
      });
    const file: { readonly bytes: Uint8Array; digest?: string } = { bytes };
    files.set(location, file);
    return file;
  };
  return (entries, byteLength, where) => {
    const entry = readEntries(entries, where);
    const file = open(entry.location, where);
    const length = entry.length ?? byteLength;
    // Both are at most 2^53, so the sum is exact enough to compare with a file's size.
    if (entry.offset + length > file.bytes.length)
      refuse(
        where,
        `bytes ${entry.offset} to ${entry.offset + length} of ${quote(entry.location)} are wanted, and it has ${file.bytes.length}`,
        {
          ...entry,
          size: file.bytes.length,
        },
      );
    if (entry.checksum !== undefined) {
      file.digest ??= sha1(file.bytes);
      if (file.digest !== entry.checksum)
        refuse(
          where,
          `${quote(entry.location)} has SHA-1 ${file.digest}, and ${entry.checksum} was expected; it is not the file that the model was saved with`,
          {
            location: entry.location,
            expected: entry.checksum,
            found: file.digest,
          },
        );
    }
    return file.bytes.subarray(entry.offset, entry.offset + length);
  };
}

function readEntries(entries: readonly StringPair[], where: string): Entry {
  const values = new Map<string, string>();
  for (const { key, value } of entries) {
    if (!KEYS.includes(key))
      refuse(where, `external_data has the key ${quote(key)}; known are ${KEYS.join(', ')}`, { key });
    if (values.has(key)) refuse(where, `external_data has the key ${key} twice`, { key });
    values.set(key, value);
  }
  const location = values.get('location');
  if (location === undefined) refuse(where, 'external_data has no location', {});
  const length = values.get('length');
  const checksum = values.get('checksum')?.toLowerCase();
  if (checksum !== undefined && !/^[0-9a-f]{40}$/.test(checksum))
    refuse(where, `the checksum ${quote(checksum)} is no SHA-1 in 40 hexadecimal digits`, { checksum });
  return {
    location: checkLocation(location, where),
    offset: readNumber('offset', values.get('offset') ?? '0', where),
    length: length === undefined ? undefined : readNumber('length', length, where),
    checksum,
  };
}

function readNumber(key: string, text: string, where: string): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value))
    refuse(where, `the ${key} ${quote(text)} is not a whole number in decimal digits, up to 2^53 − 1`, {
      key,
      value: text,
    });
  return value;
}

/** Names that Windows gives to devices, in any directory and with any extension. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)/i;

/** What is wrong with one part of a path between slashes, if anything. */
function badSegment(segment: string): string | undefined {
  if (segment === '') return 'an empty part';
  if (segment === '.') return 'a part "."';
  if (segment === '..') return 'a part "..", which leaves the directory';
  if (/[. ]$/.test(segment)) return 'a part that ends in a dot or a space, which some systems drop';
  if (DEVICE.test(segment)) return 'the name of a device';
  return undefined;
}

/** A relative path with forward slashes that means the same on every system; a leading `./` is dropped. */
function checkLocation(location: string, where: string): string {
  const path = location.replace(/^\.\//, '');
  const problem =
    path === ''
      ? 'nothing'
      : /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(path)
        ? 'an invisible character'
        : path.includes('\\')
          ? 'a backslash'
          : path.startsWith('/')
            ? 'an absolute path'
            : path.includes(':')
              ? 'a colon, as in a drive or an address'
              : /%(2e|2f|5c|00)/i.test(path)
                ? 'an escaped dot or slash'
                : /[<>"|?*]/.test(path)
                  ? 'a character that file names may not have'
                  : path
                      .split('/')
                      .map(badSegment)
                      .find((bad) => bad !== undefined);
  if (problem !== undefined)
    refuse(
      where,
      `the location ${quote(location)} holds ${problem}; it must be a plain path below the model's directory`,
      {
        location,
      },
    );
  return path;
}

function refuse(where: string, what: string, details: Readonly<Record<string, unknown>>): never {
  throw new GrimError('GRIM_ONNX_EXTERNAL_DATA', `${where}: ${what}.`, details);
}

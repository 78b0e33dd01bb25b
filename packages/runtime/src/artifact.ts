/**
 * Reads `.grim` files of version 1 (docs/formats.md): header, manifest, sections. Every byte of a file is covered by a
 * checksum, a comparison with zero, or a length that follows from another.
 */
import type { ArtifactMagic, ArtifactMajor, ArtifactMinor, FileManifest, Section } from '@grim/ir';
import { crc32 } from './crc32.ts';
import { corrupt, fail, quote } from './errors.ts';
import { HEADER_BYTES, PAGE_BYTES, parseManifest } from './manifest.ts';

const MAGIC: ArtifactMagic = 'GRIM';
const MAJOR: ArtifactMajor = 1;
const MINOR: ArtifactMinor = 0;
const MAX_MANIFEST_BYTES = 2 ** 24;

export interface HeaderFields {
  readonly minor: number;
  readonly manifestBytes: number;
  readonly crc32: number;
}

/**
 * @param bytes  the first 16, or the whole file when it is shorter
 * @throws {RuntimeError} GRIM_RUNTIME_BAD_SOURCE when it is something else, BAD_VERSION, BAD_ARTIFACT when it is cut short
 */
export function parseHeader(bytes: Uint8Array): HeaderFields {
  const start = String.fromCharCode(...bytes.subarray(0, HEADER_BYTES));
  if (bytes.length === 0) fail('BAD_SOURCE', 'model file: it is empty.');
  if (!start.startsWith(MAGIC.slice(0, start.length))) fail('BAD_SOURCE', `model file: ${describe(start)}`);
  if (bytes.length < HEADER_BYTES) corrupt(`it is cut short, after ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const [major, minor] = [view.getUint16(4, true), view.getUint16(6, true)];
  if (major !== MAJOR)
    fail(
      'BAD_VERSION',
      `model file: version ${major}, this runtime reads ${MAJOR}. Update @grim/runtime or compile again.`,
      { major, minor },
    );
  const manifestBytes = view.getUint32(8, true);
  if (manifestBytes > MAX_MANIFEST_BYTES) corrupt(`its manifest has ${manifestBytes} bytes`);
  return { minor, manifestBytes, crc32: view.getUint32(12, true) };
}

/** What else a file may be, from its first characters. */
function describe(start: string): string {
  if (/^\s*</.test(start)) return 'it is an HTML page: check the URL.';
  if (start.startsWith('version https://')) return 'it is a Git LFS pointer: run `git lfs pull`.';
  if (start.startsWith('\x08')) return 'it looks like ONNX: run `grim compile` on it.';
  return `it begins with ${quote(start)}, not with "${MAGIC}".`;
}

/** @throws {RuntimeError} GRIM_RUNTIME_BAD_ARTIFACT */
export function openManifest(
  header: Uint8Array,
  { minor, crc32: wanted }: HeaderFields,
  json: Uint8Array,
): FileManifest {
  if (crc32(json, crc32(header.subarray(0, HEADER_BYTES - 4))) !== wanted)
    corrupt('the checksum of its manifest does not match');
  return parseManifest(json, minor > MINOR);
}

/** @throws {RuntimeError} GRIM_RUNTIME_BAD_ARTIFACT */
export function checkSum<T extends Uint8Array>(section: Section, bytes: T): T {
  if (crc32(bytes) !== section.crc32) corrupt(`the checksum of its ${section.kind} does not match`);
  return bytes;
}

export function checkPadding(bytes: Uint8Array): void {
  if (bytes.some((byte) => byte !== 0)) corrupt('its padding is not zero');
}

/** Pages of 64 KiB of the one memory. */
export function pagesOf({ constantBytes, arenaBytes }: FileManifest): number {
  return Math.ceil((constantBytes + arenaBytes) / PAGE_BYTES);
}

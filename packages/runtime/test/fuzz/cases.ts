/**
 * Hostile files from good ones: bytes changed, and values of the manifest changed with lengths and checksums set right
 * again, so that they reach the checks behind the first.
 */
import { pack } from '@grim/codegen';
import { crc32 } from '../../src/crc32.ts';
import { RuntimeError } from '../../src/errors.ts';
import { readArtifact } from '../../src/read.ts';
import { affine, branching, counter, grouped, prepared } from '../models.ts';
import { Random } from '../random.ts';

const SEEDS = [
  pack(affine()),
  pack(affine(70), { weights: 'int8' }),
  pack(counter(), { weights: 'f16' }),
  pack(branching(), { weights: 'bf16' }),
  pack(branching(), { split: true }).grim,
  pack(grouped()),
  pack(prepared()),
];

/** A file around the given text of a manifest, header checksum and all. */
export function withManifest(file: Uint8Array, json: string | Uint8Array, minor = 0): Uint8Array {
  const text = typeof json === 'string' ? new TextEncoder().encode(json) : json;
  const before = new DataView(file.buffer, file.byteOffset).getUint32(8, true);
  const rest = file.subarray(Math.ceil((16 + before) / 64) * 64);
  const start = Math.ceil((16 + text.length) / 64) * 64;
  const out = new Uint8Array(rest.length === 0 ? 16 + text.length : start + rest.length);
  out.set(file.subarray(0, 16));
  const view = new DataView(out.buffer);
  view.setUint16(6, minor, true);
  view.setUint32(8, text.length, true);
  out.set(text, 16);
  if (rest.length > 0) out.set(rest, start);
  view.setUint32(12, crc32(text, crc32(out.subarray(0, 12))), true);
  return out;
}

export function manifestText(file: Uint8Array): string {
  const bytes = new DataView(file.buffer, file.byteOffset).getUint32(8, true);
  return new TextDecoder().decode(file.subarray(16, 16 + bytes));
}

const VALUES: readonly unknown[] = [
  ...[0, 1, -1, 2, 3, 63, 64, 65, 127, 4096, 65535, 65536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 1e308, 0.5, -0.5],
  ...['', 'wasm', 'tables', 'weights', 'int8', '__proto__', 'constructor', 'x', 'y', '\ud800', 'a'.repeat(2000)],
  ...[null, true, false, [], {}, [[]], [0], [1, 2, 3], { kind: 'wasm' }, { if: 0 }],
];

/** Changes one place of a JSON value in place. */
function mutate(value: unknown, random: Random): unknown {
  if (typeof value !== 'object' || value === null || random.int(8) === 0) {
    if (typeof value === 'number' && random.int(2) === 0) return value + random.pick([1, -1, 64, -64, 65536, 0.25]);
    return random.pick(VALUES);
  }
  if (Array.isArray(value)) {
    const copy: unknown[] = [...value];
    const at = random.int(copy.length + 1);
    const how = random.int(5);
    if (how === 0) copy.splice(at, 1);
    else if (how === 1) copy.splice(at, 0, copy.length > 0 ? random.pick(copy) : random.pick(VALUES));
    else if (how === 2 && copy.length > 1) copy.reverse();
    else if (copy.length > 0) copy[at % copy.length] = mutate(copy[at % copy.length], random);
    return copy;
  }
  const entries = Object.entries(value);
  const at = random.int(entries.length + 1);
  const how = random.int(10);
  const entry = entries[at % Math.max(1, entries.length)];
  if (how === 0) entries.splice(at, 1);
  else if (how === 1) entries.splice(at, 0, [random.pick(['__proto__', 'extra', 'name']), random.pick(VALUES)]);
  else if (how === 2) entries.reverse();
  else if (entry) entry[1] = mutate(entry[1], random);
  return Object.fromEntries(entries);
}

/** The n-th hostile file. */
export function hostileFile(seed: number): Uint8Array {
  const random = new Random(seed * 2654435761 + 12345);
  for (let i = 0; i < 4; i++) random.int(2);
  const file = random.pick(SEEDS);
  const how = random.int(10);
  if (how < 6) {
    let value: unknown = JSON.parse(manifestText(file));
    for (let i = random.int(3); i >= 0; i--) value = mutate(value, random);
    return withManifest(file, JSON.stringify(value) ?? '', random.int(8) === 0 ? 3 : 0);
  }
  if (how === 6) {
    // The text of the manifest, byte by byte, under a right checksum.
    const text = new TextEncoder().encode(manifestText(file));
    for (let i = random.int(3); i >= 0; i--)
      text[random.int(text.length)] = random.pick([0x22, 0x5b, 0x7b, 0x2c, 0x30, 0x2d, 0x5c, 0xff, random.int(256)]);
    return withManifest(file, text);
  }
  const copy = file.slice(0, random.int(4) === 0 ? random.int(file.length) : file.length);
  for (let i = random.int(4); i >= 0 && copy.length > 0; i--) copy[random.int(copy.length)] = random.int(256);
  if (how === 7) {
    // A damaged module under right checksums.
    try {
      const sections = readArtifact(file).manifest.sections;
      const section = sections[random.int(Math.min(2, sections.length))];
      if (section) {
        const broken = file.slice();
        for (let i = random.int(2); i >= 0; i--)
          broken[section.offset + random.int(Math.min(80, section.bytes))] = random.int(256);
        const sum = crc32(broken.subarray(section.offset, section.offset + section.bytes));
        const text = manifestText(broken).replaceAll(`"crc32":${section.crc32}}`, `"crc32":${sum}}`);
        return withManifest(broken, text);
      }
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
    }
  }
  return copy;
}

/** What one file does: an error with a code, or a file that was read. Anything else is thrown. */
export function outcome(file: Uint8Array): { readonly code: string; readonly message: string } | undefined {
  try {
    readArtifact(file);
    return undefined;
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    return { code: error.code, message: error.message };
  }
}

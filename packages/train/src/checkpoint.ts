/**
 * Checkpoints: everything that later steps depend on, in one piece of bytes with a checksum. The layout: "GRIMCKPT", the
 * length of a JSON header as u32, the header, then the float32 values in its order, little-endian. The header's SHA-256 is
 * of the values; a flipped bit anywhere is found.
 */
import { createHash } from 'node:crypto';
import { fail } from './errors.ts';

export interface Checkpoint {
  /** Of network, data and options: state fits no other run. */
  readonly fingerprint: string;
  readonly step: number;
  /** Steps since the optimiser was reset. */
  readonly optimizerStep: number;
  readonly values: ReadonlyMap<string, Float32Array>;
}

interface Header {
  readonly version: 1;
  readonly fingerprint: string;
  readonly step: number;
  readonly optimizerStep: number;
  readonly values: readonly (readonly [name: string, length: number])[];
  readonly sha256: string;
}

const MAGIC = 'GRIMCKPT';
const HEAD_BYTES = 12;

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export function writeCheckpoint({ fingerprint, step, optimizerStep, values }: Checkpoint): Uint8Array {
  const lengths = Array.from(values, ([name, { length }]) => [name, length] as const);
  const body = new Uint8Array(lengths.reduce((sum, [, length]) => sum + 4 * length, 0));
  let at = 0;
  for (const value of values.values()) {
    body.set(new Uint8Array(value.buffer, value.byteOffset, value.byteLength), at);
    at += value.byteLength;
  }
  const fields = { version: 1, fingerprint, step, optimizerStep, values: lengths } as const;
  const sha256 = digest(Buffer.concat([Buffer.from(JSON.stringify(fields)), body]));
  const header = Buffer.from(JSON.stringify({ ...fields, sha256 } satisfies Header));
  const bytes = new Uint8Array(HEAD_BYTES + header.length + body.length);
  bytes.set(Buffer.from(MAGIC), 0);
  new DataView(bytes.buffer).setUint32(MAGIC.length, header.length, true);
  bytes.set(header, HEAD_BYTES);
  bytes.set(body, HEAD_BYTES + header.length);
  return bytes;
}

/** @throws {GrimError} GRIM_TRAIN_BAD_CHECKPOINT */
export function readCheckpoint(bytes: Uint8Array): Checkpoint {
  const bad = (why: string): never =>
    fail(
      'GRIM_TRAIN_BAD_CHECKPOINT',
      `checkpoint: ${why}. Start again without it, or give one that was written whole.`,
    );
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, MAGIC.length)).toString('latin1');
  if (head !== MAGIC || bytes.length < HEAD_BYTES) bad('these bytes are no checkpoint of a training run');
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(MAGIC.length, true);
  if (HEAD_BYTES + length > bytes.length) bad('its header is cut short');
  const header =
    parse(Buffer.from(bytes.subarray(HEAD_BYTES, HEAD_BYTES + length)).toString('utf8')) ??
    bad('its header is damaged');
  const { sha256, ...fields } = header;
  const body = bytes.subarray(HEAD_BYTES + length);
  if (digest(Buffer.concat([Buffer.from(JSON.stringify(fields)), body])) !== sha256) bad('its checksum is wrong');
  const values = new Map<string, Float32Array>();
  // A copy is aligned. Not slice(): a Buffer's is a view.
  const { buffer } = new Uint8Array(body);
  let at = 0;
  for (const [name, count] of header.values) {
    values.set(name, new Float32Array(buffer, at, count));
    at += 4 * count;
  }
  return { fingerprint: header.fingerprint, step: header.step, optimizerStep: header.optimizerStep, values };
}

function parse(text: string): Header | undefined {
  try {
    const header = JSON.parse(text) as Partial<Header> | null;
    return header?.version === 1 && Array.isArray(header.values) ? (header as Header) : undefined;
  } catch {
    return undefined;
  }
}

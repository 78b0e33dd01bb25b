/**
 * The protobuf wire format, read strictly.
 *
 * The primitives are those of @bufbuild/protobuf. It is built for messages from a trusted peer: it lets a varint's tenth
 * byte overflow, cuts lengths to 32 bits, reads past the end before it looks, and skips groups by recursion. So every
 * length is proved here, against the end of the message around it, before the library is asked for the value.
 * @see https://protobuf.dev/programming-guides/encoding/
 */
import { BinaryReader } from '@bufbuild/protobuf/wire';
import type { GrimErrorCode } from '../errors.ts';

/** Throws a {@link GrimError} that names the byte and the message path. */
export type Fail = (code: GrimErrorCode, what: string, details?: Readonly<Record<string, unknown>>) => never;

/** Wire types that ONNX files have. Groups (3, 4) are refused, 6 and 7 do not exist. */
export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH = 2;
export const FIXED32 = 5;

const VARINT_BYTES = 10;

/** Reads one message after another, each up to its own end. */
export class WireReader {
  /** Where the current message ends; nothing is read beyond it. */
  end: number;
  private readonly bytes: Uint8Array;
  private readonly reader: BinaryReader;
  private readonly fail: Fail;

  constructor(bytes: Uint8Array, fail: Fail) {
    this.bytes = bytes;
    this.reader = new BinaryReader(bytes);
    this.end = bytes.length;
    this.fail = fail;
  }

  get pos(): number {
    return this.reader.pos;
  }

  /** Goes back to a place that has been read before. */
  rewind(pos: number): void {
    this.reader.pos = pos;
  }

  /** A tag: field number × 8 + wire type, both valid. */
  tag(): number {
    const tag = this.unsigned();
    if (tag >= 2 ** 32) this.fail('GRIM_ONNX_WIRE', `field number ${Math.floor(tag / 8)} is beyond 2^29 − 1`);
    const number = tag >>> 3;
    const wireType = tag & 7;
    if (number === 0) this.fail('GRIM_ONNX_WIRE', 'field number 0 does not exist');
    if (wireType === 3 || wireType === 4)
      this.fail('GRIM_ONNX_WIRE', `field ${number} is a protobuf group; ONNX has none`, { field: number, wireType });
    if (wireType > 5)
      this.fail('GRIM_ONNX_WIRE', `field ${number} has wire type ${wireType}, which does not exist`, {
        field: number,
        wireType,
      });
    return tag;
  }

  /** A varint as an unsigned integer; rounded above 2^53. */
  unsigned(): number {
    const length = this.varintLength();
    if (length === 1) return this.byte();
    return length <= 4 ? this.reader.uint32() : Number(this.reader.uint64());
  }

  /** An int64: a number when it is exact within ±2^53, else a bigint. */
  signed(): number | bigint {
    const length = this.varintLength();
    if (length === 1) return this.byte();
    if (length <= 4) return this.reader.uint32();
    const value = BigInt(this.reader.int64());
    const rounded = Number(value);
    return Number.isSafeInteger(rounded) ? rounded : value;
  }

  /** The 64 bits of an unsigned or two's complement varint. */
  bits(): bigint | number {
    const length = this.varintLength();
    if (length === 1) return this.byte();
    return length <= 4 ? this.reader.uint32() : BigInt(this.reader.uint64());
  }

  int32(): number {
    const value = this.signed();
    if (typeof value === 'bigint' || value !== (value | 0))
      return this.fail('GRIM_ONNX_WIRE', `${value} does not fit the 32 bits of its field`);
    return value;
  }

  float(): number {
    this.need(4);
    return this.reader.float();
  }

  /** The next bytes, without a copy. */
  take(count: number): Uint8Array {
    this.need(count);
    const start = this.reader.pos;
    this.reader.pos += count;
    return this.bytes.subarray(start, start + count);
  }

  /** The length of what follows, known to lie inside the current message. */
  length(): number {
    const length = this.unsigned();
    this.need(length);
    return length;
  }

  /** The bytes of a length-delimited field, without a copy. */
  delimited(): Uint8Array {
    return this.take(this.length());
  }

  /**
   * UTF-8 text without NUL, of at most `limit` bytes. A byte-order mark is text like any other.
   */
  text(limit: number, limitName: string): string {
    const start = this.reader.pos;
    const length = this.length();
    if (length > limit)
      this.fail('GRIM_ONNX_LIMIT', `text of ${length} bytes, more than the limit ${limitName} of ${limit}`, {
        limit: limitName,
        allowed: limit,
        found: length,
      });
    this.reader.pos = start;
    let text: string;
    try {
      text = this.reader.string(true);
    } catch {
      return this.fail('GRIM_ONNX_BAD_TEXT', `${length} bytes that should be text are not valid UTF-8`);
    }
    if (text.includes('\0')) this.fail('GRIM_ONNX_BAD_TEXT', 'text holds a NUL character');
    return text;
  }

  /** Passes over one value of a field that the schema does not know. */
  skip(wireType: number): void {
    if (wireType === VARINT) this.reader.pos += this.varintLength();
    else this.take(wireType === LENGTH ? this.length() : wireType === FIXED64 ? 8 : 4);
  }

  /** Number of varints in the next `length` bytes, if they are well-formed. */
  countVarints(length: number): number {
    let count = 0;
    const { pos } = this.reader;
    for (let at = pos; at < pos + length; at++) if ((this.bytes[at] ?? 0) < 0x80) count++;
    return count;
  }

  /** The next byte, whose presence is proved: most numbers of a file are one byte long. */
  private byte(): number {
    return this.bytes[this.reader.pos++] ?? 0;
  }

  private need(count: number): void {
    const left = this.end - this.reader.pos;
    if (count > left)
      this.fail(
        'GRIM_ONNX_TRUNCATED',
        `${count} bytes are announced and only ${left} are left; the file is cut off or damaged`,
        {
          announced: count,
          left,
        },
      );
  }

  /** Bytes of the varint ahead: at most 10, with no bit above the 64th, inside the message. */
  private varintLength(): number {
    const { pos } = this.reader;
    for (let index = 0; index < VARINT_BYTES; index++) {
      if (pos + index >= this.end)
        this.fail('GRIM_ONNX_TRUNCATED', 'the data ends inside a number; the file is cut off or damaged');
      const byte = this.bytes[pos + index] ?? 0;
      if (byte >= 0x80) continue;
      if (index === VARINT_BYTES - 1 && byte > 1) this.fail('GRIM_ONNX_WIRE', 'a number has more than 64 bits');
      return index + 1;
    }
    return this.fail('GRIM_ONNX_WIRE', `a number is longer than ${VARINT_BYTES} bytes`);
  }
}

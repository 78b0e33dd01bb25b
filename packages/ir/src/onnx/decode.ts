/**
 * Bytes of an ONNX file → the messages of `model.ts`.
 *
 * One pass over the bytes, driven by the table in `schema.ts`, with an explicit stack in place of recursion. A message is
 * built when its last byte has been read, so a parent receives finished children. The file is hostile until proved
 * otherwise; where protobuf lets a reader be lenient, this one is strict:
 * - a singular field given twice is refused, where protobuf merges: two readers could see two models in one file;
 * - a field that does not exist is skipped inside messages, but refused at the top of the file unless the caller says
 *   otherwise: remains of another file before the model look just like one;
 * - groups, over-long numbers, wrong wire types and text that is not UTF-8 are refused.
 *
 * Nothing is copied: tensor data stays in the file's bytes, so those must not change while the result is in use.
 */
import { GrimError, type GrimErrorCode } from '../errors.ts';
import { LIMITS, type Limits } from '../limits.ts';
import { DataList } from './data-list.ts';
import { build } from './messages.ts';
import type { ModelProto, TensorProto } from './model.ts';
import { recognise } from './recognise.ts';
import { FIELDS, type Field, type MessageName, ONE_OF } from './schema.ts';
import { type Fail, FIXED32, FIXED64, LENGTH, VARINT, WireReader } from './wire.ts';

export interface DecodeOptions {
  /** Skip unknown fields of the outermost message too. Default: false. */
  readonly lenient?: boolean;
}

/**
 * The model in the bytes of an `.onnx` file.
 * @throws {GrimError} GRIM_ONNX_*, with the byte and the path of the message in `details`
 */
export function decodeModel(bytes: Uint8Array, limits: Limits = LIMITS, options: DecodeOptions = {}): ModelProto {
  return decode('ModelProto', bytes, limits, options) as ModelProto;
}

/**
 * The tensor in the bytes of a `.pb` file, as in the test data of the ONNX standard.
 * @throws {GrimError} GRIM_ONNX_*, as {@link decodeModel}
 */
export function decodeTensorFile(bytes: Uint8Array, limits: Limits = LIMITS, options: DecodeOptions = {}): TensorProto {
  return decode('TensorProto', bytes, limits, options) as TensorProto;
}

function decode(root: MessageName, bytes: Uint8Array, limits: Limits, options: DecodeOptions): unknown {
  // Callers without types hand over an ArrayBuffer, or the text of a path.
  if (!ArrayBuffer.isView(bytes))
    throw new GrimError('GRIM_IR_BAD_INPUT', 'The bytes of a file are needed, in a Uint8Array.');
  if (bytes.length > limits.fileBytes)
    throw new GrimError(
      'GRIM_ONNX_LIMIT',
      `The file has ${bytes.length} bytes, more than the limit fileBytes of ${limits.fileBytes}. Raise limits.fileBytes to read it.`,
      { limit: 'fileBytes', allowed: limits.fileBytes, found: bytes.length },
    );
  if (bytes.length === 0) throw new GrimError('GRIM_ONNX_EMPTY', 'The file is empty; an ONNX file was expected.', {});
  try {
    // A subclass (Node's Buffer) may mean other things by slice() and subarray().
    const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    return new Decoder(root, plain, limits, options).run();
  } catch (error) {
    if (!(error instanceof GrimError)) throw error;
    // Only now: a real model may begin like something else.
    const found = recognise(bytes);
    if (found === undefined) throw error;
    throw new GrimError(found.code, `This is not an ONNX file: it looks like ${found.what}. ${found.hint}`, {
      looksLike: found.what,
      because: error.message,
    });
  }
}

/** A message that is being read. */
interface Frame {
  readonly message: MessageName;
  readonly fields: ReadonlyMap<number, Field>;
  /** Field name → value, or array of values. Names come from the schema, never from the file. */
  readonly values: Record<string, unknown>;
  readonly start: number;
  readonly end: number;
  /** The field of the message around it. */
  readonly field: Field | undefined;
}

class Decoder {
  private readonly limits: Limits;
  private readonly lenient: boolean;
  private readonly reader: WireReader;
  private readonly stack: Frame[] = [];
  /** How many of each limited thing the file had so far. */
  private readonly counts = { nodes: 0, initializers: 0, entries: 0, unknownFields: 0 };
  /** Where the field at hand begins, and which it is. */
  private at = 0;
  private field: Field | undefined;

  constructor(root: MessageName, bytes: Uint8Array, limits: Limits, options: DecodeOptions) {
    this.limits = limits;
    this.lenient = options.lenient ?? false;
    this.reader = new WireReader(bytes, (code, what, details) => this.fail(code, what, details));
    this.open(root, undefined, bytes.length);
  }

  run(): unknown {
    for (;;) {
      const frame = this.stack.at(-1) as Frame;
      this.at = this.reader.pos;
      this.field = undefined;
      if (this.reader.pos < frame.end) {
        this.readField(frame);
        continue;
      }
      this.at = frame.start;
      const value = build(frame.message, frame.values, this.fail);
      this.stack.pop();
      const parent = this.stack.at(-1);
      if (parent === undefined) return value;
      this.reader.end = parent.end;
      this.store(parent, frame.field as Field, value);
    }
  }

  private open(message: MessageName, field: Field | undefined, end: number): void {
    if (this.stack.length >= this.limits.wireDepth)
      this.fail('GRIM_ONNX_DEPTH', `messages are nested more than ${this.limits.wireDepth} deep`, {
        limit: 'wireDepth',
        allowed: this.limits.wireDepth,
      });
    const fields = FIELDS.get(message) as ReadonlyMap<number, Field>;
    this.stack.push({ message, fields, values: {}, start: this.at, end, field });
    this.reader.end = end;
  }

  private readField(frame: Frame): void {
    const { reader } = this;
    const tag = this.readTag(frame);
    const number = tag >>> 3;
    const wireType = tag & 7;
    const field = frame.fields.get(number);
    if (field === undefined) {
      if (this.stack.length === 1 && !this.lenient)
        this.fail(
          'GRIM_ONNX_UNKNOWN_FIELD',
          `${frame.message} has no field ${number}; the file may begin or end with bytes of another one`,
          {
            field: number,
          },
        );
      this.count('unknownFields');
      reader.skip(wireType);
      return;
    }
    this.field = field;
    if (!field.repeated && frame.values[field.name] !== undefined)
      this.fail('GRIM_ONNX_DUPLICATE_FIELD', `${field.name} of ${frame.message} is given twice`, { field: field.name });
    if (field.oneOf) this.refuseSecond(frame, field);
    if (field.message !== undefined) {
      this.expect(wireType, LENGTH);
      this.limit(frame, field);
      const length = reader.length();
      this.open(field.message, field, reader.pos + length);
    } else this.readScalar(frame, field, wireType);
  }

  /** A tag; at the top of the file, after the model's graph, a broken one means that something was appended. */
  private readTag(frame: Frame): number {
    if (this.stack.length > 1) return this.reader.tag();
    try {
      return this.reader.tag();
    } catch (error) {
      if (frame.values['graph'] === undefined || !(error instanceof GrimError)) throw error;
      return this.fail(
        'GRIM_ONNX_TRAILING',
        'what follows the graph is not part of an ONNX model; remove the bytes after it',
        {
          because: error.message,
        },
      );
    }
  }

  private readScalar(frame: Frame, field: Field, wireType: number): void {
    const { reader, limits } = this;
    const one = (value: unknown) => this.store(frame, field, value);
    switch (field.kind) {
      case 'name':
      case 'text': {
        this.expect(wireType, LENGTH);
        this.limit(frame, field);
        const limit = field.kind === 'name' ? 'nameBytes' : 'stringBytes';
        one(reader.text(limits[limit], limit));
        break;
      }
      case 'bytes':
        this.expect(wireType, LENGTH);
        one(reader.delimited());
        break;
      case 'count':
        this.expect(wireType, LENGTH);
        this.limit(frame, field);
        reader.delimited();
        one(undefined);
        break;
      case 'int32':
        this.expect(wireType, VARINT);
        one(reader.int32());
        break;
      case 'int64':
        this.eachOf(field, wireType, VARINT, () => one(reader.signed()));
        break;
      case 'float':
        this.eachOf(field, wireType, FIXED32, () => one(reader.float()));
        break;
      default:
        this.readData(frame, field, wireType);
    }
  }

  /** Reads one number, or a packed run of them when the field is repeated. */
  private eachOf(field: Field, wireType: number, own: number, read: () => void): void {
    const { reader } = this;
    if (!field.repeated || wireType === own) {
      this.expect(wireType, own);
      read();
      return;
    }
    this.expect(wireType, LENGTH);
    const outer = reader.end;
    const length = reader.length();
    reader.end = reader.pos + length;
    while (reader.pos < reader.end) read();
    reader.end = outer;
  }

  /** Reads numbers of tensor data: floats as bytes, so that the bits of a NaN survive. */
  private readData(frame: Frame, field: Field, wireType: number): void {
    const { reader } = this;
    const list = (frame.values[field.name] as DataList | undefined) ?? new DataList();
    frame.values[field.name] = list;
    if (field.kind === 'data:float') list.pushBytes(this.fixed(wireType, FIXED32, 4));
    else if (field.kind === 'data:double') list.pushBytes(this.fixed(wireType, FIXED64, 8));
    else {
      const narrow = field.kind === 'data:int32';
      if (wireType === LENGTH) {
        const start = reader.pos;
        list.reserve(reader.countVarints(reader.length()) * (narrow ? 1 : 2));
        reader.rewind(start);
      }
      this.eachOf(field, wireType, VARINT, () => (narrow ? list.push32(reader.int32()) : list.push64(reader.bits())));
    }
  }

  /** The bytes of one number of fixed size, or of a packed run of them. */
  private fixed(wireType: number, own: number, size: number): Uint8Array {
    if (wireType === own) return this.reader.take(size);
    this.expect(wireType, LENGTH);
    const bytes = this.reader.delimited();
    if (bytes.length % size !== 0)
      this.fail('GRIM_ONNX_WIRE', `${bytes.length} packed bytes are no whole number of ${size}-byte elements`);
    return bytes;
  }

  private store(frame: Frame, field: Field, value: unknown): void {
    const { values } = frame;
    if (!field.repeated) values[field.name] = value;
    else if (values[field.name] === undefined) values[field.name] = [value];
    else (values[field.name] as unknown[]).push(value);
  }

  private expect(found: number, needed: number): void {
    if (found !== needed)
      this.fail('GRIM_ONNX_WIRE', `wire type ${found} where the field needs ${needed}`, { wireType: found, needed });
  }

  private refuseSecond(frame: Frame, field: Field): void {
    const other = ONE_OF[frame.message]?.find((name) => frame.values[name] !== undefined);
    if (other !== undefined)
      this.fail('GRIM_ONNX_DUPLICATE_FIELD', `${field.name} is given beside ${other}; one of them is allowed`, {
        field: field.name,
        other,
      });
  }

  /** Counts one more value of a repeated field against its limits. */
  private limit(frame: Frame, field: Field): void {
    if (field.limit === 'nodes' || field.limit === 'initializers') this.count(field.limit);
    else if (field.limit !== undefined) {
      const found = ((frame.values[field.name] as unknown[] | undefined)?.length ?? 0) + 1;
      if (found > this.limits[field.limit]) this.refuseCount(field.limit);
    }
    this.count('entries');
  }

  private count(limit: keyof Decoder['counts']): void {
    this.counts[limit]++;
    if (this.counts[limit] > this.limits[limit]) this.refuseCount(limit);
  }

  private refuseCount(limit: keyof Limits): never {
    return this.fail(
      'GRIM_ONNX_LIMIT',
      `more than ${this.limits[limit]} of what limits.${limit} bounds; raise it to read the file`,
      {
        limit,
        allowed: this.limits[limit],
      },
    );
  }

  private readonly fail: Fail = (code: GrimErrorCode, what, details = {}) => {
    const path = this.path();
    throw new GrimError(code, `byte ${this.at}, ${path || 'the outermost message'}: ${what}.`, {
      byte: this.at,
      path,
      ...details,
    });
  };

  /** The message and field at hand, as `graph.node[3].attribute[0].ints`. */
  private path(): string {
    const steps: string[] = [];
    for (const [index, frame] of this.stack.entries()) {
      const parent = this.stack[index - 1];
      if (parent && frame.field) steps.push(step(parent, frame.field));
    }
    const frame = this.stack.at(-1);
    if (frame && this.field) steps.push(this.field.message ? step(frame, this.field) : this.field.name);
    return steps.join('.');
  }
}

function step(parent: Frame, field: Field): string {
  if (!field.repeated) return field.name;
  return `${field.name}[${(parent.values[field.name] as unknown[] | undefined)?.length ?? 0}]`;
}

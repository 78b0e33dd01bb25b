/**
 * The fields of a protobuf message as byte ranges, and editing one of them with the lengths around it kept true.
 * Lenient: it reads whatever can be read of a damaged message.
 */
export interface FieldRange {
  readonly start: number;
  /** Where the tag ends. */
  readonly body: number;
  /** Where the value begins: after the length of a length-delimited field, else `body`. */
  readonly value: number;
  readonly end: number;
  readonly wireType: number;
}

/** The fields that a message consists of, or undefined when it is none. */
export function fieldsOf(bytes: Uint8Array, start: number, end: number): FieldRange[] | undefined {
  const fields: FieldRange[] = [];
  let at = start;
  while (at < end) {
    const tag = readVarint(bytes, at, end);
    if (tag === undefined || tag.value < 8) return undefined;
    const wireType = tag.value % 8;
    const field = fieldAt(bytes, at, tag.end, end, wireType);
    if (field === undefined) return undefined;
    fields.push(field);
    at = field.end;
  }
  return fields;
}

function fieldAt(
  bytes: Uint8Array,
  start: number,
  body: number,
  end: number,
  wireType: number,
): FieldRange | undefined {
  if (wireType === 0) {
    const varint = readVarint(bytes, body, end);
    return varint && { start, body, value: body, end: varint.end, wireType };
  }
  if (wireType === 1 || wireType === 5) {
    const after = body + (wireType === 1 ? 8 : 4);
    return after <= end ? { start, body, value: body, end: after, wireType } : undefined;
  }
  if (wireType !== 2) return undefined;
  const length = readVarint(bytes, body, end);
  if (length === undefined || length.end + length.value > end) return undefined;
  return { start, body, value: length.end, end: length.end + length.value, wireType };
}

function readVarint(bytes: Uint8Array, start: number, end: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let at = start; at < end && at < start + 10; at++) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * (at - start));
    if (byte < 0x80) return { value, end: at + 1 };
  }
  return undefined;
}

/** `padding` extra bytes make it longer than it need be. */
export function varint(value: bigint, padding = 0): number[] {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 0x7fn; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
  out.push(Number(rest));
  if (padding > 0) {
    out[out.length - 1] = (out.at(-1) ?? 0) | 0x80;
    for (let i = 1; i < padding; i++) out.push(0x80);
    out.push(0);
  }
  return out;
}

/**
 * Replaces bytes `start` to `end`, and writes the lengths of the fields around them anew.
 * @param around the length-delimited fields around the place, outermost first
 */
export function replace(
  bytes: Uint8Array,
  start: number,
  end: number,
  by: Uint8Array,
  around: readonly FieldRange[],
): Uint8Array {
  let content = by;
  let [from, to] = [start, end];
  for (const field of around.toReversed()) {
    content = concat([bytes.subarray(field.value, from), content, bytes.subarray(to, field.end)]);
    content = concat([
      bytes.subarray(field.start, field.body),
      Uint8Array.from(varint(BigInt(content.length))),
      content,
    ]);
    [from, to] = [field.start, field.end];
  }
  return concat([bytes.subarray(0, from), content, bytes.subarray(to)]);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

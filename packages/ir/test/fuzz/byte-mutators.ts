/**
 * Damage to the bytes of a file. Half of the mutators know protobuf: they edit one field and mend the lengths around it,
 * so that the damage gets past the first lines of the decoder.
 */
import type { Random } from './random.ts';
import { concat, type FieldRange, fieldsOf, replace, varint } from './wire-tree.ts';

export interface ByteMutator {
  readonly name: string;
  readonly mutate: (bytes: Uint8Array, random: Random, corpus: readonly Uint8Array[]) => Uint8Array;
}

/** Integers around every width, and −1 of each. */
const BOUNDARIES = [
  0n,
  1n,
  2n,
  127n,
  128n,
  255n,
  256n,
  2n ** 15n,
  2n ** 16n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n,
].flatMap((value) => [value - 1n, value, value + 1n, -value]);

/** One field somewhere in the tree, the message around it and the fields around that. */
function somewhere(bytes: Uint8Array, random: Random) {
  const around: FieldRange[] = [];
  let fields = fieldsOf(bytes, 0, bytes.length);
  for (;;) {
    const index = random.below(fields?.length ?? 0);
    const field = fields?.[index];
    if (fields === undefined || field === undefined) return undefined;
    const inner = field.wireType === 2 && field.end > field.value ? fieldsOf(bytes, field.value, field.end) : undefined;
    if (inner === undefined || random.oneIn(3)) return { field, index, siblings: fields, around };
    around.push(field);
    fields = inner;
  }
}

/** A mutator that replaces one field; lengths around it are mended, but for one case in eight. */
function onField(
  name: string,
  edit: (
    field: Uint8Array,
    parts: { readonly tag: Uint8Array; readonly rest: Uint8Array; readonly range: FieldRange },
    random: Random,
    next: Uint8Array | undefined,
  ) => readonly Uint8Array[],
  withNext = false,
): ByteMutator {
  return {
    name,
    mutate: (bytes, random) => {
      const place = somewhere(bytes, random);
      if (place === undefined) return bytes;
      const { field, siblings, index, around } = place;
      const next = withNext ? siblings[index + 1] : undefined;
      const by = concat(
        edit(
          bytes.subarray(field.start, field.end),
          { tag: bytes.subarray(field.start, field.body), rest: bytes.subarray(field.value, field.end), range: field },
          random,
          next && bytes.subarray(next.start, next.end),
        ),
      );
      return replace(bytes, field.start, (next ?? field).end, by, random.oneIn(8) ? [] : around);
    },
  };
}

const list = (values: readonly number[]) => Uint8Array.from(values);

export const BYTE_MUTATORS: readonly ByteMutator[] = [
  {
    name: 'flip a bit',
    mutate: (bytes, random) => patched(bytes, random.below(bytes.length), (old) => old ^ (1 << random.below(8))),
  },
  {
    name: 'set a byte',
    mutate: (bytes, random) => patched(bytes, random.below(bytes.length), () => random.below(256)),
  },
  {
    name: 'nudge a byte',
    mutate: (bytes, random) => patched(bytes, random.below(bytes.length), (old) => old + (random.oneIn(2) ? 1 : 255)),
  },
  { name: 'truncate', mutate: (bytes, random) => bytes.slice(0, random.below(bytes.length)) },
  { name: 'extend', mutate: (bytes, random) => concat([bytes, noise(random, 1 + random.below(64))]) },
  { name: 'prefix', mutate: (bytes, random) => concat([noise(random, 1 + random.below(64)), bytes]) },
  {
    name: 'delete a range',
    mutate: (bytes, random) => {
      const [from, to] = range(bytes, random);
      return concat([bytes.subarray(0, from), bytes.subarray(to)]);
    },
  },
  {
    name: 'repeat a range',
    mutate: (bytes, random) => {
      const [from, to] = range(bytes, random);
      return concat([bytes.subarray(0, to), bytes.subarray(from)]);
    },
  },
  {
    name: 'splice two files',
    mutate: (bytes, random, corpus) => {
      const other = random.pick(corpus) ?? bytes;
      return concat([bytes.subarray(0, random.below(bytes.length)), other.subarray(random.below(other.length))]);
    },
  },
  {
    name: 'noise',
    mutate: (bytes, random) => {
      const [from, to] = range(bytes, random);
      return concat([bytes.subarray(0, from), noise(random, to - from), bytes.subarray(to)]);
    },
  },
  onField('duplicate a field', (field) => [field, field]),
  onField('delete a field', () => []),
  onField('swap two fields', (field, _, __, next) => (next ? [next, field] : [field]), true),
  onField('grow a varint beyond need', (field, { tag, range: { wireType }, rest }, random) =>
    wireType === 0 ? [tag, list(varint(BigInt(rest[0] ?? 0) & 127n, 1 + random.below(12)))] : [field],
  ),
  onField('a boundary integer', (field, { tag, range: { wireType } }, random) =>
    wireType === 0 ? [tag, list(varint(random.pick(BOUNDARIES) ?? 0n))] : [field],
  ),
  onField('a wrong length', (field, { tag, rest, range: { wireType } }, random) =>
    wireType === 2
      ? [
          tag,
          list(
            varint(
              random.oneIn(4) ? (random.pick(BOUNDARIES) ?? 0n) : BigInt(rest.length) + (random.oneIn(2) ? 1n : -1n),
            ),
          ),
          rest,
        ]
      : [field],
  ),
  onField('an over-long length', (_, { tag, rest, range: { wireType } }, random) =>
    wireType === 2 ? [tag, list(varint(BigInt(rest.length), 1 + random.below(9))), rest] : [tag, rest],
  ),
  onField('another field number', (_, { rest, range: { wireType } }, random) => [
    list(varint(BigInt(random.below(32) * 8 + wireType))),
    ...(wireType === 2 ? [list(varint(BigInt(rest.length)))] : []),
    rest,
  ]),
  onField('another wire type', (field, { tag }, random) => [
    list([((tag[0] ?? 0) & 0xf8) | random.below(8)]),
    field.subarray(1),
  ]),
  onField('empty a field', (_, { tag, range: { wireType }, rest }) =>
    wireType === 2 ? [tag, list([0])] : [tag, rest],
  ),
  onField('nest a field in itself', (field, { tag, range: { wireType } }, random) => {
    if (wireType !== 2) return [field];
    let nested = field;
    for (let depth = random.below(100); depth > 0; depth--)
      nested = concat([tag, list(varint(BigInt(nested.length))), nested]);
    return [nested];
  }),
  onField('strange text', (field, { tag, range: { wireType } }, random) => {
    if (wireType !== 2) return [field];
    const text = random.pick(TEXTS) ?? list([]);
    return [tag, list(varint(BigInt(text.length))), text];
  }),
  onField('many of a field', (field, _, random) => Array<Uint8Array>(1 + random.below(300)).fill(field)),
];

const encoder = new TextEncoder();
const TEXTS: readonly Uint8Array[] = [
  ...['__proto__', 'constructor', 'toString', '../x', ' ', '\u202eabc', '\ufeff', 'a\0b', 'é', 'e\u0301'].map((text) =>
    encoder.encode(text),
  ),
  encoder.encode('😀'.repeat(257)),
  list([0xc0, 0x80]),
  list([0xed, 0xa0, 0x80]),
  list([0xff]),
  list([0xf4, 0x90, 0x80, 0x80]),
];

function patched(bytes: Uint8Array, at: number, change: (old: number) => number): Uint8Array {
  const out = bytes.slice();
  out[at] = change(out[at] ?? 0);
  return out;
}

function noise(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.bits());
}

function range(bytes: Uint8Array, random: Random): [number, number] {
  const from = random.below(bytes.length);
  return [from, Math.min(bytes.length, from + 1 + random.below(32))];
}

import { existsSync, readFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LIMITS, withLimits } from '../../src/limits.ts';
import { decodeModel, decodeTensorFile } from '../../src/onnx/decode.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import { FIELDS, type MessageName } from '../../src/onnx/schema.ts';
import { readTensor } from '../../src/onnx/tensor.ts';
import { KITCHEN_SINK, modelProto, node, value } from '../fuzz/corpus.ts';
import { concat, varint } from '../fuzz/wire-tree.ts';
import { codeOf, errorOf, field, int, join, model, tag } from './wire-bytes.ts';

const data = process.env['GRIM_DATA'] ?? '';
const noData = `GRIM_DATA is not there: ${data}`;
const small = ['test_add', 'test_gru_seq_length', 'test_lstm_defaults']
  .map((name) => joinPath(data, 'onnx-node-tests/node', name, 'model.onnx'))
  .filter((path) => existsSync(path));

describe('P2: a file that is cut off', () => {
  it('P2: is refused at every byte of three real models, or has the whole graph', (ctx) => {
    if (small.length < 3) return ctx.skip(noData);
    for (const path of small) {
      const bytes = new Uint8Array(readFileSync(path));
      const whole = decodeModel(bytes);
      let refused = 0;
      for (let length = 0; length < bytes.length; length++) {
        try {
          // Only a cut between two fields of the model itself can pass, and then the graph is complete.
          expect(decodeModel(bytes.subarray(0, length)).graph).toEqual(whole.graph);
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(
            /^GRIM_ONNX_(EMPTY|TRUNCATED|MISSING_FIELD|NOT_ONNX|TRAILING)$/,
          );
          refused++;
        }
      }
      expect(refused).toBeGreaterThan(bytes.length * 0.8);
    }
  });

  it('P2: is refused at every byte of a model with one of everything', () => {
    const bytes = encodeModel(KITCHEN_SINK);
    const whole = decodeModel(bytes);
    for (let length = 0; length < bytes.length; length++) {
      try {
        expect(decodeModel(bytes.slice(0, length)).graph).toEqual(whole.graph);
      } catch (error) {
        expect((error as { code?: string }).code).toMatch(/^GRIM_ONNX_/);
      }
    }
  });
});

describe('numbers on the wire', () => {
  const version = (...bytes: readonly number[]) => join(tag(1, 0), bytes, field(7), field(8, int(2, 17)));

  it('P3: a varint of more than 10 bytes is refused', () => {
    expect(codeOf(() => decodeModel(version(...Array<number>(10).fill(0x80), 0)))).toBe('GRIM_ONNX_WIRE');
    expect(codeOf(() => decodeModel(version(...Array<number>(100).fill(0xff), 0)))).toBe('GRIM_ONNX_WIRE');
  });

  it('P3: a tenth byte above 1 is refused, 1 is the sign', () => {
    const nine = Array<number>(9).fill(0xff);
    expect(codeOf(() => decodeModel(version(...nine, 2)))).toBe('GRIM_ONNX_WIRE');
    expect(codeOf(() => decodeModel(version(...nine, 0x7f)))).toBe('GRIM_ONNX_WIRE');
    expect(decodeModel(version(...nine, 1)).irVersion).toBe(-1);
  });

  it.each([1, 2, 3, 5, 8, 9])('P3: a varint %i bytes longer than needed is accepted', (padding) => {
    expect(decodeModel(version(...varint(8n, padding))).irVersion).toBe(8);
    expect(decodeModel(join(varint(8n, padding), [8], field(7))).irVersion).toBe(8);
    const graph = join(tag(7, 2), varint(0n, padding));
    expect(decodeModel(join(int(1, 8), graph)).graph.nodes).toEqual([]);
  });

  it('P3: a tag of more than 32 bits is refused', () => {
    expect(codeOf(() => decodeModel(join(varint(2n ** 32n + 8n), [1])))).toBe('GRIM_ONNX_WIRE');
  });

  it('P3: an int32 that needs more bits is refused, not cut to 32', () => {
    const dataType = (value: bigint) => model(field(5, int(2, value)));
    expect(codeOf(() => decodeModel(dataType(2n ** 32n + 1n)))).toBe('GRIM_ONNX_WIRE');
    expect(decodeModel(dataType(-1n)).graph.initializers[0]?.dataType).toBe(-1);
  });

  it.each([
    ['one more than is there', 1n],
    ['2^31', 2n ** 31n],
    ['2^32 + 1, which would be 1 in 32 bits', 2n ** 32n + 1n],
    ['2^53 + 1', 2n ** 53n + 1n],
    ['-1', -1n],
  ])('P4: a length of %s is refused before anything is allocated', (_, length) => {
    const raw = join(tag(9, 2), varint(length));
    for (const bytes of [
      join(int(1, 8), tag(7, 2), varint(length)),
      model(field(5, raw)),
      model(field(5, tag(4, 2), varint(length))),
    ])
      expect(codeOf(() => decodeModel(bytes))).toBe('GRIM_ONNX_TRUNCATED');
  });

  it('P4: a length inside the file and outside the message around it is refused', () => {
    const name = join(tag(2, 2), varint(4n), [65]);
    const error = errorOf(() => decodeModel(join(int(1, 8), field(7, name), field(8, int(2, 17)))));
    expect(error).toMatchObject({
      code: 'GRIM_ONNX_TRUNCATED',
      details: { announced: 4, left: 1, path: 'graph.name' },
    });
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7])('P5: field number 0 with wire type %i is refused', (wireType) => {
    const zero = join([wireType], [0, 0, 0, 0, 0, 0, 0, 0]);
    expect(codeOf(() => decodeModel(join(int(1, 8), zero)))).toBe('GRIM_ONNX_WIRE');
    expect(codeOf(() => decodeModel(model(zero)))).toBe('GRIM_ONNX_WIRE');
  });

  it.each([3, 4, 6, 7])('P5: wire type %i is refused, in known and in unknown fields', (wireType) => {
    for (const number of [1, 2, 99]) {
      const bytes = join(tag(number, wireType), [0], tag(number, 4));
      expect(codeOf(() => decodeModel(bytes, LIMITS, { lenient: true }))).toBe('GRIM_ONNX_WIRE');
      expect(codeOf(() => decodeModel(model(bytes)))).toBe('GRIM_ONNX_WIRE');
    }
  });
});

describe('P6: nesting', () => {
  /** A graph in an attribute of a node of a graph …, `depth` times. */
  function nested(depth: number): Uint8Array {
    // Lengths are written from the inside out: one buffer, filled from its end.
    const buffer = new Uint8Array(depth * 24 + 8);
    let at = buffer.length;
    const wrap = (number: number, extra: Uint8Array = new Uint8Array(0)) => {
      at -= extra.length;
      buffer.set(extra, at);
      const head = join(tag(number, 2), varint(BigInt(buffer.length - at)));
      at -= head.length;
      buffer.set(head, at);
    };
    for (let level = 0; level < depth; level++) {
      wrap(6, level === 0 ? new Uint8Array(0) : undefined);
      wrap(5, join(field(1, 'g'), int(20, 5)));
      wrap(1);
    }
    return model(buffer.subarray(at));
  }

  it('P6: 64 messages deep is read, 65 is refused', () => {
    // model 1, graph 2, then node, attribute, graph: 2 + 3 × 20 = 62.
    expect(decodeModel(nested(20)).graph.nodes).toHaveLength(1);
    expect(decodeModel(nested(20), withLimits({ wireDepth: 62 })).graph.nodes).toHaveLength(1);
    expect(codeOf(() => decodeModel(nested(20), withLimits({ wireDepth: 61 })))).toBe('GRIM_ONNX_DEPTH');
    expect(codeOf(() => decodeModel(nested(21)))).toBe('GRIM_ONNX_DEPTH');
  });

  it.each([1e3, 1e4, 1e5])('P6: %i levels are refused without a stack overflow', (depth) => {
    expect(codeOf(() => decodeModel(nested(depth)))).toBe('GRIM_ONNX_DEPTH');
  });

  it('P6: a million levels of a type are refused without a stack overflow', () => {
    let size = 0;
    const levels = Array.from({ length: 1e6 }, (_, level) => {
      const head = join(tag(level % 2 === 0 ? 1 : 4, 2), varint(BigInt(size)));
      size += head.length;
      return head;
    });
    const type = field(2, concat(levels.reverse()));
    expect(codeOf(() => decodeModel(model(field(11, type))))).toBe('GRIM_ONNX_DEPTH');
  });

  it('P6: what is nested inside an unknown field is not looked at', () => {
    expect(decodeModel(model(field(99, nested(1000)))).graph.nodes).toEqual([]);
  });
});

describe('fields', () => {
  const known = [...FIELDS].flatMap(([message, fields]) =>
    [...fields.values()].map((known) => ({ owner: message, ...known })),
  );
  /** For each message, the fields that lead to it from the model. */
  const routes = new Map<MessageName, readonly number[]>([['ModelProto', []]]);
  for (const [message, route] of routes)
    for (const { message: inner, number } of FIELDS.get(message)?.values() ?? [])
      if (inner && !routes.has(inner)) routes.set(inner, [...route, number]);
  const wrapped = (message: MessageName, content: Uint8Array) =>
    (routes.get(message) ?? []).reduceRight((inner, number) => field(number, inner), content);

  it('P7: every known field with another wire type is refused, and there are many', () => {
    const bodies = [[1], [0, 0, 0, 0, 0, 0, 0, 0], [0], [], [], [0, 0, 0, 0]];
    let tried = 0;
    for (const { owner, number, kind, repeated } of known) {
      const own =
        kind === 'int32' || kind === 'int64' || (/int/.test(kind) && kind.startsWith('data:'))
          ? 0
          : kind === 'float' || kind === 'data:float'
            ? 5
            : kind === 'data:double'
              ? 1
              : 2;
      for (const wireType of [0, 1, 2, 5]) {
        const packed = wireType === 2 && repeated;
        if (wireType === own || packed) continue;
        const bytes = wrapped(owner, join(tag(number, wireType), bodies[wireType] ?? []));
        expect(
          codeOf(() => decodeModel(bytes)),
          `${owner} field ${number}, wire type ${wireType}`,
        ).toBe('GRIM_ONNX_WIRE');
        tried++;
      }
    }
    expect(tried).toBeGreaterThan(300);
  });

  it('P9: every singular field given twice is refused', () => {
    let tried = 0;
    for (const { owner, number, kind, repeated, name } of known) {
      if (repeated) continue;
      const once =
        kind === 'int32' || kind === 'int64'
          ? int(number, 1)
          : kind === 'float'
            ? join(tag(number, 5), [0, 0, 0, 0])
            : kind === 'SparseTensorProto'
              ? field(number, field(1), field(2))
              : kind === 'AttributeProto'
                ? field(number, int(2, 1))
                : field(number);
      const error = errorOf(() => decodeModel(wrapped(owner, join(once, once))));
      expect(error.code, `${owner}.${name}`).toBe('GRIM_ONNX_DUPLICATE_FIELD');
      expect(error.details['field']).toBe(name);
      tried++;
    }
    expect(tried).toBeGreaterThan(60);
  });

  it('P9: two kinds of a type, and two kinds of a dimension, are refused', () => {
    const type = (content: Uint8Array) => model(field(11, field(2, content)));
    expect(codeOf(() => decodeModel(type(join(field(1), field(4)))))).toBe('GRIM_ONNX_DUPLICATE_FIELD');
    const dim = type(field(1, field(2, field(1, int(1, 3), field(2, 'N')))));
    expect(codeOf(() => decodeModel(dim))).toBe('GRIM_ONNX_DUPLICATE_FIELD');
  });

  it('P10: unknown fields inside messages are skipped, whatever their wire type', () => {
    const unknown = join(
      int(99, 5),
      field(98, 'anything'),
      tag(97, 1),
      Array<number>(8).fill(1),
      tag(96, 5),
      [1, 2, 3, 4],
    );
    expect(decodeModel(model(unknown, field(2, 'g'), unknown)).graph.name).toBe('g');
  });

  it('P10: a million unknown fields are skipped, one more is refused', () => {
    const one = int(99, 0);
    const many = (count: number) => {
      const bytes = new Uint8Array(count * one.length);
      for (let at = 0; at < bytes.length; at += one.length) bytes.set(one, at);
      return model(bytes);
    };
    expect(decodeModel(many(LIMITS.unknownFields)).graph.nodes).toEqual([]);
    const error = errorOf(() => decodeModel(many(LIMITS.unknownFields + 1)));
    expect(error).toMatchObject({ code: 'GRIM_ONNX_LIMIT', details: { limit: 'unknownFields' } });
  });

  it('P1: what is no array of bytes at all is an error with a code', () => {
    for (const wrong of [null, undefined, 'model.onnx', new ArrayBuffer(3), [8, 1]])
      expect(codeOf(() => decodeModel(wrong as unknown as Uint8Array))).toBe('GRIM_IR_BAD_INPUT');
  });

  it('P15: an unknown field of the file itself is refused, and skipped on request', () => {
    const prefixed = join(field(27, new Uint8Array(26)), model(field(2, 'g')));
    expect(prefixed.length - model(field(2, 'g')).length).toBe(29);
    expect(codeOf(() => decodeModel(prefixed))).toBe('GRIM_ONNX_UNKNOWN_FIELD');
    expect(decodeModel(prefixed, LIMITS, { lenient: true }).graph.name).toBe('g');
  });

  it('P15: a prefix of every length up to 64 zero or random bytes is refused', () => {
    const whole = model(field(2, 'g'));
    for (let length = 1; length <= 64; length++) {
      expect(codeOf(() => decodeModel(join(new Uint8Array(length), whole)))).toMatch(/^GRIM_ONNX_/);
      const noise = Uint8Array.from({ length }, (_, at) => (at * 151 + length * 83 + 0x1b) & 0xff);
      expect(codeOf(() => decodeModel(join(noise, whole)))).toMatch(/^GRIM_ONNX_/);
    }
  });

  it.each([0x00, 0x0b, 0x0c, 0x0e, 0xff, 0x20])(
    'P16: 1 to 64 trailing bytes %i after the model are refused',
    (byte) => {
      const whole = model(field(2, 'g'));
      for (let length = 1; length <= 64; length++)
        expect(codeOf(() => decodeModel(join(whole, new Uint8Array(length).fill(byte))))).toMatch(
          /^GRIM_ONNX_(TRAILING|WIRE|TRUNCATED|UNKNOWN_FIELD|DUPLICATE_FIELD)$/,
        );
      if (byte === 0) expect(codeOf(() => decodeModel(join(whole, [0])))).toBe('GRIM_ONNX_TRAILING');
    },
  );

  it('P16: a second model after the first is refused', () => {
    const whole = model(field(2, 'g'));
    expect(codeOf(() => decodeModel(join(whole, whole)))).toBe('GRIM_ONNX_DUPLICATE_FIELD');
  });

  it('names the byte and the path of what is wrong', () => {
    const bytes = model(field(1), field(1), field(1, field(5, field(1, 'a'), field(8, [0x80]))));
    const error = errorOf(() => decodeModel(bytes));
    expect(error.details).toMatchObject({ path: 'graph.node[2].attribute[0].ints' });
    expect(error.message).toContain(`byte ${error.details['byte']}, graph.node[2].attribute[0].ints: `);
    // Where the field begins: its tag, number 8, length-delimited.
    expect(bytes[error.details['byte'] as number]).toBe(8 * 8 + 2);
  });

  it('a model without a graph is refused', () => {
    expect(codeOf(() => decodeModel(int(1, 8)))).toBe('GRIM_ONNX_MISSING_FIELD');
  });
});

describe('P8: packed and unpacked numbers', () => {
  const packedInts = (number: number, values: readonly number[]) =>
    field(number, ...values.map((v) => varint(BigInt(v))));
  const bits = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);
  const ints = [1, -2, 300, 0, 2 ** 31 - 1];
  const floats = [1.5, -0, 3.25, 1e-40];

  it('P8: dims and ints concatenate in order', () => {
    for (const mixture of [
      ints.map((v) => int(8, v)),
      [packedInts(8, ints)],
      [packedInts(8, ints.slice(0, 2)), int(8, 300), packedInts(8, []), packedInts(8, ints.slice(3))],
    ]) {
      const attribute = field(5, field(1, 'a'), int(20, 7), ...mixture);
      expect(decodeModel(model(field(1, attribute))).graph.nodes[0]?.attributes[0]).toEqual({
        name: 'a',
        kind: 'ints',
        value: ints,
      });
    }
    const dims = model(field(5, int(1, 2), packedInts(1, [3, 4]), int(1, 5)));
    expect(decodeModel(dims).graph.initializers[0]?.dims).toEqual([2, 3, 4, 5]);
  });

  it('P8: floats and float_data concatenate in order', () => {
    const single = (number: number, v: number) => join(tag(number, 5), bits([v]));
    const mixtures = (number: number) => [
      floats.map((v) => single(number, v)),
      [field(number, bits(floats))],
      [single(number, 1.5), field(number, bits([-0, 3.25])), field(number), single(number, 1e-40)],
    ];
    for (const mixture of mixtures(7)) {
      const [attribute] =
        decodeModel(model(field(1, field(5, field(1, 'a'), int(20, 6), ...mixture)))).graph.nodes[0]?.attributes ?? [];
      expect(attribute?.value).toEqual([...Float32Array.from(floats)]);
    }
    for (const mixture of mixtures(4)) {
      const tensor = decodeTensorFile(join(int(1, 4), int(2, 1), ...mixture));
      expect(readTensor(tensor, 't').data).toEqual(Float32Array.from(floats));
    }
  });

  it('P8: int32_data, int64_data, double_data and uint64_data concatenate in order', () => {
    const read = (type: number, ...fields: readonly Uint8Array[]) =>
      readTensor(decodeTensorFile(join(int(1, 3), int(2, type), ...fields)), 't').data;
    expect(read(6, int(5, 1), packedInts(5, [-2]), int(5, 3))).toEqual(Int32Array.of(1, -2, 3));
    expect(read(7, packedInts(7, [1, -2]), int(7, 2n ** 63n - 1n))).toEqual(BigInt64Array.of(1n, -2n, 2n ** 63n - 1n));
    expect(read(13, int(11, 1), packedInts(11, [2]), int(11, 2n ** 64n - 1n))).toEqual(
      BigUint64Array.of(1n, 2n, 2n ** 64n - 1n),
    );
    const doubles = new Uint8Array(Float64Array.of(0.1, -0.2, 1e300).buffer);
    expect(read(11, join(tag(10, 1), doubles.subarray(0, 8)), field(10, doubles.subarray(8)))).toEqual(
      Float64Array.of(0.1, -0.2, 1e300),
    );
  });

  it('P8: packed bytes that are no whole number of elements are refused', () => {
    expect(codeOf(() => decodeTensorFile(field(4, [1, 2, 3])))).toBe('GRIM_ONNX_WIRE');
    expect(codeOf(() => decodeTensorFile(field(10, [1, 2, 3, 4])))).toBe('GRIM_ONNX_WIRE');
    expect(codeOf(() => decodeTensorFile(field(5, [0x80])))).toBe('GRIM_ONNX_TRUNCATED');
  });

  it('P14: a hundred thousand packed pieces of one element make one tensor', () => {
    // Quadratic work here would be 10^10 steps: the test would not end.
    const count = 100_000;
    const one = field(4, bits([1]));
    const bytes = new Uint8Array(count * one.length);
    for (let at = 0; at < bytes.length; at += one.length) bytes.set(one, at);
    const tensor = readTensor(decodeTensorFile(join(int(1, count), int(2, 1), bytes)), 't');
    expect(tensor.data).toEqual(new Float32Array(count).fill(1));
  });
});

describe('P11: text', () => {
  const name = (...bytes: readonly number[]) => model(field(2, bytes));
  const utf8 = (text: string) => [...new TextEncoder().encode(text)];

  it.each([
    ['a lone continuation byte', [0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['an overlong NUL', [0xc0, 0x80]],
    ['an overlong three-byte form', [0xe0, 0x80, 0xaf]],
    ['a lone surrogate', [0xed, 0xa0, 0x80]],
    ['a surrogate pair in two parts', [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]],
    ['more than U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
    ['a cut sequence', [0xe2, 0x82]],
    ['0xff', [0xff]],
    ['NUL', [0x61, 0, 0x62]],
  ])('P11: %s in a name is refused', (_, bytes) => {
    expect(codeOf(() => decodeModel(name(...bytes)))).toBe('GRIM_ONNX_BAD_TEXT');
    // Long text takes another way through the library.
    expect(codeOf(() => decodeModel(name(...utf8('a'.repeat(200)), ...bytes)))).toBe('GRIM_ONNX_BAD_TEXT');
    const attribute = model(field(1, field(5, field(1, 'a'), int(20, 3), field(4, bytes))));
    expect(codeOf(() => decodeModel(attribute))).toBe('GRIM_ONNX_BAD_TEXT');
  });

  it('P11: a byte-order mark is a character like any other', () => {
    expect(decodeModel(name(...utf8('\ufeffg'))).graph.name).toBe('\ufeffg');
    expect(decodeModel(name(...utf8(`\ufeff${'g'.repeat(100)}`))).graph.name).toBe(`\ufeff${'g'.repeat(100)}`);
  });

  it('P11: composed and decomposed letters stay distinct', () => {
    const [a, b] = [decodeModel(name(...utf8('é'))), decodeModel(name(...utf8('e\u0301')))];
    expect(a.graph.name).not.toBe(b.graph.name);
  });

  it('P11: a name of 1,024 bytes is read, one of 1,025 is refused', () => {
    expect(decodeModel(name(...utf8('a'.repeat(1024)))).graph.name).toHaveLength(1024);
    expect(decodeModel(name(...utf8('😀'.repeat(256)))).graph.name).toHaveLength(512);
    const error = errorOf(() => decodeModel(name(...utf8('a'.repeat(1025)))));
    expect(error).toMatchObject({ code: 'GRIM_ONNX_LIMIT', details: { limit: 'nameBytes', found: 1025 } });
    expect(codeOf(() => decodeModel(model(field(2, new Uint8Array(2 ** 20).fill(97)))))).toBe('GRIM_ONNX_LIMIT');
  });

  it('P11: other text of 1 MiB is read, one byte more is refused', () => {
    const doc = (length: number) => model(field(10, new Uint8Array(length).fill(97)));
    expect(decodeModel(doc(2 ** 20)).graph.docString).toHaveLength(2 ** 20);
    expect(errorOf(() => decodeModel(doc(2 ** 20 + 1)))).toMatchObject({ details: { limit: 'stringBytes' } });
  });
});

describe('P12: counts', () => {
  const many = (count: number, one: Uint8Array) => {
    const bytes = new Uint8Array(count * one.length);
    for (let at = 0; at < bytes.length; at += one.length) bytes.set(one, at);
    return bytes;
  };
  const refused = (bytes: Uint8Array, limits = LIMITS) => errorOf(() => decodeModel(bytes, limits));

  it('P12: as many nodes as the limit are read, one more is refused', () => {
    expect(decodeModel(model(many(LIMITS.nodes, field(1)))).graph.nodes).toHaveLength(LIMITS.nodes);
    const error = refused(model(many(LIMITS.nodes + 1, field(1))));
    expect(error).toMatchObject({ code: 'GRIM_ONNX_LIMIT', details: { limit: 'nodes', allowed: LIMITS.nodes } });
    expect(error.message).toContain('limits.nodes');
  });

  it('P12: a million nodes and a million initializers are refused', () => {
    expect(refused(model(many(1e6, field(1)))).details['limit']).toBe('nodes');
    expect(refused(model(many(1e6, field(5)))).details['limit']).toBe('initializers');
  });

  it('P12: nodes of bodies and functions count too', () => {
    const limits = withLimits({ nodes: 4 });
    const body = field(5, field(1, 'body'), int(20, 5), field(6, field(1), field(1)));
    expect(decodeModel(model(field(1, body), field(1)), limits).graph.nodes).toHaveLength(2);
    expect(refused(model(field(1, body), field(1), field(1)), limits).details['limit']).toBe('nodes');
    const called = field(25, field(7), field(7));
    expect(refused(join(model(field(1), field(1)), called, called), limits).details['limit']).toBe('nodes');
  });

  it('P12: initializers count dense and sparse ones together', () => {
    const limits = withLimits({ initializers: 2 });
    const sparse = field(15, field(1), field(2));
    expect(decodeModel(model(field(5), sparse), limits).graph.sparseInitializers).toHaveLength(1);
    expect(refused(model(field(5), sparse, field(5)), limits).details['limit']).toBe('initializers');
  });

  it('P12: as many attributes of a node as the limit are read, one more and 100,000 are refused', () => {
    const attribute = field(5, field(1, 'a'), int(20, 2));
    const { attributesPerNode } = LIMITS;
    expect(decodeModel(model(field(1, many(attributesPerNode, attribute)))).graph.nodes[0]?.attributes).toHaveLength(
      256,
    );
    for (const count of [attributesPerNode + 1, 1e5])
      expect(refused(model(field(1, many(count, attribute)))).details['limit']).toBe('attributesPerNode');
  });

  it('P12: as many inputs of a node as the limit are read, one more is refused', () => {
    const limits = withLimits({ valuesPerNode: 3 });
    expect(decodeModel(model(field(1, many(3, field(1, 'x')))), limits).graph.nodes[0]?.inputs).toHaveLength(3);
    for (const number of [1, 2])
      expect(refused(model(field(1, many(4, field(number, 'x')))), limits).details['limit']).toBe('valuesPerNode');
  });

  it('P12: messages of all kinds together are bounded', () => {
    // The graph and the opset are entries themselves.
    const limits = withLimits({ entries: 10 });
    expect(decodeModel(model(many(8, field(13))), limits).graph.valueInfo).toHaveLength(8);
    expect(refused(model(many(9, field(13))), limits).details['limit']).toBe('entries');
    expect(
      refused(model(field(11, field(2, field(1, field(2, many(LIMITS.entries, field(1))))))), LIMITS).details['limit'],
    ).toBe('entries');
  });

  it('P13: a file as large as the limit is read, one byte more is refused unread', () => {
    const bytes = model(field(2, 'g'));
    expect(decodeModel(bytes, withLimits({ fileBytes: bytes.length })).graph.name).toBe('g');
    const error = errorOf(() => decodeModel(bytes, withLimits({ fileBytes: bytes.length - 1 })));
    expect(error).toMatchObject({ code: 'GRIM_ONNX_LIMIT', details: { limit: 'fileBytes' } });
  });
});

describe('attributes', () => {
  const attribute = (...fields: readonly Uint8Array[]) =>
    decodeModel(model(field(1, field(5, field(1, 'a'), ...fields)))).graph.nodes[0]?.attributes[0];

  it('G14: two values, a value of another type, and no type and no value are refused', () => {
    expect(codeOf(() => attribute(int(20, 2), int(3, 1), field(8, [1])))).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(codeOf(() => attribute(int(20, 7), int(3, 1)))).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(codeOf(() => attribute())).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(codeOf(() => attribute(int(20, 99)))).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(codeOf(() => attribute(int(20, -1)))).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(codeOf(() => attribute(int(20, 4)))).toBe('GRIM_ONNX_MISSING_FIELD');
    expect(codeOf(() => attribute(int(20, 5)))).toBe('GRIM_ONNX_MISSING_FIELD');
    expect(codeOf(() => attribute(int(20, 2), int(3, 1), field(21, 'outer')))).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });

  it('takes the type from the value in files that have none, and zero where proto3 leaves it out', () => {
    expect(attribute(int(3, 5))).toEqual({ name: 'a', kind: 'int', value: 5 });
    expect(attribute(int(20, 2))).toEqual({ name: 'a', kind: 'int', value: 0 });
    expect(attribute(int(20, 1))).toEqual({ name: 'a', kind: 'float', value: 0 });
    expect(attribute(int(20, 7))).toEqual({ name: 'a', kind: 'ints', value: [] });
    expect(attribute(int(20, 13), field(14))).toEqual({ name: 'a', kind: 'other', value: 13 });
    expect(attribute(int(20, 1), field(21, 'outer'))).toEqual({
      name: 'a',
      kind: 'reference',
      value: 'outer',
      type: 1,
    });
  });

  it('gives integers exactly: numbers up to 2^53, bigints beyond', () => {
    const values = [2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), -1n];
    expect(attribute(int(20, 7), ...values.map((v) => int(8, v)))?.value).toEqual([
      2 ** 53 - 1,
      2n ** 53n,
      2n ** 63n - 1n,
      -(2n ** 63n),
      -1,
    ]);
  });
});

describe('what is decoded', () => {
  it('reads back a model with one of everything', () => {
    const decoded = decodeModel(encodeModel(KITCHEN_SINK));
    expect(decoded.graph.inputs).toEqual(KITCHEN_SINK.graph.inputs);
    expect(decoded.graph.outputs).toEqual(KITCHEN_SINK.graph.outputs);
    expect(decoded.graph.valueInfo).toEqual([{ name: 'h', elemType: 1, dims: null }]);
    expect(decoded.functions).toEqual(KITCHEN_SINK.functions);
    expect(decoded.graph.nodes[0]).toEqual(KITCHEN_SINK.graph.nodes[0]);
  });

  it('names a type that is no dense tensor, and reads and drops what it has no use for', () => {
    const typed = (...type: readonly Uint8Array[]) =>
      decodeModel(model(field(11, field(1, 'x'), field(2, ...type)))).graph.inputs[0];
    expect(typed(field(4, field(1)))).toEqual({ name: 'x', elemType: 0, dims: null, otherType: 'sequence' });
    expect(typed(field(9, field(1)))?.otherType).toBe('optional');
    expect(typed(field(8, int(1, 1)))?.otherType).toBe('sparse tensor');
    expect(typed()).toEqual({ name: 'x', elemType: 0, dims: null });
    const training = field(20, field(1, field(2, 'init')), field(3, field(1, 'k'), field(2, 'v')));
    const devices = field(26, field(1, 'd'), int(2, 2), field(3, 'gpu'));
    expect(decodeModel(join(model(field(2, 'g')), training, devices)).graph.name).toBe('g');
  });

  it('G21: names like __proto__ are ordinary text everywhere', () => {
    const names = ['__proto__', 'constructor', 'hasOwnProperty', '../x', ' '];
    const proto = modelProto(
      {
        nodes: names.map((name) => ({ ...node(name, [name], [name]), name })),
        inputs: names.map((name) => value(name)),
      },
      { metadataProps: names.map((key) => ({ key, value: key })) },
    );
    const decoded = decodeModel(encodeModel(proto));
    expect(decoded.metadataProps).toEqual(proto.metadataProps);
    expect(decoded.graph.nodes).toEqual(proto.graph.nodes);
    expect(Object.prototype).not.toHaveProperty('value');
  });

  it('keeps tensor data as views on the file', () => {
    const bytes = model(field(5, int(1, 4), int(2, 2), field(9, [1, 2, 3, 4])));
    const { payload } = decodeModel(bytes).graph.initializers[0] ?? {};
    expect(payload?.form === 'raw' && payload.bytes.buffer).toBe(bytes.buffer);
  });

  it('reads a file in a Node Buffer, whose slice() copies nothing, at any offset', () => {
    const file = encodeModel(KITCHEN_SINK);
    for (let offset = 0; offset < 8; offset++) {
      const buffer = Buffer.concat([Buffer.alloc(offset), file]).subarray(offset);
      expect(decodeModel(buffer)).toEqual(decodeModel(file));
    }
  });
});

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { decodeTensorFile } from '../../src/onnx/decode.ts';
import { encodeTensorFile } from '../../src/onnx/encode.ts';
import { type ExternalData, externalReader } from '../../src/onnx/external.ts';
import type { StringPair, TensorProto } from '../../src/onnx/model.ts';
import { sha1 } from '../../src/onnx/sha1.ts';
import { readTensor } from '../../src/onnx/tensor.ts';
import { codeOf, errorOf, field, int, join } from './wire-bytes.ts';

const file = Uint8Array.from({ length: 64 }, (_, at) => at);
const files = new Map([['w.bin', file]]);
const pairs = (entries: Readonly<Record<string, string>>): StringPair[] =>
  Object.entries(entries).map(([key, value]) => ({ key, value }));

function read(entries: readonly StringPair[], source: ExternalData = files, dims = [8]) {
  const proto: TensorProto = { name: 'w', dims, dataType: 2, payload: { form: 'external', entries } };
  return readTensor(proto, 'initializer "w"', LIMITS, externalReader(source));
}

const at = (location: string, more: Readonly<Record<string, string>> = {}) => read(pairs({ location, ...more }));

describe('X1: locations', () => {
  const refused = [
    '',
    '/',
    '//',
    '.',
    '..',
    './',
    '../',
    '../w.bin',
    'a/../../b',
    'sub/../../w.bin',
    'sub/../w.bin',
    'a/..',
    '/w.bin',
    '/etc/passwd',
    '//server/share',
    '\\\\server\\share',
    '\\w.bin',
    'a\\b',
    '..\\w.bin',
    'C:',
    'C:w.bin',
    'C:/w.bin',
    'C:\\w.bin',
    'c:\\',
    'file:///w.bin',
    'https://example.org/w.bin',
    'data:,x',
    'w.bin:stream',
    'w\0.bin',
    'w.bin\0',
    '\0',
    '%2e%2e/w.bin',
    '%2E%2E%2Fw',
    'a%2fb',
    'a%5Cb',
    'w%00.bin',
    'w.bin.',
    'w.bin ',
    'a./b',
    'a /b',
    '...',
    ' ',
    'a//b',
    'a/',
    'a/./b',
    'CON',
    'con.bin',
    'a/NUL',
    'prn.txt',
    'AUX',
    'COM1',
    'com9.bin',
    'LPT3',
    'lpt¹',
    'CONIN$',
    'w\n.bin',
    'w\u202ebin',
    'w\u200b',
    'w\u2028',
    'w?.bin',
    'w*',
    'a|b',
    '<w>',
    '"w"',
    '././w.bin',
  ];

  it('X1: at least 60 spellings are tried', () => {
    expect(new Set(refused).size).toBeGreaterThanOrEqual(60);
  });

  it.each(refused)('X1: %j is refused, and never looked up', (location) => {
    const asked: string[] = [];
    const source = (name: string) => {
      asked.push(name);
      return file;
    };
    const error = errorOf(() => read(pairs({ location }), source));
    expect(error.code).toBe('GRIM_ONNX_EXTERNAL_DATA');
    expect(error.message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(asked).toEqual([]);
  });

  it.each([
    'w.bin',
    './w.bin',
    'sub/w.bin',
    'weights-1_of.2.bin',
    'console.bin',
    '..w',
    'a..b/c',
    'é.bin',
    'space inside.bin',
    '100%.bin',
    'com10',
  ])('X1: %j is looked up as it is written', (location) => {
    expect(read(pairs({ location }), new Map([[location.replace('./', ''), file]])).data).toEqual(file.subarray(0, 8));
  });

  it('X1: only an exact match counts, and a missing file is named', () => {
    for (const location of ['W.bin', 'w.bi', 'w.bin2', 'sub/w.bin', '__proto__', 'constructor', 'toString']) {
      const error = errorOf(() => at(location));
      expect(error.code).toBe('GRIM_ONNX_EXTERNAL_DATA');
      expect(error.details).toMatchObject({ location });
    }
  });

  it('X1: a tensor in another file is refused when no files were given', () => {
    const proto: TensorProto = {
      name: 'w',
      dims: [8],
      dataType: 2,
      payload: { form: 'external', entries: pairs({ location: 'w.bin' }) },
    };
    expect(codeOf(() => readTensor(proto, 'w'))).toBe('GRIM_ONNX_EXTERNAL_DATA');
  });
});

describe('X3: ranges', () => {
  const wrong = [
    '-1',
    '+1',
    '1e3',
    '0x10',
    '1.0',
    ' 1',
    '1 ',
    '',
    'NaN',
    'Infinity',
    '1_000',
    '１',
    '9007199254740992',
    '9223372036854775808',
    '18446744073709551616',
    '00000000000000000001',
  ];
  it.each(wrong)('X3: an offset or length of %j is refused', (text) => {
    expect(codeOf(() => at('w.bin', { offset: text }))).toBe('GRIM_ONNX_EXTERNAL_DATA');
    expect(codeOf(() => at('w.bin', { length: text }))).toBe('GRIM_ONNX_EXTERNAL_DATA');
  });

  it('X3: a range up to the last byte is read, one byte more is refused', () => {
    expect(at('w.bin', { offset: '56', length: '8' }).data).toEqual(file.subarray(56));
    expect(at('w.bin', { offset: '56' }).data).toEqual(file.subarray(56));
    expect(at('w.bin').data).toEqual(file.subarray(0, 8));
    for (const entries of [
      { offset: '57', length: '8' },
      { offset: '57' },
      { offset: '9007199254740991', length: '8' },
      { length: '9007199254740991' },
    ])
      expect(errorOf(() => at('w.bin', entries))).toMatchObject({
        code: 'GRIM_ONNX_EXTERNAL_DATA',
        details: { size: 64 },
      });
  });

  it('X3: a length that is not that of the tensor is refused', () => {
    for (const length of ['0', '7', '9']) expect(codeOf(() => at('w.bin', { length }))).toBe('GRIM_ONNX_BAD_TENSOR');
  });

  it('X3: length 0 is right for no elements, and two tensors may share bytes', () => {
    expect(read(pairs({ location: 'w.bin', offset: '64', length: '0' }), files, [0]).data).toHaveLength(0);
    const [a, b] = [at('w.bin', { offset: '0' }), at('w.bin', { offset: '4' })];
    expect([a.data[4], b.data[0]]).toEqual([4, 4]);
  });

  it('X3: data is a view on the given file', () => {
    expect(at('w.bin', { offset: '8' }).data.buffer).toBe(file.buffer);
  });
});

describe('X4: entries', () => {
  const digest = createHash('sha1').update(file).digest('hex');

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'Location', 'basepath', 'name', 'raw_data', ''])(
    'X4: the key %j is refused',
    (key) => {
      expect(codeOf(() => read([...pairs({ location: 'w.bin' }), { key, value: 'x' }]))).toBe(
        'GRIM_ONNX_EXTERNAL_DATA',
      );
      expect(Object.prototype).not.toHaveProperty('x');
    },
  );

  it.each(['location', 'offset', 'length', 'checksum'])(
    'X4: the key %s twice is refused, even with one value',
    (key) => {
      const value = { location: 'w.bin', offset: '0', length: '8', checksum: digest }[key] ?? '';
      const entry = { key, value };
      expect(
        codeOf(() => read([...pairs({ location: 'w.bin' }).filter((pair) => pair.key !== key), entry, entry])),
      ).toBe('GRIM_ONNX_EXTERNAL_DATA');
    },
  );

  it('X4: no location is refused', () => {
    expect(codeOf(() => read([]))).toBe('GRIM_ONNX_EXTERNAL_DATA');
    expect(codeOf(() => read(pairs({ offset: '0' })))).toBe('GRIM_ONNX_EXTERNAL_DATA');
  });

  it('X4: the right checksum is taken, in either case; another, or no checksum at all, is refused', () => {
    expect(at('w.bin', { checksum: digest }).data).toHaveLength(8);
    expect(at('w.bin', { checksum: digest.toUpperCase() }).data).toHaveLength(8);
    expect(errorOf(() => at('w.bin', { checksum: `0${digest.slice(1)}` })).details).toMatchObject({ found: digest });
    for (const checksum of ['', 'x', digest.slice(1), `${digest}0`, `sha1:${digest}`])
      expect(codeOf(() => at('w.bin', { checksum }))).toBe('GRIM_ONNX_EXTERNAL_DATA');
  });

  it('X4: a file is fetched once for all tensors of a model', () => {
    let fetched = 0;
    const external = externalReader((location) => {
      fetched++;
      return files.get(location);
    });
    for (let i = 0; i < 10; i++) external(pairs({ location: 'w.bin', checksum: digest }), 8, 'w');
    expect(fetched).toBe(1);
  });

  it('SHA-1 agrees with another implementation at every length around its blocks', () => {
    const bytes = Uint8Array.from({ length: 300 }, (_, index) => (index * 37) & 0xff);
    for (let length = 0; length <= 300; length++)
      expect(sha1(bytes.subarray(1, 1 + length))).toBe(
        createHash('sha1')
          .update(bytes.subarray(1, 1 + length))
          .digest('hex'),
      );
  });
});

describe('external data in a file', () => {
  const entry = (key: string, value: string) => field(13, field(1, key), field(2, value));
  it('is read with its entries in order, and written again', () => {
    const proto = decodeTensorFile(
      join(int(1, 8), int(2, 2), field(8, 'w'), entry('location', 'w.bin'), entry('offset', '8'), int(14, 1)),
    );
    expect(proto.payload).toEqual({ form: 'external', entries: pairs({ location: 'w.bin', offset: '8' }) });
    expect(decodeTensorFile(encodeTensorFile(proto))).toEqual(proto);
  });

  it('T1: beside data in the file itself, or without the mark that it is used, it is refused', () => {
    const head = join(int(1, 8), int(2, 2), entry('location', 'w.bin'));
    expect(codeOf(() => decodeTensorFile(join(head, int(14, 1), field(9, new Uint8Array(8)))))).toBe(
      'GRIM_ONNX_BAD_TENSOR',
    );
    expect(codeOf(() => decodeTensorFile(head))).toBe('GRIM_ONNX_EXTERNAL_DATA');
    expect(codeOf(() => decodeTensorFile(join(head, int(14, 2))))).toBe('GRIM_ONNX_BAD_TENSOR');
  });
});

import { describe, expect, it } from 'vitest';
import { LIMITS, withLimits } from '../../src/limits.ts';
import { decodeModel, decodeTensorFile } from '../../src/onnx/decode.ts';
import { encodeTensorFile } from '../../src/onnx/encode.ts';
import type { SparseTensorProto, TensorPayload, TensorProto } from '../../src/onnx/model.ts';
import { DATA_TYPES } from '../../src/onnx/model.ts';
import { readDType, readSparseTensor, readTensor, writeSparseTensor, writeTensor } from '../../src/onnx/tensor.ts';
import { allocate, bytesPerElement, DTYPES, type DType, elementCount, type Tensor, viewAs } from '../../src/types.ts';
import { codeOf, errorOf, field, int, join, tag } from './wire-bytes.ts';

const typeOf = (dtype: DType) => [...DATA_TYPES].find(([, held]) => held === dtype)?.[0] ?? 0;

function proto(dtype: DType, dims: readonly number[], payload: TensorPayload): TensorProto {
  return { name: 't', dims, dataType: typeOf(dtype), payload };
}

const raw = (bytes: Uint8Array | number): TensorPayload => ({ form: 'raw', bytes: new Uint8Array(bytes as number) });
const read = (tensor: TensorProto, limits = LIMITS) => readTensor(tensor, 'tensor "t"', limits);

/** Each typed form, and a payload of `length` ones in it. */
const FORMS: readonly (readonly [TensorPayload['form'], readonly DType[], (length: number) => TensorPayload])[] = [
  ['float_data', ['float32'], (length) => ({ form: 'float_data', values: new Float32Array(length).fill(1) })],
  [
    'int32_data',
    ['int32', 'int16', 'int8', 'uint16', 'uint8', 'bool', 'float16', 'bfloat16'],
    (length) => ({ form: 'int32_data', values: new Int32Array(length).fill(1) }),
  ],
  ['int64_data', ['int64'], (length) => ({ form: 'int64_data', values: new BigInt64Array(length).fill(1n) })],
  ['double_data', ['float64'], (length) => ({ form: 'double_data', values: new Float64Array(length).fill(1) })],
  [
    'uint64_data',
    ['uint32', 'uint64'],
    (length) => ({ form: 'uint64_data', values: new BigUint64Array(length).fill(1n) }),
  ],
];

describe('T1: the length of the data', () => {
  it.each(DTYPES)('T1: raw_data of %s is taken at its exact length, and at no other', (dtype) => {
    const exact = 6 * bytesPerElement(dtype);
    expect(read(proto(dtype, [2, 3], raw(exact))).data).toEqual(allocate(dtype, 6));
    for (const length of [0, 1, exact - 1, exact + 1, exact + bytesPerElement(dtype), exact * 2])
      if (length !== exact)
        expect(
          errorOf(() => read(proto(dtype, [2, 3], raw(length)))),
          `${length} bytes`,
        ).toMatchObject({
          code: 'GRIM_ONNX_BAD_TENSOR',
          details: { needed: exact, found: length },
        });
  });

  it.each(FORMS)('T1: %s is taken at its exact length, and at no other', (_, dtypes, ones) => {
    for (const dtype of dtypes) {
      expect(Array.from(read(proto(dtype, [2, 3], ones(6))).data, Number)).toEqual(Array(6).fill(1));
      for (const length of [1, 5, 7, 12])
        expect(codeOf(() => read(proto(dtype, [2, 3], ones(length))))).toBe('GRIM_ONNX_BAD_TENSOR');
    }
  });

  it.each(FORMS)('T1: %s is refused for a dtype that it cannot carry', (_, dtypes, ones) => {
    for (const dtype of DTYPES.filter((other) => !dtypes.includes(other)))
      expect(errorOf(() => read(proto(dtype, [6], ones(6)))).message).toContain('cannot be stored as');
  });

  it('T1: data in two forms, even of the right length, is refused', () => {
    const two = [
      field(9, [1, 2, 3, 4]),
      field(4, [0, 0, 0, 0]),
      field(5, [1]),
      field(7, [1]),
      field(11, [1]),
      field(10, new Uint8Array(8)),
      field(6, 'a'),
    ];
    for (const [i, first] of two.entries())
      for (const second of two.slice(i + 1))
        expect(codeOf(() => decodeTensorFile(join(int(1, 1), int(2, 1), first, second)))).toBe('GRIM_ONNX_BAD_TENSOR');
  });

  it('T1: no data is right for no elements, and for nothing else', () => {
    const without = (dim: number) => decodeTensorFile(join(int(1, dim), int(2, 1)));
    expect(read(without(0))).toMatchObject({ shape: [0], data: new Float32Array(0) });
    expect(codeOf(() => read(without(1)))).toBe('GRIM_ONNX_BAD_TENSOR');
    expect(read(decodeTensorFile(join(int(2, 1), field(9, [0, 0, 128, 63]))))).toMatchObject({
      shape: [],
      data: Float32Array.of(1),
    });
  });

  it('T1: a tensor in segments is refused', () => {
    expect(codeOf(() => decodeTensorFile(join(int(1, 1), int(2, 1), field(3, int(1, 0), int(2, 1)))))).toBe(
      'GRIM_ONNX_BAD_TENSOR',
    );
  });

  it('a number outside its dtype is refused, not wrapped', () => {
    const one = (dtype: DType, value: number) =>
      read(proto(dtype, [1], { form: 'int32_data', values: Int32Array.of(value) }));
    const bounds: readonly (readonly [DType, number, number])[] = [
      ['int8', -128, 127],
      ['uint8', 0, 255],
      ['int16', -32768, 32767],
      ['uint16', 0, 65535],
      ['bool', 0, 1],
      ['float16', 0, 65535],
      ['bfloat16', 0, 65535],
    ];
    for (const [dtype, low, high] of bounds) {
      expect([...one(dtype, low).data, ...one(dtype, high).data]).toEqual([low, high]);
      for (const value of [low - 1, high + 1]) expect(codeOf(() => one(dtype, value))).toBe('GRIM_ONNX_BAD_TENSOR');
    }
    const wide = (value: bigint) =>
      read(proto('uint32', [1], { form: 'uint64_data', values: BigUint64Array.of(value) }));
    expect([...wide(2n ** 32n - 1n).data]).toEqual([2 ** 32 - 1]);
    expect(codeOf(() => wide(2n ** 32n))).toBe('GRIM_ONNX_BAD_TENSOR');
  });

  it('a bool that is neither 0 nor 1 is refused', () => {
    expect(read(proto('bool', [2], raw(Uint8Array.of(0, 1)))).data).toEqual(Uint8Array.of(0, 1));
    expect(errorOf(() => read(proto('bool', [2], raw(Uint8Array.of(1, 2)))))).toMatchObject({ details: { index: 1 } });
  });
});

describe('G7: dims', () => {
  it.each([
    [[-1]],
    [[2 ** 31]],
    [[2 ** 53]],
    [[65537, 65536, 65536]],
    [[2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1]],
    [[-1, 0]],
    [Array<number>(9).fill(1)],
    [Array<number>(1e5).fill(1)],
  ])('G7: %j is refused for every dtype, in whichever order', (dims) => {
    for (const dtype of DTYPES)
      for (const order of [dims, dims.toReversed()])
        expect(codeOf(() => read(proto(dtype, order, raw(0))))).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });

  it('G7: 2^63 − 1 and −2^63 as a file has them are refused', () => {
    for (const dim of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n])
      expect(codeOf(() => read(decodeTensorFile(join(int(1, dim), int(2, 1)))))).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });

  it('G7: few elements of too many bytes are refused', () => {
    const limits = withLimits({ tensorBytes: 32 });
    expect(read(proto('float64', [4], raw(32)), limits).data).toHaveLength(4);
    expect(codeOf(() => read(proto('float64', [5], raw(40)), limits))).toBe('GRIM_IR_SHAPE_OVERFLOW');
    expect(read(proto('float32', [5], raw(20)), limits).data).toHaveLength(5);
  });

  it('G8: rank 0 to 8 is read, 9 is refused', () => {
    for (let rank = 0; rank <= 9; rank++) {
      const attempt = () => read(proto('float32', Array<number>(rank).fill(1), raw(4))).shape.length;
      if (rank <= 8) expect(attempt()).toBe(rank);
      else expect(codeOf(attempt)).toBe('GRIM_IR_SHAPE_OVERFLOW');
    }
  });
});

describe('T3: element types', () => {
  it('T3: every number from -1 to 99 is a dtype or refused by name', () => {
    let held = 0;
    for (let type = -1; type <= 99; type++) {
      if (DATA_TYPES.has(type)) {
        expect(DTYPES).toContain(readDType(type, 't'));
        held++;
        continue;
      }
      const error = errorOf(() => read({ name: 't', dims: [1], dataType: type, payload: raw(16) }));
      expect(error.code).toBe('GRIM_ONNX_UNSUPPORTED_TYPE');
      expect(error.message).toContain(`element type ${type}`);
    }
    expect(held).toBe(13);
  });

  it.each([
    [8, 'string'],
    [14, 'complex64'],
    [15, 'complex128'],
    [17, 'float8e4m3fn'],
    [21, 'uint4'],
    [22, 'int4'],
  ])('T3: type %i is called %s', (type, name) => {
    for (const count of [1, 3])
      expect(errorOf(() => read({ name: 't', dims: [count], dataType: type, payload: raw(16) })).message).toContain(
        name,
      );
  });

  it('T3: text elements are refused', () => {
    expect(codeOf(() => read(decodeTensorFile(join(int(1, 1), int(2, 8), field(6, 'a')))))).toBe(
      'GRIM_ONNX_UNSUPPORTED_TYPE',
    );
    expect(codeOf(() => read(decodeTensorFile(join(int(1, 1), int(2, 1), field(6, 'a')))))).toBe(
      'GRIM_ONNX_BAD_TENSOR',
    );
  });
});

/** Bit patterns that arithmetic would change: quiet and signalling NaN with payload, both zeros, subnormals, extremes. */
const BITS32 = [
  0x7fc00000, 0xffc12345, 0x7f800001, 0xff8abcde, 0x7f800000, 0xff800000, 0x80000000, 1, 0x807fffff, 0x7f7fffff,
];
const BITS64 = [
  0x7ff8000000000000n,
  0xfff4000000000001n,
  0x7ff0000000000001n,
  0x7ff0000000000000n,
  1n << 63n,
  1n,
  0x7fefffffffffffffn,
];

/** `bytes` at `offset` past a multiple of eight. */
function shifted(bytes: Uint8Array, offset: number): Uint8Array {
  const buffer = new Uint8Array(bytes.length + 16);
  buffer.set(bytes, offset);
  return buffer.subarray(offset, offset + bytes.length);
}

const bytesOf = (tensor: Tensor) => new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);

describe('T4: bit patterns', () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7])('T7: raw bits at offset %i arrive as they are', (offset) => {
    for (const dtype of DTYPES) {
      const bytes = dtype === 'bool' ? Uint8Array.of(1, 0, 1) : new Uint8Array(BigUint64Array.from(BITS64).buffer);
      const count = bytes.length / bytesPerElement(dtype);
      const at = shifted(bytes, offset);
      const tensor = read(proto(dtype, [count], { form: 'raw', bytes: at }));
      expect(bytesOf(tensor)).toEqual(bytes);
      // A view where it can be one.
      expect(tensor.data.buffer === at.buffer).toBe(offset % bytesPerElement(dtype) === 0);
    }
  });

  it.each([0, 1, 2, 3])('T4: float_data at offset %i arrives bit by bit, packed, unpacked and mixed', (offset) => {
    const bytes = new Uint8Array(Uint32Array.from(BITS32).buffer);
    const single = (at: number) => join(tag(4, 5), bytes.subarray(4 * at, 4 * at + 4));
    const count = BITS32.length;
    for (const content of [
      field(4, bytes),
      join(...BITS32.map((_, at) => single(at))),
      join(single(0), field(4, bytes.subarray(4))),
    ]) {
      const file = shifted(join(int(1, count), int(2, 1), content), offset);
      expect(bytesOf(read(decodeTensorFile(file)))).toEqual(bytes);
    }
  });

  it.each([0, 1, 4, 7])('T4: double_data at offset %i arrives bit by bit', (offset) => {
    const bytes = new Uint8Array(BigUint64Array.from(BITS64).buffer);
    const single = (at: number) => join(tag(10, 1), bytes.subarray(8 * at, 8 * at + 8));
    for (const content of [field(10, bytes), join(...BITS64.map((_, at) => single(at)))]) {
      const file = shifted(join(int(1, BITS64.length), int(2, 11), content), offset);
      expect(bytesOf(read(decodeTensorFile(file)))).toEqual(bytes);
    }
  });

  it('T4: all 65,536 patterns of the 16-bit floats survive int32_data and raw_data', () => {
    const patterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    for (const dtype of ['float16', 'bfloat16'] as const) {
      expect(read(proto(dtype, [65536], { form: 'int32_data', values: Int32Array.from(patterns) })).data).toEqual(
        patterns,
      );
      expect(read(proto(dtype, [65536], raw(new Uint8Array(patterns.buffer)))).data).toEqual(patterns);
    }
  });

  it('T4: a tensor written and read back has the same bits, whatever its dtype', () => {
    for (const dtype of DTYPES) {
      const bytes = dtype === 'bool' ? Uint8Array.of(1, 0) : new Uint8Array(BigUint64Array.from(BITS64).buffer);
      const count = bytes.length / bytesPerElement(dtype);
      const tensor = { dtype, shape: [1, count], data: viewAs(dtype, bytes.buffer, 0, count) } as Tensor;
      const file = encodeTensorFile(writeTensor(tensor, 'name'));
      const back = decodeTensorFile(file);
      expect(back.name).toBe('name');
      expect(bytesOf(read(back))).toEqual(bytes);
      expect(read(back)).toMatchObject({ dtype, shape: [1, count] });
    }
  });
});

describe('T7: data that is not aligned', () => {
  const bytes = new Uint8Array(Float32Array.of(1, 2, 3).buffer);
  const unaligned = () => read(proto('float32', [3], { form: 'raw', bytes: shifted(bytes, 1) }));

  it('T7: is copied on first access, once, and looks like ordinary data', () => {
    const tensor = unaligned();
    expect(Object.keys(tensor)).toEqual(['dtype', 'shape', 'data']);
    expect(tensor.data).toBe(tensor.data);
    expect({ ...unaligned() }).toEqual({ dtype: 'float32', shape: [3], data: Float32Array.of(1, 2, 3) });
    expect(structuredClone(unaligned()).data).toEqual(Float32Array.of(1, 2, 3));
  });

  it('T7: importing it does not copy it', () => {
    const megabytes = 64;
    const tensor = join(int(1, megabytes * 2 ** 18), int(2, 1), field(9, new Uint8Array(megabytes * 2 ** 20)));
    const file = shifted(join(int(1, 8), field(7, field(5, tensor))), 1);
    const before = process.memoryUsage().arrayBuffers;
    const tensors = [1, 2, 3, 4].map(() => decodeModel(file).graph.initializers.map((t) => readTensor(t, 'w')));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(megabytes * 2 ** 20);
    expect(tensors).toHaveLength(4);
  });
});

describe('T8: sparse tensors', () => {
  const values = (...list: readonly number[]): TensorProto =>
    proto('float32', [list.length], { form: 'float_data', values: Float32Array.from(list) });
  const indices = (dims: readonly number[], ...list: readonly (number | bigint)[]): TensorProto =>
    proto('int64', dims, { form: 'int64_data', values: BigInt64Array.from(list, BigInt) });
  const sparse = (v: TensorProto, i: TensorProto, dims: readonly number[]): SparseTensorProto => ({
    values: v,
    indices: i,
    dims,
  });
  const readSparse = (tensor: SparseTensorProto, limits = LIMITS) => readSparseTensor(tensor, 'sparse "t"', limits);

  it('T8: linear and tuple indices give the same dense tensor', () => {
    const dense = { dtype: 'float32', shape: [2, 3], data: Float32Array.of(0, 7, 0, 0, 0, 8) };
    expect(readSparse(sparse(values(7, 8), indices([2], 1, 5), [2, 3]))).toEqual(dense);
    expect(readSparse(sparse(values(7, 8), indices([2, 2], 0, 1, 1, 2), [2, 3]))).toEqual(dense);
    expect(readSparse(sparse(values(), indices([0]), [2, 2])).data).toEqual(new Float32Array(4));
    expect(readSparse(sparse(values(), indices([0, 2]), [0, 2])).data).toEqual(new Float32Array(0));
  });

  const damages: readonly (readonly [string, SparseTensorProto, string])[] = [
    ['a linear index past the end', sparse(values(7), indices([1], 6), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['a linear index of 2^63 − 1', sparse(values(7), indices([1], 2n ** 63n - 1n), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['a negative index', sparse(values(7), indices([1], -1), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    [
      'a tuple index past its axis though inside the tensor',
      sparse(values(7), indices([1, 2], 0, 3), [2, 3]),
      'GRIM_ONNX_BAD_TENSOR',
    ],
    ['a negative tuple index', sparse(values(7), indices([1, 2], 1, -1), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['a duplicate', sparse(values(7, 8), indices([2], 1, 1), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['a duplicate tuple', sparse(values(7, 8), indices([2, 2], 1, 1, 1, 1), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['unsorted indices', sparse(values(7, 8), indices([2], 5, 1), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['unsorted tuples', sparse(values(7, 8), indices([2, 2], 1, 0, 0, 1), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['fewer indices than values', sparse(values(7, 8), indices([1], 1), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['tuples of the wrong rank', sparse(values(7), indices([1, 3], 0, 0, 0), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['indices of rank 3', sparse(values(7), indices([1, 1, 1], 0), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['float indices', sparse(values(7), values(1), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    ['values of rank 2', sparse({ ...values(7), dims: [1, 1] }, indices([1], 1), [2, 3]), 'GRIM_ONNX_BAD_TENSOR'],
    [
      'values of the wrong length',
      sparse({ ...values(7), dims: [2] }, indices([2], 1, 2), [2, 3]),
      'GRIM_ONNX_BAD_TENSOR',
    ],
    ['dims that overflow', sparse(values(7), indices([1], 1), [65537, 65536, 65536]), 'GRIM_IR_SHAPE_OVERFLOW'],
    ['a negative dim', sparse(values(7), indices([1], 1), [-2, -3]), 'GRIM_IR_SHAPE_OVERFLOW'],
    ['text values', sparse({ ...values(7), dataType: 8 }, indices([1], 1), [2, 3]), 'GRIM_ONNX_UNSUPPORTED_TYPE'],
  ];
  it.each(damages)('T8: %s is refused', (_, tensor, code) => {
    expect(codeOf(() => readSparse(tensor))).toBe(code);
  });

  it('T8: a few bytes that name a gigabyte of zeros are refused before it is allocated', () => {
    const error = errorOf(() => readSparse(sparse(values(7), indices([1], 1), [2 ** 28])));
    expect(error).toMatchObject({ code: 'GRIM_ONNX_LIMIT', details: { dense: 2 ** 30, stored: 12 } });
  });

  it('T8: up to 64 KiB, and up to 1,000 times what is stored, a tensor may be; not an element more', () => {
    expect(readSparse(sparse(values(7), indices([1], 1), [16384])).data).toHaveLength(16384);
    expect(codeOf(() => readSparse(sparse(values(7), indices([1], 1), [16385])))).toBe('GRIM_ONNX_LIMIT');
    const many = Array.from({ length: 10 }, (_, at) => at);
    expect(readSparse(sparse(values(...many), indices([10], ...many), [30000])).data).toHaveLength(30000);
    expect(codeOf(() => readSparse(sparse(values(...many), indices([10], ...many), [30001])))).toBe('GRIM_ONNX_LIMIT');
  });

  it('T8: all sparse tensors of a file together may become as many bytes as a file may have', () => {
    const budget = { bytes: 100 };
    const tensor = sparse(values(7), indices([1], 1), [12]);
    expect(readSparseTensor(tensor, 't', LIMITS, budget).data).toHaveLength(12);
    expect(readSparseTensor(tensor, 't', LIMITS, budget).data).toHaveLength(12);
    expect(budget.bytes).toBe(4);
    expect(errorOf(() => readSparseTensor(tensor, 't', LIMITS, budget))).toMatchObject({
      details: { limit: 'fileBytes' },
    });
    expect(codeOf(() => readSparse(tensor, withLimits({ fileBytes: 47 })))).toBe('GRIM_ONNX_LIMIT');
  });

  it('T8: writing keeps every element whose bits are not zero, and reading gives the tensor back', () => {
    for (const dtype of DTYPES) {
      const shape = [3, 5];
      const data = allocate(dtype, elementCount(shape, dtype));
      const bytes = new Uint8Array(data.buffer);
      const size = bytesPerElement(dtype);
      bytes[2 * size] = 1;
      bytes[14 * size + size - 1] = dtype === 'bool' ? 1 : 0x80;
      const tensor = { dtype, shape, data } as Tensor;
      const written = writeSparseTensor(tensor, 'w');
      expect(written.values).toMatchObject({ name: 'w', dims: [2] });
      expect(readSparse(written)).toEqual(tensor);
    }
  });
});

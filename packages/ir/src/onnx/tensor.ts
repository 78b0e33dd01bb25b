/**
 * Tensors of a file ↔ tensors of the graph, without copies where alignment allows.
 *
 * A tensor of the graph is a view on the file's bytes when these lie at a multiple of the element size. Otherwise its
 * `data` is a property that copies them the first time somebody reads it, so that importing a model does not copy it:
 * enumerable, and an ordinary value to spread, `structuredClone` and `JSON.stringify`, all of which read it.
 * Bytes are little-endian, in ONNX and on every platform that runs JavaScript.
 */
import { GrimError } from '../errors.ts';
import { LIMITS, type Limits } from '../limits.ts';
import {
  bytesPerElement,
  type DType,
  type DTypeArrays,
  elementCount,
  type Tensor,
  type TensorArray,
  viewAs,
} from '../types.ts';
import {
  DATA_TYPE_NAMES,
  DATA_TYPES,
  type SparseTensorProto,
  type StringPair,
  type TensorPayload,
  type TensorProto,
} from './model.ts';

/**
 * Fetches the bytes that the `external_data` entries of a tensor point at.
 * `byteLength`: how many the tensor needs. `where`: the tensor, for messages.
 */
export type ReadExternal = (entries: readonly StringPair[], byteLength: number, where: string) => Uint8Array;

/** The dtypes that each typed form of data may carry, as onnx.proto has it. Raw and external bytes carry any. */
const FORM_DTYPES: Readonly<Partial<Record<TensorPayload['form'], readonly DType[]>>> = {
  float_data: ['float32'],
  int32_data: ['int32', 'int16', 'int8', 'uint16', 'uint8', 'bool', 'float16', 'bfloat16'],
  int64_data: ['int64'],
  double_data: ['float64'],
  uint64_data: ['uint32', 'uint64'],
  string_data: [],
};

/** Smallest and largest value in `int32_data`, for what is narrower than 32 bits. */
const RANGES: Readonly<Partial<Record<DType, readonly [number, number]>>> = {
  int16: [-(2 ** 15), 2 ** 15 - 1],
  int8: [-128, 127],
  uint16: [0, 2 ** 16 - 1],
  uint8: [0, 255],
  bool: [0, 1],
  float16: [0, 2 ** 16 - 1],
  bfloat16: [0, 2 ** 16 - 1],
  uint32: [0, 2 ** 32 - 1],
};

/**
 * The tensor of a {@link TensorProto}. A bool that is neither 0 nor 1 is refused, as is a number outside its dtype:
 * onnx.proto allows neither, and two readers would make two values of it.
 * @param where the tensor, for messages: `initializer "w"`
 * @throws {GrimError} GRIM_ONNX_UNSUPPORTED_TYPE, GRIM_ONNX_BAD_TENSOR, GRIM_ONNX_EXTERNAL_DATA, GRIM_IR_SHAPE_OVERFLOW
 */
export function readTensor(
  proto: TensorProto,
  where: string,
  limits: Limits = LIMITS,
  external?: ReadExternal,
): Tensor {
  const { payload, dims } = proto;
  const dtype = readDType(proto.dataType, where);
  const count = elementCount(dims, dtype, where, limits);
  const byteLength = count * bytesPerElement(dtype);
  const allowed = FORM_DTYPES[payload.form];
  if (allowed && !allowed.includes(dtype))
    refuse(where, `${dtype} elements cannot be stored as ${payload.form}`, { dtype, form: payload.form });
  const bytes = payloadBytes(payload, byteLength, where, external);
  if (bytes !== undefined) {
    if (bytes.length !== byteLength)
      refuse(where, `${dtype} [${dims.join(', ')}] takes ${byteLength} bytes, and ${bytes.length} are there`, {
        needed: byteLength,
        found: bytes.length,
      });
    if (dtype === 'bool') checkBools(bytes, where);
    return tensorOf(dtype, dims, bytes);
  }
  const { values } = payload as Extract<TensorPayload, { values: unknown }>;
  if (values.length !== count)
    refuse(where, `${dtype} [${dims.join(', ')}] has ${count} elements, and ${values.length} are there`, {
      needed: count,
      found: values.length,
    });
  return { dtype, shape: [...dims], data: narrow(dtype, values, where) } as Tensor;
}

/**
 * A tensor as the file holds it, its bytes by reference.
 */
export function writeTensor(tensor: Tensor, name: string): TensorProto {
  const { data, dtype, shape } = tensor;
  return {
    name,
    dims: [...shape],
    dataType: dataTypeOf(dtype),
    payload: { form: 'raw', bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) },
  };
}

/** TensorProto.DataType of a dtype. */
export function dataTypeOf(dtype: DType): number {
  for (const [number, held] of DATA_TYPES) if (held === dtype) return number;
  throw new GrimError('GRIM_ONNX_EXPORT', `ONNX has no element type ${dtype}.`, { dtype });
}

/**
 * The dtype of a TensorProto.DataType.
 * @throws {GrimError} GRIM_ONNX_UNSUPPORTED_TYPE
 */
export function readDType(dataType: number, where: string): DType {
  const dtype = DATA_TYPES.get(dataType);
  if (dtype) return dtype;
  const name = DATA_TYPE_NAMES[dataType];
  throw new GrimError(
    'GRIM_ONNX_UNSUPPORTED_TYPE',
    `${where}: element type ${dataType} (${name ?? 'which ONNX does not define'}) is not supported. Supported: ${[...DATA_TYPES.values()].join(', ')}.`,
    { dataType, ...(name && { name }) },
  );
}

/** How many bytes of dense tensors the sparse ones of a file may still become; shared by all of one file. */
export interface DenseBudget {
  bytes: number;
}

/** A sparse tensor up to this size, or up to so many times its stored bytes, is made dense without asking the budget. */
const DENSE_FLOOR = 65536;
const DENSE_GROWTH = 1000;

/**
 * The dense tensor of a {@link SparseTensorProto}: zeros where nothing is stored.
 *
 * A hundred bytes of file may name a terabyte of zeros. So a dense tensor may be at most 1,000 times as large as what is
 * stored for it (one float32 in 3,000 elements; 64 KiB are always allowed), and all those of a file together at most as
 * large as a file may be (`limits.fileBytes`), which is what they would take written densely.
 * @param budget what is left for this file; reduced by the tensor's bytes
 * @throws {GrimError} as {@link readTensor}; GRIM_ONNX_LIMIT when it is too sparse or the budget is used up
 */
export function readSparseTensor(
  proto: SparseTensorProto,
  where: string,
  limits: Limits = LIMITS,
  budget: DenseBudget = { bytes: limits.fileBytes },
  external?: ReadExternal,
): Tensor {
  const values = readTensor(proto.values, `${where}, its values`, limits, external);
  const indices = readTensor(proto.indices, `${where}, its indices`, limits, external);
  const { dtype } = values;
  const count = elementCount(proto.dims, dtype, where, limits);
  const stored = values.shape[0] ?? 0;
  const rank = proto.dims.length;
  if (values.shape.length !== 1) refuse(where, `its values have rank ${values.shape.length}, not 1`, {});
  const linear = indices.shape.length === 1;
  const listed = indices.shape[0] === stored && (linear || (indices.shape.length === 2 && indices.shape[1] === rank));
  if (indices.dtype !== 'int64' || !listed)
    refuse(
      where,
      `its indices are ${indices.dtype} [${indices.shape.join(', ')}]; ${stored} values need int64 [${stored}] or [${stored}, ${rank}]`,
      {},
    );
  spend(budget, count * bytesPerElement(dtype), values.data.byteLength + indices.data.byteLength, where);
  const data = viewAs(dtype, new ArrayBuffer(count * bytesPerElement(dtype)), 0, count);
  const positions = linear
    ? linearPositions(indices.data as BigInt64Array, count, where)
    : tuplePositions(indices.data as BigInt64Array, proto.dims, stored, where);
  let before = -1;
  let index = 0;
  for (const position of positions) {
    if (position <= before)
      refuse(
        where,
        position === before ? `index ${index} is given twice` : `index ${index} is not in ascending order`,
        { index },
      );
    // Both arrays are of one dtype, which the type system cannot see.
    (data as Float64Array)[position] = (values.data as Float64Array)[index] as number;
    before = position;
    index++;
  }
  return { dtype, shape: [...proto.dims], data } as Tensor;
}

/**
 * A tensor as values and linear indices of its elements whose bits are not all zero: −0 and NaN are kept.
 */
export function writeSparseTensor(tensor: Tensor, name: string): SparseTensorProto {
  const size = bytesPerElement(tensor.dtype);
  const { buffer, byteOffset, byteLength } = tensor.data;
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  const positions: number[] = [];
  for (let at = 0; at < tensor.data.length; at++)
    for (let byte = 0; byte < size; byte++)
      if (bytes[at * size + byte] !== 0) {
        positions.push(at);
        break;
      }
  const kept = new Uint8Array(positions.length * size);
  for (const [index, at] of positions.entries()) kept.set(bytes.subarray(at * size, at * size + size), index * size);
  const indices = BigInt64Array.from(positions, BigInt);
  return {
    values: {
      name,
      dims: [positions.length],
      dataType: dataTypeOf(tensor.dtype),
      payload: { form: 'raw', bytes: kept },
    },
    indices: writeTensor({ dtype: 'int64', shape: [positions.length], data: indices }, ''),
    dims: [...tensor.shape],
  };
}

function spend(budget: DenseBudget, dense: number, stored: number, where: string): void {
  if (dense > Math.max(DENSE_FLOOR, stored * DENSE_GROWTH))
    throw new GrimError(
      'GRIM_ONNX_LIMIT',
      `${where}: a sparse tensor of ${stored} stored bytes would become ${dense} bytes, more than ${DENSE_GROWTH} times as many. Store it densely.`,
      { dense, stored },
    );
  if (dense > budget.bytes)
    throw new GrimError(
      'GRIM_ONNX_LIMIT',
      `${where}: the sparse tensors of this file become more dense bytes than the limit fileBytes. Raise limits.fileBytes to read it.`,
      { limit: 'fileBytes', dense, left: budget.bytes },
    );
  budget.bytes -= dense;
}

function* linearPositions(indices: BigInt64Array, count: number, where: string): Generator<number> {
  for (const [index, position] of indices.entries()) {
    if (position < 0n || position >= BigInt(count))
      refuse(where, `index ${index} is ${position}, outside 0 to ${count - 1}`, { index });
    yield Number(position);
  }
}

function* tuplePositions(
  indices: BigInt64Array,
  dims: readonly number[],
  stored: number,
  where: string,
): Generator<number> {
  for (let index = 0; index < stored; index++) {
    let position = 0;
    for (const [axis, dim] of dims.entries()) {
      const at = indices[index * dims.length + axis] ?? -1n;
      if (at < 0n || at >= BigInt(dim))
        refuse(where, `index ${index} is ${at} on axis ${axis}, outside 0 to ${dim - 1}`, { index, axis });
      position = position * dim + Number(at);
    }
    yield position;
  }
}

function payloadBytes(
  payload: TensorPayload,
  byteLength: number,
  where: string,
  external: ReadExternal | undefined,
): Uint8Array | undefined {
  if (payload.form === 'raw') return payload.bytes;
  if (payload.form === 'float_data' || payload.form === 'double_data') return payload.bytes;
  if (payload.form !== 'external') return undefined;
  if (external === undefined)
    throw new GrimError(
      'GRIM_ONNX_EXTERNAL_DATA',
      `${where}: its elements are in another file, and none was given. Pass externalData.`,
      {},
    );
  return external(payload.entries, byteLength, where);
}

/** A tensor on bytes of the right length: a view when they are aligned, else a copy on first access. */
function tensorOf(dtype: DType, dims: readonly number[], bytes: Uint8Array): Tensor {
  const shape = [...dims];
  const length = bytes.length / bytesPerElement(dtype);
  if (bytes.byteOffset % bytesPerElement(dtype) === 0)
    return { dtype, shape, data: viewAs(dtype, bytes.buffer, bytes.byteOffset, length) };
  let source: Uint8Array | undefined = bytes;
  let data: TensorArray | undefined;
  return {
    dtype,
    shape,
    get data() {
      if (source !== undefined) {
        const copy = new Uint8Array(source);
        data = viewAs(dtype, copy.buffer, 0, length);
        source = undefined;
      }
      return data as TensorArray;
    },
  } as Tensor;
}

function checkBools(bytes: Uint8Array, where: string): void {
  const index = bytes.findIndex((byte) => byte > 1);
  if (index >= 0) refuse(where, `element ${index} of a bool tensor is ${bytes[index]}, neither 0 nor 1`, { index });
}

/** The elements in the array that holds `dtype`; every value is checked against its range. */
function narrow(dtype: DType, values: TensorArray, where: string): TensorArray {
  const range = RANGES[dtype];
  if (range === undefined) return values;
  const [low, high] = range;
  const index = (values as Int32Array | BigUint64Array).findIndex(
    (value: number | bigint) => value < low || value > high,
  );
  if (index >= 0)
    refuse(where, `element ${index} is ${values[index]}, outside ${dtype}'s ${low} to ${high}`, { index });
  const data = viewAs(dtype, new ArrayBuffer(values.length * bytesPerElement(dtype)), 0, values.length);
  for (let at = 0; at < values.length; at++) (data as DTypeArrays['int32'])[at] = Number(values[at]);
  return data;
}

function refuse(where: string, what: string, details: Readonly<Record<string, unknown>>): never {
  throw new GrimError(
    'GRIM_ONNX_BAD_TENSOR',
    `${where}: ${what}. The file is damaged or was written wrongly.`,
    details,
  );
}

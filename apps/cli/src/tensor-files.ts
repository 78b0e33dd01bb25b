/**
 * Tensors in files, by the end of the name: `.npy`, `.pb` (ONNX TensorProto) and `.json` (nested lists, or the object that
 * `writeTensor` makes). What is read becomes the type that the model wants, where that loses nothing but precision.
 */
import { extname } from 'node:path';
import { readNpy, writeNpy } from '@grim/files';
import {
  type DType,
  elementCount,
  formatType,
  fromReals,
  GrimError,
  isStatic,
  LIMITS,
  quote,
  type Tensor,
  type TensorType,
  toReals,
} from '@grim/ir';
import { readTensorFile, writeTensorFile } from '@grim/ir/onnx';
import { UsageError } from './errors.ts';
import type { FileKind } from './output.ts';

export const TENSOR_ENDS = ['.npy', '.pb', '.json'] as const;

/** `.npy` of `x.NPY`. */
export function endOf(path: string): string {
  return extname(path).toLowerCase();
}

/** @throws {UsageError} when the name ends in nothing that can be written */
export function checkTensorName(path: string): void {
  if (!TENSOR_ENDS.some((end) => end === endOf(path)))
    throw new UsageError(`the file ${quote(path)} is of no known kind: ${TENSOR_ENDS.join(', ')} can be written.`);
}

/**
 * The tensor in a file, as `wanted`; lengths that `wanted` leaves open may be any.
 * @throws {GrimError} GRIM_CLI_BAD_TENSOR, and what reading a .pb file throws
 */
export function readTensor(path: string, bytes: Uint8Array, wanted: TensorType): Tensor {
  const end = endOf(path);
  const tensor =
    end === '.npy' ? readNpy(bytes) : end === '.pb' ? readTensorFile(bytes).tensor : readJson(bytes, wanted.dtype);
  return fitted(tensor, wanted);
}

/**
 * The tensor as `wanted`; lengths that `wanted` leaves open may be any.
 * @throws {GrimError} GRIM_CLI_BAD_TENSOR when it does not fit
 */
export function fitted(tensor: Tensor, wanted: TensorType): Tensor {
  const fits =
    wanted.shape === null ||
    (wanted.shape.length === tensor.shape.length &&
      wanted.shape.every((dim, i) => typeof dim === 'string' || dim === tensor.shape[i]));
  if (!fits) bad(`it holds ${formatType(tensor)}, the input is ${formatType(wanted)}`);
  return converted(tensor, wanted.dtype);
}

/** What stands in a file of that name, and what older file it may replace. */
export function writeTensor(
  path: string,
  name: string,
  tensor: Tensor,
): { readonly content: string | Uint8Array; readonly kind: FileKind } {
  if (endOf(path) === '.npy') return { content: writeNpy(tensor), kind: 'array' };
  if (endOf(path) === '.pb') return { content: writeTensorFile(name, tensor), kind: 'other' };
  const report = { schema: 'grim.tensor/1', name, ...jsonOf(tensor) };
  // One line of numbers, whatever their count.
  const head = JSON.stringify({ ...report, data: [] }, undefined, 2).replace(/\[\]\n\}$/, '');
  return { content: `${head}${JSON.stringify(report.data)}\n}\n`, kind: 'report' };
}

/** Values that JSON cannot say, and integers beyond 2^53, are strings. */
export function jsonOf(tensor: Tensor): {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: readonly (number | string)[];
} {
  const { dtype, shape, data } = tensor;
  const exact = data instanceof BigInt64Array || data instanceof BigUint64Array;
  const values = exact
    ? Array.from(data, (value) => (Number.isSafeInteger(Number(value)) ? Number(value) : String(value)))
    : Array.from(toReals(tensor), (value) => (Number.isFinite(value) ? value : String(value)));
  return { dtype, shape, data: values };
}

function bad(what: string): never {
  throw new GrimError('GRIM_CLI_BAD_TENSOR', `${what}.`);
}

function readJson(bytes: Uint8Array, dtype: DType): Tensor {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    bad('this is no JSON');
  }
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  const given = isObject ? (value as { shape?: unknown; data?: unknown }) : { data: value };
  const shape = isObject ? lengths(given.shape) : shapeOf(value);
  const flat: unknown[] = [];
  // By levels, as deep as the shape says and no deeper.
  let level: readonly unknown[] = isObject ? [given.data] : [value];
  for (const length of isObject ? [elementCount(shape, dtype)] : shape)
    level = level.flatMap((list) => {
      if (!Array.isArray(list) || list.length !== length)
        return bad(`its lists are not all of shape [${shape.join(', ')}]`);
      return list as unknown[];
    });
  for (const element of level) flat.push(element);
  if (dtype === 'int64' || dtype === 'uint64') {
    const values = flat.map((element) => {
      const text = String(element);
      const number = /^-?\d{1,20}$/.test(text) ? BigInt(text) : bad(`${quote(text)} is no whole number`);
      const wrapped = dtype === 'int64' ? BigInt.asIntN(64, number) : BigInt.asUintN(64, number);
      return wrapped === number ? number : bad(`${text} is beyond ${dtype}`);
    });
    return {
      dtype,
      shape,
      data: dtype === 'int64' ? BigInt64Array.from(values) : BigUint64Array.from(values),
    } as Tensor;
  }
  return { dtype: 'float64', shape, data: Float64Array.from(flat, numberOf) };
}

function numberOf(element: unknown): number {
  if (typeof element === 'number') return element;
  if (typeof element === 'boolean') return Number(element);
  if (element === 'NaN') return Number.NaN;
  if (element === 'Infinity' || element === '-Infinity') return Number(element);
  return bad(`${quote(String(element))} is no number`);
}

function lengths(shape: unknown): readonly number[] {
  if (!Array.isArray(shape) || shape.length > LIMITS.rank || !shape.every((dim) => Number.isInteger(dim) && dim >= 0))
    return bad('its "shape" is no list of lengths');
  return shape as number[];
}

/** Of nested lists, told by the first of each. */
function shapeOf(value: unknown): readonly number[] {
  const shape: number[] = [];
  for (let at = value; Array.isArray(at); at = at[0]) {
    shape.push(at.length);
    if (shape.length > LIMITS.rank) bad(`its lists are nested more than ${LIMITS.rank} deep`);
  }
  return shape;
}

/** Floats become floats of another precision; integers, and floats that are whole, integers that hold them. */
function converted(tensor: Tensor, dtype: DType): Tensor {
  if (tensor.dtype === dtype) return tensor;
  if (!isStatic(tensor.shape)) return tensor;
  const reals = Float64Array.from(toReals(tensor));
  const isFloat = dtype.includes('float');
  if (!isFloat && tensor.dtype.includes('float') && !reals.every(Number.isInteger))
    bad(`it holds ${formatType(tensor)} that is not whole, the input is ${dtype}`);
  const result = fromReals(dtype, tensor.shape, reals);
  if (!isFloat) {
    const back = toReals(result);
    const lost = reals.findIndex((value, i) => value !== back[i] || Math.abs(value) > Number.MAX_SAFE_INTEGER);
    if (lost >= 0) bad(`it holds ${reals[lost]}, which ${dtype} cannot`);
  }
  return result;
}

/** Tensors in files of their own, as the test data of the ONNX standard has them: one TensorProto per file. */
import { quote } from '../errors.ts';
import { type Limits, withLimits } from '../limits.ts';
import type { Tensor } from '../types.ts';
import { decodeTensorFile } from './decode.ts';
import { encodeTensorFile } from './encode.ts';
import { readTensor, writeTensor } from './tensor.ts';

export interface NamedTensor {
  /** May be empty. */
  readonly name: string;
  readonly tensor: Tensor;
}

/**
 * The tensor in the bytes of a `.pb` file. Its data may be a view on them.
 * @throws {GrimError} GRIM_ONNX_*
 */
export function readTensorFile(bytes: Uint8Array, limits: Partial<Limits> = {}): NamedTensor {
  const all = withLimits(limits);
  const proto = decodeTensorFile(bytes, all);
  return { name: proto.name, tensor: readTensor(proto, `tensor ${quote(proto.name)}`, all) };
}

/** The bytes of a `.pb` file. */
export function writeTensorFile(name: string, tensor: Tensor): Uint8Array {
  return encodeTensorFile(writeTensor(tensor, name));
}

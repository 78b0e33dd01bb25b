/** The outputs of several runs as one. */
import { bytesPerElement, elementCount, type Tensor, viewAs } from '@grim/ir';

/**
 * Along the first axis where it has length 1 (a batch of one), else along a new first axis. One tensor stays as it is.
 * @throws {GrimError} GRIM_IR_SHAPE_OVERFLOW when together they are too large
 */
export function joined(tensors: readonly Tensor[]): Tensor {
  const [first, ...more] = tensors;
  if (first === undefined || more.length === 0) return first as Tensor;
  const { dtype, shape } = first;
  const whole = [tensors.length, ...(shape[0] === 1 ? shape.slice(1) : shape)];
  const count = elementCount(whole, dtype, 'the outputs together');
  const bytes = new Uint8Array(count * bytesPerElement(dtype));
  let at = 0;
  for (const { data } of tensors) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return { dtype, shape: whole, data: viewAs(dtype, bytes.buffer, 0, count) } as Tensor;
}

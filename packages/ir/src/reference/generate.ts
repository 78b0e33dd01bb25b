/** Kernels of the operators in `ops/generate.ts`. */
import { fromBigs, fromReals, toBfloat16, toFloat16, toReal } from '../numeric.ts';
import type { generateOps } from '../ops/generate.ts';
import { allocate, isBig, type Tensor } from '../types.ts';
import { bitsOf, blank } from './indexing.ts';
import type { Kernels } from './kernel.ts';

export const generateKernels: Kernels<keyof typeof generateOps> = {
  Range: (c) => {
    const { dtype, shape } = c.outputs[0] as Tensor;
    const length = shape[0] ?? 0;
    const [start, delta] = [c.input(0), c.input(2)];
    const data = allocate(dtype, length);
    if (isBig(dtype)) {
      const [from, step] = [start.data[0] as bigint, delta.data[0] as bigint];
      for (let i = 0; i < length; i++) data[i] = from + BigInt(i) * step;
    } else {
      const [from, step] = [toReal(start, 0), toReal(delta, 0)];
      const round = dtype === 'float16' ? toFloat16 : dtype === 'bfloat16' ? toBfloat16 : (value: number) => value;
      for (let i = 0; i < length; i++) data[i] = round(from + i * step);
    }
    return [{ dtype, shape, data } as Tensor];
  },

  ConstantOfShape: (c) => {
    const { dtype, shape } = c.outputs[0] as Tensor;
    const { tensor, bits } = blank(dtype, shape);
    if (c.attributes.value) bits.fill(bitsOf(c.attributes.value.data)[0] as number);
    return [tensor];
  },

  EyeLike: (c) => {
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [rows = 0, cols = 0] = shape;
    const { tensor, bits } = blank(dtype, shape);
    const one = bitsOf(isBig(dtype) ? fromBigs(dtype, [], [1n]).data : fromReals(dtype, [], [1]).data)[0] as number;
    for (let row = Math.max(0, -c.attributes.k); row < rows; row++) {
      const col = row + c.attributes.k;
      if (col >= cols) break;
      bits[row * cols + col] = one;
    }
    return [tensor];
  },

  Trilu: (c) => {
    const input = c.input(0);
    const k = c.inputs[1] ? Number(c.inputs[1].data[0]) : 0;
    const [rows = 0, cols = 0] = input.shape.slice(-2);
    const { tensor, bits } = blank(input.dtype, input.shape);
    const from = bitsOf(input.data);
    for (let i = 0; i < from.length; i++) {
      const [row, col] = [Math.floor(i / cols) % rows, i % cols];
      if (c.attributes.upper ? col - row >= k : col - row <= k) bits[i] = from[i] as number;
    }
    return [tensor];
  },
};

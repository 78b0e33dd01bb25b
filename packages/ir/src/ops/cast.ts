/** Changes of element type. */
import { dtype, flag, op, string } from '../op.ts';
import { bytesPerElement, DTYPES } from '../types.ts';
import { sameShape } from './pointwise.ts';

// Both attributes say how to reach 8-bit floats; no element type of ours is one, so they change nothing here.
const narrowing = { saturate: flag(1), round_mode: string(['up', 'down', 'nearest'], 'up') };

export const castOps = {
  BitCast: op({
    since: 26,
    inputs: ['input: T1'],
    outputs: ['output: T2'],
    types: { T1: DTYPES, T2: DTYPES },
    attributes: { to: dtype() },
    infer: (c) => {
      const [from, to] = [c.dtype(0), c.attributes.to];
      if (bytesPerElement(from) !== bytesPerElement(to))
        c.fail(
          `input is ${from}, ${8 * bytesPerElement(from)} bits wide; to is ${to}, ${8 * bytesPerElement(to)} bits. ` +
            'Both must have the same width.',
          'GRIM_IR_DTYPE_MISMATCH',
        );
      return [{ dtype: to, shape: c.shape(0) }];
    },
  }),
  Cast: op({
    since: 25,
    inputs: ['input: T1'],
    outputs: ['output: T2'],
    types: { T1: DTYPES, T2: DTYPES },
    attributes: { to: dtype(), ...narrowing },
    infer: (c) => [{ dtype: c.attributes.to, shape: c.shape(0) }],
  }),
  CastLike: op({
    since: 25,
    inputs: ['input: T1', 'target_type: T2'],
    outputs: ['output: T2'],
    types: { T1: DTYPES, T2: DTYPES },
    attributes: narrowing,
    infer: sameShape,
  }),
};

/**
 * Operators that compute every element of the output from the elements at the same place, after broadcasting: arithmetic
 * and functions here; activations, comparisons and casts in files of their own.
 */
import { flag, float, int, op, optional, string } from '../op.ts';
import {
  DTYPES,
  FLOAT_DTYPES,
  INTEGER_DTYPES,
  isFloat,
  NUMERIC_DTYPES,
  SIGNED_DTYPES,
  UNSIGNED_DTYPES,
} from '../types.ts';
import { activationOps } from './activation.ts';
import { needSingle } from './axes.ts';
import { castOps } from './cast.ts';
import { compareOps } from './compare.ts';
import { broadcastAll, floatFunction, sameShape } from './pointwise.ts';

const arithmetic = {
  inputs: ['A: T', 'B: T'],
  outputs: ['C: T'],
  types: { T: NUMERIC_DTYPES },
  attributes: {},
  infer: broadcastAll,
} as const;

const bitwise = { ...arithmetic, types: { T: INTEGER_DTYPES } } as const;
const numberFunction = { ...floatFunction, types: { T: NUMERIC_DTYPES } } as const;

const variadic = {
  inputs: ['data_0...: T'],
  outputs: ['result: T'],
  types: { T: FLOAT_DTYPES },
  attributes: {},
  infer: broadcastAll,
} as const;

export const elementwiseOps = {
  ...activationOps,
  ...compareOps,
  ...castOps,

  Abs: op({ since: 13, ...numberFunction }),
  Acos: op({ since: 22, ...floatFunction }),
  Acosh: op({ since: 22, ...floatFunction }),
  Add: op({ since: 14, ...arithmetic }),
  Asin: op({ since: 22, ...floatFunction }),
  Asinh: op({ since: 22, ...floatFunction }),
  Atan: op({ since: 22, ...floatFunction }),
  Atanh: op({ since: 22, ...floatFunction }),
  BitShift: op({
    since: 11,
    ...arithmetic,
    types: { T: UNSIGNED_DTYPES },
    attributes: { direction: string(['LEFT', 'RIGHT']) },
  }),
  BitwiseAnd: op({ since: 18, ...bitwise }),
  BitwiseNot: op({ since: 18, ...floatFunction, types: { T: INTEGER_DTYPES } }),
  BitwiseOr: op({ since: 18, ...bitwise }),
  BitwiseXor: op({ since: 18, ...bitwise }),
  Ceil: op({ since: 13, ...floatFunction }),

  Clip: op({
    since: 13,
    inputs: ['input: T', 'min?: T', 'max?: T'],
    outputs: ['output: T'],
    types: { T: NUMERIC_DTYPES },
    attributes: {},
    infer: (c) => {
      if (c.has(1)) needSingle(c, c.shape(1), 'min');
      if (c.has(2)) needSingle(c, c.shape(2), 'max');
      return sameShape(c);
    },
  }),

  Cos: op({ since: 22, ...floatFunction }),
  Cosh: op({ since: 22, ...floatFunction }),
  Div: op({ since: 14, ...arithmetic }),

  /** Inference only: the identity, with a mask that is true everywhere. */
  Dropout: op({
    since: 22,
    inputs: ['data: T', 'ratio?: T1', 'training_mode?: bool'],
    outputs: ['output: T', 'mask?: bool'],
    types: { T: FLOAT_DTYPES, T1: FLOAT_DTYPES },
    attributes: { seed: optional(int()) },
    infer: (c) => {
      if (c.has(1)) needSingle(c, c.shape(1), 'ratio');
      if (c.has(2)) needSingle(c, c.shape(2), 'training_mode');
      const ratio = c.has(1) ? c.reals(1)?.[0] : 0.5;
      if (ratio !== undefined && !(ratio >= 0 && ratio < 1))
        c.fail(`ratio is ${ratio}; at least 0 and less than 1 is needed.`, 'GRIM_IR_BAD_VALUE');
      const training = c.has(2) && c.constant(2)?.data[0] === 1;
      if (training && ratio !== undefined && ratio !== 0)
        c.fail(
          `training_mode is true and ratio ${ratio}: the result would be random. Export the model for inference, ` +
            'or leave training_mode out.',
          'GRIM_IR_UNSUPPORTED_OP',
        );
      return [c.shape(0), c.shape(0)];
    },
  }),

  Erf: op({ since: 13, ...numberFunction }),
  Exp: op({ since: 13, ...floatFunction }),
  Floor: op({ since: 13, ...floatFunction }),
  Identity: op({ since: 25, ...floatFunction, types: { T: DTYPES } }),
  Log: op({ since: 13, ...floatFunction }),
  Max: op({ since: 13, ...variadic, types: { T: NUMERIC_DTYPES } }),
  Mean: op({ since: 13, ...variadic }),
  Min: op({ since: 13, ...variadic, types: { T: NUMERIC_DTYPES } }),

  Mod: op({
    since: 13,
    ...arithmetic,
    attributes: { fmod: flag(0) },
    infer: (c) => {
      if (isFloat(c.dtype(0)) && c.attributes.fmod === 0)
        c.fail(`fmod is 0 and the inputs are ${c.dtype(0)}; floats need fmod = 1.`, 'GRIM_IR_BAD_ATTRIBUTE');
      return broadcastAll(c);
    },
  }),

  Mul: op({ since: 14, ...arithmetic }),
  Neg: op({ since: 13, ...floatFunction, types: { T: [...FLOAT_DTYPES, ...SIGNED_DTYPES] } }),
  Pow: op({
    since: 15,
    inputs: ['X: T', 'Y: T1'],
    outputs: ['Z: T'],
    types: { T: [...FLOAT_DTYPES, 'int32', 'int64'], T1: NUMERIC_DTYPES },
    attributes: {},
    infer: broadcastAll,
  }),
  Reciprocal: op({ since: 13, ...floatFunction }),
  Round: op({ since: 22, ...floatFunction }),
  Shrink: op({ since: 9, ...numberFunction, attributes: { bias: float(0), lambd: float(0.5) } }),
  Sign: op({ since: 13, ...numberFunction }),
  Sin: op({ since: 22, ...floatFunction }),
  Sinh: op({ since: 22, ...floatFunction }),
  Sqrt: op({ since: 13, ...floatFunction }),
  Sub: op({ since: 14, ...arithmetic }),
  Sum: op({ since: 13, ...variadic }),
  Tan: op({ since: 22, ...floatFunction }),
};

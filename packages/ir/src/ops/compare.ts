/** Comparisons, predicates and logic: the outputs are bool, except that of `Where`, which takes a bool. */
import { flag, op } from '../op.ts';
import { DTYPES, FLOAT_DTYPES, NUMERIC_DTYPES } from '../types.ts';
import { broadcastAll, sameShape } from './pointwise.ts';

const comparison = {
  inputs: ['A: T', 'B: T'],
  outputs: ['C: bool'],
  types: { T: NUMERIC_DTYPES },
  attributes: {},
  infer: broadcastAll,
} as const;

const logic = {
  inputs: ['A: bool', 'B: bool'],
  outputs: ['C: bool'],
  types: {},
  attributes: {},
  infer: broadcastAll,
} as const;

export const compareOps = {
  And: op({ since: 7, ...logic }),
  Equal: op({ since: 19, ...comparison, types: { T: DTYPES } }),
  Greater: op({ since: 13, ...comparison }),
  GreaterOrEqual: op({ since: 16, ...comparison }),
  IsInf: op({
    since: 20,
    inputs: ['X: T'],
    outputs: ['Y: bool'],
    types: { T: FLOAT_DTYPES },
    attributes: { detect_negative: flag(1), detect_positive: flag(1) },
    infer: sameShape,
  }),
  IsNaN: op({
    since: 20,
    inputs: ['X: T'],
    outputs: ['Y: bool'],
    types: { T: FLOAT_DTYPES },
    attributes: {},
    infer: sameShape,
  }),
  Less: op({ since: 13, ...comparison }),
  LessOrEqual: op({ since: 16, ...comparison }),
  Not: op({
    since: 1,
    inputs: ['X: bool'],
    outputs: ['Y: bool'],
    types: {},
    attributes: {},
    infer: sameShape,
  }),
  Or: op({ since: 7, ...logic }),
  Where: op({
    since: 16,
    inputs: ['condition: bool', 'X: T', 'Y: T'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: {},
    infer: broadcastAll,
  }),
  Xor: op({ since: 7, ...logic }),
};

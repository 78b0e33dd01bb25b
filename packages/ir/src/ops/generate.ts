/** Operators that make a tensor from a rule, or keep a part of one and put zeros for the rest. */

import { toReal } from '../numeric.ts';
import { dtype, flag, int, op, optional, tensor } from '../op.ts';
import { DTYPES, isBig, NUMERIC_DTYPES, type Tensor } from '../types.ts';
import { needRank, needSingle, type Rule, shapeFrom } from './axes.ts';

/** max(ceil((limit - start) / delta), 0), exact for 64-bit integers. */
function rangeLength(c: Pick<Rule, 'fail'>, start: Tensor, limit: Tensor, delta: Tensor): number {
  if (isBig(start.dtype)) {
    const [from, to, step] = [start, limit, delta].map((value) => value.data[0] as bigint) as [bigint, bigint, bigint];
    if (step === 0n) c.fail('delta is 0; the range would never end.', 'GRIM_IR_BAD_VALUE');
    // Truncation is the ceiling once the distance is made one short of a whole step.
    const length = step > 0n ? (to - from + step - 1n) / step : (from - to - step - 1n) / -step;
    return length > 0n ? Number(length) : 0;
  }
  const [from, to, step] = [start, limit, delta].map((value) => toReal(value, 0)) as [number, number, number];
  if (!Number.isFinite(from) || !Number.isFinite(to) || !Number.isFinite(step) || step === 0)
    c.fail(
      `start ${from}, limit ${to} and delta ${step} make no range; all must be finite and delta not 0.`,
      'GRIM_IR_BAD_VALUE',
    );
  return Math.max(Math.ceil((to - from) / step), 0);
}

export const generateOps = {
  Range: op({
    since: 27,
    inputs: ['start: T', 'limit: T', 'delta: T'],
    outputs: ['output: T'],
    types: { T: NUMERIC_DTYPES },
    // The type that float16 is added up in elsewhere; here every element is start + i · delta in float64, rounded once.
    attributes: { stash_type: dtype('float32') },
    infer: (c) => {
      for (const [i, name] of ['start', 'limit', 'delta'].entries()) needSingle(c, c.shape(i), name);
      const [start, limit, delta] = [c.constant(0), c.constant(1), c.constant(2)];
      return [[start && limit && delta ? rangeLength(c, start, limit, delta) : c.unknown()]];
    },
  }),

  ConstantOfShape: op({
    since: 25,
    inputs: ['input: int64'],
    outputs: ['output: *'],
    types: {},
    attributes: { value: optional(tensor()) },
    infer: (c) => {
      const { value } = c.attributes;
      if (value && value.data.length !== 1)
        c.fail(`value has ${value.data.length} elements; exactly one is needed.`, 'GRIM_IR_BAD_ATTRIBUTE');
      return [{ dtype: value?.dtype ?? 'float32', shape: shapeFrom(c, 0, 'input') }];
    },
  }),

  EyeLike: op({
    since: 22,
    inputs: ['input: T1'],
    outputs: ['output: *'],
    types: { T1: DTYPES },
    attributes: { dtype: optional(dtype()), k: int(0) },
    infer: (c) => {
      needRank(c, c.shape(0), 'input', 2, 2);
      return [{ dtype: c.attributes.dtype ?? c.dtype(0), shape: c.shape(0) }];
    },
  }),

  Trilu: op({
    since: 14,
    inputs: ['input: T', 'k?: int64'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: { upper: flag(1) },
    infer: (c) => {
      needRank(c, c.shape(0), 'input', 2);
      if (c.has(1)) needSingle(c, c.shape(1), 'k');
      return [c.shape(0)];
    },
  }),
};

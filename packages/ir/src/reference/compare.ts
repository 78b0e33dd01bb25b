/** Kernels of the operators in `ops/compare.ts`. Every comparison with NaN is false. */
import type { compareOps } from '../ops/compare.ts';
import type { Tensor } from '../types.ts';
import { bitsOf, blank } from './indexing.ts';
import type { Kernels } from './kernel.ts';
import { compare, mapReal, placesIn } from './pointwise.ts';

export const compareKernels: Kernels<keyof typeof compareOps> = {
  And: (c) => compare(c, (a, b) => a !== 0 && b !== 0),
  Equal: (c) => compare(c, (a, b) => a === b),
  Greater: (c) => compare(c, (a, b) => a > b),
  GreaterOrEqual: (c) => compare(c, (a, b) => a >= b),
  IsInf: (c) => {
    const { detect_negative: negative, detect_positive: positive } = c.attributes;
    return mapReal(c, (x) => (x === Infinity ? positive : x === -Infinity ? negative : 0));
  },
  IsNaN: (c) => mapReal(c, (x) => (Number.isNaN(x) ? 1 : 0)),
  Less: (c) => compare(c, (a, b) => a < b),
  LessOrEqual: (c) => compare(c, (a, b) => a <= b),
  Not: (c) => mapReal(c, (x) => (x === 0 ? 1 : 0)),
  Or: (c) => compare(c, (a, b) => a !== 0 || b !== 0),
  Where: (c) => {
    const [condition, x, y] = [c.input(0), c.input(1), c.input(2)];
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [atCondition, atX, atY] = [condition, x, y].map((t) => placesIn(t.shape, shape));
    const [fromX, fromY] = [bitsOf(x.data), bitsOf(y.data)];
    const { tensor, bits } = blank(dtype, shape);
    for (let e = 0; e < bits.length; e++) {
      const isX = condition.data[atCondition ? (atCondition[e] ?? 0) : e] !== 0;
      bits[e] = (isX ? fromX[atX ? (atX[e] ?? 0) : e] : fromY[atY ? (atY[e] ?? 0) : e]) as number;
    }
    return [tensor];
  },
  Xor: (c) => compare(c, (a, b) => (a !== 0) !== (b !== 0)),
};

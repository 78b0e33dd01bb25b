/**
 * Kernels of the operators in `ops/elementwise.ts`.
 *
 * What ONNX leaves open is defined here: an integer divided by 0 gives 0, as does its remainder; a shift by the width or
 * more gives 0; NaN wins in `Max` and `Min`.
 */
import { roundTiesToEven, toReals } from '../numeric.ts';
import type { elementwiseOps } from '../ops/elementwise.ts';
import { bytesPerElement, isFloat, type Tensor } from '../types.ts';
import { activationKernels } from './activation.ts';
import { castKernels } from './cast.ts';
import { compareKernels } from './compare.ts';
import { erf } from './erf.ts';
import type { Kernels } from './kernel.ts';
import {
  copyOf,
  foldChoice,
  foldReal,
  larger,
  map,
  mapReal,
  smaller,
  type Values,
  zip,
  zipInteger,
  zipReal,
} from './pointwise.ts';

/** C's `pow`, which JavaScript leaves in two places: 1 to any power is 1, and so is −1 to an infinite one. */
function power(base: number, exponent: number): number {
  if (base === 1 || (base === -1 && Math.abs(exponent) === Infinity)) return 1;
  return base ** exponent;
}

/** baseᵉ modulo 2^64. A negative exponent divides: the quotient is cut toward zero, and of a division by 0 it is 0. */
function integerPower(base: bigint, exponent: bigint): bigint {
  if (exponent < 0n) {
    if (base === 1n) return 1n;
    if (base === -1n) return exponent % 2n === 0n ? 1n : -1n;
    return 0n;
  }
  let result = 1n;
  let square = base;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = BigInt.asIntN(64, result * square);
    square = BigInt.asIntN(64, square * square);
  }
  return result;
}

/** Python's `%`: the sign is the divisor's. */
function floorRemainder(a: bigint, b: bigint): bigint {
  const rest = a % b;
  return rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest;
}

/** x − bias above lambd, x + bias below −lambd, cut toward zero: exact although `bias` may have a fraction. */
function shrinkInteger(x: bigint, bias: number, lambd: number): bigint {
  const shift = x > lambd ? -bias : x < -lambd ? bias : undefined;
  if (shift === undefined || !Number.isFinite(shift)) return 0n;
  const whole = Math.trunc(shift);
  const sum = x + BigInt(whole);
  const fraction = shift - whole;
  if (sum > 0n && fraction < 0) return sum - 1n;
  return sum < 0n && fraction > 0 ? sum + 1n : sum;
}

function clip(c: Values): readonly Tensor[] {
  const [min, max] = [c.inputs[1], c.inputs[2]];
  const [low, high] = [min ? toReals(min)[0] : undefined, max ? toReals(max)[0] : undefined];
  const real = (x: number): number => {
    const raised = low === undefined ? x : Math.max(low, x);
    // Last, so that with min > max the result is max, as the definition has it.
    return high === undefined ? raised : Math.min(high, raised);
  };
  const [lowest, highest] = [min?.data[0], max?.data[0]];
  const integer = (x: bigint): bigint => {
    const raised = typeof lowest === 'bigint' && x < lowest ? lowest : x;
    return typeof highest === 'bigint' && raised > highest ? highest : raised;
  };
  return map(c, real, integer);
}

export const elementwiseKernels: Kernels<keyof typeof elementwiseOps> = {
  ...activationKernels,
  ...compareKernels,
  ...castKernels,

  Abs: (c) => map(c, Math.abs, (x) => (x < 0n ? -x : x)),
  Acos: (c) => mapReal(c, Math.acos),
  Acosh: (c) => mapReal(c, Math.acosh),
  Add: (c) =>
    zip(
      c,
      (a, b) => a + b,
      (a, b) => a + b,
    ),
  Asin: (c) => mapReal(c, Math.asin),
  Asinh: (c) => mapReal(c, Math.asinh),
  Atan: (c) => mapReal(c, Math.atan),
  Atanh: (c) => mapReal(c, Math.atanh),
  BitShift: (c) => {
    const bits = BigInt(8 * bytesPerElement(c.input(0).dtype));
    const left = c.attributes.direction === 'LEFT';
    return zipInteger(c, (x, by) => (by >= bits ? 0n : left ? x << by : x >> by));
  },
  BitwiseAnd: (c) => zipInteger(c, (a, b) => a & b),
  BitwiseNot: (c) =>
    map(
      c,
      (x) => ~x,
      (x) => ~x,
    ),
  BitwiseOr: (c) => zipInteger(c, (a, b) => a | b),
  BitwiseXor: (c) => zipInteger(c, (a, b) => a ^ b),
  Ceil: (c) => mapReal(c, Math.ceil),
  Clip: clip,
  Cos: (c) => mapReal(c, Math.cos),
  Cosh: (c) => mapReal(c, Math.cosh),
  Div: (c) =>
    zip(
      c,
      (a, b) => a / b,
      (a, b) => (b === 0n ? 0n : a / b),
    ),
  Dropout: (c) => {
    const data = c.input(0);
    return [copyOf(data), { dtype: 'bool', shape: data.shape, data: new Uint8Array(data.data.length).fill(1) }];
  },
  Erf: (c) => mapReal(c, erf),
  Exp: (c) => mapReal(c, Math.exp),
  Floor: (c) => mapReal(c, Math.floor),
  Identity: (c) => [copyOf(c.input(0))],
  Log: (c) => mapReal(c, Math.log),
  Max: (c) => foldChoice(c, Math.max, larger),
  Mean: (c) =>
    foldReal(
      c,
      (a, b) => a + b,
      (sum, count) => sum / count,
    ),
  Min: (c) => foldChoice(c, Math.min, smaller),
  Mod: (c) => {
    const remainder = c.attributes.fmod ? (a: bigint, b: bigint) => a % b : floorRemainder;
    return zip(
      c,
      (a, b) => a % b,
      (a, b) => (b === 0n ? 0n : remainder(a, b)),
    );
  },
  Mul: (c) =>
    zip(
      c,
      (a, b) => a * b,
      (a, b) => a * b,
    ),
  Neg: (c) =>
    map(
      c,
      (x) => -x,
      (x) => -x,
    ),
  Pow: (c) =>
    isFloat(c.input(0).dtype) || isFloat(c.input(1).dtype) ? zipReal(c, power) : zipInteger(c, integerPower),
  Reciprocal: (c) => mapReal(c, (x) => 1 / x),
  Round: (c) => mapReal(c, roundTiesToEven),
  Shrink: (c) => {
    const { bias, lambd } = c.attributes;
    return map(
      c,
      (x) => (x < -lambd ? x + bias : x > lambd ? x - bias : 0),
      (x) => shrinkInteger(x, bias, lambd),
    );
  },
  // The sign of −0 is +0.
  Sign: (c) =>
    map(
      c,
      (x) => Math.sign(x) + 0,
      (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n),
    ),
  Sin: (c) => mapReal(c, Math.sin),
  Sinh: (c) => mapReal(c, Math.sinh),
  Sqrt: (c) => mapReal(c, Math.sqrt),
  Sub: (c) =>
    zip(
      c,
      (a, b) => a - b,
      (a, b) => a - b,
    ),
  Sum: (c) => foldReal(c, (a, b) => a + b),
  Tan: (c) => mapReal(c, Math.tan),
};

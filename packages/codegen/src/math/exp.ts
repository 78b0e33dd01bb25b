/**
 * e^x in float32, at most 2 ULP, subnormal results and both infinities included.
 *
 * x = n·ln 2 + r with |r| ≤ ln 2 / 2: n comes out of the low bits of x/ln 2 + 1.5·2^23; ln 2 is subtracted in two parts of
 * which the first has 9 bits, so that n times it is exact (Cody and Waite). e^r = 1 + s, s = r + r²·P(r), P minimax of degree
 * 4 (relative error 0.05·2^-24, fitted by Lawson's algorithm, coefficients rounded one by one). 2^n is two factors, since n
 * reaches from -150 to 128; only the last multiplication can leave the normal range, so it rounds once.
 *
 * What is added to x/ln 2 holds the bias of an exponent too: a shift by 23 bits makes the sum 2^n.
 */
import type { Local } from '../wasm/assembler.ts';
import type { VectorMath } from './vector.ts';

const COEFFICIENTS = [0.49999994, 0.166665211, 0.0416682623, 0.00836867373, 0.00138210284];
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.1219444e-4;
/** Sums with it have a unit in the last place of 1, and low bits of 0 where the sum is it. */
const ROUNDER = 1.5 * 2 ** 23;
/** Of the exponent of a float32. */
const BIAS = 127;
/** Beyond these, e^x is 0 or infinity; they keep n within what two factors can express. */
const LOWEST = -104;
const HIGHEST = 89;

export function exp(m: VectorMath): void {
  // pmin(a, b) is `b < a ? b : a`: a NaN in a stays.
  m.constant(HIGHEST).f.op('f32x4.pmin');
  expBelowInfinity(m);
}

/** The same for arguments up to {@link HIGHEST}. */
export function expBelowInfinity(m: VectorMath): void {
  const { f } = m;
  m.constant(LOWEST).f.op('f32x4.pmax');
  const { excess, shifted } = split(m, 2 * BIAS);
  // Twice the bias, so that both halves of the exponent have it; what stands above their nine bits is shifted out.
  f.get(shifted).i32(1).op('i32x4.shr_u');
  const half = m.keep();
  f.get(half).i32(23).op('i32x4.shl');
  const factor = m.keep();
  f.get(excess).get(factor);
  m.multiplyAdd(() => f.get(factor));
  f.get(shifted).get(half).op('i32x4.sub').i32(23).op('i32x4.shl').op('f32x4.mul');
}

/** The same for arguments between -87 and 88, whose results are normal numbers. */
export function expOfNormal(m: VectorMath): void {
  const { f } = m;
  const { excess, shifted } = split(m, BIAS);
  f.get(shifted).i32(23).op('i32x4.shl');
  const factor = m.keep();
  f.get(excess).get(factor);
  m.multiplyAdd(() => f.get(factor));
}

/** Pops x: e^r - 1, and the bits of a float32 whose lowest ones are n + bias. */
function split(m: VectorMath, bias: number): { readonly excess: Local<'v128'>; readonly shifted: Local<'v128'> } {
  const { f } = m;
  const x = m.keep();
  f.get(x);
  m.constant(Math.LOG2E).multiplyAdd(() => m.constant(ROUNDER + bias));
  const shifted = m.keep();
  f.get(shifted);
  m.constant(ROUNDER + bias).f.op('f32x4.sub');
  const n = m.keep();
  f.get(n);
  m.constant(-LN2_HIGH)
    .multiplyAdd(() => f.get(x))
    .f.set(x);
  f.get(n);
  m.constant(-LN2_LOW)
    .multiplyAdd(() => f.get(x))
    .f.set(x);
  m.polynomial(x, COEFFICIENTS);
  f.get(x).get(x).op('f32x4.mul');
  m.multiplyAdd(() => f.get(x));
  f.set(x);
  return { excess: x, shifted };
}

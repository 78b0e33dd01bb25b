/**
 * e^x in float32, at most 2 ULP, subnormal results and both infinities included.
 *
 * x = n·ln 2 + r with |r| ≤ ln 2 / 2: n comes out of the low bits of x/ln 2 + 1.5·2^23; ln 2 is subtracted in two parts of
 * which the first has 9 bits, so that n times it is exact (Cody and Waite). e^r = 1 + r + r²·P(r), P minimax of degree 4
 * (relative error 0.05·2^-24, fitted by Lawson's algorithm, coefficients rounded one by one). 2^n is two factors, since n
 * reaches from -150 to 128; only the last multiplication can leave the normal range, so it rounds once.
 */
import type { Local } from '../wasm/assembler.ts';
import type { VectorMath } from './vector.ts';

const COEFFICIENTS = [0.49999994, 0.166665211, 0.0416682623, 0.00836867373, 0.00138210284];
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.1219444e-4;
const ROUNDER = 1.5 * 2 ** 23;
/** Beyond these, e^x is 0 or infinity; they keep n within what two factors can express. */
const LOWEST = -104;
const HIGHEST = 89;

export function exp(m: VectorMath): void {
  const { f } = m;
  // pmin(a, b) is `b < a ? b : a`: a NaN in a stays.
  m.constant(HIGHEST).f.op('f32x4.pmin');
  m.constant(LOWEST).f.op('f32x4.pmax');
  const { mantissa, exponent } = split(m);
  f.get(exponent).i32(1).op('i32x4.shr_s');
  const half = m.keep();
  f.get(mantissa).get(half);
  power(m);
  f.op('f32x4.mul').get(exponent).get(half).op('i32x4.sub');
  power(m);
  f.op('f32x4.mul');
}

/** The same for arguments between -87 and 88, whose results are normal numbers. */
export function expOfNormal(m: VectorMath): void {
  const { mantissa, exponent } = split(m);
  m.f.get(mantissa).get(exponent);
  power(m);
  m.f.op('f32x4.mul');
}

/** Pops x: e^r as a float32, n as an integer. */
function split(m: VectorMath): { readonly mantissa: Local<'v128'>; readonly exponent: Local<'v128'> } {
  const { f } = m;
  const x = m.keep();
  f.get(x);
  m.constant(Math.LOG2E).multiplyAdd(() => m.constant(ROUNDER));
  const shifted = m.keep();
  f.get(shifted);
  m.constant(ROUNDER).f.op('f32x4.sub');
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
  m.constant(1).f.op('f32x4.add').set(x);
  f.get(shifted);
  m.constant(ROUNDER).f.op('i32x4.sub').set(n);
  return { mantissa: x, exponent: n };
}

/** 2^n of small integers n. */
function power(m: VectorMath): void {
  m.bits(127).f.op('i32x4.add').i32(23).op('i32x4.shl');
}

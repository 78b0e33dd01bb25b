/** Float64 references of the vector functions, and the distance from them in units of the last place. */
import type { UnaryName } from '../src/index.ts';

/** 2/√π · e^(-x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!, all terms positive: no cancellation. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (!(a < 6)) return Math.sign(x);
  let term = a;
  let sum = a;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * a * a) / (2 * n + 1);
    sum += term;
  }
  return Math.sign(x) * ((2 / Math.sqrt(Math.PI)) * Math.exp(-a * a) * sum);
}

function sigmoid(x: number): number {
  const e = Math.exp(-Math.abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

export const REFERENCE: Readonly<Record<UnaryName, (x: number) => number>> = {
  exp: Math.exp,
  log: Math.log,
  sigmoid,
  tanh: Math.tanh,
  erf,
};

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Distance of a float32 from a real number, in steps of float32 at that number. NaN must meet NaN, infinity infinity. */
export function ulps(found: number, real: number): number {
  if (Number.isNaN(real) || Number.isNaN(found))
    return Number.isNaN(real) && Number.isNaN(found) ? 0 : Number.POSITIVE_INFINITY;
  const rounded = Math.fround(real);
  if (found === rounded) return 0;
  if (!Number.isFinite(real)) return Number.POSITIVE_INFINITY;
  float[0] = real;
  const exponent = Math.max(1, Math.min(254, ((bits[0] as number) >>> 23) & 255));
  const target = Number.isFinite(found) ? found : Math.sign(found) * 2 ** 128;
  return Math.abs(target - real) / 2 ** (exponent - 150);
}

/** Kernels of the operators in `ops/activation.ts`, in the forms that neither overflow nor cancel. */
import type { activationOps } from '../ops/activation.ts';
import { erfc } from './erf.ts';
import type { Kernels } from './kernel.ts';
import { map, mapReal, zip } from './pointwise.ts';

/** 1 / (1 + e^−x), the exponential taken of a negative number on both sides. */
function sigmoid(x: number): number {
  const small = Math.exp(-Math.abs(x));
  return (x < 0 ? small : 1) / (1 + small);
}

/** ln(1 + eˣ). */
function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

const clamp01 = (x: number): number => Math.max(0, Math.min(1, x));

/** x · Φ(x), Φ the normal distribution. */
function gelu(x: number): number {
  return 0.5 * x * erfc(-x * Math.SQRT1_2);
}

/** 0.5 x (1 + tanh u), u = √(2/π) (x + 0.044715 x³); 0.5 (1 + tanh u) is the sigmoid of 2u. */
function geluTanh(x: number): number {
  return x * sigmoid(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
}

export const activationKernels: Kernels<keyof typeof activationOps> = {
  Celu: (c) => {
    const { alpha } = c.attributes;
    return mapReal(c, (x) => Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha)));
  },
  Elu: (c) => mapReal(c, (x) => (x >= 0 ? x : c.attributes.alpha * Math.expm1(x))),
  Gelu: (c) => mapReal(c, c.attributes.approximate === 'tanh' ? geluTanh : gelu),
  HardSigmoid: (c) => {
    const { alpha, beta } = c.attributes;
    return mapReal(c, (x) => clamp01(alpha * x + beta));
  },
  HardSwish: (c) => mapReal(c, (x) => x * clamp01(x / 6 + 0.5)),
  LeakyRelu: (c) => mapReal(c, (x) => (x < 0 ? c.attributes.alpha * x : x)),
  Mish: (c) => mapReal(c, (x) => x * Math.tanh(softplus(x))),
  PRelu: (c) =>
    zip(
      c,
      (x, slope) => (x < 0 ? slope * x : x),
      (x, slope) => (x < 0n ? slope * x : x),
    ),
  Relu: (c) =>
    map(
      c,
      (x) => Math.max(0, x),
      (x) => (x < 0n ? 0n : x),
    ),
  Selu: (c) => {
    const { alpha, gamma } = c.attributes;
    return mapReal(c, (x) => gamma * (x > 0 ? x : alpha * Math.expm1(x)));
  },
  Sigmoid: (c) => mapReal(c, sigmoid),
  Softplus: (c) => mapReal(c, softplus),
  Softsign: (c) => mapReal(c, (x) => x / (1 + Math.abs(x))),
  Swish: (c) => mapReal(c, (x) => x * sigmoid(c.attributes.alpha * x)),
  Tanh: (c) => mapReal(c, Math.tanh),
  ThresholdedRelu: (c) => mapReal(c, (x) => (x > c.attributes.alpha ? x : 0)),
};

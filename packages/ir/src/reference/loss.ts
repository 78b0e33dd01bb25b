/** Kernels of the operators in `ops/loss.ts`. */
import { fromReals, toReals } from '../numeric.ts';
import type { lossOps } from '../ops/loss.ts';
import type { Tensor } from '../types.ts';
import { sizeOf } from './indexing.ts';
import type { KernelContext, Kernels } from './kernel.ts';

/** Minus the log-probability of each label, weighted, reduced as the attribute says. `logs` is [N, C, rest]. */
function negativeLogLikelihood(c: KernelContext<keyof typeof lossOps>, logs: ArrayLike<number>): Tensor {
  const { ignore_index: ignored, reduction } = c.attributes;
  const [scores, labels] = [c.input(0), toReals(c.input(1))];
  const weights = c.inputs[2] && toReals(c.inputs[2]);
  const classes = scores.shape[1] ?? 0;
  const rest = sizeOf(scores.shape.slice(2));
  const losses = new Float64Array(labels.length);
  let totalWeight = 0;
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i] ?? 0;
    if (label === ignored) continue;
    if (label < 0 || label >= classes)
      c.fail(`label ${label} at ${i} is outside 0 to ${classes - 1}, and is not ignore_index.`);
    const weight = weights?.[label] ?? 1;
    const at = (Math.floor(i / rest) * classes + label) * rest + (i % rest);
    losses[i] = -(logs[at] ?? 0) * weight;
    totalWeight += weight;
  }
  const { dtype, shape } = c.outputs[0] as Tensor;
  if (reduction === 'none') return fromReals(dtype, shape, losses);
  const sum = losses.reduce((a, b) => a + b, 0);
  // With every label ignored the mean is 0 / 0: not a number, as there is none.
  return fromReals(dtype, shape, [reduction === 'sum' ? sum : sum / totalWeight]);
}

/** Logarithm of the softmax along axis 1. */
function logSoftmax({ shape }: Tensor, x: ArrayLike<number>): Float64Array {
  const [n = 0, classes = 0] = shape;
  const rest = sizeOf(shape.slice(2));
  const result = new Float64Array(n * classes * rest);
  for (let i = 0; i < n; i++)
    for (let r = 0; r < rest; r++) {
      const at = i * classes * rest + r;
      let max = -Infinity;
      for (let k = 0; k < classes; k++) max = Math.max(max, x[at + k * rest] ?? 0);
      let sum = 0;
      for (let k = 0; k < classes; k++) sum += Math.exp((x[at + k * rest] ?? 0) - max);
      const shift = max + Math.log(sum);
      for (let k = 0; k < classes; k++) result[at + k * rest] = (x[at + k * rest] ?? 0) - shift;
    }
  return result;
}

export const lossKernels: Kernels<keyof typeof lossOps> = {
  NegativeLogLikelihoodLoss: (c) => [negativeLogLikelihood(c, toReals(c.input(0)))],
  SoftmaxCrossEntropyLoss: (c) => {
    const scores = c.input(0);
    const logs = logSoftmax(scores, toReals(scores));
    return [negativeLogLikelihood(c, logs), fromReals(scores.dtype, scores.shape, logs)];
  },
};

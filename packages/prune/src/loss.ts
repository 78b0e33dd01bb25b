/**
 * How far a pruned network's outputs are from the dense one's, without labels: the Kullback–Leibler divergence of class
 * scores, softened at temperature 2 (networks are over-confident on examples they were trained on), the relative squared
 * error of everything else.
 * @see Hinton et al., "Distilling the knowledge in a neural network", 2015, for the temperature
 */
import { type Tensor, toReals } from '@grim/ir';
import type { Feeds } from './calibrator.ts';

const TEMPERATURE = 2;

/** Mean over the batches of the sum over the outputs; 0 when they agree. */
export function outputLoss(dense: readonly Feeds[], pruned: readonly Feeds[]): number {
  let total = 0;
  dense.forEach((batch, i) => {
    for (const [name, wanted] of Object.entries(batch)) {
      const found = pruned[i]?.[name];
      if (found) total += tensorLoss(wanted, found);
    }
  });
  return total / Math.max(1, dense.length);
}

function tensorLoss(wanted: Tensor, found: Tensor): number {
  const p = toReals(wanted);
  const q = toReals(found);
  const classes = wanted.shape.at(-1) ?? 1;
  if (wanted.shape.length === 2 && classes > 1 && wanted.dtype.startsWith('float')) return divergence(p, q, classes);
  let error = 0;
  let energy = 0;
  for (let i = 0; i < p.length; i++) {
    error += ((p[i] ?? 0) - (q[i] ?? 0)) ** 2;
    energy += (p[i] ?? 0) ** 2;
  }
  return energy > 0 ? error / energy : error;
}

/** Mean over rows of Σ p log(p / q). Rows of probabilities are taken as such, all else as logits. */
function divergence(p: ArrayLike<number>, q: ArrayLike<number>, classes: number): number {
  const rows = p.length / classes;
  const probabilities = areProbabilities(p, classes);
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const a = logSoftmax(p, row * classes, classes, probabilities);
    const b = logSoftmax(q, row * classes, classes, probabilities);
    for (let i = 0; i < classes; i++) total += Math.exp(a[i] as number) * ((a[i] as number) - (b[i] as number));
  }
  return total / Math.max(1, rows);
}

function areProbabilities(p: ArrayLike<number>, classes: number): boolean {
  for (let row = 0; row < p.length; row += classes) {
    let sum = 0;
    for (let i = 0; i < classes; i++) {
      if (!((p[row + i] ?? -1) >= 0)) return false;
      sum += p[row + i] ?? 0;
    }
    if (Math.abs(sum - 1) > 1e-3) return false;
  }
  return true;
}

function logSoftmax(values: ArrayLike<number>, at: number, classes: number, probabilities: boolean): Float64Array {
  const scaled = Float64Array.from({ length: classes }, (_, i) => {
    const value = values[at + i] ?? 0;
    return (probabilities ? Math.log(Math.max(value, 1e-12)) : value) / TEMPERATURE;
  });
  const top = scaled.reduce((most, v) => Math.max(most, v), Number.NEGATIVE_INFINITY);
  const log = top + Math.log(scaled.reduce((sum, v) => sum + Math.exp(v - top), 0));
  return scaled.map((v) => v - log);
}

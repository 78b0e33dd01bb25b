/** How good scores are. */
import type { Loss } from './network.ts';

/** Rows whose largest score is that of their label. */
export function correctOf(scores: Float32Array, labels: readonly number[], classes: number): number {
  let right = 0;
  for (let i = 0; i * classes < scores.length; i++) {
    let best = 0;
    for (let c = 1; c < classes; c++)
      if ((scores[i * classes + c] as number) > (scores[i * classes + best] as number)) best = c;
    if (best === labels[i]) right++;
  }
  return right;
}

/** Sum over the examples, in float64. */
export function lossSum(scores: Float32Array, targets: Float32Array, outputs: number, loss: Loss): number {
  let sum = 0;
  for (let first = 0; first < scores.length; first += outputs) {
    if (loss === 'mse') {
      for (let c = first; c < first + outputs; c++)
        sum += ((scores[c] as number) - (targets[c] as number)) ** 2 / outputs;
      continue;
    }
    let most = Number.NEGATIVE_INFINITY;
    for (let c = first; c < first + outputs; c++) most = Math.max(most, scores[c] as number);
    let total = 0;
    for (let c = first; c < first + outputs; c++) total += Math.exp((scores[c] as number) - most);
    const log = most + Math.log(total);
    for (let c = first; c < first + outputs; c++) sum += (targets[c] as number) * (log - (scores[c] as number));
  }
  return sum;
}

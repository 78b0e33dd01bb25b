/** Losses over classes, composed: the logarithms picked by the labels, weighted, then reduced. */
import type { NodeOf } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import { sizeOf } from '../map/placement.ts';
import { type Composition, workType } from './composition.ts';

type Loss = NodeOf<'NegativeLogLikelihoodLoss'> | NodeOf<'SoftmaxCrossEntropyLoss'>;

/** @param logs  [N, C, …] in the work type */
function reduced(g: Composition, node: Loss, c: LowerContext, logs: string): string {
  const [scoresName = '', labels = '', weightsName = ''] = node.inputs;
  const { ignore_index: ignored, reduction } = node.attributes;
  const { dtype, shape } = c.type(scoresName);
  const at = c.type(labels);
  const work = workType(dtype);
  const zero = g.reals(work, [0], []);
  const isIgnored = ignored === undefined ? undefined : g.add('Equal', [labels, g.reals(at.dtype, [ignored], [])]);
  const unlessIgnored = (x: string) => (isIgnored === undefined ? x : g.add('Where', [isIgnored, zero, x]));
  const picked = g.add('GatherElements', [logs, g.reshape(labels, at.shape.toSpliced(1, 0, 1))], { axis: 1 });
  let loss = g.add('Neg', [g.reshape(picked, at.shape)]);
  let weight: string | undefined;
  if (weightsName !== '') {
    weight = g.add('Gather', [g.cast(weightsName, dtype, work), labels], { axis: 0 });
    loss = g.add('Mul', [loss, weight]);
  }
  loss = unlessIgnored(loss);
  if (reduction === 'none') return g.cast(loss, work, dtype);
  const total = (x: string) => g.add('ReduceSum', [x], { keepdims: 0 });
  if (reduction === 'sum') return g.cast(total(loss), work, dtype);
  const counted = weight ?? g.add('Expand', [g.reals(work, [1], []), g.integers(at.shape)]);
  const all =
    weight === undefined && isIgnored === undefined
      ? g.reals(work, [sizeOf(shape.toSpliced(1, 1))], [])
      : total(unlessIgnored(counted));
  return g.cast(g.add('Div', [total(loss), all]), work, dtype);
}

/** @param logarithm  the scores are to be made logarithms of probabilities */
function lowerLoss(node: Loss, c: LowerContext, logarithm: boolean): void {
  const [scores = '', labels = ''] = node.inputs;
  const { dtype, shape } = c.type(scores);
  if (shape[1] === 0 && sizeOf(c.type(labels).shape) > 0) c.unsupported('labels of no classes', 'one class and more');
  const work = workType(dtype);
  c.compose((g) => {
    const wide = g.cast(scores, dtype, work);
    const logs = logarithm ? g.add('LogSoftmax', [wide], { axis: 1 }) : wide;
    return [reduced(g, node, c, logs), g.cast(logs, work, dtype)];
  });
}

export const lossLowerings: Lowerings = {
  NegativeLogLikelihoodLoss: { lower: (node, c) => lowerLoss(node, c, false) },
  SoftmaxCrossEntropyLoss: { lower: (node, c) => lowerLoss(node, c, true) },
};

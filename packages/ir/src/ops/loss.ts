/** Losses over classes: scores [N, C, d1, …, dk], one class index for each of [N, d1, …, dk]. */
import { type InferContext, int, op, optional, string } from '../op.ts';
import { type Dim, type DType, FLOAT_DTYPES, formatShape, type Shape } from '../types.ts';

const REDUCTIONS = ['none', 'sum', 'mean'] as const;
const INDICES: readonly DType[] = ['int32', 'int64'];

const attributes = {
  ignore_index: optional(int()),
  reduction: string(REDUCTIONS, 'mean'),
} as const;

function infer(
  c: InferContext<{ readonly reduction: (typeof REDUCTIONS)[number] }>,
  names: readonly string[],
): Shape | null {
  const [scoresName, labelsName, weightsName] = names;
  const [scores, labels] = [c.shape(0), c.shape(1)];
  const weights = c.has(2) ? c.shape(2) : null;
  if (scores && scores.length < 2) c.fail(`${scoresName} has shape ${formatShape(scores)}; [N, C, d1, …] is needed.`);
  if (scores && labels) {
    const wanted: Shape = [scores[0] as Dim, ...scores.slice(2)];
    const differs = (dim: Dim, axis: number) =>
      typeof dim === 'number' && typeof labels[axis] === 'number' && dim !== labels[axis];
    if (labels.length !== wanted.length || wanted.some(differs))
      c.fail(
        `${labelsName} has shape ${formatShape(labels)}; ${scoresName} is ${formatShape(scores)}, ` +
          `so ${formatShape(wanted)} is needed.`,
      );
  }
  if (weights) {
    const [classes, length] = [scores?.[1], weights[0]];
    if (weights.length !== 1 || (typeof classes === 'number' && typeof length === 'number' && classes !== length))
      c.fail(`${weightsName} has shape ${formatShape(weights)}; [${classes ?? 'C'}] is needed, one for each class.`);
  }
  if (c.attributes.reduction !== 'none') return [];
  return labels ?? (scores && [scores[0] as Dim, ...scores.slice(2)]);
}

export const lossOps = {
  NegativeLogLikelihoodLoss: op({
    since: 22,
    inputs: ['input: T', 'target: Tind', 'weight?: T'],
    outputs: ['loss: T'],
    types: { T: FLOAT_DTYPES, Tind: INDICES },
    attributes,
    infer: (c) => [infer(c, ['input', 'target', 'weight'])],
  }),

  SoftmaxCrossEntropyLoss: op({
    since: 13,
    inputs: ['scores: T', 'labels: Tind', 'weights?: T'],
    outputs: ['output: T', 'log_prob?: T'],
    types: { T: FLOAT_DTYPES, Tind: INDICES },
    attributes,
    infer: (c) => [infer(c, ['scores', 'labels', 'weights']), c.shape(0)],
  }),
};

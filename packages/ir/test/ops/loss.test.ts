import { describe, expect, it } from 'vitest';
import { toReals } from '../../src/numeric.ts';
import type { Tensor } from '../../src/types.ts';
import { inferOp, refusal, runOp, t } from '../run.ts';

const f64 = (shape: readonly number[], values: readonly number[]) => t('float64', shape, values);
const values = (tensor: Tensor | undefined) => Array.from(toReals(tensor as Tensor));

describe('NegativeLogLikelihoodLoss', () => {
  // Two samples, three classes.
  const input = f64([2, 3], [1, 2, 3, 4, 5, 6]);
  const target = t('int64', [2], [2, 0]);

  it.each([
    ['none', [-3, -4], [2]],
    ['sum', [-7], []],
    ['mean', [-3.5], []],
  ] as const)('reduces by %s', (reduction, expected, shape) => {
    const [loss] = runOp('NegativeLogLikelihoodLoss', [input, target], { reduction });
    expect(loss?.shape).toEqual(shape);
    expect(values(loss)).toEqual(expected);
  });

  it.each([
    ['none', [-30, -4]],
    ['sum', [-34]],
    ['mean', [-34 / 11]],
  ] as const)('weighs classes, and divides the mean by the weights (%s)', (reduction, expected) => {
    const weight = f64([3], [1, 5, 10]);
    expect(values(runOp('NegativeLogLikelihoodLoss', [input, target, weight], { reduction })[0])).toEqual(expected);
  });

  it.each([2, -1, 99])('leaves out the label %s when it is ignore_index', (ignored) => {
    const labels = t('int32', [2], [ignored, 1]);
    const attributes = { ignore_index: ignored };
    expect(values(runOp('NegativeLogLikelihoodLoss', [input, labels], attributes)[0])).toEqual([-5]);
    const [none] = runOp('NegativeLogLikelihoodLoss', [input, labels], { ...attributes, reduction: 'none' });
    expect(values(none)).toEqual([0, -5]);
  });

  it('has the classes in axis 1 whatever follows', () => {
    // [1, 2, 2, 2]: class 0 is 1 2 3 4, class 1 is 5 6 7 8.
    const scores = f64([1, 2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
    const labels = t('int64', [1, 2, 2], [0, 1, 1, 0]);
    const [loss] = runOp('NegativeLogLikelihoodLoss', [scores, labels], { reduction: 'none' });
    expect(loss?.shape).toEqual([1, 2, 2]);
    expect(values(loss)).toEqual([-1, -6, -7, -4]);
  });

  it.each([[-1], [3]])('G12: refuses the label %s of 3 classes', (label) => {
    const { code, message } = refusal(() => runOp('NegativeLogLikelihoodLoss', [input, t('int64', [2], [0, label])]));
    expect(code).toBe('GRIM_IR_BAD_VALUE');
    expect(message).toMatch(/outside 0 to 2/);
  });

  it('has no mean when every label is ignored', () => {
    const [loss] = runOp('NegativeLogLikelihoodLoss', [input, t('int64', [2], [1, 1])], { ignore_index: 1 });
    expect(values(loss)).toEqual([Number.NaN]);
  });

  it('gives an empty loss for no sample', () => {
    const [loss] = runOp('NegativeLogLikelihoodLoss', [f64([0, 3], []), t('int64', [0], [])], { reduction: 'none' });
    expect(loss?.shape).toEqual([0]);
  });

  const type = (shape: readonly (number | string)[]) => ({ dtype: 'float32', shape }) as const;
  const labels = (shape: readonly (number | string)[]) => ({ dtype: 'int64', shape }) as const;
  it.each([
    ['scores without classes', [type([3]), labels([3])], /input has shape/],
    ['labels of another rank', [type([2, 3]), labels([2, 3])], /target has shape/],
    ['labels of another length', [type([2, 3, 4]), labels([2, 5])], /\[2, 4\] is needed/],
    ['weights of another length', [type([2, 3]), labels([2]), type([2])], /one for each class/],
  ])('refuses %s', (_, inputs, message) => {
    expect(refusal(() => inferOp('NegativeLogLikelihoodLoss', inputs)).message).toMatch(message);
  });

  it('keeps names of lengths', () => {
    const [loss] = inferOp('NegativeLogLikelihoodLoss', [type(['N', 3, 4]), labels(['N', 4])], { reduction: 'none' });
    expect(loss?.shape).toEqual(['N', 4]);
  });
});

describe('SoftmaxCrossEntropyLoss', () => {
  it('is the negative log-likelihood of the softmax, which it gives too', () => {
    // Softmax of ln 1, ln 2, ln 5 is 1/8, 2/8, 5/8.
    const scores = f64([1, 3], [0, Math.log(2), Math.log(5)]);
    const [loss, logs] = runOp('SoftmaxCrossEntropyLoss', [scores, t('int64', [1], [2])], {}, 2);
    expect(values(loss)[0]).toBeCloseTo(-Math.log(5 / 8), 14);
    [1 / 8, 2 / 8, 5 / 8].forEach((probability, i) => {
      expect(values(logs)[i]).toBeCloseTo(Math.log(probability), 14);
    });
    expect(logs?.shape).toEqual([1, 3]);
  });

  it('survives scores whose exponentials overflow', () => {
    const [loss] = runOp('SoftmaxCrossEntropyLoss', [f64([1, 2], [1000, 0]), t('int64', [1], [1])]);
    expect(values(loss)).toEqual([1000]);
  });

  it('weighs, ignores and reduces as the other', () => {
    const scores = f64([3, 2], [0, 0, 0, 0, 0, 0]);
    const inputs = [scores, t('int64', [3], [0, 1, -5]), f64([2], [1, 3])];
    const [loss] = runOp('SoftmaxCrossEntropyLoss', inputs, { ignore_index: -5, reduction: 'sum' });
    expect(values(loss)[0]).toBeCloseTo(4 * Math.log(2), 14);
    const [mean] = runOp('SoftmaxCrossEntropyLoss', inputs, { ignore_index: -5 });
    expect(values(mean)[0]).toBeCloseTo(Math.log(2), 14);
  });
});

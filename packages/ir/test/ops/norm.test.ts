/** Normalizations: numbers worked out by hand, degenerate statistics, and what is refused. */
import { describe, expect, it } from 'vitest';
import type { DType } from '../../src/types.ts';
import { inferOp, refusal, runOp, t } from '../run.ts';

const f = (shape: number[], values: number[]) => t('float32', shape, values);
const numbers = (tensor: { data: ArrayLike<number | bigint> } | undefined) => Array.from(tensor?.data ?? [], Number);
const type = (shape: (number | string)[], dtype: DType = 'float32') => ({ dtype, shape });
const near = (tensor: { data: ArrayLike<number | bigint> } | undefined, expected: number[]) => {
  const found = numbers(tensor);
  expect(found.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(found[i], `element ${i}`).toBeCloseTo(value, 5);
};

describe('BatchNormalization', () => {
  const x = f([2, 2, 1], [1, 10, 3, 30]);
  const v = (a: number, b: number) => f([2], [a, b]);

  it('uses the given statistics', () => {
    // (x − mean)·scale / 2 + bias for channel 0, / 10 for channel 1.
    const inputs = [x, v(2, 10), v(1, -1), v(1, 20), v(4, 100)];
    near(runOp('BatchNormalization', inputs, { epsilon: 0 })[0], [1, -11, 3, 9]);
  });

  it('uses and returns its own in training', () => {
    const inputs = [x, v(1, 1), v(0, 0), v(10, 10), v(100, 100)];
    const [y, mean, variance] = runOp(
      'BatchNormalization',
      inputs,
      { training_mode: 1, epsilon: 0, momentum: 0.75 },
      3,
    );
    near(y, [-1, -1, 1, 1]);
    // Means 2 and 20, population variances 1 and 100.
    near(mean, [8, 12.5]);
    near(variance, [75.25, 100]);
  });

  it('takes a batch of single numbers as one channel', () => {
    near(
      runOp('BatchNormalization', [f([2], [3, 5]), f([1], [1]), f([1], [0]), f([1], [4]), f([1], [1])], {
        epsilon: 0,
      })[0],
      [-1, 1],
    );
  });

  it('G18: a negative variance and a zero deviation give what IEEE arithmetic gives', () => {
    const of = (variance: number, mean = 1) =>
      numbers(
        runOp(
          'BatchNormalization',
          [f([1, 1, 2], [1, 2]), f([1], [1]), f([1], [0]), f([1], [mean]), f([1], [variance])],
          { epsilon: 0 },
        )[0],
      );
    expect(of(-1)).toEqual([Number.NaN, Number.NaN]);
    expect(of(0)).toEqual([Number.NaN, Infinity]);
    expect(of(0, 3)).toEqual([-Infinity, -Infinity]);
    expect(of(4)).toEqual([0, 0.5]);
  });

  it('refuses vectors of another length and running statistics without training', () => {
    const infer = (shape: number[], attributes = {}, outputs = 1) =>
      inferOp(
        'BatchNormalization',
        [type([1, 2, 3]), type([2]), type([2]), type([2]), type(shape)],
        attributes,
        outputs,
      );
    expect(infer([2])[0]?.shape).toEqual([1, 2, 3]);
    for (const shape of [[3], [2, 1], []]) expect(refusal(() => infer(shape)).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => infer([2], {}, 3)).code).toBe('GRIM_IR_ARITY');
    expect(infer([2], { training_mode: 1 }, 3)[2]?.shape).toEqual([2]);
  });
});

describe('normalization over part of a tensor', () => {
  it('InstanceNormalization: each channel of each element alone', () => {
    const [y] = runOp('InstanceNormalization', [f([1, 2, 2], [1, 3, 10, 30]), f([2], [1, 2]), f([2], [0, 5])], {
      epsilon: 0,
    });
    near(y, [-1, 1, 3, 7]);
  });

  it('GroupNormalization: channels of a group together, scale and bias per channel', () => {
    const inputs = [f([1, 4, 1], [1, 3, 10, 30]), f([4], [1, 2, 1, 2]), f([4], [0, 0, 5, 5])];
    near(runOp('GroupNormalization', inputs, { num_groups: 2, epsilon: 0 })[0], [-1, 2, 4, 7]);
    expect(refusal(() => runOp('GroupNormalization', inputs, { num_groups: 3 })).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => runOp('GroupNormalization', inputs, { num_groups: 0 })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(
      refusal(() => inferOp('GroupNormalization', [type([1, 4, 1]), type([2]), type([2])], { num_groups: 2 })).code,
    ).toBe('GRIM_IR_SHAPE_MISMATCH');
  });

  it('LayerNormalization: three outputs, the statistics in the type that stash_type names', () => {
    const x = f([2, 2], [1, 3, 10, 30]);
    const [y, mean, inverse] = runOp('LayerNormalization', [x, f([2], [1, 2]), f([2], [0, 1])], { epsilon: 0 }, 3);
    near(y, [-1, 3, -1, 3]);
    expect([mean?.shape, numbers(mean)]).toEqual([
      [2, 1],
      [2, 20],
    ]);
    near(inverse, [1, 0.1]);
    const types = inferOp(
      'LayerNormalization',
      [type(['N', 2, 3], 'float16'), type([2, 3], 'float16')],
      { axis: 1, stash_type: 16 },
      3,
    );
    expect(types).toEqual([type(['N', 2, 3], 'float16'), type(['N', 1, 1], 'bfloat16'), type(['N', 1, 1], 'bfloat16')]);
    // Mean 11, squares of the differences 100 + 64 + 1 + 361 = 4 · 131.5.
    const whole = runOp('LayerNormalization', [x, f([1], [1])], { axis: 0, epsilon: 0 });
    near(
      whole[0],
      [-10, -8, -1, 19].map((difference) => difference / Math.sqrt(131.5)),
    );
  });

  it('G18: LayerNormalization over one element gives the bias, and refuses to average nothing', () => {
    expect(numbers(runOp('LayerNormalization', [f([2, 1], [7, -7]), f([1], [3]), f([1], [5])])[0])).toEqual([5, 5]);
    expect(numbers(runOp('LayerNormalization', [f([0, 2], []), f([2], [1, 1])])[0])).toEqual([]);
    expect(refusal(() => runOp('LayerNormalization', [f([2, 0], []), f([1], [1])])).code).toBe(
      'GRIM_IR_SHAPE_MISMATCH',
    );
  });

  it('RMSNormalization: divides by the root of the mean square, in the type of the scale', () => {
    const [y] = runOp('RMSNormalization', [t('float16', [1, 2], [1, 7]), f([2], [5, 10])], { epsilon: 0 });
    expect(y?.dtype).toBe('float32');
    near(y, [1, 14]);
  });

  it('LpNormalization: divides by the norm along an axis; zeros stay zero', () => {
    const x = f([2, 2], [3, 0, -4, 0]);
    near(runOp('LpNormalization', [x], { axis: 0 })[0], [0.6, 0, -0.8, 0]);
    near(runOp('LpNormalization', [x], { p: 1 })[0], [1, 0, -1, 0]);
    expect(runOp('LpNormalization', [f([2 ** 31 - 1, 0], [])])[0]?.shape).toEqual([2 ** 31 - 1, 0]);
    expect(refusal(() => runOp('LpNormalization', [x], { p: 3 })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });

  it('MeanVarianceNormalization: over the axes named', () => {
    near(runOp('MeanVarianceNormalization', [f([2, 2], [1, 10, 3, 30])], { axes: [0] })[0], [-1, -1, 1, 1]);
    near(runOp('MeanVarianceNormalization', [f([1, 1, 1, 2], [4, 4])])[0], [0, 0]);
    expect(runOp('MeanVarianceNormalization', [f([0, 2 ** 31 - 1], [])], { axes: [0] })[0]?.data.length).toBe(0);
  });

  it('LRN: squares of the channels around, more behind than in front for an even size', () => {
    const x = f([1, 3, 1], [1, 2, 3]);
    const attributes = { alpha: 2, beta: 1, bias: 1 };
    // size 2: own channel and the next. 1/(1+5), 2/(1+13), 3/(1+9).
    near(runOp('LRN', [x], { ...attributes, size: 2 })[0], [1 / 6, 2 / 14, 3 / 10]);
    near(runOp('LRN', [x], { ...attributes, size: 1, alpha: 1 })[0], [1 / 2, 2 / 5, 3 / 10]);
    expect(refusal(() => runOp('LRN', [x], { size: 0 })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(refusal(() => runOp('LRN', [f([3], [1, 2, 3])], { size: 1 })).code).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('axes', () => {
  it('G9: the bounds are half-open, and an axis stands once', () => {
    const x = type([2, 3]);
    const ok = [-2, -1, 0, 1];
    const layer = (axis: number) => inferOp('LayerNormalization', [x, type([1])], { axis });
    const rms = (axis: number) => inferOp('RMSNormalization', [x, type([1])], { axis });
    const lp = (axis: number) => inferOp('LpNormalization', [x], { axis });
    const mvn = (axis: number) => inferOp('MeanVarianceNormalization', [x], { axes: [axis] });
    for (const infer of [layer, rms, lp, mvn]) {
      for (const axis of ok) expect(infer(axis)[0]?.shape).toEqual([2, 3]);
      for (const axis of [2, -3, 2 ** 31]) expect(refusal(() => infer(axis)).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    }
    expect(refusal(() => inferOp('MeanVarianceNormalization', [x], { axes: [0, -2] })).code).toBe(
      'GRIM_IR_BAD_ATTRIBUTE',
    );
    expect(refusal(() => inferOp('LpNormalization', [type([])], {})).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });

  it('a scale that does not broadcast to the data, and a stash_type that is none, are refused', () => {
    for (const shape of [[2], [3, 3], [1, 2, 3]])
      for (const op of ['LayerNormalization', 'RMSNormalization'] as const)
        expect(refusal(() => inferOp(op, [type([2, 3]), type(shape)])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => inferOp('LayerNormalization', [type([2, 3]), type([3])], { stash_type: 10 })).code).toBe(
      'GRIM_IR_BAD_ATTRIBUTE',
    );
  });
});

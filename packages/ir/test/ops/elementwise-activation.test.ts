import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../src/types.ts';
import { elements, inferOp, reals, refusal, runOp, t } from '../run.ts';

const f = (...values: number[]): Tensor => t('float64', [values.length], values);
const near = (found: readonly number[], expected: readonly number[], tolerance = 1e-15) => {
  expect(found).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    if (Number.isFinite(value)) expect(Math.abs((found[i] ?? 9) - value)).toBeLessThanOrEqual(tolerance);
    else expect(found[i]).toBe(value);
  });
};

describe('activations have the values of their formulas', () => {
  // e = 2.718281828459045, 1/e = 0.36787944117144233, ln 2 = 0.6931471805599453
  it('Relu, LeakyRelu, PRelu, ThresholdedRelu', () => {
    const x = f(-2, 0, 1, 3);
    expect(reals(runOp('Relu', [x])[0])).toEqual([0, 0, 1, 3]);
    expect(elements(runOp('Relu', [t('int64', [2], [-5n, 5n])])[0])).toEqual([0n, 5n]);
    expect(reals(runOp('LeakyRelu', [x], { alpha: 0.5 })[0])).toEqual([-1, 0, 1, 3]);
    near(reals(runOp('LeakyRelu', [x])[0]), [-0.02, 0, 1, 3], 1e-9);
    expect(reals(runOp('PRelu', [x, f(0.25)])[0])).toEqual([-0.5, 0, 1, 3]);
    expect(reals(runOp('ThresholdedRelu', [x])[0])).toEqual([0, 0, 0, 3]);
    expect(reals(runOp('ThresholdedRelu', [x], { alpha: -3 })[0])).toEqual([-2, 0, 1, 3]);
  });

  it('Elu, Celu, Selu', () => {
    near(reals(runOp('Elu', [f(-1, 0, 2)], { alpha: 2 })[0]), [2 * (0.36787944117144233 - 1), 0, 2]);
    near(reals(runOp('Celu', [t('float32', [3], [-2, 0, 2])], { alpha: 2 })[0]), [-1.2642411, 0, 2], 1e-7);
    near(reals(runOp('Selu', [f(-1, 1)], { alpha: 2, gamma: 3 })[0]), [6 * (0.36787944117144233 - 1), 3]);
    near(reals(runOp('Selu', [f(1)])[0]), [1.0507010221481323]);
  });

  it('Sigmoid, HardSigmoid, HardSwish, Swish', () => {
    near(reals(runOp('Sigmoid', [f(0, Math.LN2, -Math.LN2, 800, -800)])[0]), [0.5, 2 / 3, 1 / 3, 1, 0]);
    expect(reals(runOp('HardSigmoid', [f(-1, 0, 0.5, 9)], { alpha: 0.5, beta: 0.25 })[0])).toEqual([0, 0.25, 0.5, 1]);
    near(reals(runOp('HardSwish', [f(-4, -3, 0, 1, 3, 5)])[0]), [0, 0, 0, 2 / 3, 3, 5]);
    near(reals(runOp('Swish', [f(Math.LN2, -800)])[0]), [(Math.LN2 * 2) / 3, 0]);
    near(reals(runOp('Swish', [f(1)], { alpha: Math.LN2 })[0]), [2 / 3]);
  });

  it('Softplus, Softsign, Mish, Tanh', () => {
    near(reals(runOp('Softplus', [f(0, 1000, -1000)])[0]), [Math.LN2, 1000, 0]);
    expect(reals(runOp('Softsign', [f(-1, 0, 3)])[0])).toEqual([-0.5, 0, 0.75]);
    // tanh(ln(1 + e^0)) = tanh(ln 2) = (4 - 1) / (4 + 1); at x = 1000 the factor is 1.
    near(reals(runOp('Mish', [f(0, 1000)])[0]), [0, 1000]);
    near(reals(runOp('Mish', [f(Math.log(2))])[0]), [Math.LN2 * 0.8]);
  });

  it('Gelu, exact and by tanh', () => {
    // Φ(1) = 0.8413447460685429, Φ(-1) = 0.15865525393145707
    near(reals(runOp('Gelu', [f(-1, 0, 1)])[0]), [-0.15865525393145707, 0, 0.8413447460685429]);
    near(
      reals(runOp('Gelu', [f(1, -1)], { approximate: 'tanh' })[0]),
      [0.8411919906082768, -0.15880800939172324],
      1e-15,
    );
    // Far below zero Φ is tiny and not 0: Φ(-10) = 7.61985302416053e-24.
    const [deep] = reals(runOp('Gelu', [f(-10)])[0]);
    expect(Math.abs((deep ?? 0) / -7.61985302416053e-23 - 1)).toBeLessThan(1e-13);
  });

  it('NaN stays NaN', () => {
    for (const op of [
      'Relu',
      'Elu',
      'Selu',
      'LeakyRelu',
      'Sigmoid',
      'HardSigmoid',
      'Softplus',
      'Gelu',
      'Mish',
    ] as const)
      expect(reals(runOp(op, [f(Number.NaN)])[0])).toEqual([Number.NaN]);
  });
});

describe('PRelu', () => {
  it('stretches the slope, wraps integers', () => {
    const x = t('float32', [1, 2, 2], [-1, -2, -3, 4]);
    expect(reals(runOp('PRelu', [x, t('float32', [2, 1], [2, 10])])[0])).toEqual([-2, -4, -30, 4]);
    expect(reals(runOp('PRelu', [t('int32', [2], [-3, 3]), t('int32', [], [2])])[0])).toEqual([-6, 3]);
  });

  it('never stretches X', () => {
    const x = t('float32', [2, 1], [1, 2]);
    expect(refusal(() => runOp('PRelu', [x, t('float32', [2], [1, 2])])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => runOp('PRelu', [x, t('float32', [1, 2, 1], [1, 2])])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    const open = { dtype: 'float32', shape: ['N', 4] } as const;
    expect(inferOp('PRelu', [open, { dtype: 'float32', shape: [4] }])[0]?.shape).toEqual(['N', 4]);
  });
});

it('Celu with alpha 0, by which its formula divides, is refused', () => {
  expect(refusal(() => runOp('Celu', [t('float32', [1], [1])], { alpha: 0 })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
});

it('G14: Gelu takes none and tanh only', () => {
  const bad = { approximate: 'fast' as 'tanh' };
  expect(refusal(() => runOp('Gelu', [f(1)], bad)).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
});

import { describe, expect, it } from 'vitest';
import { graph } from '../../src/graph.ts';
import { toReals } from '../../src/numeric.ts';
import { type OpName, opSpec } from '../../src/ops.ts';
import { evaluate } from '../../src/reference/index.ts';
import type { Tensor } from '../../src/types.ts';
import { inferOp, refusal, runOp, t } from '../run.ts';

const f64 = (shape: readonly number[], values: readonly number[]) => t('float64', shape, values);
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const values = (tensor: Tensor): number[] => Array.from(toReals(tensor));
const close = (tensor: Tensor | undefined, expected: readonly number[]) => {
  const found = values(tensor as Tensor);
  expect(found).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    expect(found[i]).toBeCloseTo(value, 12);
  });
};
// One input, one hidden unit, one sequence, two steps.
const x = f64([2, 1, 1], [1, 2]);

describe('RNN', () => {
  const w = f64([1, 1, 1], [0.5]);
  const r = f64([1, 1, 1], [0.25]);
  const h1 = Math.tanh(0.5);
  const h2 = Math.tanh(0.5 * 2 + 0.25 * h1);

  it('takes H = tanh(X·W + H·R) step by step', () => {
    const [y, last] = runOp('RNN', [x, w, r], { hidden_size: 1 }, 2);
    expect(y?.shape).toEqual([2, 1, 1, 1]);
    expect(last?.shape).toEqual([1, 1, 1]);
    close(y, [h1, h2]);
    close(last, [h2]);
  });

  it('adds both halves of B and starts from initial_h', () => {
    const b = f64([1, 2], [0.125, 0.5]);
    const [y] = runOp('RNN', [x, w, r, b, undefined, f64([1, 1, 1], [2])], {});
    const first = Math.tanh(0.5 + 0.5 + 0.625);
    close(y, [first, Math.tanh(1 + 0.25 * first + 0.625)]);
  });

  it('runs backward, and both ways side by side', () => {
    const last = Math.tanh(1);
    const first = Math.tanh(0.5 + 0.25 * last);
    const [y, state] = runOp('RNN', [x, w, r], { direction: 'reverse' }, 2);
    close(y, [first, last]);
    close(state, [first]);
    const two = (a: Tensor) => f64([2, 1, 1], [Number(a.data[0]), Number(a.data[0])]);
    const [both, states] = runOp('RNN', [x, two(w), two(r)], { direction: 'bidirectional' }, 2);
    expect(both?.shape).toEqual([2, 2, 1, 1]);
    close(both, [h1, first, h2, last]);
    close(states, [h2, first]);
  });

  it('stops each sequence at its own length: Y is zero beyond, and the backward run starts there', () => {
    const batch = f64([2, 2, 1], [1, 1, 2, 2]);
    const lengths = t('int32', [2], [2, 1]);
    const [y, state] = runOp('RNN', [batch, w, r, undefined, lengths], {}, 2);
    close(y, [h1, h1, h2, 0]);
    close(state, [h2, h1]);
    const [backward] = runOp('RNN', [batch, w, r, undefined, lengths], { direction: 'reverse' });
    close(backward, [Math.tanh(0.5 + 0.25 * Math.tanh(1)), h1, Math.tanh(1), 0]);
  });

  it('keeps the initial state of a sequence of length 0', () => {
    const [y, state] = runOp('RNN', [x, w, r, undefined, t('int32', [1], [0]), f64([1, 1, 1], [7])], {}, 2);
    close(y, [0, 0]);
    close(state, [7]);
  });

  it('puts the batch first in layout 1', () => {
    const [y, state] = runOp('RNN', [f64([1, 2, 1], [1, 2]), w, r], { layout: 1 }, 2);
    expect(y?.shape).toEqual([1, 2, 1, 1]);
    expect(state?.shape).toEqual([1, 1, 1]);
    close(y, [h1, h2]);
    // Two sequences: batch 0 is [1, 2], batch 1 is [2, 1].
    const [many] = runOp('RNN', [f64([2, 2, 1], [1, 2, 2, 1]), w, r], { layout: 1 });
    const other = Math.tanh(1);
    close(many, [h1, h2, other, Math.tanh(0.5 + 0.25 * other)]);
  });

  it('bounds the input of the activation by clip', () => {
    const [y] = runOp('RNN', [f64([2, 1, 1], [100, -100]), w, r], { clip: 0.75, activations: ['Affine'] });
    close(y, [0.75, -0.75]);
  });

  it.each([
    ['Relu', undefined, undefined, -2, 0],
    ['Sigmoid', undefined, undefined, -2, sigmoid(-2)],
    ['Affine', 3, 0.5, -2, -5.5],
    ['LeakyRelu', undefined, undefined, -2, -0.02],
    ['LeakyRelu', 0.25, undefined, -2, -0.5],
    ['ThresholdedRelu', undefined, undefined, 0.5, 0],
    ['ThresholdedRelu', 0.25, undefined, 0.5, 0.5],
    ['ScaledTanh', 2, 0.5, 1, 2 * Math.tanh(0.5)],
    ['HardSigmoid', undefined, undefined, 1, 0.7],
    ['HardSigmoid', 0.5, 0.25, -2, 0],
    ['Elu', undefined, undefined, -1, Math.exp(-1) - 1],
    ['Elu', 2, undefined, -1, 2 * (Math.exp(-1) - 1)],
    ['Softsign', undefined, undefined, -1, -0.5],
    ['Softplus', undefined, undefined, 0, Math.log(2)],
    ['Softplus', undefined, undefined, 1000, 1000],
  ] as const)('has the activation %s (alpha %s, beta %s)', (name, alpha, beta, input, output) => {
    const [y] = runOp('RNN', [f64([1, 1, 1], [input]), f64([1, 1, 1], [1]), f64([1, 1, 1], [0])], {
      activations: [name],
      ...(alpha === undefined ? {} : { activation_alpha: [alpha] }),
      ...(beta === undefined ? {} : { activation_beta: [beta] }),
    });
    close(y, [output]);
  });
});

describe('GRU', () => {
  const w = f64([1, 3, 1], [0.5, -0.25, 1]);
  const r = f64([1, 3, 1], [0.75, 0.5, -0.5]);
  const b = f64([1, 6], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]);
  const step = (input: number, h: number, linear: boolean) => {
    const z = sigmoid(0.5 * input + 0.75 * h + 0.1 + 0.4);
    const reset = sigmoid(-0.25 * input + 0.5 * h + 0.2 + 0.5);
    const candidate = Math.tanh(input + 0.3 + (linear ? reset * (-0.5 * h + 0.6) : -0.5 * reset * h + 0.6));
    return (1 - z) * candidate + z * h;
  };

  it.each([0, 1] as const)('follows its equations with linear_before_reset = %s', (linear) => {
    const h1 = step(1, 0.5, linear === 1);
    const h2 = step(2, h1, linear === 1);
    const [y, last] = runOp(
      'GRU',
      [x, w, r, b, undefined, f64([1, 1, 1], [0.5])],
      { hidden_size: 1, linear_before_reset: linear },
      2,
    );
    close(y, [h1, h2]);
    close(last, [h2]);
  });

  it('resets each unit before mixing them', () => {
    // Two hidden units; reset gates σ(0) and σ(ln 3) = 3/4; the candidate of unit 0 sees only unit 1.
    const zeros = (n: number) => new Array<number>(n).fill(0);
    const r2 = f64([1, 6, 2], [...zeros(8), 0, 1, 0, 0]);
    const b2 = f64([1, 12], [-1000, -1000, 0, Math.log(3), ...zeros(8)]);
    const [y] = runOp('GRU', [
      f64([1, 1, 1], [0]),
      f64([1, 6, 1], zeros(6)),
      r2,
      b2,
      undefined,
      f64([1, 1, 2], [5, 0.4]),
    ]);
    close(y, [Math.tanh(0.75 * 0.4), 0]);
  });

  it('gives only Y_h when Y is not wanted', () => {
    const g = graph('last state', (m) => {
      const names = [m.input('x', 'float64', [2, 1, 1]), m.weight('w', w), m.weight('r', r)];
      const [, last = ''] = m.addMany('GRU', names, ['', 'h']);
      m.output('h', last);
    });
    const [, h] = runOp('GRU', [x, w, r], {}, 2);
    expect(evaluate(g, { x })['h']).toEqual(h);
  });
});

describe('LSTM', () => {
  // Gates in the order i, o, f, c; peepholes i, o, f.
  const w = f64([1, 4, 1], [0.5, -0.5, 0.25, 1]);
  const r = f64([1, 4, 1], [0.1, 0.2, 0.3, 0.4]);
  const p = f64([1, 3], [0.7, 0.8, 0.9]);
  const step = (input: number, [h, c]: readonly [number, number], coupled: boolean): [number, number] => {
    const i = sigmoid(0.5 * input + 0.1 * h + 0.7 * c);
    const f = coupled ? 1 - i : sigmoid(0.25 * input + 0.3 * h + 0.9 * c);
    const after = f * c + i * Math.tanh(input + 0.4 * h);
    const o = sigmoid(-0.5 * input + 0.2 * h + 0.8 * after);
    return [o * Math.tanh(after), after];
  };

  it.each([0, 1] as const)('follows its equations with peepholes and input_forget = %s', (coupled) => {
    const first = step(1, [0.5, -1], coupled === 1);
    const second = step(2, first, coupled === 1);
    const initial = [f64([1, 1, 1], [0.5]), f64([1, 1, 1], [-1])];
    const [y, h, c] = runOp('LSTM', [x, w, r, undefined, undefined, ...initial, p], { input_forget: coupled }, 3);
    close(y, [first[0], second[0]]);
    close(h, [second[0]]);
    close(c, [second[1]]);
  });

  it('takes a set of activations for each direction', () => {
    const two = (a: Tensor) => f64([2, ...a.shape.slice(1)], [...values(a), ...values(a)]);
    const attributes = {
      direction: 'bidirectional',
      activations: ['Sigmoid', 'Tanh', 'Tanh', 'HardSigmoid', 'Affine', 'Affine'],
      activation_alpha: [0.2, 2, 3],
      activation_beta: [0.5, 0, 1],
    } as const;
    const [y] = runOp('LSTM', [f64([1, 1, 1], [1]), two(w), two(r)], attributes);
    const i = 0.2 * 0.5 + 0.5;
    const o = 0.2 * -0.5 + 0.5;
    const c = sigmoid(0.5) * Math.tanh(1);
    close(y, [sigmoid(-0.5) * Math.tanh(c), o * (3 * (i * 2) + 1)]);
  });

  it('rounds float16 once, at the end', () => {
    const half = (a: Tensor) => t('float16', a.shape, values(a));
    const [y] = runOp('LSTM', [half(x), half(w), half(r)]);
    expect(y?.dtype).toBe('float16');
    const [exact] = runOp('LSTM', [x, w, f64([1, 4, 1], values(half(r)))]);
    expect(values(y as Tensor)[1]).toBe(values(half(exact as Tensor))[1]);
  });
});

describe('rules', () => {
  const open = (shape: readonly (number | string)[]) => ({ dtype: 'float32', shape }) as const;

  it('keeps names of lengths', () => {
    const types = inferOp(
      'LSTM',
      [open(['T', 'N', 3]), open([2, 16, 3]), open([2, 16, 4])],
      { direction: 'bidirectional' },
      3,
    );
    expect(types.map(({ shape }) => shape)).toEqual([
      ['T', 2, 'N', 4],
      [2, 'N', 4],
      [2, 'N', 4],
    ]);
    const batchFirst = inferOp('GRU', [open(['N', 7, 3]), open([1, 12, 3]), open([1, 12, 4])], { layout: 1 }, 2);
    expect(batchFirst.map(({ shape }) => shape)).toEqual([
      ['N', 7, 1, 4],
      ['N', 1, 4],
    ]);
  });

  it('takes hidden_size from the attribute when R tells nothing', () => {
    const [y] = inferOp(
      'RNN',
      [open([5, 2, 3]), { dtype: 'float32', shape: null }, { dtype: 'float32', shape: null }],
      {
        hidden_size: 6,
      },
    );
    expect(y?.shape).toEqual([5, 1, 2, 6]);
  });

  const good = [open([5, 2, 3]), open([1, 12, 3]), open([1, 12, 4])];
  it.each([
    ['T2: hidden_size that is not R’s', good, { hidden_size: 5 }, /hidden_size/],
    ['T2: W with rows for another hidden size', [good[0], open([1, 15, 3]), good[2]], {}, /3\*hidden_size/],
    ['W of another input size', [good[0], open([1, 12, 4]), good[2]], {}, /input_size/],
    ['one direction of weights for two', good, { direction: 'bidirectional' as const }, /num_directions/],
    ['B of the wrong length', [...good, open([1, 12])], {}, /6\*hidden_size/],
    ['X of rank 2', [open([5, 3]), good[1], good[2]], {}, /X has shape/],
    ['an initial state for another batch', [...good, undefined, undefined, open([1, 3, 4])], {}, /batch_size/],
    ['a third activation', good, { activations: ['Tanh', 'Tanh', 'Tanh'] }, /activations has 3/],
    ['an unknown activation', good, { activations: ['Sigmoid', '__proto__'] }, /unknown/],
    ['ScaledTanh without its parameters', good, { activations: ['ScaledTanh', 'Tanh'] }, /alpha/],
    [
      'more parameters than functions',
      good,
      { activations: ['Elu', 'Tanh'], activation_alpha: [1, 2] },
      /1 values more/,
    ],
    ['a clip of 0', good, { clip: 0 }, /clip/],
    ['a clip that is no number', good, { clip: Number.NaN }, /clip/],
    ['a direction that does not exist', good, { direction: 'sideways' as 'forward' }, /direction/],
  ])('refuses %s', (_, inputs, attributes, message) => {
    expect(inferOp('GRU', good, {})[0]?.shape).toEqual([5, 1, 2, 4]);
    const { code, message: found } = refusal(() => inferOp('GRU', inputs, attributes));
    expect(['GRIM_IR_SHAPE_MISMATCH', 'GRIM_IR_BAD_ATTRIBUTE']).toContain(code);
    expect(found).toMatch(message);
  });

  it.each([[-1], [3]])('G12: a sequence length of %s for two steps is refused', (length) => {
    const inputs = [x, f64([1, 1, 1], [1]), f64([1, 1, 1], [1]), undefined, t('int32', [1], [length])];
    expect(refusal(() => runOp('RNN', inputs)).message).toMatch(/sequence_lens\[0\]/);
  });

  it.each([
    ['RNN', 1, 0],
    ['GRU', 3, 0],
    ['LSTM', 4, 0],
    ['LSTM', 4, 3],
  ] as const)('counts the products of %s', (name, gates, peepholes) => {
    const [i, h, steps, batch, d] = [3, 5, 7, 2, 2];
    const inputs = [open([steps, batch, i]), open([d, gates * h, i]), open([d, gates * h, h])];
    const all = peepholes > 0 ? [...inputs, undefined, undefined, undefined, undefined, open([d, 3 * h])] : inputs;
    const macs = opSpec(name as OpName).macs?.(all, [], {});
    expect(macs).toBe(steps * batch * d * (gates * h * (i + h) + peepholes * h));
  });
});

import { describe, expect, it } from 'vitest';
import { toReals } from '../../src/numeric.ts';
import { opSpec } from '../../src/ops.ts';
import type { Tensor } from '../../src/types.ts';
import { inferOp, refusal, runOp, t } from '../run.ts';

const f64 = (shape: readonly number[], values: readonly number[]) => t('float64', shape, values);
const bool = (shape: readonly number[], values: readonly number[]) => t('bool', shape, values);
const values = (tensor: Tensor | undefined) => Array.from(toReals(tensor as Tensor));
const close = (tensor: Tensor | undefined, expected: readonly number[]) => {
  const found = values(tensor);
  expect(found).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    if (Number.isFinite(value)) expect(found[i]).toBeCloseTo(value, 12);
    else expect(found[i]).toBe(value);
  });
};
const type = (shape: readonly (number | string)[]) => ({ dtype: 'float32', shape }) as const;

describe('Attention', () => {
  // One batch, one head, size 1: scores are products. Two queries, three keys; exp of a score is a small integer.
  const q = f64([1, 1, 2, 1], [1, 2]);
  const k = f64([1, 1, 3, 1], [0, Math.log(2), Math.log(3)]);
  const v = f64([1, 1, 3, 1], [10, 20, 40]);
  // exp of the scores: [1, 2, 3] and [1, 4, 9].
  const full = [(10 + 40 + 120) / 6, (10 + 80 + 360) / 14];

  it('weighs the values by the softmax of the scores', () => {
    const [y, presentKey, presentValue, scores] = runOp('Attention', [q, k, v], {}, 4);
    expect(y?.shape).toEqual([1, 1, 2, 1]);
    close(y, full);
    expect(presentKey?.data).toEqual(k.data);
    expect(presentValue?.data).toEqual(v.data);
    close(scores, [0, Math.log(2), Math.log(3), 0, Math.log(4), Math.log(9)]);
  });

  it('divides by the root of the head size unless a scale is given', () => {
    const q4 = f64([1, 1, 1, 4], [1, 0, 0, 0]);
    const k4 = f64([1, 1, 2, 4], [0, 9, 9, 9, 2 * Math.log(3), 9, 9, 9]);
    const v1 = f64([1, 1, 2, 1], [0, 4]);
    close(runOp('Attention', [q4, k4, v1])[0], [3]);
    close(runOp('Attention', [q4, k4, v1], { scale: 1 })[0], [(4 * 9) / 10]);
  });

  it.each([
    ['a boolean mask that keeps true', bool([2, 3], [1, 0, 1, 0, 1, 1]), [130 / 4, 440 / 13]],
    ['a mask that is added', f64([3], [0, Math.log(2), -Infinity]), [90 / 5, (10 + 160) / 9]],
    ['a mask for fewer keys, the rest masked out', f64([1, 1, 1, 2], [0, 0]), [50 / 3, 90 / 5]],
    ['a boolean mask for fewer keys', bool([2, 1], [1, 1]), [10, 10]],
  ])('takes %s', (_, mask, expected) => {
    close(runOp('Attention', [q, k, v, mask])[0], expected);
  });

  it('gives zero for a query that may see no key', () => {
    const [y, , , probabilities] = runOp(
      'Attention',
      [q, k, v, bool([2, 3], [0, 0, 0, 1, 1, 1])],
      { qk_matmul_output_mode: 3 },
      4,
    );
    close(y, [0, full[1] ?? 0]);
    close(probabilities, [0, 0, 0, 1 / 14, 4 / 14, 9 / 14]);
  });

  it('lets a masked value be infinite', () => {
    const [y] = runOp('Attention', [q, k, f64([1, 1, 3, 1], [10, 20, Infinity]), bool([3], [1, 1, 0])]);
    close(y, [50 / 3, 90 / 5]);
  });

  it('sees only keys up to the query when causal', () => {
    close(runOp('Attention', [q, k, v], { is_causal: 1 })[0], [10, 90 / 5]);
  });

  it('sees a window of keys around the place of the query, past counted, mask and causality kept', () => {
    const seen = (left: number, right: number, more: object = {}) => {
      const attributes = {
        left_window_size: left,
        right_window_size: right,
        qk_matmul_output_mode: 3,
        ...more,
      } as const;
      const keys = f64([1, 1, 4, 1], [0, 0, 0, 0]);
      const queries = f64([1, 1, 4, 1], [0, 0, 0, 0]);
      const weights = values(runOp('Attention', [queries, keys, keys], attributes, 4)[3]).map(Number);
      return Array.from({ length: 4 }, (_, i) =>
        weights
          .slice(4 * i, 4 * i + 4)
          .map((w) => (w > 0 ? 'x' : '.'))
          .join(''),
      );
    };
    expect(seen(-1, -1)).toEqual(['xxxx', 'xxxx', 'xxxx', 'xxxx']);
    expect(seen(1, 0)).toEqual(['x...', 'xx..', '.xx.', '..xx']);
    expect(seen(0, 2)).toEqual(['xxx.', '.xxx', '..xx', '...x']);
    expect(seen(-1, 1)).toEqual(['xx..', 'xxx.', 'xxxx', 'xxxx']);
    expect(seen(1, -1, { is_causal: 1 })).toEqual(['x...', 'xx..', '.xx.', '..xx']);
    const past = [f64([1, 1, 1, 1], [0]), f64([1, 1, 1, 1], [100])];
    // The first query stands at key 1, behind the past: it sees the values 100 and 10.
    const [y] = runOp('Attention', [q, k, v, undefined, ...past], { left_window_size: 1, right_window_size: 0 }, 1);
    close(y, [110 / 2, (10 + 2 ** 2 * 20) / (1 + 2 ** 2)]);
    expect(refusal(() => runOp('Attention', [q, k, v], { left_window_size: -2 })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });

  it('counts the past as before the queries when causal', () => {
    const past = [f64([1, 1, 1, 1], [0]), f64([1, 1, 1, 1], [100])];
    const inputs = [q, k, v, undefined, ...past];
    const [y, presentKey, presentValue] = runOp('Attention', inputs, { is_causal: 1 }, 3);
    expect(presentKey?.shape).toEqual([1, 1, 4, 1]);
    expect(values(presentValue)).toEqual([100, 10, 20, 40]);
    close(y, [110 / 2, (100 + 10 + 80) / 6]);
  });

  it('ends the keys of a cache at nonpad_kv_seqlen, and lines the queries up with that end', () => {
    const two = (a: Tensor) => f64([2, ...a.shape.slice(1)], [...values(a), ...values(a)]);
    const inputs = [two(q), two(k), two(v), undefined, undefined, undefined, t('int64', [2], [3, 2])];
    const [all] = runOp('Attention', inputs);
    close(all, [...full, 50 / 3, 90 / 5]);
    // Of 3 valid keys the queries are the last two; of 2 they are all.
    const [causal] = runOp('Attention', inputs, { is_causal: 1 });
    close(causal, [50 / 3, full[1] ?? 0, 10, 90 / 5]);
  });

  it('caps scores before the mask, so that what is masked stays out', () => {
    const cap = (x: number) => 2 * Math.tanh(x / 2);
    const e = Math.exp(cap(Math.log(2)));
    const attributes = { softcap: 2 } as const;
    const one = f64([1, 1, 1, 1], [1]);
    const mask = bool([3], [1, 1, 0]);
    close(runOp('Attention', [one, k, v, mask], attributes)[0], [(10 + 20 * e) / (1 + e)]);
    const stage = (mode: number) =>
      runOp('Attention', [one, k, v, mask], { ...attributes, qk_matmul_output_mode: mode }, 4)[3];
    close(stage(0), [0, Math.log(2), Math.log(3)]);
    close(stage(1), [0, cap(Math.log(2)), cap(Math.log(3))]);
    close(stage(2), [0, cap(Math.log(2)), -Infinity]);
    close(stage(3), [1 / (1 + e), e / (1 + e), 0]);
  });

  it('shares a head of keys among neighbouring heads of queries', () => {
    // 4 heads of queries, 2 of keys: with one key the output is its value.
    const [y] = runOp('Attention', [
      f64([1, 4, 1, 1], [1, 2, 3, 4]),
      f64([1, 2, 1, 1], [0, 0]),
      f64([1, 2, 1, 1], [5, 6]),
    ]);
    expect(y?.shape).toEqual([1, 4, 1, 1]);
    close(y, [5, 5, 6, 6]);
  });

  it('takes heads side by side in the last axis (3-D)', () => {
    // Two heads of size 1, two steps: head 0 has values 1 and 3, head 1 has 2 and 4.
    const packed = f64([1, 2, 2], [1, 2, 3, 4]);
    const heads = { q_num_heads: 2, kv_num_heads: 2 } as const;
    const mask = bool([2, 2], [1, 0, 0, 1]);
    const [y, presentKey] = runOp('Attention', [packed, packed, packed, mask], heads, 2);
    expect(y?.shape).toEqual([1, 2, 2]);
    close(y, [1, 2, 3, 4]);
    expect(presentKey?.shape).toEqual([1, 2, 2, 1]);
    close(presentKey, [1, 3, 2, 4]);
  });

  it('keeps names of lengths', () => {
    const inputs = [type(['N', 'L', 32]), type(['N', 'S', 16]), type(['N', 'S', 24])];
    const types = inferOp('Attention', inputs, { q_num_heads: 4, kv_num_heads: 2 }, 4);
    expect(types.map(({ shape }) => shape)).toEqual([
      ['N', 'L', 48],
      ['N', 2, 'S', 8],
      ['N', 2, 'S', 12],
      ['N', 4, 'L', 'S'],
    ]);
  });

  it('counts the products of both multiplications', () => {
    const y = type([2, 4, 5, 3]);
    const macs = opSpec('Attention').macs?.([], [y, type([2, 2, 7, 6]), type([2, 2, 7, 3]), type([2, 4, 5, 7])], {});
    expect(macs).toBe(2 * 4 * 5 * 7 * (6 + 3));
  });

  const good = [type([2, 4, 5, 8]), type([2, 2, 6, 8]), type([2, 2, 6, 8])];
  const [goodQ, goodK, goodV] = good;
  it.each([
    ['ranks that differ', [type([2, 5, 32]), goodK, goodV], {}, /one rank/],
    [
      '3-D values without head counts',
      [type([2, 5, 32]), type([2, 6, 32]), type([2, 6, 32])],
      {},
      /q_num_heads is needed/,
    ],
    ['heads that do not divide', [goodQ, type([2, 3, 6, 8]), type([2, 3, 6, 8])], {}, /multiple/],
    ['no heads of keys', [goodQ, type([2, 0, 6, 8]), type([2, 0, 6, 8])], {}, /multiple/],
    [
      'a packed axis that heads do not divide',
      [type([2, 5, 30]), type([2, 6, 16]), type([2, 6, 16])],
      { q_num_heads: 4, kv_num_heads: 2 },
      /not a multiple/,
    ],
    ['keys of another size', [goodQ, type([2, 2, 6, 7]), goodV], {}, /head_size/],
    ['values for other keys', [goodQ, goodK, type([2, 2, 7, 8])], {}, /kv_sequence_length/],
    ['heads other than the attribute', good, { q_num_heads: 3 }, /attribute q_num_heads/],
    ['a mask for more keys', [...good, type([5, 7])], {}, /is for 7 keys/],
    ['a mask that does not broadcast', [...good, type([3, 5, 6])], {}, /broadcast/],
    [
      'a mask that would widen the scores',
      [type([1, 4, 5, 8]), type([1, 2, 6, 8]), type([1, 2, 6, 8]), type([3, 1, 5, 6])],
      {},
      /broadcast/,
    ],
    ['a mask of rank 5', [...good, type([1, 1, 1, 5, 6])], {}, /rank 1 to 4/],
    ['a past without its values', [...good, undefined, type([2, 2, 3, 8])], {}, /come together/],
    ['a negative softcap', good, { softcap: -1 }, /softcap/],
    ['an infinite scale', good, { scale: Infinity }, /scale/],
    ['softmax in integers', good, { softmax_precision: 'int32' as const }, /softmax_precision/],
  ])('refuses %s', (_, inputs, attributes, message) => {
    expect(inferOp('Attention', good)[0]?.shape).toEqual([2, 4, 5, 8]);
    expect(refusal(() => inferOp('Attention', inputs, attributes)).message).toMatch(message);
  });

  it.each([[-1], [4]])('G12: refuses a nonpad_kv_seqlen of %s for 3 keys', (count) => {
    const inputs = [q, k, v, undefined, undefined, undefined, t('int64', [1], [count])];
    expect(refusal(() => runOp('Attention', inputs)).message).toMatch(/nonpad_kv_seqlen\[0\]/);
  });

  it('G13: refuses scores too large to hold before anything is computed', () => {
    const wide = (n: number) => t('float32', [1, 1, n, 0], []);
    expect(refusal(() => runOp('Attention', [wide(2 ** 20), wide(2 ** 20), wide(2 ** 20)])).code).toBe(
      'GRIM_IR_SHAPE_OVERFLOW',
    );
  });
});

describe('RotaryEmbedding', () => {
  // A quarter turn and a half turn: (a, b) becomes (-b, a), and (-a, -b).
  const cos = f64([2, 2], [0, -1, 1, 1]);
  const sin = f64([2, 2], [1, 0, 0, 0]);
  const x = f64([1, 1, 2, 4], [1, 2, 3, 4, 5, 6, 7, 8]);

  it('turns pairs half the head apart, at the position given', () => {
    const [y] = runOp('RotaryEmbedding', [x, cos, sin, t('int64', [1, 2], [0, 1])]);
    close(y, [-3, -2, 1, -4, 5, 6, 7, 8]);
    const [swapped] = runOp('RotaryEmbedding', [x, cos, sin, t('int64', [1, 2], [1, 0])]);
    close(swapped, [1, 2, 3, 4, -7, -6, 5, -8]);
  });

  it('turns neighbours when interleaved', () => {
    const [y] = runOp('RotaryEmbedding', [x, cos, sin, t('int64', [1, 2], [0, 1])], { interleaved: 1 });
    close(y, [-2, 1, -3, -4, 5, 6, 7, 8]);
  });

  it('takes one row for each step of each sequence without position_ids', () => {
    const caches = [f64([1, 2, 2], values(cos)), f64([1, 2, 2], values(sin))];
    close(runOp('RotaryEmbedding', [x, ...caches])[0], [-3, -2, 1, -4, 5, 6, 7, 8]);
  });

  it('turns only the first rotary_embedding_dim elements of a head', () => {
    const caches = [f64([1, 2, 1], [0, -1]), f64([1, 2, 1], [1, 0])];
    close(runOp('RotaryEmbedding', [x, ...caches], { rotary_embedding_dim: 2 })[0], [-2, 1, 3, 4, -5, -6, 7, 8]);
  });

  it('takes heads side by side in the last axis (3-D)', () => {
    // Two heads of 2, one step.
    const caches = [f64([1, 1, 1], [0]), f64([1, 1, 1], [1])];
    const [y] = runOp('RotaryEmbedding', [f64([1, 1, 4], [1, 2, 3, 4]), ...caches], { num_heads: 2 });
    expect(y?.shape).toEqual([1, 1, 4]);
    close(y, [-2, 1, -4, 3]);
  });

  it.each([
    ['a 3-D value without num_heads', [type([1, 2, 4]), type([1, 2, 2]), type([1, 2, 2])], {}, /num_heads is needed/],
    ['a head of odd size', [type([1, 1, 2, 3]), type([1, 2, 1]), type([1, 2, 1])], {}, /even/],
    [
      'more rotated than a head has',
      [type([1, 1, 2, 4]), type([1, 2, 3]), type([1, 2, 3])],
      { rotary_embedding_dim: 6 },
      /a head has 4/,
    ],
    ['caches of another width', [type([1, 1, 2, 4]), type([1, 2, 4]), type([1, 2, 4])], {}, /rotated\/2/],
    ['caches for other steps', [type([1, 1, 2, 4]), type([1, 3, 2]), type([1, 3, 2])], {}, /sequence_length/],
  ])('refuses %s', (_, inputs, attributes, message) => {
    expect(refusal(() => inferOp('RotaryEmbedding', inputs, attributes)).message).toMatch(message);
  });

  it.each([[-1], [2]])('G12: refuses position %s of 2', (position) => {
    const run = () => runOp('RotaryEmbedding', [x, cos, sin, t('int64', [1, 2], [0, position])]);
    expect(refusal(run).message).toMatch(/position_ids\[1\]/);
  });
});

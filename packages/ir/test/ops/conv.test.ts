/** Convolutions: numbers worked out by hand, window arithmetic against enumeration, and what is refused. */
import { describe, expect, it } from 'vitest';
import { opSpec } from '../../src/ops.ts';
import { inferOp, refusal, runOp, t } from '../run.ts';

const f = (shape: number[], values: number[]) => t('float32', shape, values);
const iota = (shape: number[], from = 0) =>
  f(
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i + from),
  );
const numbers = (tensor: { data: ArrayLike<number | bigint> } | undefined) => Array.from(tensor?.data ?? [], Number);
const type = (shape: (number | string)[]) => ({ dtype: 'float32' as const, shape });

/** A small generator with a fixed seed, so that a failing case can be run again. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('Conv', () => {
  it('adds up a 2×2 window by hand', () => {
    // [[0 1 2] [3 4 5] [6 7 8]] with [[1 0] [0 1]]: 0+4, 1+5, 3+7, 4+8.
    const [y] = runOp('Conv', [iota([1, 1, 3, 3]), f([1, 1, 2, 2], [1, 0, 0, 1]), f([1], [10])]);
    expect(y?.shape).toEqual([1, 1, 2, 2]);
    expect(numbers(y)).toEqual([14, 16, 20, 22]);
  });

  it('pads each side by its own amount', () => {
    const [y] = runOp('Conv', [f([1, 1, 3], [1, 2, 3]), f([1, 1, 2], [10, 1])], { pads: [2, 1] });
    // 0 0 1 2 3 0: 0, 1, 12, 23, 30.
    expect(numbers(y)).toEqual([0, 1, 12, 23, 30]);
  });

  it('puts the odd element of SAME padding behind or in front, dilation included', () => {
    const x = f([1, 1, 4], [1, 2, 3, 4]);
    const w = f([1, 1, 2], [1, 10]);
    expect(numbers(runOp('Conv', [x, w], { auto_pad: 'SAME_UPPER' })[0])).toEqual([21, 32, 43, 4]);
    expect(numbers(runOp('Conv', [x, w], { auto_pad: 'SAME_LOWER' })[0])).toEqual([10, 21, 32, 43]);
    // Span 4, total 3: SAME_UPPER puts 1 in front and 2 behind.
    const wide = { auto_pad: 'SAME_UPPER', dilations: [3] } as const;
    expect(numbers(runOp('Conv', [x, w], wide)[0])).toEqual([30, 41, 2, 3]);
    expect(numbers(runOp('Conv', [x, w], { auto_pad: 'VALID', strides: [2] })[0])).toEqual([21, 43]);
  });

  it('keeps groups apart', () => {
    const x = f([1, 2, 2], [1, 2, 3, 4]);
    const [y] = runOp('Conv', [x, f([4, 1, 1], [1, 10, 100, 1000])], { group: 2 });
    expect(numbers(y)).toEqual([1, 2, 10, 20, 300, 400, 3000, 4000]);
  });

  it('gives an empty result for an empty batch and for no filters', () => {
    expect(runOp('Conv', [f([0, 1, 3, 3], []), iota([2, 1, 2, 2])])[0]?.shape).toEqual([0, 2, 2, 2]);
    expect(runOp('Conv', [iota([1, 1, 3, 3]), f([0, 1, 2, 2], [])])[0]?.shape).toEqual([1, 0, 2, 2]);
    expect(numbers(runOp('Conv', [f([1, 0, 3], []), f([1, 0, 2], []), f([1], [5])])[0])).toEqual([5, 5]);
  });

  it('multiplies padding-free zero weights with infinity as IEEE does', () => {
    expect(numbers(runOp('Conv', [f([1, 1, 2], [Infinity, 1]), f([1, 1, 1], [0])])[0])).toEqual([Number.NaN, 0]);
  });

  it('agrees with the sum written out, for seeded 1-D, 2-D and 3-D windows', () => {
    const next = random(7);
    for (let round = 0; round < 300; round++) {
      const axes = 1 + next(3);
      const per = (least: number, most: number) => Array.from({ length: axes }, () => least + next(most - least + 1));
      const [kernel, strides, dilations, before, after] = [per(1, 3), per(1, 3), per(1, 2), per(0, 2), per(0, 2)];
      const input = per(5, 7);
      const group = 1 + next(2);
      const [inputs, outputs, batch] = [1 + next(2), 1 + next(2), 1 + next(2)];
      const value = () => next(9) - 4;
      const fill = (shape: number[]) => f(shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value));
      const x = fill([batch, inputs * group, ...input]);
      const w = fill([outputs * group, inputs, ...kernel]);
      const bias = fill([outputs * group]);
      const [y] = runOp('Conv', [x, w, bias], { strides, dilations, group, pads: [...before, ...after] });
      const read = (tensor: typeof x, index: number[]) => {
        let at = 0;
        for (let d = 0; d < index.length; d++) {
          const [i = 0, length = 0] = [index[d], tensor.shape[d]];
          if (i < 0 || i >= length) return 0;
          at = at * length + i;
        }
        return Number(tensor.data[at]);
      };
      const walk = (shape: readonly number[], visit: (index: number[]) => void, index: number[] = []) => {
        if (index.length === shape.length) return visit(index);
        for (let i = 0; i < (shape[index.length] ?? 0); i++) walk(shape, visit, [...index, i]);
      };
      const expected: number[] = [];
      walk(y?.shape ?? [], ([n = 0, m = 0, ...o]) => {
        let sum = read(bias, [m]);
        walk([inputs, ...kernel], ([c = 0, ...k]) => {
          const at = o.map((p, d) => p * (strides[d] ?? 1) + (k[d] ?? 0) * (dilations[d] ?? 1) - (before[d] ?? 0));
          sum += read(w, [m, c, ...k]) * read(x, [n, Math.floor(m / outputs) * inputs + c, ...at]);
        });
        expected.push(sum);
      });
      expect(numbers(y), `round ${round}`).toEqual(expected);
    }
  });

  it('G10: the number of windows is what enumeration finds, over a grid of kernel, stride, dilation, pads and length', () => {
    let cases = 0;
    let refused = 0;
    for (const kernel of [1, 2, 3, 5])
      for (const stride of [1, 2, 3, 7])
        for (const dilation of [1, 2, 3])
          for (const before of [0, 1, 2, 6])
            for (const after of [0, 1, 3])
              for (let length = 1; length <= 11; length++) {
                cases++;
                // Windows laid out one by one until the next would pass the padded end.
                const span = kernel + (kernel - 1) * (dilation - 1);
                let windows = 0;
                for (let start = -before; start + span <= length + after; start += stride) windows++;
                const infer = () =>
                  inferOp('Conv', [type([1, 1, length]), type([1, 1, kernel])], {
                    strides: [stride],
                    dilations: [dilation],
                    pads: [before, after],
                  });
                const label = JSON.stringify({ kernel, stride, dilation, before, after, length });
                if (windows > 0) expect(infer()[0]?.shape, label).toEqual([1, 1, windows]);
                else {
                  refused++;
                  expect(refusal(infer).code, label).toBe('GRIM_IR_SHAPE_MISMATCH');
                }
              }
    expect(cases).toBe(6336);
    expect(refused).toBeGreaterThan(500);
  });

  it('G10: zero, negative and huge window parameters are refused, each beside a good one', () => {
    const infer = (attributes: object, w = [4, 2, 3, 3], x = [1, 4, 8, 8]) =>
      inferOp('Conv', [type(x), type(w)], { group: 2, ...attributes });
    expect(infer({})[0]?.shape).toEqual([1, 4, 6, 6]);
    for (const bad of [
      { strides: [0, 1] },
      { strides: [1, -1] },
      { strides: [1] },
      { strides: [1, 2 ** 31] },
      { dilations: [0, 1] },
      { dilations: [1, 1, 1] },
      { pads: [-1, 0, 0, 0] },
      { pads: [0, 0] },
      { pads: [2 ** 31, 0, 0, 0] },
      { group: 0 },
      { kernel_shape: [3] },
      { kernel_shape: [0, 3] },
      { auto_pad: 'SAME' },
      { auto_pad: 'SAME_UPPER', pads: [1, 1, 1, 1] },
    ])
      expect(refusal(() => infer(bad)).code, JSON.stringify(bad)).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(infer({ auto_pad: 'SAME_UPPER', pads: [0, 0, 0, 0] })[0]?.shape).toEqual([1, 4, 8, 8]);
    for (const [w, x] of [
      [
        [3, 2, 3, 3],
        [1, 4, 8, 8],
      ],
      [
        [4, 3, 3, 3],
        [1, 4, 8, 8],
      ],
      [
        [4, 2, 9, 3],
        [1, 4, 8, 8],
      ],
      [
        [4, 2, 0, 3],
        [1, 4, 8, 8],
      ],
      [
        [4, 2, 3],
        [1, 4, 8, 8],
      ],
      [
        [4, 2],
        [1, 4],
      ],
    ] as const)
      expect(refusal(() => infer({}, [...w], [...x])).code, JSON.stringify([w, x])).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => infer({}, [4, 2, 9, 3])).message).toContain('length 8 + pads 0 + 0 is less than the window');
    expect(refusal(() => inferOp('Conv', [type([1, 1, 8]), type([2, 1, 3]), type([3])])).code).toBe(
      'GRIM_IR_SHAPE_MISMATCH',
    );
  });

  it('T2: a kernel_shape that disagrees with the weight is refused', () => {
    const infer = (kernel_shape: number[]) =>
      inferOp('Conv', [type([1, 1, 8, 8]), type([1, 1, 3, 3])], { kernel_shape });
    expect(infer([3, 3])[0]?.shape).toEqual([1, 1, 6, 6]);
    expect(refusal(() => infer([3, 5])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
  });

  it('G13: an output past the limits is refused before anything is allocated', () => {
    const pads = new Array(6).fill(2 ** 31 - 1);
    const { code } = refusal(() => runOp('Conv', [iota([1, 1, 2, 2, 2]), iota([1, 1, 1, 1, 1])], { pads }));
    expect(code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });

  it('says what it can of lengths that are names', () => {
    const [y] = inferOp('Conv', [type(['N', 3, 'H', 9]), type([8, 3, 3, 3])], { pads: [1, 1, 1, 1] });
    expect(y?.shape).toEqual(['N', 8, 'H', 9]);
    const [strided] = inferOp('Conv', [type(['N', 3, 'H', 9]), type([8, 3, 3, 3])], { strides: [2, 2] });
    expect(strided?.shape?.[2]).not.toBe('H');
    expect(strided?.shape?.[3]).toBe(4);
  });

  it('counts a multiply-accumulate for every tap of every window', () => {
    const macs = opSpec('Conv').macs?.([type([1, 4, 8, 8]), type([6, 2, 3, 3])], [type([1, 6, 6, 6])], {});
    expect(macs).toBe(6 * 6 * 6 * 2 * 9);
  });
});

describe('ConvTranspose', () => {
  it('spreads each element over its window', () => {
    const [y] = runOp('ConvTranspose', [f([1, 1, 2], [1, 10]), f([1, 1, 3], [1, 2, 3])], { strides: [2] });
    // 1 2 3 . . + . . 10 20 30
    expect(numbers(y)).toEqual([1, 2, 13, 20, 30]);
  });

  it('cuts pads off and adds output_padding behind', () => {
    const inputs = [f([1, 1, 2], [1, 10]), f([1, 1, 3], [1, 2, 3]), f([1], [100])];
    const cut = runOp('ConvTranspose', inputs, { strides: [2], pads: [1, 1] });
    expect(numbers(cut[0])).toEqual([102, 113, 120]);
    const longer = runOp('ConvTranspose', inputs, { strides: [2], output_padding: [1] });
    expect(numbers(longer[0])).toEqual([101, 102, 113, 120, 130, 100]);
  });

  it('takes the padding from output_shape, the odd one in front unless SAME_UPPER', () => {
    const inputs = [f([1, 1, 2], [1, 10]), f([1, 1, 3], [1, 2, 3])];
    const of = (attributes: object) => numbers(runOp('ConvTranspose', inputs, { strides: [2], ...attributes })[0]);
    expect(of({ output_shape: [4] })).toEqual([2, 13, 20, 30]);
    expect(of({ output_shape: [4], auto_pad: 'SAME_UPPER' })).toEqual([1, 2, 13, 20]);
    expect(of({ auto_pad: 'SAME_UPPER' })).toEqual([1, 2, 13, 20]);
    expect(of({ auto_pad: 'SAME_LOWER' })).toEqual([2, 13, 20, 30]);
    // Longer than the windows reach: the tail stays empty.
    expect(of({ output_shape: [7] })).toEqual([1, 2, 13, 20, 30, 0, 0]);
  });

  it('keeps groups apart', () => {
    const [y] = runOp('ConvTranspose', [f([1, 2, 1], [1, 2]), f([2, 2, 1], [1, 10, 100, 1000])], { group: 2 });
    expect(y?.shape).toEqual([1, 4, 1]);
    expect(numbers(y)).toEqual([1, 10, 200, 2000]);
  });

  it('is the adjoint of Conv: ⟨conv(x), y⟩ = ⟨x, convT(y)⟩ for seeded parameters', () => {
    const next = random(3);
    for (let round = 0; round < 100; round++) {
      const [stride, dilation, before, after, group] = [1 + next(3), 1 + next(2), next(2), next(2), 1 + next(2)];
      const attributes = { group, strides: [stride, 1], dilations: [dilation, 1], pads: [before, 0, after, 1] };
      const fill = (shape: number[]) =>
        f(
          shape,
          Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => next(9) - 4),
        );
      const x = fill([2, 2 * group, 7, 4]);
      const w = fill([3 * group, 2, 2, 2]);
      const [forward] = runOp('Conv', [x, w], attributes);
      const y = fill([...(forward?.shape ?? [])]);
      // What the last window leaves over behind it, the transpose has to be told.
      const rest = (7 + before + after - (dilation + 1)) % stride;
      const [back] = runOp('ConvTranspose', [y, w], { ...attributes, output_padding: [rest, 0] });
      const dot = (a: number[], b: number[]) => a.reduce((sum, v, i) => sum + v * (b[i] ?? 0), 0);
      expect(back?.shape, `round ${round}`).toEqual(x.shape);
      expect(dot(numbers(forward), numbers(y)), `round ${round}`).toBe(dot(numbers(x), numbers(back)));
    }
  });

  it('G10: what leaves no output, or an output_padding past the stride, is refused', () => {
    const infer = (attributes: object, w = [2, 1, 3], x = [1, 2, 4]) =>
      inferOp('ConvTranspose', [type(x), type(w)], attributes);
    expect(infer({})[0]?.shape).toEqual([1, 1, 6]);
    expect(refusal(() => infer({ pads: [3, 3] })).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => infer({ output_padding: [1] })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(infer({ output_padding: [1], strides: [2] })[0]?.shape).toEqual([1, 1, 10]);
    expect(refusal(() => infer({ output_shape: [0] })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(refusal(() => infer({ output_shape: [1, 1, 6] })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(refusal(() => infer({ group: 2 }, [3, 1, 3])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => infer({}, [3, 1, 3])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('integer convolutions', () => {
  it('pads ConvInteger with the zero point', () => {
    const x = t('uint8', [1, 1, 3], [2, 3, 4]);
    const w = t('int8', [1, 1, 2], [1, -1]);
    const [y] = runOp('ConvInteger', [x, w, t('uint8', [], [1])], { pads: [1, 1] });
    // 0 1 2 3 0 → differences of neighbours.
    expect(y?.dtype).toBe('int32');
    expect(numbers(y)).toEqual([-1, -1, -1, 3]);
  });

  it('takes a zero point for each filter', () => {
    const w = t('uint8', [2, 1, 1], [5, 5]);
    const [y] = runOp('ConvInteger', [t('uint8', [1, 1, 1], [2]), w, undefined, t('uint8', [2], [4, 6])]);
    expect(numbers(y)).toEqual([2, -2]);
  });

  it('rounds QLinearConv to even before the zero point, and saturates', () => {
    const run = (x: number[], wScale = [0.5]) => {
      const w = t('int8', [wScale.length, 1, 1], new Array(wScale.length).fill(1));
      const scales = t('float32', wScale.length > 1 ? [wScale.length] : [], wScale);
      const zero = (dtype: 'uint8' | 'int8', value: number) => t(dtype, [], [value]);
      const one = t('float32', [], [1]);
      const inputs = [
        t('uint8', [1, 1, x.length], x),
        one,
        zero('uint8', 0),
        w,
        scales,
        zero('int8', 0),
        one,
        zero('uint8', 3),
      ];
      return numbers(runOp('QLinearConv', inputs)[0]);
    };
    // 0.5 → 0, 1.5 → 2, 2.5 → 2, then + 3.
    expect(run([1, 3, 5, 255])).toEqual([3, 5, 5, 131]);
    expect(run([100], [1, 4])).toEqual([103, 255]);
  });

  it('G17: a scale that is NaN, infinite or negative, or one too few, is refused', () => {
    const run = (wScale: number[]) => {
      const one = t('float32', [], [1]);
      const zero = t('uint8', [], [0]);
      const w = t('uint8', [3, 1, 1], [1, 1, 1]);
      return runOp('QLinearConv', [
        t('uint8', [1, 1, 1], [1]),
        one,
        zero,
        w,
        t('float32', [wScale.length], wScale),
        zero,
        one,
        zero,
      ]);
    };
    expect(numbers(run([1, 2, 3])[0])).toEqual([1, 2, 3]);
    expect(numbers(run([0])[0])).toEqual([0, 0, 0]);
    for (const bad of [Number.NaN, Infinity, -1])
      expect(refusal(() => run([1, bad, 1])).code).toBe('GRIM_IR_BAD_VALUE');
    expect(refusal(() => run([1, 1])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

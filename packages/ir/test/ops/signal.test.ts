import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toReals } from '../../src/numeric.ts';
import type { Tensor } from '../../src/types.ts';
import { inferOp, refusal, runOp, t } from '../run.ts';

const f64 = (shape: readonly number[], values: readonly number[]) => t('float64', shape, values);
const scalar = (value: number) => t('int64', [], [value]);
const values = (tensor: Tensor | undefined) => Array.from(toReals(tensor as Tensor));
const close = (tensor: Tensor | undefined, expected: readonly number[]) => {
  const found = values(tensor);
  expect(found).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    expect(found[i]).toBeCloseTo(value, 10);
  });
};
const type = (shape: readonly (number | string)[]) => ({ dtype: 'float32', shape }) as const;

describe('DFT', () => {
  it('transforms a real signal', () => {
    const [y] = runOp('DFT', [f64([4, 1], [1, 2, 3, 4])]);
    expect(y?.shape).toEqual([4, 2]);
    close(y, [10, 0, -2, 2, -2, 0, -2, -2]);
  });

  it('keeps the unique half when onesided, and takes it back', () => {
    const [half] = runOp('DFT', [f64([4, 1], [1, 2, 3, 4])], { onesided: 1 });
    expect(half?.shape).toEqual([3, 2]);
    close(half, [10, 0, -2, 2, -2, 0]);
    const [back] = runOp('DFT', [half], { onesided: 1, inverse: 1 });
    expect(back?.shape).toEqual([4, 1]);
    close(back, [1, 2, 3, 4]);
    const [odd] = runOp('DFT', [f64([3, 1], [1, 2, 4])], { onesided: 1 });
    close(runOp('DFT', [odd, scalar(3)], { onesided: 1, inverse: 1 })[0], [1, 2, 4]);
  });

  it('pads with zeros and cuts to dft_length', () => {
    close(runOp('DFT', [f64([2, 1], [1, 2]), scalar(4)])[0], [3, 0, 1, -2, -1, 0, 1, 2]);
    close(runOp('DFT', [f64([3, 1], [1, 2, 9]), scalar(2)])[0], [3, 0, -1, 0]);
  });

  it.each([
    [0, [3, 0, 5, 0, -1, 0, -1, 0]],
    [1, [3, 0, -1, 0, 5, 0, -1, 0]],
    [-3, [3, 0, 5, 0, -1, 0, -1, 0]],
    [-2, [3, 0, -1, 0, 5, 0, -1, 0]],
  ] as const)('runs along axis %s', (axis, expected) => {
    // Two points become their sum and their difference.
    const [y] = runOp('DFT', [f64([2, 2, 1], [1, 2, 2, 3]), undefined, scalar(axis)]);
    expect(y?.shape).toEqual([2, 2, 2]);
    close(y, expected);
  });

  it('agrees with the definition, and its inverse undoes it, for every small number of points', () => {
    const number = fc.integer({ min: -8, max: 8 });
    const signals = fc
      .integer({ min: 1, max: 24 })
      .chain((n) => fc.array(number, { minLength: 2 * n, maxLength: 2 * n }));
    fc.assert(
      fc.property(signals, (x) => {
        const n = x.length / 2;
        const [y] = runOp('DFT', [f64([n, 2], x)]);
        const expected: number[] = [];
        for (let k = 0; k < n; k++) {
          let [re, im] = [0, 0];
          for (let j = 0; j < n; j++) {
            const angle = (-2 * Math.PI * k * j) / n;
            const [a, b] = [x[2 * j] ?? 0, x[2 * j + 1] ?? 0];
            re += a * Math.cos(angle) - b * Math.sin(angle);
            im += a * Math.sin(angle) + b * Math.cos(angle);
          }
          expected.push(re, im);
        }
        close(y, expected);
        close(runOp('DFT', [y], { inverse: 1 })[0], x);
      }),
      { seed: 20, numRuns: 60 },
    );
  });

  it('says what it can of open lengths', () => {
    expect(inferOp('DFT', [type(['N', 'T', 1])])[0]?.shape).toEqual(['N', 'T', 2]);
    const [half] = inferOp('DFT', [type(['N', 'T', 1])], { onesided: 1 });
    expect(half?.shape?.[0]).toBe('N');
    expect(half?.shape?.[1]).toMatch(/^\?/);
    expect(inferOp('DFT', [type([2, 'T', 1]), scalar(16)], { onesided: 1 })[0]?.shape).toEqual([2, 9, 2]);
    const [open] = inferOp('DFT', [type([2, 8, 1]), undefined, { dtype: 'int64', shape: [] }]);
    expect(open?.shape).toEqual([2, 8, 2]);
  });

  const x = f64([2, 4, 1], new Array(8).fill(0));
  it.each([
    ['G9: axis -1, the components', [x, undefined, scalar(-1)], {}, /axis is -1/],
    ['G9: axis rank - 1, the components', [x, undefined, scalar(2)], {}, /axis is 2/],
    ['G9: axis -rank - 1', [x, undefined, scalar(-4)], {}, /axis is -4/],
    ['G9: axis 2^31', [x, undefined, scalar(2 ** 31)], {}, /axis is 2147483648/],
    ['a transform of no points', [x, scalar(0)], {}, /dft_length is 0/],
    ['a negative dft_length', [x, scalar(-4)], {}, /dft_length is -4/],
    ['a dft_length of two numbers', [x, t('int64', [2], [1, 2])], {}, /scalar/],
    ['an empty signal', [f64([2, 0, 1], [])], {}, /0 points/],
    ['three components', [f64([2, 3], new Array(6).fill(0))], {}, /last axis/],
    [
      'a complex signal of which half is asked',
      [f64([4, 2], new Array(8).fill(0))],
      { onesided: 1 as const },
      /last axis/,
    ],
    ['half a spectrum without imaginary parts', [x], { onesided: 1 as const, inverse: 1 as const }, /last axis/],
    [
      'a onesided spectrum of one bin',
      [f64([1, 2], [1, 0])],
      { onesided: 1 as const, inverse: 1 as const },
      /0 points/,
    ],
    ['a signal without a component axis', [f64([4], [1, 2, 3, 4])], {}, /signal axis/],
  ])('refuses %s', (_, inputs, attributes, message) => {
    expect(refusal(() => runOp('DFT', inputs, attributes)).message).toMatch(message);
  });

  it('G13: refuses 2^40 points before making room for them', () => {
    expect(refusal(() => runOp('DFT', [x, scalar(2 ** 40)])).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });
});

describe('STFT', () => {
  it('transforms one frame after the other', () => {
    const [y] = runOp('STFT', [f64([1, 6, 1], [1, 2, 3, 4, 5, 6]), scalar(2), undefined, scalar(4)]);
    expect(y?.shape).toEqual([1, 2, 3, 2]);
    close(y, [10, 0, -2, 2, -2, 0, 18, 0, -2, 2, -2, 0]);
  });

  it('weighs each frame by the window, and gives both halves when asked', () => {
    const inputs = [f64([1, 4, 1], [1, 2, 3, 4]), scalar(1), f64([2], [1, 0.5])];
    const [y] = runOp('STFT', inputs, { onesided: 0 });
    expect(y?.shape).toEqual([1, 3, 2, 2]);
    close(y, [2, 0, 0, 0, 3.5, 0, 0.5, 0, 5, 0, 1, 0]);
  });

  it('takes a complex signal', () => {
    // i times the real signal of two samples.
    const [y] = runOp('STFT', [f64([1, 2, 2], [0, 1, 0, 2]), scalar(1), undefined, scalar(2)], { onesided: 0 });
    close(y, [0, 3, 0, -1]);
  });

  const signal = f64([1, 8, 1], new Array(8).fill(1));
  it.each([
    ['neither window nor frame_length', [signal, scalar(2)], /one is needed/],
    ['a step of 0', [signal, scalar(0), undefined, scalar(4)], /frame_step is 0/],
    ['a frame of 0', [signal, scalar(1), undefined, scalar(0)], /frame_length is 0/],
    ['an empty window', [signal, scalar(1), f64([0], [])], /window is empty/],
    ['a window of another length', [signal, scalar(1), f64([3], [1, 1, 1]), scalar(4)], /Both must be the same/],
    ['a frame longer than the signal', [signal, scalar(1), undefined, scalar(9)], /at least one frame/],
    [
      'half the spectrum of a complex signal',
      [f64([1, 4, 2], new Array(8).fill(1)), scalar(1), undefined, scalar(4)],
      /last axis/,
    ],
    ['a signal of rank 2', [f64([8, 1], new Array(8).fill(1)), scalar(1), undefined, scalar(4)], /\[batch, length/],
  ])('refuses %s', (_, inputs, message) => {
    expect(refusal(() => runOp('STFT', inputs)).message).toMatch(message);
  });
});

describe('windows', () => {
  it.each([
    ['HannWindow', 1, [0, 0.5, 1, 0.5]],
    ['HannWindow', 0, [0, 0.75, 0.75, 0]],
    ['HammingWindow', 1, [4 / 46, 25 / 46, 1, 25 / 46]],
    ['HammingWindow', 0, [4 / 46, 35.5 / 46, 35.5 / 46, 4 / 46]],
    ['BlackmanWindow', 1, [0, 0.34, 1, 0.34]],
    ['BlackmanWindow', 0, [0, 0.63, 0.63, 0]],
  ] as const)('%s of 4 with periodic = %s', (name, periodic, expected) => {
    const [y] = runOp(name, [scalar(4)], { periodic, output_datatype: 'float64' });
    expect(y?.dtype).toBe('float64');
    close(y, expected);
  });

  it('is 1 when it has one element and is symmetric, where the formula divides 0 by 0', () => {
    for (const name of ['HannWindow', 'HammingWindow', 'BlackmanWindow'] as const)
      expect(values(runOp(name, [scalar(1)], { periodic: 0 })[0])).toEqual([1]);
  });

  it('is float32 by default, and open in length until it runs', () => {
    expect(inferOp('HannWindow', [{ dtype: 'int32', shape: [] }])[0]).toMatchObject({ dtype: 'float32' });
    expect(inferOp('HannWindow', [scalar(5)])[0]).toEqual({ dtype: 'float32', shape: [5] });
  });

  it.each([[0], [-1]])('G13: a size of %s is refused', (size) => {
    expect(refusal(() => runOp('HannWindow', [scalar(size)])).message).toMatch(/at least 1/);
  });

  it('G13: a size of 1e12 is refused before anything is allocated', () => {
    expect(refusal(() => runOp('BlackmanWindow', [scalar(1e12)])).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });

  it('refuses to be boolean', () => {
    expect(refusal(() => runOp('HannWindow', [scalar(4)], { output_datatype: 'bool' })).code).toBe(
      'GRIM_IR_BAD_ATTRIBUTE',
    );
  });
});

describe('MelWeightMatrix', () => {
  const hertz = (value: number) => t('float32', [], [value]);

  it('is made of triangles between bins', () => {
    // One filter from 0 to 4000 Hz of 8000 Hz in 16 points: corners at a third and two thirds of mel(4000), which are
    // 637 Hz and 1854 Hz, so bins 0, floor(17 · 637 / 8000) = 1 and floor(17 · 1854 / 8000) = 3.
    const [y] = runOp('MelWeightMatrix', [scalar(1), scalar(16), scalar(8000), hertz(0), hertz(4000)]);
    expect(y?.shape).toEqual([9, 1]);
    expect(values(y)).toEqual([0, 1, 0.5, 0, 0, 0, 0, 0, 0]);
  });

  it('gives a filter narrower than a bin that bin', () => {
    const [y] = runOp('MelWeightMatrix', [scalar(2), scalar(4), scalar(8000), hertz(0), hertz(100)]);
    expect(values(y)).toEqual([1, 1, 0, 0, 0, 0]);
  });

  it.each([
    ['no filter', [0, 16, 8000, 0, 4000], /num_mel_bins/],
    ['no points', [1, 0, 8000, 0, 4000], /dft_length/],
    ['a sample rate of 0', [1, 16, 0, 0, 4000], /sample_rate/],
    ['a negative edge', [1, 16, 8000, -1, 4000], /lower_edge/],
    ['edges in the wrong order', [1, 16, 8000, 4000, 4000], /upper_edge/],
    ['an edge that is no number', [1, 16, 8000, 0, Number.NaN], /upper_edge/],
    ['an edge past half the sample rate', [1, 16, 8000, 0, 4001], /frequencies up to 4000/],
  ] as const)('refuses %s', (_, [bins, points, rate, low, high], message) => {
    const run = () => runOp('MelWeightMatrix', [scalar(bins), scalar(points), scalar(rate), hertz(low), hertz(high)]);
    expect(refusal(run).message).toMatch(message);
  });
});

/** Operators that read, write and choose by index: results by hand, and every index out of range. */
import { describe, expect, it } from 'vitest';
import { inferOp, refusal, runOp, t } from '../run.ts';

const ints = (...values: (number | bigint)[]) => t('int64', [values.length], values);
const list = (value: { data: ArrayLike<unknown> } | undefined) => Array.from(value?.data ?? [], Number);
const iota = (...shape: number[]) => {
  const size = shape.reduce((a, b) => a * b, 1);
  return t(
    'float32',
    shape,
    Array.from({ length: size }, (_, i) => i),
  );
};
const code = (run: () => unknown) => refusal(run).code;

describe('gathers', () => {
  it('read slices, elements and tuples, negative indices from the end', () => {
    expect(list(runOp('Gather', [iota(3, 2), ints(2, -3)])[0])).toEqual([4, 5, 0, 1]);
    expect(runOp('Gather', [iota(3, 2), t('int32', [], [1])], { axis: 1 })[0]).toEqual(t('float32', [3], [1, 3, 5]));
    expect(runOp('Gather', [iota(2, 3), t('int64', [2, 0], [])])[0]?.shape).toEqual([2, 0, 3]);
    expect(list(runOp('GatherElements', [iota(2, 2), t('int64', [2, 1], [-1, 0])], { axis: 1 })[0])).toEqual([1, 2]);
    expect(list(runOp('GatherND', [iota(2, 2), t('int64', [2, 2], [0, 0, 1, -1])])[0])).toEqual([0, 3]);
    expect(list(runOp('GatherND', [iota(2, 2, 2), t('int64', [2, 1], [1, 0])], { batch_dims: 1 })[0])).toEqual([
      2, 3, 4, 5,
    ]);
  });

  it('G12: indices out of range are refused, as weights and at run time', () => {
    for (const index of [3, -4, 2n ** 63n - 1n]) {
      expect(code(() => runOp('Gather', [iota(3), ints(index)]))).toBe('GRIM_IR_BAD_VALUE');
      expect(code(() => inferOp('Gather', [{ dtype: 'float32', shape: [3] }, ints(index)]))).toBe('GRIM_IR_BAD_VALUE');
      expect(code(() => runOp('GatherElements', [iota(3), ints(index)]))).toBe('GRIM_IR_BAD_VALUE');
      expect(code(() => runOp('GatherND', [iota(3), t('int64', [1, 1], [index])]))).toBe('GRIM_IR_BAD_VALUE');
      expect(code(() => runOp('ScatterElements', [iota(3), ints(index), iota(1)]))).toBe('GRIM_IR_BAD_VALUE');
      expect(code(() => runOp('ScatterND', [iota(3), t('int64', [1, 1], [index]), iota(1)]))).toBe('GRIM_IR_BAD_VALUE');
    }
    expect(code(() => runOp('Gather', [iota(0), ints(0)]))).toBe('GRIM_IR_BAD_VALUE');
    expect(code(() => runOp('Gather', [t('float32', [], [1]), ints(0)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });

  it('G9: axes, batches and ranks that do not fit are refused', () => {
    for (const axis of [1, -2]) {
      expect(code(() => runOp('Gather', [iota(3), ints(0)], { axis }))).toBe('GRIM_IR_SHAPE_MISMATCH');
      expect(code(() => runOp('GatherElements', [iota(3), ints(0)], { axis }))).toBe('GRIM_IR_SHAPE_MISMATCH');
      expect(code(() => runOp('ScatterElements', [iota(3), ints(0), iota(1)], { axis }))).toBe(
        'GRIM_IR_SHAPE_MISMATCH',
      );
      expect(code(() => runOp('Compress', [iota(3), t('bool', [1], [1])], { axis }))).toBe('GRIM_IR_SHAPE_MISMATCH');
      expect(code(() => runOp('Unique', [iota(3)], { axis }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    }
    expect(code(() => runOp('OneHot', [iota(1), ints(2), iota(2)], { axis: 2 }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('GatherND', [iota(2), ints(0)], { batch_dims: 1 }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('GatherND', [iota(2), t('int64', [1, 2], [0, 0])]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(code(() => runOp('GatherElements', [iota(1, 2), t('int64', [2, 1], [0, 0])], { axis: 1 }))).toBe(
      'GRIM_IR_SHAPE_MISMATCH',
    );
    expect(code(() => runOp('ScatterND', [iota(2, 2), t('int64', [1, 1], [0]), iota(1, 1)]))).toBe(
      'GRIM_IR_SHAPE_MISMATCH',
    );
  });
});

describe('scatters', () => {
  it('write elements and slices', () => {
    expect(
      list(runOp('ScatterElements', [iota(2, 2), t('int64', [1, 2], [1, -2]), t('float32', [1, 2], [8, 9])])[0]),
    ).toEqual([0, 9, 8, 3]);
    expect(list(runOp('ScatterND', [iota(2, 2), t('int64', [1, 1], [-1]), t('float32', [1, 2], [8, 9])])[0])).toEqual([
      0, 1, 8, 9,
    ]);
  });

  it('reduce into the element, also where two updates meet', () => {
    const indices = ints(0, 0, 1);
    const updates = t('float32', [3], [5, -1, 4]);
    const data = t('float32', [3], [2, 2, 7]);
    const reduced = (['add', 'mul', 'max', 'min'] as const).map((reduction) =>
      list(runOp('ScatterElements', [data, indices, updates], { reduction })[0]),
    );
    expect(reduced).toEqual([
      [6, 6, 7],
      [-10, 8, 7],
      [5, 4, 7],
      [-1, 2, 7],
    ]);
    const nd = runOp('ScatterND', [data, t('int64', [3, 1], [0, 0, 1]), updates], { reduction: 'add' })[0];
    expect(list(nd)).toEqual([6, 6, 7]);
  });

  it('wrap integers and stay exact for 64 bits', () => {
    const at = ints(0);
    expect(
      list(runOp('ScatterElements', [t('uint8', [1], [250]), at, t('uint8', [1], [10])], { reduction: 'add' })[0]),
    ).toEqual([4]);
    const odd = 2n ** 31n - 1n;
    const product = runOp('ScatterElements', [t('int32', [1], [odd]), at, t('int32', [1], [odd])], {
      reduction: 'mul',
    })[0];
    expect(list(product)).toEqual([1]);
    const big = runOp('ScatterElements', [ints(2n ** 62n), at, ints(2n ** 62n + 1n)], { reduction: 'add' })[0];
    expect(big?.data[0]).toBe(-(2n ** 63n) + 1n);
    const bits = t('uint64', [1], [2n ** 64n - 1n]);
    expect(runOp('ScatterElements', [bits, at, t('uint64', [1], [1])], { reduction: 'max' })[0]?.data[0]).toBe(
      2n ** 64n - 1n,
    );
  });

  it('TensorScatter writes each batch at its own place, around the end when circular', () => {
    const cache = t('float32', [2, 4, 1], [0, 0, 0, 0, 0, 0, 0, 0]);
    const update = t('float32', [2, 2, 1], [1, 2, 3, 4]);
    expect(list(runOp('TensorScatter', [cache, update, ints(1, 2)])[0])).toEqual([0, 1, 2, 0, 0, 0, 3, 4]);
    expect(list(runOp('TensorScatter', [cache, update, ints(3, 0)], { mode: 'circular' })[0])).toEqual([
      2, 0, 0, 1, 3, 4, 0, 0,
    ]);
    expect(list(runOp('TensorScatter', [cache, update])[0])).toEqual([1, 2, 0, 0, 3, 4, 0, 0]);
    expect(code(() => runOp('TensorScatter', [cache, update, ints(3, 0)]))).toBe('GRIM_IR_BAD_VALUE');
    expect(code(() => runOp('TensorScatter', [cache, update, ints(-1, 0)]))).toBe('GRIM_IR_BAD_VALUE');
    expect(code(() => runOp('TensorScatter', [cache, update], { axis: 0 }))).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(code(() => runOp('TensorScatter', [update, cache]))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('choices', () => {
  it('OneHot puts the on value where the index says, and nothing outside the depth', () => {
    const values = t('int8', [2], [-1, 1]);
    expect(list(runOp('OneHot', [ints(1, -1, 5), t('int64', [], [3]), values])[0])).toEqual([
      -1, 1, -1, -1, -1, 1, -1, -1, -1,
    ]);
    const first = runOp('OneHot', [t('float32', [2], [1.9, Number.NaN]), t('float32', [1], [2]), values], {
      axis: 0,
    })[0];
    expect(first).toEqual(t('int8', [2, 2], [-1, -1, 1, -1]));
    expect(code(() => runOp('OneHot', [ints(0), t('int64', [], [-1]), values]))).toBe('GRIM_IR_BAD_VALUE');
    expect(code(() => runOp('OneHot', [ints(0), t('int64', [], [1]), t('int8', [3], [0, 1, 2])]))).toBe(
      'GRIM_IR_SHAPE_MISMATCH',
    );
  });

  it('NonZero gives the indices of each axis; -0 is zero and NaN is not', () => {
    const x = t('float32', [2, 2], [0, Number.NaN, -0, 3]);
    expect(runOp('NonZero', [x])[0]).toEqual(t('int64', [2, 2], [0, 1, 1, 1]));
    expect(runOp('NonZero', [t('float16', [1], [-0])])[0]?.shape).toEqual([1, 0]);
    expect(runOp('NonZero', [t('int32', [], [5])])[0]?.shape).toEqual([0, 1]);
    expect(runOp('NonZero', [t('bool', [0, 2], [])])[0]?.shape).toEqual([2, 0]);
    const [type] = inferOp('NonZero', [{ dtype: 'bool', shape: [3, 4] }]);
    expect(type?.shape?.[0]).toBe(2);
    expect(type?.shape?.[1]).toBeTypeOf('string');
  });

  it('Compress keeps what the condition says, of an axis or of all elements', () => {
    const x = iota(2, 3);
    expect(runOp('Compress', [x, t('bool', [3], [0, 1, 1])], { axis: 1 })[0]).toEqual(
      t('float32', [2, 2], [1, 2, 4, 5]),
    );
    expect(runOp('Compress', [x, t('bool', [4], [1, 0, 0, 1])])[0]).toEqual(t('float32', [2], [0, 3]));
    expect(code(() => runOp('Compress', [x, t('bool', [3], [1, 1, 1])], { axis: 0 }))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });

  it('Unique sorts or keeps the order, and tells where everything went', () => {
    const x = t('float32', [6], [2, 1, 1, 3, 4, 3]);
    expect(runOp('Unique', [x], {}, 4).map(list)).toEqual([
      [1, 2, 3, 4],
      [1, 0, 3, 4],
      [1, 0, 0, 2, 3, 2],
      [2, 1, 2, 1],
    ]);
    expect(runOp('Unique', [x], { sorted: 0 }, 4).map(list)).toEqual([
      [2, 1, 3, 4],
      [0, 1, 3, 4],
      [0, 1, 1, 2, 3, 2],
      [1, 2, 2, 1],
    ]);
    const rows = t('int64', [3, 2], [1, 0, 1, 0, 0, 5]);
    expect(runOp('Unique', [rows], { axis: 0 }, 4).map(list)).toEqual([
      [0, 5, 1, 0],
      [2, 0],
      [1, 1, 0],
      [1, 2],
    ]);
    const columns = t('int64', [1, 3], [2n ** 60n + 1n, 2n ** 60n, 2n ** 60n + 1n]);
    expect(runOp('Unique', [columns], { axis: -1 }, 1)[0]).toEqual(t('int64', [1, 2], [2n ** 60n, 2n ** 60n + 1n]));
    expect(list(runOp('Unique', [t('float32', [3], [Number.NaN, 1, Number.NaN])])[0])).toEqual([1, Number.NaN]);
  });
});

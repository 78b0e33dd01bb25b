/** Operators about shapes and places: results by hand, every refusal, and that no bit of an element changes. */
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
const mismatch = (run: () => unknown) => refusal(run).code;

describe('shape and size', () => {
  it('Shape cuts its range to the rank and gives nothing when it is empty', () => {
    const x = iota(2, 3, 4);
    expect(list(runOp('Shape', [x])[0])).toEqual([2, 3, 4]);
    expect(list(runOp('Shape', [x], { start: -1 })[0])).toEqual([4]);
    expect(list(runOp('Shape', [x], { start: -9, end: -1 })[0])).toEqual([2, 3]);
    expect(list(runOp('Shape', [x], { start: 2, end: 1 })[0])).toEqual([]);
    expect(runOp('Size', [x])[0]).toEqual(t('int64', [], [24]));
    expect(list(runOp('Size', [t('bool', [0, 3], [])])[0])).toEqual([0]);
  });
});

describe('Reshape', () => {
  const reshape = (x: ReturnType<typeof iota>, shape: number[], allowzero: 0 | 1 = 0) =>
    runOp('Reshape', [x, ints(...shape)], { allowzero })[0]?.shape;

  it('copies lengths at 0 and infers one at -1', () => {
    expect(reshape(iota(2, 3, 4), [0, -1])).toEqual([2, 12]);
    expect(reshape(iota(2, 3, 4), [4, 0, 2])).toEqual([4, 3, 2]);
    expect(reshape(iota(1), [])).toEqual([]);
    expect(reshape(iota(0, 3), [3, 0], 1)).toEqual([3, 0]);
    expect(reshape(iota(0, 3), [-1, 3])).toEqual([0, 3]);
  });

  it('G11: two -1, a wrong total, a 0 with nothing to copy, and an undetermined -1 are refused', () => {
    const x = iota(2, 3);
    expect(mismatch(() => reshape(x, [-1, -1]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => reshape(x, [4, 2]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => reshape(x, [4, -1]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => reshape(x, [2, 3, 0]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => reshape(x, [-2, 3]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => reshape(iota(0, 3), [0, -1]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => reshape(iota(0, 3), [0, -1], 1))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => reshape(x, [1, 1, 1, 1, 1, 1, 1, 2, 3]))).toBe('GRIM_IR_SHAPE_OVERFLOW');
    expect(mismatch(() => runOp('Reshape', [x, ints(2n ** 62n, 4n)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });

  it('keeps names of lengths where they cancel', () => {
    const x = { dtype: 'float32', shape: ['N', 3, 4] } as const;
    expect(inferOp('Reshape', [x, ints(0, -1)])[0]?.shape).toEqual(['N', 12]);
    expect(inferOp('Reshape', [x, ints(-1, 12)])[0]?.shape).toEqual(['N', 12]);
    expect(inferOp('Reshape', [x, ints(-1, 5)])[0]?.shape?.[1]).toBe(5);
    expect(inferOp('Reshape', [x, { dtype: 'int64', shape: [2] }])[0]?.shape).toHaveLength(2);
    expect(inferOp('Reshape', [x, { dtype: 'int64', shape: ['R'] }])[0]?.shape).toBeNull();
    expect(mismatch(() => inferOp('Reshape', [x, { dtype: 'int64', shape: [1e9] }]))).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });
});

describe('Squeeze, Unsqueeze and Flatten', () => {
  it('remove, add and merge axes', () => {
    const x = iota(1, 3, 1);
    expect(runOp('Squeeze', [x])[0]?.shape).toEqual([3]);
    expect(runOp('Squeeze', [x, ints(-1)])[0]?.shape).toEqual([1, 3]);
    expect(runOp('Unsqueeze', [iota(2), ints(-1, 0)])[0]?.shape).toEqual([1, 2, 1]);
    expect(runOp('Flatten', [iota(2, 3, 4)], { axis: 3 })[0]?.shape).toEqual([24, 1]);
    expect(runOp('Flatten', [iota(2, 3, 4)], { axis: -1 })[0]?.shape).toEqual([6, 4]);
    expect(runOp('Flatten', [t('float32', [], [1])], { axis: 0 })[0]?.shape).toEqual([1, 1]);
    expect(inferOp('Flatten', [{ dtype: 'float32', shape: ['N', 3, 4] }])[0]?.shape).toEqual(['N', 12]);
  });

  it('G9: an axis equal to the rank or below minus the rank, or given twice, is refused', () => {
    const x = iota(1, 1);
    for (const axis of [2, -3, 2 ** 31]) {
      expect(mismatch(() => runOp('Squeeze', [x, ints(axis)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
      expect(mismatch(() => runOp('Concat', [x, x], { axis }))).toBe('GRIM_IR_SHAPE_MISMATCH');
      expect(mismatch(() => runOp('Split', [x], { axis, num_outputs: 1 }))).toBe('GRIM_IR_SHAPE_MISMATCH');
      expect(mismatch(() => runOp('Slice', [x, ints(0), ints(1), ints(axis)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
      expect(mismatch(() => runOp('Pad', [x, ints(0, 0), undefined, ints(axis)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
      expect(mismatch(() => runOp('CenterCropPad', [x, ints(1)], { axes: [axis] }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    }
    expect(mismatch(() => runOp('Unsqueeze', [x, ints(3)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Flatten', [x], { axis: 3 }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Flatten', [x], { axis: -3 }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Squeeze', [x, ints(0, -2)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Unsqueeze', [x, ints(0, -4)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Slice', [x, ints(0, 0), ints(1, 1), ints(0, -2)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Squeeze', [iota(2), ints(0)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('Transpose, Concat and Split', () => {
  it('move elements to where the definition puts them', () => {
    expect(list(runOp('Transpose', [iota(2, 3)])[0])).toEqual([0, 3, 1, 4, 2, 5]);
    expect(list(runOp('Transpose', [iota(1, 2, 2)], { perm: [2, 0, 1] })[0])).toEqual([0, 2, 1, 3]);
    expect(list(runOp('Concat', [iota(2, 1), iota(2, 2)], { axis: -1 })[0])).toEqual([0, 0, 1, 1, 2, 3]);
    expect(runOp('Concat', [iota(0, 2), iota(1, 2)], { axis: 0 })[0]).toEqual(iota(1, 2));
    expect(runOp('Split', [iota(5)], { num_outputs: 3 }, 3).map(list)).toEqual([[0, 1], [2, 3], [4]]);
    expect(runOp('Split', [iota(2, 3), ints(1, 0, 2)], { axis: 1 }, 3).map(list)).toEqual([[0, 3], [], [1, 2, 4, 5]]);
  });

  it('T4: keeps the bits of NaN payloads, of -0 and of 64-bit integers', () => {
    const data = new Float32Array(4);
    new Uint32Array(data.buffer).set([0x7f800001, 0xffc12345, 0x80000000, 0x3f800000]);
    const [y] = runOp('Transpose', [{ dtype: 'float32', shape: [2, 2], data }]);
    const bits = y?.data instanceof Float32Array ? new Uint32Array(y.data.buffer) : [];
    expect(Array.from(bits)).toEqual([0x7f800001, 0x80000000, 0xffc12345, 0x3f800000]);
    const big = 2n ** 53n + 1n;
    expect(runOp('Slice', [ints(1, big), ints(1), ints(9)])[0]?.data[0]).toBe(big);
  });

  it('G12: a perm that is no permutation, parts that do not add up, and shapes that do not meet are refused', () => {
    for (const perm of [[0, 0], [0, 2], [0], [0, 1, 2], [-1, 0]])
      expect(mismatch(() => runOp('Transpose', [iota(2, 2)], { perm }))).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(mismatch(() => runOp('Concat', [iota(2, 1), iota(3, 1)], { axis: 1 }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Concat', [iota(2), iota(2, 1)], { axis: 0 }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Split', [iota(4), ints(1, 2)], {}, 2))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Split', [iota(4), ints(5, -1)], {}, 2))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Split', [iota(4)], { num_outputs: 2 }, 3))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Split', [iota(5)], { num_outputs: 4 }, 4))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Split', [iota(4)], { num_outputs: 1e12 }, 1))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Split', [iota(4), ints(4)], { num_outputs: 1 }, 1))).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });
});

describe('Slice', () => {
  const slice = (x: ReturnType<typeof iota>, ...lists: (number | bigint)[][]) =>
    runOp('Slice', [x, ...lists.map((values) => ints(...values))])[0];

  it('G12: clamps starts and ends, INT64_MIN and INT64_MAX too, and walks backwards', () => {
    const least = -(2n ** 63n);
    expect(list(slice(iota(5), [-100], [100]))).toEqual([0, 1, 2, 3, 4]);
    expect(list(slice(iota(5), [-1], [least], [0], [-2]))).toEqual([4, 2, 0]);
    expect(list(slice(iota(5), [100], [0], [0], [-1]))).toEqual([4, 3, 2, 1]);
    expect(list(slice(iota(5), [1], [2n ** 63n - 1n], [0], [2]))).toEqual([1, 3]);
    expect(list(slice(iota(5), [0], [5], [0], [2n ** 63n - 1n]))).toEqual([0]);
    expect(slice(iota(5), [3], [1])?.shape).toEqual([0]);
    expect(slice(iota(0), [-1], [least], [0], [-1])?.shape).toEqual([0]);
    expect(list(slice(iota(2, 3), [1], [3], [-1]))).toEqual([1, 2, 4, 5]);
  });

  it('G12: a step of 0 and lists of different lengths are refused', () => {
    expect(mismatch(() => slice(iota(5), [0], [5], [0], [0]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => slice(iota(5), [0], [5, 5]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => slice(iota(5), [0, 0], [5, 5]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Slice', [iota(5), t('int64', [1, 1], [0]), ints(1)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });

  it('keeps the name of a length that it takes whole', () => {
    const x = { dtype: 'float32', shape: ['N', 8] } as const;
    expect(inferOp('Slice', [x, ints(0, 2), ints(2 ** 31 - 1, 6)])[0]?.shape).toEqual(['N', 4]);
    expect(inferOp('Slice', [x, ints(1), ints(9), ints(1)])[0]?.shape).toEqual(['N', 7]);
  });
});

describe('Pad and CenterCropPad', () => {
  const pad = (
    x: ReturnType<typeof iota>,
    pads: number[],
    mode: 'constant' | 'reflect' | 'edge' | 'wrap',
    axes?: number[],
  ) => runOp('Pad', [x, ints(...pads), undefined, axes && ints(...axes)], { mode })[0];

  it('pads in each mode, also farther than the input is long, and cuts at negative amounts first', () => {
    expect(list(pad(iota(3), [1, 2], 'constant'))).toEqual([0, 0, 1, 2, 0, 0]);
    expect(list(pad(iota(3), [2, 1], 'edge'))).toEqual([0, 0, 0, 1, 2, 2]);
    expect(list(pad(iota(3), [2, 1], 'reflect'))).toEqual([2, 1, 0, 1, 2, 1]);
    expect(list(pad(iota(3), [2, 4], 'wrap'))).toEqual([1, 2, 0, 1, 2, 0, 1, 2, 0]);
    expect(list(pad(iota(3), [0, 6], 'reflect'))).toEqual([0, 1, 2, 1, 0, 1, 2, 1, 0]);
    expect(list(pad(iota(1), [1, 1], 'reflect'))).toEqual([0, 0, 0]);
    expect(list(pad(iota(4), [-1, 2], 'edge'))).toEqual([1, 2, 3, 3, 3]);
    expect(list(pad(iota(4), [-1, -2], 'constant'))).toEqual([1]);
    expect(list(pad(iota(2, 2), [1, 0], 'constant', [-1]))).toEqual([0, 0, 1, 0, 2, 3]);
    expect(list(runOp('Pad', [iota(1), ints(1, 0), t('float32', [], [7])])[0])).toEqual([7, 0]);
    expect(pad(iota(0), [1, 1], 'constant')?.shape).toEqual([2]);
  });

  it('G12: too few pads, cuts longer than the axis, and nothing to repeat are refused', () => {
    expect(mismatch(() => pad(iota(3), [1], 'constant'))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => pad(iota(3), [-2, -2], 'constant'))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => pad(iota(3), [-4, 5], 'constant'))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => pad(iota(0), [1, 0], 'edge'))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => pad(iota(2), [0, 0, 0, 0], 'edge', [0, -1]))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });

  it('takes the middle, the odd element going to the end', () => {
    expect(list(runOp('CenterCropPad', [iota(5), ints(2)])[0])).toEqual([1, 2]);
    expect(list(runOp('CenterCropPad', [iota(2), ints(5)])[0])).toEqual([0, 0, 1, 0, 0]);
    expect(list(runOp('CenterCropPad', [iota(2, 3), ints(1)], { axes: [-1] })[0])).toEqual([1, 4]);
  });
});

describe('Expand and Tile', () => {
  it('repeat elements', () => {
    expect(list(runOp('Expand', [iota(2, 1), ints(3, 1, 2)])[0])).toEqual([0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]);
    expect(runOp('Expand', [iota(1), ints(0)])[0]?.shape).toEqual([0]);
    expect(list(runOp('Tile', [iota(1, 2), ints(2, 2)])[0])).toEqual([0, 1, 0, 1, 0, 1, 0, 1]);
    expect(runOp('Tile', [iota(1, 2), ints(0, 1)])[0]?.shape).toEqual([0, 2]);
    expect(mismatch(() => runOp('Tile', [iota(2), ints(-1)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Tile', [iota(2), ints(1, 1)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Expand', [iota(2), ints(3)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('Expand', [iota(1), ints(-1)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('tensors made from a rule', () => {
  it('Range counts up and down in every type, exactly for 64-bit integers', () => {
    const range = (dtype: 'float32' | 'int64' | 'uint8' | 'float16' | 'bfloat16', ...v: (number | bigint)[]) =>
      runOp(
        'Range',
        v.map((value) => t(dtype, [], [value])),
      )[0];
    expect(list(range('float32', 1, 5, 2))).toEqual([1, 3]);
    expect(list(range('float32', 0, 1, 0.25))).toEqual([0, 0.25, 0.5, 0.75]);
    expect(list(range('int64', 10, 6, -3))).toEqual([10, 7]);
    expect(range('int64', 2n ** 60n + 1n, 2n ** 60n + 3n, 1n)?.data).toEqual(
      BigInt64Array.of(2n ** 60n + 1n, 2n ** 60n + 2n),
    );
    expect(list(range('uint8', 3, 3, 1))).toEqual([]);
    expect(list(range('int64', 5, 1, 1))).toEqual([]);
    expect(range('float16', 1, 2.5, 0.5)).toEqual(t('float16', [3], [1, 1.5, 2]));
    expect(range('bfloat16', 1, 3, 1)).toEqual(t('bfloat16', [2], [1, 2]));
    for (const [a, b, d] of [
      [0, 1, 0],
      [0, Infinity, 1],
      [Number.NaN, 1, 1],
    ] as const)
      expect(mismatch(() => range('float32', a, b, d))).toBe('GRIM_IR_BAD_VALUE');
    expect(mismatch(() => range('int64', 0, 1, 0))).toBe('GRIM_IR_BAD_VALUE');
  });

  it('ConstantOfShape, EyeLike and Trilu', () => {
    expect(runOp('ConstantOfShape', [ints(2)])[0]).toEqual(t('float32', [2], [0, 0]));
    expect(runOp('ConstantOfShape', [ints()], { value: t('int8', [1], [-3]) })[0]).toEqual(t('int8', [], [-3]));
    expect(mismatch(() => runOp('ConstantOfShape', [ints(2)], { value: iota(2) }))).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(mismatch(() => runOp('ConstantOfShape', [ints(-2)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(runOp('EyeLike', [iota(2, 3)], { k: 1, dtype: 'float16' })[0]).toEqual(
      t('float16', [2, 3], [0, 1, 0, 0, 0, 1]),
    );
    expect(list(runOp('EyeLike', [iota(2, 2)], { k: -1 })[0])).toEqual([0, 0, 1, 0]);
    expect(list(runOp('EyeLike', [iota(2, 2)], { k: 5 })[0])).toEqual([0, 0, 0, 0]);
    expect(mismatch(() => runOp('EyeLike', [iota(2)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(list(runOp('Trilu', [iota(3, 3)])[0])).toEqual([0, 1, 2, 0, 4, 5, 0, 0, 8]);
    expect(list(runOp('Trilu', [iota(2, 3), t('int64', [], [-1])], { upper: 0 })[0])).toEqual([0, 0, 0, 3, 0, 0]);
    expect(runOp('Trilu', [iota(0, 3)])[0]?.shape).toEqual([0, 3]);
  });

  it('G13: every operator that would make 1e12 elements is refused before anything is allocated', () => {
    const scalar = (value: number) => t('int64', [], [value]);
    const huge = [
      () => runOp('Expand', [iota(1), ints(1e6, 1e6)]),
      () => runOp('Tile', [iota(1, 1), ints(1e6, 1e6)]),
      () => runOp('ConstantOfShape', [ints(1e6, 1e6)]),
      () => runOp('ConstantOfShape', [ints(2n ** 40n)]),
      () => runOp('Range', [scalar(0), scalar(1e12), scalar(1)]),
      () => runOp('Range', [t('float32', [], [0]), t('float32', [], [1e30]), t('float32', [], [1e-30])]),
      () => runOp('Pad', [iota(1), ints(1e12, 0)]),
      () => runOp('CenterCropPad', [iota(1), ints(1e12)]),
      () => runOp('OneHot', [iota(1), scalar(1e12), iota(2)]),
      () => inferOp('EyeLike', [{ dtype: 'float32', shape: [1e6, 1e6] }]),
      () => inferOp('DepthToSpace', [{ dtype: 'float32', shape: [1, 4, 1e6, 1e6] }], { blocksize: 2 }),
      () => inferOp('SpaceToDepth', [{ dtype: 'float32', shape: [1, 4, 1e6, 1e6] }], { blocksize: 2 }),
      () => runOp('Resize', [iota(1, 1), undefined, t('float32', [2], [1e6, 1e6])]),
      () => runOp('Resize', [iota(1, 1), undefined, undefined, ints(1e6, 1e6)]),
      () => runOp('AffineGrid', [iota(1, 2, 3), ints(1, 1, 1e6, 1e6)]),
      () => runOp('Col2Im', [t('float32', [1, 1, 0], []), ints(1e6, 1e6), ints(1, 1)], { strides: [1e6, 1e6] }),
    ];
    const codes = huge.map((run) => refusal(run).code);
    expect(codes.slice(0, -1)).toEqual(codes.slice(0, -1).map(() => 'GRIM_IR_SHAPE_OVERFLOW'));
    expect(codes.at(-1)).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

describe('depth, space and sequences', () => {
  it('DepthToSpace puts channels into blocks in both orders, and SpaceToDepth undoes DCR', () => {
    const x = iota(1, 8, 1, 1);
    expect(list(runOp('DepthToSpace', [x], { blocksize: 2 })[0])).toEqual([0, 2, 4, 6, 1, 3, 5, 7]);
    expect(list(runOp('DepthToSpace', [x], { blocksize: 2, mode: 'CRD' })[0])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const [y] = runOp('DepthToSpace', [x], { blocksize: 2 });
    expect(runOp('SpaceToDepth', [y], { blocksize: 2 })[0]).toEqual(x);
    expect(mismatch(() => runOp('DepthToSpace', [iota(1, 6, 1, 1)], { blocksize: 2 }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('SpaceToDepth', [iota(1, 1, 3, 2)], { blocksize: 2 }))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('DepthToSpace', [x], { blocksize: 0 }))).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });

  it('ReverseSequence turns the first elements of each batch', () => {
    const x = iota(3, 2);
    expect(list(runOp('ReverseSequence', [x, ints(2, 3)])[0])).toEqual([2, 5, 0, 3, 4, 1]);
    expect(list(runOp('ReverseSequence', [x, ints(0, 1, 2)], { time_axis: 1, batch_axis: 0 })[0])).toEqual([
      0, 1, 2, 3, 5, 4,
    ]);
    expect(mismatch(() => runOp('ReverseSequence', [x, ints(4, 1)]))).toBe('GRIM_IR_BAD_VALUE');
    expect(mismatch(() => runOp('ReverseSequence', [x, ints(1)]))).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(mismatch(() => runOp('ReverseSequence', [x, ints(1, 1)], { time_axis: 1 }))).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });
});

/** Matrix products, Einsum and Det: numbers worked out by hand, and what is refused. */
import { describe, expect, it } from 'vitest';
import { opSpec } from '../../src/ops.ts';
import type { DType } from '../../src/types.ts';
import { inferOp, refusal, runOp, t } from '../run.ts';

const f = (shape: number[], values: number[]) => t('float32', shape, values);
const numbers = (tensor: { data: ArrayLike<number | bigint> } | undefined) => Array.from(tensor?.data ?? [], Number);
const type = (shape: (number | string)[], dtype: DType = 'float32') => ({ dtype, shape });
const a23 = f([2, 3], [1, 2, 3, 4, 5, 6]);
const b32 = f([3, 2], [1, 0, 0, 1, 1, 1]);

describe('MatMul', () => {
  it('multiplies matrices, vectors and batches as numpy does', () => {
    expect(numbers(runOp('MatMul', [a23, b32])[0])).toEqual([4, 5, 10, 11]);
    const dot = runOp('MatMul', [f([3], [1, 2, 3]), f([3], [4, 5, 6])])[0];
    expect([dot?.shape, numbers(dot)]).toEqual([[], [32]]);
    const row = runOp('MatMul', [f([3], [1, 2, 3]), b32])[0];
    expect([row?.shape, numbers(row)]).toEqual([[2], [4, 5]]);
    const column = runOp('MatMul', [a23, f([3], [1, 1, 1])])[0];
    expect([column?.shape, numbers(column)]).toEqual([[2], [6, 15]]);
    const batch = runOp('MatMul', [f([2, 1, 1, 2], [1, 2, 3, 4]), f([3, 2, 1], [1, 1, 2, 2, 3, 3])])[0];
    expect([batch?.shape, numbers(batch)]).toEqual([
      [2, 3, 1, 1],
      [3, 6, 9, 7, 14, 21],
    ]);
  });

  it('sums nothing to zero and keeps an empty batch empty', () => {
    expect(numbers(runOp('MatMul', [f([2, 0], []), f([0, 2], [])])[0])).toEqual([0, 0, 0, 0]);
    expect(runOp('MatMul', [f([0, 2, 2], []), f([2, 2], [1, 2, 3, 4])])[0]?.shape).toEqual([0, 2, 2]);
    expect(runOp('MatMul', [f([2 ** 31 - 1, 0, 2], []), f([2, 3], [1, 2, 3, 4, 5, 6])])[0]?.data.length).toBe(0);
  });

  it('wraps integers exactly', () => {
    const int32 = runOp('MatMul', [t('int32', [1, 2], [65537, 2 ** 30]), t('int32', [2, 1], [65537, 4])])[0];
    expect(numbers(int32)).toEqual([131073]);
    const uint32 = runOp('MatMul', [t('uint32', [1, 1], [2 ** 32 - 1]), t('uint32', [1, 1], [2])])[0];
    expect(numbers(uint32)).toEqual([2 ** 32 - 2]);
    const int64 = runOp('MatMul', [t('int64', [1, 2], [2n ** 62n, 3n]), t('int64', [2, 1], [2n, 5n])])[0];
    expect(int64?.data[0]).toBe(-(2n ** 63n) + 15n);
    const uint64 = runOp('MatMul', [t('uint64', [1, 1], [2n ** 63n + 1n]), t('uint64', [1, 1], [3n])])[0];
    expect(uint64?.data[0]).toBe(2n ** 63n + 3n);
  });

  it('rounds float16 once, at the end', () => {
    // 2048 + 1 + 1: rounding after each step would lose both ones.
    const y = runOp('MatMul', [t('float16', [1, 3], [2048, 1, 1]), t('float16', [3, 1], [1, 1, 1])])[0];
    expect(y?.data[0]).toBe(t('float16', [], [2050]).data[0]);
  });

  it('refuses scalars, unequal inner lengths and batches that do not broadcast', () => {
    for (const [a, b] of [
      [[], [2]],
      [
        [2, 3],
        [2, 3],
      ],
      [
        [2, 2, 2],
        [3, 2, 2],
      ],
      [[3], [2]],
    ] as const)
      expect(refusal(() => inferOp('MatMul', [type([...a]), type([...b])])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(inferOp('MatMul', [type(['N', 2, 'K']), type(['K', 5])])[0]?.shape).toEqual(['N', 2, 5]);
  });

  it('counts rows × inner × columns for every batch', () => {
    expect(opSpec('MatMul').macs?.([type([7, 2, 3]), type([3, 5])], [type([7, 2, 5])], {})).toBe(7 * 2 * 3 * 5);
  });
});

describe('Gemm', () => {
  it('scales, transposes and adds a broadcast C', () => {
    const [y] = runOp('Gemm', [a23, b32, f([2], [1, 2])], { alpha: 2, beta: 10 });
    expect(numbers(y)).toEqual([18, 30, 30, 42]);
    const at = f([3, 2], [1, 4, 2, 5, 3, 6]);
    const bt = f([2, 3], [1, 0, 1, 0, 1, 1]);
    expect(numbers(runOp('Gemm', [at, bt], { transA: 1, transB: 1 })[0])).toEqual([4, 5, 10, 11]);
    expect(numbers(runOp('Gemm', [a23, b32, f([2, 1], [100, 200])])[0])).toEqual([104, 105, 210, 211]);
    expect(numbers(runOp('Gemm', [a23, b32, f([], [1])])[0])).toEqual([5, 6, 11, 12]);
  });

  it('leaves its inputs as they were', () => {
    const c = t('float64', [2], [1, 2]);
    runOp('Gemm', [t('float64', [1, 1], [3]), t('float64', [1, 2], [1, 1]), c], { beta: 5, alpha: 2 });
    expect(numbers(c)).toEqual([1, 2]);
  });

  it('ignores C when beta is 0, as BLAS does', () => {
    expect(numbers(runOp('Gemm', [f([1, 1], [2]), f([1, 1], [3]), f([1], [Infinity])], { beta: 0 })[0])).toEqual([6]);
  });

  it('refuses other ranks, unequal lengths, a C that does not broadcast and fractions of integers', () => {
    for (const shapes of [
      [
        [2, 3, 1],
        [3, 2],
      ],
      [
        [2, 3],
        [2, 3],
      ],
      [[2, 3], [3, 2], [3]],
      [
        [2, 3],
        [3, 2],
        [1, 2, 2],
      ],
    ])
      expect(
        refusal(() =>
          inferOp(
            'Gemm',
            shapes.map((shape) => type(shape)),
          ),
        ).code,
      ).toBe('GRIM_IR_SHAPE_MISMATCH');
    const int = t('int32', [1, 1], [3]);
    expect(refusal(() => runOp('Gemm', [int, int], { alpha: 0.5 })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(numbers(runOp('Gemm', [int, int, int], { alpha: 2, beta: -1 })[0])).toEqual([15]);
  });
});

describe('Einsum', () => {
  const run = (equation: string, ...inputs: ReturnType<typeof f>[]) => runOp('Einsum', inputs, { equation })[0];
  const square = f([2, 2], [1, 2, 3, 4]);

  it('transposes, sums, takes diagonals and multiplies', () => {
    expect(numbers(run('ij->ji', square))).toEqual([1, 3, 2, 4]);
    expect(numbers(run('ij->i', square))).toEqual([3, 7]);
    expect(numbers(run('ii->i', square))).toEqual([1, 4]);
    expect(numbers(run('ii', square))).toEqual([5]);
    expect(numbers(run('ij,jk', a23, b32))).toEqual([4, 5, 10, 11]);
    expect(numbers(run('i,j->ij', f([2], [1, 2]), f([2], [3, 4])))).toEqual([3, 4, 6, 8]);
    expect(numbers(run('->', f([], [7])))).toEqual([7]);
    expect(numbers(run(' i j , j k , k -> i ', a23, b32, f([2], [1, 10])))).toEqual([54, 120]);
  });

  it('sorts the letters of an implicit output by code, capitals first', () => {
    expect(run('bA', f([2, 3], [1, 2, 3, 4, 5, 6]))?.shape).toEqual([3, 2]);
    expect(run('...b,b...', f([4, 3], new Array(12).fill(1)), f([3, 4], new Array(12).fill(1)))?.shape).toEqual([4]);
  });

  it('broadcasts what an ellipsis stands for, and sums it when the output leaves it out', () => {
    const batch = f([2, 1, 2], [1, 2, 3, 4]);
    expect(numbers(run('...ij,...j->...i', batch, f([1, 2], [1, 10])))).toEqual([21, 43]);
    expect(numbers(run('...ii->...i', f([2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8])))).toEqual([1, 4, 5, 8]);
    expect(numbers(run('...i->i', square))).toEqual([4, 6]);
    expect(numbers(run('ij,ij->ij', square, f([1, 2], [1, 10])))).toEqual([1, 20, 3, 40]);
  });

  it('sums over an empty axis to zero, and wraps integers', () => {
    expect(numbers(run('ij,jk->ik', f([2, 0], []), f([0, 2], [])))).toEqual([0, 0, 0, 0]);
    expect(numbers(runOp('Einsum', [t('uint8', [2], [200, 100])], { equation: 'i->' })[0])).toEqual([44]);
    expect(runOp('Einsum', [t('int64', [2], [2n ** 62n, 2n ** 62n])], { equation: 'i->' })[0]?.data[0]).toBe(
      -(2n ** 63n),
    );
  });

  it('refuses malformed equations', () => {
    for (const equation of [
      'i1',
      'i..j->i',
      'ij->i->j',
      'ij-j',
      'ij>j',
      'ij->ii',
      'ij->k',
      '......i',
      'i\u0000j',
      'ij→i',
    ])
      expect(refusal(() => run(equation, square)).code, equation).toBe('GRIM_IR_BAD_ATTRIBUTE');
    for (const equation of ['i', 'ijk', 'ij,jk', '', 'ijk...'])
      expect(refusal(() => run(equation, square)).code, equation).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => run('ij,jk', a23, a23)).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => run('...i,...i', f([2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]), square)).code).toBe(
      'GRIM_IR_SHAPE_MISMATCH',
    );
  });

  it('L15: reads a long hostile equation to its end or its first mistake', () => {
    for (const equation of ['.'.repeat(1e5), 'i'.repeat(1e5), ','.repeat(1e5), '->'.repeat(5e4), ' '.repeat(1e5)])
      expect(String(refusal(() => run(equation, square)).code)).toMatch(/^GRIM_IR_/);
  });

  it('counts the product of all index lengths', () => {
    const macs = opSpec('Einsum').macs?.([type([2, 3]), type([3, 5])], [type([2, 5])], { equation: 'ij,jk->ik' });
    expect(macs).toBe(30);
  });
});

describe('integer products', () => {
  it('takes zero points for all, per row and per column', () => {
    const a = t('uint8', [2, 2], [1, 2, 3, 4]);
    const b = t('int8', [2, 2], [1, 0, 0, 1]);
    expect(numbers(runOp('MatMulInteger', [a, b])[0])).toEqual([1, 2, 3, 4]);
    expect(numbers(runOp('MatMulInteger', [a, b, t('uint8', [], [1])])[0])).toEqual([0, 1, 2, 3]);
    expect(numbers(runOp('MatMulInteger', [a, b, t('uint8', [2], [1, 3])])[0])).toEqual([0, 1, 0, 1]);
    expect(numbers(runOp('MatMulInteger', [a, b, t('uint8', [2, 1], [1, 3])])[0])).toEqual([0, 1, 0, 1]);
    // b − [0 1] per column: [[1 −1] [0 0]].
    expect(numbers(runOp('MatMulInteger', [a, b, undefined, t('int8', [2], [0, 1])])[0])).toEqual([1, -1, 3, -3]);
  });

  it('rounds QLinearMatMul to even before the zero point, and saturates', () => {
    const run = (values: number[], aScale: ReturnType<typeof f>) => {
      const a = t('int8', [values.length, 1], values);
      const one = t('float32', [], [1]);
      const zero = t('int8', [], [0]);
      const aZero = t('int8', aScale.shape, new Array(aScale.data.length).fill(0));
      return numbers(
        runOp('QLinearMatMul', [a, aScale, aZero, t('int8', [1, 1], [1]), one, zero, one, t('int8', [], [1])])[0],
      );
    };
    expect(run([1, 3, 5, 127], f([], [0.5]))).toEqual([1, 3, 3, 65]);
    expect(run([100, 100], f([2], [1, 2]))).toEqual([101, 127]);
  });

  it('G17: zero points of another length or dtype are refused', () => {
    const [a, b] = [type([2, 3], 'uint8'), type([3, 4], 'int8')];
    expect(inferOp('MatMulInteger', [a, b, type([2], 'uint8'), type([4], 'int8')])[0]?.shape).toEqual([2, 4]);
    for (const zeros of [
      [type([3], 'uint8')],
      [type([1, 3], 'uint8')],
      [undefined, type([3], 'int8')],
      [undefined, type([4, 1], 'int8')],
    ])
      expect(refusal(() => inferOp('MatMulInteger', [a, b, ...zeros])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
    expect(refusal(() => inferOp('MatMulInteger', [a, b, type([], 'int8')])).code).toBe('GRIM_IR_DTYPE_MISMATCH');
  });
});

describe('Det', () => {
  it('eliminates with the largest pivot, for every matrix of a batch', () => {
    const [y] = runOp('Det', [f([3, 2, 2], [1, 2, 3, 4, 0, 1, 1, 0, 1, 2, 2, 4])]);
    expect(y?.shape).toEqual([3]);
    expect(numbers(y)[0]).toBeCloseTo(-2, 6);
    expect(numbers(y).slice(1)).toEqual([-1, 0]);
    expect(numbers(runOp('Det', [t('float64', [0, 0], [])])[0])).toEqual([1]);
    expect(numbers(runOp('Det', [f([3, 3], [2, 0, 0, 0, 3, 0, 7, 0, 4])])[0])).toEqual([24]);
  });

  it('leaves its input as it was, and refuses what is not square', () => {
    const x = t('float64', [2, 2], [1, 2, 3, 4]);
    runOp('Det', [x]);
    expect(numbers(x)).toEqual([1, 2, 3, 4]);
    for (const shape of [[2, 3], [2], []])
      expect(refusal(() => inferOp('Det', [type(shape)])).code).toBe('GRIM_IR_SHAPE_MISMATCH');
  });
});

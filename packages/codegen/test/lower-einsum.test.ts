/** Einstein sums against the reference, in small whole numbers: every order of summation is exact. */
import { type DType, graph, type Tensor } from '@grim/ir';
import { describe, it } from 'vitest';
import { check, random, randomInputs, randomTensor } from './check.ts';

const EQUATIONS: readonly (readonly [equation: string, ...shapes: (readonly number[])[]])[] = [
  ['ij,jk->ik', [3, 4], [4, 5]],
  ['ij,jk', [3, 4], [4, 5]],
  ['ba', [3, 4]],
  ['bij,bjk->bik', [2, 3, 4], [2, 4, 5]],
  ['bhid,bhjd->bhij', [2, 2, 3, 5], [2, 2, 4, 5]],
  ['...ij,...jk->...ik', [2, 1, 3, 4], [1, 3, 4, 5]],
  ['i...,i...->...', [3, 2, 4], [3, 1, 4]],
  ['...ii->...i', [2, 3, 3]],
  ['ii', [4, 4]],
  ['ii->', [4, 4]],
  ['i,i->', [7], [7]],
  ['i,j->ij', [3], [4]],
  ['ij,ij,jk->ki', [3, 4], [3, 4], [4, 2]],
  ['ij->', [3, 4]],
  ['ijk->kji', [2, 3, 4]],
  ['iij,j->i', [3, 3, 2], [2]],
  ['ab , bc -> ca', [1, 2], [2, 1]],
  [',->', [], []],
  ['ij,jk->ik', [3, 0], [0, 5]],
];

describe('Einsum', () => {
  for (const dtype of ['float32', 'int32', 'float64', 'int64'] as const satisfies readonly DType[])
    it(`C1, C7: diagonals, traces, outer, batched and broadcast products of ${dtype} are exact`, () => {
      EQUATIONS.forEach(([equation, ...shapes], seed) => {
        const next = random(seed + 1);
        const g = graph(equation, (b) => {
          const names = shapes.map((shape, i) => b.input(`x${i}`, dtype, shape));
          b.output('y', b.add('Einsum', names, { equation }));
        });
        const inputs = shapes.map((shape, i): [string, Tensor] => {
          const tensor = randomTensor(dtype, shape, next, false);
          if (dtype.startsWith('float'))
            (tensor.data as Float64Array).forEach((value, at, data) => {
              data[at] = Math.round(value);
            });
          return [`x${i}`, tensor];
        });
        check(g, { inputs: Object.fromEntries(inputs) });
      });
    });
});

describe('Gemm and MatMul of other types than float32', () => {
  for (const dtype of [
    'float16',
    'bfloat16',
    'float64',
    'int32',
    'int64',
    'uint32',
  ] as const satisfies readonly DType[])
    it(`C1, C7: stacks, vectors, transposed and scaled matrices of ${dtype} agree with the reference`, () => {
      const stacks = [
        [
          [3, 4],
          [4, 5],
        ],
        [[4], [4, 5]],
        [[3, 4], [4]],
        [[4], [4]],
        [
          [2, 1, 3, 4],
          [3, 4, 5],
        ],
        [
          [3, 4],
          [2, 4, 5],
        ],
        [
          [3, 0],
          [0, 2],
        ],
      ] as const;
      const rounding = dtype === 'float64' ? 1e-12 : dtype === 'float16' ? 2e-3 : dtype === 'bfloat16' ? 2e-2 : 0;
      stacks.forEach(([a, b], i) => {
        const g = graph(`stack ${i}`, (builder) => {
          const [x, y] = [builder.input('x', dtype, [...a]), builder.input('y', dtype, [...b])];
          builder.output('z', builder.add('MatMul', [x, y]));
        });
        check(g, { inputs: randomInputs(g, i + 1, false), absolute: rounding, relative: rounding });
      });
      for (let i = 0; i < 8; i++) {
        const [transA, transB] = [i & 1, (i >> 1) & 1];
        const g = graph(`gemm ${i}`, (builder) => {
          const x = builder.input('x', dtype, transA ? [4, 3] : [3, 4]);
          const y = builder.input('y', dtype, transB ? [5, 4] : [4, 5]);
          const added = i & 4 ? [builder.input('c', dtype, [5])] : [];
          builder.output('z', builder.add('Gemm', [x, y, ...added], { transA, transB, alpha: 2, beta: 3 }));
        });
        check(g, { inputs: randomInputs(g, i + 1, false), absolute: 4 * rounding, relative: rounding });
      }
    });
});

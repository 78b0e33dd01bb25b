/** Products and convolutions of 8-bit integers: every result is exact. */
import { type DType, graph, type Tensor } from '@grim/ir';
import { describe, it } from 'vitest';
import { check, random, randomTensor } from './check.ts';

type Next = () => number;
const whole = (next: Next, most: number) => Math.floor(next() * (most + 1));
const from = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length - 1)] as T;

/** All bits at random, extremes among them. */
function bytes(dtype: DType, shape: readonly number[], next: Next): Tensor {
  const length = shape.reduce((all, dim) => all * dim, 1);
  const data = Uint8Array.from({ length }, () => (next() < 0.2 ? from(next, [0, 127, 128, 255]) : whole(next, 255)));
  return { dtype, shape, data: dtype === 'int8' ? new Int8Array(data.buffer) : data } as Tensor;
}

/** Powers of two: scaled sums are exact, and ties happen. */
function scales(shape: readonly number[], next: Next): Tensor {
  const length = shape.reduce((all, dim) => all * dim, 1);
  return { dtype: 'float32', shape, data: Float32Array.from({ length }, () => 2 ** (whole(next, 6) - 4)) };
}

describe('integer products', () => {
  it('C2, C7, C15: 150 random matrices, batched and broadcast, zero points of every form, are exact', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const next = random(seed);
      const [m, k, n] = [1 + whole(next, 6), whole(next, 9), 1 + whole(next, 9)];
      const batch = from(next, [[], [2], [3, 2]]);
      const a = next() < 0.15 ? [k] : [...(next() < 0.3 ? batch.map(() => 1) : batch), m, k];
      const b = next() < 0.15 ? [k] : [...(next() < 0.3 ? [] : batch), k, n];
      const [left, right, result] = [0, 0, 0].map(() => from(next, ['int8', 'uint8'] as const)) as [
        DType,
        DType,
        DType,
      ];
      const grid = (shape: readonly number[], axis: number) =>
        shape.length === 1 ? [] : from(next, [[], [1], [shape.at(axis) ?? 1], shape.with(axis === -2 ? -1 : -2, 1)]);
      const [aGrid, bGrid] = [grid(a, -2), grid(b, -1)];
      const values: Record<string, Tensor> = {
        a: bytes(left, a, next),
        az: bytes(left, aGrid, next),
        b: bytes(right, b, next),
        bz: bytes(right, bGrid, next),
        as: scales(aGrid, next),
        bs: scales(bGrid, next),
        ys: scales([], next),
        yz: bytes(result, [], next),
      };
      const g = graph(`product ${seed}`, (builder) => {
        for (const [name, { dtype, shape }] of Object.entries(values)) builder.input(name, dtype, shape);
        const zeros = from(next, [[], ['az'], ['az', 'bz'], ['', 'bz']]);
        builder.output('sums', builder.add('MatMulInteger', ['a', 'b', ...zeros]));
        builder.output('y', builder.add('QLinearMatMul', ['a', 'as', 'az', 'b', 'bs', 'bz', 'ys', 'yz']));
      });
      check(g, { inputs: values });
    }
  });

  it('C2, C7, C15: 150 random convolutions, grouped, strided, dilated and padded, are exact', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const next = random(seed);
      const rank = from(next, [1, 2, 2, 3]);
      const group = from(next, [1, 1, 2, 3]);
      const outputs = group * (1 + whole(next, 3));
      const kernel = Array.from({ length: rank }, () => 1 + whole(next, 2));
      const x = [1 + whole(next, 1), group * (1 + whole(next, 2)), ...kernel.map(() => 5 + whole(next, 5))];
      const w = [outputs, (x[1] ?? 1) / group, ...kernel];
      const [left, right, result] = [0, 0, 0].map(() => from(next, ['int8', 'uint8'] as const)) as [
        DType,
        DType,
        DType,
      ];
      const grid = from(next, [[], [outputs]]);
      const values: Record<string, Tensor> = {
        x: bytes(left, x, next),
        xz: bytes(left, [], next),
        w: bytes(right, w, next),
        wz: bytes(right, grid, next),
        xs: scales([], next),
        ws: scales(grid, next),
        ys: scales([], next),
        yz: bytes(result, [], next),
        bias: randomTensor('int32', [outputs], next, false),
      };
      const attributes = {
        group,
        strides: kernel.map(() => from(next, [1, 1, 2, 3])),
        dilations: kernel.map(() => from(next, [1, 1, 2])),
        pads: [...kernel, ...kernel].map(() => whole(next, 2)),
      };
      const g = graph(`convolution ${seed}`, (builder) => {
        for (const [name, { dtype, shape }] of Object.entries(values)) builder.input(name, dtype, shape);
        const zeros = from(next, [[], ['xz'], ['xz', 'wz']]);
        builder.output('sums', builder.add('ConvInteger', ['x', 'w', ...zeros], attributes));
        const bias = next() < 0.5 ? ['bias'] : [];
        const inputs = ['x', 'xs', 'xz', 'w', 'ws', 'wz', 'ys', 'yz', ...bias];
        builder.output('y', builder.add('QLinearConv', inputs, attributes));
      });
      check(g, { inputs: values });
    }
  });
});

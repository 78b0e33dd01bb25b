/** Quantization against the reference, and pools whose values or indices need another way. */
import { type DType, graph, type Tensor } from '@grim/ir';
import { describe, it } from 'vitest';
import { check, random, randomInputs } from './check.ts';

type Next = () => number;
const whole = (next: Next, most: number) => Math.floor(next() * (most + 1));
const from = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length - 1)] as T;
const QUANTIZED: readonly DType[] = ['int8', 'uint8', 'int16', 'uint16'];

/** Scales that are powers of two: quotients are exact and ties happen. */
function scales(next: Next, shape: readonly number[]): Tensor {
  const length = shape.reduce((all, dim) => all * dim, 1);
  return { dtype: 'float32', shape, data: Float32Array.from({ length }, () => 2 ** (whole(next, 6) - 5)) };
}

describe('quantization', () => {
  it('C7: 120 random ones, by tensor, axis and block, are equal to the reference, saturation and NaN included', () => {
    for (let seed = 1; seed <= 120; seed++) {
      const next = random(seed);
      const shape = Array.from({ length: 1 + whole(next, 2) }, () => 1 + whole(next, 5));
      const axis = whole(next, shape.length - 1);
      const kind = from(next, ['tensor', 'axis', 'block']);
      const block = kind === 'block' ? 1 + whole(next, 3) : 0;
      const grid =
        kind === 'tensor'
          ? from(next, [[], [1]])
          : kind === 'axis'
            ? [shape[axis] ?? 1]
            : shape.with(axis, Math.ceil((shape[axis] ?? 1) / block));
      const dtype = from(next, QUANTIZED);
      const g = graph(`quantized ${seed}`, (b) => {
        const x = b.input('x', 'float32', shape);
        const q = b.input('q', dtype, shape);
        const scale = b.input('scale', 'float32', grid);
        const zero = b.input('zero', dtype, grid);
        const withZero = next() < 0.7;
        const attributes = { axis, block_size: block };
        const rest = withZero ? [scale, zero] : [scale];
        const output = withZero ? attributes : { ...attributes, output_dtype: dtype };
        b.output('quantized', b.add('QuantizeLinear', [x, ...rest], output));
        b.output('real', b.add('DequantizeLinear', [q, ...rest], attributes));
      });
      check(g, { inputs: { ...randomInputs(g, seed), scale: scales(next, grid) } });
    }
  });

  it('C7: scales found at run time are those of the reference', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const next = random(seed);
      const shape = [1 + whole(next, 30)];
      const g = graph(`dynamic ${seed}`, (b) => {
        const x = b.input('x', 'float32', shape);
        const names = b.addMany('DynamicQuantizeLinear', [x], 3);
        names.forEach((name, i) => {
          b.output(`y${i}`, name);
        });
      });
      const x = from(next, [
        randomInputs(g, seed, false)['x'],
        { dtype: 'float32', shape, data: new Float32Array(shape[0] ?? 0) },
      ]);
      check(g, { inputs: { x: x as Tensor } });
    }
  });
});

describe('pools', () => {
  it('C4, C7: the indices of 100 random maximum pools, of several types, are those of the reference', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const next = random(seed);
      const rank = 1 + whole(next, 2);
      const kernel = Array.from({ length: rank }, () => 1 + whole(next, 2));
      const dilations = kernel.map(() => from(next, [1, 1, 2]));
      const pads = [...kernel, ...kernel].map((k) => whole(next, k - 1));
      const spatial = kernel.map(() => 5 + whole(next, 4));
      const g = graph(`indices ${seed}`, (b) => {
        const dtype = from(next, ['float32', 'int8', 'uint8', 'float64', 'float16'] as const);
        const x = b.input('x', dtype, [1 + whole(next, 1), 2, ...spatial]);
        const attributes = {
          kernel_shape: kernel,
          dilations,
          pads,
          strides: kernel.map(() => 1 + whole(next, 2)),
          ceil_mode: whole(next, 1),
          storage_order: whole(next, 1),
        };
        const [values = '', places = ''] = b.addMany('MaxPool', [x], 2, attributes);
        b.output('values', values);
        b.output('places', places);
      });
      check(g, { inputs: randomInputs(g, seed) });
    }
  });

  it('C7: norms of windows are within rounding of the reference', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const next = random(seed);
      const kernel = Array.from({ length: 1 + whole(next, 1) }, () => 1 + whole(next, 2));
      const g = graph(`norm ${seed}`, (b) => {
        const x = b.input('x', 'float32', [1, 2, ...kernel.map(() => 5 + whole(next, 4))]);
        const pads = [...kernel, ...kernel].map((k) => whole(next, k - 1));
        const strides = kernel.map(() => 1 + whole(next, 1));
        b.output('y', b.add('LpPool', [x], { kernel_shape: kernel, pads, strides, p: 1 + whole(next, 3) }));
      });
      check(g, { inputs: randomInputs(g, seed, false), absolute: 1e-5, relative: 1e-5 });
    }
  });

  it('C7: global norms, and maxima put back where they were found, are those of the reference', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const next = random(seed);
      const kernel = Array.from({ length: 1 + whole(next, 1) }, () => 1 + whole(next, 2));
      const strides = kernel.map(() => 1 + whole(next, 2));
      const spatial = kernel.map((k, i) => k + (strides[i] ?? 1) * (1 + whole(next, 3)));
      const shape = [1 + whole(next, 1), 2, ...spatial];
      const g = graph(`global ${seed}`, (b) => {
        const x = b.input('x', 'float32', shape);
        b.output('norm', b.add('GlobalLpPool', [x], { p: 1 + whole(next, 3) }));
        const [values = '', places = ''] = b.addMany('MaxPool', [x], 2, { kernel_shape: kernel, strides });
        const larger = shape.map((dim, axis) => (axis < 2 ? dim : dim + whole(next, 2)));
        const size = b.weight('size', {
          dtype: 'int64',
          shape: [larger.length],
          data: BigInt64Array.from(larger, BigInt),
        });
        b.output(
          'back',
          b.add('MaxUnpool', [values, places, ...(next() < 0.5 ? [size] : [])], { kernel_shape: kernel, strides }),
        );
      });
      check(g, { inputs: randomInputs(g, seed, false), absolute: 1e-5, relative: 1e-5 });
    }
  });
});

/** Regions of interest, deformed convolutions, columns put back, caches and determinants against the reference. */
import { type DType, graph, type Tensor } from '@grim/ir';
import { describe, it } from 'vitest';
import { check, random, randomInputs, randomTensor } from './check.ts';

type Next = () => number;
const whole = (next: Next, most: number) => Math.floor(next() * (most + 1));
const from = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length - 1)] as T;
const int64 = (values: readonly number[], shape: readonly number[] = [values.length]) =>
  ({ dtype: 'int64', shape, data: BigInt64Array.from(values, BigInt) }) as const;
const floats = (values: readonly number[], shape: readonly number[]): Tensor => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from(values),
});
const close = { absolute: 1e-4, relative: 2e-5 };

describe('RoiAlign and MaxRoiPool', () => {
  it('C4, C7: 120 random boxes, inside, across the edge, far outside, empty and turned round, are those of the reference', () => {
    for (let seed = 1; seed <= 120; seed++) {
      const next = random(seed);
      const shape = [1 + whole(next, 2), 1 + whole(next, 3), 1 + whole(next, 8), 1 + whole(next, 8)];
      const count = 1 + whole(next, 3);
      const place = () => (next() < 0.1 ? from(next, [-50, 60, 1e6]) : Math.round(next() * 240) / 16 - 2);
      const boxes = Array.from({ length: count }, () => Array.from({ length: 4 }, place)).flat();
      const spatial_scale = from(next, [1, 0.5, 0.25]);
      const g = graph(`align ${seed}`, (b) => {
        const x = b.input('x', 'float32', shape);
        const rois = b.input('rois', 'float32', [count, 4]);
        const at = b.weight('at', int64(Array.from({ length: count }, () => whole(next, (shape[0] ?? 1) - 1))));
        const attributes = {
          coordinate_transformation_mode: from(next, ['half_pixel', 'output_half_pixel'] as const),
          mode: from(next, ['avg', 'max'] as const),
          output_height: 1 + whole(next, 3),
          output_width: 1 + whole(next, 3),
          sampling_ratio: whole(next, 3),
          spatial_scale,
        };
        b.output('y', b.add('RoiAlign', [x, rois, at], attributes));
      });
      check(g, { inputs: { ...randomInputs(g, seed, false), rois: floats(boxes, [count, 4]) }, ...close });
      const pool = graph(`pool ${seed}`, (b) => {
        const x = b.input('x', 'float32', shape);
        const rois = b.input('rois', 'float32', [count, 5]);
        b.output(
          'y',
          b.add('MaxRoiPool', [x, rois], { pooled_shape: [1 + whole(next, 3), 1 + whole(next, 3)], spatial_scale }),
        );
      });
      const rois = Array.from({ length: count }, (_, r) => [
        whole(next, (shape[0] ?? 1) - 1),
        ...boxes.slice(4 * r, 4 * r + 4),
      ]).flat();
      check(pool, { inputs: { ...randomInputs(pool, seed, false), rois: floats(rois, [count, 5]) } });
    }
  });

  it('of float16, of no boxes', () => {
    for (const count of [0, 2]) {
      const g = graph(`half ${count}`, (b) => {
        const x = b.input('x', 'float16', [1, 2, 5, 5]);
        const rois = b.input('rois', 'float16', [count, 4]);
        b.output(
          'y',
          b.add('RoiAlign', [x, rois, b.weight('at', int64(new Array(count).fill(0)))], {
            output_height: 2,
            output_width: 2,
          }),
        );
      });
      check(g, { inputs: randomInputs(g, 3, false), absolute: 4e-3, relative: 2e-3 });
    }
  });
});

describe('DeformConv', () => {
  it('C4, C7: 80 random convolutions (groups, offset groups, masks, strides, pads, dilations) are those of the reference', () => {
    for (let seed = 1; seed <= 80; seed++) {
      const next = random(seed);
      const group = 1 + whole(next, 1);
      const movers = 1 + whole(next, 1);
      const channels = group * movers * (1 + whole(next, 1));
      const outputs = group * (1 + whole(next, 2));
      const batch = 1 + whole(next, 1);
      const size = [3 + whole(next, 4), 3 + whole(next, 4)];
      const kernel = [1 + whole(next, 2), 1 + whole(next, 2)];
      const strides = [1 + whole(next, 1), 1 + whole(next, 1)];
      const pads = Array.from({ length: 4 }, () => 1 + whole(next, 1));
      const dilations = [1 + whole(next, 1), 1];
      const out = size.map(
        (length, i) =>
          Math.floor(
            (length + (pads[i] ?? 0) + (pads[i + 2] ?? 0) - (dilations[i] ?? 1) * ((kernel[i] ?? 1) - 1) - 1) /
              (strides[i] ?? 1),
          ) + 1,
      );
      const taps = (kernel[0] ?? 1) * (kernel[1] ?? 1);
      const dtype: DType = from(next, ['float32', 'float32', 'float16'] as const);
      const g = graph(`deform ${seed}`, (b) => {
        const x = b.input('x', dtype, [batch, channels, ...size]);
        const w =
          next() < 0.5
            ? b.weight('w', randomTensor(dtype, [outputs, channels / group, ...kernel], next, false))
            : b.input('w', dtype, [outputs, channels / group, ...kernel]);
        const offset = b.input('offset', dtype, [batch, movers * taps * 2, ...out]);
        const bias = next() < 0.5 ? b.input('bias', dtype, [outputs]) : '';
        const mask = next() < 0.5 ? b.input('mask', dtype, [batch, movers * taps, ...out]) : '';
        b.output(
          'y',
          b.add('DeformConv', [x, w, offset, bias, mask], { group, offset_group: movers, strides, pads, dilations }),
        );
      });
      const tolerance = dtype === 'float32' ? { absolute: 1e-3, relative: 1e-4 } : { absolute: 0.1, relative: 2e-3 };
      check(g, { inputs: randomInputs(g, seed, false), ...tolerance });
    }
  });
});

describe('Col2Im', () => {
  it('C4: 80 random blocks of one to three dimensions are those of the reference', () => {
    for (let seed = 1; seed <= 80; seed++) {
      const next = random(seed);
      const rank = 1 + whole(next, 2);
      const list = (most: number, least = 1) => Array.from({ length: rank }, () => least + whole(next, most - least));
      const [block, strides, dilations] = [list(3), list(3), list(2)];
      const pads = [...list(2, 0), ...list(2, 0)];
      const image = list(7).map((length, i) => Math.max(length, (dilations[i] ?? 1) * ((block[i] ?? 1) - 1) + 1));
      const counts = image.map(
        (length, i) =>
          Math.floor(
            (length + (pads[i] ?? 0) + (pads[i + rank] ?? 0) - (dilations[i] ?? 1) * ((block[i] ?? 1) - 1) - 1) /
              (strides[i] ?? 1),
          ) + 1,
      );
      const size = (dims: readonly number[]) => dims.reduce((all, dim) => all * dim, 1);
      const dtype = from(next, ['float32', 'float16', 'float64', 'int64', 'int8', 'uint16'] as const);
      const g = graph(`columns ${seed}`, (b) => {
        const x = b.input('x', dtype, [1 + whole(next, 1), (1 + whole(next, 2)) * size(block), size(counts)]);
        const parameters = [b.weight('image', int64(image)), b.weight('block', int64(block))];
        b.output('y', b.add('Col2Im', [x, ...parameters], { strides, dilations, pads }));
      });
      const tolerance = dtype === 'float16' ? { absolute: 0.02, relative: 1e-3 } : dtype === 'float32' ? close : {};
      check(g, { inputs: randomInputs(g, seed, false), ...(dtype === 'float64' ? { absolute: 1e-12 } : tolerance) });
    }
  });
});

describe('TensorScatter', () => {
  it('C4: caches of every type, linear and circular, are those of the reference', () => {
    for (let seed = 1; seed <= 80; seed++) {
      const next = random(seed);
      const rank = 2 + whole(next, 2);
      const axis = 1 + whole(next, rank - 2);
      const shape = Array.from({ length: rank }, () => 1 + whole(next, 3));
      const most = shape[axis] ?? 1;
      const count = whole(next, most);
      const mode = from(next, ['linear', 'circular'] as const);
      const starts = int64(
        Array.from({ length: shape[0] ?? 1 }, () => whole(next, mode === 'linear' ? most - count : 2 * most)),
      );
      const given = from(next, ['input', 'weight', 'none'] as const);
      const g = graph(`cache ${seed}`, (b) => {
        const dtype = from(next, ['float32', 'float16', 'int64', 'uint8', 'bool'] as const);
        const cache = b.input('cache', dtype, shape);
        const update = b.input('update', dtype, shape.with(axis, count));
        const at =
          given === 'none' ? '' : given === 'input' ? b.input('at', 'int64', [shape[0] ?? 1]) : b.weight('at', starts);
        b.output('y', b.add('TensorScatter', [cache, update, at], { axis: next() < 0.5 ? axis : axis - rank, mode }));
      });
      check(g, { inputs: { ...randomInputs(g, seed), ...(given === 'input' ? { at: starts } : {}) } });
    }
  });
});

describe('Det', () => {
  it('C4: matrices of 0 to 6 rows, singular ones and swapped rows among them, are those of the reference', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const next = random(seed);
      const n = whole(next, 6);
      const dtype = from(next, ['float32', 'float64', 'float16'] as const);
      const shape = [...from(next, [[], [3], [2, 2]]), n, n];
      const g = graph(`det ${seed}`, (b) => {
        b.output('y', b.add('Det', [b.input('x', dtype, shape)]));
      });
      const x = randomTensor(dtype, shape, next, seed % 5 === 0);
      // Every third has zeros in many places.
      if (seed % 3 === 0) for (let i = 0; i < x.data.length; i += 1 + whole(next, 2)) x.data[i] = 0;
      check(g, { inputs: { x }, absolute: 1e-9, relative: dtype === 'float64' ? 1e-12 : 1e-3 });
    }
  });
});

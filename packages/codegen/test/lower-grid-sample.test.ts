/** Sampling between elements against the reference. */
import { type DType, graph, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.ts';
import { check, random, randomInputs } from './check.ts';

type Next = () => number;
const whole = (next: Next, most: number) => Math.floor(next() * (most + 1));
const from = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length - 1)] as T;
const CLOSE: Readonly<Partial<Record<DType, { absolute: number; relative: number }>>> = {
  float32: { absolute: 5e-5, relative: 2e-5 },
  float64: { absolute: 1e-10, relative: 1e-10 },
  float16: { absolute: 4e-3, relative: 2e-3 },
};

describe('GridSample', () => {
  for (const mode of ['linear', 'nearest', 'cubic'] as const)
    for (const padding_mode of ['zeros', 'border', 'reflection'] as const)
      it(`C4, C7: ${mode} with ${padding_mode} around, in one to three dimensions, is that of the reference`, () => {
        for (let seed = 1; seed <= 10; seed++) {
          const next = random(seed);
          const rank = mode === 'cubic' ? 1 + whole(next, 1) : 1 + whole(next, 2);
          const lengths = (most: number) => Array.from({ length: rank }, () => 1 + whole(next, most));
          const moving: readonly DType[] = ['float32', 'uint8', 'int64', 'bool'];
          const dtype = from(
            next,
            mode === 'nearest' ? moving : (['float32', 'float32', 'float16', 'float64'] as const),
          );
          const batch = 1 + whole(next, 1);
          const out = lengths(3);
          const g = graph(`${mode} ${padding_mode} ${seed}`, (b) => {
            const x = b.input('x', dtype, [batch, 1 + whole(next, 2), ...lengths(4)]);
            const grid = b.input('grid', dtype === 'float64' ? 'float64' : 'float32', [batch, ...out, rank]);
            b.output('y', b.add('GridSample', [x, grid], { mode, padding_mode, align_corners: whole(next, 1) }));
          });
          const count = batch * rank * out.reduce((all, dim) => all * dim, 1);
          // Ends, ties, places inside, places far outside, and nowhere.
          const places = Array.from({ length: count }, () =>
            next() < 0.3 ? from(next, [-1, 1, 0, -3, 2.5, 0.5, 100, Number.NaN, Infinity]) : (next() - 0.5) * 3,
          );
          const data = dtype === 'float64' ? Float64Array.from(places) : Float32Array.from(places);
          const grid = {
            dtype: dtype === 'float64' ? 'float64' : 'float32',
            shape: [batch, ...out, rank],
            data,
          } as Tensor;
          check(g, { inputs: { ...randomInputs(g, seed, false), grid }, ...CLOSE[dtype] });
        }
      });

  it('of no places gives nothing, and of integers only nearest is there', () => {
    const g = (dtype: DType, out: number) =>
      graph('small', (b) => {
        b.output(
          'y',
          b.add('GridSample', [b.input('x', dtype, [1, 2, 3, 3]), b.input('grid', 'float32', [1, out, 1, 2])]),
        );
      });
    check(g('float32', 0));
    expect(() => compile(g('int32', 2))).toThrow(/linear of int32; supported: nearest, or floats/);
  });
});

describe('AffineGrid', () => {
  it('C4: places in two and three dimensions are those of the reference', () => {
    for (let seed = 1; seed <= 24; seed++) {
      const next = random(seed);
      const rank = 2 + whole(next, 1);
      const size = [1 + whole(next, 2), 3, ...Array.from({ length: rank }, () => 1 + whole(next, 5))];
      const dtype = from(next, ['float32', 'float16'] as const);
      const g = graph(`affine ${seed}`, (b) => {
        const theta = b.input('theta', dtype, [size[0] ?? 1, rank, rank + 1]);
        const to = b.weight('size', { dtype: 'int64', shape: [size.length], data: BigInt64Array.from(size, BigInt) });
        b.output('y', b.add('AffineGrid', [theta, to], { align_corners: whole(next, 1) }));
      });
      check(g, { inputs: randomInputs(g, seed, false), ...CLOSE[dtype] });
    }
  });
});

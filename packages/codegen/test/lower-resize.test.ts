/** `Resize` against the reference: all modes, coordinates and shapes, over two kinds of garbage in both families. */
import { type Graph, graph, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { check, random, randomInputs } from './check.ts';

type Next = () => number;
const whole = (next: Next, most: number) => Math.floor(next() * (most + 1));
const from = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length - 1)] as T;

const COORDINATES = [
  'half_pixel',
  'half_pixel_symmetric',
  'pytorch_half_pixel',
  'align_corners',
  'asymmetric',
  'tf_half_pixel_for_nn',
  'tf_crop_and_resize',
] as const;

function randomResize(seed: number, mode: 'nearest' | 'linear' | 'cubic', dtype: 'float32' | 'int8' | 'int64'): Graph {
  const next = random(seed);
  const rank = 1 + whole(next, 3);
  const shape = Array.from({ length: rank }, () => 1 + whole(next, 8));
  const coordinates = from(next, dtype === 'float32' ? COORDINATES : COORDINATES.slice(0, -1));
  const axes = Array.from(shape.keys()).filter(() => next() < 0.6);
  const chosen = axes.length > 0 ? axes : [rank - 1];
  const bySizes = next() < 0.4;
  return graph(`${mode} ${seed}`, (b) => {
    const x = b.input('x', dtype, shape);
    const list = (name: string, values: readonly number[]) =>
      b.weight(name, { dtype: 'float32', shape: [values.length], data: Float32Array.from(values) });
    const roi =
      coordinates === 'tf_crop_and_resize'
        ? list('roi', [...chosen.map(() => next() * 0.6 - 0.3), ...chosen.map(() => 0.6 + next() * 0.8)])
        : '';
    const scales = bySizes
      ? ''
      : list(
          'scales',
          chosen.map(() => from(next, [0.5, 0.6, 1, 1.5, 2, 2, 3, 2.3])),
        );
    const lengths = chosen.map(() => BigInt(1 + whole(next, 12)));
    const sizes = bySizes
      ? b.weight('sizes', { dtype: 'int64', shape: [lengths.length], data: BigInt64Array.from(lengths) })
      : '';
    const y = b.add('Resize', bySizes ? [x, roi, scales, sizes] : [x, roi, scales], {
      axes: next() < 0.5 ? chosen : chosen.map((axis) => axis - rank),
      mode,
      coordinate_transformation_mode: coordinates,
      nearest_mode: from(next, ['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil']),
      antialias: mode === 'nearest' || next() < 0.6 ? 0 : 1,
      exclude_outside: mode === 'cubic' && next() < 0.4 ? 1 : 0,
      extrapolation_value: 7.5,
      keep_aspect_ratio_policy: bySizes ? from(next, ['stretch', 'not_larger', 'not_smaller']) : 'stretch',
    });
    b.output('y', y);
  });
}

function valid(run: () => void): boolean {
  try {
    run();
    return true;
  } catch (error) {
    if (!String((error as { code?: string }).code).startsWith('GRIM_IR')) throw error;
    return false;
  }
}

describe('Resize', () => {
  for (const mode of ['linear', 'cubic'] as const)
    it(`C4, C7: 150 random ones of mode ${mode} are within rounding of the reference`, () => {
      let checked = 0;
      for (let seed = 1; seed <= 150; seed++)
        if (
          valid(() => {
            const g = randomResize(seed, mode, 'float32');
            check(g, { inputs: randomInputs(g, seed, false), absolute: 2e-5, relative: 2e-5 });
          })
        )
          checked++;
      expect(checked).toBeGreaterThan(120);
    });

  it('C4, C7: nearest neighbours of every element size are the very elements', () => {
    let checked = 0;
    for (let seed = 1; seed <= 150; seed++)
      if (
        valid(() => {
          const g = randomResize(seed, 'nearest', (['float32', 'int8', 'int64'] as const)[seed % 3] ?? 'float32');
          check(g, { inputs: randomInputs(g, seed) });
        })
      )
        checked++;
    expect(checked).toBeGreaterThan(120);
  });

  it('an upsampling by whole factors is one copy of repeated elements', () => {
    const g = graph('upsampling', (b) => {
      const x = b.input('x', 'float32', [1, 3, 5, 6]);
      const scales = b.weight('s', {
        dtype: 'float32',
        shape: [4],
        data: Float32Array.of(1, 1, 2, 3),
      } as Tensor<'float32'>);
      b.output(
        'y',
        b.add('Resize', [x, '', scales], {
          mode: 'nearest',
          coordinate_transformation_mode: 'asymmetric',
          nearest_mode: 'floor',
        }),
      );
    });
    const { manifest } = check(g);
    expect(manifest.kernels).toHaveLength(1);
    expect(manifest.steps).toHaveLength(1 + (manifest.kernels[0]?.parameters ?? 0));
  });

  it('scales that a run computes are refused with what is supported', () => {
    const g = graph('computed', (b) => {
      const x = b.input('x', 'float32', [4]);
      const s = b.input('s', 'float32', [1]);
      b.output('y', b.add('Resize', [x, '', s], { mode: 'linear' }));
    });
    expect(() => check(g, { inputs: {} })).toThrow(expect.objectContaining({ code: 'GRIM_CODEGEN_UNSUPPORTED_OP' }));
  });
});

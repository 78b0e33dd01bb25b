/** Fourier transforms, windows and filter banks against the reference. */
import { type AttributeInput, type DType, type Graph, graph, type OpName } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.ts';
import { check, random, randomInputs } from './check.ts';

type Next = () => number;
const whole = (next: Next, most: number) => Math.floor(next() * (most + 1));
const from = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length - 1)] as T;
const int64 = (values: readonly number[], shape: readonly number[] = []) =>
  ({ dtype: 'int64', shape, data: BigInt64Array.from(values, BigInt) }) as const;

/** Sums of n terms of up to 4, each rounded to the type. */
function tolerance(dtype: DType, points: number, inverse: boolean) {
  const unit = dtype === 'float32' ? 1e-6 : dtype === 'float16' ? 1e-3 : 1e-2;
  return { absolute: (inverse ? 4 : 4 * Math.sqrt(points)) * unit + (inverse ? 0 : 1e-6 * points), relative: 3 * unit };
}

function dft(
  shape: readonly number[],
  {
    points,
    axis,
    dtype = 'float32',
    ...attributes
  }: AttributeInput<'DFT'> & { points?: number; axis?: number; dtype?: DType },
): Graph {
  return graph(`dft of ${shape} as ${points} along ${axis} ${JSON.stringify(attributes)}`, (b) => {
    const x = b.input('x', dtype, shape);
    const length = points === undefined ? '' : b.weight('length', int64([points]));
    const along = axis === undefined ? '' : b.weight('axis', int64([axis]));
    b.output('y', b.add('DFT', [x, length, along], attributes));
  });
}

describe('DFT', () => {
  it('C4, C7: 60 random transforms (inverse, one-sided, cut, extended, along any axis) are those of the reference', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const next = random(seed);
      const dtype = from(next, ['float32', 'float32', 'float16', 'bfloat16'] as const);
      const [inverse, onesided] = [whole(next, 1), whole(next, 1)];
      const rank = 2 + whole(next, 2);
      const axis = whole(next, rank - 2);
      const length = 2 + whole(next, 18);
      const components = onesided ? (inverse ? 2 : 1) : 1 + whole(next, 1);
      const shape = Array.from({ length: rank }, (_, d) =>
        d === rank - 1 ? components : d === axis ? length : 1 + whole(next, 2),
      );
      const points = next() < 0.5 ? { points: 1 + whole(next, 24) } : {};
      const place = axis === rank - 2 && next() < 0.3 ? {} : { axis: next() < 0.5 ? axis : axis - rank };
      const g = dft(shape, { inverse, onesided, dtype, ...points, ...place });
      check(g, { inputs: randomInputs(g, seed, false), ...tolerance(dtype, 24, inverse === 1) });
    }
  });

  it('long transforms are split: powers of two, other products, primes of a product, primes alone', () => {
    for (const points of [128, 360, 512, 131, 211 * 2])
      for (const [inverse, onesided, components] of [
        [0, 0, 2],
        [0, 0, 1],
        [0, 1, 1],
        [1, 0, 2],
        [1, 1, 2],
      ] as const) {
        const given = inverse && onesided ? Math.floor(points / 2) + 1 : points;
        const g = dft([3, given, components], { points, inverse, onesided });
        check(g, { inputs: randomInputs(g, points, false), ...tolerance('float32', points, inverse === 1) });
      }
  });

  it('a long one of fewer or more elements than points is cut or extended with zeros', () => {
    for (const [given, points] of [
      [100, 512],
      [512, 360],
      [40, 512],
    ] as const)
      for (const inverse of [0, 1]) {
        const g = dft([2, given, 2], { points, inverse });
        check(g, { inputs: randomInputs(g, given, false), ...tolerance('float32', points, inverse === 1) });
        const half = dft([2, given, 2], { points, inverse: 1, onesided: 1 });
        check(half, { inputs: randomInputs(half, given, false), ...tolerance('float32', points, true) });
      }
  });

  it('of a long prime, or of float64, is refused', () => {
    expect(() => compile(dft([1, 4099, 2], {}))).toThrow(
      /a transform of 4099 points; supported: lengths without a prime factor above 2039/,
    );
    expect(() => compile(dft([1, 4, 2], { dtype: 'float64' }))).toThrow(/\(DFT\): float64/);
  });
});

describe('STFT', () => {
  it('C4: frames of every step and length, with windows constant, computed or absent', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const next = random(seed);
      const dtype = from(next, ['float32', 'float32', 'float16'] as const);
      const length = from(next, [1, 2, 5, 8, 16, 31, 200]);
      const onesided = whole(next, 1);
      const shape = [1 + whole(next, 2), length + whole(next, 40), onesided ? 1 : 1 + whole(next, 1)];
      const kind = from(next, ['constant', 'input', 'none'] as const);
      const g = graph(`stft ${seed} ${kind}`, (b) => {
        const x = b.input('x', dtype, shape);
        const step = b.weight('step', int64([1 + whole(next, 12)]));
        const values = Uint16Array.from({ length }, () => 0x3800 + whole(next, 255));
        const data = dtype === 'float32' ? Float32Array.from(values, (v) => v / 0x4000) : values;
        const window =
          kind === 'none'
            ? ''
            : kind === 'input'
              ? b.input('window', dtype, [length])
              : b.weight('window', { dtype, shape: [length], data } as never);
        const size = kind === 'none' || next() < 0.3 ? b.weight('length', int64([length])) : '';
        b.output('y', b.add('STFT', [x, step, window, size], { onesided }));
      });
      check(g, { inputs: randomInputs(g, seed, false), ...tolerance(dtype, 16 * length, false) });
    }
  });
});

describe('windows and filter banks', () => {
  it('are constants of the model', () => {
    for (const op of ['HannWindow', 'HammingWindow', 'BlackmanWindow'] as const)
      for (const size of [1, 2, 7, 16])
        for (const periodic of [0, 1])
          for (const output_datatype of ['float32', 'float16', 'int32'] as const) {
            const g = graph(`${op} ${size}`, (b) => {
              b.output('y', b.add(op, [b.weight('size', int64([size]))], { periodic, output_datatype }));
            });
            check(g);
          }
    const mel = (name: OpName) =>
      graph(name, (b) => {
        const parameters = [8, 16, 8192].map((value, i) => b.weight(`p${i}`, int64([value])));
        const edges = [0, 4096].map((value, i) =>
          b.weight(`e${i}`, { dtype: 'float32', shape: [], data: Float32Array.of(value) }),
        );
        const bank = b.add('MelWeightMatrix', [...parameters, ...edges]);
        b.output('y', b.add('MatMul', [b.input('x', 'float32', [2, 9]), bank]));
      });
    check(mel('MelWeightMatrix'), { absolute: 1e-5 });
  });
});

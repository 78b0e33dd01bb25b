/** Transposed convolutions against the reference: small whole numbers, so that every order of summation is exact. */
import { blockGrid } from '@grim/bcr';
import { type Graph, graph, patternMask, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { lowerGraph } from '../src/lower/session.ts';
import { callsOf } from '../src/program.ts';
import { check, random } from './check.ts';

type Next = () => number;
const whole = (next: Next, most: number) => Math.floor(next() * (most + 1));
const from = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length - 1)] as T;

function integers(shape: readonly number[], next: Next): Tensor<'float32'> {
  const length = shape.reduce((all, dim) => all * dim, 1);
  return { dtype: 'float32', shape, data: Float32Array.from({ length }, () => whole(next, 14) - 7) };
}

/** One with everything at random, its weights constant or computed, alone or followed by what can be fused. */
function randomTransposed(seed: number): Graph {
  const next = random(seed);
  const rank = from(next, [1, 2, 2, 2, 3]);
  const groups = from(next, [1, 1, 1, 2, 3]);
  const channels = groups * (1 + whole(next, 2));
  const perGroup = 1 + whole(next, 2);
  const outputs = groups * perGroup;
  const kernel = Array.from({ length: rank }, () => 1 + whole(next, 3));
  const strides = kernel.map(() => from(next, [1, 1, 2, 3]));
  const dilations = kernel.map(() => from(next, [1, 1, 2, 3]));
  const spatial = kernel.map(() => 3 + whole(next, 4));
  const extent = kernel.map((k, i) => (k - 1) * (dilations[i] ?? 1) + 1);
  const padding = kernel.map((_, i) => whole(next, Math.max(strides[i] ?? 1, dilations[i] ?? 1) - 1));
  const kind = from(next, ['pads', 'pads', 'shape', 'SAME_UPPER', 'SAME_LOWER', 'VALID'] as const);
  const attributes = {
    group: groups,
    strides,
    dilations,
    output_padding: padding,
    ...(kind === 'pads' ? { pads: [...extent, ...extent].map((length) => whole(next, Math.min(length, 3) - 1)) } : {}),
    ...(kind === 'shape' ? { output_shape: spatial.map((n, i) => n * (strides[i] ?? 1) + whole(next, 3)) } : {}),
    ...(kind === 'pads' || kind === 'shape' ? {} : { auto_pad: kind }),
  };
  return graph(`transposed ${seed}`, (b) => {
    const x = b.input('x', 'float32', [1 + whole(next, 1), channels, ...spatial]);
    const shape = [channels, perGroup, ...kernel];
    const known = next() < 0.6;
    const w = known ? b.weight('w', integers(shape, next)) : b.input('w', 'float32', shape);
    const bias =
      next() < 0.5 ? '' : known ? b.weight('b', integers([outputs], next)) : b.input('b', 'float32', [outputs]);
    const inputs = bias === '' ? [w] : [w, bias];
    let y = b.add('ConvTranspose', [x, ...inputs], attributes, { name: 'first' });
    const tail = whole(next, 3);
    if (tail === 1) y = b.add('Relu', [y]);
    if (tail >= 2) y = b.add('Add', [b.add('ConvTranspose', [x, ...inputs], attributes, { name: 'second' }), y]);
    if (tail === 3) y = b.add('Relu', [y]);
    b.output('y', y);
    // Somebody who wants zeros around it.
    if (next() < 0.3)
      b.output(
        'z',
        b.add('MaxPool', [y], { kernel_shape: kernel.map(() => 2), pads: [...kernel, ...kernel].map(() => 1) }),
      );
  });
}

function inputsOf(g: Graph, seed: number): Record<string, Tensor> {
  const next = random(seed);
  return Object.fromEntries(Array.from(g.inputs, ([name, { shape }]) => [name, integers(shape as number[], next)]));
}

describe('transposed convolutions', () => {
  it('C1, C4, C7: 250 random ones, of 1 to 3 axes, grouped, strided, dilated, padded and fused, are exact', () => {
    let refused = 0;
    for (let seed = 1; seed <= 250; seed++) {
      const g = randomTransposed(seed);
      const inputs = inputsOf(g, seed);
      try {
        check(g, { inputs });
      } catch (error) {
        // More padding than output is left: not a valid graph.
        if (!String((error as { code?: string }).code).startsWith('GRIM_IR')) throw error;
        refused++;
      }
    }
    expect(refused).toBeLessThan(80);
  });

  it('multiplies no inserted zeros: over stride 2 a 2 × 2 kernel is four products of one tap', () => {
    const next = random(3);
    const g = graph('upsampling', (b) => {
      const x = b.input('x', 'float32', [1, 4, 6, 6]);
      b.output('y', b.add('ConvTranspose', [x, b.weight('w', integers([4, 5, 2, 2], next))], { strides: [2, 2] }));
    });
    check(g, { inputs: inputsOf(g, 3) });
    const products = callsOf(lowerGraph(g).steps).filter(({ kernel }) => kernel.name === 'f32_dense_gemm');
    expect(products.map(({ args }) => args.at(-2))).toEqual([4, 4, 4, 4]);
  });
});

describe('BCR patterns', () => {
  /** Output channels of 4 with all their taps are a block; it keeps the same input channels. */
  function pruned(keep: number, group: number, seed: number): Graph {
    const next = random(seed);
    const [channels, outputs, taps] = [32, 16, 9];
    const [perGroup, own] = [outputs / group, channels / group];
    const grid = blockGrid(outputs * taps, own, 4 * taps, own);
    const blocks = outputs / 4;
    const keptRows = Array.from({ length: blocks }, () => Uint16Array.from({ length: 4 * taps }, (_, i) => i));
    const keptCols = Array.from({ length: blocks }, () => {
      const all = Array.from({ length: own }, (_, i) => i).sort(() => next() - 0.5);
      return Uint16Array.from(all.slice(0, Math.max(Math.round(own * keep), 1))).sort();
    });
    const pattern = { grid, keptRows, keptCols };
    const mask = patternMask(pattern);
    const dense = integers([channels, perGroup, 3, 3], next);
    const data = dense.data.map((value, i) => {
      // Row (output, tap) and column (channel of the group) of the matrix that element i of [C, O / g, taps] is.
      const [channel, rest] = [Math.floor(i / (perGroup * taps)), i % (perGroup * taps)];
      const row = Math.floor(channel / own) * perGroup * taps + rest;
      return mask[row * own + (channel % own)] ? value || 1 : 0;
    });
    return graph(`pruned to ${keep} in ${group}`, (b) => {
      const w = b.weight('w', { ...dense, data, pattern });
      const strides = [1 + whole(next, 2), 1 + whole(next, 1)];
      b.output('y', b.add('ConvTranspose', [b.input('x', 'float32', [1, channels, 6, 5]), w], { group, strides }));
    });
  }

  it('C4: pruned weights take no part, in one group and in two', () => {
    for (const group of [1, 2])
      for (const keep of [0, 0.1, 0.3, 1])
        check(pruned(keep, group, 7 + group), { inputs: inputsOf(pruned(keep, group, 7 + group), 11) });
  });

  it('pruned weights are not stored', () => {
    const bytes = (keep: number) =>
      (check(pruned(keep, 1, 3), { inputs: inputsOf(pruned(keep, 1, 3), 11) }).segments ?? [])
        .filter(({ kind }) => kind === 'weights')
        .reduce((sum, segment) => sum + segment.bytes, 0);
    const kept = 0.125 * 32 * 16 * 9;
    expect(bytes(1)).toBeGreaterThanOrEqual(4 * 32 * 16 * 9);
    // Four bytes each, and biases.
    expect(bytes(0.125)).toBeLessThan(4 * kept * 1.25);
  });
});

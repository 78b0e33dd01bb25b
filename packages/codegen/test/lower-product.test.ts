/**
 * Convolutions, products and pools, dense and pruned, against the reference: small whole numbers, so that every order of
 * summation is exact and a single dropped or doubled product shows. Both families, over NaN and 0xAA as garbage.
 */
import { applyPattern, blockGrid, projectBcr } from '@grim/bcr';
import { type Graph, graph, type Tensor, type Weight } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.ts';
import { lowerGraph } from '../src/lower/session.ts';
import { check, random } from './check.ts';

type Next = () => number;
const whole = (next: Next, most: number) => Math.floor(next() * (most + 1));
const from = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length - 1)] as T;

function integers(shape: readonly number[], next: Next): Tensor<'float32'> {
  const length = shape.reduce((all, dim) => all * dim, 1);
  return { dtype: 'float32', shape, data: Float32Array.from({ length }, () => whole(next, 14) - 7) };
}

/** The weight pruned in blocks; NaN where it is pruned when asked: nothing may read it. */
function pruned(shape: readonly number[], next: Next, poison: boolean): Weight {
  const dense = integers(shape, next);
  const rows = shape[0] ?? 1;
  const cols = dense.data.length / rows;
  const grid = blockGrid(rows, cols, from(next, [1, 2, 3, 4, 8, 32]), from(next, [8, 16, 64, 65536]));
  const matrix = { rows, cols, data: dense.data };
  const pattern = projectBcr(matrix, grid, { density: from(next, [0, 0.1, 0.25, 0.6]) });
  const kept = applyPattern(matrix, pattern).data;
  const mask = applyPattern({ ...matrix, data: new Float32Array(rows * cols).fill(1) }, pattern).data;
  return { ...dense, data: poison ? kept.map((v, i) => (mask[i] ? v : Number.NaN)) : kept, pattern };
}

/** One convolution with everything at random, alone or followed by what can be fused. */
function randomConv(seed: number): { readonly dense: Graph; readonly poisoned: Graph } {
  const build = (poison: boolean) => {
    const next = random(seed);
    const rank = from(next, [1, 2, 2, 2, 2, 3]);
    const group = from(next, [1, 1, 1, 2, 3]);
    const depthwise = next() < 0.2;
    const perGroup = depthwise ? 1 : 1 + whole(next, 4);
    const groups = depthwise ? 1 + whole(next, 6) : group;
    const outputs = groups * (1 + whole(next, depthwise ? 1 : 8));
    const kernel = Array.from({ length: rank }, () => 1 + whole(next, 2));
    const strides = kernel.map(() => from(next, [1, 1, 1, 2, 3]));
    const dilations = kernel.map(() => from(next, [1, 1, 2]));
    const reach = kernel.map((k, i) => (k - 1) * (dilations[i] ?? 1) + 1);
    const auto = next() < 0.2 ? from(next, ['SAME_UPPER', 'SAME_LOWER', 'VALID'] as const) : 'NOTSET';
    const pads = [...reach, ...reach].map((length) => (auto === 'NOTSET' ? whole(next, Math.min(2, length - 1)) : 0));
    const spatial = reach.map((length) => length + whole(next, 12));
    const batch = 1 + whole(next, 1);
    const channels = groups * perGroup;
    const sparse = !depthwise && next() < 0.5;
    const attributes = { group: groups, strides, dilations, ...(auto === 'NOTSET' ? { pads } : { auto_pad: auto }) };
    return graph(`conv ${seed}`, (b) => {
      const x = b.input('x', 'float32', [batch, channels, ...spatial]);
      const shape = [outputs, perGroup, ...kernel];
      const w = b.weight('w', sparse ? pruned(shape, next, poison) : integers(shape, next));
      const bias = next() < 0.7 ? b.weight('bias', integers([outputs], next)) : '';
      const conv = (input: string, name: string) =>
        b.add('Conv', [input, w, ...(bias ? [bias] : [])], attributes, { name });
      let y = conv(x, 'first');
      const tail = whole(next, 4);
      if (tail === 1) y = b.add('Relu', [y]);
      // A residual of the same shape: a second convolution of the same input.
      if (tail >= 2) y = b.add('Add', tail === 2 ? [y, conv(x, 'second')] : [conv(x, 'second'), y]);
      if (tail === 3) y = b.add('Relu', [y]);
      if (tail === 4) {
        const low = b.weight('low', { dtype: 'float32', shape: [], data: Float32Array.of(-20) });
        const high = b.weight('high', { dtype: 'float32', shape: [], data: Float32Array.of(30) });
        y = b.add('Clip', [y, low, high]);
      }
      b.output('y', y);
      if (next() < 0.5) b.output('z', b.add('MaxPool', [y], { kernel_shape: kernel.map(() => 1) }));
    });
  };
  return { dense: build(false), poisoned: build(true) };
}

function integerInputs(g: Graph, seed: number): Record<string, Tensor> {
  const next = random(seed);
  return Object.fromEntries([...g.inputs].map(([name, { shape }]) => [name, integers(shape as number[], next)]));
}

describe('convolutions', () => {
  it('C1, C4, C7: 400 random ones, of 1 to 3 axes, grouped, strided, dilated, padded, pruned and fused, are exact', () => {
    for (let seed = 1; seed <= 400; seed++) {
      const { dense } = randomConv(seed);
      check(dense, { inputs: integerInputs(dense, seed) });
    }
  });

  it('a chain of them keeps its zeros between rows, whatever the pads and strides', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const next = random(seed);
      const g = graph('chain', (b) => {
        let x = b.input('x', 'float32', [1, 3, 11 + whole(next, 5), 13]);
        let channels = 3;
        for (let layer = 0; layer < 4; layer++) {
          const outputs = 1 + whole(next, 9);
          const k = from(next, [1, 3, 3, 5]);
          const w = integers([outputs, channels, k, k], next);
          w.data.forEach((v, i) => {
            // Sums stay below 2^24: all results are exact.
            w.data[i] = Math.sign(v);
          });
          const stride = from(next, [1, 1, 2]);
          x = b.add('Conv', [x, b.weight(`w${layer}`, w)], {
            pads: [k, k, k, k].map((n) => n >> 1),
            strides: [stride, stride],
          });
          if (next() < 0.5) x = b.add('Relu', [x]);
          channels = outputs;
        }
        b.output('y', x);
      });
      check(g, { inputs: integerInputs(g, seed) });
    }
  });

  it('pruned weights are not in the model: NaN in their places changes no byte of its constants', () => {
    const constants = (g: Graph) => lowerGraph(g).buffers.map(({ constant }) => constant);
    let compared = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const { dense, poisoned } = randomConv(seed);
      if (![...dense.weights.values()].some(({ pattern }) => pattern)) continue;
      compared++;
      // lowerGraph, as compile() would refuse values hidden below a pattern.
      expect(constants(poisoned)).toEqual(constants(dense));
    }
    expect(compared).toBeGreaterThan(50);
  });

  it('at density 0.1 the constants of a large layer, indices included, are below a seventh of the dense ones', () => {
    const next = random(5);
    const build = (pattern: boolean) =>
      graph('large', (b) => {
        const x = b.input('x', 'float32', [1, 64, 14, 14]);
        const dense = integers([128, 64, 3, 3], next);
        const matrix = { rows: 128, cols: 576, data: dense.data };
        const p = projectBcr(matrix, blockGrid(128, 576, 32, 128), { density: 0.1 });
        const w = pattern ? { ...dense, data: applyPattern(matrix, p).data, pattern: p } : dense;
        b.output('y', b.add('Conv', [x, b.weight('w', w)], { pads: [1, 1, 1, 1] }));
      });
    expect(compile(build(true)).constants.length).toBeLessThan(compile(build(false)).constants.length / 7);
  });
});

describe('Gemm and MatMul', () => {
  it('C1, C2: 200 random ones, constant and computed operands, transposed, scaled, pruned, batched, are exact', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const next = random(seed);
      const [m, k, n] = [1 + whole(next, next() < 0.5 ? 0 : 12), 1 + whole(next, 40), 1 + whole(next, 40)];
      const constant = next() < 0.7;
      const sparse = next() < 0.5;
      const g = graph('gemm', (b) => {
        if (next() < 0.5) {
          const [transA, transB] = [whole(next, 1), whole(next, 1)];
          const a = b.input('a', 'float32', transA ? [k, m] : [m, k]);
          const shape = transB ? [n, k] : [k, n];
          const w = constant
            ? b.weight('w', sparse && transB ? pruned(shape, next, false) : integers(shape, next))
            : b.input('w', 'float32', shape);
          const added = from(next, ['none', 'row', 'scalar', 'matrix', 'computed'] as const);
          const third =
            added === 'none'
              ? []
              : added === 'computed'
                ? [b.input('c', 'float32', [n])]
                : [b.weight('c', integers(added === 'row' ? [n] : added === 'scalar' ? [1] : [m, n], next))];
          let y = b.add('Gemm', [a, w, ...third], {
            transA,
            transB,
            alpha: from(next, [1, 2]),
            beta: from(next, [1, 3]),
          });
          if (next() < 0.5) y = b.add('Relu', [y]);
          b.output('y', y);
        } else {
          const stack = from(next, [[], [], [2], [2, 3]] as const);
          const a = b.input('a', 'float32', [...stack, m, k]);
          const w = constant
            ? b.weight('w', integers([k, n], next))
            : b.input('w', 'float32', from(next, [[k], [k, n], [...stack, k, n], [1, k, n]] as const));
          b.output('y', b.add('MatMul', [a, w]));
        }
      });
      check(g, { inputs: integerInputs(g, seed) });
    }
  });
});

describe('pools', () => {
  it('C1: 200 random ones, padded, strided, dilated, ceil_mode, negative inputs, agree with the reference', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const next = random(seed);
      const rank = from(next, [1, 2, 2, 3]);
      const kernel = Array.from({ length: rank }, () => 1 + whole(next, 3));
      const dilations = kernel.map(() => from(next, [1, 1, 2]));
      const reach = kernel.map((length, i) => (length - 1) * (dilations[i] ?? 1) + 1);
      const attributes = {
        kernel_shape: kernel,
        dilations,
        strides: kernel.map(() => 1 + whole(next, 2)),
        pads: [...kernel, ...kernel].map((length) => whole(next, length - 1)),
        ceil_mode: whole(next, 1),
      };
      const average = next() < 0.5;
      const g = graph('pool', (b) => {
        const x = b.input('x', 'float32', [
          1 + whole(next, 1),
          1 + whole(next, 4),
          ...reach.map((length) => length + whole(next, 12)),
        ]);
        b.output(
          'y',
          average
            ? b.add('AveragePool', [x], { ...attributes, count_include_pad: whole(next, 1) })
            : b.add('MaxPool', [x], attributes),
        );
      });
      // A mean of exact sums is off by the rounding of 1 / count and of the product.
      check(g, { inputs: integerInputs(g, seed), relative: average ? 3 * 2 ** -24 : 0 });
    }
  });
});

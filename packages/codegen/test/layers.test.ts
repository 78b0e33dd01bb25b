import { applyPattern, blockGrid, projectBcr } from '@grim/bcr';
import { graph, type Weight } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.ts';
import { randomTensor } from './check.ts';

const next = () => 0.75;

function weight(...shape: readonly number[]): Weight {
  return randomTensor('float32', shape, next, false);
}

/** A convolution with half of its weights kept, a pointwise tail, a classifier. */
const network = graph('net', (b) => {
  const w = weight(8, 4, 3, 3);
  const grid = blockGrid(8, 36, 4, 36);
  const matrix = { rows: 8, cols: 36, data: w.data as Float32Array };
  const pattern = projectBcr(matrix, grid, { density: 0.5 });
  const pruned: Weight = { dtype: 'float32', shape: w.shape, data: applyPattern(matrix, pattern).data, pattern };
  const x = b.input('x', 'float32', [1, 4, 6, 6]);
  const conv = b.add('Conv', [x, b.weight('w', pruned)], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
  const flat = b.add('Flatten', [b.add('Tanh', [conv])]);
  b.output('y', b.add('Gemm', [flat, b.weight('v', weight(10, 288))], { transB: 1 }));
});

describe('layers of the manifest', () => {
  it('state shape, density and work of every weight that is multiplied as a matrix', () => {
    const { manifest } = compile(network);
    expect(manifest.layers).toMatchObject([
      { op: 'Conv', m: 8, k: 36, n: 36, density: 0.5, macs: 8 * 36 * 36, grid: { rows: 8, cols: 36, blockRows: 4 } },
      { op: 'Gemm', m: 10, k: 288, n: 1, density: 1, macs: 2880, kernel: 'f32_lanes_gemv' },
    ]);
    expect(manifest.layers[1]).not.toHaveProperty('grid');
    expect(manifest.producer.options).toEqual({ simplify: true, threads: 4 });
    expect(compile(network, { simplify: false, memory: { reuse: false } }).manifest.producer.options).toEqual({
      simplify: false,
      threads: 4,
      reuse: false,
    });
  });

  it('name the calls that compute their node, and every call its nodes, kernel and bytes', () => {
    const { manifest, calls = [] } = compile(network);
    expect(calls.length).toBeGreaterThanOrEqual(3);
    for (const { node, calls: range = [0, 0], kernel } of manifest.layers) {
      const own = calls.slice(...range);
      expect(own.map(({ kernel: name }) => name)).toContain(kernel);
      expect(own.every(({ nodes }) => nodes[0] === node)).toBe(true);
      expect(calls.filter(({ nodes }) => nodes[0] === node)).toHaveLength(own.length);
    }
    // Weights, column list, 288 inputs and 10 outputs at least.
    expect(calls.at(-1)?.bytes).toBeGreaterThanOrEqual(4 * (2880 + 288 + 10));
  });

  it('count the constants of a recurrent layer once per step', () => {
    const recurrent = (steps: number) =>
      graph('rnn', (b) => {
        const x = b.input('x', 'float32', [steps, 1, 8]);
        const [w, r] = [b.weight('w', weight(1, 48, 8)), b.weight('r', weight(1, 48, 16))];
        b.output('y', b.add('GRU', [x, w, r], { hidden_size: 16, linear_before_reset: 1 }));
      });
    const { manifest, calls = [] } = compile(recurrent(5));
    expect(manifest.layers).toMatchObject([
      { op: 'GRU', m: 48, k: 8, n: 5, macs: 48 * 8 * 5 },
      { op: 'GRU', m: 48, k: 16, n: 5, macs: 48 * 16 * 5 },
    ]);
    const loop = calls.find(({ kernel }) => kernel.startsWith('repeat('));
    expect(loop?.bytes).toBeGreaterThanOrEqual(5 * 4 * 48 * 16);
  });

  it('are not made up for weights that nothing multiplies', () => {
    const g = graph('sum', (b) => {
      b.output('y', b.add('Add', [b.input('x', 'float32', [3]), b.weight('w', weight(3))]));
    });
    expect(compile(g).manifest.layers).toEqual([]);
  });
});

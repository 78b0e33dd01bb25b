/**
 * `explain` on layers: a choice, a reason and what would change it. The densities that it names are tried: the compiler must
 * choose otherwise on the other side of them.
 */
import { applyPattern, blockGrid, projectBcr } from '@grim/bcr';
import { type Graph, graph, type Weight } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile, productsOf } from '../src/compile.ts';
import { explain } from '../src/explain.ts';
import { random } from './check.ts';

interface Pruned {
  readonly density: number;
  readonly block: readonly [rows: number, cols: number];
}

const ROWS = 48;
const CHANNELS = 32;

function weight(rows: number, cols: number, shape: readonly number[], pruned?: Pruned): Weight {
  const next = random(7);
  const matrix = { rows, cols, data: Float32Array.from({ length: rows * cols }, () => next() - 0.5) };
  if (!pruned) return { dtype: 'float32', shape, data: matrix.data };
  const grid = blockGrid(rows, cols, pruned.block[0], Math.min(cols, pruned.block[1]));
  const pattern = projectBcr(matrix, grid, { density: pruned.density });
  return { dtype: 'float32', shape, data: applyPattern(matrix, pattern).data, pattern };
}

/** A 1×1 convolution at 20×20. */
function conv(pruned?: Pruned): Graph {
  return graph('one', (b) => {
    const w = b.weight('w', weight(ROWS, CHANNELS, [ROWS, CHANNELS, 1, 1], pruned));
    b.output('y', b.add('Conv', [b.input('x', 'float32', [1, CHANNELS, 20, 20]), w], {}, { name: 'conv' }));
  });
}

function gemm(rows: number, cols: number, batch: number, pruned?: Pruned): Graph {
  return graph('one', (b) => {
    const w = b.weight('w', weight(rows, cols, [rows, cols], pruned));
    const x = b.input('x', 'float32', [batch, cols]);
    b.output('y', b.add('Gemm', [x, w], { transB: 1 }, { name: 'dense' }));
  });
}

const reasons = (g: Graph): readonly string[] =>
  explain(g)
    .split('\n')
    .filter((line) => line.startsWith('   '))
    .map((line) => line.trim());

const isSparse = (g: Graph): boolean =>
  productsOf(g, {}).some(({ schedule: { form } }) => form !== 'dense' && form !== 'pairs' && form !== 'lanes');

const number = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1]);

describe('explain: what would change the choice', () => {
  it('dense: the share from which it would be sparse, which the compiler confirms on both sides', () => {
    const [choice = '', flip = ''] = reasons(conv());
    expect(choice).toMatch(/^48×32×400, 1\.00 kept: dense, panels .* as nothing is pruned$/);
    const low = number(flip, /sparse from (\d\.\d\d) kept down in 4×K blocks/);
    const single = number(flip, /from (\d\.\d\d) kept down row by row/);
    expect(low).toBeGreaterThan(single);
    for (const [rows, from] of [
      [4, low],
      [1, single],
    ] as const) {
      const block = [rows, CHANNELS] as const;
      expect(isSparse(conv({ density: from - 0.06, block }))).toBe(true);
      if (from < 0.94) expect(isSparse(conv({ density: from + 0.06, block }))).toBe(false);
    }
  });

  it('dense with a pattern: what was estimated, and how little must be kept in such blocks', () => {
    const block = [1, CHANNELS] as const;
    const [choice = '', flip = ''] = reasons(conv({ density: 0.75, block }));
    const ratio = number(choice, /as (\d\.\d\d) of the cycles of the dense form are estimated for the sparse one/);
    expect(ratio).toBeGreaterThan(number(choice, /less than (\d\.\d+) is asked for$/));
    const from = number(flip, /^sparse from (\d\.\d\d) kept down, in blocks like these$/);
    expect(isSparse(conv({ density: from - 0.06, block }))).toBe(true);
    expect(isSparse(conv({ density: from + 0.06, block }))).toBe(false);
  });

  it('sparse: the share from which it would be dense', () => {
    const block = [1, CHANNELS] as const;
    const found = reasons(conv({ density: 0.2, block }));
    expect(found[0]).toMatch(
      /^48×32×400, 0\.20 kept: sparse, row by row \(CSR\) .* as no rows of a block share theirs, as 0\.\d\d of/,
    );
    expect(found[1]).toMatch(/^4×K blocks of the same density would run as units, in 0\.\d\d of these cycles$/);
    const from = number(found[2] ?? '', /^dense from (\d\.\d\d) kept up, in blocks like these$/);
    expect(isSparse(conv({ density: from - 0.06, block }))).toBe(true);
    expect(isSparse(conv({ density: from + 0.06, block }))).toBe(false);
  });

  it('units are said to be units, and their height', () => {
    const [choice] = reasons(conv({ density: 0.25, block: [4, CHANNELS] }));
    expect(choice).toMatch(
      /0\.25 kept: sparse, units of up to [2-6] rows against 24 columns.*, as 0\.\d\d of the cycles/,
    );
  });

  it('one vector: rows in lanes, what covering low blocks costs, and what two vectors would take', () => {
    const vectors = (batch: number, block: Pruned['block'], density = 0.25) =>
      reasons(gemm(64, 256, batch, { density, block }));
    const one = vectors(1, [32, 64]);
    expect(one[0]).toBe('64×256×1, 0.25 kept: rows in lanes, as N = 1');
    expect(one.at(-1)).toMatch(/^with 2 columns \(a batch of 2\): sparse, /);
    expect(vectors(2, [32, 64])[0]?.split(', as ')[0]).toContain(one.at(-1)?.split(': ')[1]?.split(', as ')[0]);
    const [low = '', change] = vectors(1, [1, 64], 0.9);
    const height = number(low, /, blocks of 1×64 covered by (\d+) rows: (?:1\.00|0\.9\d) is multiplied$/);
    expect(change).toMatch(new RegExp(`^in blocks of ${height} rows 0\\.90 would be multiplied, not `));
    // Blocks of two rows leave half of each vector empty: they pay at a tenth, not at a half, where the matrix is as good as dense.
    expect(vectors(1, [2, 256], 0.1)[0]).not.toContain('covered by 32');
    expect(vectors(1, [2, 256], 0.5)[0]).toMatch(/, blocks of 2×K covered by 32 rows: 1\.00 is multiplied$/);
    expect(reasons(gemm(64, 256, 1))).toContainEqual(expect.stringMatching(/^nothing is pruned: /));
    // What would leave out next to nothing is the dense matrix: as many bytes, lists of all columns.
    const bytes = (pruned?: Pruned) => compile(gemm(64, 256, 1, pruned)).constants.length;
    expect(bytes({ density: 0.85, block: [16, 64] })).toBe(bytes());
    expect(bytes({ density: 0.5, block: [16, 64] })).toBeLessThan(bytes());
  });

  it('a schedule: that it decides, and what would be chosen without', () => {
    const g = conv({ density: 0.25, block: [4, CHANNELS] });
    const [{ key } = { key: '' }] = productsOf(g, {});
    const lines = explain(g, { schedules: { [key]: { form: 'dense' } } });
    expect(lines).toMatch(/kept: dense, as the schedule says; without it sparse, units of up to/);
  });

  it('every layer of the manifest has a reason: depthwise, grouped, computed, recurrent and integer ones too', () => {
    const g = graph('all', (b) => {
      const next = random(3);
      const values = (shape: readonly number[]) => ({
        dtype: 'float32' as const,
        shape,
        data: Float32Array.from({ length: shape.reduce((a, c) => a * c, 1) }, () => next() - 0.5),
      });
      const x = b.input('x', 'float32', [1, 8, 6, 6]);
      const depth = b.add('Conv', [x, b.weight('d', values([8, 1, 3, 3]))], { group: 8 }, { name: 'depthwise' });
      const grouped = b.add('Conv', [depth, b.weight('g', values([8, 4, 1, 1]))], { group: 2 }, { name: 'grouped' });
      const up = b.add('ConvTranspose', [grouped, b.weight('t', values([8, 4, 2, 2]))], {}, { name: 'transposed' });
      b.output('y', up);
      const s = b.input('s', 'float32', [5, 1, 8]);
      const [w, r] = [b.weight('gw', values([1, 24, 8])), b.weight('gr', values([1, 24, 8]))];
      b.output('h', b.add('GRU', [s, w, r], { hidden_size: 8 }, { name: 'gru' }));
      const q = b.input('q', 'uint8', [2, 8]);
      const integers = {
        dtype: 'int8' as const,
        shape: [8, 3],
        data: Int8Array.from({ length: 24 }, (_, i) => i - 12),
      };
      b.output('i', b.add('MatMulInteger', [q, b.weight('iw', integers)], {}, { name: 'integers' }));
    });
    const lines = explain(g).split('\n');
    const nodes = compile(g).manifest.layers.map(({ node }) => node);
    expect(new Set(nodes)).toEqual(new Set(['depthwise', 'grouped', 'transposed', 'gru', 'integers']));
    for (const node of nodes) {
      const step = lines.findIndex((line) => /^\d+\. /.test(line) && line.includes(` ${node}`));
      expect(lines[step + 1], node).toMatch(/^ {3}/);
    }
    expect(lines.join('\n')).toContain('depthwise, as each of the 8 groups has one input channel');
  });
});

/** ADMM and the reweighted group lasso, on a trainer that solves its problem exactly; and five ways to get masks wrong. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { density, nonZeros } from '@grim/bcr';
import { type BcrPattern, type Graph, patternMask, type Weight } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { type AdmmOptions, finetune, masksOf, pruneAdmm, pruneReweighted } from '../src/index.ts';
import { randomStream } from '../src/random.ts';
import { leastSquares, type Quadratic } from './least-squares.ts';

const DATA = resolve(import.meta.dirname, '../../..', process.env['GRIM_DATA'] ?? '../shared/data');
const VECTORS = join(DATA, 'reram/admm_quadratic.json');

/** Correlated inputs, outputs of a matrix with a few strong rows and columns. */
function problem(k: number, m: number, seed: number): Quadratic {
  const random = randomStream(seed);
  const normal = () => random() + random() + random() - 1.5;
  const a = Array.from({ length: 3 * k }, () => {
    const common = normal();
    return Array.from({ length: k }, (_, i) => normal() + (i % 3 === 0 ? 2 * common : 0));
  });
  const truth = Array.from({ length: k }, (_, i) =>
    Array.from({ length: m }, (_, j) => normal() * (1 + (i % 4)) * (1 + (j % 3))),
  );
  const b = a.map((row) =>
    Array.from({ length: m }, (_, j) => row.reduce((sum, v, i) => sum + v * (truth[i]?.[j] as number), normal())),
  );
  return { k, m, a, b };
}

const weightOf = (graph: { readonly weights: ReadonlyMap<string, Weight> }) => {
  const weight = graph.weights.get('w') as Weight & { readonly data: Float32Array };
  return { values: weight.data, pattern: weight.pattern as BcrPattern };
};

/** The mask of a pattern over the matrix [m, k], in the layout of the weight [k, m]. */
function maskOf(pattern: BcrPattern): Uint8Array {
  const { rows, cols } = pattern.grid;
  const matrix = patternMask(pattern);
  return Uint8Array.from(
    { length: rows * cols },
    (_, at) => matrix[(at % rows) * cols + Math.floor(at / rows)] as number,
  );
}

const admm = (q: Quadratic, more: Partial<AdmmOptions> & Pick<AdmmOptions, 'density'>) => {
  const trainer = leastSquares(q);
  return {
    trainer,
    result: pruneAdmm(trainer, { rate: 1, rho: [3, 30, 300], periods: 20, retrain: { steps: 1, rate: 1 }, ...more }),
  };
};

describe('pruning while training', () => {
  it('ADMM makes W and Z meet on a mask that is not the one it began with', async () => {
    const q = problem(24, 12, 5);
    const options = { density: { fc: 0.25 }, block: { rows: 4, cols: 8 } };
    const { history, graph, cut, final } = await admm(q, options).result;
    expect(history).toHaveLength(60);
    expect(history.at(-1)?.primal).toBeLessThan(0.02);
    expect(history.at(-1)?.primal).toBeLessThan((history[1]?.primal ?? 0) / 10);
    expect(history.at(-1)?.dual).toBeLessThan(0.02);
    expect(history.at(-1)?.flipped).toBe(0);
    // The mask is not what it began with.
    expect(history.reduce((sum, { flipped }) => sum + flipped, 0)).toBeGreaterThan(0.02);
    expect(density(weightOf(graph).pattern)).toBeLessThanOrEqual(0.25);
    expect(final.loss).toBeLessThan(cut.loss);
  });

  it('ADMM ends nearer the optimum than masking the dense solution and training on', async () => {
    let [ours, theirs] = [0, 0];
    for (const seed of [5, 6, 7, 8]) {
      const q = problem(16, 12, seed);
      const options = { density: { fc: 0.25 }, block: { rows: 4, cols: 8 } };
      // A gentle rise, so that the mask does not stand still before the weights have moved.
      const rho = Array.from({ length: 20 }, (_, i) => 1.3 ** i);
      ours += (await admm(q, { ...options, rho, periods: 3 }).result).final.loss;
      // With next to no pull, ADMM cuts where the dense solution is small.
      theirs += (await admm(q, { ...options, rho: [1e-9], periods: 1 }).result).final.loss;
    }
    expect(ours).toBeLessThan(0.85 * theirs);
  });

  it('ADMM with progressive rates takes away stage by stage, and ends at the density', async () => {
    const options = { density: { fc: 0.125 }, block: { rows: 4, cols: 8 }, rho: [3, 30, 300], periods: 2 };
    const { history, layers } = await admm(problem(24, 12, 5), { ...options, progressive: true }).result;
    const shares = history.map(({ density: share }) => share);
    [0.5, 0.5, 0.25, 0.25, 0.125, 0.125].forEach((wanted, i) => {
      expect(shares[i]).toBeLessThanOrEqual(wanted);
      expect(shares[i]).toBeGreaterThan(0.8 * wanted);
    });
    expect(layers[0]?.density).toBeLessThanOrEqual(0.125);
    const start = (await admm(problem(24, 12, 5), options).result).graph;
    await expect(admm(problem(24, 12, 5), { ...options, progressive: true, start }).result).rejects.toMatchObject({
      code: 'GRIM_PRUNE_BAD_OPTION',
    });
  });

  it('the reweighted lasso begins from a one-shot mask where one is given: what it cut is pulled hardest', async () => {
    const q = problem(16, 8, 9);
    const first = await admm(q, { density: { fc: 0.25 }, block: { rows: 1, cols: 16 } }).result;
    const { values } = weightOf(first.graph);
    const trainer = leastSquares(q, values);
    const options = { density: 0.25, layers: ['fc'], block: { rows: 1, cols: 16 }, refreshes: 1, rate: 1, strength: 1 };
    await pruneReweighted(trainer, { ...options, start: first.graph, retrain: { steps: 0, rate: 1 } });
    const strength = trainer.calls[0]?.penalties?.get('w')?.strength as Float32Array;
    const mean = (kept: boolean) => {
      const own = strength.filter((_, i) => (values[i] !== 0) === kept);
      return own.reduce((sum, value) => sum + value, 0) / own.length;
    };
    expect(mean(false)).toBeGreaterThan(2 * mean(true));
  });

  it('a new stage keeps ρ · U: nothing jumps where ρ grows', async () => {
    const targets = (dual: 'scale' | 'reset') => {
      const run = admm(problem(16, 8, 3), { density: { fc: 0.5 }, rho: [4, 16], periods: 10, dual });
      return run.result.then(() => run.trainer.calls.map(({ penalties }) => penalties?.get('w')));
    };
    // The pull ρ · (Z − U − W) that the weights feel is the same on both sides of the change, when U is scaled.
    const scaled = await targets('scale');
    const reset = await targets('reset');
    expect(scaled[9]).toEqual(reset[9]);
    expect(scaled[10]?.strength).toBe(16);
    expect(scaled[10]).not.toEqual(reset[10]);
  });

  it('ADMM begins from a one-shot mask where one is given', async () => {
    const q = problem(16, 8, 9);
    const block = { rows: 8, cols: 4 };
    const first = await admm(q, { density: { fc: 0.25 }, block }).result;
    const { trainer, result } = admm(q, { density: { fc: 0.25 }, block, start: first.graph, rho: [5], periods: 1 });
    await result;
    expect(trainer.calls[0]?.penalties?.get('w')?.target).toEqual(weightOf(first.graph).values);
  });

  it.skipIf(!existsSync(VECTORS))('ADMM with exact steps gives the iterates that were computed elsewhere', async () => {
    const { cases } = JSON.parse(readFileSync(VECTORS, 'utf8'));
    for (const { settings, A: a, B: b, history, final_W: wanted } of cases) {
      const [k, m] = [a[0].length, b[0].length];
      const { rho, iterations, crossbar_rows: size, nonzeros_per_crossbar_column: most } = settings;
      const trainer = leastSquares({ k, m, a, b });
      const states: Float32Array[] = [];
      const result = await pruneAdmm(trainer, {
        ...{ density: { fc: 0.5 }, block: { rows: 1, cols: Infinity }, rho: [rho], periods: iterations, rate: 1 },
        retrain: { steps: 0, rate: 1 },
        onPeriod: () => states.push(trainer.values().slice()),
        // At most so many non-zeros in each crossbar column: the largest.
        choose: (_, values) => {
          const mask = new Uint8Array(m * k);
          for (let filter = 0; filter < m; filter++)
            for (let top = 0; top < k; top += size) {
              const column = Array.from({ length: Math.min(size, k - top) }, (_, i) => filter * k + top + i);
              column.sort((x, y) => Math.abs(values[y] as number) - Math.abs(values[x] as number) || x - y);
              for (const at of column.slice(0, most)) mask[at] = 1;
            }
          return mask;
        },
      });
      expect(result.history).toHaveLength(iterations);
      // Weights are float32 between the steps, the vectors float64.
      const last = states.at(-1) as Float32Array;
      wanted.flat().forEach((value: number, at: number) => {
        expect(last[at]).toBeCloseTo(value, 4);
      });
      // There absolute, here relative to the weights.
      for (const { iteration, primal_residual: residual } of history) {
        const norm = Math.hypot(...(states[iteration - 1] as Float32Array));
        expect((result.history[iteration - 1]?.primal ?? 0) * norm).toBeCloseTo(residual, 4);
      }
    }
  });

  it('the reweighted lasso gives one budget to layers as they need it, and separates groups', async () => {
    const q = problem(24, 12, 5);
    const trainer = leastSquares(q);
    const { history, graph, layers, final, cut } = await pruneReweighted(trainer, {
      ...{ density: 0.25, layers: ['fc'], block: { rows: 4, cols: 8 }, rate: 1, strength: 30, refreshes: 12 },
      retrain: { steps: 1, rate: 1 },
    });
    expect(history.at(-1)?.vanishing).toBeGreaterThan(0.3);
    expect(history.at(-1)?.vanishing).toBeGreaterThan(history[0]?.vanishing ?? 1);
    expect(layers[0]?.density).toBeLessThanOrEqual(0.25);
    expect(layers[0]?.density).toBeGreaterThan(0.1);
    expect(final.loss).toBeLessThan(cut.loss);
    expect(nonZeros(weightOf(graph).pattern)).toBe(Math.round((layers[0]?.density ?? 0) * 288));
  });

  it('fine-tuning trains what the patterns of a pruned network have left, and nothing else', async () => {
    const q = problem(16, 8, 9);
    const options = { density: { fc: 0.25 }, block: { rows: 4, cols: 4 }, retrain: { steps: 0, rate: 1 } };
    const pruned = (await admm(q, { ...options, rho: [1e-9], periods: 1 }).result).graph;
    const { values, pattern } = weightOf(pruned);
    const trainer = leastSquares(q, values);
    const result = await finetune(
      { ...trainer, graph: async () => withPattern(await trainer.graph()) },
      { steps: 1, rate: 1 },
    );
    function withPattern(graph: Graph): Graph {
      const weight = { ...(graph.weights.get('w') as Weight), pattern } as Weight;
      return { ...graph, weights: new Map([['w', weight]]) };
    }
    expect(result.final.loss).toBeLessThan(0.9 * result.cut.loss);
    expect(weightOf(result.graph).pattern).toEqual(pattern);
    expect(result.layers).toMatchObject([{ name: 'fc', density: density(pattern) }]);
    const mask = maskOf(pattern);
    weightOf(result.graph).values.forEach((value, at) => {
      expect(value === 0).toBe(mask[at] === 0);
    });
    await expect(finetune(leastSquares(q), { steps: 1, rate: 1 })).rejects.toMatchObject({
      code: 'GRIM_PRUNE_NO_LAYER',
    });
  });

  it('masks come from patterns, else from the zeros of layers that have many', () => {
    const b = Array.from({ length: 4 }, (_, col) => [0, 1, 2, 3, 4].map((row) => (row === col ? 0 : 1)));
    const dense = leastSquares({ k: 4, m: 5, a: [], b }, Float32Array.from(b.flat()));
    return dense.graph().then((graph) => {
      expect(Array.from(masksOf(graph).get('w') ?? [])).toEqual(b.flat());
      const weight = graph.weights.get('w') as Weight & { readonly data: Float32Array };
      const of = (data: Float32Array, pattern?: BcrPattern) =>
        masksOf({ ...graph, weights: new Map([['w', { ...weight, data, ...(pattern && { pattern }) } as Weight]]) });
      expect(of(weight.data.map((value, i) => value || i + 1)).size).toBe(0);
      expect(of(new Float32Array(20)).size).toBe(0);
      // The pattern has the last word: what is zero by chance inside it is alive.
      const grid = { rows: 5, cols: 4, blockRows: 5, blockCols: 4 };
      const pattern = { grid, keptRows: [Uint16Array.of(0, 1)], keptCols: [Uint16Array.of(2)] };
      expect(Array.from(of(new Float32Array(20), pattern).get('w') ?? [])).toEqual(Array.from(maskOf(pattern)));
    });
  });

  it('refuses options that cannot be, before any training', async () => {
    const q = problem(8, 4, 1);
    for (const [more, code] of [
      [{ rho: [] }, 'GRIM_PRUNE_BAD_OPTION'],
      [{ rho: [Number.NaN] }, 'GRIM_PRUNE_BAD_OPTION'],
      [{ periods: 0 }, 'GRIM_PRUNE_BAD_OPTION'],
      [{ density: { fc: 0 } }, 'GRIM_PRUNE_BAD_TARGET'],
      [{ density: { fd: 0.5 } }, 'GRIM_PRUNE_NO_LAYER'],
    ] as const) {
      const { trainer, result } = admm(q, { density: { fc: 0.5 }, ...more });
      await expect(result).rejects.toMatchObject({ code });
      expect(trainer.calls).toHaveLength(0);
    }
  });
});

describe('five ways to get masks wrong, of published pruning code', () => {
  const cutOnly = { rho: [1e-9], periods: 1, retrain: { steps: 0, rate: 1 }, rate: 1 };

  /** A trainer that stands still: the weights [k, m] are the identity's solution. */
  const still = (k: number, m: number, matrix: (row: number, col: number) => number) => {
    const b = Array.from({ length: k }, (_, col) => Array.from({ length: m }, (_, row) => matrix(row, col)));
    const a = Array.from({ length: k }, (_, i) => Array.from({ length: k }, (_, j) => (i === j ? 1 : 0)));
    return leastSquares({ k, m, a, b });
  };

  it('1: a block of columns is these columns of all its rows, not a run of elements', async () => {
    // 4×6, blocks 4×3: the strong columns are 0 and 4. Cut into runs of three, each row would be two blocks of its own.
    const trainer = still(6, 4, (row, col) => (col === 0 || col === 4 ? 10 + row : 1));
    const { graph } = await pruneAdmm(trainer, { ...cutOnly, density: { fc: 1 / 3 }, block: { rows: 4, cols: 3 } });
    const { pattern } = weightOf(graph);
    expect(pattern.keptCols.map((cols) => [...cols])).toEqual([[0], [1]]);
    expect(pattern.keptRows.map((rows) => [...rows])).toEqual([
      [0, 1, 2, 3],
      [0, 1, 2, 3],
    ]);
  });

  it('M1: 2, weights that tie with the last to go follow the mask, and there are exactly as many as asked', async () => {
    const trainer = still(6, 4, () => 2);
    const { graph } = await pruneAdmm(trainer, { ...cutOnly, density: { fc: 0.5 }, block: { rows: 1, cols: 1 } });
    const { values, pattern } = weightOf(graph);
    const mask = maskOf(pattern);
    expect(nonZeros(pattern)).toBe(12);
    expect(Array.from(values, (value) => (value === 0 ? 0 : 1))).toEqual(Array.from(mask));
  });

  it('3: the remainder block keeps rows and columns of its own', async () => {
    // 5×7, blocks 4×3: the last block is one row by one column, and the strongest of all.
    const trainer = still(7, 5, (row, col) => (row === 4 && col === 6 ? 50 : row === 1 && col < 3 ? 5 : 0.1));
    const { graph } = await pruneAdmm(trainer, { ...cutOnly, density: { fc: 4 / 35 }, block: { rows: 4, cols: 3 } });
    const { pattern, values } = weightOf(graph);
    expect([...(pattern.keptRows.at(-1) ?? [])]).toEqual([0]);
    expect([...(pattern.keptCols.at(-1) ?? [])]).toEqual([0]);
    expect(values[6 * 5 + 4]).toBeCloseTo(50);
    expect([...(pattern.keptRows[0] ?? [])]).toEqual([1]);
    expect(nonZeros(pattern)).toBe(4);
  });

  it('M2: 4, a row that goes wholly goes from the weights and from the mask', async () => {
    const trainer = still(6, 4, (row) => (row === 2 ? 0.01 : 3));
    const { graph } = await pruneAdmm(trainer, { ...cutOnly, density: { fc: 0.75 }, block: { rows: 4, cols: 6 } });
    const { values, pattern } = weightOf(graph);
    expect([...(pattern.keptRows[0] ?? [])]).toEqual([0, 1, 3]);
    for (let col = 0; col < 6; col++) expect(values[col * 4 + 2]).toBe(0);
    expect(maskOf(pattern).filter((_, at) => at % 4 === 2)).toEqual(new Uint8Array(6));
  });

  it('5: a weight that is zero by chance is alive, and training may bring it back', async () => {
    // In a block of two rows that keeps a column, the upper weight is zero: masked training moves it.
    const k = 4;
    const a = Array.from({ length: k }, (_, i) => Array.from({ length: k }, (_, j) => (i === j ? 1 : 0)));
    const goal = [
      [7, 9],
      [0.1, 0.1],
      [0.1, 0.1],
      [0.1, 0.1],
    ];
    const trainer = leastSquares({ k, m: 2, a, b: goal });
    const train = trainer.train.bind(trainer);
    // Before the cut the weight happens to be exactly zero.
    trainer.train = async (options) => {
      const report = await train(options);
      if (!options.masks) trainer.values()[0] = 0;
      return report;
    };
    const { graph } = await pruneAdmm(trainer, {
      ...{ rho: [1e-9], periods: 1, rate: 1, retrain: { steps: 1, rate: 1 } },
      ...{ density: { fc: 0.25 }, block: { rows: 2, cols: 1 }, columnsOnly: true },
    });
    const { values, pattern } = weightOf(graph);
    expect(Array.from(maskOf(pattern))).toEqual([1, 1, 0, 0, 0, 0, 0, 0]);
    expect(Array.from(values)).toEqual([7, 9, 0, 0, 0, 0, 0, 0]);
  });
});

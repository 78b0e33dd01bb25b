/** Column-proportional and structured pruning, quantisation, ADMM. */

import { blockGrid, projectBcr } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';
import { patternMask } from '@grim/ir';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  admmResidual,
  admmStart,
  admmStep,
  applyStructured,
  columnNonZeros,
  projectColumnProportional,
  projectQuantised,
  quantise,
  type RealMatrix,
  structuredChoice,
} from '../src/index.ts';
import { randomIntegers } from './arrays.ts';
import { cases } from './vectors.ts';

interface ProjectionCase {
  readonly id: string;
  readonly settings: { readonly crossbar_rows: number; readonly nonzeros_per_crossbar_column: number };
  readonly matrix_rows_by_filters: readonly (readonly number[])[];
  readonly expected: readonly (readonly number[])[];
  readonly nonzeros: number;
}

interface AdmmCase {
  readonly id: string;
  readonly settings: {
    readonly rho: number;
    readonly iterations: number;
    readonly crossbar_rows: number;
    readonly nonzeros_per_crossbar_column: number;
  };
  readonly A: readonly (readonly number[])[];
  readonly B: readonly (readonly number[])[];
  readonly history: readonly {
    readonly iteration: number;
    readonly primal_residual: number;
    readonly loss_W: number;
    readonly loss_Z: number;
  }[];
  readonly final_W: readonly (readonly number[])[];
  readonly final_Z: readonly (readonly number[])[];
  readonly tolerance_abs: number;
}

/** [word lines][filters] as files have it → [filters, word lines]. */
function byFilter(rows: readonly (readonly number[])[]): RealMatrix<Float64Array> {
  const filters = rows[0]?.length ?? 0;
  const data = Float64Array.from({ length: filters * rows.length }, (_, i) => {
    return rows[i % rows.length]?.[Math.floor(i / rows.length)] ?? 0;
  });
  return { rows: filters, cols: rows.length, data };
}

const random = (rows: number, cols: number, seed: number, most = 1000): RealMatrix<Float64Array> => ({
  rows,
  cols,
  data: Float64Array.from(randomIntegers(rows, cols, seed, most, 1).data),
});

describe('counting signs apart', () => {
  it('keeps as many positive and as many negative weights in each block, the largest of either', () => {
    const data = Float64Array.from([3, -1, 2, -4, 1, -2, 5, 6]);
    const { data: kept } = projectColumnProportional({ rows: 1, cols: 8, data }, 4, 1, { perSign: true });
    expect([...kept]).toEqual([3, 0, 0, -4, 0, -2, 0, 6]);
    const { data: both } = projectColumnProportional({ rows: 1, cols: 8, data }, 4, 1);
    expect([...both]).toEqual([0, 0, 0, -4, 0, 0, 0, 6]);
  });
});

describe('column-proportional projection', () => {
  it('M1: reproduces every reference case', (ctx) => {
    const all = cases<ProjectionCase>('cp_projection', ctx);
    for (const c of all) {
      const { crossbar_rows: rows, nonzeros_per_crossbar_column: most } = c.settings;
      const projected = projectColumnProportional(byFilter(c.matrix_rows_by_filters), rows, most);
      expect(projected.data, c.id).toEqual(byFilter(c.expected).data);
      expect(projected.data.filter((value) => value !== 0).length).toBe(c.nonzeros);
    }
    expect(all.length).toBeGreaterThan(0);
  });

  it('M1: is the nearest such matrix, found by trying all, and idempotent', () => {
    const nearest = (column: readonly number[], most: number): number => {
      let best = Infinity;
      for (let subset = 0; subset < 2 ** column.length; subset++) {
        const kept = column.filter((_, i) => Math.floor(subset / 2 ** i) % 2 === 1);
        if (kept.length > most) continue;
        let lost = 0;
        column.forEach((value, i) => {
          if (Math.floor(subset / 2 ** i) % 2 === 0) lost += value * value;
        });
        best = Math.min(best, lost);
      }
      return best;
    };
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 19 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 9 }),
        fc.nat(1e6),
        (m, k, rows, most, seed) => {
          const w = random(m, k, seed, 4);
          const z = projectColumnProportional(w, rows, most);
          expect(columnNonZeros(z, rows)).toBeLessThanOrEqual(most);
          expect(projectColumnProportional(z, rows, most).data).toEqual(z.data);
          let wanted = 0;
          for (let f = 0; f < m; f++)
            for (let first = 0; first < k; first += rows)
              wanted += nearest(Array.from(w.data.subarray(f * k + first, f * k + Math.min(first + rows, k))), most);
          const lost = w.data.reduce((sum, value, i) => sum + (value - (z.data[i] ?? 0)) ** 2, 0);
          expect(lost).toBe(wanted);
        },
      ),
      { seed: 4, numRuns: 200 },
    );
  });

  it('M1: equal magnitudes keep the lower word line; M2: what stays is the weight itself, bit for bit', () => {
    const w = { rows: 1, cols: 6, data: Float32Array.from([2, -2, 2, 0.1, -0.3, 0.3]) };
    expect(Array.from(projectColumnProportional(w, 3, 2).data)).toEqual([2, -2, 0, 0, w.data[4], w.data[5]]);
    expect(Array.from(projectColumnProportional(w, 6, 1).data)).toEqual([2, 0, 0, 0, 0, 0]);
  });

  it('with a BCR pattern keeps both: zeros of the pattern, and the count per column', () => {
    const real = random(24, 100, 7);
    const w = { ...real, data: Float32Array.from(real.data) };
    const pattern: BcrPattern = projectBcr(w, blockGrid(24, 100, 8, 25), { density: 0.3 });
    const z = projectColumnProportional(w, 32, 4, { pattern });
    const mask = patternMask(pattern);
    expect(columnNonZeros(z, 32)).toBeLessThanOrEqual(4);
    z.data.forEach((value, i) => {
      if (value !== 0) expect(mask[i]).toBe(1);
    });
    const masked = { ...w, data: w.data.map((value, i) => (mask[i] ? value : 0)) };
    expect(z.data).toEqual(projectColumnProportional(masked, 32, 4).data);
  });

  it('after structured pruning, counts within the blocks of the rows that are left', () => {
    const w = random(16, 64, 9);
    const wordLines = [...Array(64).keys()].filter((i) => i % 3 !== 0);
    const z = projectColumnProportional(w, 16, 2, { wordLines });
    const left = { rows: 16, cols: wordLines.length, data: new Float64Array(16 * wordLines.length) };
    for (let f = 0; f < 16; f++)
      wordLines.forEach((line, i) => {
        left.data[f * wordLines.length + i] = z.data[f * 64 + line] ?? 0;
      });
    expect(columnNonZeros(left, 16)).toBe(2);
    expect(z.data.filter((value) => value !== 0).length).toBe(16 * 3 * 2 - 16 * 2 + 16 * 2);
  });

  it('M7: a matrix of 100 000 × 100 000 is refused with its size before anything is copied', () => {
    const huge = { rows: 1e5, cols: 1e5, data: { length: 1e10 } as unknown as Float32Array };
    for (const run of [
      () => projectColumnProportional(huge, 128, 4),
      () => quantise(huge, 8),
      () => columnNonZeros(huge, 128),
    ])
      expect(run).toThrow(
        expect.objectContaining({ code: 'GRIM_RERAM_TOO_LARGE', message: expect.stringMatching(/76294 MiB/) }),
      );
  });

  it('M1: a target that cannot be is refused', () => {
    const w = random(2, 4, 1);
    projectColumnProportional(w, 1, 0);
    for (const [rows, most] of [
      [0, 1],
      [-1, 1],
      [2.5, 1],
      [4, -1],
      [4, Number.NaN],
    ] as const)
      expect(() => projectColumnProportional(w, rows, most)).toThrow(
        expect.objectContaining({ code: 'GRIM_RERAM_BAD_TARGET' }),
      );
    expect(() => projectColumnProportional({ ...w, cols: 5 }, 4, 1)).toThrow(
      expect.objectContaining({ code: 'GRIM_RERAM_BAD_MATRIX' }),
    );
    const all = projectColumnProportional({ rows: 1, cols: 2, data: Float64Array.from([Number.NaN, 1]) }, 2, 2);
    expect(Array.from(all.data)).toEqual([0, 1]);
  });
});

describe('structured pruning for arrays', () => {
  it('keeps what fills whole arrays, and at least one fewer than before or all of it', () => {
    const w = random(64, 288, 3);
    const target = { crossbarRows: 128, crossbarCols: 128, slices: 4 } as const;
    // 60 of 64 filters would save nothing: 240 of 256 columns are two arrays still.
    const little = structuredChoice(w, { ...target, filters: 60 / 64 });
    expect(little.filters.length).toBe(64);
    const half = structuredChoice(w, { ...target, filters: 0.4, inputs: 0.6, inputRun: 9 });
    expect(half.filters.length).toBe(32);
    expect(half.inputs.length).toBe(252);
    expect([half.arraysBefore, half.arraysAfter]).toEqual([6, 2]);
    const kept = applyStructured(w, half);
    const energy = (row: number, m: RealMatrix) =>
      Array.from(m.data.subarray(row * 288, (row + 1) * 288)).reduce((sum, v) => sum + v * v, 0);
    const lowestKept = Math.min(...Array.from(half.filters, (row) => energy(row, w)));
    for (let row = 0; row < 64; row++)
      if (!half.filters.includes(row)) expect(energy(row, w)).toBeLessThanOrEqual(lowestKept);
    expect(kept.data.filter((v) => v !== 0).length).toBeLessThanOrEqual(32 * 252);
  });
});

describe('quantisation', () => {
  it('is the nearest grid point of its scale, symmetric, and idempotent', () => {
    const w = { rows: 5, cols: 40, data: random(5, 40, 6).data.map((v) => v / 777) };
    const { integers, scales } = quantise(w, 8);
    w.data.forEach((value, i) => {
      const scale = scales[Math.floor(i / 40)] ?? 1;
      expect(Math.abs(value - (integers.data[i] ?? 0) * scale)).toBeLessThanOrEqual(scale / 2 + 1e-12);
    });
    expect(Math.max(...integers.data.map(Math.abs))).toBe(127);
    const once = projectQuantised(w, 8);
    expect(Array.from(projectQuantised(once, 8).data)).toEqual(Array.from(once.data));
    expect(() => quantise({ rows: 1, cols: 1, data: Float64Array.from([Number.NaN]) }, 8)).toThrow(
      expect.objectContaining({ code: 'GRIM_RERAM_BAD_MATRIX' }),
    );
  });
});

/** Solves S·X = Y for a symmetric positive definite S by Cholesky; Y and X are [n, columns], row-major. */
function solve(s: readonly (readonly number[])[], y: Float64Array, columns: number): Float64Array {
  const n = s.length;
  const l = Array.from({ length: n }, () => new Float64Array(n));
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = s[i]?.[j] ?? 0;
      for (let p = 0; p < j; p++) sum -= (l[i]?.[p] ?? 0) * (l[j]?.[p] ?? 0);
      const row = l[i];
      if (row) row[j] = i === j ? Math.sqrt(sum) : sum / (l[j]?.[j] ?? 1);
    }
  const x = Float64Array.from(y);
  for (let c = 0; c < columns; c++) {
    for (let i = 0; i < n; i++) {
      let sum = x[i * columns + c] ?? 0;
      for (let p = 0; p < i; p++) sum -= (l[i]?.[p] ?? 0) * (x[p * columns + c] ?? 0);
      x[i * columns + c] = sum / (l[i]?.[i] ?? 1);
    }
    for (let i = n - 1; i >= 0; i--) {
      let sum = x[i * columns + c] ?? 0;
      for (let p = i + 1; p < n; p++) sum -= (l[p]?.[i] ?? 0) * (x[p * columns + c] ?? 0);
      x[i * columns + c] = sum / (l[i]?.[i] ?? 1);
    }
  }
  return x;
}

describe('ADMM', () => {
  it('M1: reproduces every iterate of the reference cases', (ctx) => {
    const all = cases<AdmmCase>('admm_quadratic', ctx);
    for (const c of all) {
      const k = c.A[0]?.length ?? 0;
      const f = c.B[0]?.length ?? 0;
      const { rho, crossbar_rows, nonzeros_per_crossbar_column: most } = c.settings;
      // State is [k, f], as in the file; the projection wants filters first.
      const transpose = (values: ArrayLike<number>, rows: number, cols: number) =>
        Float64Array.from({ length: rows * cols }, (_, i) => values[(i % rows) * cols + Math.floor(i / rows)] ?? 0);
      const project = (values: Float64Array) =>
        transpose(
          projectColumnProportional({ rows: f, cols: k, data: transpose(values, k, f) }, crossbar_rows, most).data,
          f,
          k,
        );
      const gram = Array.from({ length: k }, (_, i) =>
        Array.from({ length: k }, (_, j) => c.A.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), 0)),
      );
      const right = Float64Array.from({ length: k * f }, (_, at) =>
        c.A.reduce((sum, row, r) => sum + (row[Math.floor(at / f)] ?? 0) * (c.B[r]?.[at % f] ?? 0), 0),
      );
      const loss = (w: Float64Array) =>
        0.5 *
        c.A.reduce((total, row, r) => {
          for (let j = 0; j < f; j++) {
            const y = row.reduce((sum, a, i) => sum + a * (w[i * f + j] ?? 0), 0);
            total += (y - (c.B[r]?.[j] ?? 0)) ** 2;
          }
          return total;
        }, 0);
      let state = admmStart(k * f, 1);
      for (const expected of c.history) {
        state = admmStep(
          state,
          rho,
          (target, penalty) =>
            solve(
              gram.map((row, i) => row.map((value, j) => value + (i === j ? penalty : 0))),
              right.map((value, i) => value + penalty * (target[i] ?? 0)),
              f,
            ),
          [project],
        );
        const where = `${c.id}, iteration ${expected.iteration}`;
        expect(state.iteration, where).toBe(expected.iteration);
        expect(Math.abs(admmResidual(state) - expected.primal_residual), where).toBeLessThanOrEqual(c.tolerance_abs);
        expect(Math.abs(loss(state.w) - expected.loss_W), where).toBeLessThanOrEqual(c.tolerance_abs);
        expect(Math.abs(loss(state.z[0] ?? state.w) - expected.loss_Z), where).toBeLessThanOrEqual(c.tolerance_abs);
      }
      c.final_W.flat().forEach((value, i) => {
        expect(Math.abs((state.w[i] ?? 0) - value)).toBeLessThanOrEqual(c.tolerance_abs);
      });
      c.final_Z.flat().forEach((value, i) => {
        expect(Math.abs((state.z[0]?.[i] ?? 0) - value)).toBeLessThanOrEqual(c.tolerance_abs);
      });
    }
    expect(all.length).toBeGreaterThan(0);
  });

  it('meets two sets at once: columns of few weights, each of 8 bits', () => {
    const target = random(4, 48, 8).data.map((v) => v / 1000);
    const sets = [
      (values: Float64Array) => projectColumnProportional({ rows: 4, cols: 48, data: values }, 16, 3).data,
      (values: Float64Array) => projectQuantised({ rows: 4, cols: 48, data: values }, 8).data,
    ];
    let state = admmStart(4 * 48, 2);
    // f = ½‖W − target‖²: its minimiser with the penalty is a weighted mean.
    for (let i = 0; i < 200; i++)
      state = admmStep(
        state,
        0.5 * 1.05 ** i,
        (near, rho) => target.map((t, j) => (t + rho * (near[j] ?? 0)) / (1 + rho)),
        sets,
      );
    expect(admmResidual(state)).toBeLessThan(0.05);
    const hard = sets.reduce((w, project) => project(w), state.w);
    expect(columnNonZeros({ rows: 4, cols: 48, data: hard }, 16)).toBeLessThanOrEqual(3);
    expect(Array.from(projectQuantised({ rows: 4, cols: 48, data: hard }, 8).data)).toEqual(Array.from(hard));
  });
});

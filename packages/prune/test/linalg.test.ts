/** Products, factors and moments against sums written out. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cholesky, solve } from '../src/linalg/cholesky.ts';
import { multiplyNow, transposed, view } from '../src/linalg/gemm.ts';
import { sums } from '../src/linalg/gram.ts';
import { plainKernel, wasmKernel } from '../src/linalg/kernel.ts';
import { SILENT } from '../src/pulse.ts';
import { randomStream } from '../src/random.ts';

const numbers = (count: number, seed: number): Float64Array => {
  const random = randomStream(seed);
  return Float64Array.from({ length: count }, () => random() - 0.5);
};

describe('products', () => {
  it('equal sums written out, of any size, transposed or not', () => {
    const size = fc.integer({ min: 1, max: 140 });
    fc.assert(
      fc.property(size, size, fc.integer({ min: 1, max: 300 }), fc.boolean(), fc.boolean(), (m, n, k, ta, tb) => {
        const a = numbers(m * k, 1);
        const b = numbers(k * n, 2);
        const c = numbers(m * n, 3);
        const out = c.slice();
        multiplyNow({
          ...{ m, n, k, alpha: -1 },
          a: ta ? transposed(view(a, m)) : view(a, k),
          b: tb ? transposed(view(b, k)) : view(b, n),
          c: { ...view(out, n), data: out },
        });
        for (let i = 0; i < m; i++)
          for (let j = 0; j < n; j++) {
            let sum = c[i * n + j] as number;
            for (let p = 0; p < k; p++)
              sum -= (a[ta ? p * m + i : i * k + p] as number) * (b[tb ? j * k + p : p * n + j] as number);
            expect(out[i * n + j]).toBeCloseTo(sum, 11);
          }
      }),
      { seed: 5, numRuns: 25 },
    );
  });

  it('have the same bits in WebAssembly and in plain loops', () => {
    const simd = wasmKernel();
    if (!simd) throw new Error('this engine has no WebAssembly SIMD; the test needs it');
    const [m, n, k] = [67, 131, 517];
    const a = numbers(m * k, 1);
    const b = numbers(k * n, 2);
    const results = [simd, plainKernel()].map((kernel) => {
      const out = new Float64Array(m * n);
      multiplyNow({ m, n, k, a: view(a, k), b: view(b, n), c: { ...view(out, n), data: out } }, kernel);
      return out;
    });
    expect(results[0]).toEqual(results[1]);
  });
});

describe('Cholesky', () => {
  it('solves X · A = B for sizes on both sides of a block', async () => {
    for (const size of [1, 2, 63, 64, 65, 150]) {
      const root = numbers(size * size, size);
      const a = new Float64Array(size * size);
      multiplyNow({
        ...{ m: size, n: size, k: size },
        a: view(root, size),
        b: transposed(view(root, size)),
        c: { ...view(a, size), data: a },
      });
      for (let i = 0; i < size; i++) a[i * size + i] = (a[i * size + i] as number) + 0.5;
      const rows = 3;
      const b = numbers(rows * size, 9);
      const x = b.slice();
      await solve(await cholesky(a, size, SILENT), x, rows, SILENT);
      for (let r = 0; r < rows; r++)
        for (let j = 0; j < size; j++) {
          let sum = 0;
          for (let i = 0; i < size; i++) sum += (x[r * size + i] as number) * (a[i * size + j] as number);
          expect(sum).toBeCloseTo(b[r * size + j] as number, 9);
        }
    }
  });

  it('refuses a matrix that is not positive definite, and names the pivot', async () => {
    const a = Float64Array.of(1, 2, 2, 1);
    await expect(cholesky(a, 2, SILENT)).rejects.toMatchObject({ code: 'GRIM_PRUNE_SINGULAR', details: { pivot: 1 } });
    // The control: the same with a diagonal that is large enough.
    await expect(cholesky(a, 2, SILENT, 2)).resolves.toMatchObject({ size: 2 });
  });
});

describe('moments', () => {
  it('M4: equal means and covariances written out, and do not depend on how samples are cut into batches', async () => {
    const [count, k, m] = [300, 37, 5];
    const x = Float32Array.from(numbers(count * k, 1), (v) => v + 2);
    const y = Float32Array.from(numbers(count * m, 2));
    const whole = sums(k, m);
    await whole.add(x, y, count, SILENT);
    const { h, g, meanX, meanY } = whole.moments(true);
    const mean = (data: Float32Array, width: number, i: number) => {
      let sum = 0;
      for (let s = 0; s < count; s++) sum += data[s * width + i] as number;
      return sum / count;
    };
    for (let i = 0; i < k; i++) {
      expect(meanX[i]).toBeCloseTo(mean(x, k, i), 12);
      for (let j = 0; j < k; j++) {
        let sum = 0;
        for (let s = 0; s < count; s++)
          sum += ((x[s * k + i] as number) - mean(x, k, i)) * ((x[s * k + j] as number) - mean(x, k, j));
        expect(h[i * k + j]).toBeCloseTo(sum / count, 10);
      }
    }
    let cross = 0;
    for (let s = 0; s < count; s++) cross += ((y[s * m + 3] as number) - mean(y, m, 3)) * (x[s * k + 7] as number);
    expect(g[3 * k + 7]).toBeCloseTo(cross / count, 10);
    expect(meanY[3]).toBeCloseTo(mean(y, m, 3), 12);

    // Sums go on sample by sample within a tile of the product, so a cut at its size changes no bit.
    const parts = sums(k, m);
    await parts.add(x.subarray(0, 256 * k), y.subarray(0, 256 * m), 256, SILENT);
    await parts.add(x.subarray(256 * k), y.subarray(256 * m), count - 256, SILENT);
    expect(parts.moments(true).h).toEqual(h);
  });
});

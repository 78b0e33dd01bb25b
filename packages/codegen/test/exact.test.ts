/** Small integers: every product and sum is exact in float32, so a kernel has to be right to the last bit. */
import { blockGrid, densePattern } from '@grim/bcr';
import { patternMask } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import {
  addGemm,
  addGemv,
  addSpmm,
  encodeLanes,
  encodeUnits,
  gemmName,
  gemvName,
  maxTileRows,
  packGemm,
  spmmName,
} from '../src/index.ts';
import { packPairs } from '../src/kernels/gemm.ts';
import { FIRST_TOUCH, LAST_TOUCH } from '../src/kernels/units.ts';
import { compile, FAMILIES, familyName, type Kernel } from './arena.ts';
import { integers, matrixOf, poisoned, product, random, randomPattern } from './matrices.ts';

const LIMIT = 65;
/** Rows of X and Y are this long whatever N is: the gap must stay as it was. */
const PITCH = 4 * LIMIT;
const GAP = 0x7fc0aaaa;
const epilogue = { activation: 'relu', residual: true } as const;

/** One memory for all sizes: Y between canaries, X so that its last element is the last of the memory. */
function bench(module: WebAssembly.Module, pages: number) {
  const memory = new WebAssembly.Memory({ initial: pages });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const end = pages * 65536;
  const y = 4096;
  const residual = y + PITCH * LIMIT + 4096;
  const stream = residual + PITCH * LIMIT + 4096;
  const words = new Int32Array(memory.buffer, y - 4096, (residual - y + 4096) / 4);
  const values = new Float32Array(memory.buffer, y, LIMIT * LIMIT);
  return {
    memory,
    y,
    residual,
    stream,
    kernel: (name: string) => exports[name] as Kernel,
    /** Address of X when `length` floats of it exist. */
    xFor: (length: number) => end - 4 * length,
    poison: () => words.fill(GAP),
    /** The first place where Y is not `expected(row, col)` or a canary is gone, or -1. */
    wrong: (m: number, n: number, expected: (row: number, col: number) => number) => {
      for (let row = 0; row < m; row++) {
        for (let col = 0; col < n; col++)
          if (values[row * LIMIT + col] !== expected(row, col)) return row * LIMIT + col;
        for (let i = row * LIMIT + n; i < (row + 1) * LIMIT; i++) if (words[1024 + i] !== GAP) return i;
      }
      for (let i = 0; i < 1024; i++) if (words[i] !== GAP) return i - 1024;
      for (let i = 1024 + m * LIMIT; i < words.length; i++) if (words[i] !== GAP) return i - 1024;
      return -1;
    },
  };
}

describe.each(FAMILIES)('kernels with relaxed: $relaxed', (family) => {
  const next = random(2);
  const a = matrixOf(LIMIT, LIMIT, integers(LIMIT * LIMIT, 3, next));
  const b = matrixOf(LIMIT, LIMIT, integers(LIMIT * LIMIT, 4, next));
  const bias = integers(LIMIT, 9, next);
  const residual = integers(LIMIT * LIMIT, 9, next);
  const relu = (value: number) => Math.max(value, 0);
  const sub = (rows: number, cols: number) =>
    matrixOf(
      rows,
      cols,
      Float32Array.from({ length: rows * cols }, (_, i) => a.data[Math.floor(i / cols) * LIMIT + (i % cols)] ?? 0),
    );

  it(`C2, C4, C7: dense products of every m, n in 1…65 and k in 0…65 are exact (${familyName(family)})`, () => {
    const t = bench(
      compile((module) => addGemm(module, { ...family, epilogue })),
      32,
    );
    const gemm = t.kernel(gemmName({ ...family, epilogue }));
    new Float32Array(t.memory.buffer, t.residual, residual.length).set(residual);
    const offsets = t.stream;
    new Int32Array(t.memory.buffer, offsets, LIMIT).set(Int32Array.from({ length: LIMIT }, (_, k) => k * PITCH));
    const sums = new Float64Array(LIMIT * LIMIT);
    let wrong = '';
    for (let k = 0; k <= LIMIT; k++) {
      for (let i = 0; i < LIMIT; i++)
        for (let j = 0; j < LIMIT; j++)
          sums[i * LIMIT + j] =
            k === 0
              ? (bias[i] as number)
              : (sums[i * LIMIT + j] as number) +
                (a.data[i * LIMIT + k - 1] as number) * (b.data[(k - 1) * LIMIT + j] as number);
      const packs: number[] = [];
      let at = offsets + PITCH;
      for (let m = 1; m <= LIMIT; m++) {
        const pack = packGemm(sub(m, k), family, bias.slice(0, m));
        new Float32Array(t.memory.buffer, at, pack.length).set(pack);
        packs.push(at);
        at += pack.byteLength;
      }
      for (let n = 0; n <= LIMIT; n++) {
        const length = k === 0 ? 0 : (k - 1) * LIMIT + n;
        const x = t.xFor(length);
        expect(x).toBeGreaterThanOrEqual(at);
        new Float32Array(t.memory.buffer, x, length).set(b.data.subarray(0, length));
        for (let m = 1; m <= LIMIT; m++) {
          t.poison();
          gemm(n, x, t.y, 32, 32, t.residual, packs[m - 1] as number, offsets, m, k, PITCH);
          const found = t.wrong(m, n, (i, j) =>
            relu((sums[i * LIMIT + j] as number) + (residual[i * LIMIT + j] as number)),
          );
          if (found >= 0) wrong ||= `m ${m}, n ${n}, k ${k}: element ${found}`;
        }
      }
    }
    expect(wrong).toBe('');
  });

  it(`C2, C4: dense products in tiles of 24 columns and one to three passes over k are exact (${familyName(family)})`, () => {
    const t = bench(
      compile((module) => addGemm(module, { ...family, epilogue, columns: 24 })),
      32,
    );
    const gemm = t.kernel(gemmName({ ...family, epilogue, columns: 24 }));
    new Float32Array(t.memory.buffer, t.residual, residual.length).set(residual);
    const offsets = t.stream;
    new Int32Array(t.memory.buffer, offsets, LIMIT).set(Int32Array.from({ length: LIMIT }, (_, k) => k * PITCH));
    let wrong = '';
    for (const k of [1, 2, 3, 5, 16, 37, LIMIT])
      for (const m of [1, 2, 3, 7, 32, LIMIT]) {
        const count = Math.min(k, 1 + (m % 3));
        const cuts = Array.from({ length: count + 1 }, (_, i) => Math.floor((i * k) / count));
        const passes = cuts.slice(1).map((to, i) => [cuts[i] ?? 0, to] as const);
        const packed = packPairs(sub(m, k), passes, bias.slice(0, m));
        const at = offsets + PITCH;
        new Float32Array(t.memory.buffer, at, packed.data.length).set(packed.data);
        const sums = Array.from({ length: m * LIMIT }, (_, e) => {
          const [i, j] = [Math.floor(e / LIMIT), e % LIMIT];
          let sum = bias[i] as number;
          for (let q = 0; q < k; q++) sum += (a.data[i * LIMIT + q] as number) * (b.data[q * LIMIT + j] as number);
          return sum;
        });
        for (let n = 0; n <= LIMIT; n++) {
          const length = (k - 1) * LIMIT + n;
          const x = t.xFor(length);
          expect(x).toBeGreaterThanOrEqual(at + packed.data.byteLength);
          new Float32Array(t.memory.buffer, x, length).set(b.data.subarray(0, length));
          t.poison();
          packed.passes.forEach(({ from, to, start }, pass) => {
            const flags = (pass === 0 ? FIRST_TOUCH : 0) | (pass === count - 1 ? LAST_TOUCH : 0);
            const [weights, list] = [at + 4 * start, offsets + 4 * from];
            gemm(n, x, t.y, 96, 96, t.residual, weights, list, m, to - from, PITCH, flags);
          });
          const found = t.wrong(m, n, (i, j) =>
            relu((sums[i * LIMIT + j] as number) + (residual[i * LIMIT + j] as number)),
          );
          if (found >= 0) wrong ||= `m ${m}, n ${n}, k ${k}: element ${found}`;
        }
      }
    expect(wrong).toBe('');
  });

  it.each([8, 24] as const)(
    `C2, C4, C7: sparse products of every m, n and k up to 65 are exact, tiles of %i columns (${familyName(family)})`,
    (columns) => {
      const t = bench(
        compile((module) => addSpmm(module, { ...family, epilogue, columns })),
        4,
      );
      const spmm = t.kernel(spmmName({ ...family, epilogue, columns }));
      new Float32Array(t.memory.buffer, t.residual, residual.length).set(residual);
      let wrong = '';
      for (let m = 1; m <= LIMIT; m++)
        for (let k = 1; k <= LIMIT; k++) {
          const keep = [0.15, 0.4, 0.8, 1][Math.floor(next() * 4)] ?? 1;
          const pattern = randomPattern(m, k, 1 + Math.floor(next() * 20), 1 + Math.floor(next() * 40), keep, next);
          const mask = patternMask(pattern);
          const matrix = poisoned(sub(m, k), mask);
          const { words, weights } = encodeUnits(matrix, pattern, {
            tallest: maxTileRows(family),
            columns,
            xOffset: (i) => i * PITCH,
            yOffset: (i) => i * PITCH,
            bias: bias.slice(0, m),
          });
          const { value } = product(matrix, mask, matrixOf(k, LIMIT, b.data), bias);
          new Int32Array(t.memory.buffer, t.stream, words.length).set(words);
          const weightsAt = t.stream + words.byteLength;
          new Float32Array(t.memory.buffer, weightsAt, weights.length).set(weights);
          // Sizes around the tile widths always, the rest in turn.
          for (let n = 0; n <= LIMIT; n++) {
            if (n > 24 && (n + m + k) % 8 !== 0) continue;
            const length = (k - 1) * LIMIT + n;
            const x = t.xFor(length);
            new Float32Array(t.memory.buffer, x, length).set(b.data.subarray(0, length));
            t.poison();
            spmm(n, x, t.y, 4 * columns, 4 * columns, t.residual, t.stream, weightsAt);
            const found = t.wrong(m, n, (i, j) =>
              relu((value[i * LIMIT + j] as number) + (residual[i * LIMIT + j] as number)),
            );
            if (found >= 0) wrong ||= `m ${m}, n ${n}, k ${k}: element ${found}`;
          }
        }
      expect(wrong).toBe('');
    },
  );

  it(`C2, C4, C7: sparse and dense matrix-vector products of every m and k up to 65 are exact (${familyName(family)})`, () => {
    const t = bench(
      compile((module) => addGemv(module, { ...family, epilogue })),
      4,
    );
    const gemv = t.kernel(gemvName({ ...family, epilogue }));
    new Float32Array(t.memory.buffer, t.residual, residual.length).set(residual);
    let wrong = '';
    for (let m = 1; m <= LIMIT; m++)
      for (let k = 1; k <= LIMIT; k++)
        for (const keep of [0, 0.3, 0.7, 1]) {
          const pattern =
            keep === 1
              ? densePattern(blockGrid(m, k, 1 + (k % m), k))
              : randomPattern(m, k, 1 + Math.floor(next() * 65), 1 + Math.floor(next() * 65), keep, next);
          const mask = patternMask(pattern);
          const matrix = poisoned(sub(m, k), mask);
          const { words, weights } = encodeLanes(matrix, pattern, { xOffset: (i) => 4 * i, bias: bias.slice(0, m) });
          const { value } = product(matrix, mask, matrixOf(k, 1, b.data.slice(0, k)), bias);
          new Int32Array(t.memory.buffer, t.stream, words.length).set(words);
          const weightsAt = t.stream + words.byteLength;
          new Float32Array(t.memory.buffer, weightsAt, weights.length).set(weights);
          const x = t.xFor(k);
          new Float32Array(t.memory.buffer, x, k).set(b.data.subarray(0, k));
          t.poison();
          gemv(m, x, t.y, t.residual, t.stream, weightsAt);
          // Y is a vector: one row of the pitch.
          const y = new Float32Array(t.memory.buffer, t.y, m);
          const right = y.every((found, i) => found === relu((value[i] as number) + (residual[i] as number)));
          const guards = new Int32Array(t.memory.buffer, t.y - 4096, 1024).every((word) => word === GAP);
          const behind = new Int32Array(t.memory.buffer, t.y + 4 * m, 1024).every((word) => word === GAP);
          if (!right || !guards || !behind) wrong ||= `m ${m}, k ${k}, keep ${keep}`;
        }
    expect(wrong).toBe('');
  });
});

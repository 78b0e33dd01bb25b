/**
 * Rounding errors of the kernels on real numbers, against float64: the gates N1 (theorem), N2 (per element) and N3 (root
 * mean square) of the numerics document, with u = 2^-24 and n = K + 2 roundings (bias and sum of the chains included).
 */
import { blockGrid, densePattern, type Matrix } from '@grim/bcr';
import { type BcrPattern, fromFloat16, patternMask, toFloat16 } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import {
  addGemm,
  addGemv,
  addSpmm,
  encodeLanes,
  encodeRows,
  encodeUnits,
  type Family,
  gemmName,
  gemvName,
  maxTileRows,
  packGemm,
  spmmName,
} from '../src/index.ts';
import { arena, compile, FAMILIES, familyName } from './arena.ts';
import { type Expected, matrixOf, product, type Random, random, randomPattern } from './matrices.ts';

const U = 2 ** -24;
const epilogue = { activation: 'none', residual: false } as const;

/** Which gates fail. */
function failing(found: Float32Array, { value, scale }: Expected, n: number): string[] {
  const gates = new Set<string>();
  let squares = 0;
  for (let i = 0; i < found.length; i++) {
    const error = Math.abs((found[i] as number) - (value[i] as number));
    const d = scale[i] as number;
    if (!(error <= ((n * U) / (1 - n * U)) * d + 2 ** -149)) gates.add('N1');
    if (!(error <= (8 + 2 * Math.sqrt(n)) * U * d + 2 ** -149)) gates.add('N2');
    squares += d === 0 ? 0 : (error / (U * d)) ** 2;
  }
  if (found.length >= 256 && !(Math.sqrt(squares / found.length) <= 1 + 0.35 * Math.sqrt(n))) gates.add('N3');
  return [...gates].sort();
}

const normal = (next: Random) => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
const DATA: Readonly<Record<string, (next: Random) => number>> = {
  normal,
  positive: (next) => next(),
  'wide exponents': (next) => normal(next) * 2 ** Math.floor(next() * 41 - 20),
  'one in eight': (next) => (next() < 0.125 ? normal(next) : 0),
  cancelling: (next) => (next() < 0.5 ? 1000 : -1000) + next(),
  subnormal: (next) => normal(next) * 2 ** -130,
};

interface Case {
  readonly matrix: Matrix;
  readonly b: Matrix;
  readonly bias: Float32Array;
  readonly pattern: BcrPattern;
}

function gemm(family: Family, { matrix, b, bias }: Case): Float32Array {
  const { rows: m, cols: k } = matrix;
  const n = b.cols;
  const module = compile((builder) => addGemm(builder, { ...family, epilogue }));
  const offsets = Int32Array.from({ length: k }, (_, i) => 4 * n * i);
  const y = new Float32Array(m * n).fill(Number.NaN);
  const t = arena(module, { a: packGemm(matrix, family, bias), offsets, y, x: b.data }, 'x');
  t.call(gemmName({ ...family, epilogue }), n, t.at.x, t.at.y, 32, 32, 0, t.at.a, t.at.offsets, m, k, 4 * n);
  return t.read('y');
}

function spmm(
  family: Family,
  { matrix, b, bias, pattern }: Case,
  columns: 8 | 24,
  form: 'units' | 'rows',
): Float32Array {
  const n = b.cols;
  const module = compile((builder) => addSpmm(builder, { ...family, epilogue, columns }));
  const options = {
    tallest: maxTileRows(family),
    columns,
    xOffset: (k: number) => 4 * n * k,
    yOffset: (row: number) => 4 * n * row,
    bias,
  };
  const { words, weights } =
    form === 'rows'
      ? encodeRows(matrix, patternMask(pattern), options)
      : encodeUnits(matrix, pattern, { ...options, form });
  const y = new Float32Array(matrix.rows * n).fill(Number.NaN);
  const t = arena(module, { words, weights, y, x: b.data }, 'x');
  const step = 4 * columns;
  t.call(spmmName({ ...family, epilogue, columns }), n, t.at.x, t.at.y, step, step, 0, t.at.words, t.at.weights);
  return t.read('y');
}

function gemv(family: Family, { matrix, b, bias, pattern }: Case): Float32Array {
  const module = compile((builder) => addGemv(builder, { ...family, epilogue }));
  const { words, weights } = encodeLanes(matrix, pattern, { xOffset: (k) => 4 * k, bias });
  const y = new Float32Array(matrix.rows).fill(Number.NaN);
  const t = arena(module, { words, weights, y, x: b.data }, 'x');
  t.call(gemvName({ ...family, epilogue }), matrix.rows, t.at.x, t.at.y, 0, t.at.words, t.at.weights);
  return t.read('y');
}

function make(m: number, k: number, n: number, draw: (next: Random) => number, seed: number): Case {
  const next = random(seed);
  const values = (length: number) => Float32Array.from({ length }, () => draw(next));
  const pattern = randomPattern(m, k, 16, 64, 0.5, next);
  return { matrix: matrixOf(m, k, values(m * k)), b: matrixOf(k, n, values(k * n)), bias: values(m), pattern };
}

describe.each(FAMILIES)('rounding errors with relaxed: $relaxed', (family) => {
  for (const [data, draw] of Object.entries(DATA))
    it.each([64, 1024, 4608])(
      `N1, N2, N3: products of ${data} numbers with K = %i pass (${familyName(family)})`,
      (k) => {
        const matrices = make(23, k, 29, draw, k);
        const dense = product(matrices.matrix, undefined, matrices.b, matrices.bias);
        const sparse = product(matrices.matrix, patternMask(matrices.pattern), matrices.b, matrices.bias);
        const vector = make(300, k, 1, draw, k + 1);
        const sparseVector = product(vector.matrix, patternMask(vector.pattern), vector.b, vector.bias);
        expect({
          gemm: failing(gemm(family, matrices), dense, k + 2),
          'units 8': failing(spmm(family, matrices, 8, 'units'), sparse, k + 2),
          'units 24': failing(spmm(family, matrices, 24, 'units'), sparse, k + 2),
          rows: failing(spmm(family, matrices, 24, 'rows'), sparse, k + 2),
          gemv: failing(gemv(family, vector), sparseVector, k + 2),
        }).toEqual({ gemm: [], 'units 8': [], 'units 24': [], rows: [], gemv: [] });
      },
    );

  it(`N3: the gates do notice weights rounded to float16, and one product that is missing (${familyName(family)})`, () => {
    const matrices = make(23, 1024, 29, normal, 3);
    const { matrix, b, bias } = matrices;
    const expected = product(matrix, undefined, b, bias);
    const rounded = matrixOf(
      23,
      1024,
      matrix.data.map((value) => fromFloat16(toFloat16(value))),
    );
    expect(failing(gemm(family, { ...matrices, matrix: rounded }), expected, 1026)).toContain('N3');
    const dropped = matrixOf(23, 1024, matrix.data.slice());
    for (let row = 0; row < 23; row++) dropped.data[row * 1024 + 1023] = 0;
    expect(failing(gemm(family, { ...matrices, matrix: dropped }), expected, 1026)).toEqual(['N1', 'N2', 'N3']);
    const whole = densePattern(blockGrid(23, 1024, 16, 64));
    expect(failing(spmm(family, { ...matrices, pattern: whole }, 8, 'units'), expected, 1026)).toEqual([]);
  });
});

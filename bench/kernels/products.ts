/**
 * Dense and sparse products on layer shapes: C[M,N] = A[M,K] · B[K,N], X and Y as rows of N (CHW). Rows are padded to a
 * multiple of 8 and the padding is computed too, as a planner would have it; only useful columns count as work.
 */
import { blockGrid, densePattern, type Matrix, nonZeros } from '@grim/bcr';
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
  ModuleBuilder,
  maxTileRows,
  packGemm,
  spmmName,
} from '@grim/codegen';
import { type BcrPattern, patternMask } from '@grim/ir';
import type { Candidate } from './measure.ts';
import { type Arena, checkColumn, randomMatrix, syntheticPattern } from './workload.ts';

export type Shape = readonly [m: number, k: number, n: number];
export interface Block {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
}

type Kernel = (...parameters: readonly number[]) => void;
const epilogue = { activation: 'none', residual: false } as const;

export function kernels(family: Family, arena: Arena): (name: string) => Kernel {
  const module = new ModuleBuilder();
  for (const gather of [false, true]) {
    addGemm(module, { ...family, epilogue, gather });
    for (const columns of [8, 24] as const) addSpmm(module, { ...family, epilogue, columns, gather });
  }
  addGemv(module, { ...family, epilogue });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.build()), { env: { memory: arena.memory } });
  return (name) => instance.exports[name] as Kernel;
}

export function productCandidates(
  arena: Arena,
  family: Family,
  kernel: (name: string) => Kernel,
  [m, k, n]: Shape,
  blocks: readonly Block[],
  compressions: readonly number[],
): Candidate[] {
  const found: Candidate[] = [];
  const a = randomMatrix(m, k, m + k);
  const pitch = Math.ceil(n / 8) * 8;
  const b = randomMatrix(k, pitch, k + n);
  const x = arena.place(b.data);
  const y = arena.reserve(m * pitch);
  const label = `${m}x${k}x${n}`;
  const add = (
    name: string,
    kept: (row: number, col: number) => boolean,
    nonZero: number,
    run: () => void,
    facts = {},
  ) => {
    arena.floats(y, m * pitch).fill(Number.NaN);
    run();
    const out = arena.floats(y, m * pitch);
    for (const column of new Set([0, n >> 1, n - 1]))
      checkColumn(
        name,
        a,
        kept,
        (i) => b.data[i * pitch + column] ?? 0,
        (row) => out[row * pitch + column] ?? Number.NaN,
      );
    found.push({ name: `${label} ${name}`, flops: 2 * nonZero * n, run, facts });
  };

  const offsets = arena.place(Int32Array.from({ length: k }, (_, i) => 4 * pitch * i));
  const packed = arena.place(packGemm(a, family));
  const gemm = kernel(gemmName({ ...family, epilogue }));
  add(
    'dense',
    () => true,
    m * k,
    () => gemm(pitch, x, y, 32, 32, 0, packed, offsets, m, k, 4 * pitch),
  );
  const panel = arena.reserve(k * 24);
  const inPanel = arena.place(Int32Array.from({ length: k }, (_, i) => 32 * i));
  const gathering = kernel(gemmName({ ...family, epilogue, gather: true }));
  add(
    'dense, gathered',
    () => true,
    m * k,
    () => gathering(pitch, x, y, 32, 32, 0, packed, inPanel, m, k, 4 * pitch, offsets, k, panel),
  );

  for (const compression of compressions) {
    for (const { name, rows, cols } of blocks) {
      const pattern = syntheticPattern(m, k, rows, cols, compression, m + k + rows);
      const mask = patternMask(pattern);
      for (const columns of [8, 24] as const)
        for (const gather of [false, true]) {
          const stream = encodeUnits(a, pattern, unitOptions(family, columns, pitch, gather));
          const words = arena.place(stream.words);
          const weights = arena.place(stream.weights);
          const spmm = kernel(spmmName({ ...family, epilogue, columns, gather }));
          add(
            `${name} ${compression}x tile ${columns}${gather ? ', gathered' : ''}`,
            (row, col) => mask[row * k + col] === 1,
            nonZeros(pattern),
            () => spmm(pitch, x, y, 4 * columns, 4 * columns, 0, words, weights, offsets, k, panel),
            { units: stream.units, predictedCycles: (stream.cycles * pitch) / 24 },
          );
        }
    }
    const scattered = scatter(a, compression);
    const stream = encodeRows(a, scattered, unitOptions(family, 24, pitch, false));
    const words = arena.place(stream.words);
    const weights = arena.place(stream.weights);
    const spmm = kernel(spmmName({ ...family, epilogue, columns: 24 }));
    add(
      `CSR ${compression}x tile 24`,
      (row, col) => scattered[row * k + col] === 1,
      scattered.reduce((sum, bit) => sum + bit, 0),
      () => spmm(pitch, x, y, 96, 96, 0, words, weights),
      { units: stream.units },
    );
  }
  return found;
}

function unitOptions(family: Family, columns: 8 | 24, pitch: number, gather: boolean) {
  const yOffset = (i: number) => 4 * pitch * i;
  return { tallest: maxTileRows(family), columns, xOffset: gather ? (i: number) => 4 * columns * i : yOffset, yOffset };
}

function scatter({ rows, cols }: Matrix, compression: number): Uint8Array {
  const values = randomMatrix(rows, cols, 7).data;
  return Uint8Array.from(values, (value) => (value + 0.5 < 1 / compression ? 1 : 0));
}

export function gemvCandidates(
  arena: Arena,
  family: Family,
  kernel: (name: string) => Kernel,
  [m, k]: readonly [m: number, k: number],
  blocks: readonly Block[],
  compressions: readonly number[],
): Candidate[] {
  const a = randomMatrix(m, k, m + k);
  const b = randomMatrix(k, 1, k);
  const x = arena.place(b.data);
  const y = arena.reserve(m);
  const gemv = kernel(gemvName({ ...family, epilogue }));
  const patterns: (readonly [name: string, pattern: BcrPattern])[] = [
    ['dense', densePattern(blockGrid(m, k, 32, k))],
    ...compressions.flatMap((compression) =>
      blocks.map(
        ({ name, rows, cols }) =>
          [`${name} ${compression}x`, syntheticPattern(m, k, rows, cols, compression, m + rows)] as const,
      ),
    ),
  ];
  return patterns.map(([name, pattern]) => {
    const mask = patternMask(pattern);
    const stream = encodeLanes(a, pattern, { xOffset: (i) => 4 * i });
    const words = arena.place(stream.words);
    const weights = arena.place(stream.weights);
    const run = () => gemv(m, x, y, 0, words, weights);
    arena.floats(y, m).fill(Number.NaN);
    run();
    const out = arena.floats(y, m);
    checkColumn(
      name,
      a,
      (row, col) => mask[row * k + col] === 1,
      (i) => b.data[i] ?? 0,
      (row) => out[row] ?? 0,
    );
    return { name: `${m}x${k}x1 ${name}`, flops: 2 * nonZeros(pattern), run, facts: { units: stream.units } };
  });
}

/**
 * Dense and sparse products C[M,N] = A[M,K] · B[K,N] on layer shapes, in two layouts: convolutions of 3×3 as the compiler
 * lays them out (`lower/conv.ts`: planes with a zero column between rows, B read by implicit addressing), and X and Y as
 * rows of N. What a planner has computed beside the useful columns (the zero columns, the rest of a tile of 8) is computed
 * here too; only useful columns count as work.
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

/** Where the operands of a product lie; offsets and distances in bytes. */
export interface Layer {
  readonly name: string;
  readonly m: number;
  readonly k: number;
  /** Columns that are computed. */
  readonly columns: number;
  /** Those that count. */
  readonly useful: readonly number[];
  /** Floats of X, and of Y before and behind its first row. */
  readonly input: number;
  readonly output: readonly [before: number, from: number];
  /** From the place of X to row k of B. */
  readonly xOffset: (k: number) => number;
  readonly yRow: number;
  /** Fills X, whose zeros around planes stay zeros. */
  readonly isPadding: (element: number) => boolean;
}

/** X and Y as rows of N, padded to a multiple of 8. */
export function rowsLayer(m: number, k: number, n: number): Layer {
  const columns = Math.ceil(n / 8) * 8;
  const useful = Array.from({ length: n }, (_, i) => i);
  const row = 4 * columns;
  return {
    name: `${m}x${k}x${n}`,
    m,
    k,
    columns,
    useful,
    input: k * columns,
    output: [0, m * columns],
    xOffset: (i) => row * i,
    yRow: row,
    isPadding: () => false,
  };
}

/** A 3×3 convolution of as many channels into as many, stride 1, zeros around. */
export function convLayer(channels: number, size: number): Layer {
  const pitch = size + 1;
  const plane = pitch * (size + 2);
  const lead = 16;
  // One zero in front of the first row, then a zero row above each plane.
  const origin = lead + pitch;
  const useful = Array.from({ length: size * size }, (_, i) => Math.floor(i / size) * pitch + (i % size));
  return {
    name: `conv ${channels}@${size}`,
    m: channels,
    k: 9 * channels,
    columns: Math.ceil(((size - 1) * pitch + size) / 8) * 8,
    useful,
    input: lead + plane * channels + 64,
    output: [origin, plane * channels + 64],
    xOffset: (i) => 4 * (origin + Math.floor(i / 9) * plane + (Math.floor((i % 9) / 3) - 1) * pitch + (i % 3) - 1),
    yRow: 4 * plane,
    isPadding: (element) => {
      const at = element - lead;
      const inPlane = at % plane;
      const row = Math.floor(inPlane / pitch);
      return at < 0 || at >= plane * channels || row === 0 || row === size + 1 || inPlane % pitch === size;
    },
  };
}

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
  layer: Layer,
  blocks: readonly Block[],
  compressions: readonly number[],
): Candidate[] {
  const found: Candidate[] = [];
  const { name: label, m, k, columns: n, useful, xOffset, yRow } = layer;
  const a = randomMatrix(m, k, m + k);
  const values = randomMatrix(1, layer.input, k + n).data.map((value, i) => (layer.isPadding(i) ? 0 : value));
  const x = arena.place(values);
  const [before, from] = layer.output;
  const y = arena.reserve(before + from) + 4 * before;
  const add = (
    name: string,
    kept: (row: number, col: number) => boolean,
    nonZero: number,
    run: () => void,
    facts = {},
  ) => {
    arena.floats(y, from).fill(Number.NaN);
    run();
    const out = arena.floats(y, from);
    const last = useful.length - 1;
    for (const column of new Set([0, last >> 1, last].map((i) => useful[i] ?? 0)))
      checkColumn(
        name,
        a,
        kept,
        (i) => values[xOffset(i) / 4 + column] ?? 0,
        (row) => out[(row * yRow) / 4 + column] ?? Number.NaN,
      );
    found.push({ name: `${label} ${name}`, flops: 2 * nonZero * useful.length, run, facts });
  };

  const offsets = arena.place(Int32Array.from({ length: k }, (_, i) => xOffset(i)));
  const packed = arena.place(packGemm(a, family));
  const gemm = kernel(gemmName({ ...family, epilogue }));
  add(
    'dense',
    () => true,
    m * k,
    () => gemm(n, x, y, 32, 32, 0, packed, offsets, m, k, yRow),
  );
  const panel = arena.reserve(k * 24);
  const inPanel = arena.place(Int32Array.from({ length: k }, (_, i) => 32 * i));
  const gathering = kernel(gemmName({ ...family, epilogue, gather: true }));
  add(
    'dense, gathered',
    () => true,
    m * k,
    () => gathering(n, x, y, 32, 32, 0, packed, inPanel, m, k, yRow, offsets, k, panel),
  );

  for (const compression of compressions) {
    for (const { name, rows, cols } of blocks) {
      const pattern = syntheticPattern(m, k, rows, cols, compression, m + k + rows);
      const mask = patternMask(pattern);
      for (const columns of [8, 24] as const)
        for (const gather of [false, true]) {
          const stream = encodeUnits(a, pattern, unitOptions(family, columns, layer, gather));
          const words = arena.place(stream.words);
          const weights = arena.place(stream.weights);
          const spmm = kernel(spmmName({ ...family, epilogue, columns, gather }));
          add(
            `${name} ${compression}x tile ${columns}${gather ? ', gathered' : ''}`,
            (row, col) => mask[row * k + col] === 1,
            nonZeros(pattern),
            () => spmm(n, x, y, 4 * columns, 4 * columns, 0, words, weights, offsets, k, panel),
            { units: stream.units, passes: stream.passes, predictedCycles: (stream.cycles * n) / 24 },
          );
        }
    }
    const scattered = scatter(a, compression);
    const stream = encodeRows(a, scattered, unitOptions(family, 24, layer, false));
    const words = arena.place(stream.words);
    const weights = arena.place(stream.weights);
    const spmm = kernel(spmmName({ ...family, epilogue, columns: 24 }));
    add(
      `CSR ${compression}x tile 24`,
      (row, col) => scattered[row * k + col] === 1,
      scattered.reduce((sum, bit) => sum + bit, 0),
      () => spmm(n, x, y, 96, 96, 0, words, weights),
      { units: stream.units, passes: stream.passes },
    );
  }
  return found;
}

function unitOptions(family: Family, columns: 8 | 24, { xOffset, yRow }: Layer, gather: boolean) {
  return {
    tallest: maxTileRows(family),
    columns,
    xOffset: gather ? (i: number) => 4 * columns * i : xOffset,
    yOffset: (i: number) => yRow * i,
  };
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

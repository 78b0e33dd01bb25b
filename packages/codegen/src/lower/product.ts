/**
 * Products of a constant matrix with a value: packs the weights in the form that suits them, and calls its kernel.
 *
 * Dense matrices become panels, BCR patterns unit streams. Whether the sparse form pays is decided here, per matrix, from
 * estimated cycles: a sparse kernel is never chosen where the dense one is expected to be faster.
 */
import { applyPattern, blockGrid, coverOn, densePattern, density, type Matrix, nonZeros } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';
import { tileWidths } from '../kernels/columns.ts';
import { TALLEST } from '../kernels/family.ts';
import { addGemm, packGemm } from '../kernels/gemm.ts';
import { addGemv } from '../kernels/gemv.ts';
import { encodeLanes } from '../kernels/lanes.ts';
import { splitUnits } from '../kernels/split-units.ts';
import { addSpmm } from '../kernels/spmm.ts';
import type { FullColumns } from '../kernels/tile.ts';
import { encodeUnits, ROWS_MASK, type UnitStream, unitCycles } from '../kernels/units.ts';
import type { FusedEpilogue, LowerContext } from '../lower.ts';
import { view } from '../map/placement.ts';
import type { Address, Kernel, KernelPart, Placement } from '../program.ts';
import { kernelOfFamily } from './kernel-of-family.ts';
import { rowsOf } from './pattern-rows.ts';
import { type Caller, piecesOf, type Range, ranges } from './share.ts';

/** Rows of a dense block in lanes. */
const LANE_ROWS = 32;
/** Multiply-adds of a vector product in a cycle: one load of four weights each. */
const LANE_SPEED = 4;

type Activation = FusedEpilogue['activation'];

export interface Product {
  /** [M, K]; what the pattern prunes is not read. */
  readonly matrix: Matrix;
  readonly pattern: BcrPattern | undefined;
  readonly bias: Float32Array | undefined;
  /** Bytes from the address given as `x` to row k of B. */
  readonly xOffset: (k: number) => number;
  /** Bytes from one row of C to the next. */
  readonly yRow: number;
  readonly activation: Activation;
}

type Placer = Caller & Pick<LowerContext, 'data' | 'stream'>;

/** The weights of a product, placed; calls may be made with it as often as there are batches. */
export interface PlacedProduct {
  /** C[M, n] at `y` from B at `x`; the residual is laid out as C. */
  call(c: Caller, n: number, x: Address, y: Address, residual: Address | undefined): void;
  readonly kind: 'dense' | 'units';
}

/** @param n  columns of a typical call: decides the kernel */
export function placeProduct(c: Placer, product: Product, n: number): PlacedProduct {
  const { matrix, pattern, bias, xOffset, yRow, activation } = product;
  const sparse = pattern && density(pattern) < 1 ? cheapestStream(product, pattern, n) : undefined;
  if (sparse && streamCycles(sparse.stream.words, sparse.columns, n) < denseCycles(matrix, n)) {
    const heights = heightsOf(sparse.stream.words);
    const rowPieces = sharesRows(n) ? piecesOf(c, (sparse.stream.cycles * n) / 24) : piecesOfOutput(matrix, n);
    const { words, weights, starts } = splitUnits(sparse.stream, rowPieces);
    const wordsAt = c.stream(words, { kind: 'units', offsets: offsetsOf(matrix, xOffset) });
    const weightsAt = c.data(weights, 'weights');
    return {
      kind: 'units',
      call(context, count, x, y, residual) {
        const { columns } = sparse;
        const parts = [...heights, ...columnParts(count, columns)];
        const kernel = { ...spmmKernel(activation, residual !== undefined, columns), parts };
        const pieces = starts.length > 1 ? 1 : piecesOf(context, (sparse.stream.cycles * count) / 24);
        context.parallel(() => {
          for (const { first, count: width } of ranges(count, columns, pieces))
            for (const { word, weight } of starts)
              context.call(
                kernel,
                width,
                after(x, 4 * first),
                after(y, 4 * first),
                4 * columns,
                4 * columns,
                residual ? after(residual, 4 * first) : 0,
                after(wordsAt, 4 * word),
                after(weightsAt, 4 * weight),
              );
        });
      },
    };
  }
  const kept = pattern ? applyPattern(matrix, pattern) : matrix;
  const panels = c.data(packGemm(kept, { relaxed: true }, bias), 'weights');
  return placedPanels(c, panels, { rows: matrix.rows, cols: matrix.cols, xOffset, yRow, activation });
}

function placedPanels(
  c: Placer,
  panels: Address,
  product: { readonly rows: number; readonly cols: number } & Pick<Product, 'xOffset' | 'yRow' | 'activation'>,
): PlacedProduct {
  const { rows, cols, xOffset, yRow, activation } = product;
  const offsets = c.data(Int32Array.from(offsetsOf(product, xOffset)));
  const full: readonly KernelPart[] = rows >= TALLEST ? [`rows ${TALLEST}`] : [];
  const heights: readonly KernelPart[] = rows % TALLEST === 0 ? full : [...full, `rows ${rows % TALLEST}`];
  return {
    kind: 'dense',
    call(context, count, x, y, residual) {
      const parts = [...heights, ...columnParts(count, 8)];
      const kernel = { ...gemmKernel(activation, residual !== undefined), parts };
      const pieces = piecesOf(context, denseCycles({ rows, cols }, count));
      const whole = (total: number): readonly Range[] => [{ first: 0, count: total }];
      const across = sharesRows(count) ? whole(count) : ranges(count, 8, pieces);
      const down = sharesRows(count) ? ranges(rows, TALLEST, pieces) : whole(rows);
      context.parallel(() => {
        for (const { first, count: width } of across)
          for (const { first: top, count: height } of down) {
            const start = 4 * first + top * yRow;
            context.call(
              kernel,
              width,
              after(x, 4 * first),
              after(y, start),
              32,
              32,
              residual ? after(residual, start) : 0,
              after(panels, 4 * top * (cols + 1)),
              offsets,
              height,
              cols,
              yRow,
            );
          }
      });
    },
  };
}

/**
 * A product whose matrix is computed too: packed into panels by copies before every call.
 * @param a  [M, K] with any strides
 * @param bias  [M]
 */
export function packProduct(
  c: LowerContext,
  a: Placement,
  bias: Placement | undefined,
  product: Pick<Product, 'xOffset' | 'yRow' | 'activation'>,
): PlacedProduct {
  const [rows = 0, cols = 0] = a.shape;
  const [rowStride = 0, colStride = 0] = a.strides;
  const room = c.scratch(4 * rows * (cols + 1));
  const panels = Math.floor(rows / TALLEST);
  const part = (first: number, count: number, height: number) => {
    if (count === 0 || height === 0) return;
    const at = { ...room, offset: 4 * first * (cols + 1), dtype: 'float32' } as const;
    const pitch = height * (cols + 1);
    const from = view(a, {
      offset: a.offset + 4 * first * rowStride,
      shape: [count, cols, height],
      strides: [height * rowStride, colStride, rowStride],
    });
    c.copy(from, { ...at, offset: at.offset + 4 * height, shape: [count, cols, height], strides: [pitch, height, 1] });
    const biases = { ...at, shape: [count, height], strides: [pitch, 1] };
    const [step = 0] = bias?.strides ?? [];
    if (bias)
      c.copy(
        view(bias, { offset: bias.offset + 4 * first * step, shape: [count, height], strides: [height * step, step] }),
        biases,
      );
    else c.fill(biases, { dtype: 'float32', shape: [], data: new Float32Array(1) });
  };
  part(0, panels, TALLEST);
  part(panels * TALLEST, 1, rows % TALLEST);
  return placedPanels(c, room, { rows, cols, ...product });
}

/** y = A · x + bias for one vector x; y is contiguous. */
export function callVectorProduct(
  c: Placer,
  product: Pick<Product, 'matrix' | 'pattern' | 'bias' | 'xOffset' | 'activation'>,
  x: Address,
  y: Address,
  residual: Address | undefined,
): void {
  const { matrix, bias, xOffset, activation } = product;
  // One tall column of blocks over everything is the dense matrix in lanes.
  const pattern = tall(matrix, product.pattern ?? densePattern(blockGrid(matrix.rows, matrix.cols, LANE_ROWS, 65536)));
  const kernel: Kernel = kernelOfFamily(
    `f32_lanes_gemv`,
    activation,
    residual !== undefined,
    (module, family, exported) =>
      addGemv(module, { ...family, epilogue: { activation, residual: residual !== undefined }, exported }),
  );
  const { cols, data } = matrix;
  c.parallel(() => {
    for (const { first, count } of laneRanges(pattern, piecesOf(c, nonZeros(pattern) / LANE_SPEED))) {
      const part = { rows: count, cols, data: data.subarray(first * cols, (first + count) * cols) };
      const own = bias?.subarray(first, first + count);
      const stream = encodeLanes(part, rowsOf(pattern, first, count), { bias: own, xOffset });
      const at = residual ? after(residual, 4 * first) : 0;
      const words = c.stream(stream.words, { kind: 'lanes', offsets: offsetsOf(matrix, xOffset) });
      const weights = c.data(stream.weights, 'weights');
      c.call(kernel, count, x, after(y, 4 * first), at, words, weights);
    }
  });
}

/** Whole rows of blocks, in about `pieces` ranges of equally many non-zeros. */
function laneRanges(pattern: BcrPattern, pieces: number): readonly Range[] {
  const { grid } = pattern;
  const across = Math.ceil(grid.cols / grid.blockCols);
  const found: { first: number; count: number }[] = [];
  const each = nonZeros(pattern) / pieces;
  let sum = 0;
  for (let top = 0; top < grid.rows; top += grid.blockRows) {
    const count = Math.min(grid.blockRows, grid.rows - top);
    const strip = (top / grid.blockRows) * across;
    const last = found.at(-1);
    // A new piece begins where the non-zeros before it reach the next share.
    if (last && (pieces === 1 || sum < each * found.length)) last.count += count;
    else found.push({ first: top, count });
    for (let i = strip; i < strip + across; i++)
      sum += (pattern.keptRows[i]?.length ?? 0) * (pattern.keptCols[i]?.length ?? 0);
  }
  return found;
}

function after({ buffer, offset }: Address, bytes: number): Address {
  return { buffer, offset: offset + bytes };
}

/**
 * Few columns: each thread takes rows, so that the weights are read once by one of them and not by all. Many: each takes
 * columns, which stay in its cache from layer to layer.
 */
function sharesRows(columns: number): boolean {
  return columns < 400;
}

/**
 * An output of more than the second-level cache, from an input that fits it: a tile of columns through all rows at once writes a
 * line on each of many pages. Rows are taken 16 at a time instead (16 → 96 channels at 112×112: 1.0 → 0.57 ms).
 */
function piecesOfOutput({ rows, cols }: Matrix, n: number): number {
  const [output, input] = [4 * rows * n, 4 * cols * n];
  return output > 2 ** 20 && input < 0.8 * 2 ** 20 ? Math.ceil(rows / 16) : 1;
}

/** Lanes want blocks of 32 rows: low blocks are covered by taller ones when that multiplies less. */
function tall(matrix: Matrix, pattern: BcrPattern): BcrPattern {
  if (pattern.grid.blockRows >= LANE_ROWS) return pattern;
  const kept = applyPattern(matrix, pattern);
  const lanes = (p: BcrPattern) =>
    p.keptRows.reduce((sum, rows, i) => sum + 4 * Math.ceil(rows.length / 4) * (p.keptCols[i]?.length ?? 0), 0);
  const candidates = [
    pattern,
    ...[32, 16, 8].map((rows) => coverOn(kept, blockGrid(matrix.rows, matrix.cols, rows, 65536)).pattern),
  ];
  return candidates.reduce((best, next) => (lanes(next) < lanes(best) ? next : best));
}

function offsetsOf({ cols }: Pick<Matrix, 'cols'>, xOffset: (k: number) => number): readonly number[] {
  return Array.from({ length: cols }, (_, k) => xOffset(k));
}

function cheapestStream(
  { matrix, bias, xOffset, yRow }: Product,
  pattern: BcrPattern,
  n: number,
): { readonly stream: UnitStream; readonly columns: FullColumns } | undefined {
  if (nonZeros(pattern) === 0 && matrix.rows === 0) return undefined;
  // A tile of 24 only where there is a whole one: the rest is walked in tiles of 8.
  const columns: FullColumns = n < 24 ? 8 : 24;
  return {
    columns,
    stream: encodeUnits(matrix, pattern, {
      tallest: TALLEST,
      columns,
      xOffset,
      yOffset: (m) => m * yRow,
      bias,
    }),
  };
}

/** Estimated cycles of all units over `n` columns. */
function streamCycles(words: Int32Array, columns: FullColumns, n: number): number {
  const full = Math.floor(n / columns);
  const rest = Math.ceil((n % columns) / 8) / 3;
  let cycles = 0;
  forEachUnit(words, (rows, cols) => {
    cycles += (full * columns * unitCycles(rows, cols, columns)) / 24 + rest * unitCycles(rows, cols, 8);
  });
  return cycles;
}

/** The same for panels of `TALLEST` rows over all columns of A. */
function denseCycles({ rows, cols }: Pick<Matrix, 'rows' | 'cols'>, n: number): number {
  const rest = rows % TALLEST;
  const cycles = Math.floor(rows / TALLEST) * unitCycles(TALLEST, cols, 8) + (rest ? unitCycles(rest, cols, 8) : 0);
  return (Math.ceil(n / 8) / 3) * cycles;
}

function forEachUnit(words: Int32Array, visit: (rows: number, cols: number) => void): void {
  for (let at = 0; words[at]; ) {
    const rows = (words[at] ?? 0) & ROWS_MASK;
    const cols = words[at + 1] ?? 0;
    visit(rows, cols);
    at += 2 + rows + cols;
  }
}

/** Widths of tiles that `n` columns are cut into. */
function columnParts(n: number, full: FullColumns): readonly KernelPart[] {
  let rest = n;
  return tileWidths(full).flatMap((columns): KernelPart[] => {
    const part: KernelPart[] = rest >= columns ? [`columns ${columns}`] : [];
    rest %= columns;
    return part;
  });
}

/** Heights of the units of a stream. */
function heightsOf(words: Int32Array): readonly KernelPart[] {
  const heights = new Set<KernelPart>();
  forEachUnit(words, (rows) => heights.add(`rows ${rows}`));
  return [...heights];
}

function gemmKernel(activation: Activation, residual: boolean): Kernel {
  return kernelOfFamily('f32_dense_gemm', activation, residual, (module, family, exported, parts) =>
    addGemm(module, { ...family, epilogue: { activation, residual }, exported, panelRows: TALLEST, parts }),
  );
}

function spmmKernel(activation: Activation, residual: boolean, columns: FullColumns): Kernel {
  return kernelOfFamily(`f32_units_spmm_${columns}`, activation, residual, (module, family, exported, parts) =>
    addSpmm(module, { ...family, epilogue: { activation, residual }, columns, exported, parts }),
  );
}

/**
 * Products of a constant matrix with a value: packs the weights in the form that suits them, and calls its kernel.
 *
 * Dense matrices become panels, BCR patterns unit streams. Whether the sparse form pays is decided here, per matrix, from
 * estimated cycles: a sparse kernel is never chosen where the dense one is expected to be faster. A schedule, given for the
 * key of a product, decides instead (`schedule.ts`).
 */
import { applyPattern, blockGrid, coverOn, densePattern, density, type Matrix, nonZeros } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';
import { type GpuForm, type GpuSchedule, gpuFormsOf } from '../gpu-schedule.ts';
import { tileWidths } from '../kernels/columns.ts';
import { boundsOf, NO_RESIDUAL, TALLEST } from '../kernels/family.ts';
import { addGemm, packGemm, packPairs } from '../kernels/gemm.ts';
import { addGemv } from '../kernels/gemv.ts';
import { encodeLanes } from '../kernels/lanes.ts';
import { splitUnits } from '../kernels/split-units.ts';
import { addSpmm } from '../kernels/spmm.ts';
import type { FullColumns, Unroll } from '../kernels/tile.ts';
import {
  encodeUnits,
  FIRST_TOUCH,
  LAST_TOUCH,
  passesOf,
  ROWS_MASK,
  type UnitStream,
  unitCycles,
} from '../kernels/units.ts';
import type { FusedEpilogue, LowerContext } from '../lower.ts';
import { view } from '../map/placement.ts';
import type { Address, Kernel, KernelPart, Placement } from '../program.ts';
import { productKey, type Schedule } from '../schedule.ts';
import { denseTile, gemmTwin, pairsTwin, pairTable } from '../wgsl/gemm.ts';
import { gemvTwin, laneTable } from '../wgsl/sparse.ts';
import { kernelOfFamily } from './kernel-of-family.ts';
import { rowsOf } from './pattern-rows.ts';
import { type Parts, sparseOnGpu } from './product-on-gpu.ts';
import { type Caller, piecesFor, piecesOf, type Range, ranges } from './share.ts';

/** Rows of a dense block in lanes. */
const LANE_ROWS = 32;
/** Multiply-adds of a vector product in a cycle: one load of four weights each. */
export const LANE_SPEED = 4;

type Activation = FusedEpilogue['activation'];

export interface Product {
  /** [M, K]; what the pattern prunes is not read. */
  readonly matrix: Matrix;
  readonly pattern: BcrPattern | undefined;
  readonly bias: Float32Array | undefined;
  /** Bytes from the address given as `x` to row k of B. */
  readonly xOffset: (k: number) => number;
  /** Bytes from one plane of B to the next, where its rows are places in planes; see `wgsl/strips.ts`. */
  readonly plane?: number | undefined;
  /** Bytes from one row of C to the next. */
  readonly yRow: number;
  readonly activation: Activation;
  /** Whether the calls have a residual. Default false. */
  readonly residual?: boolean;
}

type Placer = Caller & Pick<LowerContext, 'data' | 'stream' | 'scratch' | 'products' | 'node'>;

/** The weights of a product, placed; calls may be made with it as often as there are batches. */
export interface PlacedProduct {
  /** How it is computed on a GPU, where it was placed for one. */
  readonly gpu?: GpuSchedule | undefined;
  readonly gpuForms?: readonly GpuForm[] | undefined;
  /** C[M, n] at `y` from B at `x`; the residual is laid out as C. */
  call(c: Pick<Placer, 'scratch'> & Caller, n: number, x: Address, y: Address, residual: Address | undefined): void;
}

/** @param n  columns of a typical call: decides the kernel */
export function placeProduct(c: Placer, product: Product, n: number): PlacedProduct {
  const { matrix, activation, residual = false } = product;
  const { rows, cols: depth } = matrix;
  const pattern = product.pattern && density(product.pattern) < 1 ? product.pattern : undefined;
  const key = productKey({ ...product, rows, depth, columns: n, pattern, epilogue: { activation, residual } });
  const onGpu = c.gpu ? c.products.givenGpu(key, gpuFormsOf({ rows, depth, columns: n, pattern }, false)) : undefined;
  const { schedule, stream } = laidOut(product, c.products.given(key, false), c.gpu, onGpu, n);
  const share = pattern ? density(pattern) : 1;
  const placed = stream
    ? placedStream(c, product, stream, { ...schedule, onGpu }, n)
    : placedMatrix(c, product, { ...schedule, onGpu }, n);
  const { gpu, gpuForms } = placed;
  c.products.place({
    key,
    node: c.node.name,
    rows,
    depth,
    columns: n,
    density: share,
    pattern,
    schedule,
    gpu,
    gpuForms,
  });
  return {
    gpu,
    call: (...args) => c.products.within(key, () => placed.call(...args)),
  };
}

/** The form of the weights: alike on a CPU and on a GPU, unless a schedule for the GPU wants the other one. */
function laidOut(
  product: Product,
  given: Schedule | undefined,
  gpu: boolean,
  onGpu: GpuSchedule | undefined,
  n: number,
): Chosen {
  // What a GPU reads together lies together as it is.
  const found = given ? asGiven(product, gpu ? { ...given, gather: false } : given, n) : cheapest(product, n);
  if (!gpu) return found;
  if (onGpu && (onGpu.form === 'dense') !== !found.stream)
    return onGpu.form === 'dense'
      ? { schedule: { form: 'dense' }, stream: undefined }
      : asGiven(product, { form: 'mixed' }, n);
  if (!found.stream || (onGpu && onGpu.form !== 'strips')) return found;
  const rowByRow = () => asGiven(product, { form: 'rows', passes: 1 }, n);
  const walked = sparseOnGpu(streamParts(found.stream), product, n, undefined);
  if (onGpu) return walked.forms.includes('strips') ? found : rowByRow();
  // Where the walks over the stream move many bytes, row by row may move far fewer: the weights are in the file twice then.
  const { share } = walked;
  const enough = MUCH * density(product.pattern as BcrPattern);
  if (share <= enough) return found;
  const rows = rowByRow();
  const other = rows.stream && sparseOnGpu(streamParts(rows.stream), product, n, undefined);
  return other && (other.share <= enough || other.share < 0.85 * share) ? rows : found;
}

/** Bytes of a sparse product on a GPU for those of the dense one and the share of weights that are left, beyond which another form is tried. */
const MUCH = 5 / 3;

function streamParts({ words }: UnitStream): Parts {
  return { words, starts: [{ word: 0, weight: 0 }] };
}

/** With how a GPU was asked to compute it. */
type Asked = Schedule & { readonly onGpu?: GpuSchedule | undefined };

function placedMatrix(c: Placer, product: Product, schedule: Asked, n: number): PlacedProduct {
  const { matrix, pattern, bias } = product;
  const kept = pattern ? applyPattern(matrix, pattern) : matrix;
  if (schedule.form === 'pairs') return placedPairs(c, { ...product, matrix: kept }, schedule, n);
  const panels = c.data(packGemm(kept, { relaxed: true }, bias), 'weights');
  return placedPanels(c, panels, { ...product, rows: matrix.rows, cols: matrix.cols }, schedule, n);
}

function placedStream(
  c: Placer,
  product: Product,
  stream: ScheduledStream,
  { columns = 8, groups = 1, unroll, split, pieces, onGpu: asked }: Asked,
  n: number,
): PlacedProduct {
  const { matrix, xOffset, activation } = product;
  const cycles = (count: number) => (stream.cycles * count) / 24;
  const byRows = split === undefined ? sharesRows(n) : split === 'rows';
  const heights = heightsOf(stream.words);
  const rowPieces = byRows ? (pieces ?? piecesFor(c, cycles(n))) : 1;
  const { words, weights, starts } = splitUnits(stream, Math.max(groups, rowPieces));
  const { gathered } = stream;
  const offsets = gathered ? gathered.map((_, i) => 4 * columns * i) : offsetsOf(matrix, xOffset);
  const wordsAt = c.stream(words, { kind: 'units', offsets });
  const weightsAt = c.data(weights, 'weights');
  const sources = gathered && c.data(Int32Array.from(gathered, xOffset));
  const onGpu = c.gpu ? sparseOnGpu({ words, starts }, product, n, asked) : undefined;
  const tables = onGpu && [c.data(onGpu.words)];
  return {
    gpu: onGpu?.schedule,
    gpuForms: onGpu?.forms,
    call(context, count, x, y, residual) {
      const parts = [...heights, ...columnParts(count, columns)];
      const kernel = {
        ...spmmKernel(columns, unroll, gathered !== undefined),
        parts,
      };
      if (onGpu) {
        // All pieces in one call: who does which is said by the table.
        const twin = onGpu.twin({ activation, residual: residual !== undefined }, parts);
        const step = 4 * columns;
        const args = [count, x, y, step, step, residual ?? 0, wordsAt, weightsAt, ...boundsOf(activation)];
        const room = roomFor(context, onGpu.schedule, matrix.rows * count);
        context.call({ ...kernel, twin, tables }, ...args, ...(room ? [room] : []));
        return;
      }
      const wanted = pieces ?? piecesOf(context, cycles(count));
      const across = byRows && starts.length > 1 ? 1 : Math.ceil(wanted / starts.length);
      context.parallel(() => {
        for (const { word, weight } of starts)
          for (const { first, count: width } of ranges(count, columns, across))
            context.call(
              kernel,
              width,
              after(x, 4 * first),
              after(y, 4 * first),
              4 * columns,
              4 * columns,
              residual ? after(residual, 4 * first) : NO_RESIDUAL,
              after(wordsAt, 4 * word),
              after(weightsAt, 4 * weight),
              ...(sources ? [sources, gathered.length, context.scratch(4 * columns * gathered.length)] : []),
              ...boundsOf(activation),
            );
      });
    },
  };
}

/** Rows of the panels that 24 columns go with. */
const PAIR = 2;

/** Weights of more bytes than this do not stay near the core while a tile passes over them. */
const LARGE_WEIGHTS = 2 ** 20;

/**
 * Whether tiles of 2×24 beat those of 6×8. They read the weights a third as often: 512×4608 at 7×7 takes 5.1 instead of
 * 5.6 ms alone and 5.1 instead of 12.7 ms beside others that want the same cache. They lose where many columns are left over,
 * where few rows share the input, and where the output is large and K short.
 */
function suitsPairs(matrix: Matrix, n: number): boolean {
  const { rows, cols } = matrix;
  if (n < 24 || rows < 32 || piecesOfOutput(matrix, n) > 1) return false;
  if (4 * rows * cols > LARGE_WEIGHTS) return true;
  const each =
    Math.floor(n / 24) * unitCycles(PAIR, cols, 24) + (Math.ceil((n % 24) / 8) / 3) * unitCycles(PAIR, cols, 8);
  return Math.ceil(rows / PAIR) * each < denseCycles(matrix, n);
}

/** Dense panels of two rows against tiles of 24 columns, a call for each pass over K. */
function placedPairs(
  c: Placer,
  product: Product,
  { passes, split, pieces: wanted, onGpu }: Asked,
  n: number,
): PlacedProduct {
  const { matrix, bias, xOffset, yRow, activation } = product;
  const { rows, cols } = matrix;
  const packed = packPairs(matrix, passesOf(cols, cols, { columns: 24, xOffset, passes }), bias);
  const [weights, offsets] = [
    c.data(packed.data, 'weights'),
    c.data(Int32Array.from(offsetsOf(product.matrix, xOffset))),
  ];
  const heights: readonly KernelPart[] = [
    ...(rows >= PAIR ? [`rows ${PAIR}` as const] : []),
    ...(rows % PAIR > 0 ? (['rows 1'] as const) : []),
  ];
  const cycles = denseCycles(matrix, n);
  const gpu = c.gpu ? denseTile(rows, n, onGpu) : undefined;
  const tables = gpu && [c.data(pairTable(packed.passes))];
  return {
    gpu,
    call(context, count, x, y, residual) {
      if (tables) {
        // All passes in one call.
        const twin = pairsTwin({ activation, residual: residual !== undefined }, onGpu);
        const kernel = { ...pairsKernel(activation, residual !== undefined), twin, tables };
        const room = roomFor(context, gpu, rows * count);
        context.call(kernel, count, x, y, 96, 96, residual ?? 0, weights, offsets, rows, cols, yRow, room ?? 0);
        return;
      }
      const kernel = {
        ...pairsKernel(activation, residual !== undefined),
        parts: [...heights, ...columnParts(count, 24)],
      };
      const pieces = wanted ?? piecesOf(context, (cycles * count) / n / packed.passes.length);
      const byRows = split === undefined ? sharesRows(count) : split === 'rows';
      const across = ranges(count, 24, byRows ? 1 : pieces);
      const down = ranges(rows, PAIR, byRows ? pieces : 1);
      for (const [i, { from, to, start }] of packed.passes.entries()) {
        const flags = (i === 0 ? FIRST_TOUCH : 0) | (i === packed.passes.length - 1 ? LAST_TOUCH : 0);
        const row = to - from + (i === 0 ? 1 : 0);
        context.parallel(() => {
          for (const { first, count: width } of across)
            for (const { first: top, count: height } of down) {
              const place = 4 * first + top * yRow;
              context.call(
                kernel,
                width,
                after(x, 4 * first),
                after(y, place),
                96,
                96,
                residual ? after(residual, place) : 0,
                after(weights, 4 * (start + top * row)),
                after(offsets, 4 * from),
                height,
                to - from,
                yRow,
                flags,
              );
            }
        });
      }
    },
  };
}

/** Room for the sums of every range of K. */
function roomFor(
  c: Pick<Placer, 'scratch'>,
  { splitK = 1 }: Partial<GpuSchedule> = {},
  sums: number,
): Address | undefined {
  return splitK > 1 ? c.scratch(4 * sums * splitK) : undefined;
}

function placedPanels(
  c: Pick<Placer, 'data' | 'gpu'>,
  panels: Address,
  product: { readonly rows: number; readonly cols: number } & Pick<Product, 'xOffset' | 'yRow' | 'activation'>,
  { groups = 1, unroll, gather = false, split, pieces: wanted, onGpu }: Omit<Asked, 'form'> = {},
  n = 1,
): PlacedProduct {
  const { rows, cols, xOffset, yRow, activation } = product;
  const sources = c.data(Int32Array.from(offsetsOf(product, xOffset)));
  const offsets = gather ? c.data(Int32Array.from({ length: cols }, (_, k) => 32 * k)) : sources;
  const full: readonly KernelPart[] = rows >= TALLEST ? [`rows ${TALLEST}`] : [];
  const heights: readonly KernelPart[] = rows % TALLEST === 0 ? full : [...full, `rows ${rows % TALLEST}`];
  const gpu = denseTile(rows, n, onGpu);
  return {
    gpu: c.gpu ? gpu : undefined,
    call(context, count, x, y, residual) {
      if (context.gpu) {
        const twin = gemmTwin({ activation, residual: residual !== undefined }, onGpu);
        const kernel = { ...gemmKernel(activation, residual !== undefined), twin };
        const room = roomFor(context, gpu, rows * count);
        const args = [count, x, y, 32, 32, residual ?? 0, panels, sources, rows, cols, yRow, ...(room ? [room] : [])];
        context.call(kernel, ...args);
        return;
      }
      const parts = [...heights, ...columnParts(count, 8)];
      const kernel = { ...gemmKernel(activation, residual !== undefined, unroll, gather), parts };
      const pieces = wanted ?? piecesOf(context, denseCycles({ rows, cols }, count));
      const byRows = split === undefined ? sharesRows(count) : split === 'rows';
      const across = ranges(count, 8, byRows ? 1 : pieces);
      const down = ranges(rows, TALLEST, Math.max(groups, byRows ? pieces : 1));
      context.parallel(() => {
        for (const { first: top, count: height } of down)
          for (const { first, count: width } of across) {
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
              ...(gather ? [sources, cols, context.scratch(32 * cols)] : []),
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
  const { rows, cols, data } = matrix;
  const epilogue = { activation, residual: residual !== undefined };
  const key = productKey({ ...product, rows, depth: cols, columns: 1, epilogue });
  const given = c.products.given(key, true);
  const { pattern, blockRows } = inLanes(matrix, product.pattern, given?.blockRows);
  const share = product.pattern ? density(product.pattern) : 1;
  const site = { key, node: c.node.name, rows, depth: cols, columns: 1, density: share, pattern: product.pattern };
  const onGpu = c.gpu
    ? { parts: 8, splitK: 1, ...c.products.givenGpu(key, ['lanes']), form: 'lanes' as const }
    : undefined;
  c.products.place({ ...site, schedule: given ?? { form: 'lanes', blockRows }, gpu: onGpu });
  const kernel: Kernel = kernelOfFamily(
    `f32_lanes_gemv`,
    activation,
    residual !== undefined,
    (module, family, exported) =>
      addGemv(module, { ...family, epilogue: { activation, residual: residual !== undefined }, exported }),
  );
  const pieces = given?.pieces ?? piecesFor(c, nonZeros(pattern) / LANE_SPEED);
  c.products.within(key, () =>
    c.parallel(() => {
      for (const { first, count } of laneRanges(pattern, pieces)) {
        const part = { rows: count, cols, data: data.subarray(first * cols, (first + count) * cols) };
        const own = bias?.subarray(first, first + count);
        const stream = encodeLanes(part, rowsOf(pattern, first, count), { bias: own, xOffset });
        const at = residual ? after(residual, 4 * first) : 0;
        const words = c.stream(stream.words, { kind: 'lanes', offsets: offsetsOf(matrix, xOffset) });
        const weights = c.data(stream.weights, 'weights');
        const table = c.gpu ? laneTable(stream.words, count) : undefined;
        const twin = table && { twin: gemvTwin(epilogue, table, onGpu), tables: [c.data(table.words)] };
        const room = roomFor(c, onGpu, count);
        c.call({ ...kernel, ...twin }, count, x, after(y, 4 * first), at, words, weights, ...(room ? [room] : []));
      }
    }),
  );
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
 * Where more than one: an output of more than the second-level cache, from an input that fits it: a tile of columns through all rows at once writes a
 * line on each of many pages. Rows are taken 16 at a time instead (16 → 96 channels at 112×112: 1.0 → 0.57 ms). Sparse units
 * have two rows then: higher ones are walked in parts of 12 or 8 columns, which fill no line.
 */
function piecesOfOutput({ rows, cols }: Matrix, n: number): number {
  const [output, input] = [4 * rows * n, 4 * cols * n];
  return output > 2 ** 20 && input < 0.8 * 2 ** 20 ? Math.ceil(rows / 16) : 1;
}

/** Lanes want blocks of 32 rows: low blocks are covered by taller ones when that multiplies less. */
function inLanes(
  matrix: Matrix,
  pattern: BcrPattern | undefined,
  wanted: number | undefined,
): { readonly pattern: BcrPattern; readonly blockRows: number } {
  const grid = (rows: number) => blockGrid(matrix.rows, matrix.cols, rows, 65536);
  // One tall column of blocks over everything is the dense matrix in lanes.
  if (!pattern) {
    const blockRows = wanted || LANE_ROWS;
    return { pattern: densePattern(grid(blockRows)), blockRows };
  }
  if (wanted === 0 || (wanted === undefined && pattern.grid.blockRows >= LANE_ROWS)) return { pattern, blockRows: 0 };
  const kept = applyPattern(matrix, pattern);
  const cover = (rows: number) => ({ pattern: coverOn(kept, grid(rows)).pattern, blockRows: rows });
  if (wanted !== undefined) return cover(wanted);
  const lanes = (p: BcrPattern) =>
    p.keptRows.reduce((sum, rows, i) => sum + 4 * Math.ceil(rows.length / 4) * (p.keptCols[i]?.length ?? 0), 0);
  const candidates = [{ pattern, blockRows: 0 }, ...[32, 16, 8].map(cover)];
  return candidates.reduce((best, next) => (lanes(next.pattern) < lanes(best.pattern) ? next : best));
}

function offsetsOf({ cols }: Pick<Matrix, 'cols'>, xOffset: (k: number) => number): readonly number[] {
  return Array.from({ length: cols }, (_, k) => xOffset(k));
}

type ScheduledStream = UnitStream & {
  /** Rows of B that are copied side by side first. */
  readonly gathered: readonly number[] | undefined;
};

interface Chosen {
  readonly schedule: Schedule;
  /** Undefined: the dense form. */
  readonly stream: ScheduledStream | undefined;
}

function cheapest(product: Product, n: number): Chosen {
  const { matrix, pattern, xOffset } = product;
  const passes = suitsPairs(matrix, n) ? passesOf(matrix.cols, matrix.cols, { columns: 24, xOffset }).length : 0;
  const dense: Chosen = {
    schedule:
      passes > 0
        ? { form: 'pairs', passes: Math.min(passes, 64) }
        : { form: 'dense', unroll: 2, gather: false, groups: 1 },
    stream: undefined,
  };
  if (!pattern || density(pattern) >= 1 || (nonZeros(pattern) === 0 && matrix.rows === 0)) return dense;
  // A tile of 24 only where there is a whole one: the rest is walked in tiles of 8.
  const columns: FullColumns = n < 24 ? 8 : 24;
  const groups = piecesOfOutput(matrix, n);
  const tallest = columns === 24 && groups > 1 ? PAIR : TALLEST;
  const stream = encode(product, { form: 'mixed', columns, tallest });
  if (!(streamCycles(stream.words, columns, n) < SURE * denseCycles(matrix, n))) return dense;
  const tiles = { columns, tallest, cut: 'balanced', merge: 'equal' } as const;
  return {
    schedule: {
      form: 'mixed',
      ...tiles,
      passes: stream.passes,
      unroll: 2,
      gather: false,
      groups: sharesRows(n) ? 1 : groups,
    },
    stream,
  };
}

function asGiven(product: Product, schedule: Schedule, n: number): Chosen {
  if (schedule.form === 'dense' || schedule.form === 'pairs') return { schedule, stream: undefined };
  const whole = { ...schedule, columns: schedule.columns ?? (n < 24 ? 8 : 24) } as const;
  return { schedule: whole, stream: encode(product, whole) };
}

function encode({ matrix, pattern, bias, xOffset, yRow }: Product, schedule: Schedule): ScheduledStream {
  const { form, columns = 8, tallest = TALLEST, cut, merge, order, passes, gather = false } = schedule;
  const { rows, cols } = matrix;
  const kept = pattern ?? densePattern(blockGrid(rows, cols, Math.min(rows, 65536), Math.min(cols, 65536)));
  const gathered = gather ? columnsOf(kept) : undefined;
  const place = new Map(gathered?.map((col, i) => [col, 4 * columns * i]));
  const stream = encodeUnits(matrix, kept, {
    tallest,
    columns,
    xOffset: gathered ? (k) => place.get(k) ?? 0 : xOffset,
    yOffset: (m) => m * yRow,
    bias,
    cut,
    merge,
    order,
    passes,
    form: form === 'units' || form === 'rows' ? form : 'auto',
  });
  return { ...stream, gathered };
}

/** Columns of which a block keeps weights. */
function columnsOf({ grid, keptRows, keptCols }: BcrPattern): readonly number[] {
  const across = Math.ceil(grid.cols / grid.blockCols);
  const found = new Set<number>();
  for (const [i, cols] of keptCols.entries())
    if (keptRows[i]?.length) for (const col of cols) found.add((i % across) * grid.blockCols + col);
  return [...found].sort((a, b) => a - b);
}

/**
 * What the sparse form may cost, as a share of the dense one, to be chosen: on layers of the standard networks (`crossover.ts`
 * of the bench) estimates from here to 1 were up to 10 % slower than dense.
 */
const SURE = 0.9;
/** Single rows wait for the cache more than the fitted cycles say: at density 0.5 some took as long as the dense form. */
const SINGLE_ROW = 1.3;

/** Estimated cycles of all units over `n` columns. */
function streamCycles(words: Int32Array, columns: FullColumns, n: number): number {
  const full = Math.floor(n / columns);
  const rest = Math.ceil((n % columns) / 8) / 3;
  let cycles = 0;
  forEachUnit(words, (rows, cols) => {
    const each = (full * columns * unitCycles(rows, cols, columns)) / 24 + rest * unitCycles(rows, cols, 8);
    cycles += rows === 1 ? SINGLE_ROW * each : each;
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

function gemmKernel(activation: Activation, residual: boolean, unroll: Unroll = 2, gather = false): Kernel {
  const options = { epilogue: { activation, residual }, panelRows: TALLEST, unroll, gather };
  return kernelOfFamily(
    `f32_dense_gemm${variant(unroll, gather)}`,
    activation,
    residual,
    (module, family, exported, parts) => addGemm(module, { ...family, ...options, exported, parts }),
    gemmTwin(options.epilogue),
  );
}

function pairsKernel(activation: Activation, residual: boolean): Kernel {
  const epilogue = { activation, residual };
  return kernelOfFamily(
    'f32_dense_gemm_24',
    activation,
    residual,
    (module, family, exported, parts) => addGemm(module, { ...family, epilogue, exported, columns: 24, parts }),
    pairsTwin(epilogue),
  );
}

/** One kernel for all activations, with a residual or without: at six heights and up to four widths it is the largest of all. */
function spmmKernel(columns: FullColumns, unroll: Unroll = 2, gather = false): Kernel {
  const epilogue = { activation: 'bounds', residual: 'optional' } as const;
  const options = { epilogue, columns, unroll, gather };
  return {
    name: `f32_units_spmm_${columns}${variant(unroll, gather)}`,
    emit: (module, family, exported, parts) => addSpmm(module, { ...family, ...options, exported, parts }),
  };
}

function variant(unroll: Unroll, gather: boolean): string {
  return `${unroll === 2 ? '' : `_u${unroll}`}${gather ? '_gather' : ''}`;
}

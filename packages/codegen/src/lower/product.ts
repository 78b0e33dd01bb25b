/**
 * Products of a constant matrix with a value: packs the weights in the form that suits them, and calls its kernel.
 *
 * Dense matrices become panels, BCR patterns unit streams. Whether the sparse form pays is decided in `product-form.ts`, for
 * one vector in `vector-product.ts`. A schedule, given for the key of a product, decides instead (`schedule.ts`).
 */
import { applyPattern, density, type Matrix } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';
import { type GpuForm, type GpuSchedule, gpuFormsOf } from '../gpu-schedule.ts';
import { tileWidths } from '../kernels/columns.ts';
import { boundsOf, NO_RESIDUAL, TALLEST } from '../kernels/family.ts';
import { addGemm, packGemm, packPairs } from '../kernels/gemm.ts';
import { splitUnits } from '../kernels/split-units.ts';
import { addSpmm } from '../kernels/spmm.ts';
import type { FullColumns, Unroll } from '../kernels/tile.ts';
import { FIRST_TOUCH, LAST_TOUCH, passesOf, type UnitStream } from '../kernels/units.ts';
import type { LowerContext } from '../lower.ts';
import { view } from '../map/placement.ts';
import type { Address, Kernel, KernelPart, Placement } from '../program.ts';
import { productKey, type Schedule } from '../schedule.ts';
import { denseTile, gemmTwin, pairsTwin, pairTable } from '../wgsl/gemm.ts';
import { kernelOfFamily } from './kernel-of-family.ts';
import {
  type Activation,
  asGiven,
  type Chosen,
  cheapest,
  denseCycles,
  forEachUnit,
  PAIR,
  type Product,
  type ScheduledStream,
  sharesRows,
} from './product-form.ts';
import { type Parts, sparseOnGpu } from './product-on-gpu.ts';
import { reasonOf } from './product-reason.ts';
import { type Caller, piecesFor, piecesOf, ranges } from './share.ts';

export type Placer = Caller & Pick<LowerContext, 'data' | 'stream' | 'laneWeights' | 'scratch' | 'products' | 'node'>;

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
  const given = c.products.given(key, false);
  const { schedule, stream } = laidOut(product, given, c.gpu, onGpu, n);
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
    reason: () => reasonOf(product, given, n),
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
  const wordsAt = c.stream(words, { kind: 'units', offsets, ...(!gathered && { passes: stream.ranges }) });
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
        context.call({ ...kernel, twin, tables, halves: [7] }, ...args, ...(room ? [room] : []));
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
        const kernel = { ...pairsKernel(activation, residual !== undefined), twin, tables, halves: [6] };
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
export function roomFor(
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
        const kernel = { ...gemmKernel(activation, residual !== undefined), twin, halves: [6] };
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

export function after({ buffer, offset }: Address, bytes: number): Address {
  return { buffer, offset: offset + bytes };
}

export function offsetsOf({ cols }: Pick<Matrix, 'cols'>, xOffset: (k: number) => number): readonly number[] {
  return Array.from({ length: cols }, (_, k) => xOffset(k));
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

/**
 * C += α · A · B in float64, cut into blocks that fit the kernel's memory. Everything else here is built on it.
 * A long product can be awaited: `gemm` gives way between blocks.
 */
import type { Pulse } from '../pulse.ts';
import { type Kernel, plainKernel, TILE_K, TILE_M, TILE_N, wasmKernel } from './kernel.ts';

/** Element (r, c) is `data[offset + r · rowStride + c · colStride]`: a transpose is a swap of the strides. */
export interface View {
  readonly data: Float64Array | Float32Array;
  readonly offset: number;
  readonly rowStride: number;
  readonly colStride: number;
}

/** A row-major matrix of `cols` columns, or the part of it that begins at (row, col). */
export function view(data: Float64Array | Float32Array, cols: number, row = 0, col = 0): View {
  return { data, offset: row * cols + col, rowStride: cols, colStride: 1 };
}

export function transposed(v: View): View {
  return { ...v, rowStride: v.colStride, colStride: v.rowStride };
}

/** A view whose elements can be written. */
interface Target extends View {
  readonly data: Float64Array;
}

export interface Product {
  /** Sizes: A is [m, k], B is [k, n], C is [m, n]. */
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: View;
  readonly b: View;
  readonly c: Target;
  /** 1 or −1. Default 1. */
  readonly alpha?: number;
  /** C is symmetric: only blocks that touch its lower triangle are computed. */
  readonly lower?: boolean;
}

let shared: Kernel | undefined;
function defaultKernel(): Kernel {
  shared ??= wasmKernel() ?? plainKernel();
  return shared;
}

/** At once, for small products. */
export function multiplyNow(product: Product, kernel: Kernel = defaultKernel()): void {
  for (const _ of blocks(product, kernel));
}

/** With a beat about every 2 · 10⁷ multiply-adds. */
export async function multiply(product: Product, pulse: Pulse, kernel: Kernel = defaultKernel()): Promise<void> {
  const turn = product.m * Math.min(product.n, TILE_N) * Math.min(product.k, TILE_K);
  let since = 0;
  for (const done of blocks(product, kernel)) {
    since += turn;
    if (since < 2e7) continue;
    since = 0;
    await pulse.beat(done);
  }
}

/** Rows of A and columns of B that are packed at once: 16 MB of each. */
const SLAB = 8192;

/** Does one row of tiles of the product per turn and says how much is done. */
function* blocks({ m, n, k, a, b, c, alpha = 1, lower = false }: Product, kernel: Kernel): Generator<number> {
  const bt = transposed(b);
  const four = (count: number) => 4 * Math.ceil(count / 4);
  for (let p = 0; p < k; p += TILE_K) {
    const depth = Math.min(TILE_K, k - p);
    for (let left = 0; left < n; left += SLAB) {
      const across = Math.min(SLAB, n - left);
      for (let top = 0; top < m; top += SLAB) {
        const down = Math.min(SLAB, m - top);
        let areas: ReturnType<Kernel['reserve']> = { a: NOTHING, b: NOTHING, c: NOTHING };
        let mine = -1;
        for (let j = 0; j < across; j += TILE_N) {
          // Another product may have used the kernel while this one gave way.
          if (kernel.reservations !== mine) {
            areas = kernel.reserve(four(down) * depth, four(across) * depth);
            mine = kernel.reservations;
            pack(areas.a, a, top, down, p, depth, alpha);
            if (alpha === 1 && top === left && down === across && sameView(a, bt)) areas.b.set(areas.a);
            else pack(areas.b, bt, left, across, p, depth, 1);
          }
          const width = Math.min(TILE_N, across - j);
          for (let i = 0; i < down; i += TILE_M) {
            const height = Math.min(TILE_M, down - i);
            if (lower && top + i + height <= left + j) continue;
            moveTile(areas.c, c, top + i, height, left + j, width, true);
            kernel.run(Math.ceil(height / 4), Math.ceil(width / 4), depth, i * depth, j * depth);
            moveTile(areas.c, c, top + i, height, left + j, width, false);
          }
          yield (p + (depth * (left + j)) / n) / k;
        }
      }
    }
  }
}

const NOTHING = new Float64Array();

function sameView(a: View, b: View): boolean {
  return a.data === b.data && a.offset === b.offset && a.rowStride === b.rowStride && a.colStride === b.colStride;
}

/** Rows first … first + count of `v` (columns p … p + depth) as panels of 4, filled up with zeros. */
function pack(
  out: Float64Array,
  { data, offset, rowStride, colStride }: View,
  first: number,
  count: number,
  p: number,
  depth: number,
  alpha: number,
): void {
  let to = 0;
  for (let r = 0; r < count; r += 4) {
    const base = offset + (first + r) * rowStride + p * colStride;
    const end = to + depth * 4;
    if (r + 4 <= count) {
      const [s1, s2, s3] = [rowStride, 2 * rowStride, 3 * rowStride];
      for (let at = base; to < end; at += colStride, to += 4) {
        out[to] = alpha * (data[at] as number);
        out[to + 1] = alpha * (data[at + s1] as number);
        out[to + 2] = alpha * (data[at + s2] as number);
        out[to + 3] = alpha * (data[at + s3] as number);
      }
    } else {
      for (let at = base; to < end; at += colStride, to += 4)
        for (let lane = 0; lane < 4; lane++)
          out[to + lane] = r + lane < count ? alpha * (data[at + lane * rowStride] as number) : 0;
    }
  }
}

function moveTile(
  tile: Float64Array,
  c: Target,
  i: number,
  height: number,
  j: number,
  width: number,
  inwards: boolean,
): void {
  const across = Math.ceil(width / 4);
  for (let r = 0; r < height; r++) {
    const from = c.offset + (i + r) * c.rowStride + j * c.colStride;
    const to = ((r >> 2) * across * 4 + (r & 3)) * 4;
    for (let col = 0; col < width; col++) {
      const at = to + (col >> 2) * 16 + (col & 3);
      if (inwards) tile[at] = c.data[from + col * c.colStride] as number;
      else c.data[from + col * c.colStride] = tile[at] as number;
    }
  }
}

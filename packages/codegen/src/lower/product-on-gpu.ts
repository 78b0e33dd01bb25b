/**
 * Which of three twins walks a sparse stream on a GPU: the one that moves the fewest bytes, unless a schedule says which.
 */
import { GrimError } from '@grim/ir';
import type { GpuForm, GpuSchedule } from '../gpu-schedule.ts';
import type { Epilogue } from '../kernels/family.ts';
import type { KernelPart } from '../program.ts';
import { denseBytes } from '../wgsl/gemm.ts';
import type { Twin } from '../wgsl/shader.ts';
import { spmmTwin, unitBytes, unitsOf, unitTable, unitTile } from '../wgsl/sparse.ts';
import { spmmTileTwin, TILE_COLUMNS, tileTable } from '../wgsl/sparse-tile.ts';
import { stripsOf, stripTable } from '../wgsl/strip-table.ts';
import { stripsTwin } from '../wgsl/strips.ts';
import type { Product } from './product-form.ts';

interface OnGpu {
  readonly schedule: GpuSchedule;
  /** That the stream can be walked in. */
  readonly forms: readonly GpuForm[];
  /** The table of the twin. */
  readonly words: Int32Array;
  readonly twin: (epilogue: Epilogue, parts: readonly KernelPart[]) => Twin;
  /** Of global memory, as a share of those of the dense product. */
  readonly share: number;
}

/** A stream and the places where its parts begin. */
export interface Parts {
  readonly words: Int32Array;
  readonly starts: readonly { readonly word: number; readonly weight: number }[];
}

/** Another way over the stream must move less than this share of the bytes to be taken: its work-groups are larger. */
const CLEARLY = 0.8;
/** Columns below which a tile of 64 would be empty for the most part. */
const NARROW = 32;
/** Of the bytes of the dense product, at density 0.1: fewer are no reason for a larger tile. */
const FEW = 1 / 7;

/** @param n  columns of a typical call */
export function sparseOnGpu(
  stream: Parts,
  product: Pick<Product, 'matrix' | 'plane' | 'yRow' | 'xOffset'>,
  n: number,
  asked: GpuSchedule | undefined,
): OnGpu {
  const { matrix, plane = 0, yRow, xOffset } = product;
  const { rows: m, cols: depth } = matrix;
  let first = Number.POSITIVE_INFINITY;
  for (let k = 0; k < depth; k++) first = Math.min(first, xOffset(k) / 4);
  const units = unitsOf(stream.words, stream.starts);
  const one = unitTable(stream.words, units);
  const tile = tileTable(stream.words, units);
  const strips = stripsOf(stream.words, units, plane / 4, first);
  const dense = denseBytes(m, n, depth);
  const wish = asked?.form === 'strips' ? asked : {};
  const found = strips && stripTable(strips, { m, depth, n, yRow: yRow / 4, most: FEW * dense }, wish);
  const narrow = n < NARROW;
  const forms: readonly GpuForm[] = [
    'units',
    ...(narrow ? [] : (['blocks'] as const)),
    ...(strips ? (['strips'] as const) : []),
    'dense',
  ];
  const bytes = {
    units: unitBytes(one, n),
    blocks: narrow ? Number.POSITIVE_INFINITY : tile.bytes * Math.ceil(n / TILE_COLUMNS),
    strips: found ? found.bytes(n) : Number.POSITIVE_INFINITY,
  };
  const high = bytes.blocks > CLEARLY * bytes.units ? 'units' : 'blocks';
  const best = bytes.strips > CLEARLY * bytes[high] ? high : 'strips';
  const form = asked?.form ?? best;
  const share = bytes[best] / dense;
  if (form === 'strips') {
    if (!found)
      throw new GrimError(
        'GRIM_CODEGEN_BAD_SCHEDULE',
        `GPU schedule: form strips, but rows of the ${m} × ${depth} matrix share only some of their columns. Leave it out, or tune again.`,
      );
    const { lanes, parts, width, splitK } = found.tile;
    return {
      schedule: { form, lanes, parts, width, splitK },
      forms,
      share,
      words: found.words,
      twin: (epilogue) => stripsTwin(epilogue, found),
    };
  }
  if (form === 'blocks')
    return { schedule: { form }, forms, share, words: tile.words, twin: (epilogue) => spmmTileTwin(epilogue, tile) };
  const schedule: GpuSchedule = { form: 'units', ...unitTile(n, asked) };
  return {
    schedule,
    forms,
    share,
    words: one.words,
    twin: (epilogue, parts) => spmmTwin(epilogue, one, parts, schedule),
  };
}

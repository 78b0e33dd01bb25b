/**
 * Copies what a column tile reads of X into one contiguous panel before the product runs over it.
 *
 * In a CHW layout the rows of X are a channel apart: each 16-byte load meets another page, and lines that are used for half
 * their bytes fall out of the caches before the next row of blocks wants them. A panel of K rows of one cache line each
 * costs a load and a store for each of its vectors, once per tile, and is then read by all units. It pays when many rows of
 * A share each row of X.
 */
import type { FunctionBuilder, Local } from '../wasm/assembler.ts';
import { advance, countDownIfAny } from './family.ts';
import { type Columns, loadColumns, storeColumns } from './tile.ts';

/** Parameters of a kernel that gathers, after those of the kernel itself. */
export const GATHER_PARAMETERS = {
  /** Byte offset from `x` of each row that is copied, i32. */
  sources: 'i32',
  /** How many there are. */
  rows: 'i32',
  /** Scratch of rows · 4 · (columns of a full tile) bytes; row i of the panel begins at i · 4 · columns. */
  panel: 'i32',
} as const;

export type GatherLocals = { readonly [K in keyof typeof GATHER_PARAMETERS]: Local<'i32'> };

/** Leaves in the panel what lies at `x` plus each source. */
export function gatherColumns(
  f: FunctionBuilder,
  columns: Columns,
  pitch: number,
  x: Local<'i32'>,
  p: GatherLocals,
): void {
  const source = f.local('i32');
  const to = f.local('i32');
  const from = f.local('i32');
  const left = f.local('i32');
  f.get(p.sources).set(source).get(p.panel).set(to).get(p.rows).set(left);
  countDownIfAny(f, left, () => {
    f.get(x).get(source).memory('i32.load').op('i32.add').set(from);
    for (let vector = 0; vector < Math.ceil(columns / 4); vector++) {
      f.get(to).get(from);
      loadColumns(f, columns, vector);
      storeColumns(f, columns, vector);
    }
    advance(f, source, 4);
    advance(f, to, pitch);
  });
}

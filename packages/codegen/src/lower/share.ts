/**
 * Cuts large calls into pieces for several threads. Only rows or columns of an output are dealt out, never the terms of a
 * sum: the bits of a result depend neither on the number of pieces nor on who computes them.
 */
import type { LowerContext } from '../lower.ts';

/** What a lowering needs in order to append pieces. */
export type Caller = Pick<LowerContext, 'call' | 'parallel' | 'threads' | 'pieceCycles' | 'gpu'>;

/** About 30 µs: a fork and a join take 1 µs, and a piece should not be much smaller than what one layer more would cost. */
export const PIECE_CYCLES = 1e5;

type Sharing = Pick<LowerContext, 'threads' | 'pieceCycles'>;

/** How many pieces suit a call of about `cycles` cycles. Twice the threads: one that is held up leaves less undone. */
export function piecesOf(sharing: Sharing & Partial<Pick<LowerContext, 'gpu'>>, cycles: number): number {
  // A GPU deals its work out itself.
  return sharing.gpu ? 1 : piecesFor(sharing, cycles);
}

/** The same for weights that are laid out in pieces: alike on every device, so that a file holds them once. */
export function piecesFor({ threads, pieceCycles }: Sharing, cycles: number): number {
  if (threads < 2) return 1;
  return Math.max(1, Math.min(2 * threads, Math.floor(cycles / pieceCycles)));
}

/** Appends calls that are independent: as a group when they are worth it, `pieces` being what {@link piecesOf} says of all. */
export function together(c: Caller, pieces: number, body: () => void): void {
  if (pieces > 1) c.parallel(body);
  else body();
}

export interface Range {
  readonly first: number;
  readonly count: number;
}

/** [0, total) in at most `pieces` ranges, none empty, which begin at multiples of `unit` and differ by at most one unit. */
export function ranges(total: number, unit: number, pieces: number): readonly Range[] {
  const units = Math.ceil(total / unit);
  const count = Math.max(1, Math.min(pieces, units));
  const start = (i: number) => Math.min(total, unit * Math.floor((i * units) / count));
  return Array.from({ length: count }, (_, i) => ({ first: start(i), count: start(i + 1) - start(i) }));
}

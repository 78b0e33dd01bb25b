/**
 * Cuts a unit stream into streams of their own, for threads that share its rows: each ends with a word 0 and touches rows
 * that no other touches. Only places where every row that was begun is ended qualify, so no sum is ever divided.
 */
import { FIRST_TOUCH, LAST_TOUCH, ROWS_MASK, type UnitStream } from './units.ts';

export interface SplitStream extends Pick<UnitStream, 'words' | 'weights'> {
  /** Where each piece begins, in elements of both arrays. */
  readonly starts: readonly { readonly word: number; readonly weight: number }[];
}

/** @param pieces  how many are wanted; there may be fewer. They are balanced by weights */
export function splitUnits(stream: Pick<UnitStream, 'words' | 'weights'>, pieces: number): SplitStream {
  const { words, weights } = stream;
  const starts = [{ word: 0, weight: 0 }];
  const out: number[] = [];
  const share = weights.length / pieces;
  let open = 0;
  let weight = 0;
  for (let at = 0; words[at]; ) {
    if (open === 0 && at > 0 && weight >= share * starts.length && starts.length < pieces) {
      out.push(0);
      starts.push({ word: out.length, weight });
    }
    const head = words[at] ?? 0;
    const rows = head & ROWS_MASK;
    const cols = words[at + 1] ?? 0;
    const end = at + 2 + rows + cols;
    if (head & FIRST_TOUCH) open += rows;
    if (head & LAST_TOUCH) open -= rows;
    weight += rows * cols + (head & FIRST_TOUCH ? rows : 0);
    for (; at < end; at++) out.push(words[at] ?? 0);
  }
  out.push(0);
  return { words: Int32Array.from(out), weights, starts };
}

/**
 * Cuts a unit stream into streams of their own, for threads that share its rows: each ends with a word 0 and touches rows
 * that no other touches. Units that share a row stay together, in their order, so no sum is ever divided or reordered.
 */
import { FIRST_TOUCH, ROWS_MASK, type UnitStream } from './units.ts';

export interface SplitStream extends Pick<UnitStream, 'words' | 'weights'> {
  /** Where each piece begins, in elements of both arrays. */
  readonly starts: readonly { readonly word: number; readonly weight: number }[];
}

/** A unit as it stands in the stream. */
interface Span {
  readonly words: Int32Array;
  readonly weights: Float32Array;
}

/** @param pieces  how many are wanted; there may be fewer. They are balanced by weights */
export function splitUnits(stream: Pick<UnitStream, 'words' | 'weights'>, pieces: number): SplitStream {
  if (pieces < 2) return { words: stream.words, weights: stream.weights, starts: [{ word: 0, weight: 0 }] };
  const groups = together(spansOf(stream));
  const words = new Int32Array(stream.words.length + pieces - 1);
  const weights = new Float32Array(stream.weights.length);
  const starts = [{ word: 0, weight: 0 }];
  const share = weights.length / pieces;
  let word = 0;
  let weight = 0;
  for (const group of groups) {
    if (weight >= share * starts.length && starts.length < pieces) starts.push({ word: ++word, weight });
    for (const span of group) {
      words.set(span.words, word);
      weights.set(span.weights, weight);
      word += span.words.length;
      weight += span.weights.length;
    }
  }
  return { words: words.subarray(0, word + 1), weights, starts };
}

function spansOf({ words, weights }: Pick<UnitStream, 'words' | 'weights'>): readonly Span[] {
  const spans: Span[] = [];
  let weight = 0;
  for (let at = 0; words[at]; ) {
    const head = words[at] ?? 0;
    const rows = head & ROWS_MASK;
    const cols = words[at + 1] ?? 0;
    const [end, used] = [at + 2 + rows + cols, weight + rows * cols + (head & FIRST_TOUCH ? rows : 0)];
    spans.push({ words: words.subarray(at, end), weights: weights.subarray(weight, used) });
    [at, weight] = [end, used];
  }
  return spans;
}

/** Units in groups that share no row, in the order in which the groups begin. */
function together(spans: readonly Span[]): Iterable<readonly Span[]> {
  const parents = new Map<number, number>();
  const root = (row: number): number => {
    let top = row;
    for (let next = parents.get(top); next !== undefined && next !== top; next = parents.get(top)) top = next;
    parents.set(row, top);
    return top;
  };
  const rowsOf = ({ words }: Span) => words.subarray(2, 2 + ((words[0] ?? 0) & ROWS_MASK));
  for (const span of spans) {
    const [first = 0, ...others] = rowsOf(span);
    for (const row of others) parents.set(root(row), root(first));
  }
  const groups = new Map<number, Span[]>();
  for (const span of spans) {
    const key = root(rowsOf(span)[0] ?? 0);
    const group = groups.get(key);
    if (group) group.push(span);
    else groups.set(key, [span]);
  }
  return groups.values();
}

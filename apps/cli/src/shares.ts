/** How much of a layer is kept and in which blocks, as people type it: `0.25`, `2xK`, and lists and ranges of these. */
import type { BlockShape } from '@grim/prune';
import { InvalidArgumentError } from 'commander';
import { decimal } from './options.ts';

export function share(value: string): number {
  const parsed = decimal(value);
  if (!(parsed > 0 && parsed <= 1)) throw new InvalidArgumentError('A share above 0 and up to 1 is needed.');
  return parsed;
}

/** `4x16`, `2xK`, `KxK`. */
export function block(value: string): BlockShape {
  const [, rows, cols] = /^(\d{1,5}|K)x(\d{1,5}|K)$/.exec(value) ?? [];
  const side = (one: string | undefined) => (one === 'K' ? Number.POSITIVE_INFINITY : Number(one));
  if (!(side(rows) > 0 && side(cols) > 0))
    throw new InvalidArgumentError('Rows and columns are needed, as 4x16 or 2xK.');
  return { rows: side(rows), cols: side(cols) };
}

const MOST = 64;

/** `4x16..16x64`: both sides doubled until both have reached the end. */
export function blocks(value: string): readonly BlockShape[] {
  const list = value.split(',').flatMap((part) => {
    const [from = '', to, more] = part.split('..');
    if (more !== undefined) throw new InvalidArgumentError('Write a range as 4x16..16x64.');
    const [first, last] = [block(from), block(to ?? from)];
    if (last.rows < first.rows || last.cols < first.cols)
      throw new InvalidArgumentError('A range goes from the smaller block to the larger one.');
    const shapes = [first];
    for (let now = first; (now.rows < last.rows || now.cols < last.cols) && shapes.length <= MOST; shapes.push(now))
      now = { rows: grown(now.rows, last.rows), cols: grown(now.cols, last.cols) };
    return shapes;
  });
  if (list.length > MOST) throw new InvalidArgumentError(`At most ${MOST} blocks, please.`);
  return list;
}

/** Twice as long; to whole rows in one step. */
function grown(now: number, last: number): number {
  return Number.isFinite(last) ? Math.min(last, 2 * now) : last;
}

export function densities(value: string): readonly number[] {
  const list = value.split(',').flatMap((part) => {
    const [from = '', to, more] = part.split('..');
    if (more !== undefined) throw new InvalidArgumentError('Write a range as 0.05..0.4.');
    const [first, last] = [share(from), share(to ?? from)];
    if (last < first) throw new InvalidArgumentError('A range goes from the lower density to the higher one.');
    const shares = [first];
    for (let now = first * 2; now < last * 1.0001 && shares.length <= MOST; now *= 2)
      shares.push(Number(now.toPrecision(6)));
    if ((shares.at(-1) ?? 0) < last * 0.999) shares.push(last);
    return shares;
  });
  if (list.length > MOST) throw new InvalidArgumentError(`At most ${MOST} densities, please.`);
  return [...new Set(list)].sort((a, b) => a - b);
}

/** `2xK` of a shape. */
export function blockText({ rows, cols }: BlockShape): string {
  return [rows, cols].map((side) => (Number.isFinite(side) ? side : 'K')).join('x');
}

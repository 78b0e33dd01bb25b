/** What the shape rules share: axes counted from either end, and lengths that come as a rank-1 input. */
import type { InferContext } from '../op.ts';
import { type Dim, formatShape, type Shape, type Tensor } from '../types.ts';

/** A rule's context without its attributes, so that one function serves every operator. */
export type Rule = Omit<InferContext, 'attributes'>;

/** `axis` counted from the front. Fails the rule unless -rank ≤ axis < rank. */
export function normalAxis(c: Pick<Rule, 'fail'>, axis: number, rank: number, what = 'axis'): number {
  if (!(axis >= -rank && axis < rank))
    c.fail(
      rank === 0
        ? `${what} is ${axis}; a scalar has no axes.`
        : `${what} is ${axis}; rank ${rank} has axes ${-rank} to ${rank - 1}.`,
    );
  return axis < 0 ? axis + rank : axis;
}

/** Each axis counted from the front, in the order given. Fails the rule when one is out of range or given twice. */
export function normalAxes(c: Pick<Rule, 'fail'>, axes: readonly number[], rank: number, what = 'axes'): number[] {
  const seen = new Set<number>();
  return axes.map((given, i) => {
    const axis = normalAxis(c, given, rank, `${what}[${i}]`);
    if (seen.has(axis)) c.fail(`${what} [${axes.join(', ')}] names axis ${axis} twice (rank ${rank}).`);
    seen.add(axis);
    return axis;
  });
}

/** Fails the rule unless `min` ≤ rank ≤ `max`. Nothing is known of a null shape. */
export function needRank(c: Pick<Rule, 'fail'>, shape: Shape | null, what: string, min: number, max = Infinity): void {
  if (!shape || (shape.length >= min && shape.length <= max)) return;
  const needed = min === max ? `rank ${min}` : max === Infinity ? `rank ${min} or more` : `rank ${min} to ${max}`;
  c.fail(`${what} has shape ${formatShape(shape)}; ${needed} is needed.`);
}

/** Fails the rule when two lengths are known and differ. */
export function needEqual(c: Pick<Rule, 'fail'>, a: Dim | undefined, b: Dim | undefined, what: string): void {
  if (typeof a === 'number' && typeof b === 'number' && a !== b) c.fail(`${what}: ${a} and ${b} must be equal.`);
}

/** What is known of an input that lists integers: all of them, or how many there are, or nothing. */
interface IntegerList {
  readonly values: readonly number[] | undefined;
  readonly length: number | undefined;
}

/** A rank-1 integer input. A scalar is read as a list of one, as runtimes do. */
export function integerList(c: Rule, input: number, name: string): IntegerList {
  const shape = c.shape(input);
  needRank(c, shape, name, 0, 1);
  const first = shape?.length === 0 ? 1 : shape?.[0];
  return { values: c.integers(input), length: typeof first === 'number' ? first : undefined };
}

/** `count` lengths of which nothing is known. Fails the rule when a value of that rank is not allowed. */
export function openDims(c: Rule, count: number): string[] {
  if (count > c.limits.rank)
    c.fail(`the output would have rank ${count}; the highest supported is ${c.limits.rank}.`, 'GRIM_IR_SHAPE_OVERFLOW');
  return Array.from({ length: count }, c.unknown);
}

/** A shape given as an integer list: every length 0 or more. Null when not even the rank is known. */
export function shapeFrom(c: Rule, input: number, name: string): Shape | null {
  const { values, length } = integerList(c, input, name);
  if (!values) return length === undefined ? null : openDims(c, length);
  openDims(c, values.length);
  values.forEach((value, i) => {
    if (value < 0) c.fail(`${name} [${values.join(', ')}] has ${value} in place ${i}; 0 or more is needed.`);
  });
  return values;
}

/** Product of lengths: a number, or the one name that decides it, or a fresh name. */
export function productOf(c: Pick<Rule, 'unknown'>, dims: readonly Dim[]): Dim {
  if (dims.includes(0)) return 0;
  const names = dims.filter((dim) => typeof dim === 'string');
  const known = dims.reduce<number>((product, dim) => (typeof dim === 'number' ? product * dim : product), 1);
  if (names.length === 0) return known;
  return names.length === 1 && known === 1 ? (names[0] as string) : c.unknown();
}

/** Number of elements where every length is known. */
export function knownSize(shape: Shape | null): number | undefined {
  if (!shape) return undefined;
  let size = 1;
  for (const dim of shape) {
    if (typeof dim === 'string') return undefined;
    size *= dim;
  }
  return size;
}

/** Fails the rule when a known index is outside -length … length - 1. */
export function checkIndices(c: Pick<Rule, 'fail'>, indices: Tensor | undefined, length: Dim | undefined): void {
  if (!indices || typeof length !== 'number') return;
  const { data } = indices;
  for (let i = 0; i < data.length; i++) {
    // Number() keeps the order of 64-bit integers, and a length is far below where it rounds.
    const index = Number(data[i]);
    if (index < -length || index >= length)
      c.fail(
        `indices has ${data[i]} in place ${i}; an axis of length ${length} takes ${-length} to ${length - 1}.`,
        'GRIM_IR_BAD_VALUE',
      );
  }
}

/** Fails the rule unless the shape holds exactly one element, as far as it is known. */
export function needSingle(c: Pick<Rule, 'fail'>, shape: Shape | null, what: string): void {
  const size = knownSize(shape);
  if (size !== undefined && size !== 1) c.fail(`${what} has shape ${formatShape(shape)}; one element is needed.`);
}

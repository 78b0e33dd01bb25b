/**
 * Einstein summation: operands are multiplied in pairs from the left, and an index is summed as soon as neither the
 * output nor a later operand has it.
 */
import type { Summation } from '../ops/einsum.ts';
import { elementCount } from '../types.ts';
import type { Arithmetic } from './arithmetic.ts';
import { stridesOf } from './indexing.ts';

interface Factor<A> {
  readonly values: A;
  /** Step in `values` when an index grows by one; the steps of a repeated index add up, which walks the diagonal. */
  readonly steps: ReadonlyMap<string, number>;
}

function factorOf<A>(values: A, labels: readonly string[], shape: readonly number[]): Factor<A> {
  const strides = stridesOf(shape);
  const steps = new Map<string, number>();
  labels.forEach((label, axis) => {
    // An axis of length 1 is repeated along its index.
    const step = shape[axis] === 1 ? 0 : (strides[axis] ?? 0);
    steps.set(label, (steps.get(label) ?? 0) + step);
  });
  return { values, steps };
}

/** The sum over all indices of `a` and `b` that are not in `kept`. */
function contract<A>(
  arithmetic: Arithmetic<A>,
  a: Factor<A>,
  b: Factor<A>,
  kept: readonly string[],
  lengthOf: (label: string) => number,
): Factor<A> {
  const shape = kept.map(lengthOf);
  const y = factorOf(arithmetic.zeros(elementCount(shape, 'float64', 'Einsum')), kept, shape);
  const summed = [...new Set([...a.steps.keys(), ...b.steps.keys()])].filter((label) => !kept.includes(label));
  // What the output walks fastest goes innermost: rows are then added to rows.
  const order = [...kept.slice(0, -1), ...summed, ...kept.slice(-1)];
  const lengths = order.map(lengthOf);
  if (lengths.includes(0)) return y;
  const [yStep, aStep, bStep] = [y, a, b].map(({ steps }) => order.map((label) => steps.get(label) ?? 0));
  const last = order.length - 1;
  const at = (steps: readonly number[] | undefined, axis: number) => steps?.[axis] ?? 0;
  const count = lengths[last] ?? 1;
  const position = new Array<number>(order.length).fill(0);
  let yi = 0;
  let ai = 0;
  let bi = 0;
  for (;;) {
    arithmetic.accumulate(
      y.values,
      yi,
      at(yStep, last),
      a.values,
      ai,
      at(aStep, last),
      b.values,
      bi,
      at(bStep, last),
      count,
    );
    let axis = last - 1;
    for (; axis >= 0; axis--) {
      const next = (position[axis] ?? 0) + 1;
      const more = next < (lengths[axis] ?? 1);
      const move = more ? 1 : 1 - next;
      yi += move * at(yStep, axis);
      ai += move * at(aStep, axis);
      bi += move * at(bStep, axis);
      position[axis] = more ? next : 0;
      if (more) break;
    }
    if (axis < 0) return y;
  }
}

/** The values of the output, row-major. */
export function einsum<A>(
  arithmetic: Arithmetic<A>,
  one: A,
  operands: readonly { readonly values: A; readonly shape: readonly number[] }[],
  { operands: labels, output, lengths }: Summation,
): A {
  const lengthOf = (label: string) => Number(lengths.get(label) ?? 1);
  const last = new Map<string, number>();
  labels.forEach((list, i) => {
    for (const label of list) last.set(label, i);
  });
  for (const label of output) last.set(label, operands.length);
  let left: Factor<A> = { values: one, steps: new Map() };
  let seen: string[] = [];
  operands.forEach(({ values, shape }, i) => {
    const right = factorOf(values, labels[i] ?? [], shape);
    seen = [...new Set([...seen, ...(labels[i] ?? [])])].filter((label) => (last.get(label) ?? 0) > i);
    const kept = i === operands.length - 1 ? output : seen;
    left = contract(arithmetic, left, right, kept, lengthOf);
  });
  return left.values;
}

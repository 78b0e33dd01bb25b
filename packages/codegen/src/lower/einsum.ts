/**
 * `Einsum`: all operands seen over one index space — the output's indices, then those that are summed — multiplied there
 * and folded along the latter. A repeated index is a diagonal, an absent one a repetition: both are strides.
 */
import { type DType, fromReals, type NodeOf } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import { type Expression, load, wrap } from '../map/expression.ts';
import { foldCall } from '../map/fold.ts';
import { functionTable } from '../map/functions.ts';
import { dense, reshape, sizeOf, view } from '../map/placement.ts';
import type { Placement } from '../program.ts';
import { mul } from './pointwise.ts';

/** The indices of a term; those of its ellipsis are numbered from the last one, which is 0. */
function indicesOf(term: string, rank: number): readonly string[] {
  const [before = '', after] = term.split('...');
  if (after === undefined) return Array.from(before);
  const count = rank - before.length - after.length;
  return [...before, ...Array.from({ length: count }, (_, i) => `${count - 1 - i}`), ...after];
}

function lowerEinsum(node: NodeOf<'Einsum'>, c: LowerContext): void {
  const [output = ''] = node.outputs;
  const [left = '', right] = node.attributes.equation.replaceAll(/\s/g, '').split('->');
  const operands = node.inputs.map((name) => c.read(name));
  const terms = left.split(',').map((term, i) => indicesOf(term, operands[i]?.shape.length ?? 0));
  const { shape } = c.type(output);
  const every = terms.flat();
  const isNumber = (index: string) => /^\d/.test(index);
  const found = [...new Set(every)];
  const broadcast = found.filter(isNumber).sort((a, b) => Number(b) - Number(a));
  const single = found.filter((index) => !isNumber(index) && every.indexOf(index) === every.lastIndexOf(index)).sort();
  // Without an arrow: the ellipsis, then all indices that occur once, in alphabetical order.
  const kept = right === undefined ? [...broadcast, ...single] : indicesOf(right, shape.length);
  contract(c, operands, terms, kept, c.writeContiguous(output));
}

/**
 * The sum over all indices that are not kept of the product of the operands.
 * @param terms  names of each operand's axes; axes of one name have one length, or length 1
 * @param to  row-major over the kept ones; its axes may be split otherwise
 */
export function contract(
  c: LowerContext,
  operands: readonly Placement[],
  terms: readonly (readonly string[])[],
  kept: readonly string[],
  to: Placement,
): void {
  const { dtype } = to;
  const all = [...new Set([...kept, ...terms.flat()])];
  const lengths = all.map((index) =>
    Math.max(
      ...terms.flatMap((term, t) =>
        term.flatMap((own, axis) => (own === index ? [operands[t]?.shape[axis] ?? 1] : [])),
      ),
    ),
  );
  const empty = operands.some((operand) => operand.shape.includes(0));
  const loads = operands.map((operand, t) => load(over(operand, terms[t] ?? [], all, lengths)));
  const product = loads.slice(1).reduce<Expression>((total, x) => wrap(dtype, mul(total, x)), loads[0] as Expression);
  if (sizeOf(to.shape) === 0) return;
  if (empty) {
    c.fill(to, fromReals(dtype, [], [0]));
    return;
  }
  const folded = lengths.map((length, axis) => (axis < kept.length ? length : 1));
  const target = reshape(to, folded) ?? to;
  if (sizeOf(folded) === sizeOf(lengths)) {
    c.store(product, view(target, { shape: lengths, strides: target.strides }));
    return;
  }
  // Narrow floats are added up in float32.
  const narrow: readonly DType[] = ['float16', 'bfloat16'];
  const sums = narrow.includes(dtype) ? dense(c.scratch(4 * sizeOf(folded)), 'float32', folded) : target;
  const { kernel, args } = foldCall(product, lengths, 'add', sums, () => c.data(functionTable()));
  c.call(kernel, ...args);
  if (sums !== target) c.store(load(sums), target);
}

/** An operand as seen from the whole index space. */
function over(
  operand: Placement,
  term: readonly string[],
  all: readonly string[],
  lengths: readonly number[],
): Placement {
  const strides = all.map((index) =>
    term.reduce(
      (sum, own, axis) => sum + (own === index && operand.shape[axis] !== 1 ? (operand.strides[axis] ?? 0) : 0),
      0,
    ),
  );
  return view(operand, { shape: lengths, strides });
}

export const einsumLowerings: Lowerings = { Einsum: { lower: lowerEinsum } };

/** Gradients of matrix products. */
import { type Shape, sizeOf } from '../emit.ts';
import { type RuleContext, type Rules, range, single } from '../rule.ts';

const swapped = (c: RuleContext, x: string, rank: number): string =>
  c.transpose(x, [...range(rank - 2), rank - 1, rank - 2]);

export const linearRules: Rules<'MatMul' | 'Gemm' | 'Einsum'> = {
  MatMul: single((c, dy) => {
    const [given, other] = [c.shape(0), c.shape(1)];
    // A vector is a row on the left, a column on the right.
    const a: Shape = given.length === 1 ? [1, ...given] : given;
    const b: Shape = other.length === 1 ? [...other, 1] : other;
    const batch = c.outShape().slice(0, c.outShape().length - Number(given.length > 1) - Number(other.length > 1));
    const [m, k, n] = [a.at(-2) ?? 1, a.at(-1) ?? 1, b.at(-1) ?? 1];
    const left = given.length === 1 ? c.reshape(c.input(0), a) : c.input(0);
    const right = other.length === 1 ? c.reshape(c.input(1), b) : c.input(1);
    const d = c.reshape(dy, [...batch, m, n]);
    const da = (): string => {
      const full = c.add('MatMul', [d, swapped(c, right, b.length)]);
      return c.unbroadcast(full, [...batch, m, k], given.length === 1 ? given : a);
    };
    const db = (): string => {
      // One product over all rows in place of one for each of the batch and a sum.
      if (b.length === 2 && batch.length > 0 && sizeOf(a) === sizeOf(batch) * m * k) {
        const rows = sizeOf(batch) * m;
        return c.add('MatMul', [swapped(c, c.reshape(left, [rows, k]), 2), c.reshape(d, [rows, n])]);
      }
      return c.unbroadcast(c.add('MatMul', [swapped(c, left, a.length), d]), [...batch, k, n], b);
    };
    return [c.wanted(0) ? c.reshape(da(), given) : undefined, c.wanted(1) ? c.reshape(db(), other) : undefined];
  }),

  Gemm: single((c, dy) => {
    const { alpha, beta, transA, transB } = c.a;
    const [a, b] = [c.input(0), c.input(1)];
    const product = (left: string, right: string, ta: number, tb: number): string =>
      c.add('Gemm', [left, right], { alpha, transA: ta, transB: tb });
    const da = (): string => (transA ? product(b, dy, transB, 1) : product(dy, b, 0, transB ? 0 : 1));
    const db = (): string => (transB ? product(dy, a, 1, transA) : product(a, dy, transA ? 0 : 1, 0));
    return [
      c.wanted(0) ? da() : undefined,
      c.wanted(1) ? db() : undefined,
      c.wanted(2) ? c.scale(c.unbroadcast(dy, c.outShape(), c.shape(2)), beta) : undefined,
    ];
  }),

  // Each factor's gradient is the product of all others with dy, summed over the labels the factor does not have.
  Einsum: single((c, dy) => {
    const equation = c.a.equation.replaceAll(' ', '');
    const [left = '', right] = equation.split('->');
    const terms = left.split(',');
    if (right === undefined || equation.includes('.')) return c.refuse('its equation has no explicit output, or "..."');
    if (terms.some((term) => new Set(term).size !== term.length)) c.refuse('a label stands twice in one factor');
    return terms.map((term, i) => {
      if (!c.wanted(i)) return undefined;
      const others = terms.flatMap((other, j) => (j === i ? [] : [{ term: other, value: c.input(j) }]));
      const factors = [{ term: right, value: dy }, ...others];
      const known = new Set(factors.flatMap((factor) => [...factor.term]));
      // A label that only this factor has was summed: its gradient is the same all along it.
      const found = [...term].filter((label) => known.has(label)).join('');
      const product = c.add(
        'Einsum',
        factors.map(({ value }) => value),
        { equation: `${factors.map((factor) => factor.term).join(',')}->${found}` },
      );
      const shape = c.shape(i);
      const kept = [...term].map((label, axis) => (known.has(label) ? (shape[axis] ?? 1) : 1));
      return c.expand(c.reshape(product, kept), shape);
    });
  }),
};

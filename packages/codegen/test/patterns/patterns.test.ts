import { expect, it } from 'vitest';
import { runCases } from './cases.ts';

it('C2, C7, N0, N1, N2, N3: 300 random patterns, shapes, strides and fused operators pass the four gates', () => {
  const { failed, worst, sparse, outputs } = runCases(1, 300);
  expect(failed).toEqual([]);
  // What is measured is there: kernels of both kinds ran, and real sums are rounded.
  expect(sparse).toBeGreaterThan(100);
  expect(sparse).toBeLessThan(300);
  expect(outputs).toBeGreaterThan(100_000);
  expect(Math.min(worst.n1, worst.n2, worst.n3)).toBeGreaterThan(0.01);
});

/** The times of single calls. */
import { Worker } from 'node:worker_threads';
import { pack } from '@grim/codegen';
import { expect, it } from 'vitest';
import { openProfiler } from '../src/profile.ts';
import { affine, branching, counter, grouped } from './models.ts';

it('gives a time for every call that runs, and for none that a branch leaves out', async () => {
  const many = await openProfiler(pack(counter(9)));
  expect(many.calls).toBe(10);
  expect(many.runByCall()).toHaveLength(10);
  expect(many.runByCall().every((ms) => ms > 0)).toBe(true);
  expect(many.run()).toBeGreaterThan(0);
  let ticks = 0;
  expect(Array.from(many.runByCall(() => ticks++))).toEqual(new Array(10).fill(1));
  expect(many.run(() => ticks++)).toBe(1);
  const either = await openProfiler(pack(branching()));
  expect(either.calls).toBe(2);
  expect(Array.from(either.runByCall()).filter((ms) => ms > 0)).toHaveLength(1);
});

it('times a group that threads share as one call, with the results of one thread', async () => {
  const worker = () => new Worker(new URL('../src/threads-worker.ts', import.meta.url));
  const bytes = pack(grouped(4, 3));
  const alone = await openProfiler(bytes);
  expect(Array.from(alone.runByCall(() => 0))).toEqual(new Array(12).fill(0));
  const shared = await openProfiler(bytes, { threads: 2, worker });
  let ticks = 0;
  expect([alone.threads, shared.threads, shared.calls]).toEqual([1, 2, 12]);
  expect(Array.from(shared.runByCall(() => ticks++))).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
  expect(shared.run(() => ticks++)).toBe(1);
  shared.dispose();
  expect((await openProfiler(pack(counter()), { threads: 2, worker })).threads).toBe(1);
});

it('expands narrow weights, takes the family it is told, and refuses a file without code', async () => {
  for (const weights of ['f32', 'f16', 'bf16', 'int8'] as const)
    expect((await openProfiler(pack(affine(5), { weights }), { simd: 'plain' })).simd).toBe('plain');
  await expect(openProfiler(pack(affine(), { split: true }).grim)).rejects.toMatchObject({
    code: 'GRIM_RUNTIME_MISSING_FEATURE',
  });
  await expect(openProfiler(pack(affine()).subarray(0, 100))).rejects.toMatchObject({
    code: 'GRIM_RUNTIME_BAD_ARTIFACT',
  });
});

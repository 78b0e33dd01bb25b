import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Lifetime, packArena, planMemory } from '../src/plan-memory.ts';
import type { Buffer, Kernel, Placement, Program, Step } from '../src/program.ts';

const SEED = 20260704;

/** Pairs that share a byte while both live: what a plan must not have. Independent of how plans are made. */
function conflicts(lifetimes: readonly Lifetime[], offsets: readonly number[]): number {
  let found = 0;
  lifetimes.forEach((a, i) => {
    lifetimes.slice(0, i).forEach((b, j) => {
      const together = a.first <= b.last && b.first <= a.last;
      const [from, to] = [offsets[i] ?? 0, offsets[j] ?? 0];
      if (together && from < to + b.bytes && to < from + a.bytes) found++;
    });
  });
  return found;
}

const lifetime = fc
  .tuple(fc.nat(40), fc.nat(12), fc.integer({ min: 1, max: 5000 }))
  .map(([first, length, bytes]) => ({ first, last: first + length, bytes }));

const kernel: Kernel = { name: 'k', emit: () => undefined };
const buffer = (id: number, bytes = 64): Buffer => ({ id, bytes });
const place = (of: Buffer): Placement => ({ buffer: of, offset: 0, dtype: 'uint8', shape: [of.bytes], strides: [1] });
const call = (...buffers: readonly Buffer[]): Step => ({
  kind: 'call',
  kernel,
  args: buffers.map((one) => ({ buffer: one, offset: 0 })),
  nodes: [],
});
const over = (target: Buffer, ...sources: readonly Buffer[]): Step => ({
  ...(call(target, ...sources) as Extract<Step, { kind: 'call' }>),
  inPlace: { target, sources },
});
const program = (buffers: readonly Buffer[], steps: readonly Step[], input: Buffer, output: Buffer): Program => ({
  buffers,
  steps,
  setup: [],
  products: [],
  inputs: new Map([['x', place(input)]]),
  outputs: new Map([['y', place(output)]]),
  layers: [],
  notes: new Map(),
});

describe('packArena', () => {
  it('C8: no two buffers that live at the same time share a byte', () => {
    fc.assert(
      fc.property(fc.array(lifetime, { maxLength: 60 }), fc.constantFrom(0, 4096), (lifetimes, guard) => {
        const { offsets, bytes } = packArena(lifetimes, guard);
        expect(conflicts(lifetimes, offsets)).toBe(0);
        lifetimes.forEach((one, i) => {
          expect(offsets[i]).toBeGreaterThanOrEqual(guard);
          expect((offsets[i] ?? 0) + one.bytes + guard).toBeLessThanOrEqual(bytes);
          expect((offsets[i] ?? 0) % 64).toBe(0);
        });
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
  it('the check finds a conflict in a plan without sense', () => {
    const both = [
      { first: 0, last: 2, bytes: 100 },
      { first: 2, last: 3, bytes: 10 },
    ];
    expect(conflicts(both, [0, 64])).toBe(1);
  });
  it('a chain needs the bytes of two neighbours, however long it is', () => {
    const chain = Array.from({ length: 50 }, (_, i) => ({ first: i, last: i + 1, bytes: 640 }));
    expect(packArena(chain).bytes).toBe(2 * 640);
  });
});

describe('planMemory', () => {
  const [x, a, b, y] = [0, 1, 2, 3].map((id) => buffer(id, 128)) as [Buffer, Buffer, Buffer, Buffer];
  it('a call may write over an operand that dies with it', () => {
    const plan = planMemory(program([x, a, y], [call(a, x), over(y, a)], x, y));
    expect(plan.addressOf(y)).toBe(plan.addressOf(a));
  });
  it('and not over one that is read later, or is an output', () => {
    const later = planMemory(program([x, a, b, y], [call(a, x), over(b, a), call(y, a, b)], x, y));
    expect(later.addressOf(b)).not.toBe(later.addressOf(a));
    const steps = [call(a, x), over(b, a)];
    const both: Program = {
      ...program([x, a, b], steps, x, b),
      outputs: new Map([
        ['p', place(a)],
        ['q', place(b)],
      ]),
    };
    const plan = planMemory(both);
    expect(plan.addressOf(b)).not.toBe(plan.addressOf(a));
  });
  it('what both branches of an If read lives through the first', () => {
    const branch: Step = {
      kind: 'if',
      condition: { buffer: x, offset: 0 },
      whenTrue: [over(b, a)],
      whenFalse: [call(b, a)],
      nodes: [],
    };
    const plan = planMemory(program([x, a, b, y], [call(a, x), branch, call(y, b)], x, y));
    expect(plan.addressOf(b)).not.toBe(plan.addressOf(a));
  });
  it('constants stand from address 0, unused ones nowhere, and the last buffer ends with the last page', () => {
    const used: Buffer = { id: 4, bytes: 10, constant: new Uint8Array(10) };
    const unused: Buffer = { id: 5, bytes: 10, constant: new Uint8Array(10) };
    const plan = planMemory(program([x, y, used, unused], [call(y, x, used)], x, y));
    expect(plan.addressOf(used)).toBe(0);
    expect(plan.isPlaced(unused)).toBe(false);
    expect(plan.constantBytes).toBe(64);
    expect(plan.constantBytes + plan.arenaBytes).toBe(plan.pages * 65536);
    expect(Math.max(plan.addressOf(x), plan.addressOf(y)) + 128).toBe(plan.pages * 65536);
  });
  it('C5: more than 32 bits can address is refused', () => {
    const huge = buffer(7, 2 ** 32 - 65536 - 128);
    expect(planMemory(program([huge, y], [call(y, huge)], huge, y)).pages).toBe(65535);
    const more = buffer(8, 2 ** 32 - 65536);
    expect(() => planMemory(program([more, y], [call(y, more)], more, y))).toThrow(
      expect.objectContaining({ code: 'GRIM_CODEGEN_DEVICE_LIMIT' }),
    );
  });
});

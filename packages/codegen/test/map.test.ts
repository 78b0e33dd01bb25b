import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planLoops } from '../src/map/loops.ts';
import { borders, isRowMajor, paddedIn, paddedLayout, reshape, rowMajor, sizeOf } from '../src/map/placement.ts';
import type { Buffer, Placement } from '../src/program.ts';

const SEED = 20260705;
const buffer: Buffer = { id: 0, bytes: 0 };

/** Byte offsets of all elements, row-major. */
function offsets({ offset, shape, strides }: Placement, elementBytes = 4): number[] {
  return Array.from({ length: sizeOf(shape) }, (_, e) => {
    let rest = e;
    let at = offset;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += (rest % (shape[axis] ?? 1)) * (strides[axis] ?? 0) * elementBytes;
      rest = Math.floor(rest / (shape[axis] ?? 1));
    }
    return at;
  });
}

const padding = (spatial: number) =>
  fc.record({
    before: fc.array(fc.nat(3), { minLength: spatial, maxLength: spatial }),
    after: fc.array(fc.nat(3), { minLength: spatial, maxLength: spatial }),
  });
const paddedCase = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 5, maxLength: 5 }))
  .chain(([spatial, dims]) => fc.tuple(fc.constant(dims.slice(0, 2 + spatial)), padding(spatial)));

describe('padded placements', () => {
  it('every zero that is promised is in a border, no element is, and nothing is outside the buffer', () => {
    fc.assert(
      fc.property(paddedCase, ([shape, pads]) => {
        const placement = paddedIn(buffer, 'float32', shape, pads);
        const { elements } = paddedLayout(shape, pads);
        const values = new Set(offsets(placement));
        expect(values.size).toBe(sizeOf(shape));
        const zeros = new Set(borders(placement).flatMap((box) => offsets(box)));
        for (const at of [...values, ...zeros]) {
          expect(at).toBeGreaterThanOrEqual(0);
          expect(at).toBeLessThan(4 * elements);
        }
        for (const at of zeros) expect(values.has(at)).toBe(false);
        // Every place around the value, in each plane.
        const grown = shape.map((dim, axis) =>
          axis < 2 ? dim : dim + (pads.before[axis - 2] ?? 0) + (pads.after[axis - 2] ?? 0),
        );
        const start = shape.reduce(
          (sum, _, axis) => sum - (axis < 2 ? 0 : (pads.before[axis - 2] ?? 0) * (placement.strides[axis] ?? 0)),
          0,
        );
        const around = { ...placement, shape: grown, offset: placement.offset + 4 * start };
        for (const at of offsets(around)) expect(values.has(at) || zeros.has(at)).toBe(true);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });
});

describe('reshape', () => {
  it('a view has the elements in the same order', () => {
    const dims = fc.array(fc.constantFrom(1, 2, 3, 4, 6), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(dims, fc.array(fc.nat(3), { minLength: 4, maxLength: 4 }), fc.nat(20), (shape, order, pick) => {
        // Axes in some order, some of them spaced out: all that views of values can be.
        const axes = shape.map((_, i) => i).sort((a, b) => (order[a] ?? 0) - (order[b] ?? 0) || a - b);
        const strides = new Array<number>(shape.length).fill(0);
        let step = 1;
        for (const axis of axes) {
          strides[axis] = step;
          step *= (shape[axis] ?? 1) + (order[axis] === 3 ? 1 : 0);
        }
        const placement: Placement = { buffer, offset: 0, dtype: 'float32', shape, strides };
        const size = sizeOf(shape);
        const divisors = Array.from({ length: size }, (_, i) => i + 1).filter((d) => size % d === 0);
        const first = divisors[pick % divisors.length] ?? 1;
        const target = [first, size / first];
        const view = reshape(placement, target);
        if (view) expect(offsets(view)).toEqual(offsets(placement));
        else expect(isRowMajor(placement)).toBe(false);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
  it('an axis of any spacing can be split, and split ones merged again', () => {
    const placement: Placement = { buffer, offset: 8, dtype: 'float32', shape: [2, 6, 5], strides: [100, 7, 1] };
    const split = reshape(placement, [2, 1, 3, 2, 5]);
    expect(split?.strides).toEqual([100, 0, 14, 7, 1]);
    expect(split && reshape(split, [2, 6, 5])?.strides).toEqual([100, 7, 1]);
    expect(reshape(placement, [12, 5])).toBeUndefined();
  });
});

describe('planLoops', () => {
  const operand = (strides: readonly number[], bytes = 4) => ({ bytes, strides });
  it('axes that all operands walk as one become one', () => {
    const strides = rowMajor([3, 4, 5]).map((stride) => 4 * stride);
    expect(planLoops([3, 4, 5], [operand(strides), operand(strides)]).lengths).toEqual([60]);
  });
  it('a broadcast operand keeps the axes apart', () => {
    const { lengths, operands } = planLoops([3, 4, 5], [operand([80, 20, 4]), operand([0, 4, 0])]);
    expect(lengths).toEqual([3, 4, 5]);
    expect(operands.map(({ stepping }) => stepping)).toEqual(['dense', 'fixed']);
    expect(planLoops([3, 4, 5], [operand([80, 20, 4]), operand([4, 0, 0])]).lengths).toEqual([3, 20]);
  });
  it('one element is a loop of one', () => {
    const { lengths, operands } = planLoops([1, 1], [operand([0, 0]), operand([4, 4])]);
    expect(lengths).toEqual([1]);
    expect(operands.every(({ stepping }) => stepping === 'dense')).toBe(true);
  });
});

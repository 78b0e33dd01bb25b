/** A loop nest over strided operands: axes that can be walked as one become one. */

/** How the innermost loop steps through an operand: element by element, in place, or by some other stride. */
type Stepping = 'dense' | 'fixed' | 'strided';

export interface Walked {
  /** Bytes between neighbours, per axis of the nest. */
  readonly strides: readonly number[];
  readonly stepping: Stepping;
  /** False when the operand is one element for the whole nest. */
  readonly moves: boolean;
}

export interface Loops {
  /** Iterations, outermost first; at least one axis, none of them 0. */
  readonly lengths: readonly number[];
  readonly operands: readonly Walked[];
}

/**
 * @param lengths  of the whole index space, no zeros
 * @param operands  element size and byte strides of each, per axis of `lengths`
 */
export function planLoops(
  lengths: readonly number[],
  operands: readonly { readonly bytes: number; readonly strides: readonly number[] }[],
): Loops {
  const axes = lengths.map((_, axis) => axis).filter((axis) => lengths[axis] !== 1);
  const merged: { length: number; strides: number[] }[] = [];
  for (const axis of axes) {
    const length = lengths[axis] ?? 1;
    const strides = operands.map((operand) => operand.strides[axis] ?? 0);
    const last = merged.at(-1);
    if (last?.strides.every((stride, i) => stride === length * (strides[i] ?? 0))) {
      last.length *= length;
      last.strides = strides;
    } else merged.push({ length, strides });
  }
  if (merged.length === 0) merged.push({ length: 1, strides: operands.map(({ bytes }) => bytes) });
  return {
    lengths: merged.map(({ length }) => length),
    operands: operands.map(({ bytes }, i) => {
      const strides = merged.map((axis) => axis.strides[i] ?? 0);
      const inner = strides.at(-1) ?? 0;
      return {
        strides,
        stepping: inner === bytes ? 'dense' : inner === 0 ? 'fixed' : 'strided',
        moves: strides.some((stride) => stride !== 0),
      };
    }),
  };
}

/**
 * What is added to an operand's address after each round of the loop at `level`: the step along that axis, less what the
 * loops inside have moved it.
 */
export function advanceOf({ lengths }: Loops, { strides }: Walked, level: number): number {
  const inside = level + 1 < lengths.length ? (lengths[level + 1] ?? 1) * (strides[level + 1] ?? 0) : 0;
  return (strides[level] ?? 0) - inside;
}

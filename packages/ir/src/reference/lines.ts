/** A tensor seen as lines along some of its axes: what reductions, running sums and softmax go over. */
import { gatherIndices, stridesOf } from './indexing.ts';

export interface Lines {
  /** Index of the first element of each line, lines in row-major order of the axes that are left. */
  readonly starts: Float64Array;
  /** What to add for each element of a line, row-major in the axes of the line. */
  readonly steps: Float64Array;
}

/** @param axes  from 0 to rank - 1, each once; none gives lines of one element */
export function linesAlong(shape: readonly number[], axes: readonly number[]): Lines {
  const strides = stridesOf(shape);
  const indices = (among: (axis: number) => boolean) => {
    const chosen = shape.map((_, axis) => axis).filter(among);
    return gatherIndices(
      chosen.map((axis) => shape[axis] ?? 1),
      chosen.map((axis) => strides[axis] ?? 1),
    );
  };
  return { starts: indices((axis) => !axes.includes(axis)), steps: indices((axis) => axes.includes(axis)) };
}

/** Counts a negative axis from the end. */
export function fromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

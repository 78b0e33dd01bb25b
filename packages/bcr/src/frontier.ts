/**
 * The best that a block can keep at every price: for each number of rows the columns of largest sum, over all sets of that
 * many rows, and of those points (survivors, energy) the upper concave hull. Looking one price up is then a binary search,
 * where solving the block for it would be another pass over all sets of rows.
 * @see Everett, "Generalized Lagrange multiplier method for solving problems of optimum allocation of resources", 1963
 */
import type { Block } from './pattern.ts';

/** Vertices of the hull, by size ascending; the empty choice, (0, 0), is not among them. */
export interface Frontier {
  readonly rows: Uint16Array;
  readonly cols: Uint32Array;
  readonly energies: Float64Array;
}

/** Sums of the columns over each set of rows that may be kept. */
export type ForEachSet = (block: Block, visit: (sums: Float64Array, rows: number, set: number) => void) => void;

/** @param width, height  of the largest block */
export function frontierFinder(forEachSet: ForEachSet, height: number, width: number): (block: Block) => Frontier {
  const best = new Float64Array((height + 1) * (width + 1));
  const sorted = new Float64Array(width);
  // By size: the most energy, and with how many rows.
  const energyAt = new Float64Array(height * width + 1);
  const rowsAt = new Uint16Array(height * width + 1);
  const hull = new Uint32Array(height * width + 1);
  return (block) => {
    best.fill(0);
    forEachSet(block, (sums, rows) => {
      sorted.set(sums);
      sortDescending(sorted, sums.length);
      let energy = 0;
      const base = rows * (width + 1);
      for (let c = 0; c < sums.length; c++) {
        const value = sorted[c] as number;
        if (value <= 0) break;
        energy += value;
        if (energy > (best[base + c + 1] as number)) best[base + c + 1] = energy;
      }
    });
    const sizes = block.height * block.width;
    energyAt.fill(0, 0, sizes + 1);
    for (let rows = 1; rows <= block.height; rows++)
      for (let cols = 1; cols <= block.width; cols++) {
        const energy = best[rows * (width + 1) + cols] as number;
        if (energy > (energyAt[rows * cols] as number)) {
          energyAt[rows * cols] = energy;
          rowsAt[rows * cols] = rows;
        }
      }
    let count = 1;
    hull[0] = 0;
    for (let size = 1; size <= sizes; size++) {
      const energy = energyAt[size] as number;
      if (energy <= (energyAt[hull[count - 1] as number] as number)) continue;
      // A vertex below the line from the one before it to this point is no vertex.
      while (count > 1) {
        const last = hull[count - 1] as number;
        const before = hull[count - 2] as number;
        const [a, b] = [energyAt[before] as number, energyAt[last] as number];
        if ((b - a) * (size - last) > (energy - b) * (last - before)) break;
        count--;
      }
      hull[count++] = size;
    }
    const vertices = hull.subarray(1, count);
    return {
      rows: Uint16Array.from(vertices, (size) => rowsAt[size] as number),
      cols: Uint32Array.from(vertices, (size) => size / (rowsAt[size] as number)),
      energies: Float64Array.from(vertices, (size) => energyAt[size] as number),
    };
  };
}

/** How many vertices are worth their price: those whose last step brings more than `price` for each survivor. */
export function verticesAt({ rows, cols, energies }: Frontier, price: number): number {
  let low = 0;
  let high = energies.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const before = middle > 0 ? (rows[middle - 1] as number) * (cols[middle - 1] as number) : 0;
    const size = (rows[middle] as number) * (cols[middle] as number);
    const gain = (energies[middle] as number) - (middle > 0 ? (energies[middle - 1] as number) : 0);
    if (gain > price * (size - before)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Up to this many values insertion is faster than the engine's own sort. */
const FEW = 48;

function sortDescending(values: Float64Array, count: number): void {
  if (count > FEW) {
    values.subarray(0, count).sort().reverse();
    return;
  }
  for (let i = 1; i < count; i++) {
    const value = values[i] as number;
    let j = i - 1;
    for (; j >= 0 && (values[j] as number) < value; j--) values[j + 1] = values[j] as number;
    values[j + 1] = value;
  }
}

/** Seeded matrices and patterns, a memory to lay them out in, and the check that precedes every timing. */
import type { Matrix } from '@grim/bcr';
import { blockGrid, blocksOf } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 8) + 0.5) / 2 ** 24;
  };
}

/** Values in (-0.5, 0.5), none of them tiny: subnormals would slow the machine down. */
export function randomMatrix(rows: number, cols: number, seed: number): Matrix {
  const next = random(seed);
  return { rows, cols, data: Float32Array.from({ length: rows * cols }, () => next() - 0.5) };
}

/**
 * A pattern that keeps one weight in `compression`. Blocks up to 6 rows high keep all their rows; in higher ones the share
 * of kept rows is compression^-u with u uniform in [0.25, 0.75], and kept columns fill the budget.
 */
export function syntheticPattern(
  rows: number,
  cols: number,
  blockRows: number,
  blockCols: number,
  compression: number,
  seed: number,
): BcrPattern {
  const next = random(seed);
  const grid = blockGrid(rows, cols, blockRows, blockCols);
  const keptRows: Uint16Array[] = [];
  const keptCols: Uint16Array[] = [];
  let owed = 0;
  for (const { height, width } of blocksOf(grid)) {
    owed += (height * width) / compression;
    const share = blockRows <= 6 ? 1 : compression ** -(0.25 + 0.5 * next());
    const keepRows = Math.max(1, Math.round(height * share));
    const keepCols = Math.max(0, Math.min(width, Math.round(owed / keepRows)));
    owed -= keepRows * keepCols;
    keptRows.push(pick(height, keepCols === 0 ? 0 : keepRows, next));
    keptCols.push(pick(width, keepCols, next));
  }
  return { grid, keptRows, keptCols };
}

function pick(length: number, count: number, next: () => number): Uint16Array {
  const all = Array.from({ length }, (_, i) => i);
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(next() * (length - i));
    [all[i], all[j]] = [all[j] ?? 0, all[i] ?? 0];
  }
  return Uint16Array.from(all.slice(0, count).sort((a, b) => a - b));
}

/** One memory from which buffers are cut one after the other, each on its own cache line. */
export class Arena {
  readonly memory: WebAssembly.Memory = new WebAssembly.Memory({ initial: 16, maximum: 16384 });
  #end = 4096;

  reset(): void {
    this.#end = 4096;
  }

  place(data: Float32Array | Int32Array): number {
    const at = this.reserve(data.length);
    const type = data instanceof Float32Array ? Float32Array : Int32Array;
    new type(this.memory.buffer, at, data.length).set(data);
    return at;
  }

  reserve(elements: number): number {
    const at = this.#end;
    this.#end = Math.ceil((at + 4 * elements + 64) / 64) * 64;
    const missing = this.#end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 65536));
    return at;
  }

  floats(at: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, length);
  }
}

/** Throws unless column `col` of Y is A · X within the worst case of float32 sums. */
export function checkColumn(
  name: string,
  a: Matrix,
  kept: (row: number, k: number) => boolean,
  x: (k: number) => number,
  y: (row: number) => number,
): void {
  for (let row = 0; row < a.rows; row++) {
    let sum = 0;
    let scale = 0;
    for (let k = 0; k < a.cols; k++)
      if (kept(row, k)) {
        const product = (a.data[row * a.cols + k] ?? 0) * x(k);
        sum += product;
        scale += Math.abs(product);
      }
    if (!(Math.abs(y(row) - sum) <= (a.cols + 2) * 2 ** -24 * scale))
      throw new Error(`${name}: row ${row} is ${y(row)}, ${sum} was expected`);
  }
}

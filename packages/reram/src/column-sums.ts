/**
 * Sums of columns of cells at levels under one-bit inputs: how many driven lines meet a set bit, bit by bit of the cells.
 *
 * Lines are packed eight to a byte and sixteen columns to a vector; one AND and one count of ones serve eight lines of
 * sixteen columns. A module of a hundred bytes does it in WebAssembly; where there is none the same layout is summed in
 * plain code, to the same integers.
 *
 * Planes of a block: [group of 16 columns, cell bit, byte of lines, column]. Inputs: [cycle, byte of lines].
 * @see WebAssembly core specification 3.0, chapter 5, for the bytes
 */

export interface ColumnPlanes {
  readonly groups: number;
  readonly cellBits: number;
  /** Bytes that hold the block's lines. */
  readonly bytes: number;
  readonly bits: Uint8Array;
}

interface ColumnSums {
  /** Where the block's inputs are written before `sum`: [cycles, bytes]. */
  readonly input: Uint8Array;
  /** [cycles, 16 · groups]; the present one until the next `load`. */
  readonly sums: Uint16Array;
  sum(): void;
}

/** Makes the planes those that are summed; what was loaded before is void. */
export type LoadColumns = (planes: ColumnPlanes, cycles: number) => ColumnSums;

export const GROUP = 16;

/** @param level  of a cell, by column and line of the block */
export function packColumns(
  columns: number,
  lines: number,
  cellBits: number,
  level: (column: number, line: number) => number,
): ColumnPlanes {
  const groups = Math.ceil(columns / GROUP);
  const bytes = Math.ceil(lines / 8);
  const bits = new Uint8Array(groups * cellBits * bytes * GROUP);
  for (let column = 0; column < columns; column++) {
    const first = Math.floor(column / GROUP) * cellBits;
    for (let line = 0; line < lines; line++) {
      let rest = level(column, line);
      for (let bit = 0; rest > 0; bit++, rest >>= 1)
        if (rest & 1) {
          const at = ((first + bit) * bytes + (line >> 3)) * GROUP + (column % GROUP);
          bits[at] = (bits[at] as number) | (1 << (line & 7));
        }
    }
  }
  return { groups, cellBits, bytes, bits };
}

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
});

/** Plain code: for engines without vectors. */
export const loadPlain: LoadColumns = ({ groups, cellBits, bytes, bits }, cycles) => {
  const input = new Uint8Array(cycles * bytes);
  const sums = new Uint16Array(cycles * groups * GROUP);
  return {
    input,
    sums,
    sum() {
      sums.fill(0);
      for (let cycle = 0; cycle < cycles; cycle++)
        for (let group = 0, at = 0; group < groups; group++)
          for (let bit = 0; bit < cellBits; bit++)
            for (let byte = 0; byte < bytes; byte++) {
              const driven = input[cycle * bytes + byte] as number;
              const to = (cycle * groups + group) * GROUP;
              for (let column = 0; column < GROUP; column++, at++)
                sums[to + column] =
                  (sums[to + column] as number) + ((ONES[driven & (bits[at] as number)] as number) << bit);
            }
    },
  };
};

/** What adds in vectors here, or in plain code. */
export function loadColumns(): LoadColumns {
  vectors ??= vectorKernel() ?? loadPlain;
  return vectors;
}

/** One memory for all arrays of this thread: only one block is summed at a time. */
let vectors: LoadColumns | undefined;

function vectorKernel(): LoadColumns | undefined {
  let memory: WebAssembly.Memory;
  let kernel: (planes: number, input: number, out: number, groups: number, cycles: number, ...more: number[]) => void;
  try {
    memory = new WebAssembly.Memory({ initial: 1 });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()), { m: { m: memory } });
    kernel = exports['s'] as typeof kernel;
  } catch {
    return undefined;
  }
  return (planes, cycles) => {
    const { groups, cellBits, bytes, bits } = planes;
    const inputAt = bits.length;
    const sumsAt = Math.ceil((inputAt + cycles * bytes) / GROUP) * GROUP;
    const length = cycles * groups * GROUP;
    const missing = sumsAt + 2 * length - memory.buffer.byteLength;
    try {
      if (missing > 0) memory.grow(Math.ceil(missing / 65_536));
    } catch {
      return loadPlain(planes, cycles);
    }
    new Uint8Array(memory.buffer).set(bits);
    return {
      input: new Uint8Array(memory.buffer, inputAt, cycles * bytes),
      sums: new Uint16Array(memory.buffer, sumsAt, length),
      sum: () => kernel(0, inputAt, sumsAt, groups, cycles, bytes, cellBits),
    };
  };
}

/** Bytes of eight ones that add up in a byte of their own. */
const MOST_BYTES = 31;

/** Parameters and locals of the one function, by number. */
const AT = {
  ...{ planes: 0, input: 1, out: 2, groups: 3, cycles: 4, bytes: 5, cellBits: 6 },
  ...{ plane: 7, group: 8, bit: 9, line: 10, end: 11, last: 12, ones: 13, low: 14, high: 15 },
} as const;
type Name = keyof typeof AT;

/** `s(planes, input, out, groups, cycles, bytes, cellBits)`, on the memory `m.m`. */
function moduleBytes(): Uint8Array<ArrayBuffer> {
  const get = (name: Name) => [0x20, AT[name]];
  const set = (name: Name) => [0x21, AT[name]];
  const number = (value: number) => [0x41, value]; // below 64
  const simd = (...code: number[]) => [0xfd, ...code];
  const none = simd(0x0c, ...new Array<number>(16).fill(0));
  const [add, less, notEqual, below, select] = [[0x6a], [0x6b], [0x47], [0x49], [0x1b]] as const;
  const clear = (name: Name) => [...none, ...set(name)];
  const copy = (from: Name, to: Name) => [...get(from), ...set(to)];
  const advance = (name: Name, step: readonly number[]) => [...get(name), ...step, ...add, ...set(name)];
  const countDown = (name: Name) => [...get(name), ...number(1), ...less, 0x22, AT[name]];
  /** Runs again while the last of its parts leaves other than 0. */
  const loop = (...parts: readonly number[][]) => [0x03, 0x40, ...parts.flat(), 0x0d, 0, 0x0b];
  /** Adds half of the counts, extended to 16 bits and shifted by the cell's bit. */
  const widen = (sum: Name, half: number) =>
    [get(sum), get('ones'), simd(half, 1), get('bit'), simd(0x8b, 1), simd(0x8e, 1), set(sum)].flat();
  const load = (from: Name, code: number, align: number) => [...get(from), ...simd(code, align, 0)];
  const store = (sum: Name, offset: number) => [...get('out'), ...get(sum), ...simd(0x0b, 4, offset)];
  const chunkEnd = [...get('line'), ...number(MOST_BYTES), ...add];
  const lines = loop(
    [...load('line', 0x07, 0), ...load('plane', 0x00, 4), ...simd(0x4e), ...simd(0x62)], // splat, AND, count of ones
    [...get('ones'), ...simd(0x6e), ...set('ones')],
    [...advance('line', number(1)), ...advance('plane', number(GROUP))],
    [...get('line'), ...get('end'), ...notEqual],
  );
  const chunks = loop(
    [...chunkEnd, ...get('last'), ...chunkEnd, ...get('last'), ...below, ...select, ...set('end')],
    [...clear('ones'), ...lines, ...widen('low', 0x89), ...widen('high', 0x8a)],
    [...get('line'), ...get('last'), ...notEqual],
  );
  const bits = loop(
    [...copy('input', 'line'), ...get('input'), ...get('bytes'), ...add, ...set('last'), ...chunks],
    [...advance('bit', number(1)), ...get('bit'), ...get('cellBits'), ...notEqual],
  );
  const code = loop(
    [...copy('planes', 'plane'), ...copy('groups', 'group')],
    loop(
      [...clear('low'), ...clear('high'), ...number(0), ...set('bit'), ...bits],
      [...store('low', 0), ...store('high', GROUP), ...advance('out', number(2 * GROUP))],
      countDown('group'),
    ),
    [...advance('input', get('bytes')), ...countDown('cycles')],
  );
  const [i32, v128] = [0x7f, 0x7b];
  const section = (id: number, body: readonly number[]) => [id, ...unsigned(body.length), ...body];
  const body = [2, 6, i32, 3, v128, ...code, 0x0b];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 7, ...new Array<number>(7).fill(i32), 0]),
    ...section(2, [1, 1, 0x6d, 1, 0x6d, 2, 0, 1]), // memory m.m of a page at least
    ...section(3, [1, 0]),
    ...section(7, [1, 1, 0x73, 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

/** LEB128. */
function unsigned(value: number): readonly number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >> 7)];
}

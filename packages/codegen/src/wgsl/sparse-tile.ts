/**
 * A second twin of the sparse product, for blocks of several units that share a column list.
 *
 * A work-group takes up to 32 rows by 64 columns of Y and holds them in its memory from the first block to the last. Of each
 * block it brings eight rows of X and their weights into work-group memory at a time, each element once for all rows of the
 * block, neighbours reading neighbours; then each invocation multiplies four columns by up to eight rows out of registers. X is
 * read from global memory once for each block in place of once for each unit of at most six rows, and Y is written once. All
 * invocations of a group go the same way: rows that a block has not are weights of zero.
 *
 * @see `sparse.ts` for the twin that takes units one by one, which is better where blocks are low
 */
import { type Epilogue, epilogueName } from '../kernels/family.ts';
import { finishText } from './epilogue.ts';
import {
  float,
  numberOf,
  type Operand,
  operandOf,
  shaderText,
  spaceName,
  type Twin,
  weightFunctions,
  weightName,
  weightOf,
  weightText,
  wordOf,
} from './shader.ts';
import { type GroupTable, together, type Unit } from './sparse.ts';

/** Rows of Y that a work-group holds, its columns, and rows of X at a time. */
const ROWS = 32;
export const TILE_COLUMNS = 64;
const COLUMNS: number = TILE_COLUMNS;
const DEPTH = 8;
/** Rows of each invocation for which there is code: a block of more takes the next. */
const HEIGHTS = [1, 2, 4, 8] as const;
/** Work-group memory in bytes: sums, rows of X, weights. */
const TILE_MEMORY: number = 4 * (ROWS * COLUMNS + DEPTH * COLUMNS + DEPTH * ROWS);

/** A row of a block: its place among the rows of the group, its first weight, and how far on the weight of the next column is. */
interface Entry {
  readonly slot: number;
  readonly weight: number;
  readonly height: number;
}

interface Block {
  readonly list: number;
  readonly cols: number;
  readonly entries: readonly Entry[];
}

interface Group {
  /** Byte offset of each row of Y, and where its bias stands among the weights. */
  readonly rows: readonly { readonly y: number; readonly bias: number }[];
  readonly blocks: readonly Block[];
}

export interface TileTable extends GroupTable {
  /** Of {@link HEIGHTS}, those that a block has. */
  readonly heights: readonly number[];
  /** Global memory that one tile of 64 columns reads and writes, over all groups. */
  readonly bytes: number;
  /** Multiply-adds of one column, without those by zeros that fill up a block. */
  readonly products: number;
}

function heightOf({ entries }: Block): number {
  return HEIGHTS.find((height) => 4 * height >= entries.length) ?? ROWS / 4;
}

/** @param words  the stream that `units` were read from */
export function tileTable(words: Int32Array, units: readonly Unit[]): TileTable {
  const groups = alike(words, together(units)).flatMap((group) => groupsOf(words, group));
  const starts: number[] = [];
  const rows: number[] = [];
  const blocks: number[] = [];
  const entries: number[] = [];
  for (const group of groups) {
    starts.push(rows.length / 2, blocks.length / 4);
    for (const { y, bias } of group.rows) rows.push(y / 4, bias);
    for (const block of group.blocks) {
      blocks.push(block.list, block.cols, entries.length / 3, block.entries.length);
      for (const { slot, weight, height } of block.entries) entries.push(slot, weight, height);
    }
  }
  starts.push(rows.length / 2, blocks.length / 4);
  const all = groups.flatMap((group) => group.blocks);
  const read = all.reduce((sum, block) => sum + 4 * block.cols * (COLUMNS + block.entries.length + 1), 0);
  // Where each part begins, then the parts.
  const lengths = [starts.length, rows.length, blocks.length];
  const begins = lengths.map((_, i) => 3 + lengths.slice(0, i + 1).reduce((sum, length) => sum + length, 0));
  const table = Int32Array.from([...begins, ...starts, ...rows, ...blocks, ...entries]);
  return {
    words: table,
    groups: groups.length,
    heights: HEIGHTS.filter((height) => all.some((block) => heightOf(block) === height)),
    bytes: read + (rows.length / 2) * 4 * COLUMNS + 4 * table.length,
    products: all.reduce((sum, { cols, entries: { length } }) => sum + cols * length, 0),
  };
}

/** Groups of rows that read the same columns, as one. */
function alike(words: Int32Array, groups: readonly (readonly Unit[])[]): Unit[][] {
  const found = new Map<string, Unit[]>();
  for (const group of groups) {
    const lists = group.map(({ word, rows }) => {
      const list = word + 2 + rows.length;
      return words.subarray(list, list + (words[word + 1] ?? 0)).join();
    });
    const key = [...new Set(lists)].sort().join(';');
    found.set(key, [...(found.get(key) ?? []), ...group]);
  }
  return [...found.values()];
}

/** Units that hang together by a row, in groups of at most {@link ROWS} rows: a block is cut between any two rows. */
function groupsOf(words: Int32Array, units: readonly Unit[]): Group[] {
  const biases = new Map<number, number>();
  for (const { rows, weight, first } of units)
    if (first) for (const [i, row] of rows.entries()) biases.set(row, weight + i);
  const offsets = [...new Set(units.flatMap(({ rows }) => rows))];
  const lists = units.map(({ word, rows }) => {
    const cols = words[word + 1] ?? 0;
    const list = word + 2 + rows.length;
    return { list, cols, key: words.subarray(list, list + cols).join() };
  });
  const groups: Group[] = [];
  for (let from = 0; from < offsets.length; from += ROWS) {
    const own = offsets.slice(from, from + ROWS);
    const slots = new Map(own.map((row, slot) => [row, slot]));
    const blocks = new Map<string, { list: number; cols: number; entries: Entry[] }[]>();
    const order: { list: number; cols: number; entries: Entry[] }[] = [];
    units.forEach(({ rows, weight, first }, u) => {
      const { list = 0, cols = 0, key = '' } = lists[u] ?? {};
      const start = weight + (first ? rows.length : 0);
      for (const [i, row] of rows.entries()) {
        const slot = slots.get(row);
        if (slot === undefined || cols === 0) continue;
        const known = blocks.get(key)?.find(({ entries }) => entries.every((entry) => entry.slot !== slot));
        const entry = { slot, weight: start + i, height: rows.length };
        if (known) known.entries.push(entry);
        else {
          const block = { list, cols, entries: [entry] };
          blocks.set(key, [...(blocks.get(key) ?? []), block]);
          order.push(block);
        }
      }
    });
    groups.push({ rows: own.map((y) => ({ y, bias: biases.get(y) ?? 0 })), blocks: order });
  }
  return groups;
}

/** Of `spmm(n, x, y, xStep, yStep, residual, words, weights)`; the table is one argument more. */
export function spmmTileTwin(epilogue: Epilogue, table: TileTable): Twin {
  const { groups, heights } = table;
  return (args) => {
    const n = numberOf(args, 0);
    const [x, y, words, weights, at] = [1, 2, 6, 7, 10].map((i) => operandOf(args, i)) as [
      Operand,
      Operand,
      Operand,
      Operand,
      Operand,
    ];
    const residual = epilogue.residual ? operandOf(args, 5) : undefined;
    const numbers = [
      ...[n, wordOf(x), wordOf(y), wordOf(words), weightOf(weights), wordOf(at)],
      residual ? wordOf(residual) : 0,
    ];
    const spaces = [x, ...(residual ? [residual] : [])].map(spaceName).join('');
    const name = `f32_blocks_spmm${epilogueName(epilogue)}_${heights.join('')}x${COLUMNS}${weightName(weights)}__${spaces}`;
    const text = (native: boolean) =>
      shaderText(native ? `${name}_native` : name, ['n', 'x', 'y', 'words', 'weights', 'table', 'residual'], {
        enables: native ? 'f16' : undefined,
        globals: [
          ...weightFunctions(weights, native),
          `var<workgroup> ys: array<f32, ${ROWS * COLUMNS}>;`,
          `var<workgroup> xs: array<f32, ${DEPTH * COLUMNS}>;`,
          `var<workgroup> ws: array<${native ? 'f16' : 'f32'}, ${DEPTH * ROWS}>;`,
          'fn part(i: i32) -> i32 { return args.table + i32(constants[args.table + i]); }',
          ...heights.map((height) => blockText(height, x.space, weights, native)),
        ],
        body: [
          'let own = i32(lane);',
          `let column = i32(group.x) * ${COLUMNS} + own;`,
          'let start = args.table + 3 + 2 * i32(group.y);',
          'let firstRow = part(0) + 2 * i32(constants[start]);',
          'let rows = i32(constants[start + 2]) - i32(constants[start]);',
          'for (var r = 0; r < rows; r++) {',
          `  ys[r * ${COLUMNS} + own] = ${weightText(weights, 'args.weights + i32(constants[firstRow + 2 * r + 1])')};`,
          '}',
          'workgroupBarrier();',
          'for (var b = i32(constants[start + 1]); b < i32(constants[start + 3]); b++) {',
          '  let block = part(1) + 4 * b;',
          '  let list = args.words + i32(constants[block]);',
          '  let cols = i32(constants[block + 1]);',
          '  let entries = part(2) + 3 * i32(constants[block + 2]);',
          '  let count = i32(constants[block + 3]);',
          ...heights.map(
            (height, i) =>
              `  ${i > 0 ? 'else ' : ''}${i < heights.length - 1 ? `if (count <= ${4 * height}) ` : ''}{ block${height}(list, cols, entries, count, own, column); }`,
          ),
          '}',
          `if (column >= args.n) { return; }`,
          'for (var r = 0; r < rows; r++) {',
          '  let at = i32(constants[firstRow + 2 * r]) + column;',
          `  var sum = ys[r * ${COLUMNS} + own];`,
          ...(residual ? [`  sum += ${float(residual.space, 'args.residual + at')};`] : []),
          ...finishText(epilogue, 'sum').map((line) => `  ${line}`),
          '  arena[args.y + at] = bitcast<u32>(sum);',
          '}',
        ],
      });
    const across = Math.ceil(n / COLUMNS);
    const nonZeros = table.products * n;
    const bytes = (table.bytes - (weights.half ? 2 * table.products : 0)) * across;
    const variants = [{ needs: 'shader-f16' as const, code: () => text(true) }];
    const shader = { name, code: () => text(false), ...(weights.half && { variants }) };
    const cost = { bytes, products: nonZeros, memory: TILE_MEMORY, ...tileDemand(heights) };
    return [{ shader, groups: [across, groups, 1], args: numbers, cost }];
  };
}

/** Loads of an invocation for each multiply-add of the innermost loop, four inputs and a weight for each row; and its sums. */
function tileDemand(heights: readonly number[]) {
  const height = heights.at(-1) ?? 1;
  return { loads: (4 + height) / (4 * height), invocations: COLUMNS, sums: 4 * height };
}

/** A block of up to 4 · `height` rows. */
function blockText(height: number, xSpace: Operand['space'], weights: Operand, native: boolean): string {
  const all = Array.from({ length: height }, (_, i) => i);
  const wide = 4 * height;
  const lanes = [0, 1, 2, 3];
  const place = (i: number, j: number) => `y${i} + ${16 * j}`;
  return [
    `fn block${height}(list: i32, cols: i32, entries: i32, count: i32, own: i32, column: i32) {`,
    '  let q = own % 16;',
    '  let part = own / 16;',
    ...all.flatMap((i) => [
      `  let e${i} = part + ${4 * i};`,
      `  let y${i} = i32(constants[entries + 3 * min(e${i}, count - 1)]) * ${COLUMNS} + q;`,
      `  var s${i} = vec4<f32>(${lanes.map((j) => `ys[${place(i, j)}]`).join(', ')});`,
    ]),
    `  for (var start = 0; start < cols; start += ${DEPTH}) {`,
    `    for (var i = 0; i < ${DEPTH}; i++) {`,
    '      var x = 0.0;',
    `      if (start + i < cols) { x = ${float(xSpace, 'args.x + (bitcast<i32>(constants[list + start + i]) >> 2u) + column')}; }`,
    `      xs[i * ${COLUMNS} + own] = x;`,
    '    }',
    `    for (var i = own; i < ${DEPTH * wide}; i += ${COLUMNS}) {`,
    `      let e = i % ${wide};`,
    `      let k = start + i / ${wide};`,
    '      var w = 0.0;',
    '      if (e < count && k < cols) {',
    '        let entry = entries + 3 * e;',
    `        w = ${weightText(weights, 'args.weights + i32(constants[entry + 1]) + k * i32(constants[entry + 2])')};`,
    '      }',
    native ? '      ws[i] = f16(w);' : '      ws[i] = w;',
    '    }',
    '    workgroupBarrier();',
    `    for (var i = 0; i < ${DEPTH}; i++) {`,
    `      let x = vec4<f32>(${lanes.map((j) => `xs[i * ${COLUMNS} + q + ${16 * j}]`).join(', ')});`,
    ...all.map((i) => `      s${i} += ${native ? `f32(ws[i * ${wide} + e${i}])` : `ws[i * ${wide} + e${i}]`} * x;`),
    '    }',
    '    workgroupBarrier();',
    '  }',
    ...all.map((i) => `  if (e${i} < count) { ${lanes.map((j) => `ys[${place(i, j)}] = s${i}[${j}];`).join(' ')} }`),
    '  workgroupBarrier();',
    '}',
  ].join('\n');
}

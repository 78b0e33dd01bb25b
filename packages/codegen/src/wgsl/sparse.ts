/**
 * The twin of the sparse product, over the very stream that the CPU walks, and a table that deals its units out.
 *
 * Units that share a row must follow one another; all others are independent. A group is what hangs together so: a strip of
 * rows with all its column lists. Each work-group takes one group. All its invocations read one descriptor, so that none of
 * them takes another way than its neighbours; they stand side by side along the columns of X: each row of a column list is one
 * coalesced load that serves all rows of the unit.
 *
 * @see `kernels/units.ts` for the stream, `gemv.ts` for products with a vector
 */
import type { GpuSchedule } from '../gpu-schedule.ts';
import { type Epilogue, epilogueName } from '../kernels/family.ts';
import { FIRST_TOUCH, LAST_TOUCH, ROWS_MASK } from '../kernels/units.ts';
import type { KernelPart } from '../program.ts';
import { finishText } from './epilogue.ts';
import {
  float,
  GROUP,
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

/** A unit: where its descriptor and its weights begin, in elements, and its rows, as they are named in the stream. */
export interface Unit {
  readonly word: number;
  readonly weight: number;
  readonly rows: readonly number[];
  /** Its weights begin with the biases of the rows. */
  readonly first: boolean;
}

/** With the global memory that a tile of columns takes: bytes for each column, and those that it has anyway. */
export interface UnitTable extends GroupTable {
  readonly perColumn: number;
  readonly fixed: number;
  /** Multiply-adds of one column. */
  readonly products: number;
}

/** How the units of a stream are dealt out. */
export interface GroupTable {
  readonly words: Int32Array;
  readonly groups: number;
}

/** @param starts  of the streams that the stream was cut into */
export function unitsOf(words: Int32Array, starts: readonly { word: number; weight: number }[]): readonly Unit[] {
  const units: Unit[] = [];
  for (const start of starts) {
    let { word, weight } = start;
    for (;;) {
      const head = words[word] ?? 0;
      if (head === 0) break;
      const count = head & ROWS_MASK;
      const cols = words[word + 1] ?? 0;
      const rows = Array.from(words.subarray(word + 2, word + 2 + count));
      units.push({ word, weight, rows, first: (head & FIRST_TOUCH) !== 0 });
      word += 2 + count + cols;
      weight += count * cols + (head & FIRST_TOUCH ? count : 0);
    }
  }
  return units;
}

/** For each group and once more behind the last the number of its first unit, then two words for each unit. */
export function unitTable(words: Int32Array, units: readonly Unit[]): UnitTable {
  const groups = together(units);
  const table: number[] = [];
  let first = 0;
  for (const group of groups) {
    table.push(first);
    first += group.length;
  }
  table.push(first);
  for (const { word, weight } of groups.flat()) table.push(word, weight);
  let [perColumn, fixed, products] = [0, 0, 0];
  for (const { word, rows, first: begins } of units) {
    const cols = words[word + 1] ?? 0;
    perColumn += 4 * (cols + rows.length * (begins ? 1 : 2));
    fixed += 4 * (cols * (rows.length + 1) + rows.length + 4);
    products += cols * rows.length;
  }
  return { words: Int32Array.from(table), groups: groups.length, perColumn, fixed, products };
}

/** Units in groups that share no row, each in the order of the stream. */
export function together(units: readonly Unit[]): readonly (readonly Unit[])[] {
  const parents = new Map<number, number>();
  const root = (row: number): number => {
    let top = row;
    for (let next = parents.get(top); next !== undefined && next !== top; next = parents.get(top)) top = next;
    parents.set(row, top);
    return top;
  };
  for (const { rows } of units) for (const row of rows) parents.set(root(row), root(rows[0] ?? 0));
  const groups = new Map<number, Unit[]>();
  for (const unit of units) {
    const key = root(unit.rows[0] ?? 0);
    const group = groups.get(key);
    if (group) group.push(unit);
    else groups.set(key, [unit]);
  }
  return [...groups.values()];
}

/** Columns of each invocation where there are many. */
const WIDE = 4;

/** What is not given, by the columns of the product. */
export function unitTile(n: number, given: GpuSchedule = { form: 'units' }): { lanes: number; width: number } {
  const { lanes = GROUP, width = n >= 2 * GROUP * WIDE ? WIDE : 1 } = given;
  return { lanes, width };
}

/**
 * Of `spmm(n, x, y, xStep, yStep, residual, words, weights)`; the table is one argument more.
 * @param parts  heights of the units
 */
export function spmmTwin(
  epilogue: Epilogue,
  dealt: UnitTable,
  parts: readonly KernelPart[],
  schedule?: GpuSchedule,
): Twin {
  const { groups } = dealt;
  const heights = Array.from({ length: ROWS_MASK }, (_, i) => i + 1).filter((rows) => parts.includes(`rows ${rows}`));
  return (args) => {
    const n = numberOf(args, 0);
    const [x, y, words, weights, table] = [1, 2, 6, 7, 10].map((i) => operandOf(args, i)) as [
      Operand,
      Operand,
      Operand,
      Operand,
      Operand,
    ];
    const residual = epilogue.residual ? operandOf(args, 5) : undefined;
    const { lanes, width } = unitTile(n, schedule);
    const numbers = [
      ...[n, wordOf(x), wordOf(y), wordOf(words), weightOf(weights), wordOf(table), groups],
      residual ? wordOf(residual) : 0,
    ];
    const spaces = [x, ...(residual ? [residual] : [])].map(spaceName).join('');
    const name = `f32_units_spmm${epilogueName(epilogue)}_${heights.join('')}x${lanes * width}${lanes === GROUP ? '' : `_of_${width}`}${weightName(weights)}__${spaces}`;
    const code = () =>
      shaderText(name, ['n', 'x', 'y', 'words', 'weights', 'table', 'groups', 'residual'], {
        size: [lanes],
        globals: [
          ...weightFunctions(weights),
          ...heights.map((rows) => unitText(rows, { lanes, width, weights }, epilogue, x.space, residual?.space)),
        ],
        body: [
          `let column = i32(group.x) * ${lanes * width} + i32(lane);`,
          `let table = args.table;`,
          'let first = i32(constants[table + i32(group.y)]);',
          'let end = i32(constants[table + i32(group.y) + 1]);',
          'for (var unit = first; unit < end; unit++) {',
          `  let at = table + args.groups + 1 + 2 * unit;`,
          `  let word = args.words + i32(constants[at]);`,
          `  let weight = args.weights + i32(constants[at + 1]);`,
          '  let head = constants[word];',
          `  switch (head & ${ROWS_MASK}u) {`,
          ...heights.map((rows) => `    case ${rows}u: { unit${rows}(head, word + 1, weight, column); }`),
          '    default: { }',
          '  }',
          '}',
        ],
      });
    const across = Math.ceil(n / (lanes * width));
    const tallest = heights.at(-1) ?? 1;
    const cost = {
      bytes: across * (dealt.perColumn * lanes * width + dealt.fixed - (weights.half ? 2 * dealt.products : 0)),
      products: dealt.products * n,
      loads: (width + tallest) / (width * tallest),
      memory: 0,
      invocations: lanes,
      sums: tallest * width,
    };
    return [{ shader: { name, code }, groups: [across, groups, 1], args: numbers, cost }];
  };
}

/** Columns of a tile, for comparisons. */
export function unitBytes({ perColumn, fixed }: UnitTable, columns: number): number {
  const { lanes, width } = unitTile(columns);
  return Math.ceil(columns / (lanes * width)) * (perColumn * lanes * width + fixed);
}

/** A unit of some rows: the sums of `width` columns of each in registers. */
function unitText(
  rows: number,
  { lanes, width, weights }: { readonly lanes: number; readonly width: number; readonly weights: Operand },
  epilogue: Epilogue,
  xSpace: Operand['space'],
  residualSpace: Operand['space'] | undefined,
): string {
  const all = Array.from({ length: rows }, (_, r) => r);
  const columns = Array.from({ length: width }, (_, j) => j);
  const type = width === 1 ? 'f32' : `vec${width}<f32>`;
  /** What stands at `at`, `at` + 64, … */
  const gather = (space: Operand['space'], at: string) =>
    width === 1 ? float(space, at) : `${type}(${columns.map((j) => float(space, `${at} + ${j * lanes}`)).join(', ')})`;
  const weight = (at: string) => (width === 1 ? weightText(weights, at) : `${type}(${weightText(weights, at)})`);
  const row = (r: number) => `y${r}`;
  return [
    `fn unit${rows}(head: u32, word: i32, weight: i32, column: i32) {`,
    '  let cols = i32(constants[word]);',
    ...all.map((r) => `  let ${row(r)} = (bitcast<i32>(constants[word + ${1 + r}]) >> 2u) + column;`),
    `  let list = word + ${1 + rows};`,
    '  var next = weight;',
    ...all.map((r) => `  var s${r}: ${type};`),
    `  if ((head & ${FIRST_TOUCH}u) != 0u) {`,
    ...all.map((r) => `    s${r} = ${weight(`weight + ${r}`)};`),
    `    next += ${rows};`,
    '  } else {',
    ...all.map((r) => `    s${r} = ${gather('arena', `args.y + ${row(r)}`)};`),
    '  }',
    `  let start = args.x + column;`,
    '  for (var c = 0; c < cols; c++) {',
    '    let at = start + (bitcast<i32>(constants[list + c]) >> 2u);',
    `    let x = ${gather(xSpace, 'at')};`,
    ...all.map((r) => `    s${r} += ${weightText(weights, `next + ${r}`)} * x;`),
    `    next += ${rows};`,
    '  }',
    `  let last = (head & ${LAST_TOUCH}u) != 0u;`,
    `  for (var j = 0; j < ${width}; j++) {`,
    `    if (column + j * ${lanes} >= args.n) { break; }`,
    ...all.flatMap((r) => [
      `    { var sum = s${r}${width === 1 ? '' : '[j]'}; let at = ${row(r)} + j * ${lanes};`,
      ...(epilogue.residual || epilogue.activation !== 'none'
        ? [
            '      if (last) {',
            ...(residualSpace ? [`        sum += ${float(residualSpace, `args.residual + at`)};`] : []),
            ...finishText(epilogue, 'sum').map((line) => `        ${line}`),
            '      }',
          ]
        : []),
      `      arena[args.y + at] = bitcast<u32>(sum); }`,
    ]),
    '  }',
    '}',
  ].join('\n');
}

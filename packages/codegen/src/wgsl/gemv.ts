/**
 * The twin of the sparse product with a vector, over the stream that the CPU walks (`kernels/lanes.ts`), and a table that deals
 * its units out to work-groups.
 *
 * Invocations stand along the rows of a unit, so that neighbours read neighbouring weights, and several slices of them deal the
 * columns among them; work-group memory adds the slices up. All rows of a slice want the same inputs. Where a device has
 * subgroups, each invocation finds one input, for another column than its neighbours, and hands it to them from register to
 * register: an input is found once for as many rows as stand together. The order of additions is the same.
 */
import type { GpuSchedule } from '../gpu-schedule.ts';
import { type Epilogue, epilogueName } from '../kernels/family.ts';
import { finishText } from './epilogue.ts';
import { addPartials } from './partial.ts';
import {
  type Cost,
  type Dispatch,
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

/** With the global memory that the units take, and their multiply-adds. */
export interface LaneTable extends GroupTable {
  readonly bytes: number;
  readonly products: number;
}

/**
 * Of a lane stream of `rows` rows: for each group and behind the last the number of its first row and of its first unit; the
 * rows; then two words for each unit. Rows that no unit has are groups of their own.
 */
export function laneTable(words: Int32Array, rows: number): LaneTable {
  const units: Unit[] = [];
  let word = 0;
  let weight = 4 * Math.ceil(rows / 4);
  for (;;) {
    const head = words[word] ?? 0;
    if (head === 0) break;
    const vectors = head & 255;
    const count = 4 * (vectors - 1) + (head >> 8);
    const cols = words[word + 1] ?? 0;
    units.push({
      word,
      weight,
      rows: Array.from(words.subarray(word + 2, word + 2 + count), (offset) => offset / 4),
      first: false,
    });
    word += 2 + count + cols;
    weight += 4 * vectors * cols;
  }
  const groups = together(units).map((group) => ({
    rows: [...new Set(group.flatMap((unit) => unit.rows))],
    units: group,
  }));
  const seen = new Set(groups.flatMap((group) => group.rows));
  const bare = Array.from({ length: rows }, (_, row) => row).filter((row) => !seen.has(row));
  if (bare.length > 0) groups.push({ rows: bare, units: [] });
  const table: number[] = [];
  const [allRows, allUnits]: [number[], number[]] = [[], []];
  for (const group of groups) {
    table.push(allRows.length, allUnits.length / 2);
    allRows.push(...group.rows);
    for (const unit of group.units) allUnits.push(unit.word, unit.weight);
  }
  table.push(allRows.length, allUnits.length / 2);
  const [bytes, products] = units.reduce(
    ([sum, all], { word, rows: own }) => {
      const cols = words[word + 1] ?? 0;
      const weights = 4 * ((words[word] ?? 0) & 255) * cols;
      return [sum + 4 * (weights + 2 * cols + own.length + 4), all + own.length * cols];
    },
    [0, 0] as readonly [number, number],
  );
  return { words: Int32Array.from([...table, ...allRows, ...allUnits]), groups: groups.length, bytes, products };
}

/** Rows of a unit, and invocations that share the columns of each. */
const LANES = 32;
const SLICES = 8;

/**
 * Of `gemv(m, x, y, residual, words, weights)`; where K is split, room for the sums of its ranges follows; the table is one
 * argument more.
 */
export function gemvTwin(epilogue: Epilogue, dealt: LaneTable, schedule?: GpuSchedule): Twin {
  const { parts = SLICES, splitK = 1 } = schedule ?? {};
  const { groups } = dealt;
  return (args) => {
    const [x, y, words, weights] = [1, 2, 4, 5].map((i) => operandOf(args, i)) as [Operand, Operand, Operand, Operand];
    const room = splitK > 1 ? operandOf(args, 6) : undefined;
    const table = operandOf(args, room ? 7 : 6);
    const residual = epilogue.residual ? operandOf(args, 3) : undefined;
    const rows = numberOf(args, 0);
    const size = LANES * parts;
    const demand = { loads: 2, memory: 4 * size, invocations: size, sums: 1 };
    const bytes = dealt.bytes - (weights.half ? 2 * dealt.products : 0) + 8 * splitK * rows;
    const cost = { bytes, products: dealt.products, ...demand };
    const first = { x, y: room ?? y, words, weights, table, groups, rows };
    if (!room) return [gemvDispatch(epilogue, first, residual, { parts, splitK }, cost)];
    const places = { y: wordOf(y), residual: residual ? wordOf(residual) : 0, partial: wordOf(room) };
    return [
      gemvDispatch({ activation: 'none', residual: false }, first, undefined, { parts, splitK }, cost),
      addPartials(epilogue, { n: rows, m: 1, yRow: rows, parts: splitK, ...places }),
    ];
  };
}

interface GemvPlaces {
  readonly x: Operand;
  readonly y: Operand;
  readonly words: Operand;
  readonly weights: Operand;
  readonly table: Operand;
  readonly groups: number;
  readonly rows: number;
}

interface Slices {
  readonly parts: number;
  readonly splitK: number;
}

function gemvDispatch(
  epilogue: Epilogue,
  places: GemvPlaces,
  residual: Operand | undefined,
  slices: Slices,
  cost: Cost,
): Dispatch {
  const { x, y, words, weights, table, groups, rows } = places;
  const { parts, splitK } = slices;
  const numbers = [
    ...[wordOf(x), wordOf(y), wordOf(words), weightOf(weights), wordOf(table), groups, rows],
    residual ? wordOf(residual) : 0,
  ];
  const spaces = [x, ...(residual ? [residual] : [])].map(spaceName).join('');
  const variant = `${parts === SLICES ? '' : `_of_${parts}`}${splitK > 1 ? `_split` : ''}${weightName(weights)}`;
  const name = `f32_lanes_gemv${epilogueName(epilogue)}${variant}__${spaces}`;
  const text = (shared: boolean) =>
    gemvText(shared ? `${name}_shared` : name, epilogue, places, residual?.space, slices, shared);
  const shader = {
    name,
    code: () => text(false),
    variants: [{ needs: 'subgroups' as const, code: () => text(true) }],
  };
  return { shader, groups: [groups, splitK, 1], args: numbers, cost };
}

/** @param shared  inputs pass from register to register */
function gemvText(
  name: string,
  epilogue: Epilogue,
  { x, weights }: GemvPlaces,
  residualSpace: Operand['space'] | undefined,
  { parts, splitK }: Slices,
  shared: boolean,
): string {
  const size = LANES * parts;
  const split = splitK > 1;
  const eachRow = (lines: readonly string[]) => [
    `for (var i = firstRow + own; i < endRow; i += ${size}) {`,
    '  let row = i32(constants[rows + i]);',
    ...lines.map((line) => `  ${line}`),
    '}',
  ];
  const bias = `bitcast<u32>(${weightText(weights, 'args.weights + row')})`;
  const input = float(x.space, 'args.x + (bitcast<i32>(constants[list + c]) >> 2u)');
  const weight = weightText(weights, 'weight + c * pitch + r');
  const alone = [
    '  if (r < height) {',
    '    for (var c = begin; c < cols; c += step) {',
    `      sum += ${weight} * ${input};`,
    '    }',
    '  }',
  ];
  return shaderText(name, ['x', 'y', 'words', 'weights', 'table', 'groups', 'rows', 'residual'], {
    size: [size],
    enables: shared ? 'subgroups' : undefined,
    globals: [`var<workgroup> sums: array<f32, ${size}>;`, ...weightFunctions(weights)],
    body: [
      'let own = i32(lane);',
      `let table = args.table + 2 * i32(group.x);`,
      'let firstRow = i32(constants[table]);',
      'let firstUnit = i32(constants[table + 1]);',
      'let endRow = i32(constants[table + 2]);',
      'let endUnit = i32(constants[table + 3]);',
      `let rows = args.table + 2 * args.groups + 2;`,
      `let units = rows + args.rows;`,
      `let r = own % ${LANES};`,
      `let slice = own / ${LANES};`,
      ...(split
        ? [
            'let y = args.y + i32(group.y) * args.rows;',
            `let begin = slice + ${parts} * i32(group.y);`,
            `let step = ${parts} * i32(groups.y);`,
          ]
        : ['let y = args.y;', 'let begin = slice;', `let step = ${parts};`]),
      ...(shared
        ? [
            '// Neighbours of one slice; on a device that places invocations otherwise each finds its inputs alone.',
            `let wide = min(together, ${LANES}u);`,
            'let before = place - place % wide;',
            'let aligned = subgroupAll(slice == subgroupShuffle(slice, before));',
          ]
        : []),
      ...eachRow([split ? `arena[y + row] = select(${bias}, 0u, group.y > 0u);` : `arena[y + row] = ${bias};`]),
      'for (var unit = firstUnit; unit < endUnit; unit++) {',
      '  storageBarrier();',
      `  let word = args.words + i32(constants[units + 2 * unit]);`,
      `  let weight = args.weights + i32(constants[units + 2 * unit + 1]);`,
      '  let head = i32(constants[word]);',
      '  let pitch = 4 * (head & 255);',
      '  let height = pitch - 4 + (head >> 8u);',
      '  let cols = i32(constants[word + 1]);',
      '  let list = word + 2 + height;',
      '  var sum = 0.0;',
      ...(shared
        ? [
            '  if (aligned) {',
            '    let most = u32((cols + step - 1) / step);',
            '    for (var first = 0u; first < most; first += wide) {',
            '      var found = 0.0;',
            '      {',
            '        let c = begin + i32(first + place % wide) * step;',
            `        if (c < cols) { found = ${input}; }`,
            '      }',
            '      for (var i = 0u; i < min(wide, most - first); i++) {',
            '        let c = begin + i32(first + i) * step;',
            '        let x = subgroupShuffle(found, before + i);',
            `        if (c < cols && r < height) { sum += ${weight} * x; }`,
            '      }',
            '    }',
            '  } else {',
            ...alone.map((line) => `  ${line}`),
            '  }',
          ]
        : alone),
      '  sums[lane] = sum;',
      '  workgroupBarrier();',
      '  if (slice == 0 && r < height) {',
      `    for (var s = 1; s < ${parts}; s++) { sum += sums[s * ${LANES} + r]; }`,
      `    let at = y + (bitcast<i32>(constants[word + 2 + r]) >> 2u);`,
      `    arena[at] = bitcast<u32>(${float('arena', 'at')} + sum);`,
      '  }',
      '  workgroupBarrier();',
      '}',
      ...(epilogue.residual || epilogue.activation !== 'none'
        ? [
            'storageBarrier();',
            ...eachRow([
              `var sum = ${float('arena', `y + row`)};`,
              ...(residualSpace ? [`sum += ${float(residualSpace, `args.residual + row`)};`] : []),
              ...finishText(epilogue, 'sum'),
              `arena[y + row] = bitcast<u32>(sum);`,
            ]),
          ]
        : []),
    ],
  });
}

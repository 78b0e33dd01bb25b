/**
 * Twins of the dense products: by default 24 or 6 rows by 64 columns of C for each work-group, 6 × 4 or 6 × 1 for each
 * invocation; a schedule says otherwise (`gpu-schedule.ts`).
 *
 * Eight columns of A and their rows of X are brought into work-group memory by all invocations together, neighbours
 * reading neighbours; then each takes 6 weights and 4 inputs for 24 multiply-adds. Rows of X are found through the same list
 * of offsets as on the CPU, so that a convolution is this very shader. The low tile is for products of few columns, which
 * would otherwise leave most of a GPU without work. With K split, groups of another layer take the columns of A from where
 * the first ends, and `partial.ts` adds what they leave.
 */
import { DENSE_DEPTH as DEPTH, type GpuSchedule, gpuDemand } from '../gpu-schedule.ts';
import { type Epilogue, epilogueName, TALLEST } from '../kernels/family.ts';
import type { PairPass } from '../kernels/gemm.ts';
import { finishText } from './epilogue.ts';
import { addPartials } from './partial.ts';
import {
  float,
  numberOf,
  type Operand,
  operandOf,
  shaderText,
  spaceName,
  type Twin,
  weightFunctions,
  weightOf,
  weightText,
  wordOf,
} from './shader.ts';

/** With fewer groups of tall tiles than this, low ones are taken. */
const FEW_GROUPS = 128;

/** How a dense product is tiled, all of it spelled out. */
export type DenseTile = Required<GpuSchedule> & { readonly form: 'dense' };

/** What is not given, by the shape of the product. */
export function denseTile(m: number, n: number, given: GpuSchedule = { form: 'dense' }): DenseTile {
  const tall = Math.ceil(Math.ceil(m / TALLEST) / 4) * Math.ceil(n / 64) >= FEW_GROUPS;
  const shape = tall ? { lanes: 16, parts: 4, width: 4 } : { lanes: 64, parts: 1, width: 1 };
  return { ...shape, splitK: 1, x: 'workgroup', ...given, form: 'dense' };
}

/** Where the elements of A and the offsets of X come from. */
interface Source {
  readonly name: string;
  readonly operands: readonly [a: Operand, x: Operand];
  /** Text of the weight of row `row` of panel `panel`, column `k`; `height` is the number of rows of that panel. */
  readonly weight: string;
  /** Text of the word at which row `k` of X begins. */
  readonly row: string;
  /** Text of the bias of row `row` of this invocation's panel. */
  readonly bias: string | undefined;
  /** Of the arguments that follow {@link COMMON}. */
  readonly names: readonly string[];
}

/** Global memory that a dense product moves with the tile it has by default. */
export function denseBytes(m: number, n: number, k: number): number {
  return tileBytes(m, n, k, denseTile(m, n));
}

/** Each tile reads its rows of A and its columns of X once, and writes its part of C. */
function tileBytes(m: number, n: number, k: number, tile: DenseTile, outputs = 1, weight = 4): number {
  const [rows, columns] = [TALLEST * tile.parts, tile.lanes * tile.width];
  const tiles = Math.ceil(n / columns) * Math.ceil(m / rows);
  return tiles * (k * (weight * rows + 4 * columns) + 4 * outputs * rows * columns);
}

interface Product {
  readonly m: number;
  readonly n: number;
  readonly source: Source;
  readonly epilogue: Epilogue;
  readonly args: readonly number[];
  readonly schedule?: GpuSchedule | undefined;
  /** Room for the sums of all ranges of K, where it is split. */
  readonly partial?: Operand | undefined;
}

/** Arguments of all products; `yRow` is the distance of rows of Y. */
const COMMON = ['n', 'm', 'k', 'y', 'yRow', 'residual'];

function dispatch({ m, n, source, epilogue, args, schedule, partial }: Product) {
  const tile = denseTile(m, n, schedule);
  const [, , k = 0, y = 0, yRow = 0, residual = 0, ...rest] = args;
  const columns = tile.lanes * tile.width;
  const rows = TALLEST * tile.parts;
  const across = Math.ceil(n / columns);
  const down = Math.ceil(m / rows);
  const split = partial ? tile.splitK : 1;
  const ending = split > 1 ? NO_EPILOGUE : epilogue;
  const where = tile.x === 'workgroup' ? '' : `_x_${tile.x}`;
  const name = `${source.name}${epilogueName(ending)}_${rows}x${columns}${tile.width === 4 || tile.parts === 1 ? '' : `_of_${tile.width}`}${split > 1 ? '_split' : ''}${where}__${source.operands.map(spaceName).join('')}`;
  const [weights] = source.operands;
  const text = (native: boolean) =>
    tileText(native ? `${name}_native` : name, tile, source, { epilogue: ending, split: split > 1, native });
  const shader = {
    name,
    code: () => text(false),
    ...(weights.half && { variants: [{ needs: 'shader-f16' as const, code: () => text(true) }] }),
  };
  const { memory, invocations, sums } = gpuDemand(tile);
  const cost = {
    bytes: tileBytes(m, n, k, tile, split * (ending.residual ? 2 : 1), weights.half ? 2 : 4),
    products: m * k * n,
    loads: (TALLEST + tile.width) / (TALLEST * tile.width),
    memory,
    invocations,
    sums,
  };
  const groups = [across, down, split] as const;
  if (split === 1 || !partial) return [{ shader, groups, args, cost }];
  const part = DEPTH * Math.ceil(k / split / DEPTH);
  return [
    { shader, groups, args: [n, m, k, wordOf(partial), n, 0, ...rest, part], cost },
    addPartials(epilogue, { n, m, y, yRow, residual, partial: wordOf(partial), parts: split }),
  ];
}

const NO_EPILOGUE: Epilogue = { activation: 'none', residual: false };

/** What else decides the text. */
interface Ending {
  readonly epilogue: Epilogue;
  readonly split: boolean;
  /** Weights are f16 in work-group memory too. */
  readonly native: boolean;
}

function tileText(name: string, tile: DenseTile, source: Source, { epilogue, split, native }: Ending): string {
  const { lanes, parts, width, x: place } = tile;
  const { operands, weight, row, bias } = source;
  const rows = Array.from({ length: TALLEST }, (_, i) => i);
  const columns = Array.from({ length: width }, (_, j) => j * lanes);
  const tileColumns = lanes * width;
  const size = lanes * parts;
  const weights = parts * DEPTH * TALLEST;
  const type = width === 1 ? 'f32' : `vec${width}<f32>`;
  const vector = (of: (j: number) => string) =>
    width === 1 ? of(0) : `${type}(${columns.map((j) => of(j)).join(', ')})`;
  const plus = (j: number) => (j > 0 ? ` + ${j}` : '');
  const global = (k: string) => vector((j) => float(operands[1].space, `rowOf(${k}) + left + column${plus(j)}`));
  const depths = Array.from({ length: DEPTH }, (_, i) => i);
  const held = native ? 'f16' : 'f32';
  const weightAt = (r: number) => (native ? `f32(ws[w + ${r}])` : `ws[w + ${r}]`);
  return shaderText(name, [...COMMON, ...source.names, ...(split ? ['part'] : [])], {
    size: [size],
    enables: native ? 'f16' : undefined,
    globals: [
      ...weightFunctions(operands[0], native),
      ...(place === 'workgroup' ? [`var<workgroup> xs: array<f32, ${DEPTH * tileColumns}>;`] : []),
      `var<workgroup> ws: array<${held}, ${weights}>;`,
      `fn heightOf(panel: i32) -> i32 { return clamp(args.m - panel * ${TALLEST}, 0, ${TALLEST}); }`,
      `fn weightOf(panel: i32, height: i32, row: i32, k: i32) -> f32 { return ${weight}; }`,
      ...(bias ? [`fn biasOf(panel: i32, row: i32) -> f32 { return ${bias}; }`] : []),
      `fn rowOf(k: i32) -> i32 { return ${row}; }`,
      `fn store(sum: f32, row: i32, column: i32${split ? ', range: i32' : ''}) {`,
      `  if (column >= args.n) { return; }`,
      `  let at = ${split ? '(range * args.m + row)' : 'row'} * args.yRow + column;`,
      '  var y = sum;',
      ...(epilogue.residual ? [`  y += ${float('arena', `args.residual + at`)};`] : []),
      ...finishText(epilogue, 'y').map((line) => `  ${line}`),
      `  arena[args.y + at] = bitcast<u32>(y);`,
      '}',
    ],
    body: [
      'let own = i32(lane);',
      `let left = i32(group.x) * ${tileColumns};`,
      `let top = i32(group.y) * ${parts};`,
      ...(split ? ['let range = i32(group.z);'] : []),
      `let part = own / ${lanes};`,
      `let column = own % ${lanes};`,
      'let panel = top + part;',
      'let height = heightOf(panel);',
      ...(split ? ['let first = range * args.part;', 'let end = min(args.k, first + args.part);'] : []),
      ...(split && bias ? ['let begins = range == 0;'] : []),
      ...rows.map((r) => {
        const begin = split ? `select(0.0, biasOf(panel, ${r}), begins)` : `biasOf(panel, ${r})`;
        return `var s${r} = ${type}(${bias ? begin : '0.0'});`;
      }),
      `for (var start = ${split ? 'first' : '0'}; start < ${split ? 'end' : 'args.k'}; start += ${DEPTH}) {`,
      ...(place === 'workgroup'
        ? [
            `  for (var i = own; i < ${DEPTH * tileColumns}; i += ${size}) {`,
            `    let k = start + i / ${tileColumns};`,
            '    var x = 0.0;',
            `    if (k < args.k) { x = ${float(operands[1].space, `rowOf(k) + left + i % ${tileColumns}`)}; }`,
            `    xs[i] = x;`,
            '  }',
          ]
        : []),
      // Behind the last column of A a weight is 0, and any row of X that is there will do.
      ...(place === 'registers'
        ? depths.map((i) => `  let x${i} = ${global(i > 0 ? `min(start + ${i}, args.k - 1)` : 'start')};`)
        : []),
      `  for (var i = own; i < ${weights}; i += ${size}) {`,
      `    let p = i / ${DEPTH * TALLEST};`,
      `    let r = i % ${TALLEST};`,
      `    let k = start + (i / ${TALLEST}) % ${DEPTH};`,
      '    let h = heightOf(top + p);',
      '    var w = 0.0;',
      `    if (k < args.k && r < h) { w = weightOf(top + p, h, r, k); }`,
      native ? '    ws[i] = f16(w);' : '    ws[i] = w;',
      '  }',
      '  workgroupBarrier();',
      ...(place === 'registers'
        ? depths.flatMap((i) => [
            `  if (start + ${i} < args.k) {`,
            `    let w = (part * ${DEPTH} + ${i}) * ${TALLEST};`,
            ...rows.map((r) => `    s${r} += ${weightAt(r)} * x${i};`),
            '  }',
          ])
        : [
            place === 'workgroup'
              ? `  for (var i = 0; i < ${DEPTH}; i++) {`
              : `  for (var i = 0; i < min(${DEPTH}, args.k - start); i++) {`,
            `    let x = ${place === 'workgroup' ? vector((j) => `xs[i * ${tileColumns} + column${plus(j)}]`) : global('start + i')};`,
            `    let w = (part * ${DEPTH} + i) * ${TALLEST};`,
            ...rows.map((r) => `    s${r} += ${weightAt(r)} * x;`),
            '  }',
          ]),
      '  workgroupBarrier();',
      '}',
      ...rows.map((r) => {
        const stores = columns.map(
          (j, i) =>
            `store(s${r}${width === 1 ? '' : `[${i}]`}, panel * ${TALLEST} + ${r}, left + column${plus(j)}${split ? ', range' : ''});`,
        );
        return `if (${r} < height) { ${stores.join(' ')} }`;
      }),
    ],
  });
}

/** Room for sums of ranges of K, where a call has it. */
function roomOf(args: Parameters<Twin>[0]): Operand | undefined {
  return typeof args[11] === 'object' ? args[11] : undefined;
}

/**
 * Of `gemm(n, x, y, xStep, yStep, residual, a, offsets, m, k, yRow)`: panels of {@link TALLEST} rows, biases before them; where K
 * is split, room for the sums follows.
 */
export function gemmTwin(epilogue: Epilogue, schedule?: GpuSchedule): Twin {
  return (args) => {
    const [n, m, k, yRow] = [0, 8, 9, 10].map((i) => numberOf(args, i)) as [number, number, number, number];
    const [x, y, a, offsets] = [operandOf(args, 1), operandOf(args, 2), operandOf(args, 6), operandOf(args, 7)];
    const residual = epilogue.residual ? operandOf(args, 5) : undefined;
    if (residual?.space === 'constants') return 'a constant residual';
    const panel = `args.a + panel * ${TALLEST} * (args.k + 1)`;
    return dispatch({
      m,
      n,
      epilogue,
      schedule,
      partial: roomOf(args),
      source: {
        name: 'f32_dense_gemm',
        operands: [a, x],
        weight: weightText(a, `${panel} + height * (k + 1) + row`),
        row: `args.x + (bitcast<i32>(${offsets.space}[args.offsets + k]) >> 2u)`,
        bias: `select(0.0, ${weightText(a, `${panel} + row`)}, row < heightOf(panel))`,
        names: ['a', 'x', 'offsets'],
      },
      args: [n, m, k, wordOf(y), yRow / 4, residual ? wordOf(residual) : 0, weightOf(a), wordOf(x), wordOf(offsets)],
    });
  };
}

/**
 * Where the twin finds the weights of a column of A in panels of two rows: for each column the start of its pass, the columns
 * of a panel there (the biases count as one), and what is added to the number of the column for its place in it.
 */
export function pairTable(passes: readonly PairPass[]): Int32Array {
  const table: number[] = [];
  for (const [i, { from, to, start }] of passes.entries()) {
    const biases = i === 0 ? 1 : 0;
    for (let k = from; k < to; k++) table.push(start, to - from + biases, biases - from);
  }
  return Int32Array.from(table);
}

/**
 * Of `gemm(n, x, y, xStep, yStep, residual, a, offsets, m, k, yRow, flags)` over `packPairs`; {@link pairTable} follows. Where K is
 * split, room for the sums stands in place of the flags.
 */
export function pairsTwin(epilogue: Epilogue, schedule?: GpuSchedule): Twin {
  return (args) => {
    const [n, m, k, yRow] = [0, 8, 9, 10].map((i) => numberOf(args, i)) as [number, number, number, number];
    const [x, y, a, offsets, table] = [1, 2, 6, 7, 12].map((i) => operandOf(args, i)) as [
      Operand,
      Operand,
      Operand,
      Operand,
      Operand,
    ];
    const residual = epilogue.residual ? operandOf(args, 5) : undefined;
    if (residual?.space === 'constants') return 'a constant residual';
    const fact = (i: number) => `i32(constants[args.table + 3 * k + ${i}])`;
    const shift = 'bitcast<i32>(constants[args.table + 3 * k + 2])';
    const top = `(panel * ${TALLEST} + row)`;
    const height = `min(2, args.m - 2 * (${top} / 2))`;
    const place = `args.a + ${fact(0)} + ${top} / 2 * 2 * ${fact(1)} + ${height} * (k + ${shift}) + ${top} % 2`;
    const first = `args.a + ${top} / 2 * 2 * i32(constants[args.table + 1]) + ${top} % 2`;
    return dispatch({
      m,
      n,
      epilogue,
      schedule,
      partial: roomOf(args),
      source: {
        name: 'f32_dense_pairs',
        operands: [a, x],
        weight: weightText(a, place),
        row: `args.x + (bitcast<i32>(${offsets.space}[args.offsets + k]) >> 2u)`,
        bias: `select(0.0, ${weightText(a, first)}, row < heightOf(panel))`,
        names: ['a', 'x', 'offsets', 'table'],
      },
      args: [
        ...[n, m, k, wordOf(y), yRow / 4, residual ? wordOf(residual) : 0],
        ...[weightOf(a), ...[x, offsets, table].map(wordOf)],
      ],
    });
  };
}

/** Of `matmul(n, x, y, xStep, yStep, residual, a, m, k, xRow, aRow, yRow)`. */
export const matmulTwin: Twin = (args) => {
  const [n, m, k, xRow, aRow, yRow] = [0, 7, 8, 9, 10, 11].map((i) => numberOf(args, i)) as number[] as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [x, y, a] = [operandOf(args, 1), operandOf(args, 2), operandOf(args, 6)];
  return dispatch({
    m,
    n,
    epilogue: { activation: 'none', residual: false },
    source: {
      name: 'f32_matmul',
      operands: [a, x],
      weight: float(a.space, `args.a + (panel * ${TALLEST} + row) * args.aRow + k`),
      row: `args.x + k * args.xRow`,
      bias: undefined,
      names: ['a', 'x', 'aRow', 'xRow'],
    },
    args: [n, m, k, wordOf(y), yRow / 4, 0, wordOf(a), wordOf(x), aRow / 4, xRow / 4],
  });
};

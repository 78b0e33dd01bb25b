/**
 * Twins of the dense products: 24 or 6 rows by 64 columns of C for each work-group, 6 × 4 or 6 × 1 for each invocation.
 *
 * Eight columns of A and their rows of X are brought into work-group memory by all invocations together, neighbours
 * reading neighbours; then each takes 6 weights and 4 inputs for 24 multiply-adds. Rows of X are found through the same list
 * of offsets as on the CPU, so that a convolution is this very shader. The low tile is for products of few columns, which
 * would otherwise leave most of a GPU without work.
 */
import { type Epilogue, epilogueName, TALLEST } from '../kernels/family.ts';
import type { PairPass } from '../kernels/gemm.ts';
import { finishText } from './epilogue.ts';
import { float, numberOf, type Operand, operandOf, shaderText, spaceName, type Twin, wordOf } from './shader.ts';

const COLUMNS = 64;
/** Columns of A that are in work-group memory at once. */
const DEPTH = 8;
/** With fewer groups of tall tiles than this, low ones are taken. */
const FEW_GROUPS = 128;

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

interface Product {
  readonly m: number;
  readonly n: number;
  readonly source: Source;
  readonly epilogue: Epilogue;
  readonly args: readonly number[];
}

/** Arguments of all products; `yRow` is the distance of rows of Y. */
const COMMON = ['n', 'm', 'k', 'y', 'yRow', 'residual'];

function dispatch({ m, n, source, epilogue, args }: Product) {
  const panels = Math.ceil(m / TALLEST);
  const across = Math.ceil(n / COLUMNS);
  const tall = Math.ceil(panels / 4) * across >= FEW_GROUPS;
  const name = `${source.name}${epilogueName(epilogue)}_${tall ? 24 : 6}x${COLUMNS}__${source.operands.map(spaceName).join('')}`;
  const shader = { name, code: () => tileText(name, tall ? 4 : 1, source, epilogue) };
  const [, , k = 0] = args;
  const down = Math.ceil(panels / (tall ? 4 : 1));
  const rows = tall ? 4 * TALLEST : TALLEST;
  const cost = {
    // Each tile reads its rows of A and its columns of X once, and writes its part of C.
    bytes: 4 * across * down * (k * (rows + COLUMNS) + rows * COLUMNS * (epilogue.residual ? 2 : 1)),
    products: m * k * n,
    loads: (TALLEST + (tall ? 4 : 1)) / (TALLEST * (tall ? 4 : 1)),
    memory: 4 * DEPTH * (COLUMNS + rows),
  };
  return [{ shader, groups: [across, down, 1] as const, args, cost }];
}

function tileText(name: string, panels: 4 | 1, source: Source, epilogue: Epilogue): string {
  const { operands, weight, row, bias } = source;
  const rows = Array.from({ length: TALLEST }, (_, i) => i);
  // Of four panels each invocation has four columns, of one panel one.
  const type = panels === 4 ? 'vec4<f32>' : 'f32';
  const lanes = COLUMNS / panels;
  const weights = panels * DEPTH * TALLEST;
  const input =
    panels === 4
      ? `vec4<f32>(${[0, 1, 2, 3].map((j) => `xs[i * ${COLUMNS} + column + ${j * lanes}]`).join(', ')})`
      : `xs[i * ${COLUMNS} + column]`;
  const columns = Array.from({ length: panels }, (_, j) => j);
  return shaderText(name, [...COMMON, ...source.names], {
    globals: [
      `var<workgroup> xs: array<f32, ${DEPTH * COLUMNS}>;`,
      `var<workgroup> ws: array<f32, ${weights}>;`,
      `fn heightOf(panel: i32) -> i32 { return clamp(args.m - panel * ${TALLEST}, 0, ${TALLEST}); }`,
      `fn weightOf(panel: i32, height: i32, row: i32, k: i32) -> f32 { return ${weight}; }`,
      ...(bias ? [`fn biasOf(panel: i32, row: i32) -> f32 { return ${bias}; }`] : []),
      `fn rowOf(k: i32) -> i32 { return ${row}; }`,
      'fn store(sum: f32, row: i32, column: i32) {',
      `  if (column >= args.n) { return; }`,
      `  let at = row * args.yRow + column;`,
      '  var y = sum;',
      ...(epilogue.residual ? [`  y += ${float('arena', `args.residual + at`)};`] : []),
      ...finishText(epilogue, 'y').map((line) => `  ${line}`),
      `  arena[args.y + at] = bitcast<u32>(y);`,
      '}',
    ],
    body: [
      'let own = i32(lane);',
      `let left = i32(group.x) * ${COLUMNS};`,
      `let top = i32(group.y) * ${panels};`,
      `let part = own / ${lanes};`,
      `let column = own % ${lanes};`,
      'let panel = top + part;',
      'let height = heightOf(panel);',
      ...rows.map((r) => `var s${r} = ${type}(${bias ? `biasOf(panel, ${r})` : '0.0'});`),
      `for (var start = 0; start < args.k; start += ${DEPTH}) {`,
      `  for (var i = 0; i < ${DEPTH}; i++) {`,
      '    var x = 0.0;',
      `    if (start + i < args.k) { x = ${float(operands[1].space, `rowOf(start + i) + left + own`)}; }`,
      `    xs[i * ${COLUMNS} + own] = x;`,
      '  }',
      `  for (var i = own; i < ${weights}; i += ${COLUMNS}) {`,
      `    let p = i / ${DEPTH * TALLEST};`,
      `    let r = i % ${TALLEST};`,
      `    let k = start + (i / ${TALLEST}) % ${DEPTH};`,
      '    let h = heightOf(top + p);',
      '    var w = 0.0;',
      `    if (k < args.k && r < h) { w = weightOf(top + p, h, r, k); }`,
      '    ws[i] = w;',
      '  }',
      '  workgroupBarrier();',
      `  for (var i = 0; i < ${DEPTH}; i++) {`,
      `    let x = ${input};`,
      `    let w = (part * ${DEPTH} + i) * ${TALLEST};`,
      ...rows.map((r) => `    s${r} += ws[w + ${r}] * x;`),
      '  }',
      '  workgroupBarrier();',
      '}',
      ...rows.map((r) => {
        const stores = columns.map(
          (j) =>
            `store(s${r}${panels === 4 ? `[${j}]` : ''}, panel * ${TALLEST} + ${r}, left + column + ${j * lanes});`,
        );
        return `if (${r} < height) { ${stores.join(' ')} }`;
      }),
    ],
  });
}

/** Of `gemm(n, x, y, xStep, yStep, residual, a, offsets, m, k, yRow)`: panels of {@link TALLEST} rows, biases before them. */
export function gemmTwin(epilogue: Epilogue): Twin {
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
      source: {
        name: 'f32_dense_gemm',
        operands: [a, x],
        weight: float(a.space, `${panel} + height * (k + 1) + row`),
        row: `args.x + (bitcast<i32>(${offsets.space}[args.offsets + k]) >> 2u)`,
        bias: `select(0.0, ${float(a.space, `${panel} + row`)}, row < heightOf(panel))`,
        names: ['a', 'x', 'offsets'],
      },
      args: [n, m, k, wordOf(y), yRow / 4, residual ? wordOf(residual) : 0, wordOf(a), wordOf(x), wordOf(offsets)],
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

/** Of `gemm(n, x, y, xStep, yStep, residual, a, offsets, m, k, yRow, flags)` over `packPairs`; {@link pairTable} follows. */
export function pairsTwin(epilogue: Epilogue): Twin {
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
      source: {
        name: 'f32_dense_pairs',
        operands: [a, x],
        weight: float(a.space, place),
        row: `args.x + (bitcast<i32>(${offsets.space}[args.offsets + k]) >> 2u)`,
        bias: `select(0.0, ${float(a.space, first)}, row < heightOf(panel))`,
        names: ['a', 'x', 'offsets', 'table'],
      },
      args: [...[n, m, k, wordOf(y), yRow / 4, residual ? wordOf(residual) : 0], ...[a, x, offsets, table].map(wordOf)],
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

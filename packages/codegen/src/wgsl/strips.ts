/**
 * A third twin of the sparse product, for low blocks over all of K, and for single rows.
 *
 * Two rows that share a column list do not pay for bringing rows of X from global memory. So a work-group takes many such
 * bands, and brings what all of them together read: planes of X, each once. The taps of a window over one channel read the
 * same plane at other places, so a plane is brought with a margin and serves all of them: a 3 × 3 convolution reads an input
 * once for all rows of the group, not nine times. A chunk is as many planes as fit work-group memory; with it go the columns
 * and weights that the bands have there, decoded to places in that memory. Sums stay in registers from the first chunk to the last.
 *
 * @see `strip-table.ts` for the tables, `sparse.ts` and `sparse-tile.ts` for the twins that are better where blocks are higher
 */
import type { GpuSchedule } from '../gpu-schedule.ts';
import { type Epilogue, epilogueName } from '../kernels/family.ts';
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
  weightName,
  weightOf,
  weightText,
  wordOf,
} from './shader.ts';
import type { StripTable } from './strip-table.ts';

const NAMES = [
  ...['n', 'm', 'x', 'y', 'yRow', 'words', 'weights', 'residual', 'bands'],
  ...['lists', 'ranges', 'chunks', 'pieces', 'info', 'stride', 'length', 'base', 'partial'],
];

/**
 * Of `spmm(n, x, y, xStep, yStep, residual, words, weights, low, high)`; where K is split, room for the sums of its ranges follows; the table is one argument more.
 */
export function stripsTwin(epilogue: Epilogue, table: StripTable): Twin {
  const { tile } = table;
  return (args) => {
    const n = numberOf(args, 0);
    const [x, y, words, weights] = [1, 2, 6, 7].map((i) => operandOf(args, i)) as [Operand, Operand, Operand, Operand];
    const room = tile.splitK > 1 ? operandOf(args, 10) : undefined;
    const at = operandOf(args, room ? 11 : 10);
    const residual = epilogue.residual ? operandOf(args, 5) : undefined;
    const ending = room ? { activation: 'none' as const, residual: false } : epilogue;
    const own = room ? undefined : residual;
    const base = wordOf(at);
    const { m, yRow, bands, begins, stride, length, base: first } = table;
    const numbers = [
      ...[n, m, wordOf(x) + first, wordOf(y), yRow, wordOf(words), weightOf(weights), own ? wordOf(own) : 0, bands],
      ...begins.map((begin) => base + begin),
      ...[stride, length, first, room ? wordOf(room) : 0],
    ];
    const spaces = [x, ...(own ? [own] : [])].map(spaceName).join('');
    const { lanes, parts, width, held, cap, whole } = tile;
    const variant = `${whole ? '_whole' : ''}${room ? '_split' : ''}${weightName(weights)}`;
    const name = `f32_strips_spmm${epilogueName(ending)}_${parts}x${held}x${table.height}of${cap}x${lanes * width}_of_${width}_${tile.words}${variant}__${spaces}`;
    const text = (native: boolean) =>
      stripsText(native ? `${name}_native` : name, table, {
        ...{ epilogue: ending, weights, native, split: room !== undefined },
        ...{ xSpace: x.space, residualSpace: own?.space },
      });
    const variants = [{ needs: 'shader-f16' as const, code: () => text(true) }];
    const shader = { name, code: () => text(false), ...(weights.half && { variants }) };
    const across = Math.ceil(n / (lanes * width));
    const down = Math.ceil(bands / (parts * held));
    const cost = {
      bytes: table.bytes(n) - (weights.half ? 2 * table.products * across : 0),
      products: table.products * n,
      loads: (width + table.height + 1) / (width * table.height),
      memory: tile.memory,
      invocations: lanes * parts,
      sums: held * table.height * width,
    };
    const dispatch = { shader, groups: [across, down, tile.splitK] as const, args: numbers, cost };
    if (!room) return [dispatch];
    const places = { y: wordOf(y), residual: residual ? wordOf(residual) : 0, partial: wordOf(room) };
    return [dispatch, addPartials(epilogue, { n, m, yRow, parts: tile.splitK, ...places })];
  };
}

/** What decides the text besides the table. */
interface Form {
  readonly epilogue: Epilogue;
  readonly xSpace: Operand['space'];
  readonly residualSpace: Operand['space'] | undefined;
  readonly weights: Operand;
  readonly split: boolean;
  /** Weights are f16 in work-group memory too. */
  readonly native: boolean;
}

function stripsText(name: string, { tile, height }: StripTable, form: Form): string {
  const { epilogue, xSpace, residualSpace, weights, split, native } = form;
  const { lanes, parts, width, held, cap, whole } = tile;
  const size = lanes * parts;
  const rows = Array.from({ length: height }, (_, r) => r);
  const bands = Array.from({ length: held }, (_, b) => b);
  const columns = Array.from({ length: width }, (_, j) => (j > 0 ? ` + ${j * lanes}` : ''));
  const type = width === 1 ? 'f32' : `vec${width}<f32>`;
  const input = columns.map((j) => `xs[at + column${j}]`).join(', ');
  const globals = [
    `struct Rows { ${rows.map((r) => `r${r}: ${type}`).join(', ')} }`,
    `var<workgroup> xs: array<f32, ${tile.words}>;`,
    '// Of each band: where its columns of the chunk begin in xs, and -1 behind the last; their weights; how far its list is walked.',
    `var<workgroup> places: array<i32, ${parts * held * cap}>;`,
    `var<workgroup> ws: array<${native ? 'f16' : 'f32'}, ${parts * held * cap * height}>;`,
    ...weightFunctions(weights, native),
    `var<workgroup> walked: array<i32, ${parts * held}>;`,
    'fn table(i: i32) -> i32 { return i32(constants[i]); }',
    'fn multiply(band: i32, column: i32, before: Rows) -> Rows {',
    '  var sums = before;',
    '  var i = 0;',
    `  for (; i < ${cap}; i++) {`,
    `    let at = places[band * ${cap} + i];`,
    '    if (at < 0) { break; }',
    `    let x = ${width === 1 ? input : `${type}(${input})`};`,
    `    let w = (band * ${cap} + i) * ${height};`,
    ...rows.map((r) => `    sums.r${r} += ${native ? `f32(ws[w + ${r}])` : `ws[w + ${r}]`} * x;`),
    '  }',
    '  if (column == 0) { walked[band] += i; }',
    '  return sums;',
    '}',
    `fn begin(band: i32) -> Rows {`,
    '  var rows: Rows;',
    `  if (band >= args.bands) { return rows; }`,
    `  let info = args.info + ${height + 2} * band;`,
    `  let bias = args.weights + table(info + ${height});`,
    `  let height = table(info + ${height + 1});`,
    ...rows.map((r) => `  if (${r} < height) { rows.r${r} = ${type}(${weightText(weights, `bias + ${r}`)}); }`),
    '  return rows;',
    '}',
    `fn finish(band: i32, column: i32, rows: Rows${split ? ', piece: i32' : ''}) {`,
    '  if (band >= args.bands) { return; }',
    `  let info = args.info + ${height + 2} * band;`,
    `  let height = table(info + ${height + 1});`,
    ...rows.map(
      (r) => `  if (${r} < height) { store(rows.r${r}, table(info + ${r}), column${split ? ', piece' : ''}); }`,
    ),
    '}',
    `fn store(sums: ${type}, row: i32, column: i32${split ? ', piece: i32' : ''}) {`,
    ...columns.flatMap((j, i) => [
      `  if (column${j} < args.n) {`,
      `    let at = ${split ? '(piece * args.m + row) * args.n' : 'row * args.yRow'} + column${j};`,
      `    var sum = sums${width === 1 ? '' : `[${i}]`};`,
      ...(residualSpace ? [`    sum += ${float(residualSpace, 'args.residual + at')};`] : []),
      ...finishText(epilogue, 'sum').map((line) => `    ${line}`),
      `    arena[args.${split ? 'partial' : 'y'} + at] = bitcast<u32>(sum);`,
      '  }',
    ]),
    '}',
    '// Columns and weights of the bands of this part, as far as they lie in the planes of the chunk.',
    'fn stage(range: i32, top: i32, part: i32, column: i32, plane: i32, count: i32) {',
    `  for (var i = column; i < ${held * cap}; i += ${lanes}) {`,
    `    let band = part * ${held} + i / ${cap};`,
    `    var place = -1;`,
    '    if (top + band < args.bands) {',
    '      let list = args.lists + 3 * (range * args.bands + top + band);',
    `      let c = walked[band] + i % ${cap};`,
    '      if (c < table(list + 1)) {',
    '        let offset = table(args.words + table(list) + c) / 4 - args.base - plane * args.stride;',
    '        if (offset < count * args.stride) {',
    `          place = ${whole ? 'offset' : 'offset / args.stride * args.length + offset % args.stride'};`,
    `          let height = table(args.info + ${height + 2} * (top + band) + ${height + 1});`,
    '          let weight = args.weights + table(list + 2) + c * height;',
    `          let w = (part * ${held * cap} + i) * ${height};`,
    ...rows.map((r) => {
      const value = `select(0.0, ${weightText(weights, `weight + ${r}`)}, ${r} < height)`;
      return `          ws[w + ${r}] = ${native ? `f16(${value})` : value};`;
    }),
    '        }',
    '      }',
    '    }',
    `    places[part * ${held * cap} + i] = place;`,
    '  }',
    '}',
  ];
  return shaderText(name, NAMES, {
    size: [size],
    enables: native ? 'f16' : undefined,
    globals,
    body: [
      'let own = i32(lane);',
      `let part = own / ${lanes};`,
      `let column = own % ${lanes};`,
      `let left = i32(group.x) * ${lanes * width};`,
      `let top = i32(group.y) * ${parts * held};`,
      'let piece = i32(group.z);',
      ...bands.map((b) => `var s${b}: Rows;`),
      `if (piece == 0) { ${bands.map((b) => `s${b} = begin(top + part * ${held} + ${b});`).join(' ')} }`,
      'for (var range = table(args.pieces + piece); range < table(args.pieces + piece + 1); range++) {',
      `  if (own < ${parts * held}) { walked[own] = 0; }`,
      '  workgroupBarrier();',
      '  for (var chunk = table(args.ranges + range); chunk < table(args.ranges + range + 1); chunk++) {',
      '    let plane = table(args.chunks + 2 * chunk);',
      '    let count = table(args.chunks + 2 * chunk + 1);',
      '    let start = args.x + left + plane * args.stride;',
      ...(whole
        ? [
            '    let end = (count - 1) * args.stride + args.length;',
            `    for (var i = own; i < end; i += ${size}) { xs[i] = ${float(xSpace, 'start + i')}; }`,
          ]
        : [
            '    for (var p = 0; p < count; p++) {',
            `      for (var i = own; i < args.length; i += ${size}) {`,
            `        xs[p * args.length + i] = ${float(xSpace, 'start + p * args.stride + i')};`,
            '      }',
            '    }',
          ]),
      '    stage(range, top, part, column, plane, count);',
      '    workgroupBarrier();',
      ...bands.map((b) => `    s${b} = multiply(part * ${held} + ${b}, column, s${b});`),
      '    workgroupBarrier();',
      '  }',
      '}',
      ...bands.map((b) => `finish(top + part * ${held} + ${b}, left + column, s${b}${split ? ', piece' : ''});`),
    ],
  });
}

/** What a schedule says of the tile; the rest is found by the bytes that it moves. */
export type StripWish = Pick<GpuSchedule, 'lanes' | 'parts' | 'width' | 'splitK'>;

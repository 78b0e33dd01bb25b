/**
 * Twins of `kernels/region.ts`. Regions have an invocation for each element of the output, determinants one for each matrix.
 *
 * Positions are float32 here, float64 on the CPU: a box whose corner lies within rounding of a sample's may take another one.
 */

import { indexFunction } from './gather.ts';
import {
  float,
  groupsFor,
  INVOCATION,
  numberOf,
  type Operand,
  operandOf,
  shaderText,
  spaceName,
  type Twin,
  wordOf,
} from './shader.ts';
import { wideFunctions } from './wide.ts';

const PLACE = [
  'let col = i % args.cols;',
  'let row = (i / args.cols) % args.rows;',
  'let channel = (i / (args.cols * args.rows)) % args.channels;',
  'let box = i / (args.cols * args.rows * args.channels);',
];

/** A float64 of the table as float32. */
const real = (table: Operand, i: number) => {
  const at = `args.table + ${2 * i}`;
  return `f32_of_f64(vec2<u32>(${table.space}[${at}], ${table.space}[${at} + 1]))`;
};

/** `roi_align(out, x, rois, batches, table, count, batch, channels, height, width, rows, cols, ratio)` */
export function roiAlignTwin(mode: 'avg' | 'max'): Twin {
  return (args) => {
    const [out, x, rois, batches, table] = [0, 1, 2, 3, 4].map((i) => operandOf(args, i)) as Operand[] as [
      Operand,
      Operand,
      Operand,
      Operand,
      Operand,
    ];
    const numbers = [5, 6, 7, 8, 9, 10, 11, 12].map((i) => numberOf(args, i));
    const [count = 0, , channels = 0, , , rows = 0, cols = 0] = numbers;
    const total = count * channels * rows * cols;
    const places = [x, rois, batches];
    const name = `f32_roi_align_${mode}__${places.map(spaceName).join('')}`;
    const corner = (i: number) =>
      `${float(rois.space, `args.rois + 4 * box + ${i}`)} * ${real(table, 0)} - ${real(table, 1)}`;
    const names = ['total', 'out', 'x', 'rois', 'batches', 'table', 'count', 'batch', 'channels', 'height', 'width'];
    const element = (row: string, col: string) => float(x.space, `image + ${row} * args.width + ${col}`);
    const neighbour = (axis: string, length: string) => [
      `  let ${axis}i = max(${axis}, 0.0);`,
      `  let low${axis} = min(i32(${axis}i), ${length} - 1);`,
      `  let high${axis} = min(low${axis} + 1, ${length} - 1);`,
      `  let part${axis} = select(${axis}i - f32(low${axis}), 0.0, low${axis} == ${length} - 1);`,
    ];
    const code = () =>
      shaderText(name, [...names, 'rows', 'cols', 'ratio'], {
        globals: [
          indexFunction(batches.space, true, false),
          ...wideFunctions(['f32_of_f64']),
          'fn samplesOf(size: f32, bins: i32) -> i32 {',
          '  if (args.ratio > 0) { return args.ratio; }',
          '  return max(0, i32(ceil(size / f32(bins))));',
          '}',
          '// The first and the last sample that can count: from -1 to the length.',
          'fn spanOf(start: f32, step: f32, length: i32, count: i32) -> vec2<i32> {',
          '  if (!(step > 0.0)) { return vec2<i32>(0, count - 1); }',
          '  let first = clamp((-1.0 - start) / step - 1.5, 0.0, 1e9);',
          '  let last = clamp((f32(length) - start) / step + 0.5, -1.0, 1e9);',
          '  return vec2<i32>(i32(first), min(i32(last), count - 1));',
          '}',
        ],
        body: [
          `let i = ${INVOCATION};`,
          'if (i >= args.total) { return; }',
          ...PLACE,
          'let batch = indexAt(args.batches + 2 * box, args.batch);',
          'let image = args.x + (batch * args.channels + channel) * args.height * args.width;',
          ...['x1', 'y1', 'x2', 'y2'].map((name, i) => `let ${name} = ${corner(i)};`),
          `let least = ${real(table, 2)};`,
          'let wide = max(x2 - x1, least);',
          'let high = max(y2 - y1, least);',
          'let down = samplesOf(high, args.rows);',
          'let across = samplesOf(wide, args.cols);',
          'let top = y1 + f32(row) * (high / f32(args.rows));',
          'let left = x1 + f32(col) * (wide / f32(args.cols));',
          'let stepY = high / f32(args.rows) / f32(down);',
          'let stepX = wide / f32(args.cols) / f32(across);',
          'let ys = spanOf(top, stepY, args.height, down);',
          'let xs = spanOf(left, stepX, args.width, across);',
          'var outside = ys.x > 0 || ys.y < down - 1 || xs.x > 0 || xs.y < across - 1;',
          'var sum = 0.0;',
          'var seen = false;',
          'for (var iy = ys.x; iy <= ys.y; iy++) { for (var ix = xs.x; ix <= xs.y; ix++) {',
          '  let y = top + (f32(iy) + 0.5) * stepY;',
          '  let x = left + (f32(ix) + 0.5) * stepX;',
          '  if (!(y >= -1.0 && y <= f32(args.height) && x >= -1.0 && x <= f32(args.width))) { outside = true; continue; }',
          ...neighbour('y', 'args.height'),
          ...neighbour('x', 'args.width'),
          `  let a = (1.0 - party) * (1.0 - partx) * ${element('lowy', 'lowx')};`,
          `  let b = (1.0 - party) * partx * ${element('lowy', 'highx')};`,
          `  let c = party * (1.0 - partx) * ${element('highy', 'lowx')};`,
          `  let d = party * partx * ${element('highy', 'highx')};`,
          ...(mode === 'avg'
            ? ['  sum += a + b + c + d;']
            : ['  let most = max(max(a, b), max(c, d));', '  sum = select(most, max(sum, most), seen);']),
          '  seen = true;',
          '} }',
          ...(mode === 'avg'
            ? ['sum /= max(f32(down) * f32(across), 1.0);']
            : ['if (outside && seen) { sum = max(sum, 0.0); }']),
          'arena[args.out + i] = bitcast<u32>(sum);',
        ],
      });
    const words = [out, x, rois, batches, table].map(wordOf);
    return [{ shader: { name, code }, groups: groupsFor(total), args: [total, ...words, ...numbers] }];
  };
}

/** `max_roi_pool(out, x, rois, table, count, batch, channels, height, width, rows, cols)` */
export const maxRoiPoolTwin: Twin = (args) => {
  const [out, x, rois, table] = [0, 1, 2, 3].map((i) => operandOf(args, i)) as [Operand, Operand, Operand, Operand];
  const numbers = [4, 5, 6, 7, 8, 9, 10].map((i) => numberOf(args, i));
  const [count = 0, , channels = 0, , , rows = 0, cols = 0] = numbers;
  const total = count * channels * rows * cols;
  const name = `f32_max_roi_pool__${spaceName(x)}${spaceName(rois)}`;
  const side = (i: number) =>
    `i32(clamp(floor(${float(rois.space, `args.rois + 5 * box + ${i}`)} * ${real(table, 0)} + 0.5), -1e9, 1e9))`;
  const bound = (i: string, n: string, size: string, start: string, length: string, round: string) =>
    `clamp(${start} + i32(${round}(f32(${i} * ${size}) / f32(${n}))), 0, ${length})`;
  const names = ['total', 'out', 'x', 'rois', 'table', 'count', 'batch', 'channels', 'height', 'width', 'rows', 'cols'];
  const code = () =>
    shaderText(name, names, {
      globals: wideFunctions(['f32_of_f64']),
      body: [
        `let i = ${INVOCATION};`,
        'if (i >= args.total) { return; }',
        ...PLACE,
        `let batch = clamp(i32(${float(rois.space, 'args.rois + 5 * box')}), 0, args.batch - 1);`,
        'let image = args.x + (batch * args.channels + channel) * args.height * args.width;',
        ...['x1', 'y1', 'x2', 'y2'].map((corner, i) => `let ${corner} = ${side(i + 1)};`),
        'let wide = max(x2 - x1 + 1, 1);',
        'let high = max(y2 - y1 + 1, 1);',
        `let bottom = ${bound('(row + 1)', 'args.rows', 'high', 'y1', 'args.height', 'ceil')};`,
        `let right = ${bound('(col + 1)', 'args.cols', 'wide', 'x1', 'args.width', 'ceil')};`,
        'var most = 0.0;',
        'var seen = false;',
        `for (var y = ${bound('row', 'args.rows', 'high', 'y1', 'args.height', 'floor')}; y < bottom; y++) {`,
        `  for (var x = ${bound('col', 'args.cols', 'wide', 'x1', 'args.width', 'floor')}; x < right; x++) {`,
        `    let value = ${float(x.space, 'image + y * args.width + x')};`,
        '    most = select(value, max(most, value), seen);',
        '    seen = true;',
        '  }',
        '}',
        'arena[args.out + i] = bitcast<u32>(most);',
      ],
    });
  const words = [out, x, rois, table].map(wordOf);
  return [{ shader: { name, code }, groups: groupsFor(total), args: [total, ...words, ...numbers] }];
};

/** `determinant(out, matrices, count, n)`, float64; it uses its matrices up. */
export const determinantTwin: Twin = (args) => {
  const [out, matrices] = [operandOf(args, 0), operandOf(args, 1)];
  const [count, n] = [numberOf(args, 2), numberOf(args, 3)];
  const name = 'f64_determinant';
  const at = (row: string, col: string) => `base + 2 * (${row} * args.n + ${col})`;
  const code = () =>
    shaderText(name, ['count', 'out', 'matrices', 'n'], {
      globals: [
        ...wideFunctions(['f64_mul', 'f64_div', 'f64_sub', 'f64_lt', 'zero64']),
        'fn at64(at: i32) -> vec2<u32> { return vec2<u32>(arena[at], arena[at + 1]); }',
        'fn put64(at: i32, x: vec2<u32>) { arena[at] = x.x; arena[at + 1] = x.y; }',
        'fn size(x: vec2<u32>) -> vec2<u32> { return vec2<u32>(x.x, x.y & 0x7fffffffu); }',
      ],
      body: [
        `let i = ${INVOCATION};`,
        'if (i >= args.count) { return; }',
        'let base = args.matrices + 2 * i * args.n * args.n;',
        'var result = vec2<u32>(0u, 0x3ff00000u);',
        'for (var k = 0; k < args.n; k++) {',
        '  var pivot = k;',
        '  for (var r = k + 1; r < args.n; r++) {',
        `    if (f64_lt(size(at64(${at('pivot', 'k')})), size(at64(${at('r', 'k')})))) { pivot = r; }`,
        '  }',
        '  if (pivot != k) {',
        '    result.y ^= 0x80000000u;',
        '    for (var c = k; c < args.n; c++) {',
        `      let held = at64(${at('k', 'c')});`,
        `      put64(${at('k', 'c')}, at64(${at('pivot', 'c')}));`,
        `      put64(${at('pivot', 'c')}, held);`,
        '    }',
        '  }',
        `  let first = at64(${at('k', 'k')});`,
        '  result = f64_mul(result, first);',
        '  // Singular: zero without a sign, or NaN from earlier pivots.',
        '  if (zero64(first)) { result = size(result); break; }',
        '  for (var r = k + 1; r < args.n; r++) {',
        `    let factor = f64_div(at64(${at('r', 'k')}), first);`,
        '    for (var c = k + 1; c < args.n; c++) {',
        `      put64(${at('r', 'c')}, f64_sub(at64(${at('r', 'c')}), f64_mul(factor, at64(${at('k', 'c')}))));`,
        '    }',
        '  }',
        '}',
        'put64(args.out + 2 * i, result);',
      ],
    });
  return [{ shader: { name, code }, groups: groupsFor(count), args: [count, wordOf(out), wordOf(matrices), n] }];
};

/**
 * The pictures of docs/concepts.md, drawn by the packages themselves from a layer of the repository's own network: what stands in
 * them is computed, never drawn by hand.
 */
import { readFileSync } from 'node:fs';
import { blockGrid, encode, type Matrix, projectBcr } from '@grim/bcr';
import type { BcrPattern } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { adcBitsForExact, isaacAdcBits } from '@grim/reram';
import { label, picture, tag } from './svg.ts';

const ROOT = new URL('../../../', import.meta.url);
const DENSITY = 0.3;
const INK = '#1a1a1a';
const SOFT = '#767676';
const BLUE = '#0b57c2';
const RED = '#b3261e';
const COLOURS = ['#0b57c2', '#b3261e', '#2e7d32', '#8e5a00', '#6a3ab2', '#00707a', '#a0307a', '#4a5a00'];

/** The second convolution of small-cnn, as the matrix that it is: 16 outputs × 8 channels of 3 × 3. */
export function layer(): Matrix {
  const { weights } = fromOnnx(readFileSync(new URL('apps/cli/demo/small-cnn/model.onnx', ROOT)));
  for (const { shape, data } of weights.values())
    if (shape.join() === '16,8,3,3') return { rows: 16, cols: 72, data: Float32Array.from(data as Float32Array) };
  throw new Error('small-cnn has no convolution of 16 × 8 × 3 × 3');
}

/** Blocks of 4 rows and 24 columns. */
export const patternOf = (w: Matrix): BcrPattern =>
  projectBcr(w, blockGrid(w.rows, w.cols, 4, 24), { density: DENSITY });

/** The pictures by the name of their file. */
export function pictures(): ReadonlyMap<string, string> {
  const w = layer();
  const pattern = patternOf(w);
  return new Map([
    ['bcr.svg', bcr(w, pattern)],
    ['units.svg', units(w, pattern)],
    ['lre.svg', loads(w, pattern)],
    ['adc.svg', converters()],
  ]);
}

const CELL = 9;

/** Cells of a matrix, darker for larger weights; `kept` says which are there. */
function cells(w: Matrix, x0: number, y0: number, kept: (row: number, col: number) => boolean): string {
  const most = w.data.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const marks: string[] = [];
  for (let row = 0; row < w.rows; row++)
    for (let col = 0; col < w.cols; col++) {
      if (!kept(row, col)) continue;
      const share = Math.abs(w.data[row * w.cols + col] ?? 0) / most;
      const at = { x: x0 + CELL * col, y: y0 + CELL * row, width: CELL - 1, height: CELL - 1 };
      marks.push(tag('rect', { ...at, fill: INK, 'fill-opacity': 0.15 + 0.85 * share }));
    }
  const frame = { x: x0 - 1, y: y0 - 1, width: CELL * w.cols + 1, height: CELL * w.rows + 1 };
  return [tag('rect', { ...frame, fill: 'none', stroke: SOFT }), ...marks].join('\n');
}

/** Which cells a pattern keeps. */
export function keptBy({ grid, keptRows, keptCols }: BcrPattern): (row: number, col: number) => boolean {
  const across = Math.ceil(grid.cols / grid.blockCols);
  return (row, col) => {
    const block = Math.floor(row / grid.blockRows) * across + Math.floor(col / grid.blockCols);
    return (
      (keptRows[block]?.includes(row % grid.blockRows) ?? false) &&
      (keptCols[block]?.includes(col % grid.blockCols) ?? false)
    );
  };
}

function bcr(w: Matrix, pattern: BcrPattern): string {
  const { grid } = pattern;
  const height = CELL * w.rows;
  const kept = keptBy(pattern);
  const total = w.data.filter((_, i) => kept(Math.floor(i / w.cols), i % w.cols)).length;
  // As many of the largest ones.
  const threshold = w.data.map(Math.abs).toSorted((a, b) => b - a)[total - 1] ?? 0;
  const large = (row: number, col: number) => Math.abs(w.data[row * w.cols + col] ?? 0) >= threshold;
  const rows: readonly (readonly [string, (row: number, col: number) => boolean])[] = [
    [`dense: all ${w.data.length} weights`, () => true],
    [`unstructured: the ${total} largest ones, anywhere`, large],
    [`BCR: ${total} weights; each block loses whole rows and whole columns of its own`, kept],
  ];
  const marks = rows.flatMap(([text, which], i) => {
    const y = 34 + i * (height + 44);
    return [label(20, y - 10, text), cells(w, 20, y, which)];
  });
  const top = 34 + 2 * (height + 44);
  for (let col = grid.blockCols; col < grid.cols; col += grid.blockCols) {
    const x = 20 + CELL * col - 1;
    marks.push(tag('line', { x1: x, x2: x, y1: top, y2: top + height, stroke: BLUE }));
  }
  for (let row = grid.blockRows; row < grid.rows; row += grid.blockRows) {
    const y = top + CELL * row - 1;
    marks.push(tag('line', { x1: 20, x2: 20 + CELL * w.cols, y1: y, y2: y, stroke: BLUE }));
  }
  const title = 'A layer of 16 by 72 weights: dense, unstructured, and BCR with blocks of 4 by 24';
  return picture(40 + CELL * w.cols, top + height + 20, title, marks);
}

/** What is stored: each block's kept rows and columns once, and its weights close together. */
function units(w: Matrix, pattern: BcrPattern): string {
  const packed = encode(w, pattern, 'block-local');
  const marks = [
    label(20, 24, 'In the matrix: kept weights, a colour for each block'),
    tag('rect', { x: 19, y: 33, width: CELL * w.cols + 1, height: CELL * w.rows + 1, fill: 'none', stroke: SOFT }),
  ];
  const below = 34 + CELL * w.rows + 40;
  marks.push(label(20, below - 12, 'In the file: units without gaps, and the columns that each one reads'));
  let [x, y] = [20, below];
  const { grid } = pattern;
  const strips = packed.stripOffset.length - 1;
  for (let strip = 0; strip < strips; strip++)
    for (let record = packed.stripOffset[strip] ?? 0; record < (packed.stripOffset[strip + 1] ?? 0); record++) {
      const rows = packed.rowIds.subarray(packed.rowOffset[record], packed.rowOffset[record + 1]);
      const cols = packed.colIds.subarray(packed.colOffset[record], packed.colOffset[record + 1]);
      const fill = COLOURS[record % COLOURS.length] ?? INK;
      const left = (packed.blockColumn[record] ?? 0) * grid.blockCols;
      const size = { width: CELL - 1, height: CELL - 1, fill };
      for (const row of rows)
        for (const col of cols)
          marks.push(
            tag('rect', { x: 20 + CELL * (left + col), y: 34 + CELL * (strip * grid.blockRows + row), ...size }),
          );
      const text = [...cols].map((col) => left + col).join(' ');
      const width = Math.max(CELL * cols.length, 6.1 * text.length) + 14;
      if (x + width > 20 + CELL * w.cols) [x, y] = [20, y + 4 * CELL + 30];
      rows.forEach((_, i) => {
        cols.forEach((_, j) => {
          marks.push(tag('rect', { x: x + CELL * j, y: y + CELL * i, ...size }));
        });
      });
      marks.push(label(x, y + CELL * rows.length + 12, text, { 'font-size': 10, fill: SOFT }));
      x += width;
    }
  const title = 'The kept weights of each block, in the matrix and in the file';
  return picture(40 + CELL * w.cols, y + 4 * CELL + 30, title, marks);
}

/** Loads of input vectors for one vector of outputs of every row, by how many rows share each load. */
export function loadsOf(w: Matrix, pattern: BcrPattern): readonly { readonly tile: number; readonly loads: number }[] {
  const packed = encode(w, pattern, 'block-local');
  return [1, 2, 4].map((tile) => {
    let loads = 0;
    for (let record = 0; record + 1 < packed.rowOffset.length; record++) {
      const rows = (packed.rowOffset[record + 1] ?? 0) - (packed.rowOffset[record] ?? 0);
      const cols = (packed.colOffset[record + 1] ?? 0) - (packed.colOffset[record] ?? 0);
      loads += Math.ceil(rows / tile) * cols;
    }
    return { tile, loads };
  });
}

function loads(w: Matrix, pattern: BcrPattern): string {
  const found = loadsOf(w, pattern);
  const most = Math.max(...found.map((one) => one.loads));
  const marks = found.flatMap(({ tile, loads: count }, i) => {
    const y = 40 + 44 * i;
    const text = tile === 1 ? 'single rows (as CSR)' : `${tile} rows share a load`;
    return [
      label(20, y + 17, text),
      tag('rect', { x: 180, y, width: (400 * count) / most, height: 24, fill: i === 0 ? RED : BLUE }),
      label(190 + (400 * count) / most, y + 17, String(count)),
    ];
  });
  const title = 'Loads of inputs for one vector of every output, by the rows that share a load (LRE)';
  return picture(680, 180, title, [
    label(20, 24, 'Loads of input vectors of that layer, for the same products'),
    ...marks,
  ]);
}

/** Bits that a converter needs for a column of l cells that are not zero: one bit a cell, one bit a DAC. */
function converters(): string {
  const most = 128;
  const x = (count: number) => 60 + (580 * count) / most;
  const y = (bits: number) => 270 - 26 * bits;
  const points: string[] = [];
  for (let count = 1; count <= most; count++) {
    const bits = adcBitsForExact(count, 1, 1);
    points.push(`${x(count - 1)},${y(bits)}`, `${x(count)},${y(bits)}`);
  }
  const isaac = isaacAdcBits(most, 1, 1);
  const marks = [
    label(20, 24, 'ADC bits that lose nothing, by non-zero cells of a column (1-bit cells, 1-bit inputs)'),
    tag('line', { x1: 60, x2: 640, y1: y(0), y2: y(0), stroke: INK }),
    tag('line', { x1: 60, x2: 60, y1: y(0), y2: y(8), stroke: INK }),
    ...[0, 16, 32, 64, 96, 128].map((count) =>
      label(x(count), 290, String(count), { 'text-anchor': 'middle', fill: SOFT }),
    ),
    ...[1, 2, 3, 4, 5, 6, 7, 8].map((bits) =>
      label(50, y(bits) + 4, String(bits), { 'text-anchor': 'end', fill: SOFT }),
    ),
    tag('line', { x1: 60, x2: 640, y1: y(isaac), y2: y(isaac), stroke: RED, 'stroke-dasharray': '6 4' }),
    label(636, y(isaac) - 6, `ISAAC’s rule for 128 rows: ${isaac} bits`, { 'text-anchor': 'end', fill: RED }),
    tag('polyline', { points: points.join(' '), fill: 'none', stroke: BLUE, 'stroke-width': 2 }),
    label(350, 312, 'non-zero cells of a column (column-proportional pruning bounds them)', {
      'text-anchor': 'middle',
      fill: SOFT,
    }),
  ];
  return picture(680, 324, 'Bits of a converter that loses nothing, by the non-zero cells of a column', marks);
}

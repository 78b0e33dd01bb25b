/**
 * Sparse matrices as bytes, little-endian, one byte string for one matrix.
 *
 * Header of 32 bytes: "GBCR", u16 version, u8 format, u8 0, u32 rows, cols, nnz, a, b, and the CRC-32 of all other bytes.
 * Then the indices, zeros up to a multiple of 4, and nnz float32 weights. Index fields are as narrow as their range
 * allows (`indexWidth`). What a and b are, and the order of the indices, stands at each format below.
 */

import { type Bcrc, offsets } from './bcrc.ts';
import type { BlockLocal } from './block-local.ts';
import { crc32 } from './crc32.ts';
import type { Csr } from './csr.ts';
import { fail } from './matrix.ts';
import type { PackedMatrix } from './multiply.ts';
import { blockCounts, blockGrid } from './pattern.ts';
import { indexWidth } from './stats.ts';

const MAGIC = 0x52434247; // "GBCR"
const VERSION = 1;
const HEADER_BYTES = 32;
const FORMATS = ['csr', 'bcrc', 'block-local'] as const;

/** The bytes of a matrix: deterministic, so equal matrices give equal bytes. */
export function toBytes(p: PackedMatrix): Uint8Array {
  const writer = new Writer();
  const [a, b] =
    p.format === 'csr' ? writeCsr(p, writer) : p.format === 'bcrc' ? writeBcrc(p, writer) : writeBlocks(p, writer);
  const indices = writer.finish();
  const start = HEADER_BYTES + Math.ceil(indices.length / 4) * 4;
  const bytes = new Uint8Array(start + 4 * p.weights.length);
  const view = new DataView(bytes.buffer);
  [MAGIC, VERSION | ((FORMATS.indexOf(p.format) + 1) << 16), p.rows, p.cols, p.weights.length, a, b].forEach(
    (word, i) => {
      view.setUint32(4 * i, word, true);
    },
  );
  bytes.set(indices, HEADER_BYTES);
  // Copied as bytes: as numbers, signalling NaNs would change. Every engine there is holds arrays little-endian.
  bytes.set(new Uint8Array(p.weights.buffer, p.weights.byteOffset, p.weights.byteLength), start);
  view.setUint32(28, crc32(bytes), true);
  return bytes;
}

/**
 * The matrix that the bytes hold. Every index is checked, so a matrix that comes back can be walked without checks.
 * @throws {GrimError} GRIM_BCR_BAD_MAGIC, GRIM_BCR_BAD_VERSION, GRIM_BCR_CORRUPT
 */
export function fromBytes(bytes: Uint8Array): PackedMatrix {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || view.getUint32(0, true) !== MAGIC)
    fail('GRIM_BCR_BAD_MAGIC', 'sparse matrix: the bytes do not begin with "GBCR". They are something else.');
  if (bytes.length < HEADER_BYTES) corrupt(`${bytes.length} bytes, the header alone has ${HEADER_BYTES}`);
  const version = view.getUint16(4, true);
  if (version !== VERSION)
    fail('GRIM_BCR_BAD_VERSION', `sparse matrix: version ${version}, this reader knows ${VERSION}. Update @grim/bcr.`, {
      version,
    });
  const plain = bytes.slice();
  plain.fill(0, 28, 32);
  if (crc32(plain) !== view.getUint32(28, true)) corrupt('the checksum does not match: a byte was changed or lost');
  const format = FORMATS[(bytes[6] ?? 0) - 1];
  if (!format || bytes[7] !== 0) return corrupt(`format ${bytes[6]} is not known`);
  const [rows = 0, cols = 0, nnz = 0, a = 0, b = 0] = [2, 3, 4, 5, 6].map((i) => view.getUint32(4 * i, true));
  if (rows < 1 || cols < 1 || rows * cols > 2 ** 31) corrupt(`${rows}×${cols} is no size of a matrix`);
  if (nnz > rows * cols || 4 * nnz > bytes.length - HEADER_BYTES) corrupt(`${nnz} weights do not fit`);
  const start = bytes.length - 4 * nnz;
  const reader = new Reader(bytes.subarray(HEADER_BYTES, start));
  const weights = new Float32Array(bytes.slice(start).buffer);
  const head = { rows, cols, weights };
  const matrix =
    format === 'csr'
      ? readCsr(head, reader, a, b)
      : format === 'bcrc'
        ? readBcrc(head, reader, a, b)
        : readBlocks(head, reader, a, b);
  reader.end();
  return matrix;
}

interface Head {
  readonly rows: number;
  readonly cols: number;
  readonly weights: Float32Array;
}

/** a = b = 0. rowOffset u32[rows + 1], columns[nnz]. */
function writeCsr(p: Csr, out: Writer): readonly [number, number] {
  out.all(p.rowOffset, 4);
  out.all(p.columns, indexWidth(p.cols));
  return [0, 0];
}

function readCsr({ rows, cols, weights }: Head, from: Reader, a: number, b: number): Csr {
  if (a !== 0 || b !== 0) corrupt('a reserved field is not 0');
  const rowOffset = ascending(from.all(rows + 1, 4), weights.length, 'row offsets');
  const columns = from.all(weights.length, indexWidth(cols));
  for (let row = 0; row < rows; row++) strictly(columns.subarray(rowOffset[row], rowOffset[row + 1]), cols, 'column');
  return { format: 'csr', rows, cols, rowOffset, columns, weights };
}

/** a = runs, b = length of compactColumn. reorder[rows], occurrence u32[runs + 1], columnStride u32[runs + 1], compactColumn[b]. */
function writeBcrc(p: Bcrc, out: Writer): readonly [number, number] {
  out.all(p.reorder, indexWidth(p.rows));
  out.all(p.occurrence, 4);
  out.all(p.columnStride, 4);
  out.all(p.compactColumn, indexWidth(p.cols));
  return [p.occurrence.length - 1, p.compactColumn.length];
}

function readBcrc({ rows, cols, weights }: Head, from: Reader, runs: number, listed: number): Bcrc {
  if (runs < 1 || runs > rows) corrupt(`${runs} runs of ${rows} rows`);
  const reorder = from.all(rows, indexWidth(rows));
  const seen = new Uint8Array(rows);
  for (const row of reorder) {
    if (row >= rows || seen[row]) corrupt(`row ${row} in the reordering is outside the matrix or there twice`);
    seen[row] = 1;
  }
  const occurrence = ascending(from.all(runs + 1, 4), rows, 'occurrence');
  const columnStride = ascending(from.all(runs + 1, 4), listed, 'column stride');
  const compactColumn = from.all(listed, indexWidth(cols));
  const lengths: number[] = [];
  let previous = Infinity;
  for (let run = 0; run < runs; run++) {
    const list = compactColumn.subarray(columnStride[run], columnStride[run + 1]);
    strictly(list, cols, 'column');
    if (list.length > previous) corrupt('a run is longer than the one before it');
    previous = list.length;
    const members = reorder.subarray(occurrence[run], occurrence[run + 1]);
    if (members.length === 0) corrupt(`run ${run} has no rows`);
    strictly(members, rows, 'row');
    for (let i = 0; i < members.length; i++) lengths.push(list.length);
  }
  const rowOffset = offsets(lengths);
  if ((rowOffset.at(-1) ?? 0) !== weights.length)
    corrupt(`the runs hold ${rowOffset.at(-1)} weights, not ${weights.length}`);
  return { format: 'bcrc', rows, cols, reorder, rowOffset, occurrence, columnStride, compactColumn, weights };
}

/**
 * a = block rows, b = block columns. Number of records of each strip, u32 each; then record by record: block column, row
 * mask (⌈block rows / 8⌉ bytes, row r is bit r mod 8 of byte ⌊r / 8⌋), u16 number of columns less one, column ids.
 */
function writeBlocks(p: BlockLocal, out: Writer): readonly [number, number] {
  const { across } = blockCounts(p.grid);
  for (let strip = 0; strip + 1 < p.stripOffset.length; strip++)
    out.one((p.stripOffset[strip + 1] ?? 0) - (p.stripOffset[strip] ?? 0), 4);
  p.blockColumn.forEach((column, record) => {
    out.one(column, indexWidth(across));
    const mask = new Uint8Array(Math.ceil(p.grid.blockRows / 8));
    for (const row of p.rowIds.subarray(p.rowOffset[record], p.rowOffset[record + 1]))
      mask[row >> 3] = (mask[row >> 3] ?? 0) | (1 << (row & 7));
    out.all(mask, 1);
    const cols = p.colIds.subarray(p.colOffset[record], p.colOffset[record + 1]);
    out.one(cols.length - 1, 2);
    out.all(cols, indexWidth(p.grid.blockCols));
  });
  return [p.grid.blockRows, p.grid.blockCols];
}

function readBlocks({ rows, cols, weights }: Head, from: Reader, blockRows: number, blockCols: number): BlockLocal {
  if (blockRows < 1 || blockCols < 1 || blockRows > rows || blockCols > cols || blockRows > 65536 || blockCols > 65536)
    corrupt(`blocks of ${blockRows}×${blockCols} in a matrix of ${rows}×${cols}`);
  const grid = blockGrid(rows, cols, blockRows, blockCols);
  const { down, across } = blockCounts(grid);
  const perStrip = from.all(down, 4);
  const blockColumn: number[] = [];
  const rowIds: number[] = [];
  const colIds: number[] = [];
  const rowOffset = [0];
  const colOffset = [0];
  let kept = 0;
  perStrip.forEach((count, strip) => {
    if (count > across) corrupt(`strip ${strip} has ${count} records of ${across} blocks`);
    const height = Math.min(blockRows, rows - strip * blockRows);
    let previous = -1;
    for (let i = 0; i < count; i++) {
      const column = from.one(indexWidth(across));
      if (column <= previous || column >= across)
        corrupt(`block ${column} of strip ${strip} is out of order or outside`);
      previous = column;
      blockColumn.push(column);
      const mask = from.all(Math.ceil(blockRows / 8), 1);
      for (let row = 0; row < mask.length * 8; row++)
        if (((mask[row >> 3] ?? 0) >> (row & 7)) & 1) {
          if (row >= height) corrupt(`row ${row} of a block of ${height}`);
          rowIds.push(row);
        }
      const list = from.all(from.one(2) + 1, indexWidth(blockCols));
      strictly(list, Math.min(blockCols, cols - column * blockCols), 'column');
      for (const col of list) colIds.push(col);
      const rowsKept = rowIds.length - (rowOffset.at(-1) ?? 0);
      if (rowsKept === 0) corrupt('a record keeps no row');
      kept += rowsKept * list.length;
      rowOffset.push(rowIds.length);
      colOffset.push(colIds.length);
    }
  });
  if (kept !== weights.length) corrupt(`the records hold ${kept} weights, not ${weights.length}`);
  return {
    format: 'block-local',
    rows,
    cols,
    grid,
    stripOffset: offsets([...perStrip]),
    blockColumn: Uint32Array.from(blockColumn),
    rowOffset: Uint32Array.from(rowOffset),
    rowIds: Uint16Array.from(rowIds),
    colOffset: Uint32Array.from(colOffset),
    colIds: Uint16Array.from(colIds),
    weights,
  };
}

function corrupt(what: string): never {
  return fail('GRIM_BCR_CORRUPT', `sparse matrix: ${what}. The file is damaged: get it again.`);
}

/** From 0 to `end`, never falling. */
function ascending(list: Uint32Array, end: number, what: string): Uint32Array {
  if (list[0] !== 0 || list.at(-1) !== end) corrupt(`${what} do not run from 0 to ${end}`);
  for (let i = 1; i < list.length; i++) if ((list[i] ?? 0) < (list[i - 1] ?? 0)) corrupt(`${what} fall at ${i}`);
  return list;
}

/** Strictly ascending, each below `bound`. */
function strictly(list: Uint32Array, bound: number, what: string): void {
  let previous = -1;
  for (const index of list) {
    if (index <= previous || index >= bound) corrupt(`${what} ${index} is out of order or not below ${bound}`);
    previous = index;
  }
}

type Width = 1 | 2 | 4;

class Writer {
  #bytes = new Uint8Array(1024);
  #length = 0;

  one(value: number, width: Width): void {
    if (this.#length + width > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#bytes.length);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    for (let i = 0; i < width; i++) this.#bytes[this.#length++] = value >>> (8 * i);
  }

  all(values: ArrayLike<number>, width: Width): void {
    for (let i = 0; i < values.length; i++) this.one(values[i] ?? 0, width);
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  one(width: Width): number {
    if (this.#position + width > this.#bytes.length) corrupt('the indices end early');
    let value = 0;
    for (let i = 0; i < width; i++) value += (this.#bytes[this.#position++] ?? 0) * 2 ** (8 * i);
    return value;
  }

  all(count: number, width: Width): Uint32Array {
    // Before anything is allocated: the bytes must be there.
    if (count * width > this.#bytes.length - this.#position) corrupt('the indices end early');
    return Uint32Array.from({ length: count }, () => this.one(width));
  }

  /** Only zeros, fewer than 4, may follow. */
  end(): void {
    const rest = this.#bytes.subarray(this.#position);
    if (rest.length > 3 || rest.some((byte) => byte !== 0)) corrupt(`${rest.length} bytes between indices and weights`);
  }
}

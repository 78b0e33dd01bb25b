/**
 * The register tile: a few rows of C times 1 to 24 columns, over a list of columns of A.
 *
 * The same body serves dense panels and sparse units. Rows of X are found through a list of byte offsets, so a stride-1
 * convolution over a padded CHW input is the same loop as a matrix product. Each input vector is loaded once and used by
 * all rows of the tile (load redundancy elimination); each weight is splat once and used by all column vectors.
 */
import type { FunctionBuilder, Local } from '../wasm/assembler.ts';
import {
  activate,
  advance,
  type Bounds,
  chainsOf,
  countDownIfAny,
  type Epilogue,
  type Family,
  hasEpilogue,
  multiplyAdd,
  NO_RESIDUAL,
  TALLEST,
} from './family.ts';

/** Columns of a tile. A single one uses one lane of a vector: loads and stores touch only what is there. */
export type Columns = 24 | 16 | 12 | 8 | 4 | 1;

/** Columns of A in one step of the innermost loop. */
export type Unroll = 2 | 4 | 8;

/** Columns of the full tiles of a kernel. */
export type FullColumns = 24 | 16 | 8;

/** The locals a tile works in. All cursors are byte addresses. */
export interface TileLocals {
  /** Column 0 of the tile in row 0 of X. */
  readonly x: Local<'i32'>;
  /** Cursor over the byte offsets of the rows of X. */
  readonly offsets: Local<'i32'>;
  /** Cursor over the weights. */
  readonly weights: Local<'i32'>;
  /** Columns of A left. */
  readonly count: Local<'i32'>;
  /** Columns of A that do not fill an unrolled step. */
  readonly rest: Local<'i32'>;
  /** Where each row of the tile lies in Y. */
  readonly rows: readonly Local<'i32'>[];
  /** From an element of Y to the one of the residual. */
  readonly residual: Local<'i32'>;
  readonly scratch: Local<'i32'>;
  readonly sums: readonly Local<'v128'>[];
  readonly inputs: readonly Local<'v128'>[];
  readonly splats: readonly Local<'v128'>[];
}

export function tileLocals(f: FunctionBuilder, residual: Local<'i32'>, x: Local<'i32'>): TileLocals {
  return {
    x,
    residual,
    offsets: f.local('i32'),
    weights: f.local('i32'),
    count: f.local('i32'),
    rest: f.local('i32'),
    scratch: f.local('i32'),
    rows: f.locals('i32', TALLEST),
    sums: f.locals('v128', 24),
    inputs: f.locals('v128', 4),
    splats: f.locals('v128', 3),
  };
}

const vectorsOf = (columns: Columns) => Math.ceil(columns / 4);

function sum(t: TileLocals, rows: number, columns: Columns, row: number, vector: number, chain = 0): Local<'v128'> {
  const local = t.sums[(chain * rows + row) * vectorsOf(columns) + vector];
  if (!local) throw new Error(`internal: a tile of ${rows}×${columns} has too many sums`);
  return local;
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`internal: no item ${index} of ${list.length}`);
  return item;
}

/** Replaces the address on the stack by the vector it points to. */
export function loadColumns(f: FunctionBuilder, columns: Columns, vector: number): void {
  if (columns === 1) f.memory('v128.load32_zero');
  else f.memory('v128.load', 16 * vector);
}

export function storeColumns(f: FunctionBuilder, columns: Columns, vector: number): void {
  if (columns === 1) f.storeLane('v128.store32_lane', 0);
  else f.memory('v128.store', 16 * vector);
}

/** Sums begin as the biases that stand at the weight cursor, one for each row. */
export function beginWithBias(f: FunctionBuilder, t: TileLocals, rows: number, columns: Columns): void {
  for (let row = 0; row < rows; row++) {
    f.get(t.weights).memory('v128.load32_splat', 4 * row);
    for (let v = 0; v < vectorsOf(columns) - 1; v++) f.tee(sum(t, rows, columns, row, v));
    f.set(sum(t, rows, columns, row, vectorsOf(columns) - 1));
  }
  advance(f, t.weights, 4 * rows);
}

/** Sums begin as what Y holds. */
export function beginWithOutput(f: FunctionBuilder, t: TileLocals, rows: number, columns: Columns): void {
  for (let row = 0; row < rows; row++)
    for (let v = 0; v < vectorsOf(columns); v++) {
      f.get(at(t.rows, row));
      loadColumns(f, columns, v);
      f.set(sum(t, rows, columns, row, v));
    }
}

/**
 * Adds `count` columns of A times their rows of X to the sums; moves all cursors past what was read.
 * @param least  columns in a step; more where a low tile needs the chains
 */
export function multiplyColumns(
  f: FunctionBuilder,
  family: Family,
  t: TileLocals,
  rows: number,
  columns: Columns,
  least: Unroll = 2,
): void {
  const vectors = vectorsOf(columns);
  // Left-over columns are run once per layer, if at all: small code matters more there.
  const chains = columns < 8 ? 1 : chainsOf(family, rows, vectors);
  const unroll = columns < 8 ? 1 : Math.max(least, chains);
  for (let chain = 1; chain < chains; chain++)
    for (let row = 0; row < rows; row++)
      for (let v = 0; v < vectors; v++) f.zero().set(sum(t, rows, columns, row, v, chain));

  const step = (column: number, chain: number) => {
    f.get(t.x)
      .get(t.offsets)
      .memory('i32.load', 4 * column)
      .op('i32.add')
      .set(t.scratch);
    const loadInput = (v: number, into: Local<'v128'>) => {
      f.get(t.scratch);
      loadColumns(f, columns, v);
      f.set(into);
    };
    const loadWeight = (row: number, into: Local<'v128'>) =>
      f
        .get(t.weights)
        .memory('v128.load32_splat', 4 * (column * rows + row))
        .set(into);
    // The shorter side is kept in registers, the longer one passes through a single register.
    if (vectors <= rows) {
      for (let v = 0; v < vectors; v++) loadInput(v, at(t.inputs, v));
      for (let row = 0; row < rows; row++) {
        loadWeight(row, at(t.splats, 0));
        for (let v = 0; v < vectors; v++)
          multiplyAdd(f, family, sum(t, rows, columns, row, v, chain), at(t.splats, 0), at(t.inputs, v));
      }
    } else {
      for (let row = 0; row < rows; row++) loadWeight(row, at(t.splats, row));
      for (let v = 0; v < vectors; v++) {
        loadInput(v, at(t.inputs, 0));
        for (let row = 0; row < rows; row++)
          multiplyAdd(f, family, sum(t, rows, columns, row, v, chain), at(t.splats, row), at(t.inputs, 0));
      }
    }
  };
  const steps = (length: number) => {
    for (let column = 0; column < length; column++) step(column, length === 1 ? 0 : column % chains);
    advance(f, t.offsets, 4 * length);
    advance(f, t.weights, 4 * length * rows);
  };

  if (unroll > 1) {
    f.get(t.count)
      .i32(unroll - 1)
      .op('i32.and')
      .set(t.rest);
    f.get(t.count).i32(Math.log2(unroll)).op('i32.shr_u').set(t.count);
  }
  countDownIfAny(f, t.count, () => steps(unroll));
  if (unroll > 1) countDownIfAny(f, t.rest, () => steps(1));

  for (let width = chains; width > 1; width /= 2)
    for (let chain = 0; chain < width / 2; chain++)
      for (let row = 0; row < rows; row++)
        for (let v = 0; v < vectors; v++) {
          const into = sum(t, rows, columns, row, v, chain);
          f.get(into)
            .get(sum(t, rows, columns, row, v, chain + width / 2))
            .op('f32x4.add')
            .set(into);
        }
}

/** Residual and activation, in the registers. */
export function finishSums(
  f: FunctionBuilder,
  epilogue: Epilogue,
  t: TileLocals,
  rows: number,
  columns: Columns,
  bounds?: Bounds,
): void {
  if (!hasEpilogue(epilogue)) return;
  const each = (step: (row: number, v: number) => void) => {
    for (let row = 0; row < rows; row++)
      for (let v = 0; v < vectorsOf(columns); v++) {
        const value = sum(t, rows, columns, row, v);
        f.get(value);
        step(row, v);
        f.set(value);
      }
  };
  const addResidual = (row: number, v: number) => {
    f.get(at(t.rows, row)).get(t.residual).op('i32.add');
    loadColumns(f, columns, v);
    f.op('f32x4.add');
  };
  // The distance to an odd address is odd.
  if (epilogue.residual === 'optional')
    f.get(t.residual)
      .i32(NO_RESIDUAL)
      .op('i32.and')
      .op('i32.eqz')
      .if(() => each(addResidual));
  each((row, v) => {
    if (epilogue.residual === true) addResidual(row, v);
    activate(f, epilogue, bounds);
  });
}

export function storeSums(f: FunctionBuilder, t: TileLocals, rows: number, columns: Columns): void {
  for (let row = 0; row < rows; row++)
    for (let v = 0; v < vectorsOf(columns); v++) {
      f.get(at(t.rows, row)).get(sum(t, rows, columns, row, v));
      storeColumns(f, columns, v);
    }
}

/**
 * Turns a matrix of 4-byte elements: Y[r, c] = X[c, r]. Blocks of 4×4 are loaded as four vectors, turned by eight shuffles
 * and stored as four, where element by element each load would be on another line. The columns are taken in chunks, so
 * that the lines of X which hold 16 elements each are still in the first-level cache for the rows of Y that need the rest.
 */
import type { FunctionBuilder, FunctionRef, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { advance, countDownIfAny } from './family.ts';

const PARAMETERS = {
  x: 'i32',
  y: 'i32',
  /** Of Y. */
  rows: 'i32',
  columns: 'i32',
  /** Bytes from one column of Y to the next in X. */
  xRow: 'i32',
  /** Bytes from one row of Y to the next. */
  yRow: 'i32',
} as const;

type Cursors = { readonly [K in keyof typeof PARAMETERS]: Local<'i32'> };

/** Rows of X of which the line in use and the next ones stay in the first-level cache. */
const CHUNK = 64;
/** Bytes between rows that share few sets of that cache, where fewer rows stay in it: a line of Y is written whole. */
const ALIASED = { every: 1024, chunk: 16 } as const;

/** Adds and exports `transpose(x, y, rows, columns, xRow, yRow)`, all i32. Y must not overlap X. */
export function addTranspose(module: ModuleBuilder, exported: string): FunctionRef {
  return module.function({ parameters: PARAMETERS, export: exported }, (f, p) => {
    const [x, y, rest, chunk, columns, left] = f.locals('i32', 6) as [I, I, I, I, I, I];
    f.get(p.columns).set(rest);
    f.i32(CHUNK).i32(ALIASED.chunk);
    f.get(p.xRow)
      .i32(ALIASED.every - 1)
      .op('i32.and')
      .op('i32.select')
      .set(chunk);
    f.block((done) => {
      f.loop((next) => {
        f.get(rest).op('i32.eqz').brIf(done);
        f.get(chunk).get(rest).get(rest).get(chunk).op('i32.gt_u').op('i32.select').set(columns);
        f.get(p.x).set(x).get(p.y).set(y);
        const at = { ...p, x, y, columns };
        f.get(p.rows).i32(2).op('i32.shr_u').set(left);
        countDownIfAny(f, left, () => {
          strip(f, at, 4);
          advance(f, x, 16);
          f.get(y).get(p.yRow).i32(2).op('i32.shl').op('i32.add').set(y);
        });
        f.get(p.rows).i32(3).op('i32.and').set(left);
        countDownIfAny(f, left, () => {
          strip(f, at, 1);
          advance(f, x, 4);
          advance(f, y, p.yRow);
        });
        f.get(p.x).get(columns).get(p.xRow).op('i32.mul').op('i32.add').set(p.x);
        f.get(p.y).get(columns).i32(2).op('i32.shl').op('i32.add').set(p.y);
        f.get(rest).get(columns).op('i32.sub').set(rest);
        f.br(next);
      });
    });
  });
}

type I = Local<'i32'>;

/** `height` rows of Y. */
function strip(f: FunctionBuilder, p: Cursors, height: 4 | 1): void {
  const [from, to, at, left] = f.locals('i32', 4) as [I, I, I, I];
  f.get(p.x).set(from).get(p.y).set(to);
  if (height === 4) {
    const [a, b, c, d, e, g, h, i] = f.locals('v128', 8) as [V, V, V, V, V, V, V, V];
    f.get(p.columns).i32(2).op('i32.shr_u').set(left);
    countDownIfAny(f, left, () => {
      for (const vector of [a, b, c, d]) {
        f.get(from).memory('v128.load').set(vector);
        advance(f, from, p.xRow);
      }
      f.get(a).get(b).shuffle([0, 4, 1, 5]).set(e).get(a).get(b).shuffle([2, 6, 3, 7]).set(g);
      f.get(c).get(d).shuffle([0, 4, 1, 5]).set(h).get(c).get(d).shuffle([2, 6, 3, 7]).set(i);
      f.get(to).set(at);
      for (const [low, high, lanes] of [
        [e, h, [0, 1, 4, 5]],
        [e, h, [2, 3, 6, 7]],
        [g, i, [0, 1, 4, 5]],
        [g, i, [2, 3, 6, 7]],
      ] as const) {
        f.get(at).get(low).get(high).shuffle(lanes).memory('v128.store');
        advance(f, at, p.yRow);
      }
      advance(f, to, 16);
    });
    f.get(p.columns).i32(3).op('i32.and').set(left);
  } else f.get(p.columns).set(left);
  countDownIfAny(f, left, () => {
    f.get(to).set(at);
    for (let row = 0; row < height; row++) {
      f.get(at)
        .get(from)
        .memory('i32.load', 4 * row)
        .memory('i32.store');
      advance(f, at, p.yRow);
    }
    advance(f, from, p.xRow);
    advance(f, to, 4);
  });
}

type V = Local<'v128'>;

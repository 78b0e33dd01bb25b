/**
 * Turns a matrix of 4-byte elements: Y[r, c] = X[c, r]. Blocks of 4×4 are loaded as four vectors, turned by eight shuffles
 * and stored as four, where element by element each load would be on another line.
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

/** Adds and exports `transpose(x, y, rows, columns, xRow, yRow)`, all i32. Y must not overlap X. */
export function addTranspose(module: ModuleBuilder, exported: string): FunctionRef {
  return module.function({ parameters: PARAMETERS, export: exported }, (f, p) => {
    const left = f.local('i32');
    f.get(p.rows).i32(2).op('i32.shr_u').set(left);
    countDownIfAny(f, left, () => {
      strip(f, p, 4);
      advance(f, p.x, 16);
      f.get(p.y).get(p.yRow).i32(2).op('i32.shl').op('i32.add').set(p.y);
    });
    f.get(p.rows).i32(3).op('i32.and').set(left);
    countDownIfAny(f, left, () => {
      strip(f, p, 1);
      advance(f, p.x, 4);
      advance(f, p.y, p.yRow);
    });
  });
}

/** `height` rows of Y. */
function strip(f: FunctionBuilder, p: Cursors, height: 4 | 1): void {
  const [from, to, at, left] = f.locals('i32', 4) as [Local<'i32'>, Local<'i32'>, Local<'i32'>, Local<'i32'>];
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

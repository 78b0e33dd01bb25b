/**
 * C[m, n] = Σ over k of A[m, k] · B[k, n] in 32-bit integers, which wrap; row k of B stands at a byte offset from a table,
 * so that a convolution needs no copy of its windows. Four columns at a time.
 */
import type { FunctionBuilder, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { advance, countDown, countDownIfAny } from './family.ts';

const PARAMETERS = {
  /** Columns. */
  n: 'i32',
  /** Column 0 of B. */
  x: 'i32',
  y: 'i32',
  /** Row-major. */
  a: 'i32',
  /** Bytes, one per row of B. */
  offsets: 'i32',
  rows: 'i32',
  cols: 'i32',
  /** Bytes from one row of C to the next. */
  yRow: 'i32',
} as const;

/** Adds and exports the kernel; at least one row and one column. */
export function addIntegerProduct(module: ModuleBuilder, exported: string): void {
  module.function({ parameters: PARAMETERS, export: exported }, (f: FunctionBuilder, p) => {
    const sum = f.local('v128');
    const [x, y, left, k, weight, offset] = f.locals('i32', 6) as [
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
    ];
    const tile = (wide: boolean) => () => {
      f.zero().set(sum).get(p.cols).set(k).get(p.a).set(weight).get(p.offsets).set(offset);
      countDownIfAny(f, k, () => {
        f.get(sum).get(weight).memory('v128.load32_splat');
        f.get(x).get(offset).memory('i32.load').op('i32.add');
        f.memory(wide ? 'v128.load' : 'v128.load32_zero')
          .op('i32x4.mul')
          .op('i32x4.add')
          .set(sum);
        advance(f, weight, 4);
        advance(f, offset, 4);
      });
      f.get(y).get(sum);
      if (wide) f.memory('v128.store');
      else f.storeLane('v128.store32_lane', 0);
      advance(f, x, wide ? 16 : 4);
      advance(f, y, wide ? 16 : 4);
    };
    countDown(f, p.rows, () => {
      f.get(p.x).set(x).get(p.y).set(y).get(p.n).i32(2).op('i32.shr_u').set(left);
      countDownIfAny(f, left, tile(true));
      f.get(p.n).i32(3).op('i32.and').set(left);
      countDownIfAny(f, left, tile(false));
      f.get(p.a).get(p.cols).i32(2).op('i32.shl').op('i32.add').set(p.a);
      advance(f, p.y, p.yRow);
    });
  });
}

/**
 * Weighted sums along one axis, weights and places from a table: one pass of a separable resize.
 *
 * The value is [outer, from, inner]. Four neighbours of the innermost axes at once where there are as many; along the last
 * axis itself each element is gathered by itself.
 */
import type { FunctionBuilder, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { advance, countDown, countDownIfAny } from './family.ts';

const PARAMETERS = {
  out: 'i32',
  data: 'i32',
  /** Per output element: how many taps, then for each its byte offset from the block's start and its weight. */
  table: 'i32',
  outer: 'i32',
  /** Bytes of a block of the input: from · inner · 4. */
  block: 'i32',
  /** Output elements along the axis. */
  to: 'i32',
  inner: 'i32',
} as const;

/** Adds and exports the kernel; no count but that of taps is 0. */
export function addResample(module: ModuleBuilder, exported: string): void {
  module.function({ parameters: PARAMETERS, export: exported }, (f: FunctionBuilder, p) => {
    const [entry, x, left, columns, tap, taps] = f.locals('i32', 6) as [
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
    ];
    const sum = f.local('v128');
    const tile = (wide: boolean) => () => {
      f.get(entry).memory('i32.load').set(taps).get(entry).set(tap).zero().set(sum);
      countDownIfAny(f, taps, () => {
        f.get(sum).get(tap).memory('v128.load32_splat', 8);
        f.get(x).get(tap).memory('i32.load', 4).op('i32.add');
        f.memory(wide ? 'v128.load' : 'v128.load32_zero');
        f.op('f32x4.mul').op('f32x4.add').set(sum);
        advance(f, tap, 8);
      });
      f.get(p.out).get(sum);
      if (wide) f.memory('v128.store');
      else f.storeLane('v128.store32_lane', 0);
      advance(f, p.out, wide ? 16 : 4);
      advance(f, x, wide ? 16 : 4);
    };
    countDown(f, p.outer, () => {
      f.get(p.table).set(entry).get(p.to).set(left);
      countDown(f, left, () => {
        f.get(p.data).set(x).get(p.inner).i32(2).op('i32.shr_u').set(columns);
        countDownIfAny(f, columns, tile(true));
        f.get(p.inner).i32(3).op('i32.and').set(columns);
        countDownIfAny(f, columns, tile(false));
        f.get(entry).get(entry).memory('i32.load').i32(3).op('i32.shl').op('i32.add').i32(4).op('i32.add').set(entry);
      });
      advance(f, p.data, p.block);
    });
  });
}

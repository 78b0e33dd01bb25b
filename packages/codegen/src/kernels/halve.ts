/**
 * Takes rows apart: even[c, r, i] = X[c, r, 2i], odd[c, r, i] = X[c, r, 2i + 1], how a strided window's input becomes its
 * phases. Two loads and two shuffles make eight elements.
 */
import type { FunctionRef, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { advance, countDown, countDownIfAny } from './family.ts';

const PARAMETERS = {
  x: 'i32',
  even: 'i32',
  odd: 'i32',
  /** Elements of a row of either. */
  n: 'i32',
  rows: 'i32',
  channels: 'i32',
  /** Bytes from one row to the next. */
  xRow: 'i32',
  yRow: 'i32',
  /** Bytes from the end of the last row of a channel to the first of the next. */
  xChannel: 'i32',
  yChannel: 'i32',
} as const;

/** Adds and exports the kernel; at least one row and channel. Reads up to 4 bytes behind the last even element. */
export function addHalve(module: ModuleBuilder, exported: string): FunctionRef {
  return module.function({ parameters: PARAMETERS, export: exported }, (f, p) => {
    const [rows, left, from, to, apart] = f.locals('i32', 5) as [
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
    ];
    const [low, high] = f.locals('v128', 2) as [Local<'v128'>, Local<'v128'>];
    f.get(p.odd).get(p.even).op('i32.sub').set(apart);
    countDown(f, p.channels, () => {
      f.get(p.rows).set(rows);
      countDown(f, rows, () => {
        f.get(p.x).set(from).get(p.even).set(to);
        f.get(p.n).i32(2).op('i32.shr_u').set(left);
        countDownIfAny(f, left, () => {
          f.get(from).memory('v128.load').set(low).get(from).memory('v128.load', 16).set(high);
          f.get(to).get(apart).op('i32.add').get(low).get(high).shuffle([1, 3, 5, 7]).memory('v128.store');
          f.get(to).get(low).get(high).shuffle([0, 2, 4, 6]).memory('v128.store');
          advance(f, from, 32);
          advance(f, to, 16);
        });
        f.get(p.n).i32(3).op('i32.and').set(left);
        countDownIfAny(f, left, () => {
          f.get(to).get(apart).op('i32.add').get(from).memory('f32.load', 4).memory('f32.store');
          f.get(to).get(from).memory('f32.load').memory('f32.store');
          advance(f, from, 8);
          advance(f, to, 4);
        });
        advance(f, p.x, p.xRow);
        advance(f, p.even, p.yRow);
      });
      advance(f, p.x, p.xChannel);
      advance(f, p.even, p.yChannel);
    });
  });
}

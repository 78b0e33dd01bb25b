/** Maximum or sum of each channel's elements at the taps of a window: Y[n] = max or Σ over taps of X[n + offset(t)]. */
import type { FunctionBuilder, FunctionRef, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { advance, countDown, countDownIfAny } from './family.ts';

export interface PoolOptions {
  readonly reduce: 'max' | 'sum';
  readonly exported: string;
}

/**
 * Adds and exports `pool(n, x, y, xChannel, yChannel, channels, offsets, taps)`, all i32: columns of a channel, column 0 of
 * the first one, bytes from one channel to the next, one byte offset per tap; at least one of each. NaN wins a maximum.
 */
export function addPool(module: ModuleBuilder, { reduce, exported }: PoolOptions): FunctionRef {
  const parameters = {
    n: 'i32',
    x: 'i32',
    y: 'i32',
    xChannel: 'i32',
    yChannel: 'i32',
    channels: 'i32',
    offsets: 'i32',
    taps: 'i32',
  } as const;
  return module.function({ parameters, export: exported }, (f: FunctionBuilder, p) => {
    const results = f.locals('v128', 4);
    const result = (v: number) => results[v] as Local<'v128'>;
    const [x, y, left, tap, count, at] = [0, 1, 2, 3, 4, 5].map(() => f.local('i32')) as [
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
    ];
    const tile = (columns: 16 | 4 | 1) => () => {
      const vectors = Math.ceil(columns / 4);
      const loadAt = (v: number) => (columns === 1 ? f.memory('v128.load32_zero') : f.memory('v128.load', 16 * v));
      const nextTap = () => {
        f.get(x).get(tap).memory('i32.load').op('i32.add').set(at);
        advance(f, tap, 4);
      };
      f.get(p.offsets).set(tap).get(p.taps).i32(1).op('i32.sub').set(count);
      nextTap();
      for (let v = 0; v < vectors; v++) {
        f.get(at);
        loadAt(v).set(result(v));
      }
      countDownIfAny(f, count, () => {
        nextTap();
        for (let v = 0; v < vectors; v++) {
          f.get(result(v)).get(at);
          loadAt(v)
            .op(reduce === 'max' ? 'f32x4.max' : 'f32x4.add')
            .set(result(v));
        }
      });
      for (let v = 0; v < vectors; v++) {
        f.get(y).get(result(v));
        if (columns === 1) f.storeLane('v128.store32_lane', 0);
        else f.memory('v128.store', 16 * v);
      }
      advance(f, x, 4 * columns);
      advance(f, y, 4 * columns);
    };
    countDown(f, p.channels, () => {
      f.get(p.x).set(x).get(p.y).set(y);
      f.get(p.n).i32(4).op('i32.shr_u').set(left);
      countDownIfAny(f, left, tile(16));
      f.get(p.n).i32(2).op('i32.shr_u').i32(3).op('i32.and').set(left);
      countDownIfAny(f, left, tile(4));
      f.get(p.n).i32(3).op('i32.and').set(left);
      countDownIfAny(f, left, tile(1));
      advance(f, p.x, p.xChannel);
      advance(f, p.y, p.yChannel);
    });
  });
}

/**
 * Depthwise convolution: every channel by itself, Y[n] = bias + Σ taps w[t] · X[n + offset(t)], then residual and activation.
 *
 * There is no reuse between channels, so the register tile is 16 columns of one channel (4 sums): per tap one weight splat
 * and four input loads for four multiply-adds: loads limit it, not arithmetic.
 */
import type { FunctionBuilder, FunctionRef, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { activate, advance, countDown, countDownIfAny, type Epilogue, type Family, multiplyAdd } from './family.ts';

export interface DepthwiseOptions extends Family {
  readonly epilogue: Epilogue;
  readonly exported: string;
}

const PARAMETERS = {
  /** Columns of a channel. */
  n: 'i32',
  /** Column 0 of the first channel. */
  x: 'i32',
  y: 'i32',
  /** Bytes from one channel to the next. */
  xChannel: 'i32',
  yChannel: 'i32',
  /** Laid out as Y. */
  residual: 'i32',
  channels: 'i32',
  /** Per channel: bias, then one weight per tap. */
  weights: 'i32',
  /** Bytes, one per tap. */
  offsets: 'i32',
  taps: 'i32',
} as const;

/** Adds and exports the kernel; at least one channel, one column and one tap. */
export function addDepthwise(module: ModuleBuilder, options: DepthwiseOptions): FunctionRef {
  return module.function({ parameters: PARAMETERS, export: options.exported }, (f, p) => {
    const sums = f.locals('v128', 4);
    const weight = f.local('v128');
    const input = f.local('v128');
    const [x, y, left, tap, count, at, delta] = f.locals('i32', 7) as [
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
      Local<'i32'>,
    ];
    const cursor = f.local('i32');
    f.get(p.residual).get(p.y).op('i32.sub').set(delta);
    const tile = (columns: 16 | 4 | 1) => {
      const vectors = Math.ceil(columns / 4);
      const loadAt = (v: number) => (columns === 1 ? f.memory('v128.load32_zero') : f.memory('v128.load', 16 * v));
      f.get(p.weights).memory('v128.load32_splat');
      for (let v = 0; v < vectors - 1; v++) f.tee(sums[v] as Local<'v128'>);
      f.set(sums[vectors - 1] as Local<'v128'>);
      f.get(p.offsets).set(tap).get(p.weights).i32(4).op('i32.add').set(cursor).get(p.taps).set(count);
      countDown(f, count, () => {
        f.get(cursor).memory('v128.load32_splat').set(weight);
        f.get(x).get(tap).memory('i32.load').op('i32.add').set(at);
        for (let v = 0; v < vectors; v++) {
          f.get(at);
          loadAt(v).set(input);
          multiplyAdd(f, options, sums[v] as Local<'v128'>, weight, input);
        }
        advance(f, tap, 4);
        advance(f, cursor, 4);
      });
      for (let v = 0; v < vectors; v++) {
        f.get(y).get(sums[v] as Local<'v128'>);
        if (options.epilogue.residual) {
          f.get(y).get(delta).op('i32.add');
          loadAt(v).op('f32x4.add');
        }
        activate(f, options.epilogue);
        if (columns === 1) f.storeLane('v128.store32_lane', 0);
        else f.memory('v128.store', 16 * v);
      }
      advance(f, x, 4 * columns);
      advance(f, y, 4 * columns);
    };
    countDown(f, p.channels, () => {
      f.get(p.x).set(x).get(p.y).set(y);
      forEachTile(f, p.n, left, tile);
      advance(f, p.x, p.xChannel);
      advance(f, p.y, p.yChannel);
      f.get(p.weights).get(p.taps).i32(2).op('i32.shl').op('i32.add').i32(4).op('i32.add').set(p.weights);
    });
  });
}

function forEachTile(
  f: FunctionBuilder,
  n: Local<'i32'>,
  left: Local<'i32'>,
  tile: (columns: 16 | 4 | 1) => void,
): void {
  f.get(n).i32(4).op('i32.shr_u').set(left);
  countDownIfAny(f, left, () => tile(16));
  f.get(n).i32(2).op('i32.shr_u').i32(3).op('i32.and').set(left);
  countDownIfAny(f, left, () => tile(4));
  f.get(n).i32(3).op('i32.and').set(left);
  countDownIfAny(f, left, () => tile(1));
}

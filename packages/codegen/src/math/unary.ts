/** Kernels y[i] = g(x[i]) over contiguous float32: any length, Y may be X. */
import type { Family } from '../kernels/family.ts';
import { advance, countDownIfAny } from '../kernels/family.ts';
import type { FunctionRef, ModuleBuilder } from '../wasm/assembler.ts';
import { erf } from './erf.ts';
import { exp } from './exp.ts';
import { log } from './log.ts';
import { sigmoid } from './sigmoid.ts';
import { tanh } from './tanh.ts';
import { type ConstantPool, type VectorFunction, VectorMath } from './vector.ts';

export const UNARY: Readonly<Record<UnaryName, VectorFunction>> = { exp, log, sigmoid, tanh, erf };
export type UnaryName = 'exp' | 'log' | 'sigmoid' | 'tanh' | 'erf';

/** The largest error of each, in units of the last place of the correctly rounded result. */
export const UNARY_ULP: Readonly<Record<UnaryName, number>> = { exp: 2, log: 2, sigmoid: 3, tanh: 3, erf: 4 };

export function unaryName(name: UnaryName, { relaxed }: Family): string {
  return `f32_${name}__${relaxed ? 'relaxed' : 'simd'}`;
}

/** Adds and exports `g(n, x, y, constants)`: elements, then addresses; `pool.words()` must lie at `constants`. */
export function addUnary(module: ModuleBuilder, name: UnaryName, family: Family, pool: ConstantPool): FunctionRef {
  const parameters = { n: 'i32', x: 'i32', y: 'i32', constants: 'i32' } as const;
  return module.function({ parameters, export: unaryName(name, family) }, (f, { n, x, y, constants }) => {
    const left = f.local('i32');
    const m = new VectorMath(f, family, pool, constants);
    f.get(n).i32(2).op('i32.shr_u').set(left);
    countDownIfAny(f, left, () => {
      f.get(y).get(x).memory('v128.load');
      UNARY[name](m);
      f.memory('v128.store');
      advance(f, x, 16);
      advance(f, y, 16);
    });
    f.get(n).i32(3).op('i32.and').set(left);
    countDownIfAny(f, left, () => {
      f.get(y).get(x).memory('v128.load32_zero');
      UNARY[name](m);
      f.storeLane('v128.store32_lane', 0);
      advance(f, x, 4);
      advance(f, y, 4);
    });
  });
}

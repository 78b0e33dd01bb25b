/** Two copies of straight-line code in turn. */
import { expect, it } from 'vitest';
import { ModuleBuilder } from '../src/index.ts';
import { inLockstep } from '../src/wasm/lockstep.ts';

it('both copies compute what the code says, each on its own elements; what is alike is read once', () => {
  const module = new ModuleBuilder();
  module.function({ parameters: { x: 'i32', y: 'i32', factor: 'i32' }, export: 'run' }, (f, { x, y, factor }) => {
    inLockstep(f, new Set([x, y]), 16, (both) => {
      const value = both.local('v128');
      both.get(x).memory('v128.load').tee(value).get(factor).memory('v128.load32_splat').op('f32x4.mul');
      both.get(value).op('f32x4.add').set(value);
      // A value that is on the stack stays when the local it came from is written.
      both.get(y).get(value).zero().set(value).get(value).op('f32x4.max').memory('v128.store');
    });
  });
  const memory = new WebAssembly.Memory({ initial: 1 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.build()), { env: { memory } });
  const floats = new Float32Array(memory.buffer);
  floats.set([1, -2, 3, -4, 5, -6, 7, -8, 9]);
  floats[16] = 2;
  (exports['run'] as (...parameters: number[]) => void)(0, 128, 64);
  expect(Array.from(floats.subarray(32, 41))).toEqual([3, 0, 9, 0, 15, 0, 21, 0, 0]);
});

it('refuses what is not straight-line code', () => {
  new ModuleBuilder().function({ parameters: { x: 'i32' } }, (f, { x }) => {
    expect(() => inLockstep(f, new Set([x]), 16, (both) => both.loop(() => {}))).toThrow('loop in lockstep');
    expect(() => inLockstep(f, new Set([x]), 16, (both) => both.get(x).brIf({} as never))).toThrow('brIf in lockstep');
  });
});

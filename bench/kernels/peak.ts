/** The most multiply-adds a second that generated code reaches here: registers only, as many chains as fit. */
import { type Family, ModuleBuilder } from '@grim/codegen';
import type { Candidate } from './measure.ts';

const ITERATIONS = 20_000;
const UNROLL = 4;

export function peak(family: Family): Candidate {
  const sums = family.relaxed ? 12 : 8;
  const module = new ModuleBuilder();
  module.function({ parameters: { seed: 'f32' }, results: ['f32'], export: 'peak' }, (f, { seed }) => {
    const left = f.local('i32');
    const [factor, addend, ...acc] = f.locals('v128', sums + 2);
    if (!factor || !addend) throw new Error('no locals');
    f.get(seed).op('f32x4.splat').tee(factor).set(addend);
    for (const sum of acc) f.get(factor).set(sum);
    f.i32(ITERATIONS).set(left);
    f.loop((again) => {
      for (let i = 0; i < UNROLL; i++)
        for (const sum of acc)
          if (family.relaxed) f.get(factor).get(addend).get(sum).op('f32x4.relaxed_madd').set(sum);
          else f.get(sum).get(factor).op('f32x4.mul').get(addend).op('f32x4.add').set(sum);
      f.get(left).i32(1).op('i32.sub').tee(left).brIf(again);
    });
    const [first, ...others] = acc;
    if (!first) throw new Error('no sums');
    f.get(first);
    for (const sum of others) f.get(sum).op('f32x4.add');
    f.lane('f32x4.extract_lane', 0);
  });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.build()), {
    env: { memory: new WebAssembly.Memory({ initial: 1 }) },
  });
  const run = exports['peak'] as (seed: number) => number;
  if (!(run(0.5) > 0.5)) throw new Error('peak: a wrong sum');
  return {
    name: `peak ${family.relaxed ? 'relaxed' : 'simd'}`,
    flops: 8 * sums * UNROLL * ITERATIONS,
    run: () => run(0.5),
  };
}

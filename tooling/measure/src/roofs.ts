/**
 * What this machine can do at best from WebAssembly on one thread, measured: multiply-adds a second in registers, with as
 * many chains as fit, and bytes a second that vector loads bring in from memory.
 */
import { type Family, ModuleBuilder } from '@grim/codegen';
import { median } from './statistics.ts';

const ITERATIONS = 20_000;
const UNROLL = 4;

/** A piece of work of known size. */
export interface Roof {
  /** Floating-point operations, or bytes, of one run. */
  readonly work: number;
  readonly run: () => void;
}

/** Multiply-adds in registers; each counts as two operations. */
export function peak(family: Family): Roof {
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
  const run = instantiate(module, 1)['peak'] as (seed: number) => number;
  if (!(run(0.5) > 0.5)) throw new Error('peak: a wrong sum');
  return { work: 8 * sums * UNROLL * ITERATIONS, run: () => run(0.5) };
}

/** Vector loads, one after the other, over the first bytes of one memory: one roof for each working set. */
function reads(sizes: readonly number[]): readonly Roof[] {
  const module = new ModuleBuilder();
  module.function({ parameters: { end: 'i32' }, results: ['f32'], export: 'reads' }, (f, { end }) => {
    const at = f.local('i32');
    const sums = f.locals('v128', 8);
    f.i32(0).set(at);
    for (const sum of sums) f.zero().set(sum);
    f.loop((again) => {
      for (const [i, sum] of sums.entries())
        f.get(sum)
          .get(at)
          .memory('v128.load', 16 * i)
          .op('v128.or')
          .set(sum);
      f.get(at).i32(128).op('i32.add').tee(at).get(end).op('i32.lt_u').brIf(again);
    });
    const [first, ...others] = sums;
    if (!first) throw new Error('no sums');
    f.get(first);
    for (const sum of others) f.get(sum).op('v128.or');
    f.lane('f32x4.extract_lane', 0);
  });
  const run = instantiate(module, Math.max(...sizes) / 65536)['reads'] as (end: number) => number;
  // Over and over what is small: a sample should take longer than the clock's steps.
  return sizes.map((bytes) => {
    const times = Math.max(1, Math.round(2 ** 25 / bytes));
    return {
      work: bytes * times,
      run: () => {
        for (let i = 0; i < times; i++) run(bytes);
      },
    };
  });
}

function instantiate(module: ModuleBuilder, pages: number): WebAssembly.Exports {
  const memory = new WebAssembly.Memory({ initial: pages });
  // Pages that nobody wrote may all be one page of zeros.
  new Uint8Array(memory.buffer).fill(1);
  return new WebAssembly.Instance(new WebAssembly.Module(module.build()), { env: { memory } }).exports;
}

/** What the roofs of this machine are. */
export interface Roofs {
  readonly gflops: number;
  /** By working set, smallest first: bytes and GB/s. */
  readonly bandwidth: readonly (readonly [bytes: number, gbps: number])[];
}

/** Bytes, in whole pages. */
const WORKING_SETS = [2 ** 18, 2 ** 22, 2 ** 26] as const;
const WARM_UP_MS = 60;

/** Samples of the roofs; take one between other measurements, so that all see the same weather. */
export class RoofSampler {
  readonly #roofs: readonly { readonly roof: Roof; readonly rates: number[] }[];

  readonly #clock: () => number;

  /** @param clock  milliseconds; default: the time on the wall */
  constructor(family: Family, clock: () => number = () => performance.now()) {
    this.#clock = clock;
    this.#roofs = [peak(family), ...reads(WORKING_SETS)].map((roof) => ({ roof, rates: [] }));
    // Optimised code comes after whole calls, and some time.
    for (const { roof } of this.#roofs)
      for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) roof.run();
  }

  sample(): void {
    for (const { roof, rates } of this.#roofs) {
      const start = this.#clock();
      roof.run();
      rates.push(roof.work / (this.#clock() - start) / 1e6);
    }
  }

  /** Medians of the samples. */
  roofs(): Roofs {
    const [{ rates = [] } = {}, ...memory] = this.#roofs;
    return { gflops: median(rates), bandwidth: memory.map((one, i) => [WORKING_SETS[i] ?? 0, median(one.rates)]) };
  }
}

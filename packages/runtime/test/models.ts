/** Small compiled models made by hand: a few kernels of the assembler, no compiler. */
import { type Local, ModuleBuilder } from '@grim/codegen';
import type { CompiledModel, Manifest, Segment } from '@grim/ir';

const PAGE = 65536;

/** `affine(x, y, weights, n)`: y[i] = weights[0] · x[i] + weights[1]; `add(a, b, y, n)`; `flag(x, y)`: y = x[0] > 0. */
function module(pages: number): Uint8Array<ArrayBuffer> {
  const builder = new ModuleBuilder({ minPages: pages, maxPages: pages });
  type I32 = Local<'i32'>;
  builder.function(
    { parameters: { x: 'i32', y: 'i32', weights: 'i32', n: 'i32' }, export: 'affine' },
    (f, { x, y, weights, n }) => {
      f.get(n).if(() => {
        f.loop((again) => {
          f.get(y).get(x).memory('f32.load').get(weights).memory('f32.load').op('f32.mul');
          f.get(weights).memory('f32.load', 4).op('f32.add').memory('f32.store');
          for (const pointer of [x, y] as I32[]) f.get(pointer).i32(4).op('i32.add').set(pointer);
          f.get(n).i32(1).op('i32.sub').tee(n).brIf(again);
        });
      });
    },
  );
  builder.function({ parameters: { a: 'i32', b: 'i32', y: 'i32', n: 'i32' }, export: 'add' }, (f, { a, b, y, n }) => {
    f.get(n).if(() => {
      f.loop((again) => {
        f.get(y).get(a).memory('f32.load').get(b).memory('f32.load').op('f32.add').memory('f32.store');
        for (const pointer of [a, b, y] as I32[]) f.get(pointer).i32(4).op('i32.add').set(pointer);
        f.get(n).i32(1).op('i32.sub').tee(n).brIf(again);
      });
    });
  });
  return builder.build();
}

function floats(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** Constants: [2, 1] as weights, then 56 bytes of table; then more weights when asked for. */
function constantsOf(extra: number): { constants: Uint8Array; segments: Segment[] } {
  const constants = new Uint8Array(64 + extra * 4);
  constants.set(floats(2, 1));
  for (let i = 8; i < 64; i++) constants[i] = i;
  for (let i = 0; i < extra; i++) constants.set(floats(Math.sin(i + 1)), 64 + 4 * i);
  const segments: Segment[] = [
    { kind: 'weights', bytes: 8 },
    { kind: 'tables', bytes: 56 },
  ];
  if (extra > 0) segments.push({ kind: 'weights', bytes: extra * 4 });
  return { constants, segments };
}

/** `describe` gets the first address of the arena; before it lie `made` bytes that a setup writes. */
function build(describe: (arena: number) => Partial<Manifest>, arena = 4096, extra = 0, made = 0): CompiledModel {
  const { constants, segments } = constantsOf(extra);
  const constantBytes = constants.length + made;
  const manifest: Manifest = {
    name: 'affine',
    producer: { name: 'by hand', version: '1', options: { tiles: 6, fast: true, mode: 'test' } },
    inputs: [],
    outputs: [],
    states: [],
    constantBytes,
    arenaBytes: Math.ceil((constantBytes + arena) / PAGE) * PAGE - constantBytes,
    kernels: [
      { name: 'affine', parameters: 4 },
      { name: 'add', parameters: 4 },
    ],
    steps: [],
    layers: [],
    ...describe(constantBytes),
  };
  const wasm = module((manifest.constantBytes + manifest.arenaBytes) / PAGE);
  return { manifest, wasm: { relaxed: wasm, plain: wasm }, constants, segments };
}

/** y = 2x + 1 of [2, 3]. `extra` weights lie about unused, to make the file longer. */
export function affine(extra = 0): CompiledModel {
  return build(
    (at) => ({
      inputs: [{ name: 'x', dtype: 'float32', shape: [2, 3], offset: at }],
      outputs: [{ name: 'y', dtype: 'float32', shape: [2, 3], offset: at + 64, labels: ['a', 'b', 'c'] }],
      steps: [0, at, at + 64, 0, 6],
      layers: [{ node: 'y', op: 'Mul', m: 1, k: 1, n: 6, density: 1, kernel: 'affine', macs: 6 }],
    }),
    128,
    extra,
  );
}

/** sum = state + x, fed back as the next state; doubled = 2 sum + 1. `times` repeats the doubling, to take time. */
export function counter(times = 1, n = 4): CompiledModel {
  const value = (name: string, offset: number) => ({ name, dtype: 'float32' as const, shape: [n], offset });
  return build((at) => {
    const [x, state, sum, doubled] = [0, 1, 2, 3].map((i) => at + i * 4 * n) as [number, number, number, number];
    return {
      name: 'counter',
      inputs: [value('x', x), value('state', state)],
      outputs: [value('sum', sum), value('doubled', doubled)],
      states: [{ input: 'state', output: 'sum' }],
      steps: [1, x, state, sum, n, ...Array.from({ length: times }, () => [0, sum, doubled, 0, n]).flat()],
    };
  }, 16 * n);
}

/** y = 2x + 1 of `n` numbers, in `pieces` calls that may run at the same time; `times` groups one after the other. */
export function grouped(pieces = 3, times = 2, n: number = 64 * pieces): CompiledModel {
  const each = n / pieces;
  return build((at) => {
    const calls = Array.from({ length: pieces }, (_, i) => [
      0,
      at + 4 * i * each,
      at + 4 * (n + i * each),
      0,
      each,
    ]).flat();
    return {
      name: 'grouped',
      inputs: [{ name: 'x', dtype: 'float32', shape: [n], offset: at }],
      outputs: [{ name: 'y', dtype: 'float32', shape: [n], offset: at + 4 * n }],
      steps: Array.from({ length: times }, () => [-2, calls.length, ...calls]).flat(),
    };
  }, 8 * n);
}

/** y = flag ? 2x + 1 : x + x. */
export function branching(): CompiledModel {
  return build((at) => {
    const then = [0, at, at + 64, 0, 2];
    const otherwise = [1, at, at, at + 64, 2];
    return {
      name: 'branching',
      inputs: [
        { name: 'x', dtype: 'float32', shape: [2], offset: at },
        { name: 'flag', dtype: 'bool', shape: [], offset: at + 32 },
      ],
      outputs: [{ name: 'y', dtype: 'float32', shape: [2], offset: at + 64 }],
      steps: [-1, at + 32, then.length, otherwise.length, ...then, ...otherwise],
    };
  });
}

/** y = 5x + 3: the setup makes [5, 3] of the weights [2, 1]. */
export function prepared(): CompiledModel {
  return build(
    (at) => ({
      name: 'prepared',
      inputs: [{ name: 'x', dtype: 'float32', shape: [2], offset: at }],
      outputs: [{ name: 'y', dtype: 'float32', shape: [2], offset: at + 64 }],
      setup: { bytes: 64, steps: [0, 0, 64, 0, 2] },
      steps: [0, at, at + 64, 64, 2],
    }),
    128,
    0,
    64,
  );
}

/** A valid model whose kernel never comes back once its input is 1: what no check at load can tell. */
export function endless(): CompiledModel {
  const builder = new ModuleBuilder({ minPages: 1, maxPages: 1 });
  builder.function({ parameters: { x: 'i32' }, export: 'spin' }, (f, { x }) => {
    f.loop((again) => {
      f.get(x).memory('f32.load').f32(1).op('f32.eq').brIf(again);
    });
  });
  const wasm = builder.build();
  const manifest: Manifest = {
    name: 'endless',
    producer: { name: 'by hand', version: '1', options: {} },
    inputs: [{ name: 'x', dtype: 'float32', shape: [1], offset: 0 }],
    outputs: [{ name: 'y', dtype: 'float32', shape: [1], offset: 0 }],
    states: [],
    constantBytes: 0,
    arenaBytes: 65536,
    kernels: [{ name: 'spin', parameters: 1 }],
    steps: [0, 0],
    layers: [],
  };
  return { manifest, wasm: { relaxed: wasm, plain: wasm }, constants: new Uint8Array(), segments: [] };
}

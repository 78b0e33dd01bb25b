import { pack } from '@grim/codegen';
import { beforeEach, describe, expect, expectTypeOf, it, vi } from 'vitest';
import { loadModel, type Model } from '../src/index.ts';
import { load } from '../src/load.ts';
import { SYSTEM } from '../src/system.ts';
import { affine, branching, counter, grouped, prepared } from './models.ts';
import { Random } from './random.ts';

const X = Float32Array.of(1, 2, 3, 4, 5, 6);
const Y = Float32Array.of(3, 5, 7, 9, 11, 13);
const code = (name: string) => expect.objectContaining({ name: 'RuntimeError', code: `GRIM_RUNTIME_${name}` });
type Affine = Model<{ x: Float32Array }, { y: Float32Array }>;

let model: Affine;
beforeEach(async () => {
  model = await loadModel(pack(affine()));
});

describe('a model', () => {
  it('says what it is and what it takes', () => {
    expect(model).toMatchObject({ device: 'wasm', simd: 'relaxed', threads: 1, reasons: [] });
    expect(model.inputs.x).toEqual({ name: 'x', dtype: 'float32', shape: [2, 3], offset: expect.any(Number) });
    expect(model.outputs.y).toMatchObject({ shape: [2, 3], labels: ['a', 'b', 'c'] });
    expect(model.bytes).toEqual({ constants: 64, arena: 65472, memory: 65536 });
    expect(model.manifest.producer.options).toEqual({ tiles: 6, fast: true, mode: 'test' });
  });
  it('runs, twice alike', async () => {
    for (let i = 0; i < 2; i++) expect((await model.run({ x: X })).y).toEqual(Y);
  });
  it('takes a branch by its condition', async () => {
    using choice = await loadModel(pack(branching()));
    const x = Float32Array.of(1, 5);
    for (const [flag, y] of [
      [1, [3, 11]],
      [0, [2, 10]],
      [255, [3, 11]],
    ] as const)
      expect(await choice.run({ x, flag: Uint8Array.of(flag) })).toEqual({ y: Float32Array.from(y) });
  });
  it('computes with constants that the setup made, in every run', async () => {
    using made = await loadModel(pack(prepared()), { simd: 'plain' });
    for (let i = 0; i < 3; i++)
      expect(await made.run({ x: Float32Array.of(1, 2) })).toEqual({ y: Float32Array.of(8, 13) });
    expect(made.bytes.constants).toBe(128);
  });
  it.each(['f16', 'bf16', 'int8'] as const)('computes with weights stored as %s', async (weights) => {
    using narrow = await loadModel(pack(affine(300), { weights }));
    const { y } = await narrow.run({ x: X });
    (y as Float32Array).forEach((value, i) => {
      expect(Math.abs(value - (Y[i] ?? 0))).toBeLessThan(0.05);
    });
  });
  it('is typed', () => {
    expectTypeOf(model.run).parameter(0).toEqualTypeOf<{ x: Float32Array }>();
    expectTypeOf<Awaited<ReturnType<Affine['run']>>['y']>().toEqualTypeOf<Float32Array>();
    expectTypeOf(model.device).toEqualTypeOf<'wasm'>();
    expectTypeOf(model.simd).toEqualTypeOf<'wide' | 'relaxed' | 'plain'>();
    expectTypeOf<Affine>().toExtend<Disposable>();
    // @ts-expect-error a misspelt input
    void model.run({ z: X }).catch(() => {});
    // @ts-expect-error another kind of array
    void model.run({ x: new Float64Array(6) }).catch(() => {});
    // @ts-expect-error a misspelt option
    void loadModel(new Uint8Array(), { onprogress: () => {} }).catch(() => {});
    // @ts-expect-error there is no such device
    void loadModel(new Uint8Array(), { device: 'cpu' }).catch(() => {});
  });
});

describe('inputs', () => {
  const detached = new Float32Array(6);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const shrunk = new ArrayBuffer(24, { maxByteLength: 32 });
  const view = new Float32Array(shrunk, 0, 6);
  shrunk.resize(8);
  it.each<[string, unknown]>([
    ['no object', undefined],
    ['null', null],
    ['a number', 4],
    ['text', 'x'],
    ['an array in place of the object', X],
    ['no input', {}],
    ['undefined', { x: undefined }],
    ['null as input', { x: null }],
    ['a plain list', { x: [1, 2, 3, 4, 5, 6] }],
    ['a number as input', { x: 1 }],
    ['a DataView', { x: new DataView(new ArrayBuffer(24)) }],
    ['a buffer', { x: new ArrayBuffer(24) }],
    ['Float64Array', { x: new Float64Array(6) }],
    ['Int32Array', { x: new Int32Array(6) }],
    ['BigInt64Array', { x: new BigInt64Array(6) }],
    ['an array too short', { x: new Float32Array(5) }],
    ['an array too long', { x: new Float32Array(7) }],
    ['an empty array', { x: new Float32Array() }],
    ['a detached array', { x: detached }],
    ['an array whose buffer shrank', { x: view }],
    ['a tensor object', { x: { data: X, shape: [2, 3] } }],
    ['a promise', { x: Promise.resolve(X) }],
    ['a fake by tag', { x: { [Symbol.toStringTag]: 'Float32Array', length: 6 } }],
    ['an inherited input', Object.create({ x: X })],
    ['one too many', { x: X, z: X }],
    ['a name of Object.prototype', { x: X, constructor: X }],
  ])('R7: %s is refused, and the next run is right', async (_, inputs) => {
    await expect(model.run(inputs as never)).rejects.toEqual(code('BAD_INPUT'));
    expect((await model.run({ x: X })).y).toEqual(Y);
  });
  it.each<[string, () => Float32Array]>([
    ['a view at an offset', () => new Float32Array(new Float32Array([9, 9, ...X]).buffer, 8, 6)],
    [
      'shared memory',
      () => {
        const shared = new Float32Array(new SharedArrayBuffer(24));
        shared.set(X);
        return shared;
      },
    ],
    [
      'a buffer that can be resized',
      () => {
        const array = new Float32Array(new ArrayBuffer(24, { maxByteLength: 64 }));
        array.set(X);
        return array;
      },
    ],
    ['a subclass', () => new (class Mine extends Float32Array {})(X)],
  ])('R7: %s is taken', async (_, make) => expect((await model.run({ x: make() })).y).toEqual(Y));
  it('R7: NaN and infinities pass as arithmetic says, and touch no other element', async () => {
    const { y } = await model.run({ x: Float32Array.of(Number.NaN, Infinity, -Infinity, 4, 3e38, -0) });
    expect(y).toEqual(Float32Array.of(Number.NaN, Infinity, -Infinity, 9, Infinity, 1));
  });
  it('R7: messages say what came, what is needed, and what may be meant', async () => {
    using named = await loadModel(pack(counter()));
    await expect(named.run({ sun: X, x: X })).rejects.toThrow('no input "sun" among "x", "state".');
    await expect(named.run({ x: X, stat: X })).rejects.toThrow('Did you mean "state"?');
    // @ts-expect-error the compiler says so too
    await expect(model.run({})).rejects.toThrow('input "x" is missing, float32 [2, 3] needs Float32Array.');
    await expect(model.run({ x: new Float32Array(7) })).rejects.toThrow('has 7 elements, float32 [2, 3] needs 6.');
  });
});

describe('outputs', () => {
  it('R11: are copies: later runs and writes do not touch them', async () => {
    const first = await model.run({ x: X });
    await model.run({ x: new Float32Array(6) });
    expect(first.y).toEqual(Y);
    first.y.fill(0);
    expect((await model.run({ x: X })).y).toEqual(Y);
  });
  it('go into the arrays of the caller, which may be the input itself', async () => {
    const outputs = { y: new Float32Array(6) };
    expect(await model.run({ x: X }, { outputs })).toBe(outputs);
    expect(outputs.y).toEqual(Y);
    const both = X.slice();
    await model.run({ x: both }, { outputs: { y: both } });
    expect(both).toEqual(Y);
  });
  it('R7: arrays of the caller that do not fit are refused before anything runs', async () => {
    for (const outputs of [{ y: new Float32Array(5) }, { y: [1] }, { z: X }, 5])
      await expect(model.run({ x: X }, { outputs } as never)).rejects.toEqual(code('BAD_INPUT'));
  });
});

describe('states', () => {
  const one = Float32Array.of(1, 2, 3, 4);
  let states: Model;
  beforeEach(async () => {
    states = await loadModel(pack(counter()));
  });
  const sum = async (inputs: Record<string, Float32Array> = { x: one }) =>
    Array.from((await states.run(inputs))['sum'] as Float32Array);
  it('begin as zeros, are kept between runs, may be given, and are reset', async () => {
    expect(await sum()).toEqual([1, 2, 3, 4]);
    expect(await sum()).toEqual([2, 4, 6, 8]);
    expect(await sum({ x: one, state: Float32Array.of(10, 0, 0, 0) })).toEqual([11, 2, 3, 4]);
    expect(await sum()).toEqual([12, 4, 6, 8]);
    states.reset();
    expect(await sum()).toEqual([1, 2, 3, 4]);
    await states.warmup();
    expect(await sum()).toEqual([2, 4, 6, 8]);
  });
  it('are not touched by a run that is refused', async () => {
    await sum();
    await expect(states.run({})).rejects.toEqual(code('BAD_INPUT'));
    expect(await sum()).toEqual([2, 4, 6, 8]);
  });
});

describe('one at a time', () => {
  /** A model whose runs with a signal pause several times; the clock counts calls, so that no time passes. */
  const slow = async (): Promise<Model> => {
    let time = 0;
    return load(pack(counter(40)), {}, { ...SYSTEM, now: () => (time += 5) });
  };
  const ones = (value: number) => ({ x: new Float32Array(4).fill(value) });
  const never = () => new AbortController().signal;
  it('R8: runs that are asked for at once wait, in order, with copies of their inputs', async () => {
    const m = await slow();
    const inputs = ones(1);
    const runs = [m.run(inputs, { signal: never() })];
    for (let i = 0; i < 5; i++) {
      const { x } = inputs;
      const copy = { x };
      runs.push(i % 2 ? m.run(copy) : m.run(copy, { signal: never() }));
    }
    inputs.x.fill(99);
    expect((await Promise.all(runs)).map((r) => (r['sum'] as Float32Array)[0])).toEqual([1, 2, 3, 4, 5, 6]);
  });
  it('R8: a run inside of a getter of another run does not disturb it', async () => {
    let inner: Promise<{ y: Float32Array }> | undefined;
    const outer = model.run({
      get x() {
        inner ??= model.run({ x: new Float32Array(6) });
        return X;
      },
    });
    expect((await outer).y).toEqual(Y);
    expect((await inner)?.y).toEqual(new Float32Array(6).fill(1));
  });
  it('an aborted run rejects with the reason, at most one step late, keeps its states, and the next run is right', async () => {
    const m = await slow();
    await m.run(ones(1));
    const controller = new AbortController();
    const run = m.run(ones(5), { signal: controller.signal });
    controller.abort('enough');
    await expect(run).rejects.toBe('enough');
    await expect(m.run(ones(5), { signal: AbortSignal.abort('before') })).rejects.toBe('before');
    expect(((await m.run(ones(1)))['sum'] as Float32Array)[0]).toBe(2);
  });
  it('R8: after dispose every call is refused, a second dispose does nothing, waiting runs are rejected', async () => {
    const m = await slow();
    const running = m.run(ones(1), { signal: never() });
    const waiting = m.run(ones(1));
    const results = Promise.allSettled([running, waiting]);
    m.dispose();
    m.dispose();
    for (const result of await results) expect(result).toMatchObject({ reason: code('DISPOSED') });
    await expect(m.run(ones(1))).rejects.toEqual(code('DISPOSED'));
    await expect(m.warmup()).rejects.toEqual(code('DISPOSED'));
    expect(() => m.reset()).toThrow('disposed');
  });
  it('`using` disposes', async () => {
    let kept: Model;
    {
      using m = await loadModel(pack(affine()));
      kept = m;
    }
    await expect(kept.run({ x: X })).rejects.toEqual(code('DISPOSED'));
  });
  it('R8: 300 seeded mixtures of runs, aborts, resets and disposal end each in a right result or a reason', async () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = new Random(seed * 7919);
      const m = await slow();
      const work: Promise<string>[] = [];
      for (let i = 0; i < 8; i++) {
        const value = random.int(50);
        const controller = new AbortController();
        const state = new Float32Array(4).fill(i);
        const run = m.run({ ...ones(value), state }, random.int(2) ? { signal: controller.signal } : {});
        work.push(
          run.then(
            (r) => ((r['doubled'] as Float32Array)[3] === 2 * (value + i) + 1 ? 'right' : `wrong at seed ${seed}`),
            (error) => (error === 'stop' || error.code === 'GRIM_RUNTIME_DISPOSED' ? 'refused' : String(error)),
          ),
        );
        if (random.int(4) === 0) controller.abort('stop');
        if (random.int(6) === 0) m.reset();
        if (random.int(3) === 0) await new Promise((resolve) => setTimeout(resolve));
        if (random.int(30) === 0) {
          m.dispose();
          break;
        }
      }
      for (const result of await Promise.all(work)) expect(['right', 'refused']).toContain(result);
    }
  });
  it.each([
    ['goes back', -1000],
    ['stands still', 0],
    ['leaps', 1e9],
  ])('R14: a clock that %s does not matter', async (_, step) => {
    let time = 1e6;
    const m: Model = await load(pack(counter(40)), {}, { ...SYSTEM, now: () => (time += step) });
    const { sum } = await m.run(ones(2), { signal: never() });
    expect(sum).toEqual(new Float32Array(4).fill(2));
  });
});

describe('the engine', () => {
  const bytes = pack(affine());
  const without = (...missing: string[]) => {
    // The probes differ in length: relaxed is the longer one.
    const validate = (probe: Uint8Array<ArrayBuffer>) =>
      !(probe.length < 60 && missing.includes(probe.length > 36 ? 'relaxed' : 'plain')) && SYSTEM.validate(probe);
    return { ...SYSTEM, validate };
  };
  it('runs the calls of a group in order', async () => {
    using m = await loadModel(pack(grouped()));
    const x = Float32Array.from({ length: 192 }, (_, i) => i);
    expect((await m.run({ x }))['y']).toEqual(x.map((value) => 2 * value + 1));
  });
  it('R13: without relaxed SIMD the plain module runs, and the model says why', async () => {
    const m = await load(bytes, {}, without('relaxed'));
    expect(m).toMatchObject({ simd: 'plain', reasons: ['simd: this engine has no relaxed SIMD'] });
    expect((await m.run({ x: X }))['y']).toEqual(Y);
  });
  it('R13: without SIMD, or without the family that is asked for, it is refused by name', async () => {
    await expect(load(bytes, {}, without('relaxed', 'plain'))).rejects.toEqual(code('MISSING_FEATURE'));
    await expect(load(bytes, { simd: 'relaxed' }, without('relaxed'))).rejects.toThrow('relaxed');
    expect((await load(bytes, { simd: 'plain' }, SYSTEM)).simd).toBe('plain');
  });
  it('R13: without WebAssembly, structuredClone or Float16Array', async () => {
    vi.stubGlobal('structuredClone', undefined);
    expect((await (await load(bytes, {}, SYSTEM)).run({ x: X }))['y']).toEqual(Y);
    vi.stubGlobal('WebAssembly', undefined);
    await expect(load(bytes, {}, SYSTEM)).rejects.toEqual(code('MISSING_FEATURE'));
    vi.unstubAllGlobals();
  });
  it('R13: where compiling from bytes is forbidden, the error names the policy and the way out', async () => {
    const compile = () => Promise.reject(new WebAssembly.CompileError('Wasm code generation disallowed by embedder'));
    const refused = load(bytes, {}, { ...SYSTEM, compile });
    await expect(refused).rejects.toEqual(code('MISSING_FEATURE'));
    await expect(refused).rejects.toThrow(/wasm-unsafe-eval.*--split/);
  });
  it('a family that fails the self-test is not used, and when all fail the model is refused', async () => {
    const wrong = new ModuleOf(-1);
    let calls = 0;
    const instantiate: typeof SYSTEM.instantiate = async (module, imports) =>
      calls++ === 0 ? wrong.instance(await SYSTEM.instantiate(module, imports)) : SYSTEM.instantiate(module, imports);
    const m = await load(bytes, {}, { ...SYSTEM, instantiate });
    expect(m).toMatchObject({ simd: 'plain', reasons: ['simd: relaxed failed the self-test'] });
    expect((await m.run({ x: X }))['y']).toEqual(Y);
    const all = {
      ...SYSTEM,
      instantiate: async (...args: Parameters<typeof SYSTEM.instantiate>) =>
        wrong.instance(await SYSTEM.instantiate(...args)),
    };
    await expect(load(bytes, {}, all)).rejects.toMatchObject({
      code: 'GRIM_RUNTIME_SELF_TEST',
      details: { failure: { output: 'y' } },
    });
  });
  it('R4: memory that cannot be had is an error that says how much', async () => {
    const memory = () => {
      throw new RangeError('could not allocate memory');
    };
    await expect(load(bytes, {}, { ...SYSTEM, memory })).rejects.toMatchObject({
      code: 'GRIM_RUNTIME_OUT_OF_MEMORY',
      details: { bytes: 65536 },
    });
    await expect(load(bytes, {}, { ...SYSTEM, allocate: memory })).rejects.toEqual(code('OUT_OF_MEMORY'));
  });
  it('a kernel that traps is an error with a code, and leaves the model usable', async () => {
    const model_ = affine();
    const broken: typeof SYSTEM.instantiate = async (module, imports) => {
      const instance = await SYSTEM.instantiate(module, imports);
      const kernel = instance.exports['affine'] as (...args: number[]) => void;
      const trap = (x: number, y: number, w: number, n: number) => {
        if (traps) kernel(x, 2 ** 32 - 1, w, n);
        else kernel(x, y, w, n);
      };
      return { exports: { ...instance.exports, affine: trap } };
    };
    let traps = false;
    const m = await load(pack(model_), {}, { ...SYSTEM, instantiate: broken });
    traps = true;
    await expect(m.run({ x: X })).rejects.toEqual(code('TRAP'));
    traps = false;
    expect((await m.run({ x: X }))['y']).toEqual(Y);
  });
});

/** Kernels that compute something else: the number of elements is changed by `by`. */
class ModuleOf {
  readonly #by: number;
  constructor(by: number) {
    this.#by = by;
  }
  instance({ exports }: WebAssembly.Instance): WebAssembly.Instance {
    const kernel = exports['affine'] as (...args: number[]) => void;
    const affine = (x: number, y: number, w: number, n: number) => kernel(x, y, w, n + this.#by);
    return { exports: { ...exports, affine } };
  }
}

describe('memory', () => {
  it('R6: is exactly the plan, not shared, never grows; more than the budget of a phone is refused before it is asked for', async () => {
    const phone = 384 * 2 ** 20;
    const memories: WebAssembly.Memory[] = [];
    const system: typeof SYSTEM = {
      ...SYSTEM,
      memory(pages) {
        memories.push(SYSTEM.memory(pages));
        return memories.at(-1) as WebAssembly.Memory;
      },
    };
    for (const compiled of [affine(), affine(100_000), counter(1, 50_000)]) {
      const m: Model = await load(pack(compiled), { maxBytes: phone }, system);
      const memory = memories.pop() as WebAssembly.Memory;
      const { constantBytes, arenaBytes } = compiled.manifest;
      expect(memory.buffer).toBeInstanceOf(ArrayBuffer);
      expect(memory.buffer.byteLength).toBe(Math.ceil((constantBytes + arenaBytes) / 65536) * 65536);
      expect(m.bytes.memory).toBe(memory.buffer.byteLength);
      expect(() => memory.grow(1)).toThrow(RangeError);
    }
    const needed = pack(affine(100_000));
    expect(await load(needed, { maxBytes: 7 * 65536 }, system)).toHaveProperty('device', 'wasm');
    memories.length = 0;
    await expect(load(needed, { maxBytes: 7 * 65536 - 1 }, system)).rejects.toEqual(code('OUT_OF_MEMORY'));
    expect(memories).toEqual([]);
  });
  it('R9: 10,000 runs into own arrays: the memory does not grow and the heap stays', async () => {
    const outputs = { y: new Float32Array(6) };
    const inputs = { x: X };
    const run = async (n: number) => {
      for (let i = 0; i < n; i++) await model.run(inputs, { outputs });
    };
    await run(1000);
    globalThis.gc?.();
    const before = process.memoryUsage();
    await run(10_000);
    globalThis.gc?.();
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(2 ** 20);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(16 * 2 ** 20);
    expect(model.bytes.memory).toBe(65536);
  });
  it('R10: 1,000 times loaded, run and disposed: nothing stays', async () => {
    const bytes = pack(affine());
    const cycle = async () => {
      using m = await loadModel(bytes);
      await m.run({ x: X });
    };
    for (let i = 0; i < 100; i++) await cycle();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 1000; i++) await cycle();
    // 1,000 memories of 64 KiB and their modules would be far more.
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
  });
});

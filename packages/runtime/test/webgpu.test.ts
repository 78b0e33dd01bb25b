/** `@grim/runtime/webgpu`: on an adapter where there is one, and on a mock device that fails where it is told to. */
import { existsSync } from 'node:fs';
import { type CompileOptions, compile, pack } from '@grim/codegen';
import { fromFloat16, graph, toFloat16 } from '@grim/ir';
import { afterEach, describe, expect, it } from 'vitest';
import { loadModel as loadCore } from '../src/index.ts';
import { loadModel } from '../src/webgpu.ts';
import { pieces } from '../src/webgpu-pace.ts';
import { installGpu, type Mock, type MockOptions, mockDevice } from './gpu-mock.ts';

const network = graph('scale', (b) => {
  const w = b.weight('w', { dtype: 'float32', shape: [4], data: Float32Array.of(1, 2, 3, 4) });
  b.output('y', b.add('Relu', [b.add('Mul', [b.input('x', 'float32', [1, 4]), w])]));
});
const file = pack(compile(network, { targets: ['wasm', 'webgpu'] }));
const X = Float32Array.of(1, -1, 1, 2);
const Y = Float32Array.of(1, 0, 3, 8);
const code = (name: string) => expect.objectContaining({ code: `GRIM_RUNTIME_${name}` });

/** What the shaders would compute. */
function compute(arena: Uint8Array): void {
  const { inputs, outputs } = program();
  const floats = new Float32Array(arena.buffer);
  for (let i = 0; i < 4; i++) floats[outputs / 4 + i] = Math.max(0, (i + 1) * (floats[inputs / 4 + i] ?? 0));
}

function program(): { readonly inputs: number; readonly outputs: number } {
  const { manifest, constants } = compile(network, { targets: ['wasm', 'webgpu'] });
  const { offset = 0, bytes = 0 } = manifest.webgpu ?? {};
  const parsed = JSON.parse(new TextDecoder().decode(constants.subarray(offset, offset + bytes)));
  return { inputs: parsed.inputs[0] - parsed.constantBytes, outputs: parsed.outputs[0] - parsed.constantBytes };
}

let restore = () => {};
afterEach(() => restore());
const mocked = (options: MockOptions = {}) => mockDevice({ compute, ...options });
const install = (...list: Parameters<typeof installGpu>[0]) => {
  restore = installGpu(list);
};

describe('files with shaders', () => {
  it('run in the core, which skips them', async () => {
    using model = await loadCore(file);
    expect((await model.run({ x: X }))['y']).toEqual(Y);
  });

  it('are what WebGPU needs: others say so', async () => {
    const { device } = mocked();
    await expect(loadModel(pack(compile(network)), { device: 'webgpu', gpu: device })).rejects.toEqual(
      code('MISSING_FEATURE'),
    );
  });
});

describe('a mock device', () => {
  it('computes what the model says, one encoder a run, the same buffers for all', async () => {
    const mock = mocked();
    install(mock);
    using model = await loadModel(file);
    expect([model.device, model.reasons]).toEqual(['webgpu', []]);
    const created = mock.calls.get('createBuffer');
    for (let i = 0; i < 3; i++) expect((await model.run({ x: X }))['y']).toEqual(Y);
    expect(mock.calls.get('createBuffer')).toBe(created);
    // One of the self-test.
    expect(mock.calls.get('createCommandEncoder')).toBe(4);
    expect(mock.calls.get('submit')).toBe(4);
  });

  it('U9: a run creates no buffer, no bind group, no pipeline: 1,000 runs leave nothing behind', async () => {
    const mock = mocked();
    install(mock);
    using model = await loadModel(file);
    const y = new Float32Array(4);
    await model.run({ x: X }, { outputs: { y } });
    const CREATED = ['createBuffer', 'createBindGroup', 'createComputePipelineAsync'];
    const before = CREATED.map((call) => mock.calls.get(call));
    expect(before.every((count) => (count ?? 0) > 0)).toBe(true);
    const [alive, bytes] = [mock.alive(), model.gpuBytes];
    for (let i = 0; i < 1000; i++) await model.run({ x: X }, { outputs: { y } });
    expect(CREATED.map((call) => mock.calls.get(call))).toEqual(before);
    expect([mock.alive(), model.gpuBytes]).toEqual([alive, bytes]);
    expect(y).toEqual(Y);
  });

  it('U10: more work than a device should do at a time is several submits', async () => {
    const wide = graph('wide', (b) => {
      let x = b.input('x', 'float32', [1, 300_000]);
      for (let i = 0; i < 6; i++) {
        const folded = b.add('ReduceSum', [x], { keepdims: 1 });
        x = b.add('Mul', [x, folded]);
      }
      b.output('y', x);
    });
    const mock = mockDevice();
    const grim = pack(compile(wide, { targets: ['wasm', 'webgpu'] }));
    // Values overflow, so that the self-test expects none of them and passes on a device that computes nothing.
    using model = await loadModel(grim, { device: 'webgpu', gpu: mock.device });
    expect(model.device).toBe('webgpu');
    expect(mock.calls.get('submit')).toBe(2);
    expect(mock.calls.get('createCommandEncoder')).toBe(2);
  });

  it('U1: no navigator.gpu, no adapter, a device lost on arrival: WebAssembly, and why', async () => {
    restore = installGpu([]);
    using none = await loadModel(file);
    expect([none.device, none.reasons]).toEqual(['wasm', ['device: wasm, webgpu: no adapter.']]);
    expect((await none.run({ x: X }))['y']).toEqual(Y);
    restore();
    Object.defineProperty(globalThis, 'navigator', { configurable: true, value: {} });
    await expect(loadModel(file, { device: 'webgpu' })).rejects.toEqual(code('NO_DEVICE'));
    const lost = mocked();
    lost.lose('unknown');
    install(lost);
    using model = await loadModel(file);
    expect(model.device).toBe('wasm');
    expect(model.reasons.join()).toContain('the device was lost (unknown)');
  });

  const CALLS = [
    'createBuffer',
    'createComputePipelineAsync',
    'writeBuffer',
    'createCommandEncoder',
    'submit',
    'mapAsync',
  ];
  for (const call of CALLS)
    for (const what of ['lose', 'throw'] as const)
      it(`U2, U6: ${call} that ${what === 'lose' ? 'loses the device' : 'throws'}, at the first and at later times`, async () => {
        for (let count = 1; count <= 6; count++) {
          const mock = mocked({ at: { call, count, what } });
          install(mock);
          using model = await loadModel(file);
          // Right whatever happens, while it is loaded or in one of two runs.
          expect((await model.run({ x: X }))['y']).toEqual(Y);
          expect((await model.run({ x: X }))['y']).toEqual(Y);
          const happened = (mock.calls.get(call) ?? 0) >= count;
          expect(model.device).toBe(happened ? 'wasm' : 'webgpu');
          expect(model.reasons.length).toBe(happened ? 1 : 0);
          restore();
        }
      });

  it('U2: with device webgpu a lost device is an error, and the next run takes another one, three times', async () => {
    const mocks = [0, 1, 2, 3, 4].map(() => mocked());
    install(...mocks);
    using model = await loadModel(file, { device: 'webgpu' });
    for (const mock of mocks.slice(0, 4)) {
      mock.lose('unknown');
      await expect(model.run({ x: X })).rejects.toEqual(code('DEVICE_LOST'));
    }
    await expect(model.run({ x: X })).rejects.toEqual(code('DEVICE_LOST'));
    expect(mocks[4]?.calls.size).toBe(0);
  });

  it('U3: a model that was disposed asks for no other device', async () => {
    const [first, second] = [mocked(), mocked()];
    install(first, second);
    const model = await loadModel(file);
    model.dispose();
    expect(first.destroyed()).toBe(true);
    await expect(model.run({ x: X })).rejects.toEqual(code('DISPOSED'));
    expect(second.calls.size).toBe(0);
  });

  it('U4: memory that the device refuses afterwards', async () => {
    const at = { call: 'createBuffer', count: 2, what: 'complain' } as const;
    await expect(loadModel(file, { device: 'webgpu', gpu: mocked({ at }).device })).rejects.toEqual(
      code('OUT_OF_MEMORY'),
    );
  });

  it('U4, C12: a buffer beyond the limits is named, with the limit', async () => {
    const { device } = mocked({ limits: { maxStorageBufferBindingSize: 64 } });
    await expect(loadModel(file, { device: 'webgpu', gpu: device })).rejects.toThrow(
      /a storage buffer of \d+ bytes, this device allows 64/,
    );
  });

  it('U5: pipelines that are never built', async () => {
    install(mocked({ hangs: true }));
    using model = await loadModel(file, { patience: 20 });
    expect([model.device, model.reasons.length]).toEqual(['wasm', 1]);
    expect(model.reasons[0]).toContain('no answer');
  });

  it('U7: a device that computes something else is not used', async () => {
    install(mocked({ compute: () => {} }));
    using model = await loadModel(file);
    expect(model.device).toBe('wasm');
    expect(model.reasons[0]).toContain('self-test');
  });

  it('U9: no buffer is left after dispose, nor after a failure', async () => {
    const mock = mocked();
    install(mock);
    const model = await loadModel(file);
    expect(model.gpuBytes).toBe(mock.alive());
    for (let i = 0; i < 20; i++) await model.run({ x: X });
    expect(model.gpuBytes).toBe(mock.alive());
    model.dispose();
    expect(mock.alive()).toBe(0);
    const failing = mocked({ at: { call: 'mapAsync', count: 1, what: 'throw' } });
    await expect(loadModel(file, { device: 'webgpu', gpu: failing.device })).rejects.toEqual(code('SHADER'));
    expect(failing.alive()).toBe(0);
  });

  it("U12: a caller's device stays, and serves a second model after the first was disposed", async () => {
    const mock = mocked();
    const first = await loadModel(file, { gpu: mock.device });
    first.dispose();
    expect(mock.destroyed()).toBe(false);
    using second = await loadModel(file, { gpu: mock.device });
    expect((await second.run({ x: X }))['y']).toEqual(Y);
  });

  it('R7, R8: inputs are checked and copied at the call; runs go one after the other', async () => {
    install(mocked());
    using model = await loadModel(file);
    await expect(model.run({ x: new Float32Array(3) })).rejects.toEqual(code('BAD_INPUT'));
    await expect(model.run({ z: X })).rejects.toEqual(code('BAD_INPUT'));
    const own = X.slice();
    const y = new Float32Array(4);
    const runs = [model.run({ x: own }), model.run({ x: X.map((x) => 2 * x) }, { outputs: { y } })];
    own.fill(9);
    expect((await runs[0])?.['y']).toEqual(Y);
    await runs[1];
    expect(y).toEqual(Y.map((value) => 2 * value));
  });

  it('an unknown device is refused', async () => {
    await expect(loadModel(file, { device: 'cuda' as 'wasm' })).rejects.toEqual(code('NO_DEVICE'));
  });
});

describe('what a device allows', () => {
  /** Float16 holds them; its product with a vector has texts for more than one kind of device. */
  const weights = Float32Array.from({ length: 64 * 400 }, (_, i) => ((i * 7919) % 2001) / 1024 - 1);
  const gemv = graph('gemv', (b) => {
    const w = b.weight('w', { dtype: 'float32', shape: [400, 64], data: weights });
    b.output('y', b.add('MatMul', [b.input('x', 'float32', [1, 400]), w]));
  });
  const packed = (options: CompileOptions = {}) => pack(compile(gemv, { ...options, targets: ['wasm', 'webgpu'] }));
  // Nothing computes here: the file is opened up to its self-test.
  const opened = async (grim: Uint8Array, options: MockOptions = {}) => {
    const mock = mockDevice(options);
    install(mock);
    using model = await loadModel(grim);
    expect(model.reasons.join()).toContain('self-test');
    restore();
    return mock;
  };

  it('R13: subgroups are used where the adapter has them', async () => {
    const [plain, shared] = [await opened(packed()), await opened(packed(), { features: ['subgroups'] })];
    expect(plain.shaders.some((text) => text.includes('subgroup'))).toBe(false);
    expect(shared.shaders.some((text) => text.includes('enable subgroups;'))).toBe(true);
    expect(shared.shaders.length).toBe(plain.shaders.length);
  });

  it('weights that a file holds as float16 are so on the device, to the bit', async () => {
    const [whole, half] = [await opened(packed()), await opened(packed({ weights: 'f16' }))];
    const [large, small] = [whole, half].map((mock) => mock.bound.get(0) as Uint8Array) as [Uint8Array, Uint8Array];
    expect(large.length - small.length).toBeGreaterThan(2 * weights.length);
    const words = new Uint16Array(small.buffer);
    const held = new Set(words);
    expect(weights.every((value) => held.has(toFloat16(value)))).toBe(true);
  });

  it('every float16 comes out as it was', async () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const values = Float32Array.from(bits, (half) => fromFloat16(half));
    const found: Uint8Array[] = [];
    const program = { copies: [0, 0, values.byteLength, 1], segmentBytes: 4096 };
    for await (const [at, piece] of pieces(new Uint8Array(values.buffer), program)) {
      expect(at).toBe(found.reduce((sum, { length }) => sum + length, 0));
      expect((at % 4096) + piece.byteLength).toBeLessThanOrEqual(4096);
      found.push(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
    }
    const halves = new Uint16Array(new Uint8Array(found.flatMap((piece) => [...piece])).buffer);
    // What is no number may be another one that is none.
    const same = (half: number, i: number) =>
      half === i || (Number.isNaN(values[i]) && Number.isNaN(fromFloat16(half)));
    expect(halves.every(same)).toBe(true);
  });

  it('C12: constants larger than a binding are several, one beside the other', async () => {
    const limits = { maxStorageBufferBindingSize: 65_536 };
    const one = await opened(packed());
    const many = await opened(packed({ memory: { segmentBytes: 65_536 } }), { limits });
    expect([...one.bound.keys()]).toEqual([0, 1, 2]);
    expect([...many.bound.keys()]).toEqual([0, 1, 2, 3]);
    expect(many.shaders.every((text) => !text.includes('constants[') && !text.includes('subgroup'))).toBe(true);
    const bytes = (mock: Mock, bindings: readonly number[]) => bindings.flatMap((i) => [...(mock.bound.get(i) ?? [])]);
    expect(bytes(many, [0, 3])).toEqual(bytes(one, [0]));
  });

  it('C12: more of them than a device binds are refused', async () => {
    const limits = { maxStorageBufferBindingSize: 512 };
    const { device } = mockDevice({ limits });
    await expect(
      loadModel(packed({ memory: { segmentBytes: 512 } }), { device: 'webgpu', gpu: device }),
    ).rejects.toThrow(/a storage buffer of \d+ bytes, this device allows 512/);
  });
});

const SOFTWARE = '/usr/lib/chromium/vk_swiftshader_icd.json';
/** Kept: what is collected takes its devices along. */
let dawn: GPU | undefined;

describe('an adapter', () => {
  it('U8: runs a model on a device of the caller, from arrays and from buffers, the same bits each time', {
    timeout: 60_000,
  }, async (ctx) => {
    if (existsSync(SOFTWARE)) process.env['VK_ICD_FILENAMES'] ??= SOFTWARE;
    const { create } = await import('webgpu');
    dawn = create([]);
    const adapter = await dawn.requestAdapter();
    if (!adapter) ctx.skip('no WebGPU adapter: a GPU is needed, or Chromium for its software one');
    const gpu = (await adapter?.requestDevice()) as GPUDevice;
    using model = await loadModel(file, { device: 'webgpu', gpu });
    for (let i = 0; i < 20; i++) expect((await model.run({ x: X }))['y']).toEqual(Y);
    const [copySource, copyTarget] = [4, 8];
    const x = gpu.createBuffer({ size: 16, usage: copySource | copyTarget });
    const y = gpu.createBuffer({ size: 16, usage: copySource | copyTarget });
    gpu.queue.writeBuffer(x, 0, X.slice());
    await model.run({ x }, { outputs: { y } });
    const read = gpu.createBuffer({ size: 16, usage: 1 | copyTarget });
    const encoder = gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(y, 0, read, 0, 16);
    gpu.queue.submit([encoder.finish()]);
    await read.mapAsync(1);
    expect(new Float32Array(read.getMappedRange())).toEqual(Y);
    await expect(model.profile({ x: X })).rejects.toEqual(code('MISSING_FEATURE'));
    gpu.destroy();
    await expect(model.run({ x: X })).rejects.toEqual(code('DEVICE_LOST'));
  });

  it('keeps states on the device, and tells what every dispatch took', { timeout: 60_000 }, async (ctx) => {
    if (existsSync(SOFTWARE)) process.env['VK_ICD_FILENAMES'] ??= SOFTWARE;
    const { create } = await import('webgpu');
    dawn ??= create([]);
    const adapter = await dawn.requestAdapter();
    if (!adapter?.features.has('timestamp-query')) ctx.skip('no WebGPU adapter with timestamps');
    const gpu = (await adapter?.requestDevice({ requiredFeatures: ['timestamp-query'] })) as GPUDevice;
    const counter = graph('counter', (b) => {
      const sum = b.add(
        'Add',
        [b.input('x', 'float32', [4]), b.input('before', 'float32', [4])],
        {},
        { output: 'after' },
      );
      b.output('after', sum);
    });
    const states = [{ input: 'before', output: 'after' }];
    using model = await loadModel(pack(compile(counter, { targets: ['wasm', 'webgpu'], states })), {
      device: 'webgpu',
      gpu,
    });
    await model.warmup();
    for (let run = 1; run <= 3; run++) expect((await model.run({ x: X }))['after']).toEqual(X.map((x) => run * x));
    const timings = await model.profile({ x: X });
    expect(timings.length).toBeGreaterThan(0);
    expect(timings.every(({ shader, ms }) => shader.includes('float32') && ms >= 0)).toBe(true);
    expect((await model.run({ x: X }))['after']).toEqual(X.map((x) => 4 * x));
    model.reset();
    expect((await model.run({ x: X }))['after']).toEqual(X);
    const given = { x: X, before: Float32Array.of(10, 10, 10, 10) };
    expect((await model.run(given))['after']).toEqual(X.map((x) => 10 + x));
  });
});

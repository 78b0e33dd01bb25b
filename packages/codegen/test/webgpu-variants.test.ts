/**
 * The other texts of shaders: weights as float16, devices with subgroups or with the type f16, constants in several bindings,
 * and K in ranges. Each is compiled for a device that has what it needs, Dawn's null backend, which checks as any other and
 * computes nothing; what the adapter at hand can run is run, and must give the bits of the plain text.
 */
import { NO_GPU, nullAdapter } from '@grim/browser';
import { type CompiledModel, type Graph, graph, patternMask, type WebGpuProgram } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { describe, expect, it } from 'vitest';
import { type CompileOptions, compile, productsOf } from '../src/compile.ts';
import { explain } from '../src/explain.ts';
import type { GpuSchedule } from '../src/gpu-schedule.ts';
import { pack } from '../src/pack.ts';
import { expectClose, random, randomInputs } from './check.ts';
import { constantsOf } from './execute.ts';
import { executeOnGpu, layoutsOf, openGpu, pipelineOf, programOf } from './gpu.ts';

const TARGETS = { targets: ['wasm', 'webgpu'] } as const;
const HALVES = { ...TARGETS, weights: 'f16' } as const;

/** Values that float16 holds as they are, sums of two of them too. */
function halves(length: number, seed: number): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length }, () => Math.round(128 * (next() - 0.5)) / 128);
}

type Blocks = readonly [rows: number, share: number];

/** A 1 × 1 convolution; blocks span all columns and keep a share of them. */
function layer(rows: number, cols: number, side: number, blocks?: Blocks): Graph {
  return graph(`${rows} × ${cols}, ${blocks?.join(' at ') ?? 'dense'}`, (b) => {
    const data = halves(rows * cols, 5);
    const bias = b.weight('b', { dtype: 'float32', shape: [rows], data: halves(rows, 6) });
    const x = b.input('x', 'float32', [1, cols, side, side]);
    const shape = [rows, cols, 1, 1];
    if (!blocks) {
      const w = b.weight('w', { dtype: 'float32', shape, data });
      return b.output('y', b.add('Relu', [b.add('Conv', [x, w, bias])]));
    }
    const [height, share] = blocks;
    const next = random(7);
    const pattern = {
      grid: { rows, cols, blockRows: height, blockCols: cols },
      keptRows: Array.from({ length: rows / height }, () => Uint16Array.from({ length: height }, (_, i) => i)),
      keptCols: Array.from({ length: rows / height }, () =>
        Uint16Array.from(Array.from({ length: cols }, (_, i) => i).filter(() => next() < share)),
      ),
    };
    const mask = patternMask(pattern);
    const w = b.weight('w', { dtype: 'float32', shape, data: data.map((v, i) => (mask[i] ? v : 0)), pattern });
    b.output('y', b.add('Relu', [b.add('Conv', [x, w, bias])]));
  });
}

/** A recurrent layer: products with a vector, in a loop. */
const recurrent = graph('GRU', (b) => {
  const weight = (name: string, shape: readonly number[], seed: number) =>
    b.weight(name, {
      dtype: 'float32',
      shape,
      data: halves(
        shape.reduce((all, dim) => all * dim, 1),
        seed,
      ),
    });
  const given = [weight('w', [1, 60, 37], 2), weight('r', [1, 60, 20], 3), weight('b', [1, 120], 4)];
  const [y] = b.addMany('GRU', [b.input('x', 'float32', [3, 1, 37]), ...given], 1, { hidden_size: 20 });
  b.output('y', y as string);
});

const vector = graph('vector', (b) => {
  const w = b.weight('w', { dtype: 'float32', shape: [256, 128], data: halves(256 * 128, 2) });
  b.output('y', b.add('MatMul', [b.input('x', 'float32', [1, 256]), w]));
});

/** Every fold that a work-group shares, of each type that a register holds. */
const folds = graph('folds', (b) => {
  const axes = b.weight('axes', { dtype: 'int64', shape: [1], data: BigInt64Array.of(-1n) });
  const x = b.input('x', 'float32', [3, 300]);
  b.output('softmax', b.add('Softmax', [x]));
  const scale = b.weight('scale', { dtype: 'float32', shape: [300], data: halves(300, 1) });
  b.output('norm', b.add('LayerNormalization', [x, scale]));
  b.output('pool', b.add('GlobalAveragePool', [b.input('image', 'float32', [1, 3, 16, 20])]));
  for (const op of ['ReduceMax', 'ReduceMin', 'ReduceProd'] as const) b.output(op, b.add(op, [x, axes]));
  const whole = b.input('i', 'int32', [2, 400]);
  for (const op of ['ReduceSum', 'ReduceMax'] as const) b.output(`int ${op}`, b.add(op, [whole, axes]));
  b.output('bytes', b.add('ReduceMin', [b.input('u', 'uint8', [5, 256]), axes]));
});

/** Each of the ways over a product, and what it is called. */
const WAYS: readonly (readonly [graph: Graph, shader: string, schedule?: GpuSchedule])[] = [
  [layer(13, 40, 9), 'dense'],
  [layer(24, 64, 8, [2, 0.3]), 'units', { form: 'units' }],
  [layer(32, 64, 8, [16, 0.3]), 'blocks', { form: 'blocks' }],
  [layer(32, 64, 12, [2, 0.3]), 'strips', { form: 'strips' }],
  [recurrent, 'lanes_gemv'],
];

/** A software adapter takes up to 20 s to build a pipeline of these. */
const SLOW: ReadonlySet<string> = new Set(['blocks', 'strips']);

function compiled(network: Graph, options: CompileOptions, schedule?: GpuSchedule): CompiledModel {
  const gpuSchedules =
    schedule && Object.fromEntries(productsOf(network, options, true).map(({ key }) => [key, schedule]));
  return compile(network, { ...options, ...(gpuSchedules && { gpuSchedules }) });
}

/** With constants in two bindings: a software adapter takes long to build a pipeline for more. */
function segmented(network: Graph, options: CompileOptions, schedule?: GpuSchedule): CompiledModel {
  const { constantBytes } = programOf(compiled(network, options, schedule));
  return compiled(network, { ...options, memory: { segmentBytes: 64 * Math.ceil(constantBytes / 2 / 64) } }, schedule);
}

const named = (texts: readonly string[], name: string): string | undefined =>
  texts.find((text) => text.startsWith('// ') && text.slice(0, text.indexOf('\n')).includes(name));

const variantsOf = ({ variants }: WebGpuProgram, needs: string) =>
  variants.filter((variant) => variant.needs === needs);

describe('float16 weights', () => {
  it('are half of the bytes on a GPU, and of the weights that its products read', () => {
    const network = layer(60, 256, 14);
    const [whole, half] = [programOf(compile(network, TARGETS)), programOf(compile(network, HALVES))];
    const weights = 4 * 60 * 257;
    expect(whole.constantBytes - half.constantBytes).toBeGreaterThan(weights / 2 - 256);
    const read = (options: CompileOptions) =>
      Number(/([\d.]+) B\/FLOP/.exec(explain(vector, options))?.[1] ?? Number.NaN);
    expect(read(HALVES)).toBeLessThan(0.6 * read(TARGETS));
  });

  for (const [network, shader, schedule] of WAYS)
    it(`${shader}: right${SLOW.has(shader) ? '' : ', and the bits of float32 weights'}`, {
      timeout: 60_000,
    }, async (ctx) => {
      const device = await openGpu();
      if (!device) ctx.skip(NO_GPU);
      const inputs = randomInputs(network, 3, false);
      const half = compiled(network, HALVES, schedule);
      expect(named(programOf(half).shaders, shader)).toContain('unpack2x16float');
      const run = (model: CompiledModel) => executeOnGpu(device as GPUDevice, model, inputs, constantsOf(model));
      const found = await run(half);
      if (!SLOW.has(shader))
        expect(found['y']?.data).toEqual((await run(compiled(network, TARGETS, schedule)))['y']?.data);
      const wanted = evaluate(network, inputs)['y'];
      expectClose(found['y'] as never, wanted as never, { absolute: 1e-5, relative: 1e-5 }, network.name);
    });

  it('a file that stores them otherwise is refused', () => {
    const model = compile(layer(13, 40, 9), HALVES);
    expect(pack(model).length).toBeGreaterThan(0);
    expect(() => pack(model, { weights: 'f32' })).toThrow(
      expect.objectContaining({ code: 'GRIM_CODEGEN_BAD_OPTION', message: expect.stringContaining('as f16') }),
    );
  });

  it('a constant that something else reads too stays float32', () => {
    const network = graph('twice', (b) => {
      const w = b.weight('w', { dtype: 'float32', shape: [16, 16], data: halves(256, 1) });
      b.output('y', b.add('MatMul', [b.input('x', 'float32', [1, 40, 16]), w]));
      b.output('z', b.add('Add', [b.input('v', 'float32', [16, 16]), w]));
    });
    const { copies } = programOf(compile(network, HALVES));
    const kinds = copies.filter((_, i) => i % 4 === 3);
    expect(new Set(kinds)).toEqual(new Set([0, 1]));
  });

  it('text: with the type f16 they are so in work-group memory too', () => {
    const program = programOf(compile(layer(13, 40, 9), HALVES));
    const [variant] = variantsOf(program, 'shader-f16');
    expect(variant?.code).toMatch(/^\/\/ .*\nenable f16;/);
    expect(variant?.code).toMatchSnapshot();
  });
});

describe('subgroups', () => {
  it('text: an input is found once for all rows that stand together', () => {
    const [variant] = variantsOf(programOf(compile(recurrent, TARGETS)), 'subgroups');
    expect(variant?.code).toMatchSnapshot();
  });

  it('products with a vector: the bits of the plain text', { timeout: 60_000 }, async (ctx) => {
    const device = await openGpu();
    if (!device?.features.has('subgroups')) ctx.skip('no WebGPU adapter with subgroups');
    for (const options of [TARGETS, HALVES]) {
      const model = compile(recurrent, options);
      const inputs = randomInputs(recurrent, 3, false);
      const run = (needs?: 'subgroups') =>
        executeOnGpu(device as GPUDevice, model, inputs, constantsOf(model), { ...(needs && { needs }) });
      const [plain, shared] = [await run(), await run('subgroups')];
      expect(shared['y']?.data).toEqual(plain['y']?.data);
      const wanted = evaluate(recurrent, inputs)['y'];
      expectClose(shared['y'] as never, wanted as never, { absolute: 1e-5 }, 'GRU');
    }
  });
});

describe('folds in subgroups', () => {
  it('text: a subgroup folds in registers, and one barrier is left', () => {
    const variants = variantsOf(programOf(compile(folds, TARGETS)), 'subgroups');
    for (const one of ['subgroupAdd', 'subgroupMax', 'subgroupMin', 'subgroupMul'])
      expect(variants.filter(({ code }) => code.includes(`sum = ${one}(sum)`)).length, one).toBeGreaterThan(0);
    for (const { code } of variants) expect(code.match(/workgroupBarrier/g)).toHaveLength(1);
    expect(
      named(
        variants.map(({ code }) => code),
        'float32_fold_max',
      ),
    ).toMatchSnapshot();
  });

  it('N1: softmax, norms, pools and reductions are right, and the same in each run', {
    timeout: 120_000,
  }, async (ctx) => {
    const device = await openGpu();
    if (!device?.features.has('subgroups')) ctx.skip('no WebGPU adapter with subgroups');
    const model = compile(folds, TARGETS);
    const inputs = randomInputs(folds, 3, false);
    const wanted = evaluate(folds, inputs);
    const run = () => executeOnGpu(device as GPUDevice, model, inputs, constantsOf(model), { needs: 'subgroups' });
    const [found, again] = [await run(), await run()];
    for (const name of folds.outputs.keys()) {
      expectClose(found[name] as never, wanted[name] as never, { absolute: 1e-6, relative: 1e-5 }, name);
      expect(again[name]?.data).toEqual(found[name]?.data);
    }
  });
});

describe('constants larger than a binding', () => {
  const SEGMENTS = { memory: { segmentBytes: 1024 } };

  it('text: a function finds the word', () => {
    const wide = graph('wide', (b) => {
      const w = b.weight('w', { dtype: 'float32', shape: [700], data: halves(700, 1) });
      b.output('y', b.add('Mul', [b.input('x', 'float32', [700]), w]));
    });
    const [variant] = variantsOf(programOf(compile(wide, { ...TARGETS, ...SEGMENTS })), 'segments');
    expect(variant?.code).toMatchSnapshot();
  });

  it('a model whose constants fit has no such text', () => {
    expect(variantsOf(programOf(compile(layer(24, 64, 8), TARGETS)), 'segments')).toEqual([]);
  });

  for (const [network, shader, schedule] of WAYS.filter(([, name]) => !SLOW.has(name)))
    it(`${shader}: the bits of one binding`, { timeout: 60_000 }, async (ctx) => {
      const device = await openGpu();
      if (!device) ctx.skip(NO_GPU);
      const inputs = randomInputs(network, 3, false);
      for (const options of [TARGETS, HALVES]) {
        const model = segmented(network, options, schedule);
        const { constantBytes, segmentBytes } = programOf(model);
        expect(constantBytes).toBeGreaterThan(segmentBytes);
        const run = (needs?: 'segments') =>
          executeOnGpu(device as GPUDevice, model, inputs, constantsOf(model), { ...(needs && { needs }) });
        const [one, two] = [await run(), await run('segments')];
        expect(two['y']?.data).toEqual(one['y']?.data);
        expect(new Set(one['y']?.data as Float32Array).size).toBeGreaterThan(10);
      }
    });
});

describe('K in ranges', () => {
  const split: GpuSchedule = { form: 'dense', lanes: 64, parts: 1, width: 1, splitK: 2, x: 'workgroup' };

  it('text: a range of a dense product, and the pass that adds all of them', () => {
    const { shaders } = programOf(compiled(layer(13, 128, 4), TARGETS, split));
    expect(named(shaders, 'dense_gemm_6x64_split')).toMatchSnapshot();
    expect(named(shaders, 'add_partials')).toMatchSnapshot();
  });

  it('text: a range of low blocks', () => {
    const { shaders } = programOf(compiled(layer(32, 128, 12, [2, 0.3]), TARGETS, { form: 'strips', splitK: 2 }));
    expect(named(shaders, 'strips_spmm')).toContain('_split');
    expect(named(shaders, 'strips_spmm')).toMatchSnapshot();
  });
});

describe('every text', () => {
  it('is valid on a device that has what it needs and the least limits', { timeout: 120_000 }, async () => {
    const adapter = await nullAdapter();
    const needed: GPUFeatureName[] = ['subgroups', 'shader-f16'];
    const device = await adapter.requestDevice({ requiredFeatures: needed });
    expect(device.limits.maxComputeWorkgroupStorageSize).toBe(16_384);
    const seen = new Map<string, number>();
    for (const [network, , schedule] of WAYS)
      for (const model of [
        compiled(network, TARGETS, schedule),
        compiled(network, HALVES, schedule),
        segmented(network, HALVES, schedule),
      ]) {
        const program = programOf(model);
        const segments = Math.ceil(program.constantBytes / program.segmentBytes);
        for (const { code, needs } of [...program.shaders.map((code) => ({ code, needs: '' })), ...program.variants]) {
          await pipelineOf(device, layoutsOf(device, needs === 'segments' ? segments : 1).pipelineLayout, code);
          seen.set(needs, (seen.get(needs) ?? 0) + 1);
        }
      }
    const program = programOf(compile(folds, TARGETS));
    for (const { code } of variantsOf(program, 'subgroups'))
      await pipelineOf(device, layoutsOf(device, 1).pipelineLayout, code);
    for (const needs of ['', 'segments', ...needed]) expect(seen.get(needs), needs).toBeGreaterThan(1);
  });

  it('that is no WGSL is refused there', async () => {
    const device = await (await nullAdapter()).requestDevice();
    const { pipelineLayout } = layoutsOf(device, 1);
    const [variant] = variantsOf(programOf(compile(recurrent, TARGETS)), 'subgroups');
    await expect(pipelineOf(device, pipelineLayout, variant?.code ?? '')).rejects.toThrow(/subgroups/);
  });
});

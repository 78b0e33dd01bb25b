/** The shaders of compiled models, run through Dawn on whatever adapter there is; skipped where there is none. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NO_GPU } from '@grim/browser';
import { type Graph, graph, patternMask, type Tensor, type TensorArray } from '@grim/ir';
import { fromOnnx, type ImportOptions, readTensorFile } from '@grim/ir/onnx';
import { evaluate } from '@grim/ir/reference';
import { describe, expect, it, type TestContext } from 'vitest';
import { compile } from '../src/compile.ts';
import { explain } from '../src/explain.ts';
import { lowerGraph } from '../src/lower/session.ts';
import { settle } from '../src/passes/settle.ts';
import { simplify } from '../src/passes/simplify.ts';
import type { Program } from '../src/program.ts';
import { arithmeticOf } from '../src/wgsl/arithmetic.ts';
import { linkWgsl } from '../src/wgsl/link.ts';
import { expectClose, random, randomInputs, type Tolerance } from './check.ts';
import { constantsOf } from './execute.ts';
import { executeOnGpu, openGpu, programOf } from './gpu.ts';
import { realCase } from './patterns/cases.ts';
import { layerGraph, RESNET18 } from './resnet-layers.ts';

const TARGETS = { targets: ['wasm', 'webgpu'] } as const;

async function onGpu(
  ctx: TestContext,
  network: Graph,
  inputs: Readonly<Record<string, Tensor | TensorArray>>,
): Promise<Record<string, Tensor>> {
  const device = await openGpu();
  if (!device) ctx.skip(NO_GPU);
  const model = compile(network, TARGETS);
  return executeOnGpu(device as GPUDevice, model, inputs, constantsOf(model));
}

async function matches(ctx: TestContext, network: Graph, tolerance: Tolerance, special = false): Promise<void> {
  const inputs = randomInputs(network, 3, special);
  const wanted = evaluate(network, inputs);
  const found = await onGpu(ctx, network, inputs);
  for (const name of network.outputs.keys())
    expectClose(found[name] as Tensor, wanted[name] as Tensor, tolerance, `${network.name}, ${name}`);
}

function weights(
  shape: readonly number[],
  seed = 1,
): { dtype: 'float32'; shape: readonly number[]; data: Float32Array } {
  const next = random(seed);
  const length = shape.reduce((all, dim) => all * dim, 1);
  return { dtype: 'float32', shape, data: Float32Array.from({ length }, () => next() - 0.5) };
}

describe('programs', () => {
  const relu = graph('relu', (b) => b.output('y', b.add('Relu', [b.input('x', 'float32', [2, 3])])));

  it('text: an element-wise shader is one page, with names for its arguments', () => {
    expect(programOf(compile(relu, TARGETS)).shaders).toMatchSnapshot();
  });

  it('text: a dense product is tiled in registers and in work-group memory', () => {
    const product = graph('product', (b) => {
      const w = b.weight('w', weights([8, 16]));
      b.output('y', b.add('Relu', [b.add('Gemm', [b.input('x', 'float32', [4, 16]), w], { transB: 1 })]));
    });
    const { shaders } = programOf(compile(product, TARGETS));
    expect(shaders.find((text) => text.includes('gemm'))).toMatchSnapshot();
  });

  it('text: a sparse product holds the sums of a unit in registers', () => {
    const pattern = {
      grid: { rows: 4, cols: 64, blockRows: 2, blockCols: 64 },
      keptRows: [Uint16Array.of(0, 1), Uint16Array.of(0, 1)],
      keptCols: [Uint16Array.of(3, 9), Uint16Array.of(0, 63)],
    };
    const sparse = graph('sparse', (b) => {
      const data = new Float32Array(4 * 64);
      for (const [row, column] of [
        [0, 3],
        [1, 9],
        [2, 0],
        [3, 63],
      ] as const)
        data[64 * row + column] = 1;
      const w = b.weight('w', { dtype: 'float32', shape: [4, 64, 1, 1], data, pattern });
      b.output('y', b.add('Conv', [b.input('x', 'float32', [1, 64, 6, 6]), w]));
    });
    const { shaders } = programOf(compile(sparse, TARGETS));
    expect(shaders.find((text) => text.includes('units'))).toMatchSnapshot();
  });

  it('text: low blocks of many columns share one tile of X', () => {
    const { shaders } = programOf(compile(pointwise(2, { cols: 128, side: 24 }), TARGETS));
    expect(shaders.find((text) => text.includes('strips'))).toMatchSnapshot();
    expect(shaders.every((text) => text.split('\n').length < 160)).toBe(true);
  });

  it('the same graph gives the same constants with and without a program for a GPU, but for that program', () => {
    const [plain, both] = [compile(relu), compile(relu, TARGETS)];
    expect(plain.manifest.webgpu).toBeUndefined();
    expect(both.manifest.steps.length).toBe(plain.manifest.steps.length);
    expect(both.manifest.webgpu?.bytes).toBeGreaterThan(100);
  });

  it('a kernel without a shader is named, with its node and the reason', () => {
    const none: Program = {
      ...{ buffers: [], steps: [], setup: [], layers: [], products: [] },
      ...{ inputs: new Map(), outputs: new Map(), notes: new Map() },
    };
    const step = { kind: 'call', kernel: { name: 'odd', emit: () => {} }, args: [], nodes: ['Odd_0'] } as const;
    expect(() => linkWgsl({ lowered: none, program: none, gpu: { ...none, steps: [step] } }, undefined)).toThrow(
      expect.objectContaining({
        code: 'GRIM_CODEGEN_NO_SHADER',
        message: expect.stringMatching(/odd of "Odd_0": it has no shader yet. Compile for wasm alone/),
      }),
    );
  });

  it('an unknown target is refused', () => {
    expect(() => compile(relu, { targets: ['cuda' as 'wasm'] })).toThrow(/no target "cuda"/);
  });
});

/** A 1 × 1 convolution to 64 channels, by default of 512 and over 56 × 56 places; with blocks of the height given, all rows kept. */
function pointwise(blockRows: number | undefined, { share = 0.1, cols = 512, side = 56 } = {}): Graph {
  return graph(`pointwise ${blockRows ?? 'dense'}`, (b) => {
    const rows = 64;
    const next = random(3);
    const grid = { rows, cols, blockRows: blockRows ?? rows, blockCols: 128 };
    const blocks = (rows / grid.blockRows) * (cols / grid.blockCols);
    const pattern = {
      grid,
      keptRows: Array.from({ length: blocks }, () => Uint16Array.from({ length: grid.blockRows }, (_, i) => i)),
      keptCols: Array.from({ length: blocks }, () =>
        Uint16Array.from(
          Array.from({ length: grid.blockCols }, (_, i) => [next(), i] as const)
            .sort(([x], [y]) => x - y)
            .slice(0, Math.round(share * grid.blockCols))
            .map(([, i]) => i)
            .sort((x, y) => x - y),
        ),
      ),
    };
    const mask = patternMask(pattern);
    const dense = weights([rows, cols, 1, 1]);
    const w =
      blockRows === undefined
        ? b.weight('w', dense)
        : b.weight('w', { ...dense, data: dense.data.map((value, i) => (mask[i] ? value : 0)), pattern });
    b.output('y', b.add('Relu', [b.add('Conv', [b.input('x', 'float32', [1, cols, side, side]), w])]));
  });
}

describe('arithmetic', () => {
  const layer = (network: Graph) => {
    const [found] = arithmeticOf(lowerGraph(simplify(settle(network)), undefined, { threads: 1, gpu: true }));
    expect(found).toBeDefined();
    return found as NonNullable<typeof found>;
  };

  it('blocks of 16 and 32 rows at density 0.1 move at most a sixth of the bytes of the dense layer', () => {
    const dense = layer(pointwise(undefined));
    expect(dense.shaders.join()).toMatch(/dense.*24x64/);
    for (const height of [16, 32]) {
      const sparse = layer(pointwise(height));
      expect(sparse.shaders.join()).toContain('blocks_spmm');
      expect(sparse.bytesPerFlop, `${height}`).toBeLessThanOrEqual(dense.bytesPerFlop / 6);
      expect(sparse.loadsPerFma).toBeLessThan(1);
    }
  });

  it('layers of ResNet-18 at density 0.1, with low, small and high blocks, move at most a sixth of the bytes too', () => {
    for (const [name, ...exact] of [
      ['conv1', [4, 65535], [32, 128]],
      ['64 at 56', [2, 65535], [4, 65535], [4, 16], [32, 128]],
      ['128 at 28', [2, 65535], [4, 16], [32, 128]],
      ['1×1 64 to 128', [2, 65535], [4, 65535]],
    ] as const) {
      const shape = RESNET18.find((one) => one.name === name) as (typeof RESNET18)[number];
      const dense = layer(layerGraph(shape, undefined));
      for (const block of exact) {
        const sparse = layer(layerGraph(shape, block));
        const ratio = dense.bytesPerFlop / sparse.bytesPerFlop;
        expect(ratio, `${name}, ${block.join(' × ')}: ${sparse.shaders.join()}`).toBeGreaterThan(6);
        expect(sparse.memory).toBeLessThanOrEqual(16_384);
        expect(sparse.registers).toBeLessThanOrEqual(96);
      }
    }
  });

  it('low blocks of many columns are taken in strips', () => {
    expect(layer(pointwise(2)).shaders.join()).toContain('strips_spmm');
  });

  it('the count is that of the loads: a tile reads each row of X of a block once', () => {
    // 64 columns: X rows and weights and the list, twice four blocks of 32 rows and 13 columns; then 64 rows of Y.
    const { bytesPerFlop } = layer(pointwise(32));
    const tiles = Math.ceil((56 * 56) / 64);
    const least = 4 * tiles * (8 * 13 * (64 + 32 + 1) + 64 * 64);
    const bytes = bytesPerFlop * 2 * 64 * 512 * 56 * 56;
    expect(bytes).toBeGreaterThanOrEqual(least);
    expect(bytes).toBeLessThan(1.3 * least);
  });

  it('explain prints it', () => {
    expect(explain(pointwise(32), { targets: ['wasm', 'webgpu'] })).toMatch(
      /on webgpu.*\n {2}"?Conv_0.*blocks_spmm.*B\/FLOP of the dense layer, 0\.\d+ loads\/FMA, \d+ work-groups of 64 invocations, about \d+ registers each, 11264 B of work-group memory \(69 % of 16384\), 2 together/,
    );
  });
});

describe('results', () => {
  it('C2: blocks that share a column list, through work-group memory', {
    timeout: 120_000,
  }, async (ctx) => {
    for (const [blockRows, share] of [
      [16, 0.1],
      [32, 0.3],
      [64, 0.2],
    ] as const)
      await matches(ctx, pointwise(blockRows, { share, cols: 256, side: 20 }), { absolute: 1e-4, relative: 1e-4 });
  });

  it('C2, N1: random patterns, shapes, strides and fused operators stay within the bound of rounding', {
    timeout: 300_000,
  }, async (ctx) => {
    let [sparse, outputs] = [0, 0];
    for (let seed = 1; seed <= 16; seed++) {
      const { graph: network, inputs, value, bound } = realCase(seed);
      const found = (await onGpu(ctx, network, inputs))['y']?.data as Float32Array;
      expect(found.length).toBe(value.length);
      found.forEach((y, i) => {
        if (!(Math.abs(y - (value[i] ?? 0)) <= (bound[i] ?? 0)))
          expect.fail(`seed ${seed}, element ${i}: ${y}, ${value[i]} ± ${bound[i]} is right`);
      });
      outputs += found.length;
      sparse += Number(compile(network).manifest.layers.some(({ kernel }) => !kernel.includes('gemm')));
    }
    expect(sparse).toBeGreaterThan(5);
    expect(outputs).toBeGreaterThan(2000);
  });

  it('element-wise functions of one and of two operands', { timeout: 60_000 }, async (ctx) => {
    const network = graph('functions', (b) => {
      const [x, y] = [b.input('x', 'float32', [3, 5]), b.input('y', 'float32', [5])];
      for (const op of ['Abs', 'Ceil', 'Exp', 'Floor', 'Neg', 'Round', 'Sigmoid', 'Sign', 'Tanh', 'Erf'] as const)
        b.output(`${op}`, b.add(op, [x]));
      for (const op of ['Add', 'Sub', 'Mul', 'Max', 'Min'] as const) b.output(`two ${op}`, b.add(op, [x, y]));
      b.output('Where', b.add('Where', [b.add('Less', [x, y]), x, y]));
    });
    await matches(ctx, network, { absolute: 1e-6, relative: 1e-5 });
  });

  it('whole numbers and truth values, of one byte too', { timeout: 60_000 }, async (ctx) => {
    const network = graph('integers', (b) => {
      const [x, y] = [b.input('x', 'int32', [7]), b.input('y', 'int32', [7])];
      for (const op of ['Add', 'Sub', 'Mul', 'Div'] as const) b.output(op, b.add(op, [x, y]));
      b.output('less', b.add('Less', [x, y]));
      const bytes = b.input('bytes', 'uint8', [2, 3]);
      b.output('cast', b.add('Cast', [bytes], { to: 'float32' }));
      b.output('sum', b.add('Add', [bytes, bytes]));
    });
    await matches(ctx, network, {}, true);
  });

  it('U11: reductions and softmax of rows of ±3e38, and of equal elements', { timeout: 60_000 }, async (ctx) => {
    const network = graph('rows', (b) => {
      const x = b.input('x', 'float32', [4, 6]);
      b.output('softmax', b.add('Softmax', [x]));
      b.output(
        'max',
        b.add('ReduceMax', [x, b.weight('axes', { dtype: 'int64', shape: [1], data: BigInt64Array.of(1n) })]),
      );
    });
    const rows = [[3e38, -3e38, 0, 1, 3e38, 2], Array(6).fill(3e38), Array(6).fill(-3e38), [1, 2, 3, 4, 5, 6]];
    const inputs: Record<string, Tensor> = {
      x: { dtype: 'float32', shape: [4, 6], data: Float32Array.from(rows.flat()) },
    };
    const wanted = evaluate(network, inputs);
    const found = await onGpu(ctx, network, inputs);
    for (const name of network.outputs.keys())
      expectClose(found[name] as Tensor, wanted[name] as Tensor, { absolute: 1e-6, relative: 1e-5 }, name);
  });

  it('pools, paddings, transposes, products of two values', { timeout: 60_000 }, async (ctx) => {
    const network = graph('planes', (b) => {
      const x = b.input('x', 'float32', [2, 3, 7, 6]);
      b.output('max', b.add('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }));
      b.output('mean', b.add('AveragePool', [x], { kernel_shape: [2, 2] }));
      b.output('global', b.add('GlobalAveragePool', [x]));
      const turned = b.add('Transpose', [x], { perm: [0, 1, 3, 2] });
      b.output('matmul', b.add('MatMul', [x, turned]));
      const depthwise = b.weight('d', weights([3, 1, 3, 3]));
      b.output('depthwise', b.add('Conv', [x, depthwise], { group: 3, pads: [1, 1, 1, 1], strides: [2, 1] }));
    });
    await matches(ctx, network, { absolute: 1e-5, relative: 1e-5 });
  });

  it('products of many columns: tall dense tiles, wide sparse ones', { timeout: 60_000 }, async (ctx) => {
    const dense = graph('dense', (b) => {
      const w = b.weight('w', weights([50, 9, 1, 1]));
      b.output('y', b.add('Conv', [b.input('x', 'float32', [1, 9, 70, 70]), w, b.weight('b', weights([50], 2))]));
    });
    const kept = Uint16Array.from({ length: 6 }, (_, i) => 5 * i);
    const grid = { rows: 8, cols: 36, blockRows: 4, blockCols: 36 };
    const pattern = {
      grid,
      keptRows: [Uint16Array.of(0, 1, 3), Uint16Array.of(0, 1, 2, 3)],
      keptCols: [kept, kept.map((i) => i + 1)],
    };
    const mask = patternMask(pattern);
    const sparse = graph('sparse', (b) => {
      const data = weights([8, 4, 3, 3]).data.map((value, i) => (mask[i] ? value : 0));
      const w = b.weight('w', { dtype: 'float32', shape: [8, 4, 3, 3], data, pattern });
      const y = b.add('Conv', [b.input('x', 'float32', [1, 4, 30, 30]), w], { pads: [1, 1, 1, 1] });
      b.output('y', b.add('Relu', [y]));
    });
    const names = (network: Graph) => programOf(compile(network, TARGETS)).shaders.map((text) => text.split('\n')[0]);
    expect(names(dense).join()).toMatch(/_24x64__/);
    expect(names(sparse).join()).toMatch(/strips_spmm_relu_.*x256_of_4_/);
    await matches(ctx, dense, { absolute: 1e-5, relative: 1e-5 });
    await matches(ctx, sparse, { absolute: 1e-5, relative: 1e-5 });
  });

  it('recurrent layers without a way back to the host', { timeout: 60_000 }, async (ctx) => {
    const layer = (op: 'GRU' | 'LSTM', gates: number) =>
      graph(op, (b) => {
        const w = b.weight('w', weights([1, gates * 20, 6], 2));
        const r = b.weight('r', weights([1, gates * 20, 20], 3));
        const bias = b.weight('b', weights([1, 2 * gates * 20], 4));
        const [y, h] = b.addMany(op, [b.input('x', 'float32', [5, 1, 6]), w, r, bias], 2, { hidden_size: 20 });
        b.output('y', y as string);
        b.output('h', h as string);
      });
    await matches(ctx, layer('GRU', 3), { absolute: 1e-5 });
    await matches(ctx, layer('LSTM', 4), { absolute: 1e-5 });
  });
});

const root = join(process.env['GRIM_DATA'] ?? '', 'models');
const RATE: Tensor = { dtype: 'int64', shape: [], data: BigInt64Array.of(16000n) };
/** Those that a software adapter computes in a few seconds. */
const MODELS: Readonly<Record<string, ImportOptions>> = {
  dscnn_kws: {},
  resnet8_cifar10: {},
  dtln_model_1: {},
  dtln_model_2: {},
  silero_vad_16k: { constants: { sr: RATE } },
};

describe('the models of the data', () => {
  for (const [name, options] of Object.entries(MODELS))
    it(`${name}: stored outputs`, { timeout: 300_000 }, async (ctx) => {
      if (!existsSync(root)) ctx.skip(`GRIM_DATA is not there: ${root}`);
      const folder = join(root, name, 'test_data_set_0');
      const read = (kind: string, names: readonly string[]) =>
        Object.fromEntries(
          readdirSync(folder)
            .filter((file) => file.startsWith(kind))
            .map((file) => {
              const stored = readTensorFile(new Uint8Array(readFileSync(join(folder, file))));
              const position = Number.parseInt(file.slice(kind.length + 1), 10);
              return [names.includes(stored.name) ? stored.name : (names[position] ?? ''), stored.tensor];
            }),
        );
      const bytes = new Uint8Array(readFileSync(join(root, name, 'model.onnx')));
      const open = fromOnnx(bytes);
      const inputs = read('input', [...open.inputs.keys()]);
      const network = fromOnnx(bytes, {
        ...options,
        shapes: Object.fromEntries(
          Object.entries(inputs).flatMap(([key, { shape }]) => (options.constants?.[key] ? [] : [[key, [...shape]]])),
        ),
      });
      const found = await onGpu(ctx, network, inputs);
      for (const [key, tensor] of Object.entries(read('output', [...open.outputs.keys()])))
        expectClose(found[key] as Tensor, tensor, { absolute: 1e-4, relative: 1e-3 }, `${name}, ${key}`);
    });
});

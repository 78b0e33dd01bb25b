/** The wide family: other tiles, the same steps, the same results within rounding. */

import { applyPattern } from '@grim/bcr';
import { type Graph, graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile, ModuleBuilder, pack } from '../src/index.ts';
import { addGemm } from '../src/kernels/gemm.ts';
import { addSpmm } from '../src/kernels/spmm.ts';
import { random, randomTensor } from './check.ts';
import { execute } from './execute.ts';
import { randomPattern } from './matrices.ts';

const next = random(99);

function conv(channels: number, size: number, blocks?: readonly [number, number]): Graph {
  return graph('conv', (b) => {
    const x = b.input('x', 'float32', [1, channels, size, size]);
    const cols = 9 * channels;
    const data = randomTensor('float32', [channels * cols], next, false).data as Float32Array<ArrayBuffer>;
    const pattern = blocks && randomPattern(channels, cols, ...blocks, 0.5, next);
    const kept = pattern ? applyPattern({ rows: channels, cols, data }, pattern).data : data;
    const w = { dtype: 'float32', shape: [channels, channels, 3, 3], data: kept, ...(pattern && { pattern }) } as const;
    const y = b.add('Conv', [x, b.weight('w', w)], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
    b.output('y', b.add('Relu', [b.add('Add', [y, x])]));
  });
}

describe('the wide family', () => {
  it.each([
    ['dense, 6 rows', conv(12, 16)],
    ['dense, odd rows and columns', conv(7, 13)],
    ['dense, large', conv(32, 40)],
    ['sparse, tall blocks', conv(32, 24, [8, 64])],
    ['sparse, low blocks', conv(20, 19, [2, 60])],
    ['sparse, single rows', conv(16, 15, [1, 144])],
    [
      'a product of values',
      graph('matmul', (b) => {
        b.output('y', b.add('MatMul', [b.input('x', 'float32', [2, 19, 31]), b.input('w', 'float32', [2, 31, 45])]));
      }),
    ],
  ])('computes what the relaxed one does: %s', (_, network) => {
    const model = compile(network, { wide: true });
    const inputs = Object.fromEntries(
      Array.from(network.inputs, ([name, { dtype, shape }]) => [
        name,
        randomTensor(dtype, shape as readonly number[], next, false),
      ]),
    );
    const wide = { ...model, wasm: { ...model.wasm, relaxed: model.wasm.wide as Uint8Array } };
    expect(wide.wasm.relaxed).not.toEqual(model.wasm.relaxed);
    const [a, b] = [model, wide].map((one) => execute(one, inputs)['y']?.data as Float32Array);
    const scale = (a as Float32Array).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    a?.forEach((value, i) => {
      expect(Math.abs(value - (b?.[i] ?? Number.NaN))).toBeLessThanOrEqual(1e-5 * scale);
    });
  });
  it('leaves the other families, the steps and files without it as they are', () => {
    const network = conv(8, 10);
    const [without, wide] = [compile(network), compile(network, { wide: true })];
    expect(without.wasm).not.toHaveProperty('wide');
    expect(wide.wasm).toMatchObject({ relaxed: without.wasm.relaxed, plain: without.wasm.plain });
    expect(wide.manifest).toEqual({
      ...without.manifest,
      producer: { ...without.manifest.producer, options: { simplify: true, threads: 4, wide: true } },
    });
    expect(pack(wide).length).toBeGreaterThan(pack(without).length);
  });
  it('keeps its tiles within 15 pairs of registers, which the assembler counts', () => {
    const family = { relaxed: true, wide: true } as const;
    const epilogue = { activation: 'relu', residual: true } as const;
    expect(() => addGemm(new ModuleBuilder(), { ...family, epilogue })).not.toThrow();
    expect(() => addSpmm(new ModuleBuilder(), { ...family, epilogue, columns: 24 })).not.toThrow();
  });
});

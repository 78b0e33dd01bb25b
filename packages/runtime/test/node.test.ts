/** Wide mode: used only when it is there, right and faster, and the model says which of these failed. */
import { Worker } from 'node:worker_threads';
import { compile, ModuleBuilder, pack } from '@grim/codegen';
import { type Graph, graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { loadModel as here } from '../src/index.ts';
import { loadModel, type ModelWorker } from '../src/node.ts';
import { affine, counter } from './models.ts';

const worker = (): ModelWorker => new Worker(new URL('../src/threads-worker.ts', import.meta.url));

/** Products take nearly all of its time. */
const network: Graph = graph('net', (b) => {
  const data = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9) / 10);
  const weight = (name: string) => b.weight(name, { dtype: 'float32', shape: [48, 48, 3, 3], data: data(48 * 48 * 9) });
  let x = b.input('x', 'float32', [1, 48, 30, 30]);
  for (const name of ['v', 'w'])
    x = b.add('Relu', [b.add('Conv', [x, weight(name)], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })]);
  b.output('y', x);
});
/** Of sums of 432 products of at most 0.1, which cancel nearly whole, in another order. */
const ROUNDING = 2 ** -24 * 432 * 0.1;
const x = Float32Array.from({ length: 48 * 900 }, (_, i) => Math.cos(i));
const plain = pack(compile(network));
const both = pack(compile(network, { wide: true }));

describe('wide mode', () => {
  it('is what model.simd says; without it a reason stands in the model, and either way the results agree', async () => {
    using normal = await here(both);
    expect(normal).toMatchObject({ simd: 'relaxed', reasons: [] });
    using model = await loadModel(new Blob([both as Uint8Array<ArrayBuffer>]), { wide: true, threads: 2, worker });
    expect(model.threads).toBe(2);
    if (model.simd === 'wide') expect(model.reasons).toEqual([]);
    else expect(model.reasons).toEqual([expect.stringMatching(/^simd: wide instructions are not faster here/)]);
    const [a, b] = [(await normal.run({ x }))['y'], (await model.run({ x }))['y']] as [Float32Array, Float32Array];
    expect(a.every((value, i) => Math.abs(value - (b[i] ?? Number.NaN)) <= ROUNDING)).toBe(true);
  });
  it('is right without the flag too', async () => {
    using normal = await here(both);
    using wide = await here(both, { simd: 'wide' });
    expect(wide.simd).toBe('wide');
    const [a, b] = [(await normal.run({ x }))['y'], (await wide.run({ x }))['y']] as [Float32Array, Float32Array];
    expect(a.every((value, i) => Math.abs(value - (b[i] ?? Number.NaN)) <= ROUNDING)).toBe(true);
  });
  it('needs a file that was compiled for it', async () => {
    using model = await loadModel(plain, { wide: true, threads: 1 });
    expect(model).toMatchObject({
      simd: 'relaxed',
      threads: 1,
      reasons: ['simd: the file has no wide module: compile it with wide'],
    });
    expect((await model.run({ x }))['y']).toHaveLength(x.length);
  });
  it('is refused when its module computes something else', async () => {
    const hand = affine();
    const builder = new ModuleBuilder({ minPages: 1, maxPages: 1 });
    const parameters = { a: 'i32', b: 'i32', c: 'i32', d: 'i32' } as const;
    for (const name of ['affine', 'add']) builder.function({ parameters, export: name }, () => {});
    const wrong = pack({ ...hand, wasm: { ...hand.wasm, wide: builder.build() } });
    using model = await loadModel(wrong, { wide: true, threads: 1 });
    expect(model.simd).toBe('relaxed');
    expect(model.reasons).toEqual([expect.stringMatching(/^simd: wide instructions failed .*self-test/)]);
    expect((await model.run({ x: Float32Array.of(1, 2, 3, 4, 5, 6) }))['y']).toEqual(
      Float32Array.of(3, 5, 7, 9, 11, 13),
    );
  });
  it('keeps the errors of loading, and states at zero', async () => {
    await expect(loadModel(both.subarray(0, 5000), { wide: true })).rejects.toMatchObject({
      code: 'GRIM_RUNTIME_BAD_ARTIFACT',
    });
    await expect(loadModel('no-such-file.grim', { wide: true })).rejects.toMatchObject({
      code: 'GRIM_RUNTIME_BAD_SOURCE',
    });
    const hand = counter();
    const file = pack({ ...hand, wasm: { ...hand.wasm, wide: hand.wasm.relaxed } });
    using model = await loadModel(file, { wide: true, threads: 1 });
    expect((await model.run({ x: Float32Array.of(1, 2, 3, 4) }))['sum']).toEqual(Float32Array.of(1, 2, 3, 4));
  });
});

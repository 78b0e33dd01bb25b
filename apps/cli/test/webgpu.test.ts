/** The command with a GPU: what it compiles for one, and what it runs on one; skipped where there is none. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NO_GPU, nodeAdapter } from '@grim/browser';
import { graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { readArtifact } from '@grim/runtime/artifact';
import { describe, expect, it, type TestContext } from 'vitest';
import { grim, TINY, temporaryFolder } from './grim.ts';

const DIM = ['--dim', 'N=1'];

async function needsGpu(ctx: TestContext): Promise<void> {
  // It also names the software adapter in the environment, where the command finds it.
  if (!(await nodeAdapter())) ctx.skip(NO_GPU);
}

describe('--target', () => {
  it('webgpu puts shaders beside the modules, and explain counts what they load', async () => {
    const { code, err, files } = await grim(['compile', TINY, ...DIM, '--target', 'wasm,webgpu', '-o', 'both.grim']);
    expect([code, err]).toEqual([0, '']);
    expect(readArtifact(files[0]?.content as Uint8Array).manifest.webgpu?.bytes).toBeGreaterThan(100);
    const { out } = await grim(['explain', TINY, ...DIM, '--target', 'wasm,webgpu']);
    expect(out.replaceAll(/\s+/g, ' ')).toMatch(/on webgpu, counted from the shaders: .* B\/FLOP of the dense layer/);
  });

  it('L1: anything else is refused', async () => {
    for (const target of ['webgpu', 'cuda', 'wasm,cuda', ''])
      expect((await grim(['explain', TINY, ...DIM, '--target', target])).code).toBe(2);
    expect((await grim(['run', TINY, ...DIM, '--device', 'cuda'])).code).toBe(2);
  });
});

/** One product: a search that a software adapter does in seconds. */
function smallModel(folder: string): string {
  const path = join(folder, 'small.onnx');
  const network = graph('small', (b) => {
    const data = Float32Array.from({ length: 64 * 64 }, (_, i) => Math.sin(i));
    const w = b.weight('w', { dtype: 'float32', shape: [64, 64], data });
    b.output('y', b.add('Gemm', [b.input('x', 'float32', [32, 64]), w], { transB: 1 }, { output: 'y' }));
  });
  writeFileSync(path, toOnnx(network));
  return path;
}

describe('tune --target webgpu', () => {
  it('measures on the adapter, keeps that by adapter, goes on from there, and writes a model that runs', {
    timeout: 600_000,
  }, async (ctx) => {
    await needsGpu(ctx);
    const folder = temporaryFolder();
    const cache = join(folder, 'cache');
    const model = smallModel(folder);
    const argv = ['tune', model, '--target', 'webgpu', '--trials', '3', '--cache', cache, '--json', '-o'];
    const tuned = join(folder, 'tuned.grim');
    const { code, out, files } = await grim([...argv, tuned]);
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ schema: 'grim.tune/1', target: 'webgpu', measured: 3, known: 0 });
    expect(report.device.adapter).toMatch(/\w/);
    expect(report.ratio).toBeLessThanOrEqual(1);
    expect(report.products).toHaveLength(1);
    expect(report.products[0].before.form).toBe('dense');
    expect(readArtifact(files[0]?.content as Uint8Array).manifest.webgpu?.bytes).toBeGreaterThan(100);
    const again = JSON.parse((await grim([...argv, join(folder, 'again.grim')])).out);
    expect(again).toMatchObject({ measured: 0, known: 3 });
    expect(readdirSync(cache)).toHaveLength(1);
  });

  it('L1: --threads is of WebAssembly', async () => {
    const { code, err } = await grim(['tune', TINY, ...DIM, '-o', 't.grim', '--target', 'webgpu', '--threads', '2']);
    expect([code, err]).toEqual([2, expect.stringContaining('--threads is of WebAssembly')]);
  });
});

describe('--device webgpu', () => {
  it('computes what WebAssembly computes', { timeout: 60_000 }, async (ctx) => {
    await needsGpu(ctx);
    const model = join(temporaryFolder(), 'm.onnx');
    const network = graph('m', (b) => {
      const x = b.input('x', 'float32', [1, 8]);
      b.output('y', b.add('Softmax', [b.add('Sin', [x])], {}, { output: 'y' }));
    });
    writeFileSync(model, toOnnx(network));
    const on = async (device: string) => {
      const { code, out, err } = await grim(['run', model, '--random', '--device', device, '--json']);
      expect([code, err]).toEqual([0, '']);
      return JSON.parse(out);
    };
    const [cpu, gpu] = [await on('wasm'), await on('webgpu')];
    expect([cpu.device, gpu.device]).toEqual(['wasm', 'webgpu']);
    const [a, b] = [cpu.outputs[0].data, gpu.outputs[0].data] as number[][];
    expect(a?.length).toBe(8);
    a?.forEach((value, i) => {
      expect(b?.[i]).toBeCloseTo(value, 5);
    });
  });

  it('bench times it and names the adapter; --profile is refused', { timeout: 120_000 }, async (ctx) => {
    await needsGpu(ctx);
    const bench = ['bench', TINY, ...DIM, '--against', 'none', '--runs', '3', '--device', 'webgpu'];
    expect((await grim([...bench, '--profile'])).code).toBe(2);
    const { code, out, err } = await grim([...bench, '--json']);
    expect([code, err]).toEqual([0, '']);
    const report = JSON.parse(out);
    expect(report.device.name).toMatch(/\w/);
    expect(report.clock).toBe('wall');
  });

  it('doctor shows the adapter, its features and its limits', async (ctx) => {
    await needsGpu(ctx);
    const { findings } = JSON.parse((await grim(['doctor', '--json'])).out);
    const value = (name: string) => findings.find((one: { name: string }) => one.name === name)?.value;
    expect(value('WebGPU')).toMatch(/\w/);
    expect(value('WebGPU features')).toMatch(/\w/);
    expect(value('WebGPU limits')).toMatch(/maxStorageBufferBindingSize \d+/);
  });
});

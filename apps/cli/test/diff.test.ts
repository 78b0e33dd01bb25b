/** `grim diff`: what is told of two networks, and its gate. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor } from '@grim/ir';
import { fromOnnx, toOnnx } from '@grim/ir/onnx';
import { describe, expect, it } from 'vitest';
import { PRUNE_EXAMPLES } from '../src/prune/args.ts';
import { grim } from './grim.ts';
import { folderWith } from './prune-folder.ts';

describe('grim diff', () => {
  it('prints help within 80 columns, with its examples', async () => {
    const { code, out, err } = await grim(['diff', '--help']);
    expect([code, err]).toEqual([0, '']);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    for (const [example] of PRUNE_EXAMPLES['diff'] ?? []) expect(out).toContain(`\n  grim ${example}`);
  });

  it('finds nothing between identical networks, whatever the gate', async () => {
    const { data, model } = folderWith();
    const { code, out } = await grim([
      'diff',
      model,
      model,
      '--data',
      data,
      '--fail-if',
      'speed<0.97,error>0',
      '--json',
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ identical: true, structure: [], weights: [], failed: [] });
  });

  it('names the layer of a fault that was put in, what it does downstream, and fails the gate', async () => {
    const { folder, data, model } = folderWith();
    const before = fromOnnx(readFileSync(model));
    const weights = new Map(before.weights);
    const node = before.nodes.find(({ name }) => name === 'conv3');
    const name = node?.inputs[1] ?? '';
    const old = weights.get(name) as Tensor & { readonly data: Float32Array };
    const faulty = old.data.map((value, i) => (i === 17 ? value + 3 : value));
    weights.set(name, { dtype: 'float32', shape: old.shape, data: faulty });
    const other = join(folder, 'faulty.onnx');
    writeFileSync(other, toOnnx({ ...before, weights }));
    const argv = ['diff', model, other, '--data', data, '--seconds', '1'];
    const { code, out } = await grim([...argv, '--fail-if', 'error>0.001,bytes>2', '--json']);
    expect(code).toBe(3);
    const report = JSON.parse(out);
    expect(report.structure).toEqual([]);
    expect(report.weights.map((one: { node: string }) => one.node)).toEqual(['conv3']);
    expect(report.failed).toEqual(['error>0.001']);
    const errors = new Map(report.layers.map(({ layer, error }: { layer: string; error: number }) => [layer, error]));
    expect([errors.get('conv1'), errors.get('conv2')]).toEqual([0, 0]);
    for (const layer of ['conv3', 'fc1', 'fc2']) expect(errors.get(layer)).toBeGreaterThan(0.001);
    const text = await grim(argv);
    expect(text.out).toMatch(/conv3/);
    for (const row of text.out.replaceAll(folder, '').split('\n')) expect(row.length).toBeLessThanOrEqual(80);
  });

  it('says what is gone, new and changed in the structure', async () => {
    const { folder, data, model } = folderWith();
    const before = fromOnnx(readFileSync(model));
    const relabelled = join(folder, 'relabelled.onnx');
    writeFileSync(
      relabelled,
      toOnnx({
        ...before,
        nodes: before.nodes.map((node) => (node.name === 'fc1.relu' ? { ...node, name: 'act' } : node)) as never,
      }),
    );
    const found = await grim(['diff', model, relabelled, '--data', data, '--seconds', '1', '--json']);
    expect(JSON.parse(found.out).structure).toEqual([
      { node: 'fc1.relu', what: 'Relu is gone' },
      { node: 'act', what: 'Relu is new' },
    ]);
    expect(JSON.parse(found.out).top1).toBe(0);
  });
});

/** The whole networks of the ONNX suite, without their weights: imported, typed and checked; too large to compute here. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inferTypes, isStatic, verify } from '@grim/ir';
import { fromOnnx, readTensorFile } from '@grim/ir/onnx';
import { describe, expect, it } from 'vitest';

const folder = join(process.env['GRIM_DATA'] ?? '', 'onnx-node-tests', 'light');
const models = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.onnx')) : [];

describe('light models', () => {
  it('there are five', (ctx) => {
    if (models.length === 0) ctx.skip('GRIM_DATA is not there: no onnx-node-tests/light');
    expect(models).toHaveLength(5);
  });

  it.for(models)('%s imports, verifies, and has the shape of its stored output', (name) => {
    const graph = fromOnnx(readFileSync(join(folder, name)));
    expect(verify(graph).filter(({ severity }) => severity === 'error')).toEqual([]);
    const types = inferTypes(graph);
    const shapes = Array.from(graph.outputs.values(), (value) => types.get(value)?.shape ?? null);
    for (const shape of shapes) expect(isStatic(shape), `${shape}`).toBe(true);
    const stored = readTensorFile(readFileSync(join(folder, name.replace('.onnx', '_output_0.pb'))));
    expect(shapes[0]).toEqual(stored.tensor.shape);
  });
});

/**
 * A part of what `grim conformance DATA --backend wasm --threads 2` and `--simd wide` run whole: threads and instructions
 * change nothing but rounding.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { applyPattern, blockGrid, projectBcr } from '@grim/bcr';
import { type Graph, graph, type Tensor } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { describe, expect, it } from 'vitest';
import {
  buildWith,
  defaultExpectedFailures,
  findCases,
  runCase,
  type WasmOptions,
  wasmBackendWith,
} from '../src/index.ts';

const DATA = process.env['GRIM_DATA'] ?? '';
const files = { read: (path: string): Uint8Array => readFileSync(path) };
const expected = defaultExpectedFailures('wasm');
const VARIANTS: Readonly<Record<string, WasmOptions>> = {
  'two threads': { threads: 2 },
  'wide instructions': { simd: 'wide' },
};
/** Each takes so many of the operators' cases, not the same ones. */
const EVERY = 25;

describe.each(Object.entries(VARIANTS))('%s', (name, options) => {
  const backend = wasmBackendWith(options);
  const first = Object.keys(VARIANTS).indexOf(name);
  const part = ['models', 'onnx-node-tests'].flatMap((folder) => {
    const root = join(DATA, folder);
    const all = existsSync(root) ? findCases(root) : [];
    return folder === 'models' ? all : all.filter((_, i) => i % EVERY === first);
  });

  it('W6: models and every 25th case of the operators', async (ctx) => {
    if (part.length === 0) ctx.skip('GRIM_DATA is not there: no onnx-node-tests, no models');
    const failures: string[] = [];
    let passed = 0;
    for (const one of part) {
      const { status, reason } = await runCase(one, backend, files);
      if (status === 'passed') passed++;
      if (status === 'failed' && !expected.has(one.name)) failures.push(`${one.name}: ${reason}`);
    }
    expect(failures).toEqual([]);
    expect(passed).toBeGreaterThan(part.length / 2);
  });

  // By the thousand: bench/soak/patterns.ts.
  it('W6, N0: random BCR patterns on whole numbers, exact in any order', async () => {
    let shared = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const { layer, x } = randomLayer(seed);
      using model = await buildWith(layer, options);
      if (options.simd) expect(model.simd).toBe(options.simd);
      if (model.threads > 1) shared++;
      const expected = evaluate(layer, { x })['y']?.data;
      expect((await model.run({ x: x.data }))['y'], `seed ${seed}`).toEqual(expected);
    }
    expect(shared).toBeGreaterThanOrEqual(options.threads ? 6 : 0);
  });
});

/** A convolution of 3×3 or 1×1 with random blocks, density and size; everything is a small whole number. */
function randomLayer(seed: number): { readonly layer: Graph; readonly x: Tensor } {
  let state = Math.imul(seed, 2654435761) >>> 0;
  const draw = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const numbers = (length: number) => Float32Array.from({ length }, () => draw(15) - 7);
  const [rows, channels, kernel, size] = [4 + draw(40), 3 + draw(20), 1 + 2 * draw(2), 6 + draw(20)];
  const cols = channels * kernel * kernel;
  const matrix = { rows, cols, data: numbers(rows * cols) };
  const blocks = blockGrid(rows, cols, 1 + draw(Math.min(rows, 16)), 1 + draw(cols));
  const pattern = projectBcr(matrix, blocks, { density: 0.1 + draw(8) / 10 });
  const x: Tensor = { dtype: 'float32', shape: [1, channels, size, size], data: numbers(channels * size * size) };
  const layer = graph('layer', (b) => {
    const data = applyPattern(matrix, pattern).data as Float32Array<ArrayBuffer>;
    const w = b.weight('w', { dtype: 'float32', shape: [rows, channels, kernel, kernel], data, pattern });
    const pad = kernel >> 1;
    const y = b.add('Conv', [b.input('x', 'float32', x.shape), w], {
      kernel_shape: [kernel, kernel],
      pads: [pad, pad, pad, pad],
    });
    b.output('y', b.add('Relu', [y]));
  });
  return { layer, x };
}

/**
 * A part of what `grim conformance DATA --backend wasm --threads 2` and `--simd wide` run whole: threads and instructions
 * change nothing but rounding.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { realCase } from '../../packages/codegen/test/patterns/cases.ts';
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

  it('W6, N1: random BCR patterns', async () => {
    let shared = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const { graph, inputs, value, bound } = realCase(seed);
      using model = await buildWith(graph, options);
      if (options.simd) expect(model.simd).toBe(options.simd);
      if (model.threads > 1) shared++;
      const found = (await model.run(inputs))['y'] as Float32Array;
      const wrong = found.findIndex((y, i) => !(Math.abs(y - (value[i] ?? 0)) <= (bound[i] ?? 0)));
      expect(wrong, `seed ${seed}`).toBe(-1);
      if (options.simd) continue;
      // Who computes a piece is no matter, nor is into how many it is cut.
      using alone = await buildWith(graph, {});
      expect(found).toEqual((await alone.run(inputs))['y']);
    }
    expect(shared).toBeGreaterThanOrEqual(options.threads ? 10 : 0);
  });
});

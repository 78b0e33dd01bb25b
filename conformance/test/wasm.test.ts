/** Every case of the shared conformance data, and the models, compiled and run as WebAssembly. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { graph, type Tensor } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { afterAll, describe, expect, it } from 'vitest';
import { type Case, type CaseResult, defaultExpectedFailures, findCases, runCase, wasmBackend } from '../src/index.ts';

const DATA = process.env['GRIM_DATA'] ?? '';
const files = { read: (path: string): Uint8Array => readFileSync(path) };
const expected = defaultExpectedFailures('wasm');
const seen = new Map<string, CaseResult>();

for (const [folder, count] of [
  ['onnx-node-tests', 691],
  ['models', 12],
] as const) {
  const root = join(DATA, folder);
  const cases: readonly Case[] = existsSync(root) ? findCases(root) : [];

  describe(`${folder} on wasm`, () => {
    it(`has ${count} cases`, (ctx) => {
      if (cases.length === 0) ctx.skip(`GRIM_DATA is not there: no ${folder}`);
      expect(cases).toHaveLength(count);
    });

    it.for(cases.map((one) => [one.name, one] as const))('%s', async ([, one], ctx) => {
      const result = await runCase(one, wasmBackend, files);
      const { status, reason } = result;
      seen.set(one.name, result);
      const known = expected.get(one.name);
      if (status === 'skipped') ctx.skip(reason ?? 'skipped');
      if (known === undefined) expect(reason ?? status).toBe('passed');
      else {
        expect(status, 'it passes: take it out of expected-failures-wasm.txt').toBe('failed');
        ctx.skip(`expected failure: ${known}`);
      }
    });

    afterAll(() => {
      const of = (status: CaseResult['status']): number =>
        cases.filter(({ name }) => seen.get(name)?.status === status).length;
      console.log(`${folder} on wasm: ${of('passed')} passed, ${of('failed')} failed, ${of('skipped')} skipped`);
    });
  });
}

describe('expected-failures-wasm.txt', () => {
  it('names only cases that there are', (ctx) => {
    const roots = ['onnx-node-tests', 'models'].map((folder) => join(DATA, folder)).filter(existsSync);
    if (roots.length === 0) ctx.skip('GRIM_DATA is not there: no onnx-node-tests, no models');
    const names = new Set(roots.flatMap((root) => findCases(root).map(({ name }) => name)));
    expect([...expected.keys()].filter((name) => !names.has(name))).toEqual([]);
  });
});

describe('the backend wasm', () => {
  const double = toOnnx(
    graph('double', (b) => {
      const x = b.input('x', 'float32', ['N']);
      b.output('y', b.add('Add', [x, x], {}, { output: 'y' }));
    }),
  );
  const floats = (...values: number[]) =>
    ({ dtype: 'float32', shape: [values.length], data: Float32Array.from(values) }) as const;

  it('is compiled anew for inputs of other shapes', async () => {
    const loaded = await wasmBackend.load(double, {});
    for (const values of [[1, 2, 3], [4], [5, 6, 7]]) {
      const found = await loaded.run(new Map([['x', floats(...values)]]));
      expect(found.get('y')).toEqual(floats(...values.map((x) => 2 * x)));
    }
  });

  it('takes a shape that is an input as a constant, of each run its own', async () => {
    const bytes = toOnnx(
      graph('reshape', (b) => {
        const x = b.input('x', 'float32', [2, 3]);
        const to = b.input('to', 'int64', [2]);
        b.output('y', b.add('Reshape', [x, to], {}, { output: 'y' }));
      }),
    );
    const loaded = await wasmBackend.load(bytes, {});
    const x = { dtype: 'float32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) } as const;
    for (const to of [
      [3, 2],
      [1, 6],
    ]) {
      const shape: Tensor = { dtype: 'int64', shape: [2], data: BigInt64Array.from(to, BigInt) };
      const inputs: [string, Tensor][] = [
        ['x', x],
        ['to', shape],
      ];
      const found = await loaded.run(new Map(inputs));
      expect(found.get('y')).toEqual({ ...x, shape: to });
    }
  });
});

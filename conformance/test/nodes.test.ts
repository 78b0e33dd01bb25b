/** Every case of the shared conformance data against the reference. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Case, defaultExpectedFailures, findCases, referenceBackend, runCase } from '../src/index.ts';

const DATA = process.env['GRIM_DATA'] ?? '';
const files = { read: (path: string): Uint8Array => readFileSync(path) };
const expected = defaultExpectedFailures();

for (const [folder, count] of [
  ['onnx-node-tests', 691],
  ['models', 12],
] as const) {
  const root = join(DATA, folder);
  const cases: readonly Case[] = existsSync(root) ? findCases(root) : [];

  describe(folder, () => {
    it(`has ${count} cases`, (ctx) => {
      if (cases.length === 0) ctx.skip(`GRIM_DATA is not there: no ${folder}`);
      expect(cases).toHaveLength(count);
    });

    it.for(cases.map((one) => [one.name, one] as const))('%s', async ([, one], ctx) => {
      const { status, reason } = await runCase(one, referenceBackend, files);
      const known = expected.get(one.name);
      if (status === 'skipped') ctx.skip(reason ?? 'skipped');
      if (known === undefined) expect(reason ?? status).toBe('passed');
      else {
        expect(status, 'it passes: take it out of expected-failures.txt').toBe('failed');
        ctx.skip(`expected failure: ${known}`);
      }
    });
  });
}

describe('expected-failures.txt', () => {
  let names: ReadonlySet<string>;
  beforeAll(() => {
    const roots = ['onnx-node-tests', 'models'].map((folder) => join(DATA, folder)).filter(existsSync);
    names = new Set(roots.flatMap((root) => findCases(root).map(({ name }) => name)));
  });

  it('names only cases that there are', (ctx) => {
    if (names.size === 0) ctx.skip('GRIM_DATA is not there: no onnx-node-tests, no models');
    expect([...expected.keys()].filter((name) => !names.has(name))).toEqual([]);
  });
});

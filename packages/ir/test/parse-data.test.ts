/** The text form of every model in the data: the networks, and the graphs of the ONNX node tests. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fromOnnx } from '../src/onnx/index.ts';
import { parse } from '../src/parse.ts';
import { print } from '../src/print.ts';
import { verify } from '../src/verify.ts';

const data = process.env['GRIM_DATA'] ?? '';

function modelsIn(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.onnx'))
      .map((name) => join(folder, name))
      .sort();
  } catch {
    return [];
  }
}

for (const folder of ['models', 'onnx-node-tests'])
  it(`print, parse, print is the identity on all of ${folder}, and none has an error`, { timeout: 120_000 }, (ctx) => {
    const files = modelsIn(join(data, folder));
    if (files.length === 0) ctx.skip(`GRIM_DATA is not there: ${folder}`);
    for (const file of files) {
      const g = fromOnnx(readFileSync(file));
      expect(
        verify(g).filter(({ severity }) => severity === 'error'),
        file,
      ).toEqual([]);
      // Compared to true: a failure would otherwise print megabytes.
      const inline = print(g);
      expect(print(parse(inline)) === inline, file).toBe(true);
      const reference = print(g, { weights: 'reference' });
      expect(print(parse(reference, { weights: g.weights }), { weights: 'reference' }) === reference, file).toBe(true);
    }
  });

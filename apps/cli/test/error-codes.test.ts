/** Every error code has a place that explains it: in the program, and on a page that is written from the same table. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES, errorPage } from '../src/error-codes.ts';
import { grim, ROOT } from './grim.ts';

/** Codes as sources write them: in quotation marks, or at the end of a sentence. */
function codesOfSources(): ReadonlySet<string> {
  const found = new Set<string>();
  const folders = ['packages', 'apps', 'tooling']
    .flatMap((group) => readdirSync(join(ROOT, group)).map((name) => join(ROOT, group, name, 'src')))
    .concat(join(ROOT, 'conformance/src'));
  for (const folder of folders) {
    let names: readonly string[];
    try {
      names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    } catch {
      continue; // a package without sources
    }
    for (const name of names) {
      if (!/\.tsx?$/.test(name) || name.endsWith('.test.ts')) continue;
      for (const [, code = ''] of readFileSync(join(folder, name), 'utf8').matchAll(/['[](GRIM_[A-Z]+_[A-Z_]+)['\]]/g))
        found.add(code);
    }
  }
  return found;
}

describe('error codes', () => {
  it('every code of the sources is explained, and no other', () => {
    const found = codesOfSources();
    expect(found.size).toBeGreaterThan(120);
    expect([...ERROR_CODES.keys()].sort()).toEqual([...found].sort());
  });

  it('the page is what the table says (vitest run test/error-codes.test.ts -u)', async () => {
    await expect(errorPage()).toMatchFileSnapshot(join(ROOT, 'docs/errors.md'));
  });

  it('each has an anchor of its own, a cause and a remedy', () => {
    const anchors = [...errorPage().matchAll(/^### (.+)$/gm)].map(([, title]) => title);
    expect(new Set(anchors).size).toBe(ERROR_CODES.size);
    for (const [code, { cause, remedy }] of ERROR_CODES)
      for (const sentence of [cause, remedy])
        expect([code, sentence]).toEqual([code, expect.stringMatching(/^.{8,}\.$/)]);
  });

  it('an error names the place that explains it, and that place is there', async () => {
    const { code, err } = await grim(['inspect', 'no-such-file.onnx'], { hints: true });
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/\[GRIM_CLI_NOT_FOUND\]\nMore: grim help GRIM_CLI_NOT_FOUND\n$/),
    ]);
    // Who reads a pipe gets the sentence alone.
    expect((await grim(['inspect', 'no-such-file.onnx'])).err).toBe(err.replace(/More:.*\n/, ''));
    const help = await grim(['help', 'grim_cli_not_found']);
    expect([help.code, help.err]).toEqual([0, '']);
    expect(help.out).toMatch(/^GRIM_CLI_NOT_FOUND\n {2}There is no file or folder/);
    for (const line of help.out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('suggests the code that was probably meant', async () => {
    const { code, err } = await grim(['help', 'GRIM_IR_CYCEL']);
    expect([code, err]).toEqual([2, expect.stringContaining('Did you mean GRIM_IR_CYCLE?')]);
  });
});

import { pack, writeArtifact } from '@grim/codegen';
import { expect, it } from 'vitest';
import { readArtifact } from '../../src/read.ts';
import { affine } from '../models.ts';
import { hostileFile, outcome } from './cases.ts';

it('F2, F3, F5, F6, F7, F16: 100,000 hostile files: an error with a code, or a file that the writer writes again', () => {
  const codes = new Map<string, number>();
  let same = 0;
  for (let seed = 1; seed <= 100_000; seed++) {
    const file = hostileFile(seed);
    const result = outcome(file);
    codes.set(result?.code ?? 'read', (codes.get(result?.code ?? 'read') ?? 0) + 1);
    if (result) {
      expect(result.message.length, `seed ${seed}`).toBeLessThan(1200);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      expect(/[\u0000-\u001f\u007f-\u009f]/.test(result.message), `seed ${seed}`).toBe(false);
    } else if (same < 3000) {
      const { minor, manifest, sections } = readArtifact(file);
      if (minor > 0) continue;
      const parts = sections.map((bytes, i) => ({ head: manifest.sections[i] as never, bytes }));
      expect(writeArtifact(manifest, parts), `seed ${seed}`).toEqual(file);
      same++;
    }
  }
  expect([...codes.keys()].sort()).toEqual([
    ...['GRIM_RUNTIME_BAD_ARTIFACT', 'GRIM_RUNTIME_BAD_SOURCE', 'GRIM_RUNTIME_BAD_VERSION', 'read'],
  ]);
  expect(codes.get('read')).toBeGreaterThan(1000);
  expect(same).toBeGreaterThan(500);
  expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect(outcome(pack(affine()))).toBeUndefined();
});

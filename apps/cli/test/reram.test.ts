/** `grim reram`: its help, its examples, and what its commands say. */
import { describe, expect, it } from 'vitest';
import { RERAM_EXAMPLES } from '../src/reram/args.ts';
import { grim, ROOT } from './grim.ts';

describe('the commands of grim reram', () => {
  it.for(['', ...Object.keys(RERAM_EXAMPLES)])('print help for "%s" within 80 columns', async (name) => {
    const { code, out, err } = await grim(['reram', ...(name ? [name] : []), '--help']);
    expect([code, err]).toEqual([0, '']);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect((RERAM_EXAMPLES[name] ?? []).length).toBeGreaterThanOrEqual(name ? 2 : 0);
    for (const [example] of RERAM_EXAMPLES[name] ?? []) expect(out).toContain(`\n  grim ${example}`);
  });

  it.for(Object.values(RERAM_EXAMPLES).flat())('run the example: grim %s', async ([line]) => {
    // Paths in the examples are those of the repository's root.
    const argv = line.split(' ').map((word) => word.replace(/(^|=)apps\//, `$1${ROOT}/apps/`));
    const { code, out, err } = await grim(argv);
    expect([code, err]).toEqual([0, '']);
    if (line.includes('--json')) expect(JSON.parse(out).schema).toBe(`grim.reram.${line.split(' ')[1]}/1`);
    else expect(out.length).toBeGreaterThan(20);
    for (const row of line.includes('--json') ? [] : out.split('\n')) expect(row.length).toBeLessThanOrEqual(80);
  });

  it('ask for a command, and for one that exists', async () => {
    for (const [argv, says] of [
      [['reram'], /a command is missing.*Usage: grim reram <command>/],
      [['reram', 'chek'], /unknown command 'chek'. Did you mean check\?/],
      [['reram', 'check'], /<file\|folder> is missing/],
    ] as const) {
      const { code, err } = await grim(argv);
      expect([code, err]).toEqual([2, expect.stringMatching(says)]);
    }
  });
});

/** `grim whatif`: times before pruning, and where sparse pays. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { breakEven } from '../src/commands/whatif.ts';
import { PRUNE_EXAMPLES } from '../src/prune/args.ts';
import { grim } from './grim.ts';
import { folderWith, outputOf, prune } from './prune-folder.ts';

describe('grim whatif', () => {
  it('prints help within 80 columns, with its examples', async () => {
    const { code, out, err } = await grim(['whatif', '--help']);
    expect([code, err]).toEqual([0, '']);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    for (const [example] of PRUNE_EXAMPLES['whatif'] ?? []) expect(out).toContain(`\n  grim ${example}`);
  });

  it('times every block at every density, says where sparse pays, and writes no file that could run', async () => {
    const { model } = folderWith();
    const argv = [
      'whatif',
      model,
      '--dim',
      'N=16',
      '--blocks',
      '2xK,4x8..8x16',
      '--density',
      '0.1..0.4',
      '--seconds',
      '1',
    ];
    const { code, out, files } = await grim([...argv, '--json']);
    expect([code, files]).toEqual([0, []]);
    const report = JSON.parse(out);
    expect(report.schema).toBe('grim.whatif/1');
    const cells = report.cells as { block: string; density: number; speedup: number; bytes: number }[];
    expect(cells.map(({ block, density }) => `${block}@${density}`)).toEqual(
      ['2xK', '4x8', '8x16'].flatMap((block) => [0.1, 0.2, 0.4].map((density) => `${block}@${density}`)),
    );
    for (const { speedup } of cells) expect(speedup).toBeGreaterThan(0);
    expect(cells[0]?.bytes).toBeLessThan(cells[2]?.bytes ?? 0);
    expect(report.layers.map(({ name }: { name: string }) => name)).toEqual(['conv2', 'conv3', 'fc1']);
    const text = await grim([...argv.slice(0, -4), '--density', '0.2', '--seconds', '1']);
    for (const row of text.out.split('\n')) expect(row.length).toBeLessThanOrEqual(80);
  });

  it('compares with a network that was really pruned, and wants its block and density for that', async () => {
    const { folder, data, model } = folderWith();
    const { files } = await prune(data, join(folder, 'p.ir'), '--block', '4x16');
    writeFileSync(join(folder, 'p.ir'), outputOf(files, 'p.ir'));
    const check = ['whatif', model, '--check', join(folder, 'p.ir'), '--seconds', '1', '--json', '--dim', 'N=8'];
    const { code, out } = await grim([...check, '--blocks', '4x16', '--density', '0.5']);
    expect(code).toBe(0);
    const { speedup, predictedSpeedup, off } = JSON.parse(out).check;
    expect(off).toBeCloseTo(predictedSpeedup / speedup - 1, 10);
    expect((await grim([...check, '--density', '0.1,0.5'])).code).toBe(2);
  });

  it('finds the density where sparse and dense meet, between those that were measured', () => {
    const cells = (ratios: readonly number[]) =>
      ratios.map((ratio, i) => ({
        block: { rows: 4, cols: 16 },
        density: 0.1 * 2 ** i,
        layers: [{ name: 'a', ms: ratio, denseMs: 1, kernel: '' }],
      }));
    expect(breakEven('a', cells([0.25, 0.5, 0.9]))).toBe(1);
    expect(breakEven('a', cells([1.25, 1.5, 1.9]))).toBe(null);
    // Half way on a logarithmic axis between 0.2 and 0.4.
    expect(breakEven('a', cells([0.25, 0.5, 1.5]))).toBeCloseTo(0.2 * Math.SQRT2, 10);
    expect(breakEven('b', cells([0.25, 0.5, 1.5]))).toBe(null);
  });
});

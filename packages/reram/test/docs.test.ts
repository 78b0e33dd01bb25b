/** Tables of docs/reram.md that name the networks of `bench/results` say what was measured there, row by row. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
const FILE = 'bench/results/2026-11-23-reram-codesign.json';

interface Report {
  readonly model: string;
  readonly examples: number;
  readonly rows: readonly {
    readonly what: string;
    readonly accuracy: number;
    readonly examples?: number;
    readonly adcBits: number;
    readonly certified: boolean;
    readonly energyUj: number;
    readonly areaMm2: number;
    readonly gopsPerW: number;
    readonly gopsPerMm2: number;
  }[];
}

const reports = JSON.parse(readFileSync(join(ROOT, FILE), 'utf8')) as readonly Report[];
const text = readFileSync(join(ROOT, 'docs/reram.md'), 'utf8');

describe('docs/reram.md', () => {
  it.for(['resnet20_cifar10', 'kws_gru_l'])('M6: the table of %s has the rows of the measurement', (model) => {
    const report = reports.find((one) => one.model === model);
    const [, after = ''] = text.split(`| \`${model}\` |`);
    const [table = ''] = after.split('\n\n');
    const rows = table
      .split('\n')
      .slice(2)
      .map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      );
    const base = report?.rows[0];
    const wanted = report?.rows.map((row) => [
      row.what,
      `${(100 * row.accuracy).toFixed(1)} % of ${row.examples ?? report.examples}`,
      `${row.adcBits}${row.certified ? '' : ', clips'}`,
      row.energyUj.toFixed(2),
      row.areaMm2.toFixed(3),
      `${((base?.energyUj ?? 0) / row.energyUj).toFixed(2)}×`,
      `${((base?.areaMm2 ?? 0) / row.areaMm2).toFixed(2)}×`,
      `${(row.gopsPerW / (base?.gopsPerW ?? 1)).toFixed(2)}×`,
      `${(row.gopsPerMm2 / (base?.gopsPerMm2 ?? 1)).toFixed(2)}×`,
    ]);
    expect(rows).toEqual(wanted);
  });
});

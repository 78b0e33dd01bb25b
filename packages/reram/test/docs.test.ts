/** docs/reram.md: its script runs and finds what a slow search finds; its tables say what was measured, row by row. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromOnnx } from '@grim/ir/onnx';
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
    readonly powerMw: number;
    readonly gopsPerW: number;
    readonly gopsPerMm2: number;
  }[];
}

const reports = JSON.parse(readFileSync(join(ROOT, FILE), 'utf8')) as readonly Report[];
const text = readFileSync(join(ROOT, 'docs/reram.md'), 'utf8');

/** Largest sum of levels of any column, by the definition: signs apart, two bits a cell, 128 lines a block. */
function largestSum(): number {
  const { nodes, weights } = fromOnnx(readFileSync(join(ROOT, 'apps/cli/demo/tiny-cnn/model.onnx')), {
    dims: { N: 1 },
  });
  let largest = 0;
  for (const node of nodes) {
    const weight = weights.get(node.inputs[1] ?? '');
    if (!weight || (node.op !== 'Conv' && node.op !== 'Gemm')) continue;
    if (node.op === 'Gemm') expect(node.attributes.transB).toBe(1);
    const values = Array.from(weight.data as Float32Array);
    const outputs = weight.shape[0] ?? 1;
    const inputs = values.length / outputs;
    for (let output = 0; output < outputs; output++) {
      const filter = values.slice(output * inputs, (output + 1) * inputs);
      const step = Math.max(...filter.map(Math.abs)) / 127 || 1;
      for (let first = 0; first < inputs; first += 128)
        for (const sign of [1, -1])
          for (let slice = 0; slice < 4; slice++) {
            const levels = filter.slice(first, first + 128).map((w) => {
              const magnitude = Math.max(0, sign * Math.round(w / step));
              return Math.floor(magnitude / 4 ** slice) % 4;
            });
            largest = Math.max(
              largest,
              levels.reduce((sum, level) => sum + level, 0),
            );
          }
    }
  }
  return largest;
}

describe('docs/reram.md', () => {
  it('its script has ten lines, runs as it stands, and finds the smallest converter that loses nothing', () => {
    const [, after = ''] = text.split('```ts\n');
    const [script = ''] = after.split('```');
    expect(script.split('\n').filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(10);
    const folder = join(import.meta.dirname, '../.results');
    mkdirSync(folder, { recursive: true });
    // Beside the package, where its imports are found.
    const file = join(folder, `docs-script-${process.pid}.ts`);
    writeFileSync(file, script);
    try {
      const { stdout, stderr } = spawnSync(process.execPath, ['--conditions=@grim/source', file], {
        cwd: ROOT,
        encoding: 'utf8',
      });
      const bits = Math.ceil(Math.log2(largestSum() + 1));
      expect([stderr, stdout]).toEqual([
        '',
        expect.stringMatching(new RegExp(`^${bits} bits, [1-9][0-9]* columns proved, 0 problems\n$`)),
      ]);
    } finally {
      rmSync(file, { force: true });
    }
  });

  it.for(['dscnn_kws', 'resnet20_cifar10', 'kws_gru_l'])(
    'M6: the table of %s has the rows of the measurement',
    (model) => {
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
        row.powerMw.toFixed(1),
        row.areaMm2.toFixed(3),
        `${((base?.energyUj ?? 0) / row.energyUj).toFixed(2)}×`,
        `${((base?.areaMm2 ?? 0) / row.areaMm2).toFixed(2)}×`,
        `${(row.gopsPerW / (base?.gopsPerW ?? 1)).toFixed(2)}×`,
        `${(row.gopsPerMm2 / (base?.gopsPerMm2 ?? 1)).toFixed(2)}×`,
      ]);
      const byName = (list: readonly (readonly string[])[] = []) =>
        list.toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1));
      expect(byName(rows)).toEqual(byName(wanted));
    },
  );
});

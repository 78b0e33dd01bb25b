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

/** Cells of the table that begins with a heading. */
function tableOf(heading: string): readonly (readonly string[])[] {
  const [, after = ''] = text.split(`| ${heading} |`);
  const [table = ''] = after.split('\n\n');
  return table
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
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
      // Those that the page speaks of, and all others.
      const rows = [`\`${model}\``, `\`${model}\`, other rows`].flatMap(tableOf);
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

  it('M6: what it says of ResNet-20 at equal accuracy is what the rows give', () => {
    const rows = new Map(reports.find(({ model }) => model === 'resnet20_cifar10')?.rows.map((row) => [row.what, row]));
    const of = (what: string) => {
      const row = rows.get(what);
      if (!row) throw new Error(`${what} was not measured`);
      return row;
    };
    const whole = 'whole arrays gone (0.8 of the inputs kept)';
    const dense = of('dense, ISAAC 8 bits');
    const [wide, narrow] = [of(`${whole}, ISAAC 8 bits`), of(`${whole}, 5-bit weights, ISAAC 8 bits`)];
    const best = of(`${whole} and CP 32, 5-bit weights, fitted to 5 bits a sign`);
    const four = of(`${whole} and CP 16, 5-bit weights, fitted to 4 bits a sign`);
    type Row = typeof dense;
    const times = (a: Row, b: Row, key: 'energyUj' | 'areaMm2') => `${(a[key] / b[key]).toFixed(2)}×`;
    const said = [
      `${times(dense, wide, 'energyUj')} energy and ${times(dense, wide, 'areaMm2')} area, and no accuracy lost`,
      `With weights of 5 bits ${times(dense, narrow, 'energyUj')} energy`,
      `bring another ${times(narrow, best, 'energyUj')} energy and ${times(narrow, best, 'areaMm2')} area`,
      `${times(dense, best, 'energyUj')} and ${times(dense, best, 'areaMm2')} in all`,
      `${times(narrow, best, 'energyUj')} energy and ${times(narrow, best, 'areaMm2')} area at the same 5-bit weights`,
      `${times(wide, best, 'energyUj')} and ${times(wide, best, 'areaMm2')} against its 8-bit weights`,
      `${(100 * four.accuracy).toFixed(1)} % with CP 16, which is ${times(dense, four, 'energyUj')} energy and ${times(dense, four, 'areaMm2')} area`,
      `${(100 * (dense.accuracy - four.accuracy)).toFixed(1)} points below dense`,
    ];
    const prose = text.replace(/\s+/g, ' ');
    expect(said.filter((sentence) => !prose.includes(sentence))).toEqual([]);
    for (const row of [wide, narrow, best]) {
      expect(row.examples).toBe(1000);
      expect(row.accuracy).toBeGreaterThanOrEqual(dense.accuracy - 0.005);
      expect(row.certified).toBe(true);
    }
    // Biased storage gains nothing from the same pruning.
    const biased = of('CP 16, biased storage');
    expect([biased.energyUj, biased.areaMm2, biased.adcBits]).toEqual([dense.energyUj, dense.areaMm2, 8]);
  });
});

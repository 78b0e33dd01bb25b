/**
 * Writes the tables of docs/reram.md from what `codesign.ts` measured: two for each network, found by their headings: the
 * rows that the page speaks of, and all others, folded.
 *
 *   node --conditions=@grim/source reram/tables.ts   (npm run reram:tables)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const DOCS = join(ROOT, 'docs/reram.md');
const FILE = join(ROOT, 'bench/results/2026-11-23-reram-codesign.json');

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
    readonly powerMw: number;
    readonly areaMm2: number;
    readonly gopsPerW: number;
    readonly gopsPerMm2: number;
  }[];
}

/** Dense first, then what is pruned, then what is pruned and trained. */
const GROUPS = ['dense, ISAAC 8 bits', 'dense, pairs', 'dense, fitted', 'dense', 'CP', 'whole', 'structured'];
const rank = (what: string): number =>
  GROUPS.findIndex((group) => what.startsWith(group)) * 2 + Number(what.includes('trained'));
/** Of ResNet-20 at equal accuracy: what is done, one thing after the other, and the row that measured it. */
const STEPS: readonly (readonly [what: string, row: string])[] = [
  ['dense ISAAC, 8-bit weights', 'dense, ISAAC 8 bits'],
  ['weights of 5 bits', 'dense, ISAAC 8 bits, 5-bit weights'],
  ['structured pruning, 8-bit weights', 'whole arrays gone (0.8 of the inputs kept), ISAAC 8 bits'],
  ['both', 'whole arrays gone (0.8 of the inputs kept), 5-bit weights, ISAAC 8 bits'],
  [
    'signs apart too, fitted to 5 bits a sign',
    'whole arrays gone (0.8 of the inputs kept), 5-bit weights, fitted to 5 bits a sign',
  ],
  ['and CP 32', 'whole arrays gone (0.8 of the inputs kept) and CP 32, 5-bit weights, fitted to 5 bits a sign'],
];
const HEAD = ['right', 'ADC', 'µJ', 'mW', 'mm²', 'energy', 'area', 'GOPS/W', 'GOPS/mm²'];

/** The rows that the page speaks of, in its order. */
const SHOWN: Readonly<Record<string, readonly string[]>> = {
  dscnn_kws: [
    'dense, ISAAC 8 bits',
    'dense, ISAAC, mixed converters at 85 % of the energy',
    'dense, pairs of columns, two conversions',
    'dense, fitted to 5 bits a sign',
    'dense, fitted to 4 bits a sign',
    'CP 16, biased storage',
    'CP 16, fitted to 4 bits a sign',
    'CP 8 trained, fitted to 4 bits a sign',
  ],
  resnet20_cifar10: [
    'dense, ISAAC 8 bits',
    'dense, ISAAC 8 bits, 5-bit weights',
    'dense, pairs of columns, two conversions',
    'CP 16, biased storage',
    'CP 16, fitted to 4 bits a sign',
    'whole arrays gone (0.8 of the inputs kept), ISAAC 8 bits',
    'whole arrays gone (0.8 of the inputs kept), 5-bit weights, ISAAC 8 bits',
    'dense, 5-bit weights, fitted to 5 bits a sign',
    'CP 32, 5-bit weights, fitted to 5 bits a sign',
    'whole arrays gone (0.8 of the inputs kept), 5-bit weights, fitted to 5 bits a sign',
    'whole arrays gone (0.8 of the inputs kept) and CP 32, 5-bit weights, fitted to 5 bits a sign',
    'whole arrays gone (0.8 of the inputs kept), 5-bit weights, fitted to 4 bits a sign',
    'whole arrays gone (0.8 of the inputs kept) and CP 32, 5-bit weights, fitted to 4 bits a sign',
    'whole arrays gone (0.8 of the inputs kept) and CP 16, 5-bit weights, fitted to 4 bits a sign',
    'whole arrays gone (0.8 of the inputs kept) and CP 16, 5-bit weights, fitted to 4 bits a sign, two conversions',
  ],
  kws_gru_l: [
    'dense, ISAAC 8 bits',
    'dense, ISAAC, mixed converters at 85 % of the energy',
    'CP 16, biased storage',
    'CP 16, fitted to 4 bits a sign',
    'whole arrays gone (0.8 of the inputs kept), ISAAC 8 bits',
    'whole arrays gone (0.8 of the inputs kept) and CP 16, fitted to 4 bits a sign',
  ],
};

let text = readFileSync(DOCS, 'utf8');
for (const { model, rows, examples } of JSON.parse(readFileSync(FILE, 'utf8')) as readonly Report[]) {
  const ordered = rows.toSorted((a, b) => rank(a.what) - rank(b.what));
  const [base] = ordered;
  if (!base) continue;
  const ratio = (value: number) => `${value.toFixed(2)}×`;
  const line = (row: Report['rows'][number]) => [
    row.what,
    `${(100 * row.accuracy).toFixed(1)} % of ${row.examples ?? examples}`,
    `${row.adcBits}${row.certified ? '' : ', clips'}`,
    row.energyUj.toFixed(2),
    row.powerMw.toFixed(1),
    row.areaMm2.toFixed(3),
    ratio(base.energyUj / row.energyUj),
    ratio(base.areaMm2 / row.areaMm2),
    ratio(row.gopsPerW / base.gopsPerW),
    ratio(row.gopsPerMm2 / base.gopsPerMm2),
  ];
  const names = SHOWN[model] ?? [];
  const shown = names.flatMap((name) => rows.find(({ what }) => what === name) ?? []);
  if (shown.length !== names.length)
    throw new Error(
      `${model}: ${names.filter((name) => !shown.some(({ what }) => what === name)).join('; ')} not measured.`,
    );
  written(`\`${model}\``, shown.map(line));
  if (model === 'resnet20_cifar10') {
    const cells = STEPS.map(([what, name]) => {
      const [, right = '', , , , , energy = '', area = ''] = line(rows.find((row) => row.what === name) ?? base);
      return [what, right, energy, area];
    });
    written('ResNet-20', cells, ['right', 'energy', 'area']);
  }
  written(`\`${model}\`, other rows`, ordered.filter((row) => !shown.includes(row)).map(line));
}
writeFileSync(DOCS, text);

/** In place of the table whose first heading it is. */
function written(heading: string, body: readonly (readonly string[])[], columns: readonly string[] = HEAD): void {
  const lines = [[heading, ...columns], ['---', ...columns.map(() => '---')], ...body];
  const first = text.indexOf(`| ${heading} |`);
  if (first < 0) throw new Error(`docs/reram.md: no table begins with ${heading}.`);
  const end = text.indexOf('\n\n', first);
  text = text.slice(0, first) + lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n') + text.slice(end);
}

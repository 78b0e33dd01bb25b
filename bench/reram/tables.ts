/**
 * Writes the tables of docs/reram.md from what `codesign.ts` measured: one for each network, found by its heading.
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
const HEAD = ['right', 'ADC', 'µJ', 'mW', 'mm²', 'energy', 'area', 'GOPS/W', 'GOPS/mm²'];

let text = readFileSync(DOCS, 'utf8');
for (const { model, rows, examples } of JSON.parse(readFileSync(FILE, 'utf8')) as readonly Report[]) {
  const ordered = rows.toSorted((a, b) => rank(a.what) - rank(b.what));
  const [base] = ordered;
  if (!base) continue;
  const ratio = (value: number) => `${value.toFixed(2)}×`;
  const body = ordered.map((row) => [
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
  ]);
  const lines = [[`\`${model}\``, ...HEAD], ['---', ...HEAD.map(() => '---')], ...body];
  const first = text.indexOf(`| \`${model}\` |`);
  if (first < 0) throw new Error(`docs/reram.md: no table of ${model}; a line that begins with its name is needed.`);
  const end = text.indexOf('\n\n', first);
  text = text.slice(0, first) + lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n') + text.slice(end);
}
writeFileSync(DOCS, text);

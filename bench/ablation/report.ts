/** `pnpm ablation:report [FILE]` — draws docs/ablation.md and docs/ablation.svg from a result of `main.ts`. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ROOT } from '../tuner/facts.ts';
import type { Ablation } from './result.ts';

const folder = join(ROOT, 'bench/results');
const newest = readdirSync(folder)
  .filter((name) => name.endsWith('-ablation.json'))
  .sort()
  .at(-1);
const path = process.argv[2] ?? join(folder, newest ?? '');
const ablation: Ablation = JSON.parse(readFileSync(path, 'utf8'));
const { curves, bytes } = ablation;
// Where the default stayed, tuning gives the same kernels: they were timed twice, and are shown once.
const layers = ablation.layers.map(({ layer, schedule, variants }) => {
  const standing = variants.find(({ name }) => name === 'default');
  const same = schedule === undefined && standing;
  const shown = variants.map((one) => (one.name === '+ tuning' && same ? { ...standing, name: one.name } : one));
  return { layer, schedule, variants: shown };
});

const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]) =>
  [row(head), row(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(row)].join('\n');
const geometric = (values: readonly number[]) =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

const names = layers[0]?.variants.map(({ name }) => name) ?? [];
const speedups = names.map((_, i) => layers.map(({ variants }) => variants[i]?.speedup ?? Number.NaN));
const steps = table(
  ['layer', 'M×K×N', ...names],
  [
    ...layers.map(({ layer, variants }) => [
      layer.name,
      `${layer.outputs}×${9 * layer.inputs}×${layer.size ** 2}`,
      ...variants.map(({ speedup }) => speedup.toFixed(2)),
    ]),
    ['geometric mean', '', ...speedups.map((values) => geometric(values).toFixed(2))],
  ],
);
const milliseconds = table(
  ['ms', ...names],
  layers.map(({ layer, variants }) => [layer.name, ...variants.map(({ ms }) => ms.toFixed(3))]),
);
const said = (schedule: Ablation['layers'][number]['schedule']) =>
  schedule
    ? Object.entries(schedule)
        .map(([knob, value]) => (knob === 'form' ? String(value) : `${knob} ${value}`))
        .join(', ')
    : 'the default stayed';
const schedules = table(
  ['layer', 'what tuning chose'],
  layers.map(({ layer, schedule }) => [layer.name, said(schedule)]),
);

const compressions = [...new Set(curves.map(({ compression }) => compression))];
const blockNames = [...new Set(curves.map(({ block }) => block))];
const curveTable = table(
  ['block', ...compressions.map((c) => `1/${c} kept`)],
  blockNames.map((block) => [
    block,
    ...compressions.map((c) => {
      const found = curves.find((curve) => curve.block === block && curve.compression === c);
      return found ? `${found.overDense.toFixed(2)} (${found.gflops.toFixed(1)} GF/s)` : '';
    }),
  ]),
);
const byteTable = table(
  ['matrix', 'block', 'kept', 'signatures', 'CSR', 'BCRC', 'block-local', 'block-local / CSR'],
  bytes.map(({ matrix, block, compression, signatures, indexBytes }) => [
    matrix,
    block,
    `1/${compression}`,
    signatures,
    indexBytes.csr,
    indexBytes.bcrc,
    indexBytes['block-local'],
    (indexBytes['block-local'] / indexBytes.csr).toFixed(3),
  ]),
);

const load = (values: readonly number[]) => values.map((value) => value.toFixed(1)).join(' / ');

interface Search {
  readonly trials: number;
  readonly loadAverage: readonly number[];
  readonly commit: string;
  readonly results: readonly {
    readonly seed: number;
    readonly genetic: number;
    readonly random: number;
    readonly geneticOverRandom: number;
    readonly found: readonly { readonly best: readonly number[] }[];
  }[];
}

const searches = readdirSync(folder)
  .filter((name) => /-tuner-.*\.json$/.test(name))
  .sort();
const searchTables = searches.map((name) => {
  const { trials, commit, loadAverage, results }: Search = JSON.parse(readFileSync(join(folder, name), 'utf8'));
  const rows = results.map(({ seed, genetic, random, geneticOverRandom, found }) => [
    seed,
    ...found.map(({ best }) => (best.at(-1) ?? 1).toFixed(3)),
    genetic.toFixed(3),
    random.toFixed(3),
    geneticOverRandom.toFixed(3),
  ]);
  const head = [
    'seed',
    'best trial, genetic',
    'best trial, random',
    'result, genetic',
    'result, random',
    'genetic over random',
  ];
  return `\`bench/results/${name}\`, ${trials} trials each, commit \`${commit.slice(0, 8)}\`, load ${load(loadAverage)}:\n\n${table(head, rows)}`;
});

const text = `# What each step of the code generation is worth

Drawn by \`bench/ablation/report.ts\` from \`bench/results/${basename(path)}\`: ${ablation.cpu}, ${ablation.cores} cores, Node
${ablation.engine.node.slice(1)}, one thread, commit \`${ablation.commit.slice(0, 8)}\`. Load of the machine (1 / 5 / 15 minutes) before ${load(ablation.loadAverage)},
after ${load(ablation.loadAverageAfter)}: ratios are medians of neighbouring samples by the time on a core, ${ablation.rounds} rounds, and the times themselves
are too long by what other programs took from the caches. Weights are random; blocks of ${ablation.block} keep one weight in ${ablation.compression}, rows and
columns pruned.

![Speed over single rows, by step](ablation.svg)

Speed over single rows in the given order (CSR, tiles of 8 columns). Each step keeps the ones before it:

${steps}

- **dense**: all weights, zeros too, 6×8 tiles. **rows, 24 columns**: CSR with the widest tile, the strongest form of single rows.
- **+ reorder**: rows with equal columns one after the other, still each on its own.
- **+ input LRE**: tiles of up to 6 rows of a block share each load of the input; every block is a unit of its own.
- **+ output LRE**: blocks side by side that keep the same rows are one unit, and tiles are 24 columns wide: fewer loads and stores
  of sums.
- **default**: what the compiler chooses by its cost model. **+ tuning**: ${ablation.trials} trials of \`grim tune\` for the layer; where nothing
  was surely faster the default stayed, and its figures are shown.

${milliseconds}

${layers.some(({ schedule }) => schedule) ? schedules : 'In this run the default stayed in every layer.'}

## Genetic against random search

Times over that of the default, at equal numbers of trials: the best single trial (few rounds, so luck is in it), and the result after
the finals, timed again. Where a search returned the default, its result differs from 1 only by the noise between
two instances of the same kernels.

${searchTables.join('\n\n')}

## Block size

Speed over the dense form of the same layer (${curves[0]?.layer}), default schedule, and GFLOP/s on non-zeros. 1x1 is an arbitrary mask with
as many weights in every row.

${curveTable}

## Bytes of indices

Masks whose blocks lose rows and columns, bytes besides the weights on the wire. BCRC stores one column list per distinct row of the
whole matrix: where blocks prune their rows on their own there are as many as rows, and it is no smaller than CSR.

${byteTable}
`;
writeFileSync(join(ROOT, 'docs/ablation.md'), text);
writeFileSync(join(ROOT, 'docs/ablation.svg'), drawing());

/** Bars by layer, a colour for each step. */
function drawing(): string {
  const colours = ['#999999', '#bdd7e7', '#cccccc', '#9ecae1', '#6baed6', '#3182bd', '#74c476', '#238b45'];
  const [left, top, height, bar] = [40, 30, 220, 9];
  const most = Math.max(...speedups.flat(), 1);
  const group = names.length * bar + 14;
  const width = left + layers.length * group + 20;
  const y = (value: number) => top + height - (height * value) / most;
  const inXml = (name: string) => name.replace(/&/g, '&amp;').replace(/</g, '&lt;');
  const bars = layers.flatMap(({ layer, variants }, i) => [
    ...variants.map(({ name, speedup }, j) => {
      const x = left + i * group + j * bar;
      const title = `<title>${inXml(`${layer.name}, ${name}: ${speedup.toFixed(2)}`)}</title>`;
      return `<rect x="${x}" y="${y(speedup).toFixed(1)}" width="${bar - 1}" height="${(top + height - y(speedup)).toFixed(1)}" fill="${colours[j]}">${title}</rect>`;
    }),
    `<text x="${left + i * group}" y="${top + height + 12}" transform="rotate(20 ${left + i * group} ${top + height + 12})">${inXml(layer.name)}</text>`,
  ]);
  const lines = Array.from({ length: Math.floor(most) + 1 }, (_, value) => [
    `<line x1="${left}" x2="${width}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" stroke="#dddddd"/>`,
    `<text x="${left - 6}" y="${(y(value) + 3).toFixed(1)}" text-anchor="end">${value}</text>`,
  ]).flat();
  const legend = names.flatMap((name, j) => [
    `<rect x="${left + j * 100}" y="8" width="10" height="10" fill="${colours[j]}"/>`,
    `<text x="${left + j * 100 + 14}" y="17">${inXml(name)}</text>`,
  ]);
  const full = Math.max(width, left + names.length * 100);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${full} ${top + height + 70}" font-family="sans-serif" font-size="10"><title>Speed over single rows, by step and layer</title><rect width="100%" height="100%" fill="white"/>${lines.join('')}${bars.join('')}${legend.join('')}</svg>\n`;
}

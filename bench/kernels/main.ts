/**
 * `pnpm bench` — speed of the generated kernels on this machine, as GFLOP/s on non-zeros and as a share of the multiply-add
 * peak measured in the same rounds. Raw samples go to bench/results/<date>-kernels.json.
 *
 * Options: --filter PATTERN (a regular expression; names that match), --samples N (40), --sample-ms N (0.3), --simd (without relaxed SIMD),
 * --compressions 4,8,10,16, --out FILE (`-`: none).
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { interleave, type Timing } from './measure.ts';
import { convLayer, gemvCandidates, kernels, type Layer, productCandidates, rowsLayer } from './products.ts';
import { roofCandidate } from './roof.ts';
import { Arena } from './workload.ts';

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    samples: { type: 'string', default: '40' },
    'sample-ms': { type: 'string', default: '0.3' },
    compressions: { type: 'string', default: '4,8,10,16' },
    simd: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});

/** The 3×3 layers of the standard networks; the same products on rows of N. */
const LAYERS: readonly Layer[] = [
  convLayer(64, 56),
  convLayer(128, 28),
  convLayer(256, 14),
  convLayer(512, 7),
  rowsLayer(64, 576, 3136),
  rowsLayer(128, 1152, 784),
  rowsLayer(256, 2304, 196),
  rowsLayer(512, 4608, 49),
];
const BLOCKS = [
  { name: '2x128', rows: 2, cols: 128 },
  { name: '2xK', rows: 2, cols: Number.POSITIVE_INFINITY },
  { name: '4xK', rows: 4, cols: Number.POSITIVE_INFINITY },
  { name: '6xK', rows: 6, cols: Number.POSITIVE_INFINITY },
  { name: '8x128', rows: 8, cols: 128 },
  { name: '16x64', rows: 16, cols: 64 },
  { name: '32x128', rows: 32, cols: 128 },
];
const GEMV_SHAPES = [
  [1024, 1024],
  [3072, 1024],
] as const;
const GEMV_BLOCKS = [
  { name: '32x128', rows: 32, cols: 128 },
  { name: '64x256', rows: 64, cols: 256 },
  { name: '128x128', rows: 128, cols: 128 },
];

const family = { relaxed: !values.simd };
const compressions = values.compressions.split(',').map(Number);
const measuring = { samples: Number(values.samples), sampleMs: Number(values['sample-ms']) };
const all: (Timing & { readonly gflops: number; readonly share: number; readonly shareAtBest: number })[] = [];

for (const layer of [...LAYERS, ...GEMV_SHAPES]) {
  const arena = new Arena();
  const kernel = kernels(family, arena);
  const candidates =
    'name' in layer
      ? productCandidates(arena, family, kernel, layer, BLOCKS, compressions)
      : gemvCandidates(arena, family, kernel, layer, GEMV_BLOCKS, compressions);
  const chosen = candidates.filter(({ name }) => new RegExp(values.filter).test(name));
  if (chosen.length === 0) continue;
  const [top, ...timings] = interleave([roofCandidate(family), ...chosen], measuring);
  if (!top) continue;
  const rate = ({ flops, medianUs }: Timing) => flops / medianUs / 1000;
  console.log(`\n${top.name}: ${rate(top).toFixed(1)} GFLOP/s (median of ${measuring.samples})`);
  console.log(
    `${'case'.padEnd(46)}${'median µs'.padStart(11)}${'min'.padStart(10)}${'spread'.padStart(9)}  GFLOP/s  of peak  at best`,
  );
  const best = ({ flops, minUs }: Timing) => flops / minUs / 1000;
  for (const timing of [top, ...timings]) {
    const gflops = rate(timing);
    const share = gflops / rate(top);
    const shareAtBest = best(timing) / best(top);
    all.push({ ...timing, gflops, share, shareAtBest });
    const { name, medianUs, minUs, spreadUs } = timing;
    console.log(
      name.padEnd(46) +
        medianUs.toFixed(1).padStart(11) +
        minUs.toFixed(1).padStart(10) +
        spreadUs.toFixed(1).padStart(9) +
        gflops.toFixed(1).padStart(9) +
        `${(100 * share).toFixed(0)} %`.padStart(9) +
        `${(100 * shareAtBest).toFixed(0)} %`.padStart(9),
    );
  }
}

/** The share of the peak that the best tile reaches, by layer and block: at the median, and at best. */
const bests = new Map<string, { share: number; atBest: number }>();
for (const { name, share, shareAtBest } of all) {
  const [key = '', tile] = name.split(' tile ');
  if (tile === undefined) continue;
  const known = bests.get(key) ?? { share: 0, atBest: 0 };
  bests.set(key, { share: Math.max(known.share, share), atBest: Math.max(known.atBest, shareAtBest) });
}
console.log('\nbest tile, share of the peak at the median (at best)');
const percent = (share: number) => `${(100 * share).toFixed(0)}`;
for (const [key, { share, atBest }] of bests) console.log(`${key.padEnd(46)}${percent(share)} (${percent(atBest)})`);

const root = join(import.meta.dirname, '..');
const git = (...words: string[]) => execFileSync('git', words, { cwd: root, encoding: 'utf8' }).trim();
const date = new Date().toISOString();
const out = values.out ?? join(root, 'results', `${date.slice(0, 10)}-kernels.json`);
if (out !== '-') {
  const report = {
    date,
    commit: git('rev-parse', 'HEAD'),
    changed: git('status', '--porcelain', '--', '../packages/codegen', '../packages/bcr', '.') !== '',
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    engine: { node: process.version, v8: process.versions.v8 },
    flags: process.execArgv,
    family,
    ...measuring,
    meaning: 'gflops and share are of medians, on non-zeros of useful columns; share is of the peak of the same rounds',
    results: all,
  };
  writeFileSync(out, `${JSON.stringify(report)}\n`);
}

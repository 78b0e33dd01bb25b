/**
 * Whole networks against the other engines of the browser, in one page of a headless Chromium: `npx pnpm --filter @grim/bench run
 * peers [--networks mobilenet-v2,resnet18] [--samples 30]`.
 *
 * onnxruntime-web, TensorFlow.js (WebAssembly backend) and LiteRT.js, one thread each, in turn with ours in every round; a browser
 * for each network. What is compared with what, and how: `contest.ts`. Results go to bench/results/, and from there into
 * docs/comparison.md (`npm run comparison` in apps/docs).
 */
import { execFileSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findChromium, launchChromium, NO_CHROMIUM } from '@grim/browser';
import { compare, median } from '@grim/measure';
import { ARCHITECTURES, blockOf } from '../models/architectures.ts';
import { contest, versions } from './contest.ts';

const { values } = parseArgs({
  options: {
    networks: { type: 'string', default: 'resnet20-32,mobilenet-v2,resnet18' },
    samples: { type: 'string', default: '30' },
    seed: { type: 'string', default: '7' },
    out: { type: 'string' },
  },
});
const [samples, seed] = [values.samples, values.seed].map(Number) as [number, number];
const date = new Date().toISOString().slice(0, 10);
const root = join(import.meta.dirname, '..');
const out = values.out ?? join(root, 'results', `${date}-peers.json`);

/** What we prune, by network: density and blocks; `1xK` is unstructured, and the only form that a peer gains from. */
const PRUNED: Readonly<Record<string, readonly (readonly [density: number, block: string])[]>> = {
  'mobilenet-v2': [
    [0.1, '1xK'],
    [0.1, '2xK'],
    [0.1, '32x128'],
  ],
  resnet18: [[0.125, '2xK']],
};

const program = findChromium();
if (!program) throw new Error(NO_CHROMIUM);
const found: object[] = [];
for (const name of values.networks.split(',')) {
  const architecture = ARCHITECTURES[name];
  if (!architecture) throw new Error(`no network ${name}: ${Object.keys(ARCHITECTURES).join(', ')}`);
  const pruned = (PRUNED[name] ?? []).map(([density, block]) => ({
    graph: architecture({ seed, pruning: { density, ...blockOf(block) } }),
    weights: `${density} in ${block}`,
    unstructured: block === '1xK',
  }));
  const browser = await launchChromium(program);
  try {
    const { peakGflops, contenders } = await contest(browser, architecture({ seed }), pruned, samples);
    const load = loadavg()[0] ?? 0;
    console.log(`\n${name}: peak ${peakGflops.toFixed(1)} GFLOP/s, load ${load.toFixed(1)}`);
    for (const one of contenders)
      console.log(`  ${one.name.padEnd(34)} ${median(one.samplesMs).toFixed(3).padStart(9)} ms`);
    // Dense against dense; a pruned network against the dense one that others must run, and against the sparse one of one that does.
    const comparisons = contenders
      .filter(({ engine }) => engine === 'grim')
      .flatMap((ours) =>
        contenders
          .filter(({ engine, weights }) => engine !== 'grim' && (weights === 'dense' || ours.weights !== 'dense'))
          .map((theirs) => ({
            ...{ ours: ours.weights, rival: theirs.engine, theirs: theirs.weights },
            ...compare(ours.samplesMs, theirs.samplesMs),
          })),
      );
    for (const { ours, rival, theirs, ratio, low, high } of comparisons)
      console.log(`  ${ours} : ${rival}, ${theirs}  ${ratio.toFixed(2)}× [${low.toFixed(2)}, ${high.toFixed(2)}]`);
    const rounded = contenders.map((one) => ({
      ...{ ...one, medianMs: median(one.samplesMs) },
      samplesMs: one.samplesMs.map((ms) => Number(ms.toPrecision(4))),
    }));
    found.push({ name, peakGflops, load, comparisons, contenders: rounded });
    save(browser.version());
  } finally {
    await browser.close();
  }
}

function save(chromium: string): void {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, chromium, threads: 1, commit, date };
  writeFileSync(
    `${out}.tmp`,
    `${JSON.stringify({ machine, versions: versions(), seed, networks: found }, undefined, 1)}\n`,
  );
  renameSync(`${out}.tmp`, out);
}

/**
 * Accuracy at equal latency: `grim prune --target-speedup` as people run it, beside one density for all in blocks of 2×K that
 * is as fast; speeds of the networks as they were pruned, answers on test examples that were used for nothing else.
 *
 *   node --conditions=@grim/source prune/search.ts [--model resnet56_cifar10] [--speedup 3] [--examples 256] [--fast]
 *     [--keep folder] [--out results/….json]
 *   node --conditions=@grim/source prune/search.ts --curve [--model …]   blocks × densities: speed and answers of each
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { attachPatterns } from '@grim/bcr';
import { writeNpy } from '@grim/files';
import type { Graph } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { pruneOneShot } from '@grim/prune';
import { stopwatch } from '../../apps/cli/src/prune/latency.ts';
import { withLengths } from '../../apps/cli/src/prune/lengths.ts';
import { blockOf } from './cells.ts';
import { correct, ortCalibrator } from './ort.ts';
import { DATA, type Subject, subjectOf } from './subjects.ts';

const { values: args } = parseArgs({
  options: {
    model: { type: 'string', default: 'resnet56_cifar10' },
    speedup: { type: 'string', default: '3' },
    examples: { type: 'string', default: '256' },
    fast: { type: 'boolean', default: false },
    curve: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '30' },
    keep: { type: 'string' },
    out: { type: 'string' },
  },
});
const BLOCKS = ['2xK', '4xK', '2x64', '4x16', '8x32', '1xK', 'KxK'] as const;
const DENSITIES = [0.5, 0.35, 0.25, 0.18, 0.125] as const;

const { model } = args;
const subject = await subjectOf(model, Number(args.examples));
const watch = await stopwatch(withLengths(subject.dense), { seconds: 3 });
const machine = { cpu: cpus()[0]?.model, node: process.version, date: new Date().toISOString().slice(0, 10) };

if (args.curve) await curve();
else await search();

async function curve(): Promise<void> {
  for (const block of BLOCKS)
    for (const density of DENSITIES) {
      const key = { kind: 'curve', model, block, density, examples: Number(args.examples) };
      if (known(key)) continue;
      write({ ...key, ...(await uniform(subject, block, density)), ...machine });
    }
}

/** One density for all. */
async function uniform({ dense, folds, layers, options }: Subject, block: string, density: number) {
  let [right, of, speedup] = [0, 0, 0];
  for (const { batches, test } of folds) {
    const { graph } = await pruneOneShot(dense, ortCalibrator(batches), {
      density: Object.fromEntries(layers.map(({ name }) => [name, density])),
      ...{ block: blockOf(block), activationAware: 'never' },
      ...options,
    });
    right += await correct(graph, test);
    of += test.labels.length;
    speedup += (await watch.timeGraph(withLengths(graph))).speedup / folds.length;
  }
  return { correct: right, of, speedup: round(speedup, 3) };
}

async function search(): Promise<void> {
  const key = { kind: 'search', model, target: Number(args.speedup), examples: Number(args.examples), fast: args.fast };
  if (known(key)) return;
  const [fold] = subject.folds;
  if (!fold) return;
  const folder = args.keep === undefined ? mkdtempSync(join(tmpdir(), 'grim-search-')) : resolve(args.keep);
  mkdirSync(folder, { recursive: true });
  const output = join(folder, `${model}-${args.speedup}.onnx`);
  const data = join(folder, `${model}-calibration.npy`);
  writeFileSync(data, calibrationFile(fold.batches));
  const words = [
    ...['prune', join(DATA, 'models', model, 'model.onnx'), '--data', data, '--examples', args.examples],
    ...['--target-speedup', args.speedup, '--seconds', args.seconds, '-o', output, '--force', '--json'],
    ...['--curve', join(folder, `${model}-${args.speedup}.svg`), ...(args.fast ? ['--fast'] : [])],
  ];
  const started = performance.now();
  const main = resolve(import.meta.dirname, '../../apps/cli/src/main.ts');
  const { status, stdout } = spawnSync(process.execPath, ['--conditions=@grim/source', main, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`grim prune: exit ${status}`);
  const seconds = round((performance.now() - started) / 1000, 1);
  const report = JSON.parse(stdout);
  const pruned: Graph = fromOnnx(readFileSync(output));
  // ONNX keeps the zeros; the patterns are found in them again, as when it is compiled.
  const timed = await watch.timeGraph(attachPatterns(withLengths(pruned)).graph);
  const record = {
    ...key,
    dense: await correct(subject.dense, fold.test),
    correct: await correct(pruned, fold.test),
    of: fold.test.labels.length,
    // Of the network as it was pruned, and as it was said to be from synthetic masks.
    speedup: round(timed.speedup, 3),
    said: round(report.found.speedup, 3),
    bytes: { before: watch.dense.bytes, after: timed.bytes },
    weightDensity: round(report.weightDensity, 4),
    macDensity: round(report.macDensity, 4),
    ...{ density: report.found.density, block: report.found.block, candidates: report.found.candidates },
    ...{ seconds, load: round(loadavg()[0] ?? 0, 1), ...machine },
  };
  write(record);
  if (args.keep === undefined) rmSync(folder, { recursive: true, force: true });
}

/** All batches as one array. */
function calibrationFile(batches: Subject['folds'][number]['batches']): Uint8Array {
  const parts = batches.map((batch) => Object.values(batch)[0]?.data as Float32Array);
  const [, ...example] = Object.values(batches[0] ?? {})[0]?.shape ?? [];
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  const size = example.reduce((product, length) => product * length, 1);
  return writeNpy({ dtype: 'float32', shape: [all.length / size, ...example], data: all });
}

type Entry = Readonly<Record<string, unknown>>;

function entries(): readonly Entry[] {
  return args.out && existsSync(args.out) ? JSON.parse(readFileSync(args.out, 'utf8')) : [];
}

function known(key: Entry): boolean {
  return entries().some((entry) => Object.entries(key).every(([name, value]) => entry[name] === value));
}

function write(entry: Entry): void {
  console.log(JSON.stringify(entry));
  if (!args.out) return;
  const lines = [...entries(), entry].map((one) => ` ${JSON.stringify(one)}`);
  writeFileSync(`${args.out}.tmp`, `[\n${lines.join(',\n')}\n]\n`);
  renameSync(`${args.out}.tmp`, args.out);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

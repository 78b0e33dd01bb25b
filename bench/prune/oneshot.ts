/**
 * Accuracy after one-shot pruning, of real networks on examples that were used neither for training nor for calibration.
 *
 *   node --conditions=@grim/source prune/oneshot.ts --table acceptance|shape|ablation --out results/….json
 *   node --conditions=@grim/source prune/oneshot.ts --model resnet20_cifar10 --cells 0.25:2xK,0.125:4x16:magnitude
 *     [--examples 512] [--seed 1] [--aware auto|never] [--budget macs|weights] [--verbose] [--out file]
 *
 * A cell is density:block[:method]. Each runs in a process of its own, so that its memory is its own, and is left out where
 * the file has it already. Needs the data folder in GRIM_DATA.
 */
import { spawnSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { allocateDensity, pruneOneShot } from '@grim/prune';
import { blockOf, type Cell, keyOf, METHODS, type Method, TABLES } from './cells.ts';
import { correct, ortCalibrator } from './ort.ts';
import { type Record, readRecords, writeRecord } from './results.ts';
import { subjectOf } from './subjects.ts';

const { values: args } = parseArgs({
  options: {
    table: { type: 'string' },
    cell: { type: 'string' },
    model: { type: 'string', default: 'resnet20_cifar10' },
    cells: { type: 'string', default: '0.25:2xK' },
    examples: { type: 'string', default: '512' },
    seed: { type: 'string', default: '1' },
    aware: { type: 'string', default: 'auto' },
    budget: { type: 'string' },
    out: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});

if (args.cell !== undefined) {
  const record = await measured(JSON.parse(args.cell) as Cell, args.verbose);
  if (args.out) writeRecord(resolve(args.out), record);
} else for (const cell of cellsAsked()) inOwnProcess(cell);

function cellsAsked(): readonly Cell[] {
  if (args.table !== undefined) {
    const found = TABLES[args.table as keyof typeof TABLES];
    if (!found) throw new Error(`--table ${args.table}: ${Object.keys(TABLES).join(', ')} are there`);
    return found.map(({ model, density, block, method, examples, ...rest }) => {
      const { budget, aware } = rest as Partial<Cell>;
      return { model, density, block, method, examples, ...(budget && { budget }), ...(aware && { aware }) };
    });
  }
  return args.cells.split(',').map((text) => {
    const [density = '', block = '', method = 'oneshot'] = text.split(':');
    return {
      ...{ model: args.model, density: Number(density), block, method: method as Method },
      ...{ aware: args.aware as 'auto', examples: Number(args.examples), seed: Number(args.seed) },
      ...(args.budget !== undefined && { budget: args.budget as 'macs' }),
    };
  });
}

function inOwnProcess(cell: Cell): void {
  if (args.out && readRecords(resolve(args.out)).some((one) => keyOf(one) === keyOf(cell))) return;
  const words = ['--conditions=@grim/source', import.meta.filename, '--cell', JSON.stringify(cell)];
  if (args.out) words.push('--out', args.out);
  if (args.verbose) words.push('--verbose');
  const { status } = spawnSync(process.execPath, words, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${keyOf(cell)}: exit ${status}`);
}

async function measured(cell: Cell, verbose: boolean): Promise<Record> {
  const { model, density, examples, method, budget, aware = 'auto', seed = 1 } = cell;
  const { dense, folds, layers, options: own } = await subjectOf(model, examples);
  const block = blockOf(cell.block);
  const before = loadavg()[0] ?? 0;
  let [denseCorrect, found, of, seconds, slowest, loss] = [0, 0, 0, 0, 0, 0];
  const reports: Awaited<ReturnType<typeof pruneOneShot>>['layers'][number][] = [];
  const shares: { weights: number; macs: number }[] = [];
  for (const { batches, test } of folds) {
    denseCorrect += await correct(dense, test);
    const started = performance.now();
    const names = layers.map(({ name }) => name);
    const allocated =
      budget && (await allocateDensity(dense, ortCalibrator(batches), { ...own, density, block, budget, seed }));
    let last = performance.now();
    const result = await pruneOneShot(dense, ortCalibrator(batches), {
      density: allocated?.density ?? Object.fromEntries(names.map((name) => [name, density])),
      ...{ block, seed, activationAware: aware },
      ...own,
      ...METHODS[method],
      onProgress: () => {
        slowest = Math.max(slowest, performance.now() - last);
        last = performance.now();
      },
      onLayer: ({ layers: done }) => {
        const report = done.at(-1)?.reports[0];
        if (verbose && report)
          console.log(
            `  ${report.name} density ${report.density.toFixed(4)} error ${report.error?.toFixed(4)} ${report.activationAware ? 'aware' : ''} ${report.seconds.toFixed(2)} s`,
          );
      },
    });
    seconds += (performance.now() - started) / 1000;
    found += await correct(result.graph, test);
    of += test.labels.length;
    loss += result.loss / folds.length;
    reports.push(...result.layers);
    shares.push({ weights: result.weightDensity, macs: result.macDensity });
  }
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const record: Record = {
    ...cell,
    ...{ dense: denseCorrect, correct: found, of },
    weightDensity: round(mean(shares.map(({ weights }) => weights))) ?? 0,
    macDensity: round(mean(shares.map(({ macs }) => macs))) ?? 0,
    meanError: round(mean(reports.map(({ error }) => error ?? Number.NaN))),
    loss: round(loss) ?? 0,
    awareLayers: reports.filter(({ activationAware }) => activationAware).length,
    seconds: round(seconds / folds.length, 1) ?? 0,
    longestSilenceMs: round(slowest, 0) ?? 0,
    peakMegabytes: round(process.resourceUsage().maxRSS / 1024, 0) ?? 0,
    load: [round(before, 1) ?? 0, round(loadavg()[0] ?? 0, 1) ?? 0],
    ...{ cpu: cpus()[0]?.model ?? '', node: process.version, date: new Date().toISOString().slice(0, 10) },
  };
  console.log(JSON.stringify(record));
  return record;
}

function round(value: number, digits = 4): number | null {
  return Number.isFinite(value) ? Number(value.toFixed(digits)) : null;
}

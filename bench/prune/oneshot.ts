/**
 * Accuracy after one-shot pruning, of real networks on images that were used neither for training nor for calibration.
 *
 *   node --conditions=@grim/source prune/oneshot.ts [--model resnet20_cifar10] [--cells 0.25:2xK,0.125:4x16:magnitude]
 *     [--images 512] [--seed 1] [--out results/prune-oneshot.json] [--aware auto|always|never] [--allocate macs|weights]
 *
 * A cell is density:block[:method], the method a baseline's name or `oneshot`. Needs the data folder in GRIM_DATA.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { cifarBatch, standardised } from '@grim/conformance';
import { fromOnnx } from '@grim/ir/onnx';
import { allocateDensity, BASELINES, type BlockShape, type OneShotOptions, pruneOneShot } from '@grim/prune';
import { correct, ortCalibrator } from './ort.ts';

const { values: args } = parseArgs({
  options: {
    model: { type: 'string', default: 'resnet20_cifar10' },
    cells: { type: 'string', default: '0.25:2xK' },
    images: { type: 'string', default: '512' },
    batch: { type: 'string', default: '64' },
    seed: { type: 'string', default: '1' },
    aware: { type: 'string', default: 'auto' },
    allocate: { type: 'string' },
    out: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});
const data = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
const raw = args.model.startsWith('resnet8');
const dense = fromOnnx(readFileSync(join(data, 'models', args.model, 'model.onnx')));
const [images, batch] = [Number(args.images), Number(args.batch)];
const calibration = cifarBatch(data, 0);
const [input = ''] = dense.inputs.keys();
const batches = Array.from({ length: Math.floor(images / batch) }, (_, i) => ({
  [input]: {
    dtype: 'float32' as const,
    shape: [batch, 3, 32, 32],
    data: standardised(calibration, i * batch, batch, raw),
  },
}));
const sheet = cifarBatch(data, 50);
const test = { data: standardised(sheet, 0, sheet.count, raw), shape: [3, 32, 32], labels: sheet.labels };
const denseCorrect = await correct(dense, test);
console.log(`${args.model}: dense ${denseCorrect} of ${sheet.count}, ${batches.length * batch} calibration images`);

for (const cell of args.cells.split(',')) {
  const [share = '', shape = '', method = 'oneshot'] = cell.split(':');
  const side = (text = '') => (/^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY);
  const [rows, cols] = shape.split('x');
  const block: BlockShape = { rows: side(rows), cols: side(cols) };
  const baseline = method === 'oneshot' ? {} : BASELINES[method as keyof typeof BASELINES];
  const options: OneShotOptions = {
    density: Number(share),
    block,
    seed: Number(args.seed),
    activationAware: args.aware as 'auto',
    ...baseline,
  };
  const started = performance.now();
  const allocated =
    args.allocate === undefined
      ? undefined
      : await allocateDensity(dense, ortCalibrator(batches), {
          ...{ density: Number(share), block, budget: args.allocate as 'macs' | 'weights' },
        });
  const allocateSeconds = (performance.now() - started) / 1000;
  let slowest = 0;
  let last = performance.now();
  const result = await pruneOneShot(dense, ortCalibrator(batches), {
    ...options,
    ...(allocated && { density: allocated.density }),
    onProgress: () => {
      slowest = Math.max(slowest, performance.now() - last);
      last = performance.now();
    },
    onLayer: ({ layers }) => {
      const report = layers.at(-1)?.reports[0];
      if (args.verbose && report)
        console.log(
          `  ${report.name} density ${report.density.toFixed(4)} error ${report.error?.toFixed(4)} ${report.activationAware ? 'aware' : ''} ${report.seconds.toFixed(2)} s`,
        );
    },
  });
  const seconds = (performance.now() - started) / 1000;
  const found = await correct(result.graph, test);
  const mean = (of: (layer: (typeof result.layers)[number]) => number) =>
    result.layers.reduce((sum, layer) => sum + of(layer), 0) / result.layers.length;
  const record = {
    model: args.model,
    dense: denseCorrect,
    correct: found,
    of: sheet.count,
    density: Number(share),
    block: shape,
    method,
    activationAware: options.activationAware,
    ...(allocated && { budget: args.allocate, allocateSeconds: round(allocateSeconds, 1) }),
    awareLayers: result.layers.filter((layer) => layer.activationAware).length,
    weightDensity: round(result.weightDensity),
    macDensity: round(result.macDensity),
    meanError: round(mean((layer) => layer.error ?? Number.NaN)),
    loss: round(result.loss),
    calibrationImages: batches.length * batch,
    seed: options.seed,
    seconds: round(seconds, 1),
    longestSilenceMs: round(slowest, 0),
    peakMegabytes: round(process.resourceUsage().maxRSS / 1024, 0),
    cpu: cpus()[0]?.model,
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
  };
  console.log(JSON.stringify(record));
  if (args.out) {
    const file = resolve(args.out);
    const all = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as object[]) : [];
    writeFileSync(file, `${JSON.stringify([...all, record], null, 1)}\n`);
  }
}

function round(value: number, digits = 4): number | null {
  return Number.isFinite(value) ? Number(value.toFixed(digits)) : null;
}

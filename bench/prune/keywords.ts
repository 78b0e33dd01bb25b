/**
 * Accuracy of keyword spotters after one-shot pruning, in two folds: calibrated on every second record, without labels,
 * tested on the others; both halves together are the 1000 records (DS-CNN: the first fold alone, as published).
 *
 *   node --conditions=@grim/source prune/keywords.ts [--model kws_gru_l] [--cells 0.1:8x50] [--out file]
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fromOnnx } from '@grim/ir/onnx';
import { BASELINES, pruneOneShot } from '@grim/prune';
import { correct, ortCalibrator } from './ort.ts';

const { values: args } = parseArgs({
  options: {
    model: { type: 'string', default: 'kws_gru_l' },
    cells: { type: 'string', default: '0.1:8x50' },
    aware: { type: 'string', default: 'auto' },
    out: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});
const data = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
const dense = fromOnnx(readFileSync(join(data, 'models', args.model, 'model.onnx')));
const gru = args.model.startsWith('kws_gru');
const shape = gru ? [49, 10] : [1, 49, 10];
const [input = ''] = dense.inputs.keys();
const size = 490;
const records = Float32Array.from(
  new Int8Array(readFileSync(join(data, 'kws-features/kws01_mfcc_int8.bin'))),
  (q) => (q - 83) * 0.5847029,
);
// The labels' order of classes, and the GRU's own.
const classes = 'down go left no off on right stop up yes silence unknown'.split(' ');
const own = gru ? 'silence unknown yes no up down left right on off stop go'.split(' ') : classes;
const labels = readFileSync(join(data, 'kws-features/y_labels.csv'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => own.indexOf(classes[Number(line.split(',')[2])] ?? ''));

const half = (fold: number) => {
  const chosen = Array.from({ length: 500 }, (_, i) => 2 * i + fold);
  const values = new Float32Array(500 * size);
  chosen.forEach((record, i) => {
    values.set(records.subarray(record * size, (record + 1) * size), i * size);
  });
  return { data: values, shape, labels: chosen.map((record) => labels[record] as number) };
};
const folds = gru ? [0, 1] : [0];
let denseCorrect = 0;
for (const fold of folds) denseCorrect += await correct(dense, half(1 - fold));
console.log(`${args.model}: dense ${denseCorrect} of ${500 * folds.length}`);

for (const cell of args.cells.split(',')) {
  const [share = '', block = '', method = 'oneshot'] = cell.split(':');
  const side = (text = '') => (/^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY);
  const [rows, cols] = block.split('x');
  const started = performance.now();
  let found = 0;
  const reached: number[] = [];
  for (const fold of folds) {
    const calibration = half(fold);
    const batches = Array.from({ length: 10 }, (_, i) => ({
      [input]: {
        dtype: 'float32' as const,
        shape: [50, ...shape],
        data: calibration.data.subarray(i * 50 * size, (i + 1) * 50 * size),
      },
    }));
    const { graph, layers, weightDensity } = await pruneOneShot(dense, ortCalibrator(batches), {
      density: Number(share),
      block: { rows: side(rows), cols: side(cols) },
      activationAware: args.aware as 'auto',
      ...(method === 'oneshot' ? {} : BASELINES[method as keyof typeof BASELINES]),
    });
    if (args.verbose)
      for (const { name, error, activationAware } of layers)
        console.log(`  ${name} ${error?.toFixed(4)} ${activationAware}`);
    reached.push(weightDensity);
    found += await correct(graph, half(1 - fold));
  }
  const record = {
    model: args.model,
    ...{ dense: denseCorrect, correct: found, of: 500 * folds.length },
    ...{ density: Number(share), block, method },
    weightDensity: Number((reached.reduce((sum, v) => sum + v, 0) / reached.length).toFixed(4)),
    calibrationRecords: 500,
    seconds: Number(((performance.now() - started) / 1000).toFixed(1)),
    ...{ cpu: cpus()[0]?.model, node: process.version, date: new Date().toISOString().slice(0, 10) },
  };
  console.log(JSON.stringify(record));
  if (args.out) {
    const file = resolve(args.out);
    const all = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as object[]) : [];
    writeFileSync(file, `${JSON.stringify([...all, record], null, 1)}\n`);
  }
}

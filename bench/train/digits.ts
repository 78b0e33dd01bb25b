/**
 * Spoken digits: the GRU that `npm run train -- fsdd --seed S` made, pruned to a tenth and a twentieth, and trained on.
 *
 *   npm run train:digits -- [--seed 1] [--density 0.1,0.05] [--method mask|admm|reweighted] [--epochs 25]
 *     [--out results/…-train-digits.json]
 *
 * All methods take the same number of steps; ADMM and the reweighted lasso spend half of them before the cut, and begin
 * from the one-shot mask. ADMM's residuals and the share of the mask that moves are drawn beside the network, as SVG.
 * It can be stopped and started again as `pruning.ts`; state and networks lie in bench/train/.results. The 1800 training
 * recordings train and calibrate, the 180 test recordings only count.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { print } from '@grim/ir';
import { fromOnnx, toOnnx } from '@grim/ir/onnx';
import { pruneOneShot } from '@grim/prune';
import { createTrainer, type Examples, journaled, loadExamples } from '@grim/train';
import { correct, ortCalibrator } from '../prune/ort.ts';
import { answeredByGrim, type Judged, keepRecord, masksOf, storeIn, wilson, writeWhole } from './judge.ts';
import { drawHistory, trained } from './methods.ts';

const { values: args } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    density: { type: 'string', default: '0.1,0.05' },
    method: { type: 'string', default: 'mask' },
    epochs: { type: 'string', default: '25' },
    rate: { type: 'string', default: '0.004' },
    block: { type: 'string', default: '4' },
    strength: { type: 'string' },
    tag: { type: 'string', default: '' },
    threads: { type: 'string', default: '1' },
    out: { type: 'string' },
  },
});
const data = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
const results = join(import.meta.dirname, '.results');
const seed = Number(args.seed);
const made = join(results, `fsdd-${seed}.onnx`);
if (!existsSync(made)) throw new Error(`there is no ${made}: npm run train -- fsdd --seed ${seed} makes it`);

const STD = 4;
const shape = [40, 20];
const examples = loadExamples(join(data, 'fsdd/train.tar.gz'), { shape });
const { classes = [] } = examples;
const validation = loadExamples(join(data, 'fsdd/test.tar.gz'), { shape, classes });
const judged = (from: Examples): Judged => ({
  data: Float32Array.from(from.data, (value) => value / STD),
  shape,
  labels: Array.from(from.labels ?? []),
});
const dense = fromOnnx(readFileSync(made));
const denseCorrect = await correct(dense, judged(validation));
const [input = ''] = dense.inputs.keys();
const batch = 60;
const size = shape.reduce((all, length) => all * length, 1);
const calibration = judged(examples).data;
// Recordings lie by class: every third makes batches of all.
const batches = Array.from({ length: 10 }, (_, b) => {
  const own = new Float32Array(batch * size);
  for (let i = 0; i < batch; i++) own.set(calibration.subarray(3 * (10 * i + b) * size).subarray(0, size), i * size);
  return { [input]: { dtype: 'float32' as const, shape: [batch, ...shape], data: own } };
});

for (const density of args.density.split(',').map(Number)) {
  const name = `fsdd-${density}${args.method === 'mask' ? '' : `-${args.method}`}${args.tag}`;
  const folder = join(results, `${name}-${seed}`);
  mkdirSync(folder, { recursive: true });
  const block = { rows: Number(args.block), cols: Number.POSITIVE_INFINITY };
  const pruned = await pruneOneShot(dense, ortCalibrator(batches), { density, block, seed });
  const oneShot = await correct(pruned.graph, judged(validation));
  const trainer = journaled(
    createTrainer(args.method === 'mask' ? pruned.graph : dense, {
      ...{ examples, validation, batch: 50, seed, threads: Number(args.threads), clipNorm: 1 },
      prepare: { std: [STD] },
      augment: { shift: 3, noise: 0.3 },
      optimizer: { kind: 'adam' },
      distill: { teacher: dense, weight: 0.5 },
    }),
    storeIn(folder),
  );
  const steps = Number(args.epochs) * trainer.stepsPerEpoch;
  const rate = Number(args.rate);
  const strength = args.strength === undefined ? {} : { strength: Number(args.strength) };
  const course = {
    ...strength,
    trainer,
    method: args.method,
    target: { density, block },
    start: pruned.graph,
    steps,
    rate,
  };
  const { graph, cut, final, history } = await trained(course);
  if (history.length > 0) await drawHistory(`${folder}.svg`, `${name}, seed ${seed}`, history);
  await trainer.dispose();
  writeWhole(`${folder}.onnx`, toOnnx(graph));
  writeWhole(`${folder}.ir`, print(graph));
  const right = await correct(graph, judged(validation));
  const masks = masksOf(graph);
  const record = {
    ...{
      run: name,
      method: args.method,
      seed,
      density,
      block: `${args.block}xK`,
      steps,
      epochs: Number(args.epochs),
      dense: denseCorrect,
    },
    ...{ oneShot, cut: cut.correct, correct: right, of: validation.count, interval: wilson(right, validation.count) },
    dropPoints: Number(((100 * (denseCorrect - right)) / validation.count).toFixed(2)),
    must: density >= 0.1 ? 1.5 : 3,
    loss: Number(final.loss.toFixed(4)),
    ...{ maskViolations: masks.violations, weightDensity: masks.density },
    grim: await answeredByGrim(graph, judged(validation)),
    ...strength,
    ...(history.length > 0 && { history }),
    ...{ threads: Number(args.threads), cpu: cpus()[0]?.model, node: process.version },
    date: new Date().toISOString().slice(0, 10),
  };
  console.log(JSON.stringify(record));
  if (args.out) keepRecord(resolve(args.out), record);
}

/**
 * Column-proportional pruning by ADMM on a trainer: two sets, columns of few non-zeros of either sign and 8-bit levels, then
 * training under the mask; beside the same number of steps after cutting at once, and beside one-shot pruning, as it is and
 * trained on. That last network goes where `codesign.ts --cache` finds it.
 *
 *   node --conditions=@grim/source reram/admm.ts --cache folder [--model dscnn_kws] [--nonzeros 8] [--periods 10] [--steps 15]
 *     [--retrain 300] [--threads 2] [--out file]
 *
 * Training data are those of calibration (500 records; eight sheets of pictures), never the test's.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { prunableLayers, pruneOneShot } from '@grim/prune';
import { admmTrain, crossbarMask, type Projection, projectColumnProportional, projectQuantised } from '@grim/reram';
import type { NodeTrainer } from '@grim/train';
import { correct, ortCalibrator } from '../prune/ort.ts';
import { network } from './networks.ts';
import { rateOf, trainerOf, trainUnder } from './training.ts';

const { values: args } = parseArgs({
  options: {
    model: { type: 'string', default: 'dscnn_kws' },
    nonzeros: { type: 'string', default: '8' },
    periods: { type: 'string', default: '10' },
    steps: { type: 'string', default: '15' },
    retrain: { type: 'string', default: '300' },
    threads: { type: 'string', default: '2' },
    cache: { type: 'string' },
    out: { type: 'string' },
  },
});
const ROWS = 128;
const [most, periods, steps, retrain] = [args.nonzeros, args.periods, args.steps, args.retrain].map(Number) as [
  number,
  number,
  number,
  number,
];
const own = network(args.model);
const rate = rateOf(own);
const trainer = (graph: Graph = own.graph): NodeTrainer => trainerOf(own, graph, Number(args.threads));

// Layers whose weight is stored as its matrix, [filters, inputs]; blocks of lines are those of the mapping.
const layers = prunableLayers(own.graph).filter(({ groups, op }) => groups === 1 && op === 'Conv');
const sets = new Map<string, readonly Projection[]>(
  layers.map(({ weight, m, k }) => {
    const matrix = (data: Float64Array) => ({ rows: m, cols: k, data });
    return [
      weight,
      [
        (w) => projectColumnProportional(matrix(w), ROWS, most, { perSign: true }).data,
        (w) => projectQuantised(matrix(w), 8).data,
      ],
    ];
  }),
);
const masksOf = (weights: ReadonlyMap<string, Float32Array>) =>
  new Map(
    layers.map(({ weight, m, k }) => {
      const data = Float64Array.from(weights.get(weight) ?? []);
      return [
        weight,
        crossbarMask({ rows: m, cols: k, data }, { crossbarRows: ROWS, maxNonZeros: most, perSign: true }),
      ];
    }),
  );

/** Trains on under the mask of `weights`, from them. */
async function finish(on: NodeTrainer, weights: ReadonlyMap<string, Float32Array>, steps: number): Promise<Graph> {
  await on.setWeights(weights);
  return trainUnder(on, masksOf(weights), { steps, rate });
}

/** Masks and weights by layerwise reconstruction, then the same training: where few steps are all there are. */
async function fromOneShot(): Promise<{ readonly oneShot: number; readonly trained: number }> {
  const size = own.shape.reduce((all, length) => all * length, 1);
  const each = Math.floor(own.calibration.length / size / 8);
  const batches = Array.from({ length: 8 }, (_, i) => ({
    [own.input]: {
      dtype: 'float32' as const,
      shape: [each, ...own.shape],
      data: own.calibration.subarray(i * each * size, (i + 1) * each * size),
    },
  }));
  const { graph: pruned } = await pruneOneShot(own.graph, ortCalibrator(batches), {
    density: Object.fromEntries(layers.map(({ name }) => [name, 0.5])),
    block: { rows: 1, cols: ROWS },
    choose: ({ m, k }, data) =>
      crossbarMask({ rows: m, cols: k, data }, { crossbarRows: ROWS, maxNonZeros: most, perSign: true }),
  });
  const oneShot = await correct(pruned, own.test);
  console.log(`one-shot: ${oneShot}`);
  const on = trainer(pruned);
  const trainedGraph = await finish(on, await on.weights(layers.map(({ weight }) => weight)), retrain / 2);
  await on.dispose();
  if (args.cache) {
    mkdirSync(resolve(args.cache), { recursive: true });
    writeFileSync(join(resolve(args.cache), `${own.name}-trained-${most}.onnx`), toOnnx(trainedGraph));
  }
  return { oneShot, trained: await correct(trainedGraph, own.test) };
}

const start = performance.now();
const float = await correct(own.graph, own.test);
console.log(`${own.name}: float ${float} of ${own.test.labels.length}`);
const reconstructed = await fromOneShot();
console.log('one-shot, and trained on under its mask:', reconstructed);
const first = trainer();
const { weights, history } = await admmTrain(first, sets, {
  rho: Array.from({ length: periods }, (_, i) => 1e-3 * 1.8 ** i),
  ...{ steps, rate: rate / 2 },
  onPeriod: ({ rho, loss, primal }) =>
    console.log(`rho ${rho.toExponential(1)}: loss ${loss.toFixed(3)}, ||W - Z|| / ||W|| ${primal.toFixed(4)}`),
});
await first.setWeights(weights);
const projected = await correct(await first.graph(), own.test);
console.log(`after ADMM, on both sets: ${projected}`);
const graph = await finish(first, weights, retrain);
const admm = await correct(graph, own.test);
console.log(`trained on under the mask: ${admm}`);
await first.dispose();

// As many steps in all, without ADMM.
const second = trainer();
const cut = await finish(second, await second.weights(layers.map(({ weight }) => weight)), retrain + periods * steps);
const magnitude = await correct(cut, own.test);
await second.dispose();

const report = {
  note: 'Right of the test examples. CP: most non-zeros of either sign in a column of 128 lines, all convolutions of one group. projected: after ADMM, on both sets; admm: trained on under that mask; magnitude: cut at once by the same projection of the dense weights, then trained as many steps in all; oneShot: layerwise reconstruction, trained: half the retraining steps under its mask.',
  ...{
    model: own.name,
    nonzeros: most,
    of: own.test.labels.length,
    float,
    ...reconstructed,
    projected,
    admm,
    magnitude,
  },
  ...{ admmSteps: periods * steps, retrainSteps: retrain, seconds: (performance.now() - start) / 1000, history },
  ...{ cpu: cpus()[0]?.model, node: process.version, date: new Date().toISOString().slice(0, 10) },
};
console.log({ ...report, history: undefined });
if (args.out) {
  const file = resolve(args.out);
  const all = existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as { model?: string; nonzeros?: number }[])
    : [];
  const others = all.filter((one) => one.model !== own.name || one.nonzeros !== most);
  writeFileSync(file, `${JSON.stringify([...others, report], null, 1)}\n`);
}

/**
 * `pnpm tuner` — genetic search against random search at equal numbers of trials, on this machine: convolutions of ResNet-18,
 * pruned, several seeds. Both searches see the same device, draw from the same schedules and end with the same finals; what
 * each found is then timed in turn with the other and with the default, which stands there twice: how far it is from itself is
 * what such a comparison is worth. What is the same model is compared no further. Results go to
 * bench/results/<date>-tuner-<block>.json.
 *
 * Options: --trials N (32), --seeds N (5), --rounds N (7), --instances N (7), --layers REGEXP, --block RxC (4x16, C may be K),
 * --compression N (4), --out FILE (`-`: none).
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { type Candidate, compile, type Schedules, type Timed, tune } from '@grim/codegen';
import { median } from '@grim/measure';
import { measureHere } from '../../apps/cli/src/tune/measure.ts';
import { blockOf } from '../models/architectures.ts';
import { facts, ROOT } from './facts.ts';
import { blocks, LAYERS, layersGraph } from './layers.ts';

const { values } = parseArgs({
  options: {
    trials: { type: 'string', default: '32' },
    seeds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '7' },
    instances: { type: 'string', default: '7' },
    layers: { type: 'string', default: 'ResNet-18 stage [34]' },
    block: { type: 'string', default: '4x16' },
    compression: { type: 'string', default: '4' },
    out: { type: 'string' },
  },
});
const [trials, seeds, rounds] = [values.trials, values.seeds, values.rounds].map(Number) as [number, number, number];
const layers = LAYERS.filter(({ name }) => new RegExp(values.layers).test(name));
const { blockRows, blockCols } = blockOf(values.block);
const compression = Number(values.compression);
const g = layersGraph(layers, blocks(blockRows, blockCols, compression));
const strategies = ['genetic', 'random'] as const;

const started = facts();
const results = [];
for (let seed = 0; seed < seeds; seed++) {
  const measure = measureHere();
  const found = [];
  for (const strategy of strategies) {
    const best: number[] = [];
    const onProgress = (progress: { readonly best: number }) => best.push(progress.best);
    found.push({
      strategy,
      best,
      ...(await tune(g, measure, { trials, seed, rounds, strategy, threads: 1, onProgress })),
    });
  }
  const candidate = (schedules: Schedules): Candidate => ({
    schedules,
    compile: () => compile(g, { schedules, threads: 1 }),
  });
  // Where memory comes to lie makes a few per cent: several instances of each, and the median of what they say.
  const entrants = [{}, {}, ...found.map(({ schedules }) => schedules)];
  const instances: (readonly Timed[])[] = [];
  for (let i = 0; i < Number(values.instances); i++)
    instances.push(await measureHere()(entrants.map(candidate), { rounds: 21, signal: undefined }));
  const against = (i: number, j: number) =>
    median(instances.map((timed) => lowerQuartile(timed[i]?.run) / lowerQuartile(timed[j]?.run)));
  /** Of what is the same model, the time is the same. */
  const compared = (i: number, j: number) => (isDeepStrictEqual(entrants[i], entrants[j]) ? 1 : against(i, j));
  const result = {
    seed,
    /** Times over that of the default, and of the genetic search over that of the random one. */
    genetic: compared(2, 0),
    random: compared(3, 0),
    geneticOverRandom: compared(2, 3),
    /** The default's over its own: noise. */
    defaultOverItself: against(1, 0),
    found: found.map(({ strategy, best, products, measured }) => ({
      strategy,
      measured,
      best,
      products: products.map(({ nodes, ratio, after }) => ({ nodes, ratio, schedule: after })),
    })),
  };
  results.push(result);
  console.log(
    `seed ${seed}: genetic ${result.genetic.toFixed(3)}, random ${result.random.toFixed(3)} of the default's time; genetic over random ${result.geneticOverRandom.toFixed(3)}; the default over itself ${result.defaultOverItself.toFixed(3)}`,
  );
}
const logarithms = results.map(({ geneticOverRandom }) => Math.log(geneticOverRandom));
const geometricMean = Math.exp(logarithms.reduce((sum, one) => sum + one, 0) / seeds);
console.log(`genetic over random, geometric mean of ${seeds} seeds: ${geometricMean.toFixed(3)}`);
const out = values.out ?? join(ROOT, 'bench/results', `${started.date.slice(0, 10)}-tuner-${values.block}.json`);
const report = {
  ...started,
  loadAverageAfter: facts().loadAverage,
  trials,
  rounds,
  layers,
  block: values.block,
  compression,
  geometricMean,
  results,
};
if (out !== '-') writeFileSync(out, `${JSON.stringify(report)}\n`);

function lowerQuartile(times: readonly number[] = []): number {
  return times.toSorted((a, b) => a - b)[times.length >> 2] ?? Number.NaN;
}

/**
 * Monte-Carlo of fault maps, measured whole: so many independent sets of arrays with broken cells, each run on all records, in
 * two worker threads.
 *
 *   node --conditions=@grim/source reram/faults.ts [--model dscnn_kws] [--maps 100] [--records 200] [--hrs 0.000175]
 *     [--lrs 0.000904] [--threads 2] [--out file]
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type Crossbar, PRESETS, quantiseNetwork, simulateDigital, simulateQuantised } from '@grim/reram';
import { accuracy, feedsOf, network } from './networks.ts';

const { values: args } = parseArgs({
  options: {
    model: { type: 'string', default: 'dscnn_kws' },
    maps: { type: 'string', default: '100' },
    records: { type: 'string', default: '200' },
    // A hundredth of the rates of a published defect map (Chen et al., 2015): at a tenth nothing is left of DS-CNN (7 %).
    hrs: { type: 'string', default: '0.000175' },
    lrs: { type: 'string', default: '0.000904' },
    threads: { type: 'string', default: '2' },
    out: { type: 'string' },
  },
});
const own = network(args.model);
const feeds = feedsOf(own, own.test.data, 0, Number(args.records));
const quantised = quantiseNetwork(own.graph, feedsOf(own, own.calibration, 0, 32));
const crossbar: Crossbar = {
  ...PRESETS.tinyadc,
  adc: { model: 'uniform', bits: 9, range: 'unit-step' },
  device: { onOffRatio: Infinity, stuckHrs: Number(args.hrs), stuckLrs: Number(args.lrs) },
};
const maps = Number(args.maps);

if (isMainThread) {
  const exact = accuracy(simulateDigital(quantised, feeds), own.test.labels);
  const threads = Number(args.threads);
  const start = performance.now();
  const cpu = process.cpuUsage();
  const shares = await Promise.all(Array.from({ length: threads }, (_, i) => part(i, threads)));
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const all = shares.flat().sort((a, b) => a - b);
  if (all.length !== maps) throw new Error(`${all.length} of ${maps} maps were run`);
  const report = {
    note: 'All maps on all records, from starting the workers to the last result: wall clock, and processor time of all threads. Both arrays of a pair, every slice, drawn per cell.',
    ...{ model: args.model, maps, records: feeds.length, threads, seconds, cpuSeconds: (user + system) / 1e6 },
    stuck: { hrs: Number(args.hrs), lrs: Number(args.lrs) },
    accuracy: {
      ...{ integers: exact, mean: all.reduce((sum, one) => sum + one, 0) / all.length },
      ...{ least: all[0], median: all[Math.floor(all.length / 2)], most: all.at(-1) },
    },
    load: loadavg(),
    ...{ cpu: cpus()[0]?.model, node: process.version, date: new Date().toISOString().slice(0, 10) },
  };
  console.log(report);
  if (args.out) writeFileSync(resolve(args.out), `${JSON.stringify(report, null, 1)}\n`);
} else {
  const { from, to } = workerData as { readonly from: number; readonly to: number };
  const { outputs } = await simulateQuantised(quantised, feeds, crossbar, { seed: 1 + from, trials: to - from });
  parentPort?.postMessage(outputs.map((trial) => accuracy(trial, own.test.labels)));
}

function part(i: number, threads: number): Promise<readonly number[]> {
  const [from, to] = [Math.floor((i * maps) / threads), Math.floor(((i + 1) * maps) / threads)];
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { from, to },
    argv: process.argv.slice(2),
    execArgv: ['--conditions=@grim/source'],
  });
  return new Promise((done, fail) => {
    worker.on('message', done);
    worker.on('error', fail);
  });
}

/**
 * `npm run soak [-- --runs 100000] [--threads 1] [--out FILE]`: inferences of four models in turn, 25,000 of each. Their outputs must
 * keep the bits of the first, and the memory of the process stay within 1 %. Needs the data folder (GRIM_DATA). What it found goes
 * to bench/results.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { loadModel } from '@grim/runtime';
import { loadModel as loadThreads } from '@grim/runtime/threads';
import { soakModels } from './models.ts';
import { type Memory, soak, spread } from './soak.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100000' },
    threads: { type: 'string', default: '1' },
    out: { type: 'string' },
  },
});
const [runs, threads] = [Number(values.runs), Number(values.threads)];
const data = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
if (!existsSync(data)) throw new Error(`no data at ${data}: point GRIM_DATA at the folder with models/`);

const worker = () => new Worker(new URL(import.meta.resolve('@grim/runtime/threads-worker')));
const load = (grim: Uint8Array) => (threads > 1 ? loadThreads(grim, { threads, worker }) : loadModel(grim));
const models = soakModels(data);
const start = performance.now();
const found = await soak(models, {
  runs,
  every: Math.max(1, Math.floor(runs / 100)),
  load,
  onLook: ({ run, rss, heapUsed }) => {
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    if (run % (runs / 10) === 0) console.log(`${run} of ${runs}, ${seconds} s: rss ${rss}, heap ${heapUsed}`);
  },
});
// The engine optimises and allocates for a while; then nothing may grow.
const settled = runs / 10;
const spreads = Object.fromEntries(
  (['rss', 'heapUsed', 'external', 'arrayBuffers'] as const satisfies readonly (keyof Memory)[]).map((of) => [
    of,
    spread(found.memory, of, settled),
  ]),
);
const date = new Date().toISOString();
const report = {
  date,
  cpu: cpus()[0]?.model,
  engine: { node: process.version, v8: process.versions.v8 },
  threads,
  models: models.map(({ name, grim }) => ({ name, bytes: grim.length })),
  seconds: (performance.now() - start) / 1000,
  settled,
  spreads,
  ...found,
};
const suffix = threads > 1 ? `-${threads}-threads` : '';
const out = values.out ?? join(import.meta.dirname, '../../bench/results', `${date.slice(0, 10)}-soak${suffix}.json`);
writeFileSync(out, `${JSON.stringify(report)}\n`);
const shares = Object.entries(spreads).map(([of, share]) => `${of} ${(100 * share).toFixed(2)} %`);
console.log(
  `${found.different} of ${runs} with other bits; memory differs from its median by at most ${shares.join(', ')}`,
);
process.exitCode = found.different === 0 && (spreads['rss'] ?? 1) <= 0.01 ? 0 : 1;

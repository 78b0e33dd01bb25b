/**
 * Threads and wide mode: `node threads/main.ts --filter resnet18 --densities 1,0.125 --block 32x128 --threads 2 --samples 30`.
 *
 * One process; every round runs each candidate once in turn. Candidates: the model uncut on one thread, the same cut into pieces
 * on one thread (what the cuts cost), in pieces on `--threads`, with wide instructions on one thread and on `--threads`, and
 * onnxruntime-node on one thread and on `--threads`. The pieces must give the bits of the whole, the others agree with it, before
 * anything is timed. `computing` is the time that all threads of the process had a core, spinning included: of candidates with one
 * thread it is what they need, whatever else the machine does. A thread count says little on a machine that does other work: the load average stands in the result.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { compile, pack } from '@grim/codegen';
import type { Graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { loadModel, type Model, type ModelWorker, type NodeOptions } from '@grim/runtime/node';
import ort from 'onnxruntime-node';
import { ARCHITECTURES, blockOf } from '../models/architectures.ts';

interface Candidate {
  readonly name: string;
  readonly facts: object;
  readonly bytes: number;
  run(): Promise<Float32Array>;
}

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: 'resnet18|resnet20' },
    densities: { type: 'string', default: '1,0.125' },
    block: { type: 'string', default: '32x128' },
    threads: { type: 'string', default: '2' },
    samples: { type: 'string', default: '20' },
    seed: { type: 'string', default: '7' },
  },
});
const [threads, samples, seed] = [values.threads, values.samples, values.seed].map(Number) as [number, number, number];

const worker = (): ModelWorker =>
  new Worker(new URL(import.meta.resolve('@grim/runtime/threads-worker')), { execArgv: process.execArgv });

async function grim(
  name: string,
  bytes: Uint8Array,
  options: NodeOptions,
  feed: Feed,
): Promise<Candidate & Disposable> {
  const model: Model = await loadModel(bytes, { worker, ...options });
  const { simd, threads: running, reasons } = model;
  return {
    name,
    facts: { simd, threads: running, reasons },
    bytes: bytes.length,
    run: async () => (await model.run({ [feed.input]: feed.data }))[feed.output] as Float32Array,
    [Symbol.dispose]: () => model.dispose(),
  };
}

interface Feed {
  readonly input: string;
  readonly output: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

async function rival(g: Graph, count: number, feed: Feed): Promise<Candidate & Disposable> {
  const bytes = toOnnx(g);
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: ['cpu'],
    intraOpNumThreads: count,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  const feeds = { [feed.input]: new ort.Tensor('float32', feed.data, feed.shape) };
  return {
    name: `ort-node, ${count}`,
    facts: {},
    bytes: bytes.length,
    run: async () => (await session.run(feeds))[feed.output]?.data as Float32Array,
    [Symbol.dispose]: () => void session.release(),
  };
}

function feedOf(g: Graph): Feed {
  const [[input, { shape }] = ['', { shape: null }]] = g.inputs;
  const [output = ''] = g.outputs.keys();
  let state = seed;
  const data = Float32Array.from({ length: (shape as number[]).reduce((a, b) => a * b, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return { input, output, shape: shape as number[], data };
}

const at = (list: readonly number[], share: number): number =>
  list.toSorted((a, b) => a - b)[Math.floor(share * (list.length - 1))] ?? Number.NaN;

const rest = () => new Promise((resolve) => setTimeout(resolve, 20));

const rows: object[] = [];
for (const [name, build] of Object.entries(ARCHITECTURES).filter(([key]) => new RegExp(values.filter).test(key)))
  for (const density of values.densities.split(',').map(Number)) {
    const g = density < 1 ? build({ seed, pruning: { density, ...blockOf(values.block) } }) : build({ seed });
    const feed = feedOf(g);
    const [whole, cut, wide] = [{ threads: 1 }, {}, { wide: true }].map((options) => pack(compile(g, options)));
    using stack = new DisposableStack();
    const candidates: Candidate[] = [];
    const add = async (candidate: Promise<Candidate & Disposable>) => {
      const one = stack.use(await candidate);
      candidates.push(one);
      // Each is optimised before the next is loaded: wide mode sets a flag that the others must not see.
      for (let i = 0; i < 10; i++) {
        await one.run();
        await rest();
      }
    };
    await add(grim('whole, 1', whole as Uint8Array, { threads: 1 }, feed));
    await add(grim('pieces, 1', cut as Uint8Array, { threads: 1 }, feed));
    await add(grim(`pieces, ${threads}`, cut as Uint8Array, { threads }, feed));
    await add(rival(g, 1, feed));
    await add(rival(g, threads, feed));
    await add(grim('wide, 1', wide as Uint8Array, { threads: 1, wide: true }, feed));
    await add(grim(`wide, ${threads}`, wide as Uint8Array, { threads, wide: true }, feed));

    const expected = await (candidates[0] as Candidate).run();
    const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (const one of candidates) {
      const found = await one.run();
      const worst = found.reduce((most, value, i) => Math.max(most, Math.abs(value - (expected[i] ?? Number.NaN))), 0);
      const allowed = one.name.startsWith('pieces') ? 0 : 1e-4 * scale;
      if (!(worst <= allowed)) throw new Error(`${name}: ${one.name} differs by ${worst} of ${scale}`);
    }
    const before = loadavg()[0];
    const times = candidates.map(() => [] as number[]);
    const core = candidates.map(() => [] as number[]);
    for (let sample = 0; sample < samples; sample++)
      for (const [i, one] of candidates.entries()) {
        const used = process.cpuUsage();
        const start = performance.now();
        await one.run();
        times[i]?.push(performance.now() - start);
        const { user, system } = process.cpuUsage(used);
        core[i]?.push((user + system) / 1000);
      }
    const load = [before, loadavg()[0]];
    console.log(
      `\n${name}, density ${density}${density < 1 ? ` in ${values.block}` : ''}; load average ${load.map((l) => l?.toFixed(1)).join(' to ')}`,
    );
    for (const [i, one] of candidates.entries()) {
      const list = times[i] ?? [];
      console.log(
        `  ${one.name.padEnd(12)} median ${at(list, 0.5).toFixed(2).padStart(8)}  p10 ${at(list, 0.1).toFixed(2).padStart(8)}  least ${at(list, 0).toFixed(2).padStart(8)}  computing ${at(
          core[i] ?? [],
          0.5,
        )
          .toFixed(2)
          .padStart(8)} ms  ${JSON.stringify(one.facts)}`,
      );
    }
    const ratio = (lists: readonly number[][], a: number, b: number, share: number) =>
      (at(lists[a] ?? [], share) / at(lists[b] ?? [], share)).toFixed(2);
    const summary = (label: string, lists: readonly number[][], share: number) =>
      console.log(
        `  ${label.padEnd(9)} pieces cost ${ratio(lists, 1, 0, share)}, ${threads} threads ${ratio(lists, 1, 2, share)}×; wide ${ratio(lists, 1, 5, share)}×, ` +
          `over ort-node one thread ${ratio(lists, 3, 1, share)}×, wide ${ratio(lists, 3, 5, share)}×; ort-node ${threads} threads ${ratio(lists, 3, 4, share)}×`,
      );
    summary('medians', times, 0.5);
    summary('tenths', times, 0.1);
    summary('least', times, 0);
    summary('computing', core, 0.5);
    rows.push({
      name,
      density,
      block: values.block,
      load,
      candidates: candidates.map(({ name: label, facts, bytes }, i) => ({
        name: label,
        ...facts,
        bytes,
        samplesMs: times[i],
      })),
    });
  }
if (rows.length === 0)
  throw new Error(`--filter ${values.filter} matches none of ${Object.keys(ARCHITECTURES).join(', ')}`);
const folder = join(import.meta.dirname, '..', 'results');
mkdirSync(folder, { recursive: true });
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
const date = new Date().toISOString().slice(0, 10);
const file = join(folder, `${date}-threads-${values.filter.replace(/\W+/g, '_')}.json`);
const machine = {
  cpu: cpus()[0]?.model,
  cores: availableParallelism(),
  node: process.version,
  v8: process.versions.v8,
  onnxruntime: '1.30.0',
  commit,
  date,
};
writeFileSync(`${file}.tmp`, `${JSON.stringify({ machine, threads, samples, seed, rows })}\n`);
renameSync(`${file}.tmp`, file);
console.log(`\nwritten: ${file.slice(file.indexOf('bench'))}`);

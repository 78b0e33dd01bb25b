/**
 * Whole networks, dense and pruned, against onnxruntime: `node bench/models/main.ts --filter resnet18 --density 0.1
 * --block 32x128 --samples 20`.
 *
 * One process, one thread each, every round runs each candidate once in turn. Outputs are compared before timing. Ratios of
 * one run are what counts; the peak of the same run is printed beside them.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compile, pack } from '@grim/codegen';
import { type Graph, macs } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { loadModel } from '@grim/runtime';
import ortNode from 'onnxruntime-node';
import * as ortWeb from 'onnxruntime-web';
import { interleave } from '../kernels/measure.ts';
import { roofCandidate } from '../kernels/roof.ts';
import { ARCHITECTURES, blockOf, normals, type Pruning } from './architectures.ts';

interface Candidate {
  readonly name: string;
  readonly bytes: number;
  run(): Promise<Float32Array>;
}

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: 'resnet18' },
    density: { type: 'string', default: '0.1' },
    block: { type: 'string', default: '32x128' },
    samples: { type: 'string', default: '20' },
    seed: { type: 'string', default: '7' },
  },
});
const samples = Number(values.samples);
const seed = Number(values.seed);
const pruning: Pruning = { density: Number(values.density), ...blockOf(values.block) };

async function grim(name: string, g: Graph, input: Float32Array): Promise<Candidate> {
  const bytes = pack(compile(g));
  const model = await loadModel(bytes);
  const [inputName = ''] = g.inputs.keys();
  const [outputName = ''] = g.outputs.keys();
  return {
    name,
    bytes: bytes.length,
    run: async () => (await model.run({ [inputName]: input }))[outputName] as Float32Array,
  };
}

async function ort(
  name: string,
  runtime: typeof ortNode | typeof ortWeb,
  provider: string,
  g: Graph,
  input: Float32Array,
): Promise<Candidate> {
  const bytes = toOnnx(g);
  const session = await runtime.InferenceSession.create(bytes, {
    executionProviders: [provider],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  const [[inputName, { shape }] = ['', { shape: null }]] = g.inputs;
  const [outputName = ''] = g.outputs.keys();
  const feeds = { [inputName]: new runtime.Tensor('float32', input, shape as number[]) };
  return { name, bytes: bytes.length, run: async () => (await session.run(feeds))[outputName]?.data as Float32Array };
}

function median(list: readonly number[]): number {
  const sorted = list.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

ortWeb.env.wasm.numThreads = 1;
ortWeb.env.wasm.proxy = false;
const filter = new RegExp(values.filter);
const rows: object[] = [];
const [fma] = interleave([roofCandidate({ relaxed: true })], { samples: 20, sampleMs: 5 });
const peakGflops = (fma?.flops ?? 0) / (fma?.medianUs ?? 1) / 1e3;
console.log(`peak of this run: ${peakGflops.toFixed(1)} GFLOP/s (relaxed multiply-add, one thread)`);
for (const [name, build] of Object.entries(ARCHITECTURES).filter(([key]) => filter.test(key))) {
  const dense = build({ seed });
  const sparse = build({ seed, pruning });
  const [[, { shape }] = ['', { shape: null }]] = dense.inputs;
  const next = normals(seed + 1);
  const input = Float32Array.from({ length: (shape as number[]).reduce((a, b) => a * b, 1) }, () => next());
  const groups = [
    [
      await grim('grim dense', dense, input),
      await ort('ort-web dense', ortWeb, 'wasm', dense, input),
      await ort('ort-node dense', ortNode, 'cpu', dense, input),
    ],
    [
      await grim('grim pruned', sparse, input),
      await ort('ort-web pruned', ortWeb, 'wasm', sparse, input),
      await ort('ort-node pruned', ortNode, 'cpu', sparse, input),
    ],
  ];
  for (const [ours, ...others] of groups)
    for (const other of others) {
      const [a, b] = [await (ours as Candidate).run(), await other.run()];
      const scale = Math.max(...Array.from(b, Math.abs));
      const worst = Math.max(...Array.from(a, (v, i) => Math.abs(v - (b[i] ?? 0))));
      if (!(worst <= 1e-4 * scale)) throw new Error(`${name}: ${other.name} and ours differ by ${worst} of ${scale}`);
    }
  const candidates = groups.flat();
  for (let i = 0; i < 5; i++) for (const c of candidates) await c.run();
  const times = new Map(candidates.map((c) => [c.name, [] as number[]]));
  for (let sample = 0; sample < samples; sample++)
    for (const c of candidates) {
      const start = performance.now();
      await c.run();
      times.get(c.name)?.push(performance.now() - start);
    }
  const total = macs(dense).total ?? Number.NaN;
  const ms = (key: string) => median(times.get(key) ?? []);
  console.log(
    `\n${name}: ${(total / 1e9).toFixed(3)} GMAC dense; pruned to density ${pruning.density} in ${values.block} blocks`,
  );
  for (const c of candidates)
    console.log(
      `  ${c.name.padEnd(15)} ${ms(c.name).toFixed(2).padStart(9)} ms   ${((2 * total) / ms(c.name) / 1e6).toFixed(1).padStart(7)} GFLOP/s dense-equivalent   ${(c.bytes / 1e6).toFixed(2).padStart(7)} MB`,
    );
  const ratio = (a: string, b: string) => ms(a) / ms(b);
  console.log(
    `  dense: ${ratio('ort-web dense', 'grim dense').toFixed(2)}× ort-web, ${ratio('ort-node dense', 'grim dense').toFixed(2)}× ort-node;` +
      ` pruned: ${ratio('ort-web pruned', 'grim pruned').toFixed(2)}× ort-web, ${ratio('ort-node pruned', 'grim pruned').toFixed(2)}× ort-node,` +
      ` ${ratio('grim dense', 'grim pruned').toFixed(2)}× our dense`,
  );
  rows.push({
    name,
    macs: total,
    pruning: { ...pruning, block: values.block },
    candidates: candidates.map((c) => ({
      name: c.name,
      bytes: c.bytes,
      medianMs: ms(c.name),
      samplesMs: times.get(c.name),
    })),
  });
}
if (rows.length === 0)
  throw new Error(`--filter ${values.filter} matches none of ${Object.keys(ARCHITECTURES).join(', ')}`);
const folder = join(import.meta.dirname, '..', 'results');
mkdirSync(folder, { recursive: true });
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
const date = new Date().toISOString().slice(0, 10);
const file = join(
  folder,
  `${date}-models-${values.filter.replace(/\W+/g, '_')}-${values.density}-${values.block}.json`,
);
const machine = {
  cpu: cpus()[0]?.model,
  node: process.version,
  v8: process.versions.v8,
  onnxruntime: '1.30.0',
  threads: 1,
  peakGflops,
  commit,
  date,
};
writeFileSync(`${file}.tmp`, `${JSON.stringify({ machine, samples, seed, rows }, null, 1)}\n`);
renameSync(`${file}.tmp`, file);
console.log(`\nwritten: ${file.slice(file.indexOf('bench'))}`);

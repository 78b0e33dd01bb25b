/**
 * A training step of ResNet-20 beside a step graph that was written by hand for this network, in turn in one process.
 *
 *   npm run train:step -- [--peer folder] [--batch 128] [--threads 2] [--rounds 24] [--steps 0] [--out results/….json]
 *
 * `--peer` is the folder of that graph's programs (`ad.mjs`; default: prototypes/training beside the data folder). Ours is
 * the whole step of the trainer, pictures made ready and all; the peer's is the engine alone on inputs that stay the same.
 * `--steps 1000` trains so many steps of ours and notes the resident memory every 50th.
 */
import { existsSync, readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fromOnnx } from '@grim/ir/onnx';
import { median } from '@grim/measure';
import { createTrainer } from '@grim/train';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { round, writeWhole } from './judge.ts';

const { values: args } = parseArgs({
  options: {
    peer: { type: 'string' },
    batch: { type: 'string', default: '128' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '24' },
    steps: { type: 'string', default: '0' },
    out: { type: 'string' },
  },
});
const data = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
const peerFolder = resolve(args.peer ?? join(data, '../prototypes/training'));
const [batch, threads, rounds] = [Number(args.batch), Number(args.threads), Number(args.rounds)];

/** What the programs of the peer have of an automatic differentiation. */
interface Written {
  readonly params: readonly string[];
  readonly running: readonly string[];
  S(name: string): readonly number[];
  build(): Uint8Array;
}

interface Times {
  readonly wall: number[];
  readonly cpu: number[];
}

const pixels = Uint8Array.from({ length: batch * 4 * 3072 }, (_, i) => (i * 2654435761) >>> 24);
const labels = Uint8Array.from({ length: batch * 4 }, (_, i) => i % 10);
const trainer = createTrainer(fromOnnx(readFileSync(join(data, 'models/resnet20_cifar10/model.onnx'))), {
  examples: { count: batch * 4, shape: [3, 32, 32], data: pixels, labels },
  ...{ batch, threads },
  augment: { crop: 4, flip: true },
});
const own = () => trainer.train({ steps: 1, rate: 0.001 });
const record: Record<string, unknown> = { batch, threads, cpu: cpus()[0]?.model, node: process.version };

if (existsSync(join(peerFolder, 'ad.mjs'))) {
  const other = await peerStep();
  for (let i = 0; i < 3; i++) {
    await own();
    await other();
  }
  const [ours, theirs]: [Times, Times] = [
    { wall: [], cpu: [] },
    { wall: [], cpu: [] },
  ];
  for (let i = 0; i < rounds; i++) {
    await time(own, ours);
    await time(other, theirs);
  }
  for (const key of ['wall', 'cpu'] as const) {
    const ratios = ours[key].map((ms, i) => ms / (theirs[key][i] as number));
    record[key] = { ours: spread(ours[key]), peer: spread(theirs[key]), medianOfRatios: round(median(ratios)) };
    const least = Math.min(...ours[key]) / Math.min(...theirs[key]);
    console.log(
      `${key}: ours ${text(ours[key])}, peer ${text(theirs[key])} ms (least, quartile, median); ratio of least ${least.toFixed(3)}, median of ratios ${median(ratios).toFixed(3)}`,
    );
  }
} else console.log(`no peer: there is no ${peerFolder}/ad.mjs`);

const memory: [step: number, megabytes: number][] = [];
for (let step = 0; step < Number(args.steps); step++) {
  await own();
  if (step % 50 === 49) memory.push([step + 1, Math.round(process.memoryUsage().rss / 1e6)]);
}
if (memory.length > 0) console.log(`memory: ${memory.map(([step, mb]) => `${step}: ${mb} MB`).join(', ')}`);
await trainer.dispose();
if (args.out)
  writeWhole(
    resolve(args.out),
    `${JSON.stringify({ ...record, ...(memory.length > 0 && { memory }), load: loadavg()[0], date: new Date().toISOString().slice(0, 10) }, null, 1)}\n`,
  );

async function time(run: () => Promise<unknown>, into: Times): Promise<void> {
  const [before, started] = [process.cpuUsage(), performance.now()];
  await run();
  into.wall.push(performance.now() - started);
  const { user, system } = process.cpuUsage(before);
  into.cpu.push((user + system) / 1000);
}

/** A step of the graph that was written by hand, its results fed back. */
async function peerStep(): Promise<() => Promise<void>> {
  const { AD, resnet20 } = (await import(join(peerFolder, 'ad.mjs'))) as {
    AD: new (options: object) => Written;
    resnet20(a: Written, batch: number): void;
  };
  const graph = new AD({ blk: 8 });
  resnet20(graph, batch);
  const session = await InferenceSession.create(graph.build(), {
    ...{ intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential', logSeverityLevel: 3 },
  });
  const float = (values: Float32Array, shape: readonly number[]) => new Tensor('float32', values, [...shape]);
  const feeds: Record<string, Tensor> = {
    x: float(
      Float32Array.from({ length: batch * 3072 }, (_, i) => (pixels[i] as number) / 64 - 2),
      [batch, 3, 32, 32],
    ),
    y: float(
      Float32Array.from({ length: batch * 10 }, (_, i) => ((Math.floor(i / 10) - i) % 10 === 0 ? 1 : 0)),
      [batch, 10],
    ),
    lr: float(Float32Array.of(0.001), []),
    bm: float(Float32Array.of(0.1), []),
  };
  for (const name of graph.params) {
    const shape = graph.S(name);
    const size = shape.reduce((all, length) => all * length, 1);
    const deviation = shape.length > 1 ? Math.sqrt(6 / (size / (shape[0] ?? 1))) : 0;
    const fill = name.startsWith('g') ? 1 : 0;
    feeds[name] = float(
      Float32Array.from({ length: size }, (_, i) => (deviation ? deviation * Math.sin(i * 12.9898) : fill)),
      shape,
    );
    feeds[`m_${name}`] = float(new Float32Array(size), shape);
  }
  for (const name of graph.running)
    feeds[name] = float(new Float32Array(graph.S(name)[0] ?? 0).fill(name.startsWith('rv') ? 1 : 0), graph.S(name));
  return async () => {
    const results = await session.run(feeds);
    for (const name of [...graph.params, ...graph.params.map((own) => `m_${own}`), ...graph.running])
      feeds[name] = results[`o_${name}`] as Tensor;
  };
}

function sorted(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b);
}

function spread(values: readonly number[]): object {
  const list = sorted(values);
  return { least: round(list[0] ?? 0), quartile: round(list[list.length >> 2] ?? 0), median: round(median(values)) };
}

function text(values: readonly number[]): string {
  const list = sorted(values);
  return [list[0] ?? 0, list[list.length >> 2] ?? 0, median(values)].map((ms) => ms.toFixed(0)).join('/');
}

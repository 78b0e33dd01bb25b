/**
 * One network from `grim prune --target-speedup` to the answers of its `.grim` file, beside the dense one and onnxruntime-web:
 *
 *   node --conditions=@grim/source prune/end-to-end.ts --model resnet56_cifar10 --pruned folder/resnet56_cifar10-3.onnx [--by "…"]
 *     [--rounds 60] [--out results/….json]
 *
 * What `prune/search.ts --keep` leaves (or any training after it) is compiled, compared with onnxruntime's answers on the same ONNX
 * file, and then timed: one process, one thread, each once in every round, one example at a time. Right answers are those of the
 * compiled files, on examples that were used for nothing else. The table in the README is written from the results by
 * `prune/page.ts`.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { brotliCompressSync } from 'node:zlib';
import { attachPatterns } from '@grim/bcr';
import { compile, pack } from '@grim/codegen';
import type { Graph } from '@grim/ir';
import { fromOnnx, toOnnx } from '@grim/ir/onnx';
import { findPeer, openGrim, openPeer, requireEqual } from '../../apps/cli/src/bench/contenders.ts';
import { inRounds } from '../../apps/cli/src/bench/rounds.ts';
import { madeUpInputs } from '../../apps/cli/src/made-up-inputs.ts';
import { withLengths } from '../../apps/cli/src/prune/lengths.ts';
import { answeredByGrim } from '../train/judge.ts';
import { correct } from './ort.ts';
import { DATA, subjectOf } from './subjects.ts';

const { values: args } = parseArgs({
  options: {
    model: { type: 'string', default: 'resnet56_cifar10' },
    pruned: { type: 'string' },
    by: { type: 'string', default: 'grim prune' },
    rounds: { type: 'string', default: '60' },
    out: { type: 'string' },
  },
});
if (args.pruned === undefined) throw new Error('--pruned FILE.onnx is needed: what prune/search.ts --keep leaves');

const { dense, folds } = await subjectOf(args.model, 64);
const denseBytes = readFileSync(join(DATA, 'models', args.model, 'model.onnx'));
const prunedGraph = fromOnnx(readFileSync(args.pruned));
const compiled = (graph: Graph): Uint8Array => pack(compile(graph));
const one = { dense: withLengths(dense), pruned: attachPatterns(withLengths(prunedGraph)).graph };
const files = { dense: compiled(one.dense), pruned: compiled(one.pruned) };
const inputs = madeUpInputs(one.dense.inputs);

const web = await findPeer('ort-web', [import.meta.filename]);
const node = await findPeer('ort-node', [import.meta.filename]);
if (!web || !node) throw new Error('onnxruntime-web and onnxruntime-node are needed: npm run setup');
const contenders = [
  await openGrim('pruned', files.pruned, inputs),
  await openGrim('dense', files.dense, inputs),
  await openPeer('ort-web', web, toOnnx(one.dense), inputs),
  await openPeer('ort-web', web, toOnnx({ ...one.pruned }), inputs, 'ort-web, pruned'),
  await openPeer('ort-node', node, toOnnx(one.dense), inputs),
] as const;
requireEqual(contenders[0], contenders[3], 1e-3);
requireEqual(contenders[1], contenders[2], 1e-3);

// The test of the first fold alone: the search calibrated on its other half.
const test = folds[0]?.test;
if (!test) throw new Error(`${args.model}: no test examples`);
const right = {
  dense: await answeredByGrim(dense, test),
  pruned: await answeredByGrim(attachPatterns(prunedGraph).graph, test),
  'ort-web': await correct(dense, test),
  'ort-web, pruned': await correct(prunedGraph, test),
};
const measured = await inRounds(contenders, { rounds: Number(args.rounds) });
const timing = (name: string) => measured.timings.find((each) => each.name === name);
const record = {
  ...{ model: args.model, by: args.by, of: test.labels.length, right },
  ms: Object.fromEntries(measured.timings.map(({ name, medianMs }) => [name, Number(medianMs.toPrecision(4))])),
  bytes: {
    onnx: denseBytes.length,
    dense: files.dense.length,
    pruned: files.pruned.length,
    brotli: { dense: brotliCompressSync(files.dense).length, pruned: brotliCompressSync(files.pruned).length },
  },
  comparisons: measured.comparisons,
  ...{ clock: measured.clock, rounds: timing('pruned')?.wallMs.length, load: loadavg()[0] },
  samplesMs: Object.fromEntries(
    measured.timings.map(({ name, wallMs, coreMs }) => [
      name,
      (measured.clock === 'core' ? coreMs : wallMs).map((ms) => Number(ms.toPrecision(4))),
    ]),
  ),
  machine: { cpu: cpus()[0]?.model, node: process.version, threads: 1, date: new Date().toISOString().slice(0, 10) },
};
const { samplesMs, comparisons, ...said } = record;
console.log(JSON.stringify(said, null, 1));
for (const { rival, ratio, low, high } of comparisons)
  console.log(`pruned over ${rival}: ${ratio.toFixed(2)}× [${low.toFixed(2)}, ${high.toFixed(2)}]`);
if (args.out) {
  const path = resolve(args.out);
  const records: (typeof record)[] = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : [];
  const others = records.filter(({ model, by }) => model !== record.model || by !== record.by);
  writeFileSync(`${path}.tmp`, `[\n${[...others, record].map((each) => ` ${JSON.stringify(each)}`).join(',\n')}\n]\n`);
  renameSync(`${path}.tmp`, path);
}

/**
 * Whole networks against onnxruntime: `node bench/models/main.ts [--filter resnet18] [--density 0.1 --block 32x128]
 * [--rounds 20] [--profile]`. Standard architectures with made-up weights, dense or pruned, and, without --density, the
 * trained models of the data folder (GRIM_DATA).
 *
 * One process, one thread each; every round runs each engine once. Outputs are compared before anything is timed. The
 * ratios of one run are what counts, and the peak of the same minutes stands beside them. Where other programs take the
 * cores, times are those that the process had on a core. Results go to bench/results/.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { compile, pack } from '@grim/codegen';
import { type CompiledModel, macs } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { RoofSampler } from '@grim/measure';
import { processClock } from '../../apps/cli/src/bench/clock.ts';
import { findPeer, type Inputs, openGrim, openPeer, requireEqual } from '../../apps/cli/src/bench/contenders.ts';
import { profile } from '../../apps/cli/src/bench/profile.ts';
import { profileLines } from '../../apps/cli/src/bench/profile-table.ts';
import { inRounds } from '../../apps/cli/src/bench/rounds.ts';
import { madeUpInputs } from '../../apps/cli/src/made-up-inputs.ts';
import { ARCHITECTURES, blockOf } from './architectures.ts';
import { type BenchModel, trainedModels } from './trained.ts';

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    density: { type: 'string' },
    block: { type: 'string', default: '32x128' },
    rounds: { type: 'string' },
    seed: { type: 'string', default: '7' },
    profile: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
const seed = Number(values.seed);
const density = values.density === undefined ? undefined : Number(values.density);
const pruning = density === undefined ? undefined : { density, ...blockOf(values.block) };
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);

const made = Object.entries(ARCHITECTURES).map(([name, build]): [string, () => BenchModel] => [
  name,
  () => {
    const graph = build({ seed, ...(pruning && { pruning }) });
    return { graph, onnx: toOnnx(graph), inputs: madeUpInputs(graph.inputs) };
  },
]);
const data = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
const trained = pruning || !existsSync(data) ? [] : Object.entries(trainedModels(data));
const chosen = [...made, ...trained].filter(([name]) => new RegExp(values.filter).test(name));
if (chosen.length === 0) throw new Error(`--filter ${values.filter} matches none of ${made.map(([name]) => name)}`);

const found: object[] = [];
const ratios = new Map<string, number[]>();
for (const [name, load] of chosen) {
  const { graph, onnx, inputs } = load();
  const model = compile(graph);
  const file = pack(model);
  const roofs = new RoofSampler({ relaxed: true }, processClock);
  for (let i = 0; i < 5; i++) roofs.sample();
  const contenders = await openAll(file, onnx, inputs);
  const [ours, ...others] = contenders;
  if (!ours) continue;
  const errors = others.map((other) => requireEqual(ours, other, 1e-3));
  const measured = await inRounds(contenders, { rounds, budgetMs: 20_000 });
  for (let i = 0; i < 5; i++) roofs.sample();
  const { gflops: peakGflops } = roofs.roofs();
  const total = macs(graph).total;
  const kept = keptMacs(model, total);
  console.log(
    `\n${name}: ${(total / 1e6).toFixed(1)} MMAC${pruning ? `, ${(kept / 1e6).toFixed(1)} on non-zeros` : ''}`,
  );
  for (const [i, timing] of measured.timings.entries()) {
    const { medianMs, spreadMs } = timing;
    const rate = (2 * (i === 0 ? kept : total)) / medianMs / 1e6;
    const share = i === 0 ? `, ${((100 * rate) / peakGflops).toFixed(0)} % of the WASM peak` : '';
    const comparison = measured.comparisons[i - 1];
    const verdict = comparison
      ? `   ours is ${comparison.ratio.toFixed(2)}× [${comparison.low.toFixed(2)}, ${comparison.high.toFixed(2)}]: ${comparison.verdict}`
      : '';
    console.log(
      `  ${timing.name.padEnd(9)} ${medianMs.toFixed(3).padStart(10)} ms ± ${spreadMs.toFixed(3)}  ${rate.toFixed(1)} GFLOP/s${share}${verdict}`,
    );
  }
  for (const { rival, ratio } of measured.comparisons) ratios.set(rival, [...(ratios.get(rival) ?? []), ratio]);
  const slower = measured.comparisons.some(({ rival, verdict }) => rival === 'ort-web' && verdict === 'slower');
  const shown = values.profile || slower ? await profile(file, { calls: model.calls }) : undefined;
  if (shown) console.log(profileLines(shown, 110, 12).join('\n'));
  found.push({
    name,
    macs: total,
    nonZeroMacs: kept,
    peakGflops,
    largestRelativeDifference: Math.max(0, ...errors),
    clock: measured.clock,
    comparisons: measured.comparisons,
    contenders: measured.timings.map(({ wallMs, coreMs, ...timing }, i) => ({
      ...timing,
      version: contenders[i]?.version,
      bytes: contenders[i]?.bytes,
      samplesMs: (measured.clock === 'core' ? coreMs : wallMs).map((ms) => Number(ms.toPrecision(4))),
      medianWallMs: wallMs.toSorted((a, b) => a - b)[wallMs.length >> 1],
    })),
    ...(shown && { profile: shown.rows.map(({ layers, ...row }) => row) }),
  });
  save(found);
}
for (const [rival, list] of ratios)
  console.log(
    `\n${rival}: geometric mean ${Math.exp(list.reduce((sum, r) => sum + Math.log(r), 0) / list.length).toFixed(2)}× over ${list.length} models, least ${Math.min(...list).toFixed(2)}×`,
  );

async function openAll(file: Uint8Array, onnx: Uint8Array, inputs: Inputs) {
  const ours = await openGrim('grim', file, inputs);
  const others = [];
  for (const peer of ['ort-web', 'ort-node'] as const) {
    const engine = await findPeer(peer, [import.meta.filename]);
    if (!engine) throw new Error(`${peer} is not installed: npm run setup`);
    others.push(await openPeer(peer, engine, onnx, inputs));
  }
  return [ours, ...others];
}

/** Multiply-accumulates on what the patterns keep. */
function keptMacs({ manifest: { layers } }: CompiledModel, total: number): number {
  return total - layers.reduce((sum, layer) => sum + layer.macs * (1 - layer.density), 0);
}

function save(models: readonly object[]): void {
  const folder = join(import.meta.dirname, '..', 'results');
  mkdirSync(folder, { recursive: true });
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  const date = new Date().toISOString().slice(0, 10);
  const what = [values.filter.replace(/\W+/g, '_'), ...(pruning ? [density, values.block] : ['dense'])];
  const file = values.out ?? join(folder, `${date}-models-${what.filter((part) => part !== '').join('-')}.json`);
  const { node, v8 } = process.versions;
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node, v8, threads: 1, commit, date };
  const report = { machine, seed, pruning: pruning && { density, block: values.block }, models };
  writeFileSync(`${file}.tmp`, `${JSON.stringify(report, undefined, 1)}\n`);
  renameSync(`${file}.tmp`, file);
}

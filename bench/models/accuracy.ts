/**
 * Answers of whole tasks on WebAssembly, against the counts that onnxruntime-node 1.30.0 gives on the same data:
 *
 *   node --conditions=@grim/source models/accuracy.ts [task …]
 *
 * A count is compared, so single inputs may fall on the other side of a close decision. Photographs are given to
 * onnxruntime-node here, pixel for pixel, and the answers compared one by one.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { compile, pack } from '@grim/codegen';
import type { Tensor } from '@grim/ir';
import { fromOnnx, type ImportOptions } from '@grim/ir/onnx';
import { loadModel } from '@grim/runtime';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { decodeWav } from '../../apps/cli/src/inputs/wav.ts';
import { cifarBatch, standardised } from '../prune/cifar.ts';
import { mfcc } from './mfcc.ts';
import { PHOTOGRAPHS, type PhotographTask, photographs, prepared } from './photographs.ts';

const data = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
if (!existsSync(data)) throw new Error(`no data at ${data}: point GRIM_DATA at the folder with models/ and cifar10/`);

function load(name: string, options: ImportOptions) {
  const graph = fromOnnx(readFileSync(join(data, 'models', name, 'model.onnx')), options);
  return loadModel(pack(compile(graph)));
}

function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}

let wrong = 0;
function report(task: string, found: number, wanted: number, tolerance: number, of: number): void {
  const fits = Math.abs(found - wanted) <= tolerance;
  if (!fits) wrong++;
  console.log(`${task.padEnd(42)} ${found} of ${of}, reference ${wanted} ± ${tolerance}${fits ? '' : '   WRONG'}`);
}

async function images(name: string, wanted: number): Promise<void> {
  const model = await load(name, { dims: { N: 1 } });
  const batch = cifarBatch(data, 50);
  let right = 0;
  for (let i = 0; i < batch.count; i++) {
    const { logits } = await model.run({ input: standardised(batch, i, 1, name === 'resnet8_cifar10') });
    if (argmax(logits as Float32Array) === batch.labels[i]) right++;
  }
  report(name, right, wanted, 1, batch.count);
}

async function keywords(): Promise<void> {
  const model = await load('dscnn_kws', { dims: { N: 1 } });
  const features = new Int8Array(readFileSync(join(data, 'kws-features/kws01_mfcc_int8.bin')));
  const lines = readFileSync(join(data, 'kws-features/y_labels.csv'), 'utf8').trim().split('\n');
  let right = 0;
  for (const [i, line] of lines.entries()) {
    const input = Float32Array.from(features.subarray(490 * i, 490 * (i + 1)), (q) => (q - 83) * 0.5847029);
    const { logits } = await model.run({ input });
    if (argmax(logits as Float32Array) === Number(line.split(',')[2])) right++;
  }
  report('dscnn_kws', right, 901, 1, lines.length);
}

/** 512 new samples at a time, the last 64 of the chunk before in front of them, the state fed back. */
async function voice(): Promise<void> {
  const sr: Tensor = { dtype: 'int64', shape: [], data: BigInt64Array.of(16000n) };
  const model = await load('silero_vad_16k', {
    shapes: { input: [1, 576], state: [2, 1, 128] },
    constants: { sr },
  });
  const { samples } = decodeWav(readFileSync(join(data, 'audio/silero_test_60s_16k.wav')));
  let state: Float32Array = new Float32Array(256);
  let speech = 0;
  const chunks = Math.floor(samples.length / 512);
  for (let chunk = 0; chunk < chunks; chunk++) {
    const input = Float32Array.from({ length: 576 }, (_, i) => samples[512 * chunk - 64 + i] ?? 0);
    const { output, stateN } = await model.run({ input, state });
    if (((output as Float32Array)[0] ?? 0) > 0.5) speech++;
    state = stateN as Float32Array;
  }
  report('silero_vad_16k', speech, 1452, 2, chunks);
}

/** The words of four clips, by their MFCCs: class and probability as onnxruntime-node gives them (three digits are known). */
async function clips(): Promise<void> {
  const model = await load('kws_gru_l', { dims: { N: 1 } });
  const classes = 'silence unknown yes no up down left right on off stop go'.split(' ');
  const wanted = [
    ['yes', 'yes', 1],
    ['no', 'no', 1],
    ['silence', 'silence', 0.839],
    ['noise', 'silence', 0.712],
  ] as const;
  let right = 0;
  for (const [clip, word, share] of wanted) {
    const { samples } = decodeWav(readFileSync(join(data, `audio/${clip}_1000ms.wav`)));
    const logits = (await model.run({ mfcc: mfcc(samples) }))['logits'] as Float32Array;
    const best = argmax(logits);
    const sum = logits.reduce((all, logit) => all + Math.exp(logit - (logits[best] ?? 0)), 0);
    console.log(`  ${clip}: ${classes[best]} ${(1 / sum).toFixed(3)}, reference ${word} ${share.toFixed(3)}`);
    if (classes[best] === word && Math.abs(1 / sum - share) < 1e-3) right++;
  }
  report('kws_gru_l clips', right, wanted.length, 0, wanted.length);
}

/** First and first five, and onnxruntime-node on the very same pixels. */
async function photographTask(task: PhotographTask): Promise<void> {
  const model = await load(task.model, { dims: { N: 1 } });
  const peer = await InferenceSession.create(join(data, 'models', task.model, 'model.onnx'), { intraOpNumThreads: 1 });
  const list = photographs(data);
  const counts = { top1: 0, top5: 0, peer1: 0, same: 0, readme: 0 };
  for (const { file, classIndex, referenceTop1 } of list) {
    const input = await prepared(data, file, task);
    const scores = (await model.run({ [task.input]: input }))['logits'] as Float32Array;
    const fed = { [task.input]: new OrtTensor('float32', input, [1, 3, task.side, task.side]) };
    const theirs = (await peer.run(fed))['logits']?.data as Float32Array;
    const own = argmax(scores) - task.first;
    const other = argmax(theirs) - task.first;
    const order = Array.from(scores.keys()).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
    if (own === classIndex) counts.top1++;
    if (order.slice(0, 5).includes(classIndex + task.first)) counts.top5++;
    if (other === classIndex) counts.peer1++;
    if (own === other) counts.same++;
    if (own === referenceTop1[task.model]) counts.readme++;
  }
  await peer.release();
  const [top1, top5] = task.reference;
  report(`${task.model} top-1`, counts.top1, top1, 1, list.length);
  report(`${task.model} top-5`, counts.top5, top5, 1, list.length);
  report('  top-1, onnxruntime-node, same pixels', counts.top1, counts.peer1, 0, list.length);
  report('  answers as onnxruntime-node', counts.same, list.length, 1, list.length);
  report('  answers as the data folder says', counts.readme, list.length, 1, list.length);
}

const tasks: Readonly<Record<string, () => Promise<void>>> = {
  dscnn_kws: keywords,
  kws_gru_l: clips,
  resnet8_cifar10: () => images('resnet8_cifar10', 881),
  resnet20_cifar10: () => images('resnet20_cifar10', 915),
  resnet56_cifar10: () => images('resnet56_cifar10', 926),
  silero_vad_16k: voice,
  ...Object.fromEntries(PHOTOGRAPHS.map((task) => [task.model, () => photographTask(task)])),
};
const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => !(name in tasks));
if (unknown !== undefined) throw new Error(`${unknown} is no task: ${Object.keys(tasks).join(', ')}`);
for (const name of chosen.length > 0 ? chosen : Object.keys(tasks)) await tasks[name]?.();
process.exitCode = wrong === 0 ? 0 : 1;

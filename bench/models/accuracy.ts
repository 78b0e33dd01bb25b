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
import { answerTask, compileTask, TASKS, taskData } from '@grim/conformance';
import { decodeWav } from '@grim/files';
import { fromOnnx, type ImportOptions } from '@grim/ir/onnx';
import { loadModel } from '@grim/runtime';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { mfcc } from '../../examples/keywords/mfcc.ts';
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

/** The tasks that browsers are tested with, too. */
async function shared(task: (typeof TASKS)[number]): Promise<void> {
  const { name, wanted, tolerance } = task;
  const inputs = taskData(task, data);
  const grim = compileTask(task, readFileSync(join(data, 'models', name, 'model.onnx')));
  report(name, inputs.score(await answerTask(task, grim, inputs)), wanted, tolerance, inputs.count);
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
  ...Object.fromEntries(TASKS.map((task) => [task.name, () => shared(task)])),
  kws_gru_l: clips,
  ...Object.fromEntries(PHOTOGRAPHS.map((task) => [task.model, () => photographTask(task)])),
};
const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => !(name in tasks));
if (unknown !== undefined) throw new Error(`${unknown} is no task: ${Object.keys(tasks).join(', ')}`);
for (const name of chosen.length > 0 ? chosen : Object.keys(tasks)) await tasks[name]?.();
process.exitCode = wrong === 0 ? 0 : 1;

/** The inputs of the tasks, and the right answers, from the data folder. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cifarBatch, standardised } from './cifar.ts';
import type { Task, TaskInputs } from './tasks.ts';

export interface TaskData extends TaskInputs {
  /** How many answers are right; for voice: how many say that there is one. */
  score(answers: Float32Array): number;
}

/** @param data  the folder with models/, cifar10/ and so on */
export function taskData({ name }: Task, data: string): TaskData {
  if (name === 'dscnn_kws') return keywords(data);
  if (name === 'silero_vad_16k') return voice(data);
  const batch = cifarBatch(data, 50);
  const { count, labels } = batch;
  return { count, inputs: standardised(batch, 0, count, name === 'resnet8_cifar10'), score: rightOf(labels) };
}

function keywords(data: string): TaskData {
  const features = new Int8Array(readFileSync(join(data, 'kws-features/kws01_mfcc_int8.bin')));
  const lines = readFileSync(join(data, 'kws-features/y_labels.csv'), 'utf8').trim().split('\n');
  return {
    count: lines.length,
    inputs: Float32Array.from(features.subarray(0, 490 * lines.length), (q) => (q - 83) * 0.5847029),
    score: rightOf(lines.map((line) => Number(line.split(',')[2]))),
  };
}

/** 512 new samples at a time, the last 64 of the chunk before in front of them. */
function voice(data: string): TaskData {
  const wav = readFileSync(join(data, 'audio/silero_test_60s_16k.wav'));
  const samples = new Int16Array(wav.buffer.slice(wav.byteOffset + 44, wav.byteOffset + wav.length));
  const count = Math.floor(samples.length / 512);
  const inputs = Float32Array.from({ length: 576 * count }, (_, at) => {
    const [chunk, i] = [Math.floor(at / 576), at % 576];
    return (samples[512 * chunk - 64 + i] ?? 0) / 32768;
  });
  return { count, inputs, score: (answers) => answers.reduce((sum, value) => sum + Number(value > 0.5), 0) };
}

function rightOf(labels: readonly number[]): (answers: Float32Array) => number {
  return (answers) => {
    const classes = answers.length / labels.length;
    return labels.reduce((sum, label, i) => {
      const row = answers.subarray(classes * i, classes * (i + 1));
      return sum + Number(row.indexOf(Math.max(...row)) === label);
    }, 0);
  };
}

/**
 * The networks that are pruned here, each with inputs to calibrate on and others to count right answers on: no test example
 * is ever used for anything but the count.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cifarBatch, standardised } from '@grim/conformance';
import type { Graph } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { type Feeds, type Layer, type OneShotOptions, prunableLayers } from '@grim/prune';
import { PHOTOGRAPHS, type PhotographTask, photographs, prepared } from '../models/photographs.ts';

export interface Examples {
  readonly data: Float32Array;
  /** Of one example. */
  readonly shape: readonly number[];
  readonly labels: readonly number[];
}

interface Fold {
  readonly batches: readonly Feeds[];
  readonly test: Examples;
}

export interface Subject {
  readonly dense: Graph;
  /** Right answers of all folds are added. */
  readonly folds: readonly Fold[];
  /** Layers that a density for all means. */
  readonly layers: readonly Layer[];
  /** What this network needs beside the defaults. */
  readonly options: Partial<OneShotOptions>;
}

export const DATA: string = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');

/** @param examples  to calibrate on, where there are more */
export async function subjectOf(model: string, examples: number): Promise<Subject> {
  const dense = fromOnnx(readFileSync(join(DATA, 'models', model, 'model.onnx')));
  const [input = ''] = dense.inputs.keys();
  const layers = prunableLayers(dense).filter(({ exempt }) => !exempt);
  const base = { dense, layers, options: {} };
  if (model.startsWith('resnet')) return { ...base, folds: [pictures(input, examples, model.startsWith('resnet8'))] };
  if (model === 'dscnn_kws') return { ...base, folds: [keywords(input, 0, false)] };
  if (model === 'kws_gru_l')
    return {
      ...base,
      folds: [keywords(input, 0, true), keywords(input, 1, true)],
      // The inputs are so few that they stay dense.
      layers: layers.filter(({ name }) => name.endsWith('/R')),
    };
  const task = PHOTOGRAPHS.find((one) => one.model === model);
  if (!task) throw new Error(`${model}: there is no data for it`);
  return {
    ...base,
    folds: [await photographsFold(task)],
    layers: layers.filter(({ m, k, groups }) => Math.min(m / groups, k) > 32),
    // 125 examples are few.
    options: { damping: 0.1, correctSkip: false },
  };
}

function pictures(input: string, examples: number, raw: boolean): Fold {
  const sheet = cifarBatch(DATA, 0);
  const batch = 64;
  const batches = Array.from({ length: Math.floor(examples / batch) }, (_, i) => ({
    [input]: {
      ...{ dtype: 'float32' as const, shape: [batch, 3, 32, 32] },
      data: standardised(sheet, i * batch, batch, raw),
    },
  }));
  const test = cifarBatch(DATA, 50);
  const data = standardised(test, 0, test.count, raw);
  return { batches, test: { data, shape: [3, 32, 32], labels: test.labels } };
}

/** Every second of 1000 records; the others are the test. */
function keywords(input: string, fold: number, gru: boolean): Fold {
  const shape = gru ? [49, 10] : [1, 49, 10];
  const size = 490;
  const records = Float32Array.from(
    new Int8Array(readFileSync(join(DATA, 'kws-features/kws01_mfcc_int8.bin'))),
    (q) => (q - 83) * 0.5847029,
  );
  // The labels' order of classes, and the GRU's own.
  const classes = 'down go left no off on right stop up yes silence unknown'.split(' ');
  const own = gru ? 'silence unknown yes no up down left right on off stop go'.split(' ') : classes;
  const labels = readFileSync(join(DATA, 'kws-features/y_labels.csv'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => own.indexOf(classes[Number(line.split(',')[2])] ?? ''));
  const half = (first: number): Examples => {
    const chosen = Array.from({ length: 500 }, (_, i) => 2 * i + first);
    const data = new Float32Array(500 * size);
    chosen.forEach((record, i) => {
      data.set(records.subarray(record * size, (record + 1) * size), i * size);
    });
    return { data, shape, labels: chosen.map((record) => labels[record] as number) };
  };
  const { data } = half(fold);
  const batches = Array.from({ length: 10 }, (_, i) => ({
    [input]: {
      ...{ dtype: 'float32' as const, shape: [50, ...shape] },
      data: data.subarray(i * 50 * size, (i + 1) * 50 * size),
    },
  }));
  return { batches, test: half(1 - fold) };
}

/** Every second of 250 photographs; the others are the test. */
async function photographsFold(task: PhotographTask): Promise<Fold> {
  const all = photographs(DATA);
  const shape = [3, task.side, task.side];
  const size = 3 * task.side ** 2;
  const half = async (first: number): Promise<Examples> => {
    const chosen = all.filter((_, i) => i % 2 === first);
    const data = new Float32Array(chosen.length * size);
    for (const [i, { file }] of chosen.entries()) data.set(await prepared(DATA, file, task), i * size);
    return { data, shape, labels: chosen.map(({ classIndex }) => classIndex + task.first) };
  };
  const { data } = await half(0);
  const batch = 25;
  const batches = Array.from({ length: data.length / size / batch }, (_, i) => ({
    [task.input]: {
      ...{ dtype: 'float32' as const, shape: [batch, ...shape] },
      data: data.subarray(i * batch * size, (i + 1) * batch * size),
    },
  }));
  return { batches, test: await half(1) };
}

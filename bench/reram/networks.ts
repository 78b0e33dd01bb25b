/** The networks of the crossbar benchmarks with their data, calibration kept apart from the test. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cifarBatch, standardised } from '@grim/conformance';
import type { Graph } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import type { Feed } from '@grim/reram';

export const DATA: string = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');

export interface Network {
  readonly name: string;
  readonly graph: Graph;
  readonly input: string;
  /** Of one example, without the batch. */
  readonly shape: readonly number[];
  /** Examples, one after the other. */
  readonly calibration: Float32Array;
  /** Classes of the calibration examples. */
  readonly labels: readonly number[];
  readonly test: { readonly data: Float32Array; readonly shape: readonly number[]; readonly labels: readonly number[] };
}

/** CIFAR: 512 training images, the test images. Keywords: the records of even place, those of odd place. */
export function network(name: string): Network {
  const graph = fromOnnx(readFileSync(join(DATA, 'models', name, 'model.onnx')));
  const [input = ''] = graph.inputs.keys();
  if (name.startsWith('resnet')) {
    const raw = name.startsWith('resnet8');
    const sheet = cifarBatch(DATA, 50);
    const shape = [3, 32, 32];
    const test = { data: standardised(sheet, 0, sheet.count, raw), shape, labels: sheet.labels };
    const first = cifarBatch(DATA, 0);
    const calibration = standardised(first, 0, 512, raw);
    return { name, graph, input, shape, calibration, labels: first.labels.slice(0, 512), test };
  }
  const gru = name.startsWith('kws_gru');
  const shape = gru ? [49, 10] : [1, 49, 10];
  const size = 490;
  const features = new Int8Array(readFileSync(join(DATA, 'kws-features/kws01_mfcc_int8.bin')));
  const classes = 'down go left no off on right stop up yes silence unknown'.split(' ');
  const own = gru ? 'silence unknown yes no up down left right on off stop go'.split(' ') : classes;
  const labels = readFileSync(join(DATA, 'kws-features/y_labels.csv'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => own.indexOf(classes[Number(line.split(',')[2])] ?? ''));
  const half = (fold: number): Float32Array =>
    Float32Array.from({ length: 500 * size }, (_, i) => {
      const record = 2 * Math.floor(i / size) + fold;
      return ((features[record * size + (i % size)] ?? 0) - 83) * 0.5847029;
    });
  const test = { data: half(1), shape, labels: labels.filter((_, i) => i % 2 === 1) };
  return { name, graph, input, shape, calibration: half(0), labels: labels.filter((_, i) => i % 2 === 0), test };
}

/** Examples one by one. */
export function feedsOf({ input, shape }: Network, data: Float32Array, first: number, count: number): readonly Feed[] {
  const size = shape.reduce((all, length) => all * length, 1);
  return Array.from({ length: count }, (_, i) => ({
    [input]: {
      dtype: 'float32' as const,
      shape: [1, ...shape],
      data: data.slice((first + i) * size, (first + i + 1) * size),
    },
  }));
}

/** Share of examples whose largest output is the label. */
export function accuracy(
  outputs: readonly Readonly<Record<string, { readonly data: ArrayLike<unknown> }>>[],
  labels: readonly number[],
): number {
  let right = 0;
  outputs.forEach((result, i) => {
    const values = Array.from((Object.values(result)[0]?.data ?? []) as ArrayLike<number>);
    if (values.indexOf(Math.max(...values)) === labels[i]) right++;
  });
  return right / outputs.length;
}

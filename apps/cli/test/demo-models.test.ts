/** The models that `grim train` made for the repository still answer right, on pictures and sounds that it never saw. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawDigit, RATE, randomSource, SIDE, sayWord, WORDS } from '@grim/demo-data';
import { fromOnnx } from '@grim/ir/onnx';
import { evaluate } from '@grim/ir/reference';
import { mfcc } from '@grim/train';
import { expect, it } from 'vitest';

/** How many of the examples, one after the other, have the largest score at their label. */
function right(
  name: string,
  shape: readonly number[],
  examples: readonly Float32Array[],
  label: (i: number) => number,
): number {
  const path = join(import.meta.dirname, '../demo', name, 'model.onnx');
  const graph = fromOnnx(readFileSync(path), { dims: { N: examples.length } });
  const data = new Float32Array(examples.length * (examples[0]?.length ?? 0));
  examples.forEach((example, i) => {
    data.set(example, i * example.length);
  });
  const { scores } = evaluate(graph, { input: { dtype: 'float32', shape: [examples.length, ...shape], data } });
  const values = scores?.data as Float32Array;
  const classes = values.length / examples.length;
  return examples.filter((_, i) => {
    const own = values.subarray(i * classes, (i + 1) * classes);
    return own.indexOf(Math.max(...own)) === label(i);
  }).length;
}

it('small-cnn reads calculator digits', () => {
  const random = randomSource(77);
  const pictures = Array.from({ length: 40 }, (_, i) =>
    drawDigit(i % 10, random).map((value) => Math.round(255 * Math.max(0, Math.min(1, value))) / 255),
  );
  expect(right('small-cnn', [1, SIDE, SIDE], pictures, (i) => i % 10)).toBeGreaterThanOrEqual(38);
});

it('tiny-gru tells sounds apart by their course in time', () => {
  const random = randomSource(78);
  const sounds = Array.from({ length: 40 }, (_, i) => {
    const samples = sayWord(WORDS[i % 4] ?? 'long', random).map(
      (value) => Math.round(Math.max(-1, Math.min(1, value)) * 32767) / 32768,
    );
    return mfcc(samples, { rate: RATE, coefficients: 10 }).map((value) => value / 4);
  });
  expect(right('tiny-gru', [49, 10], sounds, (i) => i % 4)).toBeGreaterThanOrEqual(36);
});

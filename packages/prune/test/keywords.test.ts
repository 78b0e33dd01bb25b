/** A real network on real data: the keyword spotter DS-CNN, calibrated on half of the records and tested on the other. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Graph, Tensor } from '@grim/ir';
import { fromOnnx, toOnnx } from '@grim/ir/onnx';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { BASELINES, type Calibrator, type Feeds, type OneShotOptions, pruneOneShot } from '../src/index.ts';

const data = process.env['GRIM_DATA'] ?? '';
const [SIZE, HALF] = [490, 500];

async function prepare(graph: Graph): Promise<{ run(feeds: Feeds): Promise<Feeds> }> {
  const session = await InferenceSession.create(toOnnx(graph), { intraOpNumThreads: 2, logSeverityLevel: 3 });
  return {
    async run(feeds) {
      const given = Object.entries(feeds).map(([name, tensor]) => [
        name,
        new OrtTensor('float32', tensor.data as Float32Array, tensor.shape),
      ]);
      const found = Object.entries(await session.run(Object.fromEntries(given)));
      return Object.fromEntries(
        found.map(([name, { dims, data: values }]) => [
          name,
          { dtype: 'float32', shape: [...dims], data: values as Float32Array } satisfies Tensor,
        ]),
      );
    },
  };
}

it('DS-CNN at half its weights in blocks of 4 × 16 stays right, and weights that are only cut off do not', async (ctx) => {
  const model = join(data, 'models/dscnn_kws/model.onnx');
  if (!existsSync(model)) ctx.skip(`GRIM_DATA is not there: ${model}`);
  const dense = fromOnnx(readFileSync(model));
  const bytes = new Int8Array(readFileSync(join(data, 'kws-features/kws01_mfcc_int8.bin')));
  const records = Float32Array.from(bytes, (q) => (q - 83) * 0.5847029);
  const labels = readFileSync(join(data, 'kws-features/y_labels.csv'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => Number(line.split(',')[2]));
  const half = (fold: number): Float32Array => {
    const values = new Float32Array(HALF * SIZE);
    for (let i = 0; i < HALF; i++)
      values.set(records.subarray((2 * i + fold) * SIZE, (2 * i + fold + 1) * SIZE), i * SIZE);
    return values;
  };
  const calibration = half(0);
  const batches = Array.from({ length: 5 }, (_, i) => ({
    input: {
      dtype: 'float32' as const,
      shape: [100, 1, 49, 10],
      data: calibration.subarray(i * 100 * SIZE, (i + 1) * 100 * SIZE),
    },
  }));
  const calibrator: Calibrator = { batches, prepare };
  const correct = async (graph: Graph): Promise<number> => {
    const input = { dtype: 'float32' as const, shape: [HALF, 1, 49, 10], data: half(1) };
    const scores = Object.values(await (await prepare(graph)).run({ input }))[0]?.data as Float32Array;
    const classes = scores.length / HALF;
    return labels.filter((label, record) => {
      if (record % 2 === 0) return false;
      const own = scores.subarray(((record - 1) / 2) * classes, ((record + 1) / 2) * classes);
      return own.indexOf(Math.max(...own)) === label;
    }).length;
  };
  const options: OneShotOptions = { density: 0.5, block: { rows: 4, cols: 16 } };
  expect(await correct(dense)).toBe(448);
  const { graph, weightDensity } = await pruneOneShot(dense, calibrator, options);
  expect(weightDensity).toBeLessThanOrEqual(0.5);
  expect(weightDensity).toBeGreaterThan(0.49);
  const pruned = await correct(graph);
  expect(pruned).toBeGreaterThanOrEqual(420);
  const cut = await pruneOneShot(dense, calibrator, { ...options, ...BASELINES.magnitude });
  expect(await correct(cut.graph)).toBeLessThan(pruned - 50);
});

/** Runs pieces of a graph on onnxruntime-node: a fast stand-in for the compiled model, and the judge of accuracy. */
import type { Graph, Tensor } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import type { Calibrator, Feeds } from '@grim/prune';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Examples } from './subjects.ts';

const options: InferenceSession.SessionOptions = { intraOpNumThreads: 2, interOpNumThreads: 1, logSeverityLevel: 3 };

export function ortCalibrator(batches: readonly Feeds[]): Calibrator {
  return { batches, prepare: async (graph) => ortRunner(graph) };
}

async function ortRunner(graph: Graph): Promise<{ run(feeds: Feeds): Promise<Feeds>; dispose(): Promise<void> }> {
  const session = await InferenceSession.create(toOnnx(graph), options);
  return {
    async run(feeds) {
      const given: Record<string, OrtTensor> = {};
      for (const [name, { dtype, data, shape }] of Object.entries(feeds))
        given[name] = new OrtTensor(dtype as 'float32', data as Float32Array, shape);
      const found = await session.run(given);
      const results: Record<string, Tensor> = {};
      for (const [name, tensor] of Object.entries(found))
        results[name] = { dtype: tensor.type, shape: [...tensor.dims], data: tensor.data } as Tensor;
      return results;
    },
    dispose: () => session.release(),
  };
}

/** How many examples the network gets right: the largest of the first output's scores. */
export async function correct(graph: Graph, { data, shape, labels }: Examples): Promise<number> {
  const runner = await ortRunner(graph);
  const [input = ''] = graph.inputs.keys();
  const [output = ''] = graph.outputs.keys();
  const size = shape.reduce((all, length) => all * length, 1);
  // Activations of a batch of photographs are large.
  const step = size > 1e5 ? 25 : 250;
  let right = 0;
  for (let first = 0; first < labels.length; first += step) {
    const count = Math.min(step, labels.length - first);
    const feeds = {
      [input]: {
        dtype: 'float32' as const,
        shape: [count, ...shape],
        data: data.subarray(first * size, (first + count) * size),
      },
    };
    const scores = (await runner.run(feeds))[output]?.data as Float32Array;
    const classes = scores.length / count;
    for (let i = 0; i < count; i++) {
      let best = 0;
      for (let c = 1; c < classes; c++)
        if ((scores[i * classes + c] as number) > (scores[i * classes + best] as number)) best = c;
      if (best === labels[first + i]) right++;
    }
  }
  await runner.dispose();
  return right;
}

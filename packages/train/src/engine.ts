/** The one place that calls onnxruntime-node: a graph becomes a session, arrays go in and out. */
import { createRequire } from 'node:module';
import type { Graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type Blocked, blockedConvs, blockSize, type Probe } from './blocked.ts';
import type { Shape } from './emit.ts';
import { fail } from './errors.ts';

export interface Engine {
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
  dispose(): Promise<void>;
}

export type Value = Tensor;

export const float = (data: Float32Array, shape: Shape): Tensor => new Tensor('float32', data, shape);
export const number = (value: number): Tensor => float(Float32Array.of(value), []);

/** The numbers of a result; valid as long as nothing writes to them. */
export const numbersOf = (value: Tensor | undefined): Float32Array => value?.data as Float32Array;

/** @throws {GrimError} GRIM_TRAIN_ENGINE when the engine refuses the graph */
export async function engine(graph: Graph, threads: number): Promise<Engine> {
  const size = graph.nodes.some(({ op }) => op === 'Conv') ? await blockSize(probe) : undefined;
  return open(graph, size === undefined ? {} : blockedConvs(graph, size), threads);
}

const probe: Probe = async (graph, options, feeds) => {
  const own = await open(graph, options, 1);
  try {
    const given = Object.entries(feeds).map(([name, { data, shape }]) => [name, float(data, shape)]);
    const [result] = Object.values(await own.run(Object.fromEntries(given)));
    return numbersOf(result).slice();
  } finally {
    await own.dispose();
  }
};

async function open(graph: Graph, options: Blocked, threads: number): Promise<Engine> {
  const session = await InferenceSession.create(toOnnx(graph, options), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    logSeverityLevel: 3,
  }).catch((error: unknown) =>
    fail(
      'GRIM_TRAIN_ENGINE',
      `onnxruntime-node ${engineVersion()}: it refuses the training graph: ${error instanceof Error ? error.message : String(error)}`,
    ),
  );
  return {
    run: (feeds) => session.run(feeds) as Promise<Record<string, Tensor>>,
    dispose: () => session.release(),
  };
}

/** Of the `onnxruntime-node` that trains, as "1.30.0": other versions may give other bits. */
export const engineVersion = (): string =>
  (createRequire(import.meta.url)('onnxruntime-node/package.json') as { readonly version: string }).version;

/**
 * Where activations come from. Pruning itself runs no network: it asks for the values it needs, a piece of the graph at
 * a time, and whoever calls passes a compiled model, an outside runtime or the reference evaluator.
 */
import { type Graph, quote, type Tensor } from '@grim/ir';
import { fail } from './errors.ts';

export type Feeds = Readonly<Record<string, Tensor>>;

/** A piece of a graph, ready to run. */
export interface Runner {
  /** @returns every output of the piece by its name */
  run(feeds: Feeds): Promise<Feeds> | Feeds;
  dispose?(): Promise<void> | void;
}

export interface Calibrator {
  /** Calibration inputs of the whole graph, without labels, in batches of one shape. */
  readonly batches: readonly Feeds[];
  /**
   * Makes a piece ready. Its inputs have the static shapes of a batch, its outputs are the values wanted. Pieces are
   * asked for one at a time.
   */
  prepare(graph: Graph): Promise<Runner> | Runner;
}

/** @throws {GrimError} GRIM_PRUNE_BAD_CALIBRATION unless the batches fit the graph and each other, and are finite */
export function checkBatches(graph: Graph, batches: readonly Feeds[]): void {
  const [first] = batches;
  if (!first)
    fail('GRIM_PRUNE_BAD_CALIBRATION', 'calibration: no batch; at least one, better some hundred examples, is needed.');
  batches.forEach((batch, i) => {
    for (const name of graph.inputs.keys()) {
      const tensor = batch[name];
      const pattern = first[name];
      if (!tensor || !pattern)
        fail('GRIM_PRUNE_BAD_CALIBRATION', `calibration: batch ${i} has no input ${quote(name)}.`, { batch: i, name });
      if (tensor.dtype !== pattern.dtype || tensor.shape.join() !== pattern.shape.join())
        fail(
          'GRIM_PRUNE_BAD_CALIBRATION',
          `calibration: input ${quote(name)} of batch ${i} is ${tensor.dtype} [${tensor.shape.join(', ')}], of batch 0 ${pattern.dtype} [${pattern.shape.join(', ')}]; batches of one shape are needed.`,
          { batch: i, name },
        );
      if (tensor.data.length === 0)
        fail('GRIM_PRUNE_BAD_CALIBRATION', `calibration: input ${quote(name)} of batch ${i} is empty.`, { batch: i });
      checkFinite(name, i, tensor);
    }
  });
}

/** @throws {GrimError} GRIM_PRUNE_BAD_CALIBRATION for a NaN or an infinity in a value that statistics are made of */
export function checkFinite(name: string, batch: number, tensor: Tensor): void {
  if (tensor.dtype !== 'float32' && tensor.dtype !== 'float64') return;
  const at = (tensor.data as Float32Array | Float64Array).findIndex((v) => !Number.isFinite(v));
  if (at >= 0)
    fail(
      'GRIM_PRUNE_BAD_CALIBRATION',
      `calibration: value ${quote(name)} of batch ${batch} is ${tensor.data[at]} at element ${at}; finite numbers are needed. Check the preprocessing.`,
      { batch, name, at },
    );
}

/** What a trainer was asked for, checked, defaults filled in. */
import { createHash } from 'node:crypto';
import { type Graph, quote } from '@grim/ir';
import type { TrainOptions } from '@grim/prune';
import {
  type Augmentation,
  type BatchOptions,
  checkExamples,
  type Examples,
  type Preparation,
} from './data/examples.ts';
import { type Shape, sizeOf } from './emit.ts';
import { fail } from './errors.ts';
import { type Loss, learnable, type Network, networkOf } from './network.ts';
import { type Optimizer, optimizerOf } from './optimizer.ts';
import { statisticsOf } from './step.ts';

export interface TrainerOptions {
  readonly examples: Examples;
  /** Never trained on. Without it `evaluate` needs `on: 'train'`. */
  readonly validation?: Examples;
  /** How stored numbers become the network's. */
  readonly prepare?: Preparation;
  readonly augment?: Augmentation;
  /** Default 64. */
  readonly batch?: number;
  /** Default `cross-entropy` where examples have labels, else `mse`. */
  readonly loss?: Loss;
  /** Default SGD with momentum 0.9 and decay 1e-4. */
  readonly optimizer?: Optimizer;
  /** Share of each target that is spread over all classes. Default 0. */
  readonly labelSmoothing?: number;
  /** Mixes pairs of examples by shares of a beta distribution with this parameter. Default: no mixing. */
  readonly mix?: number;
  /** Gradients are scaled down to this norm, taken over all. Default: never. */
  readonly clipNorm?: number;
  /** Follow the scores of another network too (Hinton et al., 2015). */
  readonly distill?: {
    readonly teacher: Graph;
    /** Share of the loss, 0 to 1. Default 0.5. */
    readonly weight?: number;
    /** Default 2. */
    readonly temperature?: number;
  };
  /** Weights that learn; default: those of layers. */
  readonly parameters?: readonly string[];
  /** Batch normalisation by the statistics of the batch, or by the stored ones. Default `batch`. */
  readonly statistics?: 'batch' | 'stored';
  /** Share by which stored statistics follow each batch. Default 0.1. */
  readonly follow?: number;
  /** Of order, augmentation and mixing. Default 1. */
  readonly seed?: number;
  /** Of the engine. Results are bit-identical for one number of threads. Default 2. */
  readonly threads?: number;
}

interface Plain {
  readonly network: Network;
  readonly parameters: readonly string[];
  readonly batch: number;
  readonly loss: Loss;
  /** Scores of one example. */
  readonly outputs: number;
  readonly labelled: boolean;
  readonly optimizer: Required<Optimizer>;
  readonly batchOptions: Pick<BatchOptions, 'augment' | 'labelSmoothing' | 'mix'>;
  readonly seed: number;
  readonly clipNorm: number;
  readonly statistics: 'batch' | 'stored';
  readonly examples: Examples;
  readonly prepare: Preparation | undefined;
  /** Weights that hold running statistics and follow the batch. */
  readonly running: readonly string[];
  readonly follow: number;
  readonly threads: number;
  readonly distilled: { readonly weight: number; readonly temperature: number; readonly network: Network } | undefined;
  readonly stepsPerEpoch: number;
  readonly targetShape: Shape;
}
export interface Settings extends Plain {
  /** Of all that decides what a step does, but the state. */
  readonly fingerprint: string;
}

export function settingsOf(given: Graph, options: TrainerOptions): Settings {
  const settings = plainSettings(given, options);
  return { ...settings, fingerprint: fingerprintOf(settings) };
}

function plainSettings(given: Graph, o: TrainerOptions): Plain {
  const bad = (message: string): never => fail('GRIM_TRAIN_BAD_OPTION', `train: ${message}`);
  const between = (name: string, value: number, low: number, high: number): number => {
    if (!(value >= low && value <= high)) bad(`${name} is ${value}; ${low} to ${high} is needed.`);
    return value;
  };
  const batch = o.batch ?? 64;
  if (!(Number.isInteger(batch) && batch > 0)) bad(`batch is ${batch}; a positive integer is needed.`);
  const loss: Loss = o.loss ?? (o.examples.labels ? 'cross-entropy' : 'mse');
  const network = networkOf(given, batch, loss);
  const outputs = sizeOf(network.scoresShape) / batch;
  const labelled = loss === 'cross-entropy';
  checkExamples('training examples', o.examples, network.inputShape, outputs, labelled);
  if (o.validation) checkExamples('validation examples', o.validation, network.inputShape, outputs, labelled);
  if (o.examples.count < batch)
    fail(
      'GRIM_TRAIN_BAD_DATA',
      `training examples: ${o.examples.count} are less than a batch of ${batch}. Give more, or a smaller batch.`,
    );
  const parameters = o.parameters ?? learnable(network.graph);
  for (const name of parameters)
    if (network.graph.weights.get(name)?.dtype !== 'float32')
      bad(`${quote(name)} is no float32 weight of the network.`);
  if (parameters.length === 0)
    fail(
      'GRIM_TRAIN_BAD_NETWORK',
      `network ${quote(given.name)}: it has no weights to train (Conv, Gemm, MatMul, GRU, …). Name them in parameters.`,
    );
  for (const name of parameters)
    if (!given.weights.has(name))
      fail(
        'GRIM_TRAIN_BAD_NETWORK',
        `weight ${quote(name)}: it is computed from other weights. Fold the network first.`,
        { name },
      );
  const statistics = o.statistics ?? 'batch';
  const distill = o.distill && {
    weight: between('distill.weight', o.distill.weight ?? 0.5, 0, 1),
    temperature: between('distill.temperature', o.distill.temperature ?? 2, 0.1, 100),
    network: networkOf(o.distill.teacher, batch, loss),
  };
  if (distill && sizeOf(distill.network.scoresShape) !== sizeOf(network.scoresShape))
    bad(
      `the teacher gives [${distill.network.scoresShape.join(', ')}], the network [${network.scoresShape.join(', ')}].`,
    );
  if (distill && loss !== 'cross-entropy') bad('distillation is of classes; the loss is mse.');
  const optimizer = optimizerOf(o.optimizer ?? { kind: 'sgd' });
  const batchOptions = {
    augment: o.augment,
    labelSmoothing: between('labelSmoothing', o.labelSmoothing ?? 0, 0, 0.99),
    mix: between('mix', o.mix ?? 0, 0, 100),
  };
  const seed = o.seed ?? 1;
  const clipNorm = o.clipNorm ?? Number.POSITIVE_INFINITY;
  if (!(clipNorm > 0)) bad(`clipNorm is ${clipNorm}; a positive number is needed.`);
  return {
    network,
    parameters,
    batch,
    loss,
    outputs,
    labelled,
    optimizer,
    batchOptions,
    seed,
    clipNorm,
    statistics,
    examples: o.examples,
    prepare: o.prepare,
    running: statistics === 'batch' ? statisticsOf(network.graph) : [],
    follow: between('follow', o.follow ?? 0.1, 0, 1),
    threads: o.threads ?? 2,
    distilled: distill,
    stepsPerEpoch: Math.floor(o.examples.count / batch),
    targetShape: (loss === 'mse' ? network.scoresShape : [batch, outputs]) as Shape,
  };
}

/** 64-bit integers in attributes, which JSON has no form for. */
const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

function fingerprintOf(s: Plain): string {
  const hash = createHash('sha256');
  const { network, examples } = s;
  const trained = new Set([...s.parameters, ...s.running]);
  for (const { op, inputs, outputs, attributes } of network.graph.nodes)
    hash.update(JSON.stringify([op, inputs, outputs, attributes], plain));
  for (const [name, { shape, data }] of network.graph.weights) {
    hash.update(JSON.stringify([name, shape]));
    if (!trained.has(name)) hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  hash.update(new Uint8Array(examples.data.buffer, examples.data.byteOffset, examples.data.byteLength));
  hash.update(JSON.stringify([Array.from(examples.labels ?? []), examples.shape, s.parameters]));
  const { batch, loss, optimizer, batchOptions, seed, clipNorm, statistics, prepare, follow, threads } = s;
  const distilled = s.distilled && [s.distilled.weight, s.distilled.temperature];
  hash.update(
    JSON.stringify([
      batch,
      loss,
      optimizer,
      batchOptions,
      seed,
      clipNorm,
      statistics,
      prepare,
      follow,
      threads,
      distilled,
    ]),
  );
  return hash.digest('hex');
}

export function checkTrainOptions(
  { steps, rate, masks, penalties }: TrainOptions,
  { parameters, network }: Settings,
): void {
  const bad = (message: string): never => fail('GRIM_TRAIN_BAD_OPTION', `train: ${message}`);
  if (!(Number.isInteger(steps) && steps > 0)) bad(`steps is ${steps}; a positive integer is needed.`);
  if (typeof rate === 'number' && !(rate >= 0 && rate < Number.POSITIVE_INFINITY))
    bad(`rate is ${rate}; a number from 0 is needed.`);
  const sizes = (what: string, name: string, length: number): void => {
    if (!parameters.includes(name)) bad(`${what} of ${quote(name)}, which is no weight that is trained.`);
    const wanted = network.graph.weights.get(name)?.data.length;
    if (length !== wanted) bad(`${what} of ${quote(name)} has ${length} elements; ${wanted} are needed.`);
  };
  for (const [name, mask] of masks ?? []) sizes('a mask', name, mask.length);
  for (const [name, { strength, target }] of penalties ?? []) {
    if (typeof strength !== 'number') sizes('a penalty', name, strength.length);
    sizes('a penalty', name, target?.length ?? network.graph.weights.get(name)?.data.length ?? 0);
  }
}

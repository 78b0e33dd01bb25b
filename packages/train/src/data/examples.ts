/**
 * Examples in memory, and batches of them as a network takes them: scaled, changed a little at random, mixed. What a batch
 * holds depends on the seed and the number of the step alone.
 */
import { quote } from '@grim/ir';
import { type Shape, sizeOf } from '../emit.ts';
import { fail } from '../errors.ts';
import { beta, normal, type Random, randomStream, shuffled } from '../random.ts';

export interface Examples {
  readonly count: number;
  /** Of one example: [C, H, W], [T, F], … */
  readonly shape: Shape;
  /** All examples, one after the other. */
  readonly data: Uint8Array | Float32Array;
  /** Class of each; or `targets`. */
  readonly labels?: Uint8Array | Uint16Array | Int32Array;
  readonly classes?: readonly string[];
  /** Wanted outputs, one after the other, where there are no classes. */
  readonly targets?: Float32Array;
}

/** How stored numbers become the network's: (value · scale − mean) / std, by channel of pictures, by feature of the rest. */
export interface Preparation {
  /** Default 1/255 for bytes, 1 for floats. */
  readonly scale?: number;
  /** One number; or one for each channel of [C, H, W], each feature (last axis) of other shapes. Default 0. */
  readonly mean?: readonly number[];
  /** Default 1. */
  readonly std?: readonly number[];
}

/** Random changes of training examples. */
export interface Augmentation {
  /** Pictures [C, H, W]: cut out after padding with so many black pixels on each side. */
  readonly crop?: number;
  /** Pictures: mirrored left and right, half of them. */
  readonly flip?: boolean;
  /** Sequences [T, F]: moved by up to so many steps either way, ends repeated. */
  readonly shift?: number;
  /** Deviation of normal noise added to each number, after scaling. */
  readonly noise?: number;
}

export interface BatchOptions {
  readonly prepare?: Preparation | undefined;
  readonly augment?: Augmentation | undefined;
  /** Share of the target that is spread over all classes. */
  readonly labelSmoothing?: number | undefined;
  /** Mixes pairs of examples and their targets, shares of a beta distribution with this parameter (Zhang et al., 2018). */
  readonly mix?: number | undefined;
}

export interface Batch {
  readonly inputs: Float32Array;
  /** [batch, classes], or the wanted outputs. */
  readonly targets: Float32Array;
  readonly labels: readonly number[] | undefined;
}

/** @throws {GrimError} GRIM_TRAIN_BAD_DATA unless lengths agree, labels are below `outputs`, and the shape is the network's */
export function checkExamples(
  what: string,
  examples: Examples,
  shape: Shape,
  outputs: number,
  labelled: boolean,
): void {
  const bad = (message: string): never => fail('GRIM_TRAIN_BAD_DATA', `${what}: ${message}`);
  const { count, data, labels, targets } = examples;
  if (count === 0) bad('there is no example.');
  if (examples.shape.join() !== shape.join() && sizeOf(examples.shape) !== sizeOf(shape))
    bad(`an example is [${examples.shape.join(', ')}], the network takes [${shape.join(', ')}].`);
  if (data.length !== count * sizeOf(examples.shape))
    bad(`${data.length} numbers for ${count} examples of [${examples.shape.join(', ')}].`);
  for (const [kind, values] of [
    ['input', data],
    ['target', targets],
  ] as const) {
    const odd = values instanceof Float32Array ? values.findIndex((value) => !Number.isFinite(value)) : -1;
    if (values && odd >= 0)
      bad(`example ${Math.floor((odd * count) / values.length)} has ${values[odd]} in its ${kind}.`);
  }
  if (!labelled) {
    if (targets?.length !== count * outputs)
      bad(`targets have ${targets?.length ?? 0} numbers; ${count} × ${outputs} are needed.`);
    return;
  }
  if (labels?.length !== count) bad(`${labels?.length ?? 0} labels for ${count} examples.`);
  const wrong = labels?.findIndex((label) => label >= outputs || label < 0) ?? -1;
  if (wrong >= 0)
    bad(
      `example ${wrong} is of class ${labels?.[wrong]}${examples.classes ? ` (${quote(examples.classes[labels?.[wrong] ?? 0] ?? '')})` : ''}; the network has ${outputs} outputs.`,
    );
}

/** Examples of a training batch; each epoch goes through all of them in an order of its own, the rest of a batch left out. */
export function indicesOf(count: number, batch: number, step: number, seed: number, cache: OrderCache): Uint32Array {
  const perEpoch = Math.floor(count / batch);
  const epoch = Math.floor(step / perEpoch);
  if (cache.epoch !== epoch) {
    cache.order = shuffled(count, randomStream(seed, 1, epoch));
    cache.epoch = epoch;
  }
  const first = (step % perEpoch) * batch;
  return cache.order.subarray(first, first + batch);
}
export interface OrderCache {
  epoch: number;
  order: Uint32Array;
}

const scaled = (stored: number, channel: number, { scale = 1, mean = [0], std = [1] }: Preparation): number =>
  (stored * scale - (mean[channel % mean.length] ?? 0)) / (std[channel % std.length] ?? 1);

/** Bytes have 256 values: a table for each channel makes them one look-up. */
function tablesOf({ shape, data }: Examples, prepare: Preparation): Float32Array[] | undefined {
  if (!(data instanceof Uint8Array)) return undefined;
  const how = { ...prepare, scale: prepare.scale ?? 1 / 255 };
  const channels = (shape.length === 3 ? shape[0] : shape.at(-1)) ?? 1;
  return Array.from({ length: channels }, (_, channel) =>
    Float32Array.from({ length: 256 }, (_unused, value) => scaled(value, channel, how)),
  );
}

/**
 * One batch. With `random` undefined examples are as they are: for evaluation.
 * @param outputs  classes, or numbers per target
 */
export function fillBatch(
  examples: Examples,
  indices: ArrayLike<number>,
  outputs: number,
  options: BatchOptions,
  key: readonly number[] | undefined,
): Batch {
  const size = sizeOf(examples.shape);
  const count = indices.length;
  const inputs = new Float32Array(count * size);
  const tables = tablesOf(examples, options.prepare ?? {});
  const random = key && randomStream(...key);
  for (let k = 0; k < count; k++) {
    const example = indices[k] as number;
    fillExample(examples, example, inputs.subarray(k * size, (k + 1) * size), tables, options, random);
  }
  const { labels } = examples;
  const targets = new Float32Array(count * outputs);
  const smooth = random ? (options.labelSmoothing ?? 0) : 0;
  for (let k = 0; k < count; k++) {
    const example = indices[k] as number;
    if (labels) {
      targets.fill(smooth / outputs, k * outputs, (k + 1) * outputs);
      const at = k * outputs + (labels[example] as number);
      targets[at] = (targets[at] as number) + 1 - smooth;
    } else if (examples.targets) {
      targets.set(examples.targets.subarray(example * outputs, (example + 1) * outputs), k * outputs);
    }
  }
  if (random && options.mix) mixPairs(inputs, targets, count, options.mix, random);
  return {
    inputs,
    targets,
    labels: labels && Array.from({ length: count }, (_, k) => labels[indices[k] as number] as number),
  };
}

function fillExample(
  { shape, data }: Examples,
  example: number,
  out: Float32Array,
  tables: readonly Float32Array[] | undefined,
  { prepare = {}, augment = {} }: BatchOptions,
  random: Random | undefined,
): void {
  const from = example * out.length;
  const plane = out.length / (shape[0] ?? 1);
  const last = shape.at(-1) ?? 1;
  const value = (i: number, channel: number): number => {
    const stored = data[from + i] as number;
    const table = tables?.[channel];
    return table ? (table[stored] as number) : scaled(stored, channel, prepare);
  };
  const [channels = 1, h = 1, w = 1] = shape;
  if (random && shape.length === 3 && (augment.crop || augment.flip)) {
    const most = augment.crop ?? 0;
    const dy = Math.floor(random() * (2 * most + 1)) - most;
    const dx = Math.floor(random() * (2 * most + 1)) - most;
    const mirrored = (augment.flip ?? false) && random() < 0.5;
    let o = 0;
    for (let c = 0; c < channels; c++) {
      const table = tables?.[c];
      const black = table ? (table[0] as number) : scaled(0, c, prepare);
      for (let y = dy; y < h + dy; y++) {
        const row = (c * h + y) * w;
        const outside = y < 0 || y >= h;
        for (let x = 0; x < w; x++) {
          const at = (mirrored ? w - 1 - x : x) + dx;
          if (outside || at < 0 || at >= w) out[o++] = black;
          else out[o++] = table ? (table[data[from + row + at] as number] as number) : value(row + at, c);
        }
      }
    }
  } else if (random && shape.length === 2 && augment.shift) {
    const [steps = 1, features = 1] = shape;
    const by = Math.floor(random() * (2 * augment.shift + 1)) - augment.shift;
    for (let t = 0; t < steps; t++) {
      const at = Math.min(Math.max(t + by, 0), steps - 1);
      for (let i = 0; i < features; i++) out[t * features + i] = value(at * features + i, i);
    }
  } else {
    for (let i = 0; i < out.length; i++) out[i] = value(i, shape.length === 3 ? Math.floor(i / plane) : i % last);
  }
  if (random && augment.noise)
    for (let i = 0; i < out.length; i++) out[i] = (out[i] as number) + augment.noise * normal(random);
}

/** Each example with the one so many places on: both are of the batch, so one share goes for all. */
function mixPairs(inputs: Float32Array, targets: Float32Array, count: number, alpha: number, random: Random): void {
  const share = beta(alpha, random);
  const order = shuffled(count, random);
  for (const values of [inputs, targets]) {
    const size = values.length / count;
    const given = values.slice();
    for (let k = 0; k < count; k++) {
      const other = (order[k] as number) * size;
      for (let i = 0; i < size; i++) {
        const at = k * size + i;
        values[at] = share * (given[at] as number) + (1 - share) * (given[other + i] as number);
      }
    }
  }
}

/**
 * Inputs to run a network on: drawn for the models that the repository carries, pictures and tensors that were dropped, or
 * made up from a seed, which is good for speed and says little about accuracy; whoever shows a figure says which it was.
 */
import { drawDigit, RATE, randomSource, SIDE, sayWord, WORDS } from '@grim/demo-data';
import {
  elementCount,
  formatType,
  fromReals,
  type Graph,
  GrimError,
  isStatic,
  quote,
  type Tensor,
  type TensorType,
} from '@grim/ir';
import { readTensorFile } from '@grim/ir/onnx';
import { mfcc } from '@grim/train/mfcc';
import type { SamplesAsk } from './messages.ts';

export type Feed = Readonly<Record<string, Tensor>>;

export type SampleKind = 'made-up' | 'digits' | 'sounds' | 'dropped';

export interface SampleSet {
  readonly kind: SampleKind;
  readonly feeds: readonly Feed[];
  /** Class of each, where it is known. */
  readonly labels: readonly number[] | undefined;
}

/** How 8-bit pixels become numbers: out = (pixel / 255 − mean) / std. */
export type PixelScale = 'unit' | 'signed' | 'imagenet';

const PIXELS: Readonly<Record<PixelScale, { readonly mean: readonly number[]; readonly std: readonly number[] }>> = {
  unit: { mean: [0, 0, 0], std: [1, 1, 1] },
  signed: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
};

const CLASSES: Readonly<Record<'digits' | 'sounds', readonly string[]>> = {
  digits: Array.from({ length: 10 }, (_, digit) => String(digit)),
  sounds: WORDS,
};

/** Names of the classes of a built-in model's samples. */
export function classesOf(kind: SampleKind): readonly string[] | undefined {
  return kind === 'digits' || kind === 'sounds' ? CLASSES[kind] : undefined;
}

/** @param kind  `digits` and `sounds` fit the built-in models alone */
export function drawSamples(graph: Pick<Graph, 'inputs'>, kind: SampleKind, count: number, seed: number): SampleSet {
  const [name = ''] = graph.inputs.keys();
  const random = randomSource(seed);
  if (kind === 'digits')
    return labelled(kind, count, 10, (digit) => ({
      [name]: { dtype: 'float32', shape: [1, 1, SIDE, SIDE], data: drawDigit(digit, random) },
    }));
  if (kind === 'sounds')
    return labelled(kind, count, WORDS.length, (word) => ({
      [name]: { dtype: 'float32', shape: [1, 49, 10], data: soundFeatures(sayWord(WORDS[word] ?? 'long', random)) },
    }));
  return {
    kind: 'made-up',
    feeds: Array.from({ length: count }, () => madeUp(graph.inputs, random)),
    labels: undefined,
  };
}

function labelled(kind: SampleKind, count: number, classes: number, draw: (label: number) => Feed): SampleSet {
  const labels = Array.from({ length: count }, (_, i) => i % classes);
  return { kind, feeds: labels.map(draw), labels };
}

/** Floats uniform in [−1, 1), integers and bools 0 or 1. */
function madeUp(inputs: ReadonlyMap<string, TensorType>, random: () => number): Feed {
  return Object.fromEntries(
    Array.from(inputs, ([name, { dtype, shape }]) => {
      if (!isStatic(shape)) throw new Error('internal: shapes are bound when a network is opened');
      const float = dtype.includes('float');
      const values = Float64Array.from({ length: elementCount(shape, dtype) }, () =>
        float ? 2 * random() - 1 : Math.floor(2 * random()),
      );
      return [name, fromReals(dtype, shape, values)];
    }),
  );
}

const MOST_FILES = 256;
const MOST_BYTES = 2 ** 26;

/** @throws {GrimError} GRIM_DASHBOARD_BAD_SAMPLE */
export async function readSamples(
  graph: Pick<Graph, 'inputs'>,
  { files, pixels }: SamplesAsk,
  onFile: (done: number) => Promise<void>,
): Promise<SampleSet> {
  const [first, ...others] = graph.inputs;
  if (!first || others.length > 0)
    throw bad(`the network has ${graph.inputs.size} inputs; files can be given for one input only`);
  const [name, type] = first;
  const feeds: Feed[] = [];
  for (const [i, file] of files.slice(0, MOST_FILES).entries()) {
    await onFile(i / files.length);
    if (file.size > MOST_BYTES) throw bad(`${quote(file.name)} has ${file.size} bytes, more than ${MOST_BYTES}`);
    const tensor = file.name.endsWith('.pb')
      ? readTensorFile(new Uint8Array(await file.arrayBuffer())).tensor
      : await picture(file, type, pixels);
    const examples = oneByOne(tensor, type);
    if (!examples) throw bad(`${quote(file.name)} is ${formatType(tensor)}, the network takes ${formatType(type)}`);
    feeds.push(...examples.slice(0, MOST_FILES).map((example) => ({ [name]: example })));
  }
  if (feeds.length === 0) throw bad('no file was given');
  return { kind: 'dropped', feeds, labels: undefined };
}

/** Examples along the first axis, where the network takes one; undefined where the rest of the shape does not fit. */
function oneByOne(tensor: Tensor, { dtype, shape }: TensorType): readonly Tensor[] | undefined {
  if (tensor.dtype !== dtype || tensor.shape.slice(1).join() !== shape?.slice(1).join()) return undefined;
  if (tensor.shape[0] === shape?.[0]) return [tensor];
  if (shape?.[0] !== 1) return undefined;
  const [count = 0, ...rest] = tensor.shape;
  const size = tensor.data.length / Math.max(1, count);
  return Array.from(
    { length: count },
    (_, i) => ({ dtype, shape: [1, ...rest], data: tensor.data.slice(i * size, (i + 1) * size) }) as Tensor,
  );
}

function bad(what: string): GrimError {
  return new GrimError('GRIM_DASHBOARD_BAD_SAMPLE', `Sample inputs: ${what}.`);
}

/** The whole picture, cut to the middle square where the network's is square, scaled by the browser. */
async function picture(file: File, { dtype, shape }: TensorType, pixels: PixelScale): Promise<Tensor> {
  const [batch, channels, height, width] = shape ?? [];
  const fits = shape?.length === 4 && batch === 1 && (channels === 1 || channels === 3) && dtype === 'float32';
  if (!fits || typeof height !== 'number' || typeof width !== 'number')
    throw bad(`pictures need an input float32 [1, 1 or 3, height, width], this one is ${formatType({ dtype, shape })}`);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw bad(`${quote(file.name)} is no picture that this browser reads`);
  }
  const side = Math.min(bitmap.width / width, bitmap.height / height);
  const [w, h] = [side * width, side * height];
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw bad('this browser gives no canvas to scale pictures with');
  context.drawImage(bitmap, (bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h, 0, 0, width, height);
  bitmap.close();
  return {
    dtype: 'float32',
    shape: [1, channels, height, width],
    data: pixelValues(context.getImageData(0, 0, width, height).data, channels, pixels),
  };
}

/** @param rgba  row-major, four bytes a pixel */
function pixelValues(rgba: ArrayLike<number>, channels: 1 | 3, scale: PixelScale): Float32Array<ArrayBuffer> {
  const { mean, std } = PIXELS[scale];
  const count = rgba.length / 4;
  const data = new Float32Array(channels * count);
  for (let i = 0; i < count; i++) {
    const [r = 0, g = 0, b = 0] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
    // One channel: luma as ITU-R BT.601 has it.
    const values = channels === 3 ? [r, g, b] : [0.299 * r + 0.587 * g + 0.114 * b];
    for (const [c, value] of values.entries()) data[c * count + i] = (value / 255 - (mean[c] ?? 0)) / (std[c] ?? 1);
  }
  return data;
}

/** What the built-in network for sounds takes: one second of 8 kHz → [49, 10]. */
export function soundFeatures(samples: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(mfcc(samples, { rate: RATE, coefficients: 10 }), (value) => value / 4);
}

/**
 * Data sets from files, told apart by what the files are:
 *
 * - CIFAR-10 binary (`*.bin`, records of 3073 bytes), MNIST idx (`*idx3-ubyte` beside `*idx1-ubyte`);
 * - sheets: PNG files whose rows are pictures of equal sides, named `…_<number>.png`, and a JSON file `{"labels": […]}`
 *   that counts through all sheets;
 * - `.npz` with `x` and `y` (or `images`, `inputs`, `data`; `labels`, `targets`);
 * - PNG pictures or WAV recordings in a folder for each class, or WAV recordings named `<class>_….wav`.
 *
 * Folders, `.tar` and `.tar.gz` archives are walked alike.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { decodeWav, mixed, readNpy, readNpz } from '@grim/files';
import { GrimError, quote, type Tensor, toReals } from '@grim/ir';
import { type Shape, sizeOf } from '../emit.ts';
import { fail } from '../errors.ts';
import { randomStream, shuffled } from '../random.ts';
import { type Entry, entriesOf } from './entries.ts';
import type { Examples } from './examples.ts';
import { type MfccOptions, mfcc } from './mfcc.ts';
import { decodePicture } from './picture.ts';

export interface LoadOptions {
  /**
   * Shape of one example as the network takes it; recordings become [frames, coefficients] of this shape (cut, or filled up
   * with their last frame), sheets are cut into pictures of it.
   */
  readonly shape: Shape;
  /** Of recordings; `rate` and `coefficients` follow from the files and the shape. */
  readonly mfcc?: Omit<MfccOptions, 'rate' | 'coefficients'>;
  /** Names of the classes, in the order of the network's outputs. Default: the folders' names, sorted. */
  readonly classes?: readonly string[];
  /** At most so many examples. */
  readonly limit?: number;
}

/** @throws {GrimError} GRIM_TRAIN_BAD_DATA, naming the file */
export function loadExamples(path: string, options: LoadOptions): Examples {
  const entries = entriesOf(path);
  const ends = (pattern: RegExp): readonly Entry[] => entries.filter((entry) => pattern.test(entry.path));
  const [arrays, bins, idx, pngs, wavs] = [
    /\.npz$/i,
    /\.bin$/i,
    /idx3-ubyte(\.gz)?$/i,
    /\.(png|jpe?g)$/i,
    /\.wav$/i,
  ].map(ends) as [readonly Entry[], readonly Entry[], readonly Entry[], readonly Entry[], readonly Entry[]];
  const labels = sheetLabels(path, entries);
  const [npz] = arrays;
  const found = npz
    ? fromNpz(npz)
    : bins.length > 0
      ? fromCifar(bins)
      : idx.length > 0
        ? fromIdx(idx, entries)
        : pngs.length > 0 && labels
          ? fromSheets(pngs, labels, options.shape)
          : pngs.length > 0
            ? fromClasses(pngs, options, picture)
            : wavs.length > 0
              ? fromClasses(wavs, options, recording)
              : undefined;
  if (!found)
    return fail(
      'GRIM_TRAIN_BAD_DATA',
      `${quote(path)}: no data set is recognised in it. CIFAR-10 .bin, MNIST idx, .npz, PNG sheets with labels, or class folders of .png or .wav are read.`,
      { path },
    );
  return limited(found, options.limit);
}

function limited(found: Examples, limit = found.count): Examples {
  if (limit >= found.count) return found;
  const size = sizeOf(found.shape);
  return {
    ...found,
    count: limit,
    data: found.data.subarray(0, limit * size),
    ...(found.labels && { labels: found.labels.subarray(0, limit) }),
    ...(found.targets && { targets: found.targets.subarray(0, (found.targets.length / found.count) * limit) }),
  };
}

/** Where the parts of a data set lie: `train` and `test` (or `validation`, `val`) inside one folder, or the path alone. */
export function partsOf(path: string): { readonly train: string; readonly validation: string | undefined } {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return { train: path, validation: undefined };
  const part = (...names: readonly string[]): string | undefined =>
    names
      .flatMap((name) => [name, `${name}.tar.gz`, `${name}.tgz`, `${name}.tar`, `${name}.npz`])
      .map((name) => join(path, name))
      .find((own) => existsSync(own));
  const train = part('train', 'training');
  return train ? { train, validation: part('validation', 'val', 'test') } : { train: path, validation: undefined };
}

const bad = (file: string, why: string): never => fail('GRIM_TRAIN_BAD_DATA', `${quote(file)}: ${why}.`, { file });

/** What a reader says of a file, with the file's name. */
function reading<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof GrimError)) throw error;
    return fail('GRIM_TRAIN_BAD_DATA', `${quote(file)}: ${error.message}`, { ...error.details, file });
  }
}

function joined(parts: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  if (all.length % size !== 0) throw new Error('internal: parts of uneven length');
  return all;
}

const CIFAR = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];
const CIFAR_BYTES = 3072;

function fromCifar(entries: readonly Entry[]): Examples {
  const parts = entries.map((entry) => {
    const bytes = entry.read();
    if (bytes.length === 0 || bytes.length % (CIFAR_BYTES + 1) !== 0)
      bad(entry.path, `it has ${bytes.length} bytes; records of ${CIFAR_BYTES + 1} (a label and a picture) are needed`);
    return bytes;
  });
  const all = joined(parts, CIFAR_BYTES + 1);
  const count = all.length / (CIFAR_BYTES + 1);
  const data = new Uint8Array(count * CIFAR_BYTES);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const at = i * (CIFAR_BYTES + 1);
    labels[i] = all[at] as number;
    data.set(all.subarray(at + 1, at + 1 + CIFAR_BYTES), i * CIFAR_BYTES);
  }
  return { count, shape: [3, 32, 32], data, labels, classes: CIFAR };
}

function fromIdx(entries: readonly Entry[], all: readonly Entry[]): Examples {
  const read = (entry: Entry, dims: number): { readonly lengths: number[]; readonly body: Uint8Array } => {
    const bytes = entry.read();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const head = 4 + 4 * dims;
    if (bytes.length < head || view.getUint32(0) !== 0x800 + dims)
      bad(entry.path, `it is no idx file of bytes with ${dims} axes`);
    const lengths = Array.from({ length: dims }, (_, i) => view.getUint32(4 + 4 * i));
    const body = bytes.subarray(head);
    if (sizeOf(lengths) !== body.length) bad(entry.path, `its ${body.length} bytes are not [${lengths.join(', ')}]`);
    return { lengths, body };
  };
  const [images, ...more] = entries;
  if (!images || more.length > 0)
    return bad(entries[1]?.path ?? '', 'there are two sets of pictures; name the one that is meant');
  const other = images.path.replace(/images(.)idx3/i, 'labels$1idx1');
  const labelled = all.find(
    ({ path }) => path === other || path === `${other}.gz` || path.replace(/\.gz$/, '') === other.replace(/\.gz$/, ''),
  );
  if (!labelled || labelled === images) return bad(images.path, `its labels, ${quote(other)}, are missing`);
  const { lengths, body } = read(images, 3);
  const { body: labels } = read(labelled, 1);
  const [count = 0, h = 0, w = 0] = lengths;
  if (labels.length !== count) bad(labelled.path, `it has ${labels.length} labels for ${count} pictures`);
  return { count, shape: [1, h, w], data: body, labels };
}

const SHEET = /_(\d+)\.png$/i;

/** Labels of sheets: beside them, or in the folder above. */
function sheetLabels(path: string, entries: readonly Entry[]): readonly number[] | undefined {
  if (!entries.some((entry) => SHEET.test(entry.path))) return undefined;
  const own = entries.find((entry) => /labels\.json$/i.test(entry.path));
  const above = (): Uint8Array | undefined => {
    const start = statSync(path).isDirectory() ? path : dirname(path);
    for (const folder of [start, join(start, '..')]) {
      const file = readdirSync(folder).find((name) => /labels\.json$/i.test(name));
      if (file !== undefined) return readFileSync(join(folder, file));
    }
    return undefined;
  };
  const bytes = own?.read() ?? above();
  if (!bytes) return undefined;
  try {
    const { labels } = JSON.parse(Buffer.from(bytes).toString('utf8')) as { readonly labels?: unknown };
    return Array.isArray(labels) && labels.every((label) => Number.isInteger(label) && label >= 0)
      ? (labels as number[])
      : undefined;
  } catch {
    return undefined;
  }
}

function fromSheets(entries: readonly Entry[], labels: readonly number[], shape: Shape): Examples {
  const [channels = 1, h = 1, w = 1] = shape;
  const side = h * w;
  const found: number[] = [];
  const parts = entries.map((entry) => {
    const [, batch] = SHEET.exec(entry.path) ?? bad(entry.path, 'the number of the sheet is missing in its name');
    const sheet = decodePicture(entry.path, entry.read());
    if (sheet.width !== side || sheet.channels !== channels)
      bad(
        entry.path,
        `it is ${sheet.width} wide with ${sheet.channels} channels; each row holds one picture, ${side} and ${channels} are needed`,
      );
    const data = new Uint8Array(sheet.height * side * channels);
    for (let r = 0; r < sheet.height; r++)
      for (let x = 0; x < side; x++)
        for (let c = 0; c < channels; c++)
          data[(r * channels + c) * side + x] = sheet.data[(r * side + x) * channels + c] as number;
    for (let r = 0; r < sheet.height; r++) {
      const label = labels[Number(batch) * sheet.height + r];
      found.push(label ?? bad(entry.path, `there is no label for its row ${r}`));
    }
    return data;
  });
  return {
    count: found.length,
    shape: [channels, h, w],
    data: joined(parts, side * channels),
    labels: Int32Array.from(found),
  };
}

function fromNpz(entry: Entry): Examples {
  const arrays = reading(entry.path, () => readNpz(entry.read()));
  const pick = (...names: readonly string[]): Tensor | undefined => {
    const read = names.map((name) => arrays.get(name)).find((array) => array !== undefined);
    return read && reading(entry.path, () => readNpy(read()));
  };
  const has = [...arrays.keys()].join(', ');
  const x = pick('x', 'x_train', 'images', 'inputs', 'data') ?? bad(entry.path, `it has ${has}; x is needed`);
  const y = pick('y', 'y_train', 'labels', 'targets') ?? bad(entry.path, `it has ${has}; y is needed`);
  const [count = 0, ...shape] = x.shape;
  if (y.shape[0] !== count) bad(entry.path, `x has ${count} examples, y ${y.shape[0] ?? 0}`);
  const numbers = (tensor: Tensor): Float32Array => Float32Array.from(toReals(tensor));
  const data = x.dtype === 'uint8' && x.data instanceof Uint8Array ? x.data : numbers(x);
  const classes = y.shape.length === 1 && !y.dtype.includes('float');
  if (classes) return { count, shape, data, labels: Int32Array.from(toReals(y)) };
  return { count, shape, data, targets: numbers(y) };
}

type ReadOne = (entry: Entry, options: LoadOptions) => Uint8Array | Float32Array;

const picture: ReadOne = (entry, { shape }) => {
  const [channels = 1, h = 1, w = 1] = shape;
  const found = decodePicture(entry.path, entry.read());
  if (found.width !== w || found.height !== h || found.channels !== channels)
    bad(
      entry.path,
      `it is ${found.width} × ${found.height} with ${found.channels} channels; the network takes ${w} × ${h} with ${channels}. Resize it`,
    );
  const data = new Uint8Array(channels * h * w);
  for (let i = 0; i < h * w; i++)
    for (let c = 0; c < channels; c++) data[c * h * w + i] = found.data[i * channels + c] as number;
  return data;
};

const recording: ReadOne = (entry, { shape, mfcc: how }) => {
  const [frames = 1, coefficients = 1] = shape.length === 2 ? shape : shape.slice(1);
  const sound = reading(entry.path, () => decodeWav(entry.read()));
  const [rate, samples] = [sound.rate, mixed(sound)];
  const features = mfcc(samples, { ...how, highest: Math.min(how?.highest ?? 4000, rate / 2), rate, coefficients });
  const have = features.length / coefficients;
  if (have === 0) bad(entry.path, `its ${samples.length} samples are shorter than one frame`);
  const data = new Float32Array(frames * coefficients);
  for (let t = 0; t < frames; t++) {
    const from = Math.min(t, have - 1) * coefficients;
    data.set(features.subarray(from, from + coefficients), t * coefficients);
  }
  return data;
};

/** The class is the folder's name, else what the file's name says before the first _. */
function fromClasses(entries: readonly Entry[], options: LoadOptions, readOne: ReadOne): Examples {
  const nameOf = ({ path }: Entry): string => {
    const parts = path.split('/');
    const file = parts.at(-1) ?? '';
    const before = file.split('_')[0] ?? '';
    const folder = parts.at(-2);
    return /\.wav$/i.test(file) && /^.+_.+/.test(file) && (folder === undefined || singleFolder)
      ? before
      : (folder ?? before);
  };
  const singleFolder = new Set(entries.map(({ path }) => dirname(path))).size === 1;
  const names = entries.map(nameOf);
  const classes =
    options.classes ?? [...new Set(names)].sort((a, b) => new Intl.Collator('en', { numeric: true }).compare(a, b));
  const wanted = entries.slice(0, options.limit);
  const labels = wanted.map((entry, i) => {
    const at = classes.indexOf(names[i] ?? '');
    return at < 0
      ? bad(entry.path, `class ${quote(names[i] ?? '')} is none of ${classes.map((name) => quote(name)).join(', ')}`)
      : at;
  });
  const parts = wanted.map((entry) => readOne(entry, options));
  const size = sizeOf(options.shape);
  const bytes = parts[0] instanceof Uint8Array;
  const data = bytes ? new Uint8Array(parts.length * size) : new Float32Array(parts.length * size);
  parts.forEach((part, i) => {
    data.set(part, i * size);
  });
  return { count: parts.length, shape: options.shape, data, labels: Int32Array.from(labels), classes };
}

/** Two parts at random, the second with `share` of the examples: where a data set has no validation part. */
export function holdOut(examples: Examples, share: number, seed = 1): readonly [Examples, Examples] {
  const order = shuffled(examples.count, randomStream(seed, 4));
  const size = sizeOf(examples.shape);
  const held = Math.max(1, Math.round(examples.count * share));
  const take = (indices: Uint32Array): Examples => {
    const { data, labels, targets, count } = examples;
    const own =
      data instanceof Uint8Array ? new Uint8Array(indices.length * size) : new Float32Array(indices.length * size);
    indices.forEach((index, i) => {
      own.set(data.subarray(index * size, (index + 1) * size), i * size);
    });
    const width = targets ? targets.length / count : 0;
    return {
      ...examples,
      count: indices.length,
      data: own,
      ...(labels && { labels: Int32Array.from(indices, (index) => labels[index] as number) }),
      ...(targets && {
        targets: Float32Array.from(
          { length: indices.length * width },
          (_, i) => targets[(indices[Math.floor(i / width)] as number) * width + (i % width)] as number,
        ),
      }),
    };
  };
  return [take(order.subarray(held)), take(order.subarray(0, held))];
}

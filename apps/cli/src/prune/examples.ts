/**
 * Calibration inputs from files and folders: pictures, sounds and single tensors are one example each, arrays hold examples
 * along their first axis, a .npz has an array for each input. What is taken of more than are wanted lies evenly spread, so
 * that folders of one class each all have their say.
 */
import { createHash } from 'node:crypto';
import nodeFs from 'node:fs';
import { join } from 'node:path';
import { readNpy, readNpz } from '@grim/files';
import {
  bytesPerElement,
  type Graph,
  GrimError,
  isStatic,
  quote,
  type Shape,
  type Tensor,
  type TensorType,
  viewAs,
} from '@grim/ir';
import type { Feeds } from '@grim/prune';
import { about, UsageError } from '../errors.ts';
import { kindOfPath, readingFolders, readRegularFile } from '../files.ts';
import { decodePicture } from '../inputs/decode-picture.ts';
import { normalisation, prepare } from '../inputs/preprocess.ts';
import { type InputOptions, inputKind, readInput } from '../inputs/read.ts';
import { endOf, fitted, readTensor } from '../tensor-files.ts';

export interface ExampleOptions {
  /** Files and folders, in order. */
  readonly data: readonly string[];
  /** The most examples that are taken. */
  readonly examples: number;
  /** The most examples of a batch, where the network leaves its length open. */
  readonly batch: number;
  /** Each row of pixels of a picture is a picture of its own, as CIFAR-10's are often stored. */
  readonly sheet: boolean;
  readonly how: InputOptions;
}

export interface Calibration {
  readonly batches: readonly Feeds[];
  readonly examples: number;
  /** Left out because the last batch would not be full. */
  readonly leftOver: number;
  /** Of what was found. */
  readonly found: number;
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
}

const MAX_DEPTH = 8;
const MAX_FILES = 1e5;

/** One example, or a whole array of them: a value for every input of the network. */
interface Source {
  readonly path: string;
  readonly count: number;
  read(index: number): Promise<Readonly<Record<string, Tensor>>>;
}

/** @throws {UsageError}, {GrimError} GRIM_PRUNE_BAD_CALIBRATION when there is no example, and what reading files throws */
export async function readExamples(graph: Graph, options: ExampleOptions): Promise<Calibration> {
  const sources: Source[] = [];
  for (const path of options.data)
    for (const file of filesBelow(path)) sources.push(await about(file, () => sourceOf(file, graph, options)));
  let found = 0;
  const starts = sources.map(({ count }) => {
    found += count;
    return found - count;
  });
  if (found === 0)
    throw new GrimError(
      'GRIM_PRUNE_BAD_CALIBRATION',
      `calibration: no example in ${options.data.map(quote).join(', ')}. Give files or folders with some hundred inputs of the network.`,
    );
  const wanted = Math.min(found, options.examples);
  const used = new Set<string>();
  const examples: Readonly<Record<string, Tensor>>[] = [];
  for (let i = 0; i < wanted; i++) {
    const at = Math.floor((i * found) / wanted);
    const s = starts.findLastIndex((start) => start <= at);
    const source = sources[s] as Source;
    used.add(source.path);
    examples.push(await about(source.path, () => source.read(at - (starts[s] ?? 0))));
  }
  const { batches, perBatch } = batched(graph, examples, options.batch);
  const files = [...used].map((path) => ({ path, sha256: sha256(readRegularFile(path)) }));
  const taken = batches.length * perBatch;
  return { batches, examples: taken, leftOver: wanted - taken, found, files };
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** In the order of their names, whatever the file system gives; hidden ones and those of no known kind left out. */
function filesBelow(path: string): readonly string[] {
  if (about(path, () => kindOfPath(path)) === 'file') {
    inputKind(path);
    return [path];
  }
  const files: string[] = [];
  const walk = (folder: string, depth: number): void => {
    const entries = about(folder, () => readingFolders(() => nodeFs.readdirSync(folder, { withFileTypes: true })));
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.name.startsWith('.')) continue;
      const inside = join(folder, entry.name);
      if (entry.isDirectory() && depth < MAX_DEPTH) walk(inside, depth + 1);
      else if (entry.isFile() && isInput(inside)) files.push(inside);
      if (files.length > MAX_FILES) throw new UsageError(`${quote(path)} holds more than ${MAX_FILES} files.`);
    }
  };
  walk(path, 0);
  return files;
}

function isInput(path: string): boolean {
  // Tables of labels and the like lie beside pictures.
  if (endOf(path) === '.json') return false;
  try {
    inputKind(path);
    return true;
  } catch {
    return false;
  }
}

async function sourceOf(path: string, graph: Graph, { sheet, how }: ExampleOptions): Promise<Source> {
  const inputs = [...graph.inputs];
  const [first, ...more] = inputs;
  if (!first) throw new UsageError('the network has no inputs.');
  if (endOf(path) === '.npz') {
    const arrays = readNpz(readRegularFile(path));
    const tensors = new Map<string, Tensor>();
    for (const [name, type] of inputs) {
      const entry = arrays.get(name) ?? (more.length === 0 && arrays.size === 1 ? [...arrays.values()][0] : undefined);
      if (!entry)
        throw new GrimError(
          'GRIM_CLI_BAD_TENSOR',
          `it holds ${Array.from(arrays.keys(), quote).join(', ')}, and not ${quote(name)}. Save the array under that name.`,
        );
      tensors.set(name, alongFirst(readNpy(entry()), type));
    }
    return arraySource(path, tensors);
  }
  if (more.length > 0)
    throw new UsageError(
      `the network has ${inputs.length} inputs: ${inputs.map(([name]) => quote(name)).join(', ')}. Give a .npz with an array for each.`,
    );
  const [name, type] = first;
  const kind = inputKind(path);
  if (kind === 'tensor') {
    const wanted = { ...type, shape: openFirst(type.shape) };
    const bytes = readRegularFile(path);
    const tensor = endOf(path) === '.npy' ? alongFirst(readNpy(bytes), type) : readTensor(path, bytes, wanted);
    return arraySource(path, new Map([[name, tensor]]));
  }
  const one = { ...type, shape: oneExample(type.shape) };
  if (kind === 'picture' && sheet) return sheetSource(path, name, one, how);
  return {
    path,
    count: 1,
    read: async () => ({
      [name]: (await readInput(path, { name, type: one, preprocess: undefined, sound: undefined }, how)).tensor,
    }),
  };
}

function openFirst(shape: Shape | null): Shape | null {
  return shape && shape.length > 0 ? ['examples', ...shape.slice(1)] : shape;
}

/** Pictures and sounds come one at a time. */
function oneExample(shape: Shape | null): Shape | null {
  return shape && shape.length > 0 ? [1, ...shape.slice(1)] : shape;
}

/** An array of examples, or one example without that axis. */
function alongFirst(tensor: Tensor, type: TensorType): Tensor {
  const missing = type.shape && tensor.shape.length === type.shape.length - 1;
  return fitted(missing ? { ...tensor, shape: [1, ...tensor.shape] } : tensor, {
    ...type,
    shape: openFirst(type.shape),
  });
}

function arraySource(path: string, tensors: ReadonlyMap<string, Tensor>): Source {
  const counts = new Set(Array.from(tensors.values(), ({ shape }) => shape[0] ?? 1));
  if (counts.size > 1)
    throw new GrimError(
      'GRIM_PRUNE_BAD_CALIBRATION',
      `its arrays have ${[...counts].join(' and ')} examples; as many for each input are needed.`,
    );
  const [count = 0] = counts;
  return {
    path,
    count,
    read: async (index) => {
      const example: Record<string, Tensor> = {};
      for (const [name, { dtype, shape, data }] of tensors) {
        const size = data.length / Math.max(1, shape[0] ?? 1);
        const part = data.subarray(index * size, (index + 1) * size);
        example[name] = { dtype, shape: [1, ...shape.slice(1)], data: part } as Tensor;
      }
      return example;
    },
  };
}

async function sheetSource(path: string, name: string, type: TensorType, how: InputOptions): Promise<Source> {
  const { width, height, channels, data } = await decodePicture(readRegularFile(path));
  const side = Math.sqrt(width);
  if (!Number.isInteger(side))
    throw new UsageError(`a sheet has a square picture in each row of pixels; this one has rows of ${width}.`);
  const normal = normalisation(type, undefined, how.picture);
  return {
    path,
    count: height,
    read: async (index) => {
      const own = data.subarray(index * width * channels, (index + 1) * width * channels);
      const picture = { width: side, height: side, channels, data: own };
      return { [name]: prepare(picture, type, normal, how.picture).tensor };
    },
  };
}

/** As many to a batch as the network wants, or leaves open: then so many that the fewest are left over. */
function batched(
  graph: Graph,
  examples: readonly Readonly<Record<string, Tensor>>[],
  most: number,
): { readonly batches: readonly Feeds[]; readonly perBatch: number } {
  const fixed = Array.from(graph.inputs.values(), ({ shape }) => shape?.[0]).find((dim) => typeof dim === 'number');
  const perBatch = fixed ?? bestBatch(examples.length, most);
  if (perBatch > examples.length)
    throw new GrimError(
      'GRIM_PRUNE_BAD_CALIBRATION',
      `calibration: ${examples.length} examples, and the network takes ${perBatch} at once. Give more.`,
    );
  const batches = Array.from({ length: Math.floor(examples.length / perBatch) }, (_, b) => {
    const own = examples.slice(b * perBatch, (b + 1) * perBatch);
    return Object.fromEntries([...graph.inputs.keys()].map((name) => [name, stacked(name, own)]));
  });
  return { batches, perBatch };
}

function bestBatch(count: number, most: number): number {
  let best = Math.min(count, most);
  for (let size = best; size > Math.min(count, most) / 2; size--) if (count % size < count % best) best = size;
  return best;
}

function stacked(name: string, examples: readonly Readonly<Record<string, Tensor>>[]): Tensor {
  const tensors = examples.map((example) => example[name] as Tensor);
  const [first] = tensors as [Tensor];
  const size = first.data.length;
  for (const { shape } of tensors)
    if (shape.join() !== first.shape.join() || !isStatic(shape))
      throw new GrimError(
        'GRIM_PRUNE_BAD_CALIBRATION',
        `calibration: examples of ${quote(name)} have shapes [${first.shape.join(', ')}] and [${shape.join(', ')}]; one shape is needed. Add --resize or --center-crop.`,
      );
  const bytes = new Uint8Array(tensors.length * size * bytesPerElement(first.dtype));
  tensors.forEach(({ data }, i) => {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), i * data.byteLength);
  });
  const shape = [tensors.length, ...first.shape.slice(1)];
  return { dtype: first.dtype, shape, data: viewAs(first.dtype, bytes.buffer, 0, tensors.length * size) } as Tensor;
}

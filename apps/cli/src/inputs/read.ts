/** An input of a model from a file, whatever the file is: an array, a picture, or sound. */

import { decodeWav, readNpy, readNpz } from '@grim/files';
import type { ImagePreprocess, SoundPreprocess, Tensor, TensorType } from '@grim/ir';
import { GrimError, quote } from '@grim/ir';
import { UsageError } from '../errors.ts';
import { readRegularFile } from '../files.ts';
import { endOf, fitted, readTensor, TENSOR_ENDS } from '../tensor-files.ts';
import { type AudioOptions, audioTensor, featuresTensor, soundPreprocess } from './audio.ts';
import { decodePicture } from './decode-picture.ts';
import { normalisation, type PictureOptions, prepare } from './preprocess.ts';

const PICTURES = ['.png', '.jpg', '.jpeg'] as const;
const SOUNDS = ['.wav'] as const;
const ENDS: readonly string[] = [...TENSOR_ENDS, '.npz', ...PICTURES, ...SOUNDS];

export type InputKind = 'tensor' | 'picture' | 'sound';

/** @throws {UsageError} when the name ends in nothing that is known */
export function inputKind(path: string): InputKind {
  const end = endOf(path);
  if (!ENDS.includes(end)) throw new UsageError(`the file ${quote(path)} is of no known kind: ${ENDS.join(', ')} are.`);
  if (PICTURES.some((one) => one === end)) return 'picture';
  return SOUNDS.some((one) => one === end) ? 'sound' : 'tensor';
}

export interface WantedInput {
  readonly name: string;
  readonly type: TensorType;
  /** What the model says of its pictures. */
  readonly preprocess: ImagePreprocess | undefined;
  /** And of its sounds. */
  readonly sound: SoundPreprocess | undefined;
}

export interface InputOptions {
  readonly picture: PictureOptions;
  readonly audio: AudioOptions;
}

export interface ReadInput {
  readonly tensor: Tensor;
  /** What was done to it. */
  readonly note?: string;
}

/**
 * @throws {GrimError} of {@link readRegularFile}, and GRIM_CLI_BAD_TENSOR, GRIM_CLI_BAD_IMAGE, GRIM_CLI_BAD_AUDIO
 */
export async function readInput(path: string, wanted: WantedInput, options: InputOptions): Promise<ReadInput> {
  const { name, type, preprocess } = wanted;
  const kind = inputKind(path);
  if (kind === 'picture') {
    const how = normalisation(type, preprocess, options.picture);
    return prepare(await decodePicture(readRegularFile(path)), type, how, options.picture);
  }
  const bytes = readRegularFile(path);
  if (kind === 'sound') {
    const { features, resample } = options.audio;
    const how = features ? soundPreprocess(type, features) : wanted.sound;
    if (how && resample !== undefined)
      throw new UsageError('--resample is of samples, and features have a rate of their own. Leave it out.');
    return how ? featuresTensor(decodeWav(bytes), type, how) : audioTensor(decodeWav(bytes), type, options.audio);
  }
  if (endOf(path) !== '.npz') return { tensor: readTensor(path, bytes, type) };
  const entries = readNpz(bytes);
  const [only, ...more] = entries.values();
  const entry = entries.get(name) ?? (more.length === 0 ? only : undefined);
  if (entry === undefined)
    throw new GrimError(
      'GRIM_CLI_BAD_TENSOR',
      `it holds ${Array.from(entries.keys(), quote).join(', ')}, and not ${quote(name)}. Save the array under that name.`,
    );
  return { tensor: fitted(readNpy(entry()), type) };
}

/** The names of the arrays in a .npz file. */
export function namesIn(path: string): readonly string[] {
  return [...readNpz(readRegularFile(path)).keys()];
}

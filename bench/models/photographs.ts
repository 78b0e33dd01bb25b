/**
 * The 250 photographs of the data folder as two ImageNet networks want them, by the very code of `grim run`: decoded by
 * MozJPEG's decoder, whose pixels are those of Pillow.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TensorType } from '@grim/ir';
import { decodePicture } from '../../apps/cli/src/inputs/decode-picture.ts';
import { normalisation, type PictureOptions, prepare } from '../../apps/cli/src/inputs/preprocess.ts';

export interface PhotographTask {
  readonly model: string;
  readonly input: string;
  readonly side: number;
  readonly options: PictureOptions;
  /** Index of the first class among the outputs. */
  readonly first: number;
  /** Of 250, by onnxruntime-node 1.30.0: right first, right among the first five. */
  readonly reference: readonly [top1: number, top5: number];
}

const square = (side: number) => ({ width: side, height: side });

export const PHOTOGRAPHS: readonly PhotographTask[] = [
  {
    model: 'mobilenet_v2_imagenet',
    input: 'input',
    side: 224,
    options: { crop: square(224), scale: 1 / 128, mean: [1] },
    first: 1,
    reference: [222, 246],
  },
  {
    model: 'squeezenet_v1_0_pruned_imagenet',
    input: 'data',
    side: 227,
    options: { crop: square(227), channels: 'bgr', scale: 1, mean: [104, 117, 123] },
    first: 0,
    reference: [165, 207],
  },
];

export interface Photograph {
  readonly file: string;
  readonly classIndex: number;
  /** By model: what the reference answered. */
  readonly referenceTop1: Readonly<Record<string, number>>;
}

export function photographs(data: string): readonly Photograph[] {
  return JSON.parse(readFileSync(join(data, 'imagenet-samples', 'labels.json'), 'utf8')) as readonly Photograph[];
}

/** [1, 3, side, side] */
export async function prepared(data: string, file: string, { side, options }: PhotographTask): Promise<Float32Array> {
  const type: TensorType = { dtype: 'float32', shape: [1, 3, side, side] };
  const picture = await decodePicture(readFileSync(join(data, 'imagenet-samples', 'images', file)));
  return prepare(picture, type, normalisation(type, undefined, options), options).tensor.data as Float32Array;
}

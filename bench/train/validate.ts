/**
 * Settings of training are chosen on pictures that are neither trained on nor judged by: the 9,000 test pictures of CIFAR-10 that
 * are not among the 1,000 lossless ones, as JPEG copies. The copies cost every network about ten points, so that counts say which
 * of two networks is better, not how good it is: `npm run train:validate -- a.onnx b.ir …`.
 *
 * A class's files keep the order of the original test batch, whose first 1,000 pictures are the lossless ones: the first of each
 * class, as many as the lossless pictures have of it, are left out.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { cifarBatch, standardised } from '@grim/conformance';
import { parse } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { decodeJpeg } from '../../apps/cli/src/inputs/jpeg.ts';
import { correct } from '../prune/ort.ts';
import type { Examples } from '../prune/subjects.ts';
import { wilson } from './judge.ts';

const CLASSES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];

const data = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
const pictures = await validationPictures();
for (const path of process.argv.slice(2)) {
  const graph = path.endsWith('.ir') ? parse(readFileSync(path, 'utf8')) : fromOnnx(readFileSync(path));
  const right = await correct(graph, pictures);
  console.log(
    `${path}: ${right} of ${pictures.labels.length} ${JSON.stringify(wilson(right, pictures.labels.length))}`,
  );
}

async function validationPictures(): Promise<Examples> {
  const judged = cifarBatch(data, 50).labels;
  const skipped = CLASSES.map((_, label) => judged.filter((one) => one === label).length);
  const pixels: Uint8Array[] = [];
  const labels: number[] = [];
  for (const { name, content } of tarFiles(gunzipSync(readFileSync(join(data, 'cifar10/test-jpeg-10k.tar.gz'))))) {
    const [, folder = '', file = ''] = name.split('/');
    const label = CLASSES.indexOf(folder);
    if (label < 0 || Number.parseInt(file, 10) < (skipped[label] ?? 0)) continue;
    pixels.push((await decodeJpeg(content)).data);
    labels.push(label);
  }
  const all = new Uint8Array(pixels.length * 3072);
  for (const [i, picture] of pixels.entries()) all.set(channelsFirst(picture), i * 3072);
  const images = { count: labels.length, pixels: all, labels };
  return { data: standardised(images, 0, labels.length), shape: [3, 32, 32], labels };
}

/** 32 × 32 pixels of three samples each, as three planes. */
function channelsFirst(picture: Uint8Array): Uint8Array {
  return picture.map((_, to) => picture[(to % 1024) * 3 + Math.floor(to / 1024)] ?? 0);
}

/** The files of an archive without long names. @see POSIX.1-1988, ustar */
function* tarFiles(archive: Uint8Array): Generator<{ readonly name: string; readonly content: Uint8Array }> {
  const text = (at: number, length: number): string =>
    new TextDecoder().decode(archive.subarray(at, at + length)).replaceAll('\0', '');
  for (let at = 0; at < archive.length && text(at, 100) !== ''; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    yield { name: text(at, 100), content: archive.subarray(at + 512, at + 512 + size) };
    at += 512 + 512 * Math.ceil(size / 512);
  }
}

/**
 * CIFAR-10 from the data folder's PNG sheets: one row of pixels per image, 8-bit RGB, lossless. Only what these files use
 * of PNG is read: no interlace, no palette, filters 0 to 4.
 * @see https://www.w3.org/TR/png-3/ 9 (filters)
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';

const SIDE = 32;
const PIXELS = SIDE * SIDE;

export interface Images {
  readonly count: number;
  /** [count, 3, 32, 32], 0 to 255. */
  readonly pixels: Uint8Array;
  readonly labels: readonly number[];
}

/** Batch 0 to 44 are training images, 50 the test images. */
export function cifarBatch(data: string, batch: number): Images {
  const folder = batch === 50 ? 'test' : 'train';
  const { width, height, rgb } = readPng(readFileSync(join(data, 'cifar10', folder, `cifar10_batch_${batch}.png`)));
  if (width !== PIXELS) throw new Error(`batch ${batch}: ${width} pixels in a row, ${PIXELS} expected`);
  const pixels = new Uint8Array(height * 3 * PIXELS);
  for (let image = 0; image < height; image++)
    for (let at = 0; at < PIXELS; at++)
      for (let channel = 0; channel < 3; channel++)
        pixels[(image * 3 + channel) * PIXELS + at] = rgb[(image * PIXELS + at) * 3 + channel] as number;
  const all = JSON.parse(readFileSync(join(data, 'cifar10', 'cifar10_labels.json'), 'utf8')).labels as number[];
  return { count: height, pixels, labels: all.slice(1000 * batch, 1000 * batch + height) };
}

/** As the networks want them: ResNet-8 raw, the others standardised. Images first … first + count. */
export function standardised({ pixels }: Images, first: number, count: number, raw = false): Float32Array {
  const mean = [0.485, 0.456, 0.406];
  const spread = [0.229, 0.224, 0.225];
  const size = 3 * PIXELS;
  return Float32Array.from(pixels.subarray(first * size, (first + count) * size), (value, at) => {
    const channel = Math.floor(at / PIXELS) % 3;
    return raw ? value : (value / 255 - (mean[channel] ?? 0)) / (spread[channel] ?? 1);
  });
}

function readPng(file: Buffer): { width: number; height: number; rgb: Uint8Array } {
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  const kind = file.subarray(24, 29).toString('hex');
  if (kind !== '0802000000') throw new Error(`PNG: depth, colour and interlace are ${kind}; 8-bit RGB is expected`);
  const parts: Buffer[] = [];
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    if (file.toString('latin1', at + 4, at + 8) === 'IDAT') parts.push(file.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  const lines = inflateSync(Buffer.concat(parts));
  const stride = width * 3;
  const rgb = new Uint8Array(height * stride);
  for (let row = 0; row < height; row++) {
    const filter = lines[row * (stride + 1)] as number;
    const from = row * (stride + 1) + 1;
    const to = row * stride;
    for (let i = 0; i < stride; i++) {
      const left = i >= 3 ? (rgb[to + i - 3] as number) : 0;
      const up = row > 0 ? (rgb[to + i - stride] as number) : 0;
      const corner = i >= 3 && row > 0 ? (rgb[to + i - stride - 3] as number) : 0;
      rgb[to + i] = (lines[from + i] as number) + predicted(filter, left, up, corner);
    }
  }
  return { width, height, rgb };
}

function predicted(filter: number, left: number, up: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  if (filter !== 4) return 0;
  const estimate = left + up - corner;
  const [a, b, c] = [Math.abs(estimate - left), Math.abs(estimate - up), Math.abs(estimate - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

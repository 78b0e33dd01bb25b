/** PNG files of every kind, damaged ones too, written for tests. */
import { crc32, deflateSync } from 'node:zlib';

export interface PngOptions {
  readonly width: number;
  readonly height: number;
  /** 0 gray, 2 RGB, 3 indexed, 4 gray and alpha, 6 RGBA. */
  readonly color: number;
  readonly depth: number;
  /** Row by row, a pixel's samples together, each below 2^depth. */
  readonly samples: readonly number[];
  readonly interlaced?: boolean;
  readonly palette?: readonly number[];
  /** Chunks before the pixels. */
  readonly extra?: readonly (readonly [type: string, content: Uint8Array])[];
  /** In place of the pixels. */
  readonly pixels?: Uint8Array;
}

const PASSES = [
  [0, 0, 8, 8],
  [0, 4, 8, 8],
  [4, 0, 8, 4],
  [0, 2, 4, 4],
  [2, 0, 4, 2],
  [0, 1, 2, 2],
  [1, 0, 2, 1],
] as const;

export function pngBytes(options: PngOptions): Uint8Array {
  const { width, height, color, depth, interlaced = false, palette, extra = [] } = options;
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  for (const [i, byte] of [depth, color, 0, 0, interlaced ? 1 : 0].entries()) header.setUint8(8 + i, byte);
  const pixels = options.pixels ?? deflateSync(Uint8Array.from(lines(options)));
  return Uint8Array.from([
    ...[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
    ...chunk('IHDR', new Uint8Array(header.buffer)),
    ...(palette ? chunk('PLTE', Uint8Array.from(palette)) : []),
    ...extra.flatMap(([type, content]) => [...chunk(type, content)]),
    ...chunk('IDAT', pixels),
    ...chunk('IEND', new Uint8Array()),
  ]);
}

/** Filtered with "none". */
function lines({ width, height, color, depth, samples, interlaced }: PngOptions): number[] {
  const count = [1, 0, 3, 1, 2, 0, 4][color] ?? 1;
  const bytes: number[] = [];
  for (const [y0, x0, dy, dx] of interlaced ? PASSES : [[0, 0, 1, 1]])
    for (let y = y0; y < height; y += dy) {
      const row: number[] = [];
      for (let x = x0; x < width; x += dx)
        row.push(...samples.slice((y * width + x) * count, (y * width + x + 1) * count));
      if (row.length > 0) bytes.push(0, ...packed(row, depth));
    }
  return bytes;
}

function packed(samples: readonly number[], depth: number): number[] {
  if (depth === 16) return samples.flatMap((sample) => [sample >> 8, sample & 255]);
  const bytes = new Array<number>(Math.ceil((samples.length * depth) / 8)).fill(0);
  samples.forEach((sample, i) => {
    const bit = i * depth;
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (sample << (8 - depth - (bit & 7)));
  });
  return bytes;
}

function chunk(type: string, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = type.charCodeAt(i);
  bytes.set(content, 8);
  view.setUint32(8 + content.length, crc32(bytes.subarray(4, 8 + content.length)));
  return bytes;
}

/**
 * PNG files, decoded by fast-png behind a fence: chunks are walked and inflated here first, so that nothing larger than the
 * header promises is ever allocated, and a file cut short is an error.
 * @see https://www.w3.org/TR/png-3/
 */
import { inflateSync } from 'node:zlib';
import { quote } from '@grim/ir';
import { type DecodedPng, decode } from 'fast-png';
import { badImage, checkSize, type Picture } from './picture.ts';

const SIGNATURE_BYTES = 8;
const KEPT: ReadonlySet<string> = new Set(['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND']);
const INDEXED = 3;
/** First row, first column, steps of the seven passes of interlaced files. */
const ADAM7 = [
  [0, 0, 8, 8],
  [0, 4, 8, 8],
  [4, 0, 8, 4],
  [0, 2, 4, 4],
  [2, 0, 4, 2],
  [0, 1, 2, 2],
  [1, 0, 2, 1],
] as const;

interface Header {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly color: number;
  readonly interlaced: boolean;
  /** Samples of a pixel as stored: an index counts as one. */
  readonly samples: number;
}

export function decodePng(bytes: Uint8Array): Picture {
  const { header, plain } = checkChunks(bytes);
  let png: DecodedPng;
  try {
    png = decode(plain, { checkCrc: true });
  } catch (error) {
    return badImage(`the PNG data are damaged (${quote(error instanceof Error ? error.message : '')}). Get it again`);
  }
  return flattened(header, png);
}

/** The header, and the file without the chunks that say nothing about the pixels. */
function checkChunks(bytes: Uint8Array): { readonly header: Header; readonly plain: Uint8Array } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kept: Uint8Array[] = [bytes.subarray(0, SIGNATURE_BYTES)];
  const pixels: Uint8Array[] = [];
  let header: Header | undefined;
  for (let at = SIGNATURE_BYTES, type = ''; type !== 'IEND'; ) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : Number.POSITIVE_INFINITY;
    if (at + 12 + length > bytes.length) return badImage('the PNG file is cut short. Get it again');
    type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, at + 8 + length);
    if ((type === 'IHDR') === (header !== undefined) && (type === 'IHDR' || header === undefined))
      badImage('the PNG data are damaged: the header is missing, or stands twice');
    if (type === 'IHDR') header = readHeader(content);
    if (type === 'IDAT') pixels.push(content);
    if (KEPT.has(type)) kept.push(bytes.subarray(at, at + 12 + length));
    else if (/^[A-Z]/.test(type)) badImage(`it has a chunk of the unknown kind ${quote(type)}`);
    at += 12 + length;
  }
  if (header === undefined) return badImage('the PNG data are damaged: no header');
  checkPixels(header, Buffer.concat(pixels));
  return { header, plain: new Uint8Array(Buffer.concat(kept)) };
}

function readHeader(content: Uint8Array): Header {
  if (content.length !== 13) badImage(`the PNG data are damaged: a header of ${content.length} bytes`);
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth = 0, color = 0, compression, filter, interlace = 0] = content.subarray(8);
  const depths = [[1, 2, 4, 8, 16], [], [8, 16], [1, 2, 4, 8], [8, 16], [], [8, 16]][color] ?? [];
  if (!depths.includes(depth) || compression !== 0 || filter !== 0 || interlace > 1)
    badImage(`the PNG data are damaged: depth ${depth}, colour type ${color}, interlace ${interlace}`);
  checkSize(width, height);
  // fast-png takes every sample of an interlaced picture for whole bytes.
  if (interlace === 1 && depth < 8)
    badImage(`it is interlaced with ${depth} bits per sample. Save it without interlacing`);
  const samples = [1, 0, 3, 1, 2, 0, 4][color] ?? 0;
  return { width, height, depth, color, interlaced: interlace === 1, samples };
}

/** The pixels must inflate to just what the header promises. */
function checkPixels(header: Header, deflated: Uint8Array): void {
  const { width, height, depth, samples, interlaced } = header;
  const rows = (w: number, h: number): number => (w > 0 && h > 0 ? h * (1 + Math.ceil((w * samples * depth) / 8)) : 0);
  const wanted = interlaced
    ? ADAM7.reduce((sum, [y, x, dy, dx]) => sum + rows(Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)), 0)
    : rows(width, height);
  let found = -1;
  try {
    found = inflateSync(deflated, { maxOutputLength: wanted + 1 }).length;
  } catch {
    badImage(`the PNG data are damaged: ${wanted} bytes of pixels cannot be inflated. Get it again`);
  }
  if (found !== wanted)
    badImage(`the PNG data are damaged: ${found} bytes of pixels, ${wanted} expected. Get it again`);
}

/** Eight bits per sample, without palette and without alpha. */
function flattened({ width, height, depth, color }: Header, png: DecodedPng): Picture {
  const values = depth < 8 ? unpacked(png.data as Uint8Array, width, height, depth) : png.data;
  // 0 … 2^depth − 1 becomes 0 … 255, rounded.
  const scaled = (value: number): number => Math.round((value * 255) / (2 ** depth - 1));
  const count = width * height;
  if (color === INDEXED) {
    const palette = png.palette ?? badImage('the PNG data are damaged: no palette');
    const data = new Uint8Array(count * 3);
    for (let pixel = 0; pixel < count; pixel++) {
      const entry = palette[values[pixel] ?? 0] ?? badImage('the PNG data are damaged: a colour beyond the palette');
      if ((entry[3] ?? 255) !== 255) refuseAlpha();
      data.set(entry.slice(0, 3), 3 * pixel);
    }
    return { width, height, channels: 3, data };
  }
  if (png.transparency !== undefined) refuseAlpha();
  const channels = png.channels < 3 ? 1 : 3;
  const hasAlpha = png.channels === 2 || png.channels === 4;
  const data = new Uint8Array(count * channels);
  for (let pixel = 0; pixel < count; pixel++) {
    const from = pixel * png.channels;
    if (hasAlpha && values[from + channels] !== 2 ** depth - 1) refuseAlpha();
    for (let channel = 0; channel < channels; channel++)
      data[pixel * channels + channel] = scaled(values[from + channel] ?? 0);
  }
  return { width, height, channels, data };
}

function refuseAlpha(): never {
  return badImage('it is transparent in places, and what shows through is not known. Flatten it over a colour first');
}

/** One sample per element, from rows of packed samples that begin at whole bytes. */
function unpacked(data: Uint8Array, width: number, height: number, depth: number): Uint8Array {
  const stride = Math.ceil((width * depth) / 8);
  const mask = 2 ** depth - 1;
  return Uint8Array.from({ length: width * height }, (_, pixel) => {
    const bit = (pixel % width) * depth;
    const byte = data[Math.floor(pixel / width) * stride + (bit >> 3)] ?? 0;
    return (byte >> (8 - depth - (bit & 7))) & mask;
  });
}

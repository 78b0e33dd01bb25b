/** Pictures from PNG files, samples of 8 bits. */
import { quote } from '@grim/ir';
import { decode as decodePng } from 'fast-png';
import { fail } from '../errors.ts';

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Interleaved samples of 8 bits: [H, W, channels]. */
  readonly channels: number;
  readonly data: Uint8Array;
}

const MAX_PIXELS = 2 ** 26;

/** @throws {GrimError} GRIM_TRAIN_BAD_DATA, with the file's name */
export function decodePicture(name: string, bytes: Uint8Array): Picture {
  const bad = (why: string): never => fail('GRIM_TRAIN_BAD_DATA', `${quote(name)}: ${why}.`, { file: name });
  if (/\.jpe?g$/i.test(name)) bad('JPEG pictures are not read; convert them to PNG');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 33 || view.getUint32(16) * view.getUint32(20) > MAX_PIXELS)
    bad('it is no PNG picture, or too large');
  const found = (() => {
    try {
      return decodePng(bytes);
    } catch {
      return bad('it is no PNG picture, or damaged');
    }
  })();
  const { width, height, channels, depth, data, palette } = found;
  if (palette) {
    const colours = new Uint8Array(width * height * 3);
    for (let i = 0; i < width * height; i++) colours.set((palette[data[i] as number] ?? [0, 0, 0]).slice(0, 3), 3 * i);
    return { width, height, channels: 3, data: colours };
  }
  if (depth !== 8) bad(`its samples have ${depth} bits; 8 are needed`);
  const samples = data as Uint8Array;
  if (channels === 1 || channels === 3) return { width, height, channels, data: samples };
  return channels === 4 ? rgb(width, height, samples) : first(width, height, samples);
}

/** Transparency is dropped. */
function rgb(width: number, height: number, data: Uint8Array): Picture {
  const kept = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) kept[3 * i + c] = data[4 * i + c] as number;
  return { width, height, channels: 3, data: kept };
}

const first = (width: number, height: number, data: Uint8Array): Picture => ({
  width,
  height,
  channels: 1,
  data: Uint8Array.from({ length: width * height }, (_, i) => data[2 * i] as number),
});

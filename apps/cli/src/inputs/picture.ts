/** A decoded picture, 8-bit gray or RGB, and what no decoder may be asked for. */
import { GrimError } from '@grim/ir';

/** Interleaved samples, row by row from the top. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Gray, or red, green and blue. */
  readonly channels: 1 | 3;
  /** [height, width, channels] */
  readonly data: Uint8Array;
}

/** What is decoded at most: with RGBA in a decoder and a copy of it, half a gigabyte. */
const MAX_PIXELS = 2 ** 26;

/** @throws {GrimError} GRIM_CLI_BAD_IMAGE */
export function badImage(what: string): never {
  throw new GrimError('GRIM_CLI_BAD_IMAGE', `${what}.`);
}

/** Before anything of that size is allocated. */
export function checkSize(width: number, height: number): void {
  if (width === 0 || height === 0) badImage(`it is ${width} × ${height} pixels: there is nothing in it`);
  if (width * height > MAX_PIXELS)
    badImage(`it is ${width} × ${height} pixels; at most ${MAX_PIXELS} are decoded. Make it smaller`);
}

/**
 * Resizing with a bilinear filter that widens when the picture shrinks (antialias), in Pillow's integer arithmetic: torchvision's
 * `Resize` on a picture, bit by bit. Horizontally first, then vertically, eight bits in between.
 * @see Pillow, src/libImaging/Resample.c; torchvision, transforms.functional
 */
import { badImage, checkSize, type Picture } from './picture.ts';

export interface Size {
  readonly height: number;
  readonly width: number;
}

/** @param to  the size, or the length of the shorter side: the other follows, rounded down */
export function resized(picture: Picture, to: number | Size): Picture {
  const { width, height, channels } = picture;
  const size = typeof to === 'number' ? shorterSide(picture, to) : to;
  checkSize(size.width, height);
  checkSize(size.width, size.height);
  const wide = size.width === width ? picture.data : pass(picture.data, height, width, channels, size.width);
  const data = size.height === height ? wide : pass(wide, 1, height, size.width * channels, size.height);
  return { ...size, channels, data };
}

function shorterSide({ width, height }: Size, side: number): Size {
  return width <= height
    ? { width: side, height: Math.trunc((side * height) / width) }
    : { width: Math.trunc((side * width) / height), height: side };
}

/** @throws {GrimError} GRIM_CLI_BAD_IMAGE when the picture is smaller */
export function centreCropped({ width, height, channels, data }: Picture, to: Size): Picture {
  if (to.width > width || to.height > height)
    badImage(
      `the middle ${to.width} × ${to.height} of ${width} × ${height} pixels is larger than the picture. Add --resize first`,
    );
  const [top, left] = [halfEven(height - to.height), halfEven(width - to.width)];
  const row = to.width * channels;
  const cropped = new Uint8Array(to.height * row);
  for (let y = 0; y < to.height; y++) {
    const from = ((top + y) * width + left) * channels;
    cropped.set(data.subarray(from, from + row), y * row);
  }
  return { ...to, channels, data: cropped };
}

/** Half of it, a half rounded to even, as Python does. */
function halfEven(value: number): number {
  const down = Math.floor(value / 2);
  return value % 2 === 0 || down % 2 === 0 ? down : down + 1;
}

const PRECISION_BITS = 32 - 8 - 2;

/** The middle axis of [outer, length, inner] becomes `to` long. */
function pass(data: Uint8Array, outer: number, length: number, inner: number, to: number): Uint8Array {
  const { start, weights } = filter(length, to);
  const result = new Uint8Array(outer * to * inner);
  // In stretches that stay in the nearest cache.
  const width = Math.min(inner, 64);
  const sums = new Int32Array(width);
  for (let o = 0; o < outer; o++)
    for (let x = 0; x < to; x++) {
      const own = weights[x] as Int32Array;
      const from = (o * length + (start[x] as number)) * inner;
      const at = (o * to + x) * inner;
      for (let first = 0; first < inner; first += width) {
        const count = Math.min(width, inner - first);
        sums.fill(1 << (PRECISION_BITS - 1));
        for (let k = 0; k < own.length; k++) {
          const weight = own[k] as number;
          const row = from + k * inner + first;
          for (let i = 0; i < count; i++) sums[i] = (sums[i] as number) + weight * (data[row + i] as number);
        }
        for (let i = 0; i < count; i++)
          result[at + first + i] = Math.min(255, Math.max(0, (sums[i] as number) >> PRECISION_BITS));
      }
    }
  return result;
}

/** For each output sample, the first input sample and the weights from there on: triangles of sum 1, in fixed point. */
function filter(from: number, to: number): { readonly start: Int32Array; readonly weights: readonly Int32Array[] } {
  const scale = from / to;
  const support = Math.max(1, scale);
  const start = new Int32Array(to);
  const weights = Array.from({ length: to }, (_, x) => {
    const centre = (x + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    start[x] = first;
    const own = Float64Array.from({ length: end - first }, (_, k) =>
      Math.max(0, 1 - Math.abs((k + first - centre + 0.5) * (1 / support))),
    );
    const sum = own.reduce((a, b) => a + b, 0);
    return Int32Array.from(own, (weight) => Math.trunc(0.5 + (weight / sum) * 2 ** PRECISION_BITS));
  });
  return { start, weights };
}

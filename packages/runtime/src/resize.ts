/**
 * Resizing with a bilinear filter that widens when the picture shrinks (antialias), in Pillow's integer arithmetic: torchvision's
 * `Resize` on a picture, bit by bit. Horizontally first, then vertically, eight bits in between.
 * @see Pillow, src/libImaging/Resample.c; torchvision, transforms.functional
 */

/** Interleaved 8-bit samples, row by row from the top. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** Gray; red, green and blue; or these and an alpha that nothing looks at, as in `ImageData`. */
  readonly channels: 1 | 3 | 4;
  /** [height, width, channels] */
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** The picture `width` wide and `height` high, both at least 1. Samples that stay the same are not copied. */
export function resizePixels(pixels: Pixels, width: number, height: number): Pixels {
  const { channels } = pixels;
  const wide = width === pixels.width ? pixels.data : pass(pixels.data, pixels.height, pixels.width, channels, width);
  const data = height === pixels.height ? wide : pass(wide, 1, pixels.height, width * channels, height);
  return { width, height, channels, data };
}

const PRECISION_BITS = 32 - 8 - 2;

/** The middle axis of [outer, length, inner] becomes `to` long. */
function pass(data: Pixels['data'], outer: number, length: number, inner: number, to: number): Uint8Array {
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

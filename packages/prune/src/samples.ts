/**
 * A layer's inputs and outputs as the columns of its matrix product: for a convolution the patch under each sampled
 * output position, in the order of the weight's K.
 */
import { type Tensor, toReals } from '@grim/ir';
import type { Site } from './layers.ts';
import { choose } from './random.ts';

/** Samples of one batch. */
export interface Samples {
  readonly count: number;
  /** One per group, [count, k]. */
  readonly x: readonly Float32Array[];
  /** One per tensor that was given, [count, m]. */
  readonly y: readonly Float32Array[];
}

/**
 * About `wanted` samples: output positions (the same of every image) of a convolution, rows of a matrix.
 * @param shape  of the layer's output
 * @param ys  tensors of that shape
 */
export function gather(
  site: Site,
  x: Tensor,
  shape: readonly number[],
  ys: readonly Tensor[],
  wanted: number,
  random: () => number,
): Samples {
  const node = site.node;
  if (node.op === 'Conv') return gatherConv(site, x, shape, ys, wanted, random);
  // x as [k, samples] or [samples, k]; y as [m, samples] or [samples, m].
  const data = reals(x);
  const xShape = x.shape;
  let xRows: boolean;
  if (node.op === 'Gemm') xRows = site.input === 1 ? node.attributes.transA === 0 : node.attributes.transB === 1;
  else xRows = site.input === 1;
  const total = data.length / site.k;
  const chosen = choose(total, wanted, random);
  const width = xShape[xShape.length - 1] ?? 1;
  /** Where (sample, i) stands among planes of `inner` × samples, or rows of `inner`. */
  const pick = (from: Float32Array, inner: number, byRows: boolean, across: number): Float32Array => {
    const out = new Float32Array(chosen.length * inner);
    let to = 0;
    for (const sample of chosen) {
      const plane = Math.floor(sample / across);
      const base = byRows ? sample * inner : plane * inner * across + (sample - plane * across);
      const step = byRows ? 1 : across;
      for (let i = 0; i < inner; i++) out[to++] = from[base + i * step] as number;
    }
    return out;
  };
  return {
    count: chosen.length,
    x: [pick(data, site.k, xRows, xRows ? 1 : width)],
    y: ys.map((y) => {
      const across = y.shape[y.shape.length - 1] ?? 1;
      return pick(reals(y), site.m, site.input === 1, site.input === 1 ? 1 : across);
    }),
  };
}

function gatherConv(
  site: Site,
  x: Tensor,
  shape: readonly number[],
  ys: readonly Tensor[],
  wanted: number,
  random: () => number,
): Samples {
  const { m, k, groups } = site;
  const [images = 1, channels = 1] = x.shape;
  const inputSize = x.shape.slice(2);
  const outputSize = shape.slice(2);
  const inner = product(inputSize);
  const positions = choose(product(outputSize), Math.max(1, Math.floor(wanted / images)), random);
  const offsets = patchOffsets(site, inputSize, outputSize, positions);
  const taps = offsets.length / positions.length;
  const perGroup = channels / groups;
  const count = images * positions.length;
  const from = reals(x);

  const patches = Array.from({ length: groups }, (_, group) => {
    const out = new Float32Array(count * k);
    let to = 0;
    for (let image = 0; image < images; image++)
      for (let p = 0; p < positions.length; p++)
        for (let c = 0; c < perGroup; c++) {
          const base = (image * channels + group * perGroup + c) * inner;
          for (let tap = 0; tap < taps; tap++) {
            const offset = offsets[p * taps + tap] as number;
            out[to++] = offset < 0 ? 0 : (from[base + offset] as number);
          }
        }
    return out;
  });
  const outer = product(outputSize);
  return {
    count,
    x: patches,
    y: ys.map((y) => {
      const values = reals(y);
      const out = new Float32Array(count * m);
      let to = 0;
      for (let image = 0; image < images; image++)
        for (const position of positions)
          for (let row = 0; row < m; row++) out[to++] = values[(image * m + row) * outer + position] as number;
      return out;
    }),
  };
}

/** For each position and tap of the kernel, where in a channel of the input it lies; −1 in the padding. */
function patchOffsets(
  site: Site,
  input: readonly number[],
  output: readonly number[],
  positions: Uint32Array,
): Int32Array {
  if (site.node.op !== 'Conv') return new Int32Array();
  const { auto_pad, strides, dilations, pads } = site.node.attributes;
  const rank = input.length;
  const { kernel } = site;
  const each = (list: readonly number[] | undefined, i: number) => list?.[i] ?? 1;
  const begin = input.map((length, i) => {
    if (auto_pad === 'VALID') return 0;
    if (auto_pad !== 'SAME_UPPER' && auto_pad !== 'SAME_LOWER') return pads?.[i] ?? 0;
    const reach = ((output[i] ?? 1) - 1) * each(strides, i) + (each(kernel, i) - 1) * each(dilations, i) + 1;
    const total = Math.max(0, reach - length);
    return auto_pad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
  });
  const taps = product(kernel);
  const offsets = new Int32Array(positions.length * taps);
  let to = 0;
  for (const position of positions) {
    const at = split(position, output);
    for (let tap = 0; tap < taps; tap++) {
      const within = split(tap, kernel);
      let offset = 0;
      for (let i = 0; i < rank; i++) {
        const place = (at[i] ?? 0) * each(strides, i) - (begin[i] ?? 0) + (within[i] ?? 0) * each(dilations, i);
        if (place < 0 || place >= (input[i] ?? 0)) {
          offset = -1;
          break;
        }
        offset = offset * (input[i] ?? 1) + place;
      }
      offsets[to++] = offset;
    }
  }
  return offsets;
}

/** Row-major index → coordinates. */
function split(index: number, shape: readonly number[]): number[] {
  const at = shape.map(() => 0);
  let rest = index;
  for (let i = shape.length - 1; i >= 0; i--) {
    const length = shape[i] ?? 1;
    at[i] = rest % length;
    rest = Math.floor(rest / length);
  }
  return at;
}

function reals(tensor: Tensor): Float32Array {
  return tensor.data instanceof Float32Array ? tensor.data : Float32Array.from(toReals(tensor));
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, length) => all * length, 1);
}

/** Kernels of the operators in `ops/region.ts`. */
import { fromReals, toReals } from '../numeric.ts';
import type { regionOps } from '../ops/region.ts';
import { windowOf } from '../ops/resample.ts';
import type { Tensor } from '../types.ts';
import { sizeOf } from './indexing.ts';
import type { KernelContext, Kernels } from './kernel.ts';

/** Position in a plane, as the two elements around it and how near the second is. */
interface Between {
  readonly low: number;
  readonly high: number;
  readonly part: number;
}

/** As RoiAlign reads: one element beyond the edge still counts for the edge; undefined farther out. */
function clamped(x: number, length: number): Between | undefined {
  if (!(x >= -1 && x <= length)) return undefined;
  const low = Math.floor(Math.max(x, 0));
  if (low >= length - 1) return { low: length - 1, high: length - 1, part: 0 };
  return { low, high: low + 1, part: Math.max(x, 0) - low };
}

/** Samples of one bin along one axis, those outside the input left out; and how many there are with them. */
function samples(start: number, bin: number, ratio: number, roi: number, bins: number, length: number) {
  const count = ratio > 0 ? ratio : Math.ceil(roi / bins);
  const step = bin / count;
  const found: Between[] = [];
  // Only samples from -1 to length can count: the others (but one, for rounding) are not even visited, however large the box.
  const first = step > 0 ? Math.max(Math.floor((-1 - start) / step - 0.5), 0) : 0;
  const last = step > 0 ? Math.min(Math.ceil((length - start) / step - 0.5), count - 1) : count - 1;
  for (let i = first; i <= last; i++) {
    const between = clamped(start + (i + 0.5) * step, length);
    if (between) found.push(between);
  }
  return { found, count };
}

/** Farther out than any input reaches, positions are coarser than one element: such a box has no samples to speak of. */
function checkBox(c: Pick<KernelContext, 'fail' | 'limits'>, box: readonly number[], roi: number): void {
  if (!box.every((value) => Math.abs(value) <= c.limits.dim))
    c.fail(
      `roi ${roi} is [${box.join(', ')}] in elements of X; numbers from ${-c.limits.dim} to ${c.limits.dim} are needed.`,
    );
}

type Box = readonly [number, number, number, number];

/** y1, x1, y2, x2 in order, from any two opposite corners or from centre and size (x, y, w, h). */
function corners(box: Box, centred: boolean): Box {
  const [a, b, p, q] = box;
  if (centred) return [b - q / 2, a - p / 2, b + q / 2, a + p / 2];
  return [Math.min(a, p), Math.min(b, q), Math.max(a, p), Math.max(b, q)];
}

/** Area that both share over the area that either covers; 0 of empty boxes. */
function overlap(a: Box, b: Box): number {
  const height = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const width = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (!(height > 0 && width > 0)) return 0;
  const area = ([y1, x1, y2, x2]: Box) => (y2 - y1) * (x2 - x1);
  return (height * width) / (area(a) + area(b) - height * width);
}

export const regionKernels: Kernels<keyof typeof regionOps> = {
  RoiAlign: (c) => {
    const [x, rois] = [toReals(c.input(0)), toReals(c.input(1))];
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [count = 0, channels = 0, rows = 0, cols = 0] = shape;
    const [, , h = 0, w = 0] = c.input(0).shape;
    const { mode, sampling_ratio: ratio, spatial_scale: scale } = c.attributes;
    const halfPixel = c.attributes.coordinate_transformation_mode === 'half_pixel';
    const values = new Float64Array(sizeOf(shape));
    for (let r = 0; r < count; r++) {
      const box = Array.from({ length: 4 }, (_, i) => (rois[r * 4 + i] ?? 0) * scale - (halfPixel ? 0.5 : 0));
      checkBox(c, box, r);
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = box;
      // The older mode gives no box less than one element.
      const [height, width] = halfPixel ? [y2 - y1, x2 - x1] : [Math.max(y2 - y1, 1), Math.max(x2 - x1, 1)];
      const [binHeight, binWidth] = [height / rows, width / cols];
      const batch = Number(c.input(2).data[r]);
      for (let row = 0; row < rows; row++)
        for (let col = 0; col < cols; col++) {
          const down = samples(y1 + row * binHeight, binHeight, ratio, height, rows, h);
          const across = samples(x1 + col * binWidth, binWidth, ratio, width, cols, w);
          for (let channel = 0; channel < channels; channel++) {
            const plane = (batch * channels + channel) * h * w;
            let sum = 0;
            let most = down.found.length * across.found.length < down.count * across.count ? 0 : -Infinity;
            for (const y of down.found)
              for (const s of across.found) {
                const a = (1 - y.part) * (1 - s.part) * (x[plane + y.low * w + s.low] ?? 0);
                const b = (1 - y.part) * s.part * (x[plane + y.low * w + s.high] ?? 0);
                const p = y.part * (1 - s.part) * (x[plane + y.high * w + s.low] ?? 0);
                const q = y.part * s.part * (x[plane + y.high * w + s.high] ?? 0);
                sum += a + b + p + q;
                // Not of the interpolated sample but of its four weighted parts: the standard's own
                // reference and its test data say so (onnx issue 4764), and so does onnxruntime.
                most = Math.max(most, a, b, p, q);
              }
            const value = mode === 'avg' ? sum / Math.max(down.count * across.count, 1) : most;
            values[((r * channels + channel) * rows + row) * cols + col] = value === -Infinity ? 0 : value;
          }
        }
    }
    return [fromReals(dtype, shape, values)];
  },

  MaxRoiPool: (c) => {
    const [x, rois] = [toReals(c.input(0)), toReals(c.input(1))];
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [count = 0, channels = 0, rows = 0, cols = 0] = shape;
    const [batches = 0, , h = 0, w = 0] = c.input(0).shape;
    const values = new Float64Array(sizeOf(shape));
    for (let r = 0; r < count; r++) {
      const batch = rois[r * 5] ?? 0;
      if (!(Number.isInteger(batch) && batch >= 0 && batch < batches))
        c.fail(`roi ${r} is of batch ${batch}; X has ${batches}.`);
      const box = Array.from({ length: 4 }, (_, i) =>
        Math.round((rois[r * 5 + 1 + i] ?? 0) * c.attributes.spatial_scale),
      );
      checkBox(c, box, r);
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = box;
      // Both ends belong to the box, which has at least one element.
      const [height, width] = [Math.max(y2 - y1 + 1, 1), Math.max(x2 - x1 + 1, 1)];
      /** Elements of bin `i` of `n` along an axis, cut to the input. */
      const bounds = (i: number, n: number, size: number, start: number, length: number) => {
        const cut = (v: number) => Math.min(Math.max(v + start, 0), length);
        return [cut(Math.floor((i * size) / n)), cut(Math.ceil(((i + 1) * size) / n))] as const;
      };
      for (let channel = 0; channel < channels; channel++)
        for (let row = 0; row < rows; row++)
          for (let col = 0; col < cols; col++) {
            const [top, bottom] = bounds(row, rows, height, y1, h);
            const [left, right] = bounds(col, cols, width, x1, w);
            let most = top < bottom && left < right ? -Infinity : 0;
            for (let y = top; y < bottom; y++)
              for (let i = left; i < right; i++)
                most = Math.max(most, x[((batch * channels + channel) * h + y) * w + i] ?? 0);
            values[((r * channels + channel) * rows + row) * cols + col] = most;
          }
    }
    return [fromReals(dtype, shape, values)];
  },

  NonMaxSuppression: (c) => {
    const [boxes, scores] = [toReals(c.input(0)), toReals(c.input(1))];
    const [batches = 0, classes = 0, count = 0] = c.input(1).shape;
    const most = c.inputs[2] ? Number(c.inputs[2].data[0]) : 0;
    const iouThreshold = c.inputs[3] ? Number(c.inputs[3].data[0]) : 0;
    const scoreThreshold = c.inputs[4] ? Number(c.inputs[4].data[0]) : -Infinity;
    const selected: number[] = [];
    // Without boxes, batches and classes may be of any size.
    for (let batch = 0; batch < batches && count > 0; batch++) {
      const all = Array.from({ length: count }, (_, i): Box => {
        const at = (k: number) => boxes[(batch * count + i) * 4 + k] ?? 0;
        return corners([at(0), at(1), at(2), at(3)], c.attributes.center_point_box === 1);
      });
      for (let cls = 0; cls < classes; cls++) {
        const score = (i: number) => scores[(batch * classes + cls) * count + i] ?? 0;
        // Best first; of equal scores the first box. NaN is above no threshold.
        const order = Array.from(all.keys())
          .filter((i) => (c.inputs[4] ? score(i) > scoreThreshold : !Number.isNaN(score(i))))
          .sort((a, b) => (score(a) === score(b) ? a - b : score(b) - score(a)));
        const kept: number[] = [];
        for (const i of order) {
          if (kept.length >= most) break;
          if (kept.some((k) => overlap(all[k] as Box, all[i] as Box) > iouThreshold)) continue;
          kept.push(i);
          selected.push(batch, cls, i);
        }
      }
    }
    return [{ dtype: 'int64', shape: [selected.length / 3, 3], data: BigInt64Array.from(selected, BigInt) }];
  },

  DeformConv: (c) => {
    const [x, weight, offset] = [toReals(c.input(0)), toReals(c.input(1)), toReals(c.input(2))];
    const bias = c.inputs[3] && toReals(c.inputs[3]);
    const mask = c.inputs[4] && toReals(c.inputs[4]);
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [batches = 0, outChannels = 0, rows = 0, cols = 0] = shape;
    const [, channels = 0, h = 0, w = 0] = c.input(0).shape;
    const [, perGroup = 0, kernelHeight = 0, kernelWidth = 0] = c.input(1).shape;
    const { group, offset_group: offsetGroup } = c.attributes;
    const { dilations, pads, strides } = windowOf(c.attributes, 2);
    const [taps, plane] = [kernelHeight * kernelWidth, rows * cols];
    const values = new Float64Array(sizeOf(shape));
    /** The input between its elements, zero outside. */
    const read = (base: number, y: number, s: number): number => {
      if (!(y > -1 && y < h && s > -1 && s < w)) return 0;
      const [top, left] = [Math.floor(y), Math.floor(s)];
      const [dy, dx] = [y - top, s - left];
      const at = (row: number, col: number) =>
        row >= 0 && row < h && col >= 0 && col < w ? (x[base + row * w + col] ?? 0) : 0;
      return (
        (1 - dy) * ((1 - dx) * at(top, left) + dx * at(top, left + 1)) +
        dy * ((1 - dx) * at(top + 1, left) + dx * at(top + 1, left + 1))
      );
    };
    // Of one output position: the moved and masked input under every element of the kernel, [channel, tap].
    const patch = new Float64Array(channels * taps);
    for (let n = 0; n < batches; n++)
      for (let p = 0; p < plane; p++) {
        const [row, col] = [Math.floor(p / cols), p % cols];
        for (let channel = 0; channel < channels; channel++) {
          const mover = n * offsetGroup + Math.floor(channel / (channels / offsetGroup));
          for (let tap = 0; tap < taps; tap++) {
            const at = (mover * taps + tap) * 2 * plane + p;
            const y = row * (strides[0] ?? 1) - (pads[0] ?? 0) + Math.floor(tap / kernelWidth) * (dilations[0] ?? 1);
            const s = col * (strides[1] ?? 1) - (pads[1] ?? 0) + (tap % kernelWidth) * (dilations[1] ?? 1);
            const value = read((n * channels + channel) * h * w, y + (offset[at] ?? 0), s + (offset[at + plane] ?? 0));
            patch[channel * taps + tap] = value * (mask ? (mask[(mover * taps + tap) * plane + p] ?? 0) : 1);
          }
        }
        for (let out = 0; out < outChannels; out++) {
          const first = Math.floor(out / (outChannels / group)) * perGroup * taps;
          let sum = bias ? (bias[out] ?? 0) : 0;
          for (let k = 0; k < perGroup * taps; k++)
            sum += (weight[out * perGroup * taps + k] ?? 0) * (patch[first + k] ?? 0);
          values[(n * outChannels + out) * plane + p] = sum;
        }
      }
    return [fromReals(dtype, shape, values)];
  },
};

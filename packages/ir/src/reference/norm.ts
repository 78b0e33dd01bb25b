/** Kernels of the operators in `ops/norm.ts`. Means and variances are of the population, in two passes. */
import { fromReals, toReals } from '../numeric.ts';
import type { normOps } from '../ops/norm.ts';
import type { Tensor } from '../types.ts';
import { broadcastIndices, gatherIndices, sizeOf, stridesOf } from './indexing.ts';
import type { Kernels } from './kernel.ts';

interface Moments {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
}

/** Mean and variance of each group, given the group that every element belongs to. */
function momentsOf(x: ArrayLike<number>, groups: number, groupOf: (i: number) => number): Moments {
  const counts = new Float64Array(groups);
  const mean = new Float64Array(groups);
  const variance = new Float64Array(groups);
  for (let i = 0; i < x.length; i++) {
    const g = groupOf(i);
    counts[g] = (counts[g] as number) + 1;
    mean[g] = (mean[g] as number) + (x[i] as number);
  }
  for (let g = 0; g < groups; g++) mean[g] = (mean[g] as number) / (counts[g] as number);
  for (let i = 0; i < x.length; i++) {
    const g = groupOf(i);
    variance[g] = (variance[g] as number) + ((x[i] as number) - (mean[g] as number)) ** 2;
  }
  for (let g = 0; g < groups; g++) variance[g] = (variance[g] as number) / (counts[g] as number);
  return { mean, variance };
}

/** Elements of one channel of one batch element, and the number of channels; [N] has one channel. */
function planes(shape: readonly number[]): readonly [size: number, channels: number] {
  return [sizeOf(shape.slice(2)), shape[1] ?? 1];
}

const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

export const normKernels: Kernels<keyof typeof normOps> = {
  BatchNormalization: (c) => {
    const { epsilon, momentum, training_mode: training } = c.attributes;
    const x = c.input(0);
    const values = toReals(x);
    const [scale, bias, inputMean, inputVariance] = [1, 2, 3, 4].map((i) => toReals(c.input(i))) as [
      ArrayLike<number>,
      ArrayLike<number>,
      ArrayLike<number>,
      ArrayLike<number>,
    ];
    const [size, channels] = planes(x.shape);
    const channelOf = (i: number) => Math.floor(i / size) % channels;
    const own = training ? momentsOf(values, channels, channelOf) : undefined;
    const { mean, variance } = own ?? { mean: inputMean, variance: inputVariance };
    const y = new Float64Array(values.length);
    for (let i = 0; i < y.length; i++) {
      const ch = channelOf(i);
      const deviation = Math.sqrt((variance[ch] as number) + epsilon);
      y[i] =
        ((scale[ch] as number) * ((values[i] as number) - (mean[ch] as number))) / deviation + (bias[ch] as number);
    }
    const result = fromReals(x.dtype, x.shape, y);
    if (!own) return [result];
    const running = (before: ArrayLike<number>, now: Float64Array) => {
      const { dtype, shape } = c.outputs[1] as Tensor;
      return fromReals(
        dtype,
        shape,
        now.map((v, ch) => (before[ch] as number) * momentum + v * (1 - momentum)),
      );
    };
    return [result, running(inputMean, own.mean), running(inputVariance, own.variance)];
  },

  InstanceNormalization: (c) => {
    const x = c.input(0);
    const values = toReals(x);
    if (values.length === 0) return [x];
    const [scale, bias] = [toReals(c.input(1)), toReals(c.input(2))];
    const [size, channels] = planes(x.shape);
    const groupOf = (i: number) => Math.floor(i / size);
    const { mean, variance } = momentsOf(values, (x.shape[0] ?? 0) * channels, groupOf);
    const y = Float64Array.from({ length: values.length }, (_, i) => {
      const g = groupOf(i);
      const deviation = Math.sqrt((variance[g] as number) + c.attributes.epsilon);
      const ch = g % channels;
      return ((scale[ch] as number) * ((values[i] as number) - (mean[g] as number))) / deviation + (bias[ch] as number);
    });
    return [fromReals(x.dtype, x.shape, y)];
  },

  LayerNormalization: (c) => {
    const x = c.input(0);
    const values = toReals(x);
    const scale = toReals(c.input(1));
    const bias = c.inputs[2] && toReals(c.inputs[2]);
    const size = sizeOf(x.shape.slice(positive(c.attributes.axis, x.shape.length)));
    const rows = sizeOf(c.outputs[1]?.shape ?? x.shape.slice(0, positive(c.attributes.axis, x.shape.length)));
    const { mean, variance } = momentsOf(values, rows, (i) => Math.floor(i / size));
    const inverse = variance.map((v) => 1 / Math.sqrt(v + c.attributes.epsilon));
    const scaleAt = broadcastIndices(c.input(1).shape, x.shape);
    const biasAt = broadcastIndices(c.inputs[2]?.shape ?? [], x.shape);
    const y = Float64Array.from({ length: values.length }, (_, i) => {
      const row = Math.floor(i / size);
      const normal = ((values[i] as number) - (mean[row] as number)) * (inverse[row] as number);
      return normal * (scale[scaleAt[i] as number] as number) + (bias?.[biasAt[i] as number] ?? 0);
    });
    const statistics = (of: Float64Array, output: number) => {
      const type = c.outputs[output];
      return type ? [fromReals(type.dtype, type.shape, of)] : [];
    };
    return [fromReals(x.dtype, x.shape, y), ...statistics(mean, 1), ...statistics(inverse, 2)];
  },

  GroupNormalization: (c) => {
    const x = c.input(0);
    const values = toReals(x);
    if (values.length === 0) return [x];
    const [scale, bias] = [toReals(c.input(1)), toReals(c.input(2))];
    const { num_groups: groups, epsilon } = c.attributes;
    const [size, channels] = planes(x.shape);
    const perGroup = size * (channels / groups);
    const { mean, variance } = momentsOf(values, (x.shape[0] ?? 0) * groups, (i) => Math.floor(i / perGroup));
    const y = Float64Array.from({ length: values.length }, (_, i) => {
      const g = Math.floor(i / perGroup);
      const ch = Math.floor(i / size) % channels;
      const normal = ((values[i] as number) - (mean[g] as number)) / Math.sqrt((variance[g] as number) + epsilon);
      return normal * (scale[ch] as number) + (bias[ch] as number);
    });
    return [fromReals(x.dtype, x.shape, y)];
  },

  RMSNormalization: (c) => {
    const x = c.input(0);
    const values = toReals(x);
    const scale = toReals(c.input(1));
    const scaleAt = broadcastIndices(c.input(1).shape, x.shape);
    const size = sizeOf(x.shape.slice(positive(c.attributes.axis, x.shape.length)));
    const y = new Float64Array(values.length);
    for (let start = 0; start < y.length; start += size) {
      let squares = 0;
      for (let i = start; i < start + size; i++) squares += (values[i] as number) ** 2;
      const rms = Math.sqrt(squares / size + c.attributes.epsilon);
      for (let i = start; i < start + size; i++)
        y[i] = ((values[i] as number) / rms) * (scale[scaleAt[i] as number] as number);
    }
    const { dtype, shape } = c.outputs[0] as Tensor;
    return [fromReals(dtype, shape, y)];
  },

  LpNormalization: (c) => {
    const x = c.input(0);
    const values = toReals(x);
    if (values.length === 0) return [x];
    const axis = positive(c.attributes.axis, x.shape.length);
    const step = stridesOf(x.shape)[axis] ?? 1;
    const length = x.shape[axis] ?? 1;
    const starts = gatherIndices(
      x.shape.map((dim, d) => (d === axis ? 1 : dim)),
      stridesOf(x.shape),
    );
    const y = new Float64Array(values.length);
    for (const start of starts) {
      let sum = 0;
      for (let k = 0; k < length; k++) sum += Math.abs(values[start + k * step] as number) ** c.attributes.p;
      const norm = c.attributes.p === 2 ? Math.sqrt(sum) : sum;
      // A vector of zeros has no direction: it stays zero.
      for (let k = 0; k < length; k++)
        y[start + k * step] = norm === 0 ? 0 : (values[start + k * step] as number) / norm;
    }
    return [fromReals(x.dtype, x.shape, y)];
  },

  MeanVarianceNormalization: (c) => {
    const x = c.input(0);
    const values = toReals(x);
    if (values.length === 0) return [x];
    const reduced = new Set(c.attributes.axes.map((axis) => positive(axis, x.shape.length)));
    const kept = x.shape.map((dim, axis) => (reduced.has(axis) ? 1 : dim));
    const groups = broadcastIndices(kept, x.shape);
    const { mean, variance } = momentsOf(values, sizeOf(kept), (i) => groups[i] as number);
    const y = Float64Array.from({ length: values.length }, (_, i) => {
      const g = groups[i] as number;
      // The function body that defines the operator adds 1e-9 to the deviation, not to the variance.
      return ((values[i] as number) - (mean[g] as number)) / (Math.sqrt(variance[g] as number) + 1e-9);
    });
    return [fromReals(x.dtype, x.shape, y)];
  },

  LRN: (c) => {
    const { alpha, beta, bias, size } = c.attributes;
    const x = c.input(0);
    const values = toReals(x);
    const [plane, channels] = planes(x.shape);
    const [below, above] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    const y = Float64Array.from({ length: values.length }, (_, i) => {
      const channel = Math.floor(i / plane) % channels;
      const first = Math.max(channel - below, 0);
      const last = Math.min(channel + above, channels - 1);
      let squares = 0;
      for (let ch = first; ch <= last; ch++) squares += (values[i + (ch - channel) * plane] as number) ** 2;
      return (values[i] as number) / (bias + (alpha / size) * squares) ** beta;
    });
    return [fromReals(x.dtype, x.shape, y)];
  },
};

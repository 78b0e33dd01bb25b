/** Kernels of the operators in `ops/attention.ts`. Everything is computed with heads apart: [batch, heads, sequence, size]. */
import { fromReals, toReals } from '../numeric.ts';
import type { attentionOps } from '../ops/attention.ts';
import type { Tensor } from '../types.ts';
import { broadcastIndices, gatherIndices, sizeOf, stridesOf } from './indexing.ts';
import type { Kernels } from './kernel.ts';

interface Reals {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Elements in the order [batch, heads, sequence, size]; a 3-D value has its heads side by side in the last axis. */
function headsFirst({ shape, data }: Reals, heads: number): Reals {
  if (shape.length === 4) return { shape, data };
  const [batch = 0, sequence = 0, packed = 0] = shape;
  const size = packed / heads;
  const split = [batch, heads, sequence, size];
  const from = gatherIndices(split, [sequence * packed, size, packed, 1]);
  return { shape: split, data: Float64Array.from(from, (i) => data[i] ?? 0) };
}

/** The inverse of {@link headsFirst}: back to the axes that the input had. */
function asGiven(value: Reals, rank: number): Float64Array {
  if (rank === 4) return Float64Array.from(value.data);
  const [batch = 0, heads = 0, sequence = 0, size = 0] = value.shape;
  const from = gatherIndices([batch, sequence, heads, size], [heads * sequence * size, size, sequence * size, 1]);
  return Float64Array.from(from, (i) => value.data[i] ?? 0);
}

const realsOf = (tensor: Tensor): Reals => ({ shape: tensor.shape, data: toReals(tensor) });

/** past and then present, along the sequence. */
function append(past: Tensor | undefined, given: Reals): Reals {
  if (!past) return given;
  const [batch = 0, heads = 0, before = 0, size = 0] = past.shape;
  const after = given.shape[2] ?? 0;
  const [first, second] = [toReals(past), given.data];
  const data = new Float64Array(batch * heads * (before + after) * size);
  for (let head = 0; head < batch * heads; head++) {
    const at = head * (before + after) * size;
    for (let i = 0; i < before * size; i++) data[at + i] = first[head * before * size + i] ?? 0;
    for (let i = 0; i < after * size; i++) data[at + before * size + i] = second[head * after * size + i] ?? 0;
  }
  return { shape: [batch, heads, before + after, size], data };
}

/** What the mask adds to each score [batch, heads, queries, keys]; keys past its end are masked out. */
function maskBias(mask: Tensor, scores: readonly number[]): Float64Array {
  const length = mask.shape.at(-1) ?? 0;
  const keys = scores.at(-1) ?? 0;
  const values = toReals(mask);
  const rows = broadcastIndices(mask.shape.slice(0, -1), scores.slice(0, -1));
  const bias = new Float64Array(sizeOf(scores)).fill(-Infinity);
  rows.forEach((row, r) => {
    for (let j = 0; j < Math.min(length, keys); j++) {
      const value = values[row * length + j] ?? 0;
      bias[r * keys + j] = mask.dtype === 'bool' ? (value ? 0 : -Infinity) : value;
    }
  });
  return bias;
}

/** Softmax of one row in place, given what was added to it; a row of which every key is masked out becomes zero. */
function softmaxRow(row: Float64Array, bias: Float64Array): void {
  if (bias.every((value) => value === -Infinity)) {
    row.fill(0);
    return;
  }
  let max = -Infinity;
  for (const value of row) max = Math.max(max, value);
  let sum = 0;
  for (let j = 0; j < row.length; j++) {
    row[j] = Math.exp((row[j] ?? 0) - max);
    sum += row[j] ?? 0;
  }
  for (let j = 0; j < row.length; j++) row[j] = (row[j] ?? 0) / sum;
}

export const attentionKernels: Kernels<keyof typeof attentionOps> = {
  Attention: (c) => {
    const { is_causal: causal, softcap, qk_matmul_output_mode: mode } = c.attributes;
    const { left_window_size: left, right_window_size: right } = c.attributes;
    const rank = c.input(0).shape.length;
    const [, presentKey, presentValue, scoreType] = c.outputs;
    const scoreShape = scoreType?.shape ?? [];
    const [batch = 0, heads = 0, queries = 0, keys = 0] = scoreShape;
    const keyHeads = presentKey?.shape[1] ?? 1;
    const q = headsFirst(realsOf(c.input(0)), heads);
    const k = append(c.inputs[4], headsFirst(realsOf(c.input(1)), keyHeads));
    const v = append(c.inputs[5], headsFirst(realsOf(c.input(2)), keyHeads));
    const size = q.shape[3] ?? 0;
    const valueSize = v.shape[3] ?? 0;
    const scale = c.attributes.scale ?? 1 / Math.sqrt(size);

    const valid = c.inputs[6] ? Array.from(toReals(c.inputs[6])) : undefined;
    const past = c.inputs[4]?.shape[2];
    const bias = c.inputs[3] ? maskBias(c.inputs[3], scoreShape) : new Float64Array(sizeOf(scoreShape));
    for (let b = 0; b < batch; b++) {
      // Keys before the first query: those of the past, or the valid ones of a cache that holds the new ones already.
      const before = past ?? (valid ? (valid[b] ?? 0) - queries : 0);
      for (let row = b * heads * queries; row < (b + 1) * heads * queries; row++)
        for (let j = 0; j < keys; j++) {
          const ahead = j - ((row % queries) + before);
          const outside = (left >= 0 && -ahead > left) || (right >= 0 && ahead > right);
          if (outside || (causal && ahead > 0) || (valid && j >= (valid[b] ?? 0))) bias[row * keys + j] = -Infinity;
        }
    }

    const y = new Float64Array(batch * heads * queries * valueSize);
    const shown = new Float64Array(sizeOf(scoreShape));
    const row = new Float64Array(keys);
    for (let b = 0; b < batch; b++)
      for (let h = 0; h < heads; h++) {
        // Grouped queries: neighbouring heads share one head of K and V.
        const shared = b * keyHeads + Math.floor(h / (heads / keyHeads));
        for (let i = 0; i < queries; i++) {
          const query = (b * heads + h) * queries + i;
          const rowBias = bias.subarray(query * keys, (query + 1) * keys);
          const show = (wanted: number) => {
            if (mode === wanted) shown.set(row, query * keys);
          };
          for (let j = 0; j < keys; j++) {
            let sum = 0;
            const key = (shared * keys + j) * size;
            for (let e = 0; e < size; e++) sum += (q.data[query * size + e] as number) * (k.data[key + e] as number);
            row[j] = sum * scale;
          }
          show(0);
          // Before the mask, so that what is masked out stays at minus infinity.
          if (softcap > 0) for (let j = 0; j < keys; j++) row[j] = softcap * Math.tanh((row[j] as number) / softcap);
          show(1);
          for (let j = 0; j < keys; j++) row[j] = (row[j] as number) + (rowBias[j] as number);
          show(2);
          softmaxRow(row, rowBias);
          show(3);
          for (let e = 0; e < valueSize; e++) {
            let sum = 0;
            // A weight of exactly zero keeps out what is masked, were it infinite.
            for (let j = 0; j < keys; j++)
              if (row[j] !== 0) sum += (row[j] as number) * (v.data[(shared * keys + j) * valueSize + e] as number);
            y[query * valueSize + e] = sum;
          }
        }
      }

    const results = [asGiven({ shape: [batch, heads, queries, valueSize], data: y }, rank), k.data, v.data, shown];
    const shapes = [c.outputs[0], presentKey, presentValue, scoreType];
    return shapes.map((type, i) => fromReals(type?.dtype ?? 'float32', type?.shape ?? [], results[i] ?? []));
  },

  RotaryEmbedding: (c) => {
    const x = c.input(0);
    const [interleaved, cos, sin] = [c.attributes.interleaved === 1, toReals(c.input(1)), toReals(c.input(2))];
    const positions = c.inputs[3] && toReals(c.inputs[3]);
    const { shape, data } = headsFirst(realsOf(x), c.attributes.num_heads);
    const [batch = 0, heads = 0, sequence = 0, size = 0] = shape;
    const half = (c.attributes.rotary_embedding_dim || size) / 2;
    const y = Float64Array.from(data);
    const [ofBatch = 0, ofHead = 0, ofStep = 0] = stridesOf(shape);
    for (let b = 0; b < batch; b++)
      for (let h = 0; h < heads; h++)
        for (let s = 0; s < sequence; s++) {
          const at = b * ofBatch + h * ofHead + s * ofStep;
          const row = (positions?.[b * sequence + s] ?? b * sequence + s) * half;
          for (let e = 0; e < half; e++) {
            // A pair is two neighbours, or two elements half the rotated part away from each other.
            const first = at + (interleaved ? 2 * e : e);
            const second = first + (interleaved ? 1 : half);
            const [a, z] = [data[first] as number, data[second] as number];
            const [cosine, sine] = [cos[row + e] as number, sin[row + e] as number];
            y[first] = cosine * a - sine * z;
            y[second] = sine * a + cosine * z;
          }
        }
    return [fromReals(x.dtype, x.shape, asGiven({ shape, data: y }, x.shape.length))];
  },
};

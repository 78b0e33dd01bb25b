/** Pools over windows: the input stands with the pool's neutral value around it, phases for strides, one kernel call per batch. */
import type { NodeOf } from '@grim/ir';
import { addPool } from '../kernels/pool.ts';
import type { LowerContext, Lowerings } from '../lower.ts';
import { binary, type Expression, load } from '../map/expression.ts';
import { foldCall } from '../map/fold.ts';
import { functionTable } from '../map/functions.ts';
import { broadcastTo, dense, paddedIn, paddedLayout, rowMajor, sizeOf } from '../map/placement.ts';
import type { Kernel, Placement } from '../program.ts';
import { poolTwin } from '../wgsl/planes.ts';
import { dot, phases, spatial } from './phases.ts';
import { maxByTaps } from './pool-indices.ts';
import { normOf, normTerm } from './power.ts';
import { type Window, windowOf } from './window.ts';

/** Reduces every window into a placement whose rows may have garbage between them. */
function reduceWindows(
  c: LowerContext,
  inputName: string,
  outputName: string,
  window: Window,
  reduce: 'max' | 'sum',
  /** What is reduced instead of the input's elements. */
  values?: Expression,
): Placement {
  const shape = c.type(outputName).shape;
  const padding = { before: window.before, after: window.after };
  const bare = [...window.before, ...window.after].every((n) => n === 0);
  let x: Placement;
  if (!values && (bare || reduce === 'sum')) x = c.padded(inputName, padding);
  else {
    const from = c.type(inputName);
    const { elements } = paddedLayout(from.shape, padding);
    const room = c.scratch(4 * elements);
    x = paddedIn(room.buffer, 'float32', from.shape, padding);
    const neutral = reduce === 'sum' ? 0 : Number.NEGATIVE_INFINITY;
    c.fill(dense(room, 'float32', [elements]), { dtype: 'float32', shape: [], data: Float32Array.of(neutral) });
    c.store(values ?? load(c.read(inputName)), x);
  }
  const source = phases(c, x, window, { shape, strides: rowMajor(shape) });
  const n =
    1 +
    dot(
      spatial(shape).map((length) => length - 1),
      source.strides,
    );
  const [batches = 1, channels = 1] = shape;
  const room = c.scratch(4 * n * channels * batches);
  const target: Placement = { ...room, dtype: 'float32', shape, strides: [n * channels, n, ...source.strides] };
  const kernel: Kernel = {
    name: `f32_pool_${reduce}`,
    emit: (module, _family, exported) => addPool(module, { reduce, exported }),
    twin: poolTwin(reduce),
  };
  const offsets = c.data(Int32Array.from(source.tapOffsets, (offset) => 4 * offset));
  for (let batch = 0; batch < batches; batch++)
    c.call(
      kernel,
      n,
      { buffer: source.buffer, offset: source.offset + 4 * batch * source.batchStride },
      { buffer: room.buffer, offset: 4 * batch * n * channels },
      4 * source.channelStride,
      4 * n,
      channels,
      offsets,
      source.tapOffsets.length,
    );
  return target;
}

function lowerMaxPool(node: NodeOf<'MaxPool'>, c: LowerContext): void {
  const [x = ''] = node.inputs;
  const [y = '', indices = ''] = node.outputs;
  if (sizeOf(c.type(y === '' ? indices : y).shape) === 0) {
    for (const name of [y, indices]) if (name !== '') c.write(name);
    return;
  }
  if (indices !== '' || c.type(x).dtype !== 'float32') maxByTaps(node, c);
  else c.define(y, load(reduceWindows(c, x, y, windowOf(node, c), 'max')));
}

/** (Σ |x|^p)^(1/p); powers other than whole ones of up to 64 go through exp and log. */
function lowerLpPool(node: NodeOf<'LpPool'>, c: LowerContext): void {
  const [x = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const { p } = node.attributes;
  const { dtype } = c.type(x);
  if (dtype !== 'float32') c.unsupported(`element type ${dtype}`, 'float32, float16, bfloat16');
  if (sizeOf(c.type(y).shape) === 0) {
    c.write(y);
    return;
  }
  const powers = normTerm(load(c.read(x)), p);
  c.define(y, normOf(load(reduceWindows(c, x, y, windowOf(node, c), 'sum', powers)), p));
}

function lowerGlobalLpPool(node: NodeOf<'GlobalLpPool'>, c: LowerContext): void {
  const [input = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const x = c.read(input);
  const { shape } = c.type(y);
  const { p } = node.attributes;
  if (x.dtype !== 'float32') c.unsupported(`element type ${x.dtype}`, 'float32, float16, bfloat16');
  if (sizeOf(shape) === 0) {
    c.write(y);
    return;
  }
  const sums = dense(c.scratch(4 * sizeOf(shape)), 'float32', shape);
  if (sizeOf(x.shape) === 0) c.fill(sums, { dtype: 'float32', shape: [], data: new Float32Array(1) });
  else {
    const { kernel, args } = foldCall(normTerm(load(x), p), x.shape, 'add', sums, () => c.data(functionTable()));
    c.call(kernel, ...args);
  }
  c.define(y, normOf(load(sums), p));
}

function lowerAveragePool(node: NodeOf<'AveragePool'>, c: LowerContext): void {
  const [x = ''] = node.inputs;
  const [y = ''] = node.outputs;
  if (c.type(x).dtype !== 'float32') c.unsupported(`element type ${c.type(x).dtype}`, 'float32, float16, bfloat16');
  if (sizeOf(c.type(y).shape) === 0) {
    c.write(y);
    return;
  }
  const window = windowOf(node, c);
  const sums = reduceWindows(c, x, y, window, 'sum');
  const { shape } = c.type(y);
  const counts = inverseCounts(node, window, spatial(c.type(x).shape), spatial(shape));
  const factors = dense(c.data(counts), 'float32', spatial(shape));
  c.define(y, binary('mul', load(sums), load(broadcastTo(factors, shape))));
}

/** 1 / elements that each window averages over: those of the input and, if asked for, of the pads. */
function inverseCounts(
  { attributes }: NodeOf<'AveragePool'>,
  window: Window,
  input: readonly number[],
  output: readonly number[],
): Float32Array {
  const { before, strides, dilations, kernel } = window;
  const padsAfter = attributes.pads?.slice(input.length);
  const include = attributes.count_include_pad === 1;
  // A window of ceil_mode may reach beyond the pads: what lies there is never counted.
  const last = input.map((length, i) => length + (include ? (padsAfter?.[i] ?? window.after[i] ?? 0) : 0));
  const first = input.map((_, i) => (include ? -(before[i] ?? 0) : 0));
  const perAxis = output.map((length, i) =>
    Array.from({ length }, (_, o) => {
      let count = 0;
      for (let t = 0; t < (kernel[i] ?? 1); t++) {
        const at = o * (strides[i] ?? 1) + t * (dilations[i] ?? 1) - (before[i] ?? 0);
        if (at >= (first[i] ?? 0) && at < (last[i] ?? 0)) count++;
      }
      return count;
    }),
  );
  let counts = [1];
  for (const axis of perAxis) counts = counts.flatMap((product) => axis.map((count) => product * count));
  return Float32Array.from(counts, (count) => 1 / count);
}

export const poolLowerings: Lowerings = {
  MaxPool: { lower: lowerMaxPool },
  AveragePool: { lower: lowerAveragePool },
  GlobalLpPool: { lower: lowerGlobalLpPool },
  LpPool: { lower: lowerLpPool },
};

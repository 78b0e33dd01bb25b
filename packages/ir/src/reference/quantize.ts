/** Kernels of the operators in `ops/quantize.ts`. */
import { fromBfloat16, fromFloat16, fromReals, toBfloat16, toFloat16, toReals } from '../numeric.ts';
import type { quantizeOps } from '../ops/quantize.ts';
import type { DType, Tensor } from '../types.ts';
import { sizeOf } from './indexing.ts';
import type { Kernels } from './kernel.ts';
import { saturate } from './saturate.ts';

/** Rounds a double to the precision of an element type. Integer scales divide in doubles. */
function rounding(precision: DType): (value: number) => number {
  switch (precision) {
    case 'float32':
      return Math.fround;
    case 'float16':
      return (value) => fromFloat16(toFloat16(value));
    case 'bfloat16':
      return (value) => fromBfloat16(toBfloat16(value));
    default:
      return (value) => value;
  }
}

/** For each element of data of shape `shape`, the index of its scale; shapes as the rule has accepted them. */
function scaleIndex(
  shape: readonly number[],
  scale: readonly number[],
  { axis, block_size: block }: { readonly axis: number; readonly block_size: number },
): (index: number) => number {
  if (scale.every((dim) => dim === 1)) return () => 0;
  const at = axis < 0 ? axis + shape.length : axis;
  const length = shape[at] ?? 1;
  const inner = sizeOf(shape.slice(at + 1));
  if (block === 0) return (i) => Math.floor(i / inner) % length;
  const blocks = scale[at] ?? 1;
  return (i) => {
    const row = Math.floor(i / inner);
    return (Math.floor(row / length) * blocks + Math.floor((row % length) / block)) * inner + (i % inner);
  };
}

export const quantizeKernels: Kernels<keyof typeof quantizeOps> = {
  QuantizeLinear: (c) => {
    const [x, scale, zero] = [c.input(0), c.input(1), c.inputs[2]];
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [values, scales, zeros] = [toReals(x), toReals(scale), zero && toReals(zero)];
    const scaleOf = scaleIndex(x.shape, scale.shape, c.attributes);
    // The quotient is rounded before it is rounded to an integer: 0.35 / 0.1 is 3.5, and so 4, in float32.
    const round = rounding(c.attributes.precision ?? scale.dtype);
    const y = new Float64Array(values.length);
    for (let i = 0; i < y.length; i++) {
      const s = scaleOf(i);
      y[i] = saturate(dtype, round(round(values[i] ?? 0) / round(scales[s] ?? 0)), zeros?.[s] ?? 0);
    }
    return [fromReals(dtype, shape, y)];
  },

  DequantizeLinear: (c) => {
    const [x, scale, zero] = [c.input(0), c.input(1), c.inputs[2]];
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [values, scales, zeros] = [toReals(x), toReals(scale), zero && toReals(zero)];
    const scaleOf = scaleIndex(x.shape, scale.shape, c.attributes);
    const y = new Float64Array(values.length);
    for (let i = 0; i < y.length; i++) {
      const s = scaleOf(i);
      y[i] = ((values[i] ?? 0) - (zeros?.[s] ?? 0)) * (scales[s] ?? 0);
    }
    return [fromReals(dtype, shape, y)];
  },

  DynamicQuantizeLinear: (c) => {
    const x = c.input(0);
    const values = toReals(x);
    let [low, high] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      const value = values[i] ?? 0;
      if (!Number.isFinite(value)) c.fail(`x holds ${value} at ${i}; no scale takes it in. Finite numbers are needed.`);
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    const range = Math.fround(high - low);
    if (range === Infinity) c.fail(`x reaches from ${low} to ${high}; the range must be a float32.`);
    // Steps in float32, as the function body that defines the operator has them. All zeros: any scale will do.
    const computed = Math.fround(range / 255);
    const scale = computed === 0 ? 1 : computed;
    const zero = saturate('uint8', Math.min(Math.max(Math.fround(-Math.fround(low / scale)), 0), 255), 0);
    const y = Float64Array.from(values, (value) => saturate('uint8', Math.fround(value / scale), zero));
    return [fromReals('uint8', x.shape, y), fromReals('float32', [], [scale]), fromReals('uint8', [], [zero])];
  },
};

/** Kernels of the operators in `ops/control.ts`: run a body, once or many times. */
import { GrimError } from '../errors.ts';
import type { controlOps } from '../ops/control.ts';
import { allocate, type Tensor } from '../types.ts';
import { gatherIndices, sizeOf, stridesOf } from './indexing.ts';
import type { Kernels } from './kernel.ts';

const isTrue = (condition: Tensor | undefined): boolean => condition?.data[0] === 1;
const scalarBool = (value: boolean): Tensor => ({ dtype: 'bool', shape: [], data: Uint8Array.of(value ? 1 : 0) });

/** Slice `index` along `axis`, the axis removed. */
function sliceAt(value: Tensor, axis: number, index: number): Tensor {
  const strides = stridesOf(value.shape);
  const shape = value.shape.filter((_, d) => d !== axis);
  const from = gatherIndices(
    shape,
    strides.filter((_, d) => d !== axis),
    index * (strides[axis] ?? 1),
  );
  const data = allocate(value.dtype, from.length);
  for (let e = 0; e < from.length; e++) data[e] = value.data[from[e] ?? 0] as never;
  return { dtype: value.dtype, shape, data } as Tensor;
}

/** The slices, all of one shape, joined along a new axis. */
function stack(slices: readonly Tensor[], axis: number, empty: { dtype: Tensor['dtype']; shape: readonly number[] }): Tensor {
  const [first] = slices;
  if (!first) return { ...empty, data: allocate(empty.dtype, sizeOf(empty.shape)) } as Tensor;
  const shape = [...first.shape.slice(0, axis), slices.length, ...first.shape.slice(axis)];
  const data = allocate(first.dtype, sizeOf(shape));
  const strides = stridesOf(shape);
  const to = gatherIndices(
    first.shape,
    strides.filter((_, d) => d !== axis),
  );
  slices.forEach((slice, index) => {
    const start = index * (strides[axis] ?? 1);
    for (let e = 0; e < to.length; e++) data[start + (to[e] ?? 0)] = slice.data[e] as never;
  });
  return { dtype: first.dtype, shape, data } as Tensor;
}

export const controlKernels: Kernels<keyof typeof controlOps> = {
  If: (c) => c.run(isTrue(c.input(0)) ? c.attributes.then_branch : c.attributes.else_branch, []),

  Loop: (c) => {
    const trips = c.inputs[0] ? Number(c.inputs[0].data[0]) : Infinity;
    let going = c.inputs[1] ? isTrue(c.inputs[1]) : true;
    const carriedCount = Math.max(c.inputs.length - 2, 0);
    let carried: readonly Tensor[] = Array.from({ length: carriedCount }, (_, i) => c.input(i + 2));
    const scanned: Tensor[][] = Array.from({ length: c.attributes.body.outputs.size - 1 - carriedCount }, () => []);
    for (let step = 0; step < trips && going; step++) {
      if (step >= c.limits.loopSteps)
        throw new GrimError('GRIM_IR_LIMIT', `Loop ran ${step} steps (limit loopSteps) and has not ended.`);
      const iteration: Tensor = { dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(step)) };
      const [condition, ...rest] = c.run(c.attributes.body, [iteration, scalarBool(true), ...carried]);
      going = isTrue(condition);
      carried = rest.slice(0, carriedCount);
      rest.slice(carriedCount).forEach((value, i) => {
        const earlier = scanned[i]?.[0];
        if (earlier && earlier.shape.join() !== value.shape.join())
          c.fail(`scan output ${i} changes shape from [${earlier.shape.join(', ')}] to [${value.shape.join(', ')}].`);
        scanned[i]?.push(value);
      });
    }
    return [
      ...carried,
      ...scanned.map((slices, i) => {
        const { dtype, shape } = c.outputs[carriedCount + i] ?? { dtype: 'float32' as const, shape: [0] };
        // After no iteration at all: length 0, and 0 for what only an iteration could have told.
        const known = (shape ?? [0]).map((dim, d) => (d === 0 || typeof dim !== 'number' ? 0 : dim));
        return stack(slices, 0, { dtype, shape: known });
      }),
    ];
  },

  Scan: (c) => {
    const { body, num_scan_inputs: scans } = c.attributes;
    const states = c.inputs.length - scans;
    const axisOf = (list: readonly number[] | undefined, i: number, rank: number) => ((list?.[i] ?? 0) + rank) % rank;
    const sources = Array.from({ length: scans }, (_, i) => c.input(states + i));
    const axes = sources.map((value, i) => axisOf(c.attributes.scan_input_axes, i, value.shape.length));
    const steps = sources[0]?.shape[axes[0] ?? 0] ?? 0;
    let state: readonly Tensor[] = Array.from({ length: states }, (_, i) => c.input(i));
    const scanned: Tensor[][] = Array.from({ length: body.outputs.size - states }, () => []);
    for (let step = 0; step < steps; step++) {
      const slices = sources.map((value, i) => {
        const backward = c.attributes.scan_input_directions?.[i] === 1;
        return sliceAt(value, axes[i] ?? 0, backward ? steps - 1 - step : step);
      });
      const results = c.run(body, [...state, ...slices]);
      state = results.slice(0, states);
      results.slice(states).forEach((value, i) => {
        if (c.attributes.scan_output_directions?.[i] === 1) scanned[i]?.unshift(value);
        else scanned[i]?.push(value);
      });
    }
    return [
      ...state,
      ...scanned.map((slices, i) => {
        const output = c.outputs[states + i] as Tensor;
        return stack(slices, axisOf(c.attributes.scan_output_axes, i, output.shape.length), output);
      }),
    ];
  },
};

/** Kernels of the operators in `ops/control.ts`: run a body, once or many times. */
import { GrimError } from '../errors.ts';
import type { controlOps } from '../ops/control.ts';
import { allocate, type Tensor } from '../types.ts';
import { gatherIndices, sizeOf, stridesOf } from './indexing.ts';
import type { KernelContext, Kernels } from './kernel.ts';

const isTrue = (condition: Tensor | undefined): boolean => condition?.data[0] === 1;

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

/** The slices of one scan output, in the order in which the body gave them. */
class ScanOutput {
  readonly slices: Tensor[] = [];
  readonly #c: Pick<KernelContext, 'fail' | 'limits'>;
  readonly #name: string;
  #bytes = 0;

  constructor(c: Pick<KernelContext, 'fail' | 'limits'>, name: string) {
    this.#c = c;
    this.#name = name;
  }

  add(slice: Tensor): void {
    const [first = slice] = this.slices;
    if (first.shape.join() !== slice.shape.join())
      this.#c.fail(
        `${this.#name} changes shape from [${first.shape.join(', ')}] to [${slice.shape.join(', ')}]; all must be equal.`,
      );
    this.#bytes += slice.data.byteLength;
    if (this.#bytes > this.#c.limits.evaluateBytes)
      throw new GrimError(
        'GRIM_IR_LIMIT',
        `${this.#name} takes more than ${this.#c.limits.evaluateBytes} bytes (limit evaluateBytes).`,
        { limit: 'evaluateBytes' },
      );
    this.slices.push(slice);
  }

  /**
   * The slices joined along a new axis, counted from the back when negative.
   *
   * @param empty  what the rule says of the result: its shape is used after no step at all, where a length that only a
   *   step could have told becomes 0
   */
  stack(axis: number, empty: { readonly dtype: Tensor['dtype']; readonly shape: readonly unknown[] | null }): Tensor {
    const [first] = this.slices;
    if (!first) {
      const shape = (empty.shape ?? [0]).map((dim) => (typeof dim === 'number' ? dim : 0));
      shape[axis < 0 ? axis + shape.length : axis] = 0;
      return { dtype: empty.dtype, shape, data: allocate(empty.dtype, 0) } as Tensor;
    }
    const at = axis < 0 ? axis + first.shape.length + 1 : axis;
    const shape = [...first.shape.slice(0, at), this.slices.length, ...first.shape.slice(at)];
    const data = allocate(first.dtype, sizeOf(shape));
    const strides = stridesOf(shape);
    const to = gatherIndices(
      first.shape,
      strides.filter((_, d) => d !== at),
    );
    this.slices.forEach((slice, index) => {
      const start = index * (strides[at] ?? 1);
      for (let e = 0; e < to.length; e++) data[start + (to[e] ?? 0)] = slice.data[e] as never;
    });
    return { dtype: first.dtype, shape, data } as Tensor;
  }
}

export const controlKernels: Kernels<keyof typeof controlOps> = {
  If: (c) => c.run(isTrue(c.input(0)) ? c.attributes.then_branch : c.attributes.else_branch, []),

  Loop: (c) => {
    const { body } = c.attributes;
    const trips = c.inputs[0] ? Number(c.inputs[0].data[0]) : Infinity;
    let going = c.inputs[1] ? isTrue(c.inputs[1]) : true;
    const carriedCount = Math.max(c.inputs.length - 2, 0);
    let carried: readonly Tensor[] = Array.from({ length: carriedCount }, (_, i) => c.input(i + 2));
    const scanned = Array.from(
      { length: body.outputs.size - 1 - carriedCount },
      (_, i) => new ScanOutput(c, `scan output ${i}`),
    );
    // One element each: scalars, or [1] where the body declares it so.
    const [iterationShape, conditionShape] = Array.from(body.inputs.values(), ({ shape }) =>
      shape?.length === 1 ? [1] : [],
    );
    for (let step = 0; step < trips && going; step++) {
      const [condition, ...results] = c.run(body, [
        { dtype: 'int64', shape: iterationShape ?? [], data: BigInt64Array.of(BigInt(step)) },
        { dtype: 'bool', shape: conditionShape ?? [], data: Uint8Array.of(1) },
        ...carried,
      ]);
      going = isTrue(condition);
      carried = results.slice(0, carriedCount);
      scanned.forEach((output, i) => {
        output.add(results[carriedCount + i] as Tensor);
      });
    }
    return [...carried, ...scanned.map((output, i) => output.stack(0, c.outputs[carriedCount + i] as Tensor))];
  },

  Scan: (c) => {
    const { body, num_scan_inputs: scans, scan_input_directions: inputDirections } = c.attributes;
    const states = c.inputs.length - scans;
    const sources = Array.from({ length: scans }, (_, i) => c.input(states + i));
    const axes = sources.map(({ shape }, i) => {
      const axis = c.attributes.scan_input_axes?.[i] ?? 0;
      return axis < 0 ? axis + shape.length : axis;
    });
    const steps = sources[0]?.shape[axes[0] ?? 0] ?? 0;
    const given: readonly Tensor[] = Array.from({ length: states }, (_, i) => c.input(i));
    let state = given;
    const scanned = Array.from({ length: body.outputs.size - states }, (_, i) => new ScanOutput(c, `scan output ${i}`));
    for (let step = 0; step < steps; step++) {
      const slices = sources.map((value, i) =>
        sliceAt(value, axes[i] ?? 0, inputDirections?.[i] === 1 ? steps - 1 - step : step),
      );
      const results = c.run(body, [...state, ...slices]);
      state = results.slice(0, states);
      state.forEach(({ shape }, i) => {
        const before = given[i]?.shape ?? [];
        if (shape.join() !== before.join())
          c.fail(`state variable ${i} changes shape from [${before.join(', ')}] to [${shape.join(', ')}].`);
      });
      scanned.forEach((output, i) => {
        output.add(results[states + i] as Tensor);
      });
    }
    return [
      ...state,
      ...scanned.map((output, i) => {
        if (c.attributes.scan_output_directions?.[i] === 1) output.slices.reverse();
        return output.stack(c.attributes.scan_output_axes?.[i] ?? 0, c.outputs[states + i] as Tensor);
      }),
    ];
  },
};

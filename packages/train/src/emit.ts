/**
 * Writing nodes: the builder of `@grim/ir` with the few combinations that gradients are made of. Constants are shared.
 * Shapes are static throughout; who writes a node knows them.
 */
import type { AttributeInput, GraphBuilder, OpName } from '@grim/ir';

export type Shape = readonly number[];

export const sizeOf = (shape: Shape): number => shape.reduce((all, length) => all * length, 1);

export interface Emitter {
  readonly dtype: 'float32' | 'float64';
  add<O extends OpName>(op: O, inputs: readonly string[], attributes?: AttributeInput<O>, output?: string): string;
  addMany<O extends OpName>(
    op: O,
    inputs: readonly string[],
    outputs: number | readonly string[],
    attributes?: AttributeInput<O>,
  ): string[];
  scalar(value: number): string;
  floats(shape: Shape, data: readonly number[] | Float64Array): string;
  ints(values: readonly number[]): string;
  zeros(shape: Shape): string;
  sum(...values: readonly string[]): string;
  sub(a: string, b: string): string;
  mul(...values: readonly string[]): string;
  div(a: string, b: string): string;
  scale(x: string, by: number): string;
  neg(x: string): string;
  reshape(x: string, shape: Shape, output?: string): string;
  transpose(x: string, perm: readonly number[], output?: string): string;
  expand(x: string, shape: Shape): string;
  /** Kept axes have length 1 unless `keep` is false. No axes: nothing is reduced. */
  reduce(op: 'ReduceSum' | 'ReduceMean', x: string, axes: readonly number[], keep?: boolean): string;
  slice(x: string, axis: number, start: number, end: number, step?: number): string;
  concat(values: readonly string[], axis: number, output?: string): string;
  /** Zeros before and after each axis; negative numbers take elements away. */
  pad(x: string, before: readonly number[], after: readonly number[]): string;
  /** Reversed along an axis. */
  reverse(x: string, axis: number): string;
  /** A gradient in the shape of a broadcast result, summed to the shape of one operand. */
  unbroadcast(x: string, from: Shape, to: Shape): string;
  /** 1 where x > 0, else 0: the clamped steep line is several times faster than comparing and casting. */
  positive(x: string): string;
}

/** Slices that run backwards to the front end here: no index says "before the first". */
const FRONT = -(2 ** 31 - 1);

export function emitter(b: GraphBuilder, dtype: 'float32' | 'float64'): Emitter {
  const constants = new Map<string, string>();
  let count = 0;
  const constant = (key: string, make: () => Parameters<GraphBuilder['weight']>[1]): string => {
    const known = constants.get(key);
    if (known !== undefined) return known;
    const own = b.weight(`grim.constant.${count++}`, make());
    constants.set(key, own);
    return own;
  };
  let nodes = 0;
  // Names of their own: those of the network may look like the ones that a builder makes.
  const name = (): string => `grim.${nodes++}`;
  const add: Emitter['add'] = (op, inputs, attributes, output) => {
    const own = name();
    return b.add(op, inputs, attributes, { name: own, output: output ?? own });
  };
  const array = (data: ArrayLike<number>) => (dtype === 'float32' ? Float32Array.from(data) : Float64Array.from(data));
  const floats: Emitter['floats'] = (shape, data) =>
    constant(
      `f${shape.join()}:${sizeOf(shape) <= 64 ? Array.from(data).join() : count}`,
      () =>
        ({
          dtype,
          shape,
          data: array(data) as Float32Array,
        }) as const,
    );
  const fold = (op: 'Add' | 'Mul', values: readonly string[]): string =>
    values.reduce((all, value) => add(op, [all, value]));
  const e: Emitter = {
    dtype,
    add,
    addMany(op, inputs, outputs, attributes) {
      const own = name();
      const names = typeof outputs === 'number' ? Array.from({ length: outputs }, (_, i) => `${own}.${i}`) : outputs;
      return b.addMany(op, inputs, names, attributes, { name: own });
    },
    scalar: (value) => floats([], [value]),
    floats,
    ints: (values) =>
      constant(`i${values.join()}`, () => ({
        dtype: 'int64',
        shape: [values.length],
        data: BigInt64Array.from(values, BigInt),
      })),
    zeros: (shape) =>
      constant(
        `z${shape.join()}`,
        () => ({ dtype, shape, data: array(new Float64Array(sizeOf(shape))) as Float32Array }) as const,
      ),
    sum: (...values) => fold('Add', values),
    sub: (x, y) => add('Sub', [x, y]),
    mul: (...values) => fold('Mul', values),
    div: (x, y) => add('Div', [x, y]),
    scale: (x, by) => (by === 1 ? x : by === -1 ? add('Neg', [x]) : add('Mul', [x, e.scalar(by)])),
    neg: (x) => add('Neg', [x]),
    // A length of 0 would mean "as in the input" without allowzero.
    reshape: (x, shape, output) =>
      add('Reshape', [x, e.ints(shape)], shape.includes(0) ? { allowzero: 1 } : {}, output),
    transpose: (x, perm, output) => add('Transpose', [x], { perm }, output),
    expand: (x, shape) => add('Expand', [x, e.ints(shape)]),
    reduce: (op, x, axes, keep = true) =>
      axes.length === 0 ? x : add(op, [x, e.ints(axes)], { keepdims: keep ? 1 : 0 }),
    slice: (x, axis, start, end, step = 1) =>
      add('Slice', [x, e.ints([start]), e.ints([end]), e.ints([axis]), ...(step === 1 ? [] : [e.ints([step])])]),
    concat: (values, axis, output) =>
      values.length === 1 && output === undefined ? (values[0] as string) : add('Concat', values, { axis }, output),
    pad: (x, before, after) =>
      [...before, ...after].every((length) => length === 0) ? x : add('Pad', [x, e.ints([...before, ...after])]),
    reverse: (x, axis) => e.slice(x, axis, -1, FRONT, -1),
    unbroadcast(x, from, to) {
      const lead = from.length - to.length;
      const axes = from.flatMap((length, i) => (i < lead || (to[i - lead] === 1 && length !== 1) ? [i] : []));
      if (axes.length === 0) return x;
      const summed = e.reduce('ReduceSum', x, axes, true);
      return lead === 0 ? summed : e.reshape(summed, to);
    },
    positive: (x) => add('HardSigmoid', [x], { alpha: 1e30, beta: 0 }),
  };
  return e;
}

/**
 * Every gradient against central differences of the float64 reference, and the same graph in float32 on the engine that
 * trains against the float64 gradient.
 */
import { type Graph, graph, type OpName, type Tensor } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { evaluate } from '@grim/ir/reference';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { differentiate } from '../src/autodiff.ts';
import { DIFFERENTIABLE } from '../src/gradients.ts';
import { CASES, type Case, type FloatInput, type IntInput } from './gradient-cases.ts';

type Float = 'float32' | 'float64';

/** Largest error, over the largest gradient of the same input. */
const TOLERANCE = 3e-4;

/** A generator whose numbers are the same everywhere (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, n) => a * n, 1);
const isInt = (input: FloatInput | IntInput | null): input is IntInput => input !== null && 'ints' in input;

function tensor(dtype: Float, shape: readonly number[], data: ArrayLike<number>): Tensor {
  return dtype === 'float32'
    ? { dtype, shape, data: Float32Array.from(data) }
    : { dtype, shape, data: Float64Array.from(data) };
}

/** Values away from each other and from 0, so that no difference crosses a kink. */
function valuesOf({ shape, low, high }: FloatInput, next: () => number): number[] {
  const size = sizeOf(shape);
  const order = Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order.map((place) => low + ((high - low) * (place + 0.3 + 0.3 * next())) / size);
}

function attributesOf(one: Case, dtype: Float): Case['attributes'] {
  return one.op === 'Cast' ? { to: dtype } : one.attributes;
}

/** The node alone. */
function forward(one: Case, dtype: Float): Graph {
  return graph('case', (b) => {
    const inputs = one.inputs.map((input, i) => {
      if (input === null) return '';
      if (isInt(input))
        return b.weight(`i${i}`, {
          dtype: input.dtype,
          shape: input.shape,
          data: input.dtype === 'int64' ? BigInt64Array.from(input.ints, BigInt) : Uint8Array.from(input.ints),
        } as Tensor);
      return b.input(`x${i}`, dtype, input.shape);
    });
    const outputs = Array.from({ length: one.outputs }, (_, i) => `y${i}`);
    b.addMany(one.op, inputs, outputs, attributesOf(one, dtype) as never, { name: 'node' });
    for (const i of seededOf(one)) b.output(`y${i}`);
  });
}

const seededOf = (one: Case): readonly number[] => one.seeded ?? Array.from({ length: one.outputs }, (_, i) => i);
const wantedOf = (one: Case): string[] =>
  one.inputs.flatMap((input, i) =>
    input === null || isInt(input) || (one.by !== undefined && !one.by.includes(i)) ? [] : [`x${i}`],
  );

/** Inputs, and one seed for each output, to the gradients d:x0, d:x1, … */
function backward(one: Case, dtype: Float, shapes: ReadonlyMap<string, readonly number[]>): Graph {
  const own = forward(one, dtype);
  return graph('gradients', (b) => {
    for (const [name, type] of own.inputs) b.input(name, type.dtype, type.shape);
    for (const [name, weight] of own.weights) b.weight(name, weight);
    const d = differentiate(b, own, { wanted: wantedOf(one), training: one.training ?? false, dtype });
    const seeds = new Map(
      seededOf(one).map((i) => [`y${i}`, b.input(`seed:y${i}`, dtype, shapes.get(`y${i}`) ?? [])] as const),
    );
    const gradients = d.backward(seeds);
    for (const name of wantedOf(one)) b.output(`d:${name}`, gradients.get(name) ?? '');
  });
}

interface Worked {
  readonly feeds: Record<string, Tensor>;
  readonly seeds: Record<string, Tensor>;
}

function work(one: Case, dtype: Float): Worked {
  const next = random(7);
  const feeds: Record<string, Tensor> = {};
  one.inputs.forEach((input, i) => {
    if (input !== null && !isInt(input)) feeds[`x${i}`] = tensor(dtype, input.shape, valuesOf(input, next));
  });
  const seeds: Record<string, Tensor> = {};
  for (const [name, value] of Object.entries(evaluate(lossForward(one, dtype), feeds)))
    seeds[`seed:${name}`] = tensor(
      dtype,
      value.shape,
      Array.from({ length: value.data.length }, () => next() - 0.5),
    );
  return { feeds, seeds };
}

/** What differences are taken of: in training, the batch's own statistics. */
function lossForward(one: Case, dtype: Float): Graph {
  const own = forward(one, dtype);
  if (!one.training) return own;
  return graph('trained', (b) => {
    for (const [name, type] of own.inputs) b.input(name, type.dtype, type.shape);
    b.addMany('BatchNormalization', own.nodes[0]?.inputs ?? [], ['y0', 'mean', 'variance'], { training_mode: 1 });
    b.output('y0');
  });
}

function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i] as number));
  return most;
}

const shapesOf = ({ seeds }: Worked): Map<string, readonly number[]> =>
  new Map(Object.entries(seeds).map(([name, { shape }]) => [name.slice(5), shape]));

/** Central differences of Σ seed·output, by every element of an input. */
function differences(one: Case, dtype: Float, { feeds, seeds }: Worked, name: string): number[] {
  const own = lossForward(one, dtype);
  const step = dtype === 'float32' ? 1e-2 : 1e-5;
  const given = feeds[name] as Tensor;
  const loss = (i: number, by: number): number => {
    const data = Float64Array.from(given.data as Float64Array);
    data[i] = (data[i] as number) + by;
    const out = evaluate(own, { ...feeds, [name]: tensor(dtype, given.shape, data) });
    let sum = 0;
    for (const [key, value] of Object.entries(out)) {
      const seed = seeds[`seed:${key}`]?.data as Float64Array;
      for (let j = 0; j < seed.length; j++) sum += (seed[j] as number) * ((value.data as Float64Array)[j] as number);
    }
    return sum;
  };
  return Array.from({ length: given.data.length }, (_, i) => (loss(i, step) - loss(i, -step)) / (2 * step));
}

function errorOf(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  const off = Array.from({ length: wanted.length }, (_, i) => (found[i] as number) - (wanted[i] as number));
  return largest(off) / Math.max(largest(wanted), 1e-12);
}

describe('a gradient by the graph agrees with central differences', () => {
  it.each(CASES.map((one) => [`${one.op}: ${one.note}`, one] as const))('%s', async (_, one) => {
    const dtype: Float = one.float32 ? 'float32' : 'float64';
    const worked = work(one, dtype);
    const exact = evaluate(backward(one, dtype, shapesOf(worked)), { ...worked.feeds, ...worked.seeds });
    for (const name of wantedOf(one)) {
      const found = exact[`d:${name}`]?.data as Float64Array;
      expect(found.length).toBe(worked.feeds[name]?.data.length);
      expect(errorOf(found, differences(one, dtype, worked, name)), name).toBeLessThan(TOLERANCE);
    }

    // The engine computes the same graph in float32.
    const session = await InferenceSession.create(toOnnx(backward(one, 'float32', shapesOf(worked))), {
      intraOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    const feeds: Record<string, OrtTensor> = {};
    for (const [name, { shape, data }] of Object.entries({ ...worked.feeds, ...worked.seeds }))
      if (session.inputNames.includes(name))
        feeds[name] = new OrtTensor('float32', Float32Array.from(data as Float64Array), shape);
    const results = await session.run(feeds);
    for (const name of wantedOf(one))
      expect(
        errorOf(results[`d:${name}`]?.data as Float32Array, exact[`d:${name}`]?.data as Float64Array),
        `${name} on the engine`,
      ).toBeLessThan(TOLERANCE);
    await session.release();
  });

  it('has a case for every operator in the table of gradients', () => {
    const tested = new Set<OpName>(CASES.map(({ op }) => op));
    expect(DIFFERENTIABLE.filter((op) => !tested.has(op))).toEqual([]);
  });
});

/** Compiles a graph, runs it in both families over two kinds of garbage, and compares with the reference. */
import { bytesPerElement, type CompiledModel, type DType, type Graph, isStatic, type Tensor, toReals } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { expect } from 'vitest';
import { type CompileOptions, compile } from '../src/compile.ts';
import { execute } from './execute.ts';

/** Numbers in [0, 1): mulberry32. */
export function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SPECIAL = [0, -0, 1, -1, 0.5, -0.5, 2.5, 3.5, Number.NaN, Infinity, -Infinity, 1e-40, -1e-40, 1e30, -1e30];

/** Elements of any type: of floats about a tenth special ones, of integers a tenth the extremes. */
export function randomTensor(dtype: DType, shape: readonly number[], next: () => number, special = true): Tensor {
  const length = shape.reduce((all, dim) => all * dim, 1);
  const bytes = bytesPerElement(dtype);
  const pick = <T>(list: readonly T[]) => list[Math.floor(next() * list.length)] as T;
  const odd = () => special && next() < 0.1;
  switch (dtype) {
    case 'float32':
    case 'float64': {
      const values = Array.from({ length }, () => (odd() ? pick(SPECIAL) : (next() - 0.5) * 8));
      const data = dtype === 'float32' ? Float32Array.from(values) : Float64Array.from(values);
      return { dtype, shape, data } as Tensor;
    }
    case 'float16':
      // Signs, small exponents, fractions; now and then an infinity or a subnormal.
      return {
        dtype,
        shape,
        data: Uint16Array.from(
          { length },
          () =>
            (next() < 0.5 ? 0x8000 : 0) | (odd() ? pick([0, 1, 0x3ff, 0x7c00]) : Math.floor(0x3400 + next() * 0x1000)),
        ),
      };
    case 'bfloat16':
      return {
        dtype,
        shape,
        data: Uint16Array.from({ length }, () => (next() < 0.5 ? 0x8000 : 0) | Math.floor(0x3f00 + next() * 0x180)),
      };
    case 'bool':
      return { dtype, shape, data: Uint8Array.from({ length }, () => (next() < 0.5 ? 1 : 0)) };
    default: {
      const raw = new Uint8Array(length * bytes);
      for (let i = 0; i < length; i++) {
        // Small values of either sign, or all bits random.
        const small = Math.floor(next() * 9) - 4;
        const wild = odd();
        for (let b = 0; b < bytes; b++)
          raw[i * bytes + b] = wild
            ? Math.floor(next() * 256)
            : b === 0
              ? small & 255
              : dtype.startsWith('u') || small >= 0
                ? 0
                : 255;
      }
      const types = {
        int8: Int8Array,
        uint8: Uint8Array,
        int16: Int16Array,
        uint16: Uint16Array,
        int32: Int32Array,
        uint32: Uint32Array,
        int64: BigInt64Array,
        uint64: BigUint64Array,
      };
      const Type = types[dtype as keyof typeof types];
      return { dtype, shape, data: new Type(raw.buffer) } as Tensor;
    }
  }
}

export function randomInputs(graph: Graph, seed = 1, special = true): Record<string, Tensor> {
  const next = random(seed);
  const inputs: Record<string, Tensor> = Object.create(null);
  for (const [name, { dtype, shape }] of graph.inputs) {
    if (!isStatic(shape)) throw new Error(`input ${name} is not static`);
    inputs[name] = randomTensor(dtype, shape, next, special);
  }
  return inputs;
}

export interface Tolerance {
  readonly absolute?: number;
  readonly relative?: number;
}

/** Equal up to the tolerance; without one, equal as numbers, NaN to NaN, the sign of zero left aside. */
export function expectClose(
  found: Tensor,
  wanted: Tensor,
  { absolute = 0, relative = 0 }: Tolerance,
  what: string,
): void {
  expect(found.dtype, what).toBe(wanted.dtype);
  expect(found.shape, what).toEqual(wanted.shape);
  if (wanted.dtype === 'int64' || wanted.dtype === 'uint64') {
    expect(found.data, what).toEqual(wanted.data);
    return;
  }
  const [a, b] = [toReals(found), toReals(wanted)];
  for (let i = 0; i < b.length; i++) {
    const [x = 0, y = 0] = [a[i], b[i]];
    const close = Number.isNaN(y) ? Number.isNaN(x) : x === y || Math.abs(x - y) <= absolute + relative * Math.abs(y);
    if (!close) expect.fail(`${what}: element ${i} is ${x}; ${y} is wanted`);
  }
}

/** @returns the compiled model */
export function check(
  graph: Graph,
  {
    inputs = randomInputs(graph),
    options = {},
    ...tolerance
  }: Tolerance & {
    readonly inputs?: Record<string, Tensor>;
    readonly options?: CompileOptions;
  } = {},
): CompiledModel {
  const model = compile(graph, options);
  const wanted = evaluate(graph, inputs);
  for (const family of ['relaxed', 'plain'] as const) {
    expect(WebAssembly.validate(model.wasm[family] as Uint8Array<ArrayBuffer>), `${family} is valid`).toBe(true);
    for (const poison of [0xff, 0xaa]) {
      const found = execute(model, inputs, { family, poison });
      for (const name of graph.outputs.keys())
        expectClose(found[name] as Tensor, wanted[name] as Tensor, tolerance, `${graph.name}, ${name}, ${family}`);
    }
  }
  return model;
}

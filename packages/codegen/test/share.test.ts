/** Large calls in pieces: the plan inspector, which runs every piece by itself and looks at each byte that it changes. */
import { applyPattern } from '@grim/bcr';
import { type CompiledModel, type Graph, graph, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/index.ts';
import { splitUnits } from '../src/kernels/split-units.ts';
import { checkUnits, encodeUnits } from '../src/kernels/units.ts';
import { piecesOf, ranges } from '../src/lower/share.ts';
import { random, randomTensor } from './check.ts';
import { integers, matrixOf, randomPattern } from './matrices.ts';

const next = random(20261123);

function weight(shape: readonly number[], blockRows = 0, blockCols = 0) {
  const data = randomTensor('float32', shape, next, false).data as Float32Array<ArrayBuffer>;
  const [rows = 1] = shape;
  const cols = data.length / rows;
  const pattern = blockRows > 0 ? randomPattern(rows, cols, blockRows, blockCols, 0.5, next) : undefined;
  const kept = pattern ? applyPattern({ rows, cols, data }, pattern).data : data;
  return { dtype: 'float32', shape, data: kept, ...(pattern && { pattern }) } as const;
}

const conv = (channels: number, size: number, blocks: readonly [number, number] | [] = [], residual = false): Graph =>
  graph('conv', (b) => {
    const x = b.input('x', 'float32', [1, channels, size, size]);
    const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] } as const;
    const y = b.add('Conv', [x, b.weight('w', weight([channels, channels, 3, 3], ...blocks))], attributes);
    b.output('y', b.add('Relu', [residual ? b.add('Add', [y, x]) : y]));
  });
const gemm = (rows: number, depth: number, outputs: number, blocks: readonly [number, number] | [] = []): Graph =>
  graph('gemm', (b) => {
    const x = b.input('x', 'float32', [rows, depth]);
    const inputs = [x, b.weight('w', weight([outputs, depth], ...blocks)), b.weight('c', weight([outputs]))];
    b.output('y', b.add('Gemm', inputs, { transB: 1 }));
  });

/** By what is cut. */
const NETWORKS: Readonly<Record<string, Graph>> = {
  'columns of a dense convolution': conv(32, 32),
  'rows of a dense convolution': conv(64, 14),
  'columns of a sparse convolution': conv(32, 40, [8, 64]),
  'rows of a sparse convolution': conv(96, 14, [8, 128], true),
  'rows of a dense convolution with a residual': conv(64, 14, [], true),
  'channels of a depthwise convolution': graph('depthwise', (b) => {
    const x = b.input('x', 'float32', [2, 24, 40, 40]);
    const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], group: 24 } as const;
    b.output('y', b.add('Conv', [x, b.weight('w', weight([24, 1, 3, 3]))], attributes));
  }),
  'rows of a dense matrix times one vector': gemm(1, 1000, 1003),
  'rows of a sparse matrix times one vector': gemm(1, 3000, 1503, [32, 256]),
  'rows of a matrix times some vectors': gemm(20, 300, 333),
  'steps of a recurrent layer': graph('gru', (b) => {
    const x = b.input('x', 'float32', [3, 1, 5]);
    const w = b.weight('w', weight([1, 1560, 5]));
    const r = b.weight('r', { ...weight([1560, 520]), shape: [1, 1560, 520] });
    b.output('y', b.add('GRU', [x, w, r], { hidden_size: 520, linear_before_reset: 1 }));
  }),
  'products of values': graph('attention', (b) => {
    const [q, k] = [b.input('q', 'float32', [3, 100, 64]), b.input('k', 'float32', [3, 64, 101])];
    b.output('y', b.add('MatMul', [q, k]));
  }),
  'element-wise chains': graph('map', (b) => {
    const [x, y] = [b.input('x', 'float32', [3, 70_001]), b.input('y', 'float32', [3, 1])];
    b.output('z', b.add('Sigmoid', [b.add('Mul', [b.add('Add', [x, y]), x])]));
    b.output('t', b.add('Transpose', [x], { perm: [1, 0] }));
  }),
};

interface Run {
  /** All of the memory after each step of the list. */
  readonly memory: Uint8Array;
  readonly groups: number;
}

/** Runs the steps; the calls of a group in the order that `order` gives, after `inspect` has seen them. */
function run(
  { manifest, wasm, constants }: CompiledModel,
  inputs: Readonly<Record<string, Tensor>>,
  order: (calls: number) => readonly number[],
  inspect?: (calls: readonly (() => void)[], memory: Uint8Array) => void,
): Run {
  const pages = (manifest.constantBytes + manifest.arenaBytes) / 65536;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(constants);
  for (const { name, offset } of manifest.inputs) {
    const { data } = inputs[name] as Tensor;
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
  }
  const module = new WebAssembly.Module(wasm.relaxed as Uint8Array<ArrayBuffer>);
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const { steps, kernels } = manifest;
  let groups = 0;
  const callsOf = (at: number, end: number, list: readonly number[] = steps): (() => void)[] => {
    const calls: (() => void)[] = [];
    while (at < end) {
      const kernel = kernels[list[at] ?? 0] as (typeof kernels)[number];
      const args = list.slice(at + 1, at + 1 + kernel.parameters);
      calls.push(() => (exports[kernel.name] as (...args: number[]) => void)(...args));
      at += 1 + kernel.parameters;
    }
    return calls;
  };
  const setup = manifest.setup?.steps ?? [];
  for (const call of callsOf(0, setup.length, setup)) call();
  for (let at = 0; at < steps.length; ) {
    const group = steps[at] === -2;
    const start = group ? at + 2 : at;
    const length = group ? (steps[at + 1] ?? 0) : 1 + (kernels[steps[at] ?? 0]?.parameters ?? 0);
    const calls = callsOf(start, start + length);
    if (group) {
      groups++;
      inspect?.(calls, bytes);
    }
    for (const i of order(calls.length)) calls[i]?.();
    at = start + length;
  }
  return { memory: bytes, groups };
}

const forwards = (calls: number) => Array.from({ length: calls }, (_, i) => i);
const backwards = (calls: number) => forwards(calls).reverse();

/** The bytes of the arena that a call changes; the memory is as before afterwards. */
function written(call: () => void, memory: Uint8Array, arena: number): Uint8Array {
  const before = memory.slice();
  const changed = new Uint8Array(memory.length);
  call();
  for (let i = arena; i < memory.length; i++) if (memory[i] !== before[i]) changed[i] = 1;
  memory.set(before);
  return changed;
}

describe.each(Object.entries(NETWORKS))('pieces of %s', (_, network) => {
  const model = compile(network, { threads: 4 });
  const values = random(7);
  const inputs = Object.fromEntries(
    Array.from(network.inputs, ([name, { dtype, shape }]) => [
      name,
      randomTensor(dtype, shape as readonly number[], values, false),
    ]),
  );
  const outputs = ({ manifest: { outputs: list } }: CompiledModel, { memory }: Run) =>
    list.map(({ offset, shape }) => memory.slice(offset, offset + 4 * shape.reduce((a, b) => a * b, 1)));

  it('W6: give the bits of the whole, in any order', () => {
    const whole = compile(network, { threads: 1 });
    const expected = outputs(whole, run(whole, inputs, forwards));
    const forward = run(model, inputs, forwards);
    expect(forward.groups).toBeGreaterThan(0);
    expect(outputs(model, forward)).toEqual(expected);
    expect(outputs(model, run(model, inputs, backwards))).toEqual(expected);
  });

  it('W7: write bytes that no other piece writes or reads, so that no sum is divided', () => {
    const { constantBytes } = model.manifest;
    run(model, inputs, forwards, (calls, memory) => {
      const owner = new Int16Array(memory.length).fill(-1);
      calls.forEach((call, piece) => {
        for (const [i, changed] of written(call, memory, constantBytes).entries()) {
          if (changed && owner[i] !== -1) expect.fail(`byte ${i} is written by pieces ${owner[i]} and ${piece}`);
          if (changed) owner[i] = piece;
        }
      });
      // Alone, each piece leaves in its bytes what it leaves there among the others: it reads nothing of theirs.
      const start = memory.slice();
      const alone = calls.map((call) => {
        call();
        const after = memory.slice();
        memory.set(start);
        return after;
      });
      for (const call of calls) call();
      for (let i = constantBytes; i < memory.length; i++) {
        const piece = owner[i] ?? -1;
        if (memory[i] !== (piece < 0 ? start : alone[piece])?.[i]) expect.fail(`byte ${i} of piece ${piece}`);
      }
      memory.set(start);
    });
  });
});

describe('shares', () => {
  it('are whole units, cover everything once and differ by one unit at most', () => {
    for (const [total, unit, pieces] of [
      [1, 8, 4],
      [8, 8, 8],
      [100, 8, 3],
      [784, 16, 8],
      [7, 6, 12],
    ] as const) {
      const found = ranges(total, unit, pieces);
      expect(found.length).toBeLessThanOrEqual(pieces);
      let end = 0;
      for (const { first, count } of found) {
        expect(first).toBe(end);
        expect(first % unit).toBe(0);
        expect(count).toBeGreaterThan(0);
        end += count;
      }
      expect(end).toBe(total);
      const units = found.map(({ count }) => Math.ceil(count / unit));
      expect(Math.max(...units) - Math.min(...units)).toBeLessThanOrEqual(1);
    }
  });
  it('are none of small calls, nor for one thread', () => {
    expect(piecesOf({ threads: 4, pieceCycles: 1e5 }, 1000)).toBe(1);
    expect(piecesOf({ threads: 1, pieceCycles: 1e5 }, 1e9)).toBe(1);
    expect(piecesOf({ threads: 4, pieceCycles: 1e5 }, 1e9)).toBe(8);
  });
  it('of a unit stream are streams of their own', () => {
    const [rows, cols] = [61, 90];
    const matrix = matrixOf(rows, cols, integers(rows * cols, 4, next));
    const options = { tallest: 6, columns: 8, xOffset: (k: number) => 4 * k, yOffset: (m: number) => 4 * m } as const;
    for (const [height, width] of [
      [4, 16],
      [8, 90],
      [2, 30],
    ] as const) {
      const stream = encodeUnits(matrix, randomPattern(rows, cols, height, width, 0.4, next), options);
      const { words, weights, starts } = splitUnits(stream, 5);
      expect(starts.length).toBeGreaterThan(2);
      const seen: number[] = [];
      starts.forEach(({ word, weight: at }, i) => {
        const end = starts[i + 1];
        const piece = { words: words.subarray(word, end?.word), weights: weights.subarray(at, end?.weight) };
        const yOffsets = new Set<number>();
        for (let w = 0; piece.words[w]; ) {
          const count = (piece.words[w] ?? 0) & 7;
          for (const offset of piece.words.subarray(w + 2, w + 2 + count)) yOffsets.add(offset);
          w += 2 + count + (piece.words[w + 1] ?? 0);
        }
        checkUnits(piece, { tallest: 6, xOffsets: [0, 4 * cols], yOffsets });
        seen.push(...yOffsets);
      });
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen).toHaveLength(rows);
    }
  });
});

/** Streams in few bits: what the kernel unpacks is what was packed, bit by bit, whatever the pattern and the addresses. */
import { applyPattern, blockGrid, densePattern, projectBcr } from '@grim/bcr';
import { type Graph, graph } from '@grim/ir';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compile as compileGraph } from '../src/compile.ts';
import { encodeLanes, encodeUnits } from '../src/index.ts';
import { addLanePadding, biasesOf, withoutPadding } from '../src/kernels/lane-padding.ts';
import { addUnpack, packStream, type Stream } from '../src/kernels/packed-streams.ts';
import { splitUnits } from '../src/kernels/split-units.ts';
import type { UnitStream } from '../src/kernels/units.ts';
import { pack } from '../src/pack.ts';
import { compile } from './arena.ts';
import { check } from './check.ts';
import { matrixOf, random, randomPattern } from './matrices.ts';

const module = compile((builder) => {
  addUnpack(builder, 'unpack');
  addLanePadding(builder, 'fill');
});

/** The words that the kernel makes; everything around them must stay as it was. */
function unpack(words: Int32Array, stream: Stream): { words: Int32Array; packedBytes: number } {
  const { bytes, scratchBytes } = packStream(words, stream);
  const [target, packed] = [64, 64 + words.byteLength + 64];
  const scratch = packed + bytes.length + 64;
  const end = scratch + scratchBytes;
  const memory = new WebAssembly.Memory({ initial: Math.ceil((end + 64) / 65536) });
  const all = new Uint8Array(memory.buffer).fill(0xaa);
  all.set(bytes, packed);
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  (exports['unpack'] as (...args: number[]) => void)(target, packed, scratch);
  for (const [from, to] of [
    [0, target],
    [target + words.byteLength, packed],
    [packed + bytes.length, scratch],
    [end, end + 64],
  ])
    expect(all.subarray(from, to).every((byte) => byte === 0xaa)).toBe(true);
  return { words: new Int32Array(memory.buffer, target, words.length).slice(), packedBytes: bytes.length };
}

/** As threads share it. */
function inPieces(stream: UnitStream, pieces: number): Pick<UnitStream, 'words' | 'ranges'> {
  return { words: splitUnits(stream, pieces).words, ranges: stream.ranges };
}

const SIZES = [1, 2, 3, 5, 8, 13, 31, 64, 127, 300];

describe('packed streams', () => {
  it('C2, C4: unpack to the words that were packed, for any pattern, layout and sign of the offsets', () => {
    const streamCase = fc.record({
      m: fc.constantFrom(...SIZES),
      k: fc.constantFrom(...SIZES),
      blockRows: fc.integer({ min: 1, max: 70 }),
      blockCols: fc.integer({ min: 1, max: 300 }),
      keep: fc.constantFrom(0, 0.02, 0.1, 0.5, 1),
      kind: fc.constantFrom<Stream['kind']>('units', 'lanes'),
      taps: fc.constantFrom(1, 3, 9, 25),
      /** Distances between channels and between taps; the largest need all 31 bits. */
      channel: fc.constantFrom(100, 900, 200_000),
      tap: fc.constantFrom(1, 58),
      yRow: fc.constantFrom(4, 4 * 3136, 4 * 100_001),
      /** 0: as many as suit the kernel. */
      wanted: fc.integer({ min: 0, max: 9 }),
      /** Columns are dealt to so many planes. */
      planes: fc.constantFrom(1, 4),
      /** Streams that share the rows. */
      pieces: fc.integer({ min: 1, max: 5 }),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(streamCase, (one) => {
        const { m, k, blockRows, blockCols, keep, kind, taps, channel, tap, yRow, wanted, planes, pieces, seed } = one;
        const next = random(seed);
        const pattern = randomPattern(m, k, Math.min(blockRows, m), Math.min(blockCols, k), keep, next);
        const matrix = matrixOf(m, k, Float32Array.from({ length: m * k }, next));
        const inPlane = (i: number) =>
          4 * (Math.floor(i / taps) * Math.max(channel, taps * tap) + ((i % taps) - (taps >> 1)) * tap);
        const size = inPlane(k) - inPlane(0) + 4 * taps * tap;
        const xOffset = (i: number) => (i % planes) * size + inPlane(Math.floor(i / planes));
        const { words, ranges }: { words: Int32Array; ranges?: Stream['passes'] } =
          kind === 'units'
            ? inPieces(
                encodeUnits(matrix, pattern, {
                  ...{ tallest: 6, columns: 8, xOffset, yOffset: (row) => row * yRow },
                  ...(wanted > 0 && { passes: wanted }),
                }),
                pieces,
              )
            : encodeLanes(matrix, pattern, { xOffset });
        const offsets = Array.from({ length: k }, (_, i) => xOffset(i));
        expect(unpack(words, { kind, offsets, ...(ranges && { passes: ranges }) }).words).toEqual(words);
      }),
      { numRuns: 400 },
    );
  });

  it('take about a bit for each column of a dense matrix, and five for each at a tenth', () => {
    const [m, k] = [64, 1152];
    const matrix = matrixOf(m, k, new Float32Array(m * k).fill(1));
    const grid = blockGrid(m, k, 4, k);
    const options = { tallest: 6, columns: 8, yOffset: (i: number) => 4 * i } as const;
    const bits = (pattern: Parameters<typeof encodeUnits>[1], passes = 1, planes = 1) => {
      const xOffset = (i: number) => 4 * ((i % planes) * k + Math.floor(i / planes));
      const { words, ranges } = encodeUnits(matrix, pattern, { ...options, xOffset, form: 'units', passes });
      const columns = pattern.keptCols.reduce((sum, cols) => sum + cols.length, 0);
      return (
        (8 *
          unpack(words, { kind: 'units', passes: ranges, offsets: Array.from({ length: k }, (_, i) => xOffset(i)) })
            .packedBytes) /
        columns
      );
    };
    expect(bits(densePattern(grid))).toBeLessThan(1.2);
    const next = random(7);
    const tenth = densePattern(grid);
    const keptCols = tenth.keptCols.map((cols) => cols.filter(() => next() < 0.1));
    expect(bits({ ...tenth, keptCols })).toBeLessThan(5.4);
    // A pass more costs each unit a few bits, and no column a longer code, also where planes are far from one another.
    expect(bits({ ...tenth, keptCols }, 5)).toBeLessThan(6.1);
    expect(bits({ ...tenth, keptCols }, 5, 4)).toBeLessThan(7.4);
  });
});

describe('weights of lanes', () => {
  it('C2, C4: are filled to those that were stored without padding, for any pattern', () => {
    const lanesCase = fc.record({
      m: fc.constantFrom(...SIZES),
      k: fc.constantFrom(...SIZES),
      blockRows: fc.integer({ min: 1, max: 70 }),
      blockCols: fc.integer({ min: 1, max: 300 }),
      keep: fc.constantFrom(0, 0.02, 0.1, 0.5, 1),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(lanesCase, ({ m, k, blockRows, blockCols, keep, seed }) => {
        const next = random(seed);
        const pattern = randomPattern(m, k, Math.min(blockRows, m), Math.min(blockCols, k), keep, next);
        // No zeros but those of the padding.
        const matrix = matrixOf(
          m,
          k,
          Float32Array.from({ length: m * k }, () => next() + 1),
        );
        const bias = Float32Array.from({ length: m }, next);
        const { words, weights } = encodeLanes(matrix, pattern, { xOffset: (i) => 4 * i, bias });
        const kept = withoutPadding(weights, words, biasesOf(m));
        const zeros = weights.subarray(biasesOf(m)).reduce((sum, weight) => sum + (weight === 0 ? 1 : 0), 0);
        expect(weights.length - kept.length).toBe(zeros);
        const [target, packed] = [64, 64 + weights.byteLength + 64];
        const at = packed + kept.byteLength + 64;
        const end = at + words.byteLength;
        const memory = new WebAssembly.Memory({ initial: Math.ceil((end + 64) / 65536) });
        const all = new Uint8Array(memory.buffer).fill(0xaa);
        new Float32Array(memory.buffer, packed, kept.length).set(kept);
        new Int32Array(memory.buffer, at, words.length).set(words);
        const { exports } = new WebAssembly.Instance(module, { env: { memory } });
        (exports['fill'] as (...args: number[]) => void)(target, packed, at, biasesOf(m));
        expect(new Float32Array(memory.buffer, target, weights.length).slice()).toEqual(weights);
        for (const [from, to] of [
          [0, target],
          [target + weights.byteLength, packed],
        ])
          expect(all.subarray(from, to).every((byte) => byte === 0xaa)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a model with packed streams', () => {
  /** 3×3 convolutions over 96 channels; blocks of two rows keep a tenth of the columns. */
  function sparseNet(layers: number): Graph {
    const next = random(3);
    return graph('net', (b) => {
      let x = b.input('x', 'float32', [1, 96, 5, 5]);
      for (let i = 0; i < layers; i++) {
        const grid = blockGrid(96, 96 * 9, 2, 96 * 9);
        const all = densePattern(grid);
        const pattern = { ...all, keptCols: all.keptCols.map((cols) => cols.filter(() => next() < 0.1)) };
        const full = matrixOf(
          96,
          96 * 9,
          Float32Array.from({ length: 96 * 96 * 9 }, () => next() - 0.5),
        );
        const { data } = applyPattern(full, pattern);
        const w = b.weight(`w${i}`, { dtype: 'float32', shape: [96, 96, 3, 3], data, pattern });
        x = b.add('Conv', [x, w], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
      }
      b.output('y', x);
    });
  }

  it('sets up once, then computes what the reference does, on both families', () => {
    const { manifest, constants } = check(sparseNet(3));
    expect(manifest.setup?.bytes).toBeGreaterThan(20_000);
    expect(constants.length).toBe(manifest.constantBytes - (manifest.setup?.bytes ?? 0));
  });

  it('stores a classifier without the zeros of its lanes, and computes what the reference does', () => {
    const [rows, cols] = [100, 256];
    const next = random(5);
    const matrix = matrixOf(
      rows,
      cols,
      Float32Array.from({ length: rows * cols }, () => next() - 0.5),
    );
    const pattern = projectBcr(matrix, blockGrid(rows, cols, 4, cols), { density: 0.2 });
    const kept = applyPattern(matrix, pattern).data;
    const classifier = graph('classifier', (b) => {
      const w = b.weight('w', { dtype: 'float32', shape: [rows, cols], data: kept, pattern });
      b.output('y', b.add('Gemm', [b.input('x', 'float32', [1, cols]), w], { transB: 1 }));
    });
    const x = { dtype: 'float32', shape: [1, cols], data: Float32Array.from({ length: cols }, next) } as const;
    const model = check(classifier, { inputs: { x }, relative: cols * 2 ** -24 });
    const weights = model.segments?.find(({ kind }) => kind === 'weights')?.bytes ?? 0;
    // And biases.
    expect(weights).toBe(4 * (kept.filter((value) => value !== 0).length + rows));
    expect(model.manifest.setup?.bytes).toBeGreaterThan(weights);
  });

  it('packs strided convolutions in narrow blocks, whose passes end between blocks', () => {
    const [rows, cols] = [32, 256 * 9];
    const next = random(9);
    const pattern = randomPattern(rows, cols, 4, 16, 0.5, next);
    const { data } = applyPattern(
      matrixOf(
        rows,
        cols,
        Float32Array.from({ length: rows * cols }, () => next() - 0.5),
      ),
      pattern,
    );
    const strided = graph('strided', (b) => {
      const w = b.weight('w', { dtype: 'float32', shape: [rows, 256, 3, 3], data, pattern });
      const x = b.input('x', 'float32', [1, 256, 14, 14]);
      b.output('y', b.add('Conv', [x, w], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [2, 2] }));
    });
    const { manifest } = compileGraph(strided);
    expect(manifest.setup?.bytes).toBeGreaterThan(0);
  });

  it('keeps the words as they are where the kernel would take more than it saves', () => {
    const tiny = graph('tiny', (b) => {
      const x = b.input('x', 'float32', [1, 8, 4, 4]);
      const all = densePattern(blockGrid(8, 8, 2, 8));
      const pattern = { ...all, keptCols: all.keptCols.map((cols) => cols.slice(0, 1)) };
      const { data } = applyPattern(matrixOf(8, 8, new Float32Array(64).fill(1)), pattern);
      const w = b.weight('w', { dtype: 'float32', shape: [8, 8, 1, 1], data, pattern });
      b.output('y', b.add('Conv', [x, w], { kernel_shape: [1, 1] }));
    });
    expect(compileGraph(tiny).manifest.setup).toBeUndefined();
  });
});

describe('a file', () => {
  const SIZE = { rows: 256, cols: 128 * 9 };
  const next = random(3);
  const matrix = matrixOf(
    SIZE.rows,
    SIZE.cols,
    // Nearly normal.
    Float32Array.from({ length: SIZE.rows * SIZE.cols }, () => next() + next() + next() - 1.5),
  );
  const bytesOf = (blockRows: number | undefined) => {
    const pattern =
      blockRows && projectBcr(matrix, blockGrid(SIZE.rows, SIZE.cols, blockRows, SIZE.cols), { density: 0.1 });
    const { data } = pattern ? applyPattern(matrix, pattern) : matrix;
    const model = compileGraph(
      graph('layer', (b) => {
        const w = b.weight('w', { dtype: 'float32', shape: [256, 128, 3, 3], data, ...(pattern && { pattern }) });
        const x = b.input('x', 'float32', [1, 128, 14, 14]);
        b.output('y', b.add('Conv', [x, w], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }));
      }),
    );
    const file = pack(model, { weights: 'f16' });
    // Code and manifest are not of the layer alone: all layers of a model share them.
    const manifest = new DataView(file.buffer, file.byteOffset).getUint32(8, true);
    return file.length - manifest - model.wasm.relaxed.length - model.wasm.plain.length;
  };
  it('of a layer at a tenth takes at most 1.15 tenths of the dense one in 4×K and 8×K', () => {
    const dense = bytesOf(undefined);
    for (const rows of [4, 8]) expect(bytesOf(rows) / dense / 0.1, `${rows}×K`).toBeLessThanOrEqual(1.15);
  });
});

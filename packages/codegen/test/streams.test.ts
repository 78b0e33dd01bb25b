/** Sparse streams: layouts other than plain rows, what is refused, and that pruned weights are never looked at. */
import { blockGrid, densePattern, nonZeros } from '@grim/bcr';
import { type BcrPattern, GrimError, patternMask } from '@grim/ir';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addGemm,
  addGemv,
  addSpmm,
  checkLanes,
  checkUnits,
  type Epilogue,
  encodeLanes,
  encodeRows,
  encodeUnits,
  gemmName,
  gemvName,
  maxTileRows,
  packGemm,
  spmmName,
  unitCycles,
} from '../src/index.ts';
import { arena, compile, FAMILIES, type Kernel } from './arena.ts';
import { integers, matrixOf, poisoned, product, random, randomPattern } from './matrices.ts';

const SIZES = [1, 2, 3, 5, 7, 8, 11, 13, 16, 17, 23, 31, 32, 37, 61, 64, 67, 127];
/** Bounds that are parameters are met in every compiled sparse layer. */
type Fixed = Epilogue & { readonly activation: Exclude<Epilogue['activation'], 'bounds'> };
const EPILOGUES: readonly Fixed[] = [
  { activation: 'none', residual: false },
  { activation: 'relu', residual: false },
  { activation: { min: -3, max: 6 }, residual: true },
];
const activated = ({ activation }: Fixed, value: number) =>
  activation === 'none'
    ? value
    : activation === 'relu'
      ? Math.max(0, value)
      : Math.min(activation.max, Math.max(activation.min, value));

const modules = new Map<string, WebAssembly.Module>();
function kernelModule(family: (typeof FAMILIES)[number], epilogue: Epilogue): WebAssembly.Module {
  const key = JSON.stringify([family, epilogue]);
  const known = modules.get(key);
  if (known) return known;
  const module = compile((builder) => {
    addGemm(builder, { ...family, epilogue });
    addGemm(builder, { ...family, epilogue, gather: true });
    // What is packed for relaxed SIMD runs without it too.
    addGemm(builder, { ...family, epilogue, panelRows: 6, exported: 'gemm6' });
    addGemm(builder, { ...family, epilogue, panelRows: 6, exported: 'gemm6_gather', gather: true });
    addGemv(builder, { ...family, epilogue });
    for (const columns of [8, 24] as const)
      for (const gather of [false, true]) addSpmm(builder, { ...family, epilogue, columns, gather });
  });
  modules.set(key, module);
  return module;
}

const sparseCase = fc.record({
  m: fc.constantFrom(...SIZES),
  k: fc.constantFrom(...SIZES),
  n: fc.constantFrom(...SIZES),
  blockRows: fc.integer({ min: 1, max: 40 }),
  blockCols: fc.integer({ min: 1, max: 130 }),
  keep: fc.constantFrom(0, 0.1, 0.3, 0.6, 1),
  family: fc.constantFrom(...FAMILIES),
  epilogue: fc.constantFrom(...EPILOGUES),
  columns: fc.constantFrom(8 as const, 24 as const),
  form: fc.constantFrom('units' as const, 'rows' as const, 'auto' as const),
  layout: fc.constantFrom('rows' as const, 'panels' as const, 'gathered' as const),
  /** Tiles of 6 rows, whatever the family's own height. */
  tall: fc.boolean(),
  poison: fc.constantFrom(Number.NaN, -3.0316488252093987e-13),
  last: fc.constantFrom('x' as const, 'y' as const, 'residual' as const, 'words' as const, 'weights' as const),
  seed: fc.nat(),
});

describe('unit streams', () => {
  it('C2, C4, C7: random patterns, layouts and epilogues are exact and nothing else in memory is touched', () => {
    fc.assert(
      fc.property(sparseCase, (c) => {
        const { m, k, n, family, epilogue, columns } = c;
        const next = random(c.seed);
        const pattern = randomPattern(m, k, c.blockRows, c.blockCols, c.keep, next);
        const mask = patternMask(pattern);
        const matrix = poisoned(matrixOf(m, k, integers(m * k, 3, next)), mask);
        const b = matrixOf(k, n, integers(k * n, 4, next));
        const bias = integers(m, 9, next);
        const residual = integers(m * n, 9, next);
        // In column panels X is [N / columns][K][columns], the last panel padded with what must not matter.
        const tiles = Math.ceil(n / columns);
        const x = c.layout === 'panels' ? new Float32Array(tiles * k * columns).fill(Number.NaN) : b.data;
        if (c.layout === 'panels')
          b.data.forEach((value, i) => {
            const col = i % n;
            x[(Math.floor(col / columns) * k + Math.floor(i / n)) * columns + (col % columns)] = value;
          });
        const xRow = 4 * (c.layout === 'rows' ? n : columns);
        const tallest = c.tall ? 6 : maxTileRows(family);
        const options = {
          tallest,
          columns,
          xOffset: (i: number) => xRow * i,
          yOffset: (i: number) => 4 * n * i,
          bias,
        };
        const { words, weights } =
          c.form === 'rows'
            ? encodeRows(matrix, mask, options)
            : encodeUnits(matrix, pattern, { ...options, form: c.form });
        checkUnits(
          { words, weights },
          { ...options, xOffsets: [0, xRow * (k - 1)], yOffsets: Array.from({ length: m }, (_, i) => 4 * n * i) },
        );
        const y = new Float32Array(m * n).fill(c.poison);
        const sources = Int32Array.from({ length: k }, (_, i) => 4 * n * i);
        const panel = new Float32Array(k * columns).fill(c.poison);
        const buffers = { words, weights, x, y, residual, sources, panel };
        const t = arena(kernelModule(family, epilogue), buffers, c.last);
        const xStep = c.layout === 'panels' ? 4 * columns * k : 4 * columns;
        const gather = c.layout === 'gathered';
        t.call(
          spmmName({ ...family, epilogue, columns, gather }),
          ...[n, t.at.x, t.at.y, xStep, 4 * columns, t.at.residual, t.at.words, t.at.weights],
          ...(gather ? [t.at.sources, k, t.at.panel] : []),
        );
        const { value } = product(matrix, mask, b, bias);
        const wanted = Array.from(value, (sum, i) =>
          activated(epilogue, sum + (epilogue.residual ? (residual[i] ?? 0) : 0)),
        );
        expect(Array.from(t.read('y'), (found) => found + 0)).toEqual(wanted.map((found) => found + 0));
        expect(t.damage(['words', 'weights', 'x', 'residual', 'sources'])).toEqual([]);
      }),
      { seed: 1, numRuns: 1500 },
    );
  });

  it('C2, C4, C7: dense products of both panel heights, gathered or not, are exact and touch nothing else', () => {
    fc.assert(
      fc.property(sparseCase, (c) => {
        const { m, k, n, family, epilogue } = c;
        const next = random(c.seed);
        const gather = c.layout === 'gathered';
        const matrix = matrixOf(m, k, integers(m * k, 3, next));
        const b = matrixOf(k, n, integers(k * n, 4, next));
        const bias = integers(m, 9, next);
        const residual = integers(m * n, 9, next);
        const sources = Int32Array.from({ length: k }, (_, i) => 4 * n * i);
        const offsets = gather ? Int32Array.from({ length: k }, (_, i) => 32 * i) : sources;
        const y = new Float32Array(m * n).fill(c.poison);
        const panel = new Float32Array(8 * k).fill(c.poison);
        const a = packGemm(matrix, c.tall ? { relaxed: true } : family, bias);
        const last = c.last === 'words' || c.last === 'weights' ? 'panel' : c.last;
        const t = arena(kernelModule(family, epilogue), { a, offsets, sources, x: b.data, y, residual, panel }, last);
        t.call(
          c.tall ? `gemm6${gather ? '_gather' : ''}` : gemmName({ ...family, epilogue, gather }),
          ...[n, t.at.x, t.at.y, 32, 32, t.at.residual, t.at.a, t.at.offsets, m, k, 4 * n],
          ...(gather ? [t.at.sources, k, t.at.panel] : []),
        );
        const { value } = product(matrix, undefined, b, bias);
        const wanted = Array.from(value, (sum, i) =>
          activated(epilogue, sum + (epilogue.residual ? (residual[i] ?? 0) : 0)),
        );
        expect(Array.from(t.read('y'), (found) => found + 0)).toEqual(wanted.map((found) => found + 0));
        expect(t.damage(['a', 'offsets', 'sources', 'x', 'residual'])).toEqual([]);
      }),
      { seed: 3, numRuns: 600 },
    );
  });

  it('C2: a convolution of stride 1 is the same product over a padded image', () => {
    const [channels, outputs, height, width] = [3, 7, 5, 6];
    const next = random(9);
    // One column of zeros is shared by the rows; a row of zeros stands above and below.
    const pitch = width + 1;
    const plane = (height + 2) * pitch + 1;
    const image = new Float32Array(channels * plane);
    const pixel = (c: number, y: number, x: number) => c * plane + (y + 1) * pitch + x + 1;
    for (let c = 0; c < channels; c++)
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) image[pixel(c, y, x)] = Math.floor(next() * 9) - 4;
    const k = channels * 9;
    const n = height * pitch - 1;
    const matrix = matrixOf(outputs, k, integers(outputs * k, 3, next));
    const pattern = randomPattern(outputs, k, 3, 11, 0.6, next);
    const mask = patternMask(pattern);
    const offset = (i: number) => 4 * (Math.floor(i / 9) * plane + Math.floor((i % 9) / 3) * pitch + (i % 3));
    for (const family of FAMILIES)
      for (const columns of [8, 24] as const) {
        const epilogue = EPILOGUES[0] as Epilogue;
        const options = { tallest: maxTileRows(family), columns, xOffset: offset, yOffset: (i: number) => 4 * n * i };
        const { words, weights } = encodeUnits(matrix, pattern, options);
        const y = new Float32Array(outputs * n).fill(Number.NaN);
        const t = arena(kernelModule(family, epilogue), { words, weights, y, x: image }, 'x');
        const step = 4 * columns;
        t.call(spmmName({ ...family, epilogue, columns }), n, t.at.x, t.at.y, step, step, 0, t.at.words, t.at.weights);
        const out = t.read('y');
        const offsets = Int32Array.from({ length: k }, (_, i) => offset(i));
        const dense = matrixOf(
          outputs,
          k,
          matrix.data.map((value, i) => (mask[i] ? value : 0)),
        );
        const g = arena(kernelModule(family, epilogue), { a: packGemm(dense, family), offsets, y, x: image }, 'x');
        g.call(
          gemmName({ ...family, epilogue }),
          n,
          g.at.x,
          g.at.y,
          32,
          32,
          0,
          g.at.a,
          g.at.offsets,
          outputs,
          k,
          4 * n,
        );
        expect(g.read('y')).toEqual(out);
        for (let o = 0; o < outputs; o++)
          for (let py = 0; py < height; py++)
            for (let px = 0; px < width; px++) {
              let sum = 0;
              for (let i = 0; i < k; i++) {
                const [c, ky, kx] = [Math.floor(i / 9), Math.floor((i % 9) / 3) - 1, (i % 3) - 1];
                const inside = py + ky >= 0 && py + ky < height && px + kx >= 0 && px + kx < width;
                if (mask[o * k + i] && inside)
                  sum += (matrix.data[o * k + i] ?? 0) * (image[pixel(c, py + ky, px + kx)] ?? 0);
              }
              expect(out[o * n + py * pitch + px]).toBe(sum);
            }
      }
  });

  it('NaN and infinity of the input reach exactly the outputs that use them', () => {
    const matrix = matrixOf(8, 4, new Float32Array(32).fill(1));
    const pattern: BcrPattern = {
      grid: blockGrid(8, 4, 4, 4),
      keptRows: [Uint16Array.of(0, 1, 2, 3), Uint16Array.of(1, 3)],
      keptCols: [Uint16Array.of(0, 1), Uint16Array.of(2, 3)],
    };
    const x = Float32Array.from({ length: 4 * 9 }, (_, i) => (i < 9 ? Number.NaN : i < 18 ? 1 : i < 27 ? Infinity : 2));
    for (const family of FAMILIES)
      for (const [epilogue, infinite] of [
        [{ activation: 'relu', residual: false }, Infinity],
        [{ activation: 'none', residual: false }, Infinity],
        [{ activation: { min: -1, max: 6 }, residual: false }, 6],
      ] as const) {
        const options = {
          tallest: maxTileRows(family),
          columns: 8,
          xOffset: (i: number) => 36 * i,
          yOffset: (i: number) => 36 * i,
        } as const;
        const { words, weights } = encodeUnits(matrix, pattern, options);
        const t = arena(kernelModule(family, epilogue), { words, weights, x, y: new Float32Array(72) }, 'y');
        t.call(spmmName({ ...family, epilogue, columns: 8 }), 9, t.at.x, t.at.y, 32, 32, 0, t.at.words, t.at.weights);
        const rows = [NaN, NaN, NaN, NaN, 0, infinite, 0, infinite];
        expect(Array.from(t.read('y'))).toEqual(rows.flatMap((value) => Array.from({ length: 9 }, () => value)));
      }
  });

  it('blocks that keep the same rows are joined, and every row is begun and ended once', () => {
    const matrix = matrixOf(12, 64, new Float32Array(12 * 64).fill(1));
    const pattern = densePattern(blockGrid(12, 64, 12, 8));
    const options = { tallest: 6, columns: 8, xOffset: (i: number) => 4 * i, yOffset: (i: number) => 4 * i } as const;
    const stream = encodeUnits(matrix, pattern, options);
    expect(stream.units).toBe(2);
    expect(stream.weights.length).toBe(nonZeros(pattern) + 12);
    expect(stream.words.length).toBe(2 * (2 + 6 + 64) + 1);
  });

  it('one-row blocks become whole rows, tall blocks do not', () => {
    const next = random(4);
    const matrix = matrixOf(32, 256, integers(32 * 256, 3, next));
    const options = { tallest: 6, columns: 24, xOffset: (i: number) => 4 * i, yOffset: (i: number) => 4 * i } as const;
    const low = randomPattern(32, 256, 4, 16, 0.25, next);
    const rows = encodeUnits(matrix, low, { ...options, form: 'rows' });
    expect(encodeUnits(matrix, low, options).cycles).toBeLessThanOrEqual(rows.cycles);
    expect(encodeUnits(matrix, low, options).cycles).toBeLessThanOrEqual(
      encodeUnits(matrix, low, { ...options, form: 'units' }).cycles,
    );
    expect(unitCycles(6, 100, 8)).toBeLessThan(6 * unitCycles(1, 100, 8));
  });

  it('C10: equal inputs give equal streams', () => {
    const build = () => {
      const next = random(8);
      const matrix = matrixOf(37, 61, integers(37 * 61, 3, next));
      const pattern = randomPattern(37, 61, 8, 16, 0.5, next);
      const options = { tallest: 6, columns: 8, xOffset: (i: number) => 4 * i, yOffset: (i: number) => 4 * i } as const;
      return [encodeUnits(matrix, pattern, options), encodeLanes(matrix, pattern, options)];
    };
    expect(build()).toEqual(build());
  });
});

describe('what is refused', () => {
  const next = random(6);
  const matrix = matrixOf(13, 20, integers(260, 3, next));
  const pattern = randomPattern(13, 20, 5, 7, 0.7, next);
  const offsets = { xOffset: (i: number) => 4 * i, yOffset: (i: number) => 80 * i };
  const stream = encodeUnits(matrix, pattern, { ...offsets, tallest: 6, columns: 8, form: 'units' });
  const bounds = { tallest: 6, xOffsets: [0, 76] as const, yOffsets: Array.from({ length: 13 }, (_, i) => 80 * i) };
  const lanes = encodeLanes(matrix, pattern, offsets);
  const laneBounds = { rows: 13, xOffsets: [0, 76] as const };
  const refused = (run: () => void, code: string) => {
    try {
      run();
    } catch (error) {
      expect(error).toBeInstanceOf(GrimError);
      expect((error as GrimError).code).toBe(code);
      return true;
    }
    return false;
  };

  it('C6: a pattern of another size, or with an index out of range, unsorted or twice', () => {
    const encodeBoth = (bad: BcrPattern) => {
      for (const run of [
        () => encodeUnits(matrix, bad, { ...offsets, tallest: 6, columns: 8 }),
        () => encodeLanes(matrix, bad, offsets),
      ])
        expect(refused(run, 'GRIM_BCR_PATTERN_MISMATCH')).toBe(true);
    };
    encodeBoth(densePattern(blockGrid(13, 21, 5, 7)));
    const first = (list: readonly Uint16Array[], value: Uint16Array) => [value, ...list.slice(1)];
    for (const wrong of [Uint16Array.of(7), Uint16Array.of(2, 1), Uint16Array.of(1, 1)])
      encodeBoth({ ...pattern, keptCols: first(pattern.keptCols, wrong) });
    for (const wrong of [Uint16Array.of(5), Uint16Array.of(2, 1), Uint16Array.of(1, 1)])
      encodeBoth({ ...pattern, keptRows: first(pattern.keptRows, wrong) });
    encodeBoth({ ...pattern, keptRows: pattern.keptRows.slice(1) });
  });

  it('C6: a stream of which any one word is changed, or that is cut or goes on', () => {
    checkUnits(stream, bounds);
    const epilogue = EPILOGUES[0] as Epilogue;
    const x = new Float32Array(39).fill(1);
    for (let i = 0; i < stream.words.length; i++)
      for (const value of [-1, 0, 1, 2, 7, 8, 24, 31, 32, 3, 1000, 2 ** 31 - 1, -(2 ** 31)]) {
        const words = stream.words.slice();
        if (words[i] === value) continue;
        words[i] = value;
        if (refused(() => checkUnits({ ...stream, words }, bounds), 'GRIM_CODEGEN_BAD_STREAM')) continue;
        // A column that became another one, in range and in order: another matrix, and as safe to run.
        expect([0, 8, 24, 32]).toContain(value);
        const { weights } = stream;
        const t = arena(
          kernelModule({ relaxed: true }, epilogue),
          { words, weights, x, y: new Float32Array(260) },
          'x',
        );
        t.call(
          spmmName({ relaxed: true, epilogue, columns: 8 }),
          20,
          t.at.x,
          t.at.y,
          32,
          32,
          0,
          t.at.words,
          t.at.weights,
        );
        expect(t.damage(['words', 'weights', 'x'])).toEqual([]);
      }
    for (let length = 0; length < stream.words.length; length++)
      expect(
        refused(
          () => checkUnits({ ...stream, words: stream.words.slice(0, length) }, bounds),
          'GRIM_CODEGEN_BAD_STREAM',
        ),
      ).toBe(true);
    const longer = Int32Array.from([...stream.words, 0]);
    expect(refused(() => checkUnits({ ...stream, words: longer }, bounds), 'GRIM_CODEGEN_BAD_STREAM')).toBe(true);
    const fewer = stream.weights.slice(1);
    expect(refused(() => checkUnits({ ...stream, weights: fewer }, bounds), 'GRIM_CODEGEN_BAD_STREAM')).toBe(true);
  });

  it('C6: a lane stream of which any one word is changed, or that is cut or goes on', () => {
    checkLanes(lanes, laneBounds);
    for (let i = 0; i < lanes.words.length; i++)
      for (const value of [-1, 0, 1, 2, 3, 8, 9, 24, 1000, 2 ** 31 - 1, -(2 ** 31)]) {
        const words = lanes.words.slice();
        if (words[i] === value) continue;
        words[i] = value;
        if (refused(() => checkLanes({ ...lanes, words }, laneBounds), 'GRIM_CODEGEN_BAD_STREAM')) continue;
        expect([0, 8, 24]).toContain(value);
      }
    for (let length = 0; length < lanes.words.length; length++)
      expect(
        refused(
          () => checkLanes({ ...lanes, words: lanes.words.slice(0, length) }, laneBounds),
          'GRIM_CODEGEN_BAD_STREAM',
        ),
      ).toBe(true);
    const longer = Int32Array.from([...lanes.words, 0]);
    expect(refused(() => checkLanes({ ...lanes, words: longer }, laneBounds), 'GRIM_CODEGEN_BAD_STREAM')).toBe(true);
  });
});

describe('addresses', () => {
  it.each([
    ['around 2 GiB', 2 ** 31 + 16384],
    ['at the very end of 4 GiB', 2 ** 32],
  ])('C5: kernels work %s', (_, end) => {
    const [m, k, n] = [13, 37, 29];
    const next = random(11);
    const pattern = randomPattern(m, k, 5, 9, 0.6, next);
    const mask = patternMask(pattern);
    const matrix = matrixOf(
      m,
      k,
      integers(m * k, 3, next).map((value, i) => (mask[i] ? value : 0)),
    );
    const b = matrixOf(k, n, integers(k * n, 4, next));
    const { value } = product(matrix, mask, b);
    const epilogue = EPILOGUES[0] as Epilogue;
    const memory = new WebAssembly.Memory({ initial: Math.ceil(end / 65536) });
    for (const family of FAMILIES) {
      const { exports } = new WebAssembly.Instance(kernelModule(family, epilogue), { env: { memory } });
      let free = end;
      const place = (data: Float32Array | Int32Array) => {
        free -= data.byteLength;
        new Uint8Array(memory.buffer, free, data.byteLength).set(new Uint8Array(data.buffer));
        return free;
      };
      const layout = { xOffset: (i: number) => 4 * n * i, yOffset: (i: number) => 4 * n * i };
      const units = encodeUnits(matrix, pattern, { ...layout, tallest: maxTileRows(family), columns: 24 });
      const lanes = encodeLanes(matrix, pattern, { xOffset: (i) => 4 * n * i });
      const x = place(b.data);
      const y = place(new Float32Array(m * n));
      const [words, weights] = [place(units.words), place(units.weights)];
      const [laneWords, laneWeights] = [place(lanes.words), place(lanes.weights)];
      const a = place(packGemm(matrix, family));
      const offsets = place(Int32Array.from({ length: k }, (__, i) => 4 * n * i));
      const call = (name: string, ...parameters: number[]) => (exports[name] as Kernel)(...parameters);
      const out = (length: number) => Array.from(new Float32Array(memory.buffer, y, length), (found) => found + 0);
      call(spmmName({ ...family, epilogue, columns: 24 }), n, x, y, 96, 96, 0, words, weights);
      expect(out(m * n)).toEqual(Array.from(value));
      new Float32Array(memory.buffer, y, m * n).fill(Number.NaN);
      call(gemmName({ ...family, epilogue }), n, x, y, 32, 32, 0, a, offsets, m, k, 4 * n);
      expect(out(m * n)).toEqual(Array.from(value));
      call(gemvName({ ...family, epilogue }), m, x, y, 0, laneWords, laneWeights);
      expect(out(m)).toEqual(Array.from({ length: m }, (__, i) => value[i * n]));
    }
  });
});

describe('lane streams', () => {
  it('C2, C4, C7: random patterns are exact and nothing else in memory is touched', () => {
    fc.assert(
      fc.property(sparseCase, (c) => {
        const { m, k, family, epilogue } = c;
        const next = random(c.seed);
        const pattern = randomPattern(m, k, 3 * c.blockRows, c.blockCols, c.keep, next);
        const mask = patternMask(pattern);
        const matrix = poisoned(matrixOf(m, k, integers(m * k, 3, next)), mask);
        const x = integers(k, 4, next);
        const bias = integers(m, 9, next);
        const residual = integers(m, 9, next);
        const { words, weights } = encodeLanes(matrix, pattern, { xOffset: (i) => 4 * i, bias });
        checkLanes({ words, weights }, { rows: m, xOffsets: [0, 4 * k - 4] });
        const y = new Float32Array(m).fill(c.poison);
        const t = arena(kernelModule(family, epilogue), { words, weights, x, y, residual }, c.last);
        t.call(gemvName({ ...family, epilogue }), m, t.at.x, t.at.y, t.at.residual, t.at.words, t.at.weights);
        const { value } = product(matrix, mask, matrixOf(k, 1, x), bias);
        const wanted = Array.from(value, (sum, i) =>
          activated(epilogue, sum + (epilogue.residual ? (residual[i] ?? 0) : 0)),
        );
        expect(Array.from(t.read('y'), (found) => found + 0)).toEqual(wanted.map((found) => found + 0));
        expect(t.damage(['words', 'weights', 'x', 'residual'])).toEqual([]);
      }),
      { seed: 2, numRuns: 1500 },
    );
  });
});
